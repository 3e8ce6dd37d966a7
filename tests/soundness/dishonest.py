"""A dishonest prover that repairs every intermediate check, so that a lie is seen by the last one only.

It proves whatever rows and output it is given. Where the values at σ, ρ or θ would not satisfy the verifier, it changes one
value of its choice until they do: the lie then sits in that value's claim, and only the opening can see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuits import engine
from circuits.engine import Vector
from circuits.field import MODULUS, evaluate_polynomial, interpolate, invert
from circuits.layers.linear import compute_accumulators
from circuits.layout import TABLE_LENGTH
from circuits.multilinear import evaluate_tensor
from circuits.plan import TermPlan
from circuits.proof_bytes import Proof
from circuits.protocols import linear, maps, opening, rows, sumcheck
from circuits.protocols.linear import Key, find_key
from circuits.prover import Prover
from circuits.statement import Statement
from circuits.tensors import Integers
from circuits.trace import Trace, drop_padding, pad_axes
from tests.soundness.networks import Case
from tests.soundness.roots import find_root

LOOKUP_TOTALS = ("looked up", "result of a lookup", "H of lookups")


@dataclass(frozen=True)
class Repairs:
    """What is changed at each check; None leaves the lie where it is.

    `rows`: a column, r0, H, one of LOOKUP_TOTALS, G, m, or "tables". `linear`: "rest", "weights o.t" or "operand o.t" for term t of
    operator index o. `maps`: the number of a mapped term that is sent.
    """

    rows: str | None = None
    linear: str | None = None
    maps: int | None = None


EVERYWHERE = Repairs("y", "rest", 0)
NOWHERE = Repairs()


class Liar(Prover):
    """Proves `statement` from `trace`, whatever they are."""

    def __init__(self, case: Case, statement: Statement, trace: Trace, repairs: Repairs = EVERYWHERE) -> None:
        super().__init__(case.model, statement, trace, case.setup)
        self.repairs = repairs
        self.multiplicity_change: dict[int, int] = {}

    def count_lookups(self) -> Integers:
        """m: values outside their table are not counted; `multiplicity_change` is added."""
        columns = {name: clip_to_table(values) for name, values in self.find_columns().items() if name in ("r0", "r1", "u")}
        counts = np.zeros(self.layout.tag_count * TABLE_LENGTH, dtype=np.int64)
        for values in (*columns.values(), clip_to_table(rows.find_range_lookups(self.find_columns())[2])):
            counts[:TABLE_LENGTH] += np.bincount(values[values >= 0], minlength=TABLE_LENGTH)
        looked = self.trace.looked
        inside = (looked.active == 1) & (looked.index >= 0) & (looked.index < TABLE_LENGTH)
        counts += np.bincount((looked.tag * TABLE_LENGTH + looked.index)[inside], minlength=len(counts))
        for entry, amount in self.multiplicity_change.items():
            counts[entry] += amount
        return counts

    # ---- rows --------------------------------------------------------------------------------------------------------------------

    def prove_rows(self) -> None:
        """Besides σ, the value the verifier will want there."""
        super().prove_rows()
        claim, messages = 0, rows.Config(self.layout).split_messages(self.get_scalars("row_rounds"))
        for message, tau, at in zip(messages, self.challenges.tau, self.sigma, strict=True):
            claim = evaluate_polynomial([(claim - tau * sum(message)) % MODULUS, *message], at)
        self.wanted = claim

    def get_scalars(self, field: str) -> list[int]:
        return [int(v) for v in self.sent[field]]  # type: ignore[arg-type]

    def list_totals(self) -> dict[str, int]:
        """Every value at σ but rest, by name."""
        at_rows, at_table = self.sigma[: self.layout.rows.bits], self.sigma[: self.layout.table_bits]
        values = {name: engine.evaluate(self.trace.columns[name], at_rows) for name in (*self.layout.columns, "r0")}
        values["H"] = engine.evaluate(self.helper, at_rows)
        values |= dict(zip(LOOKUP_TOTALS, self.compute_lookup_totals(), strict=False))
        values |= {"G": engine.evaluate(self.table_helper, at_table), "m": engine.evaluate(self.multiplicities, at_table)}
        return values | dict(zip(["tables"], self.compute_table_values(at_table), strict=False))

    def evaluate_end(self, values: dict[str, int]) -> int:
        """What the verifier computes at σ from these totals, minus what it wants."""
        layout, challenges = self.layout, self.challenges
        weights = rows.compute_block_weights(layout, self.sigma)
        offset = sum(w * layer.operator.format.offset for w, layer in zip(weights, layout.layers, strict=True)) % MODULUS
        columns = {name: values[name] for name in (*layout.columns, "r0", "H")}
        value = rows.compute_row(columns, offset, sum(weights) % MODULUS, challenges)
        if layout.lookups:
            public = rows.compute_public_lookups(layout, self.sigma)
            x, y, helper = (values[name] for name in LOOKUP_TOTALS)
            value += rows.compute_lookup(x, y, helper, public, challenges)
        entry = rows.compute_entry(layout, self.sigma[: layout.table_bits], values.get("tables", 0), challenges.beta)
        value += challenges.kappa * (values["G"] * (challenges.alpha + entry) - values["m"])
        return (value - self.wanted) % MODULUS

    def repair_totals(self, values: dict[str, int]) -> dict[str, int]:
        """One value changed so that the rows check holds: a root of a polynomial of degree at most 3 in it."""
        name = self.repairs.rows
        if name is None:
            return values
        return values | {name: find_root(interpolate([self.evaluate_end(values | {name: node}) for node in range(4)]))}

    def send_totals(self) -> None:
        values = self.repair_totals(self.list_totals())
        rest = self.compute_wanted_rest(values["r0"]) if self.repairs.linear == "rest" else self.compute_rest()
        has_lookups = bool(self.layout.lookups)
        self.send_scalars(
            "totals",
            totals=[values[name] for name in (*self.layout.columns, "r0", "H")],
            lookup_totals=[values[name] for name in LOOKUP_TOTALS] if has_lookups else [],
            table=[values["G"], values["m"]],
            table_values=[values["tables"]] if has_lookups else [],
            rest=[rest],
        )

    # ---- accumulators --------------------------------------------------------------------------------------------------------------

    def compute_wanted_rest(self, r0: int) -> int:
        """The rest that makes the claim of step 4 the true sum of this trace's products."""
        total, tensors = 0, [tensor.reshape(1, -1) for tensor in self.trace.tensors]
        weights = rows.compute_block_weights(self.layout, self.sigma)
        for layer, weight, numbers in zip(self.layout.layers, weights, self.model.parameters.layers, strict=True):
            bare = replace(numbers, bias=None if numbers.bias is None else numbers.bias * 0)
            acc = compute_accumulators(layer.operator, bare, tensors, self.layout.shapes)
            total += weight * (engine.evaluate(pad_axes(layer.operator.shape, acc), self.sigma[: layer.block_bits]) + layer.constant)
        return (r0 - total) % MODULUS

    def prove_linear(self) -> None:
        """As the honest step, with one value at ρ repaired."""
        config = linear.Config(self.layout, self.terms)
        messages, self.rho, ends = linear.prove(config, self.transcript, self.sigma, self.list_numbers())
        self.sent["linear_rounds"] = tuple(messages)
        self.at_rho = {find_key(plan): end for plan, end in zip(self.terms.plans, ends, strict=True)}
        for plan in self.terms.plans:
            self.at_rho[find_key(plan)] = self.replace_public(plan)
        if self.repairs.linear not in (None, "rest"):
            self.repair_ends(config)
        self.send_scalars(
            "ends",
            weights=[self.at_rho[find_key(plan)][0] for plan in self.terms.weighted],
            operands=[self.at_rho[find_key(plan)][1] for plan in self.terms.sent],
        )

    def replace_public(self, plan: TermPlan) -> tuple[int, int]:
        """What the verifier evaluates itself, of the statement's input and not of the trace's."""
        weight, operand = self.at_rho[find_key(plan)]
        shape = self.layout.shapes[0]
        if plan not in self.terms.sent:
            operand = evaluate_tensor(self.statement.public_input, shape, plan.find_operand_point(self.sigma, self.rho, ()))
        if plan.is_weights_public:
            weight = evaluate_tensor(self.statement.public_input, shape, plan.find_weights_point(self.sigma, self.rho))
        return weight, operand

    def compute_linear_factors(self) -> dict[Key, int]:
        """w_l·factor·scale·eq(σ, ρ) for every term."""
        config = linear.Config(self.layout, self.terms)
        return {
            find_key(plan): factor * config.sumcheck.scale(plan.variables) * plan.compute_shared_eq(self.sigma, self.rho) % MODULUS
            for plan, factor in zip(self.terms.plans, config.compute_factors(self.sigma), strict=True)
        }

    def compute_missing(self, config: linear.Config) -> int:
        """The verifier's claim at ρ minus the sum of the products there."""
        claim = linear.compute_claim(config, self.sigma, self.get_scalars("totals")[-2], self.get_scalars("rest")[0])
        claim = fold_messages(config.sumcheck, claim, self.get_scalars("linear_rounds"), self.rho)
        return claim - sum(f * self.at_rho[key][0] * self.at_rho[key][1] for key, f in self.compute_linear_factors().items())

    def repair_ends(self, config: linear.Config) -> None:
        kind, name = str(self.repairs.linear).split()
        key = parse_key(name)
        weight, operand = self.at_rho[key]
        factor, missing = self.compute_linear_factors()[key], self.compute_missing(config)
        if kind == "weights":
            self.at_rho[key] = (weight + missing * invert(factor * operand % MODULUS)) % MODULUS, operand
        else:
            self.at_rho[key] = weight, (operand + missing * invert(factor * weight % MODULUS)) % MODULUS

    # ---- maps ----------------------------------------------------------------------------------------------------------------------

    def prove_maps(self) -> None:
        """As the honest step, with one value at θ repaired."""
        if not self.terms.mapped:
            super().prove_maps()
            return
        config, points = maps.Config(self.terms), (self.sigma, self.rho)
        self.lambdas = config.draw_powers(self.transcript)
        tables = [
            (maps.compute_map(p, *points), maps.compute_operand(p, *points, self.trace.tensors[p.term.operand])) for p in self.terms.mapped
        ]
        products = [sumcheck.Product(k, None, *t, p.map_bits) for p, k, t in zip(self.terms.mapped, self.lambdas, tables, strict=True)]
        messages, self.theta, ends = sumcheck.prove(config.sumcheck, self.transcript, products)
        self.sent["map_rounds"] = tuple(messages)
        self.at_theta = [
            evaluate_tensor(self.statement.public_input, self.layout.shapes[0], p.find_operand_point(*points, self.theta))
            if p.is_public
            else b
            for p, (_, b) in zip(self.terms.mapped, ends, strict=True)
        ]
        if self.repairs.maps is not None and self.terms.sent_after_maps:
            self.repair_mapped(config)
        self.send_scalars("mapped", mapped=[v for p, v in zip(self.terms.mapped, self.at_theta, strict=True) if not p.is_public])

    def compute_map_factors(self) -> list[int]:
        """λ^k·scale·A_k(θ) for every mapped term."""
        scale, points = maps.Config(self.terms).sumcheck.scale, (self.sigma, self.rho, self.theta)
        return [k * scale(p.map_bits) * p.compute_map(*points) % MODULUS for p, k in zip(self.terms.mapped, self.lambdas, strict=True)]

    def compute_missing_maps(self, config: maps.Config) -> int:
        """The verifier's claim at θ minus the sum of the products there."""
        sent = [self.at_rho[find_key(plan)][1] for plan in self.terms.mapped]
        claim = sum(k * v for k, v in zip(self.lambdas, sent, strict=True)) % MODULUS
        claim = fold_messages(config.sumcheck, claim, self.get_scalars("map_rounds"), self.theta)
        return claim - sum(f * v for f, v in zip(self.compute_map_factors(), self.at_theta, strict=True))

    def repair_mapped(self, config: maps.Config) -> None:
        missing = self.compute_missing_maps(config) % MODULUS
        changed = self.terms.mapped.index(self.terms.sent_after_maps[self.repairs.maps or 0])
        if missing:
            self.at_theta[changed] = (self.at_theta[changed] + missing * invert(self.compute_map_factors()[changed])) % MODULUS

    # ---- the opening -----------------------------------------------------------------------------------------------------------------

    def prove_opening(self) -> None:
        """T is what it is; V is what the claims say."""
        config = opening.Config(self.setup)
        functionals, value = opening.batch(self.list_claims(), self.transcript.draw())
        product = opening.compute_product(functionals, self.chunks)
        parts, quotient = self.open_product(config, functionals, product, value)
        self.sent |= {"parts": tuple(parts), "quotient": (quotient,)}

    def open_product(
        self, config: opening.Config, functionals: opening.Functionals, product: Vector, value: int
    ) -> tuple[list[bytes], bytes]:
        """A and B of T, and the quotient. `value` is V: what is missing is for those to hide who want to."""
        return opening.prove_product(config, self.transcript, functionals, self.chunks, product)


def clip_to_table(values: Integers) -> Integers:
    """−1 for what is in no table."""
    return np.where((values >= 0) & (values < TABLE_LENGTH), values, -1)


def fold_messages(config: sumcheck.Config, claim: int, messages: Sequence[int], point: Sequence[int]) -> int:
    """The claim a verifier ends with."""
    for number, at in enumerate(point):
        c0, *higher = messages[config.degree * number : config.degree * (number + 1)]
        claim = evaluate_polynomial([c0, (claim - 2 * c0 - sum(higher)) % MODULUS, *higher], at)
    return claim


def parse_key(name: str) -> Key:
    operator, term = name.split(".")
    return int(operator), int(term)


# ---- traces that are not what the network does ---------------------------------------------------------------------------------------


def copy_trace(trace: Trace) -> Trace:
    """Arrays of its own, to be changed."""
    looked = rows.LookupRows(*(array.copy() for array in (trace.looked.index, trace.looked.y, trace.looked.tag, trace.looked.active)))
    return Trace({name: values.copy() for name, values in trace.columns.items()}, looked, trace.tensors)


def read_tensors(case: Case, trace: Trace) -> Trace:
    """Every tensor as the changed y columns have it, so that the products of step 4 are those of the committed rows."""
    tensors: list[Integers] = [case.x]
    for index, operator in enumerate(case.network.operators):
        if index in case.layout.rows.starts:
            space, column = case.layout.rows, trace.columns["y"]
        else:
            space, column = case.layout.look, trace.looked.y
        block = column[space.starts[index] :][: len(pad_axes(operator.shape, np.zeros(operator.size, dtype=np.int64)))]
        tensors.append(drop_padding(operator.shape, block))
    return replace(trace, tensors=tuple(tensors))


def read_output(case: Case, trace: Trace) -> Integers:
    """What the changed rows give, brought into range: the output the liar claims."""
    form = case.network.output.format
    return np.clip(read_tensors(case, trace).tensors[case.network.output_operand], form.low, form.high)


def change_y(case: Case, amount: int = 1) -> Integers:
    """An output that is not the network's, still in range."""
    y, form = case.y, case.network.output.format
    y[0] += amount if y[0] + amount <= form.high else -amount
    return y


def forge(case: Case, trace: Trace, repairs: Repairs = EVERYWHERE, y: Integers | None = None) -> tuple[Proof, Statement]:
    """A proof of `y` (what the rows give if not told) from changed rows, and the statement it is for."""
    statement = case.state(y=read_output(case, trace) if y is None else y)
    return Liar(case, statement, read_tensors(case, trace), repairs).run(), statement
