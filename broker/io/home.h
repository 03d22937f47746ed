// The files of a broker's home: broker.toml, keys.tram, enrol.request, store/, bodies/, status.json; the commands that
// make one (init, accept) and that open a new epoch after doubt (recover). Thread: main, before the loop.
#pragma once
#include "base/io/body_files.h"
#include "base/io/file_bodies.h"
#include "base/io/home_copy.h"
#include "base/io/lmdb_store.h"
#include "directory/io/daemon/home.h"

namespace tram::broker {

struct InitOptions {
  daemon::NewHome home;
  std::string name;
  std::string failure_domain;
  std::string control;  // tcp://host:port that nodes connect to
  std::string bulk;
};
/// daemon::make_home for a broker. Errors: its own, bad_request (endpoints).
Result<std::string> init_home(const InitOptions&);

/// Store and bodies of a home, opened; one process at a time.
struct OpenHome {
  std::unique_ptr<io::LmdbStore> raw_store;
  std::unique_ptr<ValueCodec> codec;
  std::unique_ptr<Store> store;
  std::unique_ptr<io::BodyFiles> body_files;
  std::unique_ptr<io::FileBodies> bodies;
};
Result<OpenHome> open_home(const std::string& directory, const ::tram::Config&, const crypto::KeyRing&);

/// Takes the authority's approval: checks it against the request and the keys, applies the whole directory snapshot,
/// opens the first epoch. Errors: wrong_realm, bad_signature, bad_request (another request, not this broker).
Result<daemon::Accepted> accept_approval(const std::string& directory, const std::string& approval_file, const io::UnlockSource&,
                                         const std::optional<RealmId>& realm);

/// Reads everything back and opens a new epoch (R2, R7, R8). Errors: wrong_state (not accepted), store_corrupt.
struct Recovered {
  Epoch epoch;
  uint64_t dropped = 0;  // envelopes that were damaged, or whose body was
  std::vector<DamagedRow> repaired;
};
Result<Recovered> recover_home(const std::string& directory, const io::UnlockSource&, Log&);

/// Copies a home, running or not, reads the copy back and checks the MAC of every row (R24). Errors: conflict (`to` exists),
/// store_corrupt, storage_full, io_failed. A copy that failed is removed.
struct Backup {
  io::HomeCopy copy;
  uint64_t rows = 0;
};
Result<Backup> backup_home(const std::string& home, const std::string& to, const io::UnlockSource&, const io::CopyProgress&);
/// Puts a backup in the place of the store; recover_home() must follow. Errors: those of io::restore_home.
Result<io::HomeCopy> restore_home(const std::string& copy, const std::string& home, const io::CopyProgress&);

std::string config_path(const std::string& home);
std::string status_path(const std::string& home);
std::string evidence_path(const std::string& home);
/// Present after an exit with 74 and while recover_home() runs: only a recovery that ended removes it.
std::string doubt_path(const std::string& home);

}  // namespace tram::broker
