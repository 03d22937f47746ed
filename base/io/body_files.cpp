#include "base/io/body_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "base/io/files.h"

namespace tram::io {
namespace {

bool valid_name(std::string_view name) {
  return name.size() >= 4 && name.size() <= 128 &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The folder of a file: bodies lie in 16 (docs/decisions.md 15).
std::string folder_of(std::string_view name) { return std::string(name.substr(0, 1)); }

std::string path_of(std::string_view name) { return folder_of(name).append("/").append(name); }

/// The sorted entries of a directory that `keep` accepts.
template <class Keep>
Result<std::vector<std::string>> entries(int directory, const std::string& path, Keep keep) {
  std::vector<std::string> names;
  int fd = ::openat(directory, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return names;
    return fail(errno_error(errno, "list"));
  }
  auto close = [](DIR* open_directory) { ::closedir(open_directory); };
  std::unique_ptr<DIR, decltype(close)> handle(::fdopendir(fd), close);
  if (!handle) {
    int error = errno;
    ::close(fd);
    return fail(errno_error(error, "list"));
  }
  for (;;) {
    errno = 0;
    dirent* entry = ::readdir(handle.get());
    if (!entry) break;
    if (keep(std::string_view(entry->d_name))) names.emplace_back(entry->d_name);
  }
  if (errno) return fail(errno_error(errno, "list"));
  std::sort(names.begin(), names.end());
  return names;
}

const std::string temporary_folder = "tmp";

bool is_folder(std::string_view name) { return name.size() == 1 && valid_name(std::string(name) + "000"); }

/// mkdirat that accepts an existing directory; 0 or errno. `made` tells whether it is new.
int make_directory(int at, const std::string& path, bool& made) {
  if (::mkdirat(at, path.c_str(), 0700) == 0) {
    made = true;
    return 0;
  }
  return errno == EEXIST ? 0 : errno;
}

int sync_directory_at(int at, const std::string& path) {
  Fd fd(::openat(at, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd ? sync_fd(fd.get()) : errno;
}

int reserve(int fd, uint64_t bytes) {
  int error = EINTR;
  while (error == EINTR) error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  return error;
}

}  // namespace

Result<std::unique_ptr<BodyFiles>> BodyFiles::open(const std::string& directory, uint64_t free_floor_bytes) {
  TRAM_TRY(fd, open_private_directory(directory));
  bool made = false;
  if (int error = make_directory(fd.get(), temporary_folder, made)) return fail(errno_error(error, "tmp"));
  TRAM_TRY(leftovers, entries(fd.get(), temporary_folder, valid_name));  // D5
  for (const std::string& name : leftovers) ::unlinkat(fd.get(), (temporary_folder + "/" + name).c_str(), 0);
  // A process that was killed may have left entries and bytes only in the page cache; from here on they are durable.
  if (::syncfs(fd.get()) != 0) return fail(errno_error(errno, "syncfs"));
  return std::unique_ptr<BodyFiles>(new BodyFiles(fd.release(), free_floor_bytes));
}

BodyFiles::~BodyFiles() { ::close(directory_); }

tl::unexpected<Error> BodyFiles::system_error(int error, std::string_view what) const {
  if (error == ENOENT) return fail(ErrorCode::not_found, std::string(what));
  Error mapped = errno_error(error, what);
  // Only the disk's own failures are sticky (R2); too many open files and the like pass.
  if (error == EIO || error == EROFS || error == ENXIO || error == ENODEV) failed_ = true;
  if (error == EMFILE || error == ENFILE || error == ENOMEM) mapped.code = ErrorCode::busy;
  return fail(std::move(mapped));
}

Result<int> BodyFiles::open_file(std::string_view name, int flags) const {
  if (failed_) return fail(ErrorCode::io_failed, "the disk failed before");
  if (!valid_name(name)) return fail(ErrorCode::bad_request, "body name");
  int fd = ::openat(directory_, path_of(name).c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(errno, "body");
  return fd;
}

Result<void> BodyFiles::create(std::string_view name, uint64_t total_bytes) {
  if (!valid_name(name)) return fail(ErrorCode::bad_request, "body name");
  if (total_bytes > static_cast<uint64_t>(INT64_MAX)) return fail(ErrorCode::too_large, "body");
  auto there = open_file(name, O_RDWR);
  if (there) {
    Fd owner(*there);
    struct stat status {};
    if (::fstat(*there, &status) != 0) return system_error(errno, "body");
    if (static_cast<uint64_t>(status.st_size) != total_bytes) return fail(ErrorCode::conflict, "body of another size");
    // A crash between creation and reservation leaves a short file, which is a conflict above; blocks of a file of the
    // full size may still be missing after a copy, so reserve again: it costs nothing when they are there.
    if (int error = total_bytes ? reserve(*there, total_bytes) : 0) return system_error(error, "reserve");
    return {};
  }
  if (there.error().code != ErrorCode::not_found) return fail(std::move(there.error()));

  TRAM_TRY(disk, space());
  if (disk.free_bytes < total_bytes || disk.free_bytes - total_bytes < free_floor_bytes_)
    return fail(ErrorCode::storage_full, "bodies");

  // Reserved under a temporary name, so that a file of the final name always has its final size.
  std::string path = path_of(name), temporary = temporary_folder + "/" + std::string(name);
  constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  Fd fd(::openat(directory_, temporary.c_str(), flags, 0600));
  if (!fd && errno == EEXIST) {  // left by an attempt that failed
    ::unlinkat(directory_, temporary.c_str(), 0);
    fd = Fd(::openat(directory_, temporary.c_str(), flags, 0600));
  }
  if (!fd) return system_error(errno, "body");
  int error = total_bytes ? reserve(fd.get(), total_bytes) : 0;
  {
    std::lock_guard lock(mutex_);
    if (!error) entry_not_synced_.emplace(name);
  }
  const auto enter = [&] {
    return ::renameat2(directory_, temporary.c_str(), directory_, path.c_str(), RENAME_NOREPLACE) == 0 ? 0 : errno;
  };
  if (!error) error = enter();
  if (error == ENOENT) {
    bool folder_made = false;
    error = make_directory(directory_, folder_of(name), folder_made);
    // A new directory is synced at once: a later sync() of any file inside relies on it.
    if (!error && folder_made) error = sync_fd(directory_);
    if (!error) error = enter();
  }
  if (error) {
    ::unlinkat(directory_, temporary.c_str(), 0);
    if (error == EEXIST) return fail(ErrorCode::conflict, "body made twice at once");
    return system_error(error, "reserve");
  }
  return {};
}

Result<void> BodyFiles::write_chunk(std::string_view name, uint32_t index, BytesView bytes) {
  if (bytes.size() > limits::sealed_chunk_bytes) return fail(ErrorCode::too_large, "chunk");
  TRAM_TRY(raw, open_file(name, O_WRONLY));
  Fd fd(raw);
  struct stat status {};
  if (::fstat(raw, &status) != 0) return system_error(errno, "body");
  uint64_t offset = uint64_t{index} * limits::sealed_chunk_bytes;
  if (offset + bytes.size() > static_cast<uint64_t>(status.st_size)) return fail(ErrorCode::too_large, "chunk index");
  if (int error = pwrite_all(raw, bytes, offset)) return system_error(error, "write");
  return {};
}

Result<void> BodyFiles::read_chunk_into(std::string_view name, uint32_t index, std::span<uint8_t> out) const {
  if (out.size() > limits::sealed_chunk_bytes) return fail(ErrorCode::too_large, "chunk");
  TRAM_TRY(raw, open_file(name, O_RDONLY));
  Fd fd(raw);
  int64_t n = pread_all(raw, out, uint64_t{index} * limits::sealed_chunk_bytes);
  if (n < 0) return system_error(static_cast<int>(-n), "read");
  if (static_cast<size_t>(n) != out.size()) return fail(ErrorCode::store_corrupt, "body is shorter than its chunks");
  return {};
}

Result<Bytes> BodyFiles::read_chunk(std::string_view name, uint32_t index, size_t bytes) const {
  if (bytes > limits::sealed_chunk_bytes) return fail(ErrorCode::too_large, "chunk");
  Bytes out(bytes);
  TRAM_OK(read_chunk_into(name, index, out));
  return out;
}

Result<void> BodyFiles::write_at(std::string_view name, uint64_t offset, BytesView bytes) {
  if (offset > static_cast<uint64_t>(INT64_MAX) - bytes.size()) return fail(ErrorCode::too_large, "offset");
  TRAM_TRY(raw, open_file(name, O_WRONLY));
  Fd fd(raw);
  if (int error = pwrite_all(raw, bytes, offset)) return system_error(error, "write");
  return {};
}

Result<size_t> BodyFiles::read_at_into(std::string_view name, uint64_t offset, std::span<uint8_t> out) const {
  if (offset > static_cast<uint64_t>(INT64_MAX) - out.size()) return fail(ErrorCode::too_large, "offset");
  TRAM_TRY(raw, open_file(name, O_RDONLY));
  Fd fd(raw);
  int64_t n = pread_all(raw, out, offset);
  if (n < 0) return system_error(static_cast<int>(-n), "read");
  return static_cast<size_t>(n);
}

Result<Bytes> BodyFiles::read_at(std::string_view name, uint64_t offset, size_t bytes) const {
  Bytes out(bytes);
  TRAM_TRY(n, read_at_into(name, offset, out));
  out.resize(n);
  return out;
}

Result<void> BodyFiles::truncate(std::string_view name, uint64_t bytes) {
  if (bytes > static_cast<uint64_t>(INT64_MAX)) return fail(ErrorCode::too_large, "size");
  TRAM_TRY(raw, open_file(name, O_WRONLY));
  Fd fd(raw);
  if (::ftruncate(raw, static_cast<off_t>(bytes)) != 0) return system_error(errno, "truncate");
  return {};
}

Result<uint64_t> BodyFiles::size(std::string_view name) const {
  TRAM_TRY(raw, open_file(name, O_RDONLY));
  Fd fd(raw);
  struct stat status {};
  if (::fstat(raw, &status) != 0) return system_error(errno, "body");
  return static_cast<uint64_t>(status.st_size);
}

Result<void> BodyFiles::sync(std::string_view name) {
  TRAM_TRY(raw, open_file(name, O_WRONLY));
  Fd fd(raw);
  auto final_failure = [&](int error, std::string_view what) {
    Error mapped = errno_error(error, what);
    if (mapped.code != ErrorCode::storage_full) failed_ = true;  // D2: never retried
    return fail(std::move(mapped));
  };
  int error = EINTR;
  while (error == EINTR) error = ::fdatasync(raw) == 0 ? 0 : errno;
  if (error) return final_failure(error, "fdatasync");
  bool first;
  {
    std::lock_guard lock(mutex_);
    first = entry_not_synced_.contains(name);
  }
  if (!first) return {};
  if ((error = sync_directory_at(directory_, folder_of(name)))) return final_failure(error, "fsync of the directory");
  std::lock_guard lock(mutex_);
  if (auto it = entry_not_synced_.find(name); it != entry_not_synced_.end()) entry_not_synced_.erase(it);
  return {};
}

Result<void> BodyFiles::remove(std::string_view name) {
  if (failed_) return fail(ErrorCode::io_failed, "the disk failed before");
  if (!valid_name(name)) return fail(ErrorCode::bad_request, "body name");
  if (::unlinkat(directory_, path_of(name).c_str(), 0) != 0 && errno != ENOENT) return system_error(errno, "remove");
  std::lock_guard lock(mutex_);
  if (auto it = entry_not_synced_.find(name); it != entry_not_synced_.end()) entry_not_synced_.erase(it);
  return {};
}

Result<std::vector<BodyFile>> BodyFiles::list(std::string_view after, size_t limit) const {
  std::vector<BodyFile> files;
  TRAM_TRY(folders, entries(directory_, ".", is_folder));
  for (const std::string& folder : folders) {
    if (folder < after.substr(0, 1)) continue;
    TRAM_TRY(names, entries(directory_, folder, [&](std::string_view name) {
               return valid_name(name) && folder_of(name) == folder && name > after;
             }));
    for (std::string& name : names) {
      if (files.size() == limit) return files;
      struct stat status {};
      if (::fstatat(directory_, (folder + "/" + name).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        return system_error(errno, "list");
      }
      files.push_back({std::move(name), static_cast<uint64_t>(status.st_size)});
    }
  }
  return files;
}

Result<DiskSpace> BodyFiles::space() const {
  struct statvfs disk {};
  if (::fstatvfs(directory_, &disk) != 0) return fail(errno_error(errno, "statvfs"));
  DiskSpace space;
  const uint64_t usable = disk.f_blocks - disk.f_bfree + disk.f_bavail;  // without what is reserved for root
  space.total_bytes = usable * disk.f_frsize;
  space.free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  space.free_percent = usable ? static_cast<unsigned>(uint64_t{disk.f_bavail} * 100 / usable) : 0;
  return space;
}

}  // namespace tram::io
