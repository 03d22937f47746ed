// State at a time: codes that are reused, succession, groups, search, connections, KX feeds.
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "base/limits.h"
#include "directory/staged.h"
#include "tests/unit/directory_fixture.h"

using namespace tram;
using namespace tram::directory;
using namespace tram::directory::test;
using proto::AgencyStatus;
using proto::Branch;
using proto::Level;

namespace {

proto::Change succeed(std::vector<PartyId> from, std::vector<PartyId> to, std::string policy, Time at) {
  return {at, proto::SucceedChange{std::move(from), std::move(to), std::move(policy)}};
}

std::optional<PartyId> find(Realm& realm, std::string_view code, Time at) {
  return realm.directory->find_code(*realm.read(), code, at).value();
}

std::vector<std::string> names(Realm& realm, Query query, Time at = day_1) {
  std::vector<std::string> out;
  const auto found = realm.directory->search(*realm.read(), query, at, 100).value();
  for (const auto& state : found) out.push_back(state.agency.name_vi);
  return out;
}
Query words(std::string text) {
  Query query;
  query.text = std::move(text);
  return query;
}

size_t group_size(Realm& realm, std::string_view name, Time at = day_1) {
  return realm.directory->group(*realm.read(), name, at).value().size();
}

}  // namespace

TEST_CASE("a code that is reused leads to its holder at the time") {
  Realm realm;
  auto old_unit = realm.agency("79.26734", "Phường cũ", Level::commune, "79");
  auto new_unit = realm.agency("79.26734", "Phường mới", Level::commune, "79");
  realm.must({Realm::change(old_unit)});
  SECTION("refused while the first is open") {
    const auto done = realm.apply(realm.entry({Realm::change(new_unit, day_1)}));
    REQUIRE_FALSE(done);
    CHECK(done.error().detail.find("79.26734") != std::string::npos);
  }
  SECTION("by succession") {
    auto heir = realm.agency("79.1", "Kế thừa", Level::commune, "79");
    realm.must(
        {Realm::change(heir), succeed({old_unit.id}, {heir.id}, "merge", day_1), Realm::change(new_unit, day_1)});
    CHECK(find(realm, "79.26734", day_0) == old_unit.id);
    CHECK(find(realm, "79.26734", day_1) == new_unit.id);
    // The old one cannot open again while the new one has its code.
    CHECK_FALSE(realm.apply(realm.entry({{day_1, proto::StatusChange{old_unit.id, AgencyStatus::active, {}, ""}}})));
  }
  SECTION("by the end of its validity") {
    old_unit.codes = {{"79.99999", {}, {}}, {"79.26734", {}, day_1}};
    realm.must({Realm::change(old_unit)});
    realm.must({Realm::change(new_unit, day_1)});
    CHECK(find(realm, "79.26734", day_1 - milliseconds(1)) == old_unit.id);
    CHECK(find(realm, "79.26734", day_1) == new_unit.id);
  }
  SECTION("in one entry the order counts") {
    CHECK_FALSE(realm.apply(realm.entry(
        {Realm::change(new_unit, day_1), {day_1, proto::StatusChange{old_unit.id, AgencyStatus::closed, {}, "x"}}})));
    CHECK(realm.apply(realm.entry(
        {{day_1, proto::StatusChange{old_unit.id, AgencyStatus::closed, {}, "x"}}, Realm::change(new_unit, day_1)})));
  }
  CHECK_FALSE(find(realm, "79.26734", day_0 - days(1)).has_value());
  CHECK_FALSE(find(realm, "79.2673", day_1).has_value());
  CHECK_FALSE(find(realm, "79.26734 ", day_1).has_value());
}

TEST_CASE("property: no code ever has two open holders") {
  rc::prop("whatever is applied in whatever order", [] {
    Realm realm(*rc::gen::arbitrary<uint32_t>());
    std::vector<proto::Agency> agencies;
    const auto steps = *rc::gen::container<std::vector<std::tuple<int, int, int, int>>>(
        rc::gen::tuple(rc::gen::inRange(0, 4), rc::gen::inRange(0, 4), rc::gen::inRange(0, 6), rc::gen::inRange(0, 6)));
    for (const auto& [kind, which, when, until] : steps) {
      const Time at = day_0 + days(when);
      if (kind == 0 || agencies.empty()) agencies.push_back(realm.agency("C" + std::to_string(which)));
      auto agency = agencies[static_cast<size_t>(which) % agencies.size()];
      if (kind == 1)
        agency.codes = {{"C" + std::to_string(until % 4), at, until ? at + days(until) : Time{}},
                        {"own" + agency.id.hex().substr(0, 20), {}, {}}};
      proto::Change change = Realm::change(kind == 0 ? agencies.back() : agency, at);
      if (kind == 2) change = {at, proto::StatusChange{agency.id, AgencyStatus::closed, {}, "x"}};
      if (kind == 3) change = {at, proto::StatusChange{agency.id, AgencyStatus::active, {}, ""}};
      (void)realm.apply(realm.entry({change}));
    }
    for (int day = 0; day < 14; ++day)
      for (int code = 0; code < 4; ++code) {
        int holders = 0;
        const Time at = day_0 + days(day);
        auto txn = realm.read();
        for (const auto& agency : agencies) {
          const auto state = realm.directory->agency(*txn, agency.id, at).value();
          if (!state || state->status == AgencyStatus::closed) continue;
          for (const auto& held : state->agency.codes)
            holders += held.code == "C" + std::to_string(code) && held.valid_from <= at &&
                       (!held.valid_until.ms || at < held.valid_until);
        }
        RC_ASSERT(holders <= 1);
      }
  });
}

TEST_CASE("split: the old unit is closed at the time and names all successors") {
  Realm realm;
  auto old_unit = realm.agency("79.1", "Xã cũ", Level::commune, "79");
  old_unit.keys = realm.keys();
  auto a = realm.agency("79.2", "Xã A", Level::commune, "79"), b = realm.agency("79.3", "Xã B", Level::commune, "79");
  realm.must({Realm::change(old_unit), Realm::change(a), Realm::change(b)});
  CHECK_FALSE(realm.apply(realm.entry({succeed({old_unit.id}, {a.id}, "split", day_1)})));
  CHECK_FALSE(realm.apply(realm.entry({succeed({old_unit.id}, {a.id, b.id}, "merge", day_1)})));
  CHECK_FALSE(realm.apply(realm.entry({succeed({old_unit.id}, {old_unit.id, b.id}, "split", day_1)})));
  CHECK_FALSE(realm.apply(realm.entry({succeed({old_unit.id}, {}, "merge", day_1)})));
  CHECK_FALSE(realm.apply(realm.entry({succeed({old_unit.id}, {realm.random.id<PartyId>()}, "merge", day_1)})));
  CHECK_FALSE(realm.apply(realm.entry({succeed({old_unit.id}, {a.id}, "eat", day_1)})));
  realm.must({succeed({old_unit.id}, {a.id, b.id}, "split", day_1)});
  CHECK(realm.state(old_unit.id, day_1 - milliseconds(1)).status == AgencyStatus::active);
  const auto closed = realm.state(old_unit.id, day_1);
  CHECK(closed.status == AgencyStatus::closed);
  CHECK(closed.successors == std::vector<PartyId>{a.id, b.id});
  CHECK(closed.succession_policy == "split");
  CHECK(closed.closed_since == day_1);
  CHECK(find(realm, "79.1", day_1) == old_unit.id);  // so that a sender learns of the successors
  CHECK_FALSE(realm.apply(realm.entry({succeed({old_unit.id}, {a.id}, "merge", day_1 + days(1))})));
  CHECK_FALSE(realm.apply(realm.entry({Realm::change(old_unit, day_1)})));
  // Its signatures stay verifiable, and its node may drain for a while (R31).
  CHECK(realm.directory->sig_key(*realm.read(), old_unit.id, 9, day_1).value().has_value());
  CHECK(realm.directory->allow_list(*realm.read(), day_1)->count(old_unit.keys->curve) == 1);
  CHECK(realm.directory->allow_list(*realm.read(), day_1 + days(13))->count(old_unit.keys->curve) == 0);
}

TEST_CASE("what is decided last counts, not what was scheduled before") {
  Realm realm;
  auto agency = realm.agency("G01", "Tên 1");
  realm.must({Realm::change(agency)});
  agency.name_vi = "Tên đã hẹn";
  realm.must({Realm::change(agency, day_0 + days(10))});
  CHECK(realm.state(agency.id, day_0 + days(9)).agency.name_vi == "Tên 1");
  CHECK(realm.state(agency.id, day_0 + days(10)).agency.name_vi == "Tên đã hẹn");
  agency.name_vi = "Tên khẩn";
  realm.must({Realm::change(agency, day_1)});
  CHECK(realm.state(agency.id, day_0).agency.name_vi == "Tên 1");
  CHECK(realm.state(agency.id, day_0 + days(11)).agency.name_vi == "Tên khẩn");
}

TEST_CASE("loading gives what applying gave") {
  Realm realm;
  proto::PolicyChange policy;
  policy.custody_quorum = 1;
  realm.must({{day_0, policy}}, {0, 1, 2, 3});
  realm.must({Realm::change(realm.agency("G01"))});
  Directory other(realm.directory->realm());
  REQUIRE(other.load(*realm.read()));
  CHECK(other.size() == 3);
  CHECK(other.root() == realm.directory->root());
  CHECK(other.policy(day_0).custody_quorum == 1);
  CHECK(other.last_payload_hash() == realm.directory->last_payload_hash());
  const Bytes next = realm.entry({Realm::change(realm.agency("G02"))});
  {
    auto txn = realm.store.begin_write().value();
    CHECK(other.apply(*txn, next, day_0));
    CHECK(other.size() == 4);
  }  // aborted
  REQUIRE(other.load(*realm.read()));
  CHECK(other.size() == 3);
  Directory stranger(RealmId{});
  CHECK(code_of(stranger.load(*realm.read())) == ErrorCode::wrong_realm);
  for (uint64_t size = 0; size <= 3; ++size) CHECK(realm.directory->root_at(*realm.read(), size).value().has_value());
  CHECK(realm.directory->root_at(*realm.read(), 3).value() == realm.directory->root());
  CHECK_FALSE(realm.directory->root_at(*realm.read(), 4).value().has_value());
}

TEST_CASE("entries come back as received, at least one and no more than fits") {
  Realm realm;
  for (int i = 0; i < 5; ++i) realm.must({Realm::change(realm.agency("G0" + std::to_string(i)))});
  const auto all = realm.directory->entries(*realm.read(), 0, 1 << 20).value();
  REQUIRE(all.size() == 6);
  CHECK(all[0] == realm.genesis_bytes);
  CHECK(realm.directory->entries(*realm.read(), 2, 1).value() == std::vector<Bytes>{all[2]});
  CHECK(realm.directory->entries(*realm.read(), 1, all[1].size() + all[2].size()).value().size() == 2);
  CHECK(realm.directory->entries(*realm.read(), 6, 1 << 20).value().empty());
  CHECK_FALSE(realm.directory->entry(*realm.read(), 6));
}

TEST_CASE("fold: case, diacritics and spaces go, d stands for đ") {
  CHECK(fold("Đảng ủy xã Tân Tiến") == "dang uy xa tan tien");
  CHECK(fold("  Hòa   Bình ") == "hoa binh");
  CHECK(fold("Hoà") == fold("Hòa"));
  CHECK(fold("THỪA THIÊN HUẾ") == "thua thien hue");
  CHECK(fold("u\xcc\x9b\xcc\x80") == "u");  // decomposed ừ
  CHECK(fold("ĂăÂâÊêÔôƠơƯưĐđ") == "aaaaeeoooouudd");
  CHECK(fold("\xff\xc3") == "\xff\xc3");
  rc::prop("never throws, is idempotent", [](const std::string& text) { RC_ASSERT(fold(fold(text)) == fold(text)); });
}

TEST_CASE("search: words without diacritics, codes first, by place and branch") {
  Realm realm;
  auto province = realm.agency("P24", "Ủy ban nhân dân tỉnh Bắc Ninh", Level::province, "24");
  auto one = realm.agency("24.7.D", "Đảng ủy xã Tân Tiến", Level::commune, "24", province.id, Branch::party);
  one.contact.address = "Tỉnh Bắc Ninh";
  auto two = realm.agency("92.8.D", "Đảng ủy xã Tân Tiến", Level::commune, "92", {}, Branch::party);
  two.contact.address = "Thành phố Cần Thơ";
  auto ward = realm.agency("24.7", "Ủy ban nhân dân xã Tân Tiến", Level::commune, "24", province.id);
  auto lookalike = realm.agency("24.70", "Đảng ủy xã Tân Hiệp", Level::commune, "24", province.id, Branch::party);
  realm.must(
      {Realm::change(province), Realm::change(one), Realm::change(two), Realm::change(ward), Realm::change(lookalike)});
  CHECK(names(realm, words("dang uy xa tan tien")) == std::vector<std::string>(2, "Đảng ủy xã Tân Tiến"));
  CHECK(names(realm, words("ĐẢNG ỦY  tân tiến")).size() == 2);
  CHECK(names(realm, words("tan tien can tho")) == std::vector<std::string>{"Đảng ủy xã Tân Tiến"});
  CHECK(names(realm, words("tan ti")).size() == 3);
  CHECK(names(realm, words("24.7")) ==
        std::vector<std::string>{"Ủy ban nhân dân xã Tân Tiến", "Đảng ủy xã Tân Hiệp", "Đảng ủy xã Tân Tiến"});
  CHECK(names(realm, words("24.7.d")).size() == 1);
  CHECK(names(realm, words("- !")).size() == 5);
  CHECK(names(realm, words("khong co")).empty());
  Query query = words("tan tien");
  query.branch = Branch::party;
  query.province = "92";
  CHECK(names(realm, query).size() == 1);
  Query below;
  below.parent = province.id;
  CHECK(names(realm, below).size() == 3);
  Query communes;
  communes.level = Level::commune;
  CHECK(names(realm, communes).size() == 4);
  CHECK(names(realm, words("tan tien"), day_0 - days(1)).empty());

  SECTION("pages") {
    std::vector<PartyId> seen;
    std::optional<PartyId> after;
    for (;;) {
      const auto page = realm.directory->search(*realm.read(), words("tan"), day_1, 1, after).value();
      if (page.empty()) break;
      seen.push_back(page[0].agency.id);
      after = seen.back();
    }
    CHECK(seen.size() == 4);
    CHECK(std::set<PartyId>(seen.begin(), seen.end()).size() == 4);
  }
  SECTION("a name that was given up is found no more") {
    one.name_vi = "Đảng ủy xã Mới";
    realm.must({Realm::change(one, day_1)});
    CHECK(names(realm, words("dang uy xa tan tien")).size() == 1);
    CHECK(names(realm, words("dang uy xa tan tien"), day_0).size() == 2);
  }
}

TEST_CASE("groups and units") {
  Realm realm;
  auto central = realm.agency("G22", "VPCP");
  auto province = realm.agency("P79", "UBND TP", Level::province, "79", central.id);
  auto department = realm.agency("P79.YT", "Sở Y tế", Level::province, "79", province.id);
  auto party = realm.agency("P79.D", "Thành ủy", Level::province, "79", {}, Branch::party);
  auto commune = realm.agency("79.1", "UBND xã 1", Level::commune, "79", province.id);
  auto far = realm.agency("91.1", "UBND xã 2", Level::commune, "91");
  auto unit = realm.agency("79.1.VP", "Văn phòng", Level::unit, "79", commune.id);
  realm.must({Realm::change(central), Realm::change(province), Realm::change(department), Realm::change(party),
              Realm::change(commune), Realm::change(far), Realm::change(unit)});
  CHECK(group_size(realm, "all") == 6);
  CHECK(group_size(realm, "provinces") == 2);
  CHECK(group_size(realm, "provinces/government") == 1);
  CHECK(group_size(realm, "communes") == 2);
  CHECK(group_size(realm, "communes:79") == 1);
  CHECK(group_size(realm, "communes:79/government") == 1);
  CHECK(group_size(realm, "communes:79/party") == 0);
  CHECK(group_size(realm, "branch:party") == 1);
  CHECK(group_size(realm, "children:P79") == 2);
  CHECK(group_size(realm, "children:79.1") == 0);
  for (const char* bad : {"", "alle", "communes:", "provinces/", "provinces/x", "branch:", "communes:79/"})
    CHECK_FALSE(realm.directory->group(*realm.read(), bad, day_1));
  CHECK_FALSE(realm.directory->group(*realm.read(), "children:none", day_1));
  const auto sorted = realm.directory->group(*realm.read(), "all", day_1).value();
  CHECK(std::is_sorted(sorted.begin(), sorted.end()));
  CHECK(realm.directory->units(*realm.read(), commune.id, day_1)->size() == 1);
  CHECK(realm.directory->node_of(*realm.read(), unit.id, day_1).value() == commune.id);
  CHECK(realm.directory->node_of(*realm.read(), commune.id, day_1).value() == commune.id);
  CHECK_FALSE(realm.directory->node_of(*realm.read(), PartyId{}, day_1).value().has_value());
  realm.must({{day_1, proto::StatusChange{far.id, AgencyStatus::suspended, {}, "x"}}});
  CHECK(group_size(realm, "communes") == 1);
  CHECK(group_size(realm, "communes", day_0) == 2);
}

TEST_CASE("who may connect: open agencies by their present key, brokers, publishers") {
  Realm realm;
  auto agency = realm.agency("G01"), plain = realm.agency("G02");
  agency.keys = realm.keys();
  realm.must({Realm::change(agency), Realm::change(plain)});
  const auto before = realm.directory->allow_list(*realm.read(), day_1).value();
  CHECK(before == std::map<CurvePublic, PartyId>{{agency.keys->curve, agency.id}});
  CHECK(realm.directory->key_holder(*realm.read(), agency.keys->curve).value() == agency.id);
  CHECK(realm.directory->key_holder(*realm.read(), agency.keys->sig).value() == agency.id);
  const auto old_curve = agency.keys->curve;
  agency.keys = realm.keys();
  realm.must({Realm::change(agency, day_1), {day_1, proto::StatusChange{agency.id, AgencyStatus::suspended, {}, "x"}}});
  const auto after = realm.directory->allow_list(*realm.read(), day_1).value();
  CHECK(after.count(old_curve) == 0);
  CHECK(after.count(agency.keys->curve) == 1);
}

TEST_CASE("KX feeds: signed by the agency, newest kept, epoch of the day") {
  Realm realm;
  const crypto::SigningKey sig(crypto::make_secret(realm.random));
  auto agency = realm.agency("G01"), plain = realm.agency("G02");
  agency.keys = realm.keys();
  agency.keys->sig = sig.public_key();
  realm.must({Realm::change(agency), Realm::change(plain)});
  const auto feed = [&](uint64_t number, const crypto::SigningKey& key, PartyId of) {
    proto::KxFeedPayload payload{realm.directory->realm(), of, number, {}};
    for (int day = 0; day < 3; ++day)
      payload.epochs.push_back(
          {uint64_t(day + 1), crypto::make_kx_pair(realm.random).public_key, day_0 + days(day), day_0 + days(day + 1)});
    return proto::encode_kx_feed(sign_kx_feed(payload, key));
  };
  const auto store = [&](const Bytes& bytes) {
    auto txn = realm.store.begin_write().value();
    auto done = realm.directory->store_kx_feed(*txn, bytes, day_0);
    if (done) REQUIRE(txn->commit());
    return done;
  };
  const Bytes first = feed(5, sig, agency.id);
  CHECK(store(first).value());
  CHECK_FALSE(store(first).value());
  CHECK_FALSE(store(feed(4, sig, agency.id)).value());
  CHECK(realm.directory->kx_feed(*realm.read(), agency.id).value() == first);
  CHECK(realm.directory->kx_epoch(*realm.read(), agency.id, day_0 + hours(30)).value()->number == 2);
  CHECK_FALSE(realm.directory->kx_epoch(*realm.read(), agency.id, day_0 + days(3)).value().has_value());
  CHECK_FALSE(realm.directory->kx_epoch(*realm.read(), agency.id, day_0 - days(1)).value().has_value());
  const crypto::SigningKey other(crypto::make_secret(realm.random));
  CHECK(store(feed(9, other, agency.id)).error().code == ErrorCode::bad_signature);
  CHECK(store(feed(9, sig, plain.id)).error().code == ErrorCode::no_node);
  CHECK(store(feed(9, sig, realm.random.id<PartyId>())).error().code == ErrorCode::unknown_agency);
  // A new key starts afresh: what a thief of the old key published is neither used nor in the way.
  CHECK(store(feed(UINT64_MAX, sig, agency.id)).value());
  agency.keys->sig = other.public_key();
  realm.must({Realm::change(agency)});
  CHECK_FALSE(realm.directory->kx_epoch(*realm.read(), agency.id, day_0).value().has_value());
  CHECK(store(feed(1, other, agency.id)).value());
  // Receipts are sealed to a closed agency while it drains (R31).
  realm.must({{day_0, proto::StatusChange{agency.id, AgencyStatus::closed, {}, "merged"}}});
  CHECK(store(feed(2, other, agency.id)).value());
  CHECK(realm.directory->kx_epoch(*realm.read(), agency.id, day_0).value().has_value());
}

TEST_CASE("property: a staged transaction equals a store") {
  rc::prop("gets and scans, over a base and with erasures", [] {
    sim::MemStore base, model;
    const Table table{"t"};
    const auto key = [](int i) { return Bytes{static_cast<uint8_t>(i / 4), static_cast<uint8_t>(i % 4)}; };
    const auto initial = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 12));
    const auto steps = *rc::gen::container<std::vector<std::pair<int, bool>>>(
        rc::gen::pair(rc::gen::inRange(0, 12), rc::gen::arbitrary<bool>()));
    auto base_txn = base.begin_write().value(), model_txn = model.begin_write().value();
    for (int i : initial)
      for (auto* txn : {base_txn.get(), model_txn.get()}) RC_ASSERT(bool(txn->put(table, key(i), Bytes{1})));
    StagedTxn staged(*base_txn);
    for (const auto& [i, keep] : steps)
      for (WriteTxn* txn : {static_cast<WriteTxn*>(&staged), model_txn.get()})
        RC_ASSERT(bool(keep ? txn->put(table, key(i), Bytes{2}) : txn->erase(table, key(i))));
    const auto same = [&](WriteTxn& txn) {
      for (int from = 0; from < 12; ++from)
        for (size_t limit : {1u, 3u, 100u})
          for (Direction direction : {Direction::forward, Direction::backward})
            for (const Bytes& until : {Bytes{}, Bytes{2}}) {
              const auto a = txn.scan(table, key(from), until, limit, direction).value();
              const auto b = model_txn->scan(table, key(from), until, limit, direction).value();
              RC_ASSERT(a.size() == b.size());
              for (size_t i = 0; i < a.size(); ++i) RC_ASSERT(a[i].key == b[i].key && a[i].value == b[i].value);
            }
      for (int i = 0; i < 12; ++i) RC_ASSERT(txn.get(table, key(i)).value() == model_txn->get(table, key(i)).value());
    };
    same(staged);
    RC_ASSERT(bool(staged.flush(*base_txn)));
    same(*base_txn);
  });
}
