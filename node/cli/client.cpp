#include "node/cli/client.h"

#include <algorithm>
#include <curl/curl.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

namespace tram::cli {
namespace {

struct Transfer {
  Reply reply;
  const std::function<bool(const char*, size_t)>* sink = nullptr;
  CURL* curl = nullptr;
  int fd = -1;
  uint64_t offset = 0, left = 0, moved = 0;
  const Progress* progress = nullptr;
  bool stopped = false;
};

size_t on_body(char* data, size_t one, size_t count, void* cls) {
  auto& transfer = *static_cast<Transfer*>(cls);
  const size_t bytes = one * count;
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  if (transfer.sink && status < 300) {
    if ((*transfer.sink)(data, bytes)) return bytes;
    transfer.stopped = true;
    return 0;
  }
  transfer.reply.body.append(data, bytes);
  return bytes;
}

size_t on_header(char* data, size_t one, size_t count, void* cls) {
  auto& transfer = *static_cast<Transfer*>(cls);
  const std::string_view line(data, one * count);
  if (line.substr(0, 5) == "HTTP/") transfer.reply.headers.clear();
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return one * count;
  std::string name(line.substr(0, colon));
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' '))
    value.remove_suffix(1);
  transfer.reply.headers[name] = value;
  return one * count;
}

size_t on_read(char* out, size_t one, size_t count, void* cls) {
  auto& transfer = *static_cast<Transfer*>(cls);
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(one * count, transfer.left));
  if (wanted == 0) return 0;
  const ssize_t got = ::pread(transfer.fd, out, wanted, static_cast<off_t>(transfer.offset));
  if (got <= 0) {
    transfer.reply.transport = "the file became shorter or cannot be read";
    return CURL_READFUNC_ABORT;
  }
  const auto n = static_cast<uint64_t>(got);
  transfer.offset += n;
  transfer.left -= n;
  transfer.moved += n;
  if (transfer.progress && !(*transfer.progress)(transfer.moved)) return CURL_READFUNC_ABORT;
  return static_cast<size_t>(n);
}

class CurlClient final : public Client {
 public:
  CurlClient(Target target, std::string token) : target_(std::move(target)), token_(std::move(token)) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    curl_ = curl_easy_init();
    TRAM_CHECK(curl_ != nullptr);
  }
  ~CurlClient() override {
    curl_easy_cleanup(curl_);
    curl_global_cleanup();
  }

  Reply request(const std::string& method, const std::string& path, const Headers& headers,
                const std::string& body) override {
    Transfer transfer;
    prepare(transfer, path);
    if (method == "HEAD")
      curl_easy_setopt(curl_, CURLOPT_NOBODY, 1L);
    else if (method == "POST" || !body.empty()) {
      curl_easy_setopt(curl_, CURLOPT_POST, 1L);
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.data());
    }
    if (method != "HEAD") curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, method.c_str());
    return perform(transfer, headers);
  }

  Reply upload(const std::string& path, const Headers& headers, int fd, uint64_t offset, uint64_t bytes,
               const Progress& progress) override {
    Transfer transfer;
    prepare(transfer, path);
    transfer.fd = fd;
    transfer.offset = offset;
    transfer.left = bytes;
    transfer.progress = &progress;
    curl_easy_setopt(curl_, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl_, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(curl_, CURLOPT_READFUNCTION, &on_read);
    curl_easy_setopt(curl_, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(curl_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(bytes));
    curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, "PATCH");
    return perform(transfer, headers);
  }

  Reply download(const std::string& path, const std::function<bool(const char*, size_t)>& sink) override {
    Transfer transfer;
    prepare(transfer, path);
    transfer.sink = &sink;
    return perform(transfer, {});
  }

  const Target& target() const override { return target_; }

 private:
  void prepare(Transfer& transfer, const std::string& path) {
    curl_easy_reset(curl_);
    transfer.curl = curl_;
    const std::string url = (target_.url.empty() ? "http://localhost" : target_.url) + path;
    curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
    if (target_.url.empty()) curl_easy_setopt(curl_, CURLOPT_UNIX_SOCKET_PATH, target_.socket.c_str());
    if (!target_.ca_file.empty()) curl_easy_setopt(curl_, CURLOPT_CAINFO, target_.ca_file.c_str());
    if (!target_.certificate_file.empty()) curl_easy_setopt(curl_, CURLOPT_SSLCERT, target_.certificate_file.c_str());
    if (!target_.key_file.empty()) curl_easy_setopt(curl_, CURLOPT_SSLKEY, target_.key_file.c_str());
    curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, &on_header);
    curl_easy_setopt(curl_, CURLOPT_HEADERDATA, &transfer);
  }

  Reply perform(Transfer& transfer, const Headers& headers) {
    curl_slist* list = curl_slist_append(nullptr, "Expect:");
    list = curl_slist_append(list, ("Accept-Language: " + target_.language).c_str());
    if (!token_.empty()) list = curl_slist_append(list, ("Authorization: Bearer " + token_).c_str());
    for (const auto& [name, value] : headers) list = curl_slist_append(list, (name + ": " + value).c_str());
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, list);
    const CURLcode code = curl_easy_perform(curl_);
    curl_slist_free_all(list);
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    // An answer that came while the body was still being sent counts; a broken one does not.
    const bool answered = status != 0 && (code == CURLE_OK || (code == CURLE_SEND_ERROR && status >= 400));
    transfer.reply.status = answered && !transfer.stopped ? static_cast<int>(status) : 0;
    if (!transfer.reply.status && transfer.reply.transport.empty()) transfer.reply.transport = curl_easy_strerror(code);
    return std::move(transfer.reply);
  }

  Target target_;
  std::string token_;
  CURL* curl_;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::open(Target target) {
  std::string token;
  if (!target.token_file.empty()) {
    struct stat info {};
    if (::stat(target.token_file.c_str(), &info) != 0) return fail(ErrorCode::not_found, target.token_file);
    if (info.st_mode & 077) return fail(ErrorCode::unsafe_permissions, target.token_file);
    std::ifstream in(target.token_file);
    in >> token;
    if (token.size() < 16 || token.size() > 200) return fail(ErrorCode::bad_format, target.token_file);
  }
  while (!target.url.empty() && target.url.back() == '/') target.url.pop_back();
  return std::unique_ptr<Client>(new CurlClient(std::move(target), std::move(token)));
}

std::string percent_encode(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
      continue;
    }
    constexpr char digits[] = "0123456789ABCDEF";
    const auto byte = static_cast<uint8_t>(c);
    out += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return out;
}

}  // namespace tram::cli
