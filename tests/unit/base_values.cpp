// Bytes, ids, the error table and the coded store.
#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include <set>

#include "base/limits.h"
#include "base/ports.h"
#include "tests/sim/mem_store.h"

using namespace tram;

TEST_CASE("hexadecimal and integers come back as written") {
  rc::prop("hex", [](const Bytes& bytes) { RC_ASSERT(from_hex(to_hex(bytes)) == bytes); });
  rc::prop("writer and reader", [](uint8_t a, uint16_t b, uint32_t c, uint64_t d, const Bytes& rest) {
    Bytes out;
    Writer(out).u8(a).u16(b).u32(c).u64(d).raw(rest);
    RC_ASSERT(out.size() == 15 + rest.size());
    Reader reader(out);
    RC_ASSERT(reader.u8() == a);
    RC_ASSERT(reader.u16() == b);
    RC_ASSERT(reader.u32() == c);
    RC_ASSERT(reader.u64() == d);
    RC_ASSERT(!rest.empty() != reader.finish());
    RC_ASSERT(to_bytes(reader.raw(reader.left())) == rest);
    RC_ASSERT(reader.finish());
  });
  CHECK_FALSE(from_hex("abc"));
  CHECK_FALSE(from_hex("0g"));
}

TEST_CASE("a short read fails for good and yields zeros") {
  Bytes three{1, 2, 3};
  Reader reader(three);
  CHECK(reader.u32() == 0);
  CHECK_FALSE(reader.ok());
  CHECK(reader.u8() == 0);
  CHECK_FALSE(reader.finish());
}

TEST_CASE("prefix_end bounds exactly the keys with the prefix") {
  CHECK(prefix_end(Bytes{1, 2}) == Bytes{1, 3});
  CHECK(prefix_end(Bytes{1, 0xff}) == Bytes{2});
  CHECK(prefix_end(Bytes{0xff, 0xff}).empty());
  rc::prop("a key is in the range if and only if it has the prefix", [](const Bytes& prefix, const Bytes& key) {
    RC_PRE(!prefix.empty());
    Bytes end = prefix_end(prefix);
    bool inside = key >= prefix && (end.empty() || key < end);
    bool starts = key.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), key.begin());
    RC_ASSERT(inside == starts);
  });
}

TEST_CASE("every error code has one row, in both languages") {
  std::set<std::string_view> names;
  for (uint16_t number = 1; number < 1000; ++number) {
    const ErrorInfo* row = find_error(number);
    if (!row) continue;
    CHECK(names.insert(row->name).second);
    CHECK(find_error(row->name) == row);
    CHECK_FALSE(row->vi.empty());
    CHECK_FALSE(row->en.empty());
    CHECK(row->http_status >= 400);
  }
  CHECK(names.size() > 40);
  CHECK(describe({ErrorCode::quota, "puts"}) == "quota: puts");
}

namespace {

/// Binds a value to its place by copying table and key in front of it.
class PlaceCodec final : public ValueCodec {
 public:
  Bytes encode(const Table& table, BytesView key, BytesView plain) override {
    Bytes out;
    Writer(out).raw(table.name).raw(key).raw(plain);
    return out;
  }
  Result<Bytes> decode(const Table& table, BytesView key, BytesView coded) override {
    Bytes head = encode(table, key, {});
    if (coded.size() < head.size() || !equal(coded.first(head.size()), head)) return fail(ErrorCode::store_corrupt);
    return to_bytes(coded.subspan(head.size()));
  }
};

}  // namespace

TEST_CASE("a coded store returns what was put, and finds values moved to another key") {
  constexpr Table table{"t"};
  const bool simulated = GENERATE(false, true);  // the simulated store codes by itself, and reads a value once
  INFO((simulated ? "in the simulated store" : "over another store"));
  sim::MemStore raw;
  PlaceCodec codec;
  if (simulated) raw.use_codec(codec);
  const auto coded = simulated ? nullptr : coded_store(raw, codec);
  Store& store = simulated ? static_cast<Store&>(raw) : *coded;
  {
    auto txn = *store.begin_write();
    REQUIRE(txn->put(table, Bytes{1}, Bytes{10}));
    REQUIRE(txn->put(table, Bytes{2}, Bytes{20}));
    CHECK(**txn->get(table, Bytes{1}) == Bytes{10});
    CHECK(txn->put(table, Bytes{3}, Bytes(limits::value_bytes_max)).error().code == ErrorCode::too_large);
    CHECK(txn->put(table, Bytes{3}, Bytes(limits::value_bytes_max - 63)).error().code == ErrorCode::too_large);
    CHECK(txn->put(table, Bytes{3}, Bytes(limits::value_bytes_max - 64)));
    CHECK(txn->erase(table, Bytes{3}));
    REQUIRE(txn->commit());
  }
  {
    auto read = *store.begin_read();
    CHECK(read->scan(table, {}, {}, 10)->at(1).value == Bytes{20});
    CHECK(read->check(table, {}, 10)->damaged.empty());
  }
  CHECK(raw.dump()["t"].at(Bytes{1}).size() > 1);

  auto image = raw.dump();
  image["t"][Bytes{1}] = image["t"][Bytes{2}];
  raw.restore(image);
  {
    auto read = *store.begin_read();
    CHECK(**read->get(table, Bytes{2}) == Bytes{20});
    CHECK(*read->get(table, Bytes{9}) == std::nullopt);
    CHECK(read->get(table, Bytes{1}).error().code == ErrorCode::store_corrupt);
    CHECK(read->scan(table, {}, {}, 10).error().code == ErrorCode::store_corrupt);
  }

  // Of a value that was read already a bit flips: its row is found, the other one is still read.
  image["t"].erase(Bytes{1});
  raw.restore(image);
  CHECK(**(*store.begin_read())->get(table, Bytes{2}) == Bytes{20});
  REQUIRE(raw.flip_bit(0));
  auto read = *store.begin_read();
  CHECK(read->get(table, Bytes{2}).error().code == ErrorCode::store_corrupt);
  auto checked = *read->check(table, {}, 1);
  CHECK(checked.rows == 1);
  CHECK(checked.damaged == std::vector<Bytes>{Bytes{2}});
  CHECK(checked.next == Bytes{2, 0});
}
