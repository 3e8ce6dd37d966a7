"""BLS signatures over BLS12-381: one operator's part of an aggregated quorum. The only module that imports the curve's library.

Ciphersuite BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_ of draft-irtf-cfrg-bls-signature (proof of possession, minimal signature size):
signatures in G1, keys in G2, messages hashed to G1 as RFC 9380 says. What is signed is the 32-byte digest that ECDSA signs, too.
`contracts/src/libraries/Bls.sol` does the same; `tests/vectors/bls.json`, made with py_ecc, holds what both must give.

A signature is 96 bytes x‖y. A key is 256 bytes, as EIP-2537 encodes a point of G2: x.c0‖x.c1‖y.c0‖y.c1, each behind 16 zero bytes.
Points are checked to be of the curve and of the prime-order group wherever they come from bytes; infinity is neither key nor signature.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import lru_cache

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from oracle.encoding import BLS_KEY_BYTES, BLS_SIGNATURE_BYTES
from oracle.errors import EvidenceRejected, InvariantBroken
from oracle.records import Bytes32

CLAIM_TAG = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_TAG = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
SECRET_BYTES = 32

_COORDINATE_BYTES = 48
_PADDING = bytes(16)
_MINUS_GENERATOR = -G2Point()
_KEYS_KEPT = 512
"""Parsed keys: checking one costs more than adding hundreds."""


class BlsSigner:
    """A secret key in memory, and its public one. The secret never appears in its text form."""

    __slots__ = ("_secret", "key")

    def __init__(self, secret: int) -> None:
        if not 0 < secret < ORDER:
            raise InvariantBroken("a BLS secret lies between 1 and the group's order")
        self._secret = Scalar(secret)
        self.key = _write_key(G2Point() * self._secret)

    def __repr__(self) -> str:
        return f"BlsSigner({self.key[16:24].hex()}…)"

    @classmethod
    def generate(cls) -> BlsSigner:
        """A new key, uniform among all."""
        return cls(1 + secrets.randbelow(ORDER - 1))

    def to_secret(self) -> bytes:
        """32 bytes, big-endian. For keystores alone."""
        return self._secret.to_be_bytes()

    def sign_digest(self, digest: Bytes32) -> bytes:
        """The 96-byte signature of a claim's digest; there is one for each key and digest."""
        return self._sign(digest, CLAIM_TAG)

    def prove_possession(self, digest: Bytes32) -> bytes:
        """The same under the tag of proofs of possession, so that neither can stand for the other."""
        return self._sign(digest, POSSESSION_TAG)

    def _sign(self, digest: Bytes32, tag: bytes) -> bytes:
        if len(digest) != 32:
            raise InvariantBroken(f"a digest has 32 bytes, not {len(digest)}")
        return bytes((G1Point.hash_to_curve(digest, tag) * self._secret).to_xy_bytes_be())


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """The sum of signatures of one digest: 96 bytes. Raises EvidenceRejected for one that is none, InvariantBroken without any."""
    if not signatures:
        raise InvariantBroken("nothing to aggregate")
    total = _read_signature(signatures[0])
    for signature in signatures[1:]:
        total = total + _read_signature(signature)
    return bytes(total.to_xy_bytes_be())


def verify_aggregate(keys: Sequence[bytes], digest: Bytes32, signature: bytes) -> None:
    """Returns where all `keys` signed `digest`, as a claim, and `signature` is the sum; raises EvidenceRejected.

    Only for keys whose possession was proven (the contract BlsKeys asks for it): others can be chosen to cancel each other.
    """
    if not keys:
        raise EvidenceRejected("BLS signature", "at least one key", "none")
    total = _read_key(keys[0])
    for key in keys[1:]:
        total = total + _read_key(key)
    _verify(total, digest, CLAIM_TAG, signature)


def verify_possession(key: bytes, digest: Bytes32, signature: bytes) -> None:
    """Returns where `signature` proves that its maker has the key. Raises EvidenceRejected."""
    _verify(_read_key(key), digest, POSSESSION_TAG, signature)


def _verify(key: G2Point, digest: Bytes32, tag: bytes, signature: bytes) -> None:
    """e(signature, −[1]_2)·e(hash, key) = 1."""
    points = [_read_signature(signature), G1Point.hash_to_curve(digest, tag)]
    if not GT.pairing_check(points, [_MINUS_GENERATOR, key]):
        raise EvidenceRejected("BLS signature", "one by these keys", "another")


def _read_signature(data: bytes) -> G1Point:
    if len(data) != BLS_SIGNATURE_BYTES:
        raise EvidenceRejected("BLS signature", f"{BLS_SIGNATURE_BYTES} bytes", f"{len(data)} bytes")
    if not any(data):
        raise EvidenceRejected("BLS signature", "a finite point", "infinity")
    try:
        return G1Point.from_xy_bytes_be(data)
    except ValueError as error:
        raise EvidenceRejected("BLS signature", "a point of the prime-order group of G1", str(error)[:80]) from error


@lru_cache(maxsize=_KEYS_KEPT)
def _read_key(data: bytes) -> G2Point:
    if len(data) != BLS_KEY_BYTES:
        raise EvidenceRejected("BLS key", f"{BLS_KEY_BYTES} bytes", f"{len(data)} bytes")
    words = [data[at : at + 64] for at in range(0, BLS_KEY_BYTES, 64)]
    if not all(word.startswith(_PADDING) for word in words):
        raise EvidenceRejected("BLS key", "16 zero bytes before each coordinate", "others")
    if not any(data):
        raise EvidenceRejected("BLS key", "a finite point", "infinity")
    try:
        return G2Point.from_xy_bytes_be(b"".join(word[16:] for word in words))
    except ValueError as error:
        raise EvidenceRejected("BLS key", "a point of the prime-order group of G2", str(error)[:80]) from error


def _write_key(point: G2Point) -> bytes:
    data = bytes(point.to_xy_bytes_be())
    return b"".join(_PADDING + data[at : at + _COORDINATE_BYTES] for at in range(0, len(data), _COORDINATE_BYTES))
