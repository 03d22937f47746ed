#include "base/io/process.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace tram::io {
namespace {

Error setup_error(std::string_view what) {
  char buffer[128];
  return {ErrorCode::internal, std::string(what) + ": " + strerror_r(errno, buffer, sizeof buffer)};
}

sigset_t loop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

Result<uint64_t> prepare_process(const ProcessOptions& options) {
  rlimit core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &core) != 0) return fail(setup_error("RLIMIT_CORE"));
  if (!options.dumpable && ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail(setup_error("PR_SET_DUMPABLE"));
  ::umask(0077);
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return fail(setup_error("SIGPIPE"));

  // Small idle daemons: few arenas, freed memory goes back. Chunks (256 KiB) stay below the mmap threshold, or every one
  // would cost a mapping and its page faults.
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TRIM_THRESHOLD, 2 << 20);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
#ifndef __SANITIZE_THREAD__  // whose own data of a thread do not fit into such a stack
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) == 0) {
    if (pthread_attr_setstacksize(&attributes, 512u << 10) == 0) pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
  }
#endif

  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return fail(setup_error("RLIMIT_NOFILE"));
  if (files.rlim_cur < options.open_files_max) {
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, options.open_files_max);
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return fail(setup_error("RLIMIT_NOFILE"));
  }
  return static_cast<uint64_t>(files.rlim_cur);
}

void trim_memory() { ::malloc_trim(0); }

SignalFd::SignalFd() {
  sigset_t set = loop_signals();
  TRAM_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  TRAM_CHECK(fd_ >= 0);
}

SignalFd::~SignalFd() {
  ::close(fd_);
  sigset_t set = loop_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

std::optional<int> SignalFd::next() {
  signalfd_siginfo info{};
  if (::read(fd_, &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

void notify_ready() { sd_notify(0, "READY=1"); }
void notify_stopping() { sd_notify(0, "STOPPING=1"); }
void notify_reloading() { sd_notify(0, "RELOADING=1"); }
void notify_watchdog() { sd_notify(0, "WATCHDOG=1"); }

void notify_status(std::string_view status) {
  std::string line = "STATUS=";
  for (char c : status) line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  sd_notify(0, line.c_str());
}

void notify_extend_timeout(Duration more) {
  sd_notify(0, ("EXTEND_TIMEOUT_USEC=" + std::to_string(more.ms * 1000)).c_str());
}

std::optional<Duration> watchdog_interval() {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(0, &microseconds) <= 0) return std::nullopt;
  return milliseconds(std::max<int64_t>(1, static_cast<int64_t>(microseconds / 2000)));
}

}  // namespace tram::io
