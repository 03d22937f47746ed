// Views of the directory (R27, R28; protocol.md 2.6): a witness that has verified every entry cosigns (size, root) and
// renews that signature while it is current; everybody keeps the newest of each witness and passes it on, so that one
// reachable broker is enough. From these follows until when a directory is known to be the one all others see.
// Invariants: what is cosigned is stored in the transaction that signs it; no smaller view is cosigned than one that
// came back signed by us; of one witness the largest view counts, of that the latest signature; a signature from the
// future counts for nothing; a view that contradicts the entries held here is kept as evidence and confirms nothing.
// Not here: what an old view forbids (node/), frames' ways (broker/, watcher.h). Thread: the step's.
#pragma once
#include <map>
#include <set>

#include "base/limits.h"
#include "base/ports.h"
#include "crypto/note.h"
#include "directory/directory.h"

namespace tram::audit {

inline constexpr Table view_table{"dir_view"};  // cosigner -> note with its one signature; "state" -> u64 since ms || u64 confirmed ms
inline constexpr Table view_conflict_table{"dir_conflict"};  // u8 kind || party -> u64 found ms || u64 size || object

/// What every view names: "edx/<realm>/directory/<first 32 hex of the realm>/0".
crypto::LogOrigin directory_origin(const RealmId&);

/// Who must have cosigned a view: so many brokers, and a witness where the directory lists any. With three brokers and
/// a witness these are R27's three of which one is independent.
struct ViewQuorum {
  size_t brokers = 1;
  bool witness = false;
};
ViewQuorum view_quorum(const directory::Directory&, Time now);

/// How long ago the view was confirmed, and what that still allows (R28). Receiving, acknowledging and archiving go on.
enum class Freshness : uint8_t { fresh, old, no_new_keys, no_sending };
Freshness freshness_at(Duration age);

/// A signed object that names another root than the entries held here have at that size. Of a cosigner it proves that
/// this witness, or the officers, keep two directories; of an agency that the agency, or its view, is wrong.
struct ViewConflict {
  enum class Kind : uint8_t { cosigner = 1, agency = 2 };
  Kind kind = Kind::cosigner;
  PartyId by;
  Time found;
  uint64_t size = 0;
  Bytes object;  // note, envelope or receipt as received
};
Result<std::vector<ViewConflict>> view_conflicts(ReadTxn&);
Result<bool> conflicts_with(ReadTxn&, ViewConflict::Kind, const PartyId&);
/// The first of each party is kept; true when it is new. Error: of the store.
Result<bool> keep_view_conflict(WriteTxn&, const ViewConflict&);
/// A quorum cosigned one view that contradicts ours: two directories are shown (R27).
bool is_split(const directory::Directory&, Time now, std::span<const ViewConflict>);

class Views {
 public:
  /// Keeps and passes on.
  Views(const directory::Directory& directory, ::tram::Log& log) : directory_(directory), log_(log) {}
  /// Cosigns too. `kind`: broker or witness.
  Views(const directory::Directory& directory, ::tram::Log& log, crypto::LogKind kind, const PartyId& self,
        std::shared_ptr<const crypto::LogKey> key)
      : directory_(directory), log_(log), kind_(kind), self_(self), key_(std::move(key)) {}

  /// At start; the first one of a store says since when there is a view to confirm.
  Result<void> start(WriteTxn&, Time now);
  /// After an aborted transaction.
  Result<void> load(ReadTxn&);
  /// Notes of others, as received. Errors: of the store.
  Result<void> take(WriteTxn&, Time now, std::span<const Bytes> notes);
  /// Judges what named more entries than there were and says whether the view is confirmed anew. After entries came.
  Result<void> settle(WriteTxn&, Time now);
  /// Cosigns the directory held here when that is due.
  Result<void> sign_if_due(WriteTxn&, Time now);

  /// All that is known, largest view first, one note a view; at most what a frame holds.
  const std::vector<Bytes>& notes() const { return notes_; }
  struct Known {
    PartyId by;
    uint64_t size = 0;
    Time at;
  };
  std::vector<Known> known() const;
  /// The newest time at which a quorum had cosigned the view held then; 0: never yet.
  Time confirmed() const { return confirmed_; }
  Time since() const { return since_; }
  Duration age(Time now) const;

 private:
  struct Held {
    crypto::Checkpoint checkpoint;
    std::string text;
    crypto::NoteSignature signature;
    Time at;
  };
  Result<void> keep(WriteTxn&, const PartyId&, Held);
  Result<bool> contradicts(WriteTxn&, Time now, const PartyId&, const Held&);
  void gather();

  const directory::Directory& directory_;
  ::tram::Log& log_;
  crypto::LogKind kind_ = crypto::LogKind::broker;
  PartyId self_;
  std::shared_ptr<const crypto::LogKey> key_;
  std::map<PartyId, Held> held_;
  std::vector<Bytes> notes_;
  uint64_t own_seen_ = 0;  // the largest view that came back with our signature
  Time since_, confirmed_;
};

}  // namespace tram::audit
