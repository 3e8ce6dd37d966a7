"""Everything the protocols left to be opened, as linear functionals of chunks.

A claim says Σ coefficient·⟨⊗ low, chunk⟩ = value, where `low` is one pair (a, b) for each bit of an index inside a chunk:
(1−p, p) for a coordinate p, (1, 0) or (0, 1) for a fixed bit, (1, 1) for a sum over the bit. Prover and verifier make the
same list; its order is part of the protocol, since claim k counts μ^k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuits.errors import InvariantBroken
from circuits.field import MODULUS, to_vector
from circuits.layout import TABLE_BITS, Layer, Layout
from circuits.multilinear import evaluate_matrix, split_bits
from circuits.proof_bytes import Scalars
from circuits.protocols.linear import compute_rest_coefficients, split_sigma
from circuits.protocols.rows import compute_block_weights
from circuits.tensors import Integers

Pair = tuple[int, int]
Low = tuple[Pair, ...]
SUM: Pair = (1, 1)


@dataclass(frozen=True)
class Part:
    """coefficient·⟨⊗ low, chunk⟩; `vector` is trace, multiplicities, helpers, table_helpers or parameters."""

    vector: str
    chunk: int
    coefficient: int
    low: Low


@dataclass(frozen=True)
class Claim:
    """`name` says what would be free without it."""

    name: str
    parts: tuple[Part, ...]
    value: int


@dataclass(frozen=True)
class Ends:
    """Where the protocols ended, and the values the prover sent there."""

    sigma: Sequence[int]
    rho: Sequence[int]
    theta: Sequence[int]
    totals: Scalars
    table: Scalars
    rest: Scalars
    weights: Scalars
    operands: Scalars
    reshaped: Scalars


def make_pairs(point: Sequence[int]) -> list[Pair]:
    return [((1 - p) % MODULUS, p % MODULUS) for p in point]


def find_parts(vector: str, start: int, pairs: Sequence[Pair], coefficient: int, chunk_bits: int) -> list[Part]:
    """The functional ⊗ pairs on the block of 2^len(pairs) entries at `start`, chunk by chunk.

    Raises InvariantBroken for a block that is not aligned: its bits would be those of other entries.
    """
    if start % (1 << len(pairs)):
        raise InvariantBroken(f"{vector}: a block of {1 << len(pairs)} entries at {start}")
    first = start >> chunk_bits
    if len(pairs) < chunk_bits:
        place = split_bits((start >> len(pairs)) & ((1 << (chunk_bits - len(pairs))) - 1), chunk_bits - len(pairs))
        return [Part(vector, first, coefficient % MODULUS, (*pairs, *((1 - bit, bit) for bit in place)))]
    high = [coefficient % MODULUS]
    for a, b in pairs[chunk_bits:]:
        high = [q * a % MODULUS for q in high] + [q * b % MODULUS for q in high]
    return [Part(vector, first + number, q, tuple(pairs[:chunk_bits])) for number, q in enumerate(high)]


@dataclass(frozen=True)
class ClaimList:
    """Makes the claims of one proof, in order."""

    layout: Layout
    ends: Ends

    def make(self, y: Integers) -> list[Claim]:
        """All of them; `y` is the public output."""
        claims = [*self._totals(), *self._table(), self._sum_of_helpers(), self._rest(), *self._weights(), *self._operands()]
        return [*claims, *self._reshaped(), self._output(y)]

    def _open(self, vector: str, start: int, pairs: Sequence[Pair], coefficient: int = 1) -> list[Part]:
        return find_parts(vector, start, pairs, coefficient, self.layout.chunk_bits)

    def _open_parameters(self, kind: str, layer: Layer, pairs: Sequence[Pair], coefficient: int = 1) -> list[Part]:
        """Chunks without a true parameter are zero by definition and are left out."""
        parts = self._open("parameters", self.layout.parameter_starts[kind, layer.index], pairs, coefficient)
        return [part for part in parts if part.chunk in self.layout.parameter_chunks]

    def _low(self, layer: Layer) -> list[Pair]:
        return make_pairs(self.ends.sigma[: layer.block_bits])

    def _weighted(self) -> list[tuple[Layer, int]]:
        return list(zip(self.layout.layers, compute_block_weights(self.layout, self.ends.sigma), strict=True))

    def _totals(self) -> list[Claim]:
        """Columns and H at σ, over the blocks alone. r0 is not committed: step 4 is its definition."""
        claims = []
        for name, value in zip(self.layout.columns, self.ends.totals[:-2], strict=True):
            parts = [
                p for layer, w in self._weighted() for p in self._open("trace", self.layout.find_cell(name, layer), self._low(layer), w)
            ]
            claims.append(Claim(f"total {name}", tuple(parts), value))
        starts = self.layout.row_starts
        parts = [p for layer, w in self._weighted() for p in self._open("helpers", starts[layer.index], self._low(layer), w)]
        return [*claims, Claim("total H", tuple(parts), self.ends.totals[-1])]

    def _table(self) -> list[Claim]:
        pairs = make_pairs(self.ends.sigma[:TABLE_BITS])
        names = ("table_helpers", "multiplicities")
        return [Claim(name, tuple(self._open(name, 0, pairs)), value) for name, value in zip(names, self.ends.table, strict=True)]

    def _sum_of_helpers(self) -> Claim:
        """ΣH − ΣG = 0."""
        starts = self.layout.row_starts
        rows = [p for layer in self.layout.layers for p in self._open("helpers", starts[layer.index], [SUM] * layer.block_bits)]
        return Claim("sum of helpers", (*rows, *self._open("table_helpers", 0, [SUM] * TABLE_BITS, -1)), 0)

    def _rest(self) -> Claim:
        parts = []
        for layer, weight in self._weighted():
            for name, factor in compute_rest_coefficients(layer, self.ends.sigma).items():
                if name == "bias":
                    low = make_pairs(split_sigma(layer, self.ends.sigma)[0])
                    parts += self._open_parameters("bias", layer, low, weight * factor)
                else:
                    parts += self._open("trace", self.layout.find_cell(name, layer), self._low(layer), weight * factor)
        return Claim("rest", tuple(parts), self.ends.rest[0])

    def _weights(self) -> list[Claim]:
        claims = []
        for layer, value in zip(self.layout.layers, self.ends.weights, strict=True):
            pairs = make_pairs([*split_sigma(layer, self.ends.sigma)[0], *self.ends.rho[: layer.in_bits]])
            claims.append(Claim(f"weights {layer.index}", tuple(self._open_parameters("weights", layer, pairs)), value))
        return claims

    def _operands(self) -> list[Claim]:
        """x_l(ρ, σ) where the operand's bits are the consumer's; the others were reduced to θ."""
        claims = []
        for layer, value in zip(self.layout.computed_operands, self.ends.operands, strict=True):
            if layer not in self.layout.reshaped:
                point = [*self.ends.rho[: layer.in_bits], *split_sigma(layer, self.ends.sigma)[1]]
                claims.append(Claim(f"operand {layer.index}", self._open_result(layer, point), value))
        return claims

    def _reshaped(self) -> list[Claim]:
        claims = []
        for layer, value in zip(self.layout.reshaped, self.ends.reshaped, strict=True):
            point = self.ends.theta[: self.layout.find_producer(layer).block_bits]
            claims.append(Claim(f"reshaped {layer.index}", self._open_result(layer, point), value))
        return claims

    def _open_result(self, layer: Layer, point: Sequence[int]) -> tuple[Part, ...]:
        """The y block of the layer's producer at `point`, one coordinate a bit of that block."""
        producer = self.layout.find_producer(layer)
        if len(point) != producer.block_bits:
            raise InvariantBroken(f"layer {layer.index} reads {len(point)} bits of a block of {producer.block_bits}")
        return tuple(self._open("trace", self.layout.find_cell("y", producer), make_pairs(point)))

    def _output(self, y: Integers) -> Claim:
        """The last tensor's whole block, padding included, is the public output at a point drawn after it was committed."""
        layer = self.layout.layers[self.layout.network.output_operand - 1]
        outputs, positions = split_sigma(layer, self.ends.sigma)
        shape = layer.operator.positions, layer.operator.out_features
        value = evaluate_matrix(to_vector(y), shape, outputs, positions)
        return Claim("output", tuple(self._open("trace", self.layout.find_cell("y", layer), self._low(layer))), value)
