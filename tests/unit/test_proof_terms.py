"""What the verifier computes about a term, against what the term means: every corner of σ, ρ and θ, element by element.

At a corner the protocol's claim reads: the accumulator of one element is the sum over the corners of ρ and θ of factor, eq, weight,
map and operand. Nothing of the prover is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from circuits.field import MODULUS, invert
from circuits.layers.term import Weights
from circuits.layout import Layout, count_shape_bits
from circuits.multilinear import evaluate_tensor, split_bits
from circuits.network import Network
from circuits.plan import TermPlan, Terms
from circuits.protocols import sumcheck
from circuits.tensors import Integers
from circuits.trace import pad_axes
from tests.soundness.networks import Case, make_case
from tests.soundness.random_networks import draw_network
from tests.soundness.zoo import make_zoo

ZOO = make_zoo()


def evaluate_by_corners(case: Case, plan: TermPlan, row: int) -> int:
    """The term's share of the accumulator of a row, true or padding, as the verifier's formulas have it."""
    sigma = split_bits(row, plan.layer.block_bits)
    total = 0
    for j in range(1 << plan.variables):
        rho = split_bits(j, plan.variables)
        eq = plan.compute_shared_eq(sigma, rho)
        if not eq:
            continue
        weight = evaluate_weights(case, plan, sigma, rho)
        operand = 0
        for q in range(1 << plan.map_bits) if plan.term.is_mapped else (0,):
            theta = split_bits(q, plan.map_bits)
            ways = plan.compute_map(sigma, rho, theta) if plan.term.is_mapped else 1
            if ways:
                point = plan.find_operand_point(sigma, rho, theta)
                operand += ways * evaluate_tensor(case.trace().tensors[plan.term.operand], plan.operand_shape, point)
        total += eq * weight * operand
    return plan.compute_factor(sigma) * total % MODULUS


def evaluate_weights(case: Case, plan: TermPlan, sigma: list[int], rho: list[int]) -> int:
    if plan.term.weights is Weights.NONE:
        return 1
    point = plan.find_weights_point(sigma, rho)
    if plan.term.weights is Weights.TENSOR:
        return evaluate_tensor(case.trace().tensors[plan.term.tensor], plan.tensor_shape, point)
    numbers = case.model.parameters.layers[case.layout.layers.index(plan.layer)]
    array = numbers.pair_with(plan.layer.operator)[plan.number][1]
    assert array is not None
    return evaluate_tensor(array, array.shape or (1,), point)


def compute_by_meaning(case: Case, plan: TermPlan) -> Integers:
    """Term.compute on the true elements, padded with zeros."""
    tensors, term = case.trace().tensors, plan.term
    numbers = case.model.parameters.layers[case.layout.layers.index(plan.layer)].pair_with(plan.layer.operator)[plan.number][1]
    x = tensors[term.operand].reshape(1, *plan.operand_shape).astype(np.float64)
    other = tensors[term.tensor].reshape(1, *plan.tensor_shape).astype(np.float64) if term.weights is Weights.TENSOR else None
    return pad_axes(plan.result, np.ascontiguousarray(term.compute(x, numbers, other, plan.result)).astype(np.int64).reshape(-1))


def list_plans(network: Network) -> Iterator[TermPlan]:
    """Those whose corners are few enough to be visited."""
    for plan in Terms.of(Layout(network, 7)).plans:
        if plan.variables + plan.map_bits + plan.layer.block_bits <= 12:
            yield plan


def check_network(network: Network, seed: int) -> int:
    case, visited = make_case(network, seed), 0
    rng = np.random.default_rng(seed)
    for plan in list_plans(network):
        expected = compute_by_meaning(case, plan)
        rows = range(1 << plan.layer.block_bits)
        for row in rng.choice(rows, min(len(rows), 6), replace=False):
            assert evaluate_by_corners(case, plan, int(row)) == int(expected[row]) % MODULUS, (plan.term, int(row))
            visited += 1
    return visited


SMALL = [name for name, network in ZOO.items() if any(list_plans(network))]


@pytest.mark.parametrize("name", SMALL)
def test_every_kind_of_term(name: str) -> None:
    assert check_network(ZOO[name], seed=1) > 0


def test_most_kinds_are_small() -> None:
    """The rest have terms like those, on more elements."""
    assert len(SMALL) > 30


@pytest.mark.parametrize("seed", range(12))
def test_random_terms(seed: int) -> None:
    check_network(draw_network(Random(1000 + seed), has_tables=False), seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_many_random_terms(seed: int) -> None:
    check_network(draw_network(Random(seed), has_tables=False), seed)


def test_a_point_has_a_coordinate_for_every_bit() -> None:
    """Of the operand's block and of the weights', whatever the term: a shorter one would read another block's entries."""
    for network in ZOO.values():
        layout = Layout(network, 7)
        for plan in Terms.of(layout).plans:
            sigma, rho, theta = [5] * layout.rows.bits, [6] * plan.variables, [7] * plan.map_bits
            assert len(plan.find_operand_point(sigma, rho, theta)) == count_shape_bits(plan.operand_shape)
            if plan.term.weights is Weights.TENSOR:
                assert len(plan.find_weights_point(sigma, rho)) == count_shape_bits(plan.tensor_shape)
            if plan.term.weights is Weights.PARAMETERS:
                shape = layout.weights_shapes[plan.layer.index, plan.number]
                assert len(plan.find_weights_point(sigma, rho)) == count_shape_bits(shape)


def test_shorter_terms_are_scaled() -> None:
    config = sumcheck.Config(7, 2, "linear")
    assert [config.scale(v) * pow(2, 7 - v) % MODULUS for v in range(8)] == [1] * 8
    assert config.scale(6) == invert(2)
