"""A dishonest prover that repairs every intermediate check, so that a lie is seen by the last one only.

It proves whatever trace and output it is given. Where the honest values at σ, ρ or θ would not satisfy the verifier, it
changes one value of its choice until they do: the lie then sits in that value's claim, and only the opening can see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from py_arkworks_bls12381 import G1Point

from circuits.field import MODULUS, Vector, evaluate_polynomial, interpolate, invert, make_zeros, to_vector
from circuits.layout import TABLE_BITS, TABLE_LENGTH
from circuits.multilinear import evaluate, evaluate_matrix
from circuits.proof_bytes import Proof
from circuits.protocols import linear, opening, reshape, rows, sumcheck
from circuits.prover import Prover
from circuits.statement import Statement
from circuits.tensors import Integers
from circuits.trace import Trace
from tests.soundness.networks import Case

Change = Callable[[dict[str, Vector]], None]


class Liar(Prover):
    """`repair_rows` names a total, G or m; `repair_linear` is rest, "weights l" or "operand l"; None leaves the lie where it is."""

    def __init__(
        self,
        case: Case,
        statement: Statement,
        trace: Trace,
        repair_rows: str | None = "y",
        repair_linear: str | None = "rest",
        repair_reshape: bool = True,
    ) -> None:
        super().__init__(case.model, statement, trace, case.setup)
        self.repair_rows, self.repair_linear, self.repair_reshape = repair_rows, repair_linear, repair_reshape
        self.multiplicity_change: dict[int, int] = {}

    def find_lookups(self) -> list[Vector]:
        return [values % MODULUS for values in super().find_lookups()]

    def commit_trace(self) -> None:
        """Values outside the table are not counted; `multiplicity_change` is added."""
        honest = rows.compute_multiplicities
        change = self.multiplicity_change

        def count(lookups: Sequence[Vector]) -> Vector:
            counts = honest([to_vector(v for v in values if v < TABLE_LENGTH) for values in lookups])
            for entry, amount in change.items():
                counts[entry] = (counts[entry] + amount) % MODULUS
            return counts

        rows.compute_multiplicities = count
        try:
            super().commit_trace()
        finally:
            rows.compute_multiplicities = honest

    def prove_rows(self) -> None:
        """Besides σ, the value the verifier will want there."""
        super().prove_rows()
        claim, degree = 0, rows.Config(self.layout).degree
        messages = self.sent["row_rounds"]
        for number, (tau, at) in enumerate(zip(self.challenges.tau, self.sigma, strict=True)):
            message = [int(c) for c in messages[number * degree : (number + 1) * degree]]  # type: ignore[arg-type]
            claim = evaluate_polynomial([(claim - tau * sum(message)) % MODULUS, *message], at)
        self.wanted = claim

    def evaluate_end(self, values: Mapping[str, int]) -> int:
        """F_rows + F_table at σ, minus what is wanted."""
        weights = rows.compute_block_weights(self.layout, self.sigma)
        offset = sum(w * layer.operator.format.offset for w, layer in zip(weights, self.layout.layers, strict=True)) % MODULUS
        columns = {name: values[name] for name in (*self.layout.columns, "r0", "H")}
        entry = sum(s << i for i, s in enumerate(self.sigma[:TABLE_BITS])) % MODULUS
        value = rows.compute_row(columns, offset, sum(weights) % MODULUS, self.challenges)
        return (value + rows.compute_table(values["G"], entry, values["m"], self.challenges) - self.wanted) % MODULUS

    def send_totals(self) -> None:
        values = {name: self.evaluate_column(name) for name in (*self.layout.columns, "r0", "H")}
        values |= {"G": evaluate(self.table_helper, self.sigma[:TABLE_BITS]), "m": evaluate(self.multiplicities, self.sigma[:TABLE_BITS])}
        values = self.repair_values(values)
        rest = self.compute_rest()
        if self.repair_linear == "rest":
            rest = self.compute_wanted_rest(values["r0"])
        names = (*self.layout.columns, "r0", "H")
        self.send_scalars("totals", totals=[values[n] for n in names], table=[values["G"], values["m"]], rest=[rest])

    def repair_values(self, values: dict[str, int]) -> dict[str, int]:
        """One value changed so that the rows check holds: a root of a polynomial of degree at most 3 in it."""
        name = self.repair_rows
        if name is None:
            return values
        nodes = [self.evaluate_end(values | {name: node}) for node in range(4)]
        coefficients = interpolate(nodes)
        return values | {name: find_root(coefficients) if any(coefficients[2:]) else -coefficients[0] * invert(coefficients[1]) % MODULUS}

    def compute_wanted_rest(self, r0: int) -> int:
        """The rest that makes the claim of step 4 the true sum of this trace's products."""
        total = 0
        weights = rows.compute_block_weights(self.layout, self.sigma)
        for layer, weight, numbers in zip(self.layout.layers, weights, self.model.parameters, strict=True):
            bare = replace(numbers, bias=numbers.bias * 0)
            tensor = self.trace.tensors[layer.operator.operand].astype(object).reshape(layer.operator.positions, -1)
            outputs, positions = linear.split_sigma(layer, self.sigma)
            products = to_vector((tensor @ bare.weights.astype(object).T).reshape(-1))
            shape = layer.operator.positions, layer.operator.out_features
            total += weight * (evaluate_matrix(products, shape, outputs, positions) + layer.constant)
        return (r0 - total) % MODULUS

    def prove_linear(self) -> None:
        """As the honest step, with one value at ρ repaired."""
        tensors = [to_vector(tensor) for tensor in self.trace.tensors]
        config = linear.Config(self.layout)
        messages, self.rho, weights, operands = linear.prove(config, self.transcript, self.sigma, self.model.parameters, tensors)
        self.sent["linear_rounds"] = tuple(messages)
        self.operands = dict(enumerate(operands))
        public = [layer for layer in self.layout.layers if not self.layout.is_computed(layer)]
        self.operands |= {layer.index: linear.evaluate_input(layer, self.statement.x, self.sigma, self.rho) for layer in public}
        if self.repair_linear not in (None, "rest"):
            self.repair_ends(config, messages, weights)
        self.send_scalars("ends", weights=weights, operands=[self.operands[layer.index] for layer in self.layout.computed_operands])

    def repair_ends(self, config: linear.Config, messages: Sequence[int], weights: list[int]) -> None:
        kind, index = str(self.repair_linear).split()
        totals = [int(v) for v in self.sent["totals"]]  # type: ignore[arg-type]
        claim = linear.compute_claim(config, self.sigma, totals[-2], int(self.sent["rest"][0]))  # type: ignore[arg-type]
        for number, at in enumerate(self.rho):
            c0, c2 = messages[2 * number : 2 * number + 2]
            claim = evaluate_polynomial([c0, (claim - 2 * c0 - c2) % MODULUS, c2], at)
        blocks = rows.compute_block_weights(self.layout, self.sigma)
        factors = [block * config.sumcheck.scale(layer.in_bits) for block, layer in zip(blocks, self.layout.layers, strict=True)]
        missing = claim - sum(f * w * self.operands[i] for i, (f, w) in enumerate(zip(factors, weights, strict=True)))
        changed = int(index)
        if kind == "weights":
            weights[changed] = (weights[changed] + missing * invert(factors[changed] * self.operands[changed] % MODULUS)) % MODULUS
        else:
            self.operands[changed] = (self.operands[changed] + missing * invert(factors[changed] * weights[changed] % MODULUS)) % MODULUS

    def prove_reshape(self) -> None:
        """As the honest step, with the first value at θ repaired."""
        before = [self.operands[layer.index] for layer in self.layout.reshaped]
        blocks = [self.get_block("y", layer) for layer in self.layout.layers]
        config = reshape.Config(self.layout)
        powers: list[int] = []
        keep = reshape.Config.draw_powers

        def draw(config: reshape.Config, transcript: object) -> list[int]:
            powers.extend(keep(config, transcript))  # type: ignore[arg-type]
            return powers

        reshape.Config.draw_powers = draw  # type: ignore[method-assign,assignment]
        try:
            messages, self.theta, values = reshape.prove(config, self.transcript, self.sigma, self.rho, blocks)
        finally:
            reshape.Config.draw_powers = keep  # type: ignore[method-assign]
        if values and self.repair_reshape:
            claim = sum(p * v for p, v in zip(powers, before, strict=True)) % MODULUS
            for number, at in enumerate(self.theta):
                c0, c2 = messages[2 * number : 2 * number + 2]
                claim = evaluate_polynomial([c0, (claim - 2 * c0 - c2) % MODULUS, c2], at)
            values = self.repair_theta(config.sumcheck, powers, claim, values)
        self.sent["reshape_rounds"] = tuple(messages)
        self.send_scalars("reshaped", reshaped=values)

    def repair_theta(self, config: sumcheck.Config, powers: Sequence[int], claim: int, values: list[int]) -> list[int]:
        factors = []
        for layer, power in zip(self.layout.reshaped, powers, strict=True):
            producer = self.layout.find_producer(layer)
            table = make_zeros(1 << producer.block_bits)
            table[reshape.find_rows(producer)] = reshape.compute_element_weights(layer, self.sigma, self.rho)
            factors.append(power * config.scale(producer.block_bits) * evaluate(table, self.theta[: producer.block_bits]) % MODULUS)
        missing = claim - sum(f * v for f, v in zip(factors, values, strict=True))
        return [(values[0] + missing * invert(factors[0])) % MODULUS, *values[1:]]

    def prove_opening(self) -> None:
        """T is what it is; V is what the claims say."""
        config = opening.Config(self.setup)
        functionals, value = opening.batch(self.list_claims(), self.transcript.draw())
        product = opening.compute_product(functionals, self.chunks, config.length)
        parts, quotient = self.open_product(config, functionals, product, value)
        self.sent |= {"parts": tuple(parts), "quotient": (quotient,)}

    def open_product(
        self, config: opening.Config, functionals: opening.Functionals, product: Vector, value: int
    ) -> tuple[list[G1Point], G1Point]:
        return opening.prove_product(config, self.transcript, functionals, self.chunks, product)


def forge(
    case: Case, change: Change | None = None, y: Integers | None = None, x: Integers | None = None, **options: Any
) -> tuple[Proof, Statement]:
    """A proof of `y` (the true output if not told) for `x` from changed columns, and the statement it is for."""
    columns = dict(case.compute_columns())
    if change is not None:
        change(columns)
    statement = case.state(x, y)
    return Liar(case, statement, Trace(columns, collect_tensors(case, columns)), **options).run(), statement


def collect_tensors(case: Case, columns: Mapping[str, Vector]) -> tuple[Integers, ...]:
    """Every tensor as the (changed) y column has it, so that the products of step 4 are those of the committed rows."""
    tensors: list[Integers] = [case.x]
    for layer in case.model.layout.layers:
        start, operator = case.model.layout.row_starts[layer.index], layer.operator
        block = columns["y"][start : start + (1 << layer.block_bits)].reshape(1 << layer.position_bits, -1)
        tensors.append(block[: operator.positions, : operator.out_features].reshape(-1).astype(np.int64))
    return tuple(tensors)


# ---- a root of a polynomial of small degree over the field ------------------------------------------------------------------------


def find_root(coefficients: Sequence[int]) -> int:
    """One root, by gcd with X^r − X and random splitting (Cantor, Zassenhaus). Raises LookupError where there is none."""
    f = _trim(list(coefficients))
    linear_part = _gcd(f, _subtract(_power([0, 1], MODULUS, f), [0, 1]))
    if len(linear_part) < 2:
        raise LookupError("no root")
    shift = 1
    while len(linear_part) > 2:
        half = _gcd(linear_part, _subtract(_power([shift, 1], (MODULUS - 1) // 2, linear_part), [1]))
        if 1 < len(half) < len(linear_part):
            linear_part = half
        shift += 1
    return -linear_part[0] * invert(linear_part[1]) % MODULUS


def _trim(f: list[int]) -> list[int]:
    while f and f[-1] % MODULUS == 0:
        f = f[:-1]
    return [c % MODULUS for c in f]


def _subtract(a: list[int], b: list[int]) -> list[int]:
    size = max(len(a), len(b))
    return _trim([x - y for x, y in zip(a + [0] * (size - len(a)), b + [0] * (size - len(b)), strict=True)])


def _remainder(a: list[int], f: list[int]) -> list[int]:
    a, lead = _trim(a), invert(f[-1])
    while len(a) >= len(f):
        q, shift = a[-1] * lead % MODULUS, len(a) - len(f)
        a = _trim([c - q * f[i - shift] if i >= shift else c for i, c in enumerate(a)])
    return a


def _gcd(a: list[int], b: list[int]) -> list[int]:
    while b:
        a, b = b, _remainder(a, b)
    return a


def _power(base: list[int], exponent: int, f: list[int]) -> list[int]:
    result = [1]
    for bit in bin(exponent)[2:]:
        result = _remainder(_multiply(result, result), f)
        if bit == "1":
            result = _remainder(_multiply(result, base), f)
    return result


def _multiply(a: list[int], b: list[int]) -> list[int]:
    out = [0] * max(len(a) + len(b) - 1, 0)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = (out[i + j] + x * y) % MODULUS
    return out
