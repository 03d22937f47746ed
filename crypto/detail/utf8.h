// RFC 3629, for what crypto/ itself decodes: no overlong forms, no surrogates, nothing above U+10FFFF. Library: verify.
#pragma once
#include "base/bytes.h"

namespace tram::crypto {

bool well_formed_utf8(BytesView bytes);

}  // namespace tram::crypto
