// The faults of a seed: what is planned in FaultPlan happens here. Each is counted where it takes effect.
#include <algorithm>

#include "base/limits.h"
#include "tests/sim/simulation.h"

namespace tram::sim {

Host& Simulation::any_host() {
  return world_.random.chance(600) ? static_cast<Host&>(any_node()) : static_cast<Host&>(any_broker());
}

BrokerHost& Simulation::any_broker() {
  for (;;) {
    BrokerHost& one = *brokers_[world_.random.below(brokers_.size())];
    if (checker_->in_force(one)) return one;
  }
}

void Simulation::later(Duration delay, std::function<void()> what) {
  world_.after(delay, [this, what = std::move(what)] {
    if (!calm_) what();
  });
}

/// Mostly short, now and then hours.
Duration Simulation::a_while() {
  auto& random = world_.random;
  const uint64_t kind = random.below(100);
  if (kind < 70) return random.within(seconds(1), minutes(1));
  if (kind < 92) return random.within(minutes(1), hours(1));
  return random.within(hours(1), hours(10));
}

/// Between `one` and `other`, or between `one` and everybody.
template <class Each>
void Simulation::each_wire(const Host& one, const Host* other, Each&& each) {
  auto look = [&](std::vector<std::unique_ptr<Wire>>& wires) {
    for (auto& wire : wires) {
      const bool is_client = wire->client_party() == one.party().id;
      const bool here = is_client || wire->server_party() == one.party().id;
      const bool there = !other || wire->client_party() == other->party().id || wire->server_party() == other->party().id;
      if (here && there) each(*wire, is_client);
    }
  };
  for (auto& node : nodes_) look(node->wires());
  for (auto& broker : brokers_) look(broker->peer_wires());
  for (auto& witness : witnesses_) look(witness->wires());
}

void Simulation::block(Host& one, const Host* other, bool out, bool in) {
  each_wire(one, other, [&](Wire& wire, bool is_client) { wire.block(is_client ? out : in, is_client ? in : out); });
}

/// One of the kinds of this seed that happen at an instant.
void Simulation::inject_one() {
  std::vector<Fault> kinds;
  for (size_t i = 0; i < drawn_apart_from; ++i)
    if (plan_.on[i]) kinds.push_back(static_cast<Fault>(i));
  if (kinds.empty()) return;
  world_.stay_awake(seconds(8));
  inject(kinds[world_.random.below(kinds.size())]);
}

void Simulation::inject(Fault fault) {
  auto& random = world_.random;
  using enum Fault;
  switch (fault) {
    case kill:
    case power_cut: {
      Host& host = any_host();
      if (!host.up()) return;
      world_.injected(fault);
      return host.crash_and_return(fault == power_cut);
    }
    case away: {
      Host& host = any_host();
      if (!host.up()) return;
      world_.injected(fault);
      host.crash(random.chance(500));
      return host.return_after(random.within(minutes(30), hours(40)));
    }
    case all_off: return switch_all_off();
    case pause: {
      Host& host = any_host();
      if (!host.up()) return;
      world_.injected(fault);
      world_.trace(host.name(), "-- SIGSTOP");
      return host.pause(random.within(seconds(1), seconds(120)));
    }
    case disk_lost: {
      BrokerHost& broker = any_broker();
      world_.injected(fault);
      return broker.lose_disk();
    }
    case old_backup:
    case old_backup_in_silence:
    case commits_lost: return put_back(any_broker(), fault);
    case node_restored:
    case node_in_silence: return put_back(any_node(), fault);
    case all_put_back: return put_all_back();
    case machine_cloned: return clone(any_node());
    case node_commit_failed:
    case node_commit_unsure: {
      NodeHost& node = any_node();
      if (!node.up()) return;
      world_.injected(fault);
      if (fault == node_commit_failed) node.raw().fail_next_commit(ErrorCode::io_failed);
      else node.raw().fail_next_commit_unsure(ErrorCode::io_failed);
      return;
    }
    case witness_killed:
    case witness_lost:
    case witness_lies: return disturb_witness(fault);
    case commit_failed:
    case commit_unsure:
    case value_flipped: return damage(any_broker(), fault);
    case body_flipped:
      for (auto& broker : brokers_)
        if (broker->bodies().used_bytes() && checker_->in_force(*broker) && random.chance(600)) return damage(*broker, fault);
      return;
    case store_full: {
      Host& host = any_host();
      world_.injected(fault);
      const uint64_t room = random.below(20000);
      world_.trace(host.name(), "-- store is nearly full");
      host.log().expect("body.not_reserved");
      auto set = [&host](uint64_t rows, uint64_t bodies) {
        host.raw().set_capacity_bytes(rows);
        if (auto* broker = dynamic_cast<BrokerHost*>(&host)) broker->set_capacity_bytes(rows);
        host.bodies().set_capacity_bytes(bodies);
      };
      set(host.raw().used_bytes() + room, host.bodies().used_bytes() + room);
      return later(a_while(), [set] { set(UINT64_MAX, UINT64_MAX); });
    }
    case slow_disk: {
      Host& host = any_host();
      world_.injected(fault);
      world_.trace(host.name(), "-- slow disk");
      host.slow_disk(random.chance(500) ? seconds(10) : milliseconds(800));
      return later(a_while(), [&host] { host.slow_disk({}); });
    }
    case frame_delayed:
    case partition:
    case partition_of_two:
    case one_way:
    case flapping:
    case swizzle:
    case slow_link:
    case cut:
    case half_open: return disturb_links(fault);
    case skew:
    case jump_hour:
    case jump_month:
    case stopped_clock: return disturb_clock(fault);
    case chunk_spam: return nodes_[hostile_node_]->spam(1 + random.below(30));
    case no_answer:
    case forged_answer:
    case altered_body:
    case withheld:
    case hidden:
    case reordered:
    case replayed:
    case false_custody:
    case directory_frozen:
    case log_forked: return turn_hostile(fault);
    case agency_joins:
    case agency_suspended:
    case broker_added:
    case broker_retired:
    case policy_changed: return operate(fault);
    case agencies_merged:
    case agency_split: return close_agency(fault);
    case keys_renewed: return renew_keys();
    case directory_split: return split_directory();
    case directory_rolled_back: return roll_back_directory(*brokers_[hostile_broker_]);
    default: return;  // happens at a rate: a frame, a step, a job
  }
}

// ---- stores ------------------------------------------------------------------------------------------------------

/// The broker's disk is put back to an earlier state.
void Simulation::put_back(BrokerHost& broker, Fault fault) {
  if (!broker.installed() || broker.damaged()) return;
  const bool told = fault == Fault::old_backup;
  auto image = std::make_shared<Image>(fault == Fault::commits_lost || !backups_.contains(&broker) ? broker.image() : backups_.at(&broker));
  const Duration delay = fault == Fault::commits_lost ? world_.random.within(milliseconds(50), seconds(5)) : world_.random.within(seconds(1), seconds(30));
  later(delay, [this, &broker, image, fault, told] {
    if (!broker.up()) return;
    world_.injected(fault);
    world_.stay_awake(seconds(8));
    if (!told) checker_->expect_false_custody(broker, broker.epoch());
    if (fault == Fault::commits_lost) broker.lose_commits(*image);
    else broker.restore(*image, told);
    // The image may be of an earlier life, whose epoch is back now.
    if (!told) checker_->expect_false_custody(broker, broker.stored_epoch());
  });
}

/// A node is put back to its last backup, of which the others may have been told (R21, R22); in silence only where its
/// witnesses have seen more than the backup holds (R23).
void Simulation::put_back(NodeHost& host, Fault fault) {
  auto backup = node_backups_.find(&host);
  if (backup == node_backups_.end() || !host.installed()) return;
  const NodeHost::Image& image = *backup->second;
  const bool in_silence = fault == Fault::node_in_silence;
  if (in_silence) {
    if (!host.up() || host.node().recovery() != proto::Recovery::none) return;
    const auto& log = host.own_log();
    const bool seen = host.log_generation() > image.log_generation || log.checkpoint_size() > image.log_size;
    if (!seen || !log.signs() || log.cosigners() < checker_->in_force()) return;
    host.log().expect("node.fenced");  // a copy from before an earlier recovery
  }
  world_.injected(fault);
  checker_->node_will_be_restored(host);
  if (in_silence) host.restore_in_silence(image);
  else host.restore(image);
  checker_->node_was_restored(host);
}

/// All brokers and a node are put back at once: of the node's log only an independent witness remembers more (decision 22).
void Simulation::put_all_back() {
  auto& apart = dice(Fault::all_put_back);
  NodeHost& host = *nodes_[apart.below(nodes_.size())];
  const auto backup = node_backups_.find(&host);
  if (backup == node_backups_.end() || !host.up() || host.node().recovery() != proto::Recovery::none) return;
  const NodeHost::Image& image = *backup->second;
  WitnessHost& witness = *witnesses_[0];
  if (!witness.up() || witness.tamper || !witness.holds_more(host.party().id, image.log_generation, image.log_size)) return;
  for (auto& broker : brokers_)
    if (checker_->in_force(*broker) && (!backups_.contains(broker.get()) || broker->damaged() || broker->tamper || broker->hides || broker->lies)) return;
  world_.injected(Fault::all_put_back);
  world_.stay_awake(minutes(2));
  world_.trace("**", "all brokers and " + host.name() + " are put back");
  const bool told = apart.chance(500);
  for (auto& broker : brokers_) {
    if (!checker_->in_force(*broker)) continue;
    if (!told && broker->up()) checker_->expect_false_custody(*broker, broker->epoch());
    broker->restore(backups_.at(broker.get()), told);
    if (!told) checker_->expect_false_custody(*broker, broker->stored_epoch());
  }
  checker_->node_will_be_restored(host);
  host.log().expect("node.fenced");
  if (apart.chance(500)) host.restore(image);
  else host.restore_in_silence(image);
  checker_->node_was_restored(host);
}

/// The machine was cloned, as by a snapshot that somebody started: both run. On the one that shall go on `recover` was
/// said; the other one must come to a stop by itself (R13), and is found and switched off some time later.
void Simulation::clone(NodeHost& host) {
  if (!host.up() || host.node().recovery() != proto::Recovery::none || host.seals()) return;
  world_.injected(Fault::machine_cloned);
  world_.stay_awake(minutes(1));
  world_.trace(host.name(), "-- cloned");
  host.recover();
  checker_->cloned(host);
  copies_.push_back(std::make_unique<NodeHost>(world_, network_, host_faults_, *realm_, host.party(), checker_->of_copies(), world_.random.next()));
  NodeHost& copy = *copies_.back();
  for (auto& broker : brokers_) copy.connect_to(*broker);
  const auto image = host.image();
  copy.raw().restore(image.store);
  copy.bodies().restore(image.bodies);
  host.log().expect("node.fenced");
  copy.log().expect("node.fenced");
  if (plan_.has(Fault::directory_split)) expect_two_directories(copy);
  start_copy(copy, host);
}

/// When the other one has recovered: before, two of equal right would speak, and what they sign convicts them.
void Simulation::start_copy(NodeHost& copy, NodeHost& host) {
  later(world_.random.within(milliseconds(500), seconds(60)), [this, &copy, &host] {
    if (!host.up() || host.node().recovery() != proto::Recovery::none) return start_copy(copy, host);
    world_.trace(copy.name(), "-- its copy starts");
    copy.return_after({});
    later(a_while(), [this, &copy] {
      if (copy.fenced()) world_.count("rare: a copy was fenced");
      copy.crash(false);
    });
  });
}

void Simulation::disturb_witness(Fault fault) {
  auto& random = world_.random;
  WitnessHost& witness = *witnesses_[0];
  if (!witness.up()) return;
  if (fault == Fault::witness_lost) {
    world_.injected(fault);
    return witness.lose_disk();
  }
  if (fault == Fault::witness_killed) {
    world_.injected(fault);
    witness.crash(random.chance(500));
    return witness.return_after(a_while());
  }
  if (witness.tamper) return;
  world_.trace(witness.name(), "-- lies");
  auto old = std::make_shared<std::vector<Bytes>>();
  witness.tamper = [this, old](audit::Watcher::Send& send) {
    auto* put = std::get_if<proto::CosignaturePut>(&send.frame.body);
    if (!put) return true;
    auto& chance = world_.random;
    world_.injected(Fault::witness_lies);
    if (old->size() < 100) old->push_back(put->note);
    switch (chance.below(3)) {
      case 0: return false;
      case 1: put->note = (*old)[chance.below(old->size())]; break;
      default: put->note[chance.below(put->note.size())] ^= 1;
    }
    return true;
  };
  later(a_while(), [&witness] {
    witness.tamper = nullptr;
    if (witness.up()) witness.crash_and_return(false);
  });
}

void Simulation::damage(BrokerHost& broker, Fault fault) {
  if (!broker.up() || broker.damaged()) return;
  switch (fault) {
    case Fault::commit_failed: broker.raw().fail_next_commit(ErrorCode::io_failed); break;
    case Fault::commit_unsure: broker.raw().fail_next_commit_unsure(ErrorCode::io_failed); break;
    case Fault::value_flipped:
      if (!broker.flip_value()) return;
      break;
    default:
      if (!broker.flip_body()) return;
  }
  world_.injected(fault);
  for (auto& node : nodes_) node->log().expect("broker.lost_envelope");
  // What nobody happened to read an operator finds; every other body is left to the scrub.
  if (broker.damaged() && (fault != Fault::body_flipped || world_.random.chance(500))) later(a_while(), [&broker] {
    if (broker.damaged()) broker.repair();
  });
}

// ---- links and clocks --------------------------------------------------------------------------------------------

void Simulation::disturb_links(Fault fault) {
  auto& random = world_.random;
  using enum Fault;
  Host& one = any_host();
  const Host* other = fault == partition_of_two ? &any_broker() : nullptr;
  if (other == &one) return;
  world_.injected(fault);
  world_.trace("**", std::string(name_of(fault)) + ": " + one.name() + (other ? " and " + other->name() : ""));
  auto free = [this, &one, other] { block(one, other, false, false); };
  switch (fault) {
    case partition:
    case partition_of_two:
      block(one, other, true, true);
      return later(a_while(), free);
    case one_way: {
      const bool out = random.chance(500);
      block(one, nullptr, out, !out);
      return later(a_while(), free);
    }
    case flapping: {
      Duration at;
      for (uint64_t i = 0, n = 3 + random.below(8); i < n; ++i) {
        later(at, [this, &one] { block(one, nullptr, true, true); });
        at = at + random.within(milliseconds(200), seconds(8));
        later(at, free);
        at = at + random.within(milliseconds(200), seconds(8));
      }
      return;
    }
    case swizzle: {
      // One after the other is clogged, and set free in another order.
      std::vector<Host*> hosts;
      for (auto& node : nodes_) hosts.push_back(node.get());
      for (auto& broker : brokers_) hosts.push_back(broker.get());
      Duration clog, free_at = seconds(30);
      for (Host* host : hosts) {
        if (random.chance(400)) continue;
        clog = clog + random.within({}, seconds(3));
        later(clog, [this, host] { block(*host, nullptr, true, true); });
        later(free_at + random.within({}, seconds(30)), [this, host] { block(*host, nullptr, false, false); });
      }
      return;
    }
    case slow_link:
      each_wire(one, nullptr, [](Wire& wire, bool) { wire.slow(8000); });
      return later(a_while(), [this, &one] { each_wire(one, nullptr, [](Wire& wire, bool) { wire.slow(0); }); });
    case half_open: {
      const Duration while_ = random.within(seconds(10), minutes(10));
      return each_wire(one, nullptr, [&](Wire& wire, bool) { wire.half_open(while_); });
    }
    case frame_delayed: {
      const Duration by = random.within(minutes(1), hours(1));
      return each_wire(one, nullptr, [&](Wire& wire, bool) { wire.hold_up(by); });
    }
    default: return each_wire(one, nullptr, [](Wire& wire, bool) { wire.cut(); });
  }
}

void Simulation::disturb_clock(Fault fault) {
  auto& random = world_.random;
  // What brokers 30 days ahead dropped as too old waits for its sender to issue it anew, longer than a calm lasts.
  const bool far_off = fault == Fault::jump_month && plan_.ends_in_calm;
  Host& host = far_off ? static_cast<Host&>(any_node()) : any_host();
  world_.injected(fault);
  if (fault == Fault::stopped_clock) {
    world_.trace(host.name(), "-- clock stands still");
    host.stop_clock();
    return later(a_while(), [&host] { host.set_skew({}); });
  }
  const Duration by = fault == Fault::skew        ? Duration{random.between(-minutes(10).ms, minutes(10).ms)}
                      : fault == Fault::jump_hour ? hours(random.chance(500) ? 1 : -1)
                                                  : days(random.chance(500) ? 30 : -30);
  if (fault == Fault::jump_month)
    for (auto& node : nodes_) node->log().expect("broker.lost_envelope");  // too old by that clock
  world_.trace(host.name(), "-- clock is off by " + std::to_string(by.ms) + " ms");
  host.set_skew(by);
  // A skew may stay to the end; what a person sees at a glance is put right.
  if (fault != Fault::skew) later(a_while(), [&host] { host.set_skew({}); });
}

// ---- Byzantine parties -------------------------------------------------------------------------------------------

void Simulation::turn_hostile(Fault fault) {
  using enum Fault;
  if (fault == no_answer || fault == forged_answer || fault == altered_body) {
    NodeHost& node = *nodes_[hostile_node_];
    if (node.tamper) return;
    world_.trace(node.name(), "-- " + std::string(name_of(fault)));
    if (fault == altered_body) checker_->excuse(node);
    node.tamper = [this, fault](node::Send& send) {
      if (auto* put = std::get_if<proto::Put>(&send.frame.body); put && fault == altered_body && !put->inline_chunk.empty()) {
        world_.injected(fault);
        put->inline_chunk[world_.random.below(put->inline_chunk.size())] ^= 1;
      }
      auto* answers = std::get_if<proto::AckPut>(&send.frame.body);
      if (!answers || fault == altered_body) return true;
      world_.injected(fault);
      if (fault == no_answer) return false;
      for (auto& item : answers->items) item.statement[world_.random.below(item.statement.size())] ^= 1;
      return true;
    };
    return later(a_while(), [&node] {
      node.tamper = nullptr;
      if (node.up()) node.crash_and_return(false);  // an honest one takes its place, with the same store
    });
  }
  BrokerHost& broker = *brokers_[hostile_broker_];
  if (fault == hidden) return hide(broker, any_node().party().id);
  if (fault == log_forked && witnesses_.empty()) return;
  if (broker.tamper || broker.lies || !broker.up()) return;
  world_.trace(broker.name(), "-- " + std::string(name_of(fault)));
  if (fault == false_custody) {
    broker.lies = [this, &broker] {
      world_.injected(Fault::false_custody);
      checker_->expect_false_custody(broker, broker.epoch());
    };
    return later(a_while(), [&broker] { broker.lies = nullptr; });
  }
  auto old = std::make_shared<std::vector<broker::Send>>();
  broker.tamper = [this, host = &broker, fault, old](std::vector<broker::Send>& sends) {
    auto& chance = world_.random;
    if (fault == withheld || fault == directory_frozen)
      std::erase_if(sends, [&](const broker::Send& send) {
        const bool mail = std::holds_alternative<proto::Announce>(send.frame.body) || std::holds_alternative<proto::Content>(send.frame.body);
        const bool entries = std::holds_alternative<proto::DirectoryEntries>(send.frame.body);
        if (!(fault == withheld ? mail && chance.chance(700) : entries)) return false;
        world_.injected(fault);
        return true;
      });
    if (fault == log_forked)
      for (auto& send : sends)
        if (auto* page = std::get_if<proto::CheckpointPage>(&send.frame.body)) fork_log(*host, *page);
    if (fault == reordered && sends.size() > 1) {
      world_.injected(fault);
      for (size_t i = sends.size() - 1; i > 0; --i) std::swap(sends[i], sends[chance.below(i + 1)]);
    }
    if (fault != replayed) return;
    const size_t now = sends.size();
    for (size_t i = 0; i < now; ++i)
      if (old->size() < 200) old->push_back(sends[i]);
    for (size_t i = 0; i < now && !old->empty(); ++i) {
      if (!chance.chance(300)) continue;
      world_.injected(fault);
      sends.push_back((*old)[chance.below(old->size())]);
    }
  };
  later(a_while(), [&broker] {
    broker.tamper = nullptr;
    if (broker.up()) broker.crash_and_return(false);  // an honest one takes its place, with the same store
  });
}

/// To those who compare logs it shows another one of the same size as its own.
void Simulation::fork_log(BrokerHost& broker, proto::CheckpointPage& page) {
  for (Bytes& note : page.notes) {
    auto shown = crypto::decode_signed_checkpoint(note).value().checkpoint;
    if (shown.origin.party != broker.party().id || !world_.random.chance(700)) continue;
    world_.injected(Fault::log_forked);
    shown.root.bytes[0] ^= 1;
    note = crypto::encode_note(crypto::sign_checkpoint(shown, *broker.party().keys.log));
    forged_.insert(note);
    checker_->forks_its_log(broker);
    for (auto& witness : witnesses_) witness->log().expect("evidence.was_found");
  }
}

/// For hours, beside whatever else it does: what is hidden for minutes hides nothing.
void Simulation::hide(BrokerHost& broker, const PartyId& victim) {
  if (broker.hides || !broker.up()) return;
  world_.trace(broker.name(), "-- " + std::string(name_of(Fault::hidden)));
  broker.hides = [this, &broker, victim](const broker::Send& send) {
    const auto& body = send.frame.body;
    const bool theirs = std::holds_alternative<proto::Announce>(body) || std::holds_alternative<proto::Content>(body) ||
                        std::holds_alternative<proto::MailDeliver>(body);
    if (!theirs || broker.peer_of(send.session) != victim) return false;
    world_.injected(Fault::hidden);
    return true;
  };
  later(world_.random.within(hours(2), hours(30)), [&broker] {
    broker.hides = nullptr;
    if (broker.up()) broker.crash_and_return(false);
  });
}

/// The officers decide something, and this broker shows everybody the directory of before, with the cosigned views of then.
void Simulation::roll_back_directory(BrokerHost& broker) {
  if (broker.tamper || broker.lies || !broker.up() || !checker_->in_force(broker)) return;
  const uint64_t old = realm_->entries().size();
  decide({{world_.now(), realm_->policy()}});
  world_.trace(broker.name(), "-- " + std::string(name_of(Fault::directory_rolled_back)));
  broker.tamper = [this, old](std::vector<broker::Send>& sends) {
    for (auto& send : sends) {
      if (auto* hello = std::get_if<proto::HelloReply>(&send.frame.body); hello && hello->directory_size > old) {
        world_.injected(Fault::directory_rolled_back);
        hello->directory_size = old;
      }
      auto* entries = std::get_if<proto::DirectoryEntries>(&send.frame.body);
      if (!entries || entries->size <= old) continue;
      world_.injected(Fault::directory_rolled_back);
      entries->size = old;
      entries->entries.resize(std::min<size_t>(entries->entries.size(), old - std::min(old, entries->from)));
      std::erase_if(entries->views, [&](const Bytes& note) {
        return crypto::decode_checkpoint_text(crypto::decode_note(note).value().text).value().size > old;
      });
    }
  };
  later(a_while(), [&broker] {
    broker.tamper = nullptr;
    if (broker.up()) broker.crash_and_return(false);
  });
}

/// A sender with broken memory, or a bad one: the key it wraps, the key it wraps to, the place in the channel is wrong.
void Simulation::spoil(NodeHost& node, node::Job& job) {
  auto* wrap = std::get_if<node::WrapJob>(&job);
  if (!wrap || calm_) return;
  auto& random = world_.random;
  for (auto& run : wrap->runs) {
    if (plan_.has(Fault::wrong_recipient_key) && random.chance(50)) {
      world_.injected(Fault::wrong_recipient_key);
      run.kx = crypto::make_kx_pair(random).public_key;
      continue;
    }
    if (plan_.has(Fault::sequence_reused) && &node == nodes_[hostile_node_].get() && run.first_seq > 1 && random.chance(300)) {
      world_.injected(Fault::sequence_reused);
      checker_->excuse(node);
      --run.first_seq;
      continue;
    }
    if (!plan_.has(Fault::wrong_key)) continue;
    for (auto& target : run.targets)
      if (random.chance(60)) {
        world_.injected(Fault::wrong_key);
        target.document_key = crypto::make_secret(random);
        checker_->expect_rejected(target.uuid, run.recipient);
      }
  }
}

// ---- all at once ------------------------------------------------------------------------------------------------

/// Everything is off for days, as after a flood; then it starts again.
void Simulation::switch_all_off() {
  world_.trace("**", "everything is off");
  world_.injected(Fault::all_off);
  const Duration off = world_.random.within(hours(10), hours(60));
  auto each = [&](Host& host) {
    host.crash(true);
    host.return_after(off + world_.random.within({}, seconds(30)));
  };
  for (auto& node : nodes_) each(*node);
  for (auto& witness : witnesses_) each(*witness);
  for (auto& broker : brokers_)
    if (checker_->in_force(*broker)) each(*broker);
}

void Simulation::all_up() {
  host_faults_ = {};
  network_.delay_max = milliseconds(15);
  network_.repeat_per_mille = network_.lose_per_100000 = network_.swap_per_mille = network_.corrupt_per_100000 = 0;
  auto each = [&](Host& host) {
    host.set_skew({});
    host.slow_disk({});
    host.raw().set_capacity_bytes(UINT64_MAX);
    host.bodies().set_capacity_bytes(UINT64_MAX);
    each_wire(host, nullptr, [](Wire& wire, bool) { wire.hurry(); });
    block(host, nullptr, false, false);
  };
  for (auto& node : nodes_) {
    each(*node);
    if (node->tamper && node->up()) node->crash(false);
    node->spoil = nullptr;
    if (node->fenced()) node->recover();
    node->tamper = nullptr;
    node->return_after(seconds(1));
  }
  for (auto& copy : copies_) copy->crash(false);
  for (auto& witness : witnesses_) {
    each(*witness);
    if (witness->tamper && witness->up()) witness->crash(false);
    witness->tamper = nullptr;
    witness->return_after(seconds(1));
  }
  for (auto& broker : brokers_) {
    each(*broker);
    broker->set_capacity_bytes(UINT64_MAX);
    if (!checker_->in_force(*broker)) continue;
    if ((broker->tamper || broker->hides) && broker->up()) broker->crash(false);
    broker->tamper = nullptr;
    broker->hides = nullptr;
    broker->lies = nullptr;
    if (broker->damaged()) broker->repair();
    else broker->return_after(seconds(1));
  }
}

}  // namespace tram::sim
