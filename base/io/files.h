// Descriptors for the other files of this folder: owned descriptors, whole reads and writes, and the one mapping from
// errno to the error table. Private to base/io.
// Invariants: EINTR and short writes are never visible (D3); ENOSPC, EDQUOT and EFBIG are storage_full, all
// else io_failed.
// Thread: any.
#pragma once
#include <unistd.h>

#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace tram::io {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// storage_full, or io_failed; detail "what: strerror".
Error errno_error(int error, std::string_view what);
/// 0 or errno.
int write_all(int fd, BytesView bytes);
int pwrite_all(int fd, BytesView bytes, uint64_t offset);
/// Bytes read (fewer than asked only at the end of the file), or -errno.
int64_t pread_all(int fd, std::span<uint8_t> out, uint64_t offset);
/// Opens a directory, creating it with mode 0700 when absent; refuses one that others can write or that is not ours.
Result<Fd> open_private_directory(const std::string& path);
/// fsync; 0 or errno.
int sync_fd(int fd);
/// The names in a directory are on the disk.
Result<void> sync_directory(const std::string& path);

}  // namespace tram::io
