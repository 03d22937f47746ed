// `tram inbox`, `tram outbox` and the clerk's acts on what arrived.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/cli/commands.h"

namespace tram::cli {
namespace {

std::optional<Json> list(const App& app, const char* path, const ListOptions& options) {
  const std::string url = path + query_string({{"state", options.state},
                                               {"unit", options.unit},
                                               {"q", options.query},
                                               {"limit", std::to_string(std::min<size_t>(options.limit, 200))}});
  auto json = get(app, url);
  if (!json || !follow_pages(app, *json, url, options.limit)) return std::nullopt;
  return json;
}

void print_end(const App& app, const Json& json, const Table& table) {
  if (table.empty())
    std::printf("%s\n", app.out.say("(không có văn bản)", "(no documents)"));
  else
    table.print(app.out);
  if (json["next"].is_string())
    std::printf("%s\n", app.out.say("… còn nữa, dùng --limit", "… there are more, use --limit"));
}

const char* priority_mark(const App& app, const Json& item) {
  switch (item.value("priority", 0)) {
    case 1: return app.out.say("KHẨN", "URGENT");
    case 2: return app.out.say("THƯỢNG KHẨN", "VERY URGENT");
    case 3: return app.out.say("HỎA TỐC", "EXPRESS");
    case 4: return app.out.say("HỎA TỐC HẸN GIỜ", "EXPRESS BY HOUR");
    default: return "";
  }
}

/// "delivered 3, queued 1"
std::string counts_text(const App&, const Json& item) {
  const auto counts = item.find("counts");
  if (counts == item.end()) return text_of(item, "recipients");
  std::string out;
  for (const auto& [name, count] : counts->items()) out += (out.empty() ? "" : ", ") + name + " " + count.dump();
  return out;
}

int act(const App& app, const ActOptions& options, const char* name, const Json& body) {
  const auto json = post(app, "/v1/inbox/" + percent_encode(options.id) + "/" + name, body);
  if (!json) return exit_failed;
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  std::string line = options.id + ": " + app.out.word((*json)["state"]);
  if (const std::string number = text_of(*json, "register_number"); !number.empty())
    line += std::string(", ") + app.out.say("số đến ", "register number ") + number + " (" +
            time_text(text_of(*json, "register_date")) + ")";
  std::printf("%s\n", line.c_str());
  return exit_done;
}

void put(Json& body, const char* name, const std::string& value) {
  if (!value.empty()) body[name] = value;
}

}  // namespace

int quarantine(const App& app) {
  const auto json = get(app, "/v1/quarantine");
  if (!json) return exit_failed;
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  Table table({app.out.say("TỪ LÚC", "SINCE"), app.out.say("NƠI GỬI", "FROM"), app.out.say("SỐ LẦN", "ATTEMPTS"),
               app.out.say("MÃ VĂN BẢN", "DOCUMENT")});
  for (const auto& item : (*json)["items"])
    table.add({time_text(text_of(item, "since")), text_of(item["from"], "name"), text_of(item, "attempts"), text_of(item, "document_id")});
  if (table.empty())
    std::printf("%s\n", app.out.say("(không có văn bản)", "(no documents)"));
  else
    table.print(app.out);
  return exit_done;
}

int inbox(const App& app, const ListOptions& options) {
  const auto json = list(app, "/v1/inbox", options);
  if (!json) return exit_failed;
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  Table table({app.out.say("ĐẾN", "ARRIVAL"), app.out.say("NGÀY GIỜ", "RECEIVED"), app.out.say("NƠI GỬI", "FROM"),
               app.out.say("SỐ KÝ HIỆU", "NUMBER"), app.out.say("TRÍCH YẾU", "SUBJECT"),
               app.out.say("ĐỘ KHẨN", "URGENCY"), app.out.say("TRẠNG THÁI", "STATE")});
  for (const auto& item : (*json)["items"]) {
    std::string state = app.out.word(item["state"]);
    if (const std::string relation = text_of(item, "relation"); relation == "recall")
      state += app.out.say(" (lệnh thu hồi)", " (recall)");
    else if (relation == "replace")
      state += app.out.say(" (thay thế)", " (replacement)");
    else if (relation == "update")
      state += app.out.say(" (cập nhật)", " (update)");
    if (item.contains("pending_change")) state += app.out.say(" (đang xin thay đổi)", " (change asked)");
    if (item.value("overdue", false)) state += app.out.say(" (quá hạn vào sổ)", " (registration overdue)");
    if (item.value("duplicate_number", false)) state += app.out.say(" (trùng số)", " (number seen before)");
    table.add({text_of(item, "arrival"), time_text(text_of(item, "received")), text_of(item["from"], "name"),
               text_of(item, "number_and_symbol"), text_of(item, "subject"), priority_mark(app, item), state});
  }
  print_end(app, *json, table);
  return exit_done;
}

int outbox(const App& app, const ListOptions& options) {
  const auto json = list(app, "/v1/documents", options);
  if (!json) return exit_failed;
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  Table table({app.out.say("MÃ VĂN BẢN", "ID"), app.out.say("NGÀY GIỜ", "CREATED"), app.out.say("SỐ KÝ HIỆU", "NUMBER"),
               app.out.say("TRÍCH YẾU", "SUBJECT"), app.out.say("TRẠNG THÁI", "STATE"),
               app.out.say("NƠI NHẬN", "RECIPIENTS")});
  for (const auto& item : (*json)["items"])
    table.add({text_of(item, "id"), time_text(text_of(item, "created")), text_of(item, "number_and_symbol"),
               text_of(item, "subject"), app.out.word(item["state"]), counts_text(app, item)});
  print_end(app, *json, table);
  return exit_done;
}

int register_document(const App& app, const ActOptions& options) {
  Json body = Json::object();
  put(body, "number", options.number);
  put(body, "date", options.date);
  put(body, "person", options.person);
  put(body, "unit", options.unit);
  return act(app, options, "register", body);
}

int refuse(const App& app, const ActOptions& options) {
  Json body{{"reason", options.reason}};
  put(body, "person", options.person);
  return act(app, options, "refuse", body);
}

int set_status(const App& app, const ActOptions& options) {
  Json body{{"status", options.status}};
  put(body, "person", options.person);
  return act(app, options, "status", body);
}

int answer(const App& app, const ActOptions& options) {
  Json body{{"agree", options.agree}};
  put(body, "reason", options.reason);
  put(body, "person", options.person);
  return act(app, options, "answer", body);
}

}  // namespace tram::cli
