#include "tests/crash/facts.h"

#include <algorithm>

#include "audit/log.h"
#include "base/io/clock.h"
#include "base/io/config_file.h"
#include "base/io/file_bodies.h"
#include "base/io/lmdb_store.h"
#include "base/io/system_random.h"
#include "broker/broker.h"
#include "broker/io/config.h"
#include "broker/io/home.h"
#include "broker/jobs.h"
#include "broker/tables.h"
#include "crypto/formats.h"
#include "crypto/seal.h"
#include "node/node.h"
#include "node/rows.h"

namespace tram::crash {
namespace {

constexpr size_t signature_bytes = 64;

struct Silent final : Log {
  void write(LogLevel, std::string_view, std::span<const LogField>) override {}
};

std::string named(std::string_view what, BytesView id) { return std::string(what) + " " + to_hex(id); }
std::string named(std::string_view what, BytesView id, BytesView content) {
  return named(what, id) + " " + crypto::hash("crash", {content}).hex();
}
/// A signed thing without its signature: stored unsigned, signed again whenever it is asked for.
BytesView unsigned_part(BytesView bytes) { return bytes.first(bytes.size() - std::min(bytes.size(), signature_bytes)); }

struct Open {
  std::unique_ptr<io::LmdbStore> raw;
  std::unique_ptr<ValueCodec> codec;
  std::unique_ptr<Store> store;
  std::unique_ptr<io::BodyFiles> files;
  std::unique_ptr<io::FileBodies> bodies;
};

Result<Open> open_broker(const std::string& home, const crypto::KeyRing& ring) {
  TRAM_TRY(config, io::read_config(broker::config_path(home), broker::config_keys()));
  TRAM_TRY(opened, broker::open_home(home, config, ring));
  return Open{std::move(opened.raw_store), std::move(opened.codec), std::move(opened.store), std::move(opened.body_files),
              std::move(opened.bodies)};
}

Result<Open> open_node(const std::string& home, const crypto::KeyRing& ring, Random& random) {
  Open open;
  io::LmdbOptions lmdb;
  lmdb.directory = home + "/store";
  lmdb.tables = node::table::all();
  TRAM_TRY(raw, io::LmdbStore::open(lmdb));
  open.raw = std::move(raw);
  open.codec = crypto::make_seal_codec(ring.storage_key, random, node::table::all());
  open.store = coded_store(*open.raw, *open.codec);
  TRAM_TRY(files, io::BodyFiles::open(home + "/bodies"));
  open.files = std::move(files);
  open.bodies = std::make_unique<io::FileBodies>(*open.files);
  return open;
}

template <class Record>
Result<Record> decoded(BytesView value) {
  Record record;
  TRAM_OK(proto::decode_record(value, record));
  return record;
}

tl::unexpected<Error> damaged(std::string what) { return fail(ErrorCode::store_corrupt, std::move(what)); }

Result<void> check_chunk(Bodies& bodies, const std::string& name, const crypto::Manifest& manifest, uint32_t index) {
  Bytes sealed(crypto::sealed_chunk_size(manifest, index));
  TRAM_OK(bodies.read(name, uint64_t{index} * limits::sealed_chunk_bytes, sealed));
  if (crypto::chunk_id(sealed) != manifest.chunks[index]) return damaged("chunk " + std::to_string(index) + " of body " + name);
  return {};
}

/// The manifest in its row or, when that has none, in its file.
Result<crypto::Manifest> manifest_of(Bodies& bodies, const Bytes& row, const std::string& file, uint32_t chunks) {
  if (!row.empty()) return crypto::decode_manifest(row);
  Bytes bytes(16 + 32 * size_t{chunks});
  TRAM_OK(bodies.read(file, 0, bytes));
  return crypto::decode_manifest(bytes);
}

Result<void> check_body(Bodies& bodies, const std::string& name, const Bytes& row, uint32_t chunks) {
  TRAM_TRY(manifest, manifest_of(bodies, row, node::manifest_name(name), chunks));
  if (manifest.chunks.size() != chunks) return damaged("manifest of " + name);
  for (uint32_t i = 0; i < chunks; ++i) TRAM_OK(check_chunk(bodies, name, manifest, i));
  return {};
}

// ---- broker -----------------------------------------------------------------------------------------------------

Result<void> broker_row(const Table& table, const Row& row, ReadTxn& txn, Bodies& bodies, Facts& facts) {
  namespace table_ = broker::table;
  if (table.name == table_::self.name) {
    TRAM_TRY(self, decoded<proto::BrokerRecord>(row.value));
    facts[named("epoch", self.epoch)] = 1;
  } else if (table.name == table_::envelope.name) {
    TRAM_TRY(stored, decoded<proto::StoredEnvelope>(row.value));
    const bool gone = stored.state == proto::EnvelopeState::gone;
    if (!gone) facts[named("custody", row.key, stored.custody)] = 1;
    if (stored.state != proto::EnvelopeState::stored) facts[named("acked", row.key)] = 1;
  } else if (table.name == table_::mail.name) {
    TRAM_TRY(mail, decoded<proto::StoredMail>(row.value));
    facts[named("mail", mail.id)] = 1;
  } else if (table.name == table_::body.name && table_::is_body_key(row.key)) {
    TRAM_TRY(body, decoded<proto::BodyRecord>(row.value));
    if (body.inline_body) return {};
    const auto doc_id = node::id_at<DocId>(row.key, PartyId::size);
    TRAM_TRY(lease_row, txn.get(table_::lease, row.key));
    if (!lease_row) return damaged("no lease");
    TRAM_TRY(lease, decoded<proto::LeaseRecord>(*lease_row));
    TRAM_TRY(manifest, manifest_of(bodies, body.manifest, broker::manifest_name(doc_id), body.chunks));
    for (uint32_t i = 0; i < body.chunks; ++i) {
      if (!(lease.have[i / 8] >> (i % 8) & 1)) continue;
      TRAM_OK(check_chunk(bodies, doc_id.hex(), manifest, i));
      facts[named("chunk", doc_id) + " " + std::to_string(i)] = 1;
    }
  }
  return {};
}

Result<void> start_broker(WriteTxn& txn, const crypto::KeyRing& ring, Random& random) {
  TRAM_TRY(row, txn.get(broker::table::self, view(broker::table::self_key)));
  if (!row) return damaged("no broker row");
  TRAM_TRY(self, decoded<proto::BrokerRecord>(*row));
  broker::Config config;
  config.self = self.party;
  config.realm = self.realm;
  directory::Directory directory(self.realm);
  audit::Log log;
  Silent silent;
  broker::Broker one(config, std::make_shared<crypto::SigningKey>(ring.sig_seed), std::make_shared<crypto::LogKey>(ring.log_seed),
                     directory, log, silent, random);
  broker::Effects effects;
  return one.start(txn, io::wall_now(), effects);
}

// ---- node -------------------------------------------------------------------------------------------------------

Result<void> check_upload(Bodies& bodies, const proto::UploadRecord& record) {
  constexpr size_t slot = limits::upload_slot_bytes;
  const crypto::Secret32 key(record.key);
  Bytes sealed(slot + limits::chunk_overhead_bytes), plain(slot);
  for (uint64_t i = 0; (i + 1) * slot <= record.offset; ++i) {
    TRAM_OK(bodies.read(node::upload_name(record.id), i * sealed.size(), sealed));
    TRAM_OK(crypto::open_slot(key, i, sealed, plain));
  }
  return {};
}

Result<void> node_row(const Table& table, const Row& row, ReadTxn&, Bodies& bodies, Facts& facts) {
  namespace table_ = node::table;
  if (table.name == table_::outgoing.name) {
    TRAM_TRY(out, decoded<proto::OutRecord>(row.value));
    facts[named("document", out.uuid)] = 1;
    if (out.state == proto::OutState::sent && out.body_kept && !out.inline_body)
      TRAM_OK(check_body(bodies, out.body_name, out.manifest, out.chunks));
  } else if (table.name == table_::envelope.name) {
    TRAM_TRY(envelope, decoded<proto::EnvelopeRecord>(row.value));
    facts[named("envelope", row.key, envelope.envelope)] = 1;
  } else if (table.name == table_::channel_out.name) {
    TRAM_TRY(channel, decoded<proto::ChannelOut>(row.value));
    facts[named("sequence", row.key) + " " + std::to_string(channel.inc)] = channel.next_seq - 1;
  } else if (table.name == table_::incoming.name) {
    TRAM_TRY(in, decoded<proto::InRecord>(row.value));
    facts[named("received", in.doc_id)] = 1;
    if (!in.inline_body && in.body_kept && in.state != proto::InState::recalled) {
      const std::string name = node::body_name(in.doc_id);
      TRAM_OK(check_body(bodies, name, in.manifest, in.chunks));
    }
  } else if (table.name == table_::answer.name) {
    TRAM_TRY(answer, decoded<proto::AnswerRecord>(row.value));
    facts[named("answer", row.key, unsigned_part(answer.statement))] = 1;
  } else if (table.name == table_::mail_out.name) {
    facts[named("mail", row.key)] = 1;
  } else if (table.name == table_::idempotency.name) {
    TRAM_TRY(record, decoded<proto::IdempotencyRecord>(row.value));
    facts[named("answered", {}, record.body)] = 1;
  } else if (table.name == table_::upload.name) {
    TRAM_TRY(upload, decoded<proto::UploadRecord>(row.value));
    facts["upload " + upload.id] = upload.offset;
    TRAM_OK(check_upload(bodies, upload));
  }
  return {};
}

Result<void> start_node(WriteTxn& txn, const crypto::KeyRing& ring, Random& random) {
  TRAM_TRY(self, node::load<proto::NodeRecord>(txn, node::table::self, view("self")));
  node::Identity identity{self.party, self.realm, "tram"};
  node::Keys keys;
  keys.sig = std::make_shared<crypto::SigningKey>(ring.sig_seed);
  keys.log = std::make_shared<crypto::LogKey>(ring.log_seed);
  keys.hedge = std::make_shared<crypto::Secret32>(ring.hedge_secret.clone());
  keys.storage = std::make_shared<crypto::Secret32>(ring.storage_key.clone());
  directory::Directory directory(self.realm);
  TRAM_OK(directory.load(txn));
  audit::Log log;
  TRAM_OK(log.load(txn));
  Silent silent;
  node::Node one(identity, keys, directory, log, silent, random);
  node::Effects effects;
  return one.start(txn, io::wall_now(), effects);
}

Result<void> check_log(ReadTxn& txn, Facts& facts) {
  audit::Log log;
  TRAM_OK(log.load(txn));
  TRAM_TRY(leaves, audit::leaf_hashes(txn, 0, log.size()));
  if (crypto::merkle_root(leaves) != log.root()) return damaged("the log's head");
  facts["log"] = log.size();
  return {};
}

// ---- promises ---------------------------------------------------------------------------------------------------

void promises_of(const proto::Frame& frame, Role role, size_t at, std::vector<Promise>& out) {
  auto promise = [&](std::string fact, uint64_t least = 1) { out.push_back({at, std::move(fact), least}); };
  if (role == Role::broker) {
    if (auto* reply = std::get_if<proto::PutReply>(&frame.body)) {
      for (const auto& result : reply->results)
        if (!result.custody.empty()) promise(named("custody", result.env_id, unsigned_part(result.custody)));
    } else if (auto* done = std::get_if<proto::ChunkDone>(&frame.body)) {
      for (uint32_t index : done->indexes)
        if (done->refusal == 0) promise(named("chunk", done->doc_id) + " " + std::to_string(index));
    } else if (auto* offer = std::get_if<proto::OfferReply>(&frame.body)) {
      for (size_t i = 0; i < offer->have.size() * 8; ++i)
        if (offer->have[i / 8] >> (i % 8) & 1) promise(named("chunk", offer->doc_id) + " " + std::to_string(i));
    } else if (auto* acks = std::get_if<proto::AckReply>(&frame.body)) {
      for (const auto& id : acks->stored) promise(named("acked", id));
    } else if (auto* mail = std::get_if<proto::MailPosted>(&frame.body)) {
      for (const auto& id : mail->ids) promise(named("mail", id));
    } else if (auto* hello = std::get_if<proto::HelloReply>(&frame.body)) {
      promise(named("epoch", hello->epoch));
      promise("log", hello->log_size);
    }
    return;
  }
  if (auto* put = std::get_if<proto::Put>(&frame.body)) {
    for (const auto& item : put->items) {
      auto envelope = crypto::decode_envelope(item.envelope);
      if (!envelope) continue;
      promise(named("envelope", envelope->id, item.envelope));
      Bytes channel = to_bytes(envelope->recipient);
      channel.push_back(static_cast<uint8_t>(envelope->lane));
      promise(named("sequence", channel) + " " + std::to_string(envelope->inc), envelope->seq);
    }
  } else if (auto* acks = std::get_if<proto::AckPut>(&frame.body)) {
    for (const auto& item : acks->items) {
      if (auto ack = crypto::decode_ack(item.statement)) {
        promise(named("answer", ack->env_id, unsigned_part(item.statement)));
        promise(named("received", ack->doc_id));
      } else if (auto notice = crypto::decode_notice(item.statement)) {
        promise(named("answer", notice->env_id, unsigned_part(item.statement)));
      }
    }
  } else if (auto* post = std::get_if<proto::MailPost>(&frame.body)) {
    for (const auto& item : post->items) promise(named("mail", crypto::hash("edx1/mail", {item.content})));
  }
}

/// One exchange on one connection of the local API.
struct Exchange {
  std::string request, answer;
  size_t first = 0;  // record at which the answer began to leave
};

std::string field(const std::string& head, const std::string& name) {
  const size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

/// Whether the answer is whole; then what it promised.
bool promises_of(const Exchange& one, std::vector<Promise>& out) {
  const size_t end = one.answer.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const std::string head = one.answer.substr(0, end + 2), body = one.answer.substr(end + 4), length = field(head, "Content-Length");
  if (body.size() < (length.empty() ? 0 : std::stoul(length))) return false;
  if (head.substr(9, 1) != "2") return true;
  const std::string path = one.request.substr(0, one.request.find(" HTTP/"));
  constexpr std::string_view patch = "PATCH /v1/uploads/";
  if (path.starts_with(patch)) {
    out.push_back({one.first, "upload " + path.substr(patch.size()), std::stoull(field(head, "Upload-Offset"))});
  } else if (path.starts_with("POST ") && !path.starts_with("POST /v1/uploads")) {
    out.push_back({one.first, named("answered", {}, view(body)), 1});
    const size_t id = body.find("\"id\":\"");
    if (path == "POST /v1/documents" && id != std::string::npos) out.push_back({one.first, "document " + body.substr(id + 6, 32), 1});
  }
  return true;
}

}  // namespace

Result<Snapshot> examine(Role role, const std::string& home, const crypto::KeyRing& ring) {
  io::SystemRandom random;
  TRAM_TRY(open, role == Role::broker ? open_broker(home, ring) : open_node(home, ring, random));
  Snapshot snapshot;
  crypto::Hasher digest("crash");
  {
    TRAM_TRY(txn, open.store->begin_read());
    for (const Table& table : role == Role::broker ? broker::table::all() : node::table::all()) {
      digest.update(view(table.name));
      const auto walked = node::for_each(*txn, table, {}, [&](const Row& row) -> Result<void> {
        Bytes sizes;
        Writer(sizes).u64(row.key.size()).u64(row.value.size());
        digest.update(sizes);
        digest.update(row.key);
        digest.update(row.value);
        auto read = role == Role::broker ? broker_row : node_row;
        return read(table, row, *txn, *open.bodies, snapshot.facts);
      });
      TRAM_OK(walked);
    }
    TRAM_OK(check_log(*txn, snapshot.facts));
  }
  snapshot.digest = digest.finish();
  // Start-up is recovery; aborted, so that the next image begins as this one did.
  TRAM_TRY(txn, open.store->begin_write());
  TRAM_OK(role == Role::broker ? start_broker(*txn, ring, random) : start_node(*txn, ring, random));
  return snapshot;
}

std::vector<Promise> read_promises(Role role, const std::vector<Record>& trace) {
  std::vector<Promise> out;
  std::map<uint64_t, Exchange> open;
  constexpr uint64_t more_follows = 2;  // ZMQ_SNDMORE
  for (size_t i = 0; i < trace.size(); ++i) {
    const Record& record = trace[i];
    if (record.kind == Kind::frame) {
      if ((record.offset & more_follows) && record.data.size() == 5) continue;  // a routing id
      for (auto endpoint : {proto::Endpoint::control, proto::Endpoint::bulk}) {
        auto frame = proto::decode_frame(record.data, endpoint);
        if (!frame) continue;
        promises_of(*frame, role, i, out);
        break;
      }
    } else if (record.kind == Kind::http_in) {
      Exchange& one = open[record.id];
      if (!one.answer.empty()) one = {};
      one.request += to_text(record.data);
    } else if (record.kind == Kind::http_out) {
      Exchange& one = open[record.id];
      if (one.answer.empty()) one.first = i;
      one.answer += to_text(record.data);
      if (promises_of(one, out)) open.erase(record.id);
    }
  }
  return out;
}

}  // namespace tram::crash
