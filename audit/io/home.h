// The files of a witness's home: witness.toml, keys.tram, enrol.request, store/, evidence/, status.json; the commands that
// make one (init, accept). Thread: main, before the loop.
#pragma once
#include "base/io/lmdb_store.h"
#include "directory/io/daemon/home.h"

namespace tram::audit {

/// The table of `tram-witness print-config`.
std::span<const ConfigKey> witness_config_keys();

struct InitOptions {
  daemon::NewHome home;
  std::string name;
  std::string organisation;  // who runs it: one that runs no broker
};
/// daemon::make_home for a witness.
Result<std::string> init_home(const InitOptions&);

/// The store of a home, opened; one process at a time.
struct OpenHome {
  std::unique_ptr<io::LmdbStore> raw_store;
  std::unique_ptr<ValueCodec> codec;
  std::unique_ptr<Store> store;
};
Result<OpenHome> open_home(const std::string& directory, const Config&, const crypto::KeyRing&);

struct Self {
  PartyId party;
  RealmId realm;
};
Result<std::optional<Self>> read_self(ReadTxn&);

/// Takes the authority's approval: checks it against the request and the keys, applies the whole directory snapshot.
/// Errors: wrong_realm, bad_signature, bad_request (another request, not this witness).
Result<daemon::Accepted> accept_approval(const std::string& directory, const std::string& approval_file, const io::UnlockSource&,
                                         const std::optional<RealmId>& realm);

std::string config_path(const std::string& home);
std::string status_path(const std::string& home);
std::string evidence_path(const std::string& home);

}  // namespace tram::audit
