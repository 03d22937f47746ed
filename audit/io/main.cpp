// tram-witness: countersigns the logs of a realm, for an organisation that runs no broker. Commands: init, accept, run,
// check, status, print-config.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "audit/io/loop.h"
#include "base/io/config_file.h"
#include "base/io/files.h"
#include "base/io/log_sink.h"

namespace tram::audit {
namespace {

int failed(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  std::fprintf(stderr, "tram-witness: %s\n  %s\n  %s\n", describe(error).c_str(), std::string(info.en).c_str(),
               std::string(info.vi).c_str());
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

std::optional<LogLevel> log_level(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "info") return LogLevel::info;
  if (name == "warning") return LogLevel::warning;
  if (name == "error") return LogLevel::error;
  return std::nullopt;
}

std::string absolute(const std::string& home, const std::string& path) {
  return path.empty() || path[0] == '/' ? path : home + "/" + path;
}

struct Prepared {
  Config config;
  std::unique_ptr<io::LogSink> log;
};
Result<Prepared> prepare(const std::string& home) {
  TRAM_TRY(config, io::read_config(config_path(home), witness_config_keys()));
  const auto level = log_level(config.string("log.level"));
  if (!level) return fail(ErrorCode::bad_config, "log.level: debug, info, warning or error");
  TRAM_TRY(log, io::LogSink::open({*level, absolute(home, config.string("log.file"))}));
  return Prepared{std::move(config), std::move(log)};
}

int run(const std::string& home, UnlockSource unlock) {
  if (auto prepared = io::prepare_process(); !prepared) return failed(prepared.error());
  io::SignalFd signals;
  auto prepared = prepare(home);
  if (!prepared) return failed(prepared.error());
  if (unlock.credential.empty()) unlock.credential = prepared->config.string("unlock.credential");
  auto ring = open_key_ring(home, unlock);
  if (!ring) return failed(ring.error());
  auto loop = WitnessLoop::open(home, prepared->config, *ring, *prepared->log);
  if (!loop) {
    const bool fatal = loop.error().code == ErrorCode::store_corrupt || loop.error().code == ErrorCode::io_failed;
    return fatal ? (failed(loop.error()), io::exit_io_fatal) : failed(loop.error());
  }
  return (*loop)->run(signals, [&] {
    if (auto reopened = prepared->log->reopen(); !reopened) failed(reopened.error());
  });
}

int status(const std::string& home) {
  auto text = io::read_file(status_path(home), 65536);
  if (!text) return failed(text.error());
  std::fwrite(text->data(), 1, text->size(), stdout);
  return 0;
}

int check(const std::string& home) {
  auto config = io::read_config(config_path(home), witness_config_keys());
  if (!config) return failed(config.error());
  if (!log_level(config->string("log.level")))
    return failed({ErrorCode::bad_config, "log.level: debug, info, warning or error"});
  auto key_file = io::read_private_file(home + "/keys.tram", 65536);
  if (!key_file) return failed(key_file.error());
  if (auto kind = crypto::key_file_unlock_kind(key_file->view()); !kind) return failed(kind.error());
  std::printf("configuration and key file: good\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  crypto::initialize();
  CLI::App app{"tram-witness: countersigns the logs of a realm and keeps evidence of those that fork"};
  app.set_version_flag("--version", std::string("tram-witness ") + TRAM_VERSION);
  app.require_subcommand(0, 1);
  std::string home;
  UnlockFlags unlock;
  int code = 0;
  bool print_only = false;
  app.add_flag("--print-config", print_only, "Print every configuration key with its default");
  auto add_home = [&](CLI::App& command) { command.add_option("--dir", home, "The witness's home")->required(); };

  InitOptions init;
  std::string argon_memory = "256MiB";
  auto* init_command = app.add_subcommand("init", "Make keys, a configuration and an enrolment request");
  add_home(*init_command);
  init_command->add_option("--name", init.name, "Name of the witness")->required();
  init_command->add_option("--organisation", init.organisation, "Who runs it: an organisation that runs no broker")
      ->required();
  init_command->add_option("--argon-memory", argon_memory, "Memory of one unlocking")->capture_default_str();
  init_command->add_flag("--raw-key", init.unlock.raw,
                         "Unlock with a raw 32-byte key (64 hex digits) instead of a passphrase");
  unlock.add(*init_command);
  init_command->callback([&] {
    init.directory = home;
    init.unlock = unlock.source(init.unlock.raw);
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
    std::printf(
        "Request: %s/enrol.request\nCode to read to the authority: %s\n"
        "Next: carry the request to the directory authority; when its approval comes back:\n"
        "  tram-witness accept --dir %s --approval FILE\n",
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
    std::printf("%s (%s)\nRealm: %s%s\n  %s\nDirectory: %llu entries\nNext: tram-witness run --dir %s\n",
                accepted->name.c_str(), accepted->party.hex().c_str(), accepted->realm_name.c_str(),
                accepted->practice ? "  *** PRACTICE / THỰC HÀNH ***" : "", accepted->realm.hex().c_str(),
                static_cast<unsigned long long>(accepted->entries), home.c_str());
  });

  auto* run_command = app.add_subcommand("run", "Run the witness until it is told to stop");
  add_home(*run_command);
  unlock.add(*run_command);
  run_command->callback([&] { code = run(home, unlock.source()); });

  auto* check_command = app.add_subcommand("check", "Check the configuration and the key file");
  add_home(*check_command);
  check_command->callback([&] { code = check(home); });

  auto* status_command = app.add_subcommand("status", "What the running witness last wrote about itself, as JSON");
  add_home(*status_command);
  status_command->callback([&] { code = status(home); });

  auto* print_command = app.add_subcommand("print-config", "Print every configuration key with its default");
  print_command->callback([&] { print_only = true; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (print_only) {
    std::fputs(print_config(Config(witness_config_keys())).c_str(), stdout);
    return code;
  }
  if (app.get_subcommands().empty()) {
    std::fputs(app.help().c_str(), stderr);
    return 2;
  }
  return code;
}

}  // namespace tram::audit

int main(int argc, char** argv) {
  try {
    return tram::audit::main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tram-witness: %s\n", error.what());
    return 1;
  }
}
