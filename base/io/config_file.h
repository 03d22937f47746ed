// Reads a TOML configuration file against a table of keys (base/config.h).
// Invariants: every error names file:line and the key; a file with any error gives no configuration.
// Thread: any, at start.
#pragma once
#include "base/config.h"

namespace tram::io {

/// Errors: bad_config, all of them at once, one a line (at most 20); not_found.
Result<Config> read_config(const std::string& path, std::span<const ConfigKey> keys);
/// The same from text; `name` stands for the file in messages.
Result<Config> parse_config(std::string_view toml, const std::string& name, std::span<const ConfigKey> keys);

}  // namespace tram::io
