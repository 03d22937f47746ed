// Delivery: windows, lanes, fetching, statements, tombstones, expiry; small mail; restarts.
#include <catch2/catch.hpp>

#include "tests/unit/broker_world.h"

namespace tram::broker::test {
namespace {

Bytes cell(World& world) { return random_bytes(world.random, limits::cell_bytes); }

std::vector<proto::Content> fetch(World& world, size_t member, std::vector<EnvelopeId> ids) {
  return World::only<proto::Content>(
      world.ask(World::control(1 + member), world.members[member].id, proto::Fetch{std::move(ids)}));
}

}  // namespace

TEST_CASE("hello is answered with epoch, log and directory, then the queue is announced") {
  World world;
  const Letter first = world.send(0, 1);
  const Letter second = world.send(0, 1);
  const auto sends = world.hello(1);
  const auto replies = World::only<proto::HelloReply>(sends);
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].broker == world.broker_id);
  CHECK(replies[0].epoch == world.broker->epoch());
  CHECK(replies[0].log_size == world.audit_log->size());
  CHECK(replies[0].log_root == world.audit_log->root());
  CHECK(replies[0].time == world.now);
  CHECK(replies[0].directory_size == 2);
  CHECK(std::holds_alternative<proto::HelloReply>(sends.front().frame.body));
  CHECK(World::announced(sends) == std::vector<Bytes>{first.item.envelope, second.item.envelope});
  // What comes later is announced at once, and only to its recipient.
  const Letter third = world.send(0, 1);
  world.send(0, 2);
  CHECK(World::announced(world.got(World::control(2))) == std::vector<Bytes>{third.item.envelope});
}

TEST_CASE("R17: at most K unanswered envelopes a lane; answers let the next ones out") {
  World world([](Config& config) { config.quotas.window = 4; });
  std::vector<Letter> normal, urgent;
  for (int i = 0; i < 7; ++i) normal.push_back(world.send(0, 1));
  for (int i = 0; i < 2; ++i) urgent.push_back(world.send(0, 1, Lane::urgent));
  CHECK(World::announced(world.hello(1)).size() == 4 + 2);
  world.send(0, 1);
  CHECK(World::announced(world.got(World::control(2))).empty());
  auto answers = world.ask(World::control(2), world.members[1].id,
                           proto::AckPut{{{world.ack(normal[0], 1), {}}, {world.ack(normal[2], 1), {}}}});
  CHECK(World::announced(answers) == std::vector<Bytes>{normal[4].item.envelope, normal[5].item.envelope});
  // An answer in another lane opens nothing here.
  answers = world.ask(World::control(2), world.members[1].id, proto::AckPut{{{world.ack(urgent[0], 1), {}}}});
  CHECK(World::announced(answers).empty());
  // A new session begins with the oldest unanswered ones.
  const auto again = World::announced(world.hello(1, 12));
  REQUIRE(again.size() == 4 + 1);
  CHECK(std::find(again.begin(), again.end(), normal[1].item.envelope) != again.end());
  CHECK(std::find(again.begin(), again.end(), normal[0].item.envelope) == again.end());
}

TEST_CASE("announcements take the lanes by 8:4:2:1") {
  World world;
  for (int i = 0; i < 10; ++i) {
    world.send(0, 1, Lane::bulk);
    world.send(0, 1, Lane::normal);
    world.send(0, 1, Lane::urgent);
  }
  std::vector<int> lanes;
  for (const auto& envelope : World::announced(world.hello(1))) lanes.push_back(envelope[7]);
  REQUIRE(lanes.size() == 30);
  CHECK(std::vector<int>(lanes.begin(), lanes.begin() + 14) ==
        std::vector<int>{1, 1, 1, 1, 2, 2, 3, 1, 1, 1, 1, 2, 2, 3});
}

TEST_CASE("fetching gives the recipient everything, and the first time it is logged as handed") {
  World world;
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  REQUIRE(world.put_one(document, letter).refusal == 0);
  const uint64_t before = world.audit_log->size();
  const auto contents = fetch(world, 1, {letter.envelope.id});
  REQUIRE(contents.size() == 1);
  CHECK(contents[0].refusal == 0);
  CHECK(contents[0].header == document.header_bytes);
  CHECK(contents[0].manifest == document.manifest);
  CHECK(contents[0].inline_chunk == document.chunks[0]);
  CHECK(contents[0].officer_blob == letter.item.officer_blob);
  // No commit stands between the request and the body: the mark goes with the next one, or after a moment.
  CHECK(world.audit_log->size() == before);
  CHECK(world.wake_at == world.now + milliseconds(50));
  const Time left = world.now;
  fetch(world, 1, {letter.envelope.id});
  world.now = left + milliseconds(50);
  world.tick();
  CHECK(world.audit_log->size() == before + 1);
  CHECK(world.stored(letter.envelope.id)->handed == world.now);
  fetch(world, 1, {letter.envelope.id});
  world.tick();
  CHECK(world.audit_log->size() == before + 1);
  // Nobody else gets it, and nobody learns that it exists.
  CHECK(fetch(world, 2, {letter.envelope.id}).at(0).refusal == number(ErrorCode::not_found));
  CHECK(fetch(world, 1, {world.random.id<EnvelopeId>()}).at(0).refusal == number(ErrorCode::not_found));
}

TEST_CASE("the largest inline body comes back whole") {
  World world;
  const Document document = world.document(0, limits::inline_body_bytes_max);
  const Letter letter = world.letter(document, 0, 1);
  REQUIRE(world.put_one(document, letter).refusal == 0);
  CHECK(world.rows(table::body_inline) == 1);
  CHECK(fetch(world, 1, {letter.envelope.id}).at(0).inline_chunk == document.chunks[0]);
}

TEST_CASE("R39: an urgent fetch overtakes a queue of bulk fetches") {
  World world;
  std::vector<EnvelopeId> bulk;
  for (int i = 0; i < 100; ++i) bulk.push_back(world.send(0, 1, Lane::bulk).envelope.id);
  const EnvelopeId urgent = world.send(0, 1, Lane::urgent).envelope.id;
  world.run({Event{SessionBusy{World::control(2), true}}});
  world.hello(1);
  world.run({Event{SessionBusy{World::control(2), true}}});
  CHECK(fetch(world, 1, bulk).empty());
  CHECK(fetch(world, 1, {urgent}).empty());
  world.run({Event{SessionBusy{World::control(2), false}}});
  const auto contents = World::only<proto::Content>(world.got(World::control(2)));
  REQUIRE(contents.size() == 32);  // a step's worth; the rest follows
  CHECK((contents[0].env_id == urgent || contents[1].env_id == urgent));
  CHECK(world.wake_at == world.now);
  world.settle();
  CHECK(World::only<proto::Content>(world.got(World::control(2))).size() == 101 - 32);
}

TEST_CASE("large bodies: manifest, chunks, handed with the last chunk, own recipients only") {
  World world;
  const Document document = world.document(0, 2 * limits::chunk_bytes + 100000);
  world.upload(document);
  const Letter letter = world.letter(document, 0, 1);
  REQUIRE(World::only<proto::PutReply>(
              world.ask(World::control(1), world.members[0].id, World::put(document, {letter}, false)))
              .at(0)
              .results.at(0)
              .refusal == 0);
  const auto contents = fetch(world, 1, {letter.envelope.id});
  CHECK(contents.at(0).header == document.header_bytes);
  CHECK(contents.at(0).inline_chunk.empty());
  CHECK(contents.at(0).manifest.empty());
  CHECK(world.stored(letter.envelope.id)->handed.ms == 0);
  const auto manifests = World::only<proto::ManifestData>(
      world.ask(World::bulk(2), world.members[1].id, proto::ManifestGet{document.header.id}));
  CHECK(manifests.at(0).manifest == document.manifest);
  auto chunks = world.ask(World::bulk(2), world.members[1].id, proto::ChunkGet{document.header.id, 0, 2});
  REQUIRE(chunks.size() == 2);
  CHECK(chunks[0].chunk == document.chunks[0]);
  CHECK(chunks[1].chunk == document.chunks[1]);
  CHECK(world.stored(letter.envelope.id)->handed.ms == 0);
  chunks = world.ask(World::bulk(2), world.members[1].id, proto::ChunkGet{document.header.id, 2, 1});
  CHECK(chunks.at(0).chunk == document.chunks[2]);
  CHECK(world.stored(letter.envelope.id)->handed == world.now);
  CHECK(World::only<proto::ChunkData>(
            world.ask(World::bulk(3), world.members[2].id, proto::ChunkGet{document.header.id, 0, 1}))
            .at(0)
            .refusal == number(ErrorCode::not_found));
  CHECK(World::only<proto::ChunkData>(
            world.ask(World::bulk(2), world.members[1].id, proto::ChunkGet{document.header.id, 2, 2}))
            .at(0)
            .refusal == number(ErrorCode::bad_request));
  CHECK(World::only<proto::ManifestData>(
            world.ask(World::bulk(3), world.members[2].id, proto::ManifestGet{document.header.id}))
            .at(0)
            .refusal == number(ErrorCode::not_found));
}

TEST_CASE("chunks of an urgent document pass those of a bulk document; credit bounds what is in flight") {
  World world;
  const Document slow = world.document(0, 12 * limits::chunk_bytes);
  const Document fast = world.document(0, 2 * limits::chunk_bytes);
  world.upload(slow);
  world.upload(fast);
  for (const auto& [document, lane] : {std::pair{&slow, Lane::bulk}, std::pair{&fast, Lane::urgent}}) {
    const Letter letter = world.letter(*document, 0, 1, [&, l = lane](auto& e) { e.lane = l; });
    REQUIRE(World::only<proto::PutReply>(
                world.ask(World::control(1), world.members[0].id, World::put(*document, {letter}, false)))
                .at(0)
                .results.at(0)
                .refusal == 0);
  }
  world.hold_jobs = true;
  world.ask(World::bulk(2), world.members[1].id, proto::ChunkGet{slow.header.id, 0, 10});
  world.ask(World::bulk(2), world.members[1].id, proto::ChunkGet{slow.header.id, 10, 2});
  CHECK(world.held.size() == 8);
  world.ask(World::bulk(2), world.members[1].id, proto::ChunkGet{fast.header.id, 0, 2});
  CHECK(world.held.size() == 8);
  std::vector<Event> done;
  done.emplace_back(run_job(std::move(world.held.front()), world.bodies));
  world.held.erase(world.held.begin());
  world.run(std::move(done));
  REQUIRE(world.held.size() == 8);
  CHECK(std::get<ReadChunkJob>(world.held.back()).doc_id == fast.header.id);
  // A slow peer gets nothing more prepared.
  world.run({Event{SessionBusy{World::bulk(2), true}}});
  done.clear();
  for (auto& job : world.held) done.emplace_back(run_job(std::move(job), world.bodies));
  world.held.clear();
  world.run(std::move(done));
  CHECK(world.held.empty());
  world.hold_jobs = false;
  world.run({Event{SessionBusy{World::bulk(2), false}}});
  CHECK(World::only<proto::ChunkData>(world.got(World::bulk(2))).size() == 14);
}

TEST_CASE("an ACK empties the queue and keeps what R6 keeps") {
  World world;
  world.hello(1);
  world.hello(0);
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  REQUIRE(world.put_one(document, letter).refusal == 0);
  const Bytes receipt = cell(world);
  CHECK(world.ack_one(letter, 1, receipt) == std::vector<EnvelopeId>{letter.envelope.id});
  CHECK(world.rows(table::queue) == 0);
  CHECK(world.party(0).unacked == 0);
  CHECK(world.stored(letter.envelope.id)->state == proto::EnvelopeState::acked);
  const auto mail = World::only<proto::MailDeliver>(world.got(World::control(1)));
  REQUIRE(mail.size() == 1);
  CHECK(mail[0].items.at(0).content == receipt);
  CHECK(mail[0].items.at(0).to == world.members[1].id);
  CHECK(World::announced(world.hello(1)).empty());
  CHECK(fetch(world, 1, {letter.envelope.id}).at(0).refusal == 0);
  world.tick();  // marks it as handed
  // The same again changes nothing.
  const auto log_before = world.audit_log->size();
  CHECK(world.ack_one(letter, 1, receipt) == std::vector<EnvelopeId>{letter.envelope.id});
  CHECK(world.party(0).unacked == 0);
  CHECK(world.audit_log->size() == log_before);
  // A repeat of the Put is still answered with the custody.
  CHECK(world.put_one(document, letter).refusal == 0);
}

TEST_CASE("statements that are forged or about something else are refused") {
  World world;
  const Letter letter = world.send(0, 1);
  auto answer = [&](size_t member, Bytes statement) {
    return world.ask(World::control(1 + member), world.members[member].id, proto::AckPut{{{std::move(statement), {}}}});
  };
  Bytes forged = world.ack(letter, 1);
  forged.back() ^= 1;
  CHECK(World::refusal(answer(1, forged)) == number(ErrorCode::bad_signature));
  CHECK(World::refusal(answer(2, world.ack(letter, 1))) == number(ErrorCode::forbidden));
  CHECK(World::refusal(answer(2, world.ack(letter, 2))) == number(ErrorCode::bad_request));
  CHECK(World::refusal(answer(1, world.ack(letter, 1, [](auto& a) { ++a.seq; }))) == number(ErrorCode::bad_request));
  CHECK(World::refusal(answer(1, world.ack(letter, 1, [](auto& a) { a.doc_id.bytes[0] ^= 1; }))) ==
        number(ErrorCode::bad_request));
  CHECK(World::refusal(answer(1, world.ack(letter, 1, [](auto& a) { a.realm.bytes[0] ^= 1; }))) ==
        number(ErrorCode::wrong_realm));
  CHECK(World::refusal(answer(1, to_bytes("EDXA"))) == number(ErrorCode::bad_format));
  CHECK(world.stored(letter.envelope.id)->state == proto::EnvelopeState::stored);
  CHECK(world.rows(table::queue) == 1);
}

TEST_CASE("a NACK answers the envelope, reaches the sender and lets him cancel") {
  World world;
  const Letter letter = world.send(0, 1);
  world.hello(0);
  world.hello(1);
  const Bytes nack = world.notice(crypto::NoticeKind::nack, letter, 1, world.members[0].id);
  const auto replies =
      World::only<proto::AckReply>(world.ask(World::control(2), world.members[1].id, proto::AckPut{{{nack, {}}}}));
  CHECK(replies.at(0).stored == std::vector<EnvelopeId>{letter.envelope.id});
  CHECK(world.rows(table::queue) == 0);
  CHECK(World::only<proto::MailDeliver>(world.got(World::control(1))).at(0).items.at(0).content == nack);
  const Bytes cancel = world.notice(crypto::NoticeKind::cancel, letter, 0, world.members[1].id);
  world.ask(World::control(1), world.members[0].id, proto::MailPost{{{world.members[1].id, cancel}}});
  CHECK(world.stored(letter.envelope.id)->state == proto::EnvelopeState::gone);
  CHECK(world.body_rows() == 0);
}

TEST_CASE("R16: a cancel frees what was not handed over, and only that") {
  World world;
  const Document document = world.document(0);
  const Letter waiting = world.letter(document, 0, 1);
  REQUIRE(world.put_one(document, waiting).refusal == 0);
  const Letter handed = world.send(0, 1);
  fetch(world, 1, {handed.envelope.id});
  auto cancel = [&](const Letter& letter, size_t issuer) {
    return world.ask(World::control(1 + issuer), world.members[issuer].id,
                     proto::MailPost{{{world.members[1].id, world.notice(crypto::NoticeKind::cancel, letter, issuer,
                                                                         world.members[1].id)}}});
  };
  CHECK(World::only<proto::MailPosted>(cancel(waiting, 2)).size() == 1);  // not his: nothing happens
  CHECK(world.stored(waiting.envelope.id)->state == proto::EnvelopeState::stored);
  CHECK(World::only<proto::MailPosted>(cancel(waiting, 0)).at(0).ids.size() == 1);
  cancel(handed, 0);
  CHECK(world.stored(waiting.envelope.id)->state == proto::EnvelopeState::gone);
  CHECK(world.stored(handed.envelope.id)->state == proto::EnvelopeState::stored);
  CHECK(world.put_one(document, waiting).refusal == number(ErrorCode::already_gone));
  CHECK(fetch(world, 1, {waiting.envelope.id}).at(0).refusal == number(ErrorCode::already_gone));
  CHECK(World::announced(world.hello(1)) == std::vector<Bytes>{handed.item.envelope});
  CHECK(World::only<proto::MailDeliver>(world.hello(1)).empty());
  CHECK(world.party(0).unacked == 1);
  // A cancel that comes before its envelope keeps the late copy out.
  const Document late_document = world.document(0);
  const Letter late = world.letter(late_document, 0, 1);
  cancel(late, 0);
  CHECK(world.put_one(late_document, late).refusal == number(ErrorCode::already_gone));
}

TEST_CASE("R19: unanswered envelopes end at not_after + G; tombstones block until G + delta") {
  World world;
  const Document document = world.document(0);
  const Letter letter = world.letter(document, 0, 1);
  REQUIRE(world.put_one(document, letter).refusal == 0);
  world.now = letter.envelope.not_after + limits::grace - seconds(1);
  world.settle();
  CHECK(world.stored(letter.envelope.id)->state == proto::EnvelopeState::stored);
  world.now = letter.envelope.not_after + limits::grace;
  world.settle();
  REQUIRE(world.stored(letter.envelope.id));
  CHECK(world.stored(letter.envelope.id)->state == proto::EnvelopeState::gone);
  CHECK(world.stored(letter.envelope.id)->reason == proto::GoneReason::expired);
  CHECK(world.put_one(document, letter).refusal == number(ErrorCode::already_gone));
  CHECK(world.party(0).unacked == 0);
  CHECK(world.party(0).pinned_bytes == 0);
  CHECK(world.body_rows() == 0);
  CHECK(world.rows(table::queue) == 0);
  CHECK(world.pins() == 0);
  world.now = letter.envelope.not_after + limits::grace + limits::delta;
  world.settle();
  CHECK_FALSE(world.stored(letter.envelope.id));
  CHECK(world.rows(table::position) == 0);
  CHECK(world.rows(table::timer) == 0);
  // By now its age refuses it.
  CHECK(world.put_one(document, letter).refusal == number(ErrorCode::expired));
}

TEST_CASE("small mail waits, is delivered, repeated and forgotten") {
  World world;
  const Bytes first = cell(world), second = cell(world);
  auto post = [&](std::vector<proto::MailItem> items) {
    return world.ask(World::control(1), world.members[0].id, proto::MailPost{std::move(items)});
  };
  const auto posted =
      World::only<proto::MailPosted>(post({{world.members[1].id, first}, {world.members[1].id, second}}));
  REQUIRE(posted.size() == 1);
  CHECK(posted[0].ids == std::vector<Hash>{mail_id(first), mail_id(second)});
  post({{world.members[1].id, first}});
  CHECK(world.rows(table::mail) == 2);
  auto delivered = World::only<proto::MailDeliver>(world.hello(1));
  REQUIRE(delivered.size() == 1);
  CHECK(delivered[0].items.size() == 2);
  CHECK(delivered[0].items[0].content == first);
  CHECK(delivered[0].items[0].to == world.members[0].id);
  world.ask(World::control(2), world.members[1].id, proto::MailDone{{mail_id(first)}});
  CHECK(world.rows(table::mail) == 1);
  world.restart();
  delivered = World::only<proto::MailDeliver>(world.hello(1));
  CHECK(delivered.at(0).items.at(0).content == second);
  CHECK(World::only<proto::MailDeliver>(world.got(World::control(2))).empty());
  post({{world.members[1].id, cell(world)}});
  CHECK(World::only<proto::MailDeliver>(world.got(World::control(2))).at(0).items.size() == 1);
  // Within a session too, when no answer has come for long.
  world.now = world.now + limits::mail_again_after;
  world.settle();
  CHECK(World::only<proto::MailDeliver>(world.got(World::control(2))).at(0).items.size() == 2);
  world.settle();
  CHECK(World::only<proto::MailDeliver>(world.got(World::control(2))).empty());
  CHECK(world.party(1).mail_waiting == 2);
  world.now = world.now + limits::time_to_live + limits::grace;
  world.settle();
  CHECK(world.rows(table::mail) == 0);
  CHECK(world.rows(table::mail_id) == 0);
  CHECK(world.party(1).mail_waiting == 0);
  CHECK(world.party(0).mail_sent == 0);
}

TEST_CASE("R46: mail is a cell or a valid notice of its author") {
  World world([](Config& config) { config.quotas.mail_per_party_max = 1; });
  const Letter letter = world.send(0, 1);
  auto post = [&](size_t member, Bytes content, size_t to = 1) {
    return world.ask(World::control(1 + member), world.members[member].id,
                     proto::MailPost{{{world.members[to].id, std::move(content)}}});
  };
  CHECK(World::refusal(post(0, Bytes(1535))) == number(ErrorCode::bad_format));
  const Bytes voided = world.notice(crypto::NoticeKind::voided, letter, 0, world.members[1].id);
  CHECK(World::refusal(post(2, voided)) == number(ErrorCode::forbidden));
  CHECK(World::refusal(post(0, voided, 2)) == number(ErrorCode::forbidden));
  Bytes forged = voided;
  forged.back() ^= 1;
  CHECK(World::refusal(post(0, forged)) == number(ErrorCode::bad_signature));
  CHECK(world.rows(table::mail) == 0);
  CHECK(World::only<proto::MailPosted>(post(0, voided)).at(0).ids.size() == 1);
  CHECK(World::refusal(post(0, cell(world))) == number(ErrorCode::quota));
  CHECK(World::refusal(world.ask(World::control(1), world.members[0].id,
                                 proto::MailPost{{{world.random.id<PartyId>(), cell(world)}}})) ==
        number(ErrorCode::unknown_agency));
}

TEST_CASE("sessions: the last Hello gets the mail; a dead session hands over to the one before") {
  World world;
  world.hello(1, 20);
  world.hello(1, 21);
  const Letter letter = world.send(0, 1);
  CHECK(World::announced(world.got(World::control(20))).empty());
  CHECK(World::announced(world.got(World::control(21))).size() == 1);
  world.run({Event{SessionClosed{World::control(21)}}});
  CHECK(World::announced(world.got(World::control(20))) == std::vector<Bytes>{letter.item.envelope});
  world.run({Event{SessionClosed{World::control(20)}}});
  world.send(0, 1);
  CHECK(world.got(World::control(20)).empty());
  for (uint64_t session = 30; session < 50; ++session) world.hello(1, session);
  CHECK(world.broker->sessions() == limits::sessions_per_party_max + 1);
}

TEST_CASE("a busy session gets its announcements when it is ready") {
  World world;
  world.hello(1);
  world.run({Event{SessionBusy{World::control(2), true}}});
  const Letter letter = world.send(0, 1);
  CHECK(World::announced(world.got(World::control(2))).empty());
  world.run({Event{SessionBusy{World::control(2), false}}});
  CHECK(World::announced(world.got(World::control(2))) == std::vector<Bytes>{letter.item.envelope});
}

TEST_CASE("a restart changes nothing that is stored, and the log goes on") {
  World world;
  world.hello(1);
  const Letter kept = world.send(0, 1);
  const Letter answered = world.send(0, 1, Lane::urgent);
  world.ack_one(answered, 1, cell(world));
  const auto before = world.store.dump();
  const auto size = world.audit_log->size();
  const auto root = world.audit_log->root();
  world.restart();
  CHECK(world.store.dump() == before);
  CHECK(world.audit_log->size() == size);
  CHECK(world.audit_log->root() == root);
  CHECK(World::announced(world.hello(1)) == std::vector<Bytes>{kept.item.envelope});
  const Letter next = world.send(0, 1);
  CHECK(must(crypto::decode_custody([&] {
          Bytes b = world.stored(next.envelope.id)->custody;
          b.resize(b.size() + 64);
          return b;
        }()))
            .position == 3);
}

TEST_CASE("the directory is served, accepted from the authority and refused from agencies") {
  World world;
  auto entries =
      World::only<proto::DirectoryEntries>(world.ask(World::control(1), world.members[0].id, proto::DirectoryGet{0}));
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].size == 2);
  CHECK(entries[0].entries.size() == 2);
  proto::Agency fresh;
  fresh.id = world.random.id<PartyId>();
  fresh.name_vi = "Sở mới";
  fresh.codes.push_back({"SM.1", {}, {}});
  const Bytes entry = world.entry({{world.now, proto::AgencyChange{fresh}}});
  CHECK(World::refusal(world.ask(World::control(1), world.members[0].id, proto::DirectoryPut{{entry}})) ==
        number(ErrorCode::forbidden));
  world.allow_list_changed = false;
  CHECK(World::only<proto::Done>(world.ask(World::control(90), PartyId{}, proto::DirectoryPut{{entry}})).size() == 1);
  CHECK(world.allow_list_changed);
  CHECK(world.directory->size() == 3);
  world.allow_list_changed = false;
  CHECK(World::only<proto::Done>(world.ask(World::control(91), world.other_broker, proto::DirectoryPut{{entry}}))
            .size() == 1);
  CHECK_FALSE(world.allow_list_changed);
  proto::Agency second = fresh;
  second.id = world.random.id<PartyId>();
  second.codes = {{"SM.2", {}, {}}};
  Bytes forged = world.entry({{world.now, proto::AgencyChange{second}}});
  forged.back() ^= 1;
  CHECK(World::refusal(world.ask(World::control(90), PartyId{}, proto::DirectoryPut{{forged}})) != 0);
  world.restart();
  CHECK(world.directory->size() == 3);
}

TEST_CASE("a peer broker brings entries and feeds") {
  World world;
  world.run({Event{PeerUp{world.other_broker}}});
  REQUIRE(world.peer_sends.size() == 1);
  CHECK(std::holds_alternative<proto::Hello>(world.peer_sends[0].frame.body));
  world.peer_sends.clear();
  world.run({Event{PeerFrame{world.other_broker, proto::Frame{1, proto::HelloReply{}}}}});
  CHECK(world.asked<proto::DirectoryGet>().at(0).from == 2);
  proto::Agency fresh;
  fresh.id = world.random.id<PartyId>();
  fresh.name_vi = "Sở mới";
  fresh.codes.push_back({"SM.1", {}, {}});
  const Bytes entry = world.entry({{world.now, proto::AgencyChange{fresh}}});
  world.run({Event{PeerFrame{world.other_broker, proto::Frame{2, proto::DirectoryEntries{3, 2, {entry}}}}}});
  CHECK(world.directory->size() == 3);
  world.tick();
  const auto wanted = world.asked<proto::KxGet>().at(0).agencies;
  CHECK(wanted.size() == 4);  // those with a node
  proto::KxFeedPayload payload;
  payload.realm = world.realm;
  payload.agency = world.members[0].id;
  payload.number = 1;
  const uint64_t today = static_cast<uint64_t>(world.now.ms / days(1).ms);
  for (uint64_t day = today; day < today + 3; ++day) {
    const Time from{static_cast<int64_t>(day) * days(1).ms};
    payload.epochs.push_back({day, crypto::make_kx_pair(world.random).public_key, from, from + days(1)});
  }
  const Bytes feed = proto::encode_kx_feed(directory::sign_kx_feed(payload, world.members[0].key));
  world.run({Event{PeerFrame{world.other_broker, proto::Frame{3, proto::KxFeeds{{feed}}}}}});
  const auto feeds = World::only<proto::KxFeeds>(
      world.ask(World::control(2), world.members[1].id, proto::KxGet{{world.members[0].id, world.members[2].id}}));
  CHECK(feeds.at(0).feeds == std::vector<Bytes>{feed});
  world.peer_sends.clear();
  world.now = world.now + minutes(11);
  world.tick();
  const auto sent = world.peer_sends;
  CHECK(world.asked<proto::DirectoryGet>().size() == 1);
  world.peer_sends = sent;
  CHECK(world.asked<proto::KxGet>().at(0).agencies.size() == 3);
}

TEST_CASE("hostile frames never change state") {
  World world;
  world.send(0, 1);
  const auto before = world.store.dump();
  const PartyId peer = world.members[2].id;
  const std::vector<proto::FrameBody> frames = {proto::HelloReply{},
                                                proto::PutReply{},
                                                proto::Put{},
                                                proto::Announce{},
                                                proto::AckPut{},
                                                proto::MailPost{},
                                                proto::MailDeliver{},
                                                proto::DirectoryEntries{},
                                                proto::KxFeeds{},
                                                proto::Content{},
                                                proto::ManifestData{},
                                                proto::ChunkData{},
                                                proto::OfferReply{},
                                                proto::ChunkDone{},
                                                proto::ReconcileReply{},
                                                proto::AckReply{},
                                                proto::MailPosted{},
                                                proto::CheckpointReply{},
                                                proto::CheckpointData{},
                                                proto::LeavesData{},
                                                proto::CheckpointPage{},
                                                proto::Done{},
                                                proto::KxPut{Bytes(40)},
                                                proto::Offer{Bytes(300), Bytes(16)},
                                                proto::AckPut{{{Bytes(300), Bytes(7)}}},
                                                proto::MailPost{{{peer, Bytes(223)}}}};
  for (const auto& body : frames) {
    for (const SessionKey& session : {World::control(5), World::bulk(5)}) {
      const auto answers = world.ask(session, peer, body);
      REQUIRE(answers.size() == 1);
      CHECK(World::refusal(answers) != 0);
    }
  }
  // Garbage of the right size inside a Put, and a chunk where none belongs.
  proto::Put garbage;
  garbage.header = random_bytes(world.random, 4412);
  garbage.manifest = random_bytes(world.random, 48);
  garbage.inline_chunk = random_bytes(world.random, 1040);
  garbage.items.push_back({random_bytes(world.random, 400), random_bytes(world.random, 1024)});
  CHECK(World::refusal(world.ask(World::control(5), peer, garbage)) != 0);
  CHECK(World::refusal(world.ask(World::control(5), peer, proto::Ping{}, Bytes(10))) == number(ErrorCode::bad_request));
  auto after = world.store.dump();
  CHECK(after.at("envelope") == before.at("envelope"));
  CHECK(after.at("body") == before.at("body"));
  CHECK(after["mail"].empty());
  CHECK(world.log.errors == 0);
}

}  // namespace tram::broker::test
