#include "tests/sim/node_host.h"

#include "base/limits.h"
#include "node/rows.h"
#include "tests/sim/broker_host.h"

namespace tram::sim {

using namespace tram::node;

namespace {
bool is_full(ErrorCode code) { return code == ErrorCode::storage_full || code == ErrorCode::map_full; }
bool is_broken(ErrorCode code) { return code == ErrorCode::io_failed; }
}  // namespace

NodeHost::NodeHost(World& world, Network& network, HostFaults& faults, const Realm& realm, const Party& party,
                   Observer& observer, uint64_t seed)
    : Host(world, network, faults, realm, party, table::all(), seed), observer_(observer),
      keys_{party.keys.sig, party.keys.log, party.keys.hedge, party.keys.storage}, curve_(party.keys.curve.public_key) {
  use_codec(crypto::make_seal_codec(*party.keys.storage, random_, table::all()));
}
NodeHost::~NodeHost() = default;

void NodeHost::install() {
  auto txn = store_.begin_write().value();
  SIM_REQUIRE(Node::initialize(*txn, {party_.id, realm_.id(), "sim"}), "node.initialize");
  directory::Directory directory(realm_.id());
  for (size_t i = 0; i < realm_.first_entries(); ++i)
    SIM_REQUIRE(directory.apply(*txn, realm_.entries()[i], clock()), "directory.apply");
  SIM_REQUIRE(txn->commit(), "install");
}

void NodeHost::connect_to(BrokerHost& broker) {
  for (auto endpoint : {proto::Endpoint::control, proto::Endpoint::bulk}) {
    wires_.push_back(std::make_unique<Wire>(network_, *this, party_.id, broker, broker.party().id, endpoint));
    broker.serves(*wires_.back());
  }
}

Wire* NodeHost::wire(const PartyId& broker, proto::Endpoint endpoint) {
  for (auto& one : wires_)
    if (one->server_party() == broker && one->endpoint() == endpoint) return one.get();
  return nullptr;
}

void NodeHost::boot() {
  if (up_) return;
  if (in_doubt_) mark_recovering();
  up_ = true;
  world_.trace(name(), "++ starts");
  if (auto rebuilt = rebuild(); !rebuilt) {
    if (is_broken(rebuilt.error().code)) return stop_on(rebuilt.error());
    SIM_REQUIRE(is_full(rebuilt.error().code), name(), "start:", describe(rebuilt.error()));
    world_.count("a start on a full store failed");
    crash(false);
    return return_after(seconds(10));
  }
  if (!up_) return;
  start_ticking();
}

/// Loop::connect_brokers: those of the directory, no other.
void NodeHost::connect_brokers(Time at) {
  std::set<PartyId> in_force;
  for (const auto& broker : directory_->brokers(at)) in_force.insert(broker.record.id);
  for (auto& one : wires_) {
    const bool wanted = in_force.contains(one->server_party());
    if (wanted && !one->wanted()) one->start();
    if (!wanted && one->wanted()) one->client_died();
  }
}

NodeHost::Image NodeHost::image() {
  proto::NodeRecord self;
  auto row = store_.begin_read().value()->get(table::self, view("self")).value();
  SIM_REQUIRE(row && proto::decode_record(*row, self), name(), "has no record of itself");
  audit::Log log;
  SIM_REQUIRE(log.load(*store_.begin_read().value()), name(), "log");
  return {store_.dump(), bodies_.dump(), self.rinc, log.generation(), log.size()};
}

node::BackupMarks NodeHost::marks(const Image& image) {
  node::BackupMarks backup;
  backup.id.bytes.fill(7);
  backup.rinc = image.rinc;
  MemStoreOptions options;
  for (const Table& one : table::all()) options.tables.emplace_back(one.name);
  MemStore store(options);
  store.use_codec(*codec_);
  store.restore(image.store);
  auto txn = store.begin_read().value();
  SIM_REQUIRE(node::read_backup_marks(*txn, backup), name(), "backup");
  return backup;
}

void NodeHost::restore(const Image& image) {
  crash(false);
  world_.trace(name(), "-- restored");
  store_.restore(image.store);
  bodies_.restore(image.bodies);
  mark_recovering();
  return_after(world_.random.within(seconds(1), seconds(60)));
}

void NodeHost::restore_in_silence(const Image& image) {
  crash(true);
  world_.trace(name(), "-- restored in silence");
  store_.restore(image.store);
  bodies_.restore(image.bodies);
  in_doubt_ = false;
  return_after(world_.random.within(seconds(1), seconds(60)));
}

void NodeHost::take_new_keys() {
  SIM_REQUIRE(!up_, name(), "accept on a node that runs");
  store_.set_capacity_bytes(UINT64_MAX);  // an operator makes room first
  world_.trace(name(), "-- takes its new keys");
  auto txn = store_.begin_write().value();
  directory::Directory directory(realm_.id());
  audit::Log log;
  SIM_REQUIRE(directory.load(*txn), name(), "accept: directory");
  SIM_REQUIRE(log.load(*txn), name(), "accept: log");
  for (uint64_t i = directory.size(); i < realm_.entries().size(); ++i) {
    const auto applied = directory.apply(*txn, realm_.entries()[i], clock());
    if (!applied && realm_.signed_two()) return;  // it holds the other directory: the approval is refused, and nothing changed
    SIM_REQUIRE(applied, name(), "accept: entry");
    Bytes leaf;
    Writer(leaf).u64(i).raw(directory.root());
    SIM_REQUIRE(log.append(*txn, audit::LeafKind::directory_applied, clock(), leaf, random_), name(), "accept: leaf");
  }
  SIM_REQUIRE(log.store_head(*txn), name(), "accept: head");
  SIM_REQUIRE(txn->commit(), name(), "accept");
  keys_.sig = party_.keys.sig;
  keys_.log = party_.keys.log;
  curve_ = party_.keys.curve.public_key;
}

void NodeHost::mark_recovering() {
  store_.set_capacity_bytes(UINT64_MAX);  // an operator who restores makes room first
  bodies_.set_capacity_bytes(UINT64_MAX);
  in_doubt_ = false;
  auto txn = store_.begin_write().value();
  SIM_REQUIRE(Node::mark_restored(*txn), name(), "mark_restored");
  SIM_REQUIRE(txn->commit(), name(), "mark_restored");
}

void NodeHost::recover() {
  crash(false);
  store_.revive();
  world_.trace(name(), "-- recover");
  in_doubt_ = true;
  return_after(world_.random.within(milliseconds(100), seconds(10)));
}

/// Exit 74 (R2): nothing more leaves, and the process stays down until an operator has looked.
void NodeHost::stop_on(const Error& error) {
  SIM_REQUIRE(is_broken(error.code), name(), "node.stopped:", describe(error));
  world_.trace(name(), "-- stopped, exit 74: " + describe(error));
  world_.count("a node stopped with exit 74");
  crash(false);
  store_.revive();
  in_doubt_ = true;
  return_after(world_.random.within(seconds(5), minutes(10)));
}

bool NodeHost::seals() { return !store_.begin_read().value()->scan(table::sealing, {}, {}, 1).value().empty(); }

/// Loop::restart_node.
Result<void> NodeHost::rebuild() {
  TRAM_TRY(txn, store_.begin_write());
  node_.reset();
  directory_ = std::make_unique<directory::Directory>(realm_.id());
  TRAM_OK(directory_->load(*txn));
  if (!audit_) audit_ = std::make_unique<audit::Log>();
  TRAM_OK(audit_->load(*txn));
  node_ = std::make_unique<Node>(Identity{party_.id, realm_.id(), "sim", limits::scrub_every,
                                          faults_.wraps_in_jobs ? 0 : limits::wraps_at_once_max,
                                          faults_.wraps_in_jobs ? 0 : limits::wraps_at_once_max}, keys_, *directory_, *audit_, log_, random_);
  node_->set_clock_ok(clock_ok());
  Effects effects;
  const Time now = clock();
  TRAM_OK(node_->start(*txn, now, effects));
  TRAM_OK(txn->commit());
  observer_.node_committed(*this, effects);
  queues_.clear();
  connect_brokers(now);
  for (auto& one : wires_)
    if (one->endpoint() == proto::Endpoint::control && one->connected()) inbox_.push_back(BrokerUp{one->server_party()});
  let_out(effects, now, CrashPoint::none);
  poke();
  return {};
}

void NodeHost::forget() {
  node_.reset();
  audit_.reset();
  directory_.reset();
  inbox_.clear();
  acts_.clear();
  queues_.clear();
  for (auto& one : wires_) one->client_died();
}

// ---- the network -------------------------------------------------------------------------------------------------

void NodeHost::link_up(Wire& wire_up) {
  Wire* control = wire(wire_up.server_party(), proto::Endpoint::control);
  if (control->connected()) inbox_.push_back(BrokerUp{wire_up.server_party()});
  poke();
}

void NodeHost::link_down(Wire& wire_down) {
  Wire* control = wire(wire_down.server_party(), proto::Endpoint::control);
  if (wire_down.endpoint() == proto::Endpoint::bulk && !control->connected()) return;
  queues_.erase(wire_down.server_party());
  inbox_.push_back(BrokerDown{wire_down.server_party()});
  if (control->connected()) inbox_.push_back(BrokerUp{wire_down.server_party()});
  poke();
}

void NodeHost::receive(Wire& from, Bytes bytes, Bytes chunk) {
  auto frame = proto::decode_frame(bytes, from.endpoint());
  SIM_REQUIRE(frame, name(), "got a frame it cannot read from", realm_.name(from.server_party()));
  if (world_.prints()) world_.note(name(), realm_.name(from.server_party()) + " says " + frame_text(*frame));
  if (from.endpoint() == proto::Endpoint::bulk && std::holds_alternative<proto::HelloReply>(frame->body)) return;
  inbox_.push_back(FrameArrived{from.server_party(), from.endpoint(), std::move(*frame), std::move(chunk)});
  poke();
}

// ---- a turn of the loop ------------------------------------------------------------------------------------------

void NodeHost::act(Act act, std::function<void(const Result<void>&)> done) {
  acts_.push_back({std::move(act), std::move(done), {}});
  poke();
}

void NodeHost::step() {
  if (is_paused()) return;
  std::vector<Event> events;
  while (!inbox_.empty() && events.size() < limits::events_per_step_max) {
    events.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
  }
  if (tick_due_) {
    tick_due_ = false;
    wake_at_.reset();
    node_->set_clock_ok(clock_ok());
    events.push_back(Tick{});
  }
  auto acts = std::make_shared<std::vector<PendingAct>>(std::make_move_iterator(acts_.begin()), std::make_move_iterator(acts_.end()));
  acts_.clear();
  if (!inbox_.empty()) poke();
  if (events.empty() && acts->empty()) return;
  world_.trace(name(), "step of " + std::to_string(events.size()) + "+" + std::to_string(acts->size()));
  const Time now = clock();
  auto effects = std::make_shared<Effects>();
  CrashPoint crash_point = CrashPoint::none;
  Result<void> outcome;
  const uint64_t commits = store_.commits();
  {
    auto txn = store_.begin_write().value();
    outcome = node_->step(*txn, now, events, *effects);
    for (auto& one : *acts) {
      if (!outcome) break;
      one.outcome = one.act(*node_, *txn, now, *effects);
      if (!one.outcome && is_full(one.outcome.error().code)) outcome = fail(one.outcome.error());
    }
    if (outcome) outcome = node_->settle(*txn, now, *effects);
    crash_point = pick_crash(!effects->remove_bodies.empty());
    if (crash_point == CrashPoint::before_commit) {
      txn.reset();
      return crash_and_return(world_.random.chance(faults_.power_cut_per_mille));
    }
    if (outcome) outcome = txn->commit();
  }
  if (!outcome && is_broken(outcome.error().code)) {
    store_.revive();
    if (store_.commits() != commits) observer_.node_committed(*this, *effects);  // it is on the disk all the same
    return stop_on(outcome.error());
  }
  if (!outcome) {
    SIM_REQUIRE(is_full(outcome.error().code), name(), "node.stopped:", describe(outcome.error()));
    world_.count("step aborted by a full store (node)");
    world_.trace(name(), "store.full");
    for (auto& one : *acts) one.done(outcome);
    pause(seconds(1));
    if (auto rebuilt = rebuild(); !rebuilt) {
      if (is_broken(rebuilt.error().code)) return stop_on(rebuilt.error());
      SIM_REQUIRE(is_full(rebuilt.error().code), name(), "restart:", describe(rebuilt.error()));
      crash(false);
      return_after(seconds(10));
    }
    return;
  }
  observer_.node_committed(*this, *effects);
  if (crash_point == CrashPoint::before_effects) return crash_and_return(world_.random.chance(faults_.power_cut_per_mille));
  when_on_disk([this, effects, acts, now, crash_point] {
    for (auto& one : *acts) one.done(one.outcome);
    if (!let_out(*effects, now, crash_point)) crash_and_return(world_.random.chance(faults_.power_cut_per_mille));
  });
}

bool NodeHost::let_out(Effects& effects, Time at, CrashPoint crash_point) {
  size_t left = SIZE_MAX;
  const size_t all = effects.jobs.size() + effects.sends.size() + effects.remove_bodies.size();
  if (crash_point == CrashPoint::among_effects) left = world_.random.below(all + 1);
  auto dies = [&] { return left-- == 0; };
  for (Job& job : effects.jobs) {
    if (dies()) return false;
    if (spoil) spoil(job);
    start_job(std::make_shared<Job>(std::move(job)));
  }
  for (Send& one : effects.sends) {
    if (dies()) {
      flush();
      return false;
    }
    if (!wire(one.broker, one.endpoint)) continue;
    observer_.node_sends(*this, one);
    if (tamper && !tamper(one)) continue;
    auto& queues = queues_[one.broker];
    (one.endpoint == proto::Endpoint::control ? queues.control : queues.bulk).push_back(std::move(one));
  }
  flush();
  for (const std::string& body : effects.remove_bodies) {
    if (dies()) return false;
    if (auto removed = bodies_.remove(body); !removed) log_.error("body.not_removed", {{"error", describe(removed.error())}});
  }
  if (left == 0) return false;
  if (effects.directory_changed) connect_brokers(at);
  if (effects.wake_at) wake(*effects.wake_at);
  return true;
}

void NodeHost::spam(size_t chunks) {
  if (!up_) return;
  for (auto& one : wires_) {
    if (one->endpoint() != proto::Endpoint::bulk || !one->connected()) continue;
    for (size_t i = 0; i < chunks; ++i) {
      Bytes chunk(1000 + world_.random.below(20000));
      world_.random.fill(chunk);
      world_.injected(Fault::chunk_spam);
      one->send_to_server(proto::encode_frame({1000000 + i, proto::ChunkPut{world_.random.id<DocId>(), static_cast<uint32_t>(i)}}), std::move(chunk));
    }
  }
}

void NodeHost::start_job(std::shared_ptr<Job> job) {
  run_later([this, job](bool deliver) {
    JobResult result = run_job(*job, bodies_, random_);
    if (!deliver) return;
    inbox_.push_back(std::move(result));
    poke();
  });
}

bool NodeHost::send_now(Wire& to, Send& one) {
  if (!to.connected()) return false;
  if (auto* offer = std::get_if<proto::Offer>(&one.frame.body); offer && one.chunk && offer->manifest.empty()) {
    offer->manifest.resize(one.chunk->bytes);
    if (auto read = bodies_.read(one.chunk->name, one.chunk->offset, offer->manifest); !read) return true;
    one.chunk.reset();
  }
  Bytes frame = proto::encode_frame(one.frame);
  const size_t frame_max = one.endpoint == proto::Endpoint::control ? limits::control_frame_bytes_max : limits::bulk_frame_bytes_max;
  SIM_REQUIRE(frame.size() <= frame_max, name(), "frame.too_large:", std::to_string(frame.size()));
  Bytes chunk;
  if (one.chunk) {
    chunk.resize(one.chunk->bytes);
    if (auto read = bodies_.read(one.chunk->name, one.chunk->offset, chunk); !read) {
      log_.error("body.unreadable", {{"error", describe(read.error())}});
      return true;
    }
  }
  return to.send_to_server(std::move(frame), std::move(chunk));
}

void NodeHost::flush() {
  for (auto& [broker, queues] : queues_) {
    Wire* control = wire(broker, proto::Endpoint::control);
    Wire* bulk = wire(broker, proto::Endpoint::bulk);
    while (!queues.control.empty() && send_now(*control, queues.control.front())) queues.control.pop_front();
    while (!queues.bulk.empty() && send_now(*bulk, queues.bulk.front())) queues.bulk.pop_front();
  }
}

}  // namespace tram::sim
