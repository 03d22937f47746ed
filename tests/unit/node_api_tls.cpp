// The TLS listener: which certificate it shows, its live replacement, and client certificates.
#include <arpa/inet.h>
#include <fstream>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/http_server.h"
#include "tests/unit/node_api_fixture.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using namespace tram::node;
using namespace tram::node::test;

namespace {

const std::string token = std::string(63, 'a') + "1";

struct PlainBackend final : HttpBackend {
  explicit PlainBackend(World& w) : world(w) {}
  std::optional<api::Principal> authenticate(const Hash& hash) override {
    if (hash == crypto::sha256({view(token)})) return clerk;
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

std::string pem(int (*exporter)(gnutls_x509_crt_t, gnutls_x509_crt_fmt_t, gnutls_datum_t*),
                gnutls_x509_crt_t certificate) {
  gnutls_datum_t out{};
  REQUIRE(exporter(certificate, GNUTLS_X509_FMT_PEM, &out) >= 0);
  const void* raw = out.data;
  std::string text(static_cast<const char*>(raw), out.size);
  gnutls_free(out.data);
  return text;
}

struct Pair {
  std::string certificate, key;
};

/// A self-signed certificate of this name that ends after so many days.
Pair make_pair(const char* name, int64_t valid_days, unsigned serial) {
  gnutls_x509_privkey_t key = nullptr;
  gnutls_x509_crt_t certificate = nullptr;
  REQUIRE(gnutls_x509_privkey_init(&key) >= 0);
  REQUIRE(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) >= 0);
  REQUIRE(gnutls_x509_crt_init(&certificate) >= 0);
  gnutls_x509_crt_set_version(certificate, 3);
  gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                static_cast<unsigned>(std::strlen(name)));
  gnutls_x509_crt_set_serial(certificate, &serial, sizeof serial);
  gnutls_x509_crt_set_activation_time(certificate, ::time(nullptr) - 60);
  gnutls_x509_crt_set_expiration_time(certificate, ::time(nullptr) + valid_days * 86400);
  gnutls_x509_crt_set_basic_constraints(certificate, 1, -1);
  gnutls_x509_crt_set_key(certificate, key);
  REQUIRE(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0) >= 0);
  gnutls_datum_t out{};
  REQUIRE(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &out) >= 0);
  const void* raw = out.data;
  Pair pair{pem(&gnutls_x509_crt_export2, certificate), std::string(static_cast<const char*>(raw), out.size)};
  gnutls_free(out.data);
  gnutls_x509_crt_deinit(certificate);
  gnutls_x509_privkey_deinit(key);
  return pair;
}

void write(const std::string& file, const std::string& text, mode_t mode = 0600) {
  std::ofstream(file, std::ios::trunc) << text;
  REQUIRE(::chmod(file.c_str(), mode) == 0);
}

gnutls_datum_t datum(std::string& text) {
  void* raw = text.data();
  return {static_cast<unsigned char*>(raw), static_cast<unsigned>(text.size())};
}

struct Seen {
  std::string common_name;
  std::string answer;
};

/// One request over TLS, with a client certificate if there is one.
Seen ask(uint16_t port, std::optional<Pair> mine = {}) {
  Seen seen;
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const void* address = &to;
  REQUIRE(::connect(fd, static_cast<const sockaddr*>(address), sizeof to) == 0);
  gnutls_certificate_credentials_t credentials = nullptr;
  gnutls_session_t session = nullptr;
  gnutls_certificate_allocate_credentials(&credentials);
  if (mine) {
    const auto certificate = datum(mine->certificate), key = datum(mine->key);
    REQUIRE(gnutls_certificate_set_x509_key_mem(credentials, &certificate, &key, GNUTLS_X509_FMT_PEM) >= 0);
  }
  gnutls_init(&session, GNUTLS_CLIENT);
  gnutls_set_default_priority(session);
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_transport_set_int(session, fd);
  gnutls_handshake_set_timeout(session, 10000);
  int done = GNUTLS_E_AGAIN;
  while (done < 0 && !gnutls_error_is_fatal(done)) done = gnutls_handshake(session);
  if (done >= 0) {
    unsigned count = 0;
    const gnutls_datum_t* chain = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t certificate = nullptr;
    gnutls_x509_crt_init(&certificate);
    gnutls_x509_crt_import(certificate, chain, GNUTLS_X509_FMT_DER);
    char name[64];
    size_t bytes = sizeof name;
    gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &bytes);
    seen.common_name.assign(name, bytes);
    gnutls_x509_crt_deinit(certificate);
    const std::string request =
        "GET /v1/self HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer " + token + "\r\n\r\n";
    gnutls_record_send(session, request.data(), request.size());
    gnutls_record_set_timeout(session, 10000);
    char buffer[4096];
    for (ssize_t got; (got = gnutls_record_recv(session, buffer, sizeof buffer)) > 0 || got == GNUTLS_E_AGAIN;)
      if (got > 0) seen.answer.append(buffer, static_cast<size_t>(got));
  }
  gnutls_deinit(session);
  gnutls_certificate_free_credentials(credentials);
  ::close(fd);
  return seen;
}

}  // namespace

TEST_CASE("TLS shows its certificate and takes a new one without a restart") {
  World world;
  PlainBackend backend(world);
  tram::test::TemporaryDirectory directory;
  const std::string certificate = directory / "api.crt", key = directory / "api.key";
  const Pair first = make_pair("first", 10, 1), second = make_pair("second", 100, 2);
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
  World world;
  PlainBackend backend(world);
  tram::test::TemporaryDirectory directory;
  const std::string certificate = directory / "api.crt", key = directory / "api.key";
  const Pair pair = make_pair("x", 10, 1), other = make_pair("y", 10, 2);
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
  World world;
  PlainBackend backend(world);
  tram::test::TemporaryDirectory directory;
  const std::string certificate = directory / "api.crt", key = directory / "api.key", authority = directory / "ca.crt";
  const Pair mine = make_pair("server", 10, 1), trusted = make_pair("dms", 10, 2),
             stranger = make_pair("stranger", 10, 3);
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
