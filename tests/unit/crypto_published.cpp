// Published vectors (Wycheproof, CCTV, RFC 9180, transparency-dev/merkle), read where they lie: TRAM_SHARED_DATA, or
// ../shared/data beside the source. Absent, each test says so; the project's own vectors cover every format without.
#include <sodium.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "crypto/detail/aead.h"
#include "crypto/detail/hpke.h"
#include "crypto/detail/xaead.h"
#include "crypto/merkle.h"
#include "tests/unit/crypto_support.h"

using namespace tram;
using namespace tram::crypto;
using namespace tram::test;
using Json = nlohmann::json;
namespace fs = std::filesystem;

namespace {

fs::path vectors_folder() {
  const char* shared = std::getenv("TRAM_SHARED_DATA");
  return (shared ? fs::path(shared) : fs::path(TRAM_SOURCE_DIR) / "../shared/data") / "vectors";
}

std::optional<std::string> published(const std::string& name) {
  std::ifstream file(vectors_folder() / name, std::ios::binary);
  if (!file) {
    std::cout << "skipped: published vectors " << name << " are not here (set TRAM_SHARED_DATA)\n";
    return std::nullopt;
  }
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

Bytes bytes_in(const Json& value) { return hex(value.get<std::string>()); }

/// Calls check(group, test) for every test of a Wycheproof file and returns how many there were.
template <class Check>
size_t wycheproof(const std::string& name, Check check) {
  auto content = published("wycheproof/" + name);
  if (!content) return 0;
  size_t count = 0;
  Json document = Json::parse(*content);
  for (const Json& group : document["testGroups"]) {
    for (const Json& test : group["tests"]) {
      INFO(name << " test " << test["tcId"]);
      check(group, test);
      ++count;
    }
  }
  return count;
}

bool ed25519_verifies(const Bytes& public_key, const Bytes& message, const Bytes& signature) {
  if (public_key.size() != 32 || signature.size() != 64) return false;
  bool by_library = crypto_sign_verify_detached(signature.data(), message.data(), message.size(), public_key.data()) == 0;
  if (!message.empty() && message[0] != 8) {
    CHECK(verify_note(*LogPublic::from(public_key), message, *Signature::from(signature)) == by_library);
  }
  return by_library;
}

}  // namespace

TEST_CASE("Wycheproof: Ed25519") {
  size_t count = wycheproof("ed25519_test.json", [](const Json& group, const Json& test) {
    bool valid = test["result"] == "valid";
    CHECK(ed25519_verifies(bytes_in(group["publicKey"]["pk"]), bytes_in(test["msg"]), bytes_in(test["sig"])) == valid);
  });
  CHECK((count == 151 || count == 0));
}

TEST_CASE("Wycheproof: X25519") {
  size_t zero_results = 0;
  size_t count = wycheproof("x25519_test.json", [&](const Json&, const Json& test) {
    Bytes shared = bytes_in(test["shared"]);
    bool all_zero = shared == Bytes(32);
    zero_results += all_zero;
    auto result = detail::x25519(Secret32(bytes_in(test["private"])), bytes_in(test["public"]));
    REQUIRE(result.has_value() == !all_zero);
    if (result) CHECK(equal(result->view(), shared));
  });
  CHECK((count == 518 || count == 0));
  if (count) CHECK(zero_results == 31);
}

TEST_CASE("Wycheproof: ChaCha20-Poly1305 by both engines") {
  size_t tested = 0;
  wycheproof("chacha20_poly1305_test.json", [&](const Json& group, const Json& test) {
    bool valid = test["result"] == "valid";
    Bytes nonce = bytes_in(test["iv"]);
    if (group["ivSize"] != 96) {
      CHECK(!valid);
      return;
    }
    ++tested;
    Bytes key = bytes_in(test["key"]), ad = bytes_in(test["aad"]), plain = bytes_in(test["msg"]), sealed = bytes_in(test["ct"]);
    Writer(sealed).raw(bytes_in(test["tag"]));
    for (auto engine : {detail::AeadEngine::sodium, detail::AeadEngine::openssl}) {
      Bytes opened(sealed.size() - 16, 0xee), made(plain.size() + 16);
      REQUIRE(detail::aead_open(key, nonce, ad, sealed, opened, engine) == valid);
      CHECK(opened == (valid ? plain : Bytes(opened.size())));
      detail::aead_seal(key, nonce, ad, plain, made, engine);
      CHECK((made == sealed) == valid);
    }
  });
  CHECK((tested == 316 || tested == 0));
}

TEST_CASE("Wycheproof: XChaCha20-Poly1305") {
  size_t tested = 0;
  wycheproof("xchacha20_poly1305_test.json", [&](const Json& group, const Json& test) {
    bool valid = test["result"] == "valid";
    Bytes nonce = bytes_in(test["iv"]);
    if (group["ivSize"] != 192) {
      CHECK(!valid);
      return;
    }
    ++tested;
    Bytes key = bytes_in(test["key"]), ad = bytes_in(test["aad"]), plain = bytes_in(test["msg"]), sealed = bytes_in(test["ct"]);
    Writer(sealed).raw(bytes_in(test["tag"]));
    Bytes opened(sealed.size() - 16, 0xee), made(plain.size() + 16);
    REQUIRE(detail::xaead_open(key, nonce, ad, sealed, opened) == valid);
    CHECK(opened == (valid ? plain : Bytes(opened.size())));
    detail::xaead_seal(key, nonce, ad, plain, made);
    CHECK((made == sealed) == valid);
  });
  CHECK((tested == 306 || tested == 0));
}

TEST_CASE("Wycheproof: HKDF-SHA256") {
  size_t count = wycheproof("hkdf_sha256_test.json", [](const Json&, const Json& test) {
    size_t size = test["size"];
    if (test["result"] != "valid") {
      CHECK(size > 255 * 32);
      return;
    }
    Bytes out(size);
    detail::hkdf_expand(detail::hkdf_extract(bytes_in(test["salt"]), bytes_in(test["ikm"])).view(), bytes_in(test["info"]), out);
    CHECK(to_hex(out) == test["okm"]);
  });
  CHECK((count == 86 || count == 0));
}

TEST_CASE("Wycheproof: HMAC-SHA256") {
  size_t count = wycheproof("hmac_sha256_test.json", [](const Json&, const Json& test) {
    auto full = detail::hmac_sha256(bytes_in(test["key"]), bytes_in(test["msg"]));
    Bytes tag = bytes_in(test["tag"]);
    CHECK(equal(BytesView(full).first(tag.size()), tag) == (test["result"] == "valid"));
  });
  CHECK((count == 174 || count == 0));
}

TEST_CASE("CCTV: of 914 edge cases of Ed25519 exactly 43 verify, and enrolment refuses the keys of 42") {
  auto content = published("ed25519/cctv_ed25519vectors.json");
  if (!content) return;
  size_t accepted = 0, refused_at_enrolment = 0, count = 0;
  for (const Json& test : Json::parse(*content)) {
    ++count;
    Bytes key = bytes_in(test["key"]);
    if (!ed25519_verifies(key, to_bytes(test["msg"].get<std::string>()), bytes_in(test["sig"]))) continue;
    ++accepted;
    refused_at_enrolment += !is_valid_signing_key(key);
  }
  CHECK(count == 914);
  CHECK(accepted == 43);
  CHECK(refused_at_enrolment == 42);
}

TEST_CASE("RFC 9180 A.2 as published, base and psk") {
  auto content = published("hpke/rfc9180_A2_x25519_hkdfsha256_chacha20poly1305.txt");
  if (!content) return;
  // Sections "### <mode> Setup Information", then blocks of "name: hex", whose values may go on over lines.
  std::istringstream lines(*content);
  std::map<std::string, std::string> setup;
  std::map<std::string, std::string>* fields = &setup;
  std::vector<std::map<std::string, std::string>> encryptions;
  std::string line, name;
  size_t checked = 0;
  auto finish_section = [&] {
    if (setup.empty() || std::stoi(setup.at("mode")) > 1) return;
    KxKeyPair recipient = detail::derive_key_pair(hex(setup.at("ikmR")));
    Bytes info = hex(setup.at("info")), key, psk_id;
    std::optional<Psk> psk;
    if (setup.at("mode") == "1") {
      key = hex(setup.at("psk"));
      psk_id = hex(setup.at("psk_id"));
      psk = Psk{key, psk_id};
    }
    auto sender =
        detail::setup_sender(recipient.public_key, info, psk ? &*psk : nullptr, detail::derive_key_pair(hex(setup.at("ikmE"))));
    REQUIRE(sender);
    CHECK(to_hex(sender->enc) == setup.at("enc"));
    for (const auto& e : encryptions) {
      Bytes plain = hex(e.at("pt")), sealed(plain.size() + 16);
      sender->context.seal(std::stoull(e.at("sequence number")), hex(e.at("aad")), plain, sealed);
      CHECK(to_hex(sealed) == e.at("ct"));
      ++checked;
    }
  };
  while (std::getline(lines, line)) {
    if (line.starts_with("### ")) {
      finish_section();
      setup.clear();
      encryptions.clear();
      fields = &setup;
      name.clear();
    } else if (line.starts_with("#### Exported")) {
      fields = nullptr;
    } else if (line.empty() || line.starts_with("~~~") || line.starts_with("#")) {
      name.clear();
    } else if (!fields) {
      continue;
    } else if (size_t colon = line.find(':'); colon != std::string::npos) {
      name = line.substr(0, colon);
      if (name == "sequence number") {
        encryptions.emplace_back();
        fields = &encryptions.back();
      }
      (*fields)[name] = colon + 2 <= line.size() ? line.substr(colon + 2) : "";
      if (name == "ct") fields = &setup;
    } else if (!name.empty()) {
      auto& home = fields->contains(name) ? *fields : encryptions.back();
      home[name] += line;
    }
  }
  finish_section();
  CHECK(checked == 12);
}

TEST_CASE("transparency-dev: Merkle inclusion and consistency, good and corrupted") {
  if (!fs::exists(vectors_folder() / "merkle")) {
    std::cout << "skipped: published vectors merkle/ are not here (set TRAM_SHARED_DATA)\n";
    return;
  }
  auto exact = [](const std::string& base64) {
    Bytes out(base64.size() + 1);
    size_t bytes = 0;
    REQUIRE(sodium_base642bin(out.data(), out.size(), base64.data(), base64.size(), nullptr, &bytes, nullptr,
                              sodium_base64_VARIANT_ORIGINAL) == 0);
    out.resize(bytes);
    return out;
  };
  size_t refused_by_type = 0, count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(vectors_folder() / "merkle")) {
    if (!entry.is_regular_file() || entry.path().extension() != ".json") continue;
    std::ifstream file(entry.path());
    Json v = Json::parse(file);
    INFO(entry.path());
    ++count;
    bool well_formed = true;
    auto hash_of = [&](const Json& value) {
      Bytes bytes = exact(value.get<std::string>());
      well_formed = well_formed && bytes.size() == 32;
      bytes.resize(32);
      return *Hash::from(bytes);
    };
    std::vector<Hash> path;
    if (v.contains("proof") && v["proof"].is_array()) {
      for (const Json& step : v["proof"]) path.push_back(hash_of(step));
    }
    bool valid = false;
    if (v.contains("leafIdx")) {
      valid = verify_inclusion(v["leafIdx"], v["treeSize"], hash_of(v["leafHash"]), path, hash_of(v["root"]));
    } else {
      valid = verify_consistency(v["size1"], v["size2"], hash_of(v["root1"]), hash_of(v["root2"]), path);
    }
    bool wanted = !v["wantErr"].get<bool>();
    if (!well_formed && !wanted) {
      // Garbage of another length: a hash is 32 bytes by type, so it cannot reach the verifier.
      ++refused_by_type;
      continue;
    }
    CHECK(valid == wanted);
  }
  CHECK(count == 196);
  CHECK(refused_by_type == 52);
}
