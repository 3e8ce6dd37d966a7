"""Where every row and every weight lies: offsets computed from shapes, never read.

A block is a power of two long and starts at a multiple of its length: blocks are laid out in decreasing length (ties:
weights before biases, then in the order of the layers). Inside a row block the output feature is in the low bits, the
position above it, both padded to powers of two; inside a weight block the output feature is in the low bits, the input
feature above it. A misaligned block would open other entries than its own, so `find_parts` (circuits/claims.py) checks
alignment again whenever it opens one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from circuits.layers.linear import Linear
from circuits.layers.rescale import compute_half
from circuits.network import Network
from circuits.tensors import VALUE_BITS

TABLE_BITS = VALUE_BITS
TABLE_LENGTH = 1 << TABLE_BITS
LIMB_SHIFT = 2 * VALUE_BITS
Key = TypeVar("Key", bound=Hashable)


def count_bits(size: int) -> int:
    """The bits that index `size` entries: ceil(log2(size))."""
    return (size - 1).bit_length()


def place(lengths: Mapping[Key, int]) -> tuple[dict[Key, int], int]:
    """Offset of every block, and their total length. Ties keep the mapping's order."""
    offsets, end = {}, 0
    for key in sorted(lengths, key=lambda k: -lengths[k]):
        offsets[key] = end
        end += lengths[key]
    return offsets, end


@dataclass(frozen=True)
class Layer:
    """One linear operator with the bits of its axes; `index` counts from 0 (the operator's id is index + 1)."""

    index: int
    operator: Linear

    @property
    def in_bits(self) -> int:
        return count_bits(self.operator.in_features)

    @property
    def out_bits(self) -> int:
        return count_bits(self.operator.out_features)

    @property
    def position_bits(self) -> int:
        return count_bits(self.operator.positions)

    @property
    def block_bits(self) -> int:
        return self.out_bits + self.position_bits

    @property
    def has_high_limb(self) -> bool:
        """Whether r1 occurs in this layer's rows."""
        return self.operator.shift == LIMB_SHIFT

    @property
    def constant(self) -> int:
        """half + 2^s·o: what a row adds to its accumulator before it is cut into limbs."""
        return compute_half(self.operator.shift) + (self.operator.format.offset << self.operator.shift)


@dataclass(frozen=True)
class Layout:
    """All of it for one network and one chunk length, 2^chunk_bits."""

    network: Network
    chunk_bits: int

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(Layer(index, operator) for index, operator in enumerate(self.network.operators))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The committed columns, in their order. r0 is not one: it is defined by the others."""
        return ("y", "u", "h", "c", "r1") if any(layer.has_high_limb for layer in self.layers) else ("y", "u", "h", "c")

    @property
    def lookup_count(self) -> int:
        """Lookups a row: r0, u, c·h − c², and r1 where it exists."""
        return len(self.columns) - 1

    @cached_property
    def _rows(self) -> tuple[dict[int, int], int]:
        return place({layer.index: 1 << layer.block_bits for layer in self.layers})

    @property
    def row_starts(self) -> dict[int, int]:
        """Offset of each layer's block in the row space."""
        return self._rows[0]

    @property
    def live_rows(self) -> int:
        """Rows in blocks; the row space above them, up to 2^row_bits, is virtual: zero, never opened."""
        return self._rows[1]

    @property
    def row_bits(self) -> int:
        return count_bits(self.live_rows)

    @property
    def zero_check_bits(self) -> int:
        return max(self.row_bits, TABLE_BITS)

    @property
    def linear_bits(self) -> int:
        return max(layer.in_bits for layer in self.layers)

    def find_cell(self, column: str, layer: Layer) -> int:
        """Offset of a layer's block of `column` in the vector of all columns, column-major."""
        return (self.columns.index(column) << self.row_bits) + self.row_starts[layer.index]

    @cached_property
    def parameter_starts(self) -> dict[tuple[str, int], int]:
        """Offset of the blocks ("weights", index) and ("bias", index) in the vector of parameters."""
        weights = {("weights", layer.index): 1 << (layer.out_bits + layer.in_bits) for layer in self.layers}
        biases = {("bias", layer.index): 1 << layer.out_bits for layer in self.layers}
        return place(weights | biases)[0]

    @cached_property
    def parameter_chunks(self) -> tuple[int, ...]:
        """Chunks with at least one true parameter, increasing. The others are virtual zeros: neither committed nor sent."""
        chunks: set[int] = set()
        for layer in self.layers:
            start, rows = self.parameter_starts["weights", layer.index], layer.operator.out_features
            for feature in range(layer.operator.in_features):
                chunks.update(self._span(start + (feature << layer.out_bits), rows))
            chunks.update(self._span(self.parameter_starts["bias", layer.index], rows))
        return tuple(sorted(chunks))

    @cached_property
    def trace_chunks(self) -> tuple[int, ...]:
        """Chunks of the column vector that hold a row of some block."""
        starts = (number << self.row_bits for number in range(len(self.columns)))
        return _unite(self._span(start, self.live_rows) for start in starts)

    @cached_property
    def helper_chunks(self) -> tuple[int, ...]:
        return _unite([self._span(0, self.live_rows)])

    @cached_property
    def table_chunks(self) -> tuple[int, ...]:
        return _unite([self._span(0, TABLE_LENGTH)])

    def _span(self, start: int, length: int) -> range:
        return range(start >> self.chunk_bits, ((start + length - 1) >> self.chunk_bits) + 1)

    @cached_property
    def reshaped(self) -> tuple[Layer, ...]:
        """Layers that read their operand across the padding of its axes, and so need the reshape protocol."""
        return tuple(layer for layer in self.layers if self.is_computed(layer) and not self._is_direct(layer))

    @cached_property
    def computed_operands(self) -> tuple[Layer, ...]:
        """Layers whose operand is another layer's result, not the public input."""
        return tuple(layer for layer in self.layers if self.is_computed(layer))

    @staticmethod
    def is_computed(layer: Layer) -> bool:
        return layer.operator.operand > 0

    def find_producer(self, layer: Layer) -> Layer:
        """The layer whose result `layer` reads."""
        return self.layers[layer.operator.operand - 1]

    def _is_direct(self, layer: Layer) -> bool:
        """Whether the operand's own bits, in its producer's block, are the consumer's: same axes, or no padding inside either."""
        mine, source = layer.operator, self.find_producer(layer).operator
        is_same = (mine.positions, mine.in_features) == (source.positions, source.out_features)
        return is_same or (_is_flat(mine.positions, mine.in_features) and _is_flat(source.positions, source.out_features))


def _is_flat(positions: int, features: int) -> bool:
    """Whether position · 2^bits + feature is the row-major index itself."""
    return positions == 1 or features & (features - 1) == 0


def _unite(spans: Iterable[range]) -> tuple[int, ...]:
    return tuple(sorted(set().union(*spans)))
