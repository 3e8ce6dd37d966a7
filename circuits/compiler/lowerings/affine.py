"""Add, Sub, Mul and Div of a tensor by constants, Neg, and ai.onnx.ml.Scaler: all of them y = scale·x + offset, element by element."""

from __future__ import annotations

from math import prod

import numpy as np

from circuits.compiler.floats import Affine
from circuits.compiler.lowerings.node import Node
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.tensors import Reals


def lower_arithmetic(node: Node, lowering: Lowering) -> list[Value]:
    """Add, Sub, Mul, Div with one computed operand."""
    if len(node.inputs) == 2 and all(isinstance(v, Tensor) for v in node.inputs):
        raise node.refuse("both operands are computed", "a constant operand; sums and products of two activations are not supported yet")
    tensor_first = isinstance(node.inputs[0], Tensor)
    x, c = node.tensor(0 if tensor_first else 1), node.constant(1 if tensor_first else 0)
    shape = _broadcast(node, x, c)
    c, one, zero = np.broadcast_to(c, shape).reshape(-1), np.ones(prod(shape)), np.zeros(prod(shape))
    match node.operator:
        case "Add":
            scale, offset = one, c
        case "Sub":
            scale, offset = (one, -c) if tensor_first else (-one, c)
        case "Mul":
            scale, offset = c, zero
        case _ if tensor_first:
            scale, offset = one / _nonzero(node, c), zero
        case _:
            raise node.refuse("divides a constant by a computed tensor", "a reciprocal table, which is not supported yet")
    return [lowering.append(Affine(x.index, scale, offset, (node.name,)), shape)]


def _nonzero(node: Node, c: Reals) -> Reals:
    if not np.all(c):
        raise node.refuse("divides by a constant zero")
    return c


def _broadcast(node: Node, x: Tensor, c: Reals) -> tuple[int, ...]:
    """The result's shape; the constant may add axes of one, but not repeat the tensor."""
    try:
        shape = np.broadcast_shapes(x.shape, c.shape)
    except ValueError as error:
        raise node.refuse("operands do not broadcast", list(x.shape), list(c.shape)) from error
    if prod(shape) != x.size:
        raise node.refuse("the constant repeats the tensor's elements", f"a constant that broadcasts to {list(x.shape)}", list(c.shape))
    return tuple(shape)


def lower_negative(node: Node, lowering: Lowering) -> list[Value]:
    x = node.tensor()
    return [lowering.append(Affine(x.index, -np.ones(x.size), np.zeros(x.size), (node.name,)), x.shape)]


def lower_scaler(node: Node, lowering: Lowering) -> list[Value]:
    """ai.onnx.ml.Scaler: (x − offset)·scale, attributes of length 1 or of the last axis."""
    x = node.tensor()
    offset, scale = _feature_attribute(node, x, "offset"), _feature_attribute(node, x, "scale")
    return [lowering.append(Affine(x.index, scale, -offset * scale, (node.name,)), x.shape)]


def _feature_attribute(node: Node, x: Tensor, name: str) -> Reals:
    values = np.array(node.attributes.get(name, []), np.float64)
    if len(values) not in (1, x.shape[-1]) or not np.isfinite(values).all():
        raise node.refuse(f"attribute '{name}'", f"1 or {x.shape[-1]} finite numbers", f"{len(values)} values")
    return np.broadcast_to(values, x.shape).reshape(-1).astype(np.float64)
