#include "directory/io/console.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <unistd.h>

#include "base/config.h"
#include "proto/document.h"

namespace tram::authority {
namespace {

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

constexpr Duration vietnam = hours(7);

int64_t days_from_civil(int64_t year, int64_t month, int64_t day) {  // Howard Hinnant's algorithm
  year -= month <= 2;
  const int64_t era = year / 400, yoe = year - era * 400;
  const int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/// What an officer can do about it, where the common table speaks to a clerk.
struct Hint {
  ErrorCode code;
  const char *vi, *en;
};
constexpr Hint hints[] = {
    {ErrorCode::bad_signature, "Không ký, không đưa vào danh bạ; hỏi lại người gửi tệp này qua điện thoại.",
     "Do not sign or accept it; ask whoever sent the file, by telephone."},
    {ErrorCode::unknown_agency, "Tìm mã bằng `tram-authority search`, hoặc thêm cơ quan trước.",
     "Find the code with `tram-authority search`, or add the agency first."},
    {ErrorCode::not_found, "Kiểm tra tên tệp, thư mục hoặc mã đã gõ.", "Check the file, folder or id that was typed."},
    {ErrorCode::conflict, "Đã có rồi; chọn tên khác, hoặc xem trước bằng `tram-authority show`.",
     "It is there already; choose another name, or look with `tram-authority show` first."},
    {ErrorCode::forbidden, "Dùng khóa hoặc bên ký có quyền với thay đổi này (--by).",
     "Use the key, or the signing party (--by), that may make this change."},
    {ErrorCode::not_enough_signatures, "Đưa tệp cho cán bộ khác ký rồi chạy lại `tram-authority accept`.",
     "Let more officers sign the file, then run `tram-authority accept` again."},
    {ErrorCode::wrong_state, "Xem `tram-authority status` để biết bước tiếp theo.",
     "See `tram-authority status` for the step that comes first."},
    {ErrorCode::unreachable, "Kiểm tra địa chỉ, mạng và trạm có chạy không, rồi chạy lại.",
     "Check the address, the network and that the broker runs, then publish again."},
};

}  // namespace

int report(const Error& error, const Global& global) {
  ErrorInfo info = error_info(error.code);
  for (const Hint& hint : hints)
    if (hint.code == error.code) info.vi = hint.vi, info.en = hint.en;
  std::fprintf(stderr, "%s: %s\n", global.vietnamese ? "lỗi" : "error", describe(error).c_str());
  std::fprintf(stderr, "%s: %s\n", global.vietnamese ? "gợi ý" : "hint",
               std::string(global.vietnamese ? info.vi : info.en).c_str());
  return 1;
}

Result<std::string> ask(const std::string& question) {
  std::unique_ptr<std::FILE, Closer> terminal(std::fopen("/dev/tty", "r+"));
  if (!terminal) return fail(ErrorCode::bad_request, "there is no terminal to ask on: answer with --yes or --code");
  std::fputs(question.c_str(), terminal.get());
  std::fflush(terminal.get());
  char line[256];
  if (!std::fgets(line, sizeof line, terminal.get())) return std::string();
  std::string answer = line;
  while (!answer.empty() && (answer.back() == '\n' || answer.back() == '\r' || answer.back() == ' ')) answer.pop_back();
  return answer;
}

Result<bool> confirm(const std::string& question) {
  TRAM_TRY(answer, ask(question + " [y/N] "));
  return answer == "y" || answer == "Y" || answer == "yes" || answer == "c" || answer == "có";
}

Progress::Progress(std::string what, size_t total)
    : what_(std::move(what)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (terminal_ && shown_) std::fputs("\r\033[K", stderr);
}

void Progress::step(size_t done) {
  if (!terminal_ || total_ == 0 || (done * 100 / total_ == shown_ && done != total_)) return;
  shown_ = std::max<size_t>(done * 100 / total_, 1);
  const std::string bar(std::min<size_t>(shown_ / 4, 25), '#');
  std::fprintf(stderr, "\r%s [%-25s] %3zu%%", what_.c_str(), bar.c_str(), shown_);
}

Result<Time> parse_moment(const std::string& text, Time now) {
  if (text.empty() || text == "now") return now;
  if (text[0] == '+') {
    if (auto after = parse_duration(text.substr(1))) return now + *after;
    return fail(ErrorCode::bad_request, "\"" + text + "\" is no time: write +72h");
  }
  const auto date = proto::parse_date(text.substr(0, 10));
  int hour = 0, minute = 0;
  char rest = 0;
  const bool has_hour = text.size() > 10;
  const bool good_hour = !has_hour || (text.size() == 16 && (text[10] == ' ' || text[10] == 'T') &&
                                       std::sscanf(text.c_str() + 11, "%2d:%2d%c", &hour, &minute, &rest) == 2 &&
                                       hour >= 0 && hour < 24 && minute >= 0 && minute < 60);
  if (!date || !good_hour)
    return fail(ErrorCode::bad_request, "\"" + text + "\" is no time: write 2026-07-01 or \"2026-07-01 08:00\"");
  return Time{} + days(days_from_civil(date->year, date->month, date->day)) + hours(hour) + minutes(minute) - vietnam;
}

std::string format_moment(Time time) {
  const int64_t all_minutes = (time + vietnam).ms / 60000, day = all_minutes / 1440;
  const int64_t z = day + 719468, era = z / 146097, doe = z % 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  const int64_t month = mp < 10 ? mp + 3 : mp - 9;
  char out[64];
  std::snprintf(out, sizeof out, "%04d-%02d-%02dT%02d:%02d+07:00", static_cast<int>(yoe + era * 400 + (month <= 2)),
                static_cast<int>(month), static_cast<int>(doy - (153 * mp + 2) / 5 + 1),
                static_cast<int>(all_minutes % 1440 / 60), static_cast<int>(all_minutes % 60));
  return out;
}

}  // namespace tram::authority
