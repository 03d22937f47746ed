"""Shared by the process tests: where the programs are, a realm per test class, and waiting without sleeping blindly."""
import glob
import os
import shutil
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "deploy"))

import realm as practice  # noqa: E402
from realm import Realm, letter, wait_until  # noqa: E402,F401

BINARIES = os.environ.get("TRAM_BIN", os.path.join(TOP, "build", "dev", "bin"))
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
FINAL = {"delivered", "refused", "rejected", "cancelled", "recalled", "forwarded", "undeliverable"}


def shifted_clock(offset):
    """The environment of a daemon whose wall clock is off by `offset` ("+10m", "+3d"); nothing when faketime is not installed."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        return None
    return {**os.environ, "LD_PRELOAD": found[0], "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class RealmTest(unittest.TestCase):
    """Three brokers and the nodes that `agencies` names: name -> (agency's name, code, more arguments)."""
    agencies = {
        "gov": ("Văn phòng Chính phủ", "G22", {}),
        "party": ("Văn phòng Trung ương Đảng", "D01", {"branch": "party"}),
        "front": ("Ủy ban Trung ương Mặt trận Tổ quốc Việt Nam", "M01", {"branch": "front"}),
    }
    body_floor = 1024
    brokers = 3

    @classmethod
    def prepare(cls, realm):
        """More entries before the approvals are written."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tram-test-")
        cls.realm = Realm(os.path.join(cls.folder, "realm"), BINARIES).make("Thử nghiệm", body_floor=cls.body_floor)
        try:
            for i in range(cls.brokers):
                cls.realm.add_broker(f"b{i}", f"site-{i}")
            for name, (agency, code, more) in cls.agencies.items():
                cls.realm.add_node(name, agency, code, **more)
            cls.prepare(cls.realm)
            cls.realm.accept_all()
            cls.realm.start()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        for daemon in cls.realm.daemons():
            daemon.kill()
        if os.environ.get("TRAM_KEEP"):
            print("kept:", cls.folder)
        else:
            shutil.rmtree(cls.folder, ignore_errors=True)

    def node(self, name):
        return self.realm.nodes[name]

    # ---- questions ----------------------------------------------------------------------------------------------

    def items(self, name, document):
        """Per recipient code: the item of a document in the outbox of `name`."""
        found, after = {}, ""
        while True:
            page = self.node(name).api.get(f"/v1/documents/{document}?limit=200" + (f"&after={after}" if after else ""))
            for item in page["recipient_list"]:
                found[item.get("code", item["id"])] = item
            after = page["next"]
            if not after:
                return found

    def wait_item(self, name, document, code, condition, seconds=60, what=""):
        def look():
            item = self.items(name, document).get(code)
            return item if item and condition(item) else None
        return wait_until(look, seconds, what or f"item {code} of {document}", self.all_alive)

    def wait_delivered(self, name, document, code, seconds=60):
        return self.wait_item(name, document, code, lambda item: item["state"]["name"] == "delivered", seconds, f"{document} at {code}")

    def inbox(self, name, query=""):
        found, after = [], ""
        while True:
            page = self.node(name).api.get("/v1/inbox?limit=200" + query + (f"&after={after}" if after else ""))
            found += page["items"]
            after = page.get("next")
            if not after:
                return found

    def wait_arrival(self, name, doc_id, seconds=60):
        def look():
            return next((row for row in self.inbox(name) if row["document_id"] == doc_id), None)
        return wait_until(look, seconds, f"{doc_id} in the inbox of {name}", self.all_alive)

    def document_id(self, name, document, seconds=60):
        """The id that recipients see; known once the document is sealed."""
        return wait_until(lambda: self.node(name).api.get(f"/v1/documents/{document}").get("document_id"), seconds, "sealed", self.all_alive)

    def all_alive(self):
        """Overridden by tests that kill."""
        for daemon in self.realm.daemons():
            if daemon.process is not None:
                daemon.check_alive()


class RestartingTest(RealmTest):
    """Tests that stop and kill daemons: each begins with all of them, and knows itself who is down."""

    def setUp(self):
        self.restart_all()

    def restart_all(self):
        for daemon in [*self.realm.brokers.values(), *self.realm.nodes.values()]:
            if not daemon.alive():
                daemon.start()
        for node in self.realm.nodes.values():
            node.wait_ready(3)

    def all_alive(self):
        pass
