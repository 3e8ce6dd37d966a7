"""The models of a node, and of each canonical one the proof that it is canonical.

A manifest only says that a file is the integer network of a descriptor, and that commitments are those of the weights. Here the file is
made again from descriptor and weights, and the commitments from the weights, and compared, before a node signs: an owner who registers
something else under kind 1 would have honest nodes answer differently, or sign what a proof then contradicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from circuits import CanonicalModel, CircuitError
from oracle.attest.prove import Prover
from oracle.errors import ModelRejected
from oracle.node.models import CanonicalServed, ModelLibrary, Serve, load_library
from oracle.records import Bytes32


def load_canonical(path: Path, model_id: Bytes32) -> CanonicalModel:
    """The canonical model of a directory, every file of it checked against the others. Raises ModelRejected."""
    try:
        model = CanonicalModel.load(path, model_id)
        model.verifying  # noqa: B018, computes the commitments again
    except CircuitError as error:
        raise ModelRejected(f"{path}", "a canonical model", str(error)) from error
    return model


def load_checked_library(paths: Sequence[Path]) -> ModelLibrary:
    """As `load_library`, canonical models verified as `affidavit model verify` does. Raises ModelRejected."""
    return load_provable_library(paths)[0]


def load_provable_library(paths: Sequence[Path], serve_opaque: Serve | None = None) -> tuple[ModelLibrary, Prover]:
    """As `load_checked_library`, with a prover of its canonical models. `serve_opaque` takes the others elsewhere."""
    library = load_library(paths, serve_opaque)
    # The id binds every file, so what is read here a second time is what is served.
    served = [model.directory for model in library if isinstance(model, CanonicalServed)]
    return library, Prover(load_canonical(directory.path, directory.model_id) for directory in served)
