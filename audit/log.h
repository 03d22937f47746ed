// The RFC 6962 log of a daemon: every state change appends its leaf in the transaction that makes the change (4.3).
// Invariants: append-only; entry, salt and leaf are stored with the state they record; the head is {size, frontier}.
// What one step appends lies in one row, as far as a page holds it.
// Tiles of 256 hashes are written as they fill. A log that was put back to an older copy goes on from what its witnesses
// mirrored (rebase), or, where nobody did, in a new generation; either way no entry is thrown away (4.4).
// Not here: checkpoints (own_log.h), who witnesses (witness.h). Thread: the step's.
#pragma once
#include "base/ports.h"
#include "crypto/merkle.h"

namespace tram::audit {

std::span<const Table> tables();

/// What a leaf records; the numbers are for ever (FORMAT.md).
enum class LeafKind : uint16_t {
  log_opened = 1,
  // broker
  custody_given = 10,
  custody_refused = 11,
  handed = 12,
  ack_stored = 13,
  nack_stored = 14,
  cancelled = 15,
  expired = 16,
  mail_stored = 17,
  mail_done = 18,
  epoch_opened = 19,
  body_freed = 20,
  mail_expired = 21,
  requeued = 22,
  custody_void = 30,  // env_id: its body was found damaged here, its sender was told (R7, 3.9)
  // node
  document_submitted = 40,
  outbox_stored = 41,
  custody_held = 42,
  custody_voided = 43,
  accepted = 44,
  document_stored = 45,
  receipt_issued = 46,
  receipt_held = 47,
  document_registered = 48,
  document_refused = 49,
  status_changed = 50,
  recall_applied = 51,
  reissued = 52,
  position_voided = 53,
  rejected = 54,
  quarantined = 55,
  kx_rotated = 56,
  kx_destroyed = 57,
  body_removed = 58,
  recovery_begun = 59,
  incarnation_opened = 60,
  recovery_ended = 61,
  redelivered = 62,
  backed_up = 63,
  readdressed = 64,        // doc_id, the agency that closed, its successor (R31)
  undeliverable = 65,      // doc_id, recipient
  body_damaged = 70,   // doc_id: what the scrub found
  body_repaired = 71,
  // both
  directory_applied = 80,
  kx_feed_stored = 81,
  log_recovered = 82,      // u64 first leaf without entry, u64 size known to witnesses: a restored copy went on
  generation_opened = 83,  // the last witnessed checkpoint of the generation before
};

struct LogEntry {
  LeafKind kind;
  Time time;
  std::array<uint8_t, 16> salt;
  Bytes entry;
};

/// Appends entry after entry; one Log object per daemon, made at start-up, advanced with the transaction.
class Log {
 public:
  /// Reads the head; an empty store starts an empty log. Call again after an aborted transaction.
  Result<void> load(ReadTxn&);
  /// Index of the new leaf. The salt comes from `random` (16 bytes).
  Result<uint64_t> append(WriteTxn&, LeafKind, Time now, BytesView entry, Random& random);
  /// Writes the head and the entries that wait for it; call once at the end of every step that appended.
  Result<void> store_head(WriteTxn&);
  uint64_t size() const { return frontier_.size; }
  Hash root() const { return frontier_.root(); }
  uint32_t generation() const { return generation_; }
  /// As the functions of the same names below, with no entry read again whose leaf hash is in memory.
  Result<std::vector<Hash>> leaf_hashes(ReadTxn&, uint64_t from, uint64_t until) const;
  Result<Hash> root_at(ReadTxn&, uint64_t size) const;
  Result<std::vector<Hash>> consistency_proof(ReadTxn&, uint64_t old_size, uint64_t new_size) const;
  Result<crypto::Frontier> frontier_at(ReadTxn&, uint64_t size) const;

  /// What a restored copy takes over from the witnesses' mirrors.
  struct Missing {
    uint64_t agreed = 0;          // leaves that this copy and the mirror share for certain
    std::span<const Hash> leaves; // the mirror's from there on
  };
  /// Goes on behind the mirrored leaves: those that are not ours stay without entry, what we appended beside them is
  /// appended again, then log_recovered. Their root is the caller's to check. The index of the first leaf without entry.
  Result<uint64_t> rebase(WriteTxn&, const Missing&, Time now, Random&);
  /// Of an empty log, before its first entry: it may stand in the place of a lost one, and must not contradict it (I10).
  Result<void> draw_generation(WriteTxn&, Random&);
  /// Begins an empty tree above generation `above` too: generation_opened with `last_note`, then our entries from
  /// `ours_from` on again.
  Result<void> open_generation(WriteTxn&, uint32_t above, BytesView last_note, uint64_t ours_from, Time now, Random&);

 private:
  std::optional<std::vector<Hash>> kept_tile(uint32_t generation, const crypto::Frontier&) const;
  Result<void> append_entry(WriteTxn&, const LogEntry&);
  Result<void> append_hash(WriteTxn&, const Hash&);
  Result<void> write_waiting(WriteTxn&);
  Result<std::vector<LogEntry>> take_entries(WriteTxn&, uint64_t from);

  uint32_t generation_ = 0;
  crypto::Frontier frontier_;
  std::vector<Hash> tile_;  // leaf hashes of the tile that is filling
  Bytes waiting_;           // entries of this step, from number waiting_from_ on, that are not in the store yet
  uint64_t waiting_from_ = 0;
  bool dirty_ = false;
};

/// Of the generation that goes on, as stored by store_head(). Nothing for a leaf taken over from a mirror.
Result<std::optional<LogEntry>> read_entry(ReadTxn&, uint64_t index);
/// Leaf hashes [from, until) recomputed from entries or read from tiles.
Result<std::vector<Hash>> leaf_hashes(ReadTxn&, uint64_t from, uint64_t until);
/// Root over the first `size` leaves, and the proofs of RFC 6962; sizes at most the log's (bad_request).
Result<Hash> root_at(ReadTxn&, uint64_t size);
Result<std::vector<Hash>> inclusion_proof(ReadTxn&, uint64_t index, uint64_t size);
/// Empty when old_size is 0 or new_size.
Result<std::vector<Hash>> consistency_proof(ReadTxn&, uint64_t old_size, uint64_t new_size);
Result<crypto::Frontier> frontier_at(ReadTxn&, uint64_t size);

}  // namespace tram::audit
