// The node's loop: drains events, runs one step in one transaction, commits, then lets the effects out (house).
// Owns the store, the sockets to all brokers, the workers, and answers the local API's writes on its own thread; reads
// run in the HTTP threads over snapshots. A failed commit that is not a full disk stops the process (R2).
// Thread: run() and everything private to the thread that calls it; HttpBackend's functions to any.
#pragma once
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "audit/log.h"
#include "base/io/clock.h"
#include "base/io/file_bodies.h"
#include "base/io/group_commit.h"
#include "base/io/link.h"
#include "base/io/lmdb_store.h"
#include "base/io/process.h"
#include "base/io/system_random.h"
#include "base/io/worker_pool.h"
#include "directory/directory.h"
#include "directory/io/daemon/home.h"
#include "node/io/http_server.h"
#include "node/io/http_writes.h"
#include "node/io/opening_marks.h"
#include "node/io/tokens.h"
#include "node/node.h"

namespace tram::node {

struct LoopOptions {
  std::string directory;       // the node's home
  uint64_t map_bytes = 64ull << 30;
  unsigned workers = 2;
  Duration scrub_every = limits::scrub_every;
  HttpOptions http;
  std::string software;
};

class Loop final : public HttpBackend {
 public:
  /// Opens the store of an accepted node and rebuilds its caches. The next keys take the place of the present ones as soon as
  /// the directory holds them. Errors: already_running, wrong_state (not accepted yet, or the directory holds other keys
  /// than ours), store_corrupt, io_failed.
  static Result<std::unique_ptr<Loop>> open(LoopOptions, daemon::KeyRings, Log&);
  ~Loop() override;

  /// Until SIGTERM or SIGINT, or a fatal error (the exit code of R2).
  int run(io::SignalFd& signals);

  std::optional<api::Principal> authenticate(const Hash& token_sha256) override;
  /// Waits for a document when the request says so, at most api::wait_max.
  api::Response read(const api::Request&) override;
  api::Response write(api::Request) override;
  Result<proto::UploadRecord> upload(std::string_view id, const api::Principal&) override;
  Bodies& bodies() override { return *bodies_; }
  Time now() override { return io::wall_now(); }

 private:
  struct BrokerSockets {
    directory::Broker record;
    std::unique_ptr<io::ClientSocket> control, bulk;
    std::deque<Send> control_queue, bulk_queue;
  };

  struct Waiter {  // a request that waits for a document; its connection's thread
    Signal changed;
  };

  Loop(LoopOptions, daemon::KeyRings, Log&);
  api::Response read_once(const api::Request&);
  Result<void> open_store();
  Result<void> restart_node();
  Result<bool> next_keys_are_due(ReadTxn&, Time now);
  Result<void> take_next_keys(ReadTxn&, Time now);
  void use_keys();
  void connect_brokers(Time at);
  void gather(std::vector<Event>& events, Time monotonic);
  void receive(const PartyId& broker, io::ClientSocket& socket, proto::Endpoint, std::vector<Event>& events);
  /// One transaction; false when it was aborted and the node rebuilt.
  Result<bool> step(std::vector<Event>& events, Writes& writes);
  int stop_fatally(const Error&);
  Result<void> take_next_keys_when_due();
  int stop_with_former_keys();
  Result<void> take_backup_word();
  Result<void> blame_what_was_open();
  void mark_opening();
  void answer(Writes& writes, const Error* failure);
  void let_out(Effects& effects, Time at);
  void flush_sends();
  bool send_now(io::ClientSocket& socket, Send& send);
  void submit_jobs();
  void publish_views();
  Result<void> write_evidence();
  void every_second(Time monotonic);

  LoopOptions options_;
  crypto::KeyRing ring_;
  std::optional<crypto::KeyRing> next_ring_;
  Log& log_;
  io::SystemRandom random_;
  std::unique_ptr<io::LmdbStore> raw_store_;
  std::unique_ptr<ValueCodec> codec_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<io::BodyFiles> body_files_;
  std::unique_ptr<io::FileBodies> bodies_;
  Identity config_;
  Keys keys_;
  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<audit::Log> audit_;
  std::unique_ptr<Node> node_;

  io::Context context_{1};
  std::map<PartyId, BrokerSockets> sockets_;
  std::unique_ptr<io::WorkerPool> pool_;
  std::deque<std::shared_ptr<Job>> backlog_;
  std::vector<Event> finished_;
  std::unique_ptr<HttpServer> http_;
  io::ClockWatch clock_;
  OpeningMarks opening_;
  Tokens tokens_;
  api::UpkeepCursor upkeep_cursor_;
  std::optional<Time> wake_at_;
  Time next_second_, next_minute_, start_;
  uint64_t evidence_ = 0;  // what is written to files
  unsigned used_percent_ = 0;  // of the map or of the disk, whichever is fuller
  uint64_t store_used_bytes_ = 0;
  uint64_t full_steps_ = 0;  // aborted because nothing could be written (R42)
  Time full_at_;             // the last of them
  std::optional<Time> reconnect_;
  bool stopping_ = false;
  bool more_writes_ = false;
  bool upkeep_due_ = false;
  io::GroupCommit group_commit_{limits::node_busy_window_events_min};

  int wake_fd_ = -1;
  std::mutex mutex_;
  std::deque<std::shared_ptr<PendingWrite>> writes_;
  std::vector<uint64_t> suspects_;  // arrivals whose files could not be read
  std::multimap<DocUuid, Waiter*> waiters_;
  bool closed_ = false;
  std::shared_ptr<const directory::Directory> directory_view_;
  std::shared_ptr<const api::HealthView> health_view_;
};

}  // namespace tram::node
