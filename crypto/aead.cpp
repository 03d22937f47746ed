#include "crypto/detail/aead.h"

#include <openssl/evp.h>
#include <sodium.h>

namespace tram::crypto::detail {
namespace {

// Below this, making OpenSSL's context costs more than it saves.
constexpr size_t openssl_bytes_min = 8192;

bool use_openssl(AeadEngine engine, size_t bytes) {
  return engine == AeadEngine::openssl || (engine == AeadEngine::by_size && bytes >= openssl_bytes_min);
}

struct CipherContext {
  EVP_CIPHER_CTX* raw = EVP_CIPHER_CTX_new();
  CipherContext() { TRAM_CHECK(raw); }
  CipherContext(const CipherContext&) = delete;
  CipherContext& operator=(const CipherContext&) = delete;
  ~CipherContext() { EVP_CIPHER_CTX_free(raw); }
};

int length_of(BytesView bytes) {
  TRAM_CHECK(bytes.size() <= size_t{1} << 30);
  return static_cast<int>(bytes.size());
}

void openssl_seal(BytesView key, BytesView nonce, BytesView ad, BytesView plain, std::span<uint8_t> out) {
  CipherContext context;
  int written = 0;
  TRAM_CHECK(EVP_EncryptInit_ex(context.raw, EVP_chacha20_poly1305(), nullptr, key.data(), nonce.data()) == 1);
  if (!ad.empty()) TRAM_CHECK(EVP_EncryptUpdate(context.raw, nullptr, &written, ad.data(), length_of(ad)) == 1);
  if (!plain.empty()) {
    TRAM_CHECK(EVP_EncryptUpdate(context.raw, out.data(), &written, plain.data(), length_of(plain)) == 1);
    TRAM_CHECK(written == length_of(plain));
  }
  TRAM_CHECK(EVP_EncryptFinal_ex(context.raw, out.data() + plain.size(), &written) == 1 && written == 0);
  TRAM_CHECK(EVP_CIPHER_CTX_ctrl(context.raw, EVP_CTRL_AEAD_GET_TAG, aead_tag_bytes, out.data() + plain.size()) == 1);
}

bool openssl_open(BytesView key, BytesView nonce, BytesView ad, BytesView sealed, std::span<uint8_t> out) {
  CipherContext context;
  BytesView body = sealed.first(sealed.size() - aead_tag_bytes);
  std::array<uint8_t, aead_tag_bytes> tag;
  std::memcpy(tag.data(), sealed.data() + body.size(), tag.size());
  int written = 0;
  TRAM_CHECK(EVP_DecryptInit_ex(context.raw, EVP_chacha20_poly1305(), nullptr, key.data(), nonce.data()) == 1);
  TRAM_CHECK(EVP_CIPHER_CTX_ctrl(context.raw, EVP_CTRL_AEAD_SET_TAG, aead_tag_bytes, tag.data()) == 1);
  if (!ad.empty()) TRAM_CHECK(EVP_DecryptUpdate(context.raw, nullptr, &written, ad.data(), length_of(ad)) == 1);
  if (!body.empty()) {
    if (EVP_DecryptUpdate(context.raw, out.data(), &written, body.data(), length_of(body)) != 1) return false;
  }
  uint8_t nothing = 0;
  return EVP_DecryptFinal_ex(context.raw, &nothing, &written) == 1;
}

}  // namespace

void aead_seal(BytesView key, BytesView nonce, BytesView ad, BytesView plain, std::span<uint8_t> out, AeadEngine engine) {
  TRAM_CHECK(key.size() == 32 && nonce.size() == aead_nonce_bytes && out.size() == plain.size() + aead_tag_bytes);
  if (use_openssl(engine, plain.size())) return openssl_seal(key, nonce, ad, plain, out);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(), ad.data(), ad.size(), nullptr,
                                            nonce.data(), key.data());
}

bool aead_open(BytesView key, BytesView nonce, BytesView ad, BytesView sealed, std::span<uint8_t> out, AeadEngine engine) {
  TRAM_CHECK(key.size() == 32 && nonce.size() == aead_nonce_bytes);
  TRAM_CHECK(sealed.size() >= aead_tag_bytes && out.size() == sealed.size() - aead_tag_bytes);
  bool opened = use_openssl(engine, out.size())
                    ? openssl_open(key, nonce, ad, sealed, out)
                    : crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                                ad.data(), ad.size(), nonce.data(), key.data()) == 0;
  if (!opened) sodium_memzero(out.data(), out.size());
  return opened;
}

}  // namespace tram::crypto::detail
