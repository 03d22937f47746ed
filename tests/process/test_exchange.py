"""The clerk's whole day over real daemons: send, arrive, register, refuse, status, recall, receipts, wrong input."""
import hashlib
import os
import time
import unittest

from support import PDF, RealmTest, letter, wait_until


class Exchange(RealmTest):
    @classmethod
    def prepare(cls, realm):
        realm.add_agency("Ủy ban nhân dân xã Định Mỹ", "H01.151", level="commune", province="91")
        realm.add_agency("Phòng Hành chính", "G22.01", level="unit", parent="G22")

    def send(self, name, to, number, files=(("cong-van.pdf", PDF),), **fields):
        return self.node(name).api.send(to, letter(number, **fields), files)["id"]

    def arrived(self, name, sender, document):
        return self.wait_arrival(name, self.document_id(sender, document))["arrival"]

    def test_send_register_and_verify_the_receipt(self):
        document = self.send("gov", ["D01", "M01"], 1)
        self.wait_delivered("gov", document, "D01")
        arrival = self.arrived("party", "gov", document)
        shown = self.node("party").api.get(f"/v1/inbox/{arrival}")
        self.assertEqual(shown["from"]["code"], "G22")
        self.assertEqual(shown["subject"], letter(1)["subject"])
        status, _, content = self.node("party").api.call("GET", f"/v1/inbox/{arrival}/files/1")
        self.assertEqual((status, content), (200, PDF))
        registered = self.node("party").api.post(f"/v1/inbox/{arrival}/register", {"person": "Trần Thị Bình"})
        number = registered["register_number"]
        self.assertGreaterEqual(int(number), 1)
        item = self.wait_item("gov", document, "D01", lambda item: (item["status"] or {}).get("code") == "03")
        self.assertEqual((item["register_number"], item["person"]), (number, "Trần Thị Bình"))
        for step in ("04", "05", "06"):
            self.node("party").api.post(f"/v1/inbox/{arrival}/status", {"status": step})
        self.wait_item("gov", document, "D01", lambda item: (item["status"] or {}).get("code") == "06")

        for code in ("D01", "M01"):  # a receipt may come before the second broker's custody
            self.wait_item("gov", document, code, lambda item: item["state"]["name"] == "delivered" and item["custodies"] >= 2)
        saved = os.path.join(self.folder, "receipts")
        self.realm.tram(self.node("gov"), "receipts", document, "--save", saved)
        files = sorted(os.listdir(saved))
        self.assertGreaterEqual(len(files), 5)
        for file in files:
            self.realm.tram(self.node("gov"), "verify", os.path.join(saved, file))
        path = os.path.join(saved, files[0])
        with open(path, "rb") as file:
            content = bytearray(file.read())
        content[len(content) // 2] ^= 1
        with open(path, "wb") as file:
            file.write(content)
        spoilt = self.realm.tram(self.node("gov"), "verify", path, check=False)
        self.assertNotEqual(spoilt.returncode, 0, spoilt.stdout)

    def test_who_waits_is_answered_when_the_receipt_is_here(self):
        api = self.node("gov").api
        document = self.send("gov", ["D01"], 31)
        wait_until(lambda: api.get(f"/v1/documents/{document}?wait=delivered")["counts"] == {"delivered": 1}, 30, "the receipt")
        # One of these has no node: the answer is what is true when the time is over.
        waiting = self.send("gov", ["D01", "communes:91"], 32)
        began = time.monotonic()
        counts = api.get(f"/v1/documents/{waiting}?wait=accepted&seconds=1")["counts"]
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.assertEqual(counts["waiting"], 1)

    def test_refuse_says_why(self):
        document = self.send("gov", ["M01"], 2)
        arrival = self.arrived("front", "gov", document)
        status, _, problem = self.node("front").api.call("POST", f"/v1/inbox/{arrival}/refuse", {"reason": ""})
        self.assertEqual(status, 400, problem)
        self.node("front").api.post(f"/v1/inbox/{arrival}/refuse", {"reason": "Không thuộc thẩm quyền"})
        item = self.wait_item("gov", document, "M01", lambda item: item["state"]["name"] == "refused")
        self.assertEqual((item["reason"], item["status"]["code"]), ("Không thuộc thẩm quyền", "02"))
        status, _, _ = self.node("front").api.call("POST", f"/v1/inbox/{arrival}/register", {})
        self.assertEqual(status, 409)

    def test_recall_before_registration_destroys_the_content(self):
        document = self.send("gov", ["D01"], 3)
        arrival = self.arrived("party", "gov", document)
        self.node("gov").api.post(f"/v1/documents/{document}/recall", {"reason": "Sai thể thức"})
        self.wait_item("gov", document, "D01", lambda item: item["state"]["name"] == "recalled")
        shown = self.node("party").api.get(f"/v1/inbox/{arrival}")
        self.assertEqual((shown["state"]["name"], shown["body_kept"]), ("recalled", False))
        status, _, _ = self.node("party").api.call("GET", f"/v1/inbox/{arrival}/files/1")
        self.assertNotEqual(status, 200)

    def test_recall_after_registration_is_a_request_that_policy_forbids_to_refuse(self):
        document = self.send("gov", ["D01"], 4)
        arrival = self.arrived("party", "gov", document)
        self.node("party").api.post(f"/v1/inbox/{arrival}/register", {"person": "Bình"})
        self.node("gov").api.post(f"/v1/documents/{document}/recall", {"reason": "Ban hành nhầm"})
        wait_until(lambda: self.node("party").api.get(f"/v1/inbox/{arrival}").get("pending_change"), 60, "the request", self.all_alive)
        status, _, problem = self.node("party").api.call("POST", f"/v1/inbox/{arrival}/answer", {"agree": False, "reason": "Đã xử lý"})
        self.assertEqual((status, problem["code"]), (403, "recall_refused"))
        self.node("party").api.post(f"/v1/inbox/{arrival}/answer", {"agree": True})
        item = self.wait_item("gov", document, "D01", lambda item: item["state"]["name"] == "recalled")
        self.assertEqual(item["status"]["code"], "15")

    def test_a_unit_leads_to_its_agency(self):
        document = self.send("party", ["G22.01"], 5, symbol="CV/VPTW")
        self.wait_delivered("party", document, "G22")
        arrival = self.arrived("gov", "party", document)
        self.assertEqual([unit["code"] for unit in self.node("gov").api.get(f"/v1/inbox/{arrival}")["units"]], ["G22.01"])

    def test_a_large_document_with_ten_files_arrives_whole(self):
        files = [(f"phu-luc-{i}.pdf", PDF + os.urandom(300_000 + i)) for i in range(10)]
        document = self.send("gov", ["D01", "M01"], 6, files)
        arrival = self.arrived("party", "gov", document)
        shown = self.node("party").api.get(f"/v1/inbox/{arrival}")
        for i, (name, content) in enumerate(files):
            self.assertEqual(shown["files"][i]["name"], name)
            self.assertEqual(shown["files"][i]["sha256"], hashlib.sha256(content).hexdigest())
            status, _, got = self.node("party").api.call("GET", f"/v1/inbox/{arrival}/files/{i + 1}")
            self.assertEqual((status, got == content), (200, True))
        self.wait_delivered("gov", document, "M01")

    def test_wrong_input_says_what_to_do_and_changes_nothing(self):
        api = self.node("gov").api
        before = len(api.get("/v1/documents")["items"])
        content = [{"name": "a.pdf", "content": "JVBERi0xLjQK"}]
        for to, metadata, files, code in (
                (["KHONG.CO"], letter(7), content, "unknown_agency"),
                (["H01.151"], letter(7), content, "no_node"),
                (["G22"], letter(7), content, "bad_request"),
                (["D01"], letter(7, subject="x" * 600), content, "bad_metadata"),
                (["D01"], letter(7, number="bảy"), content, "bad_number_format"),
                (["D01"], letter(7), [{"name": "a.exe", "content": "TVqQAAMA"}], "unsupported_file"),
                (["D01"], letter(7), [{"name": "a.pdf", "content": "TVqQAAMA"}], "unsupported_file"),
                (["D01"], letter(7, classification="secret"), content, "forbidden")):
            with self.subTest(code=code, to=to):
                status, _, problem = api.call("POST", "/v1/documents", {"metadata": metadata, "to": to, "files": files})
                self.assertGreaterEqual(status, 400)
                self.assertEqual(problem["code"], code)
                self.assertTrue(problem["vi"] and problem["en"])
        self.assertEqual(len(api.get("/v1/documents")["items"]), before)

    def test_the_same_idempotency_key_sends_once(self):
        api = self.node("gov").api
        body = {"metadata": letter(8), "to": ["D01"], "files": []}
        answers = [api.call("POST", "/v1/documents", body, {"Idempotency-Key": "once"})[2]["id"] for _ in range(3)]
        self.assertEqual(len(set(answers)), 1)
        status, _, problem = api.call("POST", "/v1/documents", {**body, "to": ["M01"]}, {"Idempotency-Key": "once"})
        self.assertEqual((status, problem["code"]), (409, "conflict"))

    def test_health_is_clean(self):
        health = self.node("gov").api.get("/v1/health")
        self.assertEqual(len([b for b in health["brokers"] if b["connected"]]), 3)
        self.assertTrue(health["practice"])


if __name__ == "__main__":
    unittest.main()
