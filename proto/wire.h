// Frames between a node (or the authority, or a peer broker) and a broker. One frame is one protobuf message; a raw
// sealed chunk follows ChunkPut and ChunkData as a second part, on the bulk endpoint only (protocol.md 8.7).
// The codec is the only code that sees generated protobuf; it checks every size and count before it allocates.
// Guarantees, states x events: PROTOCOL.md. Thread: any; values only.
#pragma once
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/ids.h"
#include "base/time.h"

namespace tram::proto {

inline constexpr uint32_t wire_version = 1;

/// First frame of a session on either endpoint. The peer's identity is its CURVE key (ZAP), never this frame.
struct Hello {
  uint32_t version = wire_version;
  uint32_t inc = 0;            // sender's incarnation (R13)
  uint64_t directory_size = 0; // entries the peer has verified
  std::string software;        // "tram 0.1.0", <= 64 bytes
  bool recovering = false;     // asks which incarnation of it is known (R13)
  Bytes seen = {};             // newest checkpoint of this broker's log that the sender has seen, or empty (R8)
};
struct HelloReply {
  uint32_t version = wire_version;
  PartyId broker;
  Epoch epoch;
  uint64_t log_size = 0;
  Hash log_root;
  Time time;                   // for the clock check of R43
  uint64_t directory_size = 0;
  Bytes incarnation;           // to one that recovers: its own envelope of the highest incarnation known, or empty
  Bytes recovery;              // likewise, its own recover notice of the highest rinc known
  Bytes checkpoint = {};       // newest of its own log, with cosignatures, or empty
};
/// Any request may be answered with this. `code` is an error table number.
struct Refused {
  uint16_t code = 0;
  uint64_t retry_after_ms = 0;
  std::string detail;          // <= 200 bytes, never content
};

// ---- sending ------------------------------------------------------------------------------------------------

struct PutItem {
  Bytes envelope;      // 400
  Bytes officer_blob;  // 1,024
};
/// Custody request for 1..64 envelopes of one document. With `header` (and manifest and, for an inline body, the one
/// sealed chunk) the first time; without them when the broker already holds the body (after Offer).
struct Put {
  Bytes header;
  Bytes manifest;
  Bytes inline_chunk;
  DocId doc_id;
  std::vector<PutItem> items;
};
struct PutResult {
  EnvelopeId env_id;
  Bytes custody;          // signed receipt, empty when refused
  uint16_t refusal = 0;   // error number: quota, expired, fenced, missing_chunks, closed_agency, already_gone ...
  uint64_t retry_after_ms = 0;
  uint64_t entry = 0;     // directory index that explains a refusal (R31)
};
struct PutReply {
  std::vector<PutResult> results;  // one an item, in order
};
/// Bulk: announces a body; the broker answers which chunks it lacks (R41). Resumes a broken upload.
struct Offer {
  Bytes header;
  Bytes manifest;
};
struct OfferReply {
  DocId doc_id;
  Bytes have;             // bitmap, bit i (lsb first) = chunk i is durable here
  uint32_t credit = 0;    // chunks that may be in flight
};
struct ChunkPut {
  DocId doc_id;
  uint32_t index = 0;
};
/// Chunks that are durable now; each also renews one credit.
struct ChunkDone {
  DocId doc_id;
  std::vector<uint32_t> indexes;
  uint16_t refusal = 0;   // the chunk did not match the manifest, lease ended, storage
};
/// Ids the broker does not hold (or hold acknowledged), R7.
struct Reconcile {
  std::vector<EnvelopeId> env_ids;
};
struct ReconcileReply {
  std::vector<EnvelopeId> missing;
};

// ---- receiving ----------------------------------------------------------------------------------------------

struct AnnouncedItem {
  Bytes envelope;
  uint64_t position = 0;  // q in this broker's queue for me
  Hash queue_head;        // qh_q
};
/// Broker to recipient, unasked: at most K without ACK a lane (R17).
struct Announce {
  std::vector<AnnouncedItem> items;
};
struct Fetch {
  std::vector<EnvelopeId> env_ids;
};
struct Content {
  EnvelopeId env_id;
  Bytes header;
  Bytes manifest;       // only with an inline body
  Bytes officer_blob;
  Bytes inline_chunk;   // only when the body is inline
  uint16_t refusal = 0;
};
/// Bulk.
struct ManifestGet {
  DocId doc_id;
};
struct ManifestData {
  DocId doc_id;
  Bytes manifest;
  uint16_t refusal = 0;
};
/// Bulk: asks for chunks first .. first+count-1; count <= limits::chunk_credit.
struct ChunkGet {
  DocId doc_id;
  uint32_t first = 0;
  uint32_t count = 0;
};
struct ChunkData {
  DocId doc_id;
  uint32_t index = 0;
  uint16_t refusal = 0;
};
/// ACK or NACK notice of one envelope, with the sealed receipt for the sender riding along.
struct AckItem {
  Bytes statement;  // Ack or Notice(nack)
  Bytes cell;       // 1,536 bytes, or empty
};
struct AckPut {
  std::vector<AckItem> items;  // <= 64
};
struct AckReply {
  std::vector<EnvelopeId> stored;
};

// ---- small mail: receipt cells and notices, durable at the broker until the addressee confirms ----------------

struct MailItem {
  PartyId to;      // addressee when posting, author when delivering
  Bytes content;   // a 1,536-byte cell or an encoded Notice
};
struct MailPost {
  std::vector<MailItem> items;  // <= 64
};
/// Ids H("edx1/mail"; content) that are durable at this broker.
struct MailPosted {
  std::vector<Hash> ids;
};
struct MailDeliver {
  std::vector<MailItem> items;
};
struct MailDone {
  std::vector<Hash> ids;
};

// ---- directory ------------------------------------------------------------------------------------------------

struct DirectoryGet {
  uint64_t from = 0;
  std::vector<Bytes> views = {};  // of a broker or witness: cosigned views that it knows (R27)
};
struct DirectoryEntries {
  uint64_t size = 0;            // entries the answering party holds
  uint64_t from = 0;
  std::vector<Bytes> entries;   // signed entries as received, at most what fits a frame
  std::vector<Bytes> views = {};  // with the last entries: cosigned views, <= limits::views_per_frame_max
};
struct DirectoryPut {
  std::vector<Bytes> entries;
};
struct KxPut {
  Bytes feed;
};
struct KxGet {
  std::vector<PartyId> agencies;  // <= 64
};
struct KxFeeds {
  std::vector<Bytes> feeds;       // of those known, in the order asked
};

// ---- logs and witnesses: notes as in crypto/FORMAT.md 7.1 ---------------------------------------------------------

/// To a witness: a checkpoint of the sender's own log, and leaf hashes that the witness lacks.
struct CheckpointPut {
  Bytes note;
  uint64_t old_size = 0;           // that the witness is believed to hold, 0 for none
  std::vector<Hash> proof;         // consistency from old_size
  uint64_t leaves_from = 0;
  std::vector<Hash> leaves;        // <= limits::leaves_per_page_max
  std::vector<Hash> leaves_proof;  // consistency from leaves_from + leaves.size() to the checkpoint
};
struct CheckpointReply {
  Bytes cosignature;               // a signature line; empty when refused
  Bytes note;                      // what the witness holds, with all cosignatures it knows; empty: nothing
  uint64_t mirrored = 0;           // leaves it holds
  uint16_t refusal = 0;
};
struct CheckpointGet {
  PartyId party;
};
struct CheckpointData {
  PartyId party;
  Bytes note;                      // empty: none known
  uint64_t mirrored = 0;
  bool unsure = false;             // an independent witness may know more, and has not said so yet
};
struct LeavesGet {
  PartyId party;
  uint32_t generation = 0;
  uint64_t from = 0;
};
struct LeavesData {
  PartyId party;
  uint32_t generation = 0;
  uint64_t from = 0;
  std::vector<Hash> leaves;        // at most a page; empty: none from there on
};
/// Of every log that the broker witnesses, its own too.
struct CheckpointList {
  PartyId after;                   // the last party of the page before, zero at the start
  bool told = false;               // by an independent witness: it knows nothing newer than the last list as a whole
};
struct CheckpointPage {
  std::vector<Bytes> notes;        // one a party, in order of their ids
  bool more = false;
};
/// A note of any log with the sender's cosignature, answered by Done.
struct CosignaturePut {
  Bytes note;
};
struct Ping {};
struct Done {};                   // plain success of a request that has no other answer

using FrameBody =
    std::variant<Hello, HelloReply, Refused, Put, PutReply, Offer, OfferReply, ChunkPut, ChunkDone, Reconcile,
                 ReconcileReply, Announce, Fetch, Content, ManifestGet, ManifestData, ChunkGet, ChunkData, AckPut,
                 AckReply, MailPost, MailPosted, MailDeliver, MailDone, DirectoryGet, DirectoryEntries, DirectoryPut,
                 KxPut, KxGet, KxFeeds, CheckpointPut, CheckpointReply, CheckpointGet, CheckpointData, LeavesGet,
                 LeavesData, CheckpointList, CheckpointPage, CosignaturePut, Ping, Done>;

struct Frame {
  uint64_t request = 0;  // chosen by the asker, repeated in the answer; 0 for what nobody asked for
  FrameBody body;
};

enum class Endpoint : uint8_t { control, bulk };

Bytes encode_frame(const Frame&);
/// Errors: too_large (frame over the endpoint's limit, too many elements), bad_format (wrong lengths, unknown kind).
Result<Frame> decode_frame(BytesView, Endpoint);

}  // namespace tram::proto
