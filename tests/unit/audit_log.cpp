#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "audit/log.h"
#include "tests/sim/mem_store.h"

using namespace tram;

namespace {

struct CountingRandom final : Random {
  uint64_t next = 1;
  void fill(std::span<uint8_t> out) override {
    for (auto& byte : out)
      byte = static_cast<uint8_t>((next = next * 6364136223846793005u + 1442695040888963407u) >> 56);
  }
};

struct Fixture {
  sim::MemStore store;
  CountingRandom random;
  audit::Log log;

  void append(size_t count) {
    auto txn = store.begin_write().value();
    for (size_t i = 0; i < count; ++i) {
      const uint64_t index = log.size();
      const Bytes entry(index % 40, static_cast<uint8_t>(index));
      REQUIRE(log.append(*txn, audit::LeafKind::handed, Time{int64_t(index) * 7}, entry, random).value() == index);
    }
    REQUIRE(log.store_head(*txn));
    REQUIRE(txn->commit());
  }
  std::vector<Hash> recomputed(ReadTxn& txn) {
    std::vector<Hash> leaves;
    for (uint64_t i = 0; i < log.size(); ++i) {
      const auto entry = audit::read_entry(txn, i).value().value();
      leaves.push_back(crypto::merkle_leaf(
          crypto::log_leaf_data(static_cast<uint16_t>(entry.kind), i, entry.time, entry.salt, entry.entry)));
    }
    return leaves;
  }
};

}  // namespace

TEST_CASE("an empty store opens an empty log") {
  Fixture f;
  auto txn = f.store.begin_read().value();
  REQUIRE(f.log.load(*txn));
  CHECK(f.log.size() == 0);
  CHECK(f.log.root() == crypto::merkle_empty_root());
  CHECK(audit::leaf_hashes(*txn, 0, 0).value().empty());
  CHECK_FALSE(audit::read_entry(*txn, 0).value().has_value());
}

TEST_CASE("entries come back as written, each with its own salt") {
  Fixture f;
  f.append(3);
  auto txn = f.store.begin_read().value();
  const auto first = audit::read_entry(*txn, 1).value().value();
  const auto second = audit::read_entry(*txn, 2).value().value();
  CHECK(first.kind == audit::LeafKind::handed);
  CHECK(first.time == Time{7});
  CHECK(first.entry == Bytes{1});
  CHECK(first.salt != second.salt);
}

TEST_CASE("tiles are written when they are full and agree with the entries") {
  Fixture f;
  f.append(255);
  CHECK(f.store.dump()["log_tiles"].empty());
  f.append(1);
  CHECK(f.store.dump()["log_tiles"].size() == 1);
  f.append(300);
  CHECK(f.store.dump()["log_tiles"].size() == 2);
  auto txn = f.store.begin_read().value();
  const auto leaves = f.recomputed(*txn);
  CHECK(audit::leaf_hashes(*txn, 0, 556).value() == leaves);
  CHECK(audit::leaf_hashes(*txn, 250, 260).value() == std::vector<Hash>(leaves.begin() + 250, leaves.begin() + 260));
  CHECK_FALSE(audit::leaf_hashes(*txn, 0, 557));
  CHECK_FALSE(audit::leaf_hashes(*txn, 3, 2));
}

TEST_CASE("an aborted transaction leaves no trace after load") {
  Fixture f;
  f.append(10);
  const Hash root = f.log.root();
  {
    auto txn = f.store.begin_write().value();
    REQUIRE(f.log.append(*txn, audit::LeafKind::expired, Time{1}, view("x"), f.random));
  }
  auto txn = f.store.begin_read().value();
  REQUIRE(f.log.load(*txn));
  CHECK(f.log.size() == 10);
  CHECK(f.log.root() == root);
}

TEST_CASE("property: what an aborted transaction did to a log is forgotten at load") {
  rc::prop("the same log as one that is opened afresh, and its leaves", [] {
    Fixture f;
    f.append(*rc::gen::inRange<size_t>(0, 600));
    const auto aborts = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, 400));
    for (size_t count : aborts) {
      {
        auto txn = f.store.begin_write().value();
        const uint64_t agreed = f.log.size() - count % (f.log.size() + 1);
        const std::vector<Hash> others(count % 7, Hash{});
        if (count % 3 == 1) RC_ASSERT(bool(f.log.rebase(*txn, {agreed, others}, Time{5}, f.random)));
        if (count % 5 == 1) RC_ASSERT(bool(f.log.open_generation(*txn, 0, view("note"), agreed, Time{5}, f.random)));
        for (size_t i = 0; i < count; ++i)
          RC_ASSERT(bool(f.log.append(*txn, audit::LeafKind::expired, Time{1}, view("lost"), f.random)));
        if (count % 2) RC_ASSERT(bool(f.log.store_head(*txn)));
      }
      auto txn = f.store.begin_read().value();
      audit::Log fresh;
      RC_ASSERT(bool(f.log.load(*txn)) && bool(fresh.load(*txn)));
      RC_ASSERT(f.log.size() == fresh.size() && f.log.generation() == fresh.generation());
      RC_ASSERT(f.log.root() == fresh.root());
      RC_ASSERT(f.log.leaf_hashes(*txn, 0, f.log.size()).value() == f.recomputed(*txn));
      txn.reset();
      f.append(count % 11);
      RC_ASSERT(f.log.root() == crypto::merkle_root(f.recomputed(*f.store.begin_read().value())));
    }
  });
}

TEST_CASE("a transaction that committed entries without a head is found at load") {
  Fixture f;
  f.append(2);
  const auto head = f.store.dump().at("log_head");
  f.append(3);
  auto image = f.store.dump();
  image["log_head"] = head;
  f.store.restore(image);
  auto read = f.store.begin_read().value();
  audit::Log other;
  const auto loaded = other.load(*read);
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().code == ErrorCode::store_corrupt);
}

TEST_CASE("what a step appends is one row, as far as a page holds it, and nothing of an aborted one") {
  Fixture f;
  f.append(20);
  CHECK(f.store.dump().at("log_entries").size() == 1);
  {
    auto txn = f.store.begin_write().value();
    REQUIRE(f.log.append(*txn, audit::LeafKind::handed, Time{1}, view("aborted"), f.random));
  }
  REQUIRE(f.log.load(*f.store.begin_read().value()));
  f.append(500);
  auto image = f.store.dump();
  for (const auto& [key, value] : image.at("log_entries")) CHECK(value.size() <= 4000);
  CHECK(image.at("log_entries").size() < 12);
  auto read = f.store.begin_read().value();
  for (uint64_t i = 0; i < 520; ++i) CHECK(audit::read_entry(*read, i).value().value().entry == Bytes(i % 40, static_cast<uint8_t>(i)));
  CHECK_FALSE(audit::read_entry(*read, 520).value());
}

TEST_CASE("a damaged entry is found") {
  Fixture f;
  for (int i = 0; i < 5; ++i) f.append(2);
  auto image = f.store.dump();
  REQUIRE(image["log_entries"].size() == 5);
  image["log_entries"].erase(std::next(image["log_entries"].begin(), 2));
  f.store.restore(image);
  auto txn = f.store.begin_read().value();
  audit::Log other;
  CHECK_FALSE(other.load(*txn));
}

TEST_CASE("property: reopening equals recomputing, whatever the batches") {
  rc::prop("head, tiles and entries agree", [] {
    Fixture f;
    const auto batches = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, 200));
    for (size_t count : batches) {
      f.append(count);
      audit::Log reopened;
      auto txn = f.store.begin_read().value();
      RC_ASSERT(bool(reopened.load(*txn)));
      RC_ASSERT(reopened.root() == f.log.root());
      f.log = reopened;
    }
    auto txn = f.store.begin_read().value();
    const auto leaves = f.recomputed(*txn);
    RC_ASSERT(f.log.root() == crypto::merkle_root(leaves));
    RC_ASSERT(audit::leaf_hashes(*txn, 0, leaves.size()).value() == leaves);
  });
}
