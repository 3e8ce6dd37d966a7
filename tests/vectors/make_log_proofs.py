"""Makes log_proofs.json: RFC 6962 proofs, true ones and every near miss by name, for Python and Solidity.

Computed by the naive twin, not by the code under test. Entry i of the tree is the byte i. Fields:

    inclusion:    name, valid, leafHash, index, size, proof (leaf's side first), root
    consistency:  name, valid, size1, size2, proof, root1, root2

All hashes are 32 bytes. `python -m tests.vectors.make_log_proofs` writes the file.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.twins.naive_tree import path, proof, tree_hash

OUT = Path(__file__).with_name("log_proofs.json")
SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 33]


def entries(n: int) -> list[bytes]:
    return [bytes([i]) for i in range(n)]


def hexed(hashes: list[bytes]) -> list[str]:
    return ["0x" + h.hex() for h in hashes]


def leaf(i: int) -> bytes:
    return sha256(b"\x00" + bytes([i])).digest()


def inclusion(name: str, valid: bool, leaf_hash: bytes, index: int, size: int, hashes: list[bytes], root: bytes) -> dict[str, Any]:
    fields = {"name": name, "valid": valid, "leafHash": hexed([leaf_hash])[0], "index": index, "size": size}
    return fields | {"proof": hexed(hashes), "root": hexed([root])[0]}


def consistency(name: str, valid: bool, size1: int, size2: int, hashes: list[bytes], root1: bytes, root2: bytes) -> dict[str, Any]:
    fields = {"name": name, "valid": valid, "size1": size1, "size2": size2, "proof": hexed(hashes)}
    return fields | {"root1": hexed([root1])[0], "root2": hexed([root2])[0]}


def flip(h: bytes) -> bytes:
    return bytes([h[0] ^ 1]) + h[1:]


def near_misses(hashes: list[bytes]) -> dict[str, list[bytes]]:
    """Proofs near a true one, by name."""
    made = {"too-long": [*hashes, bytes(32)], "too-long-in-front": [bytes(32), *hashes]}
    if hashes:
        made |= {"cut-at-the-end": hashes[:-1], "cut-at-the-front": hashes[1:], "last-repeated": [*hashes, hashes[-1]]}
        made |= {f"bit-flipped-in-{i}": [*hashes[:i], flip(h), *hashes[i + 1 :]] for i, h in enumerate(hashes)}
    if len(hashes) > 1:
        made["reversed"] = hashes[::-1]
    return {name: changed for name, changed in made.items() if changed != hashes}


def inclusions() -> list[dict[str, Any]]:
    made = []
    for size in SIZES:
        for index in range(size):
            made.append(
                inclusion(f"{index}-of-{size}", True, leaf(index), index, size, path(index, entries(size)), tree_hash(entries(size)))
            )
    for index, size in ((0, 1), (2, 7), (6, 7), (12, 13)):
        hashes, root, name = path(index, entries(size)), tree_hash(entries(size)), f"{index}-of-{size}"
        for miss, changed in near_misses(hashes).items():
            made.append(inclusion(f"{name}-{miss}", False, leaf(index), index, size, changed, root))
        made.append(inclusion(f"{name}-index-beyond", False, leaf(index), size, size, hashes, root))
        made.append(inclusion(f"{name}-size-larger", False, leaf(index), index, 2 * size + 1, hashes, root))
        made.append(inclusion(f"{name}-leaf-flipped", False, flip(leaf(index)), index, size, hashes, root))
        made.append(inclusion(f"{name}-root-flipped", False, leaf(index), index, size, hashes, flip(root)))
        if size > 1:
            made.append(inclusion(f"{name}-other-index", False, leaf(index), index ^ 1 if index ^ 1 < size else 0, size, hashes, root))
    empty = tree_hash([])
    made.append(inclusion("empty-leaf-in-empty-tree", False, empty, 0, 0, [], empty))
    made.append(inclusion("root-of-one-as-leaf-of-empty-tree", False, leaf(0), 0, 0, [], leaf(0)))
    return made


def consistencies() -> list[dict[str, Any]]:
    made = []
    for size2 in SIZES:
        for size1 in range(1, size2 + 1):
            root1, root2 = tree_hash(entries(size1)), tree_hash(entries(size2))
            made.append(consistency(f"{size1}-to-{size2}", True, size1, size2, proof(size1, entries(size2)), root1, root2))
    for size1, size2 in ((1, 2), (3, 7), (4, 7), (6, 8), (7, 7), (8, 13)):
        hashes, name = proof(size1, entries(size2)), f"{size1}-to-{size2}"
        root1, root2 = tree_hash(entries(size1)), tree_hash(entries(size2))
        for miss, changed in near_misses(hashes).items():
            made.append(consistency(f"{name}-{miss}", False, size1, size2, changed, root1, root2))
        made.append(consistency(f"{name}-first-root-flipped", False, size1, size2, hashes, flip(root1), root2))
        made.append(consistency(f"{name}-second-root-flipped", False, size1, size2, hashes, root1, flip(root2)))
        made.append(consistency(f"{name}-sizes-swapped", False, size2 + 1, size1, hashes, root2, root1))
        if size1 < size2:
            made.append(consistency(f"{name}-no-proof", False, size1, size2, [], root1, root2))
            forked = [*entries(size1)[:-1], b"fork", *entries(size2)[size1:]]
            made.append(consistency(f"{name}-forked", False, size1, size2, proof(size1, forked), root1, tree_hash(forked)))
    empty = tree_hash([])
    made.append(consistency("0-to-7", False, 0, 7, [], empty, tree_hash(entries(7))))
    made.append(consistency("0-to-7-with-the-root", False, 0, 7, [tree_hash(entries(7))], empty, tree_hash(entries(7))))
    made.append(consistency("0-to-0", False, 0, 0, [], empty, empty))
    made.append(consistency("equal-sizes-other-roots", False, 7, 7, [], tree_hash(entries(7)), flip(tree_hash(entries(7)))))
    unique = {v["name"]: v for v in made}
    assert len(unique) == len(made), "every vector has a name of its own"
    return made


def make_vectors() -> dict[str, Any]:
    about = "RFC 6962 proofs over entries 0x00, 0x01, …; made by tests/vectors/make_log_proofs.py"
    return {"about": about, "consistency": consistencies(), "inclusion": inclusions()}


if __name__ == "__main__":
    OUT.write_text(json.dumps(make_vectors(), indent=1) + "\n")
