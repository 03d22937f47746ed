#include "tests/crash/disk.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace tram::crash {
namespace {

constexpr size_t sector = 512;

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

bool chance(std::mt19937_64& random, unsigned percent) { return random() % 100 < percent; }

}  // namespace

std::vector<Record> read_trace(BytesView trace) {
  std::vector<Record> records;
  while (trace.size() >= sizeof(RecordHead)) {
    RecordHead head;
    std::memcpy(&head, trace.data(), sizeof head);
    trace = trace.subspan(sizeof head);
    if (trace.size() < head.path_bytes + head.data_bytes) break;
    Record record{static_cast<Kind>(head.kind), head.id, head.offset, std::string(text(trace.first(head.path_bytes))), {}};
    record.data = trace.subspan(head.path_bytes, head.data_bytes);
    trace = trace.subspan(head.path_bytes + head.data_bytes);
    records.push_back(std::move(record));
  }
  return records;
}

Disk::Disk(const std::string& home, Syncs syncs) : syncs_(syncs) {
  namespace fs = std::filesystem;
  std::map<std::string, uint64_t> inodes;
  std::ifstream list(home + ".inodes");
  for (auto [id, path] = std::pair(uint64_t{}, std::string()); list >> id && std::getline(list >> std::ws, path);) inodes[path] = id;
  for (const auto& entry : fs::recursive_directory_iterator(home)) {
    const std::string path = fs::relative(entry.path(), home).string();
    if (entry.is_socket() || path == "store/lock.mdb") continue;
    if (entry.is_directory()) {
      names_[path] = 0;
      continue;
    }
    names_[path] = inodes.at(path);
    std::ifstream file(entry.path(), std::ios::binary);
    files_[inodes.at(path)].durable->assign(std::istreambuf_iterator<char>(file), {});
  }
}

void Disk::write(Bytes& into, const Write& one) {
  if (one.what == Write::What::length) {
    into.resize(one.offset);
  } else if (one.what == Write::What::at_least) {
    if (into.size() < one.offset) into.resize(one.offset);
  } else {
    if (into.size() < one.offset + one.data.size()) into.resize(one.offset + one.data.size());
    std::copy(one.data.begin(), one.data.end(), into.begin() + static_cast<ptrdiff_t>(one.offset));
  }
}

void Disk::change(Names& names, const Change& one) {
  if (one.kind == Kind::unlink) {
    names.erase(one.path);
    return;
  }
  if (one.kind == Kind::rename) names.erase(one.from);
  names[one.path] = one.kind == Kind::make_directory ? 0 : one.id;
}

void Disk::settle(File& file) {
  for (const Write& one : file.pending) write(*file.durable, one);
  file.pending.clear();
}

/// An O_DSYNC write is durable once it has returned: when anything else happens in the trace.
void Disk::settle_last() {
  if (!last_synced_write_) return;
  File& file = files_[last_synced_write_];
  last_synced_write_ = 0;
  if (file.pending.empty() || !file.pending.back().synced) return;
  const Write one = file.pending.back();
  file.pending.pop_back();
  // It overtakes writes through other descriptors that are not synced yet.
  write(*file.durable, one);
}

void Disk::apply(const Record& record) {
  settle_last();
  switch (record.kind) {
    case Kind::write:
    case Kind::write_synced: {
      const bool synced = record.kind == Kind::write_synced && syncs_ == Syncs::honoured;
      files_[record.id].pending.push_back({record.offset, record.data, Write::What::data, synced});
      if (synced) last_synced_write_ = record.id;
      break;
    }
    case Kind::truncate:
      files_[record.id].pending.push_back({record.offset, {}, Write::What::length, false});
      break;
    case Kind::allocate:
      files_[record.id].pending.push_back({record.offset, {}, Write::What::at_least, false});
      break;
    case Kind::sync: {
      if (syncs_ == Syncs::ignored) break;
      if (auto file = files_.find(record.id); file != files_.end()) {
        settle(file->second);
        break;
      }
      auto of_folder = [&](const Change& one) { return folder_of(one.path) == record.path; };
      for (const Change& one : changes_)
        if (of_folder(one)) change(names_, one);
      std::erase_if(changes_, of_folder);
      break;
    }
    case Kind::sync_all:
      if (syncs_ == Syncs::ignored) break;
      for (auto& [id, file] : files_) settle(file);
      for (const Change& one : changes_) change(names_, one);
      changes_.clear();
      break;
    case Kind::create:
      files_[record.id] = {};
      [[fallthrough]];
    case Kind::make_directory:
    case Kind::rename:
    case Kind::unlink:
      changes_.push_back({record.kind, record.path, std::string(text(record.data)), record.id});
      break;
    default:
      break;
  }
}

size_t Disk::pending() const {
  size_t count = changes_.size();
  for (const auto& [id, file] : files_) count += file.pending.size();
  return count;
}

Image Disk::image(const Names& names, const std::map<uint64_t, Content>& contents) const {
  Image image;
  for (const auto& [path, id] : names) {
    const std::string folder = folder_of(path);
    if (folder != "." && !image.contains(folder)) continue;  // its folder is not there; names are in order
    if (id == 0) image[path] = nullptr;
    else if (auto found = contents.find(id); found != contents.end()) image[path] = found->second;
  }
  return image;
}

Image Disk::whole() const {
  Names names = names_;
  for (const Change& one : changes_) change(names, one);
  std::map<uint64_t, Content> contents;
  for (const auto& [id, file] : files_) {
    if (file.pending.empty()) {
      contents[id] = file.durable;
      continue;
    }
    auto bytes = std::make_shared<Bytes>(*file.durable);
    for (const Write& one : file.pending) write(*bytes, one);
    contents[id] = std::move(bytes);
  }
  return image(names, contents);
}

Image Disk::crash(std::mt19937_64& random) const {
  // A few ways to lose, since an even coin for every write hardly ever keeps or drops all of them.
  static constexpr unsigned keeps[] = {0, 10, 50, 90, 100};
  const unsigned keep = keeps[random() % 5], torn = chance(random, 50) ? 25 : 0;

  Names names = names_;
  if (chance(random, 50)) {  // a journal: the first of them, in order
    const size_t kept = changes_.empty() ? 0 : random() % (changes_.size() + 1);
    for (size_t i = 0; i < kept; ++i) change(names, changes_[i]);
  } else {
    for (const Change& one : changes_)
      if (chance(random, keep)) change(names, one);
  }

  std::map<uint64_t, Content> contents;
  for (const auto& [id, file] : files_) {
    if (file.pending.empty()) {
      contents[id] = file.durable;
      continue;
    }
    auto bytes = std::make_shared<Bytes>(*file.durable);
    std::vector<uint64_t> lengths{file.durable->size()};
    for (const Write& one : file.pending) {
      if (!chance(random, keep)) continue;
      if (one.what == Write::What::data && chance(random, torn)) {
        for (size_t at = 0; at < one.data.size(); at += sector) {
          if (chance(random, 50)) continue;
          write(*bytes, {one.offset + at, one.data.subspan(at, std::min(sector, one.data.size() - at)), Write::What::data, false});
        }
      } else {
        write(*bytes, one);
      }
      lengths.push_back(bytes->size());
    }
    // Contents may be on the disk before the length that covers them.
    if (chance(random, 25)) bytes->resize(std::min<uint64_t>(bytes->size(), lengths[random() % lengths.size()]));
    contents[id] = std::move(bytes);
  }
  return image(names, contents);
}

}  // namespace tram::crash
