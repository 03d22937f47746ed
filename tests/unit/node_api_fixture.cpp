#include "tests/unit/node_api_fixture.h"

namespace tram::node::test {

Result<void> MapBodies::create(std::string_view name, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (fail_create) return fail(ErrorCode::storage_full, "test");
  auto [file, fresh] = files_.try_emplace(std::string(name));
  if (fresh) file->second.resize(bytes);
  return {};
}

Result<void> MapBodies::write(std::string_view name, uint64_t offset, BytesView bytes) {
  std::lock_guard lock(mutex_);
  auto file = files_.find(std::string(name));
  if (file == files_.end()) return fail(ErrorCode::not_found, "body");
  if (file->second.size() < offset + bytes.size()) file->second.resize(offset + bytes.size());
  std::memcpy(file->second.data() + offset, bytes.data(), bytes.size());
  return {};
}

Result<void> MapBodies::read(std::string_view name, uint64_t offset, std::span<uint8_t> out) {
  std::lock_guard lock(mutex_);
  auto file = files_.find(std::string(name));
  if (file == files_.end() || file->second.size() < offset + out.size()) return fail(ErrorCode::not_found, "body");
  std::memcpy(out.data(), file->second.data() + offset, out.size());
  return {};
}

Result<void> MapBodies::remove(std::string_view name) {
  std::lock_guard lock(mutex_);
  files_.erase(std::string(name));
  return {};
}

Result<std::vector<std::string>> MapBodies::list() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files_) names.push_back(name);
  return names;
}

std::string base64(std::string_view raw) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : raw) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (held += 8; held >= 6; held -= 6) out += alphabet[bits >> (held - 6) & 63];
  }
  if (held) out += alphabet[bits << (6 - held) & 63];
  while (out.size() % 4) out += '=';
  return out;
}

World::World() {
  auto& random = realm.random;
  self = realm.agency("G22", "Văn phòng Chính phủ");
  party = realm.agency("D01", "Văn phòng Trung ương Đảng", proto::Level::central, "", {}, proto::Branch::party);
  front = realm.agency("M01", "Ủy ban Trung ương Mặt trận Tổ quốc Việt Nam", proto::Level::central, "", {},
                       proto::Branch::front);
  closed = realm.agency("G99", "Bộ đã sáp nhập");
  paper = realm.agency("H01.151", "Ủy ban nhân dân xã Định Mỹ", proto::Level::commune, "91");
  unit = realm.agency("G22.01", "Phòng Hành chính", proto::Level::unit, "", self.id);
  self_key.emplace(crypto::make_secret(random));
  party_key.emplace(crypto::make_secret(random));
  for (auto* one : {&self, &party, &front, &closed}) one->keys = realm.keys();
  self.keys->sig = self_key->public_key();
  party.keys->sig = party_key->public_key();
  using R = directory::test::Realm;
  realm.must(
      {R::change(self), R::change(party), R::change(front), R::change(closed), R::change(paper), R::change(unit)});
  std::vector<proto::Change> changes;
  for (int i = 0; i < 3; ++i) {
    broker_keys.emplace_back(crypto::make_secret(random));
    proto::BrokerChange broker;
    broker.id = random.id<PartyId>();
    broker.name = "Trạm " + std::to_string(i + 1);
    broker.failure_domain = "site-" + std::to_string(i);
    broker.control_endpoint = "tcp://10.0.0." + std::to_string(i + 1) + ":7000";
    broker.bulk_endpoint = "tcp://10.0.0." + std::to_string(i + 1) + ":7001";
    broker.sig = broker_keys.back().public_key();
    broker_log_keys.push_back(std::make_shared<const crypto::LogKey>(crypto::make_secret(random)));
    broker.log = broker_log_keys.back()->public_key();
    broker.curve = crypto::make_curve_pair(random).public_key;
    brokers.push_back(broker);
    changes.push_back({directory::test::day_0, broker});
    health.brokers.push_back({broker.id, true, now, {}});
  }
  realm.must(std::move(changes), {0, 1, 2, 3});
  realm.must({{directory::test::day_0, proto::SucceedChange{{closed.id}, {self.id}, "merge"}}});
  keys.sig = std::make_shared<crypto::SigningKey>(std::move(*self_key));
  keys.log = std::make_shared<crypto::LogKey>(crypto::make_secret(random));
  keys.hedge = std::make_shared<crypto::Secret32>(crypto::make_secret(random));
  keys.storage = std::make_shared<crypto::Secret32>(crypto::make_secret(random));
  node = std::make_unique<Node>(identity(), keys, *realm.directory, audit, log, random);
  auto txn = realm.store.begin_write().value();
  REQUIRE(Node::initialize(*txn, node->config()));
  REQUIRE(audit.load(*txn));
  Effects effects;
  REQUIRE(node->start(*txn, now, effects));
  REQUIRE(txn->commit());
  health.version = "test";
}

World::~World() = default;

Identity World::identity() const {
  Identity out{self.id, realm.directory->realm(), "test"};
  out.seals_at_once_max = seals_at_once;
  return out;
}

Effects World::step(std::vector<Event> events) {
  auto txn = realm.store.begin_write().value();
  Effects effects;
  REQUIRE(node->step(*txn, now, events, effects));
  REQUIRE(node->settle(*txn, now, effects));
  REQUIRE(txn->commit());
  return effects;
}

Effects World::decide(proto::Change change, size_t broker) {
  const uint64_t size = realm.directory->size();
  proto::DirectoryEntries entries{size, size + 1, {realm.entry({std::move(change)})}, {}};
  return step({FrameArrived{brokers[broker].id, proto::Endpoint::control, {7, std::move(entries)}, {}}});
}

Answer World::to_answer(api::Response response) {
  Answer answer{response.status,          std::move(response.headers), {},
                std::move(response.body), std::move(response.file),    response.abort};
  answer.json = Json::parse(answer.body.begin(), answer.body.end(), nullptr, false);
  return answer;
}

api::Request World::request(std::string method, std::string path, const api::Principal& who) {
  api::Request out;
  out.method = std::move(method);
  out.principal = who;
  if (const size_t mark = path.find('?'); mark != std::string::npos) {
    std::string rest = path.substr(mark + 1) + "&";
    for (size_t at = 0, end; (end = rest.find('&', at)) != std::string::npos; at = end + 1) {
      const std::string pair = rest.substr(at, end - at);
      out.query[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
    }
    path.resize(mark);
  }
  out.path = std::move(path);
  return out;
}

api::Response World::read(const api::Request& asked) {
  auto txn = realm.read();
  return api::handle_read({*txn, *realm.directory, health, now, bodies, self.id}, asked);
}

Answer World::get(const std::string& path, const api::Principal& who) {
  return to_answer(read(request("GET", path, who)));
}

api::Response World::write(const api::Request& asked) {
  auto txn = realm.store.begin_write().value();
  Effects effects;
  api::WriteContext context{*txn, *node, *realm.directory, now, bodies, effects, realm.random};
  auto response = api::handle_write(context, asked);
  if (!response.abort) TRAM_CHECK(txn->commit());  // may run in a server's thread (T1)
  for (const auto& name : effects.remove_bodies) TRAM_CHECK(bodies.remove(name));
  for (auto& job : effects.jobs) jobs.push_back(std::move(job));
  return response;
}

Answer World::post(const std::string& path, const Json& body, std::string key, const api::Principal& who) {
  auto asked = request("POST", path, who);
  asked.body = to_bytes(body.dump());
  asked.headers["idempotency-key"] = key.empty() ? "k" + std::to_string(++serial) : key;
  return to_answer(write(asked));
}

Json World::letter(const char* number) {
  return {
      {"number", number}, {"symbol", "VPCP-TH"}, {"type_name", "Công văn"}, {"subject", "Về việc kiểm tra kết nối"}};
}

Json World::submission(std::vector<std::string> to, Json metadata) {
  return {{"metadata", std::move(metadata)},
          {"to", std::move(to)},
          {"files", {{{"name", "cong-van.pdf"}, {"content", base64(pdf)}}}}};
}

SealDone World::seal() {
  for (auto& job : jobs)
    if (std::holds_alternative<SealJob>(job)) {
      auto done = std::get<SealDone>(run_job(job, bodies, realm.random));
      jobs.clear();
      return done;
    }
  FAIL("nothing to seal");
  return {};
}

uint64_t World::arrive(const SealDone& done) {
  static uint64_t arrival = 0;
  proto::InRecord record;
  record.arrival = ++arrival;
  record.doc_id = done.record.doc_id;
  record.env_id = realm.random.id<EnvelopeId>();
  record.sender = self.id;
  record.header = done.record.header;
  record.manifest = done.record.manifest;
  record.metadata = done.record.metadata;
  record.document_key = done.record.document_key;
  record.body_bytes = done.record.body_bytes;
  record.chunks = done.record.chunks;
  record.inline_body = done.record.inline_body;
  record.received = now;
  auto txn = realm.store.begin_write().value();
  REQUIRE(save(*txn, table::incoming, row_key(record.arrival), record));
  REQUIRE(txn->put(table::incoming_by_doc, record.doc_id, u64_value(record.arrival)));
  if (!record.inline_body) {
    Bytes body(record.body_bytes);
    REQUIRE(bodies.read(done.record.body_name, 0, body));
    REQUIRE(bodies.create(body_name(record.doc_id), body.size()));
    REQUIRE(bodies.write(body_name(record.doc_id), 0, body));
  }
  if (record.inline_body) REQUIRE(txn->put(table::body_inline, record.doc_id, done.inline_chunk));
  REQUIRE(txn->commit());
  return record.arrival;
}

}  // namespace tram::node::test
