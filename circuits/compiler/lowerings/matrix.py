"""Gemm and MatMul, by constants and of two computed tensors, and ai.onnx.ml.LinearRegressor."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from circuits.compiler.lowerings.broadcast import add, make_constant
from circuits.compiler.lowerings.node import Node
from circuits.compiler.terms import Label, Reading, Result, emit
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.compiler.views import align, pad_rank
from circuits.layers.axes import NO_AXIS, Mode, WeightsAxis
from circuits.layers.linear import MAX_WEIGHTS
from circuits.tensors import Reals


def lower_gemm(node: Node, lowering: Lowering) -> list[Value]:
    """alpha·A·B + beta·C; A computed, B and C computed or constant."""
    alpha, beta = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    a = _transpose(node.tensor(0)) if node.attributes.get("transA", 0) else node.tensor(0)
    has_c = len(node.inputs) > 2 and node.inputs[2] is not None
    if isinstance(node.inputs[1], Tensor):
        other = _transpose(node.tensor(1)) if node.attributes.get("transB", 0) else node.tensor(1)
        product = multiply_tensors(node, lowering, a, other, alpha)
        if not has_c:
            return [product]
        return [_add_computed(node, lowering, product, 2, beta)]
    b = node.constant(1)
    if len(a.shape) != 2 or b.ndim != 2:
        raise node.refuse("operands are not matrices", "rank 2 and 2", f"rank {len(a.shape)} and {b.ndim}")
    weights = (b.T if node.attributes.get("transB", 0) else b) * alpha
    _check_inner(node, a, weights)
    if has_c and isinstance(node.inputs[2], Tensor):
        return [_add_computed(node, lowering, multiply(lowering, a, weights, np.zeros(1), node.name), 2, beta)]
    c, shape = node.constant(2, np.zeros(1)) * beta, (a.shape[0], weights.shape[1])
    try:
        bias = np.broadcast_to(c, shape) if c.any() else np.zeros(1)
    except ValueError as error:
        raise node.refuse("C does not broadcast to the result", list(shape), list(c.shape)) from error
    return [multiply(lowering, a, weights, bias, node.name)]


def _transpose(x: Tensor) -> Tensor:
    return replace(x, shape=x.shape[::-1], groups=x.groups[::-1])


def _add_computed(node: Node, lowering: Lowering, product: Tensor, position: int, beta: float) -> Tensor:
    c = pad_rank(node.tensor(position), len(product.shape))
    if any(size not in (1, whole) for size, whole in zip(c.shape, product.shape, strict=True)):
        raise node.refuse("C does not broadcast to the result", list(product.shape), list(c.shape))
    product, c = align(lowering, product, c, [(axis, axis) for axis in range(len(product.shape))], node.name)
    return add(lowering, [(product, 1.0), (c, beta)], node.name)


def lower_matmul(node: Node, lowering: Lowering) -> list[Value]:
    """x·B with B a constant matrix or vector, every leading axis of x a position; or any product of two computed tensors."""
    if isinstance(node.inputs[0], Tensor) and isinstance(node.inputs[1], Tensor):
        return [multiply_tensors(node, lowering, node.inputs[0], node.inputs[1], 1.0)]
    if not isinstance(node.inputs[0], Tensor):
        return [_multiply_from_left(node, lowering)]
    return [multiply_by(node, lowering, node.tensor(0), node.constant(1))]


def multiply_by(node: Node, lowering: Lowering, x: Tensor, b: Reals) -> Tensor:
    """x·b with a constant vector, matrix or stack of matrices."""
    while b.ndim > 2 and b.shape[0] == 1 and len(x.shape) >= b.ndim:
        b = b[0]
    if b.ndim not in (1, 2):
        return multiply_tensors(node, lowering, x, make_constant(lowering, b, node.name), 1.0)
    weights = b.reshape(len(b), -1)
    _check_inner(node, x, weights)
    result = multiply(lowering, x, weights, np.zeros(1), node.name)
    return result if b.ndim == 2 else replace(result, shape=result.shape[:-1], groups=result.groups[:-1])


def _multiply_from_left(node: Node, lowering: Lowering) -> Tensor:
    """A·x as (xᵀ·Aᵀ)ᵀ."""
    a, x = node.constant(0), node.tensor(1)
    while a.ndim > 2 and a.shape[0] == 1 and len(x.shape) >= a.ndim:
        a = a[0]
    if a.ndim not in (1, 2):
        return multiply_tensors(node, lowering, make_constant(lowering, a, node.name), x, 1.0)
    if len(x.shape) > 1:
        x = swap_last(x)
    weights = a.reshape(-1, a.shape[-1]).T
    _check_inner(node, x, weights)
    result = multiply(lowering, x, weights, np.zeros(1), node.name)
    if a.ndim == 1:
        return replace(result, shape=result.shape[:-1], groups=result.groups[:-1])
    return swap_last(result) if len(x.shape) > 1 else result


def swap_last(x: Tensor) -> Tensor:
    shape, groups = x.shape, x.groups
    return replace(x, shape=(*shape[:-2], shape[-1], shape[-2]), groups=(*groups[:-2], groups[-1], groups[-2]))


def multiply(lowering: Lowering, x: Tensor, weights: Reals, bias: Reals, origin: str) -> Tensor:
    """x·weights + bias over the last axis of the view; weights (inputs, outputs), bias broadcasts to the result."""
    source, factor = lowering.read(x, origin)
    reading, result, last = Reading(lowering, source), Result(), len(source.shape) - 1
    for axis in range(last):
        reading.direct(axis, result.add(*lowering.sizes(source, axis)))
    inner = lowering.sizes(source, last)
    labels: list[Label] = reading.contract(last)
    outputs = weights.shape[1]
    labels += [("result", o) for o in result.add(outputs)]
    values = (weights * factor).reshape([*inner, *([outputs] if outputs > 1 else [])])
    spread = _spread_bias(result, bias, (*source.shape[:-1], outputs))
    return emit(
        lowering, result, [reading.weighted(values, labels, result.shape)], origin, bias=spread, shape=(*source.shape[:-1], outputs)
    )


def _spread_bias(result: Result, bias: Reals, shape: tuple[int, ...]) -> Reals:
    """A bias that broadcasts to the result's view, over the axes of its step."""
    bias, sizes = np.asarray(bias, np.float64).reshape((1,) * (len(shape) - np.ndim(bias)) + np.shape(bias)), []
    for size, group in zip(bias.shape, result.sizes, strict=True):
        sizes += [*group] if size > 1 else [1] * len(group)
    return bias.reshape(sizes or [1])


def multiply_tensors(node: Node, lowering: Lowering, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """ONNX MatMul of two computed tensors: leading axes broadcast, the last of a is contracted with the one before the last of b."""
    drops = (len(a.shape) == 1, len(b.shape) == 1)
    a = pad_rank(a, 2) if drops[0] else a
    b = replace(b, shape=(*b.shape, 1), groups=(*b.groups, ())) if drops[1] else b
    rank = max(len(a.shape), len(b.shape))
    a, b = pad_rank(a, rank), pad_rank(b, rank)
    pairs = [(axis, axis) for axis in range(rank - 2)]
    fits = all(a.shape[m] == b.shape[n] or 1 in (a.shape[m], b.shape[n]) for m, n in pairs)
    if not fits or a.shape[-1] != b.shape[-2]:
        raise node.refuse("shapes do not multiply", list(a.shape), list(b.shape))
    a, b = align(lowering, a, b, [*pairs, (rank - 1, rank - 2)], node.name)
    (a, scale), (b, factor) = lowering.read(a, node.name), lowering.read(b, node.name)
    reading, result = Reading(lowering, a), Result()
    other = [WeightsAxis(Mode.FIXED, NO_AXIS, 0)] * len(lowering.shapes[b.index])
    for axis in range(rank - 2):
        place = result.add(*(lowering.sizes(a, axis) or lowering.sizes(b, axis)))
        if a.groups[axis] and b.groups[axis]:
            reading.shared(axis, place)
        elif a.groups[axis]:
            reading.direct(axis, place)
        for number, o in zip(b.groups[axis], place if b.groups[axis] else [], strict=True):
            other[number] = WeightsAxis(Mode.SHARED if a.groups[axis] else Mode.DIRECT, o)
    reading.direct(rank - 2, result.add(*lowering.sizes(a, rank - 2)))
    for (_, axis), number in zip(reading.contract(rank - 1), b.groups[rank - 2], strict=True):
        other[number] = WeightsAxis(Mode.CONTRACT, axis)
    for number, o in zip(b.groups[rank - 1], result.add(*lowering.sizes(b, rank - 1)), strict=True):
        other[number] = WeightsAxis(Mode.DIRECT, o)
    leading = [max(a.shape[axis], b.shape[axis]) for axis in range(rank - 2)]
    shape = (*leading, a.shape[-2], b.shape[-1])
    product = emit(lowering, result, [reading.against(b, other, scale * factor * alpha)], node.name, shape=shape)
    kept = [axis for axis in range(rank) if not ((axis == rank - 2 and drops[0]) or (axis == rank - 1 and drops[1]))]
    return replace(product, shape=tuple(product.shape[axis] for axis in kept), groups=tuple(product.groups[axis] for axis in kept))


def lower_linear_regressor(node: Node, lowering: Lowering) -> list[Value]:
    """ai.onnx.ml.LinearRegressor without a post transform: one row of coefficients per target."""
    if node.attributes.get("post_transform", b"NONE") != b"NONE":
        raise node.refuse("has a post_transform", "NONE")
    x = node.tensor()
    weights, bias = read_linear_attributes(node, x, int(node.attributes.get("targets", 1)))
    return [multiply_rows(lowering, x, weights, bias, node.name)]


def multiply_rows(lowering: Lowering, x: Tensor, weights: Reals, bias: Reals, origin: str) -> Tensor:
    """All elements of x as one row, by weights (rows, elements) and bias (1, rows)."""
    row = Tensor(x.index, (1, x.size), ((), x.order), x.function)
    return multiply(lowering, row, weights.T, bias, origin)


def read_linear_attributes(node: Node, x: Tensor, rows: int) -> tuple[Reals, Reals]:
    """coefficients as (rows, features), intercepts as (1, rows); absent intercepts are zeros."""
    coefficients = np.array(node.attributes.get("coefficients", []), np.float64)
    intercepts = np.array(node.attributes.get("intercepts", [0.0] * max(rows, 0)), np.float64)
    if rows < 1 or len(coefficients) != rows * x.size or len(intercepts) != rows:
        raise node.refuse("coefficients and intercepts", f"{rows}·{x.size} and {rows}", f"{len(coefficients)} and {len(intercepts)}")
    if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
        raise node.refuse("coefficients hold NaN or infinity", "finite numbers")
    return coefficients.reshape(rows, x.size), intercepts.reshape(1, rows)


def _check_inner(node: Node, x: Tensor, weights: Reals) -> None:
    if not x.shape or x.shape[-1] != weights.shape[0]:
        raise node.refuse("inner dimensions differ", x.shape[-1] if x.shape else "an axis", weights.shape[0])
    if weights.size > MAX_WEIGHTS or 0 in weights.shape or prod(weights.shape) == 0:
        raise node.refuse("number of weights", f"1 to {MAX_WEIGHTS}", weights.size)
