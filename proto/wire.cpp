// Frames, read: the limits of every field, then protobuf into domain values. Writing: wire_encode.cpp.
#include "proto/wire.h"

#include "proto/codec.h"
#include "wire.pb.h"

namespace tram::proto {
namespace {

// ---- limits of every field, in the order of wire.proto ------------------------------------------------------

using namespace limits;

constexpr size_t software_bytes_max = 64;
constexpr size_t detail_bytes_max = 200;
constexpr size_t custody_bytes_max = 512;
constexpr size_t statement_bytes_max = 1024;
constexpr size_t items_with_cells_max = 64;
constexpr size_t inline_chunk_bytes_max = inline_body_bytes_max + chunk_overhead_bytes;
constexpr size_t note_bytes_max = limits::checkpoint_note_bytes_max;
constexpr size_t signature_line_bytes_max = 640;
constexpr size_t proof_hashes_max = 64;
constexpr size_t have_bytes_max = (chunks_per_body_max + 7) / 8;

constexpr Shape empty_shape{"Empty", {}, Unknown::ignored};

constexpr Field hello_fields[] = {number_field(1), number_field(2), number_field(3),
                                  text_field(4, software_bytes_max), number_field(5), bytes_field(10, note_bytes_max)};
constexpr Shape hello_shape{"Hello", hello_fields, Unknown::ignored};
constexpr Field hello_reply_fields[] = {number_field(1), exact_field(2, party_bytes), exact_field(3, Epoch::size),
                                        number_field(4), exact_field(5, hash_bytes), number_field(6), number_field(7),
                                        bytes_field(8, envelope_bytes), bytes_field(9, statement_bytes_max),
                                        bytes_field(10, note_bytes_max)};
constexpr Shape hello_reply_shape{"HelloReply", hello_reply_fields, Unknown::ignored};
constexpr Field refused_fields[] = {number_field(1), number_field(2), text_field(3, detail_bytes_max)};
constexpr Shape refused_shape{"Refused", refused_fields, Unknown::ignored};

constexpr Field put_item_fields[] = {exact_field(1, envelope_bytes), exact_field(2, officer_blob_bytes)};
constexpr Shape put_item_shape{"PutItem", put_item_fields, Unknown::ignored};
constexpr Field put_fields[] = {bytes_field(1, header_bytes_max), bytes_field(2, manifest_bytes_max),
                                bytes_field(3, inline_chunk_bytes_max), exact_field(4, hash_bytes),
                                message_field(5, put_item_shape, envelopes_per_put_max)};
constexpr Shape put_shape{"Put", put_fields, Unknown::ignored};
constexpr Field put_result_fields[] = {exact_field(1, hash_bytes), bytes_field(2, custody_bytes_max), number_field(3),
                                       number_field(4), number_field(5)};
constexpr Shape put_result_shape{"PutResult", put_result_fields, Unknown::ignored};
constexpr Field put_reply_fields[] = {message_field(1, put_result_shape, envelopes_per_put_max)};
constexpr Shape put_reply_shape{"PutReply", put_reply_fields, Unknown::ignored};
constexpr Field offer_fields[] = {bytes_field(1, header_bytes_max), bytes_field(2, manifest_bytes_max)};
constexpr Shape offer_shape{"Offer", offer_fields, Unknown::ignored};
constexpr Field offer_reply_fields[] = {exact_field(1, hash_bytes), bytes_field(2, have_bytes_max), number_field(3)};
constexpr Shape offer_reply_shape{"OfferReply", offer_reply_fields, Unknown::ignored};
constexpr Field chunk_put_fields[] = {exact_field(1, hash_bytes), number_field(2)};
constexpr Shape chunk_put_shape{"ChunkPut", chunk_put_fields, Unknown::ignored};
constexpr Field chunk_done_fields[] = {exact_field(1, hash_bytes), numbers_field(2, items_per_frame_max),
                                       number_field(3)};
constexpr Shape chunk_done_shape{"ChunkDone", chunk_done_fields, Unknown::ignored};
constexpr Field reconcile_fields[] = {exact_field(1, hash_bytes, reconcile_ids_per_page_max)};
constexpr Shape reconcile_shape{"Reconcile", reconcile_fields, Unknown::ignored};
constexpr Shape reconcile_reply_shape{"ReconcileReply", reconcile_fields, Unknown::ignored};

constexpr Field announced_item_fields[] = {exact_field(1, envelope_bytes), number_field(2),
                                           exact_field(3, hash_bytes)};
constexpr Shape announced_item_shape{"AnnouncedItem", announced_item_fields, Unknown::ignored};
constexpr Field announce_fields[] = {message_field(1, announced_item_shape, items_per_frame_max)};
constexpr Shape announce_shape{"Announce", announce_fields, Unknown::ignored};
constexpr Field ids_fields[] = {exact_field(1, hash_bytes, items_per_frame_max)};
constexpr Shape fetch_shape{"Fetch", ids_fields, Unknown::ignored};
constexpr Field content_fields[] = {exact_field(1, hash_bytes),
                                    bytes_field(2, header_bytes_max),
                                    bytes_field(3, manifest_bytes_max),
                                    exact_field(4, officer_blob_bytes),
                                    bytes_field(5, inline_chunk_bytes_max),
                                    number_field(6)};
constexpr Shape content_shape{"Content", content_fields, Unknown::ignored};
constexpr Field manifest_get_fields[] = {exact_field(1, hash_bytes)};
constexpr Shape manifest_get_shape{"ManifestGet", manifest_get_fields, Unknown::ignored};
constexpr Field manifest_data_fields[] = {exact_field(1, hash_bytes), bytes_field(2, manifest_bytes_max),
                                          number_field(3)};
constexpr Shape manifest_data_shape{"ManifestData", manifest_data_fields, Unknown::ignored};
constexpr Field chunk_ref_fields[] = {exact_field(1, hash_bytes), number_field(2), number_field(3)};
constexpr Shape chunk_get_shape{"ChunkGet", chunk_ref_fields, Unknown::ignored};
constexpr Shape chunk_data_shape{"ChunkData", chunk_ref_fields, Unknown::ignored};
constexpr Field ack_item_fields[] = {bytes_field(1, statement_bytes_max), exact_field(2, cell_bytes)};
constexpr Shape ack_item_shape{"AckItem", ack_item_fields, Unknown::ignored};
constexpr Field ack_put_fields[] = {message_field(1, ack_item_shape, items_with_cells_max)};
constexpr Shape ack_put_shape{"AckPut", ack_put_fields, Unknown::ignored};
constexpr Shape ack_reply_shape{"AckReply", ids_fields, Unknown::ignored};

constexpr Field mail_item_fields[] = {exact_field(1, party_bytes), bytes_field(2, cell_bytes)};
constexpr Shape mail_item_shape{"MailItem", mail_item_fields, Unknown::ignored};
constexpr Field mail_fields[] = {message_field(1, mail_item_shape, items_with_cells_max)};
constexpr Shape mail_post_shape{"MailPost", mail_fields, Unknown::ignored};
constexpr Shape mail_posted_shape{"MailPosted", ids_fields, Unknown::ignored};
constexpr Shape mail_deliver_shape{"MailDeliver", mail_fields, Unknown::ignored};
constexpr Shape mail_done_shape{"MailDone", ids_fields, Unknown::ignored};

constexpr Field directory_get_fields[] = {number_field(1), bytes_field(2, note_bytes_max, views_per_frame_max)};
constexpr Shape directory_get_shape{"DirectoryGet", directory_get_fields, Unknown::ignored};
constexpr Field directory_entries_fields[] = {number_field(1), number_field(2),
                                              bytes_field(3, directory_entry_bytes_max, items_per_frame_max),
                                              bytes_field(4, note_bytes_max, views_per_frame_max)};
constexpr Shape directory_entries_shape{"DirectoryEntries", directory_entries_fields, Unknown::ignored};
constexpr Field directory_put_fields[] = {bytes_field(1, directory_entry_bytes_max, items_per_frame_max)};
constexpr Shape directory_put_shape{"DirectoryPut", directory_put_fields, Unknown::ignored};
constexpr Field kx_put_fields[] = {bytes_field(1, kx_feed_bytes_max)};
constexpr Shape kx_put_shape{"KxPut", kx_put_fields, Unknown::ignored};
constexpr Field kx_get_fields[] = {exact_field(1, party_bytes, items_with_cells_max)};
constexpr Shape kx_get_shape{"KxGet", kx_get_fields, Unknown::ignored};
constexpr Field kx_feeds_fields[] = {bytes_field(1, kx_feed_bytes_max, items_with_cells_max)};
constexpr Shape kx_feeds_shape{"KxFeeds", kx_feeds_fields, Unknown::ignored};

constexpr Field checkpoint_put_fields[] = {bytes_field(1, note_bytes_max),
                                           number_field(2),
                                           exact_field(3, hash_bytes, proof_hashes_max),
                                           number_field(4),
                                           bytes_field(5, leaves_per_page_max * hash_bytes),
                                           exact_field(6, hash_bytes, proof_hashes_max)};
constexpr Shape checkpoint_put_shape{"CheckpointPut", checkpoint_put_fields, Unknown::ignored};
constexpr Field checkpoint_reply_fields[] = {bytes_field(1, signature_line_bytes_max), bytes_field(2, note_bytes_max),
                                             number_field(3), number_field(4)};
constexpr Shape checkpoint_reply_shape{"CheckpointReply", checkpoint_reply_fields, Unknown::ignored};
constexpr Field checkpoint_get_fields[] = {exact_field(1, party_bytes)};
constexpr Shape checkpoint_get_shape{"CheckpointGet", checkpoint_get_fields, Unknown::ignored};
constexpr Field checkpoint_data_fields[] = {exact_field(1, party_bytes), bytes_field(2, note_bytes_max),
                                            number_field(3), number_field(4)};
constexpr Shape checkpoint_data_shape{"CheckpointData", checkpoint_data_fields, Unknown::ignored};
constexpr Field leaves_get_fields[] = {exact_field(1, party_bytes), number_field(2), number_field(3)};
constexpr Shape leaves_get_shape{"LeavesGet", leaves_get_fields, Unknown::ignored};
constexpr Field leaves_data_fields[] = {exact_field(1, party_bytes), number_field(2), number_field(3),
                                        bytes_field(4, leaves_per_page_max * hash_bytes)};
constexpr Shape leaves_data_shape{"LeavesData", leaves_data_fields, Unknown::ignored};
constexpr Field checkpoint_list_fields[] = {exact_field(1, party_bytes), number_field(2)};
constexpr Shape checkpoint_list_shape{"CheckpointList", checkpoint_list_fields, Unknown::ignored};
constexpr Field checkpoint_page_fields[] = {bytes_field(1, note_bytes_max, items_with_cells_max), number_field(2)};
constexpr Shape checkpoint_page_shape{"CheckpointPage", checkpoint_page_fields, Unknown::ignored};
constexpr Field cosignature_put_fields[] = {bytes_field(1, note_bytes_max)};
constexpr Shape cosignature_put_shape{"CosignaturePut", cosignature_put_fields, Unknown::ignored};

constexpr Field frame_fields[] = {number_field(1),
                                  message_field(10, hello_shape),
                                  message_field(11, hello_reply_shape),
                                  message_field(12, refused_shape),
                                  message_field(13, empty_shape),
                                  message_field(14, empty_shape),
                                  message_field(20, put_shape),
                                  message_field(21, put_reply_shape),
                                  message_field(22, offer_shape),
                                  message_field(23, offer_reply_shape),
                                  message_field(24, chunk_put_shape),
                                  message_field(25, chunk_done_shape),
                                  message_field(26, reconcile_shape),
                                  message_field(27, reconcile_reply_shape),
                                  message_field(40, announce_shape),
                                  message_field(41, fetch_shape),
                                  message_field(42, content_shape),
                                  message_field(43, manifest_get_shape),
                                  message_field(44, manifest_data_shape),
                                  message_field(45, chunk_get_shape),
                                  message_field(46, chunk_data_shape),
                                  message_field(47, ack_put_shape),
                                  message_field(48, ack_reply_shape),
                                  message_field(60, mail_post_shape),
                                  message_field(61, mail_posted_shape),
                                  message_field(62, mail_deliver_shape),
                                  message_field(63, mail_done_shape),
                                  message_field(70, directory_get_shape),
                                  message_field(71, directory_entries_shape),
                                  message_field(72, directory_put_shape),
                                  message_field(73, kx_put_shape),
                                  message_field(74, kx_get_shape),
                                  message_field(75, kx_feeds_shape),
                                  message_field(80, checkpoint_put_shape),
                                  message_field(81, checkpoint_reply_shape),
                                  message_field(82, checkpoint_get_shape),
                                  message_field(83, checkpoint_data_shape),
                                  message_field(84, leaves_get_shape),
                                  message_field(85, leaves_data_shape),
                                  message_field(86, checkpoint_list_shape),
                                  message_field(87, checkpoint_page_shape),
                                  message_field(88, cosignature_put_shape)};
constexpr Shape frame_shape{"Frame", frame_fields, Unknown::ignored, 10};

// ---- reading ------------------------------------------------------------------------------------------------

bool legal_on_bulk(pb::Frame::BodyCase body) {
  switch (body) {
    case pb::Frame::kHello:
    case pb::Frame::kHelloReply:
    case pb::Frame::kRefused:
    case pb::Frame::kPing:
    case pb::Frame::kDone:
    case pb::Frame::kOffer:
    case pb::Frame::kOfferReply:
    case pb::Frame::kChunkPut:
    case pb::Frame::kChunkDone:
    case pb::Frame::kManifestGet:
    case pb::Frame::kManifestData:
    case pb::Frame::kChunkGet:
    case pb::Frame::kChunkData:
      return true;
    default:
      return false;
  }
}
bool only_on_bulk(pb::Frame::BodyCase body) {
  switch (body) {
    case pb::Frame::kHello:
    case pb::Frame::kHelloReply:
    case pb::Frame::kRefused:
    case pb::Frame::kPing:
    case pb::Frame::kDone:
      return false;
    default:
      return legal_on_bulk(body);
  }
}

uint32_t chunk_index(Checks& checks, uint32_t index, const char* what) {
  checks.require(index < chunks_per_body_max, what);
  return index;
}

std::vector<MailItem> mail_items(Checks& checks, const google::protobuf::RepeatedPtrField<pb::MailItem>& items) {
  std::vector<MailItem> out;
  out.reserve(static_cast<size_t>(items.size()));
  for (const auto& item : items) {
    checks.require(!item.content().empty(), "MailItem.content");
    out.push_back({checks.id<PartyId>(item.to(), "MailItem.to"), bytes_of(item.content())});
  }
  return out;
}

/// Hashes one behind the other in one field.
std::vector<Hash> joined_hashes(Checks& checks, const std::string& raw, const char* what) {
  checks.require(raw.size() % hash_bytes == 0, what);
  std::vector<Hash> out;
  out.reserve(raw.size() / hash_bytes);
  for (size_t at = 0; at + hash_bytes <= raw.size(); at += hash_bytes)
    out.push_back(*Hash::from(view(raw).subspan(at, hash_bytes)));
  return out;
}

FrameBody read_body(Checks& checks, const pb::Frame& frame) {
  switch (frame.body_case()) {
    case pb::Frame::kHello: {
      const auto& from = frame.hello();
      return Hello{from.version(),  from.inc(),        from.directory_size(),
                   from.software(), from.recovering(), bytes_of(from.seen())};
    }
    case pb::Frame::kHelloReply: {
      const auto& from = frame.hello_reply();
      HelloReply to;
      to.version = from.version();
      to.broker = checks.id<PartyId>(from.broker(), "HelloReply.broker");
      to.epoch = checks.id<Epoch>(from.epoch(), "HelloReply.epoch");
      to.log_size = from.log_size();
      to.log_root = checks.id<Hash>(from.log_root(), "HelloReply.log_root");
      to.time = checks.time(from.time_ms(), "HelloReply.time_ms");
      to.directory_size = from.directory_size();
      to.incarnation = to_bytes(view(from.incarnation()));
      to.recovery = to_bytes(view(from.recovery()));
      to.checkpoint = bytes_of(from.checkpoint());
      return to;
    }
    case pb::Frame::kRefused: {
      const auto& from = frame.refused();
      return Refused{checks.u16(from.code(), "Refused.code"), from.retry_after_ms(), from.detail()};
    }
    case pb::Frame::kPut: {
      const auto& from = frame.put();
      Put to;
      to.header = bytes_of(from.header());
      to.manifest = bytes_of(from.manifest());
      to.inline_chunk = bytes_of(from.inline_chunk());
      to.doc_id = checks.id<DocId>(from.doc_id(), "Put.doc_id");
      to.items.reserve(static_cast<size_t>(from.items_size()));
      checks.require(from.items_size() > 0, "Put.items");
      for (const auto& item : from.items()) {
        checks.require(!item.envelope().empty(), "PutItem.envelope");
        checks.require(!item.officer_blob().empty(), "PutItem.officer_blob");
        to.items.push_back({bytes_of(item.envelope()), bytes_of(item.officer_blob())});
      }
      return to;
    }
    case pb::Frame::kPutReply: {
      PutReply to;
      to.results.reserve(static_cast<size_t>(frame.put_reply().results_size()));
      for (const auto& from : frame.put_reply().results())
        to.results.push_back({checks.id<EnvelopeId>(from.env_id(), "PutResult.env_id"), bytes_of(from.custody()),
                              checks.u16(from.refusal(), "PutResult.refusal"), from.retry_after_ms(), from.entry()});
      return to;
    }
    case pb::Frame::kOffer: {
      const auto& from = frame.offer();
      checks.require(!from.header().empty(), "Offer.header");
      checks.require(!from.manifest().empty(), "Offer.manifest");
      return Offer{bytes_of(from.header()), bytes_of(from.manifest())};
    }
    case pb::Frame::kOfferReply: {
      const auto& from = frame.offer_reply();
      return OfferReply{checks.id<DocId>(from.doc_id(), "OfferReply.doc_id"), bytes_of(from.have()), from.credit()};
    }
    case pb::Frame::kChunkPut: {
      const auto& from = frame.chunk_put();
      return ChunkPut{checks.id<DocId>(from.doc_id(), "ChunkPut.doc_id"),
                      chunk_index(checks, from.index(), "ChunkPut.index")};
    }
    case pb::Frame::kChunkDone: {
      const auto& from = frame.chunk_done();
      ChunkDone to;
      to.doc_id = checks.id<DocId>(from.doc_id(), "ChunkDone.doc_id");
      to.indexes.assign(from.indexes().begin(), from.indexes().end());
      for (const uint32_t index : to.indexes) chunk_index(checks, index, "ChunkDone.indexes");
      to.refusal = checks.u16(from.refusal(), "ChunkDone.refusal");
      return to;
    }
    case pb::Frame::kReconcile:
      return Reconcile{checks.ids<EnvelopeId>(frame.reconcile().env_ids(), "Reconcile.env_ids")};
    case pb::Frame::kReconcileReply:
      return ReconcileReply{checks.ids<EnvelopeId>(frame.reconcile_reply().missing(), "ReconcileReply.missing")};
    case pb::Frame::kAnnounce: {
      Announce to;
      to.items.reserve(static_cast<size_t>(frame.announce().items_size()));
      for (const auto& from : frame.announce().items()) {
        checks.require(!from.envelope().empty(), "AnnouncedItem.envelope");
        to.items.push_back({bytes_of(from.envelope()), from.position(),
                            checks.id<Hash>(from.queue_head(), "AnnouncedItem.queue_head")});
      }
      return to;
    }
    case pb::Frame::kFetch:
      return Fetch{checks.ids<EnvelopeId>(frame.fetch().env_ids(), "Fetch.env_ids")};
    case pb::Frame::kContent: {
      const auto& from = frame.content();
      Content to;
      to.env_id = checks.id<EnvelopeId>(from.env_id(), "Content.env_id");
      to.header = bytes_of(from.header());
      to.manifest = bytes_of(from.manifest());
      to.officer_blob = bytes_of(from.officer_blob());
      to.inline_chunk = bytes_of(from.inline_chunk());
      to.refusal = checks.u16(from.refusal(), "Content.refusal");
      return to;
    }
    case pb::Frame::kManifestGet:
      return ManifestGet{checks.id<DocId>(frame.manifest_get().doc_id(), "ManifestGet.doc_id")};
    case pb::Frame::kManifestData: {
      const auto& from = frame.manifest_data();
      return ManifestData{checks.id<DocId>(from.doc_id(), "ManifestData.doc_id"), bytes_of(from.manifest()),
                          checks.u16(from.refusal(), "ManifestData.refusal")};
    }
    case pb::Frame::kChunkGet: {
      const auto& from = frame.chunk_get();
      checks.require(from.count() <= chunk_credit, "ChunkGet.count");
      return ChunkGet{checks.id<DocId>(from.doc_id(), "ChunkGet.doc_id"),
                      chunk_index(checks, from.first(), "ChunkGet.first"), from.count()};
    }
    case pb::Frame::kChunkData: {
      const auto& from = frame.chunk_data();
      return ChunkData{checks.id<DocId>(from.doc_id(), "ChunkData.doc_id"),
                       chunk_index(checks, from.index(), "ChunkData.index"),
                       checks.u16(from.refusal(), "ChunkData.refusal")};
    }
    case pb::Frame::kAckPut: {
      AckPut to;
      to.items.reserve(static_cast<size_t>(frame.ack_put().items_size()));
      for (const auto& from : frame.ack_put().items()) {
        checks.require(!from.statement().empty(), "AckItem.statement");
        to.items.push_back({bytes_of(from.statement()), bytes_of(from.cell())});
      }
      return to;
    }
    case pb::Frame::kAckReply:
      return AckReply{checks.ids<EnvelopeId>(frame.ack_reply().stored(), "AckReply.stored")};
    case pb::Frame::kMailPost:
      return MailPost{mail_items(checks, frame.mail_post().items())};
    case pb::Frame::kMailPosted:
      return MailPosted{checks.ids<Hash>(frame.mail_posted().ids(), "MailPosted.ids")};
    case pb::Frame::kMailDeliver:
      return MailDeliver{mail_items(checks, frame.mail_deliver().items())};
    case pb::Frame::kMailDone:
      return MailDone{checks.ids<Hash>(frame.mail_done().ids(), "MailDone.ids")};
    case pb::Frame::kDirectoryGet:
      return DirectoryGet{frame.directory_get().from(), all_bytes(frame.directory_get().views())};
    case pb::Frame::kDirectoryEntries: {
      const auto& from = frame.directory_entries();
      return DirectoryEntries{from.size(), from.from(), all_bytes(from.entries()), all_bytes(from.views())};
    }
    case pb::Frame::kDirectoryPut:
      return DirectoryPut{all_bytes(frame.directory_put().entries())};
    case pb::Frame::kKxPut:
      checks.require(!frame.kx_put().feed().empty(), "KxPut.feed");
      return KxPut{bytes_of(frame.kx_put().feed())};
    case pb::Frame::kKxGet:
      return KxGet{checks.ids<PartyId>(frame.kx_get().agencies(), "KxGet.agencies")};
    case pb::Frame::kKxFeeds:
      return KxFeeds{all_bytes(frame.kx_feeds().feeds())};
    case pb::Frame::kCheckpointPut: {
      const auto& from = frame.checkpoint_put();
      checks.require(!from.note().empty(), "CheckpointPut.note");
      CheckpointPut to;
      to.note = bytes_of(from.note());
      to.old_size = from.old_size();
      to.proof = checks.ids<Hash>(from.proof(), "CheckpointPut.proof");
      to.leaves_from = from.leaves_from();
      to.leaves = joined_hashes(checks, from.leaves(), "CheckpointPut.leaves");
      to.leaves_proof = checks.ids<Hash>(from.leaves_proof(), "CheckpointPut.leaves_proof");
      return to;
    }
    case pb::Frame::kCheckpointReply: {
      const auto& from = frame.checkpoint_reply();
      return CheckpointReply{bytes_of(from.cosignature()), bytes_of(from.note()), from.mirrored(),
                             checks.u16(from.refusal(), "CheckpointReply.refusal")};
    }
    case pb::Frame::kCheckpointGet:
      return CheckpointGet{checks.id<PartyId>(frame.checkpoint_get().party(), "CheckpointGet.party")};
    case pb::Frame::kCheckpointData: {
      const auto& from = frame.checkpoint_data();
      return CheckpointData{checks.id<PartyId>(from.party(), "CheckpointData.party"), bytes_of(from.note()),
                            from.mirrored(), from.unsure()};
    }
    case pb::Frame::kLeavesGet: {
      const auto& from = frame.leaves_get();
      return LeavesGet{checks.id<PartyId>(from.party(), "LeavesGet.party"), from.generation(), from.from()};
    }
    case pb::Frame::kLeavesData: {
      const auto& from = frame.leaves_data();
      return LeavesData{checks.id<PartyId>(from.party(), "LeavesData.party"), from.generation(), from.from(),
                        joined_hashes(checks, from.leaves(), "LeavesData.leaves")};
    }
    case pb::Frame::kCheckpointList:
      return CheckpointList{checks.id_or_zero<PartyId>(frame.checkpoint_list().after(), "CheckpointList.after"),
                            frame.checkpoint_list().told()};
    case pb::Frame::kCheckpointPage:
      return CheckpointPage{all_bytes(frame.checkpoint_page().notes()), frame.checkpoint_page().more()};
    case pb::Frame::kCosignaturePut:
      checks.require(!frame.cosignature_put().note().empty(), "CosignaturePut.note");
      return CosignaturePut{bytes_of(frame.cosignature_put().note())};
    case pb::Frame::kPing:
      return Ping{};
    case pb::Frame::kDone:
      return Done{};
    case pb::Frame::BODY_NOT_SET:
      break;
  }
  checks.require(false, "Frame.body");
  return Done{};
}

}  // namespace

Result<Frame> decode_frame(BytesView bytes, Endpoint endpoint) {
  MessageArena arena;
  auto& message = arena.make<pb::Frame>();
  const bool bulk = endpoint == Endpoint::bulk;
  TRAM_OK(parse(bytes, frame_shape, bulk ? bulk_frame_bytes_max : control_frame_bytes_max, message));
  const auto body_case = message.body_case();
  if (bulk ? !legal_on_bulk(body_case) : only_on_bulk(body_case))
    return fail(ErrorCode::bad_format, "Frame: not legal on this endpoint");
  Checks checks;
  Frame frame;
  frame.request = message.request();
  frame.body = read_body(checks, message);
  TRAM_OK(checks.result());
  return frame;
}

}  // namespace tram::proto
