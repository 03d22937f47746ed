// Sealed chunks in body files: chunk i lies at i x limits::sealed_chunk_bytes (protocol.md 8.6). Thread: as Bodies.
#pragma once
#include "base/ports.h"

namespace tram {

/// Writes one chunk; makes the file of `body_bytes` first when it is gone: a store put back remembers freed bodies, and
/// an earlier reservation may have found no room. Errors: storage_full, io_failed.
Result<void> put_chunk(Bodies& bodies, const std::string& name, uint64_t body_bytes, uint32_t index, BytesView sealed);

}  // namespace tram
