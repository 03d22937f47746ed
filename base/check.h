// TRAM_CHECK: a programmer's error (a broken invariant) stops the process, in every build.
// It prints the place, never values, so that nothing secret can leak. Recovery is start-up.
#pragma once

namespace tram {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}
#define TRAM_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::tram::check_failed(#condition, __FILE__, __LINE__))
