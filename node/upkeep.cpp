// Frames in, sessions, epochs and voided custody, directory, key epochs, timers (R7, R14, R19, R27, 3.8).
#include <algorithm>

#include "base/limits.h"
#include "directory/signing.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node {

namespace {
constexpr size_t timers_per_step_max = 200;
constexpr size_t voided_per_step_max = 500;
constexpr size_t retired_rows_max = 100000;
constexpr Duration directory_ask_every = seconds(30);
constexpr Duration directory_ask_stale_every = seconds(10);  // nothing can be sealed to new keys meanwhile (R28)
constexpr Duration upkeep_every = minutes(10);
constexpr Duration repost_every = seconds(20);
constexpr Duration refetch_after = seconds(10);
constexpr Duration hello_again = seconds(10);
constexpr Duration reconcile_every = hours(24);
constexpr size_t kx_per_frame_max = 64;

bool brings_documents(const proto::FrameBody& body) {
  return std::holds_alternative<proto::Announce>(body) || std::holds_alternative<proto::Content>(body) ||
         std::holds_alternative<proto::ManifestData>(body) || std::holds_alternative<proto::ChunkData>(body) ||
         std::holds_alternative<proto::MailDeliver>(body);
}

/// The envelopes without a receipt of which this broker has signed for custody, whatever became of it.
template <class Take>
Result<void> for_each_held_by(ReadTxn& txn, const PartyId& broker, Take&& take) {
  return for_each(txn, table::open_envelope, {}, [&](const Row& row) -> Result<void> {
    TRAM_TRY(envelope, find_envelope(txn, id_at<EnvelopeId>(row.key, 0)));
    if (!envelope) return {};
    TRAM_TRY(custody, txn.get(table::custody, custody_key(*envelope, broker)));
    return custody ? take(*envelope) : Result<void>{};
  });
}
}  // namespace

Result<void> Node::on_frame(WriteTxn& txn, Time now, FrameArrived& arrived, Effects& effects) {
  const PartyId broker = arrived.broker;
  Link& link = links_[broker];
  link.last_heard = now;
  struct Visitor {
    Node& node;
    WriteTxn& txn;
    Time now;
    const PartyId& broker;
    Link& link;
    uint64_t request;
    Bytes& chunk;
    Effects& effects;
    using R = Result<void>;
    R operator()(proto::HelloReply& f) { return node.on_hello(txn, now, broker, link, f, effects); }
    R operator()(proto::Refused& f) { return node.on_refused(txn, now, broker, link, request, f, effects); }
    R operator()(proto::PutReply& f) { return node.on_put_reply(txn, now, broker, link, request, f, effects); }
    R operator()(proto::OfferReply& f) { return node.on_offer_reply(txn, now, broker, link, f, effects); }
    R operator()(proto::ChunkDone& f) { return node.on_chunk_done(txn, now, broker, link, f, effects); }
    R operator()(proto::ReconcileReply& f) { return node.on_reconcile(txn, now, broker, link, f, effects); }
    R operator()(proto::Announce& f) { return node.on_announce(txn, now, broker, f, effects); }
    R operator()(proto::Content& f) { return node.on_content(txn, now, broker, f, effects); }
    R operator()(proto::ManifestData& f) { return node.on_manifest(now, broker, f, effects); }
    R operator()(proto::ChunkData& f) { return node.on_chunk(now, broker, link, f, std::move(chunk), effects); }
    R operator()(proto::AckReply&) { return {}; }
    R operator()(proto::MailPosted& f) { return node.on_mail_posted(txn, now, broker, link, f, effects); }
    R operator()(proto::MailDeliver& f) { return node.on_mail(txn, now, broker, f, effects); }
    R operator()(proto::DirectoryEntries& f) { return node.on_directory(txn, now, broker, link, f, effects); }
    R operator()(proto::KxFeeds& f) { return node.on_kx_feeds(txn, now, f, effects); }
    R operator()(proto::CheckpointData& f) { return node.on_own_log(txn, now, broker, f, effects); }
    R operator()(proto::CheckpointReply& f) { return node.on_own_log(txn, now, broker, f, effects); }
    R operator()(proto::LeavesData& f) { return node.on_own_log(txn, now, broker, f, effects); }
    R operator()(proto::Done&) { return {}; }
    R operator()(proto::Ping&) { return {}; }
    R unexpected() {
      node.log_.warning("frame.unexpected", {{"broker", broker}});
      return {};
    }
    R operator()(proto::Hello&) { return unexpected(); }
    R operator()(proto::Put&) { return unexpected(); }
    R operator()(proto::Offer&) { return unexpected(); }
    R operator()(proto::ChunkPut&) { return unexpected(); }
    R operator()(proto::Reconcile&) { return unexpected(); }
    R operator()(proto::Fetch&) { return unexpected(); }
    R operator()(proto::ManifestGet&) { return unexpected(); }
    R operator()(proto::ChunkGet&) { return unexpected(); }
    R operator()(proto::AckPut&) { return unexpected(); }
    R operator()(proto::MailPost&) { return unexpected(); }
    R operator()(proto::MailDone&) { return unexpected(); }
    R operator()(proto::DirectoryGet&) { return unexpected(); }
    R operator()(proto::DirectoryPut&) { return unexpected(); }
    R operator()(proto::KxPut&) { return unexpected(); }
    R operator()(proto::KxGet&) { return unexpected(); }
    R operator()(proto::CheckpointPut&) { return unexpected(); }
    R operator()(proto::CheckpointGet&) { return unexpected(); }
    R operator()(proto::LeavesGet&) { return unexpected(); }
    R operator()(proto::CheckpointList&) { return unexpected(); }
    R operator()(proto::CheckpointPage&) { return unexpected(); }
    R operator()(proto::CosignaturePut&) { return unexpected(); }
  };
  // An old copy takes nothing before it recovers: what it took would stand for what it has forgotten.
  // So it is with keys that are not ours by our directory: nobody would believe what they sign.
  if ((restored_since_ || !keys_in_force_) && brings_documents(arrived.frame.body)) return {};
  return std::visit(Visitor{*this, txn, now, broker, link, arrived.frame.request, arrived.chunk, effects}, arrived.frame.body);
}

// ---- sessions ---------------------------------------------------------------------------------------------------

Result<void> Node::greet(ReadTxn& txn, Time now, const PartyId& broker, Link& link, Effects& effects) {
  link.hello_sent = now;
  TRAM_TRY(seen, audit::remembered_checkpoint(txn, broker));
  send(broker, proto::Endpoint::control,
       proto::Hello{proto::wire_version, self_.inc, directory_.size(), config_.software, self_.recovery == proto::Recovery::asking,
                    std::move(seen)},
       effects);
  return {};
}

Result<void> Node::on_hello(WriteTxn& txn, Time now, const PartyId& broker, Link& link, const proto::HelloReply& hello, Effects& effects) {
  if (hello.broker != broker) {
    log_.warning("broker.wrong_identity", {{"broker", broker}});
    return {};
  }
  const bool first = !link.greeted;
  if (first) broker_greeted(now);
  link.greeted = true;
  link.epoch = hello.epoch;
  link.clock_offset = hello.time - now;
  if (hello.directory_size > link.directory_size && !link.unknown_there.empty()) {
    link.unknown_there.clear();
    link.look_again();
  }
  link.directory_size = hello.directory_size;
  link.log_size = hello.log_size;
  fenced_ = own_log_.is_fenced();
  if (self_.recovery == proto::Recovery::asking) TRAM_OK(hear_incarnation(txn, now, broker, hello, effects));
  if (!hello.checkpoint.empty()) TRAM_OK(on_broker_checkpoint(txn, now, broker, hello.checkpoint));
  TRAM_TRY(found, find<proto::BrokerState>(txn, table::broker_state, broker));
  proto::BrokerState state = found.value_or(proto::BrokerState{});
  const bool reborn = found && (state.epoch != hello.epoch || hello.log_size < state.log_size);
  if (!first && !reborn) return {};
  if (reborn) {
    log_.warning("broker.epoch_changed", {{"broker", broker}});
    link.void_cursor = Bytes{};
  }
  state.broker = broker;
  state.epoch = hello.epoch;
  state.log_size = hello.log_size;
  state.log_root = hello.log_root;
  if (!reborn && now - state.last_reconciled >= reconcile_every) {
    state.last_reconciled = now;
    TRAM_OK(ask_reconcile(txn, broker, effects));
  }
  TRAM_OK(save(txn, table::broker_state, broker, state));
  if (reborn) TRAM_OK(void_custodies(txn, now, broker, link, effects));
  if (first) TRAM_OK(ask_own_log(txn, now, broker, effects));
  TRAM_OK(publish_kx(broker, effects));
  if (hello.directory_size > directory_.size()) ask_directory(now, broker, link, effects);
  for (auto& [id, arrival] : arrivals_)
    if (arrival.stage == Arrival::Stage::wanted && arrival.sources.count(broker)) fetch(now, arrival, effects);
  return post_pending_mail(txn, broker, link, effects);
}

/// A broker that lost or replaced its store holds nothing of ours any more: every custody of its old epoch is void and
/// the envelopes queue for it again (R7). Mail that it held is posted again.
Result<void> Node::void_custodies(WriteTxn& txn, Time now, const PartyId& broker, Link& link, Effects& effects) {
  if (!link.void_cursor) return {};
  TRAM_TRY(rows, txn.scan(table::open_envelope, *link.void_cursor, {}, voided_per_step_max));
  for (const Row& row : rows) {
    const auto env_id = id_at<EnvelopeId>(row.key, 0);
    TRAM_TRY(envelope, find_envelope(txn, env_id));
    if (!envelope) continue;
    const Bytes key = custody_key(*envelope, broker);
    TRAM_TRY(custody, find<proto::CustodyRecord>(txn, table::custody, key));
    if (!custody || custody->voided) continue;
    if (custody->epoch == link.epoch) {  // void too when the log that recorded it was put back
      TRAM_TRY(signed_custody, crypto::decode_custody(custody->custody));
      if (signed_custody.log_size <= link.log_size) continue;
    }
    custody->voided = true;
    TRAM_OK(save(txn, table::custody, key, *custody));
    TRAM_OK(requeue(txn, now, broker, env_id, effects));
  }
  if (rows.size() < voided_per_step_max) {
    link.void_cursor.reset();
    link.look_again();
    std::vector<std::pair<Bytes, proto::MailRecord>> lost;
    const auto walked = for_each(txn, table::mail_out, {}, [&](const Row& row) -> Result<void> {
      proto::MailRecord mail;
      TRAM_OK(proto::decode_record(row.value, mail));
      auto it = std::find(mail.brokers.begin(), mail.brokers.end(), broker);
      if (it == mail.brokers.end()) return {};
      mail.brokers.erase(it);
      lost.emplace_back(row.key, std::move(mail));
      return {};
    });
    TRAM_OK(walked);
    for (auto& [mail_key, mail] : lost) TRAM_OK(save(txn, table::mail_out, mail_key, mail));
    return post_pending_mail(txn, broker, link, effects);
  }
  link.void_cursor = rows.back().key;
  link.void_cursor->push_back(0);
  effects.wake_at = now;
  return {};
}

Result<void> Node::requeue(WriteTxn& txn, Time now, const PartyId& broker, const EnvelopeId& env_id, Effects& effects) {
  TRAM_TRY(envelope, find_envelope(txn, env_id));
  if (!envelope || envelope->closed) return {};
  TRAM_TRY(decoded, crypto::decode_envelope(envelope->envelope));
  TRAM_TRY(order, next_order(txn));
  TRAM_OK(txn.put(table::pending, row_key(broker, decoded.lane, order), env_id));
  links_[broker].cursors[static_cast<size_t>(decoded.lane)].more = true;
  TRAM_OK(log_leaf(txn, now, audit::LeafKind::custody_voided, {env_id, broker}));
  return recompute_accepted(txn, now, *envelope, effects);
}

Result<void> Node::ask_reconcile(ReadTxn& txn, const PartyId& broker, Effects& effects) {
  proto::Reconcile page;
  // What is on its way there is not asked for: an answer that crosses it would accuse the broker.
  TRAM_OK(for_each_held_by(txn, broker, [&](const proto::EnvelopeRecord& envelope) -> Result<void> {
    page.env_ids.push_back(envelope.env_id);
    if (page.env_ids.size() == limits::reconcile_ids_per_page_max) {
      send(broker, proto::Endpoint::control, std::move(page), effects);
      page = {};
    }
    return {};
  }));
  if (!page.env_ids.empty()) send(broker, proto::Endpoint::control, std::move(page), effects);
  return {};
}

Result<void> Node::on_reconcile(WriteTxn& txn, Time now, const PartyId& broker, Link& link, proto::ReconcileReply& reply, Effects& effects) {
  for (const EnvelopeId& env_id : reply.missing) {
    TRAM_TRY(envelope, find_envelope(txn, env_id));
    if (!envelope || envelope->closed) continue;
    const Bytes key = custody_key(*envelope, broker);
    TRAM_TRY(custody, find<proto::CustodyRecord>(txn, table::custody, key));
    if (!custody || custody->voided) continue;  // still queued for it
    TRAM_TRY(decoded, crypto::decode_envelope(envelope->envelope));
    if (decoded.not_after + limits::grace <= now) continue;  // freed by its age: it is issued anew (R16, R20)
    custody->voided = true;
    TRAM_OK(save(txn, table::custody, key, *custody));
    log_.error("broker.lost_envelope", {{"broker", broker}, {"envelope", env_id}});
    TRAM_OK(requeue(txn, now, broker, env_id, effects));
  }
  link.look_again();
  return {};
}

/// By a wrong clock all brokers are strangers; a retired one is given nothing any more, and what it holds counts no more (R5).
Result<void> Node::leave_retired(WriteTxn& txn, Time now, const PartyId& broker, Effects& effects) {
  const auto known = directory_.broker(broker);
  if (!known || !known->record.retired) return {};
  const Bytes prefix = row_key(broker);
  TRAM_TRY(rows, txn.scan(table::pending, prefix, prefix_end(prefix), retired_rows_max));
  for (const Row& row : rows) TRAM_OK(txn.erase(table::pending, row.key));

  TRAM_TRY(state, txn.get(table::broker_state, broker));
  if (!state) return {};  // it held nothing, or was left before
  TRAM_OK(txn.erase(table::broker_state, broker));
  std::vector<proto::EnvelopeRecord> held;
  TRAM_OK(for_each_held_by(txn, broker, [&](const proto::EnvelopeRecord& envelope) -> Result<void> {
    held.push_back(envelope);
    return {};
  }));
  for (const auto& envelope : held) TRAM_OK(recompute_accepted(txn, now, envelope, effects));
  return {};
}

Result<void> Node::refresh_links(WriteTxn& txn, Time now, Effects& effects) {
  const auto ids = directory_.broker_ids(now);
  const std::set<PartyId> in_force(ids.begin(), ids.end());
  // Not whether a link was missing: late frames and old sources make links of brokers that io has let go of.
  const bool changed = in_force != in_force_;
  in_force_ = in_force;
  if (changed) {
    effects.directory_changed = true;
    for (const Table& rows : {table::pending, table::broker_state}) {
      TRAM_TRY(known, parties_in(txn, rows));
      for (const PartyId& broker : known)  // one may have retired while we were off, and has no link
        if (!in_force.contains(broker)) TRAM_OK(leave_retired(txn, now, broker, effects));
    }
  }
  for (const PartyId& id : in_force) links_.try_emplace(id);
  for (auto it = links_.begin(); it != links_.end();) {
    if (in_force.count(it->first)) {
      ++it;
      continue;
    }
    TRAM_OK(leave_retired(txn, now, it->first, effects));
    own_log_.disconnected(it->first);
    it = links_.erase(it);
  }
  std::vector<PartyId> witnesses(in_force.begin(), in_force.end());
  if (in_force.empty() || !clock_ok_) {  // a wrong clock does not know them yet
    witnesses.clear();
    for (const auto& broker : directory_.known_brokers()) witnesses.push_back(broker.record.id);
  }
  own_log_.set_witnesses(witnesses, directory_.policy(now).custody_quorum);
  return {};
}

// ---- directory --------------------------------------------------------------------------------------------------

void Node::ask_directory(Time now, const PartyId& broker, Link& link, Effects& effects) {
  link.last_directory_ask = now;
  send(broker, proto::Endpoint::control, proto::DirectoryGet{directory_.size()}, effects);
}

Result<void> Node::on_directory(WriteTxn& txn, Time now, const PartyId& broker, Link& link, proto::DirectoryEntries& message, Effects& effects) {
  uint64_t index = message.from;
  bool grown = false;
  for (const Bytes& entry : message.entries) {
    if (index++ < directory_.size()) continue;
    if (auto applied = directory_.apply(txn, entry, now); !applied) {
      const auto code = applied.error().code;
      if (code == ErrorCode::store_corrupt || code == ErrorCode::io_failed || code == ErrorCode::map_full) return fail(applied.error());
      log_.error("directory.entry_refused", {{"broker", broker}, {"index", index - 1}, {"error", error_info(code).name}});
      break;
    }
    grown = true;
    looked_ = {};
    TRAM_OK(log_leaf(txn, now, audit::LeafKind::directory_applied, {u64_value(index - 1), directory_.root()}));
  }
  if (grown) TRAM_OK(views_.settle(txn, now));
  TRAM_OK(on_views(txn, now, message.views, effects));
  if (!grown) return {};
  effects.directory_changed = true;
  TRAM_OK(look_at_own_keys(txn, now));
  log_.info("directory.advanced", {{"size", directory_.size()}});
  if (directory_.size() < message.size) {
    ask_directory(now, broker, link, effects);
    return {};
  }
  TRAM_OK(refresh_links(txn, now, effects));
  // What was refused by a directory that has changed since, a suspended agency's documents say, may be taken now.
  for (auto& [id, each] : links_) each.backoff_until = std::min(each.backoff_until, now + lifted_retry);
  TRAM_OK(open_incarnation(txn, now, effects));
  // An agency that joined may be waited for, one that closed cannot; an arrival may have waited for its sender's entry.
  TRAM_OK(find_closed(txn, now, effects));
  TRAM_OK(kick_all_channels(txn, now, effects));
  for (auto& [id, arrival] : arrivals_)
    if (arrival.stage == Arrival::Stage::wanted) fetch(now, arrival, effects);
  if (std::exchange(mail_waits_, false))  // of an author that was not known yet: asked for anew
    for (auto& [id, to] : links_)
      if (to.greeted) TRAM_OK(greet(txn, now, id, to, effects));
  return {};
}

// ---- key epochs -------------------------------------------------------------------------------------------------

/// Makes the epochs of the days ahead, signs the feed, destroys private keys that no living envelope can name (3.8).
Result<void> Node::rotate_kx(WriteTxn& txn, Time now, Effects& effects) {
  const auto today = static_cast<uint64_t>(now.ms / limits::kx_epoch.ms);
  proto::KxFeedPayload payload;
  payload.realm = config_.realm;
  payload.agency = config_.self;
  // After a clock was put right the keys of these days may all be here, and what was published names other days.
  bool changed = kx_feed_.empty() || today != kx_today_;
  kx_today_ = today;
  for (uint64_t epoch = today; epoch <= today + limits::kx_epochs_ahead; ++epoch) {
    const Bytes key = u64_value(epoch);
    TRAM_TRY(held, txn.get(table::kx_private, key));
    crypto::KxKeyPair pair;
    if (held) {
      pair = crypto::kx_pair_from(crypto::Secret32(BytesView(*held).first(32)));
    } else {
      pair = crypto::make_kx_pair(random_);
      TRAM_OK(txn.put(table::kx_private, key, pair.secret.view()));
      TRAM_OK(log_leaf(txn, now, audit::LeafKind::kx_rotated, {key, pair.public_key}));
      changed = true;
    }
    const Time start{static_cast<int64_t>(epoch) * limits::kx_epoch.ms};
    payload.epochs.push_back({epoch, pair.public_key, start, start + limits::kx_epoch});
    kx_pairs_.insert_or_assign(crypto::key_id(crypto::KeyKind::kx, pair.public_key), std::move(pair));
  }
  kx_until_ = payload.epochs.back().not_after;
  const Duration kept = limits::kx_epoch + limits::time_to_live + limits::grace;
  std::vector<Bytes> dead;
  // What is destroyed by a wrong clock never comes back: mail on its way could not be read (R43).
  if (clock_ok_) TRAM_OK(for_each(txn, table::kx_private, {}, [&](const Row& row) -> Result<void> {
    const Time end{static_cast<int64_t>(read_u64(row.key) + 1) * limits::kx_epoch.ms};
    if (end + kept >= now) return {};
    dead.push_back(row.key);
    auto pair = crypto::kx_pair_from(crypto::Secret32(BytesView(row.value).first(32)));
    kx_pairs_.erase(crypto::key_id(crypto::KeyKind::kx, pair.public_key));
    return {};
  }));
  for (const Bytes& key : dead) {
    TRAM_OK(txn.erase(table::kx_private, key));
    TRAM_OK(log_leaf(txn, now, audit::LeafKind::kx_destroyed, {key}));
  }
  if (!changed) return {};
  payload.number = ++self_.kx_feed;
  self_dirty_ = true;
  kx_feed_ = proto::encode_kx_feed(directory::sign_kx_feed(payload, *keys_.sig));
  if (auto stored = directory_.store_kx_feed(txn, kx_feed_, now); !stored) {
    if (error_info(stored.error().code).retry == Retry::fatal) return fail(stored.error());
    log_.warning("kx_feed.not_kept", {{"error", error_info(stored.error().code).name}});  // not in the directory yet
  }
  for (const auto& [broker, link] : links_)
    if (link.greeted) TRAM_OK(publish_kx(broker, effects));
  return {};
}

Result<void> Node::publish_kx(const PartyId& broker, Effects& effects) {
  send(broker, proto::Endpoint::control, proto::KxPut{kx_feed_}, effects);
  return {};
}

/// Asks one broker for the feeds that wrapping waits for; another one next time.
void Node::ask_kx(Time now, Effects& effects) {
  if (kx_wanted_.empty() || now < kx_ask_after_ || freshness(now) >= audit::Freshness::no_new_keys) return;
  std::vector<PartyId> greeted;
  for (const auto& [broker, link] : links_)
    if (link.greeted) greeted.push_back(broker);
  if (greeted.empty()) return;
  const PartyId broker = greeted[kx_turn_++ % greeted.size()];
  std::vector<PartyId> wanted(kx_wanted_.begin(), kx_wanted_.end());
  for (size_t i = 0; i < wanted.size(); i += kx_per_frame_max)
    send(broker, proto::Endpoint::control,
         proto::KxGet{{wanted.begin() + static_cast<ptrdiff_t>(i), wanted.begin() + static_cast<ptrdiff_t>(std::min(wanted.size(), i + kx_per_frame_max))}},
         effects);
  kx_ask_after_ = now + seconds(2);
}

Result<void> Node::on_kx_feeds(WriteTxn& txn, Time now, proto::KxFeeds& message, Effects& effects) {
  // The key that signed it may have been revoked by an entry that is kept from us (R28).
  if (freshness(now) >= audit::Freshness::no_new_keys) return {};
  bool any = false;
  for (const Bytes& feed : message.feeds) {
    auto kept = directory_.store_kx_feed(txn, feed, now);
    looked_.kx.clear();
    if (!kept) {
      if (error_info(kept.error().code).retry == Retry::fatal) return fail(kept.error());
      log_.warning("kx_feed.refused", {{"error", error_info(kept.error().code).name}});
      continue;
    }
    auto decoded = proto::decode_kx_feed(feed);
    if (!decoded) continue;
    auto payload = proto::decode_kx_feed_payload(decoded->payload);
    if (!payload) continue;
    TRAM_TRY(usable, directory_.kx_epoch(txn, payload->agency, now));
    if (!usable || !kx_wanted_.erase(payload->agency)) continue;
    any = true;
    for (Lane lane : {Lane::urgent, Lane::normal, Lane::bulk}) TRAM_OK(kick_channel(txn, now, payload->agency, lane, effects));
  }
  if (any) TRAM_OK(repost_answers(txn, now, effects));
  if (!kx_wanted_.empty() && any) kx_ask_after_ = now;
  return {};
}

/// A clock that was ahead and is put right: what waits for an hour of the old clock is due now, else it would wait for
/// as long as the clock was ahead (R43).
void Node::heed_clock(Time now) {
  if (now - clock_seen_ > minutes(1)) look_for_closed_ = true;  // other entries are in force than a moment ago
  const bool set_back = now + seconds(1) < clock_seen_;
  clock_seen_ = now;
  if (!set_back) return;
  log_.warning("clock.was_set_back");
  look_for_closed_ = true;
  last_repost_ = kx_ask_after_ = {};
  for (auto& [broker, link] : links_) {
    link.hello_sent = link.backoff_until = link.last_directory_ask = {};
    for (auto& [request, put] : link.puts) put.sent = {};
    for (auto& [doc, upload] : link.uploads) upload.last_heard = {};
    link.look_again();
  }
  for (auto& [id, arrival] : arrivals_) arrival.asked = arrival.not_before = {};
}

// ---- time -------------------------------------------------------------------------------------------------------

Result<void> Node::add_timer(WriteTxn& txn, Time at, TimerKind kind, BytesView id) {
  return txn.put(table::timer, row_key(at, static_cast<uint8_t>(kind), id), {});
}

/// Whether a recipient may still be sent this document.
Result<bool> Node::body_wanted(ReadTxn& txn, const DocUuid& uuid) {
  bool wanted = false;
  const auto walked = for_each(txn, table::item, uuid, [&](const Row& row) -> Result<void> {
    proto::ItemRecord item;
    TRAM_OK(proto::decode_record(row.value, item));
    using enum proto::ItemState;
    wanted = wanted || item.state == waiting || item.state == queued || item.state == accepted;
    return {};
  });
  TRAM_OK(walked);
  return wanted;
}

Result<void> Node::fire_timers(WriteTxn& txn, Time now, Effects& effects) {
  TRAM_TRY(rows, txn.scan(table::timer, {}, row_key(now + milliseconds(1)), timers_per_step_max));
  for (const Row& row : rows) {
    TRAM_OK(txn.erase(table::timer, row.key));
    const auto kind = static_cast<TimerKind>(row.key[8]);
    const BytesView id = BytesView(row.key).subspan(9);
    // A doubtful clock throws nothing away.
    if (!clock_ok_ && (kind == TimerKind::mail_expiry || kind == TimerKind::body_retention)) {
      TRAM_OK(add_timer(txn, now + hours(1), kind, id));
      continue;
    }
    switch (kind) {
      case TimerKind::envelope_expiry: TRAM_OK(reissue(txn, now, id_at<EnvelopeId>(id, 0), effects)); break;
      case TimerKind::mail_expiry: {
        TRAM_TRY(mail, find<proto::MailRecord>(txn, table::mail_out, id));
        // A notice that never left goes on waiting; a cell is sealed anew, to the key of the day (repost_answers).
        if (mail && mail->brokers.empty() && mail->content.size() != limits::cell_bytes) TRAM_OK(add_timer(txn, now + limits::time_to_live, TimerKind::mail_expiry, id));
        else TRAM_OK(txn.erase(table::mail_out, id));
        break;
      }
      case TimerKind::gap: {
        TRAM_TRY(channel, find<proto::ChannelIn>(txn, table::channel_in, id));
        if (!channel || !channel->gap_since.ms) break;
        if (now - channel->gap_since < limits::gap_release) {  // a later gap of the same channel
          TRAM_OK(add_timer(txn, channel->gap_since + limits::gap_release, TimerKind::gap, id));
          break;
        }
        const auto sender = id_at<PartyId>(id, 0);
        log_.warning("channel.gap_released", {{"sender", sender}, {"seq", channel->next_seq}});
        TRAM_OK(release_held(txn, now, sender, static_cast<Lane>(id[16]), *channel, UINT64_MAX, effects));
        TRAM_OK(save(txn, table::channel_in, id, *channel));
        break;
      }
      case TimerKind::body_retention: {
        TRAM_TRY(record, find<proto::OutRecord>(txn, table::outgoing, id));
        if (!record || !record->body_kept) break;
        TRAM_TRY(wanted, body_wanted(txn, record->uuid));
        if (wanted) {  // somebody has not had it yet (R6)
          TRAM_OK(add_timer(txn, now + days(1), TimerKind::body_retention, id));
          break;
        }
        record->body_kept = false;
        TRAM_OK(forget_damage(txn, record->doc_id));
        record->inline_chunk.clear();
        if (record->inline_body) TRAM_OK(txn.erase(table::body_inline, record->doc_id));
        else {
          effects.remove_bodies.push_back(record->body_name);
          effects.remove_bodies.push_back(manifest_name(record->body_name));
        }
        TRAM_OK(save(txn, table::outgoing, id, *record));
        going_documents_.erase(id_at<DocUuid>(id, 0));
        TRAM_OK(log_leaf(txn, now, audit::LeafKind::body_removed, {record->doc_id}));
        break;
      }
    }
  }
  if (rows.size() == timers_per_step_max) effects.wake_at = now;
  return {};
}

Result<void> Node::on_tick(WriteTxn& txn, Time now, Effects& effects) {
  TRAM_OK(fire_timers(txn, now, effects));
  TRAM_OK(refresh_links(txn, now, effects));  // an entry may say from when on it holds
  const bool could_not_sign = !keys_in_force_;
  TRAM_OK(look_at_own_keys(txn, now));
  if (could_not_sign && keys_in_force_) TRAM_OK(kick_all_channels(txn, now, effects));
  const Duration ask_every = freshness(now) >= audit::Freshness::no_new_keys ? directory_ask_stale_every : directory_ask_every;
  for (auto& [broker, link] : links_) {
    // A broker whose step was aborted has forgotten what it was asked.
    if (link.connected && !link.greeted && now - link.hello_sent >= hello_again)
      TRAM_OK(greet(txn, now, broker, link, effects));
    if (!link.greeted) continue;
    expire_requests(link, now);
    TRAM_OK(void_custodies(txn, now, broker, link, effects));
    if (now - link.last_directory_ask >= ask_every) ask_directory(now, broker, link, effects);
  }
  if (self_.recovery == proto::Recovery::telling) TRAM_OK(end_telling(txn, now, effects));
  TRAM_OK(reissue_old_envelopes(txn, now, effects));
  TRAM_OK(redeliver(txn, now, effects));
  if (look_for_closed_) TRAM_OK(find_closed(txn, now, effects));
  std::vector<EnvelopeId> refused;
  for (auto& [id, arrival] : arrivals_) {
    using Stage = Arrival::Stage;
    if (now - arrival.asked < refetch_after || arrival.gave_up) continue;
    if (arrival.stage == Stage::wanted && arrival.cannot_open && all_failed(arrival)) {
      refused.push_back(id);
      continue;
    }
    if (arrival.stage == Stage::twin && !body_coming(arrival)) arrival.stage = Stage::wanted;  // the other one came to nothing
    if (arrival.stage == Stage::wanted) fetch(now, arrival, effects);
    else if (arrival.stage == Stage::chunks && arrival.done == arrival.have.size()) TRAM_OK(finish_if_whole(arrival, effects));
    else if (arrival.stage == Stage::fetching || arrival.stage == Stage::manifest || (arrival.stage == Stage::chunks && arrival.writing.empty()))
      source_failed(now, arrival, effects);
  }
  for (const EnvelopeId& id : refused) {
    Arrival& arrival = arrivals_.at(id);
    const Error error = *arrival.cannot_open;
    TRAM_OK(reject(txn, now, arrival, error, effects));
  }
  if (now - last_repost_ >= repost_every) {
    TRAM_OK(repost_answers(txn, now, effects));
    TRAM_OK(retry_sealing(txn, effects));
    for (auto& [broker, link] : links_) {
      if (link.greeted) TRAM_OK(repost_mail(txn, broker, link, effects));
    }
  }
  TRAM_OK(tick_own_log(txn, now, effects));
  TRAM_OK(scrub_turn(txn, now, effects));
  TRAM_OK(mend_bodies(txn, now, effects));
  TRAM_OK(tell_heads(txn, now, effects));
  TRAM_OK(watch_heads(txn, now, effects));
  if (now - last_upkeep_ >= upkeep_every || now < last_upkeep_) {
    last_upkeep_ = now;
    TRAM_OK(rotate_kx(txn, now, effects));
    look_for_closed_ = true;
    TRAM_OK(kick_all_channels(txn, now, effects));
    if (clock_ok_) TRAM_OK(drop_old(txn, table::undeliverable, now - limits::retention, [](const Row& row) { return Time{static_cast<int64_t>(read_u64(row.key))}; }));
    if (clock_ok_ && !attempts_.empty()) {  // what was not tried again for so long is not coming any more
      TRAM_OK(drop_old(txn, table::attempt, now - limits::retention, [](const Row& row) { return Time{static_cast<int64_t>(Reader(BytesView(row.value).subspan(4)).u64())}; }));
      TRAM_OK(load_attempts(txn));
    }
    if (clock_ok_) TRAM_OK(drop_old(txn, table::mail_seen, now - (limits::time_to_live + limits::grace + days(1)), [](const Row& row) { return Time{static_cast<int64_t>(read_u64(row.value))}; }));
  }
  if (!effects.wake_at) effects.wake_at = now + seconds(1);
  return {};
}

Result<void> Node::drop_old(WriteTxn& txn, const Table& table, Time before, const std::function<Time(const Row&)>& created) {
  std::vector<Bytes> dead;
  TRAM_OK(for_each(txn, table, {}, [&](const Row& row) -> Result<void> {
    if (dead.size() < 1000 && created(row) < before) dead.push_back(row.key);
    return {};
  }));
  for (const Bytes& key : dead) TRAM_OK(txn.erase(table, key));
  return {};
}

}  // namespace tram::node
