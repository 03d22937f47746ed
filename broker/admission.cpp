// Admission: custody requests, uploads of large bodies, reconciliation (R3, R4, R13, R38, R41, R42).
#include <algorithm>

#include "broker/state.h"

namespace tram::broker {
namespace {

constexpr Duration quota_retry = seconds(30);
constexpr Duration directory_retry = seconds(30);  // about as often as the directory is asked for

EnvelopeId envelope_id(BytesView envelope) {
  return crypto::hash_as<EnvelopeId>(crypto::envelope_label,
                                     {envelope.first(limits::envelope_bytes - Signature::size)});
}
/// Fields that a step may read before the signature is checked: they only choose keys and limits.
uint8_t peek_lane(BytesView envelope) { return envelope[7]; }

bool bit(const Bytes& bits, uint32_t index) { return (bits[index / 8] >> (index % 8) & 1) != 0; }

proto::PutResult refused(const EnvelopeId& env_id, ErrorCode code, Duration retry_after = {}, uint64_t entry = 0) {
  proto::PutResult result;
  result.env_id = env_id;
  result.refusal = number(code);
  result.retry_after_ms = static_cast<uint64_t>(retry_after.ms);
  result.entry = entry;
  return result;
}

size_t sealed_size(const Upload& upload, uint32_t index) {
  if (index + 1 < upload.chunks) return limits::sealed_chunk_bytes;
  return static_cast<size_t>(upload.bytes - uint64_t{upload.chunks - 1} * limits::sealed_chunk_bytes);
}

/// The epoch inside the unsigned bytes of a custody receipt.
bool custody_of_epoch(BytesView custody, const Epoch& epoch) {
  constexpr size_t offset = 4 + 2 + RealmId::size + PartyId::size;
  return custody.size() >= offset + Epoch::size && equal(custody.subspan(offset, Epoch::size), epoch);
}

}  // namespace

bool Broker::State::take_tokens(const PartyId& id, Time now, uint64_t count) {
  const uint64_t rate = config.quotas.puts_per_second_max;
  auto [it, fresh] = buckets.try_emplace(id);
  Bucket& bucket = it->second;
  const uint64_t full = rate * 1000;
  if (fresh) {
    bucket.tokens_milli = full;
  } else if (now > bucket.filled) {
    const uint64_t elapsed = static_cast<uint64_t>(std::min<int64_t>((now - bucket.filled).ms, 1000));
    bucket.tokens_milli = std::min(full, bucket.tokens_milli + elapsed * rate);
  }
  bucket.filled = now;
  if (bucket.tokens_milli < count * 1000) return false;
  bucket.tokens_milli -= count * 1000;
  return true;
}

ErrorCode Broker::State::disk_refusal(Lane lane) const {
  const bool full = disk_percent >= limits::disk_acks_only_percent ||
                    (disk_percent >= limits::disk_refuse_all_but_control_percent && lane != Lane::control) ||
                    (disk_percent >= limits::disk_refuse_bulk_percent && lane == Lane::bulk);
  return full ? ErrorCode::storage_full : ErrorCode{};
}

Result<std::optional<DocInfo>> Broker::State::doc_info(Step& step, const PartyId& sender, const DocId& doc_id) {
  const Bytes key = table::body_key(sender, doc_id);
  if (auto it = docs.find(key); it != docs.end()) return std::optional<DocInfo>(it->second);
  TRAM_TRY(record, body(step.txn, key));
  if (!record || record->epoch != self.epoch) return std::optional<DocInfo>{};
  if (!record->inline_body) {
    TRAM_TRY(row, step.txn.get(table::lease, key));
    LeaseRecord lease;
    if (row) TRAM_OK(proto::decode_record(*row, lease));
    if (lease.present != record->chunks) return std::optional<DocInfo>{};
  }
  TRAM_TRY(pins, step.txn.scan(table::pin, table::pins_from(key), prefix_end(key), 1));
  const DocInfo info{record->inline_body, record->chunks, record->bytes, !pins.empty()};
  docs[key] = info;
  return std::optional<DocInfo>(info);
}

// ---- custody ------------------------------------------------------------------------------------------------

Result<void> Broker::State::on_put(Step& step, FrameReceived& event, proto::Put& put) {
  const Asker asker{event.session, event.peer, event.frame.request};
  counters.puts += put.items.size();
  TRAM_TRY(sender, info(step, event.peer));
  auto no = [&](ErrorCode code, Duration retry_after = {}) {
    refuse(step, asker, code, retry_after);
    return Result<void>{};
  };
  if (sender.status == proto::AgencyStatus::suspended) return no(ErrorCode::suspended_agency, minutes(10));
  if (!sender.has_keys) return no(ErrorCode::no_node);
  if (put.items.empty()) return no(ErrorCode::bad_request);
  for (const auto& item : put.items) {
    if (item.envelope.size() != limits::envelope_bytes) return no(ErrorCode::bad_format);
    const uint8_t lane = std::min<uint8_t>(peek_lane(item.envelope), lane_count - 1);
    if (disk_refusal(static_cast<Lane>(lane)) == ErrorCode::storage_full)
      return no(ErrorCode::storage_full, storage_retry);
  }
  if (!take_tokens(event.peer, step.now, put.items.size())) return no(ErrorCode::quota, seconds(1));
  if (puts_in_flight + put.items.size() > puts_in_flight_max) return no(ErrorCode::busy, busy_retry);
  TRAM_TRY(counts, party(step, event.peer));
  TRAM_TRY(known, doc_info(step, event.peer, put.doc_id));
  const bool room = counts->unacked + put.items.size() <= config.quotas.unacked_max;
  if (!room || (!known && put.inline_chunk.empty())) {
    // Nothing can be stored, but a repeat still gets its answer.
    proto::PutReply reply;
    for (const auto& item : put.items) {
      const EnvelopeId env_id = envelope_id(item.envelope);
      TRAM_TRY(record, stored(step.txn, env_id));
      if (record && record->state == EnvelopeState::gone) {
        reply.results.push_back(refused(env_id, ErrorCode::already_gone));
      } else if (record && sender_in(*record) == event.peer && known) {
        TRAM_TRY(result, repeat_custody(step, env_id, *record, known));
        reply.results.push_back(std::move(result));
      } else if (!room) {
        reply.results.push_back(refused(env_id, ErrorCode::quota, quota_retry));
      } else {
        reply.results.push_back(refused(env_id, ErrorCode::missing_chunks));
      }
    }
    step.to_sign.push_back({asker.session, asker.request, std::move(reply)});
    return {};
  }
  VerifyPutJob::Item item;
  item.asker = asker;
  item.keys = {sender.sig};
  item.body_known = known.has_value();
  item.put = std::move(put);
  if (item.body_known) {
    item.put.header.clear();
    item.put.manifest.clear();
    item.put.inline_chunk.clear();
  }
  puts_in_flight += item.put.items.size();
  started.puts += item.put.items.size();
  step.puts.items.push_back(std::move(item));
  return {};
}

Result<void> Broker::State::on_verified(Step& step, VerifyPutDone& done) {
  for (const auto& item : done.items) puts_in_flight -= std::min(puts_in_flight, item.asked.put.items.size());
  for (auto& item : done.items) TRAM_OK(admit_put(step, item));
  return {};
}

Result<void> Broker::State::admit_put(Step& step, VerifyPutDone::Item& item) {
  if (!may_promise()) {
    refuse(step, item.asked.asker, ErrorCode::busy, standing_wait);
    return {};
  }
  const uint16_t bad_signature = number(ErrorCode::bad_signature);
  const bool suspicious =
      item.refusal == bad_signature || std::any_of(item.parts.begin(), item.parts.end(),
                                                   [&](const auto& part) { return part.refusal == bad_signature; });
  if (suspicious && !item.asked.again) {
    // Signed before a rotation of the sender's key: the views and times it names decide which keys count.
    std::vector<std::pair<uint64_t, Time>> views;
    for (const auto& part : item.parts) {
      if (part.refusal == bad_signature) views.emplace_back(part.envelope.dir_size, part.envelope.created);
    }
    if (item.parts.empty()) {
      for (const auto& one : item.asked.put.items) {
        if (auto envelope = crypto::decode_envelope(one.envelope))
          views.emplace_back(envelope->dir_size, envelope->created);
      }
    }
    if (views.size() > 8) views.resize(8);
    TRAM_TRY(keys, other_keys(step, item.asked.asker.peer, item.asked.keys, views));
    if (item.refusal == bad_signature) {
      TRAM_TRY(every, directory.sig_keys(step.txn, item.asked.asker.peer));
      item.asked.header_keys = std::move(every);
    }
    if (!keys.empty() || item.asked.header_keys.size() > 1) {
      item.asked.again = true;
      for (const auto& one : keys) item.asked.keys.push_back(one);
      puts_in_flight += item.asked.put.items.size();
      started.puts += item.asked.put.items.size();
      step.puts.items.push_back(std::move(item.asked));
      return {};
    }
  }
  if (item.refusal != 0) {
    ++counters.hostile;
    refuse(step, item.asked.asker, static_cast<ErrorCode>(item.refusal));
    return {};
  }
  TRAM_TRY(doc, doc_info(step, item.asked.asker.peer, item.asked.put.doc_id));
  proto::PutReply reply;
  reply.results.reserve(item.parts.size());
  for (size_t i = 0; i < item.parts.size(); ++i) {
    TRAM_TRY(result, admit_envelope(step, item, i, doc));
    if (result.refusal != 0) ++counters.refusals;
    reply.results.push_back(std::move(result));
  }
  step.to_sign.push_back({item.asked.asker.session, item.asked.asker.request, std::move(reply)});
  return {};
}

Result<bool> Broker::State::sane_view(Step& step, uint64_t dir_size, const Hash& dir_root) {
  // A view ahead of ours cannot be judged here; the recipient judges it (R27).
  if (dir_size > directory.size()) return true;
  if (dir_size == 0) return false;
  auto it = roots.find(dir_size);
  if (it == roots.end()) {
    TRAM_TRY(root, directory.root_at(step.txn, dir_size));
    if (!root) return false;
    if (roots.size() >= 64) roots.clear();
    it = roots.emplace(dir_size, *root).first;
  }
  return it->second == dir_root;
}

Result<proto::PutResult> Broker::State::repeat_custody(Step& step, const EnvelopeId& env_id, StoredEnvelope& record,
                                                       const std::optional<DocInfo>& doc) {
  proto::PutResult result;
  result.env_id = env_id;
  ++counters.repeats;
  if (!custody_of_epoch(record.custody, self.epoch)) {
    // A custody of an earlier epoch is void (R7); the envelope is still here, so it is given anew under this one.
    if (!doc) return refused(env_id, ErrorCode::missing_chunks);
    Bytes padded = record.custody;
    padded.resize(padded.size() + Signature::size);
    auto custody = crypto::decode_custody(padded);
    if (!custody) return fail(ErrorCode::store_corrupt, "custody");
    custody->epoch = self.epoch;
    custody->time = step.now;
    custody->clock_ok = clock_ok;
    custody->log_size = audit_log.size() + 1;
    record.custody = crypto::unsigned_custody(*custody);
    TRAM_OK(append(step, audit::LeafKind::custody_given, {record.custody}));
    TRAM_OK(keep(step, env_id, record));
  }
  result.custody = record.custody;
  return result;
}

Result<proto::PutResult> Broker::State::admit_envelope(Step& step, VerifyPutDone::Item& item, size_t index,
                                                       std::optional<DocInfo>& doc) {
  const VerifyPutDone::Part& part = item.parts[index];
  const crypto::Envelope& envelope = part.envelope;
  const Bytes& bytes = item.asked.put.items[index].envelope;
  if (part.refusal != 0) {
    ++counters.hostile;
    return refused(envelope_id(bytes), static_cast<ErrorCode>(part.refusal));
  }
  const PartyId& sender = envelope.sender;
  TRAM_TRY(record, stored(step.txn, envelope.id));
  if (record && record->state == EnvelopeState::gone) return refused(envelope.id, ErrorCode::already_gone);
  if (record) {
    if (!doc && item.body_verified) {
      // The body of an earlier epoch, verified again.
      TRAM_OK(store_inline_body(step, item));
      doc = DocInfo{true, 1, item.body_bytes, true};
    }
    return repeat_custody(step, envelope.id, *record, doc);
  }

  // Form and time (R19, R36).
  if (envelope.realm != config.realm) return refused(envelope.id, ErrorCode::wrong_realm);
  if (item.body_verified && item.header.realm != config.realm) return refused(envelope.id, ErrorCode::wrong_realm);
  if (envelope.seq == 0 || envelope.inc == 0 || envelope.created.ms < 0) {
    return refused(envelope.id, ErrorCode::bad_request);
  }
  if (envelope.not_after <= step.now) return refused(envelope.id, ErrorCode::expired);
  if (envelope.created > step.now + limits::clock_tolerance) {
    return refused(envelope.id, ErrorCode::clock_wrong, minutes(1));
  }
  const Duration lifetime{static_cast<int64_t>(directory.policy(step.now).time_to_live_ms)};
  if (envelope.not_after <= envelope.created || envelope.not_after - envelope.created > lifetime) {
    return refused(envelope.id, ErrorCode::bad_request);
  }
  TRAM_TRY(sane, sane_view(step, envelope.dir_size, envelope.dir_root));
  if (!sane) return refused(envelope.id, ErrorCode::rollback);

  // Parties (R13, R31).
  TRAM_TRY(author, info(step, sender));
  if (!author.may_send(envelope.created)) return refused(envelope.id, ErrorCode::closed_agency, {}, author.entry);
  TRAM_TRY(to, info(step, envelope.recipient));
  if (to.kind != PeerKind::agency) return refused(envelope.id, ErrorCode::unknown_agency);
  if (to.status == proto::AgencyStatus::closed) return refused(envelope.id, ErrorCode::closed_agency, {}, to.entry);
  if (!to.has_keys) return refused(envelope.id, ErrorCode::no_node, directory_retry, to.entry);
  TRAM_TRY(from, party(step, sender));
  if (envelope.inc < std::max(from->inc, from->rinc)) return refused(envelope.id, ErrorCode::fenced);
  const Bytes position = table::position_key(sender, envelope.recipient, envelope.lane, envelope.inc, envelope.seq);
  TRAM_TRY(holder, step.txn.get(table::position, position));
  if (holder) {
    if (equal(*holder, envelope.id)) return refused(envelope.id, ErrorCode::already_gone);
    const Bytes conflict = table::conflict_key(position, envelope.id);
    TRAM_TRY(noted, step.txn.get(table::conflict, conflict));
    if (!noted && from->conflicts < conflicts_kept_max) {
      ++from->conflicts;
      TRAM_OK(step.txn.put(table::conflict, conflict, bytes));
      TRAM_OK(append(step, audit::LeafKind::custody_refused, {position, *holder, envelope.id}));
      log.warning("equivocation.was_refused", {{"sender", sender}, {"env_id", envelope.id}});
    }
    return refused(envelope.id, ErrorCode::equivocation);
  }

  // Body (R3): whole and verified in this epoch, before this transaction or by the job whose result is stored now.
  if (!doc && !item.body_verified) return refused(envelope.id, ErrorCode::missing_chunks);
  if (from->unacked + 1 > config.quotas.unacked_max) return refused(envelope.id, ErrorCode::quota, quota_retry);
  const uint64_t body_bytes = doc ? doc->bytes : item.body_bytes;
  if ((!doc || !doc->pinned) && from->pinned_bytes + body_bytes > config.quotas.pinned_bytes_max) {
    return refused(envelope.id, ErrorCode::quota, quota_retry);
  }
  const Bytes key = table::body_key(sender, envelope.doc_id);
  if (!doc) {
    TRAM_OK(store_inline_body(step, item));
    doc = DocInfo{true, 1, item.body_bytes, false};
  } else if (!doc->pinned && !doc->inline_body) {
    from->unpinned_bytes -= std::min(from->unpinned_bytes, doc->bytes);
  }
  if (!doc->pinned) {
    from->pinned_bytes += doc->bytes;
    doc->pinned = true;
  }
  docs[key] = *doc;

  // Queue, custody, log: one transaction with all of the above.
  TRAM_OK(note_incarnation(step, *from, envelope.inc, bytes));
  StoredEnvelope row;
  TRAM_TRY(into, enqueue(step, envelope.id, sender, envelope.recipient, envelope.lane, row));
  crypto::Custody custody;
  custody.realm = config.realm;
  custody.broker = config.self;
  custody.epoch = self.epoch;
  custody.env_id = envelope.id;
  custody.doc_id = envelope.doc_id;
  custody.chunks = doc->chunks;
  custody.body_bytes = doc->bytes;
  custody.recipient = envelope.recipient;
  custody.position = into->position;
  custody.queue_head = into->queue_head;
  custody.time = step.now;
  custody.clock_ok = clock_ok;
  custody.log_size = audit_log.size() + 1;
  row.envelope = bytes;
  row.pin = self.next_pin++;
  self_dirty = true;
  row.custody = crypto::unsigned_custody(custody);
  row.position = position;
  row.not_after = envelope.not_after;
  constexpr uint8_t mark[] = {1};
  TRAM_OK(keep(step, envelope.id, row));
  TRAM_OK(step.txn.put(table::position, position, envelope.id));
  TRAM_OK(step.txn.put(table::pin, table::pin_key(sender, envelope.doc_id, row.pin),
                       table::pin_value(envelope.id, item.asked.put.items[index].officer_blob)));
  if (!doc->inline_body) {
    TRAM_OK(step.txn.put(table::access, table::access_key(envelope.recipient, envelope.doc_id, envelope.id), sender));
  }
  TRAM_OK(step.txn.put(
      table::timer, table::timer_key(envelope.not_after + limits::grace, table::TimerKind::envelope_end, envelope.id),
      mark));
  TRAM_OK(append(step, audit::LeafKind::custody_given, {row.custody}));
  ++counters.custodies;
  proto::PutResult result;
  result.env_id = envelope.id;
  result.custody = std::move(row.custody);
  return result;
}

Result<void> Broker::State::store_inline_body(Step& step, const VerifyPutDone::Item& item) {
  const Bytes key = table::body_key(item.header.sender, item.header.id);
  BodyRecord record;
  record.header = item.asked.put.header;
  record.manifest = item.asked.put.manifest;
  record.inline_body = true;
  record.chunks = 1;
  record.bytes = item.body_bytes;
  record.epoch = self.epoch;
  if (item.asked.put.inline_chunk.size() <= inline_in_body_row_bytes_max) {
    record.inline_chunk = item.asked.put.inline_chunk;
  } else {
    TRAM_OK(step.txn.put(table::body_inline, key, item.asked.put.inline_chunk));
  }
  return step.txn.put(table::body, key, proto::encode_record(record));
}

Result<void> Broker::State::on_reconcile(Step& step, const Asker& asker, const proto::Reconcile& ask) {
  proto::ReconcileReply reply;
  for (const auto& env_id : ask.env_ids) {
    TRAM_TRY(record, stored(step.txn, env_id));
    bool missing = !record;
    if (record && record->state != EnvelopeState::gone) {
      const bool own = sender_in(*record) == asker.peer;
      // A queued envelope whose custody is of an earlier epoch is put again, and gets a custody of this one.
      missing = !own || (record->state == EnvelopeState::stored && !custody_of_epoch(record->custody, self.epoch));
      // So is one whose body rotted here.
      missing = missing || (record->state == EnvelopeState::stored && !damaged.empty() && damaged.contains(table::body_key(sender_in(*record), doc_in(*record))));
    }
    if (missing) reply.missing.push_back(env_id);
  }
  send(step, asker, std::move(reply));
  return {};
}

// ---- bodies that are files ----------------------------------------------------------------------------------

Result<void> Broker::State::on_offer(Step& step, FrameReceived& event, proto::Offer& offer) {
  const Asker asker{event.session, event.peer, event.frame.request};
  auto no = [&](ErrorCode code, Duration retry_after = {}, std::string_view detail = {}) {
    refuse(step, asker, code, retry_after, detail);
    return Result<void>{};
  };
  TRAM_TRY(sender, info(step, event.peer));
  if (sender.status == proto::AgencyStatus::suspended) return no(ErrorCode::suspended_agency, minutes(10));
  if (!sender.has_keys) return no(ErrorCode::no_node);
  if (disk_percent >= limits::disk_refuse_all_but_control_percent) return no(ErrorCode::storage_full, storage_retry);
  auto header = crypto::decode_header(offer.header);
  if (!header) return no(header.error().code);
  if (header->sender != event.peer) return no(ErrorCode::forbidden);
  if (!sender.may_send(header->created)) return no(ErrorCode::closed_agency);
  if (header->realm != config.realm) return no(ErrorCode::wrong_realm);
  if (header->chunks == 0 || header->chunks > limits::chunks_per_body_max) return no(ErrorCode::too_large);
  if (header->padded_bytes > uint64_t{header->chunks} * limits::chunk_bytes) return no(ErrorCode::bad_format);
  if (header->padded_bytes <= limits::inline_body_bytes_max) return no(ErrorCode::bad_request, {}, "inline body");
  const Bytes key = table::body_key(event.peer, header->id);
  TRAM_TRY(record, body(step.txn, key));
  if (record && record->inline_body) return no(ErrorCode::bad_request, {}, "inline body");
  TRAM_TRY(row, step.txn.get(table::lease, key));
  if (record && row && record->epoch == self.epoch) {
    LeaseRecord lease;
    TRAM_OK(proto::decode_record(*row, lease));
    lease.until = step.now + limits::lease;
    TRAM_OK(step.txn.put(table::lease, key, proto::encode_record(lease)));
    if (auto it = uploads.find(key); it != uploads.end()) it->second.lease.until = lease.until;
    send(step, asker, proto::OfferReply{header->id, std::move(lease.have), limits::chunk_credit});
    return {};
  }
  if (offers_in_flight.contains(header->id) || removing.contains(body_name(header->id)) ||
      removing.contains(manifest_name(header->id))) {
    return no(ErrorCode::busy, busy_retry);
  }
  TRAM_TRY(counts, party(step, event.peer));
  if (!record && counts->unpinned_bytes + header->padded_bytes > config.quotas.unpinned_bytes_max) {
    return no(ErrorCode::quota, quota_retry);
  }
  if (!take_tokens(event.peer, step.now, 1)) return no(ErrorCode::quota, seconds(1));
  if (offers_in_flight.size() >= 256) return no(ErrorCode::busy, busy_retry);
  OfferJob job{asker, std::move(offer), header->id, {sender.sig}};
  TRAM_TRY(older, directory.sig_keys(step.txn, event.peer));
  job.keys.insert(job.keys.end(), older.begin(), older.end());
  offers_in_flight.insert(header->id);
  started.offers.push_back(header->id);
  step.out.jobs.push_back(std::move(job));
  return {};
}

void Broker::State::drop_offer(Step& step, const OfferDone& done) {
  remove_files(step, {body_name(done.asked.doc_id), manifest_name(done.asked.doc_id)});
}

Result<void> Broker::State::on_offered(Step& step, OfferDone& done) {
  const Asker& asker = done.asked.asker;
  offers_in_flight.erase(done.asked.doc_id);
  const Bytes key = table::body_key(asker.peer, done.asked.doc_id);
  TRAM_TRY(record, body(step.txn, key));
  if (!done.outcome) {
    if (done.outcome.error().code == ErrorCode::io_failed) return fail(done.outcome.error());
    if (!record) drop_offer(step, done);
    refuse(step, asker, done.outcome.error().code, storage_retry);
    return {};
  }
  TRAM_TRY(counts, party(step, asker.peer));
  if (!record) {
    if (counts->unpinned_bytes + done.body_bytes > config.quotas.unpinned_bytes_max) {
      drop_offer(step, done);
      refuse(step, asker, ErrorCode::quota, quota_retry);
      return {};
    }
    counts->unpinned_bytes += done.body_bytes;
  }
  // With a record, this is a body of an earlier epoch: its chunks count again only when they have been checked again.
  BodyRecord body_record;
  body_record.header = std::move(done.asked.offer.header);
  if (done.asked.offer.manifest.size() <= limits::broker_row_manifest_bytes_max)
    body_record.manifest = std::move(done.asked.offer.manifest);
  body_record.chunks = done.header.chunks;
  body_record.bytes = done.body_bytes;
  body_record.epoch = self.epoch;
  LeaseRecord lease;
  lease.until = step.now + limits::lease;
  lease.have.resize((body_record.chunks + 7) / 8);
  constexpr uint8_t mark[] = {1};
  TRAM_OK(step.txn.put(table::body, key, proto::encode_record(body_record)));
  TRAM_OK(step.txn.put(table::lease, key, proto::encode_record(lease)));
  TRAM_OK(step.txn.put(table::timer, table::timer_key(lease.until, table::TimerKind::lease_end, key), mark));
  uploads.erase(key);
  docs.erase(key);
  send(step, asker, proto::OfferReply{done.asked.doc_id, std::move(lease.have), limits::chunk_credit});
  return {};
}

Result<Upload*> Broker::State::upload(Step& step, const PartyId& sender, const DocId& doc_id) {
  const Bytes key = table::body_key(sender, doc_id);
  if (auto it = uploads.find(key); it != uploads.end()) {
    it->second.used = step.now;
    return &it->second;
  }
  TRAM_TRY(record, body(step.txn, key));
  if (!record || record->inline_body || record->epoch != self.epoch) return nullptr;
  TRAM_TRY(row, step.txn.get(table::lease, key));
  if (!row) return nullptr;
  if (uploads.size() >= 256) {
    std::erase_if(uploads, [](const auto& entry) { return entry.second.idle(); });
  }
  Upload fresh;
  TRAM_OK(proto::decode_record(*row, fresh.lease));
  fresh.chunks = record->chunks;
  fresh.bytes = record->bytes;
  fresh.used = step.now;
  if (fresh.lease.have.size() != (fresh.chunks + 7) / 8) return fail(ErrorCode::store_corrupt, "lease");
  if (!record->manifest.empty()) {
    auto manifest = crypto::decode_manifest(record->manifest);
    if (!manifest) return fail(ErrorCode::store_corrupt, "manifest");
    fresh.manifest = std::make_shared<const crypto::Manifest>(std::move(*manifest));
  }
  return &uploads.emplace(key, std::move(fresh)).first->second;
}

void Broker::State::chunk_done(Step& step, const Asker& asker, const DocId& doc_id, uint32_t index, uint16_t refusal) {
  if (refusal != 0) ++counters.refusals;
  send(step, asker, proto::ChunkDone{doc_id, {index}, refusal});
}

Result<void> Broker::State::on_chunk_put(Step& step, FrameReceived& event, const proto::ChunkPut& put) {
  const Asker asker{event.session, event.peer, event.frame.request};
  auto no = [&](ErrorCode code) {
    chunk_done(step, asker, put.doc_id, put.index, number(code));
    return Result<void>{};
  };
  if (disk_percent >= limits::disk_acks_only_percent) return no(ErrorCode::storage_full);
  TRAM_TRY(into, upload(step, event.peer, put.doc_id));
  if (into == nullptr) return no(ErrorCode::not_found);
  if (put.index >= into->chunks) return no(ErrorCode::bad_request);
  if (event.chunk.size() != sealed_size(*into, put.index)) return no(ErrorCode::bad_format);
  if (bit(into->lease.have, put.index)) {
    chunk_done(step, asker, put.doc_id, put.index, 0);
    return {};
  }
  if (auto it = into->waiters.find(put.index); it != into->waiters.end()) {
    if (it->second.size() < 8) it->second.push_back(asker);
    return {};
  }
  if (write_bytes_waiting + event.chunk.size() > chunk_bytes_waiting_max) return no(ErrorCode::busy);
  WriteChunkJob job;
  job.asker = asker;
  job.doc_id = put.doc_id;
  job.index = put.index;
  job.chunks = into->chunks;
  job.body_bytes = into->bytes;
  if (into->manifest) job.expected = into->manifest->chunks[put.index];
  job.sealed = std::move(event.chunk);
  into->waiters[put.index].push_back(asker);
  write_bytes_waiting += job.sealed.size();
  writes.push_back(std::move(job));
  return {};
}

/// One sync for many chunks: when the body is whole, when half of what may be in flight has come, or when no more comes.
/// Returns when the first one that has to wait is due.
std::optional<Time> Broker::State::start_syncs(Step& step) {
  std::optional<Time> next;
  if (!chunks_written) return next;
  chunks_written = false;
  for (auto& [key, of] : uploads) {
    if (of.syncing || of.written.empty()) continue;
    const Time due = of.written_since + chunk_sync_wait;
    const bool whole = of.lease.present + of.written.size() == of.chunks;
    if (!whole && of.written.size() < limits::chunk_credit / 2 && step.now < due && step.now >= of.written_since) {
      chunks_written = true;
      next = next ? std::min(*next, due) : due;
      continue;
    }
    of.syncing = true;
    step.out.jobs.push_back(SyncBodyJob{table::sender_of_key(key), table::doc_of_key(key), std::move(of.written)});
    of.written.clear();
  }
  return next;
}

Result<void> Broker::State::on_chunk_written(Step& step, WriteChunkDone& done) {
  bulk_jobs -= std::min<size_t>(bulk_jobs, 1);
  write_bytes_waiting -= std::min<uint64_t>(write_bytes_waiting, done.bytes);
  auto it = uploads.find(table::body_key(done.asker.peer, done.doc_id));
  if (!done.outcome && done.outcome.error().code == ErrorCode::io_failed) return fail(done.outcome.error());
  if (it == uploads.end()) return {};  // freed or reloaded meanwhile; the sender asks again
  Upload& of = it->second;
  if (done.outcome) {
    if (of.written.empty()) of.written_since = step.now;
    of.written.push_back(done.index);
    chunks_written = true;
    return {};
  }
  if (done.outcome.error().code == ErrorCode::bad_format) ++counters.hostile;
  auto waiting = of.waiters.find(done.index);
  if (waiting == of.waiters.end()) return {};
  for (const auto& asker : waiting->second) {
    chunk_done(step, asker, done.doc_id, done.index, number(done.outcome.error().code));
  }
  of.waiters.erase(waiting);
  return {};
}

Result<void> Broker::State::on_body_synced(Step& step, SyncBodyDone& done) {
  const Bytes key = table::body_key(done.sender, done.doc_id);
  if (!done.outcome && done.outcome.error().code == ErrorCode::io_failed) return fail(done.outcome.error());
  auto it = uploads.find(key);
  if (it == uploads.end()) return {};
  Upload& of = it->second;
  of.syncing = false;
  of.used = step.now;
  for (uint32_t index : done.indexes) {
    if (done.outcome && !bit(of.lease.have, index)) {
      of.lease.have[index / 8] = static_cast<uint8_t>(of.lease.have[index / 8] | 1u << (index % 8));
      ++of.lease.present;
      ++counters.chunks_in;
    }
    auto waiting = of.waiters.find(index);
    if (waiting == of.waiters.end()) continue;
    for (const auto& asker : waiting->second) {
      chunk_done(step, asker, done.doc_id, index, done.outcome ? 0 : number(done.outcome.error().code));
    }
    of.waiters.erase(waiting);
  }
  if (done.outcome) {
    of.lease.until = step.now + limits::lease;
    TRAM_OK(step.txn.put(table::lease, key, proto::encode_record(of.lease)));
    if (of.lease.present == of.chunks) TRAM_OK(body_whole_again(step, key));
  }
  chunks_written = chunks_written || !of.written.empty();
  return {};
}

}  // namespace tram::broker
