// Envelopes of 400 bytes, and what a recipient does with one before it trusts anything in it.
#include "base/limits.h"
#include "crypto/seal.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

void one_input(BytesView in) {
  check_signed_object<crypto::Envelope>(in, crypto::envelope_label, crypto::decode_envelope, crypto::encode_envelope,
                                        crypto::verify_envelope);
  auto envelope = crypto::decode_envelope(in);
  if (!envelope) return;
  require(in.size() == limits::envelope_bytes, "an envelope has 400 bytes");
  require(equal(crypto::envelope_prefix(*envelope), in.first(256)), "the bound prefix is the first 256 bytes");
  require(envelope->seq > 0, "sequence numbers count from 1");
  static const crypto::KxKeyPair mine = crypto::kx_pair_from(crypto::Secret32(Bytes(32, 0x11)));
  auto opened = crypto::unwrap_key(*envelope, mine);
  require(!opened || draw(in) % 2 < 2, "opening ends");
  if (draw(in) % 16 != 0) return;
  Chance chance(draw(in));
  const crypto::Secret32 key = crypto::make_secret(chance);
  require(crypto::wrap_key(*envelope, key, mine.public_key, chance).has_value(), "a key can be wrapped");
  auto back = crypto::unwrap_key(*envelope, mine);
  require(back && equal(back->view(), key.view()), "the key that was wrapped comes out");
  ++envelope->seq;
  require(!crypto::unwrap_key(*envelope, mine), "a wrap is bound to its envelope");
}

}  // namespace tram::fuzz
