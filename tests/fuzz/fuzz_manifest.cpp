// Manifests: what makes up a body.
#include "base/limits.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

void one_input(BytesView in) {
  auto manifest = crypto::decode_manifest(in);
  if (!manifest) {
    require(manifest.error().code == ErrorCode::bad_format, "a refusal has its error");
    return;
  }
  require(equal(crypto::encode_manifest(*manifest), in), "decoding and encoding give the same bytes");
  require(!crypto::decode_manifest(with_one_more_byte(in)), "a longer manifest is refused");
  require(!crypto::decode_manifest(in.first(in.size() - 1)), "a shorter manifest is refused");
  require(in.size() <= limits::manifest_bytes_max, "a manifest is within its limit");
  require(!manifest->chunks.empty() && manifest->chunks.size() <= limits::chunks_per_body_max, "1 .. max chunks");
  require(manifest->chunks.size() == crypto::chunk_count(manifest->padded_bytes), "chunks and size agree");
  uint64_t sealed = 0;
  for (uint32_t i = 0; i < manifest->chunks.size(); ++i) {
    const size_t size = crypto::sealed_chunk_size(*manifest, i);
    require(size > limits::chunk_overhead_bytes && size <= limits::sealed_chunk_bytes, "a chunk has 1 .. S bytes");
    sealed += size - limits::chunk_overhead_bytes;
  }
  require(sealed == manifest->padded_bytes, "the chunks are the body");
}

}  // namespace tram::fuzz
