// What the files of api/ share: JSON in and out, strict reading of request objects, rendering of parties, states and
// times. Included by api/*.cpp only (it brings json.hpp). Thread: any.
#pragma once
#include <nlohmann/json.hpp>

#include "directory/directory.h"
#include "node/api/api.h"
#include "proto/document.h"

namespace tram::node::api {

using Json = nlohmann::ordered_json;

inline constexpr size_t rows_per_listing_max = 2000;  // looked at for one page, however few match

// ---- json.cpp ------------------------------------------------------------------------------------------------------

/// One JSON object of at most limits::json_body_bytes_max, depth <= 64, no duplicate keys, <= 128 keys an object.
/// Errors: bad_request, too_large.
Result<Json> parse_object(BytesView body);
/// Never throws: invalid UTF-8 is replaced.
Bytes dump(const Json&);
Response json_response(int status, const Json&);

std::string base64(BytesView);
/// Strict: padding, no white space. Nothing when malformed.
std::optional<Bytes> from_base64(std::string_view);

/// Reads the members of one request object, remembers the first error, and in the end refuses members it was not asked
/// for, so that a misspelt field is never ignored.
class Fields {
 public:
  Fields(const Json& object, std::string path);
  std::string text(const char* name);
  std::optional<int64_t> integer(const char* name, int64_t min, int64_t max);
  std::optional<bool> boolean(const char* name);
  proto::Date date(const char* name);
  std::vector<std::string> texts(const char* name, size_t count_max);
  const Json* object(const char* name);
  const Json* array(const char* name, size_t count_max);
  bool has(const char* name) const { return object_.contains(name); }
  void refuse(const char* name, std::string_view why);
  Result<void> finish();
  std::string at(const char* name) const { return path_.empty() ? name : path_ + "." + name; }

 private:
  const Json* member(const char* name);
  const Json& object_;
  std::string path_;
  std::vector<std::string_view> known_;
  std::optional<Error> error_;
};

// ---- render.cpp ----------------------------------------------------------------------------------------------------

struct Words {
  std::string_view name, vi, en;
};
Words words(proto::OutState);
Words words(proto::ItemState);
Words words(proto::InState);
/// "01".. with its words; null for 0.
Json status_json(uint16_t code);
Json state_json(Words);
Json error_json(uint16_t wire_number);  // null for 0
Json time_json(Time);                   // null for none
/// "03" -> 3; also "3".
std::optional<uint16_t> parse_status(std::string_view);
std::string status_text(uint16_t code);

Json metadata_json(const proto::Metadata&);
Result<proto::Metadata> metadata_from(const Json&);
Json files_json(const proto::Metadata&, std::string_view url_prefix);

/// Names of parties, looked up once a request.
class Parties {
 public:
  Parties(ReadTxn& txn, const directory::Directory& directory, Time now)
      : txn_(txn), directory_(directory), now_(now) {}
  /// {id, code, name, name_en}
  Result<Json> json(const PartyId&);

 private:
  ReadTxn& txn_;
  const directory::Directory& directory_;
  Time now_;
  std::map<PartyId, Json> known_;
};

std::string main_code(const proto::Agency&, Time now);

// ---- requests ------------------------------------------------------------------------------------------------------

/// limit (default 50) and the rest of a listing's query. Error: bad_request.
Result<size_t> page_limit(const Request&);
std::string query(const Request&, const char* name);
/// Error: bad_request for a name that is not one of `known`.
Result<void> check_query(const Request&, std::initializer_list<std::string_view> known);
std::string header(const Request&, const char* lower_case_name);
std::optional<uint64_t> parse_number(std::string_view);

/// A code, an alias or a 32-digit id. Errors: unknown_agency (detail: what was asked).
Result<PartyId> find_party(ReadTxn&, const directory::Directory&, std::string_view code_or_id, Time now);

/// 32 hex digits: the uuid; 64: the document id. Error: not_found.
Result<DocUuid> find_document(ReadTxn&, std::string_view id);

// ---- the resources: `rest` is the path after /v1/<resource>, split at '/'
// -----------------------------------------------

using Parts = std::vector<std::string>;
Result<Response> read_documents(const ReadContext&, const Request&, const Parts&);
Result<Response> read_receipts(const ReadContext&, const Request&, const DocUuid&, const Parts&);
Result<Response> read_issued_receipts(const ReadContext&, const Request&, const proto::InRecord&, const Parts&);
Result<Response> read_inbox(const ReadContext&, const Request&, const Parts&);
Result<Response> read_directory(const ReadContext&, const Request&, const Parts&);
Result<Response> read_groups(const ReadContext&, const Request&, const Parts&);
Result<Response> read_uploads(const ReadContext&, const Request&, const Parts&);
Result<Response> read_health(const ReadContext&, const Request&);
Result<Response> read_quarantine(const ReadContext&, const Request&);
Result<Response> read_self(const ReadContext&, const Request&);

/// Passes everything on and counts the writes, so that an error after a write is known to need the transaction aborted.
class WatchedTxn final : public WriteTxn {
 public:
  explicit WatchedTxn(WriteTxn& txn) : txn_(txn) {}
  Result<std::optional<Bytes>> get(const Table& table, BytesView key) override { return txn_.get(table, key); }
  Result<std::vector<Row>> scan(const Table& table, BytesView from, BytesView until, size_t limit,
                                Direction direction) override {
    return txn_.scan(table, from, until, limit, direction);
  }
  Result<void> put(const Table& table, BytesView key, BytesView value) override {
    ++writes_;
    return txn_.put(table, key, value);
  }
  Result<void> erase(const Table& table, BytesView key) override {
    ++writes_;
    return txn_.erase(table, key);
  }
  Result<void> commit() override { return fail(ErrorCode::internal, "a handler never commits"); }
  size_t writes() const { return writes_; }
  /// Everything written so far has been undone by hand.
  void undone() { writes_ = 0; }

 private:
  WriteTxn& txn_;
  size_t writes_ = 0;
};
struct Writing : WriteContext {
  WatchedTxn& watched;  // the same as txn
};

Result<Response> write_documents(Writing&, const Request&, const Parts&);
Result<Response> write_inbox(WriteContext&, const Request&, const Parts&);
Result<Response> write_uploads(WriteContext&, const Request&, const Parts&);

/// POST /v1/documents (compose.cpp): everything is checked before anything is stored.
Result<Response> send_document(Writing&, const Request&);

/// Seals `content` as a finished upload of `owner` and returns its id. Errors: storage_full, io_failed.
Result<std::string> stage_upload(WriteContext&, BytesView content, std::string name, std::string media_type,
                                 const Principal& owner);
/// Whether a document that is still being sealed reads it.
Result<bool> upload_in_use(ReadTxn&, const std::string& id);
/// The first bytes of a finished upload, at most `bytes`.
Result<Bytes> upload_head(Bodies&, const proto::UploadRecord&, size_t bytes);

Result<Json> inbox_item_json(const proto::InRecord&, Parties&, Time now);

}  // namespace tram::node::api
