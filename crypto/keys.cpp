#include "crypto/keys.h"

#include <sodium.h>

#include "crypto/hash.h"

namespace tram::crypto {
namespace {

constexpr size_t label_bytes_max = 64;
constexpr std::string_view sign_label = "edx1/sig";

/// LP("edx1/sig") || LP(label) || id, on the stack: a signature costs no allocation.
struct SignedMessage {
  std::array<uint8_t, 2 + sign_label.size() + label_bytes_max + 32> bytes;
  size_t size = 0;

  SignedMessage(std::string_view label, BytesView id) {
    TRAM_CHECK(label.size() <= label_bytes_max && id.size() == 32);
    put_label(sign_label);
    put_label(label);
    std::memcpy(bytes.data() + size, id.data(), id.size());
    size += id.size();
  }

 private:
  void put_label(std::string_view label) {
    bytes[size++] = static_cast<uint8_t>(label.size());
    std::memcpy(bytes.data() + size, label.data(), label.size());
    size += label.size();
  }
};

bool is_note(BytesView text) { return !text.empty() && text.front() != sign_label.size(); }

}  // namespace

void initialize() { TRAM_CHECK(sodium_init() >= 0); }

template <size_t N>
void Secret<N>::wipe() noexcept {
  sodium_memzero(bytes_.data(), N);
}
template class Secret<32>;
template class Secret<64>;

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    sodium_memzero(bytes_.data(), bytes_.size());
    bytes_ = std::move(other.bytes_);
  }
  return *this;
}
SecretBytes::~SecretBytes() { sodium_memzero(bytes_.data(), bytes_.size()); }

SigningKey::SigningKey(const Secret32& seed) {
  crypto_sign_seed_keypair(public_.bytes.data(), secret_.data(), seed.view().data());
}

Signature SigningKey::sign(std::string_view label, BytesView id) const {
  SignedMessage message(label, id);
  Signature out;
  crypto_sign_detached(out.bytes.data(), nullptr, message.bytes.data(), message.size, secret_.view().data());
  return out;
}

bool verify(const SigPublic& key, std::string_view label, BytesView id, const Signature& signature) {
  SignedMessage message(label, id);
  return crypto_sign_verify_detached(signature.bytes.data(), message.bytes.data(), message.size, key.bytes.data()) == 0;
}

bool is_valid_signing_key(BytesView public_key) {
  return public_key.size() == SigPublic::size && crypto_core_ed25519_is_valid_point(public_key.data()) == 1;
}

LogKey::LogKey(const Secret32& seed) {
  crypto_sign_seed_keypair(public_.bytes.data(), secret_.data(), seed.view().data());
}

Signature LogKey::sign_note(BytesView text) const {
  TRAM_CHECK(is_note(text));
  Signature out;
  crypto_sign_detached(out.bytes.data(), nullptr, text.data(), text.size(), secret_.view().data());
  return out;
}

bool verify_note(const LogPublic& key, BytesView text, const Signature& signature) {
  return is_note(text) &&
         crypto_sign_verify_detached(signature.bytes.data(), text.data(), text.size(), key.bytes.data()) == 0;
}

KeyId key_id(KeyKind kind, BytesView public_key) {
  uint8_t kind_byte = static_cast<uint8_t>(kind);
  Hash full = hash("edx1/kid", {BytesView(&kind_byte, 1), public_key});
  return *KeyId::from(full.view().first(KeyId::size));
}

Secret32 make_secret(Random& random) {
  Secret32 secret;
  random.fill(secret.span());
  return secret;
}

Secret32 derive_secret(BytesView key, std::string_view label, std::initializer_list<BytesView> parts) {
  Hash raw = keyed_hash(key, label, parts);
  Secret32 out(raw);
  sodium_memzero(raw.bytes.data(), raw.bytes.size());
  return out;
}

KxKeyPair kx_pair_from(const Secret32& secret) {
  KxKeyPair pair{secret.clone(), {}};
  crypto_scalarmult_base(pair.public_key.bytes.data(), pair.secret.view().data());
  return pair;
}
KxKeyPair make_kx_pair(Random& random) { return kx_pair_from(make_secret(random)); }

CurveKeyPair curve_pair_from(const Secret32& secret) {
  CurveKeyPair pair{secret.clone(), {}};
  crypto_scalarmult_base(pair.public_key.bytes.data(), pair.secret.view().data());
  return pair;
}
CurveKeyPair make_curve_pair(Random& random) { return curve_pair_from(make_secret(random)); }

bool secret_equal(BytesView a, BytesView b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace tram::crypto
