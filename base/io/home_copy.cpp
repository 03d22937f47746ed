#include "base/io/home_copy.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/io/files.h"
#include "base/io/lmdb_store.h"
#include "base/io/secret_input.h"

namespace tram::io {
namespace {

namespace fs = std::filesystem;
constexpr size_t copy_buffer_bytes = 1u << 20;
constexpr size_t manifest_bytes_max = 256u << 20;
constexpr const char* manifest_name = "backup.manifest";

struct Entry {
  std::string path;  // below the home
  uint64_t bytes = 0;
  Hash hash;
};

Error file_error(int error, const std::string& path) {
  if (error == ENOENT) return {ErrorCode::not_found, path};
  return errno_error(error, path);
}

Result<void> make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail(file_error(errno, path));
  return {};
}

/// Reads a file once; each piece goes to `take`.
template <class Take>
Result<uint64_t> read_through(const fs::path& path, Take&& take) {
  Fd in(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in) return fail(file_error(errno, path));
  Bytes buffer(copy_buffer_bytes);
  uint64_t offset = 0;
  for (;;) {
    const int64_t n = pread_all(in.get(), buffer, offset);
    if (n < 0) return fail(file_error(static_cast<int>(-n), path));
    if (n == 0) return offset;
    TRAM_OK(take(BytesView(buffer).first(static_cast<size_t>(n)), offset));
    offset += static_cast<uint64_t>(n);
  }
}

Result<Entry> copy_file(const fs::path& from, const fs::path& to, std::string name, const char* what,
                        const CopyTools& tools, uint64_t& done, uint64_t all) {
  Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!out) return fail(file_error(errno, to));
  auto digest = tools.digest();
  TRAM_TRY(bytes, read_through(from, [&](BytesView piece, uint64_t offset) -> Result<void> {
             digest->update(piece);
             if (const int error = pwrite_all(out.get(), piece, offset)) return fail(file_error(error, to));
             tools.progress(what, done += piece.size(), all);
             return {};
           }));
  if (const int error = sync_fd(out.get())) return fail(file_error(error, to));
  return Entry{std::move(name), bytes, digest->finish()};
}

Result<Entry> hash_file(const fs::path& path, std::string name, const char* what, const CopyTools& tools, uint64_t& done,
                        uint64_t all) {
  drop_cached_pages(path);
  auto digest = tools.digest();
  TRAM_TRY(bytes, read_through(path, [&](BytesView piece, uint64_t) -> Result<void> {
             digest->update(piece);
             tools.progress(what, done += piece.size(), all);
             return {};
           }));
  return Entry{std::move(name), bytes, digest->finish()};
}

/// The small files of a home and its body files, below it; the store is copied by LMDB itself.
Result<std::vector<std::string>> files_of(const fs::path& home, bool with_bodies) {
  std::vector<std::string> names;
  std::error_code error;
  for (const char* name : {"keys.tram", "node.toml", "broker.toml", "enrol.request", "keys-next.tram", "renew.request", "tokens"})
    if (fs::is_regular_file(home / name, error)) names.emplace_back(name);
  if (!with_bodies || !fs::is_directory(home / "bodies", error)) return names;
  for (fs::directory_iterator folder(home / "bodies", error), end; folder != end; folder.increment(error)) {
    if (error) break;
    if (!folder->is_directory(error)) continue;
    for (fs::directory_iterator file(folder->path(), error), last; file != last; file.increment(error)) {
      if (error) break;
      if (file->is_regular_file(error)) names.push_back("bodies/" + folder->path().filename().string() + "/" + file->path().filename().string());
    }
  }
  if (error) return fail(ErrorCode::io_failed, home.string() + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

std::string manifest_of(const std::vector<Entry>& entries) {
  std::string text;
  for (const Entry& entry : entries) text += entry.hash.hex() + " " + std::to_string(entry.bytes) + " " + entry.path + "\n";
  return text;
}

/// Only what copy_home writes: no absolute path, nothing above the copy.
bool safe_path(const std::string& path) {
  return !path.empty() && path[0] != '/' && path.find("..") == std::string::npos && path.find('\0') == std::string::npos;
}

Result<std::vector<Entry>> read_manifest(const fs::path& copy, Hash& id, const CopyTools& tools) {
  auto bytes = read_file((copy / manifest_name).string(), manifest_bytes_max);
  if (!bytes) {
    if (bytes.error().code == ErrorCode::not_found) return fail(ErrorCode::not_found, copy.string() + " is no backup: it has no " + manifest_name);
    return fail(bytes.error());
  }
  auto digest = tools.digest();
  digest->update(*bytes);
  id = digest->finish();
  std::vector<Entry> entries;
  std::string_view rest = text(*bytes);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const size_t space = line.find(' '), second = line.find(' ', space + 1);
    if (end == std::string_view::npos || second == std::string_view::npos) return fail(ErrorCode::store_corrupt, std::string(manifest_name));
    Entry entry;
    const auto hash = Hash::parse(line.substr(0, space));
    const std::string number(line.substr(space + 1, second - space - 1));
    entry.path = std::string(line.substr(second + 1));
    if (!hash || number.empty() || number.size() > 18 || number.find_first_not_of("0123456789") != std::string::npos || !safe_path(entry.path))
      return fail(ErrorCode::store_corrupt, std::string(manifest_name));
    entry.hash = *hash;
    entry.bytes = std::stoull(number);
    entries.push_back(std::move(entry));
    rest.remove_prefix(end + 1);
  }
  return entries;
}

HomeCopy summary(const Hash& id, const std::vector<Entry>& entries) {
  HomeCopy copy{id, entries.size(), 0};
  for (const Entry& entry : entries) copy.bytes += entry.bytes;
  return copy;
}

}  // namespace

void show_progress(const char* what, uint64_t done_bytes, uint64_t all_bytes) {
  static int shown = -1;
  if (!::isatty(STDERR_FILENO)) return;
  const int percent = all_bytes != 0 ? static_cast<int>(done_bytes * 100 / all_bytes) : 100;
  if (percent == shown) return;
  shown = percent;
  std::fprintf(stderr, "\r%s: %d %%   %s", what, percent, percent == 100 ? "\n" : "");
}

void drop_cached_pages(const std::string& file) {
  Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd) ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
}

Result<HomeCopy> copy_home(const std::string& home, const std::string& to, const CopyTools& tools) {
  const fs::path source(home), target(to);
  if (::mkdir(target.c_str(), 0700) != 0)
    return fail(errno == EEXIST ? Error{ErrorCode::conflict, to + " exists: name a new folder for each backup"} : file_error(errno, to));
  TRAM_OK(make_folder(target / "store"));
  // The store first: every body that its rows name is on the disk by then.
  TRAM_OK(LmdbStore::copy((source / "store").string(), (target / "store").string()));
  TRAM_TRY(names, files_of(source, true));
  uint64_t all = size_of(target / "store" / "data.mdb"), done = 0;
  for (const auto& name : names) all += size_of(source / name);
  std::vector<Entry> entries;
  TRAM_TRY(store, hash_file(target / "store" / "data.mdb", "store/data.mdb", "copying", tools, done, all));
  entries.push_back(std::move(store));
  TRAM_OK(make_folder(target / "bodies"));
  for (const auto& name : names) {
    TRAM_OK(make_folder((target / name).parent_path()));
    auto copied = copy_file(source / name, target / name, name, "copying", tools, done, all);
    if (!copied && copied.error().code == ErrorCode::not_found) continue;  // freed since the store was copied
    if (!copied) return fail(copied.error());
    entries.push_back(std::move(*copied));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
  for (const auto& entry : entries) TRAM_OK(sync_directory((target / entry.path).parent_path()));
  const std::string manifest = manifest_of(entries);
  TRAM_OK(write_private_file_atomic((target / manifest_name).string(), view(manifest)));
  auto digest = tools.digest();
  digest->update(view(manifest));
  return summary(digest->finish(), entries);
}

Result<HomeCopy> verify_home_copy(const std::string& copy, const CopyTools& tools) {
  Hash id;
  TRAM_TRY(entries, read_manifest(copy, id, tools));
  const HomeCopy all = summary(id, entries);
  uint64_t done = 0;
  for (const Entry& entry : entries) {
    auto found = hash_file(fs::path(copy) / entry.path, entry.path, "reading back", tools, done, all.bytes);
    if (!found && found.error().code == ErrorCode::not_found) return fail(ErrorCode::store_corrupt, entry.path + " is missing");
    if (!found) return fail(found.error());
    if (found->bytes != entry.bytes || found->hash != entry.hash) return fail(ErrorCode::store_corrupt, entry.path + " is not what was copied");
  }
  return all;
}

Result<HomeCopy> restore_home(const std::string& copy, const std::string& home, const std::string& mark, const CopyTools& tools) {
  TRAM_TRY(verified, verify_home_copy(copy, tools));
  Hash id;
  TRAM_TRY(entries, read_manifest(copy, id, tools));
  const fs::path source(copy), target(home);
  TRAM_OK(make_folder(target));
  std::error_code error;
  for (const char* name : {"store.before", "bodies.before"})
    if (fs::exists(target / name, error)) return fail(ErrorCode::conflict, (target / name).string() + " is there: move it away first");
  if (fs::is_directory(target / "store", error)) {
    Fd lock(::open((target / "store" / "lock").c_str(), O_RDWR | O_CLOEXEC));
    if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return fail(ErrorCode::already_running, home);
  }
  TRAM_OK(write_private_file_atomic((target / mark).string(), view("restore\n")));
  const fs::path fresh = target / "restoring";
  fs::remove_all(fresh, error);
  TRAM_OK(make_folder(fresh));
  TRAM_OK(make_folder(fresh / "store"));
  TRAM_OK(make_folder(fresh / "bodies"));
  uint64_t done = 0;
  for (const Entry& entry : entries) {
    const bool data = entry.path.starts_with("store/") || entry.path.starts_with("bodies/");
    const fs::path to = (data ? fresh : target) / entry.path;
    if (!data && fs::exists(to, error)) continue;
    TRAM_OK(make_folder(to.parent_path()));
    TRAM_TRY(copied, copy_file(source / entry.path, to, entry.path, "restoring", tools, done, verified.bytes));
    if (copied.hash != entry.hash) return fail(ErrorCode::store_corrupt, entry.path + " changed while it was read");
    TRAM_OK(sync_directory(to.parent_path()));
  }
  for (const char* name : {"store", "bodies"}) {
    if (fs::exists(target / name, error) && ::rename((target / name).c_str(), (target / (std::string(name) + ".before")).c_str()) != 0)
      return fail(file_error(errno, (target / name).string()));
    if (::rename((fresh / name).c_str(), (target / name).c_str()) != 0) return fail(file_error(errno, (fresh / name).string()));
  }
  fs::remove_all(fresh, error);
  TRAM_OK(sync_directory(target));
  return verified;
}

}  // namespace tram::io
