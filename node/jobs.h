// Long computations of a node: they leave a step as a Job and come back as an Event (house rule 5). Pure over the
// Bodies and Random ports, so the simulator runs the same functions. Thread: any worker; a job owns all it needs.
#pragma once
#include <functional>
#include <variant>

#include "base/ports.h"
#include "crypto/body_check.h"
#include "crypto/seal.h"
#include "proto/document.h"
#include "proto/records_node.h"

namespace tram::node {

/// What sealing needs of the realm and of us; shared by all jobs, replaced when the directory grows.
struct SealContext {
  RealmId realm;
  PartyId self;
  std::shared_ptr<const crypto::SigningKey> sig;
  std::shared_ptr<const crypto::Secret32> hedge;
  uint64_t body_floor_bytes = 65536;
};

/// Container, body, metadata and signed header of one document.
struct SealJob {
  SealContext context;
  proto::OutRecord record;                       // metadata, staged files, times, lane, the name of the file to make
  std::vector<proto::UploadRecord> uploads;      // those the staged files name
  std::vector<PartyId> recipients;
};
struct SealDone {
  DocUuid uuid;
  std::string attempt;                           // the name that the job was given
  Result<void> outcome;
  proto::OutRecord record;                       // header, doc_id, DK, manifest, sizes set
  Bytes inline_chunk;                            // else the body is the synced file record.body_name
};

struct WrapTarget {
  DocUuid uuid;
  DocId doc_id;
  crypto::Secret32 document_key;
  Time not_after;
  std::array<uint8_t, 4> re_of{};
  uint64_t order = 0;                            // todo row
};
/// Envelopes of one channel, in order: each names the one before.
struct WrapRun {
  PartyId recipient;
  Lane lane = Lane::normal;
  uint32_t inc = 0;
  uint64_t first_seq = 1;
  EnvelopeId prev;
  KxPublic kx;
  std::vector<WrapTarget> targets;
};
struct WrapJob {
  SealContext context;
  uint64_t dir_size = 0;
  Hash dir_root;
  Time now;
  std::vector<WrapRun> runs;
};
struct WrappedEnvelope {
  DocUuid uuid;
  PartyId recipient;
  Lane lane = Lane::normal;
  uint64_t order = 0;
  uint64_t seq = 0;
  EnvelopeId env_id;
  Bytes envelope;
  Bytes officer_blob;
};
struct WrapDone {
  std::vector<WrappedEnvelope> envelopes;
  std::vector<std::pair<PartyId, Lane>> channels;  // finished, with or without envelopes
};

/// Checks custody receipts against what was sent. 58 us each.
struct CustodyJob {
  struct Item {
    PartyId broker;
    SigPublic key;
    Bytes custody;
    Lane lane = Lane::normal;  // with `order`, the pending row it settles
    uint64_t order = 0;
  };
  std::vector<Item> items;
};
struct CustodyDone {
  std::vector<CustodyJob::Item> valid;
  uint64_t forged = 0;
};

/// Opens an arrived document as far as its inline body or, for a large one, its header and metadata.
struct OpenJob {
  SealContext context;
  EnvelopeId env_id;
  Bytes envelope;
  Bytes header;
  Bytes manifest;       // inline bodies
  Bytes officer_blob;
  Bytes inline_chunk;
  SigPublic sender_key;
  std::vector<SigPublic> header_keys;  // the sender's of other times, for the header alone
  crypto::KxKeyPair kx;
  bool have_kx = false;
};
struct OpenDone {
  EnvelopeId env_id;
  Result<void> outcome;             // cannot_open, bad_signature, bad_format ... -> NACK
  proto::InRecord record;           // metadata, key, sizes; `metadata` from the container when inline
  Bytes inline_chunk;
  crypto::Manifest manifest;
};

/// One chunk of a large body, as fetched: its id is checked, then it is written to the body's file. Opened is the whole body,
/// by FinishBodyJob.
struct ChunkJob {
  EnvelopeId env_id;
  DocId doc_id;
  uint32_t index = 0;
  ChunkId expected;
  uint64_t body_bytes = 0;  // of the file, should it have to be made: its reservation may have found no room
  Bytes sealed;
};
/// Which chunks a file left by an earlier life already holds, by their ids; without such a file, makes one.
struct ScanBodyJob {
  EnvelopeId env_id;
  DocId doc_id;
  uint64_t body_bytes = 0;
  crypto::Manifest manifest;
};
struct ScanBodyDone {
  EnvelopeId env_id;
  std::vector<bool> have;
};
struct ChunkJobDone {
  EnvelopeId env_id;
  uint32_t index = 0;
  Result<void> outcome;
};
/// All chunks are written: sync, read the container, whose files must be those of its metadata, make the record complete.
struct FinishBodyJob {
  EnvelopeId env_id;
  RealmId realm;
  proto::InRecord record;
  Bytes manifest;
};
struct FinishBodyDone {
  EnvelopeId env_id;
  Result<void> outcome;
  proto::InRecord record;
};

/// Body files compared with their manifests (3.9); parts of at most limits::scrub_bytes_per_second in all.
struct ScrubJob {
  struct Item {
    DocId doc_id;
    bool sent = false;   // of the outbox, else received
    crypto::BodyPart part;
    bool last = false;   // the body's last part
  };
  std::vector<Item> items;
  uint64_t suspect = 0;  // an arrival that could not be read, looked at out of turn; 0: of the walk
  Bytes next;            // where the walk goes on, and with which chunk
  uint32_t next_chunk = 0;
};
struct ScrubDone {
  ScrubJob asked;
  std::vector<Result<crypto::BodyPartCheck>> checks;  // one an item
};

/// Seals issued receipts for the original senders, anew for each sending (4.2).
struct AnswerJob {
  struct Item {
    EnvelopeId env_id;
    PartyId sender;
    Bytes statement;                // signed Ack or Notice; empty for a later receipt, which travels as mail
    Bytes receipt;                  // signed
    DocId doc_id;
    uint16_t event = 0;
    bool have_kx = false;
    KxPublic kx;
    std::vector<PartyId> brokers;   // who gets the ACK
  };
  std::vector<Item> items;
};
struct AnswerDone {
  struct Item {
    EnvelopeId env_id;
    PartyId sender;
    Bytes statement;
    DocId doc_id;
    uint16_t event = 0;
    Bytes cell;                     // empty without the sender's KX key
    std::vector<PartyId> brokers;
  };
  std::vector<Item> items;
};

/// Small mail that arrived: a cell to open and verify, or a notice to verify.
struct MailJob {
  struct Item {
    Hash mail_id;
    PartyId author;
    Bytes content;
    SigPublic author_key;
    crypto::KxKeyPair kx;
    bool have_kx = false;
    std::vector<PartyId> brokers;
  };
  std::vector<Item> items;
};
struct MailJobDone {
  struct Item {
    Hash mail_id;
    PartyId author;
    Result<void> outcome;
    std::optional<crypto::Receipt> receipt;
    std::optional<crypto::Notice> notice;
    Bytes receipt_bytes;
    std::vector<PartyId> brokers;
  };
  std::vector<Item> items;
};

using Job = std::variant<SealJob, WrapJob, CustodyJob, OpenJob, ChunkJob, ScanBodyJob, FinishBodyJob, AnswerJob, MailJob, ScrubJob>;
using JobResult = std::variant<SealDone, WrapDone, CustodyDone, OpenDone, ChunkJobDone, ScanBodyDone, FinishBodyDone, AnswerDone, MailJobDone, ScrubDone>;

JobResult run_job(Job&, Bodies&, Random&);
/// Shorter than the way to a worker and back: some 100 us, no file. Who waits for it alone does it himself.
bool is_brief(const Job&);
/// Contents of at most limits::staged_content_bytes_max, none of them an upload: a step seals them itself. 30 us.
SealDone seal_contents(SealJob&, Random&);
/// Short enough for a step when it is one envelope: 85 us.
WrapDone run_wrap_job(WrapJob&, Random&);

/// What came from outside and is opened by a job: ids of envelopes and of small mail (R44). The same for its result.
std::vector<Hash> opened_by(const Job&);
std::vector<Hash> opened_by(const JobResult&);

/// Names of a body's file, of the side file that holds its manifest, and of a staged upload: hex digits (Bodies).
std::string body_name(const DocId&);
std::string manifest_name(std::string_view body_name);
std::string upload_name(std::string_view upload_id);
/// What the document's row keeps of its manifest: all, or nothing when it is too large, then it is written and synced as side file.
Result<Bytes> keep_manifest(Bodies& bodies, const std::string& body_name, Bytes manifest);

/// Reads a stored body, decrypting on the way, chunk by chunk; the API streams files through it. Files follow the
/// container's prefix in the order of the metadata's list: offset of file i = content_offset() + sizes before it.
class BodyReader {
 public:
  BodyReader(Bodies&, const proto::InRecord&, const RealmId&, Bytes inline_chunk);
  /// Plain container bytes [offset, offset + out.size()). Errors: cannot_open, not_found, store_corrupt.
  Result<void> read(uint64_t offset, std::span<uint8_t> out);
  /// Where the first file starts in the container.
  Result<uint64_t> content_offset();
  /// Called when a chunk cannot be read or opened: it may have rotted.
  void when_damaged(std::function<void()> tell) { when_damaged_ = std::move(tell); }

 private:
  Result<void> load_chunk(uint32_t index);
  Result<void> open_chunk(uint32_t index);
  Bodies& bodies_;
  crypto::BodyKeys keys_;
  DocId doc_id_;
  uint32_t chunks_;
  uint64_t body_bytes_;
  Bytes inline_chunk_;
  bool inline_body_;
  uint32_t cached_index_ = UINT32_MAX;
  std::function<void()> when_damaged_;
  Bytes plain_;
};

}  // namespace tram::node
