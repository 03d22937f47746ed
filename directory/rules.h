// The rules that a change must keep, and what it writes. Internal to directory/. Verdicts depend on the entries alone.
// Every function works on a staged transaction and a copy of what is held: on an error both are thrown away.
// Errors: bad_request (a rule; the detail says which), forbidden (the signers may not make this change), closed_agency.
// Thread: the step's.
#pragma once
#include "directory/rows.h"
#include "directory/staged.h"

namespace tram::directory {

struct EntryContext {
  StagedTxn& txn;
  detail::Held& held;
  const proto::EntryPayload& payload;
};

/// Checks change `number` of the entry against the state after the changes before it, and stages it.
Result<void> stage_change(EntryContext&, uint16_t number);

/// The sets that must sign the entry, nobody counted yet. Error: forbidden (no such registrar or agency).
Result<std::vector<SignerSet>> signer_sets(ReadTxn&, const detail::Held&, const proto::EntryPayload&);
/// Counts valid signatures; each officer once. Returns the first fault: bad_signature (unknown signer, wrong
/// signature).
std::optional<Error> count_signatures(const proto::Entry&, std::vector<SignerSet>&);

// ---- pieces that the files of rules share -------------------------------------------------------------------

/// An entry that breaks a rule; the detail says which.
inline tl::unexpected<Error> refuse(std::string detail) { return fail(ErrorCode::bad_request, std::move(detail)); }

/// A line for people: 1..`bytes_max` bytes without control characters (or empty, when `may_be_empty`).
Result<void> check_line(std::string_view text, size_t bytes_max, std::string_view what, bool may_be_empty = false);
/// Registers an id for one use; the owner of an officer is its agency. Refuses ids of another use.
Result<void> claim_id(StagedTxn&, const PartyId&, rows::PartyKind, const PartyId& owner = {});
Result<std::optional<rows::PartyKind>> kind_of(ReadTxn&, const PartyId&);
/// Registers a key for one party and purpose; refuses keys that another has or had, and keys that are not points.
Result<void> claim_key(StagedTxn&, BytesView key, rows::KeyPurpose, const PartyId&);
/// 1..16 officers with distinct ids and keys, 1 <= threshold <= count.
Result<void> check_officers(StagedTxn&, const std::vector<proto::RootOfficer>&, uint32_t threshold, rows::PartyKind,
                            const PartyId& owner);

Result<void> stage_agency(EntryContext&, const proto::Change&, const proto::AgencyChange&, uint16_t number);
Result<void> stage_status(EntryContext&, const proto::Change&, const proto::StatusChange&, uint16_t number);
Result<void> stage_succession(EntryContext&, const proto::Change&, const proto::SucceedChange&, uint16_t number);
/// Whether the agency is in the registrar's scope and has a superior in it: what the registrar may change (R25).
Result<bool> in_scope(ReadTxn&, const proto::RegistrarChange&, const proto::Agency&, Time at);

/// Suspensions that end by themselves within limits::suspension_by_one_officer, and nothing else.
bool is_short_suspension(const proto::EntryPayload&);

inline constexpr std::string_view administrator_role = "administrator";
inline constexpr uint32_t administrators_needed = 2;
/// Administrators of an agency that are not revoked.
Result<std::vector<proto::RootOfficer>> administrators(ReadTxn&, const PartyId& agency);

}  // namespace tram::directory
