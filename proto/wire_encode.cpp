// Frames, written: domain values into protobuf. What may be read back, and how much of it, is wire.cpp's to say.
#include "proto/codec.h"
#include "proto/wire.h"
#include "wire.pb.h"

namespace tram::proto {
namespace {

void set(const Bytes& value, std::string* field) { field->assign(text(value)); }
template <class Ids, class Repeated>
void set_ids(const Ids& ids, Repeated* field) {
  field->Reserve(static_cast<int>(ids.size()));
  for (const auto& id : ids) field->Add(wire(id));
}
void set_joined(const std::vector<Hash>& hashes, std::string* field) {
  field->reserve(hashes.size() * Hash::size);
  for (const Hash& one : hashes) field->append(text(one.view()));
}
void set_all(const std::vector<Bytes>& values, google::protobuf::RepeatedPtrField<std::string>* field) {
  field->Reserve(static_cast<int>(values.size()));
  for (const auto& value : values) set(value, field->Add());
}
void set_mail(const std::vector<MailItem>& items, google::protobuf::RepeatedPtrField<pb::MailItem>* field) {
  for (const auto& item : items) {
    auto* out = field->Add();
    out->set_to(wire(item.to));
    set(item.content, out->mutable_content());
  }
}

struct Filler {
  pb::Frame& frame;

  void operator()(const Hello& from) const {
    auto& to = *frame.mutable_hello();
    to.set_version(from.version);
    to.set_inc(from.inc);
    to.set_directory_size(from.directory_size);
    to.set_software(to_utf8(from.software));
    to.set_recovering(from.recovering);
    if (!from.seen.empty()) set(from.seen, to.mutable_seen());
  }
  void operator()(const HelloReply& from) const {
    auto& to = *frame.mutable_hello_reply();
    to.set_version(from.version);
    to.set_broker(wire(from.broker));
    to.set_epoch(wire(from.epoch));
    to.set_log_size(from.log_size);
    to.set_log_root(wire(from.log_root));
    to.set_time_ms(from.time.wire());
    to.set_directory_size(from.directory_size);
    to.set_incarnation(wire(from.incarnation));
    to.set_recovery(wire(from.recovery));
    if (!from.checkpoint.empty()) set(from.checkpoint, to.mutable_checkpoint());
  }
  void operator()(const Refused& from) const {
    auto& to = *frame.mutable_refused();
    to.set_code(from.code);
    to.set_retry_after_ms(from.retry_after_ms);
    to.set_detail(to_utf8(from.detail));
  }
  void operator()(const Put& from) const {
    auto& to = *frame.mutable_put();
    if (!from.header.empty()) set(from.header, to.mutable_header());
    if (!from.manifest.empty()) set(from.manifest, to.mutable_manifest());
    if (!from.inline_chunk.empty()) set(from.inline_chunk, to.mutable_inline_chunk());
    to.set_doc_id(wire(from.doc_id));
    to.mutable_items()->Reserve(static_cast<int>(from.items.size()));
    for (const auto& item : from.items) {
      auto* out = to.add_items();
      set(item.envelope, out->mutable_envelope());
      set(item.officer_blob, out->mutable_officer_blob());
    }
  }
  void operator()(const PutReply& from) const {
    auto& to = *frame.mutable_put_reply();
    to.mutable_results()->Reserve(static_cast<int>(from.results.size()));
    for (const auto& result : from.results) {
      auto* out = to.add_results();
      out->set_env_id(wire(result.env_id));
      if (!result.custody.empty()) set(result.custody, out->mutable_custody());
      out->set_refusal(result.refusal);
      out->set_retry_after_ms(result.retry_after_ms);
      out->set_entry(result.entry);
    }
  }
  void operator()(const Offer& from) const {
    auto& to = *frame.mutable_offer();
    set(from.header, to.mutable_header());
    set(from.manifest, to.mutable_manifest());
  }
  void operator()(const OfferReply& from) const {
    auto& to = *frame.mutable_offer_reply();
    to.set_doc_id(wire(from.doc_id));
    if (!from.have.empty()) set(from.have, to.mutable_have());
    to.set_credit(from.credit);
  }
  void operator()(const ChunkPut& from) const {
    auto& to = *frame.mutable_chunk_put();
    to.set_doc_id(wire(from.doc_id));
    to.set_index(from.index);
  }
  void operator()(const ChunkDone& from) const {
    auto& to = *frame.mutable_chunk_done();
    to.set_doc_id(wire(from.doc_id));
    to.mutable_indexes()->Add(from.indexes.begin(), from.indexes.end());
    to.set_refusal(from.refusal);
  }
  void operator()(const Reconcile& from) const {
    set_ids(from.env_ids, frame.mutable_reconcile()->mutable_env_ids());
  }
  void operator()(const ReconcileReply& from) const {
    set_ids(from.missing, frame.mutable_reconcile_reply()->mutable_missing());
  }
  void operator()(const Announce& from) const {
    auto& to = *frame.mutable_announce();
    to.mutable_items()->Reserve(static_cast<int>(from.items.size()));
    for (const auto& item : from.items) {
      auto* out = to.add_items();
      set(item.envelope, out->mutable_envelope());
      out->set_position(item.position);
      out->set_queue_head(wire(item.queue_head));
    }
  }
  void operator()(const Fetch& from) const { set_ids(from.env_ids, frame.mutable_fetch()->mutable_env_ids()); }
  void operator()(const Content& from) const {
    auto& to = *frame.mutable_content();
    to.set_env_id(wire(from.env_id));
    if (!from.header.empty()) set(from.header, to.mutable_header());
    if (!from.manifest.empty()) set(from.manifest, to.mutable_manifest());
    if (!from.officer_blob.empty()) set(from.officer_blob, to.mutable_officer_blob());
    if (!from.inline_chunk.empty()) set(from.inline_chunk, to.mutable_inline_chunk());
    to.set_refusal(from.refusal);
  }
  void operator()(const ManifestGet& from) const { frame.mutable_manifest_get()->set_doc_id(wire(from.doc_id)); }
  void operator()(const ManifestData& from) const {
    auto& to = *frame.mutable_manifest_data();
    to.set_doc_id(wire(from.doc_id));
    if (!from.manifest.empty()) set(from.manifest, to.mutable_manifest());
    to.set_refusal(from.refusal);
  }
  void operator()(const ChunkGet& from) const {
    auto& to = *frame.mutable_chunk_get();
    to.set_doc_id(wire(from.doc_id));
    to.set_first(from.first);
    to.set_count(from.count);
  }
  void operator()(const ChunkData& from) const {
    auto& to = *frame.mutable_chunk_data();
    to.set_doc_id(wire(from.doc_id));
    to.set_index(from.index);
    to.set_refusal(from.refusal);
  }
  void operator()(const AckPut& from) const {
    auto& to = *frame.mutable_ack_put();
    for (const auto& item : from.items) {
      auto* out = to.add_items();
      set(item.statement, out->mutable_statement());
      if (!item.cell.empty()) set(item.cell, out->mutable_cell());
    }
  }
  void operator()(const AckReply& from) const { set_ids(from.stored, frame.mutable_ack_reply()->mutable_stored()); }
  void operator()(const MailPost& from) const { set_mail(from.items, frame.mutable_mail_post()->mutable_items()); }
  void operator()(const MailPosted& from) const { set_ids(from.ids, frame.mutable_mail_posted()->mutable_ids()); }
  void operator()(const MailDeliver& from) const {
    set_mail(from.items, frame.mutable_mail_deliver()->mutable_items());
  }
  void operator()(const MailDone& from) const { set_ids(from.ids, frame.mutable_mail_done()->mutable_ids()); }
  void operator()(const DirectoryGet& from) const {
    auto& to = *frame.mutable_directory_get();
    to.set_from(from.from);
    set_all(from.views, to.mutable_views());
  }
  void operator()(const DirectoryEntries& from) const {
    auto& to = *frame.mutable_directory_entries();
    to.set_size(from.size);
    to.set_from(from.from);
    set_all(from.entries, to.mutable_entries());
    set_all(from.views, to.mutable_views());
  }
  void operator()(const DirectoryPut& from) const {
    set_all(from.entries, frame.mutable_directory_put()->mutable_entries());
  }
  void operator()(const KxPut& from) const { set(from.feed, frame.mutable_kx_put()->mutable_feed()); }
  void operator()(const KxGet& from) const { set_ids(from.agencies, frame.mutable_kx_get()->mutable_agencies()); }
  void operator()(const KxFeeds& from) const { set_all(from.feeds, frame.mutable_kx_feeds()->mutable_feeds()); }
  void operator()(const CheckpointPut& from) const {
    auto& to = *frame.mutable_checkpoint_put();
    set(from.note, to.mutable_note());
    to.set_old_size(from.old_size);
    set_ids(from.proof, to.mutable_proof());
    to.set_leaves_from(from.leaves_from);
    set_joined(from.leaves, to.mutable_leaves());
    set_ids(from.leaves_proof, to.mutable_leaves_proof());
  }
  void operator()(const CheckpointReply& from) const {
    auto& to = *frame.mutable_checkpoint_reply();
    if (!from.cosignature.empty()) set(from.cosignature, to.mutable_cosignature());
    if (!from.note.empty()) set(from.note, to.mutable_note());
    to.set_mirrored(from.mirrored);
    to.set_refusal(from.refusal);
  }
  void operator()(const CheckpointGet& from) const { frame.mutable_checkpoint_get()->set_party(wire(from.party)); }
  void operator()(const CheckpointData& from) const {
    auto& to = *frame.mutable_checkpoint_data();
    to.set_party(wire(from.party));
    if (!from.note.empty()) set(from.note, to.mutable_note());
    to.set_mirrored(from.mirrored);
    to.set_unsure(from.unsure);
  }
  void operator()(const LeavesGet& from) const {
    auto& to = *frame.mutable_leaves_get();
    to.set_party(wire(from.party));
    to.set_generation(from.generation);
    to.set_from(from.from);
  }
  void operator()(const LeavesData& from) const {
    auto& to = *frame.mutable_leaves_data();
    to.set_party(wire(from.party));
    to.set_generation(from.generation);
    to.set_from(from.from);
    set_joined(from.leaves, to.mutable_leaves());
  }
  void operator()(const CheckpointList& from) const {
    auto& to = *frame.mutable_checkpoint_list();
    if (!from.after.is_zero()) to.set_after(wire(from.after));
    to.set_told(from.told);
  }
  void operator()(const CheckpointPage& from) const {
    auto& to = *frame.mutable_checkpoint_page();
    set_all(from.notes, to.mutable_notes());
    to.set_more(from.more);
  }
  void operator()(const CosignaturePut& from) const { set(from.note, frame.mutable_cosignature_put()->mutable_note()); }
  void operator()(const Ping&) const { frame.mutable_ping(); }
  void operator()(const Done&) const { frame.mutable_done(); }
};

}  // namespace

Bytes encode_frame(const Frame& frame) {
  MessageArena arena;
  auto& message = arena.make<pb::Frame>();
  message.set_request(frame.request);
  std::visit(Filler{message}, frame.body);
  return serialise(message);
}

}  // namespace tram::proto
