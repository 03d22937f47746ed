#!/usr/bin/env python3
"""Makes the vector files of this folder: an implementation of crypto/FORMAT.md that shares no code with crypto/.

Needs Python's `cryptography` (44 or later, for Argon2id). Run it in this folder after a change of a format; the
files are part of the format and are committed with it.
"""
import base64
import hashlib
import hmac
import json
import struct
from hashlib import blake2b, sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

S = 262144
REALM, SENDER, UUID, RECIPIENT = b"\xaa" * 32, b"\x01" * 16, b"\x02" * 16, b"\x03" * 16
BROKER, EPOCH = b"\x21" * 16, b"\x22" * 16


def u8(v): return struct.pack(">B", v)
def u16(v): return struct.pack(">H", v)
def u32(v): return struct.pack(">I", v)
def u64(v): return struct.pack(">Q", v)
def lp(s): return u8(len(s)) + (s.encode() if isinstance(s, str) else s)
def H(label, *x): return blake2b(lp(label) + b"".join(x), digest_size=32).digest()
def F(key, label, *x): return blake2b(lp(label) + b"".join(x), digest_size=32, key=key).digest()
def aead(key, nonce, plain, ad=b""): return ChaCha20Poly1305(key).encrypt(nonce, plain, ad)


def raw_public(key): return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


SEED = b"\x14" * 32
SIGNER = Ed25519PrivateKey.from_private_bytes(SEED)
SIGNER_PUBLIC = raw_public(SIGNER)


def signed(label, unsigned):
    """(id, whole object)"""
    object_id = H(label, unsigned)
    return object_id, unsigned + SIGNER.sign(lp("edx1/sig") + lp(label) + object_id)


# ---- HPKE ---------------------------------------------------------------------------------------------------

KEM, HPKE = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"


def extract(suite, salt, label, ikm):
    return hmac.new(salt, b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def expand(suite, prk, label, info, length):
    data, out, block, n = u16(length) + b"HPKE-v1" + suite + label + info, b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + data + u8(n), hashlib.sha256).digest()
        out, n = out + block, n + 1
    return out[:length]


def derive_key_pair(ikm):
    secret = X25519PrivateKey.from_private_bytes(expand(KEM, extract(KEM, b"", b"dkp_prk", ikm), b"sk", b"", 32))
    return secret, raw_public(secret)


def hpke_seal(to, ikm_e, info, aad, plain, psk=b"", psk_id=b""):
    secret, enc = derive_key_pair(ikm_e)
    dh = secret.exchange(X25519PublicKey.from_public_bytes(to))
    shared = expand(KEM, extract(KEM, b"", b"eae_prk", dh), b"shared_secret", enc + to, 32)
    ctx = u8(1 if psk else 0) + extract(HPKE, b"", b"psk_id_hash", psk_id) + extract(HPKE, b"", b"info_hash", info)
    main = extract(HPKE, shared, b"secret", psk)
    return enc, aead(expand(HPKE, main, b"key", ctx, 32), expand(HPKE, main, b"base_nonce", ctx, 12), plain, aad)


# ---- XChaCha20-Poly1305 -------------------------------------------------------------------------------------

def hchacha20(key, nonce16):
    s = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce16))

    def rotate(v, n): return (v << n | v >> 32 - n) & 0xffffffff

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xffffffff
            s[z] = rotate(s[z] ^ s[x], n)

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *(s[:4] + s[12:]))


def xaead(key, nonce, plain, ad):
    return aead(hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], plain, ad)


# ---- merkle ---------------------------------------------------------------------------------------------------

def merkle_root(leaves):
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + merkle_root(leaves[:k]) + merkle_root(leaves[k:])).digest()


# ---- body -----------------------------------------------------------------------------------------------------

def padme(n):
    if n < 2:
        return n
    e = n.bit_length() - 1
    low = (1 << max(0, e - e.bit_length())) - 1
    return n + low & ~low


def body(dk, container, floor=1024):
    ctx = H("edx1/body-ctx", REALM, u16(1), SENDER, UUID, u8(0))
    padded = max(1024, floor, padme(8 + len(container)))
    plain = u64(len(container)) + container + bytes(padded - 8 - len(container))
    n = -(-padded // S)
    key = F(dk, "edx1/body", ctx)
    chunks = [aead(key, bytes(3) + u64(i) + u8(i == n - 1), plain[i * S:(i + 1) * S]) for i in range(n)]
    ids = [H("edx1/chunk", c) for c in chunks]
    manifest = u32(n) + u32(S) + u64(padded) + b"".join(ids)
    return {"ctx": ctx, "commit": F(dk, "edx1/commit", ctx), "meta_commit": F(dk, "edx1/meta-commit", ctx), "padded": padded,
            "chunks": chunks, "ids": ids, "manifest": manifest, "manifest_id": H("edx1/manifest", manifest)}


def metadata(dk, ctx, message, layer=0, tail=b""):
    plain = u8(layer) + u16(len(message)) + message
    plain += bytes(4096 - len(plain) - len(tail)) + tail
    return aead(F(dk, "edx1/meta", ctx), bytes(12), plain)


# ---- files ----------------------------------------------------------------------------------------------------

def show(value):
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, dict):
        return {k: show(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [show(v) for v in value]
    return value


def write(name, content):
    with open(name + ".json", "w", encoding="utf-8") as f:
        json.dump(show(content), f, indent=1, ensure_ascii=False)
        f.write("\n")
    print(name)


def reject(error, why, **change):
    return {"error": error, "why": why, **change}


def common_rejects(size, suite_at=4):
    return [
        reject("bad_format", "empty", truncate=size),
        reject("bad_format", "magic only", truncate=size - 4),
        reject("bad_format", "truncated by one byte", truncate=1),
        reject("bad_format", "one trailing byte", append=b"\0"),
        reject("bad_format", "wrong magic", at=3, set=b"\x5a"),
        reject("unsupported_version", "suite 2", at=suite_at, set=u16(2)),
        reject("unsupported_version", "suite 0", at=suite_at, set=u16(0)),
    ]


TOO_LATE = u64(253402300800000)
DK = bytes(range(32))
CREATED, NOT_AFTER = 1700000000000, 1702592000000


def make_known_answers():
    container = bytes((31 * i + 7) & 255 for i in range(300000))
    b = body(DK, container)
    assert b["ctx"].hex() == "dc9f067b32fa678e4eb64486d768fc8ff3da7212865aefaab4fedb4ce7dea427"
    assert b["manifest_id"].hex() == "3b56e2ef50a88440dafd39ff2f7223a8de3a708dd29e0320fa1eb27ecf9196ab"
    small = body(DK, b"a" * 5)
    _, recipient = derive_key_pair(b"\x11" * 32)
    prefix = (b"EDXE" + u16(1) + u8(1) + u8(1) + REALM + SENDER + RECIPIENT + u32(1) + bytes(4) + u64(7) + b"\x04" * 32 +
              b"\x05" * 32 + bytes(32) + b"\x06" * 8 + b"\x07" * 8 + u64(CREATED) + u64(NOT_AFTER) + u64(3355) + b"\x08" * 32)
    enc, ct = hpke_seal(recipient, b"\x12" * 32, lp("edx1/wrap") + prefix, b"", DK, b"\x13" * 32, b"\x07" * 8)
    env_id, whole = signed("edx1/env", prefix + enc + ct)
    assert env_id.hex() == "6bef1c1dae713d486fab11a72b89932e51eb4c7788e44a960948bcbc56bb88dd"
    write("known_answers", {
        "description": "protocol.md 3.13: body of 300,000 bytes P[i] = 31 i + 7 mod 256 (and of five bytes 'a'); envelope in mode_psk",
        "body": {"document_key": DK, "realm": REALM, "sender": SENDER, "doc_uuid": UUID, "container_bytes": 300000,
                 "padded_bytes": b["padded"], "ctx": b["ctx"], "commit": b["commit"], "chunk_ids": b["ids"],
                 "manifest_id": b["manifest_id"], "manifest_id_of_five_a": small["manifest_id"]},
        "envelope": {"ikm_r": b"\x11" * 32, "ikm_e": b"\x12" * 32, "psk": b"\x13" * 32, "document_key": DK, "seed": SEED,
                     "enc": enc, "ct": ct, "env_id": env_id, "signature": whole[-64:], "bytes": whole},
        "padme": [[100, 104], [1000, 1024], [1025, 1088], [65537, 67584], [1048577, 1081344], [10000001, 10223616],
                  [0, 0], [1, 1], [2, 2], [3, 3], [9, padme(9)], [2**31 + 10, padme(2**31 + 10)]],
    })


def make_header():
    b = body(DK, b"a" * 5)
    message = bytes(range(200))
    names = [bytes([i]) * 16 for i in (3, 5, 9)]
    root = merkle_root([r + F(DK, "edx1/rcpt", r) for r in names])
    enc_meta = metadata(DK, b["ctx"], message)
    unsigned = (b"EDXD" + u16(1) + u8(0) + u8(0) + REALM + SENDER + UUID + b["manifest_id"] + u64(b["padded"]) +
                u32(len(b["chunks"])) + u32(S) + b["commit"] + root + u64(CREATED) + u64(NOT_AFTER) + b["meta_commit"] +
                u32(len(enc_meta)) + enc_meta)
    doc_id, whole = signed("edx1/doc", unsigned)
    write("header", {
        "description": "header of a body of five bytes 'a' for three recipients",
        "seed": SEED, "public_key": SIGNER_PUBLIC, "document_key": DK, "metadata": message, "recipients": names,
        "fields": {"realm": REALM, "sender": SENDER, "doc_uuid": UUID, "manifest_id": b["manifest_id"],
                   "padded_bytes": b["padded"], "chunks": 1, "commit": b["commit"], "recipients_root": root,
                   "created": CREATED, "not_after": NOT_AFTER, "meta_commit": b["meta_commit"]},
        "id": doc_id, "bytes": whole,
        "must_reject": common_rejects(len(whole)) + [
            reject("unsupported_version", "container 1", at=6, set=u8(1)),
            reject("bad_format", "flags", at=7, set=u8(1)),
            reject("bad_format", "length below the floor", at=104, set=u64(1023)),
            reject("bad_format", "length 0", at=104, set=u64(0)),
            reject("bad_format", "two chunks, one needed", at=112, set=u32(2)),
            reject("bad_format", "no chunks", at=112, set=u32(0)),
            reject("bad_format", "more chunks than allowed", at=104, set=u64(8449 * S) + u32(8449)),
            reject("bad_format", "another chunk size", at=116, set=u32(65536)),
            reject("bad_format", "time beyond the year 9999", at=184, set=TOO_LATE),
            reject("bad_format", "lifetime beyond the year 9999", at=192, set=b"\xff" * 8),
            reject("bad_format", "m too small", at=232, set=u32(4111)),
            reject("bad_format", "m huge", at=232, set=b"\xff" * 4),
        ],
        "metadata_must_reject": [
            {"error": "unsupported_version", "why": "layer 1", "bytes": metadata(DK, b["ctx"], message, layer=1)},
            {"error": "bad_format", "why": "padding is not zero", "bytes": metadata(DK, b["ctx"], message, tail=b"\1")},
        ]})
    manifest = b["manifest"]
    write("manifest", {
        "description": "manifest of the same body, and its one sealed chunk",
        "document_key": DK, "realm": REALM, "sender": SENDER, "doc_uuid": UUID, "padded_bytes": b["padded"],
        "chunk_ids": b["ids"], "chunk": b["chunks"][0], "id": b["manifest_id"], "bytes": manifest,
        "must_reject": [
            reject("bad_format", "empty", truncate=len(manifest)),
            reject("bad_format", "truncated by one byte", truncate=1),
            reject("bad_format", "one id too many", append=bytes(32)),
            reject("bad_format", "one trailing byte", append=b"\0"),
            reject("bad_format", "no chunks", at=0, set=u32(0)),
            reject("bad_format", "two chunks, one needed", at=0, set=u32(2), append=bytes(32)),
            reject("bad_format", "count that would need 128 GiB", at=0, set=b"\xff" * 4),
            reject("bad_format", "another chunk size", at=4, set=u32(S + 1)),
            reject("bad_format", "length 0", at=8, set=u64(0)),
            reject("bad_format", "length of two chunks", at=8, set=u64(S + 1)),
            reject("bad_format", "length near 2^64", at=8, set=b"\xff" * 8),
        ]})


def make_envelope():
    secret, recipient = derive_key_pair(b"\x11" * 32)
    kid = H("edx1/kid", u8(3), recipient)[:8]
    tag, ikm = b"\x71" * 8, b"\x12" * 32
    prefix = (b"EDXE" + u16(1) + u8(1) + u8(2) + REALM + SENDER + RECIPIENT + u32(3) + b"\x09\x08\x07\x06" + u64(8) +
              b"\x04" * 32 + b"\x05" * 32 + b"\x0b" * 32 + kid + tag + u64(CREATED) + u64(NOT_AFTER) + u64(3355) + b"\x08" * 32)
    enc, ct = hpke_seal(recipient, ikm, lp("edx1/wrap") + prefix, b"", DK)
    env_id, whole = signed("edx1/env", prefix + enc + ct)
    psk = b"\x13" * 32
    psk_tag = F(psk, "edx1/psktag", SENDER, RECIPIENT, u32(3), u64(8))[:8]
    psk_prefix = prefix[:192] + psk_tag + prefix[200:]
    psk_enc, psk_ct = hpke_seal(recipient, ikm, lp("edx1/wrap") + psk_prefix, b"", DK, psk, psk_tag)
    write("envelope", {
        "description": "envelope in mode_base, and the wrap of the same fields in mode_psk",
        "seed": SEED, "public_key": SIGNER_PUBLIC, "document_key": DK, "ikm_r": b"\x11" * 32, "random": tag + ikm,
        "fields": {"lane": 2, "realm": REALM, "sender": SENDER, "recipient": RECIPIENT, "inc": 3, "re_of": b"\x09\x08\x07\x06",
                   "seq": 8, "prev": b"\x04" * 32, "doc_id": b"\x05" * 32, "officer_blob_id": b"\x0b" * 32,
                   "recipient_kx": kid, "created": CREATED, "not_after": NOT_AFTER, "dir_size": 3355, "dir_root": b"\x08" * 32},
        "psk": {"psk": psk, "random": ikm, "tag": psk_tag, "enc": psk_enc, "ct": psk_ct},
        "id": env_id, "bytes": whole,
        "must_reject": common_rejects(len(whole)) + [
            reject("bad_format", "padded to 512 bytes", append_zeros=112),
            reject("bad_format", "type 0", at=6, set=u8(0)),
            reject("bad_format", "type 3", at=6, set=u8(3)),
            reject("bad_format", "lane 4", at=7, set=u8(4)),
            reject("bad_format", "sequence number 0", at=80, set=u64(0)),
            reject("bad_format", "time beyond the year 9999", at=200, set=TOO_LATE),
            reject("bad_format", "lifetime beyond the year 9999", at=208, set=b"\x80" + bytes(7)),
        ]})
    return secret, recipient, kid, whole, env_id


def make_statements(env_id):
    doc_id = b"\x05" * 32
    queue_head = H("edx1/queue", bytes(32), u64(1), env_id)
    unsigned = (b"EDXC" + u16(1) + REALM + BROKER + EPOCH + env_id + doc_id + u32(2) + u64(303136) + RECIPIENT + u64(1) +
                queue_head + u64(CREATED) + u8(1) + u64(77))
    object_id, whole = signed("edx1/custody", unsigned)
    write("custody", {
        "description": "custody receipt of the first envelope in its queue",
        "seed": SEED, "public_key": SIGNER_PUBLIC,
        "fields": {"realm": REALM, "broker": BROKER, "epoch": EPOCH, "env_id": env_id, "doc_id": doc_id, "chunks": 2,
                   "body_bytes": 303136, "recipient": RECIPIENT, "position": 1, "queue_head": queue_head, "time": CREATED,
                   "clock_ok": True, "log_size": 77},
        "id": object_id, "bytes": whole,
        "must_reject": common_rejects(len(whole)) + [
            reject("bad_format", "position 0", at=162, set=u64(0)),
            reject("bad_format", "time beyond the year 9999", at=202, set=TOO_LATE),
            reject("bad_format", "flag 2", at=210, set=u8(2)),
        ]})

    seen = [(bytes([0x30 + i]) * 16, 5 + i, bytes([0x40 + i]) * 32) for i in range(2)]
    unsigned = (b"EDXA" + u16(1) + REALM + env_id + doc_id + SENDER + RECIPIENT + u8(2) + u32(3) + u64(8) + u32(4) +
                u64(CREATED) + u8(0) + u8(len(seen)) + b"".join(b + u64(q) + h for b, q, h in seen))
    object_id, whole = signed("edx1/ack", unsigned)
    write("ack", {
        "description": "ACK that saw two queues",
        "seed": SEED, "public_key": SIGNER_PUBLIC,
        "fields": {"realm": REALM, "env_id": env_id, "doc_id": doc_id, "sender": SENDER, "recipient": RECIPIENT, "lane": 2,
                   "inc": 3, "seq": 8, "rinc": 4, "time": CREATED, "clock_ok": False,
                   "seen": [{"broker": b, "position": q, "head": h} for b, q, h in seen]},
        "id": object_id, "bytes": whole,
        "must_reject": common_rejects(len(whole)) + [
            reject("bad_format", "lane 4", at=134, set=u8(4)),
            reject("bad_format", "time beyond the year 9999", at=151, set=TOO_LATE),
            reject("bad_format", "flag 2", at=159, set=u8(2)),
            reject("bad_format", "one queue less than there are", at=160, set=u8(1)),
            reject("bad_format", "one queue more than there are", at=160, set=u8(3)),
            reject("bad_format", "nine queues", at=160, set=u8(9), append_zeros=7 * 56),
        ]})

    unsigned = (b"EDXN" + u16(1) + u8(1) + u16(21) + REALM + RECIPIENT + SENDER + env_id + doc_id + u8(2) + u32(3) + u64(8) +
                u64(CREATED) + u8(1))
    object_id, whole = signed("edx1/notice", unsigned)
    write("notice", {
        "description": "NACK with reason rekey",
        "seed": SEED, "public_key": SIGNER_PUBLIC,
        "fields": {"kind": 1, "reason": 21, "realm": REALM, "issuer": RECIPIENT, "other": SENDER, "env_id": env_id,
                   "doc_id": doc_id, "lane": 2, "inc": 3, "seq": 8, "time": CREATED, "clock_ok": True},
        "id": object_id, "bytes": whole,
        "must_reject": common_rejects(len(whole)) + [
            reject("bad_format", "kind 0", at=6, set=u8(0)),
            reject("bad_format", "kind 9", at=6, set=u8(9)),
            reject("bad_format", "lane 4", at=137, set=u8(4)),
            reject("bad_format", "time beyond the year 9999", at=150, set=TOO_LATE),
            reject("bad_format", "flag 255", at=158, set=u8(255)),
        ]})


def make_receipt_and_cell(recipient, kid, envelope, env_id):
    doc_id, text = b"\x05" * 32, 'number: Số đến 1234/CV-UBND'.encode()
    kid_issuer = H("edx1/kid", u8(1), SIGNER_PUBLIC)[:8]
    answers, custody_seen = H("edx1/answers", envelope), b"\x0c" * 32
    unsigned = (b"EDXR" + u16(1) + u16(3) + u16(0) + REALM + env_id + doc_id + SENDER + RECIPIENT + u32(3) + u64(8) + u32(4) +
                u64(CREATED) + u8(1) + u64(3355) + b"\x08" * 32 + custody_seen + answers + RECIPIENT + kid_issuer + u64(99) +
                u16(len(text)) + text)
    object_id, whole = signed("edx1/rcpt", unsigned)
    size = len(whole)
    write("receipt", {
        "description": "receipt: registered, with the number of the incoming register",
        "seed": SEED, "public_key": SIGNER_PUBLIC, "envelope": envelope,
        "fields": {"event": 3, "reason": 0, "realm": REALM, "env_id": env_id, "doc_id": doc_id, "sender": SENDER,
                   "recipient": RECIPIENT, "inc": 3, "seq": 8, "rinc": 4, "time": CREATED, "clock_ok": True, "dir_size": 3355,
                   "dir_root": b"\x08" * 32, "custody_seen": custody_seen, "answers": answers, "issuer": RECIPIENT,
                   "issuer_key": kid_issuer, "log_index": 99, "text": text.decode()},
        "id": object_id, "bytes": whole,
        "must_reject": common_rejects(size) + [
            reject("bad_format", "event 0", at=6, set=u16(0)),
            reject("bad_format", "event 7", at=6, set=u16(7)),
            reject("bad_format", "time beyond the year 9999", at=154, set=TOO_LATE),
            reject("bad_format", "flag 2", at=162, set=u8(2)),
            reject("bad_format", "text one byte shorter", at=299, set=u16(len(text) - 1)),
            reject("bad_format", "text one byte longer", at=299, set=u16(len(text) + 1)),
            reject("bad_format", "text of 1,025 bytes", at=299, set=u16(1025), append_zeros=1025 - len(text)),
            reject("bad_format", "text is not UTF-8: stray continuation", at=301, set=b"\x80"),
            reject("bad_format", "text is not UTF-8: overlong", at=301, set=b"\xc0\xaf"),
            reject("bad_format", "text is not UTF-8: overlong in three bytes", at=301, set=b"\xe0\x9f\xbf"),
            reject("bad_format", "text is not UTF-8: overlong in four bytes", at=301, set=b"\xf0\x8f\xbf\xbf"),
            reject("bad_format", "text is not UTF-8: surrogate", at=301, set=b"\xed\xa0\x80"),
            reject("bad_format", "text is not UTF-8: beyond U+10FFFF", at=301, set=b"\xf4\x90\x80\x80"),
            reject("bad_format", "text ends inside a character", at=301 + len(text) - 1, set=b"\xc3"),
        ]})

    def cell(plain, prefix=b"EDXL" + u16(1) + kid):
        enc, ct = hpke_seal(recipient, b"\x15" * 32, lp("edx1/rwrap"), prefix, plain)
        return prefix + enc + ct

    plain = u16(size) + whole
    good = cell(plain + bytes(1474 - len(plain)))
    assert len(good) == 1536
    write("cell", {
        "description": "the receipt above in a cell, sealed to the sender's KX key",
        "ikm_r": b"\x11" * 32, "random": b"\x15" * 32, "receipt": whole, "key_id": kid, "bytes": good,
        "must_reject": common_rejects(len(good)) + [
            reject("cannot_open", "another key id", at=6, set=u8(kid[0] ^ 1)),
            reject("cannot_open", "another encapsulated key", at=14, set=u8(good[14] ^ 1)),
            reject("cannot_open", "encapsulated key of small order", at=14, set=bytes(32)),
            reject("cannot_open", "another ciphertext", at=46, set=u8(good[46] ^ 1)),
            reject("cannot_open", "another tag", at=1535, set=u8(good[1535] ^ 1)),
            reject("bad_format", "padding is not zero", at=0, set=cell(plain + bytes(1473 - len(plain)) + b"\1")),
            reject("bad_format", "length beyond the cell", at=0, set=cell(u16(1473) + bytes(1472))),
        ]})


def make_key_files():
    ring = [bytes([0x50 + i]) * 32 for i in range(5)]
    names = ["sig_seed", "log_seed", "curve_secret", "storage_key", "hedge_secret"]
    salt, nonce = b"\x61" * 16, b"\x62" * 24
    files = {}
    for kind, secret, ops, memory in ((1, "mật khẩu dài".encode(), 1, 8 << 20), (2, b"\x63" * 32, 0, 0)):
        prefix = b"EDXK" + u8(1) + u8(kind) + u32(ops) + u64(memory) + salt + nonce
        key = secret
        if kind == 1:
            key = Argon2id(salt=salt, length=32, iterations=ops, lanes=1, memory_cost=memory // 1024).derive(secret)
        files[kind] = {"kind": kind, "secret": secret, "operations": ops, "memory_bytes": memory,
                       "bytes": prefix + xaead(F(key, "edx1/keyfile", salt), nonce, b"".join(ring), prefix)}
    size = len(files[1]["bytes"])
    write("key_file", {
        "description": "one key ring under a passphrase and under a raw key",
        "random": salt + nonce, "ring": dict(zip(names, ring)), "files": [files[1], files[2]],
        "must_reject": [
            reject("bad_format", "empty", truncate=size),
            reject("bad_format", "truncated by one byte", truncate=1),
            reject("bad_format", "one trailing byte", append=b"\0"),
            reject("bad_format", "wrong magic", at=0, set=b"X"),
            reject("unsupported_version", "version 2", at=4, set=u8(2)),
            reject("bad_format", "unknown source", at=5, set=u8(3)),
            reject("bad_format", "a raw key's file with a passphrase's cost", at=5, set=u8(2)),
            reject("bad_format", "no operations", at=6, set=u32(0)),
            reject("bad_format", "operations for a year", at=6, set=b"\xff" * 4),
            reject("bad_format", "memory of 64 GiB", at=10, set=u64(64 << 30)),
            reject("bad_format", "too little memory", at=10, set=u64((8 << 20) - 1)),
            reject("wrong_passphrase", "another cost", at=6, set=u32(2)),
            reject("wrong_passphrase", "another salt", at=18, set=u8(0)),
            reject("wrong_passphrase", "another nonce", at=34, set=u8(0)),
            reject("wrong_passphrase", "another tag", at=size - 1, set=u8(files[1]["bytes"][-1] ^ 1)),
        ]})


def make_values():
    key, table, row, plain, nonce = b"\x70" * 32, "inbox", b"\x00\x01row", "giá trị".encode(), b"\x71" * 24
    sealed = u8(1) + nonce + xaead(F(key, "edx1/table", lp(table)), nonce, plain, lp(table) + row + u8(1))
    mac = F(key, "edx1/mac", u8(1), lp(table), u16(len(row)), row, plain)[:16]
    slot = bytes(i * 7 & 255 for i in range(65536))
    sealed_slot = aead(key, u64(3) + bytes(4), slot)
    write("values", {
        "description": "one value sealed and MACed, an index key, slot 3 of an upload (65,536 bytes 7 i mod 256)",
        "key": key, "table": table, "row": row, "plain": plain, "random": nonce, "sealed": sealed, "maced": u8(1) + mac + plain,
        "index": {"label": "edx1/idempotency", "data": b"abc",
                  "hash": F(F(key, "edx1/index"), "edx1/idempotency", b"abc")},
        "slot": {"number": 3, "bytes": 65536, "sealed_sha256": sha256(sealed_slot).digest(), "tag": sealed_slot[-16:]},
        "must_reject": [
            reject("store_corrupt", "empty", truncate=len(sealed)),
            reject("store_corrupt", "truncated by one byte", truncate=1),
            reject("store_corrupt", "one trailing byte", append=b"\0"),
            reject("store_corrupt", "version 2", at=0, set=u8(2)),
            reject("store_corrupt", "another second byte", at=1, set=u8(0)),
        ]})


def make_container():
    header = b"\x0a\x03abc"
    prefix = b"EDXP" + u16(1) + u32(len(header)) + header
    write("container", {
        "description": "what stands before the files of a container whose header is five bytes",
        "header": header, "content_offset": len(prefix), "bytes": prefix,
        "must_reject": [
            reject("bad_format", "empty", truncate=len(prefix)),
            reject("bad_format", "truncated by one byte", truncate=1),
            reject("bad_format", "wrong magic", at=0, set=b"e"),
            reject("unsupported_version", "version 2", at=4, set=u16(2)),
            reject("bad_format", "header longer than what is there", at=6, set=u32(6)),
            reject("bad_format", "header over 240 KiB", at=6, set=u32((240 << 10) + 1), append_zeros=240 << 10),
            reject("bad_format", "header of 4 GiB", at=6, set=b"\xff" * 4),
        ]})


def make_merkle():
    leaves = [bytes([i]) * i for i in range(8)]
    entry, salt = b"entry", b"\x05" * 16
    write("merkle", {
        "description": "roots over the first n leaves, leaf i being i bytes of value i; the data of one log leaf",
        "leaves": leaves, "roots": [merkle_root(leaves[:n]) for n in range(9)],
        "log_leaf": {"kind": 11, "index": 12, "time": CREATED, "salt": salt, "entry": entry,
                     "data": lp("edx1/leaf") + u16(11) + u64(12) + u64(CREATED) + sha256(salt + entry).digest()}})


def note_key_id(name, kind, public): return sha256(name.encode() + b"\n" + u8(kind) + public).digest()[:4]


def note_line(name, raw): return "\u2014 " + name + " " + base64.b64encode(raw).decode() + "\n"


def make_note():
    origin = "edx/" + REALM.hex()[:16] + "/node/" + SENDER.hex() + "/0"
    witness = "edx/" + REALM.hex()[:16] + "/broker/" + BROKER.hex()
    text = origin + "\n7\n" + base64.b64encode(b"\x31" * 32).decode() + "\n"
    seconds = CREATED // 1000
    log_line = note_line(origin, note_key_id(origin, 1, SIGNER_PUBLIC) + SIGNER.sign(text.encode()))
    cosigned = f"cosignature/v1\ntime {seconds}\n{text}".encode()
    cosignature = note_line(witness, note_key_id(witness, 4, SIGNER_PUBLIC) + u64(seconds) + SIGNER.sign(cosigned))
    whole = text + "\n" + log_line + cosignature
    # The directory's origin has no key of its own: its note carries cosignatures only.
    view = "edx/" + REALM.hex()[:16] + "/directory/" + REALM.hex()[:32] + "/0\n7\n" + text.split("\n")[2] + "\n"
    viewed = f"cosignature/v1\ntime {seconds}\n{view}".encode()
    view_line = note_line(witness, note_key_id(witness, 4, SIGNER_PUBLIC) + u64(seconds) + SIGNER.sign(viewed))
    size_at, line_at = len(origin) + 1, len(text) + 1
    name_at = line_at + 4

    def bad(why, raw): return {"error": "bad_format", "why": why, "bytes": raw.encode() if isinstance(raw, str) else raw}

    write("note", {
        "description": "a checkpoint of a node's log, signed and cosigned by a broker with the same seed",
        "seed": SEED, "public_key": SIGNER_PUBLIC,
        "fields": {"realm": REALM, "party": SENDER, "witness": BROKER, "size": 7, "root": b"\x31" * 32, "time": CREATED},
        "text": text, "log_line": log_line, "cosignature_line": cosignature, "bytes": whole.encode(),
        "view": (view + "\n" + view_line).encode(),
        "must_reject": [
            bad("empty", ""), bad("text alone", text), bad("nothing signed", text + "\n"),
            bad("last line not ended", whole[:-1]), bad("a line beyond the signatures", whole + "x\n"),
            bad("no blank line", text + log_line), bad("fourth line of a checkpoint", text + "more\n\n" + log_line),
            bad("two lines of a checkpoint", origin + "\n7\n\n" + log_line),
            bad("size with a leading zero", whole[:size_at] + "0" + whole[size_at:]),
            bad("size with a sign", whole[:size_at] + "+" + whole[size_at:]),
            bad("size beyond 63 bits", whole[:size_at] + "9223372036854775808" + whole[size_at + 1:]),
            bad("kind unknown", whole.replace("/node/", "/nod3/", 1)),
            bad("upper-case id", whole.replace("aa", "AA", 1)),
            bad("origin of another scheme", whole.replace("edx/", "abc/", 1)),
            bad("generation with a leading zero", whole.replace("/0\n", "/00\n", 1)),
            bad("generation beyond 32 bits", whole.replace("/0\n", "/4294967296\n", 1)),
            bad("root not base64", whole.replace("=\n", "!\n", 1)),
            bad("root without padding", whole.replace("=\n", "\n", 1)),
            bad("root with bits behind its end", text[:-3] + "F=\n\n" + log_line),
            bad("root of 31 bytes", text.replace(base64.b64encode(b"\x31" * 32).decode(),
                                                  base64.b64encode(b"\x31" * 31).decode()) + "\n" + log_line),
            bad("hyphen for a dash", whole.replace("\u2014", "-", 1)),
            bad("empty key name", text + "\n\u2014  " + log_line.split(" ")[2]),
            bad("plus in a key name", text + "\n" + log_line.replace("edx/", "e+x/", 1)),
            bad("signature of no bytes", text + "\n\u2014 name " + base64.b64encode(u32(1)).decode() + "\n"),
            bad("control character", whole.replace("\n7\n", "\n\t7\n", 1)),
            bad("not UTF-8", text.encode() + b"\xff\n\n" + log_line.encode()),
        ]})


if __name__ == "__main__":
    make_known_answers()
    make_header()
    _, recipient_public, recipient_kid, envelope_bytes, envelope_id = make_envelope()
    make_statements(envelope_id)
    make_receipt_and_cell(recipient_public, recipient_kid, envelope_bytes, envelope_id)
    make_key_files()
    make_values()
    make_container()
    make_merkle()
    make_note()
