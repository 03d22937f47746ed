// The parts of HPKE (RFC 9180) and of the envelope wrap that seal.h is made of and that published vectors speak of:
// key derivation, contexts with sequence numbers, ephemeral keys given instead of drawn.
// Internal to crypto/ and its tests: no program includes it. Thread: any.
#pragma once
#include "crypto/seal.h"

namespace tram::crypto::detail {

std::array<uint8_t, 32> hmac_sha256(BytesView key, BytesView message);
Secret32 hkdf_extract(BytesView salt, BytesView input);
/// Fills `out`, at most 255 * 32 bytes.
void hkdf_expand(BytesView pseudo_random_key, BytesView info, std::span<uint8_t> out);

/// X25519. Error: cannot_open when the result is all zero (a small-order point, RFC 9180 7.1.4).
Result<Secret32> x25519(const Secret32& secret, BytesView public_key);
/// DeriveKeyPair of DHKEM(X25519, HKDF-SHA256), RFC 9180 7.1.3.
KxKeyPair derive_key_pair(BytesView input);

/// What both sides share after setup (RFC 9180 5.1, 5.2).
struct HpkeContext {
  Secret32 key;
  std::array<uint8_t, 12> base_nonce{};
  Secret32 exporter_secret;
  /// `out` is plain + 16 bytes.
  void seal(uint64_t sequence, BytesView aad, BytesView plain, std::span<uint8_t> out) const;
  Result<SecretBytes> open(uint64_t sequence, BytesView aad, BytesView ct) const;
  SecretBytes export_secret(BytesView exporter_context, size_t bytes) const;
};
struct HpkeSender {
  std::array<uint8_t, 32> enc{};
  HpkeContext context;
};
/// `psk` null: mode_base. Errors: bad_request (PSK shorter than 32 bytes or without an id), cannot_open (x25519).
Result<HpkeSender> setup_sender(const KxPublic& to, BytesView info, const Psk* psk, const KxKeyPair& ephemeral);
Result<HpkeContext> setup_receiver(const KxKeyPair& mine, BytesView enc, BytesView info, const Psk* psk);

/// The wrap of an envelope whose psk_tag is set, with the ephemeral key from DeriveKeyPair(input32); an empty `psk` is
/// mode_base, else psk_id is the tag.
Result<void> wrap_with(Envelope& envelope, const Secret32& document_key, const KxPublic& recipient, BytesView psk,
                       BytesView input32);

}  // namespace tram::crypto::detail
