// Agencies that closed (R31): what one of them had not answered goes to its one successor, or back to the clerk; what a closed
// agency had not sent when it closed goes nowhere. Its receipts stay welcome: what arrives settles the item it was sent for.
#include <algorithm>

#include "base/limits.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {
constexpr size_t taken_back_per_step_max = 500;
constexpr size_t receipts_per_page = 256;

bool is_closed(const std::optional<directory::AgencyState>& state) {
  return state && state->status == proto::AgencyStatus::closed;
}
}  // namespace

Result<bool> Node::has_closed(ReadTxn& txn, Time now, const PartyId& agency) {
  TRAM_TRY(state, agency_of(txn, now, agency));
  return is_closed(*state);
}

/// Who gets what was meant for this closed agency: nobody after a split, nor when we are the successor, nor when we closed.
Result<std::optional<PartyId>> Node::successor_of(ReadTxn& txn, Time now, const PartyId& agency) {
  TRAM_TRY(we_closed, has_closed(txn, now, config_.self));
  TRAM_TRY(state, agency_of(txn, now, agency));
  if (we_closed || !is_closed(*state) || (*state)->successors.size() != 1) return std::optional<PartyId>{};
  const PartyId successor = (*state)->successors.front();
  return successor == config_.self ? std::optional<PartyId>{} : std::optional(successor);
}

Result<bool> Node::ends_here(ReadTxn& txn, Time now, const PartyId& recipient) {
  TRAM_TRY(we_closed, has_closed(txn, now, config_.self));
  TRAM_TRY(closed, has_closed(txn, now, recipient));
  TRAM_TRY(successor, successor_of(txn, now, recipient));
  return we_closed || (closed && !successor);
}

/// Recipients that closed since the last look, and we ourselves. A closing may have been decided long before its day.
Result<void> Node::find_closed(WriteTxn& txn, Time now, Effects& effects) {
  if (self_.recovery == proto::Recovery::asking) return {};  // what this store says is on its way may be long there
  look_for_closed_ = false;
  std::set<PartyId> parties{config_.self}, closed;
  for (const Table* table : {&table::channel_out, &table::todo}) {
    TRAM_TRY(named, parties_in(txn, *table));
    parties.merge(named);
  }
  TRAM_OK(tell_receipts_again(txn, now));
  for (const PartyId& party : parties) {
    TRAM_TRY(is, has_closed(txn, now, party));
    if (!is) left_.erase(party);  // by a clock that was put right
    else if (!left_.contains(party)) closed.insert(party);
  }
  return closed.empty() ? Result<void>{} : leave_closed(txn, now, closed, effects);
}

/// Takes back what is on its way to these agencies, in the order in which it was sent, then what still waits: a recall comes
/// after its document.
Result<void> Node::leave_closed(WriteTxn& txn, Time now, const std::set<PartyId>& closed, Effects& effects) {
  struct Open {
    PartyId recipient;
    Lane lane;
    uint32_t inc;
    uint64_t seq;
    EnvelopeId env_id;
    // A document in the bulk lane may have its recall in another, never the other way round.
    auto order() const { return std::tuple(recipient, -static_cast<int>(lane), inc, seq); }
  };
  const bool we_closed = closed.contains(config_.self);
  TRAM_TRY(me, agency_of(txn, now, config_.self));
  const Time closed_since = we_closed && *me ? (*me)->closed_since : Time{};
  std::vector<Open> open;
  const auto walked = for_each(txn, table::open_envelope, {}, [&](const Row& row) -> Result<void> {
    const auto env_id = id_at<EnvelopeId>(row.key, 0);
    TRAM_TRY(record, find<proto::EnvelopeRecord>(txn, table::envelope, env_id));
    if (!record || (!we_closed && !closed.contains(record->recipient))) return {};
    TRAM_TRY(envelope, crypto::decode_envelope(record->envelope));
    if (!closed.contains(record->recipient)) {  // ours: no broker takes what was signed after we closed
      if (envelope.created < closed_since) return {};
      TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, row_key(record->uuid, record->recipient)));
      if (item.state == proto::ItemState::accepted) return {};
    }
    open.push_back({record->recipient, envelope.lane, envelope.inc, envelope.seq, env_id});
    return {};
  });
  TRAM_OK(walked);
  std::sort(open.begin(), open.end(), [](const Open& a, const Open& b) { return a.order() < b.order(); });
  const bool more = open.size() > taken_back_per_step_max;
  if (more) open.resize(taken_back_per_step_max);
  for (const Open& one : open) {
    TRAM_TRY(record, find_envelope(txn, one.env_id));
    if (!record || record->closed) continue;  // an earlier one of these led here
    TRAM_OK(cancel_envelope(txn, now, *record, effects));
    TRAM_TRY(wanted, give_up_envelope(txn, now, *record, ErrorCode::closed_agency, effects));
    if (wanted) TRAM_OK(readdress(txn, now, record->uuid, record->recipient, effects));
  }
  if (more) {
    look_for_closed_ = true;
    effects.wake_at = now;
    return {};
  }
  for (const PartyId& party : closed) {
    left_.insert(party);
    if (party == config_.self) continue;
    for (Lane lane : {Lane::bulk, Lane::normal, Lane::urgent}) TRAM_OK(end_waiting(txn, now, party, lane, effects));
  }
  return {};
}

/// A receipt goes to the brokers that announced its document. What one of them was told before it retired it may have told nobody,
/// and to an agency that closed nothing is sent again, for which it could be told once more: so all that the sender may still
/// wait for goes by mail, through every broker, once for each retirement.
Result<void> Node::tell_receipts_again(WriteTxn& txn, Time now) {
  const Time retired = directory_.last_retirement(now);
  const Time since = now - (limits::time_to_live + limits::grace);
  if (retired <= self_.retirement_told || retired < since) return {};
  TRAM_TRY(we_closed, has_closed(txn, now, config_.self));
  if (!we_closed) return {};
  self_.retirement_told = retired;
  self_dirty_ = true;
  size_t told = 0;
  bool lately = true;
  for (Bytes until; lately;) {  // a whole page of older ones, since a clock may have been wrong for some of them
    TRAM_TRY(rows, txn.scan(table::incoming, {}, until, receipts_per_page, Direction::backward));
    lately = false;
    for (const Row& row : rows) {
      proto::InRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      if (record.received < since) continue;
      lately = true;
      TRAM_TRY(posted, post_again(txn, record.doc_id, record.env_id, static_cast<uint16_t>(crypto::ReceiptEvent::received)));
      told += posted;
    }
    if (!rows.empty()) until = rows.back().key;
  }
  if (told) log_.info("receipts.told_again", {{"count", told}});
  if (told) last_repost_ = {};
  return {};
}

/// Brokers let go of what they have not handed out (R16).
Result<void> Node::cancel_envelope(WriteTxn& txn, Time now, const proto::EnvelopeRecord& record, Effects& effects) {
  TRAM_TRY(envelope, crypto::decode_envelope(record.envelope));
  crypto::Notice notice = new_notice(crypto::NoticeKind::cancel, record.recipient, now);
  notice.reason = static_cast<uint16_t>(ErrorCode::closed_agency);
  set_subject(notice, envelope.id, envelope);
  TRAM_OK(post_notice(txn, now, std::move(notice), effects));
  return {};
}

/// No envelope can be made for this recipient any more.
Result<void> Node::end_waiting(WriteTxn& txn, Time now, const PartyId& recipient, Lane lane, Effects& effects) {
  const Bytes prefix = row_key(recipient, lane);
  std::vector<Row> rows;
  TRAM_OK(for_each(txn, table::todo, prefix, [&](const Row& row) -> Result<void> {
    rows.push_back(row);
    return {};
  }));
  for (const Row& row : rows) {
    TRAM_OK(txn.erase(table::todo, row.key));
    TRAM_OK(readdress(txn, now, id_at<DocUuid>(row.value, 0), recipient, effects));
  }
  return {};
}

/// Of a recall: whether its documents go to the successor too. One that the closed agency has received it keeps.
Result<bool> Node::targets_follow(ReadTxn& txn, const proto::Relation& relation, const PartyId& recipient) {
  using enum proto::ItemState;
  for (const DocId& target : relation.targets) {
    TRAM_TRY(uuid, txn.get(table::outgoing_by_doc, target));
    if (!uuid) continue;
    TRAM_TRY(item, find<proto::ItemRecord>(txn, table::item, row_key(id_at<DocUuid>(*uuid, 0), recipient)));
    if (item && (item->state == waiting || item->state == queued || item->state == accepted || item->state == forwarded)) return true;
  }
  return false;
}

/// The item ends here; the document goes on to the successor under an item of its own, once (R31).
Result<void> Node::readdress(WriteTxn& txn, Time now, const DocUuid& uuid, const PartyId& recipient, Effects& effects) {
  const Bytes key = row_key(uuid, recipient);
  TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, key));
  if (item.state != proto::ItemState::waiting) return {};  // answered or taken back meanwhile
  TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, uuid));
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  const bool recall = metadata.relation.kind == proto::RelationKind::recall;
  TRAM_TRY(successor, successor_of(txn, now, recipient));
  if (successor && recall) {
    TRAM_TRY(follows, targets_follow(txn, metadata.relation, recipient));
    if (!follows) successor.reset();
  }
  if (recall && !successor) TRAM_OK(end_request(txn, metadata.relation, recipient));
  item.state = successor ? proto::ItemState::forwarded : proto::ItemState::undeliverable;
  item.waiting_reason = static_cast<uint16_t>(ErrorCode::closed_agency);
  const uint16_t asked = std::exchange(item.pending_change, uint16_t{0});
  item.decided = now;
  TRAM_OK(save(txn, table::item, key, item));
  effects.changed_sent.push_back(uuid);
  if (!successor) {
    log_.warning("document.undeliverable", {{"document", record.doc_id}, {"recipient", recipient}});
    TRAM_OK(txn.put(table::undeliverable, row_key(now, uuid, recipient), {}));
    return log_leaf(txn, now, audit::LeafKind::undeliverable, {record.doc_id, recipient});
  }
  log_.info("document.readdressed", {{"document", record.doc_id}, {"from", recipient}, {"to", *successor}});
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::readdressed, {record.doc_id, recipient, *successor}));
  const Bytes next_key = row_key(uuid, *successor);
  TRAM_TRY(there, txn.get(table::item, next_key));
  if (there) return {};  // it was sent to both, or two of its recipients merged
  proto::ItemRecord next;
  next.uuid = uuid;
  next.recipient = *successor;
  next.pending_change = asked;
  TRAM_TRY(state, agency_of(txn, now, *successor));
  if (!*state || !(*state)->agency.keys) next.waiting_reason = static_cast<uint16_t>(ErrorCode::no_node);
  TRAM_OK(save(txn, table::item, next_key, next));
  ++record.recipients;
  TRAM_OK(save(txn, table::outgoing, uuid, record));
  going_documents_.erase(uuid);
  TRAM_OK(add_todo(txn, *successor, record.lane, uuid));
  return kick_channel(txn, now, *successor, record.lane, effects);
}

/// A recall that ends with its recipient asks nothing of it any more.
Result<void> Node::end_request(WriteTxn& txn, const proto::Relation& relation, const PartyId& recipient) {
  for (const DocId& target : relation.targets) {
    TRAM_TRY(uuid, txn.get(table::outgoing_by_doc, target));
    if (!uuid) continue;
    const Bytes key = row_key(id_at<DocUuid>(*uuid, 0), recipient);
    TRAM_TRY(item, find<proto::ItemRecord>(txn, table::item, key));
    if (!item || !item->pending_change) continue;
    item->pending_change = 0;
    TRAM_OK(save(txn, table::item, key, *item));
  }
  return {};
}

}  // namespace tram::node
