#!/usr/bin/env python3
"""Verifies an evidence bundle of an Affidavit audit log, offline: `python3 verify.py [BUNDLE]`.

BUNDLE is the bundle's directory or its .zip; without it, the directory this file lies in. Needs Python 3.9 or newer and the package
`cryptography`; uses no network and writes nothing. Exit code: 0 everything that could be checked holds, 2 something in the bundle is
false, 3 the bundle (or this machine) cannot be used.

This file is the same in every bundle. Who does not trust the maker of a bundle takes it from the project instead of from the bundle.
Everything here is written to be read: standards are named where they are used, and no code of the project is imported.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import stat
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

HOLDS, FALSE, UNUSABLE = 0, 2, 3

FORMAT = "affidavit/bundle@1"
RECORD_FORMATS = ("affidavit/record@2", "affidavit/record@2")
MAX_FILES = 10_000
MAX_FILE_BYTES = 8 << 20
MAX_BUNDLE_BYTES = 64 << 20
MAX_SIZE = (1 << 64) - 1

STEPS = (
    "",
    "entry",
    "inclusion",
    "checkpoint signature",
    "anchors",
    "claim",
    "signatures",
    "on-chain receipt",
    "re-execution",
)
"""The numbered steps of docs/audit-log.md."""


class Refuted(Exception):
    """Something in the bundle is false."""


class Unusable(Exception):
    """This is no bundle, or it cannot be read here."""


def require(holds: object, reason: str) -> None:
    if not holds:
        raise Refuted(reason)


def require_same(what: str, expected: object, got: object) -> None:
    require(expected == got, f"{what}: expected {show(expected)}, got {show(got)}")


def show(value: object) -> str:
    """One printable line, whatever it holds."""
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"


def show_time(seconds: int) -> str:
    """Seconds since 1970 as a date, where the calendar goes that far."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return f"{seconds} seconds after 1970"


# ---- Keccak-256, as Ethereum uses it (the Keccak submission, not SHA3-256: only the padding differs) ----------------------------------
_ROUND_CONSTANTS = (
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B, 0x0000000080000001,
    0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
    0x000000000000800A, 0x800000008000000A, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
)  # fmt: skip
_ROTATIONS = (0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14)
_MASK = (1 << 64) - 1


def _rotate(lane: int, by: int) -> int:
    return ((lane << by) | (lane >> (64 - by))) & _MASK


def _permute(lanes: list[int]) -> list[int]:
    """Keccak-f[1600]; lane (x, y) is number x + 5y."""
    for constant in _ROUND_CONSTANTS:
        columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        mixed = [columns[(x - 1) % 5] ^ _rotate(columns[(x + 1) % 5], 1) for x in range(5)]
        lanes = [lane ^ mixed[i % 5] for i, lane in enumerate(lanes)]
        moved = [0] * 25
        for i, lane in enumerate(lanes):
            x, y = i % 5, i // 5
            moved[y + 5 * ((2 * x + 3 * y) % 5)] = _rotate(lane, _ROTATIONS[i])
        lanes = [moved[i] ^ (~moved[(i % 5 + 1) % 5 + i // 5 * 5] & moved[(i % 5 + 2) % 5 + i // 5 * 5]) for i in range(25)]
        lanes[0] ^= constant
    return lanes


def keccak256(data: bytes) -> bytes:
    rate = 136
    padded = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % rate))
    padded[-1] |= 0x80
    lanes = [0] * 25
    for at in range(0, len(padded), rate):
        for i in range(rate // 8):
            lanes[i] ^= int.from_bytes(padded[at + 8 * i : at + 8 * i + 8], "little")
        lanes = _permute(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


# ---- secp256k1: whose signature (SEC 1, section 4.1.6; low s as EIP-2 wants it) --------------------------------------------------------
_P = 2**256 - 2**32 - 977
_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = Optional[tuple[int, int]]  # written for Python 3.9


def _add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % _P == 0:
        return None
    slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, _P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _multiply(scalar: int, point: Point) -> Point:
    result: Point = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def recover_signer(digest: bytes, signature: bytes) -> bytes:
    """The 20-byte address whose key made r‖s‖v over the digest; only the one canonical encoding is taken."""
    require(len(signature) == 65 and signature[64] in (27, 28), "a signature is not 65 bytes r‖s‖v with v 27 or 28")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    require(0 < r < _N and 0 < s <= _N // 2, "a signature's r or s is out of range")
    y = pow(r**3 + 7, (_P + 1) // 4, _P)
    require(y * y % _P == (r**3 + 7) % _P, "a signature's r is not on the curve")
    nonce_point = (r, y if y % 2 == signature[64] - 27 else _P - y)
    message, inverse = int.from_bytes(digest, "big"), pow(r, -1, _N)
    key = _add(_multiply(s * inverse % _N, nonce_point), _multiply(-message * inverse % _N, _G))
    require(key is not None, "no key made this signature")
    assert key is not None
    return keccak256(key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big"))[12:]


# ---- EIP-712 digests of Affidavit -----------------------------------------------------------------------------------------------------
_DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_CLAIM = b"InferenceClaim(bytes32 requestId,bytes32 modelId,bytes32 inputDigest,bytes32 outputDigest)"
_REQUEST = (
    b"InferenceRequest(address requester,address refundTo,bytes32 modelId,bytes32 inputDigest,bytes32 policy,"
    b"uint256 feeWei,uint32 callbackGas,uint64 deadline,uint256 nonce)"
)


def word(value: int) -> bytes:
    require(0 <= value < 1 << 256, "a number is outside 0 … 2^256 - 1")
    return value.to_bytes(32, "big")


def typed_digest(chain_id: int, contract: bytes, struct: bytes) -> bytes:
    """keccak256(0x1901 ‖ domainSeparator ‖ structHash) in the Coprocessor's domain."""
    domain = keccak256(_DOMAIN) + keccak256(b"Affidavit") + keccak256(b"1") + word(chain_id) + contract.rjust(32, b"\0")
    return keccak256(b"\x19\x01" + keccak256(domain) + keccak256(struct))


def log_id(origin: str, anchor_key: bytes) -> bytes:
    """AuditAnchor's id of a log: keccak256(abi.encode(keccak256(origin), anchorKey))."""
    return keccak256(keccak256(origin.encode()) + anchor_key.rjust(32, b"\0"))


# ---- RLP and Merkle-Patricia proofs (Ethereum yellow paper, appendices B and D) --------------------------------------------------------
def rlp_decode(data: bytes) -> Any:
    """Bytes, or a list of decoded items. Only the canonical encoding is taken."""
    item, end = _rlp_item(data, 0, 0)
    require(end == len(data), "RLP: bytes after the item")
    return item


def _rlp_item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    require(at < len(data) and depth < 32, "RLP: cut off, or nested too deep")
    prefix = data[at]
    if prefix < 0x80:
        return data[at : at + 1], at + 1
    start, length = _rlp_length(data, at, prefix - (0x80 if prefix < 0xC0 else 0xC0))
    end = start + length
    require(end <= len(data), "RLP: cut off")
    if prefix < 0xC0:
        require(length != 1 or data[start] >= 0x80, "RLP: a small byte with a prefix")
        return data[start:end], end
    items: list[Any] = []
    while start < end:
        item, start = _rlp_item(data[:end], start, depth + 1)
        items.append(item)
    return items, end


def _rlp_length(data: bytes, at: int, code: int) -> tuple[int, int]:
    """(where the content starts, its length)."""
    if code < 56:
        return at + 1, code
    size = data[at + 1 : at + 1 + code - 55]
    length = int.from_bytes(size, "big")
    require(len(size) == code - 55 and size[0] != 0 and length > 55, "RLP: a length that is not minimal")
    return at + 1 + len(size), length


def rlp_index(index: int) -> bytes:
    """The key of item `index` in a block's tries: its RLP."""
    data = index.to_bytes((index.bit_length() + 7) // 8, "big")
    return data if len(data) == 1 and data[0] < 0x80 else bytes([0x80 + len(data)]) + data


def trie_value(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes:
    """The value under `key` in the trie with this root, by the nodes on its path, the root's first. All of them are used."""
    path, at = [n for byte in key for n in (byte >> 4, byte & 15)], 0
    expected: Any = root
    for number, data in enumerate(nodes, start=1):
        require(isinstance(expected, bytes) and keccak256(data) == expected, "a trie node does not have the hash that the node above names")
        node = rlp_decode(data)
        while True:
            expected, at = _trie_step(node, path, at)
            if not isinstance(expected, list):
                break
            node = expected  # a child shorter than 32 bytes stands in its parent itself
        if at > len(path):
            require(number == len(nodes), "a trie proof goes on after its value")
            require(expected, "a trie has no value at this key")
            return bytes(expected)
    raise Refuted("a trie proof ends before its value")


def _trie_step(node: Any, path: list[int], at: int) -> tuple[Any, int]:
    """(the child's hash or the child, how far the path was followed); past the path's end, the value."""
    require(isinstance(node, list) and len(node) in (2, 17), "a trie node is neither a branch, an extension nor a leaf")
    if len(node) == 17:
        return (node[path[at]], at + 1) if at < len(path) else (node[16], at + 1)
    require(isinstance(node[0], bytes) and node[0] and node[0][0] >> 4 < 4, "a trie node has a malformed path")
    nibbles = [n for byte in node[0] for n in (byte >> 4, byte & 15)]
    part = nibbles[1:] if nibbles[0] & 1 else nibbles[2:]
    require(nibbles[0] & 1 or nibbles[1] == 0, "a trie node has a malformed path")
    require(path[at : at + len(part)] == part, "a trie proof leads to another key")
    is_leaf = bool(nibbles[0] & 2)
    require(not is_leaf or (at + len(part) == len(path) and isinstance(node[1], bytes)), "a trie proof leads to another key")
    return node[1], at + len(part) + is_leaf


class Event(NamedTuple):
    contract: bytes
    topics: list[bytes]
    data: bytes


class Mined(NamedTuple):
    """A transaction with its receipt, both proven to be in the block with this hash."""

    transaction: bytes  # its hash
    to: bytes
    calldata: bytes
    succeeded: bool
    gas_used: int
    events: list[Event]
    block_hash: bytes
    block_number: int
    block_time: int  # seconds since 1970


def open_mined(document: dict[str, Any]) -> Mined:
    """Header hash, then transaction and receipt by their proofs to the header's roots."""
    keys = {"header", "previous_receipt_proof", "receipt_proof", "transaction_index", "transaction_proof"}
    require(isinstance(document, dict) and document.keys() == keys, "chain evidence has other fields than it should")
    header = hex_bytes(document["header"])
    fields = rlp_decode(header)
    require(isinstance(fields, list) and len(fields) >= 15 and all(isinstance(f, bytes) for f in fields), "a block header is malformed")
    index = document["transaction_index"]
    require(type(index) is int and 0 <= index < 1 << 32, "a transaction index is malformed")
    transaction = trie_value(fields[4], rlp_index(index), hex_list(document["transaction_proof"]))
    status, cumulative, events = _read_receipt(trie_value(fields[5], rlp_index(index), hex_list(document["receipt_proof"])))
    before = 0
    require((document["previous_receipt_proof"] is None) == (index == 0), "the receipt before the transaction's is missing or surplus")
    if index:
        before = _read_receipt(trie_value(fields[5], rlp_index(index - 1), hex_list(document["previous_receipt_proof"])))[1]
    to, calldata = _read_transaction(transaction)
    number, moment = int.from_bytes(fields[8], "big"), int.from_bytes(fields[11], "big")
    return Mined(keccak256(transaction), to, calldata, status, cumulative - before, events, keccak256(header), number, moment)


def _read_transaction(data: bytes) -> tuple[bytes, bytes]:
    """(to, calldata) of a legacy transaction or of types 1 to 4 (EIP-2930, 1559, 4844, 7702)."""
    kind = data[0] if data and data[0] < 0x80 else 0
    fields = rlp_decode(data[1:] if kind else data)
    place = {0: (3, 5), 1: (4, 6), 2: (5, 7), 3: (5, 7), 4: (5, 7)}.get(kind)
    require(place is not None and isinstance(fields, list) and len(fields) > 8, "a transaction of an unknown form")
    assert place is not None
    return fields[place[0]], fields[place[1]]


def _read_receipt(data: bytes) -> tuple[bool, int, list[Event]]:
    """(succeeded, gas of the block up to and with it, events)."""
    fields = rlp_decode(data[1:] if data and data[0] < 0x80 else data)
    require(isinstance(fields, list) and len(fields) == 4 and fields[0] in (b"", b"\x01"), "a receipt of an unknown form")
    return fields[0] == b"\x01", int.from_bytes(fields[1], "big"), [Event(*event) for event in fields[3]]


def find_events(mined: Mined, contract: bytes, signature: str, *indexed: bytes) -> list[Event]:
    topics = [keccak256(signature.encode()), *indexed]
    return [e for e in mined.events if e.contract == contract and e.topics[: len(topics)] == topics]


# ---- Solidity's ABI, as much as is needed ----------------------------------------------------------------------------------------------
def abi_word(data: bytes, at: int) -> int:
    require(at >= 0 and at + 32 <= len(data), "ABI data is cut off")
    return int.from_bytes(data[at : at + 32], "big")


def abi_bytes(data: bytes, base: int, at: int) -> bytes:
    """A `bytes` whose offset, counted from `base`, stands at `at`."""
    start = base + abi_word(data, at)
    length = abi_word(data, start)
    require(start + 32 + length <= len(data), "ABI data is cut off")
    return data[start + 32 : start + 32 + length]


_STRUCT = "(address,address,bytes32,bytes32,bytes32,uint256,uint32,uint64,uint256)"
_DELIVER = f"deliver({_STRUCT},bytes,bytes,(bytes4,bytes)[])"
_DELIVER_SIGNED = f"deliverSigned({_STRUCT},bytes,bytes,bytes,(bytes4,bytes)[])"
_DELIVER_BATCH = f"deliverBatch(({_STRUCT},bytes,bytes,bytes,(bytes4,bytes)[])[])"


class Carried(NamedTuple):
    """One delivery in a transaction's calldata."""

    request: bytes  # the nine words of the struct
    signature: bytes
    output: bytes
    evidence: list[tuple[bytes, bytes]]  # (selector, data)


def read_deliveries(calldata: bytes) -> list[Carried]:
    """What calldata of deliver, deliverSigned or deliverBatch carries; nothing for other calls."""
    selector, data = calldata[:4], calldata[4:]
    if selector == keccak256(_DELIVER.encode())[:4]:
        return [_carried(data, 0, False)]
    if selector == keccak256(_DELIVER_SIGNED.encode())[:4]:
        return [_carried(data, 0, True)]
    if selector == keccak256(_DELIVER_BATCH.encode())[:4]:
        base = abi_word(data, 0) + 32
        number = abi_word(data, base - 32)
        require(number <= len(data) // 32, "ABI data is cut off")
        return [_carried(data, base + abi_word(data, base + 32 * i), True) for i in range(number)]
    return []


def _carried(data: bytes, base: int, has_signature: bool) -> Carried:
    at = base + 288
    signature = abi_bytes(data, base, at) if has_signature else b""
    at += 32 * has_signature
    output = abi_bytes(data, base, at + 32)
    array = base + abi_word(data, at + 64) + 32
    number = abi_word(data, array - 32)
    require(number <= 8, "ABI data: more evidence than any policy demands")
    pieces = [array + abi_word(data, array + 32 * i) for i in range(number)]
    return Carried(data[base : base + 288], signature, output, [(data[p : p + 4], abi_bytes(data, p, p + 32)) for p in pieces])


# ---- the Merkle tree of RFC 6962 / RFC 9162 --------------------------------------------------------------------------------------------
def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162, section 2.1.3.2; an inclusion in the empty tree is refused."""
    require(0 <= index < size <= MAX_SIZE, "an inclusion proof's index is not below the tree's size")
    inner = (index ^ (size - 1)).bit_length()
    require(len(proof) == inner + bin(index >> inner).count("1"), "an inclusion proof has the wrong length")
    computed = leaf
    for height, sibling in enumerate(proof):
        is_right = height >= inner or index >> height & 1
        computed = hash_children(sibling, computed) if is_right else hash_children(computed, sibling)
    require(computed == root, "an inclusion proof does not lead to the root")


def verify_consistency(size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162, section 2.1.4.2; from size 0 nothing can be proven."""
    require(1 <= size1 <= size2 <= MAX_SIZE, "a consistency proof's sizes are not 1 ≤ first ≤ second")
    if size1 == size2:
        require(not proof and root1 == root2, "two trees of one size have different roots")
        return
    shift = (size1 & -size1).bit_length() - 1
    path = list(proof) if size1 != 1 << shift else [root1, *proof]
    node, last = (size1 - 1) >> shift, (size2 - 1) >> shift
    inner = (node ^ last).bit_length()
    require(len(path) == 1 + inner + bin(node >> inner).count("1"), "a consistency proof has the wrong length")
    first = second = path[0]
    for height, sibling in enumerate(path[1:]):
        if height >= inner or node >> height & 1:
            first, second = hash_children(sibling, first), hash_children(sibling, second)
        else:
            second = hash_children(second, sibling)
    require(first == root1, "a consistency proof does not start at the older root")
    require(second == root2, "a consistency proof does not lead to the checkpoint's root")


# ---- C2SP signed notes, checkpoints and tlog-proofs ------------------------------------------------------------------------------------
def strict_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refuted("text that should be base64 is not") from None
    require(base64.b64encode(data).decode() == text, "base64 that is not canonical")
    return data


class NoteKey(NamedTuple):
    name: str
    kind: int  # 1: a log's, Ed25519; of witnesses, with a time: 4 Ed25519, 6 ML-DSA-44
    key_id: bytes
    public: bytes


def parse_key(text: str) -> NoteKey:
    """<name>+<key id>+<base64(type ‖ public key)>, key id = SHA-256(name ‖ newline ‖ type ‖ public key)[:4]."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    data = strict_base64(encoded)
    size = {1: 32, 4: 32, 6: 1312}.get(data[0] if data else 0)
    require(name and size is not None and len(data) == 1 + (size or 0), "a verifier key is malformed, or of an unknown kind")
    computed = sha256(name.encode() + b"\n" + data)[:4]
    require(key_id == computed.hex(), "a verifier key does not have the key id it names")
    return NoteKey(name, data[0], computed, data[1:])


def is_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Note(NamedTuple):
    text: str
    signatures: list[tuple[str, bytes, bytes]]  # name, key id, signature


def parse_note(data: bytes) -> Note:
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Refuted("the checkpoint is not UTF-8") from None
    require(all(c >= " " or c == "\n" for c in whole), "the checkpoint has control characters")
    split = whole.rfind("\n\n")
    require(split >= 0 and whole.endswith("\n") and split + 2 < len(whole), "the checkpoint is no signed note")
    lines = whole[split + 2 : -1].split("\n")
    require(len(lines) <= 100, "the checkpoint has more than 100 signatures")
    signatures = []
    for line in lines:
        match = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        require(match is not None, "a signature line of the checkpoint is malformed")
        assert match is not None
        blob = strict_base64(match[2])
        require(len(blob) > 4, "a signature of the checkpoint is too short")
        signatures.append((match[1], blob[:4], blob[4:]))
    return Note(whole[: split + 1], signatures)


def signatures_of(note: Note, key: NoteKey) -> list[bytes]:
    return [data for name, key_id, data in note.signatures if (name, key_id) == (key.name, key.key_id)]


def verify_log_signature(note: Note, key: NoteKey) -> None:
    found = signatures_of(note, key)
    require(found, f"the checkpoint is not signed by {key.name}+{key.key_id.hex()}")
    require(all(is_ed25519(key.public, data, note.text.encode()) for data in found), "the checkpoint's signature is false")


def verify_cosignature(note: Note, key: NoteKey) -> int:
    """C2SP tlog-cosignature: 8 bytes of time and a signature, Ed25519 or ML-DSA-44. Returns the time, seconds since 1970."""
    found = signatures_of(note, key)
    require(found, f"the witness {show(key.name)} did not sign the checkpoint")
    moment, data = int.from_bytes(found[0][:8], "big"), found[0][8:]
    if key.kind == 4:
        is_true = is_ed25519(key.public, data, f"cosignature/v1\ntime {moment}\n{note.text}".encode())
    else:
        checkpoint = read_checkpoint(note)
        numbers = found[0][:8], bytes(8) + checkpoint.size.to_bytes(8, "big")
        message = b"subtree/v1\n\0" + _short(key.name) + numbers[0] + _short(checkpoint.origin) + numbers[1] + checkpoint.root
        is_true = is_ml_dsa_44(key.public, data, message)
    require(len(found) == 1 and is_true, f"the signature of the witness {show(key.name)} is false")
    return moment


def _short(text: str) -> bytes:
    """After its length in one byte."""
    data = text.encode()
    require(1 <= len(data) <= 255, "a name under the checkpoint is longer than 255 bytes")
    return bytes([len(data)]) + data


def is_ml_dsa_44(public: bytes, signature: bytes, message: bytes) -> bool:
    """FIPS 204. Raises Unusable where the installed `cryptography` does not have it yet."""
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
    except ImportError:
        raise Unusable("the installed `cryptography` is too old to verify a witness of the type 0x06 (ML-DSA-44)") from None
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except UnsupportedAlgorithm:
        raise Unusable("the installed `cryptography` cannot verify a witness of the type 0x06 (ML-DSA-44)") from None
    except (InvalidSignature, ValueError):
        return False
    return True


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


def read_checkpoint(note: Note) -> Checkpoint:
    lines = note.text[:-1].split("\n")
    require(len(lines) >= 3 and all(lines), "the checkpoint has fewer than three lines")
    require(re.fullmatch(r"0|[1-9][0-9]{0,19}", lines[1]), "the checkpoint's size is malformed")
    root = strict_base64(lines[2])
    require(len(root) == 32 and 0 < int(lines[1]) <= MAX_SIZE, "the checkpoint's root or size is malformed")
    return Checkpoint(lines[0], int(lines[1]), root)


def open_proof(data: bytes, index: int, record: bytes, checkpoint: bytes) -> list[bytes]:
    """The hashes of a c2sp.org/tlog-proof file of this record, with exactly this checkpoint."""
    head, _, note = data.partition(b"\n\n")
    require(note == checkpoint, "a tlog-proof holds another checkpoint than the bundle's")
    require(head.isascii(), "a tlog-proof is not ASCII")
    lines = head.decode().split("\n")
    expected = ["c2sp.org/tlog-proof@v1", f"extra {base64.b64encode(record).decode()}", f"index {index}"]
    require(lines[:3] == expected, f"the tlog-proof of record {index} is of another record or another form")
    hashes = [strict_base64(line) for line in lines[3:]]
    require(all(len(h) == 32 for h in hashes), "a tlog-proof has a hash that is not 32 bytes")
    return hashes


# ---- JSON, hex -------------------------------------------------------------------------------------------------------------------------
def read_json(data: bytes, what: str) -> Any:
    """JSON in the one form this format writes it: RFC 8785 for the flat ASCII-named objects that occur here."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise Refuted(f"{what} is not JSON") from None
    require(write_json(value) == data, f"{what} is not in canonical JSON")
    return value


def write_json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, UnicodeEncodeError, RecursionError):
        return b""


def hex_bytes(text: object, size: int | None = None) -> bytes:
    require(isinstance(text, str) and re.fullmatch(r"0x([0-9a-f]{2})*", text), "a value that should be lower-case hex is not")
    data = bytes.fromhex(str(text)[2:])
    require(size is None or len(data) == size, f"a hex value does not have {size} bytes")
    return data


def hex_list(items: object) -> list[bytes]:
    require(isinstance(items, list), "a value that should be a list is not")
    assert isinstance(items, list)
    return [hex_bytes(item) for item in items]


def address(text: object) -> bytes:
    """20 bytes of an address in a record, where EIP-55 writes some digits in upper case."""
    require(isinstance(text, str) and re.fullmatch(r"0x[0-9a-fA-F]{40}", text), "an address is malformed")
    return bytes.fromhex(str(text)[2:])


# ---- reading a bundle from a directory or a zip ----------------------------------------------------------------------------------------
_PATH = re.compile(
    r"README\.txt|manifest\.json|verify\.py|checkpoint|records/[0-9]{1,16}\.json|proofs/[0-9]{1,16}\.tlog-proof|anchors/[0-9]{1,20}\.json"
    r"|chain/[0-9a-f]{64}\.json|bodies/[0-9a-f]{64}|openings/[0-9]{1,16}\.json"
)
"""Every path a bundle may have. Nothing else is opened, so no path leads out of it."""


def read_bundle(place: Path) -> dict[str, bytes]:
    """Path → bytes. Raises Unusable for what is not exactly a bundle's files."""
    if place.is_dir():
        return _read_directory(place)
    if place.is_file():
        return _read_zip(place)
    raise Unusable(f"{show(place)} is neither a directory nor a file")


class _Files:
    """What was read so far, within the limits."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.total = 0

    def claim(self, path: str, size: int) -> None:
        if not _PATH.fullmatch(path):
            raise Unusable(f"the file {show(path)} does not belong in a bundle")
        if path in self.files or len(self.files) >= MAX_FILES:
            raise Unusable(f"the file {show(path)} is there twice, or there are more than {MAX_FILES} files")
        self.total += size
        if size > MAX_FILE_BYTES or self.total > MAX_BUNDLE_BYTES:
            raise Unusable(f"the file {show(path)} makes the bundle larger than {MAX_FILE_BYTES} a file or {MAX_BUNDLE_BYTES} bytes in all")
        self.files[path] = b""


def _read_directory(place: Path) -> dict[str, bytes]:
    read = _Files()
    for folder, names, files in os.walk(place):
        for name in names + files:
            path = Path(folder) / name
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise Unusable(f"{show(path.relative_to(place).as_posix())} is a link or no plain file")
        for name in files:
            path = Path(folder) / name
            relative = path.relative_to(place).as_posix()
            read.claim(relative, path.stat().st_size)
            read.files[relative] = path.read_bytes()
    return read.files


def _read_zip(place: Path) -> dict[str, bytes]:
    read = _Files()
    try:
        with zipfile.ZipFile(place) as archive:
            for info in archive.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir() or kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
                    raise Unusable(f"{show(info.filename)} in the zip is a folder, a link or encrypted")
                read.claim(info.filename, info.file_size)
                with archive.open(info) as stream:
                    read.files[info.filename] = stream.read(MAX_FILE_BYTES + 1)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        ArithmeticError,
    ) as error:
        raise Unusable(f"{show(place)} cannot be read as a zip: {show(error)}") from None
    except Exception as error:  # what the decompressors raise has no common class
        if type(error).__module__ not in ("zlib", "lzma"):
            raise
        raise Unusable(f"{show(place)} cannot be read as a zip: {show(error)}") from None
    return read.files


# ---- the records -----------------------------------------------------------------------------------------------------------------------
class Record(NamedTuple):
    place: int  # its number in the log, from 0
    leaf: bytes
    fields: dict[str, Any]
    opened: dict[str, Any]  # sealed fields that the bundle opens

    def get(self, name: str) -> Any:
        return self.opened[name] if name in self.opened else self.fields.get(name)

    def digest(self, name: str) -> bytes:
        value = self.get(name)
        require(isinstance(value, str), f"record {self.place} has no {name}")
        return hex_bytes(value, 32)

    def number(self, name: str, bits: int = 256) -> int:
        value = self.get(name)
        if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,77}", value):
            value = int(value)
        require(type(value) is int and 0 <= value < 1 << bits, f"record {self.place}: {name} is no number below 2^{bits}")
        return int(value)

    @property
    def kind(self) -> str:
        return show(self.fields["audit.kind"])


_STAMPS = ("audit.kind", "audit.time", "audit.log.time", "audit.writer", "audit.record")


def parse_record(index: int, data: bytes) -> Record:
    value = read_json(data, f"record {index}")
    require(
        isinstance(value, dict) and all(isinstance(value.get(name), str) for name in _STAMPS), f"record {index} lacks a stamp of the log"
    )
    require(value["audit.record"] in RECORD_FORMATS, f"record {index} is of an unknown format")
    for name, item in value.items():
        require(is_field(item), f"record {index}: {show(name)} is no string, number, boolean or list of strings")
    return Record(index, sha256(b"\x00" + data), value, {})


def is_field(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, (str, bool)) or (isinstance(value, int) and abs(value) < 1 << 53)


def open_fields(record: Record, openings: Any) -> Record:
    """Sealed fields: a leaf SHA-256(0x00 ‖ salt ‖ [name, value]) of a tree of 16, whose root the record holds."""
    require(isinstance(openings, list) and openings, f"the openings of record {record.place} are no list")
    root, opened = record.digest("audit.sealed"), {}
    for item in openings:
        keys = {"name", "value", "salt", "index", "path"}
        require(isinstance(item, dict) and item.keys() == keys and is_field(item["value"]), "an opening is malformed")
        salt, path = hex_bytes(item["salt"], 16), hex_list(item["path"])
        require(isinstance(item["name"], str) and type(item["index"]) is int, "an opening is malformed")
        require(item["name"] not in record.fields and item["name"] not in opened, f"{show(item['name'])} is opened twice, or not sealed")
        leaf = sha256(b"\x00" + salt + write_json([item["name"], item["value"]]))
        verify_inclusion(leaf, item["index"], 16, path, root)
        opened[item["name"]] = item["value"]
    return record._replace(opened=opened)


# ---- the verification ------------------------------------------------------------------------------------------------------------------
class Given(NamedTuple):
    """What the reader knows from elsewhere."""

    vkey: str | None = None
    anchor_key: bytes | None = None
    blocks: tuple[bytes, ...] = ()
    coprocessor: bytes | None = None
    audit_anchor: bytes | None = None
    witnesses: tuple[str, ...] = ()


class Verification:
    """One bundle, gone through once. `lines` is what is printed."""

    def __init__(self, files: dict[str, bytes], given: Given) -> None:
        self.files, self.given = files, given
        self.checked: dict[int, list[str]] = {number: [] for number in range(1, 9)}
        self.unchecked: dict[int, list[str]] = {number: [] for number in range(1, 9)}
        self.depends: list[str] = []
        self.at = 0
        self.mined: dict[bytes, Mined] = {}
        self.unused = set(files)

    # ---- telling
    def tell(self, text: str) -> None:
        self.checked[self.at].append(text)

    def leave(self, text: str) -> None:
        self.unchecked[self.at].append(text)

    def lines(self) -> list[str]:
        out: list[str] = []
        for number in range(1, 9):
            if self.checked[number] or self.unchecked[number]:
                out.append(f"Step {number}, {STEPS[number]}")
                out += [f"  checked           {text}" for text in self.checked[number]]
                out += [f"  not checked here  {text}" for text in self.unchecked[number]]
        return out

    # ---- files
    def take(self, path: str) -> bytes:
        require(path in self.files, f"the bundle lacks {path}")
        self.unused.discard(path)
        return self.files[path]

    def names(self, folder: str) -> list[str]:
        return sorted(path for path in self.files if path.startswith(folder + "/"))

    def run(self) -> None:
        """Raises Refuted at the first thing that is false, Unusable for what is no bundle."""
        self.manifest = self._open_manifest()
        self._verify_checkpoint()
        self._verify_records()
        self._verify_chain()
        self._verify_anchors()
        if self.request_id is not None:
            self._verify_claim()
            self._verify_delivery()
        else:
            self.at = 5
            self._verify_intent_links()
            for self.at in (5, 6, 7):
                self.leave("because this bundle is not about a call on the chain")
        self.at = 8
        self.leave("because running the model again needs its files: `affidavit audit verify --model DIR` does it")
        if self.unused:
            raise Refuted(f"the file {sorted(self.unused)[0]} is in the bundle, and nothing in it needs it")

    def _open_manifest(self) -> dict[str, Any]:
        if "manifest.json" not in self.files:
            raise Unusable("there is no manifest.json")
        manifest: dict[str, Any] = read_json(self.take("manifest.json"), "manifest.json")
        keys = {"format", "subject", "log", "chain", "operators", "evidence", "remarks", "files"}
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise Unusable(f"manifest.json is not of the format {FORMAT}, which is the only one that this script knows")
        require(manifest.keys() == keys, "manifest.json has other fields than it should")
        listed = manifest["files"]
        shape = {"path", "bytes", "sha256"}
        is_list = isinstance(listed, list) and all(isinstance(f, dict) and f.keys() == shape for f in listed)
        require(is_list and [f["path"] for f in listed] == sorted(set(self.files) - {"manifest.json"}), _surplus(listed, self.files))
        for item in listed:
            data = self.files[item["path"]]
            is_same = (item["bytes"], item["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
            require(is_same, f"{item['path']} is not the file that manifest.json lists: its length or SHA-256 is another")
        self.take("README.txt")
        self.take("verify.py")
        log, chain = manifest["log"], manifest["chain"]
        require(
            isinstance(log, dict) and log.keys() == {"vkey", "anchor_key"} and isinstance(log["vkey"], str),
            "manifest.json: log is malformed",
        )
        require(
            isinstance(chain, dict) and chain.keys() == {"chain_id", "coprocessor", "audit_anchor"} and type(chain["chain_id"]) is int,
            "manifest.json: chain is malformed",
        )
        require(isinstance(manifest["remarks"], list) and all(isinstance(r, str) for r in manifest["remarks"]), "manifest.json: remarks")
        self.coprocessor, self.audit_anchor = hex_bytes(chain["coprocessor"], 20), hex_bytes(chain["audit_anchor"], 20)
        self.chain_id = chain["chain_id"]
        return manifest

    # ---- step 3
    def _verify_checkpoint(self) -> None:
        self.at = 3
        key = parse_key(self.manifest["log"]["vkey"])
        require(key.kind == 1, "the log's key is no Ed25519 key")
        if self.given.vkey is not None and _given_key(self.given.vkey, (1,)) != key:
            raise Refuted(f"the bundle names {show(self.manifest['log']['vkey'])} as the log's key, and not the one that you gave")
        self.checkpoint_bytes = self.take("checkpoint")
        note = parse_note(self.checkpoint_bytes)
        verify_log_signature(note, key)
        self.checkpoint = read_checkpoint(note)
        require_same("the checkpoint's origin", key.name, self.checkpoint.origin)
        vkey = self.manifest["log"]["vkey"]
        self.tell(
            f"the tree of {self.checkpoint.size} records with root {self.checkpoint.root.hex()} is signed by {key.name}+{key.key_id.hex()}"
        )
        if self.given.vkey is None:
            self.leave("that this key is the log's: the bundle itself names it; --vkey compares it with one you have from elsewhere")
            self.depends.append(f"the log's key is {show(vkey)}")
        self._verify_witnesses(note, key)

    def _verify_witnesses(self, note: Note, key: NoteKey) -> None:
        for text in self.given.witnesses:
            witness = _given_key(text, (4, 6))
            moment = verify_cosignature(note, witness)
            self.tell(f"the witness {show(witness.name)} signed this checkpoint, by its own clock at {show_time(moment)}")
        others = len(note.signatures) - len(signatures_of(note, key)) - len(self.given.witnesses)
        if others:
            self.leave(f"{count(others, 'other signature')} under the checkpoint, because the keys were not given (--witness)")

    # ---- steps 1 and 2
    def _verify_records(self) -> None:
        self.at = 1
        subject = self.manifest["subject"]
        require(isinstance(subject, dict) and subject.keys() == {"kind", "id"}, "manifest.json: subject is malformed")
        indices = sorted(int(path[8:-5]) for path in self.names("records"))
        require(
            indices and self.names("records") == sorted(f"records/{i}.json" for i in indices), "the bundle has no records, or misnamed ones"
        )
        self.records = [self._open_record(i) for i in indices]
        self.request_id = self._verify_subject(subject)
        self._verify_bodies()
        self._verify_inclusions()

    def _open_record(self, index: int) -> Record:
        record = parse_record(index, self.take(f"records/{index}.json"))
        path = f"openings/{index}.json"
        return open_fields(record, read_json(self.take(path), path)) if path in self.files else record

    def _verify_subject(self, subject: dict[str, Any]) -> bytes | None:
        """The request id where the bundle is about a call on chain."""
        kinds = ", ".join(f"{r.place} {r.kind} by {show(r.fields['audit.writer'])}" for r in self.records)
        if subject["kind"] == "record":
            require_same("the bundle's records", [subject["id"]], [r.place for r in self.records])
            own = [name for name in ("audit.request_id", "audit.call_id") if name in self.records[0].fields]
            require(not own, "a record of a call is shown without its call")
            self.tell(f"one record of no call ({kinds}), in canonical form")
            return None
        name = {"call": "audit.request_id", "outside_call": "audit.call_id"}.get(subject["kind"])
        require(name is not None, "manifest.json: subject is malformed")
        call = hex_bytes(subject["id"], 32)
        for record in self.records:
            require_same(f"{name} of record {record.place}", call, record.digest(str(name)))
        self._verify_links()
        self.tell(
            f"{count(len(self.records), 'record')} of one call ({kinds}), in canonical form, each naming the one before: none is left out"
        )
        self.leave(f"whether the log has later records of this call than {self.records[-1].place}: a bundle can show only what it holds")
        return call if subject["kind"] == "call" else None

    def _verify_links(self) -> None:
        previous: tuple[object, object] = (None, None)
        for record in self.records:
            got = (record.fields.get("audit.call.previous_index"), record.fields.get("audit.call.previous_leaf"))
            require_same(f"what record {record.place} names as the one before it", previous, got)
            previous = (record.place, "0x" + record.leaf.hex())

    def _verify_bodies(self) -> None:
        named: dict[str, str] = {}
        for record in self.records:
            for name, value in {**record.fields, **record.opened}.items():
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, str) and re.fullmatch(r"0x[0-9a-f]{64}", item):
                        named[item[2:]] = f"{name} of record {record.place}"
        for path in self.names("bodies"):
            require(path[7:] in named, f"{path} has a digest that no record names")
            require_same(f"the digest of {path}", path[7:], keccak256(self.take(path)).hex())
        openings = sum(len(record.opened) for record in self.records)
        if bodies := len(self.names("bodies")):
            self.tell(f"{count(bodies, 'body')} with the Keccak-256 digests that the records name")
        if openings:
            self.tell(f"{count(openings, 'sealed field')} opened, and what the record was sealed with")
        sealed = [r.place for r in self.records if "audit.sealed" in r.fields and not r.opened]
        if sealed:
            self.leave(f"the sealed fields of {count(len(sealed), 'record')}, because this bundle does not open them")

    def body(self, digest: bytes) -> bytes | None:
        return self.files.get(f"bodies/{digest.hex()}")

    def _verify_inclusions(self) -> None:
        self.at = 2
        for record in self.records:
            data = self.take(f"proofs/{record.place}.tlog-proof")
            hashes = open_proof(data, record.place, self.files[f"records/{record.place}.json"], self.checkpoint_bytes)
            verify_inclusion(record.leaf, record.place, self.checkpoint.size, hashes, self.checkpoint.root)
        self.tell(f"in the signed tree: {count(len(self.records), 'record')}, each at the place that its number says")

    # ---- the chain's evidence
    def _verify_chain(self) -> None:
        self.at = 7
        roles = self.manifest["evidence"]
        shape = {"role", "transaction"}
        require(
            isinstance(roles, list) and all(isinstance(r, dict) and r.keys() == shape for r in roles),
            "manifest.json: evidence is malformed",
        )
        self.roles = [(str(r["role"]), hex_bytes(r["transaction"], 32)) for r in roles]
        for role, transaction in self.roles:
            require(role in ("request", "delivery", "replacement", "anchor"), "manifest.json: evidence of an unknown role")
            path = f"chain/{transaction.hex()}.json"
            mined = open_mined(read_json(self.take(path), path))
            require_same(f"the transaction of {path}", transaction, mined.transaction)
            require(mined.succeeded, f"the transaction {transaction.hex()} failed")
            self.mined[transaction] = mined
        blocks = {m.block_hash: m for m in self.mined.values()}
        for wanted in self.given.blocks:
            require(wanted in blocks, f"no evidence in this bundle is of the block {wanted.hex()} that you gave")
        for block_hash, mined in sorted(blocks.items(), key=lambda item: item[1].block_number):
            if block_hash not in self.given.blocks:
                self.depends.append(f"block {mined.block_number} of chain {self.chain_id} has the hash 0x{block_hash.hex()}")
        self._depend_on_contracts()

    def _depend_on_contracts(self) -> None:
        for name, given, own in (
            ("Coprocessor", self.given.coprocessor, self.coprocessor),
            ("AuditAnchor", self.given.audit_anchor, self.audit_anchor),
        ):
            if given is not None:
                require_same(f"the {name}, as you gave it", given, own)
            elif any((role == "anchor") == (name == "AuditAnchor") for role, _ in self.roles):
                self.depends.append(f"{name} is the contract at 0x{own.hex()}")

    def mined_as(self, role: str) -> list[Mined]:
        return [self.mined[transaction] for of, transaction in self.roles if of == role]

    def _block(self, mined: Mined) -> str:
        known = "" if mined.block_hash in self.given.blocks else " (compare its hash with the chain: --block-hash)"
        return f"block {mined.block_number}, 0x{mined.block_hash.hex()}{known}"

    # ---- step 4
    def _verify_anchors(self) -> None:
        self.at = 4
        anchor_key = self.manifest["log"]["anchor_key"]
        if self.given.anchor_key is not None and anchor_key is not None:
            require_same("the anchor key, as you gave it", self.given.anchor_key, hex_bytes(anchor_key, 20))
        paths = self.names("anchors")
        events = {e.data: mined for mined in self.mined_as("anchor") for e in self._anchored(mined, anchor_key)}
        proven: list[tuple[int, Mined]] = []
        for path in paths:
            size, root = self._verify_anchor(path)
            found = events.pop(word(size) + root, None)
            if found is not None:
                proven.append((size, found))
        require(not events, "the chain's evidence has an anchor to which there is no consistency proof")
        if not paths:
            self.leave("because the bundle has no anchor: the log was not anchored, or no anchor key was known")
            return
        self._tell_anchors(len(paths), sorted(proven))

    def _anchored(self, mined: Mined, anchor_key: object) -> list[Event]:
        own = log_id(self.checkpoint.origin, hex_bytes(anchor_key, 20))
        events = find_events(mined, self.audit_anchor, "Anchored(bytes32,uint64,bytes32)", own)
        require(events, f"the transaction {mined.transaction.hex()} anchored nothing of this log")
        return events

    def _verify_anchor(self, path: str) -> tuple[int, bytes]:
        document = read_json(self.take(path), path)
        require(
            isinstance(document, dict) and document.keys() == {"size", "root", "consistency"}, f"{path} has other fields than it should"
        )
        size, root = document["size"], hex_bytes(document["root"], 32)
        require(type(size) is int and path == f"anchors/{size}.json", f"{path} is of another size than its name says")
        verify_consistency(size, root, self.checkpoint.size, self.checkpoint.root, hex_list(document["consistency"]))
        return size, root

    def _tell_anchors(self, number: int, proven: list[tuple[int, Mined]]) -> None:
        self.tell(f"the signed tree extends {count(number, 'older tree')} that the bundle names as anchored")
        for size, mined in proven:
            self.tell(f"AuditAnchor accepted the tree of {size} records in {self._block(mined)}")
        cover = next((mined for size, mined in proven if self.records[-1].place < size), None)
        if cover is not None:
            self.tell(f"every record here is older than block {cover.block_number}, of {show_time(cover.block_time)} by its own clock")
        if len(proven) < number:
            self.leave(f"that {number - len(proven)} of these were anchored: the transactions are not in the bundle")
        self.leave("whether the chain has other anchors of this log: that needs a node (`affidavit audit verify`)")
        if proven and self.given.anchor_key is None:
            self.depends.append(f"the log's anchors are those signed by {show(self.manifest['log']['anchor_key'])}")

    # ---- step 5
    def of_kind(self, kind: str) -> list[Record]:
        return [record for record in self.records if record.kind == kind]

    def _verify_claim(self) -> None:
        self.at = 5
        intents = self.of_kind("intent")
        require(intents, "the call has no intent record: nothing says what was asked")
        for record in self.records:
            require_same(f"audit.chain_id of record {record.place}", self.chain_id, record.number("audit.chain_id"))
            require_same(f"audit.coprocessor of record {record.place}", self.coprocessor, address(record.get("audit.coprocessor")))
            for name in ("audit.model_id", "audit.input_digest", "audit.policy"):
                require_same(f"{name} of record {record.place}", intents[0].digest(name), record.digest(name))
        self.request = self._request_words(intents[0])
        for record in intents:
            computed = typed_digest(self.chain_id, self.coprocessor, keccak256(_REQUEST) + self._request_words(record))
            require_same(f"the request id recomputed from record {record.place}", self.request_id, computed)
        claims = [record for record in self.records if "audit.claim_digest" in record.fields]
        for record in claims:
            require_same(
                f"the claim digest recomputed from record {record.place}", record.digest("audit.claim_digest"), self._claim(record)
            )
        self._verify_intent_links()
        self.tell(f"the request id and {count(len(claims), 'claim digest')} follow from the records' fields")
        self._verify_request(intents)
        self.leave("that the model is registered: that needs a node")

    def _request_words(self, record: Record) -> bytes:
        """The nine words of the struct InferenceRequest."""
        accounts = b"".join(address(record.get(f"audit.request.{name}")).rjust(32, b"\0") for name in ("requester", "refund_to"))
        digests = b"".join(record.digest(name) for name in ("audit.model_id", "audit.input_digest", "audit.policy"))
        numbers = (("fee_wei", 256), ("callback_gas", 32), ("deadline", 64), ("nonce", 256))
        return accounts + digests + b"".join(word(record.number(f"audit.request.{name}", bits)) for name, bits in numbers)

    def _claim(self, record: Record) -> bytes:
        names = ("audit.request_id", "audit.model_id", "audit.input_digest", "audit.output_digest")
        return typed_digest(self.chain_id, self.coprocessor, keccak256(_CLAIM) + b"".join(record.digest(name) for name in names))

    def _verify_intent_links(self) -> None:
        """What a record names as its intent is an earlier intent of the same call, by the same writer."""
        linked = [record for record in self.records if record.kind == "result" or "audit.intent.index" in record.fields]
        for record in linked:
            index, leaf = record.fields.get("audit.intent.index"), record.digest("audit.intent.leaf_hash")
            found = [i for i in self.of_kind("intent") if (i.place, i.leaf) == (index, leaf)]
            is_own = found and found[0].place < record.place and found[0].fields["audit.writer"] == record.fields["audit.writer"]
            require(is_own, f"record {record.place} names no earlier intent of this call by the same writer")
        if linked:
            self.tell(f"{count(len(linked), 'link')} from an end to its intent: each logged before, by the same writer")

    def _verify_request(self, intents: list[Record]) -> None:
        requester = self.request[12:32]
        if int.from_bytes(self.request[-32:], "big") >= 1 << 128:
            self._verify_signed_request(intents, requester)
            return
        for mined in self.mined_as("request"):
            events = find_events(
                mined, self.coprocessor, f"InferenceRequested(bytes32,bytes32,address,{_STRUCT},bytes)", self.request_id or b""
            )
            require(any(e.data[:288] == self.request for e in events), "the transaction of the request did not make this request")
            places = [(i.digest("audit.request.transaction"), i.digest("audit.request.block_hash")) for i in intents]
            require((mined.transaction, mined.block_hash) in places, "no intent record names the transaction and block of the request")
            self.tell(f"the request was made by transaction 0x{mined.transaction.hex()} in {self._block(mined)}")
        if not self.mined_as("request"):
            self.leave("that the request was made on chain: its transaction is not in the bundle")

    def _verify_signed_request(self, intents: list[Record], requester: bytes) -> None:
        """By the signature that the log shows, or that the delivery carries."""
        bodies = [self.body(i.digest("audit.request.signature_digest")) for i in intents]
        shown = [b for b in bodies if b is not None] + [c.signature for c in self._carried()]
        if shown and all(len(b) == 65 and self._is_signed_by(requester, b) for b in shown):
            self.tell(f"the request was signed by 0x{requester.hex()}")
        else:
            self.leave("the requester's signature: the bundle does not show it, or it is that of a contract")

    def _carried(self) -> list[Carried]:
        """This call's delivery in the calldata, where it is there: anyone may deliver, in calldata that no strict decoder reads."""
        for mined in self.mined_as("delivery")[:1]:
            try:
                carried = read_deliveries(mined.calldata) if mined.to == self.coprocessor else []
            except Refuted:
                carried = []
            return [c for c in carried[self._position(mined) :][:1] if c.request == self.request]
        return []

    def _is_signed_by(self, account: bytes, signature: bytes) -> bool:
        try:
            return recover_signer(self.request_id or b"", signature) == account
        except Refuted:
            return False

    # ---- steps 6 and 7
    def _verify_delivery(self) -> None:
        self.at = 6
        self._verify_logged_signatures()
        deliveries = self.mined_as("delivery")
        require(len(deliveries) <= 1, "the bundle has two deliveries of one call")
        if not deliveries:
            self.leave("evidence on the chain: the bundle has no delivery of this call")
            self.at = 7
            self.leave("because the bundle has no delivery of this call: it was not delivered, or its transaction could not be had")
            return
        mined = deliveries[0]
        self.at = 7
        digest = self._verify_event(mined)
        self.at = 6
        self._verify_calldata(digest)
        self.at = 7
        self._verify_receipt_records(mined, digest)
        self._verify_replacement(digest)

    def _verify_logged_signatures(self) -> None:
        signed = hidden = 0
        for record in self.records:
            if record.kind != "result" and "audit.signature_digest" not in record.fields:
                continue
            signature = self.body(record.digest("audit.signature_digest"))
            hidden += signature is None
            if signature is not None:
                signer = recover_signer(record.digest("audit.claim_digest"), signature)
                require_same(f"who signed the claim of record {record.place}", address(record.get("audit.signer")), signer)
                signed += 1
            if "audit.agreed_output_digest" in record.fields:
                is_other = record.digest("audit.agreed_output_digest") != record.digest("audit.output_digest")
                require(is_other, f"record {record.place} accuses somebody of signing the output that was agreed on")
        if signed:
            self.tell(f"{count(signed, 'logged claim')} signed by the key that its record names")
        if hidden:
            self.leave(f"the signatures of {count(hidden, 'logged claim')}, because the bundle does not show them")

    def _verify_event(self, mined: Mined) -> bytes:
        """The delivered output's digest, from the Coprocessor's own event."""
        signature = "InferenceDelivered(bytes32,bytes32,address,bytes32,bytes,address[],uint64)"
        events = find_events(mined, self.coprocessor, signature, self.request_id or b"", self.request[64:96], self.request[:32])
        require(len(events) == 1, "the transaction of the delivery did not deliver this call once")
        digest = events[0].data[:32]
        require_same("the delivered output's digest", digest, keccak256(abi_bytes(events[0].data, 0, 32)))
        self.tell(f"the Coprocessor accepted the output with digest 0x{digest.hex()} in {self._block(mined)}")
        return digest

    def _verify_calldata(self, digest: bytes) -> None:
        carried = self._carried()
        if not carried:
            self.leave("the evidence itself: it was delivered through another contract, and the calldata does not show it")
            return
        delivery = carried[0]
        require_same("the output in the calldata", digest, keccak256(delivery.output))
        policy = self.request[128:160]
        pieces = (policy[1] > 0) + bin(policy[2]).count("1")
        require_same("pieces of evidence", pieces, len(delivery.evidence))
        is_bls = policy[1] > 0 and delivery.evidence[0][0] == keccak256(b"affidavit.verifier.quorum-bls.v1")[:4]
        if is_bls:
            self._leave_bls_quorum(delivery, policy[1])
        signers = self._verify_quorum(delivery, digest, policy[1]) if policy[1] and not is_bls else []
        if policy[2]:
            self.leave("the proof in the evidence: that needs the model's files (`affidavit audit verify --model DIR`)")
        for record in self.of_kind("receipt")[-1:]:
            digests = ["0x" + keccak256(data).hex() for _, data in delivery.evidence]
            require_same(f"the evidence in record {record.place}", digests, record.get("audit.evidence_digests"))
            logged = record.get("audit.signers")
            require(isinstance(logged, list), f"record {record.place} names no signers")
            if is_bls:
                self.tell(f"the evidence is that of the receipt record {record.place}")
                continue
            require_same(f"the signers in record {record.place}", sorted(signers), sorted(address(a) for a in logged))
            self.tell(f"the evidence and its signers are those of the receipt record {record.place}")

    def _position(self, mined: Mined) -> int:
        """Which delivery of a batch was accepted for this request: the codes DELIVERED to DELIVERED_PENDING."""
        items = find_events(mined, self.coprocessor, "BatchItem(bytes32,uint8,bytes4)")
        accepted = [i for i, e in enumerate(items) if e.topics[1:] == [self.request_id] and abi_word(e.data, 0) in (1, 2, 3)]
        return accepted[0] if accepted else 0

    def _leave_bls_quorum(self, delivery: Carried, quorum: int) -> None:
        """An aggregated BLS signature: its form alone. The pairing is more than fits here; the contract made it."""
        data = delivery.evidence[0][1]
        indices = [str(i) for i in range(256) if int.from_bytes(data[:32], "big") >> i & 1]
        require(len(data) == 128 and len(indices) >= quorum, f"the evidence is not one BLS signature of {quorum} operators")
        self.tell(f"{quorum} signatures were demanded; the evidence is one BLS signature in the name of operators {', '.join(indices)}")
        self.leave("the BLS signature itself: the contract accepted it (step 7); `affidavit audit verify` computes it again")

    def _verify_quorum(self, delivery: Carried, digest: bytes, quorum: int) -> list[bytes]:
        """The signers."""
        selector, data = delivery.evidence[0]
        require_same("the verifier of the evidence", keccak256(b"affidavit.verifier.quorum-ecdsa.v1")[:4], selector)
        bitmap = int.from_bytes(data[:32], "big")
        indices = [i for i in range(256) if bitmap >> i & 1]
        require(len(data) == 32 + 65 * len(indices) and len(indices) >= quorum, f"the evidence does not have {quorum} signatures")
        claim = typed_digest(self.chain_id, self.coprocessor, keccak256(_CLAIM) + (self.request_id or b"") + self.request[64:128] + digest)
        signers = [recover_signer(claim, data[32 + 65 * k : 97 + 65 * k]) for k in range(len(indices))]
        operators = self._operators()
        for index, signer in zip(indices, signers):
            require(
                signer in operators.get(index, []), f"operator {index}'s signature in the evidence is by 0x{signer.hex()}, not by its key"
            )
        names = ", ".join(f"{i} 0x{s.hex()}" for i, s in zip(indices, signers))
        self.tell(f"{quorum} signatures were demanded; the delivered claim is signed by operators {names}")
        self.leave(
            "that these operators were registered then: the maker read that from a node (step 7 shows that the contract accepted them)"
        )
        return signers

    def _operators(self) -> dict[int, list[bytes]]:
        listed: dict[int, list[bytes]] = {}
        rows = self.manifest["operators"]
        require(isinstance(rows, list), "manifest.json: operators is malformed")
        for row in rows:
            require(
                isinstance(row, dict) and row.keys() == {"index", "signer"} and type(row["index"]) is int,
                "manifest.json: operators is malformed",
            )
            listed.setdefault(row["index"], []).append(hex_bytes(row["signer"], 20))
        return listed

    def _verify_receipt_records(self, mined: Mined, digest: bytes) -> None:
        receipts = self.of_kind("receipt")
        require(receipts, "the call was delivered, and has no receipt record")
        matching = [r for r in receipts if r.digest("audit.block_hash") == mined.block_hash]
        require(receipts[-1] in matching, f"record {receipts[-1].place} is the receipt of another block than the delivery's")
        results = [r for r in self.of_kind("result") if r.place < receipts[-1].place and r.digest("audit.output_digest") == digest]
        require(results, "no result record before the receipt has the delivered output")
        for record in matching:
            require_same(f"the transaction of record {record.place}", mined.transaction, record.digest("audit.transaction"))
            require_same(f"the block number of record {record.place}", mined.block_number, record.number("audit.block_number"))
            require_same(f"the output digest of record {record.place}", digest, record.digest("audit.output_digest"))
            require_same(f"the gas of record {record.place}", mined.gas_used, record.number("audit.gas_used"))
            require_same(f"the callback of record {record.place}", self._callback(mined), record.get("audit.callback"))
        self.tell(f"transaction, block, output, callback and gas are those of the receipt record {receipts[-1].place}")
        for record in receipts:
            if record not in matching:
                require_same(f"audit.finality of record {record.place}", "mined", record.get("audit.finality"))

    def _callback(self, mined: Mined) -> str:
        events = find_events(mined, self.coprocessor, "CallbackExecuted(bytes32,bool)", self.request_id or b"")
        return "none" if not events else "succeeded" if abi_word(events[-1].data, 0) else "failed"

    def _verify_replacement(self, digest: bytes) -> None:
        signature = "InferenceReplaced(bytes32,bytes32,bytes32,bytes,address[])"
        for mined in self.mined_as("replacement"):
            events = find_events(mined, self.coprocessor, signature, self.request_id or b"")
            require(len(events) == 1 and events[0].data[:32] == digest, "the replacement is not one of the delivered output")
            self.tell(f"a challenge replaced the answer by the output with digest 0x{events[0].data[32:64].hex()} in {self._block(mined)}")
        if not self.mined_as("replacement"):
            self.leave("whether a challenge replaced the answer later: that needs a node")


def _given_key(text: str, kinds: tuple[int, ...]) -> NoteKey:
    """A key that the reader gave. One that is none is not the bundle's fault."""
    try:
        key = parse_key(text)
        require(key.kind in kinds, "a verifier key is of another kind than is needed here")
    except Refuted as error:
        raise Unusable(f"{show(text[:60])} is no key that can be used here: {error}") from None
    return key


def _surplus(listed: object, files: dict[str, bytes]) -> str:
    """What is wrong with the list of files, in words."""
    names = {str(f.get("path")) for f in listed if isinstance(f, dict)} if isinstance(listed, list) else set()
    surplus, missing = sorted(set(files) - names - {"manifest.json"}), sorted(names - set(files))
    if surplus:
        return f"the file {show(surplus[0])} is not listed in manifest.json"
    return f"the file {show(missing[0])} is missing" if missing else "manifest.json does not list its files in order"


# ---- the command line ------------------------------------------------------------------------------------------------------------------
def main(arguments: Sequence[str] | None = None, write: Callable[[str], object] = sys.stdout.write) -> int:
    options = _parse(arguments)
    verification = None
    try:
        _require_cryptography()
        given = Given(
            options.vkey, options.anchor_key, tuple(options.block_hash), options.coprocessor, options.audit_anchor, tuple(options.witness)
        )
        verification = Verification(read_bundle(options.bundle), given)
        verification.run()
    except Refuted as error:
        _write_lines(write, verification)
        step = f"step {verification.at}, {STEPS[verification.at]}: " if verification is not None and verification.at else ""
        write(f"\nVERDICT: FALSE. {step}{error}\nDo not rely on this bundle. Ask for it again, and ask its maker for the reason.\n")
        return FALSE
    except (Unusable, OSError) as error:
        write(f"VERDICT: UNUSABLE. {show(error)}\nNothing can be said about what this bundle tells.\n")
        return UNUSABLE
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        _write_lines(write, verification)
        write(f"\nVERDICT: FALSE. the bundle is malformed ({type(error).__name__}: {show(error)})\n")
        return FALSE
    _write_lines(write, verification)
    _write_verdict(write, verification)
    return HOLDS


def _require_cryptography() -> None:
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError:
        raise Unusable("the Python package `cryptography` is needed: python3 -m pip install cryptography") from None


def _write_lines(write: Callable[[str], object], verification: Verification | None) -> None:
    for line in verification.lines() if verification is not None else []:
        write(line + "\n")


def _write_verdict(write: Callable[[str], object], verification: Verification) -> None:
    for remark in verification.manifest["remarks"]:
        write(f"The maker of the bundle says: {show(remark)}\n")
    write("\nVERDICT: HOLDS. Everything that could be checked here is true")
    if not verification.depends:
        write(", with the keys, blocks and contracts that you gave.\n")
    else:
        write(", provided that (compare these yourself):\n")
        for text in verification.depends:
            write(f"  * {text}\n")
    write("What was not checked is listed above.\n")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Verifies an evidence bundle, offline. What you know from elsewhere, and not from the bundle, you give as options.",
        epilog="Exit code: 0 holds, 2 false, 3 unusable.",
    )
    parser.add_argument(
        "bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="directory or .zip; default: where this is"
    )
    parser.add_argument("--vkey", help="the log's verifier key")
    parser.add_argument("--anchor-key", type=_address, metavar="ADDRESS", help="who signs the log's anchors")
    parser.add_argument(
        "--block-hash", type=_hash, action="append", default=[], metavar="HASH", help="a block of the chain; may be repeated"
    )
    parser.add_argument("--coprocessor", type=_address, metavar="ADDRESS", help="the Coprocessor contract")
    parser.add_argument("--audit-anchor", type=_address, metavar="ADDRESS", help="the AuditAnchor contract")
    parser.add_argument("--witness", action="append", default=[], metavar="VKEY", help="a witness that must have signed; may be repeated")
    try:
        return parser.parse_args(arguments)
    except SystemExit as error:
        raise SystemExit(UNUSABLE if error.code else HOLDS) from None


def _address(text: str) -> bytes:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise argparse.ArgumentTypeError("expected 0x and 40 hex digits")
    return bytes.fromhex(text[2:])


def _hash(text: str) -> bytes:
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("expected 0x and 64 hex digits")
    return bytes.fromhex(text[2:])


if __name__ == "__main__":
    raise SystemExit(main())
