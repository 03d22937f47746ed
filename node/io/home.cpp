#include "node/io/home.h"

#include "audit/log.h"
#include "base/io/clock.h"
#include "base/io/lmdb_store.h"
#include "base/io/system_random.h"
#include "crypto/seal.h"
#include "node/io/config.h"
#include "node/node.h"
#include "node/tables.h"

namespace tram::node {

std::string config_path(const std::string& home) { return home + "/node.toml"; }

Result<std::string> init_home(const InitOptions& options) {
  proto::EnrolRequestPayload request;
  request.kind = proto::EnrolKind::node;
  request.name = options.name;
  request.organ_code = options.organ_code;
  return daemon::make_home(options.home, config_path(options.home.directory), Config(config_keys()), request);
}

Result<daemon::Accepted> accept_approval(const std::string& home, const std::string& approval_file, const io::UnlockSource& unlock,
                                         const std::optional<RealmId>& realm) {
  TRAM_TRY(answer, daemon::read_answer(home, approval_file, unlock, realm));
  const auto& [approval, ring, renewal] = answer;

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
  if (!state || !state->agency.keys || !daemon::are_keys(ring, *state->agency.keys))
    return fail(ErrorCode::bad_request, "the directory does not hold this node's keys under the approved agency, or not yet");
  if (renewal) {
    TRAM_TRY(held, txn->get(table::self, view("self")));
    proto::NodeRecord self;
    if (held) TRAM_OK(proto::decode_record(*held, self));
    if (self.party != approval.party || self.realm != approval.realm)
      return fail(ErrorCode::bad_request, "the new keys are approved for another agency than this store's");
  } else {
    Identity config;
    config.self = approval.party;
    config.realm = approval.realm;
    TRAM_OK(Node::initialize(*txn, config));
  }
  TRAM_OK(log.store_head(*txn));
  TRAM_OK(txn->commit());
  if (renewal) TRAM_OK(daemon::change_keys(home));
  return daemon::accepted(approval, directory, state->agency.name_vi);
}

}  // namespace tram::node
