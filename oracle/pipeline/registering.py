"""Model directories: wrapping an ONNX file as one, and registering one. Every file is checked before a transaction is paid for."""

from __future__ import annotations

from pathlib import Path

from oracle.node.directory import read_directory
from oracle.node.models import write_opaque_manifest
from oracle.pipeline.catalogue import DescribedModel, describe_directory
from oracle.pipeline.deploy import OnPart, Registration, register_model
from oracle.pipeline.models import load_canonical
from oracle.pipeline.session import Session
from oracle.records import ModelKind


def register_directory(session: Session, path: Path, data_uri: str, on_part: OnPart = lambda _done, _all: None) -> Registration:
    """The directory's model, registered now or before. Raises ModelRejected, CallReverted or ChainError.

    A canonical model whose commitments are not those of its weights is refused: no node would serve it.
    """
    model = read_directory(path)
    if model.kind is ModelKind.CANONICAL:
        load_canonical(path, model.model_id)
    parts = (model.kind, model.manifest_digest, model.circuit, model.parts)
    return register_model(session.contracts, session.sender, *parts, data_uri, on_part)


def wrap_opaque(source: Path, directory: Path, name: str, optimisation: str) -> DescribedModel:
    """Any ONNX file onnxruntime loads as an opaque model's directory. Raises ModelRejected."""
    write_opaque_manifest(source, directory, name, optimisation)
    return describe_directory(directory)
