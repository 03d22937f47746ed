// tram-broker: takes custody of documents it cannot read. Commands: init, accept, run, backup, restore, recover, check,
// status, print-config.
#include <cstdio>

#include "broker/io/config.h"
#include "broker/io/loop.h"
#include "directory/io/daemon/program.h"

namespace tram::broker {
namespace {

int run(const daemon::Program& program) {
  if (auto limited = io::prepare_process(); !limited) return program.failed(limited.error());
  io::SignalFd signals;
  auto prepared = program.prepare();
  if (!prepared) return program.failed(prepared.error());
  auto ring = daemon::open_key_ring(program.home(), prepared->completed(program.unlock()));
  if (!ring) return program.failed(ring.error());
  auto loop = Loop::open(program.home(), prepared->config, *ring, *prepared->log);
  if (!loop) {
    const int code = program.failed_to_start(loop.error());
    if (code != io::exit_io_fatal) return code;
    // R2: what was read may never have been on the disk; only a recovery tells. Best effort: the disk may be the trouble.
    if (auto noted = io::write_private_file_atomic(doubt_path(program.home()), view("exit 74\n")); !noted) program.failed(noted.error());
    return code;
  }
  return (*loop)->run(signals, [&] {
    if (auto reopened = prepared->log->reopen(); !reopened) program.failed(reopened.error());
  });
}

int recover(const daemon::Program& program) {
  if (auto limited = io::prepare_process(); !limited) return program.failed(limited.error());
  auto prepared = program.prepare();
  if (!prepared) return program.failed(prepared.error());
  auto recovered = recover_home(program.home(), prepared->completed(program.unlock()), *prepared->log);
  if (!recovered) return program.failed(recovered.error());
  for (const auto& row : recovered->repaired) std::printf("damaged: %s\n", describe(row).c_str());
  std::printf(
      "New epoch: %s\nDamaged rows dropped or made anew: %zu\nEnvelopes dropped because they or their body were damaged: %llu\n"
      "Senders put again what is missing.\nNext: tram-broker run --dir %s\n",
      recovered->epoch.hex().c_str(), recovered->repaired.size(), static_cast<unsigned long long>(recovered->dropped),
      program.home().c_str());
  return 0;
}

int backup(const daemon::Program& program, const std::string& to) {
  auto made = backup_home(program.home(), to, program.configured_unlock(), io::show_progress);
  if (!made) return program.failed(made.error());
  std::printf("Backup: %s\n  id %s\n  %llu files, %llu bytes, %llu rows read back and found whole\n", to.c_str(),
              made->copy.id.hex().c_str(), static_cast<unsigned long long>(made->copy.files),
              static_cast<unsigned long long>(made->copy.bytes), static_cast<unsigned long long>(made->rows));
  return 0;
}

int restore(const daemon::Program& program, const std::string& from) {
  auto restored = restore_home(from, program.home(), io::show_progress);
  if (!restored) return program.failed(restored.error());
  std::printf("Restored: %s, %llu files\n", program.home().c_str(), static_cast<unsigned long long>(restored->files));
  return recover(program);
}

}  // namespace

int main(int argc, char** argv) {
  daemon::Program program({"tram-broker", "broker", "keeps sealed documents until their recipients have them; it cannot open any",
                           config_keys()});
  InitOptions init;
  CLI::App& init_command = program.add_init([&](const daemon::NewHome& home) {
    init.home = home;
    return init_home(init);
  });
  init_command.add_option("--name", init.name, "Name of the broker")->required();
  init_command.add_option("--failure-domain", init.failure_domain, "What fails with it: site, operator, power")->required();
  init_command.add_option("--control", init.control, "tcp://host:port that nodes reach")->required();
  init_command.add_option("--bulk", init.bulk, "tcp://host:port for large bodies")->required();
  program.add_accept([&](const std::string& approval, const std::optional<RealmId>& realm) {
    return accept_approval(program.home(), approval, program.unlock(), realm);
  });
  program.command("run", "Run the broker until it is told to stop", true, [&] { return run(program); });
  program.command("recover", "After a disk failure or a restore: check everything, open a new epoch", true, [&] { return recover(program); });
  program.add_backup([&](const std::string& to) { return backup(program, to); });
  program.add_restore("Put a backup in the place of a lost store, then recover: a new epoch",
                      [&](const std::string& from) { return restore(program, from); });
  program.add_check();
  program.add_status([&] { return status_path(program.home()); });
  return program.run(argc, argv);
}

}  // namespace tram::broker

int main(int argc, char** argv) { return tram::broker::main(argc, argv); }
