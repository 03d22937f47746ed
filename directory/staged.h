// A transaction in memory over another: what an entry changes is staged here and written only when the whole entry is
// valid, so that a refused entry changes nothing. Without a base it is a store of its own (the authority's tool).
// Not here: durability; commit() is a programmer's error. Thread: the step's.
#pragma once
#include <map>

#include "base/ports.h"

namespace tram::directory {

class StagedTxn final : public WriteTxn {
 public:
  StagedTxn() = default;
  /// `base` must outlive it.
  explicit StagedTxn(ReadTxn& base) : base_(&base) {}

  Result<std::optional<Bytes>> get(const Table&, BytesView key) override;
  Result<std::vector<Row>> scan(const Table&, BytesView from, BytesView until, size_t limit, Direction) override;
  Result<void> put(const Table&, BytesView key, BytesView value) override;
  Result<void> erase(const Table&, BytesView key) override;
  Result<void> commit() override;

  /// Writes everything staged, in order of table and key.
  Result<void> flush(WriteTxn&) const;

 private:
  using Rows = std::map<Bytes, std::optional<Bytes>>;  // nothing: erased
  ReadTxn* base_ = nullptr;
  std::map<std::string_view, Rows> tables_;
};

}  // namespace tram::directory
