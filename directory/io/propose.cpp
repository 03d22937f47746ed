// propose: changes from flags, or from a JSON file whose names are the flags'.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/config.h"
#include "base/io/clock.h"
#include "base/io/system_random.h"
#include "base/limits.h"
#include "directory/io/commands.h"

namespace tram::authority {
namespace {

using Values = std::map<std::string, std::vector<std::string>>;

tl::unexpected<Error> refuse(std::string detail) { return fail(ErrorCode::bad_request, std::move(detail)); }

/// Flags as given; a change takes what it knows and leaves nothing over.
class Flags {
 public:
  explicit Flags(Values values) : values_(std::move(values)) {}
  bool given(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, std::string otherwise = {}) {
    auto all = list(name);
    return all.empty() ? otherwise : all.back();
  }
  std::vector<std::string> list(const std::string& name) {
    used_.push_back(name);
    auto found = values_.find(name);
    return found == values_.end() ? std::vector<std::string>{} : found->second;
  }
  bool flag(const std::string& name, bool otherwise = false) {
    const std::string value = text(name, otherwise ? "true" : "false");
    return value == "true" || value == "yes" || value == "1";
  }
  Result<uint64_t> number(const std::string& name, uint64_t otherwise) {
    const std::string value = text(name);
    if (value.empty()) return otherwise;
    if (value.size() > 18 || value.find_first_not_of("0123456789") != std::string::npos)
      return refuse("--" + name + " is no number");
    return std::stoull(value);
  }
  Result<uint64_t> duration(const std::string& name, uint64_t otherwise) {
    const std::string value = text(name);
    if (value.empty()) return otherwise;
    const auto parsed = parse_duration(value);
    if (!parsed) return refuse("--" + name + " is no duration: write 10d or 72h");
    return static_cast<uint64_t>(parsed->ms);
  }
  Result<void> nothing_left() const {
    for (const auto& [name, value] : values_)
      if (std::find(used_.begin(), used_.end(), name) == used_.end())
        return refuse("--" + name + " does not belong here");
    return {};
  }

 private:
  Values values_;
  std::vector<std::string> used_;
};

Result<void> add_file(Values& values, const std::string& path) {
  TRAM_TRY(text, read_text(path, limits::json_body_bytes_max));
  const auto object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::bad_format, path + " is no JSON object");
  auto scalar = [](const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
  for (const auto& [name, value] : object.items()) {
    if (values.contains(name) || value.is_null()) continue;  // a flag wins over the file
    if (value.is_object()) return fail(ErrorCode::bad_format, path + ": " + name);
    if (value.is_array())
      for (const auto& each : value) values[name].push_back(scalar(each));
    else
      values[name] = {scalar(value)};
  }
  return {};
}

struct Proposer {
  RealmFolder& folder;
  Flags& flags;
  Time now;
  io::SystemRandom random{};

  Result<PartyId> agency(const std::string& code) {
    if (auto id = PartyId::parse(code)) return *id;
    if (auto found = folder.find_code(code, now)) return *found;
    return fail(ErrorCode::unknown_agency, code.empty() ? "--agency CODE is missing" : code);
  }
  Result<std::vector<proto::RootOfficer>> officers(const std::string& flag) {
    std::vector<proto::RootOfficer> out;
    for (const std::string& file : flags.list(flag)) {
      TRAM_TRY(officer, read_officer_public(file));
      out.push_back(std::move(officer));
    }
    return out;
  }
  Result<PartyId> id_or_new(const std::string& flag) {
    const std::string text = flags.text(flag);
    if (text.empty()) return random.id<PartyId>();
    if (auto id = PartyId::parse(text)) return *id;
    return refuse("--" + flag + " is no id of 32 hexadecimal digits");
  }

  Result<proto::ChangeBody> make(const std::string& what) {
    if (what == "agency") return make_agency();
    if (what == "status") return make_status();
    if (what == "succeed") return make_succession();
    if (what == "broker") return make_broker();
    if (what == "registrar") return make_registrar();
    if (what == "officer") return make_officer();
    if (what == "policy") return make_policy();
    if (what == "witness") return make_witness();
    return make_root();
  }

  Result<proto::ChangeBody> make_agency() {
    proto::Agency record;
    const std::string code = flags.text("code");
    if (auto known = folder.find_code(code, now)) record = folder.latest_record(*known, now).value_or(proto::Agency{});
    const bool fresh = record.id.is_zero();
    if (fresh) {
      record.id = random.id<PartyId>();
      record.codes.push_back({code, {}, {}});
    }
    record.name_vi = flags.text("name", record.name_vi);
    record.name_en = flags.text("name-en", record.name_en);
    const auto branch = proto::parse_branch(flags.text("branch", std::string(to_text(record.branch))));
    const auto level = proto::parse_level(flags.text("level", std::string(to_text(record.level))));
    if (!branch) return refuse("--branch: party government front assembly court procuracy");
    if (!level) return refuse("--level: central province commune unit");
    record.branch = *branch;
    record.level = *level;
    if (const std::string parent = flags.text("parent"); parent == "none")
      record.parent = {};
    else if (!parent.empty()) {
      TRAM_TRY(found, agency(parent));
      record.parent = found;
    }
    record.province = flags.text("province", record.province);
    record.contact.address = flags.text("address", record.contact.address);
    record.contact.telephone = flags.text("telephone", record.contact.telephone);
    record.contact.email = flags.text("email", record.contact.email);
    record.contact.duty_person = flags.text("duty-person", record.contact.duty_person);
    for (const std::string& alias : flags.list("alias")) record.codes.push_back({alias, {}, {}});
    if (flags.flag("without-keys")) record.keys.reset();
    return proto::ChangeBody(proto::AgencyChange{record});
  }
  Result<proto::ChangeBody> make_status() {
    proto::StatusChange change;
    TRAM_TRY(party, agency(flags.text("agency")));
    change.agency = party;
    const std::string status = flags.text("status");
    if (status == "active")
      change.status = proto::AgencyStatus::active;
    else if (status == "suspended")
      change.status = proto::AgencyStatus::suspended;
    else if (status == "closed")
      change.status = proto::AgencyStatus::closed;
    else
      return refuse("--status: active suspended closed");
    if (const std::string until = flags.text("until"); !until.empty()) {
      TRAM_TRY(time, parse_moment(until, now));
      change.until = time;
    }
    change.reason = flags.text("reason");
    return proto::ChangeBody(change);
  }
  Result<proto::ChangeBody> make_succession() {
    proto::SucceedChange change;
    for (const std::string& code : flags.list("from")) {
      TRAM_TRY(party, agency(code));
      change.from.push_back(party);
    }
    for (const std::string& code : flags.list("to")) {
      TRAM_TRY(party, agency(code));
      change.to.push_back(party);
    }
    change.policy = flags.text("policy", change.to.size() > 1 ? "split" : "merge");
    return proto::ChangeBody(change);
  }
  Result<proto::ChangeBody> make_broker() {
    proto::BrokerChange change;
    const std::string wanted = flags.text("id");
    for (const auto& broker : folder.directory().brokers(Time{INT64_MAX}))
      if (broker.record.id.hex() == wanted || (!wanted.empty() && broker.record.name == wanted)) change = broker.record;
    if (change.id.is_zero()) return refuse("--id names no broker; a new one is made with `approve` from its request");
    change.name = flags.text("name", change.name);
    change.failure_domain = flags.text("failure-domain", change.failure_domain);
    change.control_endpoint = flags.text("control", change.control_endpoint);
    change.bulk_endpoint = flags.text("bulk", change.bulk_endpoint);
    change.retired = flags.flag("retire");
    return proto::ChangeBody(change);
  }
  Result<proto::ChangeBody> make_registrar() {
    proto::RegistrarChange change;
    const std::string wanted = flags.text("id");
    for (const auto& registrar : folder.directory().registrars())
      if (!wanted.empty() && (registrar.id.hex() == wanted || registrar.name == wanted)) change = registrar;
    if (change.id.is_zero()) {
      if (!wanted.empty()) return refuse("--id names no registrar");
      change.id = random.id<PartyId>();
    }
    change.name = flags.text("name", change.name);
    const auto branch = proto::parse_branch(flags.text("branch", std::string(to_text(change.branch))));
    if (!branch) return refuse("--branch: party government front assembly court procuracy");
    change.branch = *branch;
    change.province = flags.text("province", change.province);
    if (flags.given("officers")) {
      TRAM_TRY(members, officers("officers"));
      change.officers = std::move(members);
    }
    TRAM_TRY(threshold, flags.number("threshold", change.threshold));
    change.threshold = static_cast<uint32_t>(std::min<uint64_t>(threshold, 1000));
    change.revoked = flags.flag("revoke");
    return proto::ChangeBody(change);
  }
  Result<proto::ChangeBody> make_officer() {
    proto::OfficerChange change;
    TRAM_TRY(party, agency(flags.text("agency")));
    TRAM_TRY(person, read_officer_public(flags.text("officer")));
    change.agency = party;
    change.id = person.id;
    change.name = person.name;
    change.key = person.key;
    change.role = flags.text("role", "administrator");
    change.revoked = flags.flag("revoke");
    return proto::ChangeBody(change);
  }
  Result<proto::ChangeBody> make_policy() {
    proto::PolicyChange change = folder.directory().policy(now);
    TRAM_TRY(quorum, flags.number("custody-quorum", change.custody_quorum));
    TRAM_TRY(floor, flags.number("body-floor", change.body_floor_bytes));
    TRAM_TRY(live, flags.duration("time-to-live", change.time_to_live_ms));
    TRAM_TRY(keep, flags.duration("retention", change.retention_ms));
    TRAM_TRY(largest, flags.number("document-max", change.document_bytes_max));
    change.custody_quorum = static_cast<uint32_t>(std::min<uint64_t>(quorum, 1000));
    change.body_floor_bytes = floor;
    change.time_to_live_ms = live;
    change.retention_ms = keep;
    change.document_bytes_max = largest;
    change.recall_refusal_allowed = flags.flag("recall-refusal", change.recall_refusal_allowed);
    change.update_refusal_allowed = flags.flag("update-refusal", change.update_refusal_allowed);
    return proto::ChangeBody(change);
  }
  Result<proto::ChangeBody> make_witness() {
    proto::WitnessChange change;
    TRAM_TRY(id, id_or_new("id"));
    change.id = id;
    change.name = flags.text("name");
    change.organisation = flags.text("organisation");
    const auto key = LogPublic::parse(flags.text("log-key"));
    if (!key) return refuse("--log-key is no key of 64 hexadecimal digits");
    change.log = *key;
    if (flags.given("curve-key")) {
      const auto curve = CurvePublic::parse(flags.text("curve-key"));
      if (!curve) return refuse("--curve-key is no key of 64 hexadecimal digits");
      change.curve = *curve;
    }
    change.retired = flags.flag("retire");
    return proto::ChangeBody(change);
  }
  Result<proto::ChangeBody> make_root() {
    proto::RootChange change = folder.directory().root_change();
    if (flags.given("officers")) {
      TRAM_TRY(members, officers("officers"));
      change.officers = std::move(members);
    }
    TRAM_TRY(threshold, flags.number("threshold", change.threshold));
    TRAM_TRY(root_threshold, flags.number("root-threshold", change.root_threshold));
    change.threshold = static_cast<uint32_t>(std::min<uint64_t>(threshold, 1000));
    change.root_threshold = static_cast<uint32_t>(std::min<uint64_t>(root_threshold, 1000));
    if (flags.given("publisher-key")) change.publishers.clear();
    for (const std::string& file : flags.list("publisher-key")) {
      TRAM_TRY(key, read_publisher_public(file));
      change.publishers.push_back(key);
    }
    return proto::ChangeBody(change);
  }
};

Result<void> propose(const Global& global, const ProposeOptions& options) {
  const Time now = io::wall_now();
  TRAM_TRY(folder, RealmFolder::open(global.realm));
  TRAM_TRY(effective, parse_moment(options.effective, now));
  TRAM_TRY(registrar, signing_party(*folder, options.by, now));
  Values values = options.values;
  if (!options.file.empty()) TRAM_OK(add_file(values, options.file));
  Flags flags(std::move(values));
  Proposer proposer{*folder, flags, now};
  TRAM_TRY(body, proposer.make(options.what));
  TRAM_OK(flags.nothing_left());
  return finish_proposal(global, *folder, {proto::Change{effective, std::move(body)}}, registrar, options.sign_with,
                         options.urgent);
}

}  // namespace

int run_propose(const Global& global, const ProposeOptions& options) {
  auto done = propose(global, options);
  return done ? 0 : report(done.error(), global);
}

}  // namespace tram::authority
