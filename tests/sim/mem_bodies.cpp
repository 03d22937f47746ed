#include "tests/sim/mem_bodies.h"

#include <algorithm>

namespace tram::sim {

namespace {
constexpr size_t removals_uncertain_max = 4;

bool valid_name(std::string_view name) {
  return name.size() >= 4 && name.size() <= 128 &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
}  // namespace

Result<void> MemBodies::create(std::string_view name, uint64_t bytes) {
  if (!valid_name(name)) return fail(ErrorCode::bad_request, "body name");
  if (auto it = files_.find(name); it != files_.end()) {
    if (bytes && it->second.now.size() != bytes) return fail(ErrorCode::conflict, "body of another size");
    return {};
  }
  if (bytes > capacity_ || used_ > capacity_ - bytes) return fail(ErrorCode::storage_full, "bodies");
  used_ += bytes;
  files_[std::string(name)].now.resize(bytes);
  return {};
}

Result<void> MemBodies::write(std::string_view name, uint64_t offset, BytesView bytes) {
  auto it = files_.find(name);
  if (it == files_.end()) return fail(ErrorCode::not_found, "body");
  File& file = it->second;
  if (offset + bytes.size() > file.now.size()) {
    const uint64_t more = offset + bytes.size() - file.now.size();
    if (more > capacity_ || used_ > capacity_ - more) return fail(ErrorCode::storage_full, "bodies");
    used_ += more;
    file.now.resize(offset + bytes.size());
  }
  const auto at = static_cast<ptrdiff_t>(offset);
  // Bytes that are there already cannot be torn into others.
  if (offset + bytes.size() <= file.durable.size() && std::equal(bytes.begin(), bytes.end(), file.now.begin() + at) &&
      std::equal(bytes.begin(), bytes.end(), file.durable.begin() + at))
    return {};
  std::copy(bytes.begin(), bytes.end(), file.now.begin() + at);
  file.unsynced.emplace_back(offset, bytes.size());
  file.version = ++versions_;
  return {};
}

Result<void> MemBodies::sync(std::string_view name) {
  auto it = files_.find(name);
  if (it == files_.end()) return fail(ErrorCode::not_found, "body");
  File& file = it->second;
  file.entry_durable = true;
  file.version = ++versions_;
  file.durable.resize(file.now.size());
  for (const auto& [offset, bytes] : file.unsynced) {
    const auto at = static_cast<ptrdiff_t>(offset);
    std::copy_n(file.now.begin() + at, bytes, file.durable.begin() + at);
  }
  file.unsynced.clear();
  return {};
}

Result<void> MemBodies::read(std::string_view name, uint64_t offset, std::span<uint8_t> out) {
  auto it = files_.find(name);
  if (it == files_.end() || offset + out.size() > it->second.now.size()) return fail(ErrorCode::not_found, "body");
  std::copy_n(it->second.now.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
  return {};
}

Result<void> MemBodies::read_durable(std::string_view name, uint64_t offset, std::span<uint8_t> out) const {
  auto it = files_.find(name);
  if (it == files_.end() || !it->second.entry_durable || offset + out.size() > it->second.durable.size())
    return fail(ErrorCode::not_found, "body");
  for (const auto& [from, bytes] : it->second.unsynced)
    if (from < offset + out.size() && offset < from + bytes) return fail(ErrorCode::not_found, "not synced");
  std::copy_n(it->second.durable.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
  return {};
}

uint64_t MemBodies::version(std::string_view name) const {
  auto it = files_.find(name);
  return it == files_.end() ? 0 : it->second.version;
}

Result<void> MemBodies::remove(std::string_view name) {
  if (!valid_name(name)) return fail(ErrorCode::bad_request, "body name");
  auto it = files_.find(name);
  if (it == files_.end()) return {};
  used_ -= it->second.now.size();
  if (it->second.entry_durable) {
    removed_.emplace_back(it->first, std::move(it->second.durable));
    if (removed_.size() > removals_uncertain_max) removed_.erase(removed_.begin());
  }
  files_.erase(it);
  return {};
}

Result<std::vector<std::string>> MemBodies::list() {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  return names;
}

void MemBodies::power_cut(SimRandom& random) {
  for (auto it = files_.begin(); it != files_.end();) {
    File& file = it->second;
    if (!file.entry_durable && random.chance(500)) {
      used_ -= file.now.size();
      it = files_.erase(it);
      continue;
    }
    Bytes image = file.durable;
    image.resize(file.now.size());
    for (const auto& [offset, bytes] : file.unsynced) {
      if (random.chance(500)) continue;
      const uint64_t kept = random.chance(500) ? bytes : random.below(bytes + 1);
      std::copy_n(file.now.begin() + static_cast<ptrdiff_t>(offset), kept, image.begin() + static_cast<ptrdiff_t>(offset));
    }
    file.now = image;
    file.durable = std::move(image);
    file.entry_durable = true;
    file.version = ++versions_;
    file.unsynced.clear();
    ++it;
  }
  for (auto& [name, bytes] : removed_) {
    if (files_.contains(name) || random.chance(500)) continue;
    used_ += bytes.size();
    File& file = files_[name];
    file.now = file.durable = std::move(bytes);
    file.entry_durable = true;
    file.version = ++versions_;
  }
  removed_.clear();
}

bool MemBodies::flip_bit(uint64_t choice) {
  if (files_.empty()) return false;
  auto& [name, file] = *std::next(files_.begin(), static_cast<ptrdiff_t>(choice % files_.size()));
  if (file.durable.empty() || !file.unsynced.empty()) return false;
  const uint64_t bit = choice / files_.size() % (file.durable.size() * 8);
  const auto mask = static_cast<uint8_t>(1u << bit % 8);
  flip_ = Flip{name, bit / 8, file.durable[bit / 8]};
  file.durable[bit / 8] = static_cast<uint8_t>(file.durable[bit / 8] ^ mask);
  file.now[bit / 8] = static_cast<uint8_t>(file.now[bit / 8] ^ mask);
  file.version = ++versions_;
  return true;
}

bool MemBodies::rotten() const {
  if (!flip_) return false;
  auto it = files_.find(flip_->name);
  return it != files_.end() && flip_->byte < it->second.durable.size() && it->second.durable[flip_->byte] != flip_->was;
}

void MemBodies::lose_all() {
  files_.clear();
  removed_.clear();
  used_ = 0;
}

std::map<std::string, Bytes> MemBodies::dump() const {
  std::map<std::string, Bytes> files;
  for (const auto& [name, file] : files_)
    if (file.entry_durable) files.emplace(name, file.durable);
  return files;
}

void MemBodies::restore(const std::map<std::string, Bytes>& files) {
  lose_all();
  for (const auto& [name, content] : files) {
    files_[name] = File{content, content, ++versions_, true, {}};
    used_ += content.size();
  }
}

}  // namespace tram::sim
