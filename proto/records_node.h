// What a node keeps in its store, row by row; the keys are in node/tables.h. Protobuf inside, sealed by the value codec.
// Decoders answer store_corrupt: only we write these. Thread: any; values only.
#pragma once
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace tram::proto {

/// The node itself: one row.
/// A store that was put back, or may have been, until those concerned know it (R13, R21).
enum class Recovery : uint8_t {
  none = 0,
  asking = 1,   // which incarnation the brokers know; nothing is signed for senders or recipients
  telling = 2,  // the senders are being told; nothing is acknowledged
};

struct NodeRecord {
  PartyId party;
  RealmId realm;
  uint32_t inc = 1;        // sender incarnation (R13)
  uint32_t rinc = 1;       // recipient incarnation (R21)
  uint64_t kx_feed = 0;    // number of the last feed published
  uint64_t next_order = 1; // order of work queues
  uint64_t next_arrival = 1;
  Recovery recovery = Recovery::none;
  Time store_time;         // of the last thing in the store that was put back
  Time last_backup;        // when the senders were last told of one
  Time retirement_told;    // the retirement of a broker after which a closed agency told its receipts again (R31)
};

// ---- sending --------------------------------------------------------------------------------------------------

enum class OutState : uint8_t {
  sealing = 1,   // accepted by the node; body and envelopes are being made
  sent = 2,      // envelopes exist; see the items
  failed = 3,    // could not be sealed; `failure` says why
};

/// A staged file: inline in the row's own content, or an upload.
struct StagedFile {
  std::string name;
  std::string media_type;
  uint64_t bytes = 0;
  std::string upload;      // upload id (hex), empty when `content` holds it
  Bytes content;
};

struct OutRecord {
  DocUuid uuid;
  DocId doc_id;            // zero while sealing
  OutState state = OutState::sealing;
  Time created;
  Time not_after;
  Lane lane = Lane::normal;
  Bytes metadata;          // encode_metadata, whole
  std::vector<StagedFile> staged;  // until sealed; contents <= 48 KiB together
  uint32_t recipients = 0;
  Bytes header;            // signed, 4,412 bytes, once sealed
  Bytes document_key;      // DK, 32
  Bytes manifest;         // empty when it is too large for a row: in the side file (manifest_name)
  std::string body_name;  // file of a large body, empty when inline
  Bytes inline_chunk;     // the sealed chunk when it is small, else in table body_inline
  uint64_t body_bytes = 0; // sealed bytes of the body
  uint32_t chunks = 0;
  bool inline_body = false;
  uint16_t failure = 0;
  std::string failure_detail;
  std::string author;      // principal that submitted
  bool body_kept = true;   // false after RET (R6)
};

enum class ItemState : uint8_t {
  waiting = 1,     // no envelope yet: sealing, no node, no key, order
  queued = 2,      // envelope made; fewer than W custodies
  accepted = 3,    // W custodies from distinct failure domains (R5)
  delivered = 4,   // RECEIVED receipt held
  refused = 5,     // 02
  rejected = 6,    // technical refusal (NACK)
  cancelled = 7,
  recalled = 8,    // recall agreed: 15
  expired = 9,     // will be re-issued
  forwarded = 10,      // its recipient closed: an item of its own goes to the one successor (R31)
  undeliverable = 11,  // its recipient closed and nobody follows it alone, or we closed: the clerk decides
};

/// One document for one recipient: key uuid || recipient.
struct ItemRecord {
  DocUuid uuid;
  PartyId recipient;
  ItemState state = ItemState::waiting;
  uint16_t status = 0;         // 0, or the national code 01..06, 13, 15, 16
  EnvelopeId env_id;           // current envelope
  uint32_t issue = 0;          // how many envelopes so far
  uint32_t inc = 0;
  uint64_t seq = 0;
  uint16_t waiting_reason = 0; // error number that explains `waiting` (no_node, rekey, ...)
  uint32_t custodies = 0;      // distinct failure domains, for display; R5 recomputes
  Time queued, accepted, received, decided;
  std::string register_number; // of the recipient's book
  std::string register_date;   // yyyy-MM-dd
  std::string reason;          // refusal
  std::string person;
  uint16_t pending_change = 0; // 13 while a recall or update of ours waits for an answer
  uint32_t redeliveries = 0;   // times it was sent again because the recipient's store was put back (R21)
};

struct EnvelopeRecord {
  EnvelopeId env_id;
  DocUuid uuid;
  PartyId recipient;
  Bytes envelope;       // 400
  Bytes officer_blob;   // 1,024
  bool closed = false;  // receipt held, cancelled or superseded; not in the row: then table open_env has none of it
};

/// key uuid || recipient || env_id || broker
struct CustodyRecord {
  PartyId broker;
  Epoch epoch;
  Bytes custody;        // signed bytes
  bool voided = false;
};

/// key recipient || lane
struct ChannelOut {
  uint32_t inc = 1;
  uint64_t next_seq = 1;
  EnvelopeId last;
};

// ---- receiving ------------------------------------------------------------------------------------------------

enum class InState : uint8_t {
  held = 1,          // durable, waits for an earlier position of its channel (R11)
  arrived = 2,       // 01
  registered = 3,    // 03
  refused = 4,       // 02
  assigned = 5,      // 04
  processing = 6,    // 05
  done = 7,          // 06
  recalled = 8,      // content destroyed, metadata and audit kept
};

struct InRecord {
  uint64_t arrival = 0;
  DocId doc_id;
  EnvelopeId env_id;
  PartyId sender;
  Lane lane = Lane::normal;
  uint32_t inc = 0;
  uint64_t seq = 0;
  Bytes envelope;            // 400, evidence
  Bytes header;
  Bytes manifest;            // empty when too large for a row: side file
  Bytes metadata;            // encode_metadata, whole (from the container)
  Bytes document_key;        // DK under the storage key
  uint64_t container_bytes = 0;
  uint64_t body_bytes = 0;
  uint32_t chunks = 0;
  bool inline_body = false;
  bool body_kept = true;
  InState state = InState::arrived;
  InState before_change = InState::arrived;  // remembered while a change waits
  uint16_t pending_change = 0;               // 1 recall, 2 update, 3 replace asked by the sender
  DocId change_doc;                          // the document that asks
  std::vector<PartyId> units;                // for whom it came
  Time received;
  Time decided;
  std::string register_number;
  std::string register_date;                 // yyyy-MM-dd
  std::string person;
  std::string reason;
  bool out_of_order = false;
  bool duplicate_number = false;             // same number, symbol and agency as an earlier one (Annex VI)
};

/// key sender || lane
struct ChannelIn {
  uint32_t inc = 0;
  uint64_t next_seq = 1;     // all below are consumed
  Time gap_since;            // 0 = no gap
};

/// What we answered to an envelope: kept for ever (R9, R15). key env_id
struct AnswerRecord {
  Bytes statement;           // Ack or Notice, signed fields with zero signature; signed again identically
  Bytes receipt;             // Receipt, likewise
  PartyId sender;
  uint64_t arrival = 0;      // 0 when rejected
};

/// A receipt of ours or of others. key doc_id || party || env_id || event
struct ReceiptRecord {
  Bytes receipt;             // held: as received; issued: zero signature (8.11)
  bool issued = false;
  Time stored;
  uint64_t log_place = 0;    // index of its leaf in this node's log, plus one; 0: not known
};

/// Small mail on its way. key mail id
struct MailRecord {
  PartyId to;
  Bytes content;             // sealed cell or signed notice
  std::vector<PartyId> brokers;  // where it is durable
  Time created;
};

// ---- api ------------------------------------------------------------------------------------------------------

struct UploadRecord {
  std::string id;            // 32 hex
  uint64_t length = 0;
  uint64_t offset = 0;       // acknowledged
  Bytes key;                 // 32, its slots' key
  Bytes tail;                // the bytes of the slot that is not full, < 64 KiB
  std::string name;
  std::string media_type;
  std::string owner;
  Time created;
};

struct IdempotencyRecord {
  Hash request;              // of method, path and body
  uint16_t http_status = 0;
  std::string content_type;
  Bytes body;
  std::string location;
  Time created;
};

struct TokenRecord {
  std::string name;          // principal
  Hash token_hash;
  std::string role;          // "clerk", "dms", "operator"
  Time created;
};

struct BrokerState {
  PartyId broker;
  Epoch epoch;
  uint64_t log_size = 0;
  Hash log_root;
  Time last_reconciled;
};

#define TRAM_NODE_RECORDS(X) \
  X(NodeRecord) X(OutRecord) X(ItemRecord) X(EnvelopeRecord) X(CustodyRecord) X(ChannelOut) X(InRecord) X(ChannelIn) \
  X(AnswerRecord) X(ReceiptRecord) X(MailRecord) X(UploadRecord) X(IdempotencyRecord) X(TokenRecord) X(BrokerState)

#define TRAM_DECLARE(Type)        \
  Bytes encode_record(const Type&); \
  Result<void> decode_record(BytesView, Type&);
TRAM_NODE_RECORDS(TRAM_DECLARE)
#undef TRAM_DECLARE

}  // namespace tram::proto
