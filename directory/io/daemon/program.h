// What the programs tram-node, tram-broker and tram-witness have in common: commands init, accept, run, check, print-config,
// how they are told where the home and its secret are, and how they say what went wrong. Exit codes: 0 done, 1 refused,
// 2 a wrong command line, 74 the disk failed (R2).
// Thread: main, before the loop.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <memory>

#include "base/io/log_sink.h"
#include "base/io/process.h"
#include "directory/io/daemon/home.h"

namespace tram::daemon {

struct About {
  std::string program;  // "tram-node"
  std::string role;     // "node", as its messages say it
  std::string purpose;
  std::span<const ConfigKey> config_keys;
};

/// `path` as the configuration means it: below the home unless absolute; empty stays empty.
std::string below(const std::string& home, const std::string& path);

/// A daemon's configuration, and the log that it asks for.
struct Prepared {
  Config config;
  std::unique_ptr<io::LogSink> log;
  /// The secret's source, completed by the configuration where the command line says none.
  io::UnlockSource completed(io::UnlockSource unlock) const;
};

class Program {
 public:
  explicit Program(About about);

  const std::string& home() const { return home_; }
  io::UnlockSource unlock(bool raw = false) const { return {passphrase_fd_, credential_, raw}; }
  std::string config_path() const { return home_ + "/" + about_.role + ".toml"; }

  /// A command that acts on a home; `act` returns the exit code. `opens_keys`: it has the options that say where the secret is.
  CLI::App& command(const std::string& name, const std::string& help, bool opens_keys, std::function<int()> act);
  /// The commands that all have. `make` is given the folder, the secret's source and the memory of Argon2id.
  CLI::App& add_init(std::function<Result<std::string>(const NewHome&)> make);
  void add_accept(std::function<Result<Accepted>(const std::string& approval_file, const std::optional<RealmId>& realm)> accept);
  void add_renew_keys();
  void add_check();
  void add_backup(std::function<int(const std::string& to)> act);
  void add_restore(const std::string& help, std::function<int(const std::string& from)> act);
  /// What the running daemon last wrote about itself.
  void add_status(std::function<std::string()> path);

  /// Reads the command line, carries the command out. Nothing it throws leaves.
  int run(int argc, char** argv);

  /// Says it on standard error, in English and Vietnamese; 1.
  int failed(const Error& error) const;
  /// The same for a daemon that could not start: 74 when the disk or the store is broken.
  int failed_to_start(const Error& error) const;

  Result<Prepared> prepare() const;
  /// unlock(), completed by the configuration if there is one: a home to be restored may have none.
  io::UnlockSource configured_unlock() const;

 private:
  int init(const std::function<Result<std::string>(const NewHome&)>& make);

  About about_;
  CLI::App app_;
  std::string home_, credential_, argon_memory_ = "256MiB", approval_, realm_, to_, from_;
  int passphrase_fd_ = -1;
  int code_ = 0;
  bool raw_key_ = false, print_only_ = false, again_ = false;
};

}  // namespace tram::daemon
