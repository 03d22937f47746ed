// POST /v1/documents: from a request body to a checked submission.
#include <set>

#include "base/limits.h"
#include "node/api/internal.h"
#include "node/metadata_rules.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node::api {
namespace {

constexpr size_t inline_contents_bytes_max = 48u << 10;  // what the document's row holds; more is staged
constexpr size_t addressees_max = 1000;

struct Draft {
  proto::Metadata metadata;
  std::vector<proto::StagedFile> files;
};

/// The codes of the successors, for the sentence of closed_agency.
Result<std::string> successors_text(WriteContext& context, const directory::AgencyState& state) {
  std::string text;
  for (const auto& successor : state.successors) {
    TRAM_TRY(next, context.directory.agency(context.txn, successor, context.now));
    if (!next) continue;
    if (!text.empty()) text += ", ";
    text += main_code(next->agency, context.now) + " " + next->agency.name_vi;
  }
  return text;
}

Result<proto::Addressee> addressee(WriteContext& context, const std::string& text) {
  proto::Addressee out;
  auto party = find_party(context.txn, context.directory, text, context.now);
  if (!party) {
    if (party.error().code != ErrorCode::unknown_agency) return fail(party.error());
    auto members = context.directory.group(context.txn, text, context.now);
    if (!members && members.error().code != ErrorCode::bad_request) return fail(members.error());
    if (!members || members->empty()) return fail(ErrorCode::unknown_agency, "to: " + text.substr(0, 64));
    out.kind = proto::AddresseeKind::group;
    out.group = text;
    return out;
  }
  TRAM_TRY(found, context.node.agency_of(context.txn, context.now, *party));
  const auto& state = *found;
  if (!state) return fail(ErrorCode::unknown_agency, "to: " + text.substr(0, 64));
  if (state->status == proto::AgencyStatus::closed) {
    TRAM_TRY(successors, successors_text(context, *state));
    return fail(ErrorCode::closed_agency, "to: " + text + (successors.empty() ? "" : "; successor: " + successors));
  }
  if (state->status == proto::AgencyStatus::suspended) return fail(ErrorCode::suspended_agency, "to: " + text);
  out.kind = state->agency.level == proto::Level::unit ? proto::AddresseeKind::unit : proto::AddresseeKind::agency;
  out.id = *party;
  return out;
}

Result<void> read_addressees(WriteContext& context, Fields& fields, proto::Metadata& metadata) {
  const auto to = fields.texts("to", addressees_max);
  std::set<std::string> seen;
  for (const auto& text : to) {
    if (!seen.insert(text).second) continue;
    TRAM_TRY(one, addressee(context, text));
    metadata.addressees.push_back(std::move(one));
  }
  return {};
}

/// A document of ours by uuid or document id, or of others by arrival ("inbox:12") or document id.
Result<DocId> relation_target(WriteContext& context, const std::string& text, bool ours_only) {
  const auto missing = [&] { return fail(ErrorCode::not_found, "relation.targets: " + text.substr(0, 64)); };
  if (text.substr(0, 6) == "inbox:" && !ours_only) {
    const auto arrival = parse_number(text.substr(6));
    if (!arrival) return missing();
    TRAM_TRY(record, find<proto::InRecord>(context.txn, table::incoming, row_key(*arrival)));
    if (!record) return missing();
    return record->doc_id;
  }
  auto uuid = find_document(context.txn, text);
  if (uuid) {
    TRAM_TRY(record, find<proto::OutRecord>(context.txn, table::outgoing, *uuid));
    if (!record) return missing();
    if (record->doc_id.is_zero()) return fail(ErrorCode::wrong_state, "relation.targets: still being sealed");
    return record->doc_id;
  }
  if (uuid.error().code != ErrorCode::not_found) return fail(uuid.error());
  const auto doc = DocId::parse(text);
  if (!doc || ours_only) return missing();
  TRAM_TRY(arrival, context.txn.get(table::incoming_by_doc, *doc));
  if (!arrival) return missing();
  return *doc;
}

Result<void> read_relation(WriteContext& context, Fields& fields, proto::Metadata& metadata) {
  const Json* json = fields.object("relation");
  if (!json) return {};
  Fields f(*json, "relation");
  const std::string kind = f.text("kind");
  const auto targets = f.texts("targets", 32);
  metadata.relation.reason = f.text("reason");
  TRAM_OK(f.finish());
  if (kind == "recall")
    return fail(ErrorCode::bad_request, "relation.kind: a recall is POST /v1/documents/{id}/recall");
  if (kind == "update")
    metadata.relation.kind = proto::RelationKind::update;
  else if (kind == "replace")
    metadata.relation.kind = proto::RelationKind::replace;
  else if (kind == "reply")
    metadata.relation.kind = proto::RelationKind::reply;
  else
    return fail(ErrorCode::bad_request, "relation.kind: one of update, replace, reply");
  for (const auto& text : targets) {
    TRAM_TRY(target, relation_target(context, text, metadata.relation.kind != proto::RelationKind::reply));
    metadata.relation.targets.push_back(target);
  }
  return {};
}

/// "in_reply_to": an arrival of ours; fills reply_to and the relation from what arrived.
Result<void> read_reply(WriteContext& context, Fields& fields, proto::Metadata& metadata) {
  const auto arrival = fields.integer("in_reply_to", 1, INT64_MAX);
  if (!arrival) return {};
  TRAM_TRY(record, find<proto::InRecord>(context.txn, table::incoming, row_key(static_cast<uint64_t>(*arrival))));
  if (!record) return fail(ErrorCode::not_found, "in_reply_to");
  if (metadata.relation.kind != proto::RelationKind::none)
    return fail(ErrorCode::bad_request, "in_reply_to: there is a relation already");
  TRAM_TRY(answered, proto::decode_metadata(record->metadata));
  TRAM_TRY(sender, context.directory.agency(context.txn, record->sender, context.now));
  proto::ReplyTo reply;
  if (sender) reply.organ_code = main_code(sender->agency, context.now);
  reply.code = number_and_symbol(answered);
  reply.date = answered.issued;
  reply.document_id = record->doc_id.hex();
  metadata.reply_to.push_back(std::move(reply));
  metadata.relation.kind = proto::RelationKind::reply;
  metadata.relation.targets.push_back(record->doc_id);
  return {};
}

Result<proto::StagedFile> read_file(WriteContext& context, const Json& json, const Principal& principal) {
  Fields f(json, "files");
  proto::StagedFile file;
  file.name = f.text("name");
  file.upload = f.text("upload");
  const bool has_content = f.has("content");
  const std::string content = f.text("content");
  f.text("type");  // what the caller believes; the extension and the content decide
  TRAM_OK(f.finish());
  if (has_content == !file.upload.empty())
    return fail(ErrorCode::bad_request, "files: each has either upload or content");
  Bytes head;
  if (has_content) {
    auto bytes = from_base64(content);
    if (!bytes) return fail(ErrorCode::bad_request, "files.content: not base64");
    if (bytes->size() > limits::inline_file_bytes_max)
      return fail(ErrorCode::too_large, "files.content: over 512 KiB; send it through /v1/uploads");
    file.content = std::move(*bytes);
    file.bytes = file.content.size();
    head.assign(file.content.begin(),
                file.content.begin() + static_cast<ptrdiff_t>(std::min(file.content.size(), file_head_bytes)));
  } else {
    TRAM_TRY(upload, find_upload(context.txn, file.upload, principal));
    if (upload.offset != upload.length)
      return fail(ErrorCode::missing_chunks, "files.upload: " + file.upload + " is not complete");
    TRAM_TRY(in_use, upload_in_use(context.txn, file.upload));
    if (in_use) return fail(ErrorCode::wrong_state, "files.upload: " + file.upload + " belongs to another document");
    if (file.name.empty()) file.name = upload.name;
    file.bytes = upload.length;
    TRAM_OK(check_file_name(file.name));
    TRAM_OK(media_type_of(file.name));
    TRAM_TRY(first, upload_head(context.bodies, upload, file_head_bytes));
    head = std::move(first);
  }
  TRAM_OK(check_file_name(file.name));
  TRAM_TRY(media_type, check_file(file.name, head, file.bytes));
  file.media_type = media_type;
  return file;
}

Result<void> read_files(WriteContext& context, Fields& fields, const Principal& principal, Draft& draft) {
  const Json* list = fields.array("files", limits::files_per_document_max);
  if (!list) return {};
  std::set<std::string> uploads;
  for (const auto& one : *list) {
    TRAM_TRY(file, read_file(context, one, principal));
    if (!file.upload.empty() && !uploads.insert(file.upload).second)
      return fail(ErrorCode::bad_request, "files.upload: the same one twice");
    draft.metadata.files.push_back({file.name, file.media_type, file.bytes, {}});
    draft.files.push_back(std::move(file));
  }
  return {};
}

/// Contents that the document's row cannot hold become uploads; the largest first.
Result<void> stage_large_contents(WriteContext& context, const Principal& principal,
                                  std::vector<proto::StagedFile>& files, std::vector<std::string>& staged) {
  for (;;) {
    size_t total = 0;
    proto::StagedFile* largest = nullptr;
    for (auto& file : files) {
      total += file.content.size();
      if (!file.content.empty() && (!largest || file.content.size() > largest->content.size())) largest = &file;
    }
    if (total <= inline_contents_bytes_max || !largest) return {};
    TRAM_TRY(upload, stage_upload(context, largest->content, largest->name, largest->media_type, principal));
    staged.push_back(upload);
    largest->upload = std::move(upload);
    largest->content.clear();
  }
}

Result<Draft> read_draft(WriteContext& context, const Request& request) {
  TRAM_TRY(json, parse_object(request.body));
  Fields fields(json, "");
  const Json* metadata = fields.object("metadata");
  if (!metadata) {
    fields.refuse("metadata", "is required");
    TRAM_OK(fields.finish());
  }
  Draft draft;
  TRAM_TRY(parsed, metadata_from(*metadata));
  draft.metadata = std::move(parsed);
  const std::string from_unit = fields.text("from_unit");
  const PartyId self = context.node.config().self;
  TRAM_TRY(found, context.node.agency_of(context.txn, context.now, self));
  const auto& me = *found;
  if (!me) return fail(ErrorCode::unknown_agency, "this agency itself is not in the directory yet");
  if (draft.metadata.organ_name.empty()) draft.metadata.organ_name = me->agency.name_vi;
  if (draft.metadata.issued.empty()) draft.metadata.issued = local_date(context.now);
  if (draft.metadata.sender_note_name.empty() && request.principal.role != "local")
    draft.metadata.sender_note_name = request.principal.name;
  if (!from_unit.empty()) {
    TRAM_TRY(unit, find_party(context.txn, context.directory, from_unit, context.now));
    TRAM_TRY(home, context.directory.node_of(context.txn, unit, context.now));
    if (home != self) return fail(ErrorCode::bad_request, "from_unit: not a unit of this agency");
    draft.metadata.from_unit = unit;
  }
  TRAM_OK(read_relation(context, fields, draft.metadata));
  TRAM_OK(read_reply(context, fields, draft.metadata));
  TRAM_OK(read_addressees(context, fields, draft.metadata));
  TRAM_OK(read_files(context, fields, request.principal, draft));
  TRAM_OK(fields.finish());
  if (draft.metadata.addressees.empty()) return fail(ErrorCode::bad_request, "to: is required");
  TRAM_OK(check_metadata(draft.metadata, me->agency.branch, context.now));
  return draft;
}

}  // namespace

namespace {

Result<Submitted> submit(Writing& context, const Request& request, Draft draft) {
  std::vector<std::string> staged;
  TRAM_OK(stage_large_contents(context, request.principal, draft.files, staged));
  const size_t writes = context.watched.writes();
  Submission submission;
  submission.metadata = std::move(draft.metadata);
  submission.files = std::move(draft.files);
  submission.author = request.principal.name;
  auto submitted = context.node.submit(context.txn, context.now, std::move(submission), context.effects);
  if (submitted || context.watched.writes() != writes) return submitted;
  for (const auto& id : staged) {
    TRAM_OK(context.txn.erase(table::upload, view(id)));
    context.effects.remove_bodies.push_back(upload_name(id));
  }
  context.watched.undone();
  return submitted;
}

}  // namespace

Result<Response> send_document(Writing& context, const Request& request) {
  TRAM_TRY(draft, read_draft(context, request));
  if (proto::encode_metadata(draft.metadata).size() > (32u << 10))
    return fail(ErrorCode::too_large,
                "metadata: over 32 KiB; put long lists into a file, address groups by their name");
  TRAM_TRY(submitted, submit(context, request, std::move(draft)));

  const auto views = context.node.broker_views();
  const bool reachable = std::any_of(views.begin(), views.end(), [](const auto& broker) { return broker.connected; });
  Json json;
  json["id"] = submitted.uuid.hex();
  json["state"] = state_json(words(submitted.sealed ? proto::OutState::sent : proto::OutState::sealing));
  json["recipients"] = submitted.recipients;
  json["without_node"] = submitted.without_node;
  json["delivery"] = reachable ? "sending" : "queued";
  if (!reachable)
    json["notice"] = error_json(static_cast<uint16_t>(ErrorCode::unreachable));
  else if (submitted.without_node)
    json["notice"] = error_json(static_cast<uint16_t>(ErrorCode::no_node));
  json["practice"] = context.directory.practice();
  Response response = json_response(202, json);
  response.headers["Location"] = "/v1/documents/" + submitted.uuid.hex();
  return response;
}

}  // namespace tram::node::api
