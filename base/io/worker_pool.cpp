#include "base/io/worker_pool.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/io/files.h"

namespace tram::io {
namespace {
constexpr size_t stack_bytes = 512u << 10;
constexpr int nicer_than_loop = 10;
}

struct WorkerPool::State {
  size_t queue_max = 0;
  Fd event;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Job> jobs;
  std::deque<Completion> completions;
  size_t pending = 0;
  bool stopping = false;
  std::vector<pthread_t> threads;

  static void* run(void* self) {
    // Everything waits for the loop, the one writer; the workers take what it leaves. On Linux this is the thread's own.
    [[maybe_unused]] const int now = ::nice(nicer_than_loop);
    static_cast<State*>(self)->work();
    return nullptr;
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return stopping || !jobs.empty(); });
      if (stopping) return;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      Completion completion = job();
      job = nullptr;  // what the job captured goes before the loop hears of its end
      lock.lock();
      completions.push_back(std::move(completion));
      if (completions.size() == 1) signal();
    }
  }

  void signal() {
    uint64_t one = 1;
    TRAM_CHECK(::write(event.get(), &one, sizeof one) == sizeof one);
  }
};

WorkerPool::WorkerPool(unsigned threads, size_t queue_max) : state_(std::make_unique<State>()) {
  state_->queue_max = queue_max;
  state_->event = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  TRAM_CHECK(state_->event);
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  pthread_attr_t attributes;
  TRAM_CHECK(pthread_attr_init(&attributes) == 0);
  TRAM_CHECK(pthread_attr_setstacksize(&attributes, stack_bytes) == 0);
  for (unsigned i = 0; i < threads; ++i) {
    pthread_t thread{};
    TRAM_CHECK(pthread_create(&thread, &attributes, State::run, state_.get()) == 0);
    pthread_setname_np(thread, "worker");
    state_->threads.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (pthread_t thread : state_->threads) pthread_join(thread, nullptr);
}

bool WorkerPool::submit(Job job) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->pending >= state_->queue_max) return false;
    ++state_->pending;
    state_->jobs.push_back(std::move(job));
  }
  state_->wake.notify_one();
  return true;
}

int WorkerPool::completion_fd() const { return state_->event.get(); }

size_t WorkerPool::run_completions(size_t max) {
  size_t ran = 0;
  while (ran < max) {
    Completion completion;
    {
      std::lock_guard lock(state_->mutex);
      if (state_->completions.empty()) break;
      completion = std::move(state_->completions.front());
      state_->completions.pop_front();
      --state_->pending;
      if (state_->completions.empty()) {
        uint64_t count = 0;
        [[maybe_unused]] ssize_t n = ::read(state_->event.get(), &count, sizeof count);
      }
    }
    if (completion) completion();
    ++ran;
  }
  return ran;
}

size_t WorkerPool::pending() const {
  std::lock_guard lock(state_->mutex);
  return state_->pending;
}

}  // namespace tram::io
