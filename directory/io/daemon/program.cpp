#include "directory/io/daemon/program.h"

#include <cstdio>

#include "base/io/config_file.h"
#include "crypto/keys.h"

namespace tram::daemon {
namespace {

constexpr size_t status_bytes_max = 65536;

std::optional<LogLevel> log_level(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "info") return LogLevel::info;
  if (name == "warning") return LogLevel::warning;
  if (name == "error") return LogLevel::error;
  return std::nullopt;
}

Result<LogLevel> configured_level(const Config& config) {
  const auto level = log_level(config.string("log.level"));
  if (!level) return fail(ErrorCode::bad_config, "log.level: debug, info, warning or error");
  return *level;
}

}  // namespace

std::string below(const std::string& home, const std::string& path) {
  return path.empty() || path[0] == '/' ? path : home + "/" + path;
}

io::UnlockSource Prepared::completed(io::UnlockSource unlock) const {
  if (unlock.credential.empty()) unlock.credential = config.string("unlock.credential");
  return unlock;
}

Program::Program(About about) : about_(std::move(about)), app_(about_.program + ": " + about_.purpose) {
  app_.set_version_flag("--version", about_.program + " " TRAM_VERSION);
  app_.require_subcommand(0, 1);
  app_.add_flag("--print-config", print_only_, "Print every configuration key with its default");
}

CLI::App& Program::command(const std::string& name, const std::string& help, bool opens_keys, std::function<int()> act) {
  CLI::App* command = app_.add_subcommand(name, help);
  command->add_option("--dir", home_, "The " + about_.role + "'s home")->required();
  if (opens_keys) {
    command->add_option("--passphrase-fd", passphrase_fd_, "Read the passphrase (or raw key) from this file descriptor");
    command->add_option("--credential", credential_, "Read it from this systemd credential");
  }
  command->callback([this, act = std::move(act)] { code_ = act(); });
  return *command;
}

CLI::App& Program::add_init(std::function<Result<std::string>(const NewHome&)> make) {
  CLI::App& command = this->command("init", "Make keys, a configuration and an enrolment request", true,
                                    [this, make = std::move(make)] { return init(make); });
  command.add_option("--argon-memory", argon_memory_, "Memory of one unlocking; less lets many daemons start at once")
      ->capture_default_str();
  command.add_flag("--raw-key", raw_key_, "Unlock with a raw 32-byte key (64 hex digits) instead of a passphrase");
  return command;
}

int Program::init(const std::function<Result<std::string>(const NewHome&)>& make) {
  const auto memory = parse_byte_size(argon_memory_);
  if (!memory) return failed({ErrorCode::bad_request, "--argon-memory: a size such as 64MiB"});
  const auto short_code = make({home_, unlock(raw_key_), *memory});
  if (!short_code) return failed(short_code.error());
  std::printf(
      "Request: %s/enrol.request\nCode to read to the authority: %s\n"
      "Next: carry the request to the directory authority; when its approval comes back:\n"
      "  %s accept --dir %s --approval FILE\n",
      home_.c_str(), short_code->c_str(), about_.program.c_str(), home_.c_str());
  return 0;
}

void Program::add_accept(std::function<Result<Accepted>(const std::string&, const std::optional<RealmId>&)> accept) {
  CLI::App& command = this->command("accept", "Take the authority's approval and its directory", true, [this, accept = std::move(accept)] {
    std::optional<RealmId> expected;
    if (!realm_.empty() && !(expected = RealmId::parse(realm_))) return failed({ErrorCode::bad_request, "--realm: 64 hex digits"});
    const auto accepted = accept(approval_, expected);
    if (!accepted) return failed(accepted.error());
    std::printf("%s (%s)\nRealm: %s%s\n  %s\nDirectory: %llu entries\nNext: %s run --dir %s\n", accepted->name.c_str(),
                accepted->party.hex().c_str(), accepted->realm_name.c_str(), accepted->practice ? "  *** PRACTICE / THỰC HÀNH ***" : "",
                accepted->realm.hex().c_str(), static_cast<unsigned long long>(accepted->entries), about_.program.c_str(), home_.c_str());
    return 0;
  });
  command.add_option("--approval", approval_, "Approval file")->required()->check(CLI::ExistingFile);
  command.add_option("--realm", realm_, "The realm expected, 64 hex digits");
}

void Program::add_renew_keys() {
  CLI::App& command = this->command("renew-keys", "Make new keys for this home, running or not, and a request to the authority", true, [this] {
    const auto short_code = renew_keys({home_, configured_unlock(), again_});
    if (!short_code) return failed(short_code.error());
    std::printf(
        "Request: %s/renew.request\nCode to read to the authority: %s\n"
        "The present keys are used until the directory holds the new ones.\n"
        "Next: carry the request to the directory authority (approve --replace-keys). When its approval comes back, stop the %s and\n"
        "  %s accept --dir %s --approval FILE\n",
        home_.c_str(), short_code->c_str(), about_.role.c_str(), about_.program.c_str(), home_.c_str());
    return 0;
  });
  command.add_flag("--again", again_, "Make others in the place of new keys that wait; these are gone, approved or not");
}

void Program::add_check() {
  command("check", "Check the configuration and the key file", false, [this] {
    const auto config = io::read_config(config_path(), about_.config_keys);
    if (!config) return failed(config.error());
    if (auto level = configured_level(*config); !level) return failed(level.error());
    if (auto keys = check_key_file(home_); !keys) return failed(keys.error());
    std::printf("configuration and key file: good\n");
    return 0;
  });
}

void Program::add_backup(std::function<int(const std::string&)> act) {
  command("backup", "Copy the home, running or not, and read the copy back", true, [this, act = std::move(act)] { return act(to_); })
      .add_option("--to", to_, "A new folder for this backup, best on another machine's disk")
      ->required();
}

void Program::add_restore(const std::string& help, std::function<int(const std::string&)> act) {
  command("restore", help, true, [this, act = std::move(act)] { return act(from_); })
      .add_option("--from", from_, "The backup's folder")
      ->required()
      ->check(CLI::ExistingDirectory);
}

void Program::add_status(std::function<std::string()> path) {
  command("status", "What the running " + about_.role + " last wrote about itself, as JSON", false, [this, path = std::move(path)] {
    const auto text = io::read_file(path(), status_bytes_max);
    if (!text) return failed(text.error());
    std::fwrite(text->data(), 1, text->size(), stdout);
    return 0;
  });
}

int Program::run(int argc, char** argv) {
  try {
    crypto::initialize();
    app_.add_subcommand("print-config", "Print every configuration key with its default")->callback([this] { print_only_ = true; });
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? 0 : 2;
    }
    if (print_only_) {
      std::fputs(print_config(Config(about_.config_keys)).c_str(), stdout);
      return code_;
    }
    if (app_.get_subcommands().empty()) {
      std::fputs(app_.help().c_str(), stderr);
      return 2;
    }
    return code_;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", about_.program.c_str(), error.what());
    return 1;
  }
}

int Program::failed(const Error& error) const {
  const ErrorInfo& info = error_info(error.code);
  std::fprintf(stderr, "%s: %s\n  %s\n  %s\n", about_.program.c_str(), describe(error).c_str(), std::string(info.en).c_str(),
               std::string(info.vi).c_str());
  return 1;
}

int Program::failed_to_start(const Error& error) const {
  failed(error);
  return error.code == ErrorCode::store_corrupt || error.code == ErrorCode::io_failed ? io::exit_io_fatal : 1;
}

Result<Prepared> Program::prepare() const {
  TRAM_TRY(config, io::read_config(config_path(), about_.config_keys));
  TRAM_TRY(level, configured_level(config));
  TRAM_TRY(log, io::LogSink::open({level, below(home_, config.string("log.file"))}));
  return Prepared{std::move(config), std::move(log)};
}

io::UnlockSource Program::configured_unlock() const {
  io::UnlockSource source = unlock();
  if (!source.credential.empty()) return source;
  if (auto config = io::read_config(config_path(), about_.config_keys)) source.credential = config->string("unlock.credential");
  return source;
}

}  // namespace tram::daemon
