#include "audit/witness.h"

#include <algorithm>

#include "audit/tree.h"
#include "base/limits.h"

namespace tram::audit {
namespace {

Bytes log_key(const PartyId& party, uint32_t generation) {
  Bytes key;
  Writer(key).raw(party).u32(generation);
  return key;
}

Bytes tile_key(BytesView log, uint64_t tile) {
  Bytes key = to_bytes(log);
  Writer(key).u64(tile);
  return key;
}

Result<std::vector<Hash>> read_tile(ReadTxn& txn, BytesView log, uint64_t tile) {
  TRAM_TRY(row, txn.get(witness_tile_table, tile_key(log, tile)));
  std::vector<Hash> out;
  if (!row) return out;
  if (row->size() % Hash::size != 0 || row->size() > tile_hashes * Hash::size)
    return fail(ErrorCode::store_corrupt, "mirrored tile");
  for (size_t at = 0; at < row->size(); at += Hash::size)
    out.push_back(*Hash::from(BytesView(*row).subspan(at, Hash::size)));
  return out;
}

class MirrorTree final : public TreeSource {
 public:
  MirrorTree(ReadTxn& txn, Bytes log) : txn_(txn), log_(std::move(log)) {}
  Result<std::vector<Hash>> leaves(uint64_t from, uint64_t until) override {
    std::vector<Hash> out;
    while (from < until) {
      const uint64_t tile = from / tile_hashes, begin = tile * tile_hashes;
      const uint64_t end = std::min(begin + tile_hashes, until);
      TRAM_TRY(held, read_tile(txn_, log_, tile));
      if (held.size() < end - begin) return fail(ErrorCode::store_corrupt, "mirrored tile");
      out.insert(out.end(), held.begin() + static_cast<ptrdiff_t>(from - begin),
                 held.begin() + static_cast<ptrdiff_t>(end - begin));
      from = end;
    }
    return out;
  }
  Result<std::optional<Hash>> node(uint8_t level, uint64_t index) override {
    return NodeRows{witness_node_table, log_}.get(txn_, level, index);
  }

 private:
  ReadTxn& txn_;
  Bytes log_;
};

/// The note with the log's own signature alone.
crypto::Note bare_note(const crypto::SignedCheckpoint& signed_checkpoint, const LogPublic& key) {
  crypto::Note note{signed_checkpoint.note.text, {}};
  const std::string name = signed_checkpoint.checkpoint.origin.text();
  for (const auto& one : signed_checkpoint.note.signatures)
    if (note.signatures.empty() && crypto::verify_note_signature(note.text, one, name, key))
      note.signatures.push_back(one);
  return note;
}
Bytes bare(const crypto::SignedCheckpoint& signed_checkpoint, const LogPublic& key) {
  return crypto::encode_note(bare_note(signed_checkpoint, key));
}

/// The key of the log's owner under which this is signed.
const LogPublic* signing_key(const directory::LogOwner& owner, const crypto::SignedCheckpoint& signed_checkpoint) {
  for (auto it = owner.keys.rbegin(); it != owner.keys.rend(); ++it)
    if (crypto::verify_checkpoint(signed_checkpoint, *it)) return &*it;
  return nullptr;
}

struct Shown {
  crypto::SignedCheckpoint signed_checkpoint;
  const LogPublic* key;  // of the owner
  const crypto::Checkpoint& checkpoint() const { return signed_checkpoint.checkpoint; }
  const crypto::Note& note() const { return signed_checkpoint.note; }
};
/// The note as a checkpoint of that party's log, signed by a key that it has or had.
std::optional<Shown> checkpoint_of(const RealmId& realm, const PartyId& party, const directory::LogOwner& owner, BytesView note) {
  auto decoded = crypto::decode_signed_checkpoint(note);
  if (!decoded) return std::nullopt;
  const auto& origin = decoded->checkpoint.origin;
  if (origin != crypto::log_origin(realm, owner.kind, party, origin.generation)) return std::nullopt;
  const LogPublic* key = signing_key(owner, *decoded);
  if (!key) return std::nullopt;
  return Shown{std::move(*decoded), key};
}

/// Whether `held` says all that `shown` does: the same, or that witness's later cosignature of the same text. Two lists that
/// carry different ones would else take turns for ever.
bool is_as_new(const crypto::NoteSignature& held, const crypto::NoteSignature& shown) {
  if (held.name != shown.name) return false;
  if (held.signature == shown.signature) return true;
  return held.key_id == shown.key_id && Reader(shown.signature).u64() <= Reader(held.signature).u64();
}

/// Puts a signature beside the others, in place of an older one of that name and key.
void set_signature(crypto::Note& note, crypto::NoteSignature signature) {
  for (auto& one : note.signatures) {
    if (one.name != signature.name || one.key_id != signature.key_id) continue;
    one = std::move(signature);
    return;
  }
  if (note.signatures.size() < crypto::note_signatures_max) note.signatures.push_back(std::move(signature));
}

}  // namespace

std::pair<uint32_t, uint64_t> rank(const crypto::Checkpoint& one) { return {one.origin.generation, one.size}; }

std::optional<Cosignature> find_cosignature(const directory::Directory& directory, Time now, std::string_view text,
                                            const crypto::NoteSignature& signature) {
  const auto by = crypto::cosigner_of(signature.name);
  if (!by) return std::nullopt;
  const auto made_with = [&](const LogPublic& key) -> std::optional<Cosignature> {
    const auto at = crypto::verify_cosignature(text, signature, crypto::cosigner_name(directory.realm(), by->kind, by->party), key);
    if (!at) return std::nullopt;
    return Cosignature{by->kind, by->party, *at};
  };
  if (by->kind == crypto::LogKind::broker)
    if (const auto* broker = directory.broker_in_force(by->party, now)) return made_with(broker->record.log);
  if (by->kind == crypto::LogKind::witness)
    if (const auto* witness = directory.witness_in_force(by->party, now)) return made_with(witness->record.log);
  return std::nullopt;
}

// ---- evidence ---------------------------------------------------------------------------------------------

Result<std::vector<FoundEvidence>> kept_evidence(ReadTxn& txn) {
  TRAM_TRY(rows, txn.scan(evidence_table, {}, {}, limits::evidence_kept_max));
  std::vector<FoundEvidence> out;
  for (const auto& row : rows) {
    Reader reader(row.value);
    FoundEvidence found;
    found.found = Time{static_cast<int64_t>(reader.u64())};
    auto decoded = decode_evidence(reader.raw(reader.left()));
    if (!decoded) return fail(ErrorCode::store_corrupt, "evidence");
    found.evidence = std::move(*decoded);
    out.push_back(std::move(found));
  }
  return out;
}

Result<uint64_t> count_evidence(ReadTxn& txn) {
  TRAM_TRY(rows, txn.scan(evidence_table, {}, {}, limits::evidence_kept_max));
  return rows.size();
}

Result<bool> keep_evidence(WriteTxn& txn, Time now, const crypto::LogOrigin& origin, const Evidence& evidence) {
  const Hash id = evidence_id(origin);
  TRAM_TRY(held, txn.get(evidence_table, id));
  if (held) return false;
  TRAM_TRY(count, count_evidence(txn));
  if (count >= limits::evidence_kept_max) return false;
  Bytes row;
  Writer(row).u64(now.wire()).raw(encode_evidence(evidence));
  TRAM_OK(txn.put(evidence_table, id, row));
  return true;
}

// ---- what others' logs have shown -------------------------------------------------------------------------

Result<Bytes> remembered_checkpoint(ReadTxn& txn, const PartyId& party) {
  TRAM_TRY(row, txn.get(log_seen_table, party));
  return row ? std::move(*row) : Bytes{};
}

Result<void> remember_checkpoint(WriteTxn& txn, Time now, const RealmId& realm, const PartyId& party,
                                 const directory::LogOwner& owner, BytesView note, ::tram::Log& log) {
  const auto seen = checkpoint_of(realm, party, owner, note);
  if (!seen) {
    log.warning("checkpoint.was_not_theirs", {{"party", party}});
    return {};
  }
  TRAM_TRY(held, remembered_checkpoint(txn, party));
  const auto before = crypto::decode_signed_checkpoint(held);
  if (before) {
    const auto &a = before->checkpoint, &b = seen->checkpoint();
    const LogPublic& key = *seen->key;
    if (a.origin == b.origin && a.size == b.size && a.root != b.root && crypto::verify_checkpoint(*before, key)) {
      TRAM_TRY(fresh, keep_evidence(txn, now, a.origin, Evidence{bare(*before, key), bare(seen->signed_checkpoint, key), {}, {}, {}}));
      if (fresh) log.error("evidence.was_found", {{"party", party}, {"size", a.size}});
      return {};
    }
    if (rank(b) < rank(a)) return {};
  }
  return txn.put(log_seen_table, party, note);
}

// ---- the witness ------------------------------------------------------------------------------------------

struct Witness::Row {
  PartyId party;
  Time cosigned;
  crypto::SignedCheckpoint known;
  crypto::Frontier mirror;
  Bytes stored_note;  // as it was read

  uint32_t generation() const { return known.checkpoint.origin.generation; }
  Bytes key() const { return log_key(party, generation()); }
  Bytes encode() const {
    const Bytes note = crypto::encode_note(known.note);
    Bytes out;
    Writer(out).u64(cosigned.wire()).u32(static_cast<uint32_t>(note.size())).raw(note).raw(crypto::encode_frontier(mirror));
    return out;
  }
  static Result<Row> decode(BytesView key, BytesView value) {
    Row row;
    Reader key_reader(key), reader(value);
    row.party = PartyId{key_reader.array<PartyId::size>()};
    const uint32_t generation = key_reader.u32();
    row.cosigned = Time{static_cast<int64_t>(reader.u64())};
    row.stored_note = to_bytes(reader.raw(reader.u32()));
    auto known = crypto::decode_signed_checkpoint(row.stored_note);
    auto mirror = crypto::decode_frontier(reader.raw(reader.left()));
    if (!reader.finish() || !key_reader.finish() || !known || !mirror ||
        known->checkpoint.origin.generation != generation)
      return fail(ErrorCode::store_corrupt, "witnessed log");
    row.known = std::move(*known);
    row.mirror = std::move(*mirror);
    return row;
  }
  /// Of a row as it was read.
  KnownLog as_known() && { return {known.checkpoint, std::move(stored_note), mirror.size, cosigned}; }
};

Result<std::optional<Witness::Row>> Witness::newest(ReadTxn& txn, const PartyId& party) const {
  TRAM_TRY(rows, txn.scan(witness_log_table, party, prefix_end(party), 1, Direction::backward));
  if (rows.empty()) return std::optional<Row>{};
  TRAM_TRY(row, Row::decode(rows.front().key, rows.front().value));
  return std::optional<Row>(std::move(row));
}

Result<std::optional<KnownLog>> Witness::known(ReadTxn& txn, const PartyId& party) const {
  TRAM_TRY(row, newest(txn, party));
  if (!row) return std::optional<KnownLog>{};
  return std::optional<KnownLog>(std::move(*row).as_known());
}

Result<std::optional<KnownLog>> Witness::newest_seen(ReadTxn& txn, const PartyId& party) const {
  TRAM_TRY(held, known(txn, party));
  TRAM_TRY(note, remembered_checkpoint(txn, party));
  const auto seen = crypto::decode_signed_checkpoint(note);
  if (!seen || (held && rank(seen->checkpoint) <= rank(held->checkpoint))) return held;
  const bool same_tree = held && held->checkpoint.origin == seen->checkpoint.origin;
  return std::optional<KnownLog>(KnownLog{seen->checkpoint, std::move(note), same_tree ? held->mirrored : 0, {}});
}

Result<std::vector<KnownLog>> Witness::list(ReadTxn& txn, const PartyId& after, size_t limit) const {
  std::vector<KnownLog> out;
  Bytes from = after.is_zero() ? Bytes{} : prefix_end(after);
  if (!after.is_zero() && from.empty()) return out;
  const auto next_in = [&](const Table& in) -> Result<std::optional<PartyId>> {
    TRAM_TRY(rows, txn.scan(in, from, {}, 1));
    if (rows.empty() || rows.front().key.size() < PartyId::size) return std::optional<PartyId>{};
    return PartyId::from(BytesView(rows.front().key).first(PartyId::size));
  };
  while (out.size() < limit) {
    TRAM_TRY(of_known, next_in(witness_log_table));
    TRAM_TRY(of_seen, next_in(log_seen_table));
    if (!of_known && !of_seen) break;
    const PartyId party = !of_known ? *of_seen : !of_seen ? *of_known : std::min(*of_known, *of_seen);
    TRAM_TRY(newest, newest_seen(txn, party));
    if (newest) out.push_back(std::move(*newest));
    from = prefix_end(party);
    if (from.empty()) break;
  }
  return out;
}

/// `other` is signed by `key`. A contradiction that cannot be proven yet is found, and not kept.
Result<void> Witness::contradicts(WriteTxn& txn, Time now, const LogPublic& key, const Row& row,
                                  const crypto::SignedCheckpoint& other, bool& found) {
  found = false;
  const auto &held = row.known.checkpoint, &shown = other.checkpoint;
  if (held.origin != shown.origin || shown.size > held.size || shown.size == 0) return {};
  if (shown.size == held.size ? shown.root == held.root : row.mirror.size < shown.size) return {};  // the same, or not to be told yet
  if (!crypto::verify_checkpoint(row.known, key)) return {};
  Evidence evidence;
  if (shown.size < held.size) {
    MirrorTree mirror(txn, row.key());
    TRAM_TRY(prefix_root, tree_root(mirror, shown.size));
    if (prefix_root == shown.root) return {};
    if (row.mirror.size < held.size) {  // true, but not yet to be proven
      found = true;
      return {};
    }
    TRAM_TRY(proof, tree_consistency(mirror, shown.size, held.size));
    evidence.prefix_root = prefix_root;
    evidence.proof = std::move(proof);
  }
  found = true;
  evidence.first = bare(other, key);
  evidence.second = bare(row.known, key);
  TRAM_TRY(fresh, keep_evidence(txn, now, held.origin, evidence));
  if (fresh) log_.error("evidence.was_found", {{"party", row.party}, {"size", shown.size}});
  return {};
}

/// Takes over leaves that lie under the known checkpoint. False when they do not.
Result<bool> Witness::extend_mirror(WriteTxn& txn, const PartyId&, Row& row, const proto::CheckpointPut& put) {
  const crypto::Checkpoint& checkpoint = row.known.checkpoint;
  if (put.leaves.empty() || put.leaves_from != row.mirror.size) return true;
  if (put.leaves.size() > checkpoint.size - row.mirror.size) return false;
  crypto::Frontier next = row.mirror;
  for (const Hash& leaf : put.leaves) next.append(leaf);
  if (!crypto::verify_consistency(next.size, checkpoint.size, next.root(), checkpoint.root, put.leaves_proof))
    return false;
  const Bytes log = row.key();
  const NodeRows nodes{witness_node_table, log};
  auto leaf = put.leaves.begin();
  for (uint64_t at = row.mirror.size; at < next.size;) {
    const uint64_t tile = at / tile_hashes;
    std::vector<Hash> hashes;
    if (at % tile_hashes != 0) {
      TRAM_TRY(held, read_tile(txn, log, tile));
      if (held.size() != at % tile_hashes) return fail(ErrorCode::store_corrupt, "mirrored tile");
      hashes = std::move(held);
    }
    for (; hashes.size() < tile_hashes && at < next.size; ++at) hashes.push_back(*leaf++);
    Bytes value;
    for (const Hash& one : hashes) Writer(value).raw(one.view());
    TRAM_OK(txn.put(witness_tile_table, tile_key(log, tile), value));
    if (hashes.size() == tile_hashes) TRAM_OK(nodes.put_nodes(txn, tile, hashes));
  }
  row.mirror = std::move(next);
  return true;
}

Result<proto::CheckpointReply> Witness::add(WriteTxn& txn, Time now, const PartyId& party,
                                            const directory::LogOwner& owner, const proto::CheckpointPut& put) {
  TRAM_TRY(row, newest(txn, party));
  proto::CheckpointReply reply;
  const auto refuse = [&](ErrorCode code) {
    reply.refusal = number(code);
    if (row) {
      reply.note = crypto::encode_note(row->known.note);
      reply.mirrored = row->mirror.size;
    }
    return reply;
  };
  auto shown = crypto::decode_signed_checkpoint(put.note);
  if (!shown) return refuse(ErrorCode::bad_format);
  const crypto::Checkpoint& checkpoint = shown->checkpoint;
  if (checkpoint.origin != crypto::log_origin(realm_, owner.kind, party, checkpoint.origin.generation))
    return refuse(ErrorCode::forbidden);
  if (owner.keys.empty() || !crypto::verify_checkpoint(*shown, owner.keys.back()))
    return refuse(ErrorCode::bad_signature);
  if (checkpoint.size == 0) return refuse(ErrorCode::bad_request);

  TRAM_TRY(convicted, txn.get(evidence_table, evidence_id(checkpoint.origin)));
  if (convicted) return refuse(ErrorCode::equivocation);
  if (row && row->generation() > checkpoint.origin.generation) {
    TRAM_TRY(older, txn.get(witness_log_table, log_key(party, checkpoint.origin.generation)));
    bool found = false;
    if (older) {
      TRAM_TRY(older_row, Row::decode(log_key(party, checkpoint.origin.generation), *older));
      TRAM_OK(contradicts(txn, now, owner.keys.back(), older_row, *shown, found));
    }
    return refuse(found ? ErrorCode::equivocation : ErrorCode::conflict);
  }
  if (row && row->generation() == checkpoint.origin.generation) {
    const crypto::Checkpoint& held = row->known.checkpoint;
    bool found = false;
    TRAM_OK(contradicts(txn, now, owner.keys.back(), *row, *shown, found));
    if (found) return refuse(ErrorCode::equivocation);
    if (put.old_size != held.size || checkpoint.size < held.size) return refuse(ErrorCode::conflict);
    if (!crypto::verify_consistency(held.size, checkpoint.size, held.root, checkpoint.root, put.proof)) {
      log_.warning("checkpoint.was_inconsistent", {{"party", party}, {"size", checkpoint.size}});
      // It proves nothing yet. When the log that is known here reaches that size, it will tell.
      if (const Bytes suspect = row->key(); checkpoint.size > held.size) {
        TRAM_TRY(kept, txn.get(log_seen_table, suspect));
        const auto before = crypto::decode_signed_checkpoint(kept.value_or(Bytes{}));
        if (!before || checkpoint.size < before->checkpoint.size)
          TRAM_OK(txn.put(log_seen_table, suspect, bare(*shown, owner.keys.back())));
      }
      return refuse(ErrorCode::bad_request);
    }
    if (checkpoint.size > held.size) row->known = {checkpoint, bare_note(*shown, owner.keys.back())};
  } else {
    if (put.old_size != 0) return refuse(ErrorCode::conflict);
    row = Row{party, {}, {checkpoint, bare_note(*shown, owner.keys.back())}, {}, {}};
  }
  crypto::Note& note = row->known.note;
  TRAM_TRY(extended, extend_mirror(txn, party, *row, put));
  if (!extended) log_.warning("leaves.were_wrong", {{"party", party}, {"from", put.leaves_from}});
  if (row->mirror.size == row->known.checkpoint.size) {
    TRAM_TRY(suspect, txn.get(log_seen_table, row->key()));
    const auto other = crypto::decode_signed_checkpoint(suspect.value_or(Bytes{}));
    if (other && other->checkpoint.size <= row->mirror.size) {
      bool found = false;
      TRAM_OK(contradicts(txn, now, owner.keys.back(), *row, *other, found));
      TRAM_OK(txn.erase(log_seen_table, row->key()));
      if (found) {
        TRAM_OK(txn.put(witness_log_table, row->key(), row->encode()));
        return refuse(ErrorCode::equivocation);
      }
    }
  }
  const crypto::NoteSignature cosignature = crypto::cosign(note.text, name_, now, *key_);
  set_signature(note, cosignature);
  row->cosigned = now;
  TRAM_OK(txn.put(witness_log_table, row->key(), row->encode()));
  reply.cosignature = to_bytes(crypto::note_signature_line(cosignature));
  reply.note = crypto::encode_note(note);
  reply.mirrored = row->mirror.size;
  return reply;
}

Result<std::optional<Bytes>> Witness::adopt(WriteTxn& txn, Time now, const PartyId& party,
                                            const directory::LogOwner& owner, BytesView note,
                                            std::span<const Hash> leaves) {
  const auto shown = checkpoint_of(realm_, party, owner, note);
  if (!shown || shown->checkpoint().size == 0) return std::optional<Bytes>{};
  const crypto::Checkpoint checkpoint = shown->checkpoint();
  TRAM_TRY(convicted, txn.get(evidence_table, evidence_id(checkpoint.origin)));
  if (convicted) return std::optional<Bytes>{};
  TRAM_TRY(row, newest(txn, party));
  if (row && row->generation() > checkpoint.origin.generation) return std::optional<Bytes>{};
  if (!row || row->generation() < checkpoint.origin.generation) row = Row{party, {}, {}, {}, {}};
  // All leaves behind the mirror are here, so one root says that the old checkpoint is part of the new one.
  crypto::Frontier next = row->mirror;
  for (const Hash& leaf : leaves) next.append(leaf);
  if (next.size != checkpoint.size || next.root() != checkpoint.root) return std::optional<Bytes>{};
  const bool same = row->known.note.text == shown->note().text;
  if (!same) row->known = {checkpoint, bare_note(shown->signed_checkpoint, *shown->key)};
  if (!leaves.empty()) {
    proto::CheckpointPut put;
    put.leaves_from = row->mirror.size;
    put.leaves.assign(leaves.begin(), leaves.end());
    TRAM_TRY(extended, extend_mirror(txn, party, *row, put));
    if (!extended) return std::optional<Bytes>{};
  }
  set_signature(row->known.note, crypto::cosign(row->known.note.text, name_, now, *key_));
  row->cosigned = now;
  TRAM_OK(txn.put(witness_log_table, row->key(), row->encode()));
  return std::optional<Bytes>(crypto::encode_note(row->known.note));
}

Result<Witness::Seen> Witness::see(WriteTxn& txn, Time now, const directory::Directory& directory, const PartyId& party,
                          const directory::LogOwner& owner, BytesView bytes) {
  const auto shown = checkpoint_of(realm_, party, owner, bytes);
  if (!shown) return Seen::nothing;
  const std::string& text = shown->note().text;
  const Bytes key = log_key(party, shown->checkpoint().origin.generation);
  TRAM_TRY(value, txn.get(witness_log_table, key));
  if (!value) return Seen::nothing;
  TRAM_TRY(row, Row::decode(key, *value));
  bool found = false;
  TRAM_OK(contradicts(txn, now, *shown->key, row, shown->signed_checkpoint, found));
  if (found) return Seen::kept;
  if (text != row.known.note.text) return Seen::nothing;
  Seen seen = Seen::all_held;
  for (const auto& one : shown->note().signatures) {
    // What is held costs no verification: every list of every broker brings it again.
    const bool held = std::any_of(row.known.note.signatures.begin(), row.known.note.signatures.end(),
                                  [&](const auto& other) { return is_as_new(other, one); });
    if (held) continue;
    if (one.name == name_ || !find_cosignature(directory, now, text, one)) {
      if (seen == Seen::all_held) seen = Seen::nothing;
      continue;
    }
    set_signature(row.known.note, one);
    seen = Seen::kept;
  }
  if (seen == Seen::kept) TRAM_OK(txn.put(witness_log_table, key, row.encode()));
  return seen;
}

Result<std::vector<Hash>> Witness::leaves(ReadTxn& txn, const PartyId& party, uint32_t generation, uint64_t from,
                                          size_t count) const {
  const Bytes key = log_key(party, generation);
  TRAM_TRY(value, txn.get(witness_log_table, key));
  if (!value) return std::vector<Hash>{};
  TRAM_TRY(row, Row::decode(key, *value));
  if (from >= row.mirror.size) return std::vector<Hash>{};
  MirrorTree mirror(txn, key);
  return mirror.leaves(from, std::min<uint64_t>(row.mirror.size, from + count));
}

}  // namespace tram::audit
