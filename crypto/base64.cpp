#include "crypto/base64.h"

#include <sodium.h>

namespace tram::crypto {
namespace {
constexpr int base64_kind = sodium_base64_VARIANT_ORIGINAL;
}

std::string to_base64(BytesView bytes) {
  std::string out(sodium_base64_ENCODED_LEN(bytes.size(), base64_kind), '\0');
  sodium_bin2base64(out.data(), out.size(), bytes.data(), bytes.size(), base64_kind);
  out.pop_back();  // the terminating zero
  return out;
}

std::optional<Bytes> from_base64(std::string_view in) {
  Bytes out(in.size() / 4 * 3 + 3);
  size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(out.data(), out.size(), in.data(), in.size(), nullptr, &size, &end, base64_kind) != 0 ||
      end != in.data() + in.size()) {
    return std::nullopt;
  }
  out.resize(size);
  if (to_base64(out) != in) return std::nullopt;
  return out;
}

}  // namespace tram::crypto
