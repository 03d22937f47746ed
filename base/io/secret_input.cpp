#include "base/io/secret_input.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/check.h"
#include "base/io/files.h"

namespace tram::io {
namespace {

/// Reads to the end of `fd`, at most `max` bytes, without leaving copies behind.
Result<SecretBytes> read_to_end(int fd, size_t max, std::string_view what) {
  SecretBytes secret(max + 1);
  size_t size = 0;
  while (size < secret.size()) {
    ssize_t n = ::read(fd, secret.writable().data() + size, secret.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error(errno, what));
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > max) return fail(ErrorCode::too_large, std::string(what));
  secret.shrink(size);
  return secret;
}

void drop_line_end(SecretBytes& secret) {
  size_t size = secret.size();
  if (size && secret.view()[size - 1] == '\n') --size;
  if (size && secret.view()[size - 1] == '\r') --size;
  secret.shrink(size);
}

/// Echo off until it goes, also when the process is interrupted by an error return.
class SilentTerminal {
 public:
  explicit SilentTerminal(int fd) : fd_(fd) {
    ok_ = ::tcgetattr(fd, &before_) == 0;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ICANON | ECHONL;
    ok_ = ok_ && ::tcsetattr(fd, TCSAFLUSH, &silent) == 0;
  }
  ~SilentTerminal() {
    if (ok_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  bool ok() const { return ok_; }

 private:
  int fd_;
  bool ok_ = false;
  termios before_{};
};

Result<SecretBytes> ask(int terminal, std::string_view prompt) {
  std::string question = std::string(prompt) + ": ";
  if (int error = write_all(terminal, view(question))) return fail(errno_error(error, "terminal"));
  SecretBytes line(passphrase_bytes_max + 2);
  size_t size = 0;
  for (;;) {
    if (size == line.size()) return fail(ErrorCode::bad_request, "passphrase too long");
    ssize_t n = ::read(terminal, line.writable().data() + size, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error(errno, "terminal"));
    if (n == 0 || line.view()[size] == '\n') break;
    ++size;
  }
  line.shrink(size);
  drop_line_end(line);
  if (line.empty()) return fail(ErrorCode::bad_request, "empty passphrase");
  if (line.size() > passphrase_bytes_max) return fail(ErrorCode::bad_request, "passphrase too long");
  return line;
}

std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Result<Fd> open_regular(const std::string& path, struct stat& status) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return fail(ErrorCode::not_found, path);
    if (errno == EACCES || errno == EPERM) return fail(ErrorCode::forbidden, path);
    return fail(errno_error(errno, path));
  }
  if (::fstat(fd.get(), &status) != 0) return fail(errno_error(errno, path));
  if (!S_ISREG(status.st_mode)) return fail(ErrorCode::bad_request, "not a regular file: " + path);
  return fd;
}

}  // namespace

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
    other.bytes_.clear();
  }
  return *this;
}

void SecretBytes::shrink(size_t size) {
  TRAM_CHECK(size <= bytes_.size());
  ::explicit_bzero(bytes_.data() + size, bytes_.size() - size);
  bytes_.resize(size);
}

void SecretBytes::wipe() {
  if (!bytes_.empty()) ::explicit_bzero(bytes_.data(), bytes_.size());
  bytes_.clear();
}

Result<SecretBytes> prompt_passphrase(std::string_view prompt, bool confirm) {
  Fd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal) return fail(ErrorCode::bad_request, "no terminal to ask on");
  SilentTerminal silent(terminal.get());
  if (!silent.ok()) return fail(ErrorCode::bad_request, "no terminal to ask on");
  TRAM_TRY(first, ask(terminal.get(), prompt));
  if (confirm) {
    TRAM_TRY(second, ask(terminal.get(), std::string(prompt) + " (again)"));
    if (!equal(first.view(), second.view())) return fail(ErrorCode::wrong_passphrase, "the two entries differ");
  }
  return first;
}

Result<SecretBytes> read_secret_fd(int fd, size_t max) {
  if (fd < 0 || ::fcntl(fd, F_GETFD) < 0) return fail(ErrorCode::bad_request, "not an open file descriptor");
  Fd owner(fd);
  TRAM_TRY(secret, read_to_end(fd, max + 2, "secret descriptor"));
  drop_line_end(secret);
  if (secret.empty()) return fail(ErrorCode::bad_request, "empty secret");
  if (secret.size() > max) return fail(ErrorCode::too_large, "secret descriptor");
  return secret;
}

Result<SecretBytes> read_credential(std::string_view name, size_t max) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (!directory || !*directory) return fail(ErrorCode::not_found, "CREDENTIALS_DIRECTORY is not set");
  if (name.empty() || name.find('/') != std::string_view::npos || name.front() == '.')
    return fail(ErrorCode::bad_request, "credential name");
  struct stat status {};
  TRAM_TRY(fd, open_regular(std::string(directory) + "/" + std::string(name), status));
  return read_secret_fd(fd.release(), max);
}

Result<SecretBytes> read_private_file(const std::string& path, size_t max) {
  struct stat status {};
  TRAM_TRY(fd, open_regular(path, status));
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return fail(ErrorCode::unsafe_permissions, "another user owns " + path);
  if (status.st_mode & 0077) return fail(ErrorCode::unsafe_permissions, "chmod 600 " + path);
  return read_to_end(fd.get(), max, path);
}

Result<void> write_private_file_atomic(const std::string& path, BytesView bytes, Replace replace) {
  size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return fail(ErrorCode::bad_request, "file name: " + path);
  Fd folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) {
    if (errno == ENOENT || errno == ENOTDIR) return fail(ErrorCode::not_found, folder_of(path));
    return fail(errno_error(errno, folder_of(path)));
  }
  std::string temporary = "." + name + ".tmp";
  ::unlinkat(folder.get(), temporary.c_str(), 0);  // of an attempt that was killed
  Fd fd(::openat(folder.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail(errno_error(errno, path));
  int error = ::fchmod(fd.get(), 0600) == 0 ? 0 : errno;
  if (!error) error = write_all(fd.get(), bytes);
  if (!error && ::fdatasync(fd.get()) != 0) error = errno;
  if (int raw = fd.release(); ::close(raw) != 0 && !error) error = errno;
  if (!error && ::renameat2(folder.get(), temporary.c_str(), folder.get(), name.c_str(),
                            replace == Replace::refused ? RENAME_NOREPLACE : 0) != 0)
    error = errno;
  if (error) {
    ::unlinkat(folder.get(), temporary.c_str(), 0);
    if (error == EEXIST) return fail(ErrorCode::conflict, "exists: " + path);
    return fail(errno_error(error, path));
  }
  if ((error = sync_fd(folder.get()))) return fail(errno_error(error, folder_of(path)));
  return {};
}

Result<Bytes> read_file(const std::string& path, size_t max) {
  struct stat status {};
  TRAM_TRY(fd, open_regular(path, status));
  if (static_cast<uint64_t>(status.st_size) > max) return fail(ErrorCode::too_large, path);
  Bytes bytes(static_cast<size_t>(status.st_size) + 1);
  size_t size = 0;
  for (;;) {  // files of /proc and growing files do not tell their size
    int64_t n = pread_all(fd.get(), std::span(bytes).subspan(size), size);
    if (n < 0) return fail(errno_error(static_cast<int>(-n), path));
    size += static_cast<size_t>(n);
    if (size > max) return fail(ErrorCode::too_large, path);
    if (size < bytes.size()) break;
    bytes.resize(std::min(bytes.size() * 2, max + 1));
  }
  bytes.resize(size);
  return bytes;
}

/// A raw key may be written as 64 hex digits.
static SecretBytes raw_key(SecretBytes secret) {
  if (secret.size() != 64) return secret;
  auto bytes = from_hex(text(secret.view()));
  if (!bytes) return secret;
  SecretBytes out(bytes->size());
  std::copy(bytes->begin(), bytes->end(), out.writable().begin());
  std::fill(bytes->begin(), bytes->end(), uint8_t{0});
  return out;
}

Result<SecretBytes> read_unlock_secret(const UnlockSource& source, std::string_view prompt, bool confirm) {
  const auto read = [&]() -> Result<SecretBytes> {
    if (source.fd >= 0) return read_secret_fd(source.fd);
    if (!source.credential.empty()) {
      auto credential = read_credential(source.credential);
      if (credential || credential.error().code != ErrorCode::not_found) return credential;
    }
    return prompt_passphrase(prompt, confirm);
  };
  TRAM_TRY(secret, read());
  if (source.raw) return raw_key(std::move(secret));
  return secret;
}

}  // namespace tram::io
