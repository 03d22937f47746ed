// `tram`: the clerk's command line over the local API of a node.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "crypto/keys.h"
#include "node/cli/commands.h"

namespace {

using namespace tram::cli;

struct Global {
  Target target;
  std::string language, key;
  bool json = false;
};

std::string default_socket() {
  const char* variable = std::getenv("TRAM_SOCKET");
  return variable && *variable ? variable : "/run/tram-node/api.sock";
}

/// Options as the person's language has them; the words after the command decide nothing here.
bool vietnamese(int argc, char** argv) {
  std::string option;
  for (int i = 1; i + 1 < argc; ++i)
    if (std::string_view(argv[i]) == "--lang") option = argv[i + 1];
  return choose_language(option) == Language::vietnamese;
}

class CommandLine {
 public:
  CommandLine(bool vi, Global& global) : vi_(vi) {
    app_.name("tram");
    app_.description(say("Gửi, nhận văn bản điện tử qua nút của cơ quan.",
                         "Sends and receives official documents through the agency's node."));
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.set_version_flag("--version", TRAM_VERSION);
    app_.add_option("--socket", global.target.socket,
                    say("socket của nút (TRAM_SOCKET)", "the node's socket (TRAM_SOCKET)"))
        ->default_val(default_socket());
    app_.add_option("--url", global.target.url, say("địa chỉ nút ở máy khác, https://…", "a node elsewhere, https://…"))
        ->envname("TRAM_URL");
    app_.add_option("--token-file", global.target.token_file, say("tệp mã truy cập", "file of the access token"))
        ->envname("TRAM_TOKEN_FILE");
    app_.add_option("--ca", global.target.ca_file, say("chứng thư tin cậy", "trusted certificates"));
    app_.add_option("--cert", global.target.certificate_file,
                    say("chứng thư của máy này", "this machine's certificate"));
    app_.add_option("--key", global.target.key_file, say("khóa của chứng thư", "the certificate's key"));
    app_.add_option("--lang", global.language, "vi | en")->check(CLI::IsMember({"vi", "en"}));
    app_.add_option("--idempotency-key", global.key,
                    say("chạy lại an toàn một lệnh đã hỏng giữa chừng", "repeats a broken command safely"));
    app_.add_flag("--json", global.json, say("in JSON", "prints JSON"));
    add_send();
    add_lists();
    add_documents();
    add_acts();
    add_look();
  }

  CLI::App& app() { return app_; }
  int run(const App& app) const { return chosen_(app); }

 private:
  const char* say(const char* vi, const char* en) const { return vi_ ? vi : en; }

  CLI::App* command(const char* name, const char* vi, const char* en, std::function<int(const App&)> function) {
    auto* sub = app_.add_subcommand(name, say(vi, en));
    sub->callback([this, function = std::move(function)] { chosen_ = function; });
    return sub;
  }

  void add_send() {
    auto* sub = command("send", "gửi văn bản", "sends a document", [this](const App& app) {
      for (const auto& [field, value] : texts_)
        if (!value.empty()) send_.fields[field] = value;
      return send(app, send_);
    });
    sub->add_option("--to", send_.to,
                    say("nơi nhận: mã cơ quan, đơn vị hoặc nhóm (communes:79)",
                        "recipient: code of an agency or unit, or a group (communes:79)"));
    sub->add_option("--file", send_.files,
                    say("tệp đính kèm, tệp đầu là văn bản chính", "a file; the first is the document itself"))
        ->check(CLI::ExistingFile);
    sub->add_option("--metadata", send_.metadata_file, say("tệp JSON siêu dữ liệu", "metadata as a JSON file"))
        ->check(CLI::ExistingFile);
    const auto text = [&](const char* option, const char* field, const char* vi, const char* en) {
      sub->add_option(option, texts_[field], say(vi, en));
    };
    text("--number", "number", "số", "number");
    text("--symbol", "symbol", "ký hiệu", "symbol");
    text("--type", "type_name", "tên loại", "type of document");
    text("--type-code", "type_code", "mã loại (TT 05/2025)", "code of the type");
    text("--subject", "subject", "trích yếu", "subject");
    text("--content", "content", "tóm tắt", "summary");
    text("--issued", "issued", "ngày ban hành yyyy-MM-dd", "date of issue, yyyy-MM-dd");
    text("--place", "place", "địa danh", "place");
    text("--organ-name", "organ_name", "tên cơ quan ban hành", "issuing body as printed");
    text("--signer", "signer.name", "người ký", "who signed");
    text("--signer-position", "signer.position", "chức vụ người ký", "the signer's position");
    text("--signer-competence", "signer.competence", "TM., KT., TL., TUQ., Q.", "TM., KT., TL., TUQ., Q.");
    sub->add_option(
           "--priority", texts_["priority"],
           say("0 thường, 1 khẩn, 2 thượng khẩn, 3 hỏa tốc, 4 hỏa tốc hẹn giờ", "0 normal to 4 express by the hour"))
        ->check(CLI::Range(0, 4));
    text("--deadline", "priority_deadline", "giờ hẹn: \"yyyy-MM-dd HH:mm\"",
         "hour of priority 4: \"yyyy-MM-dd HH:mm\"");
    text("--due", "due", "hạn trả lời yyyy-MM-dd", "answer due, yyyy-MM-dd");
    sub->add_option("--pages", texts_["pages"], say("số trang", "pages"))->check(CLI::Range(0, 999));
    sub->add_option("--copies", texts_["copies"], say("số bản", "copies"))->check(CLI::Range(0, 999));
    text("--language", "language", "ngôn ngữ", "language");
    text("--note", "note", "ghi chú", "note");
    sub->add_option("--from-unit", send_.from_unit, say("đơn vị gửi", "unit that sends"));
    sub->add_option("--reply-to", send_.reply_to, say("trả lời văn bản đến số", "answers the arrival of this number"));
    auto* replace =
        sub->add_option("--replace", send_.replace, say("thay thế văn bản đã gửi", "replaces a document sent"));
    sub->add_option("--update", send_.update, say("cập nhật văn bản đã gửi", "updates a document sent"))
        ->excludes(replace);
    sub->add_option("--reason", send_.reason, say("lý do thay thế, cập nhật", "why it is replaced or updated"));
  }

  void add_lists() {
    const auto options = [&](CLI::App* sub) {
      sub->add_option("--state", list_.state, say("lọc theo trạng thái", "only this state"));
      sub->add_option("--query,-q", list_.query,
                      say("tìm trong số, trích yếu, nơi gửi; không cần dấu",
                          "words of number, subject or sender; no diacritics needed"));
      sub->add_option("--limit", list_.limit, say("số dòng", "rows"))->check(CLI::Range(size_t{1}, size_t{100000}));
      return sub;
    };
    auto* arrived = options(command("inbox", "văn bản đến", "documents that arrived", [this](const App& app) {
      return list_.quarantine ? quarantine(app) : inbox(app, list_);
    }));
    arrived->add_option("--unit", list_.unit, say("gửi tới đơn vị", "addressed to this unit"));
    arrived->add_flag("--quarantine", list_.quarantine,
                      say("văn bản bị cách ly vì mở ra làm nút dừng", "what was put aside because opening it stopped the node"));
    options(command("outbox", "văn bản đi", "documents sent", [this](const App& app) { return outbox(app, list_); }));
  }

  CLI::App* with_id(CLI::App* sub, const char* vi, const char* en) {
    sub->add_option("ID", act_.id, say(vi, en))->required();
    return sub;
  }

  void add_documents() {
    const char* either_vi = "số đến, hoặc mã văn bản đi";
    const char* either_en = "an arrival's number, or the id of a document sent";
    auto* showing = with_id(
        command("show", "xem một văn bản", "shows one document", [this](const App& app) { return show(app, act_.id, wait_); }),
        either_vi, either_en);
    showing->add_option("--wait", wait_, say("chờ đến khi mọi nơi nhận: accepted | delivered", "until every recipient is: accepted | delivered"))
        ->check(CLI::IsMember({"accepted", "delivered"}));
    auto* saving = with_id(command("save", "tải các tệp của văn bản đến", "saves the files of an arrival",
                                   [this](const App& app) { return save(app, act_.id, directory_, overwrite_); }),
                           "số đến", "the arrival's number");
    saving->add_option("--to", directory_, say("thư mục", "directory"))->default_val(".");
    saving->add_flag("--overwrite", overwrite_, say("ghi đè tệp đã có", "replaces files that exist"));
    auto* recalling = with_id(command("recall", "thu hồi văn bản đã gửi", "takes a document back",
                                      [this](const App& app) { return recall(app, act_.id, act_.reason); }),
                              "mã văn bản đi", "id of a document sent");
    recalling->add_option("--reason", act_.reason, say("lý do", "reason"))->required();
    auto* listing = with_id(command("receipts", "biên nhận của một văn bản", "receipts of a document",
                                    [this](const App& app) { return receipts(app, act_.id, save_to_); }),
                            either_vi, either_en);
    listing->add_option("--save", save_to_, say("lưu bằng chứng vào thư mục", "saves the evidence into a directory"));
    auto* checking = command("verify", "kiểm tra một biên nhận, không cần mạng", "verifies a receipt file, offline",
                             [this](const App& app) { return verify(app, file_, realm_); });
    checking->add_option("FILE", file_, say("tệp .edxr", "the .edxr file"))->required();
    checking->add_option("--realm", realm_, say("mã mạng trao đổi tin cậy", "id of the realm you trust"));
  }

  void add_acts() {
    const char* vi = "số đến";
    const char* en = "the arrival's number";
    auto* registering = with_id(command("register", "tiếp nhận, vào sổ", "registers an arrival",
                                        [this](const App& app) { return register_document(app, act_); }),
                                vi, en);
    registering->add_option("--number", act_.number,
                            say("số đến; bỏ trống: số kế tiếp", "register number; empty: the next"));
    registering->add_option("--date", act_.date, say("ngày đến yyyy-MM-dd", "date, yyyy-MM-dd"));
    registering->add_option("--unit", act_.unit, say("đơn vị xử lý", "unit in charge"));
    auto* refusing = with_id(command("refuse", "từ chối tiếp nhận, trả lại", "refuses an arrival",
                                     [this](const App& app) { return refuse(app, act_); }),
                             vi, en);
    refusing->add_option("--reason", act_.reason, say("lý do", "reason"))->required();
    auto* status = with_id(command("status", "báo tình trạng xử lý", "reports progress",
                                   [this](const App& app) { return set_status(app, act_); }),
                           vi, en);
    status->add_option("STATUS", act_.status, "04 | 05 | 06")
        ->required()
        ->check(CLI::IsMember({"04", "05", "06", "4", "5", "6"}));
    auto* answering = with_id(command("answer", "trả lời yêu cầu thu hồi, cập nhật", "answers a recall or an update",
                                      [this](const App& app) { return answer(app, act_); }),
                              vi, en);
    auto* which = answering->add_option_group("answer");
    auto* agreeing = which->add_flag("--agree", act_.agree, say("đồng ý", "agrees"));
    which->add_flag("--refuse", disagree_, say("từ chối", "refuses"))->excludes(agreeing);
    which->require_option(1);
    answering->add_option("--reason", act_.reason, say("lý do từ chối", "why not"));
    for (auto* sub : {registering, refusing, status, answering})
      sub->add_option("--person", act_.person, say("người thực hiện", "who did it"));
  }

  void add_look() {
    auto* looking = command("directory", "tìm cơ quan", "finds agencies",
                            [this](const App& app) { return directory(app, search_); });
    looking->add_option("QUERY", words_,
                        say("tên, mã hoặc địa danh; không cần dấu", "name, code or place; no diacritics needed"));
    looking->add_option("--branch", search_.branch, "party | government | front | assembly | court | procuracy");
    looking->add_option("--level", search_.level, "central | province | commune | unit");
    looking->add_option("--province", search_.province, say("mã tỉnh", "code of the province"));
    looking->add_option("--group", search_.group, say("nhóm này có bao nhiêu cơ quan", "how many a group has"));
    looking->add_option("--limit", search_.limit, say("số dòng", "rows"))->check(CLI::Range(size_t{1}, size_t{20000}));
    looking->callback([this] {
      for (const auto& word : words_) search_.query += (search_.query.empty() ? "" : " ") + word;
      chosen_ = [this](const App& app) { return directory(app, search_); };
    });
    command("doctor", "nút có vấn đề gì, phải làm gì", "what is wrong with the node and what to do",
            [](const App& app) { return doctor(app); });
  }

  bool vi_;
  CLI::App app_;
  std::function<int(const App&)> chosen_;
  SendOptions send_;
  std::map<std::string, std::string> texts_;
  ListOptions list_;
  ActOptions act_;
  DirectoryOptions search_;
  std::vector<std::string> words_;
  std::string directory_, save_to_, file_, realm_, wait_;
  bool overwrite_ = false, disagree_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  tram::crypto::initialize();
  Global global;
  CommandLine line(vietnamese(argc, argv), global);
  try {
    line.app().parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = line.app().exit(error);
    return code == 0 ? exit_done : exit_usage;
  }
  App app;
  app.out = Output::make(global.language, global.json);
  global.target.language = app.out.language == Language::vietnamese ? "vi" : "en";
  app.idempotency_key = global.key;
  auto client = Client::open(global.target);
  if (!client) {
    app.out.error(client.error());
    return exit_failed;
  }
  app.client = client->get();
  return line.run(app);
}
