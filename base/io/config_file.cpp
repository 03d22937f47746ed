#include "base/io/config_file.h"

#include <toml++/toml.h>

#include "base/io/secret_input.h"

namespace tram::io {
namespace {

constexpr size_t file_bytes_max = 1u << 20;
constexpr size_t errors_reported_max = 20;

struct Reading {
  Config& config;
  const std::string& name;
  std::vector<std::string> errors;

  std::string where(const toml::node& node) const {
    return name + ":" + std::to_string(node.source().begin.line);
  }
  void add(Result<void> result) {
    if (!result) errors.push_back(result.error().detail);
  }

  void table(const toml::table& values, const std::string& prefix) {
    for (const auto& [key, node] : values) {
      std::string dotted = prefix + std::string(key.str());
      if (const auto* nested = node.as_table()) table(*nested, dotted + ".");
      else value(node, dotted);
    }
  }

  void value(const toml::node& node, const std::string& dotted) {
    if (const auto* text = node.as_string()) return add(config.set(dotted, text->get(), where(node)));
    if (const auto* number = node.as_integer()) return add(config.set(dotted, number->get(), where(node)));
    if (const auto* flag = node.as_boolean()) return add(config.set(dotted, flag->get(), where(node)));
    if (const auto* array = node.as_array()) {
      std::vector<std::string> items;
      for (const toml::node& item : *array) {
        if (const auto* text = item.as_string()) {
          items.push_back(text->get());
        } else {
          errors.push_back(where(item) + ": " + dotted + " must hold texts only");
          return;
        }
      }
      return add(config.set(dotted, std::move(items), where(node)));
    }
    errors.push_back(where(node) + ": " + dotted + " has a type that no key takes (number with fraction, date)");
  }
};

}  // namespace

Result<Config> parse_config(std::string_view toml_text, const std::string& name, std::span<const ConfigKey> keys) {
  Config config(keys);
  toml::table root;
  try {
    root = toml::parse(toml_text, name);
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::bad_config,
                name + ":" + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
  }
  Reading reading{config, name, {}};
  reading.table(root, "");
  reading.add(config.complete(name));
  if (reading.errors.empty()) return config;
  std::string detail;
  size_t shown = std::min(reading.errors.size(), errors_reported_max);
  for (size_t i = 0; i < shown; ++i) detail += (i ? "\n" : "") + reading.errors[i];
  if (shown < reading.errors.size()) detail += "\nand " + std::to_string(reading.errors.size() - shown) + " more";
  return fail(ErrorCode::bad_config, std::move(detail));
}

Result<Config> read_config(const std::string& path, std::span<const ConfigKey> keys) {
  TRAM_TRY(bytes, read_file(path, file_bytes_max));
  return parse_config(text(bytes), path, keys);
}

}  // namespace tram::io
