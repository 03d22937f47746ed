#include "audit/io/home.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "audit/log.h"
#include "base/io/clock.h"
#include "base/io/config_file.h"
#include "base/io/files.h"
#include "base/io/system_random.h"
#include "base/limits.h"
#include "directory/signing.h"

namespace tram::audit {
namespace {

constexpr size_t key_file_bytes_max = 65536;
constexpr Table self_table{"witness"};  // "self" -> party(16) || realm(32)

std::string key_path(const std::string& home) { return home + "/keys.tram"; }
std::string request_path(const std::string& home) { return home + "/enrol.request"; }

std::span<const Table> all_tables() {
  static const std::vector<Table> tables = [] {
    std::vector<Table> list{self_table};
    for (const Table& one : directory::tables()) list.push_back(one);
    for (const Table& one : audit::tables()) list.push_back(one);
    return list;
  }();
  return tables;
}

}  // namespace

std::span<const ConfigKey> witness_config_keys() {
  static constexpr ConfigKey keys[] = {
      {"store.map_bytes", ConfigType::byte_size, "16GiB", 64 << 20, int64_t{1} << 44, "bytes",
       "Largest size of the store; a sparse file. Every log entry of the realm takes 32 bytes."},
      {"log.level", ConfigType::string, "info", 4, 7, "", "debug, info, warning or error."},
      {"log.file", ConfigType::string, "", 0, 4096, "path", "Log file; empty: standard error."},
      {"unlock.credential", ConfigType::string, "tram-witness-key", 1, 128, "name",
       "systemd credential that unlocks the key file when the witness starts unattended."},
  };
  return keys;
}

std::string config_path(const std::string& home) { return home + "/witness.toml"; }
std::string status_path(const std::string& home) { return home + "/status.json"; }
std::string evidence_path(const std::string& home) { return home + "/evidence"; }

Result<std::string> init_home(const InitOptions& options) {
  if (options.name.empty()) return fail(ErrorCode::bad_request, "--name");
  if (options.organisation.empty()) return fail(ErrorCode::bad_request, "--organisation");
  if (::mkdir(options.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io_failed,
                options.directory + (errno == ENOENT ? ": the folder above it does not exist" : ""));
  struct stat info {};
  if (::stat(key_path(options.directory).c_str(), &info) == 0)
    return fail(ErrorCode::conflict, options.directory + " holds a witness's keys already");
  TRAM_TRY(secret, io::read_unlock_secret(options.unlock, "Passphrase for the new key file: ", true));

  io::SystemRandom random;
  const crypto::KeyRing ring = crypto::make_key_ring(random);
  const auto kind = options.unlock.raw ? crypto::UnlockKind::raw_key : crypto::UnlockKind::passphrase;
  TRAM_TRY(sealed, crypto::seal_key_file(ring, kind, secret.view(), {3, options.argon_memory_bytes}, random));

  const crypto::SigningKey sig(ring.sig_seed);
  proto::EnrolRequestPayload payload;
  payload.kind = proto::EnrolKind::witness;
  payload.name = options.name;
  payload.failure_domain = options.organisation;
  payload.keys = {sig.public_key(), crypto::LogKey(ring.log_seed).public_key(),
                  crypto::curve_pair_from(ring.curve_secret).public_key};
  payload.created = io::wall_now();
  const auto request = directory::make_enrol_request(payload, sig);

  TRAM_OK(io::write_private_file_atomic(key_path(options.directory), sealed, io::Replace::refused));
  TRAM_OK(io::write_private_file_atomic(config_path(options.directory), view(print_config(Config(witness_config_keys())))));
  TRAM_OK(io::write_private_file_atomic(request_path(options.directory), proto::encode_enrol_request(request)));
  return directory::short_code(directory::enrol_request_hash(request.payload));
}

Result<crypto::KeyRing> open_key_ring(const std::string& directory, const UnlockSource& source) {
  TRAM_TRY(file, io::read_private_file(key_path(directory), key_file_bytes_max));
  TRAM_TRY(kind, crypto::key_file_unlock_kind(file.view()));
  UnlockSource matching = source;
  matching.raw = kind == crypto::UnlockKind::raw_key;
  TRAM_TRY(secret, io::read_unlock_secret(matching, "Passphrase of the key file: ", false));
  return crypto::open_key_file(file.view(), secret.view());
}

Result<OpenHome> open_home(const std::string& directory, const Config& config, const crypto::KeyRing& ring) {
  OpenHome home;
  io::LmdbOptions lmdb;
  lmdb.directory = directory + "/store";
  lmdb.map_bytes = config.byte_size("store.map_bytes");
  lmdb.tables = all_tables();
  TRAM_TRY(raw, io::LmdbStore::open(lmdb));
  home.raw_store = std::move(raw);
  home.codec = crypto::make_mac_codec(ring.storage_key);
  home.store = coded_store(*home.raw_store, *home.codec);
  return home;
}

Result<std::optional<Self>> read_self(ReadTxn& txn) {
  TRAM_TRY(row, txn.get(self_table, view("self")));
  if (!row) return std::optional<Self>{};
  Reader reader(*row);
  Self self{PartyId{reader.array<PartyId::size>()}, RealmId{reader.array<RealmId::size>()}};
  if (!reader.finish()) return fail(ErrorCode::store_corrupt, "witness");
  return std::optional<Self>(self);
}

Result<Accepted> accept_approval(const std::string& home, const std::string& approval_file, const UnlockSource& unlock,
                                 const std::optional<RealmId>& realm) {
  TRAM_TRY(approval_bytes, io::read_file(approval_file, limits::approval_bytes_max));
  TRAM_TRY(approval, proto::decode_approval(approval_bytes));
  TRAM_TRY(request_bytes, io::read_private_file(request_path(home), key_file_bytes_max));
  TRAM_TRY(request, proto::decode_enrol_request(request_bytes.view()));
  TRAM_OK(directory::check_answer(approval, request, realm));
  TRAM_TRY(config, io::read_config(config_path(home), witness_config_keys()));
  TRAM_TRY(ring, open_key_ring(home, unlock));
  TRAM_TRY(opened, open_home(home, config, ring));
  TRAM_TRY(txn, opened.store->begin_write());
  TRAM_TRY(self, read_self(*txn));
  if (self && (self->party != approval.party || self->realm != approval.realm))
    return fail(ErrorCode::conflict, "this home belongs to another witness");
  directory::Directory directory(approval.realm);
  TRAM_OK(directory.load(*txn));
  for (size_t index = directory.size(); index < approval.entries.size(); ++index)
    TRAM_OK(directory.apply(*txn, approval.entries[index], io::wall_now()));
  const auto record = directory.witness(approval.party);
  if (!record || record->record.log != crypto::LogKey(ring.log_seed).public_key() ||
      record->record.curve != crypto::curve_pair_from(ring.curve_secret).public_key)
    return fail(ErrorCode::bad_request, "the directory does not hold this witness's keys under the approved party");
  Bytes row;
  Writer(row).raw(approval.party).raw(approval.realm);
  TRAM_OK(txn->put(self_table, view("self"), row));
  TRAM_OK(txn->commit());
  return Accepted{approval.realm,       directory.root_change().realm_name,
                  directory.practice(), approval.party,
                  record->record.name,  directory.size()};
}

}  // namespace tram::audit
