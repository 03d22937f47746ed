#include "broker/broker.h"

#include <algorithm>

#include "base/check.h"
#include "broker/state.h"

namespace tram::broker {

bool is_store_error(ErrorCode code) {
  return code == ErrorCode::store_corrupt || code == ErrorCode::io_failed || code == ErrorCode::storage_full ||
         code == ErrorCode::map_full;
}

// ---- shared by all parts ----------------------------------------------------------------------------------------

void Broker::State::send(Step& step, const Asker& to, proto::FrameBody frame_body, Bytes chunk) {
  step.out.sends.push_back({to.session, proto::Frame{to.request, std::move(frame_body)}, std::move(chunk)});
}

void Broker::State::refuse(Step& step, const Asker& to, ErrorCode code, Duration retry_after, std::string_view detail) {
  ++counters.refusals;
  proto::Refused refused;
  refused.code = number(code);
  refused.retry_after_ms = static_cast<uint64_t>(std::max<int64_t>(retry_after.ms, 0));
  refused.detail = std::string(detail.substr(0, 200));
  send(step, to, std::move(refused));
}

Result<PartyInfo> Broker::State::info(Step& step, const PartyId& id) {
  if (auto it = infos.find(id);
      it != infos.end() && step.now < it->second.read + info_kept && step.now >= it->second.read) {
    return it->second;
  }
  PartyInfo found;
  found.read = step.now;
  if (id.is_zero()) {
    found.kind = PeerKind::publisher;
  } else if (auto broker = directory.broker(id)) {
    found.kind = broker->record.retired ? PeerKind::unknown : PeerKind::broker;
    found.entry = broker->entry_index;
  } else if (auto known = directory.witness(id)) {
    found.kind = known->record.retired ? PeerKind::unknown : PeerKind::witness;
    found.entry = known->entry_index;
  } else {
    TRAM_TRY(agency, directory.agency(step.txn, id, step.now));
    if (agency) {
      found.kind = PeerKind::agency;
      found.status = agency->status;
      found.closed_since = agency->closed_since;
      found.entry = agency->entry_index;
      found.has_keys = agency->agency.keys.has_value();
      if (found.has_keys) found.sig = agency->agency.keys->sig;
    }
  }
  if (infos.size() >= cached_parties_max) infos.clear();
  infos[id] = found;
  return found;
}

/// Keys that were in force in the views and at the times named, without those already tried.
Result<std::vector<SigPublic>> Broker::State::other_keys(Step& step, const PartyId& id,
                                                         const std::vector<SigPublic>& tried,
                                                         const std::vector<std::pair<uint64_t, Time>>& views) {
  std::vector<SigPublic> keys;
  for (const auto& [size, at] : views) {
    TRAM_TRY(found, directory.sig_key(step.txn, id, std::min(size, directory.size()), at));
    if (!found || keys.size() >= 4) continue;
    const bool known = std::find(tried.begin(), tried.end(), *found) != tried.end() ||
                       std::find(keys.begin(), keys.end(), *found) != keys.end();
    if (!known) keys.push_back(*found);
  }
  return keys;
}

Result<PartyRecord*> Broker::State::party(Step& step, const PartyId& id) {
  auto it = parties.find(id);
  if (it == parties.end()) {
    CachedParty cached;
    TRAM_TRY(row, step.txn.get(table::party, id));
    if (row) TRAM_OK(proto::decode_record(*row, cached.record));
    cached.written = cached.record;
    it = parties.emplace(id, cached).first;
  }
  if (!it->second.touched) touched_parties.push_back(id);
  it->second.touched = true;
  return &it->second.record;
}

Result<void> Broker::State::append(Step& step, audit::LeafKind kind, std::initializer_list<BytesView> parts) {
  Bytes entry;
  for (BytesView part : parts) Writer(entry).raw(part);
  TRAM_OK(audit_log.append(step.txn, kind, step.now, entry, random));
  return {};
}

Result<std::optional<StoredEnvelope>> Broker::State::stored(ReadTxn& txn, const EnvelopeId& env_id) {
  TRAM_TRY(row, txn.get(table::envelope, env_id));
  if (!row) return std::optional<StoredEnvelope>{};
  StoredEnvelope record;
  TRAM_OK(proto::decode_record(*row, record));
  return std::optional<StoredEnvelope>(std::move(record));
}

Result<void> Broker::State::keep(Step& step, const EnvelopeId& env_id, const StoredEnvelope& record) {
  return step.txn.put(table::envelope, env_id, proto::encode_record(record));
}

Result<std::optional<BodyRecord>> Broker::State::body(ReadTxn& txn, BytesView key) {
  TRAM_TRY(row, txn.get(table::body, key));
  if (!row) return std::optional<BodyRecord>{};
  BodyRecord record;
  TRAM_OK(proto::decode_record(*row, record));
  return std::optional<BodyRecord>(std::move(record));
}

Result<std::optional<uint64_t>> Broker::State::bytes_of_body(Step& step, const PartyId& sender, const DocId& doc_id) {
  const Bytes key = table::body_key(sender, doc_id);
  if (auto it = docs.find(key); it != docs.end()) return std::optional<uint64_t>(it->second.bytes);
  TRAM_TRY(record, body(step.txn, key));
  if (!record) return std::optional<uint64_t>{};
  return std::optional<uint64_t>(record->bytes);
}

// ---- sessions -----------------------------------------------------------------------------------------------

Session& Broker::State::session(Step& step, const SessionKey& session_key, const PartyId& peer, PeerKind kind) {
  auto [it, fresh] = live.try_emplace(session_key);
  if (fresh) {
    it->second.peer = peer;
    it->second.kind = kind;
    auto& others = sessions_of[peer];
    size_t same = 0;
    std::optional<SessionKey> oldest;
    for (const auto& other : others) {
      if (other.endpoint != session_key.endpoint) continue;
      ++same;
      if (!oldest || live.at(other).heard < live.at(*oldest).heard) oldest = other;
    }
    if (same >= limits::sessions_per_party_max && oldest) close_session(*oldest);
    sessions_of[peer].insert(session_key);
  }
  it->second.heard = step.now;
  return it->second;
}

void Broker::State::close_session(const SessionKey& session_key) {
  auto it = live.find(session_key);
  if (it == live.end()) return;
  const PartyId peer = it->second.peer;
  live.erase(it);
  auto of = sessions_of.find(peer);
  if (of != sessions_of.end()) {
    of->second.erase(session_key);
    if (of->second.empty()) sessions_of.erase(of);
  }
  contents.drop(session_key);
  chunk_reads.drop(session_key);
  auto box = mailboxes.find(peer);
  if (box == mailboxes.end() || box->second.session != session_key) return;
  mailboxes.erase(box);
  dirty_mailboxes.erase(peer);
  // The latest other session that said Hello takes over, from the beginning of the queue.
  std::optional<SessionKey> next;
  if (of = sessions_of.find(peer); of != sessions_of.end()) {
    for (const auto& other : of->second) {
      const Session& candidate = live.at(other);
      if (candidate.hello == 0 || other.endpoint != proto::Endpoint::control) continue;
      if (!next || candidate.hello > live.at(*next).hello) next = other;
    }
  }
  if (next) {
    mailboxes[peer].session = *next;
    dirty_mailboxes.insert(peer);
  }
}

proto::HelloReply Broker::State::hello_reply(Time now) const {
  proto::HelloReply reply;
  reply.broker = config.self;
  reply.epoch = self.epoch;
  reply.log_size = audit_log.size();
  reply.log_root = audit_log.root();
  reply.time = now;
  reply.directory_size = directory.size();
  reply.checkpoint = own_log.witnessed_note();
  return reply;
}

Result<void> Broker::State::on_hello(Step& step, const FrameReceived& event, const proto::Hello& hello) {
  const Asker asker{event.session, event.peer, event.frame.request};
  Session& here = live.at(event.session);
  if (hello.version != proto::wire_version) {
    refuse(step, asker, ErrorCode::unsupported_version);
    return {};
  }
  proto::HelloReply reply = hello_reply(step.now);
  if (here.kind == PeerKind::agency && hello.recovering) {
    TRAM_TRY(proof, step.txn.get(table::incarnation, event.peer));
    if (proof) reply.incarnation = std::move(*proof);
    TRAM_TRY(notice, step.txn.get(table::recovery, event.peer));
    if (notice) reply.recovery = std::move(*notice);
  } else if (here.kind == PeerKind::agency) {
    TRAM_TRY(is_fenced, fenced(step, event.peer, hello.inc));
    if (is_fenced) {
      refuse(step, asker, ErrorCode::fenced, {}, "a later incarnation is known");
      return {};
    }
  }
  here.inc = hello.recovering ? 0 : hello.inc;
  const bool remembers = here.kind == PeerKind::agency || here.kind == PeerKind::witness;
  if (remembers && event.session.endpoint == proto::Endpoint::control)
    TRAM_OK(own_log.vouched(step.txn, step.now, event.peer, hello.seen));
  send(step, asker, std::move(reply));
  here.hello = ++hellos;
  if (here.kind == PeerKind::agency && event.session.endpoint == proto::Endpoint::control) {
    mailboxes[event.peer] = Mailbox{};
    mailboxes[event.peer].session = event.session;
    dirty_mailboxes.insert(event.peer);
    TRAM_OK(tell_damaged(step, event.peer));
  }
  return {};
}

// ---- dispatch -----------------------------------------------------------------------------------------------

Result<void> Broker::State::on_frame(Step& step, FrameReceived& event) {
  TRAM_TRY(peer, info(step, event.peer));
  const Asker asker{event.session, event.peer, event.frame.request};
  if (peer.kind == PeerKind::unknown) {
    ++counters.hostile;
    refuse(step, asker, ErrorCode::unknown_agency);
    return {};
  }
  session(step, event.session, event.peer, peer.kind);
  const bool bulk = event.session.endpoint == proto::Endpoint::bulk;
  const bool agency = peer.kind == PeerKind::agency;
  auto misplaced = [&] {
    ++counters.hostile;
    refuse(step, asker, ErrorCode::bad_request);
    return Result<void>{};
  };
  auto& frame_body = event.frame.body;
  if (!std::holds_alternative<proto::ChunkPut>(frame_body) && !event.chunk.empty()) return misplaced();

  // What everybody may ask.
  if (auto* hello = std::get_if<proto::Hello>(&frame_body)) return on_hello(step, event, *hello);
  if (std::holds_alternative<proto::Ping>(frame_body)) {
    send(step, asker, proto::Done{});
    return {};
  }
  if (std::holds_alternative<proto::Refused>(frame_body)) return {};
  if (!bulk) {
    if (auto* get = std::get_if<proto::DirectoryGet>(&frame_body)) return on_directory_get(step, asker, peer.kind, *get);
    if (auto* put = std::get_if<proto::DirectoryPut>(&frame_body))
      return on_directory_put(step, asker, peer.kind, *put);
    // A copy that was greeted before the other one recovered must neither take nor say what is the other one's (R13): the
    // log that it goes on with would convict both.
    const bool any_copy_may = std::holds_alternative<proto::KxGet>(frame_body) || std::holds_alternative<proto::CheckpointGet>(frame_body) ||
                              std::holds_alternative<proto::LeavesGet>(frame_body) || std::holds_alternative<proto::Put>(frame_body);
    if (agency && !any_copy_may) {
      TRAM_TRY(is_fenced, fenced(step, event.peer, live.at(event.session).inc));
      if (is_fenced) {
        refuse(step, asker, ErrorCode::fenced);
        return {};
      }
    }
    if (auto* put = std::get_if<proto::KxPut>(&frame_body)) return on_kx_put(step, asker, *put);
    if (auto* get = std::get_if<proto::KxGet>(&frame_body)) return on_kx_get(step, asker, *get);
    if (peer.kind != PeerKind::publisher) {
      if (auto* put = std::get_if<proto::CheckpointPut>(&frame_body)) return on_checkpoint_put(step, asker, *put);
      if (auto* get = std::get_if<proto::CheckpointGet>(&frame_body)) return on_checkpoint_get(step, asker, *get);
      if (auto* get = std::get_if<proto::LeavesGet>(&frame_body)) return on_leaves_get(step, asker, *get);
      if (auto* list = std::get_if<proto::CheckpointList>(&frame_body)) return on_checkpoint_list(step, asker, *list);
      if (auto* put = std::get_if<proto::CosignaturePut>(&frame_body)) return on_cosignature_put(step, asker, *put);
    }
  }
  // What agencies may ask.
  if (!agency) {
    ++counters.hostile;
    refuse(step, asker, ErrorCode::forbidden);
    return {};
  }
  if (bulk) {
    if (auto* offer = std::get_if<proto::Offer>(&frame_body)) return on_offer(step, event, *offer);
    if (auto* put = std::get_if<proto::ChunkPut>(&frame_body)) return on_chunk_put(step, event, *put);
    if (auto* get = std::get_if<proto::ManifestGet>(&frame_body)) return on_manifest_get(step, asker, *get);
    if (auto* get = std::get_if<proto::ChunkGet>(&frame_body)) return on_chunk_get(step, asker, *get);
    return misplaced();
  }
  if (auto* put = std::get_if<proto::Put>(&frame_body)) return on_put(step, event, *put);
  if (auto* fetch = std::get_if<proto::Fetch>(&frame_body)) return on_fetch(step, asker, *fetch);
  if (auto* put = std::get_if<proto::AckPut>(&frame_body)) return on_ack_put(step, event, *put);
  if (auto* post = std::get_if<proto::MailPost>(&frame_body)) return on_mail_post(step, event, *post);
  if (auto* done = std::get_if<proto::MailDone>(&frame_body)) return on_mail_done(step, asker, *done);
  if (auto* ids = std::get_if<proto::Reconcile>(&frame_body)) return on_reconcile(step, asker, *ids);
  return misplaced();
}

Result<void> Broker::State::on_job(Step& step, JobDone& done) {
  if (auto* result = std::get_if<VerifyPutDone>(&done)) return on_verified(step, *result);
  if (auto* result = std::get_if<SignDone>(&done)) {
    if (result->epoch != self.epoch) return {};
    for (auto& item : result->items) {
      step.out.sends.push_back({item.session, proto::Frame{item.request, std::move(item.reply)}, {}});
    }
    return {};
  }
  if (auto* result = std::get_if<OfferDone>(&done)) return on_offered(step, *result);
  if (auto* result = std::get_if<WriteChunkDone>(&done)) return on_chunk_written(step, *result);
  if (auto* result = std::get_if<SyncBodyDone>(&done)) return on_body_synced(step, *result);
  if (auto* result = std::get_if<ReadChunkDone>(&done)) return on_chunk_read(step, *result);
  if (auto* result = std::get_if<VerifyAckDone>(&done)) return on_acks_verified(step, *result);
  if (auto* result = std::get_if<VerifyMailDone>(&done)) return on_mail_verified(step, *result);
  if (auto* result = std::get_if<ListBodiesDone>(&done)) return on_files_listed(step, *result);
  if (auto* result = std::get_if<ScrubDone>(&done)) return on_scrubbed(step, *result);
  if (auto* result = std::get_if<RemoveBodiesDone>(&done)) {
    for (const auto& name : result->names) removing.erase(name);
    if (!result->outcome && result->outcome.error().code == ErrorCode::io_failed) return fail(result->outcome.error());
    return {};
  }
  if (auto* result = std::get_if<ReadManifestDone>(&done)) {
    if (!result->manifest && result->manifest.error().code == ErrorCode::io_failed)
      return fail(result->manifest.error());
    proto::ManifestData data;
    data.doc_id = result->doc_id;
    if (result->manifest) {
      data.manifest = std::move(*result->manifest);
    } else {
      log.error("manifest.was_missing", {{"doc_id", result->doc_id}});
      data.refusal = number(ErrorCode::not_found);
    }
    send(step, result->asker, std::move(data));
  }
  return {};
}

/// A result that comes too late for its step: only what was counted when its job left.
void Broker::State::forget_job(const JobDone& done) {
  if (const auto* result = std::get_if<VerifyPutDone>(&done)) {
    for (const auto& item : result->items) puts_in_flight -= std::min(puts_in_flight, item.asked.put.items.size());
  } else if (const auto* acks = std::get_if<VerifyAckDone>(&done)) {
    for (const auto& item : acks->items) acks_in_flight -= std::min(acks_in_flight, item.asked.put.items.size());
  } else if (const auto* mail = std::get_if<VerifyMailDone>(&done)) {
    if (mail->asked.counted) acks_in_flight -= std::min(acks_in_flight, mail->asked.post.items.size());
  } else if (const auto* offer = std::get_if<OfferDone>(&done)) {
    offers_in_flight.erase(offer->asked.doc_id);
  } else if (const auto* written = std::get_if<WriteChunkDone>(&done)) {
    bulk_jobs -= std::min<size_t>(bulk_jobs, 1);
    write_bytes_waiting -= std::min<uint64_t>(write_bytes_waiting, written->bytes);
  } else if (const auto* chunk = std::get_if<ReadChunkDone>(&done)) {
    bulk_jobs -= std::min<size_t>(bulk_jobs, 1);
    if (auto it = live.find(chunk->asker.session); it != live.end() && it->second.reads > 0) --it->second.reads;
  } else if (const auto* removed = std::get_if<RemoveBodiesDone>(&done)) {
    for (const auto& name : removed->names) removing.erase(name);
  }
}

Result<void> Broker::State::on_event(Step& step, Event& event) {
  if (auto* frame = std::get_if<FrameReceived>(&event)) return on_frame(step, *frame);
  if (auto* done = std::get_if<JobDone>(&event)) return on_job(step, *done);
  if (auto* closed = std::get_if<SessionClosed>(&event)) {
    close_session(closed->session);
    return {};
  }
  if (auto* state = std::get_if<SessionBusy>(&event)) {
    if (auto it = live.find(state->session); it != live.end()) {
      it->second.busy = state->busy;
      if (!state->busy && mailboxes.contains(it->second.peer)) dirty_mailboxes.insert(it->second.peer);
    }
    return {};
  }
  if (auto* up = std::get_if<PeerUp>(&event)) {
    PeerState& peer = peers[up->broker];
    peer = PeerState{};
    greet_peer(step, up->broker, peer);
    return {};
  }
  if (auto* down = std::get_if<PeerDown>(&event)) {
    peers.erase(down->broker);
    own_log.disconnected(down->broker);
    return {};
  }
  if (auto* frame = std::get_if<PeerFrame>(&event)) return on_peer_frame(step, frame->broker, frame->frame);
  const Tick& tick = std::get<Tick>(event);
  disk_percent = tick.disk_used_percent;
  clock_ok = tick.clock_ok;
  step.tick = true;
  return {};
}

/// Splits what the step gathered into jobs, serves the queues, writes what is dirty.
Result<void> Broker::State::finish(Step& step) {
  VerifyPutJob batch;
  size_t signatures = 0;
  auto flush_puts = [&] {
    if (!batch.items.empty()) step.out.jobs.push_back(std::move(batch));
    batch = {};
    signatures = 0;
  };
  for (auto& item : step.puts.items) {
    signatures += item.put.items.size() + 1;
    batch.items.push_back(std::move(item));
    if (batch.items.size() >= puts_per_job_max || signatures >= signatures_per_job_max) flush_puts();
  }
  flush_puts();
  VerifyAckJob acks;
  signatures = 0;
  for (auto& item : step.acks.items) {
    signatures += item.put.items.size();
    acks.items.push_back(std::move(item));
    if (signatures >= signatures_per_job_max) {
      step.out.jobs.push_back(std::move(acks));
      acks = {};
      signatures = 0;
    }
  }
  if (!acks.items.empty()) step.out.jobs.push_back(std::move(acks));
  SignJob sign{signing_key, self.epoch, {}};
  signatures = 0;
  for (auto& item : step.to_sign) {
    signatures += item.reply.results.size();
    sign.items.push_back(std::move(item));
    if (signatures >= signatures_per_job_max) {
      step.out.jobs.push_back(std::move(sign));
      sign = SignJob{signing_key, self.epoch, {}};
      signatures = 0;
    }
  }
  if (!sign.items.empty()) step.out.jobs.push_back(std::move(sign));

  if (tell_epoch) {
    tell_epoch = false;
    for (const auto& [session_key, one] : live)
      if (one.hello != 0) step.out.sends.push_back({session_key, proto::Frame{0, hello_reply(step.now)}, {}});
  }
  if (step.tick) {
    audit::OwnLog::Sends sends;
    TRAM_OK(own_log.tick(step.txn, step.now, sends));
    post(step, sends);
    if (may_promise()) TRAM_OK(directory_views.sign_if_due(step.txn, step.now));
    TRAM_OK(run_timers(step));
    TRAM_OK(sync_peers(step));
    TRAM_OK(scrub_turn(step));
    deliver_mail_again(step.now);
    std::vector<SessionKey> idle;
    for (const auto& [session_key, one] : live) {
      if (one.heard + session_idle_max < step.now) idle.push_back(session_key);
    }
    for (const auto& session_key : idle) close_session(session_key);
  }
  for (auto it = dirty_mailboxes.begin(); it != dirty_mailboxes.end();) {
    auto box = mailboxes.find(*it);
    if (box != mailboxes.end()) {
      auto there = live.find(box->second.session);
      if (there != live.end() && there->second.busy) {
        ++it;
        continue;
      }
      TRAM_OK(fill_mailbox(step, box->first, box->second));
    }
    it = dirty_mailboxes.erase(it);
  }
  TRAM_OK(serve_contents(step));
  start_bulk_jobs(step);
  const auto next_sync = start_syncs(step);

  TRAM_OK(write_parties(step));
  if (parties.size() > cached_parties_max) parties.clear();
  if (docs.size() > cached_parties_max) docs.clear();
  if (self_dirty) {
    TRAM_OK(step.txn.put(table::self, view(table::self_key), proto::encode_record(self)));
    self_dirty = false;
  }
  TRAM_OK(audit_log.store_head(step.txn));
  if (const auto restored = own_log.take_restored()) step.out.restored_copy = restored->seen_size;
  // Also now and then: an entry may say from when on it holds.
  const bool due = step.tick && (step.now >= allow_list_due || step.now + allow_list_every < allow_list_due);
  if (due) allow_list_due = step.now + allow_list_every;
  if (directory_grew || due) {
    TRAM_OK(directory_views.settle(step.txn, step.now));
    set_witnesses(step.now);
    step.out.allow_list_changed = true;
    directory_grew = false;
  }

  auto wake = [&](Time at) {
    if (!step.out.wake_at || at < *step.out.wake_at) step.out.wake_at = at;
  };
  auto ready = [&](const SessionKey& session_key) {
    auto it = live.find(session_key);
    return it != live.end() && !it->second.busy;
  };
  if (contents.size() > 0 && contents.any(ready)) wake(step.now);
  if (!handed.empty()) wake(handed_since + handed_wait);
  if (next_sync) wake(*next_sync);
  TRAM_TRY(timers, step.txn.scan(table::timer, {}, {}, 1));
  if (!timers.empty()) {
    TRAM_TRY(row, table::read_timer_key(timers.front().key));
    wake(std::max(row.at, step.now));
  }
  for (const auto& [id, peer] : peers) {
    if (peer.greeted && !peer.asking_directory) wake(std::max(peer.next_directory, step.now));
  }
  return {};
}

Result<void> Broker::State::forget_caches(ReadTxn& txn) {
  infos.clear();
  roots.clear();
  parties.clear();
  touched_parties.clear();
  docs.clear();
  uploads.clear();
  TRAM_TRY(row, txn.get(table::self, view(table::self_key)));
  if (!row) return fail(ErrorCode::not_found, "epoch");
  TRAM_OK(proto::decode_record(*row, self));
  self_dirty = false;
  if (self.party != config.self || self.realm != config.realm) return fail(ErrorCode::wrong_realm, "store");
  TRAM_OK(directory.load(txn));
  TRAM_OK(load_scrub(txn));
  return audit_log.load(txn);
}

// ---- public -------------------------------------------------------------------------------------------------

Broker::Broker(Config config, std::shared_ptr<const crypto::SigningKey> key,
               std::shared_ptr<const crypto::LogKey> log_key, directory::Directory& directory, audit::Log& audit_log,
               Log& log, Random& random)
    : state_(std::make_unique<State>(std::move(config), std::move(key), std::move(log_key), directory, audit_log, log,
                                     random)) {}
Broker::~Broker() = default;

Result<void> Broker::initialize(WriteTxn& txn, Time now) {
  TRAM_TRY(row, txn.get(table::self, view(table::self_key)));
  if (row) return fail(ErrorCode::conflict, "epoch");
  TRAM_OK(state_->audit_log.load(txn));
  TRAM_OK(state_->audit_log.draw_generation(txn, state_->random));
  proto::BrokerRecord self;
  self.party = state_->config.self;
  self.realm = state_->config.realm;
  self.epoch = state_->random.id<Epoch>();
  self.opened = now;
  TRAM_OK(txn.put(table::self, view(table::self_key), proto::encode_record(self)));
  TRAM_OK(state_->audit_log.append(txn, audit::LeafKind::epoch_opened, now, self.epoch, state_->random));
  return state_->audit_log.store_head(txn);
}

Result<void> Broker::start(WriteTxn& txn, Time now, Effects& effects) {
  State& s = *state_;
  s.live.clear();
  s.sessions_of.clear();
  s.mailboxes.clear();
  s.dirty_mailboxes.clear();
  s.peers.clear();
  s.told.clear();
  TRAM_OK(s.forget_caches(txn));
  TRAM_OK(s.own_log.start(txn, now));
  TRAM_OK(s.directory_views.start(txn, now));
  s.set_witnesses(now);
  s.fresh_epoch = s.tell_epoch = false;
  effects.jobs.push_back(ListBodiesJob{});
  effects.allow_list_changed = true;
  effects.wake_at = now;
  return {};
}

Result<void> Broker::step(WriteTxn& txn, Time now, std::span<Event> events, Effects& effects) {
  Step step{txn, now, effects, {}, {}, {}, false, events.size() > busy_step_events};
  state_->started = {};
  auto done = state_->mark_waiting(step, events);
  size_t next = 0;
  while (done && next < events.size()) done = state_->on_event(step, events[next++]);
  if (done) return state_->finish(step);
  // The rest of an aborted step asks nothing of the store: what jobs end, who is slow, who went.
  for (; next < events.size(); ++next) {
    if (auto* job = std::get_if<JobDone>(&events[next])) state_->forget_job(*job);
    else if (!std::holds_alternative<FrameReceived>(events[next]) && !std::holds_alternative<PeerFrame>(events[next]))
      TRAM_OK(state_->on_event(step, events[next]));
  }
  return done;
}

namespace {

/// Whom an event of an aborted step would have brought an answer. Askers are plain values: they outlive what was moved out
/// of the events meanwhile.
void collect_askers(const Event& event, std::vector<Asker>& askers) {
  if (const auto* frame = std::get_if<FrameReceived>(&event)) {
    askers.push_back({frame->session, frame->peer, frame->frame.request});
    return;
  }
  const auto* job = std::get_if<JobDone>(&event);
  if (job == nullptr) return;
  if (const auto* puts = std::get_if<VerifyPutDone>(job))
    for (const auto& item : puts->items) askers.push_back(item.asked.asker);
  if (const auto* acks = std::get_if<VerifyAckDone>(job))
    for (const auto& item : acks->items) askers.push_back(item.asked.asker);
  if (const auto* mail = std::get_if<VerifyMailDone>(job)) askers.push_back(mail->asked.asker);
  if (const auto* offer = std::get_if<OfferDone>(job)) askers.push_back(offer->asked.asker);
}

}  // namespace

Result<void> Broker::reload(ReadTxn& txn, Time, std::span<const Event> aborted, Effects& effects) {
  State& s = *state_;
  std::vector<Asker> askers;
  for (const Event& event : aborted) collect_askers(event, askers);
  for (const Asker& asker : askers) {
    if (asker.request == 0) continue;
    ++s.counters.refusals;
    proto::Refused refused;
    refused.code = number(ErrorCode::storage_full);
    refused.retry_after_ms = static_cast<uint64_t>(storage_retry.ms);
    effects.sends.push_back({asker.session, proto::Frame{asker.request, std::move(refused)}, {}});
  }
  TRAM_OK(s.forget_caches(txn));
  TRAM_OK(s.own_log.load(txn));
  TRAM_OK(s.directory_views.load(txn));
  // The jobs of the aborted step never ran, and the chunks that waited in memory are sent again by their owners.
  s.puts_in_flight -= s.started.puts;
  s.acks_in_flight -= s.started.acks;
  s.bulk_jobs -= s.started.bulk;
  s.write_bytes_waiting -= s.started.write_bytes;
  for (const auto& doc_id : s.started.offers) s.offers_in_flight.erase(doc_id);
  for (const auto& name : s.started.removing) s.removing.erase(name);
  for (const auto& session : s.started.reads) {
    if (auto it = s.live.find(session); it != s.live.end() && it->second.reads > 0) --it->second.reads;
  }
  s.handed.insert(s.handed.begin(), s.started.handed.begin(), s.started.handed.end());
  s.started = {};
  for (const auto& job : s.writes) s.write_bytes_waiting -= job.sealed.size();
  s.writes.clear();
  for (auto& [peer, box] : s.mailboxes) {
    const SessionKey session = box.session;
    box = Mailbox{};
    box.session = session;
    s.dirty_mailboxes.insert(peer);
  }
  return {};
}

bool Broker::control_room() const {
  return state_->puts_in_flight < puts_in_flight_max / 4 && state_->acks_in_flight < puts_in_flight_max / 4;
}
bool Broker::bulk_room() const { return state_->write_bytes_waiting < chunk_bytes_waiting_max / 2; }
const Config& Broker::config() const { return state_->config; }
const Epoch& Broker::epoch() const { return state_->self.epoch; }
const audit::OwnLog& Broker::own_log() const { return state_->own_log; }
const Counters& Broker::counters() const { return state_->counters; }
size_t Broker::sessions() const { return state_->live.size(); }
const Scrub& Broker::scrub() const { return state_->scrub; }
const std::vector<DamagedRow>& Broker::damaged_rows() const { return state_->scrub.damaged(); }
size_t Broker::damaged_bodies() const { return state_->damaged.size(); }

}  // namespace tram::broker
