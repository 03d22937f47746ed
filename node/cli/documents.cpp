// `tram show`, `save`, `recall`, `receipts`: one document.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <unistd.h>

#include "crypto/hash.h"
#include "node/cli/commands.h"

namespace tram::cli {
namespace {

bool is_arrival(const std::string& id) {
  return !id.empty() && id.size() <= 19 && id.find_first_not_of("0123456789") == std::string::npos;
}

void line(const App& app, const char* vi, const char* en, const std::string& value) {
  if (value.empty()) return;
  const std::string name = app.out.say(vi, en);
  std::printf("%s:%*s%s\n", name.c_str(), static_cast<int>(16 - std::min<size_t>(width(name), 15)), "", value.c_str());
}

std::string words(std::initializer_list<std::string> parts) {
  std::string out;
  for (const auto& part : parts)
    if (!part.empty()) out += (out.empty() ? "" : " ") + part;
  return out;
}

void print_metadata(const App& app, const Json& json) {
  const Json& m = json["metadata"];
  line(app, "Số, ký hiệu", "Number", text_of(m, "number_and_symbol"));
  line(app, "Tên loại", "Type", text_of(m, "type_name"));
  line(app, "Trích yếu", "Subject", text_of(m, "subject"));
  line(app, "Ngày ban hành", "Issued", time_text(text_of(m, "issued")));
  line(app, "Cơ quan", "Issued by", text_of(m, "organ_name"));
  if (m.contains("signer"))
    line(app, "Người ký", "Signer",
         words({text_of(m["signer"], "competence"), text_of(m["signer"], "position"), text_of(m["signer"], "name")}));
  line(app, "Độ khẩn", "Urgency", words({app.out.word(m["priority"]), text_of(m, "priority_deadline")}));
  line(app, "Hạn trả lời", "Due", time_text(text_of(m, "due")));
  line(app, "Ghi chú", "Note", text_of(m, "note"));
}

void print_files(const App& app, const Json& files) {
  for (const auto& file : files)
    std::printf("  %s. %s  %s\n", text_of(file, "n").c_str(), text_of(file, "name").c_str(),
                bytes_text(file.value("bytes", uint64_t{0}), app.out.language).c_str());
}

int show_arrival(const App& app, const std::string& id) {
  const auto json = get(app, "/v1/inbox/" + id);
  if (!json) return exit_failed;
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  line(app, "Nơi gửi", "From", text_of((*json)["from"], "name") + " (" + text_of((*json)["from"], "code") + ")");
  print_metadata(app, *json);
  line(app, "Đến lúc", "Received", time_text(text_of(*json, "received")));
  line(app, "Trạng thái", "State", app.out.word((*json)["state"]));
  line(app, "Số đến", "Register no.", text_of(*json, "register_number"));
  line(app, "Vào sổ trước", "Register by", time_text(text_of(*json, "register_by")));
  line(app, "Lý do", "Reason", text_of(*json, "reason"));
  if (json->contains("pending_change")) line(app, "Nơi gửi xin", "Asked", text_of((*json)["pending_change"], "kind"));
  print_files(app, (*json)["files"]);
  return exit_done;
}

int show_sent(const App& app, const std::string& id, const std::string& wait) {
  const std::string path = "/v1/documents/" + percent_encode(id);
  for (bool here = wait.empty(); !here;) {  // each question is answered when it has come so far, or after some seconds;
    const auto json = get(app, path + "?limit=1&wait=" + wait);
    if (!json) return exit_failed;
    const auto& counts = (*json)["counts"];
    here = text_of((*json)["state"], "name") == "failed" ||
           !(counts.contains("waiting") || counts.contains("queued") || (wait == "delivered" && counts.contains("accepted")));
    if (!here) std::this_thread::sleep_for(std::chrono::milliseconds(200));  // at once when too many wait
  }
  auto json = get(app, path + "?limit=500");
  if (!json) return exit_failed;
  while ((*json)["next"].is_string()) {
    auto page = get(app, path + "?limit=500&after=" + (*json)["next"].get<std::string>());
    if (!page) return exit_failed;
    for (auto& one : (*page)["recipient_list"]) (*json)["recipient_list"].push_back(std::move(one));
    (*json)["next"] = (*page)["next"];
  }
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  print_metadata(app, *json);
  line(app, "Gửi lúc", "Created", time_text(text_of(*json, "created")));
  line(app, "Trạng thái", "State", app.out.word((*json)["state"]));
  if (json->contains("failure"))
    line(app, "Lỗi", "Failure", app.out.word((*json)["failure"]) + " " + text_of((*json)["failure"], "detail"));
  print_files(app, (*json)["files"]);
  std::printf("\n");
  Table table({app.out.say("MÃ", "CODE"), app.out.say("NƠI NHẬN", "RECIPIENT"), app.out.say("GIAO NHẬN", "DELIVERY"),
               app.out.say("XỬ LÝ", "STATUS"), app.out.say("ĐẾN LÚC", "RECEIVED"),
               app.out.say("SỐ ĐẾN", "REGISTER NO."), app.out.say("GHI CHÚ", "NOTE")});
  for (const auto& item : (*json)["recipient_list"]) {
    std::string note = text_of(item, "reason");
    if (item.contains("waiting_for")) note = app.out.word(item["waiting_for"]);
    if (item.contains("because")) note = app.out.word(item["because"]);
    if (item.contains("successors"))
      for (const auto& successor : item["successors"]) note += " → " + text_of(successor, "code") + " " + text_of(successor, "name");
    table.add({text_of(item, "code"), text_of(item, "name"), app.out.word(item["state"]),
               item["status"].is_object() ? text_of(item["status"], "code") + " " + app.out.word(item["status"])
                                          : std::string(),
               time_text(text_of(item, "received")), text_of(item, "register_number"), note});
  }
  table.print(app.out);
  return exit_done;
}

std::string writable_hint(const App& app) {
  return app.out.say("chọn thư mục ghi được và còn chỗ, bằng --to hoặc --save",
                     "choose a directory that may be written and has room, with --to or --save");
}

/// Downloads into a new file beside the target, checks the hash, then gives it its name.
bool save_file(const App& app, const std::string& url, const std::string& target, const std::string& sha256,
               uint64_t bytes, bool overwrite) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!overwrite && fs::exists(target, ignored)) {
    app.out.error(
        target + app.out.say(" đã có", " exists"),
        app.out.say("dùng --overwrite để ghi đè, hoặc thư mục khác", "use --overwrite, or another directory"));
    return false;
  }
  const std::string fresh = target + ".part";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) {
    app.out.error(fresh + ": " + std::strerror(errno), writable_hint(app));
    return false;
  }
  crypto::Sha256 hash;
  ProgressBar bar(app.out, fs::path(target).filename().string(), bytes);
  uint64_t written = 0;
  int write_error = 0;
  const Reply reply = app.client->download(url, [&](const char* data, size_t n) {
    hash.update(view(std::string_view(data, n)));
    for (size_t done = 0; done < n;) {
      const ssize_t some = ::write(fd, data + done, n - done);
      if (some <= 0) {
        write_error = errno;
        return false;
      }
      done += static_cast<size_t>(some);
    }
    bar.at(written += n);
    return true;
  });
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  bool good = reply.ok() && synced && written == bytes;
  if (write_error || !synced)
    app.out.error(fresh + ": " + std::strerror(write_error ? write_error : errno), writable_hint(app));
  else if (!reply.ok())
    report(app, reply);
  else if (good && !sha256.empty() && hash.finish().hex() != sha256) {
    app.out.error(ErrorCode::bad_format, "sha256");
    good = false;
  } else if (!good)
    app.out.error(app.out.say("tệp tải về bị thiếu", "the download is not whole"),
                  app.out.say("chạy lại lệnh", "run the command again"));
  if (good && ::rename(fresh.c_str(), target.c_str()) == 0) return true;
  ::unlink(fresh.c_str());
  return false;
}

bool make_directory(const App& app, const std::string& directory) {
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) app.out.error(directory + ": " + failure.message(), writable_hint(app));
  return !failure;
}

/// A name as it came from outside, made harmless for this machine.
std::string safe_name(std::string name, const std::string& n) {
  for (char& c : name)
    if (c == '/' || c == '\\' || static_cast<uint8_t>(c) < 0x20) c = '_';
  if (name.empty() || name.front() == '.') name = n + "_" + name;
  return name;
}

}  // namespace

int show(const App& app, const std::string& id, const std::string& wait) {
  return is_arrival(id) ? show_arrival(app, id) : show_sent(app, id, wait);
}

int save(const App& app, const std::string& id, const std::string& directory, bool overwrite) {
  const auto json = get(app, "/v1/inbox/" + percent_encode(id));
  if (!json || !make_directory(app, directory)) return exit_failed;
  for (const auto& file : (*json)["files"]) {
    const std::string n = text_of(file, "n");
    const std::string target = directory + "/" + safe_name(text_of(file, "name"), n);
    if (!save_file(app, "/v1/inbox/" + id + "/files/" + n, target, text_of(file, "sha256"),
                   file.value("bytes", uint64_t{0}), overwrite))
      return exit_failed;
    if (!app.out.json) std::printf("%s\n", target.c_str());
  }
  return app.out.json ? print_json((*json)["files"]) : exit_done;
}

int recall(const App& app, const std::string& id, const std::string& reason) {
  const auto json = post(app, "/v1/documents/" + percent_encode(id) + "/recall", {{"reason", reason}});
  if (!json) return exit_failed;
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  std::printf("%s %s\n%s: tram show %s\n", app.out.say("Đã gửi lệnh thu hồi", "Recall sent:"),
              text_of(*json, "id").c_str(), app.out.say("Theo dõi", "Follow it"), id.c_str());
  return exit_done;
}

int receipts(const App& app, const std::string& id, const std::string& directory) {
  const std::string path = (is_arrival(id) ? "/v1/inbox/" : "/v1/documents/") + percent_encode(id) + "/receipts";
  auto json = get(app, path + "?limit=200");
  if (!json || !follow_pages(app, *json, path + "?limit=200", SIZE_MAX)) return exit_failed;
  if (!directory.empty()) {
    if (!make_directory(app, directory)) return exit_failed;
    const std::string name = id.substr(id.size() - std::min<size_t>(id.size(), 8));  // not the first: those are the time
    for (auto& item : (*json)["items"]) {
      const std::string n = text_of(item, "n");
      const std::string file = directory + "/" + name + "-" + n + "-" +
                               safe_name(text_of(item["issuer"], "code"), n) + "-" + text_of(item["event"], "name") +
                               ".edxr";
      std::string content;
      const Reply reply = app.client->download(text_of(item, "bundle"), [&](const char* data, size_t bytes) {
        content.append(data, bytes);
        return true;
      });
      if (!reply.ok()) return report(app, reply);
      const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      const bool written =
          fd >= 0 && ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
      if (fd >= 0) ::close(fd);
      if (!written) {
        app.out.error(file + ": " + std::strerror(errno), writable_hint(app));
        return exit_failed;
      }
      item["file"] = file;
    }
  }
  if (app.out.json) return print_json(*json);
  print_practice(app, *json);
  Table table({"#", app.out.say("THỜI ĐIỂM", "TIME"), app.out.say("NƠI KÝ", "SIGNED BY"),
               app.out.say("SỰ KIỆN", "EVENT"), app.out.say("SỐ ĐẾN", "REGISTER NO."), app.out.say("NGƯỜI", "PERSON"),
               app.out.say("LÝ DO", "REASON"), directory.empty() ? "" : app.out.say("TỆP", "FILE")});
  for (const auto& item : (*json)["items"])
    table.add({text_of(item, "n"), time_text(text_of(item, "time")), text_of(item["issuer"], "name"),
               app.out.word(item["event"]), text_of(item, "register_number"), text_of(item, "person"),
               text_of(item, "reason"), text_of(item, "file")});
  if (table.empty())
    std::printf("%s\n", app.out.say("(chưa có biên nhận)", "(no receipts yet)"));
  else
    table.print(app.out);
  return exit_done;
}

}  // namespace tram::cli
