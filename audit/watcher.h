// An independent witness as pure steps (protocol.md 4.3, 8.2): reads from every broker the checkpoints that it holds,
// fetches the leaf hashes behind what is mirrored here, cosigns, and brings the cosignatures to all brokers. Comparing what
// the brokers show is how split views come to light.
// A broker that lists less of some log than is known here is shown the newer checkpoint, over and over until its list has
// all; then it is told so: a node that was put back together with its brokers hears of its own log from them.
// Invariants: what is cosigned is stored in the step that cosigns (R1); nothing is taken from a broker but what a log
// signed; one log at a time is fetched from a broker, and at most limits::leaves_refetched_max leaves of it.
// Not here: sockets and files (io/). Thread: the loop's.
#pragma once
#include <deque>
#include <map>
#include <set>
#include <variant>

#include "audit/views.h"
#include "audit/witness.h"

namespace tram::audit {

class Watcher {
 public:
  struct BrokerUp { PartyId broker; };
  struct BrokerDown { PartyId broker; };
  struct FrameArrived {
    PartyId broker;
    proto::Frame frame;
  };
  struct Tick {};
  using Event = std::variant<BrokerUp, BrokerDown, FrameArrived, Tick>;
  struct Send {
    PartyId broker;
    proto::Frame frame;
  };
  struct Effects {
    std::vector<Send> sends;
    bool directory_changed = false;
  };
  struct Counters {
    uint64_t cosigned = 0, logs = 0;
  };

  Watcher(PartyId self, std::shared_ptr<const crypto::LogKey> key, directory::Directory&, ::tram::Log&);

  /// Reads what was cosigned before. Call once, before the first step.
  Result<void> start(WriteTxn&, Time now);
  /// Errors: only those of the store; the caller aborts and stops.
  Result<void> step(WriteTxn&, Time now, std::span<Event>, Effects&);
  const Counters& counters() const { return counters_; }
  size_t connected() const { return links_.size(); }
  const Views& views() const { return views_; }

 private:
  struct Fetch {
    PartyId party;
    Bytes note;
    uint32_t generation = 0;
    uint64_t from = 0;
    uint64_t size = 0;
    std::vector<Hash> leaves;
  };
  struct Link {
    bool greeted = false;
    bool told = false;  // all entries that this broker holds, and its views
    // The list as a whole, page by page, compared with all that is known here.
    struct Tour {
      uint64_t request = 0;
      PartyId after;
      bool lacks = false;
      Time asked;
    };
    std::optional<Tour> tour;
    bool toured = false;  // nothing was lacking
    Time heard, asked_list, asked_directory, fetch_asked;
    std::optional<Fetch> fetch;
    std::deque<Fetch> waiting;
  };
  Result<void> on_frame(WriteTxn&, Time now, FrameArrived&, Effects&);
  Result<void> on_note(WriteTxn&, Time now, const PartyId& broker, Link&, const Bytes& note, const crypto::SignedCheckpoint&, Effects&);
  Result<void> on_leaves(WriteTxn&, Time now, const PartyId& broker, Link&, proto::LeavesData&, Effects&);
  Result<void> on_entries(WriteTxn&, Time now, const PartyId& broker, const proto::DirectoryEntries&, Effects&);
  Result<void> cosign(WriteTxn&, Time now, const Fetch&, Effects&);
  void begin_tour(Time now, const PartyId& broker, Link&, Effects&);
  Result<void> go_on_tour(ReadTxn&, Time now, const PartyId& broker, Link&, const proto::CheckpointPage&, const PartyId& last, Effects&);
  void next_fetch(Time now, const PartyId& broker, Link&, Effects&);
  uint64_t send(const PartyId& broker, proto::FrameBody, Effects&);

  PartyId self_;
  directory::Directory& directory_;
  ::tram::Log& log_;
  Witness witness_;
  Views views_;
  std::map<PartyId, Link> links_;
  /// SHA-256 of notes that told nothing new and asked for nothing, and until when they do not: every list brings them again.
  std::map<Hash, Time> settled_;
  uint64_t requests_ = 0;
  Counters counters_;
};

}  // namespace tram::audit
