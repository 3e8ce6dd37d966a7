"""A tensor against a constant, element by element: Add, Sub, Mul and Div; Neg, BatchNormalization, and ai.onnx.ml.Scaler.

All of them are scale·x + offset. One number each waits on the view; arrays become a sum, which folding puts into its neighbours.
"""

from __future__ import annotations

from math import prod

import numpy as np

from circuits.compiler.floats import find_varying
from circuits.compiler.functions import BINARY, Function, make_affine
from circuits.compiler.lowerings.broadcast import expand, lower_two, make_constant
from circuits.compiler.lowerings.node import Node
from circuits.compiler.terms import Reading, Result, emit
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.compiler.views import spread_constant
from circuits.tensors import Reals


def lower_with_constant(node: Node, lowering: Lowering, x: Tensor, c: Reals, tensor_first: bool) -> list[Value]:
    """Add, Sub, Mul, Div, Max, Min or Pow of a computed tensor and a constant that broadcasts to it, or to which it broadcasts."""
    shape = read_broadcast(node, x, c)
    if node.operator in ("Max", "Min") and np.any(c != c.reshape(-1)[0]):
        return [lower_two(node, lowering, node.operator, x, make_constant(lowering, c, node.name))]
    x = expand(lowering, x, shape, node.name)
    if not c.size or not np.any(c != c.reshape(-1)[0]):
        return [lowering.apply(x, _with_number(node, float(c.reshape(-1)[0]), tensor_first), node.name)]
    one = np.ones((1,) * len(shape))
    match node.operator:
        case "Add":
            scale, offset = one, c
        case "Sub":
            scale, offset = (one, -c) if tensor_first else (-one, c)
        case "Mul":
            scale, offset = c, 0 * one
        case "Div" if tensor_first:
            scale, offset = one / _nonzero(node, c), 0 * one
        case "Div":
            x = lowering.apply(x, Function("reciprocal", lambda v: 1.0 / v), node.name)
            scale, offset = c, 0 * one
        case _:
            raise node.refuse("has an exponent that differs by element", "one number")
    return [scale_and_move(lowering, x, scale, offset, node.name)]


def _with_number(node: Node, c: float, tensor_first: bool) -> Function:
    match node.operator:
        case "Add":
            return make_affine(1.0, c)
        case "Sub":
            return make_affine(1.0, -c) if tensor_first else make_affine(-1.0, c)
        case "Mul" if c:
            return make_affine(c, 0.0)
        case "Div" if tensor_first:
            return make_affine(1.0 / float(_nonzero(node, np.array(c))), 0.0)
        case _:
            apply = BINARY[node.operator]
            if tensor_first:
                return Function(f"{node.operator.lower()} with {c:.6g}", lambda x: apply(x, np.asarray(c)))
            return Function(f"{node.operator.lower()} of {c:.6g}", lambda x: apply(np.asarray(c), x))


def scale_and_move(lowering: Lowering, x: Tensor, scale: Reals, offset: Reals, origin: str) -> Tensor:
    """scale·x + offset with constants that broadcast to the view."""
    source, factor = lowering.read(x, origin)
    rank = len(lowering.shapes[source.index])
    scales = spread_constant(lowering, source, np.asarray(scale, np.float64)) * factor
    offsets = spread_constant(lowering, source, np.asarray(offset, np.float64))
    shape, varying = lowering.shapes[source.index], find_varying(scales)
    whole = Tensor(source.index, shape, tuple((axis,) for axis in range(rank)))
    reading, result, labels = Reading(lowering, whole), Result([(size,) for size in shape]), []
    for axis in range(rank):
        if axis in varying:
            labels += reading.shared(axis, [axis])
        else:
            reading.direct(axis, [axis])
    values = scales[tuple(slice(None) if axis in varying else 0 for axis in range(rank))]
    term = reading.weighted(values, labels, shape) if varying else reading.plain(float(scales.reshape(-1)[0]))
    moved = emit(lowering, result, [term], origin, bias=offsets)
    return Tensor(moved.index, source.shape, source.groups)


def _nonzero(node: Node, c: Reals) -> Reals:
    if not np.all(c):
        raise node.refuse("divides by a constant zero")
    return c


def read_broadcast(node: Node, x: Tensor, c: Reals) -> tuple[int, ...]:
    """The result's shape. A constant may repeat the tensor, up to the caps."""
    try:
        shape = np.broadcast_shapes(x.shape, c.shape)
    except ValueError as error:
        raise node.refuse("operands do not broadcast", list(x.shape), list(c.shape)) from error
    if prod(shape) == 0:
        raise node.refuse("gives an empty tensor")
    return tuple(shape)


def lower_negative(node: Node, lowering: Lowering) -> list[Value]:
    return [lowering.apply(node.tensor(), make_affine(-1.0, 0.0), node.name)]


def lower_batch_normalization(node: Node, lowering: Lowering) -> list[Value]:
    """In inference: gamma·(x − mean)/sqrt(var + epsilon) + beta, along axis 1."""
    if node.attributes.get("training_mode", 0):
        raise node.refuse("is in training mode", "training_mode = 0")
    x = node.tensor()
    gamma, beta, mean, variance = (node.constant(position).reshape(-1) for position in range(1, 5))
    channels = x.shape[1] if len(x.shape) > 1 else 1
    if {len(gamma), len(beta), len(mean), len(variance)} != {channels}:
        raise node.refuse("parameters", f"{channels} numbers each")
    squared = variance + float(node.attributes.get("epsilon", 1e-5))
    if not np.all(squared > 0):
        raise node.refuse("has a variance that is not positive")
    scale, shape = gamma / np.sqrt(squared), (channels, *[1] * (len(x.shape) - 2))
    return [scale_and_move(lowering, x, scale.reshape(shape), (beta - mean * scale).reshape(shape), node.name)]


def lower_scaler(node: Node, lowering: Lowering) -> list[Value]:
    """ai.onnx.ml.Scaler: (x − offset)·scale, attributes of length 1 or of the last axis."""
    x = node.tensor()
    offset, scale = _feature_attribute(node, x, "offset"), _feature_attribute(node, x, "scale")
    return [scale_and_move(lowering, x, scale, -offset * scale, node.name)]


def _feature_attribute(node: Node, x: Tensor, name: str) -> Reals:
    values = np.array(node.attributes.get(name, []), np.float64)
    if len(values) not in (1, x.shape[-1]) or not np.isfinite(values).all():
        raise node.refuse(f"attribute '{name}'", f"1 or {x.shape[-1]} finite numbers", f"{len(values)} values")
    return values
