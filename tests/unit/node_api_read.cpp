#include "node/metadata_rules.h"
#include "tests/unit/node_api_fixture.h"

using namespace tram;
using namespace tram::node;
using namespace tram::node::test;

namespace {

Bytes read_all(const Answer& answer) {
  REQUIRE(answer.file);
  Bytes out(answer.file->bytes);
  REQUIRE(answer.file->reader->read(answer.file->offset, out));
  return out;
}

Json metadata(const char* number, const char* subject) {
  Json json = World::letter(number);
  json["subject"] = subject;
  return json;
}

}  // namespace

TEST_CASE("the outbox is listed newest first, page by page, and searched without diacritics") {
  World world;
  for (int i = 10; i < 17; ++i) {
    world.now = world.now + seconds(1);
    const std::string subject = i == 12 ? "Về phòng chống bão số 5" : "Về việc khác";
    REQUIRE(
        world.post("/v1/documents", World::submission({"D01"}, metadata(std::to_string(i).c_str(), subject.c_str())))
            .status == 202);
  }
  std::vector<std::string> numbers;
  std::string after;
  for (int page = 0; page < 10; ++page) {
    const auto answer = world.get("/v1/documents?limit=3" + after);
    REQUIRE(answer.status == 200);
    for (const auto& item : answer.json["items"]) numbers.push_back(item["number_and_symbol"]);
    if (answer.json["next"].is_null()) break;
    after = "&after=" + answer.json["next"].get<std::string>();
  }
  CHECK(numbers == std::vector<std::string>{"16/VPCP-TH", "15/VPCP-TH", "14/VPCP-TH", "13/VPCP-TH", "12/VPCP-TH",
                                            "11/VPCP-TH", "10/VPCP-TH"});
  const auto found = world.get("/v1/documents?q=PHONG chong bao");
  REQUIRE(found.json["items"].size() == 1);
  CHECK(found.json["items"][0]["number_and_symbol"] == "12/VPCP-TH");
  CHECK(world.get("/v1/documents?state=failed").json["items"].empty());
  CHECK(world.get("/v1/documents?state=waiting").json["items"].size() == 7);
  CHECK(world.get("/v1/documents?state=sealing").json["items"].size() == 7);
  CHECK(world.get("/v1/documents?state=nonsense").code() == "bad_request");
}

TEST_CASE("a document shows its recipients page by page") {
  World world;
  const auto sent = world.post("/v1/documents", World::submission({"D01", "M01", "communes"}));
  REQUIRE(sent.status == 202);
  const std::string path = "/v1/documents/" + sent.json["id"].get<std::string>();
  const auto whole = world.get(path);
  REQUIRE(whole.status == 200);
  CHECK(whole.json["recipients"] == 3);
  CHECK(whole.json["counts"]["waiting"] == 3);
  CHECK(whole.json["to"][2]["group"] == "communes");
  CHECK(whole.json["metadata"]["organ_name"] == "Văn phòng Chính phủ");
  CHECK(whole.json["files"][0]["name"] == "cong-van.pdf");
  std::set<std::string> codes;
  std::string after;
  for (int i = 0; i < 3; ++i) {
    const auto page = world.get(path + "?limit=1" + after);
    REQUIRE(page.json["recipient_list"].size() == 1);
    const auto& item = page.json["recipient_list"][0];
    codes.insert(item["code"]);
    if (item["code"] == "H01.151") CHECK(item["waiting_for"]["code"] == "no_node");
    if (i == 2)
      CHECK(page.json["next"].is_null());
    else
      after = "&after=" + page.json["next"].get<std::string>();
  }
  CHECK(codes == std::set<std::string>{"D01", "M01", "H01.151"});
}

TEST_CASE("files of an arrival are read through the body, whole and by range") {
  World world;
  for (const size_t size : {size_t{100}, size_t{700000}}) {
    const std::string large = pdf + std::string(size, 'x') + "end";
    Json body = World::submission();
    body["files"] = Json::array(
        {{{"name", "một.pdf"}, {"content", base64(pdf)}}, {{"name", "hai.pdf"}, {"content", base64(large)}}});
    if (size > 500000) {
      body["files"][1] = {{"name", "hai.pdf"}, {"content", base64(large.substr(0, 300000))}};
      body["files"].push_back({{"name", "ba.pdf"}, {"content", base64(pdf + large.substr(0, 300000))}});
    }
    REQUIRE(world.post("/v1/documents", body).status == 202);
    const auto done = world.seal();
    REQUIRE(done.outcome);
    const std::string path = "/v1/inbox/" + std::to_string(world.arrive(done));
    const auto first = world.get(path + "/files/1");
    REQUIRE(first.status == 200);
    CHECK(to_text(read_all(first)) == pdf);
    CHECK(first.headers.at("Content-Type") == "application/pdf");
    CHECK(first.headers.at("Content-Disposition") == "attachment; filename*=UTF-8''m%E1%BB%99t.pdf");
    const auto second = world.get(path + "/files/2");
    const std::string expected = size > 500000 ? large.substr(0, 300000) : large;
    CHECK((to_text(read_all(second)) == expected));
    const auto range = [&](const std::string& text) {
      auto asked = World::request("GET", path + "/files/2");
      asked.headers["range"] = text;
      return World::to_answer(world.read(asked));
    };
    const auto middle = range("bytes=10-19");
    CHECK(middle.status == 206);
    CHECK(to_text(read_all(middle)) == expected.substr(10, 10));
    CHECK(middle.headers.at("Content-Range") == "bytes 10-19/" + std::to_string(expected.size()));
    CHECK(to_text(read_all(range("bytes=-5"))) == expected.substr(expected.size() - 5));
    CHECK((to_text(read_all(range("bytes=50-"))) == expected.substr(50)));
    CHECK(range("bytes=1-2,4-5").status == 200);
    CHECK(range("bytes=99999999-").status == 400);
    CHECK(world.get(path + "/files/9").code() == "not_found");
    CHECK(world.get(path + "/files/0").code() == "not_found");
  }
}

TEST_CASE("the inbox is filtered by state, unit and words; the clerk acts on it") {
  World world;
  Json body = World::submission({"D01"}, metadata("21", "Về việc tuyển dụng"));
  REQUIRE(world.post("/v1/documents", body).status == 202);
  const auto one = world.arrive(world.seal());
  body["metadata"]["priority"] = 3;
  body["metadata"]["number"] = "22";
  REQUIRE(world.post("/v1/documents", body).status == 202);
  const auto two = world.arrive(world.seal());

  const auto all = world.get("/v1/inbox");
  REQUIRE(all.json["items"].size() == 2);
  CHECK(all.json["items"][0]["arrival"] == two);
  CHECK(all.json["items"][0]["status"]["code"] == "01");
  CHECK(all.json["items"][0]["register_by"] == local_time_text(world.now));
  CHECK(all.json["items"][1]["overdue"] == false);
  CHECK(world.get("/v1/inbox?q=tuyen dung&limit=1").json["items"].size() == 1);
  CHECK(world.get("/v1/inbox?unit=G22.01").json["items"].empty());
  CHECK(world.get("/v1/inbox?unit=KHONG").code() == "unknown_agency");
  CHECK(world.get("/v1/inbox?state=03").json["items"].empty());
  CHECK(world.get("/v1/inbox?after=" + std::to_string(two)).json["items"].size() == 1);

  const std::string path = "/v1/inbox/" + std::to_string(one);
  CHECK(world.post(path + "/refuse", {{"reason", ""}}).code() == "bad_request");
  CHECK(world.post(path + "/status", {{"status", "03"}}).code() == "bad_request");
  CHECK(world.post(path + "/status", {{"status", "99"}}).code() == "bad_request");
  CHECK(world.post(path + "/answer", Json::object()).code() == "bad_request");
  CHECK(world.post(path + "/register", {{"date", "2999-01-01"}}).code() == "bad_metadata");
  CHECK(world.post(path + "/register", {{"dat", "x"}}).code() == "bad_request");
  CHECK(world.get(path).json["state"]["name"] == "arrived");
}

TEST_CASE("the directory answers without diacritics, by code and by id") {
  World world;
  const auto found = world.get("/v1/directory?q=van phong trung uong dang");
  REQUIRE(found.json["items"].size() == 1);
  CHECK(found.json["items"][0]["code"] == "D01");
  const auto by_code = world.get("/v1/directory/G99");
  CHECK(by_code.json["status"] == "closed");
  CHECK(by_code.json["successors"][0]["code"] == "G22");
  CHECK(world.get("/v1/directory/" + world.party.id.hex()).json["code"] == "D01");
  CHECK(world.get("/v1/directory/G22").json["units"][0]["code"] == "G22.01");
  CHECK(world.get("/v1/directory/NOPE").code() == "unknown_agency");
  CHECK(world.get("/v1/directory?branch=nobody").code() == "bad_request");
  CHECK(world.get("/v1/directory?branch=party").json["items"].size() == 1);
  const auto group = world.get("/v1/groups?name=communes");
  CHECK(group.json["members"] == 1);
  CHECK(group.json["with_node"] == 0);
  CHECK(world.get("/v1/groups?name=nothing").code() == "bad_request");
}

TEST_CASE("health names what is wrong and what to do") {
  World world;
  const auto codes = [&] {
    std::set<std::string> out;
    const auto answer = world.get("/v1/health");
    REQUIRE(answer.status == 200);
    for (const auto& problem : answer.json["problems"]) {
      out.insert(problem["code"]);
      CHECK_FALSE(problem["do"]["vi"].get<std::string>().empty());
      CHECK_FALSE(problem["do"]["en"].get<std::string>().empty());
    }
    return out;
  };
  CHECK(codes().count("practice_realm"));
  CHECK_FALSE(codes().count("unreachable"));
  world.health.brokers[0].connected = false;
  CHECK(codes().count("broker_down"));
  world.health.brokers[1].connected = false;
  CHECK(codes().count("too_few_brokers"));
  world.health.brokers[2].connected = false;
  CHECK(codes().count("unreachable"));
  CHECK(world.get("/v1/health").json["status"] == "failing");
  world.health.clock_ok = false;
  CHECK(codes().count("clock_unsynchronised"));
  world.health.brokers[0].connected = true;
  world.health.brokers[0].clock_offset = minutes(-3);
  CHECK(codes().count("clock_wrong"));
  world.health.disk_total_bytes = 100;
  world.health.disk_free_bytes = 5;
  CHECK(codes().count("storage_full"));
  world.health.certificate_expires = world.now + days(10);
  CHECK(codes().count("certificate_expires"));
  world.health.directory_confirmed = world.now - days(5);
  CHECK(codes().count("directory_old"));
}

TEST_CASE("health counts what waits for custody: at each broker, and at too many to be accepted") {
  World world;
  const auto& brokers = world.brokers;
  uint64_t order = 0;
  const auto wanted = [&](const EnvelopeId& envelope, std::initializer_list<size_t> where) {
    auto txn = world.realm.store.begin_write().value();
    for (const size_t i : where)
      REQUIRE(txn->put(table::pending, row_key(brokers[i].id, Lane::normal, ++order), envelope));
    REQUIRE(txn->commit());
  };
  REQUIRE(world.realm.directory->policy(world.now).custody_quorum == 2);
  wanted(world.realm.random.id<EnvelopeId>(), {0, 1, 2});
  wanted(world.realm.random.id<EnvelopeId>(), {1, 2});
  wanted(world.realm.random.id<EnvelopeId>(), {2});  // two hold it: accepted
  auto health = world.get("/v1/health").json;
  CHECK(health["queue"]["depth"] == 2);
  CHECK(health["queue"]["depth_more"] == false);
  std::map<std::string, int> pending;
  for (const auto& broker : health["brokers"]) pending[broker["id"]] = broker["pending"];
  CHECK(pending ==
        std::map<std::string, int>{{brokers[0].id.hex(), 1}, {brokers[1].id.hex(), 2}, {brokers[2].id.hex(), 3}});
  for (int i = 0; i < 1200; ++i) wanted(world.realm.random.id<EnvelopeId>(), {0});
  health = world.get("/v1/health").json;
  CHECK(health["brokers"][0]["pending"] == 1000);
  CHECK(health["brokers"][0]["pending_more"] == true);
  CHECK(health["queue"]["depth_more"] == true);
  CHECK(health["queue"]["depth"].get<int>() <= 3);
}

TEST_CASE("who we are") {
  World world;
  const auto self = world.get("/v1/self");
  CHECK(self.json["agency"]["code"] == "G22");
  CHECK(self.json["realm"]["id"] == world.realm.directory->realm().hex());
  CHECK(self.json["principal"]["name"] == "mai");
  CHECK(self.headers.at("Tram-Practice") == "true");
}
