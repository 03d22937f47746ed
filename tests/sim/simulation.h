// One seed: a realm, its daemons, its clerks, a while of faults, then calm in which everything must come to its end.
// Thread: one.
#pragma once
#include "tests/sim/checker.h"

namespace tram::sim {

/// Faults of a seed: each kind is on in some seeds only, so that they meet in all combinations.
struct FaultPlan {
  bool partitions = false, crashes = false, step_crashes = false, disk_loss = false, restores = false, silent_restores = false;
  bool full_stores = false, skew = false, slow_links = false, repeats = false, slow_jobs = false, broken_wraps = false;
  bool node_restores = false, long_absence = false, long_night = false, late_agency = false, short_life = false;
  Duration lasts = minutes(2);
};

struct Outcome {
  bool passed = false;
  std::string failure;
  uint64_t trace_hash = 0;
  std::map<std::string, uint64_t> counts;
};

class Simulation {
 public:
  Simulation(uint64_t seed, bool print);
  Outcome run();

 private:
  void plan_faults();
  void plan_documents();
  void build();
  void inject();
  void inject_one();
  void backup_and_restore(NodeHost&);
  void long_absence();
  void long_night();
  void calm();
  void all_up();
  NodeHost& any_node() { return *nodes_[world_.random.below(nodes_.size())]; }
  BrokerHost& any_broker() { return *brokers_[world_.random.below(brokers_.size())]; }
  Host& any_host();
  void block(Host& one, const Host* other, bool blocked);
  void spoil(node::Job&);

  World world_;
  Network network_;
  HostFaults host_faults_;
  FaultPlan plan_;
  std::unique_ptr<Realm> realm_;
  std::unique_ptr<Checker> checker_;
  std::vector<std::unique_ptr<BrokerHost>> brokers_;
  std::vector<std::unique_ptr<NodeHost>> nodes_;
  std::vector<std::unique_ptr<Clerk>> clerks_;
  std::vector<PlannedDocument> documents_;
  ClerkHabits habits_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::map<PartyId, std::map<std::string, std::map<Bytes, Bytes>>> images_;
  bool calm_ = false;
};

}  // namespace tram::sim
