#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, one folder a target.

  corpus.py FOLDER          the vectors of tests/vectors, what those say must be rejected, and messages made from the .proto
                            files of the records; so a new vector is a new seed
  corpus.py --keep BUILD    after a run of the fuzz targets in BUILD: what they found beyond these seeds and beyond
                            tests/fuzz/corpus is added there, as little as reaches the same code
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

top = pathlib.Path(__file__).resolve().parents[2]
vectors = top / "tests" / "vectors"


def loaded(name):
    return json.loads((vectors / f"{name}.json").read_text(encoding="utf-8"))


def changed(raw, change):
    """As tests/unit/crypto_vectors.cpp does it."""
    if "truncate" in change:
        raw = raw[: len(raw) - change["truncate"]]
    raw += bytes.fromhex(change.get("append", "")) + bytes(change.get("append_zeros", 0))
    if "at" in change:
        put = bytes.fromhex(change["set"])
        raw = raw[: change["at"]] + put + raw[change["at"] + len(put) :]
    return raw


def with_rejected(vector, raw):
    return [raw] + [changed(raw, change) for change in vector["must_reject"]]


def objects(*names):
    return [seed for name in names for seed in with_rejected(loaded(name), bytes.fromhex(loaded(name)["bytes"]))]


def golden(kind):
    return [path.read_bytes() for path in sorted((vectors / "proto" / kind).glob("*.bin"))]


def chosen(byte, seeds):
    return [bytes([byte]) + seed for seed in seeds]


def key_files():
    vector = loaded("key_file")
    seeds = []
    for file in vector["files"]:
        raw = bytes.fromhex(file["bytes"])
        seeds += with_rejected(vector, raw)
    return seeds


def notes():
    vector = loaded("note")
    lines = [vector["text"].encode(), vector["log_line"].encode(), vector["cosignature_line"].encode()]
    return [bytes.fromhex(vector["bytes"])] + lines + [bytes.fromhex(bad["bytes"]) for bad in vector["must_reject"]]


def evidence():
    note = bytes.fromhex(loaded("note")["bytes"])
    part = lambda kind, raw: bytes([kind]) + len(raw).to_bytes(4, "big") + raw
    two = b"EDXF\x00\x01" + part(1, note) + part(2, note)
    proof = b"c2sp.org/tlog-proof@v1\nextra " + b"AAEAAAAAAAAAAAEBAQEBAQEBAQEBAQEBAQE=" + b"\nindex 0\n\n" + note
    split = b"EDXS\x00\x01" + part(1, note) + part(2, b"entry")
    return [split, two, two + part(3, b"\x01" * 32) + part(4, b"\x02" * 32) + part(5, b"entry"), proof]


def bundle():
    parts = [(1, "receipt"), (2, "envelope"), (3, "header"), (4, "custody")]
    out = b"EDXV\x00\x01"
    for kind, name in parts:
        raw = bytes.fromhex(loaded(name)["bytes"])
        out += bytes([kind]) + len(raw).to_bytes(4, "big") + raw
    entry = golden("entry")[0]
    return out + b"\x05" + len(entry).to_bytes(4, "big") + entry


def container(header, files=b""):
    return b"EDXP\x00\x01" + len(header).to_bytes(4, "big") + header + files


def opened():
    proto = (top / "proto" / "document.proto").read_text(encoding="utf-8")
    files = int(re.search(r"FileInfo files = (\d+)", proto).group(1))
    size = int(re.search(r"uint64 bytes = (\d+)", re.search(r"message FileInfo \{(.*?)\}", proto, re.S).group(1)).group(1))
    one_file = varint(size << 3) + varint(64)
    whole = container(varint(files << 3 | 2) + varint(len(one_file)) + one_file, bytes(64))
    bodies = [whole, container(b""), container(golden("metadata")[0]), bytes.fromhex(loaded("container")["bytes"])]
    return (
        chosen(0, golden("metadata"))
        + chosen(1, [len(body).to_bytes(8, "big") + body + padding for body in bodies for padding in (b"", bytes(2000))])
        + chosen(2, bodies)
    )


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, kind, size):
    if kind in ("bytes", "string"):
        value = bytes(size) if kind == "bytes" else b"a" * min(size, 16)
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + b"\x01"


def records():
    """The first byte is the place in TRAM_BROKER_RECORDS, TRAM_NODE_RECORDS: the order of fuzz_records.cpp."""
    names, messages = [], {}
    for daemon in ("broker", "node"):
        header = (top / "proto" / f"records_{daemon}.h").read_text(encoding="utf-8")
        macro = header[header.index(f"#define TRAM_{daemon.upper()}_RECORDS") :].split("\n\n")[0]
        names += re.findall(r"X\((\w+)\)", macro)
        proto = (top / "proto" / f"records_{daemon}.proto").read_text(encoding="utf-8")
        for message, body in re.findall(r"message (\w+) \{(.*?)\n\}", proto, re.S):
            messages[message] = re.findall(r"^\s*(?:repeated |optional )?([\w.]+) \w+ = (\d+)", body, re.M)
    seeds = []
    for place, name in enumerate(names):
        seeds.append(bytes([place]))
        for size in (16, 32, 400):
            fields = [field(int(number), kind, size) for kind, number in messages.get(name, [])]
            seeds += [bytes([place]) + b"".join(fields)] + [bytes([place]) + one for one in fields]
    # One past the records: the codecs.
    return seeds + [bytes([200]) + b"value", bytes([201]) + b"value"]


def config():
    seeds = []
    for daemon in ("broker", "node"):
        source = (top / daemon / "io" / "config.cpp").read_text(encoding="utf-8")
        lines = []
        for name, kind, default in re.findall(r'\{"([\w.]+)", ConfigType::(\w+), "([^"]*)"', source):
            quoted = f'["{default}"]' if kind == "string_list" else default if kind in ("integer", "boolean") else f'"{default}"'
            lines.append(f"{name} = {quoted}")
            seeds.append(lines[-1].encode())
        seeds.append("\n".join(lines).encode())
    return seeds + [b"64GiB", b"250ms", b"10d", b"[store]\nmap_bytes = 1\n"]


targets = {
    "envelope": lambda: objects("envelope"),
    "header": lambda: objects("header"),
    "manifest": lambda: objects("manifest"),
    "receipt": lambda: objects("receipt", "custody", "ack", "notice", "cell"),
    "key_file": key_files,
    "note": notes,
    "evidence": evidence,
    "frame": lambda: chosen(0, golden("frame")) + chosen(1, golden("frame")),
    "open": opened,
    "metadata": lambda: golden("metadata") + objects("container") + [b"2026-11-20", "báo cáo.pdf".encode()],
    "directory_entry": lambda: chosen(0, golden("entry"))
    + chosen(1, golden("entry_payload"))
    + chosen(2, golden("kx_feed") + golden("kx_feed_payload"))
    + chosen(3, golden("enrol_request") + golden("enrol_request_payload") + golden("approval"))
    + chosen(4, [bundle()]),
    "records": records,
    "config": config,
}


def write_seeds(top_folder):
    for name, seeds in targets.items():
        folder = top_folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(dict.fromkeys(seeds())):
            (folder / f"{number:04}").write_bytes(seed)


KEPT = top / "tests" / "fuzz" / "corpus"
KEPT_BYTES_MAX = 2048  # of one input: what needs more has a vector
KEPT_MAX = 200  # of one target: names are hashes, so these are any 200; a run finds the others again in seconds


def keep(build):
    """libFuzzer keeps in the first folder what is there, and adds of the others the few that reach more code."""
    with tempfile.TemporaryDirectory() as scratch:
        write_seeds(pathlib.Path(scratch))
        for name in targets:
            known, kept, found = pathlib.Path(scratch) / name, KEPT / name, build / "corpus" / f"fuzz_{name}"
            before = {path.name for path in known.iterdir()}
            kept.mkdir(parents=True, exist_ok=True)
            subprocess.run([build / "bin" / f"fuzz_{name}", "-set_cover_merge=1", f"-max_len={KEPT_BYTES_MAX}", known, kept, found],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            chosen = [path for path in sorted(known.iterdir()) if path.name not in before][:KEPT_MAX]
            for path in kept.iterdir():
                path.unlink()
            for path in chosen:
                shutil.copyfile(path, kept / path.name)
            print(f"{name:16} {len(chosen):5} inputs {sum(path.stat().st_size for path in chosen):8} bytes")


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "--keep":
        keep(pathlib.Path(arguments[1]).resolve())
        return 0
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    write_seeds(pathlib.Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
