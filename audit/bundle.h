// The evidence bundle of one receipt: everything that verifying it offline needs, and the verification
// (protocol.md 4.5). Layout: "EDXV" || u16 version (1) || n x (u8
// kind || u32 length || bytes), kinds in ascending order. Every object is carried as it was received, never
// re-serialised. Directory entries are all of them from the genesis, so that "this was the key in force" is checked and
// not believed. Not here: collecting (node/api), files and words for people (node/cli). Thread: any; values only.
#pragma once
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "crypto/formats.h"

namespace tram::audit {

enum class BundlePart : uint8_t { receipt = 1, envelope = 2, header = 3, custody = 4, entry = 5, log_proof = 6 };

struct Bundle {
  Bytes receipt;   // one
  Bytes envelope;  // empty: absent
  Bytes header;    // empty: absent
  std::vector<Bytes> custodies;
  std::vector<Bytes> entries;  // of the directory, from index 0
  Bytes log_proof;  // empty: absent; that sender or recipient logged this receipt, and who cosigned (log_proof.h)
};
inline constexpr size_t bundle_bytes_max = 64u << 20;

Bytes encode_bundle(const Bundle&);
/// Errors: bad_format, unsupported_version, too_large.
Result<Bundle> decode_bundle(BytesView);

enum class Verdict : uint8_t {
  valid = 0,
  invalid = 1,     // something in it is wrong
  incomplete = 2,  // nothing is wrong, but something is missing
};

/// One thing that was checked. `what` is a constant name (docs/api.md lists them), `ok` empty when it could not be
/// checked.
struct Finding {
  std::string_view what;
  std::optional<bool> ok;
  std::string detail;  // ids and numbers
};

struct Verification {
  Verdict verdict = Verdict::incomplete;
  std::vector<Finding> findings;
  RealmId realm;              // of the genesis inside
  bool realm_pinned = false;  // it is the one the caller trusts
  std::optional<crypto::Receipt> receipt;
  std::string sender_name, recipient_name;
  std::vector<std::string> custody_domains;
  uint32_t custody_wanted = 0;
  std::vector<std::string> cosigners;  // of the log proof: names of brokers and witnesses
};

struct Evidence;
/// Verifies evidence of a forked log (evidence.h) as it was exported, with the directory inside: who is convicted.
/// Valid: whoever trusts the realm must believe it.
struct EvidenceVerification {
  Verdict verdict = Verdict::incomplete;
  std::vector<Finding> findings;
  RealmId realm;
  bool realm_pinned = false;
  PartyId party;
  std::string party_name, origin;
  uint64_t first_size = 0, second_size = 0;
};
EvidenceVerification verify_evidence(const Evidence&, std::optional<RealmId> trusted);

struct SplitEvidence;
/// Verifies evidence of a split directory (evidence.h). Valid: as many cosigned the other view as would have confirmed it, so
/// whoever trusts the realm must believe that two directories are shown. Fewer, and it is incomplete: each of them signed what
/// these entries are not, and either that party or the officers show two.
struct SplitVerification {
  Verdict verdict = Verdict::incomplete;
  std::vector<Finding> findings;
  RealmId realm;
  bool realm_pinned = false;
  uint64_t size = 0;
  Hash root, other_root;               // of these entries at that size; of the view
  std::vector<std::string> cosigners;  // of the other one: names of brokers and witnesses
};
SplitVerification verify_split(const SplitEvidence&, std::optional<RealmId> trusted);

/// Verifies without network or clock. Without a trusted realm the bundle can only be consistent in itself: the verdict
/// is then at best incomplete.
Verification verify_bundle(const Bundle&, std::optional<RealmId> trusted);

}  // namespace tram::audit
