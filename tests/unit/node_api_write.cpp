#include <algorithm>

#include "tests/unit/node_api_fixture.h"

using namespace tram;
using namespace tram::node;
using namespace tram::node::test;

TEST_CASE("a document is accepted once under its key") {
  World world;
  const auto first = world.post("/v1/documents", World::submission(), "once");
  REQUIRE(first.status == 202);
  CHECK(first.json["recipients"] == 1);
  CHECK(first.json["state"]["name"] == "sealing");
  CHECK(first.json["practice"] == true);
  CHECK(first.headers.at("Location") == "/v1/documents/" + first.json["id"].get<std::string>());
  const auto again = world.post("/v1/documents", World::submission(), "once");
  CHECK(again.status == 202);
  CHECK(again.body == first.body);
  CHECK(again.headers.at("Idempotency-Replayed") == "true");
  CHECK(again.headers.at("Location") == first.headers.at("Location"));
  const auto other = world.post("/v1/documents", World::submission({"M01"}), "once");
  CHECK(other.status == 409);
  CHECK(other.code() == "conflict");
  CHECK(world.get("/v1/documents").json["items"].size() == 1);
  // Another principal's key is another key.
  CHECK(world.post("/v1/documents", World::submission(), "once", {"dms-1", "dms"}).status == 202);
}

TEST_CASE("a write without a key, or with a strange one, is refused") {
  World world;
  auto asked = World::request("POST", "/v1/documents");
  asked.body = to_bytes(World::submission().dump());
  CHECK(World::to_answer(world.write(asked)).code() == "bad_request");
  asked.headers["idempotency-key"] = "with space";
  CHECK(World::to_answer(world.write(asked)).code() == "bad_request");
  asked.headers["idempotency-key"] = std::string(129, 'x');
  CHECK(World::to_answer(world.write(asked)).code() == "bad_request");
}

TEST_CASE("wrong input names what is wrong and changes nothing") {
  World world;
  const auto before = world.dump();
  const auto with = [](const char* field, Json value) {
    Json json = World::letter();
    json[field] = std::move(value);
    return World::submission({"D01"}, json);
  };
  const auto file = [](Json one) {
    Json json = World::submission();
    json["files"] = Json::array({std::move(one)});
    return json;
  };
  struct Case {
    Json body;
    const char *code, *detail;
  };
  const std::vector<Case> cases = {
      {World::submission({"KHONG.CO"}), "unknown_agency", "KHONG.CO"},
      {World::submission({"G99"}), "closed_agency", "successor: G22"},
      {World::submission({"H01.151"}), "no_node", ""},
      {World::submission({"communes:99"}), "unknown_agency", "communes:99"},
      {World::submission({}), "bad_request", "to"},
      {World::submission({"G22"}), "bad_request", "itself"},
      {with("number", "bảy"), "bad_number_format", "number"},
      {with("number", "7"), "bad_number_format", "leading zero"},
      {with("number", 7), "bad_request", "metadata.number"},
      {with("symbol", "CV/ĐU"), "bad_number_format", "symbol"},
      {with("subject", ""), "bad_metadata", "subject"},
      {with("subject", std::string(501, 'x')), "bad_metadata", "subject"},
      {with("priority", 5), "bad_request", "metadata.priority"},
      {with("priority", 4), "bad_metadata", "priority_deadline"},
      {with("classification", "secret"), "forbidden", "classification"},
      {with("issued", "2026-02-30"), "bad_request", "metadata.issued"},
      {with("issued", "2099-01-01"), "bad_metadata", "issued"},
      {with("subjekt", "x"), "bad_request", "subjekt"},
      {file({{"name", "a.exe"}, {"content", "TVqQ"}}), "unsupported_file", ".exe"},
      {file({{"name", "a.pdf"}, {"content", "TVqQ"}}), "unsupported_file", ".pdf"},
      {file({{"name", "../a.pdf"}, {"content", base64(pdf)}}), "bad_metadata", "files.name"},
      {file({{"name", "a.pdf"}, {"content", "not base64"}}), "bad_request", "base64"},
      {file({{"name", "a.pdf"}, {"content", ""}}), "unsupported_file", "empty"},
      {file({{"name", "a.pdf"}, {"upload", std::string(32, '0')}}), "not_found", "upload"},
      {file({{"name", "a.pdf"}}), "bad_request", "upload or content"},
  };
  for (const auto& one : cases) {
    INFO(one.body.dump());
    const auto answer = world.post("/v1/documents", one.body);
    CHECK(answer.status >= 400);
    CHECK(answer.code() == one.code);
    CHECK_THAT(answer.detail(), Catch::Contains(one.detail));
    CHECK_FALSE(answer.abort);
    CHECK(answer.headers.at("Content-Type") == "application/problem+json");
    CHECK_FALSE(answer.json["vi"].get<std::string>().empty());
    CHECK_FALSE(answer.json["en"].get<std::string>().empty());
  }
  CHECK(world.dump() == before);
}

TEST_CASE("bodies that are no JSON object of the kind asked for are refused") {
  World world;
  const auto raw = [&](std::string body) {
    auto asked = World::request("POST", "/v1/documents");
    asked.headers["idempotency-key"] = "raw" + std::to_string(++world.serial);
    asked.body = to_bytes(body);
    return World::to_answer(world.write(asked));
  };
  CHECK(raw("").code() == "bad_request");
  CHECK(raw("[1]").code() == "bad_request");
  CHECK(raw("{\"to\":[\"D01\"]").code() == "bad_request");
  CHECK_THAT(raw(R"({"to":["D01"],"to":["M01"]})").detail(), Catch::Contains("twice"));
  CHECK_THAT(raw("{\"a\":" + std::string(70, '[') + std::string(70, ']') + "}").detail(), Catch::Contains("deep"));
  CHECK_THAT(raw("{\"to\":" + std::string(500000, '[')).detail(), Catch::Contains("deep"));
  std::string wide = "{";
  for (int i = 0; i < 200; ++i) wide += "\"k" + std::to_string(i) + "\":1,";
  CHECK_THAT(raw(wide + "\"z\":1}").detail(), Catch::Contains("too many"));
  CHECK(raw("{\"x\":\"" + std::string(2u << 20, 'x') + "\"}").code() == "too_large");
  CHECK(raw("{\"metadata\":\"\xff\"}").code() == "bad_request");
}

TEST_CASE("contents too large for the row are staged, and a refused submission leaves none behind") {
  World world;
  Json body = World::submission();
  body["files"] = Json::array({{{"name", "a.pdf"}, {"content", base64(pdf + std::string(200000, 'a'))}},
                               {{"name", "b.pdf"}, {"content", base64(pdf + "b")}},
                               {{"name", "c.pdf"}, {"content", base64(pdf + std::string(100000, 'c'))}}});
  REQUIRE(world.post("/v1/documents", body).status == 202);
  CHECK(world.dump()["upload"].size() == 2);
  const auto done = world.seal();
  REQUIRE(done.outcome);
  const auto metadata = proto::decode_metadata(done.record.metadata).value();
  REQUIRE(metadata.files.size() == 3);
  CHECK(metadata.files[0].bytes == pdf.size() + 200000);
  CHECK(metadata.files[0].sha256 == crypto::sha256({view(pdf + std::string(200000, 'a'))}));

  const auto before = world.dump();
  const auto names = world.bodies.list().value();
  body["to"] = {"H01.151"};
  const auto refused = world.post("/v1/documents", body);
  CHECK(refused.code() == "no_node");
  CHECK_FALSE(refused.abort);
  CHECK(world.dump() == before);
  CHECK(world.bodies.list().value() == names);
}

TEST_CASE("roles: an operator looks at the node and at nothing else") {
  World world;
  const api::Principal op{"op", "operator"}, stranger{"x", "guest"};
  CHECK(world.get("/v1/health", op).status == 200);
  CHECK(world.get("/v1/directory?q=van", op).status == 200);
  CHECK(world.get("/v1/inbox", op).code() == "forbidden");
  CHECK(world.get("/v1/documents", op).code() == "forbidden");
  CHECK(world.post("/v1/documents", World::submission(), "", op).code() == "forbidden");
  CHECK(world.get("/v1/health", stranger).code() == "forbidden");
}

TEST_CASE("unknown paths and methods") {
  World world;
  CHECK(world.get("/").code() == "not_found");
  CHECK(world.get("/v1/").code() == "not_found");
  CHECK(world.get("/v1/nothing").code() == "not_found");
  CHECK(world.get("/v1/documents/00").code() == "not_found");
  CHECK(world.get("/v1/inbox/1").code() == "not_found");
  CHECK(world.get("/v1/inbox/x").code() == "not_found");
  CHECK(world.get("/v1/inbox/1/register").code() == "not_found");
  CHECK(world.get("/v1/documents?colour=red").code() == "bad_request");
  CHECK(world.get("/v1/documents?limit=0").code() == "bad_request");
  CHECK(world.get("/v1/documents?after=zz").code() == "bad_request");
  CHECK(world.post("/v1/health", Json::object()).code() == "method_not_allowed");
  CHECK(world.post("/v1/inbox/7/register", Json::object()).code() == "not_found");
  CHECK(world.post("/v1/inbox/7/explode", Json::object()).code() == "not_found");
  auto put = World::request("PUT", "/v1/documents");
  CHECK(World::to_answer(world.write(put)).code() == "method_not_allowed");
  CHECK(World::to_answer(world.read(World::request("POST", "/v1/health"))).code() == "method_not_allowed");
}

TEST_CASE("English on demand, Vietnamese else") {
  World world;
  auto asked = World::request("GET", "/v1/inbox/1");
  const auto vi = World::to_answer(world.read(asked));
  asked.headers["accept-language"] = "en-GB";
  const auto en = World::to_answer(world.read(asked));
  CHECK(vi.json["title"] == vi.json["vi"]);
  CHECK(en.json["title"] == en.json["en"]);
}

TEST_CASE("a store that fails under an act aborts the transaction") {
  World world;
  world.realm.store.set_capacity_bytes(world.realm.store.used_bytes() + 600);
  const auto answer = world.post("/v1/documents", World::submission());
  CHECK(answer.status >= 500);
  CHECK(answer.abort);
}

TEST_CASE("old answers and unfinished uploads are forgotten") {
  World world;
  REQUIRE(world.post("/v1/documents", World::submission(), "once").status == 202);
  auto create = World::request("POST", "/v1/uploads");
  create.headers = {
      {"idempotency-key", "u"}, {"upload-length", "200000"}, {"upload-metadata", "filename " + base64("a.pdf")}};
  const auto made = World::to_answer(world.write(create));
  REQUIRE(made.status == 201);
  const auto sweep = [&](Time at) {
    auto txn = world.realm.store.begin_write().value();
    Effects effects;
    api::UpkeepCursor cursor;
    REQUIRE(api::upkeep(*txn, at, effects, cursor));
    REQUIRE(txn->commit());
    return effects.remove_bodies.size();
  };
  CHECK(sweep(world.now + hours(1)) == 0);
  CHECK(world.dump()["idempotency"].size() == 2);
  CHECK(world.dump()["upload"].size() == 1);
  CHECK(sweep(world.now + days(3)) == 1);
  CHECK(world.dump()["upload"].empty());
  sweep(world.now + days(8));
  CHECK(world.dump()["idempotency"].empty());
}
TEST_CASE("a start removes the uploads that no row knows, and no body whose id begins like theirs") {
  World world;
  DocId doc;
  doc.bytes.fill(0x0f);
  const std::string known(32, 'a'), unknown(32, 'b');
  for (const auto& name : {body_name(doc), manifest_name(body_name(doc)), upload_name(known), upload_name(unknown)})
    REQUIRE(world.bodies.create(name, 10));
  {
    auto txn = world.realm.store.begin_write().value();
    proto::UploadRecord record;
    record.id = known;
    REQUIRE(save(*txn, table::upload, view(known), record));
    REQUIRE(txn->commit());
  }
  REQUIRE(api::sweep_uploads(*world.realm.read(), world.bodies));
  auto left = world.bodies.list().value();
  std::sort(left.begin(), left.end());
  std::vector<std::string> wanted{body_name(doc), manifest_name(body_name(doc)), upload_name(known)};
  std::sort(wanted.begin(), wanted.end());
  CHECK(left == wanted);
}
