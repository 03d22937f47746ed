// Staged uploads: tus 1.0 core with creation and termination. Full slots of 64 KiB lie sealed in one file, slot i at
// i * (65,536 + 16); the rest is the row's tail. What the row says is acknowledged; what lies beyond it in the file is
// not.
#include "base/limits.h"
#include "crypto/seal.h"
#include "node/api/internal.h"
#include "node/metadata_rules.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node::api {
namespace {

constexpr size_t slot_bytes = limits::upload_slot_bytes;
constexpr size_t sealed_slot_bytes = slot_bytes + limits::chunk_overhead_bytes;
constexpr size_t uploads_max = 1000;
constexpr const char* progress_header = "tram-upload-to";

uint64_t file_bytes(uint64_t length) { return length / slot_bytes * sealed_slot_bytes; }

/// "filename d29ybGQ=,filetype YXBw": tus' Upload-Metadata.
Result<std::map<std::string, std::string>> parse_upload_metadata(std::string_view text) {
  std::map<std::string, std::string> out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view pair = text.substr(0, comma);
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    const size_t space = pair.find(' ');
    const auto decoded =
        space == std::string_view::npos ? std::optional<Bytes>(Bytes{}) : from_base64(pair.substr(space + 1));
    if (pair.empty() || !decoded || !out.emplace(pair.substr(0, space), to_text(*decoded)).second)
      return fail(ErrorCode::bad_request, "Upload-Metadata");
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return out;
}

Result<void> check_version(const Request& request) {
  const std::string version = header(request, "tus-resumable");
  if (!version.empty() && version != "1.0.0") return fail(ErrorCode::unsupported_version, "Tus-Resumable: 1.0.0");
  return {};
}

Response tus_response(int status) {
  Response response;
  response.status = status;
  response.headers["Tus-Resumable"] = "1.0.0";
  response.headers["Cache-Control"] = "no-store";
  return response;
}

Result<Response> create(WriteContext& context, const Request& request) {
  TRAM_OK(check_version(request));
  if (!request.body.empty())
    return fail(ErrorCode::bad_request, "an upload is created without a body; its bytes follow with PATCH");
  const auto length = parse_number(header(request, "upload-length"));
  if (!length) return fail(ErrorCode::length_required, "Upload-Length");
  if (*length == 0) return fail(ErrorCode::unsupported_file, "files: an empty file");
  const auto policy = context.directory.policy(context.now);
  const uint64_t bytes_max = policy.document_bytes_max ? policy.document_bytes_max : limits::document_bytes_max;
  if (*length > bytes_max) return fail(ErrorCode::too_large, "Upload-Length: at most " + std::to_string(bytes_max));
  TRAM_TRY(metadata, parse_upload_metadata(header(request, "upload-metadata")));
  proto::UploadRecord record;
  record.name = metadata["filename"];
  if (!record.name.empty()) {
    TRAM_OK(check_file_name(record.name));
    TRAM_TRY(media_type, media_type_of(record.name));
    record.media_type = media_type;
  }
  TRAM_TRY(rows, context.txn.scan(table::upload, {}, {}, uploads_max));
  if (rows.size() == uploads_max) return fail(ErrorCode::quota, "uploads: too many are unfinished");
  record.id = context.random.id<FixedId<16, struct UploadTag>>().hex();
  record.length = *length;
  record.key.resize(32);
  context.random.fill(record.key);
  record.owner = request.principal.name;
  record.created = context.now;
  if (file_bytes(record.length)) TRAM_OK(context.bodies.create(upload_name(record.id), file_bytes(record.length)));
  TRAM_OK(save(context.txn, table::upload, view(record.id), record));
  Response response = tus_response(201);
  response.headers["Location"] = "/v1/uploads/" + record.id;
  response.headers["Upload-Offset"] = "0";
  return response;
}

Result<Response> progress(WriteContext& context, const Request& request, const std::string& id) {
  const auto from = parse_number(header(request, "upload-offset"));
  const auto to = parse_number(header(request, progress_header));
  if (!from || !to) return fail(ErrorCode::bad_request, "Upload-Offset");
  TRAM_TRY(record, find_upload(context.txn, id, request.principal));
  if (record.offset != *from)
    return fail(ErrorCode::offset_mismatch, "Upload-Offset is " + std::to_string(record.offset));
  if (*to < *from || *to > record.length || request.body.size() != *to % slot_bytes)
    return fail(ErrorCode::bad_request, "Upload-Offset");
  record.offset = *to;
  record.tail = request.body;
  TRAM_OK(save(context.txn, table::upload, view(id), record));
  Response response = tus_response(204);
  response.headers["Upload-Offset"] = std::to_string(record.offset);
  return response;
}

Result<void> drop(WriteTxn& txn, const std::string& id, Effects& effects) {
  TRAM_OK(txn.erase(table::upload, view(id)));
  effects.remove_bodies.push_back(upload_name(id));
  return {};
}

}  // namespace

Result<bool> upload_in_use(ReadTxn& txn, const std::string& id) {
  TRAM_TRY(rows, txn.scan(table::sealing, {}, {}, 1000));
  for (const Row& row : rows) {
    TRAM_TRY(record, find<proto::OutRecord>(txn, table::outgoing, row.key));
    if (!record) continue;
    for (const auto& file : record->staged)
      if (file.upload == id) return true;
  }
  return false;
}

Response upload_options() {
  Response response = tus_response(204);
  response.headers["Tus-Version"] = "1.0.0";
  response.headers["Tus-Extension"] = "creation,termination";
  response.headers["Tus-Max-Size"] = std::to_string(limits::document_bytes_max);
  return response;
}

std::optional<std::string> upload_id_of(std::string_view path) {
  constexpr std::string_view prefix = "/v1/uploads/";
  if (path.substr(0, prefix.size()) != prefix) return std::nullopt;
  const std::string_view id = path.substr(prefix.size());
  const bool hex = id.size() == 32 && std::all_of(id.begin(), id.end(), [](char c) {
                     return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                   });
  if (!hex) return std::nullopt;
  return std::string(id);
}

Result<proto::UploadRecord> find_upload(ReadTxn& txn, std::string_view id, const Principal& principal) {
  if (id.empty() || id.size() > 64) return fail(ErrorCode::not_found, "upload");
  TRAM_TRY(record, find<proto::UploadRecord>(txn, table::upload, view(id)));
  if (!record || record->owner != principal.name) return fail(ErrorCode::not_found, "upload");
  return std::move(*record);
}

Request upload_progress(std::string_view id, uint64_t from, uint64_t to, Bytes tail, Principal principal) {
  Request request;
  request.method = "PATCH";
  request.path = "/v1/uploads/" + std::string(id);
  request.headers["upload-offset"] = std::to_string(from);
  request.headers[progress_header] = std::to_string(to);
  request.body = std::move(tail);
  request.principal = std::move(principal);
  return request;
}

Result<Response> read_uploads(const ReadContext& context, const Request& request, const Parts& parts) {
  if (parts.size() != 1) return fail(ErrorCode::not_found, "path");
  TRAM_OK(check_version(request));
  TRAM_TRY(record, find_upload(context.txn, parts[0], request.principal));
  Response response = tus_response(200);
  response.headers["Upload-Offset"] = std::to_string(record.offset);
  response.headers["Upload-Length"] = std::to_string(record.length);
  if (request.method == "GET") {
    response.headers["Content-Type"] = "application/json";
    response.body =
        dump({{"id", record.id}, {"offset", record.offset}, {"length", record.length}, {"name", record.name}});
  }
  return response;
}

Result<Response> write_uploads(WriteContext& context, const Request& request, const Parts& parts) {
  if (parts.empty()) {
    if (request.method != "POST") return fail(ErrorCode::method_not_allowed, request.method);
    return create(context, request);
  }
  const auto id = upload_id_of(request.path);
  if (parts.size() != 1 || !id) return fail(ErrorCode::not_found, "upload");
  if (request.method == "PATCH") return progress(context, request, *id);
  if (request.method != "DELETE") return fail(ErrorCode::method_not_allowed, request.method);
  TRAM_OK(find_upload(context.txn, *id, request.principal));
  TRAM_TRY(in_use, upload_in_use(context.txn, *id));
  if (in_use) return fail(ErrorCode::wrong_state, "upload: its document is being sealed");
  TRAM_OK(drop(context.txn, *id, context.effects));
  return tus_response(204);
}

Result<std::string> stage_upload(WriteContext& context, BytesView content, std::string name, std::string media_type,
                                 const Principal& owner) {
  proto::UploadRecord record;
  record.id = context.random.id<FixedId<16, struct UploadTag>>().hex();
  record.length = record.offset = content.size();
  record.key.resize(32);
  context.random.fill(record.key);
  record.name = std::move(name);
  record.media_type = std::move(media_type);
  record.owner = owner.name;
  record.created = context.now;
  const std::string file = upload_name(record.id);
  const uint64_t slots = content.size() / slot_bytes;
  if (slots) {
    const crypto::Secret32 key(record.key);
    TRAM_OK(context.bodies.create(file, file_bytes(content.size())));
    Bytes sealed(sealed_slot_bytes);
    for (uint64_t slot = 0; slot < slots; ++slot) {
      crypto::seal_slot(key, slot, content.subspan(slot * slot_bytes, slot_bytes), sealed);
      TRAM_OK(context.bodies.write(file, slot * sealed_slot_bytes, sealed));
    }
    TRAM_OK(context.bodies.sync(file));
  }
  record.tail = to_bytes(content.subspan(slots * slot_bytes));
  TRAM_OK(save(context.txn, table::upload, view(record.id), record));
  return record.id;
}

Result<Bytes> upload_head(Bodies& bodies, const proto::UploadRecord& record, size_t bytes) {
  bytes = static_cast<size_t>(std::min<uint64_t>(bytes, record.offset));
  if (record.offset < slot_bytes)
    return Bytes(record.tail.begin(),
                 record.tail.begin() + static_cast<ptrdiff_t>(std::min(bytes, record.tail.size())));
  Bytes sealed(sealed_slot_bytes), plain(slot_bytes);
  TRAM_OK(bodies.read(upload_name(record.id), 0, sealed));
  TRAM_OK(crypto::open_slot(crypto::Secret32(record.key), 0, sealed, plain));
  plain.resize(bytes);
  return plain;
}

// ---- upkeep --------------------------------------------------------------------------------------------------------

namespace {
constexpr size_t upkeep_rows = 500;

/// Looks at the rows after `cursor`, which wraps to the beginning at the end.
template <class Record, class Visit>
Result<void> sweep(WriteTxn& txn, const Table& table, Bytes& cursor, Visit&& visit) {
  TRAM_TRY(rows, txn.scan(table, cursor, {}, upkeep_rows));
  for (const Row& row : rows) {
    Record record;
    TRAM_OK(proto::decode_record(row.value, record));
    TRAM_OK(visit(row, record));
  }
  cursor.clear();
  if (rows.size() == upkeep_rows) {
    cursor = rows.back().key;
    cursor.push_back(0);
  }
  return {};
}
}  // namespace

Result<void> upkeep(WriteTxn& txn, Time now, Effects& effects, UpkeepCursor& cursor) {
  TRAM_OK(sweep<proto::IdempotencyRecord>(txn, table::idempotency, cursor.idempotency,
                                          [&](const Row& row, const auto& record) -> Result<void> {
                                            if (record.created + limits::idempotency_kept < now)
                                              return txn.erase(table::idempotency, row.key);
                                            return {};
                                          }));
  return sweep<proto::UploadRecord>(txn, table::upload, cursor.upload,
                                    [&](const Row&, const auto& record) -> Result<void> {
                                      if (!(record.created + limits::upload_kept < now)) return {};
                                      TRAM_TRY(in_use, upload_in_use(txn, record.id));
                                      if (in_use) return {};
                                      return drop(txn, record.id, effects);
                                    });
}

Result<void> sweep_uploads(ReadTxn& txn, Bodies& bodies) {
  TRAM_TRY(names, bodies.list());
  const std::string prefix = upload_name("");
  const size_t length = upload_name(FixedId<16, struct UploadTag>{}.hex()).size();
  for (const auto& name : names) {
    if (name.size() != length || name.substr(0, prefix.size()) != prefix) continue;  // a document's id may begin like this
    TRAM_TRY(row, txn.get(table::upload, view(std::string_view(name).substr(prefix.size()))));
    if (!row) TRAM_OK(bodies.remove(name));
  }
  return {};
}

}  // namespace tram::node::api
