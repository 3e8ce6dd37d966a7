"""Slice, Split, Concat, Pad and Gather with constant indices: index maps along one axis, or weights of zeros and ones."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from circuits.compiler.floats import FREE, FloatTerm, Grid
from circuits.compiler.lowerings.broadcast import make_constant
from circuits.compiler.lowerings.node import Node
from circuits.compiler.terms import Reading, Result, emit
from circuits.compiler.values import Fixed, Lowering, Tensor, Value
from circuits.compiler.views import align, make_single, reshape
from circuits.layers.axes import MAX_STEP, NO_AXIS, Axis, Kernel, Mode
from circuits.layers.linear import MAX_TERMS
from circuits.tensors import MAX_ELEMENTS, Reals


def take(node: Node, lowering: Lowering, x: Tensor, axis: int, indices: list[int]) -> Tensor:
    """Entries of one axis of the view, in that order; the axis keeps its place."""
    size = x.shape[axis]
    if any(not 0 <= index < size for index in indices) or not indices:
        raise node.refuse("takes entries that are not there, or none", f"1 to {size} indices below {size}", indices[:8])
    if indices == list(range(size)):
        return x
    x, function = lowering.lift(x, node.name)
    if size == 1:
        return replace(repeat(lowering, x, axis, len(indices), node.name), function=function)
    x = make_single(lowering, x, axis, node.name)
    steps = set(np.diff(indices).tolist()) or {0}
    if len(steps) == 1 and max(map(abs, steps)) <= MAX_STEP:
        return replace(_take_steps(lowering, x, axis, indices, steps.pop(), node.name), function=function)
    return replace(_take_any(lowering, x, axis, indices, node.name), function=function)


def repeat(lowering: Lowering, x: Tensor, axis: int, count: int, origin: str) -> Tensor:
    """An axis of one entry, repeated."""
    reading, result = Reading(lowering, x), Result()
    for number in range(len(x.shape)):
        place = result.add(*(lowering.sizes(x, number) if number != axis else (count,)))
        if number != axis:
            reading.direct(number, place)
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    return emit(lowering, result, [reading.plain()], origin, shape=shape, grid=Grid(like=(x.index,)))


def _start(lowering: Lowering, x: Tensor, axis: int, size: int) -> tuple[Reading, Result, list[int]]:
    """Every other axis read directly; the result axis of this one."""
    reading, result, here = Reading(lowering, x), Result(), []
    for number in range(len(x.shape)):
        if number == axis:
            here = result.add(size)
        else:
            reading.direct(number, result.add(*lowering.sizes(x, number)))
    return reading, result, here


def _take_steps(lowering: Lowering, x: Tensor, axis: int, indices: list[int], step: int, origin: str) -> Tensor:
    reading, result, here = _start(lowering, x, axis, len(indices))
    if here:
        reading.map(axis, Axis(Mode.AFFINE, here[0], Kernel.NONE, NO_AXIS, 1, step, 0, indices[0]))
    else:
        reading.map(axis, Axis(Mode.FIXED, offset=indices[0]))
    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return emit(lowering, result, [reading.plain()], origin, shape=shape, grid=Grid(like=(x.index,)))


def _take_any(lowering: Lowering, x: Tensor, axis: int, indices: list[int], origin: str) -> Tensor:
    """Weights of zeros and ones."""
    reading, result, here = _start(lowering, x, axis, len(indices))
    chosen: Reals = np.zeros((x.shape[axis], len(indices)))
    chosen[indices, np.arange(len(indices))] = 1.0
    labels = [*reading.contract(axis), *(("result", o) for o in here)]
    term = reading.weighted(chosen, labels, result.shape)
    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return emit(lowering, result, [term], origin, shape=shape, grid=Grid(like=(x.index,)))


# ---- nodes --------------------------------------------------------------------------------------------------------------------------


def lower_slice(node: Node, lowering: Lowering) -> list[Value]:
    """Bounds were attributes before opset 10, inputs since."""
    x = node.tensor()
    if node.opset < 10:
        starts, ends = [int(v) for v in node.attributes["starts"]], [int(v) for v in node.attributes["ends"]]
        axes, steps = [int(v) for v in node.attributes.get("axes", range(len(starts)))], [1] * len(starts)
    else:
        starts, ends = node.integers(1), node.integers(2)
        axes = node.integers(3) if len(node.inputs) > 3 and node.inputs[3] is not None else list(range(len(starts)))
        steps = node.integers(4) if len(node.inputs) > 4 and node.inputs[4] is not None else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps or any(not -len(x.shape) <= a < len(x.shape) for a in axes):
        raise node.refuse("starts, ends, axes and steps", f"lists of one length, axes of {len(x.shape)}, no step of zero")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis % len(x.shape)]
        chosen = range(size)[slice(start, None if step < 0 and end < -size else end, step)]
        x = take(node, lowering, x, axis % len(x.shape), list(chosen))
    return [x]


def lower_split(node: Node, lowering: Lowering) -> list[Value]:
    x, axis = node.tensor(), _read_axis(node, node.tensor(), 0)
    size, count = x.shape[axis], len(node.output_names)
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        parts = node.integers(1)
    else:
        each = -(-size // int(node.attributes.get("num_outputs", count)))
        parts = [int(v) for v in node.attributes.get("split", [each] * (count - 1) + [size - each * (count - 1)])]
    if sum(parts) != size or len(parts) != count or min(parts) < 1:
        raise node.refuse("parts", f"{count} that add up to {size}", parts)
    starts = np.cumsum([0, *parts])
    return [take(node, lowering, x, axis, list(range(a, b))) for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]


def _read_axis(node: Node, x: Tensor, default: int) -> int:
    axis = int(node.attributes.get("axis", default))
    if not -len(x.shape) <= axis < len(x.shape):
        raise node.refuse("axis", f"between {-len(x.shape)} and {len(x.shape) - 1}", axis)
    return axis % len(x.shape)


def lower_gather(node: Node, lowering: Lowering) -> list[Value]:
    """Constant indices of any shape, along one axis."""
    x, axis = node.tensor(), _read_axis(node, node.tensor(), 0)
    indices, value = node.integers(1), node.inputs[1]
    assert isinstance(value, Fixed)
    taken = take(node, lowering, x, axis, [i + x.shape[axis] if i < 0 else i for i in indices])
    if value.array.ndim == 1:
        return [taken]
    shape = (*x.shape[:axis], *value.array.shape, *x.shape[axis + 1 :])
    return [reshape(lowering, taken, shape, node.name)]


def lower_concat(node: Node, lowering: Lowering) -> list[Value]:
    """Every operand read with its own offset; eight at a time."""
    tensors = []
    for position, value in enumerate(node.inputs):
        is_constant = isinstance(value, Fixed)
        tensors.append(make_constant(lowering, node.constant(position), node.name) if is_constant else node.tensor(position))
    axis = _read_axis(node, tensors[0], 1)
    shapes = {(*t.shape[:axis], *t.shape[axis + 1 :]) for t in tensors}
    if len(shapes) != 1:
        raise node.refuse("operands", f"the same shape but for axis {axis}", [list(t.shape) for t in tensors])
    while len(tensors) > 1:
        tensors = [_join(node, lowering, tensors[i : i + MAX_TERMS], axis) for i in range(0, len(tensors), MAX_TERMS)]
    return [tensors[0]]


def _join(node: Node, lowering: Lowering, tensors: list[Tensor], axis: int) -> Tensor:
    if len(tensors) == 1:
        return tensors[0]
    read = [lowering.read(x, node.name) for x in tensors]
    factors = [factor for _, factor in read]
    sources = [make_single(lowering, x, axis, node.name) for x, _ in read]
    others = [(n, n) for n in range(len(sources[0].shape)) if n != axis]
    for number in range(1, len(sources)):
        sources[0], sources[number] = align(lowering, sources[0], sources[number], others, node.name)
    for number in range(1, len(sources)):
        sources[0], sources[number] = align(lowering, sources[0], sources[number], others, node.name)
    total, start, terms = sum(x.shape[axis] for x in sources), 0, []
    for x, factor in zip(sources, factors, strict=True):
        reading, result, here = _start(lowering, x, axis, total)
        terms.append(_place(reading, x, axis, start, here[0], factor, result))
        start += x.shape[axis]
    shape = (*sources[0].shape[:axis], total, *sources[0].shape[axis + 1 :])
    is_exact = all(factor == 1.0 for factor in factors)
    grid = Grid(like=tuple(x.index for x in sources)) if is_exact and _is_of_one_format(lowering, sources) else FREE
    return emit(lowering, result, terms, node.name, shape=shape, grid=grid)


def _is_of_one_format(lowering: Lowering, tensors: list[Tensor]) -> bool:
    return len({x.index for x in tensors}) == 1 or len({lowering.is_never_negative(x.index) for x in tensors}) == 1


def _place(reading: Reading, x: Tensor, axis: int, start: int, here: int, factor: float, result: Result) -> FloatTerm:
    """The operand at `start` of the result's axis, zeros elsewhere."""
    if x.groups[axis]:
        reading.map(axis, Axis(Mode.AFFINE, here, Kernel.NONE, NO_AXIS, 1, 1, 0, -start))
        return reading.plain(factor)
    chosen: Reals = np.zeros(result.shape[here])
    chosen[start] = factor
    return reading.weighted(chosen, [("result", here)], result.shape)


def lower_pad(node: Node, lowering: Lowering) -> list[Value]:
    """Constant, reflect, edge and wrap; negative pads cut."""
    x = node.tensor()
    mode = node.attributes.get("mode", b"constant")
    pads, axes, value = _read_pads(node, len(x.shape))
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        size = x.shape[axis]
        if before < 0 or after < 0:
            x = take(node, lowering, x, axis, list(range(size))[max(-before, 0) : size - max(-after, 0)])
            before, after, size = max(before, 0), max(after, 0), x.shape[axis]
        if not before and not after:
            continue
        if (before + size + after) * (x.size // size) > MAX_ELEMENTS:
            raise node.refuse("pads", f"at most {MAX_ELEMENTS} elements", f"{before} and {after} beside {size}")
        if mode == b"constant":
            x = _pad_with(node, lowering, x, axis, before, after, value)
        else:
            x = take(node, lowering, x, axis, _extend(node, mode, size, before, after))
    return [x]


def _read_pads(node: Node, rank: int) -> tuple[list[int], list[int], float]:
    if node.opset < 11:
        pads, value = [int(v) for v in node.attributes["pads"]], float(node.attributes.get("value", 0.0))
    else:
        pads = node.integers(1)
        given = len(node.inputs) > 2 and node.inputs[2] is not None
        value = float(node.constant(2).reshape(-1)[0]) if given else 0.0
    axes = list(range(rank))
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = [a % rank for a in node.integers(3)]
    if len(pads) != 2 * len(axes):
        raise node.refuse("pads", f"{2 * len(axes)} numbers", pads)
    return pads, axes, value


def _extend(node: Node, mode: bytes, size: int, before: int, after: int) -> list[int]:
    modes = {b"reflect": "reflect", b"edge": "edge", b"wrap": "wrap"}
    if mode not in modes:
        raise node.refuse("mode", "constant, reflect, edge or wrap", mode.decode("ascii", "replace"))
    return [int(v) for v in np.pad(np.arange(size), (before, after), mode=modes[mode])]  # type: ignore[call-overload]


def _pad_with(node: Node, lowering: Lowering, x: Tensor, axis: int, before: int, after: int, value: float) -> Tensor:
    """A window of one entry that moves beyond both ends: zeros there, and a bias where they must be something else."""
    x = make_single(lowering, lowering.resolve(x, node.name), axis, node.name)
    total = before + x.shape[axis] + after
    reading, result, here = _start(lowering, x, axis, total)
    term = _place(reading, x, axis, before, here[0], 1.0, result)
    bias = np.zeros((1,) * len(result.shape))
    if value:
        outside = np.full(total, value)
        outside[before : before + x.shape[axis]] = 0.0
        bias = outside.reshape([-1 if number == here[0] else 1 for number in range(len(result.shape))])
    shape = (*x.shape[:axis], total, *x.shape[axis + 1 :])
    return emit(lowering, result, [term], node.name, bias=bias, shape=shape, grid=FREE if value else Grid(like=(x.index,)))


def lower_tile(node: Node, lowering: Lowering) -> list[Value]:
    x, repeats = node.tensor(), node.integers(1)
    if len(repeats) != len(x.shape) or min(repeats) < 1 or prod(repeats) * x.size > MAX_ELEMENTS:
        raise node.refuse("repeats", f"{len(x.shape)} numbers above zero", repeats)
    for axis, count in enumerate(repeats):
        if count > 1:
            x = take(node, lowering, x, axis, list(range(x.shape[axis])) * count)
    return [replace(x)]
