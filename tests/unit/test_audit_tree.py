"""The tree's edges, by name, and the vectors that Solidity is held to as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oracle.audit import tree
from oracle.errors import ProofRejected

LEAVES = [bytes(tree.hash_leaf(bytes([i]))) for i in range(7)]
ROOT = tree.compute_root(LEAVES)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "log_proofs.json").read_text())


def test_rfc_6962_known_answers() -> None:
    """From the certificate-transparency reference tests: entries "", 00, 10, 2021, 3031, 40414243, …"""
    texts = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    leaves = [tree.hash_leaf(bytes.fromhex(t)) for t in texts]
    assert tree.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaves[0].hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree.compute_root(leaves[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert tree.compute_root(leaves[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert tree.compute_root(leaves[:7]).hex() == "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"
    assert tree.compute_root(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def rejected(what: str, *arguments: Any, consistency: bool = False) -> None:
    with pytest.raises(ProofRejected, match=what):
        (tree.verify_consistency if consistency else tree.verify_inclusion)(*arguments)


def test_empty_leaf_in_the_empty_tree_is_refused() -> None:
    """A literal reading of RFC 9162 section 2.1.3.2 may accept the first; no reading of ours does."""
    rejected("index below the size", tree.EMPTY_ROOT, 0, 0, [], tree.EMPTY_ROOT)
    rejected("leaf hash", b"", 0, 0, [], tree.EMPTY_ROOT)


def test_consistency_from_size_0_is_refused() -> None:
    rejected("sizes", 0, 7, [], tree.EMPTY_ROOT, ROOT, consistency=True)
    rejected("sizes", 0, 0, [], tree.EMPTY_ROOT, tree.EMPTY_ROOT, consistency=True)


def test_equal_sizes_take_equal_roots_and_no_proof() -> None:
    tree.verify_consistency(7, 7, [], ROOT, ROOT)
    rejected("0 hashes", 7, 7, [ROOT], ROOT, ROOT, consistency=True)
    rejected("equal roots", 7, 7, [], ROOT, tree.EMPTY_ROOT, consistency=True)


def test_sizes_the_wrong_way_round() -> None:
    rejected("sizes", 7, 6, [], ROOT, ROOT, consistency=True)


@pytest.mark.parametrize("bad", [-1, 7, 8, 1 << 64, True, 1.0, "1", None])
def test_wrong_index(bad: Any) -> None:
    rejected("index|inclusion", LEAVES[1], bad, 7, tree.compute_inclusion_proof(LEAVES, 1), ROOT)


@pytest.mark.parametrize("bad", [-1, 0, 1, 1 << 64, 7.0, "7", None])
def test_wrong_size(bad: Any) -> None:
    rejected("size|inclusion", LEAVES[1], 1, bad, tree.compute_inclusion_proof(LEAVES, 1), ROOT)
    rejected("size|consistency", bad, 7, tree.compute_consistency_proof(LEAVES, 3), tree.compute_root(LEAVES[:3]), ROOT, consistency=True)


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33), "00" * 16, None, bytearray(32), 7])
def test_wrong_hash_types_and_lengths(bad: Any) -> None:
    proof = tree.compute_inclusion_proof(LEAVES, 1)
    rejected("leaf hash", bad, 1, 7, proof, ROOT)
    rejected("root", LEAVES[1], 1, 7, proof, bad)
    rejected("proof hash 2", LEAVES[1], 1, 7, [*proof[:-1], bad], ROOT)
    rejected("first root", 3, 7, [], bad, ROOT, consistency=True)
    rejected("second root", 3, 7, [], ROOT, bad, consistency=True)


@pytest.mark.parametrize("bad", [None, b"", b"\0" * 32, "x", 7, {}])
def test_proof_that_is_no_list(bad: Any) -> None:
    rejected("proof", LEAVES[0], 0, 1, bad, LEAVES[0])


def test_a_node_is_not_a_leaf() -> None:
    """Second preimage: an inner node's children as an entry hash to another leaf, thanks to the prefixes."""
    four = LEAVES[:4]
    node = tree.hash_children(four[0], four[1])
    with pytest.raises(ProofRejected):
        tree.verify_inclusion(tree.hash_leaf(four[0] + four[1]), 0, 2, [tree.hash_children(*four[2:])], tree.compute_root(four))
    # The node itself in a lie about the size verifies: the size must come from a signed checkpoint, as it does everywhere here.
    tree.verify_inclusion(node, 0, 2, [tree.hash_children(*four[2:])], tree.compute_root(four))


def vectors(kind: str) -> list[Any]:
    return [pytest.param(v, id=v["name"]) for v in VECTORS[kind]]


def as_bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("v", vectors("inclusion"))
def test_inclusion_vector(v: dict[str, Any]) -> None:
    arguments = (as_bytes(v["leafHash"]), v["index"], v["size"], [as_bytes(h) for h in v["proof"]], as_bytes(v["root"]))
    if v["valid"]:
        tree.verify_inclusion(*arguments)
    else:
        with pytest.raises(ProofRejected):
            tree.verify_inclusion(*arguments)


@pytest.mark.parametrize("v", vectors("consistency"))
def test_consistency_vector(v: dict[str, Any]) -> None:
    proof = [as_bytes(h) for h in v["proof"]]
    arguments = (v["size1"], v["size2"], proof, as_bytes(v["root1"]), as_bytes(v["root2"]))
    if v["valid"]:
        tree.verify_consistency(*arguments)
    else:
        with pytest.raises(ProofRejected):
            tree.verify_consistency(*arguments)


def test_vectors_are_what_their_script_makes() -> None:
    from tests.vectors.make_log_proofs import make_vectors

    assert make_vectors() == VECTORS
