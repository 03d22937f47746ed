#include "directory/signing.h"

#include "base/limits.h"

namespace tram::directory {

Hash entry_hash(BytesView payload) { return crypto::hash("edx1/dir", {payload}); }

proto::EntrySignature sign_entry(BytesView payload, const PartyId& officer, const crypto::SigningKey& key) {
  return {officer, key.sign("edx1/dir", entry_hash(payload))};
}

Result<SignatureState> examine_entry(ReadTxn& txn, const Directory& directory, const proto::Entry& entry, Time) {
  TRAM_TRY(examined, directory.examine(txn, entry));
  SignatureState state;
  for (const SignerSet& set : examined.sets) {
    // Of two sets (a rotation) the one that lacks more tells what is needed.
    if (state.needed == 0 || !set.enough()) {
      state.needed = set.needed;
      state.valid_signers = set.valid_signers;
    }
    if (set.enough()) continue;
    const char* who = set.kind == SignerSet::Kind::new_root_officers    ? "new root officers"
                      : set.kind == SignerSet::Kind::registrar_officers ? "registrar's officers"
                      : set.kind == SignerSet::Kind::administrators     ? "administrators"
                                                                        : "root officers";
    state.problems.push_back(std::string(error_info(ErrorCode::not_enough_signatures).name) + ": " +
                             std::to_string(set.valid_signers.size()) + " of " + std::to_string(set.needed) + " " +
                             who);
  }
  if (examined.bad_signature) state.problems.push_back(describe(*examined.bad_signature));
  if (examined.refusal) state.problems.push_back(describe(*examined.refusal));
  return state;
}

Result<std::vector<Bytes>> pack_entries(const std::vector<proto::Change>& changes, Chain chain) {
  std::vector<Bytes> out;
  proto::EntryPayload payload;
  size_t bytes = 0;
  auto finish = [&] {
    if (payload.changes.empty()) return;
    payload.index = chain.next_index++;
    payload.previous = chain.previous;
    payload.realm = chain.realm;
    payload.registrar = chain.registrar;
    payload.created = chain.created;
    out.push_back(proto::encode_entry_payload(payload));
    chain.previous = entry_hash(out.back());
    payload.changes.clear();
    bytes = 0;
  };
  // The fields beside the changes, amply, and room for every signature: the limit counts the signed entry.
  static constexpr size_t frame_bytes = 160 + 96 * limits::directory_signatures_per_entry_max;
  for (const proto::Change& change : changes) {
    proto::EntryPayload alone;
    alone.changes.push_back(change);
    const size_t size = proto::encode_entry_payload(alone).size() + 8;
    if (size + frame_bytes > limits::directory_entry_bytes_max) return fail(ErrorCode::too_large, "a change");
    if (bytes + size + frame_bytes > limits::directory_entry_bytes_max ||
        payload.changes.size() == limits::directory_changes_per_entry_max)
      finish();
    payload.changes.push_back(change);
    bytes += size;
  }
  finish();
  return out;
}

Hash enrol_request_hash(BytesView payload) { return crypto::hash("edx1/enrol", {payload}); }

std::string short_code(const Hash& hash) {
  static constexpr char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  uint64_t bits = 0;
  for (size_t i = 0; i < 8; ++i) bits = bits << 8 | hash.bytes[i];
  std::string code;
  for (int i = 0; i < 12; ++i) {
    if (i && i % 4 == 0) code += '-';
    code += digits[bits >> 59];
    bits <<= 5;
  }
  return code;
}

proto::EnrolRequest make_enrol_request(const proto::EnrolRequestPayload& payload, const crypto::SigningKey& sig) {
  proto::EnrolRequest request;
  request.payload = proto::encode_enrol_request_payload(payload);
  request.signature = sig.sign("edx1/enrol", enrol_request_hash(request.payload));
  return request;
}

Result<proto::EnrolRequestPayload> check_enrol_request(const proto::EnrolRequest& request) {
  TRAM_TRY(payload, proto::decode_enrol_request_payload(request.payload));
  const proto::AgencyKeys& keys = payload.keys;
  if (!crypto::is_valid_signing_key(keys.sig) || !crypto::is_valid_signing_key(keys.log) || keys.curve.is_zero())
    return fail(ErrorCode::bad_format, "a key is not valid");
  if (equal(keys.sig, keys.log)) return fail(ErrorCode::bad_format, "one key for two purposes");
  if (!crypto::verify(keys.sig, "edx1/enrol", enrol_request_hash(request.payload), request.signature))
    return fail(ErrorCode::bad_signature, "enrolment request");
  return payload;
}

Hash kx_feed_hash(BytesView payload) { return crypto::hash("edx1/kxfeed", {payload}); }

proto::KxFeed sign_kx_feed(const proto::KxFeedPayload& payload, const crypto::SigningKey& sig) {
  proto::KxFeed feed;
  feed.payload = proto::encode_kx_feed_payload(payload);
  feed.signature = sig.sign("edx1/kxfeed", kx_feed_hash(feed.payload));
  return feed;
}

Result<void> check_answer(const proto::Approval& approval, const proto::EnrolRequest& request,
                          const std::optional<RealmId>& realm) {
  if (approval.request != enrol_request_hash(request.payload)) return fail(ErrorCode::bad_request, "this approval answers another request");
  if (realm && *realm != approval.realm) return fail(ErrorCode::wrong_realm, "the approval is of realm " + approval.realm.hex());
  return {};
}

}  // namespace tram::directory
