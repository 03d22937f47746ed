// Rot: what the walk over rows and bodies finds, and what becomes of it (3.9, R24). The damaged body of a received document is
// fetched again into its place: from brokers while they hold it, else from its sender, who keeps it for RET (R6). Same
// document, same receipts; the clerk sees nothing twice. The damaged body of a sent document is named: brokers that have it
// deliver it, what they lack its author sends anew. A damaged row waits for `recover`.
//
//   whole --the walk finds damage--> asking brokers --every chunk is right--> whole
//                                    asking brokers --none has it--> sender asked (resend, daily) --its new envelope--> whole
#include <algorithm>

#include "base/limits.h"
#include "node/check.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {

constexpr uint32_t chunks_per_turn = limits::scrub_bytes_per_second / limits::chunk_bytes;
constexpr size_t mending_at_once_max = 4;
constexpr Duration brokers_again = minutes(10);
constexpr Duration sender_again = days(1);

// The walk over bodies: a list, then the key of a row.
constexpr uint8_t outbox_list = 1, inbox_list = 2;

/// A clock that was set back must not put anything off.
bool is_due(Time now, Time last, Duration every) { return last.ms == 0 || now - last >= every || now < last; }

Bytes damage_value(bool sent, Time found, Time asked) {
  Bytes value;
  Writer(value).u8(sent ? 1 : 0).u64(found.wire()).u64(asked.wire());
  return value;
}

}  // namespace

Result<void> Node::load_scrub(ReadTxn& txn) {
  TRAM_OK(scrub_.load(txn));
  scrub_chunk_ = 0;
  suspect_out_ = false;
  damaged_.clear();
  return for_each(txn, table::damaged, {}, [&](const Row& row) -> Result<void> {
    Reader reader(row.value);
    Damage one;
    one.sent = reader.u8() != 0;
    one.found = Time{static_cast<int64_t>(reader.u64())};
    one.asked = Time{static_cast<int64_t>(reader.u64())};
    if (!reader.finish()) return fail(ErrorCode::store_corrupt, "damaged");
    damaged_.emplace(id_at<DocId>(row.key, 0), one);
    return {};
  });
}

Result<void> Node::note_damaged(WriteTxn& txn, Time now, const DocId& doc_id, bool sent) {
  return txn.put(table::damaged, doc_id, damage_value(sent, now, {}));
}

Result<void> Node::keep_damage(WriteTxn& txn, const DocId& doc_id, const Damage& damage) {
  return txn.put(table::damaged, doc_id, damage_value(damage.sent, damage.found, damage.asked));
}

Result<void> Node::forget_damage(WriteTxn& txn, const DocId& doc_id) {
  if (damaged_.erase(doc_id) == 0) return {};
  for (auto& [id, arrival] : arrivals_)
    if (arrival.mends && arrival.envelope.doc_id == doc_id) arrival.gave_up = true;
  return txn.erase(table::damaged, doc_id);
}

Result<void> Node::scrub_turn(WriteTxn& txn, Time now, Effects& effects) {
  if (!scrub_.turn_due(now)) return {};
  if (!suspects_.empty() && !suspect_out_) TRAM_OK(start_suspect_job(txn, effects));
  TRAM_TRY(found, scrub_.turn(txn, now, busy_));
  for (const DamagedRow& row : found) log_.error("row.was_damaged", {{"table", row.table.name}});  // a key may name a person
  if (!scrub_.bodies_due()) return {};
  auto left = start_scrub_job(txn, now, effects);
  if (left || left.error().code != ErrorCode::store_corrupt) return left;
  // A row that the walk over rows has named. Whoever needs it stops; the scrub alone does not.
  log_.warning("scrub.cut_short", {{"error", describe(left.error())}});
  scrub_chunk_ = 0;
  return scrub_.bodies_done(txn, now, {}, 0, 0, 0);
}

/// What a clerk could not open.
Result<void> Node::start_suspect_job(ReadTxn& txn, Effects& effects) {
  const auto [arrival, first] = *suspects_.begin();
  suspects_.erase(suspects_.begin());
  TRAM_TRY(record, find<proto::InRecord>(txn, table::incoming, u64_value(arrival)));
  if (!record || damaged_.contains(record->doc_id)) return {};
  const uint32_t count = std::min(chunks_per_turn, record->chunks - std::min(first, record->chunks));
  TRAM_TRY(part, body_part(*record, first, count));
  if (!part) return {};
  ScrubJob job;
  job.suspect = arrival;
  job.next_chunk = first + count;
  job.items.push_back({record->doc_id, false, std::move(*part), job.next_chunk >= record->chunks});
  suspect_out_ = true;
  effects.jobs.push_back(std::move(job));
  return {};
}

/// The next bodies of the walk, as much as a second may read.
Result<void> Node::start_scrub_job(WriteTxn& txn, Time now, Effects& effects) {
  ScrubJob job;
  uint8_t list = outbox_list;
  Bytes from;
  if (const Bytes& cursor = scrub_.body_cursor(); !cursor.empty()) {
    list = cursor[0];
    from = to_bytes(BytesView(cursor).subspan(1));
  }
  uint32_t chunks = 0, first = scrub_chunk_;
  size_t rows_left = limits::scrub_rows_per_second;
  const auto room = [&] { return chunks < chunks_per_turn && job.items.size() < limits::scrub_bodies_per_second && rows_left > 0; };
  const auto take = [&](const auto& record, bool sent) -> Result<bool> {  // whether the whole body fits
    if (first >= record.chunks) first = 0;
    const uint32_t count = std::min(chunks_per_turn - chunks, record.chunks - first);
    TRAM_TRY(part, body_part(record, first, count));
    if (!part) return true;
    chunks += count;
    const bool last = first + count == record.chunks;
    job.items.push_back({record.doc_id, sent, std::move(*part), last});
    job.next_chunk = last ? 0 : first + count;
    return last;
  };
  bool ended = false;
  while (room() && !ended) {
    TRAM_TRY(rows, txn.scan(list == outbox_list ? table::outgoing : table::incoming, from, {}, 1));
    if (rows.empty()) {
      ended = list == inbox_list;
      list = inbox_list;
      from.clear();
      continue;
    }
    --rows_left;
    bool whole = true;
    if (list == outbox_list) {
      proto::OutRecord record;
      TRAM_OK(proto::decode_record(rows[0].value, record));
      TRAM_TRY(fits, take(record, true));
      whole = fits;
    } else {
      proto::InRecord record;
      TRAM_OK(proto::decode_record(rows[0].value, record));
      TRAM_TRY(fits, take(record, false));
      whole = fits;
    }
    from = rows[0].key;
    if (!whole) break;
    from.push_back(0);
    first = 0;
  }
  if (!ended) {
    job.next.push_back(list);
    job.next.insert(job.next.end(), from.begin(), from.end());
  }
  if (job.items.empty()) return scrub_.bodies_done(txn, now, std::move(job.next), 0, 0, 0);
  scrub_.body_job_left();
  effects.jobs.push_back(std::move(job));
  return {};
}

Result<void> Node::on(WriteTxn& txn, Time now, ScrubDone& done, Effects& effects) {
  uint64_t bodies = 0, bytes = 0, rotten = 0;
  for (size_t i = 0; i < done.checks.size(); ++i) {
    const auto& item = done.asked.items[i];
    if (!done.checks[i]) return fail(done.checks[i].error());
    bytes += done.checks[i]->bytes;
    bodies += item.last;
    if (done.checks[i]->good() || damaged_.contains(item.doc_id)) continue;
    ++rotten;
    TRAM_OK(body_damaged(txn, now, item.doc_id, item.sent, effects));
  }
  if (done.asked.suspect) {
    suspect_out_ = false;
    if (!done.asked.items.back().last && rotten == 0) suspects_.try_emplace(done.asked.suspect, done.asked.next_chunk);
    return {};
  }
  scrub_chunk_ = done.asked.next_chunk;
  return scrub_.bodies_done(txn, now, std::move(done.asked.next), bodies, bytes, rotten);
}

Result<void> Node::body_damaged(WriteTxn& txn, Time now, const DocId& doc_id, bool sent, Effects& effects) {
  // Freed, recalled or sealed anew since the job left: its file went with good reason.
  if (sent) {
    TRAM_TRY(uuid, txn.get(table::outgoing_by_doc, doc_id));
    if (!uuid) return {};
    TRAM_TRY(record, find<proto::OutRecord>(txn, table::outgoing, *uuid));
    if (!record || !record->body_kept || record->doc_id != doc_id) return {};
  } else {
    TRAM_TRY(arrival, find_u64(txn, table::incoming_by_doc, doc_id));
    if (!arrival) return {};
    TRAM_TRY(record, find<proto::InRecord>(txn, table::incoming, u64_value(*arrival)));
    if (!record || !record->body_kept) return {};
    effects.changed_documents.push_back(*arrival);
  }
  log_.error("body.was_damaged", {{"document", doc_id}, {"sent", sent ? 1 : 0}});
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::body_damaged, {doc_id}));
  Damage damage;
  damage.sent = sent;
  damage.found = now;
  damaged_.emplace(doc_id, damage);
  return keep_damage(txn, doc_id, damage);
}

/// What brokers could not give back, their senders are asked for; a few at a time, so that the rest of the mail is not held up.
Result<void> Node::mend_bodies(WriteTxn& txn, Time now, Effects& effects) {
  for (auto it = arrivals_.begin(); it != arrivals_.end();) {
    Arrival& arrival = it->second;
    if (!arrival.gave_up || !arrival.writing.empty()) {
      ++it;
      continue;
    }
    const proto::InRecord record = std::move(arrival.record);
    it = arrivals_.erase(it);
    auto damage = damaged_.find(record.doc_id);
    if (damage != damaged_.end()) {
      TRAM_OK(ask_sender_again(txn, now, record, damage->second, effects));
    } else {
      TRAM_TRY(row, find<proto::InRecord>(txn, table::incoming, u64_value(record.arrival)));
      if (row && row->body_kept) continue;  // mended by another envelope
      // Recalled meanwhile: what was written since must not stay.
      effects.remove_bodies.push_back(body_name(record.doc_id));
      effects.remove_bodies.push_back(manifest_name(body_name(record.doc_id)));
    }
  }
  if (damaged_.empty() || self_.recovery != proto::Recovery::none) return {};
  auto mending = static_cast<size_t>(std::count_if(arrivals_.begin(), arrivals_.end(), [](const auto& one) { return one.second.mends; }));
  for (auto& [doc_id, damage] : damaged_) {
    if (mending >= mending_at_once_max) break;
    if (damage.sent || !is_due(now, damage.tried, brokers_again)) continue;
    const bool coming = std::any_of(arrivals_.begin(), arrivals_.end(), [&, id = doc_id](const auto& one) {
      return one.second.envelope.doc_id == id && (one.second.mends || one.second.stage >= Arrival::Stage::manifest);
    });
    if (coming) continue;
    TRAM_OK(begin_mending(txn, now, doc_id, damage, effects));
    ++mending;
  }
  return {};
}

Result<void> Node::begin_mending(WriteTxn& txn, Time now, const DocId& doc_id, Damage& damage, Effects& effects) {
  TRAM_TRY(number, find_u64(txn, table::incoming_by_doc, doc_id));
  TRAM_TRY(record, number ? find<proto::InRecord>(txn, table::incoming, u64_value(*number)) : Result<std::optional<proto::InRecord>>{});
  if (!record) {  // a recovery dropped the row: of what it was, our answer is left
    damage.tried = now;
    if (!number || !is_due(now, damage.asked, sender_again)) return {};
    std::optional<proto::InRecord> was;
    const auto walked = for_each(txn, table::answer, {}, [&](const Row& row) -> Result<void> {
      proto::AnswerRecord answered;
      TRAM_OK(proto::decode_record(row.value, answered));
      const auto ack = answered.arrival == *number ? crypto::decode_ack(answered.statement) : Result<crypto::Ack>(fail(ErrorCode::not_found));
      if (!ack) return {};
      was.emplace();
      was->doc_id = doc_id;
      was->env_id = ack->env_id;
      was->sender = ack->sender;
      was->lane = ack->lane;
      was->inc = ack->inc;
      was->seq = ack->seq;
      return {};
    });
    TRAM_OK(walked);
    return was ? ask_sender_again(txn, now, *was, damage, effects) : Result<void>{};
  }
  Arrival arrival;
  const auto envelope = crypto::decode_envelope(record->envelope);
  if (!envelope) {  // evidence that is no use: only its sender is left
    damage.tried = now;
    return ask_sender_again(txn, now, *record, damage, effects);
  }
  arrival.envelope = *envelope;
  arrival.envelope_bytes = record->envelope;
  arrival.mends = true;
  for (const auto& [broker, link] : links_)
    if (link.greeted) arrival.sources[broker] = {broker, 0, {}};
  if (arrival.sources.empty()) return {};  // nobody to ask yet
  damage.tried = now;
  arrival.record = std::move(*record);
  const EnvelopeId env_id = arrival.envelope.id;
  auto [it, fresh] = arrivals_.emplace(env_id, std::move(arrival));
  if (fresh) fetch(now, it->second, effects);
  return {};
}

/// A broker still has the envelope: an inline body is in the answer, a file is asked for next.
Result<void> Node::on_mending_content(WriteTxn& txn, Time now, Arrival& arrival, proto::Content& content, Effects& effects) {
  const proto::InRecord& record = arrival.record;
  if (!record.inline_body) {
    arrival.stage = Arrival::Stage::manifest;
    arrival.asked = now;
    send(arrival.source, proto::Endpoint::bulk, proto::ManifestGet{record.doc_id}, effects);
    return {};
  }
  const auto manifest = crypto::decode_manifest(record.manifest);
  if (!manifest || manifest->chunks.size() != 1 || crypto::chunk_id(content.inline_chunk) != manifest->chunks[0]) {
    source_failed(now, arrival, effects);
    return {};
  }
  TRAM_OK(txn.put(table::body_inline, record.doc_id, content.inline_chunk));
  const DocId doc_id = record.doc_id;
  const uint64_t number = record.arrival;
  arrivals_.erase(arrival.envelope.id);
  return mended(txn, now, doc_id, number, effects);
}

Result<void> Node::ask_sender_again(WriteTxn& txn, Time now, const proto::InRecord& record, Damage& damage, Effects& effects) {
  if (!is_due(now, damage.asked, sender_again)) return {};
  damage.asked = now;
  TRAM_OK(keep_damage(txn, record.doc_id, damage));
  log_.warning("body.asked_of_sender", {{"document", record.doc_id}, {"sender", record.sender}});
  crypto::Notice notice = new_notice(crypto::NoticeKind::resend, record.sender, now);
  set_subject(notice, record.env_id, record);
  TRAM_OK(post_notice(txn, now, std::move(notice), effects));
  return {};
}

Result<void> Node::mended(WriteTxn& txn, Time now, const DocId& doc_id, uint64_t arrival, Effects& effects) {
  if (!damaged_.contains(doc_id)) return {};
  TRAM_OK(forget_damage(txn, doc_id));
  ++repaired_bodies_;
  log_.warning("body.was_repaired", {{"document", doc_id}});
  effects.changed_documents.push_back(arrival);
  return log_leaf(txn, now, audit::LeafKind::body_repaired, {doc_id});
}

}  // namespace tram::node
