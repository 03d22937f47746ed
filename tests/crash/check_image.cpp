// check_image: crash images of one daemon, made from a recorded run and reopened by the shipped code.
// First the run without a crash: what the store held after each commit, and which commit each promise (custody, ACK,
// 2xx, announced sequence number …) came after. A promise that left before its commit is a failure by itself.
// Then images: at every change of the disk, several ways to lose what was not synced. Each must open, decode, start,
// hold its bodies, be exactly one of the committed states, none older than the last commit that had ended, and keep
// every promise made so far, unless a later commit took the matter away lawfully.
// Workers are forked, since a damaged store may kill the process that opens it.
#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "broker/io/home.h"
#include "crypto/seal.h"
#include "tests/crash/facts.h"

namespace tram::crash {
namespace {

namespace fs = std::filesystem;

constexpr size_t failures_shown = 8;
constexpr int harness_failed = 3;

struct Options {
  std::string role = "broker", base, trace, scratch;
  uint64_t seed = 1, images = 1000;
  int key_fd = -1;
  bool lying = false;
  int64_t point = -1;
};

/// Puts images into a folder; what has not changed since the last one is left as it is.
class Scratch {
 public:
  explicit Scratch(std::string folder) : folder_(std::move(folder)) {}

  void clear() {
    for (const auto& entry : fs::directory_iterator(folder_)) fs::remove_all(entry.path());
    shown_.clear();
  }

  void show(const Image& image) {
    // The check itself may have changed these.
    fs::remove_all(folder_ + "/bodies/tmp");
    std::erase_if(shown_, [](const auto& one) { return one.first == "bodies/tmp" || one.first.starts_with("bodies/tmp/"); });
    shown_.erase("store/data.mdb");
    for (auto it = shown_.begin(); it != shown_.end();) {
      if (image.contains(it->first)) {
        ++it;
      } else {
        fs::remove_all(folder_ + "/" + it->first);
        it = shown_.erase(it);
      }
    }
    if (!image.contains("store/data.mdb")) fs::remove(folder_ + "/store/data.mdb");
    for (const auto& [path, content] : image) {
      const std::string whole = folder_ + "/" + path;
      auto known = shown_.find(path);
      if (!content) {
        if (known == shown_.end()) {
          fs::create_directories(whole);
          fs::permissions(whole, fs::perms::owner_all);
          shown_[path] = {};
        }
        continue;
      }
      if (known != shown_.end() && known->second == *content) continue;
      put(whole, *content);
      if (path != "store/data.mdb") shown_[path] = *content;
    }
  }

 private:
  static void put(const std::string& path, const Bytes& content) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    size_t done = 0;
    while (fd >= 0 && done < content.size()) {
      const ssize_t n = ::pwrite(fd, content.data() + done, content.size() - done, static_cast<off_t>(done));
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    if (fd < 0 || done != content.size() || ::ftruncate(fd, static_cast<off_t>(content.size())) != 0 || ::close(fd) != 0) {
      std::perror(path.c_str());
      ::_exit(harness_failed);
    }
  }

  std::string folder_;
  std::map<std::string, Bytes> shown_;
};

struct State {
  size_t record = 0;  // of the write that made it so; the base: none
  Snapshot snapshot;
};

/// Shared with the workers.
struct Tally {
  uint64_t next = 0;  // image to make
  uint64_t images = 0, lost = 0, damaged = 0, died = 0, shown = 0;
};

class Check {
 public:
  Check(const Options& options, const crypto::KeyRing& ring)
      : options_(options), ring_(ring), role_(options.role == "broker" ? Role::broker : Role::node), scratch_(options.scratch) {
    std::ifstream file(options.trace, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    trace_ = read_trace(bytes_);
  }

  int run() {
    if (auto read = replay(); !read) {
      std::printf("the run itself, without a crash: %s\n", describe(read.error()).c_str());
      return 1;
    }
    const size_t early = match_promises();
    for (size_t i = 0; i < trace_.size(); ++i)
      if (trace_[i].changes_disk()) points_.push_back(i);
    if (points_.empty() || promises_.empty()) {
      std::printf("nothing was recorded\n");
      return 1;
    }
    void* map = ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    tally_ = new (map) Tally;
    per_point_ = (options_.images + points_.size() - 1) / points_.size();
    const uint64_t all = per_point_ * points_.size();
    while (tally_->next < all) {
      std::fflush(stdout);
      const pid_t child = ::fork();
      if (child == 0) {
        work();
        std::fflush(stdout);
        ::_exit(0);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
      if (WIFEXITED(status) && WEXITSTATUS(status) == harness_failed) return harness_failed;
      ++tally_->images, ++tally_->died;
      report(tally_->next, "the process that opened it died, status " + std::to_string(status));
      ++tally_->next;
    }
    std::printf("{\"images\": %llu, \"lost\": %llu, \"damaged\": %llu, \"died\": %llu, \"early\": %zu, \"points\": %zu, "
                "\"commits\": %zu, \"promises\": %zu}\n",
                static_cast<unsigned long long>(tally_->images), static_cast<unsigned long long>(tally_->lost),
                static_cast<unsigned long long>(tally_->damaged), static_cast<unsigned long long>(tally_->died), early,
                points_.size(), states_.size() - 1, promises_.size());
    return early + tally_->lost + tally_->damaged + tally_->died ? 1 : 0;
  }

 private:
  /// The states that the run went through.
  Result<void> replay() {
    Disk disk(options_.base, Syncs::honoured);
    auto keep = [&](size_t record) -> Result<void> {
      scratch_.show(disk.whole());
      TRAM_TRY(snapshot, examine(role_, options_.scratch, ring_));
      states_.push_back({record, std::move(snapshot)});
      return {};
    };
    TRAM_OK(keep(0));
    for (size_t i = 0; i < trace_.size(); ++i) {
      disk.apply(trace_[i]);
      if (trace_[i].kind == Kind::write_synced && trace_[i].path == "store/data.mdb") TRAM_OK(keep(i));
    }
    return {};
  }

  /// The last state whose commit had ended when record `at` came.
  size_t state_before(size_t at) const {
    size_t found = 0;
    for (size_t j = 1; j < states_.size() && states_[j].record < at; ++j) found = j;
    return found;
  }

  bool holds(const Facts& facts, const Promise& promise) const {
    auto found = facts.find(promise.fact);
    return found != facts.end() && found->second >= promise.least;
  }

  /// How many promises left before what they say was durable.
  size_t match_promises() {
    size_t early = 0;
    promises_ = read_promises(role_, trace_);
    for (const Promise& promise : promises_) {
      const size_t at = state_before(promise.record);
      size_t until = states_.size();
      if (holds(states_[at].snapshot.facts, promise)) {
        for (size_t j = at + 1; j < states_.size() && until == states_.size(); ++j)
          if (!holds(states_[j].snapshot.facts, promise)) until = j;
      } else if (was_held(at, promise)) {
        until = 0;  // taken away before this repeat of an old answer
      } else {
        ++early;
        if (early <= failures_shown) std::printf("promised before it was durable: %s\n", promise.fact.c_str());
      }
      until_.push_back(until);
    }
    return early;
  }
  bool was_held(size_t before, const Promise& promise) const {
    for (size_t j = 0; j < before; ++j)
      if (holds(states_[j].snapshot.facts, promise)) return true;
    return false;
  }

  void report(uint64_t image, const std::string& what) {
    if (tally_->shown++ >= failures_shown) return;
    const size_t point = points_[image / per_point_];
    std::printf("image %llu of point %zu (%s): %s\n", static_cast<unsigned long long>(image % per_point_), point,
                trace_[point].path.c_str(), what.c_str());
  }

  void work() {
    scratch_.clear();  // another worker may have died in the middle of it
    Disk disk(options_.base, options_.lying ? Syncs::ignored : Syncs::honoured);
    size_t record = 0;
    for (uint64_t image = 0; image < per_point_ * points_.size(); ++image) {
      const size_t point = points_[image / per_point_];
      for (; record <= point; ++record) disk.apply(trace_[record]);
      if (image < tally_->next) continue;
      tally_->next = image;
      if (options_.point >= 0 && static_cast<size_t>(options_.point) != point) continue;
      std::mt19937_64 random(options_.seed * 1000003 + point * 1009 + image % per_point_);
      judge(image, point, disk.crash(random));
    }
    tally_->next = per_point_ * points_.size();
  }

  void judge(uint64_t image, size_t point, const Image& content) {
    scratch_.show(content);
    auto snapshot = examine(role_, options_.scratch, ring_);
    ++tally_->images;
    if (!snapshot) {
      ++tally_->damaged;
      return report(image, describe(snapshot.error()));
    }
    const size_t oldest = state_before(point);
    size_t found = states_.size();
    for (size_t j = std::min(oldest + 1, states_.size() - 1) + 1; j-- > 0 && found == states_.size();)
      if (states_[j].snapshot.digest == snapshot->digest) found = j;
    if (found == states_.size()) {
      ++tally_->damaged;
      return report(image, "a state that never was");
    }
    for (size_t i = 0; i < promises_.size() && promises_[i].record <= point; ++i) {
      if (until_[i] <= found || holds(snapshot->facts, promises_[i])) continue;
      ++tally_->lost;
      return report(image, "lost: " + promises_[i].fact);
    }
    if (found < oldest) {
      ++tally_->lost;
      return report(image, "a commit that had ended is not there");
    }
  }

  const Options& options_;
  const crypto::KeyRing& ring_;
  Role role_;
  Scratch scratch_;
  Bytes bytes_;
  std::vector<Record> trace_;
  std::vector<State> states_;
  std::vector<Promise> promises_;
  std::vector<size_t> until_;  // state from which on a promise need not hold any more
  std::vector<size_t> points_;
  uint64_t per_point_ = 1;
  Tally* tally_ = nullptr;
};

int main(int argc, char** argv) {
  crypto::initialize();
  Options options;
  CLI::App app{"check_image: crash images of a recorded run, reopened and checked"};
  app.add_option("--role", options.role, "Whose home it is")->check(CLI::IsMember({"broker", "node"}));
  app.add_option("--base", options.base, "The home as it was before the run")->required()->check(CLI::ExistingDirectory);
  app.add_option("--trace", options.trace, "What the preloaded recorder wrote")->required()->check(CLI::ExistingFile);
  app.add_option("--scratch", options.scratch, "Folder for the images; in memory is fastest")->required();
  app.add_option("--key-fd", options.key_fd, "Read the raw key of the key file from this descriptor")->required();
  app.add_option("--images", options.images, "How many, at least one a point");
  app.add_option("--seed", options.seed, "Which ones");
  app.add_option("--point", options.point, "Only those of this point");
  app.add_flag("--lying", options.lying, "The disk forgets what was synced too: the checks must see it");
  CLI11_PARSE(app, argc, argv);
  auto ring = daemon::open_key_ring(options.base, {options.key_fd, {}, true});
  if (!ring) {
    std::fprintf(stderr, "check_image: %s\n", describe(ring.error()).c_str());
    return 2;
  }
  fs::create_directories(options.scratch);
  fs::permissions(options.scratch, fs::perms::owner_all);
  return Check(options, *ring).run();
}

}  // namespace
}  // namespace tram::crash

int main(int argc, char** argv) { return tram::crash::main(argc, argv); }
