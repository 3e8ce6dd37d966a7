"""Reading through a copy: a sum that reads a padded or sliced tensor reads the tensor itself, through one index map.

A Pad before a convolution is then part of its windows, and a strided slice part of whatever reads it: no rows.
"""

from __future__ import annotations

from dataclasses import replace

from circuits.compiler.floats import FloatTerm, Sum
from circuits.layers.axes import MAX_OFFSET, MAX_STEP, Axis, Kernel, Mode
from circuits.layers.term import Shape, Weights


def read_through(parent: Sum, step: Sum, number: int, shapes: dict[int, Shape]) -> Sum | None:
    """The step with its term reading what `parent` copies; None where one map cannot say it."""
    term, source = step.terms[number], parent.terms[0].term.operand
    if not _is_copy(parent) or term.term.weights is Weights.TENSOR:
        return None
    axes = _compose_axes(parent.terms[0], term, shapes[source], parent.shape, step.shape)
    if axes is None:
        return None
    moved = replace(term, term=replace(term.term, operand=source, axes=axes))
    like = tuple(source if k == term.term.operand else k for k in step.grid.like)
    terms = (*step.terms[:number], moved, *step.terms[number + 1 :])
    return replace(step, terms=terms, grid=replace(step.grid, like=like))


def _is_copy(parent: Sum) -> bool:
    """One term of factor 1 and nothing else, in the operand's own numbers."""
    term = parent.terms[0]
    is_plain = len(parent.terms) == 1 and term.term.weights is Weights.NONE and term.factor == 1.0
    return is_plain and not parent.is_rectified and not parent.bias.any() and parent.grid.like == (term.term.operand,)


def _compose_axes(copy: FloatTerm, term: FloatTerm, operand: Shape, between: Shape, result: Shape) -> tuple[Axis, ...] | None:
    named = [axis.result for axis in copy.term.axes if axis.mode is not Mode.FIXED]
    if named != sorted(named) or named != list(range(len(between))):
        return None  # weights lie in the order of the operand's axes; a repeated axis has none
    axes = []
    for axis, size in zip(copy.term.axes, operand, strict=True):
        if axis.mode is Mode.FIXED:
            axes.append(axis)
            continue
        composed = _compose(axis, term.term.axes[axis.result], size, between[axis.result], result)
        if composed is None:
            return None
        axes.append(composed)
    return tuple(axes)


def _compose(first: Axis, second: Axis, size: int, between: int, result: Shape) -> Axis | None:
    """The map of an axis of `size` entries read by `first` into one of `between`, which `second` reads."""
    if second.mode in (Mode.MERGE, Mode.MERGED):
        return None
    if first.mode is Mode.DIRECT:
        return second
    if first.mode is not Mode.AFFINE or first.kernel is not Kernel.NONE:
        return None
    match second.mode:
        case Mode.FIXED:
            index = first.stride * second.offset + first.offset
            return Axis(Mode.FIXED, offset=index) if 0 <= index < size else None
        case Mode.DIRECT:
            return replace(first, result=second.result)
        case Mode.AFFINE:
            return _compose_windows(first, second, size, between, result)
        case _:
            return None


def _compose_windows(first: Axis, second: Axis, size: int, between: int, result: Shape) -> Axis | None:
    """None where the window reads padding of its own at a place where the tensor before has a number."""
    read = second.compute_indices(result)
    reached = first.stride * read + first.offset
    if (((read < 0) | (read >= between)) & (reached >= 0) & (reached < size)).any():
        return None
    stride, dilation, offset = first.stride * second.stride, first.stride * second.dilation, first.stride * second.offset + first.offset
    if max(abs(stride), abs(dilation)) > MAX_STEP or abs(offset) > MAX_OFFSET:
        return None
    return replace(second, stride=stride, dilation=dilation, offset=offset)
