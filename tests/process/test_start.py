"""Starting and joining: wrong passphrase, open key files, enrolment codes, an agency that joins later, a full disk."""
import glob
import os
import shutil
import subprocess
import unittest

import support
from support import PDF, RealmTest, letter, wait_until

practice = support.practice


class Start(RealmTest):
    agencies = {"gov": ("Văn phòng Chính phủ", "G22", {}), "party": ("Văn phòng Trung ương Đảng", "D01", {"branch": "party"})}

    def run_node(self, home, secret):
        return practice.with_secret(secret, lambda fd: subprocess.run(
            [self.realm.binary("tram-node"), "run", "--dir", home, "--passphrase-fd", str(fd)], pass_fds=(fd,),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60))

    def test_wrong_passphrase_and_open_key_file(self):
        node = self.node("party")
        node.stop()
        wrong = self.run_node(node.home, "0" * 64)
        self.assertEqual((wrong.returncode, "wrong_passphrase" in wrong.stderr), (1, True), wrong.stderr)
        keys = os.path.join(node.home, "keys.tram")
        os.chmod(keys, 0o644)
        open_file = self.run_node(node.home, node.key)
        os.chmod(keys, 0o600)
        self.assertEqual((open_file.returncode, "chmod" in open_file.stderr), (1, True), open_file.stderr)
        node.start().wait_ready(3)

    def test_wrong_configuration_names_file_and_line(self):
        node = self.node("party")
        node.stop()
        path = os.path.join(node.home, "node.toml")
        with open(path) as file:
            good = file.read()
        with open(path, "a") as file:
            file.write("\n[nonsense]\nkey = 1\n")
        bad = self.run_node(node.home, node.key)
        with open(path, "w") as file:
            file.write(good)
        self.assertEqual((bad.returncode, "node.toml:" in bad.stderr), (1, True), bad.stderr)
        node.start().wait_ready(3)

    def test_plain_http_off_loopback_is_refused_with_what_mends_it(self):
        node = self.node("party")
        node.stop()
        path = os.path.join(node.home, "node.toml")
        with open(path) as file:
            good = file.read()
        lines = ['listen = ["unix:api.sock", "0.0.0.0:8743"]' if line.startswith("listen") else line for line in good.split("\n")]
        with open(path, "w") as file:
            file.write("\n".join(lines))
        bad = self.run_node(node.home, node.key)
        with open(path, "w") as file:
            file.write(good)
        self.assertEqual(bad.returncode, 1, bad.stderr)
        self.assertIn("certificate", bad.stderr)
        node.start().wait_ready(3)

    def test_the_code_must_match_and_an_agency_that_joins_gets_what_waited(self):
        realm = self.realm
        realm.add_agency("Ủy ban nhân dân xã Định Mỹ", "H01.151", level="commune", province="91")
        realm.publish()
        self.node("gov").stop()  # asks for what is new when it connects; the second time it asks by itself
        gov = self.node("gov").start().wait_ready(3).api
        wait_until(lambda: gov.call("GET", "/v1/directory/H01.151")[0] == 200, 90, "the directory reaches the node", self.all_alive)
        sent = gov.send(["H01.151", "D01"], letter(31), [("a.pdf", PDF)])
        self.assertEqual(sent["without_node"], 1)
        self.wait_delivered("gov", sent["id"], "D01")
        waiting = self.items("gov", sent["id"])["H01.151"]
        self.assertEqual((waiting["state"]["name"], waiting["waiting_for"]["code"]), ("waiting", "no_node"))

        late = practice.Node(realm, realm.binary("tram-node"), "late", "H01.151")
        said = late.init("--name", "Ủy ban nhân dân xã Định Mỹ", "--code", "H01.151")
        with self.assertRaises(practice.RealmError):
            realm.authority("approve", late.request, "--code", "AAAA-BBBB-CCCC", secret=True)
        realm.authority("approve", late.request, "--code", realm.short_code(said), secret=True)
        realm.accept(late)
        realm.publish()
        realm.nodes["late"] = late
        late.start().wait_ready(3, 120)
        self.wait_delivered("gov", sent["id"], "H01.151", 120)

    def test_uploads_that_nobody_finishes_are_forgotten(self):
        node = self.node("party")
        tus = {"Tus-Resumable": "1.0.0"}

        def upload():
            _, headers, _ = node.api.call("POST", "/v1/uploads", b"", {**tus, "Upload-Length": "300000"})
            status, _, _ = node.api.call("PATCH", headers["Location"], b"\x25PDF" + bytes(150_000), {
                **tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"})
            self.assertEqual(status, 204)
            return headers["Location"]

        def file_of(location):
            return next(iter(glob.glob(os.path.join(node.home, "bodies", "**", "0f" + location.rsplit("/", 1)[1]), recursive=True)), None)

        location = upload()
        known = file_of(location)
        self.assertTrue(known)
        node.kill()
        orphan = known[:-8] + "00000000"  # as one whose transaction was aborted
        shutil.copy(known, orphan)
        node.start().wait_ready(3)
        self.assertFalse(os.path.exists(orphan))
        status, headers, _ = node.api.call("HEAD", location, headers=tus)
        self.assertEqual((status, headers["Upload-Offset"]), (200, "150004"))
        self.assertTrue(os.path.exists(known))

        shifted = support.shifted_clock("+3d")
        if not shifted:
            self.skipTest("faketime is not installed")
        node.stop()
        node.start(environment=shifted)
        try:
            wait_until(lambda: node.connected() >= 0, 60, "it answers", node.check_alive)
            wait_until(lambda: node.api.call("HEAD", location, headers=tus)[0] == 404, 30, "the upload is forgotten", node.check_alive)
            wait_until(lambda: not os.path.exists(known), 30, "its file is gone", node.check_alive)
        finally:
            node.stop()
            node.start().wait_ready(3)

    def test_a_full_disk_is_said_and_loses_nothing(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a small file system needs root")
        node = self.node("party")
        node.stop()
        store = os.path.join(node.home, "store")
        moved = store + ".moved"
        os.rename(store, moved)
        os.mkdir(store, 0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", store], stderr=subprocess.PIPE)
        if mounted.returncode != 0:
            os.rmdir(store)
            os.rename(moved, store)
            node.start().wait_ready(3)
            self.skipTest("tmpfs cannot be mounted here")
        try:
            subprocess.run(["cp", "-a", "--sparse=always", moved + "/.", store], check=True)
            filler = os.path.join(store, "filler")
            room = os.statvfs(store)
            with open(filler, "wb") as file:
                file.write(b"\0" * max(0, room.f_bavail * room.f_frsize - (2 << 20)))
            node.start().wait_ready(3)
            seen = []

            def full():
                status, _, body = node.api.call("POST", "/v1/documents", {"metadata": letter(41 + len(seen)), "to": ["G22"], "files": [
                    {"name": "a.pdf", "content": "JVBERi0xLjQK" + "QUJD" * 6000}]})
                seen.append(status)
                return body if status == 507 else None
            problem = wait_until(full, 60, "the node says that the disk is full")
            self.assertEqual((problem["status"], problem["code"] in ("storage_full", "map_full")), (507, True))
            accepted = [row["id"] for row in node.api.get("/v1/documents?limit=200")["items"]]
            self.assertEqual(len(accepted), seen.count(202))
            os.remove(filler)
            for document in accepted:
                self.wait_delivered("party", document, "G22", 90)
        finally:
            node.kill()
            subprocess.run(["umount", store], check=True)
            os.rmdir(store)
            os.rename(moved, store)
        node.start().wait_ready(3)


if __name__ == "__main__":
    unittest.main()
