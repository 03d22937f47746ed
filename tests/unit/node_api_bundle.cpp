// Receipts of a document, their evidence bundles, and what becomes of a bundle that somebody changed.
#include "audit/bundle.h"
#include "tests/unit/node_api_fixture.h"

using namespace tram;
using namespace tram::node;
using namespace tram::node::test;

namespace {

/// An envelope from us around what was sealed, and its bytes.
std::pair<crypto::Envelope, Bytes> make_envelope(World& world, const proto::OutRecord& sealed,
                                                 const PartyId& recipient) {
  const auto& directory = *world.realm.directory;
  crypto::Envelope envelope;
  envelope.realm = directory.realm();
  envelope.sender = world.self.id;
  envelope.recipient = recipient;
  envelope.inc = 1;
  envelope.seq = 1;
  envelope.doc_id = sealed.doc_id;
  envelope.officer_blob_id = crypto::blob_id(Bytes(1024));
  envelope.recipient_kx = crypto::key_id(crypto::KeyKind::kx, Bytes(32, 3));
  envelope.created = world.now;
  envelope.not_after = world.now + days(10);
  envelope.dir_size = directory.size();
  envelope.dir_root = directory.root();
  const auto kx = crypto::make_kx_pair(world.realm.random);
  REQUIRE(crypto::wrap_key(envelope, crypto::Secret32(sealed.document_key), kx.public_key, world.realm.random));
  Bytes bytes = crypto::encode_envelope(envelope, *world.keys.sig);
  return {envelope, std::move(bytes)};
}

/// What the recipient says when it has it, not signed yet.
crypto::Receipt make_receipt(const World& world, const crypto::Envelope& envelope, BytesView envelope_bytes,
                             const crypto::SigningKey& recipient_key) {
  crypto::Receipt receipt;
  receipt.event = crypto::ReceiptEvent::received;
  receipt.realm = envelope.realm;
  receipt.env_id = envelope.id;
  receipt.doc_id = envelope.doc_id;
  receipt.sender = envelope.sender;
  receipt.recipient = receipt.issuer = envelope.recipient;
  receipt.inc = 1;
  receipt.seq = 1;
  receipt.rinc = 1;
  receipt.time = world.now + minutes(1);
  receipt.clock_ok = true;
  receipt.dir_size = envelope.dir_size;
  receipt.dir_root = envelope.dir_root;
  receipt.answers = crypto::answers_hash(envelope_bytes);
  receipt.issuer_key = crypto::key_id(crypto::KeyKind::sig, recipient_key.public_key());
  return receipt;
}

/// A sealed document with its envelope to the Party, three custody receipts and the Party's receipt.
struct Story {
  World world;
  DocUuid uuid;
  crypto::Receipt receipt;
  Bytes bundle_bytes;

  Story() {
    const auto sent = world.post("/v1/documents", World::submission());
    REQUIRE(sent.status == 202);
    const SealDone done = world.seal();
    uuid = done.uuid;
    const auto& directory = *world.realm.directory;
    const DocId doc = done.record.doc_id;

    const auto [envelope, envelope_bytes] = make_envelope(world, done.record, world.party.id);
    receipt = make_receipt(world, envelope, envelope_bytes, *world.party_key);

    auto txn = world.realm.store.begin_write().value();
    REQUIRE(save(*txn, table::outgoing, uuid, done.record));
    REQUIRE(txn->put(table::outgoing_by_doc, doc, uuid));
    proto::EnvelopeRecord row{envelope.id, uuid, world.party.id, envelope_bytes, Bytes(1024), false};
    REQUIRE(save(*txn, table::envelope, envelope.id, row));
    for (size_t i = 0; i < 3; ++i) {
      crypto::Custody custody;
      custody.realm = directory.realm();
      custody.broker = world.brokers[i].id;
      custody.epoch = world.realm.random.id<Epoch>();
      custody.env_id = envelope.id;
      custody.doc_id = doc;
      custody.chunks = 1;
      custody.body_bytes = done.record.body_bytes;
      custody.recipient = world.party.id;
      custody.position = 1;
      custody.time = world.now;
      proto::CustodyRecord record{world.brokers[i].id, custody.epoch,
                                  crypto::encode_custody(custody, world.broker_keys[i]), false};
      REQUIRE(save(*txn, table::custody, custody_key(row, world.brokers[i].id), record));
    }
    store_receipt(*txn, receipt, *world.party_key);
    REQUIRE(txn->commit());
    const auto answer = world.get(path() + "/receipts/1.edxr");
    REQUIRE(answer.status == 200);
    bundle_bytes = answer.body;
  }

  void store_receipt(WriteTxn& txn, crypto::Receipt& value, const crypto::SigningKey& key, bool issued = false) {
    proto::ReceiptRecord record{crypto::encode_receipt(value, key), issued, world.now};
    REQUIRE(save(txn, table::receipt,
                 row_key(value.doc_id, value.issuer, value.env_id, static_cast<uint16_t>(value.event)), record));
  }
  std::string path() const { return "/v1/documents/" + uuid.hex(); }
  audit::Bundle bundle() const { return audit::decode_bundle(bundle_bytes).value(); }
  audit::Verification verify(const audit::Bundle& bundle) const {
    return audit::verify_bundle(bundle, world.realm.directory->realm());
  }
};

std::vector<std::string> wrong(const audit::Verification& result) {
  std::vector<std::string> out;
  for (const auto& finding : result.findings)
    if (finding.ok && !*finding.ok) out.emplace_back(finding.what);
  return out;
}

}  // namespace

TEST_CASE("receipts are listed, and the bundle of one is valid on its own") {
  Story story;
  const auto list = story.world.get(story.path() + "/receipts");
  REQUIRE(list.status == 200);
  REQUIRE(list.json["items"].size() == 1);
  CHECK(list.json["items"][0]["event"]["name"] == "received");
  CHECK(list.json["items"][0]["issuer"]["code"] == "D01");
  CHECK(list.json["items"][0]["bundle"] == story.path() + "/receipts/1.edxr");
  CHECK(story.world.get(story.path() + "/receipts/2.edxr").code() == "not_found");
  CHECK(story.world.get(story.path() + "/receipts/0.edxr").code() == "not_found");
  CHECK(story.world.get(story.path() + "/receipts/x").code() == "not_found");
  CHECK(story.world.get("/v1/documents/" + story.receipt.doc_id.hex() + "/receipts").json["items"].size() == 1);

  const auto result = story.verify(story.bundle());
  INFO(Json(wrong(result)).dump());
  CHECK(result.verdict == audit::Verdict::valid);
  CHECK(result.custody_domains.size() == 3);
  CHECK(result.recipient_name == "Văn phòng Trung ương Đảng");
  CHECK(result.realm_pinned);
}

TEST_CASE("the receipts that we gave for an arrival are listed, and a bundle shows all but custody") {
  Story story;
  World& world = story.world;
  SealDone done;
  done.record = find<proto::OutRecord>(*world.realm.read(), table::outgoing, story.uuid)->value();
  done.inline_chunk = Bytes(1);
  const auto arrival = world.arrive(done);
  const auto [envelope, envelope_bytes] = make_envelope(world, done.record, world.self.id);
  {
    auto txn = world.realm.store.begin_write().value();
    auto record = load<proto::InRecord>(*txn, table::incoming, row_key(arrival)).value();
    record.env_id = envelope.id;
    record.envelope = envelope_bytes;
    REQUIRE(save(*txn, table::incoming, row_key(arrival), record));
    auto receipt = make_receipt(world, envelope, envelope_bytes, *world.keys.sig);
    story.store_receipt(*txn, receipt, *world.keys.sig, true);
    receipt.event = crypto::ReceiptEvent::registered;
    proto::ReceiptText said;
    said.register_number = "12";
    receipt.text = to_text(proto::encode_receipt_text(said).value());
    story.store_receipt(*txn, receipt, *world.keys.sig, true);
    REQUIRE(txn->commit());
  }
  const std::string path = "/v1/inbox/" + std::to_string(arrival) + "/receipts";
  const auto list = world.get(path);
  REQUIRE(list.json["items"].size() == 2);
  CHECK(list.json["items"][0]["event"]["name"] == "received");
  CHECK(list.json["items"][0]["issuer"]["code"] == "G22");
  CHECK(list.json["items"][1]["register_number"] == "12");
  CHECK(list.json["items"][1]["bundle"] == path + "/2.edxr");
  CHECK(world.get(path + "?limit=1&after=1").json["items"][0]["n"] == 2);
  CHECK(world.get(path + "/3.edxr").code() == "not_found");
  CHECK(world.get("/v1/inbox/99999/receipts").code() == "not_found");
  CHECK(world.get(story.path() + "/receipts").json["items"].size() == 1);  // those of others only

  auto bundle = audit::decode_bundle(world.get(path + "/2.edxr").body).value();
  const auto result = story.verify(bundle);
  INFO(Json(wrong(result)).dump());
  CHECK(result.verdict == audit::Verdict::incomplete);
  for (const auto& finding : result.findings) CHECK(finding.ok.has_value() == (finding.what != "custody_quorum"));
  bundle.receipt.back() ^= 1;
  CHECK(story.verify(bundle).verdict == audit::Verdict::invalid);
}

TEST_CASE("without the realm one trusts, a bundle is at best incomplete; with another it is invalid") {
  Story story;
  CHECK(audit::verify_bundle(story.bundle(), std::nullopt).verdict == audit::Verdict::incomplete);
  CHECK(audit::verify_bundle(story.bundle(), RealmId{}).verdict == audit::Verdict::invalid);
}

TEST_CASE("missing parts make it incomplete, never valid") {
  Story story;
  const auto without = [&](auto&& change) {
    auto bundle = story.bundle();
    change(bundle);
    return story.verify(bundle).verdict;
  };
  CHECK(without([](auto& b) { b.envelope.clear(); }) == audit::Verdict::incomplete);
  CHECK(without([](auto& b) { b.header.clear(); }) == audit::Verdict::incomplete);
  CHECK(without([](auto& b) { b.custodies.resize(1); }) == audit::Verdict::incomplete);
  CHECK(without([](auto& b) { b.entries.clear(); }) == audit::Verdict::incomplete);
  CHECK(without([](auto& b) { b.entries.pop_back(); }) == audit::Verdict::incomplete);
}

TEST_CASE("two custody receipts of one failure domain count once") {
  Story story;
  auto bundle = story.bundle();
  bundle.custodies.resize(2);
  bundle.custodies[1] = bundle.custodies[0];
  CHECK(story.verify(bundle).verdict == audit::Verdict::incomplete);
}

TEST_CASE("every flipped bit is noticed") {
  Story story;
  // The last signature of an entry may be of an officer beyond the threshold: those entries are tried whole below.
  size_t tried = 0;
  for (size_t at = 0; at < story.bundle_bytes.size(); at += 1 + story.bundle_bytes.size() / 600) {
    Bytes bytes = story.bundle_bytes;
    bytes[at] ^= static_cast<uint8_t>(1u << (at % 8));
    const auto bundle = audit::decode_bundle(bytes);
    if (!bundle) continue;
    ++tried;
    INFO("byte " << at);
    CHECK(story.verify(*bundle).verdict != audit::Verdict::valid);
  }
  CHECK(tried > 100);
}

TEST_CASE("a receipt signed by somebody else, or about something else, is invalid") {
  Story story;
  const auto other_key = crypto::SigningKey(crypto::make_secret(story.world.realm.random));
  auto forged = story.receipt;
  auto bundle = story.bundle();
  bundle.receipt = crypto::encode_receipt(forged, other_key);
  CHECK(wrong(story.verify(bundle)) == std::vector<std::string>{"receipt_signature"});

  forged = story.receipt;
  forged.issuer = story.world.front.id;
  bundle.receipt = crypto::encode_receipt(forged, *story.world.party_key);
  CHECK(story.verify(bundle).verdict == audit::Verdict::invalid);

  forged = story.receipt;
  forged.seq = 2;
  bundle.receipt = crypto::encode_receipt(forged, *story.world.party_key);
  CHECK(wrong(story.verify(bundle)) == std::vector<std::string>{"envelope"});

  forged = story.receipt;
  forged.answers.bytes[0] ^= 1;
  bundle.receipt = crypto::encode_receipt(forged, *story.world.party_key);
  CHECK(wrong(story.verify(bundle)) == std::vector<std::string>{"receipt_answers"});

  forged = story.receipt;
  forged.dir_root.bytes[0] ^= 1;
  bundle.receipt = crypto::encode_receipt(forged, *story.world.party_key);
  CHECK(wrong(story.verify(bundle)) == std::vector<std::string>{"receipt_directory"});
}

TEST_CASE("a bundle is read strictly") {
  Story story;
  const Bytes good = story.bundle_bytes;
  CHECK(audit::encode_bundle(story.bundle()) == good);
  CHECK_FALSE(audit::decode_bundle(Bytes{}));
  CHECK_FALSE(audit::decode_bundle(BytesView(good).first(good.size() - 1)));
  Bytes twice = good;
  twice.insert(twice.end(), good.begin() + 6, good.end());
  CHECK_FALSE(audit::decode_bundle(twice));
  Bytes version = good;
  version[5] = 2;
  CHECK(audit::decode_bundle(version).error().code == ErrorCode::unsupported_version);
  Bytes unknown = good;
  unknown.insert(unknown.end(), {99, 0, 0, 0, 1, 0});
  CHECK_FALSE(audit::decode_bundle(unknown));
}
