// A witness of other parties' logs (protocol.md 4.3, C2SP tlog-witness): cosigns what is consistent with what it saw
// before, mirrors leaf hashes so that a restored log can go on (4.4), keeps evidence against a log that forked.
// Invariants: what it cosigns is stored in the transaction before the cosignature leaves; the old size must be the one
// stored, else the answer is conflict and the stored note; a mirrored leaf is under a root that the log signed; evidence
// holds two checkpoints signed by the log's own key that cannot both be true, so it convicts nobody honest.
// Not here: frames' ways (broker/witness.cpp, witness loop), the witness's own log (own_log.h). Thread: the step's.
#pragma once
#include "audit/evidence.h"
#include "base/ports.h"
#include "crypto/merkle.h"
#include "directory/directory.h"
#include "proto/wire.h"

namespace tram::audit {

inline constexpr Table witness_log_table{"witness_log"};    // party || u32 generation -> u64 cosigned ms || u32 n || note(n) || mirror's frontier
inline constexpr Table witness_tile_table{"witness_tile"};  // party || u32 generation || u64 tile -> its leaf hashes, up to 256
inline constexpr Table witness_node_table{"witness_node"};  // party || u32 generation || u8 level || u64 index -> root of a subtree
inline constexpr Table log_seen_table{"log_seen"};          // party -> note: the newest checkpoint seen, by who mirrors nothing
inline constexpr Table evidence_table{"evidence"};          // evidence_id(origin) -> u64 found ms || Evidence

inline constexpr Duration answer_overdue = seconds(10);    // what was asked for is asked for again
inline constexpr Duration cosign_again_after = hours(12);  // R28 warns after 24 hours

/// Which of two checkpoints of one log is the newer: by generation, then by size.
std::pair<uint32_t, uint64_t> rank(const crypto::Checkpoint&);

struct KnownLog {
  crypto::Checkpoint checkpoint;
  Bytes note;             // with the cosignatures that came by
  uint64_t mirrored = 0;  // leaves held
  Time cosigned;          // by us; 0: only seen
};

/// Who cosigned, of the brokers and witnesses in force, and when.
struct Cosignature {
  crypto::LogKind kind = crypto::LogKind::broker;
  PartyId by;
  Time at;
};
std::optional<Cosignature> find_cosignature(const directory::Directory&, Time now, std::string_view text,
                                            const crypto::NoteSignature&);

struct FoundEvidence {
  Time found;
  Evidence evidence;
};
/// All that a store keeps, in order of origin hashes.
Result<std::vector<FoundEvidence>> kept_evidence(ReadTxn&);
Result<uint64_t> count_evidence(ReadTxn&);
/// Keeps it unless that log is convicted already; true when it is new. Error: of the store.
Result<bool> keep_evidence(WriteTxn&, Time now, const crypto::LogOrigin&, const Evidence&);

/// The newest checkpoint of a party's log that came by (R8): kept by who does not mirror that log, or not so far. Another root at the
/// same size becomes evidence. Notes that are not that log's change nothing. Errors: of the store.
Result<void> remember_checkpoint(WriteTxn&, Time now, const RealmId&, const PartyId&, const directory::LogOwner&,
                                 BytesView note, ::tram::Log&);
Result<Bytes> remembered_checkpoint(ReadTxn&, const PartyId&);

class Witness {
 public:
  /// `name`: crypto::cosigner_name of ours.
  Witness(RealmId realm, std::string name, std::shared_ptr<const crypto::LogKey> key, ::tram::Log& log)
      : realm_(realm), name_(std::move(name)), key_(std::move(key)), log_(log) {}

  /// What is known of a party's log, of its newest generation.
  Result<std::optional<KnownLog>> known(ReadTxn&, const PartyId&) const;
  /// What others have shown of a party's log (remember_checkpoint) when that is newer, else what is known.
  Result<std::optional<KnownLog>> newest_seen(ReadTxn&, const PartyId&) const;
  /// newest_seen() of the parties behind `after`, at most `limit`.
  Result<std::vector<KnownLog>> list(ReadTxn&, const PartyId& after, size_t limit) const;
  /// add-checkpoint of tlog-witness. `owner`: the party whose log it must be. Refusals in the reply: bad_format,
  /// forbidden (another party's log), bad_signature, conflict (another old size, or an older generation), bad_request (the
  /// proof is wrong), equivocation (the log is convicted). Errors: of the store.
  Result<proto::CheckpointReply> add(WriteTxn&, Time now, const PartyId& party, const directory::LogOwner& owner,
                                     const proto::CheckpointPut&);
  /// A checkpoint read from another witness, with the leaf hashes behind those that are mirrored: they must make its
  /// root. Our cosigned note, or nothing when they do not, or the log is convicted. Errors: of the store.
  Result<std::optional<Bytes>> adopt(WriteTxn&, Time now, const PartyId& party, const directory::LogOwner& owner,
                                     BytesView note, std::span<const Hash> leaves);
  /// A note of any log, as others have it: their cosignatures are kept if it is the one known here; a contradiction to
  /// what is known becomes evidence. Errors: of the store.
  enum class Seen : uint8_t { nothing, all_held, kept };  // all_held: the note known here, with no signature but those held
  Result<Seen> see(WriteTxn&, Time now, const directory::Directory&, const PartyId& party,
                   const directory::LogOwner& owner, BytesView note);
  /// At most `count` leaf hashes from `from` on, of what is mirrored.
  Result<std::vector<Hash>> leaves(ReadTxn&, const PartyId&, uint32_t generation, uint64_t from, size_t count) const;
  const std::string& name() const { return name_; }

 private:
  struct Row;
  Result<std::optional<Row>> newest(ReadTxn&, const PartyId&) const;
  Result<void> contradicts(WriteTxn&, Time now, const LogPublic& key, const Row& known,
                           const crypto::SignedCheckpoint& other, bool& found);
  Result<bool> extend_mirror(WriteTxn&, const PartyId&, Row&, const proto::CheckpointPut&);

  RealmId realm_;
  std::string name_;
  std::shared_ptr<const crypto::LogKey> key_;
  ::tram::Log& log_;
};

}  // namespace tram::audit
