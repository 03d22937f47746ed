// The fixed, signed layouts of EDX1 that brokers and verifiers read (FORMAT.md; protocol.md 3.2-3.4, 4.2).
// Decoders are strict: exact lengths, known versions, no trailing bytes (R37); what was received is kept and never
// re-encoded for hashing: decode_*() sets `id` from the received bytes, and verify_*() checks the signature over `id`,
// so verify what was decoded, never a struct whose fields were changed afterwards.
// Decoding does not check signatures: call verify_*(). Encoding a value that decoding would refuse is a programmer's
// error (TRAM_CHECK). Every signed object is `unsigned bytes || SIGN(key; label; id)` with id = H(label; unsigned bytes).
// Errors of every decode_*: bad_format, unsupported_version (suite). Library: verify. Thread: any; values only.
#pragma once
#include "crypto/hash.h"
#include "crypto/keys.h"

namespace tram::crypto {

inline constexpr uint16_t suite_1 = 0x0001;

// Labels of the signed objects: of the id's hash and of the signature alike.
inline constexpr std::string_view header_label = "edx1/doc";
inline constexpr std::string_view envelope_label = "edx1/env";
inline constexpr std::string_view custody_label = "edx1/custody";
inline constexpr std::string_view ack_label = "edx1/ack";
inline constexpr std::string_view notice_label = "edx1/notice";
inline constexpr std::string_view receipt_label = "edx1/rcpt";

/// The signed object from its unsigned bytes. Ed25519 is deterministic, so a daemon stores the unsigned bytes in its
/// transaction and makes the signature after the commit, again and identically whenever it is asked (R1, 8.11).
Bytes sign_object(std::string_view label, BytesView unsigned_bytes, const SigningKey& key);

// ---- manifest: u32 n || u32 S || u64 len(P') || id_0 .. id_{n-1} ------------------------------------------

struct Manifest {
  uint64_t padded_bytes = 0;  // len(P'), 1 .. n*S
  std::vector<ChunkId> chunks;
};
Bytes encode_manifest(const Manifest&);
Result<Manifest> decode_manifest(BytesView);
ManifestId manifest_id(BytesView encoded_manifest);  // H("edx1/manifest"; manifest)
ChunkId chunk_id(BytesView sealed_chunk);            // H("edx1/chunk"; C_i)
/// Sealed size of chunk `index` (< n): S + 16, the last one (len(P') - (n-1)*S) + 16.
size_t sealed_chunk_size(const Manifest&, uint32_t index);
/// ceil(padded_bytes / S); the largest u32 when it does not fit.
uint32_t chunk_count(uint64_t padded_bytes);
/// Padme (3.10): `bytes` rounded up so that only O(log log) bits of it show. bytes < 2^63.
uint64_t padme(uint64_t bytes);
/// len(P') = max(1024, floor_bytes, padme(8 + container_bytes)).
uint64_t padded_size(uint64_t container_bytes, uint64_t floor_bytes);

// ---- header: 236 + m + 64 bytes, signed, visible to brokers (3.3) -----------------------------------------

struct Header {
  uint16_t suite = suite_1;
  uint8_t container = 0;
  RealmId realm;
  PartyId sender;
  DocUuid doc_uuid;
  ManifestId manifest_id;
  uint64_t padded_bytes = 0;
  uint32_t chunks = 0;
  Hash commit;
  Hash recipients_root;
  Time created;
  Time not_after;
  Hash meta_commit;
  Bytes enc_metadata;   // 4,112 bytes
  Signature signature;
  DocId id;             // H("edx1/doc"; bytes 0 .. 236+m-1); set by encode and decode
};
/// Signs with `key`, sets id and signature, returns the wire bytes.
Bytes encode_header(Header&, const SigningKey& key);
Result<Header> decode_header(BytesView);
bool verify_header(const Header&, const SigPublic& sender);

// ---- envelope: 400 bytes, one per recipient (3.4) ---------------------------------------------------------

enum class EnvelopeType : uint8_t { document = 1, control = 2 };

struct Envelope {
  uint16_t suite = suite_1;
  EnvelopeType type = EnvelopeType::document;
  Lane lane = Lane::normal;
  RealmId realm;
  PartyId sender;
  PartyId recipient;
  uint32_t inc = 0;
  std::array<uint8_t, 4> re_of{};  // first 4 bytes of the envelope this one re-issues, zero for none
  uint64_t seq = 0;                // from 1
  EnvelopeId prev;
  DocId doc_id;
  BlobId officer_blob_id;
  KeyId recipient_kx;
  std::array<uint8_t, 8> psk_tag{};
  Time created;
  Time not_after;
  uint64_t dir_size = 0;
  Hash dir_root;
  std::array<uint8_t, 32> enc{};
  std::array<uint8_t, 48> ct{};
  Signature signature;
  EnvelopeId id;  // H("edx1/env"; bytes 0..335); set by sign and decode
};
/// Bytes 0..255: what HPKE's info binds.
Bytes envelope_prefix(const Envelope&);
/// Sets id and signature, returns the 400 bytes. enc and ct must be set.
Bytes encode_envelope(Envelope&, const SigningKey& key);
Result<Envelope> decode_envelope(BytesView);
bool verify_envelope(const Envelope&, const SigPublic& sender);
BlobId blob_id(BytesView blob);  // H("edx1/oblob"; blob); a receiver also checks that it is 1,024 bytes

// ---- custody receipt (R4) ---------------------------------------------------------------------------------
// "EDXC" || u16 suite || realm || broker(16) || epoch(16) || env_id || doc_id || u32 n_chunks || u64 bytes ||
// recipient(16) || u64 q || qh_q(32) || u64 time_ms || u8 clock_ok || u64 log_size || signature : 283 bytes

struct Custody {
  uint16_t suite = suite_1;
  RealmId realm;
  PartyId broker;
  Epoch epoch;
  EnvelopeId env_id;
  DocId doc_id;
  uint32_t chunks = 0;
  uint64_t body_bytes = 0;   // sealed bytes of the body
  PartyId recipient;
  uint64_t position = 0;     // q, from 1
  Hash queue_head;           // qh_q = H("edx1/queue"; qh_{q-1} || u64 q || env_id), qh_0 = 0
  Time time;
  bool clock_ok = false;
  uint64_t log_size = 0;
  Signature signature;       // SIGN(broker; "edx1/custody"; id)
  Hash id;                   // H("edx1/custody"; the 219 unsigned bytes)
};
/// Fields to the 219 bytes that are signed: what the transaction stores.
Bytes unsigned_custody(const Custody&);
Bytes encode_custody(Custody&, const SigningKey& key);
Result<Custody> decode_custody(BytesView);
bool verify_custody(const Custody&, const SigPublic& broker);
Hash next_queue_head(const Hash& previous, uint64_t position, const EnvelopeId&);

// ---- ACK (R15): plain, brokers read it --------------------------------------------------------------------
// Unsigned 161 + 56 k bytes.
// "EDXA" || u16 suite || realm || env_id || doc_id || sender || recipient || u8 lane || u32 inc || u64 seq ||
// u32 rinc || u64 time_ms || u8 clock_ok || u8 k || k x (broker(16) || u64 q || qh(32)) || signature, k <= 8

struct QueueSeen {
  PartyId broker;
  uint64_t position = 0;
  Hash head;
};
struct Ack {
  uint16_t suite = suite_1;
  RealmId realm;
  EnvelopeId env_id;
  DocId doc_id;
  PartyId sender;
  PartyId recipient;
  Lane lane = Lane::normal;
  uint32_t inc = 0;
  uint64_t seq = 0;
  uint32_t rinc = 0;
  Time time;
  bool clock_ok = false;
  std::vector<QueueSeen> seen;
  Signature signature;  // by the recipient; label and id hash "edx1/ack"
  Hash id;
};
inline constexpr size_t queues_seen_max = 8;
Bytes unsigned_ack(const Ack&);
Bytes encode_ack(Ack&, const SigningKey& key);
Result<Ack> decode_ack(BytesView);
bool verify_ack(const Ack&, const SigPublic& recipient);

// ---- notices: small signed statements -----------------------------------------------------------------------
// "EDXN" || u16 suite || u8 kind || u16 reason || realm || issuer(16) || other(16) || env_id || doc_id || u8 lane ||
// u32 inc || u64 seq || u64 time_ms || u8 clock_ok || signature : 223 bytes; label and id hash "edx1/notice"

enum class NoticeKind : uint8_t {
  nack = 1,    // recipient: not accepted, with reason; the position is consumed (R11, R34)
  cancel = 2,  // sender: free this un-handed envelope (R16)
  voided = 3,  // sender: this sequence number will never come (R10)
  // A recipient to one of its senders; env_id is u32 rinc || 28 zero bytes.
  recover = 4,    // my store was put back: what I have of the lane ends at (inc, seq). Lane 0: seq is the time of my store
                  // in ms, inc 1 when I know no lane of yours at all (R21)
  backed_up = 5,  // what I have of the lane up to (inc, seq) is in a backup that was read back; doc_id is its id (R22)
  // The sender's answer to recover: every position of the lane up to (inc, seq) is settled, what was lost comes above it.
  passed = 6,
  // A recipient to the sender: the content of doc_id, which I had acknowledged under env_id, was damaged on my disk. Send it
  // again (3.9).
  resend = 7,
  // A sender to a recipient that has not answered: the last position of the lane is (inc, seq), of envelope env_id (R14).
  head = 8,
};
/// The recipient's incarnation in a recover or backed_up notice.
EnvelopeId rinc_field(uint32_t rinc);
Result<uint32_t> rinc_of(const EnvelopeId&);  // bad_format: not such a field
struct Notice {
  uint16_t suite = suite_1;
  NoticeKind kind = NoticeKind::nack;
  uint16_t reason = 0;  // wire number of an ErrorCode
  RealmId realm;
  PartyId issuer;
  PartyId other;
  EnvelopeId env_id;
  DocId doc_id;
  Lane lane = Lane::normal;
  uint32_t inc = 0;
  uint64_t seq = 0;
  Time time;
  bool clock_ok = false;
  Signature signature;
  Hash id;
};
Bytes unsigned_notice(const Notice&);
Bytes encode_notice(Notice&, const SigningKey& key);
Result<Notice> decode_notice(BytesView);
bool verify_notice(const Notice&, const SigPublic& issuer);

// ---- receipt object (4.2) ---------------------------------------------------------------------------------
// "EDXR" || u16 suite || u16 event || u16 reason || realm || env_id || doc_id || sender || recipient || u32 inc ||
// u64 seq || u32 rinc || u64 time_ms || u8 clock_ok || u64 dir_size || dir_root || custody_seen || answers ||
// issuer(16) || issuer key id(8) || u64 log_index || u16 n || n bytes || signature : 365 + n bytes

enum class ReceiptEvent : uint16_t {
  received = 1,        // status 01 da den; ETSI E.1
  refused = 2,         // 02 tu choi; C.4
  registered = 3,      // 03 da tiep nhan; C.3
  assigned = 4,        // 04
  processing = 5,      // 05
  done = 6,            // 06
  change_agreed = 15,  // 15 dong y (update, take-back)
  change_refused = 16, // 16 tu choi (update, take-back)
  rejected = 100,      // technical; E.2
};
struct Receipt {
  uint16_t suite = suite_1;
  ReceiptEvent event = ReceiptEvent::received;
  uint16_t reason = 0;
  RealmId realm;
  EnvelopeId env_id;
  DocId doc_id;
  PartyId sender;
  PartyId recipient;
  uint32_t inc = 0;
  uint64_t seq = 0;
  uint32_t rinc = 0;
  Time time;
  bool clock_ok = false;
  uint64_t dir_size = 0;
  Hash dir_root;
  Hash custody_seen;       // H over custody receipts seen, or 0
  Hash answers;            // H("edx1/answers"; the 400 envelope bytes), or 0
  PartyId issuer;
  KeyId issuer_key;
  uint64_t log_index = 0;  // issuer's own log
  std::string text;        // well-formed UTF-8, <= 1,024 bytes: reason, register number (FORMAT.md)
  Signature signature;     // label and id hash "edx1/rcpt"
  Hash id;
};
bool is_receipt_text(std::string_view text);
Bytes unsigned_receipt(const Receipt&);
Bytes encode_receipt(Receipt&, const SigningKey& key);
Result<Receipt> decode_receipt(BytesView);
bool verify_receipt(const Receipt&, const SigPublic& issuer);
Hash answers_hash(BytesView envelope_bytes);  // H("edx1/answers"; the 400 bytes)

}  // namespace tram::crypto
