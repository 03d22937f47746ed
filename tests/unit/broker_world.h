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

  Result<void> create(std::string_view name, uint64_t bytes) override;
  Result<void> write(std::string_view name, uint64_t offset, BytesView bytes) override;
  Result<void> sync(std::string_view name) override;
  Result<void> read(std::string_view name, uint64_t offset, std::span<uint8_t> out) override;
  Result<void> remove(std::string_view name) override;
  Result<std::vector<std::string>> list() override;
};

struct SilentLog final : Log {
  int errors = 0;
  void write(LogLevel level, std::string_view, std::span<const LogField>) override;
};

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(describe(result.error()));
  return std::move(*result);
}
void must(Result<void> result);

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

  explicit World(std::function<void(Config&)> tune = {});

  void make();
  void start();
  std::optional<uint64_t> restored_copy;
  bool answered = true;  // by the other broker, at start
  /// A new process over the same disk.
  void restart();

  template <class Act>
  void transaction(Act act) {
    auto txn = must(store.begin_write());
    must(act(*txn));
    must(txn->commit());
  }

  // ---- directory
  Bytes sign(const Bytes& payload) const;
  Bytes entry(std::vector<proto::Change> changes) const;
  void apply(const Bytes& bytes);
  void change(std::vector<proto::Change> changes) { apply(entry(std::move(changes))); }
  /// By the authority, as a running broker gets it.
  void publish(std::vector<proto::Change> changes);

  // ---- steps
  static SessionKey control(uint64_t id) { return {proto::Endpoint::control, id}; }
  static SessionKey bulk(uint64_t id) { return {proto::Endpoint::bulk, id}; }

  void take(Effects& effects);
  void one_step(std::vector<Event> events);
  void run(std::vector<Event> events);
  void tick(unsigned disk = 10) { run({Tick{disk, true}}); }
  /// Ticks until the broker wants nothing more at this time.
  void settle(int rounds_max = 200);

  // ---- frames
  FrameReceived frame(SessionKey session, const PartyId& peer, proto::FrameBody body, Bytes chunk = {});
  /// Sends one frame and returns what the session got since.
  std::vector<Send> ask(SessionKey session, const PartyId& peer, proto::FrameBody body, Bytes chunk = {});
  std::vector<Send> got(SessionKey session);
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
  static uint16_t refusal(const std::vector<Send>& all);

  // ---- documents
  Document document(size_t sender, uint64_t padded_bytes = 1024);
  Letter letter(const Document& of, size_t sender, size_t recipient, std::function<void(crypto::Envelope&)> tune = {});
  static proto::Put put(const Document& of, std::vector<Letter> letters, bool with_body = true);
  /// Puts one inline document for one recipient and returns the result.
  proto::PutResult put_one(const Document& of, const Letter& letter, size_t sender = 0);
  /// Sends a new small document and returns its letter; throws unless custody was given.
  Letter send(size_t sender, size_t recipient, Lane lane = Lane::normal);
  /// Offers a file body; returns the chunks that the broker has.
  Bytes offer(const Document& of, size_t sender = 0);
  uint16_t put_chunk(const Document& of, uint32_t index, size_t sender = 0);
  void upload(const Document& of, size_t sender = 0);

  Bytes ack(const Letter& of, size_t recipient, std::function<void(crypto::Ack&)> tune = {});
  Bytes notice(crypto::NoticeKind kind, const Letter& of, size_t issuer, const PartyId& other);
  std::vector<EnvelopeId> ack_one(const Letter& of, size_t recipient, Bytes cell = {});
  std::vector<Send> hello(size_t member, uint64_t session = 0);
  static std::vector<Bytes> announced(const std::vector<Send>& all);
  size_t rows(const Table& table);
  size_t body_rows();
  size_t pins() { return rows(table::body) - body_rows(); }
  std::optional<proto::StoredEnvelope> stored(const EnvelopeId& id);
  proto::PartyRecord party(size_t member);
};

inline constexpr uint64_t three_chunks = 2 * limits::chunk_bytes + 100000;
/// Asks for custody of a body whose chunks go by themselves.
proto::PutResult put_large(World& world, const Document& document, const Letter& letter, size_t sender = 0);

}  // namespace tram::broker::test
