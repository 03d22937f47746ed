// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
// Not here: normalisation and the choice of allowed characters. Thread: any; values only.
#pragma once
#include <string>
#include <string_view>

namespace tram::proto {

/// True when the whole of `text` is UTF-8.
bool is_utf8(std::string_view text);
/// `text` with U+FFFD in place of every byte that is not part of UTF-8; unchanged when is_utf8(text).
std::string to_utf8(std::string_view text);

}  // namespace tram::proto
