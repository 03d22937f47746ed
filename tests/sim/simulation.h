// One seed: a realm, its daemons, its clerks, a week of faults; half of the seeds end in calm, in which everything must
// come to its end. The week is quiet but for bursts of documents, and most faults fall into these.
// Thread: one.
#pragma once
#include "tests/sim/checker.h"
#include "tests/sim/witness_host.h"

namespace tram::sim {

/// A while in which clerks hand in documents.
struct Burst {
  Time from, until;
};

/// Faults of a seed: each kind is on in some seeds only, so that they meet in all combinations.
struct FaultPlan {
  std::array<bool, fault_count> on{};
  bool has(Fault fault) const { return on[static_cast<size_t>(fault)]; }
  bool ends_in_calm = true;
  bool short_life = false, slow_links = false, slow_jobs = false;
  size_t faults = 0;
  std::vector<Burst> bursts;
};

struct Options {
  uint64_t seed = 0;
  bool print = false;
  std::optional<Fault> only;  // no other kind, and this one in every seed
};

struct Outcome {
  bool passed = false;
  std::string failure;
  uint64_t trace_hash = 0;
  Duration delivered;        // of the calm: until documents and receipts were final
  Duration under_way;        // of it, with something on its way, not only clerks at work one act after the other
  Duration drained{-1};      // and until every witness had signed every log besides
  Duration lasted;           // virtual time of the whole run
  World::Census census{};
  std::map<std::string, uint64_t> counts;
};

class Simulation {
 public:
  explicit Simulation(const Options&);
  Outcome run();

 private:
  using Image = MemStore::Image;
  void plan_faults(const Options&);
  void plan_apart(const Options&);
  void plan_week();
  void plan_documents();
  void build();
  void schedule();
  void scan();
  void back_up(NodeHost&);
  void inject_one();
  void inject(Fault);
  void put_back(BrokerHost&, Fault);
  void put_back(NodeHost&, Fault);
  void put_all_back();
  void schedule_apart();
  void clone(NodeHost&);
  void start_copy(NodeHost& copy, NodeHost& host);
  void disturb_witness(Fault);
  void damage(BrokerHost&, Fault);
  void disturb_clock(Fault);
  void disturb_links(Fault);
  void turn_hostile(Fault);
  void hide(BrokerHost&, const PartyId& victim);
  void fork_log(BrokerHost&, proto::CheckpointPage&);
  void operate(Fault);
  std::vector<NodeHost*> open_nodes();
  void close_agency(Fault);
  void renew_keys();
  void split_directory();
  static void expect_two_directories(Host&);
  void accept_new_keys(NodeHost&);
  void roll_back_directory(BrokerHost&);
  SimRandom& dice(Fault fault) { return apart_[static_cast<size_t>(fault) - drawn_apart_from]; }
  void switch_all_off();
  void calm(Outcome&);
  void all_up();
  bool watched(const NodeHost&);
  /// The officers decide, and what they decided reaches the brokers.
  void decide(std::vector<proto::Change> changes) { decide(std::move(changes), any_broker()); }
  void decide(std::vector<proto::Change>, BrokerHost& at);
  std::vector<Bytes> decided() const;
  void publish(BrokerHost&, std::vector<Bytes> entries);
  void reinstate(NodeHost&);
  Duration a_while();
  NodeHost& any_node() { return *nodes_[world_.random.below(nodes_.size())]; }
  /// Of those in force.
  BrokerHost& any_broker();
  Host& any_host();
  void block(Host& one, const Host* other, bool out, bool in);
  template <class Each>
  void each_wire(const Host& one, const Host* other, Each&&);
  void spoil(NodeHost&, node::Job&);
  /// Runs while the faults last.
  void later(Duration delay, std::function<void()> what);

  World world_;
  Network network_;
  HostFaults host_faults_;
  uint64_t step_crashes_ = 0;  // of 100,000 steps, while documents move
  FaultPlan plan_;
  std::unique_ptr<Realm> realm_;
  std::unique_ptr<Checker> checker_;
  std::vector<std::unique_ptr<BrokerHost>> brokers_;
  std::vector<std::unique_ptr<NodeHost>> nodes_;
  std::vector<std::unique_ptr<WitnessHost>> witnesses_;
  std::vector<std::unique_ptr<NodeHost>> copies_;  // of machines that were cloned
  std::vector<std::unique_ptr<Clerk>> clerks_;
  std::vector<PlannedDocument> documents_;
  ClerkHabits habits_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<SimRandom> apart_;  // the dice of each kind that is drawn apart
  std::map<const Host*, Image> backups_;
  std::map<const Host*, std::shared_ptr<NodeHost::Image>> node_backups_;
  size_t hostile_broker_ = 0, hostile_node_ = 0;  // one of each is enough for a seed
  std::set<Bytes> forged_;                       // checkpoints of another log than the one that is true
  bool late_agency_ = false, late_broker_ = false, broker_retired_ = false;
  std::vector<NodeHost*> suspended_, renewing_;
  std::set<Fault> closings_;
  bool calm_ = false;
};

}  // namespace tram::sim
