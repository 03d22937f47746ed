#include <set>

#include "base/limits.h"
#include "node/api/internal.h"
#include "proto/utf8.h"

namespace tram::node::api {
namespace {

constexpr size_t keys_per_object_max = 128;

struct Refusal {
  const char* why;
};

}  // namespace

Result<Json> parse_object(BytesView body) {
  if (body.size() > limits::json_body_bytes_max) return fail(ErrorCode::too_large, "body: at most 1 MiB");
  std::vector<std::set<std::string>> open;  // keys of the objects that are open
  size_t depth_now = 0;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    depth_now = static_cast<size_t>(depth);
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        if (depth_now >= limits::json_depth_max) throw Refusal{"nested too deep"};
        if (event == Json::parse_event_t::object_start) open.emplace_back();
        break;
      case Json::parse_event_t::key:
        if (!open.back().insert(parsed.get<std::string>()).second) throw Refusal{"a member twice in one object"};
        if (open.back().size() > keys_per_object_max) throw Refusal{"too many members in one object"};
        break;
      case Json::parse_event_t::object_end: open.pop_back(); break;
      default: break;
    }
    return true;
  };
  try {
    auto json = Json::parse(body.begin(), body.end(), watch);
    if (!json.is_object()) return fail(ErrorCode::bad_request, "body: not a JSON object");
    return json;
  } catch (const Refusal& refusal) {
    return fail(ErrorCode::bad_request, std::string("body: ") + refusal.why);
  } catch (const Json::parse_error& error) {
    return fail(ErrorCode::bad_request, "body: not JSON, at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    return fail(ErrorCode::bad_request, "body: not JSON");
  }
}

Bytes dump(const Json& json) { return to_bytes(json.dump(-1, ' ', false, Json::error_handler_t::replace)); }

Response json_response(int status, const Json& json) {
  Response response;
  response.status = status;
  response.headers["Content-Type"] = "application/json";
  response.body = dump(json);
  return response;
}

// ---- base64 (RFC 4648 section 4) -----------------------------------------------------------------------------------

namespace {
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string base64(BytesView raw) {
  std::string out;
  out.reserve((raw.size() + 2) / 3 * 4);
  for (size_t i = 0; i < raw.size(); i += 3) {
    const size_t n = std::min<size_t>(3, raw.size() - i);
    uint32_t v = uint32_t{raw[i]} << 16;
    if (n > 1) v |= uint32_t{raw[i + 1]} << 8;
    if (n > 2) v |= raw[i + 2];
    out += alphabet[v >> 18];
    out += alphabet[v >> 12 & 63];
    out += n > 1 ? alphabet[v >> 6 & 63] : '=';
    out += n > 2 ? alphabet[v & 63] : '=';
  }
  return out;
}

std::optional<Bytes> from_base64(std::string_view in) {
  static const auto values = [] {
    std::array<int8_t, 256> table{};
    table.fill(-1);
    for (size_t i = 0; i < alphabet.size(); ++i) table[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
    return table;
  }();
  if (in.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < in.size() && in[in.size() - 1 - padding] == '=') ++padding;
  Bytes out;
  out.reserve(in.size() / 4 * 3);
  for (size_t i = 0; i < in.size(); i += 4) {
    const size_t digits = i + 4 == in.size() ? 4 - padding : 4;
    uint32_t v = 0;
    for (size_t j = 0; j < 4; ++j) {
      const int8_t digit = j < digits ? values[static_cast<uint8_t>(in[i + j])] : int8_t{0};
      if (digit < 0) return std::nullopt;
      v = v << 6 | static_cast<uint32_t>(digit);
    }
    if ((digits == 2 && (v & 0xffff)) || (digits == 3 && (v & 0xff))) return std::nullopt;
    out.push_back(static_cast<uint8_t>(v >> 16));
    if (digits > 2) out.push_back(static_cast<uint8_t>(v >> 8));
    if (digits > 3) out.push_back(static_cast<uint8_t>(v));
  }
  return out;
}

// ---- request objects -----------------------------------------------------------------------------------------------

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object_.is_object()) error_ = Error{ErrorCode::bad_request, path_ + ": must be an object"};
}

const Json* Fields::member(const char* name) {
  known_.push_back(name);
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::refuse(const char* name, std::string_view why) {
  if (!error_) error_ = Error{ErrorCode::bad_request, at(name) + ": " + std::string(why)};
}

std::string Fields::text(const char* name) {
  const Json* value = member(name);
  if (!value) return {};
  if (!value->is_string()) {
    refuse(name, "must be a string");
    return {};
  }
  return value->get<std::string>();
}

std::optional<int64_t> Fields::integer(const char* name, int64_t min, int64_t max) {
  const Json* value = member(name);
  if (!value) return std::nullopt;
  if (!value->is_number_integer() || value->is_number_float()) {
    refuse(name, "must be a whole number");
    return std::nullopt;
  }
  const bool huge = value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = huge ? INT64_MAX : value->get<int64_t>();
  if (huge || number < min || number > max) {
    refuse(name, "must be from " + std::to_string(min) + " to " + std::to_string(max));
    return std::nullopt;
  }
  return number;
}

std::optional<bool> Fields::boolean(const char* name) {
  const Json* value = member(name);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) {
    refuse(name, "must be true or false");
    return std::nullopt;
  }
  return value->get<bool>();
}

proto::Date Fields::date(const char* name) {
  const std::string raw = text(name);
  if (raw.empty()) return {};
  const auto date = proto::parse_date(raw);
  if (!date) refuse(name, "must be a date, as yyyy-MM-dd");
  return date.value_or(proto::Date{});
}

std::vector<std::string> Fields::texts(const char* name, size_t count_max) {
  std::vector<std::string> out;
  const Json* list = array(name, count_max);
  if (!list) return out;
  for (const auto& one : *list) {
    if (!one.is_string()) {
      refuse(name, "must be a list of strings");
      return {};
    }
    out.push_back(one.get<std::string>());
  }
  return out;
}

const Json* Fields::object(const char* name) {
  const Json* value = member(name);
  if (value && !value->is_object()) {
    refuse(name, "must be an object");
    return nullptr;
  }
  return value;
}

const Json* Fields::array(const char* name, size_t count_max) {
  const Json* value = member(name);
  if (value && !value->is_array()) {
    refuse(name, "must be a list");
    return nullptr;
  }
  if (value && value->size() > count_max) {
    refuse(name, "at most " + std::to_string(count_max));
    return nullptr;
  }
  return value;
}

Result<void> Fields::finish() {
  if (!error_)
    for (const auto& [name, value] : object_.items())
      if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
        error_ =
            Error{ErrorCode::bad_request, (path_.empty() ? "" : path_ + ": ") + "unknown field " + name.substr(0, 40)};
        break;
      }
  if (error_) return fail(*error_);
  return {};
}

}  // namespace tram::node::api
