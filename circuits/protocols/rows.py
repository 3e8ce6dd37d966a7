"""Steps 2 and 3: every rescale row is a rescale, every lookup row is in its table, every limb in the range.

    F_rows  = y + o − (1−c²)·u − 4095·c(c+1)/2 + ρ·h(1−c²) + ρ²·(c³−c) + ρ³·(H·ΠD − act·Σ_k Π_{j≠k} D_j)
              D = (α + r0, α + u, α + c·h − c², and α + r1 where some layer has s = 24)
    F_look  = κ²·(H·(α + β·tag + β²·(x + o_x) + β³·y) − act) + κ³·(1 − act)·y
    F_table = κ·(G·(α + E) − m)                E = t for the range, β·tag + β²·t + β³·T_tag(t) for the table of a function

Σ_i eq(τ, i)·(F_rows + F_look + F_table)(i) = 0, in one zero-check; the shorter instances are constant in the rest. A message
is c1 … cd of g, where the round polynomial is eq(τ_j, X)·g(X); c0 = claim − τ_j·Σc makes the polynomial sum to the claim.
d is F_rows' degree, and 2, that of the others, in the rounds in which F_rows is constant: no message has a coefficient that is
zero by construction, so none has a place where a prover could put another number.
With ΣH = ΣG (one claim of the opening) this is LogUp (Haböck, 2022/1530): every looked-up value is in the table, since a
value outside is a pole that no multiplicities remove.

What fixes each column: of a rescale row, y by the first equation; c to −1, 0, 1 by the third; h to 0 where c is, else to
c's sign and at most 4096 by the lookup of c·h − c²; u, r0, r1 by their lookups. Of a lookup row, y by the lookup on true
positions, and by 0 on padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from circuits import engine
from circuits.engine import Integers, Vector
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, evaluate_polynomial, invert
from circuits.layout import TABLE_BITS, TABLE_LENGTH, Layout, Lookup, Space, slice_axes
from circuits.multilinear import compute_eq, compute_prefix_mask, split_bits
from circuits.proof_bytes import compute_row_degree, list_row_degrees
from circuits.proof_error import require
from circuits.tensors import VALUE_BITS
from circuits.transcript import Transcript

HALF = invert(2)
MASK = (1 << VALUE_BITS) - 1


@dataclass(frozen=True)
class Challenges:
    """α separates looked-up values, β the parts of one, ρ the equations of a row, κ kinds of rows, τ rows from each other."""

    alpha: int
    beta: int
    rho: int
    kappa: int
    tau: tuple[int, ...]


@dataclass(frozen=True)
class Config:
    """Shapes of the zero-check, for one layout."""

    layout: Layout

    @property
    def degree(self) -> int:
        return compute_row_degree(self.layout)

    @property
    def degrees(self) -> list[int]:
        """Of each round."""
        return list_row_degrees(self.layout)

    def split_messages(self, messages: Sequence[int]) -> list[Sequence[int]]:
        """Round by round."""
        ends = list(accumulate(self.degrees))
        if len(messages) != ends[-1]:
            raise InvariantBroken("zero-check messages of another layout")
        return [messages[end - degree : end] for end, degree in zip(ends, self.degrees, strict=True)]

    @property
    def variables(self) -> int:
        return self.layout.zero_check_bits

    def draw_lookups(self, transcript: Transcript) -> tuple[int, int]:
        """α, and β where there are tables of functions (else 0, which nothing reads)."""
        return transcript.draw(), transcript.draw() if self.layout.lookups else 0

    def draw_separators(self, transcript: Transcript, alpha: int, beta: int) -> Challenges:
        rho, kappa = transcript.draw(), transcript.draw()
        return Challenges(alpha, beta, rho, kappa, tuple(transcript.draw_many(self.variables)))


# ---- the polynomials at a point, as the verifier needs them -----------------------------------------------------------------------


def compute_row(columns: Mapping[str, int], offset: int, active: int, challenges: Challenges) -> int:
    """F_rows; `columns` has y, u, h, c, r0, H, and r1 where it exists."""
    y, u, h, c = (columns[name] for name in "yuhc")
    rho, square = challenges.rho, c * c % MODULUS
    value = y + offset - (1 - square) * u - MASK * HALF * (square + c)
    sign = rho * (h * (1 - square) % MODULUS) + rho * rho % MODULUS * (c * (square - 1) % MODULUS)
    lookups = [columns["r0"], u, c * h - square, *([columns["r1"]] if "r1" in columns else [])]
    product, sums = 1, 0
    for looked in lookups:
        denominator = (looked + challenges.alpha) % MODULUS
        product, sums = product * denominator % MODULUS, (sums * denominator + product) % MODULUS
    return (value + sign + pow(rho, 3, MODULUS) * ((columns["H"] * product - active * sums) % MODULUS)) % MODULUS


def compute_lookup(x: int, y: int, helper: int, public: tuple[int, int, int], challenges: Challenges) -> int:
    """F_look; `public` is tag, o_x and act."""
    tag, offset, active = public
    beta, kappa = challenges.beta, challenges.kappa
    denominator = (challenges.alpha + beta * (tag + beta * (x + offset + beta * y))) % MODULUS
    return kappa * kappa % MODULUS * ((helper * denominator - active) % MODULUS + kappa * ((1 - active) * y % MODULUS)) % MODULUS


def compute_entry(layout: Layout, point: Sequence[int], values: int, beta: int) -> int:
    """E; `values` are the functions' tables at the point, each weighted by the eq of its tag."""
    entry = sum(p << i for i, p in enumerate(point[:TABLE_BITS]))
    if not layout.lookups:
        return entry % MODULUS
    of_tag = [compute_eq(split_bits(tag, len(point) - TABLE_BITS), point[TABLE_BITS:]) for tag in range(layout.tag_count)]
    tags, functions = sum(tag * w for tag, w in enumerate(of_tag)), sum(of_tag[1:])
    return (of_tag[0] * entry + beta * (tags + beta * (functions * entry + beta * values))) % MODULUS


# ---- prove --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LookupRows:
    """Every lookup row, over the live ones: index x + o_x, y, tag, and 1 on true positions."""

    index: Integers
    y: Integers
    tag: Integers
    active: Integers


def find_range_lookups(columns: Mapping[str, Integers]) -> list[Integers]:
    """r0, u, c·h − c², and r1 where it exists."""
    c = columns["c"]
    return [columns["r0"], columns["u"], c * columns["h"] - c * c, *([columns["r1"]] if "r1" in columns else [])]


def compute_multiplicities(layout: Layout, columns: Mapping[str, Integers], looked: LookupRows) -> Integers:
    """m: how often each entry of each table is looked up."""
    counts = np.zeros(layout.tag_count << TABLE_BITS, dtype=np.int64)
    for values in find_range_lookups(columns):
        counts[:TABLE_LENGTH] += np.bincount(values, minlength=TABLE_LENGTH)
    true = looked.active == 1
    return counts + np.bincount((looked.tag[true] << TABLE_BITS) + looked.index[true], minlength=len(counts))


def compute_row_helper(columns: Mapping[str, Integers], alpha: int) -> Vector:
    """H per rescale row: Σ 1/(α + v)."""
    inverses = [engine.invert_all(engine.affine(alpha, [1], [values])) for values in find_range_lookups(columns)]
    total = inverses[0]
    for inverse in inverses[1:]:
        total = engine.add(total, inverse)
    return total


def compute_lookup_helper(looked: LookupRows, alpha: int, beta: int) -> Vector:
    """H per lookup row: 1/D on true positions, 0 on padding."""
    coefficients = [pow(beta, k, MODULUS) for k in (1, 2, 3)]
    inverses = engine.invert_all(engine.affine(alpha, coefficients, [looked.tag, looked.index, looked.y]))
    return engine.multiply(inverses, looked.active)


def compute_entries(layout: Layout, tables: Sequence[Integers], beta: int) -> Vector:
    """E over every table."""
    tag = np.repeat(np.arange(layout.tag_count, dtype=np.int64), TABLE_LENGTH)
    entry = np.tile(np.arange(TABLE_LENGTH, dtype=np.int64), layout.tag_count)
    values = np.concatenate([np.zeros(TABLE_LENGTH, dtype=np.int64), *tables])
    in_range = np.where(tag == 0, entry, 0)
    coefficients = [1, *(pow(beta, k, MODULUS) for k in (1, 2, 3))]
    return engine.affine(0, coefficients, [in_range, tag, entry - in_range, values])


def compute_table_helper(entries: Vector, multiplicities: Integers, alpha: int) -> Vector:
    """G per entry: m/(α + E)."""
    shifted = engine.add(entries, engine.from_scalars([alpha] * len(entries)))
    return engine.multiply(engine.invert_all(shifted), multiplicities)


@dataclass(frozen=True)
class Tables:
    """Everything the polynomials read."""

    columns: Mapping[str, Integers]
    helper: Vector
    looked: LookupRows
    lookup_helper: Vector | None
    entries: Vector
    multiplicities: Integers
    table_helper: Vector


def prove(config: Config, transcript: Transcript, tables: Tables, challenges: Challenges) -> tuple[list[int], list[int]]:
    """Messages and the point σ."""
    check = make_check(config, tables, challenges)
    messages: list[int] = []
    point: list[int] = []
    for degree in config.degrees:
        message = drop_zeros(check.message(), degree)
        transcript.absorb_scalars("rows", message)
        challenge = transcript.draw()
        check.bind(challenge)
        messages += message
        point.append(challenge)
    return messages, point


def drop_zeros(message: list[int], degree: int) -> list[int]:
    """The first coefficients of a message; the others are zero."""
    if any(message[degree:]):
        raise InvariantBroken("a round polynomial of too high a degree")
    return message[:degree]


def make_check(config: Config, tables: Tables, challenges: Challenges) -> engine.ZeroCheck:
    layout, looked = config.layout, tables.looked
    names = ("y", "u", "h", "c", "r0", *(["r1"] if "r1" in layout.columns else []))
    columns = [tables.columns[name] for name in names]
    rows = (columns, tables.helper, *make_public_columns(layout), layout.rows.bits)
    lookups = None
    if tables.lookup_helper is not None:
        lookups = (looked.index, looked.y, looked.tag, looked.active, tables.lookup_helper, layout.look.bits)
    table = (tables.entries, tables.multiplicities, tables.table_helper, layout.table_bits)
    c = challenges
    return engine.ZeroCheck(rows, lookups, table, c.alpha, c.beta, c.rho, c.kappa, c.tau, config.degree)


def make_public_columns(layout: Layout) -> tuple[Integers, Integers]:
    """o and act over the rescale rows."""
    offset, active = np.zeros(layout.rows.live, dtype=np.int64), np.ones(layout.rows.live, dtype=np.int64)
    for layer in layout.layers:
        start = layout.rows.starts[layer.index]
        offset[start : start + (1 << layer.block_bits)] = layer.operator.format.offset
    return offset, active


# ---- verify -------------------------------------------------------------------------------------------------------------------------


def compute_block_weights(layout: Layout, sigma: Sequence[int]) -> list[int]:
    """w_l: eq of each layer's position among the rescale rows with the high part of σ."""
    return [compute_block_weight(layout.rows, layer.index, layer.block_bits, sigma) for layer in layout.layers]


def compute_lookup_weights(layout: Layout, sigma: Sequence[int]) -> list[int]:
    """The same among the lookup rows."""
    return [compute_block_weight(layout.look, lookup.index, lookup.block_bits, sigma) for lookup in layout.lookups]


def compute_block_weight(space: Space, index: int, block_bits: int, sigma: Sequence[int]) -> int:
    return compute_eq(space.locate(index, block_bits), sigma[block_bits : space.bits])


def compute_true_mask(lookup: Lookup, sigma: Sequence[int]) -> int:
    """The sum of eq over the true positions of a block."""
    result = 1
    for bits, size in zip(slice_axes(lookup.operator.shape), lookup.operator.shape, strict=True):
        result = result * compute_prefix_mask(sigma[bits], size) % MODULUS
    return result


def verify(config: Config, transcript: Transcript, messages: Sequence[int], challenges: Challenges) -> tuple[list[int], int]:
    """The point σ, and the value that F must have there."""
    point, claim = [], 0
    for message, tau in zip(config.split_messages(messages), challenges.tau, strict=True):
        constant = (claim - tau * sum(message)) % MODULUS
        transcript.absorb_scalars("rows", message)
        challenge = transcript.draw()
        claim = evaluate_polynomial([constant, *message], challenge)
        point.append(challenge)
    return point, claim


@dataclass(frozen=True)
class Totals:
    """What the prover sent at σ."""

    rows: Sequence[int]
    lookups: Sequence[int]
    table: Sequence[int]
    values: Sequence[int]


def check_end(config: Config, challenges: Challenges, sigma: Sequence[int], claim: int, totals: Totals) -> None:
    """Raise ProofError unless the totals give the claim. o, act, tag, o_x and E are the verifier's own."""
    layout = config.layout
    weights = compute_block_weights(layout, sigma)
    offset = sum(w * layer.operator.format.offset for w, layer in zip(weights, layout.layers, strict=True)) % MODULUS
    columns = dict(zip((*layout.columns, "r0", "H"), totals.rows, strict=True))
    value = compute_row(columns, offset, sum(weights) % MODULUS, challenges)
    if layout.lookups:
        x, y, helper = totals.lookups
        value += compute_lookup(x, y, helper, compute_public_lookups(layout, sigma), challenges)
    entry = compute_entry(layout, sigma[: layout.table_bits], totals.values[0] if totals.values else 0, challenges.beta)
    helper, multiplicity = totals.table
    value += challenges.kappa * ((helper * (challenges.alpha + entry) - multiplicity) % MODULUS)
    require((value - claim) % MODULUS == 0, "rows and table")


def compute_public_lookups(layout: Layout, sigma: Sequence[int]) -> tuple[int, int, int]:
    """tag, o_x and act of the lookup rows at σ."""
    weighted = list(zip(layout.lookups, compute_lookup_weights(layout, sigma), strict=True))
    tag = sum(w * lookup.tag for lookup, w in weighted) % MODULUS
    offset = sum(w * lookup.offset for lookup, w in weighted) % MODULUS
    return tag, offset, sum(w * compute_true_mask(lookup, sigma) for lookup, w in weighted) % MODULUS
