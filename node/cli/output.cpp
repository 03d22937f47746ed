#include "node/cli/output.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

namespace tram::cli {
namespace {

int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct CodePoint {
  uint32_t value;
  size_t bytes;
};
CodePoint decode(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead < 0x80 || lead < 0xc0 || bytes > text.size()) return {lead < 0x80 ? lead : 0xfffdu, 1};
  uint32_t value = lead & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) value = value << 6 | (static_cast<uint8_t>(text[i]) & 0x3fu);
  return {value, bytes};
}
size_t columns_of(uint32_t c) {
  if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || c == 0xfeff) return 0;
  const bool wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
                    (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                    c >= 0x1f300;
  return wide ? 2 : 1;
}

/// Nothing that a document says may drive the terminal.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return out;
}

}  // namespace

Language choose_language(const std::string& option) {
  if (!option.empty()) return option == "vi" ? Language::vietnamese : Language::english;
  for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    const char* value = std::getenv(name);
    if (value && *value) return std::string_view(value).substr(0, 2) == "vi" ? Language::vietnamese : Language::english;
  }
  return Language::english;
}

Output Output::make(const std::string& language_option, bool json) {
  Output out;
  out.language = choose_language(language_option);
  out.json = json;
  out.terminal = ::isatty(STDOUT_FILENO);
  out.error_terminal = ::isatty(STDERR_FILENO);
  winsize size{};
  if (out.terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
    out.columns = size.ws_col;
  else if (!out.terminal)
    out.columns = 10000;
  return out;
}

std::string Output::word(const Json& words) const {
  if (!words.is_object()) return {};
  return printable(words.value(language == Language::vietnamese ? "vi" : "en", std::string()));
}

void Output::error(const std::string& what, const std::string& hint) const {
  std::fprintf(stderr, "%s: %s\n", say("Lỗi", "Error"), printable(what).c_str());
  if (!hint.empty()) std::fprintf(stderr, "%s: %s\n", say("Gợi ý", "Hint"), printable(hint).c_str());
}

void Output::error(ErrorCode code, const std::string& detail) const {
  const auto& info = error_info(code);
  std::string sentence(language == Language::vietnamese ? info.vi : info.en);
  std::string hint;
  if (const size_t semicolon = sentence.find("; "); semicolon != std::string::npos) {
    hint = sentence.substr(semicolon + 2);
    sentence.resize(semicolon);
  }
  while (!sentence.empty() && sentence.back() == '.') sentence.pop_back();
  error(sentence + (detail.empty() ? "" : " (" + detail + ")"), hint);
}

size_t width(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    const auto c = decode(text);
    columns += columns_of(c.value);
    text.remove_prefix(c.bytes);
  }
  return columns;
}

std::string fit(std::string_view text, size_t columns) {
  if (width(text) <= columns) return std::string(text);
  std::string out;
  size_t used = 1;
  while (!text.empty()) {
    const auto c = decode(text);
    if (used + columns_of(c.value) > columns) break;
    used += columns_of(c.value);
    out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
  }
  return out + "…";
}

void Table::print(const Output& output) const {
  std::vector<size_t> widths(rows_[0].size());
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  size_t total = 0;
  for (const size_t w : widths) total += w + 2;
  const size_t room = output.columns + 2;
  if (total > room) {
    size_t widest = 0;
    for (size_t i = 1; i < widths.size(); ++i)
      if (widths[i] > widths[widest]) widest = i;
    const size_t over = total - room;
    widths[widest] = widths[widest] > over + 12 ? widths[widest] - over : 12;
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = fit(printable(row[i]), widths[i]);
      line += cell;
      if (i + 1 < row.size()) line.append(widths[i] - width(cell) + 2, ' ');
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::printf("%s\n", line.c_str());
  }
}

std::string bytes_text(uint64_t bytes, Language language) {
  static constexpr const char* units[] = {"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  std::string out = text;
  if (language == Language::vietnamese)
    for (char& c : out)
      if (c == '.') c = ',';
  return out;
}

std::string time_text(const std::string& iso) {
  if (iso.size() < 10) return iso;
  std::string out = iso.substr(8, 2) + "/" + iso.substr(5, 2) + "/" + iso.substr(0, 4);
  if (iso.size() >= 16) out += " " + iso.substr(11, 5);
  return out;
}

ProgressBar::ProgressBar(const Output& output, std::string name, uint64_t total)
    : output_(output), name_(std::move(name)), total_(total), started_ms_(steady_ms()) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

void ProgressBar::at(uint64_t bytes) {
  if (!output_.error_terminal || output_.json) return;
  const int64_t now = steady_ms();
  if (now - started_ms_ < 300 || now - drawn_ms_ < 100) return;
  drawn_ms_ = now;
  drawn_ = true;
  constexpr size_t cells = 24;
  const size_t full = total_ ? static_cast<size_t>(bytes * cells / total_) : cells;
  std::string bar;
  for (size_t i = 0; i < cells; ++i) bar += i < full ? "█" : "░";
  const double rate = static_cast<double>(bytes) * 1000.0 / static_cast<double>(now - started_ms_ + 1);
  std::fprintf(stderr, "\r%s %s %3u%% %s/s\033[K", fit(printable(name_), 30).c_str(), bar.c_str(),
               total_ ? static_cast<unsigned>(bytes * 100 / total_) : 100u,
               bytes_text(static_cast<uint64_t>(rate), output_.language).c_str());
}

}  // namespace tram::cli
