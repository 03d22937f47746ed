// Whether a body file is what its manifest says, chunk by chunk: for the scrub, backups and recoveries (3.9, R24).
// Thread: any; reads only.
#pragma once
#include "base/ports.h"
#include "crypto/formats.h"

namespace tram::crypto {

/// Chunks [first, first + count) of one file.
struct BodyPart {
  std::string name;
  Bytes manifest;             // empty: it is the file `manifest_name`
  std::string manifest_name;
  ManifestId manifest_id;     // what the signed header committed to
  uint32_t chunks = 0;        // of the whole body
  uint32_t first = 0, count = 0;
  Bytes have;                 // bit i (lsb first): chunk i should be there; empty: all of them
};
struct BodyPartCheck {
  bool manifest_good = false;
  uint64_t bytes = 0;              // read
  std::vector<uint32_t> damaged;   // chunks that are missing or not what they should be, in order
  bool good() const { return manifest_good && damaged.empty(); }
};
/// Error: io_failed.
Result<BodyPartCheck> check_body(const BodyPart&, Bodies&);

}  // namespace tram::crypto
