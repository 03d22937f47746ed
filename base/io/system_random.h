// Randomness from the kernel, getrandom(2). Small draws share a system call; drawn bytes are wiped from the reserve.
// Invariants: either all bytes are filled or the process stops; never a fallback. Not for a process that forks.
// Thread: any.
#pragma once
#include "base/ports.h"

namespace tram::io {

class SystemRandom final : public Random {
 public:
  void fill(std::span<uint8_t> out) override;
};

}  // namespace tram::io
