// Frames from the network, as brokers and nodes take them apart, and the checks that stand between a frame and a step:
// signatures of custody requests, answers and mail. A signed part that could be read is signed again by the honest key
// (the first byte's last bit decides), so that what lies behind the signature is reached.
#include "base/limits.h"
#include "broker/jobs.h"
#include "node/jobs.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

namespace {

using broker::VerifyAckDone;
using broker::VerifyMailDone;
using broker::VerifyPutDone;
using proto::Endpoint;

class NoBodies final : public Bodies {
 public:
  Result<void> create(std::string_view, uint64_t) override { return {}; }
  Result<void> write(std::string_view, uint64_t, BytesView) override { return {}; }
  Result<void> sync(std::string_view) override { return {}; }
  Result<void> read(std::string_view, uint64_t, std::span<uint8_t>) override { return fail(ErrorCode::not_found); }
  Result<void> remove(std::string_view) override { return {}; }
  Result<std::vector<std::string>> list() override { return std::vector<std::string>{}; }
};

const crypto::KxKeyPair& our_kx() {
  static const crypto::KxKeyPair pair = crypto::kx_pair_from(crypto::Secret32(Bytes(32, 0x11)));
  return pair;
}

template <class Object>
bool sign_again(Bytes& bytes, Result<Object> (*decode)(BytesView),
                Bytes (*encode)(Object&, const crypto::SigningKey&)) {
  auto object = decode(bytes);
  if (!object) return false;
  bytes = encode(*object, signer());
  return true;
}
void sign_statement(Bytes& bytes) {
  if (!sign_again<crypto::Ack>(bytes, crypto::decode_ack, crypto::encode_ack))
    sign_again<crypto::Notice>(bytes, crypto::decode_notice, crypto::encode_notice);
}

// ---- what a broker does ------------------------------------------------------------------------------------------

void check_put(proto::Put put, bool honest) {
  PartyId sender;
  if (honest) {
    sign_again<crypto::Header>(put.header, crypto::decode_header, crypto::encode_header);
    for (auto& item : put.items)
      sign_again<crypto::Envelope>(item.envelope, crypto::decode_envelope, crypto::encode_envelope);
  }
  if (auto header = crypto::decode_header(put.header)) {
    sender = header->sender;
    if (honest) put.doc_id = header->id;
  } else if (!put.items.empty()) {
    if (auto envelope = crypto::decode_envelope(put.items[0].envelope)) sender = envelope->sender;
  }
  broker::VerifyPutJob::Item item{{{}, sender, 1}, put, {signer().public_key()}, {}};
  NoBodies bodies;
  const auto done = broker::run_job(broker::VerifyPutJob{{item}}, bodies);
  const auto& out = std::get<VerifyPutDone>(done).items.at(0);
  if (out.refusal != 0) {
    require(!out.body_verified && out.parts.empty(), "what is refused has no parts");
    require(find_error(out.refusal) != nullptr, "a refusal is in the table");
    return;
  }
  require(out.parts.size() == put.items.size(), "one verdict an envelope");
  if (out.body_verified) {
    require(honest, "a body needs its sender's signature");
    require(out.header.id == put.doc_id && out.header.sender == sender, "a body is its sender's");
    require(crypto::manifest_id(put.manifest) == out.header.manifest_id, "a body is its manifest's");
    auto manifest = crypto::decode_manifest(put.manifest);
    require(manifest && manifest->chunks.size() == 1 && crypto::chunk_id(put.inline_chunk) == manifest->chunks[0] &&
                out.body_bytes == put.inline_chunk.size(),
            "a body is its chunk");
  }
  for (size_t i = 0; i < out.parts.size(); ++i) {
    if (out.parts[i].refusal != 0) continue;
    require(honest, "an envelope needs its sender's signature");
    const auto& envelope = out.parts[i].envelope;
    require(envelope.sender == sender && envelope.doc_id == put.doc_id, "an envelope is of this document and sender");
    require(put.items[i].officer_blob.size() == limits::officer_blob_bytes &&
                crypto::blob_id(put.items[i].officer_blob) == envelope.officer_blob_id,
            "an envelope names its blob");
  }
}

void check_offer(proto::Offer offer, bool honest) {
  if (honest) sign_again<crypto::Header>(offer.header, crypto::decode_header, crypto::encode_header);
  auto header = crypto::decode_header(offer.header);
  if (!header) return;
  broker::OfferJob job{{{}, header->sender, 1}, offer, header->id, {signer().public_key()}};
  NoBodies bodies;
  const auto done = std::get<broker::OfferDone>(broker::run_job(std::move(job), bodies));
  if (!done.outcome) return;
  require(honest, "an upload needs its sender's signature");
  auto manifest = crypto::decode_manifest(offer.manifest);
  require(manifest && manifest->chunks.size() == header->chunks && manifest->padded_bytes == header->padded_bytes &&
              crypto::manifest_id(offer.manifest) == header->manifest_id,
          "an upload is its header's");
  require(done.body_bytes == header->padded_bytes + uint64_t{header->chunks} * limits::chunk_overhead_bytes,
          "room for all of it");
}

void check_answers(proto::AckPut put, bool honest) {
  PartyId peer;
  for (auto& item : put.items) {
    if (honest) sign_statement(item.statement);
    if (auto ack = crypto::decode_ack(item.statement)) peer = ack->recipient;
    if (auto notice = crypto::decode_notice(item.statement)) peer = notice->issuer;
  }
  NoBodies bodies;
  const auto done = broker::run_job(broker::VerifyAckJob{{{{{}, peer, 1}, put, {signer().public_key()}}}}, bodies);
  const auto& parts = std::get<VerifyAckDone>(done).items.at(0).parts;
  require(parts.size() == put.items.size(), "one verdict an answer");
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].refusal != 0) continue;
    require(honest, "an answer needs its signature");
    require(parts[i].ack.has_value() != parts[i].notice.has_value(), "an answer is an ACK or a notice");
    require(parts[i].ack ? parts[i].ack->recipient == peer : parts[i].notice->issuer == peer,
            "an answer is its sender's own");
    require(!parts[i].notice || parts[i].notice->kind == crypto::NoticeKind::nack, "only a nack answers");
    require(put.items[i].cell.empty() || put.items[i].cell.size() == limits::cell_bytes, "cells have one size");
  }
}

void check_mail(proto::MailPost post, bool honest) {
  PartyId peer;
  for (auto& item : post.items) {
    if (honest && item.content.size() != limits::cell_bytes) sign_statement(item.content);
    if (auto notice = crypto::decode_notice(item.content)) peer = notice->issuer;
  }
  NoBodies bodies;
  const auto done = broker::run_job(broker::VerifyMailJob{{{}, peer, 1}, post, {signer().public_key()}}, bodies);
  const auto& parts = std::get<VerifyMailDone>(done).parts;
  require(parts.size() == post.items.size(), "one verdict a piece of mail");
  for (size_t i = 0; i < parts.size(); ++i) {
    require(parts[i].id == broker::mail_id(post.items[i].content), "mail is known by its content");
    if (parts[i].refusal != 0 || post.items[i].content.size() == limits::cell_bytes) continue;
    require(honest && parts[i].notice && parts[i].notice->issuer == peer && parts[i].notice->other == post.items[i].to,
            "a notice is signed and goes to whom it is about");
  }
}

// ---- what a node does --------------------------------------------------------------------------------------------

void check_custodies(const proto::PutReply& reply, bool honest) {
  node::CustodyJob job;
  for (const auto& result : reply.results) {
    Bytes custody = result.custody;
    if (honest) sign_again<crypto::Custody>(custody, crypto::decode_custody, crypto::encode_custody);
    auto decoded = crypto::decode_custody(custody);
    job.items.push_back({decoded ? decoded->broker : PartyId{}, signer().public_key(), std::move(custody)});
  }
  const size_t all = job.items.size();
  NoBodies bodies;
  Chance chance(1);
  node::Job one = std::move(job);
  const auto done = std::get<node::CustodyDone>(node::run_job(one, bodies, chance));
  require(done.valid.size() + done.forged == all, "every custody is judged");
  for (const auto& valid : done.valid) {
    auto custody = crypto::decode_custody(valid.custody);
    require(honest && custody && custody->broker == valid.broker, "custody is signed by its broker");
  }
}

void check_content(const proto::Content& content, BytesView in, bool honest) {
  node::OpenJob job;
  job.header = content.header;
  job.manifest = content.manifest;
  job.officer_blob = content.officer_blob;
  job.inline_chunk = content.inline_chunk;
  job.envelope = to_bytes(in.first(std::min(in.size(), limits::envelope_bytes)));
  if (honest) {
    sign_again<crypto::Header>(job.header, crypto::decode_header, crypto::encode_header);
    sign_again<crypto::Envelope>(job.envelope, crypto::decode_envelope, crypto::encode_envelope);
  }
  job.sender_key = signer().public_key();
  job.kx = {our_kx().secret.clone(), our_kx().public_key};
  job.have_kx = true;
  NoBodies bodies;
  Chance chance(1);
  node::Job one = std::move(job);
  require(!std::get<node::OpenDone>(node::run_job(one, bodies, chance)).outcome, "nobody sealed this for us");
}

void check_delivery(const proto::MailDeliver& deliver, bool honest) {
  node::MailJob job;
  for (const auto& item : deliver.items) {
    Bytes content = item.content;
    if (honest && content.size() != limits::cell_bytes) sign_statement(content);
    PartyId author = item.to;
    if (auto notice = crypto::decode_notice(content)) author = notice->issuer;
    job.items.push_back({broker::mail_id(content),
                         author,
                         std::move(content),
                         signer().public_key(),
                         {our_kx().secret.clone(), our_kx().public_key},
                         true,
                         {}});
  }
  NoBodies bodies;
  Chance chance(1);
  node::Job one = std::move(job);
  const auto done = std::get<node::MailJobDone>(node::run_job(one, bodies, chance));
  require(done.items.size() == deliver.items.size(), "every piece of mail is judged");
  for (const auto& item : done.items)
    if (item.outcome) require(honest && item.notice && item.notice->issuer == item.author, "mail is its author's own");
}

void check_endpoint(BytesView in, Endpoint endpoint, bool honest) {
  const size_t bytes_max =
      endpoint == Endpoint::control ? limits::control_frame_bytes_max : limits::bulk_frame_bytes_max;
  auto frame = proto::decode_frame(in, endpoint);
  if (!frame) {
    const ErrorCode code = frame.error().code;
    require(code == ErrorCode::bad_format || code == ErrorCode::too_large, "a refusal has its error");
    return;
  }
  require(in.size() <= bytes_max, "a frame is within its endpoint's limit");
  const Bytes canonical = proto::encode_frame(*frame);
  auto again = proto::decode_frame(canonical, endpoint);
  require(again.has_value(), "what we write we can read");
  require(again->request == frame->request && again->body.index() == frame->body.index(), "a frame keeps its kind");
  require(proto::encode_frame(*again) == canonical, "one frame is written in one way");
  if (endpoint == Endpoint::bulk) {
    if (auto* offer = std::get_if<proto::Offer>(&frame->body)) check_offer(*offer, honest);
    return;
  }
  if (auto* put = std::get_if<proto::Put>(&frame->body)) check_put(*put, honest);
  if (auto* answers = std::get_if<proto::AckPut>(&frame->body)) check_answers(*answers, honest);
  if (auto* mail = std::get_if<proto::MailPost>(&frame->body)) check_mail(*mail, honest);
  if (auto* reply = std::get_if<proto::PutReply>(&frame->body)) check_custodies(*reply, honest);
  if (auto* content = std::get_if<proto::Content>(&frame->body)) check_content(*content, in, honest);
  if (auto* delivery = std::get_if<proto::MailDeliver>(&frame->body)) check_delivery(*delivery, honest);
}

}  // namespace

void one_input(BytesView in) {
  if (in.empty()) return;
  const bool honest = in[0] % 2 != 0;
  in = in.subspan(1);
  check_endpoint(in, Endpoint::control, honest);
  check_endpoint(in, Endpoint::bulk, honest);
}

}  // namespace tram::fuzz
