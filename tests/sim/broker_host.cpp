#include "tests/sim/broker_host.h"

#include <algorithm>

#include "base/limits.h"
#include "broker/tables.h"

namespace tram::sim {

using namespace tram::broker;

namespace {
bool is_full(ErrorCode code) { return code == ErrorCode::storage_full || code == ErrorCode::map_full; }
bool is_broken(ErrorCode code) { return code == ErrorCode::io_failed || code == ErrorCode::store_corrupt; }
}  // namespace

BrokerHost::BrokerHost(World& world, Network& network, HostFaults& faults, const Realm& realm, const Party& party,
                       Observer& observer, uint64_t seed)
    : Host(world, network, faults, realm, party, table::all(), seed), observer_(observer),
      approved_entries_(realm.first_entries()) {
  use_codec(crypto::make_mac_codec(*party.keys.storage));
}
BrokerHost::~BrokerHost() = default;

std::unique_ptr<Broker> BrokerHost::make_broker() {
  directory_ = std::make_unique<directory::Directory>(realm_.id());
  audit_ = std::make_unique<audit::Log>();
  Config config;
  config.self = party_.id;
  config.realm = realm_.id();
  config.software = "sim";
  config.scrub_every = hours(6);
  return std::make_unique<Broker>(config, party_.keys.sig, party_.keys.log, *directory_, *audit_, log_, random_);
}

void BrokerHost::install() {
  auto broker = make_broker();
  auto txn = store_.begin_write().value();
  for (size_t i = 0; i < approved_entries_; ++i)
    SIM_REQUIRE(directory_->apply(*txn, realm_.entries()[i], clock()), "directory.apply");
  SIM_REQUIRE(broker->initialize(*txn, clock()), "broker.initialize");
  SIM_REQUIRE(txn->commit(), "install");
}

void BrokerHost::connect_to(BrokerHost& peer) {
  peer_wires_.push_back(std::make_unique<Wire>(network_, *this, party_.id, peer, peer.party().id, proto::Endpoint::control));
  peer.serves(*peer_wires_.back());
}

void BrokerHost::boot() {
  if (up_) return;
  up_ = true;
  world_.trace(name(), "++ starts");
  if (in_doubt_ && !recover()) {
    crash(false);
    return return_after(seconds(10));
  }
  broker_ = make_broker();
  Effects effects;
  {
    auto txn = store_.begin_write().value();
    auto started = broker_->start(*txn, clock(), effects);
    if (started) started = txn->commit();
    if (!started) {
      txn.reset();
      if (!is_full(started.error().code)) return stop_on(started.error());
      crash(false);
      return return_after(seconds(10));
    }
  }
  let_out(effects, CrashPoint::none);
  if (up_) start_ticking();
}

/// Loop::connect_peers: those of the directory, no other.
void BrokerHost::connect_peers() {
  std::set<PartyId> in_force;
  for (const auto& broker : directory_->brokers(clock())) in_force.insert(broker.record.id);
  for (auto& one : peer_wires_) {
    const bool wanted = in_force.contains(one->server_party());
    if (wanted && !one->wanted()) one->start();
    if (!wanted && one->wanted()) one->client_died();
  }
}

void BrokerHost::lose_disk() {
  crash(false);
  world_.trace(name(), "-- disk lost");
  store_.restore({});
  bodies_.lose_all();
  in_doubt_ = damaged_ = false;
  install();
  return_after(world_.random.within(seconds(1), seconds(60)));
}

void BrokerHost::restore(const MemStore::Image& image, bool recover) {
  crash(false);
  world_.trace(name(), recover ? "-- restored" : "-- restored in silence");
  store_.restore(image);
  if (!recover) expect_bodies_lost();  // files that were let go of since
  in_doubt_ = recover;
  damaged_ = false;
  return_after(world_.random.within(seconds(1), seconds(60)));
}

void BrokerHost::lose_commits(const MemStore::Image& image) {
  crash(true);
  world_.trace(name(), "-- the disk had lied");
  store_.restore(image);
  expect_bodies_lost();
  return_after(world_.random.within(seconds(1), seconds(60)));
}

void BrokerHost::expect_bodies_lost() {
  for (const char* event : {"body.was_damaged", "manifest.was_missing"}) log_.expect(event);
}

bool BrokerHost::flip_value() {
  damaged_ = store_.flip_bit(world_.random.next());
  body_flipped_ = false;
  log_.expect("row.was_damaged");
  if (damaged_) world_.trace(name(), "-- a bit of a value flipped");
  return damaged_;
}

bool BrokerHost::flip_body() {
  damaged_ = body_flipped_ = bodies_.flip_bit(world_.random.next());
  expect_bodies_lost();
  if (damaged_) world_.trace(name(), "-- a bit of a body flipped");
  return damaged_;
}

/// Exit 74 (R2): the process stays down until an operator has looked.
void BrokerHost::stop_on(const Error& error) {
  SIM_REQUIRE(is_broken(error.code), name(), "broker.stopped:", describe(error));
  SIM_REQUIRE(error.code != ErrorCode::store_corrupt || damaged_, name(), "broker.stopped:", describe(error));
  if (damaged_) world_.count("rare: a flipped bit was found");
  world_.trace(name(), "-- stopped, exit 74: " + describe(error));
  crash(false);
  store_.revive();
  const uint64_t life = life_;
  world_.after(world_.random.within(seconds(5), minutes(10)), [this, life] {
    if (!up_ && life == life_) repair();
  });
}

void BrokerHost::repair() {
  crash(false);
  store_.revive();
  in_doubt_ = true;
  boot();
}

/// `tram-broker recover`. On a full disk it fails, the broker stays in doubt, and the operator tries again.
bool BrokerHost::recover() {
  auto broker = make_broker();
  auto dropped = broker->recover(store_, bodies_, clock());
  if (dropped && !dropped->repaired.empty()) world_.count("rare: a damaged row was repaired");
  if (!dropped && dropped.error().code == ErrorCode::store_corrupt && damaged_) {
    // Nothing on this disk can be trusted: what it held, senders still hold (R7).
    world_.count("rare: a store was given up");
    world_.trace(name(), "recover: the store is given up");
    store_.restore({});
    bodies_.lose_all();
    in_doubt_ = damaged_ = false;
    install();
    return true;
  }
  if (!dropped) {
    SIM_REQUIRE(is_full(dropped.error().code), name(), "recover:", describe(dropped.error()));
    world_.count("rare: recover failed on a full disk");
    world_.trace(name(), "recover: the disk is full");
    return false;
  }
  in_doubt_ = damaged_ = false;
  world_.count("envelopes dropped by recover", dropped->dropped);
  world_.trace(name(), "recover dropped " + std::to_string(dropped->dropped));
  return true;
}

Epoch BrokerHost::stored_epoch() {
  auto row = store_.begin_read().value()->get(table::self, view(table::self_key)).value();
  proto::BrokerRecord self;
  SIM_REQUIRE(row && proto::decode_record(*row, self), name(), "has no record of itself");
  return self.epoch;
}

void BrokerHost::set_capacity_bytes(uint64_t bytes) {
  capacity_bytes_ = bytes;
  store_.set_capacity_bytes(bytes);
}

void BrokerHost::forget() {
  broker_.reset();
  audit_.reset();
  directory_.reset();
  sessions_.clear();
  waiting_.clear();
  busy_.clear();
  inbox_.clear();
  for (auto& one : peer_wires_) one->client_died();
  for (Wire* one : served_) one->server_died();
}

// ---- the network -------------------------------------------------------------------------------------------------

bool BrokerHost::admits(const PartyId& peer, const CurvePublic* key) {
  if (peer.is_zero()) return true;  // the authority's publisher
  for (const auto& [curve, party] : allowed_)
    if (party == peer && (!key || curve == *key)) return true;
  return false;
}

void BrokerHost::receive(Wire& from, const SessionKey& session, Bytes bytes, Bytes chunk) {
  auto frame = proto::decode_frame(bytes, session.endpoint);
  SIM_REQUIRE(frame, name(), "got a frame it cannot read from", realm_.name(from.client_party()));
  if (world_.prints()) world_.note(name(), realm_.name(from.client_party()) + " says " + frame_text(*frame));
  sessions_[session] = &from;
  if (lies)
    if (const auto* put = std::get_if<proto::Put>(&frame->body)) return lie(session, frame->request, *put);
  inbox_.push_back(FrameReceived{session, from.client_party(), std::move(*frame), std::move(chunk)});
  poke();
}

/// Custody of everything, and nothing stored.
void BrokerHost::lie(const SessionKey& session, uint64_t request, const proto::Put& put) {
  proto::PutReply reply;
  for (const auto& item : put.items) {
    auto envelope = crypto::decode_envelope(item.envelope);
    if (!envelope) return;
    lies();
    crypto::Custody custody;
    custody.realm = realm_.id();
    custody.broker = party_.id;
    custody.epoch = broker_->epoch();
    custody.env_id = envelope->id;
    custody.doc_id = put.doc_id;
    custody.chunks = 1;
    custody.recipient = envelope->recipient;
    custody.position = 1 + world_.random.below(1000);
    custody.queue_head = world_.random.id<Hash>();
    custody.time = clock();
    custody.log_size = audit_->size();
    reply.results.push_back({envelope->id, crypto::encode_custody(custody, *party_.keys.sig), 0, 0, 0});
  }
  sessions_.at(session)->send_to_client(session.id, proto::encode_frame({request, std::move(reply)}), {});
}

void BrokerHost::drained(const SessionKey& session) { flush(session); }

void BrokerHost::link_up(Wire& wire) {
  inbox_.push_back(PeerUp{wire.server_party()});
  poke();
}
void BrokerHost::link_down(Wire& wire) {
  inbox_.push_back(PeerDown{wire.server_party()});
  poke();
}
void BrokerHost::receive(Wire& from, Bytes bytes, Bytes) {
  auto frame = proto::decode_frame(bytes, proto::Endpoint::control);
  SIM_REQUIRE(frame, name(), "got a frame it cannot read from", realm_.name(from.server_party()));
  inbox_.push_back(PeerFrame{from.server_party(), std::move(*frame)});
  poke();
}

// ---- a turn of the loop ------------------------------------------------------------------------------------------

void BrokerHost::step() {
  if (is_paused()) return;
  std::vector<Event> events;
  while (!inbox_.empty() && events.size() < limits::events_per_step_max) {
    events.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
  }
  if (tick_due_) {
    tick_due_ = false;
    wake_at_.reset();
    const uint64_t percent = capacity_bytes_ == UINT64_MAX ? 10 : store_.used_bytes() * 100 / capacity_bytes_;
    events.push_back(Tick{static_cast<unsigned>(percent), clock_ok()});
  }
  if (!inbox_.empty()) poke();
  if (events.empty()) return;
  world_.trace(name(), "step of " + std::to_string(events.size()));
  auto effects = std::make_shared<Effects>();
  CrashPoint crash_point = CrashPoint::none;
  Result<void> outcome;
  {
    auto txn = store_.begin_write().value();
    outcome = broker_->step(*txn, clock(), events, *effects);
    const bool collects = std::any_of(effects->jobs.begin(), effects->jobs.end(), [](const Job& job) { return std::holds_alternative<RemoveBodiesJob>(job); });
    crash_point = pick_crash(collects);
    if (crash_point == CrashPoint::before_commit) {
      txn.reset();
      return crash_and_return(world_.random.chance(faults_.power_cut_per_mille));
    }
    if (outcome) outcome = txn->commit();
  }
  if (!outcome && !is_full(outcome.error().code)) return stop_on(outcome.error());
  if (!outcome) {
    world_.count("step aborted by a full store (broker)");
    world_.trace(name(), "store.full");
    auto read = store_.begin_read().value();
    if (auto reloaded = broker_->reload(*read, clock(), events, *effects = {}); !reloaded) return stop_on(reloaded.error());
    let_out(*effects, CrashPoint::none);
    return;
  }
  if (damaged_ && body_flipped_ && !bodies_.rotten() && broker_->damaged_bodies() == 0) {
    damaged_ = false;
    world_.count("rare: a damaged body was sent again, or freed");
  }
  if (crash_point == CrashPoint::before_effects) return crash_and_return(world_.random.chance(faults_.power_cut_per_mille));
  when_on_disk([this, effects, crash_point] {
    if (!let_out(*effects, crash_point)) crash_and_return(world_.random.chance(faults_.power_cut_per_mille));
  });
}

bool BrokerHost::let_out(Effects& effects, CrashPoint crash_point) {
  size_t left = SIZE_MAX;
  if (crash_point == CrashPoint::among_effects)
    left = world_.random.below(effects.jobs.size() + effects.sends.size() + effects.peer_sends.size() + 1);
  auto dies = [&] { return left-- == 0; };
  if (hides) std::erase_if(effects.sends, hides);
  if (tamper) tamper(effects.sends);
  for (Job& job : effects.jobs) {
    if (dies()) return false;
    start_job(std::make_shared<Job>(std::move(job)));
  }
  for (Send& one : effects.sends) {
    if (dies()) return false;
    auto to = sessions_.find(one.session);
    if (to == sessions_.end()) continue;
    observer_.broker_sends(*this, to->second->client_party(), one);
    waiting_[one.session].push_back(std::move(one));
  }
  std::vector<SessionKey> sessions;
  for (const auto& [session, queue] : waiting_) sessions.push_back(session);
  for (const auto& session : sessions) flush(session);
  for (PeerSend& one : effects.peer_sends) {
    if (dies()) return false;
    for (auto& wire : peer_wires_)
      if (wire->server_party() == one.broker) wire->send_to_server(proto::encode_frame(one.frame), {});
  }
  if (left == 0) return false;
  if (effects.allow_list_changed) {
    auto read = store_.begin_read().value();
    auto allowed = directory_->allow_list(*read, clock());
    if (!allowed) {
      stop_on(allowed.error());
      return true;
    }
    allowed_ = std::move(*allowed);
    connect_peers();
  }
  if (effects.wake_at) wake(*effects.wake_at);
  return !effects.restored_copy || notice_restored_copy(*effects.restored_copy);
}

/// R8: what the loop of tram-broker does. On a full disk the process dies and starts again.
bool BrokerHost::notice_restored_copy(uint64_t seen) {
  auto dropped = broker_->recover(store_, bodies_, clock(), seen);
  if (!dropped) {
    SIM_REQUIRE(is_full(dropped.error().code), name(), "recover:", describe(dropped.error()));
    world_.count("rare: recover failed on a full disk");
    return false;
  }
  world_.count("a restored copy was noticed (broker)");
  world_.trace(name(), "is a restored copy");
  tick_due_ = true;
  poke();
  return true;
}

void BrokerHost::start_job(std::shared_ptr<Job> job) {
  run_later([this, job](bool deliver) {
    JobDone done = run_job(std::move(*job), bodies_);
    if (!deliver) return;
    inbox_.push_back(std::move(done));
    poke();
  });
}

PartyId BrokerHost::peer_of(const broker::SessionKey& session) const {
  const auto wire = sessions_.find(session);
  return wire == sessions_.end() ? PartyId{} : wire->second->client_party();
}

void BrokerHost::flush(const SessionKey& session) {
  auto queue = waiting_.find(session);
  if (queue == waiting_.end()) return;
  Wire* wire = sessions_.at(session);
  while (!queue->second.empty()) {
    Send& one = queue->second.front();
    Bytes frame = proto::encode_frame(one.frame);
    const size_t frame_max =
        session.endpoint == proto::Endpoint::control ? limits::control_frame_bytes_max : limits::bulk_frame_bytes_max;
    SIM_REQUIRE(frame.size() <= frame_max, name(), "frame.too_large:", std::to_string(frame.size()));
    const auto outcome = wire->send_to_client(session.id, std::move(frame), one.chunk);
    if (outcome == SendOutcome::busy) break;
    if (outcome == SendOutcome::unreachable) {
      waiting_.erase(queue);
      sessions_.erase(session);
      busy_.erase(session);
      inbox_.push_back(SessionClosed{session});
      return poke();
    }
    queue->second.pop_front();
  }
  const bool busy = !queue->second.empty();
  if (!busy) waiting_.erase(queue);
  if (busy == busy_.contains(session)) return;
  if (busy) busy_.insert(session);
  else busy_.erase(session);
  if (busy) world_.count("a peer was slow");
  inbox_.push_back(SessionBusy{session, busy});
  poke();
}

// ---- the authority -------------------------------------------------------------------------------------------------

Publisher::Publisher(World& world, Network& network, BrokerHost& broker, std::vector<Bytes> entries)
    : world_(world), wire_(network, *this, PartyId{}, broker, broker.party().id, proto::Endpoint::control),
      entries_(std::move(entries)) {
  broker.serves(wire_);
}

void Publisher::link_up(Wire&) { offer(); }

void Publisher::offer() {
  if (done_ || !wire_.connected()) return;
  wire_.send_to_server(proto::encode_frame({1, proto::DirectoryPut{entries_}}), {});
  world_.repeat(seconds(5), [this] { offer(); });
}

void Publisher::receive(Wire&, Bytes bytes, Bytes) {
  auto frame = proto::decode_frame(bytes, proto::Endpoint::control);
  if (frame && std::holds_alternative<proto::Done>(frame->body)) done_ = true;
}

}  // namespace tram::sim
