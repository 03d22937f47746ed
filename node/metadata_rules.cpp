#include "node/metadata_rules.h"

#include <algorithm>
#include <set>

#include "base/limits.h"
#include "proto/utf8.h"

namespace tram::node {
namespace {

constexpr size_t number_digits_max = 11;
constexpr size_t symbol_chars_max = 30;
constexpr uint16_t year_min = 1945;
constexpr int due_years_max = 50;

tl::unexpected<Error> bad(std::string_view field, std::string_view why) {
  return fail(ErrorCode::bad_metadata, std::string(field) + ": " + std::string(why));
}

/// The next code point; `at` moves on. Only for valid UTF-8.
uint32_t next_code_point(std::string_view text, size_t& at) {
  const auto lead = static_cast<uint8_t>(text[at++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
  uint32_t value = lead & (0x3fu >> more);
  for (int i = 0; i < more && at < text.size(); ++i) value = value << 6 | (static_cast<uint8_t>(text[at++]) & 0x3fu);
  return value;
}

/// Control characters, and those that turn the direction of what follows (a look-alike trick).
bool is_control(uint32_t c, bool lines_allowed) {
  if (lines_allowed && (c == '\n' || c == '\r' || c == '\t')) return false;
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

enum class Lines : bool { one = false, many = true };

Result<void> check_text(std::string_view field, std::string_view text, size_t chars_max, Lines lines = Lines::one) {
  if (!proto::is_utf8(text)) return bad(field, "not UTF-8");
  for (size_t at = 0; at < text.size();)
    if (is_control(next_code_point(text, at), lines == Lines::many)) return bad(field, "a control character");
  if (const size_t chars = count_characters(text); chars > chars_max)
    return bad(field, std::to_string(chars) + " characters; at most " + std::to_string(chars_max));
  return {};
}

Result<void> require_text(std::string_view field, std::string_view text, size_t chars_max) {
  if (is_blank(text)) return bad(field, "is required");
  return check_text(field, text, chars_max);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
/// Letters of any script, digits, '&' and '.': what organ and unit abbreviations are made of.
bool is_symbol_part(std::string_view part) {
  if (part.empty()) return false;
  for (size_t at = 0; at < part.size();) {
    const uint32_t c = next_code_point(part, at);
    const bool ascii_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const bool letter = ascii_letter || (c >= 0xc0 && c <= 0x24f && c != 0xd7 && c != 0xf7) ||
                        (c >= 0x1ea0 && c <= 0x1ef9) || (c >= 0x300 && c <= 0x36f);
    if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '&') return false;
  }
  return true;
}

/// Parts between dashes, each well formed; 0 when one is not.
size_t symbol_parts(std::string_view text) {
  size_t parts = 0;
  for (;;) {
    const size_t dash = text.find('-');
    if (!is_symbol_part(text.substr(0, dash))) return 0;
    ++parts;
    if (dash == std::string_view::npos) return parts;
    text.remove_prefix(dash + 1);
  }
}

bool is_party_symbol(std::string_view symbol) {
  const size_t slash = symbol.find('/');
  return slash != std::string_view::npos && !is_digit(symbol.front()) && symbol_parts(symbol.substr(0, slash)) > 0 &&
         symbol_parts(symbol.substr(slash + 1)) > 0;
}

bool is_year_prefix(std::string_view text) {
  return text.size() == 5 && text[4] == '/' && std::all_of(text.begin(), text.begin() + 4, is_digit) &&
         (text.substr(0, 2) == "19" || text.substr(0, 2) == "20");
}

/// TYPE-ORG or ORG-UNIT, and "2018/QĐ-TTg" of legal normative documents; an official letter may carry its organ alone.
bool is_state_symbol(std::string_view symbol, bool official_letter) {
  if (symbol.size() > 5 && is_year_prefix(symbol.substr(0, 5))) symbol.remove_prefix(5);
  const size_t parts = symbol_parts(symbol);
  return parts >= (official_letter ? 1u : 2u);
}

Result<void> check_date(std::string_view field, const proto::Date& date, Time now) {
  if (date.empty()) return {};
  if (proto::parse_date(proto::to_text(date)) != date) return bad(field, "not a date");
  if (date.year < year_min) return bad(field, "before 1945");
  if (date.year > local_date(now).year + due_years_max) return bad(field, "too far in the future");
  return {};
}

bool is_deadline(std::string_view text) {
  if (text.size() != 16 || text[10] != ' ' || text[13] != ':') return false;
  for (size_t i : {11u, 12u, 14u, 15u})
    if (!is_digit(text[i])) return false;
  return proto::parse_date(text.substr(0, 10)) && text.substr(11, 2) < "24" && text.substr(14, 2) < "60" &&
         text[4] == '-';
}

Result<void> check_dates(const proto::Metadata& m, Time now) {
  if (m.issued.empty()) return bad("issued", "is required, as yyyy-MM-dd");
  TRAM_OK(check_date("issued", m.issued, now));
  if (m.issued > local_date(now + days(1))) return bad("issued", "lies in the future");
  TRAM_OK(check_date("due", m.due, now));
  if (!m.due.empty() && m.due < m.issued) return bad("due", "before the date of issue");
  if (m.priority == proto::Priority::express_timed) {
    if (!is_deadline(m.priority_deadline)) return bad("priority_deadline", "priority 4 needs it, as yyyy-MM-dd HH:mm");
  } else if (!m.priority_deadline.empty()) {
    return bad("priority_deadline", "only with priority 4");
  }
  return {};
}

Result<void> check_references(const proto::Metadata& m, Time now) {
  if (m.reply_to.size() > 32) return bad("reply_to", "at most 32");
  for (const auto& reply : m.reply_to) {
    TRAM_OK(check_text("reply_to.organ_code", reply.organ_code, limits::organ_code_chars_max));
    TRAM_OK(check_text("reply_to.code", reply.code, number_digits_max + 1 + symbol_chars_max));
    TRAM_OK(check_text("reply_to.document_id", reply.document_id, 100));
    TRAM_OK(check_date("reply_to.date", reply.date, now));
    if (reply.code.empty() && reply.document_id.empty()) return bad("reply_to", "needs a code or a document_id");
  }
  TRAM_OK(check_text("relation.reason", m.relation.reason, 500, Lines::many));
  if (m.relation.targets.size() > 32) return bad("relation.targets", "at most 32");
  if (m.relation.kind != proto::RelationKind::none && m.relation.targets.empty())
    return bad("relation.targets", "names no document");
  if (m.relation.kind == proto::RelationKind::none && !m.relation.targets.empty())
    return bad("relation.kind", "is required");
  return {};
}

Result<void> check_files(const std::vector<proto::FileInfo>& files) {
  if (files.size() > limits::files_per_document_max) return fail(ErrorCode::too_large, "files: at most 64");
  std::set<std::string_view> names;
  uint64_t bytes = 0;
  for (const auto& file : files) {
    TRAM_OK(check_file_name(file.name));
    if (!names.insert(file.name).second) return bad("files", "two files of one name, " + file.name);
    if (file.bytes > limits::document_bytes_max) return fail(ErrorCode::too_large, "files: over 2 GiB");
    bytes += file.bytes;
  }
  if (bytes > limits::document_bytes_max) return fail(ErrorCode::too_large, "files: over 2 GiB together");
  return {};
}

}  // namespace

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

Result<void> check_number(std::string_view number, std::string_view symbol, proto::Branch sender,
                          bool official_letter) {
  const auto wrong = [](std::string_view field, std::string_view why) {
    return fail(ErrorCode::bad_number_format, std::string(field) + ": " + std::string(why));
  };
  if (number.empty()) return wrong("number", "is required");
  if (number.size() > number_digits_max) return wrong("number", "at most 11 digits");
  if (!std::all_of(number.begin(), number.end(), is_digit))
    return wrong("number", "digits only; the symbol goes into its own field");
  if (number.size() == 1) return wrong("number", "below 10 it is written with one leading zero, as 05");
  if (number[0] == '0' && (number.size() != 2 || number[1] == '0'))
    return wrong("number", "a leading zero only from 01 to 09");
  if (symbol.empty()) return wrong("symbol", "is required");
  if (!proto::is_utf8(symbol)) return wrong("symbol", "not UTF-8");
  if (count_characters(symbol) > symbol_chars_max) return wrong("symbol", "at most 30 characters");
  const bool party = is_party_symbol(symbol);
  const bool state = is_state_symbol(symbol, official_letter);
  if (sender == proto::Branch::party && !party)
    return wrong("symbol", "of a Party document it is TYPE/ORGAN, as CV/ĐU (number-TYPE/ORGAN)");
  if (sender == proto::Branch::front && !party && !state)
    return wrong("symbol", "it is TYPE-ORGAN, as QĐ-MTTQ, or TYPE/ORGAN");
  if (sender != proto::Branch::party && sender != proto::Branch::front && !state)
    return wrong("symbol", "it is TYPE-ORGAN, as QĐ-UBND, or ORGAN-UNIT of an official letter, as UBND-VX");
  return {};
}

std::string number_and_symbol(const proto::Metadata& m) {
  if (m.symbol.empty()) return m.number;
  const bool year = m.symbol.size() > 5 && is_year_prefix(std::string_view(m.symbol).substr(0, 5));
  return m.number + (!year && m.symbol.find('/') != std::string::npos ? "-" : "/") + m.symbol;
}

Result<void> check_metadata(const proto::Metadata& m, proto::Branch sender, Time now) {
  if (m.classification != proto::Classification::none)
    return fail(
        ErrorCode::forbidden,
        "classification: state secrets are not sent here; use the means that the cipher authority has licensed");
  if (m.classification > proto::Classification::top_secret) return bad("classification", "unknown");
  TRAM_OK(require_text("type_name", m.type_name, 100));
  const bool official_letter = m.type_code == "22" || m.type_name == "Công văn";
  TRAM_OK(check_number(m.number, m.symbol, sender, official_letter));
  TRAM_OK(require_text("subject", m.subject, 500));
  TRAM_OK(require_text("organ_name", m.organ_name, 200));
  TRAM_OK(check_text("type_code", m.type_code, 10));
  TRAM_OK(check_text("content", m.content, 2000, Lines::many));
  TRAM_OK(check_text("place", m.place, 100));
  TRAM_OK(check_text("signer.competence", m.signer_competence, 10));
  TRAM_OK(check_text("signer.position", m.signer_position, 100));
  TRAM_OK(check_text("signer.name", m.signer_name, 50));
  TRAM_OK(check_text("language", m.language, 30));
  TRAM_OK(check_text("sphere", m.sphere, 100));
  TRAM_OK(check_text("note", m.note, 500, Lines::many));
  TRAM_OK(check_text("circulation_mark", m.circulation_mark, 50));
  TRAM_OK(check_text("sender_note_name", m.sender_note_name, 100));
  size_t places = 0;
  for (const auto& place : m.to_places) {
    TRAM_OK(check_text("to_places", place, 1000));
    places += count_characters(place);
  }
  if (places > 1000 || m.to_places.size() > 100) return bad("to_places", "over 1000 characters or 100 lines together");
  if (m.priority > proto::Priority::express_timed) return bad("priority", "0 to 4");
  if (m.steering > 3) return bad("steering", "0 to 3");
  if (m.pages > 999) return bad("pages", "at most 999");
  if (m.copies > 999) return bad("copies", "at most 999");
  TRAM_OK(check_dates(m, now));
  TRAM_OK(check_references(m, now));
  return check_files(m.files);
}

Result<void> check_file_name(std::string_view name) {
  const auto wrong = [](std::string_view why) { return bad("files.name", why); };
  if (name.empty()) return wrong("is required");
  if (name.size() > limits::file_name_bytes_max) return wrong("at most 255 bytes");
  if (auto ok = check_text("files.name", name, limits::file_name_bytes_max); !ok) return ok;
  if (name.find_first_of("/\\") != std::string_view::npos) return wrong("has a path in it");
  if (name.find_first_of("<>:\"|?*") != std::string_view::npos) return wrong("has one of < > : \" | ? *");
  if (name.front() == ' ' || name.front() == '.' || name.back() == ' ' || name.back() == '.')
    return wrong("begins or ends with a space or a dot");
  return {};
}

// ---- file types -------------------------------------------------------------------------------------------------

namespace {

enum class Magic : uint8_t { pdf, zip, ole, png, jpeg, tiff, rtf, text, any };
struct FileType {
  std::string_view extension;
  std::string_view media_type;
  Magic magic;
};
constexpr FileType file_types[] = {
    {"pdf", "application/pdf", Magic::pdf},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", Magic::zip},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Magic::zip},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", Magic::zip},
    {"odt", "application/vnd.oasis.opendocument.text", Magic::zip},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet", Magic::zip},
    {"zip", "application/zip", Magic::zip},
    {"doc", "application/msword", Magic::ole},
    {"xls", "application/vnd.ms-excel", Magic::ole},
    {"rtf", "application/rtf", Magic::rtf},
    {"png", "image/png", Magic::png},
    {"jpg", "image/jpeg", Magic::jpeg},
    {"jpeg", "image/jpeg", Magic::jpeg},
    {"tif", "image/tiff", Magic::tiff},
    {"tiff", "image/tiff", Magic::tiff},
    {"txt", "text/plain", Magic::text},
    {"csv", "text/csv", Magic::text},
    {"xml", "application/xml", Magic::text},
    {"edxml", "application/xml", Magic::text},
    {"p7s", "application/pkcs7-signature", Magic::any},
    {"sig", "application/octet-stream", Magic::any},
};

bool starts(BytesView head, std::string_view magic) {
  return head.size() >= magic.size() && text(head.first(magic.size())) == magic;
}

bool agrees(Magic magic, BytesView head) {
  switch (magic) {
    case Magic::pdf:
      return text(head.first(std::min<size_t>(head.size(), 1024))).find("%PDF-") != std::string_view::npos;
    case Magic::zip: return starts(head, "PK\x03\x04") || starts(head, "PK\x05\x06");
    case Magic::ole: return starts(head, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1");
    case Magic::png: return starts(head, "\x89PNG\r\n\x1a\n");
    case Magic::jpeg: return starts(head, "\xff\xd8\xff");
    case Magic::tiff: return starts(head, std::string_view("II*\0", 4)) || starts(head, std::string_view("MM\0*", 4));
    case Magic::rtf: return starts(head, "{\\rtf");
    case Magic::text:
      return starts(head, "\xff\xfe") || starts(head, "\xfe\xff") || std::count(head.begin(), head.end(), 0) == 0;
    case Magic::any: return true;
  }
  return false;
}

}  // namespace

namespace {
Result<const FileType*> type_of(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return fail(ErrorCode::unsupported_file, "files: a file without an extension");
  std::string extension(name.substr(dot + 1));
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  for (const FileType& type : file_types)
    if (type.extension == extension) return &type;
  const bool plain =
      !extension.empty() && extension.size() <= 8 &&
      std::all_of(extension.begin(), extension.end(), [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); });
  return fail(ErrorCode::unsupported_file,
              plain ? "files: ." + extension + " is not a type that is sent" : "files: not a type that is sent");
}
}  // namespace

Result<std::string_view> media_type_of(std::string_view name) {
  TRAM_TRY(type, type_of(name));
  return type->media_type;
}

Result<std::string_view> check_file(std::string_view name, BytesView head, uint64_t bytes) {
  TRAM_TRY(type, type_of(name));
  if (bytes == 0) return fail(ErrorCode::unsupported_file, "files: " + std::string(name) + ": an empty file");
  if (!agrees(type->magic, head))
    return fail(ErrorCode::unsupported_file, "files: " + std::string(name) + ": the content is not that of a ." +
                                                 std::string(type->extension) + " file");
  return type->media_type;
}

// ---- calendar at UTC+7 --------------------------------------------------------------------------------------------

namespace {
constexpr int64_t day_ms = 86400000;
constexpr int64_t zone_ms = 7 * 3600000;

int64_t local_day(Time t) {
  const int64_t local = t.ms + zone_ms;
  return local >= 0 ? local / day_ms : -((-local + day_ms - 1) / day_ms);
}
/// Days since 1970 to a date (proleptic Gregorian, era arithmetic).
proto::Date date_of(int64_t day) {
  const int64_t z = day + 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const auto doe = static_cast<uint32_t>(z - era * 146097);
  const uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const uint32_t mp = (5 * doy + 2) / 153;
  const uint32_t month = mp < 10 ? mp + 3 : mp - 9;
  return {static_cast<uint16_t>(static_cast<int64_t>(yoe) + era * 400 + (month <= 2)), static_cast<uint8_t>(month),
          static_cast<uint8_t>(doy - (153 * mp + 2) / 5 + 1)};
}
int64_t day_of(const proto::Date& date) {
  const int64_t y = int64_t{date.year} - (date.month <= 2);
  const int64_t era = y / 400;
  const int64_t yoe = y - era * 400;
  const int64_t doy = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}
bool is_working(int64_t day) {
  const int64_t weekday = ((day + 3) % 7 + 7) % 7;  // 1970-01-01 was a Thursday; 0 is Monday
  return weekday < 5;
}
std::string two(int64_t v) { return (v < 10 ? "0" : "") + std::to_string(v); }
}  // namespace

proto::Date local_date(Time t) { return date_of(local_day(t)); }

std::string local_time_text(Time t) {
  if (t.ms == 0) return {};
  const int64_t rest = t.ms + zone_ms - local_day(t) * day_ms;
  std::string ms = std::to_string(rest % 1000);
  return proto::to_text(local_date(t)) + "T" + two(rest / 3600000) + ":" + two(rest / 60000 % 60) + ":" +
         two(rest / 1000 % 60) + "." + std::string(3 - ms.size(), '0') + ms + "+07:00";
}

bool is_working_day(const proto::Date& date) { return is_working(day_of(date)); }

Time register_by(Time received, proto::Priority priority) {
  if (priority != proto::Priority::normal) return received;
  int64_t day = local_day(received) + 1;
  while (!is_working(day)) ++day;
  return Time{(day + 1) * day_ms - zone_ms};
}

}  // namespace tram::node
