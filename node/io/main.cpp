// tram-node: the node of one agency. Commands: init, accept, run, renew-keys, backup, restore, recover, token, check,
// print-config.
#include <cstdio>

#include "directory/io/daemon/program.h"
#include "node/io/backup.h"
#include "node/io/config.h"
#include "node/io/home.h"
#include "node/io/loop.h"

namespace tram::node {
namespace {

/// unix:api.sock is relative to the home; the certificate serves every address.
HttpOptions http_options(const std::string& home, const ::tram::Config& config) {
  HttpOptions http;
  for (std::string address : config.string_list("api.listen")) {
    if (address.rfind("unix:", 0) == 0) address = "unix:" + daemon::below(home, address.substr(5));
    http.listen.push_back({address, daemon::below(home, config.string("api.certificate_file")), daemon::below(home, config.string("api.key_file")),
                           daemon::below(home, config.string("api.client_ca_file"))});
  }
  http.host_names = config.string_list("api.host_names");
  http.connections_max = static_cast<unsigned>(config.integer("api.connections_max"));
  return http;
}

int run(const daemon::Program& program) {
  if (auto limited = io::prepare_process(); !limited) return program.failed(limited.error());
  io::SignalFd signals;
  auto prepared = program.prepare();
  if (!prepared) return program.failed(prepared.error());
  const ::tram::Config& config = prepared->config;
  LoopOptions options;
  options.directory = program.home();
  options.map_bytes = config.byte_size("store.map_bytes");
  options.scrub_every = config.duration("scrub.every");
  options.workers = static_cast<unsigned>(config.integer("workers"));
  options.http = http_options(program.home(), config);
  options.software = std::string("tram ") + TRAM_VERSION;
  if (auto checked = check_http_options(options.http); !checked) return program.failed(checked.error());
  auto rings = daemon::open_key_rings(program.home(), prepared->completed(program.unlock()));
  if (!rings) return program.failed(rings.error());
  auto loop = Loop::open(std::move(options), std::move(*rings), *prepared->log);
  if (!loop) return program.failed_to_start(loop.error());  // R2
  const int code = (*loop)->run(signals);
  loop->reset();
  return code;
}

int backup(const daemon::Program& program, const std::string& to) {
  auto made = backup_home(program.home(), to, program.configured_unlock(), io::show_progress);
  if (!made) return program.failed(made.error());
  std::printf("Backup: %s\n  id %s\n  %llu files, %llu bytes, %llu rows and %llu large bodies read back and found whole\n"
              "The running node tells the senders of %llu channels that their documents are in a backup.\n"
              "Keep the passphrase apart from the copy: without it nobody can open it, you neither.\n",
              to.c_str(), made->copy.id.hex().c_str(), static_cast<unsigned long long>(made->copy.files),
              static_cast<unsigned long long>(made->copy.bytes), static_cast<unsigned long long>(made->rows),
              static_cast<unsigned long long>(made->bodies), static_cast<unsigned long long>(made->channels));
  return 0;
}

int restore(const daemon::Program& program, const std::string& from) {
  const std::string& home = program.home();
  auto restored = restore_home(from, home, program.configured_unlock(), io::show_progress);
  if (!restored) return program.failed(restored.error());
  std::printf("Restored: %s, %llu rows and %llu large bodies found whole\n"
              "What was in its place, if anything: store.before and bodies.before; remove them when all is well.\n"
              "Next: tram-node run --dir %s\n"
              "  It asks the brokers which incarnation they know, opens a new one, and every sender sends again what came after\n"
              "  this backup. Documents sent from here after the backup are not in its outbox: they went out, compare the paper.\n",
              home.c_str(), static_cast<unsigned long long>(restored->rows), static_cast<unsigned long long>(restored->bodies), home.c_str());
  return 0;
}

int recover(const daemon::Program& program) {
  auto recovered = recover_home(program.home(), program.configured_unlock());
  if (!recovered) return program.failed(recovered.error());
  for (const auto& row : recovered->repaired) std::printf("damaged: %s\n", row.c_str());
  if (!recovered->repaired.empty()) std::printf("%zu damaged rows were dropped or made anew\n", recovered->repaired.size());
  std::printf("Read back: %llu rows, %llu large bodies\n", static_cast<unsigned long long>(recovered->rows),
              static_cast<unsigned long long>(recovered->bodies));
  for (const auto& body : recovered->damaged) std::printf("  damaged: %s\n", body.c_str());
  std::printf("%s%sNext: tram-node run --dir %s\n",
              recovered->lost_received ? "Damaged content of received documents is fetched again, from brokers or its senders.\n" : "",
              recovered->lost_sent ? "Damaged content of sent documents is nowhere else for certain: send anew to whom lacks it, or restore a backup.\n" : "",
              program.home().c_str());
  return recovered->lost_sent ? 1 : 0;
}

int token(const daemon::Program& program, const std::string& act, const std::string& name, const std::string& role) {
  const std::string file = program.home() + "/tokens";
  if (act == "list") {
    auto list = Tokens::list(file);
    if (!list) return program.failed(list.error());
    for (const auto& principal : *list) std::printf("%-10s %s\n", principal.role.c_str(), principal.name.c_str());
    return 0;
  }
  if (act == "remove") {
    if (auto removed = Tokens::remove(file, name); !removed) return program.failed(removed.error());
    std::printf("removed: %s\n", name.c_str());
    return 0;
  }
  io::SystemRandom random;
  auto made = Tokens::add(file, name, role, random);
  if (!made) return program.failed(made.error());
  std::fprintf(stderr, "Keep it: it is shown once and only its hash is stored. Use it as `Authorization: Bearer <token>`.\n");
  std::printf("%s\n", made->c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  daemon::Program program({"tram-node", "node", "the node of one agency; sends, receives and keeps official documents", config_keys()});
  InitOptions init;
  CLI::App& init_command = program.add_init([&](const daemon::NewHome& home) {
    init.home = home;
    return init_home(init);
  });
  init_command.add_option("--name", init.name, "Name of the agency")->required();
  init_command.add_option("--code", init.organ_code, "Its identifier code (QĐ 20/2020), if it has one");
  program.add_accept([&](const std::string& approval, const std::optional<RealmId>& realm) {
    return accept_approval(program.home(), approval, program.unlock(), realm);
  });
  program.command("run", "Run the node until it is told to stop", true, [&] { return run(program); });
  program.add_renew_keys();
  program.add_backup([&](const std::string& to) { return backup(program, to); });
  program.add_restore("Put a backup in the place of a lost or damaged store", [&](const std::string& from) { return restore(program, from); });
  program.command("recover", "After exit 74, or on the copy that shall go on after a machine was cloned", true, [&] { return recover(program); });

  std::string act, name, role = "dms";
  CLI::App& token_command = program.command("token", "Bearer tokens of the local API: add, list, remove", false,
                                            [&] { return token(program, act, name, role); });
  token_command.add_option("act", act, "add, list or remove")->required()->check(CLI::IsMember({"add", "list", "remove"}));
  token_command.add_option("name", name, "Whom it is for");
  token_command.add_option("--role", role, "clerk, dms or operator")->capture_default_str();
  program.add_check();
  return program.run(argc, argv);
}

}  // namespace tram::node

int main(int argc, char** argv) { return tram::node::main(argc, argv); }
