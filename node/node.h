// A node as pure steps: outbox, inbox, channels, receipts, the clerk's acts. One transaction a step; effects leave
// after its commit (R1). The store is the authority; members are caches that start() rebuilds.
// Parts: outbox.cpp (submit, wrap, custody), transfer.cpp (uploads to brokers), inbox.cpp (fetch, open, order),
// answers.cpp (ACK, receipts, mail), acts.cpp (register, refuse, status, recalls), upkeep.cpp (timers, keys, directory),
// recovery.cpp (incarnations, RECOVER, BACKED_UP), checkpoints.cpp (logs), scrub.cpp (rot: found, fetched again), repair.cpp
// (stores with damaged rows), poison.cpp (what kills the process that opens it), views.cpp (freshness of the directory),
// heads.cpp (withheld tails of channels), succession.cpp (recipients that closed), renewal.cpp (our keys renewed).
// Not here: sockets, HTTP, threads (io/), rendering (api/). Thread: the loop's.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "audit/own_log.h"
#include "audit/views.h"
#include "base/limits.h"
#include "base/scrub.h"
#include "directory/directory.h"
#include "node/heads.h"
#include "node/jobs.h"
#include "proto/document.h"
#include "proto/records_node.h"
#include "proto/wire.h"

namespace tram::node {

/// Who this node is.
struct Identity {
  PartyId self;
  RealmId realm;
  std::string software = "tram";
  Duration scrub_every = limits::scrub_every;
  size_t wraps_at_once_max = limits::wraps_at_once_max;  // 0: every envelope is a worker's
  size_t seals_at_once_max = limits::wraps_at_once_max;  // 0: every document is
};

struct Keys {
  std::shared_ptr<const crypto::SigningKey> sig;
  std::shared_ptr<const crypto::LogKey> log;
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

/// Bytes of a body file that the loop reads when it sends the frame, so that they are not held in memory: the raw chunk
/// of a ChunkPut, or the manifest of an Offer.
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
  std::vector<DocUuid> changed_sent;       // what a recipient's node or the brokers said of them
};

// ---- acts -----------------------------------------------------------------------------------------------------

struct Submission {
  proto::Metadata metadata;                // checked by metadata_rules before
  std::vector<proto::StagedFile> files;    // content inline (<= limits::staged_content_bytes_max in all) or upload ids
  std::string author;
  std::optional<DocUuid> uuid;             // chosen by the caller for idempotency, else a UUIDv7
};
struct Submitted {
  DocUuid uuid;
  uint32_t recipients = 0;
  uint32_t without_node = 0;               // known addresses that have no node yet
  bool sealed = false;                     // in the same commit; else a worker is at it
};

/// What a verified backup of this store holds: the last position of every incoming channel.
struct BackupMarks {
  Hash id;
  uint32_t rinc = 0;                       // of the store that was copied
  struct Mark {
    PartyId sender;
    Lane lane = Lane::normal;
    uint32_t inc = 0;
    uint64_t seq = 0;
  };
  std::vector<Mark> marks;
};

/// Fills the marks and rinc of a copied store. Errors: store_corrupt, not_found (no node's store).
Result<void> read_backup_marks(ReadTxn&, BackupMarks&);

struct RegisterAct {
  std::string number;                      // empty: next of the year's book
  proto::Date date;                        // empty: today (UTC+7)
  std::string person;
  std::string unit;
};

class Node {
 public:
  Node(Identity, Keys, directory::Directory&, audit::Log&, Log&, Random&);

  /// Writes the first row of a new store (init).
  static Result<void> initialize(WriteTxn&, const Identity&);
  /// A backup was put in the store's place: the next start recovers (R13, R21).
  static Result<void> mark_restored(WriteTxn&);
  /// A store at rest some of whose rows do not carry their code (3.9): each is made anew from rows that say the same, or
  /// dropped where brokers, senders or the new incarnation that must follow bring it again. Error: store_corrupt when no copy
  /// can exist elsewhere; the detail names the rows, nothing was changed.
  static Result<void> repair(WriteTxn&, Time now, const std::vector<DamagedRow>&);
  /// A body found damaged while the node did not run: the next run sees to it.
  static Result<void> note_damaged(WriteTxn&, Time now, const DocId&, bool sent);
  /// The process died while these were being opened (R44): before start(), in a transaction of its own.
  static Result<void> count_attempts(WriteTxn&, Time now, std::span<const Hash> ids, Log&);
  /// Start-up and recovery are one: rebuilds caches, resumes sealing, wrapping, sending.
  Result<void> start(WriteTxn&, Time now, Effects&);
  Result<void> step(WriteTxn&, Time now, std::span<Event>, Effects&);
  /// After the step and the acts of one transaction: sends what they made ready and writes the heads. Once, before commit.
  Result<void> settle(WriteTxn&, Time now, Effects&);

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

  /// This store is older than what was said in our name: a new incarnation, and the senders are asked for what is missing
  /// (R13, R21, R23). Once; a recovery under way goes on.
  Result<void> begin_recovery(WriteTxn&, Time now, Effects&);
  /// Tells the senders that a backup holds their documents (R22).
  Result<void> backed_up(WriteTxn&, Time now, const BackupMarks&, Effects&);

  /// What the directory says of this agency, remembered for a moment: many documents ask the same.
  Result<const std::optional<directory::AgencyState>*> agency_of(ReadTxn&, Time, const PartyId&);

  // ---- views for health and the API
  struct BrokerView {
    PartyId id;
    bool connected = false;
    Epoch epoch;
    Duration clock_offset;         // broker's time minus ours at Hello
    Time last_heard;
  };
  std::vector<BrokerView> broker_views() const;
  const Identity& config() const { return config_; }
  proto::Recovery recovery() const { return self_.recovery; }
  /// A broker knows a later incarnation of us: this is a copy, or a store put back (R13).
  bool fenced() const { return fenced_; }
  /// Whether our directory names these keys as ours. Else they were renewed, or it is older than they are: nothing is signed.
  bool keys_in_force() const { return keys_in_force_; }
  /// It did once, and names others now: with these keys nothing will be signed any more.
  bool keys_are_former() const { return keys_are_former_; }
  bool clock_ok() const { return clock_ok_; }
  /// Our log before its witnesses: standing, checkpoints, cosignatures (R23).
  const audit::OwnLog& own_log() const { return own_log_; }
  /// When our view of the directory was last confirmed, and what that still allows (R28).
  const audit::Views& views() const { return views_; }
  audit::Freshness freshness(Time now) const { return audit::freshness_at(views_.age(now)); }
  /// Whether what is confidential may go to this agency now: never by a view that is old, split, or not the agency's.
  Result<bool> may_send_confidential(ReadTxn&, Time now, const PartyId& recipient) const;
  /// When the last receiving key of our feed ends.
  Time kx_until() const { return kx_until_; }
  void set_clock_ok(bool ok) { clock_ok_ = ok; }
  /// The content of this arrival could not be read: the scrub looks at it out of turn.
  void suspect(uint64_t arrival) {
    if (suspects_.size() < 64) suspects_.try_emplace(arrival, 0);
  }
  const Scrub& scrub() const { return scrub_; }
  /// Bodies mended in this life of the process.
  uint64_t repaired_bodies() const { return repaired_bodies_; }

 private:
  // ---- caches over the store
  struct PendingRow {
    Lane lane = Lane::normal;
    uint64_t order = 0;
    EnvelopeId env_id;
  };
  struct PutInFlight {
    DocId doc_id;
    bool with_body = false;            // carries the header, or opened the way for the others of its document
    std::vector<PendingRow> rows;
    Time sent;
  };
  /// What all brokers are sent of one document.
  struct Going {
    proto::OutRecord record;
    Bytes inline_chunk;
  };
  /// What the directory said a moment ago; many documents ask the same.
  struct Looked {
    Time since;
    std::map<PartyId, std::optional<directory::AgencyState>> agencies;
    std::map<PartyId, std::optional<proto::KxEpoch>> kx;
    std::map<std::pair<PartyId, uint64_t>, std::optional<SigPublic>> sigs;
    std::optional<bool> renewed;  // whether we had other keys before
  };
  /// How far the pending rows of a lane were looked through.
  struct LaneCursor {
    uint64_t from = 0;   // first order not yet looked at
    bool more = true;    // there may be rows from there on
  };
  /// A large body on its way to one broker (R41).
  struct Upload {
    DocUuid uuid;
    Bytes header;
    Bytes manifest;                    // empty: it is a file beside the body
    std::string body_name;
    uint64_t body_bytes = 0;
    uint32_t chunks = 0;
    Lane lane = Lane::normal;
    uint64_t offer_request = 0;        // 0: not offered on this session yet
    bool answered = false;
    std::vector<bool> have;
    uint32_t durable = 0;              // chunks the broker confirmed
    uint32_t next = 0;                 // first chunk not yet sent in this pass
    std::set<uint32_t> in_flight;
    Time last_heard;
  };
  static constexpr Duration lifted_retry = seconds(5);  // what was refused goes again so soon after the reason may be gone
  struct Link {
    bool connected = false;
    bool greeted = false;
    Epoch epoch;
    Duration clock_offset;
    Time last_heard;
    Time hello_sent;
    Time backoff_until;
    std::map<PartyId, Time> unknown_there;          // recipients that its directory lacks: not before then
    uint64_t next_request = 1;
    std::map<uint64_t, PutInFlight> puts;
    std::map<uint64_t, std::vector<PartyId>> kx_asked;
    std::set<EnvelopeId> in_flight;    // rows taken and not yet settled
    std::map<DocId, bool> bodies;      // false: on its way, true: the broker holds it
    std::map<DocId, Upload> uploads;
    std::array<LaneCursor, lane_count> cursors;
    std::set<DocId> passed_over;       // rows behind the cursors wait for the bodies of these
    uint32_t chunk_turn = 0;
    std::array<int64_t, lane_count> deficit{};
    std::set<Hash> mail_in_flight;     // given to it, not confirmed
    bool mail_left = false;            // other rows of mail_out wait for it
    uint32_t chunks_in_flight = 0;     // uploads, all documents
    uint32_t chunk_requests = 0;       // downloads
    std::optional<Bytes> void_cursor;  // a store was lost or put back: custodies before this are voided (R7)
    Time last_directory_ask;
    uint64_t directory_size = 0;
    uint64_t log_size = 0;             // at Hello

    void look_again() {
      cursors = {};
      passed_over.clear();
    }
    void body_settled(const DocId& doc) {
      if (passed_over.count(doc)) look_again();
    }
  };
  /// An envelope announced to us, until it is answered.
  struct Arrival {
    // twin: another envelope of the document brings the body; two never write one file.
    enum class Stage { wanted, fetching, opening, manifest, scanning, chunks, finishing, twin } stage = Stage::wanted;
    crypto::Envelope envelope;
    Bytes envelope_bytes;
    std::map<PartyId, crypto::QueueSeen> sources;
    PartyId source;                    // asked now
    std::set<PartyId> failed;          // sources that could not deliver
    std::optional<Error> cannot_open;  // what one of them delivered
    // Once the sender's present key did not do: its key by view and time of the envelope, and for the header those of all times.
    std::optional<SigPublic> sender_key;
    std::vector<SigPublic> header_keys;
    Time asked;
    Time not_before;                   // no room on the disk: chunks are asked for from then on
    std::unique_ptr<OpenDone> opened;  // while another worker is at its predecessor in the channel
    std::vector<EnvelopeId> behind;    // opened, and waiting for this one
    proto::InRecord record;            // once opened
    crypto::Manifest manifest;
    Bytes manifest_bytes;
    std::vector<bool> have;
    std::set<uint32_t> requested, writing;
    uint32_t done = 0;
    bool mends = false;                // of a stored document whose body rotted: nothing is answered
    bool gave_up = false;              // no broker has it any more
  };
  /// A row of table::damaged.
  struct Damage {
    bool sent = false;
    Time found, asked;                 // asked: the sender, last
    Time tried;                        // the brokers, last, in this life
  };
  /// The end of an outgoing channel that has no receipt yet (R14).
  struct Tail {
    EnvelopeId seen;                   // at the last pass
    EnvelopeId told;
    Time told_at;
    Time since;                        // when a pass first saw that there is something to tell
  };
  enum class TimerKind : uint8_t { envelope_expiry = 1, mail_expiry = 2, gap = 3, body_retention = 4 };

  // outbox.cpp
  Result<std::vector<PartyId>> resolve(ReadTxn&, Time, const std::vector<proto::Addressee>&, bool& direct_only);
  Result<void> begin_sealing(WriteTxn&, proto::OutRecord&, Effects&);
  Result<bool> seal_at_once(WriteTxn&, Time, const proto::OutRecord&, std::vector<proto::ItemRecord>& items, Effects&);
  /// `stored`: the items are in the store as they are here; else each is written once, with its envelope where it gets one.
  Result<void> take_sealed(WriteTxn&, Time, SealDone&, std::vector<proto::ItemRecord>& items, bool stored, Effects&);
  void drop_sealed(const std::string& name, Effects&);
  Result<void> retry_sealing(WriteTxn&, Effects&);
  Result<void> on(WriteTxn&, Time, SealDone&, Effects&);
  Result<void> on(WriteTxn&, Time, WrapDone&, Effects&);
  /// Not while a run of the channel is at work, nor before a recovery knows its incarnation, nor by a stale directory (R28).
  bool may_wrap(Time, const PartyId& recipient, Lane) const;
  Result<std::optional<WrapRun>> open_run(ReadTxn&, Time, const PartyId& recipient, Lane);
  Result<bool> wrap_at_once(WriteTxn&, Time, const proto::OutRecord&, proto::ItemRecord&);
  Result<void> place_envelope(WriteTxn&, Time, WrappedEnvelope&, const crypto::Envelope&, proto::ItemRecord&);
  Result<void> on(WriteTxn&, Time, CustodyDone&, Effects&);
  Result<void> take_held_custodies(WriteTxn&, Time, Effects&);
  Result<uint32_t> domains_stored(ReadTxn&, const proto::EnvelopeRecord&);
  Result<void> take_custodies(WriteTxn&, Time, std::vector<CustodyJob::Item>&, Effects&);
  Result<void> kick_channel(WriteTxn&, Time, const PartyId& recipient, Lane, Effects&);
  Result<void> kick_all_channels(WriteTxn&, Time, Effects&);
  Result<void> kick_waiting_channels(WriteTxn&, Time, Effects&);
  Result<void> add_todo(WriteTxn&, const PartyId& recipient, Lane, const DocUuid&);
  Result<void> recompute_accepted(WriteTxn&, Time, const proto::EnvelopeRecord&, Effects&);
  Result<void> close_envelope(WriteTxn&, const EnvelopeId&);
  Result<void> reissue(WriteTxn&, Time, const EnvelopeId&, Effects&);
  /// Ends an envelope without an answer; whether its document is still to be sent to that recipient.
  Result<bool> give_up_envelope(WriteTxn&, Time, const proto::EnvelopeRecord&, ErrorCode why, Effects&);
  WrapJob wrap_job(Time) const;
  /// Where the channel stands in this incarnation.
  Result<proto::ChannelOut> channel_to(ReadTxn&, const PartyId& recipient, Lane);
  void flush_wraps(Time, Effects&);
  // transfer.cpp
  Result<void> pump(WriteTxn&, Time, const PartyId& broker, Effects&);
  Result<const std::optional<proto::KxEpoch>*> kx_of(ReadTxn&, Time, const PartyId&);
  Result<const std::optional<SigPublic>*> sig_of(ReadTxn&, Time, const PartyId&, uint64_t dir_size);
  void trim_memory(Time);
  bool may_put() const;
  Result<const proto::EnvelopeRecord*> going_envelope(ReadTxn&, const EnvelopeId&);
  Result<const Going*> going_document(ReadTxn&, const DocUuid&);
  const proto::EnvelopeRecord* remember(proto::EnvelopeRecord, std::optional<uint32_t> custodies = {});
  const Going* remember(Going);
  Result<bool> wants_custody(ReadTxn&, Time, const proto::EnvelopeRecord*);
  Result<bool> pump_lane(WriteTxn&, Time, const PartyId& broker, Link&, Lane, Effects&);
  void pump_chunks(const PartyId& broker, Link&, Time, Effects&);
  Result<void> on_put_reply(WriteTxn&, Time, const PartyId&, Link&, uint64_t request, proto::PutReply&, Effects&);
  Result<void> on_offer_reply(WriteTxn&, Time, const PartyId&, Link&, proto::OfferReply&, Effects&);
  Result<void> on_chunk_done(WriteTxn&, Time, const PartyId&, Link&, proto::ChunkDone&, Effects&);
  Result<void> on_refused(WriteTxn&, Time, const PartyId&, Link&, uint64_t request, const proto::Refused&, Effects&);
  void forget_in_flight(const PartyId& broker, Link&);
  void expire_requests(Link&, Time now);
  void heed_clock(Time now);
  // inbox.cpp
  Result<void> on_announce(WriteTxn&, Time, const PartyId&, proto::Announce&, Effects&);
  Result<void> on_content(WriteTxn&, Time, const PartyId&, proto::Content&, Effects&);
  Result<void> on_manifest(Time, const PartyId&, proto::ManifestData&, Effects&);
  Result<void> on_chunk(Time, const PartyId&, Link&, proto::ChunkData&, Bytes chunk, Effects&);
  Result<void> on(WriteTxn&, Time, OpenDone&, Effects&);
  Result<void> on(WriteTxn&, Time, ScanBodyDone&, Effects&);
  Result<void> on(WriteTxn&, Time, ChunkJobDone&, Effects&);
  Result<void> on(WriteTxn&, Time, FinishBodyDone&, Effects&);
  Arrival* opening_before(const crypto::Envelope&);
  Result<void> take_opened(WriteTxn&, Time, Arrival&, OpenDone&, Effects&);
  bool body_coming(const Arrival&) const;
  bool is_greeted(const PartyId& broker) const;
  bool all_failed(const Arrival&) const;
  void fetch(Time, Arrival&, Effects&);
  void flush_fetches(Effects&);
  Result<void> finish_if_whole(Arrival&, Effects&);
  void request_chunks(Time, Effects&);
  void source_failed(Time, Arrival&, Effects&);
  Result<void> store_document(WriteTxn&, Time, Arrival&, Bytes inline_chunk, Effects&);
  Result<void> reject(WriteTxn&, Time, Arrival&, const Error&, Effects&);
  // poison.cpp
  Result<void> load_attempts(ReadTxn&);
  bool is_poison(const Hash& id) const;
  /// Whether it must wait: what may have killed us is opened alone, so that the innocent are cleared.
  bool opens_alone(const EnvelopeId&);
  Result<void> cleared(WriteTxn&, const Hash& id);
  Result<void> put_aside(WriteTxn&, Time, Arrival&, Effects&);
  Result<void> consume(WriteTxn&, Time, const PartyId& sender, Lane, uint32_t inc, uint64_t seq, uint64_t arrival, Effects&);
  Result<void> finish_twins(WriteTxn&, Time, const DocId&, Effects&);
  Result<bool> take_skipped(WriteTxn&, const proto::InRecord&, const EnvelopeId&);
  Result<void> on_passed(WriteTxn&, Time, const crypto::Notice&, Effects&);
  Result<void> drain_channel(WriteTxn&, Time, const PartyId& sender, Lane, proto::ChannelIn&, Effects&);
  Result<void> enter_incarnation(WriteTxn&, Time, const PartyId& sender, Lane, uint32_t inc, proto::ChannelIn&, Effects&);
  Result<void> release_held(WriteTxn&, Time, const PartyId& sender, Lane, proto::ChannelIn&, uint64_t last, Effects&);
  Result<void> hand_over(WriteTxn&, Time, proto::InRecord&, bool out_of_order, Effects&);
  // acts.cpp
  Result<void> apply_relation(WriteTxn&, Time, proto::InRecord&, const proto::Metadata&, Effects&);
  Result<void> destroy_content(WriteTxn&, Time, proto::InRecord&, Effects&);
  // answers.cpp
  struct Issued {
    Bytes bytes;
    crypto::Receipt receipt;
  };
  static crypto::Receipt answer_to(const crypto::Envelope&, BytesView envelope_bytes, crypto::ReceiptEvent, uint16_t reason = 0);
  /// Signs, stores and logs `answer`, which says what happened to which envelope.
  Result<Issued> issue(WriteTxn&, Time, const crypto::Receipt& answer, const proto::ReceiptText&);
  /// A later receipt (status 02..06, 15, 16): stored, logged, then mailed to the sender.
  Result<void> tell_sender(WriteTxn&, Time, crypto::ReceiptEvent, uint16_t reason, const proto::InRecord&, const proto::ReceiptText&,
                           Effects&);
  Result<void> follow_envelope(WriteTxn&, Time, uint64_t arrival, const proto::InRecord& again, Effects&);
  Result<void> answer(WriteTxn&, Time, const EnvelopeId&, const PartyId& sender, const DocId&, Bytes statement, Bytes receipt,
                      std::vector<PartyId> brokers, Effects&);
  Result<void> on(WriteTxn&, Time, AnswerDone&, Effects&);
  /// The other brokers announce the envelope in the next moments, and get the same cell (R15).
  void keep_sealed(const EnvelopeId&, proto::AckItem, Time);
  const proto::AckItem* sealed_lately(const EnvelopeId&, Time) const;
  void send_acks(const PartyId& broker, const std::vector<proto::AckItem>&, Effects&);
  Result<void> on(WriteTxn&, Time, MailJobDone&, Effects&);
  Result<void> on_mail(WriteTxn&, Time, const PartyId&, proto::MailDeliver&, Effects&);
  enum class MailSignature { good, bad, not_known_yet };
  Result<MailSignature> signed_by_other_keys(ReadTxn&, Time, const MailJobDone::Item&, Effects&);
  Result<bool> mail_is_done(ReadTxn&, const Hash& id);
  void remember_mail_done(const Hash& id);
  /// Whether we hold it: then it is known when it comes again.
  Result<bool> apply_receipt(WriteTxn&, Time, const crypto::Receipt&, BytesView bytes, Effects&);
  Result<void> apply_change_answer(WriteTxn&, Time, const crypto::Receipt&, const proto::EnvelopeRecord&, const proto::ReceiptText&);
  Result<void> on_mail_posted(WriteTxn&, Time, const PartyId&, Link&, const proto::MailPosted&, Effects&);
  Result<void> apply_notice(WriteTxn&, Time, const crypto::Notice&, Effects&);
  /// A notice of ours with everything that is the same in all of them.
  crypto::Notice new_notice(crypto::NoticeKind, const PartyId& other, Time) const;
  Result<Hash> post_notice(WriteTxn&, Time, crypto::Notice, Effects&);
  Result<Hash> post_mail(WriteTxn&, Time, const PartyId& to, Bytes content, Effects&);
  Result<void> sign_mail_again(WriteTxn&);
  Result<void> post_pending_mail(WriteTxn&, const PartyId& broker, Link&, Effects&);
  Result<void> repost_mail(WriteTxn&, const PartyId& broker, Link&, Effects&);
  Result<bool> post_again(WriteTxn&, const DocId&, const EnvelopeId&, uint16_t event);
  void await_post(const Hash& mail, BytesView to_post_key);
  Result<void> repost_answers(WriteTxn&, Time, Effects&);
  // renewal.cpp
  Result<void> look_at_own_keys(WriteTxn&, Time);
  /// Error: wrong_state, while our keys are not those of the directory.
  Result<void> may_sign() const;
  Result<bool> had_other_keys(ReadTxn&);
  /// Our signing keys that something may carry which names this view and time: those of now and those of then.
  Result<std::vector<SigPublic>> own_keys(ReadTxn&, uint64_t dir_size, Time at);
  Result<bool> signed_by_us(ReadTxn&, uint64_t dir_size, Time at, const std::function<bool(const SigPublic&)>& with);
  /// An ACK or notice of ours that was signed with a key after that key's time, before we knew: in the same words by the key that
  /// had taken its place. Nothing when it counts as it is.
  Result<std::optional<Bytes>> signed_again(ReadTxn&, BytesView statement);
  Result<void> sign_answer_again(WriteTxn&, const EnvelopeId&, proto::AnswerRecord&);
  // recovery.cpp
  Result<void> hear_incarnation(WriteTxn&, Time, const PartyId& broker, const proto::HelloReply&, Effects&);
  size_t answers_wanted(Time) const;
  Result<void> open_incarnation(WriteTxn&, Time, Effects&);
  Result<void> tell(WriteTxn&, Time, const PartyId& sender, Lane, uint32_t inc, uint64_t seq, Effects&);
  Result<void> tell_senders(WriteTxn&, Time, Effects&);
  Result<void> recover_mail_posted(WriteTxn&, Time, const Hash& mail, size_t brokers, Effects&);
  Result<void> end_telling(WriteTxn&, Time, Effects&);
  Result<void> reissue_old_envelopes(WriteTxn&, Time, Effects&);
  Result<void> on_recover(WriteTxn&, Time, const crypto::Notice&, Effects&);
  Result<void> note_life(WriteTxn&, const crypto::Notice&, uint32_t rinc);
  Result<bool> is_forgotten(ReadTxn&, const crypto::Receipt&, const proto::EnvelopeRecord&);
  Result<bool> answered_by_latest_life(ReadTxn&, const PartyId& recipient, const DocUuid&);
  Result<void> wait_for_later_life(WriteTxn&, Time, const crypto::Receipt&, const proto::EnvelopeRecord&);
  Result<void> tell_passed(WriteTxn&, Time, const crypto::Notice& asked, Lane, Effects&);
  Result<void> redeliver(WriteTxn&, Time, Effects&);
  Result<void> redeliver_document(WriteTxn&, Time, const Row& item, Lane, uint32_t inc, uint64_t seq, Effects&);
  Result<void> repeat_receipt(WriteTxn&, Time, const Row&, const PartyId& sender, Time since);
  Result<void> on_backed_up(WriteTxn&, const crypto::Notice&);
  Result<void> on_resend(WriteTxn&, Time, const crypto::Notice&, Effects&);
  // scrub.cpp
  Result<void> load_scrub(ReadTxn&);
  Result<void> scrub_turn(WriteTxn&, Time, Effects&);
  Result<void> start_scrub_job(WriteTxn&, Time, Effects&);
  Result<void> start_suspect_job(ReadTxn&, Effects&);
  Result<void> on(WriteTxn&, Time, ScrubDone&, Effects&);
  Result<void> body_damaged(WriteTxn&, Time, const DocId&, bool sent, Effects&);
  Result<void> keep_damage(WriteTxn&, const DocId&, const Damage&);
  Result<void> forget_damage(WriteTxn&, const DocId&);
  Result<void> mend_bodies(WriteTxn&, Time, Effects&);
  Result<void> begin_mending(WriteTxn&, Time, const DocId&, Damage&, Effects&);
  Result<void> ask_sender_again(WriteTxn&, Time, const proto::InRecord&, Damage&, Effects&);
  Result<void> on_mending_content(WriteTxn&, Time, Arrival&, proto::Content&, Effects&);
  Result<void> mended(WriteTxn&, Time, const DocId&, uint64_t arrival, Effects&);
  // upkeep.cpp
  Result<void> on_frame(WriteTxn&, Time, FrameArrived&, Effects&);
  Result<void> on_hello(WriteTxn&, Time, const PartyId&, Link&, const proto::HelloReply&, Effects&);
  Result<void> on_directory(WriteTxn&, Time, const PartyId&, Link&, proto::DirectoryEntries&, Effects&);
  Result<void> on_kx_feeds(WriteTxn&, Time, proto::KxFeeds&, Effects&);
  Result<void> on_reconcile(WriteTxn&, Time, const PartyId&, Link&, proto::ReconcileReply&, Effects&);
  Result<void> on_tick(WriteTxn&, Time, Effects&);
  Result<void> rotate_kx(WriteTxn&, Time, Effects&);
  Result<void> publish_kx(const PartyId& broker, Effects&);
  Result<void> void_custodies(WriteTxn&, Time, const PartyId& broker, Link&, Effects&);
  Result<void> requeue(WriteTxn&, Time, const PartyId& broker, const EnvelopeId&, Effects&);
  Result<void> ask_reconcile(ReadTxn&, const PartyId& broker, Effects&);
  Result<void> drop_old(WriteTxn&, const Table&, Time before, const std::function<Time(const Row&)>& created);
  Result<bool> body_wanted(ReadTxn&, const DocUuid&);
  Result<void> fire_timers(WriteTxn&, Time, Effects&);
  Result<void> add_timer(WriteTxn&, Time at, TimerKind, BytesView id);
  Result<void> greet(ReadTxn&, Time, const PartyId& broker, Link&, Effects&);
  Result<void> leave_retired(WriteTxn&, Time, const PartyId& broker, Effects&);
  Result<void> refresh_links(WriteTxn&, Time, Effects&);
  // checkpoints.cpp
  template <class Frame>
  Result<void> on_own_log(WriteTxn&, Time, const PartyId& broker, const Frame&, Effects&);
  Result<void> on_broker_checkpoint(WriteTxn&, Time, const PartyId& broker, BytesView note);
  Result<void> ask_own_log(WriteTxn&, Time, const PartyId& broker, Effects&);
  Result<void> tick_own_log(WriteTxn&, Time, Effects&);
  Result<void> after_own_log(WriteTxn&, Time, audit::OwnLog::Sends&, Effects&);
  // heads.cpp
  void broker_greeted(Time now);
  void broker_lost(Time now);
  Result<void> tell_heads(WriteTxn&, Time, Effects&);
  Result<void> on_withheld(WriteTxn&, Time, const crypto::Notice&, Effects&);
  Result<bool> is_behind(ReadTxn&, const PartyId& sender, Lane, const HeadRow&);
  Result<void> on_head(WriteTxn&, Time, const crypto::Notice&);
  Result<void> watch_heads(WriteTxn&, Time, Effects&);
  // succession.cpp
  Result<bool> has_closed(ReadTxn&, Time, const PartyId& agency);
  Result<std::optional<PartyId>> successor_of(ReadTxn&, Time, const PartyId& agency);
  /// Nothing can be sent to this agency, nor to a successor of it.
  Result<bool> ends_here(ReadTxn&, Time, const PartyId& recipient);
  Result<void> find_closed(WriteTxn&, Time, Effects&);
  Result<void> leave_closed(WriteTxn&, Time, const std::set<PartyId>& closed, Effects&);
  Result<void> tell_receipts_again(WriteTxn&, Time);
  Result<void> cancel_envelope(WriteTxn&, Time, const proto::EnvelopeRecord&, Effects&);
  Result<void> end_waiting(WriteTxn&, Time, const PartyId& recipient, Lane, Effects&);
  Result<void> readdress(WriteTxn&, Time, const DocUuid&, const PartyId& recipient, Effects&);
  Result<bool> targets_follow(ReadTxn&, const proto::Relation&, const PartyId& recipient);
  Result<void> end_request(WriteTxn&, const proto::Relation&, const PartyId& recipient);
  // views.cpp
  Result<void> on_views(WriteTxn&, Time, std::span<const Bytes> notes, Effects&);
  Result<bool> same_view(WriteTxn&, Time, const PartyId& by, uint64_t dir_size, const Hash& dir_root, BytesView object);
  Result<void> recover_by_itself(WriteTxn&, Time, Effects&);
  void ask_directory(Time, const PartyId& broker, Link&, Effects&);
  void ask_kx(Time, Effects&);
  const crypto::KxKeyPair* find_kx(const KeyId&) const;
  Result<void> log_leaf(WriteTxn&, Time, audit::LeafKind, std::initializer_list<BytesView> parts);
  SealContext seal_context(Time) const;
  uint64_t send(const PartyId& broker, proto::Endpoint, proto::FrameBody, Effects&, std::optional<ChunkSource> = {});
  Result<uint64_t> next_order(WriteTxn&);

  Identity config_;
  Keys keys_;
  directory::Directory& directory_;
  audit::Log& audit_;
  Log& log_;
  Random& random_;
  bool clock_ok_ = true;
  audit::OwnLog own_log_;
  audit::Views views_;
  std::map<uint64_t, Hash> roots_;                   // of directory sizes that others named
  Scrub scrub_;
  uint32_t scrub_chunk_ = 0;                         // of the body at the walk's cursor
  std::map<uint64_t, uint32_t> suspects_;            // arrival -> first chunk to look at
  bool suspect_out_ = false;                         // a job looks at one
  bool busy_ = false;                                // many events in this step: what can wait, waits
  std::map<DocId, Damage> damaged_;                  // the rows of table::damaged
  uint64_t repaired_bodies_ = 0;
  std::map<Hash, uint32_t> attempts_;                // the rows of table::attempt; empty unless a process died
  std::optional<EnvelopeId> suspect_;                // being opened

  proto::NodeRecord self_;
  bool self_dirty_ = false;
  std::map<PartyId, Link> links_;
  std::set<PartyId> in_force_;       // brokers, by the last look
  Looked looked_;
  /// An envelope that custody comes for, as it stands in the store.
  struct GoingEnvelope {
    proto::EnvelopeRecord record;
    std::optional<uint32_t> custodies;               // in how many domains, if known
  };
  std::map<EnvelopeId, GoingEnvelope> going_envelopes_;
  std::map<DocUuid, Going> going_documents_;
  size_t going_bytes_ = 0;                           // of documents, about
  std::map<EnvelopeId, std::vector<PartyId>> answering_;  // being sealed; brokers that asked meanwhile
  struct Sealed {
    proto::AckItem answer;
    Time at;
  };
  std::map<EnvelopeId, Sealed> sealed_;              // answers of the last moments
  std::deque<EnvelopeId> sealed_order_;
  std::map<Hash, Bytes> awaited_posts_;              // mail id -> its row of to_post; what is not here is seen on the next repost
  size_t wrapped_ = 0;                               // envelopes this step made itself
  size_t sealed_at_once_ = 0;                        // documents
  /// Custodies of one envelope that make nothing accepted: they wait for the other brokers'.
  struct HeldCustodies {
    Time since;
    uint32_t stored = 0;                             // domains in the store
    std::vector<CustodyJob::Item> items;             // one a broker
  };
  std::map<EnvelopeId, HeldCustodies> held_;
  Time held_until_;
  std::set<DocUuid> seal_again_;                     // no room on the disk: tried again
  std::set<std::pair<PartyId, Lane>> wrapping_;
  std::vector<WrapRun> wraps_;                       // of this step, sent in batches
  std::deque<std::pair<PartyId, Lane>> to_kick_;     // have something to be wrapped since a body was sealed
  std::set<PartyId> kx_wanted_;
  std::map<EnvelopeId, Arrival> arrivals_;
  std::map<PartyId, std::vector<EnvelopeId>> fetches_;  // of this step
  std::map<Hash, uint64_t> mail_doubted_;              // signed by no key of its author in a directory of this size
  std::map<Hash, std::vector<PartyId>> mail_opening_;  // and the brokers that delivered it meanwhile
  std::set<Hash> mail_done_;                         // of the last moments: every broker delivers it
  std::deque<Hash> mail_done_order_;
  std::map<KeyId, crypto::KxKeyPair> kx_pairs_;
  Bytes kx_feed_;                                    // ours, signed
  struct Report {
    uint32_t inc = 0, rinc = 0;
  };
  std::map<PartyId, Report> reports_;                // of brokers, while asking
  std::optional<Bytes> old_envelopes_from_;          // of an earlier incarnation, still to be issued anew
  Time telling_since_;
  bool recovered_ = false;                           // in this life of the process
  bool fenced_ = false;
  bool keys_in_force_ = true, keys_are_former_ = false;
  std::optional<Time> restored_since_;  // when it was seen that this store is an old copy, until a recovery begins
  bool mail_waits_ = false;                          // for an entry of the directory that names its author
  std::map<Bytes, Tail> tails_;                      // by the key of channel_out
  std::optional<Bytes> tails_from_;                  // where the pass stands
  bool tails_at_once_ = false;
  Time tails_next_, unreachable_since_;
  Time heads_looked_, heads_asked_;
  std::set<PartyId> left_;                           // closed agencies that nothing is on its way to any more
  bool look_for_closed_ = true;
  Time last_upkeep_;
  Time last_repost_;
  Time kx_ask_after_;
  Time clock_seen_;
  Time kx_until_;
  uint64_t kx_today_ = 0;                            // the first epoch of the feed
  size_t kx_turn_ = 0;
};

/// National status code of a record (QD 28/2018, QCVN 102): 1..6, or 0 while held; what the clerk sees.
uint16_t status_code(proto::InState);

}  // namespace tram::node
