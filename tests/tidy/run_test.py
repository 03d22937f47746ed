"""tests/run reads each runner's closing lines rightly: a failure is never taken for a success."""
import os
import subprocess
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def count(kind, log, code=0):
    with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
        file.write(log)
        file.flush()
        done = subprocess.run([os.path.join(TOP, "tests", "run"), "--count", kind, file.name, str(code)],
                              capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip()


class Counting(unittest.TestCase):
    def test_ctest(self):
        self.assertEqual(count("ctest", "100% tests passed, 0 tests failed out of 41\n"), "41 0 0")
        self.assertEqual(count("ctest", "95% tests passed, 2 tests failed out of 41\n", 8), "39 2 0")
        skipped = ("100% tests passed, 0 tests failed out of 5\n\nThe following tests did not run:\n"
                   "\t  3 - base: needs data (Skipped)\n")
        self.assertEqual(count("ctest", skipped), "4 0 1")

    def test_catch(self):
        self.assertEqual(count("catch", "All tests passed (3 assertions in 2 test cases)\n"), "2 0 0")
        self.assertEqual(count("catch", "test cases: 5 | 3 passed | 2 failed\nassertions: 9 | 7 passed | 2 failed\n", 2),
                         "3 2 0")

    def test_unittest(self):
        self.assertEqual(count("unittest", "Ran 7 tests in 0.1s\n\nOK (skipped=2)\n"), "5 0 2")
        self.assertEqual(count("unittest", "Ran 7 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)\n", 1), "3 3 1")
        self.assertEqual(count("unittest", "Ran 1 test in 0.1s\n\nOK\n"), "1 0 0")

    def test_pytest(self):
        self.assertEqual(count("pytest", "..s\n61 passed, 3 skipped in 103.11s (0:01:43)\n"), "61 0 3")
        self.assertEqual(count("pytest", "==== 2 failed, 60 passed, 1 error in 9.5s ====\n", 1), "60 3 0")
        self.assertEqual(count("pytest", "no tests ran in 0.01s\n", 5), "0 1 0 exit code 5")

    def test_counts(self):
        self.assertEqual(count("counts", "x\n500 passed, 0 failed\n"), "500 0 0")
        self.assertEqual(count("counts", "9 passed, 1 failed, 3 skipped\n", 1), "9 1 3")
        self.assertEqual(count("counts", "Done 100 runs\n"), "1 0 0")

    def test_bad_end_without_a_failed_test_is_a_failure(self):
        self.assertEqual(count("counts", "crashed\n", 139), "0 1 0 exit code 139")
        self.assertEqual(count("catch", "All tests passed (3 assertions in 2 test cases)\n", 1), "2 1 0 exit code 1")
        self.assertEqual(count("unittest", "", 124), "0 1 0 out of time")

    def test_no_test_is_a_failure(self):
        self.assertEqual(count("unittest", "Ran 0 tests in 0.0s\n\nOK\n"), "0 1 0 ran no test")
        self.assertEqual(count("ctest", ""), "0 1 0 ran no test")


class Usage(unittest.TestCase):
    def test_unknown_part_is_a_usage_error(self):
        done = subprocess.run([os.path.join(TOP, "tests", "run"), "nonsense"], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 2)
        self.assertIn("hint", done.stderr)


if __name__ == "__main__":
    unittest.main()
