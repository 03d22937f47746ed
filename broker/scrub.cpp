// Rot: what the walk over rows and bodies finds, and what becomes of it (3.9, R7, R24). A body that is not what its sender
// sent is no longer in custody: the chunks that are gone are forgotten, the log says so, the sender is told which envelopes
// to put again and brings what is missing. Nothing else stops: other brokers deliver meanwhile. A damaged row is named and
// waits for `recover`: it takes the store to be at rest to drop it with all that belongs to it.
#include <algorithm>

#include "broker/state.h"

namespace tram::broker {
namespace {

constexpr uint32_t chunks_per_turn = limits::scrub_bytes_per_second / limits::chunk_bytes;
constexpr size_t walk_page_rows = 32;
constexpr size_t pins_per_body_max = 20000;
constexpr Duration tell_every = minutes(1);  // frames may be lost

/// A clock that was set back must not put anything off.
bool is_due(Time now, Time due, Duration every) { return now >= due || now + every < due; }

Result<crypto::BodyPart> part_of(const BodyRecord& record, const LeaseRecord& lease, uint32_t first, uint32_t count) {
  TRAM_TRY(header, crypto::decode_header(record.header));
  crypto::BodyPart part;
  part.name = body_name(header.id);
  part.manifest = record.manifest;
  part.manifest_name = manifest_name(header.id);
  part.manifest_id = header.manifest_id;
  part.chunks = record.chunks;
  part.first = first;
  part.count = count;
  part.have = lease.have;
  return part;
}

}  // namespace

Result<void> Broker::State::load_scrub(ReadTxn& txn) {
  TRAM_OK(scrub.load(txn));
  scrub_chunk = 0;
  suspect_out = false;
  damaged.clear();
  Bytes from;
  for (;;) {
    TRAM_TRY(rows, txn.scan(table::damaged, from, {}, 256));
    for (const Row& row : rows) damaged.insert(row.key);
    if (rows.size() < 256) return {};
    from = rows.back().key;
    from.push_back(0);
  }
}

Result<void> Broker::State::scrub_turn(Step& step) {
  if (!damaged.empty() && is_due(step.now, tell_damaged_due, tell_every)) {
    tell_damaged_due = step.now + tell_every;
    std::set<PartyId> senders;
    for (const Bytes& key : damaged) senders.insert(table::sender_of_key(key));
    for (const PartyId& sender : senders) TRAM_OK(tell_damaged(step, sender));
  }
  if (!scrub.turn_due(step.now)) return {};
  if (!suspects.empty() && !suspect_out) TRAM_OK(start_suspect_job(step));
  TRAM_TRY(found, scrub.turn(step.txn, step.now, step.busy));
  for (const DamagedRow& row : found) log.error("row.was_damaged", {{"table", row.table.name}, {"key", to_hex(row.key)}});
  if (!scrub.bodies_due()) return {};
  auto started_job = start_scrub_job(step);
  if (started_job || started_job.error().code != ErrorCode::store_corrupt) return started_job;
  // A row that the walk over rows has named. Whoever needs it stops; the scrub alone does not.
  log.warning("scrub.was_cut_short", {{"error", describe(started_job.error())}});
  scrub_chunk = 0;
  return scrub.bodies_done(step.txn, step.now, {}, 0, 0, 0);
}

/// The next bodies of the walk, as much as a second may read. File bodies are those that have a lease.
Result<void> Broker::State::start_scrub_job(Step& step) {
  ScrubJob job;
  Bytes from = scrub.body_cursor();
  uint32_t chunks = 0, first = scrub_chunk;
  bool more = true;
  while (more && chunks < chunks_per_turn && job.items.size() < limits::scrub_bodies_per_second) {
    TRAM_TRY(rows, step.txn.scan(table::lease, from, {}, walk_page_rows));
    more = rows.size() == walk_page_rows;
    for (const Row& row : rows) {
      if (chunks >= chunks_per_turn || job.items.size() >= limits::scrub_bodies_per_second) {
        more = true;
        from = row.key;
        break;
      }
      LeaseRecord lease;
      TRAM_OK(proto::decode_record(row.value, lease));
      TRAM_TRY(record, body(step.txn, row.key));
      from = row.key;
      if (record && !record->inline_body && record->epoch == self.epoch) {
        if (first >= record->chunks) first = 0;
        const uint32_t count = std::min(chunks_per_turn - chunks, record->chunks - first);
        TRAM_TRY(part, part_of(*record, lease, first, count));
        chunks += count;
        const bool last = first + count == record->chunks;
        job.items.push_back({row.key, std::move(part), last});
        if (!last) {
          job.next_chunk = first + count;
          more = true;
          break;
        }
      }
      first = 0;
      from.push_back(0);
    }
  }
  if (more) job.next = std::move(from);
  if (job.items.empty()) return scrub.bodies_done(step.txn, step.now, std::move(job.next), 0, 0, 0);
  scrub.body_job_left();
  step.out.jobs.push_back(std::move(job));
  return {};
}

Result<void> Broker::State::start_suspect_job(Step& step) {
  const Suspect next = suspects.front();
  suspects.pop_front();
  TRAM_TRY(record, body(step.txn, next.key));
  TRAM_TRY(row, step.txn.get(table::lease, next.key));
  if (!record || !row || record->inline_body || record->epoch != self.epoch) return {};
  LeaseRecord lease;
  TRAM_OK(proto::decode_record(*row, lease));
  const uint32_t count = std::min(chunks_per_turn, record->chunks - std::min(next.first, record->chunks));
  TRAM_TRY(part, part_of(*record, lease, next.first, count));
  ScrubJob job;
  job.walk = false;
  job.next_chunk = next.first + count;
  job.items.push_back({next.key, std::move(part), job.next_chunk == record->chunks});
  suspect_out = true;
  step.out.jobs.push_back(std::move(job));
  return {};
}

void Broker::State::suspect(const Bytes& key) {
  const bool known = std::any_of(suspects.begin(), suspects.end(), [&](const Suspect& one) { return one.key == key; });
  if (!known && suspects.size() < suspects_max) suspects.push_back({key, 0});
}

Result<void> Broker::State::on_scrubbed(Step& step, ScrubDone& done) {
  uint64_t bodies = 0, bytes = 0, rotten = 0;
  for (size_t i = 0; i < done.checks.size(); ++i) {
    const auto& item = done.asked.items[i];
    if (!done.checks[i]) return fail(done.checks[i].error());
    bytes += done.checks[i]->bytes;
    bodies += item.last;
    if (done.checks[i]->good()) continue;
    TRAM_TRY(fresh, body_damaged(step, item.key, *done.checks[i]));
    rotten += fresh;
  }
  if (!done.asked.walk) {
    suspect_out = false;
    if (!done.asked.items.back().last) suspects.push_front({done.asked.items.back().key, done.asked.next_chunk});
    return {};
  }
  scrub_chunk = done.asked.next_chunk;
  return scrub.bodies_done(step.txn, step.now, std::move(done.asked.next), bodies, bytes, rotten);
}

/// False when there is nothing new: the body went meanwhile, or its damage is known.
Result<bool> Broker::State::body_damaged(Step& step, const Bytes& key, const crypto::BodyPartCheck& check) {
  TRAM_TRY(record, body(step.txn, key));
  TRAM_TRY(row, step.txn.get(table::lease, key));
  if (!record || !row || record->inline_body || record->epoch != self.epoch) return false;
  LeaseRecord lease;
  TRAM_OK(proto::decode_record(*row, lease));
  uint32_t lost = 0;
  for (const uint32_t index : check.damaged) {
    const auto mask = static_cast<uint8_t>(1u << (index % 8));
    if (index / 8 >= lease.have.size() || (lease.have[index / 8] & mask) == 0) continue;
    lease.have[index / 8] = static_cast<uint8_t>(lease.have[index / 8] & ~mask);
    --lease.present;
    ++lost;
  }
  if (check.manifest_good && lost == 0) return false;
  const DocId doc_id = table::doc_of_key(key);
  log.error("body.was_damaged", {{"doc_id", doc_id}, {"chunks", lost}, {"manifest_good", check.manifest_good ? 1 : 0}});
  if (!check.manifest_good) {  // nothing of it can be judged: offered anew, as a body of an earlier epoch is
    record->epoch = {};
    TRAM_OK(step.txn.put(table::body, key, proto::encode_record(*record)));
  }
  TRAM_OK(step.txn.put(table::lease, key, proto::encode_record(lease)));
  if (auto it = uploads.find(key); it != uploads.end()) {
    if (it->second.idle() || !check.manifest_good) uploads.erase(it);
    else it->second.lease = lease;
  }
  docs.erase(key);
  Bytes found;
  Writer(found).u64(step.now.wire());
  TRAM_OK(step.txn.put(table::damaged, key, found));
  const bool fresh = damaged.insert(key).second;
  if (fresh) ++counters.damaged;
  TRAM_TRY(pins, step.txn.scan(table::pin, table::pins_from(key), prefix_end(key), pins_per_body_max));
  for (const Row& pin : pins) {
    const EnvelopeId env_id = table::env_of_pin(pin.value);
    TRAM_TRY(envelope, stored(step.txn, env_id));
    if (!envelope) continue;
    if (envelope->state == EnvelopeState::stored && fresh) TRAM_OK(append(step, audit::LeafKind::custody_void, {env_id}));
    // Answered long ago, and its sender has no reason to send it again: this copy ends here (R6).
    if (envelope->state == EnvelopeState::acked) TRAM_OK(retire(step, env_id, *envelope, GoneReason::acked));
  }
  TRAM_OK(tell_damaged(step, table::sender_of_key(key)));
  return fresh;
}

Result<void> Broker::State::body_whole_again(Step& step, const Bytes& key) {
  if (damaged.erase(key) == 0) return {};
  ++counters.repaired;
  log.warning("body.was_repaired", {{"doc_id", table::doc_of_key(key)}});
  return step.txn.erase(table::damaged, key);
}

/// Which envelopes of a sender must be put again because their bodies rotted here: what Reconcile would answer, unasked.
Result<void> Broker::State::tell_damaged(Step& step, const PartyId& sender) {
  auto box = mailboxes.find(sender);
  if (damaged.empty() || box == mailboxes.end()) return {};
  proto::ReconcileReply reply;
  for (auto it = damaged.lower_bound(to_bytes(sender)); it != damaged.end() && table::sender_of_key(*it) == sender; ++it) {
    TRAM_TRY(pins, step.txn.scan(table::pin, table::pins_from(*it), prefix_end(*it), pins_per_body_max));
    for (const Row& pin : pins) {
      const EnvelopeId env_id = table::env_of_pin(pin.value);
      TRAM_TRY(envelope, stored(step.txn, env_id));
      if (!envelope || envelope->state != EnvelopeState::stored) continue;
      reply.missing.push_back(env_id);
      if (reply.missing.size() < limits::reconcile_ids_per_page_max) continue;
      send(step, {box->second.session, sender, 0}, std::exchange(reply, {}));
    }
  }
  if (!reply.missing.empty()) send(step, {box->second.session, sender, 0}, std::move(reply));
  return {};
}

}  // namespace tram::broker
