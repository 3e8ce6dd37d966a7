"""Digests of a canonical model: Keccak-256 (the Ethereum hash, not SHA3-256), and the model id as an EIP-712 struct hash."""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils.crypto import keccak

KIND_CANONICAL = 1
MODEL_TYPE = "Model(uint8 kind,bytes32 manifest,bytes32 circuit,bytes32[] parameters)"


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 digest of `data`."""
    return bytes(keccak(data))


def to_hex(digest: bytes) -> str:
    """Lower-case hex with "0x"."""
    return "0x" + digest.hex()


def compute_model_id(manifest: bytes, circuit: bytes, parameters: Sequence[bytes]) -> bytes:
    """32 bytes: EIP-712 hashStruct of Model(kind = 1, keccak256(manifest.json), keccak256(circuit.bin), parameters).

    `parameters`: the digests of the parts of the commitments (circuits/committed.py).
    """
    words = [
        keccak256(MODEL_TYPE.encode()),
        KIND_CANONICAL.to_bytes(32, "big"),
        keccak256(manifest),
        keccak256(circuit),
        keccak256(b"".join(parameters)),
    ]
    return keccak256(b"".join(words))
