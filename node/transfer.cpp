// Getting envelopes and bodies into the custody of each broker: lanes by deficit round robin, credit for chunks,
// resumption by chunk (R39, R41). Every broker has its own durable queue (table::pending).
#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {
constexpr size_t puts_in_flight_max = limits::requests_in_flight_max;
constexpr size_t first_look_rows = 4;  // most documents have one recipient
constexpr size_t rows_per_look = 64;
constexpr size_t custodies_per_job_max = 32;
constexpr size_t put_bytes_max = 118000;              // below limits::control_frame_bytes_max with room for protobuf
constexpr size_t item_bytes = limits::envelope_bytes + limits::officer_blob_bytes + 16;
constexpr int64_t quantum_bytes = 16384;
constexpr size_t bodies_known_max = 4096;
constexpr size_t uploads_at_once_max = 8;
constexpr Duration request_timeout = seconds(30);
constexpr Duration closed_retry = seconds(30);
/// Which lane a chunk slot goes to first: 4:2:1 of R39 over urgent, normal, bulk.
constexpr Lane chunk_turns[] = {Lane::urgent, Lane::normal, Lane::urgent, Lane::urgent, Lane::normal, Lane::bulk, Lane::urgent};

/// Receipts of one step are checked together, up to a size that both workers share in.
void add_custody_job(CustodyJob job, Effects& effects) {
  if (job.items.empty()) return;
  if (!effects.jobs.empty())
    if (auto* last = std::get_if<CustodyJob>(&effects.jobs.back()); last && last->items.size() + job.items.size() <= custodies_per_job_max) {
      std::move(job.items.begin(), job.items.end(), std::back_inserter(last->items));
      return;
    }
  effects.jobs.push_back(std::move(job));
}

/// This broker is given the document no more.
Result<void> erase_pending(WriteTxn& txn, const PartyId& broker, const DocUuid& uuid) {
  std::vector<Bytes> rows;
  TRAM_OK(for_each(txn, table::pending, broker, [&](const Row& row) -> Result<void> {
    TRAM_TRY(envelope, find<proto::EnvelopeRecord>(txn, table::envelope, row.value));
    if (envelope && envelope->uuid == uuid) rows.push_back(row.key);
    return {};
  }));
  for (const Bytes& key : rows) TRAM_OK(txn.erase(table::pending, key));
  return {};
}

bool is_transient(uint16_t code) {
  const ErrorInfo* info = find_error(code);
  return !info || info->retry != Retry::never;
}
}  // namespace

void Node::forget_in_flight(const PartyId& broker, Link& link) {
  for (auto& [env_id, held] : held_)  // not stored yet: asked for again, as the rows still wait for this broker
    std::erase_if(held.items, [&](const CustodyJob::Item& one) { return one.broker == broker; });
  link.puts.clear();
  link.in_flight.clear();
  link.bodies.clear();
  link.look_again();
  link.mail_in_flight.clear();
  link.kx_asked.clear();
  link.unknown_there.clear();
  link.chunks_in_flight = 0;
  link.chunk_requests = 0;
  link.void_cursor.reset();
  for (auto& [doc, upload] : link.uploads) {
    upload.offer_request = 0;
    upload.answered = false;
    upload.in_flight.clear();
  }
}

Result<void> Node::pump(WriteTxn& txn, Time now, const PartyId& broker, Effects& effects) {
  Link& link = links_[broker];
  if (now < link.backoff_until) return {};
  if (std::erase_if(link.unknown_there, [&](const auto& one) { return now >= one.second; })) link.look_again();
  bool progress = true;
  while (progress && link.puts.size() < puts_in_flight_max) {
    progress = false;
    for (size_t lane = 0; lane < lane_count && link.puts.size() < puts_in_flight_max; ++lane) {
      int64_t& deficit = link.deficit[lane];
      deficit = std::min<int64_t>(deficit + quantum_bytes * limits::lane_weight[lane], quantum_bytes * 64);
      while (deficit > 0 && link.puts.size() < puts_in_flight_max) {
        TRAM_TRY(sent, pump_lane(txn, now, broker, link, static_cast<Lane>(lane), effects));
        if (!sent) {
          deficit = 0;
          break;
        }
        progress = true;
      }
    }
  }
  pump_chunks(broker, link, now, effects);
  return {};
}

Result<const proto::EnvelopeRecord*> Node::going_envelope(ReadTxn& txn, const EnvelopeId& env_id) {
  if (auto held = going_envelopes_.find(env_id); held != going_envelopes_.end()) return &held->second.record;
  TRAM_TRY(record, find_envelope(txn, env_id));
  if (!record) return nullptr;
  return remember(std::move(*record));
}

Result<const Node::Going*> Node::going_document(ReadTxn& txn, const DocUuid& uuid) {
  if (auto held = going_documents_.find(uuid); held != going_documents_.end()) return &held->second;
  TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, uuid));
  Going going{std::move(record), {}};
  going.inline_chunk = std::exchange(going.record.inline_chunk, {});
  if (going.record.inline_body && going.inline_chunk.empty()) {
    TRAM_TRY(chunk, txn.get(table::body_inline, going.record.doc_id));
    if (chunk) going.inline_chunk = std::move(*chunk);
  }
  return remember(std::move(going));
}

const proto::EnvelopeRecord* Node::remember(proto::EnvelopeRecord record, std::optional<uint32_t> custodies) {
  const EnvelopeId id = record.env_id;
  return &going_envelopes_.insert_or_assign(id, GoingEnvelope{std::move(record), custodies}).first->second.record;
}

const Node::Going* Node::remember(Going going) {
  going_bytes_ += sizeof going + going.record.header.size() + going.record.metadata.size() + going.inline_chunk.size();
  return &going_documents_.insert_or_assign(going.record.uuid, std::move(going)).first->second;
}

/// A receipt ends an envelope, but the proof that it was accepted wants W custodies also then (R5).
Result<bool> Node::wants_custody(ReadTxn& txn, Time now, const proto::EnvelopeRecord* envelope) {
  if (!envelope || !envelope->closed) return envelope != nullptr;
  const uint32_t quorum = directory_.policy(now).custody_quorum;
  const auto going = going_envelopes_.find(envelope->env_id);
  if (going != going_envelopes_.end() && going->second.custodies && *going->second.custodies >= quorum) return false;
  TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, row_key(envelope->uuid, envelope->recipient)));
  // An earlier life's position may have been given twice: of that, nothing more (R13).
  return item.env_id == envelope->env_id && item.inc == self_.inc && item.received.ms && item.custodies < quorum;
}

/// One Put of one document, if the lane has something that can go now.
Result<bool> Node::pump_lane(WriteTxn& txn, Time now, const PartyId& broker, Link& link, Lane lane, Effects& effects) {
  LaneCursor& cursor = link.cursors[static_cast<size_t>(lane)];
  if (!cursor.more) return false;
  const Bytes prefix = row_key(broker, lane);
  proto::Put put;
  PutInFlight flight;
  size_t bytes = 0;
  std::optional<DocUuid> uuid;
  for (size_t look = first_look_rows;; look = rows_per_look) {
    TRAM_TRY(rows, txn.scan(table::pending, row_key(broker, lane, cursor.from), prefix_end(prefix), look));
    bool full = false;
    for (const Row& row : rows) {
      const uint64_t order = Reader(BytesView(row.key).subspan(17)).u64();
      const auto env_id = id_at<EnvelopeId>(row.value, 0);
      if (link.in_flight.count(env_id)) {
        cursor.from = order + 1;
        continue;
      }
      TRAM_TRY(envelope, going_envelope(txn, env_id));
      TRAM_TRY(wanted, wants_custody(txn, now, envelope));
      if (!wanted) {
        TRAM_OK(txn.erase(table::pending, row.key));
        cursor.from = order + 1;
        continue;
      }
      if (link.unknown_there.count(envelope->recipient)) {
        cursor.from = order + 1;
        continue;
      }
      if (uuid && envelope->uuid != *uuid) {
        full = true;
        break;
      }
      if (!uuid) {
        TRAM_TRY(going, going_document(txn, envelope->uuid));
        const proto::OutRecord& record = going->record;
        auto known = link.bodies.find(record.doc_id);
        if (known == link.bodies.end() && !record.inline_body) {
          if (!link.uploads.count(record.doc_id) && link.uploads.size() < uploads_at_once_max)
            link.uploads.emplace(record.doc_id, Upload{record.uuid, record.header, record.manifest, record.body_name, record.body_bytes, record.chunks, lane, 0,
                                                       false, std::vector<bool>(record.chunks), 0, 0, {}, now});
          link.passed_over.insert(record.doc_id);
          cursor.from = order + 1;  // comes again when the body is there
          continue;
        }
        if (known != link.bodies.end() && !known->second) {
          link.passed_over.insert(record.doc_id);
          cursor.from = order + 1;  // its first Put is on the way
          continue;
        }
        uuid = record.uuid;
        put.doc_id = flight.doc_id = record.doc_id;
        if (known == link.bodies.end()) {
          if (going->inline_chunk.empty()) return fail(ErrorCode::store_corrupt, "body_inline");
          put.header = record.header;
          put.manifest = record.manifest;
          put.inline_chunk = going->inline_chunk;
          bytes += put.header.size() + put.manifest.size() + put.inline_chunk.size();
          flight.with_body = true;
          if (link.bodies.size() > bodies_known_max) link.bodies.clear();
          link.bodies[record.doc_id] = false;
        }
      }
      if (bytes + item_bytes > put_bytes_max || put.items.size() == limits::envelopes_per_put_max) {
        full = true;
        break;
      }
      bytes += item_bytes;
      put.items.push_back({envelope->envelope, envelope->officer_blob});
      flight.rows.push_back({lane, order, env_id});
      link.in_flight.insert(env_id);
      cursor.from = order + 1;
    }
    if (full) break;
    if (rows.size() < look) {
      cursor.more = false;
      break;
    }
  }
  if (put.items.empty()) return false;
  flight.sent = now;
  link.deficit[static_cast<size_t>(lane)] -= static_cast<int64_t>(bytes);
  const uint64_t request = send(broker, proto::Endpoint::control, std::move(put), effects);
  link.puts.emplace(request, std::move(flight));
  return true;
}

Result<void> Node::on_put_reply(WriteTxn& txn, Time now, const PartyId& broker, Link& link, uint64_t request,
                                proto::PutReply& reply, Effects& effects) {
  auto it = link.puts.find(request);
  if (it == link.puts.end()) return {};
  PutInFlight flight = std::move(it->second);
  link.puts.erase(it);
  const auto record = directory_.broker(broker);
  if (!record) return {};
  CustodyJob job;
  bool body_held = false;
  for (const PendingRow& row : flight.rows) {
    auto result = std::find_if(reply.results.begin(), reply.results.end(),
                               [&](const proto::PutResult& r) { return r.env_id == row.env_id; });
    if (result == reply.results.end()) {
      link.in_flight.erase(row.env_id);
      link.look_again();
      continue;
    }
    if (!result->custody.empty()) {
      body_held = true;
      job.items.push_back({broker, record->record.sig, std::move(result->custody), row.lane, row.order});
      continue;
    }
    link.in_flight.erase(row.env_id);
    const auto code = static_cast<ErrorCode>(result->refusal);
    log_.warning("put.refused", {{"envelope", row.env_id}, {"broker", broker}, {"error", error_info(code).name}});
    if (code == ErrorCode::missing_chunks) {
      link.look_again();
      continue;
    }
    if (code == ErrorCode::clock_wrong) {
      TRAM_TRY(envelope, find_envelope(txn, row.env_id));
      if (!envelope) continue;
      TRAM_TRY(decoded, crypto::decode_envelope(envelope->envelope));
      // Made while our clock was ahead: no broker takes it before its time, and by today's clock that is far off.
      if (decoded.created > now + limits::clock_tolerance) {
        body_held = true;
        TRAM_OK(txn.erase(table::pending, row_key(broker, row.lane, row.order)));
        TRAM_OK(reissue(txn, now, row.env_id, effects));
        continue;
      }
    }
    if (code == ErrorCode::no_node) {  // its directory is behind ours: this recipient waits, the others do not
      body_held = true;
      TRAM_TRY(envelope, going_envelope(txn, row.env_id));
      if (envelope) link.unknown_there[envelope->recipient] = now + milliseconds(static_cast<int64_t>(std::max<uint64_t>(result->retry_after_ms, 500)));
      continue;
    }
    if (code == ErrorCode::closed_agency) {  // its recipient, or we: what our directory may not know yet
      body_held = true;
      TRAM_TRY(envelope, going_envelope(txn, row.env_id));
      bool settled = !envelope || envelope->closed;
      if (!settled) {
        TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, row_key(envelope->uuid, envelope->recipient)));
        TRAM_TRY(we_closed, has_closed(txn, now, config_.self));
        settled = we_closed && item.state == proto::ItemState::accepted;
      }
      if (settled) {
        TRAM_OK(txn.erase(table::pending, row_key(broker, row.lane, row.order)));
        continue;
      }
      link.unknown_there[envelope->recipient] = now + closed_retry;
      ask_directory(now, broker, link, effects);
      left_.erase(envelope->recipient);
      left_.erase(config_.self);
      look_for_closed_ = true;
      continue;
    }
    if (is_transient(result->refusal)) {
      link.backoff_until = std::max(link.backoff_until, now + milliseconds(static_cast<int64_t>(std::max<uint64_t>(result->retry_after_ms, 500))));
      body_held = true;
      link.look_again();
      continue;
    }
    // Another envelope of ours has this number: this store is an old copy that no witness knew for one. Once a life, so that
    // a broker cannot use up the numbers.
    if (code == ErrorCode::equivocation && !recovered_ && !own_log_.is_fenced()) TRAM_OK(begin_recovery(txn, now, effects));
    body_held = true;
    TRAM_OK(txn.erase(table::pending, row_key(broker, row.lane, row.order)));
    TRAM_OK(log_leaf(txn, now, audit::LeafKind::custody_voided, {row.env_id, broker}));
    TRAM_TRY(envelope, find_envelope(txn, row.env_id));
    if (!envelope || envelope->closed) continue;
    const Bytes item_key = row_key(envelope->uuid, envelope->recipient);
    TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, item_key));
    item.waiting_reason = result->refusal;
    TRAM_OK(save(txn, table::item, item_key, item));
  }
  if (flight.with_body || !body_held) {
    if (body_held) link.bodies[flight.doc_id] = true;
    else link.bodies.erase(flight.doc_id);
    link.body_settled(flight.doc_id);
  }
  add_custody_job(std::move(job), effects);
  return {};
}

Result<void> Node::on_refused(WriteTxn& txn, Time now, const PartyId& broker, Link& link, uint64_t request,
                              const proto::Refused& refused, Effects& effects) {
  Duration wait = milliseconds(static_cast<int64_t>(std::clamp<uint64_t>(refused.retry_after_ms, 500, 60000)));
  if (refused.code == static_cast<uint16_t>(ErrorCode::suspended_agency)) {
    TRAM_TRY(own, agency_of(txn, now, config_.self));
    if (*own && (*own)->status == proto::AgencyStatus::active) wait = std::min(wait, lifted_retry);  // it is about to hear of that
  }
  log_.warning("request.refused", {{"broker", broker}, {"error", error_info(static_cast<ErrorCode>(refused.code)).name}});
  // Greeted before a later incarnation of us was known there: the next tick asks again.
  const bool greeted = std::exchange(link.greeted, link.greeted && refused.code != static_cast<uint16_t>(ErrorCode::fenced));
  if (refused.code == static_cast<uint16_t>(ErrorCode::fenced) && !greeted) own_log_.fenced(broker);
  if (refused.code == static_cast<uint16_t>(ErrorCode::fenced) && !greeted && !fenced_) {
    fenced_ = true;
    log_.error("node.fenced", {{"broker", broker}, {"inc", self_.inc}});
  }
  if (auto it = link.puts.find(request); it != link.puts.end()) {
    for (const PendingRow& row : it->second.rows) link.in_flight.erase(row.env_id);
    link.bodies.erase(it->second.doc_id);
    link.puts.erase(it);
    link.look_again();
    link.backoff_until = std::max(link.backoff_until, now + wait);
    return {};
  }
  for (auto& [doc, upload] : link.uploads) {
    if (upload.offer_request != request) continue;
    if (refused.code == static_cast<uint16_t>(ErrorCode::closed_agency)) {  // signed after we closed
      TRAM_TRY(we_closed, has_closed(txn, now, config_.self));
      if (we_closed) {  // what the others have not accepted ends
        TRAM_OK(erase_pending(txn, broker, upload.uuid));
        link.uploads.erase(DocId(doc));
        left_.erase(config_.self);
        look_for_closed_ = true;
        return {};
      }
      ask_directory(now, broker, link, effects);
      link.backoff_until = std::max(link.backoff_until, now + closed_retry);
    }
    upload.offer_request = 0;
    upload.last_heard = now;
    link.backoff_until = std::max(link.backoff_until, now + wait);
    return {};
  }
  link.mail_in_flight.clear();
  link.mail_left = true;
  return {};
}

// ---- large bodies -----------------------------------------------------------------------------------------------

void Node::pump_chunks(const PartyId& broker, Link& link, Time now, Effects& effects) {
  for (auto& [doc, upload] : link.uploads) {
    if (upload.offer_request == 0 && now >= link.backoff_until) {
      std::optional<ChunkSource> file;
      if (upload.manifest.empty()) file = ChunkSource{manifest_name(upload.body_name), 0, 16 + 32 * upload.chunks};
      upload.offer_request = send(broker, proto::Endpoint::bulk, proto::Offer{upload.header, upload.manifest}, effects, std::move(file));
      upload.last_heard = now;
    }
  }
  while (link.chunks_in_flight < limits::chunk_credit) {
    Upload* chosen = nullptr;
    const DocId* chosen_doc = nullptr;
    for (size_t i = 0; i < std::size(chunk_turns) && !chosen; ++i) {
      const Lane lane = chunk_turns[(link.chunk_turn + i) % std::size(chunk_turns)];
      for (auto& [doc, upload] : link.uploads)
        if (upload.lane == lane && upload.answered && upload.next < upload.chunks) {
          chosen = &upload;
          chosen_doc = &doc;
          break;
        }
    }
    if (!chosen) return;
    ++link.chunk_turn;
    const uint32_t index = chosen->next++;
    if (chosen->have[index]) continue;
    const uint64_t offset = uint64_t{index} * limits::sealed_chunk_bytes;
    const auto size = static_cast<uint32_t>(std::min<uint64_t>(limits::sealed_chunk_bytes, chosen->body_bytes - offset));
    chosen->in_flight.insert(index);
    ++link.chunks_in_flight;
    send(broker, proto::Endpoint::bulk, proto::ChunkPut{*chosen_doc, index}, effects, ChunkSource{chosen->body_name, offset, size});
  }
}

Result<void> Node::on_offer_reply(WriteTxn&, Time now, const PartyId& broker, Link& link, proto::OfferReply& reply, Effects& effects) {
  auto it = link.uploads.find(reply.doc_id);
  if (it == link.uploads.end()) return {};
  Upload& upload = it->second;
  upload.answered = true;
  upload.last_heard = now;
  upload.next = 0;
  upload.durable = 0;
  for (uint32_t i = 0; i < upload.chunks; ++i) {
    upload.have[i] = i / 8 < reply.have.size() && (reply.have[i / 8] >> (i % 8) & 1);
    upload.durable += upload.have[i];
  }
  if (upload.durable == upload.chunks) {
    link.bodies[reply.doc_id] = true;
    link.uploads.erase(it);
    link.look_again();
    return {};
  }
  pump_chunks(broker, link, now, effects);
  return {};
}

Result<void> Node::on_chunk_done(WriteTxn&, Time now, const PartyId& broker, Link& link, proto::ChunkDone& done, Effects& effects) {
  auto it = link.uploads.find(done.doc_id);
  if (it == link.uploads.end()) return {};
  Upload& upload = it->second;
  upload.last_heard = now;
  for (uint32_t index : done.indexes) {
    if (!upload.in_flight.erase(index)) continue;
    if (link.chunks_in_flight) --link.chunks_in_flight;
    if (done.refusal || index >= upload.chunks || upload.have[index]) continue;
    upload.have[index] = true;
    ++upload.durable;
  }
  if (done.refusal) {
    log_.warning("chunk.refused", {{"broker", broker}, {"error", error_info(static_cast<ErrorCode>(done.refusal)).name}});
    link.chunks_in_flight -= std::min<uint32_t>(link.chunks_in_flight, static_cast<uint32_t>(upload.in_flight.size()));
    upload.in_flight.clear();
    upload.offer_request = 0;  // ask again which chunks are wanted
    upload.answered = false;
    link.backoff_until = std::max(link.backoff_until, now + seconds(1));
    return {};
  }
  if (upload.durable == upload.chunks) {
    link.bodies[done.doc_id] = true;
    link.uploads.erase(it);
    link.look_again();
    return {};
  }
  pump_chunks(broker, link, now, effects);
  return {};
}

void Node::expire_requests(Link& link, Time now) {
  for (auto it = link.puts.begin(); it != link.puts.end();) {
    if (now - it->second.sent < request_timeout) {
      ++it;
      continue;
    }
    for (const PendingRow& row : it->second.rows) link.in_flight.erase(row.env_id);
    link.bodies.erase(it->second.doc_id);
    link.look_again();
    it = link.puts.erase(it);
  }
  for (auto& [doc, upload] : link.uploads) {
    if (!upload.offer_request || now - upload.last_heard < request_timeout) continue;
    link.chunks_in_flight -= std::min<uint32_t>(link.chunks_in_flight, static_cast<uint32_t>(upload.in_flight.size()));
    upload.in_flight.clear();
    upload.offer_request = 0;
    upload.answered = false;
  }
}

}  // namespace tram::node
