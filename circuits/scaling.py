"""How real numbers become the integers of the input tensor, and integers of the output tensor become real numbers.

    q = clamp(floor(x·2^e + 1/2) − z)          x ≈ (q + z)·2^-e

With one exponent for the whole tensor, z = 0; or with an exponent and an integer zero point per element, where
measurements of different magnitude share one input (the compiler folds both into the first layer's weights). In IEEE
754 float64: multiplication by a power of two and the floor are exact, so every machine gives the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.errors import InputError
from circuits.tensors import MAX_EXPONENT, Integers, Reals, TensorType

MAX_SCALED_ELEMENTS = 4096
ZERO_POINT_LIMIT = 1 << 48


@dataclass(frozen=True)
class InputScaling:
    """Per element of the flattened input: exponent within ±64, zero point below 2^48 in magnitude. At most 4096 elements."""

    exponents: tuple[int, ...]
    zero_points: tuple[int, ...]

    def problem(self, size: int) -> str | None:
        """Why this scaling cannot be that of an input of `size` elements, or None."""
        if not len(self.exponents) == len(self.zero_points) == size or size > MAX_SCALED_ELEMENTS:
            return f"{len(self.exponents)} exponents and {len(self.zero_points)} zero points for {size} elements"
        if any(abs(e) > MAX_EXPONENT for e in self.exponents) or any(abs(z) >= ZERO_POINT_LIMIT for z in self.zero_points):
            return "an exponent outside ±64 or a zero point not below 2^48"
        return None


def quantize(values: object, tensor: TensorType, scaling: InputScaling | None) -> Integers:
    """Integers, in the shape given: `tensor.shape`, or a batch of it. What lies outside the range saturates. Raises InputError."""
    real = np.asarray(values)
    if real.dtype.kind not in "iuf":
        raise InputError("values to quantize", "numbers", f"dtype {real.dtype}")
    if tuple(real.shape) != tensor.shape and tuple(real.shape[1:]) != tensor.shape:
        raise InputError("values to quantize", f"shape {list(tensor.shape)}, or a batch of it", f"shape {list(real.shape)}")
    if not np.isfinite(real).all():
        raise InputError("values to quantize", "finite numbers", "NaN or infinity")
    flat = real.astype(np.float64).reshape(-1, tensor.size)
    exponents, zero_points = _spread(tensor, scaling)
    with np.errstate(over="ignore"):  # an infinity saturates like any other number out of range
        shifted = np.floor(np.ldexp(flat, exponents) + 0.5) - zero_points
    return np.clip(shifted, tensor.format.low, tensor.format.high).astype(np.int64).reshape(real.shape)


def _spread(tensor: TensorType, scaling: InputScaling | None) -> tuple[NDArray[np.int32], Reals]:
    if scaling is None:
        return np.full(tensor.size, tensor.exponent, np.int32), np.zeros(tensor.size)
    return np.array(scaling.exponents, np.int32), np.array(scaling.zero_points, np.float64)


def dequantize(values: Integers, tensor: TensorType) -> Reals:
    """float64 in the same shape, exact."""
    return np.ldexp(values.astype(np.float64), -tensor.exponent)
