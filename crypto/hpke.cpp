// HPKE of RFC 9180: KEM 0x0020 DHKEM(X25519, HKDF-SHA256), KDF 0x0001 HKDF-SHA256, AEAD 0x0003 ChaCha20Poly1305;
// modes base and psk. libsodium 1.0.18 has no HKDF, so it is made here from crypto_auth_hmacsha256.
#include <sodium.h>

#include "crypto/detail/aead.h"
#include "crypto/detail/hpke.h"

namespace tram::crypto {
namespace detail {
namespace {

constexpr uint8_t kem_suite[] = {'K', 'E', 'M', 0x00, 0x20};
constexpr uint8_t hpke_suite[] = {'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x03};
constexpr std::string_view version_label = "HPKE-v1";
constexpr uint8_t mode_base = 0;
constexpr uint8_t mode_psk = 1;
constexpr size_t psk_bytes_min = 32;

void begin(crypto_auth_hmacsha256_state& state, BytesView key) {
  static constexpr uint8_t nothing = 0;  // libsodium copies from the key's address even when it is empty
  crypto_auth_hmacsha256_init(&state, key.empty() ? &nothing : key.data(), key.size());
}
void update(crypto_auth_hmacsha256_state& state, BytesView part) {
  crypto_auth_hmacsha256_update(&state, part.data(), part.size());
}

Secret32 labeled_extract(BytesView suite, BytesView salt, std::string_view label, BytesView input) {
  crypto_auth_hmacsha256_state state;
  begin(state, salt);
  update(state, view(version_label));
  update(state, suite);
  update(state, view(label));
  update(state, input);
  Secret32 out;
  crypto_auth_hmacsha256_final(&state, out.data());
  sodium_memzero(&state, sizeof state);
  return out;
}

void expand(BytesView key, std::initializer_list<BytesView> info, std::span<uint8_t> out) {
  TRAM_CHECK(out.size() <= 255 * 32);
  std::array<uint8_t, 32> block{};
  uint8_t counter = 0;
  for (size_t at = 0; at < out.size(); at += block.size()) {
    crypto_auth_hmacsha256_state state;
    begin(state, key);
    if (counter > 0) update(state, block);
    for (BytesView part : info) update(state, part);
    ++counter;
    update(state, BytesView(&counter, 1));
    crypto_auth_hmacsha256_final(&state, block.data());
    std::memcpy(out.data() + at, block.data(), std::min(block.size(), out.size() - at));
    sodium_memzero(&state, sizeof state);
  }
  sodium_memzero(block.data(), block.size());
}

void labeled_expand(BytesView suite, BytesView key, std::string_view label, BytesView info, std::span<uint8_t> out) {
  uint8_t length[] = {static_cast<uint8_t>(out.size() >> 8), static_cast<uint8_t>(out.size())};
  expand(key, {length, view(version_label), suite, view(label), info}, out);
}

/// ExtractAndExpand of DHKEM: kem_context = enc || pkR.
Secret32 kem_secret(const Secret32& dh, BytesView enc, BytesView recipient) {
  std::array<uint8_t, 64> kem_context;
  std::memcpy(kem_context.data(), enc.data(), 32);
  std::memcpy(kem_context.data() + 32, recipient.data(), 32);
  Secret32 eae = labeled_extract(kem_suite, {}, "eae_prk", dh.view());
  Secret32 shared;
  labeled_expand(kem_suite, eae.view(), "shared_secret", kem_context, shared.span());
  return shared;
}

HpkeContext key_schedule(const Secret32& shared, BytesView info, const Psk* psk) {
  std::array<uint8_t, 65> schedule;
  schedule[0] = psk ? mode_psk : mode_base;
  Secret32 psk_id_hash = labeled_extract(hpke_suite, {}, "psk_id_hash", psk ? psk->id : BytesView{});
  Secret32 info_hash = labeled_extract(hpke_suite, {}, "info_hash", info);
  std::memcpy(schedule.data() + 1, psk_id_hash.view().data(), 32);
  std::memcpy(schedule.data() + 33, info_hash.view().data(), 32);
  Secret32 secret = labeled_extract(hpke_suite, shared.view(), "secret", psk ? psk->key : BytesView{});
  HpkeContext context;
  labeled_expand(hpke_suite, secret.view(), "key", schedule, context.key.span());
  labeled_expand(hpke_suite, secret.view(), "base_nonce", schedule, context.base_nonce);
  labeled_expand(hpke_suite, secret.view(), "exp", schedule, context.exporter_secret.span());
  return context;
}

Result<void> check_psk(const Psk* psk) {
  if (psk && (psk->key.size() < psk_bytes_min || psk->id.empty())) return fail(ErrorCode::bad_request, "psk");
  return {};
}

std::array<uint8_t, 12> nonce_of(const HpkeContext& context, uint64_t sequence) {
  std::array<uint8_t, 12> nonce = context.base_nonce;
  for (size_t i = 0; i < 8; ++i) nonce[4 + i] ^= static_cast<uint8_t>(sequence >> (56 - 8 * i));
  return nonce;
}

Result<HpkeSealed> seal_once(const KxPublic& to, BytesView info, BytesView aad, BytesView plain, const Psk* psk,
                             Random& random) {
  Secret32 input = make_secret(random);
  TRAM_TRY(sender, setup_sender(to, info, psk, derive_key_pair(input.view())));
  HpkeSealed out{sender.enc, Bytes(plain.size() + aead_tag_bytes)};
  sender.context.seal(0, aad, plain, out.ct);
  return out;
}

}  // namespace

std::array<uint8_t, 32> hmac_sha256(BytesView key, BytesView message) {
  crypto_auth_hmacsha256_state state;
  begin(state, key);
  update(state, message);
  std::array<uint8_t, 32> out;
  crypto_auth_hmacsha256_final(&state, out.data());
  sodium_memzero(&state, sizeof state);
  return out;
}

Secret32 hkdf_extract(BytesView salt, BytesView input) {
  auto mac = hmac_sha256(salt, input);
  Secret32 out{BytesView(mac)};
  sodium_memzero(mac.data(), mac.size());
  return out;
}

void hkdf_expand(BytesView pseudo_random_key, BytesView info, std::span<uint8_t> out) {
  expand(pseudo_random_key, {info}, out);
}

Result<Secret32> x25519(const Secret32& secret, BytesView public_key) {
  if (public_key.size() != KxPublic::size) return fail(ErrorCode::bad_format, "x25519: length");
  Secret32 shared;
  if (crypto_scalarmult(shared.data(), secret.view().data(), public_key.data()) != 0) {
    return fail(ErrorCode::cannot_open, "x25519: small order");
  }
  return shared;
}

KxKeyPair derive_key_pair(BytesView input) {
  Secret32 extracted = labeled_extract(kem_suite, {}, "dkp_prk", input);
  Secret32 secret;
  labeled_expand(kem_suite, extracted.view(), "sk", {}, secret.span());
  return kx_pair_from(secret);
}

void HpkeContext::seal(uint64_t sequence, BytesView aad, BytesView plain, std::span<uint8_t> out) const {
  aead_seal(key.view(), nonce_of(*this, sequence), aad, plain, out);
}

Result<SecretBytes> HpkeContext::open(uint64_t sequence, BytesView aad, BytesView ct) const {
  if (ct.size() < aead_tag_bytes) return fail(ErrorCode::bad_format, "hpke: length");
  SecretBytes plain(ct.size() - aead_tag_bytes);
  if (!aead_open(key.view(), nonce_of(*this, sequence), aad, ct, plain.span())) return fail(ErrorCode::cannot_open, "hpke");
  return plain;
}

SecretBytes HpkeContext::export_secret(BytesView exporter_context, size_t bytes) const {
  SecretBytes out(bytes);
  labeled_expand(hpke_suite, exporter_secret.view(), "sec", exporter_context, out.span());
  return out;
}

Result<HpkeSender> setup_sender(const KxPublic& to, BytesView info, const Psk* psk, const KxKeyPair& ephemeral) {
  TRAM_OK(check_psk(psk));
  TRAM_TRY(dh, x25519(ephemeral.secret, to));
  Secret32 shared = kem_secret(dh, ephemeral.public_key, to);
  return HpkeSender{ephemeral.public_key.bytes, key_schedule(shared, info, psk)};
}

Result<HpkeContext> setup_receiver(const KxKeyPair& mine, BytesView enc, BytesView info, const Psk* psk) {
  TRAM_OK(check_psk(psk));
  TRAM_TRY(dh, x25519(mine.secret, enc));
  Secret32 shared = kem_secret(dh, enc, mine.public_key);
  return key_schedule(shared, info, psk);
}

}  // namespace detail

Result<HpkeSealed> hpke_seal(const KxPublic& to, BytesView info, BytesView aad, BytesView plain, Random& random) {
  return detail::seal_once(to, info, aad, plain, nullptr, random);
}

Result<HpkeSealed> hpke_seal_psk(const KxPublic& to, BytesView info, BytesView aad, BytesView plain, const Psk& psk,
                                 Random& random) {
  return detail::seal_once(to, info, aad, plain, &psk, random);
}

Result<SecretBytes> hpke_open(const KxKeyPair& mine, BytesView enc, BytesView info, BytesView aad, BytesView ct) {
  TRAM_TRY(context, detail::setup_receiver(mine, enc, info, nullptr));
  return context.open(0, aad, ct);
}

Result<SecretBytes> hpke_open_psk(const KxKeyPair& mine, BytesView enc, BytesView info, BytesView aad, BytesView ct,
                                  const Psk& psk) {
  TRAM_TRY(context, detail::setup_receiver(mine, enc, info, &psk));
  return context.open(0, aad, ct);
}

}  // namespace tram::crypto
