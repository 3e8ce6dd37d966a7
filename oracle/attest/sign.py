"""Signing a claim, and recovering who signed: secp256k1 ECDSA over the EIP-712 digest of `InferenceClaim`.

A signature is 65 bytes r‖s‖v with s in the lower half of the group order (EIP-2) and v 27 or 28, so each signer has one encoding of a
signature; every other form is refused here as it is by `QuorumVerifier`.
"""

from __future__ import annotations

from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from oracle.encoding import claim_preimage, claim_typed_data, keccak256
from oracle.errors import InvariantBroken
from oracle.records import Address, Bytes32, Claim, Domain, SignedClaim
from oracle.seams import PreimageSigner, Show, Shown
from oracle.signatures import recover_signer


class AccountSigner:
    """`oracle.seams.Signer` on a key in memory. The key never appears in its text form."""

    __slots__ = ("_account",)

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    def __repr__(self) -> str:
        return f"AccountSigner({self.address})"

    @property
    def address(self) -> Address:
        return Address(self._account.address)

    def sign_digest(self, digest: Bytes32) -> bytes:
        """65 bytes r‖s‖v, deterministic (RFC 6979), low s, v 27 or 28."""
        if len(digest) != 32:
            raise InvariantBroken(f"a digest has 32 bytes, not {len(digest)}")
        return bytes(self._account.unsafe_sign_hash(Hash32(digest)).signature)

    def sign_preimage(self, preimage: bytes, show: Show | None = None) -> bytes:  # noqa: ARG002, it hashes what it is given
        """As `sign_digest`, over keccak256(preimage)."""
        return self.sign_digest(keccak256(preimage))


def sign_claim(claim: Claim, output: bytes, domain: Domain, signer: PreimageSigner) -> SignedClaim:
    """`claim` signed for `domain`, with the output it is about. The caller holds the guard against signing two outputs.

    The signature is recovered again before it is returned: a signer that gives something else is broken.
    """
    if keccak256(output) != claim.output_digest:
        raise InvariantBroken("the output to sign for is not the one the claim is about")
    preimage = claim_preimage(claim, domain)
    signature = signer.sign_preimage(preimage, lambda: Shown(typed_data=claim_typed_data(claim, domain)))
    if recover_signer(keccak256(preimage), signature) != signer.address:
        raise InvariantBroken(f"signer {signer.address} made a signature that recovers to another address")
    return SignedClaim(claim, output, signer.address, signature)
