"""A model directory: `manifest.json` and exactly the files it names, each by size and keccak256. Nothing is taken from it unchecked.

The manifest is RFC 8785 canonical JSON, so one model has one manifest and one id. Files are read once and handed on as bytes: what was
digested is what runs, whatever happens to the disk meanwhile.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from oracle.encoding import canonical_json, compute_model_id, compute_part_digest, keccak256, split_commitments, to_hex
from oracle.errors import MalformedInput, ModelRejected, StoreError
from oracle.records import Bytes32, ModelKind

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = "model/1"
CIRCUIT_FILE = "circuit.bin"
COMMITMENTS_FILE = "commitments.bin"
MAX_MANIFEST_BYTES = 1 << 20
MAX_MODEL_BYTES = 4 << 30
NO_CIRCUIT = Bytes32(bytes(32))
KIND_NAMES = {"canonical": ModelKind.CANONICAL, "opaque": ModelKind.OPAQUE}


@dataclass(frozen=True)
class ModelDirectory:
    """A directory whose every byte was checked. `circuit` is empty for opaque models, `parts` (of the commitments) has none for them."""

    path: Path
    model_id: Bytes32
    kind: ModelKind
    name: str
    manifest: Mapping[str, Any]
    manifest_digest: Bytes32
    circuit: bytes
    parts: tuple[bytes, ...]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model's bytes on their way to a process that runs it. Only `open_bundle` makes a model of them."""

    manifest: bytes
    files: Mapping[str, bytes]


def read_directory(path: Path) -> ModelDirectory:
    """Reads and checks a model directory. Raises ModelRejected naming the file that is not what the manifest says."""
    content = _read(path, MANIFEST_NAME, MAX_MANIFEST_BYTES)
    manifest = parse_manifest(content, path)
    files = {name: _read_listed(path, name, digest) for name, digest in manifest["files"].items()}
    return _assemble(path, content, manifest, files)


def make_bundle(directory: ModelDirectory) -> Bundle:
    """The bytes of a directory; its manifest is canonical, so it is written the same again."""
    return Bundle(canonical_json(directory.manifest), dict(directory.files))


def open_bundle(bundle: Bundle, model_id: Bytes32) -> ModelDirectory:
    """As `read_directory`, of bytes that came from elsewhere and must be those of `model_id`: each is digested again.

    Raises ModelRejected.
    """
    path = Path(f"model {to_hex(model_id)}")
    manifest = parse_manifest(bundle.manifest, path)
    if bundle.files.keys() != manifest["files"].keys():
        raise ModelRejected(f"{path}: files", sorted(manifest["files"]), sorted(bundle.files))
    for name, expected in manifest["files"].items():
        resolve_inside(path, name)
        _require_listed(path, name, bundle.files[name], expected)
    directory = _assemble(path, bundle.manifest, manifest, bundle.files)
    if directory.model_id != model_id:
        raise ModelRejected(f"{path}: id of the bytes", to_hex(model_id), to_hex(directory.model_id))
    return directory


def _assemble(path: Path, content: bytes, manifest: dict[str, Any], files: Mapping[str, bytes]) -> ModelDirectory:
    kind = KIND_NAMES[manifest["kind"]]
    circuit, parts = _read_provable(path, files) if kind is ModelKind.CANONICAL else (b"", ())
    digest = keccak256(content)
    model_id = compute_model_id(kind, digest, keccak256(circuit) if circuit else NO_CIRCUIT, [compute_part_digest(p) for p in parts])
    return ModelDirectory(path, model_id, kind, manifest["name"], manifest, digest, circuit, parts, files)


def _read_provable(path: Path, files: Mapping[str, bytes]) -> tuple[bytes, tuple[bytes, ...]]:
    """Descriptor and commitments of a canonical model. That they are those of the weights is for `pipeline.models` to check."""
    for name in (CIRCUIT_FILE, COMMITMENTS_FILE):
        if not files.get(name):
            raise ModelRejected(f"model {path}", f"a {name}", "none or an empty one")
    try:
        return files[CIRCUIT_FILE], split_commitments(files[COMMITMENTS_FILE])
    except MalformedInput as error:
        raise ModelRejected(f"{path / COMMITMENTS_FILE}", error.expected, error.got) from error


def parse_manifest(content: bytes, path: Path) -> dict[str, Any]:
    """The manifest of canonical bytes, with its common fields checked. Raises ModelRejected."""
    where = f"{path / MANIFEST_NAME}"
    try:
        manifest = json.loads(content)
        is_canonical = canonical_json(manifest) == content
    except (ValueError, RecursionError, MalformedInput) as error:
        raise ModelRejected(where, "RFC 8785 canonical JSON", "something else") from error
    if not isinstance(manifest, dict) or not is_canonical:
        raise ModelRejected(where, "an object in RFC 8785 canonical form", "another form")
    if manifest.get("affidavit") != MANIFEST_VERSION or manifest.get("kind") not in tuple(KIND_NAMES):
        raise ModelRejected(where, f"{MANIFEST_VERSION} of a known kind", f"{manifest.get('affidavit')!r}, {manifest.get('kind')!r}"[:80])
    if not isinstance(manifest.get("name"), str) or not isinstance(manifest.get("files"), dict) or not manifest["files"]:
        raise ModelRejected(where, "a name and files", "one of them missing")
    return manifest


def digest_of(content: bytes) -> dict[str, Any]:
    """How a manifest names a file's content."""
    return {"bytes": len(content), "keccak256": to_hex(keccak256(content))}


def _read_listed(directory: Path, name: str, expected: object) -> bytes:
    content = _read(directory, name, MAX_MODEL_BYTES)
    _require_listed(directory, name, content, expected)
    return content


def _require_listed(directory: Path, name: str, content: bytes, expected: object) -> None:
    if (found := digest_of(content)) != expected:
        raise ModelRejected(f"{directory / name}", f"{str(expected)[:140]}", found)


def _read(directory: Path, name: str, most_bytes: int) -> bytes:
    path = resolve_inside(directory, name)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
            raise ModelRejected(f"{path}", "a readable file", "something else")
        if found.st_size > most_bytes:
            raise ModelRejected(f"{path}", f"at most {most_bytes} bytes", found.st_size)
        return path.read_bytes()
    except OSError as error:
        raise ModelRejected(f"{path}", "a readable file", error.strerror) from error


def resolve_inside(directory: Path, name: str) -> Path:
    """The path of a file named in a manifest or a model, which may not lie outside the directory. Raises ModelRejected."""
    parts = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or parts.is_absolute() or ".." in parts.parts or str(parts) != name or name == ".":
        raise ModelRejected(f"file name in {directory}", "a plain relative path", repr(name)[:80])
    path, root = (directory / name).resolve(), directory.resolve()
    if root not in path.parents:
        raise ModelRejected(f"file {name} in {directory}", "a file inside the directory", str(path))
    return path


def write_directory(path: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> ModelDirectory:
    """Writes files, then the manifest that names them, and reads everything again. Raises StoreError when the disk refuses."""
    try:
        for name, content in [*files.items(), (MANIFEST_NAME, canonical_json(manifest))]:
            target = resolve_inside(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(target, content)
    except OSError as error:
        raise StoreError(f"cannot write the model directory {path}") from error
    return read_directory(path)


def _write_whole(target: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never a part."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(target)
