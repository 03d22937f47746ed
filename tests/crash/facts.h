// What a daemon's store says, read through the shipped code: every row decoded, every body file behind a row read and
// hashed, the log's head recomputed, start-up tried. And what a daemon has promised, read from the frames and answers
// that left it. Both as named facts, so that a promise is kept when the store has its fact.
// Thread: one.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "crypto/keys.h"
#include "crypto/key_file.h"
#include "tests/crash/disk.h"

namespace tram::crash {

enum class Role { broker, node };

/// Name -> how much of it: 1, or a size, an offset, a position.
using Facts = std::map<std::string, uint64_t>;

struct Snapshot {
  Facts facts;
  Hash digest;  // of every row of every table
};

/// Errors: whatever the store, the rows, the bodies or start-up report.
Result<Snapshot> examine(Role role, const std::string& home, const crypto::KeyRing& ring);

struct Promise {
  size_t record = 0;  // of the trace: it has not left before
  std::string fact;
  uint64_t least = 1;
};
std::vector<Promise> read_promises(Role role, const std::vector<Record>& trace);

}  // namespace tram::crash
