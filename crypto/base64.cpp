#include "crypto/base64.h"

#include <array>

namespace tram::crypto {
namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t none = 0xff;
constexpr std::array<uint8_t, 256> values = [] {
  std::array<uint8_t, 256> out;
  out.fill(none);
  for (size_t i = 0; i < digits.size(); ++i) out[static_cast<uint8_t>(digits[i])] = static_cast<uint8_t>(i);
  return out;
}();

}  // namespace

// Signatures and roots only, which are public: they need not pay for libsodium's constant time.
std::string to_base64(BytesView bytes) {
  std::string out((bytes.size() + 2) / 3 * 4, '=');
  char* to = out.data();
  size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const uint32_t three = static_cast<uint32_t>(bytes[i]) << 16 | static_cast<uint32_t>(bytes[i + 1]) << 8 | bytes[i + 2];
    for (unsigned shift : {18u, 12u, 6u, 0u}) *to++ = digits[three >> shift & 63];
  }
  if (i == bytes.size()) return out;
  const bool two = i + 2 == bytes.size();
  const uint32_t rest = static_cast<uint32_t>(bytes[i]) << 16 | (two ? static_cast<uint32_t>(bytes[i + 1]) << 8 : 0);
  *to++ = digits[rest >> 18];
  *to++ = digits[rest >> 12 & 63];
  if (two) *to = digits[rest >> 6 & 63];
  return out;
}

std::optional<Bytes> from_base64(std::string_view in) {
  if (in.size() % 4 != 0) return std::nullopt;
  const size_t padding = in.ends_with("==") ? 2 : in.ends_with("=") ? 1 : 0;
  Bytes out;
  out.reserve(in.size() / 4 * 3);
  uint32_t bits = 0;
  unsigned held = 0;  // bits that are not out yet
  for (const char c : in.substr(0, in.size() - padding)) {
    const uint8_t value = values[static_cast<uint8_t>(c)];
    if (value == none) return std::nullopt;
    bits = bits << 6 | value;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out.push_back(static_cast<uint8_t>(bits >> held));
  }
  if ((bits & ((1u << held) - 1)) != 0) return std::nullopt;  // one value has one text
  return out;
}

}  // namespace tram::crypto
