"""The tree against its naive twin, and its verifiers against everything near a true proof."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oracle.audit import tree
from oracle.errors import ProofRejected
from tests.twins import naive_tree

SIZES = st.integers(1, 300)


def entries(n: int) -> list[bytes]:
    return [i.to_bytes(2, "big") for i in range(n)]


def leaves(n: int) -> list[bytes]:
    return [bytes(tree.hash_leaf(e)) for e in entries(n)]


@given(SIZES)
def test_root_is_the_twins(n: int) -> None:
    frontier = tree.Frontier()
    for leaf in leaves(n):
        frontier.append(leaf)
    assert tree.compute_root(leaves(n)) == frontier.root() == naive_tree.tree_hash(entries(n))
    assert tree.Frontier.of(n, tree.read_leaves(leaves(n))).root() == frontier.root()


@given(st.data(), SIZES)
def test_inclusion_is_the_twins_and_verifies(data: st.DataObject, n: int) -> None:
    index = data.draw(st.integers(0, n - 1))
    proof = tree.compute_inclusion_proof(leaves(n), index)
    assert proof == naive_tree.path(index, entries(n))
    tree.verify_inclusion(leaves(n)[index], index, n, proof, naive_tree.tree_hash(entries(n)))


@given(st.data(), SIZES)
def test_consistency_is_the_twins_and_verifies(data: st.DataObject, n: int) -> None:
    m = data.draw(st.integers(1, n))
    proof = tree.compute_consistency_proof(leaves(n), m)
    assert proof == naive_tree.proof(m, entries(n))
    tree.verify_consistency(m, n, proof, naive_tree.tree_hash(entries(m)), naive_tree.tree_hash(entries(n)))


@given(st.data(), SIZES)
def test_frontier_grows_from_any_size(data: st.DataObject, n: int) -> None:
    m = data.draw(st.integers(0, n))
    frontier = tree.Frontier.of(m, tree.read_leaves(leaves(m)))
    for leaf in leaves(n)[m:]:
        frontier.append(leaf)
    assert frontier.root() == naive_tree.tree_hash(entries(n))


def mutate(data: st.DataObject, proof: list[bytes]) -> list[bytes]:
    """A proof that is near this one, and not it."""
    kind = data.draw(st.sampled_from(["flip", "drop", "append", "repeat", "swap", "empty"]))
    changed = list(proof)
    at = data.draw(st.integers(0, max(0, len(proof) - 1)))
    if kind == "append" or not proof:
        changed.append(data.draw(st.binary(min_size=32, max_size=32)))
    elif kind == "flip":
        bit = data.draw(st.integers(0, 255))
        changed[at] = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
    elif kind == "drop":
        del changed[at]
    elif kind == "repeat":
        changed.insert(at, proof[at])
    elif kind == "swap":
        other = data.draw(st.integers(0, len(proof) - 1))
        changed[at], changed[other] = changed[other], changed[at]
    else:
        changed = []
    assume(changed != proof)
    return changed


@given(st.data(), SIZES)
def test_no_other_inclusion_proof_verifies(data: st.DataObject, n: int) -> None:
    index = data.draw(st.integers(0, n - 1))
    root, leaf = tree.compute_root(leaves(n)), leaves(n)[index]
    with pytest.raises(ProofRejected):
        tree.verify_inclusion(leaf, index, n, mutate(data, tree.compute_inclusion_proof(leaves(n), index)), root)


@given(st.data(), SIZES)
def test_no_other_index_size_leaf_or_root_verifies(data: st.DataObject, n: int) -> None:
    index = data.draw(st.integers(0, n - 1))
    proof, root, leaf = tree.compute_inclusion_proof(leaves(n), index), tree.compute_root(leaves(n)), leaves(n)[index]
    other_index, other_leaf = data.draw(st.integers(0, n + 3)), data.draw(st.integers(0, 400)).to_bytes(2, "big")
    if other_index != index:
        with pytest.raises(ProofRejected):
            tree.verify_inclusion(leaf, other_index, n, proof, root)
    if tree.hash_leaf(other_leaf) != leaf:
        with pytest.raises(ProofRejected):
            tree.verify_inclusion(tree.hash_leaf(other_leaf), index, n, proof, root)
    with pytest.raises(ProofRejected):
        tree.verify_inclusion(leaf, index, n, proof, tree.hash_leaf(root))


@given(st.data(), SIZES)
def test_no_other_consistency_proof_verifies(data: st.DataObject, n: int) -> None:
    m = data.draw(st.integers(1, n))
    root1, root2 = tree.compute_root(leaves(m)), tree.compute_root(leaves(n))
    with pytest.raises(ProofRejected):
        tree.verify_consistency(m, n, mutate(data, tree.compute_consistency_proof(leaves(n), m)), root1, root2)


@given(st.data(), SIZES)
def test_no_forked_tree_is_consistent(data: st.DataObject, n: int) -> None:
    """A log that changed one entry it once had cannot prove that it extends what it was, by any proof it would compute."""
    m = data.draw(st.integers(1, n))
    changed = data.draw(st.integers(0, m - 1))
    forked = leaves(n)
    forked[changed] = bytes(tree.hash_leaf(b"another"))
    root1, fork_root1 = tree.compute_root(leaves(m)), tree.compute_root(forked[:m])
    root2 = tree.compute_root(forked)
    with pytest.raises(ProofRejected):
        tree.verify_consistency(m, n, tree.compute_consistency_proof(forked, m), root1, root2)
    tree.verify_consistency(m, n, tree.compute_consistency_proof(forked, m), fork_root1, root2)


@given(st.data(), st.integers(2, 300))
def test_no_other_sizes_verify(data: st.DataObject, n: int) -> None:
    m = data.draw(st.integers(1, n - 1))
    proof = tree.compute_consistency_proof(leaves(n), m)
    root1, root2 = tree.compute_root(leaves(m)), tree.compute_root(leaves(n))
    other = data.draw(st.integers(0, n))
    assume(other != m)
    with pytest.raises(ProofRejected):
        tree.verify_consistency(other, n, proof, root1, root2)
