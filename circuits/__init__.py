"""The proof system: integer networks, computed the same on every machine.

`compile_model` turns a float ONNX file into a CanonicalModel; `CanonicalModel.load` reads one back. Only the first
needs the onnx package, so it is imported when it is called. `prove` and `verify` need the curve's library, and are
imported when they are called too.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from circuits.errors import (
    BoundError,
    CalibrationError,
    CircuitError,
    CompileError,
    InputError,
    InvariantBroken,
    ModelFileError,
)
from circuits.model import CanonicalModel
from circuits.proof_error import ProofError

if TYPE_CHECKING:
    from circuits.compiler import compile_model
    from circuits.prover import prove
    from circuits.verifier import verify

__all__ = [
    "BoundError",
    "CalibrationError",
    "CanonicalModel",
    "CircuitError",
    "CompileError",
    "InputError",
    "InvariantBroken",
    "ModelFileError",
    "ProofError",
    "compile_model",
    "prove",
    "verify",
]


os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""onnxruntime 1.29 and later report the models they load to their maker, unless this is set before they are imported."""


def __getattr__(name: str) -> Any:
    if name in ("compiler", "compile_model"):
        compiler = import_module("circuits.compiler")
        return compiler if name == "compiler" else compiler.compile_model
    if name in ("prove", "verify"):
        return getattr(import_module("circuits.prover" if name == "prove" else "circuits.verifier"), name)
    raise AttributeError(f"module 'circuits' has no attribute {name!r}")
