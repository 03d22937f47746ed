#include "node/io/http_upload.h"

#include "base/limits.h"
#include "crypto/seal.h"
#include "node/jobs.h"

namespace tram::node::http {
namespace {

constexpr size_t slot_bytes = limits::upload_slot_bytes;
constexpr size_t sealed_slot_bytes = slot_bytes + limits::chunk_overhead_bytes;
constexpr uint64_t commit_every_bytes = 16u << 20;

std::optional<uint64_t> number(const std::string& text) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return std::stoull(text);
}

}  // namespace

bool BusyUploads::enter(const std::string& id) {
  std::lock_guard lock(mutex_);
  return ids_.insert(id).second;
}
void BusyUploads::leave(const std::string& id) {
  std::lock_guard lock(mutex_);
  ids_.erase(id);
}

UploadSink::UploadSink(HttpBackend& backend, BusyUploads& busy, api::Request request, proto::UploadRecord record)
    : backend_(backend),
      busy_(busy),
      request_(std::move(request)),
      record_(std::move(record)),
      key_(record_.key),
      file_(upload_name(record_.id)),
      committed_(record_.offset),
      offset_(record_.offset),
      slot_(std::move(record_.tail)) {
  slot_.reserve(slot_bytes);
}

UploadSink::~UploadSink() { busy_.leave(record_.id); }

Result<std::unique_ptr<UploadSink>> UploadSink::open(HttpBackend& backend, BusyUploads& busy,
                                                     const api::Request& request, const std::string& id,
                                                     std::optional<uint64_t> content_length) {
  const auto header = [&](const char* name) {
    const auto found = request.headers.find(name);
    return found == request.headers.end() ? std::string() : found->second;
  };
  if (const std::string version = header("tus-resumable"); !version.empty() && version != "1.0.0")
    return fail(ErrorCode::unsupported_version, "Tus-Resumable: 1.0.0");
  if (header("content-type") != "application/offset+octet-stream")
    return fail(ErrorCode::bad_request, "Content-Type: application/offset+octet-stream");
  const auto offset = number(header("upload-offset"));
  if (!offset) return fail(ErrorCode::bad_request, "Upload-Offset");
  if (!busy.enter(id)) return fail(ErrorCode::wrong_state, "upload: another request is writing to it");
  auto record = backend.upload(id, request.principal);
  if (record && record->offset == *offset && (!content_length || *content_length <= record->length - record->offset))
    return std::unique_ptr<UploadSink>(new UploadSink(backend, busy, request, std::move(*record)));
  busy.leave(id);
  if (!record) return fail(record.error());
  if (record->offset != *offset)
    return fail(ErrorCode::offset_mismatch, "Upload-Offset is " + std::to_string(record->offset));
  return fail(ErrorCode::too_large, "more than Upload-Length");
}

Result<void> UploadSink::flush_slot() {
  sealed_.resize(sealed_slot_bytes);
  const uint64_t slot = offset_ / slot_bytes - 1;
  crypto::seal_slot(key_, slot, slot_, sealed_);
  TRAM_OK(backend_.bodies().write(file_, slot * sealed_slot_bytes, sealed_));
  slot_.clear();
  unsynced_ = true;
  return {};
}

Result<void> UploadSink::take_bytes(BytesView bytes) {
  if (bytes.size() > record_.length - offset_) return fail(ErrorCode::too_large, "more than Upload-Length");
  while (!bytes.empty()) {
    const size_t n = std::min(slot_bytes - slot_.size(), bytes.size());
    slot_.insert(slot_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    offset_ += n;
    bytes = bytes.subspan(n);
    if (slot_.size() == slot_bytes) TRAM_OK(flush_slot());
  }
  return {};
}

void UploadSink::take(BytesView bytes) {
  if (failure_) return;
  if (auto taken = take_bytes(bytes); !taken) {
    failure_ = api::problem(taken.error(), request_);
    return;
  }
  if (offset_ - committed_ < commit_every_bytes) return;
  if (auto answer = commit(); answer.status >= 300) failure_ = std::move(answer);
}

api::Response UploadSink::commit() {
  if (unsynced_) {
    if (auto synced = backend_.bodies().sync(file_); !synced) return api::problem(synced.error(), request_);
    unsynced_ = false;
  }
  auto answer = backend_.write(api::upload_progress(record_.id, committed_, offset_, slot_, request_.principal));
  if (answer.status < 300) committed_ = offset_;
  return answer;
}

api::Response UploadSink::finish() {
  if (failure_) {
    abandon();
    return *failure_;
  }
  return commit();
}

void UploadSink::abandon() {
  // What came before an error stays acknowledged only up to the last commit; after a plain break all of it is good.
  if (!failure_ && offset_ != committed_) commit();
}

}  // namespace tram::node::http
