"""`manifest.json` of a canonical model: RFC 8785 canonical JSON, integers and strings only.

Parsing is strict: the bytes must be exactly what writing the parsed manifest gives again, so one model has one
manifest. docs/models.md describes every field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from circuits.digests import keccak256, to_hex
from circuits.errors import ModelFileError
from circuits.scaling import InputScaling
from circuits.tensors import Format, TensorType

FILE_NAME = "manifest.json"
VERSION = "model/1"
KIND = "canonical"
PAYLOAD_FILES = ("circuit.bin", "commitments.bin", "model.onnx", "weights.bin")
MAX_BYTES = 1 << 20
POSTPROCESSES = (
    "none",
    "softmax",
    "log-softmax",
    "sigmoid",
    "sigmoid-normalized",
    "sigmoid-complement",
    "argmax",
    "threshold",
)
_KEYS = {"affidavit", "kind", "name", "files", "source", "input", "output", "postprocess", "compiler"}
_DIGEST = re.compile("0x[0-9a-f]{64}")


@dataclass(frozen=True)
class FileDigest:
    """Size in bytes and Keccak-256 of one file."""

    size: int
    keccak256: str

    @classmethod
    def of(cls, content: bytes) -> FileDigest:
        return cls(len(content), to_hex(keccak256(content)))


@dataclass(frozen=True)
class Source:
    """The float model: its ONNX file, and the files of external data it names, if any. Not the path it was read from."""

    file: FileDigest
    external: Mapping[str, FileDigest]

    def to_json(self) -> dict[str, Any]:
        value = _digest_json(self.file)
        return value | {"external": _digests_json(self.external)} if self.external else value


@dataclass(frozen=True)
class Manifest:
    """Everything a manifest says."""

    name: str
    files: Mapping[str, FileDigest]
    source: Source
    input_name: str
    input: TensorType
    scaling: InputScaling | None
    output_name: str
    output: TensorType
    postprocess: str
    labels: tuple[str, ...] | None
    compiler: tuple[str, str]

    def encode(self) -> bytes:
        """RFC 8785 bytes."""
        value: dict[str, Any] = {
            "affidavit": VERSION,
            "kind": KIND,
            "name": self.name,
            "files": _digests_json(self.files),
            "source": self.source.to_json(),
            "input": _tensor_json(self.input_name, self.input),
            "output": _tensor_json(self.output_name, self.output),
            "postprocess": self.postprocess,
            "compiler": {"name": self.compiler[0], "version": self.compiler[1]},
        }
        if self.scaling is not None:
            scaling = {"exponents": list(self.scaling.exponents), "zero_points": list(self.scaling.zero_points)}
            value["input"]["scaling"] = scaling
        if self.labels is not None:
            value["labels"] = list(self.labels)
        return rfc8785.dumps(value)


def _digest_json(digest: FileDigest) -> dict[str, Any]:
    return {"bytes": digest.size, "keccak256": digest.keccak256}


def _digests_json(files: Mapping[str, FileDigest]) -> dict[str, Any]:
    return {name: _digest_json(digest) for name, digest in files.items()}


def _tensor_json(name: str, tensor: TensorType) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(tensor.shape),
        "format": tensor.format.label,
        "exponent": tensor.exponent,
        "range": [tensor.format.low, tensor.format.high],
        "dtype": "int16",
    }


def decode_manifest(content: bytes) -> Manifest:
    """Parse canonical bytes. Raises ModelFileError naming manifest.json."""
    if len(content) > MAX_BYTES:
        raise ModelFileError(FILE_NAME, "too large", f"at most {MAX_BYTES} bytes", len(content))
    try:
        manifest = _read(json.loads(content))
        canonical = manifest.encode()
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise ModelFileError(FILE_NAME, f"not the manifest of a canonical model ({error!r:.120})") from error
    if canonical != content:
        raise ModelFileError(FILE_NAME, "not in canonical form, or with a field that does not belong")
    return manifest


def _read(value: Any) -> Manifest:
    if not isinstance(value, dict) or set(value) - {"labels"} != _KEYS:
        raise ValueError(f"the fields are not {sorted(_KEYS)}")
    if value["postprocess"] not in POSTPROCESSES:
        raise ValueError("unknown postprocess")
    files = _read_digests(value["files"])
    if tuple(sorted(files)) != PAYLOAD_FILES:
        raise ValueError(f"files are not {PAYLOAD_FILES}")
    labels = tuple(_text(label) for label in value["labels"]) if "labels" in value else None
    if value["input"]["name"] == value["output"]["name"]:
        raise ValueError("input and output have one name")
    return Manifest(
        name=_text(value["name"]),
        files=files,
        source=Source(_read_digest(value["source"]), _read_digests(value["source"].get("external", {}))),
        input_name=_text(value["input"]["name"]),
        input=_read_tensor(value["input"]),
        scaling=_read_scaling(value["input"]),
        output_name=_text(value["output"]["name"]),
        output=_read_tensor(value["output"]),
        postprocess=value["postprocess"],
        labels=labels,
        compiler=(_text(value["compiler"]["name"]), _text(value["compiler"]["version"])),
    )


def _read_digests(value: Any) -> dict[str, FileDigest]:
    return {_text(name): _read_digest(digest) for name, digest in value.items()}


def _read_digest(value: Any) -> FileDigest:
    digest = FileDigest(_integer(value["bytes"]), _text(value["keccak256"]))
    if not _DIGEST.fullmatch(digest.keccak256) or digest.size < 0:
        raise ValueError("a digest is not 0x and 64 lower-case hex digits")
    return digest


def _read_tensor(value: Any) -> TensorType:
    tensor = TensorType(tuple(_integer(d) for d in value["shape"]), Format[value["format"].upper()], _integer(value["exponent"]))
    if problem := tensor.problem():
        raise ValueError(problem)
    return tensor


def _read_scaling(value: Any) -> InputScaling | None:
    if "scaling" not in value:
        return None
    exponents, zero_points = value["scaling"]["exponents"], value["scaling"]["zero_points"]
    return InputScaling(tuple(_integer(e) for e in exponents), tuple(_integer(z) for z in zero_points))


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"not an integer: {value!r}")
    return value


def is_text(value: object) -> bool:
    """Whether a name or label can stand in a manifest: 1 to 512 printable characters."""
    return isinstance(value, str) and 1 <= len(value) <= 512 and value.isprintable()


def _text(value: Any) -> str:
    if not is_text(value):
        raise ValueError("not a text of 1 to 512 printable characters")
    return str(value)
