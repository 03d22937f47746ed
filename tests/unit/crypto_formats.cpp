// Properties of the fixed layouts: round trips, every single bit flip is found, keys and labels are kept apart.
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "base/limits.h"
#include "crypto/container.h"
#include "crypto/formats.h"
#include "tests/unit/crypto_support.h"

using namespace tram;
using namespace tram::crypto;
using namespace tram::test;

namespace {

SigningKey test_key(uint8_t value) { return SigningKey(Secret32(repeated(value, 32))); }

Time random_time(Random& random) {
  return {static_cast<int64_t>(Reader(random_bytes(random, 8)).u64() % 253402300800000)};
}
uint64_t number(Random& random) { return Reader(random_bytes(random, 8)).u64(); }
uint32_t small_number(Random& random) { return static_cast<uint32_t>(number(random)); }
Lane random_lane(Random& random) { return static_cast<Lane>(number(random) % lane_count); }

Header random_header(Random& random) {
  Header h;
  h.realm = random.id<RealmId>();
  h.sender = random.id<PartyId>();
  h.doc_uuid = random.id<DocUuid>();
  h.manifest_id = random.id<ManifestId>();
  h.padded_bytes = padded_size(number(random) % limits::document_bytes_max, limits::inline_body_bytes_max);
  h.chunks = chunk_count(h.padded_bytes);
  h.commit = random.id<Hash>();
  h.recipients_root = random.id<Hash>();
  h.created = random_time(random);
  h.not_after = random_time(random);
  h.meta_commit = random.id<Hash>();
  h.enc_metadata = random_bytes(random, limits::enc_metadata_bytes);
  return h;
}

Envelope random_envelope(Random& random) {
  Envelope e;
  e.type = number(random) % 2 ? EnvelopeType::document : EnvelopeType::control;
  e.lane = random_lane(random);
  e.realm = random.id<RealmId>();
  e.sender = random.id<PartyId>();
  e.recipient = random.id<PartyId>();
  e.inc = small_number(random);
  random.fill(e.re_of);
  e.seq = number(random) | 1;
  e.prev = random.id<EnvelopeId>();
  e.doc_id = random.id<DocId>();
  e.officer_blob_id = random.id<BlobId>();
  e.recipient_kx = random.id<KeyId>();
  random.fill(e.psk_tag);
  e.created = random_time(random);
  e.not_after = random_time(random);
  e.dir_size = number(random);
  e.dir_root = random.id<Hash>();
  random.fill(e.enc);
  random.fill(e.ct);
  return e;
}

Custody random_custody(Random& random) {
  Custody c;
  c.realm = random.id<RealmId>();
  c.broker = random.id<PartyId>();
  c.epoch = random.id<Epoch>();
  c.env_id = random.id<EnvelopeId>();
  c.doc_id = random.id<DocId>();
  c.chunks = small_number(random);
  c.body_bytes = number(random);
  c.recipient = random.id<PartyId>();
  c.position = number(random) | 1;
  c.queue_head = random.id<Hash>();
  c.time = random_time(random);
  c.clock_ok = number(random) % 2;
  c.log_size = number(random);
  return c;
}

Ack random_ack(Random& random) {
  Ack a;
  a.realm = random.id<RealmId>();
  a.env_id = random.id<EnvelopeId>();
  a.doc_id = random.id<DocId>();
  a.sender = random.id<PartyId>();
  a.recipient = random.id<PartyId>();
  a.lane = random_lane(random);
  a.inc = small_number(random);
  a.seq = number(random);
  a.rinc = small_number(random);
  a.time = random_time(random);
  a.clock_ok = number(random) % 2;
  a.seen.resize(number(random) % (queues_seen_max + 1));
  for (QueueSeen& queue : a.seen) queue = {random.id<PartyId>(), number(random), random.id<Hash>()};
  return a;
}

Notice random_notice(Random& random) {
  Notice n;
  n.kind = static_cast<NoticeKind>(1 + number(random) % 8);
  n.reason = static_cast<uint16_t>(number(random));
  n.realm = random.id<RealmId>();
  n.issuer = random.id<PartyId>();
  n.other = random.id<PartyId>();
  n.env_id = random.id<EnvelopeId>();
  n.doc_id = random.id<DocId>();
  n.lane = random_lane(random);
  n.inc = small_number(random);
  n.seq = number(random);
  n.time = random_time(random);
  n.clock_ok = number(random) % 2;
  return n;
}

Receipt random_receipt(Random& random) {
  static constexpr ReceiptEvent events[] = {ReceiptEvent::received, ReceiptEvent::refused, ReceiptEvent::registered,
      ReceiptEvent::assigned, ReceiptEvent::processing, ReceiptEvent::done, ReceiptEvent::change_agreed,
      ReceiptEvent::change_refused, ReceiptEvent::rejected};
  Receipt r;
  r.event = events[number(random) % std::size(events)];
  r.reason = static_cast<uint16_t>(number(random));
  r.realm = random.id<RealmId>();
  r.env_id = random.id<EnvelopeId>();
  r.doc_id = random.id<DocId>();
  r.sender = random.id<PartyId>();
  r.recipient = random.id<PartyId>();
  r.inc = small_number(random);
  r.seq = number(random);
  r.rinc = small_number(random);
  r.time = random_time(random);
  r.clock_ok = number(random) % 2;
  r.dir_size = number(random);
  r.dir_root = random.id<Hash>();
  r.custody_seen = random.id<Hash>();
  r.answers = random.id<Hash>();
  r.issuer = random.id<PartyId>();
  r.issuer_key = random.id<KeyId>();
  r.log_index = number(random);
  static constexpr std::string_view letters[] = {"a", "ư", "ế", "𠀀"};
  for (size_t n = number(random) % 300; n > 0; --n) r.text += letters[number(random) % 4];
  r.text.resize(r.text.size() > limits::receipt_text_bytes_max ? 0 : r.text.size());
  return r;
}

/// Round trip; the signature holds for its key alone; nothing of another length decodes; any one bit changed is found.
template <class Make, class Encode, class Decode, class Verify>
void check_layout(const char* name, Make make, Encode encode, Decode decode, Verify verify_object) {
  SigningKey key = test_key(1), other = test_key(2);
  rc::prop(std::string(name) + ": round trip", [&](uint64_t seed) {
    SeededRandom random(seed);
    auto object = make(random);
    Bytes bytes = encode(object, key);
    auto decoded = decode(bytes);
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(decoded->id == object.id);
    RC_ASSERT(verify_object(*decoded, key.public_key()));
    RC_ASSERT(!verify_object(*decoded, other.public_key()));
    RC_ASSERT(encode(*decoded, key) == bytes);
  });
  rc::prop(std::string(name) + ": another length is refused", [&](uint64_t seed, uint16_t cut) {
    SeededRandom random(seed);
    auto object = make(random);
    Bytes bytes = encode(object, key);
    RC_ASSERT(!decode(BytesView(bytes).first(cut % bytes.size())));
    bytes.resize(bytes.size() + 1 + cut % 700);
    RC_ASSERT(!decode(bytes));
  });
  SeededRandom random(7);
  auto object = make(random);
  Bytes bytes = encode(object, key);
  // Headers are long: every bit of the fields and of the ends, one bit of each byte between.
  size_t passed = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    if (bytes.size() > 2000 && bit / 8 > 300 && bit / 8 < bytes.size() - 100 && bit % 8 != (bit / 8) % 8) continue;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    auto decoded = decode(bytes);
    if (decoded && verify_object(*decoded, key.public_key())) ++passed;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  INFO(name);
  CHECK(passed == 0);
}

}  // namespace

TEST_CASE("header layout") { check_layout("header", random_header, encode_header, decode_header, verify_header); }
TEST_CASE("envelope layout") {
  check_layout("envelope", random_envelope, encode_envelope, decode_envelope, verify_envelope);
}
TEST_CASE("custody layout") { check_layout("custody", random_custody, encode_custody, decode_custody, verify_custody); }
TEST_CASE("ack layout") { check_layout("ack", random_ack, encode_ack, decode_ack, verify_ack); }
TEST_CASE("notice layout") { check_layout("notice", random_notice, encode_notice, decode_notice, verify_notice); }
TEST_CASE("receipt layout") { check_layout("receipt", random_receipt, encode_receipt, decode_receipt, verify_receipt); }

TEST_CASE("sizes on the wire") {
  SeededRandom random(1);
  SigningKey key = test_key(1);
  Header header = random_header(random);
  Envelope envelope = random_envelope(random);
  Custody custody = random_custody(random);
  Notice notice = random_notice(random);
  CHECK(encode_header(header, key).size() == limits::header_bytes_max);
  CHECK(encode_envelope(envelope, key).size() == limits::envelope_bytes);
  CHECK(encode_custody(custody, key).size() == 283);
  CHECK(encode_notice(notice, key).size() == 223);
  Ack ack;
  CHECK(encode_ack(ack, key).size() == 225);
  Receipt receipt;
  CHECK(encode_receipt(receipt, key).size() == 365);
}

TEST_CASE("unsigned bytes signed later are the object") {
  SeededRandom random(3);
  SigningKey key = test_key(5);
  Custody custody = random_custody(random);
  Ack ack = random_ack(random);
  Notice notice = random_notice(random);
  Receipt receipt = random_receipt(random);
  CHECK(sign_object(custody_label, unsigned_custody(custody), key) == encode_custody(custody, key));
  CHECK(sign_object(ack_label, unsigned_ack(ack), key) == encode_ack(ack, key));
  CHECK(sign_object(notice_label, unsigned_notice(notice), key) == encode_notice(notice, key));
  CHECK(sign_object(receipt_label, unsigned_receipt(receipt), key) == encode_receipt(receipt, key));
}

TEST_CASE("an object's signature is no other object's") {
  SigningKey key = test_key(1);
  Hash object = filled<Hash>(9);
  Signature signature = key.sign("edx1/ack", object);
  CHECK(verify(key.public_key(), "edx1/ack", object, signature));
  CHECK(!verify(key.public_key(), "edx1/rcpt", object, signature));
  CHECK(!verify(key.public_key(), "edx1/ac", object, signature));
  CHECK(!verify(key.public_key(), "edx1/ack", filled<Hash>(8), signature));

  // The message of an object's signature cannot be offered as a note, nor signed as one.
  LogKey log_key{Secret32(repeated(1, 32))};
  Bytes message;
  Writer(message).label("edx1/sig").label("edx1/ack").raw(object);
  CHECK(!verify_note(log_key.public_key(), message, signature));
  Bytes text = to_bytes("origin\n1\nroot\n");
  CHECK(verify_note(log_key.public_key(), text, log_key.sign_note(text)));
  CHECK(!verify_note(log_key.public_key(), to_bytes("origin\n2\nroot\n"), log_key.sign_note(text)));
  CHECK(!verify_note(log_key.public_key(), {}, signature));
}

TEST_CASE("keys that enrolment refuses") {
  CHECK(is_valid_signing_key(test_key(3).public_key()));
  CHECK(!is_valid_signing_key(Bytes(32)));
  CHECK(!is_valid_signing_key(repeated(0xff, 32)));
  CHECK(!is_valid_signing_key(Bytes(31)));
  Bytes identity(32);
  identity[0] = 1;
  CHECK(!is_valid_signing_key(identity));
}

TEST_CASE("the same key has another id for another kind") {
  Bytes key = repeated(4, 32);
  CHECK(key_id(KeyKind::sig, key) != key_id(KeyKind::log, key));
  CHECK(key_id(KeyKind::kx, key) != key_id(KeyKind::curve, key));
}

TEST_CASE("manifests") {
  rc::prop("round trip and chunk sizes", [](uint32_t megabytes, uint32_t more, uint64_t seed) {
    SeededRandom random(seed);
    Manifest manifest;
    manifest.padded_bytes = padded_size(uint64_t{megabytes % 64} * 1000003 + more % 4096, 0);
    uint32_t count = chunk_count(manifest.padded_bytes);
    uint64_t sealed = 0;
    for (uint32_t i = 0; i < count; ++i) manifest.chunks.push_back(random.id<ChunkId>());
    for (uint32_t i = 0; i < count; ++i) sealed += sealed_chunk_size(manifest, i);
    RC_ASSERT(sealed == manifest.padded_bytes + 16 * uint64_t{count});
    Bytes bytes = encode_manifest(manifest);
    auto decoded = decode_manifest(bytes);
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(decoded->padded_bytes == manifest.padded_bytes);
    RC_ASSERT(decoded->chunks == manifest.chunks);
    bytes.push_back(0);
    RC_ASSERT(!decode_manifest(bytes));
  });
  CHECK(chunk_count(0) == 0);
  CHECK(chunk_count(limits::chunk_bytes) == 1);
  CHECK(chunk_count(limits::chunk_bytes + 1) == 2);
  CHECK(chunk_count(UINT64_MAX) == UINT32_MAX);
  CHECK(chunk_count(padded_size(limits::document_bytes_max, 0)) == limits::chunks_per_body_max);
}

TEST_CASE("padme") {
  rc::prop("covers, wastes at most 12 %, and is its own padme", [](uint64_t bytes) {
    bytes %= uint64_t{1} << 40;
    uint64_t padded = padme(bytes);
    RC_ASSERT(padded >= bytes);
    RC_ASSERT(padded - bytes <= bytes * 12 / 100 + 1);
    RC_ASSERT(padme(padded) == padded);
  });
  CHECK(padded_size(0, 0) == 1024);
  CHECK(padded_size(0, 65536) == 65536);
  CHECK(padded_size(65530, 65536) == padme(65538));
}

TEST_CASE("containers") {
  rc::prop("round trip", [](const std::vector<uint8_t>& header, const std::vector<uint8_t>& files) {
    Bytes bytes = container_prefix(header);
    size_t prefix_bytes = bytes.size();
    Writer(bytes).raw(files);
    auto parsed = parse_container_prefix(bytes);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(equal(parsed->header, header));
    RC_ASSERT(parsed->content_offset == prefix_bytes);
    RC_ASSERT(!parse_container_prefix(BytesView(bytes).first(prefix_bytes - 1)));
  });
  Bytes most(container_header_bytes_max);
  CHECK(parse_container_prefix(container_prefix(most))->header.size() == most.size());
  CHECK(parse_body_prefix(body_prefix(5), 1024).value() == 5);
  CHECK(parse_body_prefix(body_prefix(1016), 1024).value() == 1016);
  CHECK(!parse_body_prefix(body_prefix(1017), 1024));
  CHECK(!parse_body_prefix(body_prefix(UINT64_MAX), 1024));
  CHECK(!parse_body_prefix(Bytes(7), 1024));
  CHECK(!parse_body_prefix(body_prefix(0), 7));
  CHECK(is_padding(Bytes(100)));
  CHECK(!is_padding(repeated(1, 1)));
}

TEST_CASE("hashes agree however the input is cut") {
  rc::prop("parts, stream, label", [](const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
    Bytes both = a;
    Writer(both).raw(b);
    Hash expected = hash("edx1/test", {both});
    RC_ASSERT(hash("edx1/test", {a, b}) == expected);
    Hasher hasher("edx1/test");
    hasher.update(a);
    hasher.update(b);
    RC_ASSERT(hasher.finish() == expected);
    RC_ASSERT(hash("edx1/tess", {both}) != expected);
    Sha256 stream;
    stream.update(a);
    stream.update(b);
    RC_ASSERT(stream.finish() == sha256({both}));
  });
  CHECK(sha256({view("abc")}).hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("secrets move and do not linger") {
  Secret32 a(repeated(7, 32));
  Secret32 b = std::move(a);
  CHECK(equal(a.view(), Bytes(32)));
  CHECK(equal(b.view(), repeated(7, 32)));
  Secret32 c = b.clone();
  CHECK(secret_equal(b.view(), c.view()));
  SecretBytes d(repeated(9, 5)), e;
  e = std::move(d);
  CHECK(equal(e.view(), repeated(9, 5)));
  CHECK(!secret_equal(e.view(), repeated(9, 4)));
}
