// tram-authority: the tool of those who keep a realm's directory. Works on a folder (realm_folder.h), mostly offline.
//
//   keygen --officer NAME --out FILE        an officer's key (FILE, encrypted) and FILE.pub; --publisher for the key
//   that
//                                           publishes; --passphrase-fd N; --argon-memory 256MiB
//   create --name N --officers a.pub,b.pub,... --threshold M [--root-threshold M] [--practice] [--publisher-key p.pub]
//                                           a realm folder whose first entry waits for signatures
//   propose agency|broker|registrar|officer|status|succeed|policy|witness|root ...   an entry from flags or --file
//   x.json;
//                                           --urgent puts it before what is pending (a suspension cannot wait)
//   approve REQUEST [--as CODE] [--code K7QF-3MXA-9T2D] | approve --batch DIR --code-sheet FILE
//                                           gives the keys of enrolment requests their place, after comparing the code
//   sign FILE... --officer-key KEY [--yes]  shows the entry in plain words, asks, signs; needs no realm folder
//   merge FILE...                           brings signatures from copies together
//   status | explain FILE                   what waits; what it says and why it would be refused
//   accept [FILE...] | discard FILE         into the directory, when enough have signed; or away
//   approval --request R --out FILE         the answer to an enrolment: the party's id and the whole directory
//   publish --key KEY [--broker tcp://... --server-key HEX]
//   list | search WORDS | show [CODE]       the directory, as of --at
//   import FILE.csv... | import --national --provinces P.csv --communes C.csv [--ministries M.csv]
//
// Practice realms only: --sign-with a.key,b.key with --passphrase-fd N signs and accepts at once (create, propose,
// approve, import), so that scripts can build one. Passphrases come from the terminal or a descriptor, never from the
// command line or the environment. Exit codes: 0 done, 1 failed (an error line, then a hint line), 2 usage.
#include <CLI/CLI.hpp>

#include "base/config.h"
#include "base/io/process.h"
#include "directory/io/commands.h"

namespace tram::authority {
namespace {

struct Flag {
  const char* name;
  const char* help;
  enum Kind { one, many, yes } kind = one;
};

void add_sign_with(CLI::App& command, SignWith& with) {
  command.add_option("--sign-with", with.keys, "Practice realm: sign and accept with these key files at once")
      ->delimiter(',');
  command
      .add_option("--passphrase-fd", with.passphrase_fds,
                  "Descriptors of the keys' passphrases, in their order; the last serves the rest")
      ->delimiter(',');
}

/// A propose subcommand whose flags end in options.values.
void add_proposal(CLI::App& propose, ProposeOptions& options, const char* what, const char* help,
                  const std::vector<Flag>& flags) {
  auto* command = propose.add_subcommand(what, help);
  command->add_option("--file", options.file, "JSON object with these names; flags win over it");
  command->add_option("--effective", options.effective, "From when: now, 2026-07-01, \"2026-07-01 08:00\", +72h")
      ->default_str("now");
  command->add_option("--by", options.by,
                      "Who signs: a registrar (id or name) or an agency (code); default the root officers");
  command->add_flag("--urgent", options.urgent, "Before what is pending; that must be signed again");
  add_sign_with(*command, options.sign_with);
  for (const Flag& flag : flags) {
    const std::string name = flag.name;
    if (flag.kind == Flag::yes)
      command->add_flag_function(
          "--" + name, [&options, name](int64_t) { options.values[name] = {"true"}; }, flag.help);
    else if (flag.kind == Flag::many)
      command
          ->add_option_function<std::vector<std::string>>(
              "--" + name, [&options, name](const std::vector<std::string>& given) { options.values[name] = given; },
              flag.help)
          ->delimiter(',');
    else
      command->add_option_function<std::string>(
          "--" + name, [&options, name](const std::string& given) { options.values[name] = {given}; }, flag.help);
  }
  command->callback([&options, what] { options.what = what; });
}

void add_proposals(CLI::App& propose, ProposeOptions& options) {
  propose.require_subcommand(1);
  add_proposal(propose, options, "agency", "Add an agency or a unit, or change the one with this code",
               {{"code", "Its main code (QĐ 20/2020)"},
                {"name", "Name in Vietnamese"},
                {"name-en", "Name in English"},
                {"branch", "party government front assembly court procuracy"},
                {"level", "central province commune unit"},
                {"parent", "Code of the superior, or none"},
                {"province", "Statistics-office code of the province"},
                {"address", "Address"},
                {"telephone", "Telephone"},
                {"email", "E-mail"},
                {"duty-person", "Person on duty"},
                {"alias", "Further codes", Flag::many},
                {"without-keys", "Take its node out", Flag::yes}});
  add_proposal(propose, options, "status", "Suspend, close or reactivate an agency",
               {{"agency", "Its code"},
                {"status", "active suspended closed"},
                {"until", "End of a suspension (one officer: +72h at most)"},
                {"reason", "Reason"}});
  add_proposal(propose, options, "succeed", "Close agencies and name their successors",
               {{"from", "Codes of those that close", Flag::many},
                {"to", "Codes of the successors", Flag::many},
                {"policy", "merge split absorb"}});
  add_proposal(propose, options, "broker", "Change or retire a broker (new ones: approve)",
               {{"id", "Its id or name"},
                {"name", "Name"},
                {"failure-domain", "Failure domain"},
                {"control", "tcp://host:port"},
                {"bulk", "tcp://host:port"},
                {"retire", "It serves no more", Flag::yes}});
  add_proposal(propose, options, "registrar", "Let the officers of a province and branch sign for those below",
               {{"id", "Id or name of the one to change"},
                {"name", "Name"},
                {"branch", "Branch"},
                {"province", "Province code"},
                {"officers", ".pub files", Flag::many},
                {"threshold", "How many must sign"},
                {"revoke", "It signs no more", Flag::yes}});
  add_proposal(propose, options, "officer", "Make or revoke an officer of an agency",
               {{"agency", "Code of the agency"},
                {"officer", ".pub file"},
                {"role", "administrator, or a role"},
                {"revoke", "Revoke", Flag::yes}});
  add_proposal(propose, options, "policy", "Change the realm's policy",
               {{"custody-quorum", "Brokers that must hold a document"},
                {"body-floor", "Bytes that every body is padded to"},
                {"time-to-live", "10d"},
                {"retention", "35d"},
                {"document-max", "Bytes"},
                {"recall-refusal", "true or false"},
                {"update-refusal", "true or false"}});
  add_proposal(propose, options, "witness", "Name or retire a witness",
               {{"id", "Its id"},
                {"name", "Name"},
                {"organisation", "Organisation"},
                {"log-key", "LOG key, hexadecimal"},
                {"curve-key", "CURVE key, hexadecimal: lets it connect to brokers"},
                {"retire", "Retire", Flag::yes}});
  add_proposal(propose, options, "root", "Change the root officers, thresholds or publishers: old and new set sign",
               {{"officers", ".pub files", Flag::many},
                {"threshold", "How many must sign"},
                {"root-threshold", "How many for ROOT and POLICY"},
                {"publisher-key", ".pub files of publishers", Flag::many}});
}

int run(int argc, char** argv) {
  CLI::App app{"tram-authority: keeps the signed directory of a realm"};
  app.set_version_flag("--version", std::string("tram-authority ") + TRAM_VERSION);
  app.require_subcommand(1);
  Global global;
  std::string language = "vi";
  app.fallthrough();
  app.add_option("-r,--realm", global.realm, "The realm's folder")->capture_default_str();
  app.add_flag("--json", global.json, "Answers for scripts");
  app.add_option("--lang", language, "vi or en")->capture_default_str()->check(CLI::IsMember({"vi", "en"}));

  KeygenOptions keygen;
  std::string officer_name, publisher_name, memory = "256MiB";
  std::vector<int> keygen_fds;
  auto* keygen_command = app.add_subcommand("keygen", "Make an officer's or a publisher's key");
  auto* officer_option = keygen_command->add_option("--officer", officer_name, "Name of the officer");
  keygen_command->add_option("--publisher", publisher_name, "Name of the publisher")->excludes(officer_option);
  keygen_command->add_option("--out", keygen.out, "Key file; FILE.pub is written beside it")->required();
  keygen_command->add_option("--passphrase-fd", keygen_fds, "Descriptor to read the passphrase from");
  keygen_command->add_option("--argon-memory", memory, "Memory of one unlocking, 8MiB..1GiB")->capture_default_str();

  CreateOptions create;
  auto* create_command = app.add_subcommand("create", "Make a realm");
  create_command->add_option("--name", create.name, "Name of the realm")->required();
  create_command->add_option("--officers", create.officers, ".pub files of the root officers")
      ->required()
      ->delimiter(',');
  create_command->add_option("--threshold", create.threshold, "How many must sign")->required();
  create_command->add_option("--root-threshold", create.root_threshold,
                             "How many for ROOT and POLICY; default: --threshold");
  create_command->add_flag("--practice", create.practice, "A practice realm, marked everywhere; for ever");
  create_command->add_option("--publisher-key", create.publishers, ".pub files of publishers")->delimiter(',');
  add_sign_with(*create_command, create.sign_with);

  ProposeOptions propose;
  auto* propose_command = app.add_subcommand("propose", "Propose a change");
  add_proposals(*propose_command, propose);

  ApproveOptions approve;
  auto* approve_command = app.add_subcommand("approve", "Approve enrolment requests of nodes and brokers");
  approve_command->add_option("request", approve.requests, "Request files");
  approve_command->add_option("--as", approve.as_code, "Code of the agency, when the request names another or none");
  approve_command->add_option("--id", approve.id, "Id of the agency or broker");
  approve_command->add_option("--code", approve.code, "Short code that the operator read out");
  approve_command->add_option("--batch", approve.batch, "Folder of requests (*.request, *.enrol), searched in depth");
  approve_command->add_option("--code-sheet", approve.code_sheet,
                              "Lines WHO,CODE; WHO is a code, a name, a file or its folder");
  approve_command->add_option("--by", approve.by, "Who signs: a registrar; default the root officers");
  approve_command->add_option("--effective", approve.effective, "From when")->default_str("now");
  approve_command->add_flag("--replace-keys", approve.replace_keys, "The agency's present node loses its place");
  approve_command->add_flag("--new", approve.create, "Add agencies that are not in the directory");
  approve_command->add_option("--name", approve.name, "Name, when not the request's");
  approve_command->add_option("--branch", approve.branch, "With --new: branch");
  approve_command->add_option("--level", approve.level, "With --new: level");
  approve_command->add_option("--parent", approve.parent, "With --new: code of the superior");
  approve_command->add_option("--province", approve.province, "With --new: province code");
  add_sign_with(*approve_command, approve.sign_with);

  SignOptions sign;
  auto* sign_command = app.add_subcommand("sign", "Sign pending entries, also away from the realm's folder");
  sign_command->add_option("pending", sign.pending, "Entry files; none: all that are pending in the realm");
  sign_command->add_option("--officer-key", sign.keys, "Key files")->required()->delimiter(',');
  sign_command->add_option("--passphrase-fd", sign.passphrase_fds, "Descriptors of the passphrases")->delimiter(',');
  sign_command->add_flag("--yes", sign.yes, "Do not ask");

  std::vector<std::string> files;
  std::string file, request, out;
  auto* merge_command = app.add_subcommand("merge", "Collect signatures from copies of pending entries");
  merge_command->add_option("copies", files, "Signed copies")->required();
  auto* status_command = app.add_subcommand("status", "What waits for signatures");
  auto* explain_command = app.add_subcommand("explain", "What an entry says, and why it would be refused");
  explain_command->add_option("entry", file, "Entry file")->required();
  auto* accept_command = app.add_subcommand("accept", "Move pending entries into the directory");
  accept_command->add_option("pending", files, "Signed copies to merge first");
  auto* discard_command = app.add_subcommand("discard", "Drop a pending entry and those after it");
  discard_command->add_option("pending", file, "Entry file")->required();
  auto* approval_command = app.add_subcommand("approval", "Write the answer to an enrolment request");
  approval_command->add_option("--request", request, "Request file")->required();
  approval_command->add_option("--out", out, "Approval file")->required();

  PublishOptions publish;
  std::string timeout = "20s";
  auto* publish_command = app.add_subcommand("publish", "Bring the brokers up to date");
  auto* broker_option = publish_command->add_option("--broker", publish.broker,
                                                    "Control endpoint; default: every broker in the directory");
  publish_command->add_option("--server-key", publish.server_key, "The broker's CURVE key, hexadecimal")
      ->needs(broker_option);
  publish_command->add_option("--key", publish.key, "The publisher's key file")->required();
  publish_command->add_option("--passphrase-fd", publish.passphrase_fds, "Descriptor of its passphrase");
  publish_command->add_option("--timeout", timeout, "For each broker and answer")->capture_default_str();

  LookOptions look;
  std::vector<std::string> words;
  auto add_filters = [&](CLI::App& command) {
    command.add_option("--branch", look.branch, "party government front assembly court procuracy");
    command.add_option("--level", look.level, "central province commune unit");
    command.add_option("--province", look.province, "Province code");
    command.add_option("--parent", look.parent, "Code of the superior");
    command.add_option("--limit", look.limit, "Most lines")->capture_default_str();
    command.add_option("--at", look.at, "As of this time")->default_str("now");
  };
  auto* list_command = app.add_subcommand("list", "Agencies");
  add_filters(*list_command);
  auto* search_command = app.add_subcommand("search", "Agencies by name, code or place; diacritics may be left out");
  search_command->add_option("words", words, "Words")->required();
  add_filters(*search_command);
  auto* show_command = app.add_subcommand("show", "One agency or broker, or the realm");
  show_command->add_option("code", look.code, "Code, name of a broker, or id; none: the realm");
  show_command->add_option("--at", look.at, "As of this time")->default_str("now");

  ImportOptions import;
  auto* import_command = app.add_subcommand(
      "import",
      "Agencies from CSV, or the national lists.\nColumns of a CSV: code,name_vi,branch,level and, as needed, "
      "name_en,parent_code,province,address,telephone,email,duty_person,aliases (codes separated by spaces).\n"
      "Codes of the national lists: government of a province P<no.> (its national code, H01, first where a source "
      "states it), "
      "of a commune <province>.<no.>; the Party's committee .D, the Front's .M after it. What is present is left "
      "alone.");
  import_command->add_option("csv", import.files, "CSV files");
  import_command->add_flag("--national", import.national,
                           "34 provinces and 3,321 communes of 1 July 2025, three bodies each");
  import_command->add_option("--provinces", import.provinces, "National list of provinces (CSV)");
  import_command->add_option("--communes", import.communes, "National list of communes (CSV)");
  import_command->add_option("--ministries", import.ministries,
                             "Level-1 codes (CSV): ministries, and national codes of provinces");
  import_command->add_option("--effective", import.effective,
                             "From when; default: now, or 1 July 2025 with --national");
  import_command->add_option("--by", import.by, "Who signs: a registrar; default the root officers");
  add_sign_with(*import_command, import.sign_with);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  global.vietnamese = language == "vi";
  auto usage = [](const char* what) {
    std::fprintf(stderr, "%s\nRun with --help for more information.\n", what);
    return 2;
  };
  if (keygen_command->parsed()) {
    const auto bytes = parse_byte_size(memory);
    if (!bytes || (officer_name.empty() && publisher_name.empty()))
      return usage("keygen: --officer or --publisher, and a size for --argon-memory");
    keygen.publisher = officer_name.empty();
    keygen.name = keygen.publisher ? publisher_name : officer_name;
    keygen.memory_bytes = *bytes;
    return run_keygen(global, keygen, keygen_fds);
  }
  if (create_command->parsed()) return run_create(global, create);
  if (propose_command->parsed()) return run_propose(global, propose);
  if (approve_command->parsed()) {
    if (approve.requests.empty() == approve.batch.empty()) return usage("approve: requests, or --batch");
    return run_approve(global, approve);
  }
  if (sign_command->parsed()) return run_sign(global, sign);
  if (merge_command->parsed()) return run_merge(global, files);
  if (status_command->parsed()) return run_status(global);
  if (explain_command->parsed()) return run_explain(global, file);
  if (accept_command->parsed()) return run_accept(global, files);
  if (discard_command->parsed()) return run_discard(global, file);
  if (approval_command->parsed()) return run_approval(global, request, out);
  if (publish_command->parsed()) {
    const auto patience = parse_duration(timeout);
    if (!patience || publish.broker.empty() != publish.server_key.empty())
      return usage("publish: --broker goes with --server-key");
    publish.timeout = *patience;
    return run_publish(global, publish);
  }
  if (import_command->parsed()) {
    const bool lists = !import.provinces.empty() && !import.communes.empty();
    if (import.national ? !lists : import.files.empty())
      return usage("import: CSV files, or --national with --provinces and --communes");
    return run_import(global, import);
  }
  if (show_command->parsed()) return run_show(global, look);
  for (const std::string& word : words) look.text += (look.text.empty() ? "" : " ") + word;
  return run_list(global, look);
}

}  // namespace
}  // namespace tram::authority

int main(int argc, char** argv) {
  if (auto prepared = tram::io::prepare_process(); !prepared) {
    std::fprintf(stderr, "error: %s\n", tram::describe(prepared.error()).c_str());
    return 1;
  }
  tram::crypto::initialize();
  return tram::authority::run(argc, argv);
}
