// Every table of a node and the keys of its rows. Big-endian integers, so byte order is numeric order (L13).
#pragma once
#include "base/ports.h"

namespace tram::node::table {

inline constexpr Table self{"node"};              // "self" -> NodeRecord
inline constexpr Table outgoing{"out"};           // uuid, which begins with the time -> OutRecord: the outbox list too
inline constexpr Table sealing{"sealing"};        // uuid -> (empty): bodies being made
inline constexpr Table outgoing_by_doc{"out_by_doc"};  // doc_id -> uuid
inline constexpr Table item{"item"};              // uuid || recipient -> ItemRecord
inline constexpr Table todo{"todo"};              // recipient || u8 lane || u64 order -> uuid: to be wrapped, in order
inline constexpr Table undeliverable{"undeliverable"};  // u64 ms || uuid || recipient -> (empty): closed, for the clerk to see (R31)
inline constexpr Table envelope{"envelope"};      // env_id -> EnvelopeRecord
inline constexpr Table open_envelope{"open_env"};      // env_id -> (empty): no receipt yet, not taken back, not replaced
inline constexpr Table custody{"custody"};        // uuid || recipient || env_id || broker -> CustodyRecord: those of one document lie together
inline constexpr Table channel_out{"channel_out"};     // recipient || u8 lane -> ChannelOut
inline constexpr Table pending{"pending"};        // broker || u8 lane || u64 order -> env_id: custody still wanted
inline constexpr Table timer{"timer"};            // u64 at ms || u8 kind || id -> (empty)
inline constexpr Table body_inline{"body_inline"};     // doc_id -> the one sealed chunk, unless it is in the sent document's row
inline constexpr Table incoming{"in"};            // u64 arrival -> InRecord
inline constexpr Table incoming_by_doc{"in_by_doc"};   // doc_id -> u64 arrival
inline constexpr Table incoming_held{"in_held"};  // sender || u8 lane || u32 inc || u64 seq -> u64 arrival (0: consumed without document)
inline constexpr Table skipped{"in_skipped"};     // sender || u8 lane || u32 inc || u64 last -> u64 first || env_id || u64 ms since: positions passed over
inline constexpr Table channel_in{"channel_in"};  // sender || u8 lane -> ChannelIn
inline constexpr Table answer{"answer"};          // env_id -> AnswerRecord
inline constexpr Table receipt{"receipt"};        // doc_id || party || env_id || u16 event -> ReceiptRecord; signed again: || u32 rinc || u64 ms || u64 log index
inline constexpr Table to_post{"to_post"};        // doc_id || env_id || u16 event -> mail id, empty until sealed: issued, not yet at enough brokers
inline constexpr Table early_recall{"early_recall"};   // doc_id of the target -> doc_id of the recall that came first
inline constexpr Table mail_out{"mail_out"};      // mail id -> MailRecord
inline constexpr Table recover_mail{"recover_mail"};   // mail id -> (empty): RECOVER, not yet at enough brokers (R21)
inline constexpr Table redeliver{"redeliver"};    // recipient || u8 lane -> u32 inc || u64 seq || u8 stage || cursor: asked by RECOVER
inline constexpr Table peer_life{"peer_life"};    // recipient || u8 lane || u32 rinc -> u32 inc || u64 seq: what that life of it holds, by RECOVER
inline constexpr Table head_in{"head_in"};        // sender || u8 lane -> HeadRow: a head whose envelope has not come (R14)
inline constexpr Table backed_up{"backed_up"};    // sender || u8 lane -> u32 inc || u64 seq: what BACKED_UP said of our backups (R22)
inline constexpr Table peer_backup{"peer_backup"};     // recipient || u8 lane -> u32 inc || u64 seq || u64 ms: what theirs hold
inline constexpr Table mail_seen{"mail_seen"};    // mail id -> u64 ms: dealt with; not of a receipt that we hold
inline constexpr Table number_seen{"number_seen"};     // F(number, symbol, sender) -> u64 arrival
inline constexpr Table counter{"counter"};        // name -> u64: register numbers a year ("in/2026")
inline constexpr Table register_number{"register_no"}; // "in/2026/" || number -> u64 arrival: numbers are never reused
inline constexpr Table kx_private{"kx_private"};  // u64 epoch -> secret(32) || not_before || not_after
inline constexpr Table broker_state{"broker_state"};   // broker -> BrokerState
inline constexpr Table upload{"upload"};          // id -> UploadRecord
inline constexpr Table idempotency{"idempotency"};     // principal || 0 || key -> IdempotencyRecord
inline constexpr Table token{"token"};            // SHA-256 of the token -> TokenRecord

inline constexpr Table scrub{"scrub"};            // "scrub" -> where the walk stands (base/scrub.h)
inline constexpr Table damaged{"damaged"};        // doc_id -> u8 sent || u64 found ms || u64 sender asked ms: bodies that rotted here
inline constexpr Table attempt{"attempt"};        // envelope or mail id -> u32 times || u64 last ms: the process died while it was being opened
inline constexpr Table quarantine{"quarantine"};  // env_id -> u32 times || u64 ms || envelope(400): put aside for an officer (R44)

/// All of the above, the directory's and the log's: what the store is opened with.
std::span<const Table> all();

}  // namespace tram::node::table
