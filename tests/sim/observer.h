// Who watches the daemons: called after each commit and for each frame that leaves. Implemented by the checker.
#pragma once
#include "broker/broker.h"
#include "node/node.h"

namespace tram::sim {

class NodeHost;
class BrokerHost;

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void node_committed(NodeHost&, const node::Effects&) = 0;
  /// Before it leaves; the step's transaction is committed.
  virtual void node_sends(NodeHost&, const node::Send&) = 0;
  virtual void broker_sends(BrokerHost&, const PartyId& peer, const broker::Send&) = 0;
};

}  // namespace tram::sim
