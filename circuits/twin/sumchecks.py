"""The two sumchecks of a prover: tables in, one round polynomial out, one challenge in, until one entry a table is left.

Variable 0, the least significant bit of an index, is bound first. Sources: Thaler, "Proofs, Arguments, and Zero-Knowledge",
chapter 4; eq taken out of the messages: Gruen, 2024/108, section 3. What the polynomials mean: circuits/protocols/rows.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuits.field import MODULUS, interpolate
from circuits.twin.arrays import (
    Integers,
    Operand,
    Residues,
    Vector,
    check_length,
    check_variables,
    make_residues,
    pad,
    read_integers,
    read_operand,
    read_vector,
    reduce,
)
from circuits.twin.vectors import compute_eq_table, fold, split

Rows = tuple[Sequence[Operand], Vector, Integers, Integers, int]
Lookups = tuple[Integers, Integers, Integers, Integers, Vector, int]
Table = tuple[Vector, Integers, Vector, int]
Summand = tuple[int, Vector | None, Operand, Operand, int]

HALF = pow(2, -1, MODULUS)
ROW_DEGREE = 5  # of F_rows with three lookups; a fourth adds one


@dataclass
class Instance:
    """One polynomial F over its tables, all of them one length, at most 2^variables; F of only zeros is zero, so padding is left out."""

    function: Callable[[Sequence[Residues]], Residues]
    tables: list[Residues]
    variables: int


class ZeroCheck:
    """Σ_i eq(τ, i)·F(i) over instances of at most len(τ) variables, each constant in the variables it lacks.

    rows: (columns [y, u, h, c, r0] or [y, u, h, c, r0, r1], helper H, offset o, active act, variables)

        F_rows = y + o − (1−c²)u − 4095c(c+1)/2 + ρ·h(1−c²) + ρ²·(c³−c) + ρ³·(H·ΠD − act·Σ_k Π_{j≠k} D_j)
        D = (α + r0, α + u, α + c·h − c², and α + r1 if given)

    lookups: None or (x, y, tag, active, helper H, variables)

        F_look = κ²·(H·(α + β·tag + β²·x + β³·y) − act) + κ³·(1 − act)·y

    table: (entries E, multiplicities m, helper G, variables), F_table = κ·(G·(α + E) − m)

    Every table counts as padded with zeros to 2^variables entries. ValueError: longer ones, more variables than τ
    has or than 30, or a degree below that of the rows (5, or 6 with r1).
    """

    def __init__(
        self,
        rows: Rows,
        lookups: Lookups | None,
        table: Table,
        alpha: int,
        beta: int,
        rho: int,
        kappa: int,
        tau: Sequence[int],
        degree: int,
    ) -> None:
        self._alpha, self._beta, self._rho, self._kappa = reduce(alpha), reduce(beta), reduce(rho), reduce(kappa)
        self._tau = [reduce(x) for x in tau]
        self._degree = degree
        self._round = 0
        columns, helper, offset, active, variables = rows
        if len(columns) not in (5, 6):
            raise ValueError(f"columns: {len(columns)} of them, expected 5 or 6")
        if degree < len(columns):
            raise ValueError(f"degree: {degree}, at least {len(columns)}")
        row_tables = [read_operand(column, "columns") for column in columns]
        row_tables += [read_vector(helper, "helper"), read_integers(offset, "offset"), read_integers(active, "active")]
        self._instances = [self._make(self._compute_rows, row_tables, variables)]
        if lookups is not None:
            *integers, helper, variables = lookups
            look_tables = [read_integers(column, "lookups") for column in integers]
            self._instances.append(self._make(self._compute_lookups, [*look_tables, read_vector(helper, "helper")], variables))
        entries, multiplicities, helper, variables = table
        tables = [read_vector(entries, "entries"), read_integers(multiplicities, "multiplicities"), read_vector(helper, "helper")]
        self._instances.append(self._make(self._compute_table, tables, variables))

    def message(self) -> list[int]:
        """c1 … cd of this round's g, where the round polynomial is eq(τ_j, X)·g(X). ValueError after the last round."""
        _check_round(self._round, len(self._tau))
        values = [0] * (self._degree + 1)
        for instance in self._instances:
            remaining = self._tau[self._round + 1 : instance.variables]
            is_live = self._round < instance.variables
            lows_steps = [split(table) if is_live else (table, table * 0) for table in instance.tables]
            weights = compute_eq_table(remaining)[: len(lows_steps[0][0])]
            for x in range(self._degree + 1):
                at = instance.function([(low + x * step) % MODULUS for low, step in lows_steps])
                values[x] += sum(at * weights)
        return interpolate([value % MODULUS for value in values])[1:]

    def bind(self, challenge: int) -> None:
        """Set this round's variable. ValueError after the last round."""
        _check_round(self._round, len(self._tau))
        for instance in self._instances:
            if self._round < instance.variables:
                instance.tables = [fold(table, reduce(challenge)) for table in instance.tables]
        self._round += 1

    def _make(self, function: Callable[[Sequence[Residues]], Residues], tables: list[Residues], variables: int) -> Instance:
        check_variables(variables, len(self._tau))
        length = max(len(table) for table in tables)
        if length > 1 << variables:
            raise ValueError(f"a table of {length} entries in {variables} variables")
        return Instance(function, [pad(table, length, "table") for table in tables], variables)

    def _compute_rows(self, tables: Sequence[Residues]) -> Residues:
        *columns, helper, offset, active = tables
        y, u, h, c, r0 = columns[:5]
        rho, square = self._rho, c * c % MODULUS
        value = y + offset - (1 - square) * u - 4095 * HALF * (square + c)
        sign = rho * (h * (1 - square) % MODULUS) + rho * rho % MODULUS * (c * (square - 1) % MODULUS)
        product, sums = self._compute_denominators([r0, u, c * h - square, *columns[5:]])
        result: Residues = (value + sign + pow(rho, 3, MODULUS) * ((helper * product - active * sums) % MODULUS)) % MODULUS
        return result

    def _compute_denominators(self, values: Sequence[Residues]) -> tuple[Residues, Residues]:
        """ΠD and Σ_k Π_{j≠k} D_j."""
        product, sums = (values[0] + self._alpha) % MODULUS, values[0] * 0 + 1
        for value in values[1:]:
            denominator = (value + self._alpha) % MODULUS
            sums = (sums * denominator + product) % MODULUS
            product = product * denominator % MODULUS
        return product, sums

    def _compute_lookups(self, tables: Sequence[Residues]) -> Residues:
        x, y, tag, active, helper = tables
        beta, kappa = self._beta, self._kappa
        denominator = (self._alpha + beta * (tag + beta * (x + beta * y))) % MODULUS
        result: Residues = kappa * kappa * (helper * denominator - active + kappa * ((1 - active) * y)) % MODULUS
        return result

    def _compute_table(self, tables: Sequence[Residues]) -> Residues:
        entries, multiplicities, helper = tables
        result: Residues = self._kappa * (helper * (entries + self._alpha) - multiplicities) % MODULUS
        return result


class ProductCheck:
    """Σ over summands (factor, eq or None, a, b, v) of factor·2^-(variables − v)·Σ_i eq(i)·a(i)·b(i), i over 2^v indices.

    Tables count as padded with zeros to 2^v entries; a summand is constant in the variables it lacks, and the power of two
    makes up for them, so that the claim is the plain sum. `degree` is 2, or 3 where summands may have eq tables (None: 1).
    ValueError: another degree, an eq table in degree 2, longer tables, more variables than the whole or than 30.
    """

    def __init__(self, summands: Sequence[Summand], variables: int, degree: int) -> None:
        if degree not in (2, 3):
            raise ValueError(f"degree: {degree}, expected 2 or 3")
        self._variables, self._degree, self._round = variables, degree, 0
        self._live = []
        for factor, eq, a, b, own in summands:
            if eq is not None and degree == 2:
                raise ValueError("eq: a table in a sumcheck of degree 2")
            check_variables(own, variables)
            tables = [read_operand(a, "a"), read_operand(b, "b")] + ([] if eq is None else [read_vector(eq, "eq")])
            padded = [pad(table, 1 << own, "table") for table in tables]
            self._live.append((reduce(factor) * pow(HALF, variables - own, MODULUS) % MODULUS, padded, own))

    def message(self) -> list[int]:
        """c0, c2 (and c3 in degree 3) of this round's polynomial; c1 follows from the claim. ValueError after the last round."""
        _check_round(self._round, self._variables)
        values = [0] * (self._degree + 1)
        for factor, tables, own in self._live:
            is_live = self._round < own
            lows_steps = [split(table) if is_live else (table, make_residues([0])) for table in tables]
            repeated = pow(2, self._variables - (own if is_live else self._round + 1), MODULUS)
            for x in range(self._degree + 1):
                product = make_residues([1] * len(lows_steps[0][0]))
                for low, step in lows_steps:
                    product = product * (low + x * step) % MODULUS
                values[x] += factor * repeated * sum(product)
        coefficients = interpolate([value % MODULUS for value in values])
        return [coefficients[0], *coefficients[2:]]

    def bind(self, challenge: int) -> None:
        """Set this round's variable. ValueError after the last round."""
        _check_round(self._round, self._variables)
        x = reduce(challenge)
        self._live = [(factor, [fold(t, x) for t in tables] if self._round < own else tables, own) for factor, tables, own in self._live]
        self._round += 1

    def ends(self) -> list[tuple[int, int]]:
        """a and b of every summand at the challenges. ValueError before the last round."""
        check_length("rounds", self._round, self._variables)
        return [(int(tables[0][0]) % MODULUS, int(tables[1][0]) % MODULUS) for _, tables, _ in self._live]


def _check_round(number: int, rounds: int) -> None:
    if number >= rounds:
        raise ValueError(f"all {rounds} rounds are over")
