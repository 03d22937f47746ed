"""A node gets new keys while it goes on: what its old keys signed still arrives, what they may do ends."""
import os
import shutil
import stat
import unittest

from support import PDF, RestartingTest, letter, wait_until


class NewKeys(RestartingTest):
    agencies = {
        "gov": ("Văn phòng Chính phủ", "G22", {}),
        "peer": ("Bộ Nội vụ", "G01", {}),
        "late": ("Bộ Tài chính", "G02", {}),
    }
    serial = 0

    def send(self, name, to, files=(("cong-van.pdf", PDF),)):
        type(self).serial += 1
        return self.node(name).api.send(to, letter(self.serial), files)["id"]

    def renew(self, node, *arguments):
        done = node.act("renew-keys", *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def refused(self, done, words):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)

    def request(self, node):
        return os.path.join(node.home, "renew.request")

    def approved(self, node, said):
        """The approval of the keys that wait; brokers have it too."""
        self.realm.authority("approve", self.request(node), "--code", self.realm.short_code(said), "--as", node.code, "--replace-keys",
                             secret=True)
        out = os.path.join(self.folder, f"{node.name}-{self.realm.short_code(said)}.approval")
        self.realm.authority("approval", "--request", self.request(node), "--out", out)
        self.realm.publish()
        return out

    def accept(self, node, approval):
        return node.act("accept", "--approval", approval)

    def content(self, node, name):
        with open(os.path.join(node.home, name), "rb") as file:
            return file.read()

    def names(self, node):
        return sorted(name for name in os.listdir(node.home) if "key" in name or name.endswith(".request"))

    def log(self, name):
        return self.node(name).api.get("/v1/health")["log"]

    def wait_cosigned(self, name, more_than):
        """Until brokers have cosigned a checkpoint of a log that has grown since."""
        wait_until(lambda: self.log(name)["size"] > more_than and
                   sum(one["kind"] == "broker" for one in self.log(name)["cosigners"]) == 3 and self.log(name)["signed_size"] > more_than,
                   120, f"the log of {name} to be cosigned", self.all_alive)

    def check_receipts(self, name, document):
        folder = os.path.join(self.folder, f"receipts-{name}-{document}")
        shutil.rmtree(folder, ignore_errors=True)
        self.realm.tram(self.node(name), "receipts", document, "--save", folder)
        self.assertTrue(os.listdir(folder))
        for held in os.listdir(folder):
            self.realm.tram(self.node(name), "verify", os.path.join(folder, held))

    def both_ways(self, name):
        for sender, recipient in ((name, "peer"), ("peer", name)):
            code = self.node(recipient).code
            document = self.send(sender, [code])
            self.wait_delivered(sender, document, code)
            arrival = self.wait_arrival(recipient, self.document_id(sender, document))["arrival"]
            self.node(recipient).api.post(f"/v1/inbox/{arrival}/register", {"person": "Trần Thị Bình"})
            self.wait_item(sender, document, code, lambda item: (item["status"] or {}).get("code") == "03")
            self.check_receipts(sender, document)

    def test_documents_under_way_arrive_and_life_goes_on(self):
        gov, late, peer = self.node("gov"), self.node("late"), self.node("peer")
        before = self.send("gov", ["G01", "G02"])
        for code in ("G01", "G02"):
            self.wait_delivered("gov", before, code)
        to_gov = self.send("peer", ["G22"])
        self.wait_delivered("peer", to_gov, "G22")
        late.stop()
        # Under way: one that brokers hold for who is off, and, with the brokers off, two that only their senders have.
        held = self.send("gov", ["G02"])
        self.wait_item("gov", held, "G02", lambda item: item["state"]["name"] == "accepted" and item["custodies"] == 3)
        brokers = self.realm.brokers.values()
        for broker in brokers:
            broker.stop()
        queued = [self.send("gov", ["G01", "G02"]), self.send("gov", ["G01"], (("cong-van.pdf", PDF), ("phu-luc.pdf", PDF + bytes(300000))))]
        for document in queued:
            self.document_id("gov", document)
        arrival = self.wait_arrival("gov", self.document_id("peer", to_gov))["arrival"]
        gov.api.post(f"/v1/inbox/{arrival}/register", {"person": "Trần Thị Bình"})  # a receipt that is not posted yet

        said = self.renew(gov)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(gov.home, "keys-next.tram")).st_mode), 0o600)
        self.refused(gov.act("renew-keys"), self.realm.short_code(said))
        self.realm.authority("approve", self.request(gov), "--code", self.realm.short_code(said), "--as", "G22", "--replace-keys", secret=True)
        approval = os.path.join(self.folder, "gov.renewed")
        self.realm.authority("approval", "--request", self.request(gov), "--out", approval)
        self.refused(self.accept(gov, approval), "already_running")
        gov.stop()
        old, new, grown = self.content(gov, "keys.tram"), self.content(gov, "keys-next.tram"), None
        done = self.accept(gov, approval)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(gov), ["enrol.request", "keys.tram"])
        self.assertEqual(self.content(gov, "keys.tram"), new)
        self.refused(self.accept(gov, approval), "already")

        for broker in brokers:
            broker.start()
        self.realm.publish()
        gov.start().wait_ready(3)
        grown = self.log("gov")["size"]
        late.start()
        peer.wait_ready(3)
        for document in (held, *queued):
            for code in self.items("gov", document):
                self.wait_delivered("gov", document, code)
                name = {"G01": "peer", "G02": "late"}[code]
                rows = [row["document_id"] for row in self.inbox(name)]
                self.assertEqual(rows.count(self.document_id("gov", document)), 1)
            self.check_receipts("gov", document)
        self.check_receipts("gov", before)
        self.wait_item("peer", to_gov, "G22", lambda item: (item["status"] or {}).get("code") == "03")
        self.check_receipts("peer", to_gov)
        self.both_ways("gov")
        self.wait_cosigned("gov", grown)
        self.assertEqual(self.log("gov")["standing"], "sound")

        # The old keys: whoever has them still gets no connection.
        gov.stop()
        with open(os.path.join(gov.home, "keys.tram"), "wb") as file:
            file.write(old)
        self.refused(gov.act("run"), "holds other keys for this agency")
        with open(os.path.join(gov.home, "keys.tram"), "wb") as file:
            file.write(new)
        gov.start().wait_ready(3)

    def test_a_running_node_takes_the_keys_that_the_directory_has(self):
        late = self.node("late")
        said = self.renew(late)
        late.stop()
        late.start().wait_ready(3)  # it knows of both
        new = self.content(late, "keys-next.tram")
        approval = self.approved(late, said)
        wait_until(lambda: self.names(late) == ["enrol.request", "keys.tram"], 90, "the new keys to be taken", late.check_alive)
        self.assertEqual(self.content(late, "keys.tram"), new)
        late.wait_ready(3)
        self.both_ways("late")
        self.wait_cosigned("late", 0)
        # Made while it runs, they are taken by the process that follows.
        said = self.renew(late)
        self.approved(late, said)
        wait_until(lambda: not late.alive(), 90, "the node to make way")
        self.assertIn("node.has_old_keys", late.log())
        late.start().wait_ready(3)
        self.assertEqual(self.names(late), ["enrol.request", "keys.tram"])
        self.both_ways("late")
        late.stop()
        self.refused(self.accept(late, approval), "another request")
        late.start().wait_ready(3)

    def test_wrong_approvals_and_every_half_of_a_change(self):
        peer, late = self.node("peer"), self.node("late")
        said = self.renew(peer)
        peer.stop()
        # Of another's request, and of the first one: the keys stay as they are.
        first = os.path.join(self.folder, "realm", "peer.approval")
        other = os.path.join(self.folder, "realm", "late.approval")
        before = self.content(peer, "keys.tram")
        self.refused(self.accept(peer, other), "another request")
        self.refused(self.accept(peer, first), "")
        again = self.renew(peer, "--again")
        self.assertNotEqual(self.realm.short_code(again), self.realm.short_code(said))
        self.assertEqual(self.content(peer, "keys.tram"), before)
        next_keys, next_request = self.content(peer, "keys-next.tram"), self.content(peer, "renew.request")
        first_request = self.content(peer, "enrol.request")
        approval = self.approved(peer, again)
        self.assertEqual(self.accept(peer, approval).returncode, 0)

        def put(name, content):
            with open(os.open(os.path.join(peer.home, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)

        def killed_before_the_keys_changed():
            put("keys.tram", before)
            put("keys-next.tram", next_keys)
            put("renew.request", next_request)
            put("enrol.request", first_request)

        def killed_between_the_two_names():
            put("renew.request", next_request)
            put("enrol.request", first_request)

        def whole():
            self.assertEqual(self.names(peer), ["enrol.request", "keys.tram"])
            self.assertEqual((self.content(peer, "keys.tram"), self.content(peer, "enrol.request")), (next_keys, next_request))

        for half in (killed_before_the_keys_changed, killed_between_the_two_names):
            half()
            done = self.accept(peer, approval)
            self.assertEqual(done.returncode, 0, done.stderr)
            whole()
        killed_before_the_keys_changed()
        peer.start().wait_ready(3)
        whole()
        self.both_ways("late")


if __name__ == "__main__":
    unittest.main()
