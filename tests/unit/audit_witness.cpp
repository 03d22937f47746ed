// Witnesses and the logs before them: what is cosigned, what is refused, what is evidence, and that nobody honest is ever
// convicted, whatever is restored, cut off or restarted (I8, I9, I10).
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>
#include <random>

#include "audit/own_log.h"
#include "base/limits.h"
#include "tests/unit/directory_fixture.h"

using namespace tram;
using directory::test::day_0;
using directory::test::CountingLog;
using directory::test::Realm;

namespace {

struct WitnessHost {
  PartyId id;
  std::shared_ptr<const crypto::LogKey> key;
  sim::MemStore store;
  CountingLog log;
  std::unique_ptr<audit::Witness> witness;
  bool reachable = true;
};

struct World {
  Realm realm;
  PartyId agency;
  std::shared_ptr<const crypto::LogKey> key;
  std::vector<std::unique_ptr<WitnessHost>> witnesses;
  directory::LogOwner owner;
  Time now = day_0 + days(1);

  explicit World(uint64_t seed = 7) : realm(seed) {
    key = std::make_shared<const crypto::LogKey>(crypto::make_secret(realm.random));
    std::vector<proto::Change> changes;
    auto record = realm.agency("G01");
    record.keys = realm.keys();
    record.keys->log = key->public_key();
    agency = record.id;
    changes.push_back(Realm::change(record));
    for (int i = 0; i < 3; ++i) {
      auto host = std::make_unique<WitnessHost>();
      host->id = realm.random.id<PartyId>();
      host->key = std::make_shared<const crypto::LogKey>(crypto::make_secret(realm.random));
      proto::BrokerChange broker;
      broker.id = host->id;
      broker.name = "broker";
      broker.failure_domain = "domain " + std::to_string(i);
      broker.control_endpoint = "tcp://h:" + std::to_string(1000 + i);
      broker.bulk_endpoint = "tcp://h:" + std::to_string(2000 + i);
      broker.sig = crypto::SigningKey(crypto::make_secret(realm.random)).public_key();
      broker.log = host->key->public_key();
      broker.curve = crypto::make_curve_pair(realm.random).public_key;
      changes.push_back({day_0, broker});
      witnesses.push_back(std::move(host));
    }
    realm.must(changes);
    for (auto& host : witnesses)
      host->witness = std::make_unique<audit::Witness>(
          realm.directory->realm(), crypto::cosigner_name(realm.directory->realm(), crypto::LogKind::broker, host->id),
          host->key, host->log);
    owner = realm.directory->log_owner(*realm.read(), agency, now).value().value();
  }

  crypto::Checkpoint checkpoint(std::span<const Hash> leaves, uint32_t generation = 0) const {
    return {crypto::log_origin(realm.directory->realm(), crypto::LogKind::node, agency, generation), leaves.size(),
            crypto::merkle_root(leaves)};
  }
  proto::CheckpointPut put(std::span<const Hash> leaves, uint64_t old_size, uint64_t mirrored) const {
    proto::CheckpointPut out;
    out.note = crypto::encode_note(crypto::sign_checkpoint(checkpoint(leaves), *key));
    out.old_size = old_size;
    if (old_size != 0 && old_size < leaves.size()) out.proof = crypto::consistency_path(old_size, leaves);
    out.leaves_from = mirrored;
    out.leaves.assign(leaves.begin() + static_cast<ptrdiff_t>(mirrored), leaves.end());
    return out;
  }
  proto::CheckpointReply add(WitnessHost& host, const proto::CheckpointPut& put) {
    auto txn = host.store.begin_write().value();
    auto reply = host.witness->add(*txn, now, agency, owner, put).value();
    REQUIRE(txn->commit());
    return reply;
  }
  uint64_t evidence() {
    uint64_t found = 0;
    for (auto& host : witnesses) found += audit::count_evidence(*host->store.begin_read().value()).value();
    return found;
  }
};

std::vector<Hash> some_leaves(size_t count, std::string_view what = "leaf") {
  std::vector<Hash> out;
  for (size_t i = 0; i < count; ++i) out.push_back(crypto::merkle_leaf(view(std::string(what) + std::to_string(i))));
  return out;
}

uint16_t number(ErrorCode code) { return static_cast<uint16_t>(code); }

}  // namespace

TEST_CASE("a witness cosigns what continues what it saw, and answers with what it holds") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(700);
  const std::span<const Hash> all(leaves);
  const auto first = world.add(w, world.put(all.first(300), 0, 0));
  REQUIRE(first.refusal == 0);
  CHECK(first.mirrored == 300);
  const auto line = crypto::decode_note_signature_line(text(first.cosignature)).value();
  const std::string first_text = crypto::checkpoint_text(world.checkpoint(all.first(300)));
  const auto made = audit::find_cosignature(*world.realm.directory, world.now, first_text, line);
  REQUIRE(made);
  CHECK(made->by == w.id);

  // Another old size than the stored one: conflict, and the stored note.
  const auto conflict = world.add(w, world.put(all, 0, 0));
  CHECK(conflict.refusal == number(ErrorCode::conflict));
  CHECK(conflict.cosignature.empty());
  CHECK(crypto::decode_signed_checkpoint(conflict.note).value().checkpoint.size == 300);
  CHECK(conflict.mirrored == 300);

  auto wrong = world.put(all, 300, 300);
  wrong.proof.back().bytes[0] ^= 1;
  CHECK(world.add(w, wrong).refusal == number(ErrorCode::bad_request));

  const auto second = world.add(w, world.put(all, 300, 300));
  CHECK(second.refusal == 0);
  CHECK(second.mirrored == 700);
  // Leaves that are not under the checkpoint are not taken; the checkpoint is cosigned all the same.
  auto more = leaves;
  for (const Hash& one : some_leaves(50, "more")) more.push_back(one);
  auto bad_leaves = world.put(more, 700, 700);
  bad_leaves.leaves[3].bytes[1] ^= 1;
  const auto third = world.add(w, bad_leaves);
  CHECK(third.refusal == 0);
  CHECK(third.mirrored == 700);
  CHECK(world.add(w, world.put(more, 750, 700)).mirrored == 750);
  auto txn = w.store.begin_read().value();
  CHECK(w.witness->leaves(*txn, world.agency, 0, 0, 10000).value() == more);
  CHECK(w.witness->leaves(*txn, world.agency, 0, 255, 2).value() == std::vector<Hash>(more.begin() + 255, more.begin() + 257));
  CHECK(w.witness->leaves(*txn, world.agency, 0, 750, 2).value().empty());
  CHECK(w.witness->leaves(*txn, world.agency, 1, 0, 2).value().empty());
  CHECK(world.evidence() == 0);
}

TEST_CASE("a page of leaves stands under the checkpoint by a proof of its own") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(1000);
  auto put = world.put(leaves, 0, 0);
  put.leaves.resize(400);
  CHECK(world.add(w, put).mirrored == 0);  // no proof
  auto again = world.put(leaves, 1000, 0);
  again.leaves.resize(400);
  again.leaves_proof = crypto::consistency_path(400, leaves);
  CHECK(world.add(w, again).mirrored == 400);
  auto rest = world.put(leaves, 1000, 400);
  CHECK(world.add(w, rest).mirrored == 1000);
}

TEST_CASE("only a party's own log under its own key is taken") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(5);
  auto put = world.put(leaves, 0, 0);
  auto txn = w.store.begin_write().value();
  const auto add = [&](const PartyId& party, const directory::LogOwner& owner) {
    return w.witness->add(*txn, world.now, party, owner, put).value().refusal;
  };
  CHECK(add(w.id, world.owner) == number(ErrorCode::forbidden));
  directory::LogOwner other = world.owner;
  other.kind = crypto::LogKind::broker;
  CHECK(add(world.agency, other) == number(ErrorCode::forbidden));
  other = world.owner;
  other.keys.push_back(w.key->public_key());
  CHECK(add(world.agency, other) == number(ErrorCode::bad_signature));
  put.note = to_bytes(std::string_view("no note"));
  CHECK(add(world.agency, world.owner) == number(ErrorCode::bad_format));
  put = world.put(leaves, 3, 0);
  CHECK(add(world.agency, world.owner) == number(ErrorCode::conflict));
  put.note = crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(std::span<const Hash>{}), *world.key));
  CHECK(add(world.agency, world.owner) == number(ErrorCode::bad_request));
}

TEST_CASE("two roots of one size, or a root that the log never had, are evidence") {
  World world;
  const auto leaves = some_leaves(600);
  auto forked = leaves;
  forked[250] = crypto::merkle_leaf(view("forged"));
  for (const size_t size : {600, 400}) {
    WitnessHost& w = *world.witnesses[size == 600 ? 0 : 1];
    REQUIRE(world.add(w, world.put(leaves, 0, 0)).mirrored == 600);
    const std::span<const Hash> shown(forked.data(), size);
    const auto reply = world.add(w, world.put(shown, 600, 0));
    CHECK(reply.refusal == number(ErrorCode::equivocation));
    const auto kept = audit::kept_evidence(*w.store.begin_read().value()).value();
    REQUIRE(kept.size() == 1);
    CHECK(w.log.errors == 1);
    // It convinces whoever has the key, and nothing else with it does.
    const Bytes bytes = audit::encode_evidence(kept[0].evidence);
    const auto evidence = audit::decode_evidence(bytes).value();
    CHECK(audit::check_evidence(evidence, world.key->public_key()));
    CHECK(audit::check_evidence(evidence, w.key->public_key()).error().code == ErrorCode::bad_signature);
    // Every part is needed as it is.
    for (size_t at = 0; at < bytes.size(); ++at) {
      Bytes damaged = bytes;
      damaged[at] = static_cast<uint8_t>(damaged[at] ^ 1);
      const auto decoded = audit::decode_evidence(damaged);
      CHECK((!decoded || !audit::check_evidence(*decoded, world.key->public_key())));
    }
    // A convicted log is not cosigned any more, honest or not.
    CHECK(world.add(w, world.put(leaves, 600, 600)).refusal == number(ErrorCode::equivocation));
  }
}

TEST_CASE("a fork at a larger size is told as soon as the log reaches it") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(600);
  const std::span<const Hash> all(leaves);
  auto forked = std::vector<Hash>(leaves.begin(), leaves.begin() + 500);
  forked[420] = crypto::merkle_leaf(view("forged"));
  REQUIRE(world.add(w, world.put(all.first(400), 0, 0)).mirrored == 400);
  auto inconsistent = world.put(forked, 400, 400);
  inconsistent.old_size = 400;
  inconsistent.proof.clear();
  CHECK(world.add(w, inconsistent).refusal == number(ErrorCode::bad_request));
  CHECK(world.add(w, world.put(all.first(450), 400, 400)).refusal == 0);
  CHECK(world.evidence() == 0);
  CHECK(world.add(w, world.put(all, 450, 450)).refusal == number(ErrorCode::equivocation));
  const auto kept = audit::kept_evidence(*w.store.begin_read().value()).value();
  REQUIRE(kept.size() == 1);
  CHECK(audit::check_evidence(kept[0].evidence, world.key->public_key()));
  // A checkpoint refused for its proof alone convicts nobody.
  WitnessHost& other = *world.witnesses[1];
  REQUIRE(world.add(other, world.put(all.first(400), 0, 0)).mirrored == 400);
  auto clumsy = world.put(all.first(500), 400, 400);
  clumsy.proof.clear();
  CHECK(world.add(other, clumsy).refusal == number(ErrorCode::bad_request));
  CHECK(world.add(other, world.put(all, 400, 400)).refusal == 0);
  CHECK(audit::count_evidence(*other.store.begin_read().value()).value() == 0);
}

TEST_CASE("what an honest log showed earlier, late or twice is no evidence") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(600);
  const std::span<const Hash> all(leaves);
  REQUIRE(world.add(w, world.put(all, 0, 0)).refusal == 0);
  for (const size_t size : {1, 2, 255, 256, 257, 511, 599}) {
    CHECK(world.add(w, world.put(all.first(size), 600, 0)).refusal == number(ErrorCode::conflict));
    CHECK(world.add(w, world.put(all.first(size), 0, 0)).refusal == number(ErrorCode::conflict));
  }
  CHECK(world.evidence() == 0);
  // Nor can it be made of them.
  const auto note = [&](size_t size) {
    return crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(all.first(size)), *world.key));
  };
  for (const size_t size : {256, 599, 600}) {
    audit::Evidence made{note(size), note(600), {}, {}, {}};
    CHECK(!audit::check_evidence(made, world.key->public_key()));
    made.prefix_root = crypto::merkle_root(all.first(size));
    if (size < 600) made.proof = crypto::consistency_path(size, leaves);
    CHECK(!audit::check_evidence(made, world.key->public_key()));
    made.prefix_root.bytes[0] ^= 1;
    CHECK(!audit::check_evidence(made, world.key->public_key()));
  }
  // Checkpoints of two generations contradict nothing.
  const auto other = crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(some_leaves(600, "x"), 1), *world.key));
  CHECK(!audit::check_evidence({note(600), other, {}, {}, {}}, world.key->public_key()));
}

TEST_CASE("a witness that is shown another witness's view finds the fork between them") {
  World world;
  const auto leaves = some_leaves(600);
  auto forked = std::vector<Hash>(leaves.begin(), leaves.begin() + 500);
  forked[77] = crypto::merkle_leaf(view("forged"));
  REQUIRE(world.add(*world.witnesses[0], world.put(leaves, 0, 0)).refusal == 0);
  const auto there = world.add(*world.witnesses[1], world.put(forked, 0, 0));
  REQUIRE(there.refusal == 0);
  const auto see = [&](WitnessHost& host, const Bytes& note) {
    auto txn = host.store.begin_write().value();
    const bool kept = host.witness->see(*txn, world.now, *world.realm.directory, world.agency, world.owner, note).value();
    REQUIRE(txn->commit());
    return kept;
  };
  CHECK(see(*world.witnesses[0], there.note));
  CHECK(world.evidence() == 1);
  // Cosignatures of the same checkpoint are gathered, and only real ones.
  World honest;
  const auto here = honest.add(*honest.witnesses[0], honest.put(leaves, 0, 0));
  auto other = honest.add(*honest.witnesses[1], honest.put(leaves, 0, 0));
  const auto see_honest = [&](const Bytes& note) {
    auto txn = honest.witnesses[0]->store.begin_write().value();
    const bool kept =
        honest.witnesses[0]->witness->see(*txn, honest.now, *honest.realm.directory, honest.agency, honest.owner, note).value();
    REQUIRE(txn->commit());
    return kept;
  };
  auto forged = crypto::decode_note(other.note).value();
  forged.signatures.back().signature[20] ^= 1;
  CHECK(!see_honest(crypto::encode_note(forged)));
  CHECK(see_honest(other.note));
  CHECK(!see_honest(other.note));
  auto txn = honest.witnesses[0]->store.begin_read().value();
  const auto known = honest.witnesses[0]->witness->known(*txn, honest.agency).value().value();
  CHECK(crypto::decode_note(known.note).value().signatures.size() == 3);
  CHECK(honest.evidence() == 0);
}

TEST_CASE("who mirrors nothing remembers the newest checkpoint, and two of one size are evidence") {
  World world;
  sim::MemStore store;
  CountingLog log;
  const auto leaves = some_leaves(20);
  const std::span<const Hash> all(leaves);
  const auto note = [&](std::span<const Hash> some) {
    return crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(some), *world.key));
  };
  auto txn = store.begin_write().value();
  const auto remember = [&](const Bytes& one) {
    REQUIRE(audit::remember_checkpoint(*txn, world.now, world.realm.directory->realm(), world.agency, world.owner, one, log));
  };
  remember(note(all.first(10)));
  remember(note(all));
  remember(note(all.first(15)));
  CHECK(audit::remembered_checkpoint(*txn, world.agency).value() == note(all));
  remember(crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(all.first(10)), *world.witnesses[0]->key)));
  CHECK(audit::remembered_checkpoint(*txn, world.agency).value() == note(all));
  CHECK(audit::count_evidence(*txn).value() == 0);
  remember(note(some_leaves(20, "other")));
  const auto kept = audit::kept_evidence(*txn).value();
  REQUIRE(kept.size() == 1);
  CHECK(audit::check_evidence(kept[0].evidence, world.key->public_key()));
}

// ---- a log before its witnesses -----------------------------------------------------------------------------

namespace {

/// A log's owner with its store, cut off and put back at will.
struct LogHost {
  World& world;
  sim::MemStore store;
  directory::test::TestRandom random{11};
  CountingLog log;
  std::unique_ptr<audit::Log> audit;
  std::unique_ptr<audit::OwnLog> own;
  bool hasty;  // signs before the witnesses have answered: what the rule forbids
  size_t restores_seen = 0;
  std::vector<PartyId> independent;  // witnesses that come by themselves
  bool unsure = false;               // brokers have not heard them yet
  Bytes shown;                       // what brokers were shown of this log and do not mirror

  explicit LogHost(World& w, bool without_rule = false) : world(w), hasty(without_rule) { start(); }

  std::vector<PartyId> ids() const {
    std::vector<PartyId> out;
    for (const auto& host : world.witnesses) out.push_back(host->id);
    return out;
  }
  void start() {
    audit = std::make_unique<audit::Log>();
    own = std::make_unique<audit::OwnLog>(crypto::LogKind::node, world.agency, world.key, *world.realm.directory, *audit,
                                          log, random);
    auto txn = store.begin_write().value();
    REQUIRE(audit->load(*txn));
    REQUIRE(own->start(*txn, world.now));
    if (hasty) own->set_witnesses({}, 0);
    own->set_witnesses(ids(), 2, independent);
    REQUIRE(txn->commit());
    for (auto& host : world.witnesses)
      if (host->reachable && !hasty) connect(*host);
  }
  void connect(WitnessHost& host) {
    audit::OwnLog::Sends sends;
    own->connected(host.id, world.now, sends);
    exchange(std::move(sends));
  }
  /// Carries frames there and back until there are none.
  void exchange(audit::OwnLog::Sends sends) {
    while (!sends.empty()) {
      audit::OwnLog::Sends next;
      for (auto& one : sends) {
        auto& host = **std::find_if(world.witnesses.begin(), world.witnesses.end(), [&](auto& w) { return w->id == one.to; });
        if (!host.reachable) continue;
        auto theirs = host.store.begin_write().value();
        auto ours = store.begin_write().value();
        if (std::holds_alternative<proto::CheckpointGet>(one.body)) {
          proto::CheckpointData data{world.agency, {}, 0};
          if (auto known = host.witness->known(*theirs, world.agency).value()) {
            data.note = known->note;
            data.mirrored = known->mirrored;
          }
          if (!shown.empty()) data.note = shown;
          data.unsure = unsure;
          REQUIRE(own->on(*ours, world.now, host.id, data, next));
        } else if (const auto* put = std::get_if<proto::CheckpointPut>(&one.body)) {
          const auto reply = host.witness->add(*theirs, world.now, world.agency, world.owner, *put).value();
          REQUIRE(own->on(*ours, world.now, host.id, reply, next));
        } else if (const auto* get = std::get_if<proto::LeavesGet>(&one.body)) {
          proto::LeavesData data{get->party, get->generation, get->from, {}};
          data.leaves = host.witness->leaves(*theirs, get->party, get->generation, get->from, 100).value();
          REQUIRE(own->on(*ours, world.now, host.id, data, next));
        }
        REQUIRE(theirs->commit());
        REQUIRE(audit->store_head(*ours));
        REQUIRE(ours->commit());
      }
      sends = std::move(next);
    }
    if (own->take_restored()) ++restores_seen;
  }
  /// What an independent witness says when it comes.
  void vouch(const PartyId& witness, BytesView note) {
    auto txn = store.begin_write().value();
    REQUIRE(own->vouched(*txn, world.now, witness, note));
    REQUIRE(audit->store_head(*txn));
    REQUIRE(txn->commit());
  }
  void append(size_t count) {
    auto txn = store.begin_write().value();
    for (size_t i = 0; i < count; ++i)
      REQUIRE(audit->append(*txn, audit::LeafKind::handed, world.now, view("entry"), random));
    REQUIRE(audit->store_head(*txn));
    REQUIRE(txn->commit());
  }
  void tick(Duration later = seconds(31)) {
    world.now = world.now + later;
    audit::OwnLog::Sends sends;
    auto txn = store.begin_write().value();
    REQUIRE(own->tick(*txn, world.now, sends));
    REQUIRE(audit->store_head(*txn));
    REQUIRE(txn->commit());
    if (hasty && !own->note().empty())
      for (auto& host : world.witnesses) sends.push_back({host->id, proto::CheckpointPut{own->note(), 0, {}, 0, {}, {}}});
    exchange(std::move(sends));
  }
  void reach(size_t i, bool yes) {
    WitnessHost& host = *world.witnesses[i];
    if (host.reachable == yes) return;
    host.reachable = yes;
    if (yes) connect(host);
    else own->disconnected(host.id);
  }
};

/// Appends, restores, cuts and restarts as `seed` says, then heals everything.
void live_through(World& world, LogHost& host, uint64_t seed) {
  std::mt19937_64 draw(seed);
  auto image = host.store.dump();
  for (int turn = 0; turn < 60; ++turn) {
    switch (draw() % 8) {
      case 0: case 1: host.append(draw() % 60 + 1); break;
      case 2: case 3: host.tick(); break;
      case 4: host.reach(draw() % 3, false); break;
      case 5: host.reach(draw() % 3, true); break;
      case 6: if (draw() % 3 == 0) host.start(); else image = host.store.dump(); break;
      case 7:
        host.store.restore(image);
        host.start();
        host.append(draw() % 5);  // a restored copy writes before it knows
        break;
    }
  }
  for (size_t i = 0; i < world.witnesses.size(); ++i) host.reach(i, true);
  host.append(1);
  for (int turn = 0; turn < 5; ++turn) host.tick();
}

}  // namespace

TEST_CASE("an honest log is witnessed by all, and never convicted, whatever is restored or cut off") {
  uint64_t restored = 0;
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    INFO("seed " << seed);
    World world(seed);
    LogHost host(world);
    live_through(world, host, seed);
    REQUIRE(world.evidence() == 0);
    CHECK(host.own->standing() == audit::OwnLog::Standing::sound);
    CHECK(host.own->cosigners() == 3);
    const auto ours = crypto::decode_signed_checkpoint(host.own->note()).value().checkpoint;
    CHECK(ours.size == host.audit->size());
    for (auto& one : world.witnesses) {
      auto txn = one->store.begin_read().value();
      const auto known = one->witness->known(*txn, world.agency).value().value();
      CHECK(known.checkpoint == ours);
      CHECK(known.mirrored == ours.size);
      CHECK(crypto::merkle_root(one->witness->leaves(*txn, world.agency, ours.origin.generation, 0, 100000).value()) ==
            host.audit->root());
    }
    restored += host.restores_seen;
  }
  CHECK(restored > 100);
}

TEST_CASE("without asking the witnesses first, a restored copy forks its log and is convicted") {
  uint64_t convicted = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    World world(seed);
    LogHost host(world, true);
    live_through(world, host, seed);
    for (auto& one : world.witnesses) {
      const auto kept = audit::kept_evidence(*one->store.begin_read().value()).value();
      for (const auto& found : kept) CHECK(audit::check_evidence(found.evidence, world.key->public_key()));
      convicted += kept.size();
    }
  }
  CHECK(convicted > 5);
}

TEST_CASE("nothing is signed before every witness has answered; after a day another generation begins") {
  World world;
  world.witnesses[2]->reachable = false;
  LogHost host(world);
  host.append(10);
  host.tick();
  CHECK(host.own->standing() == audit::OwnLog::Standing::sound);
  CHECK(!host.own->signs());
  CHECK(host.own->note().empty());
  host.tick(limits::new_generation_after);
  host.tick();
  REQUIRE(host.own->signs());
  CHECK(host.audit->generation() == 1);
  CHECK(host.own->cosigners() == 2);
  host.reach(2, true);
  host.tick();
  CHECK(host.own->cosigners() == 3);
  CHECK(world.evidence() == 0);
}

TEST_CASE("a restored log whose leaves nobody has goes on as a new generation") {
  World world;
  LogHost host(world);
  host.append(50);
  const auto image = host.store.dump();
  host.append(50);
  host.tick();
  CHECK(host.own->cosigners() == 3);
  for (auto& one : world.witnesses) {  // they know the checkpoint and lost the mirror
    auto txn = one->store.begin_write().value();
    const Table logs{"witness_log"};
    const auto row = txn->scan(logs, {}, {}, 1).value().at(0);
    Reader reader(row.value);
    Bytes value;
    Writer(value).u64(reader.u64());
    const uint32_t size = reader.u32();
    Writer(value).u32(size).raw(reader.raw(size)).raw(crypto::encode_frontier({}));
    REQUIRE(txn->put(logs, row.key, value));
    REQUIRE(txn->commit());
  }
  host.store.restore(image);
  host.start();
  host.tick();
  host.tick();
  CHECK(host.restores_seen == 1);
  CHECK(host.audit->generation() == 1);
  CHECK(host.own->cosigners() == 3);
  CHECK(world.evidence() == 0);
}

TEST_CASE("an aborted recovery is asked anew") {
  World world;
  LogHost host(world);
  host.append(50);
  const auto image = host.store.dump();
  host.append(50);
  host.tick();
  host.store.restore(image);
  host.start();
  REQUIRE(host.audit->size() > 100);
  // As after a full disk: what the recovery did is gone, the members are read again.
  host.store.restore(image);
  auto txn = host.store.begin_write().value();
  REQUIRE(host.audit->load(*txn));
  REQUIRE(host.own->load(*txn));
  txn.reset();
  CHECK(host.own->standing() == audit::OwnLog::Standing::unknown);
  CHECK(!host.own->signs());
  host.tick();
  host.tick();
  host.tick();
  CHECK(host.own->cosigners() == 3);
  CHECK(host.audit->size() > 100);
  CHECK(world.evidence() == 0);
}

TEST_CASE("a log and its brokers put back at once: an independent witness that knows more is waited for") {
  const bool comes = GENERATE(true, false);
  World world;
  LogHost host(world);
  const auto inspection = world.realm.random.id<PartyId>();
  host.independent = {inspection};
  host.start();
  host.vouch(inspection, {});
  host.append(50);
  host.tick();
  const auto ours = host.store.dump();
  host.append(50);
  host.tick();
  std::vector<decltype(world.witnesses[0]->store.dump())> theirs;
  for (auto& one : world.witnesses) theirs.push_back(one->store.dump());
  host.append(12);
  host.tick();
  REQUIRE(host.own->cosigners() == 3);
  const Bytes seen = host.own->note();
  const auto newest = crypto::decode_signed_checkpoint(seen).value().checkpoint;

  for (size_t i = 0; i < theirs.size(); ++i) world.witnesses[i]->store.restore(theirs[i]);
  host.store.restore(ours);
  host.start();
  host.append(40);
  host.tick();
  host.tick();
  CHECK(host.own->standing() == audit::OwnLog::Standing::sound);
  CHECK(!host.own->signs());
  if (comes) host.vouch(inspection, seen);
  else host.tick(limits::new_generation_alone_after);
  for (int i = 0; i < 4; ++i) host.tick();
  REQUIRE(host.own->signs());
  CHECK(host.own->cosigners() == 3);
  const auto now_signed = crypto::decode_signed_checkpoint(host.own->note()).value().checkpoint;
  CHECK(now_signed.origin != newest.origin);
  CHECK(world.evidence() == 0);
}

TEST_CASE("a node's log and all its brokers put back at once: what brokers have not heard of yet is waited for") {
  enum class Then { told_nothing, shown_more, silence };
  const Then then = GENERATE(Then::told_nothing, Then::shown_more, Then::silence);
  World world;
  LogHost host(world);
  host.append(50);
  host.tick();
  const auto ours = host.store.dump();
  std::vector<decltype(world.witnesses[0]->store.dump())> theirs;
  for (auto& one : world.witnesses) theirs.push_back(one->store.dump());
  if (then != Then::told_nothing) {
    host.append(50);
    host.tick();
  }
  REQUIRE(host.own->cosigners() == 3);
  const Bytes seen = host.own->note();
  const auto newest = crypto::decode_signed_checkpoint(seen).value().checkpoint;

  for (size_t i = 0; i < theirs.size(); ++i) world.witnesses[i]->store.restore(theirs[i]);
  host.store.restore(ours);
  host.unsure = true;
  host.start();
  host.append(40);
  host.tick(seconds(5));
  CHECK(host.own->standing() == audit::OwnLog::Standing::unknown);  // nothing is put under old numbers
  CHECK(!host.own->signs());
  host.tick(seconds(26));
  CHECK(host.own->standing() == audit::OwnLog::Standing::sound);  // a witness that is off delays no document for longer
  CHECK(!host.own->signs());
  host.tick(limits::new_generation_alone_after);
  CHECK(!host.own->signs());
  if (then == Then::silence) host.tick(limits::new_generation_after);
  if (then == Then::shown_more) host.shown = seen;
  if (then != Then::silence) host.unsure = false;
  for (int i = 0; i < 4; ++i) {
    host.tick();
    host.shown.clear();
  }
  REQUIRE(host.own->signs());
  CHECK(host.restores_seen == (then == Then::shown_more ? 1 : 0));
  CHECK(host.own->cosigners() == 3);
  const auto now_signed = crypto::decode_signed_checkpoint(host.own->note()).value().checkpoint;
  CHECK((now_signed.origin == newest.origin) == (then == Then::told_nothing));
  CHECK(world.evidence() == 0);
}

TEST_CASE("a new LOG key is no reason to doubt what the old one signed") {
  World world;
  LogHost host(world);
  host.append(10);
  host.tick();
  REQUIRE(host.own->cosigners() == 3);
  auto record = world.realm.directory->agency(*world.realm.read(), world.agency, world.now)->value().agency;
  world.key = std::make_shared<const crypto::LogKey>(crypto::make_secret(world.realm.random));
  record.keys->log = world.key->public_key();
  world.realm.must({Realm::change(record)});
  world.owner = world.realm.directory->log_owner(*world.realm.read(), world.agency, world.now)->value();
  REQUIRE(world.owner.keys.size() == 2);
  auto txn = host.store.begin_write().value();
  directory::Directory held(world.realm.directory->realm());
  const auto entries = world.realm.directory->entries(*world.realm.read(), 0, 1 << 20).value();
  for (const Bytes& entry : entries) REQUIRE(held.apply(*txn, entry, world.now));
  REQUIRE(txn->commit());
  host.start();
  CHECK(host.own->standing() == audit::OwnLog::Standing::sound);
  host.append(10);
  host.tick();
  host.tick();
  CHECK(host.own->cosigners() == 3);
  CHECK(host.restores_seen == 0);
  CHECK(world.evidence() == 0);
}
