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

}  // namespace tram::node::test
