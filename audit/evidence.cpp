#include "audit/evidence.h"

#include "audit/bundle.h"
#include "audit/scratch_txn.h"
#include "audit/views.h"
#include "audit/witness.h"
#include "base/limits.h"
#include "crypto/merkle.h"

namespace tram::audit {
namespace {

constexpr std::string_view magic = "EDXF";
constexpr uint16_t version = 1;
constexpr size_t proof_hashes_max = 64;
enum class Part : uint8_t { first = 1, second = 2, prefix_root = 3, proof = 4, entry = 5 };

}  // namespace

Bytes encode_evidence(const Evidence& evidence) {
  Bytes out;
  Writer writer(out);
  writer.raw(magic).u16(version);
  const auto part = [&](Part kind, BytesView bytes) {
    writer.u8(static_cast<uint8_t>(kind)).u32(static_cast<uint32_t>(bytes.size())).raw(bytes);
  };
  part(Part::first, evidence.first);
  part(Part::second, evidence.second);
  if (!evidence.prefix_root.is_zero()) part(Part::prefix_root, evidence.prefix_root);
  for (const Hash& one : evidence.proof) part(Part::proof, one);
  for (const Bytes& entry : evidence.entries) part(Part::entry, entry);
  return out;
}

Result<Evidence> decode_evidence(BytesView raw) {
  if (raw.size() > evidence_bytes_max) return fail(ErrorCode::too_large, "evidence");
  Reader reader(raw);
  if (text(reader.raw(magic.size())) != magic) return fail(ErrorCode::bad_format, "not evidence of a fork");
  if (reader.u16() != version) return fail(ErrorCode::unsupported_version, "evidence");
  Evidence evidence;
  uint8_t last = 0;
  while (reader.ok() && reader.left() > 0) {
    const uint8_t kind = reader.u8();
    const BytesView bytes = reader.raw(reader.u32());
    const bool repeats = kind == static_cast<uint8_t>(Part::proof) || kind == static_cast<uint8_t>(Part::entry);
    if (!reader.ok() || kind < last || (kind == last && !repeats)) return fail(ErrorCode::bad_format, "evidence");
    last = kind;
    switch (static_cast<Part>(kind)) {
      case Part::first: evidence.first = to_bytes(bytes); break;
      case Part::second: evidence.second = to_bytes(bytes); break;
      case Part::prefix_root:
      case Part::proof: {
        const auto hash = Hash::from(bytes);
        if (!hash || hash->is_zero() || evidence.proof.size() == proof_hashes_max)
          return fail(ErrorCode::bad_format, "evidence: proof");
        if (static_cast<Part>(kind) == Part::proof) evidence.proof.push_back(*hash);
        else evidence.prefix_root = *hash;
        break;
      }
      case Part::entry: evidence.entries.push_back(to_bytes(bytes)); break;
      default: return fail(ErrorCode::bad_format, "evidence: part");
    }
  }
  if (!reader.finish() || evidence.first.empty() || evidence.second.empty())
    return fail(ErrorCode::bad_format, "evidence");
  return evidence;
}

Result<Contradiction> check_evidence(const Evidence& evidence, const LogPublic& key) {
  TRAM_TRY(first, crypto::decode_signed_checkpoint(evidence.first));
  TRAM_TRY(second, crypto::decode_signed_checkpoint(evidence.second));
  const crypto::Checkpoint &a = first.checkpoint, &b = second.checkpoint;
  if (a.origin != b.origin) return fail(ErrorCode::bad_request, "the checkpoints are of two logs");
  if (!crypto::verify_checkpoint(first, key) || !crypto::verify_checkpoint(second, key))
    return fail(ErrorCode::bad_signature, "checkpoint");
  bool contradict = false;
  if (a.size == b.size) {
    contradict = a.root != b.root && evidence.prefix_root.is_zero() && evidence.proof.empty();
  } else {
    contradict = a.size < b.size && evidence.prefix_root != a.root &&
                 crypto::verify_consistency(a.size, b.size, evidence.prefix_root, b.root, evidence.proof);
  }
  if (!contradict) return fail(ErrorCode::bad_request, "both checkpoints may be true");
  return Contradiction{std::move(first), std::move(second)};
}

Result<std::vector<EvidenceFile>> export_evidence(ReadTxn& txn, const directory::Directory& directory) {
  TRAM_TRY(kept, kept_evidence(txn));
  std::vector<EvidenceFile> files;
  // Another directory, as its cosigner signed it: whoever has the entries compares the root.
  TRAM_TRY(conflicts, view_conflicts(txn));
  for (auto& one : conflicts) files.push_back({one.by.hex().substr(0, 16) + ".view", std::move(one.object)});
  if (kept.empty()) return files;
  TRAM_TRY(entries, directory.entries(txn, 0, evidence_bytes_max / 2));
  for (auto& one : kept) {
    const auto first = crypto::decode_signed_checkpoint(one.evidence.first);
    if (!first) return fail(ErrorCode::store_corrupt, "evidence");
    one.evidence.entries = entries;
    files.push_back({evidence_id(first->checkpoint.origin).hex().substr(0, 16) + ".evidence", encode_evidence(one.evidence)});
  }
  return files;
}

EvidenceVerification verify_evidence(const Evidence& evidence, std::optional<RealmId> trusted) {
  EvidenceVerification out;
  const auto note = [&](std::string_view what, std::optional<bool> ok, std::string detail = {}) {
    out.findings.push_back({what, ok, std::move(detail)});
    if (ok && !*ok) out.verdict = Verdict::invalid;
    return ok.value_or(false);
  };
  const auto first = crypto::decode_signed_checkpoint(evidence.first);
  const auto second = crypto::decode_signed_checkpoint(evidence.second);
  if (!note("evidence_format", first && second)) return out;
  out.party = first->checkpoint.origin.party;
  out.origin = first->checkpoint.origin.text();
  out.first_size = first->checkpoint.size;
  out.second_size = second->checkpoint.size;
  if (evidence.entries.empty()) {
    note("directory", std::nullopt, "no directory entries inside");
    return out;
  }
  const auto genesis = proto::decode_entry(evidence.entries.front());
  if (!note("directory", genesis.has_value(), genesis ? "" : "genesis")) return out;
  out.realm = directory::realm_of(genesis->payload);
  out.realm_pinned = trusted == out.realm;
  if (trusted) note("realm", out.realm_pinned, out.realm.hex());
  else note("realm", std::nullopt, out.realm.hex());
  ScratchTxn txn;
  directory::Directory directory(out.realm);
  for (size_t i = 0; i < evidence.entries.size(); ++i) {
    if (const auto applied = directory.apply(txn, evidence.entries[i], Time{}); !applied) {
      note("directory", false, "entry " + std::to_string(i) + ": " + describe(applied.error()));
      return out;
    }
  }
  // Whatever key the party ever had: a note names no time.
  const Time end{INT64_MAX / 2};
  const auto owner = directory.log_owner(txn, out.party, end);
  const bool named = owner && *owner &&
                     first->checkpoint.origin == crypto::log_origin(out.realm, (*owner)->kind, out.party,
                                                                    first->checkpoint.origin.generation);
  if (!note("evidence_party", named, out.party.hex())) return out;
  bool contradict = false;
  std::string why = "not signed by a key of this party";
  for (const LogPublic& key : (*owner)->keys) {
    const auto checked = check_evidence(evidence, key);
    contradict = contradict || checked.has_value();
    if (!checked && checked.error().code != ErrorCode::bad_signature) why = describe(checked.error());
  }
  note("evidence_contradiction", contradict, contradict ? "" : why);
  if (const auto agency = directory.agency(txn, out.party, end); agency && *agency)
    out.party_name = (*agency)->agency.name_vi;
  else if (const auto broker = directory.broker(out.party)) out.party_name = broker->record.name;
  if (out.verdict != Verdict::invalid) out.verdict = out.realm_pinned ? Verdict::valid : Verdict::incomplete;
  return out;
}

Hash evidence_id(const crypto::LogOrigin& origin) { return crypto::hash("edx1/evidence", {view(origin.text())}); }

}  // namespace tram::audit
