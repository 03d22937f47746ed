// The states × events tables of PROTOCOL.md 6.3 and 6.5: every pair is tried on a node, and what happens is said in their
// words.
#include "tests/unit/node_exchange.h"
#include "tests/unit/protocol_table.h"

namespace tram::node::test {
namespace {

using tram::test::protocol_table;

/// A letter of `party` for us, at this position of its channel.
struct Arriving : Exchange {
  crypto::Envelope envelope;
  Bytes bytes;
  bool asked_for = false;

  void begin(uint64_t seq) {
    envelope.realm = realm.directory->realm();
    envelope.sender = party.id;
    envelope.recipient = self.id;
    envelope.lane = Lane::normal;
    envelope.inc = 1;
    envelope.seq = seq;
    envelope.doc_id = realm.random.id<DocId>();
    envelope.created = now;
    envelope.not_after = now + days(10);
    envelope.dir_size = realm.directory->size();
    envelope.dir_root = realm.directory->root();
    bytes = crypto::encode_envelope(envelope, *party_key);
    greet(0);
    greet(1);
    feed();
  }
  /// Also what a worker makes of it at once: sealed answers.
  Effects answered(Effects effects) {
    for (auto& job : effects.jobs)
      if (std::holds_alternative<AnswerJob>(job)) {
        auto more = step({run_job(job, bodies, realm.random)});
        std::move(more.sends.begin(), more.sends.end(), std::back_inserter(effects.sends));
      }
    return effects;
  }
  Effects announced() {
    auto effects = answered(from(0, proto::Announce{{{bytes, 1, {}}}}));
    for (const auto& fetch : sent<proto::Fetch>(effects))
      asked_for = asked_for || std::find(fetch.env_ids.begin(), fetch.env_ids.end(), envelope.id) != fetch.env_ids.end();
    return effects;
  }
  /// The next one of the channel takes this one's place.
  void follow() {
    envelope.prev = envelope.id;
    ++envelope.seq;
    envelope.doc_id = realm.random.id<DocId>();
    bytes = crypto::encode_envelope(envelope, *party_key);
    asked_for = false;
  }
  /// The content comes, and a worker has opened it, or could not.
  void opened(Result<void> outcome) {
    handed_out();
    worked(std::move(outcome));
  }
  void handed_out() {
    proto::Content content;
    content.env_id = envelope.id;
    answered(from(0, content));
  }
  void worked(Result<void> outcome) {
    OpenDone done;
    done.env_id = envelope.id;
    done.outcome = std::move(outcome);
    proto::InRecord& record = done.record;
    record.doc_id = envelope.doc_id;
    record.env_id = envelope.id;
    record.sender = party.id;
    record.lane = envelope.lane;
    record.inc = envelope.inc;
    record.seq = envelope.seq;
    record.envelope = bytes;
    record.document_key = Bytes(32, 7);
    record.inline_body = true;
    proto::Metadata metadata;
    metadata.subject = "Về việc kiểm tra";
    record.metadata = proto::encode_metadata(metadata);
    done.inline_chunk = Bytes(100, 1);
    answered(step({JobResult{std::move(done)}}));
  }
  void kills_the_node() {
    for (uint32_t i = 0; i <= limits::poison_attempts_max; ++i) {
      auto txn = realm.store.begin_write().value();
      const Hash id{envelope.id.bytes};
      REQUIRE(Node::count_attempts(*txn, now, {&id, 1}, log));
      REQUIRE(txn->commit());
    }
    restart();
    greet(0);
  }

  std::optional<proto::AnswerRecord> answer() {
    return find<proto::AnswerRecord>(*realm.read(), table::answer, envelope.id).value();
  }
  std::optional<proto::InRecord> document() {
    const auto txn = realm.read();
    const auto arrival = find_u64(*txn, table::incoming_by_doc, envelope.doc_id).value();
    return arrival ? find<proto::InRecord>(*txn, table::incoming, u64_value(*arrival)).value() : std::nullopt;
  }
  std::string name_of_state() {
    const auto held = answer();
    const auto record = document();
    CHECK(record.has_value() == (held && text(BytesView(held->statement).first(4)) == "EDXA"));  // ACK iff stored (R15)
    if (!held) return asked_for ? "fetching" : "(unknown)";
    if (!record) return realm.read()->get(table::quarantine, envelope.id).value() ? "quarantine" : "refused";
    return record->state == proto::InState::held ? "held" : record->state == proto::InState::registered ? "registered" : "stored";
  }
};

/// In one state of table 6.3.
struct Incoming : Arriving {
  Incoming(const std::string& state, uint64_t seq) {
    begin(seq);
    if (state == "(unknown)") return;
    announced();
    if (state == "held" || state == "stored" || state == "registered") opened({});
    if (state == "refused") opened(fail(ErrorCode::cannot_open));
    if (state == "quarantine") {
      kills_the_node();
      announced();
      opened({});
    }
    if (state == "registered") {
      auto txn = realm.store.begin_write().value();
      Effects effects;
      REQUIRE(node->register_document(*txn, now, document()->arrival, {{}, {}, "mai", {}}, effects));
      REQUIRE(txn->commit());
    }
    REQUIRE(name_of_state() == state);
  }

  /// What the event does, in the table's words.
  std::string after(const std::string& event) {
    const std::string before = name_of_state();
    const auto stored = answer();
    if (event == "announced by a broker") {
      for (const auto& put : sent<proto::AckPut>(announced()))
        for (const auto& item : put.items) {
          REQUIRE(stored);
          CHECK(item.statement == stored->statement);
          return text(BytesView(item.statement).first(4)) == "EDXA" ? "answered with the stored ACK" : "answered with the stored nack";
        }
    } else if (event == "content complete and verified" || event == "earlier position missing") {
      opened({});
    } else if (event == "channel reached it") {
      auto voided = notice(crypto::NoticeKind::voided, 1, realm.random.id<EnvelopeId>());
      voided.lane = Lane::normal;
      heard(voided);
    } else if (event == "cannot verify or open") {
      opened(fail(ErrorCode::cannot_open));
    } else if (event == "attempts > 3") {
      kills_the_node();
      if (before == "fetching") announced();
      opened({});
    } else {
      FAIL("PROTOCOL.md has an event that no test knows: " << event);
    }
    if (stored) {  // the same answer for ever
      CHECK(answer()->statement == stored->statement);
      CHECK(answer()->receipt == stored->receipt);
    }
    const std::string state = name_of_state();
    return state == before ? "–" : state;
  }
};

/// In one state of table 6.5.
struct PutBack : Arriving {
  uint64_t target = 0;

  explicit PutBack(const std::string& state) {
    begin(1);
    announced();
    opened({});
    target = document()->arrival;
    envelope.seq = 2;  // another one, which comes now
    envelope.doc_id = realm.random.id<DocId>();
    bytes = crypto::encode_envelope(envelope, *party_key);
    asked_for = false;
    if (state == "none") return;
    {
      auto txn = realm.store.begin_write().value();
      REQUIRE(Node::mark_restored(*txn));
      REQUIRE(txn->commit());
    }
    restart();
    greet(0);
    if (state == "telling") greet(1);
    REQUIRE(node->recovery() == (state == "telling" ? proto::Recovery::telling : proto::Recovery::asking));
  }

  proto::InRecord document_at(uint64_t arrival) {
    return load<proto::InRecord>(*realm.read(), table::incoming, u64_value(arrival)).value();
  }

  std::string does(const std::string& what) {
    if (what == "acknowledges") {
      announced();
      opened({});
      return answer() ? "yes" : "no";
    }
    if (what == "takes mail") {
      auto word = notice(crypto::NoticeKind::backed_up, 1, crypto::rinc_field(1));
      auto effects = from(0, proto::MailDeliver{{{party.id, crypto::encode_notice(word, *party_key)}}});
      REQUIRE(jobs_of<MailJob>(effects).size() == 1);
      for (auto& job : effects.jobs)
        if (std::holds_alternative<MailJob>(job)) return sent<proto::MailDone>(step({run_job(job, bodies, realm.random)})).empty() ? "no" : "yes";
    }
    if (what == "issues receipts to senders") {
      auto txn = realm.store.begin_write().value();
      Effects effects;
      REQUIRE(node->register_document(*txn, now, target, {{}, {}, "mai", {}}, effects));
      REQUIRE(txn->commit());
      effects = answered(std::move(effects));
      const auto posts = sent<proto::MailPost>(effects);
      const bool told = std::any_of(posts.begin(), posts.end(),
                                    [](const auto& post) { return post.items.at(0).content.size() == limits::cell_bytes; });
      const Bytes row = row_key(document_at(target).doc_id, self.id, document_at(target).env_id, uint16_t{3});
      const auto issued = load<proto::ReceiptRecord>(*realm.read(), table::receipt, row).value();
      const uint32_t rinc = crypto::decode_receipt(issued.receipt)->rinc;
      CHECK((rinc > 1) == (node->recovery() == proto::Recovery::telling));
      if (!told) return "waits";
      return node->recovery() == proto::Recovery::asking ? "yes, under the old rinc" : "yes";
    }
    REQUIRE(what == "sends documents");
    std::set<uint32_t> put;
    const auto note = [&](const Effects& effects) {
      for (const auto& one : sent<proto::Put>(effects))
        for (const auto& item : one.items) put.insert(crypto::decode_envelope(item.envelope)->inc);
    };
    note(send_letter());
    for (int i = 0; i < 4; ++i) {
      now = now + seconds(1);
      auto effects = tick();
      note(effects);
      note(wrapped(std::move(effects)));
    }
    const auto last = last_envelope();
    if (put.empty() && last.env_id.is_zero()) return "taken from clerks, not wrapped, not put";
    const uint32_t inc = crypto::decode_envelope(last.envelope)->inc;
    CHECK(put == std::set<uint32_t>{inc});
    return inc > 1 ? "yes, under the new inc" : "yes";
  }
};

}  // namespace

TEST_CASE("R20: what was said of a document is said again for its newer envelope, and the rest for that one only") {
  Incoming world("registered", 1);
  const EnvelopeId first = world.envelope.id;
  const auto events_of = [&](const EnvelopeId& env_id) {
    std::set<uint16_t> events;
    const Bytes prefix = row_key(world.envelope.doc_id, world.self.id, env_id);
    const auto rows = world.realm.read()->scan(table::receipt, prefix, prefix_end(prefix), 10).value();
    for (const Row& row : rows)
      events.insert(Reader(BytesView(row.key).subspan(prefix.size())).u16());
    return events;
  };
  REQUIRE(events_of(first) == std::set<uint16_t>{1, 3});
  world.envelope.inc = 2;  // its sender was put back, and knows nothing of the first
  world.bytes = crypto::encode_envelope(world.envelope, *world.party_key);
  REQUIRE(world.envelope.id != first);
  world.announced();
  world.opened({});
  CHECK(events_of(world.envelope.id) == std::set<uint16_t>{1, 3});
  CHECK(world.document()->env_id == world.envelope.id);
  auto txn = world.realm.store.begin_write().value();
  Effects effects;
  REQUIRE(world.node->set_status(*txn, world.now, world.document()->arrival, 4, {}, effects));
  REQUIRE(txn->commit());
  CHECK(events_of(first) == std::set<uint16_t>{1, 3});
  CHECK(events_of(world.envelope.id) == std::set<uint16_t>{1, 3, 4});

  // The sender is put back to a backup that knows the first envelope only, and asks for what it was told since.
  auto asks = world.notice(crypto::NoticeKind::recover, static_cast<uint64_t>(world.now.wire()) + 1, crypto::rinc_field(3));
  asks.lane = Lane::control;
  asks.inc = 0;
  const auto asked = [&] {
    world.heard(asks);
    for (int tick = 0; tick < 3; ++tick) world.tick();
  };
  asked();  // nothing was said after that time
  CHECK(events_of(first) == std::set<uint16_t>{1, 3});
  asks.seq = 0;
  asked();
  CHECK(events_of(first) == std::set<uint16_t>{1, 3, 4});
  const auto signed_so_far = world.audit.size();
  asked();
  CHECK(world.audit.size() == signed_so_far);
}

TEST_CASE("R18: a receipt waits no longer once enough brokers said that they have it, and only who did not is given it again") {
  Incoming world("stored", 1);
  world.greet(2);
  const auto waiting = [&] { return world.realm.read()->scan(table::to_post, {}, {}, 10).value().size(); };
  Effects effects;
  {
    auto txn = world.realm.store.begin_write().value();
    REQUIRE(world.node->register_document(*txn, world.now, world.document()->arrival, {{}, {}, "mai", {}}, effects));
    REQUIRE(txn->commit());
  }
  effects = world.answered(std::move(effects));
  const auto posts = sent<proto::MailPost>(effects);
  REQUIRE(posts.size() == 3);
  const Hash id = crypto::hash("edx1/mail", {posts[0].items.at(0).content});
  CHECK(waiting() == 1);
  world.from(0, proto::MailPosted{{id}});
  CHECK(waiting() == 1);
  world.from(0, proto::MailPosted{{id}});  // one broker's word, twice
  CHECK(waiting() == 1);
  world.from(2, proto::MailPosted{{id}});
  CHECK(waiting() == 0);  // at once, not when it is looked at again
  world.now = world.now + seconds(30);
  std::vector<PartyId> again;
  const auto ticked = world.tick();
  for (const auto& one : ticked.sends)
    if (const auto* post = std::get_if<proto::MailPost>(&one.frame.body))
      for (const auto& item : post->items)
        if (item.content == posts[0].items[0].content) again.push_back(one.broker);
  CHECK(again == std::vector<PartyId>{world.brokers[1].id});
}

TEST_CASE("R7: a broker whose store is a new one is given at once the mail that the old one had") {
  Incoming world("stored", 1);
  {
    auto txn = world.realm.store.begin_write().value();
    Effects effects;
    REQUIRE(world.node->register_document(*txn, world.now, world.document()->arrival, {{}, {}, "mai", {}}, effects));
    REQUIRE(txn->commit());
    world.answered(std::move(effects));
  }
  Bytes content;
  proto::MailPosted taken;
  const auto mails = world.realm.read()->scan(table::mail_out, {}, {}, 10).value();
  for (const Row& row : mails) {
    proto::MailRecord mail;
    REQUIRE(proto::decode_record(row.value, mail));
    if (mail.content.size() == limits::cell_bytes) content = mail.content;
    taken.ids.push_back(id_at<Hash>(row.key, 0));
  }
  REQUIRE(!content.empty());
  world.from(0, taken);
  proto::HelloReply reborn;
  reborn.broker = world.brokers[0].id;
  reborn.epoch = *Epoch::from(Bytes(16, 99));
  reborn.time = world.now;
  reborn.directory_size = world.realm.directory->size();
  size_t given = 0;
  const auto effects = world.from(0, reborn);
  for (const auto& post : sent<proto::MailPost>(effects))
    for (const auto& item : post.items) given += item.content == content;
  CHECK(given == 1);
}

/// The Puts to broker 0 of a step: request, envelopes.
std::vector<std::pair<uint64_t, std::vector<EnvelopeId>>> puts_to_first(const Exchange& world, const Effects& effects) {
  std::vector<std::pair<uint64_t, std::vector<EnvelopeId>>> found;
  for (const auto& one : effects.sends) {
    const auto* put = std::get_if<proto::Put>(&one.frame.body);
    if (!put || one.broker != world.brokers[0].id) continue;
    auto& ids = found.emplace_back(one.frame.request, std::vector<EnvelopeId>{}).second;
    for (const auto& item : put->items) ids.push_back(crypto::decode_envelope(item.envelope)->id);
  }
  return found;
}

TEST_CASE("a recipient that a broker's directory lacks is put there again half a minute later, or when its directory grew") {
  Exchange world;
  for (size_t broker = 0; broker < world.brokers.size(); ++broker) world.greet(broker);
  world.feed();
  auto puts = puts_to_first(world, world.wrapped(world.send_letter()));
  REQUIRE(puts.size() == 1);
  const EnvelopeId envelope = puts[0].second.at(0);
  const auto refuse = [&](uint64_t request) {
    proto::PutReply reply{{{envelope, {}, static_cast<uint16_t>(ErrorCode::no_node), 30000, 0}}};
    return puts_to_first(world, world.step({FrameArrived{world.brokers[0].id, proto::Endpoint::control, {request, std::move(reply)}, {}}}));
  };
  CHECK(refuse(puts[0].first).empty());
  world.now = world.now + seconds(29);
  CHECK(puts_to_first(world, world.tick()).empty());
  world.now = world.now + seconds(2);
  puts = puts_to_first(world, world.tick());
  REQUIRE(puts.size() == 1);
  CHECK(puts[0].second.at(0) == envelope);

  CHECK(refuse(puts[0].first).empty());
  proto::HelloReply hello;
  hello.broker = world.brokers[0].id;
  hello.epoch = *Epoch::from(Bytes(16, 1));
  hello.time = world.now;
  hello.directory_size = world.realm.directory->size() + 1;
  puts = puts_to_first(world, world.from(0, hello));
  REQUIRE(puts.size() == 1);
  CHECK(puts[0].second.at(0) == envelope);
}

TEST_CASE("R25: when a suspension is lifted documents go out within seconds, whoever hears of it first") {
  Exchange world;
  for (size_t broker = 0; broker < world.brokers.size(); ++broker) world.greet(broker);
  world.feed();
  const auto puts = puts_to_first(world, world.wrapped(world.send_letter()));
  REQUIRE(puts.size() == 1);
  const bool suspended_here = GENERATE(true, false);
  const auto status = [&](proto::AgencyStatus to) { world.decide({world.now, proto::StatusChange{world.self.id, to, {}, "kiểm tra"}}, 1); };
  const auto refused = [&] {
    const proto::Refused answer{static_cast<uint16_t>(ErrorCode::suspended_agency), 600000, {}};
    world.step({FrameArrived{world.brokers[0].id, proto::Endpoint::control, {puts[0].first, answer}, {}}});
  };
  const auto put_after = [&](int seconds_later) {
    size_t found = 0;
    for (int i = 0; i < seconds_later; ++i) world.now = world.now + seconds(1), found += puts_to_first(world, world.tick()).size();
    return found;
  };
  if (suspended_here) status(proto::AgencyStatus::suspended);
  refused();
  if (suspended_here) {
    CHECK(put_after(30) == 0);
    status(proto::AgencyStatus::active);
  }
  CHECK(put_after(4) == 0);
  CHECK(put_after(3) == 1);
}

TEST_CASE("what cannot be opened is refused, although a broker that announced it too was retired") {
  Arriving world;
  world.begin(1);
  world.announced();
  world.from(1, proto::Announce{{{world.bytes, 1, {}}}});
  world.step({BrokerDown{world.brokers[1].id}});
  world.opened(fail(ErrorCode::cannot_open));
  CHECK_FALSE(world.answer());
  proto::BrokerChange gone = world.realm.directory->broker(world.brokers[1].id)->record;
  gone.retired = true;
  world.realm.must({{world.now, gone}});
  world.now = world.now + minutes(1);
  world.tick();
  CHECK(world.answer());
}

TEST_CASE("R31: what a broker was told that retired, a closed agency tells the sender by mail, once") {
  const std::string last = GENERATE("the broker retires", "the agency closes", "the letter is opened");
  INFO(last);
  Arriving world;
  world.begin(1);
  world.announced();
  std::set<Bytes> cells;
  const auto pass = [&](Effects effects) {
    effects = world.answered(std::move(effects));
    for (const auto& post : sent<proto::MailPost>(effects))
      for (const auto& letter : post.items)
        if (letter.to == world.party.id && letter.content.size() == limits::cell_bytes) cells.insert(letter.content);
  };
  const auto ticks = [&] {
    for (int i = 0; i < 40; ++i) world.now = world.now + seconds(1), pass(world.tick());
  };
  const auto closes = [&] { pass(world.decide({world.now, proto::SucceedChange{{world.self.id}, {world.front.id}, "merge"}}, 1)); };
  const auto retires = [&] {
    auto gone = world.realm.directory->broker(world.brokers[0].id)->record;
    gone.retired = true;
    pass(world.decide({world.now, gone}, 1));
  };
  const auto opens = [&] { world.worked({}); };

  world.handed_out();
  if (last != "the letter is opened") opens();
  if (last != "the agency closes") closes();
  ticks();
  CHECK(cells.empty());  // the broker that announced it was told, and stands
  if (last != "the broker retires") retires();
  ticks();
  CHECK(cells.empty());  // who is not closed is sent it again by another broker
  if (last == "the broker retires") retires();
  else if (last == "the agency closes") closes();
  else opens();
  REQUIRE(world.answer());
  ticks();
  ticks();
  CHECK(cells.size() == 1);
}

namespace {

/// Some letters of one channel, all announced; each stands in the world's place when its turn is said.
struct Channel : Arriving {
  std::vector<std::pair<crypto::Envelope, Bytes>> letters;
  explicit Channel(size_t count) {
    begin(1);
    for (size_t i = 0; i < count; ++i) {
      if (i) follow();
      letters.push_back({envelope, bytes});
      announced();
      handed_out();
    }
  }
  Channel& at(size_t i) {
    std::tie(envelope, bytes) = letters[i];
    return *this;
  }
  /// The arrival number, 0 for what is not here.
  uint64_t number(size_t i) {
    const auto record = at(i).document();
    return record ? record->arrival : 0;
  }
};

}  // namespace

TEST_CASE("R11: what workers end out of order is stored in the order of its channel") {
  Channel channel(4);
  for (const size_t i : {3u, 1u, 2u}) {
    channel.at(i).worked({});
    CHECK(channel.name_of_state() == "fetching");
  }
  channel.at(0).worked({});
  for (size_t i = 0; i < 4; ++i) {
    CHECK(channel.number(i) == i + 1);
    CHECK(channel.name_of_state() == "stored");
  }
}

TEST_CASE("R11, R32: a document waits for its predecessor no longer than a worker is at that") {
  for (const bool before : {true, false}) {
    INFO(before);
    Channel channel(3);
    channel.at(2).worked({});
    if (before) channel.at(1).worked({});
    const auto& [envelope, bytes] = channel.letters[0];
    channel.from(1, proto::Announce{{{bytes, 1, {}}}});
    channel.at(0).worked(fail(ErrorCode::cannot_open));  // what one broker gave; another is asked, and may withhold it
    CHECK_FALSE(channel.answer());
    if (!before) channel.at(1).worked({});
    for (const size_t i : {1u, 2u}) {
      CHECK(channel.number(i) == i);
      CHECK(channel.name_of_state() == "held");
    }
    proto::Content content;
    content.env_id = envelope.id;
    channel.from(1, content);
    channel.at(0).worked({});
    for (size_t i = 0; i < 3; ++i) {
      channel.at(i);
      CHECK(channel.name_of_state() == "stored");
    }
  }
}

TEST_CASE("R11: a refused predecessor lets its successors go") {
  Channel channel(2);
  channel.at(1).worked({});
  channel.at(0).worked(fail(ErrorCode::cannot_open));
  CHECK(channel.name_of_state() == "refused");
  CHECK(channel.at(1).name_of_state() == "stored");
}

TEST_CASE("small mail is opened once for all brokers, and a receipt that we hold is known without a mark") {
  Exchange world;
  world.greet(0);
  world.greet(1);
  world.feed();
  world.send_letter();
  const auto marks = [&] { return world.realm.read()->scan(table::mail_seen, {}, {}, 9).value().size(); };
  const auto receipts = [&] { return world.realm.read()->scan(table::receipt, {}, {}, 9).value().size(); };
  const auto envelope = world.last_envelope();
  auto receipt = world.receipt_for(envelope);
  CHECK_FALSE(world.receipt_comes(receipt).changed_sent.empty());
  CHECK(receipts() == 1);
  CHECK(marks() == 0);
  // One that was forged for another document is marked, as nothing else remembers it.
  auto unrelated = receipt;
  unrelated.answers = {};
  world.receipt_comes(unrelated);
  CHECK(marks() == 1);

  auto notice = world.notice(crypto::NoticeKind::voided, 9, world.realm.random.id<EnvelopeId>());
  const proto::MailDeliver mail{{{world.party.id, crypto::encode_notice(notice, *world.party_key)}}};
  auto first = world.from(0, mail);
  REQUIRE(first.jobs.size() == 1);
  CHECK(world.from(1, mail).jobs.empty());
  CHECK(sent<proto::MailDone>(world.step({run_job(first.jobs[0], world.bodies, world.realm.random)})).size() == 2);
  CHECK(marks() == 2);
  for (const bool restarted : {false, true}) {
    if (restarted) {
      world.restart();
      world.greet(0);
      world.greet(1);
    }
    const auto again = world.from(1, mail);
    CHECK(again.jobs.empty());
    CHECK(sent<proto::MailDone>(again).size() == 1);
  }
  const uint64_t leaves = world.audit.size();
  CHECK(world.receipt_comes(receipt).changed_sent.empty());
  CHECK(receipts() == 1);
  CHECK(marks() == 2);
  CHECK(world.audit.size() == leaves);
}

TEST_CASE("6.3: transport of one envelope at its recipient, every state and event") {
  const auto table = protocol_table("6.3", "channel reached it");
  std::vector<std::string> states;
  for (const auto& [state, row] : table) states.push_back(state);
  CHECK(states == std::vector<std::string>{"(unknown)", "fetching", "held", "quarantine", "refused", "registered", "stored"});
  for (const auto& [state, row] : table) {
    CHECK(row.size() == 6);
    for (const auto& [event, cell] : row) {
      INFO(state << " × " << event);
      const uint64_t seq = state == "held" || event == "earlier position missing" ? 2 : 1;
      if (seq == 2 && state != "held" && state != "fetching" && state != "(unknown)") {
        CHECK(cell == "–");  // it was in its turn, or refused
        continue;
      }
      CHECK(Incoming(state, seq).after(event) == cell);
    }
  }
}

TEST_CASE("6.5: a node whose store was put back, every state") {
  const auto table = protocol_table("6.5", "acknowledges");
  CHECK(table.size() == 3);
  for (const auto& [state, row] : table) {
    CHECK(row.size() == 4);
    for (const auto& [what, cell] : row) {
      INFO(state << " × " << what);
      CHECK(PutBack(state).does(what) == cell);
    }
  }
}

}  // namespace tram::node::test
