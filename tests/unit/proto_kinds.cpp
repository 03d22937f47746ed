#include "proto_values.h"

namespace tram::proto::test {
namespace {

Result<Frame> decode_control(BytesView bytes) { return decode_frame(bytes, Endpoint::control); }
Result<Frame> decode_bulk(BytesView bytes) { return decode_frame(bytes, Endpoint::bulk); }

template <class T, auto encode, auto decode, auto draw_one>
Kind kind(std::string name, bool closed) {
  return {std::move(name),
          [](uint64_t seed) {
            Draw random(seed);
            return encode(draw_one(random));
          },
          [](BytesView bytes) -> std::optional<Error> {
            auto decoded = decode(bytes);
            return decoded ? std::nullopt : std::optional(decoded.error());
          },
          [](BytesView bytes) -> std::optional<Bytes> {
            auto decoded = decode(bytes);
            return decoded ? std::optional(encode(*decoded)) : std::nullopt;
          },
          [](uint64_t seed) {
            Draw random(seed);
            const T value = draw_one(random);
            auto decoded = decode(encode(value));
            return decoded && same(value, *decoded);
          },
          closed};
}

template <class Body>
Frame draw_frame(Draw& random) {
  return {random.any_number(), draw<Body>(random)};
}
template <class Body>
EntryPayload draw_entry(Draw& random) {
  auto entry = draw<EntryPayload>(random);
  entry.changes.front().body = draw<Body>(random);
  return entry;
}

template <class Body>
Kind on_control(const char* name) {
  return kind<Frame, encode_frame, decode_control, draw_frame<Body>>(std::string("frame/") + name, false);
}
template <class Body>
Kind on_bulk(const char* name) {
  return kind<Frame, encode_frame, decode_bulk, draw_frame<Body>>(std::string("frame/") + name, false);
}
template <class Body>
Kind change(const char* name) {
  return kind<EntryPayload, encode_entry_payload, decode_entry_payload, draw_entry<Body>>(
      std::string("entry_payload/") + name, true);
}

std::vector<Kind> make_kinds() {
  return {
      on_control<Hello>("hello"),
      on_control<HelloReply>("hello_reply"),
      on_control<Refused>("refused"),
      on_control<Ping>("ping"),
      on_control<Done>("done"),
      on_control<Put>("put"),
      on_control<PutReply>("put_reply"),
      on_bulk<Offer>("offer"),
      on_bulk<OfferReply>("offer_reply"),
      on_bulk<ChunkPut>("chunk_put"),
      on_bulk<ChunkDone>("chunk_done"),
      on_control<Reconcile>("reconcile"),
      on_control<ReconcileReply>("reconcile_reply"),
      on_control<Announce>("announce"),
      on_control<Fetch>("fetch"),
      on_control<Content>("content"),
      on_bulk<ManifestGet>("manifest_get"),
      on_bulk<ManifestData>("manifest_data"),
      on_bulk<ChunkGet>("chunk_get"),
      on_bulk<ChunkData>("chunk_data"),
      on_control<AckPut>("ack_put"),
      on_control<AckReply>("ack_reply"),
      on_control<MailPost>("mail_post"),
      on_control<MailPosted>("mail_posted"),
      on_control<MailDeliver>("mail_deliver"),
      on_control<MailDone>("mail_done"),
      on_control<DirectoryGet>("directory_get"),
      on_control<DirectoryEntries>("directory_entries"),
      on_control<DirectoryPut>("directory_put"),
      on_control<KxPut>("kx_put"),
      on_control<KxGet>("kx_get"),
      on_control<KxFeeds>("kx_feeds"),
      on_control<CheckpointPut>("checkpoint_put"),
      on_control<CheckpointReply>("checkpoint_reply"),
      on_control<CheckpointGet>("checkpoint_get"),
      on_control<CheckpointData>("checkpoint_data"),
      on_control<LeavesGet>("leaves_get"),
      on_control<LeavesData>("leaves_data"),
      on_control<CheckpointList>("checkpoint_list"),
      on_control<CheckpointPage>("checkpoint_page"),
      on_control<CosignaturePut>("cosignature_put"),
      kind<Metadata, encode_metadata, decode_metadata, draw<Metadata>>("metadata/metadata", false),
      change<RootChange>("root"),
      change<RegistrarChange>("registrar"),
      change<AgencyChange>("agency"),
      change<OfficerChange>("officer"),
      change<StatusChange>("status"),
      change<SucceedChange>("succeed"),
      change<BrokerChange>("broker"),
      change<WitnessChange>("witness"),
      change<PolicyChange>("policy"),
      kind<Entry, encode_entry, decode_entry, draw<Entry>>("entry/entry", true),
      kind<KxFeedPayload, encode_kx_feed_payload, decode_kx_feed_payload, draw<KxFeedPayload>>(
          "kx_feed_payload/kx_feed_payload", true),
      kind<KxFeed, encode_kx_feed, decode_kx_feed, draw<KxFeed>>("kx_feed/kx_feed", true),
      kind<EnrolRequestPayload, encode_enrol_request_payload, decode_enrol_request_payload, draw<EnrolRequestPayload>>(
          "enrol_request_payload/enrol_request_payload", true),
      kind<EnrolRequest, encode_enrol_request, decode_enrol_request, draw<EnrolRequest>>("enrol_request/enrol_request",
                                                                                         true),
      kind<Approval, encode_approval, decode_approval, draw<Approval>>("approval/approval", true),
  };
}

}  // namespace

const std::vector<Kind>& all_kinds() {
  static const std::vector<Kind> kinds = make_kinds();
  return kinds;
}

}  // namespace tram::proto::test
