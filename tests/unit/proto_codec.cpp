// Golden bytes of every message, round trips of drawn values, and what damage to the bytes may do.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <rapidcheck/catch.h>
#include <set>

#include "proto/utf8.h"
#include "proto_values.h"

namespace tram::proto::test {
namespace {

constexpr uint64_t golden_seed = 20260825;

std::filesystem::path golden_path(const Kind& kind) {
  return std::filesystem::path(TRAM_SOURCE_DIR) / "tests/vectors/proto" / (kind.name + ".bin");
}

std::optional<Bytes> read_golden(const Kind& kind) {
  std::ifstream in(golden_path(kind), std::ios::binary);
  if (!in) return std::nullopt;
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

TEST_CASE("proto: every frame kind and every change has a golden file of its own") {
  std::set<std::string> names;
  size_t frames = 0, changes = 0;
  for (const auto& kind : all_kinds()) {
    names.insert(kind.name);
    frames += kind.name.starts_with("frame/");
    changes += kind.name.starts_with("entry_payload/");
  }
  CHECK(names.size() == all_kinds().size());
  CHECK(frames == std::variant_size_v<FrameBody>);
  CHECK(changes == std::variant_size_v<ChangeBody>);
}

// TRAM_WRITE_VECTORS=1 writes the files that are missing; it never changes one.
TEST_CASE("proto: encodings are the golden bytes") {
  const bool write = std::getenv("TRAM_WRITE_VECTORS") != nullptr;
  for (const auto& kind : all_kinds()) {
    INFO(kind.name);
    const Bytes encoded = kind.example(golden_seed);
    auto golden = read_golden(kind);
    if (!golden && write) {
      std::filesystem::create_directories(golden_path(kind).parent_path());
      std::ofstream(golden_path(kind), std::ios::binary) << text(encoded);
      golden = encoded;
    }
    REQUIRE(golden);
    CHECK(to_hex(*golden) == to_hex(encoded));
    CHECK(kind.again(*golden) == encoded);
  }
}

TEST_CASE("proto: encodings made by hand") {
  CHECK(to_hex(encode_frame({7, Ping{}})) == "08076a00");
  CHECK(to_hex(encode_frame({0, Done{}})) == "7200");
  CHECK(to_hex(encode_frame({300, DirectoryGet{5}})) == "08ac02b204020805");
  CHECK(to_hex(encode_frame({1, Refused{25, 1000, "bận"}})) == "0801620c081910e8071a0562e1baad6e");
}

TEST_CASE("proto: every drawn value survives its round trip") {
  for (const auto& kind : all_kinds())
    rc::prop(kind.name, [&](uint64_t seed) { RC_ASSERT(kind.round_trip(seed)); });
}

TEST_CASE("proto: a truncated message is refused, or lacks what was cut") {
  for (const auto& kind : all_kinds()) {
    INFO(kind.name);
    const Bytes whole = kind.example(golden_seed);
    size_t refused = 0;
    for (size_t size = 0; size < whole.size(); size += 1 + size / 64) {
      const auto again = kind.again(BytesView(whole).first(size));
      refused += !again;
      if (again && size > 0) CHECK(*again != whole);
    }
    if (whole.size() > 16) CHECK(refused > 0);
  }
}

TEST_CASE("proto: damaged bytes are refused or read as one stable value") {
  for (const auto& kind : all_kinds())
    rc::prop(kind.name, [&](uint64_t seed) {
      Draw random(seed);
      Bytes bytes = kind.example(random.number());
      for (size_t n = 1 + random.below(4); n > 0 && !bytes.empty(); --n) {
        const size_t at = random.below(bytes.size());
        switch (random.below(4)) {
          case 0: bytes[at] = static_cast<uint8_t>(random.number()); break;
          case 1: bytes[at] ^= static_cast<uint8_t>(1u << random.below(8)); break;
          case 2: bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(at)); break;
          default: bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(at), static_cast<uint8_t>(random.number()));
        }
      }
      if (const auto once = kind.again(bytes)) {
        const auto twice = kind.again(*once);
        RC_ASSERT(twice.has_value());
        RC_ASSERT(*twice == *once);
      }
    });
}

TEST_CASE("proto: random bytes never crash a decoder") {
  for (const auto& kind : all_kinds())
    rc::prop(kind.name, [&](const std::vector<uint8_t>& bytes) { (void)kind.again(bytes); });
}

TEST_CASE("proto: dates") {
  CHECK(to_text(Date{2026, 8, 5}) == "2026-08-05");
  CHECK(to_text(Date{}) == "");
  CHECK(parse_date("2026-08-05") == Date{2026, 8, 5});
  CHECK(parse_date("2015/09/30") == Date{2015, 9, 30});
  CHECK(parse_date("2024-02-29") == Date{2024, 2, 29});
  CHECK(parse_date("2000-02-29") == Date{2000, 2, 29});
  for (const char* bad : {"", "2026-8-5", "2026-08/05", "2026-02-29", "1900-02-29", "2026-00-10", "2026-13-01",
                          "2026-04-31", "0000-01-01", "2026-01-00", " 026-01-01", "2026-+1-01", "2026-01-011"}) {
    INFO(bad);
    CHECK_FALSE(parse_date(bad));
  }
  rc::prop("text and back", [](uint64_t seed) {
    Draw random(seed);
    const auto date = draw<Date>(random);
    if (!date.empty()) RC_ASSERT(parse_date(to_text(date)) == date);
  });
}

TEST_CASE("proto: names of enumerations") {
  for (const auto branch : {Branch::party, Branch::government, Branch::front, Branch::assembly, Branch::court,
                            Branch::procuracy})
    CHECK(parse_branch(to_text(branch)) == branch);
  for (const auto level : {Level::central, Level::province, Level::commune, Level::unit})
    CHECK(parse_level(to_text(level)) == level);
  CHECK(to_text(AgencyStatus::active) == "active");
  CHECK(to_text(AgencyStatus::suspended) == "suspended");
  CHECK(to_text(AgencyStatus::closed) == "closed");
  CHECK_FALSE(parse_branch("army"));
  CHECK_FALSE(parse_level(""));
  CHECK(to_text(Branch{}) == "unknown");
}

TEST_CASE("proto: UTF-8 as RFC 3629") {
  for (const char* good : {"", "a", "Ủy ban nhân dân", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(is_utf8(good));
    CHECK(to_utf8(good) == good);
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xffz"}) {
    CHECK_FALSE(is_utf8(bad));
    CHECK(is_utf8(to_utf8(bad)));
  }
  CHECK(to_utf8("a\xffz\xe1\x80") == "a\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("proto: text that is not UTF-8 is repaired when written, refused in a receipt") {
  auto decoded = decode_frame(encode_frame({1, Refused{1, 0, "x\xff"}}), Endpoint::control);
  REQUIRE(decoded);
  CHECK(std::get<Refused>(decoded->body).detail == "x\xef\xbf\xbd");
  auto reason = [](std::string text) {
    ReceiptText out;
    out.reason = std::move(text);
    return encode_receipt_text(out);
  };
  CHECK(reason("\xff").error().code == ErrorCode::bad_format);
  CHECK(reason(std::string(limits::receipt_text_bytes_max, 'x')).error().code == ErrorCode::too_large);
  CHECK(reason(std::string(limits::receipt_text_bytes_max - 9, 'x')));
  CHECK_FALSE(reason(std::string(limits::receipt_text_bytes_max - 8, 'x')));
}

TEST_CASE("proto: the text of a receipt is lines that anyone can read") {
  const ReceiptText said{"15", {2026, 11, 20}, "Trần Thị Bình", "Văn phòng", "sai\nnơi nhận"};
  const auto bytes = encode_receipt_text(said);
  REQUIRE(bytes);
  CHECK(tram::to_text(BytesView(*bytes)) == "number: 15\ndate: 2026-11-20\nperson: Trần Thị Bình\nunit: Văn phòng\nreason: sai nơi nhận\n");
  const auto read = decode_receipt_text(*bytes);
  REQUIRE(read);
  CHECK((read->register_number == "15" && read->register_date == said.register_date && read->person == said.person &&
         read->unit == said.unit && read->reason == "sai nơi nhận"));
  CHECK(encode_receipt_text({})->empty());
  CHECK(decode_receipt_text(view("later: x\n")));
  for (const char* bad : {"number: 1", "number\n", "date: 2026-13-01\n", "reason: \xff\n"}) CHECK_FALSE(decode_receipt_text(view(bad)));
}

}  // namespace
}  // namespace tram::proto::test
