"""Views: reshaping and aligning tensors without moving an element where that is possible, by a copy where it is not.

A copy splits an axis (AFFINE with a kernel that is a result axis), merges two (MERGE), or brings axes into another order;
it keeps its operand's exponent, so it is exact.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from circuits.compiler.floats import FloatTerm, Grid, Sum
from circuits.compiler.values import Lowering, Tensor
from circuits.errors import InvariantBroken
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode
from circuits.layers.term import Shape, Term
from circuits.tensors import Reals

ABSENT = Axis(Mode.FIXED, offset=0)


def identity_groups(sizes: list[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Groups of a step whose axes lie in the order of a view with these sizes."""
    groups, number = [], 0
    for group in sizes:
        groups.append(tuple(range(number, number + len(group))))
        number += len(group)
    return tuple(groups)


def make_shape(sizes: list[tuple[int, ...]]) -> Shape:
    """Of a step with these axes; one axis of one entry where there is none."""
    return tuple(size for group in sizes for size in group) or (1,)


def copy_by(lowering: Lowering, tensor: Tensor, axes: tuple[Axis, ...], result: Shape, origin: str) -> int:
    """An exact copy of a resolved tensor's step through an index map."""
    term = FloatTerm(Term(tensor.index, axes))
    return lowering.append(Sum(result, (term,), np.zeros((1,) * len(result)), (origin,), grid=Grid(like=(tensor.index,))))


def is_in_order(tensor: Tensor) -> bool:
    """Whether the step's elements, row by row, are the view's."""
    return list(tensor.order) == sorted(tensor.order)


def put_in_order(lowering: Lowering, tensor: Tensor, origin: str) -> Tensor:
    """A view of a step that has exactly the view's axes, in their order. A function keeps waiting."""
    sizes = [lowering.sizes(tensor, axis) for axis in range(len(tensor.shape))]
    shape = make_shape(sizes)
    if shape == lowering.shapes[tensor.index] and is_in_order(tensor):
        return tensor
    source = lowering.resolve(tensor, origin) if tensor.function is not None and tensor.function.is_barrier else tensor
    axes = [ABSENT] * len(lowering.shapes[source.index])
    for number, axis in enumerate(source.order):
        axes[axis] = Axis(Mode.DIRECT, number)
    return replace(source, index=copy_by(lowering, source, tuple(axes), shape, origin), groups=identity_groups(sizes))


def reshape(lowering: Lowering, tensor: Tensor, target: tuple[int, ...], origin: str) -> Tensor:
    """The same elements, row by row, in another shape."""
    for _ in range(64):
        groups, problem = _group(lowering, tensor, target)
        if problem is None:
            return replace(tensor, shape=target, groups=groups)
        position, needed = problem
        tensor = put_in_order(lowering, tensor, origin)
        size = lowering.shapes[tensor.index][position]
        if size % needed == 0:
            tensor = split_axis(lowering, tensor, position, needed, origin)
        else:
            tensor = merge_axes(lowering, tensor, position, origin)
    raise AssertionError("a reshape that does not end")


def _group(lowering: Lowering, tensor: Tensor, target: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], ...], tuple[int, int] | None]:
    """Groups for the target shape; or the place in the order where an axis does not fit, and how much of it was needed."""
    order, shape, groups, position = tensor.order, lowering.shapes[tensor.index], [], 0
    for size in target:
        group, done = [], 1
        while done < size:
            entries = shape[order[position]]
            if size % (done * entries):
                return (), (position, size // done if size % done == 0 and entries > size // done else entries + 1)
            group.append(order[position])
            done, position = done * entries, position + 1
        groups.append(tuple(group))
    return tuple(groups), None


def split_axis(lowering: Lowering, tensor: Tensor, position: int, high: int, origin: str) -> Tensor:
    """A tensor in order with one axis of its step, of high·low entries, made two. Its view becomes one axis for each of the step's."""
    shape = lowering.shapes[tensor.index]
    low = shape[position] // high
    axes = [Axis(Mode.DIRECT, number if number < position else number + 1) for number in range(len(shape))]
    axes[position] = Axis(Mode.AFFINE, position, Kernel.RESULT, position + 1, low, low, 1, 0)
    result = (*shape[:position], high, low, *shape[position + 1 :])
    return _flat_view(lowering, tensor, copy_by(lowering, tensor, tuple(axes), result, origin))


def merge_axes(lowering: Lowering, tensor: Tensor, position: int, origin: str) -> Tensor:
    """A tensor in order with an axis of its step and the next one made one."""
    shape = lowering.shapes[tensor.index]
    position = min(position, len(shape) - 2)
    axes = [Axis(Mode.DIRECT, number if number < position else number - 1) for number in range(len(shape))]
    axes[position : position + 2] = [Axis(Mode.MERGE, position), Axis(Mode.MERGED, NO_AXIS)]
    result = (*shape[:position], shape[position] * shape[position + 1], *shape[position + 2 :])
    return _flat_view(lowering, tensor, copy_by(lowering, tensor, tuple(axes), result, origin))


def _flat_view(lowering: Lowering, tensor: Tensor, index: int) -> Tensor:
    shape = lowering.shapes[index]
    return Tensor(index, shape, tuple((axis,) for axis in range(len(shape))), tensor.function)


def make_single(lowering: Lowering, tensor: Tensor, axis: int, origin: str) -> Tensor:
    """The view with one axis of it being at most one axis of the step."""
    while len(tensor.groups[axis]) > 1:
        shape, groups = tensor.shape, tensor.groups
        tensor = put_in_order(lowering, tensor, origin)
        position = tensor.groups[axis][0]
        sizes = [lowering.sizes(tensor, number) for number in range(len(shape))]
        merged = merge_axes(lowering, tensor, position, origin)
        first = sizes[axis]
        sizes[axis] = (first[0] * first[1], *first[2:])
        tensor = replace(merged, shape=shape, groups=identity_groups(sizes))
        if len(groups) != len(tensor.groups):
            raise InvariantBroken(f"{len(tensor.groups)} groups of axes after a split that leaves {len(groups)}")
    return tensor


def make_real(lowering: Lowering, tensor: Tensor, axis: int, origin: str) -> Tensor:
    """The view with an axis of one entry that its step has too, so that a window can move beyond its ends."""
    if tensor.groups[axis]:
        return tensor
    tensor = put_in_order(lowering, tensor, origin)
    position = sum(len(group) for group in tensor.groups[:axis])
    shape = lowering.shapes[tensor.index] if tensor.order else ()
    axes = tuple(Axis(Mode.DIRECT, number if number < position else number + 1) for number in range(len(shape)))
    index = copy_by(lowering, tensor, axes or (ABSENT,), (*shape[:position], 1, *shape[position:]), origin)
    moved = [tuple(a if a < position else a + 1 for a in group) for group in tensor.groups]
    moved[axis] = (position,)
    return replace(tensor, index=index, groups=tuple(moved))


def align(lowering: Lowering, a: Tensor, b: Tensor, pairs: list[tuple[int, int]], origin: str) -> tuple[Tensor, Tensor]:
    """Both views with equal sizes behind every pair of axes (of a, of b) that both have."""
    for first, second in pairs:
        if a.groups[first] and b.groups[second] and lowering.sizes(a, first) != lowering.sizes(b, second):
            a, b = make_single(lowering, a, first, origin), make_single(lowering, b, second, origin)
    return a, b


def pad_rank(tensor: Tensor, rank: int) -> Tensor:
    """The view with axes of one in front, as broadcasting wants."""
    missing = rank - len(tensor.shape)
    return replace(tensor, shape=(1,) * missing + tensor.shape, groups=((),) * missing + tensor.groups)


def spread_constant(lowering: Lowering, tensor: Tensor, values: Reals) -> Reals:
    """A constant that broadcasts to the view, over the axes of its step: the step's rank, ones where it does not vary."""
    shape, sizes = lowering.shapes[tensor.index], []
    values = values.reshape((1,) * (len(tensor.shape) - values.ndim) + values.shape)
    for axis, size in enumerate(values.shape):
        sizes += [*lowering.sizes(tensor, axis)] if size > 1 else [1] * len(tensor.groups[axis])
    order = tensor.order
    split = values.reshape(sizes).transpose([order.index(axis) for axis in sorted(order)])
    full = iter(split.shape)
    return split.reshape([next(full) if axis in order else 1 for axis in range(len(shape))])
