// Heads (R14): a sender tells what a channel ends with when nobody has answered for it; a recipient that is behind asks the
// brokers, then the sender, then its people.
#include "node/heads.h"
#include "tests/unit/node_exchange.h"

namespace tram::node::test {
namespace {

using crypto::NoticeKind;

/// A sender with one envelope on its way to `party`.
struct WatchedSender : Exchange {
  proto::EnvelopeRecord last;

  WatchedSender() {
    greet(0);
    greet(1);
    tick();  // nothing is open yet
    feed();
    send_letter();
    last = last_envelope();
    tick();
  }
  /// Heads told within `span`, a tick a minute.
  std::vector<crypto::Notice> told(Duration span) {
    std::vector<crypto::Notice> out;
    for (const Time end = now + span; now < end;) {
      now = now + minutes(1);
      for (auto& one : notices(tick(), NoticeKind::head)) out.push_back(one);
    }
    return out;
  }
};

bool watched(Exchange& world) { return !world.realm.read()->scan(table::head_in, {}, {}, 1).value().empty(); }

bool alarmed(Exchange& world) {
  const auto health = world.get("/v1/health");
  for (const auto& one : health.json["problems"])
    if (one["code"] == "withheld") return one["what"]["en"].get<std::string>().find(world.party.id.hex()) != std::string::npos;
  return false;
}

}  // namespace

TEST_CASE("R14: the end of a channel is told when it has no receipt for a quarter of an hour, and once a day") {
  WatchedSender sender;
  CHECK(sender.told(minutes(9)).empty());
  const auto first = sender.told(minutes(12));
  REQUIRE(first.size() == 1);
  CHECK(first[0].other == sender.party.id);
  CHECK(first[0].env_id == sender.last.env_id);
  CHECK(first[0].seq == 1);
  CHECK(first[0].lane == Lane::normal);
  CHECK(crypto::verify_notice(first[0], sender.keys.sig->public_key()));
  CHECK(sender.told(hours(23)).empty());
  CHECK(sender.told(hours(2)).size() == 1);
  // The next document is told again; the one before it no more.
  sender.feed(2);
  sender.send_letter();
  sender.last = sender.last_envelope();
  const auto next = sender.told(minutes(25));
  REQUIRE(next.size() == 1);
  CHECK(next[0].seq == 2);
}

TEST_CASE("R14: a channel whose last document has its receipt has nothing to tell") {
  WatchedSender sender;
  sender.receipt_comes(sender.receipt_for(sender.last));
  CHECK(sender.told(days(2)).empty());
}

TEST_CASE("R14: what is open is told at once after a start and after a time without any broker") {
  WatchedSender sender;
  sender.restart();
  sender.now = sender.now + seconds(1);
  sender.greet(0);
  CHECK(sender.notices(sender.tick(), NoticeKind::head).empty());  // this may be an old copy (R23)
  sender.greet(1);
  CHECK(sender.notices(sender.tick(), NoticeKind::head).size() == 1);
  CHECK(sender.told(hours(1)).empty());
  // A short break says nothing new; another broker that stays is no break.
  sender.step({BrokerDown{sender.brokers[0].id}});
  sender.now = sender.now + minutes(1);
  sender.greet(0);
  CHECK(sender.notices(sender.tick(), NoticeKind::head).empty());
  sender.step({BrokerDown{sender.brokers[0].id}});
  sender.now = sender.now + hours(1);
  sender.greet(0);
  CHECK(sender.notices(sender.tick(), NoticeKind::head).empty());
  for (size_t i : {0, 1}) sender.step({BrokerDown{sender.brokers[i].id}});
  sender.now = sender.now + limits::head_after;
  sender.greet(0);
  CHECK(sender.notices(sender.tick(), NoticeKind::head).size() == 1);
}

TEST_CASE("R14: a sender that hears that its document is missed asks its brokers what they hold") {
  WatchedSender sender;
  proto::CustodyRecord custody{sender.brokers[0].id, {}, {}, false};
  {
    auto txn = sender.realm.store.begin_write().value();
    REQUIRE(save(*txn, table::custody, custody_key(sender.last, sender.brokers[0].id), custody));
    REQUIRE(txn->commit());
  }
  auto notice = sender.notice(NoticeKind::nack, 1, sender.last.env_id);
  notice.reason = static_cast<uint16_t>(ErrorCode::withheld);
  const auto asked = sent<proto::Reconcile>(sender.heard(notice));
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].env_ids == std::vector<EnvelopeId>{sender.last.env_id});
  // Not for somebody else's envelope, nor for what has a receipt.
  notice.issuer = sender.front.id;
  CHECK(sent<proto::Reconcile>(sender.heard(notice)).empty());
  notice.issuer = sender.party.id;
  sender.receipt_comes(sender.receipt_for(sender.last));
  CHECK(sent<proto::Reconcile>(sender.heard(notice)).empty());
}

TEST_CASE("R14: a recipient behind a head asks the brokers again, then the sender, then says so") {
  Exchange world;
  world.greet(0);
  world.greet(1);
  const auto env_id = world.realm.random.id<EnvelopeId>();
  world.heard(world.notice(NoticeKind::head, 4, env_id));
  REQUIRE(watched(world));
  CHECK(sent<proto::Hello>(world.tick()).empty());
  world.now = world.now + minutes(2);
  CHECK(sent<proto::Hello>(world.tick()).size() == 2);
  world.now = world.now + limits::head_after;
  const auto asked = world.notices(world.tick(), NoticeKind::nack);
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].reason == static_cast<uint16_t>(ErrorCode::withheld));
  CHECK(asked[0].other == world.party.id);
  CHECK(asked[0].env_id == env_id);
  world.now = world.now + hours(1);
  CHECK(world.notices(world.tick(), NoticeKind::nack).empty());
  CHECK_FALSE(alarmed(world));
  world.now = world.now + limits::gap_release;
  world.tick();
  CHECK(alarmed(world));
  world.restart();
  world.greet(0);
  CHECK(alarmed(world));
  // It comes, or the channel passes its position: the alarm ends.
  auto voided = world.notice(NoticeKind::passed, 4, crypto::rinc_field(1));
  world.heard(voided);
  world.now = world.now + minutes(1);
  world.tick();
  CHECK_FALSE(watched(world));
  CHECK_FALSE(alarmed(world));
}

TEST_CASE("R14: a head that says nothing new is not watched") {
  Exchange world;
  world.greet(0);
  const auto env_id = world.realm.random.id<EnvelopeId>();
  {
    auto txn = world.realm.store.begin_write().value();
    REQUIRE(save(*txn, table::channel_in, row_key(world.party.id, Lane::normal), proto::ChannelIn{2, 5, {}}));
    REQUIRE(txn->put(table::incoming_held, row_key(world.party.id, Lane::normal, uint32_t{2}, uint64_t{7}), u64_value(0)));
    REQUIRE(save(*txn, table::answer, env_id, proto::AnswerRecord{{1}, {1}, world.party.id, 0}));
    REQUIRE(txn->commit());
  }
  const auto hears = [&](uint32_t inc, uint64_t seq, const EnvelopeId& id) {
    auto head = world.notice(NoticeKind::head, seq, id);
    head.inc = inc;
    world.heard(head);
    return watched(world);
  };
  const auto other = world.realm.random.id<EnvelopeId>();
  CHECK_FALSE(hears(1, 90, other));  // of an incarnation that its sender left behind
  CHECK_FALSE(hears(2, 4, other));   // the channel has passed it
  CHECK_FALSE(hears(2, 7, other));   // here, waiting for its turn
  CHECK_FALSE(hears(2, 9, env_id));  // answered
  CHECK_FALSE(hears(2, 0, other));
  CHECK(hears(2, 5, other));
}

TEST_CASE("R14: a false head is forgotten when no envelope could live any more, so that true ones count again") {
  Exchange world;
  world.greet(0);
  world.heard(world.notice(NoticeKind::head, UINT64_MAX, world.realm.random.id<EnvelopeId>()));
  const auto true_one = world.realm.random.id<EnvelopeId>();
  world.heard(world.notice(NoticeKind::head, 4, true_one));
  world.now = world.now + limits::time_to_live;
  world.tick();
  CHECK(alarmed(world));
  world.now = world.now + limits::grace;
  world.tick();
  CHECK_FALSE(watched(world));
  world.heard(world.notice(NoticeKind::head, 4, true_one));
  CHECK(watched(world));
}

TEST_CASE("R14: the time of a channel that stays behind is that of the first head") {
  Exchange world;
  world.greet(0);
  const Time first = world.now;
  world.heard(world.notice(NoticeKind::head, 4, world.realm.random.id<EnvelopeId>()));
  world.now = world.now + hours(20);
  world.heard(world.notice(NoticeKind::head, 5, world.realm.random.id<EnvelopeId>()));
  world.heard(world.notice(NoticeKind::head, 3, world.realm.random.id<EnvelopeId>()));  // late
  world.now = world.now + hours(4);
  const auto missing = withheld(*world.realm.read(), world.now).value();
  REQUIRE(missing.size() == 1);
  CHECK(missing[0].seq == 5);
  CHECK(missing[0].since == first);
}

TEST_CASE("R13, R14: what an earlier life of the sender has told is not waited for when a later one has spoken") {
  Exchange world;
  world.greet(0);
  const auto head = [&](uint32_t inc, uint64_t seq) {
    auto notice = world.notice(NoticeKind::head, seq, world.realm.random.id<EnvelopeId>());
    notice.inc = inc;
    world.heard(notice);
  };
  head(1, 4);
  REQUIRE(watched(world));
  auto life = world.notice(NoticeKind::recover, 0, crypto::rinc_field(5));
  life.lane = Lane::normal;
  world.heard(life);
  world.now = world.now + minutes(1);
  world.tick();
  CHECK_FALSE(watched(world));
  head(1, 6);  // on its way for long
  CHECK_FALSE(watched(world));
  head(5, 1);
  CHECK(watched(world));
}

}  // namespace tram::node::test
