#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <regex>
#include <sstream>

#include "base/io/log_sink.h"
#include "base/io/secret_input.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using io::LogSink;

namespace {
std::vector<std::string> lines_of(const std::string& path) {
  std::istringstream stream(to_text(*io::read_file(path, 1 << 20)));
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}
}  // namespace

TEST_CASE("an event is one line, and no value can forge another") {
  LogField fields[] = {{"plain", "abc-1.2:3"}, {"count", -5},          {"empty", ""},
                       {"evil", "a\nb=c \"q\" \\ \x1b[31m\x7f"}, {"viet", "công văn"}, {"id", KeyId{}}};
  CHECK(io::format_event("node.started", fields) ==
        "node.started plain=abc-1.2:3 count=-5 empty=\"\" evil=\"a\\x0ab=c \\\"q\\\" \\\\ \\x1b[31m\\x7f\" "
        "viet=\"công văn\" id=0000000000000000");
}

TEST_CASE("lines carry time and level, below the level nothing is written") {
  test::TemporaryDirectory directory;
  io::LogOptions options;
  options.file = directory / "log";
  auto log = *LogSink::open(options);
  log->debug("test.hidden");
  log->info("test.shown", {{"n", 1}});
  log->error("test.failed");
  auto lines = lines_of(options.file);
  REQUIRE(lines.size() == 2);
  CHECK(std::regex_match(lines[0], std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info test\.shown n=1)")));
  CHECK(std::regex_match(lines[1], std::regex(R"(.*Z error test\.failed)")));
  struct stat status {};
  REQUIRE(::stat(options.file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a flood of one warning is counted, not written") {
  test::TemporaryDirectory directory;
  io::LogOptions options;
  options.file = directory / "log";
  options.timestamps = false;
  auto log = *LogSink::open(options);
  for (int i = 0; i < 5000; ++i) log->warning("peer.misbehaved");
  log->warning("other.warned");
  log->flush();
  long written = 0, suppressed = 0, other = 0;
  for (const std::string& line : lines_of(options.file)) {
    std::smatch match;
    if (line == "warning peer.misbehaved") ++written;
    else if (line == "warning other.warned") ++other;
    else if (std::regex_match(line, match, std::regex(R"(warning log\.warnings_suppressed of=peer\.misbehaved count=(\d+))")))
      suppressed += std::stol(match[1]);
    else FAIL(line);
  }
  CHECK(other == 1);
  CHECK(written >= 20);
  CHECK(written < 1000);
  CHECK(written + suppressed == 5000);
}

TEST_CASE("the file is opened anew after rotation") {
  test::TemporaryDirectory directory;
  io::LogOptions options;
  options.file = directory / "log";
  auto log = *LogSink::open(options);
  log->info("test.before");
  std::filesystem::rename(options.file, directory / "log.1");
  REQUIRE(log->reopen());
  log->info("test.after");
  log->flush();
  CHECK(lines_of(directory / "log.1").size() == 1);
  CHECK(lines_of(options.file).size() == 1);
  options.file = directory / "no/such/log";
  CHECK(LogSink::open(options).error().code == ErrorCode::io_failed);
}
