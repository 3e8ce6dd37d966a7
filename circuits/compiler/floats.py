"""The float network: what an ONNX graph means, before any number is rounded.

Tensor 0 is the input; step k gives tensor k. A step is a sum of terms, which reads its operands through the very index
maps of the integer network (circuits/layers/term.py), or a function of every element. float64 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from circuits.compiler.functions import Function
from circuits.layers.axes import Axis, Mode
from circuits.layers.linear import MAX_TERMS
from circuits.layers.term import Shape, Term, Weights
from circuits.tensors import Reals

BATCH_ELEMENTS = 1 << 23  # of a gathered operand at once: 64 MB


@dataclass(frozen=True)
class Grid:
    """How a tensor's exponent is found: free to choose; that of `like` (the lowest of them); or fixed.

    `rounds`: the values are integers of the source model, so the float network rounds as well.
    """

    like: tuple[int, ...] = ()
    exponent: int | None = None
    rounds: bool = False

    @property
    def is_free(self) -> bool:
        return not self.like and self.exponent is None


FREE = Grid()


@dataclass(frozen=True, eq=False)
class FloatTerm:
    """factor·Σ W(…)·x(…). `weights` in the order the term asks for, with factor 1; None where the term has no parameters."""

    term: Term
    factor: float = 1.0
    weights: Reals | None = None

    @property
    def operands(self) -> tuple[int, ...]:
        return self.term.operands

    def compute(self, tensors: Sequence[Reals], shapes: Sequence[Shape], result: Shape) -> Reals:
        x = tensors[self.term.operand].reshape(-1, *shapes[self.term.operand])
        other = tensors[self.term.tensor].reshape(-1, *shapes[self.term.tensor]) if self.term.weights is Weights.TENSOR else None
        value = self.term.compute(x, self.weights, other, result)  # type: ignore[arg-type]  # real weights in place of integers
        return np.asarray(value * self.factor)

    def move(self, places: dict[int, int]) -> FloatTerm:
        """The same term with its operands numbered anew."""
        tensor = places[self.term.tensor] if self.term.weights is Weights.TENSOR else 0
        return replace(self, term=replace(self.term, operand=places[self.term.operand], tensor=tensor))

    def count_products(self, result: Shape) -> int:
        """Multiplications of one sample, about."""
        if self.weights is None:
            return prod(result) * self.term.count_summed()
        named = {o for axis in self.term.axes if axis.mode is not Mode.SHARED for o in axis.list_results()}
        return self.weights.size * prod(result[o] for o in named)

    def count_gathered(self, operand: Shape, result: Shape) -> int:
        """Elements of the operand of one sample once its windows are laid out."""
        return prod(_spread_axis(axis, size, result) for axis, size in zip(self.term.axes, operand, strict=True))


def _spread_axis(axis: Axis, size: int, result: Shape) -> int:
    return axis.count_positions(result) * axis.kernel_size if axis.mode is Mode.AFFINE else size


@dataclass(frozen=True, eq=False)
class Sum:
    """Σ terms + bias, rectified or not. `bias` has the result's rank, with axes of one where it does not vary."""

    shape: Shape
    terms: tuple[FloatTerm, ...]
    bias: Reals
    origin: tuple[str, ...]
    is_rectified: bool = False
    grid: Grid = FREE

    @property
    def operands(self) -> tuple[int, ...]:
        return tuple(operand for term in self.terms for operand in term.operands)

    def run(self, tensors: Sequence[Reals], shapes: Sequence[Shape]) -> Reals:
        """(batch, size)."""
        total = self.bias[None] + sum(term.compute(tensors, shapes, self.shape) for term in self.terms)
        y = np.maximum(total, 0.0) if self.is_rectified else total
        y = np.rint(y) if self.grid.rounds else y
        return np.broadcast_to(y, (len(y), *self.shape)).reshape(len(y), -1)

    def count_products(self) -> int:
        return prod(self.shape) + sum(term.count_products(self.shape) for term in self.terms)

    def count_gathered(self, shapes: Sequence[Shape]) -> int:
        return max(term.count_gathered(shapes[term.term.operand], self.shape) for term in self.terms)

    def count_weights(self) -> int:
        return sum(term.weights.size for term in self.terms if term.weights is not None)


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A function of every element."""

    operand: int
    shape: Shape
    function: Function
    origin: tuple[str, ...]
    grid: Grid = FREE

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.operand,)

    def run(self, tensors: Sequence[Reals], _: Sequence[Shape]) -> Reals:
        return self.function(tensors[self.operand])

    def count_products(self) -> int:
        return 8 * prod(self.shape)

    def count_gathered(self, _: Sequence[Shape]) -> int:
        return prod(self.shape)

    def count_weights(self) -> int:
        return 0


Step = Sum | Pointwise


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """Layers in topological order; the last one is the output. Shapes without the batch axis."""

    input_name: str
    input_shape: Shape
    layers: tuple[Step, ...]
    output_name: str
    output_shape: Shape
    shapes: tuple[Shape, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", (self.input_shape, *(layer.shape for layer in self.layers)))

    def run(self, x: Reals) -> list[Reals]:
        """Every tensor by index, input first, each (batch, its size), for x (batch, size of the input)."""
        step = self.choose_batch()
        parts = [self._run_batch(x[start : start + step]) for start in range(0, len(x), step)]
        return parts[0] if len(parts) == 1 else [np.concatenate(tensors) for tensors in zip(*parts, strict=True)]

    def _run_batch(self, x: Reals) -> list[Reals]:
        tensors = [x]
        for layer in self.layers:
            tensors.append(layer.run(tensors, self.shapes))
        return tensors

    def choose_batch(self) -> int:
        """Samples that are computed at once."""
        return max(1, BATCH_ELEMENTS // max(layer.count_gathered(self.shapes) for layer in self.layers))

    def count_products(self) -> int:
        """Of one sample, about."""
        return sum(layer.count_products() for layer in self.layers)

    def count_weights(self) -> int:
        return sum(layer.count_weights() for layer in self.layers)

    @property
    def is_quantised(self) -> bool:
        """Whether the source model rounds to integers itself."""
        return any(layer.grid.exponent == 0 for layer in self.layers)

    def count_elements(self) -> int:
        """Of every tensor of one sample."""
        return sum(prod(shape) for shape in self.shapes)


def count_rows(layer: Step) -> int:
    """Of the proof: elements of the result, each axis padded to a power of two."""
    return prod(1 << (size - 1).bit_length() for size in layer.shape)


def find_misfit(layer: Step, shapes: Sequence[Shape]) -> str | None:
    """Why no descriptor could hold a layer's index maps, or None."""
    if isinstance(layer, Pointwise):
        return None
    if len(layer.terms) > MAX_TERMS:
        return f"{len(layer.terms)} terms, of at most {MAX_TERMS}"
    for number, term in enumerate(layer.terms):
        tensor = shapes[term.term.tensor] if term.term.weights is Weights.TENSOR else ()
        if problem := term.term.problem(shapes[term.term.operand], tensor, layer.shape):
            return f"term {number}: {problem}"
    return None


def find_varying(values: Reals) -> list[int]:
    """The axes along which an array is not constant."""
    return [axis for axis in range(values.ndim) if values.shape[axis] > 1 and not np.all(values == np.take(values, [0], axis=axis))]


def narrow(values: Reals) -> Reals:
    """The same array with axes of one wherever it does not vary."""
    kept = find_varying(values)
    return values[tuple(slice(None) if axis in kept else slice(0, 1) for axis in range(values.ndim))]


def is_identity(term: Term, operand: Shape, result: Shape) -> bool:
    """Whether a term leaves every element in its place: DIRECT or SHARED axes in their order, and the result has no other."""
    if operand != result or term.weights is Weights.TENSOR:
        return False
    return all(axis.mode in (Mode.DIRECT, Mode.SHARED) and axis.result == number for number, axis in enumerate(term.axes))


def has_outside(term: Term, operand: Shape, result: Shape) -> bool:
    """Whether some window reads beyond the operand, where there are zeros."""
    for axis, size in zip(term.axes, operand, strict=True):
        if axis.mode is Mode.AFFINE:
            indices = axis.compute_indices(result)
            if indices.min() < 0 or indices.max() >= size:
                return True
    return False
