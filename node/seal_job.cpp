// Sealing a document: container, body, metadata, signed header (protocol.md 3.2, 3.3).
#include <algorithm>

#include "base/limits.h"
#include "crypto/container.h"
#include "node/jobs.h"

namespace tram::node {
namespace {

constexpr size_t sealed_slot_bytes = limits::upload_slot_bytes + limits::chunk_overhead_bytes;

/// The container as one stream of plain bytes: literal parts and staged uploads, decrypted slot by slot.
class PlainStream {
 public:
  explicit PlainStream(Bodies& bodies) : bodies_(bodies) {}
  void add(BytesView literal) { parts_.push_back({literal, nullptr, literal.size()}); }
  void add(const proto::UploadRecord& upload) { parts_.push_back({{}, &upload, upload.length}); }
  void rewind() { part_ = 0, offset_ = 0, slot_ = UINT64_MAX; }

  /// Fills as much of `out` as there is; returns the bytes filled.
  Result<size_t> read(std::span<uint8_t> out) {
    size_t filled = 0;
    while (filled < out.size() && part_ < parts_.size()) {
      const Part& part = parts_[part_];
      if (offset_ == part.bytes) {
        ++part_, offset_ = 0, slot_ = UINT64_MAX;
        continue;
      }
      TRAM_TRY(piece, piece_at(part));
      size_t n = std::min(piece.size(), out.size() - filled);
      std::memcpy(out.data() + filled, piece.data(), n);
      filled += n;
      offset_ += n;
    }
    return filled;
  }

 private:
  struct Part {
    BytesView literal;
    const proto::UploadRecord* upload;
    uint64_t bytes;
  };

  Result<BytesView> piece_at(const Part& part) {
    if (!part.upload) return part.literal.subspan(offset_);
    const proto::UploadRecord& upload = *part.upload;
    const uint64_t slot = offset_ / limits::upload_slot_bytes, within = offset_ % limits::upload_slot_bytes;
    if (slot == upload.offset / limits::upload_slot_bytes) return BytesView(upload.tail).subspan(within);
    if (slot_ != slot) {
      sealed_.resize(sealed_slot_bytes);
      plain_.resize(limits::upload_slot_bytes);
      TRAM_OK(bodies_.read(upload_name(upload.id), slot * sealed_slot_bytes, sealed_));
      TRAM_OK(crypto::open_slot(crypto::Secret32(upload.key), slot, sealed_, plain_));
      slot_ = slot;
    }
    return BytesView(plain_).subspan(within);
  }

  Bodies& bodies_;
  std::vector<Part> parts_;
  size_t part_ = 0;
  uint64_t offset_ = 0;
  uint64_t slot_ = UINT64_MAX;
  Bytes sealed_, plain_;
};

/// Runs the whole stream through `sink`.
template <class Sink>
Result<uint64_t> drain(PlainStream& stream, Sink&& sink) {
  Bytes buffer(limits::chunk_bytes);
  uint64_t total = 0;
  for (;;) {
    TRAM_TRY(n, stream.read(buffer));
    if (n == 0) return total;
    sink(BytesView(buffer).first(n));
    total += n;
  }
}

const proto::UploadRecord* find_upload(const SealJob& job, const std::string& id) {
  for (const auto& upload : job.uploads)
    if (upload.id == id) return &upload;
  return nullptr;
}

Result<void> add_file(const SealJob& job, const proto::StagedFile& file, PlainStream& stream) {
  if (file.upload.empty()) {
    stream.add(file.content);
    return {};
  }
  const auto* upload = find_upload(job, file.upload);
  if (!upload || upload->offset != upload->length) return fail(ErrorCode::not_found, "upload " + file.upload);
  stream.add(*upload);
  return {};
}

/// The metadata that fits 4,096 bytes: lists give way first, the container keeps them all (3.3).
Result<Bytes> fitting_metadata(const crypto::BodyKeys& keys, proto::Metadata metadata) {
  auto attempt = [&] { return keys.seal_metadata(proto::encode_metadata(metadata)); };
  if (auto sealed = attempt()) return sealed;
  metadata.partial = true;
  metadata.addressees.clear();
  if (auto sealed = attempt()) return sealed;
  metadata.content.clear();
  metadata.to_places.clear();
  if (auto sealed = attempt()) return sealed;
  metadata.files.clear();
  metadata.reply_to.clear();
  metadata.note.clear();
  metadata.relation.reason.clear();
  return attempt();
}

struct SealedBody {
  crypto::Manifest manifest;
  Bytes inline_chunk;
  uint64_t sealed_bytes = 0;
};

/// Seals P' chunk by chunk. A large body goes to a file under a temporary name, for its id is not known yet.
Result<SealedBody> seal_body(PlainStream& stream, uint64_t container_bytes, uint64_t padded, const crypto::BodyKeys& keys,
                             Bodies& bodies, const std::string& name) {
  SealedBody body;
  body.manifest.padded_bytes = padded;
  const uint32_t chunks = crypto::chunk_count(padded);
  if (chunks > limits::chunks_per_body_max) return fail(ErrorCode::too_large, "document over 2 GiB");
  const bool is_inline = chunks == 1 && padded <= limits::inline_body_bytes_max;
  if (!is_inline) TRAM_OK(bodies.create(name, padded + uint64_t{chunks} * limits::chunk_overhead_bytes));
  const auto prefix = crypto::body_prefix(container_bytes);
  Bytes plain, sealed;
  for (uint32_t i = 0; i < chunks; ++i) {
    const bool last = i + 1 == chunks;
    plain.assign(last ? padded - uint64_t{i} * limits::chunk_bytes : limits::chunk_bytes, 0);
    size_t start = 0;
    if (i == 0) std::memcpy(plain.data(), prefix.data(), start = prefix.size());
    TRAM_TRY(n, stream.read(std::span(plain).subspan(start)));
    (void)n;  // what the stream does not fill stays zero: the padding
    sealed.resize(plain.size() + limits::chunk_overhead_bytes);
    keys.seal_chunk(i, last, plain, sealed);
    body.manifest.chunks.push_back(crypto::chunk_id(sealed));
    body.sealed_bytes += sealed.size();
    if (is_inline) body.inline_chunk = std::move(sealed);
    else TRAM_OK(bodies.write(name, uint64_t{i} * limits::sealed_chunk_bytes, sealed));
  }
  return body;
}

Result<void> seal(SealJob& job, Bodies& bodies, Random& random, SealDone& done) {
  proto::OutRecord& record = job.record;
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  metadata.files.clear();
  for (const auto& file : record.staged) {
    PlainStream one(bodies);
    TRAM_OK(add_file(job, file, one));
    crypto::Sha256 sha;
    TRAM_TRY(bytes, drain(one, [&](BytesView part) { sha.update(part); }));
    metadata.files.push_back({file.name, file.media_type, bytes, sha.finish()});
  }
  Bytes header = proto::encode_metadata(metadata);
  if (header.size() > crypto::container_header_bytes_max) return fail(ErrorCode::too_large, "metadata");
  const Bytes prefix = crypto::container_prefix(header);

  PlainStream stream(bodies);
  stream.add(prefix);
  for (const auto& file : record.staged) TRAM_OK(add_file(job, file, stream));
  crypto::Hasher container_hash("edx1/p");
  TRAM_TRY(container_bytes, drain(stream, [&](BytesView part) { container_hash.update(part); }));

  const crypto::BodyContext context{job.context.realm, job.context.self, record.uuid};
  const auto key = crypto::make_document_key(random, *job.context.hedge, container_hash.finish(), record.uuid);
  const crypto::BodyKeys keys(key, context);
  const uint64_t padded = crypto::padded_size(container_bytes, job.context.body_floor_bytes);

  const std::string name = record.body_name;
  stream.rewind();
  TRAM_TRY(body, seal_body(stream, container_bytes, padded, keys, bodies, name));
  const Bytes manifest = crypto::encode_manifest(body.manifest);

  crypto::Header out;
  out.realm = job.context.realm;
  out.sender = job.context.self;
  out.doc_uuid = record.uuid;
  out.manifest_id = crypto::manifest_id(manifest);
  out.padded_bytes = padded;
  out.chunks = static_cast<uint32_t>(body.manifest.chunks.size());
  out.commit = keys.commit();
  out.meta_commit = keys.meta_commit();
  out.recipients_root = keys.recipients_root(job.recipients);
  out.created = record.created;
  out.not_after = record.not_after;
  TRAM_TRY(enc_metadata, fitting_metadata(keys, metadata));
  out.enc_metadata = std::move(enc_metadata);
  record.header = crypto::encode_header(out, *job.context.sig);
  record.doc_id = out.id;
  record.metadata = std::move(header);
  record.document_key = to_bytes(key.view());
  record.body_bytes = body.sealed_bytes;
  record.chunks = out.chunks;
  record.inline_body = !body.inline_chunk.empty();
  record.state = proto::OutState::sent;
  if (record.inline_body) {
    record.body_name.clear();
    record.manifest = manifest;
    done.inline_chunk = std::move(body.inline_chunk);
    return {};
  }
  TRAM_OK(bodies.create(manifest_name(name), manifest.size()));
  TRAM_OK(bodies.write(manifest_name(name), 0, manifest));
  TRAM_OK(bodies.sync(manifest_name(name)));
  return bodies.sync(name);
}

/// For contents that are all in the record.
class NoBodies final : public Bodies {
 public:
  Result<void> create(std::string_view, uint64_t) override { return none(); }
  Result<void> write(std::string_view, uint64_t, BytesView) override { return none(); }
  Result<void> sync(std::string_view) override { return none(); }
  Result<void> read(std::string_view, uint64_t, std::span<uint8_t>) override { return none(); }
  Result<void> remove(std::string_view) override { return none(); }
  Result<std::vector<std::string>> list() override { return none(); }

 private:
  static tl::unexpected<Error> none() { return fail(ErrorCode::internal, "a body of one chunk has no file"); }
};

}  // namespace

SealDone run_seal_job(SealJob& job, Bodies& bodies, Random& random) {
  SealDone done;
  done.uuid = job.record.uuid;
  done.attempt = job.record.body_name;
  done.outcome = seal(job, bodies, random, done);
  done.record = std::move(job.record);
  return done;
}

SealDone seal_contents(SealJob& job, Random& random) {
  NoBodies bodies;
  return run_seal_job(job, bodies, random);
}

}  // namespace tram::node
