// fill_store: puts as many items into a daemon's store as a busy agency or broker may hold, so that a start can be
// measured: for a node documents that wait for their recipients, received ones and a log; for a broker envelopes in
// queues, their officer blobs, small mail and a log. Rows are of the shape and size that the daemon writes; what is
// signed or sealed in them is random, since start-up does not look into it.
// The daemon must not run. Thread: one.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <functional>

#include "audit/log.h"
#include "base/io/config_file.h"
#include "base/io/lmdb_store.h"
#include "base/io/clock.h"
#include "base/io/system_random.h"
#include "broker/io/config.h"
#include "broker/io/home.h"
#include "broker/tables.h"
#include "crypto/seal.h"
#include "node/keys.h"
#include "node/rows.h"
#include "proto/records_broker.h"

namespace tram::chaos {
namespace {

constexpr uint64_t rows_per_commit = 4000;
constexpr uint64_t recipients = 1000;

struct Fill {
  Store& store;
  io::SystemRandom& random;
  Time now = io::wall_now();

  Bytes noise(size_t bytes) {
    Bytes out(bytes);
    random.fill(out);
    return out;
  }

  /// Calls `item` for each number, many to a commit; each adds a leaf to the log.
  Result<void> each(uint64_t items, audit::LeafKind kind, const std::function<Result<void>(WriteTxn&, uint64_t)>& item) {
    for (uint64_t i = 0; i < items;) {
      TRAM_TRY(txn, store.begin_write());
      audit::Log log;
      TRAM_OK(log.load(*txn));
      for (const uint64_t end = std::min(items, i + rows_per_commit); i < end; ++i) {
        TRAM_OK(item(*txn, i));
        TRAM_TRY(index, log.append(*txn, kind, now, noise(64), random));
        static_cast<void>(index);
      }
      TRAM_OK(log.store_head(*txn));
      TRAM_OK(txn->commit());
    }
    return {};
  }
};

Result<void> fill_node(Fill& fill, uint64_t items) {
  namespace table = node::table;
  std::vector<PartyId> to;
  for (uint64_t i = 0; i < recipients; ++i) to.push_back(fill.random.id<PartyId>());
  DocUuid uuid;
  auto documents = fill.each(items, audit::LeafKind::document_submitted, [&](WriteTxn& txn, uint64_t i) -> Result<void> {
    if (i % recipients == 0) {
      proto::OutRecord out;
      out.uuid = uuid = fill.random.id<DocUuid>();
      out.doc_id = fill.random.id<DocId>();
      out.state = proto::OutState::sent;
      out.created = fill.now;
      out.not_after = fill.now + limits::time_to_live;
      out.recipients = static_cast<uint32_t>(recipients);
      out.header = fill.noise(limits::header_bytes_max);
      out.document_key = fill.noise(32);
      out.inline_body = true;
      TRAM_OK(node::save(txn, table::outgoing, out.uuid, out));
      TRAM_OK(txn.put(table::body_inline, out.doc_id, fill.noise(8192)));
    }
    proto::ItemRecord item;
    item.uuid = uuid;
    item.recipient = to[i % recipients];
    item.queued = fill.now;
    TRAM_OK(node::save(txn, table::item, node::row_key(uuid, item.recipient), item));
    return txn.put(table::todo, node::row_key(item.recipient, Lane::normal, (uint64_t{1} << 40) + i), to_bytes(uuid));
  });
  TRAM_OK(documents);
  const PartyId sender = fill.random.id<PartyId>();
  return fill.each(items, audit::LeafKind::document_stored, [&](WriteTxn& txn, uint64_t i) -> Result<void> {
    proto::InRecord in;
    in.arrival = (uint64_t{1} << 40) + i;
    in.doc_id = fill.random.id<DocId>();
    in.env_id = fill.random.id<EnvelopeId>();
    in.sender = sender;
    in.seq = i + 1;
    in.envelope = fill.noise(limits::envelope_bytes);
    in.received = fill.now;
    TRAM_OK(node::save(txn, table::incoming, node::row_key(in.arrival), in));
    TRAM_OK(txn.put(table::incoming_by_doc, in.doc_id, node::u64_value(in.arrival)));
    proto::AnswerRecord answer{fill.noise(225), fill.noise(400), sender, in.arrival};
    return node::save(txn, table::answer, in.env_id, answer);
  });
}

Result<void> fill_broker(Fill& fill, uint64_t items) {
  namespace table = broker::table;
  const PartyId sender = fill.random.id<PartyId>();
  std::vector<PartyId> to;
  for (uint64_t i = 0; i < recipients; ++i) to.push_back(fill.random.id<PartyId>());
  const Bytes mark{1};
  DocId doc_id;
  return fill.each(items, audit::LeafKind::custody_given, [&](WriteTxn& txn, uint64_t i) -> Result<void> {
    const PartyId& recipient = to[i % recipients];
    const uint64_t serial = (uint64_t{1} << 40) + i, position = i / recipients + 1;
    if (i % 10 == 0) {
      doc_id = fill.random.id<DocId>();
      proto::BodyRecord body;
      body.header = fill.noise(limits::header_bytes_max);
      body.manifest = fill.noise(48);
      body.inline_chunk = fill.noise(4000);
      body.inline_body = true;
      body.chunks = 1;
      TRAM_OK(txn.put(table::body, table::body_key(sender, doc_id), proto::encode_record(body)));
    }
    const auto env_id = fill.random.id<EnvelopeId>();
    proto::StoredEnvelope row;
    row.envelope = fill.noise(limits::envelope_bytes);
    row.custody = fill.noise(219);
    row.pin = serial;
    row.position = table::position_key(sender, recipient, Lane::normal, 1, position);
    row.queue = table::queue_key(recipient, Lane::normal, position);
    row.not_after = fill.now + limits::time_to_live;
    TRAM_OK(txn.put(table::envelope, env_id, proto::encode_record(row)));
    TRAM_OK(txn.put(table::queue, row.queue, fill.noise(64)));
    TRAM_OK(txn.put(table::position, row.position, env_id));
    TRAM_OK(txn.put(table::pin, table::pin_key(sender, doc_id, serial), table::pin_value(env_id, fill.noise(limits::officer_blob_bytes))));
    return txn.put(table::timer, table::timer_key(row.not_after + limits::grace, table::TimerKind::envelope_end, env_id), mark);
  });
}

Result<void> run(bool broker, const std::string& home, uint64_t items, int key_fd) {
  io::SystemRandom random;
  TRAM_TRY(ring, daemon::open_key_ring(home, {key_fd, {}, true}));
  if (broker) {
    TRAM_TRY(config, io::read_config(broker::config_path(home), broker::config_keys()));
    TRAM_TRY(opened, broker::open_home(home, config, ring));
    Fill fill{*opened.store, random};
    return fill_broker(fill, items);
  }
  io::LmdbOptions lmdb;
  lmdb.directory = home + "/store";
  lmdb.map_bytes = 16ull << 30;
  lmdb.tables = node::table::all();
  TRAM_TRY(raw, io::LmdbStore::open(lmdb));
  auto codec = crypto::make_seal_codec(ring.storage_key, random, node::table::all());
  auto store = coded_store(*raw, *codec);
  Fill fill{*store, random};
  return fill_node(fill, items);
}

}  // namespace
}  // namespace tram::chaos

int main(int argc, char** argv) {
  tram::crypto::initialize();
  std::string role = "node", home;
  uint64_t items = 100000;
  int key_fd = -1;
  CLI::App app{"fill_store: fills a daemon's store, so that its start can be measured"};
  app.add_option("--role", role)->check(CLI::IsMember({"broker", "node"}));
  app.add_option("--dir", home, "The daemon's home")->required()->check(CLI::ExistingDirectory);
  app.add_option("--items", items);
  app.add_option("--key-fd", key_fd, "Read the raw key of the key file from this descriptor")->required();
  CLI11_PARSE(app, argc, argv);
  if (auto done = tram::chaos::run(role == "broker", home, items, key_fd); !done) {
    std::fprintf(stderr, "fill_store: %s\n", tram::describe(done.error()).c_str());
    return 1;
  }
  return 0;
}
