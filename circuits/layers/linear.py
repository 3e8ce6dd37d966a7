"""LINEAR: accumulators that are sums of terms and a bias, then one rescale.

Everything but a table of a function is this: matrix products, convolutions, pooled sums, residual additions, comparisons,
products of tensors, and every movement of elements that an index map describes (circuits/layers/term.py).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod

import numpy as np

from circuits.errors import BoundError
from circuits.layers.axes import Axis, Mode
from circuits.layers.rescale import SHIFTS, compute_bound, is_within_bound, rescale
from circuits.layers.term import MAX_WEIGHTS, Shape, Term, Weights, decode_term
from circuits.tensors import MAX_ELEMENTS, MAX_RANK, Format, Integers, Reals

CODE = 0x10
WEIGHT_LIMIT = 1 << 23
BIAS_LIMIT = 1 << 46
MAX_TERMS = 8


@dataclass(frozen=True)
class Linear:
    """`shape` of the result; `bias_axis` is the result axis the bias runs along, None without a bias."""

    shape: Shape
    shift: int
    format: Format
    terms: tuple[Term, ...]
    bias_axis: int | None = None

    @property
    def operands(self) -> tuple[int, ...]:
        return tuple(operand for term in self.terms for operand in term.operands)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def problem(self, shapes: list[Shape]) -> str | None:
        """Why this operator is not acceptable behind tensors of those shapes, or None."""
        if self.shift not in SHIFTS:
            return f"shift {self.shift} is not one of {SHIFTS}"
        if problem := shape_problem(self.shape):
            return problem
        if not 1 <= len(self.terms) <= MAX_TERMS:
            return f"{len(self.terms)} terms, not 1 to {MAX_TERMS}"
        if self.bias_axis is not None and not 0 <= self.bias_axis < len(self.shape):
            return f"a bias along axis {self.bias_axis} of {len(self.shape)}"
        for number, term in enumerate(self.terms):
            tensor = shapes[term.tensor] if term.weights is Weights.TENSOR else ()
            if problem := term.problem(shapes[term.operand], tensor, self.shape):
                return f"term {number}: {problem}"
        return None

    def encode(self) -> bytes:
        """The operator's word and those of its terms."""
        bias = 0 if self.bias_axis is None else self.bias_axis + 1
        head = struct.pack(">BBBBBB2x", CODE, self.shift, self.format, len(self.shape), len(self.terms), bias)
        return head + encode_shape(self.shape) + b"".join(term.encode() for term in self.terms)

    def list_weights_shapes(self, shapes: list[Shape]) -> list[Shape]:
        """Of the parameters of each term that has some."""
        return [term.weights_shape(shapes[term.operand], self.shape) for term in self.terms if term.weights is Weights.PARAMETERS]


def decode(words: list[bytes], position: int) -> tuple[Linear, int]:
    """The operator at words[position], and the position after it. Raises ValueError, IndexError or struct.error."""
    _, shift, result, rank, count, bias = struct.unpack(">BBBBBB2x", words[position][:8])
    shape = decode_shape(words[position], rank)
    terms, position = [], position + 1
    for _ in range(count):
        term, position = decode_term(words, position)
        terms.append(term)
    return Linear(shape, shift, Format(result), tuple(terms), bias - 1 if bias else None), position


def shape_problem(shape: Shape) -> str | None:
    """Why a tensor cannot have this shape, or None."""
    if not 1 <= len(shape) <= MAX_RANK or min(shape) < 1 or prod(shape) > MAX_ELEMENTS:
        return f"shape {list(shape)} is not of rank 1 to {MAX_RANK}, empty, or above {MAX_ELEMENTS} elements"
    return None


def encode_shape(shape: Shape) -> bytes:
    """24 bytes."""
    return struct.pack(f">{MAX_RANK}I", *shape, *[0] * (MAX_RANK - len(shape)))


def decode_shape(word: bytes, rank: int) -> Shape:
    if rank > MAX_RANK:
        raise ValueError(f"rank {rank} is above {MAX_RANK}")
    return struct.unpack(f">{MAX_RANK}I", word[8:32])[:rank]


def make_dense(operand: int, operand_shape: Shape, outputs: int, shift: int, result: Format, positions: int = 0) -> Linear:
    """A matrix product: the first `positions` axes of the operand stay, the others are contracted; weights (inputs…, outputs)."""
    kept = tuple(Axis(Mode.DIRECT, result=number) for number in range(positions))
    axes = (*kept, *(Axis(Mode.CONTRACT) for _ in operand_shape[positions:]))
    shape = (*operand_shape[:positions], outputs)
    return Linear(shape, shift, result, (Term(operand, axes, Weights.PARAMETERS),), len(shape) - 1)


@dataclass(frozen=True)
class LinearWeights:
    """`weights`: one int64 array per term with parameters, in the shape the term asks for, each in (−2^23, 2^23); `bias`
    int64 along the bias axis, each in (−2^46, 2^46), or None."""

    weights: tuple[Integers, ...]
    bias: Integers | None = None

    @property
    def count(self) -> int:
        """Parameters in all."""
        return sum(array.size for array in self.weights) + (0 if self.bias is None else self.bias.size)

    def problem(self, layer: Linear, shapes: list[Shape]) -> str | None:
        """Why these numbers cannot be that operator's, or None. The static bound is checked apart."""
        expected, got = layer.list_weights_shapes(shapes), [array.shape for array in self.weights]
        if got != expected:
            return f"weights of shapes {got}, not {expected}"
        if (self.bias is None) != (layer.bias_axis is None):
            return "a bias where there is none, or none where there is one"
        if self.bias is not None and layer.bias_axis is not None and self.bias.shape != (layer.shape[layer.bias_axis],):
            return f"a bias of shape {self.bias.shape}, not {layer.shape[layer.bias_axis]}"
        for array in self.weights:
            if _largest(array) >= WEIGHT_LIMIT:
                return f"a weight of magnitude {_largest(array)} is not below 2^23"
        if self.bias is not None and _largest(self.bias) >= BIAS_LIMIT:
            return f"a bias of magnitude {_largest(self.bias)} is not below 2^46"
        return None

    def pair_with(self, layer: Linear) -> list[tuple[Term, Integers | None]]:
        """Every term with its parameters, None where it has none."""
        arrays = iter(self.weights)
        return [(term, next(arrays) if term.weights is Weights.PARAMETERS else None) for term in layer.terms]


def _largest(values: Integers) -> int:
    """Largest magnitude, in Python integers: numpy's abs of -2^63 is negative."""
    return max(abs(int(values.min())), abs(int(values.max())))


def compute_accumulator_range(
    layer: Linear, numbers: LinearWeights, formats: list[Format], shapes: list[Shape]
) -> tuple[Integers, Integers]:
    """Lowest and highest accumulator over all operands in their formats: the worst case, sign by sign; broadcastable to the result.

    Every partial sum, in any order, lies in this range too (with or without the bias), since zero does: that is why float64
    sums are exact below. No int64 overflow: 2^23 · 2^12 · 2^24 weights = 2^59, at most eight of those.
    """
    lowest = np.zeros((1,) * len(layer.shape), dtype=np.int64)
    highest = lowest
    for term, array in numbers.pair_with(layer):
        tensor = formats[term.tensor] if term.weights is Weights.TENSOR else None
        low, high = term.compute_range(formats[term.operand], tensor, array, shapes[term.operand], layer.shape)
        lowest, highest = lowest + low, highest + high
    bias = spread_bias(layer, numbers.bias)
    return lowest + bias, highest + bias


def spread_bias(layer: Linear, bias: Integers | None) -> Integers:
    """The bias, broadcastable to the result."""
    sizes = [1] * len(layer.shape)
    if bias is None or layer.bias_axis is None:
        return np.zeros(sizes, dtype=np.int64)
    sizes[layer.bias_axis] = len(bias)
    return bias.reshape(sizes)


def check_bound(name: str, layer: Linear, numbers: LinearWeights, formats: list[Format], shapes: list[Shape]) -> None:
    """Raise BoundError, naming the layer, if some operand in range leads outside the static bound."""
    lowest, highest = compute_accumulator_range(layer, numbers, formats, shapes)
    if not is_within_bound(int(lowest.min()), int(highest.max()), layer.shift, layer.format):
        bound = compute_bound(layer.shift)
        raise BoundError(
            name,
            f"-{bound} <= acc + 2^{layer.shift - 1} + 2^{layer.shift}*{layer.format.offset} < {bound}",
            f"accumulators from {int(lowest.min())} to {int(highest.max())}",
        )


def compute_accumulators(layer: Linear, numbers: LinearWeights, tensors: list[Integers], shapes: list[Shape]) -> Integers:
    """(batch, size) exact accumulators, from every tensor so far as (batch, size).

    Summed in float64, for its speed: every product and partial sum is an integer below 2^53 (check_bound), hence exact in any
    order.
    """
    total: Reals = np.zeros((len(tensors[0]), *layer.shape))
    for term, array in numbers.pair_with(layer):
        x, other = (tensors[number].reshape(-1, *shapes[number]).astype(np.float64) for number in (term.operand, term.tensor))
        total = total + term.compute(x, array, other if term.weights is Weights.TENSOR else None, layer.shape)
    return (total.astype(np.int64) + spread_bias(layer, numbers.bias)).reshape(len(total), layer.size)


def run(layer: Linear, numbers: LinearWeights, tensors: list[Integers], shapes: list[Shape]) -> Integers:
    """(batch, size) activations."""
    return rescale(compute_accumulators(layer, numbers, tensors, shapes), layer.shift, layer.format)


__all__ = ["CODE", "MAX_WEIGHTS", "Linear", "LinearWeights", "decode", "make_dense", "run"]
