// A party's own log before its witnesses (protocol.md 4.3, 4.4; R8, R23): checkpoints every 30 s if it grew, posted to
// each witness with the proofs and leaf hashes it lacks; the question at start whether this store is an old copy; the
// way on from what the witnesses mirrored.
//
//   unknown ── enough witnesses (or clients) know nothing newer ──► sound ── all witnesses answered ──► signs
//      └────── one shows a checkpoint that we signed and do not hold ──► restored ── leaves fetched ──► sound
//
// Invariants: a checkpoint is stored in the transaction that signs it; no smaller one and none that does not contain
// the last is ever signed; nothing is signed before *every* witness in force has said what it holds, and for a node that
// no independent witness knows more, or the log went on as a new generation, so a restored copy never forks its log. Only notes with our own LOG signature count.
// Not here: sockets; what else a restored party must do (broker.h, node.h). Thread: the step's.
#pragma once
#include <map>
#include <set>

#include "audit/log.h"
#include "audit/witness.h"
#include "crypto/note.h"
#include "directory/directory.h"
#include "proto/wire.h"

namespace tram::audit {

inline constexpr Table own_log_table{"log_signed"};  // "note" -> newest signed; "cosigned" -> newest that has cosignatures

/// The note of this store's own log to prove an entry by: the one of the newest two that has more cosignatures; empty when
/// nothing is signed yet.
Result<Bytes> best_own_note(ReadTxn&);

class OwnLog {
 public:
  enum class Standing : uint8_t { unknown, sound, restored };
  /// A frame for a witness.
  struct Send {
    PartyId to;
    proto::FrameBody body;
  };
  using Sends = std::vector<Send>;

  OwnLog(crypto::LogKind kind, PartyId self, std::shared_ptr<const crypto::LogKey> key, const directory::Directory&,
         audit::Log&, ::tram::Log&, Random&);

  /// At start: everything is to be asked again.
  Result<void> start(ReadTxn&, Time now);
  /// After an aborted transaction.
  Result<void> load(ReadTxn&);

  /// The brokers in force, without ourselves; call after start and when the directory grew. `answers_wanted` of them
  /// make the standing sound, all of them if there are fewer. `independent`: witnesses that come by themselves and vouch.
  void set_witnesses(const std::vector<PartyId>&, size_t answers_wanted, std::vector<PartyId> independent = {});
  void connected(const PartyId& witness, Time now, Sends&);
  void disconnected(const PartyId& witness);
  /// It refuses us as an older copy (R13): nothing is signed before it has said what it holds of this log.
  void fenced(const PartyId& witness);
  bool is_fenced() const { return !fenced_by_.empty(); }
  Result<void> on(WriteTxn&, Time now, const PartyId& witness, const proto::CheckpointData&, Sends&);
  Result<void> on(WriteTxn&, Time now, const PartyId& witness, const proto::CheckpointReply&, Sends&);
  Result<void> on(WriteTxn&, Time now, const PartyId& witness, const proto::LeavesData&, Sends&);
  /// What a client or an independent witness says it has seen of us (R8), empty for nothing: the word of three makes a
  /// broker's standing sound.
  Result<void> vouched(WriteTxn&, Time now, const PartyId& client, BytesView note);
  /// Our own note as somebody else holds it: cosignatures are gathered, and it may show that this is an old copy.
  Result<void> see(WriteTxn&, Time now, BytesView note);
  /// Once a second: signs what is due, posts, asks on.
  Result<void> tick(WriteTxn&, Time now, Sends&);

  Standing standing() const { return standing_; }
  /// This store is an old copy, told once a start: what it has and what witnesses have seen.
  struct Restored {
    uint64_t local_size = 0;
    uint64_t seen_size = 0;
  };
  std::optional<Restored> take_restored();
  /// Whether checkpoints are being signed.
  bool signs() const { return may_sign_ && standing_ == Standing::sound; }
  /// Newest signed checkpoint with the cosignatures that came so far; empty when there is none.
  const Bytes& note() const { return note_bytes_; }
  /// The newest that a witness holds, or nothing; where there is no witness, note(). For clients: a checkpoint that only a
  /// client has seen is one that a copy of this store would not be told of before it signs another (R8, I10).
  const Bytes& witnessed_note() const {
    return peers_.empty() || (newest_ && newest_->note.signatures.size() > 1) ? note_bytes_ : witnessed_bytes_;
  }
  /// Witnesses whose cosignature the newest note has.
  uint64_t checkpoint_size() const { return newest_ ? newest_->checkpoint.size : 0; }
  size_t cosigners() const { return cosigners_.size(); }

 private:
  struct Peer {
    bool answered = false;     // since start
    bool unsure = false;       // an independent witness may know more than it does
    uint32_t generation = 0;   // of what it holds
    uint64_t size = 0;
    uint64_t mirrored = 0;
    Time cosigned;             // when its cosignature of the newest note came, 0: not yet
    Time asked;                // the request that waits for an answer, 0: none
    Time asked_again;          // because it was unsure
    Time not_before;           // after a refusal
  };
  struct Recovery {
    crypto::Checkpoint target;
    Bytes note;
    uint64_t agreed = 0;
    crypto::Frontier frontier;
    std::vector<Hash> leaves;
    PartyId source;
    Time asked;
    Time since;
    std::set<PartyId> failed;
  };
  void forget_times(Time now);
  bool is_ours(ReadTxn&, Time now, const crypto::SignedCheckpoint&) const;
  Result<void> examine(WriteTxn&, Time now, BytesView note, const std::optional<crypto::SignedCheckpoint>& shown, bool& counts);
  Result<void> sign_if_due(WriteTxn&, Time now);
  Result<Hash> own_root(WriteTxn&, uint64_t size);
  Result<void> keep_note(WriteTxn&, crypto::SignedCheckpoint);
  Result<void> add_cosignatures(WriteTxn&, Time now, std::span<const crypto::NoteSignature>);
  Result<void> post(ReadTxn&, Time now, const PartyId&, Peer&, Sends&);
  void gather(Time now, Sends&);
  Result<void> fetch(WriteTxn&, Time now, Sends&);
  Result<void> go_on(WriteTxn&, Time now);
  bool all_answered() const;
  void settle_standing();

  crypto::LogKind kind_;
  PartyId self_;
  std::shared_ptr<const crypto::LogKey> key_;
  const directory::Directory& directory_;
  audit::Log& audit_;
  ::tram::Log& log_;
  Random& random_;

  Standing standing_ = Standing::unknown;
  bool may_sign_ = false;
  bool witnesses_known_ = false;
  bool patient_ = true;  // an unsure answer does not make the standing sound yet
  size_t answers_wanted_ = 0;
  std::map<PartyId, Peer> peers_;
  std::set<PartyId> connected_;
  std::vector<PartyId> independent_;
  std::set<PartyId> vouchers_;
  std::set<PartyId> fenced_by_;
  std::optional<Recovery> recovery_;
  std::map<std::pair<uint32_t, uint64_t>, Hash> roots_;  // of our own tree, by generation and size
  std::optional<Restored> restored_;
  bool told_ = false;
  bool doubtful_ = false;  // the log was or will be changed by a recovery: an aborted transaction asks anew
  Time started_, signed_at_, gather_until_, gathered_, last_tick_;
  std::optional<crypto::SignedCheckpoint> newest_;
  Bytes note_bytes_;
  Bytes witnessed_bytes_;  // an earlier note, with cosignatures
  std::set<PartyId> cosigners_;
};

}  // namespace tram::audit
