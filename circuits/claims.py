"""Everything the protocols left to be opened, as linear functionals of chunks.

A claim says Σ coefficient·⟨⊗ low, chunk⟩ = value, where `low` is one pair (a, b) for each bit of an index inside a chunk:
(1−p, p) for a coordinate p, (1, 0) or (0, 1) for a fixed bit, (1, 1) for a sum over the bit. Prover and verifier make the
same list; its order is part of the protocol, since claim k counts μ^k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from circuits.errors import InvariantBroken
from circuits.field import MODULUS
from circuits.layers.term import Weights
from circuits.layout import TABLE_BITS, Layer, Layout, Lookup, count_shape_bits, slice_axes
from circuits.multilinear import compute_eq, evaluate_tensor, split_bits
from circuits.plan import Terms
from circuits.proof_bytes import Scalars
from circuits.protocols.linear import compute_rest_coefficients, find_bias_point
from circuits.protocols.rows import compute_block_weights, compute_lookup_weights
from circuits.statement import Statement

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
    sent: Mapping[str, Scalars]


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


def list_prefix_blocks(point: Sequence[int], size: int) -> list[list[Pair]]:
    """The functional Σ_{i < size} eq(point, i) as one list of pairs for each aligned block that the entries below `size` consist of.

    In a block the high bits are fixed: their pair is (1 − p, 0) or (0, p), the low ones are coordinates.
    """
    if size == 1 << len(point):
        return [make_pairs(point)]
    pairs, blocks = make_pairs(point), []
    for bit in reversed(range(len(point))):
        if (size >> bit) & 1:
            fixed = [(0, b) if (size >> high) & 1 and high != bit else (a, 0) for high, (a, b) in enumerate(pairs)]
            blocks.append([*pairs[:bit], *fixed[bit:]])
    return blocks


@dataclass(frozen=True)
class ClaimList:
    """Makes the claims of one proof, in order."""

    layout: Layout
    terms: Terms
    ends: Ends
    statement: Statement

    def make(self) -> list[Claim]:
        """All of them."""
        claims = [*self._totals(), *self._lookups(), *self._table(), self._sum_of_helpers(), self._rest()]
        return [*claims, *self._weights(), *self._operands(), *self._mapped(), self._output()]

    def _open(self, vector: str, start: int, pairs: Sequence[Pair], coefficient: int = 1) -> list[Part]:
        return find_parts(vector, start, pairs, coefficient, self.layout.chunk_bits)

    def _open_parameters(self, key: tuple[str, int, int], pairs: Sequence[Pair], coefficient: int = 1) -> list[Part]:
        """Chunks without a true parameter are zero by definition and are left out."""
        parts = self._open("parameters", self.layout.parameter_starts[key], pairs, coefficient)
        return [part for part in parts if part.chunk in self._true_chunks]

    @cached_property
    def _true_chunks(self) -> frozenset[int]:
        return frozenset(self.layout.parameter_chunks)

    def _low(self, block: Layer | Lookup) -> list[Pair]:
        return make_pairs(self.ends.sigma[: block.block_bits])

    def _weigh_layers(self) -> list[tuple[Layer, int]]:
        return list(zip(self.layout.layers, compute_block_weights(self.layout, self.ends.sigma), strict=True))

    def _weigh_lookups(self) -> list[tuple[Lookup, int]]:
        return list(zip(self.layout.lookups, compute_lookup_weights(self.layout, self.ends.sigma), strict=True))

    def _open_cell(self, column: str, layer: Layer, coefficient: int) -> list[Part]:
        start = self.layout.column_starts[column] + self.layout.rows.starts[layer.index]
        return self._open("trace", start, self._low(layer), coefficient)

    def _totals(self) -> list[Claim]:
        """Columns and H at σ, over the blocks alone. r0 is not committed: step 4 is its definition."""
        totals, start = self.ends.sent["totals"], self.layout.helper_starts["rows"]
        claims = []
        for name, value in zip(self.layout.columns, totals[:-2], strict=True):
            parts = [part for layer, w in self._weigh_layers() for part in self._open_cell(name, layer, w)]
            claims.append(Claim(f"total {name}", tuple(parts), value))
        starts = self.layout.rows.starts
        parts = [p for layer, w in self._weigh_layers() for p in self._open("helpers", start + starts[layer.index], self._low(layer), w)]
        return [*claims, Claim("total H", tuple(parts), totals[-1])]

    def _lookups(self) -> list[Claim]:
        """x, y and H of the lookup rows at σ. x is the operands' own values; the verifier knows those of the public input."""
        if not self.layout.lookups:
            return []
        x, y, helper = self.ends.sent["lookup_totals"]
        operands: list[Part] = []
        for lookup, w in self._weigh_lookups():
            if lookup.operator.operand == 0:
                x -= w * evaluate_tensor(self.statement.public_input, lookup.operator.shape, self.ends.sigma[: lookup.block_bits])
            else:
                operands += self._open("trace", self.layout.find_result(lookup.operator.operand), self._low(lookup), w)
        starts = {"trace": self.layout.column_starts["looked"], "helpers": self.layout.helper_starts["look"]}
        ys, helpers = (
            [p for b, w in self._weigh_lookups() for p in self._open(vector, start + self.layout.look.starts[b.index], self._low(b), w)]
            for vector, start in starts.items()
        )
        names = ("looked up", "result of a lookup", "total H of lookups")
        values = zip(names, (operands, ys, helpers), (x % MODULUS, y, helper), strict=True)
        return [Claim(name, tuple(parts), value) for name, parts, value in values]

    def _table(self) -> list[Claim]:
        """G and m; and the functions' tables, each weighted with the eq of its tag."""
        point = self.ends.sigma[: self.layout.table_bits]
        names = ("table_helpers", "multiplicities")
        claims = [
            Claim(name, tuple(self._open_tables(name, point)), value) for name, value in zip(names, self.ends.sent["table"], strict=True)
        ]
        if not self.layout.lookups:
            return claims
        parts: list[Part] = []
        for number in range(self.layout.network.table_count):
            weight = compute_eq(split_bits(number + 1, self.layout.table_bits - TABLE_BITS), point[TABLE_BITS:])
            parts += self._open_parameters(("table", number, 0), make_pairs(point[:TABLE_BITS]), weight)
        return [*claims, Claim("tables", tuple(parts), self.ends.sent["table_values"][0])]

    def _open_tables(self, vector: str, point: Sequence[int]) -> list[Part]:
        return [part for part in self._open(vector, 0, make_pairs(point)) if part.chunk in self.layout.table_chunks]

    def _sum_of_helpers(self) -> Claim:
        """ΣH − ΣG = 0."""
        parts: list[Part] = []
        for name, space, blocks in (("rows", self.layout.rows, self.layout.layers), ("look", self.layout.look, self.layout.lookups)):
            for block in blocks:
                start = self.layout.helper_starts[name] + space.starts[block.index]
                parts += self._open("helpers", start, [SUM] * block.block_bits)
        for tag in range(self.layout.tag_count):
            parts += self._open("table_helpers", tag << TABLE_BITS, [SUM] * TABLE_BITS, -1)
        return Claim("sum of helpers", tuple(parts), 0)

    def _rest(self) -> Claim:
        parts: list[Part] = []
        for layer, weight in self._weigh_layers():
            for name, factor in compute_rest_coefficients(layer, self.ends.sigma).items():
                if name == "bias":
                    low = make_pairs(find_bias_point(layer, self.ends.sigma))
                    parts += self._open_parameters(("bias", layer.index, 0), low, weight * factor)
                else:
                    parts += self._open_cell(name, layer, weight * factor)
        return Claim("rest", tuple(parts), self.ends.sent["rest"][0])

    def _weights(self) -> list[Claim]:
        claims = []
        for plan, value in zip(self.terms.weighted, self.ends.sent["weights"], strict=True):
            point = plan.find_weights_point(self.ends.sigma, self.ends.rho)
            if plan.term.weights is Weights.PARAMETERS:
                parts = self._open_parameters(("weights", plan.layer.index, plan.number), make_pairs(point))
            else:
                parts = self._open_result(plan.term.tensor, point)
            claims.append(Claim(f"weights {plan.layer.index}.{plan.number}", tuple(parts), value))
        return claims

    def _operands(self) -> list[Claim]:
        """X_t where the operand is read directly; the others were reduced to θ."""
        claims = []
        for plan, value in zip(self.terms.sent, self.ends.sent["operands"], strict=True):
            if not plan.term.is_mapped:
                point = plan.find_operand_point(self.ends.sigma, self.ends.rho, self.ends.theta)
                claims.append(Claim(f"operand {plan.layer.index}.{plan.number}", tuple(self._open_result(plan.term.operand, point)), value))
        return claims

    def _mapped(self) -> list[Claim]:
        claims = []
        for plan, value in zip(self.terms.sent_after_maps, self.ends.sent["mapped"], strict=True):
            point = plan.find_operand_point(self.ends.sigma, self.ends.rho, self.ends.theta)
            claims.append(Claim(f"mapped {plan.layer.index}.{plan.number}", tuple(self._open_result(plan.term.operand, point)), value))
        return claims

    def _open_input(self, point: Sequence[int]) -> list[Part]:
        """A committed input at `point`, over its true entries alone: what somebody committed to in the padding counts for nothing.

        The entries below a size are a few aligned blocks, one for each of its bits, and so are those of several axes together.
        """
        shape = self.layout.shapes[0]
        blocks: list[list[Pair]] = [[]]
        for size, bits in reversed(list(zip(shape, slice_axes(shape), strict=True))):
            blocks = [[*low, *pairs] for low in blocks for pairs in list_prefix_blocks(point[bits], size)]
        parts = [part for low in blocks for part in self._open("input", 0, low)]
        return [part for part in parts if part.chunk in self.layout.input_chunks]

    def _open_result(self, operand: int, point: Sequence[int]) -> list[Part]:
        """The values of an operator's result at `point`, one coordinate a bit of its block."""
        if operand == 0:
            return self._open_input(point)
        bits = count_shape_bits(self.layout.shapes[operand])
        if len(point) != bits:
            raise InvariantBroken(f"operator {operand} is read at {len(point)} coordinates of a block of {bits} bits")
        return self._open("trace", self.layout.find_result(operand), make_pairs(point))

    def _output(self) -> Claim:
        """The last tensor's whole block, padding included, is the public output at a point drawn after it was committed."""
        operand = self.layout.network.output_operand
        shape = self.layout.shapes[operand]
        point = self.ends.sigma[: count_shape_bits(shape)]
        return Claim("output", tuple(self._open_result(operand, point)), evaluate_tensor(self.statement.y, shape, point))
