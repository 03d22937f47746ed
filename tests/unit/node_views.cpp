// What an old view of the directory forbids and what it does not (R28), and what another directory in somebody's hands
// means (R27): who signed by it is not taken, and nobody else is accused.
#include "tests/unit/node_exchange.h"

namespace tram::node::test {
namespace {

ErrorCode submit_code(Exchange& world) {
  const auto answer = world.post("/v1/documents", World::submission());
  world.jobs.clear();
  return answer.status < 300 ? ErrorCode{} : answer.code() == "directory_stale" ? ErrorCode::directory_stale : ErrorCode::internal;
}

std::set<std::string> problems(Exchange& world) {
  world.health.directory_confirmed = world.node->views().confirmed();
  world.health.directory_since = world.node->views().since();
  world.health.directory_cosigners.clear();
  for (const auto& one : world.node->views().known()) world.health.directory_cosigners.push_back({one.by, one.size, one.at});
  std::set<std::string> codes;
  const auto health = world.get("/v1/health");
  for (const auto& one : health.json["problems"]) codes.insert(one["code"]);
  return codes;
}

/// An envelope of `party` for us by a view of the directory, offered by a broker and opened.
struct ArrivingByView {
  Exchange world;
  crypto::Envelope envelope;
  Bytes bytes;

  explicit ArrivingByView(std::function<void(crypto::Envelope&)> tune = [](auto&) {}) {
    auto& directory = *world.realm.directory;
    envelope.realm = directory.realm();
    envelope.sender = world.party.id;
    envelope.recipient = world.self.id;
    envelope.inc = 1;
    envelope.seq = 1;
    envelope.doc_id = world.realm.random.id<DocId>();
    envelope.created = world.now;
    envelope.not_after = world.now + days(10);
    envelope.dir_size = directory.size();
    envelope.dir_root = directory.root();
    tune(envelope);
    bytes = crypto::encode_envelope(envelope, *world.party_key);
    world.greet(0);
    REQUIRE(sent<proto::Fetch>(world.from(0, proto::Announce{{{bytes, 1, {}}}})).size() == 1);
  }
  /// Whether its content was asked to be opened.
  bool content() { return !jobs_of<OpenJob>(world.from(0, proto::Content{envelope.id, {}, {}, {}, {}, 0})).empty(); }
  Effects opened() {
    OpenDone done;
    done.env_id = envelope.id;
    done.record.doc_id = envelope.doc_id;
    done.record.env_id = envelope.id;
    done.record.sender = envelope.sender;
    done.record.inc = envelope.inc;
    done.record.seq = envelope.seq;
    done.record.envelope = bytes;
    done.record.metadata = proto::encode_metadata({});
    done.record.document_key = Bytes(32, 7);
    done.record.inline_body = true;
    return world.step({JobResult{done}});
  }
  bool stored() { return find_u64(*world.realm.read(), table::incoming_by_doc, envelope.doc_id).value().has_value(); }
};

}  // namespace

TEST_CASE("R28: a new realm and a store just put back work; after seven days without a word nothing new is sent") {
  Exchange world;
  world.greet(0);
  CHECK(submit_code(world) == ErrorCode{});
  world.now = world.now + limits::view_no_sending_after - seconds(1);
  CHECK(submit_code(world) == ErrorCode{});
  world.now = world.now + seconds(1);
  CHECK(submit_code(world) == ErrorCode::directory_stale);
  world.restart();
  CHECK(submit_code(world) == ErrorCode::directory_stale);
  world.greet(0);
  world.confirm();
  CHECK(submit_code(world) == ErrorCode{});
  world.restart();
  CHECK(submit_code(world) == ErrorCode{});
}

TEST_CASE("R28: what is queued stays, and goes on when the view is confirmed") {
  Exchange world;
  world.greet(0);
  world.send_letter();  // no key of the recipient yet
  world.now = world.now + limits::view_no_sending_after;
  world.confirm();
  world.now = world.now + minutes(1);
  REQUIRE(jobs_of<WrapJob>(world.feed()).size() == 1);

  Exchange stale;
  stale.greet(0);
  stale.feed();
  REQUIRE(stale.post("/v1/documents", World::submission()).status < 300);
  const SealDone sealed = stale.seal();
  stale.now = stale.now + limits::view_no_sending_after - minutes(1);
  stale.feed(2);
  stale.confirm();  // so that the feed counts
  REQUIRE(stale.feed(2).sends.size() < 100);
  const Time confirmed = stale.now;
  stale.now = confirmed + limits::view_no_sending_after;
  CHECK(jobs_of<WrapJob>(stale.step({JobResult{sealed}})).empty());
  CHECK(stale.last_envelope().envelope.empty());
  stale.now = stale.now - hours(1);
  const auto wrapped = stale.confirm();
  CHECK(jobs_of<WrapJob>(wrapped).size() == 1);
}

TEST_CASE("R28: after three days no key is taken that was not known, and entries still are") {
  Exchange world;
  world.greet(0);
  world.confirm();
  world.now = world.now + limits::view_no_new_keys_after;
  world.feed();
  CHECK_FALSE(world.has_key());
  // What so many officers signed is what mends a realm whose witnesses are gone.
  proto::BrokerChange gone = world.brokers[2];
  gone.retired = true;
  const uint64_t size = world.realm.directory->size();
  const Bytes entry = world.realm.entry({{directory::test::day_0, gone}});
  world.from(0, proto::DirectoryEntries{size + 1, size, {entry}, {}});
  CHECK(world.realm.directory->size() == size + 1);
  world.confirm();
  world.feed();
  CHECK(world.has_key());
  Exchange young;
  young.greet(0);
  young.now = young.now + limits::view_no_new_keys_after - seconds(1);
  young.feed();
  CHECK(young.has_key());
}

TEST_CASE("R28: who can seal nothing to new keys asks for the directory three times as often") {
  Exchange world;
  world.greet(0);
  world.confirm();
  const auto asked_within = [&](int64_t s) {
    size_t asked = 0;
    for (int64_t i = 0; i < s; ++i) {
      world.now = world.now + seconds(1);
      const auto effects = world.tick();
      for (const auto& one : effects.sends)
        asked += one.broker == world.brokers[0].id && std::holds_alternative<proto::DirectoryGet>(one.frame.body);
    }
    return asked;
  };
  CHECK(asked_within(60) == 2);
  world.now = world.now + limits::view_no_new_keys_after;
  asked_within(1);
  CHECK(asked_within(60) == 6);
  world.confirm();
  CHECK(asked_within(60) == 2);
}

TEST_CASE("R28: health says how old the view is and what that forbids") {
  Exchange world;
  CHECK_FALSE(problems(world).count("directory_old"));
  world.greet(0);
  world.confirm();
  CHECK(world.get("/v1/health").json["directory"]["freshness"] == "fresh");
  world.now = world.now + limits::view_old_after;
  CHECK(problems(world).count("directory_old"));
  const auto severity = [&] {
    const auto health = world.get("/v1/health");
    for (const auto& one : health.json["problems"])
      if (one["code"] == "directory_old") return one["severity"].get<std::string>();
    return std::string();
  };
  CHECK(severity() == "warning");
  // It says who is silent: brokers 0 and 1 spoke a day ago, broker 2 never.
  world.show_views({world.view_note({1}, world.now)});
  CHECK(problems(world).count("directory_old"));
  const auto health = world.get("/v1/health").json;
  CHECK(health["directory"]["cosigners"].size() == 2);
  for (const auto& one : health["problems"]) {
    if (one["code"] != "directory_old") continue;
    const auto said = one["what"]["en"].get<std::string>();
    CHECK(said.find(world.brokers[0].name) != std::string::npos);
    CHECK(said.find(world.brokers[1].name) == std::string::npos);
    CHECK(said.find(world.brokers[2].name) != std::string::npos);
  }
  CHECK(world.get("/v1/health").json["directory"]["freshness"] == "old");
  world.now = world.now + limits::view_no_new_keys_after - limits::view_old_after;
  CHECK(severity() == "error");
  CHECK(world.get("/v1/health").json["directory"]["freshness"] == "no_new_keys");
  CHECK_FALSE(world.node->may_send_confidential(*world.realm.read(), world.now, world.party.id).value());
  world.now = world.now + days(7);
  CHECK(world.get("/v1/health").json["directory"]["freshness"] == "no_sending");
}

TEST_CASE("R27: an envelope by our directory is taken, at its size and at an earlier one") {
  for (const uint64_t back : {0u, 1u}) {
    ArrivingByView arriving([&](crypto::Envelope&) {});
    ArrivingByView earlier([&](crypto::Envelope& envelope) { envelope.dir_size -= back; });
    ArrivingByView& one = back ? earlier : arriving;
    if (back) {
      one.envelope.dir_root = one.world.realm.directory->root_at(*one.world.realm.read(), one.envelope.dir_size).value().value();
      one.bytes = crypto::encode_envelope(one.envelope, *one.world.party_key);
      one.world.from(0, proto::Announce{{{one.bytes, 2, {}}}});
    }
    REQUIRE(one.content());
    one.opened();
    CHECK(one.stored());
    CHECK(audit::view_conflicts(*one.world.realm.read()).value().empty());
  }
}

TEST_CASE("R27: an envelope by another directory is not taken, is kept, and accuses its sender alone") {
  ArrivingByView arriving([](crypto::Envelope& envelope) { envelope.dir_root = crypto::merkle_leaf(view("other")); });
  Exchange& world = arriving.world;
  world.confirm();
  REQUIRE(arriving.content());
  arriving.opened();
  CHECK_FALSE(arriving.stored());
  const auto answer = find<proto::AnswerRecord>(*world.realm.read(), table::answer, arriving.envelope.id).value();
  REQUIRE(answer);
  const auto nack = crypto::decode_notice(answer->statement);
  REQUIRE(nack);
  CHECK(nack->kind == crypto::NoticeKind::nack);
  CHECK(nack->reason == static_cast<uint16_t>(ErrorCode::rollback));
  const auto kept = audit::view_conflicts(*world.realm.read()).value();
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].kind == audit::ViewConflict::Kind::agency);
  CHECK(kept[0].by == world.party.id);
  CHECK(kept[0].object == arriving.bytes);  // with its sender's signature: nobody else can have made it
  CHECK(problems(world).count("view_differs"));
  CHECK_FALSE(problems(world).count("directory_split"));
  CHECK_FALSE(problems(world).count("view_contradicts"));
  // Confidential documents go to others, not to it.
  CHECK_FALSE(world.node->may_send_confidential(*world.realm.read(), world.now, world.party.id).value());
  CHECK(world.node->may_send_confidential(*world.realm.read(), world.now, world.front.id).value());
}

TEST_CASE("R27: an envelope by a directory larger than ours waits for the entries") {
  ArrivingByView arriving([](crypto::Envelope& envelope) { ++envelope.dir_size; });
  const auto effects = arriving.world.from(0, proto::Content{arriving.envelope.id, {}, {}, {}, {}, 0});
  CHECK(jobs_of<OpenJob>(effects).empty());
  CHECK(sent<proto::DirectoryGet>(effects).size() == 1);
  CHECK(audit::view_conflicts(*arriving.world.realm.read()).value().empty());
}

TEST_CASE("R27: a receipt by another directory settles nothing") {
  for (const bool same : {false, true}) {
    Exchange world;
    world.greet(0);
    world.feed();
    world.confirm();
    world.send_letter();
    const auto envelope = world.last_envelope();
    auto receipt = world.receipt_for(envelope);
    if (!same) receipt.dir_root = crypto::merkle_leaf(view("other"));
    world.receipt_comes(receipt);
    const auto item = world.item_of(envelope);
    CHECK((item.state == proto::ItemState::delivered) == same);
    CHECK(audit::view_conflicts(*world.realm.read()).value().size() == (same ? 0 : 1));
  }
}

TEST_CASE("R27: two directories, each with its witnesses, stop what is confidential and are shown") {
  Exchange world;
  world.greet(0);
  world.confirm();
  const Hash other = crypto::merkle_leaf(view("other"));
  world.show_views({world.view_note({0}, world.now, other)});
  CHECK(problems(world).count("view_contradicts"));
  CHECK(world.node->may_send_confidential(*world.realm.read(), world.now, world.party.id).value());
  world.show_views({world.view_note({2}, world.now, other)});
  CHECK(problems(world).count("directory_split"));
  CHECK_FALSE(world.node->may_send_confidential(*world.realm.read(), world.now, world.party.id).value());
  CHECK(submit_code(world) == ErrorCode{});  // ordinary mail goes on
}

}  // namespace tram::node::test
