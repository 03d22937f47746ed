#include "proto/document.h"

#include <charconv>

#include "document.pb.h"
#include "proto/codec.h"

namespace tram::proto {
namespace {

using namespace limits;

// The wire stops what cannot be meant; Decree 30/2020's own lengths are node/metadata_rules'.
constexpr size_t short_text_bytes_max = 1024;
constexpr size_t long_text_bytes_max = 8192;
constexpr size_t summary_bytes_max = 65536;
constexpr size_t places_max = 1024;
constexpr size_t replies_max = 256;
constexpr size_t targets_max = 256;

constexpr Field relation_fields[] = {number_field(1), exact_field(2, DocId::size, targets_max),
                                     text_field(3, long_text_bytes_max)};
constexpr Shape relation_shape{"Relation", relation_fields, Unknown::ignored};
constexpr Field reply_to_fields[] = {text_field(1, short_text_bytes_max), text_field(2, short_text_bytes_max),
                                     number_field(3), text_field(4, short_text_bytes_max)};
constexpr Shape reply_to_shape{"ReplyTo", reply_to_fields, Unknown::ignored};
constexpr Field addressee_fields[] = {number_field(1), exact_field(2, PartyId::size),
                                      text_field(3, short_text_bytes_max)};
constexpr Shape addressee_shape{"Addressee", addressee_fields, Unknown::ignored};
constexpr Field file_info_fields[] = {text_field(1, file_name_bytes_max), text_field(2, short_text_bytes_max),
                                      number_field(3), exact_field(4, Hash::size)};
constexpr Shape file_info_shape{"FileInfo", file_info_fields, Unknown::ignored};
constexpr Field metadata_fields[] = {text_field(1, short_text_bytes_max),
                                     text_field(2, short_text_bytes_max),
                                     text_field(3, short_text_bytes_max),
                                     text_field(4, short_text_bytes_max),
                                     text_field(5, long_text_bytes_max),
                                     text_field(6, summary_bytes_max),
                                     number_field(7),
                                     text_field(8, short_text_bytes_max),
                                     text_field(9, short_text_bytes_max),
                                     text_field(10, short_text_bytes_max),
                                     text_field(11, short_text_bytes_max),
                                     text_field(12, short_text_bytes_max),
                                     number_field(13),
                                     text_field(14, short_text_bytes_max),
                                     number_field(15),
                                     number_field(16),
                                     number_field(17),
                                     number_field(18),
                                     text_field(19, short_text_bytes_max),
                                     text_field(20, short_text_bytes_max),
                                     text_field(21, long_text_bytes_max),
                                     number_field(22),
                                     text_field(23, short_text_bytes_max),
                                     text_field(24, long_text_bytes_max, places_max),
                                     message_field(25, reply_to_shape, replies_max),
                                     message_field(26, relation_shape),
                                     exact_field(27, PartyId::size),
                                     message_field(28, addressee_shape, recipients_per_document_max),
                                     number_field(29),
                                     message_field(30, file_info_shape, files_per_document_max),
                                     text_field(31, short_text_bytes_max),
                                     number_field(32)};
constexpr Shape metadata_shape{"Metadata", metadata_fields, Unknown::ignored};

constexpr uint32_t steering_max = 3;

unsigned days_in_month(unsigned year, unsigned month) {
  constexpr unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : days[month - 1];
}

std::optional<Date> make_date(unsigned year, unsigned month, unsigned day) {
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
    return std::nullopt;
  return Date{static_cast<uint16_t>(year), static_cast<uint8_t>(month), static_cast<uint8_t>(day)};
}

uint32_t date_number(const Date& date) { return date.empty() ? 0 : date.year * 10000u + date.month * 100u + date.day; }

Date read_date(Checks& checks, uint32_t wire, const char* what) {
  if (wire == 0) return {};
  const auto date = make_date(wire / 10000, wire / 100 % 100, wire % 100);
  checks.require(date.has_value(), what);
  return date.value_or(Date{});
}

template <class Wire, class Enum>
Wire one_above(Enum value) {
  return static_cast<Wire>(static_cast<int>(value) + 1);
}

}  // namespace

std::string to_text(const Date& date) {
  if (date.empty()) return {};
  std::string out = "0000-00-00";
  auto digits = [&](size_t at, size_t count, unsigned value) {
    for (size_t i = at + count; i-- > at; value /= 10) out[i] = static_cast<char>('0' + value % 10);
  };
  digits(0, 4, date.year);
  digits(5, 2, date.month);
  digits(8, 2, date.day);
  return out;
}

std::optional<Date> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != text[7] || (text[4] != '-' && text[4] != '/')) return std::nullopt;
  auto number = [&](size_t at, size_t count) -> unsigned {
    unsigned value = 0;
    const char* end = text.data() + at + count;
    const auto [stopped, error] = std::from_chars(text.data() + at, end, value);
    return error == std::errc{} && stopped == end ? value : 0;
  };
  return make_date(number(0, 4), number(5, 2), number(8, 2));
}

Bytes encode_metadata(const Metadata& from) {
  MessageArena arena;
  auto& to = arena.make<pb::Metadata>();
  to.set_number(to_utf8(from.number));
  to.set_symbol(to_utf8(from.symbol));
  to.set_type_code(to_utf8(from.type_code));
  to.set_type_name(to_utf8(from.type_name));
  to.set_subject(to_utf8(from.subject));
  to.set_content(to_utf8(from.content));
  to.set_issued(date_number(from.issued));
  to.set_place(to_utf8(from.place));
  to.set_organ_name(to_utf8(from.organ_name));
  to.set_signer_competence(to_utf8(from.signer_competence));
  to.set_signer_position(to_utf8(from.signer_position));
  to.set_signer_name(to_utf8(from.signer_name));
  to.set_priority(one_above<pb::Priority>(from.priority));
  to.set_priority_deadline(to_utf8(from.priority_deadline));
  to.set_classification(one_above<pb::Classification>(from.classification));
  to.set_due(date_number(from.due));
  to.set_pages(from.pages);
  to.set_copies(from.copies);
  to.set_language(to_utf8(from.language));
  to.set_sphere(to_utf8(from.sphere));
  to.set_note(to_utf8(from.note));
  to.set_steering(from.steering);
  to.set_circulation_mark(to_utf8(from.circulation_mark));
  for (const auto& place : from.to_places) to.add_to_places(to_utf8(place));
  for (const auto& reply : from.reply_to) {
    auto* out = to.add_reply_to();
    out->set_organ_code(to_utf8(reply.organ_code));
    out->set_code(to_utf8(reply.code));
    out->set_date(date_number(reply.date));
    out->set_document_id(to_utf8(reply.document_id));
  }
  const auto& relation = from.relation;
  if (relation.kind != RelationKind::none || !relation.targets.empty() || !relation.reason.empty()) {
    auto* out = to.mutable_relation();
    out->set_kind(one_above<pb::RelationKind>(relation.kind));
    for (const auto& target : relation.targets) out->add_targets(wire(target));
    out->set_reason(to_utf8(relation.reason));
  }
  if (!from.from_unit.is_zero()) to.set_from_unit(wire(from.from_unit));
  to.mutable_addressees()->Reserve(static_cast<int>(from.addressees.size()));
  for (const auto& addressee : from.addressees) {
    auto* out = to.add_addressees();
    out->set_kind(static_cast<pb::AddresseeKind>(addressee.kind));
    if (!addressee.id.is_zero()) out->set_id(wire(addressee.id));
    out->set_group(to_utf8(addressee.group));
  }
  to.set_recipient_count(from.recipient_count);
  for (const auto& file : from.files) {
    auto* out = to.add_files();
    out->set_name(to_utf8(file.name));
    out->set_media_type(to_utf8(file.media_type));
    out->set_bytes(file.bytes);
    out->set_sha256(wire(file.sha256));
  }
  to.set_sender_note_name(to_utf8(from.sender_note_name));
  to.set_partial(from.partial);
  return serialise(to);
}

Result<Metadata> decode_metadata(BytesView bytes) {
  MessageArena arena;
  auto& from = arena.make<pb::Metadata>();
  TRAM_OK(parse(bytes, metadata_shape, metadata_message_bytes_max, from));
  Checks checks;
  Metadata to;
  to.number = from.number();
  to.symbol = from.symbol();
  to.type_code = from.type_code();
  to.type_name = from.type_name();
  to.subject = from.subject();
  to.content = from.content();
  to.issued = read_date(checks, from.issued(), "Metadata.issued");
  to.place = from.place();
  to.organ_name = from.organ_name();
  to.signer_competence = from.signer_competence();
  to.signer_position = from.signer_position();
  to.signer_name = from.signer_name();
  to.priority = checks.choice<Priority>(from.priority(), 5, 1, "Metadata.priority");
  to.priority_deadline = from.priority_deadline();
  to.classification = checks.choice<Classification>(from.classification(), 4, 1, "Metadata.classification");
  to.due = read_date(checks, from.due(), "Metadata.due");
  to.pages = from.pages();
  to.copies = from.copies();
  to.language = from.language();
  to.sphere = from.sphere();
  to.note = from.note();
  to.steering = from.steering();
  checks.require(to.steering <= steering_max, "Metadata.steering");
  to.circulation_mark = from.circulation_mark();
  to.to_places.assign(from.to_places().begin(), from.to_places().end());
  to.reply_to.reserve(static_cast<size_t>(from.reply_to_size()));
  for (const auto& reply : from.reply_to())
    to.reply_to.push_back({reply.organ_code(), reply.code(), read_date(checks, reply.date(), "ReplyTo.date"),
                           reply.document_id()});
  if (from.has_relation()) {
    to.relation.kind = checks.choice<RelationKind>(from.relation().kind(), 5, 1, "Relation.kind");
    to.relation.targets = checks.ids<DocId>(from.relation().targets(), "Relation.targets");
    to.relation.reason = from.relation().reason();
  }
  to.from_unit = checks.id_or_zero<PartyId>(from.from_unit(), "Metadata.from_unit");
  to.addressees.reserve(static_cast<size_t>(from.addressees_size()));
  for (const auto& addressee : from.addressees())
    to.addressees.push_back({checks.choice<AddresseeKind>(addressee.kind(), 3, 0, "Addressee.kind"),
                             checks.id_or_zero<PartyId>(addressee.id(), "Addressee.id"), addressee.group()});
  to.recipient_count = from.recipient_count();
  to.files.reserve(static_cast<size_t>(from.files_size()));
  for (const auto& file : from.files())
    to.files.push_back(
        {file.name(), file.media_type(), file.bytes(), checks.id<Hash>(file.sha256(), "FileInfo.sha256")});
  to.sender_note_name = from.sender_note_name();
  to.partial = from.partial();
  TRAM_OK(checks.result());
  return to;
}

}  // namespace tram::proto
