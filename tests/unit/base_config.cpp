#include <catch2/catch.hpp>
#include <rapidcheck/catch.h>

#include "base/config.h"
#include "base/io/config_file.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;

namespace {

constexpr ConfigKey known_keys[] = {
    {"log_level", ConfigType::string, "info", 1, 10, "", "How much is logged."},
    {"store.map_bytes", ConfigType::byte_size, "64GiB", 1 << 20, int64_t{1} << 42, "", "Size of the map."},
    {"store.directory", ConfigType::string, "", INT64_MIN, INT64_MAX, "", "Where the store lies.", true},
    {"http.workers", ConfigType::integer, "8", 1, 512, "threads", "HTTP threads."},
    {"http.timeout", ConfigType::duration, "30s", 1000, 600000, "", "Idle connections are closed after this."},
    {"http.enabled", ConfigType::boolean, "true", INT64_MIN, INT64_MAX, "", "Whether HTTP is served."},
    {"http.hosts", ConfigType::string_list, "localhost,127.0.0.1", 1, 4, "", "Accepted Host headers."},
};

Result<Config> parse(std::string_view toml) { return io::parse_config(toml, "tram.toml", known_keys); }

std::string error_of(std::string_view toml) {
  auto config = parse(toml);
  REQUIRE_FALSE(config);
  CHECK(config.error().code == ErrorCode::bad_config);
  return config.error().detail;
}

const std::string required = "[store]\ndirectory = \"/srv\"\n";

}  // namespace

TEST_CASE("defaults hold until a file says otherwise") {
  auto plain = parse(required);
  REQUIRE(plain);
  CHECK(plain->byte_size("store.map_bytes") == 64ull << 30);
  CHECK(plain->duration("http.timeout") == seconds(30));
  CHECK(plain->string_list("http.hosts") == std::vector<std::string>{"localhost", "127.0.0.1"});
  CHECK_FALSE(plain->is_set("http.workers"));

  auto config = parse(
      "log_level = 'debug'\n[store]\ndirectory = '/x'\nmap_bytes = '1TiB'\n"
      "[http]\nworkers = 9\ntimeout = '2m'\nenabled = false\nhosts = ['a', 'b']\n");
  REQUIRE(config);
  CHECK(config->string("log_level") == "debug");
  CHECK(config->byte_size("store.map_bytes") == 1ull << 40);
  CHECK(config->integer("http.workers") == 9);
  CHECK(config->is_set("http.workers"));
  CHECK(config->duration("http.timeout") == minutes(2));
  CHECK_FALSE(config->boolean("http.enabled"));
  CHECK(config->string_list("http.hosts").size() == 2);
}

TEST_CASE("configuration errors name the file, the line and the key") {
  CHECK(error_of(required + "[http]\nworkerz = 3\n") ==
        "tram.toml:4: unknown key http.workerz; did you mean http.workers?");
  CHECK(error_of(required + "\n[http]\nworkers = 0") == "tram.toml:5: http.workers must be 1 to 512");
  CHECK(error_of(required + "[http]\nworkers = 'many'") == "tram.toml:4: http.workers must be an integer");
  CHECK(error_of(required + "[http]\ntimeout = 30").find("tram.toml:4: http.timeout must be a duration") == 0);
  CHECK(error_of(required + "[http]\ntimeout = '11m'") == "tram.toml:4: http.timeout must be 1s to 10m");
  CHECK(error_of(required + "[http]\nhosts = []") == "tram.toml:4: http.hosts count must be 1 to 4");
  CHECK(error_of(required + "[http]\nhosts = [1]").find("tram.toml:4: http.hosts must hold texts") == 0);
  CHECK(error_of(required + "x = 1.5").find("tram.toml:3: store.x has a type") == 0);
  CHECK(error_of("log_level = 'info'") == "tram.toml: missing store.directory");
  CHECK(error_of("a = 1\na = 2").find("tram.toml:2: ") == 0);
  CHECK(error_of("[store\n").find("tram.toml:1: ") == 0);
  // All at once.
  std::string both = error_of(required + "[http]\nworkers = 0\nenabled = 1");
  CHECK(both.find("tram.toml:4:") != std::string::npos);
  CHECK(both.find("tram.toml:5:") != std::string::npos);
}

TEST_CASE("the printed configuration reads back as itself") {
  rc::prop("for any values", [] {
    Config config(known_keys);
    RC_ASSERT(config.set("store.directory", *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127)), "test"));
    RC_ASSERT(config.set("http.workers", *rc::gen::inRange<int64_t>(1, 513), "test"));
    RC_ASSERT(config.set_text("http.timeout", std::to_string(*rc::gen::inRange(1000, 600001)) + "ms", "test"));
    RC_ASSERT(config.set("store.map_bytes", *rc::gen::inRange<int64_t>(1 << 20, 1 << 30), "test"));
    RC_ASSERT(config.set("http.enabled", *rc::gen::arbitrary<bool>(), "test"));
    auto again = io::parse_config(print_config(config), "printed", known_keys);
    if (!again) RC_FAIL(again.error().detail);
    for (const ConfigKey& key : known_keys) RC_ASSERT(again->value(key.name) == config.value(key.name));
  });
  // An incomplete one prints a comment in the place of what is required.
  CHECK(error_of(print_config(Config(known_keys))) == "tram.toml: missing store.directory");
}

TEST_CASE("durations and sizes") {
  CHECK(parse_duration("250ms") == milliseconds(250));
  CHECK(parse_duration("10d") == days(10));
  for (std::string_view bad : {"", "5", "s", "-5s", "5 s", "1.5s", "5x", "99999999999999999999d", "9223372036854775807d"})
    CHECK_FALSE(parse_duration(bad));
  CHECK(parse_byte_size("4096") == 4096);
  CHECK(parse_byte_size("64KiB") == 65536);
  for (std::string_view bad : {"", "KiB", "64KB", "-1", "1e3", "9999999999TiB"}) CHECK_FALSE(parse_byte_size(bad));
  CHECK(format_duration(minutes(90)) == "90m");
  CHECK(format_duration(hours(24)) == "1d");
  CHECK(format_duration({0}) == "0ms");
  CHECK(format_byte_size(1u << 30) == "1GiB");
}

TEST_CASE("the documentation table has a row for every key") {
  std::string markdown = config_markdown(known_keys);
  for (const ConfigKey& key : known_keys) CHECK(markdown.find("| `" + std::string(key.name) + "` |") != std::string::npos);
  CHECK(std::count(markdown.begin(), markdown.end(), '\n') == 2 + static_cast<long>(std::size(known_keys)));
}

TEST_CASE("a missing configuration file is an error of its own") {
  test::TemporaryDirectory directory;
  CHECK(io::read_config(directory / "none.toml", known_keys).error().code == ErrorCode::not_found);
}
