// What the commands share: error and hint lines, questions on the terminal, progress, times. Thread: main.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace tram::authority {

struct Global {
  std::string realm = ".";
  bool json = false;
  bool vietnamese = true;
};

/// Prints an error line and a hint line; returns the exit code 1.
int report(const Error&, const Global&);

/// y/N on the terminal; error bad_request without one (the hint names the option that answers instead).
Result<bool> confirm(const std::string& question);
/// One line from the terminal.
Result<std::string> ask(const std::string& question);

/// A bar on standard error when that is a terminal, nothing otherwise.
class Progress {
 public:
  Progress(std::string what, size_t total);
  ~Progress();
  void step(size_t done);

 private:
  std::string what_;
  size_t total_, shown_ = 0;
  bool terminal_;
};

/// "now", "2026-07-01", "2026-07-01 08:00" (Vietnam's time) or "+72h" after now.
Result<Time> parse_moment(const std::string& text, Time now);
/// yyyy-MM-ddTHH:mm+07:00
std::string format_moment(Time);

}  // namespace tram::authority
