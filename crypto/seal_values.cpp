// Values at rest of a daemon that holds secrets, and the slots of staged uploads (3.9).
#include <map>

#include "base/limits.h"
#include "crypto/detail/aead.h"
#include "crypto/detail/xaead.h"
#include "crypto/seal.h"

namespace tram::crypto {
namespace {

constexpr uint8_t value_version = 1;
constexpr size_t value_prefix_bytes = 1 + detail::xaead_nonce_bytes;
constexpr size_t value_overhead_bytes = value_prefix_bytes + detail::xaead_tag_bytes;

class SealCodec final : public ValueCodec {
 public:
  SealCodec(const Secret32& storage_key, Random& random, std::span<const Table> known)
      : storage_key_(storage_key.clone()), random_(random) {
    for (const Table& table : known) table_keys_.emplace(table.name, derive(table));
  }

  Bytes encode(const Table& table, BytesView key, BytesView plain) override {
    Bytes out(value_overhead_bytes + plain.size());
    out[0] = value_version;
    std::span<uint8_t> nonce = std::span(out).subspan(1, detail::xaead_nonce_bytes);
    random_.fill(nonce);
    with_key(table, [&](const Secret32& table_key) {
      detail::xaead_seal(table_key.view(), nonce, associated_data(table, key), plain,
                         std::span(out).subspan(value_prefix_bytes));
      return true;
    });
    return out;
  }

  Result<Bytes> decode(const Table& table, BytesView key, BytesView coded) override {
    if (coded.size() < value_overhead_bytes || coded[0] != value_version) {
      return fail(ErrorCode::store_corrupt, std::string(table.name));
    }
    Bytes plain(coded.size() - value_overhead_bytes);
    const bool opened = with_key(table, [&](const Secret32& table_key) {
      return detail::xaead_open(table_key.view(), coded.subspan(1, detail::xaead_nonce_bytes),
                                associated_data(table, key), coded.subspan(value_prefix_bytes), plain);
    });
    if (!opened) return fail(ErrorCode::store_corrupt, std::string(table.name));
    return plain;
  }

 private:
  /// LP(table) || key || version.
  static Bytes associated_data(const Table& table, BytesView key) {
    Bytes ad;
    ad.reserve(1 + table.name.size() + key.size() + 1);
    Writer(ad).label(table.name).raw(key).u8(value_version);
    return ad;
  }
  Secret32 derive(const Table& table) const {
    auto name_bytes = static_cast<uint8_t>(table.name.size());
    return derive_secret(storage_key_.view(), "edx1/table", {BytesView(&name_bytes, 1), view(table.name)});
  }
  template <class Use>
  bool with_key(const Table& table, Use&& use) const {
    auto it = table_keys_.find(table.name);
    return it == table_keys_.end() ? use(derive(table)) : use(it->second);
  }

  Secret32 storage_key_;
  Random& random_;
  std::map<std::string, Secret32, std::less<>> table_keys_;  // constant: many threads read
};

std::array<uint8_t, detail::aead_nonce_bytes> slot_nonce(uint64_t slot) {
  std::array<uint8_t, detail::aead_nonce_bytes> nonce{};
  for (size_t i = 0; i < 8; ++i) nonce[i] = static_cast<uint8_t>(slot >> (56 - 8 * i));
  return nonce;
}

}  // namespace

std::unique_ptr<ValueCodec> make_seal_codec(const Secret32& storage_key, Random& random, std::span<const Table> known) {
  return std::make_unique<SealCodec>(storage_key, random, known);
}

Hash index_key(const Secret32& storage_key, std::string_view label, BytesView data) {
  Secret32 index = derive_secret(storage_key.view(), "edx1/index", {});
  return keyed_hash(index.view(), label, {data});
}

void seal_slot(const Secret32& key, uint64_t slot, BytesView plain, std::span<uint8_t> out) {
  detail::aead_seal(key.view(), slot_nonce(slot), {}, plain, out);
}

Result<void> open_slot(const Secret32& key, uint64_t slot, BytesView sealed, std::span<uint8_t> out) {
  if (sealed.size() < limits::chunk_overhead_bytes || out.size() != sealed.size() - limits::chunk_overhead_bytes) {
    return fail(ErrorCode::bad_format, "slot: length");
  }
  if (!detail::aead_open(key.view(), slot_nonce(slot), {}, sealed, out)) return fail(ErrorCode::cannot_open, "slot");
  return {};
}

}  // namespace tram::crypto
