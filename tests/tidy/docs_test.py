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


def segments_of_source(source):
    """The words that the local API's router compares parts of a path with."""
    return set(re.findall(r'(?:resource|parts\[\d\]) [!=]= "(\w+)"', source))


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

    def test_the_router_and_openapi_name_the_same_resources(self):
        routed = set()
        for name in os.listdir(os.path.join(TOP, "node", "api")):
            if name.endswith(".cpp"):
                routed |= segments_of_source(text(f"node/api/{name}"))
        documented = {part for path in re.findall(r"^  (/v1/[^:]+):$", text("docs/openapi.yaml"), re.M)
                      for part in path.split("/")[2:] if "{" not in part}
        self.assertGreater(len(documented), 12)
        self.assertEqual(routed, documented)
        described = text("docs/api.md")
        self.assertEqual([part for part in documented if part not in described], [])

    def test_the_look_for_resources_sees_one(self):
        self.assertEqual(segments_of_source('if (resource == "a" || parts[1] != "b" || other == "c")'), {"a", "b"})

    def test_the_look_for_files_sees_a_missing_one(self):
        self.assertEqual(missing("see `tests/unit/none.cpp` and `docs/x.md`", lambda path: path == "docs/x.md"),
                         ["tests/unit/none.cpp"])


if __name__ == "__main__":
    unittest.main()
