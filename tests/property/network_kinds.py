"""Random networks of every kind of operator: what hypothesis draws from. Numbers as extreme as the static bound allows."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from hypothesis import strategies as st

from circuits.errors import BoundError
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode, WeightsAxis
from circuits.layers.linear import Linear, LinearWeights, check_bound
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.network import Network, Operator, Parameters
from circuits.tensors import Format, Integers, TensorType

MOST_ELEMENTS = 40
Shape = tuple[int, ...]
Random = np.random.Generator
Kind = Callable[[Random, int, Shape], tuple[tuple[Term, ...], Shape] | None]


def direct(*results: int) -> tuple[Axis, ...]:
    return tuple(Axis(Mode.DIRECT, result) for result in results)


def draw_window(rng: Random, size: int, result: int, kernel: Kernel) -> tuple[Axis, int]:
    """A window along an axis, reaching beyond both ends, and how many positions it has."""
    count, stride, dilation = (int(rng.integers(1, 4)) for _ in range(3))
    before = int(rng.integers(0, count + 1))
    positions = max(1, (size + before - dilation * (count - 1)) // stride)
    return Axis(Mode.AFFINE, result, kernel, NO_AXIS, count, stride, dilation, -before), positions


def draw_matrix(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape]:
    kept = int(rng.integers(0, len(shape)))
    axes = (*direct(*range(kept)), *(Axis(Mode.CONTRACT) for _ in shape[kept:]))
    return (Term(operand, axes, Weights.PARAMETERS),), (*shape[:kept], int(rng.integers(1, 6)))


def draw_convolution(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape] | None:
    if len(shape) < 2:
        return None
    is_depthwise = bool(rng.integers(2))
    windows = [draw_window(rng, size, number, Kernel.WEIGHTED) for number, size in enumerate(shape[1:], start=1)]
    first = Axis(Mode.SHARED, 0) if is_depthwise else Axis(Mode.CONTRACT)
    channels = shape[0] if is_depthwise else int(rng.integers(1, 4))
    term = Term(operand, (first, *(axis for axis, _ in windows)), Weights.PARAMETERS)
    return (term,), (channels, *(positions for _, positions in windows))


def draw_pool(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape]:
    windows = [draw_window(rng, size, number, Kernel.SUMMED) for number, size in enumerate(shape)]
    term = Term(operand, tuple(axis for axis, _ in windows), coefficient=int(rng.integers(1, 4096)))
    return (term,), tuple(positions for _, positions in windows)


def draw_whole_sum(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape]:
    last = Axis(Mode.AFFINE, NO_AXIS, Kernel.SUMMED, NO_AXIS, shape[-1], 0, 1, 0)
    kept = shape[:-1] or (1,)
    return (Term(operand, (*direct(*range(len(shape) - 1)), last), coefficient=-int(rng.integers(1, 4096))),), kept


def draw_slices(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape]:
    """The tensor twice, with other offsets and signs, as in a concatenation or a comparison."""
    size = int(rng.integers(1, 9))
    terms = []
    for coefficient in (4096, int(rng.choice([-4096, 1024]))):
        step, offset = int(rng.choice([-1, 1, 2])), int(rng.integers(-3, shape[-1] + 1))
        last = Axis(Mode.AFFINE, len(shape) - 1, Kernel.NONE, NO_AXIS, 1, step, 0, offset)
        terms.append(Term(operand, (*direct(*range(len(shape) - 1)), last), coefficient=coefficient))
    return tuple(terms), (*shape[:-1], size)


def draw_transposition(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape]:
    """Axes in another order, and one more along which everything repeats."""
    order = [int(o) for o in rng.permutation(len(shape))]
    result = [0] * len(shape)
    for axis, o in enumerate(order):
        result[o] = shape[axis]
    repeats = (int(rng.integers(1, 4)),) if len(shape) < 4 else ()
    return (Term(operand, direct(*order), coefficient=int(rng.integers(-4096, 4096)) or 1),), (*result, *repeats)


def draw_merge(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape] | None:
    if len(shape) < 2:
        return None
    axes = (*direct(*range(len(shape) - 2)), Axis(Mode.MERGE, len(shape) - 2), Axis(Mode.MERGED))
    return (Term(operand, axes, coefficient=4096),), (*shape[:-2], shape[-2] * shape[-1])


def draw_split(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape] | None:
    if len(shape) == 4:
        return None
    low = int(rng.integers(1, shape[-1] + 1))
    last = Axis(Mode.AFFINE, len(shape) - 1, Kernel.RESULT, len(shape), low, low, 1, 0)
    return (Term(operand, (*direct(*range(len(shape) - 1)), last), coefficient=4096),), (*shape[:-1], -(-shape[-1] // low), low)


def draw_product(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape]:
    """A tensor times itself, element by element."""
    axes = tuple(Axis(Mode.SHARED, number) for number in range(len(shape)))
    other = tuple(WeightsAxis(Mode.SHARED, number) for number in range(len(shape)))
    return (Term(operand, axes, Weights.TENSOR, int(rng.integers(1, 64)), operand, other),), shape


def draw_gram(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape] | None:
    """x·xᵀ over the last axis."""
    if len(shape) != 2:
        return None
    other = (WeightsAxis(Mode.DIRECT, 1), WeightsAxis(Mode.CONTRACT, 1))
    return (Term(operand, (*direct(0), Axis(Mode.CONTRACT)), Weights.TENSOR, 3, operand, other),), (shape[0], shape[0])


def draw_one_entry(rng: Random, operand: int, shape: Shape) -> tuple[tuple[Term, ...], Shape]:
    axes = (Axis(Mode.FIXED, offset=int(rng.integers(shape[0]))), *direct(*range(len(shape) - 1)))
    return (Term(operand, axes, coefficient=-777),), shape[1:] or (1,)


KINDS: list[Kind] = [
    draw_matrix,
    draw_convolution,
    draw_pool,
    draw_whole_sum,
    draw_slices,
    draw_transposition,
    draw_merge,
    draw_split,
    draw_product,
    draw_gram,
    draw_one_entry,
]


def draw_operator(rng: Random, operand: int, shapes: list[Shape], tables: list[Format]) -> Operator | None:
    """An operator on one of the tensors, or None where the kind drawn does not fit it."""
    shape = shapes[operand]
    result = Format(int(rng.integers(2)))
    if rng.integers(5) == 0:
        number = int(rng.integers(len(tables) + 1))
        if number == len(tables):
            tables.append(result)
        return Table(operand, shape, number, tables[number])
    made = KINDS[int(rng.integers(len(KINDS)))](rng, operand, shape)
    if made is None or prod(made[1]) > MOST_ELEMENTS:
        return None
    terms, size = made
    twins = [number for number in range(len(shapes)) if shapes[number] == size]
    if twins and rng.integers(2):  # a residual
        terms = (*terms, Term(int(rng.choice(twins)), direct(*range(len(size))), coefficient=int(rng.integers(1, 4097))))
    bias = int(rng.integers(-1, len(size)))
    return Linear(size, int(rng.choice([12, 24])), result, terms, None if bias < 0 else bias)


def draw_numbers(rng: Random, operator: Linear, formats: list[Format], shapes: list[Shape]) -> LinearWeights | None:
    """Large, and divided by two until the bound holds; None where the coefficients alone break it."""
    limit, bias_limit = 2**23, 2**44
    for _ in range(48):
        arrays = tuple(rng.integers(-limit + 1, limit, shape) for shape in operator.list_weights_shapes(shapes))
        bias = None if operator.bias_axis is None else rng.integers(-bias_limit, bias_limit, operator.shape[operator.bias_axis])
        numbers = LinearWeights(arrays, bias)
        try:
            check_bound("drawn", operator, numbers, formats, shapes)
        except BoundError:
            limit, bias_limit = max(2, limit // 2), max(2, bias_limit // 2)
            continue
        return numbers
    return None


@st.composite
def any_network(draw: st.DrawFn) -> tuple[Network, Parameters, Integers]:
    """One to five operators of random kinds, each reading the one before it or any other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rank = draw(st.integers(1, 3))
    shape = tuple(int(rng.integers(1, 5)) for _ in range(rank))
    source = TensorType(shape, Format(draw(st.integers(0, 1))), 0)
    shapes, formats, tables = [shape], [source.format], list[Format]()
    operators: list[Operator] = []
    layers: list[LinearWeights] = []
    depth = draw(st.integers(1, 5))
    while len(operators) < depth or not layers:
        known = list(tables)
        operator = draw_operator(rng, len(operators), shapes, tables)
        numbers = draw_numbers(rng, operator, formats, shapes) if isinstance(operator, Linear) else None
        if operator is None or operator.problem(shapes) or (isinstance(operator, Linear) and numbers is None):
            tables = known
            continue
        operators.append(operator)
        layers += [numbers] if numbers is not None else []
        shapes.append(operator.shape)
        formats.append(operator.format)
    last = operators[-1]
    network = Network(source, tuple(operators), len(operators), TensorType(last.shape, last.format, 0))
    network.check()
    entries = tuple(rng.integers(result.low, result.high + 1, 4096) for result in tables)
    sizes = (4, *shape)
    low, high = source.format.low, source.format.high
    x = np.where(rng.random(sizes) < 0.5, rng.integers(low, high + 1, sizes), rng.choice([low, low + 1, 0, 1, high], sizes))
    return network, Parameters(tuple(layers), entries), x
