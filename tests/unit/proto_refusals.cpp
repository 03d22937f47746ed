// What the decoders must refuse, and how little memory a hostile message may cost.
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <new>
#include <set>
#include <sstream>

#include "proto_values.h"

#if defined(__GNUC__) && !defined(__clang__)
// The counting operator new below is paired with its delete; g++ 12 sees only one of them when it inlines.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace {

std::atomic<bool> counting{false};
std::atomic<size_t> allocated_bytes{0};

void* allocate(size_t size, size_t alignment) {
  if (counting) allocated_bytes += size;
  const size_t rounded = alignment == 0 ? size : (size + alignment - 1) / alignment * alignment;
  void* memory = alignment == 0 ? std::malloc(size == 0 ? 1 : size) : std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return allocate(size, 0); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return std::malloc(size == 0 ? 1 : size); }
void* operator new(size_t size, std::align_val_t alignment) { return allocate(size, static_cast<size_t>(alignment)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace tram::proto::test {
namespace {

constexpr size_t mebibyte = 1u << 20;

const Kind& kind(std::string_view name) {
  for (const auto& one : all_kinds())
    if (one.name == name) return one;
  FAIL("no kind " << name);
  throw std::logic_error("unreachable");
}

struct Cost {
  std::optional<Error> error;
  size_t bytes = 0;
};
Cost cost(const Kind& of, BytesView bytes) {
  allocated_bytes = 0;
  counting = true;
  Cost out;
  out.error = of.refusal(bytes);
  counting = false;
  out.bytes = allocated_bytes;
  return out;
}

std::optional<ErrorCode> code(const std::optional<Error>& error) {
  return error ? std::optional(error->code) : std::nullopt;
}
std::optional<ErrorCode> control(const Raw& frame) {
  auto decoded = decode_frame(frame, Endpoint::control);
  return decoded ? std::nullopt : std::optional(decoded.error().code);
}
Raw repeat(size_t count, uint32_t field, BytesView value) {
  Raw out;
  for (size_t i = 0; i < count; ++i) out.bytes(field, value);
  return out;
}

const Bytes id16(16, 1), id32(32, 2), id64(64, 3);

// ---- sizes and endpoints ------------------------------------------------------------------------------------

TEST_CASE("proto: a frame over its endpoint's limit is refused unread") {
  const Bytes big(limits::bulk_frame_bytes_max + 1, 0xff);
  for (const auto endpoint : {Endpoint::control, Endpoint::bulk}) {
    const size_t max = endpoint == Endpoint::control ? limits::control_frame_bytes_max : limits::bulk_frame_bytes_max;
    auto over = decode_frame(BytesView(big).first(max + 1), endpoint);
    REQUIRE_FALSE(over);
    CHECK(over.error().code == ErrorCode::too_large);
    auto within = decode_frame(BytesView(big).first(max), endpoint);
    REQUIRE_FALSE(within);
    CHECK(within.error().code == ErrorCode::bad_format);
  }
  CHECK(code(kind("metadata/metadata").refusal(Bytes(limits::metadata_message_bytes_max + 1))) == ErrorCode::too_large);
  CHECK(code(kind("entry/entry").refusal(Bytes(limits::directory_entry_bytes_max + 1))) == ErrorCode::too_large);
  CHECK(code(kind("entry_payload/root").refusal(Bytes(limits::directory_entry_bytes_max + 1))) == ErrorCode::too_large);
  CHECK(code(kind("kx_feed/kx_feed").refusal(Bytes(limits::kx_feed_bytes_max + 1))) == ErrorCode::too_large);
  CHECK(code(kind("enrol_request/enrol_request").refusal(Bytes(limits::enrol_request_bytes_max + 1))) ==
        ErrorCode::too_large);
  CHECK(code(kind("approval/approval").refusal(Bytes(limits::approval_bytes_max + 1))) == ErrorCode::too_large);
}

TEST_CASE("proto: a frame is legal on its endpoint only") {
  const std::set<std::string> both{"hello", "hello_reply", "refused", "ping", "done"};
  const std::set<std::string> bulk{"offer",        "offer_reply",   "chunk_put", "chunk_done",
                                   "manifest_get", "manifest_data", "chunk_get", "chunk_data"};
  size_t seen = 0;
  for (const auto& one : all_kinds()) {
    if (!one.name.starts_with("frame/")) continue;
    const auto name = one.name.substr(6);
    INFO(name);
    const Bytes bytes = one.example(5);
    CHECK(decode_frame(bytes, Endpoint::control).has_value() == !bulk.contains(name));
    CHECK(decode_frame(bytes, Endpoint::bulk).has_value() == (both.contains(name) || bulk.contains(name)));
    ++seen;
  }
  CHECK(seen == std::variant_size_v<FrameBody>);
}

TEST_CASE("proto: the largest legal frames are legal") {
  Put put;
  put.header = Bytes(limits::header_bytes_max, 1);
  put.manifest = Bytes(48, 2);
  put.inline_chunk = Bytes(limits::inline_body_bytes_max + limits::chunk_overhead_bytes, 3);
  put.items.resize(40, {Bytes(400, 4), Bytes(1024, 5)});
  CHECK(decode_frame(encode_frame({1, put}), Endpoint::control));
  Put more;
  more.items.resize(limits::envelopes_per_put_max, {Bytes(400, 4), Bytes(1024, 5)});
  CHECK(decode_frame(encode_frame({1, more}), Endpoint::control));
  more.items.push_back(more.items.front());
  CHECK(decode_frame(encode_frame({1, more}), Endpoint::control).error().code == ErrorCode::too_large);
  const Offer offer{Bytes(limits::header_bytes_max, 1), Bytes(limits::manifest_bytes_max, 2)};
  CHECK(decode_frame(encode_frame({1, offer}), Endpoint::bulk));
  Reconcile page;
  page.env_ids.resize(limits::reconcile_ids_per_page_max);
  CHECK(decode_frame(encode_frame({1, page}), Endpoint::control));
  page.env_ids.emplace_back();
  CHECK(decode_frame(encode_frame({1, page}), Endpoint::control).error().code == ErrorCode::too_large);
  Announce announce;
  announce.items.resize(limits::unacked_per_recipient_lane_max, {Bytes(400, 4), UINT64_MAX, {}});
  CHECK(decode_frame(encode_frame({1, announce}), Endpoint::control));
  MailPost mail;
  mail.items.resize(64, {{}, Bytes(limits::cell_bytes, 6)});
  CHECK(decode_frame(encode_frame({1, mail}), Endpoint::control));
  mail.items.push_back(mail.items.front());
  CHECK(decode_frame(encode_frame({1, mail}), Endpoint::control).error().code == ErrorCode::too_large);
  KxFeeds feeds;
  feeds.feeds.resize(63, Bytes(limits::kx_feed_bytes_max, 7));
  CHECK(decode_frame(encode_frame({1, feeds}), Endpoint::control));
  CheckpointPut checkpoint{Bytes(limits::checkpoint_note_bytes_max, 8), UINT64_MAX, {}, UINT64_MAX, {}, {}};
  checkpoint.proof.resize(64);
  checkpoint.leaves_proof.resize(64);
  checkpoint.leaves.resize(limits::leaves_per_page_max);
  CHECK(decode_frame(encode_frame({1, checkpoint}), Endpoint::control));
  checkpoint.leaves.emplace_back();
  CHECK(decode_frame(encode_frame({1, checkpoint}), Endpoint::control).error().code == ErrorCode::too_large);
}

// ---- counts ---------------------------------------------------------------------------------------------------

TEST_CASE("proto: too many elements") {
  auto in_frame = [](uint32_t body, const Raw& message) { return control(Raw().bytes(body, message)); };
  CHECK(in_frame(20, Raw().bytes(4, id32).raw(repeat(65, 5, {}))) == ErrorCode::too_large);
  CHECK(in_frame(21, repeat(65, 1, {})) == ErrorCode::too_large);
  CHECK(in_frame(40, repeat(257, 1, {})) == ErrorCode::too_large);
  CHECK(in_frame(41, repeat(257, 1, id32)) == ErrorCode::too_large);
  CHECK(in_frame(41, repeat(256, 1, id32)) == std::nullopt);
  CHECK(in_frame(47, repeat(65, 1, {})) == ErrorCode::too_large);
  CHECK(in_frame(48, repeat(257, 1, id32)) == ErrorCode::too_large);
  CHECK(in_frame(61, repeat(257, 1, id32)) == ErrorCode::too_large);
  CHECK(in_frame(63, repeat(257, 1, id32)) == ErrorCode::too_large);
  CHECK(in_frame(71, repeat(257, 3, id32)) == ErrorCode::too_large);
  CHECK(in_frame(70, repeat(16, 2, id32)) == std::nullopt);
  CHECK(in_frame(70, repeat(17, 2, id32)) == ErrorCode::too_large);
  CHECK(in_frame(70, Raw().bytes(2, Bytes(8193, 1))) == ErrorCode::too_large);
  CHECK(in_frame(71, repeat(17, 4, id32)) == ErrorCode::too_large);
  CHECK(in_frame(74, repeat(65, 1, id16)) == ErrorCode::too_large);
  CHECK(in_frame(75, repeat(65, 1, id16)) == ErrorCode::too_large);
  const Raw put = Raw().bytes(1, id16);
  CHECK(in_frame(80, put) == std::nullopt);
  CHECK(in_frame(80, Raw()) == ErrorCode::bad_format);
  CHECK(in_frame(80, Raw(put).raw(repeat(65, 3, id32))) == ErrorCode::too_large);
  CHECK(in_frame(80, Raw(put).raw(repeat(65, 6, id32))) == ErrorCode::too_large);
  CHECK(in_frame(80, Raw(put).bytes(5, Bytes(33, 1))) == ErrorCode::bad_format);
  CHECK(in_frame(81, Raw().bytes(1, Bytes(641, 1))) == ErrorCode::too_large);
  CHECK(in_frame(82, Raw()) == ErrorCode::bad_format);
  CHECK(in_frame(85, Raw().bytes(1, id16).bytes(4, Bytes(31, 1))) == ErrorCode::bad_format);
  CHECK(in_frame(86, Raw()) == std::nullopt);
  CHECK(in_frame(87, repeat(65, 1, id16)) == ErrorCode::too_large);
  CHECK(in_frame(88, Raw()) == ErrorCode::bad_format);

  auto done = [](const Raw& indexes) {
    auto decoded = decode_frame(Raw().bytes(25, Raw().bytes(1, id32).raw(indexes)), Endpoint::bulk);
    return decoded ? std::nullopt : std::optional(decoded.error().code);
  };
  CHECK(done(Raw().bytes(2, Bytes(256, 1))) == std::nullopt);
  CHECK(done(Raw().bytes(2, Bytes(257, 1))) == ErrorCode::too_large);
  CHECK(done(Raw().bytes(2, Bytes(200, 1)).bytes(2, Bytes(57, 1))) == ErrorCode::too_large);
  Raw unpacked;
  for (int i = 0; i < 257; ++i) unpacked.number(2, 1);
  CHECK(done(unpacked) == ErrorCode::too_large);
  CHECK(done(Raw().number(2, 5)) == std::nullopt);
  CHECK(done(Raw().bytes(2, Bytes(3, 0x80))) == ErrorCode::bad_format);

  auto payload = [](const Raw& changes) { return code(kind("entry_payload/policy").refusal(changes)); };
  const Raw policy = Raw().bytes(18, BytesView{});
  CHECK(payload(repeat(128, 6, policy)) == std::nullopt);
  CHECK(payload(repeat(129, 6, policy)) == ErrorCode::too_large);
  CHECK(payload(Raw()) == ErrorCode::bad_format);

  CHECK(code(kind("metadata/metadata").refusal(repeat(65, 30, Raw().bytes(4, id32)))) == ErrorCode::too_large);
  CHECK(code(kind("kx_feed_payload/kx_feed_payload").refusal(repeat(17, 4, {}))) == ErrorCode::too_large);
  CHECK(code(kind("entry/entry").refusal(
            Raw().bytes(1, id16).raw(repeat(33, 2, Raw().bytes(1, id16).bytes(2, id64))))) == ErrorCode::too_large);
}

TEST_CASE("proto: a singular field stands once, and a frame has one body") {
  CHECK(control(Raw().number(1, 1).number(1, 2).bytes(13, BytesView{})) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(13, BytesView{}).bytes(14, BytesView{})) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(13, BytesView{}).bytes(13, BytesView{})) == ErrorCode::bad_format);
  CHECK(control(Raw().number(1, 1)) == ErrorCode::bad_format);
  CHECK(control(Raw()) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(999, BytesView{})) == ErrorCode::bad_format);
}

// ---- lengths, text, numbers, enumerations -----------------------------------------------------------------------

TEST_CASE("proto: ids have their exact length") {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{31}, size_t{33}, size_t{64}}) {
    INFO(size);
    const Bytes wrong(size, 1);
    CHECK(control(Raw().bytes(41, Raw().bytes(1, wrong))) == ErrorCode::bad_format);
    CHECK(control(Raw().bytes(20, Raw().bytes(4, wrong).bytes(5, Raw().bytes(1, Bytes(400)).bytes(2, Bytes(1024))))) ==
          ErrorCode::bad_format);
    CHECK(control(Raw().bytes(74, Raw().bytes(1, wrong))) == ErrorCode::bad_format);
    CHECK(code(kind("kx_feed_payload/kx_feed_payload").refusal(Raw().bytes(1, wrong).bytes(2, id16))) ==
          ErrorCode::bad_format);
    CHECK(code(kind("entry/entry").refusal(
              Raw().bytes(1, id16).bytes(2, Raw().bytes(1, id16).bytes(2, Bytes(size == 64 ? 63 : size))))) ==
          ErrorCode::bad_format);
  }
  CHECK(control(Raw().bytes(20, Raw().bytes(5, Raw().bytes(1, Bytes(400)).bytes(2, Bytes(1024))))) ==
        ErrorCode::bad_format);
  const Raw right = Raw().bytes(1, Bytes(400)).bytes(2, Bytes(1024));
  CHECK(control(Raw().bytes(20, Raw().bytes(4, id32).bytes(5, right))) == std::nullopt);
  for (const Raw& item : {Raw().bytes(1, Bytes(399)).bytes(2, Bytes(1024)), Raw().bytes(1, Bytes(400)),
                          Raw().bytes(2, Bytes(1024)), Raw().bytes(1, Bytes(400)).bytes(2, Bytes(1025))})
    CHECK(control(Raw().bytes(20, Raw().bytes(4, id32).bytes(5, item))) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(47, Raw().bytes(1, Raw().bytes(1, id32).bytes(2, Bytes(1535))))) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(60, Raw().bytes(1, Raw().bytes(1, id16)))) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(60, Raw().bytes(1, Raw().bytes(1, id16).bytes(2, Bytes(1537))))) == ErrorCode::too_large);
}

TEST_CASE("proto: text is UTF-8 and within its length") {
  CHECK(control(Raw().bytes(10, Raw().bytes(4, "tr\xc3"))) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(10, Raw().bytes(4, std::string(64, 'x')))) == std::nullopt);
  CHECK(control(Raw().bytes(10, Raw().bytes(4, std::string(65, 'x')))) == ErrorCode::too_large);
  CHECK(control(Raw().bytes(12, Raw().bytes(3, std::string(201, 'x')))) == ErrorCode::too_large);
  const Raw whole = Raw().number(13, 1).number(15, 1);
  auto metadata = [&](const Raw& more) { return code(kind("metadata/metadata").refusal(Raw().raw(whole).raw(more))); };
  CHECK(metadata(Raw()) == std::nullopt);
  CHECK(metadata(Raw().bytes(5, "\xed\xa0\x80")) == ErrorCode::bad_format);
  CHECK(metadata(Raw().bytes(24, "\xff")) == ErrorCode::bad_format);
  CHECK(metadata(Raw().bytes(30, Raw().bytes(1, std::string(256, 'x')).bytes(4, id32))) == ErrorCode::too_large);
  CHECK(metadata(Raw().bytes(30, Raw().bytes(1, "a.pdf"))) == ErrorCode::bad_format);
  CHECK(code(kind("entry_payload/status").refusal(
            Raw().bytes(6, Raw().bytes(14, Raw().bytes(1, id16).number(2, 1).bytes(4, "\xfe"))))) ==
        ErrorCode::bad_format);
}

TEST_CASE("proto: numbers are in range") {
  CHECK(control(Raw().bytes(12, Raw().number(1, 65535))) == std::nullopt);
  CHECK(control(Raw().bytes(12, Raw().number(1, 65536))) == ErrorCode::bad_format);
  const Raw reply = Raw().bytes(2, id16).bytes(3, id16).bytes(5, id32);
  CHECK(control(Raw().bytes(11, Raw().raw(reply).number(6, INT64_MAX))) == std::nullopt);
  CHECK(control(Raw().bytes(11, Raw().raw(reply).number(6, uint64_t{1} << 63))) == ErrorCode::bad_format);
  auto bulk = [](const Raw& frame) { return decode_frame(frame, Endpoint::bulk).has_value(); };
  CHECK(bulk(Raw().bytes(24, Raw().bytes(1, id32).number(2, limits::chunks_per_body_max - 1))));
  CHECK_FALSE(bulk(Raw().bytes(24, Raw().bytes(1, id32).number(2, limits::chunks_per_body_max))));
  CHECK_FALSE(bulk(Raw().bytes(25, Raw().bytes(1, id32).number(2, limits::chunks_per_body_max))));
  CHECK(bulk(Raw().bytes(45, Raw().bytes(1, id32).number(3, limits::chunk_credit))));
  CHECK_FALSE(bulk(Raw().bytes(45, Raw().bytes(1, id32).number(3, limits::chunk_credit + 1))));
  const Bytes endless(11, 0xff);
  CHECK(control(Raw().tag(1, 0).raw(endless).bytes(13, BytesView{})) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(13, BytesView{}).tag(0, 0).varint(1)) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(13, BytesView{}).tag(5, 3).tag(5, 4)) == ErrorCode::bad_format);
  CHECK(control(Raw().bytes(13, BytesView{}).tag(5, 7)) == ErrorCode::bad_format);
  const Raw whole = Raw().number(13, 1).number(15, 1);
  auto metadata = [&](const Raw& more) { return code(kind("metadata/metadata").refusal(Raw().raw(whole).raw(more))); };
  CHECK(metadata(Raw().number(7, 20240229)) == std::nullopt);
  for (const uint32_t date : {20230229u, 20240001u, 20241301u, 1u, 4294967295u, 20240100u})
    CHECK(metadata(Raw().number(7, date)) == ErrorCode::bad_format);
  CHECK(metadata(Raw().number(22, 3)) == std::nullopt);
  CHECK(metadata(Raw().number(22, 4)) == ErrorCode::bad_format);
}

TEST_CASE("proto: unknown and unspecified enumeration values are refused") {
  auto metadata = [](uint64_t priority, uint64_t classification, const Raw& more = Raw()) {
    return code(kind("metadata/metadata").refusal(Raw().number(13, priority).number(15, classification).raw(more)));
  };
  CHECK(metadata(1, 1) == std::nullopt);
  CHECK(metadata(5, 4) == std::nullopt);
  for (const uint64_t bad : {uint64_t{0}, uint64_t{6}, UINT64_MAX, uint64_t{1} << 32}) {
    CHECK(metadata(bad, 1) == ErrorCode::bad_format);
    CHECK(metadata(1, bad == 6 ? 5 : bad) == ErrorCode::bad_format);
    CHECK(metadata(1, 1, Raw().bytes(26, Raw().number(1, bad))) == ErrorCode::bad_format);
    CHECK(metadata(1, 1, Raw().bytes(28, Raw().number(1, bad == 6 ? 4 : bad))) == ErrorCode::bad_format);
  }
  auto status = [](uint64_t value) {
    const Raw change = Raw().bytes(14, Raw().bytes(1, id16).number(2, value));
    return code(kind("entry_payload/status").refusal(Raw().bytes(6, change)));
  };
  CHECK(status(3) == std::nullopt);
  CHECK(status(0) == ErrorCode::bad_format);
  CHECK(status(4) == ErrorCode::bad_format);
  auto agency = [](uint64_t branch, uint64_t level) {
    return code(kind("entry_payload/agency").refusal(Raw().bytes(
        6, Raw().bytes(12, Raw().bytes(1, Raw().bytes(1, id16).number(4, branch).number(5, level))))));
  };
  CHECK(agency(6, 4) == std::nullopt);
  CHECK(agency(7, 4) == ErrorCode::bad_format);
  CHECK(agency(0, 4) == ErrorCode::bad_format);
  CHECK(agency(6, 5) == ErrorCode::bad_format);
}

TEST_CASE("proto: organ codes") {
  auto agency = [](std::string_view organ_code) {
    return code(kind("entry_payload/agency").refusal(
        Raw().bytes(6, Raw().bytes(12, Raw().bytes(1, Raw().bytes(1, id16).number(4, 1).number(5, 1).bytes(
                                                          8, Raw().bytes(1, organ_code)))))));
  };
  CHECK(agency("000.00.00.G22") == std::nullopt);
  CHECK(agency("H37.DN_a-1") == std::nullopt);
  CHECK(agency(std::string(35, 'H')) == std::nullopt);
  CHECK(agency(std::string(36, 'H')) == ErrorCode::too_large);
  for (const char* bad : {"", "H 01", "H01/2", "Đ01"}) CHECK(agency(bad) == ErrorCode::bad_format);
}

// ---- unknown fields ---------------------------------------------------------------------------------------------

TEST_CASE("proto: signed messages refuse unknown fields, others ignore them") {
  for (const auto& one : all_kinds()) {
    INFO(one.name);
    const Bytes bytes = one.example(11);
    const Raw more = Raw().raw(bytes).number(2000, 5).bytes(2001, id16).fixed32(2002);
    if (one.closed) {
      CHECK(code(one.refusal(more)) == ErrorCode::bad_format);
    } else {
      CHECK(one.again(more) == bytes);
    }
  }
}

// ---- the table of limits covers the .proto files ------------------------------------------------------------------

struct ProtoField {
  std::string type;
  uint32_t number = 0;
};
using ProtoFile = std::map<std::string, std::vector<ProtoField>>;

ProtoFile read_proto(const std::string& file) {
  std::ifstream in(std::string(TRAM_SOURCE_DIR) + "/proto/" + file);
  REQUIRE(in);
  ProtoFile out;
  std::string line, message;
  while (std::getline(in, line)) {
    line = line.substr(0, line.find("//"));
    if (const auto at = line.find("repeated "); at != std::string::npos) line.erase(at, 9);
    std::istringstream words(line);
    std::string type, name, equals;
    uint32_t number = 0;
    words >> type >> name >> equals >> number;
    if (type == "message")
      message = name;
    else if (equals == "=" && type != "option")
      out[message].push_back({type, number});
  }
  return out;
}

// Every field of every message, reached from `root` through one message of each kind, with a wire type it cannot have.
size_t check_fields(const ProtoFile& file, const std::string& message, const std::function<Raw(Raw)>& wrap,
                    const Kind& of) {
  size_t checked = 0;
  for (const auto& field : file.at(message)) {
    INFO(message << " field " << field.number);
    const auto error = of.refusal(wrap(Raw().fixed32(field.number)));
    REQUIRE(error);
    CHECK(error->detail.find("of another type") != std::string::npos);
    ++checked;
    if (file.contains(field.type))
      checked += check_fields(file, field.type, [&](Raw inner) { return wrap(Raw().bytes(field.number, inner)); }, of);
  }
  return checked;
}

TEST_CASE("proto: every field of the .proto files stands in the table of limits") {
  auto itself = [](Raw raw) { return raw; };
  CHECK(check_fields(read_proto("wire.proto"), "Frame", itself, kind("frame/ping")) == 156);
  const auto document = read_proto("document.proto");
  CHECK(check_fields(document, "Metadata", itself, kind("metadata/metadata")) == 32 + 4 + 3 + 3 + 4);
  const auto directory = read_proto("directory.proto");
  CHECK(check_fields(directory, "EntryPayload", itself, kind("entry_payload/root")) > 80);
  CHECK(check_fields(directory, "Entry", itself, kind("entry/entry")) == 4);
  CHECK(check_fields(directory, "KxFeedPayload", itself, kind("kx_feed_payload/kx_feed_payload")) == 8);
  CHECK(check_fields(directory, "KxFeed", itself, kind("kx_feed/kx_feed")) == 2);
  CHECK(check_fields(directory, "EnrolRequestPayload", itself,
                     kind("enrol_request_payload/enrol_request_payload")) == 11);
  CHECK(check_fields(directory, "EnrolRequest", itself, kind("enrol_request/enrol_request")) == 2);
  CHECK(check_fields(directory, "Approval", itself, kind("approval/approval")) == 4);
}

// ---- amplification ----------------------------------------------------------------------------------------------

TEST_CASE("proto: two mebibytes of empty submessages cost nothing") {
  const auto& approval = kind("approval/approval");
  const Raw head = Raw().bytes(1, id32).bytes(2, id16).bytes(3, id32);
  const Raw empties = repeat(mebibyte, 4, {});
  REQUIRE(empties.view_of().size() == 2 * mebibyte);
  auto spent = cost(approval, Raw().raw(head).raw(empties));
  CHECK(code(spent.error) == ErrorCode::bad_format);
  CHECK(spent.bytes < 4096);
  spent = cost(approval, Raw().raw(head).raw(repeat(limits::approval_entries_max + 1, 4, Bytes(1))));
  CHECK(code(spent.error) == ErrorCode::too_large);
  CHECK(spent.bytes < 4096);

  for (const uint32_t field : {20u, 21u, 40u, 47u, 60u, 62u, 71u, 72u}) {
    INFO(field);
    const uint32_t inner = field == 20 ? 5 : field == 71 ? 3 : 1;
    spent = cost(kind("frame/put"), Raw().bytes(field, repeat(mebibyte, inner, {})));
    CHECK(code(spent.error) == ErrorCode::too_large);
    CHECK(spent.bytes < 4096);
    spent = cost(kind("frame/put"), Raw().bytes(field, repeat(65000, inner, {})));
    CHECK(spent.error);
    CHECK(spent.bytes < 4096);
  }
}

TEST_CASE("proto: the worst messages the limits let through stay small") {
  const Raw head = Raw().bytes(1, id32).bytes(2, id16).bytes(3, id32);
  auto spent = cost(kind("approval/approval"), Raw().raw(head).raw(repeat(limits::approval_entries_max, 4, Bytes(1))));
  CHECK_FALSE(spent.error);
  CHECK(spent.bytes > mebibyte);
  CHECK(spent.bytes < 16 * mebibyte);

  const Raw addressees = repeat(limits::recipients_per_document_max, 28, Raw().number(1, 1));
  spent = cost(kind("metadata/metadata"), Raw().number(13, 1).number(15, 1).raw(addressees));
  CHECK_FALSE(spent.error);
  CHECK(spent.bytes > mebibyte);
  CHECK(spent.bytes < 8 * mebibyte);

  spent = cost(kind("frame/reconcile"), Raw().bytes(26, repeat(limits::reconcile_ids_per_page_max, 1, id32)));
  CHECK_FALSE(spent.error);
  CHECK(spent.bytes < mebibyte);

  Raw codes;
  for (int i = 0; i < 30; ++i) codes.bytes(8, Raw().bytes(1, "H"));
  const Raw agency = Raw().bytes(1, id16).number(4, 1).number(5, 1).raw(codes);
  spent = cost(kind("entry_payload/agency"), repeat(128, 6, Raw().bytes(12, Raw().bytes(1, agency))));
  CHECK_FALSE(spent.error);
  CHECK(spent.bytes < 8 * mebibyte);
}

}  // namespace
}  // namespace tram::proto::test
