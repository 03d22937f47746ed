// Rules of AGENCY, STATUS and SUCCEED.
#include <algorithm>
#include <set>

#include "base/limits.h"
#include "directory/rules.h"

namespace tram::directory {
namespace {

using proto::AgencyStatus;
using proto::Level;
using rows::KeyPurpose;
using rows::PartyKind;
using rows::Stream;

constexpr size_t codes_max = 16;
constexpr size_t contact_bytes_max = 400;
constexpr int superiors_max = 16;

bool is_code(std::string_view code) {
  return !code.empty() && code.size() <= limits::organ_code_chars_max &&
         std::all_of(code.begin(), code.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
                  c == '_';
         });
}

Result<std::optional<AgencyState>> state_at(EntryContext& context, const PartyId& party, Time at) {
  return rows::agency_at(context.txn, party, UINT64_MAX, at);
}

/// The record that was decided last, whenever it takes effect.
Result<std::optional<proto::Agency>> last_record(ReadTxn& txn, const PartyId& party) {
  TRAM_TRY(records, rows::decisions(txn, party, Stream::record));
  if (records.empty()) return std::optional<proto::Agency>{};
  return std::optional<proto::Agency>(std::get<proto::AgencyChange>(records.back().change.body).agency);
}

Result<void> check_fields(const proto::Agency& agency) {
  const bool unit = agency.level == Level::unit;
  TRAM_OK(check_line(agency.name_vi, limits::agency_name_bytes_max, "name_vi"));
  TRAM_OK(check_line(agency.name_en, limits::agency_name_bytes_max, "name_en", true));
  TRAM_OK(check_line(agency.contact.address, contact_bytes_max, "address", true));
  TRAM_OK(check_line(agency.contact.telephone, contact_bytes_max, "telephone", true));
  TRAM_OK(check_line(agency.contact.email, contact_bytes_max, "email", true));
  TRAM_OK(check_line(agency.contact.duty_person, contact_bytes_max, "duty person", true));
  const bool plain = std::all_of(agency.province.begin(), agency.province.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  if (!plain || agency.province.size() > 10) return refuse("province must be a short code");
  if (agency.level == Level::central && !agency.province.empty()) return refuse("a central agency has no province");
  if ((agency.level == Level::province || agency.level == Level::commune) && agency.province.empty())
    return refuse("province is missing");
  if (unit && agency.keys) return refuse("a unit has no keys: its agency's node serves it");
  if (unit && agency.parent.is_zero()) return refuse("a unit needs its agency as parent");
  if (agency.codes.size() > codes_max || (!unit && agency.codes.empty())) return refuse("1..16 codes are needed");
  for (size_t i = 0; i < agency.codes.size(); ++i) {
    const proto::OrganCode& code = agency.codes[i];
    if (!is_code(code.code)) return refuse("a code must be 1..35 of [A-Za-z0-9.-_]");
    if (code.valid_from.ms < 0 || code.valid_until.ms < 0 ||
        (code.valid_until.ms && code.valid_until <= code.valid_from))
      return refuse("the validity of code " + code.code + " is empty");
    for (size_t j = 0; j < i; ++j)
      if (agency.codes[j].code == code.code) return refuse("code " + code.code + " is named twice");
  }
  return {};
}

/// `kept`: the parent is the one it has; that one may have closed meanwhile.
Result<void> check_parent(EntryContext& context, const proto::Agency& agency, Time at, bool kept) {
  if (agency.parent.is_zero()) return {};
  if (agency.parent == agency.id) return refuse("an agency cannot be its own parent");
  TRAM_TRY(parent, state_at(context, agency.parent, at));
  if (!parent) return refuse("the parent does not exist at that time");
  if (parent->status == AgencyStatus::closed && !kept) return fail(ErrorCode::closed_agency, "the parent is closed");
  if (parent->agency.level == Level::unit) return refuse("a unit cannot be a parent");
  if (agency.level == Level::unit &&
      (parent->agency.branch != agency.branch || parent->agency.province != agency.province))
    return refuse("a unit has its agency's branch and province");
  PartyId superior = parent->agency.parent;
  for (int depth = 0; !superior.is_zero(); ++depth) {
    if (superior == agency.id || depth == superiors_max) return refuse("the superiors form a circle or are too many");
    TRAM_TRY(next, last_record(context.txn, superior));
    superior = next ? next->parent : PartyId{};
  }
  return {};
}

/// Refuses a party whose codes another holds at an overlapping time.
Result<void> check_codes(EntryContext& context, const PartyId& party) {
  TRAM_TRY(records, rows::decisions(context.txn, party, Stream::record));
  std::set<std::string> codes;
  for (const rows::Decision& decision : records)
    for (const auto& code : std::get<proto::AgencyChange>(decision.change.body).agency.codes) codes.insert(code.code);
  for (const std::string& code : codes) {
    TRAM_TRY(parties, rows::code_parties(context.txn, code));
    if (parties.size() < 2) continue;
    TRAM_TRY(mine, rows::code_intervals(context.txn, party, code));
    for (const PartyId& other : parties) {
      if (other == party) continue;
      TRAM_TRY(theirs, rows::code_intervals(context.txn, other, code));
      for (const auto& a : mine)
        for (const auto& b : theirs)
          if (a.overlaps(b)) return refuse("code " + code + " belongs to " + other.hex() + " at that time");
    }
  }
  return {};
}

Result<void> index_agency(EntryContext& context, const proto::Agency& agency) {
  static constexpr uint8_t present = 1;
  const BytesView mark(&present, 1);
  for (const auto& code : agency.codes)
    TRAM_OK(context.txn.put(rows::codes, rows::joined_key(code.code, agency.id), mark));
  for (const std::string& word : rows::search_words(rows::search_text(agency)))
    TRAM_OK(context.txn.put(rows::words, rows::joined_key(word, agency.id), mark));
  TRAM_OK(context.txn.put(rows::groups, rows::group_key(agency), mark));
  if (agency.parent.is_zero()) return {};
  const auto level = static_cast<uint8_t>(agency.level);
  return context.txn.put(rows::children, rows::pair_key(agency.parent, agency.id), BytesView(&level, 1));
}

Result<void> add_decision(EntryContext& context, const PartyId& party, Stream stream, const proto::Change& change,
                          uint16_t number) {
  Bytes value;
  Writer(value).u64(change.effective_from.wire()).raw(rows::encode_change(change));
  return context.txn.put(rows::history, rows::history_key(party, stream, context.payload.index, number), value);
}

/// The registrar that signs, or nothing when the root officers do.
const proto::RegistrarChange* registrar_of(const EntryContext& context) {
  auto found = context.held.registrars.find(context.payload.registrar);
  return found == context.held.registrars.end() ? nullptr : &found->second;
}

Result<void> check_scope(EntryContext& context, const proto::Agency& agency, Time at) {
  const auto* registrar = registrar_of(context);
  if (!registrar) return {};
  TRAM_TRY(inside, in_scope(context.txn, *registrar, agency, at));
  if (!inside) return fail(ErrorCode::forbidden, "outside the registrar's province and branch");
  return {};
}

/// A registrar cannot undo what others decided about an agency that is suspended or closed.
Result<void> check_may_lift(EntryContext& context, const AgencyState& state) {
  if (!registrar_of(context) || state.status == AgencyStatus::active) return {};
  TRAM_TRY(statuses, rows::decisions(context.txn, state.agency.id, Stream::status));
  for (const rows::Decision& decision : statuses) {
    if (decision.index == context.payload.index) continue;
    TRAM_TRY(bytes, context.txn.get(rows::entries, rows::index_key(decision.index)));
    if (!bytes) return fail(ErrorCode::store_corrupt, "directory entry");
    TRAM_TRY(entry, proto::decode_entry(*bytes));
    TRAM_TRY(payload, proto::decode_entry_payload(entry.payload));
    const auto* status = std::get_if<proto::StatusChange>(&decision.change.body);
    if (payload.registrar != context.payload.registrar && !(status && status->status == AgencyStatus::active))
      return fail(ErrorCode::forbidden, "the root officers decided this; a registrar cannot lift it");
  }
  return {};
}

}  // namespace

Result<bool> in_scope(ReadTxn& txn, const proto::RegistrarChange& registrar, const proto::Agency& agency, Time at) {
  if (agency.level == Level::central || agency.branch != registrar.branch || agency.province != registrar.province)
    return false;
  TRAM_TRY(superior, rows::agency_at(txn, agency.parent, UINT64_MAX, at));
  return superior && superior->agency.level != Level::central && superior->agency.branch == registrar.branch &&
         superior->agency.province == registrar.province;
}

Result<void> stage_agency(EntryContext& context, const proto::Change& change, const proto::AgencyChange& body,
                          uint16_t number) {
  const proto::Agency& agency = body.agency;
  const Time at = change.effective_from;
  TRAM_OK(check_fields(agency));
  TRAM_TRY(held, last_record(context.txn, agency.id));
  TRAM_OK(claim_id(context.txn, agency.id, PartyKind::agency));
  if (held && (held->level == Level::unit) != (agency.level == Level::unit))
    return refuse("a unit stays a unit, an agency an agency");
  if (held && held->level == Level::unit && held->parent != agency.parent)
    return refuse("a unit stays with its agency");
  if (held) TRAM_OK(check_scope(context, *held, at));
  TRAM_TRY(state, state_at(context, agency.id, at));
  if (state && state->status == AgencyStatus::closed) return fail(ErrorCode::closed_agency, "the agency is closed");
  TRAM_OK(check_parent(context, agency, at, held && held->parent == agency.parent));
  TRAM_OK(check_scope(context, agency, at));
  if (!held && agency.level == Level::unit) {
    size_t units = 0;
    TRAM_OK(rows::for_each(context.txn, rows::children, agency.parent, [&](const Row& row) -> Result<bool> {
      units += !row.value.empty() && row.value.front() == static_cast<uint8_t>(Level::unit);
      return true;
    }));
    if (units >= limits::units_per_agency_max) return refuse("too many units");
  }
  if (agency.keys) {
    TRAM_OK(claim_key(context.txn, agency.keys->sig, KeyPurpose::sig, agency.id));
    TRAM_OK(claim_key(context.txn, agency.keys->log, KeyPurpose::log, agency.id));
    TRAM_OK(claim_key(context.txn, agency.keys->curve, KeyPurpose::curve, agency.id));
  }
  TRAM_OK(index_agency(context, agency));
  TRAM_OK(add_decision(context, agency.id, Stream::record, change, number));
  return check_codes(context, agency.id);
}

Result<void> stage_status(EntryContext& context, const proto::Change& change, const proto::StatusChange& status,
                          uint16_t number) {
  TRAM_TRY(state, state_at(context, status.agency, change.effective_from));
  if (!state) return refuse("the agency does not exist at that time");
  TRAM_OK(check_line(status.reason, 500, "reason", status.status == AgencyStatus::active));
  TRAM_OK(check_scope(context, state->agency, change.effective_from));
  if (status.until.ms && (status.status != AgencyStatus::suspended || status.until <= change.effective_from))
    return refuse("only a suspension has an end, and it lies after its beginning");
  if (status.status == AgencyStatus::suspended && state->status == AgencyStatus::closed)
    return fail(ErrorCode::closed_agency, "a closed agency cannot be suspended");
  if (status.status == AgencyStatus::closed && state->status == AgencyStatus::closed)
    return fail(ErrorCode::closed_agency, "the agency is closed already");
  if (status.status == AgencyStatus::active) TRAM_OK(check_may_lift(context, *state));
  TRAM_OK(add_decision(context, status.agency, Stream::status, change, number));
  if (status.status != AgencyStatus::active) return {};
  return check_codes(context, status.agency);  // an agency that opens again may find its codes taken
}

Result<void> stage_succession(EntryContext& context, const proto::Change& change, const proto::SucceedChange& succeed,
                              uint16_t number) {
  if (succeed.from.empty() || succeed.to.empty()) return refuse("succession needs predecessors and successors");
  if (succeed.policy != "merge" && succeed.policy != "split" && succeed.policy != "absorb")
    return refuse("the policy of a succession is merge, split or absorb");
  if (succeed.policy == "split" && (succeed.from.size() != 1 || succeed.to.size() < 2))
    return refuse("a split leads from one agency to several");
  if (succeed.policy != "split" && succeed.to.size() != 1) return refuse("a merger leads to one agency");
  std::set<PartyId> named;
  for (const auto* side : {&succeed.from, &succeed.to})
    for (const PartyId& party : *side) {
      if (!named.insert(party).second) return refuse("an agency is named twice");
      TRAM_TRY(state, state_at(context, party, change.effective_from));
      if (!state) return refuse("agency " + party.hex() + " does not exist at that time");
      if (state->agency.level == Level::unit) return refuse("units have no succession: close them");
      if (state->status == AgencyStatus::closed)
        return fail(ErrorCode::closed_agency, party.hex() + " is closed already");
    }
  for (const PartyId& party : succeed.from) TRAM_OK(add_decision(context, party, Stream::status, change, number));
  return {};
}

}  // namespace tram::directory
