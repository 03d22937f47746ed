// Hashes of EDX1 (protocol.md 3.1, 4.3): BLAKE2b-256 with domain labels for ids and PRF, SHA-256 where a
// standard demands it. Nothing here allocates but Sha256, and sha256 the first time in a thread. Labels are at most 255 bytes of ASCII.
// Library: verify. Thread: any.
#pragma once
#include <initializer_list>

#include "base/digest.h"

namespace tram::crypto {

/// H(l; x) = BLAKE2b-256(LP(l) || x); the parts are concatenated.
Hash hash(std::string_view label, std::initializer_list<BytesView> parts);
/// F(k; l; x) = BLAKE2b-256(key = k, LP(l) || x); key of 16..64 bytes.
Hash keyed_hash(BytesView key, std::string_view label, std::initializer_list<BytesView> parts);
/// H(l; x) as a given 32-byte id type.
template <class Id>
Id hash_as(std::string_view label, std::initializer_list<BytesView> parts) {
  return Id{hash(label, parts).bytes};
}
Hash sha256(std::initializer_list<BytesView> parts);

/// H(l; x) over a stream.
class Hasher {
 public:
  explicit Hasher(std::string_view label);
  void update(BytesView part);
  /// Once only.
  Hash finish();

 private:
  alignas(64) std::array<uint8_t, 384> state_;  // crypto_generichash_state
};

/// SHA-256 over a stream (files; legal metadata).
class Sha256 final : public Digest {
 public:
  Sha256();
  ~Sha256() override;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(BytesView part) override;
  Hash finish() override;

 private:
  void* context_;  // EVP_MD_CTX: SHA-NI where the machine has it
};

}  // namespace tram::crypto
