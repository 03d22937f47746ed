// The certificate of one TLS listener: loaded from PEM files, handed to GnuTLS for every handshake, replaced live.
// Invariants: a handshake under way keeps the generation it was given; a pair that does not fit is never installed.
// Thread: any.
#pragma once
#include <memory>

#include "base/result.h"
#include "base/time.h"

namespace tram::node::http {

class Certificates {
 public:
  /// Errors: bad_config (unreadable, or key and certificate do not fit), unsafe_permissions (others can read the key).
  static Result<std::unique_ptr<Certificates>> load(std::string certificate_file, std::string key_file);
  virtual ~Certificates() = default;
  /// True when changed files were read and installed; the old pair stays on an error.
  virtual Result<bool> reload() = 0;
  virtual Time expires() const = 0;
  /// Handshakes on connections accepted at this port use this object, until it goes.
  virtual void serve_port(uint16_t port) = 0;
};

/// A function for MHD_OPTION_HTTPS_CERT_CALLBACK, as a generic pointer.
void* certificate_callback();
/// Whether the peer of this gnutls_session_t presented a certificate that its trust list accepts.
bool peer_is_trusted(void* session);
/// The file's text. Error: bad_config.
Result<std::string> read_pem(const std::string& file);

}  // namespace tram::node::http
