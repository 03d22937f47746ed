// An independent witness in the simulator: what tram-witness does around audit::Watcher. Its store is a convenience: what
// it lost it reads again from the brokers.
// Thread: one.
#pragma once
#include "audit/watcher.h"
#include "tests/sim/broker_host.h"

namespace tram::sim {

class WitnessHost final : public Host, public ClientEnd {
 public:
  WitnessHost(World&, Network&, HostFaults&, const Realm&, const Party&, uint64_t seed);

  /// `accept` on an empty store.
  void install();
  void connect_to(BrokerHost&);
  void boot() override;
  /// The disk is gone; an operator installs the witness anew.
  void lose_disk();
  /// Byzantine: what it does to the frames that it sends; one for which it says false stays here.
  std::function<bool(audit::Watcher::Send&)> tamper;
  /// A checkpoint that contradicts the log which it names.
  std::function<bool(const Bytes& note)> is_forged;
  std::vector<std::unique_ptr<Wire>>& wires() { return wires_; }
  /// Size of a log's newest checkpoint that it knows.
  uint64_t holds(const PartyId&);
  /// Whether it knows a newer checkpoint than a log of this generation and size can have.
  bool holds_more(const PartyId&, uint32_t generation, uint64_t size);

  bool runs() const override { return up_; }
  void link_up(Wire&) override;
  void link_down(Wire&) override;
  void receive(Wire&, Bytes frame, Bytes chunk) override;


 private:
  void forget() override;
  void step() override;
  void connect_brokers();
  std::set<PartyId> to_be_convicted(std::span<const audit::Watcher::Event>);

  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<audit::Watcher> watcher_;
  std::vector<std::unique_ptr<Wire>> wires_;
  std::deque<audit::Watcher::Event> inbox_;
};

}  // namespace tram::sim
