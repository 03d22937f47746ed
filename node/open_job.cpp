// Opening what arrived: header, envelope, key, metadata, chunks (protocol.md 3.4: first failure is the answer).
#include <algorithm>
#include <memory>

#include "base/chunks.h"
#include "base/limits.h"
#include "crypto/container.h"
#include "crypto/hash.h"
#include "node/jobs.h"

namespace tram::node {
namespace {

/// What a body holds behind the container's header, as it comes: files with the hashes that their metadata says, then zeros.
class ContentCheck {
 public:
  explicit ContentCheck(std::vector<proto::FileInfo> files) : files_(std::move(files)) {}
  Result<void> take(BytesView part) {
    for (; file_ < files_.size(); ++file_, done_ = 0, sha_.reset()) {
      if (!sha_) sha_ = std::make_unique<crypto::Sha256>();
      const auto n = static_cast<size_t>(std::min<uint64_t>(files_[file_].bytes - done_, part.size()));
      sha_->update(part.first(n));
      part = part.subspan(n);
      done_ += n;
      if (done_ < files_[file_].bytes) return {};
      if (sha_->finish() != files_[file_].sha256) return fail(ErrorCode::bad_format, "a file's hash");
    }
    if (!crypto::is_padding(part)) return fail(ErrorCode::bad_format, "padding");
    return {};
  }

 private:
  std::vector<proto::FileInfo> files_;
  size_t file_ = 0;
  uint64_t done_ = 0;  // bytes of this file
  std::unique_ptr<crypto::Sha256> sha_;
};

/// From the plain first chunk: the whole metadata and the container's size. The check has seen this chunk.
Result<ContentCheck> read_container(BytesView plain, uint64_t padded, proto::InRecord& record) {
  TRAM_TRY(container_bytes, crypto::parse_body_prefix(plain, padded));
  const BytesView all = plain.subspan(crypto::body_prefix_bytes);
  const BytesView container = all.first(static_cast<size_t>(std::min<uint64_t>(all.size(), container_bytes)));
  TRAM_TRY(prefix, crypto::parse_container_prefix(container));
  TRAM_TRY(metadata, proto::decode_metadata(prefix.header));
  uint64_t content = prefix.content_offset;
  for (const auto& file : metadata.files) {
    if (file.bytes > container_bytes || content + file.bytes > container_bytes)
      return fail(ErrorCode::bad_format, "files exceed the container");
    content += file.bytes;
  }
  if (content != container_bytes) return fail(ErrorCode::bad_format, "bytes after the last file");
  record.metadata = to_bytes(prefix.header);
  record.container_bytes = container_bytes;
  ContentCheck check(metadata.files);
  TRAM_OK(check.take(all.subspan(prefix.content_offset)));
  return check;
}

Result<void> open(OpenJob& job, OpenDone& done) {
  TRAM_TRY(envelope, crypto::decode_envelope(job.envelope));
  TRAM_TRY(header, crypto::decode_header(job.header));
  if (envelope.realm != job.context.realm || header.realm != job.context.realm) return fail(ErrorCode::wrong_realm);
  if (envelope.recipient != job.context.self) return fail(ErrorCode::bad_request, "not addressed to this agency");
  if (envelope.sender != header.sender || envelope.doc_id != header.id)
    return fail(ErrorCode::bad_format, "header and envelope disagree");
  if (!crypto::verify_envelope(envelope, job.sender_key)) return fail(ErrorCode::bad_signature, "envelope");
  const auto signed_with = [&](const SigPublic& key) { return crypto::verify_header(header, key); };
  if (!signed_with(job.sender_key) && std::none_of(job.header_keys.begin(), job.header_keys.end(), signed_with)) return fail(ErrorCode::bad_signature, "header");
  if (crypto::blob_id(job.officer_blob) != envelope.officer_blob_id) return fail(ErrorCode::bad_format, "officer blob");
  if (!job.have_kx) return fail(ErrorCode::rekey, "the key this envelope names is not held");
  TRAM_TRY(key, crypto::unwrap_key(envelope, job.kx));
  const crypto::BodyKeys keys(key, {header.realm, header.sender, header.doc_uuid});
  if (keys.meta_commit() != header.meta_commit) return fail(ErrorCode::cannot_open, "metadata commitment");
  if (keys.commit() != header.commit) return fail(ErrorCode::cannot_open, "body commitment");
  TRAM_TRY(metadata, keys.open_metadata(header.enc_metadata));
  TRAM_TRY(decoded, proto::decode_metadata(metadata));
  (void)decoded;

  proto::InRecord& record = done.record;
  record.doc_id = header.id;
  record.env_id = envelope.id;
  record.sender = envelope.sender;
  record.lane = envelope.lane;
  record.inc = envelope.inc;
  record.seq = envelope.seq;
  record.envelope = job.envelope;
  record.header = job.header;
  record.metadata = std::move(metadata);
  record.document_key = to_bytes(key.view());
  record.chunks = header.chunks;
  record.body_bytes = header.padded_bytes + uint64_t{header.chunks} * limits::chunk_overhead_bytes;
  record.inline_body = header.chunks == 1 && header.padded_bytes <= limits::inline_body_bytes_max;
  if (!record.inline_body) return {};

  if (crypto::manifest_id(job.manifest) != header.manifest_id) return fail(ErrorCode::bad_format, "manifest");
  TRAM_TRY(manifest, crypto::decode_manifest(job.manifest));
  if (manifest.padded_bytes != header.padded_bytes || manifest.chunks.size() != 1)
    return fail(ErrorCode::bad_format, "manifest");
  if (job.inline_chunk.size() != crypto::sealed_chunk_size(manifest, 0) ||
      crypto::chunk_id(job.inline_chunk) != manifest.chunks[0])
    return fail(ErrorCode::bad_format, "chunk");
  Bytes plain(header.padded_bytes);
  TRAM_OK(keys.open_chunk(0, true, job.inline_chunk, plain));
  TRAM_OK(read_container(plain, header.padded_bytes, record));
  record.manifest = std::move(job.manifest);
  done.inline_chunk = std::move(job.inline_chunk);
  return {};
}

Result<void> take_chunk(ChunkJob& job, Bodies& bodies) {
  if (crypto::chunk_id(job.sealed) != job.expected) return fail(ErrorCode::bad_format, "chunk");
  return put_chunk(bodies, body_name(job.doc_id), job.body_bytes, job.index, job.sealed);
}

Result<void> finish(FinishBodyJob& job, Bodies& bodies) {
  const std::string name = body_name(job.record.doc_id);
  TRAM_OK(bodies.sync(name));
  TRAM_TRY(in_row, keep_manifest(bodies, name, job.manifest));
  job.record.manifest = std::move(in_row);
  TRAM_TRY(header, crypto::decode_header(job.record.header));
  TRAM_TRY(manifest, crypto::decode_manifest(job.manifest));
  Bytes sealed(crypto::sealed_chunk_size(manifest, 0));
  TRAM_OK(bodies.read(name, 0, sealed));
  const crypto::BodyKeys keys(crypto::Secret32(job.record.document_key), {job.realm, header.sender, header.doc_uuid});
  Bytes plain(sealed.size() - limits::chunk_overhead_bytes);
  TRAM_OK(keys.open_chunk(0, manifest.chunks.size() == 1, sealed, plain));
  TRAM_TRY(check, read_container(plain, header.padded_bytes, job.record));
  const auto chunks = static_cast<uint32_t>(manifest.chunks.size());
  for (uint32_t i = 1; i < chunks; ++i) {
    sealed.resize(crypto::sealed_chunk_size(manifest, i));
    plain.resize(sealed.size() - limits::chunk_overhead_bytes);
    TRAM_OK(bodies.read(name, uint64_t{i} * limits::sealed_chunk_bytes, sealed));
    TRAM_OK(keys.open_chunk(i, i + 1 == chunks, sealed, plain));
    TRAM_OK(check.take(plain));
  }
  return {};
}

ScanBodyDone scan(ScanBodyJob& job, Bodies& bodies) {
  ScanBodyDone done{job.env_id, std::vector<bool>(job.manifest.chunks.size())};
  const std::string name = body_name(job.doc_id);
  Bytes sealed;
  for (uint32_t i = 0; i < job.manifest.chunks.size(); ++i) {
    sealed.resize(crypto::sealed_chunk_size(job.manifest, i));
    auto read = bodies.read(name, uint64_t{i} * limits::sealed_chunk_bytes, sealed);
    if (!read && read.error().code == ErrorCode::not_found) {
      (void)bodies.create(name, job.body_bytes);  // without room for it now, the first chunk's job makes it
      return done;
    }
    if (!read) continue;
    done.have[i] = crypto::chunk_id(sealed) == job.manifest.chunks[i];
  }
  return done;
}

}  // namespace

OpenDone run_open_job(OpenJob& job) {
  OpenDone done;
  done.env_id = job.env_id;
  done.outcome = open(job, done);
  return done;
}
ChunkJobDone run_chunk_job(ChunkJob& job, Bodies& bodies) { return {job.env_id, job.index, take_chunk(job, bodies)}; }
ScanBodyDone run_scan_job(ScanBodyJob& job, Bodies& bodies) { return scan(job, bodies); }
FinishBodyDone run_finish_job(FinishBodyJob& job, Bodies& bodies) {
  FinishBodyDone done;
  done.env_id = job.env_id;
  done.outcome = finish(job, bodies);
  done.record = std::move(job.record);
  return done;
}

// ---- BodyReader -------------------------------------------------------------------------------------------------

namespace {
crypto::BodyKeys keys_of(const proto::InRecord& record, const RealmId& realm) {
  auto header = crypto::decode_header(record.header);
  const DocUuid uuid = header ? header->doc_uuid : DocUuid{};
  return {crypto::Secret32(record.document_key), {realm, record.sender, uuid}};
}
}  // namespace

BodyReader::BodyReader(Bodies& bodies, const proto::InRecord& record, const RealmId& realm, Bytes inline_chunk)
    : bodies_(bodies), keys_(keys_of(record, realm)), doc_id_(record.doc_id), chunks_(record.chunks),
      body_bytes_(record.body_bytes), inline_chunk_(std::move(inline_chunk)), inline_body_(record.inline_body) {}

Result<void> BodyReader::load_chunk(uint32_t index) {
  if (index == cached_index_) return {};
  auto opened = open_chunk(index);
  if (!opened && when_damaged_) when_damaged_();
  return opened;
}

Result<void> BodyReader::open_chunk(uint32_t index) {
  if (index >= chunks_) return fail(ErrorCode::store_corrupt, "offset beyond the body");
  const bool last = index + 1 == chunks_;
  const uint64_t start = uint64_t{index} * limits::sealed_chunk_bytes;
  Bytes sealed;
  if (inline_body_) {
    sealed = inline_chunk_;
  } else {
    sealed.resize(last ? body_bytes_ - start : limits::sealed_chunk_bytes);
    TRAM_OK(bodies_.read(body_name(doc_id_), start, sealed));
  }
  if (sealed.size() < limits::chunk_overhead_bytes) return fail(ErrorCode::store_corrupt, "body");
  plain_.resize(sealed.size() - limits::chunk_overhead_bytes);
  TRAM_OK(keys_.open_chunk(index, last, sealed, plain_));
  cached_index_ = index;
  return {};
}

Result<void> BodyReader::read(uint64_t offset, std::span<uint8_t> out) {
  offset += crypto::body_prefix_bytes;
  for (size_t filled = 0; filled < out.size();) {
    const uint64_t at = offset + filled;
    TRAM_OK(load_chunk(static_cast<uint32_t>(at / limits::chunk_bytes)));
    const size_t within = at % limits::chunk_bytes;
    if (within >= plain_.size()) return fail(ErrorCode::store_corrupt, "offset beyond the body");
    const size_t n = std::min(out.size() - filled, plain_.size() - within);
    std::memcpy(out.data() + filled, plain_.data() + within, n);
    filled += n;
  }
  return {};
}

Result<uint64_t> BodyReader::content_offset() {
  TRAM_OK(load_chunk(0));
  TRAM_TRY(prefix, crypto::parse_container_prefix(BytesView(plain_).subspan(crypto::body_prefix_bytes)));
  return uint64_t{prefix.content_offset};
}

}  // namespace tram::node
