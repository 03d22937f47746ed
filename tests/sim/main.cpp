// tram-sim: runs seeds of the simulator and says which failed, how to see one again, and what was reached.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

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
    "step aborted by a full store (node)",
    "step aborted by a full store (broker)",
};
constexpr uint64_t seeds_for_rare_paths = 400;
constexpr uint64_t twice_every = 100;

uint64_t current_seed = 0;
extern "C" void on_crash(int signal_number) {
  // The checks of the product stop the process: say which seed it was.
  std::fprintf(stderr, "\nseed %llu stopped the process (signal %d)\nreproduce: tram-sim --seed %llu --trace\n",
               static_cast<unsigned long long>(current_seed), signal_number, static_cast<unsigned long long>(current_seed));
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

[[noreturn]] void usage() {
  std::fprintf(stderr, "usage: tram-sim [--seeds N] [--first S] | --seed S [--trace]\n       [--stop] ends at the first failure\n");
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t first = 1, seeds = 100;
  bool trace = false, stop = false;
  for (int i = 1; i < argc; ++i) {
    auto number = [&] {
      if (++i >= argc) usage();
      return std::strtoull(argv[i], nullptr, 10);
    };
    if (!std::strcmp(argv[i], "--seeds")) seeds = number();
    else if (!std::strcmp(argv[i], "--first")) first = number();
    else if (!std::strcmp(argv[i], "--seed")) first = number(), seeds = 1;
    else if (!std::strcmp(argv[i], "--trace")) trace = true;
    else if (!std::strcmp(argv[i], "--stop")) stop = true;
    else usage();
  }
  tram::crypto::initialize();
  for (int signal_number : {SIGABRT, SIGSEGV, SIGFPE}) std::signal(signal_number, on_crash);

  std::map<std::string, uint64_t> totals;
  uint64_t passed = 0, failed = 0;
  const std::clock_t begin = std::clock();
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    current_seed = seed;
    Outcome outcome = Simulation(seed, trace).run();
    if (outcome.passed && seeds > 1 && seed % twice_every == 0) {
      const Outcome again = Simulation(seed, false).run();
      if (again.trace_hash != outcome.trace_hash) {
        outcome.passed = false;
        outcome.failure = "I18: two runs, two traces";
      }
    }
    for (const auto& [what, n] : outcome.counts) totals[what] += n;
    if (outcome.passed) {
      ++passed;
    } else {
      ++failed;
      std::printf("seed %llu FAILED: %s\n  reproduce: tram-sim --seed %llu --trace\n", static_cast<unsigned long long>(seed),
                  outcome.failure.c_str(), static_cast<unsigned long long>(seed));
      std::fflush(stdout);
      if (stop) break;
    }
  }
  uint64_t faults = 0;
  for (const auto& [what, n] : totals) {
    std::printf("%10llu  %s\n", static_cast<unsigned long long>(n), what.c_str());
    if (what.starts_with("fault: ")) faults += n;
  }
  if (seeds > 1 && !faults) {
    std::printf("no fault was injected: this run shows nothing\n");
    ++failed;
  }
  if (seeds >= seeds_for_rare_paths && !stop)
    for (const char* path : rare_paths)
      if (!totals.contains(path)) {
        std::printf("never reached: %s\n", path);
        ++failed;
      }
  std::printf("%.1f s of processor time\n", static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(passed), static_cast<unsigned long long>(failed));
  return failed ? 1 : 0;
}
