"""The models an API describes: manifests read as something a caller can make inputs from. Nothing here runs a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oracle.encoding import compute_part_digest
from oracle.errors import ModelRejected
from oracle.node.directory import read_directory
from oracle.records import Bytes32, ModelKind

INT16 = "int16-be"
AFT1 = "AFT1"
ANY_SIZE = "?"


@dataclass(frozen=True, slots=True)
class TensorShape:
    """One tensor of an input or output. A dimension is a size, a name that means one size wherever it stands, or "?" for any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """What input or output bytes hold. Canonical: one int16 tensor, real = integer · 2^-exponent unless there is a scaling."""

    encoding: str
    tensors: tuple[TensorShape, ...]
    exponent: int | None = None
    range: tuple[int, int] | None = None
    exponents: tuple[int, ...] | None = None  # per element of the flattened input, with …
    zero_points: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Elements of a canonical payload."""
        size = 1
        for dimension in self.tensors[0].shape:
            if not isinstance(dimension, int):
                raise ModelRejected("manifest of a canonical model", "fixed dimensions", dimension)
            size *= dimension
        return size


@dataclass(frozen=True, slots=True)
class DescribedModel:
    """A model by its manifest, whose digests were checked when it was read."""

    model_id: Bytes32
    kind: ModelKind
    name: str
    manifest: Mapping[str, Any]
    input: Payload
    output: Payload
    labels: tuple[str, ...] | None
    postprocess: str | None
    parameters: tuple[Bytes32, ...] = ()  # digests of the parts of its commitments, which the id binds; none for an opaque model


def describe_directory(path: Path) -> DescribedModel:
    """The model of a directory, every file checked against its manifest. Raises ModelRejected."""
    directory = read_directory(path)
    return describe(directory.model_id, directory.kind, directory.manifest, [compute_part_digest(part) for part in directory.parts])


def load_catalogue(paths: Sequence[Path]) -> dict[Bytes32, DescribedModel]:
    """The models of these directories by id, in that order. Raises ModelRejected."""
    return {model.model_id: model for model in map(describe_directory, paths)}


def describe(model_id: Bytes32, kind: ModelKind, manifest: Mapping[str, Any], parameters: Sequence[Bytes32]) -> DescribedModel:
    """The description of a checked manifest. Raises ModelRejected where a field is missing or of another form."""
    try:
        read = _canonical_payload if kind is ModelKind.CANONICAL else _typed_payload
        sides = ("input", "output") if kind is ModelKind.CANONICAL else ("inputs", "outputs")
        return DescribedModel(
            model_id=model_id,
            kind=kind,
            name=str(manifest["name"]),
            manifest=manifest,
            parameters=tuple(parameters),
            input=read(manifest[sides[0]]),
            output=read(manifest[sides[1]]),
            labels=tuple(map(str, manifest["labels"])) if "labels" in manifest else None,
            postprocess=manifest.get("postprocess"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRejected(f"manifest of {manifest.get('name', 'a model')}", "the fields of docs/models.md", repr(error)[:80]) from error


def _canonical_payload(tensor: Mapping[str, Any]) -> Payload:
    scaling = tensor.get("scaling")
    low, high = tensor["range"]
    return Payload(
        encoding=INT16,
        tensors=(TensorShape(tensor["name"], "int16", tuple(tensor["shape"])),),
        exponent=tensor["exponent"],
        range=(low, high),
        exponents=tuple(scaling["exponents"]) if scaling else None,
        zero_points=tuple(scaling["zero_points"]) if scaling else None,
    )


def _typed_payload(tensors: list[Mapping[str, Any]]) -> Payload:
    return Payload(AFT1, tuple(TensorShape(t["name"], t["dtype"], tuple(t["shape"])) for t in tensors))
