// A broker as pure steps: admission, custody, queues, bodies, small mail, the directory's copy, garbage collection.
// One transaction a step; effects leave after its commit (R1). The store is the authority; members are caches.
// Invariants: custody only for what is complete and verified in this epoch (R3), the same bytes for a repeat (R4);
// an envelope is freed only by its recipient's statement, its sender's cancel before hand-over, or time (R16); at most
// K unanswered envelopes a recipient and lane (R17); a pinned body is never freed (R40); lanes are served 8:4:2:1
// (R39); nothing depends on a classification, which a broker cannot see (R46). Parts: admission.cpp (Put, Offer, chunks
// in), delivery.cpp (announce, fetch, chunks out, ACK), mail.cpp, upkeep.cpp (timers, directory, peers), witness.cpp (logs),
// scrub.cpp (rot: found, told, mended), recovery.cpp and repair.cpp (stores put back, stores with damaged rows), broker.cpp
// (sessions, dispatch), jobs.h (long work). Not here: sockets, threads, files (io/). Opening anything: the broker has
// no code that could. Thread: the loop's.
#pragma once
#include "audit/own_log.h"
#include "base/scrub.h"
#include "base/limits.h"
#include "broker/jobs.h"
#include "directory/directory.h"
#include "proto/records_broker.h"

namespace tram::broker {

struct Quotas {
  uint64_t pinned_bytes_max = limits::sender_pinned_bytes_max;
  uint64_t unpinned_bytes_max = limits::sender_unpinned_bytes_max;
  uint64_t unacked_max = limits::sender_unacked_envelopes_max;
  uint32_t puts_per_second_max = limits::sender_puts_per_second_max;
  uint64_t mail_per_party_max = limits::mail_per_party_max;
  uint32_t window = limits::unacked_per_recipient_lane_max;  // K
};

struct Config {
  PartyId self;
  RealmId realm;
  std::string software = "tram";
  Quotas quotas;
  Duration body_linger = hours(1);  // an unpinned body file outlives its last pin by this at most
  Duration peer_sync = seconds(30);
  Duration scrub_every = limits::scrub_every;
};

// ---- events -------------------------------------------------------------------------------------------------

/// A frame from a node, the authority or a broker that connected to us. `peer` is what ZAP says (Z2); the zero party is
/// a publisher of the authority.
struct FrameReceived {
  SessionKey session;
  PartyId peer;
  proto::Frame frame;
  Bytes chunk;
};
/// The session is gone: a send found it unreachable.
struct SessionClosed {
  SessionKey session;
};
/// Frames for this session wait in the loop because the peer is slow: nothing more is prepared for it until it is
/// ready.
struct SessionBusy {
  SessionKey session;
  bool busy = false;
};
/// Our own connection to another broker.
struct PeerUp {
  PartyId broker;
};
struct PeerDown {
  PartyId broker;
};
struct PeerFrame {
  PartyId broker;
  proto::Frame frame;
};
struct Tick {
  unsigned disk_used_percent = 0;
  bool clock_ok = true;
};
using Event = std::variant<FrameReceived, SessionClosed, SessionBusy, JobDone, PeerUp, PeerDown, PeerFrame, Tick>;

// ---- effects ------------------------------------------------------------------------------------------------

struct Send {
  SessionKey session;
  proto::Frame frame;
  Bytes chunk;  // bulk only
};
struct PeerSend {
  PartyId broker;
  proto::Frame frame;
};
struct Effects {
  std::vector<Send> sends;  // in order for each session; kept by the loop while the peer is slow
  std::vector<PeerSend> peer_sends;
  std::vector<Job> jobs;
  std::optional<Time> wake_at;      // a Tick is wanted then
  bool allow_list_changed = false;  // the directory grew: ZAP and the peers' endpoints must be read anew
  std::optional<uint64_t> restored_copy;  // R8: witnesses saw the log this long: recover() before the next step
};

struct Counters {
  uint64_t puts = 0, custodies = 0, repeats = 0, refusals = 0, acks = 0, mails = 0, chunks_in = 0, chunks_out = 0,
           contents = 0, expired = 0, hostile = 0, damaged = 0, repaired = 0;
};

class Broker {
 public:
  Broker(Config, std::shared_ptr<const crypto::SigningKey>, std::shared_ptr<const crypto::LogKey>, directory::Directory&,
         audit::Log&, Log&, Random&);
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  /// Opens the first epoch of a new store. Error: conflict (the store has one).
  Result<void> initialize(WriteTxn&, Time now);
  /// Opens a new epoch after a restore or doubt: every custody of the old one is void (R7, R8). Bodies are stamped with
  /// the new epoch when they are whole: the caller re-reads every file through `bodies`. Envelopes whose body is
  /// damaged are dropped, so that Reconcile reports them missing. Works in its own transactions of `store`. `seen`: how
  /// long witnesses saw the log (R8), for the leaf that says so; sessions hear of the new epoch in the next step.
  /// A damaged row is dropped with all that belongs to it, or made anew from what is left; its sender or author brings it
  /// again (3.9). Error: store_corrupt when no copy of a damaged row can exist elsewhere; the detail names the rows.
  struct Recovered {
    uint64_t dropped = 0;             // envelopes
    std::vector<DamagedRow> repaired;
  };
  Result<Recovered> recover(Store& store, Bodies& bodies, Time now, std::optional<uint64_t> seen = {});

  /// Start-up: reads the epoch, the directory and the log, forgets every session. Error: not_found (no epoch yet).
  Result<void> start(WriteTxn&, Time now, Effects&);
  /// Errors: only those of the store. The caller aborts, then calls reload() (storage_full, map_full) or stops
  /// (others).
  Result<void> step(WriteTxn&, Time now, std::span<Event>, Effects&);
  /// After a step aborted by a full store: rebuilds the caches; sessions stay. Who asked something in that step is told to
  /// ask again when there may be room (R42), instead of waiting for an answer that never comes.
  Result<void> reload(ReadTxn&, Time now, std::span<const Event> aborted, Effects&);

  /// Whether the loop should read more from the sockets: bounds what jobs and queues hold in memory.
  bool control_room() const;
  bool bulk_room() const;

  const Config& config() const;
  const Epoch& epoch() const;
  const Counters& counters() const;
  const audit::OwnLog& own_log() const;
  size_t sessions() const;
  const Scrub& scrub() const;
  /// Rows that the walk under way or the last one found damaged, at most 100: they wait for `recover`.
  const std::vector<DamagedRow>& damaged_rows() const;
  /// Bodies found damaged and not yet sent again by their senders.
  size_t damaged_bodies() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace tram::broker
