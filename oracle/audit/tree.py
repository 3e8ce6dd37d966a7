"""The Merkle tree of RFC 6962 / RFC 9162 over SHA-256: roots, inclusion proofs, consistency proofs, and their verification.

The verifiers follow RFC 9162 section 2.1.3.2 and 2.1.4.2, except for two things a literal reading accepts and we refuse: an
inclusion in the empty tree, and a consistency proof from size 0. `contracts/src` verifies the same proofs; both are held to
`tests/vectors/log_proofs.json`.

Hashes are 32 bytes, indices count from 0, sizes are below 2^64. Proofs are lists of hashes from the leaf's side to the root's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache

from oracle.errors import InvariantBroken, ProofRejected
from oracle.records import Bytes32

HASH_BYTES = 32
MAX_SIZE = (1 << 64) - 1

SubtreeReader = Callable[[int, int], bytes]
"""(level, index) → hash of the complete subtree over the leaves index·2^level … (index+1)·2^level − 1."""


def sha256(data: bytes) -> Bytes32:
    """SHA-256 of `data`: the hash of the log's tree and of note key ids; everything else in this project uses Keccak-256."""
    return Bytes32(hashlib.sha256(data).digest())


EMPTY_ROOT = sha256(b"")


def hash_leaf(record: bytes) -> Bytes32:
    """RFC 6962: SHA-256(0x00 ‖ record)."""
    return sha256(b"\x00" + record)


def hash_children(left: bytes, right: bytes) -> Bytes32:
    """RFC 6962: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right)


# ---- verification -----------------------------------------------------------------------------------------------------------------
def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Returns when the leaf is number `index` of the tree of `size` leaves with this root. Raises ProofRejected otherwise."""
    _require_hash(root, "root")
    computed = fold_inclusion(leaf_hash, index, size, proof)
    if computed != root:
        raise ProofRejected("inclusion proof", f"the root {root.hex()}", computed.hex())


def fold_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes]) -> Bytes32:
    """The root that an inclusion proof leads to, to be held against a trusted one. Raises ProofRejected for a proof of another form."""
    _require_hash(leaf_hash, "leaf hash")
    _require_size(index, "index")
    _require_size(size, "tree size")
    _require_proof(proof)
    if index >= size:
        raise ProofRejected("inclusion proof", f"an index below the size {size}", index)
    inner = (index ^ (size - 1)).bit_length()  # below this height the path has siblings on both sides, above only on the left
    border = (index >> inner).bit_count()
    if len(proof) != inner + border:
        raise ProofRejected("inclusion proof", f"{inner + border} hashes", len(proof))
    computed = leaf_hash
    for height, sibling in enumerate(proof):
        is_right = height >= inner or index >> height & 1
        computed = hash_children(sibling, computed) if is_right else hash_children(computed, sibling)
    return Bytes32(computed)


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Returns when the tree (size2, root2) extends the tree (size1, root1). Raises ProofRejected otherwise.

    `size1` is at least 1: from an empty tree nothing can be proven, and a verifier that says yes to it says yes to everything.
    """
    _require_hash(root1, "first root")
    _require_hash(root2, "second root")
    _require_size(size1, "first size")
    _require_size(size2, "second size")
    _require_proof(proof)
    if not 1 <= size1 <= size2:
        raise ProofRejected("consistency proof", "sizes with 1 ≤ first ≤ second", f"{size1} and {size2}")
    if size1 == size2:
        if proof:
            raise ProofRejected("consistency proof", "0 hashes for equal sizes", len(proof))
        if root1 != root2:
            raise ProofRejected("consistency proof", f"equal roots for equal sizes, {root1.hex()}", root2.hex())
        return
    first, second = _fold_consistency(size1, size2, proof, root1)
    if first != root1:
        raise ProofRejected("consistency proof", f"the first root {root1.hex()}", first.hex())
    if second != root2:
        raise ProofRejected("consistency proof", f"the second root {root2.hex()}", second.hex())


def fold_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes) -> Bytes32:
    """The second root that a proof of consistency from (size1, root1) leads to, 1 ≤ size1 < size2. Raises ProofRejected."""
    _require_hash(root1, "first root")
    _require_size(size1, "first size")
    _require_size(size2, "second size")
    _require_proof(proof)
    if not 1 <= size1 < size2:
        raise ProofRejected("consistency proof", "sizes with 1 ≤ first < second", f"{size1} and {size2}")
    first, second = _fold_consistency(size1, size2, proof, root1)
    if first != root1:
        raise ProofRejected("consistency proof", f"the first root {root1.hex()}", first.hex())
    return Bytes32(second)


def _fold_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes) -> tuple[bytes, bytes]:
    shift = (size1 & -size1).bit_length() - 1  # height of the largest complete subtree that ends where the first tree ends
    path = list(proof) if size1 != 1 << shift else [root1, *proof]
    node, last = (size1 - 1) >> shift, (size2 - 1) >> shift
    inner = (node ^ last).bit_length()
    expected = 1 + inner + (node >> inner).bit_count()
    if len(path) != expected:
        raise ProofRejected("consistency proof", f"{expected - (len(path) - len(proof))} hashes", len(proof))
    first = second = path[0]
    for height, sibling in enumerate(path[1:]):
        if height >= inner or node >> height & 1:
            first, second = hash_children(sibling, first), hash_children(sibling, second)
        else:
            second = hash_children(second, sibling)
    return first, second


def _require_hash(value: object, what: str) -> None:
    if not isinstance(value, bytes) or len(value) != HASH_BYTES:
        raise ProofRejected(what, f"{HASH_BYTES} bytes", f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__)


def _require_size(value: object, what: str) -> None:
    if type(value) is not int or not 0 <= value <= MAX_SIZE:
        raise ProofRejected(what, "an integer in 0 … 2^64 - 1", repr(value)[:40])


def _require_proof(proof: object) -> None:
    if not isinstance(proof, list | tuple):
        raise ProofRejected("proof", "a list of hashes", type(proof).__name__)
    for number, sibling in enumerate(proof):
        _require_hash(sibling, f"proof hash {number}")


# ---- computation ------------------------------------------------------------------------------------------------------------------
def compute_subtree(start: int, end: int, read: SubtreeReader) -> bytes:
    """MTH(D[start:end]) of RFC 6962, for a `start` that is a multiple of the least power of two ≥ end − start, and end > start."""
    span = end - start
    if span & (span - 1) == 0:
        level = span.bit_length() - 1
        return read(level, start >> level)
    middle = start + _split(span)
    return hash_children(compute_subtree(start, middle, read), compute_subtree(middle, end, read))


def compute_root_from(size: int, read: SubtreeReader) -> Bytes32:
    """The root of the first `size` leaves, from the hashes of complete subtrees."""
    return Bytes32(compute_subtree(0, size, read)) if size else EMPTY_ROOT


def compute_inclusion_from(index: int, size: int, read: SubtreeReader) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962. Raises InvariantBroken unless 0 ≤ index < size."""
    if not 0 <= index < size:
        raise InvariantBroken(f"no inclusion proof for index {index} in a tree of {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(compute_subtree(middle, end, read))
            end = middle
        else:
            proof.append(compute_subtree(start, middle, read))
            start = middle
    return proof[::-1]


def compute_consistency_from(size1: int, size2: int, read: SubtreeReader) -> list[bytes]:
    """PROOF(size1, D[size2]) of RFC 6962. Raises InvariantBroken unless 1 ≤ size1 ≤ size2."""
    if not 1 <= size1 <= size2:
        raise InvariantBroken(f"no consistency proof from size {size1} to {size2}")
    proof: list[bytes] = []
    start, end = 0, size2
    while size1 != end:
        middle = start + _split(end - start)
        if size1 <= middle:
            proof.append(compute_subtree(middle, end, read))
            end = middle
        else:
            proof.append(compute_subtree(start, middle, read))
            start = middle
    if start:  # the first tree's last subtree is not the whole first tree: its hash is not known to the verifier
        proof.append(compute_subtree(start, end, read))
    return proof[::-1]


def read_leaves(leaf_hashes: Sequence[bytes]) -> SubtreeReader:
    """The complete subtrees over a list of leaf hashes, each computed once."""

    @cache
    def read(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hashes[index]
        return hash_children(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))

    return read


def compute_root(leaf_hashes: Sequence[bytes]) -> Bytes32:
    """The root over a list of leaf hashes."""
    return compute_root_from(len(leaf_hashes), read_leaves(leaf_hashes))


def compute_inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion proof of leaf `index` in the tree of all of them."""
    return compute_inclusion_from(index, len(leaf_hashes), read_leaves(leaf_hashes))


def compute_consistency_proof(leaf_hashes: Sequence[bytes], size1: int) -> list[bytes]:
    """The proof that the tree of all leaves extends the tree of the first `size1`."""
    return compute_consistency_from(size1, len(leaf_hashes), read_leaves(leaf_hashes))


def _split(span: int) -> int:
    """The largest power of two below `span`, for span ≥ 2."""
    return 1 << (span - 1).bit_length() - 1


class Frontier:
    """The complete subtrees on the right edge of a growing tree: one hash per one-bit of its size. Appends in amortised one hash."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  # largest subtree first

    @classmethod
    def of(cls, size: int, read: SubtreeReader) -> Frontier:
        """The frontier of the first `size` leaves."""
        frontier, start = cls(), 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                frontier._peaks.append(read(level, start >> level))
                start += 1 << level
        frontier.size = size
        return frontier

    def append(self, leaf_hash: bytes) -> None:
        computed, size = leaf_hash, self.size
        while size & 1:
            computed = hash_children(self._peaks.pop(), computed)
            size >>= 1
        self._peaks.append(computed)
        self.size += 1

    def root(self) -> Bytes32:
        if not self._peaks:
            return EMPTY_ROOT
        computed = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            computed = hash_children(peak, computed)
        return Bytes32(computed)
