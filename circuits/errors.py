"""Errors of the proof system: whose fault it is, said by the class.

`CircuitError` and its subclasses are theirs: something handed to us is not acceptable. Each says what was looked at,
what was expected and what was got. `InvariantBroken` is ours: a bug, raised loudly and caught nowhere. The world's
errors (`OSError`) pass through.
"""

from __future__ import annotations


class InvariantBroken(Exception):
    """Ours: something that cannot happen has happened."""


class CircuitError(Exception):
    """Theirs. `what` names the thing looked at; `expected` and `got` are short texts."""

    def __init__(self, what: str, expected: object = None, got: object = None) -> None:
        self.what = what
        self.expected = expected
        self.got = got
        parts = [] if expected is None else [f"expected {expected}"]
        parts += [] if got is None else [f"got {got}"]
        super().__init__(what + (": " + ", ".join(parts) if parts else ""))


class CompileError(CircuitError):
    """A float model that cannot become a canonical one. `node` and `operator` name the place where there is one."""

    def __init__(self, what: str, expected: object = None, got: object = None, *, node: str = "", operator: str = "") -> None:
        self.node = node
        self.operator = operator
        place = f"{operator} node '{node}': " if operator else ""
        super().__init__(place + what, expected, got)


class BoundError(CompileError):
    """A layer whose accumulator could leave the interval of the static bound for some input in range. `layer` names it."""

    def __init__(self, layer: str, expected: object, got: object) -> None:
        self.layer = layer
        super().__init__(f"layer '{layer}' can break its static accumulator bound", expected, got)


class CalibrationError(CircuitError):
    """Calibration or held-back data that do not fit the model: empty, wrong shape, not finite, not a file we read."""


class ModelFileError(CircuitError):
    """A saved canonical model that is not whole: `file` names the file that is refused."""

    def __init__(self, file: str, what: str, expected: object = None, got: object = None) -> None:
        self.file = file
        super().__init__(f"{file}: {what}", expected, got)


class InputError(CircuitError):
    """Model input (or output) of the wrong type, shape or range."""
