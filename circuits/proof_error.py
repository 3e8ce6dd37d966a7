"""The refusal of a proof, and the one way a verifier refuses."""

from __future__ import annotations

from circuits.errors import CircuitError


class ProofError(CircuitError):
    """Theirs: a proof, or the statement it is presented with, that is not acceptable. `what` names the check that refused it."""


def require(is_true: bool, what: str, expected: object = None, got: object = None) -> None:
    """Raise ProofError unless `is_true`. A call, not an `assert`: -O removes those. `what` is the check's name, fixed text."""
    if not is_true:
        raise ProofError(what, expected, got)
