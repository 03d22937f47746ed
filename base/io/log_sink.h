// The log: one line per event, "time level event key=value ...", to standard error or a file.
// Invariants: control characters, quotes and spaces in values are escaped, so that one event is one line and no value
// forges a field (T6); more than 20 warnings of one event in a second are counted and summarised in one line;
// warnings and errors are flushed at once; files are created 0600.
// Not here: evidence (that is the audit log in the store), rotation (reopen() on SIGHUP).
// Thread: any.
#pragma once
#include <memory>

#include "base/ports.h"

namespace tram::io {

struct LogOptions {
  LogLevel level = LogLevel::info;
  std::string file;                       // empty: standard error
  bool timestamps = true;                 // false when the journal stamps the lines
  unsigned warnings_per_second_max = 20;  // of one event
};

class LogSink final : public Log {
 public:
  /// Error: io_failed (the file cannot be opened).
  static Result<std::unique_ptr<LogSink>> open(const LogOptions& options);
  ~LogSink() override;

  void write(LogLevel level, std::string_view event, std::span<const LogField> fields) override;
  void flush();
  /// Opens the file anew, after it was moved away.
  Result<void> reopen();

 private:
  struct State;
  explicit LogSink(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// "event key=value ..." as it is written after time and level.
std::string format_event(std::string_view event, std::span<const LogField> fields);

}  // namespace tram::io
