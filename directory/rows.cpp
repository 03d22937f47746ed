#include "directory/rows.h"

#include <algorithm>
#include <set>

namespace tram::directory::rows {
namespace {

constexpr size_t page_rows = 256;
constexpr size_t word_bytes_max = 64;

bool temporary(const proto::StatusChange& change) { return change.until.ms != 0; }

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || static_cast<uint8_t>(c) >= 0x80;
}

/// Whether a decision of the status stream closes the agency for good.
bool closes(const Decision& decision) {
  if (const auto* status = std::get_if<proto::StatusChange>(&decision.change.body))
    return status->status == proto::AgencyStatus::closed;
  return true;
}

void set_status(AgencyState& state, const Decision& decision) {
  if (const auto* status = std::get_if<proto::StatusChange>(&decision.change.body)) {
    state.status = status->status;
    if (closes(decision)) state.closed_since = decision.effective;
    state.status_reason = status->reason;
    state.suspended_until = status->until;
  } else if (const auto* succeed = std::get_if<proto::SucceedChange>(&decision.change.body)) {
    state.status = proto::AgencyStatus::closed;
    state.closed_since = decision.effective;
    state.successors = succeed->to;
    state.succession_policy = succeed->policy;
  }
  state.entry_index = std::max(state.entry_index, decision.index);
}

}  // namespace

Bytes index_key(uint64_t index) {
  Bytes key;
  Writer(key).u64(index);
  return key;
}

Bytes history_prefix(const PartyId& party, Stream stream) {
  Bytes key;
  Writer(key).raw(party.view()).u8(static_cast<uint8_t>(stream));
  return key;
}

Bytes history_key(const PartyId& party, Stream stream, uint64_t index, uint16_t number) {
  Bytes key = history_prefix(party, stream);
  Writer(key).u64(index).u16(number);
  return key;
}

Bytes special_key(uint64_t index, uint16_t number) {
  Bytes key;
  Writer(key).u64(index).u16(number);
  return key;
}

Bytes joined_key(std::string_view text, const PartyId& party) {
  Bytes key;
  Writer(key).raw(text).u8(0).raw(party.view());
  return key;
}

Bytes pair_key(const PartyId& first, const PartyId& second) {
  Bytes key;
  Writer(key).raw(first.view()).raw(second.view());
  return key;
}

Bytes public_key_key(KeyCurve curve, BytesView public_key) {
  Bytes key;
  Writer(key).u8(static_cast<uint8_t>(curve)).raw(public_key);
  return key;
}

Bytes group_prefix(proto::Level level, std::optional<proto::Branch> branch, std::optional<std::string_view> province) {
  Bytes key;
  Writer writer(key);
  writer.u8(static_cast<uint8_t>(level));
  if (branch) writer.u8(static_cast<uint8_t>(*branch));
  if (branch && province) writer.raw(*province).u8(0);
  return key;
}

Bytes group_key(const proto::Agency& agency) {
  Bytes key = group_prefix(agency.level, agency.branch, agency.province);
  Writer(key).raw(agency.id.view());
  return key;
}

// A stored change is an unsigned entry payload that holds it alone: one encoding of changes in the whole project.
Bytes encode_change(const proto::Change& change) {
  proto::EntryPayload payload;
  payload.changes.push_back(change);
  return proto::encode_entry_payload(payload);
}

Result<proto::Change> decode_change(BytesView bytes) {
  auto payload = proto::decode_entry_payload(bytes);
  if (!payload || payload->changes.size() != 1) return fail(ErrorCode::store_corrupt, "directory change");
  return std::move(payload->changes.front());
}

Result<void> for_each(ReadTxn& txn, const Table& table, BytesView prefix,
                      const std::function<Result<bool>(const Row&)>& visit) {
  Bytes from = to_bytes(prefix);
  const Bytes until = prefix_end(prefix);
  for (;;) {
    TRAM_TRY(page, txn.scan(table, from, until, page_rows));
    for (const Row& row : page) {
      TRAM_TRY(more, visit(row));
      if (!more) return {};
    }
    if (page.size() < page_rows) return {};
    from = page.back().key;
    from.push_back(0);
  }
}

Result<std::vector<Decision>> decisions(ReadTxn& txn, const PartyId& party, Stream stream, uint64_t dir_size) {
  std::vector<Decision> out;
  TRAM_OK(for_each(txn, history, history_prefix(party, stream), [&](const Row& row) -> Result<bool> {
    Reader key(BytesView(row.key).subspan(PartyId::size + 1));
    Decision decision;
    decision.index = key.u64();
    if (decision.index >= dir_size) return false;
    Reader value(row.value);
    decision.effective = Time{static_cast<int64_t>(value.u64())};
    TRAM_TRY(change, decode_change(value.raw(value.left())));
    decision.change = std::move(change);
    out.push_back(std::move(decision));
    return true;
  }));
  return out;
}

Result<std::optional<AgencyState>> agency_at(ReadTxn& txn, const PartyId& party, uint64_t dir_size, Time at) {
  TRAM_TRY(records, decisions(txn, party, Stream::record, dir_size));
  std::optional<AgencyState> state;
  for (auto it = records.rbegin(); it != records.rend() && !state; ++it) {
    if (it->effective > at) continue;
    auto* record = std::get_if<proto::AgencyChange>(&it->change.body);
    if (!record) return fail(ErrorCode::store_corrupt, "agency record");
    state.emplace();
    state->agency = std::move(record->agency);
    state->entry_index = it->index;
  }
  if (!state) return state;
  TRAM_TRY(statuses, decisions(txn, party, Stream::status, dir_size));
  for (auto it = statuses.rbegin(); it != statuses.rend(); ++it) {
    if (it->effective > at) continue;
    const auto* status = std::get_if<proto::StatusChange>(&it->change.body);
    if (status && temporary(*status) && at >= status->until) continue;
    set_status(*state, *it);
    break;
  }
  return state;
}

Result<std::optional<Time>> closed_from(ReadTxn& txn, const PartyId& party) {
  TRAM_TRY(statuses, decisions(txn, party, Stream::status));
  std::optional<Time> closed;
  for (const Decision& decision : statuses) {
    const auto* status = std::get_if<proto::StatusChange>(&decision.change.body);
    if (status && temporary(*status)) continue;
    if (closes(decision))
      closed = closed ? std::min(*closed, decision.effective) : decision.effective;
    else
      closed.reset();
  }
  return closed;
}

Result<std::vector<Interval>> code_intervals(ReadTxn& txn, const PartyId& party, std::string_view code) {
  TRAM_TRY(records, decisions(txn, party, Stream::record));
  TRAM_TRY(closed, closed_from(txn, party));
  std::vector<Interval> out;
  Time next = closed.value_or(for_ever);  // from when something decided later is in force
  for (auto it = records.rbegin(); it != records.rend(); ++it) {
    const auto* record = std::get_if<proto::AgencyChange>(&it->change.body);
    if (!record) return fail(ErrorCode::store_corrupt, "agency record");
    for (const proto::OrganCode& held : record->agency.codes) {
      if (held.code != code) continue;
      const Interval interval{std::max(it->effective, held.valid_from),
                              held.valid_until.ms ? std::min(next, held.valid_until) : next};
      if (!interval.empty()) out.push_back(interval);
    }
    next = std::min(next, it->effective);
  }
  return out;
}

Result<std::vector<PartyId>> code_parties(ReadTxn& txn, std::string_view code) {
  Bytes prefix = to_bytes(code);
  prefix.push_back(0);
  std::vector<PartyId> out;
  TRAM_OK(for_each(txn, codes, prefix, [&](const Row& row) -> Result<bool> {
    if (auto party = PartyId::from(BytesView(row.key).subspan(prefix.size()))) out.push_back(*party);
    return true;
  }));
  return out;
}

std::vector<std::string> search_words(std::string_view folded) {
  std::set<std::string> found;
  auto add = [&](std::string_view word) {
    if (std::any_of(word.begin(), word.end(), is_alphanumeric)) found.emplace(word.substr(0, word_bytes_max));
  };
  for (size_t begin = 0; begin < folded.size();) {
    const size_t end = std::min(folded.find(' ', begin), folded.size());
    const std::string_view word = folded.substr(begin, end - begin);
    add(word);
    for (size_t part = 0; part < word.size();) {
      size_t stop = part;
      while (stop < word.size() && is_alphanumeric(word[stop])) ++stop;
      add(word.substr(part, stop - part));
      part = stop + 1;
    }
    begin = end + 1;
  }
  return {found.begin(), found.end()};
}

std::string search_text(const proto::Agency& agency) {
  std::string text = fold(agency.name_vi);
  for (const std::string* part : {&agency.name_en, &agency.contact.address})
    if (!part->empty()) text += " " + fold(*part);
  for (const proto::OrganCode& code : agency.codes) text += " " + fold(code.code);
  return text;
}

}  // namespace tram::directory::rows
