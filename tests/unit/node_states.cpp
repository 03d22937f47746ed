// The states × events tables of PROTOCOL.md, section 6: every pair is tried on a node, and what happens is said in the
// words of the table. The tables are read from the document, so that neither it nor the code can change alone.
#include "base/limits.h"
#include "tests/unit/node_api_fixture.h"
#include "tests/unit/protocol_table.h"

namespace tram::node::test {
namespace {

using proto::InState;
using proto::ItemState;
using tram::test::Cells;
using tram::test::keys_of;
using tram::test::protocol_table;

/// Runs `work` in one committed transaction.
template <class Work>
void write(World& world, Work work) {
  auto txn = world.realm.store.begin_write().value();
  work(*txn);
  REQUIRE(txn->commit());
}

crypto::Envelope envelope_between(World& world, const PartyId& from, const PartyId& to, const DocId& doc_id,
                                  uint64_t seq) {
  crypto::Envelope envelope;
  envelope.realm = world.realm.directory->realm();
  envelope.sender = from;
  envelope.recipient = to;
  envelope.inc = 1;
  envelope.seq = seq;
  envelope.doc_id = doc_id;
  envelope.created = world.now;
  envelope.not_after = world.now + days(10);
  return envelope;
}

// ---- 6.1: one document for one recipient -------------------------------------------------------------------------

/// A document of ours for `party`, put into one state of the table.
struct Outgoing {
  World world;
  DocUuid uuid;
  DocId doc_id;
  crypto::Envelope envelope;
  Bytes envelope_bytes;
  bool has_envelope = false;
  static constexpr uint64_t todo_order = 77;

  proto::EnvelopeRecord kept(bool closed = false) const {
    return {envelope.id, uuid, world.party.id, envelope_bytes, Bytes(1024), closed};
  }
  explicit Outgoing(const std::string& state) {
    auto& random = world.realm.random;
    uuid = random.id<DocUuid>();
    doc_id = random.id<DocId>();
    has_envelope = state != "new";
    proto::OutRecord record;
    record.uuid = uuid;
    record.doc_id = doc_id;
    record.state = proto::OutState::sent;
    record.created = world.now;
    record.not_after = world.now + days(10);
    proto::Metadata metadata;
    metadata.subject = "Về việc kiểm tra";
    metadata.addressees.push_back({proto::AddresseeKind::agency, world.party.id, {}});
    record.metadata = proto::encode_metadata(metadata);
    record.recipients = 1;
    record.document_key = Bytes(32, 7);
    record.inline_body = true;
    record.body_kept = state != "archived";
    proto::ItemRecord item;
    item.uuid = uuid;
    item.recipient = world.party.id;
    envelope = envelope_between(world, world.self.id, world.party.id, doc_id, 1);
    envelope_bytes = crypto::encode_envelope(envelope, *world.keys.sig);
    write(world, [&](WriteTxn& txn) {
      if (has_envelope) {
        item.env_id = envelope.id;
        item.issue = 1;
        item.inc = 1;
        item.seq = 1;
        const bool closed = state == "delivered" || state == "archived" || state == "reissue";
        REQUIRE(save(txn, table::envelope, envelope.id, kept(closed)));
        if (!closed) REQUIRE(txn.put(table::open_envelope, envelope.id, {}));
        REQUIRE(
            save(txn, table::channel_out, row_key(world.party.id, Lane::normal), proto::ChannelOut{1, 2, envelope.id}));
      }
      if (state == "accepted") item.state = ItemState::accepted;
      if (state == "outbox" || state == "at_risk") item.state = ItemState::queued;
      if (state == "delivered" || state == "archived") item.state = ItemState::delivered;
      if (state == "accepted" || state == "at_risk") item.accepted = world.now;
      if (state == "delivered" || state == "archived") item.received = world.now;
      const size_t custodies = state == "accepted" ? 2 : state == "new" ? 0 : 1;
      for (size_t i = 0; i < custodies; ++i) {
        const Bytes custody = custody_of(i);
        REQUIRE(save(txn, table::custody, custody_key(kept(), world.brokers[i].id),
                     proto::CustodyRecord{world.brokers[i].id, epoch_of(i), custody, false}));
      }
      for (size_t i = 0; i < 3; ++i)
        REQUIRE(save(txn, table::broker_state, world.brokers[i].id,
                     proto::BrokerState{world.brokers[i].id, epoch_of(i), 5, {}, world.now}));
      // Delivered late: the run for the next envelope is on its way.
      if (state == "new" || state == "reissue" || state == "delivered")
        REQUIRE(txn.put(table::todo, row_key(world.party.id, Lane::normal, todo_order), uuid));
      REQUIRE(save(txn, table::outgoing, uuid, record));
      REQUIRE(txn.put(table::outgoing_by_doc, doc_id, uuid));
      REQUIRE(txn.put(table::body_inline, doc_id, Bytes(100)));
      REQUIRE(save(txn, table::item, row_key(uuid, world.party.id), item));
    });
    REQUIRE(name_of_state() == state);
  }

  static Epoch epoch_of(size_t broker) { return *Epoch::from(Bytes(16, static_cast<uint8_t>(broker + 1))); }
  Bytes custody_of(size_t broker) {
    crypto::Custody custody;
    custody.realm = world.realm.directory->realm();
    custody.broker = world.brokers[broker].id;
    custody.epoch = epoch_of(broker);
    custody.env_id = envelope.id;
    custody.doc_id = doc_id;
    custody.chunks = 1;
    custody.body_bytes = 100;
    custody.recipient = world.party.id;
    custody.position = 1;
    custody.log_size = 1;
    return crypto::encode_custody(custody, world.broker_keys[broker]);
  }

  proto::ItemRecord item() {
    return load<proto::ItemRecord>(*world.realm.read(), table::item, row_key(uuid, world.party.id)).value();
  }
  proto::OutRecord record() { return load<proto::OutRecord>(*world.realm.read(), table::outgoing, uuid).value(); }

  std::string name_of_state() {
    const auto now = item();
    switch (now.state) {
      case ItemState::waiting: return now.issue ? "reissue" : "new";
      case ItemState::queued: return now.accepted.ms ? "at_risk" : "outbox";
      case ItemState::accepted: return "accepted";
      case ItemState::delivered: return record().body_kept ? "delivered" : "archived";
      case ItemState::forwarded: return "forwarded";
      case ItemState::undeliverable: return "undeliverable";
      default: return "ended";
    }
  }

  void receipt(crypto::ReceiptEvent event, ErrorCode reason = ErrorCode{}) {
    crypto::Receipt receipt;
    receipt.rinc = 1;
    receipt.event = event;
    receipt.reason = static_cast<uint16_t>(reason);
    receipt.realm = world.realm.directory->realm();
    receipt.env_id = envelope.id;
    receipt.doc_id = doc_id;
    receipt.sender = world.self.id;
    receipt.recipient = receipt.issuer = world.party.id;
    receipt.time = world.now;
    receipt.dir_size = world.realm.directory->size();
    receipt.dir_root = world.realm.directory->root();
    receipt.answers = crypto::answers_hash(envelope_bytes);
    const Bytes bytes = crypto::encode_receipt(receipt, *world.party_key);
    MailJobDone done;
    done.items.push_back({world.realm.random.id<Hash>(), world.party.id, {}, receipt, {}, bytes, {}});
    world.step({JobResult{done}});
    if (!has_envelope) return;
    const Bytes row = row_key(doc_id, world.party.id, envelope.id, static_cast<uint16_t>(event));
    CHECK(world.realm.read()->get(table::receipt, row).value());  // evidence, whatever the state
  }
  void timer(Time at, uint8_t kind, BytesView id) {
    Bytes key;
    Writer(key).u64(at.wire()).u8(kind).raw(id);
    write(world, [&](WriteTxn& txn) { REQUIRE(txn.put(table::timer, key, {})); });
    world.now = at + seconds(1);
    world.step({Tick{}});
  }

  /// What the event does, in the table's words.
  std::string after(const std::string& event) {
    const std::string before = name_of_state();
    if (event == "envelope made") {
      auto next = envelope_between(world, world.self.id, world.party.id, doc_id, has_envelope ? 2 : 1);
      if (has_envelope) next.prev = envelope.id;
      const Bytes bytes = crypto::encode_envelope(next, *world.keys.sig);
      WrapDone done;
      done.envelopes.push_back({uuid, world.party.id, Lane::normal, todo_order, next.seq, next.id, bytes, Bytes(1024)});
      done.channels.emplace_back(world.party.id, Lane::normal);
      world.step({JobResult{done}});
    } else if (event == "W custodies") {
      CustodyDone done;
      for (size_t i : {1u, 2u})
        done.valid.push_back({world.brokers[i].id, world.brokers[i].sig, custody_of(i), Lane::normal, 1});
      world.step({JobResult{done}});
    } else if (event == "custody void") {
      proto::HelloReply hello;
      hello.broker = world.brokers[0].id;
      hello.epoch = *Epoch::from(Bytes(16, 0xee));
      hello.time = world.now;
      world.step({BrokerUp{hello.broker}, FrameArrived{hello.broker, proto::Endpoint::control, {1, hello}, {}}});
    } else if (event == "receipt 01 or later") {
      receipt(crypto::ReceiptEvent::registered);
      receipt(crypto::ReceiptEvent::received);
    } else if (event == "receipt of a life whose successor lacks it") {
      crypto::Notice notice;
      notice.kind = crypto::NoticeKind::recover;
      notice.realm = world.realm.directory->realm();
      notice.issuer = world.party.id;
      notice.other = world.self.id;
      notice.env_id = crypto::rinc_field(2);
      notice.lane = Lane::normal;
      MailJobDone done;
      done.items.push_back({world.realm.random.id<Hash>(), world.party.id, {}, {}, notice, {}, {}});
      world.step({JobResult{done}});
      for (const auto one : {crypto::ReceiptEvent::received, crypto::ReceiptEvent::registered, crypto::ReceiptEvent::rejected}) receipt(one);
    } else if (event == "rejected, rekey") {
      receipt(crypto::ReceiptEvent::rejected, ErrorCode::rekey);
    } else if (event == "rejected, other") {
      receipt(crypto::ReceiptEvent::rejected, ErrorCode::cannot_open);
    } else if (event == "not_after passed") {
      timer(envelope.not_after, 1, envelope.id);
    } else if (event == "RET over") {
      timer(world.now + limits::retention, 4, uuid);
    } else if (event == "recipient merged") {
      world.now = world.now + minutes(1);
      world.decide({world.now, proto::SucceedChange{{world.party.id}, {world.front.id}, "merge"}});
    } else if (event == "recipient split") {
      world.now = world.now + minutes(1);
      world.decide({world.now, proto::SucceedChange{{world.party.id}, {world.front.id, world.paper.id}, "split"}});
    } else if (event == "we closed") {
      world.now = world.now + minutes(1);
      world.decide({world.now, proto::SucceedChange{{world.self.id}, {world.front.id}, "merge"}});
    } else if (event == "cancelled") {
      bool asked = false;
      write(world, [&](WriteTxn& txn) {
        Effects effects;
        auto done = world.node->recall(txn, world.now, uuid, "nhầm", "mai", effects);
        REQUIRE(done);
        asked = done->recipients > 0;
      });
      CHECK((item().pending_change == 13) == asked);
      if (asked) return name_of_state() == before ? "! recall" : "! recall, " + name_of_state();
    } else {
      FAIL("PROTOCOL.md has an event that no test knows: " << event);
    }
    const std::string state = name_of_state();
    return state == before ? "–" : state;
  }
};

// ---- 6.4: processing at the recipient ----------------------------------------------------------------------------

const std::map<std::string, InState> in_states = {
    {"held", InState::held},         {"arrived", InState::arrived},       {"registered", InState::registered},
    {"assigned", InState::assigned}, {"processing", InState::processing}, {"done", InState::done},
    {"refused", InState::refused},   {"recalled", InState::recalled}};

std::string word(InState state) {
  for (const auto& [name, value] : in_states)
    if (value == state) return name;
  return "?";
}

/// A document of `party`, in one state of the table; `asked`: what its sender asks for.
struct IncomingDocument {
  World world;
  static constexpr uint64_t target_arrival = 1, asking_arrival = 2, next_arrival = 3;
  DocId target_id, asking_id, next_id;

  IncomingDocument(InState state, proto::RelationKind asked) {
    auto& random = world.realm.random;
    target_id = random.id<DocId>();
    asking_id = random.id<DocId>();
    next_id = random.id<DocId>();
    // The channel waits for position 2; a held target waits behind a gap.
    write(world, [&](WriteTxn& txn) {
      put(txn, target_arrival, target_id, state == InState::held ? 9 : 1, state, asked, {});
      if (state == InState::held) REQUIRE(txn.put(table::incoming_held, position(9), u64_value(target_arrival)));
      if (asked != proto::RelationKind::none)
        put(txn, asking_arrival, asking_id, 1, InState::arrived, proto::RelationKind::none,
            {asked, {target_id}, "lý do"});
      REQUIRE(save(txn, table::channel_in, row_key(world.party.id, Lane::normal), proto::ChannelIn{1, 2, {}}));
    });
  }

  Bytes position(uint64_t seq) { return row_key(world.party.id, Lane::normal, uint32_t{1}, seq); }
  void put(WriteTxn& txn, uint64_t arrival, const DocId& doc_id, uint64_t seq, InState state, proto::RelationKind asked,
           proto::Relation relation) {
    auto envelope = envelope_between(world, world.party.id, world.self.id, doc_id, seq);
    proto::InRecord record;
    record.envelope = crypto::encode_envelope(envelope, *world.party_key);
    record.arrival = arrival;
    record.doc_id = doc_id;
    record.env_id = envelope.id;
    record.sender = world.party.id;
    record.inc = 1;
    record.seq = seq;
    proto::Metadata metadata;
    metadata.subject = "Về việc kiểm tra";
    metadata.relation = std::move(relation);
    record.metadata = proto::encode_metadata(metadata);
    record.document_key = Bytes(32, 7);
    record.inline_body = true;
    record.state = record.before_change = state;
    record.received = world.now;
    if (asked != proto::RelationKind::none) {
      record.pending_change = static_cast<uint16_t>(asked);
      record.change_doc = asking_id;
    }
    REQUIRE(save(txn, table::incoming, u64_value(arrival), record));
    REQUIRE(txn.put(table::incoming_by_doc, doc_id, u64_value(arrival)));
  }

  /// A document with a relation to ours reaches its turn: position 2 is voided, position 3 holds it.
  void comes(proto::RelationKind kind) {
    write(world, [&](WriteTxn& txn) {
      put(txn, next_arrival, next_id, 3, InState::held, proto::RelationKind::none, {kind, {target_id}, "lý do"});
      REQUIRE(txn.put(table::incoming_held, position(3), u64_value(next_arrival)));
    });
    crypto::Notice notice;
    notice.kind = crypto::NoticeKind::voided;
    notice.realm = world.realm.directory->realm();
    notice.issuer = world.party.id;
    notice.other = world.self.id;
    notice.env_id = world.realm.random.id<EnvelopeId>();
    notice.lane = Lane::normal;
    notice.inc = 1;
    notice.seq = 2;
    MailJobDone done;
    done.items.push_back({world.realm.random.id<Hash>(), world.party.id, {}, {}, notice, {}, {}});
    world.step({JobResult{done}});
    CHECK(load<proto::InRecord>(*world.realm.read(), table::incoming, u64_value(next_arrival)).value().state ==
          InState::arrived);
  }

  proto::InRecord target() {
    return load<proto::InRecord>(*world.realm.read(), table::incoming, u64_value(target_arrival)).value();
  }
  bool told(const DocId& about, uint16_t event) {
    const Bytes prefix = row_key(about, world.self.id);
    const auto rows = world.realm.read()->scan(table::receipt, prefix, prefix_end(prefix), 10).value();
    return std::any_of(rows.begin(), rows.end(),
                       [&](const Row& row) { return Reader(BytesView(row.key).last(2)).u16() == event; });
  }

  /// What the event does, in the table's words; the sender is told what is to be told.
  std::string after(const std::string& event) {
    const auto before = target();
    const auto stored_before = world.realm.store.dump();
    Result<proto::InRecord> act = fail(ErrorCode::internal);
    uint16_t code = 0;
    if (event == "recall comes" || event == "update or replace comes") {
      comes(event == "recall comes" ? proto::RelationKind::recall : proto::RelationKind::update);
      const auto now = target();
      if (now.state == InState::recalled && before.state != InState::recalled) {
        CHECK_FALSE(now.body_kept);
        return told(next_id, 15) ? "recalled, 15 by itself" : "recalled";
      }
      if (now.change_doc == next_id && now.pending_change)
        return before.pending_change ? "the newer request stands" : word(now.state) + " + asked";
      return now.state == before.state && now.pending_change == before.pending_change ? "–" : word(now.state);
    }
    auto txn = world.realm.store.begin_write().value();
    Effects effects;
    auto& node = *world.node;
    if (event == "02 refuse")
      act = node.refuse_document(*txn, world.now, target_arrival, "sai nơi nhận", "mai", effects), code = 2;
    else if (event == "03 register")
      act = node.register_document(*txn, world.now, target_arrival, {{}, {}, "mai", {}}, effects), code = 3;
    else if (event == "04" || event == "05" || event == "06")
      code = static_cast<uint16_t>(event[1] - '0'),
      act = node.set_status(*txn, world.now, target_arrival, code, "mai", effects);
    else if (event == "15 agree" || event == "16 refuse")
      code = event == "15 agree" ? 15 : 16,
      act = node.answer_change(*txn, world.now, target_arrival, code == 15, "lý do", "mai", effects);
    else
      FAIL("PROTOCOL.md has an event that no test knows: " << event);
    if (!act) {
      // "Every check comes before the first write": committing what is there must change nothing.
      REQUIRE(txn->commit());
      CHECK(world.realm.store.dump() == stored_before);
      return act.error().detail.find("first") != std::string::npos && before.pending_change ? "! answer first" : "!";
    }
    REQUIRE(txn->commit());
    CHECK(told(code >= 15 ? asking_id : target_id, code));
    const auto now = target();
    CHECK(now.state == act->state);
    if (code >= 15) CHECK(now.pending_change == 0);
    return word(now.state);
  }
};

}  // namespace

TEST_CASE("6.1: one document for one recipient, every state and event") {
  const auto table = protocol_table("6.1", "custody void");
  std::vector<std::string> states;
  for (const auto& [state, row] : table) states.push_back(state);
  CHECK(states == std::vector<std::string>{"accepted", "archived", "at_risk", "delivered", "new", "outbox", "reissue"});
  for (const auto& [state, row] : table) {
    CHECK(row.size() == 13);
    for (const auto& [event, cell] : row) {
      INFO(state << " × " << event);
      CHECK(Outgoing(state).after(event) == cell);
    }
  }
}

TEST_CASE("a custody that makes nothing accepted shares the commit of the one that does, or waits a moment") {
  Outgoing outgoing("outbox");
  World& world = outgoing.world;
  const auto custody = [&](size_t i) {
    CustodyDone done;
    done.valid.push_back({world.brokers[i].id, world.brokers[i].sig, outgoing.custody_of(i), Lane::normal, 1});
    return std::vector<Event>{JobResult{done}};
  };
  const auto held = [&](size_t i) {
    return world.realm.read()->get(table::custody, custody_key(outgoing.kept(), world.brokers[i].id)).value().has_value();
  };
  const uint64_t written = world.realm.store.changes();
  const Effects waiting = world.step(custody(1));
  CHECK(world.realm.store.changes() == written);
  REQUIRE(waiting.wake_at);
  CHECK(*waiting.wake_at <= world.now + milliseconds(200));
  proto::PutReply unasked;
  world.step({FrameArrived{world.brokers[2].id, proto::Endpoint::control, {9, unasked}, {}}});
  CHECK(world.realm.store.changes() == written);
  world.step(custody(2));
  CHECK(outgoing.name_of_state() == "accepted");
  CHECK(held(1));
  CHECK(held(2));

  Outgoing alone("outbox");
  CustodyDone done;
  done.valid.push_back({alone.world.brokers[1].id, alone.world.brokers[1].sig, alone.custody_of(1), Lane::normal, 1});
  const Effects until = alone.world.step({JobResult{done}});
  const Bytes row = custody_key(alone.kept(), alone.world.brokers[1].id);
  CHECK_FALSE(alone.world.realm.read()->get(table::custody, row).value());
  alone.world.now = *until.wake_at;
  alone.world.step({Tick{}});
  CHECK(alone.world.realm.read()->get(table::custody, row).value());
}

TEST_CASE("6.4: processing at the recipient, every state and event") {
  using enum proto::RelationKind;
  const auto table = protocol_table("6.4", "02 refuse");
  const std::string any_asked = "*state* + asked";
  CHECK(table.size() == in_states.size() + 3);
  for (const auto& [state, row] : table) {
    CHECK(keys_of(row).size() == 9);
    if (state == any_asked) continue;
    const bool asked = state.ends_with(" + asked");
    const auto kind = asked ? update : none;
    REQUIRE(in_states.contains(state.substr(0, state.find(" + "))));
    const InState from = in_states.at(state.substr(0, state.find(" + ")));
    for (const auto& [event, cell] : row) {
      INFO(state << " × " << event);
      // The default policy: an update may be refused.
      CHECK(IncomingDocument(from, kind).after(event) == cell.substr(0, cell.find(", if policy allows")));
    }
  }
  REQUIRE(table.contains(any_asked));
  for (const std::string from : {"registered", "assigned", "processing", "done"})
    for (const auto kind : {recall, update, replace})
      for (const auto& [event, cell] : table.at(any_asked)) {
        INFO(from << " + asked for " << int(kind) << " × " << event);
        const std::string got = IncomingDocument(in_states.at(from), kind).after(event);
        if (cell == "as *state*") {
          CHECK(got == table.at(from).at(event));
        } else if (cell == "recalled, or *state*") {
          CHECK(got == (kind == recall ? "recalled" : from));
        } else if (cell == "*state*, if policy allows") {
          CHECK(got == (kind == recall ? "!" : from));
        } else if (cell == "! answer first") {
          CHECK(got.starts_with("!"));
        } else {
          CHECK(got == cell);
        }
      }
}

TEST_CASE("a document that was recalled while it waited for its turn stays recalled when its turn comes") {
  IncomingDocument incoming(InState::held, proto::RelationKind::none);
  incoming.comes(proto::RelationKind::recall);
  REQUIRE(incoming.target().state == InState::recalled);
  incoming.world.now = incoming.world.now + limits::gap_release + hours(1);
  incoming.world.step({Tick{}});
  CHECK_FALSE(incoming.world.realm.read()->get(table::incoming_held, incoming.position(9)).value());
  CHECK(incoming.target().state == InState::recalled);
}

}  // namespace tram::node::test
