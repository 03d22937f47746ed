// Signed notes, checkpoints, cosignatures: published examples, the project's vectors, round trips, refusals.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <rapidcheck.h>
#include <rapidcheck/catch.h>
#include <sodium.h>

#include "crypto/base64.h"
#include "crypto/note.h"
#include "tests/unit/crypto_support.h"

using namespace tram;
using namespace tram::crypto;
using namespace tram::test;
using Json = nlohmann::json;

namespace {

LogKey key_of(uint8_t seed) { return LogKey(Secret32(repeated(seed, 32))); }

Checkpoint some_checkpoint(uint64_t size) {
  return {log_origin(filled<RealmId>(0xaa), LogKind::node, filled<PartyId>(1), 0), size, filled<Hash>(0x31)};
}

LogPublic published_key(std::string_view digits) { return *LogPublic::from(hex(digits)); }

}  // namespace

TEST_CASE("base64: what RFC 4648 shows, and nothing but the canonical form") {
  const std::pair<const char*, const char*> shown[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : shown) {
    CHECK(crypto::to_base64(view(plain)) == coded);
    CHECK(crypto::from_base64(coded) == to_bytes(plain));
  }
  for (const char* bad : {"Zg", "Zg=", "Zg===", "=", "====", "Z===", "Zh==", "Zm9=", "Zm8=Zm8=", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm9-", "Zm9_", "Z=g=", "Zm\x80v"})
    CHECK_FALSE(crypto::from_base64(bad));
}

TEST_CASE("property: base64 agrees with libsodium's, whatever the text") {
  rc::prop("bytes and back", [](const Bytes& bytes) {
    std::string expected(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(expected.data(), expected.size(), bytes.data(), bytes.size(), sodium_base64_VARIANT_ORIGINAL);
    expected.pop_back();
    RC_ASSERT(crypto::to_base64(bytes) == expected);
    RC_ASSERT(crypto::from_base64(expected) == bytes);
  });
  rc::prop("other texts", [] {
    const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("AQgwZ09+/=-_ \n")));
    Bytes expected(text.size() + 1);
    size_t size = 0;
    const char* end = nullptr;
    const bool read = sodium_base642bin(expected.data(), expected.size(), text.data(), text.size(), nullptr, &size, &end,
                                        sodium_base64_VARIANT_ORIGINAL) == 0 && end == text.data() + text.size();
    expected.resize(size);
    const bool canonical = read && crypto::to_base64(expected) == text;
    const auto decoded = crypto::from_base64(text);
    RC_ASSERT(decoded.has_value() == canonical);
    if (canonical) RC_ASSERT(*decoded == expected);
  });
}

TEST_CASE("the note of golang.org/x/mod/sumdb/note is read, verified and made again byte for byte") {
  const std::string text =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
  const std::string published =
      text +
      "\n\xe2\x80\x94 PeterNeumann "
      "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  const LogKey peter{Secret32(hex("810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173"))};
  CHECK(peter.public_key() == published_key("1a5cd907143c384c41e830c5bce12aa8817ec5649aaabf2c31388b35b2d744d6"));
  const auto note = decode_note(view(published));
  REQUIRE(note);
  CHECK(note->text == text);
  CHECK(note->signatures.at(0).key_id == 0xc74f20a3);
  CHECK(note_key_id("PeterNeumann", NoteKeyType::ed25519, peter.public_key()) == 0xc74f20a3);
  CHECK(verify_note_signature(note->text, note->signatures[0], "PeterNeumann", peter.public_key()));
  CHECK(!verify_note_signature(note->text + "\n", note->signatures[0], "PeterNeumann", peter.public_key()));
  CHECK(!verify_note_signature(note->text, note->signatures[0], "PeterNeuman", peter.public_key()));
  CHECK(equal(peter.sign_note(view(text)), note->signatures[0].signature));
  CHECK(to_text(encode_note(*note)) == published);
}

TEST_CASE("a note keeps the blank lines of its text") {
  const std::string published =
      "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\n\xc3\xa8 subito sera.\n\n"
      "\xe2\x80\x94 quasimodo.example/salvatore "
      "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
  const auto note = decode_note(view(published));
  REQUIRE(note);
  CHECK(note->text == published.substr(0, published.find("\n\xe2\x80\x94")));
  CHECK(to_text(encode_note(*note)) == published);
}

// A checkpoint of a public log of July 2026 with its own signature and that of a public witness.
TEST_CASE("a public log's checkpoint and a public witness's cosignature verify") {
  const std::string text =
      "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n";
  const std::string published =
      text +
      "\n\xe2\x80\x94 arche2025h1.staging.ct.transparency.dev "
      "ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n"
      "\xe2\x80\x94 transparency.dev/DEV:witness-little-garden "
      "2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n"
      "\xe2\x80\x94 remora.n621.de "
      "2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n";
  const auto note = decode_note(view(published));
  REQUIRE(note);
  REQUIRE(note->signatures.size() == 3);
  const LogPublic log = published_key("4d2f1e6946092fcf74df1bd8e68698aa6b2c8f0728cf9d278ef6c60158875e5f");
  const LogPublic remora = published_key("ebcdeb78e7fdb2ef9227b2c1ef11e94600b55b4d6d9a57877e31ee89e59adc36");
  CHECK(verify_note_signature(text, note->signatures[0], "arche2025h1.staging.ct.transparency.dev", log));
  CHECK(verify_cosignature(text, note->signatures[2], "remora.n621.de", remora) == Time{1779573024000});
  CHECK(!verify_cosignature(text, note->signatures[2], "remora.n621.de", log));
  CHECK(!verify_cosignature(text, note->signatures[1], "remora.n621.de", remora));
  CHECK(!verify_cosignature(text + "x\n", note->signatures[2], "remora.n621.de", remora));
  auto later = note->signatures[2];
  later.signature[7] = static_cast<uint8_t>(later.signature[7] + 1);
  CHECK(!verify_cosignature(text, later, "remora.n621.de", remora));
  CHECK(!verify_note_signature(text, note->signatures[2], "remora.n621.de", remora));
}

TEST_CASE("checkpoints follow the project's vector") {
  std::ifstream file(std::string(TRAM_SOURCE_DIR) + "/tests/vectors/note.json");
  REQUIRE(file.is_open());
  const Json vector = Json::parse(file);
  const auto bytes = [](const Json& value) { return hex(value.get<std::string>()); };
  const LogKey key{Secret32(bytes(vector["seed"]))};
  CHECK(equal(key.public_key(), bytes(vector["public_key"])));
  const Json& fields = vector["fields"];
  const RealmId realm = *RealmId::from(bytes(fields["realm"]));
  const Checkpoint checkpoint{log_origin(realm, LogKind::node, *PartyId::from(bytes(fields["party"])), 0),
                              fields["size"], *Hash::from(bytes(fields["root"]))};
  const Time time{fields["time"]};
  const std::string witness = cosigner_name(realm, LogKind::broker, *PartyId::from(bytes(fields["witness"])));
  Note note = sign_checkpoint(checkpoint, key);
  CHECK(note.text == vector["text"]);
  CHECK(note_signature_line(note.signatures.at(0)) == vector["log_line"]);
  note.signatures.push_back(cosign(note.text, witness, time, key));
  CHECK(note_signature_line(note.signatures[1]) == vector["cosignature_line"]);
  const Bytes whole = encode_note(note);
  CHECK(whole == bytes(vector["bytes"]));

  const auto decoded = decode_signed_checkpoint(whole);
  REQUIRE(decoded);
  CHECK(decoded->checkpoint == checkpoint);
  CHECK(verify_checkpoint(*decoded, key.public_key()));
  CHECK(!verify_checkpoint(*decoded, key_of(9).public_key()));
  CHECK(verify_cosignature(decoded->note.text, decoded->note.signatures[1], witness, key.public_key()) == time);
  // A view of the directory has cosignatures only.
  const Checkpoint view_of{log_origin(realm, LogKind::directory, *PartyId::from(realm.view().first(PartyId::size)), 0),
                           checkpoint.size, checkpoint.root};
  Note view_note{checkpoint_text(view_of), {}};
  view_note.signatures.push_back(cosign(view_note.text, witness, time, key));
  CHECK(encode_note(view_note) == bytes(vector["view"]));
  const auto view_decoded = decode_signed_checkpoint(bytes(vector["view"]));
  REQUIRE(view_decoded);
  CHECK(view_decoded->checkpoint == view_of);
  CHECK(!verify_checkpoint(*view_decoded, key.public_key()));
  CHECK(vector["must_reject"].size() > 20);
  for (const Json& bad : vector["must_reject"]) {
    INFO(bad["why"]);
    const auto refused = decode_signed_checkpoint(bytes(bad["bytes"]));
    REQUIRE(!refused);
    CHECK(error_info(refused.error().code).name == bad["error"]);
  }
}

TEST_CASE("a signature is for one origin, one size, one root and one role") {
  const LogKey key = key_of(1);
  const Checkpoint checkpoint = some_checkpoint(3);
  SignedCheckpoint good{checkpoint, sign_checkpoint(checkpoint, key)};
  CHECK(verify_checkpoint(good, key.public_key()));
  for (const Checkpoint& other : {some_checkpoint(4), Checkpoint{checkpoint.origin, 3, filled<Hash>(0x32)},
                                  Checkpoint{log_origin(filled<RealmId>(0xaa), LogKind::node, filled<PartyId>(1), 1), 3, checkpoint.root}}) {
    SignedCheckpoint moved{other, Note{checkpoint_text(other), good.note.signatures}};
    CHECK(!verify_checkpoint(moved, key.public_key()));
  }
  // A cosignature by the log's own key under its origin is not the log's signature.
  SignedCheckpoint cosigned{checkpoint, Note{good.note.text, {cosign(good.note.text, checkpoint.origin.text(), Time{5000}, key)}}};
  CHECK(!verify_checkpoint(cosigned, key.public_key()));
  CHECK(verify_cosignature(good.note.text, cosigned.note.signatures[0], checkpoint.origin.text(), key.public_key()) == Time{5000});
}

TEST_CASE("notes have a largest size and a largest number of signatures") {
  Note note = sign_checkpoint(some_checkpoint(3), key_of(1));
  while (note.signatures.size() < 20) note.signatures.push_back(note.signatures[0]);
  CHECK(decode_note(encode_note(note)));
  while (note.signatures.size() <= note_signatures_max) note.signatures.push_back({"n", 1, {1}});
  const auto many = decode_note(encode_note(note));
  REQUIRE(!many);
  CHECK(many.error().code == ErrorCode::too_large);
  const auto long_note = decode_note(repeated('x', note_bytes_max + 1));
  REQUIRE(!long_note);
  CHECK(long_note.error().code == ErrorCode::too_large);
}

TEST_CASE("checkpoints survive the round trip, and one checkpoint has one text") {
  rc::prop("round trip", [](uint64_t size, uint32_t generation, uint8_t kind, uint8_t fill) {
    Checkpoint checkpoint = some_checkpoint(size >> 1);
    checkpoint.origin.kind = static_cast<LogKind>(kind % 3);
    checkpoint.origin.generation = generation;
    checkpoint.root = filled<Hash>(fill);
    const Bytes bytes = encode_note(sign_checkpoint(checkpoint, key_of(fill)));
    const auto back = decode_signed_checkpoint(bytes);
    RC_ASSERT(back.has_value());
    RC_ASSERT(back->checkpoint == checkpoint);
    RC_ASSERT(verify_checkpoint(*back, key_of(fill).public_key()));
    RC_ASSERT(encode_note(back->note) == bytes);
  });
}
