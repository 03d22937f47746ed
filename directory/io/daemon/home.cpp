#include "directory/io/daemon/home.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/io/clock.h"
#include "base/io/system_random.h"
#include "base/limits.h"
#include "directory/signing.h"

namespace tram::daemon {
namespace {

constexpr size_t key_file_bytes_max = 65536;
constexpr uint32_t argon_passes = 3;

std::string key_path(const std::string& home) { return home + "/keys.tram"; }
std::string request_path(const std::string& home) { return home + "/enrol.request"; }

}  // namespace

Result<std::string> make_home(const NewHome& home, const std::string& config_path, const Config& config,
                              proto::EnrolRequestPayload request) {
  if (request.name.empty()) return fail(ErrorCode::bad_request, "--name");
  if (::mkdir(home.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io_failed,
                home.directory + (errno == ENOENT ? ": the folder above it does not exist" : ""));
  struct stat info {};
  if (::stat(key_path(home.directory).c_str(), &info) == 0) return fail(ErrorCode::conflict, home.directory + " holds keys already");
  TRAM_TRY(secret, io::read_unlock_secret(home.unlock, "Passphrase for the new key file: ", true));

  io::SystemRandom random;
  const crypto::KeyRing ring = crypto::make_key_ring(random);
  const auto kind = home.unlock.raw ? crypto::UnlockKind::raw_key : crypto::UnlockKind::passphrase;
  TRAM_TRY(sealed, crypto::seal_key_file(ring, kind, secret.view(), {argon_passes, home.argon_memory_bytes}, random));

  const crypto::SigningKey sig(ring.sig_seed);
  request.keys = {sig.public_key(), crypto::LogKey(ring.log_seed).public_key(), crypto::curve_pair_from(ring.curve_secret).public_key};
  request.created = io::wall_now();
  const auto signed_request = directory::make_enrol_request(request, sig);

  TRAM_OK(io::write_private_file_atomic(key_path(home.directory), sealed, io::Replace::refused));
  TRAM_OK(io::write_private_file_atomic(config_path, view(print_config(config))));
  TRAM_OK(io::write_private_file_atomic(request_path(home.directory), proto::encode_enrol_request(signed_request)));
  return directory::short_code(directory::enrol_request_hash(signed_request.payload));
}

Result<crypto::KeyRing> open_key_ring(const std::string& home, const io::UnlockSource& source) {
  TRAM_TRY(file, io::read_private_file(key_path(home), key_file_bytes_max));
  TRAM_TRY(kind, crypto::key_file_unlock_kind(file.view()));
  io::UnlockSource matching = source;
  matching.raw = kind == crypto::UnlockKind::raw_key;
  TRAM_TRY(secret, io::read_unlock_secret(matching, "Passphrase of the key file: ", false));
  return crypto::open_key_file(file.view(), secret.view());
}

Result<void> check_key_file(const std::string& home) {
  TRAM_TRY(file, io::read_private_file(key_path(home), key_file_bytes_max));
  TRAM_OK(crypto::key_file_unlock_kind(file.view()));
  return {};
}

Result<Answer> read_answer(const std::string& home, const std::string& approval_file, const io::UnlockSource& unlock,
                           const std::optional<RealmId>& realm) {
  TRAM_TRY(approval_bytes, io::read_file(approval_file, limits::approval_bytes_max));
  TRAM_TRY(approval, proto::decode_approval(approval_bytes));
  TRAM_TRY(request_bytes, io::read_private_file(request_path(home), key_file_bytes_max));
  TRAM_TRY(request, proto::decode_enrol_request(request_bytes.view()));
  TRAM_OK(directory::check_answer(approval, request, realm));
  TRAM_TRY(ring, open_key_ring(home, unlock));
  return Answer{std::move(approval), std::move(ring)};
}

Accepted accepted(const proto::Approval& approval, const directory::Directory& directory, const std::string& name) {
  return {approval.realm, directory.root_change().realm_name, directory.practice(), approval.party, name, directory.size()};
}

}  // namespace tram::daemon
