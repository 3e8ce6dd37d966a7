"""A committed input: the same function, statements that hide x, and what a commitment binds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import circuits
from circuits import CanonicalModel, InputError, ProofError
from circuits.hidden_input import commit_input, with_committed_input

SEED = Path(__file__).parents[2] / "seeds/models/digits-mlp/canonical"
CONTEXT = b"\x07" * 32


@pytest.fixture(scope="module")
def plain() -> CanonicalModel:
    return CanonicalModel.load(SEED)


@pytest.fixture(scope="module")
def hidden(plain: CanonicalModel) -> CanonicalModel:
    return with_committed_input(plain)


@pytest.fixture(scope="module")
def x(plain: CanonicalModel) -> np.ndarray:
    return np.random.default_rng(3).integers(-2048, 2048, plain.input.shape)


def test_the_same_function_and_another_model(plain: CanonicalModel, hidden: CanonicalModel, x: np.ndarray, tmp_path: Path) -> None:
    assert hidden.run(x).tolist() == plain.run(x).tolist()
    assert hidden.model_id != plain.model_id
    hidden.save(tmp_path)
    assert CanonicalModel.load(tmp_path, hidden.model_id).network == hidden.network


def test_a_proof_about_a_commitment(hidden: CanonicalModel, x: np.ndarray) -> None:
    commitments = commit_input(hidden, x)
    proof, y = circuits.prove(hidden, x, CONTEXT), hidden.run(x)
    assert len(commitments) == 96
    circuits.verify(hidden, commitments, y, proof, CONTEXT)
    other = x.copy()
    other.flat[0] ^= 1
    wrong = y.copy()
    wrong.flat[0] += 1
    for stated, output in ((commit_input(hidden, other), y), (commitments, wrong), (bytes(96), y), (commitments[:-1], y), (x, y)):
        with pytest.raises(ProofError):
            circuits.verify(hidden, stated, output, proof, CONTEXT)


def test_points_are_checked_before_anything_else(hidden: CanonicalModel, x: np.ndarray) -> None:
    proof, y = circuits.prove(hidden, x, CONTEXT), hidden.run(x)
    for bad in (b"\xff" * 96, b"\x01" + bytes(95)):
        with pytest.raises(ProofError, match="input: a point"):
            circuits.verify(hidden, bad, y, proof, CONTEXT)


def test_public_and_committed_are_not_confused(plain: CanonicalModel, hidden: CanonicalModel, x: np.ndarray) -> None:
    with pytest.raises(InputError):
        commit_input(plain, x)
    with pytest.raises(InputError):
        with_committed_input(hidden)
    with pytest.raises(ProofError):
        circuits.verify(plain, commit_input(hidden, x), plain.run(x), circuits.prove(plain, x, CONTEXT), CONTEXT)
