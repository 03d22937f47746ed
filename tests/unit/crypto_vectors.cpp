// The project's own vectors, tests/vectors/*.json: made by generate.py, which shares no code with crypto/.
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "crypto/container.h"
#include "crypto/detail/hpke.h"
#include "crypto/merkle.h"
#include "crypto/seal.h"
#include "tests/unit/crypto_support.h"

using namespace tram;
using namespace tram::crypto;
using namespace tram::test;
using Json = nlohmann::json;

namespace {

Json load(const std::string& name) {
  std::ifstream file(std::string(TRAM_SOURCE_DIR) + "/tests/vectors/" + name + ".json");
  REQUIRE(file.is_open());
  return Json::parse(file);
}

Bytes raw(const Json& value) { return hex(value.get<std::string>()); }
template <class Id>
Id id(const Json& value) { return *Id::from(raw(value)); }
template <size_t N>
std::array<uint8_t, N> array(const Json& value) {
  Bytes bytes = raw(value);
  REQUIRE(bytes.size() == N);
  std::array<uint8_t, N> out;
  std::memcpy(out.data(), bytes.data(), N);
  return out;
}
Time time(const Json& value) { return {value.get<int64_t>()}; }
Secret32 secret(const Json& value) { return Secret32(raw(value)); }
Lane lane(const Json& value) { return static_cast<Lane>(value.get<uint8_t>()); }

/// `bytes` with one of the vector's changes made to it.
Bytes changed(Bytes bytes, const Json& change) {
  if (change.contains("truncate")) bytes.resize(bytes.size() - change["truncate"].get<size_t>());
  if (change.contains("append")) Writer(bytes).raw(raw(change["append"]));
  if (change.contains("append_zeros")) bytes.resize(bytes.size() + change["append_zeros"].get<size_t>());
  if (change.contains("at")) {
    Bytes set = raw(change["set"]);
    size_t at = change["at"].get<size_t>();
    REQUIRE(at + set.size() <= bytes.size());
    std::memcpy(bytes.data() + at, set.data(), set.size());
  }
  return bytes;
}

/// Every change in must_reject makes `parse` fail with the error named.
void must_reject(const Json& vector, const Bytes& good, const std::function<std::optional<Error>(BytesView)>& parse) {
  REQUIRE(!parse(good));
  REQUIRE(vector["must_reject"].size() >= 5);
  for (const Json& change : vector["must_reject"]) {
    INFO(change["why"].get<std::string>());
    auto error = parse(changed(good, change));
    REQUIRE(error);
    CHECK(error_info(error->code).name == change["error"].get<std::string>());
  }
}

template <class T>
std::optional<Error> error_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional<Error>(result.error());
}

/// A signed object: encoding the fields gives the bytes, decoding the bytes gives id and signature, mutations fail.
template <class Object, class Encode, class Decode, class Verify>
void check_object(const Json& vector, Object& object, Encode encode, Decode decode, Verify verify_object) {
  SigningKey key(secret(vector["seed"]));
  CHECK(equal(key.public_key(), raw(vector["public_key"])));
  Bytes bytes = raw(vector["bytes"]);
  CHECK(to_hex(encode(object, key)) == to_hex(bytes));
  CHECK(to_hex(object.id) == vector["id"].get<std::string>());
  auto decoded = decode(bytes);
  REQUIRE(decoded);
  CHECK(decoded->id == object.id);
  CHECK(decoded->signature == object.signature);
  CHECK(verify_object(*decoded, key.public_key()));
  CHECK(encode(*decoded, key) == bytes);
  must_reject(vector, bytes, [&](BytesView changed_bytes) { return error_of(decode(changed_bytes)); });
}

}  // namespace

TEST_CASE("known answers of the protocol's design") {
  Json vector = load("known_answers");
  SECTION("body") {
    const Json& v = vector["body"];
    BodyContext context{id<RealmId>(v["realm"]), id<PartyId>(v["sender"]), id<DocUuid>(v["doc_uuid"])};
    CHECK(context.value().hex() == v["ctx"]);
    BodyKeys keys(secret(v["document_key"]), context);
    CHECK(keys.commit().hex() == v["commit"]);
    auto manifest_of = [&](const Bytes& container) {
      Manifest manifest;
      manifest.padded_bytes = padded_size(container.size(), 0);
      Bytes plain;
      Writer(plain).raw(body_prefix(container.size())).raw(container);
      plain.resize(manifest.padded_bytes);
      uint32_t count = chunk_count(manifest.padded_bytes);
      for (uint32_t i = 0; i < count; ++i) {
        size_t begin = size_t{i} * limits::chunk_bytes;
        BytesView part = BytesView(plain).subspan(begin, std::min(limits::chunk_bytes, plain.size() - begin));
        Bytes sealed(part.size() + 16);
        keys.seal_chunk(i, i + 1 == count, part, sealed);
        manifest.chunks.push_back(chunk_id(sealed));
      }
      return manifest;
    };
    Bytes container(v["container_bytes"].get<size_t>());
    for (size_t i = 0; i < container.size(); ++i) container[i] = static_cast<uint8_t>(31 * i + 7);
    Manifest manifest = manifest_of(container);
    CHECK(manifest.padded_bytes == v["padded_bytes"]);
    REQUIRE(manifest.chunks.size() == 2);
    CHECK(manifest.chunks[0].hex() == v["chunk_ids"][0]);
    CHECK(manifest.chunks[1].hex() == v["chunk_ids"][1]);
    CHECK(manifest_id(encode_manifest(manifest)).hex() == v["manifest_id"]);
    CHECK(manifest_id(encode_manifest(manifest_of(repeated(0x61, 5)))).hex() == v["manifest_id_of_five_a"]);
  }
  SECTION("envelope in mode_psk with a given tag") {
    const Json& v = vector["envelope"];
    KxKeyPair recipient = detail::derive_key_pair(raw(v["ikm_r"]));
    Envelope e;
    e.lane = Lane::urgent;
    e.realm = filled<RealmId>(0xaa);
    e.sender = filled<PartyId>(1);
    e.recipient = filled<PartyId>(3);
    e.inc = 1;
    e.seq = 7;
    e.prev = filled<EnvelopeId>(4);
    e.doc_id = filled<DocId>(5);
    e.recipient_kx = filled<KeyId>(6);
    e.psk_tag.fill(7);
    e.created = {1700000000000};
    e.not_after = {1702592000000};
    e.dir_size = 3355;
    e.dir_root = filled<Hash>(8);
    REQUIRE(detail::wrap_with(e, secret(v["document_key"]), recipient.public_key, raw(v["psk"]), raw(v["ikm_e"])));
    CHECK(to_hex(e.enc) == v["enc"]);
    CHECK(to_hex(e.ct) == v["ct"]);
    SigningKey key(secret(v["seed"]));
    CHECK(to_hex(encode_envelope(e, key)) == v["bytes"]);
    CHECK(e.id.hex() == v["env_id"]);
    CHECK(e.signature.hex() == v["signature"]);
  }
  SECTION("padme") {
    for (const Json& pair : vector["padme"]) CHECK(padme(pair[0].get<uint64_t>()) == pair[1].get<uint64_t>());
  }
}

TEST_CASE("HPKE vectors of RFC 9180 A.2, base and psk") {
  size_t checked = 0;
  Json vector = load("hpke_rfc9180");
  for (const Json& mode : vector["modes"]) {
    KxKeyPair ephemeral = detail::derive_key_pair(raw(mode["ikmE"]));
    KxKeyPair recipient = detail::derive_key_pair(raw(mode["ikmR"]));
    CHECK(ephemeral.public_key.hex() == mode["pkEm"]);
    CHECK(recipient.public_key.hex() == mode["pkRm"]);
    CHECK(to_hex(recipient.secret.view()) == mode["skRm"]);
    Bytes info = raw(mode["info"]);
    std::optional<Bytes> psk_key, psk_id;
    std::optional<Psk> psk;
    if (mode["mode"] == 1) {
      psk_key = raw(mode["psk"]);
      psk_id = raw(mode["psk_id"]);
      psk = Psk{*psk_key, *psk_id};
    }
    auto sender = detail::setup_sender(recipient.public_key, info, psk ? &*psk : nullptr, ephemeral);
    REQUIRE(sender);
    CHECK(to_hex(sender->enc) == mode["enc"]);
    CHECK(to_hex(sender->context.key.view()) == mode["key"]);
    CHECK(to_hex(sender->context.base_nonce) == mode["base_nonce"]);
    CHECK(to_hex(sender->context.exporter_secret.view()) == mode["exporter_secret"]);
    auto receiver = detail::setup_receiver(recipient, sender->enc, info, psk ? &*psk : nullptr);
    REQUIRE(receiver);
    for (const Json& v : mode["encryptions"]) {
      Bytes plain = raw(v["pt"]), sealed(plain.size() + 16);
      sender->context.seal(v["sequence"], raw(v["aad"]), plain, sealed);
      CHECK(to_hex(sealed) == v["ct"]);
      auto opened = receiver->open(v["sequence"], raw(v["aad"]), sealed);
      REQUIRE(opened);
      CHECK(equal(opened->view(), plain));
      CHECK(!receiver->open(v["sequence"].get<uint64_t>() + 1, raw(v["aad"]), sealed));
      ++checked;
    }
    for (const Json& v : mode["exports"]) {
      CHECK(to_hex(receiver->export_secret(raw(v["context"]), v["length"]).view()) == v["value"]);
    }
    ScriptedRandom random(raw(mode["ikmE"]));
    const Json& first = mode["encryptions"][0];
    auto once = psk ? hpke_seal_psk(recipient.public_key, info, raw(first["aad"]), raw(first["pt"]), *psk, random)
                    : hpke_seal(recipient.public_key, info, raw(first["aad"]), raw(first["pt"]), random);
    REQUIRE(once);
    CHECK(to_hex(once->ct) == first["ct"]);
  }
  CHECK(checked == 12);
}

TEST_CASE("header vector") {
  Json v = load("header");
  const Json& f = v["fields"];
  Header h;
  h.realm = id<RealmId>(f["realm"]);
  h.sender = id<PartyId>(f["sender"]);
  h.doc_uuid = id<DocUuid>(f["doc_uuid"]);
  h.manifest_id = id<ManifestId>(f["manifest_id"]);
  h.padded_bytes = f["padded_bytes"];
  h.chunks = f["chunks"];
  h.commit = id<Hash>(f["commit"]);
  h.recipients_root = id<Hash>(f["recipients_root"]);
  h.created = time(f["created"]);
  h.not_after = time(f["not_after"]);
  h.meta_commit = id<Hash>(f["meta_commit"]);
  BodyKeys keys(secret(v["document_key"]), {h.realm, h.sender, h.doc_uuid});
  h.enc_metadata = keys.seal_metadata(raw(v["metadata"])).value();
  check_object(v, h, encode_header, decode_header, verify_header);

  CHECK(keys.commit() == h.commit);
  CHECK(keys.meta_commit() == h.meta_commit);
  std::vector<PartyId> recipients;
  for (const Json& name : v["recipients"]) recipients.push_back(id<PartyId>(name));
  CHECK(keys.recipients_root(recipients) == h.recipients_root);
  auto metadata = keys.open_metadata(h.enc_metadata);
  REQUIRE(metadata);
  CHECK(*metadata == raw(v["metadata"]));
  for (const Json& bad : v["metadata_must_reject"]) {
    INFO(bad["why"].get<std::string>());
    auto refused = keys.open_metadata(raw(bad["bytes"]));
    REQUIRE(!refused);
    CHECK(error_info(refused.error().code).name == bad["error"].get<std::string>());
  }
}

TEST_CASE("manifest vector") {
  Json v = load("manifest");
  BodyKeys keys(secret(v["document_key"]), {id<RealmId>(v["realm"]), id<PartyId>(v["sender"]), id<DocUuid>(v["doc_uuid"])});
  Bytes bytes = raw(v["bytes"]), chunk = raw(v["chunk"]);
  auto manifest = decode_manifest(bytes);
  REQUIRE(manifest);
  CHECK(encode_manifest(*manifest) == bytes);
  CHECK(manifest_id(bytes).hex() == v["id"]);
  CHECK(manifest->padded_bytes == v["padded_bytes"]);
  REQUIRE(manifest->chunks.size() == 1);
  CHECK(chunk_id(chunk) == manifest->chunks[0]);
  CHECK(sealed_chunk_size(*manifest, 0) == chunk.size());
  Bytes plain(chunk.size() - 16);
  REQUIRE(keys.open_chunk(0, true, chunk, plain));
  CHECK(parse_body_prefix(plain, manifest->padded_bytes).value() == 5);
  CHECK(equal(BytesView(plain).subspan(8, 5), repeated(0x61, 5)));
  CHECK(is_padding(BytesView(plain).subspan(13)));
  must_reject(v, bytes, [](BytesView b) { return error_of(decode_manifest(b)); });
}

TEST_CASE("envelope vector") {
  Json v = load("envelope");
  const Json& f = v["fields"];
  Envelope e;
  e.lane = lane(f["lane"]);
  e.realm = id<RealmId>(f["realm"]);
  e.sender = id<PartyId>(f["sender"]);
  e.recipient = id<PartyId>(f["recipient"]);
  e.inc = f["inc"];
  e.re_of = array<4>(f["re_of"]);
  e.seq = f["seq"];
  e.prev = id<EnvelopeId>(f["prev"]);
  e.doc_id = id<DocId>(f["doc_id"]);
  e.officer_blob_id = id<BlobId>(f["officer_blob_id"]);
  e.recipient_kx = id<KeyId>(f["recipient_kx"]);
  e.created = time(f["created"]);
  e.not_after = time(f["not_after"]);
  e.dir_size = f["dir_size"];
  e.dir_root = id<Hash>(f["dir_root"]);
  KxKeyPair recipient = detail::derive_key_pair(raw(v["ikm_r"]));
  CHECK(key_id(KeyKind::kx, recipient.public_key) == e.recipient_kx);
  Envelope with_psk = e;

  ScriptedRandom random(raw(v["random"]));
  REQUIRE(wrap_key(e, secret(v["document_key"]), recipient.public_key, random));
  CHECK(random.used_up());
  check_object(v, e, encode_envelope, decode_envelope, verify_envelope);
  auto decoded = decode_envelope(raw(v["bytes"]));
  std::vector<SecretBytes> psks;
  psks.emplace_back(raw(v["psk"]["psk"]));
  CHECK(equal(unwrap_key(*decoded, recipient)->view(), raw(v["document_key"])));
  CHECK(equal(unwrap_key(*decoded, recipient, psks)->view(), raw(v["document_key"])));

  ScriptedRandom psk_random(raw(v["psk"]["random"]));
  REQUIRE(wrap_key_psk(with_psk, secret(v["document_key"]), recipient.public_key, raw(v["psk"]["psk"]), psk_random));
  CHECK(to_hex(with_psk.psk_tag) == v["psk"]["tag"]);
  CHECK(to_hex(with_psk.enc) == v["psk"]["enc"]);
  CHECK(to_hex(with_psk.ct) == v["psk"]["ct"]);
  CHECK(equal(unwrap_key(with_psk, recipient, psks)->view(), raw(v["document_key"])));
  CHECK(!unwrap_key(with_psk, recipient));
}

TEST_CASE("custody vector") {
  Json v = load("custody");
  const Json& f = v["fields"];
  Custody c;
  c.realm = id<RealmId>(f["realm"]);
  c.broker = id<PartyId>(f["broker"]);
  c.epoch = id<Epoch>(f["epoch"]);
  c.env_id = id<EnvelopeId>(f["env_id"]);
  c.doc_id = id<DocId>(f["doc_id"]);
  c.chunks = f["chunks"];
  c.body_bytes = f["body_bytes"];
  c.recipient = id<PartyId>(f["recipient"]);
  c.position = f["position"];
  c.queue_head = id<Hash>(f["queue_head"]);
  c.time = time(f["time"]);
  c.clock_ok = f["clock_ok"];
  c.log_size = f["log_size"];
  CHECK(next_queue_head({}, 1, c.env_id) == c.queue_head);
  check_object(v, c, encode_custody, decode_custody, verify_custody);
  CHECK(sign_object(custody_label, unsigned_custody(c), SigningKey(secret(v["seed"]))) == raw(v["bytes"]));
}

TEST_CASE("ack vector") {
  Json v = load("ack");
  const Json& f = v["fields"];
  Ack a;
  a.realm = id<RealmId>(f["realm"]);
  a.env_id = id<EnvelopeId>(f["env_id"]);
  a.doc_id = id<DocId>(f["doc_id"]);
  a.sender = id<PartyId>(f["sender"]);
  a.recipient = id<PartyId>(f["recipient"]);
  a.lane = lane(f["lane"]);
  a.inc = f["inc"];
  a.seq = f["seq"];
  a.rinc = f["rinc"];
  a.time = time(f["time"]);
  a.clock_ok = f["clock_ok"];
  for (const Json& queue : f["seen"]) {
    a.seen.push_back({id<PartyId>(queue["broker"]), queue["position"], id<Hash>(queue["head"])});
  }
  check_object(v, a, encode_ack, decode_ack, verify_ack);
}

TEST_CASE("notice vector") {
  Json v = load("notice");
  const Json& f = v["fields"];
  Notice n;
  n.kind = static_cast<NoticeKind>(f["kind"].get<uint8_t>());
  n.reason = f["reason"];
  n.realm = id<RealmId>(f["realm"]);
  n.issuer = id<PartyId>(f["issuer"]);
  n.other = id<PartyId>(f["other"]);
  n.env_id = id<EnvelopeId>(f["env_id"]);
  n.doc_id = id<DocId>(f["doc_id"]);
  n.lane = lane(f["lane"]);
  n.inc = f["inc"];
  n.seq = f["seq"];
  n.time = time(f["time"]);
  n.clock_ok = f["clock_ok"];
  check_object(v, n, encode_notice, decode_notice, verify_notice);
}

TEST_CASE("receipt vector") {
  Json v = load("receipt");
  const Json& f = v["fields"];
  Receipt r;
  r.event = static_cast<ReceiptEvent>(f["event"].get<uint16_t>());
  r.reason = f["reason"];
  r.realm = id<RealmId>(f["realm"]);
  r.env_id = id<EnvelopeId>(f["env_id"]);
  r.doc_id = id<DocId>(f["doc_id"]);
  r.sender = id<PartyId>(f["sender"]);
  r.recipient = id<PartyId>(f["recipient"]);
  r.inc = f["inc"];
  r.seq = f["seq"];
  r.rinc = f["rinc"];
  r.time = time(f["time"]);
  r.clock_ok = f["clock_ok"];
  r.dir_size = f["dir_size"];
  r.dir_root = id<Hash>(f["dir_root"]);
  r.custody_seen = id<Hash>(f["custody_seen"]);
  r.answers = id<Hash>(f["answers"]);
  r.issuer = id<PartyId>(f["issuer"]);
  r.issuer_key = id<KeyId>(f["issuer_key"]);
  r.log_index = f["log_index"];
  r.text = f["text"];
  CHECK(answers_hash(raw(v["envelope"])) == r.answers);
  CHECK(key_id(KeyKind::sig, raw(v["public_key"])) == r.issuer_key);
  check_object(v, r, encode_receipt, decode_receipt, verify_receipt);
  CHECK(sign_object(receipt_label, unsigned_receipt(r), SigningKey(secret(v["seed"]))) == raw(v["bytes"]));
}

TEST_CASE("cell vector") {
  Json v = load("cell");
  KxKeyPair mine = detail::derive_key_pair(raw(v["ikm_r"]));
  ScriptedRandom random(raw(v["random"]));
  Bytes receipt = raw(v["receipt"]), bytes = raw(v["bytes"]);
  CHECK(seal_cell(receipt, mine.public_key, random).value() == bytes);
  CHECK(open_cell(bytes, mine).value() == receipt);
  CHECK(cell_key_id(bytes).value() == id<KeyId>(v["key_id"]));
  must_reject(v, bytes, [&](BytesView b) { return error_of(open_cell(b, mine)); });
}

TEST_CASE("key file vector") {
  Json v = load("key_file");
  auto parts = [](KeyRing& ring) {
    return std::map<std::string, Secret32*>{{"sig_seed", &ring.sig_seed}, {"log_seed", &ring.log_seed},
        {"curve_secret", &ring.curve_secret}, {"storage_key", &ring.storage_key}, {"hedge_secret", &ring.hedge_secret}};
  };
  KeyRing ring;
  for (auto& [name, part] : parts(ring)) *part = secret(v["ring"][name]);
  for (const Json& file : v["files"]) {
    Bytes bytes = raw(file["bytes"]), unlock = raw(file["secret"]);
    auto kind = static_cast<UnlockKind>(file["kind"].get<uint8_t>());
    ScriptedRandom random(raw(v["random"]));
    UnlockCost cost{file["operations"], file["memory_bytes"]};
    CHECK(to_hex(seal_key_file(ring, kind, unlock, cost, random).value()) == to_hex(bytes));
    CHECK(key_file_unlock_kind(bytes).value() == kind);
    auto opened = open_key_file(bytes, unlock);
    REQUIRE(opened);
    for (auto& [name, part] : parts(*opened)) CHECK(to_hex(part->view()) == v["ring"][name]);
    unlock[0] ^= 1;
    CHECK(open_key_file(bytes, unlock).error().code == ErrorCode::wrong_passphrase);
  }
  const Json& first = v["files"][0];
  Bytes unlock = raw(first["secret"]);
  must_reject(v, raw(first["bytes"]), [&](BytesView b) { return error_of(open_key_file(b, unlock)); });
}

TEST_CASE("value, index and slot vectors") {
  Json v = load("values");
  Secret32 key = secret(v["key"]);
  std::string name = v["table"];
  Table table{name};
  Bytes row = raw(v["row"]), plain = raw(v["plain"]), sealed = raw(v["sealed"]), maced = raw(v["maced"]);
  ScriptedRandom random(raw(v["random"]));
  auto seal = make_seal_codec(key, random);
  auto mac = make_mac_codec(key);
  CHECK(seal->encode(table, row, plain) == sealed);
  CHECK(mac->encode(table, row, plain) == maced);
  CHECK(mac->decode(table, row, maced).value() == plain);
  must_reject(v, sealed, [&](BytesView b) { return error_of(seal->decode(table, row, b)); });
  CHECK(index_key(key, v["index"]["label"].get<std::string>(), raw(v["index"]["data"])).hex() == v["index"]["hash"]);

  Bytes slot(v["slot"]["bytes"].get<size_t>()), sealed_slot(slot.size() + 16);
  for (size_t i = 0; i < slot.size(); ++i) slot[i] = static_cast<uint8_t>(7 * i);
  seal_slot(key, v["slot"]["number"], slot, sealed_slot);
  CHECK(sha256({sealed_slot}).hex() == v["slot"]["sealed_sha256"]);
  CHECK(to_hex(BytesView(sealed_slot).last(16)) == v["slot"]["tag"]);
}

TEST_CASE("container vector") {
  Json v = load("container");
  Bytes bytes = raw(v["bytes"]), header = raw(v["header"]);
  CHECK(container_prefix(header) == bytes);
  auto parsed = parse_container_prefix(bytes);
  REQUIRE(parsed);
  CHECK(equal(parsed->header, header));
  CHECK(parsed->content_offset == v["content_offset"]);
  Bytes more = bytes;
  more.resize(more.size() + 1000, 0xee);
  CHECK(parse_container_prefix(more)->content_offset == v["content_offset"]);
  must_reject(v, bytes, [](BytesView b) { return error_of(parse_container_prefix(b)); });
}

TEST_CASE("merkle vector") {
  Json v = load("merkle");
  std::vector<Hash> leaves;
  for (size_t n = 0; n <= v["leaves"].size(); ++n) {
    CHECK(merkle_root(leaves).hex() == v["roots"][n]);
    if (n < v["leaves"].size()) leaves.push_back(merkle_leaf(raw(v["leaves"][n])));
  }
  const Json& l = v["log_leaf"];
  CHECK(to_hex(log_leaf_data(l["kind"], l["index"], time(l["time"]), raw(l["salt"]), raw(l["entry"]))) == l["data"]);
}
