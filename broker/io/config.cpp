#include "broker/io/config.h"

#include "base/limits.h"

namespace tram::broker {

std::span<const ConfigKey> config_keys() {
  static constexpr ConfigKey keys[] = {
      {"listen.control", ConfigType::string, "tcp://0.0.0.0:7710", 8, 256, "address",
       "Where envelopes, announcements and the directory are served: tcp://address:port."},
      {"listen.bulk", ConfigType::string, "tcp://0.0.0.0:7711", 8, 256, "address",
       "Where chunks of large bodies are served."},
      {"store.map_bytes", ConfigType::byte_size, "64GiB", 64 << 20, int64_t{1} << 44, "bytes",
       "Largest size of the store; a sparse file, at least 5 times the live data."},
      {"store.preallocate_bytes", ConfigType::byte_size, "0", 0, int64_t{1} << 44, "bytes",
       "Real blocks reserved for the store's file, so that a full disk cannot stop it."},
      {"bodies.free_floor_bytes", ConfigType::byte_size, "2GiB", 0, int64_t{1} << 44, "bytes",
       "Uploads are refused when they would leave less than this free on the disk."},
      {"workers", ConfigType::integer, "2", 1, 64, "threads", "Threads for signature checks, hashes and body files."},
      {"quota.pinned_bytes", ConfigType::byte_size, "64GiB", 1 << 20, int64_t{1} << 44, "bytes",
       "Bodies that a sender's undelivered envelopes may hold."},
      {"quota.unpinned_bytes", ConfigType::byte_size, "8GiB", 1 << 20, int64_t{1} << 44, "bytes",
       "Bodies that a sender may have uploaded without an envelope."},
      {"quota.unacked_envelopes", ConfigType::integer, "200000", 1, 100000000, "envelopes",
       "Envelopes of a sender that nobody answered."},
      {"quota.puts_per_second", ConfigType::integer, "20000", 1, 1000000, "envelopes",
       "Envelopes a second of a sender."},
      {"peers.sync", ConfigType::duration, "30s", 1000, 3600000, "",
       "How often other brokers are asked for directory entries."},
      {"scrub.every", ConfigType::duration, "3d", 1000, 604800000, "",
       "How often everything stored is read once and compared with its codes."},
      {"log.level", ConfigType::string, "info", 4, 7, "", "debug, info, warning or error."},
      {"log.file", ConfigType::string, "", 0, 4096, "path", "Log file; empty: standard error."},
      {"unlock.credential", ConfigType::string, "tram-broker-key", 1, 128, "name",
       "systemd credential that unlocks the key file when the broker starts unattended."},
  };
  return keys;
}

}  // namespace tram::broker
