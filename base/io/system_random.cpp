#include "base/io/system_random.h"

#include <string.h>
#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace tram::io {
namespace {

void from_kernel(std::span<uint8_t> out) {
  while (!out.empty()) {
    ssize_t n = ::getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    TRAM_CHECK(n > 0);
    out = out.subspan(static_cast<size_t>(n));
  }
}

struct Reserve {
  std::array<uint8_t, 2048> bytes;
  size_t left = 0;
  ~Reserve() { explicit_bzero(bytes.data(), bytes.size()); }
};

}  // namespace

void SystemRandom::fill(std::span<uint8_t> out) {
  thread_local Reserve reserve;
  if (out.empty()) return;  // memcpy wants an address, even for nothing
  if (out.size() > 64) return from_kernel(out);
  if (reserve.left < out.size()) {
    from_kernel(reserve.bytes);
    reserve.left = reserve.bytes.size();
  }
  reserve.left -= out.size();
  memcpy(out.data(), reserve.bytes.data() + reserve.left, out.size());
  explicit_bzero(reserve.bytes.data() + reserve.left, out.size());
}

}  // namespace tram::io
