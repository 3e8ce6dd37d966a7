"""A simulated enclave, for development: quotes with the shape of the real ones, signed by a root key that was made on this machine.

It proves nothing about what runs. Its reports say SIMULATED, its keys are marked on chain, and every policy refuses them that does not
name them, here (`Relaxation.SIMULATED` and the root's digest) and there (bit 2 of the policy's flags).

Quote, 233 bytes: magic (25) ‖ root public key (32) ‖ image (32) ‖ report_data (64) ‖ issued at (8) ‖ expires at (8) ‖ Ed25519 signature of
all before it (64). Times are POSIX seconds, big-endian.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oracle.attest.enclave.report import EnclavePolicy, EnclaveRejected, EnclaveReport, Platform, Reason, Relaxation, compute_measurement
from oracle.config import read_secret, write_secret
from oracle.encoding import keccak256
from oracle.errors import ConfigRejected, InvariantBroken
from oracle.records import Bytes32

MAGIC = b"AFFIDAVIT SIMULATED QUOTE"
REPORT_DATA_BYTES = 64
SIGNATURE_BYTES = 64
SIGNED_BYTES = len(MAGIC) + 32 + 32 + REPORT_DATA_BYTES + 8 + 8
QUOTE_BYTES = SIGNED_BYTES + SIGNATURE_BYTES


class SimulatedEnclave:
    """Makes quotes of any image. The root key never appears in its text form."""

    __slots__ = ("_root",)

    def __init__(self, root: Ed25519PrivateKey) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"SimulatedEnclave({self.root_digest.hex()})"

    @classmethod
    def generate(cls) -> SimulatedEnclave:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SimulatedEnclave:
        """The root key of a file that `save` wrote. Raises ConfigRejected."""
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(read_secret(path))))
        except ValueError:  # its text may quote the key
            raise ConfigRejected(f"simulated root {path}", "32 bytes in hex", "something else") from None

    def save(self, path: Path) -> None:
        """To a new file of mode 0600. Raises ConfigRejected where there is one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path, "simulated root", self._root.private_bytes_raw().hex() + "\n")

    @property
    def root_digest(self) -> Bytes32:
        """SHA-256 of the root's public key: what policies name it by."""
        return _digest_of(self._public)

    @property
    def _public(self) -> bytes:
        return self._root.public_key().public_bytes_raw()

    def quote(self, image: bytes, report_data: bytes, issued_at: int, expires_at: int) -> bytes:
        """A quote of the 32-byte image digest, bound to 64 bytes of `report_data`."""
        if (len(image), len(report_data)) != (32, REPORT_DATA_BYTES):
            raise InvariantBroken("a simulated quote is of 32 bytes of image and 64 of report_data")
        body = MAGIC + self._public + image + report_data + issued_at.to_bytes(8, "big") + expires_at.to_bytes(8, "big")
        return body + self._root.sign(body)


def is_quote(evidence: bytes) -> bool:
    return evidence.startswith(MAGIC)


def verify(evidence: bytes, now: int, policy: EnclavePolicy) -> EnclaveReport:
    """Raises EnclaveRejected; with reason SIMULATED unless the policy names simulated enclaves, and this one's root."""
    if not policy.allows(Relaxation.SIMULATED):
        raise EnclaveRejected(Reason.SIMULATED, "simulated quote", "a policy that names simulated enclaves", "one that does not")
    if len(evidence) != QUOTE_BYTES:
        raise EnclaveRejected(Reason.MALFORMED, "simulated quote", f"{QUOTE_BYTES} bytes", len(evidence))
    at = len(MAGIC)
    public, image, report_data = evidence[at : at + 32], evidence[at + 32 : at + 64], evidence[at + 64 : at + 128]
    if _digest_of(public) not in policy.simulated_roots:
        raise EnclaveRejected(Reason.ROOT, "root of the simulated quote", "one that the policy names", _digest_of(public).hex())
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(evidence[SIGNED_BYTES:], evidence[:SIGNED_BYTES])
    except (InvalidSignature, ValueError) as error:
        raise EnclaveRejected(Reason.SIGNATURE, "signature of the simulated quote", "one that its root made") from error
    issued_at, expires_at = (int.from_bytes(evidence[k : k + 8], "big") for k in (at + 128, at + 136))
    if not issued_at <= now < expires_at:
        raise EnclaveRejected(Reason.TIME, "simulated quote", f"a time from {issued_at} to before {expires_at}", now)
    measurements = (("image", image),)
    return EnclaveReport(
        platform=Platform.SIMULATED,
        measurements=measurements,
        measurement=compute_measurement(Platform.SIMULATED, measurements),
        report_data=report_data,
        tcb_status="Simulated",
        advisories=(),
        expires_at=expires_at,
        quote_digest=keccak256(evidence),
    )


def _digest_of(public: bytes) -> Bytes32:
    return Bytes32(hashlib.sha256(public).digest())
