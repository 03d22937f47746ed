// A transaction over nothing but memory, for verifying offline. Internal to audit/. Thread: any; one each.
#pragma once
#include <map>

#include "base/ports.h"

namespace tram::audit {

/// A store that lives as long as the verification: the directory's own rules run over it.
class ScratchTxn final : public WriteTxn {
 public:
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    const auto& rows = tables_[std::string(table.name)];
    const auto found = rows.find(to_bytes(key));
    if (found == rows.end()) return std::optional<Bytes>{};
    return std::optional<Bytes>(found->second);
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    const auto& rows = tables_[std::string(table.name)];
    const auto begin = rows.lower_bound(to_bytes(from));
    const auto end = until.empty() ? rows.end() : rows.lower_bound(to_bytes(until));
    std::vector<Row> out;
    if (!until.empty() && to_bytes(until) < to_bytes(from)) return out;
    if (direction == Direction::forward) {
      for (auto it = begin; it != end && out.size() < limit; ++it) out.push_back({it->first, it->second});
    } else {
      for (auto it = end; it != begin && out.size() < limit;) {
        --it;
        out.push_back({it->first, it->second});
      }
    }
    return out;
  }
  Result<void> put(const Table& table, BytesView key, BytesView value) override {
    tables_[std::string(table.name)][to_bytes(key)] = to_bytes(value);
    return {};
  }
  Result<void> erase(const Table& table, BytesView key) override {
    tables_[std::string(table.name)].erase(to_bytes(key));
    return {};
  }
  Result<void> commit() override { return {}; }

 private:
  std::map<std::string, std::map<Bytes, Bytes>> tables_;
};

}  // namespace tram::audit
