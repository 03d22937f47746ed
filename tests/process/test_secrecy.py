"""Brokers are blind: canaries from every part of a document are found in no broker file, log or packet."""
import os
import secrets
import socket
import threading
import unittest

from support import PDF, RealmTest, letter


class Capture(threading.Thread):
    """Everything that crosses loopback, as the kernel shows it to a packet socket; root only."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)
        self.packets, self.ended = [], threading.Event()

    def run(self):
        while not self.ended.is_set():
            try:
                self.packets.append(self.socket.recv(262144))
            except TimeoutError:
                continue

    def stop(self):
        self.ended.set()
        self.join()
        self.socket.close()
        return b"".join(self.packets)


class Secrecy(RealmTest):
    def test_canaries(self):
        words = {part: part + secrets.token_hex(12) for part in ("subject", "note", "place", "signer", "filename", "reason", "person")}
        marker = secrets.token_bytes(48)
        capture = None
        try:
            capture = Capture()
            capture.start()
        except PermissionError:
            pass
        metadata = letter(21, subject="Về việc " + words["subject"], note=words["note"], place=words["place"],
                          signer={"position": "Chánh Văn phòng", "name": words["signer"]})
        small = self.node("gov").api.send(["D01"], metadata, [(words["filename"] + ".pdf", PDF + marker)])["id"]
        large = self.node("gov").api.send(["D01"], {**metadata, "number": "22"},
                                          [(words["filename"] + ".pdf", PDF + marker * 40000)])["id"]
        for document in (small, large):
            arrival = self.wait_arrival("party", self.document_id("gov", document))["arrival"]
            self.node("party").api.post(f"/v1/inbox/{arrival}/register", {"person": words["person"]})
            self.wait_item("gov", document, "D01", lambda item: item.get("register_number"))
        refused = self.node("gov").api.send(["M01"], {**metadata, "number": "23"}, [])["id"]
        arrival = self.wait_arrival("front", self.document_id("gov", refused))["arrival"]
        self.node("front").api.post(f"/v1/inbox/{arrival}/refuse", {"reason": words["reason"]})
        self.wait_item("gov", refused, "M01", lambda item: item["state"]["name"] == "refused")
        for daemon in [*self.realm.brokers.values(), *self.realm.nodes.values()]:
            daemon.stop()
        wire = capture.stop() if capture else b""
        if capture:
            self.assertGreater(len(wire), 3 * len(marker) * 40000, "the capture saw the large body")

        canaries = [word.encode() for word in words.values()] + [marker[:24], marker[24:]]
        for canary in canaries:
            self.assertNotIn(canary, wire, "on the wire")
        looked = 0
        for top, _, files in os.walk(self.realm.folder):
            for name in files:
                with open(os.path.join(top, name), "rb") as file:
                    content = file.read()
                looked += len(content)
                for canary in canaries:
                    self.assertNotIn(canary, content, os.path.join(top, name))
        self.assertGreater(looked, 3 * len(marker) * 40000)
        if not capture:
            self.skipTest("files were searched; the wire needs root")


if __name__ == "__main__":
    unittest.main()
