#!/usr/bin/env python3
"""A fault at every write and every sync of one full exchange, for a sending node, a receiving node and a broker.

  tests/crash/sweep.py                          every point of start-up and exchange: SIGKILL, EIO, ENOSPC
  tests/crash/sweep.py --role broker --fault eio --point 17    one point of the exchange again
  tests/crash/sweep.py --long                   three kinds of exchange instead of one

The exchange: a document with a body that is a file goes from node to node over two brokers, which custody needs both of,
is registered there, and the sender holds the receipt. The preloaded library counts what the daemon does to its disk and
strikes at the n-th; n goes from 1 until the exchange is over before it. After each fault the daemon is started again
(after EIO: it has ended with 74 and said nothing more to anybody; a broker is recovered; a full disk ends nobody, unless
LMDB could not write its meta page), and the exchange must come to its end: the document delivered once, registered, its receipts held. At the end every receipt is verified.
Start-up is swept likewise.

Settings by environment variable: TRAM_BIN [build/dev/bin], TRAM_BUILD_ROOT [build].
The last line is `N passed, N failed`, where one point is one test; the exit code is 0 when nothing failed.
"""
import argparse
import base64
import collections
import concurrent.futures
import http.client
import mmap
import os
import pathlib
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import record  # noqa: E402
from realm import RealmError, command, letter, wait_until, with_secret  # noqa: E402

ROOT = pathlib.Path(os.environ.get("TRAM_BUILD_ROOT") or TOP / "build")
BINARIES = os.environ.get("TRAM_BIN") or str((ROOT if ROOT.is_absolute() else TOP / ROOT) / "dev" / "bin")
NONE, KILL, EIO, ENOSPC = range(4)
FAULTS = {"kill": KILL, "eio": EIO, "enospc": ENOSPC}
SECONDS = 60       # for anything to come to its end after a fault
EXIT_IO_FATAL = 74
BODIES = {"file": 100_000, "inline": 2000, "two chunks": 330_000}
# Most of a point is waiting: until connections are made again, and after a full disk until a request is given up and
# made anew. Many realms wait side by side.
CHAINS_AT_ONCE = 24
SHARDS = {("broker", "kill"): 4, ("broker", "eio"): 4, ("broker", "enospc"): 14, ("sender", "enospc"): 5, ("receiver", "enospc"): 3}
POINTS_MAX = 400   # an exchange makes about 100 changes; more means that it never ends


class Fault:
    """The control block that the daemon maps too (trace_format.h)."""
    layout = struct.Struct("=IIIIIII228s")

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(self.layout.size))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), self.layout.size)

    def arm(self, kind, at):
        self.map[:] = self.layout.pack(NONE, 0, 0, 0, 0, 0, 0, b"")
        self.map[:8] = struct.pack("=II", kind, at)

    def read(self):
        kind, at, count, fired, sync, sent, answered, path = self.layout.unpack(self.map[:])
        return {"count": count, "fired": fired, "sync": sync, "sent": sent, "answered": answered,
                "path": path.split(b"\0")[0].decode(errors="replace")}


class Wrong(Exception):
    pass


class Chain:
    """One realm, one victim, one kind of fault, all points one after the other."""

    def __init__(self, folder, role, fault, body, shard, shards):
        self.role, self.fault, self.body, self.shard, self.shards = role, fault, body, shard, shards
        # All depends on the victim: with one broker and a quorum of one it cannot be passed by.
        brokers = 1 if role == "broker" else 2
        self.realm = record.make_realm(os.path.join(folder, "realm"), BINARIES, brokers)
        self.daemons = {**self.realm.brokers, **self.realm.nodes}
        self.victim = self.daemons[record.ROLES[role]]
        self.control = Fault(os.path.join(folder, "control"))
        self.gov, self.bnv = self.realm.nodes["gov"], self.realm.nodes["bnv"]
        self.serial = self.logged = 0
        self.hit = ""
        self.documents = []
        self.figures = {"points": 0, "passed": 0, "slowest": 0.0, "settled": 0.0, "struck": {}}
        self.failures = []

    # ---- the victim -------------------------------------------------------------------------------------------

    def start(self):
        self.logged = len(self.victim.log()) if os.path.exists(self.victim.log_path) else 0
        self.victim.start(environment=record.preloaded(BINARIES, self.victim.home, control=self.control.path))

    def ready(self):
        if self.victim in self.realm.brokers.values():
            return "broker.is_ready" in self.victim.log()[self.logged:]
        return self.victim.connected() == len(self.realm.brokers)

    def dead(self, seconds=SECONDS):
        wait_until(lambda: not self.victim.alive(), seconds, f"{self.victim.name} ends")
        return self.victim.process.returncode

    def recover(self):
        """What OPERATIONS says after exit 74."""
        done = subprocess.run([self.victim.program, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if " recover " in done.stdout:
            with_secret(self.victim.key, lambda fd: command(
                [self.victim.program, "recover", "--dir", self.victim.home, "--passphrase-fd", str(fd)], pass_fds=(fd,)))

    def come_back(self):
        """Starts the victim again, after whatever made it end. Seconds until it serves."""
        self.control.arm(NONE, 0)
        if self.victim.alive():
            return
        if self.victim.process.returncode == EXIT_IO_FATAL:
            self.recover()
        begin = time.monotonic()
        self.start()
        serves = self.ready if self.victim in self.realm.brokers.values() else lambda: self.victim.connected() >= 0
        wait_until(serves, SECONDS, f"{self.victim.name} serves", self.victim.check_alive)
        self.figures["slowest"] = max(self.figures["slowest"], time.monotonic() - begin)

    def fell(self):
        """No room for LMDB's own meta page, which lies where it always lay, is a broken disk to it: R2."""
        code = self.victim.process.returncode
        if code != EXIT_IO_FATAL or not self.hit.endswith("data.mdb"):
            raise Wrong(f"{self.hit}: it ended with {code} on a full disk")
        self.come_back()

    def after_fault(self, what):
        """The victim has been struck: it ends as it must, or goes on where that is right."""
        struck = self.control.read()
        self.hit = f"{'sync of' if struck['sync'] else 'change of'} {struck['path']}"
        place = struck["path"].split("/")[0] + ("/data.mdb" if struck["path"].endswith("data.mdb") else "")
        self.figures["struck"][place] = self.figures["struck"].get(place, 0) + 1
        if self.fault == KILL:
            code = self.dead()
            if code != -signal.SIGKILL:
                raise Wrong(f"{what}: ended with {code} before it was killed")
        elif self.fault == EIO:
            if struck["path"].split("/")[0] in ("store", "bodies", "opening"):
                code = self.dead()
                if code != EXIT_IO_FATAL:
                    raise Wrong(f"{what}: EIO at {struck['path']}: exit code {code}, not {EXIT_IO_FATAL}")
                if self.victim in self.realm.brokers.values() and not os.path.exists(os.path.join(self.victim.home, "needs-recovery")):
                    raise Wrong(f"{what}: EIO at {struck['path']}: it would start again without a recovery")
                if struck["path"].endswith("data.mdb") and (self.control.read()["sent"] or self.control.read()["answered"]):
                    raise Wrong(f"{what}: EIO at {struck['path']}: it went on sending")
        self.come_back()

    # ---- the exchange -----------------------------------------------------------------------------------------

    def attempt(self, call):
        """The call's answer, or None when the node is down or has no room: the clerk tries again."""
        try:
            status, _, body = call()
        except (OSError, http.client.HTTPException):
            return None
        if status in (503, 507) or (self.fault == EIO and status == 500 and body.get("code") == "io_failed"):
            return None
        if status >= 300:
            raise Wrong(f"HTTP {status}: {body}")
        return body

    def steps(self):
        """The exchange as steps that each either are done or can be asked again."""
        self.serial += 1
        key = {"Idempotency-Key": f"sweep-{self.serial}"}
        content = record.PDF + secrets.token_bytes(BODIES[self.body])
        body = {"metadata": letter(self.serial), "to": ["G10"],
                "files": [{"name": "phu-luc.pdf", "content": base64.b64encode(content).decode()}]}
        sent = {}

        def submit():
            answer = self.attempt(lambda: self.gov.api.call("POST", "/v1/documents", body, key, timeout=5))
            if answer:
                sent["id"] = answer["id"]
                self.documents.append(answer["id"])
            return bool(answer)

        def arrive():
            known = self.attempt(lambda: self.gov.api.call("GET", f"/v1/documents/{sent['id']}", timeout=5))
            if not known or not known.get("document_id"):
                return False
            row = next((row for row in self.inbox() if row["document_id"] == known["document_id"]), None)
            if row:
                sent["arrival"] = row["arrival"]
            return bool(row)

        def register():
            return bool(self.attempt(lambda: self.bnv.api.call(
                "POST", f"/v1/inbox/{sent['arrival']}/register", {"person": "Trần Thị Bình"}, {"Idempotency-Key": f"register-{self.serial}"}, timeout=5)))

        def known_to_sender():
            known = self.attempt(lambda: self.gov.api.call("GET", f"/v1/documents/{sent['id']}", timeout=5))
            if not known:
                return False
            item = known["recipient_list"][0]
            if item["state"]["name"] not in ("waiting", "queued", "accepted", "delivered"):
                raise Wrong(f"the document is {item['state']['name']}")
            return item["state"]["name"] == "delivered" and (item["status"] or {}).get("code") == "03"
        return [submit, arrive, register, known_to_sender]

    def inbox(self):
        found, after = [], ""
        while True:
            page = self.attempt(lambda: self.bnv.api.call("GET", "/v1/inbox?limit=500" + after, timeout=5))
            if not page:
                return []
            found += page["items"]
            if not page.get("next"):
                return found
            after = f"&after={page['next']}"

    def drive(self, steps, until=lambda: False):
        """True when all are done, False when `until` came first."""
        deadline = time.monotonic() + SECONDS
        while steps:
            if until():
                return False
            if self.fault == ENOSPC and not self.victim.alive():
                self.fell()
            if steps[0]():
                steps.pop(0)
                continue
            if time.monotonic() > deadline:
                raise Wrong(f"no end after {SECONDS} s: {steps[0].__name__}")
            time.sleep(0.01)
        return True

    def point(self, n):
        """One fault at change n of an exchange; False when the exchange was over before."""
        what = f"{self.role}, {self.body}, {list(FAULTS)[self.fault - 1]} at change {n} of the exchange"
        steps = self.steps()
        self.control.arm(self.fault, n)
        struck = lambda: bool(self.control.read()["fired"]) or not self.victim.alive()  # noqa: E731
        over = self.drive(steps, struck)
        if over and not self.control.read()["fired"]:
            passed_by = self.control.read()["count"] >= n  # ENOSPC does not happen to a removal
            self.control.arm(NONE, 0)
            return passed_by
        self.after_fault(what)
        self.drive(steps)
        return True

    def start_point(self, n):
        what = f"{self.role}, {list(FAULTS)[self.fault - 1]} at change {n} of start-up"
        self.victim.kill()
        self.control.arm(self.fault, n)
        self.start()
        try:
            wait_until(lambda: self.control.read()["fired"] or not self.victim.alive() or self.ready(), SECONDS, what)
        except RealmError as error:
            raise Wrong(str(error)) from None
        if not self.control.read()["fired"]:
            passed_by = self.control.read()["count"] >= n
            if not self.victim.alive():
                raise Wrong(f"{what}: it ended by itself with {self.victim.process.returncode}")
            self.control.arm(NONE, 0)
            return passed_by
        if self.fault == ENOSPC:
            # It may refuse to start on a full disk, if it says so and starts when there is room.
            wait_until(lambda: not self.victim.alive() or self.ready(), SECONDS, what)
        self.after_fault(what)
        return True

    def sweep(self, stage, points=None):
        n = 0
        while n < POINTS_MAX:
            n += 1
            if points and n > max(points):
                return
            if n not in points if points else n % self.shards != self.shard:
                continue
            begin = time.monotonic()
            try:
                if not stage(n):
                    return
                self.figures["points"] += 1
                self.figures["passed"] += 1
                self.figures["settled"] = max(self.figures["settled"], time.monotonic() - begin)
            except (Wrong, RealmError) as error:
                self.figures["points"] += 1
                self.failures.append(f"{stage.__name__} {n} ({self.hit}): {error}")
                if len(self.failures) > 4:
                    return
                self.victim.kill()
                self.come_back()
        raise Wrong(f"{self.role}: more than {POINTS_MAX} changes")

    def run(self, points=None):
        try:
            for daemon in self.daemons.values():
                self.start() if daemon is self.victim else daemon.start()
                # A node that comes before its brokers waits longer and longer between its attempts.
                if daemon in self.realm.brokers.values():
                    wait_until(lambda: "broker.is_ready" in daemon.log(), SECONDS, f"{daemon.name} is ready", daemon.check_alive)
            for node in self.realm.nodes.values():
                node.wait_ready(len(self.realm.brokers))
            self.drive(self.steps())  # the first makes folders and channels; it is not swept
            if not points:
                self.sweep(self.start_point)
                self.drive(self.steps())
            self.sweep(self.point, points)
            self.finish()
        except (Wrong, RealmError) as error:
            self.failures.append(str(error))
        finally:
            for daemon in self.daemons.values():
                daemon.kill()
        return self

    def finish(self):
        """Nothing lost, nothing twice, every receipt good."""
        wanted = {}
        for document in self.documents:
            wanted[self.gov.api.get(f"/v1/documents/{document}")["document_id"]] = document
        got = [row["document_id"] for row in self.inbox()]
        if len(got) != len(set(got)):
            raise Wrong(f"{self.role}: handed over twice")
        if set(got) != set(wanted):
            raise Wrong(f"{self.role}: {len(set(wanted) - set(got))} lost, {len(set(got) - set(wanted))} unknown")
        for document in self.documents:
            folder = tempfile.mkdtemp(dir=self.realm.folder)
            self.realm.tram(self.gov, "receipts", document, "--save", folder)
            files = sorted(os.listdir(folder))
            if not files:
                raise Wrong(f"{self.role}: no receipt of {document}")
            for file in files:
                self.verify(os.path.join(folder, file))
            shutil.rmtree(folder)

    def verify(self, file):
        """Good, or good but for custodies: a receipt may come before a second broker's answer, after which none is asked for."""
        done = self.realm.tram(self.gov, "verify", file, check=False)
        doubts = [line for line in done.stdout.splitlines() if line.lstrip().startswith(("?", "✗"))]
        if done.returncode != 0 and (not doubts or any("Enough independent brokers" not in line for line in doubts)):
            raise Wrong(f"{self.role}: a receipt is not good: {done.stdout}{done.stderr}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=sorted(record.ROLES))
    parser.add_argument("--fault", choices=sorted(FAULTS))
    parser.add_argument("--point", type=int, action="append", help="only this change of the exchange")
    parser.add_argument("--long", action="store_true", help="three kinds of exchange")
    arguments = parser.parse_args()
    chains = [(role, fault, body, shard) for body in (BODIES if arguments.long else ["file"]) for role in record.ROLES for fault in FAULTS
              if arguments.role in (None, role) and arguments.fault in (None, fault)
              for shard in range(1 if arguments.point else SHARDS.get((role, fault), 1))]
    top = tempfile.mkdtemp(prefix="tram-sweep-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    start = time.monotonic()
    passed = failed = 0
    failures, slowest = [], 0.0

    def one(chain):
        role, fault, body, shard = chain
        folder = os.path.join(top, f"{role}-{fault}-{body}-{shard}".replace(" ", "-"))
        os.makedirs(folder, mode=0o700)
        return Chain(folder, role, FAULTS[fault], body, shard, SHARDS.get((role, fault), 1)).run(arguments.point)
    try:
        chains.sort(key=lambda chain: -SHARDS.get(chain[:2], 1))  # those that wait longest first
        with concurrent.futures.ThreadPoolExecutor(CHAINS_AT_ONCE) as pool:
            done = list(zip(chains, pool.map(one, chains)))
        for key in dict.fromkeys(chain[:3] for chain, _ in done):
            mine = [chain for of, chain in done if of[:3] == key]
            points, good = (sum(chain.figures[name] for chain in mine) for name in ("points", "passed"))
            wrong = max(points - good, sum(bool(chain.failures) for chain in mine))
            struck = collections.Counter()
            for chain in mine:
                struck.update(chain.figures["struck"])
                failures += chain.failures
            longest = max(chain.figures["settled"] for chain in mine)
            slowest = max([slowest, *(chain.figures["slowest"] for chain in mine)])
            places = ", ".join(f"{place} {count}" for place, count in sorted(struck.items()))
            print(f"{key[0]:9} {key[1]:7} {key[2]:10} {points:>4} points, {wrong} failed, settled in {longest:.1f} s at most; struck: {places}", flush=True)
            if not points:
                failures.append(f"{key}: no point at all")
                wrong = 1
            passed, failed = passed + good, failed + wrong
    finally:
        if failures or failed:
            print(f"kept: {top}")
        else:
            shutil.rmtree(top, ignore_errors=True)
    for failure in failures[:20]:
        lines = str(failure).strip().splitlines()
        print("WRONG:", lines[0][:300], *(["...", lines[-1][:300]] if len(lines) > 1 else []))
    print(f"{passed + failed} points in {time.monotonic() - start:.0f} s, slowest start {slowest:.2f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
