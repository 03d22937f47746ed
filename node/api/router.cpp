#include "base/limits.h"
#include "crypto/hash.h"
#include "node/api/internal.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node::api {
namespace {

/// "/v1/documents/ab/receipts" -> {"documents", "ab", "receipts"}; nothing outside /v1.
std::optional<Parts> split(std::string_view path) {
  if (path.substr(0, 4) != "/v1/" || path.size() > 512) return std::nullopt;
  path.remove_prefix(4);
  Parts parts;
  for (;;) {
    const size_t slash = path.find('/');
    parts.emplace_back(path.substr(0, slash));
    if (parts.back().empty()) return std::nullopt;
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

bool is_operator(const Principal& principal) { return principal.role == "operator"; }
bool handles_documents(const Principal& principal) {
  return principal.role == "local" || principal.role == "clerk" || principal.role == "dms";
}

Result<Response> route_read(const ReadContext& context, const Request& request) {
  auto parts = split(request.path);
  if (!parts) return fail(ErrorCode::not_found, "path");
  const std::string resource = parts->front();
  parts->erase(parts->begin());
  const bool open_to_operators =
      resource == "health" || resource == "self" || resource == "directory" || resource == "groups";
  if (!handles_documents(request.principal) && !(is_operator(request.principal) && open_to_operators))
    return fail(ErrorCode::forbidden, "role " + request.principal.role);
  if (resource == "documents") return read_documents(context, request, *parts);
  if (resource == "inbox") return read_inbox(context, request, *parts);
  if (resource == "directory") return read_directory(context, request, *parts);
  if (resource == "groups") return read_groups(context, request, *parts);
  if (resource == "uploads") return read_uploads(context, request, *parts);
  if (resource == "health" && parts->empty()) return read_health(context, request);
  if (resource == "quarantine" && parts->empty()) return read_quarantine(context, request);
  if (resource == "self" && parts->empty()) return read_self(context, request);
  return fail(ErrorCode::not_found, "path");
}

Result<Response> route_write(Writing& context, const Request& request) {
  auto parts = split(request.path);
  if (!parts) return fail(ErrorCode::not_found, "path");
  const std::string resource = parts->front();
  parts->erase(parts->begin());
  if (!handles_documents(request.principal)) return fail(ErrorCode::forbidden, "role " + request.principal.role);
  if (resource == "documents") return write_documents(context, request, *parts);
  if (resource == "inbox") return write_inbox(context, request, *parts);
  if (resource == "uploads") return write_uploads(context, request, *parts);
  if (resource == "directory" || resource == "groups" || resource == "health" || resource == "self" ||
      resource == "quarantine")
    return fail(ErrorCode::method_not_allowed, "only GET");
  return fail(ErrorCode::not_found, "path");
}

// ---- Idempotency-Key
// -------------------------------------------------------------------------------------------------

constexpr size_t idempotency_key_chars_max = 128;
constexpr size_t kept_body_bytes_max = 60u << 10;

Hash request_hash(const Request& request) {
  Bytes canonical;
  Writer writer(canonical);
  const auto add = [&](std::string_view part) { writer.u32(static_cast<uint32_t>(part.size())).raw(part); };
  add(request.method);
  add(request.path);
  for (const auto& [name, value] : request.query) {
    add(name);
    add(value);
  }
  add(header(request, "upload-length"));
  add(header(request, "upload-metadata"));
  return crypto::hash("tram/api-request", {canonical, request.body});
}

Result<std::string> idempotency_key(const Request& request) {
  const std::string key = header(request, "idempotency-key");
  if (key.empty())
    return fail(ErrorCode::bad_request,
                "Idempotency-Key: is required on every write; any text that is new for a new request");
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (key.size() > idempotency_key_chars_max || !printable)
    return fail(ErrorCode::bad_request, "Idempotency-Key: at most 128 printable ASCII characters");
  return key;
}

Result<Response> write_once(Writing& context, const Request& request) {
  if (request.method != "POST") return route_write(context, request);  // PATCH and DELETE are idempotent by themselves
  TRAM_TRY(key, idempotency_key(request));
  Bytes row = to_bytes(std::string_view(request.principal.name));
  row.push_back(0);
  for (const char c : key) row.push_back(static_cast<uint8_t>(c));
  const Hash hash = request_hash(request);
  TRAM_TRY(kept, find<proto::IdempotencyRecord>(context.txn, table::idempotency, row));
  if (kept) {
    if (kept->request != hash) return fail(ErrorCode::conflict, "Idempotency-Key");
    Response response;
    response.status = kept->http_status;
    response.headers["Content-Type"] = kept->content_type;
    response.headers["Idempotency-Replayed"] = "true";
    if (!kept->location.empty()) response.headers["Location"] = kept->location;
    response.body = std::move(kept->body);
    return response;
  }
  TRAM_TRY(response, route_write(context, request));
  proto::IdempotencyRecord record;
  record.request = hash;
  record.http_status = static_cast<uint16_t>(response.status);
  record.content_type = response.headers["Content-Type"];
  if (response.body.size() <= kept_body_bytes_max) record.body = response.body;
  record.location = response.headers.count("Location") ? response.headers["Location"] : std::string();
  record.created = context.now;
  TRAM_OK(save(context.txn, table::idempotency, row, record));
  return response;
}

/// Vietnamese unless the request prefers English.
bool wants_english(const Request& request) { return header(request, "accept-language").substr(0, 2) == "en"; }

}  // namespace

Response problem(const Error& error, const Request& request) {
  const auto& info = error_info(error.code);
  Json json;
  json["type"] = "urn:tram:error:" + std::string(info.name);
  json["title"] = wants_english(request) ? info.en : info.vi;
  json["status"] = info.http_status;
  json["code"] = info.name;
  if (!error.detail.empty()) json["detail"] = error.detail;
  json["vi"] = info.vi;
  json["en"] = info.en;
  static constexpr const char* retries[] = {"never", "later", "elsewhere", "fatal"};
  json["retry"] = retries[static_cast<size_t>(info.retry)];
  Response response = json_response(info.http_status, json);
  response.headers["Content-Type"] = problem_type;
  if (info.retry == Retry::later) response.headers["Retry-After"] = "5";
  if (error.code == ErrorCode::unauthorized) response.headers["WWW-Authenticate"] = "Bearer";
  if (error.code == ErrorCode::unsupported_version && request.path.substr(0, 11) == "/v1/uploads")
    response.headers["Tus-Version"] = "1.0.0";
  return response;
}

Response handle_read(const ReadContext& context, const Request& request) {
  if (request.method != "GET" && request.method != "HEAD")
    return problem({ErrorCode::method_not_allowed, request.method}, request);
  auto response = route_read(context, request);
  if (!response) return problem(response.error(), request);
  if (context.directory.practice()) response->headers["Tram-Practice"] = "true";
  return std::move(*response);
}

Response handle_write(WriteContext& context, const Request& request) {
  if (request.method != "POST" && request.method != "PATCH" && request.method != "DELETE")
    return problem({ErrorCode::method_not_allowed, request.method}, request);
  WatchedTxn txn(context.txn);
  Writing watched{{txn, context.node, context.directory, context.now, context.bodies, context.effects, context.random},
                  txn};
  auto response = write_once(watched, request);
  if (!response) {
    Response answer = problem(response.error(), request);
    const ErrorCode code = response.error().code;
    answer.abort = txn.writes() > 0 || code == ErrorCode::store_corrupt || code == ErrorCode::map_full ||
                   code == ErrorCode::io_failed;
    return answer;
  }
  if (context.directory.practice()) response->headers["Tram-Practice"] = "true";
  return std::move(*response);
}

// ---- what the resources share --------------------------------------------------------------------------------------

std::optional<uint64_t> parse_number(std::string_view text) {
  if (text.empty() || text.size() > 19) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

std::string query(const Request& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string() : found->second;
}

std::string header(const Request& request, const char* lower_case_name) {
  const auto found = request.headers.find(lower_case_name);
  return found == request.headers.end() ? std::string() : found->second;
}

Result<void> check_query(const Request& request, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : request.query)
    if (std::find(known.begin(), known.end(), name) == known.end())
      return fail(ErrorCode::bad_request, "query: unknown parameter " + name.substr(0, 40));
  return {};
}

Result<size_t> page_limit(const Request& request) {
  const std::string text = query(request, "limit");
  if (text.empty()) return size_t{50};
  const auto number = parse_number(text);
  if (!number || *number == 0 || *number > limits::page_items_max)
    return fail(ErrorCode::bad_request, "limit: from 1 to " + std::to_string(limits::page_items_max));
  return static_cast<size_t>(*number);
}

Result<PartyId> find_party(ReadTxn& txn, const directory::Directory& directory, std::string_view code_or_id, Time now) {
  TRAM_TRY(by_code, directory.find_code(txn, code_or_id, now));
  if (by_code) return *by_code;
  if (const auto id = PartyId::parse(code_or_id)) {
    TRAM_TRY(state, directory.agency(txn, *id, now));
    if (state) return *id;
  }
  return fail(ErrorCode::unknown_agency, std::string(code_or_id.substr(0, 64)));
}

Result<DocUuid> find_document(ReadTxn& txn, std::string_view id) {
  if (const auto uuid = DocUuid::parse(id)) return *uuid;
  if (const auto doc = DocId::parse(id)) {
    TRAM_TRY(row, txn.get(table::outgoing_by_doc, *doc));
    if (row)
      if (const auto uuid = DocUuid::from(*row)) return *uuid;
  }
  return fail(ErrorCode::not_found, "document");
}

}  // namespace tram::node::api
