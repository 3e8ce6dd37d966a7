"""Integer tensors: the two formats every activation has, and the caps that keep a hostile descriptor small."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import prod

import numpy as np
from numpy.typing import NDArray

from circuits.errors import InputError

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

VALUE_BITS = 12
MAX_RANK = 6
MAX_ELEMENTS = 1 << 22
MAX_EXPONENT = 64


class Format(IntEnum):
    """Where a tensor's integers lie. The number is the one written in the descriptor."""

    RECTIFIED = 0
    SIGNED = 1

    @property
    def offset(self) -> int:
        """o of the specification: value + offset is in 0 … 4095."""
        return 0 if self is Format.RECTIFIED else 1 << (VALUE_BITS - 1)

    @property
    def low(self) -> int:
        return -self.offset

    @property
    def high(self) -> int:
        return (1 << VALUE_BITS) - 1 - self.offset

    @property
    def label(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class TensorType:
    """A tensor of one statement (no batch axis): shape, format, and exponent, where real value = integer · 2^-exponent."""

    shape: tuple[int, ...]
    format: Format
    exponent: int

    @property
    def size(self) -> int:
        return prod(self.shape)

    def problem(self) -> str | None:
        """Why this type is not acceptable, or None. Caps: rank 6, 2^22 elements, exponents within ±64."""
        if len(self.shape) > MAX_RANK:
            return f"rank {len(self.shape)} is above {MAX_RANK}"
        if any(d < 1 for d in self.shape) or self.size > MAX_ELEMENTS:
            return f"shape {self.shape} is empty or above {MAX_ELEMENTS} elements"
        if abs(self.exponent) > MAX_EXPONENT:
            return f"exponent {self.exponent} is outside ±{MAX_EXPONENT}"
        return None


def read_integers(values: object, tensor: TensorType, what: str) -> tuple[Integers, bool]:
    """Validate at the edge: (batch, size) int64 within the tensor's range, and whether the caller gave a batch axis.

    Accepts integer arrays (or nested lists of ints) of exactly the tensor's shape, or with one batch axis in front.
    Floats and booleans are refused even where they hold whole numbers. Raises InputError.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InputError(what, "integers", f"dtype {array.dtype}")
    is_batch = array.ndim == len(tensor.shape) + 1
    if tuple(array.shape[1:] if is_batch else array.shape) != tensor.shape:
        raise InputError(what, f"shape {list(tensor.shape)}, or a batch of it", f"shape {list(array.shape)}")
    # Compared before the cast: a uint64 above 2^63 would wrap into range otherwise.
    if array.size and (int(array.min()) < tensor.format.low or int(array.max()) > tensor.format.high):
        got = int(array.min()) if int(array.min()) < tensor.format.low else int(array.max())
        raise InputError(what, f"integers in [{tensor.format.low}, {tensor.format.high}]", got)
    return array.astype(np.int64).reshape(array.shape[0] if is_batch else 1, tensor.size), is_batch
