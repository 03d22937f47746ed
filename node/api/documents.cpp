// The outbox: /v1/documents.
#include <array>

#include "base/limits.h"
#include "node/api/internal.h"
#include "node/metadata_rules.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node::api {
namespace {

constexpr size_t rows_per_scan_max = 32;           // of up to 68 KiB
constexpr size_t summarised_recipients_max = 200;  // counted in a listing; more are counted in the document's own page
constexpr size_t item_states = 12;

using Counts = std::array<uint32_t, item_states>;

Result<Counts> count_items(ReadTxn& txn, const DocUuid& uuid) {
  Counts counts{};
  const auto counted = for_each(txn, table::item, uuid, [&](const Row& row) -> Result<void> {
    proto::ItemRecord item;
    TRAM_OK(proto::decode_record(row.value, item));
    ++counts[static_cast<size_t>(item.state)];
    return {};
  });
  if (!counted) return fail(counted.error());
  return counts;
}

Json counts_json(const Counts& counts) {
  Json json = Json::object();
  for (size_t i = 1; i < counts.size(); ++i)
    if (counts[i]) json[std::string(words(static_cast<proto::ItemState>(i)).name)] = counts[i];
  return json;
}

Json summary_json(const proto::OutRecord& record, const proto::Metadata& metadata) {
  Json json;
  json["id"] = record.uuid.hex();
  if (!record.doc_id.is_zero()) json["document_id"] = record.doc_id.hex();
  json["created"] = time_json(record.created);
  json["state"] = state_json(words(record.state));
  json["number_and_symbol"] = number_and_symbol(metadata);
  json["type_name"] = metadata.type_name;
  json["subject"] = metadata.subject;
  json["priority"] = static_cast<int>(metadata.priority);
  json["recipients"] = record.recipients;
  if (metadata.relation.kind == proto::RelationKind::recall) json["recall"] = true;
  if (record.state == proto::OutState::failed) {
    json["failure"] = error_json(record.failure);
    json["failure"]["detail"] = record.failure_detail;
  }
  return json;
}

/// A state of the document or of any of its recipients.
struct StateFilter {
  std::optional<proto::OutState> document;
  std::optional<proto::ItemState> item;
};

Result<StateFilter> state_filter(const std::string& name) {
  StateFilter filter;
  if (name.empty()) return filter;
  for (uint8_t i = 1; i <= 3; ++i)
    if (words(static_cast<proto::OutState>(i)).name == name) filter.document = static_cast<proto::OutState>(i);
  for (uint8_t i = 1; i < item_states; ++i)
    if (words(static_cast<proto::ItemState>(i)).name == name) filter.item = static_cast<proto::ItemState>(i);
  if (!filter.document && !filter.item) return fail(ErrorCode::bad_request, "state: unknown");
  return filter;
}

Result<Response> list_outbox(const ReadContext& context, const Request& request) {
  TRAM_OK(check_query(request, {"state", "q", "after", "limit"}));
  TRAM_TRY(limit, page_limit(request));
  TRAM_TRY(filter, state_filter(query(request, "state")));
  const std::string wanted = directory::fold(query(request, "q"));
  Bytes until;
  if (const std::string after = query(request, "after"); !after.empty()) {
    const auto key = from_hex(after);
    if (!key || key->size() != DocUuid::size) return fail(ErrorCode::bad_request, "after");
    until = *key;
  }
  Json items = Json::array();
  Json next = nullptr;
  size_t seen = 0;
  for (bool more = true; more && items.size() < limit && seen < rows_per_listing_max;) {
    const size_t page = std::min(limit + 1, rows_per_scan_max);
    TRAM_TRY(rows, context.txn.scan(table::outgoing, {}, until, page, Direction::backward));
    more = rows.size() == page;
    for (const Row& row : rows) {
      until = row.key;
      ++seen;
      proto::OutRecord record;
      TRAM_OK(proto::decode_record(row.value, record));
      if (filter.document && record.state != *filter.document) continue;
      TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
      if (!wanted.empty() &&
          directory::fold(number_and_symbol(metadata) + " " + metadata.subject).find(wanted) == std::string::npos)
        continue;
      Json json = summary_json(record, metadata);
      if (record.recipients <= summarised_recipients_max || filter.item) {
        TRAM_TRY(counts, count_items(context.txn, record.uuid));
        if (filter.item && counts[static_cast<size_t>(*filter.item)] == 0) continue;
        json["counts"] = counts_json(counts);
      }
      items.push_back(std::move(json));
      if (items.size() == limit) break;
    }
    if (more || items.size() == limit)
      next = to_hex(until);
    else
      next = nullptr;
  }
  return json_response(200, {{"items", items}, {"next", next}, {"practice", context.directory.practice()}});
}

/// Who closed, the recipient or we, and who takes its place.
Result<void> add_succession(const ReadContext& context, const proto::ItemRecord& item, Parties& parties, Json& json) {
  json["because"] = error_json(item.waiting_reason);
  Json successors = Json::array();
  for (const PartyId& party : {item.recipient, context.self}) {
    TRAM_TRY(state, context.directory.agency(context.txn, party, context.now));
    if (!state || state->status != proto::AgencyStatus::closed) continue;
    for (const PartyId& successor : state->successors) {
      TRAM_TRY(one, parties.json(successor));
      successors.push_back(std::move(one));
    }
    break;
  }
  json["successors"] = std::move(successors);
  return {};
}

Result<Json> recipient_json(const ReadContext& context, const proto::ItemRecord& item, Parties& parties) {
  TRAM_TRY(json, parties.json(item.recipient));
  json["state"] = state_json(words(item.state));
  json["status"] = status_json(item.status);
  json["custodies"] = item.custodies;
  json["issue"] = item.issue;
  if (item.issue) json["envelope_id"] = item.env_id.hex();
  if (item.state == proto::ItemState::waiting && item.waiting_reason)
    json["waiting_for"] = error_json(item.waiting_reason);
  if (item.state == proto::ItemState::forwarded || item.state == proto::ItemState::undeliverable)
    TRAM_OK(add_succession(context, item, parties, json));
  json["queued"] = time_json(item.queued);
  json["accepted"] = time_json(item.accepted);
  json["received"] = time_json(item.received);
  json["decided"] = time_json(item.decided);
  if (!item.register_number.empty()) json["register_number"] = item.register_number;
  if (!item.register_date.empty()) json["register_date"] = item.register_date;
  if (!item.reason.empty()) json["reason"] = item.reason;
  if (!item.person.empty()) json["person"] = item.person;
  if (item.pending_change) json["pending_change"] = status_json(item.pending_change);
  return json;
}

struct Wait {
  bool delivered = false;
  Duration most = wait_max;
};

Result<std::optional<Wait>> wait_of(const Request& request) {
  const std::string until = query(request, "wait"), text = query(request, "seconds");
  if (until.empty()) {
    if (!text.empty()) return fail(ErrorCode::bad_request, "seconds: only with wait");
    return std::optional<Wait>{};
  }
  if (until != "accepted" && until != "delivered") return fail(ErrorCode::bad_request, "wait: accepted or delivered");
  Wait wait{until == "delivered", wait_max};
  if (!text.empty()) {
    const auto number = parse_number(text);
    if (!number || *number == 0 || *number > static_cast<uint64_t>(wait_max.ms / 1000))
      return fail(ErrorCode::bad_request, "seconds: from 1 to " + std::to_string(wait_max.ms / 1000));
    wait.most = seconds(static_cast<int64_t>(*number));
  }
  return std::optional(wait);
}

/// Whether every recipient is as far as that, or further, or will never be.
bool has_come(const proto::OutRecord& record, const Counts& counts, bool until_delivered) {
  using enum proto::ItemState;
  const auto of = [&](proto::ItemState state) { return counts[static_cast<size_t>(state)]; };
  return record.state == proto::OutState::failed || of(waiting) + of(queued) + (until_delivered ? of(accepted) : 0) == 0;
}

Result<Response> show(const ReadContext& context, const Request& request, const DocUuid& uuid) {
  TRAM_OK(check_query(request, {"after", "limit", "wait", "seconds"}));
  TRAM_TRY(limit, page_limit(request));
  TRAM_TRY(wait, wait_of(request));
  auto found = find<proto::OutRecord>(context.txn, table::outgoing, uuid);
  if (!found) return fail(found.error());
  if (!*found) return fail(ErrorCode::not_found, "document");
  const proto::OutRecord& record = **found;
  TRAM_TRY(metadata, proto::decode_metadata(record.metadata));
  TRAM_TRY(counts, count_items(context.txn, uuid));
  const bool waits = wait && !has_come(record, counts, wait->delivered);
  Bytes from = row_key(uuid);
  if (const std::string after = query(request, "after"); !after.empty()) {
    const auto last = PartyId::parse(after);
    if (!last) return fail(ErrorCode::bad_request, "after");
    from = row_key(uuid, *last);
    from.push_back(0);
  }
  TRAM_TRY(rows, context.txn.scan(table::item, from, prefix_end(uuid), limit + 1));
  Parties parties(context.txn, context.directory, context.now);
  Json recipients = Json::array();
  Json next = nullptr;
  for (const Row& row : rows) {
    if (recipients.size() == limit) {
      next = recipients.back()["id"];
      break;
    }
    proto::ItemRecord item;
    TRAM_OK(proto::decode_record(row.value, item));
    TRAM_TRY(json, recipient_json(context, item, parties));
    recipients.push_back(std::move(json));
  }
  Json json = summary_json(record, metadata);
  json["counts"] = counts_json(counts);
  json["metadata"] = metadata_json(metadata);
  Json files = files_json(metadata, {});
  if (files.empty())
    for (const auto& file : record.staged)
      files.push_back({{"n", files.size() + 1}, {"name", file.name}, {"type", file.media_type}, {"bytes", file.bytes}});
  json["files"] = files;
  Json to = Json::array();
  for (const auto& addressee : metadata.addressees) {
    if (addressee.kind == proto::AddresseeKind::group) {
      to.push_back({{"group", addressee.group}});
      continue;
    }
    TRAM_TRY(party, parties.json(addressee.id));
    to.push_back(std::move(party));
  }
  json["to"] = to;
  json["lane"] = static_cast<int>(record.lane);
  json["not_after"] = time_json(record.not_after);
  json["author"] = record.author;
  json["body_bytes"] = record.body_bytes;
  json["body_kept"] = record.body_kept;
  json["recipient_list"] = recipients;
  json["next"] = next;
  json["practice"] = context.directory.practice();
  Response response = json_response(200, json);
  if (waits) {
    response.waits_for = uuid;
    response.wait = wait->most;
  }
  return response;
}

Result<Response> recall(WriteContext& context, const Request& request, const DocUuid& uuid) {
  TRAM_TRY(json, parse_object(request.body));
  Fields fields(json, "");
  const std::string reason = fields.text("reason");
  TRAM_OK(fields.finish());
  if (reason.empty()) return fail(ErrorCode::bad_request, "reason: is required");
  if (count_characters(reason) > 500) return fail(ErrorCode::bad_metadata, "reason: at most 500 characters");
  TRAM_TRY(known, context.txn.get(table::outgoing, uuid));
  if (!known) return fail(ErrorCode::not_found, "document");
  TRAM_TRY(submitted,
           context.node.recall(context.txn, context.now, uuid, reason, request.principal.name, context.effects));
  Response response = json_response(202, {{"id", submitted.uuid.hex()},
                                          {"recalls", uuid.hex()},
                                          {"recipients", submitted.recipients},
                                          {"without_node", submitted.without_node},
                                          {"practice", context.directory.practice()}});
  response.headers["Location"] = "/v1/documents/" + submitted.uuid.hex();
  return response;
}

}  // namespace

Result<Response> read_documents(const ReadContext& context, const Request& request, const Parts& parts) {
  if (parts.empty()) return list_outbox(context, request);
  TRAM_TRY(uuid, find_document(context.txn, parts[0]));
  if (parts.size() == 1) return show(context, request, uuid);
  if (parts[1] == "receipts") return read_receipts(context, request, uuid, {parts.begin() + 2, parts.end()});
  if (parts[1] == "recall" && parts.size() == 2) return fail(ErrorCode::method_not_allowed, "POST");
  return fail(ErrorCode::not_found, "path");
}

Result<Response> write_documents(Writing& context, const Request& request, const Parts& parts) {
  if (request.method != "POST") return fail(ErrorCode::method_not_allowed, request.method);
  if (parts.empty()) return send_document(context, request);
  if (parts.size() != 2 || parts[1] != "recall")
    return fail(parts.size() < 3 ? ErrorCode::method_not_allowed : ErrorCode::not_found, "path");
  TRAM_TRY(uuid, find_document(context.txn, parts[0]));
  return recall(context, request, uuid);
}

}  // namespace tram::node::api
