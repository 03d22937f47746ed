#include "node/io/http_address.h"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace tram::node::http {
namespace {

constexpr std::string_view unix_prefix = "unix:";

tl::unexpected<Error> bad(const std::string& text, const char* why) {
  return fail(ErrorCode::bad_config, "api.listen " + text + ": " + why);
}

tl::unexpected<Error> system_failure(const std::string& what) {
  return fail(ErrorCode::io_failed, what + ": " + std::strerror(errno));
}

struct Closer {
  int fd;
  ~Closer() {
    if (fd >= 0) ::close(fd);
  }
  int release() {
    const int out = fd;
    fd = -1;
    return out;
  }
};

Result<int> listen_unix(const Address& address, int backlog) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (address.path.size() >= sizeof name.sun_path) return bad(address.path, "the path is longer than 107 bytes");
  std::memcpy(name.sun_path, address.path.data(), address.path.size());
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&name));
  {
    Closer probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (probe.fd < 0) return system_failure("socket");
    if (::connect(probe.fd, generic, sizeof name) == 0) return fail(ErrorCode::already_running, address.path);
  }
  struct stat info {};
  if (::lstat(address.path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return bad(address.path, "there is a file of that name");
    ::unlink(address.path.c_str());
  }
  Closer listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (listener.fd < 0) return system_failure("socket");
  const mode_t old = ::umask(0177);
  const int bound = ::bind(listener.fd, generic, sizeof name);
  ::umask(old);
  if (bound != 0 || ::listen(listener.fd, backlog) != 0) return system_failure(address.path);
  return listener.release();
}

Result<int> listen_tcp(const Address& address, int backlog) {
  Closer listener{::socket(address.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (listener.fd < 0) return system_failure("socket");
  const int on = 1;
  ::setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in6 six{};
  sockaddr_in four{};
  const void* name = &four;
  socklen_t bytes = sizeof four;
  if (address.ipv6) {
    ::setsockopt(listener.fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(address.port);
    ::inet_pton(AF_INET6, address.host.c_str(), &six.sin6_addr);
    name = &six;
    bytes = sizeof six;
  } else {
    four.sin_family = AF_INET;
    four.sin_port = htons(address.port);
    ::inet_pton(AF_INET, address.host.c_str(), &four.sin_addr);
  }
  if (::bind(listener.fd, static_cast<const sockaddr*>(name), bytes) != 0 || ::listen(listener.fd, backlog) != 0)
    return system_failure(address.host + ":" + std::to_string(address.port));
  return listener.release();
}

}  // namespace

Result<Address> parse_address(const std::string& text) {
  Address out;
  if (text.substr(0, unix_prefix.size()) == unix_prefix) {
    out.unix_socket = true;
    out.path = text.substr(unix_prefix.size());
    if (out.path.empty()) return bad(text, "names no path");
    return out;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return bad(text, "needs a port, as 127.0.0.1:8743");
  out.host = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos ||
      std::stoul(port) > 65535)
    return bad(text, "the port is not a number up to 65535");
  out.port = static_cast<uint16_t>(std::stoul(port));
  if (out.host == "localhost") out.host = "127.0.0.1";
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
    out.ipv6 = true;
    in6_addr raw{};
    if (::inet_pton(AF_INET6, out.host.c_str(), &raw) != 1) return bad(text, "not an IPv6 address");
    out.loopback = IN6_IS_ADDR_LOOPBACK(&raw);
    return out;
  }
  in_addr raw{};
  if (::inet_pton(AF_INET, out.host.c_str(), &raw) != 1)
    return bad(text, "not an IP address; host names go into api.host_names");
  out.loopback = ntohl(raw.s_addr) >> 24 == 127;
  return out;
}

Result<int> listen_on(const Address& address, int backlog) {
  return address.unix_socket ? listen_unix(address, backlog) : listen_tcp(address, backlog);
}

uint16_t port_of(int fd) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof name;
  void* raw = &name;
  if (::getsockname(fd, static_cast<sockaddr*>(raw), &bytes) != 0) return 0;
  if (name.ss_family == AF_INET) return ntohs(static_cast<sockaddr_in*>(raw)->sin_port);
  if (name.ss_family == AF_INET6) return ntohs(static_cast<sockaddr_in6*>(raw)->sin6_port);
  return 0;
}

bool is_own_user(int fd) {
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

std::string host_part(std::string_view host) {
  if (!host.empty() && host.front() == '[') {
    const size_t end = host.find(']');
    host = end == std::string_view::npos ? std::string_view() : host.substr(1, end - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  std::string out(host);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

}  // namespace tram::node::http

namespace tram::node {

Result<void> check_http_options(const HttpOptions& options) {
  if (options.listen.empty()) return fail(ErrorCode::bad_config, "api.listen: names no address");
  for (const auto& listen : options.listen) {
    TRAM_TRY(address, http::parse_address(listen.address));
    if (address.unix_socket || address.loopback) continue;
    if (listen.certificate_file.empty() || listen.key_file.empty())
      return fail(ErrorCode::bad_config,
                  "api.listen " + listen.address +
                      ": plain HTTP leaves this machine; give it a certificate: set api.certificate_file and " +
                      "api.key_file, for a trial made by: openssl req -x509 -newkey ec -pkeyopt "
                      "ec_paramgen_curve:P-256 -nodes -days 365 " +
                      "-subj /CN=tram -addext subjectAltName=IP:" + address.host +
                      " -keyout api.key -out api.crt && chmod 600 api.key; or listen on 127.0.0.1");
  }
  return {};
}

}  // namespace tram::node
