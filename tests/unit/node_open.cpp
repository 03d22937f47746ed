// What a sender with good keys may seal is checked like any other bytes: the container, and what follows it (FORMAT.md
// 3).
#include "base/limits.h"
#include "crypto/container.h"
#include "crypto/hash.h"
#include "tests/unit/node_api_fixture.h"

namespace tram::node::test {
namespace {

using directory::test::TestRandom;

/// A document whose body is `plain`, zeros behind it up to `padded_bytes`; its chunks and what its recipient needs.
struct Sealed {
  TestRandom random{3};
  crypto::SigningKey sig{crypto::make_secret(random)};
  crypto::KxKeyPair kx = crypto::make_kx_pair(random);
  crypto::Secret32 key = crypto::make_secret(random);
  crypto::Manifest manifest;
  crypto::Header header;
  std::vector<Bytes> chunks;
  OpenJob open;

  Sealed(Bytes plain, size_t padded_bytes) {
    plain.resize(padded_bytes);
    header.realm = random.id<RealmId>();
    header.sender = random.id<PartyId>();
    header.doc_uuid = random.id<DocUuid>();
    const crypto::BodyKeys keys(key, {header.realm, header.sender, header.doc_uuid});
    manifest.padded_bytes = padded_bytes;
    const uint32_t count = crypto::chunk_count(padded_bytes);
    for (uint32_t i = 0; i < count; ++i) {
      const BytesView part = BytesView(plain)
                                 .subspan(i * limits::chunk_bytes)
                                 .first(std::min(limits::chunk_bytes, padded_bytes - i * limits::chunk_bytes));
      chunks.emplace_back(part.size() + limits::chunk_overhead_bytes);
      keys.seal_chunk(i, i + 1 == count, part, chunks.back());
      manifest.chunks.push_back(crypto::chunk_id(chunks.back()));
    }
    open.manifest = crypto::encode_manifest(manifest);
    header.manifest_id = crypto::manifest_id(open.manifest);
    header.padded_bytes = padded_bytes;
    header.chunks = count;
    header.commit = keys.commit();
    header.meta_commit = keys.meta_commit();
    header.created = directory::test::day_0;
    header.not_after = header.created + days(1);
    header.enc_metadata = keys.seal_metadata(proto::encode_metadata({})).value();
    open.header = crypto::encode_header(header, sig);
    open.officer_blob = crypto::make_random_blob(random);
    crypto::Envelope envelope;
    envelope.realm = header.realm;
    envelope.sender = header.sender;
    envelope.recipient = random.id<PartyId>();
    envelope.seq = 1;
    envelope.doc_id = header.id;
    envelope.officer_blob_id = crypto::blob_id(open.officer_blob);
    envelope.recipient_kx = crypto::key_id(crypto::KeyKind::kx, kx.public_key);
    envelope.created = header.created;
    envelope.not_after = header.not_after;
    REQUIRE(crypto::wrap_key(envelope, key, kx.public_key, random));
    open.envelope = crypto::encode_envelope(envelope, sig);
    open.context.realm = header.realm;
    open.context.self = envelope.recipient;
    open.inline_chunk = chunks[0];
    open.sender_key = sig.public_key();
    open.kx = {kx.secret.clone(), kx.public_key};
    open.have_kx = true;
  }

  /// Opened as a node does it, to the end.
  Result<void> outcome() {
    MapBodies bodies;
    Job job = std::move(open);
    const Bytes manifest_bytes = std::get<OpenJob>(job).manifest;
    auto opened = std::get<OpenDone>(run_job(job, bodies, random));
    if (!opened.outcome || opened.record.inline_body) return opened.outcome;
    const std::string name = body_name(header.id);
    REQUIRE(bodies.create(name, 0));
    for (size_t i = 0; i < chunks.size(); ++i) REQUIRE(bodies.write(name, i * limits::sealed_chunk_bytes, chunks[i]));
    Job finish = FinishBodyJob{opened.env_id, header.realm, opened.record, manifest_bytes};
    return std::get<FinishBodyDone>(run_job(finish, bodies, random)).outcome;
  }
};

Bytes body(const std::vector<Bytes>& files, const proto::Metadata& metadata) {
  const Bytes prefix = crypto::container_prefix(proto::encode_metadata(metadata));
  size_t content = 0;
  for (const Bytes& file : files) content += file.size();
  Bytes plain = to_bytes(crypto::body_prefix(prefix.size() + content));
  Writer writer(plain);
  writer.raw(prefix);
  for (const Bytes& file : files) writer.raw(file);
  return plain;
}
Bytes body(size_t file_bytes, size_t claimed_file_bytes) {
  const Bytes file(file_bytes, 0x41);
  proto::Metadata metadata;
  metadata.files.push_back({"a.pdf", "application/pdf", claimed_file_bytes, crypto::sha256({file})});
  return body({file}, metadata);
}

ErrorCode code(const Result<void>& result) { return result ? ErrorCode::internal : result.error().code; }

}  // namespace

TEST_CASE("zeros follow the container, in a small body and in every chunk of a large one") {
  const size_t small = 4096, large = 4 * limits::chunk_bytes - 100;
  const size_t file = limits::chunk_bytes + 5000;  // ends in the second chunk
  CHECK(Sealed(body(100, 100), small).outcome());
  CHECK(Sealed(body(file, file), large).outcome());
  CHECK(Sealed(body(100, 100), large).outcome());

  for (const size_t at : {body(100, 100).size(), small - 1}) {
    Bytes plain = body(100, 100);
    plain.resize(small);
    plain[at] = 1;
    CHECK(code(Sealed(plain, small).outcome()) == ErrorCode::bad_format);
  }
  for (const size_t at : {body(file, file).size(), 2 * limits::chunk_bytes - 1, 2 * limits::chunk_bytes, large - 1}) {
    Bytes plain = body(file, file);
    plain.resize(large);
    plain[at] = 1;
    INFO(at);
    CHECK(code(Sealed(plain, large).outcome()) == ErrorCode::bad_format);
  }
}

TEST_CASE("the files fill the container, no more and no less") {
  CHECK(code(Sealed(body(100, 99), 4096).outcome()) == ErrorCode::bad_format);
  CHECK(code(Sealed(body(100, 101), 4096).outcome()) == ErrorCode::bad_format);
  CHECK(code(Sealed(body(100, UINT64_MAX - 50), 4096).outcome()) == ErrorCode::bad_format);
  Bytes plain = body(100, 100);
  plain[0] = 0xff;  // a container longer than its body
  CHECK(code(Sealed(plain, 4096).outcome()) == ErrorCode::bad_format);
}

TEST_CASE("every file has the hash that its sender signed, or the document is refused") {
  const std::vector<Bytes> files{Bytes(300, 0x41), {}, Bytes(2 * limits::chunk_bytes, 0x42), Bytes(40, 0x43), {}};
  for (const bool large : {false, true}) {
    auto content = files;
    if (!large) content[2].resize(1000);
    const size_t padded = large ? 4 * limits::chunk_bytes - 100 : 4096;
    proto::Metadata metadata;
    for (const Bytes& file : content) metadata.files.push_back({"a.pdf", "application/pdf", file.size(), crypto::sha256({file})});
    CHECK(Sealed(body(content, metadata), padded).outcome());
    for (size_t i = 0; i < content.size(); ++i) {
      INFO(large << " " << i);
      auto lies = metadata;
      lies.files[i].sha256.bytes[31] ^= 1;
      CHECK(code(Sealed(body(content, lies), padded).outcome()) == ErrorCode::bad_format);
      if (content[i].empty()) continue;
      auto other = content;
      other[i].back() ^= 1;
      CHECK(code(Sealed(body(other, metadata), padded).outcome()) == ErrorCode::bad_format);
    }
  }
}

}  // namespace tram::node::test
