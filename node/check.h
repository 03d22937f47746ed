// What a node's body files should hold, compared with what they do: for the scrub, a backup that is read back, and a recovery
// after a disk failure. Thread: any; reads only.
#pragma once
#include "base/ports.h"
#include "crypto/body_check.h"
#include "proto/records_node.h"

namespace tram::node {

/// The file of a body, to be compared with its manifest; nothing when there is none: inline, not made yet, gone.
Result<std::optional<crypto::BodyPart>> body_part(const proto::OutRecord&, uint32_t first, uint32_t count);
Result<std::optional<crypto::BodyPart>> body_part(const proto::InRecord&, uint32_t first, uint32_t count);

struct DamagedBody {
  bool sent = false;  // else received
  DocId doc_id;
};
/// "sent <document id>" or "received <document id>".
std::string describe(const DamagedBody&);

struct BodyCheck {
  uint64_t bodies = 0;
  uint64_t bytes = 0;
  std::vector<DamagedBody> damaged;  // missing or not what was sealed
};
/// Reads every body that the rows name and compares each chunk with its manifest. Errors: store_corrupt, io_failed.
Result<BodyCheck> check_bodies(ReadTxn&, Bodies&);

}  // namespace tram::node
