"""The pure libraries ask nothing of the world, and the broker cannot open what it carries: both read from the binaries.
The build directory is $TRAM_BUILD_DIR, or build/dev."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import symbols  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TRAM_BUILD_DIR") or os.path.join(TOP, "build", "dev")
PURE = {  # library -> its sources
    "tram_base": "base/*.cpp", "tram_proto": "proto/*.cpp", "tram_crypto_verify": "crypto/*.cpp",
    "tram_crypto_seal": "crypto/*.cpp", "tram_directory": "directory/*.cpp", "tram_audit": "audit/*.cpp",
    "tram_broker": "broker/*.cpp", "tram_node": "node/*.cpp", "tram_node_api": "node/api/*.cpp",
}
# Code that opens or seals: none of it may be in a broker. The names must exist, or the test would prove nothing.
OPENING = ("hpke_open", "BodyKeys", "unwrap_key")


def library(name):
    found = glob.glob(os.path.join(BUILD, "**", "lib%s.a" % name), recursive=True)
    return found[0] if found else None


def built():
    return os.path.isdir(BUILD)


class Purity(unittest.TestCase):
    def test_pure_libraries_ask_nothing_of_the_world(self):
        if not built():
            self.skipTest("nothing is built in %s" % BUILD)
        bad = []
        for name, sources in PURE.items():
            archive = library(name)
            if archive:
                bad += symbols.impure(name, archive)
            elif glob.glob(os.path.join(TOP, sources)):
                bad.append("%s: has sources but was not built" % name)
        if bad:
            self.fail("%d violations:\n%s" % (len(bad), "\n".join(bad)))

    def test_what_is_allowed_is_still_needed(self):
        if not built():
            self.skipTest("nothing is built in %s" % BUILD)
        for (name, where), allowed in symbols.ALLOWED.items():
            archive = library(name)
            self.assertTrue(archive, name)
            there = {symbol.split("@")[0] for at, symbol in symbols.undefined(archive) if at == where}
            self.assertTrue(there & set(allowed), "%s %s needs none of its exceptions any more" % (name, where))


class BlindBroker(unittest.TestCase):
    def opening_code(self):
        archive = library("tram_crypto_seal")
        if not archive:
            self.skipTest("nothing is built in %s" % BUILD)
        code = symbols.defined_functions(archive, "tram::crypto::")
        for name in OPENING:
            self.assertTrue([f for f in code if name in f], "%s is no longer in the library" % name)
        verify = library("tram_crypto_verify")
        return code - symbols.defined_functions(verify, "tram::crypto::")

    def binary(self, name):
        path = os.path.join(BUILD, "bin", name)
        if not os.path.exists(path):
            if glob.glob(os.path.join(TOP, name.split("-")[1], "io", "*.cpp")):
                self.fail("%s was not built" % name)
            self.skipTest("%s does not exist yet" % name)
        return path

    def test_broker_does_not_contain_the_opening_code(self):
        code = self.opening_code()
        binary = self.binary("tram-broker")
        own = symbols.defined_functions(binary, "tram::")
        self.assertTrue([f for f in own if f.startswith("tram::broker::")], "the binary has no symbols to read")
        self.assertFalse(own & code, "the broker can open")

    def test_node_does(self):
        code = self.opening_code()
        own = symbols.defined_functions(self.binary("tram-node"), "tram::crypto::")
        self.assertTrue(own & code, "the look into the binary sees nothing")


class Planted(unittest.TestCase):
    """The look into a library finds what it should."""

    def archive(self, code):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        source, object_file, archive = (os.path.join(folder, n) for n in ("check.cpp", "check.cpp.o", "libx.a"))
        with open(source, "w", encoding="utf-8") as file:
            file.write(code)
        subprocess.run(["g++", "-std=c++20", "-O1", "-c", source, "-o", object_file], check=True)
        subprocess.run(["ar", "rcs", archive, object_file], check=True)
        return archive

    def test_each_kind_is_found(self):
        for include, call, what in (
                ("time.h", "return time(nullptr)", "clock"),
                ("chrono", "return std::chrono::system_clock::now().time_since_epoch().count()", "clock"),
                ("chrono", "return std::chrono::steady_clock::now().time_since_epoch().count()", "clock"),
                ("time.h", "timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec", "clock"),
                ("sys/socket.h", "return socket(1, 2, 3)", "socket"),
                ("thread", "std::jthread t([] {}); return 0", "thread"),
                ("stdlib.h", "return getenv(\"HOME\") != nullptr", "environment"),
                ("fstream", "std::ifstream f(\"x\"); return f.good()", "file"),
                ("stdio.h", "return fopen(\"x\", \"r\") != nullptr", "file"),
                ("fcntl.h", "return open(\"x\", 0)", "file"),
                ("unistd.h", "char c; return read(0, &c, 1)", "file"),
                ("iostream", "std::cout << 1; return 0", "file"),
                ("random", "return std::random_device()()", "randomness"),
                ("stdlib.h", "return rand()", "randomness"),
                ("sys/random.h", "char c; return getrandom(&c, 1, 0)", "randomness"),
                ("sodium.h", "return randombytes_random()", "randomness"),
                ("sodium.h", "unsigned char p[32], s[64]; return crypto_sign_keypair(p, s)", "randomness"),
                ("lmdb.h", "MDB_env* e; return mdb_env_create(&e)", "LMDB"),
                ("zmq.h", "return zmq_errno()", "ZeroMQ")):
            with self.subTest(call):
                archive = self.archive("#include <%s>\nlong f() { %s; }\n" % (include, call))
                found = symbols.impure("x", archive)
                self.assertTrue([line for line in found if what in line], found)

    def test_keys_from_a_seed_are_pure(self):
        archive = self.archive("#include <sodium.h>\nint f(unsigned char* s) { unsigned char p[32], k[64];\n"
                               "  return crypto_sign_seed_keypair(p, k, s); }\n")
        self.assertEqual(symbols.impure("x", archive), [])

    def test_pure_code_is_left_alone(self):
        archive = self.archive("#include <map>\n#include <string>\n#include <stdexcept>\n#include <sodium.h>\n"
                               "int f(std::map<std::string, int>& m) { unsigned char h[32];\n"
                               "  crypto_generichash(h, 32, nullptr, 0, nullptr, 0);\n"
                               "  if (m.empty()) throw std::runtime_error(std::to_string(h[0])); return ++m[\"time\"]; }\n")
        self.assertEqual(symbols.impure("x", archive), [])

    def test_an_exception_holds_for_its_object_alone(self):
        archive = self.archive('#include <cstdio>\nvoid f(int x) { std::fprintf(stderr, "%d", x); }\n')
        self.assertEqual(symbols.impure("tram_base", archive), [])
        self.assertTrue(symbols.impure("tram_node", archive))

    def test_functions_of_a_library_are_seen(self):
        archive = self.archive("namespace tram::crypto { int hpke_open(int x) { return x + 1; } }\n")
        self.assertEqual(symbols.defined_functions(archive, "tram::crypto::"), {"tram::crypto::hpke_open(int)"})


if __name__ == "__main__":
    unittest.main()
