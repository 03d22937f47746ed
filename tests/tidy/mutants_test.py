"""Every planted bug still has its place in the sources, and a mutant file that is wrong is told so. Nothing is built."""
import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(TOP, "tests", "mutants")


def runner():
    """tests/mutants/run as a module; it has no .py, and leaves no compiled copy behind."""
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader = importlib.machinery.SourceFileLoader("mutants_run", os.path.join(FOLDER, "run"))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutants_run", loader))
        loader.exec_module(module)
        return module
    finally:
        sys.dont_write_bytecode = keep


class Mutants(unittest.TestCase):
    def setUp(self):
        self.run_module = runner()

    def mutant(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "x.mutant"
            path.write_text(text, encoding="utf-8")
            return self.run_module.Mutant(path)

    def test_every_mutant_has_its_place(self):
        paths = [path for room in ("mutants", "crash") for path in sorted(pathlib.Path(TOP, "tests", room).glob("*.mutant"))]
        self.assertGreaterEqual(len(paths), 6)
        for path in paths:
            with self.subTest(path.name):
                self.assertTrue(self.run_module.Mutant(path).planted())

    def test_what_is_planted(self):
        head = "# what\nrule: R1\nexpect: I1\nseed: 1\n\n@@ tests/tidy/mutants_test.py\n"
        planted = self.mutant(head + ' FOLDER = os.path.join(TOP, "tests", "mutants")\n+NEW = 1\n').planted()
        text = planted["tests/tidy/mutants_test.py"]
        self.assertIn('FOLDER = os.path.join(TOP, "tests", "mutants")\nNEW = 1\n', text)

    def test_wrong_files(self):
        head = "# what\nrule: R1\nexpect: I1\nseed: 1\n\n@@ tests/tidy/mutants_test.py\n"
        for text in (head + "-this line is " + "nowhere\n", head + "-import os\n+import os\n", head + "-\n"):
            with self.assertRaises(self.run_module.Wrong):
                self.mutant(text).planted()
        for text in ("rule: R1\n", head.replace("seed: 1", "seed: x") + "-import os\n", head.replace("# what\n", "") + "-import os\n"):
            with self.assertRaises(self.run_module.Wrong):
                self.mutant(text)


if __name__ == "__main__":
    unittest.main()
