#include "audit/evidence.h"

#include <map>
#include <set>

#include "audit/bundle.h"
#include "audit/scratch_txn.h"
#include "audit/views.h"
#include "audit/witness.h"
#include "base/limits.h"
#include "crypto/merkle.h"

namespace tram::audit {
namespace {

constexpr std::string_view fork_magic = "EDXF";
constexpr uint16_t fork_version = 1;
constexpr size_t proof_hashes_max = 64;
enum class Part : uint8_t { first = 1, second = 2, prefix_root = 3, proof = 4, entry = 5 };

constexpr std::string_view split_magic = "EDXS";
constexpr uint16_t split_version = 1;
enum class SplitPart : uint8_t { view = 1, entry = 2 };

void write_part(Writer& writer, uint8_t kind, BytesView bytes) {
  writer.u8(kind).u32(static_cast<uint32_t>(bytes.size())).raw(bytes);
}

/// What a key of the directory has signed says who its owner is, whenever the key was in force: a note names no time.
constexpr Time end_of_time{INT64_MAX / 2};

/// Adds a finding to a verification; a false one makes it invalid. Returns whether it is true.
template <class Verification>
auto noting(Verification& out) {
  return [&out](std::string_view what, std::optional<bool> ok, std::string detail = {}) {
    out.findings.push_back({what, ok, std::move(detail)});
    if (ok && !*ok) out.verdict = Verdict::invalid;
    return ok.value_or(false);
  };
}

struct Realm {
  ScratchTxn txn;
  std::optional<directory::Directory> directory;
};
/// Builds the directory of these entries; `at(size)` is called after each. False: a finding says why not.
template <class Note, class At>
bool build_directory(const std::vector<Bytes>& entries, std::optional<RealmId> trusted, RealmId& realm, bool& pinned, Realm& out,
                     Note&& note, At&& at) {
  if (entries.empty()) {
    note("directory", std::nullopt, "no directory entries inside");
    return false;
  }
  const auto genesis = proto::decode_entry(entries.front());
  if (!note("directory", genesis.has_value(), genesis ? "" : "genesis")) return false;
  realm = directory::realm_of(genesis->payload);
  pinned = trusted == realm;
  if (trusted) note("realm", pinned, realm.hex());
  else note("realm", std::nullopt, realm.hex());
  out.directory.emplace(realm);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (const auto applied = out.directory->apply(out.txn, entries[i], Time{}); !applied) {
      note("directory", false, "entry " + std::to_string(i) + ": " + describe(applied.error()));
      return false;
    }
    at(i + 1);
  }
  return true;
}

std::string name_of(const Realm& realm, const PartyId& party) {
  if (const auto broker = realm.directory->broker(party)) return broker->record.name;
  if (const auto witness = realm.directory->witness(party)) return witness->record.name;
  return party.hex();
}

/// Whose cosignature it says it is: the name ends with the party.
std::optional<PartyId> party_named(const crypto::NoteSignature& signature) {
  return PartyId::parse(std::string_view(signature.name).substr(signature.name.rfind('/') + 1));
}

/// Who made this cosignature, by any key that the directory ever gave a broker or witness.
std::optional<Cosignature> cosigner(Realm& realm, std::string_view text, const crypto::NoteSignature& signature) {
  const auto party = party_named(signature);
  if (!party) return std::nullopt;
  const auto owner = realm.directory->log_owner(realm.txn, *party, end_of_time);
  if (!owner || !*owner || ((*owner)->kind != crypto::LogKind::broker && (*owner)->kind != crypto::LogKind::witness))
    return std::nullopt;
  const std::string name = crypto::cosigner_name(realm.directory->realm(), (*owner)->kind, *party);
  for (const LogPublic& key : (*owner)->keys)
    if (const auto at = crypto::verify_cosignature(text, signature, name, key)) return Cosignature{(*owner)->kind, *party, *at};
  return std::nullopt;
}

}  // namespace

Bytes encode_evidence(const Evidence& evidence) {
  Bytes out;
  Writer writer(out);
  writer.raw(fork_magic).u16(fork_version);
  const auto part = [&](Part kind, BytesView bytes) { write_part(writer, static_cast<uint8_t>(kind), bytes); };
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
  if (text(reader.raw(fork_magic.size())) != fork_magic) return fail(ErrorCode::bad_format, "not evidence of a fork");
  if (reader.u16() != fork_version) return fail(ErrorCode::unsupported_version, "evidence");
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
  TRAM_TRY(conflicts, view_conflicts(txn));
  std::map<std::string, crypto::Note> other_views;  // all that is signed over one of them, in one file
  for (auto& one : conflicts) {
    auto note = crypto::decode_note(one.object);
    if (one.kind != ViewConflict::Kind::cosigner || !note) {
      files.push_back({one.by.hex().substr(0, 16) + ".view", std::move(one.object)});
      continue;
    }
    crypto::Note& view = other_views.try_emplace(note->text, crypto::Note{note->text, {}}).first->second;
    std::move(note->signatures.begin(), note->signatures.end(), std::back_inserter(view.signatures));
  }
  if (kept.empty() && other_views.empty()) return files;
  TRAM_TRY(entries, directory.entries(txn, 0, evidence_bytes_max / 2));
  for (const auto& [text, note] : other_views)
    files.push_back({crypto::hash("edx1/evidence", {view(text)}).hex().substr(0, 16) + ".split", encode_split({crypto::encode_note(note), entries})});
  for (auto& one : kept) {
    const auto first = crypto::decode_signed_checkpoint(one.evidence.first);
    if (!first) return fail(ErrorCode::store_corrupt, "evidence");
    one.evidence.entries = entries;
    files.push_back({evidence_id(first->checkpoint.origin).hex().substr(0, 16) + ".evidence", encode_evidence(one.evidence)});
  }
  return files;
}

Result<std::vector<EvidenceFile>> export_new_evidence(ReadTxn& txn, const directory::Directory& directory, uint64_t& known) {
  TRAM_TRY(forks, count_evidence(txn));
  TRAM_TRY(conflicts, view_conflicts(txn));
  const uint64_t count = forks + conflicts.size();
  if (count == known) return std::vector<EvidenceFile>{};
  TRAM_TRY(files, export_evidence(txn, directory));
  known = count;
  return files;
}

EvidenceVerification verify_evidence(const Evidence& evidence, std::optional<RealmId> trusted) {
  EvidenceVerification out;
  const auto note = noting(out);
  const auto first = crypto::decode_signed_checkpoint(evidence.first);
  const auto second = crypto::decode_signed_checkpoint(evidence.second);
  if (!note("evidence_format", first && second)) return out;
  out.party = first->checkpoint.origin.party;
  out.origin = first->checkpoint.origin.text();
  out.first_size = first->checkpoint.size;
  out.second_size = second->checkpoint.size;
  Realm realm;
  if (!build_directory(evidence.entries, trusted, out.realm, out.realm_pinned, realm, note, [](uint64_t) {})) return out;
  const directory::Directory& directory = *realm.directory;
  const auto owner = directory.log_owner(realm.txn, out.party, end_of_time);
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
  if (const auto agency = directory.agency(realm.txn, out.party, end_of_time); agency && *agency)
    out.party_name = (*agency)->agency.name_vi;
  else if (const auto broker = directory.broker(out.party)) out.party_name = broker->record.name;
  if (out.verdict != Verdict::invalid) out.verdict = out.realm_pinned ? Verdict::valid : Verdict::incomplete;
  return out;
}

// ---- a split directory --------------------------------------------------------------------------------------------

Bytes encode_split(const SplitEvidence& evidence) {
  Bytes out;
  Writer writer(out);
  writer.raw(split_magic).u16(split_version);
  write_part(writer, static_cast<uint8_t>(SplitPart::view), evidence.view);
  for (const Bytes& entry : evidence.entries) write_part(writer, static_cast<uint8_t>(SplitPart::entry), entry);
  return out;
}

Result<SplitEvidence> decode_split(BytesView raw) {
  if (raw.size() > evidence_bytes_max) return fail(ErrorCode::too_large, "evidence");
  Reader reader(raw);
  if (text(reader.raw(split_magic.size())) != split_magic) return fail(ErrorCode::bad_format, "not evidence of a split");
  if (reader.u16() != split_version) return fail(ErrorCode::unsupported_version, "evidence");
  SplitEvidence evidence;
  while (reader.ok() && reader.left() > 0) {
    const auto kind = static_cast<SplitPart>(reader.u8());
    Bytes bytes = to_bytes(reader.raw(reader.u32()));
    // The view first, once.
    if (!reader.ok() || bytes.empty() || kind != (evidence.view.empty() ? SplitPart::view : SplitPart::entry))
      return fail(ErrorCode::bad_format, "evidence: part");
    if (kind == SplitPart::view) evidence.view = std::move(bytes);
    else evidence.entries.push_back(std::move(bytes));
  }
  if (!reader.finish() || evidence.view.empty()) return fail(ErrorCode::bad_format, "evidence");
  return evidence;
}

SplitVerification verify_split(const SplitEvidence& evidence, std::optional<RealmId> trusted) {
  SplitVerification out;
  const auto note = noting(out);
  const auto signed_view = crypto::decode_signed_checkpoint(evidence.view);
  if (!note("view_format", signed_view.has_value())) return out;
  const crypto::Checkpoint& shown = signed_view->checkpoint;
  const crypto::Note& other = signed_view->note;
  out.size = shown.size;
  out.other_root = shown.root;

  ViewQuorum quorum;
  std::set<PartyId> retired;  // when the directory had that size
  Realm realm;
  const auto at_size = [&](uint64_t size) {
    if (size != shown.size) return;
    quorum = view_quorum(*realm.directory, end_of_time);
    for (const auto& one : other.signatures) {
      const auto party = party_named(one);
      const auto broker = party ? realm.directory->broker(*party) : std::nullopt;
      const auto witness = party ? realm.directory->witness(*party) : std::nullopt;
      if ((broker && broker->record.retired) || (witness && witness->record.retired)) retired.insert(*party);
    }
  };
  if (!build_directory(evidence.entries, trusted, out.realm, out.realm_pinned, realm, note, at_size)) return out;
  const auto root = realm.directory->root_at(realm.txn, shown.size);
  const bool contradicts = shown.origin == directory_origin(out.realm) && shown.size > 0 && root && *root && **root != shown.root;
  if (!note("view_contradicts", contradicts, std::to_string(shown.size))) return out;
  out.root = **root;

  std::set<PartyId> brokers, witnesses;
  for (const auto& one : other.signatures) {
    const auto made = cosigner(realm, other.text, one);
    if (!note("view_cosigner", made.has_value(), made ? name_of(realm, made->by) : one.name)) continue;
    out.cosigners.push_back(name_of(realm, made->by));
    if (!retired.contains(made->by)) (made->kind == crypto::LogKind::broker ? brokers : witnesses).insert(made->by);
  }
  const bool enough = brokers.size() >= quorum.brokers && (!quorum.witness || !witnesses.empty());
  note("view_quorum", enough ? std::optional(true) : std::nullopt,
       std::to_string(brokers.size()) + "/" + std::to_string(quorum.brokers) +
           (quorum.witness ? " + " + std::to_string(witnesses.size()) + "/1" : ""));
  if (out.verdict != Verdict::invalid) out.verdict = enough && out.realm_pinned ? Verdict::valid : Verdict::incomplete;
  return out;
}

Hash evidence_id(const crypto::LogOrigin& origin) { return crypto::hash("edx1/evidence", {view(origin.text())}); }

}  // namespace tram::audit
