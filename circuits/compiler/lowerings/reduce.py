"""Sums, means and maxima along whole axes."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from circuits.compiler.functions import Function, make_plain
from circuits.compiler.lowerings.node import Node
from circuits.compiler.lowerings.pool import sum_windows, take_largest, whole
from circuits.compiler.lowerings.windows import Window
from circuits.compiler.values import Fixed, Lowering, Tensor, Value
from circuits.layers.axes import MAX_KERNEL


def read_axes(node: Node, rank: int, default: list[int]) -> list[int]:
    """Axes were an attribute before opset 13 or 18, an input since; none means `default`."""
    if len(node.inputs) > 1 and isinstance(node.inputs[1], Fixed):
        axes = node.integers(1)
    else:
        axes = [int(a) for a in node.attributes.get("axes", [])]
    if any(not -rank <= a < rank for a in axes):
        raise node.refuse("axes", f"between {-rank} and {rank - 1}", axes)
    return sorted({a % rank for a in axes}) or default


def lower_reduction(node: Node, lowering: Lowering) -> list[Value]:
    """ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceSumSquare, ReduceL1, ReduceL2."""
    x = node.tensor()
    rank = len(x.shape)
    noop = bool(node.attributes.get("noop_with_empty_axes", 0))
    axes = read_axes(node, rank, [] if noop else list(range(rank)))
    if any(x.shape[axis] > MAX_KERNEL for axis in axes):
        raise node.refuse("reduces an axis", f"at most {MAX_KERNEL} entries", max(x.shape[axis] for axis in axes))
    result = _reduce(node, lowering, x, axes)
    if node.attributes.get("keepdims", 1):
        return [result]
    return [drop_axes(result, axes)]


def drop_axes(x: Tensor, axes: list[int]) -> Tensor:
    """The view without these axes, which have one entry each."""
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    return replace(x, shape=tuple(x.shape[axis] for axis in kept), groups=tuple(x.groups[axis] for axis in kept))


def _reduce(node: Node, lowering: Lowering, x: Tensor, axes: list[int]) -> Tensor:
    match node.operator:
        case "ReduceMax":
            for axis in axes:
                x = take_largest(node, lowering, x, axis, whole(x.shape[axis]))
            return x
        case "ReduceMin":
            negative = Function("negative", lambda v: -v, affine=(-1.0, 0.0))
            x = lowering.apply(x, negative, node.name)
            for axis in axes:
                x = take_largest(node, lowering, x, axis, whole(x.shape[axis]))
            return lowering.apply(x, negative, node.name)
        case "ReduceSumSquare" | "ReduceL2":
            x = sum_axes(lowering, lowering.apply(x, Function("square", lambda v: v * v), node.name), axes, 1.0, node.name)
            return lowering.apply(x, make_plain("Sqrt"), node.name) if node.operator == "ReduceL2" else x
        case "ReduceL1":
            return sum_axes(lowering, lowering.apply(x, make_plain("Abs"), node.name), axes, 1.0, node.name)
        case "ReduceMean":
            return sum_axes(lowering, x, axes, 1.0 / prod(x.shape[axis] for axis in axes), node.name)
        case _:
            return sum_axes(lowering, x, axes, 1.0, node.name)


def sum_axes(lowering: Lowering, x: Tensor, axes: list[int], factor: float, origin: str) -> Tensor:
    windows = [whole(size) if axis in axes else Window(size, 1, 1, 1, 0, 0, size) for axis, size in enumerate(x.shape)]
    return sum_windows(lowering, x, windows, factor, origin)
