// What commands print: two languages, aligned tables, a progress bar on a terminal and nothing on a pipe, errors as an
// error line and a hint line. Thread: main.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "node/cli/client.h"

namespace tram::cli {

using Json = nlohmann::ordered_json;

enum class Language { vietnamese, english };
/// From --lang, else LC_ALL, LC_MESSAGES, LANG: Vietnamese when they begin with "vi".
Language choose_language(const std::string& option);

struct Output {
  Language language = Language::english;
  bool json = false;
  bool terminal = false;  // of stdout
  bool error_terminal = false;
  unsigned columns = 100;
  static Output make(const std::string& language_option, bool json);

  const char* say(const char* vi, const char* en) const { return language == Language::vietnamese ? vi : en; }
  /// {vi, en, ...}: the member of this language; "" when absent.
  std::string word(const Json& words) const;
  void error(const std::string& what, const std::string& hint = {}) const;
  /// The error table's sentence "what; what to do" as two lines, with a detail.
  void error(ErrorCode code, const std::string& detail) const;
  void error(const Error& error_value) const { error(error_value.code, error_value.detail); }
};

/// Exit codes of every command (verify has its own).
inline constexpr int exit_done = 0, exit_failed = 1, exit_usage = 2;

/// Terminal columns a text takes: combining marks none, East Asian wide ones two.
size_t width(std::string_view text);
/// At most `columns` wide, cut with "…".
std::string fit(std::string_view text, size_t columns);

class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  /// The widest column gives way when the terminal is narrower.
  void print(const Output&) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// "12,3 MB" / "12.3 MB".
std::string bytes_text(uint64_t bytes, Language);
/// "2026-08-25T09:30:00.000+07:00" -> "25/08/2026 09:30"; a date alone -> "25/08/2026".
std::string time_text(const std::string& iso);

class ProgressBar {
 public:
  ProgressBar(const Output& output, std::string name, uint64_t total);
  ~ProgressBar();
  void at(uint64_t bytes);

 private:
  const Output& output_;
  std::string name_;
  uint64_t total_;
  int64_t started_ms_, drawn_ms_ = 0;
  bool drawn_ = false;
};

}  // namespace tram::cli
