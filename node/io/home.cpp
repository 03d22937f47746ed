#include "node/io/home.h"

#include <sys/stat.h>

#include "audit/log.h"
#include "base/io/clock.h"
#include "base/io/lmdb_store.h"
#include "base/io/system_random.h"
#include "crypto/seal.h"
#include "directory/signing.h"
#include "node/io/config.h"
#include "node/node.h"
#include "node/tables.h"

namespace tram::node {

namespace {

constexpr size_t key_file_bytes_max = 65536;
constexpr size_t approval_bytes_max = 32u << 20;

std::string key_path(const std::string& home) { return home + "/keys.tram"; }
std::string request_path(const std::string& home) { return home + "/enrol.request"; }

}  // namespace

Result<std::string> init_home(const InitOptions& options) {
  if (::mkdir(options.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io_failed,
                options.directory + (errno == ENOENT ? ": the folder above it does not exist" : ""));
  struct stat info {};
  if (::stat(key_path(options.directory).c_str(), &info) == 0)
    return fail(ErrorCode::conflict, options.directory + " holds a node's keys already");
  if (options.name.empty()) return fail(ErrorCode::bad_request, "--name: the agency's name");
  TRAM_TRY(secret, io::read_unlock_secret(options.unlock, "Passphrase for the new key file: ", true));

  io::SystemRandom random;
  const crypto::KeyRing ring = crypto::make_key_ring(random);
  const auto kind = options.unlock.raw ? crypto::UnlockKind::raw_key : crypto::UnlockKind::passphrase;
  TRAM_TRY(sealed, crypto::seal_key_file(ring, kind, secret.view(), {3, options.argon_memory_bytes}, random));

  const crypto::SigningKey sig(ring.sig_seed), log(ring.log_seed);
  proto::EnrolRequestPayload payload;
  payload.kind = proto::EnrolKind::node;
  payload.name = options.name;
  payload.organ_code = options.organ_code;
  payload.keys = {sig.public_key(), LogPublic{log.public_key().bytes}, crypto::curve_pair_from(ring.curve_secret).public_key};
  payload.created = io::wall_now();
  const auto request = directory::make_enrol_request(payload, sig);

  TRAM_OK(io::write_private_file_atomic(key_path(options.directory), sealed, io::Replace::refused));
  const Config defaults(config_keys());
  TRAM_OK(io::write_private_file_atomic(options.directory + "/node.toml", view(print_config(defaults)), io::Replace::allowed));
  TRAM_OK(io::write_private_file_atomic(request_path(options.directory), proto::encode_enrol_request(request), io::Replace::allowed));
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

Result<Accepted> accept_approval(const std::string& home, const std::string& approval_file, const UnlockSource& unlock,
                                 const std::optional<RealmId>& realm) {
  TRAM_TRY(approval_bytes, io::read_file(approval_file, approval_bytes_max));
  TRAM_TRY(approval, proto::decode_approval(approval_bytes));
  TRAM_TRY(request_bytes, io::read_private_file(request_path(home), key_file_bytes_max));
  TRAM_TRY(request, proto::decode_enrol_request(request_bytes.view()));
  TRAM_OK(directory::check_answer(approval, request, realm));
  TRAM_TRY(ring, open_key_ring(home, unlock));
  const crypto::SigningKey sig(ring.sig_seed);

  io::SystemRandom random;
  io::LmdbOptions lmdb;
  lmdb.directory = home + "/store";
  lmdb.map_bytes = 1ull << 30;
  lmdb.tables = table::all();
  TRAM_TRY(raw, io::LmdbStore::open(lmdb));
  auto codec = crypto::make_seal_codec(ring.storage_key, random);
  auto store = coded_store(*raw, *codec);
  TRAM_TRY(txn, store->begin_write());

  const Time now = io::wall_now();
  directory::Directory directory(approval.realm);
  TRAM_OK(directory.load(*txn));
  audit::Log log;
  TRAM_OK(log.load(*txn));
  uint64_t index = 0;
  for (const Bytes& entry : approval.entries) {
    if (index++ < directory.size()) continue;
    TRAM_OK(directory.apply(*txn, entry, now));
    Bytes leaf;
    Writer(leaf).u64(index - 1).raw(directory.root());
    TRAM_TRY(leaf_index, log.append(*txn, audit::LeafKind::directory_applied, now, leaf, random));
    (void)leaf_index;
  }
  TRAM_TRY(state, directory.agency(*txn, approval.party, now));
  if (!state || !state->agency.keys || state->agency.keys->sig != sig.public_key())
    return fail(ErrorCode::bad_request, "the directory does not hold this node's keys under the approved agency");
  Identity config;
  config.self = approval.party;
  config.realm = approval.realm;
  if (auto made = Node::initialize(*txn, config); !made) return fail(made.error());
  TRAM_OK(log.store_head(*txn));
  TRAM_OK(txn->commit());
  return Accepted{approval.realm, directory.root_change().realm_name, directory.practice(), approval.party, state->agency.name_vi,
                  directory.size()};
}

}  // namespace tram::node
