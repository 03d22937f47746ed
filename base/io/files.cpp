#include "base/io/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace tram::io {

Error errno_error(int error, std::string_view what) {
  char buffer[128];
  std::string detail(what);
  detail += ": ";
  detail += strerror_r(error, buffer, sizeof buffer);
  bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return {full ? ErrorCode::storage_full : ErrorCode::io_failed, std::move(detail)};
}

int write_all(int fd, BytesView bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return 0;
}

int pwrite_all(int fd, BytesView bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

int64_t pread_all(int fd, std::span<uint8_t> out, uint64_t offset) {
  size_t done = 0;
  while (done < out.size()) {
    ssize_t n = ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<int64_t>(done);
}

int sync_fd(int fd) {
  while (::fsync(fd) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

Result<void> sync_directory(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (const int error = fd ? sync_fd(fd.get()) : errno) return fail(errno_error(error, "directory " + path));
  return {};
}

Result<Fd> open_private_directory(const std::string& path) {
  bool made = ::mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return fail(errno_error(errno, "directory " + path));
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(errno_error(errno, "directory " + path));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return fail(errno_error(errno, "directory " + path));
  if (status.st_uid != ::geteuid() && status.st_uid != 0) return fail(ErrorCode::unsafe_permissions, "owner of " + path);
  if (status.st_mode & 0022) return fail(ErrorCode::unsafe_permissions, "chmod 700 " + path);
  if (made) {
    size_t slash = path.find_last_of('/', path.size() - (path.ends_with('/') ? 2 : 1));
    std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    TRAM_OK(sync_directory(parent));
  }
  return fd;
}

}  // namespace tram::io
