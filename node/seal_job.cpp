// Sealing a document: container, body, metadata, signed header (protocol.md 3.2, 3.3).
#include <algorithm>
#include <map>

#include "base/limits.h"
#include "crypto/container.h"
#include "node/jobs.h"

namespace tram::node {
namespace {

constexpr uint64_t slot_bytes = limits::upload_slot_bytes;
constexpr uint64_t sealed_slot_bytes = slot_bytes + limits::chunk_overhead_bytes;
constexpr uint64_t slots_per_read = 4;
constexpr uint64_t kept_bytes_max = 4u << 20;  // uploads are read three times; as much as this of them from memory

/// Plain bytes of staged uploads, decrypted a few slots at a time. The first bytes of a document are kept: most documents
/// are read and decrypted once.
class Uploads {
 public:
  Uploads(const SealJob& job, Bodies& bodies) : job_(job), bodies_(bodies) {}

  const proto::UploadRecord* find(const std::string& id) const {
    for (const auto& upload : job_.uploads)
      if (upload.id == id) return &upload;
    return nullptr;
  }

  /// What there is from `offset` on, at least one byte; valid until the next call.
  Result<BytesView> at(const proto::UploadRecord& upload, uint64_t offset) {
    const uint64_t full = upload.length / slot_bytes, slot = offset / slot_bytes;
    if (slot >= full) return BytesView(upload.tail).subspan(static_cast<size_t>(offset - full * slot_bytes));
    const Place place{&upload - job_.uploads.data(), slot / slots_per_read};
    const uint64_t begin = place.second * slots_per_read * slot_bytes;
    auto it = kept_.find(place);
    if (it == kept_.end()) {
      const uint64_t slots = std::min(slots_per_read, full - place.second * slots_per_read);
      if (kept_bytes_ + slots * slot_bytes > kept_bytes_max) {
        if (read_ != place) {
          read_ = {-1, 0};
          TRAM_OK(open(upload, place.second * slots_per_read, slots, plain_));
          read_ = place;
        }
        return BytesView(plain_).subspan(static_cast<size_t>(offset - begin));
      }
      Bytes plain;
      TRAM_OK(open(upload, place.second * slots_per_read, slots, plain));
      kept_bytes_ += plain.size();
      it = kept_.emplace(place, std::move(plain)).first;
    }
    return BytesView(it->second).subspan(static_cast<size_t>(offset - begin));
  }

 private:
  using Place = std::pair<ptrdiff_t, uint64_t>;  // which upload, which slots of it

  Result<void> open(const proto::UploadRecord& upload, uint64_t first, uint64_t slots, Bytes& plain) {
    sealed_.resize(static_cast<size_t>(slots * sealed_slot_bytes));
    plain.resize(static_cast<size_t>(slots * slot_bytes));
    TRAM_OK(bodies_.read(upload_name(upload.id), first * sealed_slot_bytes, sealed_));
    const crypto::Secret32 key(upload.key);
    for (size_t i = 0; i < slots; ++i)
      TRAM_OK(crypto::open_slot(key, first + i, BytesView(sealed_).subspan(i * sealed_slot_bytes, sealed_slot_bytes),
                                std::span(plain).subspan(i * slot_bytes, slot_bytes)));
    return {};
  }

  const SealJob& job_;
  Bodies& bodies_;
  std::map<Place, Bytes> kept_;
  uint64_t kept_bytes_ = 0;
  Place read_{-1, 0};
  Bytes sealed_, plain_;
};

/// The container as one stream of plain bytes: literal parts and staged uploads.
class PlainStream {
 public:
  explicit PlainStream(Uploads& uploads) : uploads_(uploads) {}
  void add(BytesView literal) { parts_.push_back({literal, nullptr, literal.size()}); }
  void add(const proto::UploadRecord& upload) { parts_.push_back({{}, &upload, upload.length}); }
  void rewind() { part_ = 0, offset_ = 0; }

  /// At most `bytes_max` bytes more, none at the end; valid until the next call.
  Result<BytesView> next(size_t bytes_max) {
    while (part_ < parts_.size() && offset_ == parts_[part_].bytes) ++part_, offset_ = 0;
    if (part_ == parts_.size()) return BytesView();
    const Part& part = parts_[part_];
    BytesView piece = part.literal.subspan(part.upload ? 0 : static_cast<size_t>(offset_));
    if (part.upload) {
      TRAM_TRY(opened, uploads_.at(*part.upload, offset_));
      piece = opened;
    }
    piece = piece.first(std::min(piece.size(), bytes_max));
    offset_ += piece.size();
    return piece;
  }

  /// Fills as much of `out` as there is; returns the bytes filled.
  Result<size_t> read(std::span<uint8_t> out) {
    size_t filled = 0;
    while (filled < out.size()) {
      TRAM_TRY(piece, next(out.size() - filled));
      if (piece.empty()) break;
      std::memcpy(out.data() + filled, piece.data(), piece.size());
      filled += piece.size();
    }
    return filled;
  }

 private:
  struct Part {
    BytesView literal;
    const proto::UploadRecord* upload;
    uint64_t bytes;
  };

  Uploads& uploads_;
  std::vector<Part> parts_;
  size_t part_ = 0;
  uint64_t offset_ = 0;
};

/// Runs the whole stream through `sink`.
template <class Sink>
Result<uint64_t> drain(PlainStream& stream, Sink&& sink) {
  uint64_t total = 0;
  for (;;) {
    TRAM_TRY(piece, stream.next(limits::chunk_bytes));
    if (piece.empty()) return total;
    sink(piece);
    total += piece.size();
  }
}

Result<void> add_file(const Uploads& uploads, const proto::StagedFile& file, PlainStream& stream) {
  if (file.upload.empty()) {
    stream.add(file.content);
    return {};
  }
  const auto* upload = uploads.find(file.upload);
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
    plain.resize(last ? padded - uint64_t{i} * limits::chunk_bytes : limits::chunk_bytes);
    size_t start = 0;
    if (i == 0) std::memcpy(plain.data(), prefix.data(), start = prefix.size());
    TRAM_TRY(n, stream.read(std::span(plain).subspan(start)));
    std::fill(plain.begin() + static_cast<ptrdiff_t>(start + n), plain.end(), 0);  // the padding
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
  Uploads uploads(job, bodies);
  for (const auto& file : record.staged) {
    PlainStream one(uploads);
    TRAM_OK(add_file(uploads, file, one));
    crypto::Sha256 sha;
    TRAM_TRY(bytes, drain(one, [&](BytesView part) { sha.update(part); }));
    metadata.files.push_back({file.name, file.media_type, bytes, sha.finish()});
  }
  Bytes header = proto::encode_metadata(metadata);
  if (header.size() > crypto::container_header_bytes_max) return fail(ErrorCode::too_large, "metadata");
  const Bytes prefix = crypto::container_prefix(header);

  PlainStream stream(uploads);
  stream.add(prefix);
  for (const auto& file : record.staged) TRAM_OK(add_file(uploads, file, stream));
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
  TRAM_TRY(in_row, keep_manifest(bodies, name, manifest));
  record.manifest = std::move(in_row);
  if (record.inline_body) {
    record.body_name.clear();
    done.inline_chunk = std::move(body.inline_chunk);
    return {};
  }
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
