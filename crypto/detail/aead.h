// ChaCha20-Poly1305 (IETF, RFC 8439) by two engines that make the same bytes: libsodium for what is small, OpenSSL for
// chunks and slots (measured 2.4 against 1.1 GB/s on AVX-512). Internal to crypto/ and its tests. Thread: any.
#pragma once
#include "crypto/keys.h"

namespace tram::crypto::detail {

inline constexpr size_t aead_nonce_bytes = 12;
inline constexpr size_t aead_tag_bytes = 16;
enum class AeadEngine { by_size, sodium, openssl };

/// `out` is plain + 16 bytes; they may not overlap. key 32 bytes, nonce 12.
void aead_seal(BytesView key, BytesView nonce, BytesView ad, BytesView plain, std::span<uint8_t> out,
               AeadEngine engine = AeadEngine::by_size);
/// `out` is sealed - 16 bytes. False (and zeros in `out`) when the tag does not fit.
bool aead_open(BytesView key, BytesView nonce, BytesView ad, BytesView sealed, std::span<uint8_t> out,
               AeadEngine engine = AeadEngine::by_size);

}  // namespace tram::crypto::detail
