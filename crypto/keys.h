// Key kinds kept apart: SIG signs objects, LOG signs checkpoints, KX opens envelopes (one a day), CURVE carries
// transport, storage codes values at rest. No key serves two purposes (protocol.md 3.8).
// Secrets wipe themselves and have no formatter. Library: verify. Thread: any; immutable after construction.
#pragma once
#include "base/check.h"
#include "base/ports.h"

namespace tram::crypto {

/// Must be called once, before any thread, by every program (C15).
void initialize();

enum class KeyKind : uint8_t { sig = 1, log = 2, kx = 3, curve = 4 };

/// N secret bytes that are wiped when they go. Moving leaves zeros behind; copying is explicit.
template <size_t N>
class Secret {
 public:
  Secret() = default;
  explicit Secret(BytesView raw) { TRAM_CHECK(raw.size() == N); std::memcpy(bytes_.data(), raw.data(), N); }
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) { bytes_ = other.bytes_; other.wipe(); }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(); }
  Secret clone() const { return Secret(BytesView(bytes_)); }
  BytesView view() const { return bytes_; }
  uint8_t* data() { return bytes_.data(); }
  std::span<uint8_t> span() { return bytes_; }
  static constexpr size_t size() { return N; }

 private:
  void wipe() noexcept;
  std::array<uint8_t, N> bytes_{};
};
using Secret32 = Secret<32>;
extern template class Secret<32>;
extern template class Secret<64>;

/// Secret bytes of any length (a passphrase, an opened key file), wiped when they go.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t n) : bytes_(n) {}
  explicit SecretBytes(Bytes&& bytes) : bytes_(std::move(bytes)) {}
  SecretBytes(SecretBytes&&) noexcept = default;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  ~SecretBytes();
  BytesView view() const { return bytes_; }
  std::span<uint8_t> span() { return bytes_; }
  size_t size() const { return bytes_.size(); }

 private:
  Bytes bytes_;
};

/// Ed25519 key that signs objects (kind SIG), from its 32-byte seed.
class SigningKey {
 public:
  explicit SigningKey(const Secret32& seed);
  SigningKey(SigningKey&&) noexcept = default;
  const SigPublic& public_key() const { return public_; }
  /// SIGN(sk; l; id) = Ed25519(sk, LP("edx1/sig") || LP(l) || id): deterministic, so it may be made again (8.11).
  /// `id` is a 32-byte object id, `label` at most 64 bytes.
  Signature sign(std::string_view label, BytesView id) const;

 private:
  Secret<64> secret_;
  SigPublic public_;
};

/// True when `signature` is SIGN(public key's secret; label; id) by libsodium 1.0.18's rules (3.0, C8).
/// `id` is 32 bytes, `label` at most 64.
bool verify(const SigPublic&, std::string_view label, BytesView id, const Signature&);
/// False for keys with a small-order component and non-canonical keys; asked at enrolment, for SIG and LOG alike.
bool is_valid_signing_key(BytesView public_key);

/// Ed25519 key that signs checkpoints and cosignatures (kind LOG): the text of a C2SP signed note, as it is. A note
/// never starts with byte 0x08, which every object signature's message does, so the two cannot be confused (3.1).
class LogKey {
 public:
  explicit LogKey(const Secret32& seed);
  LogKey(LogKey&&) noexcept = default;
  const LogPublic& public_key() const { return public_; }
  /// `text` is not empty and does not start with 0x08.
  Signature sign_note(BytesView text) const;

 private:
  Secret<64> secret_;
  LogPublic public_;
};
/// False too for a text that sign_note() would refuse.
bool verify_note(const LogPublic&, BytesView text, const Signature&);

/// First 8 bytes of H("edx1/kid"; u8 kind || public key).
KeyId key_id(KeyKind, BytesView public_key);

struct KxKeyPair {
  Secret32 secret;
  KxPublic public_key;
};
struct CurveKeyPair {
  Secret32 secret;
  CurvePublic public_key;
};
KxKeyPair make_kx_pair(Random&);
KxKeyPair kx_pair_from(const Secret32& secret);
CurveKeyPair make_curve_pair(Random&);
CurveKeyPair curve_pair_from(const Secret32& secret);
Secret32 make_secret(Random&);
/// F(key; label; parts) kept as a secret.
Secret32 derive_secret(BytesView key, std::string_view label, std::initializer_list<BytesView> parts);

/// Constant-time equality.
bool secret_equal(BytesView a, BytesView b);

}  // namespace tram::crypto
