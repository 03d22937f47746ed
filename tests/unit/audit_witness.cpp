// Witnesses: what is cosigned, what is refused, what is evidence (I9, I10). The logs before them: audit_own_log.cpp.
#include <rapidcheck/catch.h>
#include <random>

#include "tests/unit/audit_witness_world.h"

namespace tram::audit::test {
namespace {

std::vector<Hash> some_leaves(size_t count, std::string_view what = "leaf") {
  std::vector<Hash> out;
  for (size_t i = 0; i < count; ++i) out.push_back(crypto::merkle_leaf(view(std::string(what) + std::to_string(i))));
  return out;
}

}  // namespace

TEST_CASE("a witness cosigns what continues what it saw, and answers with what it holds") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(700);
  const std::span<const Hash> all(leaves);
  const auto first = world.add(w, world.put(all.first(300), 0, 0));
  REQUIRE(first.refusal == 0);
  CHECK(first.mirrored == 300);
  const auto line = crypto::decode_note_signature_line(text(first.cosignature)).value();
  const std::string first_text = crypto::checkpoint_text(world.checkpoint(all.first(300)));
  const auto made = audit::find_cosignature(*world.realm.directory, world.now, first_text, line);
  REQUIRE(made);
  CHECK(made->by == w.id);

  // Another old size than the stored one: conflict, and the stored note.
  const auto conflict = world.add(w, world.put(all, 0, 0));
  CHECK(conflict.refusal == number(ErrorCode::conflict));
  CHECK(conflict.cosignature.empty());
  CHECK(crypto::decode_signed_checkpoint(conflict.note).value().checkpoint.size == 300);
  CHECK(conflict.mirrored == 300);

  auto wrong = world.put(all, 300, 300);
  wrong.proof.back().bytes[0] ^= 1;
  CHECK(world.add(w, wrong).refusal == number(ErrorCode::bad_request));

  const auto second = world.add(w, world.put(all, 300, 300));
  CHECK(second.refusal == 0);
  CHECK(second.mirrored == 700);
  // Leaves that are not under the checkpoint are not taken; the checkpoint is cosigned all the same.
  auto more = leaves;
  for (const Hash& one : some_leaves(50, "more")) more.push_back(one);
  auto bad_leaves = world.put(more, 700, 700);
  bad_leaves.leaves[3].bytes[1] ^= 1;
  const auto third = world.add(w, bad_leaves);
  CHECK(third.refusal == 0);
  CHECK(third.mirrored == 700);
  CHECK(world.add(w, world.put(more, 750, 700)).mirrored == 750);
  auto txn = w.store.begin_read().value();
  CHECK(w.witness->leaves(*txn, world.agency, 0, 0, 10000).value() == more);
  CHECK(w.witness->leaves(*txn, world.agency, 0, 255, 2).value() == std::vector<Hash>(more.begin() + 255, more.begin() + 257));
  CHECK(w.witness->leaves(*txn, world.agency, 0, 750, 2).value().empty());
  CHECK(w.witness->leaves(*txn, world.agency, 1, 0, 2).value().empty());
  CHECK(world.evidence() == 0);
}

TEST_CASE("a page of leaves stands under the checkpoint by a proof of its own") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(1000);
  auto put = world.put(leaves, 0, 0);
  put.leaves.resize(400);
  CHECK(world.add(w, put).mirrored == 0);  // no proof
  auto again = world.put(leaves, 1000, 0);
  again.leaves.resize(400);
  again.leaves_proof = crypto::consistency_path(400, leaves);
  CHECK(world.add(w, again).mirrored == 400);
  auto rest = world.put(leaves, 1000, 400);
  CHECK(world.add(w, rest).mirrored == 1000);
}

TEST_CASE("only a party's own log under its own key is taken") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(5);
  auto put = world.put(leaves, 0, 0);
  auto txn = w.store.begin_write().value();
  const auto add = [&](const PartyId& party, const directory::LogOwner& owner) {
    return w.witness->add(*txn, world.now, party, owner, put).value().refusal;
  };
  CHECK(add(w.id, world.owner) == number(ErrorCode::forbidden));
  directory::LogOwner other = world.owner;
  other.kind = crypto::LogKind::broker;
  CHECK(add(world.agency, other) == number(ErrorCode::forbidden));
  other = world.owner;
  other.keys.push_back(w.key->public_key());
  CHECK(add(world.agency, other) == number(ErrorCode::bad_signature));
  put.note = to_bytes(std::string_view("no note"));
  CHECK(add(world.agency, world.owner) == number(ErrorCode::bad_format));
  put = world.put(leaves, 3, 0);
  CHECK(add(world.agency, world.owner) == number(ErrorCode::conflict));
  put.note = crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(std::span<const Hash>{}), *world.key));
  CHECK(add(world.agency, world.owner) == number(ErrorCode::bad_request));
}

TEST_CASE("two roots of one size, or a root that the log never had, are evidence") {
  World world;
  const auto leaves = some_leaves(600);
  auto forked = leaves;
  forked[250] = crypto::merkle_leaf(view("forged"));
  for (const size_t size : {600, 400}) {
    WitnessHost& w = *world.witnesses[size == 600 ? 0 : 1];
    REQUIRE(world.add(w, world.put(leaves, 0, 0)).mirrored == 600);
    const std::span<const Hash> shown(forked.data(), size);
    const auto reply = world.add(w, world.put(shown, 600, 0));
    CHECK(reply.refusal == number(ErrorCode::equivocation));
    const auto kept = audit::kept_evidence(*w.store.begin_read().value()).value();
    REQUIRE(kept.size() == 1);
    CHECK(w.log.errors == 1);
    // It convinces whoever has the key, and nothing else with it does.
    const Bytes bytes = audit::encode_evidence(kept[0].evidence);
    const auto evidence = audit::decode_evidence(bytes).value();
    CHECK(audit::check_evidence(evidence, world.key->public_key()));
    CHECK(audit::check_evidence(evidence, w.key->public_key()).error().code == ErrorCode::bad_signature);
    // Every part is needed as it is.
    for (size_t at = 0; at < bytes.size(); ++at) {
      Bytes damaged = bytes;
      damaged[at] = static_cast<uint8_t>(damaged[at] ^ 1);
      const auto decoded = audit::decode_evidence(damaged);
      CHECK((!decoded || !audit::check_evidence(*decoded, world.key->public_key())));
    }
    // A convicted log is not cosigned any more, honest or not.
    CHECK(world.add(w, world.put(leaves, 600, 600)).refusal == number(ErrorCode::equivocation));
  }
}

TEST_CASE("a fork at a larger size is told as soon as the log reaches it") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(600);
  const std::span<const Hash> all(leaves);
  auto forked = std::vector<Hash>(leaves.begin(), leaves.begin() + 500);
  forked[420] = crypto::merkle_leaf(view("forged"));
  REQUIRE(world.add(w, world.put(all.first(400), 0, 0)).mirrored == 400);
  auto inconsistent = world.put(forked, 400, 400);
  inconsistent.old_size = 400;
  inconsistent.proof.clear();
  CHECK(world.add(w, inconsistent).refusal == number(ErrorCode::bad_request));
  CHECK(world.add(w, world.put(all.first(450), 400, 400)).refusal == 0);
  CHECK(world.evidence() == 0);
  CHECK(world.add(w, world.put(all, 450, 450)).refusal == number(ErrorCode::equivocation));
  const auto kept = audit::kept_evidence(*w.store.begin_read().value()).value();
  REQUIRE(kept.size() == 1);
  CHECK(audit::check_evidence(kept[0].evidence, world.key->public_key()));
  // A checkpoint refused for its proof alone convicts nobody.
  WitnessHost& other = *world.witnesses[1];
  REQUIRE(world.add(other, world.put(all.first(400), 0, 0)).mirrored == 400);
  auto clumsy = world.put(all.first(500), 400, 400);
  clumsy.proof.clear();
  CHECK(world.add(other, clumsy).refusal == number(ErrorCode::bad_request));
  CHECK(world.add(other, world.put(all, 400, 400)).refusal == 0);
  CHECK(audit::count_evidence(*other.store.begin_read().value()).value() == 0);
}

TEST_CASE("what an honest log showed earlier, late or twice is no evidence") {
  World world;
  WitnessHost& w = *world.witnesses[0];
  const auto leaves = some_leaves(600);
  const std::span<const Hash> all(leaves);
  REQUIRE(world.add(w, world.put(all, 0, 0)).refusal == 0);
  for (const size_t size : {1, 2, 255, 256, 257, 511, 599}) {
    CHECK(world.add(w, world.put(all.first(size), 600, 0)).refusal == number(ErrorCode::conflict));
    CHECK(world.add(w, world.put(all.first(size), 0, 0)).refusal == number(ErrorCode::conflict));
  }
  CHECK(world.evidence() == 0);
  // Nor can it be made of them.
  const auto note = [&](size_t size) {
    return crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(all.first(size)), *world.key));
  };
  for (const size_t size : {256, 599, 600}) {
    audit::Evidence made{note(size), note(600), {}, {}, {}};
    CHECK(!audit::check_evidence(made, world.key->public_key()));
    made.prefix_root = crypto::merkle_root(all.first(size));
    if (size < 600) made.proof = crypto::consistency_path(size, leaves);
    CHECK(!audit::check_evidence(made, world.key->public_key()));
    made.prefix_root.bytes[0] ^= 1;
    CHECK(!audit::check_evidence(made, world.key->public_key()));
  }
  // Checkpoints of two generations contradict nothing.
  const auto other = crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(some_leaves(600, "x"), 1), *world.key));
  CHECK(!audit::check_evidence({note(600), other, {}, {}, {}}, world.key->public_key()));
}

TEST_CASE("a witness that is shown another witness's view finds the fork between them") {
  World world;
  const auto leaves = some_leaves(600);
  auto forked = std::vector<Hash>(leaves.begin(), leaves.begin() + 500);
  forked[77] = crypto::merkle_leaf(view("forged"));
  REQUIRE(world.add(*world.witnesses[0], world.put(leaves, 0, 0)).refusal == 0);
  const auto there = world.add(*world.witnesses[1], world.put(forked, 0, 0));
  REQUIRE(there.refusal == 0);
  const auto see = [&](WitnessHost& host, const Bytes& note) {
    auto txn = host.store.begin_write().value();
    const auto seen = host.witness->see(*txn, world.now, *world.realm.directory, world.agency, world.owner, note).value();
    REQUIRE(txn->commit());
    return seen;
  };
  using enum audit::Witness::Seen;
  CHECK(see(*world.witnesses[0], there.note) == kept);
  CHECK(world.evidence() == 1);
  // Cosignatures of the same checkpoint are gathered, and only real ones.
  World honest;
  const auto here = honest.add(*honest.witnesses[0], honest.put(leaves, 0, 0));
  auto other = honest.add(*honest.witnesses[1], honest.put(leaves, 0, 0));
  const auto see_honest = [&](const Bytes& note) {
    auto txn = honest.witnesses[0]->store.begin_write().value();
    const auto seen =
        honest.witnesses[0]->witness->see(*txn, honest.now, *honest.realm.directory, honest.agency, honest.owner, note).value();
    REQUIRE(txn->commit());
    return seen;
  };
  auto forged = crypto::decode_note(other.note).value();
  forged.signatures.back().signature[20] ^= 1;
  CHECK(see_honest(crypto::encode_note(forged)) == nothing);
  CHECK(see_honest(other.note) == kept);
  CHECK(see_honest(other.note) == all_held);
  // A later cosignature takes the place of an earlier one, never the other way round: lists carry either.
  const WitnessHost& second = *honest.witnesses[1];
  auto later = crypto::decode_note(other.note).value();
  later.signatures.back() = crypto::cosign(later.text, second.witness->name(), honest.now + hours(12), *second.key);
  CHECK(see_honest(crypto::encode_note(later)) == kept);
  CHECK(see_honest(other.note) == all_held);
  CHECK(see_honest(crypto::encode_note(later)) == all_held);
  auto txn = honest.witnesses[0]->store.begin_read().value();
  const auto known = honest.witnesses[0]->witness->known(*txn, honest.agency).value().value();
  CHECK(crypto::decode_note(known.note).value().signatures.size() == 3);
  CHECK(honest.evidence() == 0);
}

TEST_CASE("who mirrors nothing remembers the newest checkpoint, and two of one size are evidence") {
  World world;
  sim::MemStore store;
  CountingLog log;
  const auto leaves = some_leaves(20);
  const std::span<const Hash> all(leaves);
  const auto note = [&](std::span<const Hash> some) {
    return crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(some), *world.key));
  };
  auto txn = store.begin_write().value();
  const auto remember = [&](const Bytes& one) {
    REQUIRE(audit::remember_checkpoint(*txn, world.now, world.realm.directory->realm(), world.agency, world.owner, one, log));
  };
  remember(note(all.first(10)));
  remember(note(all));
  remember(note(all.first(15)));
  CHECK(audit::remembered_checkpoint(*txn, world.agency).value() == note(all));
  remember(crypto::encode_note(crypto::sign_checkpoint(world.checkpoint(all.first(10)), *world.witnesses[0]->key)));
  CHECK(audit::remembered_checkpoint(*txn, world.agency).value() == note(all));
  CHECK(audit::count_evidence(*txn).value() == 0);
  remember(note(some_leaves(20, "other")));
  const auto kept = audit::kept_evidence(*txn).value();
  REQUIRE(kept.size() == 1);
  CHECK(audit::check_evidence(kept[0].evidence, world.key->public_key()));
}

}  // namespace tram::audit::test
