// Base64 of RFC 4648 section 4 in its one canonical form. Library: verify. Thread: any.
#pragma once
#include "base/bytes.h"

namespace tram::crypto {

std::string to_base64(BytesView bytes);
/// The bytes, or nothing: padding is wanted, stray bits and white space are refused.
std::optional<Bytes> from_base64(std::string_view text);

}  // namespace tram::crypto
