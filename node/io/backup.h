// `tram-node backup`, `restore` and `recover` (R2, R22, R24): copies of a home that are read back before they count, the
// word that a verified backup leaves for the running node, and a store that may be older than what it said.
// Thread: main of a command; the word is read by the loop.
#pragma once
#include "base/io/home_copy.h"
#include "node/io/home.h"
#include "node/node.h"

namespace tram::node {

struct Backup {
  io::HomeCopy copy;
  uint64_t rows = 0;
  uint64_t bodies = 0;
  uint64_t channels = 0;  // whose senders will be told
};
/// Copies a home, running or not, reads the copy back, decodes every row, compares every body with its manifest. Only then
/// the node is left its word (BACKED_UP). Errors: conflict (`to` exists), wrong_passphrase, store_corrupt (a body was freed
/// meanwhile: three attempts), storage_full, io_failed. A copy that failed is removed.
Result<Backup> backup_home(const std::string& home, const std::string& to, const io::UnlockSource&, const io::CopyProgress&);

/// Puts a backup in the place of the store; the next start recovers. Errors: those of io::restore_home, wrong_passphrase.
Result<Backup> restore_home(const std::string& copy, const std::string& home, const io::UnlockSource&, const io::CopyProgress&);

/// After exit 74, a doubt, or a machine that was cloned: every row and body is read back from the disk, then the node
/// starts a new incarnation. `damaged` names bodies that are not whole; received ones the next run fetches again. Rows that
/// are damaged are named, and made anew or dropped where others hold copies. Errors: store_corrupt (a row that nobody else
/// has, named: restore a backup).
struct Recovered {
  uint64_t rows = 0;
  uint64_t bodies = 0;
  std::vector<std::string> repaired;  // rows
  std::vector<std::string> damaged;   // bodies
  bool lost_received = false, lost_sent = false;
};
Result<Recovered> recover_home(const std::string& home, const io::UnlockSource&);

/// Present after an exit with 74 and while a restore or recovery is not complete: `run` refuses.
std::string doubt_path(const std::string& home);

/// What the last verified backup left; nothing when there is none. A word with another key's MAC is refused: bad_signature.
Result<std::optional<BackupMarks>> read_backup_word(const std::string& home, const crypto::Secret32& storage_key);
void remove_backup_word(const std::string& home);

}  // namespace tram::node
