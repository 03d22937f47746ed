#include "directory/directory.h"

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "directory/rules.h"
#include "directory/signing.h"

namespace tram::directory {
namespace {

constexpr std::array all_tables{rows::entries, rows::roots,    rows::head, rows::parties, rows::history,
                                rows::special, rows::officers, rows::keys, rows::codes,   rows::words,
                                rows::groups,  rows::children, rows::kx};

BytesView head_key() { return view("head"); }

Result<void> check_frame(const proto::EntryPayload& payload, const RealmId& realm, const detail::Held& held,
                         BytesView payload_bytes) {
  if (payload_bytes.size() > limits::directory_entry_bytes_max) return fail(ErrorCode::too_large, "entry payload");
  if (payload.changes.empty() || payload.changes.size() > limits::directory_changes_per_entry_max)
    return fail(ErrorCode::bad_request, "an entry holds 1..128 changes");
  if (payload.created.ms < 0) return fail(ErrorCode::bad_request, "created is out of range");
  if (payload.index != held.size)
    return fail(ErrorCode::bad_request,
                "entry " + std::to_string(payload.index) + " comes before entry " + std::to_string(held.size));
  if (payload.index == 0) {
    if (!payload.realm.is_zero() || !payload.previous.is_zero() || !payload.registrar.is_zero())
      return fail(ErrorCode::bad_request, "the first entry names no realm, predecessor or registrar");
    if (realm_of(payload_bytes) != realm) return fail(ErrorCode::wrong_realm, "genesis");
    return {};
  }
  if (payload.realm != realm) return fail(ErrorCode::wrong_realm, "entry");
  if (payload.previous != held.last_payload) return fail(ErrorCode::rollback, "the entry continues another history");
  return {};
}

/// Stages the entry's changes on `context`; the caller counted the signatures.
Result<void> stage_entry(EntryContext& context, BytesView entry, BytesView payload) {
  for (size_t i = 0; i < context.payload.changes.size(); ++i) TRAM_OK(stage_change(context, static_cast<uint16_t>(i)));
  detail::Held& held = context.held;
  held.frontier.append(crypto::merkle_leaf(payload));
  held.last_payload = entry_hash(payload);
  ++held.size;
  Bytes head;
  Writer(head).raw(held.last_payload.view()).raw(crypto::encode_frontier(held.frontier));
  TRAM_OK(context.txn.put(rows::entries, rows::index_key(context.payload.index), entry));
  TRAM_OK(context.txn.put(rows::roots, rows::index_key(held.size), held.frontier.root()));
  return context.txn.put(rows::head, head_key(), head);
}

void restore_special(detail::Held& held, uint64_t index, const proto::Change& change) {
  if (const auto* root = std::get_if<proto::RootChange>(&change.body)) held.root = *root;
  if (const auto* registrar = std::get_if<proto::RegistrarChange>(&change.body))
    held.registrars[registrar->id] = *registrar;
  if (const auto* policy = std::get_if<proto::PolicyChange>(&change.body))
    held.policies.emplace_back(change.effective_from, *policy);
  if (const auto* broker = std::get_if<proto::BrokerChange>(&change.body))
    held.brokers[broker->id].emplace_back(change.effective_from, Broker{*broker, index});
  if (const auto* witness = std::get_if<proto::WitnessChange>(&change.body))
    held.witnesses[witness->id].emplace_back(change.effective_from, Witness{*witness, index});
}

}  // namespace

std::span<const Table> tables() { return all_tables; }

RealmId realm_of(BytesView genesis_payload) { return crypto::hash_as<RealmId>("edx1/realm", {genesis_payload}); }

Result<void> Directory::load(ReadTxn& txn) {
  detail::Held held;
  TRAM_TRY(head, txn.get(rows::head, head_key()));
  if (head) {
    Reader reader(*head);
    held.last_payload = Hash{reader.array<Hash::size>()};
    auto frontier = crypto::decode_frontier(reader.raw(reader.left()));
    if (!reader.ok() || !frontier) return fail(ErrorCode::store_corrupt, "directory head");
    held.size = frontier->size;
    held.frontier = std::move(*frontier);
    TRAM_TRY(genesis, entry(txn, 0));
    TRAM_TRY(first, proto::decode_entry(genesis));
    if (realm_of(first.payload) != realm_)
      return fail(ErrorCode::wrong_realm, "the store holds another realm's directory");
  }
  TRAM_OK(rows::for_each(txn, rows::special, {}, [&](const Row& row) -> Result<bool> {
    TRAM_TRY(change, rows::decode_change(row.value));
    restore_special(held, Reader(row.key).u64(), change);
    return true;
  }));
  held_ = std::move(held);
  return {};
}

Result<void> Directory::apply(WriteTxn& txn, BytesView bytes, Time) {
  TRAM_TRY(signed_entry, proto::decode_entry(bytes));
  TRAM_TRY(payload, proto::decode_entry_payload(signed_entry.payload));
  if (payload.index < held_.size) {
    TRAM_TRY(ours, entry(txn, payload.index));
    TRAM_TRY(held_entry, proto::decode_entry(ours));
    if (held_entry.payload == signed_entry.payload) return {};
    return fail(ErrorCode::rollback, "another entry " + std::to_string(payload.index) + " is held");
  }
  TRAM_OK(check_frame(payload, realm_, held_, signed_entry.payload));
  if (signed_entry.signatures.size() > limits::directory_signatures_per_entry_max)
    return fail(ErrorCode::too_large, "signatures");
  TRAM_TRY(sets, signer_sets(txn, held_, payload));
  if (auto fault = count_signatures(signed_entry, sets)) return fail(std::move(*fault));
  for (const SignerSet& set : sets)
    if (!set.enough())
      return fail(ErrorCode::not_enough_signatures,
                  std::to_string(set.valid_signers.size()) + " of " + std::to_string(set.needed));
  StagedTxn staged(txn);
  detail::Held next = held_;
  EntryContext context{staged, next, payload};
  TRAM_OK(stage_entry(context, bytes, signed_entry.payload));
  TRAM_OK(staged.flush(txn));
  held_ = std::move(next);
  return {};
}

Result<Examination> Directory::examine(ReadTxn& txn, const proto::Entry& candidate) const {
  Examination result;
  auto payload = proto::decode_entry_payload(candidate.payload);
  if (!payload) {
    result.refusal = payload.error();
    return result;
  }
  if (auto framed = check_frame(*payload, realm_, held_, candidate.payload); !framed) result.refusal = framed.error();
  if (auto sets = signer_sets(txn, held_, *payload)) {
    result.sets = std::move(*sets);
    result.bad_signature = count_signatures(candidate, result.sets);
  } else if (!result.refusal) {
    result.refusal = sets.error();
  }
  if (result.refusal) return result;
  StagedTxn staged(txn);
  detail::Held next = held_;
  EntryContext context{staged, next, *payload};
  if (auto done = stage_entry(context, proto::encode_entry(candidate), candidate.payload); !done) {
    if (error_info(done.error().code).retry == Retry::fatal) return fail(std::move(done.error()));
    result.refusal = done.error();
  }
  return result;
}

Result<std::optional<Directory::Refused>> Directory::foresee(ReadTxn& txn,
                                                             std::span<const proto::Entry> entries) const {
  StagedTxn staged(txn);
  detail::Held held = held_;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto one = [&]() -> Result<void> {
      TRAM_TRY(payload, proto::decode_entry_payload(entries[i].payload));
      TRAM_OK(check_frame(payload, realm_, held, entries[i].payload));
      TRAM_TRY(sets, signer_sets(staged, held, payload));
      static_cast<void>(sets);
      EntryContext context{staged, held, payload};
      return stage_entry(context, proto::encode_entry(entries[i]), entries[i].payload);
    };
    auto done = one();
    if (done) continue;
    if (error_info(done.error().code).retry == Retry::fatal) return fail(std::move(done.error()));
    return std::optional(Refused{i, std::move(done.error())});
  }
  return std::optional<Refused>{};
}

Hash Directory::root() const { return held_.frontier.root(); }

Result<std::optional<Hash>> Directory::root_at(ReadTxn& txn, uint64_t size) const {
  if (size == 0) return std::optional<Hash>(crypto::merkle_empty_root());
  TRAM_TRY(row, txn.get(rows::roots, rows::index_key(size)));
  if (!row) return std::optional<Hash>{};
  return Hash::from(*row);
}

std::vector<proto::RegistrarChange> Directory::registrars() const {
  std::vector<proto::RegistrarChange> out;
  for (const auto& [id, registrar] : held_.registrars) out.push_back(registrar);
  return out;
}

proto::PolicyChange Directory::policy(Time now) const {
  proto::PolicyChange policy;
  if (const auto* found = rows::in_force(held_.policies, now)) policy = *found;
  const proto::PolicyChange defaults;
  if (!policy.custody_quorum) policy.custody_quorum = defaults.custody_quorum;
  if (!policy.body_floor_bytes) policy.body_floor_bytes = defaults.body_floor_bytes;
  if (!policy.time_to_live_ms) policy.time_to_live_ms = static_cast<uint64_t>(limits::time_to_live.ms);
  if (!policy.retention_ms) policy.retention_ms = static_cast<uint64_t>(limits::retention.ms);
  if (!policy.document_bytes_max) policy.document_bytes_max = limits::document_bytes_max;
  return policy;
}

std::vector<Broker> Directory::brokers(Time now) const {
  std::vector<Broker> out;
  for (const auto& [id, decided] : held_.brokers)
    if (const Broker* found = rows::in_force(decided, now); found && !found->record.retired) out.push_back(*found);
  return out;
}

std::vector<PartyId> Directory::broker_ids(Time now) const {
  std::vector<PartyId> out;
  for (const auto& [id, decided] : held_.brokers)
    if (broker_in_force(id, now)) out.push_back(id);
  return out;
}

namespace {
template <class Decided>
auto decided_at(const std::map<PartyId, Decided>& all, const PartyId& id, Time now) {
  const auto found = all.find(id);
  const auto* one = found == all.end() ? nullptr : rows::in_force(found->second, now);
  return one && !one->record.retired ? one : nullptr;
}
}  // namespace

const Broker* Directory::broker_in_force(const PartyId& id, Time now) const { return decided_at(held_.brokers, id, now); }

const Witness* Directory::witness_in_force(const PartyId& id, Time now) const { return decided_at(held_.witnesses, id, now); }

std::vector<Broker> Directory::known_brokers() const {
  std::vector<Broker> out;
  for (const auto& [id, decided] : held_.brokers)
    if (!decided.back().second.record.retired) out.push_back(decided.back().second);
  return out;
}

std::optional<Broker> Directory::broker(const PartyId& id) const {
  const auto found = held_.brokers.find(id);
  if (found == held_.brokers.end()) return std::nullopt;
  return found->second.back().second;
}

Time Directory::last_retirement(Time now) const {
  Time last;
  for (const auto& [id, decided] : held_.brokers)
    for (const auto& [effective, broker] : decided)
      if (broker.record.retired && effective <= now) last = std::max(last, effective);
  return last;
}

std::vector<Witness> Directory::witnesses(Time now) const {
  std::vector<Witness> out;
  for (const auto& [id, decided] : held_.witnesses)
    if (const Witness* found = rows::in_force(decided, now); found && !found->record.retired) out.push_back(*found);
  return out;
}

std::vector<Witness> Directory::known_witnesses() const {
  std::vector<Witness> out;
  for (const auto& [id, decided] : held_.witnesses)
    if (!decided.back().second.record.retired) out.push_back(decided.back().second);
  return out;
}

std::optional<Witness> Directory::witness(const PartyId& id) const {
  const auto found = held_.witnesses.find(id);
  if (found == held_.witnesses.end()) return std::nullopt;
  return found->second.back().second;
}

Result<std::vector<Bytes>> Directory::entries(ReadTxn& txn, uint64_t from, size_t bytes_max) const {
  std::vector<Bytes> out;
  size_t bytes = 0;
  for (uint64_t index = from; index < held_.size; ++index) {
    TRAM_TRY(row, txn.get(rows::entries, rows::index_key(index)));
    if (!row) break;  // an older snapshot
    bytes += row->size();
    if (!out.empty() && bytes > bytes_max) break;
    out.push_back(std::move(*row));
  }
  return out;
}

Result<Bytes> Directory::entry(ReadTxn& txn, uint64_t index) const {
  TRAM_TRY(row, txn.get(rows::entries, rows::index_key(index)));
  if (!row) return fail(ErrorCode::not_found, "directory entry " + std::to_string(index));
  return std::move(*row);
}

}  // namespace tram::directory
