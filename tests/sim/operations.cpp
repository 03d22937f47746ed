// What the officers of a realm decide while documents are on their way: agencies and brokers come, rest, go and are merged.
#include <algorithm>

#include "base/limits.h"
#include "tests/sim/simulation.h"

namespace tram::sim {

void Simulation::publish(BrokerHost& broker, std::vector<Bytes> entries) {
  publishers_.push_back(std::make_unique<Publisher>(world_, network_, broker, std::move(entries)));
  publishers_.back()->start();
}

/// What the officers have decided since the week began.
std::vector<Bytes> Simulation::decided() const {
  const auto& all = realm_->entries();
  return {all.begin() + static_cast<ptrdiff_t>(realm_->first_entries()), all.end()};
}

void Simulation::decide(std::vector<proto::Change> changes, BrokerHost& at) {
  realm_->decide(std::move(changes), world_.now());
  for (auto& broker : brokers_) broker->set_approved_entries(realm_->entries().size());
  publish(at, decided());
}

void Simulation::reinstate(NodeHost& node) {
  if (!std::erase(suspended_, &node)) return;
  world_.trace(node.name(), "-- reinstated");
  decide({{world_.now(), proto::StatusChange{node.party().id, proto::AgencyStatus::active, {}, "exercise"}}});
}

void Simulation::operate(Fault fault) {
  auto& random = world_.random;
  const Time now = world_.now();
  using enum Fault;
  switch (fault) {
    case agency_joins:
      if (!late_agency_) return;
      late_agency_ = false;
      world_.trace("**", "an agency joins");
      decide({{now, realm_->late_agency()}});
      break;
    case agency_suspended: {
      NodeHost& node = any_node();
      if (std::find(suspended_.begin(), suspended_.end(), &node) != suspended_.end() || realm_->successors(node.party().id)) return;
      suspended_.push_back(&node);
      world_.trace(node.name(), "-- suspended");
      decide({{now, proto::StatusChange{node.party().id, proto::AgencyStatus::suspended, {}, "exercise"}}});
      later(a_while(), [this, &node] { reinstate(node); });
      break;
    }
    case broker_added: {
      if (!late_broker_) return;
      late_broker_ = false;
      BrokerHost& broker = *brokers_.back();
      world_.trace(broker.name(), "-- joins");
      decide({{now, realm_->broker_record(brokers_.size() - 1)}});
      broker.install();
      broker.return_after(seconds(1));
      checker_->joined(broker);
      break;
    }
    case broker_retired: {
      // Three stay.
      if (broker_retired_ || late_broker_ || brokers_.size() < 4) return;
      broker_retired_ = true;
      const size_t i = random.below(3);
      world_.trace(brokers_[i]->name(), "-- retires");
      auto record = realm_->broker_record(i);
      record.retired = true;
      decide({{now, record}});
      checker_->retired(*brokers_[i]);
      later(random.within(minutes(1), hours(20)), [this, i] { brokers_[i]->crash(false); });
      break;
    }
    default: {
      auto policy = realm_->policy();
      policy.update_refusal_allowed = random.chance(500);
      policy.body_floor_bytes = limits::body_floor_bytes << random.below(3);
      world_.trace("**", "the policy changes");
      decide({{now, policy}});
    }
  }
  world_.injected(fault);
}

/// Nodes of agencies that are neither suspended nor closed; not the last one while it may still have to join.
std::vector<NodeHost*> Simulation::open_nodes() {
  std::vector<NodeHost*> open;
  for (size_t i = 0; i + (plan_.has(Fault::agency_joins) ? 1 : 0) < nodes_.size(); ++i) {
    NodeHost* node = nodes_[i].get();
    const bool suspended = std::find(suspended_.begin(), suspended_.end(), node) != suspended_.end();
    if (!suspended && !realm_->successors(node->party().id)) open.push_back(node);
  }
  return open;
}

/// A node gets new keys while documents are on their way: the officers publish them, and soon an operator stops the node and
/// accepts. Until then it runs with keys that nobody believes any more.
void Simulation::renew_keys() {
  auto& random = dice(Fault::keys_renewed);
  auto able = open_nodes();
  std::erase_if(able, [this](NodeHost* node) { return std::find(renewing_.begin(), renewing_.end(), node) != renewing_.end(); });
  if (able.empty()) return;
  NodeHost& node = *able[random.below(able.size())];
  world_.injected(Fault::keys_renewed);
  world_.stay_awake(seconds(20));
  world_.trace(node.name(), "-- new keys are published");
  renewing_.push_back(&node);
  decide({{world_.now(), realm_->renew_keys(node.party().id, random)}});
  later(random.within(milliseconds(0), minutes(2)), [this, &node] { accept_new_keys(node); });
}

void Simulation::accept_new_keys(NodeHost& node) {
  if (!std::erase(renewing_, &node)) return;
  node.crash(false);
  node.take_new_keys();
  world_.stay_awake(seconds(20));
  node.return_after(dice(Fault::keys_renewed).within(milliseconds(100), seconds(60)));
}

void Simulation::expect_two_directories(Host& host) {
  for (const char* event : {"view.contradicts", "view.differs", "directory.entry_refused", "entry.was_refused"}) host.log().expect(event);
}

/// The officers sign two entries with one number; one broker is given the one, another broker the other. Nothing joins the two
/// directories again, so this happens only in weeks that do not end in calm.
void Simulation::split_directory() {
  auto& random = dice(Fault::directory_split);
  const PartyId renamed = nodes_[0]->party().id;  // it is there from the start
  std::vector<BrokerHost*> able;
  for (auto& broker : brokers_)
    if (broker->up() && checker_->in_force(*broker)) able.push_back(broker.get());
  if (able.size() < 2 || realm_->successors(renamed)) return;
  BrokerHost& one = *able[random.below(able.size())];
  std::erase(able, &one);
  BrokerHost& other = *able[random.below(able.size())];
  world_.injected(Fault::directory_split);
  world_.stay_awake(minutes(2));
  world_.trace("**", "the officers sign one directory for " + one.name() + " and another for " + other.name());
  for (auto& node : nodes_) expect_two_directories(*node);
  for (auto& copy : copies_) expect_two_directories(*copy);
  for (auto& broker : brokers_) expect_two_directories(*broker);
  for (auto& witness : witnesses_) expect_two_directories(*witness);
  auto beside = decided();
  auto change = realm_->record(renamed);
  change.agency.name_vi += " (khác)";
  beside.push_back(realm_->sign_beside({{world_.now(), std::move(change)}}));
  decide({{world_.now(), realm_->policy()}}, one);
  publish(other, std::move(beside));
}

/// An agency closes, once of each kind, often while its node is off: what it has not answered goes to its successor, or back.
void Simulation::close_agency(Fault fault) {
  auto& random = dice(fault);
  if (closings_.contains(fault)) return;
  auto open = open_nodes();
  if (open.size() < 3) return;
  closings_.insert(fault);
  for (size_t i = open.size() - 1; i > 0; --i) std::swap(open[i], open[random.below(i + 1)]);
  NodeHost& closed = *open[0];
  std::vector<PartyId> heirs{open[1]->party().id};
  if (fault == Fault::agency_split) heirs.push_back(open[2]->party().id);
  const bool split = heirs.size() > 1;
  if (closed.up() && random.chance(800)) {
    closed.crash(false);
    closed.return_after(random.within(minutes(1), hours(30)));
  }
  later(random.within(seconds(1), seconds(60)), [this, fault, &closed, heirs, split] {
    // The other one of these may have been decided meanwhile.
    if (std::find(suspended_.begin(), suspended_.end(), &closed) != suspended_.end() || realm_->successors(closed.party().id)) return;
    if (std::any_of(heirs.begin(), heirs.end(), [this](const PartyId& heir) { return realm_->successors(heir); })) return;
    world_.injected(fault);
    world_.stay_awake(seconds(20));
    world_.trace(closed.name(), split ? "-- is split" : "-- goes to " + realm_->name(heirs[0]));
    decide({{world_.now(), proto::SucceedChange{{closed.party().id}, heirs, split ? "split" : "merge"}}});
  });
}

}  // namespace tram::sim
