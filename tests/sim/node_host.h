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

  struct Image {
    MemStore::Image store;
    std::map<std::string, Bytes> bodies;
    uint32_t rinc = 0, log_generation = 0;
    uint64_t log_size = 0;
  };
  /// A backup as of now; restore() puts it in the place of everything (`tram-node backup`, `restore`).
  Image image();
  void restore(const Image&);
  /// The same, and nobody says so (R23).
  void restore_in_silence(const Image&);
  /// `accept` of an approval of new keys, on a node that is down: the directory as it is, then the keys.
  void take_new_keys();
  /// `recover`: the store is read back, and what may have been lost is asked for anew (R2, R13).
  void recover();
  /// Every position of the image: what BACKED_UP may say of it.
  node::BackupMarks marks(const Image&);
  node::Node& node() { return *node_; }
  bool installed() const { return store_.used_bytes() > 0; }
  /// A document is being sealed: a copy made now would give it another id.
  bool seals();

  using Act = std::function<Result<void>(node::Node&, WriteTxn&, Time, node::Effects&)>;
  /// An act of the local API in the next step's transaction. `done` hears of the outcome after the commit; it hears
  /// nothing when the process dies first.
  void act(Act act, std::function<void(const Result<void>&)> done);
  const directory::Directory& directory() const { return *directory_; }
  const audit::OwnLog& own_log() const { return node_->own_log(); }
  uint32_t log_generation() const { return audit_->generation(); }
  bool fenced() const { return node_ && node_->fenced(); }
  std::vector<std::unique_ptr<Wire>>& wires() { return wires_; }

  /// Byzantine, or broken memory: changes jobs on their way to the workers, and frames on their way out; a frame for which
  /// it says false stays here.
  std::function<void(node::Job&)> spoil;
  std::function<bool(node::Send&)> tamper;
  /// Chunks that nobody announced, to all brokers.
  void spam(size_t chunks);

  bool runs() const override { return up_; }
  const CurvePublic* curve_key() const override { return &curve_; }
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
  void mark_recovering();
  void stop_on(const Error&);
  void connect_brokers(Time at);
  /// False when the process died on the way.
  bool let_out(node::Effects&, Time at, CrashPoint);
  void start_job(std::shared_ptr<node::Job>);
  void flush();
  bool send_now(Wire&, node::Send&);
  Wire* wire(const PartyId& broker, proto::Endpoint);

  Observer& observer_;
  node::Keys keys_;
  CurvePublic curve_;
  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<audit::Log> audit_;
  std::unique_ptr<node::Node> node_;
  std::vector<std::unique_ptr<Wire>> wires_;
  std::map<PartyId, Queues> queues_;
  std::deque<node::Event> inbox_;
  std::deque<PendingAct> acts_;
  bool in_doubt_ = false;  // exit 74: no start before `recover`
};

}  // namespace tram::sim
