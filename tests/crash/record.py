"""Records a run of real daemons under load: a sending node, a receiving node and a broker, each with the preloaded recorder.

What a role's checker needs afterwards: its home before the run, the trace, the key. Used by tests/crash/run.
"""
import concurrent.futures
import os
import secrets
import shutil
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "deploy"))

from realm import Realm, letter, wait_until  # noqa: E402

ROLES = {"broker": "b0", "sender": "gov", "receiver": "bnv"}
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\n"


def make_realm(folder, binaries, brokers=2):
    """Two nodes and as many brokers as custody needs, or one that it must have; not started."""
    realm = Realm(folder, binaries).make("Thử nghiệm", body_floor=1024, quorum=min(brokers, 2))
    for i in range(brokers):
        realm.add_broker(f"b{i}", f"site-{i}")
    realm.add_node("gov", "Văn phòng Chính phủ", "G22")
    realm.add_node("bnv", "Bộ Nội vụ", "G10")
    realm.accept_all()
    return realm


def preloaded(binaries, home, **settings):
    return {**os.environ, "LD_PRELOAD": os.path.join(binaries, "libtram_crash_preload.so"), "TRAM_CRASH_HOME": home,
            **{f"TRAM_CRASH_{name.upper()}": value for name, value in settings.items()}}


class Load:
    """Documents of all kinds between two nodes, until each is where it belongs."""

    def __init__(self, realm, documents):
        self.gov, self.bnv = realm.nodes["gov"].api, realm.nodes["bnv"].api
        self.documents = documents

    def send(self, serial):
        files = [("phu-luc.pdf", PDF + secrets.token_bytes(2000))]
        if serial % 8 == 3:  # a body that is a file: through the request, or uploaded in pieces
            files = [("phu-luc.pdf", PDF + secrets.token_bytes(200_000))]
        if serial % 16 == 5:
            upload = self.gov.upload(PDF + secrets.token_bytes(330_000), "ban-do.pdf", piece=100_000)
            return self.gov.post("/v1/documents", {"metadata": letter(serial), "to": ["G10"], "files": [{"upload": upload, "name": "ban-do.pdf"}]})["id"]
        if serial % 5 == 4:
            self.bnv.send(["G22"], letter(serial), files)
            return None  # one the other way
        return self.gov.send(["G10"], letter(serial), files)["id"]

    def act(self, row, turn):
        """The receiving clerk's work on one arrival."""
        base = f"/v1/inbox/{row['arrival']}"
        if turn % 7 == 6:
            self.bnv.post(base + "/refuse", {"reason": "Gửi nhầm nơi nhận", "person": "Trần Thị Bình"})
            return
        self.bnv.post(base + "/register", {"person": "Trần Thị Bình"})
        if turn % 3 == 0:
            self.bnv.post(base + "/status", {"status": "04", "person": "Trần Thị Bình"})

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            made = list(pool.map(self.send, range(1, self.documents + 1)))
            mine = [one for one in made if one]

            def arrived():
                rows = self.bnv.get("/v1/inbox?limit=200")["items"]
                return rows if len(rows) == len(mine) else None
            rows = wait_until(arrived, 120, "every document at the receiver")
            list(pool.map(self.act, rows, range(len(rows))))
        self.gov.post(f"/v1/documents/{mine[0]}/recall", {"reason": "Ban hành nhầm"})

        def settled():
            page = self.gov.get("/v1/documents?limit=200")["items"]
            states = [row.get("counts", {}) for row in page]
            return all(set(counts) <= {"delivered", "refused", "recalled"} and counts for counts in states)
        wait_until(settled, 120, "every document final")
        wait_until(lambda: len(self.gov.get("/v1/inbox?limit=200")["items"]) == len(made) - len(mine), 60, "the answers at the sender")


def copy_home(home, base):
    """The home as it is, and beside it which inode each of its files has: the trace names files by inode."""
    shutil.copytree(home, base)
    with open(base + ".inodes", "w") as inodes:
        for folder, _, files in os.walk(home):
            for name in files:
                path = os.path.join(folder, name)
                inodes.write(f"{os.lstat(path).st_ino} {os.path.relpath(path, home)}\n")


def record(folder, binaries, documents):
    """{role: (kind, base, trace, key)}"""
    realm = make_realm(os.path.join(folder, "realm"), binaries)
    recorded = {}
    try:
        for daemon in [*realm.brokers.values(), *realm.nodes.values()]:
            role = next((role for role, name in ROLES.items() if name == daemon.name), None)
            if role is None:
                daemon.start()
                continue
            base, trace = os.path.join(folder, role + ".base"), os.path.join(folder, role + ".trace")
            copy_home(daemon.home, base)
            daemon.start(environment=preloaded(binaries, daemon.home, trace=trace))
            recorded[role] = ("broker" if role == "broker" else "node", base, trace, daemon.key)
        for node in realm.nodes.values():
            node.wait_ready(len(realm.brokers))
        Load(realm, documents).run()
    finally:
        for daemon in [*realm.nodes.values(), *realm.brokers.values()]:
            daemon.kill()
    return recorded
