// The fair queue against a model: nothing is lost, order is kept within session and lane, lanes get their shares.
#include <algorithm>
#include <catch2/catch.hpp>
#include <rapidcheck.h>
#include <rapidcheck/catch.h>
#include <set>

#include "broker/fair_queue.h"

namespace tram::broker::test {
namespace {

struct Item {
  size_t lane;
  uint64_t session;
  int number;
};
SessionKey key_of(uint64_t session) { return {proto::Endpoint::bulk, session}; }

}  // namespace

TEST_CASE("fair queue: a model of deques") {
  rc::prop("push, pop, block and drop in any order", [] {
    FairQueue<Item> queue;
    std::map<std::pair<size_t, uint64_t>, std::deque<int>> model;
    std::set<uint64_t> blocked;
    int next = 0;
    const auto acts = *rc::gen::container<std::vector<std::tuple<int, size_t, uint64_t>>>(
        rc::gen::tuple(rc::gen::inRange(0, 10), rc::gen::inRange<size_t>(0, 4), rc::gen::inRange<uint64_t>(1, 4)));
    auto ready = [&](const SessionKey& session) { return !blocked.contains(session.id); };
    for (const auto& [act, lane, session] : acts) {
      if (act < 5) {
        queue.push(static_cast<Lane>(lane), key_of(session), Item{lane, session, next});
        model[{lane, session}].push_back(next++);
      } else if (act < 8) {
        const bool some = std::any_of(model.begin(), model.end(), [&](const auto& entry) {
          return !entry.second.empty() && !blocked.contains(entry.first.second);
        });
        const auto item = queue.pop(ready);
        RC_ASSERT(item.has_value() == some);
        if (!item) continue;
        auto& expected = model[{item->lane, item->session}];
        RC_ASSERT(!blocked.contains(item->session));
        RC_ASSERT(expected.front() == item->number);
        expected.pop_front();
      } else if (act == 8) {
        if (!blocked.erase(session)) blocked.insert(session);
      } else {
        queue.drop(key_of(session));
        for (size_t one = 0; one < lane_count; ++one) model[{one, session}].clear();
      }
      size_t left = 0;
      for (const auto& [place, numbers] : model) left += numbers.size();
      RC_ASSERT(queue.size() == left);
    }
  });
}

TEST_CASE("fair queue: 8:4:2:1, and sessions of a lane in turn") {
  FairQueue<Item> queue;
  for (int i = 0; i < 100; ++i) {
    for (size_t lane = 0; lane < lane_count; ++lane) {
      for (uint64_t session = 1; session <= 2; ++session) {
        queue.push(static_cast<Lane>(lane), key_of(session), Item{lane, session, i});
      }
    }
  }
  std::array<int, lane_count> share{};
  std::map<uint64_t, int> by_session;
  for (int i = 0; i < 60; ++i) {
    const auto item = queue.pop([](const SessionKey&) { return true; });
    ++share[item->lane];
    ++by_session[item->session];
  }
  CHECK(share == std::array<int, lane_count>{32, 16, 8, 4});
  CHECK(by_session[1] == 30);
  CHECK(by_session[2] == 30);
}

}  // namespace tram::broker::test
