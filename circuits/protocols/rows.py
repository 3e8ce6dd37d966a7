"""Steps 2 and 3: every row is a rescale, every limb is in the table. One zero-check for rows and table.

    F_rows  = y + o − (1−c²)·u − 4095·c(c+1)/2 + ρ·h(1−c²) + ρ²·(c³−c) + ρ³·(H·ΠD − act·Σ_k Π_{j≠k} D_j)
    F_table = κ·(G·(α+t) − m)              D = (α + r0, α + u, α + c·h − c², and α + r1 where some layer has s = 24)

Σ_i eq(τ, i)·(F_rows + F_table)(i) = 0 over max(row bits, 12) variables; the shorter instance is constant in the rest.
A message is c1 … cd of g, where the round polynomial is eq(τ_j, X)·g(X); c0 = claim − τ_j·Σc makes the polynomial sum
to the claim. With ΣH = ΣG (one claim of the opening) this is LogUp (Haböck, 2022/1530): every looked-up value is in the
table, since a value outside is a pole that no multiplicities remove.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from circuits.errors import InvariantBroken
from circuits.field import MODULUS, Vector, evaluate_polynomial, interpolate, invert, invert_all, make_zeros, to_vector
from circuits.layout import TABLE_BITS, TABLE_LENGTH, Layout
from circuits.multilinear import compute_eq, compute_eq_table, fold, split_bits
from circuits.proof_bytes import compute_row_degree
from circuits.proof_error import require
from circuits.transcript import Transcript

HALF = invert(2)
Value = TypeVar("Value", int, Vector)


@dataclass(frozen=True)
class Challenges:
    """α separates looked-up values, ρ the equations of a row, κ rows from table, τ the rows from each other."""

    alpha: int
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
    def variables(self) -> int:
        return self.layout.zero_check_bits

    def draw_separators(self, transcript: Transcript, alpha: int) -> Challenges:
        rho, kappa = transcript.draw(), transcript.draw()
        return Challenges(alpha, rho, kappa, tuple(transcript.draw_many(self.variables)))


# ---- the two polynomials, on field elements (verifier) and on vectors (prover) alike ----------------------------------------------


def compute_row(columns: Mapping[str, Value], offset: Value, active: Value, challenges: Challenges) -> Value:
    """F_rows; `columns` has y, u, h, c, r0, H, and r1 where it exists."""
    y, u, h, c = (columns[name] for name in "yuhc")
    rho, square = challenges.rho, c * c % MODULUS
    value = y + offset - (1 - square) * u - 4095 * HALF * (square + c)
    sign = rho * (h * (1 - square) % MODULUS) + rho * rho % MODULUS * (c * (square - 1) % MODULUS)
    lookups: list[Value] = [columns["r0"], u, c * h - square]
    if "r1" in columns:
        lookups.append(columns["r1"])
    product, sums = compute_denominators(lookups, challenges.alpha)
    result: Value = (value + sign + pow(rho, 3, MODULUS) * ((columns["H"] * product - active * sums) % MODULUS)) % MODULUS
    return result


def compute_denominators(values: Sequence[Value], alpha: int) -> tuple[Value, Value]:
    """ΠD and Σ_k Π_{j≠k} D_j over D_k = α + values[k]."""
    product, sums = (values[0] + alpha) % MODULUS, values[0] * 0 + 1
    for value in values[1:]:
        denominator = (value + alpha) % MODULUS
        sums = (sums * denominator + product) % MODULUS
        product = product * denominator % MODULUS
    return product, sums


def compute_table(helper: Value, entry: Value, multiplicity: Value, challenges: Challenges) -> Value:
    """F_table."""
    result: Value = challenges.kappa * ((helper * (entry + challenges.alpha) - multiplicity) % MODULUS) % MODULUS
    return result


# ---- prove --------------------------------------------------------------------------------------------------------------------------


def compute_multiplicities(lookups: Sequence[Vector]) -> Vector:
    """m: how often each entry of the table is looked up, by the live rows."""
    counts = make_zeros(TABLE_LENGTH)
    for values in lookups:
        for value in values:
            counts[value] += 1
    return counts


def compute_helpers(lookups: Sequence[Vector], multiplicities: Vector, alpha: int) -> tuple[Vector, Vector]:
    """H per live row, G per table entry."""
    inverses = [to_vector(invert_all([(alpha + v) % MODULUS for v in values])) for values in lookups]
    table = to_vector(invert_all([(alpha + entry) % MODULUS for entry in range(TABLE_LENGTH)]))
    return sum(inverses, make_zeros(len(inverses[0]))) % MODULUS, multiplicities * table % MODULUS


@dataclass(frozen=True)
class Tables:
    """Everything the two polynomials read, over the whole row space and the whole table, reduced."""

    columns: Mapping[str, Vector]
    offset: Vector
    active: Vector
    table_helper: Vector
    multiplicity: Vector


def prove(config: Config, transcript: Transcript, tables: Tables, challenges: Challenges) -> tuple[list[int], list[int]]:
    """Messages and the point σ."""
    entries = to_vector(range(TABLE_LENGTH))
    table = [tables.table_helper, entries, tables.multiplicity]
    rows = [*tables.columns.values(), tables.offset, tables.active]
    names = list(tables.columns)

    def of_rows(v: Sequence[Vector]) -> Vector:
        return compute_row(dict(zip(names, v[:-2], strict=True)), v[-2], v[-1], challenges)

    def of_table(v: Sequence[Vector]) -> Vector:
        return compute_table(v[0], v[1], v[2], challenges)

    messages: list[int] = []
    point: list[int] = []
    for number in range(config.variables):
        values = [0] * (config.degree + 1)
        for function, live, bits in ((of_rows, rows, config.layout.row_bits), (of_table, table, TABLE_BITS)):
            weights = compute_eq_table(challenges.tau[number + 1 : bits])
            for x in range(config.degree + 1):
                at = [v[0::2] + x * (v[1::2] - v[0::2]) for v in live] if number < bits else live
                values[x] += int((function([v % MODULUS for v in at]) * weights).sum())
        message = interpolate([v % MODULUS for v in values])[1:]
        transcript.absorb_scalars("rows", message)
        challenge = transcript.draw()
        rows = [fold(v, challenge) for v in rows] if number < config.layout.row_bits else rows
        table = [fold(v, challenge) for v in table] if number < TABLE_BITS else table
        messages += message
        point.append(challenge)
    return messages, point


def make_public_columns(layout: Layout) -> tuple[Vector, Vector]:
    """o and act over the row space."""
    offset, active = np.zeros(1 << layout.row_bits, dtype=np.int64), np.zeros(1 << layout.row_bits, dtype=np.int64)
    for layer in layout.layers:
        start = layout.row_starts[layer.index]
        offset[start : start + (1 << layer.block_bits)] = layer.operator.format.offset
    active[: layout.live_rows] = 1
    return offset.astype(object), active.astype(object)


# ---- verify -------------------------------------------------------------------------------------------------------------------------


def compute_block_weights(layout: Layout, sigma: Sequence[int]) -> list[int]:
    """w_l: eq of each layer's position in the row space with the high part of σ."""
    result = []
    for layer in layout.layers:
        high = layout.row_bits - layer.block_bits
        place = split_bits(layout.row_starts[layer.index] >> layer.block_bits, high)
        result.append(compute_eq(place, sigma[layer.block_bits : layout.row_bits]))
    return result


def verify(config: Config, transcript: Transcript, messages: Sequence[int], challenges: Challenges) -> tuple[list[int], int]:
    """The point σ, and the value that F_rows + F_table must have there."""
    if len(messages) != config.degree * config.variables:
        raise InvariantBroken("zero-check messages of another layout")
    point, claim = [], 0
    for number, tau in enumerate(challenges.tau):
        message = messages[number * config.degree : (number + 1) * config.degree]
        constant = (claim - tau * sum(message)) % MODULUS
        transcript.absorb_scalars("rows", message)
        challenge = transcript.draw()
        claim = evaluate_polynomial([constant, *message], challenge)
        point.append(challenge)
    return point, claim


def check_end(
    config: Config, challenges: Challenges, sigma: Sequence[int], claim: int, totals: Sequence[int], table: Sequence[int]
) -> None:
    """Raise ProofError unless the totals, and G and m, give the claim. o, act and t are the verifier's own."""
    layout = config.layout
    weights = compute_block_weights(layout, sigma)
    offset = sum(w * layer.operator.format.offset for w, layer in zip(weights, layout.layers, strict=True)) % MODULUS
    columns = dict(zip((*layout.columns, "r0", "H"), totals, strict=True))
    entry = sum(s << i for i, s in enumerate(sigma[:TABLE_BITS])) % MODULUS
    value = compute_row(columns, offset, sum(weights) % MODULUS, challenges)
    value += compute_table(table[0], entry, table[1], challenges)
    require((value - claim) % MODULUS == 0, "rows and table")
