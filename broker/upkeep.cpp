// Upkeep: ends of lifetimes and leases, garbage collection (R16, R19, R40), the directory's copy, peers, a new epoch.
#include <algorithm>

#include "broker/state.h"

namespace tram::broker {
namespace {

constexpr size_t directory_reply_bytes_max = 100u << 10;
constexpr size_t agencies_per_tick_max = 256;
constexpr size_t feeds_per_frame_max = 48;
constexpr Duration feeds_round = minutes(10);
constexpr size_t recovery_page_rows = 32;

constexpr uint8_t timer_mark[] = {1};

}  // namespace

// ---- timers -------------------------------------------------------------------------------------------------

Result<void> Broker::State::run_timers(Step& step) {
  const Bytes until = table::timer_key(step.now + milliseconds(1), table::TimerKind{}, {});
  TRAM_TRY(rows, step.txn.scan(table::timer, {}, until, timers_per_step_max));
  for (const Row& row : rows) {
    TRAM_TRY(timer, table::read_timer_key(row.key));
    TRAM_OK(step.txn.erase(table::timer, row.key));
    if (timer.kind == table::TimerKind::envelope_end) {
      const auto env_id = EnvelopeId::from(timer.id);
      if (!env_id) return fail(ErrorCode::store_corrupt, "timer");
      TRAM_OK(envelope_ends(step, *env_id));
    } else if (timer.kind == table::TimerKind::lease_end) {
      TRAM_OK(lease_ends(step, timer.id));
    } else {
      TRAM_OK(mail_ends(step, timer.id));
    }
  }
  return {};
}

Result<void> Broker::State::envelope_ends(Step& step, const EnvelopeId& env_id) {
  TRAM_TRY(record, stored(step.txn, env_id));
  if (!record) return {};
  const Time last = record->not_after + limits::grace + limits::delta;
  if (record->state == EnvelopeState::gone && step.now >= last) {
    TRAM_TRY(holder, step.txn.get(table::position, record->position));
    if (holder && equal(*holder, env_id)) TRAM_OK(step.txn.erase(table::position, record->position));
    return step.txn.erase(table::envelope, env_id);
  }
  if (record->state == EnvelopeState::stored) {
    TRAM_OK(append(step, audit::LeafKind::expired, {env_id}));
    TRAM_OK(leave_queue(step, *record));
    ++counters.expired;
    TRAM_OK(retire(step, env_id, *record, GoneReason::expired));
  } else if (record->state == EnvelopeState::acked) {
    TRAM_OK(retire(step, env_id, *record, GoneReason::acked));
  }
  return step.txn.put(table::timer, table::timer_key(last, table::TimerKind::envelope_end, env_id), timer_mark);
}

Result<void> Broker::State::lease_ends(Step& step, BytesView key) {
  TRAM_TRY(row, step.txn.get(table::lease, key));
  TRAM_TRY(record, body(step.txn, key));
  if (!row || !record) return {};
  LeaseRecord lease;
  TRAM_OK(proto::decode_record(*row, lease));
  // R40: all three are checked again inside the transaction that frees.
  if (lease.until > step.now) {
    return step.txn.put(table::timer, table::timer_key(lease.until, table::TimerKind::lease_end, key), timer_mark);
  }
  TRAM_TRY(pins, step.txn.scan(table::pin, table::pins_from(key), prefix_end(key), 1));
  if (!pins.empty()) return {};  // the last pin sets the timer again
  if (auto it = uploads.find(to_bytes(key)); it != uploads.end() && !it->second.idle()) {
    return step.txn.put(table::timer, table::timer_key(step.now + minutes(1), table::TimerKind::lease_end, key),
                        timer_mark);
  }
  return free_body(step, table::sender_of_key(key), table::doc_of_key(key), *record);
}

Result<void> Broker::State::mail_ends(Step& step, BytesView key) {
  TRAM_TRY(row, step.txn.get(table::mail, key));
  if (!row) return {};
  StoredMail mail;
  TRAM_OK(proto::decode_record(*row, mail));
  Reader reader(key);
  const PartyId addressee{reader.array<16>()};
  const uint64_t serial = reader.u64();
  TRAM_OK(append(step, audit::LeafKind::mail_expired, {mail.id, addressee}));
  return erase_mail(step, addressee, serial, mail);
}

// ---- bodies -------------------------------------------------------------------------------------------------

/// One of its pins went: when that was the last, the body goes too, a file after its lease.
Result<void> Broker::State::body_unpinned(Step& step, const PartyId& sender, const DocId& doc_id) {
  const Bytes key = table::body_key(sender, doc_id);
  TRAM_TRY(pins, step.txn.scan(table::pin, table::pins_from(key), prefix_end(key), 1));
  if (!pins.empty()) return {};
  docs.erase(key);
  TRAM_TRY(record, body(step.txn, key));
  if (!record) return {};
  TRAM_TRY(counts, party(step, sender));
  counts->pinned_bytes -= std::min(counts->pinned_bytes, record->bytes);
  counts->unpinned_bytes += record->bytes;
  if (record->inline_body) return free_body(step, sender, doc_id, *record);
  TRAM_TRY(row, step.txn.get(table::lease, key));
  if (!row) return fail(ErrorCode::store_corrupt, "lease");
  LeaseRecord lease;
  TRAM_OK(proto::decode_record(*row, lease));
  lease.until = std::min(lease.until, step.now + config.body_linger);
  TRAM_OK(step.txn.put(table::lease, key, proto::encode_record(lease)));
  if (auto it = uploads.find(key); it != uploads.end()) it->second.lease.until = lease.until;
  return step.txn.put(table::timer, table::timer_key(std::max(lease.until, step.now), table::TimerKind::lease_end, key),
                      timer_mark);
}

Result<void> Broker::State::free_body(Step& step, const PartyId& sender, const DocId& doc_id,
                                      const BodyRecord& record) {
  const Bytes key = table::body_key(sender, doc_id);
  TRAM_TRY(counts, party(step, sender));
  counts->unpinned_bytes -= std::min(counts->unpinned_bytes, record.bytes);
  TRAM_OK(step.txn.erase(table::body, key));
  TRAM_OK(step.txn.erase(table::body_inline, key));
  TRAM_OK(step.txn.erase(table::lease, key));
  if (damaged.erase(key) > 0) TRAM_OK(step.txn.erase(table::damaged, key));
  docs.erase(key);
  uploads.erase(key);
  TRAM_OK(append(step, audit::LeafKind::body_freed, {doc_id}));
  if (!record.inline_body) remove_files(step, {body_name(doc_id), manifest_name(doc_id)});
  return {};
}

void Broker::State::remove_files(Step& step, std::vector<std::string> names) {
  for (const auto& name : names) {
    if (removing.insert(name).second) started.removing.push_back(name);
  }
  step.out.jobs.push_back(RemoveBodiesJob{std::move(names)});
}

/// Files without rows are left over from a crash between file and row (D5).
Result<void> Broker::State::on_files_listed(Step& step, ListBodiesDone& done) {
  if (!done.names) {
    if (done.names.error().code == ErrorCode::io_failed) return fail(done.names.error());
    return {};
  }
  // Rows are keyed by sender first, so the known files are collected by one walk over the leases.
  std::set<std::string> known;
  Bytes from;
  for (;;) {
    TRAM_TRY(rows, step.txn.scan(table::lease, from, {}, 256));
    if (rows.empty()) break;
    for (const Row& row : rows) {
      known.insert(body_name(table::doc_of_key(row.key)));
      known.insert(manifest_name(table::doc_of_key(row.key)));
    }
    from = rows.back().key;
    from.push_back(0);
  }
  for (const auto& doc_id : offers_in_flight) {
    known.insert(body_name(doc_id));
    known.insert(manifest_name(doc_id));
  }
  std::vector<std::string> orphans;
  for (const auto& name : *done.names) {
    if (!known.contains(name) && !removing.contains(name)) orphans.push_back(name);
  }
  if (orphans.empty()) return {};
  log.info("orphans.were_removed", {{"files", static_cast<uint64_t>(orphans.size())}});
  remove_files(step, std::move(orphans));
  return {};
}

// ---- directory ----------------------------------------------------------------------------------------------

Result<void> Broker::State::on_directory_get(Step& step, const Asker& asker, PeerKind kind, const proto::DirectoryGet& get) {
  // Thousands of nodes ask: only witnesses are listened to, whose word it is.
  if (kind == PeerKind::broker || kind == PeerKind::witness) TRAM_OK(directory_views.take(step.txn, step.now, get.views));
  proto::DirectoryEntries reply;
  reply.size = directory.size();
  reply.from = get.from;
  if (get.from < directory.size()) {
    TRAM_TRY(entries, directory.entries(step.txn, get.from, directory_reply_bytes_max));
    if (entries.size() > limits::items_per_frame_max) entries.resize(limits::items_per_frame_max);
    reply.entries = std::move(entries);
  }
  if (reply.from + reply.entries.size() >= reply.size) reply.views = directory_views.notes();
  send(step, asker, std::move(reply));
  return {};
}

Result<void> Broker::State::apply_entry(Step& step, BytesView entry, std::optional<Error>& refused) {
  const uint64_t before = directory.size();
  auto applied = directory.apply(step.txn, entry, step.now);
  if (!applied) {
    if (is_store_error(applied.error().code)) return fail(applied.error());
    refused = applied.error();
    return {};
  }
  if (directory.size() == before) return {};
  Bytes index;
  Writer(index).u64(before);
  TRAM_OK(append(step, audit::LeafKind::directory_applied, {index, directory.last_payload_hash()}));
  infos.clear();
  directory_grew = true;
  return {};
}

Result<void> Broker::State::on_directory_put(Step& step, const Asker& asker, PeerKind kind,
                                             const proto::DirectoryPut& put) {
  if (kind != PeerKind::publisher && kind != PeerKind::broker) {
    ++counters.hostile;
    refuse(step, asker, ErrorCode::forbidden);
    return {};
  }
  for (const auto& entry : put.entries) {
    std::optional<Error> refused;
    TRAM_OK(apply_entry(step, entry, refused));
    if (refused) {
      refuse(step, asker, refused->code, {}, refused->detail);
      return {};
    }
  }
  send(step, asker, proto::Done{});
  return {};
}

Result<void> Broker::State::on_kx_put(Step& step, const Asker& asker, const proto::KxPut& put) {
  auto kept = directory.store_kx_feed(step.txn, put.feed, step.now);
  if (!kept) {
    if (is_store_error(kept.error().code)) return fail(kept.error());
    ++counters.hostile;
    refuse(step, asker, kept.error().code);
    return {};
  }
  send(step, asker, proto::Done{});
  return {};
}

Result<void> Broker::State::on_kx_get(Step& step, const Asker& asker, const proto::KxGet& get) {
  proto::KxFeeds reply;
  size_t bytes = 0;
  for (const auto& agency : get.agencies) {
    TRAM_TRY(feed, directory.kx_feed(step.txn, agency));
    if (!feed) continue;
    bytes += feed->size();
    if (bytes > directory_reply_bytes_max) break;
    reply.feeds.push_back(std::move(*feed));
  }
  send(step, asker, std::move(reply));
  return {};
}

// ---- peers: other brokers' directory and feeds ----------------------------------------------------------------

void Broker::State::ask_peer(Step& step, const PartyId& broker, proto::FrameBody frame_body) {
  step.out.peer_sends.push_back({broker, proto::Frame{++peer_requests, std::move(frame_body)}});
}

/// Again when no answer came: an aborted step lets nothing out.
void Broker::State::greet_peer(Step& step, const PartyId& broker, PeerState& peer) {
  peer.next_directory = step.now + config.peer_sync;
  proto::Hello hello;
  hello.directory_size = directory.size();
  hello.software = config.software;
  ask_peer(step, broker, std::move(hello));
}

Result<void> Broker::State::on_peer_frame(Step& step, const PartyId& broker, proto::Frame& frame) {
  auto it = peers.find(broker);
  if (it == peers.end()) return {};
  PeerState& peer = it->second;
  audit::OwnLog::Sends sends;
  if (std::holds_alternative<proto::HelloReply>(frame.body)) {
    peer.greeted = true;
    peer.asking_directory = true;
    peer.next_directory = step.now + config.peer_sync;
    peer.next_feeds = step.now;
    ask_peer(step, broker, proto::DirectoryGet{directory.size(), directory_views.notes()});
    own_log.connected(broker, step.now, sends);
    post(step, sends);
    return {};
  }
  const auto of_own_log = [&](const auto& answer) -> Result<void> {
    TRAM_OK(own_log.on(step.txn, step.now, broker, answer, sends));
    post(step, sends);
    return {};
  };
  if (auto* data = std::get_if<proto::CheckpointData>(&frame.body)) return of_own_log(*data);
  if (auto* reply = std::get_if<proto::CheckpointReply>(&frame.body)) return of_own_log(*reply);
  if (auto* leaves = std::get_if<proto::LeavesData>(&frame.body)) return of_own_log(*leaves);
  if (auto* entries = std::get_if<proto::DirectoryEntries>(&frame.body)) {
    peer.asking_directory = false;
    const uint64_t before = directory.size();
    for (const auto& entry : entries->entries) {
      std::optional<Error> refused;
      TRAM_OK(apply_entry(step, entry, refused));
      if (refused) {
        log.warning("entry.was_refused", {{"broker", broker}, {"error", error_info(refused->code).name}});
        return {};
      }
    }
    if (directory.size() > before && directory.size() < entries->size) {
      peer.asking_directory = true;
      ask_peer(step, broker, proto::DirectoryGet{directory.size(), {}});
    }
    return directory_views.take(step.txn, step.now, entries->views);
  }
  if (auto* feeds = std::get_if<proto::KxFeeds>(&frame.body)) {
    peer.asking_feeds = false;
    for (const auto& feed : feeds->feeds) {
      auto kept = directory.store_kx_feed(step.txn, feed, step.now);
      if (!kept && is_store_error(kept.error().code)) return fail(kept.error());
    }
    return {};
  }
  // A refusal, or an answer to nothing: ask again at the next turn.
  peer.asking_directory = false;
  peer.asking_feeds = false;
  return {};
}

Result<void> Broker::State::ask_feeds(Step& step, const PartyId& broker, PeerState& peer) {
  if (agencies_size != directory.size()) {
    TRAM_TRY(all, directory.group(step.txn, "all", step.now));
    agencies = std::move(all);
    agencies_size = directory.size();
    peer.feeds_at = 0;
  }
  proto::KxGet get;
  size_t seen = 0;
  for (; peer.feeds_at < agencies.size() && seen < agencies_per_tick_max && get.agencies.size() < feeds_per_frame_max;
       ++peer.feeds_at, ++seen) {
    const PartyId& agency = agencies[peer.feeds_at];
    TRAM_TRY(found, info(step, agency));
    if (!found.has_keys) continue;
    TRAM_TRY(ahead, directory.kx_epoch(step.txn, agency, step.now + limits::kx_epoch));
    if (!ahead) get.agencies.push_back(agency);
  }
  if (peer.feeds_at >= agencies.size()) {
    peer.feeds_at = 0;
    peer.next_feeds = step.now + feeds_round;
  }
  if (get.agencies.empty()) return {};
  peer.asking_feeds = true;
  ask_peer(step, broker, std::move(get));
  return {};
}

Result<void> Broker::State::sync_peers(Step& step) {
  // Set back: what waits for an hour of the old clock is due now (R43).
  if (step.now + seconds(1) < clock_seen)
    for (auto& [broker, peer] : peers) peer.next_directory = peer.next_feeds = {};
  clock_seen = step.now;
  for (auto& [broker, peer] : peers) {
    if (!peer.greeted) {
      if (step.now >= peer.next_directory) greet_peer(step, broker, peer);
      continue;
    }
    if (step.now >= peer.next_directory) {
      // An answer that is overdue is forgotten: the connection may have dropped it.
      peer.asking_directory = true;
      peer.asking_feeds = false;
      peer.next_directory = step.now + config.peer_sync;
      ask_peer(step, broker, proto::DirectoryGet{directory.size(), directory_views.notes()});
    }
    if (!peer.asking_feeds && step.now >= peer.next_feeds) TRAM_OK(ask_feeds(step, broker, peer));
  }
  return {};
}

// ---- a new epoch --------------------------------------------------------------------------------------------

namespace {

/// Checks one stored body against its own manifest; `lease` loses the bits of chunks that are damaged or absent.
Result<bool> whole(ReadTxn& txn, Bodies& bodies, BytesView key, const BodyRecord& record, LeaseRecord* lease) {
  Bytes had = std::move(lease->have);  // nothing counts before it is checked, whatever ends the check early
  had.resize((record.chunks + 7) / 8);
  lease->have.assign(had.size(), 0);
  lease->present = 0;
  auto header = crypto::decode_header(record.header);
  if (!header || header->id != table::doc_of_key(key) || header->sender != table::sender_of_key(key)) return false;
  if (record.inline_body) {
    Bytes chunk = record.inline_chunk;
    if (chunk.empty()) {
      TRAM_TRY(row, txn.get(table::body_inline, key));
      if (!row) return false;
      chunk = std::move(*row);
    }
    auto manifest = crypto::decode_manifest(record.manifest);
    return manifest && crypto::manifest_id(record.manifest) == header->manifest_id && manifest->chunks.size() == 1 &&
           record.chunks == 1 && crypto::chunk_id(chunk) == manifest->chunks[0];
  }
  crypto::BodyPart part{body_name(header->id), record.manifest, manifest_name(header->id), header->manifest_id, record.chunks, 0,
                        record.chunks, had};
  TRAM_TRY(check, crypto::check_body(part, bodies));
  if (!check.manifest_good) return false;
  for (const uint32_t index : check.damaged) had[index / 8] = static_cast<uint8_t>(had[index / 8] & ~(1u << (index % 8)));
  for (uint32_t index = 0; index < record.chunks; ++index) lease->present += had[index / 8] >> (index % 8) & 1;
  lease->have = std::move(had);
  return lease->present == record.chunks;
}

}  // namespace

Result<Broker::Recovered> Broker::recover(Store& store, Bodies& bodies, Time now, std::optional<uint64_t> seen) {
  State& s = *state_;
  Recovered recovered;
  auto being_removed = s.removing;  // by jobs that still run: what they may take away must not be uploaded meanwhile
  {  // every value, so that a flipped bit is found now, and named, instead of on some later day (R2, 3.9)
    TRAM_TRY(txn, store.begin_read());
    TRAM_TRY(check, check_rows(*txn, table::all()));
    recovered.repaired = std::move(check.damaged);
  }
  if (!recovered.repaired.empty()) {
    TRAM_TRY(gone, s.repair(store, now, recovered.repaired));
    recovered.dropped = gone;
  }
  {
    TRAM_TRY(txn, store.begin_write());
    TRAM_OK(s.forget_caches(*txn));
    const Epoch old = s.self.epoch;
    s.self.epoch = s.random.id<Epoch>();
    s.self.opened = now;
    // All bodies are judged anew below.
    for (const Bytes& key : s.damaged) TRAM_OK(txn->erase(table::damaged, key));
    s.damaged.clear();
    TRAM_OK(txn->put(table::self, view(table::self_key), proto::encode_record(s.self)));
    Bytes entry;
    Writer(entry).raw(s.self.epoch).raw(old);
    if (seen) Writer(entry).u64(s.audit_log.size()).u64(*seen);
    TRAM_OK(s.audit_log.append(*txn, audit::LeafKind::epoch_opened, now, entry, s.random));
    TRAM_OK(s.audit_log.store_head(*txn));
    TRAM_OK(txn->commit());
  }
  Bytes from;
  for (;;) {
    TRAM_TRY(txn, store.begin_write());
    TRAM_TRY(rows, txn->scan(table::body, from, {}, recovery_page_rows));
    if (rows.empty()) break;
    Effects effects;
    Step step{*txn, now, effects, {}, {}, {}, false, false};
    for (const Row& row : rows) {
      if (!table::is_body_key(row.key)) continue;
      BodyRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      LeaseRecord lease;
      if (!record.inline_body) {
        TRAM_TRY(lease_row, txn->get(table::lease, row.key));
        if (lease_row) TRAM_OK(proto::decode_record(*lease_row, lease));
      }
      TRAM_TRY(good, whole(*txn, bodies, row.key, record, &lease));
      if (!record.inline_body) TRAM_OK(txn->put(table::lease, row.key, proto::encode_record(lease)));
      if (good || !record.inline_body) {
        record.epoch = s.self.epoch;
        TRAM_OK(txn->put(table::body, row.key, proto::encode_record(record)));
      }
      if (good) continue;
      // What cannot be served is dropped without a tombstone: Reconcile reports it missing, its sender puts it again.
      for (;;) {
        TRAM_TRY(pins, txn->scan(table::pin, table::pins_from(row.key), prefix_end(row.key), 64));
        if (pins.empty()) break;
        for (const Row& pin : pins) {
          TRAM_OK(txn->erase(table::pin, pin.key));
          const EnvelopeId env_id = table::env_of_pin(pin.value);
          TRAM_TRY(envelope, s.stored(*txn, env_id));
          if (!envelope || envelope->state == EnvelopeState::gone) continue;
          TRAM_OK(s.drop_envelope(step, env_id, *envelope));
          ++recovered.dropped;
        }
      }
      TRAM_OK(s.body_unpinned(step, table::sender_of_key(row.key), table::doc_of_key(row.key)));
    }
    TRAM_OK(s.write_parties(step));
    TRAM_OK(s.audit_log.store_head(*txn));
    from = rows.back().key;
    from.push_back(0);
    TRAM_OK(txn->commit());
  }
  s.removing = std::move(being_removed);  // what was given up here is found without rows at the next start
  s.fresh_epoch = s.tell_epoch = seen.has_value();
  for (auto& [peer, box] : s.mailboxes) {
    const SessionKey session = box.session;
    box = Mailbox{};
    box.session = session;
    s.dirty_mailboxes.insert(peer);
  }
  s.scrub.forget_damaged();
  return recovered;
}

}  // namespace tram::broker
