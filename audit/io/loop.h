// The loop of tram-witness: connects to every broker's control endpoint as a client and runs the pure watcher: drain, step,
// commit, then send (R1). One thread. A fatal store error ends the process with 74 (R2).
#pragma once
#include "audit/io/home.h"
#include "audit/watcher.h"
#include "base/io/clock.h"
#include "base/io/link.h"
#include "base/io/process.h"

namespace tram::audit {

class WitnessLoop {
 public:
  /// Opens the home of an accepted witness. Errors: already_running, wrong_state (not accepted), store_corrupt,
  /// io_failed.
  static Result<std::unique_ptr<WitnessLoop>> open(const std::string& home, const Config&, const crypto::KeyRing&,
                                                   ::tram::Log&);
  ~WitnessLoop();
  /// Until SIGTERM or SIGINT (0), or a fatal error (74). `reopen_log` is called on SIGHUP.
  int run(io::SignalFd& signals, const std::function<void()>& reopen_log);

 private:
  struct Broker {
    proto::BrokerChange record;
    std::unique_ptr<io::ClientSocket> socket;
  };
  WitnessLoop(std::string home, ::tram::Log& log) : home_(std::move(home)), log_(log) {}
  void connect();
  void gather(std::vector<Watcher::Event>& events, Time monotonic);
  Result<void> step(std::vector<Watcher::Event>& events, Time now);
  Result<void> write_evidence();
  void write_status(Time now);

  std::string home_;
  ::tram::Log& log_;
  OpenHome files_;
  Self self_;
  crypto::Secret32 curve_secret_;
  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<Watcher> watcher_;
  io::Context context_{1};
  std::map<PartyId, Broker> brokers_;
  uint64_t evidence_ = 0, logs_ = 0;
  bool directory_changed_ = true;
  bool stopping_ = false;
};

}  // namespace tram::audit
