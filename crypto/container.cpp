#include "crypto/container.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"

namespace tram::crypto {
namespace {
constexpr uint16_t container_version = 1;
static_assert(body_prefix_bytes + container_fixed_bytes + container_header_bytes_max <= limits::chunk_bytes);
}  // namespace

Bytes container_prefix(BytesView header) {
  TRAM_CHECK(header.size() <= container_header_bytes_max);
  Bytes out;
  out.reserve(container_fixed_bytes + header.size());
  Writer(out).raw("EDXP").u16(container_version).u32(static_cast<uint32_t>(header.size())).raw(header);
  return out;
}

Result<ContainerPrefix> parse_container_prefix(BytesView first_bytes) {
  Reader in(first_bytes);
  if (!equal(in.raw(4), view("EDXP"))) return fail(ErrorCode::bad_format, "container: magic");
  uint16_t version = in.u16();
  if (!in.ok()) return fail(ErrorCode::bad_format, "container: length");
  if (version != container_version) return fail(ErrorCode::unsupported_version, "container: version");
  uint32_t prefix_bytes = in.u32();
  if (!in.ok() || prefix_bytes > container_header_bytes_max || prefix_bytes > in.left()) {
    return fail(ErrorCode::bad_format, "container: length");
  }
  return ContainerPrefix{in.raw(prefix_bytes), container_fixed_bytes + prefix_bytes};
}

std::array<uint8_t, body_prefix_bytes> body_prefix(uint64_t container_bytes) {
  std::array<uint8_t, body_prefix_bytes> out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint8_t>(container_bytes >> (56 - 8 * i));
  return out;
}

Result<uint64_t> parse_body_prefix(BytesView first_bytes, uint64_t padded_bytes) {
  Reader in(first_bytes);
  uint64_t container_bytes = in.u64();
  if (!in.ok() || padded_bytes < body_prefix_bytes || container_bytes > padded_bytes - body_prefix_bytes) {
    return fail(ErrorCode::bad_format, "body: length");
  }
  return container_bytes;
}

bool is_padding(BytesView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

}  // namespace tram::crypto
