// Receipts of a document and the evidence bundle of one of them: those that others gave us for what we sent,
// /v1/documents/{id}/receipts, and those that we gave for what arrived, /v1/inbox/{arrival}/receipts.
#include "audit/bundle.h"
#include "audit/log_proof.h"
#include "audit/witness.h"
#include "base/limits.h"
#include "crypto/formats.h"
#include "node/api/internal.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::node::api {
namespace {

Words event_words(crypto::ReceiptEvent event) {
  switch (event) {
    case crypto::ReceiptEvent::received: return {"received", "Đã đến", "Arrived"};
    case crypto::ReceiptEvent::refused: return {"refused", "Từ chối tiếp nhận", "Refused"};
    case crypto::ReceiptEvent::registered: return {"registered", "Đã tiếp nhận", "Registered"};
    case crypto::ReceiptEvent::assigned: return {"assigned", "Phân công", "Assigned"};
    case crypto::ReceiptEvent::processing: return {"processing", "Đang xử lý", "In progress"};
    case crypto::ReceiptEvent::done: return {"done", "Hoàn thành", "Done"};
    case crypto::ReceiptEvent::change_agreed: return {"change_agreed", "Đồng ý", "Change agreed"};
    case crypto::ReceiptEvent::change_refused: return {"change_refused", "Từ chối thay đổi", "Change refused"};
    case crypto::ReceiptEvent::rejected: return {"rejected", "Không mở được", "Rejected for a technical reason"};
  }
  return {"unknown", "", ""};
}

struct Held {
  proto::ReceiptRecord record;
  crypto::Receipt receipt;
};

/// Whose receipts, and what belongs to them in a bundle.
struct Subject {
  Bytes prefix;         // of their keys
  bool issued = false;  // by us
  std::string base;     // of the paths
  std::string name;     // of a file
  Bytes header;
  EnvelopeId env_id;  // issued: of `envelope`
  Bytes envelope;
};

/// The subject's receipts in the order of their keys (by party, envelope, event); `n` of a receipt is its place.
Result<std::vector<Held>> held_receipts(ReadTxn& txn, const Subject& subject, size_t skip, size_t limit) {
  std::vector<Held> out;
  if (subject.prefix.empty()) return out;
  Bytes from = subject.prefix;
  const Bytes until = prefix_end(subject.prefix);
  while (out.size() < limit) {
    TRAM_TRY(rows, txn.scan(table::receipt, from, until, 256));
    for (const Row& row : rows) {
      Held held;
      TRAM_OK(proto::decode_record(row.value, held.record));
      if (held.record.issued != subject.issued) continue;
      if (skip > 0) {
        --skip;
        continue;
      }
      auto receipt = crypto::decode_receipt(held.record.receipt);
      if (!receipt) return fail(ErrorCode::store_corrupt, "receipt");
      held.receipt = std::move(*receipt);
      out.push_back(std::move(held));
      if (out.size() == limit) break;
    }
    if (rows.size() < 256) break;
    from = rows.back().key;
    from.push_back(0);
  }
  return out;
}

Result<Json> receipt_json(const Held& held, size_t n, const std::string& base, Parties& parties) {
  const crypto::Receipt& receipt = held.receipt;
  TRAM_TRY(issuer, parties.json(receipt.issuer));
  Json json;
  json["n"] = n;
  json["event"] = state_json(event_words(receipt.event));
  json["status"] = status_json(static_cast<uint16_t>(receipt.event));
  json["issuer"] = issuer;
  json["time"] = time_json(receipt.time);
  json["clock_ok"] = receipt.clock_ok;
  json["stored"] = time_json(held.record.stored);
  json["receipt_id"] = receipt.id.hex();
  json["envelope_id"] = receipt.env_id.hex();
  json["incarnation"] = receipt.rinc;
  if (receipt.reason) json["reason_code"] = error_json(receipt.reason);
  if (const auto text = proto::decode_receipt_text(view(receipt.text))) {
    if (!text->register_number.empty()) json["register_number"] = text->register_number;
    if (!text->register_date.empty()) json["register_date"] = proto::to_text(text->register_date);
    if (!text->person.empty()) json["person"] = text->person;
    if (!text->unit.empty()) json["unit"] = text->unit;
    if (!text->reason.empty()) json["reason"] = text->reason;
  }
  json["raw"] = base64(held.record.receipt);
  json["bundle"] = base + std::to_string(n) + ".edxr";
  return json;
}

/// All that `tram verify` needs for this receipt without asking anybody; custody receipts only the sender has.
Result<audit::Bundle> make_bundle(const ReadContext& context, const Subject& subject, const Held& held) {
  audit::Bundle bundle;
  bundle.receipt = held.record.receipt;
  bundle.header = subject.header;
  if (subject.issued) {
    if (held.receipt.env_id == subject.env_id) bundle.envelope = subject.envelope;
  } else {
    TRAM_TRY(envelope, find<proto::EnvelopeRecord>(context.txn, table::envelope, held.receipt.env_id));
    const Bytes prefix = envelope ? custody_prefix(*envelope) : Bytes{};
    if (envelope) bundle.envelope = std::move(envelope->envelope);
    TRAM_TRY(rows, context.txn.scan(table::custody, prefix, prefix_end(prefix), prefix.empty() ? 0 : 64));
    for (const Row& row : rows) {
      proto::CustodyRecord custody;
      TRAM_OK(proto::decode_record(row.value, custody));
      if (!custody.voided && !custody.custody.empty()) bundle.custodies.push_back(std::move(custody.custody));
    }
  }
  // As soon as as many brokers as a custody needs have countersigned a checkpoint that covers it.
  if (held.record.log_place > 0) {
    TRAM_TRY(proof, audit::make_log_proof(context.txn, held.record.log_place - 1));
    const Result<crypto::Note> shown = proof ? crypto::decode_note(proof->note) : Result<crypto::Note>(fail(ErrorCode::not_found));
    size_t brokers = 0;
    if (shown)
      for (const auto& one : shown->signatures) {
        const auto cosignature = audit::find_cosignature(context.directory, context.now, shown->text, one);
        brokers += cosignature && cosignature->kind == crypto::LogKind::broker;
      }
    if (brokers >= context.directory.policy(context.now).custody_quorum && shown)
      bundle.log_proof = audit::encode_log_proof(*proof);
  }
  uint64_t bytes = 0;
  for (uint64_t index = 0; index < context.directory.size(); ++index) {
    TRAM_TRY(entry, context.directory.entry(context.txn, index));
    bytes += entry.size();
    if (bytes > audit::bundle_bytes_max - (1u << 20)) return fail(ErrorCode::too_large, "bundle");
    bundle.entries.push_back(std::move(entry));
  }
  return bundle;
}

Result<Response> answer(const ReadContext& context, const Request& request, const Subject& subject,
                        const Parts& parts) {
  if (parts.size() > 1) return fail(ErrorCode::not_found, "path");
  if (parts.size() == 1) {
    TRAM_OK(check_query(request, {}));
    constexpr std::string_view suffix = ".edxr";
    const std::string_view name = parts[0];
    const bool suffixed = name.size() > suffix.size() && name.substr(name.size() - suffix.size()) == suffix;
    const auto n = suffixed ? parse_number(name.substr(0, name.size() - suffix.size())) : std::nullopt;
    if (!n || *n == 0 || *n > 1000000) return fail(ErrorCode::not_found, "receipt");
    TRAM_TRY(held, held_receipts(context.txn, subject, *n - 1, 1));
    if (held.empty()) return fail(ErrorCode::not_found, "receipt");
    TRAM_TRY(bundle, make_bundle(context, subject, held.front()));
    Response response;
    response.headers["Content-Type"] = "application/vnd.tram.receipt-bundle";
    response.headers["Content-Disposition"] =
        "attachment; filename=\"" + subject.name + "-" + std::to_string(*n) + ".edxr\"";
    response.body = audit::encode_bundle(bundle);
    return response;
  }
  TRAM_OK(check_query(request, {"after", "limit"}));
  TRAM_TRY(limit, page_limit(request));
  size_t skip = 0;
  if (const std::string after = query(request, "after"); !after.empty()) {
    const auto number = parse_number(after);
    if (!number || *number > 1000000) return fail(ErrorCode::bad_request, "after");
    skip = *number;
  }
  TRAM_TRY(held, held_receipts(context.txn, subject, skip, limit + 1));
  Parties parties(context.txn, context.directory, context.now);
  Json items = Json::array();
  for (size_t i = 0; i < held.size() && i < limit; ++i) {
    TRAM_TRY(json, receipt_json(held[i], skip + i + 1, subject.base, parties));
    items.push_back(std::move(json));
  }
  Json next = nullptr;
  if (held.size() > limit) next = std::to_string(skip + limit);
  return json_response(200, {{"realm", context.directory.realm().hex()},
                             {"items", items},
                             {"next", next},
                             {"practice", context.directory.practice()}});
}

}  // namespace

Result<Response> read_receipts(const ReadContext& context, const Request& request, const DocUuid& uuid,
                               const Parts& parts) {
  TRAM_TRY(record, find<proto::OutRecord>(context.txn, table::outgoing, uuid));
  if (!record) return fail(ErrorCode::not_found, "document");
  Subject subject;
  if (!record->doc_id.is_zero()) subject.prefix = to_bytes(record->doc_id);
  subject.base = "/v1/documents/" + uuid.hex() + "/receipts/";
  subject.name = uuid.hex().substr(24);  // the first digits are the time, and those of many documents
  subject.header = std::move(record->header);
  return answer(context, request, subject, parts);
}

Result<Response> read_issued_receipts(const ReadContext& context, const Request& request, const proto::InRecord& record,
                                      const Parts& parts) {
  Subject subject;
  subject.prefix = row_key(record.doc_id, context.self);
  subject.issued = true;
  subject.base = "/v1/inbox/" + std::to_string(record.arrival) + "/receipts/";
  subject.name = std::to_string(record.arrival);
  subject.header = record.header;
  subject.env_id = record.env_id;
  subject.envelope = record.envelope;
  return answer(context, request, subject, parts);
}

}  // namespace tram::node::api
