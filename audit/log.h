// The RFC 6962 log of a daemon: every state change appends its leaf in the transaction that makes the change (4.3).
// Invariants: append-only; entry, salt and leaf are stored with the state they record; the head is {size, frontier}.
// Tiles of 256 hashes are written as they fill. Checkpoints, witnesses and proofs come with a later issue.
// Thread: the step's.
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
  // both
  directory_applied = 80,
  kx_feed_stored = 81,
};

/// Appends entry after entry; one Log object per daemon, made at start-up, advanced with the transaction.
class Log {
 public:
  /// Reads the head; an empty store starts an empty log. Call again after an aborted transaction.
  Result<void> load(ReadTxn&);
  /// Index of the new leaf. The salt comes from `random` (16 bytes).
  Result<uint64_t> append(WriteTxn&, LeafKind, Time now, BytesView entry, Random& random);
  /// Writes the head; call once at the end of every step that appended.
  Result<void> store_head(WriteTxn&);
  uint64_t size() const { return frontier_.size; }
  Hash root() const { return frontier_.root(); }

 private:
  crypto::Frontier frontier_;
  std::vector<Hash> tile_;  // leaf hashes of the tile that is filling
  bool dirty_ = false;
};

struct LogEntry {
  LeafKind kind;
  Time time;
  std::array<uint8_t, 16> salt;
  Bytes entry;
};
Result<std::optional<LogEntry>> read_entry(ReadTxn&, uint64_t index);
/// Leaf hashes [from, until) recomputed from entries or read from tiles.
Result<std::vector<Hash>> leaf_hashes(ReadTxn&, uint64_t from, uint64_t until);

}  // namespace tram::audit
