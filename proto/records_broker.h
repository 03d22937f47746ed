// What a broker keeps in its store, row by row; the keys are in broker/tables.h. Protobuf inside, MACed by the value
// codec. Decoders answer store_corrupt: only we write these. Thread: any; values only.
#pragma once
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace tram::proto {

/// The broker itself: one row.
struct BrokerRecord {
  PartyId party;
  RealmId realm;
  Epoch epoch;  // this life of the store (R8)
  Time opened;
  uint64_t next_mail = 1;  // serial of the next small mail
  uint64_t next_pin = 1;   // serial of the next pin
};

/// What the broker counts about one party, as a sender and as a recipient.
struct PartyRecord {
  uint32_t inc = 0;             // highest incarnation seen in a valid envelope (R13)
  uint64_t pinned_bytes = 0;    // sealed bytes of its bodies that envelopes need (R38)
  uint64_t unpinned_bytes = 0;  // of bodies under a lease alone
  uint64_t unacked = 0;         // envelopes it sent that nobody answered
  uint64_t position = 0;        // q of the last envelope in its queue (R4)
  Hash queue_head;              // qh_q
  uint64_t mail_sent = 0;       // small mail it posted and that still waits
  uint64_t mail_waiting = 0;    // small mail that waits for it
  uint64_t conflicts = 0;       // equivocations kept as evidence
  uint32_t rinc = 0;            // highest recipient incarnation it recovered with (R21)
  bool operator==(const PartyRecord&) const = default;
};

/// A verified body: header and manifest as received; the one chunk of an inline body.
struct BodyRecord {
  Bytes header;
  Bytes manifest;      // empty: in the side file
  Bytes inline_chunk;  // small ones; a larger inline chunk has a row of its own
  bool inline_body = false;
  uint32_t chunks = 0;
  uint64_t bytes = 0;  // sealed bytes
  Epoch epoch;         // in which it was verified (R3)
};

/// The upload of a body that is a file.
struct LeaseRecord {
  Time until;
  uint32_t present = 0;  // bits set in `have`
  Bytes have;            // bit i (lsb first) = chunk i is durable
};

enum class EnvelopeState : uint8_t {
  stored = 1,  // in the recipient's queue
  acked = 2,   // answered; kept until not_after + G (R6)
  gone = 3,    // tombstone (R19): only `position`, `not_after`, `statement_hash` and `reason` are left
};
enum class GoneReason : uint8_t { none = 0, acked = 1, cancelled = 2, expired = 3 };

struct StoredEnvelope {
  EnvelopeState state = EnvelopeState::stored;
  Bytes envelope;     // 400
  uint64_t pin = 0;   // serial of its row beside the body, which has the officer blob: written once
  Bytes custody;      // 219 unsigned bytes: the receipt is signed after the commit, and again on every repeat (R4)
  Bytes position;     // key of its row in table `position`
  Bytes queue;        // key of its row in table `queue`
  Time not_after;
  Time handed;          // first complete fetch by the recipient, 0: never
  Bytes statement;      // Ack or Notice(nack) as received
  Hash statement_hash;  // its id; all that a tombstone keeps of it
  GoneReason reason = GoneReason::none;
};

struct StoredMail {
  Hash id;  // H("edx1/mail"; content)
  PartyId author;
  Bytes content;
  Time expires;
};

#define TRAM_BROKER_RECORDS(X) \
  X(BrokerRecord) X(PartyRecord) X(BodyRecord) X(LeaseRecord) X(StoredEnvelope) X(StoredMail)

#define TRAM_DECLARE(Type)          \
  Bytes encode_record(const Type&); \
  Result<void> decode_record(BytesView, Type&);
TRAM_BROKER_RECORDS(TRAM_DECLARE)
#undef TRAM_DECLARE

}  // namespace tram::proto
