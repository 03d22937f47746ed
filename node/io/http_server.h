// The HTTP/1.1 server of a node over libmicrohttpd: a unix socket for the machine's own programs, loopback TCP with
// bearer tokens, TLS (and only TLS) on any other address.
// Invariants: no request reaches the backend unauthenticated; CL+TE, repeated or odd lengths, unknown methods and
// foreign Host or Origin are refused and the connection closed (H3, H7); a refused upload is refused before its body
// (H5); memory per request is bounded (JSON 1 MiB, one 64 KiB slot of an upload).
// Not here: routes (node/api), the loop. Threads: one per connection, made on demand; the backend is called from them.
// Stop the server before the loop: the last bytes of a broken upload are still committed through the backend.
#pragma once
#include <memory>

#include "base/result.h"
#include "node/api/api.h"

namespace tram::node {

/// What the server asks of the node. Called from many threads at once; write() blocks until its transaction is durable.
class HttpBackend {
 public:
  virtual ~HttpBackend() = default;
  /// Whose token has this SHA-256; nothing when nobody's.
  virtual std::optional<api::Principal> authenticate(const Hash& token_sha256) = 0;
  virtual api::Response read(const api::Request&) = 0;
  virtual api::Response write(api::Request) = 0;
  /// api::find_upload over a transaction of its own.
  virtual Result<proto::UploadRecord> upload(std::string_view id, const api::Principal&) = 0;
  virtual Bodies& bodies() = 0;
  /// For problem "clock"; certificate warnings.
  virtual Time now() = 0;
};

struct HttpListen {
  std::string address;           // "unix:/run/tram/api.sock", "127.0.0.1:8743", "[::1]:8743", "10.1.2.3:8743"
  std::string certificate_file;  // PEM; required off loopback, read again when it changes
  std::string key_file;          // PEM, mode 0600
  std::string client_ca_file;    // PEM; when set, clients must present a certificate from it
};

struct HttpOptions {
  std::vector<HttpListen> listen;
  std::vector<std::string> host_names;  // accepted in Host and Origin besides the listen addresses and localhost
  unsigned connections_max = 512;
  unsigned connections_per_ip_max = 128;
  Duration idle_timeout = seconds(30);
};

/// Checks the addresses without opening anything. Error: bad_config; for plain HTTP off loopback the detail is the
/// command that mends it.
Result<void> check_http_options(const HttpOptions&);

class HttpServer {
 public:
  /// Listens at once. Errors: bad_config, unsafe_permissions (key file), io_failed (address in use).
  static Result<std::unique_ptr<HttpServer>> start(HttpOptions, HttpBackend&, Log&);
  virtual ~HttpServer() = default;
  /// Looks for new certificate files and reads them; a broken pair is logged and the old one stays. Call every minute.
  virtual void reload_certificates() = 0;
  /// The earliest expiry among the certificates; 0 without TLS.
  virtual Time certificate_expires() const = 0;
  /// The TCP ports listened on, in the order of the options; 0 for unix sockets.
  virtual std::vector<uint16_t> ports() const = 0;
  /// Ends all connections; the destructor does it too.
  virtual void stop() = 0;
};

}  // namespace tram::node
