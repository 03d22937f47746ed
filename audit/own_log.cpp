#include "audit/own_log.h"

#include <algorithm>

#include "base/limits.h"

namespace tram::audit {
namespace {

constexpr size_t vouchers_wanted = 3;                    // R8
constexpr size_t roots_kept_max = 64;
constexpr Duration unsure_asked_every = seconds(5);
constexpr Duration unsure_counts_after = seconds(30);     // an independent witness is with a broker sooner, if it runs
constexpr Duration refused_again_after = minutes(1);
constexpr Duration gather_every = seconds(15), gather_for = minutes(10);
constexpr std::string_view note_key = "note", cosigned_key = "cosigned";

Result<std::optional<crypto::SignedCheckpoint>> stored_note(ReadTxn& txn, std::string_view key) {
  TRAM_TRY(row, txn.get(own_log_table, view(key)));
  if (!row) return std::optional<crypto::SignedCheckpoint>{};
  auto decoded = crypto::decode_signed_checkpoint(*row);
  if (!decoded) return fail(ErrorCode::store_corrupt, "signed checkpoint");
  return std::optional<crypto::SignedCheckpoint>(std::move(*decoded));
}

std::optional<crypto::SignedCheckpoint> read_note(BytesView bytes) {
  auto decoded = crypto::decode_signed_checkpoint(bytes);
  return decoded ? std::optional(std::move(*decoded)) : std::nullopt;
}

}  // namespace

OwnLog::OwnLog(crypto::LogKind kind, PartyId self, std::shared_ptr<const crypto::LogKey> key,
               const directory::Directory& directory, audit::Log& audit, ::tram::Log& log, Random& random)
    : kind_(kind), self_(self), key_(std::move(key)), directory_(directory), audit_(audit), log_(log), random_(random) {}

Result<void> OwnLog::load(ReadTxn& txn) {
  TRAM_TRY(note, stored_note(txn, note_key));
  newest_ = std::move(note);
  note_bytes_ = newest_ ? crypto::encode_note(newest_->note) : Bytes{};
  TRAM_TRY(witnessed, stored_note(txn, cosigned_key));
  witnessed_bytes_ = witnessed ? crypto::encode_note(witnessed->note) : Bytes{};
  cosigners_.clear();
  roots_.clear();
  for (auto& [id, peer] : peers_) peer.cosigned = {};
  if (!doubtful_) return {};
  doubtful_ = told_ = may_sign_ = false;
  standing_ = Standing::unknown;
  recovery_.reset();
  restored_.reset();
  for (auto& [id, peer] : peers_) peer = {};
  return {};
}

Result<void> OwnLog::start(ReadTxn& txn, Time now) {
  standing_ = Standing::unknown;
  may_sign_ = witnesses_known_ = told_ = doubtful_ = false;
  patient_ = true;
  peers_.clear();
  connected_.clear();
  vouchers_.clear();
  fenced_by_.clear();
  recovery_.reset();
  restored_.reset();
  started_ = now;
  gather_until_ = now + gather_for;
  signed_at_ = {};
  return load(txn);
}

void OwnLog::set_witnesses(const std::vector<PartyId>& ids, size_t answers_wanted, std::vector<PartyId> independent) {
  std::map<PartyId, Peer> kept;
  for (const PartyId& id : ids) kept[id] = peers_[id];
  peers_ = std::move(kept);
  std::erase_if(fenced_by_, [&](const PartyId& id) { return !peers_.contains(id); });
  answers_wanted_ = answers_wanted;
  independent_ = std::move(independent);
  witnesses_known_ = true;
  settle_standing();
}

bool OwnLog::all_answered() const {
  return std::all_of(peers_.begin(), peers_.end(), [](const auto& one) { return one.second.answered && !one.second.unsure; });
}

void OwnLog::settle_standing() {
  if (standing_ == Standing::restored || !witnesses_known_) return;
  // A log that was never witnessed has nothing to be behind of.
  const auto answered = static_cast<size_t>(std::count_if(peers_.begin(), peers_.end(), [&](const auto& one) {
    return one.second.answered && (!one.second.unsure || !patient_ || !newest_);
  }));
  const bool vouched = kind_ == crypto::LogKind::broker && vouchers_.size() >= vouchers_wanted;
  if (answered >= std::min(answers_wanted_, peers_.size()) || vouched) standing_ = Standing::sound;
  const bool all_vouched = std::all_of(independent_.begin(), independent_.end(),
                                       [&](const PartyId& id) { return vouchers_.contains(id); });
  if (standing_ == Standing::sound && all_answered() && all_vouched) may_sign_ = true;
}

void OwnLog::connected(const PartyId& witness, Time now, Sends& out) {
  connected_.insert(witness);
  Peer& peer = peers_[witness];
  peer.asked = now;
  peer.not_before = {};
  out.push_back({witness, proto::CheckpointGet{self_}});
}

void OwnLog::disconnected(const PartyId& witness) {
  connected_.erase(witness);
  if (recovery_ && recovery_->source == witness) recovery_->source = {};
}

void OwnLog::fenced(const PartyId& witness) {
  const auto it = peers_.find(witness);
  if (it == peers_.end()) return;
  it->second.answered = false;
  fenced_by_.insert(witness);
  may_sign_ = false;
}

std::optional<OwnLog::Restored> OwnLog::take_restored() { return std::exchange(restored_, std::nullopt); }

/// Signed by a key that is or was ours.
bool OwnLog::is_ours(ReadTxn& txn, Time now, const crypto::SignedCheckpoint& shown) const {
  if (crypto::verify_checkpoint(shown, key_->public_key())) return true;
  const auto owner = directory_.log_owner(txn, self_, now);
  return owner && *owner && (*owner)->kind == kind_ && std::any_of((*owner)->keys.begin(), (*owner)->keys.end(), [&](const LogPublic& key) {
    return crypto::verify_checkpoint(shown, key);
  });
}

/// A note that somebody holds of us. `counts`: it is ours, or there is none. Whatever we signed and do not hold says
/// that this store is an old copy.
Result<void> OwnLog::examine(WriteTxn& txn, Time now, BytesView bytes, const std::optional<crypto::SignedCheckpoint>& shown, bool& counts) {
  counts = bytes.empty();
  if (!shown) return {};
  const crypto::Checkpoint& checkpoint = shown->checkpoint;
  const uint32_t generation = checkpoint.origin.generation;
  if (checkpoint.origin != crypto::log_origin(directory_.realm(), kind_, self_, generation)) return {};
  if (!is_ours(txn, now, *shown)) return {};
  counts = true;
  if (generation < audit_.generation()) return {};
  if (generation == audit_.generation() && checkpoint.size <= audit_.size()) {
    TRAM_TRY(root, own_root(txn, checkpoint.size));
    if (root == checkpoint.root) {
      const bool newer = !newest_ || newest_->checkpoint.origin.generation != generation ||
                         newest_->checkpoint.size < checkpoint.size;
      return newer ? keep_note(txn, *shown) : Result<void>{};
    }
  }
  standing_ = Standing::restored;
  doubtful_ = true;
  if (recovery_ && rank(checkpoint) <= rank(recovery_->target)) return {};
  if (!told_) {
    told_ = true;
    restored_ = Restored{audit_.size(), checkpoint.size};
    log_.warning("log.is_restored_copy", {{"local", audit_.size()}, {"seen", checkpoint.size}});
  }
  Recovery recovery;
  recovery.target = checkpoint;
  recovery.note = to_bytes(bytes);
  recovery.since = now;
  if (generation == audit_.generation()) {
    if (newest_ && newest_->checkpoint.origin.generation == generation) recovery.agreed = newest_->checkpoint.size;
    TRAM_TRY(frontier, audit_.frontier_at(txn, recovery.agreed));
    recovery.frontier = std::move(frontier);
  }
  recovery_ = std::move(recovery);
  return {};
}

/// Of this tree, which only grows until go_on() or another generation: every client shows one of the last few checkpoints.
Result<Hash> OwnLog::own_root(WriteTxn& txn, uint64_t size) {
  const auto known = roots_.find({audit_.generation(), size});
  if (known != roots_.end()) return known->second;
  TRAM_TRY(root, audit_.root_at(txn, size));
  if (roots_.size() >= roots_kept_max) roots_.erase(roots_.begin());
  roots_.emplace(std::pair(audit_.generation(), size), root);
  return root;
}

Result<void> OwnLog::on(WriteTxn& txn, Time now, const PartyId& witness, const proto::CheckpointData& data,
                        Sends& out) {
  const auto it = peers_.find(witness);
  if (it == peers_.end() || data.party != self_) return {};
  const auto held = read_note(data.note);
  bool counts = false;
  TRAM_OK(examine(txn, now, data.note, held, counts));
  if (!counts) {
    log_.warning("checkpoint.was_not_ours", {{"witness", witness}});
    return {};
  }
  Peer& peer = it->second;
  peer.answered = true;
  fenced_by_.erase(witness);
  // A broker hears independent witnesses itself.
  peer.unsure = kind_ == crypto::LogKind::node && data.unsure;
  peer.asked = {};
  peer.asked_again = now;
  peer.generation = audit_.generation();
  peer.size = peer.mirrored = 0;
  if (held) {
    peer.generation = held->checkpoint.origin.generation;
    peer.size = held->checkpoint.size;
    peer.mirrored = data.mirrored;
    if (newest_ && held->note.text == newest_->note.text) TRAM_OK(add_cosignatures(txn, now, held->note.signatures));
  }
  settle_standing();
  return recovery_ ? fetch(txn, now, out) : Result<void>{};
}

Result<void> OwnLog::vouched(WriteTxn& txn, Time now, const PartyId& client, BytesView note) {
  bool counts = false;
  TRAM_OK(examine(txn, now, note, read_note(note), counts));
  const bool independent = std::find(independent_.begin(), independent_.end(), client) != independent_.end();
  if (counts && (independent || vouchers_.size() < 64)) vouchers_.insert(client);
  settle_standing();
  return {};
}

Result<void> OwnLog::see(WriteTxn& txn, Time now, BytesView note) {
  const auto shown = read_note(note);
  bool counts = false;
  TRAM_OK(examine(txn, now, note, shown, counts));
  if (!counts || !shown || !newest_ || shown->note.text != newest_->note.text) return {};
  return add_cosignatures(txn, now, shown->note.signatures);
}

// ---- checkpoints ------------------------------------------------------------------------------------------

Result<void> OwnLog::keep_note(WriteTxn& txn, crypto::SignedCheckpoint note) {
  if (newest_ && !cosigners_.empty()) {
    witnessed_bytes_ = note_bytes_;
    TRAM_OK(txn.put(own_log_table, view(cosigned_key), note_bytes_));
  }
  cosigners_.clear();
  for (auto& [id, peer] : peers_) peer.cosigned = {};
  newest_ = std::move(note);
  note_bytes_ = crypto::encode_note(newest_->note);
  return txn.put(own_log_table, view(note_key), note_bytes_);
}

Result<void> OwnLog::sign_if_due(WriteTxn& txn, Time now) {
  if (!signs() || audit_.size() == 0 || now < signed_at_ + limits::checkpoint_every) return {};
  const crypto::LogOrigin origin = crypto::log_origin(directory_.realm(), kind_, self_, audit_.generation());
  if (newest_ && newest_->checkpoint.origin == origin) {
    const crypto::Checkpoint& last = newest_->checkpoint;
    if (last.size == audit_.size() && last.root == audit_.root()) return {};
    if (last.size > audit_.size()) return fail(ErrorCode::store_corrupt, "the log is shorter than its checkpoint");
    TRAM_TRY(root, audit_.root_at(txn, last.size));
    if (root != last.root) return fail(ErrorCode::store_corrupt, "the log does not contain its checkpoint");
  }
  const crypto::Checkpoint checkpoint{origin, audit_.size(), audit_.root()};
  // The last leaves' head must be in this transaction too.
  TRAM_OK(audit_.store_head(txn));
  TRAM_OK(keep_note(txn, {checkpoint, crypto::sign_checkpoint(checkpoint, *key_)}));
  signed_at_ = now;
  gather_until_ = now + gather_for;
  return {};
}

Result<void> OwnLog::add_cosignatures(WriteTxn& txn, Time now, std::span<const crypto::NoteSignature> signatures) {
  bool added = false;
  for (const auto& one : signatures) {
    const auto known = std::find_if(newest_->note.signatures.begin(), newest_->note.signatures.end(),
                                    [&](const auto& held) { return held.name == one.name && held.key_id == one.key_id; });
    if (known != newest_->note.signatures.end() && known->signature == one.signature &&
        !(cosigners_.size() < peers_.size())) continue;
    const auto cosignature = find_cosignature(directory_, now, newest_->note.text, one);
    if (!cosignature) continue;
    cosigners_.insert(cosignature->by);
    if (known != newest_->note.signatures.end()) {
      if (known->signature == one.signature) continue;
      *known = one;
    } else if (newest_->note.signatures.size() < crypto::note_signatures_max) {
      newest_->note.signatures.push_back(one);
    }
    added = true;
  }
  if (!added) return {};
  note_bytes_ = crypto::encode_note(newest_->note);
  return txn.put(own_log_table, view(note_key), note_bytes_);
}

Result<Bytes> best_own_note(ReadTxn& txn) {
  TRAM_TRY(newest, stored_note(txn, note_key));
  TRAM_TRY(cosigned, stored_note(txn, cosigned_key));
  if (!newest) return Bytes{};
  if (cosigned && cosigned->checkpoint.origin == newest->checkpoint.origin &&
      cosigned->note.signatures.size() > newest->note.signatures.size())
    return crypto::encode_note(cosigned->note);
  return crypto::encode_note(newest->note);
}

Result<void> OwnLog::post(ReadTxn& txn, Time now, const PartyId& id, Peer& peer, Sends& out) {
  if (!newest_ || !connected_.contains(id) || !peer.answered || now < peer.not_before || !signs()) return {};
  if (peer.asked.ms != 0 && now - peer.asked < answer_overdue) return {};
  const crypto::Checkpoint& checkpoint = newest_->checkpoint;
  if (checkpoint.origin.generation != audit_.generation()) return {};  // the tree that goes on is not signed yet
  const bool holds = peer.generation == checkpoint.origin.generation;
  const uint64_t mirrored = holds ? peer.mirrored : 0;
  const bool fresh = peer.cosigned.ms != 0 && now - peer.cosigned < cosign_again_after;
  if (holds && peer.size == checkpoint.size && fresh && mirrored >= checkpoint.size) return {};
  proto::CheckpointPut put;
  put.note = note_bytes_;
  put.old_size = holds ? peer.size : 0;
  if (put.old_size > checkpoint.size || mirrored > checkpoint.size) return {};
  TRAM_TRY(proof, audit_.consistency_proof(txn, put.old_size, checkpoint.size));
  put.proof = std::move(proof);
  put.leaves_from = mirrored;
  const uint64_t until = std::min<uint64_t>(checkpoint.size, mirrored + limits::leaves_per_page_max);
  TRAM_TRY(leaves, audit_.leaf_hashes(txn, mirrored, until));
  put.leaves = std::move(leaves);
  TRAM_TRY(leaves_proof, audit_.consistency_proof(txn, until, checkpoint.size));
  put.leaves_proof = std::move(leaves_proof);
  peer.asked = now;
  out.push_back({id, std::move(put)});
  return {};
}

Result<void> OwnLog::on(WriteTxn& txn, Time now, const PartyId& witness, const proto::CheckpointReply& reply,
                        Sends& out) {
  const auto it = peers_.find(witness);
  if (it == peers_.end()) return {};
  Peer& peer = it->second;
  peer.asked = {};
  const auto held = read_note(reply.note);
  bool counts = false;
  TRAM_OK(examine(txn, now, reply.note, held, counts));
  if (counts && held) {
    peer.generation = held->checkpoint.origin.generation;
    peer.size = held->checkpoint.size;
    peer.mirrored = reply.mirrored;
    if (newest_ && held->note.text == newest_->note.text) TRAM_OK(add_cosignatures(txn, now, held->note.signatures));
  }
  if (reply.refusal != 0) {
    if (reply.refusal != static_cast<uint16_t>(ErrorCode::conflict)) {
      const ErrorInfo* info = find_error(reply.refusal);
      log_.warning("checkpoint.was_refused", {{"witness", witness}, {"error", info ? info->name : "unknown"}});
      peer.not_before = now + refused_again_after;
    } else if (reply.note.empty()) {
      peer.size = peer.mirrored = 0;  // it has lost what it held
    }
    return recovery_ ? fetch(txn, now, out) : Result<void>{};
  }
  if (newest_) {
    if (auto line = crypto::decode_note_signature_line(text(reply.cosignature)))
      TRAM_OK(add_cosignatures(txn, now, std::span(&*line, 1)));
    if (cosigners_.contains(witness)) peer.cosigned = now;
  }
  return peer.mirrored < peer.size ? post(txn, now, witness, peer, out) : Result<void>{};
}

// ---- a restored copy --------------------------------------------------------------------------------------

/// Asks a witness for the next leaf hashes that this copy lacks; another one when that cannot help.
Result<void> OwnLog::fetch(WriteTxn& txn, Time now, Sends& out) {
  Recovery& recovery = *recovery_;
  // A tree that this copy does not begin is not continued: its mirrors may be old themselves, and a tree of our own cannot
  // contradict what somebody else remembers of it.
  const bool foreign = recovery.target.origin.generation != audit_.generation();
  const bool too_many = recovery.target.size - recovery.agreed > limits::leaves_refetched_max;
  const bool nobody = !peers_.empty() && recovery.failed.size() >= peers_.size();
  if (foreign || too_many || nobody || now - recovery.since >= limits::new_generation_after) {
    const uint64_t ours_from = newest_ && newest_->checkpoint.origin.generation == audit_.generation()
                                   ? newest_->checkpoint.size : 0;
    TRAM_OK(audit_.open_generation(txn, recovery.target.origin.generation, recovery.note, ours_from, now, random_));
    log_.warning("log.opened_generation", {{"generation", audit_.generation()}});
    return go_on(txn, now);
  }
  const bool overdue = recovery.asked.ms == 0 || now - recovery.asked >= answer_overdue;
  if (!recovery.source.is_zero() && !overdue) return {};
  std::optional<PartyId> next;
  for (const auto& [id, peer] : peers_) {
    if (!connected_.contains(id) || recovery.failed.contains(id)) continue;
    if (!next || id > recovery.source) next = id;
    if (id > recovery.source) break;
  }
  if (!next) return {};
  recovery.source = *next;
  recovery.asked = now;
  out.push_back({*next, proto::LeavesGet{self_, recovery.target.origin.generation, recovery.frontier.size}});
  return {};
}

Result<void> OwnLog::on(WriteTxn& txn, Time now, const PartyId& witness, const proto::LeavesData& data, Sends& out) {
  if (!recovery_ || data.party != self_ || data.generation != recovery_->target.origin.generation ||
      data.from != recovery_->frontier.size || !peers_.contains(witness))
    return {};
  Recovery& recovery = *recovery_;
  recovery.source = {};
  recovery.asked = {};
  if (data.leaves.empty()) {
    recovery.failed.insert(witness);
    return fetch(txn, now, out);
  }
  for (const Hash& leaf : data.leaves) {
    if (recovery.frontier.size == recovery.target.size) break;
    recovery.leaves.push_back(leaf);
    recovery.frontier.append(leaf);
  }
  if (recovery.frontier.size < recovery.target.size) {
    // The one that answers goes on.
    recovery.source = witness;
    recovery.asked = now;
    out.push_back({witness, proto::LeavesGet{self_, data.generation, recovery.frontier.size}});
    return {};
  }
  if (recovery.frontier.root() != recovery.target.root) {
    log_.warning("leaves.were_wrong", {{"witness", witness}});
    recovery.failed.insert(witness);
    recovery.leaves.clear();
    TRAM_TRY(frontier, audit_.frontier_at(txn, recovery.agreed));
    recovery.frontier = std::move(frontier);
    return fetch(txn, now, out);
  }
  TRAM_TRY(first_lost, audit_.rebase(txn, {recovery.agreed, recovery.leaves}, now, random_));
  log_.warning("log.was_rebased", {{"first_lost", first_lost}, {"size", audit_.size()}});
  auto target = crypto::decode_signed_checkpoint(recovery.note);
  if (target) TRAM_OK(keep_note(txn, std::move(*target)));
  return go_on(txn, now);
}

/// The log can grow again; who has not answered yet may still know more.
Result<void> OwnLog::go_on(WriteTxn& txn, Time) {
  recovery_.reset();
  roots_.clear();
  standing_ = Standing::sound;
  settle_standing();
  return audit_.store_head(txn);
}

/// A clock that was set back makes what waited due.
void OwnLog::forget_times(Time now) {
  for (auto& [id, peer] : peers_) peer.asked = peer.asked_again = peer.not_before = peer.cosigned = {};
  if (recovery_) recovery_->asked = {}, recovery_->since = now;
  started_ = now;
  signed_at_ = gathered_ = {};
  gather_until_ = std::min(gather_until_, now + limits::checkpoint_every);
}

Result<void> OwnLog::tick(WriteTxn& txn, Time now, Sends& out) {
  if (now < last_tick_) forget_times(now);
  last_tick_ = now;
  for (auto& [id, peer] : peers_) {
    if (!connected_.contains(id)) continue;
    if (peer.answered) {
      if (!peer.unsure || may_sign_ || now - peer.asked_again < unsure_asked_every) continue;
      peer.asked_again = now;
    } else {
      if (peer.asked.ms != 0 && now - peer.asked < answer_overdue) continue;
      peer.asked = now;
    }
    out.push_back({id, proto::CheckpointGet{self_}});
  }
  if (patient_ && now - started_ >= unsure_counts_after) {
    patient_ = false;
    settle_standing();
  }
  if (recovery_) return fetch(txn, now, out);
  const Duration patience = all_answered() ? limits::new_generation_alone_after : limits::new_generation_after;
  // Not for one that is fenced: the copy that lives on may open the same one.
  if (standing_ == Standing::sound && !may_sign_ && fenced_by_.empty() && now - started_ >= patience) {
    doubtful_ = true;
    // Somebody who may have seen more has been silent for long: another tree can contradict nothing.
    TRAM_OK(audit_.open_generation(txn, 0, note_bytes_, newest_ ? newest_->checkpoint.size : 0, now, random_));
    log_.warning("log.opened_generation", {{"generation", audit_.generation()}});
    TRAM_OK(audit_.store_head(txn));
    may_sign_ = true;
  }
  TRAM_OK(sign_if_due(txn, now));
  for (auto& [id, peer] : peers_) TRAM_OK(post(txn, now, id, peer, out));
  gather(now, out);
  return {};
}

/// Witnesses that post nothing here leave their cosignatures with the brokers: asked for until they have come.
void OwnLog::gather(Time now, Sends& out) {
  if (!signs() || !newest_ || now >= gather_until_ || now - gathered_ < gather_every) return;
  const auto witnesses = directory_.witnesses(now);
  const auto here = static_cast<size_t>(std::count_if(
      witnesses.begin(), witnesses.end(), [&](const auto& one) { return cosigners_.contains(one.record.id); }));
  if (here == witnesses.size()) return;
  for (const auto& [id, peer] : peers_)
    if (connected_.contains(id) && peer.answered && peer.cosigned.ms != 0) out.push_back({id, proto::CheckpointGet{self_}});
  gathered_ = now;
}

}  // namespace tram::audit
