"""Expand, and the arithmetic of two tensors: the same indices where both have an axis, repeated where one has it.

Two functions of one tensor become one function of it, so a Silu written as x·Sigmoid(x) is one table.
"""

from __future__ import annotations

import numpy as np

from circuits.compiler.floats import FloatTerm, Grid
from circuits.compiler.functions import Function, combine
from circuits.compiler.lowerings.node import Node
from circuits.compiler.terms import Reading, Result, emit
from circuits.compiler.values import Lowering, Tensor, Value, find_common
from circuits.compiler.views import align, pad_rank
from circuits.layers.axes import NO_AXIS, Mode, WeightsAxis
from circuits.tensors import Reals


def expand(lowering: Lowering, x: Tensor, shape: tuple[int, ...], origin: str) -> Tensor:
    """The tensor repeated to `shape`, which it broadcasts to."""
    x = pad_rank(x, len(shape))
    if x.shape == shape:
        return x
    source, factor = lowering.read(x, origin)
    reading, result = Reading(lowering, source), Result()
    for axis, size in enumerate(shape):
        sizes = lowering.sizes(source, axis)
        axes = result.add(*(sizes or (size,)))
        if sizes:
            reading.direct(axis, axes)
    grid = Grid(like=(source.index,)) if factor == 1.0 else Grid()
    return emit(lowering, result, [reading.plain(factor)], origin, shape=shape, grid=grid)


def make_constant(lowering: Lowering, values: Reals, origin: str) -> Tensor:
    """A constant as a tensor of the network, where an operator needs one: nothing of the input, and a bias."""
    result = Result()
    places = [o for size in values.shape for o in result.add(size)]
    source = Tensor(0, (), (), None)
    term = Reading(lowering, source).weighted(
        np.zeros([size for size in values.shape if size > 1]), [("result", o) for o in places], result.shape
    )
    return emit(lowering, result, [term], origin, bias=np.asarray(values, np.float64).reshape(result.shape), shape=values.shape)


def lower_expand(node: Node, lowering: Lowering) -> list[Value]:
    x, target = node.tensor(), node.integers(1)
    try:
        shape = np.broadcast_shapes(x.shape, tuple(target))
    except ValueError as error:
        raise node.refuse("does not expand to that shape", list(x.shape), target) from error
    return [expand(lowering, x, tuple(shape), node.name)]


def lower_two(node: Node, lowering: Lowering, operator: str, a: Tensor, b: Tensor) -> Tensor:
    """Add, Sub, Mul, Div, Max, Min or Pow of two computed tensors."""
    if (common := find_common(a, b, lowering.steps)) is not None:
        base, f, g = common
        return lowering.apply(base, combine(operator, f, g), node.name)
    a, b = _align(node, lowering, a, b)
    match operator:
        case "Add" | "Sub":
            return add(lowering, [(a, 1.0), (b, 1.0 if operator == "Add" else -1.0)], node.name)
        case "Mul":
            return multiply(lowering, a, b, node.name)
        case "Div":
            reciprocal = Function("reciprocal", lambda x: 1.0 / x)
            return multiply(lowering, a, lowering.apply(b, reciprocal, node.name), node.name)
        case "Max":
            return take_larger(lowering, a, b, node.name)
        case "Min":
            return take_smaller(lowering, a, b, node.name)
        case _:
            raise node.refuse("raises one computed tensor to another", "a constant exponent")


def _align(node: Node, lowering: Lowering, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    rank = max(len(a.shape), len(b.shape))
    a, b = pad_rank(a, rank), pad_rank(b, rank)
    if any(m != n and 1 not in (m, n) for m, n in zip(a.shape, b.shape, strict=True)):
        raise node.refuse("operands do not broadcast", list(a.shape), list(b.shape))
    return align(lowering, a, b, [(axis, axis) for axis in range(rank)], node.name)


def _read_all(lowering: Lowering, tensors: list[Tensor]) -> tuple[Result, list[list[int]]]:
    """The result of aligned views that broadcast to one another, and the result axes of each axis of the view."""
    result, places = Result(), []
    for axis in range(len(tensors[0].shape)):
        sizes = max((lowering.sizes(tensor, axis) for tensor in tensors), key=len)
        places.append(result.add(*sizes))
    return result, places


def add(lowering: Lowering, parts: list[tuple[Tensor, float]], origin: str, *, is_rectified: bool = False) -> Tensor:
    """Σ factor·tensor of aligned views of one rank."""
    read = [lowering.read(tensor, origin) for tensor, _ in parts]
    result, places = _read_all(lowering, [tensor for tensor, _ in read])
    terms = []
    for (tensor, scale), (_, factor) in zip(read, parts, strict=True):
        reading = Reading(lowering, tensor)
        for axis, place in enumerate(places):
            if tensor.groups[axis]:
                reading.direct(axis, place)
        terms.append(reading.plain(scale * factor))
    shape = tuple(np.broadcast_shapes(*(tensor.shape for tensor, _ in read)))
    return emit(lowering, result, terms, origin, shape=shape, is_rectified=is_rectified)


def multiply(lowering: Lowering, a: Tensor, b: Tensor, origin: str) -> Tensor:
    """Products element by element of aligned views."""
    (a, scale), (b, factor) = lowering.read(a, origin), lowering.read(b, origin)
    result, places = _read_all(lowering, [a, b])
    reading = Reading(lowering, a)
    other = [WeightsAxis(Mode.FIXED, NO_AXIS, 0)] * len(lowering.shapes[b.index])
    for axis, place in enumerate(places):
        if a.groups[axis] and b.groups[axis]:
            reading.shared(axis, place)
        elif a.groups[axis]:
            reading.direct(axis, place)
        for number, o in zip(b.groups[axis], place if b.groups[axis] else [], strict=True):
            other[number] = WeightsAxis(Mode.SHARED if a.groups[axis] else Mode.DIRECT, o)
    term: FloatTerm = reading.against(b, other, scale * factor)
    shape = tuple(np.broadcast_shapes(a.shape, b.shape))
    return emit(lowering, result, [term], origin, shape=shape)


def take_larger(lowering: Lowering, a: Tensor, b: Tensor, origin: str) -> Tensor:
    """max(a, b) = b + relu(a − b)."""
    a, b = lowering.resolve(a, origin), lowering.resolve(b, origin)
    over = add(lowering, [(a, 1.0), (b, -1.0)], origin, is_rectified=True)
    return add(lowering, [(pad_rank(b, len(over.shape)), 1.0), (over, 1.0)], origin)


def take_smaller(lowering: Lowering, a: Tensor, b: Tensor, origin: str) -> Tensor:
    """min(a, b) = a − relu(a − b)."""
    a, b = lowering.resolve(a, origin), lowering.resolve(b, origin)
    over = add(lowering, [(a, 1.0), (b, -1.0)], origin, is_rectified=True)
    return add(lowering, [(pad_rank(a, len(over.shape)), 1.0), (over, -1.0)], origin)
