// What the fuzz targets share: the entry point, how a broken property stops the process, the checks that every strict
// decoder must pass. A target is one file fuzz_<name>.cpp that defines one_input(); tests/run gives each its turn.
// Invariants: an input decides all that a target does with it; nothing is kept from one input to the next.
// Thread: one.
#pragma once
#include "crypto/formats.h"

namespace tram::fuzz {

/// The target: what must hold for any bytes whatever.
void one_input(BytesView in);

/// Stops the process, so that libFuzzer keeps the input, unless the property holds.
void require(bool holds, std::string_view property);

/// The key that stands for every honest signer.
const crypto::SigningKey& signer();
/// A number that the input decides: where to damage it, which of two ways to go.
uint64_t draw(BytesView in);
/// Random bytes that a seed decides.
class Chance final : public Random {
 public:
  explicit Chance(uint64_t seed) : state_(seed) {}
  void fill(std::span<uint8_t> out) override;

 private:
  uint64_t state_;
};

inline Bytes with_one_more_byte(BytesView in) {
  Bytes out = to_bytes(in);
  out.push_back(static_cast<uint8_t>(draw(in)));
  return out;
}

/// A fixed, signed layout: one value has one encoding, of one length; its id covers every byte before the signature; a
/// signature covers every bit (R36, R37).
template <class Object>
void check_signed_object(BytesView in, std::string_view label, Result<Object> (*decode)(BytesView),
                         Bytes (*encode)(Object&, const crypto::SigningKey&),
                         bool (*verify)(const Object&, const SigPublic&)) {
  auto object = decode(in);
  if (!object) {
    const ErrorCode code = object.error().code;
    require(code == ErrorCode::bad_format || code == ErrorCode::unsupported_version, "a refusal has its error");
    return;
  }
  require(in.size() > Signature::size, "an object holds its signature");
  const BytesView signed_part = in.first(in.size() - Signature::size);
  require(object->id.bytes == crypto::hash(label, {signed_part}).bytes, "the id is the hash of what is signed");
  require(equal(object->signature, in.last(Signature::size)), "the signature is the last 64 bytes");
  require(!decode(with_one_more_byte(in)), "a longer object is refused");
  require(!decode(in.first(in.size() - 1)), "a shorter object is refused");

  Object copy = *object;
  const Bytes again = encode(copy, signer());
  require(again.size() == in.size() && equal(BytesView(again).first(signed_part.size()), signed_part),
          "decoding and encoding give the same bytes");
  require(copy.id == object->id, "encoding sets the same id");
  if (draw(in) % 4 != 0) return;  // signatures are slow
  auto good = decode(again);
  require(good && verify(*good, signer().public_key()), "what is signed verifies");
  Bytes damaged = again;
  const uint64_t bit = draw(in) / 4 % (damaged.size() * 8);
  damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ (1u << bit % 8));
  auto bad = decode(damaged);
  require(!bad || !verify(*bad, signer().public_key()), "no bit can change under a signature");
}

/// A Protocol Buffers message: what is read is written in one way, which is read as the same value. `strict` messages
/// refuse unknown fields, so nothing that was read can be lost.
template <class Value>
std::optional<Value> check_message(BytesView in, Result<Value> (*decode)(BytesView), Bytes (*encode)(const Value&)) {
  auto value = decode(in);
  if (!value) {
    const ErrorCode code = value.error().code;
    require(code == ErrorCode::bad_format || code == ErrorCode::too_large, "a refusal has its error");
    return std::nullopt;
  }
  const Bytes canonical = encode(*value);
  auto again = decode(canonical);
  require(again.has_value(), "what we write we can read");
  require(encode(*again) == canonical, "one value is written in one way");
  return std::move(*value);
}

}  // namespace tram::fuzz
