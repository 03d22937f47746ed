#include "tests/unit/broker_world.h"

namespace tram::broker::test {

Result<void> MemBodies::create(std::string_view name, uint64_t bytes) {
  auto [it, fresh] = files.try_emplace(std::string(name));
  if (fresh) it->second.bytes.resize(bytes);
  return {};
}

Result<void> MemBodies::write(std::string_view name, uint64_t offset, BytesView bytes) {
  if (next_write_fails) return fail(*std::exchange(next_write_fails, std::nullopt));
  auto it = files.find(name);
  if (it == files.end()) return fail(ErrorCode::not_found);
  if (it->second.bytes.size() < offset + bytes.size()) it->second.bytes.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), it->second.bytes.begin() + static_cast<ptrdiff_t>(offset));
  it->second.synced = false;
  return {};
}

Result<void> MemBodies::sync(std::string_view name) {
  auto it = files.find(name);
  if (it == files.end()) return fail(ErrorCode::not_found);
  it->second.synced = true;
  return {};
}

Result<void> MemBodies::read(std::string_view name, uint64_t offset, std::span<uint8_t> out) {
  auto it = files.find(name);
  if (it == files.end() || offset + out.size() > it->second.bytes.size()) return fail(ErrorCode::not_found);
  std::copy_n(it->second.bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
  return {};
}

Result<void> MemBodies::remove(std::string_view name) {
  if (auto it = files.find(name); it != files.end()) files.erase(it);
  return {};
}

Result<std::vector<std::string>> MemBodies::list() {
  std::vector<std::string> names;
  for (const auto& [name, file] : files) names.push_back(name);
  return names;
}

void SilentLog::write(LogLevel level, std::string_view, std::span<const LogField>) {
  errors += level == LogLevel::error;
}

void must(Result<void> result) {
  if (!result) throw std::runtime_error(describe(result.error()));
}

World::World(std::function<void(Config&)> tune) {
  for (int i = 0; i < 3; ++i) {
    officers.emplace_back(crypto::make_secret(random));
    officer_ids.push_back(random.id<PartyId>());
  }
  proto::RootChange root;
  root.realm_name = "Test realm";
  root.practice = true;
  for (size_t i = 0; i < officers.size(); ++i)
    root.officers.push_back({officer_ids[i], "Officer", officers[i].public_key()});
  root.threshold = 2;
  root.root_threshold = 3;
  proto::EntryPayload genesis;
  genesis.created = start_time;
  genesis.changes.push_back({Time{}, root});
  const Bytes payload = proto::encode_entry_payload(genesis);
  realm = directory::realm_of(payload);
  directory.emplace(realm);
  audit_log.emplace();
  apply(sign(payload));
  broker_id = random.id<PartyId>();
  other_broker = random.id<PartyId>();
  broker_key = std::make_shared<crypto::SigningKey>(crypto::make_secret(random));
  log_key = std::make_shared<crypto::LogKey>(crypto::make_secret(random));
  other_log_key = std::make_shared<crypto::LogKey>(crypto::make_secret(random));
  std::vector<proto::Change> changes;
  for (int i = 0; i < 4; ++i) {
    Member member{random.id<PartyId>(), crypto::SigningKey(crypto::make_secret(random)), {}};
    member.record.id = member.id;
    member.record.name_vi = "Cơ quan " + std::to_string(i);
    member.record.codes.push_back({"CQ." + std::to_string(i), {}, {}});
    member.record.keys =
        proto::AgencyKeys{member.key.public_key(), crypto::LogKey(crypto::make_secret(random)).public_key(),
                          crypto::make_curve_pair(random).public_key};
    changes.push_back({start_time, proto::AgencyChange{member.record}});
    members.push_back(std::move(member));
  }
  for (const auto& [id, name, key] :
       {std::tuple{broker_id, "one", broker_key->public_key()},
        std::tuple{other_broker, "two", crypto::SigningKey(crypto::make_secret(random)).public_key()}}) {
    proto::BrokerChange change;
    change.id = id;
    change.name = name;
    change.failure_domain = name;
    change.control_endpoint = "tcp://127.0.0.1:1" + std::to_string(changes.size());
    change.bulk_endpoint = "tcp://127.0.0.1:2" + std::to_string(changes.size());
    change.sig = key;
    change.log = (id == broker_id ? log_key : other_log_key)->public_key();
    change.curve = crypto::make_curve_pair(random).public_key;
    changes.push_back({start_time, change});
  }
  change(std::move(changes));
  config.self = broker_id;
  config.realm = realm;
  if (tune) tune(config);
  make();
  transaction([&](WriteTxn& txn) { return broker->initialize(txn, now); });
  start();
}

void World::make() {
  broker.reset();
  directory.emplace(realm);
  audit_log.emplace();
  broker.emplace(config, broker_key, log_key, *directory, *audit_log, log, random);
}

void World::start() {
  Effects effects;
  transaction([&](WriteTxn& txn) { return broker->start(txn, now, effects); });
  take(effects);
  run({});
  if (!answered) return;
  // The other broker knows nothing of our log: this store is no old copy (R8).
  run({PeerUp{other_broker}, PeerFrame{other_broker, proto::Frame{1, proto::HelloReply{}}},
       PeerFrame{other_broker, proto::Frame{2, proto::CheckpointData{broker_id, {}, 0}}}, PeerDown{other_broker}});
  peer_sends.clear();
}

void World::restart() {
  sends.clear();
  held.clear();
  make();
  start();
}

Bytes World::sign(const Bytes& payload) const {
  proto::Entry entry;
  entry.payload = payload;
  for (size_t i = 0; i < officers.size(); ++i) {
    entry.signatures.push_back(directory::sign_entry(payload, officer_ids[i], officers[i]));
  }
  return proto::encode_entry(entry);
}

Bytes World::entry(std::vector<proto::Change> changes) const {
  proto::EntryPayload payload;
  payload.index = directory->size();
  payload.previous = directory->last_payload_hash();
  payload.realm = realm;
  payload.created = now;
  payload.changes = std::move(changes);
  return sign(proto::encode_entry_payload(payload));
}

void World::apply(const Bytes& bytes) {
  transaction([&](WriteTxn& txn) { return directory->apply(txn, bytes, now); });
}

void World::publish(std::vector<proto::Change> changes) {
  const auto answers = ask(control(99), PartyId{}, proto::DirectoryPut{{entry(std::move(changes))}});
  if (answers.empty() || !std::holds_alternative<proto::Done>(answers.front().frame.body))
    throw std::runtime_error("publish");
}

void World::take(Effects& effects) {
  for (auto& one : effects.sends) sends.push_back(std::move(one));
  for (auto& one : effects.peer_sends) peer_sends.push_back(std::move(one));
  for (auto& one : effects.jobs) held.push_back(std::move(one));
  allow_list_changed = allow_list_changed || effects.allow_list_changed;
  wake_at = effects.wake_at;
  if (effects.restored_copy) restored_copy = effects.restored_copy;
}

void World::one_step(std::vector<Event> events) {
  Effects effects;
  transaction([&](WriteTxn& txn) { return broker->step(txn, now, events, effects); });
  take(effects);
}

void World::run(std::vector<Event> events) {
  one_step(std::move(events));
  while (!hold_jobs && !held.empty()) {
    std::vector<Job> jobs = std::move(held);
    held.clear();
    std::vector<Event> done;
    for (auto& job : jobs) done.emplace_back(run_job(std::move(job), bodies));
    one_step(std::move(done));
  }
}

void World::settle(int rounds_max) {
  for (int i = 0; i < rounds_max; ++i) {
    tick();
    if (!wake_at || *wake_at > now) return;
  }
  throw std::runtime_error("the broker never rests");
}

FrameReceived World::frame(SessionKey session, const PartyId& peer, proto::FrameBody body, Bytes chunk) {
  return {session, peer, proto::Frame{++requests, std::move(body)}, std::move(chunk)};
}

std::vector<Send> World::ask(SessionKey session, const PartyId& peer, proto::FrameBody body, Bytes chunk) {
  std::vector<Event> events;
  events.emplace_back(frame(session, peer, std::move(body), std::move(chunk)));
  run(std::move(events));
  return got(session);
}

std::vector<Send> World::got(SessionKey session) {
  std::vector<Send> mine, rest;
  for (auto& one : sends) (one.session == session ? mine : rest).push_back(std::move(one));
  sends = std::move(rest);
  return mine;
}

uint16_t World::refusal(const std::vector<Send>& all) {
  const auto found = only<proto::Refused>(all);
  return found.empty() ? 0 : found.front().code;
}

Document World::document(size_t sender, uint64_t padded_bytes) {
  Document made;
  crypto::Manifest manifest;
  manifest.padded_bytes = padded_bytes;
  const uint32_t chunks = crypto::chunk_count(padded_bytes);
  for (uint32_t i = 0; i < chunks; ++i) {
    const uint64_t plain = i + 1 < chunks ? limits::chunk_bytes : padded_bytes - uint64_t{i} * limits::chunk_bytes;
    made.chunks.push_back(random_bytes(random, plain + limits::chunk_overhead_bytes));
    manifest.chunks.push_back(crypto::chunk_id(made.chunks.back()));
  }
  made.manifest = crypto::encode_manifest(manifest);
  made.header.realm = realm;
  made.header.sender = members[sender].id;
  made.header.doc_uuid = random.id<DocUuid>();
  made.header.manifest_id = crypto::manifest_id(made.manifest);
  made.header.padded_bytes = padded_bytes;
  made.header.chunks = chunks;
  made.header.commit = random.id<Hash>();
  made.header.recipients_root = random.id<Hash>();
  made.header.created = now;
  made.header.not_after = now + limits::time_to_live;
  made.header.meta_commit = random.id<Hash>();
  made.header.enc_metadata = random_bytes(random, limits::enc_metadata_bytes);
  made.header_bytes = crypto::encode_header(made.header, members[sender].key);
  return made;
}

Letter World::letter(const Document& of, size_t sender, size_t recipient, std::function<void(crypto::Envelope&)> tune) {
  Letter made;
  made.item.officer_blob = random_bytes(random, limits::officer_blob_bytes);
  crypto::Envelope& envelope = made.envelope;
  envelope.lane = Lane::normal;
  envelope.realm = realm;
  envelope.sender = members[sender].id;
  envelope.recipient = members[recipient].id;
  envelope.inc = 1;
  envelope.seq = ++seqs[{envelope.sender, envelope.recipient}];
  envelope.doc_id = of.header.id;
  envelope.officer_blob_id = crypto::blob_id(made.item.officer_blob);
  envelope.recipient_kx = random.id<KeyId>();
  envelope.created = now;
  envelope.not_after = now + limits::time_to_live;
  envelope.dir_size = directory->size();
  envelope.dir_root = directory->root();
  random.fill(envelope.enc);
  random.fill(envelope.ct);
  if (tune) tune(envelope);
  made.item.envelope = crypto::encode_envelope(envelope, members[sender].key);
  return made;
}

proto::Put World::put(const Document& of, std::vector<Letter> letters, bool with_body) {
  proto::Put made;
  made.doc_id = of.header.id;
  if (with_body) {
    made.header = of.header_bytes;
    made.manifest = of.manifest;
    made.inline_chunk = of.chunks.front();
  }
  for (auto& one : letters) made.items.push_back(one.item);
  return made;
}

proto::PutResult World::put_one(const Document& of, const Letter& letter, size_t sender) {
  const auto replies = only<proto::PutReply>(ask(control(1 + sender), members[sender].id, put(of, {letter})));
  if (replies.size() != 1 || replies[0].results.size() != 1) throw std::runtime_error("no single result");
  return replies[0].results[0];
}

Letter World::send(size_t sender, size_t recipient, Lane lane) {
  const Document made = document(sender);
  const Letter one = letter(made, sender, recipient, [&](auto& envelope) { envelope.lane = lane; });
  const auto result = put_one(made, one, sender);
  if (result.refusal != 0) throw std::runtime_error("refused " + std::to_string(result.refusal));
  return one;
}

Bytes World::offer(const Document& of, size_t sender) {
  const auto replies =
      only<proto::OfferReply>(ask(bulk(1 + sender), members[sender].id, proto::Offer{of.header_bytes, of.manifest}));
  if (replies.size() != 1) throw std::runtime_error("no offer reply");
  return replies[0].have;
}

uint16_t World::put_chunk(const Document& of, uint32_t index, size_t sender) {
  auto replies = only<proto::ChunkDone>(
      ask(bulk(1 + sender), members[sender].id, proto::ChunkPut{of.header.id, index}, of.chunks[index]));
  if (replies.empty() && wake_at) {  // its sync waits for other chunks
    now = std::max(now, *wake_at);
    settle();
    replies = only<proto::ChunkDone>(got(bulk(1 + sender)));
  }
  if (replies.size() != 1) throw std::runtime_error("no chunk reply");
  return replies[0].refusal;
}

void World::upload(const Document& of, size_t sender) {
  offer(of, sender);
  for (uint32_t i = 0; i < of.chunks.size(); ++i) {
    if (put_chunk(of, i, sender) != 0) throw std::runtime_error("chunk refused");
  }
}

Bytes World::ack(const Letter& of, size_t recipient, std::function<void(crypto::Ack&)> tune) {
  crypto::Ack made;
  made.realm = realm;
  made.env_id = of.envelope.id;
  made.doc_id = of.envelope.doc_id;
  made.sender = of.envelope.sender;
  made.recipient = members[recipient].id;
  made.lane = of.envelope.lane;
  made.inc = of.envelope.inc;
  made.seq = of.envelope.seq;
  made.rinc = 1;
  made.time = now;
  if (tune) tune(made);
  return crypto::encode_ack(made, members[recipient].key);
}

Bytes World::notice(crypto::NoticeKind kind, const Letter& of, size_t issuer, const PartyId& other) {
  crypto::Notice made;
  made.kind = kind;
  made.realm = realm;
  made.issuer = members[issuer].id;
  made.other = other;
  made.env_id = of.envelope.id;
  made.doc_id = of.envelope.doc_id;
  made.lane = of.envelope.lane;
  made.inc = of.envelope.inc;
  made.seq = of.envelope.seq;
  made.time = now;
  return crypto::encode_notice(made, members[issuer].key);
}

std::vector<EnvelopeId> World::ack_one(const Letter& of, size_t recipient, Bytes cell) {
  const auto replies = only<proto::AckReply>(
      ask(control(1 + recipient), members[recipient].id, proto::AckPut{{{ack(of, recipient), std::move(cell)}}}));
  return replies.empty() ? std::vector<EnvelopeId>{} : replies[0].stored;
}

std::vector<Send> World::hello(size_t member, uint64_t session) {
  return ask(control(session != 0 ? session : 1 + member), members[member].id, proto::Hello{});
}

std::vector<Bytes> World::announced(const std::vector<Send>& all) {
  std::vector<Bytes> found;
  for (const auto& frame : only<proto::Announce>(all)) {
    for (const auto& item : frame.items) found.push_back(item.envelope);
  }
  return found;
}

size_t World::rows(const Table& table) {
  auto dump = store.dump();
  auto it = dump.find(std::string(table.name));
  return it == dump.end() ? 0 : it->second.size();
}

size_t World::body_rows() {
  size_t count = 0;
  const auto dump = store.dump();
  const auto it = dump.find("body");
  if (it == dump.end()) return 0;
  for (const auto& [key, value] : it->second) count += table::is_body_key(key);
  return count;
}

std::optional<proto::StoredEnvelope> World::stored(const EnvelopeId& id) {
  auto txn = must(store.begin_read());
  auto row = must(txn->get(table::envelope, id));
  if (!row) return std::nullopt;
  proto::StoredEnvelope record;
  must(proto::decode_record(*row, record));
  return record;
}

proto::PartyRecord World::party(size_t member) {
  auto txn = must(store.begin_read());
  auto row = must(txn->get(table::party, members[member].id));
  proto::PartyRecord record;
  if (row) must(proto::decode_record(*row, record));
  return record;
}

proto::PutResult put_large(World& world, const Document& document, const Letter& letter, size_t sender) {
  const auto replies = World::only<proto::PutReply>(
      world.ask(World::control(1 + sender), world.members[sender].id, World::put(document, {letter}, false)));
  return replies.at(0).results.at(0);
}

}  // namespace tram::broker::test
