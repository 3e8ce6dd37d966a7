"""Choosing how real inputs become integers: one exponent for the tensor, or an exponent and a zero point per element.

Measurements of different magnitude (a cell's area beside its smoothness) lose the small ones under a common exponent.
Powers of two per element and integer zero points fold into the first layer's weights and biases without rounding the
weights' mantissas.
"""

from __future__ import annotations

from dataclasses import replace
from math import frexp

import numpy as np

from circuits.compiler.floats import Affine, FloatLayer, FloatNetwork, Matrix
from circuits.compiler.fold import merge_affine_before
from circuits.scaling import MAX_SCALED_ELEMENTS, ZERO_POINT_LIMIT, InputScaling
from circuits.tensors import MAX_EXPONENT, Format, Reals

HEADROOM = 1.125  # inputs beyond the calibrated range by an eighth still fit


def compute_exponent(lowest: float, highest: float, result: Format) -> int:
    """The largest exponent with which [lowest, highest] does not saturate; 0 for a range of nothing but zero."""
    share = max(highest / (result.high + 0.5), lowest / (result.low - 0.5))
    if share <= 0:
        return 0
    _, exponent = frexp(share * (1 - 1e-9))  # where a range ends exactly at a power of two, its last bit decides nothing
    return max(-MAX_EXPONENT, min(MAX_EXPONENT, -exponent))


def find_scaling(samples: Reals, network: FloatNetwork) -> InputScaling | None:
    """A scaling per element from the calibrated ranges, (n, size) samples; None where the network cannot take one."""
    first = [layer for layer in network.layers if layer.operand == 0]
    if samples.shape[1] > MAX_SCALED_ELEMENTS or any(layer.positions != 1 for layer in first):
        return None
    lowest, highest = samples.min(axis=0), samples.max(axis=0)
    elements = [_scale_element(float(low), float(high)) for low, high in zip(lowest, highest, strict=True)]
    if any(abs(zero_point) >= ZERO_POINT_LIMIT for _, zero_point in elements):
        return None
    return InputScaling(tuple(e for e, _ in elements), tuple(z for _, z in elements))


def _scale_element(low: float, high: float) -> tuple[int, int]:
    """Exponent and zero point that put [low, high] with headroom amid the signed range; a constant as if it varied by itself."""
    middle, radius = (low + high) / 2, (high - low) / 2 * HEADROOM or abs(low)
    exponent = compute_exponent(-radius, radius, Format.SIGNED)
    return exponent, int(np.floor(np.ldexp(middle, exponent) + 0.5))


def apply_scaling(network: FloatNetwork, scaling: InputScaling) -> FloatNetwork:
    """The network as a function of the integers themselves: its input tensor then has exponent 0."""
    scale = np.ldexp(1.0, -np.array(scaling.exponents, np.int32))
    offset = np.array(scaling.zero_points, np.float64) * scale
    affine = Affine(0, scale, offset, ("input",))
    return replace(network, layers=tuple(_scale_layer(layer, affine) if layer.operand == 0 else layer for layer in network.layers))


def _scale_layer(layer: FloatLayer, affine: Affine) -> FloatLayer:
    matrix = merge_affine_before(affine, Matrix(0, layer.weights, layer.bias.reshape(1, -1), (layer.name,)))
    return replace(layer, weights=matrix.weights, bias=matrix.bias[0])
