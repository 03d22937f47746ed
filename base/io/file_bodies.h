// The Bodies port over BodyFiles. Thread: as BodyFiles.
#pragma once
#include "base/io/body_files.h"
#include "base/ports.h"

namespace tram::io {

class FileBodies final : public Bodies {
 public:
  explicit FileBodies(BodyFiles& files) : files_(files) {}
  Result<void> create(std::string_view name, uint64_t bytes) override { return files_.create(name, bytes); }
  Result<void> write(std::string_view name, uint64_t offset, BytesView bytes) override { return files_.write_at(name, offset, bytes); }
  Result<void> sync(std::string_view name) override { return files_.sync(name); }
  Result<void> read(std::string_view name, uint64_t offset, std::span<uint8_t> out) override;
  Result<void> remove(std::string_view name) override { return files_.remove(name); }
  Result<std::vector<std::string>> list() override;

 private:
  BodyFiles& files_;
};

}  // namespace tram::io
