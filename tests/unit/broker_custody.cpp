// Admission: custody only for what is complete, signed, in time and in order; the same answer to a repeat.
#include <catch2/catch.hpp>

#include "tests/unit/broker_world.h"

namespace tram::broker::test {

TEST_CASE("custody is given for a complete inline document and verifies") {
  World world;
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  const auto result = world.put_one(document, letter);
  REQUIRE(result.refusal == 0);
  auto custody = must(crypto::decode_custody(result.custody));
  CHECK(crypto::verify_custody(custody, world.broker_key->public_key()));
  CHECK(custody.env_id == letter.envelope.id);
  CHECK(custody.doc_id == document.header.id);
  CHECK(custody.broker == world.broker_id);
  CHECK(custody.epoch == world.broker->epoch());
  CHECK(custody.recipient == world.members[1].id);
  CHECK(custody.position == 1);
  CHECK(custody.queue_head == crypto::next_queue_head(Hash{}, 1, letter.envelope.id));
  CHECK(custody.body_bytes == 1024 + 16);
  CHECK(custody.log_size == world.audit_log->size());
  CHECK(world.party(0).unacked == 1);
  CHECK(world.party(0).pinned_bytes == 1040);
  CHECK(world.pins() == 1);
}

TEST_CASE("nothing is signed before the commit") {
  World world;
  world.hold_jobs = true;
  const Document document = world.document(0);
  std::vector<Event> events;
  events.emplace_back(
      world.frame(World::control(1), world.members[0].id, World::put(document, {world.letter(document, 0, 1)})));
  world.run(std::move(events));
  REQUIRE(world.held.size() == 1);
  JobDone verified = run_job(std::move(world.held[0]), world.bodies);
  world.held.clear();
  Effects effects;
  std::vector<Event> done;
  done.emplace_back(std::move(verified));
  {
    auto txn = must(world.store.begin_write());
    must(world.broker->step(*txn, world.now, done, effects));
    // Aborted: the transaction that holds the custody never commits.
  }
  CHECK(effects.sends.empty());
  REQUIRE(effects.jobs.size() == 1);
  CHECK(std::holds_alternative<SignJob>(effects.jobs[0]));
  CHECK(world.rows(table::envelope) == 0);
  {
    auto txn = must(world.store.begin_read());
    Effects refusals;
    must(world.broker->reload(*txn, world.now, {}, refusals));
  }
  world.hold_jobs = false;
  CHECK(world.put_one(document, world.letter(document, 0, 1)).refusal == 0);
}

TEST_CASE("what is only asked, or still to be checked, writes nothing: its step costs no sync") {
  World world;
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  REQUIRE(world.put_one(document, letter).refusal == 0);
  const uint64_t written = world.store.changes();
  CHECK_FALSE(world.ask(World::control(1), world.members[0].id, proto::Fetch{{letter.envelope.id}}).empty());
  world.hold_jobs = true;
  const Document another = world.document(0);
  std::vector<Event> events;
  events.emplace_back(
      world.frame(World::control(1), world.members[0].id, World::put(another, {world.letter(another, 0, 1)})));
  world.run(std::move(events));
  CHECK(world.store.changes() == written);
  REQUIRE(world.held.size() == 1);
  std::vector<Event> done;
  done.emplace_back(run_job(std::move(world.held[0]), world.bodies));
  world.held.clear();
  world.run(std::move(done));
  CHECK(world.party(0).unacked == 2);
}

TEST_CASE("a repeat gets the same custody bytes, also after a restart") {
  World world;
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  const Bytes first = world.put_one(document, letter).custody;
  world.now = world.now + minutes(5);
  world.send(0, 1);
  CHECK(world.put_one(document, letter).custody == first);
  world.restart();
  CHECK(world.put_one(document, letter).custody == first);
  CHECK(world.party(0).unacked == 2);
  CHECK(world.party(1).position == 2);
}

TEST_CASE("the queue chain links every envelope of a recipient") {
  World world;
  Hash head;
  for (uint64_t q = 1; q <= 5; ++q) {
    const Document document = world.document(0);
    const Letter letter =
        world.letter(document, 0, 1, [&](auto& e) { e.lane = q % 2 == 0 ? Lane::urgent : Lane::bulk; });
    auto custody = must(crypto::decode_custody(world.put_one(document, letter).custody));
    head = crypto::next_queue_head(head, q, letter.envelope.id);
    CHECK(custody.position == q);
    CHECK(custody.queue_head == head);
  }
  CHECK(world.party(1).queue_head == head);
}

TEST_CASE("one document for many recipients in one frame; later frames need no body") {
  World world;
  const Document document = world.document(0);
  auto replies = World::only<proto::PutReply>(
      world.ask(World::control(1), world.members[0].id,
                World::put(document, {world.letter(document, 0, 1), world.letter(document, 0, 2)})));
  REQUIRE(replies.size() == 1);
  REQUIRE(replies[0].results.size() == 2);
  CHECK(replies[0].results[0].refusal == 0);
  CHECK(replies[0].results[1].refusal == 0);
  replies = World::only<proto::PutReply>(
      world.ask(World::control(1), world.members[0].id, World::put(document, {world.letter(document, 0, 3)}, false)));
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].results[0].refusal == 0);
  CHECK(world.party(0).pinned_bytes == 1040);
  CHECK(world.body_rows() == 1);
  CHECK(world.pins() == 3);
}

TEST_CASE("without its body an envelope is not taken") {
  World world;
  const Document document = world.document(0);
  const auto replies = World::only<proto::PutReply>(
      world.ask(World::control(1), world.members[0].id, World::put(document, {world.letter(document, 0, 1)}, false)));
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].results[0].refusal == number(ErrorCode::missing_chunks));
  CHECK(world.rows(table::envelope) == 0);
}

TEST_CASE("what is forged, spoofed or damaged is refused and changes nothing") {
  World world;
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  auto answer = [&](proto::Put put, size_t as = 0) {
    return world.ask(World::control(1 + as), world.members[as].id, std::move(put));
  };
  auto item_refusal = [](const std::vector<Send>& sends) {
    const auto replies = World::only<proto::PutReply>(sends);
    return replies.empty() ? uint16_t{0} : replies[0].results[0].refusal;
  };
  SECTION("envelope signature") {
    auto put = World::put(document, {letter});
    put.items[0].envelope[399] ^= 1;
    CHECK(item_refusal(answer(put)) == number(ErrorCode::bad_signature));
  }
  SECTION("header signature") {
    auto put = World::put(document, {letter});
    put.header.back() ^= 1;
    CHECK(World::refusal(answer(put)) == number(ErrorCode::bad_signature));
  }
  SECTION("another sender's frame") {
    CHECK(World::refusal(answer(World::put(document, {letter}), 2)) == number(ErrorCode::bad_request));
  }
  SECTION("another sender's envelope under an own body") {
    const Document own = world.document(2);
    auto put = World::put(own, {});
    put.items.push_back(letter.item);
    CHECK(item_refusal(answer(put, 2)) == number(ErrorCode::forbidden));
  }
  SECTION("chunk") {
    auto put = World::put(document, {letter});
    put.inline_chunk[5] ^= 1;
    CHECK(World::refusal(answer(put)) == number(ErrorCode::bad_format));
  }
  SECTION("manifest of another document") {
    auto put = World::put(document, {letter});
    put.manifest = world.document(0).manifest;
    CHECK(World::refusal(answer(put)) == number(ErrorCode::bad_format));
  }
  SECTION("officer blob") {
    auto put = World::put(document, {letter});
    put.items[0].officer_blob[0] ^= 1;
    CHECK(item_refusal(answer(put)) == number(ErrorCode::bad_format));
  }
  SECTION("unknown party") {
    CHECK(World::refusal(world.ask(World::control(9), world.random.id<PartyId>(), World::put(document, {letter}))) ==
          number(ErrorCode::unknown_agency));
  }
  SECTION("the authority sends no documents") {
    CHECK(World::refusal(world.ask(World::control(9), PartyId{}, World::put(document, {letter}))) ==
          number(ErrorCode::forbidden));
  }
  SECTION("on the wrong endpoint") {
    CHECK(World::refusal(world.ask(World::bulk(1), world.members[0].id, World::put(document, {letter}))) ==
          number(ErrorCode::bad_request));
  }
  CHECK(world.rows(table::envelope) == 0);
  CHECK(world.body_rows() == 0);
  CHECK(world.rows(table::queue) == 0);
}

TEST_CASE("rules of an envelope") {
  World world;
  const Document document = world.document(0);
  auto refused_with = [&](std::function<void(crypto::Envelope&)> tune, size_t to = 1) {
    return world.put_one(document, world.letter(document, 0, to, std::move(tune))).refusal;
  };
  CHECK(refused_with([](auto& e) { e.realm.bytes[0] ^= 1; }) == number(ErrorCode::wrong_realm));
  CHECK(refused_with([&](auto& e) { e.created = world.now - days(11), e.not_after = world.now - days(1); }) ==
        number(ErrorCode::expired));
  CHECK(refused_with([&](auto& e) { e.created = world.now + hours(1), e.not_after = world.now + days(3); }) ==
        number(ErrorCode::clock_wrong));
  CHECK(refused_with([&](auto& e) { e.not_after = world.now + days(11); }) == number(ErrorCode::bad_request));
  CHECK(refused_with([](auto& e) { e.dir_root.bytes[0] ^= 1; }) == number(ErrorCode::rollback));
  CHECK(refused_with([&](auto& e) { e.recipient = world.random.template id<PartyId>(); }) ==
        number(ErrorCode::unknown_agency));
  CHECK(refused_with([](auto&) {}) == 0);
  // An older view of the directory is as good as the newest.
  world.publish({{start_time, proto::StatusChange{world.members[3].id, proto::AgencyStatus::suspended, {}, "check"}}});
  CHECK(refused_with([&](auto& e) {
          e.dir_size = 2, e.dir_root = must(world.directory->root_at(*must(world.store.begin_read()), 2)).value();
        }) == 0);
}

TEST_CASE("closed recipients and suspended senders") {
  World world;
  world.publish({{start_time, proto::StatusChange{world.members[1].id, proto::AgencyStatus::closed, {}, "merged"}},
                 {start_time, proto::StatusChange{world.members[3].id, proto::AgencyStatus::suspended, {}, "check"}}});
  CHECK(world.allow_list_changed);
  const Document document = world.document(0);
  const auto closed = world.put_one(document, world.letter(document, 0, 1));
  CHECK(closed.refusal == number(ErrorCode::closed_agency));
  CHECK(closed.entry == 2);
  CHECK(world.put_one(document, world.letter(document, 0, 3)).refusal == 0);
  const Document other = world.document(3);
  CHECK(World::refusal(
            world.ask(World::control(4), world.members[3].id, World::put(other, {world.letter(other, 3, 0)}))) ==
        number(ErrorCode::suspended_agency));
}

TEST_CASE("R31: what a closed agency signed before it closed is taken, nothing that it signed later") {
  World world;
  const Document document = world.document(0), large = world.document(0, 300 * 1024);
  const Letter before = world.letter(document, 0, 1);
  world.now = world.now + minutes(1);
  const Letter after = world.letter(document, 0, 2, [&](auto& e) { e.created = world.now, e.seq = 1; });
  world.publish({{world.now, proto::SucceedChange{{world.members[0].id}, {world.members[3].id}, "merge"}}});
  CHECK(world.put_one(document, before).refusal == 0);
  const auto refused = world.put_one(document, after);
  CHECK(refused.refusal == number(ErrorCode::closed_agency));
  CHECK(refused.entry == 2);
  const auto offered = [&](const Document& one) {
    return World::refusal(world.ask(World::bulk(1), world.members[0].id, proto::Offer{one.header_bytes, one.manifest}));
  };
  CHECK(offered(large) == 0);
  CHECK(offered(world.document(0, 300 * 1024)) == number(ErrorCode::closed_agency));
}

TEST_CASE("a key that was rotated still counts for what was signed under the older view") {
  World world;
  const Document document = world.document(0);
  const Letter before = world.letter(document, 0, 1);
  crypto::SigningKey fresh(crypto::make_secret(world.random));
  proto::Agency record = world.members[0].record;
  record.keys->sig = fresh.public_key();
  world.now = world.now + minutes(1);
  world.publish({{world.now, proto::AgencyChange{record}}});
  CHECK(world.put_one(document, before).refusal == 0);
  // The old key under the new view is no key for an envelope. A header is bound by its envelope, whichever key signed it.
  const Document late = world.document(0);
  const Letter old_key = world.letter(late, 0, 1);
  CHECK(world.put_one(late, old_key).refusal == number(ErrorCode::bad_signature));
  CHECK_FALSE(world.stored(old_key.envelope.id));
}

TEST_CASE("a lower incarnation is fenced") {
  World world;
  const Document document = world.document(0);
  CHECK(world.put_one(document, world.letter(document, 0, 1, [](auto& e) { e.inc = 3; })).refusal == 0);
  CHECK(world.put_one(document, world.letter(document, 0, 1, [](auto& e) { e.inc = 2; })).refusal ==
        number(ErrorCode::fenced));
  CHECK(World::refusal(world.ask(World::control(1), world.members[0].id, proto::Hello{1, 2, 0, ""})) ==
        number(ErrorCode::fenced));
  CHECK(World::refusal(world.ask(World::control(1), world.members[0].id, proto::Hello{1, 3, 0, ""})) == 0);
  world.restart();
  CHECK(world.put_one(document, world.letter(document, 0, 1, [](auto& e) { e.inc = 2; })).refusal ==
        number(ErrorCode::fenced));
}

TEST_CASE("two envelopes at one position: the second is refused and both are kept") {
  World world;
  const Document document = world.document(0);
  const Letter first = world.letter(document, 0, 1);
  CHECK(world.put_one(document, first).refusal == 0);
  const Letter second = world.letter(document, 0, 1, [&](auto& e) { e.seq = first.envelope.seq; });
  CHECK(world.put_one(document, second).refusal == number(ErrorCode::equivocation));
  CHECK(world.put_one(document, second).refusal == number(ErrorCode::equivocation));
  CHECK(world.rows(table::conflict) == 1);
  CHECK(world.stored(first.envelope.id));
  CHECK_FALSE(world.stored(second.envelope.id));
}

TEST_CASE("quotas refuse before any body work") {
  SECTION("unanswered envelopes") {
    World world([](Config& config) { config.quotas.unacked_max = 2; });
    const Document kept = world.document(0);
    const Letter first = world.letter(kept, 0, 1);
    const Bytes custody = world.put_one(kept, first).custody;
    world.send(0, 1);
    const Document document = world.document(0);
    const Letter third = world.letter(document, 0, 1);
    const auto refused = world.put_one(document, third);
    CHECK(refused.refusal == number(ErrorCode::quota));
    CHECK(refused.retry_after_ms > 0);
    CHECK(world.put_one(kept, first).custody == custody);
    world.ack_one(first, 1);
    CHECK(world.put_one(document, third).refusal == 0);
  }
  SECTION("pinned bytes") {
    World world([](Config& config) { config.quotas.pinned_bytes_max = 1500; });
    world.send(0, 1);
    const Document document = world.document(0);
    CHECK(world.put_one(document, world.letter(document, 0, 1)).refusal == number(ErrorCode::quota));
  }
  SECTION("puts a second") {
    World world([](Config& config) { config.quotas.puts_per_second_max = 2; });
    world.send(0, 1);
    world.send(0, 1);
    const Document document = world.document(0);
    const Letter letter = world.letter(document, 0, 1);
    auto answers = world.ask(World::control(1), world.members[0].id, World::put(document, {letter}));
    CHECK(World::refusal(answers) == number(ErrorCode::quota));
    world.now = world.now + seconds(1);
    CHECK(world.put_one(document, letter).refusal == 0);
  }
  SECTION("disk") {
    World world;
    const Document document = world.document(0);
    auto refusal_at = [&](unsigned disk, Lane lane) {
      world.tick(disk);
      return World::refusal(
          world.ask(World::control(1), world.members[0].id,
                    World::put(document, {world.letter(document, 0, 1, [&](auto& e) { e.lane = lane; })})));
    };
    CHECK(refusal_at(79, Lane::bulk) == 0);
    CHECK(refusal_at(80, Lane::bulk) == number(ErrorCode::storage_full));
    CHECK(refusal_at(80, Lane::normal) == 0);
    CHECK(refusal_at(90, Lane::urgent) == number(ErrorCode::storage_full));
    CHECK(refusal_at(90, Lane::control) == 0);
    CHECK(refusal_at(95, Lane::control) == number(ErrorCode::storage_full));
  }
}

TEST_CASE("reconcile names what is neither held nor gone") {
  World world;
  const Letter held = world.send(0, 1);
  const Letter answered = world.send(0, 1);
  world.ack_one(answered, 1);
  const EnvelopeId unknown = world.random.id<EnvelopeId>();
  const Letter foreign = world.send(2, 1);
  const auto replies = World::only<proto::ReconcileReply>(
      world.ask(World::control(1), world.members[0].id,
                proto::Reconcile{{held.envelope.id, answered.envelope.id, unknown, foreign.envelope.id}}));
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].missing == std::vector<EnvelopeId>{unknown, foreign.envelope.id});
}

TEST_CASE("a full store aborts the step; the broker goes on after reload") {
  World world;
  world.send(0, 1);
  const auto before = world.store.dump();
  world.store.set_capacity_bytes(world.store.used_bytes() + 1000);
  const Document document = world.document(0);
  std::vector<Event> events;
  events.emplace_back(
      world.frame(World::control(1), world.members[0].id, World::put(document, {world.letter(document, 0, 1)})));
  world.hold_jobs = true;
  world.run(std::move(events));
  std::vector<Event> done;
  for (auto& job : world.held) done.emplace_back(run_job(std::move(job), world.bodies));
  world.held.clear();
  {
    Effects effects;
    auto txn = must(world.store.begin_write());
    const auto stepped = world.broker->step(*txn, world.now, done, effects);
    REQUIRE_FALSE(stepped);
    CHECK(stepped.error().code == ErrorCode::map_full);
  }
  Effects refusals;
  must(world.broker->reload(*must(world.store.begin_read()), world.now, {}, refusals));
  CHECK(world.store.dump() == before);
  world.store.set_capacity_bytes(UINT64_MAX);
  world.hold_jobs = false;
  world.send(0, 1);
  CHECK(world.party(1).position == 2);
}

TEST_CASE("a job is brief when it has a few signatures and no file") {
  VerifyPutJob puts;
  puts.items.resize(2);
  for (auto& item : puts.items) item.put.items.resize(1);
  CHECK(is_brief(Job{puts}));  // two headers, two envelopes
  puts.items[0].put.items.resize(2);
  CHECK_FALSE(is_brief(Job{puts}));
  puts.items.resize(1);
  puts.items[0].put.inline_chunk.resize(20000);
  CHECK_FALSE(is_brief(Job{puts}));
  SignJob sign;
  sign.items.resize(1);
  sign.items[0].reply.results.resize(4);
  CHECK(is_brief(Job{sign}));
  sign.items[0].reply.results.resize(5);
  CHECK_FALSE(is_brief(Job{sign}));
  CHECK_FALSE(is_brief(Job{SyncBodyJob{}}));
}

}  // namespace tram::broker::test
