// A document to many agencies: who makes its envelopes, and when (decisions 32, 38).
#include "base/limits.h"
#include "tests/unit/node_exchange.h"

namespace tram::node::test {
namespace {

/// Communes with keys, and a sender that knows them.
struct FanOut : Exchange {
  static constexpr size_t communes = 700;
  std::vector<PartyId> members;

  FanOut() {
    std::vector<proto::Change> changes;
    std::vector<Bytes> feeds;
    const int64_t today = now.ms / limits::kx_epoch.ms;
    for (size_t i = 0; i < communes; ++i) {
      const crypto::SigningKey key(crypto::make_secret(realm.random));
      auto agency = realm.agency("H79." + std::to_string(i), "Xã", proto::Level::commune, "79");
      agency.keys = realm.keys();
      agency.keys->sig = key.public_key();
      members.push_back(agency.id);
      proto::KxFeedPayload payload;
      payload.realm = realm.directory->realm();
      payload.agency = agency.id;
      payload.number = 1;
      for (int64_t epoch = today; epoch < today + 2; ++epoch)
        payload.epochs.push_back({static_cast<uint64_t>(epoch), crypto::make_kx_pair(realm.random).public_key,
                                  Time{epoch * limits::kx_epoch.ms}, Time{(epoch + 1) * limits::kx_epoch.ms}});
      feeds.push_back(proto::encode_kx_feed(directory::sign_kx_feed(payload, key)));
      changes.push_back(directory::test::Realm::change(std::move(agency)));
      if (changes.size() == 100) realm.must(std::exchange(changes, {}));
    }
    greet(0);
    greet(1);
    for (size_t i = 0; i < feeds.size(); i += 100)
      from(0, proto::KxFeeds{{feeds.begin() + static_cast<ptrdiff_t>(i), feeds.begin() + static_cast<ptrdiff_t>(i + 100)}});
  }

  size_t envelopes() { return count(table::envelope); }
  size_t count(const Table& table) {
    size_t rows = 0;
    REQUIRE(for_each(*realm.read(), table, {}, [&](const Row&) -> Result<void> {
      ++rows;
      return {};
    }));
    return rows;
  }
};

size_t runs_in(const Effects& effects) {
  size_t runs = 0;
  for (const Job& job : effects.jobs)
    if (const auto* wrap = std::get_if<WrapJob>(&job)) runs += wrap->runs.size();
  return runs;
}

}  // namespace

TEST_CASE("a step wraps 32 envelopes of a document to many at most, and gives the workers 512") {
  FanOut sender;
  REQUIRE(sender.post("/v1/documents", sender.submission({"communes:79"})).status < 300);
  Effects effects = sender.step({JobResult{sender.seal()}});
  CHECK(sender.envelopes() == limits::wraps_at_once_max);
  CHECK(runs_in(effects) == 512);
  REQUIRE(effects.wake_at);
  CHECK(*effects.wake_at == sender.now);
  Effects more = sender.tick();
  CHECK(runs_in(more) == FanOut::communes - limits::wraps_at_once_max - 512);

  std::vector<Job> jobs = std::move(effects.jobs);
  std::move(more.jobs.begin(), more.jobs.end(), std::back_inserter(jobs));
  for (Job& job : jobs)
    if (std::holds_alternative<WrapJob>(job)) sender.step({run_job(job, sender.bodies, sender.realm.random)});
  CHECK(sender.envelopes() == FanOut::communes);
  CHECK(sender.count(table::todo) == 0);
  for (const PartyId& one : sender.members) {
    const auto channel = find<proto::ChannelOut>(*sender.realm.read(), table::channel_out, row_key(one, Lane::normal)).value();
    REQUIRE(channel);
    CHECK(channel->next_seq == 2);
  }
}

TEST_CASE("a node that starts while the channels of a document are being opened opens the others") {
  FanOut sender;
  REQUIRE(sender.post("/v1/documents", sender.submission({"communes:79"})).status < 300);
  sender.step({JobResult{sender.seal()}});
  sender.node = std::make_unique<Node>(Identity{sender.self.id, sender.realm.directory->realm(), "test"}, sender.keys,
                                       *sender.realm.directory, sender.audit, sender.log, sender.realm.random);
  auto txn = sender.realm.store.begin_write().value();
  Effects effects;
  REQUIRE(sender.node->start(*txn, sender.now, effects));
  REQUIRE(txn->commit());
  CHECK(runs_in(effects) == FanOut::communes - limits::wraps_at_once_max);
}

}  // namespace tram::node::test
