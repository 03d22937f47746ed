// A node whose store was put back (R13, R21): what begins in the middle of a step.
#include "tests/unit/node_exchange.h"

namespace tram::node::test {

TEST_CASE("R23: a recovery may begin in a step that has written to the log") {
  World world;
  auto txn = world.realm.store.begin_write().value();
  Effects effects;
  Submission submission;
  submission.metadata.subject = "Về việc kiểm tra";
  submission.metadata.addressees.push_back({proto::AddresseeKind::agency, world.party.id, {}});
  const uint64_t before = world.audit.size();
  REQUIRE(world.node->submit(*txn, world.now, std::move(submission), effects));
  REQUIRE(world.audit.size() > before);
  REQUIRE(world.node->begin_recovery(*txn, world.now, effects));
  REQUIRE(world.node->settle(*txn, world.now, effects));
  REQUIRE(txn->commit());
  CHECK(world.node->recovery() == proto::Recovery::asking);
  proto::NodeRecord self;
  REQUIRE(proto::decode_record(*world.realm.read()->get(table::self, view("self")).value(), self));
  CHECK(self.store_time == Time{});  // nothing was signed yet: whatever others have is asked for
}

TEST_CASE("R21: what a copy wrote before it knew that it is one does not count as had") {
  Exchange world;
  for (size_t i = 0; i < world.brokers.size(); ++i) world.greet(i);
  world.feed();
  world.send_letter();
  world.now = world.now + seconds(31);
  world.tick();
  const Time signed_at = world.now;
  world.now = world.now + hours(5);
  world.send_letter();
  auto txn = world.realm.store.begin_write().value();
  Effects effects;
  REQUIRE(world.node->begin_recovery(*txn, world.now, effects));
  REQUIRE(world.node->settle(*txn, world.now, effects));
  REQUIRE(txn->commit());
  const auto self = load<proto::NodeRecord>(*world.realm.read(), table::self, view("self")).value();
  CHECK(self.store_time > Time{});
  CHECK(self.store_time <= signed_at);
}

namespace {

using crypto::NoticeKind;

/// What a broker says to a node that connects; the frames that the node then sends it.
Effects greeted(World& world, size_t broker) {
  proto::HelloReply hello;
  hello.broker = world.brokers[broker].id;
  hello.epoch = *Epoch::from(Bytes(16, 0xee));
  hello.time = world.now;
  return world.step({BrokerUp{hello.broker}, FrameArrived{hello.broker, proto::Endpoint::control, {1, hello}, {}}});
}

/// The broker takes all mail among these frames.
Effects posted(World& world, size_t broker, const Effects& before) {
  const PartyId& id = world.brokers[broker].id;
  proto::MailPosted taken;
  for (const auto& one : before.sends)
    if (const auto* post = std::get_if<proto::MailPost>(&one.frame.body); post && one.broker == id)
      for (const auto& item : post->items) taken.ids.push_back(crypto::hash("edx1/mail", {item.content}));
  REQUIRE(!taken.ids.empty());
  return world.step({FrameArrived{id, proto::Endpoint::control, {2, taken}, {}}});
}

void recovered(World& world) {
  auto txn = world.realm.store.begin_write().value();
  REQUIRE(Node::mark_restored(*txn));
  Effects effects;
  REQUIRE(world.node->start(*txn, world.now, effects));
  REQUIRE(txn->commit());
}

}  // namespace

TEST_CASE("R21: what an earlier life had told keeps no later one from its work") {
  World world;
  recovered(world);
  greeted(world, 0);
  const auto told = greeted(world, 1);
  REQUIRE(world.node->recovery() == proto::Recovery::telling);
  posted(world, 1, told);
  recovered(world);
  posted(world, 0, greeted(world, 0));
  REQUIRE(world.node->recovery() == proto::Recovery::asking);
  const auto again = greeted(world, 1);
  REQUIRE(world.node->recovery() == proto::Recovery::telling);
  posted(world, 1, again);
  REQUIRE(world.node->recovery() == proto::Recovery::telling);
  world.step({BrokerDown{world.brokers[0].id}});
  posted(world, 0, greeted(world, 0));
  CHECK(world.node->recovery() == proto::Recovery::none);
}

namespace {

/// A sender with a letter on its way to `party`, whose store is put back.
struct PutBackSender : Exchange {
  proto::EnvelopeRecord first;

  PutBackSender() {
    greet(0);
    greet(1);
    feed();
    send_letter();
    first = last_envelope();
  }
  /// A `recover` notice: this life has the lane up to `seq`.
  void lives(uint32_t rinc, uint64_t seq, Lane lane = Lane::normal) {
    auto said = notice(NoticeKind::recover, seq, crypto::rinc_field(rinc));
    said.lane = lane;
    heard(said);
  }
  void answers(const proto::EnvelopeRecord& of, uint32_t rinc, crypto::ReceiptEvent event = crypto::ReceiptEvent::received,
               std::string number = {}) {
    auto receipt = receipt_for(of);
    receipt.event = event;
    receipt.rinc = rinc;
    proto::ReceiptText words;
    words.register_number = std::move(number);
    receipt.text = to_text(proto::encode_receipt_text(words).value());
    receipt_comes(receipt);
  }
  size_t kept(const proto::EnvelopeRecord& of) {
    const Bytes prefix = row_key(crypto::decode_envelope(of.envelope)->doc_id, party.id, of.env_id);
    return realm.read()->scan(table::receipt, prefix, prefix_end(prefix), 99).value().size();
  }
  void after(Duration span) {
    now = now + span;
    wrapped(tick());
  }
};

}  // namespace

TEST_CASE("R13, R21: what an earlier life took and a later one lacks is not delivered, and goes out again") {
  for (const bool knows_lane : {true, false}) {
    PutBackSender sender;
    if (knows_lane) sender.lives(2, 0);
    else sender.lives(2, 1, Lane::control);  // it has nothing of ours
    sender.tick();
    for (const auto event : {crypto::ReceiptEvent::received, crypto::ReceiptEvent::registered, crypto::ReceiptEvent::refused,
                             crypto::ReceiptEvent::rejected})
      sender.answers(sender.first, 1, event);
    auto item = sender.item_of(sender.first);
    CHECK(item.state == proto::ItemState::queued);
    CHECK(item.status == 0);
    CHECK_FALSE(item.received.ms);
    CHECK(sender.kept(sender.first) == 4);  // as evidence
    CHECK(sender.realm.read()->get(table::open_envelope, sender.first.env_id).value());
    sender.after(seconds(20));
    CHECK(sender.last_envelope().env_id == sender.first.env_id);
    sender.after(seconds(11));
    const auto again = sender.last_envelope();
    REQUIRE(again.env_id != sender.first.env_id);
    CHECK(again.uuid == sender.first.uuid);
    CHECK(crypto::decode_envelope(again.envelope)->seq == 2);
    sender.answers(again, 2);
    item = sender.item_of(again);
    CHECK(item.state == proto::ItemState::delivered);
    CHECK(item.status == 1);
    sender.after(minutes(1));
    CHECK(sender.last_envelope().env_id == again.env_id);
  }
}

TEST_CASE("R13: the later life's receipt for the same envelope is good, and is kept beside the earlier one's") {
  PutBackSender sender;
  sender.lives(2, 0);
  sender.tick();
  sender.answers(sender.first, 1);
  sender.answers(sender.first, 2);
  CHECK(sender.item_of(sender.first).state == proto::ItemState::delivered);
  CHECK(sender.kept(sender.first) == 2);
  sender.answers(sender.first, 2);
  sender.answers(sender.first, 1);
  CHECK(sender.kept(sender.first) == 2);
  sender.after(minutes(1));
  CHECK(sender.last_envelope().env_id == sender.first.env_id);
}

TEST_CASE("R21: what was signed before the backup and comes late is good") {
  {
    PutBackSender sender;
    sender.lives(2, 1);
    sender.answers(sender.first, 1);
    CHECK(sender.item_of(sender.first).state == proto::ItemState::delivered);
    sender.after(minutes(1));
    CHECK(sender.last_envelope().env_id == sender.first.env_id);
  }
  // Two recoveries: the first had lost it, and got it before the backup of the second.
  for (const uint32_t rinc : {1, 2}) {
    PutBackSender sender;
    sender.lives(3, 1);
    sender.lives(2, 0);
    sender.answers(sender.first, rinc);
    CHECK((sender.item_of(sender.first).state == proto::ItemState::delivered) == (rinc == 2));
  }
}

TEST_CASE("R21: an earlier life's word that comes after its successor's changes nothing, before it the document is sent again") {
  PutBackSender sender;
  sender.answers(sender.first, 1);
  REQUIRE(sender.item_of(sender.first).state == proto::ItemState::delivered);
  sender.lives(2, 0);
  sender.after(seconds(1));
  const auto again = sender.last_envelope();
  REQUIRE(again.env_id != sender.first.env_id);
  REQUIRE(sender.item_of(again).state == proto::ItemState::queued);
  sender.answers(sender.first, 1, crypto::ReceiptEvent::registered, "12");
  CHECK(sender.item_of(again).state == proto::ItemState::queued);
  CHECK(sender.item_of(again).register_number.empty());
  CHECK(sender.kept(sender.first) == 2);
}

TEST_CASE("R21: what was decided again is kept twice, and the later number is shown in either order") {
  for (const bool in_order : {true, false}) {
    PutBackSender sender;
    sender.answers(sender.first, 1);
    sender.lives(2, 1);
    sender.tick();
    using enum crypto::ReceiptEvent;
    if (in_order) sender.answers(sender.first, 1, registered, "12");
    sender.answers(sender.first, 2, registered, "15");
    if (!in_order) sender.answers(sender.first, 1, registered, "12");
    CHECK(sender.item_of(sender.first).register_number == "15");
    CHECK(sender.item_of(sender.first).status == 3);
    CHECK(sender.kept(sender.first) == 3);
  }
  // Put back and not yet sure of its number: it signs under the one of the life that was lost, later.
  for (const bool in_order : {true, false}) {
    PutBackSender sender;
    sender.answers(sender.first, 1);
    using enum crypto::ReceiptEvent;
    const Time then = sender.now;
    for (const bool later : {!in_order, in_order}) {
      sender.now = later ? then + minutes(1) : then;
      sender.answers(sender.first, 1, registered, later ? "15" : "12");
    }
    CHECK(sender.item_of(sender.first).register_number == "15");
    CHECK(sender.kept(sender.first) == 3);
  }
}

TEST_CASE("R21: of two lives that ask, in any order, all is sent again that either lacks") {
  for (const bool in_order : {true, false}) {
    PutBackSender sender;
    sender.send_letter();
    const auto second = sender.last_envelope();
    sender.answers(sender.first, 1);
    sender.answers(second, 1);
    if (in_order) sender.lives(2, 1);
    sender.lives(3, 0);
    if (!in_order) sender.lives(2, 1);
    sender.tick();
    CHECK(sender.item_of(sender.first).redeliveries == 1);
    CHECK(sender.item_of(second).redeliveries == 1);
  }
}

TEST_CASE("R21: `passed` answers one life of the recipient, and no other takes notice of it") {
  {
    PutBackSender sender;
    auto asked = sender.notice(NoticeKind::recover, 0, crypto::rinc_field(5));
    asked.lane = Lane::normal;
    const auto told = sender.notices(sender.heard(asked), NoticeKind::passed);
    REQUIRE(told.size() == 1);
    CHECK(told[0].env_id == crypto::rinc_field(5));
    CHECK(told[0].seq == 1);
    auto meaningless = sender.notice(NoticeKind::recover, 0, sender.realm.random.id<EnvelopeId>());
    CHECK(sender.notices(sender.heard(meaningless), NoticeKind::passed).empty());
  }
  Exchange world;
  const auto next = [&] {
    return find<proto::ChannelIn>(*world.realm.read(), table::channel_in, row_key(world.party.id, Lane::normal)).value().value_or(proto::ChannelIn{}).next_seq;
  };
  proto::NodeRecord own;
  REQUIRE(proto::decode_record(*world.realm.read()->get(table::self, view("self")).value(), own));
  REQUIRE(own.rinc == 1);
  recovered(world);
  greeted(world, 0);
  greeted(world, 1);
  for (const uint32_t rinc : {1, 3, 0}) {
    world.heard(world.notice(NoticeKind::passed, 4, crypto::rinc_field(rinc)));
    CHECK(next() == 1);
  }
  world.heard(world.notice(NoticeKind::passed, 4, world.realm.random.id<EnvelopeId>()));
  CHECK(next() == 1);
  REQUIRE(proto::decode_record(*world.realm.read()->get(table::self, view("self")).value(), own));
  REQUIRE(own.rinc > 3);  // the second, not the next number
  world.heard(world.notice(NoticeKind::passed, 4, crypto::rinc_field(own.rinc)));
  CHECK(next() == 5);
  // Passed over is not had: neither a backup nor the next life says so, for what was under way may come after the copy.
  BackupMarks backup;
  REQUIRE(read_backup_marks(*world.realm.read(), backup));
  CHECK(backup.marks.empty());
  world.now = world.now + seconds(2);
  recovered(world);
  greeted(world, 0);
  size_t told = 0;
  for (const auto& notice : world.notices(greeted(world, 1), NoticeKind::recover)) {
    if (notice.other != world.party.id || notice.lane != Lane::normal) continue;
    CHECK(std::pair(notice.inc, notice.seq) == std::pair(1u, uint64_t{0}));
    ++told;
  }
  CHECK(told == 1);
}

TEST_CASE("R13, R21: a recovery names the earliest incarnation of a sender of which something may be missing") {
  Exchange world;
  {
    auto txn = world.realm.store.begin_write().value();
    REQUIRE(txn->put(table::channel_in, row_key(world.party.id, Lane::normal), proto::encode_record(proto::ChannelIn{1, 3, {}})));
    REQUIRE(txn->commit());
  }
  auto passed = world.notice(NoticeKind::passed, 2, crypto::rinc_field(1));
  passed.inc = 7;
  world.heard(passed);
  recovered(world);
  greeted(world, 0);
  std::vector<std::pair<uint32_t, uint64_t>> told;
  for (const auto& notice : world.notices(greeted(world, 1), NoticeKind::recover))
    if (notice.other == world.party.id && notice.lane == Lane::normal) told.emplace_back(notice.inc, notice.seq);
  REQUIRE(told.size() == 1);
  CHECK(told[0] == std::pair(1u, uint64_t{2}));
}

namespace {

/// The incarnations of the envelopes that these frames put.
std::set<uint32_t> put_by(const Effects& effects) {
  std::set<uint32_t> out;
  for (const auto& put : sent<proto::Put>(effects))
    for (const auto& item : put.items) out.insert(crypto::decode_envelope(item.envelope)->inc);
  return out;
}

}  // namespace

TEST_CASE("R13, R23: a node puts nothing before it is known whether its store is an old copy") {
  Exchange world;
  world.feed();
  world.send_letter();
  REQUIRE(world.last_envelope().env_id != EnvelopeId{});
  std::set<uint32_t> put;
  const auto note = [&](const Effects& effects) { put.merge(put_by(effects)); };
  // One broker is not enough, and a greeting without a word on our log is none.
  note(world.greet(0));
  note(greeted(world, 1));
  for (int i = 0; i < 5; ++i) note(world.tick());
  CHECK(put.empty());
  note(world.from(1, proto::CheckpointData{world.self.id, {}, 0}));
  CHECK(put == std::set<uint32_t>{1});
}

TEST_CASE("R13, R20: a node that recovers puts nothing of its earlier incarnation") {
  Exchange world;
  world.feed();
  world.send_letter();
  const auto before = world.last_envelope();
  {
    auto txn = world.realm.store.begin_write().value();
    REQUIRE(Node::mark_restored(*txn));
    REQUIRE(txn->commit());
  }
  world.restart();
  std::set<uint32_t> put;
  const auto note = [&](const Effects& effects) { put.merge(put_by(effects)); };
  note(world.greet(0));
  REQUIRE(world.node->recovery() == proto::Recovery::asking);
  note(world.tick());
  CHECK(put.empty());
  note(world.greet(1));
  REQUIRE(world.node->recovery() == proto::Recovery::telling);
  for (int i = 0; i < 3; ++i) {
    world.now = world.now + seconds(1);
    auto effects = world.tick();
    note(effects);
    note(world.wrapped(std::move(effects)));
  }
  proto::NodeRecord own;
  REQUIRE(proto::decode_record(*world.realm.read()->get(table::self, view("self")).value(), own));
  CHECK(own.inc > 1);
  CHECK(put == std::set<uint32_t>{own.inc});
  CHECK_FALSE(world.realm.read()->get(table::open_envelope, before.env_id).value());
}

namespace {

/// A node whose store is older than what it signed: broker 0 shows a later checkpoint of its log.
struct OldCopy : Exchange {
  OldCopy() {
    feed();
    send_letter();
    step({BrokerUp{brokers[0].id}, BrokerUp{brokers[1].id}});
  }
  void shown_later_checkpoint() {
    greeted(*this, 0);
    const auto origin = crypto::log_origin(realm.directory->realm(), crypto::LogKind::node, self.id, audit.generation());
    const crypto::Note note = crypto::sign_checkpoint({origin, audit.size() + 9, crypto::hash("test", {})}, *keys.log);
    from(0, proto::CheckpointData{self.id, crypto::encode_note(note), 0});
  }
  void second_refuses() { from(1, proto::Refused{static_cast<uint16_t>(ErrorCode::fenced), 500, {}}); }
};

}  // namespace

TEST_CASE("R23: an old copy recovers by itself when each broker has spoken, or none says more for ten seconds") {
  OldCopy world;
  world.shown_later_checkpoint();
  CHECK(world.node->recovery() == proto::Recovery::none);
  CHECK(put_by(world.tick()).empty());
  SECTION("the other one greets it") { greeted(world, 1); }
  SECTION("the other one says nothing") {
    world.now = world.now + seconds(9);
    world.tick();
    REQUIRE(world.node->recovery() == proto::Recovery::none);
    world.now = world.now + seconds(2);
  }
  world.tick();
  CHECK(world.node->recovery() == proto::Recovery::asking);
}

TEST_CASE("R13: an old copy that a broker refuses, since a later life may be running, does not recover by itself") {
  OldCopy world;
  const bool before = GENERATE(true, false);
  if (before) world.second_refuses();
  world.shown_later_checkpoint();
  if (!before) world.second_refuses();
  for (int i = 0; i < 5; ++i) {
    world.now = world.now + seconds(20);
    CHECK(put_by(world.tick()).empty());
    CHECK(world.from(0, proto::MailDeliver{{{world.party.id, Bytes(limits::cell_bytes, 7)}}}).jobs.empty());
    CHECK(world.node->fenced());
    CHECK(world.node->recovery() == proto::Recovery::none);
  }
}

TEST_CASE("R7: a custody whose check ends after its broker came with another store does not count") {
  Exchange world;
  world.greet(0);
  world.greet(1);
  world.feed();
  const auto sent = world.wrapped(world.send_letter());
  const auto envelope = world.last_envelope();
  const auto pending = [&] { return world.realm.read()->scan(table::pending, row_key(world.brokers[0].id), prefix_end(row_key(world.brokers[0].id)), 9).value(); };
  REQUIRE(pending().size() == 1);
  crypto::Custody custody;
  custody.realm = world.realm.directory->realm();
  custody.broker = world.brokers[0].id;
  custody.epoch = *Epoch::from(Bytes(16, 1));
  custody.env_id = envelope.env_id;
  custody.recipient = world.party.id;
  custody.position = custody.chunks = 1;
  CustodyDone done;
  const uint64_t order = Reader(BytesView(pending().at(0).key).subspan(PartyId::size + 1)).u64();
  done.valid.push_back({world.brokers[0].id, world.brokers[0].sig, crypto::encode_custody(custody, world.broker_keys[0]), Lane::normal, order});
  const bool lost = GENERATE(true, false);
  if (lost) greeted(world, 0);  // another epoch
  world.step({JobResult{done}});
  for (int i = 0; i < 3; ++i) world.now = world.now + seconds(1), world.tick();
  CHECK(world.realm.read()->get(table::custody, custody_key(envelope, world.brokers[0].id)).value().has_value() == !lost);
  CHECK(pending().size() == (lost ? 1 : 0));
}

TEST_CASE("R5: the custody of a broker that retires counts no more; what is accepted needs another one") {
  Exchange world;
  for (size_t broker = 0; broker < 3; ++broker) world.greet(broker);
  world.feed();
  world.wrapped(world.send_letter());
  const auto envelope = world.last_envelope();
  const auto item = [&] {
    proto::ItemRecord record;
    REQUIRE(proto::decode_record(*world.realm.read()->get(table::item, row_key(envelope.uuid, envelope.recipient)).value(), record));
    return record;
  };
  const auto held_by = [&](size_t broker) {
    const Bytes prefix = row_key(world.brokers[broker].id);
    const auto pending = world.realm.read()->scan(table::pending, prefix, prefix_end(prefix), 9).value();
    REQUIRE(pending.size() == 1);
    crypto::Custody custody;
    custody.realm = world.realm.directory->realm();
    custody.broker = world.brokers[broker].id;
    proto::BrokerState state;
    REQUIRE(proto::decode_record(*world.realm.read()->get(table::broker_state, custody.broker).value(), state));
    custody.epoch = state.epoch;
    custody.env_id = envelope.env_id;
    custody.recipient = world.party.id;
    custody.position = custody.chunks = 1;
    CustodyDone done;
    const uint64_t order = Reader(BytesView(pending.at(0).key).subspan(PartyId::size + 1)).u64();
    done.valid.push_back({custody.broker, world.brokers[broker].sig, crypto::encode_custody(custody, world.broker_keys[broker]), Lane::normal, order});
    world.step({JobResult{done}});
    for (int i = 0; i < 3; ++i) world.now = world.now + seconds(1), world.tick();
  };
  held_by(0);
  held_by(1);
  REQUIRE(item().state == proto::ItemState::accepted);
  const bool off = GENERATE(false, true);
  proto::BrokerChange gone = world.realm.directory->broker(world.brokers[1].id)->record;
  gone.retired = true;
  world.realm.must({{world.now, gone}});
  world.now = world.now + minutes(1);
  if (off) world.restart();
  else world.tick();
  CHECK(item().state == proto::ItemState::queued);
  CHECK(item().custodies == 1);
  if (off)
    for (size_t broker : {0u, 2u}) world.greet(broker);
  held_by(2);
  CHECK(item().state == proto::ItemState::accepted);
  CHECK(item().custodies == 2);
}

TEST_CASE("what waits for a broker that retired while the node was off is given to nobody") {
  Exchange world;
  world.feed();
  world.send_letter();
  const auto waiting = [&](size_t broker) {
    const Bytes prefix = row_key(world.brokers[broker].id);
    return world.realm.read()->scan(table::pending, prefix, prefix_end(prefix), 9).value().size();
  };
  REQUIRE(waiting(1) == 1);
  proto::BrokerChange gone = world.realm.directory->broker(world.brokers[1].id)->record;
  gone.retired = true;
  world.realm.must({{world.now, gone}});
  world.now = world.now + minutes(1);
  world.restart();
  CHECK(waiting(1) == 0);
  CHECK(waiting(0) == 1);
}

TEST_CASE("R13: lives that nobody remembers are not numbered again, and a later one has the higher number") {
  uint32_t last = 1;
  Exchange world;
  const auto image = world.realm.store.dump();
  for (int copy = 0; copy < 4; ++copy) {
    world.realm.store.restore(image);
    recovered(world);
    greeted(world, 0);
    greeted(world, 1);
    proto::NodeRecord own;
    REQUIRE(proto::decode_record(*world.realm.read()->get(table::self, view("self")).value(), own));
    CHECK(own.inc == own.rinc);
    CHECK(own.inc > last);
    last = own.inc;
    world.now = world.now + seconds(2);
  }
}

}  // namespace tram::node::test
