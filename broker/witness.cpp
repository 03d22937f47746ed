// Logs and witnesses: this broker's own log before the other brokers, and this broker as a witness of every party's log
// (R7, R8; protocol.md 4.3, 4.4). Reads are served whatever the standing of this store is; custody waits for it.
#include <algorithm>

#include "base/limits.h"
#include "broker/state.h"

namespace tram::broker {
namespace {

constexpr size_t checkpoints_per_page_max = 48;
constexpr size_t page_bytes_max = 100u << 10;

}  // namespace

/// Whether custody may be promised: this store is the newest of this broker, or its epoch is new.
bool Broker::State::may_promise() const {
  return own_log.standing() == audit::OwnLog::Standing::sound ||
         (own_log.standing() == audit::OwnLog::Standing::restored && fresh_epoch);
}

void Broker::State::set_witnesses(Time now) {
  // By a clock that is far behind there is no broker yet, not even this one: all that are known must be asked (R8).
  auto brokers = directory.brokers(now);
  const bool here = std::any_of(brokers.begin(), brokers.end(), [&](const auto& one) { return one.record.id == config.self; });
  if (!here || !clock_ok) brokers = directory.known_brokers();
  std::vector<PartyId> ids;
  for (const auto& broker : brokers)
    if (broker.record.id != config.self) ids.push_back(broker.record.id);
  auto witnesses = directory.witnesses(now);
  if (!here || !clock_ok) witnesses = directory.known_witnesses();
  independent.clear();
  for (const auto& one : witnesses) independent.push_back(one.record.id);
  own_log.set_witnesses(ids, 1, independent);
}

/// Whether what is held here of other logs is all that there is to be afraid of: independent witnesses were asked too.
bool Broker::State::told_by_all() const {
  return std::all_of(independent.begin(), independent.end(), [&](const PartyId& id) { return told.contains(id); });
}

void Broker::State::post(Step& step, audit::OwnLog::Sends& sends) {
  for (auto& one : sends) ask_peer(step, one.to, std::move(one.body));
  sends.clear();
}

Result<void> Broker::State::on_checkpoint_put(Step& step, const Asker& asker, const proto::CheckpointPut& put) {
  TRAM_TRY(owner, directory.log_owner(step.txn, asker.peer, step.now));
  if (!owner) {
    refuse(step, asker, ErrorCode::unknown_agency);
    return {};
  }
  TRAM_TRY(reply, witness.add(step.txn, step.now, asker.peer, *owner, put));
  send(step, asker, std::move(reply));
  return {};
}

Result<void> Broker::State::on_checkpoint_get(Step& step, const Asker& asker, const proto::CheckpointGet& get) {
  proto::CheckpointData data;
  data.party = get.party;
  if (get.party == config.self) {
    data.note = own_log.note();
    if (const auto newest = crypto::decode_signed_checkpoint(data.note)) data.mirrored = newest->checkpoint.size;
  } else {
    TRAM_TRY(known, witness.newest_seen(step.txn, get.party));
    if (known) {
      data.note = std::move(known->note);
      data.mirrored = known->mirrored;
    }
    data.unsure = !told_by_all();
  }
  send(step, asker, std::move(data));
  return {};
}

Result<void> Broker::State::on_leaves_get(Step& step, const Asker& asker, const proto::LeavesGet& get) {
  proto::LeavesData data{get.party, get.generation, get.from, {}};
  if (get.party == config.self) {
    const auto newest = crypto::decode_signed_checkpoint(own_log.note());
    // A generation that was just opened is not signed yet: of it there is nothing to show, and the old tree is gone.
    const bool shown = newest && newest->checkpoint.origin.generation == audit_log.generation();
    if (shown && get.generation == audit_log.generation() && get.from < newest->checkpoint.size) {
      const uint64_t until = std::min<uint64_t>(newest->checkpoint.size, get.from + limits::leaves_per_page_max);
      TRAM_TRY(leaves, audit::leaf_hashes(step.txn, get.from, until));
      data.leaves = std::move(leaves);
    }
  } else {
    TRAM_TRY(leaves, witness.leaves(step.txn, get.party, get.generation, get.from, limits::leaves_per_page_max));
    data.leaves = std::move(leaves);
  }
  send(step, asker, std::move(data));
  return {};
}

Result<void> Broker::State::on_checkpoint_list(Step& step, const Asker& asker, const proto::CheckpointList& list) {
  if (list.told && std::find(independent.begin(), independent.end(), asker.peer) != independent.end()) told.insert(asker.peer);
  TRAM_TRY(known, witness.list(step.txn, list.after, checkpoints_per_page_max));
  proto::CheckpointPage page;
  page.more = known.size() == checkpoints_per_page_max;
  size_t bytes = 0;
  const auto add = [&](const Bytes& note) {
    bytes += note.size();
    if (bytes <= page_bytes_max) page.notes.push_back(note);
    else page.more = true;
  };
  bool own_due = !own_log.note().empty() && config.self > list.after;
  for (const auto& one : known) {
    if (own_due && config.self < one.checkpoint.origin.party) {
      add(own_log.note());
      own_due = false;
    }
    add(one.note);
  }
  if (own_due && !page.more) add(own_log.note());
  send(step, asker, std::move(page));
  return {};
}

Result<void> Broker::State::on_cosignature_put(Step& step, const Asker& asker, const proto::CosignaturePut& put) {
  TRAM_OK(see_note(step, put.note));
  send(step, asker, proto::Done{});
  return {};
}

/// What somebody else holds of a log: its cosignatures, a contradiction to what is known here, or a newer checkpoint, which
/// its owner must hear of when its store was put back together with ours.
Result<void> Broker::State::see_note(Step& step, BytesView note) {
  const auto shown = crypto::decode_signed_checkpoint(note);
  if (!shown) return {};
  const PartyId& party = shown->checkpoint.origin.party;
  if (party == config.self) return own_log.see(step.txn, step.now, note);
  TRAM_TRY(owner, directory.log_owner(step.txn, party, step.now));
  if (!owner) return {};
  TRAM_TRY(kept, witness.see(step.txn, step.now, directory, party, *owner, note));
  static_cast<void>(kept);
  TRAM_TRY(known, witness.newest_seen(step.txn, party));
  if (known && audit::rank(shown->checkpoint) <= audit::rank(known->checkpoint)) return {};
  return audit::remember_checkpoint(step.txn, step.now, config.realm, party, *owner, note, log);
}

}  // namespace tram::broker
