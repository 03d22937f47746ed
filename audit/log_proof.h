// The proof that an entry stands in a log, with who cosigned the checkpoint: C2SP tlog-proof, `extra` being what the leaf is
// made of: u16 kind || u64 time_ms || salt(16) || entry (FORMAT.md 7.3; protocol.md 4.5).
// Not here: whose key, which witnesses count (bundle.h). Thread: any; values only.
#pragma once
#include "audit/log.h"
#include "crypto/note.h"

namespace tram::audit {

struct LogProof {
  LogEntry leaf;
  uint64_t index = 0;
  std::vector<Hash> path;
  Bytes note;  // the checkpoint with cosignatures
};
inline constexpr size_t log_proof_bytes_max = 64u << 10;

Bytes encode_log_proof(const LogProof&);
/// Errors: bad_format, too_large.
Result<LogProof> decode_log_proof(BytesView);
/// The checkpoint, if the path leads from the leaf to its root. Errors: bad_format, bad_request (it does not).
Result<crypto::SignedCheckpoint> check_log_proof(const LogProof&);
/// Of an entry of this store's own log, by its best checkpoint; nothing when no checkpoint covers it yet.
Result<std::optional<LogProof>> make_log_proof(ReadTxn&, uint64_t index);

}  // namespace tram::audit
