"""Nothing acknowledged is lost and nothing is handed over twice: brokers and nodes killed, disks destroyed."""
import os
import random
import shutil
import threading
import unittest

from support import PDF, RestartingTest, letter, wait_until

SEED = int(os.environ.get("TRAM_TEST_SEED", "20260301"))


class Faults(RestartingTest):
    def send_many(self, name, to, count, first, files=()):
        """Sends `count` documents whatever happens to brokers; retries a refused connection with the same key."""
        api, made = self.node(name).api, []
        for i in range(count):
            body = {"metadata": letter(first + i), "to": to, "files": list(files)}
            key = {"Idempotency-Key": f"{name}-{first + i}"}

            def attempt():
                try:
                    status, _, answer = api.call("POST", "/v1/documents", body, key, timeout=30)
                except OSError:
                    return None
                self.assertIn(status, (202, 503, 507), answer)
                return answer["id"] if status == 202 else None
            made.append(wait_until(attempt, 60, f"document {i} taken by {name}"))
        return made

    def documents_of(self, name):
        found, after = {}, ""
        while True:
            page = self.node(name).api.get("/v1/documents?limit=200" + (f"&after={after}" if after else ""))
            found.update({row["id"]: row for row in page["items"]})
            after = page["next"]
            if not after:
                return found

    def expect_all_delivered_once(self, sender, recipients, documents, seconds=240):
        def pending():
            rows = self.documents_of(sender)
            return [d for d in documents if rows[d].get("counts") != {"delivered": len(recipients)}]

        def settled():
            return not pending()
        try:
            wait_until(settled, seconds, "every document delivered")
        except Exception:
            late = pending()
            print(len(late), "late:", self.items(sender, late[0]))
            raise
        rows = self.documents_of(sender)
        wanted = {rows[d]["document_id"] for d in documents}
        for recipient in recipients:
            got = [row["document_id"] for row in self.inbox(recipient) if row["document_id"] in wanted]
            self.assertEqual(len(got), len(set(got)), "handed over twice")
            self.assertEqual(set(got), wanted)

    def test_brokers_killed_at_random_during_a_thousand_documents(self):
        rng, stop = random.Random(SEED), threading.Event()
        kills = [0]

        def chaos():
            while not stop.wait(rng.uniform(0.2, 1.5)):
                broker = rng.choice(list(self.realm.brokers.values()))
                broker.kill()
                kills[0] += 1
                stop.wait(rng.uniform(0.05, 0.8))
                broker.start()
        thread = threading.Thread(target=chaos)
        thread.start()
        try:
            documents = self.send_many("gov", ["D01"], 1000, 1000)
        finally:
            stop.set()
            thread.join()
        self.assertGreaterEqual(kills[0], 3)
        self.restart_all()
        self.expect_all_delivered_once("gov", ["party"], documents)

    def test_nodes_killed_at_random(self):
        rng, stop = random.Random(SEED + 1), threading.Event()

        def chaos():
            while not stop.wait(rng.uniform(0.3, 1.2)):
                node = rng.choice([self.node("gov"), self.node("party")])
                node.kill()
                node.start()
        thread = threading.Thread(target=chaos)
        thread.start()
        try:
            documents = self.send_many("gov", ["D01"], 150, 3000)
        finally:
            stop.set()
            thread.join()
        self.restart_all()
        self.expect_all_delivered_once("gov", ["party"], documents)

    def test_a_broker_dies_during_a_large_upload(self):
        content = PDF + os.urandom(12 << 20)
        document = self.node("gov").api.send(["D01", "M01"], letter(4000), [("phu-luc.pdf", content)])["id"]
        victim = self.realm.brokers["b1"]
        victim.kill()
        doc_id = self.document_id("gov", document)
        arrival = self.wait_arrival("party", doc_id)["arrival"]
        victim.start()
        status, _, got = self.node("party").api.call("GET", f"/v1/inbox/{arrival}/files/1")
        self.assertEqual((status, got == content), (200, True))
        self.wait_item("gov", document, "M01", lambda item: item["state"]["name"] == "delivered")
        self.wait_item("gov", document, "D01", lambda item: item["custodies"] == 3 or item["state"]["name"] == "delivered")

    def test_all_disks_of_the_brokers_destroyed_one_after_the_other(self):
        self.node("front").kill()  # so that documents wait in the brokers
        documents = self.send_many("gov", ["M01"], 40, 5000)
        for document in documents:
            self.wait_item("gov", document, "M01", lambda item: item["state"]["name"] == "accepted")
        for broker in self.realm.brokers.values():
            broker.kill()
            for part in ("store", "bodies"):
                shutil.rmtree(os.path.join(broker.home, part), ignore_errors=True)
            self.realm.accept(broker)  # the same keys, an empty store, a new epoch
            broker.start()
            wait_until(lambda: self.node("gov").connected() == 3, 60, "the broker is back")
            for document in documents:
                self.wait_item("gov", document, "M01", lambda item: item["state"]["name"] == "accepted" and item["custodies"] == 3)
        self.node("front").start().wait_ready(3)
        self.expect_all_delivered_once("gov", ["front"], documents)

    def test_unreachable_brokers_mean_queued_and_sent_later(self):
        for broker in self.realm.brokers.values():
            broker.kill()
        wait_until(lambda: self.node("gov").connected() == 0, 60, "the node sees that the brokers are gone")
        answer = self.node("gov").api.send(["D01"], letter(6000), [])
        self.assertEqual(answer["delivery"], "queued")
        self.restart_all()
        self.expect_all_delivered_once("gov", ["party"], [answer["id"]])

    def test_two_processes_on_one_store(self):
        node = self.node("gov")
        import realm as practice
        import subprocess
        done = practice.with_secret(node.key, lambda fd: subprocess.run(
            [node.program, "run", "--dir", node.home, "--passphrase-fd", str(fd)], pass_fds=(fd,), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60))
        self.assertEqual(done.returncode, 1)
        self.assertIn("already_running", done.stderr)
        self.assertGreaterEqual(node.connected(), 1)


if __name__ == "__main__":
    unittest.main()
