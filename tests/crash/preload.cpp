// Preloaded into a daemon (LD_PRELOAD): stands between it and its disk. Two uses, chosen by environment variables:
//   TRAM_CRASH_TRACE=file    records every change below TRAM_CRASH_HOME, every sync, and every frame and HTTP byte that
//                            leaves, in one order: what is promised is then known to come after what was made durable.
//   TRAM_CRASH_CONTROL=file  counts changes and syncs below TRAM_CRASH_HOME in a file that the test maps too, and at
//                            the chosen one kills the process or lets the call fail.
// Calls are serialised, so that the order of the trace is the order of the disk. LMDB's map is only read (no
// MDB_WRITEMAP), so nothing that matters is written past these calls; lock files are not state and are passed over.
// Thread: any.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/crash/trace_format.h"

struct zmq_msg_t;

namespace {

using tram::crash::Control;
using tram::crash::FaultKind;
using tram::crash::Kind;
using tram::crash::RecordHead;

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}
#define NEXT(name) next<decltype(&::name)>(#name)

struct Recorder {
  std::mutex mutex;
  std::string home;
  int trace = -1;
  Control* control = nullptr;

  Recorder() {
    const char* where = getenv("TRAM_CRASH_HOME");
    if (!where) return;
    home = std::string(where) + "/";
    if (const char* file = getenv("TRAM_CRASH_TRACE"))
      trace = static_cast<int>(syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (const char* file = getenv("TRAM_CRASH_CONTROL")) {
      auto fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0));
      void* map = fd < 0 ? MAP_FAILED : mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (map == MAP_FAILED) abort();
      control = static_cast<Control*>(map);
      syscall(SYS_close, fd);
    }
  }
};

Recorder& recorder() {
  static auto* one = new Recorder;  // outlives every thread
  return *one;
}

std::string path_of_fd(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : std::string();
}

std::string absolute(int at, const char* path) {
  if (path[0] == '/') return path;
  if (at != AT_FDCWD) return path_of_fd(at) + "/" + path;
  char folder[4096];
  return std::string(getcwd(folder, sizeof folder) ? folder : "") + "/" + path;
}

bool ends_with(const std::string& text, const char* end) {
  size_t n = strlen(end);
  return text.size() >= n && text.compare(text.size() - n, n, end) == 0;
}

/// The path below the home, or empty when this is none of ours.
std::string ours(const std::string& path) {
  const std::string& home = recorder().home;
  if (home.empty() || path.compare(0, home.size(), home) != 0) return {};
  if (ends_with(path, "/lock.mdb") || ends_with(path, "/store/lock") || ends_with(path, ".sock")) return {};
  return path.substr(home.size());
}
std::string ours(int fd) {
  if (recorder().home.empty()) return {};
  const std::string path = path_of_fd(fd);
  if (path + "/" == recorder().home) return ".";  // the home itself, as a directory to sync
  return ours(path);
}

uint64_t inode(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}
uint64_t inode(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

void write_record(Kind kind, uint64_t id, uint64_t offset, const std::string& path, const iovec* parts, int count) {
  Recorder& r = recorder();
  if (r.trace < 0) return;
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) bytes += parts[i].iov_len;
  RecordHead head{static_cast<uint32_t>(kind), static_cast<uint32_t>(path.size()), id, offset, bytes};
  std::vector<char> whole(sizeof head + path.size() + bytes);
  memcpy(whole.data(), &head, sizeof head);
  memcpy(whole.data() + sizeof head, path.data(), path.size());
  size_t at = sizeof head + path.size();
  for (int i = 0; i < count; ++i) {
    memcpy(whole.data() + at, parts[i].iov_base, parts[i].iov_len);
    at += parts[i].iov_len;
  }
  size_t done = 0;
  while (done < whole.size()) {
    long n = syscall(SYS_write, r.trace, whole.data() + done, whole.size() - done);
    if (n <= 0) abort();
    done += static_cast<size_t>(n);
  }
}
void note(Kind kind, uint64_t id, uint64_t offset, const std::string& path = {}, const void* data = nullptr, size_t bytes = 0) {
  iovec part{const_cast<void*>(data), bytes};
  write_record(kind, id, offset, path, &part, bytes ? 1 : 0);
}

/// Counts one change or sync; true when it has to fail, with errno set.
bool struck(const std::string& path, bool sync, bool takes_space) {
  Control* control = recorder().control;
  if (!control) return false;
  const uint32_t n = ++control->count;
  if (n != control->at) return false;
  const auto kind = static_cast<FaultKind>(control->kind);
  if (kind == FaultKind::none) return false;
  strncpy(control->path, path.c_str(), sizeof control->path - 1);
  control->sync = sync;
  if (kind == FaultKind::kill) {
    control->fired = 1;
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
  }
  if (!takes_space) return false;  // a removal: neither R2 nor R42 speaks of it
  control->fired = 1;
  errno = kind == FaultKind::eio ? EIO : ENOSPC;
  return true;
}

using Lock = std::lock_guard<std::mutex>;

bool synchronous(int fd) { return (fcntl(fd, F_GETFL) & O_DSYNC) != 0; }

template <class Call>
ssize_t data_write(int fd, off_t offset, const iovec* parts, int count, Call call) {
  const std::string path = ours(fd);
  if (path.empty()) return call();
  Lock lock(recorder().mutex);
  if (struck(path, false, true)) return -1;
  if (offset < 0) offset = (fcntl(fd, F_GETFL) & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
  ssize_t n = call();
  if (n <= 0) return n;
  std::vector<iovec> written;
  size_t left = static_cast<size_t>(n);
  for (int i = 0; i < count && left; ++i) {
    written.push_back({parts[i].iov_base, std::min(left, parts[i].iov_len)});
    left -= written.back().iov_len;
  }
  write_record(synchronous(fd) ? Kind::write_synced : Kind::write, inode(fd), static_cast<uint64_t>(offset), path, written.data(),
               static_cast<int>(written.size()));
  return n;
}

/// Bytes for a local client: an answer leaves.
bool is_api(int fd) {
  if (recorder().home.empty()) return false;
  int domain = 0, type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) return false;
  size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}
/// By descriptor: a write was asked for there after the fault. Only a yes to that is wrong for certain: a read tells what was
/// durable before, and an earlier write may have been too; whether it was, the end of the exchange shows.
std::array<std::atomic<bool>, 4096> asked_too_late;

bool begins_with(const void* data, size_t bytes, std::string_view with) {
  return bytes >= with.size() && memcmp(data, with.data(), with.size()) == 0;
}
void note_request(int fd, const void* data, size_t bytes) {
  const auto slot = static_cast<size_t>(fd);
  const Control* control = recorder().control;
  if (slot >= asked_too_late.size() || !control) return;
  for (const std::string_view method : {"GET ", "HEAD "})
    if (begins_with(data, bytes, method)) asked_too_late[slot] = false;
  for (const std::string_view method : {"POST ", "PUT ", "PATCH ", "DELETE "})
    if (begins_with(data, bytes, method)) asked_too_late[slot] = control->fired != 0;
}

void note_out(int fd, const iovec* parts, int count) {
  if (!is_api(fd)) return;
  Lock lock(recorder().mutex);
  Control* control = recorder().control;
  const auto slot = static_cast<size_t>(fd);
  if (control && control->fired && slot < asked_too_late.size() && asked_too_late[slot] && count > 0 && begins_with(parts[0].iov_base, parts[0].iov_len, "HTTP/1.1 2"))
    ++control->answered;
  write_record(Kind::http_out, static_cast<uint64_t>(fd), 0, {}, parts, count);
}

template <class Call>
int sync_call(int fd, Kind kind, Call call) {
  const std::string path = ours(fd);
  if (path.empty()) return call();
  Lock lock(recorder().mutex);
  if (struck(path, true, true)) return -1;
  int rc = call();
  if (rc == 0) note(kind, inode(fd), 0, path);
  return rc;
}

template <class Call>
int opened(int at, const char* path, int flags, Call call) {
  const std::string whole = (flags & (O_CREAT | O_TRUNC)) ? absolute(at, path) : std::string();
  const std::string own = whole.empty() ? whole : ours(whole);
  if (own.empty()) return call();
  Lock lock(recorder().mutex);
  const bool there = inode(whole) != 0;
  if (there && !(flags & O_TRUNC)) return call();
  if (struck(own, false, true)) return -1;
  int fd = call();
  if (fd < 0) return fd;
  if (!there) note(Kind::create, inode(fd), 0, own);
  else note(Kind::truncate, inode(fd), 0, own);
  return fd;
}

template <class Call>
int name_change(Kind kind, const std::string& whole, bool takes_space, Call call) {
  const std::string own = ours(whole);
  if (own.empty()) return call();
  Lock lock(recorder().mutex);
  if (struck(own, false, takes_space)) return -1;
  const uint64_t id = kind == Kind::unlink ? inode(whole) : 0;
  int rc = call();
  if (rc == 0) note(kind, kind == Kind::unlink ? id : inode(whole), 0, own);
  return rc;
}

template <class Call>
int renamed(const std::string& from, const std::string& to, Call call) {
  const std::string own = ours(to);
  if (own.empty()) return call();
  Lock lock(recorder().mutex);
  if (struck(own, false, true)) return -1;
  int rc = call();
  const std::string source = ours(from);
  if (rc == 0) note(Kind::rename, inode(to), 0, own, source.data(), source.size());
  return rc;
}

mode_t mode_of(int flags, va_list list) { return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, mode_t) : 0; }

}  // namespace

extern "C" {

#define OPEN(name)                                                                                        \
  int name(const char* path, int flags, ...) {                                                            \
    static auto real = NEXT(name);                                                                        \
    va_list list;                                                                                         \
    va_start(list, flags);                                                                                \
    mode_t mode = mode_of(flags, list);                                                                   \
    va_end(list);                                                                                         \
    return opened(AT_FDCWD, path, flags, [&] { return real(path, flags, mode); });                        \
  }
#define OPENAT(name)                                                                                      \
  int name(int at, const char* path, int flags, ...) {                                                    \
    static auto real = NEXT(name);                                                                        \
    va_list list;                                                                                         \
    va_start(list, flags);                                                                                \
    mode_t mode = mode_of(flags, list);                                                                   \
    va_end(list);                                                                                         \
    return opened(at, path, flags, [&] { return real(at, path, flags, mode); });                          \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void* data, size_t bytes) {
  static auto real = NEXT(write);
  iovec part{const_cast<void*>(data), bytes};
  note_out(fd, &part, 1);
  return data_write(fd, -1, &part, 1, [&] { return real(fd, data, bytes); });
}
ssize_t writev(int fd, const iovec* parts, int count) {
  static auto real = NEXT(writev);
  note_out(fd, parts, count);
  return data_write(fd, -1, parts, count, [&] { return real(fd, parts, count); });
}
#define PWRITE(name)                                                               \
  ssize_t name(int fd, const void* data, size_t bytes, off_t offset) {             \
    static auto real = NEXT(name);                                                 \
    iovec part{const_cast<void*>(data), bytes};                                    \
    return data_write(fd, offset, &part, 1, [&] { return real(fd, data, bytes, offset); }); \
  }
PWRITE(pwrite)
PWRITE(pwrite64)
#define PWRITEV(name)                                                              \
  ssize_t name(int fd, const iovec* parts, int count, off_t offset) {              \
    static auto real = NEXT(name);                                                 \
    return data_write(fd, offset, parts, count, [&] { return real(fd, parts, count, offset); }); \
  }
PWRITEV(pwritev)
PWRITEV(pwritev64)

int fsync(int fd) {
  static auto real = NEXT(fsync);
  return sync_call(fd, Kind::sync, [&] { return real(fd); });
}
int fdatasync(int fd) {
  static auto real = NEXT(fdatasync);
  return sync_call(fd, Kind::sync, [&] { return real(fd); });
}
int syncfs(int fd) {
  static auto real = NEXT(syncfs);
  return sync_call(fd, Kind::sync_all, [&] { return real(fd); });
}

#define FTRUNCATE(name)                                             \
  int name(int fd, off_t bytes) {                                   \
    static auto real = NEXT(name);                                  \
    const std::string path = ours(fd);                              \
    if (path.empty()) return real(fd, bytes);                       \
    Lock lock(recorder().mutex);                                    \
    if (struck(path, false, true)) return -1;                       \
    int rc = real(fd, bytes);                                       \
    if (rc == 0) note(Kind::truncate, inode(fd), static_cast<uint64_t>(bytes), path); \
    return rc;                                                      \
  }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

// posix_fallocate returns the error, and leaves errno alone.
#define POSIX_FALLOCATE(name)                                       \
  int name(int fd, off_t offset, off_t bytes) {                     \
    static auto real = NEXT(name);                                  \
    const std::string path = ours(fd);                              \
    if (path.empty()) return real(fd, offset, bytes);               \
    Lock lock(recorder().mutex);                                    \
    if (struck(path, false, true)) return errno;                    \
    int rc = real(fd, offset, bytes);                               \
    if (rc == 0) note(Kind::allocate, inode(fd), static_cast<uint64_t>(offset + bytes), path); \
    return rc;                                                      \
  }
POSIX_FALLOCATE(posix_fallocate)
POSIX_FALLOCATE(posix_fallocate64)

#define FALLOCATE(name)                                             \
  int name(int fd, int mode, off_t offset, off_t bytes) {           \
    static auto real = NEXT(name);                                  \
    const std::string path = ours(fd);                              \
    if (path.empty()) return real(fd, mode, offset, bytes);         \
    Lock lock(recorder().mutex);                                    \
    if (struck(path, false, true)) return -1;                       \
    int rc = real(fd, mode, offset, bytes);                         \
    if (rc == 0 && mode == 0) note(Kind::allocate, inode(fd), static_cast<uint64_t>(offset + bytes), path); \
    return rc;                                                      \
  }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

int rename(const char* from, const char* to) {
  static auto real = NEXT(rename);
  return renamed(absolute(AT_FDCWD, from), absolute(AT_FDCWD, to), [&] { return real(from, to); });
}
int renameat(int at, const char* from, int to_at, const char* to) {
  static auto real = NEXT(renameat);
  return renamed(absolute(at, from), absolute(to_at, to), [&] { return real(at, from, to_at, to); });
}
int renameat2(int at, const char* from, int to_at, const char* to, unsigned flags) {
  static auto real = NEXT(renameat2);
  return renamed(absolute(at, from), absolute(to_at, to), [&] { return real(at, from, to_at, to, flags); });
}
int unlink(const char* path) {
  static auto real = NEXT(unlink);
  return name_change(Kind::unlink, absolute(AT_FDCWD, path), false, [&] { return real(path); });
}
int unlinkat(int at, const char* path, int flags) {
  static auto real = NEXT(unlinkat);
  return name_change(Kind::unlink, absolute(at, path), false, [&] { return real(at, path, flags); });
}
int mkdir(const char* path, mode_t mode) {
  static auto real = NEXT(mkdir);
  return name_change(Kind::make_directory, absolute(AT_FDCWD, path), true, [&] { return real(path, mode); });
}
int mkdirat(int at, const char* path, mode_t mode) {
  static auto real = NEXT(mkdirat);
  return name_change(Kind::make_directory, absolute(at, path), true, [&] { return real(at, path, mode); });
}

// ---- what leaves: noted before it can ---------------------------------------------------------------------------

ssize_t send(int fd, const void* data, size_t bytes, int flags) {
  static auto real = NEXT(send);
  iovec part{const_cast<void*>(data), bytes};
  note_out(fd, &part, 1);
  return real(fd, data, bytes, flags);
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static auto real = NEXT(sendmsg);
  note_out(fd, message->msg_iov, static_cast<int>(message->msg_iovlen));
  return real(fd, message, flags);
}
ssize_t recv(int fd, void* data, size_t bytes, int flags) {
  static auto real = NEXT(recv);
  ssize_t n = real(fd, data, bytes, flags);
  if (n > 0 && is_api(fd)) {
    note_request(fd, data, static_cast<size_t>(n));
    Lock lock(recorder().mutex);
    note(Kind::http_in, static_cast<uint64_t>(fd), 0, {}, data, static_cast<size_t>(std::min<ssize_t>(n, 512)));
  }
  return n;
}
/// The answer to ZeroMQ's own question whether a client may connect (ZAP, RFC 27) stays in the process, and comes from a thread
/// of its own, which a fault in the loop's thread does not stop.
static bool leaves_the_process(void* socket) {
  static auto option = next<int (*)(void*, int, void*, size_t*)>("zmq_getsockopt");
  constexpr int option_type = 16, reply_socket = 4;  // ZMQ_TYPE and ZMQ_REP of zmq.h
  int type = 0;
  size_t bytes = sizeof type;
  return option(socket, option_type, &type, &bytes) != 0 || type != reply_socket;
}
int zmq_send(void* socket, const void* data, size_t bytes, int flags) {
  static auto real = next<int (*)(void*, const void*, size_t, int)>("zmq_send");
  Control* control = recorder().control;
  constexpr size_t routing_id_bytes = 5;
  if (control && control->fired && bytes > routing_id_bytes && leaves_the_process(socket)) ++control->sent;
  if (recorder().trace >= 0) {
    Lock lock(recorder().mutex);
    note(Kind::frame, reinterpret_cast<uint64_t>(socket), static_cast<uint64_t>(flags), {}, data, bytes);
  }
  return real(socket, data, bytes, flags);
}

}  // extern "C"
