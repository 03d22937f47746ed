// The store on disk: tram::Store over one LMDB environment (protocol.md decision 13).
// Invariants: R1 - environment flags only from {0, NOTLS, NORDAHEAD}, asserted after opening, so that a commit that
// returned success is on disk; R2 - EIO, MDB_PANIC and MDB_CORRUPTED are sticky: every later call fails the same way;
// one process only (flock on <directory>/lock); map_full and storage_full leave the environment usable after the
// failed transaction is destroyed; everything is copied out of the map (L8); schemas newer than ours are refused.
// Not here: value coding (base/ports.h coded_store), growing the map while running (map_bytes is configuration),
// retries.
// Thread: any thread may begin a read; one write transaction lives at a time, a second thread's begin_write waits. A
// transaction belongs to the thread that began it. Never used after fork (L11).
#pragma once
#include <span>

#include "base/ports.h"

namespace tram::io {

/// Random, made when the environment was created: tells a copy or a restored store from another store.
using EnvironmentId = FixedId<16, struct EnvironmentTag>;

struct LmdbOptions {
  std::string directory;               // created with mode 0700 when absent; local file systems only (L18)
  uint64_t map_bytes = 1ull << 30;     // sparse; use >= 5 x the live data (L5)
  std::span<const Table> tables;       // every table, opened once (L15)
  uint32_t schema_version = 1;         // stored at creation
  uint64_t preallocate_bytes = 0;      // real blocks reserved for the map file (R42); 0: none
};

class LmdbStore final : public Store {
 public:
  /// Errors: already_running (detail says the other process's pid when it can be read), unsupported_version (a newer
  /// schema), unsafe_permissions, storage_full, store_corrupt, io_failed, bad_config (map_bytes, table names).
  static Result<std::unique_ptr<LmdbStore>> open(const LmdbOptions& options);
  /// A compact copy of a store, which another process may be writing, into the empty folder `to`, synced (R24). Errors:
  /// not_found, storage_full, io_failed.
  static Result<void> copy(const std::string& directory, const std::string& to);
  ~LmdbStore() override;

  Result<std::unique_ptr<ReadTxn>> begin_read() override;
  /// A second write transaction begun by the thread that holds one is a programmer's error.
  Result<std::unique_ptr<WriteTxn>> begin_write() override;

  const EnvironmentId& environment_id() const;
  /// The schema version found in the store; <= LmdbOptions::schema_version.
  uint32_t schema_found() const;
  /// Stores a newer schema version, after a migration in earlier transactions.
  Result<void> set_schema(uint32_t version);

  /// 0..100: pages in use of the map, or blocks in use of the file system, whichever is worse (R42). Free pages inside
  /// the map count as free. Errors: io_failed. Walks the free list: call it about once a second, not per event.
  Result<unsigned> used_percent();
  struct Usage {
    uint64_t map_bytes = 0;  // of the map, in use
    unsigned percent = 0;    // as used_percent()
  };
  Result<Usage> usage();
  /// Clears reader slots of dead processes; the number cleared (L9). Call at start and every minute.
  Result<int> reader_check();
  /// Between two transactions of the writer's thread: writes zeros behind the last page when little room is left there, so
  /// that commits overwrite blocks that the file has. A commit that makes it longer waits for its new blocks and its inode too.
  /// Says nothing when there is no room: the commit will. Error: io_failed (R2).
  Result<void> grow_ahead();
  /// Whether an error made the store unusable (R2).
  std::optional<ErrorCode> fatal_error() const;

  struct State;

 private:
  explicit LmdbStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tram::io
