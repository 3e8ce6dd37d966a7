"""Operators that move no number: Identity, Cast between floats, Flatten, Reshape, and Shape, whose result is a constant
here.

A batch axis counts as 1: a statement is one sample. A Reshape must keep each sample whole, which it does as long as the
sizes agree.
"""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto

from circuits.compiler.lowerings.node import Node
from circuits.compiler.values import Fixed, Lowering, Tensor, Value

LOSSLESS_CASTS = {TensorProto.FLOAT, TensorProto.DOUBLE}


def lower_identity(node: Node, _: Lowering) -> list[Value]:
    return [node.tensor()]


def lower_cast(node: Node, _: Lowering) -> list[Value]:
    """Float to float only: any other cast rounds, which this compiler does in its own way and place."""
    if node.attributes.get("to") not in LOSSLESS_CASTS:
        to = node.attributes.get("to")
        name = TensorProto.DataType.Name(to) if to in TensorProto.DataType.values() else to
        raise node.refuse(f"casts a computed tensor to {name}", "a cast to float32 or float64")
    return [node.tensor()]


def lower_flatten(node: Node, _: Lowering) -> list[Value]:
    x, axis = node.tensor(), int(node.attributes.get("axis", 1))
    if not -len(x.shape) <= axis <= len(x.shape):
        raise node.refuse("axis", f"at most {len(x.shape)} in magnitude", axis)
    axis += len(x.shape) if axis < 0 else 0
    return [Tensor(x.index, (prod(x.shape[:axis]), prod(x.shape[axis:])))]


def lower_reshape(node: Node, _: Lowering) -> list[Value]:
    x = node.tensor()
    return [Tensor(x.index, compute_reshaped(node, x.shape, node.integers(1)))]


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


def lower_shape(node: Node, _: Lowering) -> list[Value]:
    """The shape of one sample with its batch axis, which exporters compute with before a Reshape."""
    shape = node.tensor().shape
    stop = node.attributes.get("end", len(shape))
    return [Fixed(np.array(shape[node.attributes.get("start", 0) : stop], np.int64))]
