// The clerk's acts: register, refuse, status, answers to changes, recall (QD 28/2018; Decree 30/2020 art. 18, 22); and what
// another's recall or update does to what came here (R12).
// Every check comes before the first write: an error changes nothing, so acts may share a transaction.
#include "base/limits.h"
#include "node/metadata_rules.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {

constexpr size_t listed_recipients_max = 500;
// Together with their names they fit a receipt's 1,024 bytes.
constexpr size_t reason_bytes_max = 600, person_bytes_max = 150, number_bytes_max = 30;
constexpr Duration vietnam_offset = hours(7);  // QD 28/2018 art. 14(4): Vietnam's zone

proto::Date date_of(Time time) {
  // Civil date from days since 1970-01-01 (Hinnant's algorithm).
  int64_t z = (time + vietnam_offset).ms / days(1).ms + 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const auto doe = static_cast<uint32_t>(z - era * 146097);
  const uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const uint32_t mp = (5 * doy + 2) / 153;
  const uint32_t month = mp < 10 ? mp + 3 : mp - 9;
  const int64_t year = static_cast<int64_t>(yoe) + era * 400 + (month <= 2);
  return {static_cast<uint16_t>(year), static_cast<uint8_t>(month), static_cast<uint8_t>(doy - (153 * mp + 2) / 5 + 1)};
}

Result<proto::InRecord> load_incoming(ReadTxn& txn, uint64_t arrival) {
  TRAM_TRY(record, find<proto::InRecord>(txn, table::incoming, u64_value(arrival)));
  if (!record || record->state == proto::InState::held) return fail(ErrorCode::not_found, "document " + std::to_string(arrival));
  return std::move(*record);
}

Result<void> check_text(std::string_view text, size_t bytes_max, const char* field) {
  if (text.size() > bytes_max) return fail(ErrorCode::too_large, field);
  return {};
}

}  // namespace

Result<proto::InRecord> Node::register_document(WriteTxn& txn, Time now, uint64_t arrival, const RegisterAct& act, Effects& effects) {
  TRAM_OK(may_sign());
  TRAM_TRY(record, load_incoming(txn, arrival));
  if (record.state != proto::InState::arrived) return fail(ErrorCode::wrong_state, "only an arrived document can be registered");
  if (record.pending_change) return fail(ErrorCode::wrong_state, "answer the sender's request first");
  TRAM_OK(check_text(act.person, person_bytes_max, "person"));
  TRAM_OK(check_text(act.unit, person_bytes_max, "unit"));
  TRAM_OK(check_text(act.number, number_bytes_max, "number"));
  const proto::Date today = date_of(now);
  const proto::Date date = act.date.empty() ? today : act.date;
  if (date > today) return fail(ErrorCode::bad_request, "date: lies in the future");
  const std::string book = "in/" + std::to_string(date.year);
  std::string number = act.number;
  TRAM_TRY(counter, find_u64(txn, table::counter, view(book)));
  uint64_t next = counter.value_or(0) + 1;
  auto taken = [&](const std::string& candidate) { return txn.get(table::register_number, view(book + "/" + candidate)); };
  if (number.empty()) {
    for (;; ++next) {
      number = std::to_string(next);
      TRAM_TRY(used, taken(number));
      if (!used) break;
    }
  } else {
    TRAM_TRY(used, taken(number));
    if (used) return fail(ErrorCode::conflict, "register number " + number + " of " + std::to_string(date.year) + " is used");
  }

  if (act.number.empty()) TRAM_OK(txn.put(table::counter, view(book), u64_value(next)));
  TRAM_OK(txn.put(table::register_number, view(book + "/" + number), u64_value(arrival)));
  record.state = proto::InState::registered;
  record.register_number = number;
  record.register_date = proto::to_text(date);
  record.person = act.person;
  record.decided = now;
  TRAM_OK(save(txn, table::incoming, u64_value(arrival), record));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::document_registered, {record.doc_id, view(number)}));
  TRAM_OK(tell_sender(txn, now, crypto::ReceiptEvent::registered, 0, record, {number, date, act.person, act.unit, {}}, effects));
  effects.changed_documents.push_back(arrival);
  return record;
}

Result<proto::InRecord> Node::refuse_document(WriteTxn& txn, Time now, uint64_t arrival, std::string reason, std::string person, Effects& effects) {
  TRAM_OK(may_sign());
  TRAM_TRY(record, load_incoming(txn, arrival));
  if (record.state != proto::InState::arrived)
    return fail(ErrorCode::wrong_state, "only before registration (QĐ 28/2018 art. 5(4))");
  if (is_blank(reason)) return fail(ErrorCode::bad_request, "reason: a refusal must say why");
  TRAM_OK(check_text(reason, reason_bytes_max, "reason"));
  TRAM_OK(check_text(person, person_bytes_max, "person"));
  record.state = proto::InState::refused;
  record.reason = reason;
  record.person = person;
  record.decided = now;
  record.pending_change = 0;
  TRAM_OK(save(txn, table::incoming, u64_value(arrival), record));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::document_refused, {record.doc_id}));
  TRAM_OK(tell_sender(txn, now, crypto::ReceiptEvent::refused, 0, record, {{}, {}, std::move(person), {}, std::move(reason)}, effects));
  effects.changed_documents.push_back(arrival);
  return record;
}

Result<proto::InRecord> Node::set_status(WriteTxn& txn, Time now, uint64_t arrival, uint16_t status, std::string person, Effects& effects) {
  using enum proto::InState;
  TRAM_OK(may_sign());
  TRAM_TRY(record, load_incoming(txn, arrival));
  TRAM_OK(check_text(person, person_bytes_max, "person"));
  if (status < 4 || status > 6) return fail(ErrorCode::bad_request, "status: 04, 05 or 06");
  const auto from = record.state;
  const bool allowed = status == 4 ? from == registered
                     : status == 5 ? from == registered || from == assigned
                                   : from == registered || from == assigned || from == processing;
  if (!allowed) return fail(ErrorCode::wrong_state, "status 0" + std::to_string(status) + " does not follow 0" + std::to_string(status_code(from)));
  record.state = status == 4 ? assigned : status == 5 ? processing : done;
  record.decided = now;
  TRAM_OK(save(txn, table::incoming, u64_value(arrival), record));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::status_changed, {record.doc_id, u64_value(status)}));
  TRAM_OK(tell_sender(txn, now, static_cast<crypto::ReceiptEvent>(status), 0, record, {{}, {}, std::move(person), {}, {}}, effects));
  effects.changed_documents.push_back(arrival);
  return record;
}

Result<proto::InRecord> Node::answer_change(WriteTxn& txn, Time now, uint64_t arrival, bool agree, std::string reason, std::string person, Effects& effects) {
  TRAM_OK(may_sign());
  TRAM_TRY(record, load_incoming(txn, arrival));
  if (!record.pending_change) return fail(ErrorCode::wrong_state, "the sender asks for nothing");
  TRAM_OK(check_text(reason, reason_bytes_max, "reason"));
  TRAM_OK(check_text(person, person_bytes_max, "person"));
  const bool is_recall = record.pending_change == static_cast<uint16_t>(proto::RelationKind::recall);
  const auto policy = directory_.policy(now);
  if (!agree && is_recall && !policy.recall_refusal_allowed) return fail(ErrorCode::recall_refused, "recall");
  if (!agree && !is_recall && !policy.update_refusal_allowed) return fail(ErrorCode::forbidden, "update");
  if (!agree && is_blank(reason)) return fail(ErrorCode::bad_request, "reason: a refusal must say why");
  TRAM_TRY(change_arrival, find_u64(txn, table::incoming_by_doc, record.change_doc));
  if (!change_arrival) return fail(ErrorCode::not_found, "the sender's request");
  TRAM_TRY(change, node::load<proto::InRecord>(txn, table::incoming, u64_value(*change_arrival)));
  if (agree && is_recall) {
    TRAM_OK(destroy_content(txn, now, record, effects));
  } else {
    record.pending_change = 0;
    record.decided = now;
    TRAM_OK(save(txn, table::incoming, u64_value(arrival), record));
    TRAM_OK(log_leaf(txn, now, audit::LeafKind::status_changed, {record.doc_id, u64_value(agree ? 15 : 16)}));
  }
  TRAM_OK(tell_sender(txn, now, agree ? crypto::ReceiptEvent::change_agreed : crypto::ReceiptEvent::change_refused, 0, change,
                      {{}, {}, std::move(person), {}, std::move(reason)}, effects));
  effects.changed_documents.push_back(arrival);
  return record;
}

Result<Submitted> Node::recall(WriteTxn& txn, Time now, const DocUuid& uuid, std::string reason, std::string author, Effects& effects) {
  TRAM_TRY(record, find<proto::OutRecord>(txn, table::outgoing, uuid));
  if (!record) return fail(ErrorCode::not_found, uuid.hex());
  if (record->state == proto::OutState::sealing) return fail(ErrorCode::busy, "the document is still being sealed");
  if (record->state == proto::OutState::failed) return fail(ErrorCode::wrong_state, "the document was never sent");
  if (is_blank(reason)) return fail(ErrorCode::bad_request, "reason: a recall must say why");
  TRAM_OK(check_text(reason, reason_bytes_max, "reason"));
  TRAM_TRY(original, proto::decode_metadata(record->metadata));
  if (original.relation.kind == proto::RelationKind::recall) return fail(ErrorCode::wrong_state, "a recall cannot be recalled");

  std::vector<proto::ItemRecord> sent, unsent;
  bool any_closed = false;
  const auto walked = for_each(txn, table::item, uuid, [&](const Row& row) -> Result<void> {
    proto::ItemRecord item;
    TRAM_OK(proto::decode_record(row.value, item));
    using enum proto::ItemState;
    if (item.state == forwarded || item.state == undeliverable) return {};
    TRAM_TRY(closed, has_closed(txn, now, item.recipient));
    any_closed = any_closed || closed;
    if (closed) return {};  // what it has received nobody can ask of it any more
    if (item.state == waiting && item.issue == 0) unsent.push_back(std::move(item));
    else if (item.state != refused && item.state != rejected && item.state != cancelled && item.state != recalled && !item.pending_change)
      sent.push_back(std::move(item));
    return {};
  });
  TRAM_OK(walked);
  for (const auto& item : unsent)
    if (wrapping_.count({item.recipient, record->lane})) return fail(ErrorCode::busy, "an envelope is being made; try again");
  if (sent.empty() && unsent.empty() && any_closed) return fail(ErrorCode::closed_agency, "its recipient; write to the successor");
  if (sent.empty() && unsent.empty()) return fail(ErrorCode::wrong_state, "nobody holds this document");

  Submitted out;
  if (!sent.empty()) {
    Submission submission;
    proto::Metadata& metadata = submission.metadata;
    metadata.number = original.number;
    metadata.symbol = original.symbol;
    metadata.type_name = original.type_name;
    metadata.subject = original.subject;
    metadata.issued = original.issued;
    metadata.organ_name = original.organ_name;
    metadata.priority = original.priority;
    metadata.relation = {proto::RelationKind::recall, {record->doc_id}, reason};
    if (sent.size() > listed_recipients_max) {  // its groups: a list would not fit
      for (const auto& addressee : original.addressees) {
        TRAM_TRY(closed, has_closed(txn, now, addressee.id));
        if (!closed) metadata.addressees.push_back(addressee);
      }
    } else for (const auto& item : sent) metadata.addressees.push_back({proto::AddresseeKind::agency, item.recipient, {}});
    submission.author = std::move(author);
    TRAM_TRY(submitted, submit(txn, now, std::move(submission), effects));
    out = submitted;
  }
  for (auto& item : sent) {
    item.pending_change = 13;
    TRAM_OK(save(txn, table::item, row_key(uuid, item.recipient), item));
  }
  for (auto& item : unsent) {  // nothing has left for these: the wait ends here
    item.state = proto::ItemState::cancelled;
    item.decided = now;
    item.reason = reason;
    TRAM_OK(save(txn, table::item, row_key(uuid, item.recipient), item));
    const Bytes channel = row_key(item.recipient, record->lane);
    TRAM_TRY(rows, txn.scan(table::todo, channel, prefix_end(channel), 4096));
    for (const Row& row : rows)
      if (id_at<DocUuid>(row.value, 0) == uuid) TRAM_OK(txn.erase(table::todo, row.key));
  }
  return out;
}

// ---- changes asked by the sender -----------------------------------------------------------------------------------

/// Recall before registration takes effect at once; later, and for updates, it is a request the clerk answers (R12).
Result<void> Node::apply_relation(WriteTxn& txn, Time now, proto::InRecord& record, const proto::Metadata& metadata, Effects& effects) {
  using enum proto::RelationKind;
  if (metadata.relation.kind == none || metadata.relation.kind == reply) return {};
  for (const DocId& target_id : metadata.relation.targets) {
    TRAM_TRY(arrival, find_u64(txn, table::incoming_by_doc, target_id));
    if (!arrival) {
      if (metadata.relation.kind == recall) TRAM_OK(txn.put(table::early_recall, target_id, record.doc_id));
      continue;
    }
    TRAM_TRY(target, node::load<proto::InRecord>(txn, table::incoming, u64_value(*arrival)));
    if (target.sender != record.sender) {
      log_.warning("relation.foreign", {{"document", record.doc_id}});
      continue;
    }
    if (target.state == proto::InState::recalled && metadata.relation.kind == recall)  // its sender may have forgotten our answer
      TRAM_OK(tell_sender(txn, now, crypto::ReceiptEvent::change_agreed, 0, record, {{}, {}, {}, {}, "recalled before"}, effects));
    if (target.state == proto::InState::refused || target.state == proto::InState::recalled) continue;
    target.change_doc = record.doc_id;
    if (metadata.relation.kind == recall && (target.state == proto::InState::arrived || target.state == proto::InState::held)) {
      TRAM_OK(destroy_content(txn, now, target, effects));
      TRAM_OK(tell_sender(txn, now, crypto::ReceiptEvent::change_agreed, 0, record, {{}, {}, {}, {}, "cancelled before registration"}, effects));
      continue;
    }
    if (!target.pending_change) target.before_change = target.state;
    target.pending_change = static_cast<uint16_t>(metadata.relation.kind);
    TRAM_OK(save(txn, table::incoming, u64_value(target.arrival), target));
    effects.changed_documents.push_back(target.arrival);
  }
  return {};
}

/// Decree 30/2020 art. 18(4)(b): the recalled document is destroyed, its metadata and the audit stay.
Result<void> Node::destroy_content(WriteTxn& txn, Time now, proto::InRecord& record, Effects& effects) {
  record.state = proto::InState::recalled;
  record.pending_change = 0;
  record.decided = now;
  record.body_kept = false;
  TRAM_OK(forget_damage(txn, record.doc_id));
  record.document_key.assign(32, 0);
  if (record.inline_body) TRAM_OK(txn.erase(table::body_inline, record.doc_id));
  else {
    effects.remove_bodies.push_back(body_name(record.doc_id));
    effects.remove_bodies.push_back(manifest_name(body_name(record.doc_id)));
  }
  TRAM_OK(save(txn, table::incoming, u64_value(record.arrival), record));
  effects.changed_documents.push_back(record.arrival);
  return log_leaf(txn, now, audit::LeafKind::recall_applied, {record.doc_id, record.change_doc});
}

}  // namespace tram::node
