// How secrets enter the process: a prompt, a file descriptor, a systemd credential or a private file. Never argv, never
// the environment (K5). And how private files are read and published.
// Invariants: the buffers are wiped; a private file that group or others can read is refused; a file written here is
// there completely or not at all, also after a power cut (D1).
// Not here: deciding where a passphrase comes from (the daemons), locking memory (crypto's secrets are mlocked).
// Thread: any; the prompt belongs to the main thread.
#pragma once
#include "base/bytes.h"
#include "base/result.h"

namespace tram::io {

/// Bytes that are wiped when they go. Move only; has no formatter.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size) : bytes_(size) {}
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { wipe(); }

  BytesView view() const { return bytes_; }
  std::span<uint8_t> writable() { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  /// Shortens; the cut part is wiped.
  void shrink(size_t size);
  void wipe();

 private:
  Bytes bytes_;
};

inline constexpr size_t passphrase_bytes_max = 1024;

/// Asks on /dev/tty with echo off; without a terminal: error bad_request. `confirm` asks twice (error: wrong_passphrase
/// when they differ). The line end is not part of it. Errors: bad_request (empty, too long, no terminal).
Result<SecretBytes> prompt_passphrase(std::string_view prompt, bool confirm = false);
/// Reads the descriptor to its end, at most `max` bytes; one trailing line end is dropped. Closes it.
Result<SecretBytes> read_secret_fd(int fd, size_t max = passphrase_bytes_max);
/// $CREDENTIALS_DIRECTORY/<name> (systemd LoadCredential=); one trailing line end is dropped. Error: not_found.
Result<SecretBytes> read_credential(std::string_view name, size_t max = passphrase_bytes_max);

/// Where the secret that unlocks a key file comes from; never argv or the environment (K5).
struct UnlockSource {
  int fd = -1;             // read from this descriptor
  std::string credential;  // systemd credential, tried when it is there
  bool raw = false;        // 64 hex digits or 32 bytes instead of a passphrase
};
/// From the descriptor, else the credential, else the prompt. Errors: theirs.
Result<SecretBytes> read_unlock_secret(const UnlockSource&, std::string_view prompt, bool confirm);

/// A regular file owned by us (or root) that nobody else can read. Errors: not_found, unsafe_permissions (detail: the
/// chmod that helps), too_large, io_failed.
Result<SecretBytes> read_private_file(const std::string& path, size_t max);

enum class Replace { allowed, refused };
/// Writes <path> with mode 0600 through a temporary file in the same directory: write, fdatasync, renameat2, fsync of
/// the directory. Errors: conflict (exists and Replace::refused), storage_full, io_failed.
Result<void> write_private_file_atomic(const std::string& path, BytesView bytes, Replace replace = Replace::allowed);

/// Any readable file, at most `max` bytes. Errors: not_found, too_large, io_failed.
Result<Bytes> read_file(const std::string& path, size_t max);

}  // namespace tram::io
