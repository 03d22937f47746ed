#include "tests/sim/witness_host.h"

#include "base/limits.h"

namespace tram::sim {

using audit::Watcher;

namespace {
std::span<const Table> tables() {
  static const std::vector<Table> all = [] {
    std::vector<Table> list;
    for (const Table& one : directory::tables()) list.push_back(one);
    for (const Table& one : audit::tables()) list.push_back(one);
    return list;
  }();
  return all;
}
}  // namespace

WitnessHost::WitnessHost(World& world, Network& network, HostFaults& faults, const Realm& realm, const Party& party, uint64_t seed)
    : Host(world, network, faults, realm, party, tables(), seed) {
  use_codec(crypto::make_mac_codec(*party.keys.storage));
}

void WitnessHost::install() {
  auto txn = store_.begin_write().value();
  directory::Directory directory(realm_.id());
  for (size_t i = 0; i < realm_.first_entries(); ++i)
    SIM_REQUIRE(directory.apply(*txn, realm_.entries()[i], clock()), "directory.apply");
  SIM_REQUIRE(txn->commit(), "install");
}

void WitnessHost::connect_to(BrokerHost& broker) {
  wires_.push_back(std::make_unique<Wire>(network_, *this, party_.id, broker, broker.party().id, proto::Endpoint::control));
  broker.serves(*wires_.back());
}

void WitnessHost::boot() {
  if (up_) return;
  up_ = true;
  world_.trace(name(), "++ starts");
  directory_ = std::make_unique<directory::Directory>(realm_.id());
  SIM_REQUIRE(directory_->load(*store_.begin_read().value()), name(), "start");
  watcher_ = std::make_unique<Watcher>(party_.id, party_.keys.log, *directory_, log_);
  connect_brokers();
  start_ticking();
}

/// WitnessLoop::connect: those of the directory, no other.
void WitnessHost::connect_brokers() {
  std::set<PartyId> in_force;
  for (const auto& broker : directory_->brokers(clock())) in_force.insert(broker.record.id);
  for (auto& one : wires_) {
    const bool wanted = in_force.contains(one->server_party());
    if (wanted && !one->wanted()) one->start();
    if (!wanted && one->wanted()) one->client_died();
  }
}

void WitnessHost::lose_disk() {
  crash(true);
  world_.trace(name(), "-- disk lost");
  store_.restore({});
  install();
  return_after(world_.random.within(seconds(1), seconds(60)));
}

uint64_t WitnessHost::holds(const PartyId& party) {
  const audit::Witness witness(realm_.id(), name(), party_.keys.log, log_);
  const auto known = witness.known(*store_.begin_read().value(), party).value();
  return known ? known->checkpoint.size : 0;
}

bool WitnessHost::holds_more(const PartyId& party, uint32_t generation, uint64_t size) {
  const audit::Witness witness(realm_.id(), name(), party_.keys.log, log_);
  const auto known = witness.known(*store_.begin_read().value(), party).value();
  return known && std::pair(known->checkpoint.origin.generation, known->checkpoint.size) > std::pair(generation, size);
}

void WitnessHost::forget() {
  watcher_.reset();
  directory_.reset();
  inbox_.clear();
  for (auto& one : wires_) one->client_died();
}

void WitnessHost::link_up(Wire& wire) {
  inbox_.push_back(Watcher::BrokerUp{wire.server_party()});
  poke();
}
void WitnessHost::link_down(Wire& wire) {
  inbox_.push_back(Watcher::BrokerDown{wire.server_party()});
  poke();
}
void WitnessHost::receive(Wire& from, Bytes bytes, Bytes) {
  auto frame = proto::decode_frame(bytes, proto::Endpoint::control);
  SIM_REQUIRE(frame, name(), "got a frame it cannot read from", realm_.name(from.server_party()));
  inbox_.push_back(Watcher::FrameArrived{from.server_party(), std::move(*frame)});
  poke();
}

/// I9: whose log is shown in another shape than the one that is mirrored here.
std::set<PartyId> WitnessHost::to_be_convicted(std::span<const Watcher::Event> events) {
  std::set<PartyId> due;
  const audit::Witness witness(realm_.id(), name(), party_.keys.log, log_);
  for (const auto& event : events) {
    const auto* arrived = std::get_if<Watcher::FrameArrived>(&event);
    const auto* page = arrived ? std::get_if<proto::CheckpointPage>(&arrived->frame.body) : nullptr;
    if (!page) continue;
    for (const Bytes& note : page->notes) {
      if (!is_forged || !is_forged(note)) continue;
      const auto shown = crypto::decode_signed_checkpoint(note).value().checkpoint;
      const auto known = witness.known(*store_.begin_read().value(), shown.origin.party).value();
      if (known && known->checkpoint.origin == shown.origin && known->mirrored >= shown.size) due.insert(shown.origin.party);
    }
  }
  return due;
}

void WitnessHost::step() {
  if (is_paused()) return;
  std::vector<Watcher::Event> events(std::make_move_iterator(inbox_.begin()), std::make_move_iterator(inbox_.end()));
  inbox_.clear();
  if (std::exchange(tick_due_, false)) events.emplace_back(Watcher::Tick{});
  if (events.empty()) return;
  world_.trace(name(), "step of " + std::to_string(events.size()));
  auto due = to_be_convicted(events);
  Watcher::Effects effects;
  {
    auto txn = store_.begin_write().value();
    SIM_REQUIRE(watcher_->step(*txn, clock(), events, effects), name(), "witness.has_stopped");
    SIM_REQUIRE(txn->commit(), name(), "witness.has_stopped");
  }
  if (!due.empty()) {
    auto txn = store_.begin_read().value();
    const auto kept = audit::kept_evidence(*txn).value();
    for (const auto& found : kept)
      due.erase(crypto::decode_signed_checkpoint(found.evidence.first).value().checkpoint.origin.party);
    SIM_REQUIRE(due.empty(), name(), "I9: saw two logs and convicted nobody");
  }
  for (auto& one : effects.sends) {
    if (tamper && !tamper(one)) continue;
    for (auto& wire : wires_)
      if (wire->server_party() == one.broker) wire->send_to_server(proto::encode_frame(one.frame), {});
  }
  if (effects.directory_changed) connect_brokers();
}

}  // namespace tram::sim
