// Sealing and opening: what was sealed opens for its key and context alone, and any change is found.
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "base/limits.h"
#include "crypto/detail/aead.h"
#include "crypto/detail/hpke.h"
#include "crypto/seal.h"
#include "tests/unit/crypto_support.h"

using namespace tram;
using namespace tram::crypto;
using namespace tram::test;

namespace {

BodyContext context_of(uint8_t value) {
  return {filled<RealmId>(value), filled<PartyId>(2), filled<DocUuid>(3)};
}
BodyKeys body_keys(uint8_t key, uint8_t context = 1) { return {Secret32(repeated(key, 32)), context_of(context)}; }

void flip(std::span<uint8_t> bytes, size_t bit) { bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8); }

Envelope new_envelope(Random& random, const KxPublic& recipient) {
  Envelope e;
  e.lane = Lane::normal;
  e.realm = random.id<RealmId>();
  e.sender = random.id<PartyId>();
  e.recipient = random.id<PartyId>();
  e.inc = 1;
  e.seq = 1;
  e.doc_id = random.id<DocId>();
  e.recipient_kx = key_id(KeyKind::kx, recipient);
  e.created = {1};
  e.not_after = {2};
  return e;
}

}  // namespace

TEST_CASE("hpke") {
  rc::prop("opens with its key, info, aad and PSK alone", [](uint64_t seed, const std::vector<uint8_t>& plain, bool with_psk) {
    SeededRandom random(seed);
    KxKeyPair mine = make_kx_pair(random), other = make_kx_pair(random);
    Bytes info = random_bytes(random, 20), aad = random_bytes(random, 7), key = random_bytes(random, 32), name = {1};
    Psk psk{key, name};
    auto sealed = with_psk ? hpke_seal_psk(mine.public_key, info, aad, plain, psk, random)
                           : hpke_seal(mine.public_key, info, aad, plain, random);
    RC_ASSERT(sealed.has_value());
    RC_ASSERT(sealed->ct.size() == plain.size() + 16);
    auto open = [&](const KxKeyPair& pair, BytesView i, BytesView a) {
      return with_psk ? hpke_open_psk(pair, sealed->enc, i, a, sealed->ct, psk)
                      : hpke_open(pair, sealed->enc, i, a, sealed->ct);
    };
    auto opened = open(mine, info, aad);
    RC_ASSERT(opened.has_value());
    RC_ASSERT(equal(opened->view(), plain));
    RC_ASSERT(!open(other, info, aad));
    RC_ASSERT(!open(mine, aad, aad));
    RC_ASSERT(!open(mine, info, info));
    RC_ASSERT(!open(mine, {}, aad));
    // The other mode, another PSK, another name of it.
    if (with_psk) {
      Bytes wrong = random_bytes(random, 32), wrong_name = {2};
      RC_ASSERT(!hpke_open(mine, sealed->enc, info, aad, sealed->ct));
      RC_ASSERT(!hpke_open_psk(mine, sealed->enc, info, aad, sealed->ct, {wrong, name}));
      RC_ASSERT(!hpke_open_psk(mine, sealed->enc, info, aad, sealed->ct, {key, wrong_name}));
    } else {
      RC_ASSERT(!hpke_open_psk(mine, sealed->enc, info, aad, sealed->ct, psk));
    }
    // A flip in enc's top bit is masked by X25519 but hashed into the key.
    for (size_t bit = 0; bit < 256; bit += 15) {
      flip(sealed->enc, bit);
      RC_ASSERT(!open(mine, info, aad));
      flip(sealed->enc, bit);
    }
    size_t at = seed % (sealed->ct.size() * 8);
    flip(sealed->ct, at);
    RC_ASSERT(!open(mine, info, aad));
  });
  SeededRandom random(1);
  KxKeyPair mine = make_kx_pair(random);
  Bytes key = random_bytes(random, 31), name = {1};
  CHECK(hpke_seal_psk(mine.public_key, {}, {}, {}, {key, name}, random).error().code == ErrorCode::bad_request);
  key.push_back(0);
  CHECK(hpke_seal_psk(mine.public_key, {}, {}, {}, {key, {}}, random).error().code == ErrorCode::bad_request);
  CHECK(hpke_seal(KxPublic{}, {}, {}, {}, random).error().code == ErrorCode::cannot_open);
  CHECK(hpke_open(mine, Bytes(32), {}, {}, Bytes(16)).error().code == ErrorCode::cannot_open);
  CHECK(hpke_open(mine, Bytes(31), {}, {}, Bytes(16)).error().code == ErrorCode::bad_format);
  CHECK(hpke_open(mine, mine.public_key, {}, {}, Bytes(15)).error().code == ErrorCode::bad_format);
}

TEST_CASE("both AEAD engines make and open the same bytes") {
  rc::prop("any length", [](const std::vector<uint8_t>& plain, const std::vector<uint8_t>& ad, uint64_t seed) {
    SeededRandom random(seed);
    Bytes key = random_bytes(random, 32), nonce = random_bytes(random, 12);
    Bytes a(plain.size() + 16), b(plain.size() + 16), opened(plain.size());
    detail::aead_seal(key, nonce, ad, plain, a, detail::AeadEngine::sodium);
    detail::aead_seal(key, nonce, ad, plain, b, detail::AeadEngine::openssl);
    RC_ASSERT(a == b);
    RC_ASSERT(detail::aead_open(key, nonce, ad, a, opened, detail::AeadEngine::openssl));
    RC_ASSERT(opened == plain);
    flip(a, seed % (a.size() * 8));
    for (auto engine : {detail::AeadEngine::sodium, detail::AeadEngine::openssl}) {
      opened.assign(plain.size(), 0xee);
      RC_ASSERT(!detail::aead_open(key, nonce, ad, a, opened, engine));
      RC_ASSERT(opened == Bytes(plain.size()));
    }
  });
}

TEST_CASE("bodies") {
  constexpr size_t chunk = limits::chunk_bytes;
  SeededRandom random(1);
  BodyKeys keys = body_keys(1);
  Bytes plain = random_bytes(random, 2 * chunk + 5000);
  std::vector<Bytes> sealed;
  for (uint32_t i = 0; i < 3; ++i) {
    BytesView part = BytesView(plain).subspan(i * chunk, std::min(chunk, plain.size() - i * chunk));
    sealed.emplace_back(part.size() + 16);
    keys.seal_chunk(i, i == 2, part, sealed.back());
  }
  Bytes out(chunk), tail(5000);
  SECTION("round trip") {
    for (uint32_t i = 0; i < 2; ++i) {
      REQUIRE(keys.open_chunk(i, false, sealed[i], out));
      CHECK(equal(out, BytesView(plain).subspan(i * chunk, chunk)));
    }
    REQUIRE(keys.open_chunk(2, true, sealed[2], tail));
    CHECK(equal(tail, BytesView(plain).subspan(2 * chunk)));
  }
  SECTION("reordered") {
    CHECK(keys.open_chunk(1, false, sealed[0], out).error().code == ErrorCode::cannot_open);
    CHECK(equal(out, Bytes(chunk)));
    CHECK(!keys.open_chunk(0, false, sealed[1], out));
  }
  SECTION("truncated: a chunk that was not last is offered as last") { CHECK(!keys.open_chunk(1, true, sealed[1], out)); }
  SECTION("extended: the last chunk is offered as a middle one") {
    CHECK(keys.open_chunk(2, false, sealed[2], tail).error().code == ErrorCode::bad_format);
    Bytes full(chunk + 16);
    keys.seal_chunk(3, true, BytesView(plain).first(chunk), full);
    CHECK(keys.open_chunk(3, false, full, out).error().code == ErrorCode::cannot_open);
    REQUIRE(keys.open_chunk(3, true, full, out));
  }
  SECTION("lengths") {
    CHECK(keys.open_chunk(2, true, BytesView(sealed[2]).first(16), {}).error().code == ErrorCode::bad_format);
    CHECK(keys.open_chunk(2, true, {}, {}).error().code == ErrorCode::bad_format);
    Bytes longer = sealed[0];
    longer.push_back(0);
    CHECK(keys.open_chunk(0, false, longer, out).error().code == ErrorCode::bad_format);
    CHECK(!keys.open_chunk(2, true, BytesView(sealed[2]).first(5015), std::span(tail).first(4999)));
  }
  SECTION("bits") {
    for (size_t bit : {size_t{0}, size_t{8 * 4999 + 3}, size_t{8 * 5000}, size_t{8 * 5015 + 7}}) {
      flip(sealed[2], bit);
      CHECK(!keys.open_chunk(2, true, sealed[2], tail));
      flip(sealed[2], bit);
    }
  }
  SECTION("another key, another context") {
    CHECK(!body_keys(2).open_chunk(2, true, sealed[2], tail));
    CHECK(!body_keys(1, 9).open_chunk(2, true, sealed[2], tail));
    CHECK(body_keys(2).commit() != keys.commit());
    CHECK(body_keys(1, 9).commit() != keys.commit());
    CHECK(keys.meta_commit() != keys.commit());
    CHECK(body_keys(1).commit() == keys.commit());
  }
}

TEST_CASE("metadata") {
  rc::prop("round trip", [](uint64_t seed, uint16_t size) {
    SeededRandom random(seed);
    BodyKeys keys = body_keys(1);
    Bytes metadata = random_bytes(random, size % (metadata_message_bytes_max + 1));
    auto sealed = keys.seal_metadata(metadata);
    RC_ASSERT(sealed.has_value());
    RC_ASSERT(sealed->size() == limits::enc_metadata_bytes);
    auto opened = keys.open_metadata(*sealed);
    RC_ASSERT(opened.has_value());
    RC_ASSERT(*opened == metadata);
    RC_ASSERT(!body_keys(2).open_metadata(*sealed));
    flip(*sealed, seed % (sealed->size() * 8));
    RC_ASSERT(!keys.open_metadata(*sealed));
  });
  BodyKeys keys = body_keys(1);
  CHECK(keys.seal_metadata(Bytes(4093)));
  CHECK(keys.seal_metadata(Bytes(4094)).error().code == ErrorCode::too_large);
  CHECK(keys.open_metadata(Bytes(4111)).error().code == ErrorCode::bad_format);
}

TEST_CASE("document keys depend on the random number, the hedge, the content and the document") {
  auto make = [](uint8_t random_value, uint8_t hedge, uint8_t content, uint8_t uuid) {
    ScriptedRandom random(repeated(random_value, 32));
    return to_hex(make_document_key(random, Secret32(repeated(hedge, 32)), filled<Hash>(content), filled<DocUuid>(uuid)).view());
  };
  CHECK(make(1, 1, 1, 1) == make(1, 1, 1, 1));
  CHECK(make(2, 1, 1, 1) != make(1, 1, 1, 1));
  CHECK(make(1, 2, 1, 1) != make(1, 1, 1, 1));
  CHECK(make(1, 1, 2, 1) != make(1, 1, 1, 1));
  CHECK(make(1, 1, 1, 2) != make(1, 1, 1, 1));
}

TEST_CASE("recipients' root binds every name and the key") {
  std::vector<PartyId> names = {filled<PartyId>(1), filled<PartyId>(2), filled<PartyId>(3)};
  Hash root = body_keys(1).recipients_root(names);
  CHECK(body_keys(2).recipients_root(names) != root);
  names[1] = filled<PartyId>(9);
  CHECK(body_keys(1).recipients_root(names) != root);
  CHECK(body_keys(1).recipient_leaf(names[0]).size() == 48);
}

TEST_CASE("envelope wraps") {
  rc::prop("every byte of the prefix, enc and ct is bound", [](uint64_t seed, bool with_psk) {
    SeededRandom random(seed);
    KxKeyPair mine = make_kx_pair(random);
    SigningKey key(make_secret(random));
    Secret32 dk = make_secret(random);
    std::vector<SecretBytes> psks;
    psks.emplace_back(random_bytes(random, 32));
    psks.emplace_back(random_bytes(random, 32));
    Envelope e = new_envelope(random, mine.public_key);
    RC_ASSERT((with_psk ? wrap_key_psk(e, dk, mine.public_key, psks[1].view(), random)
                        : wrap_key(e, dk, mine.public_key, random)).has_value());
    Bytes bytes = encode_envelope(e, key);
    auto received = decode_envelope(bytes);
    RC_ASSERT(received.has_value());
    auto opened = unwrap_key(*received, mine, psks);
    RC_ASSERT(opened.has_value());
    RC_ASSERT(equal(opened->view(), dk.view()));
    RC_ASSERT(unwrap_key(*received, mine).has_value() != with_psk);
    RC_ASSERT(!unwrap_key(*received, make_kx_pair(random), psks));
    for (size_t i = 0; i < 24; ++i) {
      size_t bit = (seed + i * 131) % (336 * 8);
      Bytes changed = bytes;
      flip(changed, bit);
      auto other = decode_envelope(changed);
      RC_ASSERT((!other || !unwrap_key(*other, mine, psks)));
    }
  });
  SECTION("stripped and signed anew by somebody else, the key does not open") {
    SeededRandom random(5);
    KxKeyPair mine = make_kx_pair(random);
    Envelope e = new_envelope(random, mine.public_key);
    REQUIRE(wrap_key(e, make_secret(random), mine.public_key, random));
    SigningKey thief(make_secret(random));
    e.sender = random.id<PartyId>();
    auto received = decode_envelope(encode_envelope(e, thief));
    REQUIRE(received);
    CHECK(verify_envelope(*received, thief.public_key()));
    CHECK(unwrap_key(*received, mine).error().code == ErrorCode::cannot_open);
  }
  SECTION("tags tell nothing: two wraps of one envelope differ") {
    SeededRandom random(6);
    KxKeyPair mine = make_kx_pair(random);
    Secret32 dk = make_secret(random);
    Envelope a = new_envelope(random, mine.public_key), b = a;
    REQUIRE(wrap_key(a, dk, mine.public_key, random));
    REQUIRE(wrap_key(b, dk, mine.public_key, random));
    CHECK(a.psk_tag != b.psk_tag);
    CHECK(a.enc != b.enc);
    CHECK(wrap_key_psk(a, dk, mine.public_key, Bytes(31), random).error().code == ErrorCode::bad_request);
    CHECK(wrap_key(a, dk, KxPublic{}, random).error().code == ErrorCode::cannot_open);
    CHECK(make_random_blob(random).size() == limits::officer_blob_bytes);
  }
}

TEST_CASE("cells") {
  rc::prop("round trip, one size, any bit flip is found", [](uint64_t seed, uint16_t size) {
    SeededRandom random(seed);
    KxKeyPair mine = make_kx_pair(random);
    Bytes receipt = random_bytes(random, size % 1473);
    auto cell = seal_cell(receipt, mine.public_key, random);
    RC_ASSERT(cell.has_value());
    RC_ASSERT(cell->size() == limits::cell_bytes);
    RC_ASSERT(cell_key_id(*cell).value() == key_id(KeyKind::kx, mine.public_key));
    RC_ASSERT(open_cell(*cell, mine).value() == receipt);
    RC_ASSERT(!open_cell(*cell, make_kx_pair(random)));
    flip(*cell, seed % (cell->size() * 8));
    RC_ASSERT(!open_cell(*cell, mine));
  });
  SeededRandom random(1);
  KxKeyPair mine = make_kx_pair(random);
  CHECK(seal_cell(Bytes(1473), mine.public_key, random).error().code == ErrorCode::too_large);
  Receipt longest;
  longest.text = std::string(limits::receipt_text_bytes_max, 'x');
  CHECK(seal_cell(encode_receipt(longest, SigningKey(make_secret(random))), mine.public_key, random));
}

TEST_CASE("values at rest are bound to table, key and content") {
  rc::prop("sealed and MACed", [](uint64_t seed, const std::vector<uint8_t>& plain, const std::vector<uint8_t>& row) {
    SeededRandom random(seed);
    Secret32 key = make_secret(random), other_key = make_secret(random);
    std::unique_ptr<ValueCodec> pairs[][2] = {{make_seal_codec(key, random), make_seal_codec(other_key, random)},
                                              {make_mac_codec(key), make_mac_codec(other_key)}};
    for (auto& [codec, other] : pairs) {
      Bytes coded = codec->encode(Table{"inbox"}, row, plain);
      RC_ASSERT(coded.size() <= plain.size() + 64);
      RC_ASSERT(codec->decode(Table{"inbox"}, row, coded).value() == plain);
      auto refuses = [&](ValueCodec& c, const Table& table, BytesView at, BytesView bytes) {
        auto result = c.decode(table, at, bytes);
        return !result && result.error().code == ErrorCode::store_corrupt;
      };
      Bytes longer_row = row;
      longer_row.push_back('x');
      RC_ASSERT(refuses(*codec, Table{"inboy"}, row, coded));
      RC_ASSERT(refuses(*codec, Table{"inbo"}, row, coded));
      RC_ASSERT(refuses(*codec, Table{"inbox"}, longer_row, coded));
      RC_ASSERT(refuses(*other, Table{"inbox"}, row, coded));
      RC_ASSERT(refuses(*codec, Table{"inbox"}, row, BytesView(coded).first(coded.size() - 1)));
      RC_ASSERT(refuses(*codec, Table{"inbox"}, row, {}));
      flip(coded, seed % (coded.size() * 8));
      RC_ASSERT(refuses(*codec, Table{"inbox"}, row, coded));
    }
  });
  SECTION("a value cannot move between a key and its neighbour's bytes") {
    Secret32 key(repeated(1, 32));
    auto mac = make_mac_codec(key);
    Bytes coded = mac->encode(Table{"t"}, view("ab"), view("cd"));
    Bytes moved = coded;
    moved.erase(moved.begin() + 17);
    CHECK(!mac->decode(Table{"t"}, view("abc"), moved));
  }
  SECTION("index keys") {
    Secret32 key(repeated(1, 32));
    CHECK(index_key(key, "a", view("x")) == index_key(key, "a", view("x")));
    CHECK(index_key(key, "a", view("x")) != index_key(key, "b", view("x")));
    CHECK(index_key(key, "a", view("x")) != index_key(Secret32(repeated(2, 32)), "a", view("x")));
  }
}

TEST_CASE("upload slots") {
  SeededRandom random(1);
  Secret32 key = make_secret(random);
  for (size_t size : {size_t{0}, size_t{1}, limits::upload_slot_bytes}) {
    Bytes plain = random_bytes(random, size), sealed(size + 16), out(size);
    seal_slot(key, 7, plain, sealed);
    REQUIRE(open_slot(key, 7, sealed, out));
    CHECK(out == plain);
    CHECK(open_slot(key, 8, sealed, out).error().code == ErrorCode::cannot_open);
    CHECK(!open_slot(make_secret(random), 7, sealed, out));
    sealed.back() ^= 1;
    CHECK(!open_slot(key, 7, sealed, out));
    CHECK(open_slot(key, 7, BytesView(sealed).first(15), {}).error().code == ErrorCode::bad_format);
    Bytes longer(size + 1);
    CHECK(open_slot(key, 7, sealed, longer).error().code == ErrorCode::bad_format);
  }
}

TEST_CASE("key files") {
  SeededRandom random(1);
  KeyRing ring = make_key_ring(random);
  CHECK(!secret_equal(ring.sig_seed.view(), ring.log_seed.view()));
  Bytes raw_key = random_bytes(random, 32);
  auto file = seal_key_file(ring, UnlockKind::raw_key, raw_key, {}, random);
  REQUIRE(file);
  CHECK(file->size() == key_file_bytes);
  auto opened = open_key_file(*file, raw_key);
  REQUIRE(opened);
  CHECK(secret_equal(opened->hedge_secret.view(), ring.hedge_secret.view()));
  SECTION("any bit flip is found") {
    for (size_t bit = 0; bit < file->size() * 8; ++bit) {
      // Turning the source into "passphrase" with a raw key's cost is refused as well.
      flip(*file, bit);
      CHECK(!open_key_file(*file, raw_key));
      flip(*file, bit);
    }
  }
  SECTION("secrets of the wrong length") {
    CHECK(open_key_file(*file, Bytes(31)).error().code == ErrorCode::wrong_passphrase);
    CHECK(seal_key_file(ring, UnlockKind::raw_key, Bytes(31), {}, random).error().code == ErrorCode::bad_request);
    CHECK(seal_key_file(ring, UnlockKind::passphrase, Bytes(7), {}, random).error().code == ErrorCode::bad_request);
    CHECK(seal_key_file(ring, UnlockKind::passphrase, Bytes(1025), {}, random).error().code == ErrorCode::bad_request);
  }
  SECTION("costs outside their bounds") {
    Bytes pass = to_bytes("correct horse");
    for (UnlockCost cost : {UnlockCost{0, 8u << 20}, UnlockCost{17, 8u << 20}, UnlockCost{1, 1u << 20}, UnlockCost{1, 2ull << 30}}) {
      CHECK(seal_key_file(ring, UnlockKind::passphrase, pass, cost, random).error().code == ErrorCode::bad_request);
    }
  }
  SECTION("the same ring sealed twice differs") {
    CHECK(seal_key_file(ring, UnlockKind::raw_key, raw_key, {}, random).value() != *file);
  }
}
