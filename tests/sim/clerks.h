// What people do: documents that are sent, and the clerk of each agency, who submits, registers, refuses, reports
// progress, recalls and answers recalls. A clerk knows only what the node's store says and what is planned: after any
// crash the next turn does what is still missing, and nothing twice.
// Thread: one.
#pragma once
#include "tests/sim/node_host.h"

namespace tram::sim {

struct PlannedDocument {
  DocUuid uuid;
  size_t sender = 0;
  std::vector<size_t> recipients;  // agencies; with `group`, what "all" means
  bool group = false;
  bool urgent = false;
  uint64_t file_bytes = 0;
  Time at;
  std::optional<Time> recall_at;
  bool submitted = false;
  bool withdrawn = false;          // its sender closed before, or all its recipients and those who follow them
  bool recalled = false;           // the recall is in the store, or there was nobody to recall it from
  std::string subject() const { return "Van ban " + brief(uuid); }
  Bytes content() const;
};

struct ClerkHabits {
  uint64_t refuse_per_mille = 120;
  uint64_t late_per_mille = 150;     // left lying until the calm
  bool may_refuse_recall = false;
  bool may_be_suspended = false;     // an agency of the realm
  bool groups_vary = false;          // who is of "all" depends on when one asks
  Duration looks_every = seconds(15);
  Duration turn_min = milliseconds(700), turn_max = seconds(4);
};

class Clerk {
 public:
  Clerk(World&, NodeHost&, size_t self, const Realm&, std::vector<PlannedDocument>&, const ClerkHabits&);
  void start();
  /// From now on nothing is left lying.
  void hurry() {
    hurry_ = true;
    look_again_ = {};
    busy_until_ = std::min(busy_until_, world_.now() + seconds(2));  // whose node died waits for nobody
    ++rounds_;
    start();
  }
  /// Whether something is still to be done here.
  bool idle();

 private:
  /// The next thing to do, if there is one.
  struct Task {
    std::string what;
    NodeHost::Act act;
    std::function<void()> when_closed;  // what a clerk does who hears that an agency has closed
  };
  std::optional<Task> next();
  std::optional<Task> sending(ReadTxn&);
  std::optional<Task> receiving(ReadTxn&);
  Task submit(PlannedDocument&);
  void readdress(PlannedDocument&);
  void turn();
  uint64_t dice(const DocId&, uint64_t salt) const;

  World& world_;
  NodeHost& host_;
  size_t self_;
  const Realm& realm_;
  std::vector<PlannedDocument>& documents_;
  const ClerkHabits& habits_;
  bool hurry_ = false;
  Time busy_until_;
  Time look_again_;
  uint64_t seen_ = 0;
  uint64_t act_ = 0;
  uint64_t rounds_ = 0;
};

}  // namespace tram::sim
