#include "directory/staged.h"

#include "base/check.h"

namespace tram::directory {

Result<std::optional<Bytes>> StagedTxn::get(const Table& table, BytesView key) {
  if (auto rows = tables_.find(table.name); rows != tables_.end())
    if (auto row = rows->second.find(to_bytes(key)); row != rows->second.end()) return row->second;
  if (!base_) return std::optional<Bytes>{};
  return base_->get(table, key);
}

Result<std::vector<Row>> StagedTxn::scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                         Direction direction) {
  std::vector<Row> out;
  Rows::const_iterator begin, end;
  size_t erased = 0;
  const bool forward = direction == Direction::forward;
  const auto rows = tables_.find(table.name);
  const bool staged = rows != tables_.end();
  if (staged) {
    begin = rows->second.lower_bound(to_bytes(from));
    end = until.empty() ? rows->second.end() : rows->second.lower_bound(to_bytes(until));
    if (!until.empty() && to_bytes(from) >= to_bytes(until)) end = begin;
    for (auto row = begin; base_ && row != end; ++row) erased += !row->second;
  }
  std::vector<Row> base;
  if (base_) {
    TRAM_TRY(found, base_->scan(table, from, until, limit + erased, direction));
    base = std::move(found);
  }
  size_t next = 0;
  auto before = [&](const Bytes& a, const Bytes& b) { return forward ? a < b : b < a; };
  auto take_base_until = [&](const Bytes* key) {
    while (next < base.size() && out.size() < limit && (!key || before(base[next].key, *key)))
      out.push_back(std::move(base[next++]));
    if (key && next < base.size() && base[next].key == *key) ++next;
  };
  auto take = [&](const Rows::value_type& row) {
    take_base_until(&row.first);
    if (row.second && out.size() < limit) out.push_back({row.first, *row.second});
  };
  if (staged && forward)
    for (auto row = begin; row != end && out.size() < limit; ++row) take(*row);
  if (staged && !forward)
    for (auto row = end; row != begin && out.size() < limit;) take(*--row);
  take_base_until(nullptr);
  return out;
}

Result<void> StagedTxn::put(const Table& table, BytesView key, BytesView value) {
  tables_[table.name][to_bytes(key)] = to_bytes(value);
  return {};
}

Result<void> StagedTxn::erase(const Table& table, BytesView key) {
  tables_[table.name][to_bytes(key)] = std::nullopt;
  return {};
}

Result<void> StagedTxn::commit() {
  TRAM_CHECK(!"a staged transaction is flushed, not committed");
  return {};
}

Result<void> StagedTxn::flush(WriteTxn& txn) const {
  for (const auto& [name, rows] : tables_)
    for (const auto& [key, value] : rows) {
      if (value)
        TRAM_OK(txn.put(Table{name}, key, *value));
      else
        TRAM_OK(txn.erase(Table{name}, key));
    }
  return {};
}

}  // namespace tram::directory
