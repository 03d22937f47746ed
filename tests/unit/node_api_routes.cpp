// docs/openapi.yaml and the router name the same resources and methods. That the router has no resource which the
// document lacks is shown by tests/tidy/docs_test.py, which reads both.
#include <fstream>

#include "tests/unit/node_api_fixture.h"

using namespace tram;
using namespace tram::node;
using namespace tram::node::test;

namespace {

const std::set<std::string> methods{"get", "head", "post", "patch", "delete"};

/// "/v1/documents/{id}" -> {"get", ...}
std::map<std::string, std::set<std::string>> documented() {
  std::map<std::string, std::set<std::string>> paths;
  std::ifstream file(std::string(TRAM_SOURCE_DIR) + "/docs/openapi.yaml");
  std::string path;
  for (std::string line; std::getline(file, line) && line != "components:";) {
    if (line.substr(0, 5) == "  /v1") path = line.substr(2, line.size() - 3);
    if (path.empty() || line.size() < 6 || line.substr(0, 4) != "    " || line[4] == ' ' || line.back() != ':')
      continue;
    if (const std::string method = line.substr(4, line.size() - 5); methods.count(method)) paths[path].insert(method);
  }
  return paths;
}

}  // namespace

TEST_CASE("every path of openapi.yaml is served, by the methods it names and by no others") {
  World world;
  REQUIRE(world.post("/v1/documents", World::submission()).status == 202);
  const SealDone done = world.seal();
  {
    auto txn = world.realm.store.begin_write().value();
    REQUIRE(save(*txn, table::outgoing, done.uuid, done.record));
    REQUIRE(txn->commit());
  }
  auto create = World::request("POST", "/v1/uploads");
  create.headers = {{"idempotency-key", "u"}, {"upload-length", "9"}};
  const auto upload = World::to_answer(world.write(create));
  REQUIRE(upload.status == 201);
  const std::map<std::string, std::string> names{{"{id}", done.uuid.hex()},
                                                 {"{arrival}", std::to_string(world.arrive(done))},
                                                 {"{upload}", api::upload_id_of(upload.headers.at("Location")).value()},
                                                 {"{agency}", "G22"},
                                                 {"{n}", "1"}};
  const auto paths = documented();
  CHECK(paths.size() >= 20);
  for (const auto& [pattern, expected] : paths) {
    std::string path = pattern;
    for (const auto& [name, value] : names)
      if (const size_t at = path.find(name); at != std::string::npos) path.replace(at, name.size(), value);
    INFO(pattern);
    REQUIRE(path.find('{') == std::string::npos);
    std::set<std::string> served;
    for (const std::string method : {"GET", "HEAD", "POST", "PATCH"}) {
      Answer answer;
      if (method == "GET" || method == "HEAD")
        answer = World::to_answer(world.read(World::request(method, path)));
      else {
        auto asked = World::request(method, path);
        asked.headers["idempotency-key"] = "r" + std::to_string(++world.serial);
        answer = World::to_answer(world.write(asked));
      }
      const bool absent =
          answer.code() == "method_not_allowed" || (answer.code() == "not_found" && answer.detail() == "path");
      std::string name = method;
      for (char& c : name) c = static_cast<char>(c | 0x20);
      if (!absent) served.insert(name);
    }
    auto wanted = expected;
    if (wanted.count("get")) wanted.insert("head");
    wanted.erase("delete");  // below: it would take away what the others ask for
    CHECK(served == wanted);
  }
  for (const auto& [pattern, expected] : paths) {
    std::string path = pattern;
    for (const auto& [name, value] : names)
      if (const size_t at = path.find(name); at != std::string::npos) path.replace(at, name.size(), value);
    const auto answer = World::to_answer(world.write(World::request("DELETE", path)));
    INFO(pattern);
    CHECK((answer.status == 204) == (expected.count("delete") > 0));
  }
}
