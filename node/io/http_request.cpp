#include "node/io/http_request.h"

#include <algorithm>
#include <array>

#include "crypto/hash.h"
#include "node/io/http_address.h"
#include "node/io/http_tls.h"

namespace tram::node::http {
namespace {

constexpr std::array<std::string_view, 6> methods{"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"};
constexpr size_t headers_max = 64;
constexpr size_t parameters_max = 32;

struct Collected {
  std::map<std::string, std::string> values;
  std::string repeated;  // a name that came twice
  bool broken = false;   // a value with a NUL, a name that is no token, too many
  size_t max = 0;
  bool lower = false;
};

MHD_Result collect(void* cls, MHD_ValueKind, const char* key, size_t key_bytes, const char* value, size_t value_bytes) {
  auto& out = *static_cast<Collected*>(cls);
  std::string name(key, key_bytes);
  const std::string_view text(value ? value : "", value ? value_bytes : 0);
  if (out.lower)
    for (char& c : name) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
      if (c <= ' ' || c >= 0x7f || c == ':') out.broken = true;
    }
  if (text.find('\0') != std::string_view::npos || out.values.size() >= out.max) out.broken = true;
  if (!out.values.emplace(name, text).second) out.repeated = name;
  return MHD_YES;
}

Collected gather(MHD_Connection* connection, MHD_ValueKind kind, size_t max) {
  Collected out;
  out.max = max;
  out.lower = kind == MHD_HEADER_KIND;
  MHD_get_connection_values_n(connection, kind, &collect, &out);
  return out;
}

Result<void> check_framing(Incoming& incoming) {
  const auto& headers = incoming.request.headers;
  const auto length = headers.find("content-length");
  const auto encoding = headers.find("transfer-encoding");
  if (length != headers.end() && encoding != headers.end())
    return fail(ErrorCode::bad_request, "Content-Length and Transfer-Encoding together");
  if (encoding != headers.end()) {
    if (encoding->second != "chunked") return fail(ErrorCode::bad_request, "Transfer-Encoding: only chunked");
    incoming.chunked = true;
  }
  if (length != headers.end()) {
    const std::string& text = length->second;
    if (text.empty() || text.size() > 15 || text.find_first_not_of("0123456789") != std::string::npos)
      return fail(ErrorCode::bad_request, "Content-Length");
    incoming.content_length = std::stoull(text);
  }
  return {};
}

Result<void> check_origin(const api::Request& request, const Door& door) {
  if (door.unix_socket) return {};
  const auto host = request.headers.find("host");
  if (host == request.headers.end() || !door.hosts.count(host_part(host->second)))
    return fail(ErrorCode::forbidden, "Host is not one of this node's names; add it to api.host_names");
  const auto origin = request.headers.find("origin");
  if (origin == request.headers.end()) return {};
  const size_t scheme = origin->second.find("://");
  if (scheme == std::string::npos || !door.hosts.count(host_part(std::string_view(origin->second).substr(scheme + 3))))
    return fail(ErrorCode::forbidden, "Origin");
  return {};
}

}  // namespace

Result<void> read_head(MHD_Connection* connection, const Door& door, const char* url, const char* method,
                       Incoming& out) {
  out.request.method = method;
  out.request.path = url;
  auto headers = gather(connection, MHD_HEADER_KIND, headers_max);
  out.request.headers = std::move(headers.values);
  auto query = gather(connection, MHD_GET_ARGUMENT_KIND, parameters_max);
  out.request.query = std::move(query.values);
  // Cookie, Accept and the like may repeat by their grammar; none of them is read here, so repetition is refused for
  // all but those that proxies split.
  if (!headers.repeated.empty() && headers.repeated != "cookie" && headers.repeated != "accept" &&
      headers.repeated != "via")
    return fail(ErrorCode::bad_request, "a header twice: " + headers.repeated.substr(0, 40));
  if (headers.broken) return fail(ErrorCode::bad_request, "headers");
  if (!query.repeated.empty() || query.broken) return fail(ErrorCode::bad_request, "query");
  TRAM_OK(check_framing(out));
  if (std::find(methods.begin(), methods.end(), out.request.method) == methods.end())
    return fail(ErrorCode::method_not_allowed, "only GET, HEAD, POST, PATCH, DELETE, OPTIONS");
  return check_origin(out.request, door);
}

Result<api::Principal> authenticate(MHD_Connection* connection, const Door& door, const api::Request& request,
                                    HttpBackend& backend) {
  if (door.client_certificate) {
    const auto* session = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (!session || !peer_is_trusted(session->tls_session))
      return fail(ErrorCode::unauthorized, "a client certificate of the trusted authority is required");
  }
  const auto header = request.headers.find("authorization");
  if (header != request.headers.end()) {
    constexpr std::string_view scheme = "bearer ";
    const std::string& value = header->second;
    const bool bearer = value.size() > scheme.size() && value.size() < 256 &&
                        std::equal(scheme.begin(), scheme.end(), value.begin(),
                                   [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
    if (bearer)
      if (auto principal = backend.authenticate(crypto::sha256({view(std::string_view(value).substr(scheme.size()))})))
        return std::move(*principal);
    return fail(ErrorCode::unauthorized, "the token is not known");
  }
  if (door.unix_socket)
    if (const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        info && is_own_user(info->connect_fd))
      return api::Principal{"local", "local"};
  return fail(ErrorCode::unauthorized, "Authorization: Bearer <token>");
}

}  // namespace tram::node::http
