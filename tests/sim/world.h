// The simulated world: virtual time, queues of what happens next, seeded chance, the trace and what was counted.
// What repeats (ticks, clerks' turns, attempts to connect) stands in a queue of its own: when nothing else is near, the
// world sleeps, time goes on in strides, and what repeats comes late, as on a machine that was suspended. So a week of
// which minutes are busy costs minutes.
// Invariants: everything that happens is decided by the seed alone; two runs of one seed leave the same trace hash (I18).
// Not here: what happens (hosts, network, clerks, faults). Thread: one.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <queue>

#include "base/ports.h"
#include "tests/sim/fault_kinds.h"

namespace tram::sim {

/// xoshiro256**: seeded chance, and the Random port of a daemon.
class SimRandom final : public Random {
 public:
  explicit SimRandom(uint64_t seed);
  uint64_t next();
  void fill(std::span<uint8_t> out) override;
  /// 0 .. bound-1; 0 for a bound of 0.
  uint64_t below(uint64_t bound) { return bound ? next() % bound : 0; }
  /// low .. high, both possible.
  int64_t between(int64_t low, int64_t high) { return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low + 1))); }
  bool chance(uint64_t per_mille) { return below(1000) < per_mille; }
  Duration within(Duration low, Duration high) { return {between(low.ms, high.ms)}; }

 private:
  std::array<uint64_t, 4> state_{};
};

/// A rule of section 5.5 was broken, or the run cannot go on. Ends the run of its seed.
struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
#define SIM_REQUIRE(condition, ...) ((condition) ? static_cast<void>(0) : throw ::tram::sim::Broken(::tram::sim::say(__VA_ARGS__)))

inline std::string say(std::initializer_list<std::string> parts) {
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : " ") + part;
  return text;
}
template <class... Parts>
std::string say(const Parts&... parts) {
  return say({std::string(parts)...});
}
/// First eight digits: enough for a person to follow an id through a trace.
template <class Id>
std::string brief(const Id& id) {
  return id.hex().substr(0, 8);
}

class World {
 public:
  World(uint64_t seed, Time start, bool print) : random(seed), now_(start), print_(print) {}

  Time now() const { return now_; }
  void at(Time when, std::function<void()> what);
  void after(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  /// As after(), for what goes on for ever: it may come late, when the world slept.
  void repeat(Duration delay, std::function<void()> what);
  /// Whether it may sleep at all; and no sleep for so long.
  void may_sleep(bool yes) { may_sleep_ = yes; }
  void stay_awake(Duration at_least);
  /// Runs what happens until `end`, which is then now.
  void run_until(Time end);

  bool prints() const { return print_; }
  /// A line of the trace: part of the hash, printed when asked.
  void trace(std::string_view who, std::string_view what);
  /// Printed when asked, no part of the hash.
  void note(std::string_view who, std::string_view what);
  void mix(BytesView bytes);
  uint64_t trace_hash() const { return hash_; }

  void count(const std::string& what, uint64_t n = 1) { counts_[what] += n; }
  /// A fault happened: the census.
  void injected(Fault fault) { ++census_[static_cast<size_t>(fault)]; }
  using Census = std::array<uint64_t, fault_count>;
  const Census& census() const { return census_; }
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

  SimRandom random;

 private:
  struct Entry {
    Time when;
    uint64_t serial;
    std::function<void()> what;
    bool operator>(const Entry& other) const { return when != other.when ? when > other.when : serial > other.serial; }
  };
  /// Each step is a bijection: one word that differs is never forgotten.
  void mix(uint64_t word) {
    hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15u;
    hash_ ^= hash_ >> 32;
  }
  Time now_;
  bool print_;
  uint64_t serial_ = 0;
  uint64_t hash_ = 0xcbf29ce484222325u;
  using Queue = std::priority_queue<Entry, std::vector<Entry>, std::greater<>>;
  Queue queue_, repeats_;
  bool may_sleep_ = false;
  Time awake_until_;
  Duration stride_ = stride_min;
  static constexpr Duration stride_min = minutes(1), stride_max = hours(3), nap_wakes = seconds(3);
  std::map<std::string, uint64_t> counts_;
  Census census_{};
};

/// The log of one daemon: into the trace; an error that no injected fault explains ends the run.
class SimLog final : public Log {
 public:
  SimLog(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  void write(LogLevel, std::string_view event, std::span<const LogField> fields) override;
  /// From now on this error is explained by a fault.
  void expect(std::string event) { expected_.insert(std::move(event)); }

 private:
  World& world_;
  std::string name_;
  std::set<std::string, std::less<>> expected_;
};

}  // namespace tram::sim
