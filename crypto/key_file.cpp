#include "crypto/key_file.h"

#include <sodium.h>

#include <array>

#include "crypto/detail/xaead.h"
#include "crypto/hash.h"

namespace tram::crypto {
namespace {

constexpr uint8_t file_version = 1;
constexpr size_t salt_bytes = 16;
constexpr size_t prefix_bytes = 4 + 1 + 1 + 4 + 8 + salt_bytes + detail::xaead_nonce_bytes;
constexpr size_t ring_bytes = 5 * 32;
static_assert(salt_bytes == crypto_pwhash_SALTBYTES);
static_assert(prefix_bytes + ring_bytes + detail::xaead_tag_bytes == key_file_bytes);

constexpr uint32_t operations_max = 16;
constexpr uint64_t memory_bytes_min = 8ull << 20;
constexpr uint64_t memory_bytes_max = 1ull << 30;

bool within_bounds(const UnlockCost& cost) {
  return cost.operations >= 1 && cost.operations <= operations_max && cost.memory_bytes >= memory_bytes_min &&
         cost.memory_bytes <= memory_bytes_max;
}

bool fits(UnlockKind kind, BytesView secret) {
  if (kind == UnlockKind::raw_key) return secret.size() == 32;
  return secret.size() >= passphrase_bytes_min && secret.size() <= passphrase_bytes_max;
}

struct Prefix {
  UnlockKind kind = UnlockKind::passphrase;
  UnlockCost cost;
  BytesView salt, nonce;
};

Result<Prefix> decode_prefix(BytesView file) {
  Reader in(file);
  if (!equal(in.raw(4), view("EDXK"))) return fail(ErrorCode::bad_format, "key file: magic");
  uint8_t version = in.u8();
  if (!in.ok()) return fail(ErrorCode::bad_format, "key file: length");
  if (version != file_version) return fail(ErrorCode::unsupported_version, "key file: version");
  if (file.size() != key_file_bytes) return fail(ErrorCode::bad_format, "key file: length");
  uint8_t kind = in.u8();
  Prefix prefix;
  prefix.cost.operations = in.u32();
  prefix.cost.memory_bytes = in.u64();
  prefix.salt = in.raw(salt_bytes);
  prefix.nonce = in.raw(detail::xaead_nonce_bytes);
  if (kind == static_cast<uint8_t>(UnlockKind::passphrase)) {
    if (!within_bounds(prefix.cost)) return fail(ErrorCode::bad_format, "key file: cost");
  } else if (kind == static_cast<uint8_t>(UnlockKind::raw_key)) {
    if (prefix.cost.operations != 0 || prefix.cost.memory_bytes != 0) return fail(ErrorCode::bad_format, "key file: cost");
  } else {
    return fail(ErrorCode::bad_format, "key file: source");
  }
  prefix.kind = static_cast<UnlockKind>(kind);
  return prefix;
}

/// F(x; "edx1/keyfile"; salt), x the raw key or Argon2id of the passphrase.
Result<Secret32> file_key(const Prefix& prefix, BytesView secret) {
  Secret32 stretched;
  if (prefix.kind == UnlockKind::passphrase) {
    if (crypto_pwhash(stretched.data(), Secret32::size(), reinterpret_cast<const char*>(secret.data()), secret.size(),
                      prefix.salt.data(), prefix.cost.operations, static_cast<size_t>(prefix.cost.memory_bytes),
                      crypto_pwhash_ALG_ARGON2ID13) != 0) {
      return fail(ErrorCode::busy, "no memory to unlock the key file");
    }
  } else {
    stretched = Secret32(secret);
  }
  return derive_secret(stretched.view(), "edx1/keyfile", {prefix.salt});
}

constexpr uint8_t mac_version = 1;
constexpr size_t mac_bytes = 16;

class MacCodec final : public ValueCodec {
 public:
  explicit MacCodec(const Secret32& key) : key_(key.clone()) {}

  Bytes encode(const Table& table, BytesView key, BytesView plain) override {
    Bytes out;
    out.reserve(1 + mac_bytes + plain.size());
    Writer(out).u8(mac_version).raw(mac(table, key, plain)).raw(plain);
    return out;
  }

  Result<Bytes> decode(const Table& table, BytesView key, BytesView coded) override {
    if (coded.size() < 1 + mac_bytes || coded[0] != mac_version) return fail(ErrorCode::store_corrupt, std::string(table.name));
    BytesView plain = coded.subspan(1 + mac_bytes);
    if (!secret_equal(coded.subspan(1, mac_bytes), mac(table, key, plain))) {
      return fail(ErrorCode::store_corrupt, std::string(table.name));
    }
    return to_bytes(plain);
  }

 private:
  std::array<uint8_t, mac_bytes> mac(const Table& table, BytesView key, BytesView plain) const {
    auto table_bytes = static_cast<uint8_t>(table.name.size());
    uint8_t key_bytes[] = {static_cast<uint8_t>(key.size() >> 8), static_cast<uint8_t>(key.size())};
    Hash full = keyed_hash(key_.view(), "edx1/mac",
                           {BytesView(&mac_version, 1), BytesView(&table_bytes, 1), view(table.name), key_bytes, key, plain});
    std::array<uint8_t, mac_bytes> out;
    std::memcpy(out.data(), full.bytes.data(), mac_bytes);
    return out;
  }

  Secret32 key_;
};

}  // namespace

KeyRing make_key_ring(Random& random) {
  KeyRing ring;
  for (Secret32* secret : {&ring.sig_seed, &ring.log_seed, &ring.curve_secret, &ring.storage_key, &ring.hedge_secret}) {
    random.fill(secret->span());
  }
  return ring;
}

Result<Bytes> seal_key_file(const KeyRing& ring, UnlockKind kind, BytesView secret, UnlockCost cost, Random& random) {
  if (!fits(kind, secret)) return fail(ErrorCode::bad_request, "key file: length of the secret");
  if (kind == UnlockKind::raw_key) cost = {0, 0};
  if (kind == UnlockKind::passphrase && !within_bounds(cost)) return fail(ErrorCode::bad_request, "key file: cost");
  std::array<uint8_t, salt_bytes + detail::xaead_nonce_bytes> fresh;
  random.fill(fresh);
  Bytes file;
  file.reserve(key_file_bytes);
  Writer(file).raw("EDXK").u8(file_version).u8(static_cast<uint8_t>(kind)).u32(cost.operations).u64(cost.memory_bytes).raw(fresh);

  Prefix prefix{kind, cost, BytesView(fresh).first(salt_bytes), BytesView(fresh).subspan(salt_bytes)};
  TRAM_TRY(key, file_key(prefix, secret));
  SecretBytes plain(ring_bytes);
  size_t at = 0;
  for (const Secret32* part : {&ring.sig_seed, &ring.log_seed, &ring.curve_secret, &ring.storage_key, &ring.hedge_secret}) {
    std::memcpy(plain.span().data() + at, part->view().data(), Secret32::size());
    at += Secret32::size();
  }
  file.resize(key_file_bytes);
  BytesView ad = BytesView(file).first(prefix_bytes);
  detail::xaead_seal(key.view(), prefix.nonce, ad, plain.view(), std::span(file).subspan(prefix_bytes));
  return file;
}

Result<KeyRing> open_key_file(BytesView file, BytesView secret) {
  TRAM_TRY(prefix, decode_prefix(file));
  if (!fits(prefix.kind, secret)) return fail(ErrorCode::wrong_passphrase);
  TRAM_TRY(key, file_key(prefix, secret));
  SecretBytes plain(ring_bytes);
  if (!detail::xaead_open(key.view(), prefix.nonce, file.first(prefix_bytes), file.subspan(prefix_bytes), plain.span())) {
    return fail(ErrorCode::wrong_passphrase);
  }
  KeyRing ring;
  Reader in(plain.view());
  for (Secret32* part : {&ring.sig_seed, &ring.log_seed, &ring.curve_secret, &ring.storage_key, &ring.hedge_secret}) {
    *part = Secret32(in.raw(Secret32::size()));
  }
  return ring;
}

Result<UnlockCost> key_file_unlock_cost(BytesView file) {
  TRAM_TRY(prefix, decode_prefix(file));
  return prefix.cost;
}

Result<UnlockKind> key_file_unlock_kind(BytesView file) {
  TRAM_TRY(prefix, decode_prefix(file));
  return prefix.kind;
}

std::unique_ptr<ValueCodec> make_mac_codec(const Secret32& key) { return std::make_unique<MacCodec>(key); }

}  // namespace tram::crypto
