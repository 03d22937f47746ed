#include "crypto/base64.h"

#include <openssl/evp.h>

#include <limits>

#include "base/check.h"

namespace tram::crypto {

// Signatures and roots only, which are public: they need not pay for libsodium's constant time.
std::string to_base64(BytesView bytes) {
  TRAM_CHECK(bytes.size() <= std::numeric_limits<int>::max() / 2);
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  EVP_EncodeBlock(reinterpret_cast<uint8_t*>(out.data()), bytes.data(), static_cast<int>(bytes.size()));
  out.pop_back();  // the terminating zero
  return out;
}

std::optional<Bytes> from_base64(std::string_view in) {
  if (in.size() % 4 != 0 || in.size() > std::numeric_limits<int>::max()) return std::nullopt;
  Bytes out(in.size() / 4 * 3);
  const auto* text = reinterpret_cast<const uint8_t*>(in.data());
  if (EVP_DecodeBlock(out.data(), text, static_cast<int>(in.size())) != static_cast<int>(out.size())) return std::nullopt;
  for (size_t i = in.size(); i > 0 && in.size() - i < 2 && in[i - 1] == '='; --i) out.pop_back();  // counted as zeros
  if (to_base64(out) != in) return std::nullopt;  // blanks at the ends, other padding
  return out;
}

}  // namespace tram::crypto
