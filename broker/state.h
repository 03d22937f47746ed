// The private parts of a broker, shared by its .cpp files: caches, sessions, mailboxes, uploads, and one method an
// event. Invariants: everything here can be lost; what matters is in the store. Containers are ordered or bounded.
// Thread: the loop's.
#pragma once
#include <set>

#include "audit/views.h"
#include "broker/broker.h"
#include "broker/fair_queue.h"
#include "broker/tables.h"

namespace tram::broker {

using proto::BodyRecord;
using proto::EnvelopeState;
using proto::GoneReason;
using proto::LeaseRecord;
using proto::PartyRecord;
using proto::StoredEnvelope;
using proto::StoredMail;

inline constexpr size_t puts_per_job_max = 16;
inline constexpr size_t signatures_per_job_max = 64;
inline constexpr size_t puts_in_flight_max = 4096;
inline constexpr size_t bulk_jobs_max = 8;
inline constexpr uint64_t chunk_bytes_waiting_max = 64u << 20;
inline constexpr size_t contents_per_step_max = 64;
inline constexpr size_t contents_per_session_max = 32;  // of one step: a slow peer is found out before it has more
inline constexpr size_t timers_per_step_max = 256;
inline constexpr size_t announce_items_per_frame_max = 128;
inline constexpr size_t mail_items_per_frame_max = 48;
inline constexpr size_t inline_in_body_row_bytes_max = 60000;
inline constexpr uint64_t conflicts_kept_max = 1000;
inline constexpr size_t cached_parties_max = 16384;
inline constexpr size_t busy_step_events = 32;
inline constexpr size_t suspects_max = 64;
inline constexpr Duration info_kept = seconds(60);
inline constexpr Duration busy_retry = milliseconds(500);
inline constexpr Duration handed_wait = milliseconds(50);
inline constexpr size_t handed_waiting_max = 256;
inline constexpr Duration chunk_sync_wait = milliseconds(20);  // for the other chunks of a body
inline constexpr Duration storage_retry = seconds(20);  // all is final a minute after there is room again (I16)
inline constexpr Duration allow_list_every = minutes(5);
inline constexpr Duration session_idle_max = hours(24);
inline constexpr Duration standing_wait = seconds(1);  // until it is known whether this store is an old copy (R8)

/// Of an envelope that was decoded before it was stored (FORMAT.md 5): a tombstone has none.
inline PartyId sender_in(const StoredEnvelope& record) { return *PartyId::from(BytesView(record.envelope).subspan(40, PartyId::size)); }
inline PartyId recipient_in(const StoredEnvelope& record) { return *PartyId::from(BytesView(record.envelope).subspan(56, PartyId::size)); }
inline DocId doc_in(const StoredEnvelope& record) { return *DocId::from(BytesView(record.envelope).subspan(120, DocId::size)); }

/// Errors of the store itself: up to the loop. Everything else is the peer's.
bool is_store_error(ErrorCode code);

enum class PeerKind : uint8_t { unknown, agency, broker, publisher, witness };

/// What the directory says of a party, remembered for a minute.
struct PartyInfo {
  PeerKind kind = PeerKind::unknown;
  proto::AgencyStatus status = proto::AgencyStatus::active;
  bool has_keys = false;
  SigPublic sig;
  Time closed_since;
  uint64_t entry = 0;
  Time read;
  /// What a closed agency signed before it closed takes its way; nothing later does (R31).
  bool may_send(Time made) const { return status != proto::AgencyStatus::closed || made < closed_since; }
};

struct CachedParty {
  PartyRecord record;
  PartyRecord written;  // as the store has it: who only asks costs no commit
  bool touched = false;
};

/// A complete body of this epoch.
struct DocInfo {
  bool inline_body = false;
  uint32_t chunks = 0;
  uint64_t bytes = 0;
  bool pinned = false;
};

struct Session {
  PartyId peer;
  PeerKind kind = PeerKind::unknown;
  Time heard;
  uint64_t hello = 0;  // order of its Hello, 0: none
  uint32_t inc = 0;    // an agency's, as its Hello said; 0 while it recovers
  bool busy = false;
  uint32_t reads = 0;  // chunk reads in flight
};

/// The live side of a recipient: what has been announced to its session.
struct Mailbox {
  SessionKey session;
  struct LaneWindow {
    uint64_t announced = 0;    // q of the last one announced
    uint32_t outstanding = 0;  // announced and unanswered
    bool more = true;
  };
  std::array<LaneWindow, lane_count> lanes;
  uint64_t mail_delivered = 0;  // serial
  uint32_t mail_outstanding = 0;
  Time mail_moved;  // last delivery or answer
  bool mail_more = true;
};

/// A body file that is being uploaded.
struct Upload {
  uint32_t chunks = 0;
  uint64_t bytes = 0;
  std::shared_ptr<const crypto::Manifest> manifest;  // none: side file
  LeaseRecord lease;
  std::map<uint32_t, std::vector<Asker>> waiters;  // writing or waiting for the sync
  std::vector<uint32_t> written;                   // not yet synced
  Time written_since;                              // the first of them
  bool syncing = false;
  Time used;
  bool idle() const { return waiters.empty() && written.empty() && !syncing; }
};

struct ContentItem {
  Asker asker;
  EnvelopeId env_id;
};
struct ChunkItem {
  Asker asker;
  DocId doc_id;
  uint32_t index = 0;
  uint32_t bytes = 0;
};

struct PeerState {
  bool greeted = false;
  bool asking_directory = false;
  bool asking_feeds = false;
  Time next_directory;
  Time next_feeds;
  size_t feeds_at = 0;  // where in `agencies` the round stands
};

/// An inline body that left, and to whom: marked with the next commit that something else needs.
struct Handed {
  EnvelopeId env_id;
  PartyId recipient;
};

/// What a step started and what an abort therefore takes back: its jobs never ran.
struct Started {
  size_t puts = 0, acks = 0, bulk = 0;
  uint64_t write_bytes = 0;
  std::vector<DocId> offers;
  std::vector<std::string> removing;
  std::vector<SessionKey> reads;
  std::vector<Handed> handed;
};

/// One step under way.
struct Step {
  WriteTxn& txn;
  Time now;
  Effects& out;
  VerifyPutJob puts;
  VerifyAckJob acks;
  std::vector<SignJob::Item> to_sign;
  bool tick = false;
  bool busy = false;  // many events: what can wait, waits
};

struct Broker::State {
  State(Config c, std::shared_ptr<const crypto::SigningKey> k, std::shared_ptr<const crypto::LogKey> lk,
        directory::Directory& d, audit::Log& a, Log& l, Random& r)
      : config(std::move(c)), signing_key(std::move(k)), directory(d), audit_log(a), log(l), random(r),
        own_log(crypto::LogKind::broker, config.self, lk, d, a, l, r),
        witness(config.realm, crypto::cosigner_name(config.realm, crypto::LogKind::broker, config.self), lk, l),
        scrub(table::all(), table::scrub, config.scrub_every), directory_views(d, l, crypto::LogKind::broker, config.self, lk) {}

  Config config;
  std::shared_ptr<const crypto::SigningKey> signing_key;
  directory::Directory& directory;
  audit::Log& audit_log;
  Log& log;
  Random& random;
  audit::OwnLog own_log;
  audit::Witness witness;
  std::vector<PartyId> independent;  // witnesses in force
  std::set<PartyId> told;            // which of them have told all that they know of other logs, since start
  Scrub scrub;
  audit::Views directory_views;
  bool fresh_epoch = false;  // opened because this store turned out to be an old copy
  bool tell_epoch = false;   // sessions have not heard of it

  proto::BrokerRecord self;
  bool self_dirty = false;
  Counters counters;
  unsigned disk_percent = 0;
  bool clock_ok = true;
  bool directory_grew = false;
  uint64_t hellos = 0;
  uint64_t peer_requests = 0;

  std::map<PartyId, PartyInfo> infos;
  std::map<uint64_t, Hash> roots;  // of directory sizes that envelopes named
  std::map<PartyId, CachedParty> parties;
  std::map<Bytes, DocInfo> docs;
  std::map<SessionKey, Session> live;
  std::map<PartyId, std::set<SessionKey>> sessions_of;
  std::map<PartyId, Mailbox> mailboxes;
  std::set<PartyId> dirty_mailboxes;
  struct Bucket {
    uint64_t tokens_milli = 0;
    Time filled;
  };
  std::map<PartyId, Bucket> buckets;
  std::vector<PartyId> touched_parties;
  size_t puts_in_flight = 0;
  size_t acks_in_flight = 0;
  Started started;

  std::map<Bytes, Upload> uploads;  // body key -> upload
  bool chunks_written = false;      // some of them have chunks that wait for a sync
  std::set<DocId> offers_in_flight;
  std::set<std::string> removing;  // files being removed
  std::deque<WriteChunkJob> writes;
  uint64_t write_bytes_waiting = 0;  // in `writes` and in jobs
  size_t bulk_jobs = 0;              // in flight
  bool reads_turn = false;
  FairQueue<ContentItem> contents;
  FairQueue<ChunkItem> chunk_reads;
  std::vector<Handed> handed;  // not marked yet
  Time handed_since;
  std::map<PartyId, PeerState> peers;
  Time clock_seen;
  Time tell_damaged_due;
  uint32_t scrub_chunk = 0;  // of the body at the walk's cursor
  std::set<Bytes> damaged;   // body keys: the rows of table::damaged
  struct Suspect {
    Bytes key;
    uint32_t first = 0;
  };
  std::deque<Suspect> suspects;  // could not be served: looked at first
  bool suspect_out = false;
  Time allow_list_due;
  std::vector<PartyId> agencies;  // all of the directory, for asking peers for KX feeds
  uint64_t agencies_size = 0;     // of the directory then

  // broker.cpp: dispatch, sessions, what all parts use
  Result<void> on_event(Step&, Event&);
  Result<void> on_frame(Step&, FrameReceived&);
  Result<void> on_job(Step&, JobDone&);
  void forget_job(const JobDone&);
  Result<void> on_hello(Step&, const FrameReceived&, const proto::Hello&);
  proto::HelloReply hello_reply(Time now) const;
  Result<void> finish(Step&);
  Result<void> forget_caches(ReadTxn&);
  void close_session(const SessionKey&);
  Session& session(Step&, const SessionKey&, const PartyId&, PeerKind);
  void send(Step&, const Asker&, proto::FrameBody, Bytes chunk = {});
  void refuse(Step&, const Asker&, ErrorCode, Duration retry_after = {}, std::string_view detail = {});
  Result<PartyInfo> info(Step&, const PartyId&);
  Result<std::vector<SigPublic>> other_keys(Step&, const PartyId&, const std::vector<SigPublic>& tried,
                                            const std::vector<std::pair<uint64_t, Time>>& views);
  Result<PartyRecord*> party(Step&, const PartyId&);
  Result<void> append(Step&, audit::LeafKind, std::initializer_list<BytesView>);
  Result<std::optional<StoredEnvelope>> stored(ReadTxn&, const EnvelopeId&);
  Result<void> keep(Step&, const EnvelopeId&, const StoredEnvelope&);
  Result<std::optional<BodyRecord>> body(ReadTxn&, BytesView key);
  /// How long a body is that is here, without reading it when it was used of late.
  Result<std::optional<uint64_t>> bytes_of_body(Step&, const PartyId& sender, const DocId&);

  // admission.cpp
  Result<void> on_put(Step&, FrameReceived&, proto::Put&);
  Result<void> on_verified(Step&, VerifyPutDone&);
  Result<void> admit_put(Step&, VerifyPutDone::Item&);
  Result<proto::PutResult> admit_envelope(Step&, VerifyPutDone::Item&, size_t part, std::optional<DocInfo>&);
  Result<proto::PutResult> repeat_custody(Step&, const EnvelopeId&, StoredEnvelope&, const std::optional<DocInfo>&);
  Result<void> store_inline_body(Step&, const VerifyPutDone::Item&);
  Result<std::optional<DocInfo>> doc_info(Step&, const PartyId& sender, const DocId&);
  Result<bool> sane_view(Step&, uint64_t dir_size, const Hash& dir_root);
  bool take_tokens(const PartyId&, Time now, uint64_t count);
  ErrorCode disk_refusal(Lane) const;
  Result<void> on_offer(Step&, FrameReceived&, proto::Offer&);
  Result<void> on_offered(Step&, OfferDone&);
  void drop_offer(Step&, const OfferDone&);
  Result<void> on_chunk_put(Step&, FrameReceived&, const proto::ChunkPut&);
  Result<void> on_chunk_written(Step&, WriteChunkDone&);
  Result<void> on_body_synced(Step&, SyncBodyDone&);
  Result<Upload*> upload(Step&, const PartyId& sender, const DocId&);
  void chunk_done(Step&, const Asker&, const DocId&, uint32_t index, uint16_t refusal);
  std::optional<Time> start_syncs(Step&);
  Result<void> on_reconcile(Step&, const Asker&, const proto::Reconcile&);

  // delivery.cpp
  void touch_mailbox(const PartyId& recipient, Lane);
  Result<void> fill_mailbox(Step&, const PartyId& recipient, Mailbox&);
  Result<void> on_fetch(Step&, const Asker&, const proto::Fetch&);
  Result<void> serve_contents(Step&);
  Result<proto::Content> content(Step&, const ContentItem&);
  Result<void> mark_handed(Step&, const EnvelopeId&, StoredEnvelope&, const PartyId& recipient);
  /// Before what may ask for the marks, or shares its commit with them, or after a moment.
  Result<void> mark_waiting(Step&, std::span<const Event>);
  Result<std::optional<PartyId>> sender_of(Step&, const PartyId& recipient, const DocId&, Lane* lane);
  Result<void> on_manifest_get(Step&, const Asker&, const proto::ManifestGet&);
  Result<void> on_chunk_get(Step&, const Asker&, const proto::ChunkGet&);
  Result<void> on_chunk_read(Step&, ReadChunkDone&);
  void start_bulk_jobs(Step&);
  Result<void> on_ack_put(Step&, FrameReceived&, proto::AckPut&);
  Result<void> on_acks_verified(Step&, VerifyAckDone&);
  /// An error number, or 0: nothing more is needed from the recipient.
  Result<uint16_t> settle(Step&, const Asker&, const VerifyAckDone::Part&, const proto::AckItem&);
  /// At the end of the recipient's queue: its position and head, the row, the sender's count (R4).
  Result<const PartyRecord*> enqueue(Step&, const EnvelopeId&, const PartyId& sender, const PartyId& recipient, Lane,
                                     StoredEnvelope&);
  /// Leaves the queue: row, window, sender's count.
  Result<void> leave_queue(Step&, const StoredEnvelope&);
  /// Becomes a tombstone; its pin and access rows go, the body too when nobody else needs it.
  Result<void> retire(Step&, const EnvelopeId&, StoredEnvelope&, GoneReason);

  // mail.cpp
  Result<void> on_mail_post(Step&, FrameReceived&, proto::MailPost&);
  Result<void> on_mail_verified(Step&, VerifyMailDone&);
  /// Error numbers: quota, unknown_agency; 0 stored or already there.
  Result<uint16_t> store_mail(Step&, const PartyId& author, const PartyId& to, BytesView content, const Hash& id);
  Result<void> cancel(Step&, const crypto::Notice&);
  Result<void> on_mail_done(Step&, const Asker&, const proto::MailDone&);
  Result<void> erase_mail(Step&, const PartyId& addressee, uint64_t serial, const StoredMail&);
  Result<void> deliver_mail(Step&, const PartyId& addressee, Mailbox&);
  void deliver_mail_again(Time now);

  // recovery.cpp
  Result<void> on_recover(Step&, const crypto::Notice&, BytesView notice_bytes);
  Result<void> on_backed_up(Step&, const crypto::Notice&);
  Result<bool> fenced(Step&, const PartyId& agency, uint32_t inc);
  Result<void> note_incarnation(Step&, PartyRecord& sender, uint32_t inc, BytesView envelope);
  // repair.cpp
  /// Rows that do not carry their code, and all that belongs to them; how many envelopes were dropped.
  Result<uint64_t> repair(Store&, Time now, const std::vector<DamagedRow>&);
  Result<void> drop_envelope(Step&, const EnvelopeId&, const StoredEnvelope&);
  Result<void> write_parties(Step&);
  // witness.cpp
  bool may_promise() const;
  void set_witnesses(Time now);
  void post(Step&, audit::OwnLog::Sends&);
  Result<void> on_checkpoint_put(Step&, const Asker&, const proto::CheckpointPut&);
  Result<void> on_checkpoint_get(Step&, const Asker&, const proto::CheckpointGet&);
  Result<void> on_leaves_get(Step&, const Asker&, const proto::LeavesGet&);
  Result<void> on_checkpoint_list(Step&, const Asker&, const proto::CheckpointList&);
  Result<void> on_cosignature_put(Step&, const Asker&, const proto::CosignaturePut&);
  Result<void> see_note(Step&, BytesView note);
  bool told_by_all() const;

  // scrub.cpp
  Result<void> load_scrub(ReadTxn&);
  Result<void> scrub_turn(Step&);
  Result<void> start_scrub_job(Step&);
  Result<void> start_suspect_job(Step&);
  Result<void> on_scrubbed(Step&, ScrubDone&);
  Result<bool> body_damaged(Step&, const Bytes& key, const crypto::BodyPartCheck&);
  Result<void> body_whole_again(Step&, const Bytes& key);
  Result<void> tell_damaged(Step&, const PartyId& sender);
  void suspect(const Bytes& key);
  // upkeep.cpp
  Result<void> run_timers(Step&);
  Result<void> envelope_ends(Step&, const EnvelopeId&);
  Result<void> lease_ends(Step&, BytesView body_key);
  Result<void> mail_ends(Step&, BytesView mail_key);
  Result<void> body_unpinned(Step&, const PartyId& sender, const DocId&);
  Result<void> free_body(Step&, const PartyId& sender, const DocId&, const BodyRecord&);
  void remove_files(Step&, std::vector<std::string> names);
  Result<void> on_files_listed(Step&, ListBodiesDone&);
  Result<void> on_directory_get(Step&, const Asker&, PeerKind, const proto::DirectoryGet&);
  Result<void> on_directory_put(Step&, const Asker&, PeerKind, const proto::DirectoryPut&);
  Result<void> apply_entry(Step&, BytesView entry, std::optional<Error>& refused);
  Result<void> on_kx_put(Step&, const Asker&, const proto::KxPut&);
  Result<void> on_kx_get(Step&, const Asker&, const proto::KxGet&);
  Result<void> on_peer_frame(Step&, const PartyId& broker, proto::Frame&);
  void greet_peer(Step&, const PartyId& broker, PeerState&);
  void ask_peer(Step&, const PartyId& broker, proto::FrameBody);
  Result<void> sync_peers(Step&);
  Result<void> ask_feeds(Step&, const PartyId& broker, PeerState&);
};

}  // namespace tram::broker
