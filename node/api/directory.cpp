// The directory as clerks search it: /v1/directory and /v1/groups.
#include "base/limits.h"
#include "node/api/internal.h"
#include "node/node.h"

namespace tram::node::api {
namespace {

Json summary_json(const directory::AgencyState& state, Time now) {
  Json json;
  json["id"] = state.agency.id.hex();
  json["code"] = main_code(state.agency, now);
  json["name"] = state.agency.name_vi;
  if (!state.agency.name_en.empty()) json["name_en"] = state.agency.name_en;
  json["branch"] = proto::to_text(state.agency.branch);
  json["level"] = proto::to_text(state.agency.level);
  if (!state.agency.province.empty()) json["province"] = state.agency.province;
  json["status"] = proto::to_text(state.status);
  json["has_node"] = state.agency.keys.has_value();
  return json;
}

Result<Json> agency_json(const ReadContext& context, const directory::AgencyState& state, Parties& parties) {
  Json json = summary_json(state, context.now);
  Json codes = Json::array();
  for (const auto& code : state.agency.codes) {
    Json one{{"code", code.code}};
    if (code.valid_from.ms) one["valid_from"] = time_json(code.valid_from);
    if (code.valid_until.ms) one["valid_until"] = time_json(code.valid_until);
    codes.push_back(one);
  }
  json["codes"] = codes;
  if (!state.agency.parent.is_zero()) {
    TRAM_TRY(parent, parties.json(state.agency.parent));
    json["parent"] = parent;
  }
  const auto& contact = state.agency.contact;
  json["contact"] = {{"address", contact.address},
                     {"telephone", contact.telephone},
                     {"email", contact.email},
                     {"duty_person", contact.duty_person}};
  if (!state.status_reason.empty()) json["status_reason"] = state.status_reason;
  if (state.suspended_until.ms) json["suspended_until"] = time_json(state.suspended_until);
  Json successors = Json::array();
  for (const auto& successor : state.successors) {
    TRAM_TRY(one, parties.json(successor));
    successors.push_back(std::move(one));
  }
  if (!successors.empty()) json["successors"] = successors;
  if (state.agency.keys) json["keys"] = {{"sig", state.agency.keys->sig.hex()}, {"log", state.agency.keys->log.hex()}};
  json["entry"] = state.entry_index;
  TRAM_TRY(units, context.directory.units(context.txn, state.agency.id, context.now));
  Json list = Json::array();
  for (const auto& unit : units) list.push_back(summary_json(unit, context.now));
  json["units"] = list;
  json["practice"] = context.directory.practice();
  return json;
}

Result<Response> search(const ReadContext& context, const Request& request) {
  TRAM_OK(check_query(request, {"q", "branch", "level", "province", "parent", "after", "limit"}));
  TRAM_TRY(limit, page_limit(request));
  directory::Query wanted;
  wanted.text = query(request, "q");
  if (wanted.text.size() > 400) return fail(ErrorCode::bad_request, "q: too long");
  if (const std::string name = query(request, "branch"); !name.empty()) {
    wanted.branch = proto::parse_branch(name);
    if (!wanted.branch)
      return fail(ErrorCode::bad_request, "branch: one of party, government, front, assembly, court, procuracy");
  }
  if (const std::string name = query(request, "level"); !name.empty()) {
    wanted.level = proto::parse_level(name);
    if (!wanted.level) return fail(ErrorCode::bad_request, "level: one of central, province, commune, unit");
  }
  wanted.province = query(request, "province");
  if (const std::string parent = query(request, "parent"); !parent.empty()) {
    TRAM_TRY(id, find_party(context.txn, context.directory, parent, context.now));
    wanted.parent = id;
  }
  std::optional<PartyId> after;
  if (const std::string text = query(request, "after"); !text.empty()) {
    after = PartyId::parse(text);
    if (!after) return fail(ErrorCode::bad_request, "after");
  }
  TRAM_TRY(found, context.directory.search(context.txn, wanted, context.now, limit, after));
  Json items = Json::array();
  for (const auto& state : found) items.push_back(summary_json(state, context.now));
  Json next = nullptr;
  if (found.size() == limit) next = found.back().agency.id.hex();
  return json_response(200, {{"items", items}, {"next", next}, {"practice", context.directory.practice()}});
}

}  // namespace

Result<Response> read_directory(const ReadContext& context, const Request& request, const Parts& parts) {
  if (parts.empty()) return search(context, request);
  if (parts.size() != 1) return fail(ErrorCode::not_found, "path");
  TRAM_OK(check_query(request, {}));
  TRAM_TRY(id, find_party(context.txn, context.directory, parts[0], context.now));
  TRAM_TRY(state, context.directory.agency(context.txn, id, context.now));
  if (!state) return fail(ErrorCode::unknown_agency, parts[0]);
  Parties parties(context.txn, context.directory, context.now);
  TRAM_TRY(json, agency_json(context, *state, parties));
  return json_response(200, json);
}

Result<Response> read_groups(const ReadContext& context, const Request& request, const Parts& parts) {
  TRAM_OK(check_query(request, {"name"}));
  if (!parts.empty()) return fail(ErrorCode::not_found, "path");
  const std::string name = query(request, "name");
  if (name.empty()) return fail(ErrorCode::bad_request, "name: is required, as communes:79");
  TRAM_TRY(members, context.directory.group(context.txn, name, context.now));
  Json sample = Json::array();
  uint64_t with_node = 0;
  for (const auto& member : members) {
    TRAM_TRY(state, context.directory.agency(context.txn, member, context.now));
    if (!state) continue;
    with_node += state->agency.keys.has_value();
    if (sample.size() < 20) sample.push_back(summary_json(*state, context.now));
  }
  return json_response(200, {{"group", name},
                             {"members", members.size()},
                             {"with_node", with_node},
                             {"first", sample},
                             {"practice", context.directory.practice()}});
}

}  // namespace tram::node::api
