"""Completeness: whatever network the descriptor can say proves and verifies, for random and extreme inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import circuits
from circuits import CanonicalModel, InputError, ProofError, engine
from circuits.layers.axes import Kernel
from circuits.layers.linear import LinearWeights
from circuits.layers.rescale import compute_bound
from circuits.layers.table import Table
from circuits.network import MAX_WORDS, DescriptorError, Parameters, check_parameters
from circuits.proof_bytes import encode_proof
from circuits.tensors import Format
from tests.soundness.networks import (
    RECTIFIED,
    SIGNED,
    commit_case,
    direct,
    fixed,
    make_case,
    make_chain,
    make_network,
    shared,
    window,
)
from tests.soundness.zoo import at, beside, copy, linear, make_zoo, product

ROOT = Path(__file__).parents[2]
SEEDS = ROOT / "seeds" / "models"
CONTEXT = bytes(range(32))
ZOO = make_zoo()


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
def test_honest_proofs_verify(name: str, extreme: bool) -> None:
    case = make_case(ZOO[name], seed=len(name), size=(1 << 23) - 1 if extreme else 1 << 12, extreme=extreme)
    case.verify(case.prove())


@pytest.mark.parametrize("name", ["13-64-32-1", "depthwise", "terms of every kind", "committed input"])
@pytest.mark.parametrize("chunk_bits", [pytest.param(3, marks=pytest.mark.slow), 5, 10, pytest.param(13, marks=pytest.mark.slow)])
def test_other_chunk_lengths(name: str, chunk_bits: int) -> None:
    """The chunk length is a parameter: blocks, columns and tables far longer and far shorter than a chunk."""
    case = make_case(ZOO[name], chunk_bits=chunk_bits)
    case.verify(case.prove())


@pytest.mark.parametrize("shift", [12, 24])
@pytest.mark.parametrize("form", [RECTIFIED, SIGNED])
@pytest.mark.parametrize("is_high", [False, True])
def test_the_ends_of_the_static_bound(shift: int, form: Format, is_high: bool) -> None:
    """The first and the last accumulator a row exists for, as multiples of 4095² and a bias: every limb is at its end."""
    bound, constant = compute_bound(shift), (1 << (shift - 1)) + (form.offset << shift)
    target = bound - 1 - constant if is_high else -bound - constant
    count, bias = divmod(target, 4095**2)
    parts = [count // 4] * 3 + [count - 3 * (count // 4)]
    terms = [product(0, (shared(0),), 0, beside(0), coefficient=part) for part in parts]
    network = make_network((1,), [linear((1,), *terms, shift=shift, form=form, bias=0)], RECTIFIED)
    case = commit_case(network, Parameters((LinearWeights((), np.array([bias])),)), np.array([4095]))
    check_parameters(network, case.model.parameters)
    columns = case.trace().columns
    ends = (4095, 4095, 4095, 4095 if shift == 24 else 0) if is_high else (-4096, 0, 0, 0)
    assert tuple(int(columns[name][0]) for name in ("h", "u", "r0", "r1")) == ends
    case.verify(case.prove())


def test_saturation_and_ties() -> None:
    """Rows of every sign: clamped below, clamped above, inside."""
    case = make_case(make_chain([8, 32], [12], [SIGNED]), seed=3, size=1 << 14, extreme=True)
    assert set(case.trace().columns["c"].tolist()) == {-1, 0, 1}
    case.verify(case.prove())


@pytest.mark.slow
def test_more_rows_than_the_table_has_entries() -> None:
    """A layer of 4097 outputs: weight blocks with chunks of padding outputs, which nobody commits to."""
    case = make_case(make_chain([2, 4097, 3], [12, 24], [RECTIFIED, SIGNED]), chunk_bits=12)
    assert case.layout.rows.bits == 14
    assert len(case.layout.parameter_chunks) < 2 * 2 + 8 + 2
    case.verify(case.prove())


@pytest.mark.slow
def test_a_hundred_layers() -> None:
    case = make_case(make_chain([3] * 101, [12, 24] * 50, [RECTIFIED, SIGNED] * 50))
    case.verify(case.prove())


# ---- what no proof exists for is refused as a descriptor ------------------------------------------------------------------------------


def test_a_network_needs_a_linear_operator() -> None:
    """Tables alone have no rescale rows, and every proof has some."""
    with pytest.raises(DescriptorError, match="no linear operator"):
        make_network((5, 6), [Table(0, (5, 6), 0, SIGNED)])


def test_rows_are_counted_with_their_padding() -> None:
    """Six axes of nine entries are half a million elements and 2^24 rows."""
    with pytest.raises(DescriptorError, match=r"linear operators: blocks of more than 2\^22"):
        make_network((1,), [linear((9,) * 6, copy(0, fixed(0)))])
    with pytest.raises(DescriptorError, match=r"input: blocks of more than 2\^22"):
        make_network((9,) * 6, [linear((1,), copy(0, *(fixed(0),) * 6))])
    with pytest.raises(DescriptorError, match=r"tables: blocks of more than 2\^22"):
        make_network((1,), [linear((1 << 21,), copy(0, fixed(0))), *(Table(i, (1 << 21,), 0, SIGNED) for i in (1, 2, 3))])
    quarter = linear((1 << 20,), copy(0, fixed(0)))
    joined = linear((1 << 20,), *(copy(i + 1, direct(0)) for i in range(3)))
    make_network((1,), [quarter, quarter, quarter, joined])
    with pytest.raises(DescriptorError, match=r"linear operators: blocks of more than 2\^22"):
        make_network((1,), [quarter, quarter, quarter, joined, linear((1,), copy(4, fixed(0)))])


def test_every_network_that_is_accepted_has_a_descriptor() -> None:
    """200 operators of eight products of two tensors of six axes would take more words than a descriptor has."""
    axes, tensor_axes = (fixed(0),) * 6, (at(0),) * 6
    chain = [linear((1,) * 6, *(product(number, axes, number, *tensor_axes) for _ in range(8))) for number in range(200)]
    with pytest.raises(DescriptorError, match=f"above {MAX_WORDS} words"):
        make_network((1,) * 6, chain)


def test_windows_that_nobody_can_walk_through_are_refused() -> None:
    """2^20 positions of 4096 entries each."""
    with pytest.raises(DescriptorError, match="pairs of position and kernel entry"):
        make_network((5,), [linear((1 << 20,), copy(0, window(0, 1 << 12, Kernel.SUMMED)))])


# ---- one statement, one proof ------------------------------------------------------------------------------------------------------

TWIN_NAMES = ("conv", "depthwise", "terms of every kind", "committed input")
PRINT_DIGESTS = """
from circuits import engine
from circuits.digests import keccak256
from circuits.proof_bytes import encode_proof
from tests.soundness.networks import make_case
from tests.soundness.zoo import make_zoo
print(engine.NAME)
zoo = make_zoo()
for name in {names!r}:
    case = make_case(zoo[name])
    print(case.model.verifying.model_id.hex(), keccak256(encode_proof(case.prove(), case.layout)).hex())
"""


@pytest.mark.parametrize("name", TWIN_NAMES)
def test_proofs_are_deterministic(name: str) -> None:
    first, second = (make_case(ZOO[name], seed=2) for _ in range(2))
    assert encode_proof(first.prove(), first.layout) == encode_proof(second.prove(), second.layout)


def print_digests(is_twin: bool) -> list[str]:
    environment = os.environ | ({"AFFIDAVIT_TWIN": "1"} if is_twin else {})
    command = [sys.executable, "-c", PRINT_DIGESTS.format(names=TWIN_NAMES)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300)
    return result.stdout.splitlines()


@pytest.mark.skipif(engine.NAME != "kernel", reason="without the kernel there is the twin alone")
def test_kernel_and_twin_give_the_same_bytes() -> None:
    kernel, twin = print_digests(is_twin=False), print_digests(is_twin=True)
    assert (kernel[0], twin[0]) == ("kernel", "twin")
    assert len(kernel) == 1 + len(TWIN_NAMES)
    assert kernel[1:] == twin[1:]


# ---- circuits.prove and circuits.verify on seed models, with the Ethereum ceremony ----------------------------------------------------


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


def test_another_model_of_the_same_shape() -> None:
    """Other weights: the model id differs, and with it every challenge."""
    case, other = (make_case(make_chain([13, 16, 3], [12, 12], [RECTIFIED, SIGNED]), size=size) for size in (1 << 12, 1 << 11))
    assert case.model.verifying.model_id != other.model.verifying.model_id
    proof, statement = case.prove(), case.state()
    case.verify(proof, statement)
    with pytest.raises(ProofError):
        other.verify(proof, statement)


@pytest.mark.parametrize("name", ["breast-cancer-mlp", "digits-mlp", "iris-logistic"])
def test_seed_models_at_the_ends_of_their_range(name: str) -> None:
    model = CanonicalModel.load(SEEDS / name / "canonical")
    x = np.full(model.input.shape, model.input.format.low)
    circuits.verify(model, x, model.run(x), circuits.prove(model, x, CONTEXT), CONTEXT)


def test_an_input_the_model_refuses_is_never_proven(iris: CanonicalModel) -> None:
    for bad in ([0, 0, 0], [0, 0, 0, 2048], [0.0] * 4):
        with pytest.raises((InputError, ProofError)):
            circuits.prove(iris, bad, CONTEXT)
    with pytest.raises(ProofError):
        circuits.prove(iris, [0, 0, 0, 0], b"short")
