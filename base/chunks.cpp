#include "base/chunks.h"

#include "base/limits.h"

namespace tram {

Result<void> put_chunk(Bodies& bodies, const std::string& name, uint64_t body_bytes, uint32_t index, BytesView sealed) {
  const uint64_t offset = uint64_t{index} * limits::sealed_chunk_bytes;
  auto written = bodies.write(name, offset, sealed);
  if (written || written.error().code != ErrorCode::not_found) return written;
  TRAM_OK(bodies.create(name, body_bytes));
  return bodies.write(name, offset, sealed);
}

}  // namespace tram
