"""From a float layer to an integer one, given exponents: real value = integer · 2^-exponent.

With operand exponent e_x, result exponent e_y and shift s, weights have exponent e_y + s − e_x and the bias e_y + s, so
that the accumulator shifted by s has exponent e_y. Rounding is half up, like the rescale's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits.compiler.floats import FloatLayer
from circuits.errors import BoundError, CompileError
from circuits.layers.linear import BIAS_LIMIT, WEIGHT_LIMIT, Linear, LinearWeights, check_bound
from circuits.tensors import Format, Reals


@dataclass(frozen=True)
class Choice:
    """What calibration picks for one layer."""

    exponent: int
    shift: int


def quantise_layer(layer: FloatLayer, operand_exponent: int, operand: Format, choice: Choice) -> tuple[Linear, LinearWeights]:
    """The integer layer. Raises CompileError (BoundError for the static bound), naming the layer, if its numbers do not fit."""
    weights = _round(layer.weights, choice.exponent + choice.shift - operand_exponent)
    bias = _round(layer.bias, choice.exponent + choice.shift)
    _check_limit(layer.name, "weight", weights, WEIGHT_LIMIT)
    _check_limit(layer.name, "bias", bias, BIAS_LIMIT)
    outputs, inputs = weights.shape
    result = Format.RECTIFIED if layer.is_rectified else Format.SIGNED
    linear = Linear(layer.operand, layer.positions, inputs, outputs, choice.shift, result)
    numbers = LinearWeights(weights.astype(np.int64), bias.astype(np.int64))
    check_bound(layer.name, linear, numbers, operand)
    return linear, numbers


def _round(values: Reals, exponent: int) -> Reals:
    """Half up, still float64: what is too large for an integer is refused by its size."""
    with np.errstate(over="ignore"):
        return np.floor(np.ldexp(values, exponent) + 0.5)


def _check_limit(layer: str, what: str, values: Reals, limit: int) -> None:
    largest = float(np.abs(values).max())
    if largest >= limit:
        raise CompileError(f"layer '{layer}': largest {what}", f"below {limit}", f"{largest:.6g}")


def find_misfit(layer: FloatLayer, operand_exponent: int, operand: Format, choice: Choice) -> CompileError | None:
    """Why a choice does not fit, or None."""
    try:
        quantise_layer(layer, operand_exponent, operand, choice)
    except (BoundError, CompileError) as misfit:
        return misfit
    return None
