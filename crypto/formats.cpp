#include "crypto/formats.h"

#include <algorithm>
#include <bit>

#include "base/limits.h"
#include "crypto/detail/utf8.h"

namespace tram::crypto {
namespace {

constexpr size_t header_fixed_bytes = 236;
constexpr size_t header_bytes = header_fixed_bytes + limits::enc_metadata_bytes + Signature::size;
constexpr size_t envelope_unsigned_bytes = 336;
constexpr size_t custody_unsigned_bytes = 219;
constexpr size_t ack_fixed_bytes = 161;
constexpr size_t queue_seen_bytes = 56;
constexpr size_t notice_unsigned_bytes = 159;
constexpr size_t receipt_fixed_bytes = 301;
// 9999-12-31T23:59:59.999Z: keeps every sum with a Duration far from overflow.
constexpr uint64_t time_ms_max = 253402300799999;

template <class Id>
Id read_id(Reader& in) {
  return Id{in.array<Id::size>()};
}

/// Reads an object's fields, remembering the first value that no version of the layout allows.
class Fields {
 public:
  explicit Fields(BytesView bytes) : in_(bytes) {}
  uint8_t u8() { return in_.u8(); }
  uint16_t u16() { return in_.u16(); }
  uint32_t u32() { return in_.u32(); }
  uint64_t u64() { return in_.u64(); }
  BytesView raw(size_t n) { return in_.raw(n); }
  template <class Id>
  void id(Id& out) { out = read_id<Id>(in_); }
  template <size_t N>
  void array(std::array<uint8_t, N>& out) { out = in_.array<N>(); }
  void time(Time& out) {
    uint64_t ms = in_.u64();
    require(ms <= time_ms_max);
    out.ms = static_cast<int64_t>(ms);
  }
  void flag(bool& out) {
    uint8_t value = in_.u8();
    require(value <= 1);
    out = value == 1;
  }
  void lane(Lane& out) {
    uint8_t value = in_.u8();
    require(value < lane_count);
    out = static_cast<Lane>(value);
  }
  void require(bool condition) { valid_ = valid_ && condition; }
  bool finish() const { return valid_ && in_.finish(); }

 private:
  Reader in_;
  bool valid_ = true;
};

bool valid_time(Time time) { return time.wire() <= time_ms_max; }

/// Magic and suite come first, so that a later suite is told from garbage whatever its length.
Result<void> check_start(BytesView bytes, std::string_view magic, std::string_view name) {
  Reader in(bytes);
  if (!equal(in.raw(4), view(magic))) return fail(ErrorCode::bad_format, std::string(name) + ": magic");
  uint16_t suite = in.u16();
  if (!in.ok()) return fail(ErrorCode::bad_format, std::string(name) + ": length");
  if (suite != suite_1) return fail(ErrorCode::unsupported_version, std::string(name) + ": suite");
  return {};
}

tl::unexpected<Error> bad_length(std::string_view name) {
  return fail(ErrorCode::bad_format, std::string(name) + ": length");
}
tl::unexpected<Error> bad_field(std::string_view name) {
  return fail(ErrorCode::bad_format, std::string(name) + ": field");
}

Bytes reserved(size_t unsigned_bytes) {
  Bytes out;
  out.reserve(unsigned_bytes + Signature::size);
  return out;
}

/// Appends the signature to the unsigned bytes in `out`.
template <class Id>
void append_signature(Bytes& out, std::string_view label, const SigningKey& key, Id& id, Signature& signature) {
  id = hash_as<Id>(label, {out});
  signature = key.sign(label, id);
  Writer(out).raw(signature);
}

void write_u8(Writer& out, bool flag) { out.u8(flag ? 1 : 0); }

void write_envelope_prefix(Writer& out, const Envelope& e) {
  TRAM_CHECK(e.suite == suite_1 && e.seq >= 1 && valid_time(e.created) && valid_time(e.not_after));
  TRAM_CHECK(e.type == EnvelopeType::document || e.type == EnvelopeType::control);
  TRAM_CHECK(static_cast<uint8_t>(e.lane) < lane_count);
  out.raw("EDXE").u16(e.suite).u8(static_cast<uint8_t>(e.type)).u8(static_cast<uint8_t>(e.lane));
  out.raw(e.realm).raw(e.sender).raw(e.recipient).u32(e.inc).raw(e.re_of).u64(e.seq).raw(e.prev).raw(e.doc_id);
  out.raw(e.officer_blob_id).raw(e.recipient_kx).raw(e.psk_tag).u64(e.created.wire()).u64(e.not_after.wire());
  out.u64(e.dir_size).raw(e.dir_root);
}

bool known_event(uint16_t event) {
  switch (static_cast<ReceiptEvent>(event)) {
    case ReceiptEvent::received:
    case ReceiptEvent::refused:
    case ReceiptEvent::registered:
    case ReceiptEvent::assigned:
    case ReceiptEvent::processing:
    case ReceiptEvent::done:
    case ReceiptEvent::change_agreed:
    case ReceiptEvent::change_refused:
    case ReceiptEvent::rejected: return true;
  }
  return false;
}

bool known_notice(uint8_t kind) {
  return kind >= static_cast<uint8_t>(NoticeKind::nack) && kind <= static_cast<uint8_t>(NoticeKind::head);
}

bool consistent_sizes(uint32_t chunks, uint64_t padded_bytes) {
  return chunks >= 1 && chunks <= limits::chunks_per_body_max && padded_bytes >= 1 && chunk_count(padded_bytes) == chunks;
}

}  // namespace

bool well_formed_utf8(BytesView s) {
  auto continues = [&](size_t at) { return at < s.size() && (s[at] & 0xc0) == 0x80; };
  for (size_t i = 0; i < s.size();) {
    uint8_t b = s[i];
    size_t more = b < 0x80 ? 0 : b >= 0xc2 && b <= 0xdf ? 1 : b >= 0xe0 && b <= 0xef ? 2 : b >= 0xf0 && b <= 0xf4 ? 3 : 4;
    if (more == 4) return false;
    for (size_t k = 1; k <= more; ++k) {
      if (!continues(i + k)) return false;
    }
    uint8_t next = more ? s[i + 1] : 0;
    bool overlong = (b == 0xe0 && next < 0xa0) || (b == 0xf0 && next < 0x90);
    bool outside = (b == 0xed && next > 0x9f) || (b == 0xf4 && next > 0x8f);
    if (overlong || outside) return false;
    i += 1 + more;
  }
  return true;
}

Bytes sign_object(std::string_view label, BytesView unsigned_bytes, const SigningKey& key) {
  Bytes out = reserved(unsigned_bytes.size());
  Writer(out).raw(unsigned_bytes);
  Hash id;
  Signature signature;
  append_signature(out, label, key, id, signature);
  return out;
}

// ---- manifest ---------------------------------------------------------------------------------------------

Bytes encode_manifest(const Manifest& manifest) {
  auto count = static_cast<uint32_t>(manifest.chunks.size());
  TRAM_CHECK(consistent_sizes(count, manifest.padded_bytes));
  Bytes out;
  out.reserve(16 + ChunkId::size * manifest.chunks.size());
  Writer writer(out);
  writer.u32(count).u32(limits::chunk_bytes).u64(manifest.padded_bytes);
  for (const ChunkId& id : manifest.chunks) writer.raw(id);
  return out;
}

Result<Manifest> decode_manifest(BytesView bytes) {
  Reader in(bytes);
  uint32_t count = in.u32();
  uint32_t segment = in.u32();
  Manifest manifest;
  manifest.padded_bytes = in.u64();
  if (!in.ok()) return bad_length("manifest");
  if (segment != limits::chunk_bytes || !consistent_sizes(count, manifest.padded_bytes)) return bad_field("manifest");
  if (in.left() != size_t{count} * ChunkId::size) return bad_length("manifest");
  manifest.chunks.reserve(count);
  for (uint32_t i = 0; i < count; ++i) manifest.chunks.push_back(read_id<ChunkId>(in));
  return manifest;
}

ManifestId manifest_id(BytesView encoded_manifest) { return hash_as<ManifestId>("edx1/manifest", {encoded_manifest}); }
ChunkId chunk_id(BytesView sealed_chunk) { return hash_as<ChunkId>("edx1/chunk", {sealed_chunk}); }

size_t sealed_chunk_size(const Manifest& manifest, uint32_t index) {
  size_t count = manifest.chunks.size();
  TRAM_CHECK(index < count);
  if (index + 1 < count) return limits::sealed_chunk_bytes;
  return static_cast<size_t>(manifest.padded_bytes - uint64_t{limits::chunk_bytes} * index) + limits::chunk_overhead_bytes;
}

uint32_t chunk_count(uint64_t padded_bytes) {
  uint64_t count = padded_bytes / limits::chunk_bytes + (padded_bytes % limits::chunk_bytes != 0 ? 1 : 0);
  return count > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(count);
}

uint64_t padme(uint64_t bytes) {
  TRAM_CHECK(bytes < uint64_t{1} << 63);
  if (bytes < 2) return bytes;
  auto exponent = static_cast<unsigned>(std::bit_width(bytes)) - 1;            // E = floor(log2 L)
  auto mantissa = static_cast<unsigned>(std::bit_width(uint64_t{exponent}));   // S = floor(log2 E) + 1
  if (exponent <= mantissa) return bytes;
  uint64_t low = (uint64_t{1} << (exponent - mantissa)) - 1;
  return (bytes + low) & ~low;
}

uint64_t padded_size(uint64_t container_bytes, uint64_t floor_bytes) {
  TRAM_CHECK(container_bytes < uint64_t{1} << 62);
  return std::max({uint64_t{limits::body_floor_bytes}, floor_bytes, padme(8 + container_bytes)});
}

// ---- header -----------------------------------------------------------------------------------------------

Bytes encode_header(Header& h, const SigningKey& key) {
  TRAM_CHECK(h.suite == suite_1 && h.container == 0 && h.enc_metadata.size() == limits::enc_metadata_bytes);
  TRAM_CHECK(h.padded_bytes >= limits::body_floor_bytes && consistent_sizes(h.chunks, h.padded_bytes));
  TRAM_CHECK(valid_time(h.created) && valid_time(h.not_after));
  Bytes out = reserved(header_bytes - Signature::size);
  Writer writer(out);
  writer.raw("EDXD").u16(h.suite).u8(h.container).u8(0).raw(h.realm).raw(h.sender).raw(h.doc_uuid).raw(h.manifest_id);
  writer.u64(h.padded_bytes).u32(h.chunks).u32(limits::chunk_bytes).raw(h.commit).raw(h.recipients_root);
  writer.u64(h.created.wire()).u64(h.not_after.wire()).raw(h.meta_commit);
  writer.u32(static_cast<uint32_t>(h.enc_metadata.size())).raw(h.enc_metadata);
  append_signature(out, header_label, key, h.id, h.signature);
  return out;
}

Result<Header> decode_header(BytesView bytes) {
  TRAM_OK(check_start(bytes, "EDXD", "header"));
  if (bytes.size() != header_bytes) return bad_length("header");
  if (bytes[6] != 0) return fail(ErrorCode::unsupported_version, "header: container");
  Fields in(bytes);
  Header h;
  in.raw(4);
  h.suite = in.u16();
  h.container = in.u8();
  in.require(in.u8() == 0);
  in.id(h.realm);
  in.id(h.sender);
  in.id(h.doc_uuid);
  in.id(h.manifest_id);
  h.padded_bytes = in.u64();
  h.chunks = in.u32();
  in.require(in.u32() == limits::chunk_bytes);
  in.require(h.padded_bytes >= limits::body_floor_bytes && consistent_sizes(h.chunks, h.padded_bytes));
  in.id(h.commit);
  in.id(h.recipients_root);
  in.time(h.created);
  in.time(h.not_after);
  in.id(h.meta_commit);
  in.require(in.u32() == limits::enc_metadata_bytes);
  h.enc_metadata = to_bytes(in.raw(limits::enc_metadata_bytes));
  in.id(h.signature);
  if (!in.finish()) return bad_field("header");
  h.id = hash_as<DocId>(header_label, {bytes.first(header_bytes - Signature::size)});
  return h;
}

bool verify_header(const Header& h, const SigPublic& sender) { return verify(sender, header_label, h.id, h.signature); }

// ---- envelope ---------------------------------------------------------------------------------------------

Bytes envelope_prefix(const Envelope& envelope) {
  Bytes out;
  out.reserve(256);
  Writer writer(out);
  write_envelope_prefix(writer, envelope);
  return out;
}

Bytes encode_envelope(Envelope& e, const SigningKey& key) {
  Bytes out = reserved(envelope_unsigned_bytes);
  Writer writer(out);
  write_envelope_prefix(writer, e);
  writer.raw(e.enc).raw(e.ct);
  append_signature(out, envelope_label, key, e.id, e.signature);
  return out;
}

Result<Envelope> decode_envelope(BytesView bytes) {
  TRAM_OK(check_start(bytes, "EDXE", "envelope"));
  if (bytes.size() != limits::envelope_bytes) return bad_length("envelope");
  Fields in(bytes);
  Envelope e;
  in.raw(4);
  e.suite = in.u16();
  uint8_t type = in.u8();
  in.require(type == 1 || type == 2);
  e.type = static_cast<EnvelopeType>(type);
  in.lane(e.lane);
  in.id(e.realm);
  in.id(e.sender);
  in.id(e.recipient);
  e.inc = in.u32();
  in.array(e.re_of);
  e.seq = in.u64();
  in.require(e.seq >= 1);
  in.id(e.prev);
  in.id(e.doc_id);
  in.id(e.officer_blob_id);
  in.id(e.recipient_kx);
  in.array(e.psk_tag);
  in.time(e.created);
  in.time(e.not_after);
  e.dir_size = in.u64();
  in.id(e.dir_root);
  in.array(e.enc);
  in.array(e.ct);
  in.id(e.signature);
  if (!in.finish()) return bad_field("envelope");
  e.id = hash_as<EnvelopeId>(envelope_label, {bytes.first(envelope_unsigned_bytes)});
  return e;
}

bool verify_envelope(const Envelope& e, const SigPublic& sender) {
  return verify(sender, envelope_label, e.id, e.signature);
}

BlobId blob_id(BytesView blob) { return hash_as<BlobId>("edx1/oblob", {blob}); }

// ---- custody ----------------------------------------------------------------------------------------------

Bytes unsigned_custody(const Custody& c) {
  TRAM_CHECK(c.suite == suite_1 && c.position >= 1 && valid_time(c.time));
  Bytes out = reserved(custody_unsigned_bytes);
  Writer writer(out);
  writer.raw("EDXC").u16(c.suite).raw(c.realm).raw(c.broker).raw(c.epoch).raw(c.env_id).raw(c.doc_id).u32(c.chunks);
  writer.u64(c.body_bytes).raw(c.recipient).u64(c.position).raw(c.queue_head).u64(c.time.wire());
  write_u8(writer, c.clock_ok);
  writer.u64(c.log_size);
  return out;
}

Bytes encode_custody(Custody& c, const SigningKey& key) {
  Bytes out = unsigned_custody(c);
  append_signature(out, custody_label, key, c.id, c.signature);
  return out;
}

Result<Custody> decode_custody(BytesView bytes) {
  TRAM_OK(check_start(bytes, "EDXC", "custody"));
  if (bytes.size() != custody_unsigned_bytes + Signature::size) return bad_length("custody");
  Fields in(bytes);
  Custody c;
  in.raw(4);
  c.suite = in.u16();
  in.id(c.realm);
  in.id(c.broker);
  in.id(c.epoch);
  in.id(c.env_id);
  in.id(c.doc_id);
  c.chunks = in.u32();
  c.body_bytes = in.u64();
  in.id(c.recipient);
  c.position = in.u64();
  in.require(c.position >= 1);
  in.id(c.queue_head);
  in.time(c.time);
  in.flag(c.clock_ok);
  c.log_size = in.u64();
  in.id(c.signature);
  if (!in.finish()) return bad_field("custody");
  c.id = hash(custody_label, {bytes.first(custody_unsigned_bytes)});
  return c;
}

bool verify_custody(const Custody& c, const SigPublic& broker) { return verify(broker, custody_label, c.id, c.signature); }

Hash next_queue_head(const Hash& previous, uint64_t position, const EnvelopeId& env_id) {
  std::array<uint8_t, 8> number;
  for (size_t i = 0; i < 8; ++i) number[i] = static_cast<uint8_t>(position >> (56 - 8 * i));
  return hash("edx1/queue", {previous, number, env_id});
}

// ---- ack --------------------------------------------------------------------------------------------------

Bytes unsigned_ack(const Ack& a) {
  TRAM_CHECK(a.suite == suite_1 && a.seen.size() <= queues_seen_max && valid_time(a.time));
  TRAM_CHECK(static_cast<uint8_t>(a.lane) < lane_count);
  Bytes out = reserved(ack_fixed_bytes + queue_seen_bytes * a.seen.size());
  Writer writer(out);
  writer.raw("EDXA").u16(a.suite).raw(a.realm).raw(a.env_id).raw(a.doc_id).raw(a.sender).raw(a.recipient);
  writer.u8(static_cast<uint8_t>(a.lane)).u32(a.inc).u64(a.seq).u32(a.rinc).u64(a.time.wire());
  write_u8(writer, a.clock_ok);
  writer.u8(static_cast<uint8_t>(a.seen.size()));
  for (const QueueSeen& queue : a.seen) writer.raw(queue.broker).u64(queue.position).raw(queue.head);
  return out;
}

Bytes encode_ack(Ack& a, const SigningKey& key) {
  Bytes out = unsigned_ack(a);
  append_signature(out, ack_label, key, a.id, a.signature);
  return out;
}

Result<Ack> decode_ack(BytesView bytes) {
  TRAM_OK(check_start(bytes, "EDXA", "ack"));
  if (bytes.size() < ack_fixed_bytes + Signature::size) return bad_length("ack");
  size_t queues = bytes[ack_fixed_bytes - 1];
  if (queues > queues_seen_max) return bad_field("ack");
  size_t unsigned_bytes = ack_fixed_bytes + queue_seen_bytes * queues;
  if (bytes.size() != unsigned_bytes + Signature::size) return bad_length("ack");
  Fields in(bytes);
  Ack a;
  in.raw(4);
  a.suite = in.u16();
  in.id(a.realm);
  in.id(a.env_id);
  in.id(a.doc_id);
  in.id(a.sender);
  in.id(a.recipient);
  in.lane(a.lane);
  a.inc = in.u32();
  a.seq = in.u64();
  a.rinc = in.u32();
  in.time(a.time);
  in.flag(a.clock_ok);
  in.u8();
  a.seen.resize(queues);
  for (QueueSeen& queue : a.seen) {
    in.id(queue.broker);
    queue.position = in.u64();
    in.id(queue.head);
  }
  in.id(a.signature);
  if (!in.finish()) return bad_field("ack");
  a.id = hash(ack_label, {bytes.first(unsigned_bytes)});
  return a;
}

bool verify_ack(const Ack& a, const SigPublic& recipient) { return verify(recipient, ack_label, a.id, a.signature); }

// ---- notice -----------------------------------------------------------------------------------------------

Bytes unsigned_notice(const Notice& n) {
  TRAM_CHECK(n.suite == suite_1 && known_notice(static_cast<uint8_t>(n.kind)) && valid_time(n.time));
  TRAM_CHECK(static_cast<uint8_t>(n.lane) < lane_count);
  Bytes out = reserved(notice_unsigned_bytes);
  Writer writer(out);
  writer.raw("EDXN").u16(n.suite).u8(static_cast<uint8_t>(n.kind)).u16(n.reason).raw(n.realm).raw(n.issuer).raw(n.other);
  writer.raw(n.env_id).raw(n.doc_id).u8(static_cast<uint8_t>(n.lane)).u32(n.inc).u64(n.seq).u64(n.time.wire());
  write_u8(writer, n.clock_ok);
  return out;
}

Bytes encode_notice(Notice& n, const SigningKey& key) {
  Bytes out = unsigned_notice(n);
  append_signature(out, notice_label, key, n.id, n.signature);
  return out;
}

Result<Notice> decode_notice(BytesView bytes) {
  TRAM_OK(check_start(bytes, "EDXN", "notice"));
  if (bytes.size() != notice_unsigned_bytes + Signature::size) return bad_length("notice");
  Fields in(bytes);
  Notice n;
  in.raw(4);
  n.suite = in.u16();
  uint8_t kind = in.u8();
  in.require(known_notice(kind));
  n.kind = static_cast<NoticeKind>(kind);
  n.reason = in.u16();
  in.id(n.realm);
  in.id(n.issuer);
  in.id(n.other);
  in.id(n.env_id);
  in.id(n.doc_id);
  in.lane(n.lane);
  n.inc = in.u32();
  n.seq = in.u64();
  in.time(n.time);
  in.flag(n.clock_ok);
  in.id(n.signature);
  if (!in.finish()) return bad_field("notice");
  n.id = hash(notice_label, {bytes.first(notice_unsigned_bytes)});
  return n;
}

bool verify_notice(const Notice& n, const SigPublic& issuer) { return verify(issuer, notice_label, n.id, n.signature); }

EnvelopeId rinc_field(uint32_t rinc) {
  EnvelopeId field;
  Bytes number;
  Writer(number).u32(rinc);
  std::copy(number.begin(), number.end(), field.bytes.begin());
  return field;
}

Result<uint32_t> rinc_of(const EnvelopeId& field) {
  const uint32_t rinc = Reader(BytesView(field.bytes).first(4)).u32();
  if (rinc == 0 || rinc_field(rinc) != field) return fail(ErrorCode::bad_format, "rinc");
  return rinc;
}

// ---- receipt ----------------------------------------------------------------------------------------------

bool is_receipt_text(std::string_view text) {
  return text.size() <= limits::receipt_text_bytes_max && well_formed_utf8(view(text));
}

Bytes unsigned_receipt(const Receipt& r) {
  TRAM_CHECK(r.suite == suite_1 && known_event(static_cast<uint16_t>(r.event)) && valid_time(r.time));
  TRAM_CHECK(is_receipt_text(r.text));
  Bytes out = reserved(receipt_fixed_bytes + r.text.size());
  Writer writer(out);
  writer.raw("EDXR").u16(r.suite).u16(static_cast<uint16_t>(r.event)).u16(r.reason).raw(r.realm).raw(r.env_id);
  writer.raw(r.doc_id).raw(r.sender).raw(r.recipient).u32(r.inc).u64(r.seq).u32(r.rinc).u64(r.time.wire());
  write_u8(writer, r.clock_ok);
  writer.u64(r.dir_size).raw(r.dir_root).raw(r.custody_seen).raw(r.answers).raw(r.issuer).raw(r.issuer_key);
  writer.u64(r.log_index).u16(static_cast<uint16_t>(r.text.size())).raw(std::string_view(r.text));
  return out;
}

Bytes encode_receipt(Receipt& r, const SigningKey& key) {
  Bytes out = unsigned_receipt(r);
  append_signature(out, receipt_label, key, r.id, r.signature);
  return out;
}

Result<Receipt> decode_receipt(BytesView bytes) {
  TRAM_OK(check_start(bytes, "EDXR", "receipt"));
  if (bytes.size() < receipt_fixed_bytes + Signature::size) return bad_length("receipt");
  size_t text_bytes = size_t{bytes[receipt_fixed_bytes - 2]} << 8 | bytes[receipt_fixed_bytes - 1];
  if (text_bytes > limits::receipt_text_bytes_max) return bad_field("receipt");
  size_t unsigned_bytes = receipt_fixed_bytes + text_bytes;
  if (bytes.size() != unsigned_bytes + Signature::size) return bad_length("receipt");
  Fields in(bytes);
  Receipt r;
  in.raw(4);
  r.suite = in.u16();
  uint16_t event = in.u16();
  in.require(known_event(event));
  r.event = static_cast<ReceiptEvent>(event);
  r.reason = in.u16();
  in.id(r.realm);
  in.id(r.env_id);
  in.id(r.doc_id);
  in.id(r.sender);
  in.id(r.recipient);
  r.inc = in.u32();
  r.seq = in.u64();
  r.rinc = in.u32();
  in.time(r.time);
  in.flag(r.clock_ok);
  r.dir_size = in.u64();
  in.id(r.dir_root);
  in.id(r.custody_seen);
  in.id(r.answers);
  in.id(r.issuer);
  in.id(r.issuer_key);
  r.log_index = in.u64();
  in.u16();
  r.text = to_text(in.raw(text_bytes));
  in.require(is_receipt_text(r.text));
  in.id(r.signature);
  if (!in.finish()) return bad_field("receipt");
  r.id = hash(receipt_label, {bytes.first(unsigned_bytes)});
  return r;
}

bool verify_receipt(const Receipt& r, const SigPublic& issuer) { return verify(issuer, receipt_label, r.id, r.signature); }

Hash answers_hash(BytesView envelope_bytes) { return hash("edx1/answers", {envelope_bytes}); }

}  // namespace tram::crypto
