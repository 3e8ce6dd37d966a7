"""The models of a node, and of each canonical one the proof that it is canonical.

A manifest only says that a file is the integer network of a descriptor. Here the file is made again from descriptor and weights, and
compared, before the node signs for it: an owner who registers something else under kind 1 would have honest nodes answer differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from circuits import CanonicalModel, CircuitError
from oracle.errors import ModelRejected
from oracle.node.models import CanonicalServed, ModelLibrary, ServedModel, load_library


def load_checked_library(paths: Sequence[Path]) -> ModelLibrary:
    """As `load_library`, canonical models verified as `affidavit model verify` does. Raises ModelRejected."""
    library = load_library(paths)
    for model in library:
        if isinstance(model, CanonicalServed):
            _require_canonical(model)
    return library


def _require_canonical(model: ServedModel) -> None:
    """The id binds every file, so what is read here a second time is what is served."""
    try:
        CanonicalModel.load(model.directory.path, model.directory.model_id)
    except CircuitError as error:
        raise ModelRejected(f"{model.directory.path}", "a canonical model", str(error)) from error
