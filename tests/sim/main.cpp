// tram-sim: runs seeds of the simulator on all cores and says which failed, how to see one again, how often each kind of
// fault struck, and which rare paths were reached.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sstream>

#include "crypto/hash.h"
#include "tests/sim/simulation.h"

using namespace tram::sim;

namespace {

constexpr const char* rare_paths[] = {
    "log channel.gap_opened",
    "rare: fetched again from another broker",
    "log custody.lost",
    "log broker.epoch_changed",
    "rare: issued anew",
    "rare: NACK, cannot_open",
    "rare: NACK, rekey",
    "rare: a repeat was answered",
    "rare: recalled before registration",
    "rare: recalled after registration",
    "rare: upload resumed",
    "rare: a flipped bit was found",
    "step aborted by a full store (node)",
    "step aborted by a full store (broker)",
};
constexpr uint64_t seeds_for_rare_paths = 400;
constexpr uint64_t twice_every = 100;
constexpr size_t failures_shown_max = 20;

struct Call {
  uint64_t first = 1, seeds = 100, jobs = 1, each_fault_min = 0;
  double hours = 0;
  bool one = false, trace = false, stop = false;
  std::optional<Fault> only;
};

/// What all processes share: the next seed, and when to end.
struct Shared {
  std::atomic<uint64_t> next{0};
  std::atomic<bool> stop{false};
};

struct Totals {
  uint64_t passed = 0, failed = 0;
  uint64_t traces = 0;  // sum of the hashes: two builds that played the same weeks agree in it
  uint64_t virtual_seconds = 0, calms = 0, delivered_ms = 0, latest_ms = 0, drained_ms = 0;
  std::pair<uint64_t, uint64_t> under_way, slowest;  // milliseconds, and the seed that took them
  World::Census census{};
  std::map<std::string, uint64_t> counts;

  void add(const Totals& other) {
    passed += other.passed, failed += other.failed, traces += other.traces;
    virtual_seconds += other.virtual_seconds, calms += other.calms;
    delivered_ms += other.delivered_ms, latest_ms = std::max(latest_ms, other.latest_ms);
    drained_ms += other.drained_ms;
    under_way = std::max(under_way, other.under_way), slowest = std::max(slowest, other.slowest);
    for (size_t i = 0; i < fault_count; ++i) census[i] += other.census[i];
    for (const auto& [what, n] : other.counts) counts[what] += n;
  }
  std::string text() const {
    std::ostringstream out;
    out << passed << ' ' << failed << ' ' << traces << ' ' << virtual_seconds << ' ' << calms << ' ' << delivered_ms << ' ' << latest_ms << ' ' << drained_ms << '\n';
    for (const auto& [ms, seed] : {under_way, slowest}) out << ms << ' ' << seed << '\n';
    for (uint64_t n : census) out << n << ' ';
    out << '\n';
    for (const auto& [what, n] : counts) out << n << ' ' << what << '\n';
    return out.str();
  }
  static Totals from(const std::string& text) {
    std::istringstream in(text);
    Totals one;
    in >> one.passed >> one.failed >> one.traces >> one.virtual_seconds >> one.calms >> one.delivered_ms >> one.latest_ms >> one.drained_ms;
    for (auto* at : {&one.under_way, &one.slowest}) in >> at->first >> at->second;
    for (uint64_t& n : one.census) in >> n;
    std::string what;
    for (uint64_t n = 0; in >> n && std::getline(in, what);) one.counts[what.substr(1)] += n;
    return one;
  }
};

std::string program = "tram-sim", commit = "unknown", only_words;

void say_failed(uint64_t seed, const std::string& why) {
  std::printf("seed %llu FAILED: %s\n  commit %s; replay: %s --seed %llu%s --trace\n", static_cast<unsigned long long>(seed), why.c_str(),
              commit.c_str(), program.c_str(), static_cast<unsigned long long>(seed), only_words.c_str());
  std::fflush(stdout);
}

volatile uint64_t current_seed = 0;
extern "C" void on_crash(int signal_number) {
  // The checks of the product stop the process: say which seed it was.
  std::fflush(stdout);
  std::fprintf(stderr, "\nseed %llu stopped the process (signal %d)\n", static_cast<unsigned long long>(current_seed), signal_number);
  say_failed(current_seed, "the process stopped");
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

void run_seed(uint64_t seed, const Call& call, Totals& totals) {
  current_seed = seed;
  Outcome outcome = Simulation({seed, call.trace, call.only}).run();
  if (outcome.passed && !call.one && seed % twice_every == 0) {
    const Outcome again = Simulation({seed, false, call.only}).run();
    if (again.trace_hash != outcome.trace_hash) {
      outcome.passed = false;
      outcome.failure = "I18: two runs, two traces";
    }
  }
  Totals one;
  one.passed = outcome.passed, one.failed = !outcome.passed;
  one.traces = outcome.trace_hash;
  one.virtual_seconds = static_cast<uint64_t>(outcome.lasted.ms / 1000);
  one.census = outcome.census, one.counts = outcome.counts;
  if (outcome.drained.ms >= 0) {
    one.calms = 1;
    one.delivered_ms = one.latest_ms = static_cast<uint64_t>(outcome.delivered.ms);
    one.drained_ms = static_cast<uint64_t>(outcome.drained.ms);
    one.under_way = {outcome.under_way.ms, seed};
    one.slowest = {outcome.drained.ms, seed};
  }
  totals.add(one);
  if (!outcome.passed && totals.failed <= failures_shown_max) say_failed(seed, outcome.failure);
}

Totals work(const Call& call, Shared& shared) {
  Totals totals;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(call.hours * 3600);
  while (!shared.stop) {
    const uint64_t i = shared.next++;
    if (call.hours > 0 ? std::chrono::steady_clock::now() >= end : i >= call.seeds) break;
    run_seed(call.first + i, call, totals);
    if (totals.failed && call.stop) shared.stop = true;
  }
  return totals;
}

/// One process a core; each hands its totals back through a pipe. One that dies counts as a failed seed.
Totals work_in_processes(const Call& call, Shared& shared) {
  struct Child {
    pid_t pid;
    int from;
  };
  std::vector<Child> children;
  for (uint64_t i = 0; i < call.jobs; ++i) {
    int ends[2];
    if (pipe(ends) != 0) break;
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid < 0) break;
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody goes on when the run was stopped
      close(ends[0]);
      const std::string text = work(call, shared).text();
      for (size_t at = 0; at < text.size();) {
        const ssize_t n = write(ends[1], text.data() + at, text.size() - at);
        if (n <= 0) std::_Exit(1);
        at += static_cast<size_t>(n);
      }
      std::fflush(stdout);
      std::_Exit(0);
    }
    close(ends[1]);
    children.push_back({pid, ends[0]});
  }
  Totals totals;
  totals.failed += children.size() < call.jobs;
  for (const Child& child : children) {
    std::string text;
    char buffer[65536];
    for (ssize_t n; (n = read(child.from, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
    close(child.from);
    int status = 0;
    waitpid(child.pid, &status, 0);
    if (status == 0) totals.add(Totals::from(text));
    else ++totals.failed;
  }
  return totals;
}

void print(const Totals& totals, bool all) {
  std::printf("-- faults\n");
  for (size_t i = 0; i < fault_count; ++i)
    if (all || totals.census[i])
      std::printf("%10llu  %s\n", static_cast<unsigned long long>(totals.census[i]), std::string(fault_names[i]).c_str());
  std::printf("-- what happened\n");
  for (const auto& [what, n] : totals.counts) std::printf("%10llu  %s\n", static_cast<unsigned long long>(n), what.c_str());
}

[[noreturn]] void usage(int code) {
  std::fprintf(code ? stderr : stdout,
               "usage: tram-sim [--seeds N | --hours H] [--first S] [--jobs J]   runs many seeds\n"
               "       tram-sim --seed S [--trace]                             replays one\n"
               "  --each N     fails when a kind of fault struck less than N times\n"
               "  --only NAME  this kind of fault only, in every seed; NAME as in the list of faults that a run prints\n"
               "  --stop       ends at the first failure\n");
  std::exit(code);
}

Call parse(int argc, char** argv) {
  Call call;
  for (int i = 1; i < argc; ++i) {
    auto word = [&]() -> const char* { return ++i < argc ? argv[i] : (usage(2), nullptr); };
    auto number = [&] { return std::strtoull(word(), nullptr, 10); };
    const std::string_view argument = argv[i];
    if (argument == "--seeds") call.seeds = number();
    else if (argument == "--first") call.first = number();
    else if (argument == "--seed") call.first = number(), call.seeds = 1, call.one = true;
    else if (argument == "--jobs") call.jobs = std::max<uint64_t>(1, number());
    else if (argument == "--hours") call.hours = std::strtod(word(), nullptr);
    else if (argument == "--each") call.each_fault_min = number();
    else if (argument == "--trace") call.trace = true;
    else if (argument == "--stop") call.stop = true;
    else if (argument == "--help" || argument == "-h") usage(0);
    else if (argument == "--only") {
      const std::string_view name = word();
      for (size_t k = 0; k < fault_count; ++k)
        if (fault_names[k] == name) call.only = static_cast<Fault>(k);
      if (!call.only) usage(2);
      only_words = " --only '" + std::string(name) + "'";
    } else {
      usage(2);
    }
  }
  return call;
}

}  // namespace

int main(int argc, char** argv) {
  const Call call = parse(argc, argv);
  program = argv[0];
  if (const char* named = std::getenv("TRAM_COMMIT")) commit = named;
  tram::crypto::initialize();
  // A store is many small blocks, a body a few large ones that come and go: neither is given back to the system, nor merged.
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_MXFAST, 0);
  for (int signal_number : {SIGABRT, SIGSEGV, SIGFPE}) std::signal(signal_number, on_crash);
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  Shared& shared = *new (memory) Shared;
  const auto begin = std::chrono::steady_clock::now();
  Totals totals = call.jobs > 1 ? work_in_processes(call, shared) : work(call, shared);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  print(totals, !call.only && !call.one);
  uint64_t faults = 0;
  for (uint64_t n : totals.census) faults += n;
  if (!call.one && !faults) {
    std::printf("no fault was injected: this run shows nothing\n");
    ++totals.failed;
  }
  for (size_t i = 0; i < fault_count; ++i)
    if (totals.census[i] < call.each_fault_min) {
      std::printf("too rare: %s\n", std::string(fault_names[i]).c_str());
      ++totals.failed;
    }
  if (totals.passed >= seeds_for_rare_paths && !call.stop && !call.only)
    for (const char* path : rare_paths)
      if (!totals.counts.contains(path)) {
        std::printf("never reached: %s\n", path);
        ++totals.failed;
      }
  const double calms = totals.calms ? 1000.0 * static_cast<double>(totals.calms) : 1.0;
  std::printf(
      "%llu faults; %llu simulated hours; after the last fault documents and receipts were final in %.0f s on average, %.0f s at most "
      "(%.0f s with something under way, seed %llu), "
      "logs signed by all witnesses in %.0f s, %.0f s at most (seed %llu)\n",
      static_cast<unsigned long long>(faults), static_cast<unsigned long long>(totals.virtual_seconds / 3600),
      static_cast<double>(totals.delivered_ms) / calms, static_cast<double>(totals.latest_ms) / 1000.0, static_cast<double>(totals.under_way.first) / 1000.0,
      static_cast<unsigned long long>(totals.under_way.second), static_cast<double>(totals.drained_ms) / calms,
      static_cast<double>(totals.slowest.first) / 1000.0, static_cast<unsigned long long>(totals.slowest.second));
  std::printf("%.1f s on %llu cores; traces %016llx\n", took.count(), static_cast<unsigned long long>(call.jobs),
              static_cast<unsigned long long>(totals.traces));
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(totals.passed), static_cast<unsigned long long>(totals.failed));
  return totals.failed ? 1 : 0;
}
