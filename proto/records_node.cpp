#include "proto/records_node.h"

#include "proto/codec.h"
#include "records_node.pb.h"

namespace tram::proto {
namespace {

// ---- one value, both ways -----------------------------------------------------------------------------------------

using proto::to_wire;
std::string to_wire(const std::string& text) { return to_utf8(text); }
int64_t to_wire(Time time) { return time.ms; }
template <class Number>
  requires std::is_integral_v<Number>
Number to_wire(Number number) { return number; }
template <class Enum>
  requires std::is_enum_v<Enum>
uint32_t to_wire(Enum value) { return static_cast<uint32_t>(value); }

template <size_t N, class Tag>
bool from_wire(const std::string& raw, FixedId<N, Tag>& id) {
  if (raw.empty()) {
    id = {};
    return true;
  }
  const auto found = FixedId<N, Tag>::from(view(raw));
  if (found) id = *found;
  return found.has_value();
}
bool from_wire(const std::string& raw, Bytes& bytes) {
  bytes = bytes_of(raw);
  return true;
}
bool from_wire(const std::string& raw, std::string& text) {
  text = raw;
  return true;
}
bool from_wire(int64_t raw, Time& time) {
  time = Time{raw};
  return true;
}
bool from_wire(bool raw, bool& value) {
  value = raw;
  return true;
}
template <class Number>
  requires std::is_integral_v<Number>
bool from_wire(uint64_t raw, Number& number) {
  number = static_cast<Number>(raw);
  return number == raw;
}

template <class Enum>
struct Range;
template <>
struct Range<Lane> { static constexpr uint32_t first = 0, last = 3; };
template <>
struct Range<Recovery> { static constexpr uint32_t first = 0, last = 2; };
template <>
struct Range<OutState> { static constexpr uint32_t first = 1, last = 3; };
template <>
struct Range<ItemState> { static constexpr uint32_t first = 1, last = 11; };
template <>
struct Range<InState> { static constexpr uint32_t first = 1, last = 8; };
template <class Enum>
  requires std::is_enum_v<Enum>
bool from_wire(uint32_t raw, Enum& value) {
  value = static_cast<Enum>(raw);
  return raw >= Range<Enum>::first && raw <= Range<Enum>::last;
}

// ---- lists ----------------------------------------------------------------------------------------------------------

void put_list(const std::vector<PartyId>& from, google::protobuf::RepeatedPtrField<std::string>& to) {
  for (const auto& one : from) *to.Add() = wire(one);
}
bool get_list(const google::protobuf::RepeatedPtrField<std::string>& from, std::vector<PartyId>& to) {
  to.clear();
  for (const auto& one : from) {
    const auto id = PartyId::from(view(one));
    if (!id) return false;
    to.push_back(*id);
  }
  return true;
}

void put_message(const StagedFile& from, pb::StagedFile& to);
bool get_message(const pb::StagedFile& from, StagedFile& to);

void put_list(const std::vector<StagedFile>& from, google::protobuf::RepeatedPtrField<pb::StagedFile>& to) {
  for (const auto& one : from) put_message(one, *to.Add());
}
bool get_list(const google::protobuf::RepeatedPtrField<pb::StagedFile>& from, std::vector<StagedFile>& to) {
  to.assign(static_cast<size_t>(from.size()), {});
  for (int i = 0; i < from.size(); ++i)
    if (!get_message(from.Get(i), to[static_cast<size_t>(i)])) return false;
  return true;
}

// ---- the fields of every record: V a value, L a list ------------------------------------------------------------------

#define FIELDS_NodeRecord(V, L) V(party) V(realm) V(inc) V(rinc) V(kx_feed) V(next_order) V(next_arrival) V(recovery) V(store_time) V(last_backup) V(retirement_told)
#define FIELDS_StagedFile(V, L) V(name) V(media_type) V(bytes) V(upload) V(content)
#define FIELDS_OutRecord(V, L)                                                                                    \
  V(uuid) V(doc_id) V(state) V(created) V(not_after) V(lane) V(metadata) L(staged) V(recipients) V(header)        \
  V(document_key) V(manifest) V(body_bytes) V(chunks) V(inline_body) V(failure) V(failure_detail) V(author)       \
  V(body_kept) V(body_name) V(inline_chunk)
#define FIELDS_ItemRecord(V, L)                                                                                   \
  V(uuid) V(recipient) V(state) V(status) V(env_id) V(issue) V(inc) V(seq) V(waiting_reason) V(custodies)         \
  V(queued) V(accepted) V(received) V(decided) V(register_number) V(register_date) V(reason) V(person)            \
  V(pending_change) V(redeliveries)
#define FIELDS_EnvelopeRecord(V, L) V(env_id) V(uuid) V(recipient) V(envelope) V(officer_blob)
#define FIELDS_CustodyRecord(V, L) V(broker) V(epoch) V(custody) V(voided)
#define FIELDS_ChannelOut(V, L) V(inc) V(next_seq) V(last)
#define FIELDS_InRecord(V, L)                                                                                     \
  V(arrival) V(doc_id) V(env_id) V(sender) V(lane) V(inc) V(seq) V(envelope) V(header) V(manifest) V(metadata)    \
  V(document_key) V(container_bytes) V(body_bytes) V(chunks) V(inline_body) V(body_kept) V(state)                 \
  V(before_change) V(pending_change) V(change_doc) L(units) V(received) V(decided) V(register_number)             \
  V(register_date) V(person) V(reason) V(out_of_order) V(duplicate_number)
#define FIELDS_ChannelIn(V, L) V(inc) V(next_seq) V(gap_since)
#define FIELDS_AnswerRecord(V, L) V(statement) V(receipt) V(sender) V(arrival)
#define FIELDS_ReceiptRecord(V, L) V(receipt) V(issued) V(stored) V(log_place)
#define FIELDS_MailRecord(V, L) V(to) V(content) L(brokers) V(created)
#define FIELDS_UploadRecord(V, L) \
  V(id) V(length) V(offset) V(key) V(tail) V(name) V(media_type) V(owner) V(created)
#define FIELDS_IdempotencyRecord(V, L) V(request) V(http_status) V(content_type) V(body) V(location) V(created)
#define FIELDS_TokenRecord(V, L) V(name) V(token_hash) V(role) V(created)
#define FIELDS_BrokerState(V, L) V(broker) V(epoch) V(log_size) V(log_root) V(last_reconciled)

#define PUT_VALUE(name) to.set_##name(to_wire(from.name));
#define PUT_LIST(name) put_list(from.name, *to.mutable_##name());
#define GET_VALUE(name) if (!from_wire(from.name(), to.name)) return false;
#define GET_LIST(name) if (!get_list(from.name(), to.name)) return false;
#define CONVERT(Type)                                                                                             \
  void put_message(const Type& from, pb::Type& to) { FIELDS_##Type(PUT_VALUE, PUT_LIST) }                         \
  bool get_message(const pb::Type& from, Type& to) { FIELDS_##Type(GET_VALUE, GET_LIST) return true; }
CONVERT(StagedFile)
TRAM_NODE_RECORDS(CONVERT)

template <class Message, class Record>
Bytes encode(const Record& record) {
  MessageArena arena;
  auto& message = arena.make<Message>();
  put_message(record, message);
  return serialise(message);
}

template <class Message, class Record>
Result<void> decode(BytesView raw, Record& record, const char* name) {
  MessageArena arena;
  auto& message = arena.make<Message>();
  Record read;
  if (raw.size() > INT32_MAX || !message.ParseFromArray(raw.data(), static_cast<int>(raw.size())) ||
      !get_message(message, read))
    return fail(ErrorCode::store_corrupt, name);
  record = std::move(read);
  return {};
}

}  // namespace

#define DEFINE(Type)                                                          \
  Bytes encode_record(const Type& record) { return encode<pb::Type>(record); } \
  Result<void> decode_record(BytesView raw, Type& record) { return decode<pb::Type>(raw, record, #Type); }
TRAM_NODE_RECORDS(DEFINE)

}  // namespace tram::proto
