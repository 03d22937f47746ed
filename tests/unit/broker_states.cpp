// The states × events table of PROTOCOL.md 6.2: every pair is tried on a broker, and what happens is said in its words.
#include "tests/unit/broker_world.h"
#include "tests/unit/protocol_table.h"

namespace tram::broker::test {
namespace {

/// Cells that name a condition: what happens without it and with it, or the first and the second of two.
const std::map<std::string, std::array<std::string, 2>> conditions = {
    {"stored, if it passes R3", {"stored", "! missing_chunks"}},
    {"acked, or tomb if not retained", {"acked", "tomb"}},
    {"tomb if never handed, else –", {"tomb", "–"}},
    {"tomb if the answer was a nack, else –", {"tomb", "–"}},
};

/// One envelope of agency 0 for agency 1, in one state of the table. `other`: the condition's second case.
struct One {
  World world;
  Document document;
  Letter letter;
  bool other;
  Bytes custody;

  One(const std::string& state, const std::string& event, bool other_case) : other(other_case) {
    const bool large = other && event == "ACK";  // beyond what R6 keeps at brokers
    document = world.document(0, large ? limits::broker_retained_body_bytes_max + limits::chunk_bytes : 1024);
    letter = world.letter(document, 0, 1);
    if (state != "(unknown)") {
      if (large) world.upload(document);
      custody = put(!large).custody;
      REQUIRE_FALSE(custody.empty());
    }
    if (state == "acked") answer(event == "cancel" && !other);
    if (state == "tomb") cancel();
    if (state == "gone") wait(limits::grace + limits::delta);
    if (state == "stored" && event == "cancel" && other) fetch();
    REQUIRE(name_of_state() == (state == "gone" ? "(unknown)" : state));
  }

  std::string name_of_state() {
    const auto record = world.stored(letter.envelope.id);
    if (!record) return "(unknown)";
    return record->state == proto::EnvelopeState::stored ? "stored" : record->state == proto::EnvelopeState::acked ? "acked" : "tomb";
  }

  proto::PutResult put(bool with_body) {
    const auto replies = World::only<proto::PutReply>(
        world.ask(World::control(1), world.members[0].id, World::put(document, {letter}, with_body)));
    REQUIRE(replies.size() == 1);
    return replies[0].results.at(0);
  }
  /// Beside the statement goes the cell, which must reach the sender whatever the state.
  void answer(bool nack) {
    const Bytes cell = random_bytes(world.random, limits::cell_bytes);
    const Bytes statement = nack ? world.notice(crypto::NoticeKind::nack, letter, 1, world.members[0].id) : world.ack(letter, 1);
    const auto mail = world.rows(table::mail);
    const auto replies = World::only<proto::AckReply>(
        world.ask(World::control(2), world.members[1].id, proto::AckPut{{{statement, cell}}}));
    CHECK(replies.at(0).stored == std::vector<EnvelopeId>{letter.envelope.id});
    CHECK(world.rows(table::mail) == mail + (nack ? 2 : 1));
  }
  void cancel() {
    world.ask(World::control(1), world.members[0].id,
              proto::MailPost{{{world.members[1].id, world.notice(crypto::NoticeKind::cancel, letter, 0, world.members[1].id)}}});
  }
  proto::Content fetch() {
    return World::only<proto::Content>(world.ask(World::control(2), world.members[1].id, proto::Fetch{{letter.envelope.id}})).at(0);
  }
  void wait(Duration beyond) {
    world.now = letter.envelope.not_after + beyond;
    world.settle();
  }
  static std::string refused(uint16_t code) { return "! " + std::string(error_info(static_cast<ErrorCode>(code)).name); }

  /// What the event does, in the table's words.
  std::string after(const std::string& event) {
    const std::string before = name_of_state();
    const auto logged = world.audit_log->size();
    if (event == "Put") {
      const auto result = put(!(before == "(unknown)" && other));
      if (result.refusal != 0) {
        CHECK(name_of_state() == before);
        CHECK(world.audit_log->size() == logged);
        return refused(result.refusal);
      }
      if (before == name_of_state()) return result.custody == custody ? "same custody" : "another custody";
    } else if (event == "ACK" || event == "nack") {
      answer(event == "nack");
    } else if (event == "cancel") {
      cancel();
    } else if (event == "handed out") {
      const auto content = fetch();
      CHECK(name_of_state() == before);
      if (content.refusal != 0) return refused(content.refusal);
      world.tick();
      const auto handed = world.audit_log->size() - logged;
      fetch();
      world.tick();
      CHECK(world.audit_log->size() == logged + handed);
      if (handed == 1) return before + ", `handed` logged once";
    } else if (event == "not_after + G") {
      wait(limits::grace);
    } else if (event == "not_after + G + Δ") {
      wait(limits::grace + limits::delta);
    } else {
      FAIL("PROTOCOL.md has an event that no test knows: " << event);
    }
    const std::string state = name_of_state();
    if (before != "(unknown)" && state == "(unknown)") return "gone";
    return state == before ? "–" : state;
  }
};

}  // namespace

TEST_CASE("6.2: one envelope at a broker, every state and event") {
  const auto table = tram::test::protocol_table("6.2", "handed out");
  std::vector<std::string> states;
  for (const auto& [state, row] : table) states.push_back(state);
  CHECK(states == std::vector<std::string>{"(unknown)", "acked", "gone", "stored", "tomb"});
  std::set<std::string> met;
  for (const auto& [state, row] : table) {
    CHECK(row.size() == 7);
    for (const auto& [event, cell] : row)
      for (const bool other : {false, true}) {
        const auto named = conditions.find(cell);
        if (other && named == conditions.end()) continue;
        if (named != conditions.end()) met.insert(cell);
        INFO(state << " × " << event << " " << other);
        CHECK(One(state, event, other).after(event) == (named == conditions.end() ? cell : named->second[other]));
      }
  }
  CHECK(met.size() == conditions.size());
}

}  // namespace tram::broker::test
