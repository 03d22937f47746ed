#include "crypto/detail/xaead.h"

#include <sodium.h>

namespace tram::crypto::detail {

void xaead_seal(BytesView key, BytesView nonce, BytesView ad, BytesView plain, std::span<uint8_t> out) {
  TRAM_CHECK(key.size() == 32 && nonce.size() == xaead_nonce_bytes && out.size() == plain.size() + xaead_tag_bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(), ad.data(), ad.size(), nullptr,
                                             nonce.data(), key.data());
}

bool xaead_open(BytesView key, BytesView nonce, BytesView ad, BytesView sealed, std::span<uint8_t> out) {
  TRAM_CHECK(key.size() == 32 && nonce.size() == xaead_nonce_bytes);
  TRAM_CHECK(sealed.size() >= xaead_tag_bytes && out.size() == sealed.size() - xaead_tag_bytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(), sealed.size(), ad.data(),
                                                 ad.size(), nonce.data(), key.data()) == 0) {
    return true;
  }
  sodium_memzero(out.data(), out.size());
  return false;
}

}  // namespace tram::crypto::detail
