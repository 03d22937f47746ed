// What is being opened, in a file beside the store: when the process dies, the next one knows what may have killed it (R44).
// Written without a sync: the file cache outlives the process, and a machine that loses power accuses no document.
// Thread: the loop's.
#pragma once
#include <map>

#include "base/io/files.h"
#include "base/ids.h"

namespace tram::node {

class OpeningMarks {
 public:
  /// What the process before had under way; nothing after a proper end, and nothing that cannot be read.
  static std::vector<Hash> left_behind(const std::string& path);
  explicit OpeningMarks(std::string path) : path_(std::move(path)) {}

  void begin(std::span<const Hash> ids);
  void end(std::span<const Hash> ids);
  /// Puts into the file what changed. Error: storage_full (what dies now is not blamed), io_failed.
  Result<void> write();
  /// The disk failed under the file: the process stops as for its store (R2).
  bool failed() const { return failed_; }
  /// A proper end: nothing was being opened that could be blamed.
  void remove();

 private:
  Result<void> write_file();

  std::string path_;
  io::Fd file_;
  std::map<Hash, uint32_t> open_;
  bool changed_ = false;
  bool failed_ = false;
};

}  // namespace tram::node
