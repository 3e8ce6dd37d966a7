"""The commitment key: powers of a secret τ on BLS12-381, from the Ethereum KZG ceremony.

The file ships inside eth-account (the one Ethereum clients load, EIP-4844): 4096 G1 points in Lagrange form, 65 G2
powers, 4096 G1 powers in monomial form, compressed, in hex. Its digest is pinned below, so `load_ceremony` checks the
digest alone; `check_powers` checks, from nothing, that a list of points really is the powers of one secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from circuits import engine
from circuits.digests import keccak256, to_hex
from circuits.errors import CircuitError, InvariantBroken
from circuits.field import MODULUS

CEREMONY_DIGEST = "0xb23fbbc568c24b065114ac70510ac3db7104aa7d2df2801912aef0eaff9a9934"
CEREMONY_PATH = "typed_transactions/blob_transactions/kzg_trusted_setup.txt"
CHECK_TAG = b"affidavit/setup-check/1"


class SetupError(CircuitError):
    """Theirs: points that are not the powers of one secret, or a file that is not the ceremony's."""


@dataclass(frozen=True, eq=False)
class Setup:
    """`points[i]` is τ^i on G1, 96 bytes; their number, a power of two, is the length of a chunk, and must be all that exist.

    A longer list in anybody's hands would let the degree of a chunk grow, and with it the opening say anything.
    """

    points: tuple[bytes, ...]
    tau_g2: G2Point

    def __post_init__(self) -> None:
        if len(self.points) != self.chunk_length:
            raise InvariantBroken(f"{len(self.points)} powers are not a power of two")

    @property
    def chunk_bits(self) -> int:
        return len(self.points).bit_length() - 1

    @property
    def chunk_length(self) -> int:
        return 1 << self.chunk_bits

    @cached_property
    def powers(self) -> engine.Powers:
        """The points with their precomputed multiples: what a prover commits with. A verifier never needs it."""
        return engine.Powers(self.points)

    def is_evaluation(self, commitment: bytes, z: int, y: int, quotient: bytes) -> bool:
        """Whether the committed polynomial takes y at z: e(C − y + z·Q, 1) = e(Q, τ), as precompile 0x0A (EIP-4844) decides."""
        left = G1Point.from_xy_bytes_unchecked_be(engine.combine([commitment, self.points[0], quotient], [1, -y, z]))
        right = G1Point.from_xy_bytes_unchecked_be(quotient)
        return GT.pairing_check([left, -right], [G2Point(), self.tau_g2])


@cache
def load_ceremony() -> Setup:
    """The 4096 powers of the Ethereum ceremony. Raises SetupError if the installed file is not the pinned one."""
    content = find_ceremony_file().read_bytes()
    digest = to_hex(keccak256(content))
    if digest != CEREMONY_DIGEST:
        raise SetupError("the KZG ceremony file", CEREMONY_DIGEST, digest)
    powers, g2_powers = parse_powers(content)
    # The digest vouches for the points: their order was checked when it was written down, and `check_powers` repeats it.
    return Setup(tuple(engine.decompress_points(powers, False)), G2Point.from_compressed_bytes_unchecked(g2_powers[1]))


def find_ceremony_file() -> Path:
    """Where eth-account keeps it; the package itself is not imported."""
    spec = find_spec("eth_account")
    if spec is None or spec.origin is None:
        raise InvariantBroken("eth-account is a dependency and is not installed")
    return Path(spec.origin).parent / CEREMONY_PATH


def parse_powers(content: bytes) -> tuple[list[bytes], list[bytes]]:
    """Compressed G1 and G2 powers in monomial form. Raises SetupError on another layout."""
    words = content.split()
    try:
        count_g1, count_g2 = int(words[0]), int(words[1])
        points = [bytes.fromhex(word.decode("ascii")) for word in words[2:]]
    except (ValueError, IndexError) as error:
        raise SetupError("the setup file", "two counts and points in hex") from error
    if min(count_g1, count_g2) < 2 or len(points) != 2 * count_g1 + count_g2:
        raise SetupError("the setup file", f"2·{count_g1} + {count_g2} points", len(points))
    return points[count_g1 + count_g2 :], points[count_g1 : count_g1 + count_g2]


def check_powers(g1_powers: Sequence[bytes], g2_powers: Sequence[bytes]) -> None:
    """Raise SetupError unless the points are τ^i on both groups, for one τ ≠ 0.

    Every point is decompressed with its subgroup check. Then, for coefficients r_i drawn from the hash of all points,
    e(Σ r_i·P_{i+1}, Q_0) = e(Σ r_i·P_i, Q_1) and e(P_0, Σ r_i·Q_{i+1}) = e(P_1, Σ r_i·Q_i): wrong powers pass with
    probability about 2^-250.
    """
    try:
        p = [G1Point.from_compressed_bytes(point) for point in g1_powers]
        q = [G2Point.from_compressed_bytes(point) for point in g2_powers]
    except ValueError as error:
        raise SetupError("a point of the setup", "one of the prime-order group") from error
    if len(p) < 2 or len(q) < 2 or p[0] != G1Point() or q[0] != G2Point() or p[1] == G1Point.identity():
        raise SetupError("the setup", "powers beginning with the generators, of a secret that is not 0")
    r = _draw_coefficients(b"".join([*g1_powers, *g2_powers]), max(len(p), len(q)))
    shifted, plain = (G1Point.multiexp_unchecked(part, r[: len(p) - 1]) for part in (p[1:], p[:-1]))
    if not GT.pairing_check([shifted, -plain], [q[0], q[1]]):
        raise SetupError("the G1 points of the setup", "the powers of the secret of the G2 points")
    shifted_g2, plain_g2 = (G2Point.multiexp_unchecked(part, r[: len(q) - 1]) for part in (q[1:], q[:-1]))
    if not GT.pairing_check([p[0], -p[1]], [shifted_g2, plain_g2]):
        raise SetupError("the G2 points of the setup", "the powers of the secret of the G1 points")


def _draw_coefficients(content: bytes, count: int) -> list[Scalar]:
    seed = keccak256(CHECK_TAG + content)
    return [Scalar(int.from_bytes(keccak256(seed + i.to_bytes(4, "big")), "big") % MODULUS) for i in range(count)]
