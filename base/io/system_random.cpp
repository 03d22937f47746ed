#include "base/io/system_random.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace tram::io {

void SystemRandom::fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    ssize_t n = ::getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    TRAM_CHECK(n > 0);
    out = out.subspan(static_cast<size_t>(n));
  }
}

}  // namespace tram::io
