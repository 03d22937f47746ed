// A node in a small realm over stores in memory, and short ways to ask its API.
#pragma once
#include <catch2/catch.hpp>
#include <mutex>
#include <nlohmann/json.hpp>

#include "crypto/formats.h"
#include "node/api/api.h"
#include "node/node.h"
#include "node/rows.h"
#include "tests/unit/directory_fixture.h"

namespace tram::node::test {

using Json = nlohmann::ordered_json;

/// Bodies in memory; any thread.
class MapBodies final : public Bodies {
 public:
  Result<void> create(std::string_view name, uint64_t bytes) override;
  Result<void> write(std::string_view name, uint64_t offset, BytesView bytes) override;
  Result<void> sync(std::string_view) override { return {}; }
  Result<void> read(std::string_view name, uint64_t offset, std::span<uint8_t> out) override;
  Result<void> remove(std::string_view name) override;
  Result<std::vector<std::string>> list() override;
  bool fail_create = false;

 private:
  std::mutex mutex_;
  std::map<std::string, Bytes> files_;
};

struct QuietLog final : Log {
  void write(LogLevel, std::string_view, std::span<const LogField>) override {}
};

inline const Time now_0 = directory::test::day_1 + hours(30);
inline const api::Principal clerk{"mai", "clerk"};
inline const std::string pdf = "%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n";

std::string base64(std::string_view raw);

struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers;
  Json json;
  Bytes body;
  std::optional<api::FileDownload> file;
  bool abort = false;
  std::string code() const { return json.is_object() ? json.value("code", "") : ""; }
  std::string detail() const { return json.is_object() ? json.value("detail", "") : ""; }
};

struct World {
  directory::test::Realm realm;
  MapBodies bodies;
  QuietLog log;
  audit::Log audit;
  proto::Agency self, party, front, closed, paper, unit;
  std::optional<crypto::SigningKey> self_key, party_key;
  std::vector<proto::BrokerChange> brokers;
  std::vector<crypto::SigningKey> broker_keys;
  std::vector<std::shared_ptr<const crypto::LogKey>> broker_log_keys;
  Keys keys;
  std::unique_ptr<Node> node;
  api::HealthView health;
  Time now = now_0;
  int serial = 0;

  World();
  ~World();
  size_t seals_at_once = 0;  // else documents are sealed by jobs, which a test runs when it wants them
  Identity identity() const;

  Effects step(std::vector<Event> events);

  /// The officers' decision, as a broker hands it on.
  Effects decide(proto::Change change, size_t broker = 0);

  static Answer to_answer(api::Response response);

  static api::Request request(std::string method, std::string path, const api::Principal& who = clerk);

  api::Response read(const api::Request& asked);
  Answer get(const std::string& path, const api::Principal& who = clerk);

  /// As the loop does it: one transaction, aborted only when the answer says so.
  api::Response write(const api::Request& asked);
  std::vector<Job> jobs;

  Answer post(const std::string& path, const Json& body, std::string key = {}, const api::Principal& who = clerk);

  static Json letter(const char* number = "15");
  static Json submission(std::vector<std::string> to = {"D01"}, Json metadata = letter());

  sim::MemStore::Image dump() const { return realm.store.dump(); }

  /// Seals the last submission and gives the record, as the loop would after its job.
  SealDone seal();

  /// What was sealed, as if it had arrived here from ourselves. Gives its arrival.
  uint64_t arrive(const SealDone& done);
};

}  // namespace tram::node::test
