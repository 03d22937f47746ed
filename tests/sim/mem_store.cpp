#include "tests/sim/mem_store.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"

namespace tram::sim {
namespace {

using Map = MemStore::Kept;
using Value = MemStore::Value;
using Overlay = std::map<Bytes, std::optional<Value>, MemStore::KeyOrder>;

const Map& table_of(const MemStore::Tables& tables, size_t number) {
  static const Map empty;
  return number < tables.size() && tables[number] ? *tables[number] : empty;
}

/// Visits the rows of `base` changed by `overlay` with from <= key < until; ends at the first error.
template <class Visit>
Result<void> merged_scan(const Map& base, const Overlay& overlay, BytesView from, BytesView until, size_t limit, Direction direction,
                         Visit&& visit) {
  if (limit == 0 || (!until.empty() && !MemStore::KeyOrder{}(from, until))) return {};
  auto b0 = base.lower_bound(from), b1 = until.empty() ? base.end() : base.lower_bound(until);
  auto o0 = overlay.lower_bound(from), o1 = until.empty() ? overlay.end() : overlay.lower_bound(until);
  size_t rows = 0;
  if (direction == Direction::forward) {
    while (rows < limit && (b0 != b1 || o0 != o1)) {
      if (o0 == o1 || (b0 != b1 && b0->first < o0->first)) {
        TRAM_OK(visit(b0->first, b0->second));
        ++rows, ++b0;
      } else {
        if (b0 != b1 && b0->first == o0->first) ++b0;
        if (o0->second) {
          TRAM_OK(visit(o0->first, *o0->second));
          ++rows;
        }
        ++o0;
      }
    }
  } else {
    while (rows < limit && (b0 != b1 || o0 != o1)) {
      auto bp = b1;
      auto op = o1;
      if (b0 != b1) --bp;
      if (o0 != o1) --op;
      if (o0 == o1 || (b0 != b1 && bp->first > op->first)) {
        TRAM_OK(visit(bp->first, bp->second));
        ++rows;
        b1 = bp;
      } else {
        if (b0 != b1 && bp->first == op->first) b1 = bp;
        if (op->second) {
          TRAM_OK(visit(op->first, *op->second));
          ++rows;
        }
        o1 = op;
      }
    }
  }
  return {};
}

}  // namespace

/// What reading is for both kinds of transactions: `walk(visit)` goes over the rows asked for.
template <class Walk>
Result<std::vector<Row>> MemStore::rows_of(const Table& table, Walk&& walk) const {
  std::vector<Row> rows;
  TRAM_OK(walk([&](const Bytes& key, const Value& value) -> Result<void> {
    TRAM_TRY(plain, read(table, key, value));
    rows.push_back({key, *plain});
    return {};
  }));
  return rows;
}

template <class Walk>
Result<CheckedRows> MemStore::checked(const Table& table, size_t limit, Walk&& walk) const {
  CheckedRows checked;
  Bytes last;
  TRAM_OK(walk([&](const Bytes& key, const Value& value) -> Result<void> {
    if (!read(table, key, value)) checked.damaged.push_back(key);
    if (++checked.rows == limit) last = key;
    return {};
  }));
  if (checked.rows == limit) {
    checked.next = std::move(last);
    checked.next.push_back(0);
  }
  return checked;
}

class MemReadTxn final : public ReadTxn {
  auto walk(const Table& table, BytesView from, BytesView until, size_t limit, Direction direction) {
    return [=, &map = table_of(*tables_, store_.number_of(table.name))](auto&& visit) {
      static const Overlay none;
      return merged_scan(map, none, from, until, limit, direction, visit);
    };
  }

 public:
  explicit MemReadTxn(MemStore& store) : store_(store), tables_(store.tables_) {}
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    const Map& map = table_of(*tables_, store_.number_of(table.name));
    auto it = map.find(key);
    if (it == map.end()) return std::optional<Bytes>{};
    TRAM_TRY(plain, store_.read(table, key, it->second));
    return std::optional<Bytes>(*plain);
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    return store_.rows_of(table, walk(table, from, until, limit, direction));
  }
  Result<CheckedRows> check(const Table& table, BytesView from, size_t limit) override {
    return store_.checked(table, limit, walk(table, from, {}, limit, Direction::forward));
  }

 private:
  MemStore& store_;
  std::shared_ptr<const MemStore::Tables> tables_;  // a commit copies what a reader still shares
};

class MemWriteTxn final : public WriteTxn {
  auto walk(const Table& table, BytesView from, BytesView until, size_t limit, Direction direction) {
    const size_t number = store_.number_of(table.name);
    return [=, this](auto&& visit) {
      static const Overlay none;
      const Overlay* written = overlay(number);
      return merged_scan(table_of(store_.tables(), number), written ? *written : none, from, until, limit, direction, visit);
    };
  }

 public:
  explicit MemWriteTxn(MemStore& store) : store_(store), used_bytes_(store.used_bytes_) {}
  ~MemWriteTxn() override {
    if (!done_) store_.writer_alive_ = false;
  }
  MemWriteTxn(const MemWriteTxn&) = delete;
  MemWriteTxn& operator=(const MemWriteTxn&) = delete;

  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    TRAM_OK(usable());
    const Value* value = lookup(store_.number_of(table.name), key);
    if (!value) return std::optional<Bytes>{};
    TRAM_TRY(plain, store_.read(table, key, *value));
    return std::optional<Bytes>(*plain);
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    TRAM_OK(usable());
    return store_.rows_of(table, walk(table, from, until, limit, direction));
  }
  Result<CheckedRows> check(const Table& table, BytesView from, size_t limit) override {
    TRAM_OK(usable());
    return store_.checked(table, limit, walk(table, from, {}, limit, Direction::forward));
  }
  Result<void> put(const Table& table, BytesView key, BytesView plain) override {
    if (store_.codec_ && plain.size() + code_bytes_max > limits::value_bytes_max) return fail(ErrorCode::too_large, std::string(table.name));
    Bytes value = store_.codec_ ? store_.codec_->encode(table, key, plain) : to_bytes(plain);
    TRAM_OK(usable());
    if (key.empty() || key.size() > limits::key_bytes_max) return fail(ErrorCode::too_large, "key");
    if (value.size() > limits::value_bytes_max) return fail(ErrorCode::too_large, std::string(table.name));
    const size_t number = store_.number_of(table.name);
    const Value* old = lookup(number, key);
    uint64_t used = used_bytes_ - (old ? key.size() + old->coded.size() : 0) + key.size() + value.size();
    if (used > store_.options_.capacity_bytes && used > used_bytes_) {
      failed_ = true;
      return fail(ErrorCode::map_full, std::string(table.name));
    }
    used_bytes_ = used;
    own_overlay(number).insert_or_assign(to_bytes(key), Value{std::move(value), {}});
    return {};
  }
  Result<void> erase(const Table& table, BytesView key) override {
    TRAM_OK(usable());
    if (key.empty() || key.size() > limits::key_bytes_max) return {};
    const size_t number = store_.number_of(table.name);
    const Value* old = lookup(number, key);
    if (!old) return {};
    used_bytes_ -= key.size() + old->coded.size();
    own_overlay(number).insert_or_assign(to_bytes(key), std::nullopt);
    return {};
  }
  Result<void> commit() override {
    TRAM_CHECK(!done_);
    done_ = true;
    store_.writer_alive_ = false;
    if (failed_) return fail(ErrorCode::map_full);
    if (store_.next_commit_fails_) {
      ErrorCode code = *std::exchange(store_.next_commit_fails_, std::nullopt);
      if (code == ErrorCode::io_failed || code == ErrorCode::store_corrupt) store_.dead_ = code;
      if (std::exchange(store_.next_commit_lands_, false)) land();
      return fail(code, "commit");
    }
    land();
    return {};
  }

 private:
  static constexpr size_t code_bytes_max = 64;  // as coded_store allows for
  void land() {
    for (auto& [number, rows] : overlays_) {
      MemStore::Tables& tables = store_.own_tables();
      store_.changes_ += rows.size();
      if (tables.size() <= number) tables.resize(number + 1);
      Map& table = MemStore::own_rows(tables[number]);
      while (!rows.empty()) {
        auto row = rows.extract(rows.begin());
        if (row.mapped()) table.insert_or_assign(std::move(row.key()), std::move(*row.mapped()));
        else table.erase(row.key());
      }
    }
    store_.used_bytes_ = used_bytes_;
    ++store_.commits_;
  }
  Result<void> usable() const {
    TRAM_CHECK(!done_);
    if (failed_) return fail(ErrorCode::map_full);
    return {};
  }
  const Overlay* overlay(size_t number) const {
    for (const auto& [of, rows] : overlays_)
      if (of == number) return &rows;
    return nullptr;
  }
  Overlay& own_overlay(size_t number) {
    for (auto& [of, rows] : overlays_)
      if (of == number) return rows;
    return overlays_.emplace_back(number, Overlay{}).second;
  }
  const Value* lookup(size_t number, BytesView key) const {
    if (const Overlay* rows = overlay(number))
      if (auto it = rows->find(key); it != rows->end()) return it->second ? &*it->second : nullptr;
    const Map& map = table_of(store_.tables(), number);
    auto it = map.find(key);
    return it == map.end() ? nullptr : &it->second;
  }

  MemStore& store_;
  std::vector<std::pair<size_t, Overlay>> overlays_;  // of the few tables that are written
  uint64_t used_bytes_;
  bool failed_ = false;
  bool done_ = false;
};

bool MemStore::KeyOrder::operator()(BytesView a, BytesView b) const {
  const size_t both = std::min(a.size(), b.size());
  const int order = both ? std::memcmp(a.data(), b.data(), both) : 0;
  return order != 0 ? order < 0 : a.size() < b.size();
}

MemStore::MemStore(MemStoreOptions options) : options_(std::move(options)) {}

size_t MemStore::number_of(std::string_view name) {
  size_t& guess = guesses_[reinterpret_cast<uintptr_t>(name.data()) / 4 % guesses_.size()];
  if (guess < names_.size() && names_[guess] == name) return guess;
  auto known = numbers_.find(name);
  if (known == numbers_.end()) {
    TRAM_CHECK(!name.empty() && name.size() <= 24);
    TRAM_CHECK(options_.tables.empty() || std::find(options_.tables.begin(), options_.tables.end(), name) != options_.tables.end());
    known = numbers_.emplace(name, numbers_.size()).first;
    names_.push_back(known->first);
  }
  return guess = known->second;
}

Result<const Bytes*> MemStore::read(const Table& table, BytesView key, const Value& value) const {
  if (!codec_) return &value.coded;
  if (!value.plain) {
    TRAM_TRY(plain, codec_->decode(table, key, value.coded));
    value.plain = std::move(plain);
  }
  return &*value.plain;
}

MemStore::Tables& MemStore::own_tables() {
  if (tables_.use_count() > 1) tables_ = std::make_shared<Tables>(*tables_);
  return *tables_;
}

MemStore::Kept& MemStore::own_rows(std::shared_ptr<Kept>& rows) {
  if (!rows) rows = std::make_shared<Kept>();
  if (rows.use_count() > 1) rows = std::make_shared<Kept>(*rows);
  return *rows;
}

Result<std::unique_ptr<ReadTxn>> MemStore::begin_read() {
  if (dead_) return fail(*dead_, "store");
  return std::unique_ptr<ReadTxn>(std::make_unique<MemReadTxn>(*this));
}

Result<std::unique_ptr<WriteTxn>> MemStore::begin_write() {
  if (dead_) return fail(*dead_, "store");
  TRAM_CHECK(!writer_alive_);
  writer_alive_ = true;
  return std::unique_ptr<WriteTxn>(std::make_unique<MemWriteTxn>(*this));
}

bool MemStore::flip_bit(uint64_t choice) {
  uint64_t rows = 0;
  for (const auto& [name, number] : numbers_) rows += table_of(tables(), number).size();
  if (!rows) return false;
  uint64_t skip = choice % rows;
  for (const auto& [name, number] : numbers_) {
    const size_t size = table_of(tables(), number).size();
    if (skip >= size) {
      skip -= size;
      continue;
    }
    Value& value = std::next(own_rows(own_tables()[number]).begin(), static_cast<ptrdiff_t>(skip))->second;
    if (value.coded.empty()) return false;
    const uint64_t bit = choice / rows % (value.coded.size() * 8);
    value.coded[bit / 8] = static_cast<uint8_t>(value.coded[bit / 8] ^ 1u << bit % 8);
    value.plain.reset();
    return true;
  }
  return false;
}

MemStore::Image MemStore::dump() const {
  Image image;
  for (const auto& [name, number] : numbers_) {
    const Kept& kept = table_of(tables(), number);
    if (kept.empty()) continue;
    Rows& rows = image[name];
    for (const auto& [key, value] : kept) rows.emplace_hint(rows.end(), key, value.coded);
  }
  return image;
}

void MemStore::restore(const Image& image) {
  TRAM_CHECK(!writer_alive_);
  tables_ = std::make_shared<Tables>();
  used_bytes_ = 0;
  revive();
  for (const auto& [name, rows] : image) {
    const size_t number = number_of(name);
    if (tables_->size() <= number) tables_->resize(number + 1);
    Kept& kept = own_rows((*tables_)[number]);
    for (const auto& [key, value] : rows) {
      used_bytes_ += key.size() + value.size();
      kept.emplace_hint(kept.end(), key, Value{value, {}});
    }
  }
}

}  // namespace tram::sim
