#include "audit/bundle.h"

#include <algorithm>
#include <set>

#include "audit/log_proof.h"
#include "audit/scratch_txn.h"
#include "audit/witness.h"
#include "base/limits.h"
#include "crypto/hash.h"
#include "directory/directory.h"

namespace tram::audit {
namespace {

constexpr std::string_view bundle_magic = "EDXV";
constexpr uint16_t bundle_version = 1;
constexpr size_t custodies_max = 64;

class Verifier {
 public:
  Verifier(const Bundle& bundle, std::optional<RealmId> trusted) : bundle_(bundle), trusted_(trusted) {}

  Verification run() {
    auto receipt = crypto::decode_receipt(bundle_.receipt);
    if (!receipt) {
      note("receipt_format", false, describe(receipt.error()));
      return finish();
    }
    out_.receipt = *receipt;
    if (!load_directory(*receipt)) return finish();
    check_receipt(*receipt);
    if (const auto envelope = check_envelope(*receipt)) check_header(*receipt, *envelope);
    check_custody(*receipt);
    check_log(*receipt);
    return finish();
  }

 private:
  void note(std::string_view what, std::optional<bool> ok, std::string detail = {}) {
    out_.findings.push_back({what, ok, std::move(detail)});
  }

  Verification finish() {
    bool missing = !out_.realm_pinned;
    bool wrong = false;
    for (const auto& finding : out_.findings) {
      missing |= !finding.ok;
      wrong |= finding.ok && !*finding.ok;
    }
    out_.verdict = wrong ? Verdict::invalid : missing ? Verdict::incomplete : Verdict::valid;
    return std::move(out_);
  }

  bool load_directory(const crypto::Receipt& receipt) {
    if (bundle_.entries.empty()) {
      note("directory", std::nullopt, "no directory entries inside");
      return false;
    }
    const auto genesis = proto::decode_entry(bundle_.entries.front());
    if (!genesis) {
      note("directory", false, "genesis: " + describe(genesis.error()));
      return false;
    }
    out_.realm = directory::realm_of(genesis->payload);
    if (trusted_) {
      note("realm", *trusted_ == out_.realm, out_.realm.hex());
      out_.realm_pinned = *trusted_ == out_.realm;
    } else {
      note("realm", std::nullopt, out_.realm.hex());
    }
    directory_.emplace(out_.realm);
    for (size_t i = 0; i < bundle_.entries.size(); ++i)
      if (const auto applied = directory_->apply(txn_, bundle_.entries[i], receipt.time); !applied) {
        note("directory", false, "entry " + std::to_string(i) + ": " + describe(applied.error()));
        return false;
      }
    note("directory", true, std::to_string(directory_->size()) + " entries");
    out_.sender_name = name_of(receipt.sender, receipt.time);
    out_.recipient_name = name_of(receipt.recipient, receipt.time);
    return true;
  }

  std::string name_of(const PartyId& party, Time at) {
    auto state = directory_->agency(txn_, party, at);
    return state && *state ? (*state)->agency.name_vi : std::string();
  }

  /// The signer's key in force at that size of the directory and that time; notes under `what` when there is none.
  std::optional<SigPublic> key_of(std::string_view what, const PartyId& party, uint64_t dir_size, Time at) {
    if (dir_size > directory_->size()) {
      note(what, std::nullopt, "needs directory entry " + std::to_string(dir_size));
      return std::nullopt;
    }
    auto key = directory_->sig_key(txn_, party, dir_size, at);
    if (!key || !*key) {
      note(what, false, "no key of " + party.hex() + " was in force");
      return std::nullopt;
    }
    return **key;
  }

  /// The directory the signer said it saw is a prefix of ours.
  void check_view(std::string_view what, uint64_t dir_size, const Hash& dir_root) {
    if (dir_size > directory_->size())
      return note(what, std::nullopt, "needs directory entry " + std::to_string(dir_size));
    auto root = directory_->root_at(txn_, dir_size);
    note(what, root && *root && **root == dir_root);
  }

  void check_receipt(const crypto::Receipt& receipt) {
    note("receipt_realm", receipt.realm == out_.realm);
    note("receipt_issuer", receipt.issuer == receipt.recipient);
    check_view("receipt_directory", receipt.dir_size, receipt.dir_root);
    if (const auto key = key_of("receipt_signature", receipt.issuer, receipt.dir_size, receipt.time))
      note("receipt_signature",
           crypto::key_id(crypto::KeyKind::sig, *key) == receipt.issuer_key && crypto::verify_receipt(receipt, *key));
  }

  std::optional<crypto::Envelope> check_envelope(const crypto::Receipt& receipt) {
    if (bundle_.envelope.empty()) {
      note("envelope", std::nullopt, "absent");
      return std::nullopt;
    }
    const auto envelope = crypto::decode_envelope(bundle_.envelope);
    if (!envelope) {
      note("envelope", false, describe(envelope.error()));
      return std::nullopt;
    }
    note("envelope", envelope->id == receipt.env_id && envelope->doc_id == receipt.doc_id &&
                         envelope->realm == receipt.realm && envelope->sender == receipt.sender &&
                         envelope->recipient == receipt.recipient && envelope->inc == receipt.inc &&
                         envelope->seq == receipt.seq);
    note("receipt_answers", receipt.answers == crypto::answers_hash(bundle_.envelope));
    check_view("envelope_directory", envelope->dir_size, envelope->dir_root);
    if (const auto key = key_of("envelope_signature", envelope->sender, envelope->dir_size, envelope->created))
      note("envelope_signature", crypto::verify_envelope(*envelope, *key));
    return *envelope;
  }

  void check_header(const crypto::Receipt& receipt, const crypto::Envelope& envelope) {
    if (bundle_.header.empty()) return note("header", std::nullopt, "absent");
    const auto header = crypto::decode_header(bundle_.header);
    if (!header) return note("header", false, describe(header.error()));
    note("header", header->id == receipt.doc_id && header->sender == receipt.sender && header->realm == receipt.realm);
    if (const auto key = key_of("header_signature", header->sender, envelope.dir_size, header->created))
      note("header_signature", crypto::verify_header(*header, *key));
  }

  void check_custody(const crypto::Receipt& receipt) {
    std::set<std::string> domains;
    for (const Bytes& raw : bundle_.custodies) {
      const auto custody = crypto::decode_custody(raw);
      if (!custody) {
        note("custody", false, describe(custody.error()));
        continue;
      }
      const auto broker = directory_->broker(custody->broker);
      const bool named = custody->env_id == receipt.env_id && custody->doc_id == receipt.doc_id &&
                         custody->recipient == receipt.recipient && custody->realm == receipt.realm && broker;
      const auto key = directory_->sig_key(txn_, custody->broker, directory_->size(), custody->time);
      const bool good = named && key && *key && crypto::verify_custody(*custody, **key);
      note("custody", good, custody->broker.hex());
      if (good) domains.insert(broker->record.failure_domain);
    }
    out_.custody_domains.assign(domains.begin(), domains.end());
    out_.custody_wanted = directory_->policy(receipt.time).custody_quorum;
    if (domains.size() < out_.custody_wanted)
      note("custody_quorum", std::nullopt,
           std::to_string(domains.size()) + " of " + std::to_string(out_.custody_wanted) + " failure domains");
    else
      note("custody_quorum", true, std::to_string(domains.size()) + " failure domains");
  }

  /// Sender or recipient wrote this receipt into its log, and brokers countersigned the log's checkpoint (4.3, 4.5).
  void check_log(const crypto::Receipt& receipt) {
    if (bundle_.log_proof.empty()) return;
    const auto proof = decode_log_proof(bundle_.log_proof);
    if (!proof) return note("log_proof", false, describe(proof.error()));
    const auto shown = check_log_proof(*proof);
    if (!shown) return note("log_proof", false, describe(shown.error()));
    const crypto::LogOrigin& origin = shown->checkpoint.origin;
    const bool party = origin.party == receipt.sender || origin.party == receipt.recipient;
    const LeafKind kind = origin.party == receipt.issuer ? LeafKind::receipt_issued : LeafKind::receipt_held;
    const Hash entry = crypto::hash("edx1/rcpt", {bundle_.receipt});
    const bool named = party && origin == crypto::log_origin(out_.realm, crypto::LogKind::node, origin.party, origin.generation) &&
                       proof->leaf.kind == kind && equal(proof->leaf.entry, entry);
    const Time end{INT64_MAX / 2};
    const auto owner = directory_->log_owner(txn_, origin.party, end);
    bool by_owner = false;
    if (owner && *owner)
      for (const LogPublic& key : (*owner)->keys) by_owner = by_owner || crypto::verify_checkpoint(*shown, key);
    note("log_proof", named && by_owner, "entry " + std::to_string(proof->index) + " of " + std::to_string(shown->checkpoint.size));
    std::set<PartyId> brokers;
    for (const auto& one : shown->note.signatures) {
      const auto cosignature = find_cosignature(*directory_, end, shown->note.text, one);
      if (!cosignature) continue;
      if (cosignature->kind == crypto::LogKind::broker) {
        if (!brokers.insert(cosignature->by).second) continue;
        out_.cosigners.push_back(directory_->broker(cosignature->by)->record.name);
      } else {
        out_.cosigners.push_back(directory_->witness(cosignature->by)->record.name);
      }
    }
    const bool enough = brokers.size() >= directory_->policy(receipt.time).custody_quorum;
    note("log_cosigners", enough ? std::optional(true) : std::nullopt, std::to_string(out_.cosigners.size()));
  }

  const Bundle& bundle_;
  std::optional<RealmId> trusted_;
  ScratchTxn txn_;
  std::optional<directory::Directory> directory_;
  Verification out_;
};

}  // namespace

Bytes encode_bundle(const Bundle& bundle) {
  Bytes out;
  Writer writer(out);
  writer.raw(bundle_magic).u16(bundle_version);
  const auto part = [&](BundlePart kind, BytesView bytes) {
    writer.u8(static_cast<uint8_t>(kind)).u32(static_cast<uint32_t>(bytes.size())).raw(bytes);
  };
  part(BundlePart::receipt, bundle.receipt);
  if (!bundle.envelope.empty()) part(BundlePart::envelope, bundle.envelope);
  if (!bundle.header.empty()) part(BundlePart::header, bundle.header);
  for (const Bytes& custody : bundle.custodies) part(BundlePart::custody, custody);
  for (const Bytes& entry : bundle.entries) part(BundlePart::entry, entry);
  if (!bundle.log_proof.empty()) part(BundlePart::log_proof, bundle.log_proof);
  return out;
}

Result<Bundle> decode_bundle(BytesView raw) {
  if (raw.size() > bundle_bytes_max) return fail(ErrorCode::too_large, "bundle");
  Reader reader(raw);
  if (text(reader.raw(bundle_magic.size())) != bundle_magic) return fail(ErrorCode::bad_format, "not a receipt bundle");
  if (reader.u16() != bundle_version) return fail(ErrorCode::unsupported_version, "bundle");
  Bundle bundle;
  uint8_t last = 0;
  while (reader.ok() && reader.left() > 0) {
    const uint8_t kind = reader.u8();
    const BytesView bytes = reader.raw(reader.u32());
    if (!reader.ok() || bytes.empty()) return fail(ErrorCode::bad_format, "bundle: truncated");
    const bool repeatable =
        kind == static_cast<uint8_t>(BundlePart::custody) || kind == static_cast<uint8_t>(BundlePart::entry);
    if (kind < last || (kind == last && !repeatable)) return fail(ErrorCode::bad_format, "bundle: order of parts");
    last = kind;
    switch (static_cast<BundlePart>(kind)) {
      case BundlePart::receipt: bundle.receipt = to_bytes(bytes); break;
      case BundlePart::envelope: bundle.envelope = to_bytes(bytes); break;
      case BundlePart::header: bundle.header = to_bytes(bytes); break;
      case BundlePart::custody:
        if (bundle.custodies.size() == custodies_max) return fail(ErrorCode::too_large, "bundle: custody receipts");
        bundle.custodies.push_back(to_bytes(bytes));
        break;
      case BundlePart::entry: bundle.entries.push_back(to_bytes(bytes)); break;
      case BundlePart::log_proof: bundle.log_proof = to_bytes(bytes); break;
      default: return fail(ErrorCode::unsupported_version, "bundle: unknown part");
    }
  }
  if (!reader.ok() || bundle.receipt.empty()) return fail(ErrorCode::bad_format, "bundle: no receipt");
  return bundle;
}

Verification verify_bundle(const Bundle& bundle, std::optional<RealmId> trusted) {
  return Verifier(bundle, trusted).run();
}

}  // namespace tram::audit
