"""Operators that move no number: Identity, Cast, Dropout, Flatten, Reshape, Squeeze, Unsqueeze, Transpose; and Shape and Size,
whose results are constants here.

A batch axis counts as 1: a statement is one sample. A Reshape must keep each sample whole, which it does as long as the
sizes agree.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from onnx import TensorProto

from circuits.compiler.lowerings.node import Node
from circuits.compiler.lowerings.reduce import drop_axes, read_axes
from circuits.compiler.values import Fixed, Lowering, Tensor, Value
from circuits.compiler.views import reshape

LOSSLESS_CASTS = {TensorProto.FLOAT, TensorProto.DOUBLE}


def lower_identity(node: Node, _: Lowering) -> list[Value]:
    return [node.tensor()]


def lower_dropout(node: Node, _: Lowering) -> list[Value]:
    """In inference: nothing. The mask is not given."""
    if len(node.inputs) > 2 and node.inputs[2] is not None and np.any(node.constant_array(2)):
        raise node.refuse("is in training mode", "training_mode = false")
    return [node.tensor()]


def lower_cast(node: Node, lowering: Lowering) -> list[Value]:
    """Float to float only, or integers that stay integers: any other cast rounds, which this compiler does in its own way and place."""
    to, x = node.attributes.get("to"), node.tensor()
    if to in LOSSLESS_CASTS or (to == TensorProto.INT32 and lowering.is_integer(x)):
        return [x]
    name = TensorProto.DataType.Name(to) if to in TensorProto.DataType.values() else to
    raise node.refuse(f"casts a computed tensor to {name}", "a cast to float32 or float64")


def lower_flatten(node: Node, lowering: Lowering) -> list[Value]:
    x, axis = node.tensor(), int(node.attributes.get("axis", 1))
    if not -len(x.shape) <= axis <= len(x.shape):
        raise node.refuse("axis", f"at most {len(x.shape)} in magnitude", axis)
    axis += len(x.shape) if axis < 0 else 0
    return [reshape(lowering, x, (prod(x.shape[:axis]), prod(x.shape[axis:])), node.name)]


def lower_reshape(node: Node, lowering: Lowering) -> list[Value]:
    x = node.tensor()
    target = node.integers(1) if len(node.inputs) > 1 else [int(v) for v in node.attributes.get("shape", [])]
    return [reshape(lowering, x, compute_reshaped(node, x.shape, target), node.name)]


def compute_reshaped(node: Node, shape: tuple[int, ...], target: list[int]) -> tuple[int, ...]:
    """ONNX Reshape: 0 copies a dimension (unless allowzero), one -1 takes what remains."""
    copies_zero = not node.attributes.get("allowzero", 0)
    if copies_zero and any(d == 0 and i >= len(shape) for i, d in enumerate(target)):
        raise node.refuse("copies a dimension that is not there", list(shape), target)
    dims = [shape[i] if d == 0 and copies_zero else d for i, d in enumerate(target)]
    known = prod(d for d in dims if d != -1)
    if dims.count(-1) == 1 and known > 0:
        dims[dims.index(-1)] = prod(shape) // known
    if any(d < 0 for d in dims) or prod(dims) != prod(shape):
        raise node.refuse("reshapes to another number of elements", list(shape), target)
    return tuple(dims)


def lower_squeeze(node: Node, _: Lowering) -> list[Value]:
    x = node.tensor()
    axes = read_axes(node, len(x.shape), [axis for axis, size in enumerate(x.shape) if size == 1])
    if any(x.shape[axis] != 1 for axis in axes):
        raise node.refuse("squeezes an axis of several entries", 1, [x.shape[axis] for axis in axes])
    return [drop_axes(x, axes)]


def lower_unsqueeze(node: Node, _: Lowering) -> list[Value]:
    x = node.tensor()
    given = node.integers(1) if len(node.inputs) > 1 else [int(a) for a in node.attributes.get("axes", [])]
    rank = len(x.shape) + len(given)
    axes = {a % rank for a in given if -rank <= a < rank}
    if len(axes) != len(given):
        raise node.refuse("axes", f"different ones of {rank}", given)
    shape, groups = iter(x.shape), iter(x.groups)
    return [
        replace(
            x,
            shape=tuple(1 if axis in axes else next(shape) for axis in range(rank)),
            groups=tuple(() if axis in axes else next(groups) for axis in range(rank)),
        )
    ]


def lower_transpose(node: Node, _: Lowering) -> list[Value]:
    x = node.tensor()
    order = [int(a) for a in node.attributes.get("perm", range(len(x.shape) - 1, -1, -1))]
    if sorted(order) != list(range(len(x.shape))):
        raise node.refuse("perm", f"an order of {len(x.shape)} axes", order)
    return [replace(x, shape=tuple(x.shape[a] for a in order), groups=tuple(x.groups[a] for a in order))]


def lower_shape(node: Node, _: Lowering) -> list[Value]:
    """The shape of one sample with its batch axis, which exporters compute with before a Reshape."""
    shape = node.tensor().shape
    stop = node.attributes.get("end", len(shape))
    return [Fixed(np.array(shape[node.attributes.get("start", 0) : stop], np.int64))]


def lower_size(node: Node, _: Lowering) -> list[Value]:
    return [Fixed(np.array(node.tensor().size, np.int64))]


def as_row(x: Tensor) -> Tensor:
    """All elements along one axis."""
    return Tensor(x.index, (1, x.size), ((), x.order), x.function)
