// Every table of a broker and the keys of its rows. Big-endian integers, so byte order is numeric order (L13).
#pragma once
#include "base/ports.h"

namespace tram::broker::table {

inline constexpr Table self{"broker"};  // "self" -> BrokerRecord
inline constexpr Table party{"party"};  // party -> PartyRecord
inline constexpr Table body{"body"};    // sender || doc_id -> BodyRecord
inline constexpr Table body_inline{
    "body_inline"};                     // sender || doc_id -> the one sealed chunk, when it is too large for `body`
inline constexpr Table lease{"lease"};  // sender || doc_id -> LeaseRecord: uploads of bodies that are files
// Pins share the bodies' table, beside the body they hold, so that both fall into one page.
inline constexpr Table pin = body;            // sender || doc_id || u64 serial -> env_id || officer blob (1,024): who needs the body (R40)
inline constexpr Table access{"access"};      // recipient || doc_id || env_id -> sender: who may fetch a body file
inline constexpr Table envelope{"envelope"};  // env_id -> StoredEnvelope, tombstones too
inline constexpr Table queue{"queue"};        // recipient || u8 lane || u64 q -> env_id || qh: unanswered envelopes
inline constexpr Table position{"position"};  // sender || recipient || u8 lane || u32 inc || u64 seq -> env_id (R13)
inline constexpr Table conflict{"conflict"};  // position key || env_id -> envelope: evidence of equivocation (R13)
inline constexpr Table incarnation{"incarnation"};  // sender -> an envelope of its highest incarnation (R13)
inline constexpr Table recovery{"recovery"};        // recipient -> its recover notice of the highest rinc (R21)
inline constexpr Table mail{"mail"};          // addressee || u64 serial -> StoredMail
inline constexpr Table mail_id{"mail_id"};    // mail id || addressee -> u64 serial
inline constexpr Table timer{"timer"};        // u64 at ms || u8 kind || id -> (one byte)
inline constexpr Table scrub{"scrub"};        // "scrub" -> where the walk stands (base/scrub.h)
inline constexpr Table damaged{"damaged"};    // sender || doc_id -> u64 found ms: bodies whose sender shall send again

/// All of the above, the directory's and the log's: what the store is opened with.
std::span<const Table> all();

inline constexpr std::string_view self_key = "self";
Bytes body_key(const PartyId& sender, const DocId& doc_id);
Bytes pin_key(const PartyId& sender, const DocId& doc_id, uint64_t serial);
Bytes pin_value(const EnvelopeId& env_id, BytesView officer_blob);
inline EnvelopeId env_of_pin(BytesView value) { return *EnvelopeId::from(value.first(EnvelopeId::size)); }
inline BytesView blob_of_pin(BytesView value) { return value.subspan(EnvelopeId::size); }
/// Where the pins of a body begin; they end at prefix_end(body key).
Bytes pins_from(BytesView body_row);
/// Whether a key of the bodies' table is a body's, not a pin's.
bool is_body_key(BytesView key);
inline PartyId sender_of_key(BytesView body_key) { return *PartyId::from(body_key.first(PartyId::size)); }
inline DocId doc_of_key(BytesView body_key) { return *DocId::from(body_key.subspan(PartyId::size, DocId::size)); }
Bytes access_key(const PartyId& recipient, const DocId& doc_id, const EnvelopeId& env_id);
Bytes access_prefix(const PartyId& recipient, const DocId& doc_id);
Bytes queue_key(const PartyId& recipient, Lane lane, uint64_t q);
Bytes position_key(const PartyId& sender, const PartyId& recipient, Lane lane, uint32_t inc, uint64_t seq);
Bytes conflict_key(BytesView position_row, const EnvelopeId& env_id);
Bytes mail_key(const PartyId& addressee, uint64_t serial);
Bytes mail_id_key(const Hash& id, const PartyId& addressee);

enum class TimerKind : uint8_t { envelope_end = 1, lease_end = 2, mail_end = 3 };
Bytes timer_key(Time at, TimerKind kind, BytesView id);
struct TimerRow {
  Time at;
  TimerKind kind;
  Bytes id;
};
Result<TimerRow> read_timer_key(BytesView key);

}  // namespace tram::broker::table
