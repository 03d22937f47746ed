// A node whose disk rots, or that a document kills (3.9, R24, R44): what is made anew, what is refused, what is put aside.
#include <set>

#include "base/limits.h"
#include "node/io/opening_marks.h"
#include "tests/unit/node_exchange.h"

namespace tram::node::test {
namespace {

/// A process that was killed, and the next one over the same store; `open` was under way.
void die_and_start(World& world, const std::vector<Hash>& open) {
  auto txn = world.realm.store.begin_write().value();
  REQUIRE(Node::count_attempts(*txn, world.now, open, world.log));
  REQUIRE(txn->commit());
  txn.reset();
  world.audit = audit::Log();
  REQUIRE(world.audit.load(*world.realm.read()));
  world.node = std::make_unique<Node>(world.identity(), world.keys,
                                      *world.realm.directory, world.audit, world.log, world.realm.random);
  auto start = world.realm.store.begin_write().value();
  Effects effects;
  REQUIRE(world.node->start(*start, world.now, effects));
  REQUIRE(start->commit());
}

void greet(World& world, size_t broker = 0) {
  proto::HelloReply hello;
  hello.broker = world.brokers[broker].id;
  hello.epoch = *Epoch::from(Bytes(16, static_cast<uint8_t>(broker + 1)));
  hello.time = world.now;
  hello.directory_size = world.realm.directory->size();
  world.step({BrokerUp{hello.broker}, FrameArrived{hello.broker, proto::Endpoint::control, {1, hello}, {}}});
}

Bytes envelope_from_party(World& world, uint64_t seq) {
  crypto::Envelope envelope;
  envelope.realm = world.realm.directory->realm();
  envelope.sender = world.party.id;
  envelope.recipient = world.self.id;
  envelope.inc = 1;
  envelope.seq = seq;
  envelope.doc_id = world.realm.random.id<DocId>();
  envelope.created = world.now;
  envelope.not_after = world.now + days(10);
  envelope.dir_size = world.realm.directory->size();
  return crypto::encode_envelope(envelope, *world.party_key);
}

/// Announced, fetched, and the content is here.
Effects arrives(World& world, const Bytes& envelope) {
  const PartyId broker = world.brokers[0].id;
  const auto id = crypto::decode_envelope(envelope)->id;
  proto::Announce announce;
  announce.items.push_back({envelope, 1, {}});
  const Effects asked = world.step({FrameArrived{broker, proto::Endpoint::control, {0, announce}, {}}});
  if (sent<proto::Fetch>(asked).empty()) return {};
  proto::Content content;
  content.env_id = id;
  return world.step({FrameArrived{broker, proto::Endpoint::control, {2, content}, {}}});
}

Hash id_of(const Bytes& envelope) { return Hash{crypto::decode_envelope(envelope)->id.bytes}; }

}  // namespace

TEST_CASE("R44: what killed the node four times is put aside, refused, and blocks nobody") {
  World world;
  const Bytes poison = envelope_from_party(world, 1);
  for (uint32_t death = 1; death <= limits::poison_attempts_max; ++death) {
    greet(world);
    Effects effects = arrives(world, poison);
    REQUIRE(jobs_of<OpenJob>(effects).size() == 1);
    CHECK(opened_by(effects.jobs.back()) == std::vector{id_of(poison)});
    die_and_start(world, {id_of(poison)});
  }
  greet(world);
  Effects last = arrives(world, poison);
  REQUIRE(jobs_of<OpenJob>(last).size() == 1);  // three times may be chance
  die_and_start(world, {id_of(poison)});
  greet(world);
  Effects refused = arrives(world, poison);
  CHECK(jobs_of<OpenJob>(refused).empty());
  const auto answers = jobs_of<AnswerJob>(refused);
  REQUIRE(answers.size() == 1);
  const auto notice = crypto::decode_notice(answers[0]->items.at(0).statement);
  REQUIRE(notice);
  CHECK(notice->kind == crypto::NoticeKind::nack);
  CHECK(notice->reason == static_cast<uint16_t>(ErrorCode::poison));
  CHECK(load<proto::ChannelIn>(*world.realm.read(), table::channel_in, row_key(world.party.id, Lane::normal))->next_seq == 2);
  CHECK(world.realm.read()->scan(table::attempt, {}, {}, 9)->empty());

  const auto listed = world.get("/v1/quarantine");
  REQUIRE(listed.status == 200);
  REQUIRE(listed.json["items"].size() == 1);
  CHECK(listed.json["items"][0]["envelope_id"] == id_of(poison).hex());
  CHECK(listed.json["items"][0]["attempts"] == 4);
  CHECK(listed.json["items"][0]["from"]["code"] == "D01");
  CHECK(world.get("/v1/health").json["quarantined"] == 1);
  // A repeat has the same answer, and what comes behind is opened.
  Effects again = arrives(world, poison);
  CHECK(jobs_of<OpenJob>(again).empty());
  Effects next = arrives(world, envelope_from_party(world, 2));
  CHECK(jobs_of<OpenJob>(next).size() == 1);
}

TEST_CASE("R44: who was merely near is cleared: suspects are opened one at a time, an answer ends the suspicion") {
  World world;
  const Bytes one = envelope_from_party(world, 1), two = envelope_from_party(world, 2), third = envelope_from_party(world, 3);
  greet(world);
  die_and_start(world, {id_of(one), id_of(two)});
  greet(world);
  Effects first = arrives(world, one);
  REQUIRE(jobs_of<OpenJob>(first).size() == 1);
  Effects second = arrives(world, two);
  CHECK(jobs_of<OpenJob>(second).empty());
  Effects fresh = arrives(world, third);  // nobody suspects it
  CHECK(jobs_of<OpenJob>(fresh).size() == 1);
  OpenDone done;
  done.env_id = crypto::decode_envelope(one)->id;
  done.outcome = fail(ErrorCode::cannot_open);
  world.step({JobResult{std::move(done)}});
  CHECK(world.realm.read()->scan(table::attempt, {}, {}, 9)->size() == 1);
  world.now = world.now + minutes(1);
  const Effects asked = world.step({Tick{}});
  REQUIRE(sent<proto::Fetch>(asked).size() == 1);
  proto::Content content;
  content.env_id = crypto::decode_envelope(two)->id;
  Effects now = world.step({FrameArrived{world.brokers[0].id, proto::Endpoint::control, {3, content}, {}}});
  CHECK(jobs_of<OpenJob>(now).size() == 1);
  // What was answered before the process died is not to blame.
  die_and_start(world, {Hash{crypto::decode_envelope(one)->id.bytes}});
  CHECK(world.realm.read()->scan(table::attempt, {}, {}, 9)->size() == 1);
}

TEST_CASE("R44: the marks say what was open when the process died, and nothing after a proper end") {
  char folder[] = "/tmp/tram-marks-XXXXXX";
  REQUIRE(::mkdtemp(folder));
  const std::string path = std::string(folder) + "/opening";
  const Hash a{{1}}, b{{2}}, c{{3}};
  CHECK(OpeningMarks::left_behind(path).empty());
  {
    OpeningMarks marks(path);
    marks.begin(std::vector{a, b, c});
    marks.begin(std::vector{a});
    REQUIRE(marks.write());
    CHECK(OpeningMarks::left_behind(path) == std::vector{a, b, c});
    marks.end(std::vector{a, b});
    REQUIRE(marks.write());
    CHECK(OpeningMarks::left_behind(path) == std::vector{a, c});  // a is open once more
    marks.end(std::vector{a});
    REQUIRE(marks.write());
    CHECK(OpeningMarks::left_behind(path) == std::vector{c});
  }
  CHECK(OpeningMarks::left_behind(path) == std::vector{c});
  OpeningMarks nowhere("/dev/full");  // a full disk blames nobody and stops nobody
  nowhere.begin(std::vector{a});
  CHECK(nowhere.write().error().code == ErrorCode::storage_full);
  CHECK_FALSE(nowhere.failed());
  OpeningMarks next(path);
  next.remove();
  CHECK(OpeningMarks::left_behind(path).empty());
  ::rmdir(folder);
}

// ---- rot --------------------------------------------------------------------------------------------------------

namespace {

/// A sent and a received document of one chunk or of many, as files and inside the store; everything a running node keeps.
struct Kept {
  World world;
  std::vector<DocId> received;
  std::vector<DocUuid> sent_ones;

  Kept() {
    for (const bool large : {false, true}) {
      auto submission = World::submission();
      if (large) submission["files"][0]["content"] = base64(pdf + std::string(300000, 'x'));
      REQUIRE(world.post("/v1/documents", submission).status == 202);
      SealDone done = world.seal();
      world.arrive(done);
      received.push_back(done.record.doc_id);
      sent_ones.push_back(done.uuid);
      world.step({JobResult{std::move(done)}});
    }
    auto txn = world.realm.store.begin_write().value();
    crypto::Envelope open;
    open.realm = world.realm.directory->realm();
    open.sender = world.self.id;
    open.recipient = world.party.id;
    open.inc = open.seq = 1;
    open.doc_id = received[0];
    open.created = world.now;
    open.not_after = world.now + days(10);
    const Bytes envelope = crypto::encode_envelope(open, *world.keys.sig);
    const auto env_id = open.id;
    REQUIRE(txn->put(table::open_envelope, env_id, {}));
    const proto::EnvelopeRecord open_row{env_id, sent_ones[0], world.party.id, envelope, Bytes(1024), false};
    REQUIRE(save(*txn, table::envelope, env_id, open_row));
    REQUIRE(save(*txn, table::custody, custody_key(open_row, world.brokers[0].id), proto::CustodyRecord{world.brokers[0].id, {}, Bytes(20), false}));
    REQUIRE(txn->put(table::pending, row_key(world.brokers[1].id, Lane::normal, uint64_t{9}), env_id));
    REQUIRE(save(*txn, table::channel_out, row_key(world.party.id, Lane::normal), proto::ChannelOut{1, 2, env_id}));
    REQUIRE(save(*txn, table::channel_in, row_key(world.party.id, Lane::normal), proto::ChannelIn{1, 5, {}}));
    REQUIRE(save(*txn, table::broker_state, world.brokers[0].id, proto::BrokerState{world.brokers[0].id, {}, 5, {}, world.now}));
    REQUIRE(txn->put(table::mail_seen, world.realm.random.id<Hash>(), u64_value(world.now.wire())));
    REQUIRE(txn->put(table::skipped, row_key(world.party.id, Lane::normal, uint32_t{1}, uint64_t{4}), row_key(uint64_t{3}, EnvelopeId{})));
    REQUIRE(txn->put(table::counter, view("in/2026"), u64_value(7)));
    for (const DocId& doc_id : received) {
      TRAM_CHECK(txn->get(table::incoming_by_doc, doc_id));
      const Bytes arrival = *txn->get(table::incoming_by_doc, doc_id).value();
      auto record = load<proto::InRecord>(*txn, table::incoming, arrival).value();
      crypto::Ack ack;
      ack.realm = world.realm.directory->realm();
      ack.env_id = record.env_id;
      ack.doc_id = doc_id;
      ack.sender = record.sender;
      ack.recipient = world.self.id;
      REQUIRE(save(*txn, table::answer, record.env_id,
                   proto::AnswerRecord{crypto::encode_ack(ack, *world.keys.sig), {}, record.sender, read_u64(arrival)}));
    }
    REQUIRE(txn->commit());
  }

  static bool comes_again(const std::string& table) {
    static const std::set<std::string> tables{"custody",  "pending",   "channel_out", "channel_in", "broker_state", "mail_seen", "kx_private",
                                              "open_env", "out_by_doc",  "todo",       "timer",        "in_skipped", "in_by_doc",
                                              "in",       "answer",    "idempotency", "upload",     "scrub",        "number_seen"};
    return tables.contains(table) || table.starts_with("dir_");
  }
};

}  // namespace

TEST_CASE("3.9: a node's row that others hold is made anew or dropped; what nobody else has is named and nothing changes") {
  std::set<std::string> mended, refused;
  const auto image = Kept().world.realm.store.dump();
  for (const auto& [name, rows] : image) {
    for (size_t which = 0; which < std::min<size_t>(rows.size(), name == "dir_entries" ? 9 : 2); ++which) {
      Kept kept;
      World& world = kept.world;
      const auto own = world.realm.store.dump();
      const Bytes key = std::next(own.at(name).begin(), static_cast<ptrdiff_t>(which))->first;
      const Bytes value = own.at(name).at(key);
      INFO(name << " " << to_hex(key));
      sim::MemStore raw;
      auto codec = crypto::make_seal_codec(*world.keys.storage, world.realm.random, table::all());
      auto store = coded_store(raw, *codec);
      {
        auto txn = store->begin_write().value();
        for (const auto& [table_name, table_rows] : world.realm.store.dump())
          for (const auto& [row, bytes] : table_rows) REQUIRE(txn->put(Table{table_name}, row, bytes));
        REQUIRE(txn->commit());
      }
      auto spoilt = raw.dump();
      REQUIRE(spoilt.at(name).contains(key));
      spoilt.at(name).at(key).back() ^= 1;
      raw.restore(spoilt);
      const auto found = check_rows(*store->begin_read().value(), table::all()).value();
      REQUIRE(found.damaged.size() == 1);
      CHECK(describe(found.damaged[0]) == name + " " + to_hex(key));
      auto txn = store->begin_write().value();
      const auto done = Node::repair(*txn, world.now, found.damaged);
      // A received document's content has a copy elsewhere; a sent one's, for certain, has not.
      bool expected = Kept::comes_again(name);
      if (name == "body_inline") expected = std::any_of(kept.received.begin(), kept.received.end(), [&](const DocId& id) { return equal(key, id); });
      if (name == "dir_entries" && which < 3) expected = false;  // who the brokers are stands in these: there is nobody to ask
      CHECK(done.has_value() == expected);
      if (!done) {
        refused.insert(name);
        CHECK(done.error().code == ErrorCode::store_corrupt);
        CHECK(done.error().detail.find(name == "dir_entries" ? "directory" : name) != std::string::npos);
        txn.reset();
        CHECK(raw.dump() == spoilt);
        continue;
      }
      mended.insert(name);
      REQUIRE(Node::mark_restored(*txn));
      REQUIRE(txn->commit());
      txn.reset();
      CHECK(check_rows(*store->begin_read().value(), table::all())->damaged.empty());
      // It starts, and what it says of itself is the same.
      directory::Directory directory(world.realm.directory->realm());
      audit::Log log;
      auto start = store->begin_write().value();
      REQUIRE(directory.load(*start));
      REQUIRE(log.load(*start));
      Node node(world.identity(), world.keys, directory, log, world.log, world.realm.random);
      Effects effects;
      REQUIRE(node.start(*start, world.now, effects));
      std::vector<Event> tick{Tick{}};
      REQUIRE(node.step(*start, world.now, tick, effects));
      REQUIRE(node.settle(*start, world.now, effects));
      REQUIRE(start->commit());
      if (name == "out_by_doc" || name == "in_by_doc" || name == "open_env") {
        auto read = store->begin_read().value();
        CHECK(read->get(Table{name}, key).value() == std::optional(value));
      }
      if (name == "answer") {  // announced again, it is late and not forged
        auto read = store->begin_read().value();
        const auto received = read->scan(table::incoming, {}, {}, 9).value();
        CHECK(std::any_of(received.begin(), received.end(), [&](const Row& row) {
          proto::InRecord record;
          REQUIRE(proto::decode_record(row.value, record));
          return equal(record.env_id, key) && read->get(table::skipped, row_key(record.sender, record.lane, record.inc, record.seq)).value();
        }));
      }
      if (name == "in" || name == "body_inline") CHECK(store->begin_read().value()->scan(table::damaged, {}, {}, 9)->size() == 1);
    }
  }
  for (const char* name : {"custody", "pending", "channel_out", "broker_state", "kx_private", "dir_entries", "dir_kx", "in", "in_by_doc", "answer",
                           "out_by_doc", "body_inline", "in_skipped"})
    CHECK(mended.contains(name));
  for (const char* name : {"node", "out", "item", "counter", "log_entries"}) CHECK(refused.contains(name));
}

TEST_CASE("3.9: the walk finds a rotten body; a received one is asked of brokers, then of its sender") {
  Kept kept;
  World& world = kept.world;
  const DocId doc_id = kept.received[1];
  uint8_t byte = 0;
  REQUIRE(world.bodies.read(body_name(doc_id), 5000, {&byte, 1}));
  byte ^= 1;
  REQUIRE(world.bodies.write(body_name(doc_id), 5000, {&byte, 1}));
  // The row needs its envelope: it is what brokers are asked for.
  {
    auto txn = world.realm.store.begin_write().value();
    const Bytes arrival = *txn->get(table::incoming_by_doc, doc_id).value();
    auto record = load<proto::InRecord>(*txn, table::incoming, arrival).value();
    record.sender = world.party.id;
    record.envelope = envelope_from_party(world, 3);
    record.env_id = crypto::decode_envelope(record.envelope)->id;
    REQUIRE(save(*txn, table::incoming, arrival, record));
    REQUIRE(txn->commit());
  }
  greet(world, 0);
  greet(world, 1);
  bool asked_broker = false;
  std::optional<crypto::Notice> resend;
  for (int second = 0; second < 300 && !resend; ++second) {
    world.now = world.now + seconds(1);
    Effects effects = world.step({Tick{}});
    std::vector<Event> answers;
    for (const auto& one : effects.sends) {
      if (const auto* fetch = std::get_if<proto::Fetch>(&one.frame.body)) {
        asked_broker = true;
        proto::Content none;
        none.env_id = fetch->env_ids.at(0);
        none.refusal = static_cast<uint16_t>(ErrorCode::not_found);
        answers.push_back(FrameArrived{one.broker, proto::Endpoint::control, {one.frame.request, none}, {}});
      }
      if (const auto* post = std::get_if<proto::MailPost>(&one.frame.body))
        for (const auto& item : post->items)
          if (auto notice = crypto::decode_notice(item.content); notice && notice->kind == crypto::NoticeKind::resend) resend = *notice;
    }
    for (auto* job : jobs_of<ScrubJob>(effects)) {
      Job moved = std::move(*job);
      answers.push_back(run_job(moved, world.bodies, world.realm.random));
    }
    if (!answers.empty()) {
      const Effects more = world.step(std::move(answers));
      for (const auto& one : more.sends)
        if (const auto* fetch = std::get_if<proto::Fetch>(&one.frame.body)) {
          proto::Content none;
          none.env_id = fetch->env_ids.at(0);
          none.refusal = static_cast<uint16_t>(ErrorCode::not_found);
          world.step({FrameArrived{one.broker, proto::Endpoint::control, {one.frame.request, none}, {}}});
        }
    }
  }
  CHECK(asked_broker);
  REQUIRE(resend);
  CHECK(resend->doc_id == doc_id);
  CHECK(resend->other == world.party.id);
  const auto health = world.get("/v1/health").json;
  CHECK(health["scrub"]["damaged_received"] == Json::array({doc_id.hex()}));
  // And it is not asked every second.
  for (int second = 0; second < 60; ++second) {
    world.now = world.now + seconds(1);
    for (const auto& post : sent<proto::MailPost>(world.step({Tick{}})))
      for (const auto& item : post.items)
        if (auto notice = crypto::decode_notice(item.content)) CHECK((notice->kind != crypto::NoticeKind::resend || notice->id == resend->id));
  }
}

TEST_CASE("3.9: what a clerk could not open is looked at at once, not in three days") {
  Kept kept;
  World& world = kept.world;
  const DocId doc_id = kept.received[1];
  const uint64_t arrival = read_u64(*world.realm.read()->get(table::incoming_by_doc, doc_id).value());
  // A first walk ends; the next is far off.
  const auto tick = [&] {
    world.now = world.now + seconds(1);
    Effects effects = world.step({Tick{}});
    size_t jobs = 0;
    for (auto* job : jobs_of<ScrubJob>(effects)) {
      ++jobs;
      Job moved = std::move(*job);
      world.step({run_job(moved, world.bodies, world.realm.random)});
    }
    return jobs;
  };
  for (int second = 0; second < 100 && world.node->scrub().last_ended().ms == 0; ++second) tick();
  REQUIRE(world.node->scrub().last_ended().ms != 0);
  REQUIRE(tick() == 0);
  uint8_t byte = 0;
  REQUIRE(world.bodies.read(body_name(doc_id), 5000, {&byte, 1}));
  byte ^= 1;
  REQUIRE(world.bodies.write(body_name(doc_id), 5000, {&byte, 1}));
  REQUIRE(tick() == 0);

  std::vector<uint64_t> told;
  auto txn = world.realm.read();
  const auto answer = api::handle_read({*txn, *world.realm.directory, world.health, world.now, world.bodies, world.self.id,
                                        [&](uint64_t which) { told.push_back(which); }},
                                       World::request("GET", "/v1/inbox/" + std::to_string(arrival) + "/files/1"));
  CHECK(answer.status == 422);
  CHECK(told == std::vector{arrival});
  txn.reset();
  world.node->suspect(arrival);
  CHECK(tick() == 1);
  CHECK(world.get("/v1/health").json["scrub"]["damaged_received"] == Json::array({doc_id.hex()}));
  // A good one is not accused.
  world.node->suspect(arrival - 1);
  tick();
  CHECK(world.get("/v1/health").json["scrub"]["damaged_received"].size() == 1);
}

TEST_CASE("3.9: a sender that is asked again for one document sends that one again, as long as it keeps it") {
  Kept kept;
  World& world = kept.world;
  const Bytes item_key = row_key(kept.sent_ones[0], world.party.id);
  auto asked = [&](const PartyId& by) {
    {
      auto txn = world.realm.store.begin_write().value();
      auto item = load<proto::ItemRecord>(*txn, table::item, item_key).value();
      item.state = proto::ItemState::delivered;
      item.received = world.now;
      REQUIRE(save(*txn, table::item, item_key, item));
      REQUIRE(txn->commit());
    }
    crypto::Notice notice;
    notice.kind = crypto::NoticeKind::resend;
    notice.realm = world.realm.directory->realm();
    notice.issuer = by;
    notice.other = world.self.id;
    notice.doc_id = kept.received[0];
    MailJobDone done;
    done.items.push_back({world.realm.random.id<Hash>(), by, {}, {}, notice, {}, {}});
    world.step({JobResult{done}});
    return load<proto::ItemRecord>(*world.realm.read(), table::item, item_key).value();
  };
  CHECK(asked(world.front.id).state == proto::ItemState::delivered);  // it never had it
  const auto item = asked(world.party.id);
  CHECK(item.state == proto::ItemState::waiting);
  CHECK(item.redeliveries == 1);
  auto txn = world.realm.store.begin_write().value();
  auto record = load<proto::OutRecord>(*txn, table::outgoing, kept.sent_ones[0]).value();
  record.body_kept = false;
  REQUIRE(save(*txn, table::outgoing, kept.sent_ones[0], record));
  REQUIRE(txn->commit());
  txn.reset();
  CHECK(asked(world.party.id).state == proto::ItemState::delivered);
}

}  // namespace tram::node::test
