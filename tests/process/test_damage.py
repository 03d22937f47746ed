"""A disk that forgets what it was given: bits of bodies and of rows flipped under real daemons; found, named, mended (3.9, R24)."""
import json
import os
import shutil
import subprocess
import unittest

from support import PDF, RestartingTest, letter, practice, wait_until

LARGE = PDF + bytes(range(256)) * 2400  # 600 KiB: a body file of three chunks
WALK_EVERY = 3  # seconds; else it takes days


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x20]))
        file.flush()
        os.fsync(file.fileno())


def configure(daemon, name, **values):
    """Sets keys of a table in the daemon's configuration; they hold from its next start."""
    path = os.path.join(daemon.home, name)
    with open(path) as file:
        lines = file.read().splitlines()
    for key, value in values.items():
        table, member = key.split("__")
        at = lines.index(f"[{table}]")
        end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith("[")), len(lines))
        lines = lines[:at + 1] + [f"{member} = {value}"] + [line for line in lines[at + 1:end] if not line.startswith(member + " ")] + lines[end:]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


class Damage(RestartingTest):
    serial = 700

    @classmethod
    def prepare(cls, realm):
        for broker in realm.brokers.values():
            configure(broker, "broker.toml", scrub__every=f'"{WALK_EVERY}s"')
        for node in realm.nodes.values():
            configure(node, "node.toml", scrub__every=f'"{WALK_EVERY}s"')

    def send(self, name, to, files=(("cong-van.pdf", PDF), ("phu-luc.pdf", LARGE))):
        type(self).serial += 1
        symbol = {"symbol": "CV/VPTW"} if name == "party" else {}  # HD 05-HD/VPTW
        return self.node(name).api.send(to, letter(self.serial, **symbol), files)["id"]

    def kill_all_but(self, broker):
        for other in self.realm.brokers.values():
            if other is not broker:
                other.kill()

    def act(self, daemon, name, code=0):
        done = daemon.act(name)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def status(self, broker):
        try:
            with open(os.path.join(broker.home, "status.json")) as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def body_file(self, daemon, document_id):
        for folder, _, names in os.walk(os.path.join(daemon.home, "bodies")):
            if document_id in names:
                return os.path.join(folder, document_id)
        self.fail(f"{daemon.name} has no body of {document_id}")

    def health(self, name):
        return self.node(name).api.get("/v1/health")

    def problem(self, name, code):
        return next((one for one in self.health(name)["problems"] if one["code"] == code), None)

    # ---- bodies -------------------------------------------------------------------------------------------------

    def test_a_rotten_body_at_a_broker_is_found_told_and_sent_again(self):
        self.node("front").kill()
        document = self.send("gov", ["M01"])
        self.wait_item("gov", document, "M01", lambda item: item["custodies"] == 3)
        document_id = self.document_id("gov", document)
        broker = self.realm.brokers["b1"]
        path = self.body_file(broker, document_id)
        with open(path, "rb") as file:
            content = file.read()
        repaired = self.status(broker).get("scrub", {}).get("repaired_bodies", 0)
        flip(path, 300000)

        def mended():
            with open(path, "rb") as file:
                return file.read() == content
        wait_until(mended, 60, "its sender sent the chunk again", broker.check_alive)
        scrub = wait_until(lambda: (s := self.status(broker).get("scrub", {})).get("repaired_bodies", 0) > repaired and s, 30, "status")
        self.assertEqual(scrub["open_bodies"], 0)
        self.assertIn("body.was_damaged", broker.log())
        self.assertIn("broker.lost_envelope", self.node("gov").log())
        self.wait_item("gov", document, "M01", lambda item: item["custodies"] == 3)
        # It alone can serve what it says it holds.
        self.kill_all_but(broker)
        self.node("front").start().wait_ready(1)
        arrival = self.wait_arrival("front", document_id)["arrival"]
        status, _, served = self.node("front").api.call("GET", f"/v1/inbox/{arrival}/files/2")
        self.assertEqual((status, served), (200, LARGE))

    def test_a_rotten_body_at_its_recipient_is_fetched_again_from_a_broker(self):
        document = self.send("gov", ["M01"])
        self.wait_delivered("gov", document, "M01")
        self.mend_at_recipient(document, "gov")

    def test_a_rotten_body_that_no_broker_has_is_asked_of_its_sender(self):
        document = self.send("gov", ["M01"])
        self.wait_delivered("gov", document, "M01")
        # Brokers that begin anew hold nothing of what was answered before.
        for broker in self.realm.brokers.values():
            broker.kill()
            os.rename(os.path.join(broker.home, "store"), os.path.join(self.folder, f"{broker.name}.store.{self.serial}"))
            os.rename(os.path.join(broker.home, "bodies"), os.path.join(self.folder, f"{broker.name}.bodies.{self.serial}"))
        for broker in self.realm.brokers.values():
            self.realm.accept(broker)
            broker.start()
        for node in self.realm.nodes.values():
            node.wait_ready(3)
        self.mend_at_recipient(document, "gov")
        self.assertIn("recipient.lost_content", self.node("gov").log())
        self.wait_delivered("gov", document, "M01")

    def mend_at_recipient(self, document, sender):
        front = self.node("front")
        document_id = self.document_id(sender, document)
        row = self.wait_arrival("front", document_id)
        front.api.post(f"/v1/inbox/{row['arrival']}/register", {"person": "Trần Thị Bình"})
        before = front.api.get(f"/v1/inbox/{row['arrival']}")
        repaired = self.health("front")["scrub"]["repaired_bodies"]
        flip(self.body_file(front, document_id), 5000)

        def whole():
            scrub = self.health("front")["scrub"]
            return scrub["repaired_bodies"] > repaired and not scrub["damaged_received"]
        wait_until(whole, 90, "the body is whole again", front.check_alive)
        self.assertIn("body.was_damaged", front.log())
        status, _, served = front.api.call("GET", f"/v1/inbox/{row['arrival']}/files/2")
        self.assertEqual((status, served), (200, LARGE))
        # The same document, registered as it was, and no other.
        after = front.api.get(f"/v1/inbox/{row['arrival']}")
        for key in ("document_id", "state", "register_number", "received"):
            self.assertEqual(after.get(key), before.get(key))
        self.assertEqual([r["document_id"] for r in self.inbox("front")].count(document_id), 1)

    def test_a_rotten_body_of_a_sent_document_is_named(self):
        document = self.send("party", ["M01"])
        self.wait_delivered("party", document, "M01")
        party = self.node("party")
        bodies = [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(party.home, "bodies")) for name in names]
        flip(max(bodies, key=os.path.getsize), 5000)
        document_id = self.document_id("party", document)
        wait_until(lambda: document_id in self.health("party")["scrub"]["damaged_sent"], 60, "named", party.check_alive)
        self.assertEqual(self.problem("party", "sent_bodies_damaged")["severity"], "error")
        said = self.realm.tram(party, "--lang", "en", "doctor", check=False)
        self.assertIn("sent documents is damaged", said.stdout)

    # ---- rows ---------------------------------------------------------------------------------------------------

    def spoil_row(self, daemon, needle):
        """Flips a bit of a value whose bytes hold `needle`, or lie just behind it, in the store of a daemon that is down."""
        path = os.path.join(daemon.home, "store", "data.mdb")
        with open(path, "rb") as file:
            data = file.read()
        found, at = 0, data.find(needle)
        while at >= 0:  # pages that are free now may hold older copies: all of them
            flip(path, at + len(needle) + 8)
            found += 1
            at = data.find(needle, at + 1)
        self.assertGreater(found, 0, "the row is not in the file")

    def test_a_rotten_row_at_a_broker_is_named_and_its_sender_puts_it_again(self):
        self.node("front").kill()
        document = self.send("gov", ["M01"], [("cong-van.pdf", PDF)])
        self.wait_item("gov", document, "M01", lambda item: item["custodies"] == 3)
        document_id = self.document_id("gov", document)
        broker = self.realm.brokers["b1"]
        broker.kill()
        self.spoil_row(broker, b"EDXE\x00\x01")
        said = self.act(broker, "recover")
        self.assertIn("damaged: envelope ", said)
        self.assertIn("New epoch", said)
        broker.start()
        self.kill_all_but(broker)
        self.node("front").start().wait_ready(1)
        self.wait_arrival("front", document_id, 90)

    def test_a_rotten_feed_at_a_node_stops_nothing_for_long(self):
        gov, front = self.node("gov"), self.node("front")
        self.wait_delivered("gov", self.send("gov", ["M01"], [("cong-van.pdf", PDF)]), "M01")
        party = front.api.get("/v1/self")["agency"]["id"]
        gov.kill()
        self.spoil_key(gov, "dir_kx", bytes.fromhex(party))
        said = self.act(gov, "recover")
        self.assertIn("damaged: dir_kx " + party, said)
        gov.start().wait_ready(3)
        self.wait_delivered("gov", self.send("gov", ["M01"], [("cong-van.pdf", PDF)]), "M01", 90)

    def spoil_key(self, daemon, table, key):
        """Flips a bit in the value of one row: sealed values say nothing, so it is found by its key, and the file is put back
        as it was wherever another row turns out to be hit."""
        path = os.path.join(daemon.home, "store", "data.mdb")
        with open(path, "rb") as file:
            original = file.read()
        at = original.find(key)
        while at >= 0:
            flip(path, at + len(key) + 30)
            copy = os.path.join(self.folder, "probe")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(daemon.home, copy, ignore=shutil.ignore_patterns("api.sock", "bodies"))
            os.makedirs(os.path.join(copy, "bodies"), mode=0o700)
            said = daemon.act("recover", home=copy)
            if f"damaged: {table} {key.hex()}" in said.stdout and said.stdout.count("damaged: ") - said.stdout.count("  damaged: ") == 1:
                return
            with open(path, "wb") as file:
                file.write(original)
            at = original.find(key, at + 1)
        self.fail(f"no row {table} {key.hex()} in {path}")

    # ---- whole recipes of deploy/OPERATIONS.md ------------------------------------------------------------------

    def test_from_a_dying_disk_to_a_new_one(self):
        front = self.node("front")
        first = self.send("gov", ["M01"])
        self.wait_delivered("gov", first, "M01")
        good = os.path.join(self.folder, "front-good")
        done = front.act("backup", "--to", good)
        self.assertEqual(done.returncode, 0, done.stderr)
        second = self.send("gov", ["M01"])
        self.wait_delivered("gov", second, "M01")
        # The disk forgets: a backup of it says so and is no backup.
        front.kill()
        flip(self.body_file(front, self.document_id("gov", second)), 100)
        bad = os.path.join(self.folder, "front-bad")
        done = front.act("backup", "--to", bad)
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.document_id("gov", second), done.stderr)
        self.assertFalse(os.path.exists(bad))
        old = front.home
        new = front.home + ".new"
        os.mkdir(new, 0o700)
        shutil.copy(os.path.join(old, "node.toml"), new)
        done = front.act("restore", "--from", good, home=new)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        os.rename(old, old + ".dead")
        os.rename(new, old)
        front.start().wait_ready(3)
        for document in (first, second):
            document_id = self.document_id("gov", document)
            arrival = self.wait_arrival("front", document_id, 90)["arrival"]
            status, _, served = front.api.call("GET", f"/v1/inbox/{arrival}/files/2")
            self.assertEqual((status, served), (200, LARGE))
            self.assertEqual([r["document_id"] for r in self.inbox("front")].count(document_id), 1)

    def test_a_broker_whose_keys_are_lost_is_replaced_by_another(self):
        self.node("front").kill()
        waiting = self.send("gov", ["M01"], [("cong-van.pdf", PDF)])
        self.wait_item("gov", waiting, "M01", lambda item: item["custodies"] == 3)
        old = self.realm.brokers.pop("b2")
        party = self.status_party(old)
        old.kill()
        shutil.rmtree(old.home)
        fresh = self.realm.add_broker("b3", "site-2")
        self.realm.authority("propose", "broker", "--id", party, "--retire", secret=True)
        self.realm.accept(fresh)
        fresh.start()
        self.realm.publish()
        self.node("front").start()

        def known(name):
            brokers = {one["name"]: one["connected"] for one in self.health(name)["brokers"]}
            return brokers.get("b3") and "b2" not in brokers
        for name in ("gov", "front"):
            self.node(name).wait_ready(0)
            wait_until(lambda: known(name), 90, f"{name} knows the new broker", self.node(name).check_alive)
        self.wait_arrival("front", self.document_id("gov", waiting), 90)
        self.node("front").kill()
        later = self.send("gov", ["M01"], [("cong-van.pdf", PDF)])
        self.wait_item("gov", later, "M01", lambda item: item["custodies"] == 3)
        # It alone gives back what it took.
        self.kill_all_but(fresh)
        self.node("front").start().wait_ready(1)
        self.wait_arrival("front", self.document_id("gov", later), 90)

    def status_party(self, broker):
        return wait_until(lambda: self.status(broker).get("party"), 30, "the broker's status", broker.check_alive)

    def test_no_room_at_a_broker_is_said_and_loses_nothing(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a small file system needs root")
        self.node("front").kill()  # what was delivered wants no third custody
        broker = self.realm.brokers["b1"]
        broker.stop()
        store = os.path.join(broker.home, "store")
        moved = store + ".moved"
        os.rename(store, moved)
        os.mkdir(store, 0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", store], stderr=subprocess.PIPE)
        if mounted.returncode != 0:
            os.rmdir(store)
            os.rename(moved, store)
            broker.start()
            self.skipTest("tmpfs cannot be mounted here")
        try:
            subprocess.run(["cp", "-a", "--sparse=always", moved + "/.", store], check=True)
            broker.start()
            self.node("gov").wait_ready(3)
            filler = os.path.join(store, "filler")
            documents = []

            def taken_back():
                # The watermarks look every few seconds: what comes before they look finds no room.
                with open(filler, "wb") as file:
                    room = os.statvfs(store)
                    file.write(b"\0" * (room.f_bavail * room.f_frsize))
                # More than the pages that lie free inside the store's file.
                documents.extend(self.send("gov", ["M01"], [("cong-van.pdf", PDF + b"x" * 20000)]) for _ in range(24))
                try:
                    wait_until(lambda: "store.was_full" in broker.log(), 4, "a step is taken back")
                    return True
                except practice.RealmError:
                    os.remove(filler)
                    wait_until(lambda: self.status(broker).get("disk_used_percent", 100) < 80, 30, "room again", broker.check_alive)
                    return False
            wait_until(taken_back, 120, "a write that finds no room")
            wait_until(lambda: self.status(broker).get("storage_full", 0) > 0, 30, "the status says so", broker.check_alive)
            for document in documents:  # the others have them
                self.wait_item("gov", document, "M01", lambda item: item["custodies"] >= 2)
            os.remove(filler)
            for document in documents:
                self.wait_item("gov", document, "M01", lambda item: item["custodies"] == 3, 90)
        finally:
            broker.kill()
            subprocess.run(["umount", store], check=True)
            os.rmdir(store)
            os.rename(moved, store)
        done = broker.act("recover")  # an older store than what it said: as after a restore
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        broker.start()

    # ---- poison -------------------------------------------------------------------------------------------------

    def test_what_was_being_opened_at_four_deaths_is_put_aside(self):
        front = self.node("front")
        front.kill()
        document = self.send("gov", ["M01"], [("cong-van.pdf", PDF)])
        self.wait_item("gov", document, "M01", lambda item: item["custodies"] == 3)
        envelope = self.items("gov", document)["M01"]["envelope_id"]
        for broker in self.realm.brokers.values():
            broker.kill()
        for _ in range(4):
            # As a process leaves it that dies while it opens this envelope.
            path = os.path.join(front.home, "opening")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write((1).to_bytes(4, "big") + bytes.fromhex(envelope))
            front.start().wait_ready(0)
            self.assertFalse(os.path.exists(path))
            front.kill()
        for broker in self.realm.brokers.values():
            broker.start()
        front.start().wait_ready(3)
        listed = wait_until(lambda: front.api.get("/v1/quarantine")["items"], 60, "it is put aside", front.check_alive)
        self.assertEqual([item["envelope_id"] for item in listed], [envelope])
        self.wait_item("gov", document, "M01", lambda item: item["state"]["name"] == "rejected")
        self.assertTrue(self.problem("front", "quarantined"))
        self.assertIn(self.document_id("gov", document), self.realm.tram(front, "inbox", "--quarantine"))
        # The channel goes on, and a proper end blames nothing.
        self.wait_delivered("gov", self.send("gov", ["M01"], [("cong-van.pdf", PDF)]), "M01")
        self.assertTrue(os.path.exists(os.path.join(front.home, "opening")))
        front.stop()
        self.assertFalse(os.path.exists(os.path.join(front.home, "opening")))
        front.start().wait_ready(3)


if __name__ == "__main__":
    unittest.main()
