#include "base/io/file_bodies.h"

namespace tram::io {

Result<void> FileBodies::read(std::string_view name, uint64_t offset, std::span<uint8_t> out) {
  TRAM_TRY(read, files_.read_at_into(name, offset, out));
  if (read != out.size()) return fail(ErrorCode::not_found, "body shorter than asked");
  return {};
}

Result<std::vector<std::string>> FileBodies::list() {
  constexpr size_t page = 16384;  // each page reads a whole folder
  std::vector<std::string> names;
  for (;;) {
    TRAM_TRY(files, files_.list(names.empty() ? std::string_view() : std::string_view(names.back()), page));
    for (auto& file : files) names.push_back(std::move(file.name));
    if (files.size() < page) return names;
  }
}

}  // namespace tram::io
