#include "base/io/clock.h"

#include <sys/timex.h>
#include <time.h>

#include <cstdlib>

namespace tram::io {
namespace {
constexpr int64_t jump_ms = 2000;  // R43

Time read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return {int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000};
}
}  // namespace

Time wall_now() { return read_clock(CLOCK_REALTIME); }
Time monotonic_now() { return read_clock(CLOCK_BOOTTIME); }

bool clock_synchronised() {
  timex query{};
  int state = adjtimex(&query);
  return state >= 0 && state != TIME_ERROR && !(query.status & STA_UNSYNC);
}

ClockReading ClockWatch::judge(Time wall, Time monotonic, bool synchronised) {
  // Between two readings, not since the start: NTP may slew by more than 2 s over months.
  if (last_wall_ && std::llabs((wall - *last_wall_).ms - (monotonic - *last_monotonic_).ms) > jump_ms) jumped_ = true;
  last_wall_ = wall;
  last_monotonic_ = monotonic;
  return {wall, monotonic, synchronised, jumped_};
}

ClockReading ClockWatch::read() {
  Time monotonic = monotonic_now();
  if (!last_query_ || monotonic - *last_query_ >= seconds(1)) {
    last_query_ = monotonic;
    synchronised_ = clock_synchronised();
  }
  return judge(wall_now(), monotonic, synchronised_);
}

}  // namespace tram::io
