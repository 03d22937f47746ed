// The clocks, and whether the wall clock may be trusted (R43).
// Invariants: jumps are judged against CLOCK_BOOTTIME, which goes on in suspend, so that a suspend is no jump.
// Not here: the comparison with the brokers' HELLO times (pure code combines it with ClockReading::ok).
// Thread: ClockWatch belongs to the loop; wall_now() and monotonic_now() to anyone.
#pragma once
#include <optional>

#include "base/time.h"

namespace tram::io {

Time wall_now();
/// Milliseconds since an arbitrary point, never going back, suspend included: for deadlines of sockets and backoff.
Time monotonic_now();
/// Whether the kernel says that the clock is disciplined by NTP (adjtimex, STA_UNSYNC clear).
bool clock_synchronised();

struct ClockReading {
  Time wall;
  Time monotonic;
  bool synchronised = false;
  bool jumped = false;  // some time since the start, wall and monotonic parted by more than 2 s between two readings
  bool ok() const { return synchronised && !jumped; }
};

/// Remembers whether the wall clock jumped by more than 2 s since it was made. The synchronisation state is asked from
/// the kernel at most once a second.
class ClockWatch {
 public:
  ClockReading read();
  /// The same rule on given values, for tests.
  ClockReading judge(Time wall, Time monotonic, bool synchronised);

 private:
  std::optional<Time> last_wall_, last_monotonic_, last_query_;
  bool synchronised_ = false;
  bool jumped_ = false;
};

}  // namespace tram::io
