#include <cstdio>
#include <nlohmann/json.hpp>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/check.h"
#include "node/cli/commands.h"

namespace tram::cli {
namespace {

/// Why no answer came, and what to do about it.
void report_transport(const App& app, const Reply& reply) {
  const auto& target = app.client->target();
  const std::string where = target.url.empty() ? target.socket : target.url;
  app.out.error(
      std::string(app.out.say("không nói chuyện được với nút tại ", "cannot talk to the node at ")) + where + " (" +
          reply.transport + ")",
      target.url.empty()
          ? app.out.say(
                "nút có đang chạy không? `systemctl status tram-node`; chỉ đúng socket bằng --socket hoặc TRAM_SOCKET",
                "is it running? `systemctl status tram-node`; name its socket with --socket or TRAM_SOCKET")
          : app.out.say("kiểm tra địa chỉ, chứng thư và mạng", "check the address, the certificate and the network"));
}

}  // namespace

std::string random_key() {
  Bytes raw(16);
  TRAM_CHECK(::getrandom(raw.data(), raw.size(), 0) == static_cast<ssize_t>(raw.size()));
  return to_hex(raw);
}

std::optional<Json> parse_json(const std::string& text) {
  auto json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

int report(const App& app, const Reply& reply, const std::string& key) {
  if (app.out.json && reply.status) std::printf("%s\n", reply.body.c_str());
  if (!reply.status) {
    report_transport(app, reply);
  } else {
    const auto json = parse_json(reply.body);
    const auto* info = json && json->is_object() ? find_error(text_of(*json, "code")) : nullptr;
    if (info)
      app.out.error(info->code, text_of(*json, "detail"));
    else
      app.out.error("HTTP " + std::to_string(reply.status), app.out.say("ở địa chỉ này có đúng là nút Trạm không?",
                                                                        "is it a node of Trạm that answers there?"));
  }
  if (!key.empty() && (reply.status == 0 || reply.status >= 500))
    std::fprintf(stderr, "%s: %s --idempotency-key %s\n", app.out.say("Gợi ý", "Hint"),
                 app.out.say("lệnh có thể đã được thực hiện; chạy lại an toàn với",
                             "it may have been carried out; repeat it safely with"),
                 key.c_str());
  return exit_failed;
}

std::optional<Json> get(const App& app, const std::string& path) {
  const Reply reply = app.client->request("GET", path);
  if (!reply.ok()) {
    report(app, reply);
    return std::nullopt;
  }
  auto json = parse_json(reply.body);
  if (!json)
    app.out.error(app.out.say("câu trả lời của nút không phải JSON", "the node's answer is not JSON"),
                  app.out.say("ở địa chỉ này có đúng là nút Trạm không?", "is it a node of Trạm that answers there?"));
  return json;
}

std::optional<Json> post(const App& app, const std::string& path, const Json& body) {
  const std::string key = app.idempotency_key.empty() ? random_key() : app.idempotency_key;
  const Reply reply =
      app.client->request("POST", path, {{"Content-Type", "application/json"}, {"Idempotency-Key", key}},
                          body.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!reply.ok()) {
    report(app, reply, key);
    return std::nullopt;
  }
  return parse_json(reply.body);
}

int print_json(const Json& json) {
  std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  return exit_done;
}

std::string query_string(const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::string out;
  for (const auto& [name, value] : parameters)
    if (!value.empty()) out += (out.empty() ? "?" : "&") + name + "=" + percent_encode(value);
  return out;
}

std::string text_of(const Json& json, const char* member) {
  const auto found = json.find(member);
  if (found == json.end() || found->is_null()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->is_primitive() ? found->dump() : std::string();
}

bool follow_pages(const App& app, Json& first, const std::string& path, size_t limit) {
  while (first["items"].size() < limit && first["next"].is_string()) {
    const std::string next = first["next"].get<std::string>();
    auto page = get(app, path + (path.find('?') == std::string::npos ? "?" : "&") + "after=" + percent_encode(next));
    if (!page) return false;
    for (auto& item : (*page)["items"])
      if (first["items"].size() < limit) first["items"].push_back(std::move(item));
    first["next"] = (*page)["next"];
  }
  return true;
}

void print_practice(const App& app, const Json& json) {
  if (json.value("practice", false))
    std::printf("%s\n", app.out.say("*** MẠNG THỰC HÀNH: không phải văn bản thật ***",
                                    "*** PRACTICE REALM: not real documents ***"));
}

}  // namespace tram::cli
