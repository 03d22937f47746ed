// Who may change the directory, and how: every rule with what it refuses (R25-R27, R31).
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "base/limits.h"
#include "tests/unit/directory_fixture.h"

using namespace tram;
using namespace tram::directory;
using namespace tram::directory::test;
using proto::AgencyStatus;
using proto::Branch;
using proto::Level;

namespace {

/// A refused entry leaves the store exactly as it was.
ErrorCode refused(Realm& realm, const Bytes& entry) {
  const auto before = realm.store.dump();
  const uint64_t size = realm.directory->size();
  auto txn = realm.store.begin_write().value();
  const auto done = realm.directory->apply(*txn, entry, day_0);
  REQUIRE_FALSE(done);
  INFO(describe(done.error()));
  REQUIRE(txn->commit());
  CHECK(realm.store.dump() == before);
  CHECK(realm.directory->size() == size);
  return done.error().code;
}

struct WithRegistrar : Realm {
  std::vector<Officer> officers;
  PartyId registrar;
  proto::Agency province, other_province, ministry;
  WithRegistrar() {
    for (int i = 0; i < 3; ++i) officers.push_back(make_officer(random));
    registrar = random.id<PartyId>();
    province = agency("P79", "UBND TP", Level::province, "79");
    other_province = agency("P91", "UBND tinh", Level::province, "91");
    ministry = agency("G22", "VPCP");
    must({change(province), change(other_province), change(ministry), {day_0, record(2)}});
  }
  proto::RegistrarChange record(uint32_t m) const {
    proto::RegistrarChange change;
    change.id = registrar;
    change.name = "Registrar 79";
    change.branch = Branch::government;
    change.province = "79";
    for (const Officer& officer : officers) change.officers.push_back(officer.record());
    change.threshold = m;
    return change;
  }
  Bytes by_registrar(std::vector<proto::Change> changes, const std::vector<size_t>& who = {0, 1}) const {
    std::vector<const Officer*> signers;
    for (size_t i : who) signers.push_back(&officers[i]);
    return sign_with(proto::encode_entry_payload(next(std::move(changes), registrar)), signers);
  }
};

proto::Change suspend(const PartyId& agency, Time until, Time from = day_0) {
  return {from, proto::StatusChange{agency, AgencyStatus::suspended, until, "key lost"}};
}
proto::Change activate(const PartyId& agency, Time from = day_0) {
  return {from, proto::StatusChange{agency, AgencyStatus::active, {}, ""}};
}

}  // namespace

TEST_CASE("genesis: its own officers sign it and it hashes to the realm") {
  Realm realm;
  CHECK(realm.directory->size() == 1);
  CHECK(realm.directory->practice());
  CHECK(realm.directory->root() ==
        crypto::merkle_root(std::vector<Hash>{crypto::merkle_leaf(proto::decode_entry(realm.genesis_bytes)->payload)}));
  proto::EntryPayload genesis;
  genesis.changes.push_back({Time{}, Realm::root_change(realm.root)});
  const Bytes payload = proto::encode_entry_payload(genesis);
  sim::MemStore store;
  auto txn = store.begin_write().value();
  Directory mine(realm_of(payload));
  CHECK(code_of(mine.apply(*txn, realm.sign(payload, {0, 1, 2}), day_0)) == ErrorCode::not_enough_signatures);
  CHECK(code_of(mine.apply(*txn, realm.genesis_bytes, day_0)) == ErrorCode::wrong_realm);
  CHECK(mine.apply(*txn, realm.sign(payload, {0, 1, 2, 4}), day_0));
}

TEST_CASE("threshold: M officers, each once, nobody else") {
  Realm realm;
  const auto agency = realm.agency("G01");
  const Bytes payload = proto::encode_entry_payload(realm.next({Realm::change(agency)}));
  CHECK(refused(realm, realm.sign(payload, {})) == ErrorCode::not_enough_signatures);
  CHECK(refused(realm, realm.sign(payload, {0, 1})) == ErrorCode::not_enough_signatures);
  CHECK(refused(realm, realm.sign(payload, {0, 1, 1})) == ErrorCode::not_enough_signatures);
  const Officer stranger = make_officer(realm.random);
  CHECK(refused(realm, Realm::sign_with(payload, {&realm.root[0], &realm.root[1], &realm.root[2], &stranger})) ==
        ErrorCode::bad_signature);
  auto entry = proto::decode_entry(realm.sign(payload, {0, 1, 2})).value();
  entry.signatures[1].signature.bytes[5] ^= 1;
  CHECK(refused(realm, proto::encode_entry(entry)) == ErrorCode::bad_signature);
  // A signature under another officer's id is nobody's.
  entry = proto::decode_entry(realm.sign(payload, {0, 1, 2})).value();
  entry.signatures[1].signer = realm.root[3].id;
  CHECK(refused(realm, proto::encode_entry(entry)) == ErrorCode::bad_signature);
  CHECK(realm.apply(realm.sign(payload, {4, 2, 0})));
  CHECK(realm.state(agency.id, day_0).agency.name_vi == "Cơ quan");
}

TEST_CASE("policy needs the root threshold") {
  Realm realm;
  proto::PolicyChange policy;
  policy.custody_quorum = 1;
  CHECK(refused(realm, realm.entry({{day_1, policy}}, {0, 1, 2})) == ErrorCode::not_enough_signatures);
  realm.must({{day_1, policy}}, {0, 1, 2, 3});
  CHECK(realm.directory->policy(day_0).custody_quorum == 2);
  CHECK(realm.directory->policy(day_1).custody_quorum == 1);
  CHECK(realm.directory->policy(day_1).retention_ms == uint64_t(limits::retention.ms));
  policy.time_to_live_ms = uint64_t(limits::time_to_live.ms) + 1;
  CHECK(refused(realm, realm.entry({{day_1, policy}}, {0, 1, 2, 3})) == ErrorCode::bad_request);
}

TEST_CASE("root rotation: M of the old set and M of the new") {
  Realm realm;
  std::vector<const Officer*> old_set{&realm.root[0], &realm.root[1], &realm.root[2], &realm.root[3]};
  std::vector<Officer> fresh;
  for (int i = 0; i < 5; ++i) fresh.push_back(make_officer(realm.random));
  std::vector<const Officer*> new_set{&fresh[0], &fresh[1], &fresh[2], &fresh[3]};
  const Bytes payload = proto::encode_entry_payload(realm.next({{day_0, Realm::root_change(fresh)}}));
  CHECK(refused(realm, Realm::sign_with(payload, old_set)) == ErrorCode::not_enough_signatures);
  CHECK(refused(realm, Realm::sign_with(payload, new_set)) == ErrorCode::not_enough_signatures);
  auto mixed = old_set;
  mixed.insert(mixed.end(), new_set.begin(), new_set.end() - 1);
  CHECK(refused(realm, Realm::sign_with(payload, mixed)) == ErrorCode::not_enough_signatures);
  mixed.push_back(new_set.back());
  REQUIRE(realm.apply(Realm::sign_with(payload, mixed)));
  const Bytes later = proto::encode_entry_payload(realm.next({Realm::change(realm.agency("G01"))}));
  CHECK(refused(realm, Realm::sign_with(later, old_set)) == ErrorCode::bad_signature);
  CHECK(realm.apply(Realm::sign_with(later, {new_set[0], new_set[1], new_set[2]})));

  SECTION("practice can never change, and a ROOT entry holds nothing else") {
    auto real = Realm::root_change(fresh);
    real.practice = false;
    const Bytes turn = proto::encode_entry_payload(realm.next({{day_0, real}}));
    CHECK(refused(realm, Realm::sign_with(turn, new_set)) == ErrorCode::bad_request);
    const Bytes with = proto::encode_entry_payload(
        realm.next({{day_0, Realm::root_change(fresh)}, Realm::change(realm.agency("G02"))}));
    CHECK(refused(realm, Realm::sign_with(with, new_set)) == ErrorCode::bad_request);
  }
}

TEST_CASE("no rollback, no fork, no gap; a repeat changes nothing") {
  Realm realm;
  const Bytes first = realm.entry({Realm::change(realm.agency("G01"))});
  const Bytes rival = realm.entry({Realm::change(realm.agency("G02"))});
  realm.must(first);
  const auto before = realm.store.dump();
  CHECK(realm.apply(first));
  CHECK(realm.apply(realm.genesis_bytes));
  CHECK(realm.store.dump() == before);
  CHECK(refused(realm, rival) == ErrorCode::rollback);
  auto skipped = realm.next({Realm::change(realm.agency("G03"))});
  skipped.index += 1;
  CHECK(refused(realm, realm.sign(proto::encode_entry_payload(skipped), {0, 1, 2})) == ErrorCode::bad_request);
  auto forked = realm.next({Realm::change(realm.agency("G03"))});
  forked.previous = entry_hash(proto::decode_entry(rival)->payload);
  CHECK(refused(realm, realm.sign(proto::encode_entry_payload(forked), {0, 1, 2})) == ErrorCode::rollback);
  auto foreign = realm.next({Realm::change(realm.agency("G03"))});
  foreign.realm.bytes[0] ^= 1;
  CHECK(refused(realm, realm.sign(proto::encode_entry_payload(foreign), {0, 1, 2})) == ErrorCode::wrong_realm);
}

TEST_CASE("an entry is applied whole or not at all") {
  Realm realm;
  auto good = realm.agency("G01"), bad = realm.agency("G01");
  CHECK(refused(realm, realm.entry({Realm::change(good), Realm::change(bad)})) == ErrorCode::bad_request);
  CHECK(realm.apply(realm.entry({Realm::change(good)})));
}

TEST_CASE("keys and ids belong to one party and one purpose for ever") {
  Realm realm;
  auto a = realm.agency("G01"), b = realm.agency("G02");
  a.keys = realm.keys();
  realm.must({Realm::change(a)});
  b.keys = realm.keys();
  SECTION("another's SIG key") { b.keys->sig = a.keys->sig; }
  SECTION("another's LOG key as SIG") { b.keys->sig.bytes = a.keys->log.bytes; }
  SECTION("another's CURVE key") { b.keys->curve = a.keys->curve; }
  SECTION("one key for two purposes") { b.keys->log.bytes = b.keys->sig.bytes; }
  SECTION("an officer's key") { b.keys->sig = realm.root[0].key.public_key(); }
  SECTION("a small-order key") {
    b.keys->sig = SigPublic{};
    b.keys->sig.bytes[0] = 1;
  }
  SECTION("a zero CURVE key") { b.keys->curve = {}; }
  SECTION("an officer's id") { b.id = realm.root[0].id; }
  SECTION("a zero id") { b.id = {}; }
  CHECK_FALSE(realm.apply(realm.entry({Realm::change(b)})));
}

TEST_CASE("a key that was given up is not another's to take") {
  Realm realm;
  auto a = realm.agency("G01"), b = realm.agency("G02");
  a.keys = realm.keys();
  const auto old_keys = *a.keys;
  realm.must({Realm::change(a)});
  a.keys = realm.keys();
  realm.must({Realm::change(a, day_1)});
  b.keys = old_keys;
  CHECK(refused(realm, realm.entry({Realm::change(b)})) == ErrorCode::bad_request);
  CHECK(realm.directory->sig_key(*realm.read(), a.id, 3, day_0).value().value() == old_keys.sig);
  CHECK(realm.directory->sig_key(*realm.read(), a.id, 3, day_1).value().value() == a.keys->sig);
  CHECK(realm.directory->sig_key(*realm.read(), a.id, 2, day_1).value().value() == old_keys.sig);
  CHECK_FALSE(realm.directory->sig_key(*realm.read(), a.id, 1, day_1).value().has_value());
}

TEST_CASE("records: what an agency must be") {
  Realm realm;
  const auto parent = realm.agency("P79", "UBND", Level::province, "79");
  const auto unit = [&] {
    auto made = realm.agency("P79.VP", "Văn phòng", Level::unit, "79", parent.id);
    return made;
  }();
  realm.must({Realm::change(parent), Realm::change(unit)});
  auto a = realm.agency("79.1", "UBND xã", Level::commune, "79", parent.id);
  REQUIRE(realm.directory->examine(*realm.read(), proto::decode_entry(realm.entry({Realm::change(a)})).value())
              ->refusal.has_value() == false);
  SECTION("the parent must exist") { a.parent = realm.random.id<PartyId>(); }
  SECTION("not its own parent") { a.parent = a.id; }
  SECTION("a unit is no parent") { a.parent = unit.id; }
  SECTION("a unit has no keys") {
    a.level = Level::unit;
    a.keys = realm.keys();
  }
  SECTION("a unit needs a parent") {
    a.level = Level::unit;
    a.parent = {};
  }
  SECTION("a unit has its agency's branch") {
    a.level = Level::unit;
    a.branch = Branch::party;
  }
  SECTION("a commune has a province") { a.province = ""; }
  SECTION("a central agency has none") { a.level = Level::central; }
  SECTION("a name") { a.name_vi = ""; }
  SECTION("no line breaks in names") { a.name_vi = "Xã\nA"; }
  SECTION("a name of bounded length") { a.name_vi = std::string(401, 'x'); }
  SECTION("a code") { a.codes.clear(); }
  SECTION("a plain code") { a.codes[0].code = "79/1"; }
  SECTION("a code with an empty validity") {
    a.codes[0].valid_from = day_1;
    a.codes[0].valid_until = day_0;
  }
  SECTION("a code twice") { a.codes.push_back(a.codes[0]); }
  SECTION("a free code") { a.codes[0].code = "P79"; }
  CHECK_FALSE(realm.apply(realm.entry({Realm::change(a)})));
}

TEST_CASE("superiors form no circle; a unit stays a unit") {
  Realm realm;
  auto a = realm.agency("G01"), b = realm.agency("G02");
  b.parent = a.id;
  realm.must({Realm::change(a), Realm::change(b)});
  a.parent = b.id;
  CHECK(refused(realm, realm.entry({Realm::change(a)})) == ErrorCode::bad_request);
  b.level = Level::unit;
  CHECK(refused(realm, realm.entry({Realm::change(b)})) == ErrorCode::bad_request);
}

TEST_CASE("registrar: its own officers, agencies below it in its province and branch") {
  WithRegistrar realm;
  auto commune = realm.agency("79.1", "UBND xã", Level::commune, "79", realm.province.id);
  CHECK(refused(realm, realm.by_registrar({Realm::change(commune)}, {0})) == ErrorCode::not_enough_signatures);
  CHECK(refused(realm, realm.sign(proto::encode_entry_payload(realm.next({Realm::change(commune)}, realm.registrar)),
                                  {0, 1, 2})) == ErrorCode::bad_signature);
  CHECK(realm.apply(realm.by_registrar({Realm::change(commune)})));
  auto department = realm.agency("P79.SYT", "Sở Y tế", Level::province, "79", realm.province.id);
  auto unit = realm.agency("79.1.VP", "Văn phòng", Level::unit, "79", commune.id);
  CHECK(realm.apply(realm.by_registrar({Realm::change(department), Realm::change(unit)})));

  const auto forbidden = [&](proto::Agency agency) {
    return refused(realm, realm.by_registrar({Realm::change(std::move(agency))})) == ErrorCode::forbidden;
  };
  CHECK(forbidden(realm.agency("G77")));
  CHECK(forbidden(realm.agency("P79.X", "Đứng đầu", Level::province, "79")));
  CHECK(forbidden(realm.agency("79.2", "Đảng ủy", Level::commune, "79", realm.province.id, Branch::party)));
  CHECK(forbidden(realm.agency("91.1", "Xã", Level::commune, "91", realm.other_province.id)));
  CHECK(forbidden(realm.agency("79.3", "Xã", Level::commune, "79", realm.other_province.id)));
  CHECK(forbidden(realm.agency("79.4", "Xã", Level::commune, "79", realm.ministry.id)));
  CHECK(forbidden(realm.province));      // itself
  auto captured = realm.other_province;  // another province's agency, rewritten as one of ours
  captured.province = "79";
  captured.parent = realm.province.id;
  CHECK(forbidden(captured));

  proto::BrokerChange broker;
  CHECK(refused(realm, realm.by_registrar({{day_0, broker}})) == ErrorCode::forbidden);
  CHECK(refused(realm, realm.by_registrar({{day_0, proto::PolicyChange{}}})) == ErrorCode::forbidden);
  CHECK(refused(realm, realm.by_registrar({{day_0, Realm::root_change(realm.root)}})) != ErrorCode::internal);
  CHECK(refused(realm, realm.by_registrar({{day_0, realm.record(1)}})) == ErrorCode::forbidden);
  CHECK(refused(realm, realm.by_registrar({suspend(realm.other_province.id, {})})) == ErrorCode::forbidden);
  CHECK(refused(realm, realm.by_registrar({suspend(realm.province.id, {})})) == ErrorCode::forbidden);
  CHECK(realm.apply(realm.by_registrar({suspend(commune.id, {})})));

  SECTION("revoked") {
    auto revoked = realm.record(2);
    revoked.revoked = true;
    realm.must({{day_0, revoked}});
    CHECK(refused(realm, realm.by_registrar({activate(commune.id)})) == ErrorCode::forbidden);
  }
  SECTION("the set in force at the index counts") {
    realm.must({{day_0, realm.record(3)}});
    CHECK(refused(realm, realm.by_registrar({activate(commune.id)})) == ErrorCode::not_enough_signatures);
    CHECK(realm.apply(realm.by_registrar({activate(commune.id)}, {0, 1, 2})));
  }
  SECTION("what the root suspended a registrar cannot lift") {
    realm.must({suspend(commune.id, {})});
    CHECK(refused(realm, realm.by_registrar({activate(commune.id)})) == ErrorCode::forbidden);
    realm.must({activate(commune.id)});
    CHECK(realm.state(commune.id, day_0).status == AgencyStatus::active);
  }
  SECTION("a registrar's scope never changes") {
    auto moved = realm.record(2);
    moved.province = "91";
    CHECK(refused(realm, realm.entry({{day_0, moved}})) == ErrorCode::bad_request);
  }
}

TEST_CASE("suspension: one officer for 72 hours, M for longer and to lift it") {
  Realm realm;
  const auto agency = realm.agency("G01");
  realm.must({Realm::change(agency)});
  const Time limit = day_0 + hours(72);
  CHECK(refused(realm, realm.entry({suspend(agency.id, limit + milliseconds(1))}, {0})) ==
        ErrorCode::not_enough_signatures);
  CHECK(refused(realm, realm.entry({suspend(agency.id, {})}, {0})) == ErrorCode::not_enough_signatures);
  CHECK(refused(realm, realm.entry({suspend(agency.id, day_0)}, {0, 1, 2})) == ErrorCode::bad_request);
  CHECK(refused(realm, realm.entry({suspend(agency.id, limit), Realm::change(realm.agency("G02"))}, {0})) ==
        ErrorCode::not_enough_signatures);
  CHECK(refused(realm, realm.entry({{day_0, proto::StatusChange{agency.id, AgencyStatus::closed, limit, "x"}}}, {0})) ==
        ErrorCode::not_enough_signatures);
  realm.must({suspend(agency.id, limit)}, {3});
  CHECK(realm.state(agency.id, day_0).status == AgencyStatus::suspended);
  CHECK(realm.state(agency.id, limit - milliseconds(1)).status == AgencyStatus::suspended);
  CHECK(realm.state(agency.id, limit).status == AgencyStatus::active);
  CHECK(refused(realm, realm.entry({activate(agency.id)}, {3})) == ErrorCode::not_enough_signatures);
  SECTION("lifted by M") {
    realm.must({activate(agency.id, day_0 + hours(1))});
    CHECK(realm.state(agency.id, day_1).status == AgencyStatus::active);
    CHECK(realm.state(agency.id, day_0).status == AgencyStatus::suspended);
  }
  SECTION("a short one does not end a long one") {
    realm.must({suspend(agency.id, {})});
    realm.must({suspend(agency.id, limit)}, {1});
    CHECK(realm.state(agency.id, limit).status == AgencyStatus::suspended);
  }
}

TEST_CASE("officers: two administrators, or the root officers while there are not two") {
  Realm realm;
  const auto agency = realm.agency("G01"), other = realm.agency("G02");
  realm.must({Realm::change(agency), Realm::change(other)});
  std::vector<Officer> people;
  for (int i = 0; i < 4; ++i) people.push_back(make_officer(realm.random));
  const auto officer = [&](size_t i, bool revoked = false, const PartyId* of = nullptr) {
    return proto::Change{day_0, proto::OfficerChange{people[i].id, of ? *of : agency.id, "Person", "administrator",
                                                     people[i].key.public_key(), revoked}};
  };
  const auto by_agency = [&](std::vector<proto::Change> changes, std::vector<size_t> who) {
    std::vector<const Officer*> signers;
    for (size_t i : who) signers.push_back(&people[i]);
    return Realm::sign_with(proto::encode_entry_payload(realm.next(std::move(changes), agency.id)), signers);
  };
  CHECK(refused(realm, by_agency({officer(0)}, {})) == ErrorCode::not_enough_signatures);
  CHECK(refused(realm, realm.entry({officer(0)}, {0, 1})) == ErrorCode::not_enough_signatures);
  realm.must({officer(0), officer(1)});
  CHECK(realm.directory->officers(*realm.read(), agency.id).value().size() == 2);
  CHECK(refused(realm, realm.entry({officer(2)})) == ErrorCode::forbidden);
  CHECK(refused(realm, by_agency({officer(2)}, {0})) == ErrorCode::not_enough_signatures);
  CHECK(refused(realm, by_agency({officer(2)}, {0, 2})) == ErrorCode::bad_signature);
  CHECK(refused(realm, by_agency({officer(2, false, &other.id)}, {0, 1})) == ErrorCode::forbidden);
  CHECK(refused(realm, by_agency({Realm::change(agency)}, {0, 1})) == ErrorCode::forbidden);
  CHECK(refused(realm, by_agency({officer(3, true)}, {0, 1})) == ErrorCode::bad_request);
  CHECK(realm.apply(by_agency({officer(2)}, {0, 1})));
  CHECK(realm.apply(by_agency({officer(0, true)}, {1, 2})));
  CHECK(refused(realm, by_agency({officer(3)}, {0, 1})) == ErrorCode::bad_signature);
  // Lost keys lock nobody out: the root officers revoke, then add.
  realm.must({officer(1, true)});
  realm.must({officer(3)});
}

TEST_CASE("brokers: tcp endpoints, own keys; retired ones stay known") {
  Realm realm;
  proto::BrokerChange broker;
  broker.id = realm.random.id<PartyId>();
  broker.name = "B1";
  broker.failure_domain = "hanoi";
  broker.control_endpoint = "tcp://10.0.0.1:5701";
  broker.bulk_endpoint = "tcp://10.0.0.1:5702";
  const auto keys = realm.keys();
  broker.sig = keys.sig;
  broker.log = keys.log;
  broker.curve = keys.curve;
  const auto bad = [&](auto spoil) {
    auto copy = broker;
    spoil(copy);
    return refused(realm, realm.entry({{day_0, copy}})) == ErrorCode::bad_request;
  };
  CHECK(bad([](auto& b) { b.control_endpoint = "ipc:///tmp/x"; }));
  CHECK(bad([](auto& b) { b.control_endpoint = "tcp://10.0.0.1"; }));
  CHECK(bad([](auto& b) { b.control_endpoint = "tcp://10.0.0.1:0"; }));
  CHECK(bad([](auto& b) { b.control_endpoint = "tcp://10.0.0.1:99999"; }));
  CHECK(bad([](auto& b) { b.control_endpoint = "tcp://a b:1"; }));
  CHECK(bad([](auto& b) { b.bulk_endpoint = b.control_endpoint; }));
  CHECK(bad([](auto& b) { b.failure_domain = ""; }));
  CHECK(bad([&](auto& b) { b.id = realm.root[0].id; }));
  realm.must({{day_0, broker}});
  CHECK(realm.directory->brokers(day_0).size() == 1);
  CHECK(realm.directory->brokers(day_0 - hours(1)).empty());
  CHECK(realm.directory->sig_key(*realm.read(), broker.id, 2, day_1).value().value() == broker.sig);
  CHECK(realm.directory->allow_list(*realm.read(), day_1)->count(broker.curve) == 1);
  broker.retired = true;
  realm.must({{day_1, broker}});
  CHECK(realm.directory->brokers(day_0).size() == 1);
  CHECK(realm.directory->brokers(day_1).empty());
  CHECK(realm.directory->broker(broker.id)->record.retired);
}

TEST_CASE("witnesses: own keys; with a CURVE key they may connect until they are retired") {
  Realm realm;
  proto::WitnessChange witness;
  witness.id = realm.random.id<PartyId>();
  witness.name = "W1";
  witness.organisation = "Thanh tra";
  const auto keys = realm.keys();
  witness.log = keys.log;
  realm.must({{day_0, witness}});
  CHECK(realm.directory->witnesses(day_0).size() == 1);
  CHECK(realm.directory->witnesses(day_0 - hours(1)).empty());
  CHECK(realm.directory->allow_list(*realm.read(), day_1)->count(CurvePublic{}) == 0);
  witness.curve = keys.curve;
  realm.must({{day_0, witness}});
  CHECK(realm.directory->allow_list(*realm.read(), day_1)->at(keys.curve) == witness.id);
  // Nobody else's key.
  auto agency = realm.agency("G01");
  agency.keys = realm.keys();
  realm.must({Realm::change(agency)});
  auto thief = witness;
  thief.id = realm.random.id<PartyId>();
  thief.log = agency.keys->log;
  CHECK(refused(realm, realm.entry({{day_0, thief}})) != ErrorCode::internal);
  thief.log = realm.keys().log;
  thief.curve = agency.keys->curve;
  CHECK(refused(realm, realm.entry({{day_0, thief}})) != ErrorCode::internal);
  witness.retired = true;
  realm.must({{day_1, witness}});
  CHECK(realm.directory->witnesses(day_1).empty());
  CHECK(realm.directory->witness(witness.id)->record.retired);
  CHECK(realm.directory->allow_list(*realm.read(), day_1)->count(keys.curve) == 0);
  // All of it comes back from the store.
  Directory again(realm.directory->realm());
  REQUIRE(again.load(*realm.read()));
  CHECK(again.witnesses(day_0).size() == 1);
  CHECK(again.witness(witness.id)->record.curve == keys.curve);
}

TEST_CASE("the LOG keys of a party are all that it ever had, the one in force last") {
  Realm realm;
  auto agency = realm.agency("G01");
  CHECK(!realm.directory->log_owner(*realm.read(), agency.id, day_1).value());
  agency.keys = realm.keys();
  const LogPublic first = agency.keys->log;
  realm.must({Realm::change(agency)});
  agency.keys = realm.keys();
  realm.must({Realm::change(agency, day_1)});
  const auto owner = realm.directory->log_owner(*realm.read(), agency.id, day_1).value().value();
  CHECK(owner.kind == crypto::LogKind::node);
  CHECK(owner.keys == std::vector<LogPublic>{first, agency.keys->log});
  CHECK(realm.directory->log_owner(*realm.read(), agency.id, day_0).value().value().keys == std::vector<LogPublic>{first});
  proto::WitnessChange witness;
  witness.id = realm.random.id<PartyId>();
  witness.name = witness.organisation = "W";
  witness.log = realm.keys().log;
  realm.must({{day_0, witness}});
  const auto known = realm.directory->log_owner(*realm.read(), witness.id, day_1).value().value();
  CHECK(known.kind == crypto::LogKind::witness);
  CHECK(known.keys == std::vector<LogPublic>{witness.log});
}

TEST_CASE("property: random and damaged bytes never apply") {
  Realm realm;
  const Bytes good = realm.entry({Realm::change(realm.agency("G01"))});
  rc::prop("random bytes", [&] {
    const auto bytes = *rc::gen::container<Bytes>(rc::gen::arbitrary<uint8_t>());
    RC_ASSERT_FALSE(bool(realm.apply(bytes)));
  });
  rc::prop("one byte changed", [&] {
    Bytes bytes = good;
    const auto at = *rc::gen::inRange<size_t>(0, bytes.size());
    bytes[at] ^= static_cast<uint8_t>(*rc::gen::inRange(1, 256));
    RC_ASSERT_FALSE(bool(realm.apply(bytes)));
  });
  rc::prop("cut short", [&] {
    Bytes bytes = good;
    bytes.resize(*rc::gen::inRange<size_t>(0, bytes.size()));
    RC_ASSERT_FALSE(bool(realm.apply(bytes)));
  });
  CHECK(realm.apply(good));
}
