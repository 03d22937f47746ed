// Long computations (sealing, opening, hashing) off the loop: a job runs on a worker and returns a completion that the
// loop runs on its own thread. Effect out, event in.
// Invariants: at most queue_max jobs are queued, running or waiting as completions; completions run in the order in
// which jobs ended; destruction waits for running jobs and drops queued ones and completions unrun.
// Workers yield the processor to the loop (nice 10 above it).
// Not here: results' types (captured by the closures), priorities among jobs, exceptions (a job that throws stops the process).
// Thread: submit, run_completions, pending and destruction belong to the loop; jobs run on workers with 512 KiB stacks.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>

namespace tram::io {

class WorkerPool {
 public:
  using Completion = std::function<void()>;
  using Job = std::function<Completion()>;

  /// `threads` 0 means one for each processor.
  WorkerPool(unsigned threads, size_t queue_max);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// False when queue_max jobs are pending: try again after some completions.
  [[nodiscard]] bool submit(Job job);
  /// Readable while completions wait; put it into the loop's poll().
  int completion_fd() const;
  /// Runs up to `max` completions; returns how many ran.
  size_t run_completions(size_t max = SIZE_MAX);
  /// Jobs whose completion has not run.
  size_t pending() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tram::io
