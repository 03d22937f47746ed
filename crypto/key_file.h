// Key files: the long-term secrets of a daemon, encrypted under a passphrase (Argon2id) or a raw 32-byte key that a
// systemd credential brings (protocol.md 3.9). This file is pure: reading, permissions and prompts are io's.
// Layout in FORMAT.md: "EDXK" || u8 version || u8 source || u32 ops || u64 memory_bytes || salt(16) || nonce(24) || AEAD,
// 234 bytes; AEAD's ad is everything before it. Bounds of ops and memory are checked before anything is allocated.
// Library: verify. Thread: any.
#pragma once
#include "crypto/keys.h"

namespace tram::crypto {

/// What a node or broker owns. Officers of the authority own `sig` alone (the others zero).
struct KeyRing {
  Secret32 sig_seed;
  Secret32 log_seed;
  Secret32 curve_secret;
  Secret32 storage_key;   // codes values and derives index keys
  Secret32 hedge_secret;  // hedges document keys against a weak RNG (3.2)
};
KeyRing make_key_ring(Random&);

enum class UnlockKind : uint8_t { passphrase = 1, raw_key = 2 };
struct UnlockCost {
  uint32_t operations = 3;               // 1 .. 16
  uint64_t memory_bytes = 256ull << 20;  // chosen at creation, stored beside the hash; 8 MiB .. 1 GiB
};
inline constexpr size_t key_file_bytes = 234;
inline constexpr size_t passphrase_bytes_min = 8;
inline constexpr size_t passphrase_bytes_max = 1024;

/// Seals `ring` under a passphrase (8 .. 1,024 bytes) or raw key (exactly 32 bytes; the cost is not used).
/// Errors: bad_request (secret's length, cost outside its bounds), busy (no memory for Argon2id).
Result<Bytes> seal_key_file(const KeyRing& ring, UnlockKind, BytesView secret, UnlockCost, Random&);
/// Errors: bad_format (a cost outside its bounds too), unsupported_version, wrong_passphrase (also a damaged file: the
/// two cannot be told apart), busy (no memory for Argon2id).
Result<KeyRing> open_key_file(BytesView file, BytesView secret);
/// Which secret the file wants. Errors: bad_format, unsupported_version.
Result<UnlockKind> key_file_unlock_kind(BytesView file);
/// What it was sealed at. Errors: bad_format, unsupported_version.
Result<UnlockCost> key_file_unlock_cost(BytesView file);

/// Keyed-BLAKE2b MAC of every value, for daemons that hold no secrets (3.9): finds rot and cut-and-paste.
/// u8 version || mac(16) || plain. Stateless: any number of threads.
std::unique_ptr<ValueCodec> make_mac_codec(const Secret32& key);

}  // namespace tram::crypto
