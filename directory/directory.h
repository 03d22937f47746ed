// The signed, append-only directory of agencies as every daemon keeps it: entries verified one by one against the
// officers in force at their index, state at a time, codes and aliases, groups, brokers, policy, KX feeds.
// Invariants: never rolls back; an entry is applied whole or not at all; what is not signed by enough officers changes
// nothing (R25-R27). The store is the authority; the members are a cache that load() rebuilds. Of a party's changes
// that are in force at a time the last decided (highest index) counts: what was scheduled before never undoes it. Not
// here: fetching (broker and node ask), witnesses (later), signing (signing.h). Thread: the step's; reads may use any
// transaction of the same store.
#pragma once
#include <map>

#include "base/ports.h"
#include "crypto/formats.h"
#include "crypto/merkle.h"
#include "crypto/note.h"
#include "proto/directory.h"

namespace tram::directory {

/// The tables that a store must have for a directory.
std::span<const Table> tables();

/// H("edx1/realm"; genesis payload).
RealmId realm_of(BytesView genesis_payload);

/// One agency as it stands at a time.
struct AgencyState {
  proto::Agency agency;
  proto::AgencyStatus status = proto::AgencyStatus::active;
  std::string status_reason;
  Time suspended_until;             // 0 = until lifted
  Time closed_since;                // of a closed agency
  std::vector<PartyId> successors;
  std::string succession_policy;
  uint64_t entry_index = 0;  // the entry that last changed it
};

struct Broker {
  proto::BrokerChange record;
  uint64_t entry_index = 0;
};

struct Witness {
  proto::WitnessChange record;
  uint64_t entry_index = 0;
};

/// A party that keeps a log: what its origin says, and its LOG keys, the one in force last (protocol.md 4.3).
struct LogOwner {
  crypto::LogKind kind = crypto::LogKind::node;
  std::vector<LogPublic> keys;
};

struct Query {
  std::string text;  // words, any case, with or without diacritics
  std::optional<proto::Branch> branch;
  std::optional<proto::Level> level;
  std::string province;
  std::optional<PartyId> parent;
};

namespace detail {
/// Changes in the order in which they were decided; of those in force, the last decided counts.
template <class T>
using Decided = std::vector<std::pair<Time, T>>;

/// What a Directory keeps in memory; the store holds the same.
struct Held {
  uint64_t size = 0;
  crypto::Frontier frontier;
  Hash last_payload;  // H("edx1/dir"; payload of size-1)
  proto::RootChange root;
  Decided<proto::PolicyChange> policies;
  std::map<PartyId, Decided<Broker>> brokers;
  std::map<PartyId, Decided<Witness>> witnesses;
  std::map<PartyId, proto::RegistrarChange> registrars;  // as last decided: thresholds go by index, not by time
};
}  // namespace detail

/// A set that must sign an entry, and who of it has (R25, R26). A rotation of the root needs two sets.
struct SignerSet {
  enum class Kind { root_officers, new_root_officers, registrar_officers, administrators } kind = Kind::root_officers;
  std::vector<proto::RootOfficer> members;
  uint32_t needed = 0;
  std::vector<PartyId> valid_signers;
  bool enough() const { return valid_signers.size() >= needed; }
};

/// What would happen to an entry at index size(): the sets, the first signature that is wrong, the first rule broken.
struct Examination {
  std::vector<SignerSet> sets;
  std::optional<Error> bad_signature;
  std::optional<Error> refusal;
};

class Directory {
 public:
  /// Accepts only entries of this realm; the genesis must hash to it.
  explicit Directory(RealmId realm) : realm_(realm) {}

  /// Rebuilds the cache from the store: at start-up and after an aborted transaction.
  Result<void> load(ReadTxn&);

  /// Verifies and applies the entry at index size(). EntryPayload::registrar says who signs: zero the root officers, a
  /// registrar its officers, an agency its administrators (two; OFFICER changes of that agency only). Applying an entry
  /// already held (same bytes or same payload) succeeds and changes nothing. Errors: rollback (other payload at an
  /// index held), bad_format, bad_signature, not_enough_signatures, forbidden (registrar outside its scope),
  /// wrong_realm, bad_request (a rule; detail says which). The verdict depends on the entries alone, never on `now`:
  /// two daemons with different clocks must agree. The store may be written to after an error of the entry; after an
  /// error of the store the transaction must be aborted.
  Result<void> apply(WriteTxn&, BytesView entry, Time now);

  /// What apply() would say, without changing anything; signatures may be missing. Errors: only of the store.
  Result<Examination> examine(ReadTxn&, const proto::Entry&) const;
  /// Of entries that follow one another from index size(): the place of the first that the rules refuse whoever signs
  /// it, and why.
  struct Refused {
    size_t place = 0;
    Error error;
  };
  Result<std::optional<Refused>> foresee(ReadTxn&, std::span<const proto::Entry>) const;

  const RealmId& realm() const { return realm_; }
  uint64_t size() const { return held_.size; }
  /// H("edx1/dir"; last payload): `previous` of the next entry; zero when empty.
  const Hash& last_payload_hash() const { return held_.last_payload; }
  /// RFC 6962 root over payloads; with size(), what envelopes and receipts name.
  Hash root() const;
  /// The root when the directory had `size` entries (R27: the view a peer names); nothing when it never had.
  Result<std::optional<Hash>> root_at(ReadTxn&, uint64_t size) const;
  bool practice() const { return held_.root.practice; }
  const proto::RootChange& root_change() const { return held_.root; }
  /// Registrars as last decided, revoked ones included.
  std::vector<proto::RegistrarChange> registrars() const;
  /// Policy in force at `now`; every zero field replaced by its default from limits.
  proto::PolicyChange policy(Time now) const;
  /// Brokers in force (not retired), in order of id.
  std::vector<Broker> brokers(Time now) const;
  std::vector<PartyId> broker_ids(Time now) const;
  /// In force at `now`, or nothing; as long as the directory stays as it is.
  const Broker* broker_in_force(const PartyId&, Time now) const;
  const Witness* witness_in_force(const PartyId&, Time now) const;
  /// All that are not retired, whatever the time: for who must not take a wrong clock's word that nobody is there.
  std::vector<Broker> known_brokers() const;
  std::optional<Broker> broker(const PartyId&) const;  // also retired ones: old receipts stay verifiable
  /// The latest time, up to `now`, from which on a broker was retired; zero when none was.
  Time last_retirement(Time now) const;

  /// Witnesses in force (not retired), in order of id.
  std::vector<Witness> witnesses(Time now) const;
  std::vector<Witness> known_witnesses() const;  // likewise whatever the time
  std::optional<Witness> witness(const PartyId&) const;
  /// Every LOG key that a party has had until `at`, retired ones included; nothing for a party that has none.
  Result<std::optional<LogOwner>> log_owner(ReadTxn&, const PartyId&, Time at) const;

  Result<std::optional<AgencyState>> agency(ReadTxn&, const PartyId&, Time at) const;
  /// The agency whose code or alias this is at `at`; exact, case-sensitive.
  Result<std::optional<PartyId>> find_code(ReadTxn&, std::string_view code, Time at) const;
  /// SIG key of a party (agency or broker) that was in force when the directory had `dir_size` entries and at `at`,
  /// whatever its status: a closed agency still acknowledges (R31). Whether it may send is agency()'s to say.
  Result<std::optional<SigPublic>> sig_key(ReadTxn&, const PartyId&, uint64_t dir_size, Time at) const;
  /// Every SIG key that an agency was given so far, whatever their times. For headers: what binds one is the envelope that names
  /// its id, signed with a key of its own view and time (R30).
  Result<std::vector<SigPublic>> sig_keys(ReadTxn&, const PartyId& agency) const;
  /// By name, code or place, without diacritics (d = đ), ranked: code, prefix, words. `after` pages (last id seen).
  Result<std::vector<AgencyState>> search(ReadTxn&, const Query&, Time at, size_t limit,
                                          std::optional<PartyId> after = {}) const;
  /// Members of a group: "all", "provinces", "provinces/<branch>", "communes", "communes:<province>",
  /// "communes:<province>/<branch>", "branch:<branch>", "children:<organ code>". Active agencies that have keys or not,
  /// no units; sorted by id. "provinces" and "communes" are their leading bodies: a province's departments, whose
  /// superior is of the same level, are its children. Errors: bad_request (unknown form).
  Result<std::vector<PartyId>> group(ReadTxn&, std::string_view name, Time at) const;
  Result<std::vector<AgencyState>> units(ReadTxn&, const PartyId& agency, Time at) const;
  /// Officers of an agency as last decided, revoked ones included; sorted by id.
  Result<std::vector<proto::OfficerChange>> officers(ReadTxn&, const PartyId& agency) const;
  /// The party that holds or held this SIG, LOG or CURVE key.
  Result<std::optional<PartyId>> key_holder(ReadTxn&, const SigPublic&) const;
  Result<std::optional<PartyId>> key_holder(ReadTxn&, const CurvePublic&) const;
  /// A unit leads to its agency; an agency to itself.
  Result<std::optional<PartyId>> node_of(ReadTxn&, const PartyId&, Time at) const;

  /// Signed entries from `from`, as received, until `bytes_max` is full (at least one if there is one).
  Result<std::vector<Bytes>> entries(ReadTxn&, uint64_t from, size_t bytes_max) const;
  Result<Bytes> entry(ReadTxn&, uint64_t index) const;

  /// CURVE keys that may connect: agencies (active or suspended) with keys, closed ones until time_to_live + grace
  /// after they closed so that they can drain (R31), brokers, witnesses, publishers (as party zero).
  Result<std::map<CurvePublic, PartyId>> allow_list(ReadTxn&, Time at) const;

  /// Keeps a KX feed if it is signed by its agency and newer than the one held; true when it was new.
  Result<bool> store_kx_feed(WriteTxn&, BytesView feed, Time now) const;
  Result<std::optional<Bytes>> kx_feed(ReadTxn&, const PartyId& agency) const;
  /// The epoch in force at `now`, if a stored feed has one.
  Result<std::optional<proto::KxEpoch>> kx_epoch(ReadTxn&, const PartyId& agency, Time now) const;

 private:
  RealmId realm_;
  detail::Held held_;
};

/// Lower case, no diacritics (đ -> d), one space between words: for search and for look-alike checks.
std::string fold(std::string_view vietnamese);

}  // namespace tram::directory
