#include "tests/sim/mem_store.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"

namespace tram::sim {
namespace {

using Map = MemStore::Rows;
using Overlay = std::map<Bytes, std::optional<Bytes>, MemStore::KeyOrder>;

const Map& table_of(const MemStore::Tables& tables, size_t number) {
  static const Map empty;
  return number < tables.size() && tables[number] ? *tables[number] : empty;
}

/// The rows of `base` changed by `overlay` with from <= key < until.
std::vector<Row> merged_scan(const Map& base, const Overlay& overlay, BytesView from, BytesView until, size_t limit, Direction direction) {
  std::vector<Row> rows;
  if (limit == 0 || (!until.empty() && !MemStore::KeyOrder{}(from, until))) return rows;
  auto b0 = base.lower_bound(from), b1 = until.empty() ? base.end() : base.lower_bound(until);
  auto o0 = overlay.lower_bound(from), o1 = until.empty() ? overlay.end() : overlay.lower_bound(until);
  if (direction == Direction::forward) {
    while (rows.size() < limit && (b0 != b1 || o0 != o1)) {
      if (o0 == o1 || (b0 != b1 && b0->first < o0->first)) {
        rows.push_back({b0->first, b0->second});
        ++b0;
      } else {
        if (b0 != b1 && b0->first == o0->first) ++b0;
        if (o0->second) rows.push_back({o0->first, *o0->second});
        ++o0;
      }
    }
  } else {
    while (rows.size() < limit && (b0 != b1 || o0 != o1)) {
      auto bp = b1;
      auto op = o1;
      if (b0 != b1) --bp;
      if (o0 != o1) --op;
      if (o0 == o1 || (b0 != b1 && bp->first > op->first)) {
        rows.push_back({bp->first, bp->second});
        b1 = bp;
      } else {
        if (b0 != b1 && bp->first == op->first) b1 = bp;
        if (op->second) rows.push_back({op->first, *op->second});
        o1 = op;
      }
    }
  }
  return rows;
}

}  // namespace

class MemReadTxn final : public ReadTxn {
 public:
  explicit MemReadTxn(MemStore& store) : store_(store), tables_(store.tables_) {}
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    const Map& map = table_of(*tables_, store_.number_of(table.name));
    auto it = map.find(key);
    return it == map.end() ? std::optional<Bytes>{} : std::optional<Bytes>(it->second);
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    return merged_scan(table_of(*tables_, store_.number_of(table.name)), {}, from, until, limit, direction);
  }

 private:
  MemStore& store_;
  std::shared_ptr<const MemStore::Tables> tables_;  // a commit copies what a reader still shares
};

class MemWriteTxn final : public WriteTxn {
 public:
  explicit MemWriteTxn(MemStore& store) : store_(store), used_bytes_(store.used_bytes_) {}
  ~MemWriteTxn() override {
    if (!done_) store_.writer_alive_ = false;
  }
  MemWriteTxn(const MemWriteTxn&) = delete;
  MemWriteTxn& operator=(const MemWriteTxn&) = delete;

  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    TRAM_OK(usable());
    const Bytes* value = lookup(store_.number_of(table.name), key);
    return value ? std::optional<Bytes>(*value) : std::optional<Bytes>{};
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    TRAM_OK(usable());
    static const Overlay none;
    const size_t number = store_.number_of(table.name);
    const Overlay* written = overlay(number);
    return merged_scan(table_of(store_.tables(), number), written ? *written : none, from, until, limit, direction);
  }
  Result<void> put(const Table& table, BytesView key, BytesView value) override {
    TRAM_OK(usable());
    if (key.empty() || key.size() > limits::key_bytes_max) return fail(ErrorCode::too_large, "key");
    if (value.size() > limits::value_bytes_max) return fail(ErrorCode::too_large, std::string(table.name));
    const size_t number = store_.number_of(table.name);
    const Bytes* old = lookup(number, key);
    uint64_t used = used_bytes_ - (old ? key.size() + old->size() : 0) + key.size() + value.size();
    if (used > store_.options_.capacity_bytes && used > used_bytes_) {
      failed_ = true;
      return fail(ErrorCode::map_full, std::string(table.name));
    }
    used_bytes_ = used;
    own_overlay(number).insert_or_assign(to_bytes(key), to_bytes(value));
    return {};
  }
  Result<void> erase(const Table& table, BytesView key) override {
    TRAM_OK(usable());
    if (key.empty() || key.size() > limits::key_bytes_max) return {};
    const size_t number = store_.number_of(table.name);
    const Bytes* old = lookup(number, key);
    if (!old) return {};
    used_bytes_ -= key.size() + old->size();
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
  const Bytes* lookup(size_t number, BytesView key) const {
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
  if (const auto known = numbers_.find(name); known != numbers_.end()) return known->second;
  TRAM_CHECK(!name.empty() && name.size() <= 24);
  TRAM_CHECK(options_.tables.empty() || std::find(options_.tables.begin(), options_.tables.end(), name) != options_.tables.end());
  const auto [it, fresh] = numbers_.emplace(name, numbers_.size());
  names_.emplace(it->first, it->second);
  return it->second;
}

MemStore::Tables& MemStore::own_tables() {
  if (tables_.use_count() > 1) tables_ = std::make_shared<Tables>(*tables_);
  return *tables_;
}

MemStore::Rows& MemStore::own_rows(std::shared_ptr<Rows>& rows) {
  if (!rows) rows = std::make_shared<Rows>();
  if (rows.use_count() > 1) rows = std::make_shared<Rows>(*rows);
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
  for (const auto& [name, number] : names_) rows += table_of(tables(), number).size();
  if (!rows) return false;
  uint64_t skip = choice % rows;
  for (const auto& [name, number] : names_) {
    const size_t size = table_of(tables(), number).size();
    if (skip >= size) {
      skip -= size;
      continue;
    }
    Bytes& value = std::next(own_rows(own_tables()[number]).begin(), static_cast<ptrdiff_t>(skip))->second;
    if (value.empty()) return false;
    const uint64_t bit = choice / rows % (value.size() * 8);
    value[bit / 8] = static_cast<uint8_t>(value[bit / 8] ^ 1u << bit % 8);
    return true;
  }
  return false;
}

MemStore::Image MemStore::dump() const {
  Image image;
  for (const auto& [name, number] : names_)
    if (const Rows& rows = table_of(tables(), number); !rows.empty()) image.emplace(name, rows);
  return image;
}

void MemStore::restore(const Image& image) {
  TRAM_CHECK(!writer_alive_);
  tables_ = std::make_shared<Tables>();
  used_bytes_ = 0;
  revive();
  for (const auto& [name, rows] : image) {
    for (const auto& [key, value] : rows) used_bytes_ += key.size() + value.size();
    const size_t number = number_of(name);
    if (tables_->size() <= number) tables_->resize(number + 1);
    (*tables_)[number] = std::make_shared<Rows>(rows);
  }
}

}  // namespace tram::sim
