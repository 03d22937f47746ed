"""Backups and what follows when one is put back: nodes and brokers restored, copies refused, nothing lost, nothing twice."""
import os
import shutil
import unittest

from support import PDF, RestartingTest, letter, wait_until

LARGE = PDF + bytes(range(256)) * 1200  # 300 KiB: a body file


class Recovery(RestartingTest):
    serial = 100

    def good(self, daemon, *arguments):
        done = daemon.act(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def bad(self, daemon, *arguments, code=1):
        done = daemon.act(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def folder_for(self, name):
        return os.path.join(self.folder, f"backup-{name}-{self.id().rsplit('.', 1)[1]}")

    def send(self, name, to, files=(("cong-van.pdf", PDF),)):
        type(self).serial += 1
        symbol = {"symbol": "CV/VPTW"} if name == "party" else {}  # HD 05-HD/VPTW
        return self.node(name).api.send(to, letter(self.serial, **symbol), files)["id"]

    def delivered(self, name, document, code):
        self.wait_item(name, document, code, lambda item: item["state"]["name"] == "delivered" and item["custodies"] >= 2)
        return self.document_id(name, document)

    def put_back(self, daemon, copy):
        """The machine burns; a new one gets the backup."""
        daemon.kill()
        for name in ("store", "bodies", "keys.tram"):
            path = os.path.join(daemon.home, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        said = self.good(daemon, "restore", "--from", copy)
        self.assertIn("found whole", said)
        daemon.start().wait_ready(3)

    def expect_once(self, name, documents):
        def all_there():
            rows = [row["document_id"] for row in self.inbox(name)]
            return all(rows.count(document) == 1 for document in documents)
        wait_until(all_there, 90, f"each document once at {name}")

    # ---- a recipient --------------------------------------------------------------------------------------------

    def test_a_recipient_put_back_is_sent_again_what_it_lost(self):
        gov, party = self.node("gov"), self.node("party")
        before = self.delivered("gov", self.send("gov", ["D01"]), "D01")
        copy = self.folder_for("party")
        said = self.good(party, "backup", "--to", copy)
        self.assertIn("read back", said)
        self.assertIn("exists", self.bad(party, "backup", "--to", copy))

        small, large = self.send("gov", ["D01"]), self.send("gov", ["D01"], [("cong-van.pdf", PDF), ("phu-luc.pdf", LARGE)])
        lost = [self.delivered("gov", small, "D01"), self.delivered("gov", large, "D01")]
        arrival = self.wait_arrival("party", lost[0])["arrival"]
        party.api.post(f"/v1/inbox/{arrival}/register", {"person": "Trần Thị Bình"})
        self.wait_item("gov", small, "D01", lambda item: (item["status"] or {}).get("code") == "03")

        self.put_back(party, copy)
        self.expect_once("party", [before, *lost])
        for document in (small, large):
            self.delivered("gov", document, "D01")
        arrival = self.wait_arrival("party", lost[1])["arrival"]
        status, _, content = party.api.call("GET", f"/v1/inbox/{arrival}/files/2")
        self.assertEqual((status, content), (200, LARGE))
        held = os.path.join(self.folder, "held-party")
        self.realm.tram(gov, "receipts", small, "--save", held)
        for name in os.listdir(held):
            self.realm.tram(gov, "verify", os.path.join(held, name))

        # Life goes on, both ways.
        self.expect_once("gov", [self.delivered("party", self.send("party", ["G22"]), "G22")])
        self.expect_once("party", [self.delivered("gov", self.send("gov", ["D01"]), "D01")])

    # ---- a sender -----------------------------------------------------------------------------------------------

    def test_a_sender_put_back_is_no_forger(self):
        gov = self.node("gov")
        kept = self.send("gov", ["M01"])
        self.delivered("gov", kept, "M01")
        copy = self.folder_for("gov")
        self.good(gov, "backup", "--to", copy)
        forgotten = [self.delivered("gov", self.send("gov", ["M01"]), "M01") for _ in range(3)]

        self.put_back(gov, copy)
        self.assertEqual(self.items("gov", kept)["M01"]["state"]["name"], "delivered")
        fresh = [self.delivered("gov", self.send("gov", ["M01"]), "M01") for _ in range(4)]
        self.expect_once("front", [*forgotten, *fresh])
        # Put back a second time, to the same backup: its numbers are above those of the life between.
        self.put_back(gov, copy)
        again = [self.delivered("gov", self.send("gov", ["M01"]), "M01") for _ in range(2)]
        self.expect_once("front", [*forgotten, *fresh, *again])
        self.expect_once("gov", [self.delivered("front", self.send("front", ["G22"]), "G22")])

    # ---- a broker -----------------------------------------------------------------------------------------------

    def test_a_broker_put_back_opens_a_new_epoch_and_is_filled_again(self):
        broker = self.realm.brokers["b1"]
        copy = self.folder_for("b1")
        self.good(broker, "backup", "--to", copy)
        after = self.send("gov", ["D01"])
        self.delivered("gov", after, "D01")
        self.node("front").kill()
        waiting = self.send("gov", ["M01"], [("cong-van.pdf", PDF), ("phu-luc.pdf", LARGE)])
        self.wait_item("gov", waiting, "M01", lambda item: item["custodies"] == 3)

        broker.kill()
        for name in ("store", "bodies"):
            shutil.rmtree(os.path.join(broker.home, name))
        self.assertIn("New epoch", self.good(broker, "restore", "--from", copy))
        for other in ("b0", "b2"):
            self.realm.brokers[other].kill()
        broker.start()
        # Alone it serves what its sender gave it again, after custody of the old epoch was void.
        self.node("front").start()
        self.node("front").wait_ready()
        document = self.document_id("gov", waiting)
        self.wait_arrival("front", document, 90)
        for other in ("b0", "b2"):
            self.realm.brokers[other].start()
        self.delivered("gov", waiting, "M01")
        self.expect_once("front", [document])

    def test_all_brokers_lost_at_once_lose_nothing(self):
        self.node("front").kill()
        waiting = [self.send("gov", ["M01"]), self.send("gov", ["M01"], [("cong-van.pdf", PDF), ("phu-luc.pdf", LARGE)])]
        for document in waiting:
            self.wait_item("gov", document, "M01", lambda item: item["custodies"] == 3)
        for broker in self.realm.brokers.values():
            broker.kill()
            for name in ("store", "bodies"):
                shutil.rmtree(os.path.join(broker.home, name))
        for broker in self.realm.brokers.values():
            self.realm.accept(broker)  # its own keys and approval, an empty store
            broker.start()
        self.node("front").start().wait_ready(3)
        for document in waiting:
            self.delivered("gov", document, "M01")
        self.expect_once("front", [self.document_id("gov", document) for document in waiting])

    # ---- a machine that was copied ------------------------------------------------------------------------------

    def test_of_two_copies_the_one_that_recovered_goes_on_and_the_other_is_fenced(self):
        front = self.node("front")
        front.kill()
        copy, original = front.home + ".copy", front.home + ".original"
        shutil.copytree(front.home, copy, ignore=shutil.ignore_patterns("api.sock"))
        front.start().wait_ready(3)
        sent = [self.delivered("front", self.send("front", ["G22"]), "G22") for _ in range(2)]
        front.kill()
        os.rename(front.home, original)
        os.rename(copy, front.home)
        self.assertIn("Read back", self.good(front, "recover"))
        front.start().wait_ready(3)
        sent.append(self.delivered("front", self.send("front", ["G22"]), "G22"))
        self.expect_once("gov", sent)

        front.kill()
        os.rename(front.home, copy)
        os.rename(original, front.home)
        front.start()
        def fenced():
            try:
                return [p for p in front.api.get("/v1/health")["problems"] if p["code"] == "fenced"]
            except OSError:
                return None
        wait_until(fenced, 60, "the old copy is fenced", front.check_alive)
        self.assertEqual(front.connected(), 0)
        self.assertIn("tram-node recover", self.realm.tram(front, "--lang", "en", "doctor", check=False).stdout)
        front.kill()
        shutil.rmtree(front.home)
        os.rename(copy, front.home)
        front.start().wait_ready(3)

    # ---- refusals -----------------------------------------------------------------------------------------------

    def test_a_spoilt_copy_is_refused_and_changes_nothing(self):
        party = self.node("party")
        copy = self.folder_for("spoilt")
        self.good(party, "backup", "--to", copy)
        path = os.path.join(copy, "store", "data.mdb")
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        party.kill()
        self.assertIn("store/data.mdb", self.bad(party, "restore", "--from", copy))
        os.unlink(os.path.join(copy, "backup.manifest"))
        self.assertIn("no backup", self.bad(party, "restore", "--from", copy))
        party.start().wait_ready(3)
        self.expect_once("party", [self.delivered("gov", self.send("gov", ["D01"]), "D01")])

    def test_a_restore_waits_for_the_running_node_and_half_of_one_is_none(self):
        party = self.node("party")
        copy = self.folder_for("busy")
        self.good(party, "backup", "--to", copy)
        self.bad(party, "restore", "--from", copy)
        self.assertTrue(party.alive())
        party.kill()
        # As if the machine had died in the middle of a restore: the node refuses to run until one has ended.
        with open(os.path.join(party.home, "needs-recovery"), "w") as file:
            file.write("restore\n")
        os.chmod(file.name, 0o600)
        done = party.act("run")
        self.assertEqual(done.returncode, 1)
        self.assertIn("tram-node recover", done.stderr)
        self.assertIn("Read back", self.good(party, "recover"))
        party.start().wait_ready(3)
        self.expect_once("party", [self.delivered("gov", self.send("gov", ["D01"]), "D01")])


if __name__ == "__main__":
    unittest.main()
