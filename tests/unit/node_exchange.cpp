#include "tests/unit/node_exchange.h"

namespace tram::node::test {

Effects Exchange::from(size_t broker, proto::FrameBody body) {
  return step({FrameArrived{brokers[broker].id, proto::Endpoint::control, {7, std::move(body)}, {}}});
}

Effects Exchange::greet(size_t broker) {
  proto::HelloReply hello;
  hello.broker = brokers[broker].id;
  hello.epoch = *Epoch::from(Bytes(16, static_cast<uint8_t>(broker + 1)));
  hello.time = now;
  hello.directory_size = realm.directory->size();
  step({BrokerUp{hello.broker}});
  auto effects = from(broker, hello);
  from(broker, proto::CheckpointData{self.id, {}, 0});  // it holds nothing of our log: this store is no old copy (R23)
  return effects;
}

void Exchange::restart() {
  node = std::make_unique<Node>(identity(), keys, *realm.directory, audit, log, realm.random);
  auto txn = realm.store.begin_write().value();
  Effects effects;
  REQUIRE(node->start(*txn, now, effects));
  REQUIRE(txn->commit());
}

Bytes Exchange::view_note(std::vector<size_t> who, Time at, std::optional<Hash> root) {
  const crypto::Checkpoint view{audit::directory_origin(realm.directory->realm()), realm.directory->size(),
                                root.value_or(realm.directory->root())};
  crypto::Note note{crypto::checkpoint_text(view), {}};
  for (const size_t i : who)
    note.signatures.push_back(
        crypto::cosign(note.text, crypto::cosigner_name(realm.directory->realm(), crypto::LogKind::broker, brokers[i].id), at,
                       *broker_log_keys[i]));
  return crypto::encode_note(note);
}

Effects Exchange::show_views(std::vector<Bytes> notes) {
  const uint64_t size = realm.directory->size();
  return from(0, proto::DirectoryEntries{size, size, {}, std::move(notes)});
}

Effects Exchange::feed(uint64_t number) {
  proto::KxFeedPayload payload;
  payload.realm = realm.directory->realm();
  payload.agency = party.id;
  payload.number = number;
  const int64_t today = now.ms / limits::kx_epoch.ms;
  for (int64_t epoch = today; epoch < today + 8; ++epoch)
    payload.epochs.push_back({static_cast<uint64_t>(epoch), crypto::make_kx_pair(realm.random).public_key,
                              Time{epoch * limits::kx_epoch.ms}, Time{(epoch + 1) * limits::kx_epoch.ms}});
  return from(0, proto::KxFeeds{{proto::encode_kx_feed(directory::sign_kx_feed(payload, *party_key))}});
}

Effects Exchange::send_letter() {
  REQUIRE(post("/v1/documents", submission()).status < 300);
  return step({JobResult{seal()}});
}

Effects Exchange::wrapped(Effects effects) {
  for (auto& job : effects.jobs)
    if (std::holds_alternative<WrapJob>(job)) return step({run_job(job, bodies, realm.random)});
  return effects;
}

proto::EnvelopeRecord Exchange::last_envelope() {
  const auto txn = realm.read();
  const auto channel = find<proto::ChannelOut>(*txn, table::channel_out, row_key(party.id, Lane::normal)).value();
  return channel ? load<proto::EnvelopeRecord>(*txn, table::envelope, channel->last).value() : proto::EnvelopeRecord{};
}

std::vector<crypto::Notice> Exchange::notices(const Effects& effects, crypto::NoticeKind kind) {
  std::vector<crypto::Notice> fresh;
  for (const auto& one : effects.sends)
    if (const auto* mail = std::get_if<proto::MailPost>(&one.frame.body))
      for (const auto& item : mail->items)
        if (const auto decoded = crypto::decode_notice(item.content); decoded && decoded->kind == kind && posted.insert(decoded->id).second)
          fresh.push_back(*decoded);
  return fresh;
}

Effects Exchange::heard(crypto::Notice notice) {
  MailJobDone done;
  done.items.push_back({realm.random.id<Hash>(), notice.issuer, {}, {}, notice, {}, {}});
  return step({JobResult{done}});
}

crypto::Receipt Exchange::receipt_for(const proto::EnvelopeRecord& of) {
  crypto::Receipt receipt;
  receipt.event = crypto::ReceiptEvent::received;
  receipt.realm = realm.directory->realm();
  receipt.env_id = of.env_id;
  receipt.doc_id = crypto::decode_envelope(of.envelope)->doc_id;
  receipt.sender = self.id;
  receipt.recipient = receipt.issuer = party.id;
  receipt.rinc = 1;
  receipt.time = now;
  receipt.answers = crypto::answers_hash(of.envelope);
  receipt.dir_size = realm.directory->size();
  receipt.dir_root = realm.directory->root();
  return receipt;
}

Effects Exchange::receipt_comes(crypto::Receipt receipt) {
  const Bytes bytes = crypto::encode_receipt(receipt, *party_key);
  MailJobDone done;
  done.items.push_back({realm.random.id<Hash>(), party.id, {}, std::move(receipt), {}, bytes, {}});
  return step({JobResult{done}});
}

proto::ItemRecord Exchange::item_of(const proto::EnvelopeRecord& envelope) {
  return load<proto::ItemRecord>(*realm.read(), table::item, row_key(envelope.uuid, party.id)).value();
}

crypto::Notice Exchange::notice(crypto::NoticeKind kind, uint64_t seq, const EnvelopeId& env_id) {
  crypto::Notice out;
  out.kind = kind;
  out.realm = realm.directory->realm();
  out.issuer = party.id;
  out.other = self.id;
  out.env_id = env_id;
  out.inc = 1;
  out.seq = seq;
  out.time = now;
  return out;
}

}  // namespace tram::node::test
