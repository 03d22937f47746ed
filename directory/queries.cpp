// Questions about agencies: by id, code, key, words, group.
#include <algorithm>
#include <set>

#include "base/limits.h"
#include "directory/groups.h"
#include "directory/rules.h"

namespace tram::directory {
namespace {

using proto::AgencyStatus;
using proto::Level;

PartyId party_at_end(const Bytes& key) { return PartyId::from(BytesView(key).last(PartyId::size)).value_or(PartyId{}); }

/// Who is in charge at the top of its level: the superior, if any, is of another level.
Result<bool> leads_its_level(ReadTxn& txn, const proto::Agency& agency, Time at, std::map<PartyId, Level>& known) {
  if (agency.parent.is_zero()) return true;
  auto found = known.find(agency.parent);
  if (found == known.end()) {
    TRAM_TRY(parent, rows::agency_at(txn, agency.parent, UINT64_MAX, at));
    found = known.emplace(agency.parent, parent ? parent->agency.level : Level::central).first;
  }
  return found->second != agency.level;
}

struct GroupName {
  std::vector<Level> levels{Level::central, Level::province, Level::commune};
  std::optional<proto::Branch> branch;
  std::optional<std::string> province;
  bool leading = false;  // only who leads its level
};

std::optional<GroupName> parse_group(std::string_view name) {
  GroupName group;
  if (name == "all") return group;
  if (name.substr(0, 7) == "branch:") {
    group.branch = proto::parse_branch(name.substr(7));
    return group.branch ? std::optional(group) : std::nullopt;
  }
  if (const size_t slash = name.find('/'); slash != std::string_view::npos) {
    group.branch = proto::parse_branch(name.substr(slash + 1));
    if (!group.branch) return std::nullopt;
    name = name.substr(0, slash);
  }
  group.leading = true;
  if (name.substr(0, 9) == "communes:" && name.size() > 9) {
    group.province = std::string(name.substr(9));
    name = "communes";
  }
  if (name == "provinces")
    group.levels = {Level::province};
  else if (name == "communes")
    group.levels = {Level::commune};
  else
    return std::nullopt;
  return group;
}

constexpr proto::Branch all_branches[] = {proto::Branch::party,    proto::Branch::government, proto::Branch::front,
                                          proto::Branch::assembly, proto::Branch::court,      proto::Branch::procuracy};

/// Every agency that has or had this place in the hierarchy.
Result<void> collect(ReadTxn& txn, Level level, std::optional<proto::Branch> branch,
                     const std::optional<std::string>& province, std::set<PartyId>& out) {
  auto add = [&](const Row& row) -> Result<bool> {
    out.insert(party_at_end(row.key));
    return true;
  };
  if (branch || !province) return rows::for_each(txn, rows::groups, rows::group_prefix(level, branch, province), add);
  for (proto::Branch each : all_branches)
    TRAM_OK(rows::for_each(txn, rows::groups, rows::group_prefix(level, each, province), add));
  return {};
}

bool matches(const Query& query, const AgencyState& state) {
  const proto::Agency& agency = state.agency;
  return (!query.branch || agency.branch == *query.branch) && (!query.level || agency.level == *query.level) &&
         (query.province.empty() || agency.province == query.province) &&
         (!query.parent || agency.parent == *query.parent);
}

/// 0 a code in full, 1 the beginning of a code, 2 the beginning of the name, 3 all words; nothing when a word is
/// missing.
std::optional<int> rank_of(const proto::Agency& agency, std::string_view folded,
                           const std::vector<std::string>& wanted) {
  int rank = fold(agency.name_vi).substr(0, folded.size()) == folded ? 2 : 3;
  for (const auto& code : agency.codes) {
    const std::string text = fold(code.code);
    if (text == folded) return 0;
    if (text.substr(0, folded.size()) == folded) rank = 1;
  }
  const std::vector<std::string> words = rows::search_words(rows::search_text(agency));  // sorted
  for (const std::string& word : wanted) {
    const auto found = std::lower_bound(words.begin(), words.end(), word);
    if (found == words.end() || found->substr(0, word.size()) != word) return std::nullopt;
  }
  return rank;
}

/// Parties in whose words the rarest of `wanted` occurs, as far as a short look tells which that is.
Result<std::set<PartyId>> candidates(ReadTxn& txn, const std::vector<std::string>& wanted) {
  static constexpr size_t look = 300;
  const std::string* rarest = nullptr;
  size_t fewest = SIZE_MAX;
  for (const std::string& word : wanted) {
    TRAM_TRY(page, txn.scan(rows::words, view(word), prefix_end(view(word)), look));
    if (page.size() < fewest || (page.size() == fewest && rarest && word.size() > rarest->size())) {
      fewest = page.size();
      rarest = &word;
    }
  }
  std::set<PartyId> out;
  if (!rarest) return out;
  TRAM_OK(rows::for_each(txn, rows::words, view(*rarest), [&](const Row& row) -> Result<bool> {
    out.insert(party_at_end(row.key));
    return true;
  }));
  return out;
}

std::vector<std::string> query_words(std::string_view folded) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < folded.size();) {
    const size_t end = std::min(folded.find(' ', begin), folded.size());
    // A token without a letter or digit ("-") is in no index.
    if (!rows::search_words(folded.substr(begin, end - begin)).empty())
      words.emplace_back(folded.substr(begin, std::min<size_t>(end - begin, 64)));
    begin = end + 1;
  }
  return words;
}

Result<std::optional<PartyId>> holder(ReadTxn& txn, rows::KeyCurve curve, BytesView key) {
  TRAM_TRY(row, txn.get(rows::keys, rows::public_key_key(curve, key)));
  if (!row || row->size() != PartyId::size + 1) return std::optional<PartyId>{};
  return PartyId::from(BytesView(*row).first(PartyId::size));
}

}  // namespace

Result<std::optional<AgencyState>> Directory::agency(ReadTxn& txn, const PartyId& id, Time at) const {
  return rows::agency_at(txn, id, UINT64_MAX, at);
}

Result<std::optional<PartyId>> Directory::find_code(ReadTxn& txn, std::string_view code, Time at) const {
  if (code.empty() || code.size() > limits::organ_code_chars_max) return std::optional<PartyId>{};
  TRAM_TRY(parties, rows::code_parties(txn, code));
  // A closed agency answers to its codes until another takes them, so that its successors can be told.
  std::optional<PartyId> closed;
  uint64_t closed_index = 0;
  for (const PartyId& party : parties) {
    TRAM_TRY(state, agency(txn, party, at));
    if (!state) continue;
    const bool named = std::any_of(state->agency.codes.begin(), state->agency.codes.end(), [&](const auto& held) {
      return held.code == code && held.valid_from <= at && (!held.valid_until.ms || at < held.valid_until);
    });
    if (!named) continue;
    if (state->status != AgencyStatus::closed) return std::optional<PartyId>(party);
    if (!closed || state->entry_index > closed_index) {
      closed = party;
      closed_index = state->entry_index;
    }
  }
  return closed;
}

Result<std::optional<SigPublic>> Directory::sig_key(ReadTxn& txn, const PartyId& party, uint64_t dir_size,
                                                    Time at) const {
  if (auto found = held_.brokers.find(party); found != held_.brokers.end()) {
    for (auto it = found->second.rbegin(); it != found->second.rend(); ++it)
      if (it->second.entry_index < dir_size && it->first <= at) return std::optional<SigPublic>(it->second.record.sig);
    return std::optional<SigPublic>{};
  }
  TRAM_TRY(state, rows::agency_at(txn, party, dir_size, at));
  if (!state || !state->agency.keys) return std::optional<SigPublic>{};
  return std::optional<SigPublic>(state->agency.keys->sig);
}

Result<std::vector<SigPublic>> Directory::sig_keys(ReadTxn& txn, const PartyId& agency) const {
  std::vector<SigPublic> keys;
  TRAM_TRY(decided, rows::decisions(txn, agency, rows::Stream::record));
  for (const auto& one : decided)
    if (const auto* record = std::get_if<proto::AgencyChange>(&one.change.body); record && record->agency.keys)
      if (std::find(keys.begin(), keys.end(), record->agency.keys->sig) == keys.end()) keys.push_back(record->agency.keys->sig);
  return keys;
}

Result<std::optional<LogOwner>> Directory::log_owner(ReadTxn& txn, const PartyId& party, Time at) const {
  LogOwner owner;
  const auto add = [&](const LogPublic& key) {
    std::erase(owner.keys, key);
    owner.keys.push_back(key);
  };
  if (const auto found = held_.brokers.find(party); found != held_.brokers.end()) {
    owner.kind = crypto::LogKind::broker;
    for (const auto& [from, broker] : found->second)
      if (from <= at) add(broker.record.log);
  } else if (const auto known = held_.witnesses.find(party); known != held_.witnesses.end()) {
    owner.kind = crypto::LogKind::witness;
    for (const auto& [from, witness] : known->second)
      if (from <= at) add(witness.record.log);
  } else {
    TRAM_TRY(decided, rows::decisions(txn, party, rows::Stream::record));
    for (const auto& one : decided)
      if (const auto* record = std::get_if<proto::AgencyChange>(&one.change.body);
          record && one.effective <= at && record->agency.keys)
        add(record->agency.keys->log);
  }
  if (owner.keys.empty()) return std::optional<LogOwner>{};
  return std::optional<LogOwner>(std::move(owner));
}

Result<std::vector<AgencyState>> Directory::search(ReadTxn& txn, const Query& query, Time at, size_t limit,
                                                   std::optional<PartyId> after) const {
  const std::string folded = fold(query.text);
  const std::vector<std::string> wanted = query_words(folded);
  std::set<PartyId> found;
  if (!wanted.empty()) {
    TRAM_TRY(some, candidates(txn, wanted));
    found = std::move(some);
  } else if (query.parent) {
    TRAM_OK(rows::for_each(txn, rows::children, *query.parent, [&](const Row& row) -> Result<bool> {
      found.insert(party_at_end(row.key));
      return true;
    }));
  } else {
    const std::optional<std::string> province = query.province.empty() ? std::nullopt : std::optional(query.province);
    for (Level level : {Level::central, Level::province, Level::commune, Level::unit})
      if (!query.level || *query.level == level) TRAM_OK(collect(txn, level, query.branch, province, found));
  }
  struct Match {
    int rank;
    std::string name;
    AgencyState state;
  };
  std::vector<Match> matched;
  for (const PartyId& party : found) {
    TRAM_TRY(state, agency(txn, party, at));
    if (!state || !matches(query, *state)) continue;
    const auto rank = wanted.empty() ? std::optional<int>(3) : rank_of(state->agency, folded, wanted);
    if (rank) matched.push_back({*rank, fold(state->agency.name_vi), std::move(*state)});
  }
  std::sort(matched.begin(), matched.end(), [](const Match& a, const Match& b) {
    return std::tie(a.rank, a.name, a.state.agency.id) < std::tie(b.rank, b.name, b.state.agency.id);
  });
  std::vector<AgencyState> out;
  bool started = !after;
  for (Match& match : matched) {
    if (out.size() >= limit) break;
    if (started)
      out.push_back(std::move(match.state));
    else
      started = match.state.agency.id == *after;
  }
  return out;
}

Result<std::vector<PartyId>> Directory::group(ReadTxn& txn, std::string_view name, Time at) const {
  TRAM_TRY(states, members(*this, txn, name, at));
  std::vector<PartyId> out;
  out.reserve(states.size());
  for (const AgencyState& state : states) out.push_back(state.agency.id);
  return out;
}

Result<std::vector<AgencyState>> members(const Directory& directory, ReadTxn& txn, std::string_view name, Time at) {
  std::set<PartyId> found;
  GroupName group;
  if (name.substr(0, 9) == "children:") {
    TRAM_TRY(parent, directory.find_code(txn, name.substr(9), at));
    if (!parent) return fail(ErrorCode::unknown_agency, "group " + std::string(name));
    TRAM_OK(rows::for_each(txn, rows::children, *parent, [&](const Row& row) -> Result<bool> {
      found.insert(party_at_end(row.key));
      return true;
    }));
    std::vector<AgencyState> out;
    for (const PartyId& party : found) {
      TRAM_TRY(state, directory.agency(txn, party, at));
      if (state && state->status == AgencyStatus::active && state->agency.level != Level::unit &&
          state->agency.parent == *parent)
        out.push_back(std::move(*state));
    }
    return out;
  }
  if (auto parsed = parse_group(name))
    group = std::move(*parsed);
  else
    return fail(ErrorCode::bad_request, "no such form of group");
  for (Level level : group.levels) TRAM_OK(collect(txn, level, group.branch, group.province, found));
  std::vector<AgencyState> out;
  std::map<PartyId, Level> known;
  for (const PartyId& party : found) {
    TRAM_TRY(state, directory.agency(txn, party, at));
    if (!state || state->status != AgencyStatus::active) continue;
    const proto::Agency& agency = state->agency;
    if (std::find(group.levels.begin(), group.levels.end(), agency.level) == group.levels.end()) continue;
    if ((group.branch && agency.branch != *group.branch) || (group.province && agency.province != *group.province))
      continue;
    if (group.leading) {
      TRAM_TRY(leads, leads_its_level(txn, agency, at, known));
      if (!leads) continue;
    }
    out.push_back(std::move(*state));
  }
  return out;
}

Result<std::vector<AgencyState>> Directory::units(ReadTxn& txn, const PartyId& agency_id, Time at) const {
  std::vector<AgencyState> out;
  TRAM_OK(rows::for_each(txn, rows::children, agency_id, [&](const Row& row) -> Result<bool> {
    TRAM_TRY(state, agency(txn, party_at_end(row.key), at));
    if (state && state->agency.level == Level::unit && state->agency.parent == agency_id &&
        state->status != AgencyStatus::closed)
      out.push_back(std::move(*state));
    return true;
  }));
  return out;
}

Result<std::vector<proto::OfficerChange>> Directory::officers(ReadTxn& txn, const PartyId& agency) const {
  std::vector<proto::OfficerChange> out;
  TRAM_OK(rows::for_each(txn, rows::officers, agency, [&](const Row& row) -> Result<bool> {
    TRAM_TRY(change, rows::decode_change(row.value));
    if (auto* officer = std::get_if<proto::OfficerChange>(&change.body)) out.push_back(std::move(*officer));
    return true;
  }));
  return out;
}

Result<std::optional<PartyId>> Directory::node_of(ReadTxn& txn, const PartyId& party, Time at) const {
  TRAM_TRY(state, agency(txn, party, at));
  if (!state) return std::optional<PartyId>{};
  return std::optional<PartyId>(state->agency.level == Level::unit ? state->agency.parent : party);
}

Result<std::optional<PartyId>> Directory::key_holder(ReadTxn& txn, const SigPublic& key) const {
  return holder(txn, rows::KeyCurve::ed25519, key);
}

Result<std::optional<PartyId>> Directory::key_holder(ReadTxn& txn, const CurvePublic& key) const {
  return holder(txn, rows::KeyCurve::x25519, key);
}

Result<std::map<CurvePublic, PartyId>> Directory::allow_list(ReadTxn& txn, Time at) const {
  std::map<CurvePublic, PartyId> out;
  const uint8_t curve = static_cast<uint8_t>(rows::KeyCurve::x25519);
  TRAM_OK(rows::for_each(txn, rows::keys, BytesView(&curve, 1), [&](const Row& row) -> Result<bool> {
    Reader value(row.value);
    const PartyId party{value.array<PartyId::size>()};
    const auto purpose = static_cast<rows::KeyPurpose>(value.u8());
    const auto key = CurvePublic::from(BytesView(row.key).subspan(1));
    if (!key || purpose != rows::KeyPurpose::curve) return true;
    TRAM_TRY(state, agency(txn, party, at));
    if (!state || !state->agency.keys || state->agency.keys->curve != *key) return true;
    if (state->status == AgencyStatus::closed) {
      TRAM_TRY(closed, rows::closed_from(txn, party));
      if (!closed || at >= *closed + limits::time_to_live + limits::grace) return true;
    }
    out.emplace(*key, party);
    return true;
  }));
  for (const Broker& broker : brokers(at)) out.emplace(broker.record.curve, broker.record.id);
  for (const Witness& witness : witnesses(at))
    if (!witness.record.curve.is_zero()) out.emplace(witness.record.curve, witness.record.id);
  for (const CurvePublic& publisher : held_.root.publishers) out.emplace(publisher, PartyId{});
  return out;
}

}  // namespace tram::directory
