// Who must sign an entry, and who has (R25, R26).
#include <algorithm>

#include "base/limits.h"
#include "crypto/keys.h"
#include "directory/rules.h"
#include "directory/signing.h"

namespace tram::directory {
namespace {

using Kind = SignerSet::Kind;

template <class T>
const T* first_change(const proto::EntryPayload& payload) {
  for (const proto::Change& change : payload.changes)
    if (const auto* body = std::get_if<T>(&change.body)) return body;
  return nullptr;
}

}  // namespace

bool is_short_suspension(const proto::EntryPayload& payload) {
  return !payload.changes.empty() &&
         std::all_of(payload.changes.begin(), payload.changes.end(), [](const proto::Change& change) {
           const auto* status = std::get_if<proto::StatusChange>(&change.body);
           return status && status->status == proto::AgencyStatus::suspended && status->until > change.effective_from &&
                  status->until <= change.effective_from + limits::suspension_by_one_officer;
         });
}

Result<std::vector<proto::RootOfficer>> administrators(ReadTxn& txn, const PartyId& agency) {
  std::vector<proto::RootOfficer> out;
  TRAM_OK(rows::for_each(txn, rows::officers, agency.view(), [&](const Row& row) -> Result<bool> {
    TRAM_TRY(change, rows::decode_change(row.value));
    const auto* officer = std::get_if<proto::OfficerChange>(&change.body);
    if (!officer) return fail(ErrorCode::store_corrupt, "officer");
    if (!officer->revoked && officer->role == administrator_role)
      out.push_back({officer->id, officer->name, officer->key});
    return true;
  }));
  return out;
}

Result<std::vector<SignerSet>> signer_sets(ReadTxn& txn, const detail::Held& held, const proto::EntryPayload& payload) {
  std::vector<SignerSet> sets;
  const auto* root = first_change<proto::RootChange>(payload);
  if (payload.index == 0) {
    if (!root) return fail(ErrorCode::bad_request, "the first entry must set the root");
    sets.push_back({Kind::new_root_officers, root->officers, root->root_threshold, {}});
    return sets;
  }
  if (payload.registrar.is_zero()) {
    const bool by_root_threshold = root || first_change<proto::PolicyChange>(payload);
    sets.push_back({Kind::root_officers,
                    held.root.officers,
                    is_short_suspension(payload) ? 1
                    : by_root_threshold          ? held.root.root_threshold
                                                 : held.root.threshold,
                    {}});
    if (root) sets.push_back({Kind::new_root_officers, root->officers, root->root_threshold, {}});
    return sets;
  }
  if (auto found = held.registrars.find(payload.registrar); found != held.registrars.end()) {
    const proto::RegistrarChange& registrar = found->second;
    if (registrar.revoked) return fail(ErrorCode::forbidden, "this registrar was revoked");
    sets.push_back(
        {Kind::registrar_officers, registrar.officers, is_short_suspension(payload) ? 1 : registrar.threshold, {}});
    return sets;
  }
  TRAM_TRY(kind, kind_of(txn, payload.registrar));
  if (kind != rows::PartyKind::agency) return fail(ErrorCode::forbidden, "unknown registrar");
  TRAM_TRY(members, administrators(txn, payload.registrar));
  sets.push_back({Kind::administrators, std::move(members), administrators_needed, {}});
  return sets;
}

std::optional<Error> count_signatures(const proto::Entry& entry, std::vector<SignerSet>& sets) {
  const Hash hash = entry_hash(entry.payload);
  std::optional<Error> fault;
  for (const proto::EntrySignature& signature : entry.signatures) {
    bool known = false, good = false;
    for (SignerSet& set : sets) {
      auto member = std::find_if(set.members.begin(), set.members.end(),
                                 [&](const proto::RootOfficer& officer) { return officer.id == signature.signer; });
      if (member == set.members.end()) continue;
      known = true;
      if (std::find(set.valid_signers.begin(), set.valid_signers.end(), member->id) != set.valid_signers.end()) {
        good = true;
        continue;
      }
      if (!crypto::verify(member->key, "edx1/dir", hash, signature.signature)) continue;
      good = true;
      set.valid_signers.push_back(member->id);
    }
    if (!fault && !known)
      fault = Error{ErrorCode::bad_signature, "signer " + signature.signer.hex() + " may not sign this"};
    if (!fault && !good) fault = Error{ErrorCode::bad_signature, "signature of " + signature.signer.hex()};
  }
  return fault;
}

}  // namespace tram::directory
