// The HTTP server over real sockets: what is refused, what streams, what survives a broken line.
#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "node/io/http_server.h"
#include "tests/unit/node_api_fixture.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using namespace tram::node;
using namespace tram::node::test;
using namespace std::chrono_literals;

namespace {

const std::string token = std::string(63, 'a') + "1";

/// The world's API behind one lock, as the loop serialises writes.
class LockedBackend final : public HttpBackend {
 public:
  explicit LockedBackend(World& world) : world_(world) {}
  std::optional<api::Principal> authenticate(const Hash& hash) override {
    if (hash == crypto::sha256({view(token)})) return clerk;
    return std::nullopt;
  }
  api::Response read(const api::Request& request) override {
    std::unique_lock lock(mutex_);
    ++reads;
    if (gate_closed_) {
      ++waiting_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !gate_closed_; });
    }
    return world_.read(request);
  }
  api::Response write(api::Request request) override {
    std::lock_guard lock(mutex_);
    ++writes;
    return world_.write(request);
  }
  Result<proto::UploadRecord> upload(std::string_view id, const api::Principal& principal) override {
    std::lock_guard lock(mutex_);
    return api::find_upload(*world_.realm.read(), id, principal);
  }
  Bodies& bodies() override { return world_.bodies; }
  Time now() override { return world_.now; }

  /// Holds reads back, until a number of them waits or the deadline passes; then lets them go.
  void close_gate() {
    std::lock_guard lock(mutex_);
    gate_closed_ = true;
  }
  bool open_gate_when(int waiting) {
    std::unique_lock lock(mutex_);
    const bool reached = changed_.wait_for(lock, 20s, [&] { return waiting_ >= waiting; });
    gate_closed_ = false;
    changed_.notify_all();
    return reached;
  }
  std::atomic<int> reads{0}, writes{0};

 private:
  World& world_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool gate_closed_ = false;
  int waiting_ = 0;
};

class Socket {
 public:
  explicit Socket(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const void* raw = &to;
    good_ = ::connect(fd_, static_cast<const sockaddr*>(raw), sizeof to) == 0;
  }
  explicit Socket(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, path.data(), path.size());
    const void* raw = &to;
    good_ = ::connect(fd_, static_cast<const sockaddr*>(raw), sizeof to) == 0;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { ::close(fd_); }
  bool good() const { return good_; }
  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void finish_sending() { ::shutdown(fd_, SHUT_WR); }
  /// Everything until the other side closes, a whole answer of known length, or ten seconds.
  std::string receive() {
    std::string out;
    char buffer[16384];
    for (;;) {
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, 10000) <= 0) return out + "<timeout>";
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
      if (got <= 0) return out;
      out.append(buffer, static_cast<size_t>(got));
      const size_t head = out.find("\r\n\r\n");
      const size_t length = out.find("Content-Length: ");
      if (head != std::string::npos && length < head && out.size() >= head + 4 + std::stoul(out.substr(length + 16)))
        return out;
      if (head != std::string::npos && out.substr(9, 3) == "204") return out;
    }
  }
  /// Up to the blank line, and nothing after it is taken.
  std::string receive_head() {
    std::string out;
    char byte = 0;
    for (;;) {
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, 10000) <= 0) return out + "<timeout>";
      if (::recv(fd_, &byte, 1, 0) <= 0) return out;
      out.push_back(byte);
      if (out.size() >= 4 && out.compare(out.size() - 4, 4, "\r\n\r\n") == 0) return out;
    }
  }
  bool closed_by_peer() {
    char byte;
    pollfd waiting{fd_, POLLIN, 0};
    return ::poll(&waiting, 1, 10000) > 0 && ::recv(fd_, &byte, 1, 0) <= 0;
  }

 private:
  int fd_;
  bool good_ = false;
};

int status_of(const std::string& answer) {
  return answer.size() > 12 && answer.substr(0, 9) == "HTTP/1.1 " ? std::stoi(answer.substr(9, 3)) : 0;
}
std::string body_of(const std::string& answer) {
  const size_t head = answer.find("\r\n\r\n");
  return head == std::string::npos ? std::string() : answer.substr(head + 4);
}
std::string header_of(const std::string& answer, const std::string& name) {
  const size_t at = answer.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const size_t from = at + name.size() + 4;
  return answer.substr(from, answer.find("\r\n", from) - from);
}

struct Served {
  World world;
  LockedBackend backend{world};
  tram::test::TemporaryDirectory directory;
  HttpOptions options;
  std::unique_ptr<HttpServer> server;
  uint16_t port = 0;
  std::string socket_path;

  explicit Served(Duration idle = seconds(30)) {
    socket_path = directory / "api.sock";
    options.listen = {{"127.0.0.1:0", "", "", ""}, {"unix:" + socket_path, "", "", ""}};
    options.host_names = {"tram.example.vn"};
    options.idle_timeout = idle;
    auto started = HttpServer::start(options, backend, world.log);
    if (!started) FAIL(describe(started.error()));
    server = std::move(*started);
    port = server->ports()[0];
  }

  std::string raw(const std::string& text) {
    Socket socket(port);
    socket.send(text);
    return socket.receive();
  }
  static std::string head(const std::string& line, const std::string& more = {}) {
    return line + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n" + more + "\r\n";
  }
  std::string get(const std::string& path) { return raw(head("GET " + path)); }
  std::string post(const std::string& path, const std::string& body, const std::string& key) {
    return raw(head("POST " + path,
                    "Idempotency-Key: " + key + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") +
               body);
  }
  std::string create_upload(uint64_t length) {
    const auto answer =
        raw(head("POST /v1/uploads",
                 "Idempotency-Key: u" + std::to_string(++serial) +
                     "\r\nContent-Length: 0\r\nTus-Resumable: 1.0.0\r\nUpload-Length: " + std::to_string(length) +
                     "\r\nUpload-Metadata: filename " + base64("a.pdf") + "\r\n"));
    REQUIRE(status_of(answer) == 201);
    return header_of(answer, "Location");
  }
  static std::string patch_head(const std::string& location, uint64_t offset, uint64_t bytes, const std::string& more = {}) {
    return head("PATCH " + location,
                "Content-Type: application/offset+octet-stream\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: " +
                    std::to_string(offset) + "\r\nContent-Length: " + std::to_string(bytes) + "\r\n" + more);
  }
  uint64_t offset_of(const std::string& location) {
    Socket socket(port);
    socket.send(head("HEAD " + location, "Connection: close\r\n"));
    std::string answer;
    while (answer.find("\r\n\r\n") == std::string::npos) {
      const std::string more = socket.receive();
      answer += more;
      if (more.empty()) break;
    }
    REQUIRE(status_of(answer) == 200);
    return std::stoull(header_of(answer, "Upload-Offset"));
  }
  template <class Condition>
  static bool eventually(Condition&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  int serial = 0;
};

}  // namespace

TEST_CASE("requests are answered with a token, on one connection after another") {
  Served served;
  const auto answer = served.get("/v1/self");
  REQUIRE(status_of(answer) == 200);
  CHECK(Json::parse(body_of(answer))["principal"]["name"] == "mai");
  CHECK(header_of(answer, "Cache-Control") == "no-store");
  CHECK(header_of(answer, "X-Content-Type-Options") == "nosniff");
  CHECK_FALSE(header_of(answer, "Content-Security-Policy").empty());
  Socket socket(served.port);
  for (int i = 0; i < 3; ++i) {
    socket.send(Served::head("GET /v1/self"));
    CHECK(status_of(socket.receive()) == 200);
  }
}

TEST_CASE("nobody comes in without the right token") {
  Served served;
  const auto with = [&](const std::string& line) {
    return served.raw("GET /v1/health HTTP/1.1\r\nHost: localhost\r\n" + line + "\r\n");
  };
  for (const std::string& line :
       std::vector<std::string>{"", "Authorization: Bearer " + std::string(64, 'b') + "\r\n",
                                "Authorization: Basic " + token + "\r\n", "Authorization: Bearer\r\n",
                                "Authorization: Bearer " + token + "\r\nAuthorization: Bearer " + token + "\r\n"}) {
    INFO(line);
    const auto answer = with(line);
    CHECK((status_of(answer) == 401 || status_of(answer) == 400));
  }
  CHECK(header_of(with(""), "WWW-Authenticate") == "Bearer");
  CHECK(served.backend.reads == 0);
  const auto refused = served.raw("POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
  CHECK(status_of(refused) == 401);
  CHECK(header_of(refused, "Connection") == "close");
  CHECK(served.backend.writes == 0);
}

TEST_CASE("ambiguous framing is refused and the connection closed") {
  Served served;
  for (const std::string& more : std::vector<std::string>{
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n", "Transfer-Encoding: gzip\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Content-Length: +5\r\n"}) {
    INFO(more);
    Socket socket(served.port);
    socket.send(Served::head("POST /v1/documents", "Idempotency-Key: x\r\n" + more) + "hello");
    socket.finish_sending();
    const auto answer = socket.receive();
    CHECK((status_of(answer) == 400 || answer.empty()));
    CHECK(served.backend.writes == 0);
  }
}

TEST_CASE("a missing, foreign or repeated Host and a foreign Origin are refused") {
  Served served;
  const std::string auth = "Authorization: Bearer " + token + "\r\n";
  const auto with = [&](const std::string& lines) {
    return status_of(served.raw("GET /v1/self HTTP/1.1\r\n" + lines + auth + "\r\n"));
  };
  CHECK(with("") == 400);
  CHECK(with("Host: evil.example\r\n") == 403);
  CHECK(with("Host: localhost\r\nHost: localhost\r\n") == 400);
  CHECK(with("Host: 127.0.0.1:" + std::to_string(served.port) + "\r\n") == 200);
  CHECK(with("Host: TRAM.example.vn\r\n") == 200);
  CHECK(with("Host: localhost\r\nOrigin: https://evil.example\r\n") == 403);
  CHECK(with("Host: localhost\r\nOrigin: null\r\n") == 403);
  CHECK(with("Host: localhost\r\nOrigin: https://tram.example.vn\r\n") == 200);
}

TEST_CASE("methods and oversize are refused before the body") {
  Served served;
  CHECK(status_of(served.raw(Served::head("PUT /v1/documents", "Content-Length: 0\r\n"))) == 405);
  CHECK(status_of(served.raw(Served::head("BREW /v1/documents"))) == 405);
  const auto large =
      served.raw(Served::head("POST /v1/documents", "Idempotency-Key: x\r\nContent-Length: 2000000\r\n"));
  CHECK(status_of(large) == 413);
  CHECK(Json::parse(body_of(large))["code"] == "too_large");
  std::string chunked = Served::head("POST /v1/documents", "Idempotency-Key: x\r\nTransfer-Encoding: chunked\r\n");
  for (int i = 0; i < 25; ++i) chunked += "10000\r\n" + std::string(65536, 'x') + "\r\n";
  CHECK(status_of(served.raw(chunked + "0\r\n\r\n")) == 413);
  CHECK(served.backend.writes == 0);
  const auto options = served.raw(Served::head("OPTIONS /v1/uploads"));
  CHECK(status_of(options) == 204);
  CHECK(header_of(options, "Tus-Version") == "1.0.0");
  CHECK(status_of(served.raw(Served::head("GET /" + std::string(60000, 'a')))) >= 400);
}

TEST_CASE("a document is sent and its repeat replayed") {
  Served served;
  const std::string body = World::submission().dump();
  const auto first = served.post("/v1/documents", body, "one"), second = served.post("/v1/documents", body, "one");
  REQUIRE(status_of(first) == 202);
  CHECK(body_of(first) == body_of(second));
  CHECK(header_of(second, "Idempotency-Replayed") == "true");
}

TEST_CASE("the unix socket knows its own user, and only its owner may open it") {
  Served served;
  struct stat info {};
  REQUIRE(::stat(served.socket_path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  Socket socket(served.socket_path);
  REQUIRE(socket.good());
  socket.send("GET /v1/self HTTP/1.1\r\nHost: anything\r\n\r\n");
  const auto answer = socket.receive();
  REQUIRE(status_of(answer) == 200);
  CHECK(Json::parse(body_of(answer))["principal"]["role"] == "local");
  Socket wrong(served.socket_path);
  wrong.send("GET /v1/self HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n");
  CHECK(status_of(wrong.receive()) == 401);
  auto second = HttpServer::start({{{"unix:" + served.socket_path, "", "", ""}}, {}, 8, 8, seconds(5)}, served.backend,
                                  served.world.log);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::already_running);
  served.server.reset();
  CHECK(::stat(served.socket_path.c_str(), &info) != 0);
}

TEST_CASE("plain HTTP off this machine is refused with the command that mends it") {
  for (const std::string& address :
       std::vector<std::string>{"0.0.0.0:80", "10.1.2.3:8743", "[2001:db8::1]:80", "[::]:80"}) {
    const auto refused = check_http_options({{{address, "", "", ""}}, {}, 8, 8, seconds(5)});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::bad_config);
    CHECK_THAT(refused.error().detail, Catch::Contains("openssl req"));
  }
  for (const std::string& address : std::vector<std::string>{"localhost:80", "127.0.0.1:80", "[::1]:80", "unix:/x"})
    CHECK(check_http_options({{{address, "", "", ""}}, {}, 8, 8, seconds(5)}));
  for (const std::string& address : std::vector<std::string>{"", "unix:", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999",
                                                             "example.vn:80", "[::1:80"}) {
    INFO(address);
    CHECK_FALSE(check_http_options({{{address, "", "", ""}}, {}, 8, 8, seconds(5)}));
  }
}

TEST_CASE("a slow client is let go and keeps nobody waiting") {
  Served served(seconds(1));
  Socket slow(served.port);
  slow.send("GET /v1/self HTTP/1.1\r\nHost: loc");
  CHECK(status_of(served.get("/v1/self")) == 200);
  CHECK(slow.closed_by_peer());
}

TEST_CASE("a hundred requests at a time") {
  Served served;
  served.backend.close_gate();
  std::vector<std::jthread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 100; ++i)
    clients.emplace_back([&] {
      if (status_of(served.get("/v1/self")) == 200) ++good;
    });
  CHECK(served.backend.open_gate_when(100));
  clients.clear();
  CHECK(good == 100);
}

TEST_CASE("an upload goes on where a broken line stopped") {
  Served served;
  std::string content = pdf;
  for (int i = 0; content.size() < 500000; ++i) content += std::to_string(i) + " ";
  const std::string location = served.create_upload(content.size());
  CHECK(served.offset_of(location) == 0);
  {
    Socket broken(served.port);
    broken.send(Served::patch_head(location, 0, content.size()) + content.substr(0, 200000));
  }
  REQUIRE(Served::eventually([&] { return served.offset_of(location) > 0; }));
  const uint64_t offset = served.offset_of(location);
  CHECK(offset <= 200000);

  // A wrong offset, too much, another type: refused, and nothing changes.
  CHECK(status_of(served.raw(Served::patch_head(location, offset + 1, 1) + "x")) == 409);
  CHECK(status_of(served.raw(Served::patch_head(location, offset, content.size()))) == 413);
  CHECK(status_of(served.raw(
            Served::head("PATCH " + location, "Content-Type: text/plain\r\nUpload-Offset: 0\r\nContent-Length: 1\r\n") +
            "x")) == 400);
  CHECK(served.offset_of(location) == offset);

  uint64_t at = offset;
  for (const uint64_t piece : {uint64_t{1}, uint64_t{65535}, uint64_t{131072}, content.size()}) {
    const uint64_t bytes = std::min<uint64_t>(piece, content.size() - at);
    const auto answer = served.raw(Served::patch_head(location, at, bytes) + content.substr(at, bytes));
    REQUIRE(status_of(answer) == 204);
    at += bytes;
    CHECK(header_of(answer, "Upload-Offset") == std::to_string(at));
  }
  REQUIRE(at == content.size());

  Json body = World::submission();
  body["files"] = Json::array({{{"upload", location.substr(location.rfind('/') + 1)}}});
  REQUIRE(status_of(served.post("/v1/documents", body.dump(), "with-upload")) == 202);
  // The document that is being sealed owns it now.
  CHECK(status_of(served.post("/v1/documents", body.dump(), "again")) == 409);
  CHECK(status_of(served.raw(Served::head("DELETE " + location))) == 409);
  const auto done = served.world.seal();
  REQUIRE(done.outcome);
  const auto metadata = proto::decode_metadata(done.record.metadata).value();
  CHECK(metadata.files[0].sha256 == crypto::sha256({view(content)}));
  CHECK(metadata.files[0].name == "a.pdf");
}

TEST_CASE("uploads end, belong to one principal, and are written by one request at a time") {
  Served served;
  const std::string location = served.create_upload(100000);
  Socket first(served.port);
  // "100 Continue" comes once the request has been let in (RFC 9110, 10.1.1).
  first.send(Served::patch_head(location, 0, 100000, "Expect: 100-continue\r\n"));
  REQUIRE(first.receive_head().substr(9, 3) == "100");
  first.send(std::string(1000, 'x'));
  CHECK(status_of(served.raw(Served::patch_head(location, 0, 10) + "0123456789")) == 409);
  first.send(std::string(99000, 'y'));
  CHECK(status_of(first.receive()) == 204);

  Socket local(served.socket_path);
  local.send("HEAD " + location + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  CHECK(status_of(local.receive()) == 404);
  CHECK(status_of(served.raw(Served::head("DELETE " + location))) == 204);
  CHECK(status_of(served.raw(Served::head("DELETE " + location))) == 404);
  CHECK(served.world.bodies.list().value().empty());

  const auto refused = [&](const std::string& more) {
    return status_of(
        served.raw(Served::head("POST /v1/uploads", "Idempotency-Key: r" + std::to_string(++served.serial) +
                                                        "\r\nContent-Length: 0\r\n" + more)));
  };
  CHECK(refused("") == 411);
  CHECK(refused("Upload-Length: 0\r\n") == 415);
  CHECK(refused("Upload-Length: 99999999999999\r\n") == 413);
  CHECK(refused("Upload-Length: 5\r\nUpload-Metadata: filename " + base64("a.exe") + "\r\n") == 415);
  CHECK(refused("Upload-Length: 5\r\nUpload-Metadata: filename !!!\r\n") == 400);
  CHECK(refused("Upload-Length: 5\r\nTus-Resumable: 0.2.2\r\n") == 400);
}

TEST_CASE("a download streams, and a HEAD of it has its length only") {
  Served served;
  REQUIRE(served.world.post("/v1/documents", World::submission()).status == 202);
  const auto arrival = served.world.arrive(served.world.seal());
  const std::string path = "/v1/inbox/" + std::to_string(arrival) + "/files/1";
  const auto whole = served.get(path);
  CHECK(status_of(whole) == 200);
  CHECK(body_of(whole) == pdf);
  const auto part = served.raw(Served::head("GET " + path, "Range: bytes=0-3\r\n"));
  CHECK(status_of(part) == 206);
  CHECK(body_of(part) == "%PDF");
  // Another document of ours by a percent-encoded path and query.
  CHECK(status_of(served.get("/v1/inbox?q=ki%E1%BB%83m+tra")) == 200);
  CHECK(Json::parse(body_of(served.get("/v1/inbox?q=ki%E1%BB%83m+tra")))["items"].size() == 1);
  CHECK(status_of(served.get("/v1/inbox?limit=1&limit=2")) == 400);
}
