// Listen addresses of the local API: what may be listened on and what must be encrypted. Opens the sockets.
// Thread: any; values only.
#pragma once
#include "node/io/http_server.h"

namespace tram::node::http {

struct Address {
  bool unix_socket = false;
  std::string path;  // unix
  std::string host;  // numeric, without brackets
  uint16_t port = 0;
  bool ipv6 = false;
  bool loopback = false;
};
/// Error: bad_config.
Result<Address> parse_address(const std::string& text);
/// A listening descriptor. A stale unix socket is replaced; a live one is already_running. Errors: io_failed.
Result<int> listen_on(const Address& address, int backlog);
/// The port a TCP descriptor got.
uint16_t port_of(int fd);
/// Whether the peer of a unix connection is this process's user or root (SO_PEERCRED).
bool is_own_user(int fd);

/// "example.vn:8743", "[::1]:8743", "localhost" -> the host without port and brackets, in lower case.
std::string host_part(std::string_view host_header);

}  // namespace tram::node::http
