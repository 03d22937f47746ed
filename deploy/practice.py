"""The story behind deploy/try: a practice realm with agencies of all three branches, real documents, a broker that dies
in the middle, verified receipts, and robot agencies to practise against. Python standard library only."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from realm import Realm, RealmError, wait_until  # noqa: E402

VIETNAMESE = os.environ.get("TRAM_LANG", os.environ.get("LANG", "")).startswith("vi")

# name: (agency, code, branch, level, province, parent)
AGENCIES = {
    "party": ("Văn phòng Trung ương Đảng", "D01", "party", "central", None, None),
    "gov": ("Văn phòng Chính phủ", "G22", "government", "central", None, None),
    "front": ("Ủy ban Trung ương Mặt trận Tổ quốc Việt Nam", "M01", "front", "central", None, None),
    "province": ("Ủy ban nhân dân tỉnh An Giang", "H01", "government", "province", "91", None),
    "dinhmy": ("Ủy ban nhân dân xã Định Mỹ", "H01.151", "government", "commune", "91", "H01"),
    "longxuyen": ("Ủy ban nhân dân phường Long Xuyên", "H01.152", "government", "commune", "91", "H01"),
}
ROBOTS = {
    "robot1": ("Cơ quan thực hành: luôn vào sổ (robot)", "TH.01", "registers"),
    "robot2": ("Cơ quan thực hành: luôn trả lại (robot)", "TH.02", "refuses"),
    "robot3": ("Cơ quan thực hành: vào sổ muộn hai phút (robot)", "TH.03", "late"),
    "robot4": ("Cơ quan thực hành: nhận mà im lặng (robot)", "TH.04", "silent"),
    "robot5": ("Cơ quan thực hành: không kết nối (robot)", "TH.05", "offline"),
}
LATE_SECONDS = 120


class Story:
    def __init__(self):
        self.tty = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.step, self.began = 0, time.monotonic()

    def title(self, vi, en):
        self.step += 1
        text = f"{self.step}. {vi if VIETNAMESE else en}"
        print(f"\n\033[1m{text}\033[0m" if self.tty else f"\n{text}", flush=True)

    def line(self, vi, en):
        print(f"   {vi if VIETNAMESE else en}", flush=True)

    def progress(self, text):
        if self.tty:
            print(f"\r   {text}\033[K", end="", flush=True)

    def progress_done(self):
        if self.tty:
            print("\r\033[K", end="", flush=True)


def is_ours(pid, folder):
    """Whether the process with this id runs in our folder: ids are reused."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return folder.encode() in file.read()
    except OSError:
        return False


def running(folder):
    """(name, pid) of what runs for this folder, robots first, brokers last."""
    found = []
    if os.path.isdir(folder):
        for entry in sorted(os.listdir(folder)):
            if entry.endswith(".pid"):
                with open(os.path.join(folder, entry)) as file:
                    pid = int(file.read() or 0)
                if pid and is_ours(pid, folder):
                    found.append((entry[:-4], pid))
    order = {"robots": 0}
    return sorted(found, key=lambda one: (order.get(one[0], 2 if one[0].startswith("tram-") else 1), one[0]))


def stop(folder, quiet=False):
    ended = running(folder)
    for _, pid in ended:
        os.kill(pid, signal.SIGTERM)
    for name, pid in ended:
        try:
            wait_until(lambda: not is_ours(pid, folder), 20, name)
        except RealmError:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_ours(pid, folder), 20, name)
    if os.path.isdir(os.path.join(folder, "practice-keys")):  # only what we made ourselves
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)
    if not quiet:
        print(f"{len(ended)} processes ended, {folder} removed")


def status(folder):
    alive = running(folder)
    for name, pid in alive:
        print(f"{name:12} {pid}")
    print(f"{len(alive)} processes run")
    return 0 if alive else 1


# ---- the story --------------------------------------------------------------------------------------------------------


def build_realm(story, realm):
    story.title("Lập danh bạ: ba cán bộ ký, hai chữ ký là đủ", "The directory: three officers, two signatures make an entry")
    realm.make("Mạng thực hành", body_floor=None)
    for i, domain in enumerate(("ha-noi", "da-nang", "ho-chi-minh")):
        realm.add_broker(f"tram-{i + 1}", domain)
    realm.add_witness("thanh-tra", "Thanh tra Chính phủ")
    for name, (agency, code, branch, level, province, parent) in AGENCIES.items():
        realm.add_node(name, agency, code, branch=branch, level=level, province=province, parent=parent)
    for name, (agency, code, _) in ROBOTS.items():
        realm.add_node(name, agency, code)
    realm.add_agency("Ủy ban nhân dân xã Thoại Sơn", "H01.153", level="commune", province="91", parent="H01")
    story.line(f"{len(AGENCIES) + len(ROBOTS) + 1} cơ quan, 3 trạm, 1 nhân chứng độc lập; mạng được đánh dấu THỰC HÀNH",
               f"{len(AGENCIES) + len(ROBOTS) + 1} agencies, 3 brokers, 1 independent witness; the realm is marked PRACTICE for ever")


def start_realm(story, realm):
    story.title("Khởi động ba trạm, nhân chứng và các nút", "Three brokers, the witness and the nodes start")
    realm.accept_all()
    offline = realm.nodes["robot5"]
    for daemon in realm.daemons():
        daemon.start()
    for node in realm.nodes.values():
        node.wait_ready(3)
    offline.stop()  # it was there once, so that others hold its keys
    story.line("mỗi nút nối cả ba trạm; TH.05 cố ý không chạy", "every node is connected to all three; TH.05 stays off on purpose")


def samples(realm):
    folder = os.path.join(realm.folder, "samples")
    subprocess.run([sys.executable, os.path.join(HERE, "samples", "make_samples.py"), "--out", folder], check=True,
                   stdout=subprocess.DEVNULL)
    with open(os.path.join(folder, "samples.json")) as file:
        found = {one["code"]: one for one in json.load(file)}
    for one in found.values():
        one["content"] = []
        for name in one["files"]:
            with open(os.path.join(folder, name), "rb") as file:
                one["content"].append((name, file.read()))
    return found


def send(realm, name, to, sample):
    return realm.nodes[name].api.send(to, sample["metadata"], sample["content"])["id"]


def item_of(realm, name, document, code):
    page = realm.nodes[name].api.get(f"/v1/documents/{document}?limit=200")
    return next((item for item in page["recipient_list"] if item.get("code") == code), None)


def wait_state(realm, name, document, code, states, seconds=120):
    def look():
        item = item_of(realm, name, document, code)
        return item if item and item["state"]["name"] in states else None
    return wait_until(look, seconds, f"{document} at {code}: {states}")


def arrival_of(realm, receiver, sender, document):
    doc_id = wait_until(lambda: realm.nodes[sender].api.get(f"/v1/documents/{document}").get("document_id"), 120, "sealed")
    found = wait_until(lambda: next((row for row in realm.nodes[receiver].api.get("/v1/inbox?limit=200")["items"]
                                     if row["document_id"] == doc_id), None), 180, f"arrival at {receiver}")
    return found["arrival"]


def letter_with_annexes(story, realm, found):
    sample = found["125/UBND-KSTT"]
    story.title("Tỉnh gửi công văn 125/UBND-KSTT kèm hai phụ lục cho hai xã, phường",
                "The province sends letter 125/UBND-KSTT with two annexes to two communes")
    document = send(realm, "province", ["H01.151", "H01.152"], sample)
    for code in ("H01.151", "H01.152"):
        item = wait_state(realm, "province", document, code, {"delivered"})
        story.line(f"{code}: trạng thái 01 Đã đến, {item['custodies']} trạm giữ", f"{code}: status 01 arrived, {item['custodies']} failure domains hold it")
    arrival = arrival_of(realm, "dinhmy", "province", document)
    done = realm.nodes["dinhmy"].api.post(f"/v1/inbox/{arrival}/register", {"person": "Trần Thị Bình"})
    item = wait_until(lambda: (lambda i: i if i.get("register_number") else None)(item_of(realm, "province", document, "H01.151")), 60, "03")
    story.line(f"xã Định Mỹ vào sổ số đến {done['register_number']}; tỉnh thấy: 03, số {item['register_number']}, {item['person']}",
               f"Định Mỹ registers it as No. {done['register_number']}; the province sees 03, No. {item['register_number']}, by {item['person']}")
    arrival = arrival_of(realm, "longxuyen", "province", document)
    realm.nodes["longxuyen"].api.post(f"/v1/inbox/{arrival}/refuse", {"reason": "Phụ lục II thiếu trang 2", "person": "Lê Văn Cường"})
    item = wait_state(realm, "province", document, "H01.152", {"refused"})
    story.line(f"phường Long Xuyên trả lại: “{item['reason']}” (02)", f"Long Xuyên refuses: “{item['reason']}” (02)")
    return document


def telegram(story, realm, found):
    story.title("Công điện HỎA TỐC 08/CĐ-UBND tới mọi cơ quan", "An express telegram (hỏa tốc) to every agency")
    began = time.monotonic()
    document = send(realm, "province", ["all"], found["08/CĐ-UBND"])
    wanted = len(AGENCIES) - 1 + len(ROBOTS) - 1

    def delivered():
        counts = realm.nodes["province"].api.get(f"/v1/documents/{document}").get("counts", {})
        return counts.get("delivered", 0) + counts.get("refused", 0) >= wanted and counts.get("accepted", 0) == 1
    wait_until(delivered, 120, "the telegram everywhere")
    took = time.monotonic() - began
    story.line(f"{wanted} nơi nhận trong {took:.1f} giây; TH.05 tắt máy: trạm giữ chờ; xã Thoại Sơn chưa có nút: được báo rõ",
               f"{wanted} recipients in {took:.1f} s; TH.05 is off: the brokers keep it; xã Thoại Sơn has no node yet: shown as such")


def big_annex(story, realm, size):
    story.title(f"Phụ lục {size}B và một trạm chết giữa chừng", f"An annex of {size}B, and a broker dies in the middle")
    path = os.path.join(realm.folder, "samples", "phu-luc-lon.pdf")
    subprocess.run([sys.executable, os.path.join(HERE, "samples", "make_samples.py"), "--big", size, "--out", path], check=True,
                   stdout=subprocess.DEVNULL)
    metadata = {"number": "7816", "symbol": "VPCP-KSTT", "type_name": "Công văn", "subject": "V/v gửi dữ liệu rà soát kèm phụ lục",
                "issued": "2026-11-20", "place": "Hà Nội", "signer": {"position": "Phó Chủ nhiệm", "name": "Hoàng Gia Khánh"}}
    with open(path, "rb") as file:
        document = realm.nodes["gov"].api.send(["D01", "H01"], metadata, [("phu-luc-lon.pdf", file.read())])["id"]
    victim = realm.brokers["tram-2"]
    wait_until(lambda: realm.nodes["gov"].api.get(f"/v1/documents/{document}").get("document_id"), 300, "sealed")

    def uploading():
        bodies = os.path.join(victim.home, "bodies")
        sizes = [os.path.getsize(os.path.join(top, name)) for top, _, names in os.walk(bodies) for name in names]
        return max(sizes, default=0) > 1 << 20
    wait_until(uploading, 120, "the upload begins")
    victim.kill()
    story.line("trạm Đà Nẵng bị kill -9 khi đang nhận", "the broker at Đà Nẵng gets kill -9 while it receives")
    for code in ("D01", "H01"):
        item = wait_state(realm, "gov", document, code, {"delivered"}, 600)
        story.line(f"{code}: đã đến, {item['custodies']} trạm giữ, không mất gì", f"{code}: arrived; {item['custodies']} failure domains hold it, nothing lost")
    victim.start()
    wait_until(lambda: realm.nodes["gov"].connected() == 3, 60, "the broker is back")
    story.line("trạm Đà Nẵng chạy lại, các nút tự nối", "the broker runs again, the nodes reconnect by themselves")
    os.remove(path)


def party_letter(story, realm, found):
    story.title("Văn phòng Trung ương Đảng gửi Chính phủ và Mặt trận", "The Party's Central Office writes to Government and Front")
    document = send(realm, "party", ["G22", "M01"], found["05-CV/VPTW"])
    for name, code in (("gov", "G22"), ("front", "M01")):
        arrival = arrival_of(realm, name, "party", document)
        done = realm.nodes[name].api.post(f"/v1/inbox/{arrival}/register", {"person": "Văn thư"})
        story.line(f"{code} vào sổ số đến {done['register_number']}", f"{code} registers it as No. {done['register_number']}")


def witnessed(story, realm):
    story.title("Nhật ký của tỉnh được ba trạm và Thanh tra Chính phủ ký xác nhận",
                "The province's log is countersigned by three brokers and the Government Inspectorate")

    def countersigned():
        log = realm.nodes["province"].api.get("/v1/health")["log"]
        kinds = [one["kind"] for one in log["cosigners"]]
        return log if kinds.count("broker") == len(realm.brokers) and "witness" in kinds else None
    size = wait_until(countersigned, 120, "the log before its witnesses")["size"]
    story.line(f"{size} mục; ai sửa một mục về sau sẽ lộ ra", f"{size} entries; whoever changes one of them later is found out")


def receipts(story, realm, document):
    story.title("Biên nhận có chữ ký, kiểm tra ngoại tuyến", "Signed receipts, verified offline")
    folder = os.path.join(realm.folder, "receipts")
    node = realm.nodes["province"]
    wait_until(lambda: all(item["custodies"] >= 2 or item["state"]["name"] != "delivered"
                           for item in node.api.get(f"/v1/documents/{document}?limit=200")["recipient_list"]), 60, "custody of two brokers")
    realm.tram(realm.nodes["province"], "receipts", document, "--save", folder)
    for name in sorted(os.listdir(folder)):
        said = realm.tram(realm.nodes["province"], "--lang", "vi" if VIETNAMESE else "en", "verify", os.path.join(folder, name))
        lines = said.strip().splitlines()
        event = next((line for line in lines if line.startswith(("Event", "Sự kiện"))), "")
        story.line(f"{lines[-1]}  {event}  {name}", f"{lines[-1]}  {event}  {name}")


def next_steps(story, realm, binaries):
    tram = os.path.join(binaries, "tram")
    api = {name: realm.nodes[name].api.socket_path for name in ("province", "gov")}
    sample = os.path.join(realm.folder, "samples", "cong-van-125-UBND-KSTT.pdf")
    story.title("Xong. Mạng thực hành vẫn đang chạy; hãy thử", "Done. The practice realm keeps running; try")
    print(f"""
   export TRAM_SOCKET={api['province']}
   {tram} inbox
   {tram} outbox
   {tram} directory "an giang"
   {tram} send --to TH.01 --to TH.02 --number 126 --symbol UBND-KSTT --type "Công văn" --subject "V/v thử" --file {sample}
   {tram} doctor

   TH.01 registers · TH.02 refuses · TH.03 is two minutes late · TH.04 stays silent · TH.05 is offline
   logs: {realm.folder}/*.log        stop and clean: deploy/try stop
   all of it took {time.monotonic() - story.began:.0f} s
""")


def start(folder, binaries, annex):
    if running(folder):
        print(f"It runs already in {folder}.\nhint: deploy/try stop", file=sys.stderr)
        return 1
    story, realm = Story(), Realm(folder, binaries)
    try:
        build_realm(story, realm)
        start_realm(story, realm)
        start_robots(realm)
        found = samples(realm)
        document = letter_with_annexes(story, realm, found)
        telegram(story, realm, found)
        party_letter(story, realm, found)
        big_annex(story, realm, annex)
        witnessed(story, realm)
        receipts(story, realm, document)
        next_steps(story, realm, binaries)
        return 0
    except (RealmError, OSError, subprocess.CalledProcessError) as error:
        print(f"\ndeploy/try: {error}\nhint: the logs are in {folder}; `deploy/try stop` cleans up", file=sys.stderr)
        return 1


# ---- robots -----------------------------------------------------------------------------------------------------------


def start_robots(realm):
    log = open(os.path.join(realm.folder, "robots.log"), "ab")
    process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "robots", "--folder", realm.folder, "--binaries", realm.binaries],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    log.close()
    with open(os.path.join(realm.folder, "robots.pid"), "w") as file:
        file.write(str(process.pid))


def robots(folder):
    """Looks into the robots' inboxes every second and does what each of them always does."""
    from realm import Api
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    first_seen = {}
    while True:
        for name, (_, code, habit) in ROBOTS.items():
            if habit in ("silent", "offline"):
                continue
            api = Api(os.path.join(folder, name, "api.sock"))
            try:
                for row in api.get("/v1/inbox?state=arrived&limit=100")["items"]:
                    seen = first_seen.setdefault((name, row["arrival"]), time.monotonic())
                    if habit == "late" and time.monotonic() - seen < LATE_SECONDS:
                        continue
                    act = "refuse" if habit == "refuses" else "register"
                    body = {"person": "Robot", "reason": "Robot thực hành luôn trả lại"} if act == "refuse" else {"person": "Robot"}
                    api.post(f"/v1/inbox/{row['arrival']}/{act}", body)
                    print(f"{code} {act} {row['arrival']}", flush=True)
            except (OSError, RealmError, ValueError) as error:
                print(f"{code}: {error}", flush=True)
        time.sleep(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("act", choices=("start", "stop", "status", "robots"))
    parser.add_argument("--folder", required=True)
    parser.add_argument("--binaries", required=True)
    parser.add_argument("--annex", default="200M")
    given = parser.parse_args()
    folder = os.path.abspath(given.folder)
    if given.act == "start":
        return start(folder, given.binaries, given.annex)
    if given.act == "stop":
        return stop(folder)
    if given.act == "status":
        return status(folder)
    return robots(folder)


if __name__ == "__main__":
    sys.exit(main())
