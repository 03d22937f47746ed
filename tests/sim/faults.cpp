// The faults of a seed: what is planned in FaultPlan happens here.
#include "base/limits.h"
#include "tests/sim/simulation.h"

namespace tram::sim {

Host& Simulation::any_host() {
  const size_t i = world_.random.below(nodes_.size() + brokers_.size());
  return i < nodes_.size() ? static_cast<Host&>(*nodes_[i]) : *brokers_[i - nodes_.size()];
}

/// Between `one` and `other`, or between `one` and everybody.
void Simulation::block(Host& one, const Host* other, bool blocked) {
  auto each = [&](std::vector<std::unique_ptr<Wire>>& wires) {
    for (auto& wire : wires) {
      const bool here = wire->client_party() == one.party().id || wire->server_party() == one.party().id;
      const bool there = !other || wire->client_party() == other->party().id || wire->server_party() == other->party().id;
      if (here && there) wire->block(blocked);
    }
  };
  for (auto& node : nodes_) each(node->wires());
  for (auto& broker : brokers_) each(broker->peer_wires());
}

void Simulation::inject() {
  if (plan_.step_crashes) host_faults_.crash_per_100000 = 20 + world_.random.below(300);
  if (plan_.repeats) network_.repeat_per_mille = 2 + world_.random.below(30);
  const bool any = plan_.partitions || plan_.crashes || plan_.disk_loss || plan_.restores || plan_.silent_restores ||
                   plan_.full_stores || plan_.skew || plan_.node_restores;
  if (!any) return;
  const size_t count = 4 + world_.random.below(16);
  for (size_t i = 0; i < count; ++i)
    world_.after(world_.random.within(seconds(3), plan_.lasts), [this] {
      if (!calm_) inject_one();
    });
}

void Simulation::inject_one() {
  auto& random = world_.random;
  enum Kind { partition, kill, disk, restore, silent, full, skew, node_restore };
  std::vector<Kind> kinds;
  auto may = [&](bool on, Kind kind, size_t weight) { kinds.insert(kinds.end(), on ? weight : 0, kind); };
  may(plan_.partitions, partition, 4);
  may(plan_.crashes, kill, 4);
  may(plan_.disk_loss, disk, 1);
  may(plan_.restores, restore, 1);
  may(plan_.silent_restores, silent, 1);
  may(plan_.full_stores, full, 2);
  may(plan_.skew, skew, 2);
  may(plan_.node_restores, node_restore, 2);
  const auto for_a_while = random.within(seconds(1), seconds(60));
  switch (kinds[random.below(kinds.size())]) {
    case partition: {
      Host& one = random.chance(700) ? static_cast<Host&>(any_node()) : any_broker();
      const Host* other = random.chance(500) ? &any_broker() : nullptr;
      if (other == &one) other = nullptr;
      if (random.chance(250)) {
        world_.count("fault: connection cut");
        for (auto& node : nodes_)
          for (auto& wire : node->wires())
            if (wire->server_party() == one.party().id || wire->client_party() == one.party().id) wire->cut();
        return;
      }
      world_.count("fault: partition");
      world_.trace("**", "partition of " + one.name() + (other ? " from " + other->name() : " from all"));
      block(one, other, true);
      world_.after(for_a_while, [this, &one, other] {
        if (!calm_) block(one, other, false);
      });
      return;
    }
    case kill: return any_host().crash_and_return(random.chance(500));
    case disk: return any_broker().lose_disk();
    case restore:
    case silent: {
      // An image first, some time later the disk is put back to it.
      const bool recover = kinds.size() == 1 || plan_.restores;
      BrokerHost& broker = any_broker();
      auto image = std::make_shared<std::map<std::string, std::map<Bytes, Bytes>>>(broker.image());
      const bool say_so = recover && (!plan_.silent_restores || random.chance(600));
      world_.after(random.within(seconds(1), seconds(40)), [this, &broker, image, say_so] {
        if (calm_ || !broker.up()) return;
        if (!say_so) checker_->expect_false_custody(broker.party().id, broker.epoch());
        broker.restore(*image, say_so);
        // The image may be of an earlier life, whose epoch is back now.
        if (!say_so) checker_->expect_false_custody(broker.party().id, broker.stored_epoch());
      });
      return;
    }
    case node_restore: return backup_and_restore(any_node());
    case full: {
      world_.count("fault: store full");
      Host& host = any_host();
      const uint64_t room = random.below(20000);
      auto set = [&host](uint64_t bytes) {
        host.raw().set_capacity_bytes(bytes);
        host.bodies().set_capacity_bytes(bytes);
      };
      world_.trace(host.name(), "-- store is nearly full");
      host.log().expect("body.not_reserved");
      if (auto* broker = dynamic_cast<BrokerHost*>(&host)) broker->set_capacity_bytes(host.raw().used_bytes() + room);
      else host.raw().set_capacity_bytes(host.raw().used_bytes() + room);
      host.bodies().set_capacity_bytes(host.bodies().used_bytes() + room);
      world_.after(for_a_while, [&host, set] {
        set(UINT64_MAX);
        if (auto* broker = dynamic_cast<BrokerHost*>(&host)) broker->set_capacity_bytes(UINT64_MAX);
      });
      return;
    }
    case skew: {
      world_.count("fault: clock skew");
      Host& host = any_host();
      const bool far = random.chance(200);
      const Duration by{far ? random.between(-minutes(20).ms, minutes(20).ms) : random.between(-minutes(3).ms, minutes(3).ms)};
      world_.trace(host.name(), "-- clock is off by " + std::to_string(by.ms) + " ms");
      host.set_skew(by);
      return;
    }
  }
}

/// A backup; perhaps the node tells of it; some time later the node is put back to it.
void Simulation::backup_and_restore(NodeHost& host) {
  auto& random = world_.random;
  if (!host.up()) return;
  auto image = std::make_shared<NodeHost::Image>(host.image());
  if (random.chance(600))
    world_.after(random.within(milliseconds(100), seconds(20)), [this, &host, image] {
      if (!host.up()) return;
      world_.count("backups told of");
      host.act([marks = host.marks(*image)](node::Node& node, WriteTxn& txn, Time now, node::Effects& effects) {
                 return node.backed_up(txn, now, marks, effects);
               }, [](const Result<void>&) {});
    });
  world_.after(random.within(seconds(1), seconds(90)), [this, &host, image] {
    if (calm_) return;
    checker_->node_will_be_restored(host);
    host.restore(*image);
    checker_->node_was_restored(host);
  });
}

/// A recipient is away for longer than a document's life; the others wait without hurry.
void Simulation::long_absence() {
  auto& random = world_.random;
  NodeHost& away = any_node();
  world_.trace(away.name(), "-- away");
  world_.count("fault: long absence");
  host_faults_.crash_per_100000 = 0;
  away.crash(false);
  const size_t other = random.below(nodes_.size());
  for (int i = 0; i < 4; ++i) {
    PlannedDocument document;
    document.uuid = random.id<DocUuid>();
    document.at = world_.now() + random.within(seconds(1), seconds(60));
    document.sender = other;
    for (size_t to = 0; to < nodes_.size(); ++to)
      if (to != other && (nodes_[to].get() == &away || random.chance(200))) document.recipients.push_back(to);
    if (document.recipients.empty() || (plan_.late_agency && other + 1 == nodes_.size())) continue;
    if (plan_.late_agency && document.recipients.size() == 1 && document.recipients[0] + 1 == nodes_.size()) continue;
    document.file_bytes = 200 + random.below(9000);
    documents_.push_back(std::move(document));
  }
  host_faults_.tick = seconds(20);
  const Time end = world_.now() + random.within(minutes(25), minutes(70));
  while (world_.now() < end) {
    world_.run_until(world_.now() + minutes(5));
    checker_->sweep();
  }
  host_faults_.tick = seconds(1);
}

/// Everything is off for days, as after a flood; then it starts again. Shorter than small mail is kept (12 days): what a
/// recipient said later than 01 has no other way.
void Simulation::long_night() {
  world_.trace("**", "everything is off");
  world_.count("fault: everything off for days");
  for (auto& node : nodes_) node->crash(true);
  for (auto& broker : brokers_) broker->crash(true);
  host_faults_.down_min = host_faults_.down_max = {};
  const Duration off = world_.random.chance(300) ? world_.random.within(hours(20), hours(60)) : world_.random.within(days(9), hours(11 * 24 + 8));
  world_.run_until(world_.now() + off);
}

void Simulation::all_up() {
  host_faults_ = {};
  network_.delay_max = milliseconds(15);
  network_.repeat_per_mille = 0;
  auto each = [&](Host& host) {
    host.set_skew({});
    host.raw().set_capacity_bytes(UINT64_MAX);
    host.bodies().set_capacity_bytes(UINT64_MAX);
    if (auto* broker = dynamic_cast<BrokerHost*>(&host)) broker->set_capacity_bytes(UINT64_MAX);
    block(host, nullptr, false);
    host.return_after(seconds(1));
  };
  for (auto& node : nodes_) {
    each(*node);
    node->spoil = nullptr;
  }
  for (auto& broker : brokers_) each(*broker);
}

/// A sender with broken memory: the key it wraps, or the key it wraps to, is not the right one.
void Simulation::spoil(node::Job& job) {
  auto* wrap = std::get_if<node::WrapJob>(&job);
  if (!wrap) return;
  auto& random = world_.random;
  for (auto& run : wrap->runs) {
    if (random.chance(30)) {
      world_.count("fault: wrapped to a wrong key");
      run.kx = crypto::make_kx_pair(random).public_key;
      continue;
    }
    for (auto& target : run.targets)
      if (random.chance(30)) {
        world_.count("fault: wrong key wrapped");
        target.document_key = crypto::make_secret(random);
        checker_->expect_rejected(target.uuid, run.recipient);
      }
  }
}

}  // namespace tram::sim
