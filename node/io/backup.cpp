#include "node/io/backup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/io/clock.h"
#include "base/io/file_bodies.h"
#include "base/io/lmdb_store.h"
#include "base/io/system_random.h"
#include "crypto/hash.h"
#include "crypto/seal.h"
#include "node/check.h"
#include "node/tables.h"

namespace tram::node {

namespace {

constexpr int attempts_max = 3;
constexpr size_t word_bytes_max = 64u << 20;
constexpr std::string_view word_label = "edx1/backup-word";

std::string word_path(const std::string& home) { return home + "/backup.verified"; }

io::CopyTools tools(const io::CopyProgress& progress) { return {[] { return std::make_unique<crypto::Sha256>(); }, progress}; }

/// A home's store and bodies, opened by a command.
struct Opened {
  io::SystemRandom random;
  std::unique_ptr<io::LmdbStore> raw;
  std::unique_ptr<ValueCodec> codec;
  std::unique_ptr<Store> store;
  std::unique_ptr<io::BodyFiles> files;
  std::unique_ptr<io::FileBodies> bodies;
};
Result<std::unique_ptr<Opened>> open_store(const std::string& home, const crypto::KeyRing& ring) {
  auto opened = std::make_unique<Opened>();
  std::error_code error;
  const uint64_t data = std::filesystem::file_size(home + "/store/data.mdb", error);
  if (error) return fail(ErrorCode::not_found, home + "/store");
  io::LmdbOptions lmdb;
  lmdb.directory = home + "/store";
  lmdb.map_bytes = std::max<uint64_t>(1ull << 30, 2 * data);
  lmdb.tables = table::all();
  TRAM_TRY(raw, io::LmdbStore::open(lmdb));
  opened->raw = std::move(raw);
  opened->codec = crypto::make_seal_codec(ring.storage_key, opened->random, table::all());
  opened->store = coded_store(*opened->raw, *opened->codec);
  TRAM_TRY(files, io::BodyFiles::open(home + "/bodies"));
  opened->files = std::move(files);
  opened->bodies = std::make_unique<io::FileBodies>(*opened->files);
  return opened;
}

struct Checked {
  uint64_t rows = 0;
  std::vector<DamagedRow> damaged_rows;
  BodyCheck bodies;
  BackupMarks marks;
};
Result<Checked> check(Opened& opened, bool rows_must_be_good) {
  TRAM_TRY(txn, opened.store->begin_read());
  Checked checked;
  TRAM_TRY(rows, check_rows(*txn, table::all()));
  checked.rows = rows.rows;
  checked.damaged_rows = std::move(rows.damaged);
  if (!checked.damaged_rows.empty() && rows_must_be_good) return fail(ErrorCode::store_corrupt, describe(checked.damaged_rows.front()));
  if (!checked.damaged_rows.empty()) return checked;
  TRAM_TRY(bodies, check_bodies(*txn, *opened.bodies));
  checked.bodies = std::move(bodies);
  TRAM_OK(read_backup_marks(*txn, checked.marks));
  return checked;
}

Result<Checked> check(const std::string& home, const crypto::KeyRing& ring) {
  TRAM_TRY(opened, open_store(home, ring));
  return check(*opened, true);
}

/// Opening a store leaves lock files in it, which are no part of a backup.
void remove_locks(const std::string& copy) {
  std::error_code error;
  for (const char* name : {"lock", "lock.mdb"}) std::filesystem::remove(copy + "/store/" + name, error);
}

Result<void> leave_word(const std::string& home, const BackupMarks& marks, const crypto::Secret32& storage_key) {
  Bytes word;
  Writer writer(word);
  writer.raw(marks.id).u32(marks.rinc).u32(static_cast<uint32_t>(marks.marks.size()));
  for (const auto& mark : marks.marks) writer.raw(mark.sender).u8(static_cast<uint8_t>(mark.lane)).u32(mark.inc).u64(mark.seq);
  const Hash mac = crypto::keyed_hash(storage_key.view(), word_label, {word});
  Writer(word).raw(mac);
  return io::write_private_file_atomic(word_path(home), word);
}

/// All of a recovery or none of it: until the mark is gone the node does not run.
Result<void> mark_recovering(const std::string& home, const crypto::KeyRing& ring) {
  TRAM_TRY(opened, open_store(home, ring));
  TRAM_TRY(txn, opened->store->begin_write());
  TRAM_OK(Node::mark_restored(*txn));
  TRAM_OK(txn->commit());
  if (::unlink(doubt_path(home).c_str()) != 0 && errno != ENOENT) return fail(ErrorCode::io_failed, doubt_path(home));
  return {};
}

}  // namespace

std::string doubt_path(const std::string& home) { return home + "/needs-recovery"; }

Result<Backup> backup_home(const std::string& home, const std::string& to, const io::UnlockSource& unlock, const io::CopyProgress& progress) {
  TRAM_TRY(ring, daemon::open_key_ring(home, unlock));
  std::error_code error;
  for (int attempt = 1;; ++attempt) {
    auto made = [&]() -> Result<Backup> {
      TRAM_TRY(copy, io::copy_home(home, to, tools(progress)));
      TRAM_TRY(checked, check(to, ring));
      remove_locks(to);
      if (!checked.bodies.damaged.empty()) return fail(ErrorCode::not_found, describe(checked.bodies.damaged.front()));
      TRAM_OK(io::verify_home_copy(to, tools(progress)));
      checked.marks.id = copy.id;
      TRAM_OK(leave_word(home, checked.marks, ring.storage_key));
      return Backup{copy, checked.rows, checked.bodies.bodies, checked.marks.marks.size()};
    }();
    if (made || made.error().code == ErrorCode::conflict) return made;
    std::filesystem::remove_all(to, error);
    if (made.error().code != ErrorCode::not_found) return made;
    // A body may have been freed between the copy of the store and its own; one that is missing each time is damaged.
    if (attempt == attempts_max) return fail(ErrorCode::store_corrupt, "body missing or damaged: " + made.error().detail);
  }
}

Result<Backup> restore_home(const std::string& copy, const std::string& home, const io::UnlockSource& unlock, const io::CopyProgress& progress) {
  TRAM_TRY(copy_ring, daemon::open_key_ring(copy, unlock));
  TRAM_TRY(restored, io::restore_home(copy, home, "needs-recovery", tools(progress)));
  struct stat info {};
  if (::stat((home + "/keys.tram").c_str(), &info) != 0) return fail(ErrorCode::not_found, home + "/keys.tram");
  TRAM_TRY(checked, check(home, copy_ring));
  if (!checked.bodies.damaged.empty()) return fail(ErrorCode::store_corrupt, "body damaged: " + describe(checked.bodies.damaged.front()));
  TRAM_OK(mark_recovering(home, copy_ring));
  return Backup{restored, checked.rows, checked.bodies.bodies, checked.marks.marks.size()};
}

Result<Recovered> recover_home(const std::string& home, const io::UnlockSource& unlock) {
  TRAM_TRY(ring, daemon::open_key_ring(home, unlock));
  TRAM_OK(io::write_private_file_atomic(doubt_path(home), view("recover\n")));
  io::drop_cached_pages(home + "/store/data.mdb");
  Recovered recovered;
  {
    TRAM_TRY(opened, open_store(home, ring));
    TRAM_TRY(checked, check(*opened, false));
    const Time now = io::wall_now();
    if (!checked.damaged_rows.empty()) {
      TRAM_TRY(txn, opened->store->begin_write());
      TRAM_OK(Node::repair(*txn, now, checked.damaged_rows));
      TRAM_OK(txn->commit());
      for (const auto& row : checked.damaged_rows) recovered.repaired.push_back(describe(row));
      TRAM_TRY(again, check(*opened, true));
      checked = std::move(again);
    }
    recovered.rows = checked.rows;
    recovered.bodies = checked.bodies.bodies;
    TRAM_TRY(txn, opened->store->begin_write());
    for (const auto& body : checked.bodies.damaged) {
      TRAM_OK(Node::note_damaged(*txn, now, body.doc_id, body.sent));
      recovered.damaged.push_back(describe(body));
      (body.sent ? recovered.lost_sent : recovered.lost_received) = true;
    }
    TRAM_OK(txn->commit());
  }
  TRAM_OK(mark_recovering(home, ring));
  return recovered;
}

Result<std::optional<BackupMarks>> read_backup_word(const std::string& home, const crypto::Secret32& storage_key) {
  struct stat info {};
  if (::stat(word_path(home).c_str(), &info) != 0) return std::optional<BackupMarks>{};
  TRAM_TRY(file, io::read_private_file(word_path(home), word_bytes_max));
  const BytesView bytes = file.view();
  if (bytes.size() < Hash::size) return fail(ErrorCode::bad_format, "backup.verified");
  const BytesView word = bytes.first(bytes.size() - Hash::size);
  if (!equal(crypto::keyed_hash(storage_key.view(), word_label, {word}), bytes.last(Hash::size)))
    return fail(ErrorCode::bad_signature, "backup.verified");
  Reader reader(word);
  BackupMarks marks;
  marks.id = *Hash::from(reader.raw(Hash::size));
  marks.rinc = reader.u32();
  marks.marks.resize(std::min<size_t>(reader.u32(), word.size() / 29));
  for (auto& mark : marks.marks) {
    mark.sender = *PartyId::from(reader.raw(PartyId::size));
    mark.lane = static_cast<Lane>(reader.u8());
    mark.inc = reader.u32();
    mark.seq = reader.u64();
  }
  if (!reader.finish()) return fail(ErrorCode::bad_format, "backup.verified");
  return std::optional<BackupMarks>(std::move(marks));
}

void remove_backup_word(const std::string& home) { ::unlink(word_path(home).c_str()); }

}  // namespace tram::node
