// A broker with its store, its files and a small realm, all in memory: frames in, answers out, time by hand.
// Jobs run at once, or wait in `held` while hold_jobs is set. Thread: one.
#pragma once
#include <algorithm>
#include <functional>
#include <stdexcept>

#include "broker/broker.h"
#include "broker/tables.h"
#include "crypto/key_file.h"
#include "directory/signing.h"
#include "tests/sim/mem_store.h"
#include "tests/unit/crypto_support.h"

namespace tram::broker::test {

using tram::test::random_bytes;
using tram::test::SeededRandom;

class MemBodies final : public Bodies {
 public:
  struct File {
    Bytes bytes;
    bool synced = false;
  };
  std::map<std::string, File, std::less<>> files;
  std::optional<ErrorCode> next_write_fails;

  Result<void> create(std::string_view name, uint64_t bytes) override {
    auto [it, fresh] = files.try_emplace(std::string(name));
    if (fresh) it->second.bytes.resize(bytes);
    return {};
  }
  Result<void> write(std::string_view name, uint64_t offset, BytesView bytes) override {
    if (next_write_fails) return fail(*std::exchange(next_write_fails, std::nullopt));
    auto it = files.find(name);
    if (it == files.end()) return fail(ErrorCode::not_found);
    if (it->second.bytes.size() < offset + bytes.size()) it->second.bytes.resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), it->second.bytes.begin() + static_cast<ptrdiff_t>(offset));
    it->second.synced = false;
    return {};
  }
  Result<void> sync(std::string_view name) override {
    auto it = files.find(name);
    if (it == files.end()) return fail(ErrorCode::not_found);
    it->second.synced = true;
    return {};
  }
  Result<void> read(std::string_view name, uint64_t offset, std::span<uint8_t> out) override {
    auto it = files.find(name);
    if (it == files.end() || offset + out.size() > it->second.bytes.size()) return fail(ErrorCode::not_found);
    std::copy_n(it->second.bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }
  Result<void> remove(std::string_view name) override {
    if (auto it = files.find(name); it != files.end()) files.erase(it);
    return {};
  }
  Result<std::vector<std::string>> list() override {
    std::vector<std::string> names;
    for (const auto& [name, file] : files) names.push_back(name);
    return names;
  }
};

struct SilentLog final : Log {
  int errors = 0;
  void write(LogLevel level, std::string_view, std::span<const LogField>) override {
    errors += level == LogLevel::error;
  }
};

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(describe(result.error()));
  return std::move(*result);
}
inline void must(Result<void> result) {
  if (!result) throw std::runtime_error(describe(result.error()));
}

struct Member {
  PartyId id;
  crypto::SigningKey key;
  proto::Agency record;
};

struct Document {
  crypto::Header header;
  Bytes header_bytes;
  Bytes manifest;
  std::vector<Bytes> chunks;
};
struct Letter {
  crypto::Envelope envelope;
  proto::PutItem item;
};

inline const Time start_time{1767200000000};

struct World {
  SeededRandom random{11};
  sim::MemStore store;
  MemBodies bodies;
  SilentLog log;
  Time now = start_time + days(1);
  std::vector<crypto::SigningKey> officers;
  std::vector<PartyId> officer_ids;
  std::vector<Member> members;  // agencies 0..3 with nodes
  PartyId broker_id;
  PartyId other_broker;
  std::shared_ptr<crypto::SigningKey> broker_key;
  std::shared_ptr<crypto::LogKey> log_key, other_log_key;
  RealmId realm;
  Config config;
  std::optional<directory::Directory> directory;
  std::optional<audit::Log> audit_log;
  std::optional<Broker> broker;
  std::vector<Send> sends;
  std::vector<PeerSend> peer_sends;
  std::vector<Job> held;
  bool hold_jobs = false;
  bool allow_list_changed = false;
  std::optional<Time> wake_at;
  uint64_t requests = 0;
  std::map<std::pair<PartyId, PartyId>, uint64_t> seqs;

  explicit World(std::function<void(Config&)> tune = {}) {
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

  void make() {
    broker.reset();
    directory.emplace(realm);
    audit_log.emplace();
    broker.emplace(config, broker_key, log_key, *directory, *audit_log, log, random);
  }
  void start() {
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
  std::optional<uint64_t> restored_copy;
  bool answered = true;  // by the other broker, at start
  /// A new process over the same disk.
  void restart() {
    sends.clear();
    held.clear();
    make();
    start();
  }

  template <class Act>
  void transaction(Act act) {
    auto txn = must(store.begin_write());
    must(act(*txn));
    must(txn->commit());
  }

  // ---- directory
  Bytes sign(const Bytes& payload) const {
    proto::Entry entry;
    entry.payload = payload;
    for (size_t i = 0; i < officers.size(); ++i) {
      entry.signatures.push_back(directory::sign_entry(payload, officer_ids[i], officers[i]));
    }
    return proto::encode_entry(entry);
  }
  Bytes entry(std::vector<proto::Change> changes) const {
    proto::EntryPayload payload;
    payload.index = directory->size();
    payload.previous = directory->last_payload_hash();
    payload.realm = realm;
    payload.created = now;
    payload.changes = std::move(changes);
    return sign(proto::encode_entry_payload(payload));
  }
  void apply(const Bytes& bytes) {
    transaction([&](WriteTxn& txn) { return directory->apply(txn, bytes, now); });
  }
  void change(std::vector<proto::Change> changes) { apply(entry(std::move(changes))); }
  /// By the authority, as a running broker gets it.
  void publish(std::vector<proto::Change> changes) {
    const auto answers = ask(control(99), PartyId{}, proto::DirectoryPut{{entry(std::move(changes))}});
    if (answers.empty() || !std::holds_alternative<proto::Done>(answers.front().frame.body))
      throw std::runtime_error("publish");
  }

  // ---- steps
  static SessionKey control(uint64_t id) { return {proto::Endpoint::control, id}; }
  static SessionKey bulk(uint64_t id) { return {proto::Endpoint::bulk, id}; }

  void take(Effects& effects) {
    for (auto& one : effects.sends) sends.push_back(std::move(one));
    for (auto& one : effects.peer_sends) peer_sends.push_back(std::move(one));
    for (auto& one : effects.jobs) held.push_back(std::move(one));
    allow_list_changed = allow_list_changed || effects.allow_list_changed;
    wake_at = effects.wake_at;
    if (effects.restored_copy) restored_copy = effects.restored_copy;
  }
  void one_step(std::vector<Event> events) {
    Effects effects;
    transaction([&](WriteTxn& txn) { return broker->step(txn, now, events, effects); });
    take(effects);
  }
  void run(std::vector<Event> events) {
    one_step(std::move(events));
    while (!hold_jobs && !held.empty()) {
      std::vector<Job> jobs = std::move(held);
      held.clear();
      std::vector<Event> done;
      for (auto& job : jobs) done.emplace_back(run_job(std::move(job), bodies));
      one_step(std::move(done));
    }
  }
  void tick(unsigned disk = 10) { run({Tick{disk, true}}); }
  /// Ticks until the broker wants nothing more at this time.
  void settle(int rounds_max = 200) {
    for (int i = 0; i < rounds_max; ++i) {
      tick();
      if (!wake_at || *wake_at > now) return;
    }
    throw std::runtime_error("the broker never rests");
  }

  // ---- frames
  FrameReceived frame(SessionKey session, const PartyId& peer, proto::FrameBody body, Bytes chunk = {}) {
    return {session, peer, proto::Frame{++requests, std::move(body)}, std::move(chunk)};
  }
  /// Sends one frame and returns what the session got since.
  std::vector<Send> ask(SessionKey session, const PartyId& peer, proto::FrameBody body, Bytes chunk = {}) {
    std::vector<Event> events;
    events.emplace_back(frame(session, peer, std::move(body), std::move(chunk)));
    run(std::move(events));
    return got(session);
  }
  std::vector<Send> got(SessionKey session) {
    std::vector<Send> mine, rest;
    for (auto& one : sends) (one.session == session ? mine : rest).push_back(std::move(one));
    sends = std::move(rest);
    return mine;
  }
  template <class Body>
  static std::vector<Body> only(const std::vector<Send>& all) {
    std::vector<Body> found;
    for (const auto& one : all) {
      if (auto* body = std::get_if<Body>(&one.frame.body)) found.push_back(*body);
    }
    return found;
  }
  /// What the broker asked its peers since, of one kind.
  template <class Body>
  std::vector<Body> asked() {
    std::vector<Body> found;
    for (const auto& one : peer_sends)
      if (auto* body = std::get_if<Body>(&one.frame.body)) found.push_back(*body);
    peer_sends.clear();
    return found;
  }
  static uint16_t refusal(const std::vector<Send>& all) {
    const auto found = only<proto::Refused>(all);
    return found.empty() ? 0 : found.front().code;
  }

  // ---- documents
  Document document(size_t sender, uint64_t padded_bytes = 1024) {
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
  Letter letter(const Document& of, size_t sender, size_t recipient, std::function<void(crypto::Envelope&)> tune = {}) {
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
  static proto::Put put(const Document& of, std::vector<Letter> letters, bool with_body = true) {
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
  /// Puts one inline document for one recipient and returns the result.
  proto::PutResult put_one(const Document& of, const Letter& letter, size_t sender = 0) {
    const auto replies = only<proto::PutReply>(ask(control(1 + sender), members[sender].id, put(of, {letter})));
    if (replies.size() != 1 || replies[0].results.size() != 1) throw std::runtime_error("no single result");
    return replies[0].results[0];
  }
  /// Sends a new small document and returns its letter; throws unless custody was given.
  Letter send(size_t sender, size_t recipient, Lane lane = Lane::normal) {
    const Document made = document(sender);
    const Letter one = letter(made, sender, recipient, [&](auto& envelope) { envelope.lane = lane; });
    const auto result = put_one(made, one, sender);
    if (result.refusal != 0) throw std::runtime_error("refused " + std::to_string(result.refusal));
    return one;
  }
  /// Offers a file body; returns the chunks that the broker has.
  Bytes offer(const Document& of, size_t sender = 0) {
    const auto replies =
        only<proto::OfferReply>(ask(bulk(1 + sender), members[sender].id, proto::Offer{of.header_bytes, of.manifest}));
    if (replies.size() != 1) throw std::runtime_error("no offer reply");
    return replies[0].have;
  }
  uint16_t put_chunk(const Document& of, uint32_t index, size_t sender = 0) {
    const auto replies = only<proto::ChunkDone>(
        ask(bulk(1 + sender), members[sender].id, proto::ChunkPut{of.header.id, index}, of.chunks[index]));
    if (replies.size() != 1) throw std::runtime_error("no chunk reply");
    return replies[0].refusal;
  }
  void upload(const Document& of, size_t sender = 0) {
    offer(of, sender);
    for (uint32_t i = 0; i < of.chunks.size(); ++i) {
      if (put_chunk(of, i, sender) != 0) throw std::runtime_error("chunk refused");
    }
  }

  Bytes ack(const Letter& of, size_t recipient, std::function<void(crypto::Ack&)> tune = {}) {
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
  Bytes notice(crypto::NoticeKind kind, const Letter& of, size_t issuer, const PartyId& other) {
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
  std::vector<EnvelopeId> ack_one(const Letter& of, size_t recipient, Bytes cell = {}) {
    const auto replies = only<proto::AckReply>(
        ask(control(1 + recipient), members[recipient].id, proto::AckPut{{{ack(of, recipient), std::move(cell)}}}));
    return replies.empty() ? std::vector<EnvelopeId>{} : replies[0].stored;
  }
  std::vector<Send> hello(size_t member, uint64_t session = 0) {
    return ask(control(session != 0 ? session : 1 + member), members[member].id, proto::Hello{});
  }
  static std::vector<Bytes> announced(const std::vector<Send>& all) {
    std::vector<Bytes> found;
    for (const auto& frame : only<proto::Announce>(all)) {
      for (const auto& item : frame.items) found.push_back(item.envelope);
    }
    return found;
  }
  size_t rows(const Table& table) {
    auto dump = store.dump();
    auto it = dump.find(std::string(table.name));
    return it == dump.end() ? 0 : it->second.size();
  }
  size_t body_rows() {
    size_t count = 0;
    const auto dump = store.dump();
    const auto it = dump.find("body");
    if (it == dump.end()) return 0;
    for (const auto& [key, value] : it->second) count += table::is_body_key(key);
    return count;
  }
  size_t pins() { return rows(table::body) - body_rows(); }
  std::optional<proto::StoredEnvelope> stored(const EnvelopeId& id) {
    auto txn = must(store.begin_read());
    auto row = must(txn->get(table::envelope, id));
    if (!row) return std::nullopt;
    proto::StoredEnvelope record;
    must(proto::decode_record(*row, record));
    return record;
  }
  proto::PartyRecord party(size_t member) {
    auto txn = must(store.begin_read());
    auto row = must(txn->get(table::party, members[member].id));
    proto::PartyRecord record;
    if (row) must(proto::decode_record(*row, record));
    return record;
  }
};

inline uint16_t number(ErrorCode code) { return static_cast<uint16_t>(code); }

}  // namespace tram::broker::test
