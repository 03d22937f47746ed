"""Logs before their witnesses, over real daemons: cosignatures, an old copy of a broker's store, a forked log."""
import json
import os
import shutil
import signal
import time
import unittest

from support import BINARIES, PDF, RealmTest, letter, wait_until
from realm import Node, command


def status_of(daemon):
    try:
        with open(os.path.join(daemon.home, "status.json")) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


class Logs(RealmTest):
    @classmethod
    def prepare(cls, realm):
        realm.add_witness("thanh-tra", "Thanh tra Chính phủ")

    def send(self, name, to, number):
        return self.node(name).api.send(to, letter(number), (("cong-van.pdf", PDF),))["id"]

    def log(self, name):
        return self.node(name).api.get("/v1/health")["log"]

    def wait_cosigned(self, name, kinds, seconds=120):
        """Until the newest checkpoint of a node has these many cosignatures of brokers and of witnesses."""
        def look():
            found = [one["kind"] for one in self.log(name)["cosigners"]]
            return (found.count("broker"), found.count("witness")) >= kinds and self.log(name)
        return wait_until(look, seconds, f"cosignatures at {name}", self.all_alive)

    def test_1_brokers_and_an_independent_witness_cosign_a_nodes_log(self):
        self.wait_delivered("gov", self.send("gov", ["D01"], 1), "D01")
        log = self.wait_cosigned("gov", (3, 1))
        self.assertEqual(log["standing"], "sound")
        self.assertGreater(log["size"], 0)
        self.assertTrue(log["origin"].startswith("edx/"))
        # The receipt's bundle proves that it was logged, and who countersigned.
        saved = os.path.join(self.folder, "receipts")
        document = self.node("gov").api.get("/v1/documents")["items"][0]["id"]
        def proven():
            shutil.rmtree(saved, ignore_errors=True)
            self.realm.tram(self.node("gov"), "receipts", document, "--save", saved)
            path = os.path.join(saved, sorted(os.listdir(saved))[0])
            said = json.loads(self.realm.tram(self.node("gov"), "--json", "verify", path))
            return {one["what"]: one["ok"] for one in said["findings"]} if "log_proof" in str(said) else None
        findings = wait_until(proven, 120, "a log proof in the bundle", self.all_alive)
        self.assertEqual((findings["log_proof"], findings["log_cosigners"]), (True, True))
        witness = self.realm.witnesses["thanh-tra"]
        status = wait_until(lambda: witness.status().get("cosigned", 0) >= 6 and witness.status(), 120,
                            "the logs of three brokers and three nodes", self.all_alive)
        self.assertEqual((status["brokers"], status["evidence"]), (3, 0))

    def directory(self, name):
        return self.node(name).api.get("/v1/health")["directory"]

    def test_1_the_directory_is_confirmed_by_brokers_and_the_witness_and_anew_when_it_grows(self):
        first = wait_until(lambda: self.directory("gov")["confirmed"] and self.directory("gov"), 150,
                           "two brokers' and the witness's cosignatures", self.all_alive)
        self.assertEqual((first["freshness"], first["contradictions"]), ("fresh", []))
        self.assertIn("witness", [one["kind"] for one in first["cosigners"]])
        self.realm.add_agency("Kiểm toán Nhà nước", "G90")
        self.realm.publish()

        def confirmed_anew():
            shown = self.directory("gov")
            return shown["size"] > first["size"] and shown["confirmed"] > first["confirmed"] and shown
        self.assertEqual(wait_until(confirmed_anew, 150, "the new view", self.all_alive)["freshness"], "fresh")

    def test_2_a_broker_put_back_to_an_old_copy_notices_and_loses_nothing(self):
        broker = self.realm.brokers["b0"]
        epoch = wait_until(lambda: status_of(broker).get("epoch"), 60, "status of b0", self.all_alive)
        broker.stop()
        held = status_of(broker)["log_size"]
        copy = os.path.join(self.folder, "old-b0")
        shutil.copytree(broker.home, copy)
        broker.start()
        documents = [self.send("gov", ["D01", "M01"], 20 + i) for i in range(3)]
        for document in documents:
            self.wait_delivered("gov", document, "D01")
        # Its peers hold a checkpoint of what the copy lacks.
        def witnessed():
            status = status_of(broker)
            return status.get("cosigners", 0) >= 2 and status["checkpoint"] > held
        wait_until(witnessed, 120, "b0's log witnessed by its peers", self.all_alive)
        broker.kill()
        shutil.rmtree(broker.home)
        shutil.copytree(copy, broker.home)
        os.unlink(os.path.join(broker.home, "status.json"))
        broker.start()
        status = wait_until(lambda: status_of(broker).get("epoch") not in (None, epoch) and status_of(broker), 60,
                            "a new epoch", self.all_alive)
        self.assertNotEqual(status["epoch"], epoch)
        self.assertIn("store.is_restored_copy", broker.log())
        wait_until(lambda: "log.was_rebased" in broker.log(), 60, "the missing leaves", self.all_alive)
        after = [self.send("gov", ["D01", "M01"], 30 + i) for i in range(3)]
        for document in documents + after:
            for code in ("D01", "M01"):
                self.wait_delivered("gov", document, code)
        self.assertEqual([status_of(one).get("evidence") for one in self.realm.brokers.values()], [0, 0, 0])
        wait_until(witnessed, 120, "b0's log goes on", self.all_alive)

    def test_3_a_forked_log_yields_evidence_that_convinces_offline(self):
        """Two copies of one machine run at once: each signs what the other does not have."""
        front = self.node("front")
        self.wait_cosigned("front", (3, 0))
        front.stop()
        clone = Node(self.realm, self.realm.binary("tram-node"), "front-clone", "M01")
        shutil.copytree(front.home, clone.home)
        shutil.copyfile(os.path.join(self.realm.folder, "practice-keys", "front"),
                        os.path.join(self.realm.folder, "practice-keys", "front-clone"))
        front.start()
        clone.start()
        try:
            front.wait_ready(3)
            clone.wait_ready(3)
            # Both sign, while the brokers hold still, before either can learn of the other.
            quiet = {}

            def at_rest():
                sizes = [daemon.api.get("/v1/health")["log"]["signed_size"] for daemon in (front, clone)]
                if quiet.get("sizes") != sizes:
                    quiet.update(sizes=sizes, since=time.monotonic())
                return time.monotonic() - quiet["since"] > 32 and sizes
            sizes = wait_until(at_rest, 150, "nothing signed for 30 seconds", self.all_alive)
            for broker in self.realm.brokers.values():
                broker.process.send_signal(signal.SIGSTOP)
            for daemon, number in ((front, 41), (clone, 42)):
                daemon.api.send(["D01"], letter(number), (("a.pdf", PDF),))
            for daemon, size in zip((front, clone), sizes):
                wait_until(lambda: daemon.api.get("/v1/health")["log"]["signed_size"] > size, 12, "a checkpoint of each", clone.check_alive)
            for broker in self.realm.brokers.values():
                broker.process.send_signal(signal.SIGCONT)

            def files():
                found = []
                for daemon in [*self.realm.brokers.values(), *self.realm.witnesses.values()]:
                    folder = os.path.join(daemon.home, "evidence")
                    if os.path.isdir(folder):
                        found += [os.path.join(folder, name) for name in os.listdir(folder) if not name.startswith(".")]
                return found

            # Whichever branch the witnesses follow outgrows the other, and then tells.
            serial, next_at = 50, time.monotonic()

            def found():
                nonlocal serial, next_at
                if time.monotonic() >= next_at:
                    serial, next_at = serial + 1, time.monotonic() + 10
                    front.api.send(["D01"], letter(serial), (("a.pdf", PDF),))
                return files()

            path = wait_until(found, 180, "evidence")[0]
        finally:
            for broker in self.realm.brokers.values():
                broker.process.send_signal(signal.SIGCONT)
            clone.kill()
        realm = self.node("gov").api.get("/v1/self")["realm"]["id"]
        said = json.loads(command([os.path.join(BINARIES, "tram"), "--json", "verify", path, "--realm", realm]))
        self.assertEqual((said["verdict"], said["kind"]), ("valid", "fork"))
        self.assertEqual(said["name"], "Ủy ban Trung ương Mặt trận Tổ quốc Việt Nam")
        with open(path, "rb") as file:
            content = bytearray(file.read())
        content[60] ^= 1
        with open(os.path.join(self.folder, "spoilt.evidence"), "wb") as file:
            file.write(content)
        spoilt = self.realm.tram(self.node("gov"), "verify", os.path.join(self.folder, "spoilt.evidence"), check=False)
        self.assertEqual(spoilt.returncode, 1, spoilt.stdout)


if __name__ == "__main__":
    unittest.main()
