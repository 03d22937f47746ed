// What a daemon sets up once, first thing in main, before any thread: limits, memory, signals, the service manager.
// Invariants: no core dumps and no ptrace by the same user (C14), umask 077, SIGPIPE ignored.
// Thread: main, before threads; the notify functions belong to the loop.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace tram::io {

struct ProcessOptions {
  bool dumpable = false;           // true only for tests and profilers
  uint64_t open_files_max = 65536; // RLIMIT_NOFILE is raised to this, or to the hard limit when lower
};

/// RLIMIT_CORE 0, PR_SET_DUMPABLE 0, umask 077, two malloc arenas (M_ARENA_MAX) and a low trim threshold, 512 KiB
/// default thread stacks, SIGPIPE ignored. Returns the file limit in force. Errors: internal.
Result<uint64_t> prepare_process(const ProcessOptions& options = {});

/// Gives freed memory back to the kernel; call when idle after a burst.
void trim_memory();

/// SIGTERM, SIGINT and SIGHUP as a readable descriptor. Make it before any thread, so that all inherit the mask.
class SignalFd {
 public:
  SignalFd();
  ~SignalFd();
  SignalFd(const SignalFd&) = delete;
  SignalFd& operator=(const SignalFd&) = delete;
  int fd() const { return fd_; }
  /// The next signal number, without waiting.
  std::optional<int> next();

 private:
  int fd_;
};

// sd_notify(3); all do nothing when not run by systemd (T7).
void notify_ready();
void notify_stopping();
void notify_reloading();
void notify_watchdog();
void notify_status(std::string_view status);
/// More time for a long recovery (EXTEND_TIMEOUT_USEC).
void notify_extend_timeout(Duration more);
/// How often notify_watchdog() must be called, if at all: half of WATCHDOG_USEC.
std::optional<Duration> watchdog_interval();

/// The exit status after a fatal store error (R2); the unit does not restart on it.
inline constexpr int exit_io_fatal = 74;

}  // namespace tram::io
