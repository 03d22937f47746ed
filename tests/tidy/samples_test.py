"""The sample documents: the prescribed parts are there, the same call gives the same bytes, large annexes have their size."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAKE = os.path.join(TOP, "deploy", "samples", "make_samples.py")
STATE = ["CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "Độc lập - Tự do - Hạnh phúc", "Nơi nhận:", "Số: "]
PARTY = ["ĐẢNG CỘNG SẢN VIỆT NAM", "Nơi nhận:", "Số "]


def make(*arguments):
    return subprocess.run([sys.executable, "-B", MAKE, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)


@unittest.skipIf(subprocess.run([sys.executable, "-c", "import reportlab"], capture_output=True).returncode,
                 "ReportLab is not installed for this Python")
@unittest.skipUnless(shutil.which("pdftotext"), "poppler-utils is not installed")
class Documents(Folder):
    def test_prescribed_parts_and_same_bytes(self):
        out = [os.path.join(self.folder, name) for name in ("a", "b")]
        for folder in out:
            done = make("--out", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(out[0], "samples.json"), encoding="utf-8") as file:
            samples = json.load(file)
        self.assertEqual({sample["branch"] for sample in samples}, {"state", "party", "front"})
        self.assertIn(3, [sample["metadata"]["priority"] for sample in samples])
        for sample in samples:
            for name in sample["files"]:
                with open(os.path.join(out[0], name), "rb") as a, open(os.path.join(out[1], name), "rb") as b:
                    self.assertEqual(a.read(), b.read(), name)
            main = os.path.join(out[0], sample["files"][0])
            text = subprocess.run(["pdftotext", "-layout", main, "-"], capture_output=True, text=True, check=True).stdout
            for part in (PARTY if sample["branch"] == "party" else STATE) + [sample["code"], sample["metadata"]["signer"]["name"]]:
                self.assertIn(part, text, sample["code"])
            self.assertEqual("HỎA TỐC" in text, sample["metadata"]["priority"] == 3, sample["code"])
            if sample["branch"] == "party":
                self.assertNotIn("Số:", text)


class Big(Folder):
    def test_exact_size_and_valid(self):
        for size in (2048, 3000000, 9000001):
            path = os.path.join(self.folder, "big.pdf")
            done = make("--big", str(size), "--out", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(os.path.getsize(path), size)
            with open(path, "rb") as file:
                data = file.read()
            start = int(data[-30:].split(b"startxref\n")[1].split(b"\n")[0])
            self.assertTrue(data[start:].startswith(b"xref\n"))
            if shutil.which("pdfinfo"):
                seen = subprocess.run(["pdfinfo", path], capture_output=True, text=True)
                self.assertEqual((seen.returncode, seen.stderr), (0, ""))
                self.assertIn("Pages:           %d" % max(1, size // 3870000), seen.stdout)

    def test_too_small_is_an_error_with_a_hint(self):
        done = make("--big", "100", "--out", os.path.join(self.folder, "x.pdf"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("hint:", done.stderr)


if __name__ == "__main__":
    unittest.main()
