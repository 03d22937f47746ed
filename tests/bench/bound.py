"""The bound: every operation that a document cannot do without, what each costs on this machine (bench_anchors,
bench_crypto), and what a perfect program could reach on the cores at hand. Leaving an operation out is a bug; HTTP,
JSON, Protocol Buffers, system calls of the loops and waiting for the disk are left out, as a perfect program may make
them cheap or do them meanwhile.

Source of the list: protocol.md 2 (rules R1-R18), 3.2-3.4 (layouts), 3.9 (values at rest), 4.2, 4.3; proto/wire.h."""

CUSTODY_BYTES, ACK_BYTES, RECEIPT_BYTES, CELL_BYTES = 283, 393, 365, 1536
HEADER_BYTES, ENVELOPE_BYTES, BLOB_BYTES, METADATA_BYTES = 4412, 400, 1024, 4096
CHUNK_BYTES = 262144
SIZES = {"64 B": 64, "256 B": 256, "1 KiB": 1024, "4 KiB": 4096, "6 KiB": 6144, "8 KiB": 8192, "64 KiB": 65536,
         "256 KiB": 262144, "1 MiB": 1048576}


def padme(length):
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (length + mask) & ~mask


def padded_body(container_bytes, floor):
    return max(1024, floor, padme(8 + container_bytes))


class Costs:
    """Core-microseconds of operations by name and size, from the figures of the same run."""

    def __init__(self, figures):
        self.figures = figures

    def of(self, name):
        return self.figures[name]["median"]

    def least(self, *names):
        """The cheapest of those measured: the bound takes the best way known, ours or the raw library's."""
        return min(self.of(name) for name in names if name in self.figures)

    def sized(self, prefixes, size):
        """Linear between the sizes measured, in proportion above the largest."""
        return min(self._sized(prefix, size) for prefix in prefixes)

    def _sized(self, prefix, size):
        points = sorted((SIZES[name[len(prefix):]], figure["median"]) for name, figure in self.figures.items()
                        if name.startswith(prefix) and name[len(prefix):] in SIZES and figure["unit"] == "core-us")
        if size <= points[0][0]:
            return points[0][1]
        for (low, low_cost), (high, high_cost) in zip(points, points[1:]):
            if size <= high:
                return low_cost + (high_cost - low_cost) * (size - low) / (high - low)
        return points[-1][1] * size / points[-1][0]

    def sign(self):
        return self.least("sign", "ours: sign")

    def verify(self):
        return self.least("verify", "ours: verify")

    def hpke_seal(self, what="key"):
        return self.least(f"HPKE of a {what}, seal", f"ours: HPKE of a {what}, seal")

    def hpke_open(self, what="key"):
        return self.least(f"HPKE of a {what}, open", f"ours: HPKE of a {what}, open")

    def aead(self, size):
        return self.sized(["ChaCha20-Poly1305, libsodium, ", "ChaCha20-Poly1305, OpenSSL, "], size)

    def blake(self, size):
        return self.sized(["BLAKE2b-256, "], size)

    def sha(self, size):
        return self.sized(["SHA-256, libsodium, ", "SHA-256, OpenSSL, "], size)

    def curve(self, size):
        return self.sized(["CURVE message, "], size)

    def row(self, size):
        return self.sized(["LMDB put, 100 a commit, "], size)

    def file(self, size):
        return self.of("new file of 1 MiB and fdatasync") * size / 1048576


class Operations:
    """Rows of (party, operation, count, core-us each)."""

    def __init__(self, cores):
        self.rows = []
        self.cores = cores

    def add(self, party, what, count, each):
        self.rows.append((party, what, count, each))

    def total(self):
        return sum(count * each for _, _, count, each in self.rows)

    def per_second(self):
        return 1e6 * self.cores / self.total()

    def markdown(self):
        out = ["| party | operation | count | core-µs each | core-µs |", "|---|---|---:|---:|---:|"]
        for party, what, count, each in self.rows:
            out.append(f"| {party} | {what} | {count:g} | {each:.2f} | {count * each:.1f} |")
        out.append(f"| | **total** | | | **{self.total():.0f}** |")
        return "\n".join(out)


def add_node_row(operations, costs, party, what, count, size):
    """A sealed value at a node: AEAD, and a put in a shared commit."""
    operations.add(party, f"row: {what}, {size} B (AEAD + put)", count, costs.aead(size) + costs.row(size))


def add_broker_row(operations, costs, what, count, size):
    operations.add("brokers", f"row: {what}, {size} B (MAC + put)", count, costs.blake(size) + costs.row(size))


def add_leaves(operations, costs, party, what, count):
    """A leaf of the log: hash of the salted entry, leaf hash, one inner hash on average, and its row."""
    operations.add(party, f"log leaf: {what}", count, 3 * costs.sha(64) + costs.row(256))


def document(costs, cores, file_bytes, floor, brokers=3):
    """One document to one recipient, from submission to the verified RECEIVED at the sender."""
    ops = Operations(cores)
    body = padded_body(10 + 400 + file_bytes, floor)
    chunks = -(-body // CHUNK_BYTES)
    inline = body <= 65536
    last = body - (chunks - 1) * CHUNK_BYTES
    manifest = 16 + 32 * chunks

    def per_chunk(cost):
        return (chunks - 1) * cost(CHUNK_BYTES) + cost(last)

    # The sender seals.
    ops.add("sender", "SHA-256 of the file", 1, costs.sha(file_bytes))
    ops.add("sender", "BLAKE2b of the container (hedged document key)", 1, costs.blake(body))
    ops.add("sender", "key derivations and commitments (keyed BLAKE2b)", 8, 2 * costs.blake(64))
    ops.add("sender", f"body: seal {chunks} chunk(s), {body} B", 1, per_chunk(costs.aead))
    ops.add("sender", "body: chunk ids", 1, per_chunk(costs.blake))
    ops.add("sender", "metadata: seal 4,096 B", 1, costs.aead(METADATA_BYTES))
    ops.add("sender", "manifest id, officer blob id, header id, envelope id", 1,
            costs.blake(manifest) + costs.blake(BLOB_BYTES) + costs.blake(HEADER_BYTES) + costs.blake(ENVELOPE_BYTES))
    ops.add("sender", "header: sign", 1, costs.sign())
    ops.add("sender", "envelope: HPKE seal", 1, costs.hpke_seal())
    ops.add("sender", "envelope: sign", 1, costs.sign())
    # Brokers take custody.
    ops.add("brokers", "header: id and verify", brokers, costs.blake(HEADER_BYTES) + costs.verify())
    ops.add("brokers", "envelope: id and verify", brokers, costs.blake(ENVELOPE_BYTES) + costs.verify())
    ops.add("brokers", "manifest id, officer blob id", brokers, costs.blake(manifest) + costs.blake(BLOB_BYTES))
    ops.add("brokers", "body: chunk ids", brokers, per_chunk(costs.blake))
    ops.add("brokers", "queue head, custody id", brokers, costs.blake(64) + costs.blake(CUSTODY_BYTES))
    ops.add("brokers", "custody: sign", brokers, costs.sign())
    ops.add("sender", "custody: id and verify", brokers, costs.blake(CUSTODY_BYTES) + costs.verify())
    # The recipient opens and answers.
    ops.add("recipient", "envelope: id and verify", 1, costs.blake(ENVELOPE_BYTES) + costs.verify())
    ops.add("recipient", "header: id and verify", 1, costs.blake(HEADER_BYTES) + costs.verify())
    ops.add("recipient", "manifest id, officer blob id", 1, costs.blake(manifest) + costs.blake(BLOB_BYTES))
    ops.add("recipient", "envelope: HPKE open", 1, costs.hpke_open())
    ops.add("recipient", "key derivations and commitments (keyed BLAKE2b)", 5, 2 * costs.blake(64))
    ops.add("recipient", "body: chunk ids", 1, per_chunk(costs.blake))
    ops.add("recipient", "body: open", 1, per_chunk(costs.aead))
    ops.add("recipient", "SHA-256 of the file", 1, costs.sha(file_bytes))
    ops.add("recipient", "metadata: open", 1, costs.aead(METADATA_BYTES))
    ops.add("recipient", "ACK: id and sign", 1, costs.blake(ACK_BYTES) + costs.sign())
    ops.add("recipient", "receipt: id and sign", 1, costs.blake(RECEIPT_BYTES) + costs.sign())
    ops.add("recipient", "receipt cell: HPKE seal", 1, costs.hpke_seal("cell"))
    ops.add("brokers", "ACK: id and verify", brokers, costs.blake(ACK_BYTES) + costs.verify())
    ops.add("sender", "receipt cell: id and HPKE open", 1, costs.blake(CELL_BYTES) + costs.hpke_open("cell"))
    ops.add("sender", "receipt: id and verify", 1, costs.blake(RECEIPT_BYTES) + costs.verify())
    # Hops, both ends of each. Small answers are packed 16 to a frame, as a perfect program would.
    def hop(what, count, size, packed=1):
        ops.add("CURVE", f"{what}, {size} B" + (f", {packed} to a frame" if packed > 1 else ""), count, costs.curve(size * packed) / packed)
    if inline:
        hop("Put", brokers, HEADER_BYTES + manifest + ENVELOPE_BYTES + BLOB_BYTES + body + 16)
        hop("Fetch", 1, 32, 16)
        hop("Content", 1, HEADER_BYTES + manifest + BLOB_BYTES + body + 16)
    else:
        hop("Offer", brokers, HEADER_BYTES + manifest)
        ops.add("CURVE", f"chunks up, {body} B", brokers, per_chunk(costs.curve))
        hop("Put", brokers, ENVELOPE_BYTES + BLOB_BYTES)
        hop("Fetch", 1, 32, 16)
        hop("Content", 1, HEADER_BYTES + BLOB_BYTES)
        hop("ManifestGet and ManifestData", 1, manifest)
        ops.add("CURVE", f"chunks down, {body} B", 1, per_chunk(costs.curve))
    hop("PutReply", brokers, 32 + CUSTODY_BYTES, 16)
    hop("Announce", brokers, ENVELOPE_BYTES + 40, 16)
    hop("AckPut", brokers, ACK_BYTES + CELL_BYTES, 16)
    hop("AckReply", brokers, 32, 16)
    hop("MailDeliver", brokers, 16 + CELL_BYTES, 16)
    hop("MailDone", brokers, 32, 16)
    # What must be durable (R1, R3, R10, R15), in shared commits.
    stored = body + 16 if inline else 0
    add_node_row(ops, costs, "sender", "document, header" + (" and body" if inline else ""), 1, HEADER_BYTES + manifest + stored + 500)
    add_node_row(ops, costs, "sender", "envelope and blob", 1, ENVELOPE_BYTES + BLOB_BYTES)
    add_node_row(ops, costs, "sender", "custody", brokers, CUSTODY_BYTES + 48)
    add_node_row(ops, costs, "sender", "state of the recipient, receipt", 1, RECEIPT_BYTES + 256)
    add_leaves(ops, costs, "sender", "submitted, outbox, custodies, accepted, receipt", 4 + brokers)
    add_broker_row(ops, costs, "header" + (" and body" if inline else ""), brokers, HEADER_BYTES + manifest + stored)
    add_broker_row(ops, costs, "envelope and blob", brokers, ENVELOPE_BYTES + BLOB_BYTES)
    add_broker_row(ops, costs, "queue position and custody", brokers, CUSTODY_BYTES)
    add_broker_row(ops, costs, "ACK", brokers, ACK_BYTES)
    add_broker_row(ops, costs, "mail", brokers, 16 + CELL_BYTES)
    add_leaves(ops, costs, "brokers", "custody, ACK, mail stored, mail done; handed at one", 4 * brokers + 1)
    add_node_row(ops, costs, "recipient", "document, header" + (" and body" if inline else ""), 1, HEADER_BYTES + manifest + ENVELOPE_BYTES + stored + 500)
    add_node_row(ops, costs, "recipient", "channel and answer", 1, ACK_BYTES + RECEIPT_BYTES)
    add_leaves(ops, costs, "recipient", "stored, receipt issued", 2)
    if not inline:
        ops.add("disk", f"body file of {body} B written and synced: sender, brokers, recipient", 2 + brokers, costs.file(body))
    return ops


def custody(costs, cores, body, fresh):
    """One envelope taken into custody by one broker; `fresh`: with a header that it has not seen."""
    ops = Operations(cores)
    manifest = 48
    if fresh:
        ops.add("broker", "header: id and verify", 1, costs.blake(HEADER_BYTES) + costs.verify())
        ops.add("broker", "manifest id, chunk id", 1, costs.blake(manifest) + costs.blake(body))
    ops.add("broker", "officer blob id", 1, costs.blake(BLOB_BYTES))
    ops.add("broker", "envelope: id and verify", 1, costs.blake(ENVELOPE_BYTES) + costs.verify())
    ops.add("broker", "queue head, custody id", 1, costs.blake(64) + costs.blake(CUSTODY_BYTES))
    ops.add("broker", "custody: sign", 1, costs.sign())
    if fresh:
        size = HEADER_BYTES + manifest + body + 16 + ENVELOPE_BYTES + BLOB_BYTES
        ops.add("CURVE", f"Put, {size} B", 1, costs.curve(size))
        ops.add("CURVE", "PutReply, 315 B, 16 to a frame", 1, costs.curve(16 * 315) / 16)
        add_broker_row(ops, costs, "header and body", 1, HEADER_BYTES + manifest + body + 16)
    else:
        size = ENVELOPE_BYTES + BLOB_BYTES
        ops.add("CURVE", f"Put, {size} B, 64 to a frame", 1, costs.curve(64 * size) / 64)
        ops.add("CURVE", "PutReply, 315 B, 64 to a frame", 1, costs.curve(64 * 315) / 64)
    add_broker_row(ops, costs, "envelope and blob", 1, ENVELOPE_BYTES + BLOB_BYTES)
    add_broker_row(ops, costs, "queue position and custody", 1, CUSTODY_BYTES)
    add_leaves(ops, costs, "broker", "custody", 1)
    return ops


def fan_out(costs, cores, recipients, brokers=3):
    """All public-key operations of the sender and the brokers until one document is accepted for every recipient."""
    ops = Operations(cores)
    ops.add("sender", "header: sign", 1, costs.sign())
    ops.add("sender", "envelope: HPKE seal", recipients, costs.hpke_seal())
    ops.add("sender", "envelope: sign", recipients, costs.sign())
    ops.add("brokers", "header: verify", brokers, costs.verify())
    ops.add("brokers", "envelope: verify", brokers * recipients, costs.verify())
    ops.add("brokers", "custody: sign", brokers * recipients, costs.sign())
    ops.add("sender", "custody: verify", brokers * recipients, costs.verify())
    return ops


def latency_us(costs, quorum=2):
    """The steps that follow one another for a single small document: (to accepted, to receipt), in microseconds."""
    commit = costs.of("LMDB commit of one p50, 6 KiB")
    half_trip = costs.of("CURVE round trip p50, 1 KiB") / 2
    accepted = (costs.sign() * 2 + costs.hpke_seal() + commit                  # sealed, wrapped; durable with its sequence (R10)
                + half_trip + 2 * costs.verify() + commit + costs.sign()       # a broker's custody (R3)
                + half_trip + quorum * costs.verify() + commit)                # R5
    receipt = (commit + costs.sign() * 2 + costs.hpke_seal()
               + half_trip + 2 * costs.verify() + commit                       # stored at a broker, announced
               + 3 * half_trip                                                 # Announce, Fetch, Content
               + 2 * costs.verify() + costs.hpke_open() + commit               # opened, durable (R15)
               + 2 * costs.sign() + costs.hpke_seal("cell")
               + half_trip + costs.verify() + commit                           # the ACK and its cell at a broker
               + half_trip + costs.hpke_open("cell") + costs.verify() + commit)
    return accepted, receipt
