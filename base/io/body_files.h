// Bodies too large for the store, one file each: sealed chunk i at offset i x 262,160 (protocol.md 8.6, 8.7); also the
// staging files of uploads, addressed by byte offset. Files live at <directory>/<xx>/<name>.
// Invariants: what sync() confirmed survives a power cut, directory entries included (D1); after a failed sync or an
// I/O error every later call fails with io_failed (D2, R2); a reserved body cannot run out of disk half-way (D4).
// Not here: which chunks are present (a table of the store: file first, row second; deletion in reverse), hashes,
// encryption, expiry.
// Thread: any; calls on different names never wait for one another. Two writers of one range: the caller's affair.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <span>

#include "base/limits.h"
#include "base/result.h"
#include "base/bytes.h"

namespace tram::io {

struct BodyFile {
  std::string name;
  uint64_t bytes = 0;
};

struct DiskSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // for us, not for root
  unsigned free_percent = 0;
};

class BodyFiles {
 public:
  /// Creates `directory` (mode 0700) when absent and syncs the file system once, so that everything found in it is
  /// durable. create() refuses to leave less than `free_floor_bytes` free. Errors: storage_full, io_failed,
  /// unsafe_permissions.
  static Result<std::unique_ptr<BodyFiles>> open(const std::string& directory, uint64_t free_floor_bytes = 0);
  ~BodyFiles();
  BodyFiles(const BodyFiles&) = delete;
  BodyFiles& operator=(const BodyFiles&) = delete;

  /// Reserves `total_bytes` of real blocks; 0 makes an empty, growing file. A file of this name and size that is
  /// already there is kept with its content (a resumed upload). `name` is 4..128 lower-case hex digits.
  /// Errors: storage_full, conflict (there, of another size), bad_request (name), io_failed.
  Result<void> create(std::string_view name, uint64_t total_bytes);

  /// Writes sealed chunk `index`. Errors: not_found, too_large (beyond the reserved size or one chunk), io_failed.
  Result<void> write_chunk(std::string_view name, uint32_t index, BytesView bytes);
  /// Exactly `bytes` bytes of chunk `index`. Errors: not_found, store_corrupt (the file is shorter), io_failed.
  Result<Bytes> read_chunk(std::string_view name, uint32_t index, size_t bytes) const;
  /// The same without a copy, into a buffer of exactly the chunk's size.
  Result<void> read_chunk_into(std::string_view name, uint32_t index, std::span<uint8_t> out) const;

  /// Staging: writes at any offset and grows the file. Errors: not_found, storage_full, io_failed.
  Result<void> write_at(std::string_view name, uint64_t offset, BytesView bytes);
  /// Up to `bytes` bytes; fewer only at the end of the file. Errors: not_found, io_failed.
  Result<Bytes> read_at(std::string_view name, uint64_t offset, size_t bytes) const;
  /// The same into `out`; how many bytes of it were filled.
  Result<size_t> read_at_into(std::string_view name, uint64_t offset, std::span<uint8_t> out) const;
  Result<void> truncate(std::string_view name, uint64_t bytes);
  /// Errors: not_found.
  Result<uint64_t> size(std::string_view name) const;

  /// Makes the content, and the first time the directory entries, durable. Errors: not_found, io_failed (sticky),
  /// storage_full.
  Result<void> sync(std::string_view name);
  /// Removing what is not there succeeds.
  Result<void> remove(std::string_view name);
  /// Up to `limit` files with names after `after`, in name order.
  Result<std::vector<BodyFile>> list(std::string_view after, size_t limit) const;
  Result<DiskSpace> space() const;
  /// Whether the disk failed (R2): the process has to stop before it promises anything more.
  bool failed() const { return failed_; }

 private:
  BodyFiles(int directory, uint64_t free_floor_bytes) : directory_(directory), free_floor_bytes_(free_floor_bytes) {}
  Result<int> open_file(std::string_view name, int flags) const;
  tl::unexpected<Error> system_error(int error, std::string_view what) const;

  int directory_;
  uint64_t free_floor_bytes_;
  mutable std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::set<std::string, std::less<>> entry_not_synced_;
};

}  // namespace tram::io
