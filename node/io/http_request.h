// From a libmicrohttpd connection to a checked Request (H3, H7). Private to the server. Thread: the connection's.
#pragma once
#include <microhttpd.h>
#include <set>

#include "node/io/http_server.h"

namespace tram::node::http {

/// What one listener demands.
struct Door {
  bool unix_socket = false;
  bool client_certificate = false;
  std::set<std::string> hosts;  // Host and Origin; not asked for on a unix socket
};

struct Incoming {
  api::Request request;  // without body and principal
  std::optional<uint64_t> content_length;
  bool chunked = false;
};

/// Method, path, query, headers; refuses ambiguous framing, repeated headers and parameters, foreign Host and Origin.
/// Errors: bad_request, method_not_allowed, forbidden. `out` holds what was understood even then.
Result<void> read_head(MHD_Connection*, const Door&, const char* url, const char* method, Incoming& out);

/// Errors: unauthorized.
Result<api::Principal> authenticate(MHD_Connection*, const Door&, const api::Request&, HttpBackend&);

}  // namespace tram::node::http
