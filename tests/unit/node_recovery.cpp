// A node whose store was put back (R13, R21): what begins in the middle of a step.
#include "tests/unit/node_api_fixture.h"

namespace tram::node::test {

TEST_CASE("R23: a recovery may begin in a step that has written to the log") {
  World world;
  auto txn = world.realm.store.begin_write().value();
  Effects effects;
  Submission submission;
  submission.metadata.subject = "Về việc kiểm tra";
  submission.metadata.addressees.push_back({proto::AddresseeKind::agency, world.party.id, {}});
  const uint64_t before = world.audit.size();
  REQUIRE(world.node->submit(*txn, world.now, std::move(submission), effects));
  REQUIRE(world.audit.size() > before);
  REQUIRE(world.node->begin_recovery(*txn, world.now, effects));
  REQUIRE(world.node->settle(*txn, world.now, effects));
  REQUIRE(txn->commit());
  CHECK(world.node->recovery() == proto::Recovery::asking);
  proto::NodeRecord self;
  REQUIRE(proto::decode_record(*world.realm.read()->get(table::self, view("self")).value(), self));
  CHECK(self.store_time == world.now);
}

namespace {

Effects stepped(World& world, std::vector<Event> events) {
  auto txn = world.realm.store.begin_write().value();
  Effects effects;
  REQUIRE(world.node->step(*txn, world.now, events, effects));
  REQUIRE(world.node->settle(*txn, world.now, effects));
  REQUIRE(txn->commit());
  return effects;
}

/// What a broker says to a node that connects; the frames that the node then sends it.
Effects greeted(World& world, size_t broker) {
  proto::HelloReply hello;
  hello.broker = world.brokers[broker].id;
  hello.epoch = *Epoch::from(Bytes(16, 0xee));
  hello.time = world.now;
  return stepped(world, {BrokerUp{hello.broker}, FrameArrived{hello.broker, proto::Endpoint::control, {1, hello}, {}}});
}

/// The broker takes all mail among these frames.
Effects posted(World& world, size_t broker, const Effects& before) {
  const PartyId& id = world.brokers[broker].id;
  proto::MailPosted taken;
  for (const auto& one : before.sends)
    if (const auto* post = std::get_if<proto::MailPost>(&one.frame.body); post && one.broker == id)
      for (const auto& item : post->items) taken.ids.push_back(crypto::hash("edx1/mail", {item.content}));
  REQUIRE(!taken.ids.empty());
  return stepped(world, {FrameArrived{id, proto::Endpoint::control, {2, taken}, {}}});
}

void recovered(World& world) {
  auto txn = world.realm.store.begin_write().value();
  REQUIRE(Node::mark_restored(*txn));
  Effects effects;
  REQUIRE(world.node->start(*txn, world.now, effects));
  REQUIRE(txn->commit());
}

}  // namespace

TEST_CASE("R21: what an earlier life had told keeps no later one from its work") {
  World world;
  recovered(world);
  greeted(world, 0);
  const auto told = greeted(world, 1);
  REQUIRE(world.node->recovery() == proto::Recovery::telling);
  posted(world, 1, told);
  recovered(world);
  posted(world, 0, greeted(world, 0));
  REQUIRE(world.node->recovery() == proto::Recovery::asking);
  const auto again = greeted(world, 1);
  REQUIRE(world.node->recovery() == proto::Recovery::telling);
  posted(world, 1, again);
  REQUIRE(world.node->recovery() == proto::Recovery::telling);
  stepped(world, {BrokerDown{world.brokers[0].id}});
  posted(world, 0, greeted(world, 0));
  CHECK(world.node->recovery() == proto::Recovery::none);
}

}  // namespace tram::node::test
