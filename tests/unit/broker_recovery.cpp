// What a broker does for a recipient that was put back to a backup, and for one that has a backup (R6, R13, R21, R22).
#include <catch2/catch.hpp>

#include "tests/unit/broker_world.h"

namespace tram::broker::test {
using proto::EnvelopeState;

namespace {

constexpr size_t author = 0, addressee = 1;

/// A notice of the recipient to the sender about the normal lane.
Bytes said(World& world, crypto::NoticeKind kind, uint32_t rinc, Lane lane, uint32_t inc, uint64_t seq) {
  crypto::Notice notice;
  notice.kind = kind;
  notice.realm = world.realm;
  notice.issuer = world.members[addressee].id;
  notice.other = world.members[author].id;
  notice.env_id = crypto::rinc_field(rinc);
  notice.lane = lane;
  notice.inc = inc;
  notice.seq = seq;
  notice.time = world.now;
  return crypto::encode_notice(notice, world.members[addressee].key);
}

size_t posted(World& world, Bytes notice, uint64_t session = 1 + addressee) {
  const auto replies = World::only<proto::MailPosted>(
      world.ask(World::control(session), world.members[addressee].id, proto::MailPost{{{world.members[author].id, std::move(notice)}}}));
  return replies.empty() ? 0 : replies[0].ids.size();
}

}  // namespace

TEST_CASE("R21: what a lost store had acknowledged is announced again, above its last position only") {
  World world;
  std::vector<Letter> letters;
  for (int i = 0; i < 4; ++i) {
    letters.push_back(world.send(author, addressee));
    REQUIRE(world.ack_one(letters.back(), addressee).size() == 1);
  }
  REQUIRE(World::announced(world.hello(addressee)).empty());
  CHECK(posted(world, said(world, crypto::NoticeKind::recover, 2, Lane::normal, 1, 2)) == 1);
  const auto again = World::announced(world.hello(addressee));
  REQUIRE(again.size() == 2);
  CHECK(again[0] == letters[2].item.envelope);
  CHECK(again[1] == letters[3].item.envelope);
  CHECK(world.party(author).unacked == 2);
  CHECK(world.party(addressee).rinc == 2);
  CHECK(world.ack_one(letters[2], addressee).size() == 1);
  CHECK(World::announced(world.hello(addressee)).size() == 1);

  SECTION("lane 0 with inc 1 means every lane from its start") {
    CHECK(posted(world, said(world, crypto::NoticeKind::recover, 3, Lane::control, 1, 0)) == 1);
    CHECK(World::announced(world.hello(addressee)).size() == 4);
  }
  SECTION("lane 0 with inc 0 is for the sender only") {
    CHECK(posted(world, said(world, crypto::NoticeKind::recover, 3, Lane::control, 0, 1700000000000)) == 1);
    CHECK(World::announced(world.hello(addressee)).size() == 1);
  }
  SECTION("a statement of an earlier life changes nothing") {
    CHECK(posted(world, said(world, crypto::NoticeKind::recover, 1, Lane::normal, 1, 0)) == 1);
    CHECK(World::announced(world.hello(addressee)).size() == 1);
    CHECK(world.party(addressee).rinc == 2);
  }
}

TEST_CASE("R22: what a backup holds is forgotten; a word of an earlier life frees nothing") {
  World world;
  std::vector<Letter> letters;
  for (int i = 0; i < 3; ++i) {
    letters.push_back(world.send(author, addressee));
    REQUIRE(world.ack_one(letters.back(), addressee).size() == 1);
  }
  const Letter waiting = world.send(author, addressee);
  auto state = [&](const Letter& of) { return world.stored(of.envelope.id)->state; };
  SECTION("freed up to the position, and no further") {
    CHECK(posted(world, said(world, crypto::NoticeKind::backed_up, 1, Lane::normal, 1, 2)) == 1);
    CHECK(state(letters[0]) == EnvelopeState::gone);
    CHECK(state(letters[1]) == EnvelopeState::gone);
    CHECK(state(letters[2]) == EnvelopeState::acked);
  }
  SECTION("what was not acknowledged stays") {
    CHECK(posted(world, said(world, crypto::NoticeKind::backed_up, 1, Lane::normal, 1, 99)) == 1);
    CHECK(state(letters[2]) == EnvelopeState::gone);
    CHECK(state(waiting) == EnvelopeState::stored);
  }
  SECTION("another lane, another life") {
    CHECK(posted(world, said(world, crypto::NoticeKind::backed_up, 1, Lane::urgent, 1, 99)) == 1);
    CHECK(state(letters[0]) == EnvelopeState::acked);
    CHECK(posted(world, said(world, crypto::NoticeKind::recover, 2, Lane::control, 0, 1)) == 1);
    CHECK(posted(world, said(world, crypto::NoticeKind::backed_up, 1, Lane::normal, 1, 99)) == 1);
    CHECK(state(letters[0]) == EnvelopeState::acked);
    CHECK(posted(world, said(world, crypto::NoticeKind::backed_up, 2, Lane::normal, 1, 99)) == 1);
    CHECK(state(letters[0]) == EnvelopeState::gone);
  }
}

TEST_CASE("R13: a recovering sender is told what it signed itself, and is not fenced") {
  World world;
  const Document first = world.document(author);
  const Letter old = world.letter(first, author, addressee, [](auto& envelope) { envelope.inc = 4; });
  REQUIRE(world.put_one(first, old, author).refusal == 0);
  auto hello = [&](proto::Hello frame) {
    return world.ask(World::control(1 + author), world.members[author].id, std::move(frame));
  };
  CHECK(World::refusal(hello({1, 3, 0, "", false})) == number(ErrorCode::fenced));
  const auto replies = World::only<proto::HelloReply>(hello({1, 1, 0, "", true}));
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].incarnation == old.item.envelope);
  CHECK(replies[0].recovery.empty());
  // Another's envelopes are not told, and a recipient hears its own last notice.
  CHECK(posted(world, said(world, crypto::NoticeKind::recover, 7, Lane::normal, 1, 0)) == 1);
  const auto other = World::only<proto::HelloReply>(
      world.ask(World::control(1 + addressee), world.members[addressee].id, proto::Hello{1, 1, 0, "", true}));
  REQUIRE(other.size() == 1);
  CHECK(other[0].incarnation.empty());
  REQUIRE(!other[0].recovery.empty());
  CHECK(crypto::rinc_of(crypto::decode_notice(other[0].recovery)->env_id).value() == 7);
}

TEST_CASE("R13: a copy that only receives is fenced too, also on a session that was greeted before") {
  World world;
  const Letter letter = world.send(author, addressee);
  const PartyId& party = world.members[addressee].id;
  constexpr uint64_t copy = 1 + addressee, other = 20;
  auto hello = [&](uint64_t session, uint32_t inc, bool recovering) {
    return world.ask(World::control(session), party, proto::Hello{proto::wire_version, inc, 0, "", recovering});
  };
  auto answers = [&](uint64_t session) {
    return world.ask(World::control(session), party, proto::AckPut{{{world.ack(letter, addressee), {}}}});
  };
  REQUIRE(World::announced(hello(copy, 1, false)).size() == 1);
  REQUIRE(World::only<proto::HelloReply>(hello(other, 1, true)).size() == 1);
  CHECK(posted(world, said(world, crypto::NoticeKind::recover, 2, Lane::normal, 1, 0), other) == 1);
  CHECK(World::refusal(answers(copy)) == number(ErrorCode::fenced));
  CHECK(posted(world, said(world, crypto::NoticeKind::backed_up, 2, Lane::normal, 1, 9), copy) == 0);
  for (proto::FrameBody states : {proto::FrameBody(proto::CheckpointPut{}), proto::FrameBody(proto::KxPut{Bytes(40)})})
    CHECK(World::refusal(world.ask(World::control(copy), party, std::move(states))) == number(ErrorCode::fenced));
  CHECK(World::refusal(hello(copy, 1, false)) == number(ErrorCode::fenced));
  CHECK(world.stored(letter.envelope.id)->state == EnvelopeState::stored);
  // The one that recovered goes on, before and after it says its new number.
  CHECK(posted(world, said(world, crypto::NoticeKind::recover, 2, Lane::urgent, 1, 0), other) == 1);
  REQUIRE(World::announced(hello(other, 2, false)).size() == 1);
  CHECK(World::only<proto::AckReply>(answers(other)).size() == 1);
  CHECK(world.stored(letter.envelope.id)->state != EnvelopeState::stored);
}

}  // namespace tram::broker::test
