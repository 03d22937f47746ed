// Configuration files of both daemons, and the texts inside them.
#include "base/io/config_file.h"
#include "broker/io/config.h"
#include "node/io/config.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

namespace {

void check_table(BytesView in, std::span<const ConfigKey> keys) {
  auto config = io::parse_config(text(in), "in.toml", keys);
  if (!config) {
    require(config.error().code == ErrorCode::bad_config, "a refusal has its error");
    require(config.error().detail.find("in.toml") != std::string::npos, "a refusal names the file");
    return;
  }
  require(config->complete("in.toml").has_value(), "a configuration is complete");
  const std::string printed = print_config(*config);
  auto again = io::parse_config(printed, "printed.toml", keys);
  require(again.has_value(), "what is printed can be read");
  for (const ConfigKey& key : keys) {
    require(config->value(key.name) == again->value(key.name), "what is printed has the same values");
    if (const auto* number = std::get_if<int64_t>(&config->value(key.name)))
      require(*number >= key.min && *number <= key.max, "values are within their bounds");
  }
  require(print_config(*again) == printed, "one configuration is printed in one way");
}

void check_settings(BytesView in, std::span<const ConfigKey> keys) {
  const std::string_view words = text(in);
  for (const ConfigKey& key : keys) {
    Config config(keys);
    const ConfigValue before = config.value(key.name);
    if (config.set_text(key.name, words, "argument")) continue;
    require(config.value(key.name) == before, "what is refused changes nothing");
  }
}

}  // namespace

void one_input(BytesView in) {
  const std::string_view words = text(in);
  if (auto duration = parse_duration(words))
    require(parse_duration(format_duration(*duration)) == duration, "durations read back");
  if (auto bytes = parse_byte_size(words))
    require(parse_byte_size(format_byte_size(*bytes)) == bytes, "sizes read back");
  check_table(in, node::config_keys());
  check_table(in, broker::config_keys());
  if (in.size() < 64) {
    check_settings(in, node::config_keys());
    check_settings(in, broker::config_keys());
  }
}

}  // namespace tram::fuzz
