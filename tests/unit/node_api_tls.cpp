// The TLS listener: which certificate it shows, its live replacement, and client certificates.
#include <cstdio>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/http_server.h"
#include "tests/unit/node_api_fixture.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using namespace tram::node;
using namespace tram::node::test;

namespace {

const std::string bearer = std::string(63, 'a') + "1";

struct PlainBackend final : HttpBackend {
  explicit PlainBackend(World& w) : world(w) {}
  std::optional<api::Principal> authenticate(const Hash& hash) override {
    if (hash == crypto::sha256({view(bearer)})) return clerk;
    return std::nullopt;
  }
  api::Response read(const api::Request& request) override { return world.read(request); }
  api::Response write(api::Request request) override { return world.write(request); }
  Result<proto::UploadRecord> upload(std::string_view id, const api::Principal& principal) override {
    return api::find_upload(*world.realm.read(), id, principal);
  }
  Bodies& bodies() override { return world.bodies; }
  Time now() override { return world.now; }
  World& world;
};

struct Pair {
  std::string certificate, key;
};

/// What a shell command prints; the commands here are our own.
std::string output_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string out;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, got);
  ::pclose(pipe);
  return out;
}
bool have_openssl() { return output_of("openssl version").substr(0, 7) == "OpenSSL"; }

/// A self-signed certificate of this name that ends after so many days.
Pair make_pair(const std::string& name, int valid_days) {
  tram::test::TemporaryDirectory directory;
  const std::string key = directory / "key";
  Pair pair;
  pair.certificate = output_of("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days " +
                               std::to_string(valid_days) + " -subj /CN=" + name + " -keyout '" + key + "'");
  std::ifstream in(key);
  pair.key.assign(std::istreambuf_iterator<char>(in), {});
  REQUIRE_FALSE(pair.certificate.empty());
  REQUIRE_FALSE(pair.key.empty());
  return pair;
}

void write(const std::string& file, const std::string& text, mode_t mode = 0600) {
  std::ofstream(file, std::ios::trunc) << text;
  REQUIRE(::chmod(file.c_str(), mode) == 0);
}

struct Seen {
  std::string common_name;
  std::string answer;
};

/// One request over TLS by another implementation, with a client certificate if there is one.
Seen ask(uint16_t port, std::optional<Pair> mine = {}) {
  tram::test::TemporaryDirectory directory;
  std::string more;
  if (mine) {
    write(directory / "mine.crt", mine->certificate);
    write(directory / "mine.key", mine->key);
    more = " -cert '" + directory / "mine.crt" + "' -key '" + directory / "mine.key" + "'";
  }
  write(directory / "request",
        "GET /v1/self HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " + bearer + "\r\n\r\n");
  const std::string all = output_of("timeout 20 openssl s_client -ign_eof -connect 127.0.0.1:" + std::to_string(port) +
                                    more + " < '" + directory / "request" + "'");
  Seen seen;
  if (const size_t at = all.find("subject=CN = "); at != std::string::npos)
    seen.common_name = all.substr(at + 13, all.find('\n', at) - at - 13);
  if (const size_t at = all.find("HTTP/1.1 "); at != std::string::npos) seen.answer = all.substr(at);
  return seen;
}

}  // namespace

TEST_CASE("TLS shows its certificate and takes a new one without a restart") {
  if (!have_openssl()) {
    WARN("skipped: no openssl on this machine");
    return;
  }
  World world;
  PlainBackend backend(world);
  tram::test::TemporaryDirectory directory;
  const std::string certificate = directory / "api.crt", key = directory / "api.key";
  const Pair first = make_pair("first", 10), second = make_pair("second", 100);
  write(certificate, first.certificate);
  write(key, first.key);
  HttpOptions options;
  options.listen = {{"0.0.0.0:0", certificate, key, ""}};
  auto server = HttpServer::start(options, backend, world.log);
  REQUIRE(server);
  const uint16_t port = (*server)->ports()[0];
  const auto seen = ask(port);
  CHECK(seen.common_name == "first");
  CHECK_THAT(seen.answer, Catch::StartsWith("HTTP/1.1 200"));
  const Time expires = (*server)->certificate_expires();
  CHECK(expires.ms / 1000 - ::time(nullptr) > 9 * 86400);
  CHECK(expires.ms / 1000 - ::time(nullptr) < 11 * 86400);

  // A key that does not fit is not taken.
  write(key, second.key);
  (*server)->reload_certificates();
  CHECK(ask(port).common_name == "first");
  write(certificate, second.certificate);
  (*server)->reload_certificates();
  CHECK(ask(port).common_name == "second");
  CHECK(expires < (*server)->certificate_expires());
}

TEST_CASE("a TLS listener refuses files it cannot use") {
  if (!have_openssl()) {
    WARN("skipped: no openssl on this machine");
    return;
  }
  World world;
  PlainBackend backend(world);
  tram::test::TemporaryDirectory directory;
  const std::string certificate = directory / "api.crt", key = directory / "api.key";
  const Pair pair = make_pair("x", 10), other = make_pair("y", 10);
  const auto start = [&]() -> ErrorCode {
    auto server = HttpServer::start({{{"0.0.0.0:0", certificate, key, ""}}, {}, 8, 8, seconds(5)}, backend, world.log);
    return server ? ErrorCode{0} : server.error().code;
  };
  CHECK(start() == ErrorCode::bad_config);
  write(certificate, pair.certificate);
  write(key, other.key);
  CHECK(start() == ErrorCode::bad_config);
  write(key, "nonsense");
  CHECK(start() == ErrorCode::bad_config);
  write(key, pair.key, 0644);
  CHECK(start() == ErrorCode::unsafe_permissions);
  write(key, pair.key);
  CHECK(start() == ErrorCode{0});
}

TEST_CASE("where client certificates are asked for, a token alone is not enough") {
  if (!have_openssl()) {
    WARN("skipped: no openssl on this machine");
    return;
  }
  World world;
  PlainBackend backend(world);
  tram::test::TemporaryDirectory directory;
  const std::string certificate = directory / "api.crt", key = directory / "api.key", authority = directory / "ca.crt";
  const Pair mine = make_pair("server", 10), trusted = make_pair("dms", 10), stranger = make_pair("stranger", 10);
  write(certificate, mine.certificate);
  write(key, mine.key);
  write(authority, trusted.certificate);
  HttpOptions options;
  options.listen = {{"0.0.0.0:0", certificate, key, authority}};
  auto server = HttpServer::start(options, backend, world.log);
  REQUIRE(server);
  const uint16_t port = (*server)->ports()[0];
  CHECK_THAT(ask(port, trusted).answer, Catch::StartsWith("HTTP/1.1 200"));
  CHECK_THAT(ask(port).answer, !Catch::StartsWith("HTTP/1.1 200"));
  CHECK_THAT(ask(port, stranger).answer, !Catch::StartsWith("HTTP/1.1 200"));
}
