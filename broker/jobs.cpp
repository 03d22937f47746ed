#include "broker/jobs.h"

#include <algorithm>

#include "base/chunks.h"
#include "base/limits.h"

namespace tram::broker {
namespace {

/// sealed bytes of a body of n chunks.
uint64_t sealed_bytes(uint64_t padded_bytes, uint32_t chunks) {
  return padded_bytes + uint64_t{chunks} * limits::chunk_overhead_bytes;
}

bool header_agrees(const crypto::Header& header, const crypto::Manifest& manifest, BytesView manifest_bytes) {
  return crypto::manifest_id(manifest_bytes) == header.manifest_id && manifest.padded_bytes == header.padded_bytes &&
         manifest.chunks.size() == header.chunks && header.chunks <= limits::chunks_per_body_max;
}

template <class Verify>
bool verified_by_any(const std::vector<SigPublic>& keys, Verify verify) {
  return std::any_of(keys.begin(), keys.end(), verify);
}

/// Header, manifest and, when given, the inline chunk of one Put. Returns an error number or 0.
uint16_t check_body(const VerifyPutJob::Item& asked, VerifyPutDone::Item& done) {
  const proto::Put& put = asked.put;
  auto header = crypto::decode_header(put.header);
  if (!header) return number(header.error().code);
  if (header->id != put.doc_id || header->sender != asked.asker.peer) return number(ErrorCode::bad_request);
  done.header = std::move(*header);
  auto manifest = crypto::decode_manifest(put.manifest);
  if (!manifest) return number(manifest.error().code);
  if (!header_agrees(done.header, *manifest, put.manifest)) return number(ErrorCode::bad_format);
  done.body_bytes = sealed_bytes(manifest->padded_bytes, static_cast<uint32_t>(manifest->chunks.size()));
  if (put.inline_chunk.empty()) return 0;
  if (manifest->chunks.size() != 1 || manifest->padded_bytes > limits::inline_body_bytes_max ||
      put.inline_chunk.size() != crypto::sealed_chunk_size(*manifest, 0) ||
      crypto::chunk_id(put.inline_chunk) != manifest->chunks[0]) {
    return number(ErrorCode::bad_format);
  }
  const auto signed_with = [&](const SigPublic& key) { return crypto::verify_header(done.header, key); };
  if (!verified_by_any(asked.keys, signed_with) && !verified_by_any(asked.header_keys, signed_with)) return number(ErrorCode::bad_signature);
  done.body_verified = true;
  return 0;
}

VerifyPutDone::Part check_envelope(const VerifyPutJob::Item& asked, const proto::PutItem& item) {
  VerifyPutDone::Part part;
  auto envelope = crypto::decode_envelope(item.envelope);
  if (!envelope) {
    part.refusal = number(envelope.error().code);
    return part;
  }
  part.envelope = std::move(*envelope);
  if (part.envelope.sender != asked.asker.peer || part.envelope.doc_id != asked.put.doc_id) {
    part.refusal = number(ErrorCode::forbidden);
  } else if (item.officer_blob.size() != limits::officer_blob_bytes ||
             crypto::blob_id(item.officer_blob) != part.envelope.officer_blob_id) {
    part.refusal = number(ErrorCode::bad_format);
  } else if (!verified_by_any(asked.keys,
                              [&](const SigPublic& key) { return crypto::verify_envelope(part.envelope, key); })) {
    part.refusal = number(ErrorCode::bad_signature);
  }
  return part;
}

JobDone run(VerifyPutJob&& job, Bodies&) {
  VerifyPutDone done;
  done.items.reserve(job.items.size());
  for (auto& asked : job.items) {
    VerifyPutDone::Item item;
    if (!asked.body_known && !asked.put.header.empty()) item.refusal = check_body(asked, item);
    if (item.refusal == 0) {
      item.parts.reserve(asked.put.items.size());
      for (const auto& one : asked.put.items) item.parts.push_back(check_envelope(asked, one));
    }
    item.asked = std::move(asked);
    done.items.push_back(std::move(item));
  }
  return done;
}

JobDone run(SignJob&& job, Bodies&) {
  for (auto& item : job.items) {
    for (auto& result : item.reply.results) {
      if (!result.custody.empty())
        result.custody = crypto::sign_object(crypto::custody_label, result.custody, *job.key);
    }
  }
  return SignDone{job.epoch, std::move(job.items)};
}

Result<void> accept_offer(OfferDone& done, Bodies& bodies) {
  const proto::Offer& offer = done.asked.offer;
  TRAM_TRY(header, crypto::decode_header(offer.header));
  TRAM_TRY(manifest, crypto::decode_manifest(offer.manifest));
  if (header.sender != done.asked.asker.peer) return fail(ErrorCode::forbidden, "sender");
  if (header.id != done.asked.doc_id) return fail(ErrorCode::internal, "offer");
  if (!header_agrees(header, manifest, offer.manifest)) return fail(ErrorCode::bad_format, "manifest");
  if (!verified_by_any(done.asked.keys, [&](const SigPublic& key) { return crypto::verify_header(header, key); })) {
    return fail(ErrorCode::bad_signature, "header");
  }
  done.body_bytes = sealed_bytes(manifest.padded_bytes, header.chunks);
  done.header = std::move(header);
  if (offer.manifest.size() > limits::broker_row_manifest_bytes_max) {
    const std::string side = manifest_name(done.header.id);
    TRAM_OK(bodies.create(side, offer.manifest.size()));
    TRAM_OK(bodies.write(side, 0, offer.manifest));
    TRAM_OK(bodies.sync(side));
  }
  return bodies.create(body_name(done.header.id), done.body_bytes);
}

JobDone run(OfferJob&& job, Bodies& bodies) {
  OfferDone done;
  done.asked = std::move(job);
  done.outcome = accept_offer(done, bodies);
  return done;
}

Result<void> write_chunk(const WriteChunkJob& job, Bodies& bodies) {
  ChunkId expected;
  if (job.expected) {
    expected = *job.expected;
  } else {
    constexpr uint64_t ids_offset = 16;  // u32 n || u32 S || u64 len(P')
    TRAM_OK(bodies.read(manifest_name(job.doc_id), ids_offset + uint64_t{job.index} * ChunkId::size, expected.bytes));
  }
  if (crypto::chunk_id(job.sealed) != expected) return fail(ErrorCode::bad_format, "chunk");
  return put_chunk(bodies, body_name(job.doc_id), job.body_bytes, job.index, job.sealed);
}

JobDone run(WriteChunkJob&& job, Bodies& bodies) {
  auto outcome = write_chunk(job, bodies);
  return WriteChunkDone{job.asker, job.doc_id, job.index, static_cast<uint32_t>(job.sealed.size()), std::move(outcome)};
}

JobDone run(SyncBodyJob&& job, Bodies& bodies) {
  auto outcome = bodies.sync(body_name(job.doc_id));
  return SyncBodyDone{job.sender, job.doc_id, std::move(job.indexes), std::move(outcome)};
}

Result<Bytes> read_part(Bodies& bodies, const std::string& name, uint64_t offset, uint32_t bytes) {
  Bytes out(bytes);
  TRAM_OK(bodies.read(name, offset, out));
  return out;
}

JobDone run(ReadChunkJob&& job, Bodies& bodies) {
  return ReadChunkDone{
      job.asker, job.doc_id, job.index,
      read_part(bodies, body_name(job.doc_id), uint64_t{job.index} * limits::sealed_chunk_bytes, job.bytes)};
}

JobDone run(ReadManifestJob&& job, Bodies& bodies) {
  return ReadManifestDone{job.asker, job.doc_id, read_part(bodies, manifest_name(job.doc_id), 0, job.bytes)};
}

JobDone run(RemoveBodiesJob&& job, Bodies& bodies) {
  Result<void> outcome;
  for (const auto& name : job.names) {
    if (auto removed = bodies.remove(name); !removed && outcome) outcome = std::move(removed);
  }
  return RemoveBodiesDone{std::move(job.names), std::move(outcome)};
}

JobDone run(ListBodiesJob&&, Bodies& bodies) { return ListBodiesDone{bodies.list()}; }

JobDone run(ScrubJob&& job, Bodies& bodies) {
  ScrubDone done;
  for (const auto& item : job.items) done.checks.push_back(crypto::check_body(item.part, bodies));
  done.asked = std::move(job);
  return done;
}

VerifyAckDone::Part check_statement(const VerifyAckJob::Item& asked, const proto::AckItem& item) {
  VerifyAckDone::Part part;
  if (!item.cell.empty() && item.cell.size() != limits::cell_bytes) {
    part.refusal = number(ErrorCode::bad_format);
    return part;
  }
  const bool notice = item.statement.size() >= 4 && text(BytesView(item.statement).first(4)) == "EDXN";
  if (notice) {
    auto decoded = crypto::decode_notice(item.statement);
    if (!decoded) {
      part.refusal = number(decoded.error().code);
    } else if (decoded->kind != crypto::NoticeKind::nack || decoded->issuer != asked.asker.peer) {
      part.refusal = number(ErrorCode::forbidden);
    } else if (!verified_by_any(asked.keys,
                                [&](const SigPublic& key) { return crypto::verify_notice(*decoded, key); })) {
      part.refusal = number(ErrorCode::bad_signature);
    }
    if (decoded) part.notice = std::move(*decoded);
    return part;
  }
  auto decoded = crypto::decode_ack(item.statement);
  if (!decoded) {
    part.refusal = number(decoded.error().code);
  } else if (decoded->recipient != asked.asker.peer) {
    part.refusal = number(ErrorCode::forbidden);
  } else if (!verified_by_any(asked.keys, [&](const SigPublic& key) { return crypto::verify_ack(*decoded, key); })) {
    part.refusal = number(ErrorCode::bad_signature);
  }
  if (decoded) part.ack = std::move(*decoded);
  return part;
}

JobDone run(VerifyAckJob&& job, Bodies&) {
  VerifyAckDone done;
  done.items.reserve(job.items.size());
  for (auto& asked : job.items) {
    VerifyAckDone::Item item;
    item.parts.reserve(asked.put.items.size());
    for (const auto& one : asked.put.items) item.parts.push_back(check_statement(asked, one));
    item.asked = std::move(asked);
    done.items.push_back(std::move(item));
  }
  return done;
}

JobDone run(VerifyMailJob&& job, Bodies&) {
  VerifyMailDone done;
  for (const auto& item : job.post.items) {
    VerifyMailDone::Part part;
    part.id = mail_id(item.content);
    if (item.content.size() != limits::cell_bytes) {
      auto notice = crypto::decode_notice(item.content);
      if (!notice) {
        part.refusal = number(notice.error().code);
      } else if (notice->issuer != job.asker.peer || notice->other != item.to) {
        part.refusal = number(ErrorCode::forbidden);
      } else if (!verified_by_any(job.keys,
                                  [&](const SigPublic& key) { return crypto::verify_notice(*notice, key); })) {
        part.refusal = number(ErrorCode::bad_signature);
      }
      if (notice) part.notice = std::move(*notice);
    }
    done.parts.push_back(std::move(part));
  }
  done.asked = std::move(job);
  return done;
}

constexpr size_t brief_signatures_max = 4;
constexpr size_t brief_chunk_bytes_max = 16u << 10;

}  // namespace

bool is_brief(const Job& job) {
  size_t signatures = 0, bytes = 0;
  if (const auto* puts = std::get_if<VerifyPutJob>(&job)) {
    for (const auto& item : puts->items) {
      signatures += item.put.items.size() + (item.body_known ? 0 : 1);
      bytes += item.put.inline_chunk.size();
    }
  } else if (const auto* acks = std::get_if<VerifyAckJob>(&job)) {
    for (const auto& item : acks->items) signatures += item.put.items.size();
  } else if (const auto* sign = std::get_if<SignJob>(&job)) {
    for (const auto& item : sign->items) signatures += item.reply.results.size();
  } else if (const auto* mail = std::get_if<VerifyMailJob>(&job)) {
    signatures = mail->post.items.size();
  } else {
    return false;
  }
  return signatures <= brief_signatures_max && bytes <= brief_chunk_bytes_max;
}

std::string body_name(const DocId& doc_id) { return doc_id.hex(); }
std::string manifest_name(const DocId& doc_id) { return doc_id.hex() + "0a"; }

Hash mail_id(BytesView content) { return crypto::hash("edx1/mail", {content}); }

JobDone run_job(Job&& job, Bodies& bodies) {
  return std::visit([&](auto&& one) { return run(std::move(one), bodies); }, std::move(job));
}

}  // namespace tram::broker
