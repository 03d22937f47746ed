// One contract, two stores: what the LMDB store and the simulated store both do, checked against std::map.
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include <algorithm>

#include "base/io/lmdb_store.h"
#include "base/limits.h"
#include "tests/sim/mem_store.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;

namespace {

constexpr Table alpha{"alpha"}, beta{"beta"};
constexpr Table all_tables[] = {alpha, beta};

class Fixture {
 public:
  virtual ~Fixture() = default;
  virtual Store& store() = 0;
};

class LmdbFixture final : public Fixture {
 public:
  explicit LmdbFixture(uint64_t capacity_bytes) {
    io::LmdbOptions options;
    options.directory = directory_ / "store";
    options.map_bytes = capacity_bytes;
    options.tables = all_tables;
    auto opened = io::LmdbStore::open(options);
    REQUIRE(opened);
    store_ = std::move(*opened);
  }
  Store& store() override { return *store_; }

 private:
  test::TemporaryDirectory directory_;
  std::unique_ptr<io::LmdbStore> store_;
};

class MemFixture final : public Fixture {
 public:
  explicit MemFixture(uint64_t capacity_bytes) : store_({{"alpha", "beta"}, capacity_bytes}) {}
  Store& store() override { return store_; }

 private:
  sim::MemStore store_;
};

std::unique_ptr<Fixture> make_fixture(const std::string& kind, uint64_t capacity_bytes = 1u << 28) {
  if (kind == "lmdb") return std::make_unique<LmdbFixture>(capacity_bytes);
  return std::make_unique<MemFixture>(capacity_bytes);
}

std::vector<std::pair<Bytes, Bytes>> pairs(const std::vector<Row>& rows) {
  std::vector<std::pair<Bytes, Bytes>> out;
  for (const Row& row : rows) out.emplace_back(row.key, row.value);
  return out;
}

using Model = std::map<Bytes, Bytes>;

std::vector<std::pair<Bytes, Bytes>> model_scan(const Model& model, const Bytes& from, const Bytes& until,
                                                size_t limit, Direction direction) {
  std::vector<std::pair<Bytes, Bytes>> out;
  for (const auto& [key, value] : model)
    if (key >= from && (until.empty() || key < until)) out.emplace_back(key, value);
  if (direction == Direction::backward) std::reverse(out.begin(), out.end());
  if (out.size() > limit) out.resize(limit);
  return out;
}

// Few distinct bytes, so that keys meet; 0xff so that ends of ranges are reached.
rc::Gen<Bytes> some_key(size_t shortest) {
  return rc::gen::suchThat(
      rc::gen::container<Bytes>(rc::gen::element<uint8_t>(0, 1, 0x7f, 0xff)),
      [shortest](const Bytes& key) { return key.size() >= shortest && key.size() <= 4; });
}

}  // namespace

TEST_CASE("a store is a sorted map with snapshots") {
  std::string kind = GENERATE("lmdb", "memory");
  INFO(kind);
  auto fixture = make_fixture(kind);  // one environment for all cases: clearing is part of what is tested
  Store& store = fixture->store();

  rc::prop("equals std::map under any sequence of operations", [&] {
    {
      auto txn = *store.begin_write();
      for (const Table& table : all_tables) {
        std::vector<Row> rows = *txn->scan(table, {}, {}, SIZE_MAX);
        for (const Row& row : rows) RC_ASSERT(txn->erase(table, row.key));
      }
      RC_ASSERT(txn->commit());
    }
    Model committed[2];
    int rounds = *rc::gen::inRange(1, 5);
    for (int round = 0; round < rounds; ++round) {
      auto snapshot = *store.begin_read();
      Model before[2] = {committed[0], committed[1]};
      auto txn = *store.begin_write();
      Model pending[2] = {committed[0], committed[1]};
      int operations = *rc::gen::inRange(0, 30);
      for (int i = 0; i < operations; ++i) {
        size_t t = *rc::gen::inRange<size_t>(0, 2);
        const Table& table = all_tables[t];
        switch (*rc::gen::inRange(0, 5)) {
          case 0:
          case 1: {
            Bytes key = *some_key(1);
            Bytes value(*rc::gen::element<size_t>(0, 1, 40, 3000), *rc::gen::arbitrary<uint8_t>());
            RC_ASSERT(txn->put(table, key, value));
            pending[t][key] = value;
            break;
          }
          case 2: {
            Bytes key = *some_key(1);
            RC_ASSERT(txn->erase(table, key));
            pending[t].erase(key);
            break;
          }
          case 3: {
            Bytes key = *some_key(0);
            auto got = *txn->get(table, key);
            auto it = pending[t].find(key);
            RC_ASSERT(got == (it == pending[t].end() ? std::optional<Bytes>{} : std::optional<Bytes>(it->second)));
            break;
          }
          case 4: {
            Bytes from = *some_key(0), until = *some_key(0);
            size_t limit = *rc::gen::element<size_t>(0, 1, 2, 3, SIZE_MAX);
            auto direction = *rc::gen::element(Direction::forward, Direction::backward);
            RC_ASSERT(pairs(*txn->scan(table, from, until, limit, direction)) ==
                      model_scan(pending[t], from, until, limit, direction));
            RC_ASSERT(pairs(*snapshot->scan(table, from, until, limit, direction)) ==
                      model_scan(before[t], from, until, limit, direction));
            break;
          }
        }
      }
      if (*rc::gen::weightedElement<bool>({{3, true}, {1, false}})) {
        RC_ASSERT(txn->commit());
        committed[0] = pending[0];
        committed[1] = pending[1];
      }
      txn.reset();
      for (size_t t = 0; t < 2; ++t) {
        // The snapshot stays what it was; a new one sees what was committed and nothing else.
        RC_ASSERT(pairs(*snapshot->scan(all_tables[t], {}, {}, SIZE_MAX)) ==
                  model_scan(before[t], {}, {}, SIZE_MAX, Direction::forward));
        auto fresh = *store.begin_read();
        RC_ASSERT(pairs(*fresh->scan(all_tables[t], {}, {}, SIZE_MAX, Direction::backward)) ==
                  model_scan(committed[t], {}, {}, SIZE_MAX, Direction::backward));
      }
    }
  });
}

TEST_CASE("a store keeps its limits") {
  std::string kind = GENERATE("lmdb", "memory");
  INFO(kind);
  auto fixture = make_fixture(kind);
  auto txn = *fixture->store().begin_write();
  Bytes long_key(limits::key_bytes_max, 7), longer_key(limits::key_bytes_max + 1, 7);
  Bytes big(limits::value_bytes_max, 1), bigger(limits::value_bytes_max + 1, 1);

  CHECK(txn->put(alpha, long_key, big));
  CHECK(txn->put(alpha, {}, big).error().code == ErrorCode::too_large);
  CHECK(txn->put(alpha, longer_key, big).error().code == ErrorCode::too_large);
  CHECK(txn->put(alpha, long_key, bigger).error().code == ErrorCode::too_large);
  // A refused put leaves the transaction usable; asking for keys that cannot exist is no error.
  CHECK(*txn->get(alpha, longer_key) == std::nullopt);
  CHECK(*txn->get(alpha, {}) == std::nullopt);
  CHECK(txn->erase(alpha, longer_key));
  CHECK(txn->erase(alpha, {}));
  CHECK(txn->scan(alpha, longer_key, {}, 10)->empty());
  CHECK(txn->scan(alpha, {}, longer_key, 10)->size() == 1);
  CHECK(txn->scan(alpha, {}, longer_key, 10, Direction::backward)->size() == 1);
  REQUIRE(txn->commit());
  txn.reset();
  auto read = *fixture->store().begin_read();
  CHECK(**read->get(alpha, long_key) == big);
  CHECK(*read->get(beta, long_key) == std::nullopt);
}

TEST_CASE("a full store refuses, stays usable and takes deletions") {
  std::string kind = GENERATE("lmdb", "memory");
  INFO(kind);
  auto fixture = make_fixture(kind, 4u << 20);
  Store& store = fixture->store();
  Bytes value(60000, 5);
  uint32_t stored = 0;
  for (;; ++stored) {
    REQUIRE(stored < 1000);
    auto txn = *store.begin_write();
    Bytes key;
    Writer(key).u32(stored);
    auto put = txn->put(alpha, key, value);
    if (!put) {
      CHECK(put.error().code == ErrorCode::map_full);
      CHECK(txn->get(alpha, key).error().code == ErrorCode::map_full);
      CHECK(txn->commit().error().code == ErrorCode::map_full);
      break;
    }
    auto committed = txn->commit();
    if (!committed) {  // LMDB may find out only while committing
      CHECK(committed.error().code == ErrorCode::map_full);
      break;
    }
  }
  REQUIRE(stored > 10);
  CHECK((*store.begin_read())->scan(alpha, {}, {}, SIZE_MAX)->size() == stored);
  for (uint32_t i = 0; i < stored; ++i) {
    auto txn = *store.begin_write();
    Bytes key;
    Writer(key).u32(i);
    REQUIRE(txn->erase(alpha, key));
    REQUIRE(txn->commit());
  }
  auto txn = *store.begin_write();
  CHECK(txn->put(alpha, Bytes{1}, value));
  CHECK(txn->commit());
}

TEST_CASE("the simulated store fails commits on demand") {
  sim::MemStore store;
  auto attempt = [&]() -> Result<void> {
    TRAM_TRY(txn, store.begin_write());
    TRAM_OK(txn->put(alpha, Bytes{1}, Bytes{2}));
    return txn->commit();
  };
  store.fail_next_commit(ErrorCode::storage_full);
  CHECK(attempt().error().code == ErrorCode::storage_full);
  CHECK(store.dump().empty());
  REQUIRE(attempt());
  auto image = store.dump();
  CHECK(image.size() == 1);

  store.fail_next_commit(ErrorCode::io_failed);
  CHECK(attempt().error().code == ErrorCode::io_failed);
  CHECK(attempt().error().code == ErrorCode::io_failed);  // sticky
  CHECK_FALSE(store.begin_read());
  store.restore(image);
  CHECK(attempt());
  CHECK(store.dump() == image);
}
