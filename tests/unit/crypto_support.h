// What the crypto tests share: scripted and seeded randomness, hex. Everything here is deterministic.
#pragma once
#include <stdexcept>

#include "crypto/hash.h"
#include "crypto/keys.h"

namespace tram::test {

inline const bool crypto_ready = (crypto::initialize(), true);

inline Bytes hex(std::string_view digits) {
  auto bytes = from_hex(digits);
  if (!bytes) throw std::runtime_error("not hexadecimal");
  return *bytes;
}
inline Bytes repeated(uint8_t value, size_t n) { return Bytes(n, value); }
template <class Id>
Id filled(uint8_t value) {
  Id id;
  id.bytes.fill(value);
  return id;
}

/// Yields the given bytes in order and throws when they run out.
class ScriptedRandom final : public Random {
 public:
  explicit ScriptedRandom(Bytes script) : script_(std::move(script)) {}
  void fill(std::span<uint8_t> out) override {
    if (at_ + out.size() > script_.size()) throw std::runtime_error("more randomness was drawn than the vector gives");
    std::memcpy(out.data(), script_.data() + at_, out.size());
    at_ += out.size();
  }
  bool used_up() const { return at_ == script_.size(); }

 private:
  Bytes script_;
  size_t at_ = 0;
};

/// An endless stream that depends on the seed alone.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) { std::memcpy(key_.data(), &seed, sizeof seed); }
  void fill(std::span<uint8_t> out) override {
    for (size_t at = 0; at < out.size(); at += Hash::size) {
      ++counter_;
      Bytes number;
      Writer(number).u64(counter_);
      Hash block = crypto::keyed_hash(key_, "test", {number});
      std::memcpy(out.data() + at, block.bytes.data(), std::min(Hash::size, out.size() - at));
    }
  }

 private:
  std::array<uint8_t, 32> key_{};
  uint64_t counter_ = 0;
};

inline Bytes random_bytes(Random& random, size_t n) {
  Bytes out(n);
  random.fill(out);
  return out;
}

}  // namespace tram::test
