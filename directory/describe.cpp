// Entries in plain words: what an officer reads before signing.
#include "directory/signing.h"

namespace tram::directory {
namespace {

struct Words {
  Language language;
  const NameOf& name_of;

  bool vietnamese() const { return language == Language::vietnamese; }
  std::string operator()(std::string_view vi, std::string_view en) const { return std::string(vietnamese() ? vi : en); }
  std::string name(const PartyId& party) const {
    const std::string known = name_of ? name_of(party) : std::string();
    return known.empty() ? party.hex() : "\"" + known + "\"";
  }
  std::string names(const std::vector<PartyId>& parties) const {
    std::string out;
    for (const PartyId& party : parties) out += (out.empty() ? "" : ", ") + name(party);
    return out;
  }
  std::string branch(proto::Branch branch) const {
    switch (branch) {
      case proto::Branch::party: return (*this)("Đảng", "Party");
      case proto::Branch::government: return (*this)("Chính phủ", "Government");
      case proto::Branch::front: return (*this)("Mặt trận", "Front");
      case proto::Branch::assembly: return (*this)("Quốc hội", "National Assembly");
      case proto::Branch::court: return (*this)("Tòa án", "Courts");
      case proto::Branch::procuracy: return (*this)("Viện kiểm sát", "Procuracy");
    }
    return "?";
  }
  std::string level(proto::Level level) const {
    switch (level) {
      case proto::Level::central: return (*this)("trung ương", "central");
      case proto::Level::province: return (*this)("tỉnh", "province");
      case proto::Level::commune: return (*this)("xã", "commune");
      case proto::Level::unit: return (*this)("đơn vị", "unit");
    }
    return "?";
  }
};

/// dd/MM/yyyy HH:mm in Vietnam's time, UTC+7 (civil calendar from days, Howard Hinnant's algorithm).
std::string moment(Time time) {
  const int64_t minutes_total = time.ms / 60000 + 7 * 60;
  const int64_t day_minutes = minutes_total % 1440;
  const int64_t z = minutes_total / 1440 + 719468;
  const int64_t era = z / 146097, doe = z % 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1;
  const int64_t month = mp < 10 ? mp + 3 : mp - 9, year = yoe + era * 400 + (month <= 2);
  auto two = [](int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  return two(day) + "/" + two(month) + "/" + std::to_string(year) + " " + two(day_minutes / 60) + ":" +
         two(day_minutes % 60);
}

std::string key_mark(BytesView key) { return to_hex(key.first(6)) + "..."; }

std::string officer_list(const std::vector<proto::RootOfficer>& officers) {
  std::string out;
  for (const auto& officer : officers)
    out += (out.empty() ? "" : ", ") + officer.name + " (" + key_mark(officer.key) + ")";
  return out;
}

struct Describer {
  Words w;

  std::string operator()(const proto::RootChange& root) const {
    const std::string officers = officer_list(root.officers);
    const std::string m = std::to_string(root.threshold) + "/" + std::to_string(root.officers.size());
    const std::string rm = std::to_string(root.root_threshold) + "/" + std::to_string(root.officers.size());
    return w("Mạng \"" + root.realm_name + "\"" + (root.practice ? " (THỰC HÀNH)" : "") + ": danh bạ do " + officers +
                 " ký; cần " + m + " chữ ký, thay đổi gốc và chính sách cần " + rm,
             "Realm \"" + root.realm_name + "\"" + (root.practice ? " (PRACTICE)" : "") +
                 ": the directory is signed by " + officers + "; " + m + " signatures are needed, " + rm +
                 " for the root and the policy");
  }
  std::string operator()(const proto::RegistrarChange& registrar) const {
    const std::string scope = w.branch(registrar.branch) + ", " + w("tỉnh ", "province ") + registrar.province;
    if (registrar.revoked)
      return w("\"" + registrar.name + "\" KHÔNG còn được ký danh bạ cho " + scope,
               "\"" + registrar.name + "\" may NO longer sign the directory for " + scope);
    const std::string m = std::to_string(registrar.threshold) + "/" + std::to_string(registrar.officers.size());
    return w("\"" + registrar.name + "\" được ký danh bạ cho " + scope + " bằng " + m + " chữ ký của " +
                 officer_list(registrar.officers),
             "\"" + registrar.name + "\" may sign the directory for " + scope + " with " + m + " signatures of " +
                 officer_list(registrar.officers));
  }
  std::string operator()(const proto::AgencyChange& change) const {
    const proto::Agency& agency = change.agency;
    std::string codes;
    for (const auto& code : agency.codes) codes += (codes.empty() ? "" : ", ") + code.code;
    std::string text = w(agency.level == proto::Level::unit ? "Đơn vị \"" : "Cơ quan \"",
                         agency.level == proto::Level::unit ? "Unit \"" : "Agency \"") +
                       agency.name_vi + "\"" + (codes.empty() ? "" : w(", mã ", ", code ") + codes) + ", " +
                       w.branch(agency.branch) + ", " + w("cấp ", "level ") + w.level(agency.level);
    if (!agency.province.empty()) text += w(", tỉnh ", ", province ") + agency.province;
    if (!agency.parent.is_zero()) text += w(", trực thuộc ", ", under ") + w.name(agency.parent);
    text += agency.keys
                ? w(": ĐƯỢC nhận và gửi bằng khóa ", ": MAY send and receive with key ") + key_mark(agency.keys->sig)
                : w(": có trong danh bạ, chưa có nút", ": is listed, without a node");
    return text;
  }
  std::string operator()(const proto::OfficerChange& officer) const {
    const std::string who = "\"" + officer.name + "\" (" + officer.role + ", " + key_mark(officer.key) + ")";
    return officer.revoked ? w(who + " THÔI làm cán bộ của " + w.name(officer.agency),
                               who + " is NO longer an officer of " + w.name(officer.agency))
                           : w(who + " làm cán bộ của " + w.name(officer.agency),
                               who + " becomes an officer of " + w.name(officer.agency));
  }
  std::string operator()(const proto::StatusChange& status) const {
    const std::string reason = status.reason.empty() ? "" : w("; lý do: ", "; reason: ") + status.reason;
    const std::string until = status.until.ms ? w(" đến ", " until ") + moment(status.until) : "";
    switch (status.status) {
      case proto::AgencyStatus::active:
        return w.name(status.agency) + w(" hoạt động trở lại", " is active again") + reason;
      case proto::AgencyStatus::suspended:
        return w.name(status.agency) + w(" bị TẠM ĐÌNH CHỈ", " is SUSPENDED") + until + reason;
      case proto::AgencyStatus::closed: return w.name(status.agency) + w(" bị ĐÓNG", " is CLOSED") + reason;
    }
    return "?";
  }
  std::string operator()(const proto::SucceedChange& succeed) const {
    if (succeed.policy == "split")
      return w(w.names(succeed.from) + " bị CHIA thành " + w.names(succeed.to) + "; người gửi phải chọn nơi nhận",
               w.names(succeed.from) + " is SPLIT into " + w.names(succeed.to) + "; senders must choose");
    return w(w.names(succeed.from) + " bị ĐÓNG, kế thừa bởi " + w.names(succeed.to),
             w.names(succeed.from) + " is CLOSED and succeeded by " + w.names(succeed.to)) +
           " (" + succeed.policy + ")";
  }
  std::string operator()(const proto::BrokerChange& broker) const {
    const std::string where = " " + broker.control_endpoint + ", " + broker.bulk_endpoint + " (" +
                              broker.failure_domain + ", " + key_mark(broker.curve) + ")";
    return broker.retired
               ? w("Trạm \"" + broker.name + "\" NGỪNG phục vụ", "Broker \"" + broker.name + "\" is RETIRED")
               : w("Trạm \"" + broker.name + "\" phục vụ tại", "Broker \"" + broker.name + "\" serves at") + where;
  }
  std::string operator()(const proto::WitnessChange& witness) const {
    const std::string who = "\"" + witness.name + "\" (" + witness.organisation + ", " + key_mark(witness.log) + ")";
    return witness.retired ? w("Nhân chứng " + who + " NGỪNG làm chứng", "Witness " + who + " is RETIRED")
                           : w("Nhân chứng " + who + " được làm chứng", "Witness " + who + " may cosign");
  }
  std::string operator()(const proto::PolicyChange& policy) const {
    auto days = [](uint64_t ms) { return std::to_string(ms / 86400000); };
    std::string text = w("Chính sách: ", "Policy: ") + std::to_string(policy.custody_quorum) +
                       w(" trạm phải giữ văn bản", " brokers must hold a document");
    if (policy.body_floor_bytes)
      text += w(", nội dung đệm tới ", ", bodies padded to ") + std::to_string(policy.body_floor_bytes) +
              w(" byte", " bytes");
    if (policy.time_to_live_ms)
      text += w(", thời hạn chuyển ", ", transfer time ") + days(policy.time_to_live_ms) + w(" ngày", " days");
    if (policy.retention_ms) text += w(", lưu giữ ", ", retention ") + days(policy.retention_ms) + w(" ngày", " days");
    if (policy.document_bytes_max)
      text += w(", văn bản tối đa ", ", documents up to ") + std::to_string(policy.document_bytes_max) +
              w(" byte", " bytes");
    text += policy.recall_refusal_allowed ? w(", được từ chối thu hồi", ", a recall may be refused")
                                          : w(", không được từ chối thu hồi", ", a recall may not be refused");
    text += policy.update_refusal_allowed ? w(", được từ chối cập nhật", ", an update may be refused")
                                          : w(", không được từ chối cập nhật", ", an update may not be refused");
    return text;
  }
};

}  // namespace

std::vector<std::string> describe_entry(const proto::EntryPayload& payload, Language language, const NameOf& name_of) {
  // Agencies that the entry itself names are known by that name, whoever else knows them.
  std::map<PartyId, std::string> named;
  for (const auto& change : payload.changes)
    if (const auto* agency = std::get_if<proto::AgencyChange>(&change.body))
      named[agency->agency.id] = agency->agency.name_vi;
  const NameOf lookup = [&](const PartyId& party) {
    const std::string known = name_of ? name_of(party) : std::string();
    if (!known.empty()) return known;
    const auto found = named.find(party);
    return found == named.end() ? std::string() : found->second;
  };
  const Describer describer{Words{language, lookup}};
  std::vector<std::string> out;
  for (const proto::Change& change : payload.changes) {
    std::string text = std::visit(describer, change.body);
    if (change.effective_from.ms) text += describer.w("; từ ", "; from ") + moment(change.effective_from);
    out.push_back(text + ".");
  }
  return out;
}

}  // namespace tram::directory
