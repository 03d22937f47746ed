// The byte layout of what a body holds (FORMAT.md; protocol.md 3.2). P is the container:
//   "EDXP" || u16 version (1) || u32 header_bytes || header || the files' bytes in the header's order, no padding
// The header is a Protocol Buffers message, opaque here (proto/document.h). A body seals P' = u64 len(P) || P || zeros.
// The header always lies inside the first chunk. Library: verify. Thread: any; values only.
#pragma once
#include "base/result.h"
#include "base/ids.h"

namespace tram::crypto {

inline constexpr size_t container_header_bytes_max = 240u << 10;
inline constexpr size_t container_fixed_bytes = 10;
inline constexpr size_t body_prefix_bytes = 8;

/// What stands before the files: magic, version, length, header. header.size() <= container_header_bytes_max.
Bytes container_prefix(BytesView header);

struct ContainerPrefix {
  BytesView header;           // into the argument of parse_container_prefix
  size_t content_offset = 0;  // of the first file, from the start of P
};
/// `first_bytes`: the beginning of P, at least through the header; more may follow.
/// Errors: bad_format (magic, length, too short), unsupported_version.
Result<ContainerPrefix> parse_container_prefix(BytesView first_bytes);

/// u64 len(P): the first bytes of P'.
std::array<uint8_t, body_prefix_bytes> body_prefix(uint64_t container_bytes);
/// len(P), at most padded_bytes - 8. Error: bad_format.
Result<uint64_t> parse_body_prefix(BytesView first_bytes, uint64_t padded_bytes);
/// The zeros after P: true when every byte is zero.
bool is_padding(BytesView bytes);

}  // namespace tram::crypto
