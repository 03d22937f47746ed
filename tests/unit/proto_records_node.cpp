#include <catch2/catch.hpp>

#include "proto/records_node.h"

using namespace tram;
using namespace tram::proto;

namespace {
template <class Record>
Record round_trip(const Record& record) {
  Record read;
  const auto outcome = decode_record(encode_record(record), read);
  REQUIRE(outcome.has_value());
  // Every field went through: writing what was read gives the same bytes.
  REQUIRE(encode_record(read) == encode_record(record));
  return read;
}
}  // namespace

TEST_CASE("an outgoing record survives its store") {
  OutRecord record;
  record.uuid.bytes[0] = 7;
  record.state = OutState::failed;
  record.lane = Lane::urgent;
  record.created = Time{-5};
  record.metadata = {1, 2, 3};
  record.staged = {{"a.pdf", "application/pdf", 3, "", {4, 5, 6}}, {"b.docx", "x", 1ull << 40, "00ff", {}}};
  record.failure = 65535;
  record.body_kept = false;
  record.body_name = "5e00";
  record.inline_chunk = {7, 8};
  const auto read = round_trip(record);
  CHECK(read.uuid == record.uuid);
  CHECK(read.doc_id.is_zero());
  CHECK(read.state == OutState::failed);
  CHECK(read.lane == Lane::urgent);
  CHECK(read.created == Time{-5});
  REQUIRE(read.staged.size() == 2);
  CHECK(read.staged[0].content == Bytes{4, 5, 6});
  CHECK(read.staged[1].bytes == 1ull << 40);
  CHECK(read.failure == 65535);
  CHECK(read.inline_chunk == Bytes{7, 8});
  CHECK_FALSE(read.body_kept);
  CHECK(read.body_name == "5e00");
}

TEST_CASE("an incoming record survives its store") {
  InRecord record;
  record.arrival = UINT64_MAX;
  record.state = InState::recalled;
  record.before_change = InState::processing;
  record.units.resize(2);
  record.units[1].bytes[15] = 9;
  record.reason = "Gửi nhầm địa chỉ";
  record.duplicate_number = true;
  const auto read = round_trip(record);
  CHECK(read.arrival == UINT64_MAX);
  CHECK(read.state == InState::recalled);
  CHECK(read.before_change == InState::processing);
  CHECK(read.units == record.units);
  CHECK(read.reason == record.reason);
  CHECK(read.duplicate_number);
}

TEST_CASE("every record has its default back"){
#define ROUND_TRIP(Type)                               \
  {                                                    \
    INFO(#Type);                                       \
    Type read;                                         \
    CHECK(decode_record(encode_record(Type{}), read)); \
  }
    TRAM_NODE_RECORDS(ROUND_TRIP)
#undef ROUND_TRIP
}

TEST_CASE("a damaged record is reported and leaves the target alone") {
  ItemRecord target;
  target.person = "kept";
  const auto expect_corrupt = [&](Bytes raw) {
    const auto outcome = decode_record(raw, target);
    REQUIRE_FALSE(outcome.has_value());
    CHECK(outcome.error().code == ErrorCode::store_corrupt);
    CHECK(target.person == "kept");
  };
  expect_corrupt({0xff, 0xff, 0xff});
  expect_corrupt({0x0a, 3, 1, 2, 3});  // an id of three bytes
  auto raw = encode_record(ItemRecord{});
  raw.insert(raw.end(), {0x18, 77});  // a state of the future
  expect_corrupt(raw);
  raw = encode_record(ItemRecord{});
  raw.insert(raw.end(), {0x20, 0x80, 0x80, 4});  // a status over 16 bits
  expect_corrupt(raw);
}
