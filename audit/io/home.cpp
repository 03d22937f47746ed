#include "audit/io/home.h"

#include "audit/log.h"
#include "base/io/clock.h"
#include "base/io/config_file.h"

namespace tram::audit {
namespace {

constexpr Table self_table{"witness"};  // "self" -> party(16) || realm(32)

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
  if (options.organisation.empty()) return fail(ErrorCode::bad_request, "--organisation");
  proto::EnrolRequestPayload request;
  request.kind = proto::EnrolKind::witness;
  request.name = options.name;
  request.failure_domain = options.organisation;
  return daemon::make_home(options.home, config_path(options.home.directory), Config(witness_config_keys()), request);
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

Result<daemon::Accepted> accept_approval(const std::string& home, const std::string& approval_file, const io::UnlockSource& unlock,
                                         const std::optional<RealmId>& realm) {
  TRAM_TRY(answer, daemon::read_answer(home, approval_file, unlock, realm));
  const proto::Approval& approval = answer.approval;
  TRAM_TRY(config, io::read_config(config_path(home), witness_config_keys()));
  TRAM_TRY(opened, open_home(home, config, answer.ring));
  TRAM_TRY(txn, opened.store->begin_write());
  TRAM_TRY(self, read_self(*txn));
  if (self && (self->party != approval.party || self->realm != approval.realm))
    return fail(ErrorCode::conflict, "this home belongs to another witness");
  directory::Directory directory(approval.realm);
  TRAM_OK(directory.load(*txn));
  for (size_t index = directory.size(); index < approval.entries.size(); ++index)
    TRAM_OK(directory.apply(*txn, approval.entries[index], io::wall_now()));
  const auto record = directory.witness(approval.party);
  if (!record || record->record.log != crypto::LogKey(answer.ring.log_seed).public_key() ||
      record->record.curve != crypto::curve_pair_from(answer.ring.curve_secret).public_key)
    return fail(ErrorCode::bad_request, "the directory does not hold this witness's keys under the approved party");
  Bytes row;
  Writer(row).raw(approval.party).raw(approval.realm);
  TRAM_OK(txn->put(self_table, view("self"), row));
  TRAM_OK(txn->commit());
  return daemon::accepted(approval, directory, record->record.name);
}

}  // namespace tram::audit
