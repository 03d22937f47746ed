// Agencies that close (R31): their documents go to the one successor, or back to the clerk; none is lost, none sent twice.
#include "tests/unit/node_exchange.h"

namespace tram::node::test {
namespace {

using crypto::NoticeKind;
using proto::ItemState;

/// A sender with a letter for `party` in its outbox.
struct WaitingSender : Exchange {
  DocUuid uuid;
  proto::EnvelopeRecord first;
  Effects sending;

  explicit WaitingSender(bool has_envelope = true) {
    greet(0);
    greet(1);
    tick();
    if (has_envelope) feed();
    sending = send_letter();
    first = last_envelope();
    uuid = id_at<DocUuid>(realm.read()->scan(table::outgoing, {}, {}, 1).value().at(0).key, 0);
    now = now + minutes(1);
  }
  std::optional<proto::ItemRecord> item(const PartyId& recipient) {
    return find<proto::ItemRecord>(*realm.read(), table::item, row_key(uuid, recipient)).value();
  }
  ItemState state(const PartyId& recipient) { return item(recipient)->state; }
  Effects closes(const PartyId& from, std::vector<PartyId> to, const char* policy = "merge") {
    return decide({now, proto::SucceedChange{{from}, std::move(to), policy}});
  }
  size_t waiting_for(const PartyId& recipient) {
    return realm.read()->scan(table::todo, recipient, prefix_end(recipient), 10).value().size();
  }
  std::string problem(const char* code) {
    const auto answer = get("/v1/health");
    for (const auto& one : answer.json["problems"])
      if (one["code"] == code) return one["do"]["en"];
    return {};
  }
};

}  // namespace

TEST_CASE("R31: what a merged agency has not answered goes to its successor, once, and is cancelled on its old way") {
  WaitingSender sender;
  const auto old = crypto::decode_envelope(sender.first.envelope).value();
  const auto effects = sender.closes(sender.party.id, {sender.front.id});
  CHECK(sender.state(sender.party.id) == ItemState::forwarded);
  REQUIRE(sender.item(sender.front.id));
  CHECK(sender.waiting_for(sender.party.id) == 0);
  CHECK(sender.waiting_for(sender.front.id) == 1);
  std::map<NoticeKind, crypto::Notice> told;
  for (const auto kind : {NoticeKind::cancel, NoticeKind::voided}) {
    const auto all = sender.notices(effects, kind);
    REQUIRE(all.size() == 1);
    told.emplace(kind, all[0]);
  }
  for (const auto& [kind, notice] : told) {
    CHECK(notice.other == sender.party.id);
    CHECK(notice.env_id == old.id);
    CHECK(std::tuple(notice.lane, notice.inc, notice.seq) == std::tuple(old.lane, old.inc, old.seq));
    CHECK(crypto::verify_notice(notice, sender.keys.sig->public_key()));
  }
  CHECK_FALSE(sender.realm.read()->get(table::open_envelope, old.id).value());

  // The clerk sees for whom it is now; nothing is left to be done.
  const auto shown = sender.get("/v1/documents/" + sender.uuid.hex());
  CHECK(shown.json["recipients"] == 2);
  for (const auto& one : shown.json["recipient_list"])
    if (one["code"] == "D01") {
      CHECK(one["state"]["name"] == "forwarded");
      CHECK(one["because"]["code"] == "closed_agency");
      CHECK(one["successors"].at(0)["code"] == "M01");
    } else {
      CHECK(one["state"]["name"] == "waiting");
    }
  CHECK(sender.problem("undeliverable").empty());

  // Another look changes nothing, nor does a restart.
  sender.restart();
  sender.greet(0);
  sender.now = sender.now + minutes(11);
  CHECK(sender.notices(sender.tick(), NoticeKind::cancel).empty());
  CHECK(sender.waiting_for(sender.front.id) == 1);

  // The closed agency had it after all: its receipt is its own, and the successor's item is untouched.
  sender.receipt_comes(sender.receipt_for(sender.first));
  CHECK(sender.state(sender.party.id) == ItemState::delivered);
  CHECK(sender.state(sender.front.id) == ItemState::waiting);
  CHECK_FALSE(sender.item(sender.front.id)->received.ms);
}

TEST_CASE("R31: a document that waits for a key goes to the successor too, and not again where it goes anyway") {
  WaitingSender sender(false);
  REQUIRE(sender.waiting_for(sender.party.id) == 1);
  SECTION("to the party alone") {
    sender.closes(sender.party.id, {sender.front.id});
    CHECK(sender.state(sender.party.id) == ItemState::forwarded);
    CHECK(sender.waiting_for(sender.front.id) == 1);
    CHECK(sender.waiting_for(sender.party.id) == 0);
  }
  SECTION("to both") {
    auto txn = sender.realm.store.begin_write().value();
    proto::ItemRecord both;
    both.uuid = sender.uuid;
    both.recipient = sender.front.id;
    both.state = ItemState::delivered;
    REQUIRE(save(*txn, table::item, row_key(sender.uuid, sender.front.id), both));
    REQUIRE(txn->commit());
    sender.closes(sender.party.id, {sender.front.id});
    CHECK(sender.state(sender.party.id) == ItemState::forwarded);
    CHECK(sender.state(sender.front.id) == ItemState::delivered);
    CHECK(sender.waiting_for(sender.front.id) == 0);
  }
  SECTION("and on to the successor's successor") {
    sender.closes(sender.party.id, {sender.front.id});
    sender.closes(sender.front.id, {sender.paper.id});
    CHECK(sender.state(sender.front.id) == ItemState::forwarded);
    REQUIRE(sender.item(sender.paper.id));
    CHECK(sender.item(sender.paper.id)->waiting_reason == static_cast<uint16_t>(ErrorCode::no_node));
  }
}

TEST_CASE("R31: after a split, without a successor, or when we are the successor, the clerk decides") {
  const std::string how = GENERATE("split", "into us", "without successor");
  WaitingSender sender;
  std::string named;
  if (how == "split") {
    sender.closes(sender.party.id, {sender.front.id, sender.paper.id}, "split");
    CHECK_FALSE(sender.item(sender.front.id));
    CHECK_FALSE(sender.item(sender.paper.id));
    named = "M01";
  } else if (how == "into us") {
    sender.closes(sender.party.id, {sender.self.id});
    CHECK_FALSE(sender.item(sender.self.id));
    named = "G22";
  } else {
    sender.decide({sender.now, proto::StatusChange{sender.party.id, proto::AgencyStatus::closed, {}, "dissolved"}});
  }
  CHECK(sender.state(sender.party.id) == ItemState::undeliverable);
  CHECK(sender.waiting_for(sender.party.id) == 0);
  const auto shown = sender.get("/v1/documents/" + sender.uuid.hex()).json["recipient_list"][0];
  CHECK(shown["because"]["code"] == "closed_agency");
  CHECK(shown["successors"].empty() == named.empty());
  if (!named.empty()) {
    bool among = false;
    for (const auto& one : shown["successors"]) among = among || one["code"] == named;
    CHECK(among);
  }
  CHECK(sender.problem("undeliverable").find("tram show " + sender.uuid.hex()) != std::string::npos);
  auto txn = sender.realm.store.begin_write().value();
  Effects effects;
  const auto recall = sender.node->recall(*txn, sender.now, sender.uuid, "nhầm", "mai", effects);
  CHECK((!recall && recall.error().code == ErrorCode::wrong_state));  // nobody holds it
  txn.reset();
  if (how == "split") sender.now = sender.now + days(8);  // it is history then
  else sender.receipt_comes(sender.receipt_for(sender.first));  // it came after all
  CHECK(sender.problem("undeliverable").empty());
}

TEST_CASE("R31: a closing that was decided for later is found when its time comes") {
  WaitingSender sender;
  sender.decide({sender.now + hours(2), proto::SucceedChange{{sender.party.id}, {sender.front.id}, "absorb"}});
  sender.tick();
  CHECK(sender.state(sender.party.id) == ItemState::queued);
  sender.now = sender.now + hours(2) + minutes(11);
  sender.tick();
  CHECK(sender.state(sender.party.id) == ItemState::forwarded);
}

TEST_CASE("R31: a broker that knows of the closing before we do makes us ask, and the document waits") {
  WaitingSender sender;
  uint64_t request = 0;
  for (const auto& one : sender.sending.sends)
    if (std::holds_alternative<proto::Put>(one.frame.body) && one.broker == sender.brokers[0].id) request = one.frame.request;
  REQUIRE(request);
  proto::PutReply reply;
  proto::PutResult no;
  no.env_id = sender.first.env_id;
  no.refusal = static_cast<uint16_t>(ErrorCode::closed_agency);
  reply.results.push_back(no);
  const auto effects = sender.step({FrameArrived{sender.brokers[0].id, proto::Endpoint::control, {request, reply}, {}}});
  CHECK(std::any_of(effects.sends.begin(), effects.sends.end(), [](const auto& one) { return std::holds_alternative<proto::DirectoryGet>(one.frame.body); }));
  sender.tick();
  CHECK(sender.state(sender.party.id) == ItemState::queued);
  CHECK_FALSE(sender.realm.read()->scan(table::pending, sender.brokers[0].id, prefix_end(sender.brokers[0].id), 1).value().empty());
  sender.closes(sender.party.id, {sender.front.id});
  CHECK(sender.state(sender.party.id) == ItemState::forwarded);
}

TEST_CASE("R31: what we signed before we closed takes its way; what still waited ends, and nothing new is taken") {
  const bool signed_before = GENERATE(true, false);
  WaitingSender sender(signed_before);
  sender.closes(sender.self.id, {sender.front.id});
  CHECK(sender.state(sender.party.id) == (signed_before ? ItemState::queued : ItemState::undeliverable));
  const auto refused = sender.post("/v1/documents", sender.submission());
  CHECK(refused.code() == "closed_agency");
  if (!signed_before) return;
  // Nobody took it in its time: it cannot be issued anew.
  sender.now = crypto::decode_envelope(sender.first.envelope)->not_after + minutes(1);
  sender.confirm();
  sender.tick();
  CHECK(sender.state(sender.party.id) == ItemState::undeliverable);
}

TEST_CASE("R30, R31: a recipient that asks for another key after we closed gets no other envelope") {
  WaitingSender sender;
  sender.closes(sender.self.id, {sender.front.id});
  auto receipt = sender.receipt_for(sender.first);
  receipt.event = crypto::ReceiptEvent::rejected;
  receipt.reason = static_cast<uint16_t>(ErrorCode::rekey);
  sender.receipt_comes(receipt);
  CHECK(sender.state(sender.party.id) == ItemState::undeliverable);
  CHECK(sender.waiting_for(sender.party.id) == 0);
}

TEST_CASE("R31: a recall follows its document to the successor; what the closed agency has received it keeps") {
  WaitingSender sender;
  const bool received = GENERATE(true, false);
  if (received) sender.receipt_comes(sender.receipt_for(sender.first));
  DocUuid recall;
  {
    auto txn = sender.realm.store.begin_write().value();
    Effects effects;
    recall = sender.node->recall(*txn, sender.now, sender.uuid, "nhầm", "mai", effects)->uuid;
    REQUIRE(txn->commit());
    for (auto& job : effects.jobs)
      if (std::holds_alternative<SealJob>(job)) sender.step({run_job(job, sender.bodies, sender.realm.random)});
  }
  REQUIRE(sender.item(sender.party.id)->pending_change == 13);
  sender.closes(sender.party.id, {sender.front.id});
  const auto of_recall = [&](const PartyId& to) { return find<proto::ItemRecord>(*sender.realm.read(), table::item, row_key(recall, to)).value(); };
  CHECK(sender.item(sender.party.id)->pending_change == 0);
  if (received) {
    CHECK(sender.state(sender.party.id) == ItemState::delivered);
    CHECK(of_recall(sender.party.id)->state == ItemState::undeliverable);
    CHECK_FALSE(of_recall(sender.front.id));
    auto txn = sender.realm.store.begin_write().value();
    Effects effects;
    const auto again = sender.node->recall(*txn, sender.now, sender.uuid, "nhầm", "mai", effects);
    CHECK((!again && again.error().code == ErrorCode::closed_agency));
  } else {
    CHECK(of_recall(sender.party.id)->state == ItemState::forwarded);
    REQUIRE(of_recall(sender.front.id));
    CHECK(sender.item(sender.front.id)->pending_change == 13);
    // In the order in which they were sent.
    const auto rows = sender.realm.read()->scan(table::todo, sender.front.id, prefix_end(sender.front.id), 10).value();
    REQUIRE(rows.size() == 2);
    CHECK(id_at<DocUuid>(rows[0].value, 0) == sender.uuid);
  }
}

}  // namespace tram::node::test
