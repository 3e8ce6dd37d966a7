"""The rows of an inference: for every element of every LINEAR operator how its accumulator becomes its activation, for
every element of every TABLE operator what was looked up.

    acc + half = 2^s·(4096·h + u − o) + r0 (+ 4096·r1 at s = 24)          c = sign(h)          y + o = (1 − c²)·u + 4095·c(c+1)/2

Padding rows are ordinary rows with accumulator 0, or lookup rows with value 0. Within the static bound, which every loaded
or compiled model keeps for every input in range, |h| <= 4096.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from circuits.errors import InvariantBroken
from circuits.layers import linear, table
from circuits.layers.linear import Linear
from circuits.layout import LIMB_SHIFT, Layer, Layout, count_bits
from circuits.network import Parameters
from circuits.protocols.rows import LookupRows
from circuits.tensors import VALUE_BITS, Integers

MASK = (1 << VALUE_BITS) - 1
COLUMNS = ("y", "u", "h", "c", "r0", "r1")


@dataclass(frozen=True)
class Trace:
    """`columns`: y, u, h, c, r0, r1 over the live rescale rows; `looked` over the live lookup rows; `tensors` by operator id,
    flat, true elements."""

    columns: Mapping[str, Integers]
    looked: LookupRows
    tensors: tuple[Integers, ...]


def compute_trace(layout: Layout, parameters: Parameters, x: Integers) -> Trace:
    """Run the network on one input (flat) and keep every row."""
    columns = {name: np.zeros(layout.rows.live, dtype=np.int64) for name in COLUMNS}
    tensors = [x.reshape(1, -1)]
    layers = {layer.index: layer for layer in layout.layers}
    for index, (operator, numbers) in enumerate(parameters.pair_with(layout.network.operators)):
        if isinstance(operator, Linear):
            assert numbers is not None
            acc = linear.compute_accumulators(operator, numbers, tensors, layout.shapes)
            rows = compute_rows(layers[index], pad_axes(operator.shape, acc))
            start = layout.rows.starts[index]
            for name, values in rows.items():
                columns[name][start : start + len(values)] = values
            tensors.append(drop_padding(operator.shape, rows["y"]).reshape(1, -1))
        else:
            entries, operand = parameters.tables[operator.number], layout.network.formats[operator.operand]
            tensors.append(table.run(entries, tensors[operator.operand], operand))
    flat = tuple(tensor.reshape(-1) for tensor in tensors)
    return Trace(columns, collect_lookups(layout, flat), flat)


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


def collect_lookups(layout: Layout, tensors: Sequence[Integers]) -> LookupRows:
    """Every lookup row, from the tensors."""
    rows = LookupRows(*(np.zeros(layout.look.live, dtype=np.int64) for _ in range(4)))
    for lookup in layout.lookups:
        block = slice(layout.look.starts[lookup.index], layout.look.starts[lookup.index] + (1 << lookup.block_bits))
        shape = lookup.operator.shape
        rows.index[block] = pad_axes(shape, tensors[lookup.operator.operand]) + lookup.offset
        rows.y[block] = pad_axes(shape, tensors[lookup.index + 1])
        rows.tag[block] = lookup.tag
        rows.active[block] = pad_axes(shape, np.ones(lookup.operator.size, dtype=np.int64))
    return rows


def pad_axes(shape: Sequence[int], values: Integers) -> Integers:
    """(size,) row-major to a block, each axis padded to a power of two."""
    padding = [(0, (1 << count_bits(size)) - size) for size in shape]
    return np.pad(values.reshape(shape), padding).reshape(-1)


def drop_padding(shape: Sequence[int], block: Integers) -> Integers:
    """The inverse of pad_axes."""
    padded = block.reshape([1 << count_bits(size) for size in shape])
    return np.ascontiguousarray(padded[tuple(slice(size) for size in shape)].reshape(-1))
