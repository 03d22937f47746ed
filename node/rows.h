// Reading and writing whole records: one line where a row is used.
#pragma once
#include <set>

#include "base/ports.h"
#include "crypto/formats.h"
#include "node/keys.h"
#include "node/tables.h"
#include "proto/records_node.h"

namespace tram::node {

/// The record, or nothing. Errors: store_corrupt, io_failed.
template <class Record>
Result<std::optional<Record>> find(ReadTxn& txn, const Table& table, BytesView key) {
  TRAM_TRY(value, txn.get(table, key));
  if (!value) return std::optional<Record>{};
  Record record;
  TRAM_OK(proto::decode_record(*value, record));
  return std::optional<Record>(std::move(record));
}

/// The record, or not_found.
template <class Record>
Result<Record> load(ReadTxn& txn, const Table& table, BytesView key) {
  TRAM_TRY(record, find<Record>(txn, table, key));
  if (!record) return fail(ErrorCode::not_found, std::string(table.name));
  return std::move(*record);
}

template <class Record>
Result<void> save(WriteTxn& txn, const Table& table, BytesView key, const Record& record) {
  return txn.put(table, key, proto::encode_record(record));
}

inline Result<std::optional<uint64_t>> find_u64(ReadTxn& txn, const Table& table, BytesView key) {
  TRAM_TRY(value, txn.get(table, key));
  if (!value) return std::optional<uint64_t>{};
  return std::optional<uint64_t>(read_u64(*value));
}

/// The record with what the table of open envelopes says of it.
inline Result<std::optional<proto::EnvelopeRecord>> find_envelope(ReadTxn& txn, const EnvelopeId& env_id) {
  TRAM_TRY(record, find<proto::EnvelopeRecord>(txn, table::envelope, env_id));
  if (!record) return record;
  TRAM_TRY(open, txn.get(table::open_envelope, env_id));
  record->closed = !open.has_value();
  return record;
}

/// Lives of a party after this one that its `recover` notices have told of on a lane, the oldest first.
inline Result<std::vector<Row>> later_lives(ReadTxn& txn, const PartyId& party, Lane lane, uint32_t life, size_t limit) {
  Bytes from = row_key(party, lane, life);
  from.push_back(0);
  return txn.scan(table::peer_life, from, prefix_end(row_key(party, lane)), limit);
}

/// What brokers signed for this envelope.
inline Bytes custody_prefix(const proto::EnvelopeRecord& of) { return row_key(of.uuid, of.recipient, of.env_id); }
inline Bytes custody_key(const proto::EnvelopeRecord& of, const PartyId& broker) {
  return row_key(of.uuid, of.recipient, of.env_id, broker);
}

/// Calls `visit(row)` for every row with this prefix, in pages; stops on the first error.
template <class Visit>
Result<void> for_each(ReadTxn& txn, const Table& table, BytesView prefix, Visit&& visit) {
  constexpr size_t page = 256;
  Bytes from = to_bytes(prefix);
  const Bytes until = prefix_end(prefix);
  for (;;) {
    TRAM_TRY(rows, txn.scan(table, from, until, page));
    for (const Row& row : rows) TRAM_OK(visit(row));
    if (rows.size() < page) return {};
    from = rows.back().key;
    from.push_back(0);
  }
}

/// Reads a fixed id at `offset` of a key we wrote.
template <class Id>
Id id_at(BytesView key, size_t offset) {
  Id id;
  if (key.size() >= offset + Id::size) std::memcpy(id.bytes.data(), key.data() + offset, Id::size);
  return id;
}

/// The parties that the keys of this table begin with, one read for each.
inline Result<std::set<PartyId>> parties_in(ReadTxn& txn, const Table& table) {
  std::set<PartyId> parties;
  for (Bytes from;;) {
    TRAM_TRY(rows, txn.scan(table, from, {}, 1));
    if (rows.empty()) return parties;
    const auto party = id_at<PartyId>(rows[0].key, 0);
    parties.insert(party);
    from = prefix_end(party);
    if (from.empty()) return parties;
  }
}

/// Which envelope a notice speaks of, as its envelope or a record of it says.
template <class Of>
void set_subject(crypto::Notice& notice, const EnvelopeId& env_id, const Of& of) {
  notice.env_id = env_id;
  notice.doc_id = of.doc_id;
  notice.lane = of.lane;
  notice.inc = of.inc;
  notice.seq = of.seq;
}

}  // namespace tram::node
