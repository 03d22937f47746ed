// Clocks, randomness and process set-up.
#include <catch2/catch.hpp>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io/clock.h"
#include "base/io/process.h"
#include "base/io/system_random.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using namespace tram::io;

TEST_CASE("a jump of the wall clock is remembered, a slew and a suspend are not jumps") {
  ClockWatch watch;
  Time wall{1'000'000}, monotonic{5'000};
  auto step = [&](int64_t wall_ms, int64_t monotonic_ms) {
    wall = wall + milliseconds(wall_ms);
    monotonic = monotonic + milliseconds(monotonic_ms);
    return watch.judge(wall, monotonic, true);
  };
  CHECK(step(0, 0).ok());
  CHECK(step(1000, 1000).ok());
  CHECK(step(3'600'000, 3'600'000).ok());
  for (int i = 0; i < 1000; ++i) CHECK(step(1001, 1000).ok());
  CHECK(step(2000, 0).ok());
  CHECK(step(1000, 3001).jumped);
  CHECK(step(1000, 1000).jumped);
  CHECK_FALSE(watch.judge(wall, monotonic, true).ok());

  ClockWatch unsynchronised;
  CHECK_FALSE(unsynchronised.judge(wall, monotonic, false).ok());
}

TEST_CASE("the system's clocks") {
  Time before = monotonic_now();
  ClockWatch watch;
  ClockReading reading = watch.read();
  CHECK(reading.monotonic >= before);
  CHECK(reading.wall > Time{1'600'000'000'000});
  CHECK_FALSE(reading.jumped);
  CHECK(watch.read().monotonic >= reading.monotonic);
}

TEST_CASE("randomness fills every size and does not repeat") {
  SystemRandom random;
  Bytes large(100000);
  random.fill(large);
  CHECK(std::count(large.begin(), large.end(), uint8_t{0}) < 1000);
  random.fill({});
  CHECK(random.id<DocUuid>() != random.id<DocUuid>());
}

TEST_CASE("a prepared process has no core dumps and enough descriptors") {
  ProcessOptions options;
  options.dumpable = true;
  options.open_files_max = 512;
  auto files = prepare_process(options);
  REQUIRE(files);
  rlimit core{};
  REQUIRE(::getrlimit(RLIMIT_CORE, &core) == 0);
  CHECK(core.rlim_cur == 0);
  CHECK(*files >= 512);
}

TEST_CASE("signals arrive as a readable descriptor") {
  SignalFd signals;
  CHECK_FALSE(signals.next());
  REQUIRE(::kill(::getpid(), SIGTERM) == 0);
  pollfd item{signals.fd(), POLLIN, 0};
  REQUIRE(::poll(&item, 1, 10000) == 1);
  CHECK(signals.next() == SIGTERM);
  CHECK_FALSE(signals.next());
}

TEST_CASE("the service manager hears of readiness") {
  test::TemporaryDirectory directory;
  int fd = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = directory / "notify";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  auto heard = [&] {
    char buffer[256];
    pollfd item{fd, POLLIN, 0};
    if (::poll(&item, 1, 10000) != 1) return std::string("nothing");
    ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    return std::string(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  };
  notify_ready();
  CHECK(heard() == "READY=1");
  notify_watchdog();
  CHECK(heard() == "WATCHDOG=1");
  notify_status("a\nREADY=0");
  CHECK(heard() == "STATUS=a READY=0");
  notify_stopping();
  CHECK(heard() == "STOPPING=1");
  ::unsetenv("NOTIFY_SOCKET");
  ::close(fd);

  ::unsetenv("WATCHDOG_USEC");
  CHECK_FALSE(watchdog_interval());
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  CHECK(watchdog_interval() == seconds(15));
  ::unsetenv("WATCHDOG_USEC");
}
