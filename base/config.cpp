#include "base/config.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace tram {
namespace {

struct Unit {
  std::string_view suffix;
  int64_t factor;
};
constexpr Unit duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
constexpr Unit size_units[] = {{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", int64_t{1} << 40}};

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> parse_with_unit(std::string_view text, std::span<const Unit> units) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  auto number = parse_integer(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const Unit& unit : units) {
    if (unit.suffix != text.substr(digits)) continue;
    int64_t product = 0;
    if (__builtin_mul_overflow(*number, unit.factor, &product)) return std::nullopt;
    return product;
  }
  return std::nullopt;
}

std::string format_with_unit(int64_t value, std::span<const Unit> units, std::string_view plain) {
  for (size_t i = units.size(); i-- > 0;)
    if (value != 0 && value % units[i].factor == 0)
      return std::to_string(value / units[i].factor) + std::string(units[i].suffix);
  return std::to_string(value) + std::string(plain);
}

std::string_view type_name(ConfigType type) {
  switch (type) {
    case ConfigType::string: return "a text";
    case ConfigType::integer: return "an integer";
    case ConfigType::boolean: return "true or false";
    case ConfigType::duration: return "a duration such as \"5s\", \"10m\", \"24h\"";
    case ConfigType::byte_size: return "a size such as \"64KiB\", \"1GiB\"";
    case ConfigType::string_list: return "a list of texts";
  }
  return "";
}

bool has_bounds(const ConfigKey& key) { return key.min != INT64_MIN || key.max != INT64_MAX; }

std::string format_bound(const ConfigKey& key, int64_t bound) {
  if (key.type == ConfigType::duration) return format_duration({bound});
  if (key.type == ConfigType::byte_size) return format_byte_size(static_cast<uint64_t>(bound));
  return std::to_string(bound);
}

std::string format_bounds(const ConfigKey& key) {
  if (key.min == INT64_MIN) return "at most " + format_bound(key, key.max);
  if (key.max == INT64_MAX) return "at least " + format_bound(key, key.min);
  return format_bound(key, key.min) + " to " + format_bound(key, key.max);
}

/// The value in the key's own form, or what is wrong with it.
Result<ConfigValue> convert(const ConfigKey& key, ConfigValue value) {
  auto wrong = [&](std::string why) { return fail(ErrorCode::bad_config, std::move(why)); };
  auto wrong_type = [&] { return wrong("must be " + std::string(type_name(key.type))); };
  int64_t measure = 0;
  std::string what;
  switch (key.type) {
    case ConfigType::string:
      if (!std::holds_alternative<std::string>(value)) return wrong_type();
      measure = static_cast<int64_t>(std::get<std::string>(value).size());
      what = "length ";
      break;
    case ConfigType::integer:
      if (!std::holds_alternative<int64_t>(value)) return wrong_type();
      measure = std::get<int64_t>(value);
      break;
    case ConfigType::boolean:
      if (!std::holds_alternative<bool>(value)) return wrong_type();
      return value;
    case ConfigType::duration: {
      // A bare number would leave its unit to guessing; only 0 needs none.
      std::optional<Duration> duration;
      if (auto* text = std::get_if<std::string>(&value)) duration = parse_duration(*text);
      if (auto* number = std::get_if<int64_t>(&value); number && *number == 0) duration = Duration{0};
      if (!duration) return wrong_type();
      value = measure = duration->ms;
      break;
    }
    case ConfigType::byte_size: {
      std::optional<uint64_t> size;
      if (auto* text = std::get_if<std::string>(&value)) size = parse_byte_size(*text);
      if (auto* number = std::get_if<int64_t>(&value); number && *number >= 0) size = static_cast<uint64_t>(*number);
      if (!size) return wrong_type();
      value = measure = static_cast<int64_t>(*size);
      break;
    }
    case ConfigType::string_list:
      if (!std::holds_alternative<std::vector<std::string>>(value)) return wrong_type();
      measure = static_cast<int64_t>(std::get<std::vector<std::string>>(value).size());
      what = "count ";
      break;
  }
  if (measure < key.min || measure > key.max) return wrong(what + "must be " + format_bounds(key));
  return value;
}

std::optional<ConfigValue> from_text(const ConfigKey& key, std::string_view text) {
  switch (key.type) {
    case ConfigType::integer:
      if (auto number = parse_integer(text)) return ConfigValue(*number);
      return std::nullopt;
    case ConfigType::boolean:
      if (text == "true" || text == "false") return ConfigValue(text == "true");
      return std::nullopt;
    case ConfigType::string_list: {
      std::vector<std::string> items;
      while (!text.empty()) {
        size_t comma = text.find(',');
        items.emplace_back(text.substr(0, comma));
        text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
      }
      return ConfigValue(std::move(items));
    }
    case ConfigType::duration:
    case ConfigType::byte_size:
      if (auto number = parse_integer(text)) return ConfigValue(*number);
      [[fallthrough]];
    case ConfigType::string:
      break;
  }
  return ConfigValue(std::string(text));
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00" + to_hex(BytesView(&byte, 1));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string format_value(const ConfigKey& key, const ConfigValue& value) {
  switch (key.type) {
    case ConfigType::string: return quoted(std::get<std::string>(value));
    case ConfigType::integer: return std::to_string(std::get<int64_t>(value));
    case ConfigType::boolean: return std::get<bool>(value) ? "true" : "false";
    case ConfigType::duration: return quoted(format_duration({std::get<int64_t>(value)}));
    case ConfigType::byte_size: return quoted(format_byte_size(static_cast<uint64_t>(std::get<int64_t>(value))));
    case ConfigType::string_list: {
      std::string out = "[";
      for (const std::string& item : std::get<std::vector<std::string>>(value))
        out += (out.size() > 1 ? ", " : "") + quoted(item);
      return out + "]";
    }
  }
  return "";
}

std::string_view table_of(std::string_view name) {
  size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? "" : name.substr(0, dot);
}

std::string_view leaf_of(std::string_view name) {
  size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

/// Keys in the order of the table, those outside any TOML table first and each TOML table in one piece.
std::vector<const ConfigKey*> grouped(std::span<const ConfigKey> keys) {
  std::vector<std::string_view> tables{""};
  for (const ConfigKey& key : keys)
    if (std::find(tables.begin(), tables.end(), table_of(key.name)) == tables.end())
      tables.push_back(table_of(key.name));
  std::vector<const ConfigKey*> order;
  for (std::string_view table : tables)
    for (const ConfigKey& key : keys)
      if (table_of(key.name) == table) order.push_back(&key);
  return order;
}

std::string placeholder(ConfigType type) {
  switch (type) {
    case ConfigType::string: return "\"\"";
    case ConfigType::integer: return "0";
    case ConfigType::boolean: return "false";
    case ConfigType::duration: return "\"1s\"";
    case ConfigType::byte_size: return "\"1MiB\"";
    case ConfigType::string_list: return "[]";
  }
  return "";
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  auto ms = parse_with_unit(text, duration_units);
  return ms ? std::optional(Duration{*ms}) : std::nullopt;
}

std::string format_duration(Duration duration) {
  // Whole days read better than hours, but 24h stays 1d: one spelling a value.
  return format_with_unit(duration.ms, duration_units, "ms");
}

std::optional<uint64_t> parse_byte_size(std::string_view text) {
  auto size = parse_with_unit(text, size_units);
  if (!size) size = parse_integer(text);
  return size && *size >= 0 ? std::optional(static_cast<uint64_t>(*size)) : std::nullopt;
}

std::string format_byte_size(uint64_t bytes) { return format_with_unit(static_cast<int64_t>(bytes), size_units, ""); }

Config::Config(std::span<const ConfigKey> keys) : keys_(keys) {
  for (const ConfigKey& k : keys_) {
    TRAM_CHECK(!values_.contains(k.name) && !given_.contains(k.name));
    given_[k.name] = false;
    if (k.required) continue;
    auto value = from_text(k, k.default_text);
    TRAM_CHECK(value);
    auto converted = convert(k, std::move(*value));
    TRAM_CHECK(converted);
    values_.emplace(k.name, std::move(*converted));
  }
}

Result<void> Config::set(std::string_view name, ConfigValue value, std::string_view where) {
  auto found = std::find_if(keys_.begin(), keys_.end(), [&](const ConfigKey& k) { return k.name == name; });
  if (found == keys_.end()) {
    std::string detail = std::string(where) + ": unknown key " + std::string(name);
    const ConfigKey* nearest = nullptr;
    size_t best = 1 + std::max<size_t>(2, name.size() / 3);
    for (const ConfigKey& k : keys_)
      if (size_t distance = edit_distance(name, k.name); distance < best) {
        best = distance;
        nearest = &k;
      }
    if (nearest) detail += "; did you mean " + std::string(nearest->name) + "?";
    return fail(ErrorCode::bad_config, std::move(detail));
  }
  auto converted = convert(*found, std::move(value));
  if (!converted)
    return fail(ErrorCode::bad_config, std::string(where) + ": " + std::string(name) + " " + converted.error().detail);
  values_.insert_or_assign(found->name, std::move(*converted));
  given_[found->name] = true;
  return {};
}

Result<void> Config::set_text(std::string_view name, std::string_view text, std::string_view where) {
  auto found = std::find_if(keys_.begin(), keys_.end(), [&](const ConfigKey& k) { return k.name == name; });
  if (found == keys_.end()) return set(name, std::string(text), where);
  auto value = from_text(*found, text);
  return set(name, value ? std::move(*value) : ConfigValue(std::string(text)), where);
}

Result<void> Config::complete(std::string_view where) const {
  std::string missing;
  for (const ConfigKey& k : keys_)
    if (!values_.contains(k.name)) missing += (missing.empty() ? "" : ", ") + std::string(k.name);
  if (!missing.empty()) return fail(ErrorCode::bad_config, std::string(where) + ": missing " + missing);
  return {};
}

const ConfigKey& Config::key(std::string_view name, ConfigType type) const {
  auto found = std::find_if(keys_.begin(), keys_.end(), [&](const ConfigKey& k) { return k.name == name; });
  TRAM_CHECK(found != keys_.end());
  TRAM_CHECK(found->type == type);
  return *found;
}

const ConfigValue& Config::value(std::string_view name) const {
  auto it = values_.find(name);
  TRAM_CHECK(it != values_.end());
  return it->second;
}

const std::string& Config::string(std::string_view name) const {
  return std::get<std::string>(value(key(name, ConfigType::string).name));
}
int64_t Config::integer(std::string_view name) const {
  return std::get<int64_t>(value(key(name, ConfigType::integer).name));
}
bool Config::boolean(std::string_view name) const {
  return std::get<bool>(value(key(name, ConfigType::boolean).name));
}
Duration Config::duration(std::string_view name) const {
  return {std::get<int64_t>(value(key(name, ConfigType::duration).name))};
}
uint64_t Config::byte_size(std::string_view name) const {
  return static_cast<uint64_t>(std::get<int64_t>(value(key(name, ConfigType::byte_size).name)));
}
const std::vector<std::string>& Config::string_list(std::string_view name) const {
  return std::get<std::vector<std::string>>(value(key(name, ConfigType::string_list).name));
}
bool Config::is_set(std::string_view name) const {
  auto it = given_.find(name);
  TRAM_CHECK(it != given_.end());
  return it->second;
}

std::string print_config(const Config& config) {
  std::string out;
  std::string_view table;
  for (const ConfigKey* key : grouped(config.keys())) {
    if (table_of(key->name) != table) {
      table = table_of(key->name);
      out += "\n[" + std::string(table) + "]\n";
    }
    out += "# " + std::string(key->help);
    if (!key->unit.empty()) out += " Unit: " + std::string(key->unit) + ".";
    if (has_bounds(*key)) out += " Allowed: " + format_bounds(*key) + ".";
    out += "\n";
    bool missing = key->required && !config.is_set(key->name);
    if (missing) out += "# Required.\n# ";
    out += std::string(leaf_of(key->name)) + " = " +
           (missing ? placeholder(key->type) : format_value(*key, config.value(key->name))) + "\n";
  }
  return out;
}

std::string config_markdown(std::span<const ConfigKey> keys) {
  std::string out = "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n";
  Config defaults(keys);
  for (const ConfigKey* key : grouped(keys)) {
    auto cell = [&](std::string_view text) {
      for (char c : text) {
        if (c == '|') out += '\\';
        out += c;
      }
      out += " | ";
    };
    out += "| ";
    cell("`" + std::string(key->name) + "`");
    std::string_view type = type_name(key->type);
    cell(type.starts_with("a") ? type.substr(type.find(' ') + 1) : type);
    cell(key->required ? "required" : "`" + format_value(*key, defaults.value(key->name)) + "`");
    cell(has_bounds(*key) ? format_bounds(*key) : "");
    cell(std::string(key->help) + (key->unit.empty() ? "" : " Unit: " + std::string(key->unit) + "."));
    out.pop_back();
    out += "\n";
  }
  return out;
}

}  // namespace tram
