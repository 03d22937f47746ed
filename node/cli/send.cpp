// `tram send`: small files travel inside the request, larger ones as resumable uploads (tus), whose ids are remembered
// so that the same command goes on where a broken one stopped.
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "node/cli/commands.h"

namespace tram::cli {
namespace {

constexpr int upload_attempts = 20;
constexpr const char* tus_version = "1.0.0";

struct File {
  std::string path, name;
  int fd = -1;
  uint64_t bytes = 0;
  std::string identity;  // path, size and time: a changed file is uploaded anew
  std::string upload;
};

std::string base64(BytesView raw) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < raw.size(); i += 3) {
    const size_t n = std::min<size_t>(3, raw.size() - i);
    const uint32_t v = uint32_t{raw[i]} << 16 | (n > 1 ? uint32_t{raw[i + 1]} << 8 : 0) | (n > 2 ? raw[i + 2] : 0u);
    out += alphabet[v >> 18];
    out += alphabet[v >> 12 & 63];
    out += n > 1 ? alphabet[v >> 6 & 63] : '=';
    out += n > 2 ? alphabet[v & 63] : '=';
  }
  return out;
}

/// Unfinished uploads of this user: identity -> path of the upload. Losing it only costs an upload.
class Memory {
 public:
  Memory() {
    const char* state = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    if (state && *state)
      file_ = std::string(state) + "/tram/uploads.json";
    else if (home && *home)
      file_ = std::string(home) + "/.local/state/tram/uploads.json";
    std::ifstream in(file_);
    std::stringstream text;
    text << in.rdbuf();
    if (auto json = parse_json(text.str()); json && json->is_object()) known_ = std::move(*json);
  }
  std::string find(const std::string& identity) const {
    return known_.is_object() ? known_.value(identity, std::string()) : std::string();
  }
  void set(const std::string& identity, const std::string& upload) {
    if (upload.empty())
      known_.erase(identity);
    else
      known_[identity] = upload;
    if (file_.empty()) return;
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(file_).parent_path(), ignored);
    const std::string fresh = file_ + ".new";
    std::ofstream(fresh) << known_.dump();
    std::filesystem::rename(fresh, file_, ignored);
  }

 private:
  std::string file_;
  Json known_ = Json::object();
};

std::string readable_hint(const App& app) {
  return app.out.say("kiểm tra đường dẫn và quyền đọc", "check the path and that you may read it");
}

std::optional<File> open_file(const App& app, const std::string& path) {
  File file;
  file.path = path;
  file.name = std::filesystem::path(path).filename().string();
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (file.fd < 0 || ::fstat(file.fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    app.out.error(std::string(app.out.say("không đọc được tệp ", "cannot read the file ")) + path, readable_hint(app));
    return std::nullopt;
  }
  file.bytes = static_cast<uint64_t>(info.st_size);
  std::error_code ignored;
  file.identity = app.client->target().socket + "|" + app.client->target().url + "|" +
                  std::filesystem::absolute(path, ignored).string() + "|" + std::to_string(file.bytes) + "|" +
                  std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
  return file;
}

/// The offset the node holds, or nothing when it does not know the upload (any more).
std::optional<uint64_t> offset_of(const App& app, const std::string& upload, Reply& reply) {
  reply = app.client->request("HEAD", upload, {{"Tus-Resumable", tus_version}});
  const auto found = reply.headers.find("upload-offset");
  if (!reply.ok() || found == reply.headers.end()) return std::nullopt;
  return std::strtoull(found->second.c_str(), nullptr, 10);
}

bool create_upload(const App& app, File& file, Memory& memory) {
  const Reply reply = app.client->request("POST", "/v1/uploads",
                                          {{"Tus-Resumable", tus_version},
                                           {"Idempotency-Key", random_key()},
                                           {"Upload-Length", std::to_string(file.bytes)},
                                           {"Upload-Metadata", "filename " + base64(view(file.name))}});
  if (!reply.ok()) {
    report(app, reply);
    return false;
  }
  file.upload = reply.headers.count("location") ? reply.headers.at("location") : std::string();
  memory.set(file.identity, file.upload);
  return true;
}

bool upload_file(const App& app, File& file, Memory& memory) {
  ProgressBar bar(app.out, file.name, file.bytes);
  file.upload = memory.find(file.identity);
  uint64_t last_offset = 0;
  int failures = 0;
  for (;;) {
    Reply reply;
    std::optional<uint64_t> offset;
    if (!file.upload.empty()) offset = offset_of(app, file.upload, reply);
    if (!offset && reply.status == 404) file.upload.clear();
    if (file.upload.empty()) {
      if (!create_upload(app, file, memory)) return false;
      offset = 0;
    }
    if (offset && *offset == file.bytes) return true;
    if (offset) {
      const uint64_t from = *offset;
      reply = app.client->upload(file.upload,
                                 {{"Tus-Resumable", tus_version},
                                  {"Content-Type", "application/offset+octet-stream"},
                                  {"Upload-Offset", std::to_string(from)}},
                                 file.fd, from, file.bytes - from, [&](uint64_t moved) {
                                   bar.at(from + moved);
                                   return true;
                                 });
      if (reply.ok()) continue;
      if (from > last_offset) failures = 0;
      last_offset = from;
    }
    const bool final_refusal =
        reply.status >= 400 && reply.status < 500 && reply.status != 404 && reply.status != 409 && reply.status != 429;
    if (final_refusal || ++failures > upload_attempts) {
      report(app, reply);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(200 * failures, 5000)));
  }
}

bool is_number_field(const std::string& name) {
  return name == "priority" || name == "pages" || name == "copies" || name == "steering";
}

/// The request without its files: --metadata, overridden by the options.
std::optional<Json> compose(const App& app, const SendOptions& options) {
  Json body = Json::object();
  if (!options.metadata_file.empty()) {
    std::ifstream in(options.metadata_file, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    auto json = in ? parse_json(text.str()) : std::nullopt;
    if (!json || !json->is_object()) {
      app.out.error(options.metadata_file + app.out.say(": không đọc được hoặc không phải JSON",
                                                        ": cannot be read or is not a JSON object"),
                    app.out.say("viết siêu dữ liệu như docs/api.md nêu", "write the metadata as docs/api.md shows"));
      return std::nullopt;
    }
    if (json->contains("metadata"))
      body = std::move(*json);
    else
      body["metadata"] = std::move(*json);
  }
  Json& metadata = body["metadata"];
  if (!metadata.is_object()) metadata = Json::object();
  for (const auto& [name, value] : options.fields) {
    if (name.substr(0, 7) == "signer.")
      metadata["signer"][name.substr(7)] = value;
    else if (is_number_field(name))
      metadata[name] = std::strtoll(value.c_str(), nullptr, 10);
    else
      metadata[name] = value;
  }
  if (!options.to.empty()) body["to"] = options.to;
  if (!options.from_unit.empty()) body["from_unit"] = options.from_unit;
  if (options.reply_to) body["in_reply_to"] = options.reply_to;
  if (const std::string& target = options.replace.empty() ? options.update : options.replace; !target.empty())
    body["relation"] = {
        {"kind", options.replace.empty() ? "update" : "replace"}, {"targets", {target}}, {"reason", options.reason}};
  return body;
}

bool attach(const App& app, const std::vector<std::string>& paths, Json& body, std::vector<File>& files,
            Memory& memory) {
  for (const auto& path : paths) {
    auto file = open_file(app, path);
    if (!file) return false;
    files.push_back(std::move(*file));
  }
  uint64_t total = 0;
  for (const auto& file : files) total += file.bytes;
  const bool inside = total <= limits::inline_file_bytes_max;  // base64 of all of them still fits one request
  for (auto& file : files) {
    Json one{{"name", file.name}};
    if (inside) {
      Bytes content(file.bytes);
      if (::pread(file.fd, content.data(), content.size(), 0) != static_cast<ssize_t>(content.size())) {
        app.out.error(std::string(app.out.say("không đọc được tệp ", "cannot read the file ")) + file.path,
                      readable_hint(app));
        return false;
      }
      one["content"] = base64(content);
    } else {
      if (!upload_file(app, file, memory)) return false;
      one["upload"] = file.upload.substr(file.upload.rfind('/') + 1);
    }
    body["files"].push_back(one);
  }
  return true;
}

}  // namespace

int send(const App& app, const SendOptions& options) {
  auto body = compose(app, options);
  if (!body) return exit_failed;
  if (!body->contains("to") || (*body)["to"].empty()) {
    app.out.error(app.out.say("chưa nêu nơi nhận", "no recipient is named"),
                  app.out.say("thêm --to MÃ_CƠ_QUAN; tìm mã bằng `tram directory`",
                              "add --to CODE; find codes with `tram directory`"));
    return exit_usage;
  }
  if (options.files.empty() && !body->contains("files")) {
    app.out.error(app.out.say("chưa có tệp văn bản", "no file is given"),
                  app.out.say("thêm --file VAN_BAN.pdf", "add --file DOCUMENT.pdf"));
    return exit_usage;
  }
  Memory memory;
  std::vector<File> files;
  const bool attached = attach(app, options.files, *body, files, memory);
  for (auto& file : files)
    if (file.fd >= 0) ::close(file.fd);
  if (!attached) return exit_failed;
  const auto answer = post(app, "/v1/documents", *body);
  if (!answer) return exit_failed;
  for (const auto& file : files)
    if (!file.upload.empty()) memory.set(file.identity, {});
  if (app.out.json) return print_json(*answer);
  print_practice(app, *answer);
  std::printf("%s %s\n", app.out.say("Đã nhận gửi văn bản", "Accepted for sending:"), text_of(*answer, "id").c_str());
  std::printf("%s: %s\n", app.out.say("Nơi nhận", "Recipients"), text_of(*answer, "recipients").c_str());
  if (answer->contains("notice"))
    std::printf("%s: %s\n", app.out.say("Lưu ý", "Note"), app.out.word((*answer)["notice"]).c_str());
  std::printf("%s: tram show %s\n", app.out.say("Theo dõi", "Follow it"), text_of(*answer, "id").c_str());
  return exit_done;
}

}  // namespace tram::cli
