#include "crypto/body_check.h"

#include <algorithm>

#include "base/limits.h"

namespace tram::crypto {
namespace {

/// Whether the bytes are there; what else may be wrong with a file is damage, not a reason to stop.
Result<bool> read(Bodies& bodies, const std::string& name, uint64_t offset, Bytes& out) {
  auto done = bodies.read(name, offset, out);
  if (done) return true;
  if (done.error().code == ErrorCode::io_failed) return fail(done.error());
  return false;
}

}  // namespace

Result<BodyPartCheck> check_body(const BodyPart& part, Bodies& bodies) {
  BodyPartCheck check;
  Bytes bytes = part.manifest;
  if (bytes.empty()) {
    bytes.resize(16 + size_t{part.chunks} * ChunkId::size);
    TRAM_TRY(there, read(bodies, part.manifest_name, 0, bytes));
    if (!there) return check;
  }
  if (manifest_id(bytes) != part.manifest_id) return check;
  const auto manifest = decode_manifest(bytes);
  if (!manifest || manifest->chunks.size() != part.chunks) return check;
  check.manifest_good = true;
  Bytes chunk;
  const auto end = static_cast<uint32_t>(std::min<uint64_t>(uint64_t{part.first} + part.count, part.chunks));
  for (uint32_t index = part.first; index < end; ++index) {
    if (!part.have.empty() && (index / 8 >= part.have.size() || (part.have[index / 8] >> (index % 8) & 1) == 0)) continue;
    chunk.resize(sealed_chunk_size(*manifest, index));
    TRAM_TRY(there, read(bodies, part.name, uint64_t{index} * limits::sealed_chunk_bytes, chunk));
    check.bytes += chunk.size();
    if (!there || chunk_id(chunk) != manifest->chunks[index]) check.damaged.push_back(index);
  }
  return check;
}

}  // namespace tram::crypto
