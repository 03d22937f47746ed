"""The project holds to its own rules: the include tables of docs/architecture.md, the language it may use, its words,
its error table."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checks  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Tidy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = checks.Tree(TOP)
        cls.architecture = checks.Architecture(cls.tree.text("docs/architecture.md"))

    def none(self, violations):
        if violations:
            self.fail("%d violations:\n%s" % (len(violations), "\n".join(violations)))

    def test_there_is_something_to_check(self):
        self.assertGreater(len(self.tree.cxx()), 20)
        for room in ("base/", "proto/", "crypto/", "directory/", "audit/", "broker/", "node/", "tests/sim/"):
            self.assertIn(room, self.architecture.rooms)

    def test_rows_name_rooms(self):
        for room, may in self.architecture.rooms.items():
            self.assertFalse(may - set(self.architecture.rooms), room)

    def test_walls_that_no_row_may_open(self):
        rooms = self.architecture.rooms
        for room, may in rooms.items():
            if room.startswith("broker/"):
                self.assertFalse([other for other in may if other.startswith("node/")], room)
            if room.startswith("node/"):
                self.assertFalse([other for other in may if other.startswith("broker/")], room)
            if "/io/" not in room and room not in ("node/cli/", "tests/unit/", "tests/crash/", "tests/chaos/", "tests/fuzz/", "tests/bench/"):
                self.assertFalse([other for other in may if "/io/" in other], room)

    def test_includes_follow_the_tables(self):
        self.none(checks.check_includes(self.tree, self.architecture))

    def test_language(self):
        self.none(checks.check_language(self.tree))

    def test_headers_open_with_what_they_are(self):
        self.none(checks.check_headers(self.tree))

    def test_log_events_are_constants(self):
        self.none(checks.check_log_events(self.tree))

    def test_files_fit_one_room(self):
        self.none(checks.check_lengths(self.tree))

    def test_words(self):
        self.none(checks.check_words(self.tree))

    def test_error_table(self):
        self.none(checks.check_error_table(self.tree.text("base/error_table.def")))


if __name__ == "__main__":
    unittest.main()
