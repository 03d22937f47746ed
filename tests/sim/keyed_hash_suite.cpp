// Stands in for the slow primitives of libsodium in tram-sim (not in tram-sim-real, which is otherwise the same program):
// signatures, key agreement, AEAD and BLAKE2b (ids, MACs of stored values) by a fast keyed hash. Same sizes, same answers to
// what is altered, wrong or foreign; no secrecy whatever: parties of the simulator forge nothing that needs it. Merkle trees
// stay SHA-256.
// Invariants: deterministic; a changed bit of key, nonce, message or tag is noticed; X25519 commutes; a hash knows nothing of
// the pieces in which it was given its bytes.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace {

using Span = std::span<const unsigned char>;
using Length = unsigned long long;

__extension__ using Wide = unsigned __int128;

inline uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<Wide>(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xe7037ed1a0b428dbu);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t word(const unsigned char* at) {
  uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

struct Hasher {
  uint64_t a = 0x243f6a8885a308d3u, b = 0x13198a2e03707344u;
  Hasher& add(Span bytes) {
    size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
      a = mix(a, word(bytes.data() + i));
      b = b * 0xa0761d6478bd642fu + a;
    }
    unsigned char last[8]{};
    if (i < bytes.size()) std::memcpy(last, bytes.data() + i, bytes.size() - i);
    a = mix(a, word(last) ^ bytes.size());
    b = mix(b, a);
    return *this;
  }
  /// Any number of bytes, a multiple of 8.
  void out(unsigned char* to, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
      a = mix(a, b + i);
      b = mix(b, a);
      std::memcpy(to + i, &b, 8);
    }
  }
};

/// In the place of libsodium's state, which is larger. Blocks of four words, each in a lane of its own.
struct GenericHash {
  static constexpr size_t block_bytes = 32;
  std::array<uint64_t, 4> a, b;
  uint64_t length;  // bytes in all
  std::array<unsigned char, block_bytes> held;

  void begin(Span key, size_t out_bytes) {
    a = {0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u, 0x082efa98ec4e6c89u};
    b = {key.size(), out_bytes, 0, 0};
    length = 0;
    held = {};
    if (key.empty()) return;
    add(key);
    length = 0;
    take(held.data());
  }
  void take(const unsigned char* block) {
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = mix(a[i], word(block + 8 * i));
      b[i] = b[i] * 0xa0761d6478bd642fu + a[i];
    }
  }
  void add(Span bytes) {
    if (bytes.empty()) return;  // no address either
    const size_t before = static_cast<size_t>(length % block_bytes);
    length += bytes.size();
    if (before) {
      const size_t some = bytes.size() < block_bytes - before ? bytes.size() : block_bytes - before;
      std::memcpy(held.data() + before, bytes.data(), some);
      if (before + some < block_bytes) return;
      take(held.data());
      bytes = bytes.subspan(some);
    }
    for (; bytes.size() >= block_bytes; bytes = bytes.subspan(block_bytes)) take(bytes.data());
    if (!bytes.empty()) std::memcpy(held.data(), bytes.data(), bytes.size());
  }
  void end(unsigned char* out, size_t n) {
    const size_t left = static_cast<size_t>(length % block_bytes);
    std::memset(held.data() + left, 0, block_bytes - left);
    take(held.data());
    Hasher all{length, b[0]};
    for (size_t i = 0; i < a.size(); ++i) {
      all.a = mix(all.a, a[i]);
      all.b = mix(all.b, b[i] ^ all.a);
    }
    all.out(out, n);
  }
};

void stream(Span key, Span nonce, const unsigned char* in, unsigned char* out, size_t n) {
  Hasher hasher;
  hasher.add(key).add(nonce);
  uint64_t state = hasher.a, block = hasher.b;
  for (size_t i = 0; i < n; i += 8) {
    state += 0x9e3779b97f4a7c15u;
    const uint64_t pad = mix(state, block);
    const size_t some = n - i < 8 ? n - i : 8;
    uint64_t value = 0;
    std::memcpy(&value, in + i, some);
    value ^= pad;
    std::memcpy(out + i, &value, some);
  }
}

using Tag = std::array<unsigned char, 16>;
Tag tag_of(Span key, Span nonce, Span ad, Span sealed) {
  Tag tag;
  Hasher().add(key).add(nonce).add(ad).add(sealed).out(tag.data(), tag.size());
  return tag;
}

int seal(unsigned char* c, Length* c_length, const unsigned char* m, Length m_length, Span ad, Span nonce, Span key) {
  stream(key, nonce, m, c, m_length);
  const Tag tag = tag_of(key, nonce, ad, {c, static_cast<size_t>(m_length)});
  std::memcpy(c + m_length, tag.data(), tag.size());
  if (c_length) *c_length = m_length + tag.size();
  return 0;
}

int open(unsigned char* m, Length* m_length, const unsigned char* c, Length c_length, Span ad, Span nonce, Span key) {
  if (c_length < sizeof(Tag)) return -1;
  const size_t n = static_cast<size_t>(c_length) - sizeof(Tag);
  const Tag tag = tag_of(key, nonce, ad, {c, n});
  if (std::memcmp(tag.data(), c + n, tag.size()) != 0) return -1;
  stream(key, nonce, c, m, n);
  if (m_length) *m_length = n;
  return 0;
}

void signature_of(unsigned char* out, Span public_key, Span message) { Hasher().add(public_key).add(message).out(out, 64); }

}  // namespace

extern "C" {

int crypto_sign_seed_keypair(unsigned char* public_key, unsigned char* secret_key, const unsigned char* seed) {
  Hasher().add({seed, 32}).out(public_key, 32);
  std::memmove(secret_key, seed, 32);
  std::memcpy(secret_key + 32, public_key, 32);
  return 0;
}
int crypto_sign_detached(unsigned char* signature, Length* length, const unsigned char* m, Length m_length, const unsigned char* secret_key) {
  signature_of(signature, {secret_key + 32, 32}, {m, static_cast<size_t>(m_length)});
  if (length) *length = 64;
  return 0;
}
int crypto_sign_verify_detached(const unsigned char* signature, const unsigned char* m, Length m_length, const unsigned char* public_key) {
  unsigned char expected[64];
  signature_of(expected, {public_key, 32}, {m, static_cast<size_t>(m_length)});
  return std::memcmp(expected, signature, sizeof expected) == 0 ? 0 : -1;
}
int crypto_core_ed25519_is_valid_point(const unsigned char*) { return 1; }

/// Four products of odd numbers: n * (m * G) = m * (n * G).
int crypto_scalarmult(unsigned char* q, const unsigned char* n, const unsigned char* p) {
  for (size_t i = 0; i < 32; i += 8) {
    const uint64_t product = (word(n + i) | 1) * (word(p + i) | 1);
    std::memcpy(q + i, &product, 8);
  }
  return 0;
}
int crypto_scalarmult_base(unsigned char* q, const unsigned char* n) {
  static constexpr unsigned char base[32] = {9, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 3, 2, 3, 8, 4, 6, 2, 6, 5, 3, 3, 8, 3, 2, 7, 9};
  return crypto_scalarmult(q, n, base);
}

int crypto_aead_xchacha20poly1305_ietf_encrypt(unsigned char* c, Length* c_length, const unsigned char* m, Length m_length, const unsigned char* ad,
                                               Length ad_length, const unsigned char*, const unsigned char* nonce, const unsigned char* key) {
  return seal(c, c_length, m, m_length, {ad, static_cast<size_t>(ad_length)}, {nonce, 24}, {key, 32});
}
int crypto_aead_xchacha20poly1305_ietf_decrypt(unsigned char* m, Length* m_length, unsigned char*, const unsigned char* c, Length c_length,
                                               const unsigned char* ad, Length ad_length, const unsigned char* nonce, const unsigned char* key) {
  return open(m, m_length, c, c_length, {ad, static_cast<size_t>(ad_length)}, {nonce, 24}, {key, 32});
}
int crypto_aead_chacha20poly1305_ietf_encrypt(unsigned char* c, Length* c_length, const unsigned char* m, Length m_length, const unsigned char* ad,
                                              Length ad_length, const unsigned char*, const unsigned char* nonce, const unsigned char* key) {
  return seal(c, c_length, m, m_length, {ad, static_cast<size_t>(ad_length)}, {nonce, 12}, {key, 32});
}
int crypto_aead_chacha20poly1305_ietf_decrypt(unsigned char* m, Length* m_length, unsigned char*, const unsigned char* c, Length c_length,
                                              const unsigned char* ad, Length ad_length, const unsigned char* nonce, const unsigned char* key) {
  return open(m, m_length, c, c_length, {ad, static_cast<size_t>(ad_length)}, {nonce, 12}, {key, 32});
}

int crypto_generichash_init(GenericHash* state, const unsigned char* key, size_t key_length, size_t out_length) {
  state->begin({key, key_length}, out_length);
  return 0;
}
int crypto_generichash_update(GenericHash* state, const unsigned char* in, Length length) {
  state->add({in, static_cast<size_t>(length)});
  return 0;
}
int crypto_generichash_final(GenericHash* state, unsigned char* out, size_t out_length) {
  state->end(out, out_length);
  return 0;
}

}  // extern "C"
