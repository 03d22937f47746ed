#include "proto/records_broker.h"

#include "proto/codec.h"
#include "records_broker.pb.h"

namespace tram::proto {
namespace {

/// Fills a record from a parsed message; remembers that something did not fit.
struct Reading {
  bool good = true;
  template <size_t N, class Tag>
  void id(const std::string& raw, FixedId<N, Tag>& out) {
    out = {};
    if (raw.empty()) return;
    const auto found = FixedId<N, Tag>::from(view(raw));
    good = good && found.has_value();
    if (found) out = *found;
  }
  template <class Enum>
  void choice(uint32_t raw, uint32_t first, uint32_t last, Enum& out) {
    good = good && raw >= first && raw <= last;
    out = static_cast<Enum>(raw);
  }
  Result<void> result(const char* name) const {
    if (!good) return fail(ErrorCode::store_corrupt, name);
    return {};
  }
};

template <class Message>
Result<void> parse_row(BytesView row, Message& message, const char* name) {
  if (!message.ParseFromArray(row.data(), static_cast<int>(row.size()))) return fail(ErrorCode::store_corrupt, name);
  return {};
}

}  // namespace

Bytes encode_record(const BrokerRecord& record) {
  pb::BrokerRecord message;
  message.set_party(to_wire(record.party));
  message.set_realm(to_wire(record.realm));
  message.set_epoch(to_wire(record.epoch));
  message.set_opened(record.opened.ms);
  message.set_next_mail(record.next_mail);
  message.set_next_pin(record.next_pin);
  return serialise(message);
}

Result<void> decode_record(BytesView row, BrokerRecord& record) {
  pb::BrokerRecord message;
  TRAM_OK(parse_row(row, message, "BrokerRecord"));
  Reading reading;
  reading.id(message.party(), record.party);
  reading.id(message.realm(), record.realm);
  reading.id(message.epoch(), record.epoch);
  record.opened = Time{message.opened()};
  record.next_mail = message.next_mail();
  record.next_pin = message.next_pin();
  return reading.result("BrokerRecord");
}

Bytes encode_record(const PartyRecord& record) {
  pb::PartyRecord message;
  message.set_inc(record.inc);
  message.set_pinned_bytes(record.pinned_bytes);
  message.set_unpinned_bytes(record.unpinned_bytes);
  message.set_unacked(record.unacked);
  message.set_position(record.position);
  message.set_queue_head(to_wire(record.queue_head));
  message.set_mail_sent(record.mail_sent);
  message.set_mail_waiting(record.mail_waiting);
  message.set_conflicts(record.conflicts);
  message.set_rinc(record.rinc);
  return serialise(message);
}

Result<void> decode_record(BytesView row, PartyRecord& record) {
  pb::PartyRecord message;
  TRAM_OK(parse_row(row, message, "PartyRecord"));
  Reading reading;
  record.inc = message.inc();
  record.pinned_bytes = message.pinned_bytes();
  record.unpinned_bytes = message.unpinned_bytes();
  record.unacked = message.unacked();
  record.position = message.position();
  reading.id(message.queue_head(), record.queue_head);
  record.mail_sent = message.mail_sent();
  record.mail_waiting = message.mail_waiting();
  record.conflicts = message.conflicts();
  record.rinc = message.rinc();
  return reading.result("PartyRecord");
}

Bytes encode_record(const BodyRecord& record) {
  pb::BodyRecord message;
  message.set_header(to_wire(record.header));
  message.set_manifest(to_wire(record.manifest));
  message.set_inline_chunk(to_wire(record.inline_chunk));
  message.set_inline_body(record.inline_body);
  message.set_chunks(record.chunks);
  message.set_bytes(record.bytes);
  message.set_epoch(to_wire(record.epoch));
  return serialise(message);
}

Result<void> decode_record(BytesView row, BodyRecord& record) {
  pb::BodyRecord message;
  TRAM_OK(parse_row(row, message, "BodyRecord"));
  Reading reading;
  record.header = bytes_of(message.header());
  record.manifest = bytes_of(message.manifest());
  record.inline_chunk = bytes_of(message.inline_chunk());
  record.inline_body = message.inline_body();
  record.chunks = message.chunks();
  record.bytes = message.bytes();
  reading.id(message.epoch(), record.epoch);
  return reading.result("BodyRecord");
}

Bytes encode_record(const LeaseRecord& record) {
  pb::LeaseRecord message;
  message.set_until(record.until.ms);
  message.set_present(record.present);
  message.set_have(to_wire(record.have));
  return serialise(message);
}

Result<void> decode_record(BytesView row, LeaseRecord& record) {
  pb::LeaseRecord message;
  TRAM_OK(parse_row(row, message, "LeaseRecord"));
  record.until = Time{message.until()};
  record.present = message.present();
  record.have = bytes_of(message.have());
  return {};
}

Bytes encode_record(const StoredEnvelope& record) {
  pb::StoredEnvelope message;
  message.set_state(static_cast<uint32_t>(record.state));
  message.set_envelope(to_wire(record.envelope));
  message.set_pin(record.pin);
  message.set_custody(to_wire(record.custody));
  message.set_position(to_wire(record.position));
  message.set_queue(to_wire(record.queue));
  message.set_not_after(record.not_after.ms);
  message.set_handed(record.handed.ms);
  message.set_statement(to_wire(record.statement));
  message.set_statement_hash(to_wire(record.statement_hash));
  message.set_reason(static_cast<uint32_t>(record.reason));
  return serialise(message);
}

Result<void> decode_record(BytesView row, StoredEnvelope& record) {
  pb::StoredEnvelope message;
  TRAM_OK(parse_row(row, message, "StoredEnvelope"));
  Reading reading;
  reading.choice(message.state(), 1, 3, record.state);
  record.envelope = bytes_of(message.envelope());
  record.pin = message.pin();
  record.custody = bytes_of(message.custody());
  record.position = bytes_of(message.position());
  record.queue = bytes_of(message.queue());
  record.not_after = Time{message.not_after()};
  record.handed = Time{message.handed()};
  record.statement = bytes_of(message.statement());
  reading.id(message.statement_hash(), record.statement_hash);
  reading.choice(message.reason(), 0, 3, record.reason);
  return reading.result("StoredEnvelope");
}

Bytes encode_record(const StoredMail& record) {
  pb::StoredMail message;
  message.set_id(to_wire(record.id));
  message.set_author(to_wire(record.author));
  message.set_content(to_wire(record.content));
  message.set_expires(record.expires.ms);
  return serialise(message);
}

Result<void> decode_record(BytesView row, StoredMail& record) {
  pb::StoredMail message;
  TRAM_OK(parse_row(row, message, "StoredMail"));
  Reading reading;
  reading.id(message.id(), record.id);
  reading.id(message.author(), record.author);
  record.content = bytes_of(message.content());
  record.expires = Time{message.expires()};
  return reading.result("StoredMail");
}

}  // namespace tram::proto
