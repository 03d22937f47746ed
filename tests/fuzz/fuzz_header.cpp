// Signed document headers, and the sealed metadata inside.
#include "base/limits.h"
#include "crypto/seal.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

void one_input(BytesView in) {
  check_signed_object<crypto::Header>(in, crypto::header_label, crypto::decode_header, crypto::encode_header,
                                      crypto::verify_header);
  auto header = crypto::decode_header(in);
  if (!header) return;
  require(in.size() <= limits::header_bytes_max, "a header is within its limit");
  require(header->enc_metadata.size() == limits::enc_metadata_bytes, "metadata has one size");
  require(header->chunks >= 1 && header->chunks <= limits::chunks_per_body_max, "a body has 1 .. max chunks");
  require(header->chunks == crypto::chunk_count(header->padded_bytes), "chunks and size agree");
  static const crypto::BodyKeys keys(crypto::Secret32(Bytes(32, 0x22)), {});
  require(!keys.open_metadata(header->enc_metadata), "metadata opens under its own key only");
}

}  // namespace tram::fuzz
