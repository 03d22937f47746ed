// What the simulated daemons share: store with the real value codec, body files, a clock of their own, life and death.
// Invariants: what a crash leaves is what was committed, and of the body files what MemBodies keeps; nothing else.
// Thread: one.
#pragma once
#include "audit/log.h"
#include "directory/directory.h"
#include "tests/sim/mem_bodies.h"
#include "tests/sim/network.h"
#include "tests/sim/realm.h"

namespace tram::sim {

/// Faults that hosts ask about at every step.
struct HostFaults {
  uint64_t crash_per_100000 = 0;    // at each step, somewhere between its begin and the last of its effects
  uint64_t power_cut_per_mille = 500;  // of the crashes: un-synced file writes go too
  uint64_t crash_in_collection_per_mille = 0;  // of the steps that let a body's files go
  Duration job_max = milliseconds(8);
  uint64_t slow_job_per_mille = 0;
  bool wraps_in_jobs = false;  // where a faulty sender's memory shows
  Duration down_min = milliseconds(200), down_max = seconds(30);
  Duration tick = seconds(1);
};

enum class CrashPoint { none, before_commit, before_effects, among_effects };

class Host {
 public:
  Host(World&, Network&, HostFaults&, const Realm&, const Party&, std::span<const Table> tables, uint64_t seed);
  virtual ~Host() = default;
  Host(const Host&) = delete;

  const Party& party() const { return party_; }
  const std::string& name() const { return party_.name; }
  bool up() const { return up_; }
  Time clock() const { return stopped_clock_ ? *stopped_clock_ : Time{world_.now().ms + skew_.ms}; }
  void set_skew(Duration skew) {
    skew_ = skew;
    strayed_ = std::max(strayed_, Duration{skew.ms < 0 ? -skew.ms : skew.ms});
    stopped_clock_.reset();
  }
  /// How far off its clock ever was.
  Duration strayed() const { return strayed_; }
  void stop_clock() { stopped_clock_ = clock(); }
  bool clock_ok() const { return !stopped_clock_ && skew_.ms > -2000 && skew_.ms < 2000; }
  /// SIGSTOP: what arrives waits, nothing leaves.
  void pause(Duration for_so_long) { paused_until_ = std::max(paused_until_, world_.now() + for_so_long); }
  /// From now on each commit takes up to so long; nothing leaves before it is done.
  void slow_disk(Duration commit_max) { commit_max_ = commit_max; }
  /// A bit on its disk was flipped, and nobody has repaired it.
  bool damaged() const { return damaged_; }

  virtual void boot() = 0;
  /// The process ends at once; with a power cut the file cache goes with it.
  void crash(bool power_cut);
  /// As crash(), and up again after a while.
  void crash_and_return(bool power_cut);
  void return_after(Duration delay);

  MemStore& raw() { return store_; }  // as faults see it
  Store& store() { return store_; }
  MemBodies& bodies() { return bodies_; }
  SimLog& log() { return log_; }

 protected:
  void use_codec(std::unique_ptr<ValueCodec> codec);
  virtual void forget() = 0;       // memory is gone
  virtual void step() = 0;
  CrashPoint pick_crash(bool collecting);
  /// True when the step must wait for the end of a pause; it then comes by itself.
  bool is_paused();
  /// Lets out what a step decided once the disk has it.
  void when_on_disk(std::function<void()> let_out);
  /// Somewhere in the near future there is a step.
  void poke();
  void wake(Time at_own_clock);
  void start_ticking();
  /// Runs `work` after a while unless the process died; when it died, perhaps half of it happened.
  void run_later(std::function<void(bool deliver)> work);

  World& world_;
  Network& network_;
  HostFaults& faults_;
  const Realm& realm_;
  const Party& party_;
  std::unique_ptr<ValueCodec> codec_;
  MemStore store_;
  MemBodies bodies_;
  SimLog log_;
  SimRandom random_;
  Duration skew_, strayed_;
  std::optional<Time> stopped_clock_;
  std::optional<Time> wake_at_;  // the earliest wish; forgotten when a tick comes
  Time paused_until_;
  Duration commit_max_;
  bool damaged_ = false;
  bool up_ = false;
  bool tick_due_ = false;
  uint64_t life_ = 0;
  bool step_planned_ = false;
  std::map<uint64_t, std::function<void(bool)>> works_;
  uint64_t next_work_ = 0;
};

}  // namespace tram::sim
