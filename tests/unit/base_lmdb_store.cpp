#include <catch2/catch.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/io/lmdb_store.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using io::LmdbStore;

namespace {

constexpr Table rows_table{"rows"};
constexpr Table tables[] = {rows_table};

io::LmdbOptions options_for(const test::TemporaryDirectory& directory) {
  io::LmdbOptions options;
  options.directory = directory / "store";
  options.map_bytes = 64u << 20;
  options.tables = tables;
  return options;
}

Result<void> put_row(Store& store, const Bytes& key, const Bytes& value) {
  TRAM_TRY(txn, store.begin_write());
  TRAM_OK(txn->put(rows_table, key, value));
  return txn->commit();
}

}  // namespace

TEST_CASE("what was committed is there after reopening, under the same environment id") {
  test::TemporaryDirectory directory;
  io::EnvironmentId id;
  {
    auto store = *LmdbStore::open(options_for(directory));
    id = store->environment_id();
    CHECK_FALSE(id.is_zero());
    REQUIRE(put_row(*store, {1}, {2}));
    auto lost = *store->begin_write();
    REQUIRE(lost->put(rows_table, Bytes{3}, Bytes{4}));
  }
  auto store = *LmdbStore::open(options_for(directory));
  CHECK(store->environment_id() == id);
  auto txn = *store->begin_read();
  CHECK(txn->scan(rows_table, {}, {}, 10)->size() == 1);
  struct stat status {};
  REQUIRE(::stat((directory / "store").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("a second opening of one store is refused and says who holds it") {
  test::TemporaryDirectory directory;
  auto store = *LmdbStore::open(options_for(directory));
  auto second = LmdbStore::open(options_for(directory));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::already_running);
  CHECK(second.error().detail.find("pid " + std::to_string(::getpid())) != std::string::npos);
  store.reset();
  CHECK(LmdbStore::open(options_for(directory)));
}

TEST_CASE("a store of a newer schema is refused and left as it was") {
  test::TemporaryDirectory directory;
  auto options = options_for(directory);
  options.schema_version = 2;
  REQUIRE(LmdbStore::open(options));
  options.schema_version = 1;
  CHECK(LmdbStore::open(options).error().code == ErrorCode::unsupported_version);
  options.schema_version = 3;
  auto store = *LmdbStore::open(options);
  CHECK(store->schema_found() == 2);
  REQUIRE(store->set_schema(3));
  store.reset();
  CHECK((*LmdbStore::open(options))->schema_found() == 3);
}

TEST_CASE("a directory that others can write is refused") {
  test::TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "store").c_str(), 0700) == 0);
  REQUIRE(::chmod((directory / "store").c_str(), 0777) == 0);
  CHECK(LmdbStore::open(options_for(directory)).error().code == ErrorCode::unsafe_permissions);
}

TEST_CASE("a file that is no store is reported as corrupt") {
  test::TemporaryDirectory directory;
  REQUIRE(::mkdir((directory / "store").c_str(), 0700) == 0);
  std::ofstream(directory / "store/data.mdb") << std::string(65536, 'x');
  CHECK(LmdbStore::open(options_for(directory)).error().code == ErrorCode::store_corrupt);
}

TEST_CASE("the fill level follows the live data, not the file") {
  test::TemporaryDirectory directory;
  auto store = *LmdbStore::open(options_for(directory));
  unsigned empty = *store->used_percent();
  CHECK(empty <= 100);
  // The file system's own level is a floor that this test cannot choose.
  Bytes value(60000, 1);
  for (uint8_t j = 0; j < 5; ++j) {
    auto txn = *store->begin_write();
    for (uint8_t i = 0; i < 200; ++i) REQUIRE(txn->put(rows_table, Bytes{i, j}, value));
    REQUIRE(txn->commit());
  }
  unsigned full = *store->used_percent();
  CHECK(full >= 90);
  {
    auto txn = *store->begin_write();
    for (uint8_t i = 0; i < 200; ++i)
      for (uint8_t j = 0; j < 5; ++j) REQUIRE(txn->erase(rows_table, Bytes{i, j}));
    REQUIRE(txn->commit());
  }
  REQUIRE(put_row(*store, {1}, {1}));
  CHECK(*store->used_percent() <= empty + 5);  // others use the file system meanwhile
  CHECK(*store->reader_check() == 0);
  CHECK_FALSE(store->fatal_error());
}

TEST_CASE("a second thread's writer waits for the first") {
  test::TemporaryDirectory directory;
  auto store = *LmdbStore::open(options_for(directory));
  auto first = *store->begin_write();
  REQUIRE(first->put(rows_table, Bytes{1}, Bytes{1}));
  bool saw_first = false;
  std::thread second([&] {
    auto txn = store->begin_write();
    if (!txn) return;
    auto got = (*txn)->get(rows_table, Bytes{1});
    saw_first = got && got->has_value();
  });
  REQUIRE(first->commit());
  second.join();
  CHECK(saw_first);
}

TEST_CASE("a file system that is full in the middle of a commit is not a disk failure") {
  // A limit on the file's size cuts a run of pages short, as a full disk does.
  test::TemporaryDirectory directory;
  auto store = *LmdbStore::open(options_for(directory));
  REQUIRE(::signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  bool cut = GENERATE(true, false);  // inside a page run, and exactly between two
  small.rlim_cur = (1 << 20) + (cut ? 4096 * 3 + 100 : 0);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  Bytes value(60000, 1);
  uint8_t stored = 0;
  Result<void> result;
  while (stored < 100 && (result = put_row(*store, {stored}, value))) ++stored;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::storage_full);
  CHECK_FALSE(store->fatal_error());
  CHECK((*store->begin_read())->scan(rows_table, {}, {}, 1000)->size() == stored);
  REQUIRE(put_row(*store, {stored}, value));
  store.reset();
  store = *LmdbStore::open(options_for(directory));
  CHECK((*store->begin_read())->scan(rows_table, {}, {}, 1000)->size() == stored + 1u);
}

TEST_CASE("reserved blocks are real") {
  test::TemporaryDirectory directory;
  auto options = options_for(directory);
  options.preallocate_bytes = 16u << 20;
  auto store = LmdbStore::open(options);
  REQUIRE(store);
  struct stat status {};
  REQUIRE(::stat((directory / "store/data.mdb").c_str(), &status) == 0);
  CHECK(status.st_blocks * 512 >= (16 << 20));
}

TEST_CASE("the file is longer than its pages, and what it holds stays as it is") {
  test::TemporaryDirectory directory;
  auto store = *LmdbStore::open(options_for(directory));
  const auto length = [&] {
    struct stat status {};
    REQUIRE(::stat((directory / "store/data.mdb").c_str(), &status) == 0);
    return static_cast<uint64_t>(status.st_size);
  };
  const Bytes value(30000, 7);
  const uint64_t at_first = length();
  REQUIRE(store->grow_ahead());
  const uint64_t grown = length();
  CHECK(grown >= at_first + (2u << 20));
  REQUIRE(store->grow_ahead());
  CHECK(length() == grown);  // there is room enough
  for (uint8_t i = 0; i < 40; ++i) {
    REQUIRE(put_row(*store, {i}, value));
    if (i % 8 == 7) REQUIRE(store->grow_ahead());
  }
  CHECK(length() > grown);
  store.reset();
  store = *LmdbStore::open(options_for(directory));
  const auto rows_held = (*store->begin_read())->scan(rows_table, {}, {}, 1000);
  REQUIRE(rows_held);
  REQUIRE(rows_held->size() == 40);
  CHECK(std::all_of(rows_held->begin(), rows_held->end(), [&](const Row& row) { return row.value == value; }));
  // The next life knows the length that the file has.
  const uint64_t before = length();
  REQUIRE(store->grow_ahead());
  CHECK(length() == before);
}

TEST_CASE("a disk without room for growth says nothing until a commit needs it") {
  test::TemporaryDirectory directory;
  auto store = *LmdbStore::open(options_for(directory));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto grown = store->grow_ahead();
  const auto put = put_row(*store, {1}, Bytes(1000, 1));
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(grown);
  CHECK(put);
  CHECK_FALSE(store->fatal_error());
}
