// What a node's body files should hold, compared with what they do: for a backup that is read back, a recovery after a
// disk failure, and doctor. Thread: any; reads only.
#pragma once
#include "base/ports.h"

namespace tram::node {

struct BodyCheck {
  uint64_t bodies = 0;
  uint64_t bytes = 0;
  std::vector<std::string> damaged;  // "sent <document id>" or "received <document id>": missing or not what was sealed
};
/// Reads every body that the rows name and compares each chunk with its manifest. Errors: store_corrupt, io_failed.
Result<BodyCheck> check_bodies(ReadTxn&, Bodies&);

}  // namespace tram::node
