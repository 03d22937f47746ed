// list, search, show: reading the directory.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/io/clock.h"
#include "directory/io/commands.h"

namespace tram::authority {
namespace {

using nlohmann::json;

json to_json(const directory::AgencyState& state) {
  const proto::Agency& agency = state.agency;
  json codes = json::array(), successors = json::array();
  for (const auto& code : agency.codes) codes.push_back(code.code);
  for (const PartyId& id : state.successors) successors.push_back(id.hex());
  json out{{"id", agency.id.hex()},
           {"name", agency.name_vi},
           {"branch", to_text(agency.branch)},
           {"level", to_text(agency.level)},
           {"province", agency.province},
           {"codes", codes},
           {"status", to_text(state.status)},
           {"has_node", agency.keys.has_value()},
           {"entry", state.entry_index}};
  if (!agency.name_en.empty()) out["name_en"] = agency.name_en;
  if (!agency.parent.is_zero()) out["parent"] = agency.parent.hex();
  if (!agency.contact.address.empty()) out["address"] = agency.contact.address;
  if (!agency.contact.telephone.empty()) out["telephone"] = agency.contact.telephone;
  if (!agency.contact.email.empty()) out["email"] = agency.contact.email;
  if (!successors.empty()) out["successors"] = successors;
  if (!state.status_reason.empty()) out["reason"] = state.status_reason;
  if (agency.keys)
    out["keys"] = {
        {"sig", agency.keys->sig.hex()}, {"log", agency.keys->log.hex()}, {"curve", agency.keys->curve.hex()}};
  return out;
}

void print_line(const directory::AgencyState& state) {
  std::printf("%-18s %-10s %-9s %s%s%s\n", state.agency.codes.empty() ? "-" : state.agency.codes.front().code.c_str(),
              std::string(to_text(state.agency.branch)).c_str(), std::string(to_text(state.status)).c_str(),
              state.agency.name_vi.c_str(), state.agency.contact.address.empty() ? "" : ", ",
              state.agency.contact.address.c_str());
}

Result<void> list(const Global& global, const LookOptions& options) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  TRAM_TRY(at, parse_moment(options.at, io::wall_now()));
  directory::Query query;
  query.text = options.text;
  query.province = options.province;
  if (!options.branch.empty() && !(query.branch = proto::parse_branch(options.branch)))
    return fail(ErrorCode::bad_request, "--branch " + options.branch);
  if (!options.level.empty() && !(query.level = proto::parse_level(options.level)))
    return fail(ErrorCode::bad_request, "--level " + options.level);
  if (!options.parent.empty() && !(query.parent = folder->find_code(options.parent, at)))
    return fail(ErrorCode::unknown_agency, options.parent);
  TRAM_TRY(found, folder->directory().search(folder->txn(), query, at, options.limit));
  if (global.json) {
    json rows = json::array();
    for (const auto& state : found) rows.push_back(to_json(state));
    std::printf("%s\n", rows.dump().c_str());
    return {};
  }
  for (const auto& state : found) print_line(state);
  if (found.size() == options.limit)
    std::printf(global.vietnamese ? "... (xem thêm: --limit)\n" : "... (more: --limit)\n");
  return {};
}

json broker_json(const directory::Broker& broker) {
  return {{"id", broker.record.id.hex()},
          {"name", broker.record.name},
          {"failure_domain", broker.record.failure_domain},
          {"control", broker.record.control_endpoint},
          {"bulk", broker.record.bulk_endpoint},
          {"curve", broker.record.curve.hex()},
          {"sig", broker.record.sig.hex()},
          {"retired", broker.record.retired}};
}

Result<void> show_realm(const Global& global, RealmFolder& folder, Time now) {
  const auto& directory = folder.directory();
  const auto& root = directory.root_change();
  json brokers = json::array(), officers = json::array(), registrars = json::array(), publishers = json::array();
  for (const auto& broker : directory.brokers(now)) brokers.push_back(broker_json(broker));
  for (const auto& officer : root.officers)
    officers.push_back({{"id", officer.id.hex()}, {"name", officer.name}, {"key", officer.key.hex()}});
  for (const auto& registrar : directory.registrars())
    registrars.push_back({{"id", registrar.id.hex()},
                          {"name", registrar.name},
                          {"branch", to_text(registrar.branch)},
                          {"province", registrar.province},
                          {"revoked", registrar.revoked}});
  for (const auto& key : root.publishers) publishers.push_back(key.hex());
  const auto policy = directory.policy(now);
  const json out{{"realm", directory.realm().hex()},
                 {"name", root.realm_name},
                 {"practice", root.practice},
                 {"size", directory.size()},
                 {"root", directory.root().hex()},
                 {"threshold", root.threshold},
                 {"root_threshold", root.root_threshold},
                 {"officers", officers},
                 {"publishers", publishers},
                 {"registrars", registrars},
                 {"brokers", brokers},
                 {"policy",
                  {{"custody_quorum", policy.custody_quorum},
                   {"body_floor_bytes", policy.body_floor_bytes},
                   {"time_to_live_ms", policy.time_to_live_ms},
                   {"retention_ms", policy.retention_ms},
                   {"document_bytes_max", policy.document_bytes_max},
                   {"recall_refusal_allowed", policy.recall_refusal_allowed},
                   {"update_refusal_allowed", policy.update_refusal_allowed}}}};
  std::printf("%s\n", out.dump(global.json ? -1 : 2).c_str());
  return {};
}

Result<void> show(const Global& global, const LookOptions& options) {
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  TRAM_TRY(at, parse_moment(options.at, io::wall_now()));
  if (options.code.empty()) return show_realm(global, *folder, at);
  const auto& directory = folder->directory();
  for (const auto& broker : directory.brokers(at))
    if (broker.record.name == options.code || broker.record.id.hex() == options.code) {
      std::printf("%s\n", broker_json(broker).dump(global.json ? -1 : 2).c_str());
      return {};
    }
  auto id = PartyId::parse(options.code);
  if (!id) {
    TRAM_TRY(found, directory.find_code(folder->txn(), options.code, at));
    id = found;
  }
  if (!id) return fail(ErrorCode::unknown_agency, options.code);
  TRAM_TRY(state, directory.agency(folder->txn(), *id, at));
  if (!state) return fail(ErrorCode::unknown_agency, options.code);
  json out = to_json(*state);
  TRAM_TRY(units, directory.units(folder->txn(), *id, at));
  for (const auto& unit : units) out["units"].push_back(to_json(unit));
  TRAM_TRY(officers, directory.officers(folder->txn(), *id));
  for (const auto& officer : officers)
    out["officers"].push_back(
        {{"id", officer.id.hex()}, {"name", officer.name}, {"role", officer.role}, {"revoked", officer.revoked}});
  std::printf("%s\n", out.dump(global.json ? -1 : 2).c_str());
  return {};
}

}  // namespace

int run_list(const Global& global, const LookOptions& options) {
  auto done = list(global, options);
  return done ? 0 : report(done.error(), global);
}

int run_show(const Global& global, const LookOptions& options) {
  auto done = show(global, options);
  return done ? 0 : report(done.error(), global);
}

}  // namespace tram::authority
