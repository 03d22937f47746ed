#include "crypto/hash.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <new>

#include "base/check.h"

namespace tram::crypto {
namespace {

static_assert(sizeof(crypto_generichash_state) <= 384 && alignof(crypto_generichash_state) <= 64);

void absorb_label(crypto_generichash_state& state, std::string_view label) {
  TRAM_CHECK(label.size() <= 255);
  uint8_t prefix[256];
  prefix[0] = static_cast<uint8_t>(label.size());
  std::memcpy(prefix + 1, label.data(), label.size());
  crypto_generichash_update(&state, prefix, 1 + label.size());
}

Hash finish_hash(crypto_generichash_state& state) {
  Hash out;
  crypto_generichash_final(&state, out.bytes.data(), out.bytes.size());
  return out;
}

}  // namespace

Hash hash(std::string_view label, std::initializer_list<BytesView> parts) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, Hash::size);
  absorb_label(state, label);
  for (BytesView part : parts) crypto_generichash_update(&state, part.data(), part.size());
  return finish_hash(state);
}

Hash keyed_hash(BytesView key, std::string_view label, std::initializer_list<BytesView> parts) {
  TRAM_CHECK(key.size() >= 16 && key.size() <= 64);
  crypto_generichash_state state;
  crypto_generichash_init(&state, key.data(), key.size(), Hash::size);
  absorb_label(state, label);
  for (BytesView part : parts) crypto_generichash_update(&state, part.data(), part.size());
  Hash out = finish_hash(state);
  sodium_memzero(&state, sizeof state);
  return out;
}

Hash sha256(std::initializer_list<BytesView> parts) {
  // A Merkle tree is many short inputs: to make a context costs more than to hash one.
  thread_local Sha256 reused;
  for (BytesView part : parts) reused.update(part);
  return reused.finish();
}

Hasher::Hasher(std::string_view label) {
  auto* state = new (state_.data()) crypto_generichash_state;
  crypto_generichash_init(state, nullptr, 0, Hash::size);
  absorb_label(*state, label);
}

void Hasher::update(BytesView part) {
  crypto_generichash_update(reinterpret_cast<crypto_generichash_state*>(state_.data()), part.data(), part.size());
}

Hash Hasher::finish() { return finish_hash(*reinterpret_cast<crypto_generichash_state*>(state_.data())); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  TRAM_CHECK(context_ && EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::update(BytesView part) {
  TRAM_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), part.data(), part.size()) == 1);
}

Hash Sha256::finish() {
  Hash out;
  unsigned bytes = 0;
  auto* context = static_cast<EVP_MD_CTX*>(context_);
  TRAM_CHECK(EVP_DigestFinal_ex(context, out.bytes.data(), &bytes) == 1 && bytes == 32);
  TRAM_CHECK(EVP_DigestInit_ex(context, nullptr, nullptr) == 1);
  return out;
}

}  // namespace tram::crypto
