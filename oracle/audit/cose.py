"""COSE receipts (RFC 9942): an inclusion or consistency proof under the log's signature, in one CBOR object that needs no note.

    18([ << {1: -8, 4: h'<key id>', 15: {1: "<origin>"}, 395: 1, -65537: <tree size>} >>,     protected, deterministic CBOR
         {396: {-1: [<< [tree size, leaf index, [hash, …]] >>]}},                             or {-2: [<< [size 1, size 2, [hash, …]] >>]}
         null,                                                                                the payload, the root, is detached
         h'<Ed25519 signature over ["Signature1", protected, h'', root]>' ])

395 (vds) 1 is RFC9162_SHA256, 396 (vdp) has the proofs: -1 inclusion, -2 consistency. 15 are CWT claims, of which 1 is the issuer. The
signature covers the root and the protected header alone, and many sizes have a proof of the same form; so the size is in the protected
header too, under a label of our own (−65537, private use), and must be the same. Whoever verifies by RFC 9942 alone ignores that label.

A receipt has one proof, at least one hash in it (the RFC's CDDL demands that: a tree of one entry has no receipt), and one encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oracle.audit.note import SignerKey, VerifierKey
from oracle.audit.tree import HASH_BYTES, MAX_SIZE, fold_consistency, fold_inclusion
from oracle.errors import InvariantBroken, ProofRejected

ALG, KID, CWT_CLAIMS, VDS, VDP = 1, 4, 15, 395, 396
TREE_SIZE = -65537
EDDSA, RFC9162_SHA256 = -8, 1
INCLUSION, CONSISTENCY = -1, -2
MAX_RECEIPT_BYTES = 1 << 14
MEDIA_TYPE = "application/cose"
_COSE_SIGN1 = b"\xd2"  # tag 18; read by hand, since the decoder makes immutable containers of what is in a tag
_ISSUER = 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """A parsed receipt, not verified. `numbers` are (tree size, leaf index) or (first size, second size)."""

    kind: int  # INCLUSION or CONSISTENCY
    origin: str
    key_id: bytes
    size: int  # of the tree whose root is signed
    numbers: tuple[int, int]
    path: tuple[bytes, ...]
    protected: bytes
    signature: bytes


# ---- making -------------------------------------------------------------------------------------------------------------------------
def make_inclusion_receipt(signer: SignerKey, leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bytes:
    """A receipt for entry `index` of the tree (size, root). Raises ProofRejected for a tree of one entry."""
    if fold_inclusion(leaf_hash, index, size, path) != root:
        raise InvariantBroken("a receipt is made of a proof that holds")
    return _make(signer, INCLUSION, size, [size, index, list(path)], root)


def make_consistency_receipt(signer: SignerKey, size1: int, root1: bytes, size2: int, root2: bytes, path: Sequence[bytes]) -> bytes:
    """A receipt that the tree (size2, root2) extends (size1, root1), 1 ≤ size1 < size2."""
    if fold_consistency(size1, size2, path, root1) != root2:
        raise InvariantBroken("a receipt is made of a proof that holds")
    return _make(signer, CONSISTENCY, size2, [size1, size2, list(path)], root2)


def _make(signer: SignerKey, kind: int, size: int, proof: list[Any], root: bytes) -> bytes:
    if not proof[2]:
        raise ProofRejected("receipt", "a proof of at least one hash (RFC 9942)", f"a tree of {size}")
    claims = {_ISSUER: signer.name}
    protected = _encode({ALG: EDDSA, KID: signer.verifier.key_id, CWT_CLAIMS: claims, VDS: RFC9162_SHA256, TREE_SIZE: size})
    signature = Ed25519PrivateKey.from_private_bytes(signer.seed).sign(_to_sign(protected, root))
    return _COSE_SIGN1 + _encode([protected, {VDP: {kind: [_encode(proof)]}}, None, signature])


def _to_sign(protected: bytes, root: bytes) -> bytes:
    """Sig_structure of RFC 9052 section 4.4, with the root as its detached payload."""
    return _encode(["Signature1", protected, b"", root])


def _encode(value: object) -> bytes:
    return bytes(cbor2.dumps(value, canonical=True))


# ---- verifying ----------------------------------------------------------------------------------------------------------------------
def verify_inclusion_receipt(data: bytes, leaf_hash: bytes, key: VerifierKey) -> Receipt:
    """The receipt, where it proves that the leaf is in a tree which the log signed. Raises ProofRejected."""
    receipt = _parse_of(data, INCLUSION, key)
    size, index = receipt.numbers
    _verify_signature(receipt, fold_inclusion(leaf_hash, index, size, receipt.path), key)
    return receipt


def verify_consistency_receipt(data: bytes, size1: int, root1: bytes, key: VerifierKey) -> Receipt:
    """The receipt, where it proves that a tree which the log signed extends the tree (size1, root1). Raises ProofRejected."""
    receipt = _parse_of(data, CONSISTENCY, key)
    if receipt.numbers[0] != size1:
        raise ProofRejected("receipt", f"a proof from size {size1}", f"one from {receipt.numbers[0]}")
    _verify_signature(receipt, fold_consistency(size1, receipt.numbers[1], receipt.path, root1), key)
    return receipt


def _parse_of(data: bytes, kind: int, key: VerifierKey) -> Receipt:
    receipt = parse_receipt(data)
    if receipt.kind != kind:
        raise ProofRejected("receipt", "an inclusion proof" if kind == INCLUSION else "a consistency proof", "the other")
    if (receipt.origin, receipt.key_id) != (key.name, key.key_id):
        raise ProofRejected("receipt", f"one by {key}", f"one by {ascii(receipt.origin)[:60]}+{receipt.key_id.hex()}")
    return receipt


def _verify_signature(receipt: Receipt, root: bytes, key: VerifierKey) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(receipt.signature, _to_sign(receipt.protected, root))
    except InvalidSignature as error:
        raise ProofRejected("receipt", f"a signature of the root {root.hex()} by {key}", "a false one") from error


def parse_receipt(data: bytes) -> Receipt:
    """Verifies nothing. Raises ProofRejected for anything that `_make` would not write."""
    if data[:1] != _COSE_SIGN1:
        raise ProofRejected("receipt", "the tag of COSE_Sign1", data[:1].hex() or "nothing")
    protected, unprotected, _payload, signature = _items(_decode(data[1:], "receipt"), "receipt", bytes, dict, type(None), bytes)
    kind, proof = _read_proofs(unprotected)
    header = _read_map(_decode(protected, "protected header"), "protected header", ALG, KID, CWT_CLAIMS, VDS, TREE_SIZE)
    if [(type(header[label]), header[label]) for label in (ALG, VDS)] != [(int, EDDSA), (int, RFC9162_SHA256)]:
        raise ProofRejected("protected header", "EdDSA and RFC9162_SHA256", f"{ascii(header[ALG])[:20]} and {ascii(header[VDS])[:20]}")
    origin, key_id = _read_map(header[CWT_CLAIMS], "claims", _ISSUER)[_ISSUER], header[KID]
    if not isinstance(origin, str) or not isinstance(key_id, bytes) or len(key_id) != 4 or len(signature) != 64:
        raise ProofRejected("receipt", "an issuer, a key id of 4 bytes and a signature of 64", "others")
    first, second, path = _items(_decode(proof, "proof"), "proof", int, int, list)
    size = first if kind == INCLUSION else second
    if type(header[TREE_SIZE]) is not int or header[TREE_SIZE] != size:
        raise ProofRejected("tree size of the proof", f"the signed one, {ascii(header[TREE_SIZE])[:30]}", size)
    if not 0 <= first <= MAX_SIZE or not 0 <= second <= MAX_SIZE:
        raise ProofRejected("proof", "sizes and index below 2^64", "others")
    return Receipt(kind, origin, key_id, size, (first, second), _read_path(path), protected, signature)


def _decode(data: bytes, what: str) -> Any:
    """One CBOR item in its deterministic encoding. Raises ProofRejected."""
    if len(data) > MAX_RECEIPT_BYTES:
        raise ProofRejected(what, f"at most {MAX_RECEIPT_BYTES} bytes", len(data))
    try:
        value = cbor2.loads(data)
        again = _encode(value)
    except Exception as error:  # the decoder, and what tags make of their content, raise what they like
        raise ProofRejected(what, "CBOR", f"{type(error).__name__}: {error}"[:80]) from error
    if again != data:
        raise ProofRejected(what, "the deterministic encoding of one item", "another")
    return value


def _items(value: object, what: str, *kinds: type) -> list[Any]:
    """An array of exactly these types; a boolean is no integer."""
    if not isinstance(value, list) or [type(item) for item in value] != list(kinds):
        raise ProofRejected(what, "[" + ", ".join(kind.__name__ for kind in kinds) + "]", ascii(value)[:60])
    return value


def _read_map(value: object, what: str, *labels: int) -> dict[Any, Any]:
    if type(value) is not dict or list(map(type, value)) != [int] * len(labels) or set(value) != set(labels):
        raise ProofRejected(what, f"a map of the labels {', '.join(map(str, labels))}", ascii(value)[:60])
    return value


def _read_proofs(unprotected: dict[Any, Any]) -> tuple[int, bytes]:
    proofs = _read_map(unprotected, "unprotected header", VDP)[VDP]
    kind = CONSISTENCY if isinstance(proofs, dict) and CONSISTENCY in proofs else INCLUSION
    [proof] = _items(_read_map(proofs, "proofs", kind)[kind], "proofs", bytes)
    return kind, proof


def _read_path(path: list[Any]) -> tuple[bytes, ...]:
    if not path or len(path) > 64 or any(type(step) is not bytes or len(step) != HASH_BYTES for step in path):
        raise ProofRejected("path", f"1 to 64 hashes of {HASH_BYTES} bytes", ascii(path)[:60])
    return tuple(path)
