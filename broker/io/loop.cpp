#include "broker/io/loop.h"

#include <algorithm>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>

#include "audit/views.h"
#include "broker/tables.h"

namespace tram::broker {
namespace {

constexpr size_t jobs_pending_max = 512;
constexpr size_t bulk_frames_per_step_max = 16;
constexpr Duration gather_max = milliseconds(5);
constexpr size_t outbox_frames_max = 4096;
constexpr uint64_t outbox_bytes_max = 32u << 20;
constexpr int control_send_queue = 128;
constexpr int bulk_send_queue = 16;
constexpr Duration workers_stuck = seconds(60);

/// What a step has to do: one job may bring the checks of many envelopes.
size_t weight(std::span<const Event> events) {
  size_t weight = 0;
  for (const Event& event : events) {
    const auto* done = std::get_if<JobDone>(&event);
    const auto* puts = done != nullptr ? std::get_if<VerifyPutDone>(done) : nullptr;
    if (puts == nullptr) ++weight;
    else for (const auto& item : puts->items) weight += item.parts.size();
  }
  return weight;
}

bool is_full(ErrorCode code) { return code == ErrorCode::storage_full || code == ErrorCode::map_full; }

}  // namespace

Loop::~Loop() {
  pool_.reset();
  peers_.clear();
  control_.reset();
  bulk_.reset();
  zap_.reset();
}

Result<std::unique_ptr<Loop>> Loop::open(const std::string& home, const ::tram::Config& config,
                                         const crypto::KeyRing& ring, Log& log) {
  struct stat info {};
  if (::stat(doubt_path(home).c_str(), &info) == 0) {
    return fail(ErrorCode::wrong_state, "the disk failed, or a recovery did not end: check the disk, then run "
                                        "`tram-broker recover --dir " + home + "`");
  }
  auto loop = std::unique_ptr<Loop>(new Loop(home, log));
  TRAM_TRY(files, open_home(home, config, ring));
  loop->files_ = std::move(files);
  loop->curve_secret_ = ring.curve_secret.clone();
  proto::BrokerRecord self;
  {
    TRAM_TRY(txn, loop->files_.store->begin_read());
    TRAM_TRY(row, txn->get(table::self, view(table::self_key)));
    if (!row) return fail(ErrorCode::wrong_state, "not accepted yet: run `tram-broker accept`");
    TRAM_OK(proto::decode_record(*row, self));
  }
  Config broker_config;
  broker_config.self = self.party;
  broker_config.realm = self.realm;
  broker_config.software = std::string("tram ") + TRAM_VERSION;
  broker_config.peer_sync = config.duration("peers.sync");
  broker_config.scrub_every = config.duration("scrub.every");
  broker_config.quotas.pinned_bytes_max = config.byte_size("quota.pinned_bytes");
  broker_config.quotas.unpinned_bytes_max = config.byte_size("quota.unpinned_bytes");
  broker_config.quotas.unacked_max = static_cast<uint64_t>(config.integer("quota.unacked_envelopes"));
  broker_config.quotas.puts_per_second_max = static_cast<uint32_t>(config.integer("quota.puts_per_second"));
  loop->directory_ = std::make_unique<directory::Directory>(self.realm);
  loop->audit_log_ = std::make_unique<audit::Log>();
  loop->broker_ = std::make_unique<Broker>(broker_config, std::make_shared<crypto::SigningKey>(ring.sig_seed),
                                           std::make_shared<crypto::LogKey>(ring.log_seed), *loop->directory_, *loop->audit_log_, log, loop->random_);
  loop->pool_ = std::make_unique<io::WorkerPool>(static_cast<unsigned>(config.integer("workers")), jobs_pending_max);
  Effects effects;
  {
    TRAM_TRY(txn, loop->files_.store->begin_write());
    TRAM_OK(loop->broker_->start(*txn, io::wall_now(), effects));
    TRAM_OK(txn->commit());
  }
  if (auto cleared = loop->files_.raw_store->reader_check(); cleared && *cleared > 0) {
    log.warning("readers.were_cleared", {{"count", *cleared}});
  }
  // Z1: the handler answers before any socket is bound, and knows whom to let in before it is asked.
  TRAM_TRY(zap, io::ZapAuthority::start(loop->context_));
  loop->zap_ = std::move(zap);
  TRAM_OK(loop->read_allow_list());
  io::SocketOptions options;
  options.secret_key = loop->curve_secret_.view();
  options.send_queue_max = control_send_queue;
  TRAM_TRY(control, io::ServerSocket::open(loop->context_, *loop->zap_, options));
  loop->control_ = std::move(control);
  options.frame_bytes_max = limits::bulk_frame_bytes_max;
  options.chunk_bytes_max = limits::sealed_chunk_bytes;
  options.send_queue_max = bulk_send_queue;
  options.receive_queue_max = 64;
  TRAM_TRY(bulk, io::ServerSocket::open(loop->context_, *loop->zap_, options));
  loop->bulk_ = std::move(bulk);
  TRAM_TRY(control_at, loop->control_->bind(config.string("listen.control")));
  TRAM_TRY(bulk_at, loop->bulk_->bind(config.string("listen.bulk")));
  log.info("broker.was_bound", {{"control", control_at}, {"bulk", bulk_at}});
  loop->let_out(effects);
  return loop;
}

// ---- in -----------------------------------------------------------------------------------------------------

/// False when the socket may hold more than was taken.
bool Loop::receive(io::ServerSocket& socket, proto::Endpoint endpoint, std::vector<Event>& events) {
  auto received = socket.receive();
  if (!received) return true;
  const SessionKey session{endpoint, received->session};
  auto frame = proto::decode_frame(received->frame, endpoint);
  if (!frame) {
    log_.warning("frame.was_malformed", {{"party", received->peer}, {"error", error_info(frame.error().code).name}});
    proto::Refused refused;
    refused.code = static_cast<uint16_t>(frame.error().code);
    send(session, proto::encode_frame({0, refused}), {});
    return false;
  }
  FrameReceived event{session, received->peer, std::move(*frame), {}};
  if (received->chunk) event.chunk = to_bytes(received->chunk->view());
  events.emplace_back(std::move(event));
  return false;
}

void Loop::gather(std::vector<Event>& events, Time monotonic) {
  const Time until = monotonic + gather_max;
  more_frames_ = false;
  bool control_empty = !broker_->control_room(), bulk_empty = !broker_->bulk_room();
  size_t bulk_frames = 0;
  while (events.size() < limits::events_per_step_max && !(control_empty && bulk_empty)) {
    // Control first: eight of its frames for one of bulk, which is far heavier.
    for (int i = 0; i < 8 && !control_empty && events.size() < limits::events_per_step_max; ++i) {
      control_empty = receive(*control_, proto::Endpoint::control, events);
    }
    if (!bulk_empty) {
      bulk_empty = receive(*bulk_, proto::Endpoint::bulk, events);
      if (++bulk_frames >= bulk_frames_per_step_max) break;
    }
    if (io::monotonic_now() >= until) break;
  }
  more_frames_ = (!control_empty && broker_->control_room()) || (!bulk_empty && broker_->bulk_room());
}

void Loop::gather_peers(std::vector<Event>& events, Time monotonic) {
  for (auto& [id, peer] : peers_) {
    if (!peer.socket) continue;
    for (io::LinkEvent event : peer.socket->maintain(monotonic)) {
      if (event == io::LinkEvent::connected) events.emplace_back(PeerUp{id});
      if (event == io::LinkEvent::disconnected) events.emplace_back(PeerDown{id});
      if (event == io::LinkEvent::refused) log_.warning("peer.refused_us", {{"broker", id}});
    }
    for (int i = 0; i < 16; ++i) {
      auto received = peer.socket->receive();
      if (!received) break;
      auto frame = proto::decode_frame(received->frame, proto::Endpoint::control);
      if (frame) {
        events.emplace_back(PeerFrame{id, std::move(*frame)});
      } else {
        log_.warning("frame.was_malformed", {{"party", id}, {"error", error_info(frame.error().code).name}});
      }
    }
  }
}

// ---- out ----------------------------------------------------------------------------------------------------

bool Loop::send_now(const SessionKey& session, const Waiting& one) {
  io::ServerSocket& socket = session.endpoint == proto::Endpoint::control ? *control_ : *bulk_;
  auto sent = socket.send(session.id, one.frame, one.chunk);
  if (sent) return true;
  if (sent.error().code == ErrorCode::busy) return false;
  if (sent.error().code == ErrorCode::unreachable) {
    next_events_.emplace_back(SessionClosed{session});
  } else {
    log_.error("frame.was_not_sent", {{"error", error_info(sent.error().code).name}});
  }
  return true;
}

void Loop::drop_session(const SessionKey& session) {
  outboxes_.erase(session);
  next_events_.emplace_back(SessionClosed{session});
}

void Loop::send(const SessionKey& session, Bytes frame, Bytes chunk) {
  Waiting one{std::move(frame), std::move(chunk)};
  auto it = outboxes_.find(session);
  if (it == outboxes_.end()) {
    if (send_now(session, one)) return;
    it = outboxes_.try_emplace(session).first;
    next_events_.emplace_back(SessionBusy{session, true});
  }
  Outbox& outbox = it->second;
  outbox.bytes += one.frame.size() + one.chunk.size();
  outbox.frames.push_back(std::move(one));
  if (outbox.frames.size() > outbox_frames_max || outbox.bytes > outbox_bytes_max) {
    log_.warning("session.was_too_slow", {{"frames", static_cast<uint64_t>(outbox.frames.size())}});
    drop_session(session);
  }
}

void Loop::flush_outboxes() {
  for (auto it = outboxes_.begin(); it != outboxes_.end();) {
    Outbox& outbox = it->second;
    while (!outbox.frames.empty() && send_now(it->first, outbox.frames.front())) {
      outbox.bytes -= outbox.frames.front().frame.size() + outbox.frames.front().chunk.size();
      outbox.frames.pop_front();
    }
    if (outbox.frames.empty()) {
      next_events_.emplace_back(SessionBusy{it->first, false});
      it = outboxes_.erase(it);
    } else {
      ++it;
    }
  }
}

void Loop::submit_jobs() {
  while (!backlog_.empty()) {
    auto job = backlog_.front();
    const bool taken = pool_->submit([this, job]() -> io::WorkerPool::Completion {
      auto done = std::make_shared<JobDone>(run_job(std::move(*job), *files_.bodies));
      return [this, done] { complete(*done); };
    });
    if (!taken) return;
    backlog_.pop_front();
  }
}

void Loop::complete(JobDone& done) {
  // A signed answer belongs to a transaction that has committed: it goes at once, not behind the next commit.
  if (auto* signed_replies = std::get_if<SignDone>(&done)) {
    for (auto& item : signed_replies->items) {
      send(item.session, proto::encode_frame({item.request, std::move(item.reply)}), {});
    }
    return;
  }
  next_events_.emplace_back(std::move(done));
}

/// Checks of signatures promise nothing to anyone: they may run while the transaction that wants them commits.
void Loop::start_checks(Effects& effects) {
  if (effects.jobs.size() == 1 && backlog_.empty() && is_brief(effects.jobs.front())) return;  // let_out() does it
  auto is_check = [](const Job& job) {
    return std::holds_alternative<VerifyPutJob>(job) || std::holds_alternative<VerifyAckJob>(job) ||
           std::holds_alternative<VerifyMailJob>(job);
  };
  for (Job& job : effects.jobs) {
    if (is_check(job)) backlog_.push_back(std::make_shared<Job>(std::move(job)));
  }
  std::erase_if(effects.jobs, is_check);
  submit_jobs();
}

void Loop::let_out(Effects& effects) {
  std::optional<Job> own;  // what one document waits for alone: the way to a worker and back takes longer
  if (effects.jobs.size() == 1 && backlog_.empty() && is_brief(effects.jobs.front())) {
    own = std::move(effects.jobs.front());
    effects.jobs.clear();
  }
  for (Job& job : effects.jobs) backlog_.push_back(std::make_shared<Job>(std::move(job)));
  submit_jobs();
  for (Send& one : effects.sends) send(one.session, proto::encode_frame(one.frame), std::move(one.chunk));
  if (own) {
    JobDone done = run_job(std::move(*own), *files_.bodies);
    complete(done);
  }
  for (PeerSend& one : effects.peer_sends) {
    auto it = peers_.find(one.broker);
    // What cannot go now is asked again at the next synchronisation.
    if (it == peers_.end() || !it->second.socket) continue;
    if (auto sent = it->second.socket->send(proto::encode_frame(one.frame)); !sent) log_.debug("peer.was_not_asked");
  }
  wake_at_ = effects.wake_at;
  allow_list_changed_ = allow_list_changed_ || effects.allow_list_changed;
  if (effects.restored_copy) restored_copy_ = effects.restored_copy;
}

// ---- directory ----------------------------------------------------------------------------------------------

Result<void> Loop::read_allow_list() {
  TRAM_TRY(txn, files_.store->begin_read());
  TRAM_TRY(allowed, directory_->allow_list(*txn, io::wall_now()));
  zap_->set_allowed(std::move(allowed));
  return {};
}

void Loop::connect_peers() {
  std::map<PartyId, Peer> kept;
  for (const auto& broker : directory_->brokers(io::wall_now())) {
    const auto& record = broker.record;
    if (record.id == broker_->config().self) continue;
    auto old = peers_.find(record.id);
    if (old != peers_.end() && old->second.record.control_endpoint == record.control_endpoint &&
        old->second.record.curve == record.curve) {
      kept[record.id] = std::move(old->second);
      continue;
    }
    io::ClientOptions options;
    options.socket.secret_key = curve_secret_.view();
    options.endpoint = record.control_endpoint;
    options.server_key = record.curve;
    auto socket = io::ClientSocket::open(context_, options);
    if (!socket) {
      log_.error("peer.has_bad_endpoint", {{"broker", record.id}, {"error", describe(socket.error())}});
      continue;
    }
    kept[record.id] = {record, std::move(*socket)};
  }
  for (const auto& [id, peer] : peers_) {
    if (!kept.contains(id)) next_events_.emplace_back(PeerDown{id});
  }
  peers_ = std::move(kept);
}

// ---- the loop -----------------------------------------------------------------------------------------------

Result<void> Loop::step(std::vector<Event>& events, Time now) {
  Effects effects;
  Result<void> outcome;
  {
    TRAM_TRY(txn, files_.store->begin_write());
    outcome = broker_->step(*txn, now, events, effects);
    if (outcome) {
      start_checks(effects);
      pool_->run_completions();
      outcome = files_.body_files->failed() ? fail(ErrorCode::io_failed, "bodies") : txn->commit();  // R2
    }
  }
  if (outcome) {
    let_out(effects);
    if (!group_commit_.is_busy()) TRAM_OK(files_.raw_store->grow_ahead());
    return recover_if_restored(now);
  }
  if (files_.raw_store->fatal_error() || files_.body_files->failed() || !is_full(outcome.error().code)) return outcome;
  // R42: nothing was acknowledged, so peers repeat; until space is free again only acknowledgements are taken.
  log_.error("store.was_full", {{"used_percent", static_cast<uint64_t>(disk_percent_)}});
  ++full_steps_;
  TRAM_TRY(txn, files_.store->begin_read());
  Effects refusals;
  TRAM_OK(broker_->reload(*txn, now, events, refusals));
  let_out(refusals);
  disk_percent_ = 100;
  // Told at once, but once a second: a Tick may want room itself.
  const Time monotonic = io::monotonic_now();
  if (monotonic >= next_disk_ || next_disk_ - monotonic > seconds(1)) next_events_.emplace_back(Tick{100, clock_reading_.ok()});
  next_disk_ = monotonic + seconds(1);
  return {};
}

/// R8: this store is an old copy of this broker's. A new epoch voids what the lost one promised. Killed on the way, the
/// next start finds the same again.
Result<void> Loop::recover_if_restored(Time now) {
  if (!restored_copy_) return {};
  log_.error("store.is_restored_copy", {{"seen", *restored_copy_}, {"log_size", audit_log_->size()}});
  auto dropped = broker_->recover(*files_.store, *files_.bodies, now, *restored_copy_);
  if (!dropped) {
    if (files_.raw_store->fatal_error() || !is_full(dropped.error().code)) return fail(dropped.error());
    log_.error("store.was_full", {{"used_percent", static_cast<uint64_t>(disk_percent_)}});
    return {};  // tried again after the next step
  }
  restored_copy_.reset();
  log_.warning("epoch.was_opened", {{"epoch", broker_->epoch()}, {"dropped", dropped->dropped}});
  next_events_.emplace_back(Tick{disk_percent_, clock_reading_.ok()});
  return {};
}

int Loop::stop_fatally(const Error& error) {
  log_.error("broker.has_stopped", {{"error", describe(error)}});
  // Best effort: the disk may be the trouble.
  if (auto noted = io::write_private_file_atomic(doubt_path(home_), view("exit 74\n")); !noted) {
    log_.error("doubt.was_not_noted", {{"error", describe(noted.error())}});
  }
  return io::exit_io_fatal;
}

/// Evidence lies beside the store as files that can be carried away and verified anywhere.
Result<void> Loop::write_evidence() {
  TRAM_TRY(txn, files_.store->begin_read());
  TRAM_TRY(files, audit::export_new_evidence(*txn, *directory_, evidence_));
  if (files.empty()) return {};
  ::mkdir(evidence_path(home_).c_str(), 0700);
  for (const auto& file : files) {
    if (auto written = io::write_private_file_atomic(evidence_path(home_) + "/" + file.name, file.bytes); !written)
      log_.warning("evidence.was_not_written", {{"error", describe(written.error())}});
  }
  return {};
}

void Loop::write_status(Time now) {
  if (auto written = write_evidence(); !written)
    log_.warning("evidence.was_not_read", {{"error", describe(written.error())}});
  static constexpr const char* standings[] = {"unknown", "sound", "restored"};
  const audit::OwnLog& own = broker_->own_log();
  const Counters& c = broker_->counters();
  const Scrub& scrub = broker_->scrub();
  const ScrubCounts& seen = scrub.last();
  std::string named;
  for (const auto& row : broker_->damaged_rows()) named += (named.empty() ? "\"" : ",\"") + describe(row) + "\"";
  const std::string text = fmt::format(
      R"({{"party":"{}","epoch":"{}","time_ms":{},"up_since_ms":{},"sessions":{},"log_size":{},"directory_size":{},)"
      R"("disk_used_percent":{},"clock_ok":{},"puts":{},"custodies":{},"repeats":{},"refusals":{},"acks":{},"mails":{},)"
      R"("contents":{},"chunks_in":{},"chunks_out":{},"expired":{},"hostile":{},"standing":"{}","checkpoint":{},"cosigners":{},"evidence":{},)"
      R"("storage_full":{},"scrub":{{"ended_ms":{},"rows":{},"bodies":{},"bytes":{},"damaged_rows":{},"damaged_bodies":{},"open_bodies":{},)"
      R"("repaired_bodies":{},"damaged":[{}]}}}})"
      "\n",
      broker_->config().self.hex(), broker_->epoch().hex(), now.ms, start_.ms, broker_->sessions(), audit_log_->size(),
      directory_->size(), disk_percent_, clock_reading_.ok(), c.puts, c.custodies, c.repeats, c.refusals, c.acks,
      c.mails, c.contents, c.chunks_in, c.chunks_out, c.expired, c.hostile, standings[static_cast<size_t>(own.standing())],
      own.checkpoint_size(), own.cosigners(), evidence_, full_steps_, scrub.last_ended().ms, seen.rows, seen.bodies, seen.bytes,
      broker_->damaged_rows().size(), seen.damaged_bodies, broker_->damaged_bodies(), c.repaired, named);
  if (auto written = io::write_private_file_atomic(status_path(home_), view(text)); !written) {
    log_.warning("status.was_not_written", {{"error", describe(written.error())}});
  }
}

void Loop::every_second(Time monotonic, Time now) {
  next_second_ = monotonic + seconds(1);
  clock_reading_ = clock_.read();
  if (monotonic >= next_disk_) {
    next_disk_ = monotonic + seconds(5);
    if (auto used = files_.raw_store->used_percent()) disk_percent_ = *used;
    if (auto space = files_.body_files->space())
      disk_percent_ = std::max(disk_percent_, 100 - std::min(space->free_percent, 100u));
  }
  if (pool_->pending() == 0) last_job_ = monotonic;
  // T7: the watchdog is fed only while jobs come back.
  if (monotonic < last_job_ + workers_stuck) io::notify_watchdog();
  if (monotonic >= next_status_) {
    next_status_ = monotonic + seconds(10);
    write_status(now);
    io::notify_status(fmt::format("{} sessions, {} custodies, {} % used", broker_->sessions(),
                                  broker_->counters().custodies, disk_percent_));
  }
  if (monotonic < next_minute_) return;
  next_minute_ = monotonic + minutes(1);
  if (auto cleared = files_.raw_store->reader_check(); cleared && *cleared > 0) {
    log_.warning("readers.were_cleared", {{"count", *cleared}});
  }
  if (monotonic >= next_allow_list_) {
    // Changes with a later effect reach ZAP without a new entry.
    next_allow_list_ = monotonic + minutes(10);
    allow_list_changed_ = true;
  }
  io::trim_memory();
}

int Loop::run(io::SignalFd& signals, const std::function<void()>& reopen_log) {
  start_ = io::wall_now();
  last_job_ = io::monotonic_now();
  clock_reading_ = clock_.read();
  io::notify_ready();
  log_.info("broker.is_ready",
            {{"broker", broker_->config().self}, {"epoch", broker_->epoch()}, {"directory", directory_->size()}});
  std::vector<Event> events;
  std::vector<io::PollItem> items;
  while (!stopping_) {
    if (allow_list_changed_) {
      allow_list_changed_ = false;
      if (auto read = read_allow_list(); !read) return stop_fatally(read.error());
      connect_peers();
    }
    Time monotonic = io::monotonic_now();
    int64_t wait = std::max<int64_t>(0, (next_second_ - monotonic).ms);
    if (wake_at_) wait = std::min(wait, std::max<int64_t>(0, (*wake_at_ - io::wall_now()).ms));
    if (!outboxes_.empty()) wait = std::min<int64_t>(wait, 2);
    if (!next_events_.empty() || more_frames_) wait = 0;
    items.clear();
    if (broker_->control_room()) items.push_back(control_->poll_item());
    if (broker_->bulk_room()) items.push_back(bulk_->poll_item());
    for (const auto& [id, peer] : peers_) {
      if (!peer.socket) continue;
      peer.socket->add_poll_items(items);
      if (auto at = peer.socket->wake_at()) wait = std::min(wait, std::max<int64_t>(0, (*at - monotonic).ms));
    }
    items.push_back({nullptr, pool_->completion_fd()});
    items.push_back({nullptr, signals.fd()});
    if (group_commit_.wait().ms > 0) io::poll(std::span(items).last(1), static_cast<int>(group_commit_.wait().ms));
    io::poll(items, static_cast<int>(std::min<int64_t>(wait, 1000)));

    while (auto signal = signals.next()) {
      if (*signal == SIGHUP) {
        reopen_log();
      } else {
        stopping_ = true;
      }
    }
    flush_outboxes();
    if (pool_->run_completions() > 0) last_job_ = io::monotonic_now();
    submit_jobs();
    events.clear();
    std::swap(events, next_events_);
    monotonic = io::monotonic_now();
    gather_peers(events, monotonic);
    gather(events, monotonic);
    const Time now = io::wall_now();
    const bool second = monotonic >= next_second_;
    if (second) every_second(monotonic, now);
    if (second || (wake_at_ && now >= *wake_at_)) {
      wake_at_.reset();
      events.emplace_back(Tick{disk_percent_, clock_reading_.ok()});
    }
    group_commit_.stepped(weight(events), io::monotonic_now());
    if (events.empty()) continue;
    if (auto done = step(events, now); !done) return stop_fatally(done.error());
  }
  io::notify_stopping();
  write_status(io::wall_now());
  log_.info("broker.is_stopping");
  return 0;
}

}  // namespace tram::broker
