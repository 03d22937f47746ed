"""`tram`, the clerk's command line, over real daemons: its words, exit codes, hints, JSON, files and progress."""
import json
import os
import pty
import select
import signal
import subprocess
import time
import unittest

import support
from support import PDF, RealmTest, wait_until

practice = support.practice


class CommandLine(RealmTest):
    agencies = {"gov": ("Văn phòng Chính phủ", "G22", {}), "party": ("Văn phòng Trung ương Đảng", "D01", {"branch": "party"})}
    serial = 0

    @classmethod
    def prepare(cls, realm):
        realm.add_agency("Ủy ban nhân dân xã Định Mỹ", "H01.151", level="commune", province="91")
        realm.add_agency("Bộ đã sáp nhập", "G99")
        realm.authority("propose", "succeed", "--from", "G99", "--to", "G22", secret=True)
        realm.authority("propose", "agency", "--code", "D01", "--alias", "000.00.00.D01", secret=True)

    def setUp(self):
        self.home = os.path.join(self.folder, self.id().rsplit(".", 1)[1])
        os.mkdir(self.home)
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": self.home}
        for name in ("TRAM_REALM", "TRAM_SOCKET", "TRAM_URL"):
            self.environment.pop(name, None)

    def arguments(self, name, *arguments):
        return [self.realm.binary("tram"), "--socket", self.node(name).api.socket_path, *map(str, arguments)]

    def run_tram(self, name, *arguments):
        return subprocess.run(self.arguments(name, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120, env=self.environment)

    def tram(self, name, *arguments, code=0):
        done = self.run_tram(name, *arguments)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, name, *arguments, code=0):
        return json.loads(self.tram(name, "--json", *arguments, code=code))

    def bad(self, name, *arguments, code=1):
        """Fails with an error line and a hint line; what it said."""
        done = self.run_tram(name, *arguments)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}{done.stderr}")
        lines = done.stderr.splitlines()
        self.assertEqual([line.split(":")[0] for line in lines], ["Error", "Hint"], f"{arguments}\n{done.stderr}")
        self.assertNotIn("\033", done.stderr)
        return done.stderr

    def file(self, name, content=PDF):
        path = os.path.join(self.home, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def letter(self, **changes):
        """Options of a valid letter."""
        type(self).serial += 1
        options = {"number": f"{self.serial:02d}", "symbol": "VPCP-TH", "type": "Công văn", "subject": "Về việc kiểm tra kết nối",
                   "issued": "2026-11-20", "signer": "Nguyễn Văn An", **changes}
        return [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]

    def send(self, to, *more, **changes):
        """From gov; the document's id."""
        files = [] if "--file" in more else ["--file", self.file(f"van-ban-{self.serial}.pdf")]
        return self.json("gov", "send", "--to", to, *files, *more, *self.letter(**changes))["id"]

    def arrival(self, document):
        return self.wait_arrival("party", self.document_id("gov", document))["arrival"]

    # ---- a clerk's work -----------------------------------------------------------------------------------------

    def test_a_document_goes_out_and_its_receipts_come_back(self):
        annex = "Số liệu,1\n".encode() * 5000
        document = self.send("000.00.00.D01", "--file", self.file("cong-van.pdf"), "--file", self.file("so-lieu.csv", annex),
                             subject="Về việc phòng chống bão")
        self.assertEqual(self.json("gov", "show", document, "--wait", "delivered")["counts"], {"delivered": 1})
        # Its receipt may be here before the second broker's custody: the proof of acceptance wants both.
        self.wait_item("gov", document, "D01", lambda item: item["state"]["name"] == "delivered" and item["custodies"] >= 2)
        self.assertIn(document, self.tram("gov", "outbox", "-q", "phong chong bao", "--state", "delivered"))
        self.assertNotIn(document, self.tram("gov", "outbox", "-q", "han han"))
        self.assertEqual(self.json("gov", "outbox", "--state", "failed")["items"], [])
        self.assertIn("D01", self.tram("gov", "show", document))
        self.assertEqual(self.json("gov", "show", document)["counts"], {"delivered": 1})

        arrival = self.arrival(document)
        self.assertEqual([row["arrival"] for row in self.json("party", "inbox", "-q", "phong chong bao")["items"]], [arrival])
        self.assertIn("Về việc phòng chống bão", self.tram("party", "inbox", "--state", "arrived"))
        self.assertNotIn("phòng chống bão", self.tram("party", "inbox", "--state", "registered"))
        self.assertIn("Nguyễn Văn An", self.tram("party", "show", arrival))
        self.assertEqual(self.json("party", "show", arrival)["files"][1]["name"], "so-lieu.csv")

        saved = os.path.join(self.home, "saved")
        self.tram("party", "save", arrival, "--to", saved)
        for name, content in (("cong-van.pdf", PDF), ("so-lieu.csv", annex)):
            with open(os.path.join(saved, name), "rb") as file:
                self.assertEqual(file.read(), content, name)
        self.assertEqual(sorted(os.listdir(saved)), ["cong-van.pdf", "so-lieu.csv"])
        self.assertIn("--overwrite", self.bad("party", "save", arrival, "--to", saved))
        self.assertEqual(len(self.json("party", "save", arrival, "--to", saved, "--overwrite")), 2)

        said = self.tram("party", "register", arrival, "--person", "Trần Thị Bình", "--unit", "Phòng Tổng hợp", "--date", "2026-01-05")
        self.assertIn("register number", said)
        self.bad("party", "register", arrival)
        self.bad("party", "refuse", arrival, "--reason", "Muộn rồi")
        self.assertEqual(self.json("party", "status", arrival, "04", "--person", "Bình")["status"]["code"], "04")
        self.wait_item("gov", document, "D01", lambda item: (item["status"] or {}).get("code") == "04")

        # The sender's receipts prove everything; the recipient's own, everything but custody.
        held = os.path.join(self.home, "held")
        events = [item["event"]["name"] for item in self.json("gov", "receipts", document, "--save", held)["items"]]
        self.assertEqual(events, ["received", "registered", "assigned"])
        for name in sorted(os.listdir(held)):
            self.assertTrue(name.startswith(document[-8:] + "-"), name)  # a folder may have those of many documents
            self.assertIn("VALID", self.tram("gov", "verify", os.path.join(held, name)))
            self.assertEqual(self.json("gov", "verify", os.path.join(held, name))["verdict"], "valid")
        self.assertIn("Trần Thị Bình", self.tram("gov", "receipts", document))
        given = os.path.join(self.home, "given")
        own = self.json("party", "receipts", arrival, "--save", given)["items"]
        self.assertEqual([item["event"]["name"] for item in own], events)
        self.assertEqual({item["issuer"]["code"] for item in own}, {"D01"})
        for item in own:
            verified = self.json("party", "verify", item["file"], code=2)
            self.assertEqual([finding["what"] for finding in verified["findings"] if finding["ok"] is not True], ["custody_quorum"])

        # Offline: without a node and without a realm to trust it cannot conclude; one byte changed, it refuses.
        sample = os.path.join(held, sorted(os.listdir(held))[0])
        nobody = [self.realm.binary("tram"), "--socket", os.path.join(self.home, "none.sock"), "verify", sample]
        self.assertEqual(subprocess.run(nobody, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment).returncode, 2)
        realm = self.node("gov").api.get("/v1/self")["realm"]["id"]
        self.assertEqual(subprocess.run([*nobody, "--realm", realm], stdout=subprocess.PIPE, env=self.environment).returncode, 0)
        self.assertEqual(subprocess.run([*nobody, "--realm", "00" * 32], stdout=subprocess.PIPE, env=self.environment).returncode, 1)
        with open(sample, "rb") as file:
            content = bytearray(file.read())
        content[40] ^= 1
        tampered = self.file("tampered.edxr", bytes(content))
        self.tram("gov", "verify", tampered, code=1)
        self.tram("gov", "verify", self.file("short.edxr", bytes(content[:100])), code=1)
        self.assertIn("cannot read", self.run_tram("gov", "verify", os.path.join(self.home, "absent.edxr")).stderr)

    def test_a_split_directory_is_verified_offline(self):
        sample = os.path.join(support.TOP, "tests", "vectors", "evidence", "split.bin")
        nobody = [self.realm.binary("tram"), "--socket", os.path.join(self.home, "none.sock"), "--json", "verify"]

        def said(*more):
            return subprocess.run([*nobody, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment)

        realm = json.loads(said(sample).stdout)["realm"]
        self.assertEqual(said(sample).returncode, 2)
        self.assertEqual(said(sample, "--realm", "00" * 32).returncode, 1)
        proven = said(sample, "--realm", realm)
        self.assertEqual(proven.returncode, 0, proven.stderr)
        result = json.loads(proven.stdout)
        self.assertEqual((result["verdict"], result["kind"], len(result["cosigners"])), ("valid", "split", 3))
        self.assertNotEqual(result["root"], result["other_root"])
        with open(sample, "rb") as file:
            content = bytearray(file.read())
        content[200] ^= 1
        self.assertEqual(said(self.file("spoilt.split", bytes(content)), "--realm", realm).returncode, 1)

    def test_to_an_id_and_to_a_group_then_refused_and_recalled(self):
        party = self.json("gov", "directory", "van phong trung uong")["id"]
        document = self.send(party)
        refused = self.arrival(document)
        self.assertIn("refused", self.json("party", "refuse", refused, "--reason", "Không thuộc thẩm quyền")["state"]["name"])
        item = self.wait_item("gov", document, "D01", lambda item: item["state"]["name"] == "refused")
        self.assertEqual(item["reason"], "Không thuộc thẩm quyền")
        self.assertIn("Không thuộc thẩm quyền", self.tram("gov", "show", document))

        group = self.send("branch:party")
        arrival = self.arrival(group)
        self.assertIn(group, self.tram("gov", "recall", group, "--reason", "Sai thể thức"))
        self.wait_item("gov", group, "D01", lambda item: item["state"]["name"] == "recalled")
        self.assertEqual(self.json("party", "show", arrival)["state"]["name"], "recalled")
        nothing = os.path.join(self.home, "nothing")
        self.assertIn("destroyed", self.bad("party", "save", arrival, "--to", nothing))
        self.assertEqual(os.listdir(nothing), [])
        self.bad("gov", "recall", "00" * 16, "--reason", "Không có")

    def test_metadata_from_a_file_and_an_answer_to_an_arrival(self):
        metadata = self.file("metadata.json", json.dumps(practice.letter(99, subject="Từ tệp JSON")).encode())
        document = self.json("gov", "send", "--to", "D01", "--file", self.file("a.pdf"), "--metadata", metadata, "--subject",
                             "Ghi đè trích yếu")["id"]
        self.assertEqual(self.json("gov", "show", document)["metadata"]["subject"], "Ghi đè trích yếu")
        arrival = self.arrival(document)
        answer = self.json("party", "send", "--to", "G22", "--file", self.file("b.pdf"), "--reply-to", arrival,
                           *self.letter(symbol="CV/VPTW"))["id"]
        self.wait_delivered("party", answer, "G22")
        row = self.wait_arrival("gov", self.document_id("party", answer))
        self.assertEqual(row["relation"], "reply")
        self.assertEqual(json.loads(self.tram("gov", "--json", "inbox", "--limit", "1"))["items"][0]["arrival"], row["arrival"])

    def test_the_directory_answers_without_diacritics(self):
        self.assertIn("Ủy ban nhân dân xã Định Mỹ", self.tram("gov", "directory", "uy", "ban", "dinh my"))
        found = self.json("gov", "directory", "dinh my", "--level", "commune", "--province", "91")
        self.assertEqual((found["code"], found["has_node"]), ("H01.151", False))
        self.assertEqual(self.json("gov", "directory", "khong co gi")["items"], [])
        self.assertIn("nothing found", self.tram("gov", "directory", "khong co gi"))
        self.assertIn("G22", self.tram("gov", "directory", "G99"))  # where its mail goes now
        self.assertEqual(self.json("gov", "directory", "--group", "branch:party")["members"], 1)
        self.bad("gov", "directory", "--branch", "navy")

    # ---- what goes wrong ----------------------------------------------------------------------------------------

    def test_wrong_input_is_explained_and_changes_nothing(self):
        pdf = self.file("a.pdf")
        sent = len(self.json("gov", "outbox", "--limit", "1000")["items"])
        program = self.file("a.exe", b"MZ\x90\x00")
        disguised = self.file("b.pdf", b"MZ\x90\x00")
        empty = self.file("empty.pdf", b"")
        huge = os.path.join(self.home, "huge.pdf")
        with open(huge, "wb") as file:
            file.write(PDF)
            file.truncate((2 << 30) + (1 << 20))
        broken = self.file("broken.json", b'{"number": ')
        unknown = self.file("unknown.json", b'{"numbr": "1"}')
        for words, to, files, changes in (
                (["No such agency", "tram directory"], "KHONG.CO", [pdf], {}),
                (["closed", "successor", "G22"], "G99", [pdf], {}),
                (["no node"], "H01.151", [pdf], {}),
                (["No such agency"], "communes:77/navy", [pdf], {}),
                (["number"], "D01", [pdf], {"number": "mười lăm"}),
                (["symbol"], "D01", [pdf], {"symbol": "VPCP TH!"}),
                (["subject"], "D01", [pdf], {"subject": "x" * 600}),
                (["subject"], "D01", [pdf], {"subject": None}),
                (["issued"], "D01", [pdf], {"issued": "20/11/2026"}),
                (["due"], "D01", [pdf], {"due": "2026-02-30"}),
                (["priority_deadline"], "D01", [pdf], {"priority": 4}),
                (["PDF"], "D01", [program], {}),
                (["PDF"], "D01", [disguised], {}),
                (["empty"], "D01", [empty], {}),
                (["b.pdf"], "D01", [pdf, disguised], {}),
                (["a.pdf"], "D01", [pdf, pdf], {}),
                (["size limit"], "D01", [huge], {}),
                (["broken.json"], "D01", [pdf], {"metadata": broken}),
                (["numbr"], "D01", [pdf], {"metadata": unknown})):
            with self.subTest(to=to, changes=changes, files=files):
                said = self.bad("gov", "send", "--to", to, *[part for path in files for part in ("--file", path)],
                                *self.letter(**changes))
                for word in words:
                    self.assertIn(word, said)
        self.assertIn("tram directory", self.bad("gov", "send", "--file", pdf, *self.letter(), code=2))
        self.assertIn("--file", self.bad("gov", "send", "--to", "D01", *self.letter(), code=2))
        self.assertIn("Idempotency-Key", self.bad("gov", "--idempotency-key", "có dấu", "send", "--to", "D01", "--file", pdf,
                                                  *self.letter()))
        for arguments in (("send", "--to", "D01", "--file", os.path.join(self.home, "absent.pdf")), ("send", "--priority", "9"),
                          ("unicorn",), (), ("show",), ("recall", "00" * 16), ("status", "1", "07"), ("inbox", "--limit", "0"),
                          ("answer", "1"), ("answer", "1", "--agree", "--refuse"), ("--lang", "fr", "inbox")):
            self.assertEqual(self.run_tram("gov", *arguments).returncode, 2, arguments)
        for arguments in (("show", "999999"), ("show", "nonsense"), ("save", "999999"), ("register", "999999"),
                          ("refuse", "999999", "--reason", "x"), ("receipts", "999999"), ("receipts", "ff" * 16),
                          ("inbox", "--state", "unicorn"), ("outbox", "--state", "unicorn"), ("inbox", "--unit", "KHONG.CO")):
            self.bad("gov", *arguments)
        self.assertEqual(len(self.json("gov", "outbox", "--limit", "1000")["items"]), sent)
        self.assertEqual(self.json("gov", "show", "999999", code=1)["code"], "not_found")

    def test_a_node_that_is_not_there_is_explained(self):
        nowhere = [self.realm.binary("tram"), "--socket", os.path.join(self.home, "none.sock")]
        for arguments in (["inbox"], ["doctor"], ["directory", "x"]):
            done = subprocess.run([*nowhere, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)
            self.assertEqual((done.returncode, done.stdout), (1, ""), arguments)
            self.assertIn("systemctl", done.stderr)
        vietnamese = subprocess.run([*nowhere, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    env={**self.environment, "LC_ALL": "vi_VN.UTF-8"})
        self.assertEqual([line.split(":")[0] for line in vietnamese.stderr.splitlines()], ["Lỗi", "Gợi ý"])
        token = self.file("token", b"x")
        os.chmod(token, 0o644)
        done = subprocess.run([*nowhere, "--token-file", token, "inbox"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("chmod 600", done.stderr)

    # ---- doctor -------------------------------------------------------------------------------------------------

    def problems(self, name, code=None):
        done = self.run_tram(name, "--json", "doctor")
        if code is not None:
            self.assertEqual(done.returncode, code, done.stdout)
        return {problem["code"] for problem in json.loads(done.stdout)["problems"]} if done.stdout else set()

    def test_doctor_is_content_with_a_healthy_node(self):
        self.assertLessEqual(self.problems("gov", 0), {"practice_realm", "clock_unsynchronised"})
        said = self.tram("gov", "doctor")
        self.assertIn("b0", said)
        self.assertNotIn("ERROR", said)
        self.assertTrue(self.node("gov").api.get("/v1/health")["kx"]["until"])

    def test_without_brokers_documents_wait_and_doctor_says_so(self):
        def pending():
            return {broker["pending"] for broker in self.node("gov").api.get("/v1/health")["brokers"]}
        wait_until(lambda: pending() == {0}, 30, "all brokers have what was sent before")
        for broker in self.realm.brokers.values():
            broker.stop()
        try:
            wait_until(lambda: "unreachable" in self.problems("gov"), 60, "the brokers are missed")
            said = self.tram("gov", "doctor", code=1)
            self.assertIn("ERROR", said)
            self.assertIn("firewall", said)
            done = self.json("gov", "send", "--to", "D01", "--file", self.file("a.pdf"), *self.letter())
            self.assertEqual((done["delivery"], done["notice"]["code"]), ("queued", "unreachable"))

            def backlog():
                return self.node("gov").api.get("/v1/health")["queue"]["depth"] == 1 and pending() == {1}
            wait_until(backlog, 30, "one envelope waits for every broker")
            wait_until(lambda: done["id"] in self.tram("gov", "outbox", "--state", "queued"), 30, "it is shown as queued")
        finally:
            for broker in self.realm.brokers.values():
                broker.start()
            for node in self.realm.nodes.values():
                node.wait_ready(3)
        self.wait_delivered("gov", done["id"], "D01")
        wait_until(lambda: self.node("gov").api.get("/v1/health")["queue"]["depth"] == 0, 30, "nothing waits")

    def test_doctor_sees_a_wrong_clock(self):
        shifted = support.shifted_clock("+10m")
        if not shifted:
            self.skipTest("faketime is not installed")
        node = self.node("party")
        node.stop()
        node.start(environment=shifted)
        try:
            node.wait_ready(3)
            wait_until(lambda: "clock_wrong" in self.problems("party"), 30, "the clock is wrong", node.check_alive)
            self.assertIn("timedatectl", self.tram("party", "doctor", code=1))
        finally:
            node.stop()
            node.start().wait_ready(3)
        self.assertNotIn("clock_wrong", self.problems("party", 0))

    def test_doctor_sees_a_full_disk(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a small file system needs root")
        node = self.node("party")
        node.stop()
        bodies = os.path.join(node.home, "bodies")
        moved = bodies + ".moved"
        os.rename(bodies, moved)
        os.mkdir(bodies, 0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", bodies], stderr=subprocess.PIPE)
        try:
            if mounted.returncode != 0:
                self.skipTest("tmpfs cannot be mounted here")
            filler = os.path.join(bodies, "filler")
            with open(filler, "wb") as file:
                file.write(b"\0" * (23 << 20))
            node.start().wait_ready(3)
            wait_until(lambda: "storage_full" in self.problems("party"), 30, "the disk is full", node.check_alive)
            self.assertIn("Free some space", self.tram("party", "doctor", code=1))
            os.remove(filler)
            wait_until(lambda: "storage_full" not in self.problems("party"), 30, "there is room again", node.check_alive)
        finally:
            node.kill()
            if mounted.returncode == 0:
                subprocess.run(["umount", bodies], check=True)
            os.rmdir(bodies)
            os.rename(moved, bodies)
            node.start().wait_ready(3)

    # ---- a terminal and a pipe ----------------------------------------------------------------------------------

    def send_slowly(self, terminal, *options):
        """Sends a file to a node that is paused for longer than a bar hides; what went to the error stream."""
        path = self.file(f"lon{terminal}{len(options)}.pdf", PDF + os.urandom(4 << 20))
        node = self.node("gov")
        arguments = self.arguments("gov", *options, "send", "--to", "D01", "--file", path, *self.letter())
        ours, theirs = pty.openpty() if terminal else os.pipe()
        node.process.send_signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, env=self.environment)
            os.close(theirs)
            wait_until(lambda: time.monotonic() - started > 1, 5, "a bar would be shown by now")
        finally:
            node.process.send_signal(signal.SIGCONT)
        said = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            said += part
        os.close(ours)
        self.assertEqual(process.wait(60), 0, said)
        return said.decode(errors="replace")

    def test_a_bar_on_a_terminal_and_nothing_on_a_pipe(self):
        bar = self.send_slowly(True)
        self.assertRegex(bar, r"lon.*[█░]{24} +\d+%")
        self.assertTrue(bar.endswith("\r\033[K"), repr(bar[-40:]))
        self.assertEqual(self.send_slowly(False), "")
        self.assertEqual(self.send_slowly(True, "--json"), "")


if __name__ == "__main__":
    unittest.main()
