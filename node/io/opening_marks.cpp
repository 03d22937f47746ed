#include "node/io/opening_marks.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io/secret_input.h"

namespace tram::node {

namespace {
constexpr size_t file_bytes_max = 1u << 20;
}

std::vector<Hash> OpeningMarks::left_behind(const std::string& path) {
  std::vector<Hash> ids;
  auto file = io::read_private_file(path, file_bytes_max);
  if (!file) return ids;
  Reader reader(file->view());
  const uint32_t count = reader.u32();
  for (uint32_t i = 0; i < count && reader.left() >= Hash::size; ++i) ids.push_back(Hash{reader.array<Hash::size>()});
  return ids;
}

void OpeningMarks::begin(std::span<const Hash> ids) {
  for (const Hash& id : ids) changed_ = ++open_[id] == 1 || changed_;
}

void OpeningMarks::end(std::span<const Hash> ids) {
  for (const Hash& id : ids) {
    const auto it = open_.find(id);
    if (it == open_.end() || --it->second > 0) continue;
    open_.erase(it);
    changed_ = true;
  }
}

Result<void> OpeningMarks::write() {
  if (!changed_) return {};
  changed_ = false;
  auto written = write_file();
  failed_ = failed_ || (!written && written.error().code == ErrorCode::io_failed);
  return written;
}

Result<void> OpeningMarks::write_file() {
  if (!file_) {
    file_ = io::Fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!file_) return fail(io::errno_error(errno, path_));
  }
  // Never shorter than before: the count says how much of it is meant.
  Bytes bytes;
  Writer out(bytes);
  out.u32(static_cast<uint32_t>(open_.size()));
  for (const auto& [id, times] : open_) out.raw(id);
  if (const int error = io::pwrite_all(file_.get(), bytes, 0)) return fail(io::errno_error(error, path_));
  return {};
}

void OpeningMarks::remove() {
  open_.clear();
  file_ = {};
  ::unlink(path_.c_str());
}

}  // namespace tram::node
