#include "broker/tables.h"

#include <vector>

#include "audit/log.h"
#include "directory/directory.h"

namespace tram::broker::table {
namespace {

Bytes joined(std::initializer_list<BytesView> parts) {
  size_t bytes = 0;
  for (BytesView part : parts) bytes += part.size();
  Bytes key;
  key.reserve(bytes + 16);
  for (BytesView part : parts) Writer(key).raw(part);
  return key;
}

std::vector<Table> collect() {
  std::vector<Table> tables{self, party, body,     body_inline, lease, access,  envelope,
                            queue, position, conflict, incarnation, recovery,    mail,  mail_id, timer, scrub, damaged};
  for (const Table& one : directory::tables()) tables.push_back(one);
  for (const Table& one : audit::tables()) tables.push_back(one);
  return tables;
}

}  // namespace

std::span<const Table> all() {
  static const std::vector<Table> tables = collect();
  return tables;
}

Bytes body_key(const PartyId& sender, const DocId& doc_id) { return joined({sender, doc_id}); }
Bytes pin_key(const PartyId& sender, const DocId& doc_id, uint64_t serial) {
  Bytes key = joined({sender, doc_id});
  Writer(key).u64(serial);
  return key;
}
Bytes pin_value(const EnvelopeId& env_id, BytesView officer_blob) { return joined({env_id, officer_blob}); }
Bytes pins_from(BytesView body_row) {
  Bytes key = to_bytes(body_row);
  Writer(key).u64(0);
  return key;
}
bool is_body_key(BytesView key) { return key.size() == PartyId::size + DocId::size; }

Bytes access_key(const PartyId& recipient, const DocId& doc_id, const EnvelopeId& env_id) {
  return joined({recipient, doc_id, env_id});
}
Bytes access_prefix(const PartyId& recipient, const DocId& doc_id) { return joined({recipient, doc_id}); }

Bytes queue_key(const PartyId& recipient, Lane lane, uint64_t q) {
  Bytes key = joined({recipient});
  Writer(key).u8(static_cast<uint8_t>(lane)).u64(q);
  return key;
}

Bytes position_key(const PartyId& sender, const PartyId& recipient, Lane lane, uint32_t inc, uint64_t seq) {
  Bytes key = joined({sender, recipient});
  Writer(key).u8(static_cast<uint8_t>(lane)).u32(inc).u64(seq);
  return key;
}

Bytes conflict_key(BytesView position_row, const EnvelopeId& env_id) { return joined({position_row, env_id}); }

Bytes mail_key(const PartyId& addressee, uint64_t serial) {
  Bytes key = joined({addressee});
  Writer(key).u64(serial);
  return key;
}

Bytes mail_id_key(const Hash& id, const PartyId& addressee) { return joined({id, addressee}); }

Bytes timer_key(Time at, TimerKind kind, BytesView id) {
  Bytes key;
  key.reserve(9 + id.size());
  Writer(key).u64(at.wire()).u8(static_cast<uint8_t>(kind)).raw(id);
  return key;
}

Result<TimerRow> read_timer_key(BytesView key) {
  Reader reader(key);
  TimerRow row;
  row.at = Time{static_cast<int64_t>(reader.u64())};
  row.kind = static_cast<TimerKind>(reader.u8());
  row.id = to_bytes(reader.raw(reader.left()));
  if (!reader.finish()) return fail(ErrorCode::store_corrupt, "timer");
  return row;
}

}  // namespace tram::broker::table
