"""The rows of an inference: for every element of every layer, how its accumulator becomes its activation.

    acc + half = 2^s·(4096·h + u − o) + r0 (+ 4096·r1 at s = 24)          c = sign(h)          y + o = (1 − c²)·u + 4095·c(c+1)/2

Padding rows are ordinary rows with accumulator 0. Within the static bound, which every loaded or compiled model keeps
for every input in range, |h| <= 4096.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from circuits.errors import InvariantBroken
from circuits.field import Vector
from circuits.layers.linear import LinearWeights, compute_accumulators
from circuits.layout import LIMB_SHIFT, Layer, Layout
from circuits.tensors import VALUE_BITS, Integers

MASK = (1 << VALUE_BITS) - 1


@dataclass(frozen=True)
class Trace:
    """`columns`: y, u, h, c, r0, r1 over the live rows, signed Python integers. `tensors`: by operator id, flat, true elements."""

    columns: Mapping[str, Vector]
    tensors: tuple[Integers, ...]


def compute_trace(layout: Layout, parameters: tuple[LinearWeights, ...], x: Integers) -> Trace:
    """Run the network on one input (flat) and keep every row."""
    columns = {name: np.zeros(layout.live_rows, dtype=np.int64) for name in ("y", "u", "h", "c", "r0", "r1")}
    tensors = [x]
    for layer, numbers in zip(layout.layers, parameters, strict=True):
        acc = compute_accumulators(layer.operator, numbers, tensors[layer.operator.operand].reshape(1, -1))
        rows = compute_rows(layer, pad_axes(layer, acc))
        start = layout.row_starts[layer.index]
        for name, values in rows.items():
            columns[name][start : start + len(values)] = values
        tensors.append(drop_padding(layer, rows["y"]))
    return Trace({name: values.astype(object) for name, values in columns.items()}, tuple(tensors))


def compute_rows(layer: Layer, acc: Integers) -> dict[str, Integers]:
    """The columns of one block from its accumulators, every one unique."""
    shift, offset = layer.operator.shift, layer.operator.format.offset
    total = acc + layer.constant
    h, u = total >> (shift + VALUE_BITS), (total >> shift) & MASK
    if (np.abs(h) > 1 << VALUE_BITS).any():
        raise InvariantBroken(f"layer {layer.index}: an accumulator beyond the static bound")
    c = np.sign(h)
    y = (1 - c * c) * u + MASK * (c * (c + 1) // 2) - offset
    r1 = (total >> VALUE_BITS) & MASK if shift == LIMB_SHIFT else np.zeros_like(total)
    return {"y": y, "u": u, "h": h, "c": c, "r0": total & MASK, "r1": r1}


def pad_axes(layer: Layer, values: Integers) -> Integers:
    """(size,) row-major to the layer's block, each axis padded to a power of two."""
    operator = layer.operator
    block = np.zeros((1 << layer.position_bits, 1 << layer.out_bits), dtype=np.int64)
    block[: operator.positions, : operator.out_features] = values.reshape(operator.positions, operator.out_features)
    return block.reshape(-1)


def drop_padding(layer: Layer, block: Integers) -> Integers:
    """The inverse of pad_axes."""
    operator = layer.operator
    return block.reshape(1 << layer.position_bits, -1)[: operator.positions, : operator.out_features].reshape(-1)
