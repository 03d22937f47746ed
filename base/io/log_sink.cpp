#include "base/io/log_sink.h"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <mutex>

#include "base/io/files.h"

namespace tram::io {
namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

/// Bare when it is plain; otherwise in quotes, with everything below 0x20, DEL, quotes and backslashes escaped.
void append_value(std::string& line, std::string_view value) {
  auto odd = [](unsigned char c) { return c <= 0x20 || c == 0x7f || c == '"' || c == '\\' || c == '='; };
  bool plain = !value.empty();
  for (char c : value) plain = plain && !odd(static_cast<unsigned char>(c));
  if (plain) {
    line += value;
    return;
  }
  line += '"';
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      static constexpr char digits[] = "0123456789abcdef";
      line += "\\x";
      line += digits[byte >> 4];
      line += digits[byte & 15];
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace

std::string format_event(std::string_view event, std::span<const LogField> fields) {
  std::string line(event);
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (const auto* number = std::get_if<int64_t>(&field.value)) line += std::to_string(*number);
    else append_value(line, std::get<std::string>(field.value));
  }
  return line;
}

struct LogSink::State {
  struct Window {
    int64_t second = -1;
    unsigned written = 0;
    uint64_t suppressed = 0;
  };
  LogOptions options;
  std::mutex mutex;
  std::unique_ptr<spdlog::logger> logger;
  std::map<std::string, Window, std::less<>> windows;  // events are constants, so this is bounded

  Result<void> open() {
    try {
      spdlog::sink_ptr sink;
      if (options.file.empty()) {
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
      } else {
        // spdlog opens with the umask's mode: make the file first, for us alone.
        Fd fd(::open(options.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        if (!fd) return fail(errno_error(errno, "log file " + options.file));
        sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
      }
      auto fresh = std::make_unique<spdlog::logger>("tram", std::move(sink));
      fresh->set_level(level_of(options.level));
      fresh->flush_on(spdlog::level::warn);
      fresh->set_formatter(std::make_unique<spdlog::pattern_formatter>(
          options.timestamps ? "%Y-%m-%dT%H:%M:%S.%eZ %l %v" : "%l %v", spdlog::pattern_time_type::utc));
      logger = std::move(fresh);
      return {};
    } catch (const spdlog::spdlog_ex&) {
      return fail(ErrorCode::io_failed, "log file " + options.file);
    }
  }

  void put(LogLevel level, const std::string& line) {
    logger->log(level_of(level), spdlog::string_view_t(line.data(), line.size()));
  }

  void summarise(std::string_view event, Window& window) {
    if (window.suppressed == 0) return;
    LogField fields[] = {{"of", event}, {"count", window.suppressed}};
    window.suppressed = 0;
    put(LogLevel::warning, format_event("log.warnings_suppressed", fields));
  }

  void summarise_all() {
    for (auto& [event, window] : windows) summarise(event, window);
  }
};

LogSink::LogSink(std::unique_ptr<State> state) : state_(std::move(state)) {}
LogSink::~LogSink() { flush(); }

Result<std::unique_ptr<LogSink>> LogSink::open(const LogOptions& options) {
  auto state = std::make_unique<State>();
  state->options = options;
  TRAM_OK(state->open());
  return std::unique_ptr<LogSink>(new LogSink(std::move(state)));
}

void LogSink::write(LogLevel level, std::string_view event, std::span<const LogField> fields) {
  if (level < state_->options.level) return;
  std::lock_guard lock(state_->mutex);
  if (level == LogLevel::warning) {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    int64_t second = std::chrono::duration_cast<std::chrono::seconds>(now).count();
    auto it = state_->windows.find(event);
    if (it == state_->windows.end()) it = state_->windows.emplace(std::string(event), State::Window{}).first;
    State::Window& window = it->second;
    if (window.second != second) {
      state_->summarise(event, window);
      window.second = second;
      window.written = 0;
    }
    if (window.written >= state_->options.warnings_per_second_max) {
      ++window.suppressed;
      return;
    }
    ++window.written;
  }
  state_->put(level, format_event(event, fields));
}

void LogSink::flush() {
  std::lock_guard lock(state_->mutex);
  state_->summarise_all();
  state_->logger->flush();
}

Result<void> LogSink::reopen() {
  std::lock_guard lock(state_->mutex);
  state_->logger->flush();
  return state_->open();
}

}  // namespace tram::io
