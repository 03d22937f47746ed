"""The checks find what they should: each rule is broken on purpose in a small tree of its own."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks  # noqa: E402

TABLES = """# x
<!-- table: rooms -->
| folder | what | may include | but never |
|---|---|---|---|
| `base/` | | | |
| `base/io/` | | `base/` | |
| `crypto/` | | `base/` | |
| `broker/` | | `base/` `crypto/` | `crypto/seal.h` |
| `node/` | | `base/` `crypto/` | |
| `node/io/` | | `base/` `base/io/` `node/` | |
| `tests/sim/` | | `base/` `node/` `broker/` | |

<!-- table: third-party -->
| header | of | included in |
|---|---|---|
| `sodium.h` | x | `crypto/` |
| `lmdb.h` | x | `base/io/lmdb_store.cpp` |
| `google/protobuf/*` `*.pb.h` | x | `proto/` |
"""
GOOD = {
    "base/bytes.h": "// Bytes.\n#pragma once\n#include <vector>\n",
    "base/io/lmdb_store.cpp": '#include <lmdb.h>\n#include <unistd.h>\n#include "base/bytes.h"\n',
    "base/io/link.h": "// A link.\n#pragma once\n#include <thread>\n",
    "crypto/seal.h": "// Seal.\n#pragma once\n",
    "crypto/hash.cpp": '#include <sodium.h>\n#include "base/bytes.h"\n',
    "broker/broker.h": '// The broker.\n#pragma once\n#include "base/bytes.h"\n',
    "node/node.h": '// The node.\n#pragma once\n#include "crypto/seal.h"\n',
    "node/io/main.cpp": '#include "base/io/link.h"\n#include "node/node.h"\n',
    "tests/sim/world.cpp": '#include "broker/broker.h"\n#include "node/node.h"\n#include <thread>\n',
}


class Planted(unittest.TestCase):
    def tree(self, extra):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, text in {**GOOD, **extra}.items():
            full = os.path.join(folder.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        return checks.Tree(folder.name)

    def one(self, violations, *words):
        self.assertEqual(len(violations), 1, violations)
        for word in words:
            self.assertIn(word, violations[0])

    def includes(self, extra):
        return checks.check_includes(self.tree(extra), checks.Architecture(TABLES))

    def test_a_good_tree_has_no_violation(self):
        tree = self.tree({})
        self.assertEqual(checks.check_includes(tree, checks.Architecture(TABLES)), [])
        for check in (checks.check_language, checks.check_headers, checks.check_log_events, checks.check_lengths,
                      checks.check_words):
            self.assertEqual(check(tree), [])

    def test_pure_code_that_includes_io(self):
        self.one(self.includes({"node/outbox.cpp": '#include "base/io/link.h"\n'}), "node/outbox.cpp:1", "may not")

    def test_broker_that_includes_node(self):
        self.one(self.includes({"broker/mail.cpp": '\n#include "node/node.h"\n'}), "broker/mail.cpp:2", "may not")

    def test_node_that_includes_broker(self):
        self.one(self.includes({"node/mail.cpp": '#include "broker/broker.h"\n'}), "may not")

    def test_broker_that_includes_the_opening_code(self):
        self.one(self.includes({"broker/mail.cpp": '#include "crypto/seal.h"\n'}), "never")

    def test_simulator_that_includes_io(self):
        self.one(self.includes({"tests/sim/run.cpp": '#include "base/io/link.h"\n'}), "may not")

    def test_third_party_header_outside_its_home(self):
        self.one(self.includes({"node/outbox.cpp": "#include <sodium.h>\n"}), "crypto/ only")
        self.one(self.includes({"base/io/other.cpp": "#include <lmdb.h>\n"}), "lmdb_store.cpp only")
        self.one(self.includes({"node/outbox.cpp": '#include "wire.pb.h"\n'}), "proto/ only")

    def test_third_party_header_without_a_row(self):
        self.one(self.includes({"base/io/other.cpp": "#include <boost/asio.hpp>\n"}), "no row")

    def test_clock_thread_or_file_in_pure_code(self):
        for header in ("chrono", "thread", "fstream", "unistd.h", "sys/stat.h", "random", "mutex"):
            self.one(self.includes({"node/outbox.cpp": "#include <%s>\n" % header}), "only io/")

    def test_unordered_container_in_pure_code(self):
        self.one(self.includes({"node/outbox.cpp": "#include <unordered_map>\n"}), "unordered")

    def test_headers_the_compiler_lacks(self):
        for header in ("format", "coroutine", "expected"):
            self.one(self.includes({"node/io/x.cpp": "#include <%s>\n" % header}), header)

    def test_unknown_file_and_unknown_room(self):
        self.one(self.includes({"node/outbox.cpp": '#include "rows.h"\n'}), "from the top")
        self.one(self.includes({"utils/x.cpp": "\n"}), "no folder")

    def test_an_include_in_a_comment_is_none(self):
        self.assertEqual(self.includes({"node/outbox.cpp": '// #include <thread>\n/*\n#include <thread>\n*/\n'}), [])

    def test_language(self):
        for line in ('auto s = std::format("{}", 1);', "co_await x;", "#ifdef TESTING", "#if defined(TRAM_TESTING)",
                     "std::expected<int, int> e;", "using namespace std;"):
            self.one(checks.check_language(self.tree({"node/x.cpp": line + "\n"})), "node/x.cpp:1")
        self.assertEqual(checks.check_language(self.tree({"node/x.cpp": "// co_await, std::format\n"})), [])

    def test_header_without_opening_or_guard(self):
        self.one(checks.check_headers(self.tree({"node/x.h": "#pragma once\n"})), "what it is")
        self.one(checks.check_headers(self.tree({"node/x.h": "// X.\n"})), "pragma")

    def test_log_event_made_of_data(self):
        for call in ("log.info(name);", 'log_->error("Something failed");', "log.warning(subject + x);"):
            self.one(checks.check_log_events(self.tree({"node/x.cpp": call + "\n"})), "node/x.cpp:1")
        good = 'log_.info("outbox.stored", {{"n", 1}});\n'
        self.assertEqual(checks.check_log_events(self.tree({"node/x.cpp": good})), [])

    def test_long_file(self):
        self.one(checks.check_lengths(self.tree({"node/x.cpp": "\n" * 701})), "701 lines")
        self.assertEqual(checks.check_lengths(self.tree({"node/x.json": "\n" * 701, "node/y.cpp": "\n" * 700})), [])

    def test_words(self):
        for words in ("see /wo" "rk/main", "in /tmp/" "bash_jobs.0", "a hel" "per", "// TO" "DO: later", "# FIX" "ME",
                      "https://registry.npmj" "s.org/x", "/ro" "ot/.cache", "/ho" "me/lan/x", "../sha" "red/design"):
            self.one(checks.check_words(self.tree({"docs/x.md": words + "\n"})), "docs/x.md:1")
        self.one(checks.check_words(self.tree({"web/package-lock.json": "https://registry.npmj" "s.org/\n"})), "registry")
        self.assertEqual(checks.check_words(self.tree({"web/package-lock.json": "babel-hel" "per-x\n"})), [])
        self.assertEqual(checks.check_words(self.tree({"docs/x.md": "network/main todo workhelp\n"})), [])

    def test_error_table(self):
        good = 'TRAM_ERROR(a, 1, 400, never, "Lỗi; sửa lại.", "Error; mend it.")\nTRAM_ERROR(b, 2, 503, later, "Bận; thử lại.", "Busy; try again.")\n'
        self.assertEqual(checks.check_error_table(good), [])
        for row, word in (('TRAM_ERROR(a, 3, 400, never, "Lỗi; sửa lại.", "Error; mend it.")', "name a"),
                          ('TRAM_ERROR(c, 2, 400, never, "Lỗi; sửa lại.", "Error; mend it.")', "number 2"),
                          ('TRAM_ERROR(c, 3, 200, never, "Lỗi; sửa lại.", "Error; mend it.")', "HTTP"),
                          ('TRAM_ERROR(c, 3, 400, maybe, "Lỗi; sửa lại.", "Error; mend it.")', "retry"),
                          ('TRAM_ERROR(c, 3, 400, never, "", "Error; mend it.")', "Vietnamese"),
                          ('TRAM_ERROR(c, 3, 400, never, "Error; mend it", "Error; mend it.")', "Vietnamese"),
                          ('TRAM_ERROR(c, 3, 400, never, "Lỗi; sửa lại.", "")', "English"),
                          ('TRAM_ERROR(c, 3, 400, never, "Lỗi; sửa lại.")', "not a row"),
                          ('TRAM_ERROR(c, 3, 400, never, "Lỗi; sửa lại.", "Error.")', "what to do")):
            self.one(checks.check_error_table(good + row + "\n"), word)
        self.one(checks.check_error_table("// nothing\n"), "no rows")


if __name__ == "__main__":
    unittest.main()
