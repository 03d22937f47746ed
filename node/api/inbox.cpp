// The inbox: /v1/inbox.
#include "base/limits.h"
#include "node/api/internal.h"
#include "node/metadata_rules.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node::api {
namespace {

bool is_open(const proto::InRecord& record) { return record.state == proto::InState::arrived; }

/// The urgency of a document that has not been decided upon yet: until when, and whether that has passed.
void add_deadline(Json& json, const proto::InRecord& record, const proto::Metadata& metadata, Time now) {
  if (!is_open(record)) return;
  const Time until = register_by(record.received, metadata.priority);
  json["register_by"] = time_json(until);
  json["overdue"] = metadata.priority == proto::Priority::normal ? until < now : until + hours(1) < now;
}

Result<proto::InRecord> find_arrival(ReadTxn& txn, const std::string& text) {
  const auto arrival = parse_number(text);
  if (!arrival) return fail(ErrorCode::not_found, "arrival");
  TRAM_TRY(record, find<proto::InRecord>(txn, table::incoming, row_key(*arrival)));
  if (!record) return fail(ErrorCode::not_found, "arrival");
  return std::move(*record);
}

Result<std::optional<proto::InState>> arrival_filter(const std::string& name) {
  if (name.empty()) return std::optional<proto::InState>{};
  for (uint8_t i = 1; i <= 8; ++i)
    if (const auto state = static_cast<proto::InState>(i); words(state).name == name) return std::optional(state);
  if (const auto code = parse_status(name); code && *code)
    for (uint8_t i = 2; i <= 7; ++i)
      if (const auto state = static_cast<proto::InState>(i); status_code(state) == *code) return std::optional(state);
  return fail(ErrorCode::bad_request, "state: unknown");
}

Result<Response> list_inbox(const ReadContext& context, const Request& request) {
  TRAM_OK(check_query(request, {"state", "unit", "q", "after", "limit"}));
  TRAM_TRY(limit, page_limit(request));
  TRAM_TRY(state, arrival_filter(query(request, "state")));
  const std::string wanted = directory::fold(query(request, "q"));
  std::optional<PartyId> unit;
  if (const std::string name = query(request, "unit"); !name.empty()) {
    TRAM_TRY(found, find_party(context.txn, context.directory, name, context.now));
    unit = found;
  }
  Bytes until;
  if (const std::string after = query(request, "after"); !after.empty()) {
    const auto arrival = parse_number(after);
    if (!arrival) return fail(ErrorCode::bad_request, "after");
    until = row_key(*arrival);
  }
  Parties parties(context.txn, context.directory, context.now);
  Json items = Json::array();
  Json next = nullptr;
  size_t seen = 0;
  for (bool more = true; more && items.size() < limit && seen < rows_per_listing_max;) {
    const size_t page = std::min<size_t>(limit + 1, 200);
    TRAM_TRY(rows, context.txn.scan(table::incoming, {}, until, page, Direction::backward));
    more = rows.size() == page;
    for (const Row& row : rows) {
      until = row.key;
      ++seen;
      proto::InRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      if (state ? record.state != *state : record.state == proto::InState::held) continue;
      if (unit && std::find(record.units.begin(), record.units.end(), *unit) == record.units.end()) continue;
      TRAM_TRY(json, inbox_item_json(record, parties, context.now));
      if (!wanted.empty()) {
        const std::string hay =
            directory::fold(json["number_and_symbol"].get<std::string>() + " " + json["subject"].get<std::string>() +
                            " " + json["from"].value("name", ""));
        if (hay.find(wanted) == std::string::npos) continue;
      }
      items.push_back(std::move(json));
      if (items.size() == limit) break;
    }
    if (more || items.size() == limit)
      next = std::to_string(read_u64(until));
    else
      next = nullptr;
  }
  return json_response(200, {{"items", items}, {"next", next}, {"practice", context.directory.practice()}});
}

}  // namespace

/// GET /v1/quarantine: what killed the node again and again (R44). Only the envelope is known: nothing was opened.
Result<Response> read_quarantine(const ReadContext& context, const Request& request) {
  TRAM_OK(check_query(request, {}));
  TRAM_TRY(rows, context.txn.scan(table::quarantine, {}, {}, limits::page_items_max));
  Parties parties(context.txn, context.directory, context.now);
  Json items = Json::array();
  for (const Row& row : rows) {
    Reader reader(row.value);
    const uint32_t times = reader.u32();
    const Time at{static_cast<int64_t>(reader.u64())};
    const auto envelope = crypto::decode_envelope(reader.raw(reader.left()));
    if (!envelope) return fail(ErrorCode::store_corrupt, "quarantine");
    TRAM_TRY(sender, parties.json(envelope->sender));
    items.push_back({{"envelope_id", envelope->id.hex()},
                     {"document_id", envelope->doc_id.hex()},
                     {"from", std::move(sender)},
                     {"sent", time_json(envelope->created)},
                     {"attempts", times},
                     {"since", time_json(at)}});
  }
  return json_response(200, {{"items", items}, {"practice", context.directory.practice()}});
}

namespace {

Result<Response> show_arrival(const ReadContext& context, const Request& request, const proto::InRecord& record) {
  TRAM_OK(check_query(request, {}));
  Parties parties(context.txn, context.directory, context.now);
  TRAM_TRY(json, inbox_item_json(record, parties, context.now));
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  json["envelope_id"] = record.env_id.hex();
  json["metadata"] = metadata_json(metadata);
  json["files"] = files_json(
      metadata, record.body_kept ? "/v1/inbox/" + std::to_string(record.arrival) + "/files/" : std::string());
  Json units = Json::array();
  for (const auto& unit : record.units) {
    TRAM_TRY(party, parties.json(unit));
    units.push_back(std::move(party));
  }
  json["units"] = units;
  json["recipient_count"] = metadata.recipient_count;
  json["body_bytes"] = record.body_bytes;
  json["body_kept"] = record.body_kept;
  json["practice"] = context.directory.practice();
  return json_response(200, json);
}

// ---- files
// -----------------------------------------------------------------------------------------------------------

struct Range {
  uint64_t first = 0;
  uint64_t bytes = 0;
};

/// One byte range (RFC 9110 section 14.2); nothing when the header is to be ignored. Error: bad_request (not
/// satisfiable).
Result<std::optional<Range>> parse_range(const std::string& text, uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  if (text.substr(0, unit.size()) != unit || text.find(',') != std::string::npos) return std::optional<Range>{};
  const std::string_view spec = std::string_view(text).substr(unit.size());
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return std::optional<Range>{};
  const auto first = parse_number(spec.substr(0, dash)), last = parse_number(spec.substr(dash + 1));
  if (!first && !last) return std::optional<Range>{};
  if (!first) {
    const uint64_t bytes = std::min(*last, size);
    if (bytes == 0) return fail(ErrorCode::bad_request, "Range");
    return std::optional(Range{size - bytes, bytes});
  }
  if (*first >= size || (last && *last < *first)) return fail(ErrorCode::bad_request, "Range");
  const uint64_t end = last ? std::min(*last + 1, size) : size;
  return std::optional(Range{*first, end - *first});
}

/// RFC 8187 value of filename*.
std::string encoded_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
    if (plain)
      out += c;
    else {
      constexpr char digits[] = "0123456789ABCDEF";
      const auto byte = static_cast<uint8_t>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

Result<Response> file(const ReadContext& context, const Request& request, const proto::InRecord& record,
                      const std::string& which) {
  TRAM_OK(check_query(request, {}));
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  const auto n = parse_number(which);
  if (!n || *n == 0 || *n > metadata.files.size()) return fail(ErrorCode::not_found, "file");
  if (!record.body_kept)
    return fail(ErrorCode::wrong_state,
                "the content was destroyed when the document was recalled or its retention ended");
  if (record.state == proto::InState::held)
    return fail(ErrorCode::wrong_state, "an earlier document of this sender is still awaited");
  const auto& info = metadata.files[*n - 1];
  Bytes inline_chunk;
  if (record.inline_body) {
    TRAM_TRY(chunk, context.txn.get(table::body_inline, record.doc_id));
    if (!chunk) return fail(ErrorCode::store_corrupt, "body");
    inline_chunk = std::move(*chunk);
  }
  auto reader =
      std::make_shared<BodyReader>(context.bodies, record, context.directory.realm(), std::move(inline_chunk));
  if (context.suspect) reader->when_damaged([suspect = context.suspect, arrival = record.arrival] { suspect(arrival); });
  TRAM_TRY(offset, reader->content_offset());
  for (size_t i = 0; i + 1 < *n; ++i) offset += metadata.files[i].bytes;
  TRAM_TRY(range, parse_range(header(request, "range"), info.bytes));
  Response response;
  FileDownload download{std::move(reader), offset, info.bytes};
  if (range) {
    response.status = 206;
    response.headers["Content-Range"] = "bytes " + std::to_string(range->first) + "-" +
                                        std::to_string(range->first + range->bytes - 1) + "/" +
                                        std::to_string(info.bytes);
    download.offset += range->first;
    download.bytes = range->bytes;
  }
  // What the sender called it is not trusted: the type follows from the extension, if that is one we know.
  const auto type = media_type_of(info.name);
  response.headers["Content-Type"] = type ? std::string(*type) : "application/octet-stream";
  response.headers["Content-Disposition"] = "attachment; filename*=UTF-8''" + encoded_name(info.name);
  response.headers["Accept-Ranges"] = "bytes";
  response.headers["ETag"] = "\"" + info.sha256.hex() + "\"";
  response.file = std::move(download);
  return response;
}

// ---- acts
// ------------------------------------------------------------------------------------------------------------

Result<void> check_words(const char* field, const std::string& text, size_t chars_max) {
  if (count_characters(text) > chars_max)
    return fail(ErrorCode::bad_metadata, std::string(field) + ": at most " + std::to_string(chars_max) + " characters");
  for (const char c : text)
    if (static_cast<uint8_t>(c) < 0x20 && c != '\n')
      return fail(ErrorCode::bad_metadata, std::string(field) + ": a control character");
  return {};
}

Result<proto::InRecord> act(WriteContext& context, const Request& request, uint64_t arrival, const std::string& name) {
  TRAM_TRY(json, parse_object(request.body.empty() ? view("{}") : BytesView(request.body)));
  Fields f(json, "");
  const std::string person = f.text("person");
  TRAM_OK(check_words("person", person, 100));
  const bool needs_reason = name == "refuse" || name == "answer";
  const std::string reason = needs_reason ? f.text("reason") : std::string();
  TRAM_OK(check_words("reason", reason, 500));
  const std::string who = person.empty() && request.principal.role == "clerk" ? request.principal.name : person;
  if (name == "register") {
    RegisterAct entry;
    entry.number = f.text("number");
    entry.date = f.date("date");
    entry.unit = f.text("unit");
    entry.person = who;
    TRAM_OK(f.finish());
    TRAM_OK(check_words("number", entry.number, 11));
    TRAM_OK(check_words("unit", entry.unit, 100));
    if (entry.date > local_date(context.now)) return fail(ErrorCode::bad_metadata, "date: lies in the future");
    return context.node.register_document(context.txn, context.now, arrival, entry, context.effects);
  }
  if (name == "refuse") {
    TRAM_OK(f.finish());
    if (reason.empty()) return fail(ErrorCode::bad_request, "reason: is required; the sender reads it");
    return context.node.refuse_document(context.txn, context.now, arrival, reason, who, context.effects);
  }
  if (name == "status") {
    const auto status = parse_status(f.text("status"));
    TRAM_OK(f.finish());
    if (!status || *status < 4 || *status > 6)
      return fail(ErrorCode::bad_request,
                  "status: 04 assigned, 05 in progress or 06 done; 03 is register, 02 is refuse");
    return context.node.set_status(context.txn, context.now, arrival, *status, who, context.effects);
  }
  const auto agree = f.boolean("agree");
  if (!agree) f.refuse("agree", "is required");
  TRAM_OK(f.finish());
  if (!*agree && reason.empty()) return fail(ErrorCode::bad_request, "reason: is required when a change is refused");
  return context.node.answer_change(context.txn, context.now, arrival, *agree, reason, who, context.effects);
}

}  // namespace

Result<Json> inbox_item_json(const proto::InRecord& record, Parties& parties, Time now) {
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  TRAM_TRY(sender, parties.json(record.sender));
  Json json;
  json["arrival"] = record.arrival;
  json["document_id"] = record.doc_id.hex();
  json["from"] = sender;
  if (!metadata.organ_name.empty()) json["organ_name"] = metadata.organ_name;
  json["number_and_symbol"] = number_and_symbol(metadata);
  json["type_name"] = metadata.type_name;
  json["subject"] = metadata.subject;
  if (!metadata.issued.empty()) json["issued"] = proto::to_text(metadata.issued);
  json["priority"] = static_cast<int>(metadata.priority);
  json["received"] = time_json(record.received);
  json["state"] = state_json(words(record.state));
  json["status"] = status_json(status_code(record.state));
  json["files"] = metadata.files.size();
  if (!metadata.due.empty()) json["due"] = proto::to_text(metadata.due);
  add_deadline(json, record, metadata, now);
  if (const auto kind = static_cast<size_t>(metadata.relation.kind); kind != 0) {
    static constexpr const char* kinds[] = {"", "recall", "update", "replace", "reply"};
    json["relation"] = kinds[std::min<size_t>(kind, 4)];
  }
  if (record.pending_change) {
    static constexpr const char* asked[] = {"", "recall", "update", "replace"};
    json["pending_change"] = {{"kind", asked[std::min<size_t>(record.pending_change, 3)]},
                              {"document_id", record.change_doc.hex()}};
  }
  if (!record.register_number.empty()) json["register_number"] = record.register_number;
  if (!record.register_date.empty()) json["register_date"] = record.register_date;
  if (!record.person.empty()) json["person"] = record.person;
  if (!record.reason.empty()) json["reason"] = record.reason;
  json["decided"] = time_json(record.decided);
  if (record.duplicate_number) json["duplicate_number"] = true;
  if (record.out_of_order) json["out_of_order"] = true;
  return json;
}

Result<Response> read_inbox(const ReadContext& context, const Request& request, const Parts& parts) {
  if (parts.empty()) return list_inbox(context, request);
  TRAM_TRY(record, find_arrival(context.txn, parts[0]));
  if (parts.size() == 1) return show_arrival(context, request, record);
  if (parts[1] == "receipts")
    return read_issued_receipts(context, request, record, Parts(parts.begin() + 2, parts.end()));
  if (parts.size() == 3 && parts[1] == "files") return file(context, request, record, parts[2]);
  if (parts.size() == 2 &&
      (parts[1] == "register" || parts[1] == "refuse" || parts[1] == "status" || parts[1] == "answer"))
    return fail(ErrorCode::method_not_allowed, "POST");
  return fail(ErrorCode::not_found, "path");
}

Result<Response> write_inbox(WriteContext& context, const Request& request, const Parts& parts) {
  if (request.method != "POST" || parts.size() < 2) return fail(ErrorCode::method_not_allowed, request.method);
  const bool known = parts[1] == "register" || parts[1] == "refuse" || parts[1] == "status" || parts[1] == "answer";
  if (parts.size() != 2 || !known) return fail(ErrorCode::not_found, "path");
  TRAM_TRY(record, find_arrival(context.txn, parts[0]));
  TRAM_TRY(changed, act(context, request, record.arrival, parts[1]));
  Parties parties(context.txn, context.directory, context.now);
  TRAM_TRY(json, inbox_item_json(changed, parties, context.now));
  json["practice"] = context.directory.practice();
  return json_response(200, json);
}

}  // namespace tram::node::api
