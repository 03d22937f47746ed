#include "node/check.h"

#include "base/limits.h"
#include "crypto/formats.h"
#include "node/jobs.h"
#include "node/rows.h"

namespace tram::node {

namespace {

/// Whether file and manifest are whole and are those that the header committed to.
Result<bool> whole(Bodies& bodies, const std::string& name, uint32_t chunks, BytesView header_bytes, BodyCheck& check) {
  auto readable = [](const Result<void>& read) -> Result<bool> {
    if (read) return true;
    if (read.error().code == ErrorCode::io_failed) return fail(read.error());
    return false;
  };
  TRAM_TRY(header, crypto::decode_header(header_bytes));
  Bytes manifest_bytes(16 + 32 * size_t{chunks});
  TRAM_TRY(there, readable(bodies.read(manifest_name(name), 0, manifest_bytes)));
  if (!there || crypto::manifest_id(manifest_bytes) != header.manifest_id) return false;
  TRAM_TRY(manifest, crypto::decode_manifest(manifest_bytes));
  Bytes chunk;
  for (uint32_t i = 0; i < manifest.chunks.size(); ++i) {
    chunk.resize(crypto::sealed_chunk_size(manifest, i));
    TRAM_TRY(read, readable(bodies.read(name, uint64_t{i} * limits::sealed_chunk_bytes, chunk)));
    if (!read || crypto::chunk_id(chunk) != manifest.chunks[i]) return false;
    check.bytes += chunk.size();
  }
  return true;
}

}  // namespace

Result<BodyCheck> check_bodies(ReadTxn& txn, Bodies& bodies) {
  BodyCheck check;
  const auto sent = for_each(txn, table::outgoing, {}, [&](const Row& row) -> Result<void> {
    proto::OutRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    if (record.state != proto::OutState::sent || !record.body_kept || record.inline_body) return {};
    ++check.bodies;
    TRAM_TRY(good, whole(bodies, record.body_name, record.chunks, record.header, check));
    if (!good) check.damaged.push_back("sent " + record.doc_id.hex());
    return {};
  });
  TRAM_OK(sent);
  const auto received = for_each(txn, table::incoming, {}, [&](const Row& row) -> Result<void> {
    proto::InRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    if (!record.body_kept || record.inline_body) return {};
    ++check.bodies;
    TRAM_TRY(good, whole(bodies, body_name(record.doc_id), record.chunks, record.header, check));
    if (!good) check.damaged.push_back("received " + record.doc_id.hex());
    return {};
  });
  TRAM_OK(received);
  return check;
}

}  // namespace tram::node
