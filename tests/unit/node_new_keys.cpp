// Keys that are renewed: what either key signed counts by its time, and an old key signs nothing any more.
#include "tests/unit/node_exchange.h"

namespace tram::node::test {
namespace {

struct Renewing : Exchange {
  Renewing() {
    greet(0);
    greet(1);
    tick();
  }
  /// New keys of an agency, which the directory does not hold yet.
  proto::Agency renewed(proto::Agency agency, const crypto::SigningKey& sig) {
    agency.keys = realm.keys();
    agency.keys->sig = sig.public_key();
    return agency;
  }
  Bytes notice(const crypto::SigningKey& key) {
    crypto::Notice notice;
    notice.kind = crypto::NoticeKind::nack;
    notice.realm = realm.directory->realm();
    notice.issuer = party.id;
    notice.other = self.id;
    notice.env_id = realm.random.id<EnvelopeId>();
    notice.time = now;
    return crypto::encode_notice(notice, key);
  }
  /// Small mail from `party` by way of a broker, opened; how many were confirmed as taken.
  size_t taken(const Bytes& content) {
    auto effects = from(0, proto::MailDeliver{{{party.id, content}}});
    std::vector<Event> opened;
    for (auto& job : effects.jobs)
      if (std::holds_alternative<MailJob>(job)) opened.push_back(run_job(job, bodies, realm.random));
    if (!opened.empty()) effects = step(std::move(opened));
    asked = sent<proto::DirectoryGet>(effects);
    return sent<proto::MailDone>(effects);
  }
  template <class Body>
  size_t sent(const Effects& effects) {
    return static_cast<size_t>(std::count_if(effects.sends.begin(), effects.sends.end(),
                                             [](const Send& one) { return std::holds_alternative<Body>(one.frame.body); }));
  }
  size_t asked = 0;
};

}  // namespace

TEST_CASE("mail that no known key has signed waits for its author's entry, and earlier keys count for what they signed in their time") {
  Renewing world;
  const crypto::SigningKey next(crypto::make_secret(world.realm.random)), stranger(crypto::make_secret(world.realm.random));
  const Bytes before = world.notice(*world.party_key);
  world.now = world.now + minutes(1);
  const Time renewed_at = world.now;
  world.now = world.now + minutes(1);
  const Bytes early = world.notice(next), late = world.notice(*world.party_key);
  CHECK(world.taken(early) == 0);
  CHECK(world.asked == 1);
  world.decide({renewed_at, proto::AgencyChange{world.renewed(world.party, next)}});
  CHECK(world.taken(early) == 1);
  CHECK(world.taken(before) == 1);

  // By the old key after its time, or by nobody's: asked about once, then it is gone.
  for (const Bytes& bad : {late, world.notice(stranger)}) {
    CHECK(world.taken(bad) == 0);
    CHECK(world.taken(bad) == 1);
  }
}

TEST_CASE("a node that learns of other keys of its agency signs nothing more; with them it goes on") {
  Renewing world;
  world.feed();
  const auto next = std::make_shared<crypto::SigningKey>(crypto::make_secret(world.realm.random));
  const auto renewed = world.renewed(world.self, *next);
  auto sealed = [&] {
    REQUIRE(world.post("/v1/documents", world.submission()).status < 300);
    return world.seal();
  }();
  CHECK(world.node->keys_in_force());
  world.decide({world.now, proto::AgencyChange{renewed}});
  CHECK_FALSE(world.node->keys_in_force());
  CHECK(world.node->keys_are_former());
  auto effects = world.step({JobResult{std::move(sealed)}, Tick{}});
  CHECK(world.sent<proto::Put>(effects) == 0);
  CHECK(world.post("/v1/documents", world.submission()).status == 409);

  world.keys.sig = next;
  world.restart();
  CHECK(world.node->keys_in_force());
  CHECK_FALSE(world.greet(0).sends.empty());
  CHECK(world.post("/v1/documents", world.submission()).status < 300);
}

TEST_CASE("with keys that its directory does not name yet a node asks for the entry, and signs nothing before") {
  Renewing world;
  const auto next = std::make_shared<crypto::SigningKey>(crypto::make_secret(world.realm.random));
  const auto renewed = world.renewed(world.self, *next);
  world.keys.sig = next;
  world.restart();
  CHECK_FALSE(world.node->keys_in_force());
  CHECK_FALSE(world.node->keys_are_former());
  CHECK(world.post("/v1/documents", world.submission()).status == 409);
  world.greet(0);
  world.now = world.now + minutes(1);
  CHECK(world.sent<proto::DirectoryGet>(world.step({Tick{}})) > 0);
  world.decide({world.now, proto::AgencyChange{renewed}});
  CHECK(world.node->keys_in_force());
  CHECK(world.post("/v1/documents", world.submission()).status < 300);
}

}  // namespace tram::node::test
