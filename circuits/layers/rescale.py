"""The rescale: how an exact accumulator becomes the next 12-bit activation (proof-system.md, section 1).

    half = 2^(s-1)      v = (acc + half) >> s      y = clamp(v, 0, 4095) if rectified, clamp(v, -2048, 2047) if signed

The shift is a floor, so rounding is half up, towards +∞ on ties, for negative numbers too.
"""

from __future__ import annotations

import numpy as np

from circuits.tensors import VALUE_BITS, Format, Integers

SHIFTS = (VALUE_BITS, 2 * VALUE_BITS)


def compute_half(shift: int) -> int:
    return 1 << (shift - 1)


def compute_bound(shift: int) -> int:
    """B = 2^(s+24): the columns of a row exist exactly when -B ≤ acc + half + 2^s·o < B."""
    return 1 << (shift + 2 * VALUE_BITS)


def is_within_bound(lowest_acc: int, highest_acc: int, shift: int, output: Format) -> bool:
    """Whether every accumulator in [lowest_acc, highest_acc] satisfies the static bound."""
    constant = compute_half(shift) + (output.offset << shift)
    bound = compute_bound(shift)
    return -bound <= lowest_acc + constant and highest_acc + constant < bound


def rescale(acc: Integers, shift: int, output: Format) -> Integers:
    """The activations of accumulators, elementwise. numpy's >> on int64 is arithmetic, that is a floor."""
    return np.clip(compute_shifted(acc, shift), output.low, output.high)


def compute_shifted(acc: Integers, shift: int) -> Integers:
    """v: the value before the clamp; what lies outside the format saturates."""
    return (acc + compute_half(shift)) >> shift
