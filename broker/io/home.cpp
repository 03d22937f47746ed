#include "broker/io/home.h"

#include <algorithm>
#include <filesystem>
#include <fcntl.h>
#include <unistd.h>

#include "audit/log.h"
#include "base/io/clock.h"
#include "base/io/config_file.h"
#include "base/io/system_random.h"
#include "broker/broker.h"
#include "broker/io/config.h"
#include "broker/tables.h"
#include "crypto/hash.h"

namespace tram::broker {
namespace {

/// tcp://host:port, as nodes connect to it.
Result<void> check_endpoint(const std::string& endpoint, const char* option) {
  const auto colon = endpoint.rfind(':');
  const bool good = endpoint.rfind("tcp://", 0) == 0 && colon != std::string::npos && colon > 6 &&
                    colon + 1 < endpoint.size() &&
                    std::all_of(endpoint.begin() + static_cast<ptrdiff_t>(colon) + 1, endpoint.end(),
                                [](char c) { return c >= '0' && c <= '9'; });
  if (!good) return fail(ErrorCode::bad_request, std::string(option) + ": tcp://host:port");
  return {};
}

/// Where to bind: loopback stays loopback, everything else listens on all addresses of the host.
std::string listen_address(const std::string& endpoint) {
  const auto colon = endpoint.rfind(':');
  const std::string host = endpoint.substr(6, colon - 6);
  const std::string port = endpoint.substr(colon);
  if (host == "localhost") return "tcp://127.0.0.1" + port;
  if (host.rfind("127.", 0) == 0) return "tcp://" + host + port;
  return "tcp://0.0.0.0" + port;
}

io::CopyTools tools(const io::CopyProgress& progress) { return {[] { return std::make_unique<crypto::Sha256>(); }, progress}; }

Result<std::optional<proto::BrokerRecord>> read_self(ReadTxn& txn) {
  TRAM_TRY(row, txn.get(table::self, view(table::self_key)));
  if (!row) return std::optional<proto::BrokerRecord>{};
  proto::BrokerRecord record;
  TRAM_OK(proto::decode_record(*row, record));
  return std::optional<proto::BrokerRecord>(record);
}

}  // namespace

std::string config_path(const std::string& home) { return home + "/broker.toml"; }
std::string status_path(const std::string& home) { return home + "/status.json"; }
std::string evidence_path(const std::string& home) { return home + "/evidence"; }
std::string doubt_path(const std::string& home) { return home + "/needs-recovery"; }

Result<std::string> init_home(const InitOptions& options) {
  TRAM_OK(check_endpoint(options.control, "--control"));
  TRAM_OK(check_endpoint(options.bulk, "--bulk"));
  if (options.control == options.bulk) return fail(ErrorCode::bad_request, "--bulk: another port than --control");
  if (options.failure_domain.empty()) return fail(ErrorCode::bad_request, "--failure-domain");
  ::tram::Config config(config_keys());
  TRAM_OK(config.set("listen.control", listen_address(options.control), "--control"));
  TRAM_OK(config.set("listen.bulk", listen_address(options.bulk), "--bulk"));
  proto::EnrolRequestPayload request;
  request.kind = proto::EnrolKind::broker;
  request.name = options.name;
  request.failure_domain = options.failure_domain;
  request.control_endpoint = options.control;
  request.bulk_endpoint = options.bulk;
  return daemon::make_home(options.home, config_path(options.home.directory), config, request);
}

Result<OpenHome> open_home(const std::string& directory, const ::tram::Config& config, const crypto::KeyRing& ring) {
  OpenHome home;
  io::LmdbOptions lmdb;
  lmdb.directory = directory + "/store";
  lmdb.map_bytes = config.byte_size("store.map_bytes");
  lmdb.preallocate_bytes = config.byte_size("store.preallocate_bytes");
  lmdb.tables = table::all();
  TRAM_TRY(raw, io::LmdbStore::open(lmdb));
  home.raw_store = std::move(raw);
  home.codec = crypto::make_mac_codec(ring.storage_key);
  home.store = coded_store(*home.raw_store, *home.codec);
  TRAM_TRY(files, io::BodyFiles::open(directory + "/bodies", config.byte_size("bodies.free_floor_bytes")));
  home.body_files = std::move(files);
  home.bodies = std::make_unique<io::FileBodies>(*home.body_files);
  return home;
}

Result<daemon::Accepted> accept_approval(const std::string& home, const std::string& approval_file, const io::UnlockSource& unlock,
                                         const std::optional<RealmId>& realm) {
  TRAM_TRY(answer, daemon::read_answer(home, approval_file, unlock, realm));
  const proto::Approval& approval = answer.approval;
  const crypto::KeyRing& ring = answer.ring;
  TRAM_TRY(config, io::read_config(config_path(home), config_keys()));
  TRAM_TRY(opened, open_home(home, config, ring));
  TRAM_TRY(txn, opened.store->begin_write());

  const Time now = io::wall_now();
  io::SystemRandom random;
  struct Silent final : Log {
    void write(LogLevel, std::string_view, std::span<const LogField>) override {}
  } silent;
  directory::Directory directory(approval.realm);
  TRAM_OK(directory.load(*txn));
  audit::Log audit_log;
  auto key = std::make_shared<crypto::SigningKey>(ring.sig_seed);
  Config broker_config;
  broker_config.self = approval.party;
  broker_config.realm = approval.realm;
  TRAM_TRY(self, read_self(*txn));
  if (self && (self->party != approval.party || self->realm != approval.realm)) {
    return fail(ErrorCode::conflict, "this home belongs to another broker");
  }
  if (!self) {
    Broker broker(broker_config, key, std::make_shared<crypto::LogKey>(ring.log_seed), directory, audit_log, silent, random);
    TRAM_OK(broker.initialize(*txn, now));
  } else {
    TRAM_OK(audit_log.load(*txn));
  }
  for (size_t index = directory.size(); index < approval.entries.size(); ++index) {
    TRAM_OK(directory.apply(*txn, approval.entries[index], now));
    Bytes leaf;
    Writer(leaf).u64(index).raw(directory.last_payload_hash());
    TRAM_OK(audit_log.append(*txn, audit::LeafKind::directory_applied, now, leaf, random));
  }
  const auto record = directory.broker(approval.party);
  if (!record || record->record.sig != key->public_key() ||
      record->record.curve != crypto::curve_pair_from(ring.curve_secret).public_key) {
    return fail(ErrorCode::bad_request, "the directory does not hold this broker's keys under the approved party");
  }
  TRAM_OK(audit_log.store_head(*txn));
  TRAM_OK(txn->commit());
  return daemon::accepted(approval, directory, record->record.name);
}

Result<Recovered> recover_home(const std::string& home, const io::UnlockSource& unlock, Log& log) {
  TRAM_TRY(config, io::read_config(config_path(home), config_keys()));
  TRAM_TRY(ring, daemon::open_key_ring(home, unlock));
  io::drop_cached_pages(home + "/store/data.mdb");
  TRAM_TRY(opened, open_home(home, config, ring));
  std::optional<proto::BrokerRecord> self;
  {
    TRAM_TRY(txn, opened.store->begin_read());
    TRAM_TRY(found, read_self(*txn));
    self = found;
  }
  if (!self) return fail(ErrorCode::wrong_state, "not accepted yet: run `tram-broker accept`");
  directory::Directory directory(self->realm);
  audit::Log audit_log;
  io::SystemRandom random;
  Config broker_config;
  broker_config.self = self->party;
  broker_config.realm = self->realm;
  Broker broker(broker_config, std::make_shared<crypto::SigningKey>(ring.sig_seed),
                std::make_shared<crypto::LogKey>(ring.log_seed), directory, audit_log, log, random);
  // Half of a recovery is none: until it has ended, `run` refuses.
  TRAM_OK(io::write_private_file_atomic(doubt_path(home), view("recover\n")));
  TRAM_TRY(recovered, broker.recover(*opened.store, *opened.bodies, io::wall_now()));
  if (::unlink(doubt_path(home).c_str()) != 0 && errno != ENOENT) return fail(ErrorCode::io_failed, doubt_path(home));
  return Recovered{broker.epoch(), recovered.dropped, std::move(recovered.repaired)};
}

Result<Backup> backup_home(const std::string& home, const std::string& to, const io::UnlockSource& unlock,
                           const io::CopyProgress& progress) {
  TRAM_TRY(config, io::read_config(config_path(home), config_keys()));
  TRAM_TRY(ring, daemon::open_key_ring(home, unlock));
  std::error_code error;
  auto made = [&]() -> Result<Backup> {
    TRAM_TRY(copy, io::copy_home(home, to, tools(progress)));
    uint64_t rows = 0;
    {
      TRAM_TRY(opened, open_home(to, config, ring));
      TRAM_TRY(txn, opened.store->begin_read());
      TRAM_TRY(checked, check_rows(*txn, table::all()));
      if (!checked.damaged.empty()) return fail(ErrorCode::store_corrupt, describe(checked.damaged.front()));
      rows = checked.rows;
    }
    for (const char* name : {"lock", "lock.mdb"}) std::filesystem::remove(to + "/store/" + name, error);
    TRAM_OK(io::verify_home_copy(to, tools(progress)));
    return Backup{copy, rows};
  }();
  if (!made && made.error().code != ErrorCode::conflict) std::filesystem::remove_all(to, error);
  return made;
}

Result<io::HomeCopy> restore_home(const std::string& copy, const std::string& home, const io::CopyProgress& progress) {
  return io::restore_home(copy, home, std::filesystem::path(doubt_path(home)).filename(), tools(progress));
}

}  // namespace tram::broker
