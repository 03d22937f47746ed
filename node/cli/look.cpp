// `tram directory` and `tram doctor`.
#include <cstdio>
#include <cstring>
#include <errno.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/cli/commands.h"

namespace tram::cli {
namespace {

int print_agency(const App& app, const Json& json) {
  if (app.out.json) return print_json(json);
  print_practice(app, json);
  std::printf("%s  %s\n", text_of(json, "code").c_str(), text_of(json, "name").c_str());
  const auto row = [&](const char* vi, const char* en, const std::string& value) {
    if (!value.empty()) std::printf("  %s: %s\n", app.out.say(vi, en), value.c_str());
  };
  row("Khối", "Branch", text_of(json, "branch"));
  row("Cấp", "Level", text_of(json, "level"));
  row("Tình trạng", "Status", text_of(json, "status"));
  row("Có nút", "Has a node",
      json.value("has_node", false) ? app.out.say("có", "yes") : app.out.say("chưa", "not yet"));
  if (json.contains("parent")) row("Cấp trên", "Superior", text_of(json["parent"], "name"));
  if (json.contains("contact")) {
    row("Điện thoại", "Telephone", text_of(json["contact"], "telephone"));
    row("Thư điện tử", "E-mail", text_of(json["contact"], "email"));
    row("Trực văn thư", "Duty clerk", text_of(json["contact"], "duty_person"));
  }
  if (json.contains("successors"))
    for (const auto& successor : json["successors"])
      row("Kế thừa", "Successor", text_of(successor, "code") + " " + text_of(successor, "name"));
  if (json.contains("units"))
    for (const auto& unit : json["units"]) row("Đơn vị", "Unit", text_of(unit, "code") + " " + text_of(unit, "name"));
  return exit_done;
}

/// Why nobody answers at the socket, in words.
void explain_socket(const App& app) {
  const std::string& path = app.client->target().socket;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), std::min(path.size(), sizeof name.sun_path - 1));
  const void* raw = &name;
  const int failed = ::connect(fd, static_cast<const sockaddr*>(raw), sizeof name) == 0 ? 0 : errno;
  ::close(fd);
  const size_t slash = path.rfind('/');
  const std::string home = slash == std::string::npos ? "." : path.substr(0, slash);
  if (::access((home + "/needs-recovery").c_str(), F_OK) == 0)
    app.out.error(home + app.out.say(": đĩa lỗi (mã thoát 74), hoặc khôi phục chưa xong; nút từ chối chạy",
                                     ": the disk failed (exit 74), or a restore did not end; the node refuses to run"),
                  app.out.say("kiểm tra đĩa, rồi chạy `tram-node recover` hoặc `tram-node restore`; xem deploy/OPERATIONS.md",
                              "check the disk, then run `tram-node recover` or `tram-node restore`; see deploy/OPERATIONS.md"));
  else if (failed == ENOENT)
    app.out.error(path + app.out.say(": không có socket ở đây; nút chưa chạy hoặc chạy ở thư mục khác",
                                     ": there is no socket here; the node does not run, or runs elsewhere"),
                  app.out.say("chạy `systemctl start tram-node`, hoặc chỉ --socket",
                              "run `systemctl start tram-node`, or name --socket"));
  else if (failed == EACCES)
    app.out.error(path + app.out.say(": không có quyền", ": permission denied"),
                  app.out.say("chạy bằng tài khoản của nút: sudo -u tram tram doctor",
                              "run as the node's user: sudo -u tram tram doctor"));
  else if (failed == ECONNREFUSED)
    app.out.error(path + app.out.say(": nút đã dừng", ": the node has stopped"),
                  app.out.say("xem lý do: journalctl -u tram-node -n 50", "see why: journalctl -u tram-node -n 50"));
  else
    app.out.error(path + ": " + std::strerror(failed),
                  app.out.say("xem journalctl -u tram-node -n 50", "see journalctl -u tram-node -n 50"));
}

}  // namespace

int directory(const App& app, const DirectoryOptions& options) {
  if (!options.group.empty()) {
    const auto json = get(app, "/v1/groups" + query_string({{"name", options.group}}));
    if (!json) return exit_failed;
    if (app.out.json) return print_json(*json);
    std::printf("%s: %s %s, %s %s\n", options.group.c_str(), text_of(*json, "members").c_str(),
                app.out.say("cơ quan", "agencies"), text_of(*json, "with_node").c_str(),
                app.out.say("đã có nút", "with a node"));
    return exit_done;
  }
  const std::string url =
      "/v1/directory" + query_string({{"q", options.query},
                                      {"branch", options.branch},
                                      {"level", options.level},
                                      {"province", options.province},
                                      {"limit", std::to_string(std::min<size_t>(options.limit, 500))}});
  auto json = get(app, url);
  if (!json || !follow_pages(app, *json, url, options.limit)) return exit_failed;
  const Json& items = (*json)["items"];
  if (items.size() == 1) {
    const auto agency = get(app, "/v1/directory/" + percent_encode(text_of(items[0], "id")));
    return agency ? print_agency(app, *agency) : exit_failed;
  }
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  Table table({app.out.say("MÃ", "CODE"), app.out.say("TÊN", "NAME"), app.out.say("KHỐI", "BRANCH"),
               app.out.say("CẤP", "LEVEL"), app.out.say("TÌNH TRẠNG", "STATUS"), app.out.say("NÚT", "NODE")});
  for (const auto& item : items)
    table.add({text_of(item, "code"), text_of(item, "name"), text_of(item, "branch"), text_of(item, "level"),
               text_of(item, "status"), item.value("has_node", false) ? app.out.say("có", "yes") : "-"});
  if (table.empty())
    std::printf("%s\n", app.out.say("(không tìm thấy; thử ít từ hơn)", "(nothing found; try fewer words)"));
  else
    table.print(app.out);
  return exit_done;
}

int doctor(const App& app) {
  const Reply reply = app.client->request("GET", "/v1/health");
  if (!reply.status && app.client->target().url.empty()) {
    explain_socket(app);
    return exit_failed;
  }
  if (!reply.ok()) return report(app, reply);
  const auto parsed = parse_json(reply.body);
  if (!parsed) return report(app, reply);
  const Json& json = *parsed;
  const bool failing = text_of(json, "status") == "failing";
  if (app.out.json) {
    print_json(json);
    return failing ? exit_failed : exit_done;
  }
  print_practice(app, json);
  Table brokers({app.out.say("TRẠM", "BROKER"), app.out.say("ĐỊA CHỈ", "ENDPOINT"), app.out.say("KẾT NỐI", "CONNECTED"),
                 app.out.say("NGHE LẦN CUỐI", "LAST HEARD"), app.out.say("CHỜ", "PENDING")});
  for (const auto& broker : json["brokers"])
    brokers.add({text_of(broker, "name"), text_of(broker, "endpoint"),
                 broker.value("connected", false) ? app.out.say("có", "yes") : app.out.say("MẤT", "NO"),
                 time_text(text_of(broker, "last_heard")),
                 text_of(broker, "pending") + (broker.value("pending_more", false) ? "+" : "")});
  if (!brokers.empty()) brokers.print(app.out);
  bool healthy = true;
  for (const auto& problem : json["problems"]) {
    const std::string severity = text_of(problem, "severity");
    healthy &= severity == "info";
    const char* mark = severity == "error"     ? app.out.say("LỖI", "ERROR")
                       : severity == "warning" ? app.out.say("CẢNH BÁO", "WARNING")
                                               : app.out.say("LƯU Ý", "NOTE");
    std::printf("%s  %s\n    → %s\n", mark, app.out.word(problem["what"]).c_str(), app.out.word(problem["do"]).c_str());
  }
  if (healthy) std::printf("%s\n", app.out.say("Nút hoạt động bình thường.", "The node is well."));
  return failing ? exit_failed : exit_done;
}

}  // namespace tram::cli
