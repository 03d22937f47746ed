#include <catch2/catch.hpp>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/io/secret_input.h"
#include "tests/unit/temporary_directory.h"

using namespace tram;
using namespace tram::io;

TEST_CASE("a private file that others can read is refused with the command that helps") {
  test::TemporaryDirectory directory;
  std::string path = directory / "key";
  REQUIRE(write_private_file_atomic(path, view("secret")));
  CHECK(text(read_private_file(path, 100)->view()) == "secret");
  CHECK(read_private_file(path, 6)->size() == 6);
  CHECK(read_private_file(path, 5).error().code == ErrorCode::too_large);
  for (mode_t mode : {0640, 0604, 0660, 0601}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    auto refused = read_private_file(path, 100);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::unsafe_permissions);
    CHECK(refused.error().detail == "chmod 600 " + path);
  }
  CHECK(read_private_file(directory / "none", 100).error().code == ErrorCode::not_found);
  CHECK(read_private_file(directory.path(), 100).error().code == ErrorCode::bad_request);
}

TEST_CASE("a private file is replaced whole, or not at all") {
  test::TemporaryDirectory directory;
  std::string path = directory / "key";
  std::ofstream(directory / ".key.tmp") << "left by a crash";
  mode_t before = ::umask(0);
  REQUIRE(write_private_file_atomic(path, view("one"), Replace::refused));
  ::umask(before);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(write_private_file_atomic(path, view("two"), Replace::refused).error().code == ErrorCode::conflict);
  CHECK(to_text(*read_file(path, 100)) == "one");
  REQUIRE(write_private_file_atomic(path, view("two")));
  CHECK(to_text(*read_file(path, 100)) == "two");
  CHECK(write_private_file_atomic(directory / "no/such", view("x")).error().code == ErrorCode::not_found);
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory.path())) ++entries;
  CHECK(entries == 1);
}

TEST_CASE("a secret from a descriptor loses one line end and nothing else") {
  auto through_pipe = [](std::string_view input, size_t max = 20) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(::write(ends[1], input.data(), input.size()) == static_cast<ssize_t>(input.size()));
    ::close(ends[1]);
    return read_secret_fd(ends[0], max);
  };
  CHECK(text(through_pipe("mật khẩu\n")->view()) == "mật khẩu");
  CHECK(text(through_pipe("a b\r\n")->view()) == "a b");
  CHECK(text(through_pipe("a\n\n")->view()) == "a\n");
  CHECK(text(through_pipe("12345\n", 5)->view()) == "12345");
  CHECK(through_pipe("123456", 5).error().code == ErrorCode::too_large);
  CHECK(through_pipe("1234567890", 5).error().code == ErrorCode::too_large);
  CHECK(through_pipe("\n").error().code == ErrorCode::bad_request);
  CHECK(read_secret_fd(999).error().code == ErrorCode::bad_request);
}

TEST_CASE("a credential comes from the service manager's directory only") {
  test::TemporaryDirectory directory;
  std::ofstream(directory / "passphrase") << "bí mật\n";
  ::unsetenv("CREDENTIALS_DIRECTORY");
  CHECK(read_credential("passphrase").error().code == ErrorCode::not_found);
  ::setenv("CREDENTIALS_DIRECTORY", directory.path().c_str(), 1);
  CHECK(text(read_credential("passphrase")->view()) == "bí mật");
  CHECK(read_credential("other").error().code == ErrorCode::not_found);
  for (std::string_view bad : {"", "../passphrase", "a/b", ".."})
    CHECK(read_credential(bad).error().code == ErrorCode::bad_request);
  ::unsetenv("CREDENTIALS_DIRECTORY");
}

TEST_CASE("secret bytes move, shrink and are wiped") {
  SecretBytes a(4);
  std::copy_n("abcd", 4, a.writable().begin());
  SecretBytes b = std::move(a);
  CHECK(a.empty());
  b.shrink(2);
  CHECK(text(b.view()) == "ab");
  b.wipe();
  CHECK(b.empty());
}

TEST_CASE("a plain file is read whole or refused") {
  test::TemporaryDirectory directory;
  std::ofstream(directory / "file") << std::string(1000, 'x');
  CHECK(read_file(directory / "file", 1000)->size() == 1000);
  CHECK(read_file(directory / "file", 999).error().code == ErrorCode::too_large);
  CHECK(read_file("/proc/self/status", 100000)->size() > 100);
}
