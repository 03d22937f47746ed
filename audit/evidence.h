// Evidence that a log was forked: two checkpoints signed by one LOG key that cannot both be true (I9, I10).
// Either they name one size and two roots, or the smaller one's root is not the root that the larger one's tree had at
// that size; then that root stands in it with its consistency proof. A late, an old or an unfinished checkpoint proves
// nothing against anybody, and no witness's word is part of it. Layout "EDXF": FORMAT.md 7.2.
// Not here: finding it (witness.h), alarms (broker/, node/). Thread: any; values only.
#pragma once
#include "base/ports.h"
#include "crypto/note.h"
#include "directory/directory.h"

namespace tram::audit {

struct Evidence {
  Bytes first;               // notes; the smaller checkpoint stands first
  Bytes second;
  Hash prefix_root;          // with unequal sizes: of the second's tree at the first's size
  std::vector<Hash> proof;   // that it is
  std::vector<Bytes> entries;  // of the directory, from index 0: whose key it is; empty while it lies in a store
};
inline constexpr size_t evidence_bytes_max = 64u << 20;

Bytes encode_evidence(const Evidence&);
/// Errors: bad_format, unsupported_version, too_large.
Result<Evidence> decode_evidence(BytesView);

/// The two checkpoints of checked evidence.
struct Contradiction {
  crypto::SignedCheckpoint first, second;
};
/// Both are signed by `key`, name one log, and cannot both be true. Errors: bad_format, bad_signature, bad_request (two
/// logs, or both may be true).
Result<Contradiction> check_evidence(const Evidence&, const LogPublic& key);
/// Evidence that the directory is shown in two ways (R27): one view that cosigners signed, and the entries that it
/// contradicts. Layout "EDXS": FORMAT.md 7.4.
struct SplitEvidence {
  Bytes view;                  // a note: cosignatures over one (size, root)
  std::vector<Bytes> entries;  // of the directory, from index 0
};
Bytes encode_split(const SplitEvidence&);
/// Errors: bad_format, unsupported_version, too_large.
Result<SplitEvidence> decode_split(BytesView);

/// Kept evidence as files: name and bytes, each with the directory that says whose key it was.
struct EvidenceFile {
  std::string name;
  Bytes bytes;
};
Result<std::vector<EvidenceFile>> export_evidence(ReadTxn&, const directory::Directory&);
/// The same when there is more than `known`, which then counts it; nothing otherwise.
Result<std::vector<EvidenceFile>> export_new_evidence(ReadTxn&, const directory::Directory&, uint64_t& known);

/// H("edx1/evidence"; the log's origin): one log is convicted once.
Hash evidence_id(const crypto::LogOrigin&);

}  // namespace tram::audit
