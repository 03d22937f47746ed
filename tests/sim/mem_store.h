// The simulated store: tram::Store over std::map, for the simulator and the pure modules' tests.
// Invariants: the same contract as the LMDB store (tests/unit/base_store_contract.cpp runs on both): snapshots,
// limits, one writer, a transaction that failed with map_full can only be aborted. With a codec the same as coded_store
// over it (tests/unit/base_values.cpp runs on both).
// Not here: durability. A commit is "on disk" at once; what was not committed is lost.
// Thread: one, the simulator's.
#pragma once
#include <array>
#include <map>

#include "base/ports.h"

namespace tram::sim {

struct MemStoreOptions {
  /// Tables that exist; using another one is a programmer's error. Empty: every name is accepted.
  std::vector<std::string> tables;
  /// Sum of key and value bytes over all tables that put() may reach; beyond it put() fails with map_full.
  uint64_t capacity_bytes = UINT64_MAX;
};

class MemStore final : public Store {
 public:
  struct KeyOrder {
    using is_transparent = void;
    bool operator()(BytesView a, BytesView b) const;
  };
  using Rows = std::map<Bytes, Bytes, KeyOrder>;
  /// As on the disk, and what the codec made of it when it was read first: most rows are read again and again.
  struct Value {
    Bytes coded;
    mutable std::optional<Bytes> plain;
  };
  using Kept = std::map<Bytes, Value, KeyOrder>;
  using Tables = std::vector<std::shared_ptr<Kept>>;  // by number; none where nothing was ever written

  explicit MemStore(MemStoreOptions options = {});
  /// From now on values pass through `codec`, which must outlive the store.
  void use_codec(ValueCodec& codec) { codec_ = &codec; }

  Result<std::unique_ptr<ReadTxn>> begin_read() override;
  /// Beginning a second writer while one lives is a programmer's error.
  Result<std::unique_ptr<WriteTxn>> begin_write() override;

  /// The next commit fails with `code` and changes nothing. io_failed and store_corrupt are sticky, as in LMDB.
  void fail_next_commit(ErrorCode code) { next_commit_fails_ = code; }
  /// The next commit says that it failed, and what it wrote is on disk all the same.
  void fail_next_commit_unsure(ErrorCode code) { next_commit_fails_ = code, next_commit_lands_ = true; }
  /// After an operator looked at the disk: it works again.
  void revive() { dead_.reset(), next_commit_fails_.reset(), next_commit_lands_ = false; }
  /// Flips one bit of the value of the row that `choice` picks; false when there is no row.
  bool flip_bit(uint64_t choice);
  void set_capacity_bytes(uint64_t bytes) { options_.capacity_bytes = bytes; }
  uint64_t used_bytes() const { return used_bytes_; }
  uint64_t commits() const { return commits_; }
  /// Rows written or erased by all commits.
  uint64_t changes() const { return changes_; }
  /// Every committed row, for comparing two runs and for images of a disk at an instant.
  using Image = std::map<std::string, Rows>;
  Image dump() const;
  /// Replaces everything, as a restore from a backup does. No transaction may live.
  void restore(const Image& image);

 private:
  friend class MemReadTxn;
  friend class MemWriteTxn;
  size_t number_of(std::string_view name);
  const Tables& tables() const { return *tables_; }
  /// The tables that are about to be written: a snapshot keeps those it has.
  Tables& own_tables();
  static Kept& own_rows(std::shared_ptr<Kept>&);
  /// What the codec makes of it. Errors: store_corrupt.
  Result<const Bytes*> read(const Table&, BytesView key, const Value&) const;
  template <class Walk>
  Result<std::vector<Row>> rows_of(const Table&, Walk&&) const;
  template <class Walk>
  Result<CheckedRows> checked(const Table&, size_t limit, Walk&&) const;

  MemStoreOptions options_;
  ValueCodec* codec_ = nullptr;
  std::map<std::string, size_t, std::less<>> numbers_;
  std::vector<std::string_view> names_;  // by number
  std::array<size_t, 512> guesses_{};    // the number of a name that lay at such an address
  std::shared_ptr<Tables> tables_ = std::make_shared<Tables>();
  uint64_t used_bytes_ = 0;
  uint64_t commits_ = 0, changes_ = 0;
  bool writer_alive_ = false;
  std::optional<ErrorCode> next_commit_fails_;
  bool next_commit_lands_ = false;
  std::optional<ErrorCode> dead_;
};

}  // namespace tram::sim
