// The local API of a node as pure request -> response. A read runs in any thread over a read transaction of its own; a
// write runs on the loop's thread inside its transaction, many requests to one transaction.
// Invariants: an error response has changed nothing, unless `abort` is set: then the store itself failed and the whole
// transaction must be aborted. A repeated Idempotency-Key gets the first answer again, from the same transaction's
// table. Not here: HTTP, sockets, tokens' secrets (io/http_server), upload bodies (http_server streams them and asks
// here to commit their progress). Reference: docs/api.md, docs/openapi.yaml.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "base/ports.h"
#include "base/scrub.h"
#include "proto/records_node.h"

namespace tram::directory {
class Directory;
}
namespace tram::node {
class Node;
class BodyReader;
struct Effects;
}  // namespace tram::node

namespace tram::node::api {

/// Who asks. Roles: "local" (the machine's own user, everything), "clerk" and "dms" (documents), "operator" (health and
/// directory only).
struct Principal {
  std::string name;
  std::string role;
};

struct Request {
  std::string method;                          // "GET"
  std::string path;                            // percent-decoded, without the query
  std::map<std::string, std::string> query;    // percent-decoded
  std::map<std::string, std::string> headers;  // names in lower case
  Bytes body;
  Principal principal;
};

/// A file to be streamed: container bytes [offset, offset + bytes) of `reader`, which belongs to the request's thread.
struct FileDownload {
  std::shared_ptr<BodyReader> reader;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

struct Response {
  int status = 200;
  std::map<std::string, std::string> headers;  // "Content-Type": ...
  Bytes body;
  std::optional<FileDownload> file;  // instead of `body`
  bool abort = false;                // the store failed: abort the transaction and every request in it
  std::optional<DocUuid> waits_for;  // what was to be waited for has not come: to be asked again when this document changes,
  Duration wait;                     // for so long at most
};
inline constexpr Duration wait_max = seconds(20);        // below the idle timeout of a connection
inline constexpr size_t waiting_requests_max = 128;      // each holds a connection; more are answered at once

/// What only the loop knows; it publishes a new value every few seconds.
struct HealthView {
  struct Broker {
    PartyId id;
    bool connected = false;
    Time last_heard;
    Duration clock_offset;
  };
  std::vector<Broker> brokers;
  proto::Recovery recovery = proto::Recovery::none;
  bool fenced = false;       // a later incarnation of this node exists
  bool keys_in_force = true; // the directory names this node's keys
  bool clock_ok = true;
  uint64_t disk_total_bytes = 0;  // 0: unknown
  uint64_t disk_free_bytes = 0;
  uint64_t store_used_bytes = 0;
  uint64_t store_map_bytes = 0;
  Time directory_confirmed;  // when a quorum of witnesses had last cosigned our view (R28); 0: never yet
  Time directory_since;      // since when there is a view to confirm
  struct Cosigner {
    PartyId id;
    uint64_t size = 0;
    Time at;
  };
  std::vector<Cosigner> directory_cosigners;  // of each broker and witness, the newest view that it cosigned
  const char* log_standing = "unknown";  // R23: unknown, sound, restored
  Time kx_until;             // end of the last receiving key published; 0: not known
  Time certificate_expires;  // 0: no TLS
  Time started;
  std::string version;
  Time scrub_ended;          // of the last whole pass; 0: none yet
  ScrubCounts scrub;         // what it saw
  std::vector<std::string> damaged_rows;
  uint64_t repaired_bodies = 0;
  uint64_t full_steps = 0;   // aborted by a full store or disk since the start
  Time full_at;              // the last of them
};

struct ReadContext {
  ReadTxn& txn;
  const directory::Directory& directory;  // an immutable copy: the loop replaces it when entries arrive
  const HealthView& health;
  Time now;
  Bodies& bodies;
  PartyId self;
  std::function<void(uint64_t arrival)> suspect = {};  // told when a file cannot be read, from the thread that reads it
};
/// GET and HEAD.
Response handle_read(const ReadContext&, const Request&);

struct WriteContext {
  WriteTxn& txn;
  Node& node;
  const directory::Directory& directory;
  Time now;
  Bodies& bodies;
  Effects& effects;
  Random& random;
};
/// POST, PATCH and DELETE. An upload's PATCH arrives here as made by upload_progress().
Response handle_write(WriteContext&, const Request&);

/// Answers a request that never reached a handler (authentication, size, method), as every error is answered.
Response problem(const Error&, const Request&);
inline constexpr std::string_view problem_type = "application/problem+json";

// ---- uploads: tus 1.0 core with creation and termination -----------------------------------------------------------

/// OPTIONS /v1/uploads: what of tus is spoken.
Response upload_options();
/// "/v1/uploads/<32 hex>" -> the id.
std::optional<std::string> upload_id_of(std::string_view path);
/// The upload, if it is this principal's. Error: not_found.
Result<proto::UploadRecord> find_upload(ReadTxn&, std::string_view id, const Principal&);
/// The request that commits what has been written and synced: bytes [from, to), of which `tail` is the slot that is not
/// full. handle_write answers 204 with Upload-Offset, or offset_mismatch when `from` is not the offset any more.
Request upload_progress(std::string_view id, uint64_t from, uint64_t to, Bytes tail, Principal);

// ---- upkeep --------------------------------------------------------------------------------------------------------

/// Forgets answers older than limits::idempotency_kept and unfinished uploads older than limits::upload_kept; looks at
/// a bounded number of rows and goes on from `cursor` at the next call. Call every few minutes.
struct UpkeepCursor {
  Bytes idempotency, upload;
};
Result<void> upkeep(WriteTxn&, Time now, Effects&, UpkeepCursor&);
/// Removes files of uploads that no row names (their transaction was aborted). At start-up, before serving.
Result<void> sweep_uploads(ReadTxn&, Bodies&);

}  // namespace tram::node::api
