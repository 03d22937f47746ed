"""What the product does: one function for each row of the requirement. Each takes the Bench (binaries, scratch, figures
of this run), starts what it needs and returns rows for the table."""
import json
import os
import time

import bound
from memory import MIB, available_bytes, touch_memory
from processes import BenchError, Group, run, wait_until
from realm import Realm, UnixHttp


class Row:
    """One line of the table: a figure, what it is compared with, the ratio, the target, whether it is met."""

    def __init__(self, what, value, unit, against="", ratio=None, target="", met=None, share=""):
        self.what, self.value, self.unit = what, value, unit
        self.against, self.ratio, self.target, self.met, self.share = against, ratio, target, met, share

    def cells(self):
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = "" if self.met is None else "yes" if self.met else "**no**"
        return [self.what, f"{self.value:,.4g}" if self.value < 1000 else f"{self.value:,.0f}", self.unit, self.share, self.against, ratio,
                self.target, met]


def figures_of(text):
    out = {}
    for line in text.splitlines():
        if line.startswith("{"):
            entry = json.loads(line)
            if "name" in entry:
                out[entry["name"]] = entry
    return out


def load(bench, node, to, phase, **options):
    command = [bench.binary("bench_load"), "--socket", node.api, "--phase", phase]
    for code in to:
        command += ["--to", code]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    return figures_of(run(command))


def share(value, limit):
    return f"{100 * value / limit:.0f} % of {limit:,.0f}" if limit >= 100 else f"{100 * value / limit:.0f} % of {limit:.3g}"


class Processor:
    """Notes the processor time that each daemon spent on a load, and how busy they kept the cores."""

    def __init__(self, bench, realm, what, count=1):
        self.bench, self.realm, self.what, self.count = bench, realm, what, count

    def __enter__(self):
        self.before = {d: d.process.cpu_seconds() for d in self.realm.daemons()}
        self.begin, self.machine = time.monotonic(), busy_seconds()

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        wall = time.monotonic() - self.begin
        spent = [d.process.cpu_seconds() - before for d, before in self.before.items()]
        names = [f"broker {i}" for i in range(len(self.realm.brokers))] + ["sender", "recipient"]
        self.bench.note(f"processor time of {self.what}, core-µs: " +
                        ", ".join(f"{name} {us * 1e6 / self.count:,.0f}" for name, us in zip(names, spent)) +
                        f"; together {sum(spent) * 1e6 / self.count:,.0f}, {sum(spent) / wall:.2f} cores; everything on the machine: "
                        f"{(busy_seconds() - self.machine) / wall:.2f} of {self.bench.cores} cores (the clients of the bench among it)")


def busy_seconds():
    """Processor time of everything on this machine since it started."""
    with open("/proc/stat") as f:
        fields = [int(field) for field in f.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def small(bench):
    """Small documents: sustained rate and, in the same realm, the latency at 50 a second."""
    rows = []
    operations = bound.document(bench.costs, bench.cores, 400, 1024)
    bench.operations["one small document, one recipient"] = operations
    limit = operations.per_second()
    with Group() as group:
        realm = Realm(group, bench.binaries, bench.scratch("small"), nodes=2)
        realm.start_brokers()
        realm.start_nodes()
        sender, recipient = realm.nodes
        load(bench, sender, [recipient.code], "sustained", documents=500)  # warm
        documents = bench.scaled(8000)
        with Processor(bench, realm, "a small document", documents):
            # A client that waits for each answer submits about 45 a second: 16 of them would be the limit, not the exchange.
            got = load(bench, sender, [recipient.code], "sustained", documents=documents, connections=32, seconds=300)
        rate = got.get("documents a second, sustained", got["documents a second, submitted to RECEIVED"])["median"]
        rows.append(Row("small documents, submit → verified RECEIVED, sustained", rate, "1/s", "the bound", rate / limit, "≥ 0.5",
                        rate / limit >= 0.5, share(rate, limit)))
        time.sleep(1)
        # Waiting times change with the machine's other work: the anchors of this row are taken before and after it.
        unit, chain = latency_anchors(bench)
        got = load(bench, sender, [recipient.code], "latency", documents=bench.scaled(500), rate=50)
        again, chain_again = latency_anchors(bench)
        unit, chain = (unit + again) / 2, [(a + b) / 2 for a, b in zip(chain, chain_again)]
        for name, target, least in (("accepted", 15, chain[0]), ("receipt", 30, chain[1])):
            p50 = got[f"p50 to {name}"]["median"]
            ratio = p50 * 1e3 / unit
            rows.append(Row(f"50 documents/s: p50 to {name}", p50, "ms", f"CURVE round trip + LMDB commit ({unit / 1e3:.2f} ms)", ratio,
                            f"≤ {target}", ratio <= target, f"{p50 * 1e3 / least:.1f} × the bare chain ({least / 1e3:.2f} ms)"))
            rows.append(Row(f"50 documents/s: p99 to {name}", got[f"p99 to {name}"]["median"], "ms"))
        bench.complain(realm)
    return rows


def latency_anchors(bench):
    """One CURVE round trip plus one LMDB commit, and the bare chains to accepted and to receipt, in microseconds."""
    figures = dict(bench.figures)
    figures.update(figures_of(run([bench.binary("bench_anchors"), "--dir", bench.scratch("anchors"), "--phase", "latency"])))
    costs = bound.Costs(figures)
    return costs.of("CURVE round trip p50, 1 KiB") + costs.of("LMDB commit of one p50, 1 KiB"), bound.latency_us(costs)


def custody(bench):
    """One broker's custody rate."""
    rows = []
    peer = bench.rabbitmq_rate()
    with Group() as group:
        realm = Realm(group, bench.binaries, bench.scratch("custody"), nodes=0, silent=600)
        realm.start_brokers(only=[0, 1])  # the other one only says that the first is no old copy (R8)
        for phase, known, target in (("fresh", "fresh documents", 0.35), ("known", "headers verified before", 0.6)):
            operations = bound.custody(bench.costs, bench.cores, 1024, phase == "fresh")
            bench.operations[f"one envelope into custody at one broker, {known}"] = operations
            limit = operations.per_second()
            got = figures_of(run([bench.binary("bench_custody"), "--agencies", realm.agencies, "--realm", realm.made["realm"],
                                  "--broker", realm.broker_argument(0), "--broker-sig", realm.broker_sig(0), "--phase", phase,
                                  "--directory-size", str(realm.made["entries"]), "--directory-root", realm.made["root"], "--documents", str(bench.scaled(40000)),
                                  "--senders", "8", "--skip", "0" if phase == "fresh" else "8"]))
            name = "custody, fresh documents" if phase == "fresh" else "custody, known headers"
            rate = got[name]["median"]
            rows.append(Row(f"one broker, signed custody, {known}", rate, "1/s", f"RabbitMQ, 3 nodes, publishes ({peer:,.0f}/s)", rate / peer,
                            f"≥ {target}", rate / peer >= target, share(rate, limit)))
            if got[f"{name}, receipts verified"]["median"] == 0:
                raise BenchError("no custody receipt was verified")
        bench.complain(realm)
    return rows


def large(bench):
    """Documents of 1 MiB."""
    operations = bound.document(bench.costs, bench.cores, MIB, 1024)
    bench.operations["one document of 1 MiB, one recipient"] = operations
    limit = operations.per_second()
    peer = bench.figures["RabbitMQ in and out at once, 1 MiB, bandwidth"]["median"]
    touch_memory(bench.scratch("touched"))
    with Group() as group:
        realm = Realm(group, bench.binaries, bench.scratch("large"), nodes=2)
        realm.start_brokers()
        realm.start_nodes()
        sender, recipient = realm.nodes
        load(bench, sender, [recipient.code], "sustained", documents=20, bytes=MIB, connections=2, open=8)
        documents = bench.scaled(400)
        with Processor(bench, realm, "a document of 1 MiB", documents):
            got = load(bench, sender, [recipient.code], "sustained", documents=documents, bytes=MIB, connections=4, open=32, seconds=300)
        rate = got.get("documents a second, sustained", got["documents a second, submitted to RECEIVED"])["median"]
        bench.complain(realm)
    mbs = rate * MIB / 1e6
    return [Row("1 MiB documents, submit → RECEIVED", rate, "1/s", "the bound", rate / limit, "≥ 0.55", rate / limit >= 0.55, share(rate, limit)),
            Row("1 MiB documents, submit → RECEIVED", mbs, "MB/s", f"RabbitMQ in plain text ({peer:.0f} MB/s)", mbs / peer, "≥ 0.3", mbs / peer >= 0.3,
                share(mbs, limit * MIB / 1e6))]


def fanout(bench, recipients=3355):
    """One document of 1 MiB to every commune."""
    operations = bound.fan_out(bench.costs, bench.cores, recipients)
    bench.operations[f"public-key operations of one document to {recipients:,} recipients"] = operations
    least = operations.total() / 1e6 / bench.cores
    with Group() as group:
        realm = Realm(group, bench.binaries, bench.scratch("fanout"), nodes=1, silent=recipients)
        realm.start_brokers()
        realm.publish()
        realm.start_nodes()
        sender = realm.nodes[0]
        # The node fetches the recipients' keys with the first document; the measured one finds them, as in daily use.
        load(bench, sender, ["communes:79"], "once", bytes=2000, seconds=120)
        before = [stored_bodies(broker) for broker in realm.brokers]
        with Processor(bench, realm, f"1 MiB to {recipients:,} recipients"):
            got = load(bench, sender, ["communes:79"], "once", bytes=MIB, seconds=120)
        stored = [stored_bodies(broker) - b for broker, b in zip(realm.brokers, before)]
        bench.complain(realm)
    seconds = got["accepted for every recipient"]["median"]
    if got["recipients"]["median"] < recipients:
        raise BenchError(f"only {got['recipients']['median']} recipients")
    body = bound.padded_body(MIB + 500, 1024)
    rows = [Row(f"1 MiB to {recipients:,} recipients: accepted for all", seconds, "s", f"public-key operations ÷ {bench.cores} cores ({least:.2f} s)",
                seconds / least, "≤ 1.6", seconds / least <= 1.6, f"{100 * least / seconds:.0f} % of the bound's speed")]
    most = max(stored) / body
    rows.append(Row("the same: bytes of body files at a broker", max(stored), "B", f"one body ({body:,} B)", most, "once", most < 1.1))
    return rows


def stored_bodies(daemon):
    """Bytes of the body files under a daemon's home."""
    total = 0
    for folder, _, files in os.walk(daemon.home):
        if f"{os.sep}bodies" in folder:
            total += sum(os.path.getsize(os.path.join(folder, name)) for name in files)
    return total


def upload_large(path, size, to):
    """Stages a file of `size` bytes and submits it; the id of the document."""
    connection = UnixHttp(path, timeout=600)
    connection.request("POST", "/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Content-Length": "0",
                                                       "Upload-Metadata": "filename bG9uLnBkZg==", "Idempotency-Key": f"upload-{time.time_ns()}"})
    response = connection.getresponse()
    body = response.read()
    if response.status != 201:
        raise BenchError(f"POST /v1/uploads: {response.status} {body[:300]!r}")
    location = response.headers["Location"]

    def content():
        sent = 0
        block = b"%PDF-1.7\n" + os.urandom(MIB - 9)
        while sent < size:
            part = block[:min(MIB, size - sent)]
            yield part
            sent += len(part)
    connection.request("PATCH", location, body=content(), headers={"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Length": str(size),
                                                                   "Content-Type": "application/offset+octet-stream"})
    response = connection.getresponse()
    body = response.read()
    if response.status != 204:
        raise BenchError(f"PATCH of an upload: {response.status} {body[:300]!r}")
    document = {"metadata": {"number": "101", "symbol": "UBND-VX", "type_code": "22", "type_name": "Công văn", "subject": "Về việc đo bộ nhớ"},
                "to": [to], "files": [{"name": "lon.pdf", "upload": location.rsplit("/", 1)[1]}]}
    connection.request("POST", "/v1/documents", body=json.dumps(document).encode(),
                       headers={"Content-Type": "application/json", "Idempotency-Key": f"document-{time.time_ns()}"})
    response = connection.getresponse()
    body = response.read()
    if response.status != 202:
        raise BenchError(f"POST /v1/documents: {response.status} {body[:300]!r}")
    connection.close()
    return json.loads(body)["id"]


def memory(bench):
    """A 2 GiB document: the largest resident set of every daemon while it passes."""
    from realm import get_json
    size = bench.large_bytes
    with Group() as group:
        realm = Realm(group, bench.binaries, bench.scratch("memory"), nodes=2)
        realm.start_brokers()
        realm.start_nodes()
        sender, recipient = realm.nodes
        for daemon in realm.daemons():
            daemon.process.reset_peak()
        begin = time.monotonic()
        identifier = upload_large(sender.api, size, recipient.code)
        submitted = time.monotonic()
        anonymous = {d: 0 for d in realm.daemons()}

        def delivered():
            for d in realm.daemons():
                d.process.check_alive()
                anonymous[d] = max(anonymous[d], d.process.status("RssAnon"))
            document = get_json(sender.api, f"/v1/documents/{identifier}")
            if document["state"]["name"] == "failed":
                raise BenchError(f"sealing failed: {document.get('failure')}")
            time.sleep(0.2)
            return document["counts"].get("delivered", 0) == 1
        wait_until(delivered, 900, "the receipt of a large document")
        spent = time.monotonic() - submitted
        names = [f"broker {i}" for i in range(3)] + ["sender", "recipient"]
        peaks = {name: d.process.status("VmHWM") for name, d in zip(names, realm.brokers + realm.nodes)}
        bench.complain(realm)
        bench.note(f"{size / (1 << 30):.3g} GiB document: upload {submitted - begin:.1f} s, then {spent:.1f} s to the receipt; peak resident MiB: " +
                   ", ".join(f"{n} {p / MIB:.1f}" for n, p in peaks.items()) + "; of it own memory (RssAnon): " +
                   ", ".join(f"{n} {anonymous[d] / MIB:.1f}" for n, d in zip(names, realm.brokers + realm.nodes)))
    worst = max(peaks.values()) / MIB
    return [Row(f"a document of {size / (1 << 30):.3g} GiB: largest resident set of a daemon", worst, "MiB", "96 MiB", worst / 96, "≤ 1", worst <= 96)]


def fleet(bench, count=100):
    """Idle nodes: one's own memory, many started together, and how many the machine holds."""
    rows = []
    with Group() as group:
        realm = Realm(group, bench.binaries, bench.scratch("fleet"), nodes=count + 1)
        realm.start_brokers()
        single, rest = realm.nodes[0], realm.nodes[1:]
        realm.start_nodes([single])
        time.sleep(5)
        own = single.process.status("RssAnon") / MIB
        rows.append(Row("an idle node: own memory (RssAnon)", own, "MiB", "24 MiB", own / 24, "≤ 1", own <= 24))
        free_before = available_bytes()
        begin = time.monotonic()
        realm.start_nodes(rest, seconds=180)
        spent = time.monotonic() - begin
        errors = realm.complaints()
        rows.append(Row(f"{count} nodes started together: all ready after", spent, "s", "no error", None, "0 errors", not errors))
        for line in errors[:5]:
            bench.note("error: " + line)
        time.sleep(10)
        cpu = sum(d.process.cpu_seconds() for d in realm.daemons())
        time.sleep(10)
        busy = (sum(d.process.cpu_seconds() for d in realm.daemons()) - cpu) / 10
        anonymous = [node.process.status("RssAnon") / MIB for node in rest]
        per_node = max((free_before - available_bytes()) / count, sum(anonymous) / len(anonymous) * MIB)
        by_memory = int(available_bytes() / per_node) + count + 1
        by_processor = int((count + 1) * bench.cores / busy * 0.5) if busy > 0 else by_memory
        rows.append(Row(f"{count} idle nodes: own memory of the largest", max(anonymous), "MiB", "24 MiB", max(anonymous) / 24, "≤ 1", max(anonymous) <= 24))
        rows.append(Row(f"{count + 1} idle nodes and 3 brokers: processor", busy, "cores"))
        holds = min(by_memory, by_processor)
        rows.append(Row("nodes that this machine holds", holds, "nodes", f"168 communes (memory {by_memory}, half of the processor {by_processor})",
                        holds / 168, "≥ 1", holds >= 168))
    return rows
