"""The arithmetic under the proofs: the Rust kernel where it is built, else its twin in plain Python. `NAME` says which.

The kernel is a package of its own (`circuits/kernel`, installed by scripts/bootstrap where there is a Rust toolchain). The
environment variable AFFIDAVIT_TWIN=1 chooses the twin even so. Both give the same bytes and raise the same errors; what the
functions mean is written in `circuits/twin`.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from circuits import twin

TYPES = ("Integers", "Operand", "Vector")


def _choose() -> tuple[str, ModuleType]:
    if os.environ.get("AFFIDAVIT_TWIN") == "1":
        return "twin", twin
    try:
        return "kernel", import_module("affidavit_kernel")
    except ModuleNotFoundError:
        return "twin", twin


NAME, _chosen = _choose()

if TYPE_CHECKING:
    from circuits.twin import *  # noqa: F403  # every name of its __all__, seen by mypy as the twin's
else:
    # A kernel of another version that lacks a name fails here, at import, not in the middle of a proof.
    globals().update({name: getattr(_chosen if name not in TYPES else twin, name) for name in twin.__all__})
