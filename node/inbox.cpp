// Receiving: announcements, fetching from any broker, opening, order within a channel, storing (R9, R11, R12, R15).
#include <algorithm>
#include <tuple>
#include <utility>

#include "base/limits.h"
#include "crypto/hash.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {
constexpr size_t arrivals_max = 4096;
constexpr size_t fetch_ids_max = 8;
}  // namespace

Result<void> Node::on_announce(WriteTxn& txn, Time now, const PartyId& broker, proto::Announce& announce, Effects& effects) {
  if (self_.recovery != proto::Recovery::none) return {};  // nothing is acknowledged before the senders know (R21)
  std::vector<proto::AckItem> again;
  for (auto& item : announce.items) {
    auto envelope = crypto::decode_envelope(item.envelope);
    if (!envelope || envelope->realm != config_.realm || envelope->recipient != config_.self) {
      log_.warning("announce.malformed", {{"broker", broker}});
      continue;
    }
    if (const proto::AckItem* sealed = sealed_lately(envelope->id, now)) {
      again.push_back(*sealed);
      continue;
    }
    auto it = arrivals_.find(envelope->id);
    if (it == arrivals_.end() || it->second.mends) {  // else it has no answer yet
      TRAM_TRY(answered, find<proto::AnswerRecord>(txn, table::answer, envelope->id));
      if (answered) {  // the same answer to every repeat (R15)
        TRAM_OK(sign_answer_again(txn, envelope->id, *answered));
        TRAM_OK(answer(txn, now, envelope->id, answered->sender, envelope->doc_id, std::move(answered->statement),
                       std::move(answered->receipt), {broker}, effects));
        continue;
      }
    }
    if (it == arrivals_.end()) {
      if (arrivals_.size() >= arrivals_max) continue;  // announced again when answers have made room
      Arrival arrival;
      arrival.envelope = *envelope;
      arrival.envelope_bytes = std::move(item.envelope);
      it = arrivals_.emplace(envelope->id, std::move(arrival)).first;
    }
    it->second.sources[broker] = {broker, item.position, item.queue_head};
    it->second.failed.erase(broker);
    if (it->second.stage == Arrival::Stage::wanted) fetch(now, it->second, effects);
  }
  send_acks(broker, again, effects);
  return {};
}

bool Node::is_greeted(const PartyId& broker) const {
  const auto link = links_.find(broker);
  return link != links_.end() && link->second.greeted;
}

/// Nobody is left to ask: one that was retired meanwhile will not answer.
bool Node::all_failed(const Arrival& arrival) const {
  return std::all_of(arrival.sources.begin(), arrival.sources.end(), [&](const auto& one) {
    return arrival.failed.contains(one.first) || (!in_force_.empty() && !in_force_.contains(one.first));
  });
}

/// Asks one source that has not failed; a random one, so that brokers share the load (R32).
void Node::fetch(Time now, Arrival& arrival, Effects&) {
  if (arrival.gave_up) return;
  std::vector<PartyId> candidates;
  for (const auto& [broker, seen] : arrival.sources)
    if (!arrival.failed.count(broker) && is_greeted(broker)) candidates.push_back(broker);
  arrival.asked = now;
  if (candidates.empty()) {
    arrival.stage = Arrival::Stage::wanted;
    return;
  }
  arrival.source = candidates[arrival.envelope.id.bytes[0] % candidates.size()];
  arrival.stage = Arrival::Stage::fetching;
  fetches_[arrival.source].push_back(arrival.envelope.id);
}

void Node::flush_fetches(Effects& effects) {
  const auto place = [&](const EnvelopeId& id) {
    const crypto::Envelope& envelope = arrivals_.at(id).envelope;
    return std::tie(envelope.lane, envelope.sender, envelope.inc, envelope.seq);
  };
  for (auto& [broker, ids] : fetches_) {
    std::sort(ids.begin(), ids.end(), [&](const EnvelopeId& a, const EnvelopeId& b) { return place(a) < place(b); });
    for (size_t i = 0; i < ids.size(); i += fetch_ids_max)
      send(broker, proto::Endpoint::control,
           proto::Fetch{{ids.begin() + static_cast<ptrdiff_t>(i), ids.begin() + static_cast<ptrdiff_t>(std::min(ids.size(), i + fetch_ids_max))}},
           effects);
  }
  fetches_.clear();
}

void Node::source_failed(Time now, Arrival& arrival, Effects& effects) {
  using Stage = Arrival::Stage;
  uint32_t& requests = links_[arrival.source].chunk_requests;  // these will not be answered, or late
  requests -= std::min(requests, static_cast<uint32_t>(arrival.requested.size()));
  arrival.requested.clear();
  arrival.failed.insert(arrival.source);
  if (arrival.mends && arrival.failed.size() >= arrival.sources.size()) {
    arrival.gave_up = true;
    return;
  }
  if (arrival.failed.size() >= arrival.sources.size()) {
    arrival.failed.clear();  // all failed: start over, later
    arrival.asked = now;
    if (arrival.stage == Stage::fetching || arrival.stage == Stage::manifest) arrival.stage = Stage::wanted;
    if (arrival.stage == Stage::chunks) {
      for (const auto& [broker, seen] : arrival.sources)
        if (is_greeted(broker)) arrival.source = broker;
    }
    return;
  }
  if (arrival.stage == Stage::fetching) return fetch(now, arrival, effects);
  for (const auto& [broker, seen] : arrival.sources)
    if (!arrival.failed.count(broker) && is_greeted(broker)) arrival.source = broker;
  arrival.asked = now;
  if (arrival.stage == Stage::manifest)
    send(arrival.source, proto::Endpoint::bulk, proto::ManifestGet{arrival.envelope.doc_id}, effects);
}

Result<void> Node::on_content(WriteTxn& txn, Time now, const PartyId& broker, proto::Content& content, Effects& effects) {
  auto it = arrivals_.find(content.env_id);
  if (it == arrivals_.end() || it->second.stage != Arrival::Stage::fetching || it->second.source != broker) return {};
  Arrival& arrival = it->second;
  if (content.refusal) {
    source_failed(now, arrival, effects);
    return {};
  }
  if (arrival.mends) return on_mending_content(txn, now, arrival, content, effects);
  if (!attempts_.empty()) {
    if (is_poison(Hash{content.env_id.bytes})) return put_aside(txn, now, arrival, effects);
    if (opens_alone(content.env_id)) {
      arrival.stage = Arrival::Stage::wanted;  // fetched again in a while
      arrival.asked = now;
      return {};
    }
  }
  if (arrival.envelope.dir_size > directory_.size()) {
    // The sender has seen more of the directory than we have: learn first, then judge (R27).
    arrival.stage = Arrival::Stage::wanted;
    arrival.asked = now;
    ask_directory(now, broker, links_[broker], effects);
    return {};
  }
  // By a clock that is behind, the sender's entry is not in force yet: what brokers took, they took by theirs (R43).
  const Time at = std::max(now, arrival.envelope.created);
  TRAM_TRY(key, sig_of(txn, at, arrival.envelope.sender, arrival.envelope.dir_size));
  if (!*key) return reject(txn, now, arrival, {ErrorCode::unknown_agency, "sender"}, effects);
  OpenJob job;
  job.context = seal_context(now);
  job.env_id = content.env_id;
  job.envelope = arrival.envelope_bytes;
  job.header = std::move(content.header);
  job.manifest = std::move(content.manifest);
  job.officer_blob = std::move(content.officer_blob);
  job.inline_chunk = std::move(content.inline_chunk);
  job.sender_key = arrival.sender_key.value_or(**key);
  job.header_keys = arrival.header_keys;
  if (const auto* pair = find_kx(arrival.envelope.recipient_kx)) {
    job.kx = {pair->secret.clone(), pair->public_key};
    job.have_kx = true;
  }
  arrival.stage = Arrival::Stage::opening;
  effects.jobs.push_back(std::move(job));
  return {};
}

/// What comes before it in its channel, if workers are at that too.
Node::Arrival* Node::opening_before(const crypto::Envelope& envelope) {
  const auto before = arrivals_.find(envelope.prev);
  if (before == arrivals_.end() || before->second.stage != Arrival::Stage::opening) return nullptr;
  const crypto::Envelope& other = before->second.envelope;
  const bool next = other.sender == envelope.sender && other.lane == envelope.lane && other.inc == envelope.inc && other.seq + 1 == envelope.seq;
  return next ? &before->second : nullptr;
}

/// Several workers end out of order. Who is ready waits while another is at its predecessor, which always ends; never for one
/// that is still to be fetched, which may never come (R32).
Result<void> Node::on(WriteTxn& txn, Time now, OpenDone& done, Effects& effects) {
  auto it = arrivals_.find(done.env_id);
  if (it == arrivals_.end() || it->second.stage != Arrival::Stage::opening || it->second.opened) return {};
  if (Arrival* before = done.outcome && done.record.inline_body ? opening_before(it->second.envelope) : nullptr) {
    before->behind.push_back(done.env_id);
    it->second.opened = std::make_unique<OpenDone>(std::move(done));
    return {};
  }
  std::vector<std::unique_ptr<OpenDone>> ready;
  ready.push_back(std::make_unique<OpenDone>(std::move(done)));
  while (!ready.empty()) {
    const auto one = std::move(ready.back());
    ready.pop_back();
    it = arrivals_.find(one->env_id);
    if (it == arrivals_.end()) continue;
    for (const EnvelopeId& id : std::exchange(it->second.behind, {}))
      if (const auto next = arrivals_.find(id); next != arrivals_.end() && next->second.opened) ready.push_back(std::move(next->second.opened));
    TRAM_OK(take_opened(txn, now, it->second, *one, effects));
  }
  return {};
}

Result<void> Node::take_opened(WriteTxn& txn, Time now, Arrival& arrival, OpenDone& done, Effects& effects) {
  if (!done.outcome && done.outcome.error().code == ErrorCode::bad_signature && arrival.header_keys.empty()) {
    TRAM_TRY(keys, directory_.sig_keys(txn, arrival.envelope.sender));
    if (keys.size() > 1) {  // its sender's keys were renewed before it was wrapped, or since (R30)
      arrival.header_keys = std::move(keys);
      TRAM_TRY(then, directory_.sig_key(txn, arrival.envelope.sender, arrival.envelope.dir_size, arrival.envelope.created));
      arrival.sender_key = then;
      fetch(now, arrival, effects);
      return {};
    }
  }
  if (!done.outcome) {
    // What a broker may have spoilt (header, blob, chunk) is asked of the others before the sender is blamed.
    arrival.failed.insert(arrival.source);
    if (!all_failed(arrival) && done.outcome.error().code != ErrorCode::rekey) {
      arrival.cannot_open = done.outcome.error();
      fetch(now, arrival, effects);
      return {};
    }
    return reject(txn, now, arrival, done.outcome.error(), effects);
  }
  TRAM_TRY(same, same_view(txn, now, arrival.envelope.sender, arrival.envelope.dir_size, arrival.envelope.dir_root, arrival.envelope_bytes));
  if (!same) return reject(txn, now, arrival, {ErrorCode::rollback, "another directory"}, effects);
  arrival.record = std::move(done.record);
  if (arrival.record.inline_body) return store_document(txn, now, arrival, std::move(done.inline_chunk), effects);

  TRAM_TRY(known, find_u64(txn, table::incoming_by_doc, arrival.record.doc_id));
  if (known && !damaged_.contains(arrival.record.doc_id)) {
    TRAM_TRY(row, txn.get(table::incoming, u64_value(*known)));
    if (row) return store_document(txn, now, arrival, {}, effects);  // re-issued: the body is here already
  }
  arrival.failed.clear();
  arrival.asked = now;
  if (body_coming(arrival)) {
    arrival.stage = Arrival::Stage::twin;
    return {};
  }
  arrival.stage = Arrival::Stage::manifest;
  send(arrival.source, proto::Endpoint::bulk, proto::ManifestGet{arrival.envelope.doc_id}, effects);
  return {};
}

Result<void> Node::on_manifest(Time now, const PartyId& broker, proto::ManifestData& data, Effects& effects) {
  for (auto& [id, arrival] : arrivals_) {
    if (arrival.stage != Arrival::Stage::manifest || arrival.envelope.doc_id != data.doc_id || arrival.source != broker) continue;
    auto header = crypto::decode_header(arrival.record.header);
    auto manifest = crypto::decode_manifest(data.manifest);
    if (data.refusal || !header || !manifest || crypto::manifest_id(data.manifest) != header->manifest_id ||
        manifest->padded_bytes != header->padded_bytes || manifest->chunks.size() != header->chunks) {
      source_failed(now, arrival, effects);
      return {};
    }
    arrival.manifest = std::move(*manifest);
    arrival.manifest_bytes = std::move(data.manifest);
    arrival.stage = Arrival::Stage::scanning;
    effects.jobs.push_back(ScanBodyJob{id, data.doc_id, arrival.record.body_bytes, arrival.manifest});
    return {};
  }
  return {};
}

Result<void> Node::on(WriteTxn&, Time now, ScanBodyDone& done, Effects& effects) {
  auto it = arrivals_.find(done.env_id);
  if (it == arrivals_.end() || it->second.stage != Arrival::Stage::scanning) return {};  // of an earlier life
  Arrival& arrival = it->second;
  arrival.have = std::move(done.have);
  arrival.have.resize(arrival.manifest.chunks.size());
  arrival.done = static_cast<uint32_t>(std::count(arrival.have.begin(), arrival.have.end(), true));
  arrival.stage = Arrival::Stage::chunks;
  arrival.asked = now;
  return finish_if_whole(arrival, effects);
}

Result<void> Node::finish_if_whole(Arrival& arrival, Effects& effects) {
  if (arrival.done < arrival.manifest.chunks.size() || arrival.stage != Arrival::Stage::chunks) return {};
  arrival.stage = Arrival::Stage::finishing;
  effects.jobs.push_back(FinishBodyJob{arrival.envelope.id, config_.realm, arrival.record, arrival.manifest_bytes});
  return {};
}

/// Keeps each broker's bulk connection busy with at most its credit of chunks, urgent documents first (R39, Z10).
void Node::request_chunks(Time now, Effects& effects) {
  std::vector<Arrival*> active;
  for (auto& [id, arrival] : arrivals_)
    if (arrival.stage == Arrival::Stage::chunks) active.push_back(&arrival);
  std::stable_sort(active.begin(), active.end(), [](const Arrival* a, const Arrival* b) { return a->envelope.lane < b->envelope.lane; });
  for (Arrival* arrival : active) {
    Link& link = links_[arrival->source];
    if (!link.greeted || now < arrival->not_before) continue;
    for (uint32_t i = 0; i < arrival->have.size() && link.chunk_requests < limits::chunk_credit; ++i) {
      if (arrival->have[i] || arrival->requested.count(i) || arrival->writing.count(i)) continue;
      if (arrival->requested.size() + arrival->writing.size() >= limits::chunk_credit) break;
      arrival->requested.insert(i);
      ++link.chunk_requests;
      send(arrival->source, proto::Endpoint::bulk, proto::ChunkGet{arrival->envelope.doc_id, i, 1}, effects);
      arrival->asked = now;
    }
  }
}

Result<void> Node::on_chunk(Time now, const PartyId& broker, Link& link, proto::ChunkData& data, Bytes chunk, Effects& effects) {
  if (link.chunk_requests) --link.chunk_requests;
  for (auto& [id, arrival] : arrivals_) {
    if (arrival.stage != Arrival::Stage::chunks || arrival.envelope.doc_id != data.doc_id || arrival.source != broker) continue;
    if (!arrival.requested.erase(data.index)) return {};
    arrival.asked = now;
    if (data.refusal || chunk.size() != crypto::sealed_chunk_size(arrival.manifest, data.index)) {
      source_failed(now, arrival, effects);
      return {};
    }
    arrival.writing.insert(data.index);
    ChunkJob job;
    job.env_id = id;
    job.doc_id = data.doc_id;
    job.index = data.index;
    job.expected = arrival.manifest.chunks[data.index];
    job.body_bytes = arrival.record.body_bytes;
    job.sealed = std::move(chunk);
    effects.jobs.push_back(std::move(job));
    return {};
  }
  return {};
}

Result<void> Node::on(WriteTxn&, Time now, ChunkJobDone& done, Effects& effects) {
  auto it = arrivals_.find(done.env_id);
  if (it == arrivals_.end() || it->second.stage != Arrival::Stage::chunks) return {};
  Arrival& arrival = it->second;
  arrival.writing.erase(done.index);
  if (!done.outcome) {
    const ErrorCode code = done.outcome.error().code;
    if (code == ErrorCode::io_failed) return fail(done.outcome.error());
    if (code == ErrorCode::storage_full) arrival.not_before = now + seconds(10);  // asked again when there may be room
    else source_failed(now, arrival, effects);
    return {};
  }
  if (done.index < arrival.have.size() && !arrival.have[done.index]) {
    arrival.have[done.index] = true;
    ++arrival.done;
  }
  return finish_if_whole(arrival, effects);
}

Result<void> Node::on(WriteTxn& txn, Time now, FinishBodyDone& done, Effects& effects) {
  auto it = arrivals_.find(done.env_id);
  if (it == arrivals_.end() || it->second.stage != Arrival::Stage::finishing) return {};
  Arrival& arrival = it->second;
  if (!done.outcome) {
    if (done.outcome.error().code == ErrorCode::io_failed) return fail(done.outcome.error());
    if (done.outcome.error().code == ErrorCode::storage_full) {  // finished when there is room (R42)
      arrival.stage = Arrival::Stage::chunks;
      arrival.asked = now;
      return {};
    }
    if (arrival.mends) {
      arrival.gave_up = true;
      return {};
    }
    return reject(txn, now, arrival, done.outcome.error(), effects);
  }
  if (arrival.mends) {  // the row may have changed meanwhile: only the file was at fault
    const DocId doc_id = arrival.envelope.doc_id;
    const uint64_t number = arrival.record.arrival;
    arrivals_.erase(it);
    TRAM_OK(mended(txn, now, doc_id, number, effects));
    return finish_twins(txn, now, doc_id, effects);
  }
  arrival.record = std::move(done.record);
  return store_document(txn, now, arrival, {}, effects);
}

// ---- storing ----------------------------------------------------------------------------------------------------

/// Document, receipt and status in one transaction (R15); the ACK leaves after the commit.
Result<void> Node::store_document(WriteTxn& txn, Time now, Arrival& arrival, Bytes inline_chunk, Effects& effects) {
  proto::InRecord& record = arrival.record;
  const EnvelopeId env_id = arrival.envelope.id;
  const Bytes channel_key = row_key(record.sender, record.lane);
  TRAM_TRY(channel, find<proto::ChannelIn>(txn, table::channel_in, channel_key));
  const bool turn = channel && channel->inc == record.inc && channel->next_seq == record.seq;  // what is held lies behind it
  const Bytes position = row_key(record.sender, record.lane, record.inc, record.seq);
  TRAM_TRY(taken, turn ? Result<std::optional<uint64_t>>{} : find_u64(txn, table::incoming_held, position));
  const uint64_t next = channel && channel->inc == record.inc ? channel->next_seq : 1;
  if (record.seq == 0) return reject(txn, now, arrival, {ErrorCode::bad_format, "position 0"}, effects);
  // Of an incarnation that its sender has left behind: brokers had it before they knew (R13).
  const bool left_behind = channel && record.inc < channel->inc;
  const bool late = taken || left_behind || record.seq < next;
  if (late) {
    TRAM_TRY(left, take_skipped(txn, record, env_id));
    if (!left) return reject(txn, now, arrival, {ErrorCode::equivocation, "position already used"}, effects);
  }

  TRAM_TRY(numbered, find_u64(txn, table::incoming_by_doc, record.doc_id));
  uint64_t number = numbered.value_or(0);
  bool known = numbered.has_value();
  if (known && !damaged_.empty() && damaged_.contains(record.doc_id)) {
    TRAM_TRY(row, txn.get(table::incoming, u64_value(number)));
    known = row.has_value();  // else a recovery dropped it, and it takes its old place again
    if (known && record.inline_body) TRAM_OK(txn.put(table::body_inline, record.doc_id, inline_chunk));
    TRAM_OK(mended(txn, now, record.doc_id, number, effects));
  }
  // Nothing is missing before it: handed over in the same breath, its row written once.
  const bool in_turn = !numbered && turn;
  if (!known) {
    if (!numbered) {
      number = self_.next_arrival++;
      self_dirty_ = true;
    }
    record.arrival = number;
    record.received = now;
    record.state = proto::InState::held;
    if (!in_turn) TRAM_OK(save(txn, table::incoming, u64_value(number), record));
    TRAM_OK(txn.put(table::incoming_by_doc, record.doc_id, u64_value(number)));
    if (record.inline_body) TRAM_OK(txn.put(table::body_inline, record.doc_id, inline_chunk));
    TRAM_OK(log_leaf(txn, now, audit::LeafKind::document_stored, {env_id, record.doc_id}));
  }

  crypto::Ack ack;
  ack.realm = config_.realm;
  ack.env_id = env_id;
  ack.doc_id = record.doc_id;
  ack.sender = record.sender;
  ack.recipient = config_.self;
  ack.lane = record.lane;
  ack.inc = record.inc;
  ack.seq = record.seq;
  ack.rinc = self_.rinc;
  ack.time = now;
  ack.clock_ok = clock_ok_;
  std::vector<PartyId> brokers;
  for (const auto& [broker, seen] : arrival.sources) {
    if (ack.seen.size() < 8) ack.seen.push_back(seen);
    brokers.push_back(broker);
  }
  TRAM_TRY(issued, issue(txn, now, answer_to(arrival.envelope, arrival.envelope_bytes, crypto::ReceiptEvent::received), {}));
  proto::AnswerRecord stored{crypto::encode_ack(ack, *keys_.sig), issued.bytes, record.sender, number};
  TRAM_OK(save(txn, table::answer, env_id, stored));
  TRAM_OK(answer(txn, now, env_id, record.sender, record.doc_id, std::move(stored.statement), std::move(stored.receipt),
                 std::move(brokers), effects));
  if (known) TRAM_OK(follow_envelope(txn, now, number, record, effects));
  const PartyId sender = record.sender;
  const Lane lane = record.lane;
  const uint32_t inc = record.inc;
  const uint64_t seq = record.seq;
  const DocId doc_id = record.doc_id;
  if (in_turn) {
    proto::InRecord mine = std::move(record);
    arrivals_.erase(env_id);
    TRAM_OK(cleared(txn, Hash{env_id.bytes}));
    ++channel->next_seq;
    TRAM_OK(hand_over(txn, now, mine, false, effects));
    TRAM_OK(drain_channel(txn, now, sender, lane, *channel, effects));
    return finish_twins(txn, now, doc_id, effects);
  }
  arrivals_.erase(env_id);
  TRAM_OK(cleared(txn, Hash{env_id.bytes}));
  if (!late) {
    TRAM_OK(consume(txn, now, sender, lane, inc, seq, known ? 0 : number, effects));
    return finish_twins(txn, now, doc_id, effects);
  }
  if (known) return {};
  log_.info("document.late", {{"sender", sender}, {"seq", seq}});
  TRAM_TRY(stored_record, node::load<proto::InRecord>(txn, table::incoming, u64_value(number)));
  TRAM_OK(hand_over(txn, now, stored_record, true, effects));
  return finish_twins(txn, now, doc_id, effects);
}

/// Whether another envelope of this document is bringing its body.
bool Node::body_coming(const Arrival& twin) const {
  using Stage = Arrival::Stage;
  return std::any_of(arrivals_.begin(), arrivals_.end(), [&](const auto& one) {
    const Arrival& other = one.second;
    return &other != &twin && other.envelope.doc_id == twin.envelope.doc_id && other.stage >= Stage::manifest && other.stage < Stage::twin;
  });
}

/// Other envelopes of a document that has just been stored need no body any more.
Result<void> Node::finish_twins(WriteTxn& txn, Time now, const DocId& doc_id, Effects& effects) {
  std::vector<EnvelopeId> twins;
  for (const auto& [id, arrival] : arrivals_)
    if (arrival.envelope.doc_id == doc_id && arrival.stage >= Arrival::Stage::manifest) twins.push_back(id);
  for (const EnvelopeId& id : twins)
    if (auto it = arrivals_.find(id); it != arrivals_.end()) TRAM_OK(store_document(txn, now, it->second, {}, effects));
  return {};
}

/// A position that the channel passed over, because of a gap or because its sender gave it up, may still be filled, once:
/// what was held up for long is late, not forged (R11).
Result<bool> Node::take_skipped(WriteTxn& txn, const proto::InRecord& record, const EnvelopeId& env_id) {
  const Bytes channel = row_key(record.sender, record.lane, record.inc);
  TRAM_TRY(rows, txn.scan(table::skipped, row_key(record.sender, record.lane, record.inc, record.seq), prefix_end(channel), 1));
  if (rows.empty()) {
    // Of a life that we never heard of while it was the newest one nothing is taken yet.
    TRAM_TRY(current, find<proto::ChannelIn>(txn, table::channel_in, row_key(record.sender, record.lane)));
    TRAM_TRY(any, txn.scan(table::skipped, channel, prefix_end(channel), 1));
    if (!any.empty() || !current || record.inc >= current->inc) return false;
    rows.push_back({row_key(record.sender, record.lane, record.inc, UINT64_MAX), row_key(uint64_t{1}, EnvelopeId{}, uint64_t{0})});
  }
  const uint64_t last = Reader(BytesView(rows[0].key).subspan(21)).u64();
  const uint64_t first = read_u64(rows[0].value);
  const auto meant = id_at<EnvelopeId>(rows[0].value, 8);
  if (first > record.seq || (!meant.is_zero() && meant != env_id)) return false;
  const Bytes since = to_bytes(BytesView(rows[0].value).subspan(8 + EnvelopeId::size));
  TRAM_OK(txn.erase(table::skipped, rows[0].key));
  auto keep = [&](uint64_t from, uint64_t to) -> Result<void> {
    if (from > to) return {};
    Bytes value = row_key(from, EnvelopeId{});
    value.insert(value.end(), since.begin(), since.end());
    return txn.put(table::skipped, row_key(record.sender, record.lane, record.inc, to), value);
  };
  TRAM_OK(keep(first, record.seq - 1));
  TRAM_OK(keep(record.seq + 1, last));
  return true;
}

/// Not accepted: the position is consumed so that one bad envelope cannot block its channel (R11, R34).
Result<void> Node::reject(WriteTxn& txn, Time now, Arrival& arrival, const Error& error, Effects& effects) {
  const crypto::Envelope envelope = arrival.envelope;
  log_.warning("document.rejected", {{"envelope", envelope.id}, {"error", error_info(error.code).name}});
  crypto::Notice notice = new_notice(crypto::NoticeKind::nack, envelope.sender, now);
  notice.reason = static_cast<uint16_t>(error.code);
  set_subject(notice, envelope.id, envelope);
  std::vector<PartyId> brokers;
  for (const auto& [broker, seen] : arrival.sources) brokers.push_back(broker);
  TRAM_TRY(issued, issue(txn, now, answer_to(envelope, arrival.envelope_bytes, crypto::ReceiptEvent::rejected, notice.reason), {}));
  proto::AnswerRecord stored{crypto::encode_notice(notice, *keys_.sig), issued.bytes, envelope.sender, 0};
  TRAM_OK(save(txn, table::answer, envelope.id, stored));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::rejected, {envelope.id}));
  TRAM_OK(answer(txn, now, envelope.id, envelope.sender, envelope.doc_id, std::move(stored.statement), std::move(stored.receipt),
                 std::move(brokers), effects));
  arrivals_.erase(envelope.id);
  TRAM_OK(cleared(txn, Hash{envelope.id.bytes}));
  // The same document may be here, or on its way, in another envelope.
  TRAM_TRY(stored_as, find_u64(txn, table::incoming_by_doc, envelope.doc_id));
  const bool coming = std::any_of(arrivals_.begin(), arrivals_.end(),
                                  [&](const auto& one) { return one.second.envelope.doc_id == envelope.doc_id; });
  if (!stored_as && !coming) effects.remove_bodies.push_back(body_name(envelope.doc_id));
  // Only what the sender itself signed may move its channel.
  if (error.code == ErrorCode::bad_signature || error.code == ErrorCode::unknown_agency || error.code == ErrorCode::fenced ||
      error.code == ErrorCode::equivocation)
    return {};
  return consume(txn, now, envelope.sender, envelope.lane, envelope.inc, envelope.seq, 0, effects);
}

/// The channel passes `seq`; what waited behind it comes out in order. arrival 0: consumed without a document.
Result<void> Node::consume(WriteTxn& txn, Time now, const PartyId& sender, Lane lane, uint32_t inc, uint64_t seq, uint64_t arrival,
                           Effects& effects) {
  const Bytes key = row_key(sender, lane);
  TRAM_TRY(found, find<proto::ChannelIn>(txn, table::channel_in, key));
  proto::ChannelIn channel = found.value_or(proto::ChannelIn{});
  if (inc < channel.inc) return {};
  if (inc > channel.inc) TRAM_OK(enter_incarnation(txn, now, sender, lane, inc, channel, effects));
  if (seq < channel.next_seq) return {};
  TRAM_OK(txn.put(table::incoming_held, row_key(sender, lane, inc, seq), u64_value(arrival)));
  return drain_channel(txn, now, sender, lane, channel, effects);
}

/// Hands over what has its turn; notes when a gap begins and ends. Saves the channel.
Result<void> Node::drain_channel(WriteTxn& txn, Time now, const PartyId& sender, Lane lane, proto::ChannelIn& channel, Effects& effects) {
  const Bytes key = row_key(sender, lane);
  const Bytes prefix = row_key(sender, lane, channel.inc);
  for (;;) {
    const Bytes position = row_key(sender, lane, channel.inc, channel.next_seq);
    TRAM_TRY(held, txn.scan(table::incoming_held, position, prefix_end(prefix), 1));
    if (held.empty()) {
      channel.gap_since = {};
      break;
    }
    if (held[0].key != position) {
      if (channel.gap_since.ms) break;
      channel.gap_since = now;
      TRAM_OK(add_timer(txn, now + limits::gap_release, TimerKind::gap, key));
      log_.info("channel.gap_opened", {{"sender", sender}, {"seq", channel.next_seq}});
      break;
    }
    TRAM_OK(txn.erase(table::incoming_held, position));
    ++channel.next_seq;
    const uint64_t arrival = read_u64(held[0].value);
    if (!arrival) continue;
    TRAM_TRY(record, node::load<proto::InRecord>(txn, table::incoming, u64_value(arrival)));
    TRAM_OK(hand_over(txn, now, record, false, effects));
  }
  return save(txn, table::channel_in, key, channel);
}

/// The sender's store was put back: its channels begin anew, and what it had sent before may still come, late (R13).
Result<void> Node::enter_incarnation(WriteTxn& txn, Time now, const PartyId& sender, Lane lane, uint32_t inc, proto::ChannelIn& channel,
                                     Effects& effects) {
  TRAM_OK(release_held(txn, now, sender, lane, channel, UINT64_MAX, effects));
  if (channel.inc != 0)
    TRAM_OK(txn.put(table::skipped, row_key(sender, lane, channel.inc, UINT64_MAX), row_key(channel.next_seq, EnvelopeId{}, now.wire())));
  channel = {inc, 1, {}};
  return {};
}

/// Our store was put back: positions we had are passed over, so that the channel does not wait for them (R21).
Result<void> Node::on_passed(WriteTxn& txn, Time now, const crypto::Notice& notice, Effects& effects) {
  // The answer to an earlier life of ours settles nothing: what that one was sent again, this one lost again.
  const auto rinc = crypto::rinc_of(notice.env_id);
  if (!rinc || *rinc != self_.rinc) return {};
  TRAM_TRY(found, find<proto::ChannelIn>(txn, table::channel_in, row_key(notice.issuer, notice.lane)));
  proto::ChannelIn channel = found.value_or(proto::ChannelIn{});
  if (notice.inc < channel.inc) return {};
  if (notice.inc > channel.inc) TRAM_OK(enter_incarnation(txn, now, notice.issuer, notice.lane, notice.inc, channel, effects));
  TRAM_OK(release_held(txn, now, notice.issuer, notice.lane, channel, notice.seq, effects));
  if (notice.seq >= channel.next_seq) {
    TRAM_OK(txn.put(table::skipped, row_key(notice.issuer, notice.lane, notice.inc, notice.seq), row_key(channel.next_seq, EnvelopeId{}, now.wire())));
    channel.next_seq = notice.seq + 1;
  }
  return drain_channel(txn, now, notice.issuer, notice.lane, channel, effects);
}

/// After T_gap, or when the sender passed over positions: what is held up to `last` comes out, flagged (R11).
Result<void> Node::release_held(WriteTxn& txn, Time now, const PartyId& sender, Lane lane, proto::ChannelIn& channel, uint64_t last,
                                Effects& effects) {
  const Bytes prefix = row_key(sender, lane, channel.inc);
  const Bytes until = last == UINT64_MAX ? prefix_end(prefix) : row_key(sender, lane, channel.inc, last + 1);
  for (;;) {
    TRAM_TRY(rows, txn.scan(table::incoming_held, prefix, until, 256));
    if (rows.empty()) break;
    for (const Row& row : rows) {
      const uint64_t seq = Reader(BytesView(row.key).subspan(21)).u64();
      if (seq > channel.next_seq)
        TRAM_OK(txn.put(table::skipped, row_key(sender, lane, channel.inc, seq - 1), row_key(channel.next_seq, EnvelopeId{}, now.wire())));
      channel.next_seq = seq + 1;
      TRAM_OK(txn.erase(table::incoming_held, row.key));
      const uint64_t arrival = read_u64(row.value);
      if (!arrival) continue;
      TRAM_TRY(record, node::load<proto::InRecord>(txn, table::incoming, u64_value(arrival)));
      TRAM_OK(hand_over(txn, now, record, true, effects));
    }
  }
  channel.gap_since = {};
  return {};
}

/// The clerk sees it from here on: 01.
Result<void> Node::hand_over(WriteTxn& txn, Time now, proto::InRecord& record, bool out_of_order, Effects& effects) {
  if (record.state != proto::InState::held) return {};  // recalled while it waited for its turn
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  record.state = proto::InState::arrived;
  record.out_of_order = out_of_order;
  for (const auto& addressee : metadata.addressees) {
    if (addressee.kind != proto::AddresseeKind::unit) continue;
    TRAM_TRY(node, directory_.node_of(txn, addressee.id, now));
    if (node && *node == config_.self) record.units.push_back(addressee.id);
  }
  if (!metadata.number.empty() && metadata.relation.kind != proto::RelationKind::recall) {
    const Hash number = crypto::keyed_hash(keys_.storage->view(), "edx1/number", {record.sender, view(metadata.number), view("/"), view(metadata.symbol)});
    TRAM_TRY(seen, find_u64(txn, table::number_seen, number));
    record.duplicate_number = seen.has_value();
    if (!seen) TRAM_OK(txn.put(table::number_seen, number, u64_value(record.arrival)));
  }
  TRAM_OK(save(txn, table::incoming, u64_value(record.arrival), record));
  effects.changed_documents.push_back(record.arrival);
  log_.info("document.arrived", {{"document", record.doc_id}, {"sender", record.sender}, {"arrival", record.arrival}});
  TRAM_TRY(recalled, txn.get(table::early_recall, record.doc_id));
  if (recalled) {
    TRAM_OK(txn.erase(table::early_recall, record.doc_id));
    record.change_doc = id_at<DocId>(*recalled, 0);
    TRAM_OK(destroy_content(txn, now, record, effects));
    TRAM_TRY(by, find_u64(txn, table::incoming_by_doc, record.change_doc));
    if (by) {
      TRAM_TRY(recall, node::load<proto::InRecord>(txn, table::incoming, u64_value(*by)));
      TRAM_OK(tell_sender(txn, now, crypto::ReceiptEvent::change_agreed, 0, recall, {{}, {}, {}, {}, "cancelled before registration"}, effects));
    }
  }
  return apply_relation(txn, now, record, metadata, effects);
}

}  // namespace tram::node
