// Evidence of forked logs and split directories, and log proofs: what is carried from one organisation to another.
#include "audit/evidence.h"
#include "audit/log_proof.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

void one_input(BytesView in) {
  static const crypto::LogKey honest{crypto::Secret32(Bytes(32, 0x5a))};
  if (const auto evidence = audit::decode_evidence(in)) {
    require(equal(audit::encode_evidence(*evidence), in), "evidence is written in one way");
    if (const auto checked = audit::check_evidence(*evidence, honest.public_key())) {
      const auto &a = checked->first.checkpoint, &b = checked->second.checkpoint;
      require(a.origin == b.origin && a.size <= b.size && !(a == b), "two checkpoints of one log");
    }
  }
  if (const auto split = audit::decode_split(in)) require(equal(audit::encode_split(*split), in), "a split is written in one way");
  if (const auto proof = audit::decode_log_proof(in)) {
    require(equal(audit::encode_log_proof(*proof), in), "a log proof is written in one way");
    if (const auto shown = audit::check_log_proof(*proof))
      require(proof->index < shown->checkpoint.size, "the entry is in the tree");
  }
}

}  // namespace tram::fuzz
