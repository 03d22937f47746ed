// Rot at a broker: a body that is not what it was loses its custody and is sent again; a damaged row is named, and a recovery
// makes it anew or drops it with all that belongs to it (3.9, R7, R24). A full store says so to who asks (R42).
#include <catch2/catch.hpp>
#include <set>

#include "tests/unit/broker_world.h"

namespace tram::broker::test {
namespace {

using proto::EnvelopeState;

/// Seconds pass until a whole walk has ended.
void walk(World& world) {
  const Time before = world.broker->scrub().last_ended();
  for (int i = 0; i < 200 && world.broker->scrub().last_ended() == before; ++i) {
    world.now = world.now + seconds(1);
    world.tick();
  }
  REQUIRE(world.broker->scrub().last_ended() != before);
}

void rot(World& world, const Document& document, uint32_t chunk) {
  world.bodies.files.at(body_name(document.header.id)).bytes[chunk * limits::sealed_chunk_bytes + 7] ^= 4;
}

std::vector<EnvelopeId> told(const std::vector<Send>& sends) {
  std::vector<EnvelopeId> ids;
  for (const auto& reply : World::only<proto::ReconcileReply>(sends)) ids.insert(ids.end(), reply.missing.begin(), reply.missing.end());
  return ids;
}

uint16_t get_chunk(World& world, const Document& document, uint32_t index, size_t recipient) {
  const auto data = World::only<proto::ChunkData>(
      world.ask(World::bulk(1 + recipient), world.members[recipient].id, proto::ChunkGet{document.header.id, index, 1}));
  return data.at(0).refusal;
}

struct Large {
  Document document;
  Letter letter;
  Bytes custody;
};
Large send_large(World& world, size_t recipient) {
  Large made;
  made.document = world.document(0, three_chunks);
  world.upload(made.document);
  made.letter = world.letter(made.document, 0, recipient);
  const auto result = put_large(world, made.document, made.letter);
  REQUIRE(result.refusal == 0);
  made.custody = result.custody;
  return made;
}

}  // namespace

TEST_CASE("3.9: a rotten chunk ends the custody, its sender is told and mends it, nothing else is sent again") {
  World world;
  world.hello(0);
  const Large one = send_large(world, 1), other = send_large(world, 2);
  walk(world);
  CHECK(world.broker->scrub().last().bodies == 2);
  CHECK(world.broker->scrub().last().bytes == 2 * (three_chunks + 3 * 16));
  CHECK(told(world.got(World::control(1))).empty());

  rot(world, one.document, 1);
  const uint64_t log_before = world.audit_log->size();
  world.now = world.now + limits::scrub_every;
  world.tick();
  CHECK(told(world.hello(0)).empty());  // the session of three days ago is gone
  walk(world);
  CHECK(told(world.got(World::control(1))) == std::vector{one.letter.envelope.id});
  CHECK(world.broker->damaged_bodies() == 1);
  CHECK(world.broker->scrub().last().damaged_bodies == 1);
  {
    auto txn = must(world.store.begin_read());
    bool said = false;
    for (uint64_t i = log_before; i < world.audit_log->size(); ++i) {
      const auto leaf = must(audit::read_entry(*txn, i));
      said = said || (leaf && leaf->kind == audit::LeafKind::custody_void && equal(leaf->entry, one.letter.envelope.id));
    }
    CHECK(said);
  }
  // It is not there for its recipient, the rest of it is; and a repeat gets no custody.
  CHECK(get_chunk(world, one.document, 1, 1) == number(ErrorCode::not_found));
  CHECK(get_chunk(world, one.document, 0, 1) == 0);
  CHECK(put_large(world, one.document, one.letter).refusal == number(ErrorCode::missing_chunks));
  CHECK(put_large(world, other.document, other.letter).custody == other.custody);

  CHECK(world.offer(one.document) == Bytes{0b101});
  CHECK(world.put_chunk(one.document, 1) == 0);
  CHECK(world.broker->damaged_bodies() == 0);
  CHECK(world.broker->counters().repaired == 1);
  CHECK(world.rows(table::damaged) == 0);
  CHECK(put_large(world, one.document, one.letter).custody == one.custody);
  CHECK(get_chunk(world, one.document, 1, 1) == 0);
  world.now = world.now + limits::scrub_every;
  walk(world);
  CHECK(world.broker->scrub().last().damaged_bodies == 0);
}

TEST_CASE("3.9: who was away hears of it at Hello, also after a restart, and Reconcile says the same") {
  World world;
  const Large one = send_large(world, 1);
  rot(world, one.document, 0);
  walk(world);
  CHECK(told(world.got(World::control(1))).empty());
  world.restart();
  CHECK(world.broker->damaged_bodies() == 1);
  CHECK(told(world.hello(0)) == std::vector{one.letter.envelope.id});
  CHECK(told(world.hello(2)).empty());
  CHECK(told(world.ask(World::control(1), world.members[0].id, proto::Reconcile{{one.letter.envelope.id}})) ==
        std::vector{one.letter.envelope.id});
  // A frame may be lost: it is said again.
  world.now = world.now + minutes(2);
  world.tick();
  CHECK(told(world.got(World::control(1))) == std::vector{one.letter.envelope.id});
}

TEST_CASE("3.9: what was answered long ago is not asked for: that copy ends") {
  World world;
  world.hello(0);
  const Large one = send_large(world, 1);
  REQUIRE(world.ack_one(one.letter, 1).size() == 1);
  REQUIRE(world.stored(one.letter.envelope.id)->state == EnvelopeState::acked);
  rot(world, one.document, 2);
  walk(world);
  CHECK(told(world.got(World::control(1))).empty());
  CHECK(world.stored(one.letter.envelope.id)->state == EnvelopeState::gone);
  world.now = world.now + hours(2);
  world.settle();
  CHECK(world.body_rows() == 0);
  CHECK(world.rows(table::damaged) == 0);
  CHECK(world.broker->damaged_bodies() == 0);
}

TEST_CASE("3.9: a file that is gone is found when somebody asks for it, without waiting for the walk") {
  World world;
  world.hello(0);
  const Large one = send_large(world, 1);
  walk(world);
  world.bodies.files.erase(body_name(one.document.header.id));
  CHECK(get_chunk(world, one.document, 0, 1) == number(ErrorCode::not_found));
  world.now = world.now + seconds(2);
  world.tick();
  CHECK(told(world.got(World::control(1))) == std::vector{one.letter.envelope.id});
  CHECK(world.offer(one.document) == Bytes{0});
  for (uint32_t i = 0; i < 3; ++i) CHECK(world.put_chunk(one.document, i) == 0);
  CHECK(put_large(world, one.document, one.letter).custody == one.custody);
}

TEST_CASE("3.9: the walk gives way to traffic, but not for ever") {
  World world;
  const Large one = send_large(world, 1);
  const Time before = world.now;
  while (world.broker->scrub().last_ended().ms == 0) {
    world.now = world.now + seconds(1);
    REQUIRE(world.now - before < minutes(10));
    std::vector<Event> events;
    for (int i = 0; i < 40; ++i) events.emplace_back(world.frame(World::control(1), world.members[0].id, proto::Ping{}));
    events.emplace_back(Tick{10, true});
    world.run(std::move(events));
    world.sends.clear();
  }
  CHECK(world.now - before >= seconds(limits::scrub_put_off_max));
  CHECK(world.broker->scrub().last().bodies == 1);
}

TEST_CASE("R42: a step that the store has no room for tells who asked to come again") {
  World world;
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  world.hold_jobs = true;
  std::vector<Event> events;
  events.emplace_back(world.frame(World::control(1), world.members[0].id, World::put(document, {letter})));
  const uint64_t asked = world.requests;
  world.run(std::move(events));
  std::vector<Event> done;
  for (auto& job : world.held) done.emplace_back(run_job(std::move(job), world.bodies));
  world.held.clear();
  world.store.set_capacity_bytes(world.store.used_bytes());
  Effects lost, refusals;
  {
    auto txn = must(world.store.begin_write());
    REQUIRE_FALSE(world.broker->step(*txn, world.now, done, lost));
  }
  must(world.broker->reload(*must(world.store.begin_read()), world.now, done, refusals));
  REQUIRE(refusals.sends.size() == 1);
  CHECK(refusals.sends[0].session == World::control(1));
  CHECK(refusals.sends[0].frame.request == asked);
  const auto& refused = std::get<proto::Refused>(refusals.sends[0].frame.body);
  CHECK(refused.code == number(ErrorCode::storage_full));
  CHECK(refused.retry_after_ms > 0);
  CHECK(find_error(refused.code)->retry == Retry::later);
}

// ---- damaged rows -----------------------------------------------------------------------------------------------

namespace {

/// The world's store sealed as on a disk, one value flipped, recovered by a broker that knows nothing else.
struct Rotten {
  sim::MemStore raw;
  std::unique_ptr<ValueCodec> codec;
  std::unique_ptr<Store> store;

  Rotten(World& world, const Table& table, const Bytes& key) {
    const crypto::Secret32 secret(Bytes(32, 7));
    codec = crypto::make_mac_codec(secret);
    store = coded_store(raw, *codec);
    auto txn = must(store->begin_write());
    for (const auto& [name, rows] : world.store.dump())
      for (const auto& [row_key, value] : rows) must(txn->put(Table{name}, row_key, value));
    must(txn->commit());
    txn.reset();
    auto image = raw.dump();
    Bytes& value = image.at(std::string(table.name)).at(key);
    value[value.size() / 2] ^= 0x10;
    raw.restore(image);
  }
  Result<Broker::Recovered> recover(World& world) {
    world.make();
    return world.broker->recover(*store, world.bodies, world.now);
  }
  void back_into(World& world) {
    sim::MemStore::Image image;
    auto txn = must(store->begin_read());
    for (const Table& table : table::all())
      for (const Row& row : must(txn->scan(table, {}, {}, 100000))) image[std::string(table.name)][row.key] = row.value;
    world.store.restore(image);
    world.sends.clear();
    world.held.clear();
    world.make();
    world.start();
  }
};

struct Filled {
  World world;
  Document small, big_inline;
  std::vector<std::pair<Document, Letter>> inline_ones;
  std::vector<Large> large_ones;
  Letter answered;

  Filled() {
    for (size_t recipient : {1, 2, 1}) {
      const Document document = world.document(0, recipient == 2 ? 65536 : 1024);  // the larger has a row of its own
      const Letter letter = world.letter(document, 0, recipient);
      REQUIRE(world.put_one(document, letter).refusal == 0);
      inline_ones.emplace_back(document, letter);
    }
    large_ones.push_back(send_large(world, 1));
    large_ones.push_back(send_large(world, 3));
    proto::Agency renamed = world.members[3].record;
    renamed.name_vi = "Cơ quan đổi tên";
    world.publish({{world.now, proto::AgencyChange{renamed}}});
    answered = world.send(2, 1);
    REQUIRE(world.ack_one(answered, 1, random_bytes(world.random, limits::cell_bytes)).size() == 1);
  }
  /// What the senders do after a new epoch: Reconcile, then everything that is missing is put again.
  void put_again() {
    for (auto& [document, letter] : inline_ones) REQUIRE(world.put_one(document, letter).refusal == 0);
    for (auto& one : large_ones) {
      for (uint32_t i = 0; i < 3; ++i)
        if (put_large(world, one.document, one.letter).refusal == number(ErrorCode::missing_chunks)) {
          world.offer(one.document);
          for (uint32_t chunk = 0; chunk < 3; ++chunk) world.put_chunk(one.document, chunk);
        }
      REQUIRE(put_large(world, one.document, one.letter).refusal == 0);
    }
  }
};

}  // namespace

TEST_CASE("3.9: every kind of row may rot at a broker: named, made anew or dropped, and filled again by its senders") {
  Filled expected;
  expected.put_again();
  std::set<std::string> seen;
  const auto image = expected.world.store.dump();
  for (const auto& [name, rows] : image) {
    const bool hopeless = name == "broker" || name.starts_with("log_") || name.starts_with("witness") || name == "evidence";
    for (const auto& [key, value] : rows) {
      if (rows.size() > 40 && (key.back() & 7) != 0) continue;
      Filled filled;
      REQUIRE(filled.world.store.dump().at(name).contains(key));  // the same seed, the same rows
      const Table table{name};
      INFO(name << " " << to_hex(key));
      Rotten rotten(filled.world, table, key);
      const auto before = rotten.raw.dump();
      auto recovered = rotten.recover(filled.world);
      seen.insert(name);
      if (hopeless) {
        REQUIRE_FALSE(recovered);
        CHECK(recovered.error().code == ErrorCode::store_corrupt);
        CHECK(recovered.error().detail.find(name + " " + to_hex(key)) != std::string::npos);
        CHECK(rotten.raw.dump() == before);
        continue;
      }
      if (name == "dir_entries" && key.back() < 2) {  // who the brokers are stands in these: there is nobody to ask
        REQUIRE_FALSE(recovered);
        CHECK(recovered.error().detail.find("directory") != std::string::npos);
        CHECK(rotten.raw.dump() == before);
        continue;
      }
      REQUIRE(recovered);
      REQUIRE(recovered->repaired.size() == 1);
      CHECK(recovered->repaired[0].table.name == name);
      CHECK(recovered->repaired[0].key == key);
      rotten.back_into(filled.world);
      if (name.starts_with("dir_") && filled.world.directory->size() < expected.world.directory->size()) continue;  // its peers have the rest
      filled.put_again();
      World& world = filled.world;
      for (size_t member = 0; member < 4; ++member) {
        INFO("member " << member);
        const auto now = world.party(member), then = expected.world.party(member);
        CHECK(now.unacked == then.unacked);
        // The answered one may be forgotten with its row: its recipient has it, and nobody sends it again.
        const bool forgotten = member == 2 && !world.stored(filled.answered.envelope.id);
        CHECK(now.pinned_bytes == (forgotten ? 0 : then.pinned_bytes));
        CHECK(now.unpinned_bytes == then.unpinned_bytes);
        CHECK(now.mail_sent == world.rows(table::mail) * (member == 1));
        CHECK(now.mail_waiting == world.rows(table::mail) * (member == 2));
        CHECK(now.position >= then.position);
        auto announced = World::announced(world.hello(member));
        auto wanted = World::announced(expected.world.hello(member));
        std::sort(announced.begin(), announced.end());
        std::sort(wanted.begin(), wanted.end());
        CHECK(announced == wanted);
      }
      for (const auto& one : filled.large_ones)
        for (uint32_t i = 0; i < 3; ++i) CHECK(get_chunk(world, one.document, i, one.letter.envelope.recipient == world.members[1].id ? 1 : 3) == 0);
      for (const auto& [document, letter] : filled.inline_ones) {
        const size_t recipient = letter.envelope.recipient == world.members[1].id ? 1 : 2;
        const auto content = World::only<proto::Content>(
            world.ask(World::control(1 + recipient), world.members[recipient].id, proto::Fetch{{letter.envelope.id}}));
        REQUIRE(content.size() == 1);
        CHECK(content[0].inline_chunk == document.chunks[0]);
        CHECK(content[0].officer_blob == letter.item.officer_blob);
      }
      const auto left = world.store.dump();
      for (const char* same : {"envelope", "queue", "position", "access", "lease", "body"}) {
        INFO(same);
        const auto count = [&](const auto& of) { return of.contains(same) ? of.at(same).size() : size_t{0}; };
        CHECK(count(left) + 2 >= count(image));  // the answered one, with its pin
        CHECK(count(left) <= count(image));
      }
    }
  }
  for (const char* name : {"party", "body", "body_inline", "lease", "access", "envelope", "queue", "position", "mail", "mail_id",
                           "timer", "dir_entries", "dir_history", "log_entries", "broker"})
    CHECK(seen.contains(name));
}

TEST_CASE("3.9: the walk names a damaged row and does not stop the broker") {
  World world;
  const Letter letter = world.send(0, 1);
  const auto stored = world.stored(letter.envelope.id);
  Rotten rotten(world, table::pin, table::pin_key(letter.envelope.sender, letter.envelope.doc_id, stored->pin));
  world.make();
  Effects effects;
  {
    auto txn = must(rotten.store->begin_write());
    must(world.broker->start(*txn, world.now, effects));
    must(txn->commit());
  }
  for (int i = 0; i < 60; ++i) {
    world.now = world.now + seconds(1);
    std::vector<Event> events{Tick{10, true}};
    auto txn = must(rotten.store->begin_write());
    must(world.broker->step(*txn, world.now, events, effects));
    must(txn->commit());
  }
  REQUIRE(world.broker->damaged_rows().size() == 1);
  CHECK(world.broker->damaged_rows()[0].table.name == "body");
  CHECK(world.broker->scrub().last().damaged_rows == 1);
  CHECK(world.broker->scrub().last_ended().ms != 0);
}

}  // namespace tram::broker::test
