#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace tram {
void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "broken invariant: %s at %s:%d\n", expression, file, line);
  std::abort();
}
}  // namespace tram
