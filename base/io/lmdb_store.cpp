#include "base/io/lmdb_store.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <map>
#include <thread>

#include "base/check.h"
#include "base/io/files.h"
#include "base/limits.h"

namespace tram::io {
namespace {

constexpr unsigned allowed_flags = MDB_NOTLS | MDB_NORDAHEAD;  // R1
constexpr unsigned max_readers = 1024;                         // L9
constexpr size_t growth_bytes = 2u << 20;
constexpr std::string_view meta_table = "store_meta";
constexpr std::string_view environment_key = "environment_id", schema_key = "schema_version";

MDB_val value_of(BytesView bytes) { return {bytes.size(), const_cast<uint8_t*>(bytes.data())}; }
BytesView view_of(const MDB_val& value) { return {static_cast<const uint8_t*>(value.mv_data), value.mv_size}; }

std::string describe_lmdb(int rc, std::string_view what) { return std::string(what) + ": " + mdb_strerror(rc); }

int write_pid(int fd) {
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0) return errno;
  return pwrite_all(fd, view(pid), 0);
}

std::string read_pid(int fd) {
  uint8_t buffer[16];
  int64_t n = pread_all(fd, buffer, 0);
  std::string digits;
  for (int64_t i = 0; i < n && buffer[i] >= '0' && buffer[i] <= '9'; ++i) digits += static_cast<char>(buffer[i]);
  return digits.empty() ? "" : " (pid " + digits + ")";
}

}  // namespace

struct LmdbStore::State {
  MDB_env* env = nullptr;
  Fd directory, lock;
  std::map<std::string, MDB_dbi, std::less<>> tables;
  EnvironmentId id;
  uint32_t schema = 0;
  std::atomic<uint16_t> fatal{0};
  std::atomic<std::thread::id> writer{};
  uint64_t ends = 0;  // how long the file is, or would be if there were room

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (env) mdb_env_close(env);
  }

  MDB_dbi dbi(const Table& table) const {
    auto it = tables.find(table.name);
    TRAM_CHECK(it != tables.end());
    return it->second;
  }

  /// Maps an LMDB error and remembers the fatal ones (R2, L17, L21).
  tl::unexpected<Error> error(int rc, std::string_view what) {
    ErrorCode code = ErrorCode::io_failed;
    switch (rc) {
      case MDB_MAP_FULL:
        return fail(ErrorCode::map_full, std::string(what));
      case ENOSPC:
      case EDQUOT:
      case EFBIG:
        return fail(ErrorCode::storage_full, describe_lmdb(rc, what));
      case MDB_TXN_FULL:
        return fail(ErrorCode::too_large, "transaction");
      case MDB_READERS_FULL:
      case ENOMEM:
        return fail(ErrorCode::busy, describe_lmdb(rc, what));
      case MDB_CORRUPTED:
      case MDB_PAGE_NOTFOUND:
      case MDB_CURSOR_FULL:
      case MDB_PAGE_FULL:
      case MDB_INVALID:
      case MDB_VERSION_MISMATCH:
        code = ErrorCode::store_corrupt;
        break;
      default:
        break;
    }
    uint16_t none = 0;
    fatal.compare_exchange_strong(none, static_cast<uint16_t>(code));
    return fail(code, describe_lmdb(rc, what));
  }

  Result<void> alive() const {
    if (uint16_t code = fatal.load()) return fail(static_cast<ErrorCode>(code), "the store failed before");
    return {};
  }
};

namespace {

using State = LmdbStore::State;

/// Runs a call that may write. LMDB 0.9.24 reports a short write, which is how a disk becomes full in the middle of a
/// run of pages, as EIO; a real EIO also set errno, a short write did not.
template <class Call>
int writing(Call call) {
  errno = 0;
  int rc = call();
  return rc == EIO && errno != EIO ? ENOSPC : rc;
}

Result<std::optional<Bytes>> get_value(State& state, MDB_txn* txn, const Table& table, BytesView key) {
  if (key.empty() || key.size() > limits::key_bytes_max) return std::optional<Bytes>{};
  MDB_val k = value_of(key), v{};
  int rc = mdb_get(txn, state.dbi(table), &k, &v);
  if (rc == MDB_NOTFOUND) return std::optional<Bytes>{};
  if (rc) return state.error(rc, "get");
  return std::optional<Bytes>(to_bytes(view_of(v)));
}

int compare(BytesView a, BytesView b) {
  size_t n = std::min(a.size(), b.size());
  int order = n ? std::memcmp(a.data(), b.data(), n) : 0;
  return order ? order : a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

/// Positions on the first key >= `key`; keys longer than LMDB's limit are cut, which can only begin too early.
int seek(MDB_cursor* cursor, BytesView key, MDB_val& k, MDB_val& v) {
  if (key.empty()) return mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
  BytesView start = key.first(std::min(key.size(), limits::key_bytes_max));
  k = value_of(start);
  int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
  while (rc == 0 && compare(view_of(k), key) < 0) rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
  return rc;
}

Result<std::vector<Row>> scan_rows(State& state, MDB_txn* txn, const Table& table, BytesView from, BytesView until,
                                   size_t limit, Direction direction) {
  std::vector<Row> rows;
  if (limit == 0) return rows;
  MDB_cursor* raw = nullptr;
  if (int rc = mdb_cursor_open(txn, state.dbi(table), &raw)) return state.error(rc, "scan");
  std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> cursor(raw, mdb_cursor_close);
  MDB_val k{}, v{};
  int rc = 0;
  if (direction == Direction::forward) {
    rc = seek(raw, from, k, v);
    while (rc == 0 && rows.size() < limit && (until.empty() || compare(view_of(k), until) < 0)) {
      rows.push_back({to_bytes(view_of(k)), to_bytes(view_of(v))});
      rc = mdb_cursor_get(raw, &k, &v, MDB_NEXT);
    }
  } else {
    if (until.empty()) {
      rc = mdb_cursor_get(raw, &k, &v, MDB_LAST);
    } else {
      rc = seek(raw, until, k, v);
      if (rc == 0) rc = mdb_cursor_get(raw, &k, &v, MDB_PREV);
      else if (rc == MDB_NOTFOUND) rc = mdb_cursor_get(raw, &k, &v, MDB_LAST);
    }
    while (rc == 0 && rows.size() < limit && compare(view_of(k), from) >= 0) {
      rows.push_back({to_bytes(view_of(k)), to_bytes(view_of(v))});
      rc = mdb_cursor_get(raw, &k, &v, MDB_PREV);
    }
  }
  if (rc && rc != MDB_NOTFOUND) return state.error(rc, "scan");
  return rows;
}

class LmdbReadTxn final : public ReadTxn {
 public:
  LmdbReadTxn(State& state, MDB_txn* txn) : state_(state), txn_(txn) {}
  ~LmdbReadTxn() override { mdb_txn_abort(txn_); }
  LmdbReadTxn(const LmdbReadTxn&) = delete;
  LmdbReadTxn& operator=(const LmdbReadTxn&) = delete;
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    return get_value(state_, txn_, table, key);
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    return scan_rows(state_, txn_, table, from, until, limit, direction);
  }

 private:
  State& state_;
  MDB_txn* txn_;
};

class LmdbWriteTxn final : public WriteTxn {
 public:
  LmdbWriteTxn(State& state, MDB_txn* txn) : state_(state), txn_(txn) {}
  ~LmdbWriteTxn() override {
    if (txn_) end([&] { mdb_txn_abort(txn_); return 0; });
  }
  LmdbWriteTxn(const LmdbWriteTxn&) = delete;
  LmdbWriteTxn& operator=(const LmdbWriteTxn&) = delete;

  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override {
    TRAM_OK(usable());
    return remember(get_value(state_, txn_, table, key));
  }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    TRAM_OK(usable());
    return remember(scan_rows(state_, txn_, table, from, until, limit, direction));
  }
  Result<void> put(const Table& table, BytesView key, BytesView value) override {
    TRAM_OK(usable());
    if (key.empty() || key.size() > limits::key_bytes_max) return fail(ErrorCode::too_large, "key");
    if (value.size() > limits::value_bytes_max) return fail(ErrorCode::too_large, std::string(table.name));
    MDB_val k = value_of(key), v = value_of(value);
    MDB_dbi dbi = state_.dbi(table);
    int rc = writing([&] { return mdb_put(txn_, dbi, &k, &v, 0); });
    if (rc) return remember(Result<void>(state_.error(rc, table.name)));
    return {};
  }
  Result<void> erase(const Table& table, BytesView key) override {
    TRAM_OK(usable());
    if (key.empty() || key.size() > limits::key_bytes_max) return {};
    MDB_val k = value_of(key);
    MDB_dbi dbi = state_.dbi(table);
    int rc = writing([&] { return mdb_del(txn_, dbi, &k, nullptr); });
    if (rc && rc != MDB_NOTFOUND) return remember(Result<void>(state_.error(rc, table.name)));
    return {};
  }
  Result<void> commit() override {
    TRAM_CHECK(txn_);
    if (failed_) {
      end([&] { mdb_txn_abort(txn_); return 0; });
      return fail(*failed_);
    }
    // LMDB frees the transaction whatever the outcome.
    int rc = end([&] { return writing([&] { return mdb_txn_commit(txn_); }); });
    if (rc) return state_.error(rc, "commit");
    return {};
  }

 private:
  Result<void> usable() const {
    TRAM_CHECK(txn_);
    if (failed_) return fail(*failed_);
    return {};
  }
  /// After any LMDB error the transaction can only be aborted.
  template <class T>
  Result<T> remember(Result<T> result) {
    if (!result) failed_ = result.error();
    return result;
  }
  template <class Ending>
  int end(Ending ending) {
    // Cleared first: as soon as LMDB lets the next writer in, the field is that writer's.
    state_.writer.store(std::thread::id());
    int rc = ending();
    txn_ = nullptr;
    return rc;
  }

  State& state_;
  MDB_txn* txn_;
  std::optional<Error> failed_;
};

Result<std::unique_ptr<WriteTxn>> begin_write_txn(State& state) {
  TRAM_OK(state.alive());
  TRAM_CHECK(state.writer.load() != std::this_thread::get_id());  // would wait for itself for ever
  MDB_txn* txn = nullptr;
  if (int rc = mdb_txn_begin(state.env, nullptr, 0, &txn)) return state.error(rc, "begin");
  state.writer.store(std::this_thread::get_id());
  auto owner = std::make_unique<LmdbWriteTxn>(state, txn);
  TRAM_OK(state.alive());  // the writer we waited for may have failed
  return std::unique_ptr<WriteTxn>(std::move(owner));
}

/// A short transaction over the store's own table.
template <class Body>
Result<void> with_meta(State& state, Body body) {
  TRAM_TRY(txn, begin_write_txn(state));
  TRAM_OK(body(*txn, Table{meta_table}));
  return txn->commit();
}

Bytes schema_bytes(uint32_t version) {
  Bytes bytes;
  Writer(bytes).u32(version);
  return bytes;
}

}  // namespace

LmdbStore::LmdbStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
LmdbStore::~LmdbStore() = default;

Result<void> LmdbStore::copy(const std::string& directory, const std::string& to) {
  MDB_env* env = nullptr;
  auto failed = [&](int rc, std::string_view what) -> tl::unexpected<Error> {
    if (rc == ENOENT) return fail(ErrorCode::not_found, directory);
    if (rc == ENOSPC || rc == EDQUOT || rc == EFBIG) return fail(ErrorCode::storage_full, to);
    return fail(ErrorCode::io_failed, describe_lmdb(rc, what));
  };
  if (const int rc = mdb_env_create(&env)) return failed(rc, "environment");
  const std::unique_ptr<MDB_env, decltype(&mdb_env_close)> closing(env, mdb_env_close);
  // Its own lock file keeps the pages that the copy reads; the running daemon goes on writing.
  if (const int rc = mdb_env_open(env, directory.c_str(), MDB_RDONLY | MDB_NOTLS, 0600)) return failed(rc, "open");
  if (const int rc = writing([&] { return mdb_env_copy2(env, to.c_str(), MDB_CP_COMPACT); })) return failed(rc, "copy");
  Fd file(::open((to + "/data.mdb").c_str(), O_RDWR | O_CLOEXEC));
  if (const int error = file ? sync_fd(file.get()) : errno) return fail(errno_error(error, to));
  return sync_directory(to);
}

Result<std::unique_ptr<LmdbStore>> LmdbStore::open(const LmdbOptions& options) {
  auto state = std::make_unique<State>();
  if (options.map_bytes < (1u << 20)) return fail(ErrorCode::bad_config, "store.map_bytes is below 1 MiB");
  for (const Table& table : options.tables) {
    bool good = !table.name.empty() && table.name.size() <= 24 && table.name != meta_table;
    if (!good) return fail(ErrorCode::bad_config, "table name " + std::string(table.name));
  }

  TRAM_TRY(directory, open_private_directory(options.directory));
  state->directory = std::move(directory);
  state->lock = Fd(::openat(state->directory.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!state->lock) return fail(errno_error(errno, "lock"));
  while (::flock(state->lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK)
      return fail(ErrorCode::already_running, options.directory + read_pid(state->lock.get()));
    return fail(errno_error(errno, "lock"));
  }
  if (int error = write_pid(state->lock.get())) return fail(errno_error(error, "lock"));

  if (int rc = mdb_env_create(&state->env)) return state->error(rc, "environment");
  uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  uint64_t map_bytes = options.map_bytes / page * page;
  int rc = mdb_env_set_mapsize(state->env, map_bytes);
  if (!rc) rc = mdb_env_set_maxdbs(state->env, static_cast<MDB_dbi>(options.tables.size()) + 1);
  if (!rc) rc = mdb_env_set_maxreaders(state->env, max_readers);
  if (!rc) rc = mdb_env_open(state->env, options.directory.c_str(), allowed_flags, 0600);
  if (rc == EACCES || rc == EPERM) return fail(ErrorCode::unsafe_permissions, describe_lmdb(rc, options.directory));
  if (rc) return state->error(rc, "open");
  unsigned flags = 0;
  mdb_env_get_flags(state->env, &flags);
  TRAM_CHECK((flags & ~allowed_flags) == 0);  // R1
  TRAM_CHECK(static_cast<size_t>(mdb_env_get_maxkeysize(state->env)) == limits::key_bytes_max);

  int map_fd = -1;
  if (options.preallocate_bytes && mdb_env_get_fd(state->env, &map_fd) == 0) {
    auto wanted = static_cast<off_t>(std::min(options.preallocate_bytes, map_bytes));
    while (::fallocate(map_fd, FALLOC_FL_KEEP_SIZE, 0, wanted) != 0) {
      if (errno == EINTR) continue;
      if (errno == EOPNOTSUPP) break;  // the file system has no reservations; the watermarks remain
      return fail(errno_error(errno, "preallocate"));
    }
  }

  int cleared = 0;
  if ((rc = mdb_reader_check(state->env, &cleared))) return state->error(rc, "readers");
  MDB_txn* txn = nullptr;
  if ((rc = mdb_txn_begin(state->env, nullptr, 0, &txn))) return state->error(rc, "begin");
  auto open_table = [&](std::string_view name) {
    MDB_dbi dbi = 0;
    int error = mdb_dbi_open(txn, std::string(name).c_str(), MDB_CREATE, &dbi);
    if (!error) state->tables.emplace(name, dbi);
    return error;
  };
  rc = open_table(meta_table);
  for (const Table& table : options.tables)
    if (!rc) rc = open_table(table.name);
  if (rc) {
    mdb_txn_abort(txn);
    return state->error(rc, "tables");
  }
  if ((rc = mdb_txn_commit(txn))) return state->error(rc, "tables");

  auto identify = [&](WriteTxn& meta, const Table& table) -> Result<void> {
    TRAM_TRY(id, meta.get(table, view(environment_key)));
    TRAM_TRY(schema, meta.get(table, view(schema_key)));
    if (id.has_value() != schema.has_value()) return fail(ErrorCode::store_corrupt, "store_meta");
    if (!id) {
      auto& fresh = state->id.bytes;
      if (::getrandom(fresh.data(), fresh.size(), 0) != static_cast<ssize_t>(fresh.size()))
        return fail(ErrorCode::internal, "getrandom");
      state->schema = options.schema_version;
      TRAM_OK(meta.put(table, view(environment_key), state->id));
      return meta.put(table, view(schema_key), schema_bytes(state->schema));
    }
    auto known = EnvironmentId::from(*id);
    Reader reader(*schema);
    state->schema = reader.u32();
    if (!known || !reader.finish()) return fail(ErrorCode::store_corrupt, "store_meta");
    state->id = *known;
    if (state->schema > options.schema_version)
      return fail(ErrorCode::unsupported_version, "store schema " + std::to_string(state->schema) + " is newer than " +
                                                      std::to_string(options.schema_version));
    return {};
  };
  TRAM_OK(with_meta(*state, identify));
  if (int error = sync_fd(state->directory.get())) return fail(errno_error(error, "directory"));
  return std::unique_ptr<LmdbStore>(new LmdbStore(std::move(state)));
}

Result<std::unique_ptr<ReadTxn>> LmdbStore::begin_read() {
  TRAM_OK(state_->alive());
  MDB_txn* txn = nullptr;
  if (int rc = mdb_txn_begin(state_->env, nullptr, MDB_RDONLY, &txn)) return state_->error(rc, "begin");
  return std::unique_ptr<ReadTxn>(std::make_unique<LmdbReadTxn>(*state_, txn));
}

Result<std::unique_ptr<WriteTxn>> LmdbStore::begin_write() { return begin_write_txn(*state_); }

const EnvironmentId& LmdbStore::environment_id() const { return state_->id; }
uint32_t LmdbStore::schema_found() const { return state_->schema; }

Result<void> LmdbStore::set_schema(uint32_t version) {
  TRAM_OK(with_meta(*state_, [&](WriteTxn& meta, const Table& table) {
    return meta.put(table, view(schema_key), schema_bytes(version));
  }));
  state_->schema = version;
  return {};
}

Result<unsigned> LmdbStore::used_percent() {
  TRAM_TRY(now, usage());
  return now.percent;
}

Result<LmdbStore::Usage> LmdbStore::usage() {
  TRAM_OK(state_->alive());
  MDB_envinfo info{};
  MDB_stat stat{};
  int rc = mdb_env_info(state_->env, &info);
  if (!rc) rc = mdb_env_stat(state_->env, &stat);
  if (rc) return state_->error(rc, "statistics");

  // Free pages: the first word of every record of LMDB's free list (database 0), as mdb_stat -e counts them.
  MDB_txn* txn = nullptr;
  if ((rc = mdb_txn_begin(state_->env, nullptr, MDB_RDONLY, &txn))) return state_->error(rc, "begin");
  std::unique_ptr<MDB_txn, decltype(&mdb_txn_abort)> txn_owner(txn, mdb_txn_abort);
  MDB_cursor* cursor = nullptr;
  if ((rc = mdb_cursor_open(txn, 0, &cursor))) return state_->error(rc, "statistics");
  std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> cursor_owner(cursor, mdb_cursor_close);
  uint64_t free_pages = 0;
  MDB_val k{}, v{};
  while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
    size_t pages = 0;
    if (v.mv_size >= sizeof pages) std::memcpy(&pages, v.mv_data, sizeof pages);
    free_pages += pages;
  }
  if (rc != MDB_NOTFOUND) return state_->error(rc, "statistics");

  uint64_t pages = info.me_last_pgno + 1;
  uint64_t used = (pages - std::min(pages, free_pages)) * stat.ms_psize;
  uint64_t map_percent = (used * 100 + info.me_mapsize - 1) / info.me_mapsize;
  struct statvfs disk {};
  if (::fstatvfs(state_->directory.get(), &disk) != 0) return fail(errno_error(errno, "statvfs"));
  uint64_t taken = disk.f_blocks - disk.f_bfree, usable = taken + disk.f_bavail;
  uint64_t disk_percent = usable ? (taken * 100 + usable - 1) / usable : 0;
  return Usage{used, static_cast<unsigned>(std::min<uint64_t>(100, std::max(map_percent, disk_percent)))};
}

Result<void> LmdbStore::grow_ahead() {
  static constexpr std::array<uint8_t, 4096> zeros{};  // one write a page: a page's folio is then its own, not a large one
  static_assert(growth_bytes % zeros.size() == 0);
  TRAM_OK(state_->alive());
  MDB_envinfo info{};
  MDB_stat stat{};
  int fd = -1;
  int rc = mdb_env_info(state_->env, &info);
  if (!rc) rc = mdb_env_stat(state_->env, &stat);
  if (!rc) rc = mdb_env_get_fd(state_->env, &fd);
  if (rc) return state_->error(rc, "statistics");
  const uint64_t used = (uint64_t{info.me_last_pgno} + 1) * stat.ms_psize;
  if (used + growth_bytes / 2 <= state_->ends) return {};
  struct stat file {};
  if (::fstat(fd, &file) != 0) return state_->error(errno, "grow");
  const auto size = static_cast<uint64_t>(file.st_size);
  state_->ends = size;
  if (used + growth_bytes / 2 <= size) return {};
  const uint64_t from = std::max(used, size);
  state_->ends = from + growth_bytes;  // also without room: tried again when that much more is in use
  if (state_->ends > info.me_mapsize) return {};
  for (uint64_t at = from; at < state_->ends; at += zeros.size()) {
    const int error = pwrite_all(fd, zeros, at);
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) return {};
    if (error) return state_->error(error, "grow");
  }
  ::sync_file_range(fd, static_cast<off_t>(from), growth_bytes, SYNC_FILE_RANGE_WRITE);  // begun; the next commit waits for it
  return {};
}

Result<int> LmdbStore::reader_check() {
  int cleared = 0;
  if (int rc = mdb_reader_check(state_->env, &cleared)) return state_->error(rc, "readers");
  return cleared;
}

std::optional<ErrorCode> LmdbStore::fatal_error() const {
  uint16_t code = state_->fatal.load();
  return code ? std::optional(static_cast<ErrorCode>(code)) : std::nullopt;
}

}  // namespace tram::io
