"""Completeness: whatever network the compiler accepts proves and verifies, for random and extreme inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import circuits
from circuits import CanonicalModel, InputError, ProofError
from circuits.layers.linear import Linear
from circuits.network import Network
from tests.soundness.networks import RECTIFIED, SIGNED, make_case, make_chain, make_network

SEEDS = Path(__file__).parents[2] / "seeds" / "models"
CONTEXT = bytes(range(32))

NETWORKS = {
    "one neuron": make_chain([1, 1], [12], [SIGNED]),
    "one neuron, four deep": make_chain([1, 1, 1, 1, 1], [12, 24, 12, 24], [RECTIFIED, SIGNED, SIGNED, RECTIFIED]),
    "3-2": make_chain([3, 2], [12], [RECTIFIED]),
    "5-7-3, shift 24": make_chain([5, 7, 3], [24, 24], [RECTIFIED, SIGNED]),
    "13-64-32-1": make_chain([13, 64, 32, 1], [12, 24, 12], [RECTIFIED, SIGNED, RECTIFIED]),
    "rectified input": make_chain([6, 5], [12], [SIGNED], source=RECTIFIED),
    "positions": make_chain([3, 5, 2], [12, 24], [RECTIFIED, SIGNED], positions=3),
    "one operand, two readers": make_network(
        (4,), [Linear(0, 1, 4, 6, 12, RECTIFIED), Linear(1, 1, 6, 6, 12, SIGNED), Linear(2, 2, 3, 5, 24, SIGNED)]
    ),
    "flatten across padding": make_network((3, 5), [Linear(0, 3, 5, 7, 12, RECTIFIED), Linear(1, 1, 21, 4, 12, SIGNED)]),
    "split across padding": make_network(
        (10,), [Linear(0, 1, 10, 15, 12, RECTIFIED), Linear(1, 5, 3, 2, 24, SIGNED), Linear(2, 1, 10, 3, 12, SIGNED)]
    ),
    "axes exchanged": make_network(
        (3, 5), [Linear(0, 3, 5, 10, 12, SIGNED), Linear(1, 5, 6, 3, 12, RECTIFIED), Linear(2, 15, 1, 1, 12, SIGNED)]
    ),
    "flat axes": make_network((3, 4), [Linear(0, 3, 4, 8, 12, RECTIFIED), Linear(1, 6, 4, 2, 12, SIGNED), Linear(2, 1, 12, 3, 24, SIGNED)]),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
def test_honest_proofs_verify(network: Network, extreme: bool) -> None:
    case = make_case(network, seed=len(network.operators), size=(1 << 23) - 1 if extreme else 1 << 12, extreme=extreme)
    case.verify(case.prove())


@pytest.mark.parametrize("chunk_bits", [4, 10])
def test_other_chunk_lengths(chunk_bits: int) -> None:
    """The chunk length is a parameter: blocks far longer and far shorter than a chunk."""
    case = make_case(make_chain([9, 17, 5], [12, 24], [RECTIFIED, SIGNED]), chunk_bits=chunk_bits)
    case.verify(case.prove())


def test_saturation_and_ties() -> None:
    """Rows of every sign: clamped below, clamped above, inside; and accumulators half a step from the next integer."""
    case = make_case(make_chain([8, 32], [12], [SIGNED]), seed=3, size=1 << 14, extreme=True)
    signs = set(case.compute_columns()["c"])
    assert signs == {-1, 0, 1}
    case.verify(case.prove())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_networks(seed: int) -> None:
    """Random chains of random widths, shifts, formats, positions and magnitudes."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 6))
    widths = [int(w) for w in rng.choice([1, 2, 3, 5, 8, 9, 17], depth + 1)]
    formats = [SIGNED if bit else RECTIFIED for bit in rng.integers(0, 2, depth)]
    shifts = [int(s) for s in rng.choice([12, 24], depth)]
    network = make_chain(widths, shifts, formats, positions=int(rng.integers(1, 4)))
    case = make_case(network, seed, int(rng.choice([1, 1 << 11, (1 << 23) - 1])), int(rng.integers(4, 9)), bool(rng.integers(2)))
    case.verify(case.prove())


@pytest.mark.slow
def test_more_rows_than_the_table_has_entries() -> None:
    """A layer of 4097 outputs: thirteen variables, weight blocks with chunks of padding outputs, which nobody commits to."""
    case = make_case(make_chain([2, 4097, 3], [12, 24], [RECTIFIED, SIGNED]), chunk_bits=12)
    assert case.model.layout.row_bits == 14
    assert len(case.model.layout.parameter_chunks) < 2 * 2 + 8 + 2
    case.verify(case.prove())


@pytest.mark.slow
def test_a_hundred_layers() -> None:
    case = make_case(make_chain([3] * 101, [12, 24] * 50, [RECTIFIED, SIGNED] * 50))
    case.verify(case.prove())


# ---- circuits.prove and circuits.verify on seed models, with the Ethereum ceremony -------------------------------------------------


@pytest.fixture(scope="module")
def wine() -> CanonicalModel:
    return CanonicalModel.load(SEEDS / "wine-mlp" / "canonical")


@pytest.fixture(scope="module")
def iris() -> CanonicalModel:
    return CanonicalModel.load(SEEDS / "iris-logistic" / "canonical")


@pytest.fixture(scope="module")
def x() -> list[int]:
    return [int(v) for v in np.random.default_rng(5).integers(-2048, 2048, 13)]


@pytest.fixture(scope="module")
def proof(wine: CanonicalModel, x: list[int]) -> bytes:
    return circuits.prove(wine, x, CONTEXT)


def test_it_verifies_and_is_deterministic(wine: CanonicalModel, x: list[int], proof: bytes) -> None:
    circuits.verify(wine, np.array(x), wine.run(x), proof, CONTEXT)
    assert circuits.prove(wine, np.array(x, dtype=np.int16), CONTEXT) == proof


def test_a_model_loaded_again_gives_the_same_proof(wine: CanonicalModel, x: list[int], proof: bytes) -> None:
    again = CanonicalModel.load(SEEDS / "wine-mlp" / "canonical")
    assert circuits.prove(again, x, CONTEXT) == proof


@pytest.mark.parametrize("position", range(3))
def test_another_output(wine: CanonicalModel, x: list[int], proof: bytes, position: int) -> None:
    y = [int(v) for v in wine.run(x)]
    y[position] += 1 if y[position] < 2047 else -1
    with pytest.raises(ProofError):
        circuits.verify(wine, x, y, proof, CONTEXT)


@pytest.mark.parametrize("position", range(13))
def test_another_input(wine: CanonicalModel, x: list[int], proof: bytes, position: int) -> None:
    other = [*x[:position], -1 - x[position], *x[position + 1 :]]
    with pytest.raises(ProofError):
        circuits.verify(wine, other, wine.run(x), proof, CONTEXT)


def test_another_context(wine: CanonicalModel, x: list[int], proof: bytes) -> None:
    with pytest.raises(ProofError):
        circuits.verify(wine, x, wine.run(x), proof, bytes(32))


def test_another_model_of_the_same_shape(wine: CanonicalModel, x: list[int], proof: bytes) -> None:
    """The same shapes with other weights: the binding differs, and with it every challenge."""
    case = make_case(make_chain([13, 16, 3], [12, 12], [RECTIFIED, SIGNED]), chunk_bits=12)
    other = make_case(make_chain([13, 16, 3], [12, 12], [RECTIFIED, SIGNED]), chunk_bits=12, size=1 << 11)
    assert case.model.verifying.binding != other.model.verifying.binding
    mine = case.prove()
    with pytest.raises(ProofError):
        other.verify(mine, case.state())


@pytest.mark.parametrize("name", ["breast-cancer-mlp", "digits-mlp", "iris-logistic"])
def test_seed_models_at_the_ends_of_their_range(name: str) -> None:
    model = CanonicalModel.load(SEEDS / name / "canonical")
    x = np.full(model.input.shape, model.input.format.low)
    circuits.verify(model, x, model.run(x), circuits.prove(model, x, CONTEXT), CONTEXT)


def test_an_input_the_model_refuses_is_never_proven(iris: CanonicalModel) -> None:
    for bad in ([0, 0, 0], [0, 0, 0, 2048], [0.0] * 4):
        with pytest.raises(InputError):
            circuits.prove(iris, bad, CONTEXT)
    with pytest.raises(ProofError):
        circuits.prove(iris, [0, 0, 0, 0], b"short")
