// A node in the simulator: node/io/loop.cpp's turn with everything around it replaced. Same order: drain, one
// transaction, step, the acts of the clerks, settle, commit, then effects; a full store aborts and rebuilds the node.
// Thread: one.
#pragma once
#include "node/node.h"
#include "tests/sim/host.h"
#include "tests/sim/observer.h"

namespace tram::sim {

class BrokerHost;

class NodeHost final : public Host, public ClientEnd {
 public:
  NodeHost(World&, Network&, HostFaults&, const Realm&, const Party&, Observer&, uint64_t seed);
  ~NodeHost() override;

  /// `init` and `accept`: the row of the node and the directory's first entries.
  void install();
  void connect_to(BrokerHost&);
  void boot() override;

  using Act = std::function<Result<void>(node::Node&, WriteTxn&, Time, node::Effects&)>;
  /// An act of the local API in the next step's transaction. `done` hears of the outcome after the commit; it hears
  /// nothing when the process dies first.
  void act(Act act, std::function<void(const Result<void>&)> done);
  const directory::Directory& directory() const { return *directory_; }
  const audit::OwnLog& own_log() const { return node_->own_log(); }
  std::vector<std::unique_ptr<Wire>>& wires() { return wires_; }

  /// Changes jobs on their way to the workers: a sender with broken memory.
  std::function<void(node::Job&)> spoil;

  bool runs() const override { return up_; }
  void link_up(Wire&) override;
  void link_down(Wire&) override;
  void receive(Wire&, Bytes frame, Bytes chunk) override;

 private:
  struct PendingAct {
    Act act;
    std::function<void(const Result<void>&)> done;
    Result<void> outcome;
  };
  struct Queues {
    std::deque<node::Send> control, bulk;
  };
  void forget() override;
  void step() override;
  Result<void> rebuild();
  /// False when the process died on the way.
  bool let_out(node::Effects&, CrashPoint);
  void start_job(std::shared_ptr<node::Job>);
  void flush();
  bool send_now(Wire&, node::Send&);
  Wire* wire(const PartyId& broker, proto::Endpoint);

  Observer& observer_;
  node::Keys keys_;
  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<audit::Log> audit_;
  std::unique_ptr<node::Node> node_;
  std::vector<std::unique_ptr<Wire>> wires_;
  std::map<PartyId, Queues> queues_;
  std::deque<node::Event> inbox_;
  std::deque<PendingAct> acts_;
  Time paused_until_;  // after a full store the loop waits
};

}  // namespace tram::sim
