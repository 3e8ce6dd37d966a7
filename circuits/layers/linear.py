"""Linear: acc[p, o] = Σ_j weights[o, j]·x[p, j] + bias[o], then one rescale.

The operand's elements, in row-major order, are read as (positions, in_features); the result is (positions,
out_features). Gemm and MatMul by constants are this, with positions = 1 for a vector; so is every affine step that
could not be folded, with a diagonal matrix.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from circuits.errors import BoundError
from circuits.layers.rescale import SHIFTS, compute_bound, is_within_bound, rescale
from circuits.tensors import MAX_ELEMENTS, Format, Integers

CODE = 0x10
WORDS = 1
WEIGHT_LIMIT = 1 << 23
BIAS_LIMIT = 1 << 46
MAX_WEIGHTS = 1 << 24


@dataclass(frozen=True)
class Linear:
    """What the descriptor says of one linear step: operand id, true dimensions, shift, format of the result."""

    operand: int
    positions: int
    in_features: int
    out_features: int
    shift: int
    format: Format

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.operand,)

    @property
    def input_size(self) -> int:
        return self.positions * self.in_features

    @property
    def size(self) -> int:
        return self.positions * self.out_features

    def problem(self) -> str | None:
        """Why this operator is not acceptable whatever its operand, or None."""
        if self.shift not in SHIFTS:
            return f"shift {self.shift} is not one of {SHIFTS}"
        if min(self.positions, self.in_features, self.out_features) < 1:
            return "a dimension is zero"
        if max(self.size, self.input_size) > MAX_ELEMENTS or self.in_features * self.out_features > MAX_WEIGHTS:
            return f"above {MAX_ELEMENTS} elements or {MAX_WEIGHTS} weights"
        return None

    def encode(self) -> bytes:
        """One 32-byte word: code, shift, format, 0, u32 operand, u32 positions, u32 in_features, u32 out_features, 12 zero bytes."""
        dimensions = (self.operand, self.positions, self.in_features, self.out_features)
        return struct.pack(">BBBxIIII12x", CODE, self.shift, self.format, *dimensions)


def decode(word: bytes) -> Linear:
    """Inverse of encode. Unused bytes are compared by the caller, who encodes again; an unknown format raises ValueError."""
    _, shift, result, operand, positions, inputs, outputs = struct.unpack(">BBBxIIII12x", word)
    return Linear(operand, positions, inputs, outputs, shift, Format(result))


@dataclass(frozen=True)
class LinearWeights:
    """weights int64 (out_features, in_features), each in (-2^23, 2^23); bias int64 (out_features,), each in (-2^46, 2^46)."""

    weights: Integers
    bias: Integers

    def problem(self, layer: Linear) -> str | None:
        """Why these numbers cannot be that layer's, or None. Ranges and shapes; the static bound is checked apart."""
        if self.weights.shape != (layer.out_features, layer.in_features) or self.bias.shape != (layer.out_features,):
            return f"weights {self.weights.shape} and bias {self.bias.shape} do not have the layer's dimensions"
        if _largest(self.weights) >= WEIGHT_LIMIT:
            return f"a weight of magnitude {_largest(self.weights)} is not below 2^23"
        if _largest(self.bias) >= BIAS_LIMIT:
            return f"a bias of magnitude {_largest(self.bias)} is not below 2^46"
        return None


def _largest(values: Integers) -> int:
    """Largest magnitude, in Python integers: numpy's abs of -2^63 is negative."""
    return max(abs(int(values.min())), abs(int(values.max())))


def compute_accumulator_range(parameters: LinearWeights, operand: Format) -> tuple[Integers, Integers]:
    """Lowest and highest accumulator of every output feature over all operands in the format: the worst case, sign by
    sign.

    Both formats contain zero, so every partial sum, in any order, lies in this range too (with or without the bias):
    that is why float64 sums are exact below. No int64 overflow: 2^23 · 2^12 · 2^22 features = 2^57.
    """
    at_low, at_high = parameters.weights * operand.low, parameters.weights * operand.high
    lowest = np.minimum(at_low, at_high).sum(axis=1) + parameters.bias
    highest = np.maximum(at_low, at_high).sum(axis=1) + parameters.bias
    return lowest, highest


def check_bound(name: str, layer: Linear, parameters: LinearWeights, operand: Format) -> None:
    """Raise BoundError, naming the layer, if some operand in range leads outside the static bound."""
    lowest, highest = compute_accumulator_range(parameters, operand)
    if not is_within_bound(int(lowest.min()), int(highest.max()), layer.shift, layer.format):
        bound = compute_bound(layer.shift)
        raise BoundError(
            name,
            f"-{bound} <= acc + 2^{layer.shift - 1} + 2^{layer.shift}*{layer.format.offset} < {bound}",
            f"accumulators from {int(lowest.min())} to {int(highest.max())}",
        )


def compute_accumulators(layer: Linear, parameters: LinearWeights, operand: Integers) -> Integers:
    """(batch, size of operand) to (batch, size) exact accumulators.

    Multiplied in float64, for its speed: every product and partial sum is an integer below 2^53 (check_bound), hence
    exact in any order.
    """
    x = operand.reshape(-1, layer.in_features).astype(np.float64)
    products = x @ parameters.weights.T.astype(np.float64)
    return (products.astype(np.int64) + parameters.bias).reshape(len(operand), layer.size)


def run(layer: Linear, parameters: LinearWeights, operand: Integers) -> Integers:
    """(batch, size of operand) to (batch, size) activations."""
    return rescale(compute_accumulators(layer, parameters, operand), layer.shift, layer.format)
