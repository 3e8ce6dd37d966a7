"""Each message is left out of the transcript, by both sides, and is then chosen after the challenges that should depend on it.

Whatever it is, one equation is then the liar's to fulfil: a commitment takes what V is short of at ζ; a sumcheck's last message
what its end is short of; two values of one message both the check they are for and V; an input or output is replaced by another
with the same value at the point, found by lattice reduction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits import engine
from circuits.claims import Claim
from circuits.committed import VerifyingModel, digest_part, split_parts
from circuits.digests import compute_model_id
from circuits.engine import Vector
from circuits.field import MODULUS, evaluate_polynomial, invert
from circuits.layers.linear import LinearWeights
from circuits.multilinear import compute_eq_table
from circuits.network import Parameters, encode_descriptor
from circuits.proof_bytes import Proof
from circuits.proof_error import ProofError
from circuits.protocols import linear, maps, opening, rows
from circuits.statement import Statement
from circuits.trace import Trace
from circuits.transcript import Transcript
from circuits.verifier import verify_statement
from tests.soundness.deleting import check_only, skip_absorption
from tests.soundness.dishonest import NOWHERE, Liar, Repairs, change_y, copy_trace, parse_key, read_output, read_tensors
from tests.soundness.lattice import find_relation
from tests.soundness.lies import ROW_LIES, Change, Forged, make_chain_case, make_lookup_case, make_mapped_case
from tests.soundness.networks import SIGNED, Case, commit_case, make_case, make_chain
from tests.soundness.roots import solve_two
from tests.soundness.test_deleted_checks import pay_in_the_last_layer
from tests.soundness.zoo import make_zoo

Patch = pytest.MonkeyPatch


# ---- commitments -----------------------------------------------------------------------------------------------------------------


class LateLiar(Liar):
    """Chooses the commitment at `late` after every challenge: its constant coefficient takes what V is short of at ζ."""

    late: opening.Place = ("trace", 0)

    def open_product(self, config: opening.Config, functionals: opening.Functionals, product: Vector, value: int) -> Any:
        n, powers = config.length, self.setup.powers
        low, high = np.concatenate([np.zeros((1, 4), np.uint64), product[: n - 1]]), product[n:].copy()
        parts = powers.commit_many([low, high])
        self.transcript.absorb_points("parts", parts)
        zeta = self.transcript.draw()
        scales = opening.compute_scales(functionals, zeta) | {("parts", 0): 1, ("parts", 1): pow(zeta, n + 1, MODULUS)}
        chunks = self.chunks | {("parts", 0): low, ("parts", 1): high}
        combined = engine.to_scalars(engine.accumulate(list(scales.values()), [chunks[place] for place in scales], n))
        missing = -value * pow(zeta, n, MODULUS) - evaluate_polynomial(combined, zeta)
        combined[0] = (combined[0] + missing) % MODULUS
        self.change = missing * invert(scales[self.late] % MODULUS) % MODULUS
        self.replace_commitment()
        name, number = self.late
        if name == "parts":
            parts[number] = self.shift(parts[number])
        return parts, powers.commit(engine.divide(engine.from_scalars(combined), zeta))

    def shift(self, point: bytes) -> bytes:
        return engine.combine([point, self.setup.points[0]], [1, self.change])

    def replace_commitment(self) -> None:
        name, number = self.late
        numbers = {"trace": self.layout.trace_chunks, "helpers": self.layout.helper_chunks}.get(name, self.layout.table_chunks)
        if name in self.sent and name != "parts":
            points = list(self.sent[name])
            at = list(numbers).index(number)
            points[at] = self.shift(points[at])  # type: ignore[arg-type]
            self.sent[name] = tuple(points)  # type: ignore[assignment]


SENT_COMMITMENTS: list[tuple[str, opening.Place]] = [
    ("trace", ("trace", 0)),
    ("multiplicities", ("multiplicities", 3)),
    ("helpers", ("helpers", 0)),
    ("table_helpers", ("table_helpers", 1)),
    ("parts", ("parts", 0)),
    ("parts", ("parts", 1)),
]


@pytest.mark.parametrize(("label", "late"), SENT_COMMITMENTS, ids=lambda value: str(value))
@pytest.mark.parametrize("make", [make_chain_case, make_lookup_case])
def test_commitments(make: Callable[[], Case], label: str, late: opening.Place, monkeypatch: Patch) -> None:
    """Z, m, H, G, A, B."""
    case = make()

    def forge_it() -> Forged:
        statement = case.state(y=change_y(case))
        liar = LateLiar(case, statement, case.trace(), NOWHERE)
        liar.late = late
        return liar.run(), statement

    check_only(case, forge_it, lambda: skip_absorption(monkeypatch, label))


def test_the_model(monkeypatch: Patch) -> None:
    """A model registered after its proof: one commitment to parameters takes what V is short of."""
    case = make_chain_case()

    def forge_it() -> tuple[VerifyingModel, Proof, Statement]:
        statement = case.state(y=change_y(case))
        liar = LateLiar(case, statement, case.trace(), NOWHERE)
        number = case.layout.parameter_chunks[0]
        liar.late = ("parameters", number)
        proof = liar.run()
        points = {**case.model.verifying.commitments} | {number: liar.shift(case.model.verifying.commitments[number])}
        parts = [digest_part(part) for part in split_parts(list(points.values()))]
        model_id = compute_model_id(b"", encode_descriptor(case.network), parts)
        return VerifyingModel(case.layout, points, model_id), proof, statement

    model, proof, statement = forge_it()
    with pytest.raises(ProofError):
        verify_statement(model, statement, proof, case.setup)
    skip_absorption(monkeypatch, "model")
    model, proof, statement = forge_it()
    verify_statement(model, statement, proof, case.setup)


def test_a_committed_input(monkeypatch: Patch) -> None:
    """An input chosen after the proof, as a commitment."""
    case = make_case(make_zoo()["committed input"])

    def forge_it() -> Forged:
        statement = case.state(y=change_y(case))
        liar = LateLiar(case, statement, case.trace(), NOWHERE)
        liar.late = ("input", 0)
        proof = liar.run()
        return proof, replace(statement, input=liar.shift(statement.input))

    assert case.layout.input_chunks == (0,)
    check_only(case, forge_it, lambda: skip_absorption(monkeypatch, "input"))


# ---- messages of sumchecks -------------------------------------------------------------------------------------------------------


class LastMessageLiar(Liar):
    """Chooses the last message of one sumcheck after its challenge: it makes up for everything."""

    def repair_totals(self, values: dict[str, int]) -> dict[str, int]:
        if self.repairs.rows:
            degree = rows.Config(self.layout).degrees[-1]
            change = self.evaluate_end(values) * invert(self.sigma[-1] - self.challenges.tau[-1])
            self._change("row_rounds", -degree, change)
        return values

    def repair_ends(self, config: linear.Config) -> None:
        self._change("linear_rounds", -config.sumcheck.degree, -self.compute_missing(config) * invert(1 - 2 * self.rho[-1]))

    def repair_mapped(self, config: maps.Config) -> None:
        self._change("map_rounds", -2, -self.compute_missing_maps(config) * invert(1 - 2 * self.theta[-1]))

    def _change(self, field: str, at: int, amount: int) -> None:
        values = self.get_scalars(field)
        values[at] = (values[at] + amount) % MODULUS
        self.sent[field] = tuple(values)


class MapMessageLiar(LastMessageLiar):
    """The operand at ρ is false, and the maps' last message makes up for it."""

    def repair_ends(self, config: linear.Config) -> None:
        Liar.repair_ends(self, config)


def look_nothing_up(case: Case, trace: Trace) -> None:
    row = case.layout.look.starts[2]
    trace.looked.active[row] = 0
    trace.looked.y[row] += 1


LAST_MESSAGES: list[tuple[str, Callable[[], Case], Change, type[Liar], Repairs]] = [
    ("rows", make_chain_case, ROW_LIES["wrong y"], LastMessageLiar, Repairs("last")),
    ("rows", make_lookup_case, look_nothing_up, LastMessageLiar, Repairs("last")),
    ("linear", make_chain_case, pay_in_the_last_layer, LastMessageLiar, Repairs(None, "last")),
    ("maps", make_mapped_case, pay_in_the_last_layer, MapMessageLiar, Repairs(None, "operand 2.0", 0)),
]


@pytest.mark.parametrize(("label", "make", "lie", "kind", "repairs"), LAST_MESSAGES, ids=["rows", "lookups", "linear", "maps"])
def test_messages(label: str, make: Callable[[], Case], lie: Change, kind: type[Liar], repairs: Repairs, monkeypatch: Patch) -> None:
    case = make()

    def forge_it() -> Forged:
        trace = copy_trace(case.trace())
        lie(case, trace)
        statement = case.state(y=read_output(case, trace))
        return kind(case, statement, read_tensors(case, trace), repairs).run(), statement

    check_only(case, forge_it, lambda: skip_absorption(monkeypatch, label))


# ---- values ----------------------------------------------------------------------------------------------------------------------


class TwoValuesLiar(Liar):
    """Changes two values after μ: they keep the check they are for, and V is what T has."""

    names = ("", "")  # of their claims

    def prove_opening(self) -> None:
        config = opening.Config(self.setup)
        mu = self.transcript.draw()
        functionals, value = opening.batch(self.list_claims(), mu)
        product = opening.compute_product(functionals, self.chunks)
        self.settle(mu, engine.to_scalars(product)[config.length - 1] - value)
        _, value = opening.batch(self.list_claims(), mu)
        assert value == engine.to_scalars(product)[config.length - 1]
        parts, quotient = opening.prove_product(config, self.transcript, functionals, self.chunks, product)
        self.sent |= {"parts": tuple(parts), "quotient": (quotient,)}

    def settle(self, mu: int, missing: int) -> None:
        places = [self._find(name) for name in self.names]
        a, b = (pow(mu, place, MODULUS) for place in places)
        for name, change in zip(self.names, solve_two((*self.compute_weights(), 0), (a, b, missing)), strict=True):
            self._add(name, change)

    def _find(self, name: str) -> int:
        return [claim.name for claim in self.list_claims()].index(name)

    def compute_weights(self) -> tuple[int, int]:
        """What the two count in their check."""
        raise NotImplementedError

    def _add(self, name: str, change: int) -> None:
        """By the claim's name: the claims list knows where a value was sent."""
        claims = self.list_claims()
        before = self._read(claims, name)
        for field in ("totals", "table", "operands", "mapped"):
            values = self.get_scalars(field)
            for index in range(len(values)):
                changed = [*values[:index], (values[index] + change) % MODULUS, *values[index + 1 :]]
                self.sent[field] = tuple(changed)
                if self._read(self.list_claims(), name) == (before + change) % MODULUS:
                    return
            self.sent[field] = tuple(values)
        raise AssertionError(name)

    @staticmethod
    def _read(claims: list[Claim], name: str) -> int:
        return next(claim.value for claim in claims if claim.name == name)


class TotalsLiar(TwoValuesLiar):
    names = ("total y", "multiplicities")

    def compute_weights(self) -> tuple[int, int]:
        return 1, -self.challenges.kappa


class EndsLiar(TwoValuesLiar):
    names = ("operand 1.0", "operand 2.0")

    def compute_weights(self) -> tuple[int, int]:
        factors = self.compute_linear_factors()
        first, second = (factors[key] * self.at_rho[key][0] for key in (parse_key("1.0"), parse_key("2.0")))
        return first, second


class MappedLiar(TwoValuesLiar):
    names = ("mapped 1.0", "mapped 2.0")

    def compute_weights(self) -> tuple[int, int]:
        factors = self.compute_map_factors()
        return factors[1], factors[2]


def make_deep_case() -> Case:
    return make_case(make_chain([5, 4, 6, 3], [12, 12, 12], [SIGNED, SIGNED, SIGNED]), seed=8)


VALUES: list[tuple[str, Callable[[], Case], type[TwoValuesLiar]]] = [
    ("totals", make_chain_case, TotalsLiar),
    ("ends", make_deep_case, EndsLiar),
    ("mapped", make_mapped_case, MappedLiar),
]


@pytest.mark.parametrize(("label", "make", "kind"), VALUES, ids=[label for label, _, _ in VALUES])
def test_values(label: str, make: Callable[[], Case], kind: type[TwoValuesLiar], monkeypatch: Patch) -> None:
    case = make()

    def forge_it() -> Forged:
        statement = case.state(y=change_y(case))
        return kind(case, statement, case.trace(), NOWHERE).run(), statement

    check_only(case, forge_it, lambda: skip_absorption(monkeypatch, label))


# ---- the statement ---------------------------------------------------------------------------------------------------------------


def test_context(monkeypatch: Patch) -> None:
    """Not absorbed, a proof serves every request."""
    case = make_chain_case()
    check_only(case, lambda: (case.prove(), case.state(context=bytes(32))), lambda: skip_absorption(monkeypatch, "context"))


def make_quiet_case() -> Case:
    """28 entries in and 28 out, all of them near zero, so that others are in range too."""
    rng, network = np.random.default_rng(9), make_chain([28, 28], [12], [SIGNED])
    numbers = LinearWeights((rng.integers(-100, 100, (28, 28)),), np.zeros(28, dtype=np.int64))
    return commit_case(network, Parameters((numbers,)), rng.integers(-100, 100, 28))


def test_input(monkeypatch: Patch) -> None:
    """Another input with the same value at ρ: the proof is of the same output."""
    case = make_quiet_case()

    def forge_it() -> Forged:
        liar = Liar(case, case.state(), case.trace(), NOWHERE)
        proof = liar.run()
        return proof, case.state(x=case.x + np.array(find_relation(compute_eq_table(liar.rho)[:28])), y=case.y)

    check_only(case, forge_it, lambda: skip_absorption(monkeypatch, "input"))


def test_output(monkeypatch: Patch) -> None:
    """Another output with the same value at σ."""
    case = make_quiet_case()

    def forge_it() -> Forged:
        liar = Liar(case, case.state(), case.trace(), NOWHERE)
        proof = liar.run()
        return proof, case.state(y=case.y + np.array(find_relation(compute_eq_table(liar.sigma[:5])[:28])))

    check_only(case, forge_it, lambda: skip_absorption(monkeypatch, "output"))


# ---- none is forgotten -----------------------------------------------------------------------------------------------------------


def test_every_label_has_a_deletion(monkeypatch: Patch) -> None:
    """A message added later must join the tests above. The tag alone has none: it says which protocol, and forges nothing."""
    seen: set[str] = set()
    absorb = Transcript.absorb

    def record(self: Transcript, label: str, data: bytes) -> None:
        seen.add(label)
        absorb(self, label, data)

    monkeypatch.setattr(Transcript, "absorb", record)
    for network in make_zoo().values():
        make_case(network).prove()
    forged = {label for label, _ in SENT_COMMITMENTS} | {label for label, *_ in LAST_MESSAGES} | {label for label, *_ in VALUES}
    assert seen == forged | {"tag", "model", "context", "input", "output"}
