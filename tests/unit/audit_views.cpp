// Views of the directory (R27, R28): who cosigns what, when a view counts as confirmed, what contradicts it, and that no
// single party can confirm a view, hold up its confirmation for ever, or make another look guilty.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "audit/bundle.h"
#include "audit/evidence.h"
#include "audit/views.h"
#include "audit/watcher.h"
#include "base/limits.h"
#include "tests/unit/directory_fixture.h"

using namespace tram;
using audit::Verdict;
using audit::ViewConflict;
using crypto::LogKind;
using directory::test::day_0;
using directory::test::CountingLog;
using directory::test::Realm;

namespace {

/// A store with a directory of its own; a node when it has no key.
struct Host {
  PartyId id;
  LogKind kind = LogKind::broker;
  std::shared_ptr<const crypto::LogKey> key;
  sim::MemStore store;
  CountingLog log;
  std::optional<directory::Directory> directory;
  std::optional<audit::Views> views;

  void start(Time now) {
    auto txn = store.begin_write().value();
    REQUIRE(directory->load(*txn));
    if (key) views.emplace(*directory, log, kind, id, key);
    else views.emplace(*directory, log);
    REQUIRE(views->start(*txn, now));
    REQUIRE(txn->commit());
  }
  template <class Work>
  void write(Work work) {
    auto txn = store.begin_write().value();
    REQUIRE(work(*txn));
    REQUIRE(txn->commit());
  }
  void learn(const std::vector<Bytes>& entries, Time now) {
    write([&](WriteTxn& txn) -> Result<void> {
      for (const Bytes& entry : entries) TRAM_OK(directory->apply(txn, entry, now));
      return views ? views->settle(txn, now) : Result<void>{};
    });
  }
  void take(const std::vector<Bytes>& notes, Time now) {
    write([&](WriteTxn& txn) { return views->take(txn, now, notes); });
  }
  void sign(Time now) {
    write([&](WriteTxn& txn) { return views->sign_if_due(txn, now); });
  }
  std::vector<ViewConflict> conflicts() { return audit::view_conflicts(*store.begin_read().value()).value(); }
};

struct World {
  Realm realm;
  std::vector<std::unique_ptr<Host>> brokers;
  std::unique_ptr<Host> witness;
  Host node;
  Time now = day_0 + days(1);

  explicit World(bool with_witness = false) {
    std::vector<proto::Change> changes;
    for (int i = 0; i < 3; ++i) {
      auto host = make(LogKind::broker);
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
      brokers.push_back(std::move(host));
    }
    if (with_witness) {
      witness = make(LogKind::witness);
      proto::WitnessChange change;
      change.id = witness->id;
      change.name = "inspection";
      change.organisation = "inspection";
      change.log = witness->key->public_key();
      changes.push_back({day_0, change});
    }
    realm.must(changes);
    node.directory.emplace(realm.directory->realm());
    for (Host* host : all()) {
      host->learn(entries(), now);
      host->start(now);
    }
  }
  std::unique_ptr<Host> make(LogKind kind) {
    auto host = std::make_unique<Host>();
    host->id = realm.random.id<PartyId>();
    host->kind = kind;
    host->key = std::make_shared<const crypto::LogKey>(crypto::make_secret(realm.random));
    host->directory.emplace(realm.directory->realm());
    return host;
  }
  std::vector<Host*> all() {
    std::vector<Host*> out;
    for (auto& one : brokers) out.push_back(one.get());
    if (witness) out.push_back(witness.get());
    out.push_back(&node);
    return out;
  }
  std::vector<Bytes> entries() { return realm.directory->entries(*realm.read(), 0, 1 << 20).value(); }
  /// One more entry, which nobody has yet.
  void grow(const char* code = "G07") { realm.must({Realm::change(realm.agency(code))}); }
  void signs(Host& host, Time at) {
    host.sign(at);
    node.take(host.views->notes(), now);
  }
  /// What `host` would sign over another directory of that size.
  Bytes forged(const Host& host, uint64_t size, Time at) {
    const crypto::Checkpoint other{audit::directory_origin(realm.directory->realm()), size, crypto::merkle_leaf(view("other"))};
    const std::string text = crypto::checkpoint_text(other);
    return crypto::encode_note(
        {text, {crypto::cosign(text, crypto::cosigner_name(realm.directory->realm(), host.kind, host.id), at, *host.key)}});
  }
};

}  // namespace

TEST_CASE("R27: all brokers but one confirm a view, at the time of the last that is needed") {
  World world;
  world.signs(*world.brokers[0], world.now - minutes(15));
  CHECK(world.node.views->confirmed() == Time{});
  world.signs(*world.brokers[0], world.now);  // the word of one, twice
  CHECK(world.node.views->confirmed() == Time{});
  world.signs(*world.brokers[1], world.now - minutes(5));
  CHECK(world.node.views->confirmed() == world.now - minutes(5));
  world.signs(*world.brokers[2], world.now - minutes(2));
  CHECK(world.node.views->confirmed() == world.now - minutes(2));
  CHECK(audit::view_quorum(*world.realm.directory, world.now).brokers == 2);
}

TEST_CASE("R27: where the directory lists witnesses, brokers alone confirm nothing") {
  World world(true);
  for (auto& broker : world.brokers) world.signs(*broker, world.now);
  CHECK(world.node.views->confirmed() == Time{});
  world.signs(*world.witness, world.now - minutes(1));
  CHECK(world.node.views->confirmed() == world.now - minutes(1));
}

TEST_CASE("R27: one reachable broker passes on what the others and the witness cosigned") {
  World world(true);
  Host& reachable = *world.brokers[0];
  reachable.sign(world.now);
  world.brokers[1]->sign(world.now);
  world.witness->sign(world.now);
  reachable.take(world.brokers[1]->views->notes(), world.now);
  reachable.take(world.witness->views->notes(), world.now);
  REQUIRE(reachable.views->notes().size() == 1);
  world.node.take(reachable.views->notes(), world.now);
  CHECK(world.node.views->confirmed() == world.now);
  // A restart forgets nothing; the same notes once more change no row.
  world.node.start(world.now + days(1));
  CHECK(world.node.views->confirmed() == world.now);
  CHECK(world.node.views->since() == world.now);
  const auto before = world.node.store.changes();
  world.node.take(reachable.views->notes(), world.now + days(1));
  CHECK(world.node.store.changes() == before);
}

TEST_CASE("R27: a view counts only when it is the one held") {
  World world;
  for (auto& broker : world.brokers) world.signs(*broker, world.now);
  const Time before = world.now;
  world.grow();
  world.now = world.now + minutes(20);
  world.node.learn(world.entries(), world.now);
  for (auto& broker : world.brokers) world.signs(*broker, world.now);  // over the entries they had
  CHECK(world.node.views->confirmed() == before);
  for (auto& broker : world.brokers) {
    broker->learn(world.entries(), world.now);
    world.signs(*broker, world.now);
  }
  CHECK(world.node.views->confirmed() == world.now);
}

TEST_CASE("R27: a larger view is judged when its entries come") {
  World world;
  world.grow();
  for (auto& broker : world.brokers) {
    broker->learn(world.entries(), world.now);
    world.signs(*broker, world.now);
  }
  CHECK(world.node.views->confirmed() == Time{});
  world.node.learn(world.entries(), world.now);
  CHECK(world.node.views->confirmed() == world.now);
}

TEST_CASE("R28: a signature from the future counts for nothing, and its witness is heard again") {
  World world;
  world.signs(*world.brokers[0], world.now);
  world.signs(*world.brokers[1], world.now + limits::clock_tolerance + seconds(1));
  CHECK(world.node.views->confirmed() == Time{});
  CHECK(world.node.views->known().size() == 1);  // nor is it passed on
  world.signs(*world.brokers[1], world.now);  // its clock was put right
  CHECK(world.node.views->confirmed() == world.now);
  World tolerant;
  tolerant.signs(*tolerant.brokers[0], tolerant.now);
  tolerant.signs(*tolerant.brokers[1], tolerant.now + limits::clock_tolerance);
  CHECK(tolerant.node.views->confirmed() == tolerant.now);
}

TEST_CASE("R28: what a clock far ahead let pass gives way to what is true") {
  World world;
  const Time ahead = world.now + days(300);
  for (auto& broker : world.brokers) {
    broker->sign(ahead);
    world.node.take(broker->views->notes(), ahead);
  }
  REQUIRE(world.node.views->confirmed() == ahead);
  for (auto& broker : world.brokers) world.signs(*broker, world.now);
  CHECK(world.node.views->confirmed() == world.now);
}

TEST_CASE("a witness renews its word, and no more often than it must") {
  World world;
  Host& broker = *world.brokers[0];
  broker.sign(world.now);
  const auto first = broker.views->notes();
  broker.sign(world.now + limits::view_renewed_every - seconds(1));
  CHECK(broker.views->notes() == first);
  broker.sign(world.now + limits::view_renewed_every);
  CHECK(broker.views->notes() != first);
  // Stored before it leaves: a restart shows the same.
  const auto last = broker.views->notes();
  broker.start(world.now + limits::view_renewed_every);
  CHECK(broker.views->notes() == last);
}

TEST_CASE("a witness whose store was put back cosigns nothing smaller than what it had cosigned") {
  World world;
  Host& broker = *world.brokers[0];
  const auto old = broker.store.dump();
  world.grow();
  broker.learn(world.entries(), world.now);
  broker.sign(world.now);
  const auto shown = broker.views->notes();
  broker.store.restore(old);
  broker.start(world.now);
  broker.take(shown, world.now);  // another broker passes it on
  broker.sign(world.now + hours(1));
  CHECK(broker.views->notes().empty());
  broker.learn(world.entries(), world.now);
  broker.sign(world.now + hours(1));
  REQUIRE(broker.views->notes().size() == 1);
  CHECK(crypto::decode_signed_checkpoint(broker.views->notes()[0])->checkpoint.size == world.realm.directory->size());
}

TEST_CASE("R27: who cosigns another directory is found; it takes a quorum of them to prove a split") {
  World world(true);
  const uint64_t size = world.realm.directory->size();
  Host& node = world.node;
  node.take({world.forged(*world.brokers[0], size, world.now)}, world.now);
  REQUIRE(node.conflicts().size() == 1);
  CHECK(node.conflicts()[0].by == world.brokers[0]->id);
  CHECK(node.conflicts()[0].kind == ViewConflict::Kind::cosigner);
  CHECK(node.log.errors == 1);
  CHECK(node.views->known().empty());
  CHECK_FALSE(audit::is_split(*node.directory, world.now, node.conflicts()));
  node.take({world.forged(*world.brokers[0], size, world.now + seconds(1))}, world.now);
  CHECK(node.conflicts().size() == 1);
  node.take({world.forged(*world.brokers[1], size, world.now)}, world.now);
  CHECK_FALSE(audit::is_split(*node.directory, world.now, node.conflicts()));  // no witness stands behind it
  node.take({world.forged(*world.witness, size, world.now)}, world.now);
  CHECK(audit::is_split(*node.directory, world.now, node.conflicts()));
  CHECK(node.views->confirmed() == Time{});
  // Also of one whose honest word is held, and was given at the same time or later.
  World both;
  both.signs(*both.brokers[0], both.now);
  both.node.take({both.forged(*both.brokers[0], size - 1, both.now - hours(1))}, both.now);
  CHECK(both.node.conflicts().size() == 1);
  CHECK(both.node.views->known().size() == 1);
  // Two that agree on nothing do not make a quorum for one view.
  World apart;
  apart.grow();
  apart.node.learn(apart.entries(), apart.now);
  apart.node.take({apart.forged(*apart.brokers[0], 1, apart.now)}, apart.now);
  apart.node.take({apart.forged(*apart.brokers[1], 2, apart.now)}, apart.now);
  CHECK(apart.node.conflicts().size() == 2);
  CHECK_FALSE(audit::is_split(*apart.node.directory, apart.now, apart.node.conflicts()));
}

TEST_CASE("R27: a split that a quorum signed convinces whoever trusts the realm, offline") {
  World world(true);
  const RealmId realm = world.realm.directory->realm();
  const uint64_t size = world.realm.directory->size();
  const auto exported = [&] {
    uint64_t known = 0;
    auto txn = world.node.store.begin_read().value();
    auto files = audit::export_new_evidence(*txn, *world.node.directory, known).value();
    CHECK(known > 0);
    CHECK(audit::export_new_evidence(*txn, *world.node.directory, known).value().empty());  // written once
    return files;
  };
  const auto verdict = [&](const audit::SplitEvidence& evidence, std::optional<RealmId> trusted) {
    return audit::verify_split(audit::decode_split(audit::encode_split(evidence)).value(), trusted).verdict;
  };
  world.node.take({world.forged(*world.brokers[0], size, world.now)}, world.now);
  world.node.take({world.forged(*world.brokers[1], size, world.now)}, world.now);
  REQUIRE(exported().size() == 1);
  // Two brokers and no witness would have confirmed nothing.
  CHECK(verdict(audit::decode_split(exported()[0].bytes).value(), realm) == Verdict::incomplete);
  world.node.take({world.forged(*world.witness, size, world.now)}, world.now);
  const auto files = exported();
  REQUIRE(files.size() == 1);
  CHECK(files[0].name.ends_with(".split"));
  const auto evidence = audit::decode_split(files[0].bytes).value();
  const auto result = audit::verify_split(evidence, realm);
  CHECK(result.verdict == Verdict::valid);
  CHECK(result.cosigners.size() == 3);
  CHECK(result.size == size);
  CHECK(result.root == world.realm.directory->root());
  CHECK(result.other_root == crypto::merkle_leaf(view("other")));
  CHECK(verdict(evidence, {}) == Verdict::incomplete);
  CHECK(verdict(evidence, RealmId{}) == Verdict::invalid);
  CHECK(verdict({evidence.view, {}}, realm) == Verdict::incomplete);

  SECTION("the file is the one of the vector, byte for byte") {
    const auto path = std::filesystem::path(TRAM_SOURCE_DIR) / "tests/vectors/evidence/split.bin";
    if (!std::filesystem::exists(path) && std::getenv("TRAM_WRITE_VECTORS")) {
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path, std::ios::binary) << text(files[0].bytes);
    }
    std::ifstream in(path, std::ios::binary);
    REQUIRE(in);
    CHECK(to_hex(Bytes(std::istreambuf_iterator<char>(in), {})) == to_hex(files[0].bytes));
    CHECK(realm.hex() == "8d705e4a89cd6822f551ff5a1b068315ce03b66e43ec97efbd26466f8964fe94");
  }
  SECTION("no honest witness is accused") {
    // What all cosign is no contradiction, of whatever size.
    world.signs(*world.brokers[0], world.now);
    const Bytes honest = world.brokers[0]->views->notes().at(0);
    CHECK(verdict({honest, evidence.entries}, realm) == Verdict::invalid);
    // A view of more entries than these contradicts nothing.
    CHECK(verdict({world.forged(*world.brokers[0], size + 1, world.now), evidence.entries}, realm) == Verdict::invalid);
    CHECK(verdict({world.forged(*world.brokers[0], 0, world.now), evidence.entries}, realm) == Verdict::invalid);
    // Signed by a key that the directory never gave, or by one under another's name.
    Host thief;
    thief.id = world.brokers[0]->id;
    thief.key = world.make(LogKind::broker)->key;
    CHECK(verdict({world.forged(thief, size, world.now), evidence.entries}, realm) == Verdict::invalid);
    Host stranger;
    stranger.id = world.realm.random.id<PartyId>();
    stranger.key = world.brokers[0]->key;
    CHECK(verdict({world.forged(stranger, size, world.now), evidence.entries}, realm) == Verdict::invalid);
    // One signature, thrice.
    auto note = crypto::decode_note(world.forged(*world.brokers[0], size, world.now)).value();
    note.signatures.resize(3, note.signatures[0]);
    const auto again = audit::verify_split({crypto::encode_note(note), evidence.entries}, realm);
    CHECK(again.verdict == Verdict::incomplete);
  }
  SECTION("another log's checkpoint, or another's directory, is no view of this one") {
    const crypto::Checkpoint log{crypto::log_origin(realm, LogKind::broker, world.brokers[0]->id, 0), size, crypto::merkle_leaf(view("x"))};
    crypto::Note note{crypto::checkpoint_text(log), {}};
    note.signatures.push_back(crypto::cosign(note.text, crypto::cosigner_name(realm, LogKind::broker, world.brokers[0]->id), world.now,
                                             *world.brokers[0]->key));
    CHECK(verdict({crypto::encode_note(note), evidence.entries}, realm) == Verdict::invalid);
  }
  SECTION("every byte counts") {
    for (size_t i = 0; i < files[0].bytes.size(); i += i < 2000 ? 1 : 97) {
      Bytes spoilt = files[0].bytes;
      spoilt[i] ^= 1;
      INFO(i);
      const auto decoded = audit::decode_split(spoilt);
      CHECK((!decoded || audit::verify_split(*decoded, realm).verdict != Verdict::valid));
    }
    CHECK_FALSE(audit::decode_split(BytesView(files[0].bytes).first(files[0].bytes.size() - 1)));
    CHECK_FALSE(audit::decode_split(BytesView(files[0].bytes).first(6)));
  }
  SECTION("who was retired before has no say, who was retired since had one") {
    auto retired = world.realm.directory->broker(world.brokers[1]->id)->record;
    retired.retired = true;
    world.realm.must({{day_0, retired}});
    CHECK(verdict({evidence.view, world.entries()}, realm) == Verdict::valid);
    const uint64_t later = world.realm.directory->size();
    crypto::Note note;
    for (const Host* host : {world.brokers[0].get(), world.brokers[1].get(), world.witness.get()}) {
      auto one = crypto::decode_note(world.forged(*host, later, world.now)).value();
      note.text = one.text;
      note.signatures.push_back(one.signatures[0]);
    }
    const auto result_later = audit::verify_split({crypto::encode_note(note), world.entries()}, realm);
    CHECK(result_later.cosigners.size() == 3);
    CHECK(result_later.verdict == Verdict::valid);  // of the two that are left all but one signed
    note.signatures.erase(note.signatures.begin());
    CHECK(audit::verify_split({crypto::encode_note(note), world.entries()}, realm).verdict == Verdict::incomplete);
  }
}

TEST_CASE("R27: another directory shown ahead of time is found when the entries come") {
  World world;
  const uint64_t size = world.realm.directory->size() + 1;
  world.node.take({world.forged(*world.brokers[0], size, world.now)}, world.now);
  CHECK(world.node.conflicts().empty());
  world.grow();
  world.node.learn(world.entries(), world.now);
  REQUIRE(world.node.conflicts().size() == 1);
  CHECK(world.node.conflicts()[0].size == size);
  CHECK(world.node.views->known().empty());
}

TEST_CASE("R27: what no party in force has signed is nobody's word") {
  World world;
  Host& node = world.node;
  const auto stranger = world.make(LogKind::broker);
  stranger->learn(world.entries(), world.now);
  stranger->start(world.now);
  stranger->sign(world.now);
  node.take(stranger->views->notes(), world.now);
  node.take({world.forged(*stranger, 1, world.now)}, world.now);
  // Under another's name, or over another log.
  Host thief;
  thief.id = world.brokers[0]->id;
  thief.key = stranger->key;
  node.take({world.forged(thief, 1, world.now)}, world.now);
  const crypto::Checkpoint log{crypto::log_origin(world.realm.directory->realm(), LogKind::broker, world.brokers[0]->id, 0), 1,
                               crypto::merkle_leaf(view("x"))};
  node.take({crypto::encode_note(crypto::sign_checkpoint(log, *world.brokers[0]->key)), to_bytes(std::string_view("rubbish"))},
            world.now);
  CHECK(node.views->known().empty());
  CHECK(node.conflicts().empty());
}

TEST_CASE("R27: a retired broker confirms nothing any more") {
  World world;
  world.signs(*world.brokers[0], world.now);
  proto::BrokerChange gone = world.realm.directory->broker(world.brokers[0]->id)->record;
  gone.retired = true;
  world.realm.must({{day_0, gone}});
  for (Host* host : world.all()) host->learn(world.entries(), world.now);
  CHECK(audit::view_quorum(*world.realm.directory, world.now).brokers == 1);
  world.brokers[0]->sign(world.now + minutes(1));
  world.node.take(world.brokers[0]->views->notes(), world.now);
  CHECK(world.node.views->confirmed() == Time{});
  world.signs(*world.brokers[1], world.now);
  CHECK(world.node.views->confirmed() == world.now);
}

TEST_CASE("R28: how old a view is, and what that allows") {
  World world;
  Host& node = world.node;
  CHECK(node.views->age(world.now - days(3)) == Duration{});
  CHECK(node.views->age(world.now + hours(5)) == hours(5));  // never confirmed: since it is held
  for (auto& broker : world.brokers) world.signs(*broker, world.now);
  CHECK(node.views->age(world.now + hours(30)) == hours(30));
  using enum audit::Freshness;
  CHECK(audit::freshness_at(Duration{hours(24).ms - 1}) == fresh);
  CHECK(audit::freshness_at(hours(24)) == old);
  CHECK(audit::freshness_at(hours(72)) == no_new_keys);
  CHECK(audit::freshness_at(Duration{days(7).ms - 1}) == no_new_keys);
  CHECK(audit::freshness_at(days(7)) == no_sending);
}

TEST_CASE("an independent witness cosigns what a broker shows it, and brings its word to the brokers") {
  World world(true);
  Host& host = *world.witness;
  audit::Watcher watcher(host.id, host.key, *host.directory, host.log);
  host.write([&](WriteTxn& txn) { return watcher.start(txn, world.now); });
  audit::Watcher::Effects effects;
  const auto step = [&](audit::Watcher::Event event) {
    host.write([&](WriteTxn& txn) { return watcher.step(txn, world.now, std::span(&event, 1), effects); });
  };
  const PartyId broker = world.brokers[0]->id;
  world.grow();
  step(audit::Watcher::BrokerUp{broker});
  step(audit::Watcher::Tick{});
  CHECK(watcher.views().notes().empty());  // nobody has said yet what there is
  step(audit::Watcher::FrameArrived{broker, {1, proto::HelloReply{}}});
  proto::DirectoryEntries answer;
  const auto entries = world.entries();
  answer.size = entries.size();
  answer.from = host.directory->size();
  answer.entries.assign(entries.begin() + static_cast<ptrdiff_t>(answer.from), entries.end());
  world.brokers[1]->sign(world.now);
  answer.views = world.brokers[1]->views->notes();
  step(audit::Watcher::FrameArrived{broker, {2, answer}});
  step(audit::Watcher::Tick{});
  CHECK(watcher.views().known().size() == 2);
  const auto brought = [&] {
    std::vector<Bytes> views;
    for (auto& one : effects.sends)
      if (auto* get = std::get_if<proto::DirectoryGet>(&one.frame.body)) views = get->views;
    effects = {};
    return views;
  };
  CHECK(brought() == watcher.views().notes());  // at once: whoever waits for a witness's word waits for this
  world.now = world.now + seconds(5);
  step(audit::Watcher::Tick{});
  CHECK(brought().empty());
  world.now = world.now + minutes(1);
  step(audit::Watcher::Tick{});
  CHECK(brought() == watcher.views().notes());
  CHECK(crypto::decode_signed_checkpoint(watcher.views().notes().at(0))->checkpoint.size == entries.size());
}

TEST_CASE("an independent witness shows a broker what its list lacks, until nothing is lacking") {
  World world(true);
  Host& host = *world.witness;
  audit::Watcher watcher(host.id, host.key, *host.directory, host.log);
  host.write([&](WriteTxn& txn) { return watcher.start(txn, world.now); });
  audit::Watcher::Effects effects;
  const auto step = [&](audit::Watcher::Event event) {
    effects = {};
    host.write([&](WriteTxn& txn) { return watcher.step(txn, world.now, std::span(&event, 1), effects); });
  };
  const auto sent = [&]<class Frame>(std::type_identity<Frame>) {
    std::vector<std::pair<uint64_t, Frame>> out;
    for (auto& one : effects.sends)
      if (auto* frame = std::get_if<Frame>(&one.frame.body)) out.emplace_back(one.frame.request, *frame);
    return out;
  };
  const auto lists = [&] { return sent(std::type_identity<proto::CheckpointList>{}); };
  const auto puts = [&] { return sent(std::type_identity<proto::CosignaturePut>{}); };
  const PartyId first = world.brokers[0]->id, second = world.brokers[1]->id;
  const Hash leaf = crypto::merkle_leaf(view("entry"));
  // A log of the third broker, as the first one holds it.
  const Host& third = *world.brokers[2];
  const crypto::Checkpoint checkpoint{crypto::log_origin(host.directory->realm(), LogKind::broker, third.id, 0), 1, crypto::merkle_root({{leaf}})};
  const Bytes note = crypto::encode_note(crypto::sign_checkpoint(checkpoint, *third.key));
  step(audit::Watcher::BrokerUp{first});
  step(audit::Watcher::FrameArrived{first, {1, proto::HelloReply{}}});
  REQUIRE(lists().size() == 1);
  step(audit::Watcher::FrameArrived{first, {lists().at(0).first, proto::CheckpointPage{{note}, false}}});
  CHECK(lists().at(0).second.told);  // nothing is known here that it lacks
  step(audit::Watcher::FrameArrived{first, {9, proto::LeavesData{third.id, 0, 0, {leaf}}}});
  REQUIRE(puts().size() == 1);
  const Bytes cosigned = puts().at(0).second.note;

  // The second one was put back: its list is empty, and stays so when the frame is lost.
  step(audit::Watcher::BrokerUp{second});
  step(audit::Watcher::FrameArrived{second, {1, proto::HelloReply{}}});
  for (int lost = 0; lost < 2; ++lost) {
    REQUIRE(lists().size() == 1);
    step(audit::Watcher::FrameArrived{second, {lists().at(0).first, proto::CheckpointPage{}}});
    CHECK(lists().empty());
    REQUIRE(puts().size() == 1);
    CHECK(crypto::decode_signed_checkpoint(puts().at(0).second.note)->checkpoint == checkpoint);
    world.now = world.now + seconds(3);
    step(audit::Watcher::Tick{});
  }
  REQUIRE(lists().size() == 1);
  CHECK(!lists().at(0).second.told);
  step(audit::Watcher::FrameArrived{second, {lists().at(0).first, proto::CheckpointPage{{cosigned}, false}}});
  CHECK(puts().empty());
  REQUIRE(lists().size() == 1);
  CHECK(lists().at(0).second.told);
}
