// Delivery: announcing, fetching, chunks out, statements of recipients (R6, R15-R17, R39).
#include <algorithm>

#include "broker/state.h"

namespace tram::broker {
namespace {

struct QueueRow {
  Lane lane;
  uint64_t position;
};
QueueRow read_queue_key(BytesView key) {
  Reader reader(key);
  reader.raw(PartyId::size);
  const uint8_t lane = reader.u8();
  return {static_cast<Lane>(lane), reader.u64()};
}
/// Sender and recipient stand at the head of the position key, which tombstones keep.
bool for_recipient(const StoredEnvelope& record, const PartyId& recipient) {
  return record.position.size() >= 32 && equal(BytesView(record.position).subspan(16, 16), recipient);
}

}  // namespace

// ---- announcing ---------------------------------------------------------------------------------------------

void Broker::State::touch_mailbox(const PartyId& recipient, Lane lane) {
  auto box = mailboxes.find(recipient);
  if (box == mailboxes.end()) return;
  box->second.lanes[static_cast<size_t>(lane)].more = true;
  dirty_mailboxes.insert(recipient);
}

Result<void> Broker::State::fill_mailbox(Step& step, const PartyId& recipient, Mailbox& box) {
  std::array<std::vector<proto::AnnouncedItem>, lane_count> found;
  for (size_t lane = 0; lane < lane_count; ++lane) {
    Mailbox::LaneWindow& window = box.lanes[lane];
    if (!window.more || window.outstanding >= config.quotas.window) continue;
    const size_t room = config.quotas.window - window.outstanding;
    const Bytes from = table::queue_key(recipient, static_cast<Lane>(lane), window.announced + 1);
    const Bytes until = table::queue_key(recipient, static_cast<Lane>(lane), UINT64_MAX);
    TRAM_TRY(rows, step.txn.scan(table::queue, from, until, room));
    window.more = rows.size() == room;
    for (const Row& row : rows) {
      Reader reader(row.value);
      const EnvelopeId env_id{reader.array<32>()};
      proto::AnnouncedItem item;
      item.queue_head = Hash{reader.array<32>()};
      item.position = read_queue_key(row.key).position;
      TRAM_TRY(record, stored(step.txn, env_id));
      if (!record || record->state != EnvelopeState::stored) return fail(ErrorCode::store_corrupt, "queue");
      item.envelope = std::move(record->envelope);
      window.announced = item.position;
      ++window.outstanding;
      found[lane].push_back(std::move(item));
    }
  }
  const Asker to{box.session, recipient, 0};
  std::array<size_t, lane_count> next{};
  proto::Announce frame;
  bool left = true;
  while (left) {
    left = false;
    for (size_t lane = 0; lane < lane_count; ++lane) {
      for (uint32_t i = 0; i < limits::lane_weight[lane] && next[lane] < found[lane].size(); ++i) {
        frame.items.push_back(std::move(found[lane][next[lane]++]));
        left = true;
        if (frame.items.size() >= announce_items_per_frame_max) {
          send(step, to, std::move(frame));
          frame = {};
        }
      }
    }
  }
  if (!frame.items.empty()) send(step, to, std::move(frame));
  return deliver_mail(step, recipient, box);
}

// ---- envelopes and inline bodies ----------------------------------------------------------------------------

Result<void> Broker::State::on_fetch(Step& step, const Asker& asker, const proto::Fetch& fetch) {
  for (const auto& env_id : fetch.env_ids) {
    proto::Content no;
    no.env_id = env_id;
    TRAM_TRY(record, stored(step.txn, env_id));
    if (!record || !for_recipient(*record, asker.peer)) {
      no.refusal = number(ErrorCode::not_found);
    } else if (record->state == EnvelopeState::gone) {
      no.refusal = number(ErrorCode::already_gone);
    } else if (contents.pending(asker.session) >= limits::fetches_per_session_max) {
      no.refusal = number(ErrorCode::busy);
    }
    if (no.refusal != 0) {
      send(step, asker, std::move(no));
      continue;
    }
    contents.push(read_queue_key(record->queue).lane, asker.session, ContentItem{asker, env_id});
  }
  return {};
}

Result<void> Broker::State::serve_contents(Step& step) {
  std::map<SessionKey, size_t> served_to;
  auto ready = [&](const SessionKey& session_key) {
    auto it = live.find(session_key);
    if (it == live.end() || it->second.busy) return false;
    auto count = served_to.find(session_key);
    return count == served_to.end() || count->second < contents_per_session_max;
  };
  for (size_t served = 0; served < contents_per_step_max; ++served) {
    auto item = contents.pop(ready);
    if (!item) return {};
    ++served_to[item->asker.session];
    TRAM_TRY(answer, content(step, *item));
    send(step, item->asker, std::move(answer));
  }
  return {};
}

Result<proto::Content> Broker::State::content(Step& step, const ContentItem& item) {
  proto::Content answer;
  answer.env_id = item.env_id;
  TRAM_TRY(record, stored(step.txn, item.env_id));
  if (!record || record->state == EnvelopeState::gone) {
    answer.refusal = number(ErrorCode::already_gone);
    return answer;
  }
  const Bytes key = table::body_key(sender_in(*record), doc_in(*record));
  TRAM_TRY(of, body(step.txn, key));
  if (!of) {
    log.error("body.was_missing", {{"env_id", item.env_id}});
    answer.refusal = number(ErrorCode::not_found);
    return answer;
  }
  answer.header = std::move(of->header);
  TRAM_TRY(pin, step.txn.get(table::pin, table::pin_key(sender_in(*record), doc_in(*record), record->pin)));
  if (!pin) return fail(ErrorCode::store_corrupt, "pin");
  answer.officer_blob = to_bytes(table::blob_of_pin(*pin));
  if (of->inline_body) {
    answer.manifest = std::move(of->manifest);
    answer.inline_chunk = std::move(of->inline_chunk);
    if (answer.inline_chunk.empty()) {
      TRAM_TRY(chunk, step.txn.get(table::body_inline, key));
      if (!chunk) return fail(ErrorCode::store_corrupt, "body_inline");
      answer.inline_chunk = std::move(*chunk);
    }
    if (record->handed.ms == 0) {
      if (handed.empty()) handed_since = step.now;
      handed.push_back({item.env_id, item.asker.peer});
    }
  }
  ++counters.contents;
  return answer;
}

/// The mark promises nothing to anyone, so the body does not wait for its commit (decision 38). Lost with the process, it
/// lets a cancel through that comes after the body: as at the brokers that were not asked for it.
Result<void> Broker::State::mark_waiting(Step& step, std::span<const Event> events) {
  if (handed.empty()) return {};
  const bool commits = std::any_of(events.begin(), events.end(), [](const Event& event) {
    return std::holds_alternative<JobDone>(event) || std::holds_alternative<Tick>(event);
  });
  const bool due = step.now < handed_since || step.now >= handed_since + handed_wait || handed.size() >= handed_waiting_max;
  if (!commits && !due) return {};
  started.handed = std::exchange(handed, {});
  for (const auto& one : started.handed) {
    TRAM_TRY(record, stored(step.txn, one.env_id));
    if (record && record->state != EnvelopeState::gone) TRAM_OK(mark_handed(step, one.env_id, *record, one.recipient));
  }
  return {};
}

Result<void> Broker::State::mark_handed(Step& step, const EnvelopeId& env_id, StoredEnvelope& record,
                                        const PartyId& recipient) {
  if (record.handed.ms != 0) return {};
  record.handed = step.now;
  TRAM_OK(append(step, audit::LeafKind::handed, {env_id, recipient}));
  return keep(step, env_id, record);
}

// ---- bodies that are files ----------------------------------------------------------------------------------

/// The sender of a body that an envelope of this recipient needs, and the most urgent lane of those envelopes.
Result<std::optional<PartyId>> Broker::State::sender_of(Step& step, const PartyId& recipient, const DocId& doc_id,
                                                        Lane* lane) {
  const Bytes prefix = table::access_prefix(recipient, doc_id);
  TRAM_TRY(rows, step.txn.scan(table::access, prefix, prefix_end(prefix), 4));
  std::optional<PartyId> sender;
  Lane best = Lane::bulk;
  for (const Row& row : rows) {
    sender = PartyId::from(row.value);
    if (lane == nullptr) break;
    const EnvelopeId env_id = *EnvelopeId::from(BytesView(row.key).last(EnvelopeId::size));
    TRAM_TRY(record, stored(step.txn, env_id));
    if (record) best = std::min(best, read_queue_key(record->queue).lane);
  }
  if (lane != nullptr) *lane = best;
  return sender;
}

Result<void> Broker::State::on_manifest_get(Step& step, const Asker& asker, const proto::ManifestGet& get) {
  proto::ManifestData answer;
  answer.doc_id = get.doc_id;
  TRAM_TRY(sender, sender_of(step, asker.peer, get.doc_id, nullptr));
  if (sender) {
    TRAM_TRY(record, body(step.txn, table::body_key(*sender, get.doc_id)));
    if (record && record->manifest.empty()) {
      const uint32_t bytes = 16 + record->chunks * static_cast<uint32_t>(ChunkId::size);
      step.out.jobs.push_back(ReadManifestJob{asker, get.doc_id, bytes});
      return {};
    }
    if (record) answer.manifest = std::move(record->manifest);
  }
  if (answer.manifest.empty()) answer.refusal = number(ErrorCode::not_found);
  send(step, asker, std::move(answer));
  return {};
}

Result<void> Broker::State::on_chunk_get(Step& step, const Asker& asker, const proto::ChunkGet& get) {
  auto no = [&](ErrorCode code) {
    send(step, asker, proto::ChunkData{get.doc_id, get.first, number(code)});
    return Result<void>{};
  };
  if (get.count == 0 || get.count > limits::chunk_credit) return no(ErrorCode::bad_request);
  Lane lane = Lane::bulk;
  TRAM_TRY(sender, sender_of(step, asker.peer, get.doc_id, &lane));
  if (!sender) return no(ErrorCode::not_found);
  TRAM_TRY(record, body(step.txn, table::body_key(*sender, get.doc_id)));
  if (!record || record->inline_body) return no(ErrorCode::not_found);
  if (uint64_t{get.first} + get.count > record->chunks) return no(ErrorCode::bad_request);
  const Bytes key = table::body_key(*sender, get.doc_id);
  if (!damaged.empty() && damaged.contains(key)) {
    TRAM_TRY(row, step.txn.get(table::lease, key));
    LeaseRecord lease;
    if (row) TRAM_OK(proto::decode_record(*row, lease));
    for (uint32_t i = get.first; i < get.first + get.count; ++i)
      if (i / 8 >= lease.have.size() || (lease.have[i / 8] >> (i % 8) & 1) == 0) return no(ErrorCode::not_found);
  }
  if (chunk_reads.pending(asker.session) + get.count > limits::chunk_requests_per_session_max * limits::chunk_credit) {
    refuse(step, asker, ErrorCode::busy, busy_retry);
    return {};
  }
  for (uint32_t index = get.first; index < get.first + get.count; ++index) {
    const bool last = index + 1 == record->chunks;
    const uint64_t bytes =
        last ? record->bytes - uint64_t{index} * limits::sealed_chunk_bytes : limits::sealed_chunk_bytes;
    chunk_reads.push(lane, asker.session, ChunkItem{asker, get.doc_id, index, static_cast<uint32_t>(bytes)});
  }
  return {};
}

/// Chunks in and out share a few workers, so that a signature check never waits long behind them.
void Broker::State::start_bulk_jobs(Step& step) {
  auto ready = [&](const SessionKey& session_key) {
    auto it = live.find(session_key);
    return it != live.end() && !it->second.busy && it->second.reads < limits::chunk_credit;
  };
  while (bulk_jobs < bulk_jobs_max) {
    reads_turn = !reads_turn;
    if (reads_turn || writes.empty()) {
      if (auto item = chunk_reads.pop(ready)) {
        ++live.at(item->asker.session).reads;
        started.reads.push_back(item->asker.session);
        step.out.jobs.push_back(ReadChunkJob{item->asker, item->doc_id, item->index, item->bytes});
        ++bulk_jobs;
        ++started.bulk;
        continue;
      }
    }
    if (writes.empty()) return;
    started.write_bytes += writes.front().sealed.size();
    step.out.jobs.push_back(std::move(writes.front()));
    writes.pop_front();
    ++bulk_jobs;
    ++started.bulk;
  }
}

Result<void> Broker::State::on_chunk_read(Step& step, ReadChunkDone& done) {
  bulk_jobs -= std::min<size_t>(bulk_jobs, 1);
  if (!done.chunk && done.chunk.error().code == ErrorCode::io_failed) return fail(done.chunk.error());
  auto it = live.find(done.asker.session);
  if (it == live.end()) return {};
  if (it->second.reads > 0) --it->second.reads;
  proto::ChunkData answer{done.doc_id, done.index, 0};
  if (!done.chunk) {
    // The rows go before the file does, so this is a body that was freed meanwhile, or a lost file.
    TRAM_TRY(sender, sender_of(step, done.asker.peer, done.doc_id, nullptr));
    if (sender) {
      log.error("chunk.was_missing", {{"doc_id", done.doc_id}, {"index", done.index}});
      suspect(table::body_key(*sender, done.doc_id));
    }
    answer.refusal = number(ErrorCode::not_found);
    send(step, done.asker, std::move(answer));
    return {};
  }
  ++counters.chunks_out;
  TRAM_TRY(sender, sender_of(step, done.asker.peer, done.doc_id, nullptr));
  if (!sender) {
    answer.refusal = number(ErrorCode::already_gone);
    send(step, done.asker, std::move(answer));
    return {};
  }
  TRAM_TRY(record, body(step.txn, table::body_key(*sender, done.doc_id)));
  if (record && done.index + 1 == record->chunks) {
    const Bytes prefix = table::access_prefix(done.asker.peer, done.doc_id);
    TRAM_TRY(rows, step.txn.scan(table::access, prefix, prefix_end(prefix), 16));
    for (const Row& row : rows) {
      const EnvelopeId env_id = *EnvelopeId::from(BytesView(row.key).last(EnvelopeId::size));
      TRAM_TRY(envelope, stored(step.txn, env_id));
      if (envelope) TRAM_OK(mark_handed(step, env_id, *envelope, done.asker.peer));
    }
  }
  send(step, done.asker, std::move(answer), std::move(*done.chunk));
  return {};
}

// ---- statements ---------------------------------------------------------------------------------------------

Result<void> Broker::State::on_ack_put(Step& step, FrameReceived& event, proto::AckPut& put) {
  const Asker asker{event.session, event.peer, event.frame.request};
  TRAM_TRY(recipient, info(step, event.peer));
  if (!recipient.has_keys || put.items.empty()) {
    refuse(step, asker, put.items.empty() ? ErrorCode::bad_request : ErrorCode::no_node);
    return {};
  }
  if (acks_in_flight + put.items.size() > puts_in_flight_max) {
    refuse(step, asker, ErrorCode::busy, busy_retry);
    return {};
  }
  acks_in_flight += put.items.size();
  started.acks += put.items.size();
  step.acks.items.push_back({asker, std::move(put), {recipient.sig}, false});
  return {};
}

Result<void> Broker::State::on_acks_verified(Step& step, VerifyAckDone& done) {
  const uint16_t bad_signature = number(ErrorCode::bad_signature);
  for (const auto& item : done.items) acks_in_flight -= std::min(acks_in_flight, item.asked.put.items.size());
  for (auto& item : done.items) {
    const Asker asker = item.asked.asker;
    if (!item.asked.again) {
      // A statement is kept and repeated for years: it may have been signed with an earlier key.
      std::vector<std::pair<uint64_t, Time>> views;
      for (const auto& part : item.parts) {
        if (part.refusal != bad_signature || views.size() >= 8) continue;
        if (part.ack) views.emplace_back(directory.size(), part.ack->time);
        if (part.notice) views.emplace_back(directory.size(), part.notice->time);
      }
      TRAM_TRY(keys, other_keys(step, asker.peer, item.asked.keys, views));
      if (!keys.empty()) {
        item.asked.again = true;
        item.asked.keys.insert(item.asked.keys.end(), keys.begin(), keys.end());
        acks_in_flight += item.asked.put.items.size();
        started.acks += item.asked.put.items.size();
        step.acks.items.push_back(std::move(item.asked));
        continue;
      }
    }
    proto::AckReply reply;
    uint16_t refusal = 0;
    for (size_t i = 0; i < item.parts.size(); ++i) {
      const auto& part = item.parts[i];
      if (part.refusal != 0) {
        ++counters.hostile;
        refusal = part.refusal;
        continue;
      }
      TRAM_TRY(settled, settle(step, asker, part, item.asked.put.items[i]));
      if (settled == 0) {
        reply.stored.push_back(part.ack ? part.ack->env_id : part.notice->env_id);
      } else {
        refusal = settled;
      }
    }
    if (reply.stored.empty() && refusal != 0) {
      refuse(step, asker, static_cast<ErrorCode>(refusal), busy_retry);
    } else {
      send(step, asker, std::move(reply));
    }
  }
  return {};
}

Result<uint16_t> Broker::State::settle(Step& step, const Asker& asker, const VerifyAckDone::Part& part,
                                       const proto::AckItem& item) {
  const EnvelopeId env_id = part.ack ? part.ack->env_id : part.notice->env_id;
  const DocId doc_id = part.ack ? part.ack->doc_id : part.notice->doc_id;
  const PartyId sender = part.ack ? part.ack->sender : part.notice->other;
  const RealmId realm = part.ack ? part.ack->realm : part.notice->realm;
  const Lane lane = part.ack ? part.ack->lane : part.notice->lane;
  const uint32_t inc = part.ack ? part.ack->inc : part.notice->inc;
  const uint64_t seq = part.ack ? part.ack->seq : part.notice->seq;
  const Hash statement_id = part.ack ? part.ack->id : part.notice->id;
  if (realm != config.realm) return number(ErrorCode::wrong_realm);
  // An envelope that is unknown here (held by other brokers, or forgotten) needs nothing, but its cell is delivered.
  TRAM_TRY(record, stored(step.txn, env_id));
  if (record && record->position != table::position_key(sender, asker.peer, lane, inc, seq)) {
    ++counters.hostile;
    return number(ErrorCode::bad_request);
  }
  if (record && record->state != EnvelopeState::gone && doc_in(*record) != doc_id) {
    ++counters.hostile;
    return number(ErrorCode::bad_request);
  }
  if (!item.cell.empty()) {
    TRAM_TRY(refusal, store_mail(step, asker.peer, sender, item.cell, mail_id(item.cell)));
    if (refusal != 0) return refusal;
  }
  if (part.notice) {
    TRAM_TRY(refusal, store_mail(step, asker.peer, sender, item.statement, mail_id(item.statement)));
    if (refusal != 0) return refusal;
  }
  if (!record || record->state != EnvelopeState::stored) return uint16_t{0};
  TRAM_OK(append(step, part.ack ? audit::LeafKind::ack_stored : audit::LeafKind::nack_stored, {env_id, statement_id}));
  TRAM_OK(leave_queue(step, *record));
  record->statement = item.statement;
  record->statement_hash = statement_id;
  ++counters.acks;
  // R6: what is small or urgent stays until not_after + G, so that a recipient restored from a backup finds it again; a
  // refused envelope keeps its body, because the sender wraps it anew (R30).
  bool retained = part.notice || lane <= Lane::urgent;
  if (!retained) {
    TRAM_TRY(bytes, bytes_of_body(step, sender, doc_id));
    retained = bytes && *bytes <= limits::broker_retained_body_bytes_max;
  }
  if (retained) {
    record->state = EnvelopeState::acked;
    TRAM_OK(keep(step, env_id, *record));
    return uint16_t{0};
  }
  TRAM_OK(retire(step, env_id, *record, GoneReason::acked));
  return uint16_t{0};
}

Result<const PartyRecord*> Broker::State::enqueue(Step& step, const EnvelopeId& env_id, const PartyId& sender,
                                                  const PartyId& recipient, Lane lane, StoredEnvelope& record) {
  TRAM_TRY(from, party(step, sender));
  ++from->unacked;
  TRAM_TRY(into, party(step, recipient));
  ++into->position;
  into->queue_head = crypto::next_queue_head(into->queue_head, into->position, env_id);
  record.queue = table::queue_key(recipient, lane, into->position);
  Bytes queued;
  Writer(queued).raw(env_id).raw(into->queue_head);
  TRAM_OK(step.txn.put(table::queue, record.queue, queued));
  touch_mailbox(recipient, lane);
  return into;
}

Result<void> Broker::State::leave_queue(Step& step, const StoredEnvelope& record) {
  TRAM_OK(step.txn.erase(table::queue, record.queue));
  TRAM_TRY(from, party(step, sender_in(record)));
  if (from->unacked > 0) --from->unacked;
  const PartyId recipient = recipient_in(record);
  auto box = mailboxes.find(recipient);
  if (box == mailboxes.end()) return {};
  const QueueRow row = read_queue_key(record.queue);
  Mailbox::LaneWindow& window = box->second.lanes[static_cast<size_t>(row.lane)];
  if (row.position <= window.announced && window.outstanding > 0) {
    --window.outstanding;
    dirty_mailboxes.insert(recipient);
  }
  return {};
}

Result<void> Broker::State::retire(Step& step, const EnvelopeId& env_id, StoredEnvelope& record, GoneReason reason) {
  const PartyId sender = sender_in(record);
  const DocId doc_id = doc_in(record);
  TRAM_OK(step.txn.erase(table::pin, table::pin_key(sender, doc_id, record.pin)));
  TRAM_OK(step.txn.erase(table::access, table::access_key(recipient_in(record), doc_id, env_id)));
  StoredEnvelope tombstone;
  tombstone.state = EnvelopeState::gone;
  tombstone.position = record.position;
  tombstone.not_after = record.not_after;
  tombstone.statement_hash = record.statement_hash;
  tombstone.reason = reason;
  TRAM_OK(keep(step, env_id, tombstone));
  return body_unpinned(step, sender, doc_id);
}

}  // namespace tram::broker
