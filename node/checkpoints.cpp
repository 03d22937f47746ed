// The node's log before its witnesses, and what it remembers of the brokers' logs (R8, R23; protocol.md 4.3).
#include <algorithm>

#include "node/node.h"

namespace tram::node {

namespace {
constexpr Duration brokers_speak_within = seconds(10);
}

template <class Frame>
Result<void> Node::on_own_log(WriteTxn& txn, Time now, const PartyId& broker, const Frame& frame, Effects& effects) {
  audit::OwnLog::Sends sends;
  TRAM_OK(own_log_.on(txn, now, broker, frame, sends));
  return after_own_log(txn, now, sends, effects);
}
template Result<void> Node::on_own_log(WriteTxn&, Time, const PartyId&, const proto::CheckpointData&, Effects&);
template Result<void> Node::on_own_log(WriteTxn&, Time, const PartyId&, const proto::CheckpointReply&, Effects&);
template Result<void> Node::on_own_log(WriteTxn&, Time, const PartyId&, const proto::LeavesData&, Effects&);

Result<void> Node::ask_own_log(WriteTxn& txn, Time now, const PartyId& broker, Effects& effects) {
  audit::OwnLog::Sends sends;
  own_log_.connected(broker, now, sends);
  return after_own_log(txn, now, sends, effects);
}

Result<void> Node::tick_own_log(WriteTxn& txn, Time now, Effects& effects) {
  audit::OwnLog::Sends sends;
  TRAM_OK(own_log_.tick(txn, now, sends));
  return after_own_log(txn, now, sends, effects);
}

Result<void> Node::after_own_log(WriteTxn& txn, Time now, audit::OwnLog::Sends& sends, Effects& effects) {
  for (auto& one : sends)
    if (links_.contains(one.to)) send(one.to, proto::Endpoint::control, std::move(one.body), effects);
  fenced_ = fenced_ && own_log_.is_fenced();
  if (const auto restored = own_log_.take_restored()) {
    log_.warning("node.restored_copy_found", {{"local", restored->local_size}, {"seen", restored->seen_size}});
    if (!recovered_) {  // else `tram-node restore` said so already
      restored_since_ = now;
      arrivals_.clear();
      fetches_.clear();
    }
  }
  return restored_since_ ? recover_by_itself(txn, now, effects) : Result<void>{};
}

/// A broker's newest checkpoint as it shows it: kept, so that it cannot forget what it was (R8).
Result<void> Node::on_broker_checkpoint(WriteTxn& txn, Time now, const PartyId& broker, BytesView note) {
  TRAM_TRY(owner, directory_.log_owner(txn, broker, now));
  if (!owner) return {};
  return audit::remember_checkpoint(txn, now, config_.realm, broker, *owner, note, log_);
}

/// R23: this store is an old copy of this node's; others hold what it signed since. But where a broker knows a later life
/// that may be running, which of the two goes on is for an operator to say (R13): so each broker is heard first.
Result<void> Node::recover_by_itself(WriteTxn& txn, Time now, Effects& effects) {
  if (own_log_.is_fenced()) return {};
  const bool all_spoke = std::all_of(links_.begin(), links_.end(), [](const auto& one) { return !one.second.connected || one.second.greeted; });
  if (!all_spoke && now >= *restored_since_ && now - *restored_since_ < brokers_speak_within) return {};
  restored_since_.reset();
  return begin_recovery(txn, now, effects);
}

}  // namespace tram::node
