// What a step does itself when a document comes alone: sealing and wrapping in the commit that takes it (decision 38); and
// who waits for a document is told when it has come so far.
#include "tests/unit/node_exchange.h"

namespace tram::node::test {
namespace {

/// A node that seals at once, two brokers, a key of `party`.
struct AtOnce : Exchange {
  AtOnce() {
    seals_at_once = 2;
    restart();
    greet(0);
    greet(1);
    feed();
  }
  proto::OutRecord record_of(const Answer& answer) {
    return load<proto::OutRecord>(*realm.read(), table::outgoing, *DocUuid::parse(answer.json["id"].get<std::string>())).value();
  }
  bool sealing(const Answer& answer) {
    return realm.read()->get(table::sealing, *DocUuid::parse(answer.json["id"].get<std::string>())).value().has_value();
  }
};

bool has_seal_job(const World& world) {
  return std::any_of(world.jobs.begin(), world.jobs.end(), [](const Job& job) { return std::holds_alternative<SealJob>(job); });
}

}  // namespace

TEST_CASE("a letter is sealed and wrapped by the commit that takes it") {
  AtOnce world;
  const uint64_t commits = world.realm.store.commits();
  const auto answer = world.post("/v1/documents", World::submission());
  REQUIRE(answer.status == 202);
  CHECK(world.realm.store.commits() == commits + 1);
  CHECK(answer.json["state"]["name"] == "sent");
  CHECK_FALSE(has_seal_job(world));
  CHECK_FALSE(world.sealing(answer));
  const auto record = world.record_of(answer);
  CHECK(record.state == proto::OutState::sent);
  CHECK(record.staged.empty());
  CHECK(record.inline_body);
  const auto envelope = world.last_envelope();
  CHECK(envelope.uuid == record.uuid);
  CHECK(world.item_of(envelope).state == proto::ItemState::queued);
  // The step that follows sends it to both brokers.
  const auto puts = sent<proto::Put>(world.tick());
  REQUIRE(puts.size() == 2);
  CHECK(puts[0].header == record.header);
  CHECK(puts[0].items.at(0).envelope == envelope.envelope);
}

TEST_CASE("a letter's id begins with the time, and a small sealed body lies in its row") {
  const size_t bytes = GENERATE(size_t{1000}, size_t{2200}, size_t{2201});
  Exchange world;
  world.greet(0);
  world.greet(1);
  world.feed();
  REQUIRE(world.post("/v1/documents", World::submission()).status < 300);
  SealDone done = world.seal();
  done.inline_chunk.resize(bytes);
  const Bytes chunk = done.inline_chunk;
  const DocUuid uuid = done.uuid;
  world.step({JobResult{done}});
  const auto record = load<proto::OutRecord>(*world.realm.read(), table::outgoing, uuid).value();
  CHECK(Reader(uuid).u64() >> 16 == record.created.wire());
  CHECK(uuid.bytes[6] >> 4 == 7);
  CHECK(uuid.bytes[8] >> 6 == 2);
  CHECK(record.inline_chunk == (bytes <= 2200 ? chunk : Bytes{}));
  CHECK(world.realm.read()->get(table::body_inline, record.doc_id).value() == (bytes <= 2200 ? std::nullopt : std::optional(chunk)));
  // A node that has forgotten all but its store puts the same bytes.
  world.restart();
  world.greet(0);
  world.greet(1);
  world.now = world.now + seconds(31);  // what it put then has had no answer
  const auto puts = sent<proto::Put>(world.tick());
  REQUIRE_FALSE(puts.empty());
  CHECK(puts[0].inline_chunk == chunk);
}

TEST_CASE("what is large, for many, or one too many for a step is a worker's to seal") {
  AtOnce world;
  REQUIRE_FALSE(has_seal_job(world));
  CHECK(world.post("/v1/documents", World::submission()).json["state"]["name"] == "sent");
  CHECK(world.post("/v1/documents", World::submission()).json["state"]["name"] == "sent");
  const auto third = world.post("/v1/documents", World::submission());
  CHECK(third.json["state"]["name"] == "sealing");
  CHECK(world.sealing(third));
  CHECK(has_seal_job(world));
  // Its turn in the channel comes after those before it.
  const auto second = world.last_envelope();
  world.step({JobResult{world.seal()}});
  const auto last = world.last_envelope();
  CHECK(crypto::decode_envelope(last.envelope)->prev == second.env_id);
  // The step is over: the next one has its own two.
  CHECK(world.post("/v1/documents", World::submission()).json["state"]["name"] == "sent");
  auto large = World::submission();
  Bytes content = to_bytes(std::string_view("%PDF-1.7\n"));
  content.resize(100000, 'x');
  large["files"] = {{{"name", "phu-luc.pdf"}, {"content", base64(text(content))}}};
  const auto staged = world.post("/v1/documents", large);
  REQUIRE(staged.status == 202);
  CHECK(staged.json["state"]["name"] == "sealing");
}

TEST_CASE("a letter that cannot be wrapped yet is sealed all the same and waits for its key") {
  AtOnce world;
  const auto answer = world.post("/v1/documents", World::submission({"M01"}));
  REQUIRE(answer.status == 202);
  CHECK(answer.json["state"]["name"] == "sent");
  CHECK(world.get("/v1/documents/" + answer.json["id"].get<std::string>()).json["counts"]["waiting"] == 1);
  CHECK(world.realm.read()->scan(table::todo, {}, {}, 10).value().size() == 1);
}

TEST_CASE("who waits for a document is answered when it has come so far, and else told to ask again") {
  AtOnce world;
  const auto answer = world.post("/v1/documents", World::submission());
  const std::string path = "/v1/documents/" + answer.json["id"].get<std::string>();
  const auto uuid = *DocUuid::parse(answer.json["id"].get<std::string>());
  const auto waits = [&](const std::string& query) {
    auto response = world.read(World::request("GET", path + query));
    CHECK(response.status == 200);
    return response.waits_for == uuid;
  };
  CHECK_FALSE(waits(""));
  CHECK(waits("?wait=accepted"));
  CHECK(waits("?wait=delivered"));
  CHECK(world.read(World::request("GET", path + "?wait=delivered&seconds=3")).wait == seconds(3));
  for (const char* wrong : {"?wait=sent", "?wait=accepted&seconds=0", "?wait=accepted&seconds=21", "?wait=accepted&seconds=x", "?seconds=2"})
    CHECK(world.get(path + wrong).code() == "bad_request");

  const auto envelope = world.last_envelope();
  const auto custody = [&](size_t i) {
    crypto::Custody signed_by;
    signed_by.realm = world.realm.directory->realm();
    signed_by.broker = world.brokers[i].id;
    signed_by.epoch = *Epoch::from(Bytes(16, static_cast<uint8_t>(i + 1)));
    signed_by.env_id = envelope.env_id;
    signed_by.recipient = world.party.id;
    signed_by.position = 1;
    signed_by.chunks = 1;
    signed_by.time = world.now;
    CustodyDone done;
    done.valid.push_back({world.brokers[i].id, world.brokers[i].sig, crypto::encode_custody(signed_by, world.broker_keys[i]), Lane::normal, i});
    return world.step({JobResult{done}});
  };
  CHECK(custody(0).changed_sent.empty());
  CHECK(custody(1).changed_sent == std::vector<DocUuid>{uuid});
  CHECK_FALSE(waits("?wait=accepted"));
  CHECK(waits("?wait=delivered"));
  CHECK_FALSE(find_envelope(*world.realm.read(), envelope.env_id).value()->closed);
  CHECK(world.receipt_comes(world.receipt_for(envelope)).changed_sent == std::vector<DocUuid>{uuid});
  CHECK(find_envelope(*world.realm.read(), envelope.env_id).value()->closed);
  CHECK_FALSE(waits("?wait=delivered"));
}

TEST_CASE("a job is brief when it opens, checks or seals one or two small things") {
  CHECK(is_brief(Job{AnswerJob{std::vector<AnswerJob::Item>(1)}}));
  CHECK_FALSE(is_brief(Job{AnswerJob{std::vector<AnswerJob::Item>(3)}}));
  CustodyJob custodies;
  custodies.items.resize(2);
  CHECK(is_brief(Job{custodies}));
  custodies.items.resize(3);
  CHECK_FALSE(is_brief(Job{custodies}));
  OpenJob open;
  open.inline_chunk.resize(16u << 10);
  CHECK_FALSE(is_brief(Job{SealJob{}}));
  CHECK_FALSE(is_brief(Job{ScrubJob{}}));
  CHECK(is_brief(Job{std::move(open)}));
}

}  // namespace tram::node::test
