"""From a float layer to an integer one, given exponents: real value = integer · 2^-exponent.

With operand exponent e_x, result exponent e_y and shift s, weights have exponent e_y + s − e_x and the bias e_y + s, so
that the accumulator shifted by s has exponent e_y. Rounding is half up, like the rescale's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from circuits.compiler.floats import FloatLayer
from circuits.errors import CompileError
from circuits.layers.linear import BIAS_LIMIT, WEIGHT_LIMIT, Linear, LinearWeights, check_bound, make_dense
from circuits.layers.term import Shape
from circuits.tensors import Format, Reals


@dataclass(frozen=True)
class Choice:
    """What calibration picks for one layer."""

    exponent: int
    shift: int


def quantise_layer(
    layer: FloatLayer, operand_exponent: int, operand: Format, shape: Shape, choice: Choice
) -> tuple[Linear, LinearWeights]:
    """The integer layer on an operand of that format and shape. Raises CompileError (BoundError for the static bound), naming the layer, if its numbers do not fit."""
    weights = _round(layer.weights, choice.exponent + choice.shift - operand_exponent)
    bias = _round(layer.bias, choice.exponent + choice.shift)
    _check_limit(layer.name, "weight", weights, WEIGHT_LIMIT)
    _check_limit(layer.name, "bias", bias, BIAS_LIMIT)
    result = Format.RECTIFIED if layer.is_rectified else Format.SIGNED
    linear = make_dense(0, shape, len(weights), choice.shift, result, _count_position_axes(layer, shape))
    kept = weights.T.reshape(*linear.list_weights_shapes([shape])[0])
    numbers = LinearWeights((kept.astype(np.int64),), bias.astype(np.int64))
    check_bound(layer.name, linear, numbers, [operand], [shape])
    return replace(linear, terms=tuple(replace(term, operand=layer.operand) for term in linear.terms)), numbers


def _count_position_axes(layer: FloatLayer, shape: Shape) -> int:
    """How many leading axes of the operand are the layer's positions."""
    for count in range(len(shape) + 1):
        if prod(shape[:count]) == layer.positions:
            return count
    raise CompileError(f"layer '{layer.name}'", "positions that are whole axes", f"{layer.positions} of {list(shape)}")


def _round(values: Reals, exponent: int) -> Reals:
    """Half up, still float64: what is too large for an integer is refused by its size."""
    with np.errstate(over="ignore"):
        return np.floor(np.ldexp(values, exponent) + 0.5)


def _check_limit(layer: str, what: str, values: Reals, limit: int) -> None:
    largest = float(np.abs(values).max())
    if largest >= limit:
        raise CompileError(f"layer '{layer}': largest {what}", f"below {limit}", f"{largest:.6g}")
