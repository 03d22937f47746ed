// Writes of the local API that wait for the loop, and what becomes of them when their transaction was aborted: the
// store refused one or all of them, which is no answer to the others. Not here: the queue itself and its lock (loop).
// Thread: whoever holds them.
#pragma once
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "node/api/api.h"

namespace tram::node {

/// One thread sleeps until another raises it. std::binary_semaphore yields the processor a few times first, which the loop
/// that is to raise it needs.
class Signal {
 public:
  void raise() {
    {
      std::lock_guard lock(mutex_);
      raised_ = true;
    }
    changed_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return std::exchange(raised_, false); });
  }
  bool wait_for(Duration most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(most.ms), [&] { return std::exchange(raised_, false); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool raised_ = false;
};

struct PendingWrite {
  api::Request request;
  api::Response response;
  unsigned attempts = 0;  // transactions that were aborted with it inside
  Signal answered;  // one waits for each: a shared condition would wake them all at every step
};
using Writes = std::vector<std::shared_ptr<PendingWrite>>;

inline constexpr unsigned write_attempts_max = 3;

/// Takes those out that are to be tried again and gives them in their order; the rest have their answer. `handled`: how
/// many had been carried out; `culprit`: the one under which the store failed, or none when the commit failed.
Writes take_unanswered(Writes& writes, size_t handled, const PendingWrite* culprit, const Error& failure);

}  // namespace tram::node
