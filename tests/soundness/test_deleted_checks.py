"""Each check of the verifier is taken away by name, and a forged proof that it alone refused is accepted.

So every check carries weight, and this suite fails if one stops being called. Checks are deleted where they are made:
`require` by its name, a claim by making it claim nothing, a challenge by fixing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits import claims as claims_module
from circuits import layout as layout_module
from circuits.claims import Claim, ClaimList, find_parts, make_pairs
from circuits.commitment import INFINITY
from circuits.errors import InvariantBroken
from circuits.field import MODULUS, Vector, dot, invert, to_vector
from circuits.layers.linear import Linear
from circuits.layout import Layout
from circuits.multilinear import evaluate
from circuits.proof_bytes import Proof
from circuits.proof_error import ProofError, require
from circuits.protocols import linear, opening, reshape, rows
from circuits.statement import Statement
from circuits.trace import Trace
from circuits.transcript import Transcript
from tests.soundness.dishonest import Liar, collect_tensors, forge
from tests.soundness.networks import RECTIFIED, SIGNED, Case, make_case, make_chain, make_network
from tests.soundness.test_lies import LIES, find_row, read_output, shift_accumulator

Columns = dict[str, Vector]
Forged = tuple[Proof, Statement]


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(make_chain([5, 8, 5], [24, 12], [RECTIFIED, SIGNED]), seed=11, size=1 << 12, chunk_bits=6)


@pytest.fixture(scope="module")
def reshaping() -> Case:
    """Two layers that read across padding."""
    operators = [Linear(0, 3, 2, 3, 12, SIGNED), Linear(1, 1, 9, 6, 12, SIGNED), Linear(2, 2, 3, 2, 12, SIGNED)]
    found = make_case(make_network((3, 2), operators), seed=4, size=1 << 10, chunk_bits=6)
    assert len(found.model.layout.reshaped) == 2
    return found


def tell(case: Case, lie: str, context: bytes = bytes(32), **options: Any) -> Forged:
    columns = dict(case.compute_columns())
    LIES[lie](case, columns)
    return forge(case, lambda c: c.update(columns), y=read_output(case, columns), **options)


def delete_require(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    def weakened(is_true: bool, what: str, expected: object = None, got: object = None) -> None:
        if what != name:
            require(is_true, what, expected, got)

    monkeypatch.setattr(module, "require", weakened)


def delete_claim(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The claim keeps its place and says 0 = 0."""
    whole = ClaimList.make

    def make(self: ClaimList, y: Any) -> list[Claim]:
        made = whole(self, y)
        assert name in [claim.name for claim in made]
        return [_empty(claim) if claim.name == name else claim for claim in made]

    monkeypatch.setattr(ClaimList, "make", make)


def _empty(claim: Claim) -> Claim:
    return replace(claim, value=0, parts=tuple(replace(part, coefficient=0) for part in claim.parts))


def check_only(case: Case, forge_it: Callable[[], Forged], weaken: Callable[[], None]) -> None:
    """The forged proof is refused by the whole verifier, and accepted by the weakened one."""
    with pytest.raises(ProofError):
        case.verify(*forge_it())
    weaken()
    case.verify(*forge_it())


# ---- checks by name ------------------------------------------------------------------------------------------------------------------


def test_rows(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tell(case, "wrong y", repair_rows=None, repair_linear=None)
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, rows, "rows and table"))


def test_linear(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tell(case, "a bias that pays", repair_rows=None, repair_linear=None)
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, linear, "linear layers"))


def change_last(case: Case) -> tuple[Callable[[Columns], None], np.ndarray[Any, Any]]:
    """The last layer's first row from another accumulator, and the output it gives."""
    columns = dict(case.compute_columns())
    layer = case.model.layout.layers[-1]
    start = case.model.layout.row_starts[layer.index]
    shift_accumulator(columns, layer, start, 1 << 12)
    rows_of_block = columns["y"][start : start + (1 << layer.block_bits)].reshape(1 << layer.position_bits, -1)
    y = rows_of_block[: layer.operator.positions, : layer.operator.out_features].reshape(-1).astype(np.int64)
    assert y.tolist() != case.y.tolist()
    return lambda c: c.update(columns), y


def test_reshaped_operands(reshaping: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    change, y = change_last(reshaping)
    forged = forge(reshaping, change, y=y, repair_rows=None, repair_linear="operand 2", repair_reshape=False)
    check_only(reshaping, lambda: forged, lambda: delete_require(monkeypatch, reshape, "reshaped operands"))


def test_opening(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tell(case, "wrong y")
    check_only(case, lambda: forged, lambda: delete_require(monkeypatch, opening, "opening"))


def test_a_combination_that_vanishes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a forgery: the precompile's compressed form of infinity is refused here as it is on chain."""
    proof = case.prove()
    monkeypatch.setattr(opening, "combine", lambda points, scalars: INFINITY)
    with pytest.raises(ProofError, match="opening: the combination"):
        case.verify(proof)


# ---- claims --------------------------------------------------------------------------------------------------------------------------

ROW_CLAIMS = {
    "total y": "y",
    "total u": "u",
    "total h": "h",
    "total c": "c",
    "total r1": "r1",
    "total H": "H",
    "table_helpers": "G",
    "multiplicities": "m",
}
LINEAR_CLAIMS = {"rest": "rest", "weights 0": "weights 0", "weights 1": "weights 1", "operand 1": "operand 1"}


def _forge_columns(case: Case, columns: Columns, **options: Any) -> Forged:
    return forge(case, lambda c: c.update(columns), y=read_output(case, columns), **options)


@pytest.mark.parametrize("claim", ROW_CLAIMS)
def test_claims_of_the_rows(case: Case, claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A total that nobody opens takes any value, and pays for a wrong y (`total y` pays with itself)."""

    def forge_it() -> Forged:
        for amount in range(1, 8):
            columns = dict(case.compute_columns())
            columns["y"] = columns["y"].copy()
            columns["y"][find_row(case, 0)] -= amount
            try:
                return _forge_columns(case, columns, repair_rows=ROW_CLAIMS[claim], repair_linear=None)
            except LookupError:  # the cubic in c has no root for this lie
                continue
        raise AssertionError("no lie found a root")

    check_only(case, forge_it, lambda: delete_claim(monkeypatch, claim))


@pytest.mark.parametrize("claim", LINEAR_CLAIMS)
def test_claims_of_the_linear_step(case: Case, claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = lambda: tell(case, "a bias that pays", repair_rows=None, repair_linear=LINEAR_CLAIMS[claim])  # noqa: E731
    check_only(case, forged, lambda: delete_claim(monkeypatch, claim))


def test_claim_at_theta(reshaping: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    change, y = change_last(reshaping)
    forged = lambda: forge(reshaping, change, y=y, repair_rows=None, repair_linear="operand 2")  # noqa: E731
    check_only(reshaping, forged, lambda: delete_claim(monkeypatch, "reshaped 1"))


def test_sum_of_helpers(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limb outside the table, with its own pole: only ΣH = ΣG sees that no entry pays for it."""
    forged = lambda: tell(case, "limb outside the table", repair_rows=None, repair_linear=None)  # noqa: E731
    check_only(case, forged, lambda: delete_claim(monkeypatch, "sum of helpers"))


def test_output(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    y = case.y + np.where(case.y < 2047, 1, -1)
    forged = lambda: forge(case, y=y, repair_rows=None, repair_linear=None)  # noqa: E731
    check_only(case, forged, lambda: delete_claim(monkeypatch, "output"))


def test_input(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluating another input than the statement's."""
    honest, x = linear.evaluate_input, -1 - case.x

    def evaluate_other(layer: Any, _: Any, sigma: Any, rho: Any) -> int:
        return honest(layer, case.x, sigma, rho)

    forged = forge(case, x=x, y=case.y, repair_rows=None, repair_linear=None)
    check_only(case, lambda: forged, lambda: monkeypatch.setattr(linear, "evaluate_input", evaluate_other))


def test_every_claim_has_a_deletion(case: Case, reshaping: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim added later must join the tests above."""
    seen: set[str] = set()
    whole = ClaimList.make

    def make(self: ClaimList, y: Any) -> list[Claim]:
        made = whole(self, y)
        seen.update(claim.name for claim in made)
        return made

    monkeypatch.setattr(ClaimList, "make", make)
    case.prove()
    reshaping.prove()
    kinds = {name.rstrip(" 0123456789") for name in seen if not name.startswith("total")} | {n for n in seen if n.startswith("total")}
    tested = {*ROW_CLAIMS, "rest", "weights", "operand", "reshaped", "sum of helpers", "output"}
    assert kinds == tested


# ---- challenges ----------------------------------------------------------------------------------------------------------------------


def fix_separators(monkeypatch: pytest.MonkeyPatch, **fixed: Any) -> None:
    """κ, ρ or τ known before anything is sent."""
    draw = rows.Config.draw_separators
    monkeypatch.setattr(rows.Config, "draw_separators", lambda self, transcript, alpha: replace(draw(self, transcript, alpha), **fixed))


def test_kappa(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """κ = 1: what a row has too much, the table entries it meets have too little."""

    def forge_it() -> Forged:
        row = find_row(case, 0)
        columns = dict(case.compute_columns())
        columns["y"] = columns["y"].copy()
        columns["y"][row] += 1
        liar = KappaLiar(case, case.state(y=read_output(case, columns)), _trace(case, columns), None, None)
        liar.row = row
        return liar.run(), liar.statement

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, kappa=1))


class KappaLiar(Liar):
    """m counts one more than G does in every entry whose low bits are the row's: F_table is −1 wherever F_rows is +1."""

    row = 0

    def find_entries(self) -> range:
        return range(self.row, 4096, 1 << self.layout.row_bits)

    def commit_helpers(self, alpha: int) -> None:
        honest, counted = rows.compute_helpers, self.counted

        def from_true_counts(lookups: Sequence[Vector], multiplicities: Vector, alpha: int) -> tuple[Vector, Vector]:
            return honest(lookups, counted, alpha)

        rows.compute_helpers = from_true_counts
        try:
            super().commit_helpers(alpha)
        finally:
            rows.compute_helpers = honest

    def commit_trace(self) -> None:
        self.multiplicity_change = dict.fromkeys(self.find_entries(), 1)
        super().commit_trace()
        self.counted = self.multiplicities.copy()
        self.counted[self.find_entries()] -= 1


def _trace(case: Case, columns: Columns) -> Trace:
    return Trace(columns, collect_tensors(case, columns))


def test_rho(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """ρ = 1: h of an unclamped row pays for its y. The row is a clamped one: c = 0, h = 1 and y + o = u − 1."""

    def forge_it() -> Forged:
        columns = dict(case.compute_columns())
        row = next(r for r in range(8, 13) if columns["h"][r] == 1 and columns["u"][r] > 0)
        for name, value in (("c", 0), ("y", columns["u"][row] - 1 - 2048)):
            columns[name] = columns[name].copy()
            columns[name][row] = value
        return forge(case, lambda c: c.update(columns), y=read_output(case, columns), repair_rows=None, repair_linear=None)

    check_only(case, forge_it, lambda: fix_separators(monkeypatch, rho=1))


def test_tau(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """τ = 0: row 0 alone is looked at."""
    forged = lambda: tell(case, "wrong y", repair_rows=None, repair_linear=None)  # noqa: E731
    check_only(case, forged, lambda: fix_separators(monkeypatch, tau=(0,) * case.model.layout.zero_check_bits))


def fix_draw(monkeypatch: pytest.MonkeyPatch, after: str, value: int) -> None:
    """The challenge drawn right after `after` was absorbed is `value`."""
    absorb, draw = Transcript.absorb, Transcript.draw

    def remember(self: Transcript, label: str, data: bytes) -> None:
        self.last = label  # type: ignore[attr-defined]
        absorb(self, label, data)

    def fixed(self: Transcript) -> int:
        is_next, self.last = self.last == after, ""  # type: ignore[attr-defined]
        drawn = draw(self)
        return value if is_next else drawn

    monkeypatch.setattr(Transcript, "absorb", remember)
    monkeypatch.setattr(Transcript, "draw", fixed)


def test_alpha(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """α known before m is committed: a fractional multiplicity pays for a limb outside the table."""
    alpha = 12345678901234567890

    def forge_it() -> Forged:
        columns = dict(case.compute_columns())
        LIES["limb outside the table"](case, columns)
        liar = Liar(case, case.state(y=read_output(case, columns)), _trace(case, columns), None, None)
        outside = int(columns["r0"][find_row(case, 0)])
        assert outside >= 4096
        liar.multiplicity_change = {0: alpha * invert(alpha + outside) % MODULUS}
        return liar.run(), liar.statement

    check_only(case, forge_it, lambda: fix_draw(monkeypatch, "multiplicities", alpha))


def test_mu(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """μ = 1: two false claims cancel, the total of y and G."""

    def forge_it() -> Forged:
        columns = dict(case.compute_columns())
        LIES["wrong y"](case, columns)
        liar = CancellingLiar(case, case.state(y=read_output(case, columns)), _trace(case, columns), None, None)
        return liar.run(), liar.statement

    check_only(case, forge_it, lambda: fix_draw(monkeypatch, "reshaped", 1))


class CancellingLiar(Liar):
    def repair_values(self, values: dict[str, int]) -> dict[str, int]:
        at = [self.evaluate_end(values | {"y": values["y"] + k, "G": values["G"] - k}) for k in (0, 1)]
        k = -at[0] * invert(at[1] - at[0])
        return values | {"y": (values["y"] + k) % MODULUS, "G": (values["G"] - k) % MODULUS}


def test_zeta(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """ζ known before A is committed: its constant term takes up whatever V is short of."""
    zeta = 987654321

    def absorb(liar: Liar, config: opening.Config, functionals: Any, product: Vector, value: int) -> Any:
        missing = (product[config.length - 1] - value) % MODULUS
        product = product.copy()
        product[0] = (product[0] + missing * pow(zeta, config.length - 1, MODULUS)) % MODULUS
        return opening.prove_product(config, liar.transcript, functionals, liar.chunks, product)

    monkeypatch.setattr(Liar, "open_product", absorb)
    check_only(case, lambda: tell(case, "wrong y"), lambda: fix_draw(monkeypatch, "parts", zeta))


# ---- what a challenge depends on -----------------------------------------------------------------------------------------------------


def test_context(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not absorbed, a proof serves every request."""
    absorb = Transcript.absorb

    def forget(self: Transcript, label: str, data: bytes) -> None:
        if label != "context":
            absorb(self, label, data)

    check_only(case, lambda: (case.prove(), case.state(context=bytes(32))), lambda: monkeypatch.setattr(Transcript, "absorb", forget))


def test_the_order_of_the_transcript(reshaping: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything sent is absorbed before the next challenge: prover and verifier, message by message."""
    seen: list[str] = []
    absorb, draw = Transcript.absorb, Transcript.draw

    def absorb_seen(self: Transcript, label: str, data: bytes) -> None:
        seen.append(f"{label} {len(data)}")
        absorb(self, label, data)

    def draw_seen(self: Transcript) -> int:
        seen.append("?")
        return draw(self)

    monkeypatch.setattr(Transcript, "absorb", absorb_seen)
    monkeypatch.setattr(Transcript, "draw", draw_seen)
    proof = reshaping.prove()
    by_prover, seen[:] = list(seen), []
    reshaping.verify(proof)
    assert seen == by_prover
    rounds, layout = ["rows 160", "?"] * 12, reshaping.model.layout
    begin = ["tag 17", "model 32", "context 32", "input 12", "output 8"]
    commit = [f"trace {96 * len(layout.trace_chunks)}", "multiplicities 6144", "?", "helpers 96", "table_helpers 6144"]
    end = ["totals 288", *["linear 64", "?"] * 4, "ends 160", "?", *["reshape 64", "?"] * 4, "reshaped 64", "?", "parts 192", "?"]
    assert seen == [*begin, *commit, *["?"] * 14, *rounds, *end]


LABELS = "tag model context input output trace multiplicities helpers table_helpers rows totals linear ends reshape reshaped parts"


@pytest.mark.parametrize("label", LABELS.split())
def test_what_is_absorbed_is_hashed(label: str) -> None:
    states = set()
    for data in (b"", b"\x00", b"\x01", b"\x00\x00"):
        transcript = Transcript()
        transcript.absorb(label, data)
        states.add(transcript.draw())
    assert len(states) == 4


# ---- alignment -----------------------------------------------------------------------------------------------------------------------


def test_alignment() -> None:
    """A misaligned block would open other entries than its own; it is refused, and no layout has one."""
    with pytest.raises(InvariantBroken):
        find_parts("trace", 2, make_pairs([5, 7]), 1, 6)
    vector, point = to_vector(range(64)), [5, 7]
    part = find_parts("trace", 4, make_pairs(point), 1, 6)[0]
    assert _apply(part, vector) == evaluate(vector[4:8], point)
    shapes = make_chain([13, 64, 32, 1], [12, 24, 12], [RECTIFIED, SIGNED, RECTIFIED])
    layout = Layout(shapes, 6)
    for (kind, index), start in layout.parameter_starts.items():
        layer = layout.layers[index]
        assert start % (1 << (layer.out_bits + (layer.in_bits if kind == "weights" else 0))) == 0
    assert all(layout.row_starts[layer.index] % (1 << layer.block_bits) == 0 for layer in layout.layers)


def test_a_layout_that_appends_biases_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """13-64-32-1 with blocks in their given order: weights first, biases behind them."""

    def append(lengths: Any) -> Any:
        offsets, end = {}, 0
        for key, length in lengths.items():
            offsets[key], end = end, end + length
        return offsets, end

    monkeypatch.setattr(layout_module, "place", append)
    case = make_case(make_chain([3, 4, 2, 8], [12, 24, 12], [RECTIFIED, SIGNED, RECTIFIED]))
    with pytest.raises(InvariantBroken, match="a block of"):
        case.prove()


def _apply(part: claims_module.Part, chunk: Vector) -> int:
    tensor = to_vector([1])
    for a, b in part.low:
        tensor = np.concatenate([tensor * a, tensor * b]) % MODULUS
    return part.coefficient * dot(tensor, chunk) % MODULUS
