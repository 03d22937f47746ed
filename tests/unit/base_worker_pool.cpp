#include <catch2/catch.hpp>

#include <poll.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/io/worker_pool.h"

using tram::io::WorkerPool;

namespace {
bool wait_readable(int fd) {
  pollfd item{fd, POLLIN, 0};
  return ::poll(&item, 1, 10000) == 1;
}
}  // namespace

TEST_CASE("jobs run on workers and completions on the caller's thread") {
  WorkerPool pool(2, 100);
  std::atomic<int> on_loop_thread{0};
  int sum = 0;
  auto loop = std::this_thread::get_id();
  for (int i = 1; i <= 100; ++i)
    REQUIRE(pool.submit([&, i]() -> WorkerPool::Completion {
      if (std::this_thread::get_id() == loop) ++on_loop_thread;
      return [&, i] {
        if (std::this_thread::get_id() == loop) sum += i;
      };
    }));
  while (pool.pending() > 0) {
    REQUIRE(wait_readable(pool.completion_fd()));
    pool.run_completions(3);
  }
  CHECK(on_loop_thread == 0);
  CHECK(sum == 5050);
  pollfd item{pool.completion_fd(), POLLIN, 0};
  CHECK(::poll(&item, 1, 0) == 0);
}

TEST_CASE("a full pool refuses until completions have run") {
  WorkerPool pool(1, 2);
  std::promise<void> gate;
  std::shared_future<void> open(gate.get_future());
  auto job = [open]() -> WorkerPool::Completion {
    open.wait();
    return [] {};
  };
  REQUIRE(pool.submit(job));
  REQUIRE(pool.submit(job));
  CHECK_FALSE(pool.submit(job));
  CHECK(pool.run_completions() == 0);
  gate.set_value();
  size_t ran = 0;
  while (ran < 2) {
    REQUIRE(wait_readable(pool.completion_fd()));
    ran += pool.run_completions();
  }
  CHECK(pool.pending() == 0);
  CHECK(pool.submit(job));
}

TEST_CASE("a completion may submit more work") {
  WorkerPool pool(1, 4);
  int depth = 0;
  std::function<void()> again = [&] {
    if (++depth < 5) {
      bool accepted = pool.submit([&]() -> WorkerPool::Completion { return again; });
      REQUIRE(accepted);
    }
  };
  REQUIRE(pool.submit([&]() -> WorkerPool::Completion { return again; }));
  while (depth < 5) {
    REQUIRE(wait_readable(pool.completion_fd()));
    pool.run_completions();
  }
}

TEST_CASE("destruction waits for what runs and drops the rest") {
  std::atomic<int> finished{0};
  std::promise<void> started;
  {
    WorkerPool pool(1, 10);
    REQUIRE(pool.submit([&]() -> WorkerPool::Completion {
      started.set_value();
      ++finished;
      return [&] { finished += 100; };
    }));
    started.get_future().wait();
    for (int i = 0; i < 5; ++i) REQUIRE(pool.submit([]() -> WorkerPool::Completion { return {}; }));
  }
  CHECK(finished == 1);
}
