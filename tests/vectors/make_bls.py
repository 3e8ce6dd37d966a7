"""Makes bls.json: what Python and Solidity must both compute of BLS signatures, from py_ecc alone, which is slow and meant to be read.

Deterministic: secrets are hashes of their index (test keys, worthless), messages come from a fixed seed. Signatures lie in G1 and keys in
G2, which py_ecc's own ciphersuites do the other way round, so that they are put together here from its curve, its pairing and its hashing.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from py_ecc.bls.hash_to_curve import hash_to_G1
from py_ecc.optimized_bls12_381 import (
    FQ2,
    G2,
    add,
    b,
    b2,
    curve_order,
    field_modulus,
    is_inf,
    is_on_curve,
    multiply,
    neg,
    normalize,
    pairing,
)

OUT = Path(__file__).with_name("bls.json")
CLAIM_TAG = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_TAG = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
RFC_TAG = b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
RFC_MESSAGES = [b"", b"abc", b"abcdef0123456789", b"q128_" + b"q" * 128, b"a512_" + b"a" * 512]
KEYS = 6
rng = random.Random(9380)


def secret(i: int) -> int:
    return int.from_bytes(keccak(b"affidavit test BLS key" + i.to_bytes(4, "big")), "big") % curve_order


def hex_of(data: bytes) -> str:
    return "0x" + data.hex()


def g1_bytes(point: Any) -> bytes:
    x, y = normalize(point)
    return b"".join(int(v).to_bytes(48, "big") for v in (x, y))


def g2_bytes(point: Any) -> bytes:
    """EIP-2537."""
    return b"".join(int(v).to_bytes(64, "big") for coordinate in normalize(point) for v in coordinate.coeffs)


def hashed(message: bytes, tag: bytes) -> Any:
    return hash_to_G1(message, tag, hashlib.sha256)


def sign(i: int, message: bytes, tag: bytes) -> Any:
    return multiply(hashed(message, tag), secret(i))


def require_signed(key: Any, message: bytes, tag: bytes, signature: Any) -> None:
    assert pairing(G2, signature) == pairing(key, hashed(message, tag))


def total(points: list[Any]) -> Any:
    result = points[0]
    for point in points[1:]:
        result = add(result, point)
    return result


def possession(operator: str, key: bytes, chain: int, contract: str) -> bytes:
    """The EIP-712 digest as eth_account understands it."""
    domain = {"name": "Affidavit BLS Keys", "version": "1", "chainId": chain, "verifyingContract": contract}
    types = {"BlsPossession": [{"name": "operator", "type": "address"}, {"name": "key", "type": "bytes32"}]}
    message = {"operator": operator, "key": keccak(key)}
    signable = encode_typed_data(domain_data=domain, message_types=types, message_data=message)
    return bytes(keccak(b"\x19" + signable.version + signable.header + signable.body))


def keys() -> list[dict[str, Any]]:
    rows = []
    for i in range(KEYS):
        point = multiply(G2, secret(i))
        chain, contract, operator = (
            [1, 31337, 2**63 - 1][i % 3],
            to_checksum_address(rng.randbytes(20)),
            to_checksum_address(rng.randbytes(20)),
        )
        digest = possession(operator, g2_bytes(point), chain, contract)
        proof = sign(i, digest, POSSESSION_TAG)
        require_signed(point, digest, POSSESSION_TAG, proof)
        rows.append(
            {
                "secret": hex_of(secret(i).to_bytes(32, "big")),
                "key": hex_of(g2_bytes(point)),
                "chainId": str(chain),
                "contract": contract,
                "operator": operator,
                "possessionDigest": hex_of(digest),
                "possession": hex_of(g1_bytes(proof)),
            }
        )
    return rows


def aggregates() -> list[dict[str, Any]]:
    rows = []
    for signers in ([0], [0, 1], [5], [1, 3, 4], [0, 1, 2, 3, 4, 5]):
        digest = rng.randbytes(32)
        signatures = [sign(i, digest, CLAIM_TAG) for i in signers]
        key = total([multiply(G2, secret(i)) for i in signers])
        require_signed(key, digest, CLAIM_TAG, total(signatures))
        rows.append(
            {
                "signers": signers,
                "digest": hex_of(digest),
                "hash": hex_of(g1_bytes(hashed(digest, CLAIM_TAG))),
                "signatures": [hex_of(g1_bytes(s)) for s in signatures],
                "sumOfKeys": hex_of(g2_bytes(key)),
                "signature": hex_of(g1_bytes(total(signatures))),
            }
        )
    return rows


def g1_outside() -> bytes:
    """The first point of the curve of G1 that is not of the group."""
    for x in range(1, 100):
        square = (x**3 + 4) % field_modulus
        y = pow(square, (field_modulus + 1) // 4, field_modulus)
        if y * y % field_modulus == square:
            return x.to_bytes(48, "big") + y.to_bytes(48, "big")
    raise AssertionError("no point")


def g2_outside() -> bytes:
    """A point of the curve of G2 that is not of the group: x = (n, 1), with a square root in the extension field (p² = 9 mod 16)."""
    for n in range(1, 100):
        x = FQ2([n, 1])
        square = x * x * x + b2
        for y in roots(square):
            point = (x, y, FQ2.one())
            assert is_on_curve(point, b2)
            if not is_inf(multiply(point, curve_order)):
                return g2_bytes(point)
    raise AssertionError("no point")


def roots(square: FQ2) -> list[FQ2]:
    """Square roots by the norm: for a + bi with norm c², x² = (a ± c)/2 and y = b/2x."""
    p = field_modulus
    a, imaginary = (int(v) for v in square.coeffs)
    c = pow(a * a + imaginary * imaginary, (p + 1) // 4, p)
    for half in ((a + c) * pow(2, -1, p) % p, (a - c) * pow(2, -1, p) % p):
        x = pow(half, (p + 1) // 4, p)
        if x and x * x % p == half:
            root = FQ2([x, imaginary * pow(2 * x, -1, p) % p])
            if root * root == square:
                return [root]
    return []


def main() -> None:
    outside = g1_outside()
    point = (type(b)(int.from_bytes(outside[:48], "big")), type(b)(int.from_bytes(outside[48:], "big")), type(b).one())
    assert is_on_curve(point, b)
    assert not is_inf(multiply(point, curve_order))
    document = {
        "claimTag": CLAIM_TAG.decode(),
        "possessionTag": POSSESSION_TAG.decode(),
        "rfc9380": [{"message": m.decode(), "point": hex_of(g1_bytes(hashed(m, RFC_TAG)))} for m in RFC_MESSAGES],
        "keys": keys(),
        "aggregates": aggregates(),
        "minusGenerator": hex_of(g2_bytes(neg(G2))),
        "signatureOutsideTheGroup": hex_of(outside),
        "keyOutsideTheGroup": hex_of(g2_outside()),
    }
    OUT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
