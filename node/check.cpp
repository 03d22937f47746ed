#include "node/check.h"

#include "crypto/formats.h"
#include "node/jobs.h"
#include "node/rows.h"

namespace tram::node {

namespace {

template <class Record>
Result<std::optional<crypto::BodyPart>> part_of(const Record& record, const std::string& name, uint32_t first, uint32_t count) {
  TRAM_TRY(header, crypto::decode_header(record.header));
  crypto::BodyPart part;
  part.name = name;
  part.manifest = record.manifest;
  part.manifest_name = manifest_name(name);
  part.manifest_id = header.manifest_id;
  part.chunks = record.chunks;
  part.first = first;
  part.count = count;
  return std::optional<crypto::BodyPart>(std::move(part));
}

}  // namespace

Result<std::optional<crypto::BodyPart>> body_part(const proto::OutRecord& record, uint32_t first, uint32_t count) {
  if (record.state != proto::OutState::sent || !record.body_kept || record.inline_body) return std::optional<crypto::BodyPart>{};
  return part_of(record, record.body_name, first, count);
}

Result<std::optional<crypto::BodyPart>> body_part(const proto::InRecord& record, uint32_t first, uint32_t count) {
  if (!record.body_kept || record.inline_body) return std::optional<crypto::BodyPart>{};
  return part_of(record, body_name(record.doc_id), first, count);
}

std::string describe(const DamagedBody& body) { return (body.sent ? "sent " : "received ") + body.doc_id.hex(); }

Result<BodyCheck> check_bodies(ReadTxn& txn, Bodies& bodies) {
  BodyCheck check;
  const auto look = [&](const auto& record, bool sent) -> Result<void> {
    TRAM_TRY(part, body_part(record, 0, record.chunks));
    if (!part) return {};
    ++check.bodies;
    TRAM_TRY(found, crypto::check_body(*part, bodies));
    check.bytes += found.bytes;
    if (!found.good()) check.damaged.push_back({sent, record.doc_id});
    return {};
  };
  const auto outgoing_walked = for_each(txn, table::outgoing, {}, [&](const Row& row) -> Result<void> {
    proto::OutRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    return look(record, true);
  });
  TRAM_OK(outgoing_walked);
  const auto incoming_walked = for_each(txn, table::incoming, {}, [&](const Row& row) -> Result<void> {
    proto::InRecord record;
    TRAM_OK(proto::decode_record(row.value, record));
    return look(record, false);
  });
  TRAM_OK(incoming_walked);
  return check;
}

}  // namespace tram::node
