// A broker in the simulator: drain, one transaction, step, commit, then effects; a full store aborts and reloads; what a
// slow peer does not take waits here, and the broker is told (SessionBusy).
// Thread: one.
#pragma once
#include "broker/broker.h"
#include "tests/sim/host.h"
#include "tests/sim/observer.h"

namespace tram::sim {

class BrokerHost final : public Host, public ServerEnd, public ClientEnd {
 public:
  BrokerHost(World&, Network&, HostFaults&, const Realm&, const Party&, Observer&, uint64_t seed);
  ~BrokerHost() override;

  /// `init` and `accept` on an empty store: a new epoch.
  void install();
  void connect_to(BrokerHost& peer);
  void boot() override;
  /// How much of the directory an approval holds from now on.
  void set_approved_entries(size_t entries) { approved_entries_ = entries; }
  /// The disk is gone; an operator installs the broker anew (R7).
  void lose_disk();
  /// The store as it is now, for restore().
  MemStore::Image image() const { return store_.dump(); }
  /// The store is put back to an image; with `recover` the operator says so and a new epoch opens (R8).
  void restore(const MemStore::Image& image, bool recover);
  /// The disk loses what was committed last: the process dies, and comes back on an earlier state (a lying disk).
  void lose_commits(const MemStore::Image& image);
  /// A bit of a stored value, or of a body's file, is wrong from now on. False when there is nothing to flip.
  bool flip_value();
  bool flip_body();
  /// An operator checks the disk: `recover`, and where that finds what it cannot repair, a new store.
  void repair();
  void set_capacity_bytes(uint64_t bytes);
  const Epoch& epoch() const { return broker_->epoch(); }
  /// Of the store, while the broker is down too.
  Epoch stored_epoch();
  bool installed() const { return store_.used_bytes() > 0; }
  const directory::Directory& directory() const { return *directory_; }
  uint32_t log_generation() const { return audit_->generation(); }
  uint64_t log_size() const { return audit_->size(); }
  const audit::OwnLog& own_log() const { return broker_->own_log(); }
  std::vector<std::unique_ptr<Wire>>& peer_wires() { return peer_wires_; }
  /// Byzantine: what it does to the frames that it sends, and that it answers requests for custody without storing;
  /// called with each such answer.
  std::function<void(std::vector<broker::Send>&)> tamper;
  std::function<void()> lies;
  /// Likewise: what it keeps back of what it would send.
  std::function<bool(const broker::Send&)> hides;
  /// Whom a session is with; zero when it is gone.
  PartyId peer_of(const broker::SessionKey&) const;
  /// A wire that leads here.
  void serves(Wire& wire) { served_.push_back(&wire); }

  bool runs() const override { return up_; }
  bool admits(const PartyId& peer, const CurvePublic* key) override;
  void receive(Wire&, const broker::SessionKey&, Bytes frame, Bytes chunk) override;
  void drained(const broker::SessionKey&) override;
  void link_up(Wire&) override;
  void link_down(Wire&) override;
  void receive(Wire&, Bytes frame, Bytes chunk) override;

 private:
  void forget() override;
  void step() override;
  std::unique_ptr<broker::Broker> make_broker();
  bool recover();
  void connect_peers();
  void stop_on(const Error&);
  void expect_bodies_lost();
  void lie(const broker::SessionKey&, uint64_t request, const proto::Put&);
  bool let_out(broker::Effects&, CrashPoint);
  bool notice_restored_copy(uint64_t seen);
  void start_job(std::shared_ptr<broker::Job>);
  void flush(const broker::SessionKey&);

  Observer& observer_;
  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<audit::Log> audit_;
  std::unique_ptr<broker::Broker> broker_;
  std::vector<std::unique_ptr<Wire>> peer_wires_;
  std::vector<Wire*> served_;
  std::map<broker::SessionKey, Wire*> sessions_;
  std::map<broker::SessionKey, std::deque<broker::Send>> waiting_;
  std::set<broker::SessionKey> busy_;
  std::map<CurvePublic, PartyId> allowed_;
  std::deque<broker::Event> inbox_;
  bool body_flipped_ = false;  // what damaged_ says is about a body's file
  uint64_t capacity_bytes_ = UINT64_MAX;
  bool in_doubt_ = false;  // the store may lie: no start before `recover` has checked all of it
  size_t approved_entries_;
};

/// A publisher of the authority: hands directory entries to one broker over and over until it says Done.
class Publisher final : public ClientEnd {
 public:
  Publisher(World& world, Network& network, BrokerHost& broker, std::vector<Bytes> entries);
  bool done() const { return done_; }
  bool runs() const override { return true; }
  void link_up(Wire&) override;
  void link_down(Wire&) override {}
  void receive(Wire&, Bytes frame, Bytes chunk) override;
  void start() { wire_.start(); }

 private:
  void offer();
  World& world_;
  Wire wire_;
  std::vector<Bytes> entries_;
  bool done_ = false;
};

}  // namespace tram::sim
