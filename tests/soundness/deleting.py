"""Ways to take one check away from the verifier, where it is made: `require` by its name, a claim by making it claim nothing, a
challenge by fixing it, an absorption by skipping it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from circuits.claims import Claim, ClaimList
from circuits.proof_error import ProofError, require
from circuits.protocols import rows
from circuits.transcript import Transcript
from tests.soundness.lies import Forged
from tests.soundness.networks import Case


def check_only(case: Case, forge_it: Callable[[], Forged], weaken: Callable[[], None]) -> None:
    """The forged proof is refused by the whole verifier, and accepted by the weakened one.

    It is forged anew for the weakened one, whose challenges may be others.
    """
    with pytest.raises(ProofError):
        case.verify(*forge_it())
    weaken()
    case.verify(*forge_it())


def delete_require(patch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    def weakened(is_true: bool, what: str, expected: object = None, got: object = None) -> None:
        if what != name:
            require(is_true, what, expected, got)

    patch.setattr(module, "require", weakened)


def delete_claim(patch: pytest.MonkeyPatch, name: str) -> None:
    """The claim keeps its place and says 0 = 0."""
    whole = ClaimList.make

    def make(self: ClaimList) -> list[Claim]:
        made = whole(self)
        assert name in [claim.name for claim in made]
        return [_empty(claim) if claim.name == name else claim for claim in made]

    patch.setattr(ClaimList, "make", make)


def _empty(claim: Claim) -> Claim:
    return replace(claim, value=0, parts=tuple(replace(part, coefficient=0) for part in claim.parts))


def fix_separators(patch: pytest.MonkeyPatch, **fixed: Any) -> None:
    """κ, ρ or τ known before anything is sent."""
    draw = rows.Config.draw_separators
    patch.setattr(rows.Config, "draw_separators", lambda self, *known: replace(draw(self, *known), **fixed))


def fix_draw(patch: pytest.MonkeyPatch, after: str, value: int, skipped: int = 0) -> None:
    """The challenge drawn after `after` was absorbed, and after `skipped` others, is `value`."""
    absorb, draw = Transcript.absorb, Transcript.draw

    def remember(self: Any, label: str, data: bytes) -> None:
        self.last, self.drawn = label, 0
        absorb(self, label, data)

    def fixed(self: Any) -> int:
        is_next = (self.last, self.drawn) == (after, skipped)
        self.drawn += 1
        drawn = draw(self)
        return value if is_next else drawn

    patch.setattr(Transcript, "absorb", remember)
    patch.setattr(Transcript, "draw", fixed)


def skip_absorption(patch: pytest.MonkeyPatch, label: str) -> None:
    """Messages of that label are hashed by neither side."""
    absorb = Transcript.absorb

    def forget(self: Transcript, name: str, data: bytes) -> None:
        if name != label:
            absorb(self, name, data)

    patch.setattr(Transcript, "absorb", forget)
