#include "audit/views.h"

#include <algorithm>

#include "audit/witness.h"

namespace tram::audit {
namespace {

constexpr std::string_view state_key = "state";
constexpr uint32_t first_generation = 0;

Bytes encode_held(std::string_view text, const crypto::NoteSignature& signature) {
  return crypto::encode_note({std::string(text), {signature}});
}

Bytes conflict_key(ViewConflict::Kind kind, const PartyId& party) {
  Bytes key;
  Writer(key).u8(static_cast<uint8_t>(kind)).raw(party);
  return key;
}

/// The newest time at which enough of these had signed: 0 when they are too few.
Time quorum_time(const directory::Directory& directory, Time now, const std::map<PartyId, Time>& signed_at) {
  const ViewQuorum quorum = view_quorum(directory, now);
  std::vector<Time> brokers;
  Time witness;
  for (const auto& [party, at] : signed_at) {
    if (const auto broker = directory.broker(party)) {
      if (!broker->record.retired) brokers.push_back(at);
    } else if (const auto other = directory.witness(party); other && !other->record.retired) {
      witness = std::max(witness, at);
    }
  }
  if (brokers.size() < quorum.brokers || (quorum.witness && witness.ms == 0)) return {};
  std::sort(brokers.rbegin(), brokers.rend());
  const Time last = brokers[quorum.brokers - 1];
  return quorum.witness ? std::min(last, witness) : last;
}

}  // namespace

crypto::LogOrigin directory_origin(const RealmId& realm) {
  return crypto::log_origin(realm, crypto::LogKind::directory, *PartyId::from(realm.view().first(PartyId::size)), first_generation);
}

ViewQuorum view_quorum(const directory::Directory& directory, Time now) {
  // By a clock that is far behind nobody is in force yet.
  const size_t in_force = directory.broker_ids(now).size();
  const size_t brokers = in_force ? in_force : directory.known_brokers().size();
  return {std::max<size_t>(1, brokers - std::min<size_t>(brokers, 1)), !directory.witnesses(now).empty()};
}

Freshness freshness_at(Duration age) {
  if (age >= limits::view_no_sending_after) return Freshness::no_sending;
  if (age >= limits::view_no_new_keys_after) return Freshness::no_new_keys;
  return age >= limits::view_old_after ? Freshness::old : Freshness::fresh;
}

// ---- contradictions -----------------------------------------------------------------------------------------

Result<std::vector<ViewConflict>> view_conflicts(ReadTxn& txn) {
  TRAM_TRY(rows, txn.scan(view_conflict_table, {}, {}, limits::evidence_kept_max));
  std::vector<ViewConflict> out;
  for (const auto& row : rows) {
    Reader key(row.key), value(row.value);
    ViewConflict one;
    one.kind = static_cast<ViewConflict::Kind>(key.u8());
    one.by = PartyId{key.array<PartyId::size>()};
    one.found = Time{static_cast<int64_t>(value.u64())};
    one.size = value.u64();
    one.object = to_bytes(value.raw(value.left()));
    if (!key.finish() || !value.finish()) return fail(ErrorCode::store_corrupt, "conflict of views");
    out.push_back(std::move(one));
  }
  return out;
}

Result<bool> conflicts_with(ReadTxn& txn, ViewConflict::Kind kind, const PartyId& party) {
  TRAM_TRY(row, txn.get(view_conflict_table, conflict_key(kind, party)));
  return row.has_value();
}

Result<bool> keep_view_conflict(WriteTxn& txn, const ViewConflict& conflict) {
  const Bytes key = conflict_key(conflict.kind, conflict.by);
  TRAM_TRY(held, txn.get(view_conflict_table, key));
  if (held) return false;
  TRAM_TRY(rows, txn.scan(view_conflict_table, {}, {}, limits::evidence_kept_max));
  if (rows.size() >= limits::evidence_kept_max) return false;
  Bytes value;
  Writer(value).u64(conflict.found.wire()).u64(conflict.size).raw(conflict.object);
  TRAM_OK(txn.put(view_conflict_table, key, value));
  return true;
}

bool is_split(const directory::Directory& directory, Time now, std::span<const ViewConflict> conflicts) {
  std::map<std::string, std::map<PartyId, Time>> signed_at;
  for (const auto& one : conflicts) {
    if (one.kind != ViewConflict::Kind::cosigner) continue;
    if (const auto note = crypto::decode_note(one.object)) signed_at[note->text][one.by] = one.found;
  }
  return std::any_of(signed_at.begin(), signed_at.end(),
                     [&](const auto& view) { return quorum_time(directory, now, view.second).ms != 0; });
}

// ---- what is held -------------------------------------------------------------------------------------------

Result<void> Views::start(WriteTxn& txn, Time now) {
  TRAM_OK(load(txn));
  if (since_.ms != 0) return {};
  since_ = now;
  Bytes state;
  Writer(state).u64(since_.wire()).u64(confirmed_.wire());
  return txn.put(view_table, tram::view(state_key), state);
}

Result<void> Views::load(ReadTxn& txn) {
  held_.clear();
  since_ = confirmed_ = {};
  TRAM_TRY(rows, txn.scan(view_table, {}, {}, limits::evidence_kept_max));
  for (const auto& row : rows) {
    if (equal(row.key, tram::view(state_key))) {
      Reader reader(row.value);
      since_ = Time{static_cast<int64_t>(reader.u64())};
      confirmed_ = Time{static_cast<int64_t>(reader.u64())};
      if (!reader.finish()) return fail(ErrorCode::store_corrupt, "view state");
      continue;
    }
    const auto party = PartyId::from(row.key);
    auto note = crypto::decode_signed_checkpoint(row.value);
    if (!party || !note || note->note.signatures.size() != 1) return fail(ErrorCode::store_corrupt, "cosigned view");
    Held one{note->checkpoint, note->note.text, note->note.signatures.front(), {}};
    one.at = Time{static_cast<int64_t>(Reader(one.signature.signature).u64()) * 1000};
    held_.emplace(*party, std::move(one));
  }
  gather();
  return {};
}

Result<void> Views::keep(WriteTxn& txn, const PartyId& party, Held one) {
  TRAM_OK(txn.put(view_table, party, encode_held(one.text, one.signature)));
  held_.insert_or_assign(party, std::move(one));
  return {};
}

/// Whether the entries held here had another root at that size; then it is kept as evidence.
Result<bool> Views::contradicts(WriteTxn& txn, Time now, const PartyId& party, const Held& one) {
  if (one.checkpoint.size > directory_.size()) return false;  // not to be told yet
  TRAM_TRY(root, directory_.root_at(txn, one.checkpoint.size));
  if (root && *root == one.checkpoint.root) return false;
  TRAM_TRY(fresh, keep_view_conflict(txn, {ViewConflict::Kind::cosigner, party, now, one.checkpoint.size,
                                           encode_held(one.text, one.signature)}));
  if (fresh) log_.error("view.contradicts", {{"party", party}, {"size", one.checkpoint.size}});
  return true;
}

Result<void> Views::take(WriteTxn& txn, Time now, std::span<const Bytes> notes) {
  bool changed = false;
  for (const Bytes& bytes : notes) {
    // Most answers bring what is held here, byte for byte.
    if (!changed && std::find(notes_.begin(), notes_.end(), bytes) != notes_.end()) continue;
    const auto note = crypto::decode_signed_checkpoint(bytes);
    if (!note || note->checkpoint.size == 0 || note->checkpoint.origin != directory_origin(directory_.realm())) continue;
    for (const auto& signature : note->note.signatures) {
      // What is known costs no verification: every answer of every broker brings the same notes, and some bring what a
      // witness had signed a while before.
      const bool known = std::any_of(held_.begin(), held_.end(), [&](const auto& of) {
        const Held& one = of.second;
        if (one.text != note->note.text) return false;
        if (one.signature.signature == signature.signature) return true;
        return one.signature.name == signature.name && one.signature.key_id == signature.key_id && one.at <= now + limits::clock_tolerance &&
               Reader(signature.signature).u64() <= Reader(one.signature.signature).u64();
      });
      if (known) continue;
      const auto made = find_cosignature(directory_, now, note->note.text, signature);
      if (!made || made->at > now + limits::clock_tolerance) continue;
      Held one{note->checkpoint, note->note.text, signature, made->at};
      if (key_ && made->by == self_) {
        // Ours, of a store that was put back since: nothing smaller is signed again.
        own_seen_ = std::max(own_seen_, one.checkpoint.size);
        continue;
      }
      // Whatever it signed before or after: two roots of one size are never both true.
      TRAM_TRY(contradiction, contradicts(txn, now, made->by, one));
      if (contradiction) continue;
      const auto held = held_.find(made->by);
      const bool from_the_future = held != held_.end() && held->second.at > now + limits::clock_tolerance;
      if (held != held_.end() && !from_the_future &&
          std::pair(one.checkpoint.size, one.at) <= std::pair(held->second.checkpoint.size, held->second.at))
        continue;
      TRAM_OK(keep(txn, made->by, std::move(one)));
      changed = true;
    }
  }
  if (!changed) return {};
  gather();
  return settle(txn, now);
}

Result<void> Views::settle(WriteTxn& txn, Time now) {
  std::map<PartyId, Time> signed_at;
  std::vector<PartyId> wrong;
  for (const auto& [party, one] : held_) {
    TRAM_TRY(contradiction, contradicts(txn, now, party, one));
    if (contradiction) wrong.push_back(party);
    else if (one.checkpoint.size == directory_.size() && one.at <= now + limits::clock_tolerance)
      signed_at[party] = one.at;
  }
  for (const PartyId& party : wrong) {
    TRAM_OK(txn.erase(view_table, party));
    held_.erase(party);
  }
  if (!wrong.empty()) gather();
  const Time at = quorum_time(directory_, now, signed_at);
  // What all clocks once said of a day to come gives way to what is true.
  if (at.ms == 0 || (at <= confirmed_ && confirmed_ <= now + limits::clock_tolerance)) return {};
  confirmed_ = at;
  Bytes state;
  Writer(state).u64(since_.wire()).u64(confirmed_.wire());
  return txn.put(view_table, tram::view(state_key), state);
}

Result<void> Views::sign_if_due(WriteTxn& txn, Time now) {
  if (!key_ || directory_.size() == 0 || directory_.size() < own_seen_) return {};
  const crypto::Checkpoint checkpoint{directory_origin(directory_.realm()), directory_.size(), directory_.root()};
  if (const auto held = held_.find(self_); held != held_.end()) {
    const Held& last = held->second;
    const bool current = last.checkpoint == checkpoint;
    const bool of_now = now - last.at < limits::view_renewed_every && last.at - now <= limits::clock_tolerance;
    if (last.checkpoint.size > checkpoint.size || (current && of_now)) return {};
  }
  const std::string text = crypto::checkpoint_text(checkpoint);
  Held own{checkpoint, text, crypto::cosign(text, crypto::cosigner_name(directory_.realm(), kind_, self_), now, *key_), now};
  TRAM_OK(keep(txn, self_, std::move(own)));
  gather();
  return settle(txn, now);
}

/// One note a view, with the signatures of all who cosigned it.
void Views::gather() {
  std::map<std::pair<uint64_t, std::string>, crypto::Note, std::greater<>> by_view;
  for (const auto& [party, one] : held_) {
    crypto::Note& note = by_view[{one.checkpoint.size, one.text}];
    note.text = one.text;
    if (note.signatures.size() < crypto::note_signatures_max) note.signatures.push_back(one.signature);
  }
  notes_.clear();
  size_t bytes = 0;
  for (const auto& [view, note] : by_view) {
    Bytes encoded = crypto::encode_note(note);
    bytes += encoded.size();
    if (encoded.size() > limits::checkpoint_note_bytes_max || bytes > limits::views_bytes_per_frame_max ||
        notes_.size() == limits::views_per_frame_max)
      break;
    notes_.push_back(std::move(encoded));
  }
}

std::vector<Views::Known> Views::known() const {
  std::vector<Known> out;
  for (const auto& [party, one] : held_) out.push_back({party, one.checkpoint.size, one.at});
  return out;
}

Duration Views::age(Time now) const {
  const Time from = confirmed_.ms != 0 ? confirmed_ : since_;
  return now > from ? now - from : Duration{};
}

}  // namespace tram::audit
