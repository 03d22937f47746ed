"""What the documents name is there: files of the tree, rooms, rules of law with their tests."""
import os
import re
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = re.compile(r"`((?:tests|docs|deploy|base|proto|crypto|directory|audit|broker|node)/[\w./-]*\.(?:cpp|h|py|md|txt|def|json))`")


def text(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


def missing(document, exists):
    return [path for path in PATH.findall(document) if not exists(path)]


class Docs(unittest.TestCase):
    def test_files_that_documents_name_exist(self):
        for document in ("docs/architecture.md", "docs/decisions.md", "docs/phap-ly.md", "docs/style.md", "SECURITY.md"):
            self.assertEqual(missing(text(document), lambda path: os.path.exists(os.path.join(TOP, path))), [], document)

    def test_every_rule_has_a_test_or_says_that_it_has_none(self):
        rows = 0
        for line in text("docs/phap-ly.md").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not line.startswith("|") or cells[0] in ("Quy định", "Yêu cầu") or set(line) <= set("|-"):
                continue
            rows += 1
            self.assertEqual(len(cells), 3, line)
            self.assertTrue("`tests/" in cells[2] or "chưa có" in cells[2], line)
        self.assertGreater(rows, 20)

    def test_the_look_for_files_sees_a_missing_one(self):
        self.assertEqual(missing("see `tests/unit/none.cpp` and `docs/x.md`", lambda path: path == "docs/x.md"),
                         ["tests/unit/none.cpp"])


if __name__ == "__main__":
    unittest.main()
