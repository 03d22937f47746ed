#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <fstream>

#include "base/io/body_files.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using io::BodyFiles;

namespace {
const std::string body_name(64, 'a');
constexpr size_t sealed = limits::sealed_chunk_bytes;

Bytes pattern(size_t size, uint8_t seed) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(seed + i * 31);
  return bytes;
}
}  // namespace

TEST_CASE("chunks lie at their offsets and come back as written, in any order") {
  test::TemporaryDirectory directory;
  auto files = *BodyFiles::open(directory / "bodies");
  size_t total = sealed * 2 + 1000;
  REQUIRE(files->create(body_name, total));
  CHECK(*files->size(body_name) == total);
  Bytes first = pattern(sealed, 1), second = pattern(sealed, 2), last = pattern(1000, 3);
  REQUIRE(files->write_chunk(body_name, 2, last));
  REQUIRE(files->write_chunk(body_name, 0, first));
  REQUIRE(files->write_chunk(body_name, 1, second));
  REQUIRE(files->sync(body_name));
  REQUIRE(files->sync(body_name));
  CHECK(*files->read_chunk(body_name, 0, sealed) == first);
  CHECK(*files->read_chunk(body_name, 1, sealed) == second);
  CHECK(*files->read_chunk(body_name, 2, 1000) == last);
  CHECK(*files->read_at(body_name, 262160, 100) == Bytes(second.begin(), second.begin() + 100));

  CHECK(files->write_chunk(body_name, 2, pattern(1001, 4)).error().code == ErrorCode::too_large);
  CHECK(files->write_chunk(body_name, 3, Bytes{1}).error().code == ErrorCode::too_large);
  CHECK(files->write_chunk(body_name, 0, Bytes(sealed + 1)).error().code == ErrorCode::too_large);
  CHECK(files->read_chunk(body_name, 2, 1001).error().code == ErrorCode::store_corrupt);
  CHECK(*files->read_chunk(body_name, 2, 1000) == last);
}

TEST_CASE("a reserved body has its blocks, and creating it again resumes it") {
  test::TemporaryDirectory directory;
  auto files = *BodyFiles::open(directory / "bodies");
  REQUIRE(files->create(body_name, 1 << 20));
  struct stat status {};
  REQUIRE(::stat((directory / ("bodies/a/" + body_name)).c_str(), &status) == 0);
  CHECK(status.st_blocks * 512 >= (1 << 20));
  CHECK((status.st_mode & 0777) == 0600);
  REQUIRE(files->write_chunk(body_name, 0, Bytes{9, 9}));
  REQUIRE(files->create(body_name, 1 << 20));
  CHECK(*files->read_at(body_name, 0, 2) == Bytes{9, 9});
  CHECK(files->create(body_name, 100).error().code == ErrorCode::conflict);
}

TEST_CASE("a body that does not fit the disk is refused and leaves nothing") {
  test::TemporaryDirectory directory;
  auto files = *BodyFiles::open(directory / "bodies");
  auto space = *files->space();
  CHECK(space.free_percent <= 100);
  CHECK(files->create(body_name, space.free_bytes + (1u << 30)).error().code == ErrorCode::storage_full);
  CHECK(files->size(body_name).error().code == ErrorCode::not_found);
  auto strict = *BodyFiles::open(directory / "strict", space.total_bytes);
  CHECK(strict->create(body_name, 1).error().code == ErrorCode::storage_full);
}

TEST_CASE("names that are not hexadecimal never reach the file system") {
  test::TemporaryDirectory directory;
  auto files = *BodyFiles::open(directory / "bodies");
  for (std::string bad : {"", "abc", "../../etc/passwd", "abcd/ef", "ABCD", "abcd\n"}) {
    CAPTURE(bad);
    CHECK(files->create(bad, 1).error().code == ErrorCode::bad_request);
    CHECK(files->read_at(bad, 0, 1).error().code == ErrorCode::bad_request);
    CHECK(files->remove(bad).error().code == ErrorCode::bad_request);
  }
}

TEST_CASE("a staging file grows, shortens and goes") {
  test::TemporaryDirectory directory;
  auto files = *BodyFiles::open(directory / "staging");
  CHECK(files->write_at(body_name, 0, Bytes{1}).error().code == ErrorCode::not_found);
  REQUIRE(files->create(body_name, 0));
  REQUIRE(files->write_at(body_name, 0, Bytes{1, 2, 3}));
  REQUIRE(files->write_at(body_name, 3, Bytes{4, 5}));
  CHECK(*files->read_at(body_name, 1, 100) == Bytes{2, 3, 4, 5});
  CHECK(files->read_at(body_name, 100, 1)->empty());
  REQUIRE(files->truncate(body_name, 2));
  CHECK(*files->size(body_name) == 2);
  REQUIRE(files->sync(body_name));
  REQUIRE(files->remove(body_name));
  REQUIRE(files->remove(body_name));
  CHECK(files->sync(body_name).error().code == ErrorCode::not_found);
}

TEST_CASE("listing pages through everything in name order; unfinished files go at opening") {
  test::TemporaryDirectory directory;
  std::vector<std::string> names;
  {
    auto files = *BodyFiles::open(directory / "bodies");
    for (int i = 0; i < 40; ++i) {
      std::string hex = to_hex(Bytes{static_cast<uint8_t>(i * 37), static_cast<uint8_t>(i % 3), static_cast<uint8_t>(i)});
      REQUIRE(files->create(hex, static_cast<uint64_t>(i)));
      names.push_back(hex);
    }
  }
  std::ofstream(directory / "bodies/tmp/abcdef") << "half";
  std::ofstream(directory / "bodies/notes.txt") << "not ours";
  auto files = *BodyFiles::open(directory / "bodies");
  std::sort(names.begin(), names.end());
  std::vector<std::string> seen;
  for (std::string after;;) {
    auto page = *files->list(after, 7);
    for (auto& file : page) seen.push_back(file.name);
    if (page.size() < 7) break;
    after = page.back().name;
  }
  CHECK(seen == names);
  struct stat status {};
  CHECK(::stat((directory / "bodies/tmp/abcdef").c_str(), &status) != 0);
}
