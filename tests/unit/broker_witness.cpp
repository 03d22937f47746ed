// A broker's own log before the other brokers (R8), and the broker as a witness of others' logs.
#include <catch2/catch.hpp>

#include <set>

#include "audit/views.h"
#include "tests/unit/broker_world.h"

namespace tram::broker::test {
namespace {

Bytes note_of(const World& world, const crypto::LogKey& key, crypto::LogKind kind, const PartyId& party, uint64_t size,
              const Hash& root) {
  const uint32_t generation = party == world.broker_id ? world.audit_log->generation() : 0;
  return crypto::encode_note(crypto::sign_checkpoint({crypto::log_origin(world.realm, kind, party, generation), size, root}, key));
}

uint16_t put_refusal(World& world) {
  const Document made = world.document(0);
  const Letter one = world.letter(made, 0, 1);
  const auto answers = world.ask(World::control(1), world.members[0].id, World::put(made, {one}));
  if (const uint16_t refused = World::refusal(answers)) return refused;
  return World::only<proto::PutReply>(answers).at(0).results.at(0).refusal;
}

struct Silent : World {
  Silent() : World([](Config&) {}) {
    answered = false;
    restart();
  }
  void other_says(const Bytes& note, uint64_t mirrored = 0) {
    run({PeerUp{other_broker}, PeerFrame{other_broker, proto::Frame{1, proto::HelloReply{}}},
         PeerFrame{other_broker, proto::Frame{2, proto::CheckpointData{broker_id, note, mirrored}}}});
  }
};

}  // namespace

TEST_CASE("no custody before somebody has said that this store is no old copy") {
  Silent world;
  CHECK(put_refusal(world) == number(ErrorCode::busy));
  CHECK(world.hello(1).size() == 1);  // reads are served
  CHECK(put_refusal(world) == number(ErrorCode::busy));
  world.other_says({});
  CHECK(put_refusal(world) == 0);
}

TEST_CASE("a broker in the place of a lost one contradicts nobody who remembers its log, though all others lost theirs too") {
  World world;
  std::set<uint32_t> generations;
  for (int loss = 0; loss < 20; ++loss) {
    audit::Log log;
    sim::MemStore empty;
    auto txn = must(empty.begin_write());
    Broker again(world.config, world.broker_key, world.log_key, *world.directory, log, world.log, world.random);
    must(again.initialize(*txn, world.now));
    must(txn->commit());
    audit::Log reopened;  // as the next process finds it
    must(reopened.load(*must(empty.begin_read())));
    CHECK(reopened.generation() == log.generation());
    generations.insert(log.generation());
  }
  CHECK(generations.size() >= 19);
}

TEST_CASE("the word of three nodes is enough, and the word of one node thrice is not") {
  Silent world;
  for (const size_t member : {0, 0, 0, 1}) world.hello(member);
  CHECK(put_refusal(world) == number(ErrorCode::busy));
  // What another key signed says nothing of this log.
  auto foreign = proto::Hello{};
  foreign.seen = note_of(world, *world.other_log_key, crypto::LogKind::broker, world.broker_id, 3, {});
  world.ask(World::control(3), world.members[2].id, foreign);
  CHECK(put_refusal(world) == number(ErrorCode::busy));
  world.hello(2);
  CHECK(put_refusal(world) == 0);
}

TEST_CASE("a broker without others needs no answer") {
  World world;
  proto::BrokerChange gone = world.directory->broker(world.other_broker)->record;
  gone.retired = true;
  world.publish({{world.now, gone}});
  world.answered = false;
  world.restart();
  CHECK(put_refusal(world) == 0);
}

TEST_CASE("a checkpoint that this broker signed and does not hold opens a new epoch") {
  Silent world;
  const Epoch old = world.broker->epoch();
  world.hello(1);
  const Hash root = crypto::merkle_leaf(view("lost"));
  world.other_says(note_of(world, *world.log_key, crypto::LogKind::broker, world.broker_id, 500, root));
  REQUIRE(world.restored_copy == 500);
  CHECK(put_refusal(world) == number(ErrorCode::busy));  // nothing is promised in the old epoch any more
  const uint64_t local = world.audit_log->size();
  must(world.broker->recover(world.store, world.bodies, world.now, world.restored_copy));
  CHECK(world.broker->epoch() != old);
  auto txn = must(world.store.begin_read());
  const auto leaf = must(audit::read_entry(*txn, local)).value();
  CHECK(leaf.kind == audit::LeafKind::epoch_opened);
  Reader entry(leaf.entry);
  CHECK(entry.array<16>() == world.broker->epoch().bytes);
  CHECK(entry.array<16>() == old.bytes);
  CHECK(entry.u64() == local);
  CHECK(entry.u64() == 500);
  // Sessions hear of it at once; custody is of the new epoch.
  world.sends.clear();
  world.tick();
  CHECK(World::only<proto::HelloReply>(world.got(World::control(2))).at(0).epoch == world.broker->epoch());
  CHECK(put_refusal(world) == 0);
  world.restored_copy.reset();
  world.tick();
  CHECK(!world.restored_copy);
}

TEST_CASE("a broker witnesses a node's log, serves its mirror, and keeps evidence of a fork") {
  World world;
  const auto key = std::make_shared<crypto::LogKey>(crypto::make_secret(world.random));
  auto record = world.members[0].record;
  record.keys->log = key->public_key();
  world.publish({{world.now, proto::AgencyChange{record}}});
  std::vector<Hash> leaves;
  for (uint8_t i = 0; i < 100; ++i) leaves.push_back(crypto::merkle_leaf(BytesView(&i, 1)));
  const PartyId node = world.members[0].id;
  proto::CheckpointPut put;
  put.note = note_of(world, *key, crypto::LogKind::node, node, 100, crypto::merkle_root(leaves));
  put.leaves = leaves;
  const auto ask = [&](size_t member, proto::FrameBody body) {
    return world.ask(World::control(1 + member), world.members[member].id, std::move(body));
  };
  const auto reply = World::only<proto::CheckpointReply>(ask(0, put)).at(0);
  REQUIRE(reply.refusal == 0);
  CHECK(reply.mirrored == 100);
  const auto line = must(crypto::decode_note_signature_line(text(reply.cosignature)));
  const auto shown = must(crypto::decode_note(put.note));
  CHECK(audit::find_cosignature(*world.directory, world.now, shown.text, line)->by == world.broker_id);
  // Nobody else posts it.
  CHECK(World::only<proto::CheckpointReply>(ask(1, put)).at(0).refusal == number(ErrorCode::forbidden));
  // Anybody reads it, after a restart too.
  world.restart();
  const auto data = World::only<proto::CheckpointData>(ask(1, proto::CheckpointGet{node})).at(0);
  CHECK(data.mirrored == 100);
  CHECK(must(crypto::decode_note(data.note)).text == shown.text);
  CHECK(World::only<proto::LeavesData>(ask(1, proto::LeavesGet{node, 0, 40})).at(0).leaves ==
        std::vector<Hash>(leaves.begin() + 40, leaves.end()));
  CHECK(World::only<proto::LeavesData>(ask(1, proto::LeavesGet{node, 1, 0})).at(0).leaves.empty());
  CHECK(World::only<proto::CheckpointData>(ask(1, proto::CheckpointGet{world.members[3].id})).at(0).note.empty());
  const auto page = World::only<proto::CheckpointPage>(ask(1, proto::CheckpointList{})).at(0);
  CHECK(!page.more);
  CHECK(page.notes.size() == 1);
  // A fork signed with the node's own key.
  leaves[7] = crypto::merkle_leaf(view("forged"));
  put.note = note_of(world, *key, crypto::LogKind::node, node, 100, crypto::merkle_root(leaves));
  put.old_size = 100;
  CHECK(World::only<proto::CheckpointReply>(ask(0, put)).at(0).refusal == number(ErrorCode::equivocation));
  auto txn = must(world.store.begin_read());
  const auto kept = must(audit::kept_evidence(*txn));
  REQUIRE(kept.size() == 1);
  CHECK(audit::check_evidence(kept[0].evidence, key->public_key()));
}

TEST_CASE("a broker posts its own log to the other brokers and shows it to nodes") {
  World world;
  world.run({PeerUp{world.other_broker}, PeerFrame{world.other_broker, proto::Frame{1, proto::HelloReply{}}},
             PeerFrame{world.other_broker, proto::Frame{2, proto::CheckpointData{world.broker_id, {}, 0}}}});
  world.send(0, 1);
  world.now = world.now + seconds(31);
  world.peer_sends.clear();
  world.tick();
  const auto put = world.asked<proto::CheckpointPut>().at(0);
  const auto shown = must(crypto::decode_signed_checkpoint(put.note));
  CHECK(crypto::verify_checkpoint(shown, world.log_key->public_key()));
  CHECK(shown.checkpoint.root == crypto::merkle_root(put.leaves));
  // To clients only what a witness holds: a copy of this store would else not be told of it, sign another, and be convicted.
  CHECK(World::only<proto::HelloReply>(world.hello(2)).at(0).checkpoint.empty());
  const auto cosignature = crypto::cosign(shown.note.text, crypto::cosigner_name(world.directory->realm(), crypto::LogKind::broker, world.other_broker),
                                          world.now, *world.other_log_key);
  const std::string line = crypto::note_signature_line(cosignature);
  world.run({PeerFrame{world.other_broker, proto::Frame{3, proto::CheckpointReply{to_bytes(line), {}, put.leaves.size(), 0}}}});
  const auto reply = World::only<proto::HelloReply>(world.hello(2)).at(0);
  CHECK(crypto::decode_note(reply.checkpoint).value().text == shown.note.text);
  const auto page = World::only<proto::CheckpointPage>(
      world.ask(World::control(3), world.members[2].id, proto::CheckpointList{})).at(0);
  CHECK(page.notes == std::vector<Bytes>{reply.checkpoint});
  const auto leaves = World::only<proto::LeavesData>(
      world.ask(World::control(3), world.members[2].id, proto::LeavesGet{world.broker_id, world.audit_log->generation(), 0})).at(0);
  CHECK(leaves.leaves == put.leaves);
}

namespace {

/// Views that a member is shown with the end of the directory.
std::vector<Bytes> views_shown(World& world, size_t member = 0) {
  const auto answers =
      world.ask(World::control(1 + member), world.members[member].id, proto::DirectoryGet{world.directory->size(), {}});
  return World::only<proto::DirectoryEntries>(answers).at(0).views;
}

std::set<PartyId> cosigners(World& world, const std::vector<Bytes>& notes) {
  std::set<PartyId> found;
  for (const Bytes& bytes : notes) {
    const auto note = must(crypto::decode_signed_checkpoint(bytes));
    CHECK(note.checkpoint.root == world.directory->root());
    CHECK(note.checkpoint.size == world.directory->size());
    for (const auto& one : note.note.signatures)
      if (const auto made = audit::find_cosignature(*world.directory, world.now, note.note.text, one)) found.insert(made->by);
  }
  return found;
}

Bytes view_by(World& world, const crypto::LogKey& key, const PartyId& broker) {
  const crypto::Checkpoint view{audit::directory_origin(world.realm), world.directory->size(), world.directory->root()};
  const std::string text = crypto::checkpoint_text(view);
  return crypto::encode_note(
      {text, {crypto::cosign(text, crypto::cosigner_name(world.realm, crypto::LogKind::broker, broker), world.now, key)}});
}

}  // namespace

TEST_CASE("R27: a broker cosigns the directory it holds, once it knows that it is no old copy") {
  Silent world;
  world.tick();
  CHECK(views_shown(world).empty());
  world.other_says({});
  world.tick();
  CHECK(cosigners(world, views_shown(world)) == std::set{world.broker_id});
  const auto before = views_shown(world);
  world.tick();
  CHECK(views_shown(world) == before);
  // It is in the store before it leaves.
  auto txn = must(world.store.begin_read());
  CHECK(must(txn->get(audit::view_table, world.broker_id)).has_value());
}

TEST_CASE("R27: a broker passes on what other brokers cosigned, and takes it from witnesses only") {
  World world;
  world.tick();
  const Bytes other = view_by(world, *world.other_log_key, world.other_broker);
  world.ask(World::control(1), world.members[0].id, proto::DirectoryGet{0, {other}});
  CHECK(cosigners(world, views_shown(world)) == std::set{world.broker_id});
  world.ask(World::control(9), world.other_broker, proto::DirectoryGet{0, {other}});
  CHECK(cosigners(world, views_shown(world)) == std::set{world.broker_id, world.other_broker});
  // Who lacks entries is given these first.
  const auto answers = world.ask(World::control(1), world.members[0].id, proto::DirectoryGet{world.directory->size() + 1, {}});
  CHECK(World::only<proto::DirectoryEntries>(answers).at(0).entries.empty());
  world.restart();
  CHECK(cosigners(world, views_shown(world)) == std::set{world.broker_id, world.other_broker});
}

TEST_CASE("R27: a broker asks the others with what it knows, and keeps what they answer") {
  World world;
  world.run({PeerUp{world.other_broker}, PeerFrame{world.other_broker, proto::Frame{1, proto::HelloReply{}}}});
  world.tick();
  world.peer_sends.clear();
  world.now = world.now + minutes(1);
  world.tick();
  const auto asked = world.asked<proto::DirectoryGet>();
  REQUIRE(!asked.empty());
  CHECK(cosigners(world, asked.back().views) == std::set{world.broker_id});
  const uint64_t size = world.directory->size();
  world.run({PeerFrame{world.other_broker,
                       proto::Frame{3, proto::DirectoryEntries{size, size, {}, {view_by(world, *world.other_log_key, world.other_broker)}}}}});
  CHECK(cosigners(world, views_shown(world)) == std::set{world.broker_id, world.other_broker});
}

TEST_CASE("a broker tells a node what an independent witness knows of its log, and whether one has not said so yet") {
  World world;
  const auto key = std::make_shared<crypto::LogKey>(crypto::make_secret(world.random));
  auto record = world.members[0].record;
  record.keys->log = key->public_key();
  const auto inspection = world.random.id<PartyId>();
  const crypto::LogKey witness_key(crypto::make_secret(world.random));
  world.publish({{world.now, proto::AgencyChange{record}},
                 {world.now, proto::WitnessChange{inspection, "inspection", "inspection", witness_key.public_key(), false,
                                                  crypto::make_curve_pair(world.random).public_key}}});
  world.restart();
  const PartyId node = world.members[0].id;
  const auto note = [&](uint64_t size) { return note_of(world, *key, crypto::LogKind::node, node, size, crypto::merkle_leaf(view(std::to_string(size)))); };
  const auto asked = [&] {
    return World::only<proto::CheckpointData>(world.ask(World::control(1), node, proto::CheckpointGet{node})).at(0);
  };
  const auto as_witness = [&](proto::FrameBody body) { return world.ask(World::control(9), inspection, std::move(body)); };
  CHECK(asked().unsure);
  CHECK(asked().note.empty());
  // Its own word, and nobody else's.
  world.ask(World::control(2), world.members[1].id, proto::CheckpointList{{}, true});
  CHECK(asked().unsure);
  as_witness(proto::CosignaturePut{note(90)});
  as_witness(proto::CosignaturePut{note(70)});
  as_witness(proto::CosignaturePut{note_of(world, witness_key, crypto::LogKind::node, node, 95, {})});
  CHECK(asked().unsure);
  CHECK(asked().note == note(90));
  CHECK(asked().mirrored == 0);
  CHECK(World::only<proto::CheckpointPage>(as_witness(proto::CheckpointList{})).at(0).notes == std::vector<Bytes>{note(90)});
  as_witness(proto::CheckpointList{{}, true});
  CHECK(!asked().unsure);
  // A new process knows what it was shown, and not whether that is all.
  world.restart();
  CHECK(asked().note == note(90));
  CHECK(asked().unsure);
}

}  // namespace tram::broker::test
