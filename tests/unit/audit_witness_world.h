// A realm with one agency, whose log three witnesses look at: for the tests of witnesses and of the logs before them.
#pragma once
#include <catch2/catch.hpp>

#include "audit/own_log.h"
#include "base/limits.h"
#include "tests/unit/directory_fixture.h"

namespace tram::audit::test {

using directory::test::CountingLog;
using directory::test::day_0;
using directory::test::Realm;

struct WitnessHost {
  PartyId id;
  std::shared_ptr<const crypto::LogKey> key;
  sim::MemStore store;
  CountingLog log;
  std::unique_ptr<audit::Witness> witness;
  bool reachable = true;
};

struct World {
  Realm realm;
  PartyId agency;
  std::shared_ptr<const crypto::LogKey> key;
  std::vector<std::unique_ptr<WitnessHost>> witnesses;
  directory::LogOwner owner;
  Time now = day_0 + days(1);

  explicit World(uint64_t seed = 7) : realm(seed) {
    key = std::make_shared<const crypto::LogKey>(crypto::make_secret(realm.random));
    std::vector<proto::Change> changes;
    auto record = realm.agency("G01");
    record.keys = realm.keys();
    record.keys->log = key->public_key();
    agency = record.id;
    changes.push_back(Realm::change(record));
    for (int i = 0; i < 3; ++i) {
      auto host = std::make_unique<WitnessHost>();
      host->id = realm.random.id<PartyId>();
      host->key = std::make_shared<const crypto::LogKey>(crypto::make_secret(realm.random));
      proto::BrokerChange broker;
      broker.id = host->id;
      broker.name = "broker";
      broker.failure_domain = "domain " + std::to_string(i);
      broker.control_endpoint = "tcp://h:" + std::to_string(1000 + i);
      broker.bulk_endpoint = "tcp://h:" + std::to_string(2000 + i);
      broker.sig = crypto::SigningKey(crypto::make_secret(realm.random)).public_key();
      broker.log = host->key->public_key();
      broker.curve = crypto::make_curve_pair(realm.random).public_key;
      changes.push_back({day_0, broker});
      witnesses.push_back(std::move(host));
    }
    realm.must(changes);
    for (auto& host : witnesses)
      host->witness = std::make_unique<audit::Witness>(
          realm.directory->realm(), crypto::cosigner_name(realm.directory->realm(), crypto::LogKind::broker, host->id),
          host->key, host->log);
    owner = realm.directory->log_owner(*realm.read(), agency, now).value().value();
  }

  crypto::Checkpoint checkpoint(std::span<const Hash> leaves, uint32_t generation = 0) const {
    return {crypto::log_origin(realm.directory->realm(), crypto::LogKind::node, agency, generation), leaves.size(),
            crypto::merkle_root(leaves)};
  }
  proto::CheckpointPut put(std::span<const Hash> leaves, uint64_t old_size, uint64_t mirrored) const {
    proto::CheckpointPut out;
    out.note = crypto::encode_note(crypto::sign_checkpoint(checkpoint(leaves), *key));
    out.old_size = old_size;
    if (old_size != 0 && old_size < leaves.size()) out.proof = crypto::consistency_path(old_size, leaves);
    out.leaves_from = mirrored;
    out.leaves.assign(leaves.begin() + static_cast<ptrdiff_t>(mirrored), leaves.end());
    return out;
  }
  proto::CheckpointReply add(WitnessHost& host, const proto::CheckpointPut& put) {
    auto txn = host.store.begin_write().value();
    auto reply = host.witness->add(*txn, now, agency, owner, put).value();
    REQUIRE(txn->commit());
    return reply;
  }
  uint64_t evidence() {
    uint64_t found = 0;
    for (auto& host : witnesses) found += audit::count_evidence(*host->store.begin_read().value()).value();
    return found;
  }
};

}  // namespace tram::audit::test
