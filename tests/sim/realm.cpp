#include "tests/sim/realm.h"

#include <algorithm>

#include "directory/signing.h"

namespace tram::sim {

PartyKeys make_keys(Random& random) {
  PartyKeys keys;
  keys.sig = std::make_shared<crypto::SigningKey>(crypto::make_secret(random));
  keys.log = std::make_shared<crypto::LogKey>(crypto::make_secret(random));
  keys.curve = crypto::make_curve_pair(random);
  keys.storage = std::make_shared<crypto::Secret32>(crypto::make_secret(random));
  keys.hedge = std::make_shared<crypto::Secret32>(crypto::make_secret(random));
  return keys;
}

Realm::Realm(const RealmPlan& plan, Random& random, Time now) : now_(now - days(2)), policy_(plan.policy) {
  auto make = [&](std::vector<Party>& list, const char* letter, size_t n) {
    for (size_t i = 0; i < n; ++i) list.push_back({letter + std::to_string(i + 1), random.id<PartyId>(), make_keys(random)});
  };
  make(officers_, "O", 4);
  make(brokers_, "B", plan.brokers);
  make(agencies_, "A", plan.agencies);
  make(witnesses_, "W", plan.witness ? 1 : 0);

  proto::RootChange root;
  root.realm_name = "Simulated realm";
  root.practice = true;
  for (const auto& officer : officers_) root.officers.push_back({officer.id, officer.name, officer.keys.sig->public_key()});
  root.threshold = 2;
  root.root_threshold = 3;
  proto::EntryPayload genesis;
  genesis.created = now_;
  genesis.changes.push_back({Time{}, root});
  const Bytes payload = proto::encode_entry_payload(genesis);
  directory_ = std::make_unique<directory::Directory>(directory::realm_of(payload));
  proto::Entry entry;
  entry.payload = payload;
  for (const auto& officer : officers_) entry.signatures.push_back(directory::sign_entry(payload, officer.id, *officer.keys.sig));
  apply(proto::encode_entry(entry));

  apply(sign({{now_, plan.policy}}, 3));
  std::vector<proto::Change> changes;
  for (size_t i = 0; i + (plan.late_broker ? 1 : 0) < brokers_.size(); ++i) changes.push_back({now_, broker_record(i)});
  for (const auto& party : witnesses_)
    changes.push_back({now_, proto::WitnessChange{party.id, party.name, "inspectorate", party.keys.log->public_key(), false, party.keys.curve.public_key}});
  for (size_t i = 0; i < agencies_.size(); ++i) {
    proto::Agency agency;
    agency.id = agencies_[i].id;
    agency.name_vi = "Cơ quan " + agencies_[i].name;
    agency.codes.push_back({"A" + std::to_string(i + 1), {}, {}});
    const bool waits = plan.late_agency && i + 1 == agencies_.size();
    if (waits) late_ = agency;
    if (!waits) agency.keys = agencies_[i].keys.published();
    records_[agency.id] = agency;
    changes.push_back({now_, proto::AgencyChange{agency}});
  }
  apply(sign(std::move(changes), 2));
  first_ = entries_.size();
}

proto::AgencyChange Realm::late_agency() const {
  proto::Agency agency = *late_;
  agency.keys = agencies_.back().keys.published();
  return {agency};
}

proto::AgencyChange Realm::renew_keys(const PartyId& id, Random& random) {
  const auto party = std::find_if(agencies_.begin(), agencies_.end(), [&](const Party& one) { return one.id == id; });
  PartyKeys fresh = make_keys(random);
  former_log_keys_[id].push_back(party->keys.log->public_key());
  party->keys.sig = fresh.sig;
  party->keys.log = fresh.log;
  party->keys.curve = std::move(fresh.curve);
  proto::Agency& agency = records_.at(id);
  agency.keys = party->keys.published();
  return {agency};
}

std::vector<LogPublic> Realm::log_keys(const PartyId& id) const {
  std::vector<LogPublic> keys{party(id).keys.log->public_key()};
  if (const auto former = former_log_keys_.find(id); former != former_log_keys_.end())
    keys.insert(keys.end(), former->second.begin(), former->second.end());
  return keys;
}

proto::BrokerChange Realm::broker_record(size_t i) const {
  proto::BrokerChange broker;
  broker.id = brokers_[i].id;
  broker.name = brokers_[i].name;
  broker.failure_domain = "domain-" + std::to_string(i);
  broker.control_endpoint = "tcp://10.0.0." + std::to_string(i + 1) + ":5701";
  broker.bulk_endpoint = "tcp://10.0.0." + std::to_string(i + 1) + ":5702";
  const auto keys = brokers_[i].keys.published();
  broker.sig = keys.sig;
  broker.log = keys.log;
  broker.curve = keys.curve;
  return broker;
}

void Realm::decide(std::vector<proto::Change> changes, Time now) {
  now_ = now;
  for (const auto& change : changes)
    if (const auto* succeed = std::get_if<proto::SucceedChange>(&change.body))
      for (const auto& party : succeed->from) closed_[party] = succeed->to;
  apply(sign(std::move(changes), 3));
}

Bytes Realm::sign_beside(std::vector<proto::Change> changes) {
  const Bytes entry = sign(std::move(changes), 3);
  auto txn = store_.begin_write().value();
  SIM_REQUIRE(directory_->apply(*txn, entry, now_), "realm");
  beside_.emplace_back(directory_->size(), directory_->root());
  txn.reset();  // never committed
  SIM_REQUIRE(directory_->load(*store_.begin_read().value()), "realm");
  return entry;
}

bool Realm::have_signed(uint64_t size, const Hash& root) const {
  if (std::find(beside_.begin(), beside_.end(), std::pair{size, root}) != beside_.end()) return true;
  return size <= directory_->size() && directory_->root_at(*store_.begin_read().value(), size).value() == root;
}

Bytes Realm::sign(std::vector<proto::Change> changes, size_t officers) {
  proto::EntryPayload next;
  next.index = directory_->size();
  next.previous = directory_->last_payload_hash();
  next.realm = directory_->realm();
  next.created = now_;
  next.changes = std::move(changes);
  proto::Entry entry;
  entry.payload = proto::encode_entry_payload(next);
  for (size_t i = 0; i < officers; ++i)
    entry.signatures.push_back(directory::sign_entry(entry.payload, officers_[i].id, *officers_[i].keys.sig));
  return proto::encode_entry(entry);
}

void Realm::apply(Bytes entry) {
  auto txn = store_.begin_write().value();
  auto applied = directory_->apply(*txn, entry, now_);
  SIM_REQUIRE(applied, "realm:", describe(applied.error()));
  SIM_REQUIRE(txn->commit(), "realm");
  entries_.push_back(std::move(entry));
}

const Party& Realm::party(const PartyId& id) const {
  for (const auto* list : {&brokers_, &agencies_, &witnesses_})
    for (const auto& party : *list)
      if (party.id == id) return party;
  throw Broken("unknown party " + brief(id));
}

std::string Realm::name(const PartyId& id) const {
  for (const auto* list : {&brokers_, &agencies_, &witnesses_})
    for (const auto& party : *list)
      if (party.id == id) return party.name;
  return brief(id);
}

}  // namespace tram::sim
