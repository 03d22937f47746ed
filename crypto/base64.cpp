#include "crypto/base64.h"

#include <array>

namespace tram::crypto {
namespace {

// Signatures and roots only, which are public: tables may be looked up, as libsodium must not.
constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t no_digit = 64;  // a bit that no digit's value has
constexpr auto values = [] {
  std::array<uint8_t, 256> table{};
  table.fill(no_digit);
  for (size_t i = 0; i < digits.size(); ++i) table[static_cast<uint8_t>(digits[i])] = static_cast<uint8_t>(i);
  return table;
}();

}  // namespace

std::string to_base64(BytesView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t some = std::min<size_t>(3, bytes.size() - i);
    uint32_t three = 0;
    for (size_t j = 0; j < 3; ++j) three = three << 8 | (j < some ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= some ? digits[three >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::optional<Bytes> from_base64(std::string_view in) {
  if (in.size() % 4 != 0) return std::nullopt;
  Bytes out(in.size() / 4 * 3);
  size_t size = 0;
  for (size_t i = 0; i < in.size(); i += 4) {
    size_t some = 3;  // bytes of these four characters
    if (i + 4 == in.size() && in[i + 3] == '=') some = in[i + 2] == '=' ? 1 : 2;
    const auto value = [&](size_t j) { return uint32_t{values[static_cast<uint8_t>(in[i + j])]}; };
    const uint32_t a = value(0), b = value(1), c = some > 1 ? value(2) : 0, d = some > 2 ? value(3) : 0;
    if ((a | b | c | d) & no_digit) return std::nullopt;
    const uint32_t three = a << 18 | b << 12 | c << 6 | d;
    if ((three << 8 * some & 0xffffff) != 0) return std::nullopt;
    out[size] = static_cast<uint8_t>(three >> 16);
    out[size + 1] = static_cast<uint8_t>(three >> 8);
    out[size + 2] = static_cast<uint8_t>(three);
    size += some;
  }
  out.resize(size);
  return out;
}

}  // namespace tram::crypto
