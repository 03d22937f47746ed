// What the daemons keep: every record's codec, and the two codes that values wear in the store. The first byte chooses.
#include <map>

#include "crypto/seal.h"
#include "proto/records_broker.h"
#include "proto/records_node.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

namespace {

template <class Record>
void check_record(BytesView in) {
  Record record;
  if (auto read = proto::decode_record(in, record); !read) {
    require(read.error().code == ErrorCode::store_corrupt, "a refusal has its error");
    return;
  }
  const Bytes canonical = proto::encode_record(record);
  Record again;
  require(proto::decode_record(canonical, again).has_value(), "what we write we can read");
  require(proto::encode_record(again) == canonical, "one record is written in one way");
}

constexpr void (*checks[])(BytesView) = {
#define TRAM_CHECK_RECORD(Type) check_record<proto::Type>,
    TRAM_BROKER_RECORDS(TRAM_CHECK_RECORD) TRAM_NODE_RECORDS(TRAM_CHECK_RECORD)
#undef TRAM_CHECK_RECORD
};

void check_codec(ValueCodec& codec, BytesView in) {
  constexpr Table here{"here"}, there{"there"};
  const BytesView key = view("key");
  require(!codec.decode(here, key, in), "only what was coded is read");
  const Bytes coded = codec.encode(here, key, in);
  auto back = codec.decode(here, key, coded);
  require(back && equal(*back, in), "what was coded is read");
  require(!codec.decode(there, key, coded), "a value stays in its table");
  require(!codec.decode(here, view("yek"), coded), "a value stays in its row");
  Bytes damaged = coded;
  const uint64_t bit = draw(in) % (damaged.size() * 8);
  damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ (1u << bit % 8));
  auto rotten = codec.decode(here, key, damaged);
  require(!rotten && rotten.error().code == ErrorCode::store_corrupt, "rot is found");
}

}  // namespace

void one_input(BytesView in) {
  if (in.empty()) return;
  const size_t kind = in[0];
  in = in.subspan(1);
  if (kind < std::size(checks)) return checks[kind](in);
  static const crypto::Secret32 key(Bytes(32, 0x44));
  Chance chance(draw(in));
  if (kind % 2 == 0)
    check_codec(*crypto::make_mac_codec(key), in);
  else
    check_codec(*crypto::make_seal_codec(key, chance), in);
}

}  // namespace tram::fuzz
