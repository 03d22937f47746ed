// tram-broker: takes custody of documents it cannot read. Commands: init, accept, run, backup, restore, recover, check,
// status, print-config.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/io/config_file.h"
#include "base/io/log_sink.h"
#include "broker/io/config.h"
#include "broker/io/loop.h"

namespace tram::broker {
namespace {

int failed(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  std::fprintf(stderr, "tram-broker: %s\n  %s\n  %s\n", describe(error).c_str(), std::string(info.en).c_str(),
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
  ::tram::Config config;
  std::unique_ptr<io::LogSink> log;
};
Result<Prepared> prepare(const std::string& home) {
  TRAM_TRY(config, io::read_config(config_path(home), config_keys()));
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
  auto loop = Loop::open(home, prepared->config, *ring, *prepared->log);
  if (!loop) {
    failed(loop.error());
    if (loop.error().code != ErrorCode::store_corrupt && loop.error().code != ErrorCode::io_failed) return 1;
    // R2: what was read may never have been on the disk; only a recovery tells. Best effort: the disk may be the trouble.
    if (auto noted = io::write_private_file_atomic(doubt_path(home), view("exit 74\n")); !noted) failed(noted.error());
    return io::exit_io_fatal;
  }
  return (*loop)->run(signals, [&] {
    if (auto reopened = prepared->log->reopen(); !reopened) failed(reopened.error());
  });
}

int recover(const std::string& home, UnlockSource unlock) {
  if (auto limited = io::prepare_process(); !limited) return failed(limited.error());
  auto prepared = prepare(home);
  if (!prepared) return failed(prepared.error());
  if (unlock.credential.empty()) unlock.credential = prepared->config.string("unlock.credential");
  auto recovered = recover_home(home, unlock, *prepared->log);
  if (!recovered) return failed(recovered.error());
  for (const auto& row : recovered->repaired) std::printf("damaged: %s\n", describe(row).c_str());
  std::printf(
      "New epoch: %s\nDamaged rows dropped or made anew: %zu\nEnvelopes dropped because they or their body were damaged: %llu\n"
      "Senders put again what is missing.\nNext: tram-broker run --dir %s\n",
      recovered->epoch.hex().c_str(), recovered->repaired.size(), static_cast<unsigned long long>(recovered->dropped), home.c_str());
  return 0;
}

int backup(const std::string& home, const std::string& to, UnlockSource unlock) {
  if (unlock.credential.empty())
    if (auto config = io::read_config(config_path(home), config_keys())) unlock.credential = config->string("unlock.credential");
  auto made = backup_home(home, to, unlock, io::show_progress);
  if (!made) return failed(made.error());
  std::printf("Backup: %s\n  id %s\n  %llu files, %llu bytes, %llu rows read back and found whole\n", to.c_str(),
              made->copy.id.hex().c_str(), static_cast<unsigned long long>(made->copy.files),
              static_cast<unsigned long long>(made->copy.bytes), static_cast<unsigned long long>(made->rows));
  return 0;
}

int restore(const std::string& copy, const std::string& home, const UnlockSource& unlock) {
  auto restored = restore_home(copy, home, io::show_progress);
  if (!restored) return failed(restored.error());
  std::printf("Restored: %s, %llu files\n", home.c_str(), static_cast<unsigned long long>(restored->files));
  return recover(home, unlock);
}

int status(const std::string& home) {
  auto text = io::read_file(status_path(home), 65536);
  if (!text) return failed(text.error());
  std::fwrite(text->data(), 1, text->size(), stdout);
  return 0;
}

int check(const std::string& home) {
  auto config = io::read_config(config_path(home), config_keys());
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
  CLI::App app{"tram-broker: keeps sealed documents until their recipients have them; it cannot open any"};
  app.set_version_flag("--version", std::string("tram-broker ") + TRAM_VERSION);
  app.require_subcommand(0, 1);
  std::string home;
  UnlockFlags unlock;
  int code = 0;
  bool print_only = false;
  app.add_flag("--print-config", print_only, "Print every configuration key with its default");
  auto add_home = [&](CLI::App& command) { command.add_option("--dir", home, "The broker's home")->required(); };

  InitOptions init;
  std::string argon_memory = "256MiB";
  auto* init_command = app.add_subcommand("init", "Make keys, a configuration and an enrolment request");
  add_home(*init_command);
  init_command->add_option("--name", init.name, "Name of the broker")->required();
  init_command->add_option("--failure-domain", init.failure_domain, "What fails with it: site, operator, power")
      ->required();
  init_command->add_option("--control", init.control, "tcp://host:port that nodes reach")->required();
  init_command->add_option("--bulk", init.bulk, "tcp://host:port for large bodies")->required();
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
        "  tram-broker accept --dir %s --approval FILE\n",
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
    std::printf("%s (%s)\nRealm: %s%s\n  %s\nDirectory: %llu entries\nNext: tram-broker run --dir %s\n",
                accepted->name.c_str(), accepted->party.hex().c_str(), accepted->realm_name.c_str(),
                accepted->practice ? "  *** PRACTICE / THỰC HÀNH ***" : "", accepted->realm.hex().c_str(),
                static_cast<unsigned long long>(accepted->entries), home.c_str());
  });

  auto* run_command = app.add_subcommand("run", "Run the broker until it is told to stop");
  add_home(*run_command);
  unlock.add(*run_command);
  run_command->callback([&] { code = run(home, unlock.source()); });

  auto* recover_command =
      app.add_subcommand("recover", "After a disk failure or a restore: check everything, open a new epoch");
  add_home(*recover_command);
  unlock.add(*recover_command);
  recover_command->callback([&] { code = recover(home, unlock.source()); });

  std::string backup_to;
  auto* backup_command = app.add_subcommand("backup", "Copy the home, running or not, and read the copy back");
  add_home(*backup_command);
  backup_command->add_option("--to", backup_to, "A new folder for this backup")->required();
  unlock.add(*backup_command);
  backup_command->callback([&] { code = backup(home, backup_to, unlock.source()); });

  std::string restore_from;
  auto* restore_command =
      app.add_subcommand("restore", "Put a backup in the place of a lost store, then recover: a new epoch");
  add_home(*restore_command);
  restore_command->add_option("--from", restore_from, "The backup's folder")->required()->check(CLI::ExistingDirectory);
  unlock.add(*restore_command);
  restore_command->callback([&] { code = restore(restore_from, home, unlock.source()); });

  auto* check_command = app.add_subcommand("check", "Check the configuration and the key file");
  add_home(*check_command);
  check_command->callback([&] { code = check(home); });

  auto* status_command = app.add_subcommand("status", "What the running broker last wrote about itself, as JSON");
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
    std::fputs(print_config(::tram::Config(config_keys())).c_str(), stdout);
    return code;
  }
  if (app.get_subcommands().empty()) {
    std::fputs(app.help().c_str(), stderr);
    return 2;
  }
  return code;
}

}  // namespace tram::broker

int main(int argc, char** argv) {
  try {
    return tram::broker::main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tram-broker: %s\n", error.what());
    return 1;
  }
}
