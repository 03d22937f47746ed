// Copies of a daemon's home and the way back (R24): a hot copy of the store, every body file, the wrapped keys and the
// configuration, a manifest with the size and hash of each; all read back from the disk before it counts.
// Layout of a copy: store/data.mdb, bodies/<x>/<name>, keys.tram, *.toml, enrol.request, new keys that wait, tokens, and `backup.manifest`:
// a line "SHA-256 (hex) bytes path" a file, in path order, written last.
// Not here: what the rows mean (node/io, broker/io), schedules, encryption of the copy: bodies and rows are sealed or
// MACed as they lie, keys only as wrapped by their passphrase.
// Thread: main of a command.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"

namespace tram::io {

/// Called now and then while a copy is made or read back.
using CopyProgress = std::function<void(const char* what, uint64_t done_bytes, uint64_t all_bytes)>;
/// A line that rewrites itself on a terminal, nothing on a pipe.
void show_progress(const char* what, uint64_t done_bytes, uint64_t all_bytes);

struct CopyTools {
  std::function<std::unique_ptr<Digest>()> digest;  // SHA-256, which base does not have
  CopyProgress progress;
};

struct HomeCopy {
  Hash id;  // SHA-256 of the manifest
  uint64_t files = 0;
  uint64_t bytes = 0;
};

/// Makes the folder `to` (it must not exist) a copy of `home`, whose daemon may run. Errors: conflict (`to` exists),
/// not_found (no store), storage_full, io_failed.
Result<HomeCopy> copy_home(const std::string& home, const std::string& to, const CopyTools&);
/// Reads every file of a copy back from the disk. Errors: not_found, store_corrupt (detail: which file), io_failed.
Result<HomeCopy> verify_home_copy(const std::string& copy, const CopyTools&);
/// Puts a verified copy in the place of `home`'s store and bodies; keys and configuration only where there are none.
/// What lay there is kept as store.before and bodies.before. Until the caller removes `mark` (a file name in home) the
/// home is in doubt. Errors: already_running, conflict (a former .before is there), those of verify_home_copy.
Result<HomeCopy> restore_home(const std::string& copy, const std::string& home, const std::string& mark, const CopyTools&);

/// What is read next comes from the disk, not from pages that a failed sync may have left clean (R2).
void drop_cached_pages(const std::string& file);

}  // namespace tram::io
