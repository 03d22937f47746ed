// tram-witness: countersigns the logs of a realm, for an organisation that runs no broker. Commands: init, accept, run,
// check, status, print-config.
#include "audit/io/loop.h"
#include "directory/io/daemon/program.h"

namespace tram::audit {
namespace {

int run(const daemon::Program& program) {
  if (auto limited = io::prepare_process(); !limited) return program.failed(limited.error());
  io::SignalFd signals;
  auto prepared = program.prepare();
  if (!prepared) return program.failed(prepared.error());
  auto ring = daemon::open_key_ring(program.home(), prepared->completed(program.unlock()));
  if (!ring) return program.failed(ring.error());
  auto loop = WitnessLoop::open(program.home(), prepared->config, *ring, *prepared->log);
  if (!loop) return program.failed_to_start(loop.error());
  return (*loop)->run(signals, [&] {
    if (auto reopened = prepared->log->reopen(); !reopened) program.failed(reopened.error());
  });
}

}  // namespace

int main(int argc, char** argv) {
  daemon::Program program({"tram-witness", "witness", "countersigns the logs of a realm and keeps evidence of those that fork",
                           witness_config_keys()});
  InitOptions init;
  CLI::App& init_command = program.add_init([&](const daemon::NewHome& home) {
    init.home = home;
    return init_home(init);
  });
  init_command.add_option("--name", init.name, "Name of the witness")->required();
  init_command.add_option("--organisation", init.organisation, "Who runs it: an organisation that runs no broker")->required();
  program.add_accept([&](const std::string& approval, const std::optional<RealmId>& realm) {
    return accept_approval(program.home(), approval, program.unlock(), realm);
  });
  program.command("run", "Run the witness until it is told to stop", true, [&] { return run(program); });
  program.add_check();
  program.add_status([&] { return status_path(program.home()); });
  return program.run(argc, argv);
}

}  // namespace tram::audit

int main(int argc, char** argv) { return tram::audit::main(argc, argv); }
