#include "audit/io/loop.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/io/files.h"
#include "base/limits.h"

namespace tram::audit {

WitnessLoop::~WitnessLoop() { brokers_.clear(); }

Result<std::unique_ptr<WitnessLoop>> WitnessLoop::open(const std::string& home, const Config& config,
                                                       const crypto::KeyRing& ring, ::tram::Log& log) {
  auto loop = std::unique_ptr<WitnessLoop>(new WitnessLoop(home, log));
  TRAM_TRY(files, open_home(home, config, ring));
  loop->files_ = std::move(files);
  loop->curve_secret_ = ring.curve_secret.clone();
  TRAM_TRY(txn, loop->files_.store->begin_write());
  TRAM_TRY(self, read_self(*txn));
  if (!self) return fail(ErrorCode::wrong_state, "not accepted yet: run `tram-witness accept`");
  loop->self_ = *self;
  loop->directory_ = std::make_unique<directory::Directory>(self->realm);
  TRAM_OK(loop->directory_->load(*txn));
  loop->watcher_ = std::make_unique<Watcher>(self->party, std::make_shared<crypto::LogKey>(ring.log_seed),
                                             *loop->directory_, log);
  TRAM_OK(loop->watcher_->start(*txn, io::wall_now()));
  TRAM_OK(txn->commit());
  return loop;
}

void WitnessLoop::connect() {
  std::map<PartyId, Broker> kept;
  for (const auto& broker : directory_->brokers(io::wall_now())) {
    const auto& record = broker.record;
    auto old = brokers_.find(record.id);
    if (old != brokers_.end() && old->second.record.control_endpoint == record.control_endpoint &&
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
      log_.error("broker.has_bad_endpoint", {{"broker", record.id}, {"error", describe(socket.error())}});
      continue;
    }
    kept[record.id] = {record, std::move(*socket)};
  }
  brokers_ = std::move(kept);
}

void WitnessLoop::gather(std::vector<Watcher::Event>& events, Time monotonic) {
  for (auto& [id, broker] : brokers_) {
    for (io::LinkEvent event : broker.socket->maintain(monotonic)) {
      if (event == io::LinkEvent::connected) events.emplace_back(Watcher::BrokerUp{id});
      if (event == io::LinkEvent::disconnected) events.emplace_back(Watcher::BrokerDown{id});
      if (event == io::LinkEvent::refused) log_.warning("broker.refused_us", {{"broker", id}});
    }
    for (int i = 0; i < 32; ++i) {
      auto received = broker.socket->receive();
      if (!received) break;
      auto frame = proto::decode_frame(received->frame, proto::Endpoint::control);
      if (frame) events.emplace_back(Watcher::FrameArrived{id, std::move(*frame)});
      else log_.warning("frame.was_malformed", {{"party", id}, {"error", error_info(frame.error().code).name}});
    }
  }
}

Result<void> WitnessLoop::step(std::vector<Watcher::Event>& events, Time now) {
  Watcher::Effects effects;
  {
    TRAM_TRY(txn, files_.store->begin_write());
    TRAM_OK(watcher_->step(*txn, now, events, effects));
    TRAM_OK(txn->commit());
  }
  for (auto& one : effects.sends) {
    const auto it = brokers_.find(one.broker);
    if (it == brokers_.end()) continue;
    // What cannot go now is asked again at the next turn.
    if (auto sent = it->second.socket->send(proto::encode_frame(one.frame)); !sent) log_.debug("broker.was_not_asked");
  }
  directory_changed_ = directory_changed_ || effects.directory_changed;
  return {};
}

/// Evidence lies beside the store as files that can be carried away and verified anywhere.
Result<void> WitnessLoop::write_evidence() {
  TRAM_TRY(txn, files_.store->begin_read());
  TRAM_TRY(files, export_new_evidence(*txn, *directory_, evidence_));
  if (files.empty()) return {};
  ::mkdir(evidence_path(home_).c_str(), 0700);
  for (const auto& file : files) {
    if (auto written = io::write_private_file_atomic(evidence_path(home_) + "/" + file.name, file.bytes); !written)
      log_.warning("evidence.was_not_written", {{"error", describe(written.error())}});
  }
  return {};
}

void WitnessLoop::write_status(Time now) {
  size_t connected = 0;
  for (const auto& [id, broker] : brokers_) connected += broker.socket->connected();
  const std::string text = fmt::format(
      R"({{"party":"{}","realm":"{}","time_ms":{},"brokers":{},"connected":{},"directory_size":{},"cosigned":{},)"
      R"("evidence":{}}})"
      "\n",
      self_.party.hex(), self_.realm.hex(), now.ms, brokers_.size(), connected, directory_->size(),
      watcher_->counters().cosigned, evidence_);
  if (auto written = io::write_private_file_atomic(status_path(home_), view(text)); !written)
    log_.warning("status.was_not_written", {{"error", describe(written.error())}});
  io::notify_status(fmt::format("{} of {} brokers, {} cosigned, {} evidence", connected, brokers_.size(),
                                watcher_->counters().cosigned, evidence_));
}

int WitnessLoop::run(io::SignalFd& signals, const std::function<void()>& reopen_log) {
  const auto stop_fatally = [&](const Error& error) {
    log_.error("witness.has_stopped", {{"error", describe(error)}});
    return io::exit_io_fatal;
  };
  io::notify_ready();
  log_.info("witness.is_ready", {{"witness", self_.party}, {"directory", directory_->size()}});
  std::vector<Watcher::Event> events;
  std::vector<io::PollItem> items;
  Time next_second;
  while (!stopping_) {
    if (directory_changed_) {
      directory_changed_ = false;
      connect();
    }
    Time monotonic = io::monotonic_now();
    int64_t wait = std::max<int64_t>(0, (next_second - monotonic).ms);
    items.clear();
    for (const auto& [id, broker] : brokers_) {
      broker.socket->add_poll_items(items);
      if (auto at = broker.socket->wake_at()) wait = std::min(wait, std::max<int64_t>(0, (*at - monotonic).ms));
    }
    items.push_back({nullptr, signals.fd()});
    io::poll(items, static_cast<int>(std::min<int64_t>(wait, 1000)));
    while (auto signal = signals.next()) {
      if (*signal == SIGHUP) reopen_log();
      else stopping_ = true;
    }
    events.clear();
    monotonic = io::monotonic_now();
    gather(events, monotonic);
    const bool second = monotonic >= next_second;
    if (second) events.emplace_back(Watcher::Tick{});
    if (!events.empty())
      if (auto done = step(events, io::wall_now()); !done) return stop_fatally(done.error());
    if (second) {
      next_second = monotonic + seconds(1);
      if (auto written = write_evidence(); !written) return stop_fatally(written.error());
      write_status(io::wall_now());
      io::notify_watchdog();
    }
  }
  io::notify_stopping();
  write_status(io::wall_now());
  log_.info("witness.is_stopping");
  return 0;
}

}  // namespace tram::audit
