"""What the browser's verifier is tested with: a real log in a directory, its proofs, and Python's verdict on thousands of mutated files."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.note import parse_vkey, verify
from oracle.audit.policy import parse_policy
from oracle.audit.proof import verify_proof
from oracle.audit.record import parse_record
from oracle.audit.server import make_proof
from oracle.audit.source import DirectorySource
from oracle.audit.tiles import WIDTH, Tile, subtree_reader
from oracle.audit.tree import compute_inclusion_from, compute_root, compute_root_from, hash_leaf, read_leaves, sha256
from oracle.encoding import canonical_flat_json, compute_log_id, to_hex
from oracle.errors import EntryRejected, Rejected
from tests.twins.logs import KEY, entry, open_log

SIZE = 601  # two full tiles of leaves, one of them the subject of a level above, and a partial one
CALL = 7
LARGE = 66_000
ANCHOR_KEY = "0x00000000000000000000000000000000000000aA"


def make_scene(directory: Path) -> dict[str, Any]:
    """Writes the log into `directory` and returns what `verify.test.ts` reads."""
    log = open_log(directory)
    call: list[int] = []
    older = b""
    try:
        for number in range(SIZE):
            is_of_call = number in (100, 260, 520)
            appended = log.append("tester", entry(number, CALL if is_of_call else None))
            call += [appended.index] if is_of_call else []
            if number == 300:
                older = (directory / "log/checkpoint").read_bytes()
        source = DirectorySource(directory / "log")
        places = [0, 1, 255, 256, 300, 301, 511, 512, SIZE - 1]
        files = {index: make_proof(log, source, index) for index in {*places, *call}}
        root = compute_root_from(301, subtree_reader(log.checkpoint.size, source.read_tile))
    finally:
        log.close()
    key = KEY.verifier
    checkpoint = (directory / "log/checkpoint").read_bytes()
    cosigned = _cosign(checkpoint)
    return {
        "directory": str(directory / "log"),
        "vkey": str(key),
        "anchorKey": ANCHOR_KEY,
        "logId": to_hex(compute_log_id(key.name, ANCHOR_KEY)),
        "size": SIZE,
        "older": {"size": 301, "root": to_hex(root)},
        "places": places,
        "call": call,
        "proofs": {str(index): file.decode() for index, file in files.items()},
        "records": {str(index): _base64(verify_proof(file, key)[2]) for index, file in files.items()},
        "judged": [
            _judge("older", "checkpoint", older),
            *_judged(checkpoint, files[call[1]], cosigned["policies"][3]["text"].encode()),
            *_records(files[call[1]]),
        ],
        "large": _grow(directory / "large"),
        "sealings": [_seal(random.Random(number)) for number in range(4)],
        "cosigned": cosigned,
    }


def _grow(directory: Path) -> dict[str, Any]:
    """A tree of three levels of tiles, without its entries, and its roots at sizes where levels begin and end."""
    leaves = [hash_leaf(str(number).encode()) for number in range(LARGE)]
    level, hashes = 0, leaves
    while hashes:
        for index in range(-(-len(hashes) // WIDTH)):
            tile = Tile(level, index, min(WIDTH, len(hashes) - index * WIDTH))
            path = directory / tile.path()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(hashes[index * WIDTH : index * WIDTH + tile.width]))
        hashes = [compute_root(hashes[at : at + WIDTH]) for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        level += 1
    read = read_leaves(leaves)
    sizes = [1, 2, 255, 256, 257, 65535, 65536, 65537, LARGE]
    return {"directory": str(directory), "roots": {str(size): to_hex(compute_root_from(size, read)) for size in sizes}}


# ---- mutated files, with Python's verdict -------------------------------------------------------------------------------------------
CHECKS: dict[str, Callable[[bytes], object]] = {
    "note": lambda data: verify(data, [KEY.verifier]),
    "checkpoint": lambda data: open_checkpoint(data, KEY.verifier),
    "proof": lambda data: verify_proof(data, KEY.verifier),
    "policy": parse_policy,
    "record": parse_record,
    "vkey": lambda data: parse_vkey(data.decode("utf-8", "replace")),
}


STRAY = [b" ", b"\n", b"\r", b"\x00", b"=", b"0", b"\xef\xbb\xbf", b"\xff"]


def _judge(name: str, kind: str, data: bytes) -> dict[str, Any]:
    try:
        CHECKS[kind](data)
        holds = True
    except Rejected:
        holds = False
    return {"name": name, "kind": kind, "data": _base64(data), "holds": holds}


def _judged(checkpoint: bytes, proof: bytes, policy: bytes) -> Iterator[dict[str, Any]]:
    chance = random.Random(7)
    for kind, data in (
        ("note", checkpoint),
        ("checkpoint", checkpoint),
        ("proof", proof),
        ("vkey", str(KEY.verifier).encode()),
        ("policy", policy),
    ):
        yield _judge(f"{kind}, untouched", kind, data)
        for number in range(400):
            name, mutated = _mutate(data, chance)
            yield _judge(f"{kind} {number}: {name}", kind, mutated)
    yield from (_judge(f"checkpoint: {name}", "checkpoint", data) for name, data in _named_lies(checkpoint))


def _records(proof: bytes) -> Iterator[dict[str, Any]]:
    """Mutated bytes, and records that are canonical and wrong in one field."""
    chance = random.Random(11)
    record = verify_proof(proof, KEY.verifier)[2]
    fields = json.loads(record)
    yield _judge("record, untouched", "record", record)
    for number in range(400):
        name, mutated = _mutate(record, chance)
        if not _lacks_a_field(mutated):
            yield _judge(f"record {number}: {name}", "record", mutated)
    for name, values in LIES.items():
        for value in values:
            changed = {key: v for key, v in (fields | {name: value}).items() if v is not None}
            yield _judge(f"record with {name} {str(value)[:40]}", "record", canonical_flat_json(changed))


def _lacks_a_field(record: bytes) -> bool:
    """The one thing that the browser leaves to others: which fields a record of its kind must have."""
    try:
        parse_record(record)
    except EntryRejected as error:
        return error.what.endswith(" record") and error.expected.startswith("the field")
    return False


LIES: dict[str, list[Any]] = {
    "audit.record": [None, "affidavit/record@1", 2, ["affidavit/record@2"]],
    "audit.kind": [None, "gossip", "", 7, "Error"],
    "audit.time": [
        None,
        "2026-02-30T10:00:00.000000Z",
        "2026-11-22T10:00:00Z",
        "2026-11-22T24:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z",
        1,
    ],
    "audit.log.time": [None, "2026-11-22 10:00:00.000000Z", "2024-02-29T00:00:00.000000Z", "2023-02-29T00:00:00.000000Z"],
    "audit.writer": [None, "", "Upper", "a" * 64, "a" * 65, "-a", "a b"],
    "audit.sequence.writer": [None, 0, -1, 1, "1", True, (1 << 53) - 1],
    "audit.call.previous_index": [None, "7", -1, True, 0],
    "audit.call.previous_leaf": [None, "0x", "0x" + "0" * 62, "0x" + "A" * 64, 7],
    "audit.sealed": ["0x", "0x" + "a" * 64, "a" * 64, 1, False],
    "free": ["x"],
    "Free.name": ["x"],
    "free.": ["x"],
    "free.a-b": ["x"],
    "free." + "a" * 95: ["x"],
    "free." + "a" * 96: ["x"],
    "free.text": ["", "x" * 8192, "x" * 8193, "😀" * 8192, "😀" * 8193, '\u2028\x7f<&>"\\\n'],
    "free.list": [[], ["x"] * 256, ["x"] * 257, ["x" * 8193]],
}


def _mutate(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    at, other = chance.randrange(len(data)), chance.randrange(len(data))
    lines = data.split(b"\n")
    line = chance.randrange(len(lines))
    return chance.choice(
        [
            (f"bit flipped at {at}", data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]),
            (f"byte {at} removed", data[:at] + data[at + 1 :]),
            (f"byte {at} twice", data[:at] + data[at : at + 1] + data[at:]),
            (f"cut at {at}", data[:at]),
            (f"{at} and {other} swapped", _swap(data, at, other)),
            (f"line {line} removed", b"\n".join(lines[:line] + lines[line + 1 :])),
            (f"line {line} twice", b"\n".join(lines[: line + 1] + lines[line:])),
            (
                f"a character in front of {at}",
                data[:at] + chance.choice([b" ", b"\n", b"\r", b"\x00", b"=", b"0", b"\xef\xbb\xbf", b"\xff"]) + data[at:],
            ),
        ]
    )


def _swap(data: bytes, at: int, other: int) -> bytes:
    changed = bytearray(data)
    changed[at], changed[other] = changed[other], changed[at]
    return bytes(changed)


def _named_lies(checkpoint: bytes) -> Iterator[tuple[str, bytes]]:
    from oracle.audit.note import sign

    text, _, signatures = checkpoint.decode().partition("\n\n")
    origin, size, root = text.split("\n")
    for name, lines in {
        "other origin": ("other.example/log", size, root),
        "leading zero": (origin, "0" + size, root),
        "plus sign": (origin, "+" + size, root),
        "too large": (origin, str(1 << 64), root),
        "the largest": (origin, str((1 << 64) - 1), root),
        "empty log with a root": (origin, "0", root),
        "short root": (origin, size, _base64(bytes(31))),
        "uncanonical root": (origin, size, root[:-2] + chr(ord(root[-2]) + 1) + "="),
        "with an extension": (origin, size, root, "extension"),
        "with two extensions": (origin, size, root, "one", "two"),
        "digits of another script": (origin, "٦٠١", root),
    }.items():
        yield f"{name}, signed", sign("\n".join(lines) + "\n", [KEY]).encode()
    yield "signature twice", f"{text}\n\n{signatures}{signatures}".encode()
    yield "a stranger's signature too", f"{text}\n\n— stranger.example AAAAAAAA\n{signatures}".encode()


# ---- sealed fields ----------------------------------------------------------------------------------------------------------------
def _seal(chance: random.Random) -> dict[str, Any]:
    """A sealing made by hand from its definition, so that it shares no code with the module that seals."""
    fields: dict[str, Any] = {
        "audit.reason": "Grüße",
        "audit.session": "s-1",
        "error.message": 'a "quoted" \n line',
        "audit.list": ["a", "b"],
        "audit.flag": True,
    }
    salts = {name: chance.randbytes(16) for name in fields}
    texts = {name: _canonical_pair(name, value) for name, value in fields.items()}
    leaves = sorted([hash_leaf(salts[name] + texts[name]) for name in fields] + [chance.randbytes(32) for _ in range(16 - len(fields))])
    openings = []
    for name, value in fields.items():
        index = leaves.index(hash_leaf(salts[name] + texts[name]))
        path = [to_hex(h) for h in compute_inclusion_from(index, 16, read_leaves(leaves))]
        openings.append({"name": name, "value": value, "salt": to_hex(salts[name]), "index": index, "path": path})
    return {"root": to_hex(compute_root(leaves)), "openings": openings}


def _canonical_pair(name: str, value: Any) -> bytes:
    """RFC 8785 of [name, value]: a flat object's member, written as a list."""
    member = canonical_flat_json({name: value})[1:-1]
    quoted = json.dumps(name).encode()
    return b"[" + quoted + b"," + member.removeprefix(quoted + b":") + b"]"


# ---- cosignatures -----------------------------------------------------------------------------------------------------------------
def _cosign(checkpoint: bytes) -> dict[str, Any]:
    text = checkpoint.decode().partition("\n\n")[0] + "\n"
    vkeys, lines = {}, []
    for name in ("w1.example", "w2.example", "w3.example"):
        private = Ed25519PrivateKey.from_private_bytes(sha256(name.encode()))
        public = private.public_key().public_bytes_raw()
        key_id = sha256(name.encode() + b"\n\x04" + public)[:4]
        vkeys[name] = f"{name}+{key_id.hex()}+{_base64(bytes([4]) + public)}"
        time = (1_700_000_000).to_bytes(8, "big")
        signature = private.sign(b"cosignature/v1\ntime 1700000000\n" + text.encode())
        lines.append((name, key_id, time + signature))
    declared = "".join(f"witness {name} {vkey}\n" for name, vkey in vkeys.items())
    two = "".join(f"— {name} {_base64(key_id + data)}\n" for name, key_id, data in lines[:2])
    name, key_id, data = lines[0]
    spoiled = f"— {name} {_base64(key_id + data[:-1] + bytes([data[-1] ^ 1]))}\n"
    tails = [
        "group g 2 w1.example w2.example w3.example\nquorum g\n",
        "group g all w1.example w2.example w3.example\nquorum g\n",
        "group g any w3.example w1.example\nquorum g\n",
        "group a any w1.example w3.example\ngroup b all a w2.example\nquorum b\n",
        "quorum w3.example\n",
        "# a comment\n\n\tquorum \t w2.example\n",
        "quorum none\n",
    ]
    return {
        "note": _base64(checkpoint + two.encode()),
        "spoiled": _base64(checkpoint + spoiled.encode()),
        "policies": [
            {"text": declared + tail, "isMet": parse_policy((declared + tail).encode()).is_met(["w1.example", "w2.example"])}
            for tail in tails
        ],
    }


def _is_met(policy: str) -> bool:
    return parse_policy(policy.encode()).is_met(["w1.example", "w2.example"])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
