"""Agencies that merge and split while documents wait for them (R31), over real daemons."""
import unittest

from support import PDF, RestartingTest, letter, wait_until


class Succession(RestartingTest):
    agencies = {
        "gov": ("Văn phòng Chính phủ", "G22", {}),
        "old": ("Bộ sẽ sáp nhập", "G01", {}),
        "big": ("Bộ sẽ chia tách", "G02", {}),
        "heir": ("Bộ kế thừa", "G03", {}),
    }

    def send(self, name, to, number):
        return self.node(name).api.send(to, letter(number), [("cong-van.pdf", PDF)])["id"]

    def state(self, name):
        return lambda item: item["state"]["name"] == name

    def accepted(self, document, code):
        self.wait_item("gov", document, code, lambda item: item["state"]["name"] == "accepted")

    def rows(self, name, document_id):
        return [row["arrival"] for row in self.inbox(name) if row["document_id"] == document_id]

    def test_what_waits_goes_to_the_successor_or_back_to_the_clerk(self):
        gov, old = self.node("gov"), self.node("old")
        before = self.send("gov", ["G01"], 1)
        self.wait_delivered("gov", before, "G01")
        arrival = self.wait_arrival("old", self.document_id("gov", before))["arrival"]
        for name in ("old", "big"):
            self.node(name).stop()
        waits, splits = self.send("gov", ["G01"], 2), self.send("gov", ["G02"], 3)
        self.accepted(waits, "G01")
        self.accepted(splits, "G02")
        self.realm.authority("propose", "succeed", "--from", "G01", "--to", "G03", "--policy", "merge", secret=True)
        self.realm.authority("propose", "succeed", "--from", "G02", "--to", "G03", "--to", "G22", "--policy", "split", secret=True)
        self.realm.publish()

        item = self.wait_item("gov", waits, "G01", self.state("forwarded"), 90)
        self.assertEqual([one["code"] for one in item["successors"]], ["G03"])
        self.wait_delivered("gov", waits, "G03")
        document = self.document_id("gov", waits)
        self.assertEqual(len(self.rows("heir", document)), 1)
        self.wait_item("gov", splits, "G02", self.state("undeliverable"), 90)
        shown = self.realm.tram(gov, "show", splits)
        self.assertIn("G03 Bộ kế thừa", shown)
        self.assertIn(splits, self.realm.tram(gov, "doctor", check=False).stdout)

        # The closed one drains: the brokers let go of what went to its successor, its clerk still answers, it sends nothing.
        for name in ("old", "big"):
            self.node(name).start().wait_ready(3)
        wait_until(lambda: any(problem["code"] == "closed_agency" for problem in old.api.get("/v1/health")["problems"]), 90,
                   "the closed agency to know it", self.all_alive)
        old.api.post(f"/v1/inbox/{arrival}/register", {"person": "Trần Thị Bình"})
        self.wait_item("gov", before, "G01", lambda item: (item["status"] or {}).get("code") == "03")
        status, _, problem = old.api.call("POST", "/v1/documents", {"metadata": letter(4), "to": ["G22"], "files": []})
        self.assertEqual((status, problem["code"]), (410, "closed_agency"))
        self.assertEqual(self.rows("old", document), [])
        self.assertEqual(self.items("gov", waits)["G01"]["state"]["name"], "forwarded")
        status, _, problem = gov.api.call("POST", "/v1/documents", {"metadata": letter(5), "to": ["G02"], "files": []})
        self.assertEqual((status, problem["code"]), (410, "closed_agency"))
        self.assertIn("G03", problem["detail"])


if __name__ == "__main__":
    unittest.main()
