#include "tests/sim/mem_store.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"

namespace tram::sim {
namespace {

using Map = MemStore::Rows;
using Overlay = std::map<Bytes, std::optional<Bytes>>;

const Map& table_of(const MemStore::Tables& tables, std::string_view name) {
  static const Map empty;
  auto it = tables.find(name);
  return it == tables.end() ? empty : *it->second;
}

/// The rows of `base` changed by `overlay` with from <= key < until.
std::vector<Row> merged_scan(const Map& base, const Overlay& overlay, BytesView from_view, BytesView until_view,
                             size_t limit, Direction direction) {
  std::vector<Row> rows;
  Bytes from = to_bytes(from_view), until = to_bytes(until_view);
  if (limit == 0 || (!until.empty() && until <= from)) return rows;
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
  explicit MemReadTxn(const MemStore& store) : store_(store), tables_(store.tables_) {}
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    store_.check_table(table.name);
    const Map& map = table_of(tables_, table.name);
    auto it = map.find(to_bytes(key));
    return it == map.end() ? std::optional<Bytes>{} : std::optional<Bytes>(it->second);
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    store_.check_table(table.name);
    return merged_scan(table_of(tables_, table.name), {}, from, until, limit, direction);
  }

 private:
  const MemStore& store_;
  MemStore::Tables tables_;  // shares the maps; a commit copies a map that a reader still shares
};

class MemWriteTxn final : public WriteTxn {
 public:
  explicit MemWriteTxn(MemStore& store) : store_(store), used_bytes_(store.used_bytes_) {}
  ~MemWriteTxn() override {
    if (!done_) store_.writer_alive_ = false;
  }
  MemWriteTxn(const MemWriteTxn&) = delete;
  MemWriteTxn& operator=(const MemWriteTxn&) = delete;

  Result<std::optional<Bytes>> get(const Table& table, BytesView key_view) override {
    TRAM_OK(usable(table));
    return lookup(table.name, to_bytes(key_view));
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    TRAM_OK(usable(table));
    return merged_scan(table_of(store_.tables_, table.name), overlay_[std::string(table.name)], from, until, limit,
                       direction);
  }
  Result<void> put(const Table& table, BytesView key_view, BytesView value) override {
    TRAM_OK(usable(table));
    if (key_view.empty() || key_view.size() > limits::key_bytes_max) return fail(ErrorCode::too_large, "key");
    if (value.size() > limits::value_bytes_max) return fail(ErrorCode::too_large, std::string(table.name));
    Bytes key = to_bytes(key_view);
    auto old = lookup(table.name, key);
    uint64_t used = used_bytes_ - (old ? key.size() + old->size() : 0) + key.size() + value.size();
    if (used > store_.options_.capacity_bytes && used > used_bytes_) {
      failed_ = true;
      return fail(ErrorCode::map_full, std::string(table.name));
    }
    used_bytes_ = used;
    overlay_[std::string(table.name)].insert_or_assign(std::move(key), to_bytes(value));
    return {};
  }
  Result<void> erase(const Table& table, BytesView key_view) override {
    TRAM_OK(usable(table));
    if (key_view.empty() || key_view.size() > limits::key_bytes_max) return {};
    Bytes key = to_bytes(key_view);
    auto old = lookup(table.name, key);
    if (!old) return {};
    used_bytes_ -= key.size() + old->size();
    overlay_[std::string(table.name)].insert_or_assign(std::move(key), std::nullopt);
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
    for (auto& [name, rows] : overlay_) {
      if (rows.empty()) continue;
      store_.changes_ += rows.size();
      auto& shared = store_.tables_[name];
      if (!shared) shared = std::make_shared<Map>();
      if (shared.use_count() > 1) shared = std::make_shared<Map>(*shared);
      for (auto& [key, value] : rows) {
        if (value) shared->insert_or_assign(key, std::move(*value));
        else shared->erase(key);
      }
    }
    store_.used_bytes_ = used_bytes_;
    ++store_.commits_;
  }
  Result<void> usable(const Table& table) const {
    TRAM_CHECK(!done_);
    store_.check_table(table.name);
    if (failed_) return fail(ErrorCode::map_full);
    return {};
  }
  std::optional<Bytes> lookup(std::string_view table, const Bytes& key) const {
    if (auto rows = overlay_.find(table); rows != overlay_.end())
      if (auto it = rows->second.find(key); it != rows->second.end()) return it->second;
    const Map& map = table_of(store_.tables_, table);
    auto it = map.find(key);
    return it == map.end() ? std::optional<Bytes>{} : std::optional<Bytes>(it->second);
  }

  MemStore& store_;
  std::map<std::string, Overlay, std::less<>> overlay_;
  uint64_t used_bytes_;
  bool failed_ = false;
  bool done_ = false;
};

MemStore::MemStore(MemStoreOptions options) : options_(std::move(options)) {}

void MemStore::check_table(std::string_view name) const {
  TRAM_CHECK(!name.empty() && name.size() <= 24);
  TRAM_CHECK(options_.tables.empty() ||
             std::find(options_.tables.begin(), options_.tables.end(), name) != options_.tables.end());
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
  for (const auto& [name, table] : tables_) rows += table->size();
  if (!rows) return false;
  uint64_t skip = choice % rows;
  for (auto& [name, table] : tables_) {
    if (skip >= table->size()) {
      skip -= table->size();
      continue;
    }
    if (table.use_count() > 1) table = std::make_shared<Map>(*table);
    Bytes& value = std::next(table->begin(), static_cast<ptrdiff_t>(skip))->second;
    if (value.empty()) return false;
    const uint64_t bit = choice / rows % (value.size() * 8);
    value[bit / 8] = static_cast<uint8_t>(value[bit / 8] ^ 1u << bit % 8);
    return true;
  }
  return false;
}

std::map<std::string, std::map<Bytes, Bytes>> MemStore::dump() const {
  std::map<std::string, std::map<Bytes, Bytes>> image;
  for (const auto& [name, rows] : tables_)
    if (!rows->empty()) image.emplace(name, *rows);
  return image;
}

void MemStore::restore(const std::map<std::string, std::map<Bytes, Bytes>>& image) {
  TRAM_CHECK(!writer_alive_);
  tables_.clear();
  used_bytes_ = 0;
  revive();
  for (const auto& [name, rows] : image) {
    for (const auto& [key, value] : rows) used_bytes_ += key.size() + value.size();
    tables_.emplace(name, std::make_shared<Map>(rows));
  }
}

}  // namespace tram::sim
