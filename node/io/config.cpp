#include "node/io/config.h"

#include "base/limits.h"

namespace tram::node {

std::span<const ConfigKey> config_keys() {
  static constexpr ConfigKey keys[] = {
      {"store.map_bytes", ConfigType::byte_size, "64GiB", 64 << 20, int64_t{1} << 44, "bytes",
       "Largest size of the store; a sparse file, at least 5 times the live data."},
      {"api.listen", ConfigType::string_list, "unix:api.sock", 1, 8, "addresses",
       "Where the local API listens: unix:<path> (relative to the node's home), 127.0.0.1:<port>, or another address with TLS."},
      {"api.host_names", ConfigType::string_list, "", 0, 16, "names", "Host names accepted besides the addresses themselves."},
      {"api.certificate_file", ConfigType::string, "", 0, 4096, "path", "PEM certificate; needed for an address off loopback."},
      {"api.key_file", ConfigType::string, "", 0, 4096, "path", "PEM private key, mode 0600."},
      {"api.client_ca_file", ConfigType::string, "", 0, 4096, "path", "Clients off loopback must present a certificate from this CA."},
      {"api.connections_max", ConfigType::integer, "512", 8, 4096, "connections", "Connections at one time."},
      {"workers", ConfigType::integer, "2", 1, 64, "threads", "Threads for sealing, opening and signature checks."},
      {"scrub.every", ConfigType::duration, "3d", 1000, 604800000, "",
       "How often everything stored is read once and compared with its codes."},
      {"log.level", ConfigType::string, "info", 4, 7, "", "debug, info, warning or error."},
      {"log.file", ConfigType::string, "", 0, 4096, "path", "Log file; empty: standard error."},
      {"unlock.credential", ConfigType::string, "tram-node-key", 1, 128, "name",
       "systemd credential that unlocks the key file when the node starts unattended."},
  };
  return keys;
}

}  // namespace tram::node
