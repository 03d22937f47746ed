#include "directory/io/daemon/home.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/io/clock.h"
#include "base/io/files.h"
#include "base/io/system_random.h"
#include "base/limits.h"
#include "directory/signing.h"

namespace tram::daemon {
namespace {

constexpr size_t key_file_bytes_max = 65536;
constexpr uint32_t argon_passes = 3;

std::string key_path(const std::string& home) { return home + "/keys.tram"; }
std::string request_path(const std::string& home) { return home + "/enrol.request"; }
std::string next_key_path(const std::string& home) { return home + "/keys-next.tram"; }
std::string next_request_path(const std::string& home) { return home + "/renew.request"; }

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

proto::AgencyKeys public_keys(const crypto::KeyRing& ring) {
  return {crypto::SigningKey(ring.sig_seed).public_key(), crypto::LogKey(ring.log_seed).public_key(),
          crypto::curve_pair_from(ring.curve_secret).public_key};
}

Result<proto::EnrolRequest> read_request(const std::string& path) {
  TRAM_TRY(bytes, io::read_private_file(path, key_file_bytes_max));
  return proto::decode_enrol_request(bytes.view());
}

std::string code_of(const proto::EnrolRequest& request) { return directory::short_code(directory::enrol_request_hash(request.payload)); }

Result<void> rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail(ErrorCode::io_failed, from);
  return {};
}

io::UnlockSource matching(const io::UnlockSource& source, crypto::UnlockKind kind) {
  io::UnlockSource out = source;
  out.raw = kind == crypto::UnlockKind::raw_key;
  return out;
}

/// A key file as it was read, with the secret that opens it.
struct Unlocked {
  io::SecretBytes file, secret;
  crypto::KeyRing ring;
};
Result<Unlocked> unlock(const std::string& home, const io::UnlockSource& source) {
  TRAM_TRY(file, io::read_private_file(key_path(home), key_file_bytes_max));
  TRAM_TRY(kind, crypto::key_file_unlock_kind(file.view()));
  TRAM_TRY(secret, io::read_unlock_secret(matching(source, kind), "Passphrase of the key file: ", false));
  TRAM_TRY(ring, crypto::open_key_file(file.view(), secret.view()));
  return Unlocked{std::move(file), std::move(secret), std::move(ring)};
}

/// A power cut came between the two names of change_keys().
Result<void> settle_request(const std::string& home, const crypto::KeyRing& present) {
  TRAM_TRY(request, read_request(next_request_path(home)));
  TRAM_TRY(payload, directory::check_enrol_request(request));
  return payload.keys == public_keys(present) ? change_keys(home) : Result<void>{};
}

}  // namespace

Result<std::string> make_home(const NewHome& home, const std::string& config_path, const Config& config,
                              proto::EnrolRequestPayload request) {
  if (request.name.empty()) return fail(ErrorCode::bad_request, "--name");
  if (::mkdir(home.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io_failed,
                home.directory + (errno == ENOENT ? ": the folder above it does not exist" : ""));
  if (exists(key_path(home.directory))) return fail(ErrorCode::conflict, home.directory + " holds keys already");
  TRAM_TRY(secret, io::read_unlock_secret(home.unlock, "Passphrase for the new key file: ", true));

  io::SystemRandom random;
  const crypto::KeyRing ring = crypto::make_key_ring(random);
  const auto kind = home.unlock.raw ? crypto::UnlockKind::raw_key : crypto::UnlockKind::passphrase;
  TRAM_TRY(sealed, crypto::seal_key_file(ring, kind, secret.view(), {argon_passes, home.argon_memory_bytes}, random));

  request.keys = public_keys(ring);
  request.created = io::wall_now();
  const auto signed_request = directory::make_enrol_request(request, crypto::SigningKey(ring.sig_seed));

  TRAM_OK(io::write_private_file_atomic(key_path(home.directory), sealed, io::Replace::refused));
  TRAM_OK(io::write_private_file_atomic(config_path, view(print_config(config))));
  TRAM_OK(io::write_private_file_atomic(request_path(home.directory), proto::encode_enrol_request(signed_request)));
  return code_of(signed_request);
}

Result<crypto::KeyRing> open_key_ring(const std::string& home, const io::UnlockSource& source) {
  TRAM_TRY(unlocked, unlock(home, source));
  return std::move(unlocked.ring);
}

Result<KeyRings> open_key_rings(const std::string& home, const io::UnlockSource& source) {
  TRAM_TRY(unlocked, unlock(home, source));
  KeyRings rings{std::move(unlocked.ring), {}};
  if (!exists(next_key_path(home))) return rings;
  TRAM_TRY(file, io::read_private_file(next_key_path(home), key_file_bytes_max));
  TRAM_TRY(next, crypto::open_key_file(file.view(), unlocked.secret.view()));
  rings.next = std::move(next);
  return rings;
}

Result<std::string> renew_keys(const Renewal& renewal) {
  const std::string& home = renewal.directory;
  TRAM_TRY(unlocked, unlock(home, renewal.unlock));
  const std::string key_file = next_key_path(home), request_file = next_request_path(home);
  if (!exists(key_file) && exists(request_file)) TRAM_OK(settle_request(home, unlocked.ring));
  // Without a request they have never left this machine.
  if (exists(key_file) && exists(request_file) && !renewal.again) {
    TRAM_TRY(waiting, read_request(request_file));
    return fail(ErrorCode::conflict, "new keys wait for the authority's approval already: " + request_file + ", code " + code_of(waiting) +
                                         "; when it will not come, --again makes others");
  }
  TRAM_TRY(first, read_request(request_path(home)));
  TRAM_TRY(payload, directory::check_enrol_request(first));

  io::SystemRandom random;
  crypto::KeyRing next = crypto::make_key_ring(random);
  next.storage_key = unlocked.ring.storage_key.clone();
  next.hedge_secret = unlocked.ring.hedge_secret.clone();
  TRAM_TRY(kind, crypto::key_file_unlock_kind(unlocked.file.view()));
  TRAM_TRY(cost, crypto::key_file_unlock_cost(unlocked.file.view()));
  TRAM_TRY(sealed, crypto::seal_key_file(next, kind, unlocked.secret.view(), cost, random));
  payload.keys = public_keys(next);
  payload.created = io::wall_now();
  const auto request = directory::make_enrol_request(payload, crypto::SigningKey(next.sig_seed));

  // A request is there only while its keys are.
  if (::unlink(request_file.c_str()) != 0 && errno != ENOENT) return fail(ErrorCode::io_failed, request_file);
  TRAM_OK(io::sync_directory(home));
  TRAM_OK(io::write_private_file_atomic(key_file, sealed));
  TRAM_OK(io::write_private_file_atomic(request_file, proto::encode_enrol_request(request)));
  return code_of(request);
}

Result<void> change_keys(const std::string& home) {
  if (exists(next_key_path(home))) TRAM_OK(rename_file(next_key_path(home), key_path(home)));
  TRAM_OK(io::sync_directory(home));
  if (exists(next_request_path(home))) TRAM_OK(rename_file(next_request_path(home), request_path(home)));
  return io::sync_directory(home);
}

bool are_keys(const crypto::KeyRing& ring, const proto::AgencyKeys& keys) { return public_keys(ring) == keys; }

Result<void> check_key_file(const std::string& home) {
  TRAM_TRY(file, io::read_private_file(key_path(home), key_file_bytes_max));
  TRAM_OK(crypto::key_file_unlock_kind(file.view()));
  return {};
}

Result<Answer> read_answer(const std::string& home, const std::string& approval_file, const io::UnlockSource& source,
                           const std::optional<RealmId>& realm) {
  TRAM_TRY(approval_bytes, io::read_file(approval_file, limits::approval_bytes_max));
  TRAM_TRY(approval, proto::decode_approval(approval_bytes));
  TRAM_TRY(request, read_request(request_path(home)));
  bool renewal = false;
  if (exists(next_request_path(home))) {
    TRAM_TRY(next, read_request(next_request_path(home)));
    renewal = approval.request == directory::enrol_request_hash(next.payload);
    if (renewal) request = std::move(next);
  }
  TRAM_OK(directory::check_answer(approval, request, realm));
  TRAM_TRY(rings, open_key_rings(home, source));
  // Killed between the two names of change_keys(), the next keys are the present ones already.
  return Answer{std::move(approval), std::move(renewal && rings.next ? *rings.next : rings.present), renewal};
}

Accepted accepted(const proto::Approval& approval, const directory::Directory& directory, const std::string& name) {
  return {approval.realm, directory.root_change().realm_name, directory.practice(), approval.party, name, directory.size()};
}

}  // namespace tram::daemon
