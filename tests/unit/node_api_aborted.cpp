// Who is told what when a transaction with many writes was aborted.
#include <catch2/catch.hpp>

#include "node/io/http_writes.h"

using namespace tram;
using namespace tram::node;

namespace {

const Error full{ErrorCode::storage_full, "test"};

/// One pending write for each status; 0 was not reached.
Writes writes_of(std::initializer_list<int> statuses) {
  Writes writes;
  for (const int status : statuses) {
    writes.push_back(std::make_shared<PendingWrite>());
    writes.back()->response.status = status;
  }
  return writes;
}

std::vector<int> statuses(const Writes& writes) {
  std::vector<int> out;
  for (const auto& write : writes) out.push_back(write->response.status);
  return out;
}

}  // namespace

TEST_CASE("the write that the store failed under has its own answer, the others are tried again in their order") {
  auto writes = writes_of({202, 400, 507, 0, 0});
  const Writes before = writes;
  const Writes again = take_unanswered(writes, 3, writes[2].get(), full);
  CHECK(writes == Writes{before[2]});
  CHECK(writes[0]->response.status == 507);
  CHECK(again == Writes{before[0], before[1], before[3], before[4]});
}

TEST_CASE("what a failed commit took back is refused; what had been refused before, or not reached, is tried again") {
  auto writes = writes_of({202, 404, 204, 0});
  const Writes before = writes;
  const Writes again = take_unanswered(writes, 3, nullptr, full);
  CHECK(statuses(writes) == std::vector<int>{507, 507});
  CHECK(again == Writes{before[1], before[3]});
}

TEST_CASE("a step that failed before its writes refuses none of them, until it has failed too often") {
  auto writes = writes_of({0, 0});
  const Writes before = writes;
  for (unsigned i = 1; i < write_attempts_max; ++i) {
    writes = take_unanswered(writes, 0, nullptr, full);
    REQUIRE(writes == before);
  }
  CHECK(take_unanswered(writes, 0, nullptr, full).empty());
  CHECK(statuses(writes) == std::vector<int>{507, 507});
}
