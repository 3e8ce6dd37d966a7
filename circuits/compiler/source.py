"""Opening an untrusted ONNX file: everything that can be wrong with the file itself ends here, as a CompileError.

After this module: the protocol buffer parsed, onnx's checker accepted it (one assignment per name, topological order,
known operators), there is one real input of known shape, no local functions, no sparse tensors, and every initializer
is within the caps, finite, and read from inside the file's own folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import checker, numpy_helper

from circuits.errors import CompileError
from circuits.layers.linear import MAX_WEIGHTS
from circuits.manifest import FileDigest, Source
from circuits.tensors import MAX_ELEMENTS, MAX_RANK

MAX_FILE_BYTES = 1 << 30
MIN_OPSET = 7  # before it, broadcasting was an attribute
NUMERIC = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.INT64,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT16,
    onnx.TensorProto.INT8,
    onnx.TensorProto.UINT8,
    onnx.TensorProto.BOOL,
}
REAL_INPUTS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
Constant = NDArray[Any]


@dataclass(frozen=True)
class SourceGraph:
    """A checked float model. `input_shape` has 1 for a symbolic batch axis; `has_batch` says whether the first axis is one."""

    model: onnx.ModelProto
    digest: Source
    opset: int
    constants: dict[str, Constant]
    input_name: str
    input_is_double: bool
    input_shape: tuple[int, ...]
    has_batch: bool

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.input_shape[1:] if self.has_batch else self.input_shape


def read_source(path: str | os.PathLike[str]) -> SourceGraph:
    """Read and check an ONNX file. Raises CompileError; OSError passes through."""
    file = Path(path)
    content = _read_bounded(file)
    model = _parse(content, file.name)
    external = _load_external(model, file.parent)
    _check(model, file.name)
    constants = {tensor.name: read_tensor(tensor) for tensor in model.graph.initializer}
    graph_input = _find_input(model, constants)
    shape, has_batch = _read_input_shape(graph_input)
    return SourceGraph(
        model=model,
        digest=Source(FileDigest.of(content), external),
        opset=_read_opset(model),
        constants=constants,
        input_name=graph_input.name,
        input_is_double=graph_input.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE,
        input_shape=shape,
        has_batch=has_batch,
    )


def _read_bounded(file: Path) -> bytes:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise CompileError(f"{file.name} is too large", f"at most {MAX_FILE_BYTES} bytes", file.stat().st_size)
    return file.read_bytes()


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise CompileError(f"{name} is not an ONNX file, or is cut off ({error})") from error
    if not model.HasField("graph") or not model.graph.node:
        raise CompileError(f"{name} holds no graph: not an ONNX file, or an empty one")
    return model


def _check(model: onnx.ModelProto, name: str) -> None:
    """What onnx's own checker holds, and what it allows but we do not read."""
    try:
        checker.check_model(model)
    except checker.ValidationError as error:
        raise CompileError(f"{name} is not a valid ONNX model: {str(error).strip().splitlines()[0]}") from error
    if model.functions:
        raise CompileError(f"{name} has local functions", "a graph without them: export it with its functions inlined")
    if model.graph.sparse_initializer:
        raise CompileError(f"{name} has sparse initializers", "dense ones")


def _read_opset(model: onnx.ModelProto) -> int:
    versions = {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")}
    if len(versions) != 1:
        raise CompileError("opset of the default domain", "exactly one version", sorted(versions))
    opset = int(versions.pop())
    if opset < MIN_OPSET:
        raise CompileError("opset of the default domain", f"at least {MIN_OPSET}", opset)
    return opset


def read_tensor(tensor: onnx.TensorProto) -> Constant:
    """The values of a tensor within the caps, finite, its data as long as its dimensions say. Raises CompileError."""
    name = f"tensor '{tensor.name}'"
    if len(tensor.dims) > MAX_RANK or any(d < 0 for d in tensor.dims) or prod(tensor.dims) > MAX_WEIGHTS:
        raise CompileError(f"{name} has dimensions {list(tensor.dims)}", f"rank up to {MAX_RANK}, up to {MAX_WEIGHTS} elements")
    if tensor.data_type == onnx.TensorProto.STRING:
        return np.array([text.decode("utf-8", "replace") for text in tensor.string_data], dtype=object)
    if tensor.data_type not in NUMERIC:
        raise CompileError(f"{name} has data type {tensor.data_type}", "float16/32/64, an integer type or bool")
    try:
        values = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise CompileError(f"{name} cannot be read ({error})") from error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise CompileError(f"{name} holds NaN or infinity", "finite numbers")
    return values


def _load_external(model: onnx.ModelProto, folder: Path) -> dict[str, FileDigest]:
    """Bring external data into the tensors; returns the digests of the files they came from."""
    files: dict[str, bytes] = {}
    tensors = list(model.graph.initializer)
    tensors += [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _load_external_tensor(tensor, folder, files)
    return {name: FileDigest.of(content) for name, content in sorted(files.items())}


def _load_external_tensor(tensor: onnx.TensorProto, folder: Path, files: dict[str, bytes]) -> None:
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    if location not in files:
        files[location] = _read_external_file(tensor.name, folder, location)
    try:
        offset = int(fields.get("offset", "0"))
        length = int(fields.get("length", str(len(files[location]) - offset)))
    except ValueError as error:
        raise CompileError(f"tensor '{tensor.name}': offset or length of its external data is not a number") from error
    if offset < 0 or length < 0 or offset + length > len(files[location]):
        raise CompileError(f"tensor '{tensor.name}': its external data ends beyond the file '{location}'")
    tensor.raw_data = files[location][offset : offset + length]
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _read_external_file(tensor: str, folder: Path, location: str) -> bytes:
    """The file a tensor names: relative, and inside the model's folder after every link is followed."""
    root = folder.resolve()
    if not location or "\x00" in location or Path(location).is_absolute():
        raise CompileError(f"tensor '{tensor}': location of its external data", "a relative file name", repr(location))
    target = (root / location).resolve()
    if root not in target.parents:
        raise CompileError(f"tensor '{tensor}': its external data leave the model's folder", f"a file below {root}", repr(location))
    if not target.is_file():
        raise CompileError(f"tensor '{tensor}': its external data are missing", f"the file '{location}' beside the model")
    return _read_bounded(target)


def _find_input(model: onnx.ModelProto, constants: dict[str, Constant]) -> onnx.ValueInfoProto:
    """The one graph input that is not an initializer."""
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise CompileError("graph inputs", "exactly one", [value.name for value in inputs])
    value: onnx.ValueInfoProto = inputs[0]
    if value.type.WhichOneof("value") != "tensor_type" or value.type.tensor_type.elem_type not in REAL_INPUTS:
        raise CompileError(f"input '{value.name}'", "a float32 or float64 tensor")
    return value


def _read_input_shape(value: onnx.ValueInfoProto) -> tuple[tuple[int, ...], bool]:
    """Shape with 1 for a symbolic first axis, which is the batch; so is a first axis of 1 before others. A statement is one sample."""
    name, tensor = value.name, value.type.tensor_type
    if not tensor.HasField("shape") or not 1 <= len(tensor.shape.dim) <= MAX_RANK:
        raise CompileError(f"input '{name}'", f"a shape of 1 to {MAX_RANK} dimensions")
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    if any(d is None for d in dims[1:]):
        raise CompileError(f"input '{name}' has a symbolic dimension that is not the first", "fixed dimensions after the batch axis")
    shape = tuple(1 if d is None else d for d in dims)
    if any(d < 1 for d in shape) or prod(shape) > MAX_ELEMENTS:
        raise CompileError(f"input '{name}' has shape {list(shape)}", f"1 to {MAX_ELEMENTS} elements")
    has_batch = len(dims) > 1 and dims[0] in (None, 1)
    if dims[0] is None and not has_batch:
        raise CompileError(f"input '{name}' has only a symbolic dimension", "a fixed number of features after the batch axis")
    return shape, has_batch
