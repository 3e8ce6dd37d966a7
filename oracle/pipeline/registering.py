"""Model directories: wrapping an ONNX file as one, and registering one. Every file is checked before a transaction is paid for."""

from __future__ import annotations

from pathlib import Path

from oracle.node.directory import read_directory
from oracle.node.models import write_opaque_manifest
from oracle.pipeline.catalogue import DescribedModel, describe_directory
from oracle.pipeline.deploy import register_model
from oracle.pipeline.session import Session
from oracle.records import Bytes32


def register_directory(session: Session, path: Path, data_uri: str) -> Bytes32:
    """The id of the directory's model, registered now or before. Raises ModelRejected, CallReverted or ChainError."""
    model = read_directory(path)
    return register_model(session.contracts, session.sender, model.kind, model.manifest_digest, model.circuit, data_uri)


def wrap_opaque(source: Path, directory: Path, name: str, optimisation: str) -> DescribedModel:
    """Any ONNX file onnxruntime loads as an opaque model's directory. Raises ModelRejected."""
    write_opaque_manifest(source, directory, name, optimisation)
    return describe_directory(directory)
