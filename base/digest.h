// A hash over bytes as they come, for code that may not know which one it is. Thread: one at a time.
#pragma once
#include "base/ids.h"

namespace tram {

class Digest {
 public:
  virtual ~Digest() = default;
  virtual void update(BytesView) = 0;
  /// Once only.
  virtual Hash finish() = 0;
};

}  // namespace tram
