"""Functions of every element, each with the attributes ONNX gives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from circuits.compiler import functions
from circuits.compiler.floats import FloatTerm
from circuits.compiler.functions import RELU, Function
from circuits.compiler.lowerings.node import Node
from circuits.compiler.terms import Reading, Result, emit
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.compiler.views import put_in_order, spread_constant

SELU_ALPHA, SELU_SCALE = 1.67326319217681884765625, 1.05070102214813232421875


def _number(node: Node, name: str, default: float) -> float:
    return float(node.attributes.get(name, default))


MAKERS: dict[str, Callable[[Node], Function]] = {
    "Relu": lambda _: RELU,
    "LeakyRelu": lambda node: functions.make_leaky(_number(node, "alpha", 0.01)),
    "ThresholdedRelu": lambda node: functions.make_thresholded(_number(node, "alpha", 1.0)),
    "Elu": lambda node: functions.make_elu(_number(node, "alpha", 1.0), 1.0, 1.0),
    "Celu": lambda node: functions.make_elu(_number(node, "alpha", 1.0), 1.0, _number(node, "alpha", 1.0)),
    "Selu": lambda node: functions.make_elu(_number(node, "alpha", SELU_ALPHA), _number(node, "gamma", SELU_SCALE), 1.0),
    "HardSigmoid": lambda node: functions.make_hard_sigmoid(_number(node, "alpha", 0.2), _number(node, "beta", 0.5)),
    "Gelu": lambda node: functions.make_gelu(node.attributes.get("approximate", b"none").decode("ascii", "replace")),
    "Swish": lambda node: functions.make_swish(_number(node, "alpha", 1.0)),
    "QuickGelu": lambda node: functions.make_swish(_number(node, "alpha", 1.702)),
    "Shrink": lambda node: functions.make_shrink(_number(node, "lambd", 0.5), _number(node, "bias", 0.0)),
}


def lower_function(node: Node, lowering: Lowering) -> list[Value]:
    """A function without attributes, or one of MAKERS."""
    operator = node.operator.rpartition(".")[2]
    function = MAKERS[operator](node) if operator in MAKERS else functions.make_plain(operator)
    return [lowering.apply(node.tensor(), function, node.name)]


def lower_clip(node: Node, lowering: Lowering) -> list[Value]:
    """Bounds were attributes before opset 11, inputs since."""
    low, high = node.attributes.get("min", -np.inf), node.attributes.get("max", np.inf)
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        low = float(node.constant(1).reshape(-1)[0])
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        high = float(node.constant(2).reshape(-1)[0])
    function = RELU if low == 0.0 and high >= np.finfo(np.float32).max else functions.make_clip(float(low), float(high))
    return [lowering.apply(node.tensor(), function, node.name)]


def lower_prelu(node: Node, lowering: Lowering) -> list[Value]:
    """One slope is a table. Others: x + (1 − slope)·relu(−x)."""
    x, slope = node.tensor(), node.constant(1)
    if not np.any(slope != slope.reshape(-1)[0]):
        return [lowering.apply(x, functions.make_leaky(float(slope.reshape(-1)[0])), node.name)]
    try:
        np.broadcast_to(slope, x.shape)
    except ValueError as error:
        raise node.refuse("slopes do not broadcast to the tensor", list(x.shape), list(slope.shape)) from error
    source = put_in_order(lowering, lowering.resolve(x, node.name), node.name)
    negative = lowering.apply(lowering.apply(source, functions.make_affine(-1.0, 0.0), node.name), RELU, node.name)
    below = lowering.resolve(negative, node.name)
    return [_combine(lowering, source, below, 1.0 - slope, node.name)]


def _combine(lowering: Lowering, x: Tensor, below: Tensor, scale: np.ndarray, origin: str) -> Tensor:
    shape = lowering.shapes[x.index]
    values = spread_constant(lowering, below, scale)
    direct, shared, result = Reading(lowering, x), Reading(lowering, below), Result([(size,) for size in shape])
    labels = []
    varying = [axis for axis, size in enumerate(values.shape) if size > 1]
    for view_axis, group in enumerate(x.groups):
        direct.direct(view_axis, list(group))
        if set(group) & set(varying):
            labels += shared.shared(view_axis, list(group))
        else:
            shared.direct(view_axis, list(group))
    kept = [a for _, a in labels]
    full = np.broadcast_to(values, [shape[a] if a in kept else 1 for a in range(len(shape))])
    scaled = shared.weighted(full.reshape([shape[a] for a in sorted(kept)]), [("axis", a) for a in sorted(kept)], shape)
    terms: list[FloatTerm] = [direct.plain(), scaled]
    moved = emit(lowering, result, terms, origin)
    return Tensor(moved.index, x.shape, x.groups)
