"""The float network: what an ONNX graph means, before any number is rounded.

Every tensor of one statement is kept flat, in row-major order, so reshaping costs nothing. A FloatNetwork is a directed
acyclic graph whose node 0 is the input; each other node names its operand by index, always smaller than its own.
float64 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits.tensors import Reals


@dataclass(frozen=True)
class Affine:
    """y = scale·x + offset, element by element; both (size,)."""

    operand: int
    scale: Reals
    offset: Reals
    origin: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.scale)


@dataclass(frozen=True)
class Matrix:
    """y[p, o] = Σ_j weights[o, j]·x[p, j] + bias[p, o]; weights (out, in), bias (positions, out)."""

    operand: int
    weights: Reals
    bias: Reals
    origin: tuple[str, ...]

    @property
    def positions(self) -> int:
        return int(self.bias.shape[0])

    @property
    def size(self) -> int:
        return self.bias.size


@dataclass(frozen=True)
class Rectify:
    """y = max(x, 0)."""

    operand: int
    size: int
    origin: tuple[str, ...]


Step = Affine | Matrix | Rectify


@dataclass(frozen=True)
class FloatLayer:
    """One layer ready for integers: a matrix with one bias per output feature, rectified or not. Operand 0 is the input."""

    name: str
    operand: int
    positions: int
    weights: Reals
    bias: Reals
    is_rectified: bool

    def run(self, x: Reals) -> Reals:
        """(batch, positions·in) to (batch, positions·out)."""
        y = x.reshape(-1, self.weights.shape[1]) @ self.weights.T + self.bias
        return (np.maximum(y, 0.0) if self.is_rectified else y).reshape(len(x), -1)


@dataclass(frozen=True)
class FloatNetwork:
    """Layers in topological order; the last one is the output. Shapes without the batch axis."""

    input_name: str
    input_shape: tuple[int, ...]
    layers: tuple[FloatLayer, ...]
    output_name: str
    output_shape: tuple[int, ...]

    def run(self, x: Reals) -> list[Reals]:
        """Every tensor by index, input first, for x (batch, size of the input)."""
        tensors = [x]
        for layer in self.layers:
            tensors.append(layer.run(tensors[layer.operand]))
        return tensors
