#include "node/io/loop.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/io/secret_input.h"
#include "base/limits.h"
#include "node/io/backup.h"
#include "node/tables.h"

namespace tram::node {

namespace {
constexpr size_t jobs_pending_max = 256;
constexpr size_t writes_per_step_max = 128;
constexpr size_t frames_per_socket_max = 128;
constexpr size_t suspects_max = 64;
constexpr uint32_t schema_version = 1;

bool is_full(ErrorCode code) { return code == ErrorCode::storage_full || code == ErrorCode::map_full; }
}  // namespace

Loop::Loop(LoopOptions options, daemon::KeyRings rings, Log& log)
    : options_(std::move(options)), ring_(std::move(rings.present)), next_ring_(std::move(rings.next)), log_(log), opening_(options_.directory + "/opening"), tokens_(options_.directory + "/tokens") {}

Loop::~Loop() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    for (auto& write : writes_) {
      write->response = api::problem({ErrorCode::busy, "the node is stopping"}, write->request);
      write->answered.raise();
    }
    writes_.clear();
    for (const auto& [uuid, waiter] : waiters_) waiter->changed.raise();
  }
  if (http_) http_->stop();
  http_.reset();
  pool_.reset();
  sockets_.clear();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

Result<std::unique_ptr<Loop>> Loop::open(LoopOptions options, daemon::KeyRings rings, Log& log) {
  struct stat info {};
  if (::stat(doubt_path(options.directory).c_str(), &info) == 0)
    return fail(ErrorCode::wrong_state, "the disk failed, or a restore or recovery did not end: check the disk, then run `tram-node recover --dir " +
                                            options.directory + "`, or restore a backup");
  auto loop = std::unique_ptr<Loop>(new Loop(std::move(options), std::move(rings), log));
  TRAM_OK(loop->open_store());
  TRAM_OK(loop->blame_what_was_open());
  TRAM_OK(loop->restart_node());
  if (loop->node_->keys_are_former())
    return fail(ErrorCode::wrong_state, "the directory holds other keys for this agency: another home has taken its place, or its new keys are in "
                                        "another copy; to go on with this one, `tram-node renew-keys --dir " + loop->options_.directory + "`");
  {
    TRAM_TRY(snapshot, loop->store_->begin_read());
    TRAM_OK(api::sweep_uploads(*snapshot, *loop->bodies_));
  }
  loop->wake_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (loop->wake_fd_ < 0) return fail(ErrorCode::internal, "eventfd");
  loop->pool_ = std::make_unique<io::WorkerPool>(loop->options_.workers, jobs_pending_max);
  loop->publish_views();
  TRAM_TRY(http, HttpServer::start(loop->options_.http, *loop, log));
  loop->http_ = std::move(http);
  return loop;
}

Result<void> Loop::open_store() {
  io::LmdbOptions lmdb;
  lmdb.directory = options_.directory + "/store";
  lmdb.map_bytes = options_.map_bytes;
  lmdb.tables = table::all();
  lmdb.schema_version = schema_version;
  TRAM_TRY(raw, io::LmdbStore::open(lmdb));
  raw_store_ = std::move(raw);
  codec_ = crypto::make_seal_codec(ring_.storage_key, random_, table::all());
  store_ = coded_store(*raw_store_, *codec_);
  TRAM_TRY(files, io::BodyFiles::open(options_.directory + "/bodies"));
  body_files_ = std::move(files);
  bodies_ = std::make_unique<io::FileBodies>(*body_files_);
  use_keys();
  return {};
}

void Loop::use_keys() {
  keys_.sig = std::make_shared<crypto::SigningKey>(ring_.sig_seed);
  keys_.log = std::make_shared<crypto::LogKey>(ring_.log_seed);
  keys_.hedge = std::make_shared<crypto::Secret32>(ring_.hedge_secret.clone());
  keys_.storage = std::make_shared<crypto::Secret32>(ring_.storage_key.clone());
}

Result<bool> Loop::next_keys_are_due(ReadTxn& txn, Time now) {
  if (!next_ring_) return false;
  TRAM_TRY(self, directory_->agency(txn, config_.self, now));
  return self && self->agency.keys && daemon::are_keys(*next_ring_, *self->agency.keys);
}

Result<void> Loop::take_next_keys(ReadTxn& txn, Time now) {
  TRAM_TRY(due, next_keys_are_due(txn, now));
  if (!due) return {};
  TRAM_OK(daemon::change_keys(options_.directory));
  ring_ = std::move(*next_ring_);
  next_ring_.reset();
  use_keys();
  log_.info("keys.changed", {{"directory", directory_->size()}});
  return {};
}

/// R44: what was being opened when the last process died. Counted before anything is opened again; a clean end leaves none.
Result<void> Loop::blame_what_was_open() {
  const auto ids = OpeningMarks::left_behind(options_.directory + "/opening");
  if (!ids.empty()) {
    TRAM_TRY(txn, store_->begin_write());
    TRAM_OK(Node::count_attempts(*txn, io::wall_now(), ids, log_));
    TRAM_OK(txn->commit());
  }
  opening_.remove();
  return {};
}

void Loop::mark_opening() {
  if (auto marked = opening_.write(); !marked) log_.warning("opening.not_marked", {{"error", describe(marked.error())}});
}

/// Recovery and start-up are one path: everything in memory is rebuilt from the store.
Result<void> Loop::restart_node() {
  TRAM_TRY(txn, store_->begin_write());
  TRAM_TRY(self, txn->get(table::self, view("self")));
  if (!self) return fail(ErrorCode::wrong_state, "not enrolled yet: run `tram-node accept` with the authority's approval");
  proto::NodeRecord record;
  TRAM_OK(proto::decode_record(*self, record));
  config_.self = record.party;
  config_.realm = record.realm;
  config_.software = options_.software;
  config_.scrub_every = options_.scrub_every;
  node_.reset();
  directory_ = std::make_unique<directory::Directory>(config_.realm);
  TRAM_OK(directory_->load(*txn));
  const Time now = io::wall_now();
  TRAM_OK(take_next_keys(*txn, now));
  if (!audit_) audit_ = std::make_unique<audit::Log>();
  TRAM_OK(audit_->load(*txn));
  node_ = std::make_unique<Node>(config_, keys_, *directory_, *audit_, log_, random_);
  Effects effects;
  TRAM_OK(node_->start(*txn, now, effects));
  TRAM_OK(txn->commit());
  for (auto& [id, sockets] : sockets_) {
    sockets.control_queue.clear();
    sockets.bulk_queue.clear();
    if (sockets.control && sockets.control->connected()) finished_.push_back(BrokerUp{id});
  }
  backlog_.clear();
  let_out(effects, now);
  return {};
}

/// By the clock of the step that asked for it: by another one there may be other brokers, and its links would wait for ever.
void Loop::connect_brokers(Time at) {
  reconnect_.reset();
  std::set<PartyId> in_force;
  for (const auto& broker : directory_->brokers(at)) {
    const auto& record = broker.record;
    in_force.insert(record.id);
    auto& sockets = sockets_[record.id];
    if (sockets.control && sockets.record.record.control_endpoint == record.control_endpoint &&
        sockets.record.record.bulk_endpoint == record.bulk_endpoint && sockets.record.record.curve == record.curve)
      continue;
    sockets = {};
    sockets.record = broker;
    auto open = [&](const std::string& endpoint, size_t frame_bytes, size_t chunk_bytes) -> std::unique_ptr<io::ClientSocket> {
      io::ClientOptions client;
      client.socket.secret_key = ring_.curve_secret.view();
      client.socket.frame_bytes_max = frame_bytes;
      client.socket.chunk_bytes_max = chunk_bytes;
      client.endpoint = endpoint;
      client.server_key = record.curve;
      auto socket = io::ClientSocket::open(context_, client);
      if (!socket) {
        log_.error("broker.bad_endpoint", {{"broker", record.id}, {"error", describe(socket.error())}});
        return nullptr;
      }
      return std::move(*socket);
    };
    sockets.control = open(record.control_endpoint, limits::control_frame_bytes_max, 0);
    sockets.bulk = open(record.bulk_endpoint, limits::bulk_frame_bytes_max, limits::bulk_frame_bytes_max);
  }
  for (auto it = sockets_.begin(); it != sockets_.end();) it = in_force.count(it->first) ? std::next(it) : sockets_.erase(it);
}

void Loop::receive(const PartyId& broker, io::ClientSocket& socket, proto::Endpoint endpoint, std::vector<Event>& events) {
  for (size_t i = 0; i < frames_per_socket_max && events.size() < limits::events_per_step_max; ++i) {
    auto received = socket.receive();
    if (!received) return;
    auto frame = proto::decode_frame(received->frame, endpoint);
    if (!frame) {
      log_.warning("frame.malformed", {{"broker", broker}, {"error", error_info(frame.error().code).name}});
      continue;
    }
    if (endpoint == proto::Endpoint::bulk && std::holds_alternative<proto::HelloReply>(frame->body)) continue;
    FrameArrived arrived{broker, endpoint, std::move(*frame), {}};
    if (received->chunk) arrived.chunk = to_bytes(received->chunk->view());
    events.push_back(std::move(arrived));
  }
}

void Loop::gather(std::vector<Event>& events, Time monotonic) {
  for (auto& [id, sockets] : sockets_) {
    if (!sockets.control || !sockets.bulk) continue;
    bool lost = false, gained = false;
    for (io::LinkEvent event : sockets.control->maintain(monotonic)) {
      if (event == io::LinkEvent::connected) gained = true, lost = false;
      if (event == io::LinkEvent::disconnected) lost = true, gained = false;
      if (event == io::LinkEvent::refused) log_.warning("broker.refused_us", {{"broker", id}});
    }
    for (io::LinkEvent event : sockets.bulk->maintain(monotonic))
      if (event != io::LinkEvent::refused && sockets.control->connected()) {
        // What was on its way over the bulk connection is gone or may go now: start the session over.
        lost = lost || event == io::LinkEvent::disconnected;
        gained = gained || event == io::LinkEvent::connected;
      }
    if (lost) {
      sockets.control_queue.clear();
      sockets.bulk_queue.clear();
      events.push_back(BrokerDown{id});
      log_.warning("broker.disconnected", {{"broker", id}});
    }
    if ((gained || lost) && sockets.control->connected()) events.push_back(BrokerUp{id});
    receive(id, *sockets.control, proto::Endpoint::control, events);
    receive(id, *sockets.bulk, proto::Endpoint::bulk, events);
  }
  pool_->run_completions();
  submit_jobs();
  std::move(finished_.begin(), finished_.end(), std::back_inserter(events));
  finished_.clear();
}

int Loop::run(io::SignalFd& signals) {
  start_ = io::wall_now();
  io::notify_ready();
  log_.info("node.ready", {{"agency", config_.self}, {"directory", directory_->size()}});
  std::vector<Event> events;
  while (!stopping_) {
    if (reconnect_) connect_brokers(*reconnect_);
    const Time monotonic = io::monotonic_now();
    int64_t wait = std::max<int64_t>(0, (next_second_ - monotonic).ms);
    if (wake_at_) wait = std::min(wait, std::max<int64_t>(0, (*wake_at_ - io::wall_now()).ms));
    if (!finished_.empty() || more_writes_) wait = 0;
    std::vector<io::PollItem> items;
    for (auto& [id, sockets] : sockets_) {
      if (!sockets.control || !sockets.bulk) continue;
      sockets.control->add_poll_items(items);
      sockets.bulk->add_poll_items(items);
      for (const auto* socket : {sockets.control.get(), sockets.bulk.get()})
        if (auto at = socket->wake_at()) wait = std::min(wait, std::max<int64_t>(0, (*at - monotonic).ms));
      if (!sockets.control_queue.empty() || !sockets.bulk_queue.empty()) wait = std::min<int64_t>(wait, 2);
    }
    items.push_back({nullptr, pool_->completion_fd()});
    items.push_back({nullptr, wake_fd_});
    items.push_back({nullptr, signals.fd()});
    if (group_commit_.wait().ms > 0) io::poll(std::span(items).last(1), static_cast<int>(group_commit_.wait().ms));
    io::poll(items, static_cast<int>(std::min<int64_t>(wait, 1000)));

    while (auto signal = signals.next()) {
      if (*signal == SIGHUP) {
        if (http_) http_->reload_certificates();
      } else {
        stopping_ = true;
      }
    }
    uint64_t drained = 0;
    while (::read(wake_fd_, &drained, sizeof drained) > 0) {
    }
    events.clear();
    gather(events, io::monotonic_now());
    const Time now = io::wall_now();
    const bool second = io::monotonic_now() >= next_second_;
    if (second || (wake_at_ && now >= *wake_at_)) {
      wake_at_.reset();
      events.push_back(Tick{});
    }
    Writes writes;
    {
      std::lock_guard lock(mutex_);
      while (!writes_.empty() && writes.size() < writes_per_step_max) {
        writes.push_back(std::move(writes_.front()));
        writes_.pop_front();
      }
      more_writes_ = !writes_.empty();
      for (const uint64_t arrival : std::exchange(suspects_, {})) node_->suspect(arrival);
    }
    group_commit_.stepped(events.size() + writes.size(), io::monotonic_now());
    if (!events.empty() || !writes.empty()) {
      auto done = step(events, writes);
      if (!done) {
        answer(writes, &done.error());
        return stop_fatally(done.error());
      }
    }
    if (auto taken = take_next_keys_when_due(); !taken) return stop_fatally(taken.error());
    if (node_->keys_are_former()) return stop_with_former_keys();
    flush_sends();
    if (!second) continue;
    every_second(io::monotonic_now());
    if (auto told = take_backup_word(); !told) return stop_fatally(told.error());
  }
  io::notify_stopping();
  opening_.remove();
  log_.info("node.stopping");
  return 0;
}

/// R2: nothing more is signed, and no start before the store was read back.
int Loop::stop_fatally(const Error& error) {
  log_.error("node.stopped", {{"error", describe(error)}});
  opening_.remove();  // the disk's fault, no document's
  if (auto noted = io::write_private_file_atomic(doubt_path(options_.directory), view("exit 74\n")); !noted)  // the disk may be the trouble
    log_.error("doubt.not_noted", {{"error", describe(noted.error())}});
  return io::exit_io_fatal;
}

/// Everything is made anew from the store, with the keys that the directory names since this step, and under the new CURVE key.
Result<void> Loop::take_next_keys_when_due() {
  if (!next_ring_ || node_->keys_in_force()) return {};
  {
    TRAM_TRY(snapshot, store_->begin_read());
    TRAM_TRY(due, next_keys_are_due(*snapshot, io::wall_now()));
    if (!due) return {};
  }
  sockets_.clear();
  return restart_node();
}

/// The next keys, if they were made since this process began, are taken by the one that is started in its place.
int Loop::stop_with_former_keys() {
  io::notify_stopping();
  opening_.remove();
  log_.error("node.has_old_keys", {{"hint", "start it again: it takes its new keys, or says what to do"}});
  return 1;
}

/// What `tram-node backup` has read back, the senders are told (R22).
Result<void> Loop::take_backup_word() {
  auto word = read_backup_word(options_.directory, ring_.storage_key);
  if (!word) {
    log_.error("backup.word_refused", {{"error", describe(word.error())}});
    remove_backup_word(options_.directory);
    return {};
  }
  if (!*word) return {};
  Effects effects;
  const Time now = io::wall_now();
  {
    TRAM_TRY(txn, store_->begin_write());
    auto told = node_->backed_up(*txn, now, **word, effects);
    if (told) told = node_->settle(*txn, now, effects);
    if (told) told = txn->commit();
    if (!told) {
      if (raw_store_->fatal_error() || !is_full(told.error().code)) return told;
      txn.reset();
      return restart_node();  // the word stays for when there is room
    }
  }
  remove_backup_word(options_.directory);
  let_out(effects, now);
  return {};
}

Result<bool> Loop::step(std::vector<Event>& events, Writes& writes) {
  const Time now = io::wall_now();
  Effects effects;
  Result<void> outcome;
  size_t handled = 0;
  const PendingWrite* culprit = nullptr;
  std::vector<Hash> opened;
  for (const Event& event : events)
    if (const auto* result = std::get_if<JobResult>(&event)) {
      const auto ids = opened_by(*result);
      opened.insert(opened.end(), ids.begin(), ids.end());
    }
  {
    TRAM_TRY(txn, store_->begin_write());
    outcome = node_->step(*txn, now, events, effects);
    if (outcome && upkeep_due_) outcome = api::upkeep(*txn, now, effects, upkeep_cursor_);
    if (outcome) {
      api::WriteContext context{*txn, *node_, *directory_, now, *bodies_, effects, random_};
      for (auto& write : writes) {
        ++handled;
        if (next_ring_ && !node_->keys_in_force()) {
          write->response = api::problem({ErrorCode::busy, "the keys are being changed"}, write->request);
          continue;
        }
        const bool takes_space = write->request.method != "DELETE" &&
                                 (write->request.path == "/v1/documents" || write->request.path.starts_with("/v1/uploads"));
        if (takes_space && used_percent_ >= limits::disk_refuse_all_but_control_percent) {
          write->response = api::problem({ErrorCode::storage_full, std::to_string(used_percent_) + " % used"}, write->request);
          continue;
        }
        write->response = api::handle_write(context, write->request);
        if (write->response.abort) {
          culprit = write.get();
          outcome = fail(ErrorCode::storage_full, "the store refused a write");
          break;
        }
      }
    }
    if (outcome) outcome = node_->settle(*txn, now, effects);
    if (outcome && body_files_->failed()) outcome = fail(ErrorCode::io_failed, "bodies");  // R2
    if (outcome) outcome = txn->commit();
  }
  if (!outcome) {
    if (raw_store_->fatal_error() || body_files_->failed() || !is_full(outcome.error().code)) return fail(outcome.error());
    log_.error("step.aborted", {{"error", error_info(outcome.error().code).name},
                                {"status", uint32_t(culprit ? culprit->response.status : 0)},
                                {"used_percent", used_percent_}});
    opening_.end(opened);
    ++full_steps_;
    full_at_ = now;
    Writes again = take_unanswered(writes, handled, culprit, outcome.error());
    answer(writes, nullptr);
    {
      std::lock_guard lock(mutex_);
      writes_.insert(writes_.begin(), std::make_move_iterator(again.begin()), std::make_move_iterator(again.end()));
      more_writes_ = !writes_.empty();
    }
    TRAM_OK(restart_node());
    next_second_ = io::monotonic_now() + seconds(1);
    return false;
  }
  upkeep_due_ = false;
  opening_.end(opened);
  answer(writes, nullptr);
  let_out(effects, now);
  if (opening_.failed()) return fail(ErrorCode::io_failed, "opening");
  if (!group_commit_.is_busy()) TRAM_OK(raw_store_->grow_ahead());
  return true;
}

void Loop::answer(Writes& writes, const Error* failure) {
  for (auto& write : writes) {
    if (failure) write->response = api::problem(*failure, write->request);
    write->answered.raise();
  }
  writes.clear();
}

void Loop::let_out(Effects& effects, Time at) {
  if (!effects.changed_sent.empty()) {
    std::lock_guard lock(mutex_);
    for (const DocUuid& uuid : effects.changed_sent)
      for (auto [it, end] = waiters_.equal_range(uuid); it != end; ++it) it->second->changed.raise();
  }
  std::optional<Job> own;  // what one document waits for alone: the way to a worker and back takes longer
  if (effects.jobs.size() == 1 && backlog_.empty() && is_brief(effects.jobs.front())) {
    own = std::move(effects.jobs.front());
    effects.jobs.clear();
    opening_.begin(opened_by(*own));
  }
  for (Job& job : effects.jobs) {
    opening_.begin(opened_by(job));
    backlog_.push_back(std::make_shared<Job>(std::move(job)));
  }
  mark_opening();
  if (opening_.failed()) return;  // R2: the step that asked stops the process
  submit_jobs();
  for (Send& send : effects.sends) {
    auto it = sockets_.find(send.broker);
    if (it == sockets_.end()) continue;
    auto& queue = send.endpoint == proto::Endpoint::control ? it->second.control_queue : it->second.bulk_queue;
    queue.push_back(std::move(send));
  }
  flush_sends();
  if (own) finished_.push_back(run_job(*own, *bodies_, random_));
  for (const std::string& name : effects.remove_bodies)
    if (auto removed = bodies_->remove(name); !removed) log_.error("body.not_removed", {{"error", describe(removed.error())}});
  if (effects.wake_at && (!wake_at_ || *effects.wake_at < *wake_at_)) wake_at_ = effects.wake_at;
  if (effects.directory_changed) {
    reconnect_ = at;
    publish_views();
  }
}

bool Loop::send_now(io::ClientSocket& socket, Send& send) {
  Result<void> sent;
  if (auto* offer = std::get_if<proto::Offer>(&send.frame.body); offer && send.chunk && offer->manifest.empty()) {
    offer->manifest.resize(send.chunk->bytes);
    if (auto read = bodies_->read(send.chunk->name, send.chunk->offset, offer->manifest); !read) {
      log_.error("body.unreadable", {{"error", describe(read.error())}});
      return true;
    }
    send.chunk.reset();
  }
  const Bytes frame = proto::encode_frame(send.frame);
  if (send.chunk) {
    io::MessageBytes chunk(send.chunk->bytes);
    if (auto read = bodies_->read(send.chunk->name, send.chunk->offset, chunk.writable()); !read) {
      log_.error("body.unreadable", {{"error", describe(read.error())}});
      return true;
    }
    sent = socket.send(frame, chunk);
  } else {
    sent = socket.send(frame);
  }
  if (sent) return true;
  if (sent.error().code == ErrorCode::too_large) {
    log_.error("frame.too_large", {{"bytes", static_cast<uint64_t>(frame.size())}});
    return true;
  }
  return false;  // busy or not connected: it waits, or goes when the session ends
}

void Loop::flush_sends() {
  for (auto& [id, sockets] : sockets_) {
    if (!sockets.control || !sockets.bulk) continue;
    while (!sockets.control_queue.empty() && send_now(*sockets.control, sockets.control_queue.front())) sockets.control_queue.pop_front();
    while (!sockets.bulk_queue.empty() && send_now(*sockets.bulk, sockets.bulk_queue.front())) sockets.bulk_queue.pop_front();
  }
}

void Loop::submit_jobs() {
  while (!backlog_.empty()) {
    auto job = backlog_.front();
    const bool taken = pool_ && pool_->submit([this, job]() -> io::WorkerPool::Completion {
      auto result = std::make_shared<JobResult>(run_job(*job, *bodies_, random_));
      return [this, result] { finished_.push_back(std::move(*result)); };
    });
    if (!taken) return;
    backlog_.pop_front();
  }
}

void Loop::every_second(Time monotonic) {
  next_second_ = monotonic + seconds(1);
  const auto reading = clock_.read();
  std::vector<int64_t> offsets;
  for (const auto& broker : node_->broker_views())
    if (broker.connected) offsets.push_back(std::abs(broker.clock_offset.ms));
  std::sort(offsets.begin(), offsets.end());
  node_->set_clock_ok(reading.ok() && (offsets.empty() || offsets[offsets.size() / 2] <= 5000));
  if (auto usage = raw_store_->usage()) {
    used_percent_ = usage->percent;
    store_used_bytes_ = usage->map_bytes;
  }
  publish_views();
  if (auto written = write_evidence(); !written) log_.warning("evidence.was_not_read", {{"error", describe(written.error())}});
  io::notify_watchdog();
  if (monotonic < next_minute_) return;
  next_minute_ = monotonic + minutes(1);
  if (auto cleared = raw_store_->reader_check(); cleared && *cleared) log_.warning("store.readers_cleared", {{"count", *cleared}});
  if (http_) http_->reload_certificates();
  upkeep_due_ = true;
  io::trim_memory();
}

/// Evidence lies beside the store as files that can be carried away and verified anywhere.
Result<void> Loop::write_evidence() {
  TRAM_TRY(txn, store_->begin_read());
  TRAM_TRY(files, audit::export_new_evidence(*txn, *directory_, evidence_));
  if (files.empty()) return {};
  const std::string folder = options_.directory + "/evidence";
  ::mkdir(folder.c_str(), 0700);
  for (const auto& file : files)
    if (auto written = io::write_private_file_atomic(folder + "/" + file.name, file.bytes); !written)
      log_.warning("evidence.was_not_written", {{"error", describe(written.error())}});
  return {};
}

void Loop::publish_views() {
  auto health = std::make_shared<api::HealthView>();
  for (const auto& view : node_->broker_views())
    health->brokers.push_back({view.id, view.connected, view.last_heard, view.clock_offset});
  health->recovery = node_->recovery();
  health->fenced = node_->fenced();
  health->keys_in_force = node_->keys_in_force();
  health->clock_ok = node_->clock_ok();
  if (auto space = body_files_->space()) {
    health->disk_total_bytes = space->total_bytes;
    health->disk_free_bytes = space->free_bytes;
  }
  health->store_map_bytes = options_.map_bytes;
  health->store_used_bytes = store_used_bytes_;
  health->directory_confirmed = node_->views().confirmed();
  health->directory_since = node_->views().since();
  for (const auto& one : node_->views().known()) health->directory_cosigners.push_back({one.by, one.size, one.at});
  static constexpr const char* standings[] = {"unknown", "sound", "restored"};
  health->log_standing = standings[static_cast<size_t>(node_->own_log().standing())];
  health->kx_until = node_->kx_until();
  health->scrub_ended = node_->scrub().last_ended();
  health->scrub = node_->scrub().last();
  for (const auto& row : node_->scrub().damaged()) health->damaged_rows.push_back(describe(row));
  health->repaired_bodies = node_->repaired_bodies();
  health->full_steps = full_steps_;
  health->full_at = full_at_;
  health->certificate_expires = http_ ? http_->certificate_expires() : Time{};
  health->started = start_;
  health->version = options_.software;
  auto view = std::make_shared<const directory::Directory>(*directory_);
  std::lock_guard lock(mutex_);
  health_view_ = std::move(health);
  directory_view_ = std::move(view);
}

// ---- called from HTTP threads -----------------------------------------------------------------------------------

std::optional<api::Principal> Loop::authenticate(const Hash& token_sha256) { return tokens_.find(token_sha256); }

api::Response Loop::read(const api::Request& request) {
  api::Response response = read_once(request);
  if (!response.waits_for) return response;
  Waiter waiter;
  std::multimap<DocUuid, Waiter*>::iterator place;
  {
    std::lock_guard lock(mutex_);
    if (closed_ || waiters_.size() >= api::waiting_requests_max) return response;
    place = waiters_.emplace(*response.waits_for, &waiter);
  }
  const Time until = io::monotonic_now() + response.wait;
  for (bool closed = false; !closed;) {
    response = read_once(request);  // also what came before we were on the list
    const Duration left = until - io::monotonic_now();
    if (!response.waits_for || left.ms <= 0) break;
    // What changes without a word to us, by a clerk's recall say, is seen within the second.
    waiter.changed.wait_for(std::min(left, seconds(1)));
    std::lock_guard lock(mutex_);
    closed = closed_;
  }
  std::lock_guard lock(mutex_);
  waiters_.erase(place);
  return response;
}

api::Response Loop::read_once(const api::Request& request) {
  std::shared_ptr<const directory::Directory> directory;
  std::shared_ptr<const api::HealthView> health;
  {
    std::lock_guard lock(mutex_);
    directory = directory_view_;
    health = health_view_;
  }
  auto txn = store_->begin_read();
  if (!txn) return api::problem(txn.error(), request);
  const auto suspect = [this](uint64_t arrival) {
    std::lock_guard lock(mutex_);
    if (suspects_.size() < suspects_max) suspects_.push_back(arrival);
  };
  return api::handle_read({**txn, *directory, *health, io::wall_now(), *bodies_, config_.self, suspect}, request);
}

api::Response Loop::write(api::Request request) {
  auto pending = std::make_shared<PendingWrite>();
  pending->request = std::move(request);
  {
    std::lock_guard lock(mutex_);
    if (closed_) return api::problem({ErrorCode::busy, "the node is stopping"}, pending->request);
    writes_.push_back(pending);
    const uint64_t one = 1;
    if (writes_.size() == 1 && ::write(wake_fd_, &one, sizeof one) < 0) log_.warning("loop.wake_failed");
  }
  pending->answered.wait();
  return std::move(pending->response);
}

Result<proto::UploadRecord> Loop::upload(std::string_view id, const api::Principal& principal) {
  TRAM_TRY(txn, store_->begin_read());
  return api::find_upload(*txn, id, principal);
}

}  // namespace tram::node
