#include "node/io/http_tls.h"

#include <cstring>
#include <deque>
#include <fstream>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <map>
#include <mutex>
#include <sstream>
#include <sys/stat.h>
#include <vector>

#include "node/io/http_address.h"

namespace tram::node::http {
namespace {

constexpr unsigned chain_max = 8;
constexpr size_t generations_kept = 8;  // handshakes last seconds, reloads come minutes apart

tl::unexpected<Error> bad(const std::string& what, int code) {
  return fail(ErrorCode::bad_config, what + ": " + gnutls_strerror(code));
}

/// One certificate chain with its key.
class Generation {
 public:
  Generation() = default;
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;
  ~Generation() {
    for (unsigned i = 0; i < count_; ++i) gnutls_pcert_deinit(&chain_[i]);
    if (key_) gnutls_privkey_deinit(key_);
  }

  Result<void> load(const std::string& certificate_file, const std::string& key_file) {
    TRAM_TRY(certificate, read_pem(certificate_file));
    TRAM_TRY(key, read_pem(key_file));
    const gnutls_datum_t certificate_datum = datum(certificate), key_datum = datum(key);
    unsigned count = chain_max;
    if (int rc = gnutls_pcert_list_import_x509_raw(chain_, &count, &certificate_datum, GNUTLS_X509_FMT_PEM, 0); rc < 0)
      return bad(certificate_file, rc);
    count_ = count;
    if (count_ == 0) return fail(ErrorCode::bad_config, certificate_file + ": holds no certificate");
    if (int rc = gnutls_privkey_init(&key_); rc < 0) return bad(key_file, rc);
    const int imported = gnutls_privkey_import_x509_raw(key_, &key_datum, GNUTLS_X509_FMT_PEM, nullptr, 0);
    std::fill(key.begin(), key.end(), '\0');
    if (imported < 0) return bad(key_file, imported);
    if (!fits()) return fail(ErrorCode::bad_config, key_file + ": is not the key of " + certificate_file);
    return read_expiry(certificate_datum, certificate_file);
  }

  gnutls_pcert_st* chain() { return chain_; }
  unsigned count() const { return count_; }
  gnutls_privkey_t key() const { return key_; }
  Time expires() const { return expires_; }

 private:
  static gnutls_datum_t datum(std::string& text) {
    void* raw = text.data();
    return {static_cast<unsigned char*>(raw), static_cast<unsigned>(text.size())};
  }

  bool fits() const {
    gnutls_pubkey_t mine = nullptr;
    if (gnutls_pubkey_init(&mine) < 0) return false;
    unsigned char a[64], b[64];
    size_t a_bytes = sizeof a, b_bytes = sizeof b;
    const bool same = gnutls_pubkey_import_privkey(mine, key_, 0, 0) >= 0 &&
                      gnutls_pubkey_get_key_id(mine, GNUTLS_KEYID_USE_SHA256, a, &a_bytes) >= 0 &&
                      gnutls_pubkey_get_key_id(chain_[0].pubkey, GNUTLS_KEYID_USE_SHA256, b, &b_bytes) >= 0 &&
                      a_bytes == b_bytes && std::memcmp(a, b, a_bytes) == 0;
    gnutls_pubkey_deinit(mine);
    return same;
  }

  Result<void> read_expiry(const gnutls_datum_t& pem, const std::string& file) {
    gnutls_x509_crt_t certificate = nullptr;
    if (int rc = gnutls_x509_crt_init(&certificate); rc < 0) return bad(file, rc);
    const int rc = gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM);
    const time_t at = rc < 0 ? -1 : gnutls_x509_crt_get_expiration_time(certificate);
    gnutls_x509_crt_deinit(certificate);
    if (at < 0) return fail(ErrorCode::bad_config, file + ": no expiry");
    expires_ = Time{static_cast<int64_t>(at) * 1000};
    return {};
  }

  gnutls_pcert_st chain_[chain_max]{};
  unsigned count_ = 0;
  gnutls_privkey_t key_ = nullptr;
  Time expires_;
};

class LiveCertificates;
std::mutex ports_mutex;
std::map<uint16_t, LiveCertificates*> ports;

/// What tells that a file is another one than before.
struct Stamp {
  int64_t modified_ns = 0;
  uint64_t inode = 0;
  int64_t bytes = 0;
  bool operator==(const Stamp&) const = default;
};
Stamp stamp_of(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return {info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec, info.st_ino, info.st_size};
}

class LiveCertificates final : public Certificates {
 public:
  LiveCertificates(std::string certificate_file, std::string key_file)
      : certificate_file_(std::move(certificate_file)), key_file_(std::move(key_file)) {}
  ~LiveCertificates() override {
    std::lock_guard lock(ports_mutex);
    for (auto it = ports.begin(); it != ports.end();) it = it->second == this ? ports.erase(it) : std::next(it);
  }

  Result<void> read() {
    const Stamp certificate = stamp_of(certificate_file_), key = stamp_of(key_file_);
    struct stat info {};
    if (::stat(key_file_.c_str(), &info) == 0 && (info.st_mode & 077))
      return fail(ErrorCode::unsafe_permissions, key_file_);
    auto fresh = std::make_unique<Generation>();
    TRAM_OK(fresh->load(certificate_file_, key_file_));
    std::lock_guard lock(mutex_);
    generations_.push_back(std::move(fresh));
    if (generations_.size() > generations_kept) generations_.pop_front();
    certificate_stamp_ = certificate;
    key_stamp_ = key;
    return {};
  }

  Result<bool> reload() override {
    if (stamp_of(certificate_file_) == certificate_stamp_ && stamp_of(key_file_) == key_stamp_) return false;
    TRAM_OK(read());
    return true;
  }
  Time expires() const override {
    std::lock_guard lock(mutex_);
    return generations_.back()->expires();
  }
  void serve_port(uint16_t port) override {
    std::lock_guard lock(ports_mutex);
    ports[port] = this;
  }
  Generation* current() {
    std::lock_guard lock(mutex_);
    return generations_.back().get();
  }

 private:
  std::string certificate_file_, key_file_;
  mutable std::mutex mutex_;
  std::deque<std::unique_ptr<Generation>> generations_;
  Stamp certificate_stamp_, key_stamp_;
};

int give_certificate(gnutls_session_t session, const gnutls_datum_t*, int, const gnutls_pk_algorithm_t*, int,
                     gnutls_pcert_st** chain, unsigned* count, gnutls_privkey_t* key) {
  const uint16_t port = port_of(gnutls_transport_get_int(session));
  std::lock_guard lock(ports_mutex);
  const auto found = ports.find(port);
  if (found == ports.end()) return -1;
  Generation* generation = found->second->current();
  *chain = generation->chain();
  *count = generation->count();
  *key = generation->key();
  return 0;
}

}  // namespace

Result<std::unique_ptr<Certificates>> Certificates::load(std::string certificate_file, std::string key_file) {
  auto live = std::make_unique<LiveCertificates>(std::move(certificate_file), std::move(key_file));
  TRAM_OK(live->read());
  return std::unique_ptr<Certificates>(std::move(live));
}

void* certificate_callback() {
  gnutls_certificate_retrieve_function2* function = &give_certificate;
  void* generic = nullptr;
  static_assert(sizeof generic == sizeof function);
  std::memcpy(&generic, &function, sizeof generic);
  return generic;
}

bool peer_is_trusted(void* session) {
  unsigned status = 0;
  return gnutls_certificate_verify_peers2(static_cast<gnutls_session_t>(session), &status) >= 0 && status == 0;
}

Result<std::string> read_pem(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) return fail(ErrorCode::bad_config, file + ": cannot be read");
  return text.str();
}

}  // namespace tram::node::http
