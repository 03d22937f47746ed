// A realm for the directory's tests: officers with keys, a store, and short ways to make and apply entries.
#pragma once
#include <algorithm>

#include "crypto/keys.h"
#include "directory/directory.h"
#include "directory/import.h"
#include "directory/signing.h"
#include "tests/sim/mem_store.h"

namespace tram::directory::test {

struct TestRandom final : Random {
  uint64_t state;
  explicit TestRandom(uint64_t seed = 7) : state(seed) {}
  void fill(std::span<uint8_t> out) override {
    for (auto& byte : out)
      byte = static_cast<uint8_t>((state = state * 6364136223846793005u + 1442695040888963407u) >> 56);
  }
};

/// Says nothing and counts the errors.
struct CountingLog final : Log {
  size_t errors = 0;
  void write(LogLevel level, std::string_view, std::span<const LogField>) override { errors += level == LogLevel::error; }
};

struct Officer {
  PartyId id;
  crypto::SigningKey key;
  proto::RootOfficer record(std::string name = "Officer") const { return {id, std::move(name), key.public_key()}; }
};

inline Officer make_officer(Random& random) {
  const PartyId id = random.id<PartyId>();
  return {id, crypto::SigningKey(crypto::make_secret(random))};
}

inline const Time day_0{1767200000000};
inline const Time day_1 = day_0 + days(1);

struct Realm {
  TestRandom random;
  sim::MemStore store;
  std::vector<Officer> root;  // 5, M = 3, for the root 4
  std::optional<Directory> directory;
  std::vector<PartyId> brokers;

  explicit Realm(uint64_t seed = 7) : random(seed) {
    crypto::initialize();
    for (int i = 0; i < 5; ++i) root.push_back(make_officer(random));
    proto::EntryPayload genesis;
    genesis.created = day_0;
    genesis.changes.push_back({Time{}, root_change(root)});
    const Bytes payload = proto::encode_entry_payload(genesis);
    directory.emplace(realm_of(payload));
    genesis_bytes = sign(payload, {0, 1, 2, 3});
    must(genesis_bytes);
  }

  Bytes genesis_bytes;

  static proto::RootChange root_change(const std::vector<Officer>& officers, uint32_t m = 3, uint32_t root_m = 4) {
    proto::RootChange change;
    change.realm_name = "Test realm";
    change.practice = true;
    for (const Officer& officer : officers) change.officers.push_back(officer.record());
    change.threshold = m;
    change.root_threshold = root_m;
    return change;
  }
  proto::EntryPayload next(std::vector<proto::Change> changes, PartyId registrar = {}) const {
    proto::EntryPayload payload;
    payload.index = directory->size();
    payload.previous = directory->last_payload_hash();
    payload.realm = directory->realm();
    payload.created = day_0;
    payload.registrar = registrar;
    payload.changes = std::move(changes);
    return payload;
  }
  static Bytes sign_with(const Bytes& payload, const std::vector<const Officer*>& officers) {
    proto::Entry entry;
    entry.payload = payload;
    for (const Officer* officer : officers) entry.signatures.push_back(sign_entry(payload, officer->id, officer->key));
    return proto::encode_entry(entry);
  }
  Bytes sign(const Bytes& payload, const std::vector<size_t>& who) const {
    std::vector<const Officer*> officers;
    for (size_t i : who) officers.push_back(&root[i]);
    return sign_with(payload, officers);
  }
  Bytes entry(std::vector<proto::Change> changes, const std::vector<size_t>& who = {0, 1, 2}) const {
    return sign(proto::encode_entry_payload(next(std::move(changes))), who);
  }
  /// Applies and commits when it succeeds.
  Result<void> apply(const Bytes& bytes) {
    auto txn = store.begin_write().value();
    if (auto done = directory->apply(*txn, bytes, day_0); !done) return done;
    return txn->commit();
  }
  void must(const Bytes& bytes) {
    if (auto done = apply(bytes); !done) throw std::runtime_error(describe(done.error()));
  }
  void must(std::vector<proto::Change> changes, const std::vector<size_t>& who = {0, 1, 2}) {
    must(entry(std::move(changes), who));
  }
  std::unique_ptr<ReadTxn> read() { return store.begin_read().value(); }
  AgencyState state(const PartyId& id, Time at) { return directory->agency(*read(), id, at).value().value(); }

  proto::AgencyKeys keys() {
    proto::AgencyKeys keys;
    keys.sig = crypto::SigningKey(crypto::make_secret(random)).public_key();
    keys.log = crypto::LogKey(crypto::make_secret(random)).public_key();
    keys.curve = crypto::make_curve_pair(random).public_key;
    return keys;
  }
  proto::Agency agency(std::string code, std::string name = "Cơ quan", proto::Level level = proto::Level::central,
                       std::string province = "", PartyId parent = {},
                       proto::Branch branch = proto::Branch::government) {
    proto::Agency agency;
    agency.id = random.id<PartyId>();
    agency.name_vi = std::move(name);
    agency.branch = branch;
    agency.level = level;
    agency.province = std::move(province);
    agency.parent = parent;
    agency.codes.push_back({std::move(code), {}, {}});
    return agency;
  }
  static proto::Change change(proto::Agency agency, Time effective = day_0) {
    return {effective, proto::AgencyChange{std::move(agency)}};
  }
};

inline ErrorCode code_of(const Result<void>& result) { return result ? ErrorCode::internal : result.error().code; }

}  // namespace tram::directory::test
