// Writes of the local API that wait for the loop, and what becomes of them when their transaction was aborted: the
// store refused one or all of them, which is no answer to the others. Not here: the queue itself and its lock (loop).
// Thread: whoever holds them.
#pragma once
#include <memory>
#include <semaphore>
#include <vector>

#include "node/api/api.h"

namespace tram::node {

struct PendingWrite {
  api::Request request;
  api::Response response;
  unsigned attempts = 0;  // transactions that were aborted with it inside
  std::binary_semaphore answered{0};  // one waits for each: a shared condition would wake them all at every step
};
using Writes = std::vector<std::shared_ptr<PendingWrite>>;

inline constexpr unsigned write_attempts_max = 3;

/// Takes those out that are to be tried again and gives them in their order; the rest have their answer. `handled`: how
/// many had been carried out; `culprit`: the one under which the store failed, or none when the commit failed.
Writes take_unanswered(Writes& writes, size_t handled, const PendingWrite* culprit, const Error& failure);

}  // namespace tram::node
