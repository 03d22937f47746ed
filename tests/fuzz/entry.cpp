#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

void require(bool holds, std::string_view property) {
  if (holds) return;
  std::fprintf(stderr, "broken: %.*s\n", static_cast<int>(property.size()), property.data());
  std::abort();
}

const crypto::SigningKey& signer() {
  static const crypto::SigningKey key(crypto::Secret32(Bytes(32, 0x5a)));
  return key;
}

uint64_t draw(BytesView in) {
  uint64_t value = 0xcbf29ce484222325u;
  for (uint8_t byte : in) value = (value ^ byte) * 0x100000001b3u;
  return value >> 7;
}

void Chance::fill(std::span<uint8_t> out) {
  for (auto& byte : out) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(state_ >> 56);
  }
}

}  // namespace tram::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***);
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  tram::crypto::initialize();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tram::fuzz::one_input({data, size});
  return 0;
}
