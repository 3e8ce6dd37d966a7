"""Models a node serves: checked directories with a runtime session each. The only module of `oracle` that imports onnx.

A *canonical* model is one function on every machine; any onnxruntime may run it. An *opaque* model is bound by its manifest to one version
of onnxruntime, one execution provider and one graph optimisation level, because its output bits depend on all three; a node with another
runtime refuses it. docs/models.md describes the first kind of manifest, docs/tensors.md the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from oracle.errors import MalformedInput, ModelRejected, ModelUnknown
from oracle.node.directory import ModelDirectory, digest_of, read_directory, resolve_inside, write_directory
from oracle.records import Bytes32, ModelKind, Runtime
from oracle.tensors import TensorType

MODEL_FILE = "model.onnx"
RUNTIME_NAME = "onnxruntime"
PROVIDER = "CPUExecutionProvider"
UNNAMED_DIMENSION = "?"
MAX_OUTPUT_BYTES = 98_304
"""A delivery carries the output in a transaction, and public nodes do not relay more than 128 KiB."""

OPTIMISATION = {
    "disabled": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_state.EPFail,
    ort_state.EngineError,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.NoModel,
    ort_state.NoSuchFile,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
)

LOAD_ERRORS: tuple[type[Exception], ...] = (*ORT_ERRORS, ValueError, RuntimeError)


@dataclass(frozen=True)
class Port:
    """One input or output. A dimension is a size, a name that must mean the same size wherever it stands, or "?" for any size."""

    name: str
    type: TensorType
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class IntegerPort:
    """Input or output of a canonical model: packed int16 of this shape, each within [low, high]."""

    name: str
    shape: tuple[int, ...]
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class CanonicalServed:
    """A canonical model ready to run."""

    directory: ModelDirectory
    input: IntegerPort
    output: IntegerPort
    runtime: Runtime
    session: onnxruntime.InferenceSession


@dataclass(frozen=True, eq=False)
class OpaqueModel:
    """An opaque model that was checked, and runs in another process."""

    directory: ModelDirectory
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    runtime: Runtime


@dataclass(frozen=True, eq=False)
class OpaqueServed(OpaqueModel):
    """An opaque model ready to run in this process, which it may end."""

    session: onnxruntime.InferenceSession


ServedModel = CanonicalServed | OpaqueModel
Serve = Callable[[ModelDirectory], ServedModel]
"""Makes a checked directory ready. Raises ModelRejected."""


class ModelLibrary:
    """The models of a node, by id. Loaded once at start."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self._models: dict[Bytes32, ServedModel] = {}
        for model in models:
            if model.directory.model_id in self._models:
                raise ModelRejected(f"model {model.directory.path}", "a model not yet in the library", "the same model twice")
            self._models[model.directory.model_id] = model

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def is_quick(self, model_id: Bytes32) -> bool:
        """Whether an answer for this model is a matter of microseconds, in this process: for canonical models, and for those not served."""
        return isinstance(self._models.get(model_id), CanonicalServed | None)

    def get(self, model_id: Bytes32) -> ServedModel:
        """Raises ModelUnknown."""
        if model_id not in self._models:
            raise ModelUnknown("model", "a model this node serves", "0x" + model_id.hex())
        return self._models[model_id]


def load_library(paths: Sequence[Path], serve_opaque: Serve | None = None) -> ModelLibrary:
    """Every model of these directories. One that is not acceptable stops the start: raises ModelRejected naming it.

    `serve_opaque` takes the opaque ones elsewhere than into this process.
    """
    return ModelLibrary(_serve_with(read_directory(path), serve_opaque) for path in paths)


def _serve_with(directory: ModelDirectory, serve_opaque: Serve | None) -> ServedModel:
    if serve_opaque is not None and directory.kind is ModelKind.OPAQUE:
        return serve_opaque(directory)
    return serve_model(directory)


def load_model(path: Path, threads: int = 1) -> CanonicalServed | OpaqueServed:
    """A checked directory with its session. Raises ModelRejected."""
    return serve_model(read_directory(path), threads)


def serve_model(directory: ModelDirectory, threads: int = 1) -> CanonicalServed | OpaqueServed:
    """The session of a checked directory, in this process. Raises ModelRejected."""
    return _load_canonical(directory, threads) if directory.kind is ModelKind.CANONICAL else _load_opaque(directory, threads)


# ---- canonical -------------------------------------------------------------------------------------------------------
def _load_canonical(directory: ModelDirectory, threads: int) -> CanonicalServed:
    optimisation = "all"  # any level gives the same integers
    session = _open_session(_model_file(directory), {}, optimisation, threads, directory.path)
    source, target = _integer_port(directory, "input"), _integer_port(directory, "output")
    for values, port in ((session.get_inputs(), source), (session.get_outputs(), target)):
        if len(values) != 1 or values[0].name != port.name or values[0].type != "tensor(int64)":
            raise ModelRejected(f"{directory.path / MODEL_FILE}", f"one int64 tensor {port.name}", [(v.name, v.type) for v in values])
        if tuple(values[0].shape[1:]) != port.shape or isinstance(values[0].shape[0], int):
            raise ModelRejected(f"{directory.path / MODEL_FILE}, {port.name}", f"a batch of {port.shape}", values[0].shape)
    if (size := 2 * math.prod(target.shape)) > MAX_OUTPUT_BYTES:
        raise ModelRejected(f"{directory.path}, manifest, output", f"at most {MAX_OUTPUT_BYTES} bytes, what can be delivered", size)
    return CanonicalServed(directory, source, target, _current_runtime(optimisation), session)


def _integer_port(directory: ModelDirectory, side: str) -> IntegerPort:
    try:
        described = directory.manifest[side]
        (low, high), shape = described["range"], tuple(described["shape"])
        port = IntegerPort(described["name"], shape, low, high)
        is_good = all(type(n) is int for n in (low, high, *shape)) and all(d > 0 for d in shape)
        if not is_good or not -(1 << 15) <= low <= high < 1 << 15 or described["dtype"] != "int16":
            raise ValueError(str(described))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRejected(f"{directory.path}, manifest, {side}", "name, shape, range within int16 and dtype", repr(error)[:80]) from error
    return port


# ---- opaque ----------------------------------------------------------------------------------------------------------
def _load_opaque(directory: ModelDirectory, threads: int) -> OpaqueServed:
    runtime = require_runtime(directory)
    content = _model_file(directory)
    external = _external_files(_parse_onnx(content, directory.path), directory.path)
    if set(directory.files) != {MODEL_FILE, *external}:
        raise ModelRejected(f"{directory.path}, manifest, files", sorted({MODEL_FILE, *external}), sorted(directory.files))
    files = {name: directory.files[name] for name in external}
    session = _open_session(content, files, runtime.optimisation, threads, directory.path)
    inputs, outputs = read_ports(session.get_inputs(), directory.path), read_ports(session.get_outputs(), directory.path)
    for side, ports in (("inputs", inputs), ("outputs", outputs)):
        if directory.manifest.get(side) != _ports_json(ports):
            raise ModelRejected(f"{directory.path}, manifest, {side}", _ports_json(ports), directory.manifest.get(side))
    _require_carried(inputs, outputs, directory.path)
    return OpaqueServed(directory, inputs, outputs, runtime, session)


def require_runtime(directory: ModelDirectory) -> Runtime:
    """The runtime an opaque manifest binds, which must be this process's. Raises ModelRejected naming what differs."""
    described = directory.manifest.get("runtime")
    if not isinstance(described, dict) or described.keys() != {"name", "version", "provider", "optimisation"}:
        raise ModelRejected(f"{directory.path}, manifest, runtime", "name, version, provider, optimisation", described)
    if described["optimisation"] not in tuple(OPTIMISATION):
        raise ModelRejected(f"{directory.path}, manifest, runtime.optimisation", sorted(OPTIMISATION), described["optimisation"])
    runtime = _current_runtime(described["optimisation"])
    for field in ("name", "version", "provider"):
        if described[field] != getattr(runtime, field):
            raise ModelRejected(f"{directory.path}: this node's runtime {field}", described[field], getattr(runtime, field))
    return runtime


def _current_runtime(optimisation: str) -> Runtime:
    return Runtime(RUNTIME_NAME, onnxruntime.__version__, PROVIDER, optimisation)


def read_ports(values: Sequence[Any], path: Path) -> tuple[Port, ...]:
    """Ports of a session's inputs or outputs. Raises ModelRejected by name for sequences, maps, optionals and types not carried."""
    return tuple(Port(value.name, _port_type(value, path), tuple(_dimension(d) for d in value.shape)) for value in values)


def _port_type(value: Any, path: Path) -> TensorType:
    kind, _, inner = value.type.partition("(")
    try:
        if kind != "tensor":
            raise KeyError(kind)
        return TensorType[inner.removesuffix(")").upper()]
    except KeyError as error:
        raise ModelRejected(f"{path}: {value.name}", "a dense tensor of a type of docs/tensors.md", value.type) from error


def _dimension(dimension: object) -> int | str:
    return dimension if isinstance(dimension, int | str) and dimension != "" else UNNAMED_DIMENSION


def _require_carried(inputs: Sequence[Port], outputs: Sequence[Port], path: Path) -> None:
    """onnxruntime's Python API takes strings only as numpy arrays, and gives bfloat16 and float8 only as values of its own."""
    bits = [port.name for port in (*inputs, *outputs) if not port.type.has_own_numpy_type]
    texts = [port.name for port in inputs if port.type is TensorType.STRING]
    if bits and texts:
        raise ModelRejected(f"{path}", "not both string inputs and bfloat16 or float8 tensors", [*texts, *bits])


def _ports_json(ports: Sequence[Port]) -> list[dict[str, Any]]:
    return [{"name": port.name, "dtype": port.type.name.lower(), "shape": list(port.shape)} for port in ports]


# ---- ONNX files ------------------------------------------------------------------------------------------------------
def _model_file(directory: ModelDirectory) -> bytes:
    if MODEL_FILE not in directory.files:
        raise ModelRejected(f"{directory.path}, manifest, files", MODEL_FILE, sorted(directory.files))
    return directory.files[MODEL_FILE]


def _parse_onnx(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(content)
    except (DecodeError, ValueError, TypeError) as error:
        raise ModelRejected(f"{path}", "an ONNX model", "bytes that do not parse as one") from error


def _external_files(model: onnx.ModelProto, directory: Path) -> frozenset[str]:
    """Names of the files that hold tensors of this model. Raises ModelRejected for one outside the directory."""
    names = set()
    for tensor in _tensors_of(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location = next((e.value for e in tensor.external_data if e.key == "location"), "")
            resolve_inside(directory, location)
            names.add(location)
    return frozenset(names)


def _tensors_of(model: onnx.ModelProto) -> Iterable[onnx.TensorProto]:
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterable[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterable[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)


def _open_session(
    content: bytes, external: Mapping[str, bytes], optimisation: str, threads: int, path: Path
) -> onnxruntime.InferenceSession:
    """A session on bytes in memory: neither the model nor its external data is read from the disk again. Raises ModelRejected."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = OPTIMISATION[optimisation]
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not eat a core
    if external:
        options.add_external_initializers_from_files_in_memory(list(external), list(external.values()), [len(b) for b in external.values()])
    try:
        return onnxruntime.InferenceSession(content, options, providers=[PROVIDER])
    except LOAD_ERRORS as error:
        raise ModelRejected(f"{path}", "a model onnxruntime can load", str(error)[:200]) from error


# ---- making an opaque model's directory ------------------------------------------------------------------------------
def write_opaque_manifest(source: Path, directory: Path, name: str, optimisation: str = "all") -> ModelDirectory:
    """Makes `directory` from any ONNX file that onnxruntime loads: the file, its external data, and a manifest binding this runtime.

    Returns the directory read again; its `model_id` is what gets registered. Raises ModelRejected.
    """
    if optimisation not in OPTIMISATION:
        raise ModelRejected("optimisation", sorted(OPTIMISATION), optimisation)
    try:
        content = source.read_bytes()
        external = sorted(_external_files(_parse_onnx(content, source), source.parent))
        files = {location: resolve_inside(source.parent, location).read_bytes() for location in external}
    except OSError as error:
        raise ModelRejected(f"{error.filename}", "a readable file", error.strerror) from error
    if MODEL_FILE in files or "manifest.json" in files:
        raise ModelRejected(f"{source}", f"external data not called {MODEL_FILE} or manifest.json", sorted(files))
    session = _open_session(content, files, optimisation, 1, source)
    inputs, outputs = read_ports(session.get_inputs(), source), read_ports(session.get_outputs(), source)
    _require_carried(inputs, outputs, source)
    files[MODEL_FILE] = content
    return write_directory(directory, _opaque_manifest(name, files, inputs, outputs, optimisation), files)


def _opaque_manifest(
    name: str, files: Mapping[str, bytes], inputs: Sequence[Port], outputs: Sequence[Port], optimisation: str
) -> dict[str, Any]:
    runtime = _current_runtime(optimisation)
    manifest = {
        "affidavit": "model/1",
        "kind": "opaque",
        "name": name,
        "files": {file: digest_of(content) for file, content in files.items()},
        "inputs": _ports_json(inputs),
        "outputs": _ports_json(outputs),
        "runtime": {
            "name": runtime.name,
            "version": runtime.version,
            "provider": runtime.provider,
            "optimisation": runtime.optimisation,
        },
    }
    if not 1 <= len(name) <= 512:
        raise MalformedInput("name", "1 to 512 characters", f"{len(name)} characters")
    return manifest
