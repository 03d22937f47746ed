// Proofs out of the stored tiles, and a log that goes on from its witnesses' mirrors.
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "audit/log_proof.h"
#include "audit/own_log.h"
#include "tests/sim/mem_store.h"
#include "tests/unit/crypto_support.h"

using namespace tram;

namespace {

struct Proofs {
  sim::MemStore store;
  test::SeededRandom random{1};
  audit::Log log;

  void append(size_t count, std::string_view what = "entry") {
    auto txn = store.begin_write().value();
    for (size_t i = 0; i < count; ++i)
      REQUIRE(log.append(*txn, audit::LeafKind::handed, Time{7}, view(what), random));
    REQUIRE(log.store_head(*txn));
    REQUIRE(txn->commit());
  }
  std::vector<Hash> leaves() { return audit::leaf_hashes(*store.begin_read().value(), 0, log.size()).value(); }
  void reopen() {
    log = audit::Log();
    REQUIRE(log.load(*store.begin_read().value()));
  }
};

}  // namespace

TEST_CASE("proofs from tiles are those of the whole tree") {
  Proofs f;
  f.append(1900);
  const auto leaves = f.leaves();
  auto txn = f.store.begin_read().value();
  rc::prop("inclusion and consistency", [&]() {
    const auto size = *rc::gen::inRange<uint64_t>(1, 1901);
    const auto index = *rc::gen::inRange<uint64_t>(0, size);
    const auto old_size = *rc::gen::inRange<uint64_t>(1, size + 1);
    const std::span<const Hash> some(leaves.data(), size);
    const Hash root = crypto::merkle_root(some);
    RC_ASSERT(audit::root_at(*txn, size).value() == root);
    RC_ASSERT(audit::inclusion_proof(*txn, index, size).value() == crypto::inclusion_path(index, some));
    const auto path = audit::consistency_proof(*txn, old_size, size).value();
    RC_ASSERT(crypto::verify_consistency(old_size, size, crypto::merkle_root(some.first(old_size)), root, path));
    const auto frontier = audit::frontier_at(*txn, size).value();
    RC_ASSERT(frontier.root() == root);
    RC_ASSERT(crypto::decode_frontier(crypto::encode_frontier(frontier)).has_value());
    RC_ASSERT(f.log.root_at(*txn, size).value() == root);
    RC_ASSERT(f.log.consistency_proof(*txn, old_size, size).value() == path);
    RC_ASSERT(f.log.frontier_at(*txn, size).value().peaks == frontier.peaks);
    RC_ASSERT(f.log.leaf_hashes(*txn, old_size, size).value() == std::vector<Hash>(some.begin() + static_cast<ptrdiff_t>(old_size), some.end()));
  });
  CHECK(audit::root_at(*txn, 1901).error().code == ErrorCode::bad_request);
  CHECK(audit::inclusion_proof(*txn, 5, 5).error().code == ErrorCode::bad_request);
  CHECK(audit::consistency_proof(*txn, 6, 5).error().code == ErrorCode::bad_request);
  CHECK(audit::consistency_proof(*txn, 0, 5).value().empty());
  CHECK(f.log.root_at(*txn, 1901).error().code == ErrorCode::bad_request);
  CHECK(f.log.leaf_hashes(*txn, 6, 5).error().code == ErrorCode::bad_request);
  CHECK(f.log.leaf_hashes(*txn, 0, 1901).error().code == ErrorCode::bad_request);
  CHECK(f.log.consistency_proof(*txn, 5, 1901).error().code == ErrorCode::bad_request);
  CHECK(f.log.frontier_at(*txn, 1901).error().code == ErrorCode::bad_request);
}

TEST_CASE("proofs of a large tree read few rows, and need no subtree rows to be right") {
  Proofs f;
  f.append(70000);
  auto txn = f.store.begin_write().value();
  const auto path = audit::inclusion_proof(*txn, 12345, 69999).value();
  const Hash root = audit::root_at(*txn, 69999).value();
  const Hash leaf = audit::leaf_hashes(*txn, 12345, 12346).value().at(0);
  CHECK(crypto::verify_inclusion(12345, 69999, leaf, path, root));
  const Table nodes{"log_nodes"};
  auto rows = txn->scan(nodes, {}, {}, 1000).value();
  CHECK(rows.size() == 70000 / 256 + 1);  // level 1, and the one of level 2
  for (const auto& row : rows) REQUIRE(txn->erase(nodes, row.key));
  CHECK(audit::root_at(*txn, 69999).value() == root);
  CHECK(audit::inclusion_proof(*txn, 12345, 69999).value() == path);
}

TEST_CASE("a restored log goes on behind the mirrored leaves, and what it wrote beside them is kept") {
  rc::prop("rebase", []() {
    Proofs f;
    const auto agreed = *rc::gen::inRange<size_t>(0, 300);
    const auto common = *rc::gen::inRange<size_t>(0, 300);  // in the backup, after the last checkpoint
    const auto lost = *rc::gen::inRange<size_t>(1, 600);
    const auto beside = *rc::gen::inRange<size_t>(0, 400);
    f.append(agreed + common);
    const auto image = f.store.dump();
    f.append(lost, "lost");
    const auto mirror = f.leaves();
    const Hash mirror_root = f.log.root();
    f.store.restore(image);
    f.reopen();
    f.random = test::SeededRandom{99};
    f.append(beside, "beside");
    auto txn = f.store.begin_write().value();
    const audit::Log::Missing missing{agreed, std::span<const Hash>(mirror).subspan(agreed)};
    const auto first_lost = f.log.rebase(*txn, missing, Time{9}, f.random).value();
    RC_ASSERT(f.log.store_head(*txn).has_value());
    RC_ASSERT(txn->commit().has_value());
    RC_ASSERT(first_lost == agreed + common);
    RC_ASSERT(f.log.size() == mirror.size() + beside + 1);
    f.reopen();
    f.append(3, "after");
    auto read = f.store.begin_read().value();
    RC_ASSERT(audit::root_at(*read, mirror.size()).value() == mirror_root);
    RC_ASSERT(audit::root_at(*read, f.log.size()).value() == f.log.root());
    RC_ASSERT(crypto::merkle_root(f.leaves()) == f.log.root());
    for (uint64_t i = first_lost; i < mirror.size(); ++i) RC_ASSERT(!audit::read_entry(*read, i).value());
    for (uint64_t i = mirror.size(); i < mirror.size() + beside; ++i)
      RC_ASSERT(text(audit::read_entry(*read, i).value().value().entry) == "beside");
    const auto last = audit::read_entry(*read, mirror.size() + beside).value().value();
    RC_ASSERT(last.kind == audit::LeafKind::log_recovered);
    Reader entry(last.entry);
    RC_ASSERT(entry.u64() == first_lost);
    RC_ASSERT(entry.u64() == mirror.size());
  });
}

TEST_CASE("a new generation is an empty tree that keeps the unwitnessed entries") {
  Proofs f;
  f.append(300, "witnessed");
  f.append(30, "beside");
  auto txn = f.store.begin_write().value();
  REQUIRE(f.log.open_generation(*txn, 4, view("note"), 310, Time{9}, f.random));
  REQUIRE(f.log.store_head(*txn));
  REQUIRE(txn->commit());
  f.reopen();
  CHECK(f.log.generation() == 5);
  CHECK(f.log.size() == 21);
  auto read = f.store.begin_read().value();
  const auto first = audit::read_entry(*read, 0).value().value();
  CHECK(first.kind == audit::LeafKind::generation_opened);
  CHECK(text(first.entry) == "note");
  CHECK(text(audit::read_entry(*read, 20).value().value().entry) == "beside");
  CHECK(crypto::merkle_root(f.leaves()) == f.log.root());
}

TEST_CASE("a log proof says what was logged where, and every part of it is needed") {
  Proofs f;
  f.append(300);
  const crypto::LogKey key{crypto::Secret32(Bytes(32, 5))};
  const auto make = [&](uint64_t index) { return audit::make_log_proof(*f.store.begin_read().value(), index).value(); };
  CHECK(!make(7));  // no checkpoint yet
  const PartyId party = test::filled<PartyId>(1);
  const crypto::Checkpoint checkpoint{crypto::log_origin(test::filled<RealmId>(2), crypto::LogKind::node, party, 0),
                                      f.log.size(), f.log.root()};
  auto txn = f.store.begin_write().value();
  REQUIRE(txn->put(audit::own_log_table, view("note"), crypto::encode_note(crypto::sign_checkpoint(checkpoint, key))));
  REQUIRE(txn->commit());
  f.append(10);
  CHECK(!make(300));  // behind the checkpoint
  const auto proof = make(7);
  REQUIRE(proof);
  CHECK(audit::check_log_proof(*proof).value().checkpoint == checkpoint);
  const Bytes bytes = audit::encode_log_proof(*proof);
  CHECK(text(bytes).starts_with("c2sp.org/tlog-proof@v1\nextra "));
  const auto back = audit::decode_log_proof(bytes);
  REQUIRE(back);
  CHECK(audit::encode_log_proof(*back) == bytes);
  CHECK(audit::check_log_proof(*back));
  size_t signature_only = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    Bytes damaged = bytes;
    damaged[at] = static_cast<uint8_t>(damaged[at] ^ 1);
    const auto decoded = audit::decode_log_proof(damaged);
    if (!decoded) continue;
    const auto checked = audit::check_log_proof(*decoded);
    if (!checked) continue;
    // What inclusion does not cover, the log's signature does.
    CHECK(!crypto::verify_checkpoint(*checked, key.public_key()));
    ++signature_only;
  }
  CHECK(signature_only > 50);
  for (size_t size = 0; size < bytes.size(); size += 7) CHECK(!audit::decode_log_proof(BytesView(bytes).first(size)));
}
