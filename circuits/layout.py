"""Where every row and every parameter lies: offsets computed from shapes, never read.

A block is a power of two long and starts at a multiple of its length: blocks are laid out in decreasing length, ties in
the order given. Inside a block every axis is padded to a power of two, and the last axis has the lowest bits. A misaligned
block would open other entries than its own, so `find_parts` (circuits/claims.py) checks alignment again whenever it opens
one.

There are two spaces of rows: one row per element of every LINEAR operator (a rescale), and one per element of every TABLE
operator (a lookup).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from circuits.layers.linear import Linear
from circuits.layers.rescale import compute_half
from circuits.layers.table import Table
from circuits.layers.term import Shape, Term, Weights
from circuits.multilinear import split_bits
from circuits.network import Network
from circuits.tensors import VALUE_BITS

TABLE_BITS = VALUE_BITS
TABLE_LENGTH = 1 << TABLE_BITS
LIMB_SHIFT = 2 * VALUE_BITS
Key = TypeVar("Key", bound=Hashable)


def count_bits(size: int) -> int:
    """The bits that index `size` entries: ceil(log2(size))."""
    return (size - 1).bit_length()


def count_shape_bits(shape: Sequence[int]) -> int:
    """The bits of a block of that shape."""
    return sum(count_bits(size) for size in shape)


def slice_axes(shape: Sequence[int]) -> list[slice]:
    """Which bits of a block's index each axis has; the last axis has the lowest."""
    slices, low = [], 0
    for size in reversed(shape):
        slices.append(slice(low, low + count_bits(size)))
        low += count_bits(size)
    return slices[::-1]


def place(lengths: Mapping[Key, int]) -> tuple[dict[Key, int], int]:
    """Offset of every block, and their total length. Ties keep the mapping's order."""
    offsets, end = {}, 0
    for key in sorted(lengths, key=lambda k: -lengths[k]):
        offsets[key] = end
        end += lengths[key]
    return offsets, end


@dataclass(frozen=True)
class Layer:
    """One LINEAR operator; `index` counts operators from 0 (the operator's id is index + 1)."""

    index: int
    operator: Linear

    @property
    def block_bits(self) -> int:
        return count_shape_bits(self.operator.shape)

    @property
    def has_high_limb(self) -> bool:
        """Whether r1 occurs in this layer's rows."""
        return self.operator.shift == LIMB_SHIFT

    @property
    def constant(self) -> int:
        """half + 2^s·o: what a row adds to its accumulator before it is cut into limbs."""
        return compute_half(self.operator.shift) + (self.operator.format.offset << self.operator.shift)


@dataclass(frozen=True)
class Lookup:
    """One TABLE operator. `offset` is o of the operand: what a value adds to be an index."""

    index: int
    operator: Table
    offset: int

    @property
    def block_bits(self) -> int:
        return count_shape_bits(self.operator.shape)

    @property
    def tag(self) -> int:
        """Of its table among all: 0 is the range."""
        return self.operator.number + 1


@dataclass(frozen=True)
class Space:
    """A space of rows: the start of each operator's block by index, rows in blocks, and the bits of the whole."""

    starts: Mapping[int, int]
    live: int
    bits: int

    def locate(self, index: int, block_bits: int) -> list[int]:
        """The bits of a block's position among blocks of its length."""
        return split_bits(self.starts[index] >> block_bits, self.bits - block_bits)


def _make_space(blocks: Sequence[Layer | Lookup]) -> Space:
    starts, live = place({block.index: 1 << block.block_bits for block in blocks})
    return Space(starts, live, count_bits(live))


@dataclass(frozen=True)
class Layout:
    """All of it for one network and one chunk length, 2^chunk_bits."""

    network: Network
    chunk_bits: int

    # ---- rows ---------------------------------------------------------------------------------------------------------------------

    @cached_property
    def shapes(self) -> list[Shape]:
        return self.network.shapes

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(Layer(i, op) for i, op in enumerate(self.network.operators) if isinstance(op, Linear))

    @cached_property
    def lookups(self) -> tuple[Lookup, ...]:
        formats = self.network.formats
        return tuple(Lookup(i, op, formats[op.operand].offset) for i, op in enumerate(self.network.operators) if isinstance(op, Table))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The committed columns of the rescale rows, in their order. r0 is not one: it is defined by the others."""
        return ("y", "u", "h", "c", "r1") if any(layer.has_high_limb for layer in self.layers) else ("y", "u", "h", "c")

    @property
    def lookup_count(self) -> int:
        """Range lookups a rescale row: r0, u, c·h − c², and r1 where it exists."""
        return len(self.columns) - 1

    @cached_property
    def rows(self) -> Space:
        """Rescale rows."""
        return _make_space(self.layers)

    @cached_property
    def look(self) -> Space:
        """Lookup rows; no bits where there are none."""
        return _make_space(self.lookups) if self.lookups else Space({}, 0, 0)

    @property
    def tag_count(self) -> int:
        """Tables, the range included."""
        return 1 + self.network.table_count

    @property
    def table_bits(self) -> int:
        return TABLE_BITS + count_bits(self.tag_count)

    @property
    def zero_check_bits(self) -> int:
        return max(self.rows.bits, self.look.bits, self.table_bits)

    # ---- committed vectors -------------------------------------------------------------------------------------------------------------

    @cached_property
    def column_starts(self) -> dict[str, int]:
        """Offset of each column in the vector `trace`: those of the rescale rows, and `looked` (y of the lookup rows)."""
        lengths = dict.fromkeys(self.columns, 1 << self.rows.bits)
        return place(lengths | ({"looked": 1 << self.look.bits} if self.lookups else {}))[0]

    @cached_property
    def helper_starts(self) -> dict[str, int]:
        """Offset of `rows` and `look` in the vector `helpers`."""
        return place({"rows": 1 << self.rows.bits} | ({"look": 1 << self.look.bits} if self.lookups else {}))[0]

    def find_result(self, operand: int) -> int:
        """Offset in `trace` of the values of the tensor that operator id `operand` gives."""
        index = operand - 1
        if index in self.rows.starts:
            return self.column_starts["y"] + self.rows.starts[index]
        return self.column_starts["looked"] + self.look.starts[index]

    @cached_property
    def weights_shapes(self) -> dict[tuple[int, int], Shape]:
        """Of the parameters of each term that has some, by (operator index, term number)."""
        return {
            (layer.index, number): term.weights_shape(self.shapes[term.operand], layer.operator.shape)
            for layer, number, term in self._list_terms()
            if term.weights is Weights.PARAMETERS
        }

    def _list_terms(self) -> list[tuple[Layer, int, Term]]:
        return [(layer, number, term) for layer in self.layers for number, term in enumerate(layer.operator.terms)]

    @cached_property
    def parameter_starts(self) -> dict[tuple[str, int, int], int]:
        """Offset of the blocks ("weights", operator index, term), ("bias", operator index, 0) and ("table", number, 0)."""
        return place({key: 1 << count_shape_bits(shape) for key, shape in self.parameter_shapes.items()})[0]

    @cached_property
    def parameter_shapes(self) -> dict[tuple[str, int, int], Shape]:
        """Of every block of parameters: weights, then biases, then tables."""
        shapes: dict[tuple[str, int, int], Shape] = {("weights", *key): shape for key, shape in self.weights_shapes.items()}
        for layer in self.layers:
            if layer.operator.bias_axis is not None:
                shapes["bias", layer.index, 0] = (layer.operator.shape[layer.operator.bias_axis],)
        return shapes | {("table", number, 0): (TABLE_LENGTH,) for number in range(self.network.table_count)}

    @cached_property
    def parameter_chunks(self) -> tuple[int, ...]:
        """Chunks with at least one true parameter, increasing. The others are virtual zeros: neither committed nor sent."""
        return _unite(self._list_true_chunks(self.parameter_starts[key], shape) for key, shape in self.parameter_shapes.items())

    @cached_property
    def input_chunks(self) -> tuple[int, ...]:
        """Chunks of a committed input, by the same rule; none of a public one."""
        return _unite([self._list_true_chunks(0, self.shapes[0])]) if self.network.is_input_committed else ()

    def _list_true_chunks(self, start: int, shape: Shape) -> list[int]:
        """Chunks of a block that hold a true entry."""
        count = 1 << max(0, count_shape_bits(shape) - self.chunk_bits)
        first = start >> self.chunk_bits
        return [first + number for number in range(count) if self._is_true(shape, number << self.chunk_bits)]

    @staticmethod
    def _is_true(shape: Shape, index: int) -> bool:
        """Whether an index into the padded block is below the true size on every axis. A chunk's first index is its smallest on each."""
        return all(
            (index >> bits.start) & ((1 << (bits.stop - bits.start)) - 1) < size
            for bits, size in zip(slice_axes(shape), shape, strict=True)
        )

    @cached_property
    def trace_chunks(self) -> tuple[int, ...]:
        """Chunks of `trace` that hold a row of some block."""
        return _unite(
            self._span(start, self.look.live if name == "looked" else self.rows.live) for name, start in self.column_starts.items()
        )

    @cached_property
    def helper_chunks(self) -> tuple[int, ...]:
        return _unite(self._span(start, self.look.live if name == "look" else self.rows.live) for name, start in self.helper_starts.items())

    @cached_property
    def table_chunks(self) -> tuple[int, ...]:
        """Chunks of `multiplicities` and of `table_helpers`."""
        return _unite([self._span(0, self.tag_count << TABLE_BITS)])

    def _span(self, start: int, length: int) -> range:
        return range(start >> self.chunk_bits, ((start + length - 1) >> self.chunk_bits) + 1)


def _unite(spans: Iterable[Iterable[int]]) -> tuple[int, ...]:
    return tuple(sorted(set().union(*spans)))
