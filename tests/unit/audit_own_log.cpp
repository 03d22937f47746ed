// A log before its witnesses: nobody honest is ever convicted, whatever is restored, cut off or restarted (I8, I10).
#include <random>

#include "tests/unit/audit_witness_world.h"

namespace tram::audit::test {
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

TEST_CASE("I10: clients are shown a checkpoint that a witness holds, else the one before, after a restart too") {
  World world;
  LogHost host(world);
  const auto alone = [&](bool yes) {
    for (size_t i = 0; i < world.witnesses.size(); ++i) host.reach(i, !yes);
  };
  const auto size_shown = [&] {
    const auto shown = crypto::decode_signed_checkpoint(host.own->witnessed_note());
    return shown ? shown->checkpoint.size : 0;
  };
  host.append(10);
  alone(true);
  host.tick();
  REQUIRE(host.own->checkpoint_size() == 10);
  CHECK(size_shown() == 0);
  alone(false);
  host.tick();
  CHECK(size_shown() == 10);
  host.append(5);
  alone(true);
  host.tick();
  REQUIRE(host.own->checkpoint_size() == 15);
  CHECK(size_shown() == 10);
  host.start();
  CHECK(host.own->checkpoint_size() == 15);
  CHECK(size_shown() == 10);
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

}  // namespace tram::audit::test
