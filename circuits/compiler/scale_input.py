"""Choosing how real inputs become integers: one exponent for the tensor, or an exponent and a zero point per element.

Measurements of different magnitude (a cell's area beside its smoothness) lose the small ones under a common exponent.
Powers of two per element and integer zero points fold into the first layer's weights and biases without rounding the
weights' mantissas.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from circuits.compiler.floats import FloatNetwork, FloatTerm, Step, Sum
from circuits.compiler.fold import merge_before
from circuits.compiler.quantise import compute_exponent
from circuits.layers.axes import Axis, Mode
from circuits.layers.term import Shape, Term, Weights
from circuits.scaling import MAX_SCALED_ELEMENTS, ZERO_POINT_LIMIT, InputScaling
from circuits.tensors import Format, Reals

HEADROOM = 1.125  # inputs beyond the calibrated range by an eighth still fit


def find_scaling(samples: Reals, network: FloatNetwork) -> InputScaling | None:
    """A scaling per element from the calibrated ranges, (n, size) samples; None where the network cannot take one."""
    if samples.shape[1] > MAX_SCALED_ELEMENTS or not all(_can_take(layer, network.input_shape) for layer in network.layers):
        return None
    lowest, highest = samples.min(axis=0), samples.max(axis=0)
    elements = [_scale_element(float(low), float(high)) for low, high in zip(lowest, highest, strict=True)]
    if any(abs(zero_point) >= ZERO_POINT_LIMIT for _, zero_point in elements):
        return None
    return InputScaling(tuple(e for e, _ in elements), tuple(z for _, z in elements))


def _can_take(layer: Step, shape: Shape) -> bool:
    """Whether every element of the input has weights of its own in this layer, or the layer does not read it."""
    if 0 not in layer.operands:
        return True
    if not isinstance(layer, Sum) or layer.grid.like:
        return False
    return all(0 not in term.operands or is_constant(term) or _is_weighted(term, shape) for term in layer.terms)


def _is_weighted(term: FloatTerm, shape: Shape) -> bool:
    if term.weights is None:
        return False
    modes = [axis.mode for axis, size in zip(term.term.axes, shape, strict=True) if size > 1]
    return all(mode in (Mode.CONTRACT, Mode.SHARED) for mode in modes)


def _scale_element(low: float, high: float) -> tuple[int, int]:
    """Exponent and zero point that put [low, high] with headroom amid the signed range; a constant as if it varied by itself."""
    middle, radius = (low + high) / 2, (high - low) / 2 * HEADROOM or abs(low)
    exponent = compute_exponent(-radius, radius, Format.SIGNED)
    return exponent, int(np.floor(np.ldexp(middle, exponent) + 0.5))


def apply_scaling(network: FloatNetwork, scaling: InputScaling) -> FloatNetwork | None:
    """The network as a function of the integers themselves: its input tensor then has exponent 0. None where a bias cannot hold it."""
    shape = network.input_shape
    scale = np.ldexp(1.0, -np.array(scaling.exponents, np.int32))
    offset = (np.array(scaling.zero_points, np.float64) * scale).reshape(shape)
    term = Term(0, tuple(Axis(Mode.SHARED, number) for number in range(len(shape))), Weights.PARAMETERS)
    affine = Sum(shape, (FloatTerm(term, 1.0, scale.reshape(shape)),), offset, ("input",))
    layers: list[Step] = []
    for layer in network.layers:
        scaled = _scale_layer(layer, affine, shape) if isinstance(layer, Sum) else layer
        if scaled is None:
            return None
        layers.append(scaled)
    return replace(network, layers=tuple(layers))


def _scale_layer(layer: Sum, affine: Sum, shape: Shape) -> Sum | None:
    merged: Sum | None = layer
    for number, term in enumerate(layer.terms):
        if term.term.operand == 0 and not is_constant(term):
            merged = merge_before(affine, merged, number, {0: shape}) if merged is not None else None
    return None if merged is None else replace(merged, origin=layer.origin)


def is_constant(term: FloatTerm) -> bool:
    """Whether a term multiplies what it reads by zeros."""
    return term.weights is not None and not term.weights.any()
