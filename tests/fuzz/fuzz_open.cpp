// What a sender with a good key may seal: the bytes inside body and metadata reach the recipient behind signatures that
// verify, so they are as foreign as any. The input is the container, then the metadata; its first byte says where it is
// split and whether body or metadata is a real one.
#include "base/limits.h"
#include "crypto/container.h"
#include "node/jobs.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

namespace {

class NoBodies final : public Bodies {
 public:
  Result<void> create(std::string_view, uint64_t) override { return {}; }
  Result<void> write(std::string_view, uint64_t, BytesView) override { return {}; }
  Result<void> sync(std::string_view) override { return {}; }
  Result<void> read(std::string_view, uint64_t, std::span<uint8_t>) override { return fail(ErrorCode::not_found); }
  Result<void> remove(std::string_view) override { return {}; }
  Result<std::vector<std::string>> list() override { return std::vector<std::string>{}; }
};

constexpr Time now{1772500000000};

/// Header, envelope and the one chunk of a body whose plaintext is `plain`, padded.
node::OpenJob seal(BytesView plain, BytesView metadata) {
  static const crypto::KxKeyPair ours = crypto::kx_pair_from(crypto::Secret32(Bytes(32, 0x11)));
  Chance chance(draw(plain));
  crypto::Header header;
  header.realm = *RealmId::from(Bytes(32, 1));
  header.sender = *PartyId::from(Bytes(16, 2));
  header.doc_uuid = *DocUuid::from(Bytes(16, 3));
  const crypto::Secret32 key = crypto::make_secret(chance);
  const crypto::BodyKeys keys(key, {header.realm, header.sender, header.doc_uuid});
  Bytes padded = to_bytes(plain);
  padded.resize(std::max<size_t>(limits::body_floor_bytes, plain.size()));
  crypto::Manifest manifest;
  manifest.padded_bytes = padded.size();
  Bytes chunk(padded.size() + limits::chunk_overhead_bytes);
  keys.seal_chunk(0, true, padded, chunk);
  manifest.chunks.push_back(crypto::chunk_id(chunk));
  node::OpenJob job;
  job.manifest = crypto::encode_manifest(manifest);
  header.manifest_id = crypto::manifest_id(job.manifest);
  header.padded_bytes = padded.size();
  header.chunks = 1;
  header.commit = keys.commit();
  header.meta_commit = keys.meta_commit();
  header.created = now;
  header.not_after = now + days(10);
  header.enc_metadata = keys.seal_metadata(metadata).value();
  job.header = crypto::encode_header(header, signer());
  job.officer_blob = crypto::make_random_blob(chance);
  crypto::Envelope envelope;
  envelope.realm = header.realm;
  envelope.sender = header.sender;
  envelope.recipient = *PartyId::from(Bytes(16, 4));
  envelope.seq = 1;
  envelope.doc_id = header.id;
  envelope.officer_blob_id = crypto::blob_id(job.officer_blob);
  envelope.recipient_kx = crypto::key_id(crypto::KeyKind::kx, ours.public_key);
  envelope.created = now;
  envelope.not_after = header.not_after;
  require(crypto::wrap_key(envelope, key, ours.public_key, chance).has_value(), "a key can be wrapped");
  job.envelope = crypto::encode_envelope(envelope, signer());
  job.context.realm = header.realm;
  job.context.self = envelope.recipient;
  job.inline_chunk = std::move(chunk);
  job.sender_key = signer().public_key();
  job.kx = {ours.secret.clone(), ours.public_key};
  job.have_kx = true;
  return job;
}

Bytes real_metadata() {
  proto::Metadata metadata;
  metadata.subject = "V/v thử";
  return proto::encode_metadata(metadata);
}
Bytes real_body() {
  const Bytes container = crypto::container_prefix(real_metadata());
  const auto prefix = crypto::body_prefix(container.size());
  Bytes plain = to_bytes(prefix);
  Writer(plain).raw(container);
  return plain;
}

}  // namespace

void one_input(BytesView in) {
  if (in.empty() || in.size() > limits::inline_body_bytes_max) return;
  const uint8_t way = in[0];
  in = in.subspan(1);
  Bytes plain = real_body(), metadata = real_metadata();
  if (way % 3 == 0) {
    metadata = to_bytes(in.first(std::min(in.size(), crypto::metadata_message_bytes_max)));
  } else if (way % 3 == 1) {
    plain = to_bytes(in);
  } else {
    // The length before the container is right, so that the container itself is read.
    plain = to_bytes(crypto::body_prefix(in.size()));
    Writer(plain).raw(in);
    if (plain.size() > limits::inline_body_bytes_max) return;
  }
  NoBodies bodies;
  Chance chance(1);
  node::Job job = seal(plain, metadata);
  auto done = std::get<node::OpenDone>(node::run_job(job, bodies, chance));
  if (!done.outcome) {
    const ErrorCode code = done.outcome.error().code;
    require(code == ErrorCode::bad_format || code == ErrorCode::too_large || code == ErrorCode::unsupported_version,
            "the envelope is good: only its content can be refused");
    return;
  }
  auto read = proto::decode_metadata(done.record.metadata);
  require(read.has_value(), "what is stored can be read");
  uint64_t content = crypto::container_fixed_bytes + done.record.metadata.size();
  for (const auto& file : read->files) content += file.bytes;
  require(content == done.record.container_bytes, "the files fill the container");
  const size_t end = crypto::body_prefix_bytes + content;
  require(end >= plain.size() || crypto::is_padding(BytesView(plain).subspan(end)),
          "what follows the container is zeros");
  require(end <= std::max<size_t>(plain.size(), limits::body_floor_bytes), "no file reaches past the body");

  node::BodyReader reader(bodies, done.record, *RealmId::from(Bytes(32, 1)), done.inline_chunk);
  auto offset = reader.content_offset();
  require(offset && *offset == crypto::container_fixed_bytes + done.record.metadata.size(),
          "the first file follows the header");
  Bytes files(content - *offset);
  require(reader.read(*offset, files).has_value(), "what was accepted can be read to its end");
  Bytes beyond(1);
  require(!reader.read(std::max<size_t>(plain.size(), limits::body_floor_bytes) - crypto::body_prefix_bytes, beyond),
          "nothing is read past the body");
}

}  // namespace tram::fuzz
