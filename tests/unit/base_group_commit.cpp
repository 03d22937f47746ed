// When a loop gathers before it commits: under load, never after a full step, never for one request alone (R1).
#include <catch2/catch.hpp>

#include "base/io/group_commit.h"

namespace tram::io {
namespace {

constexpr size_t busy_events = 80;

/// One event each millisecond for a window and a little more.
Time load(GroupCommit& commit, Time from) {
  Time at = from;
  for (; at - from <= limits::load_window; at = at + milliseconds(1)) commit.stepped(1, at);
  return at;
}

}  // namespace

TEST_CASE("one request alone is never delayed; many are gathered") {
  GroupCommit commit(busy_events);
  CHECK(commit.wait() == Duration{});
  commit.stepped(1, Time{1'000'000});
  CHECK(commit.wait() == Duration{});
  const Time loaded = load(commit, Time{1'000'100});
  CHECK(commit.wait() == limits::group_commit_wait);
  commit.stepped(1, loaded + limits::load_window * 3);
  CHECK(commit.wait() == Duration{});
}

TEST_CASE("after a full step nothing is waited for: as many have come meanwhile") {
  GroupCommit commit(busy_events);
  const Time loaded = load(commit, Time{1'000'100});
  REQUIRE(commit.wait() == limits::group_commit_wait);
  commit.stepped(limits::events_per_step_max, loaded);
  CHECK(commit.wait() == Duration{});
  commit.stepped(1, loaded + milliseconds(1));
  CHECK(commit.wait() == limits::group_commit_wait);
}

}  // namespace tram::io
