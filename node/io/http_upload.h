// The body of one PATCH to an upload, as it comes in pieces: full 64 KiB slots are sealed and written to the staging
// file, and what has arrived is committed now and then, and whatever happens at the end.
// Invariants: bytes are durable in the file before the row says so; one PATCH at a time an upload; a broken connection
// keeps what arrived. Memory: one slot, plain and sealed. Thread: the connection's.
#pragma once
#include <mutex>
#include <set>

#include "crypto/keys.h"
#include "node/io/http_server.h"

namespace tram::node::http {

/// Ids of the uploads that a PATCH is writing to.
class BusyUploads {
 public:
  bool enter(const std::string& id);
  void leave(const std::string& id);

 private:
  std::mutex mutex_;
  std::set<std::string> ids_;
};

class UploadSink {
 public:
  /// `request` has headers but no body yet. Errors: wrong_state (another PATCH is at it), not_found, offset_mismatch,
  /// too_large, bad_request.
  static Result<std::unique_ptr<UploadSink>> open(HttpBackend&, BusyUploads&, const api::Request&,
                                                  const std::string& id, std::optional<uint64_t> content_length);
  ~UploadSink();
  /// Takes what came. An error is kept; later calls change nothing.
  void take(BytesView bytes);
  /// Commits the rest; the answer of the PATCH.
  api::Response finish();
  /// The connection broke: commits what there is.
  void abandon();
  uint64_t offset() const { return offset_; }

 private:
  UploadSink(HttpBackend&, BusyUploads&, api::Request, proto::UploadRecord);
  Result<void> take_bytes(BytesView bytes);
  Result<void> flush_slot();
  api::Response commit();

  HttpBackend& backend_;
  BusyUploads& busy_;
  api::Request request_;
  proto::UploadRecord record_;
  crypto::Secret32 key_;
  std::string file_;
  uint64_t committed_ = 0;  // what the row says
  uint64_t offset_ = 0;     // what has arrived
  bool unsynced_ = false;
  Bytes slot_;  // the slot that is not full
  Bytes sealed_;
  std::optional<api::Response> failure_;
};

}  // namespace tram::node::http
