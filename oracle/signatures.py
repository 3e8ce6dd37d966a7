"""Whose signature: secp256k1 public key recovery over 32-byte digests, with one accepted encoding (SEC 1 section 4.1.6, EIP-2)."""

from __future__ import annotations

from functools import lru_cache

from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from oracle.encoding import SIGNATURE_BYTES
from oracle.errors import ClaimRejected
from oracle.records import Address, Bytes32

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@lru_cache(maxsize=4096)
def recover_signer(digest: Bytes32, signature: bytes) -> Address:
    """The address whose key made `signature` over a 32-byte digest. Raises ClaimRejected for every encoding but the canonical one.

    What was recovered is kept for a while: the same claims are looked at when they come, when they agree, and when they were delivered.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise ClaimRejected("signature", f"{SIGNATURE_BYTES} bytes", f"{len(signature)} bytes")
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v not in (27, 28):
        raise ClaimRejected("signature v", "27 or 28", v)
    if not 0 < r < SECP256K1_ORDER:
        raise ClaimRejected("signature r", "a value between 1 and the group order", "one outside")
    if not 0 < s <= SECP256K1_ORDER // 2:
        raise ClaimRejected("signature s", "a value in the lower half of the group order", "one outside")
    try:
        public = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError) as error:
        raise ClaimRejected("signature", "one that some key made", str(error)) from error
    return Address(public.to_checksum_address())
