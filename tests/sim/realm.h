// A realm for the simulator: root officers, brokers in distinct domains, agencies, policy, and their keys.
// Thread: one.
#pragma once
#include "crypto/keys.h"
#include "directory/directory.h"
#include "tests/sim/mem_store.h"
#include "tests/sim/world.h"

namespace tram::sim {

struct PartyKeys {
  std::shared_ptr<const crypto::SigningKey> sig;
  std::shared_ptr<const crypto::LogKey> log;
  crypto::CurveKeyPair curve;
  std::shared_ptr<const crypto::Secret32> storage;
  std::shared_ptr<const crypto::Secret32> hedge;
  proto::AgencyKeys published() const { return {sig->public_key(), log->public_key(), curve.public_key}; }
};
PartyKeys make_keys(Random&);

struct Party {
  std::string name;  // of the trace: "B1", "A3"
  PartyId id;
  PartyKeys keys;
};

struct RealmPlan {
  size_t brokers = 3;
  size_t agencies = 4;
  bool late_agency = false;  // the last one has no keys in the first entries
  bool late_broker = false;  // the last one is not in the first entries
  bool witness = false;      // an independent one
  proto::PolicyChange policy;
};

class Realm {
 public:
  Realm(const RealmPlan&, Random&, Time now);

  const RealmId& id() const { return directory_->realm(); }
  const std::vector<Party>& brokers() const { return brokers_; }
  const std::vector<Party>& agencies() const { return agencies_; }
  const std::vector<Party>& witnesses() const { return witnesses_; }
  const Party& party(const PartyId&) const;
  std::string name(const PartyId& id) const;
  /// The officers decide something more: one entry, signed, at the end of entries().
  void decide(std::vector<proto::Change> changes, Time now);
  /// An entry that the officers sign beside the next one that they decide: with its number, of other content. Not in entries().
  Bytes sign_beside(std::vector<proto::Change> changes);
  bool signed_two() const { return !beside_.empty(); }
  /// Whether the officers have signed a directory of this size and root.
  bool have_signed(uint64_t size, const Hash& root) const;
  /// What the directory says of an agency, for decide().
  proto::AgencyChange record(const PartyId& agency) const { return {records_.at(agency)}; }
  /// The last agency's keys, for decide().
  proto::AgencyChange late_agency() const;
  proto::BrokerChange broker_record(size_t i) const;
  /// New SIG, LOG and CURVE keys for an agency, to be decided; from then on party() has them.
  proto::AgencyChange renew_keys(const PartyId&, Random&);
  /// All that an agency's, broker's or witness's log was ever signed with.
  std::vector<LogPublic> log_keys(const PartyId&) const;
  /// Of an agency that has closed.
  const std::vector<PartyId>* successors(const PartyId& closed) const {
    const auto found = closed_.find(closed);
    return found == closed_.end() ? nullptr : &found->second;
  }
  const proto::PolicyChange& policy() const { return policy_; }
  /// All signed entries, and how many daemons hold from the start.
  const std::vector<Bytes>& entries() const { return entries_; }
  size_t first_entries() const { return first_; }

 private:
  Bytes sign(std::vector<proto::Change> changes, size_t officers);
  void apply(Bytes entry);
  Time now_;
  proto::PolicyChange policy_;
  std::vector<Party> officers_, brokers_, agencies_, witnesses_;
  mutable MemStore store_;
  std::unique_ptr<directory::Directory> directory_;
  std::vector<Bytes> entries_;
  std::map<PartyId, proto::Agency> records_;
  std::map<PartyId, std::vector<LogPublic>> former_log_keys_;
  std::optional<proto::Agency> late_;
  std::vector<std::pair<uint64_t, Hash>> beside_;
  std::map<PartyId, std::vector<PartyId>> closed_;
  size_t first_ = 0;
};

}  // namespace tram::sim
