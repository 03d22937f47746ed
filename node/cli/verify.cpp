// `tram verify`: an evidence bundle, without asking anybody but, when no realm is named, the local node for its own.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "audit/bundle.h"
#include "audit/evidence.h"
#include "node/cli/commands.h"

namespace tram::cli {
namespace {

constexpr int exit_invalid = 1, exit_incomplete = 2;

struct Name {
  std::string_view what;
  const char *vi, *en;
};
constexpr Name names[] = {
    {"receipt_format", "Biên nhận đúng cấu trúc", "The receipt is well formed"},
    {"realm", "Thuộc đúng mạng trao đổi", "It belongs to the realm trusted"},
    {"directory", "Danh bạ kèm theo do đủ cán bộ ký, từ bản gốc",
     "The directory inside is signed by enough officers, from its genesis"},
    {"receipt_realm", "Biên nhận thuộc mạng này", "The receipt is of this realm"},
    {"receipt_issuer", "Người ký là nơi nhận", "Its signer is the recipient"},
    {"receipt_directory", "Danh bạ nơi nhận đã thấy", "The directory the recipient saw"},
    {"receipt_signature", "Chữ ký của nơi nhận", "The recipient's signature"},
    {"envelope", "Bì thư của văn bản này", "The envelope is this document's"},
    {"receipt_answers", "Biên nhận trả lời đúng bì thư", "The receipt answers this envelope"},
    {"envelope_directory", "Danh bạ nơi gửi đã thấy", "The directory the sender saw"},
    {"envelope_signature", "Chữ ký của nơi gửi trên bì thư", "The sender's signature of the envelope"},
    {"header", "Phần đầu của văn bản này", "The header is this document's"},
    {"header_signature", "Chữ ký của nơi gửi trên phần đầu", "The sender's signature of the header"},
    {"custody", "Biên nhận giữ hộ của trạm", "A broker's custody receipt"},
    {"custody_quorum", "Đủ số trạm độc lập", "Enough independent brokers"},
    {"log_proof", "Biên nhận đã ghi vào sổ nhật ký", "The receipt stands in a log"},
    {"log_cosigners", "Đủ nhân chứng ký mốc sổ nhật ký", "Enough witnesses countersigned that log"},
    {"evidence_format", "Hai mốc sổ nhật ký đúng cấu trúc", "Two well-formed checkpoints"},
    {"evidence_party", "Sổ nhật ký của bên này", "They are of this party's log"},
    {"view_format", "Bản danh bạ kia đúng cấu trúc", "The other view is well formed"},
    {"view_contradicts", "Trái với các mục kèm theo, ở cỡ", "It is not what these entries are, at size"},
    {"view_cosigner", "Đã ký bản danh bạ kia", "Signed the other view"},
    {"view_quorum", "Đủ số nhân chứng để bản kia được tin (trạm; nhân chứng độc lập)",
     "Enough of them for the other view to be believed (brokers; witnesses)"},
    {"evidence_contradiction", "Cùng một khóa đã ký hai mốc không thể cùng đúng",
     "One key signed both, and they cannot both be true"},
};

std::string title(const App& app, std::string_view what) {
  for (const auto& name : names)
    if (name.what == what) return app.out.say(name.vi, name.en);
  return std::string(what);
}

/// --realm, TRAM_REALM, else what the local node belongs to.
std::optional<RealmId> trusted_realm(const App& app, const std::string& option, bool& wrong) {
  std::string text = option;
  if (const char* variable = std::getenv("TRAM_REALM"); text.empty() && variable) text = variable;
  if (text.empty()) {
    const Reply reply = app.client->request("GET", "/v1/self");
    const auto json = reply.ok() ? parse_json(reply.body) : std::nullopt;
    if (json && json->contains("realm")) text = text_of((*json)["realm"], "id");
  }
  const auto realm = RealmId::parse(text);
  wrong = !text.empty() && !realm;
  return realm;
}

constexpr const char* verdicts[] = {"valid", "invalid", "incomplete"};

Json to_json(const std::vector<audit::Finding>& findings) {
  Json json = Json::array();
  for (const auto& finding : findings) {
    Json one{{"what", finding.what}, {"ok", nullptr}, {"detail", finding.detail}};
    if (finding.ok) one["ok"] = *finding.ok;
    json.push_back(one);
  }
  return json;
}

void print(const App& app, const std::vector<audit::Finding>& findings) {
  for (const auto& finding : findings)
    std::printf("  %s %s%s\n", !finding.ok ? "?" : *finding.ok ? "✓" : "✗", title(app, finding.what).c_str(),
                finding.detail.empty() ? "" : (": " + finding.detail).c_str());
}

Json to_json(const audit::Verification& result) {
  Json json{{"verdict", verdicts[static_cast<size_t>(result.verdict)]},
            {"realm", result.realm.hex()},
            {"realm_pinned", result.realm_pinned}};
  if (result.receipt) {
    json["event"] = static_cast<int>(result.receipt->event);
    json["time_ms"] = result.receipt->time.ms;
    json["document_id"] = result.receipt->doc_id.hex();
    json["envelope_id"] = result.receipt->env_id.hex();
    json["sender"] = result.sender_name;
    json["recipient"] = result.recipient_name;
  }
  json["custody"] = {{"domains", result.custody_domains}, {"wanted", result.custody_wanted}};
  json["findings"] = to_json(result.findings);
  return json;
}

std::string date_time(Time time) {
  const time_t local = static_cast<time_t>(time.ms / 1000 + 7 * 3600);
  struct tm parts {};
  ::gmtime_r(&local, &parts);
  char text[40];
  std::strftime(text, sizeof text, "%d/%m/%Y %H:%M:%S +07:00", &parts);
  return text;
}

void print(const App& app, const audit::Verification& result) {
  if (result.receipt) {
    std::printf("%s: %s\n", app.out.say("Nơi gửi", "Sender"), result.sender_name.c_str());
    std::printf("%s: %s\n", app.out.say("Nơi nhận", "Recipient"), result.recipient_name.c_str());
    std::printf("%s: %02d, %s\n", app.out.say("Sự kiện", "Event"), static_cast<int>(result.receipt->event),
                date_time(result.receipt->time).c_str());
    std::printf("%s: %s\n", app.out.say("Văn bản", "Document"), result.receipt->doc_id.hex().c_str());
  }
  print(app, result.findings);
  switch (result.verdict) {
    case audit::Verdict::valid: std::printf("%s\n", app.out.say("HỢP LỆ", "VALID")); break;
    case audit::Verdict::invalid: std::printf("%s\n", app.out.say("KHÔNG HỢP LỆ", "INVALID")); break;
    case audit::Verdict::incomplete: std::printf("%s\n", app.out.say("CHƯA ĐỦ ĐỂ KẾT LUẬN", "INCOMPLETE")); break;
  }
}

/// Evidence that a log was forked, as a broker, a node or a witness wrote it.
int verify_evidence(const App& app, const std::string& raw, const std::optional<RealmId>& realm) {
  const auto evidence = audit::decode_evidence(view(raw));
  if (!evidence) {
    app.out.error(evidence.error());
    return exit_invalid;
  }
  const auto result = audit::verify_evidence(*evidence, realm);
  if (app.out.json) {
    Json json{{"verdict", verdicts[static_cast<size_t>(result.verdict)]},
              {"kind", "fork"},
              {"realm", result.realm.hex()},
              {"realm_pinned", result.realm_pinned},
              {"party", result.party.hex()},
              {"name", result.party_name},
              {"origin", result.origin},
              {"sizes", {result.first_size, result.second_size}}};
    json["findings"] = to_json(result.findings);
    print_json(json);
  } else {
    std::printf("%s: %s (%s)\n%s: %s\n", app.out.say("Bên bị tố", "Party"), result.party_name.c_str(),
                result.party.hex().c_str(), app.out.say("Sổ nhật ký", "Log"), result.origin.c_str());
    std::printf("%s: %llu, %llu\n", app.out.say("Hai mốc", "Checkpoints"),
                static_cast<unsigned long long>(result.first_size), static_cast<unsigned long long>(result.second_size));
    print(app, result.findings);
    std::printf("%s\n", result.verdict == audit::Verdict::valid
                            ? app.out.say("SỔ NHẬT KÝ ĐÃ BỊ RẼ NHÁNH", "THE LOG WAS FORKED")
                        : result.verdict == audit::Verdict::invalid
                            ? app.out.say("KHÔNG PHẢI BẰNG CHỨNG", "NO EVIDENCE")
                            : app.out.say("CHƯA ĐỦ ĐỂ KẾT LUẬN", "INCOMPLETE"));
  }
  return static_cast<int>(result.verdict);
}

/// Evidence that the directory is shown in two ways, likewise.
int verify_split(const App& app, const std::string& raw, const std::optional<RealmId>& realm) {
  const auto evidence = audit::decode_split(view(raw));
  if (!evidence) {
    app.out.error(evidence.error());
    return exit_invalid;
  }
  const auto result = audit::verify_split(*evidence, realm);
  if (app.out.json) {
    Json json{{"verdict", verdicts[static_cast<size_t>(result.verdict)]},
              {"kind", "split"},
              {"realm", result.realm.hex()},
              {"realm_pinned", result.realm_pinned},
              {"size", result.size},
              {"root", result.root.hex()},
              {"other_root", result.other_root.hex()},
              {"cosigners", result.cosigners}};
    json["findings"] = to_json(result.findings);
    print_json(json);
  } else {
    std::printf("%s: %llu\n  %s\n  %s\n", app.out.say("Cỡ danh bạ", "Size of the directory"), static_cast<unsigned long long>(result.size),
                result.root.hex().c_str(), result.other_root.hex().c_str());
    print(app, result.findings);
    std::printf("%s\n", result.verdict == audit::Verdict::valid     ? app.out.say("DANH BẠ ĐÃ BỊ TÁCH ĐÔI", "THE DIRECTORY WAS SPLIT")
                        : result.verdict == audit::Verdict::invalid ? app.out.say("KHÔNG PHẢI BẰNG CHỨNG", "NO EVIDENCE")
                                                                    : app.out.say("CHƯA ĐỦ ĐỂ KẾT LUẬN", "INCOMPLETE"));
  }
  return static_cast<int>(result.verdict);
}

}  // namespace

int verify(const App& app, const std::string& file, const std::string& realm_option) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream content;
  content << in.rdbuf();
  if (!in) {
    app.out.error(std::string(app.out.say("không đọc được tệp ", "cannot read the file ")) + file,
                  app.out.say("kiểm tra đường dẫn và quyền đọc", "check the path and that you may read it"));
    return exit_incomplete;
  }
  bool wrong = false;
  const auto realm = trusted_realm(app, realm_option, wrong);
  if (wrong) {
    app.out.error(app.out.say("--realm phải là 64 chữ số hệ mười sáu", "--realm must be 64 hexadecimal digits"),
                  app.out.say("lấy từ GET /v1/self của nút mình", "take it from GET /v1/self of your own node"));
    return exit_incomplete;
  }
  const std::string raw = content.str();
  if (raw.starts_with("EDXF")) return verify_evidence(app, raw, realm);
  if (raw.starts_with("EDXS")) return verify_split(app, raw, realm);
  const auto bundle = audit::decode_bundle(view(raw));
  if (!bundle) {
    app.out.error(bundle.error());
    return exit_invalid;
  }
  const auto result = audit::verify_bundle(*bundle, realm);
  if (app.out.json)
    print_json(to_json(result));
  else
    print(app, result);
  if (!result.realm_pinned && result.verdict != audit::Verdict::invalid)
    app.out.error(app.out.say("chưa biết tin vào mạng nào", "it is not known which realm to trust"),
                  app.out.say("thêm --realm MÃ_MẠNG từ nguồn tin cậy (mục realm của GET /v1/self trên nút của mình)",
                              "add --realm HEX from a source you trust (GET /v1/self of your own node)"));
  return static_cast<int>(result.verdict);
}

}  // namespace tram::cli
