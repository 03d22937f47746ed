// XChaCha20-Poly1305 (IETF): key files and values at rest. Internal to crypto/ and its tests. Thread: any.
#pragma once
#include "crypto/keys.h"

namespace tram::crypto::detail {

inline constexpr size_t xaead_nonce_bytes = 24;
inline constexpr size_t xaead_tag_bytes = 16;

/// `out` is plain + 16 bytes; they may not overlap. key 32 bytes, nonce 24.
void xaead_seal(BytesView key, BytesView nonce, BytesView ad, BytesView plain, std::span<uint8_t> out);
/// `out` is sealed - 16 bytes. False (and zeros in `out`) when the tag does not fit.
bool xaead_open(BytesView key, BytesView nonce, BytesView ad, BytesView sealed, std::span<uint8_t> out);

}  // namespace tram::crypto::detail
