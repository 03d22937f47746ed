// A node as pure steps: outbox, inbox, channels, receipts, the clerk's acts. One transaction a step; effects leave
// after its commit (R1). The store is the authority; members are caches that start() rebuilds.
// Parts: outbox.cpp (submit, wrap, custody), transfer.cpp (uploads to brokers), inbox.cpp (fetch, open, order),
// answers.cpp (ACK, receipts, mail), acts.cpp (register, refuse, status, recall), upkeep.cpp (timers, keys, directory).
// Not here: sockets, HTTP, threads (io/), rendering (api/). Thread: the loop's.
#pragma once
#include <map>
#include <set>

#include "audit/log.h"
#include "directory/directory.h"
#include "node/jobs.h"
#include "proto/document.h"
#include "proto/records_node.h"
#include "proto/wire.h"

namespace tram::node {

struct Config {
  PartyId self;
  RealmId realm;
  std::string software = "tram";
};

struct Keys {
  std::shared_ptr<const crypto::SigningKey> sig;
  std::shared_ptr<const crypto::Secret32> hedge;
  std::shared_ptr<const crypto::Secret32> storage;
};

// ---- events ---------------------------------------------------------------------------------------------------

struct BrokerUp { PartyId broker; };    // the control session is connected; Hello may go
struct BrokerDown { PartyId broker; };
struct FrameArrived {
  PartyId broker;
  proto::Endpoint endpoint = proto::Endpoint::control;
  proto::Frame frame;
  Bytes chunk;
};
struct Tick {};
using Event = std::variant<BrokerUp, BrokerDown, FrameArrived, JobResult, Tick>;

// ---- effects --------------------------------------------------------------------------------------------------

/// A chunk that the loop reads from the body file when it sends the frame (so it is not held in memory).
struct ChunkSource {
  std::string name;
  uint64_t offset = 0;
  uint32_t bytes = 0;
};
struct Send {
  PartyId broker;
  proto::Endpoint endpoint = proto::Endpoint::control;
  proto::Frame frame;
  std::optional<ChunkSource> chunk;
};
struct Effects {
  std::vector<Send> sends;
  std::vector<Job> jobs;
  std::vector<std::string> remove_bodies;  // after the commit
  std::optional<Time> wake_at;
  bool directory_changed = false;          // io reconnects to the brokers in force
  std::vector<uint64_t> changed_documents; // for live listeners: bumps a version
};

// ---- acts -----------------------------------------------------------------------------------------------------

struct Submission {
  proto::Metadata metadata;                // checked by metadata_rules before
  std::vector<proto::StagedFile> files;    // content inline (<= 48 KiB in all) or upload ids
  std::string author;
  std::optional<DocUuid> uuid;             // chosen by the caller for idempotency, else random
};
struct Submitted {
  DocUuid uuid;
  uint32_t recipients = 0;
  uint32_t without_node = 0;               // known addresses that have no node yet
};

struct RegisterAct {
  std::string number;                      // empty: next of the year's book
  proto::Date date;                        // empty: today (UTC+7)
  std::string person;
  std::string unit;
};

class Node {
 public:
  Node(Config, Keys, directory::Directory&, audit::Log&, Log&, Random&);

  /// Writes the first row of a new store (init).
  static Result<void> initialize(WriteTxn&, const Config&);
  /// Start-up and recovery are one: rebuilds caches, resumes sealing, wrapping, sending.
  Result<void> start(WriteTxn&, Time now, Effects&);
  Result<void> step(WriteTxn&, Time now, std::span<Event>, Effects&);

  // Acts of the local API; each in the caller's transaction, together with its idempotency row. Errors are final and
  // change nothing: the caller aborts.
  /// Resolves the addressees, stores document and items. Errors: unknown_agency, closed_agency, suspended_agency,
  /// no_node (only when no recipient has a node), too_large, storage_full.
  Result<Submitted> submit(WriteTxn&, Time now, Submission, Effects&);
  /// 03: enters the incoming register and tells the sender. Errors: not_found, wrong_state, conflict (number used).
  Result<proto::InRecord> register_document(WriteTxn&, Time now, uint64_t arrival, const RegisterAct&, Effects&);
  /// 02: only before registration (QD 28/2018 art. 5(4)); reason required.
  Result<proto::InRecord> refuse_document(WriteTxn&, Time now, uint64_t arrival, std::string reason, std::string person, Effects&);
  /// 04, 05, 06.
  Result<proto::InRecord> set_status(WriteTxn&, Time now, uint64_t arrival, uint16_t status, std::string person, Effects&);
  /// 15 or 16 to a recall, update or replacement that waits. Errors: recall_refused (policy).
  Result<proto::InRecord> answer_change(WriteTxn&, Time now, uint64_t arrival, bool agree, std::string reason, std::string person, Effects&);
  /// Takes the document back from all its recipients (13): a recall document of its own. `reason` required.
  Result<Submitted> recall(WriteTxn&, Time now, const DocUuid&, std::string reason, std::string author, Effects&);

  // ---- views for health and the API
  struct BrokerView {
    PartyId id;
    bool connected = false;
    Epoch epoch;
    Duration clock_offset;         // broker's time minus ours at Hello
    uint64_t pending = 0;
    Time last_heard;
  };
  std::vector<BrokerView> broker_views() const;
  const Config& config() const { return config_; }
  bool clock_ok() const { return clock_ok_; }
  void set_clock_ok(bool ok) { clock_ok_ = ok; }

 private:
  Config config_;
  bool clock_ok_ = true;
};

/// National status code of a record (QD 28/2018, QCVN 102): 1..6, or 0 while held; what the clerk sees.
uint16_t status_code(proto::InState);

}  // namespace tram::node
