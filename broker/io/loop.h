// The loop of tram-broker: one thread owns both server sockets, the connections to other brokers and every write to the
// store; signature checks and files run in the worker pool. Drain, step, commit, then let the effects out (R1).
// Invariants: nothing leaves before its commit; a fatal store error stops the process with 74 (R2); what a slow peer
// cannot take waits here within bounds, and a peer that stays slow loses its session, never single frames.
// Thread: main.
#pragma once
#include <deque>

#include "base/io/clock.h"
#include "base/io/group_commit.h"
#include "base/io/link.h"
#include "base/io/process.h"
#include "base/io/system_random.h"
#include "base/io/worker_pool.h"
#include "broker/broker.h"
#include "broker/io/home.h"

namespace tram::broker {

class Loop {
 public:
  /// Opens the home of an accepted broker, binds both endpoints. Errors: already_running, wrong_state (not accepted, or
  /// recovery is needed), store_corrupt, io_failed, bad_config (an address).
  static Result<std::unique_ptr<Loop>> open(const std::string& home, const ::tram::Config&, const crypto::KeyRing&,
                                            Log&);
  ~Loop();

  /// Until SIGTERM or SIGINT (0), or a fatal error (74). `reopen_log` is called on SIGHUP.
  int run(io::SignalFd& signals, const std::function<void()>& reopen_log);

 private:
  struct Waiting {
    Bytes frame;
    Bytes chunk;
  };
  struct Outbox {
    std::deque<Waiting> frames;
    uint64_t bytes = 0;
  };
  struct Peer {
    proto::BrokerChange record;
    std::unique_ptr<io::ClientSocket> socket;
  };

  Loop(std::string home, Log& log) : home_(std::move(home)), log_(log) {}
  void gather(std::vector<Event>& events, Time monotonic);
  bool receive(io::ServerSocket& socket, proto::Endpoint endpoint, std::vector<Event>& events);
  void gather_peers(std::vector<Event>& events, Time monotonic);
  Result<void> step(std::vector<Event>& events, Time now);
  Result<void> recover_if_restored(Time now);
  void complete(JobDone& done);
  void start_checks(Effects& effects);
  void let_out(Effects& effects);
  void send(const SessionKey& session, Bytes frame, Bytes chunk);
  /// False when the peer is busy. A session that is gone is reported as an event.
  bool send_now(const SessionKey& session, const Waiting& one);
  void drop_session(const SessionKey& session);
  void flush_outboxes();
  void submit_jobs();
  Result<void> read_allow_list();
  void connect_peers();
  void every_second(Time monotonic, Time now);
  Result<void> write_evidence();
  void write_status(Time now);
  int stop_fatally(const Error& error);

  std::string home_;
  Log& log_;
  io::SystemRandom random_;
  OpenHome files_;
  crypto::Secret32 curve_secret_;
  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<audit::Log> audit_log_;
  std::unique_ptr<Broker> broker_;

  io::Context context_{1};
  std::unique_ptr<io::ZapAuthority> zap_;
  std::unique_ptr<io::ServerSocket> control_, bulk_;
  std::map<PartyId, Peer> peers_;
  std::map<SessionKey, Outbox> outboxes_;
  std::unique_ptr<io::WorkerPool> pool_;
  std::deque<std::shared_ptr<Job>> backlog_;
  std::vector<Event> next_events_;  // job results and what sends found out
  io::ClockWatch clock_;
  io::ClockReading clock_reading_;
  std::optional<Time> wake_at_;
  std::optional<uint64_t> restored_copy_;  // recovery is due
  Time next_second_, next_disk_, next_status_, next_minute_, next_allow_list_, start_;
  Time last_job_;
  unsigned disk_percent_ = 0;
  uint64_t full_steps_ = 0;  // aborted because nothing could be written (R42)
  uint64_t evidence_ = 0;
  bool allow_list_changed_ = true;
  bool stopping_ = false;
  bool more_frames_ = false;
  io::GroupCommit group_commit_{limits::broker_busy_window_events_min};
};

}  // namespace tram::broker
