// tram-node: the node of one agency. Commands: init, accept, run, backup, restore, recover, token, print-config.
#include <CLI/CLI.hpp>

#include <cstdio>

#include "base/io/config_file.h"
#include "base/io/log_sink.h"
#include "node/io/backup.h"
#include "node/io/config.h"
#include "node/io/home.h"
#include "node/io/loop.h"

namespace tram::node {
namespace {

int failed(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  std::fprintf(stderr, "tram-node: %s\n  %s\n  %s\n", describe(error).c_str(), std::string(info.en).c_str(), std::string(info.vi).c_str());
  return 1;
}

struct UnlockFlags {
  int passphrase_fd = -1;
  std::string credential;
  void add(CLI::App& app) {
    app.add_option("--passphrase-fd", passphrase_fd, "Read the passphrase (or raw key) from this file descriptor");
    app.add_option("--credential", credential, "Read it from this systemd credential");
  }
  UnlockSource source(bool raw = false) const { return {passphrase_fd, credential, raw}; }
};

std::string absolute(const std::string& home, const std::string& path) { return path.empty() || path[0] == '/' ? path : home + "/" + path; }

/// unix:api.sock is relative to the home; the certificate serves every address.
HttpOptions http_options(const std::string& home, const ::tram::Config& config) {
  HttpOptions http;
  for (std::string address : config.string_list("api.listen")) {
    if (address.rfind("unix:", 0) == 0) address = "unix:" + absolute(home, address.substr(5));
    http.listen.push_back({address, absolute(home, config.string("api.certificate_file")), absolute(home, config.string("api.key_file")),
                           absolute(home, config.string("api.client_ca_file"))});
  }
  http.host_names = config.string_list("api.host_names");
  http.connections_max = static_cast<unsigned>(config.integer("api.connections_max"));
  return http;
}

std::optional<LogLevel> log_level(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "info") return LogLevel::info;
  if (name == "warning") return LogLevel::warning;
  if (name == "error") return LogLevel::error;
  return std::nullopt;
}

/// What the configuration says, for commands that are not told on the command line. A home to be restored may have none.
UnlockSource configured(const std::string& home, UnlockSource unlock) {
  if (!unlock.credential.empty()) return unlock;
  if (auto config = io::read_config(home + "/node.toml", config_keys())) unlock.credential = config->string("unlock.credential");
  return unlock;
}

int run(const std::string& home, UnlockSource unlock) {
  if (auto prepared = io::prepare_process(); !prepared) return failed(prepared.error());
  io::SignalFd signals;
  auto config = io::read_config(home + "/node.toml", config_keys());
  if (!config) return failed(config.error());
  const auto level = log_level(config->string("log.level"));
  if (!level) return failed({ErrorCode::bad_config, "log.level: debug, info, warning or error"});
  LoopOptions options;
  options.directory = home;
  options.map_bytes = config->byte_size("store.map_bytes");
  options.scrub_every = config->duration("scrub.every");
  options.workers = static_cast<unsigned>(config->integer("workers"));
  options.http = http_options(home, *config);
  options.software = std::string("tram ") + TRAM_VERSION;
  if (auto checked = check_http_options(options.http); !checked) return failed(checked.error());
  auto log = io::LogSink::open({*level, absolute(home, config->string("log.file"))});
  if (!log) return failed(log.error());
  if (unlock.credential.empty()) unlock.credential = config->string("unlock.credential");
  auto ring = open_key_ring(home, unlock);
  if (!ring) return failed(ring.error());
  auto loop = Loop::open(std::move(options), std::move(*ring), **log);
  if (!loop) {
    const bool fatal = loop.error().code == ErrorCode::store_corrupt || loop.error().code == ErrorCode::io_failed;
    return fatal ? (failed(loop.error()), io::exit_io_fatal) : failed(loop.error());  // R2
  }
  const int code = (*loop)->run(signals);
  loop->reset();
  return code;
}

int backup(const std::string& home, const std::string& to, const UnlockSource& unlock) {
  auto made = backup_home(home, to, configured(home, unlock), io::show_progress);
  if (!made) return failed(made.error());
  std::printf("Backup: %s\n  id %s\n  %llu files, %llu bytes, %llu rows and %llu large bodies read back and found whole\n"
              "The running node tells the senders of %llu channels that their documents are in a backup.\n"
              "Keep the passphrase apart from the copy: without it nobody can open it, you neither.\n",
              to.c_str(), made->copy.id.hex().c_str(), static_cast<unsigned long long>(made->copy.files),
              static_cast<unsigned long long>(made->copy.bytes), static_cast<unsigned long long>(made->rows),
              static_cast<unsigned long long>(made->bodies), static_cast<unsigned long long>(made->channels));
  return 0;
}

int restore(const std::string& copy, const std::string& home, const UnlockSource& unlock) {
  auto restored = restore_home(copy, home, configured(home, unlock), io::show_progress);
  if (!restored) return failed(restored.error());
  std::printf("Restored: %s, %llu rows and %llu large bodies found whole\n"
              "What was in its place, if anything: store.before and bodies.before; remove them when all is well.\n"
              "Next: tram-node run --dir %s\n"
              "  It asks the brokers which incarnation they know, opens a new one, and every sender sends again what came after\n"
              "  this backup. Documents sent from here after the backup are not in its outbox: they went out, compare the paper.\n",
              home.c_str(), static_cast<unsigned long long>(restored->rows), static_cast<unsigned long long>(restored->bodies), home.c_str());
  return 0;
}

int recover(const std::string& home, const UnlockSource& unlock) {
  auto recovered = recover_home(home, configured(home, unlock));
  if (!recovered) return failed(recovered.error());
  for (const auto& row : recovered->repaired) std::printf("damaged: %s\n", row.c_str());
  if (!recovered->repaired.empty()) std::printf("%zu damaged rows were dropped or made anew\n", recovered->repaired.size());
  std::printf("Read back: %llu rows, %llu large bodies\n", static_cast<unsigned long long>(recovered->rows),
              static_cast<unsigned long long>(recovered->bodies));
  for (const auto& body : recovered->damaged) std::printf("  damaged: %s\n", body.c_str());
  std::printf("%s%sNext: tram-node run --dir %s\n",
              recovered->lost_received ? "Damaged content of received documents is fetched again, from brokers or its senders.\n" : "",
              recovered->lost_sent ? "Damaged content of sent documents is nowhere else for certain: send anew to whom lacks it, or restore a backup.\n" : "",
              home.c_str());
  return recovered->lost_sent ? 1 : 0;
}

int token(const std::string& home, const std::string& act, const std::string& name, const std::string& role) {
  const std::string file = home + "/tokens";
  if (act == "list") {
    auto list = Tokens::list(file);
    if (!list) return failed(list.error());
    for (const auto& principal : *list) std::printf("%-10s %s\n", principal.role.c_str(), principal.name.c_str());
    return 0;
  }
  if (act == "remove") {
    if (auto removed = Tokens::remove(file, name); !removed) return failed(removed.error());
    std::printf("removed: %s\n", name.c_str());
    return 0;
  }
  io::SystemRandom random;
  auto made = Tokens::add(file, name, role, random);
  if (!made) return failed(made.error());
  std::fprintf(stderr, "Keep it: it is shown once and only its hash is stored. Use it as `Authorization: Bearer <token>`.\n");
  std::printf("%s\n", made->c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  crypto::initialize();
  CLI::App app{"tram-node: the node of one agency; sends, receives and keeps official documents"};
  app.set_version_flag("--version", std::string("tram-node ") + TRAM_VERSION);
  app.require_subcommand(1);
  std::string home;
  UnlockFlags unlock;
  int code = 0;

  auto add_home = [&](CLI::App& command) { command.add_option("--dir", home, "The node's home")->required(); };

  InitOptions init;
  std::string argon_memory = "256MiB";
  auto* init_command = app.add_subcommand("init", "Make keys, a configuration and an enrolment request");
  add_home(*init_command);
  init_command->add_option("--name", init.name, "Name of the agency")->required();
  init_command->add_option("--code", init.organ_code, "Its identifier code (QĐ 20/2020), if it has one");
  init_command->add_option("--argon-memory", argon_memory, "Memory of one unlocking; less lets many nodes start at once")->capture_default_str();
  init_command->add_flag("--raw-key", init.unlock.raw, "Unlock with a raw 32-byte key (64 hex digits) instead of a passphrase");
  unlock.add(*init_command);
  init_command->callback([&] {
    init.directory = home;
    const bool raw = init.unlock.raw;
    init.unlock = unlock.source(raw);
    auto memory = parse_byte_size(argon_memory);
    if (!memory) {
      code = failed({ErrorCode::bad_request, "--argon-memory: a size such as 64MiB"});
      return;
    }
    init.argon_memory_bytes = *memory;
    auto short_code = init_home(init);
    if (!short_code) {
      code = failed(short_code.error());
      return;
    }
    std::printf("Request: %s/enrol.request\nCode to read to the authority: %s\n"
                "Next: carry the request to the directory authority; when its approval comes back:\n"
                "  tram-node accept --dir %s --approval FILE\n",
                home.c_str(), short_code->c_str(), home.c_str());
  });

  std::string approval, realm;
  auto* accept_command = app.add_subcommand("accept", "Take the authority's approval and its directory");
  add_home(*accept_command);
  accept_command->add_option("--approval", approval, "Approval file")->required()->check(CLI::ExistingFile);
  accept_command->add_option("--realm", realm, "The realm expected, 64 hex digits");
  unlock.add(*accept_command);
  accept_command->callback([&] {
    std::optional<RealmId> expected;
    if (!realm.empty() && !(expected = RealmId::parse(realm))) {
      code = failed({ErrorCode::bad_request, "--realm: 64 hex digits"});
      return;
    }
    auto accepted = accept_approval(home, approval, unlock.source(), expected);
    if (!accepted) {
      code = failed(accepted.error());
      return;
    }
    std::printf("%s (%s)\nRealm: %s%s\n  %s\nDirectory: %llu entries\nNext: tram-node run --dir %s\n", accepted->agency_name.c_str(),
                accepted->party.hex().c_str(), accepted->realm_name.c_str(), accepted->practice ? "  *** PRACTICE / THỰC HÀNH ***" : "",
                accepted->realm.hex().c_str(), static_cast<unsigned long long>(accepted->entries), home.c_str());
  });

  auto* run_command = app.add_subcommand("run", "Run the node until it is told to stop");
  add_home(*run_command);
  unlock.add(*run_command);
  run_command->callback([&] { code = run(home, unlock.source()); });

  std::string backup_to;
  auto* backup_command = app.add_subcommand("backup", "Copy the home, running or not, and read the copy back");
  add_home(*backup_command);
  backup_command->add_option("--to", backup_to, "A new folder for this backup, best on another machine's disk")->required();
  unlock.add(*backup_command);
  backup_command->callback([&] { code = backup(home, backup_to, unlock.source()); });

  std::string restore_from;
  auto* restore_command = app.add_subcommand("restore", "Put a backup in the place of a lost or damaged store");
  add_home(*restore_command);
  restore_command->add_option("--from", restore_from, "The backup's folder")->required()->check(CLI::ExistingDirectory);
  unlock.add(*restore_command);
  restore_command->callback([&] { code = restore(restore_from, home, unlock.source()); });

  auto* recover_command = app.add_subcommand("recover", "After exit 74, or on the copy that shall go on after a machine was cloned");
  add_home(*recover_command);
  unlock.add(*recover_command);
  recover_command->callback([&] { code = recover(home, unlock.source()); });

  std::string token_act, token_name, token_role = "dms";
  auto* token_command = app.add_subcommand("token", "Bearer tokens of the local API: add, list, remove");
  add_home(*token_command);
  token_command->add_option("act", token_act, "add, list or remove")->required()->check(CLI::IsMember({"add", "list", "remove"}));
  token_command->add_option("name", token_name, "Whom it is for");
  token_command->add_option("--role", token_role, "clerk, dms or operator")->capture_default_str();
  token_command->callback([&] { code = token(home, token_act, token_name, token_role); });

  auto* print_command = app.add_subcommand("print-config", "Print every configuration key with its default");
  print_command->callback([&] { std::fputs(print_config(::tram::Config(config_keys())).c_str(), stdout); });

  CLI11_PARSE(app, argc, argv);
  return code;
}

}  // namespace tram::node

int main(int argc, char** argv) {
  try {
    return tram::node::main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tram-node: %s\n", error.what());
    return 1;
  }
}
