// A document whose opening kills the node must not do so for ever (R44). What is being opened is marked outside the store
// (io), so that the good path costs no commit; what was marked when the process died has been tried once more, and that is
// counted in a transaction of its own before anything is opened again. The fourth time it is put aside: refused with POISON,
// its position consumed, its envelope kept for an officer. What may have killed us is opened alone.
#include "base/limits.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

Result<void> Node::load_attempts(ReadTxn& txn) {
  attempts_.clear();
  suspect_.reset();
  return for_each(txn, table::attempt, {}, [&](const Row& row) -> Result<void> {
    attempts_[id_at<Hash>(row.key, 0)] = Reader(row.value).u32();
    return {};
  });
}

Result<void> Node::count_attempts(WriteTxn& txn, Time now, std::span<const Hash> ids, Log& log) {
  for (const Hash& id : ids) {
    TRAM_TRY(answered, txn.get(table::answer, id));
    TRAM_TRY(seen, txn.get(table::mail_seen, id));
    if (answered || seen) continue;  // it was done with
    TRAM_TRY(row, txn.get(table::attempt, id));
    const uint32_t times = (row ? Reader(*row).u32() : 0) + 1;
    Bytes value;
    Writer(value).u32(times).u64(now.wire());
    TRAM_OK(txn.put(table::attempt, id, value));
    log.warning("opening.cut_short", {{"id", id}, {"times", times}});
  }
  return {};
}

bool Node::is_poison(const Hash& id) const {
  const auto found = attempts_.find(id);
  return found != attempts_.end() && found->second > limits::poison_attempts_max;
}

bool Node::opens_alone(const EnvelopeId& env_id) {
  if (!attempts_.contains(Hash{env_id.bytes})) return false;
  if (suspect_ && *suspect_ != env_id) {
    const auto other = arrivals_.find(*suspect_);
    if (other != arrivals_.end() && other->second.stage == Arrival::Stage::opening) return true;
  }
  suspect_ = env_id;
  return false;
}

Result<void> Node::cleared(WriteTxn& txn, const Hash& id) {
  if (attempts_.empty() || attempts_.erase(id) == 0) return {};
  return txn.erase(table::attempt, id);
}

Result<void> Node::put_aside(WriteTxn& txn, Time now, Arrival& arrival, Effects& effects) {
  const EnvelopeId env_id = arrival.envelope.id;
  const uint32_t times = attempts_.at(Hash{env_id.bytes});
  log_.error("document.put_aside", {{"envelope", env_id}, {"sender", arrival.envelope.sender}, {"times", times}});
  Bytes value;
  Writer(value).u32(times).u64(now.wire()).raw(arrival.envelope_bytes);
  TRAM_OK(txn.put(table::quarantine, env_id, value));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::quarantined, {env_id}));
  return reject(txn, now, arrival, {ErrorCode::poison, "attempts"}, effects);
}

}  // namespace tram::node
