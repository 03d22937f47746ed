// The signed, append-only directory of agencies as every daemon keeps it: entries verified one by one against the
// officers in force at their index, state at a time, codes and aliases, groups, brokers, policy, KX feeds.
// Invariants: never rolls back; an entry is applied whole or not at all; what is not signed by enough officers changes
// nothing (R25-R27). The store is the authority; the members are a cache that load() rebuilds.
// Not here: fetching (broker and node ask), witnesses (later), signing (signing.h).
// Thread: the step's; reads may use any transaction of the same store.
#pragma once
#include <map>

#include "base/ports.h"
#include "crypto/formats.h"
#include "crypto/merkle.h"
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
  Time suspended_until;                // 0 = until lifted
  std::vector<PartyId> successors;     // of a closed agency
  std::string succession_policy;
  uint64_t entry_index = 0;            // the entry that last changed it
};

struct Broker {
  proto::BrokerChange record;
  uint64_t entry_index = 0;
};

struct Query {
  std::string text;                    // words, any case, with or without diacritics
  std::optional<proto::Branch> branch;
  std::optional<proto::Level> level;
  std::string province;
  std::optional<PartyId> parent;
};

class Directory {
 public:
  /// Accepts only entries of this realm; the genesis must hash to it.
  explicit Directory(RealmId realm) : realm_(realm) {}

  /// Rebuilds the cache from the store: at start-up and after an aborted transaction.
  Result<void> load(ReadTxn&);

  /// Verifies and applies the entry at index size(). Applying an entry already held (same bytes or same payload) succeeds
  /// and changes nothing. Errors: rollback (other payload at an index held), bad_format, bad_signature,
  /// not_enough_signatures, forbidden (registrar outside its scope), wrong_realm, bad_request (a rule; detail says which).
  Result<void> apply(WriteTxn&, BytesView entry, Time now);

  const RealmId& realm() const { return realm_; }
  uint64_t size() const { return size_; }
  /// RFC 6962 root over payloads; with size(), what envelopes and receipts name.
  Hash root() const;
  bool practice() const { return root_change_.practice; }
  const proto::RootChange& root_change() const { return root_change_; }
  /// Policy in force at `now`; every zero field replaced by its default from limits.
  proto::PolicyChange policy(Time now) const;
  /// Brokers in force (not retired), in order of id.
  std::vector<Broker> brokers(Time now) const;
  std::optional<Broker> broker(const PartyId&) const;  // also retired ones: old receipts stay verifiable

  Result<std::optional<AgencyState>> agency(ReadTxn&, const PartyId&, Time at) const;
  /// The agency whose code or alias this is at `at`; exact, case-sensitive.
  Result<std::optional<PartyId>> find_code(ReadTxn&, std::string_view code, Time at) const;
  /// SIG keys of a party (agency or broker) that were in force when the directory had `dir_size` entries and at `at`.
  Result<std::optional<SigPublic>> sig_key(ReadTxn&, const PartyId&, uint64_t dir_size, Time at) const;
  /// By name, code or place, without diacritics (d = đ), ranked: code, prefix, words. `after` pages (last id seen).
  Result<std::vector<AgencyState>> search(ReadTxn&, const Query&, Time at, size_t limit, std::optional<PartyId> after = {}) const;
  /// Members of a group: "all", "provinces", "provinces/<branch>", "communes", "communes:<province>",
  /// "communes:<province>/<branch>", "branch:<branch>", "children:<organ code>". Active agencies that have keys or not; sorted by id.
  /// Errors: bad_request (unknown form).
  Result<std::vector<PartyId>> group(ReadTxn&, std::string_view name, Time at) const;
  Result<std::vector<AgencyState>> units(ReadTxn&, const PartyId& agency, Time at) const;
  /// A unit leads to its agency; an agency to itself.
  Result<std::optional<PartyId>> node_of(ReadTxn&, const PartyId&, Time at) const;

  /// Signed entries from `from`, as received, until `bytes_max` is full (at least one if there is one).
  Result<std::vector<Bytes>> entries(ReadTxn&, uint64_t from, size_t bytes_max) const;
  Result<Bytes> entry(ReadTxn&, uint64_t index) const;

  /// CURVE keys that may connect: agencies (active or suspended) with keys, brokers, publishers (as party zero).
  Result<std::map<CurvePublic, PartyId>> allow_list(ReadTxn&, Time at) const;

  /// Keeps a KX feed if it is signed by its agency and newer than the one held; true when it was new.
  Result<bool> store_kx_feed(WriteTxn&, BytesView feed, Time now) const;
  Result<std::optional<Bytes>> kx_feed(ReadTxn&, const PartyId& agency) const;
  /// The epoch in force at `now`, if a stored feed has one.
  Result<std::optional<proto::KxEpoch>> kx_epoch(ReadTxn&, const PartyId& agency, Time now) const;

 private:
  RealmId realm_;
  uint64_t size_ = 0;
  crypto::Frontier frontier_;
  Hash last_payload_;
  proto::RootChange root_change_;
  std::vector<std::pair<Time, proto::PolicyChange>> policies_;
  std::map<PartyId, std::vector<std::pair<Time, Broker>>> brokers_;
  std::map<PartyId, std::vector<std::pair<Time, proto::RegistrarChange>>> registrars_;
};

/// Lower case, no diacritics (đ -> d), one space between words: for search and for look-alike checks.
std::string fold(std::string_view vietnamese);

}  // namespace tram::directory
