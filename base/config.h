// The configuration table of a daemon: key, type, default, bounds, unit, help. The parser, --print-config, the
// documentation and the simulator's random draw come from it (house: one table).
// Invariants: a Config holds a valid value for every key of its table; getters of unknown keys or of another type are
// programmer's errors.
// Not here: files and TOML (base/io/config_file.h).
// Thread: any; values only.
#pragma once
#include <map>
#include <variant>

#include "base/result.h"
#include "base/bytes.h"
#include "base/time.h"

namespace tram {

enum class ConfigType : uint8_t {
  string,
  integer,
  boolean,
  duration,     // "250ms", "5s", "10m", "24h", "10d"
  byte_size,    // 4096, "64KiB", "512MiB", "64GiB", "1TiB"
  string_list,
};

struct ConfigKey {
  std::string_view name;           // dotted: "store.map_bytes" is key map_bytes of table [store]
  ConfigType type = ConfigType::string;
  std::string_view default_text;   // as written in TOML without quotes; lists are comma-separated
  int64_t min = INT64_MIN;         // integer: the value; duration: ms; byte_size: bytes; string: length; list: count
  int64_t max = INT64_MAX;
  std::string_view unit;           // for people
  std::string_view help;           // one sentence
  bool required = false;           // no default: must be given
};

using ConfigValue = std::variant<std::string, int64_t, bool, std::vector<std::string>>;

class Config {
 public:
  /// All defaults; required keys are unset until set. The table must outlive it. A bad default is a programmer's error.
  explicit Config(std::span<const ConfigKey> keys);

  /// Sets a key from a parsed value (durations and sizes as text or integer). Error: bad_config, whose detail begins
  /// with `where` ("file:line") and names the key; unknown keys are answered with the nearest known one.
  Result<void> set(std::string_view name, ConfigValue value, std::string_view where);
  /// The same from text, as a command line gives it: "store.map_bytes=64GiB" split by the caller.
  Result<void> set_text(std::string_view name, std::string_view text, std::string_view where);
  /// Error: bad_config naming the required keys that are unset.
  Result<void> complete(std::string_view where) const;

  const std::string& string(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  bool boolean(std::string_view name) const;
  Duration duration(std::string_view name) const;
  uint64_t byte_size(std::string_view name) const;
  const std::vector<std::string>& string_list(std::string_view name) const;
  /// Whether it was given, rather than left at its default.
  bool is_set(std::string_view name) const;
  std::span<const ConfigKey> keys() const { return keys_; }
  const ConfigValue& value(std::string_view name) const;

 private:
  const ConfigKey& key(std::string_view name, ConfigType type) const;
  std::span<const ConfigKey> keys_;
  std::map<std::string_view, ConfigValue> values_;
  std::map<std::string_view, bool> given_;
};

/// TOML text of every key with its value, help, unit and bounds as comments; reading it back gives the same values.
std::string print_config(const Config& config);
/// A Markdown table of the keys, for the documentation.
std::string config_markdown(std::span<const ConfigKey> keys);

std::optional<Duration> parse_duration(std::string_view text);
std::string format_duration(Duration duration);
std::optional<uint64_t> parse_byte_size(std::string_view text);
std::string format_byte_size(uint64_t bytes);

}  // namespace tram
