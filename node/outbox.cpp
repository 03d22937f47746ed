// Sending: submit, seal, wrap, custody, acceptance, re-issue (R5, R10, R20).
#include <algorithm>

#include "base/limits.h"
#include "directory/groups.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {
constexpr size_t record_metadata_bytes_max = 36000;  // with header and staged contents one row stays below 68 KiB
constexpr size_t chunk_in_row_bytes_max = 2200;       // the row fills two pages of the store with it or without
constexpr size_t targets_per_run_max = 64;
constexpr size_t runs_per_job_max = 32;
constexpr size_t recipients_at_once_max = 4;
constexpr size_t kicks_per_step_max = 512;
constexpr size_t held_custodies_max = 1024;
constexpr Duration custody_wait = milliseconds(200);
constexpr uint64_t bulk_lane_bytes = 16u << 20;  // ordinary documents above this take the bulk lane

Lane lane_of(proto::Priority priority, uint64_t bytes) {
  if (priority != proto::Priority::normal) return Lane::urgent;
  return bytes > bulk_lane_bytes ? Lane::bulk : Lane::normal;
}

/// UUIDv7 (RFC 9562, 5.7): rows of documents that are sent together lie together, and a commit writes few pages. The header
/// says when the document was made anyway.
DocUuid new_uuid(Time now, Random& random) {
  auto uuid = random.id<DocUuid>();
  for (size_t i = 0; i < 6; ++i) uuid.bytes[i] = static_cast<uint8_t>(now.wire() >> (40 - 8 * i));
  uuid.bytes[6] = static_cast<uint8_t>(0x70 | (uuid.bytes[6] & 0x0f));
  uuid.bytes[8] = static_cast<uint8_t>(0x80 | (uuid.bytes[8] & 0x3f));
  return uuid;
}

/// The direct addressee must be able to receive; members of a group that cannot are left waiting.
Result<void> check_addressee(const directory::AgencyState& state) {
  if (state.status == proto::AgencyStatus::closed) {
    std::string detail = state.agency.name_vi;
    if (!state.successors.empty()) detail += "; successor " + state.successors.front().hex();
    return fail(ErrorCode::closed_agency, detail);
  }
  if (state.status == proto::AgencyStatus::suspended) return fail(ErrorCode::suspended_agency, state.agency.name_vi);
  return {};
}
}  // namespace

Result<std::vector<PartyId>> Node::resolve(ReadTxn& txn, Time now, const std::vector<proto::Addressee>& addressees,
                                           bool& direct_only) {
  std::set<PartyId> found;
  direct_only = true;
  for (const auto& addressee : addressees) {
    if (addressee.kind == proto::AddresseeKind::group) {
      direct_only = false;
      TRAM_TRY(members, directory::members(directory_, txn, addressee.group, now));
      for (directory::AgencyState& member : members) {  // no units: each is its own node
        const PartyId id = member.agency.id;
        if (id != config_.self) found.insert(id);
        looked_.agencies.insert_or_assign(id, std::move(member));
      }
      continue;
    }
    TRAM_TRY(named, agency_of(txn, now, addressee.id));
    if (!*named) return fail(ErrorCode::unknown_agency, addressee.id.hex());
    TRAM_OK(check_addressee(**named));
    const proto::Agency& agency = (*named)->agency;
    const PartyId node = agency.level == proto::Level::unit ? agency.parent : addressee.id;  // a unit leads to its agency
    if (node == config_.self) return fail(ErrorCode::bad_request, "an agency cannot send to itself");
    found.insert(node);
  }
  if (found.empty()) return fail(ErrorCode::bad_request, "no recipient");
  if (found.size() > limits::recipients_per_document_max) return fail(ErrorCode::too_large, "recipients");
  return std::vector<PartyId>(found.begin(), found.end());
}

Result<Submitted> Node::submit(WriteTxn& txn, Time now, Submission submission, Effects& effects) {
  TRAM_OK(may_sign());
  TRAM_TRY(me, agency_of(txn, now, config_.self));
  if (!*me) return fail(ErrorCode::unknown_agency, "this agency is not in the directory");
  TRAM_OK(check_addressee(**me));
  if (freshness(now) == audit::Freshness::no_sending)
    return fail(ErrorCode::directory_stale, "not confirmed for " + std::to_string(views_.age(now).ms / days(1).ms) + " days");
  bool direct_only = true;
  TRAM_TRY(recipients, resolve(txn, now, submission.metadata.addressees, direct_only));

  Submitted out;
  out.uuid = submission.uuid.value_or(new_uuid(now, random_));
  out.recipients = static_cast<uint32_t>(recipients.size());
  std::vector<bool> has_node(recipients.size());
  for (size_t i = 0; i < recipients.size(); ++i) {
    TRAM_TRY(found, agency_of(txn, now, recipients[i]));
    const auto& state = *found;
    has_node[i] = state && state->agency.keys.has_value();
    if (!has_node[i]) {
      ++out.without_node;
      if (direct_only && recipients.size() == 1)
        return fail(ErrorCode::no_node, state ? state->agency.name_vi : recipients[i].hex());
    }
  }
  if (out.without_node == out.recipients) return fail(ErrorCode::no_node, "none of the recipients has a node yet");
  if (submission.uuid) {
    TRAM_TRY(taken, txn.get(table::outgoing, out.uuid));
    if (taken) return fail(ErrorCode::conflict, "this document id is taken");
  }

  uint64_t bytes = 0, staged_bytes = 0;
  for (const auto& file : submission.files) {
    bytes += file.bytes;
    staged_bytes += file.content.size();
  }
  if (staged_bytes > limits::staged_content_bytes_max) return fail(ErrorCode::too_large, "inline files; use an upload");
  const auto policy = directory_.policy(now);
  const uint64_t bytes_max = policy.document_bytes_max ? policy.document_bytes_max : limits::document_bytes_max;
  if (bytes > bytes_max) return fail(ErrorCode::too_large, "files");
  if (submission.files.size() > limits::files_per_document_max) return fail(ErrorCode::too_large, "number of files");
  for (const auto& file : submission.files) {
    if (file.upload.empty()) continue;
    TRAM_TRY(upload, find<proto::UploadRecord>(txn, table::upload, view(file.upload)));
    if (!upload) return fail(ErrorCode::not_found, "upload " + file.upload);
    if (upload->offset != upload->length) return fail(ErrorCode::missing_chunks, "upload " + file.upload);
  }

  proto::OutRecord record;
  record.uuid = out.uuid;
  record.created = now;
  record.not_after = now + (policy.time_to_live_ms ? milliseconds(static_cast<int64_t>(policy.time_to_live_ms)) : limits::time_to_live);
  record.lane = lane_of(submission.metadata.priority, bytes);
  submission.metadata.recipient_count = out.recipients;
  record.metadata = proto::encode_metadata(submission.metadata);
  if (record.metadata.size() > record_metadata_bytes_max) return fail(ErrorCode::too_large, "metadata");
  record.staged = std::move(submission.files);
  record.recipients = out.recipients;
  record.author = std::move(submission.author);
  std::vector<proto::ItemRecord> items(recipients.size());
  for (size_t i = 0; i < recipients.size(); ++i) {
    items[i].uuid = record.uuid;
    items[i].recipient = recipients[i];
    if (!has_node[i]) items[i].waiting_reason = static_cast<uint16_t>(ErrorCode::no_node);
  }
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::document_submitted, {record.uuid}));
  TRAM_TRY(sealed, seal_at_once(txn, now, record, items, effects));
  out.sealed = sealed;
  if (!sealed) {
    for (const auto& item : items) TRAM_OK(save(txn, table::item, row_key(item.uuid, item.recipient), item));
    TRAM_OK(txn.put(table::sealing, record.uuid, {}));
    TRAM_OK(begin_sealing(txn, record, effects));
  }
  log_.info("document.submitted", {{"document", record.uuid}, {"recipients", out.recipients}});
  return out;
}

/// A letter whose files lie in its row is sealed, and its envelope made, by the commit that takes it: the clerk's answer,
/// the document and the outbox are one sync, not two (decision 38). False: a worker seals it.
Result<bool> Node::seal_at_once(WriteTxn& txn, Time now, const proto::OutRecord& record, std::vector<proto::ItemRecord>& items,
                                Effects& effects) {
  const bool uploaded = std::any_of(record.staged.begin(), record.staged.end(), [](const auto& file) { return !file.upload.empty(); });
  if (uploaded || items.size() > recipients_at_once_max || sealed_at_once_ >= config_.seals_at_once_max) return false;
  SealJob job;
  job.context = seal_context(record.created);
  for (const auto& item : items) job.recipients.push_back(item.recipient);
  job.record = record;
  SealDone done = seal_contents(job, random_);
  if (!done.outcome) return false;  // also a body that the realm's floor makes a file
  ++sealed_at_once_;
  TRAM_OK(take_sealed(txn, now, done, items, false, effects));
  return true;
}

/// Each attempt has a file of its own: an earlier one may still be at work when the node was rebuilt over a full store.
Result<void> Node::begin_sealing(WriteTxn& txn, proto::OutRecord& record, Effects& effects) {
  drop_sealed(record.body_name, effects);
  record.body_name = "5e" + record.uuid.hex() + random_.id<KeyId>().hex();
  TRAM_OK(save(txn, table::outgoing, record.uuid, record));
  SealJob job;
  job.context = seal_context(record.created);
  for (const auto& file : record.staged) {
    if (file.upload.empty()) continue;
    TRAM_TRY(upload, node::load<proto::UploadRecord>(txn, table::upload, view(file.upload)));
    job.uploads.push_back(std::move(upload));
  }
  TRAM_OK(for_each(txn, table::item, record.uuid, [&](const Row& row) -> Result<void> {
    job.recipients.push_back(id_at<PartyId>(row.key, 16));
    return {};
  }));
  job.record = record;
  effects.jobs.push_back(std::move(job));
  return {};
}

/// What was accepted is sealed when there is room again (R42).
Result<void> Node::retry_sealing(WriteTxn& txn, Effects& effects) {
  for (const DocUuid& uuid : std::exchange(seal_again_, {})) {
    TRAM_TRY(record, find<proto::OutRecord>(txn, table::outgoing, uuid));
    if (record && record->state == proto::OutState::sealing) TRAM_OK(begin_sealing(txn, *record, effects));
  }
  return {};
}

void Node::drop_sealed(const std::string& name, Effects& effects) {
  if (name.empty()) return;
  effects.remove_bodies.push_back(name);
  effects.remove_bodies.push_back(manifest_name(name));
}

Result<void> Node::on(WriteTxn& txn, Time now, SealDone& done, Effects& effects) {
  TRAM_TRY(held, find<proto::OutRecord>(txn, table::outgoing, done.uuid));
  if (!held || held->state != proto::OutState::sealing || held->body_name != done.attempt) {
    drop_sealed(done.attempt, effects);  // of an attempt that another one replaced
    return {};
  }
  if (!done.outcome && done.outcome.error().code == ErrorCode::storage_full) {
    log_.warning("document.seal_waits", {{"document", done.uuid}});
    drop_sealed(done.attempt, effects);
    seal_again_.insert(done.uuid);
    return {};
  }
  TRAM_OK(txn.erase(table::sealing, done.uuid));
  if (!done.outcome) {
    held->state = proto::OutState::failed;
    held->failure = static_cast<uint16_t>(done.outcome.error().code);
    held->failure_detail = done.outcome.error().detail;
    log_.error("document.seal_failed", {{"document", done.uuid}, {"error", error_info(done.outcome.error().code).name}});
    return save(txn, table::outgoing, done.uuid, *held);
  }
  std::vector<proto::ItemRecord> items;
  const auto walked = for_each(txn, table::item, done.uuid, [&](const Row& row) -> Result<void> {
    TRAM_OK(proto::decode_record(row.value, items.emplace_back()));
    return {};
  });
  TRAM_OK(walked);
  return take_sealed(txn, now, done, items, true, effects);
}

Result<void> Node::take_sealed(WriteTxn& txn, Time now, SealDone& done, std::vector<proto::ItemRecord>& items, bool stored,
                               Effects& effects) {
  proto::OutRecord& record = done.record;
  for (const auto& file : record.staged) {
    if (file.upload.empty()) continue;
    TRAM_OK(txn.erase(table::upload, view(file.upload)));
    effects.remove_bodies.push_back(upload_name(file.upload));
  }
  record.staged.clear();
  if (record.inline_body && done.inline_chunk.size() <= chunk_in_row_bytes_max) record.inline_chunk = done.inline_chunk;
  else if (record.inline_body) TRAM_OK(txn.put(table::body_inline, record.doc_id, done.inline_chunk));
  TRAM_OK(save(txn, table::outgoing, record.uuid, record));
  record.inline_chunk.clear();
  remember(Going{record, std::move(done.inline_chunk)});
  TRAM_OK(txn.put(table::outgoing_by_doc, record.doc_id, record.uuid));
  TRAM_OK(add_timer(txn, record.created + limits::retention, TimerKind::body_retention, record.uuid));
  for (proto::ItemRecord& item : items) {
    TRAM_TRY(wrapped, wrap_at_once(txn, now, record, item));
    if (wrapped) continue;
    if (!stored) TRAM_OK(save(txn, table::item, row_key(item.uuid, item.recipient), item));
    TRAM_OK(add_todo(txn, item.recipient, record.lane, record.uuid));
    to_kick_.emplace_back(item.recipient, record.lane);
  }
  return {};
}

/// A document to all communes: the workers have the first envelopes while the next are prepared.
Result<void> Node::kick_waiting_channels(WriteTxn& txn, Time now, Effects& effects) {
  for (size_t i = 0; i < kicks_per_step_max && !to_kick_.empty(); ++i) {
    TRAM_OK(kick_channel(txn, now, to_kick_.front().first, to_kick_.front().second, effects));
    to_kick_.pop_front();
  }
  if (!to_kick_.empty()) effects.wake_at = now;
  return {};
}

Result<void> Node::add_todo(WriteTxn& txn, const PartyId& recipient, Lane lane, const DocUuid& uuid) {
  TRAM_TRY(order, next_order(txn));
  return txn.put(table::todo, row_key(recipient, lane, order), uuid);
}

bool Node::may_wrap(Time now, const PartyId& recipient, Lane lane) const {
  return keys_in_force_ && !wrapping_.count({recipient, lane}) && self_.recovery != proto::Recovery::asking &&
         freshness(now) != audit::Freshness::no_sending;
}

/// The next run of a channel, without targets yet; nothing when no envelope can be made for it now. A key that is missing is
/// asked for.
Result<std::optional<WrapRun>> Node::open_run(ReadTxn& txn, Time now, const PartyId& recipient, Lane lane) {
  TRAM_TRY(found, agency_of(txn, now, recipient));
  const auto& state = *found;
  if (!state || !state->agency.keys || state->status != proto::AgencyStatus::active) return std::optional<WrapRun>{};
  TRAM_TRY(kx, kx_of(txn, now, recipient));
  if (!*kx) {
    kx_wanted_.insert(recipient);
    return std::optional<WrapRun>{};
  }
  TRAM_TRY(channel, channel_to(txn, recipient, lane));
  return std::optional(WrapRun{recipient, lane, channel.inc, channel.next_seq, channel.last, (*kx)->key, {}});
}

Result<void> Node::kick_channel(WriteTxn& txn, Time now, const PartyId& recipient, Lane lane, Effects& effects) {
  if (!may_wrap(now, recipient, lane)) return {};
  const Bytes prefix = row_key(recipient, lane);
  TRAM_TRY(rows, txn.scan(table::todo, prefix, prefix_end(prefix), targets_per_run_max));
  if (rows.empty()) return {};
  TRAM_TRY(we_closed, has_closed(txn, now, config_.self));
  if (we_closed) return end_waiting(txn, now, recipient, lane, effects);
  TRAM_TRY(closed, has_closed(txn, now, recipient));
  if (closed) return leave_closed(txn, now, {recipient}, effects);
  TRAM_TRY(opened, open_run(txn, now, recipient, lane));
  if (!opened) return {};
  WrapRun& run = *opened;
  const Duration lifetime = milliseconds(static_cast<int64_t>(directory_.policy(now).time_to_live_ms));
  for (const Row& row : rows) {
    const auto uuid = id_at<DocUuid>(row.value, 0);
    TRAM_TRY(going, going_document(txn, uuid));
    const proto::OutRecord& record = going->record;
    TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, row_key(uuid, recipient)));
    // The document's own end may lie further off than a life from now: a clock may have been set back.
    WrapTarget target{uuid, record.doc_id, crypto::Secret32(record.document_key), now + lifetime,
                      {}, Reader(BytesView(row.key).subspan(17)).u64()};
    if (!item.issue) target.not_after = std::min(record.not_after, target.not_after);
    else std::copy_n(item.env_id.bytes.begin(), 4, target.re_of.begin());
    run.targets.push_back(std::move(target));
  }
  wrapping_.insert({recipient, lane});
  wraps_.push_back(std::move(run));
  if (wraps_.size() >= runs_per_job_max) flush_wraps(now, effects);
  return {};
}

/// The envelope of a document that nothing waits in front of is made in the step that takes the sealed document over: a
/// commit and a worker's turn less for an ordinary letter (decision 32). False: it takes its turn.
Result<bool> Node::wrap_at_once(WriteTxn& txn, Time now, const proto::OutRecord& record, proto::ItemRecord& item) {
  const PartyId& recipient = item.recipient;
  if (wrapped_ >= config_.wraps_at_once_max || !may_wrap(now, recipient, record.lane)) return false;
  const Bytes prefix = row_key(recipient, record.lane);
  TRAM_TRY(before, txn.scan(table::todo, prefix, prefix_end(prefix), 1));
  if (!before.empty()) return false;
  TRAM_TRY(run, open_run(txn, now, recipient, record.lane));
  if (!run) return false;
  const Duration lifetime = milliseconds(static_cast<int64_t>(directory_.policy(now).time_to_live_ms));
  WrapJob job = wrap_job(now);
  job.runs.push_back(std::move(*run));
  job.runs[0].targets.push_back({record.uuid, record.doc_id, crypto::Secret32(record.document_key),
                                 std::min(record.not_after, now + lifetime), {}, 0});
  WrapDone done = run_wrap_job(job, random_);
  if (done.envelopes.empty()) return false;
  TRAM_TRY(envelope, crypto::decode_envelope(done.envelopes[0].envelope));
  TRAM_OK(place_envelope(txn, now, done.envelopes[0], envelope, item));
  ++wrapped_;
  return true;
}

Result<proto::ChannelOut> Node::channel_to(ReadTxn& txn, const PartyId& recipient, Lane lane) {
  TRAM_TRY(channel, find<proto::ChannelOut>(txn, table::channel_out, row_key(recipient, lane)));
  if (channel && channel->inc == self_.inc) return *channel;
  return proto::ChannelOut{self_.inc, 1, {}};
}

WrapJob Node::wrap_job(Time now) const {
  WrapJob job;
  job.context = seal_context(now);
  job.dir_size = directory_.size();
  job.dir_root = directory_.root();
  job.now = now;
  return job;
}

void Node::flush_wraps(Time now, Effects& effects) {
  if (wraps_.empty()) return;
  WrapJob job = wrap_job(now);
  job.runs = std::exchange(wraps_, {});
  effects.jobs.push_back(std::move(job));
}

Result<void> Node::kick_all_channels(WriteTxn& txn, Time now, Effects& effects) {
  std::set<std::pair<PartyId, Lane>> channels;
  TRAM_OK(for_each(txn, table::todo, {}, [&](const Row& row) -> Result<void> {
    channels.insert({id_at<PartyId>(row.key, 0), static_cast<Lane>(row.key[16])});
    return {};
  }));
  for (const auto& [recipient, lane] : channels) TRAM_OK(kick_channel(txn, now, recipient, lane, effects));
  return {};
}

Result<void> Node::on(WriteTxn& txn, Time now, WrapDone& done, Effects& effects) {
  for (auto& wrapped : done.envelopes) {
    TRAM_TRY(envelope, crypto::decode_envelope(wrapped.envelope));
    // A run from before the node was rebuilt may come after its repeat: a position is given once (R10).
    const Bytes todo_key = row_key(wrapped.recipient, wrapped.lane, wrapped.order);
    TRAM_TRY(wanted, txn.get(table::todo, todo_key));
    TRAM_TRY(channel, channel_to(txn, wrapped.recipient, wrapped.lane));
    if (!wanted || envelope.inc != channel.inc || envelope.seq != channel.next_seq || envelope.prev != channel.last) continue;
    TRAM_OK(txn.erase(table::todo, todo_key));
    TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, row_key(wrapped.uuid, wrapped.recipient)));
    TRAM_OK(place_envelope(txn, now, wrapped, envelope, item));
  }
  for (const auto& channel : done.channels) {
    wrapping_.erase(channel);
    TRAM_OK(kick_channel(txn, now, channel.first, channel.second, effects));
  }
  return {};
}

/// The outbox item gets its envelope and the channel its next position in one commit (R10); every broker is to have it.
Result<void> Node::place_envelope(WriteTxn& txn, Time now, WrappedEnvelope& wrapped, const crypto::Envelope& envelope,
                                  proto::ItemRecord& item) {
  proto::EnvelopeRecord record{wrapped.env_id, wrapped.uuid, wrapped.recipient, std::move(wrapped.envelope), std::move(wrapped.officer_blob),
                               false};
  TRAM_OK(save(txn, table::envelope, wrapped.env_id, record));
  remember(std::move(record), 0);
  TRAM_OK(txn.put(table::open_envelope, wrapped.env_id, {}));
  const bool again = item.issue > 0;
  if (!item.received.ms && item.state == proto::ItemState::waiting) item.state = proto::ItemState::queued;  // else an answer came meanwhile
  item.env_id = wrapped.env_id;
  item.issue++;
  item.inc = envelope.inc;
  item.seq = wrapped.seq;
  item.waiting_reason = 0;
  item.custodies = 0;
  item.queued = now;
  TRAM_OK(save(txn, table::item, row_key(item.uuid, item.recipient), item));
  TRAM_OK(save(txn, table::channel_out, row_key(wrapped.recipient, wrapped.lane),
               proto::ChannelOut{envelope.inc, wrapped.seq + 1, wrapped.env_id}));
  for (const auto& broker : directory_.brokers(now)) {
    TRAM_TRY(order, next_order(txn));
    TRAM_OK(txn.put(table::pending, row_key(broker.record.id, wrapped.lane, order), wrapped.env_id));
    links_[broker.record.id].cursors[static_cast<size_t>(wrapped.lane)].more = true;
  }
  TRAM_OK(add_timer(txn, envelope.not_after, TimerKind::envelope_expiry, wrapped.env_id));
  return log_leaf(txn, now, again ? audit::LeafKind::reissued : audit::LeafKind::outbox_stored, {wrapped.env_id, envelope.doc_id});
}

/// A custody that does not complete a quorum promises nothing to anyone; lost with the process, its Put is repeated and
/// brings the same. So it waits a moment for the one that does, and both are stored at once.
Result<void> Node::on(WriteTxn& txn, Time now, CustodyDone& done, Effects& effects) {
  if (done.forged) log_.warning("custody.forged", {{"count", done.forged}});
  const uint32_t quorum = std::max(1u, directory_.policy(now).custody_quorum);
  std::vector<CustodyJob::Item> ready;
  for (auto& item : done.valid) {
    TRAM_TRY(custody, crypto::decode_custody(item.custody));
    auto it = held_.find(custody.env_id);
    if (it == held_.end()) {
      TRAM_TRY(envelope, going_envelope(txn, custody.env_id));
      if (!envelope) {
        ready.push_back(std::move(item));
        continue;
      }
      TRAM_TRY(stored, domains_stored(txn, *envelope));
      if (held_.empty()) held_until_ = now + custody_wait;
      it = held_.emplace(custody.env_id, HeldCustodies{now, stored, {}}).first;
    }
    HeldCustodies& held = it->second;
    std::erase_if(held.items, [&](const CustodyJob::Item& other) { return other.broker == item.broker; });
    held.items.push_back(std::move(item));
    if (held.stored >= quorum || held.stored + held.items.size() < quorum) continue;
    std::move(held.items.begin(), held.items.end(), std::back_inserter(ready));
    held_.erase(it);
  }
  TRAM_OK(take_custodies(txn, now, ready, effects));
  return {};
}

Result<uint32_t> Node::domains_stored(ReadTxn& txn, const proto::EnvelopeRecord& envelope) {
  const auto going = going_envelopes_.find(envelope.env_id);
  if (going != going_envelopes_.end() && going->second.custodies) return uint32_t{*going->second.custodies};
  TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, row_key(envelope.uuid, envelope.recipient)));
  return uint32_t{item.custodies};
}

/// Those that were held long enough; by a clock that was set back, or when they are many, all.
Result<void> Node::take_held_custodies(WriteTxn& txn, Time now, Effects& effects) {
  const bool all = held_.size() > held_custodies_max || held_until_ - now > custody_wait;
  if (held_.empty() || (!all && now < held_until_)) return {};
  std::vector<CustodyJob::Item> ready;
  held_until_ = now + custody_wait;
  for (auto it = held_.begin(); it != held_.end();) {
    if (!all && now - it->second.since < custody_wait) {
      held_until_ = std::min(held_until_, it->second.since + custody_wait);
      ++it;
      continue;
    }
    std::move(it->second.items.begin(), it->second.items.end(), std::back_inserter(ready));
    it = held_.erase(it);
  }
  return take_custodies(txn, now, ready, effects);
}

Result<void> Node::take_custodies(WriteTxn& txn, Time now, std::vector<CustodyJob::Item>& items, Effects& effects) {
  std::map<PartyId, std::pair<Epoch, uint64_t>> logs;
  std::map<EnvelopeId, const proto::EnvelopeRecord*> changed;
  for (auto& item : items) {
    TRAM_TRY(custody, crypto::decode_custody(item.custody));
    Link& link = links_[item.broker];
    link.in_flight.erase(custody.env_id);
    if (link.greeted && custody.epoch != link.epoch) {  // verified while its broker lost the store that it speaks of
      link.look_again();
      continue;
    }
    TRAM_OK(txn.erase(table::pending, row_key(item.broker, item.lane, item.order)));
    TRAM_TRY(envelope, going_envelope(txn, custody.env_id));
    if (!envelope || custody.realm != config_.realm) continue;
    auto& [epoch, log_size] = logs[item.broker];
    if (epoch != custody.epoch) log_size = 0;
    epoch = custody.epoch;
    log_size = std::max(log_size, custody.log_size);
    proto::CustodyRecord record{item.broker, custody.epoch, std::move(item.custody), false};
    TRAM_OK(save(txn, table::custody, custody_key(*envelope, item.broker), record));
    TRAM_OK(log_leaf(txn, now, audit::LeafKind::custody_held, {custody.env_id, item.broker}));
    changed.emplace(custody.env_id, envelope);
  }
  for (const auto& [env_id, envelope] : changed) {
    TRAM_TRY(counts, wants_custody(txn, now, envelope));
    if (counts) TRAM_OK(recompute_accepted(txn, now, *envelope, effects));
  }
  // The longest log that each broker has signed for: a shorter one at its next Hello is a store put back (R7, R8).
  for (const auto& [broker, seen] : logs) {
    TRAM_TRY(state, find<proto::BrokerState>(txn, table::broker_state, broker));
    if (!state || state->epoch != seen.first || state->log_size >= seen.second) continue;
    state->log_size = seen.second;
    TRAM_OK(save(txn, table::broker_state, broker, *state));
  }
  return {};
}

Result<void> Node::recompute_accepted(WriteTxn& txn, Time now, const proto::EnvelopeRecord& envelope, Effects& effects) {
  const EnvelopeId& env_id = envelope.env_id;
  const Bytes item_key = row_key(envelope.uuid, envelope.recipient);
  TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, item_key));
  if (item.env_id != env_id) return {};
  std::set<std::string> domains;
  const Bytes prefix = custody_prefix(envelope);
  TRAM_TRY(rows, txn.scan(table::custody, prefix, prefix_end(prefix), 64));
  for (const Row& row : rows) {
    proto::CustodyRecord custody;
    TRAM_OK(proto::decode_record(row.value, custody));
    if (custody.voided) continue;
    auto link = links_.find(custody.broker);
    if (link != links_.end() && link->second.greeted && link->second.epoch != custody.epoch) continue;
    const auto broker = directory_.broker(custody.broker);
    if (!broker || (broker->record.retired && !in_force_.contains(custody.broker))) continue;  // its disks may be gone
    domains.insert(broker->record.failure_domain);
  }
  item.custodies = static_cast<uint32_t>(domains.size());
  if (auto going = going_envelopes_.find(env_id); going != going_envelopes_.end()) going->second.custodies = item.custodies;
  const bool enough = domains.size() >= std::max(1u, directory_.policy(now).custody_quorum);
  if (item.state == proto::ItemState::queued && enough) {
    item.state = proto::ItemState::accepted;
    if (!item.accepted.ms) item.accepted = now;
    TRAM_OK(log_leaf(txn, now, audit::LeafKind::accepted, {env_id}));
    effects.changed_sent.push_back(envelope.uuid);
  } else if (item.state == proto::ItemState::accepted && !enough) {
    item.state = proto::ItemState::queued;  // AT_RISK: custody was voided, it is sent again (R7)
    log_.warning("custody.lost", {{"envelope", env_id}, {"domains", item.custodies}});
  }
  return save(txn, table::item, item_key, item);
}

Result<void> Node::close_envelope(WriteTxn& txn, const EnvelopeId& env_id) {
  TRAM_TRY(held, going_envelope(txn, env_id));
  if (!held || held->closed) return {};
  going_envelopes_.at(env_id).record.closed = true;
  return txn.erase(table::open_envelope, env_id);
}

Result<void> Node::reissue(WriteTxn& txn, Time now, const EnvelopeId& env_id, Effects& effects) {
  TRAM_TRY(envelope, find_envelope(txn, env_id));
  if (!envelope || envelope->closed) return {};
  TRAM_TRY(wanted, give_up_envelope(txn, now, *envelope, ErrorCode::expired, effects));
  if (!wanted) return {};
  TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, envelope->uuid));
  TRAM_OK(add_todo(txn, envelope->recipient, record.lane, envelope->uuid));
  return kick_channel(txn, now, envelope->recipient, record.lane, effects);
}

Result<bool> Node::give_up_envelope(WriteTxn& txn, Time now, const proto::EnvelopeRecord& envelope, ErrorCode why, Effects& effects) {
  const Bytes item_key = row_key(envelope.uuid, envelope.recipient);
  const EnvelopeId env_id = envelope.env_id;
  TRAM_TRY(item, node::load<proto::ItemRecord>(txn, table::item, item_key));
  if (item.env_id != env_id) {
    TRAM_OK(close_envelope(txn, env_id));
    return false;
  }
  TRAM_TRY(record, node::load<proto::OutRecord>(txn, table::outgoing, envelope.uuid));
  TRAM_TRY(old, crypto::decode_envelope(envelope.envelope));
  TRAM_OK(close_envelope(txn, env_id));

  // The old position will never come: the recipient's channel may move on (R10).
  crypto::Notice notice = new_notice(crypto::NoticeKind::voided, envelope.recipient, now);
  notice.reason = static_cast<uint16_t>(why);
  set_subject(notice, env_id, old);
  TRAM_OK(post_notice(txn, now, std::move(notice), effects));
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::position_voided, {env_id}));
  using enum proto::ItemState;
  // Answered, or taken back before its receipt came: there is nothing to send any more.
  if (item.received.ms || (item.state != waiting && item.state != queued && item.state != accepted)) return false;
  item.state = record.body_kept ? waiting : expired;
  if (record.body_kept) item.waiting_reason = static_cast<uint16_t>(why);
  TRAM_OK(save(txn, table::item, item_key, item));
  return record.body_kept;
}

}  // namespace tram::node
