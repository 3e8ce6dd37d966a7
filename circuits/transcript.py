"""The Fiat–Shamir transcript: one Keccak-256 state that every message of the prover enters before a challenge leaves.

    absorb      state ← keccak256(state ‖ 0x00 ‖ u32 length ‖ bytes)          big-endian
    challenge   state ← keccak256(state ‖ 0x01), read big-endian modulo r

The state starts as 32 zero bytes. Scalars are 32 bytes, points 96. A challenge is one value at most 3·2^-256 likely.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuits.digests import keccak256
from circuits.field import MODULUS, encode_scalar


class Transcript:
    """`label` names what is absorbed, for whoever reads or compares transcripts; the order of messages is fixed, so it is not hashed."""

    def __init__(self) -> None:
        self.state = bytes(32)

    def absorb(self, label: str, data: bytes) -> None:  # noqa: ARG002
        self.state = keccak256(self.state + b"\x00" + len(data).to_bytes(4, "big") + data)

    def absorb_scalars(self, label: str, scalars: Sequence[int]) -> None:
        self.absorb(label, b"".join(encode_scalar(s) for s in scalars))

    def absorb_points(self, label: str, points: Sequence[bytes]) -> None:
        self.absorb(label, b"".join(points))

    def draw(self) -> int:
        """A challenge in [0, r)."""
        self.state = keccak256(self.state + b"\x01")
        return int.from_bytes(self.state, "big") % MODULUS

    def draw_many(self, count: int) -> list[int]:
        return [self.draw() for _ in range(count)]
