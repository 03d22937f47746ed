#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "node/metadata_rules.h"

using namespace tram;
using namespace tram::node;
using proto::Branch;

namespace {

const Time today{1795000000000};  // 2026-11-18 at UTC+7

proto::Metadata letter() {
  proto::Metadata m;
  m.number = "15";
  m.symbol = "UBND-VX";
  m.type_name = "Công văn";
  m.subject = "Về việc kiểm tra";
  m.organ_name = "Ủy ban nhân dân xã Định Mỹ";
  m.issued = {2026, 11, 18};
  m.files = {{"a.pdf", "application/pdf", 10, {}}};
  return m;
}

ErrorCode code_of(const Result<void>& result) { return result ? ErrorCode{0} : result.error().code; }
ErrorCode number_code(const char* number, const char* symbol, Branch branch, bool letter = false) {
  return code_of(check_number(number, symbol, branch, letter));
}

void expect(const proto::Metadata& m, ErrorCode code, const std::string& detail) {
  const auto result = check_metadata(m, Branch::government, today);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == code);
  CHECK_THAT(result.error().detail, Catch::Contains(detail));
}

}  // namespace

TEST_CASE("numbers and symbols in the forms of the state and of the Party") {
  for (const auto& [number, symbol] : std::vector<std::pair<const char*, const char*>>{{"15", "QĐ-BNV"},
                                                                                       {"05", "BNV-VP"},
                                                                                       {"12", "UBND-VX"},
                                                                                       {"28", "2018/QĐ-TTg"},
                                                                                       {"125", "UBND-KSTT"},
                                                                                       {"99999999999", "NQ-HĐND"},
                                                                                       {"7816", "VPCP-TTĐT"}}) {
    INFO(number << "/" << symbol);
    CHECK(number_code(number, symbol, Branch::government) == ErrorCode{0});
    CHECK(number_code(number, symbol, Branch::court) == ErrorCode{0});
    CHECK(number_code(number, symbol, Branch::party) == ErrorCode::bad_number_format);
  }
  for (const auto& [number, symbol] : std::vector<std::pair<const char*, const char*>>{
           {"12", "CV/ĐU"}, {"337", "QĐ/TW"}, {"02", "KH/BCĐTW"}, {"05", "NQ/ĐU"}, {"367", "QĐ/TWĐTN-VP"}}) {
    INFO(number << "-" << symbol);
    CHECK(number_code(number, symbol, Branch::party) == ErrorCode{0});
    CHECK(number_code(number, symbol, Branch::front) == ErrorCode{0});
    CHECK(number_code(number, symbol, Branch::government) == ErrorCode::bad_number_format);
  }
  CHECK(number_code("15", "QĐ-MTTQ", Branch::front) == ErrorCode{0});
  CHECK(number_code("15", "UBND", Branch::government, true) == ErrorCode{0});
  CHECK(number_code("15", "UBND", Branch::government) == ErrorCode::bad_number_format);
  for (const char* number : {"", "5", "0", "00", "005", "012", "1a", "-1", "15/QĐ", "123456789012", "１５"})
    CHECK(number_code(number, "QĐ-BNV", Branch::government) == ErrorCode::bad_number_format);
  for (const char* symbol : {"", "-", "QĐ-", "-BNV", "QĐ--BNV", "QĐ BNV", "QĐ/BNV/X", "QĐ-BNV\n", "1850/QĐ-TTg",
                             "QĐ-BNV-AAAAAAAAAAAAAAAAAAAAAAAAAAA", "QĐ\xff-BNV"})
    CHECK(number_code("15", symbol, Branch::government) == ErrorCode::bad_number_format);
}

TEST_CASE("number and symbol are written as the document has them") {
  auto m = letter();
  CHECK(number_and_symbol(m) == "15/UBND-VX");
  m.symbol = "CV/ĐU";
  CHECK(number_and_symbol(m) == "15-CV/ĐU");
  m.symbol = "2018/QĐ-TTg";
  CHECK(number_and_symbol(m) == "15/2018/QĐ-TTg");
}

TEST_CASE("a good letter passes; each rule refuses with its field") {
  REQUIRE(check_metadata(letter(), Branch::government, today));
  const auto with = [](auto&& change) {
    auto m = letter();
    change(m);
    return m;
  };
  expect(with([](auto& m) { m.subject = "  "; }), ErrorCode::bad_metadata, "subject");
  expect(with([](auto& m) { m.subject = "a\x07"; }), ErrorCode::bad_metadata, "subject");
  expect(with([](auto& m) { m.subject = "a\xc0\xaf"; }), ErrorCode::bad_metadata, "subject");
  expect(with([](auto& m) { m.subject = "fdp.\u202Etxt"; }), ErrorCode::bad_metadata, "subject");
  expect(with([](auto& m) { m.type_name.clear(); }), ErrorCode::bad_metadata, "type_name");
  expect(with([](auto& m) { m.signer_name = std::string(51, 'a'); }), ErrorCode::bad_metadata, "signer.name");
  expect(with([](auto& m) { m.issued = {2026, 2, 30}; }), ErrorCode::bad_metadata, "issued");
  expect(with([](auto& m) { m.issued = {1900, 1, 1}; }), ErrorCode::bad_metadata, "issued");
  expect(with([](auto& m) { m.issued = {2026, 11, 21}; }), ErrorCode::bad_metadata, "issued");
  expect(with([](auto& m) { m.due = {2026, 11, 1}; }), ErrorCode::bad_metadata, "due");
  expect(with([](auto& m) { m.due = {2199, 11, 1}; }), ErrorCode::bad_metadata, "due");
  expect(with([](auto& m) { m.priority = static_cast<proto::Priority>(9); }), ErrorCode::bad_metadata, "priority");
  expect(with([](auto& m) { m.priority = proto::Priority::express_timed; }), ErrorCode::bad_metadata,
         "priority_deadline");
  expect(with([](auto& m) { m.priority_deadline = "2026-11-19 08:00"; }), ErrorCode::bad_metadata, "priority_deadline");
  expect(with([](auto& m) { m.classification = proto::Classification::confidential; }), ErrorCode::forbidden,
         "classification");
  expect(with([](auto& m) { m.pages = 1000; }), ErrorCode::bad_metadata, "pages");
  expect(with([](auto& m) { m.steering = 4; }), ErrorCode::bad_metadata, "steering");
  expect(with([](auto& m) { m.to_places.assign(3, std::string(400, 'x')); }), ErrorCode::bad_metadata, "to_places");
  expect(with([](auto& m) { m.files.push_back(m.files[0]); }), ErrorCode::bad_metadata, "files");
  expect(with([](auto& m) { m.files.assign(65, m.files[0]); }), ErrorCode::too_large, "files");
  expect(with([](auto& m) { m.files[0].bytes = 3ull << 30; }), ErrorCode::too_large, "files");
  expect(with([](auto& m) { m.relation.kind = proto::RelationKind::reply; }), ErrorCode::bad_metadata, "relation");
  expect(with([](auto& m) { m.reply_to.push_back({"G22", "", {}, ""}); }), ErrorCode::bad_metadata, "reply_to");
  auto timed = letter();
  timed.priority = proto::Priority::express_timed;
  for (const char* good : {"2026-11-19 08:00", "2026-12-31 23:59"}) {
    timed.priority_deadline = good;
    CHECK(check_metadata(timed, Branch::government, today));
  }
  for (const char* wrong : {"2026-11-19", "2026-11-19T08:00", "2026-13-19 08:00", "2026-11-19 24:00",
                            "2026-11-19 08:60", "2026/11/19 08:00"}) {
    timed.priority_deadline = wrong;
    CHECK_FALSE(check_metadata(timed, Branch::government, today));
  }
}

TEST_CASE("lengths count characters, not bytes") {
  auto m = letter();
  m.subject.clear();
  for (int i = 0; i < 500; ++i) m.subject += "ệ";
  CHECK(check_metadata(m, Branch::government, today));
  m.subject += "ệ";
  CHECK_FALSE(check_metadata(m, Branch::government, today));
}

TEST_CASE("file names and types") {
  for (const char* good : {"a.pdf", "Công văn số 15.pdf", "x-y_z (1).docx"}) CHECK(check_file_name(good));
  for (const char* wrong : {"", "/a.pdf", "..", "../a.pdf", "a\\b.pdf", ".a.pdf", "a.pdf ", "a.pdf.", "a\nb.pdf",
                            "a:b.pdf", "a*.pdf", "a\x80.pdf"})
    CHECK_FALSE(check_file_name(wrong));
  CHECK_FALSE(check_file_name(std::string(256, 'a')));

  const auto type = [](const char* name, std::string_view head) {
    const auto result = check_file(name, view(head), head.size());
    return result ? std::string(*result) : std::string();
  };
  CHECK(type("a.PDF", "%PDF-1.7") == "application/pdf");
  CHECK(type("a.pdf", "junk %PDF-1.7") == "application/pdf");
  CHECK(type("a.pdf", "MZ").empty());
  CHECK(type("a.docx", "PK\x03\x04rest") == "application/vnd.openxmlformats-officedocument.wordprocessingml.document");
  CHECK(type("a.docx", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1").empty());
  CHECK(type("a.doc", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") == "application/msword");
  CHECK(type("a.png", "\x89PNG\r\n\x1a\n") == "image/png");
  CHECK(type("a.jpeg", "\xff\xd8\xff\xe0") == "image/jpeg");
  CHECK(type("a.tif", std::string_view("II*\0", 4)) == "image/tiff");
  CHECK(type("a.txt", "chào") == "text/plain");
  CHECK(type("a.txt", std::string_view("MZ\0", 3)).empty());
  CHECK(type("a.p7s", "anything") == "application/pkcs7-signature");
  CHECK(type("a.pdf", "").empty());
  for (const char* wrong : {"a.exe", "a.js", "a.html", "a.pdf.exe", "pdf", "a.", "a.\xff"})
    CHECK(type(wrong, "%PDF-1.7").empty());
}

TEST_CASE("the calendar at UTC+7") {
  CHECK(local_time_text(Time{1787625000123}) == "2026-08-25T09:30:00.123+07:00");
  CHECK(local_time_text(Time{}).empty());
  CHECK(proto::to_text(local_date(Time{1767200399999})) == "2025-12-31");
  CHECK(proto::to_text(local_date(Time{1767200400000})) == "2026-01-01");
  CHECK(is_working_day({2026, 11, 20}));
  CHECK_FALSE(is_working_day({2026, 11, 21}));
  CHECK_FALSE(is_working_day({2026, 11, 22}));
  // Friday afternoon: until the end of Monday. An urgent one: at once.
  const Time friday{1795165200000};
  REQUIRE(proto::to_text(local_date(friday)) == "2026-11-20");
  CHECK(local_time_text(register_by(friday, proto::Priority::normal)) == "2026-11-24T00:00:00.000+07:00");
  CHECK(register_by(friday, proto::Priority::express) == friday);
}

TEST_CASE("dates follow one another") {
  rc::prop("a day later is the next date, and weeks have five working days", [](uint32_t seed) {
    const Time at{static_cast<int64_t>(seed) * 86400000 % 4000000000000};
    const auto today_date = local_date(at), tomorrow = local_date(at + days(1));
    RC_ASSERT(today_date < tomorrow);
    RC_ASSERT(proto::parse_date(proto::to_text(today_date)) == today_date);
    int working = 0;
    for (int i = 0; i < 7; ++i) working += is_working_day(local_date(at + days(i)));
    RC_ASSERT(working == 5);
    const Time until = register_by(at, proto::Priority::normal);
    RC_ASSERT(at < until && until <= at + days(4));
    RC_ASSERT(is_working_day(local_date(until - milliseconds(1))));
  });
}

TEST_CASE("checks survive any bytes") {
  rc::prop("no text is both refused for nothing and accepted with control characters", [](const std::string& text) {
    auto m = letter();
    m.subject = "x" + text;
    const auto result = check_metadata(m, Branch::government, today);
    const bool control =
        std::any_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
    if (control) RC_ASSERT(!result);
    (void)check_file_name(text);
    (void)check_file(text, view(text), text.size());
    (void)check_number(text, text, Branch::party, false);
    m.symbol = text;
    (void)number_and_symbol(m);
  });
  rc::prop("any number from 10 with any well-formed symbol is accepted", [] {
    const auto number = std::to_string(*rc::gen::inRange<uint32_t>(10, 4000000000u));
    // At most 30 characters together with "-VP".
    const auto parts = *rc::gen::container<std::vector<std::string>>(
        *rc::gen::inRange<size_t>(1, 6), rc::gen::element<std::string>("QĐ", "UBND", "TTr", "BCĐ", "KSTT"));
    std::string symbol = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) symbol += "-" + parts[i];
    RC_ASSERT(static_cast<bool>(check_number(number, symbol + "-VP", Branch::government, false)));
    RC_ASSERT(static_cast<bool>(check_number(number, "CV/" + symbol, Branch::party, false)));
  });
}
