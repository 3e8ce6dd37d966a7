"""How a linear term reads a tensor, axis by axis: the whole vocabulary of index maps.

A term adds coefficient·Σ W(…)·x(…) to the accumulators of its operator. Each axis of x, of n true entries, has one of
these modes; `result` names an axis of the operator's result.

    DIRECT    the same index as the result axis
    CONTRACT  summed against the weights
    SHARED    the same index as the result axis, which the weights have too
    AFFINE    q = stride·p + dilation·k + offset for p on the result axis (or p = 0) and k < kernel, where 0 ≤ q < n:
              k is an axis of the weights, or is summed (pooling), or is itself an axis of the result (splitting an axis)
    FIXED     one index
    MERGE     this axis (index a) and the next one, MERGED (index b), are one result axis: b_count·a + b

Slices, strides, padding, concatenation, windows of convolutions and pools, broadcasts and reshapes are all AFFINE or
MERGE; transposition is a permutation of result axes. docs/models.md has the bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from circuits.tensors import Integers

AXIS_CODE, WEIGHTS_AXIS_CODE = 0x12, 0x13
NO_AXIS = 255
MAX_KERNEL = 1 << 12
MAX_STEP = 1 << 16
MAX_OFFSET = 1 << 22
MAX_READINGS = 1 << 24


class Mode(IntEnum):
    """The number is the one written in the descriptor."""

    DIRECT = 0
    CONTRACT = 1
    SHARED = 2
    AFFINE = 3
    FIXED = 4
    MERGE = 5
    MERGED = 6


class Kernel(IntEnum):
    """What k of an AFFINE axis is."""

    NONE = 0
    WEIGHTED = 1
    SUMMED = 2
    RESULT = 3


@dataclass(frozen=True)
class Axis:
    """One axis of an operand. Fields that a mode does not use keep their defaults."""

    mode: Mode
    result: int = NO_AXIS
    kernel: Kernel = Kernel.NONE
    kernel_result: int = NO_AXIS
    kernel_size: int = 0
    stride: int = 0
    dilation: int = 0
    offset: int = 0

    @property
    def is_mapped(self) -> bool:
        """Whether a second sumcheck is needed: the index is a function of others."""
        return self.mode in (Mode.AFFINE, Mode.MERGE, Mode.MERGED)

    def encode(self) -> bytes:
        """One word."""
        head = (AXIS_CODE, self.mode, self.result, self.kernel, self.kernel_result)
        return struct.pack(">BBBBB3xIiii8x", *head, self.kernel_size, self.stride, self.dilation, self.offset)

    def list_results(self) -> list[int]:
        """The result axes this axis decides the index of."""
        named = [self.result] if self.result != NO_AXIS else []
        return [*named, self.kernel_result] if self.kernel_result != NO_AXIS else named

    def problem(self, size: int, result: tuple[int, ...]) -> str | None:
        """Why an axis of `size` entries cannot be read so, or None. What MERGE asks of two axes together is the term's to check."""
        if self.mode is Mode.AFFINE:
            return self._affine_problem(result)
        if self != Axis(self.mode, self.result, offset=self.offset if self.mode is Mode.FIXED else 0):
            return "a field that its mode does not use"
        if self.mode in (Mode.DIRECT, Mode.SHARED):
            if self.result >= len(result) or result[self.result] != size:
                return f"{size} entries read as result axis {self.result} of {list(result)}"
        elif self.mode is Mode.MERGE:
            if self.result >= len(result):
                return f"no result axis {self.result}"
        elif self.result != NO_AXIS:
            return "names a result axis its mode does not use"
        if self.mode is Mode.FIXED and not 0 <= self.offset < size:
            return f"index {self.offset} of {size} entries"
        return None

    def _affine_problem(self, result: tuple[int, ...]) -> str | None:
        if any(axis >= len(result) for axis in self.list_results()):
            return "names a result axis that does not exist"
        if not 1 <= self.kernel_size <= MAX_KERNEL or max(abs(self.stride), abs(self.dilation)) > MAX_STEP or abs(self.offset) > MAX_OFFSET:
            return f"kernel {self.kernel_size}, stride {self.stride}, dilation {self.dilation} or offset {self.offset} outside its range"
        if self.kernel is Kernel.NONE and (self.kernel_size, self.dilation) != (1, 0):
            return "a kernel size or dilation without a kernel"
        if (self.kernel is Kernel.RESULT) != (self.kernel_result != NO_AXIS):
            return "a kernel result axis where the kernel is none, or none where it is one"
        if self.kernel is Kernel.RESULT and result[self.kernel_result] != self.kernel_size:
            return f"kernel {self.kernel_size} read as result axis {self.kernel_result} of {list(result)}"
        if self.count_positions(result) * self.kernel_size > MAX_READINGS:
            return "more than 2^24 pairs of position and kernel entry"  # verifiers go through them one by one
        if self.result == NO_AXIS and self.stride:
            return "a stride without a result axis"
        return None

    def count_positions(self, result: tuple[int, ...]) -> int:
        """P: entries of the result axis, 1 where there is none."""
        return 1 if self.result == NO_AXIS else result[self.result]

    def compute_indices(self, result: tuple[int, ...]) -> Integers:
        """(P, K) indices q of an AFFINE axis, as they come: outside 0 … n−1 there is nothing."""
        positions, kernel = np.arange(self.count_positions(result)), np.arange(self.kernel_size)
        return (self.stride * positions[:, None] + self.dilation * kernel[None, :] + self.offset).astype(np.int64)


def decode_axis(word: bytes) -> Axis:
    """Inverse of Axis.encode. An unknown mode raises ValueError; unused bytes are compared by who encodes again."""
    code, mode, result, kernel, kernel_result, size, stride, dilation, offset = struct.unpack(">BBBBB3xIiii8x", word)
    if code != AXIS_CODE:
        raise ValueError(f"code 0x{code:02x} where an axis must be")
    return Axis(Mode(mode), result, Kernel(kernel), kernel_result, size, stride, dilation, offset)


@dataclass(frozen=True)
class WeightsAxis:
    """One axis of a tensor that serves as weights. `axis`: of the result for DIRECT and SHARED, of the operand for CONTRACT."""

    mode: Mode
    axis: int = NO_AXIS
    index: int = 0

    def encode(self) -> bytes:
        return struct.pack(">BBB5xI20x", WEIGHTS_AXIS_CODE, self.mode, self.axis, self.index)


def decode_weights_axis(word: bytes) -> WeightsAxis:
    code, mode, axis, index = struct.unpack(">BBB5xI20x", word)
    if code != WEIGHTS_AXIS_CODE:
        raise ValueError(f"code 0x{code:02x} where an axis of a weights tensor must be")
    return WeightsAxis(Mode(mode), axis, index)
