"""Inference: bytes in, bytes out, each checked once where it enters.

Canonical: packed big-endian int16 in and out, exact integers between, the same on every machine. Opaque: typed tensors (AFT1) in the order
of the manifest, run as the manifest binds.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from oracle.encoding import keccak256
from oracle.errors import InputRejected, InvariantBroken, MalformedInput, TooLarge, WorldError
from oracle.node.models import (
    MAX_OUTPUT_BYTES,
    ORT_ERRORS,
    UNNAMED_DIMENSION,
    CanonicalServed,
    IntegerPort,
    OpaqueModel,
    OpaqueServed,
    Port,
    ServedModel,
)
from oracle.records import Inference
from oracle.tensors import Tensor, TensorType, decode_tensors, encode_tensors, from_numpy, to_numpy


class RuntimeFailed(WorldError):
    """onnxruntime could not run for lack of memory or threads: the same input may succeed later."""


def infer(model: ServedModel, data: bytes) -> Inference:
    """Runs `model` on input bytes.

    Raises InputRejected naming the tensor, element or dimension that is wrong, or what the model itself refuses; InvariantBroken when a
    canonical model gives something that no canonical model can give, and for a model that is served elsewhere; RuntimeFailed when memory
    ran out.
    """
    if isinstance(model, CanonicalServed):
        integers = decode_integers(model.input, data)
        started = time.perf_counter()
        output = _encode_integers(model, _run_canonical(model, integers))
    elif not isinstance(model, OpaqueServed):
        raise InvariantBroken(f"model {model.directory.name} runs in another process, not here")
    else:
        feeds = decode_feeds(model, data)
        started = time.perf_counter()
        output = _encode_output(model, _run_opaque(model, feeds))
    seconds = time.perf_counter() - started
    return Inference(model.directory.model_id, keccak256(data), keccak256(output), output, model.runtime, seconds)


def check_input(model: ServedModel, data: bytes) -> None:
    """Raises InputRejected unless `data` is an input of the model, without running it."""
    if isinstance(model, CanonicalServed):
        decode_integers(model.input, data)
    else:
        decode_feeds(model, data)


# ---- canonical -------------------------------------------------------------------------------------------------------
def decode_integers(port: IntegerPort, data: bytes) -> npt.NDArray[np.int64]:
    """int64 of shape (1, …) from packed big-endian int16. Raises InputRejected naming the first element out of range."""
    count = math.prod(port.shape)
    if len(data) != 2 * count:
        raise InputRejected(f"input {port.name!r}", f"{2 * count} bytes ({count} packed int16)", f"{len(data)} bytes")
    values = np.frombuffer(data, dtype=">i2").astype(np.int64)
    outside = np.flatnonzero((values < port.low) | (values > port.high))
    if outside.size:
        first = int(outside[0])
        raise InputRejected(f"input {port.name!r}, element {first}", f"an integer in [{port.low}, {port.high}]", int(values[first]))
    return values.reshape(1, *port.shape)


def _run_canonical(model: CanonicalServed, integers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    try:
        result = model.session.run([model.output.name], {model.input.name: integers})[0]
    except ORT_ERRORS as error:
        raise RuntimeFailed(f"onnxruntime could not run the canonical model {model.directory.name}") from error
    return np.asarray(result)


def _encode_integers(model: CanonicalServed, result: npt.NDArray[Any]) -> bytes:
    port, name = model.output, model.directory.name
    if result.dtype != np.int64 or result.shape != (1, *port.shape):
        raise InvariantBroken(f"model {name} gave {result.dtype} of {result.shape}, not int64 of {(1, *port.shape)}")
    if result.size and (result.min() < port.low or result.max() > port.high):
        raise InvariantBroken(f"model {name} gave a value outside [{port.low}, {port.high}]")
    return result.astype(">i2").tobytes()


# ---- opaque ----------------------------------------------------------------------------------------------------------
def decode_feeds(model: OpaqueModel, data: bytes) -> dict[str, Tensor]:
    """Tensors by input name. Raises InputRejected naming the input, and what of it is wrong."""
    try:
        tensors = decode_tensors(data)
    except (MalformedInput, TooLarge) as error:
        raise InputRejected(f"input: {error.what}", error.expected, error.got) from error
    if len(tensors) != len(model.inputs):
        raise InputRejected("input", f"{len(model.inputs)} tensors: {[p.name for p in model.inputs]}", f"{len(tensors)}")
    sizes: dict[str, int] = {}
    for port, tensor in zip(model.inputs, tensors, strict=True):
        _check_feed(port, tensor, sizes)
    return {port.name: tensor for port, tensor in zip(model.inputs, tensors, strict=True)}


def _check_feed(port: Port, tensor: Tensor, sizes: dict[str, int]) -> None:
    """`sizes` holds what each named dimension turned out to be; one name has one size."""
    if tensor.type is not port.type:
        raise InputRejected(f"input {port.name!r}, type", port.type.name.lower(), tensor.type.name.lower())
    if len(tensor.shape) != len(port.shape):
        raise InputRejected(f"input {port.name!r}, rank", len(port.shape), len(tensor.shape))
    for position, (expected, got) in enumerate(zip(port.shape, tensor.shape, strict=True)):
        if isinstance(expected, str) and expected != UNNAMED_DIMENSION:
            expected = sizes.setdefault(expected, got)
        if isinstance(expected, int) and expected != got:
            raise InputRejected(f"input {port.name!r}, dimension {position}", expected, got)


def _run_opaque(model: OpaqueServed, feeds: Mapping[str, Tensor]) -> list[Tensor]:
    has_bits = not all(port.type.has_own_numpy_type for port in (*model.inputs, *model.outputs))
    try:
        return _run_values(model, feeds) if has_bits else _run_arrays(model, feeds)
    except ORT_ERRORS as error:
        text = str(error)
        if "alloc" in text.lower():
            raise RuntimeFailed(f"onnxruntime could not run {model.directory.name}") from error
        raise InputRejected(f"input of {model.directory.name}", "one the model can run on", text[:200]) from error
    except UnicodeDecodeError as error:
        raise InputRejected(f"input of {model.directory.name}", "one whose text output is UTF-8", error.reason) from error
    except ValueError as error:  # an output that numpy cannot hold: more than 64 dimensions
        raise InputRejected(f"input of {model.directory.name}", "one whose output numpy can hold", str(error)[:200]) from error
    except (MemoryError, RuntimeError) as error:
        raise RuntimeFailed(f"onnxruntime could not run {model.directory.name}") from error


def _run_arrays(model: OpaqueServed, feeds: Mapping[str, Tensor]) -> list[Tensor]:
    arrays = {name: to_numpy(tensor) for name, tensor in feeds.items()}
    results = model.session.run([port.name for port in model.outputs], arrays)
    return [_named_tensor(port, np.asarray(result)) for port, result in zip(model.outputs, results, strict=True)]


def _run_values(model: OpaqueServed, feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """With onnxruntime's own values, which carry the types numpy does not know. Arrays must outlive the values made on them."""
    arrays = {name: to_numpy(tensor) for name, tensor in feeds.items()}
    values = {name: _value_of(arrays[name], tensor.type) for name, tensor in feeds.items()}
    results: Sequence[onnxruntime.OrtValue] = model.session.run_with_ort_values([port.name for port in model.outputs], values)
    return [_tensor_of(port, result) for port, result in zip(model.outputs, results, strict=True)]


def _value_of(array: npt.NDArray[Any], kind: TensorType) -> onnxruntime.OrtValue:
    if kind.has_own_numpy_type:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, int(kind))


def _tensor_of(port: Port, value: onnxruntime.OrtValue) -> Tensor:
    if port.type.has_own_numpy_type:
        return _named_tensor(port, value.numpy())
    if value.element_type() != int(port.type):
        raise InvariantBroken(f"output {port.name} is {value.data_type()}, not {port.type.name.lower()}")
    size = value.tensor_size_in_bytes()
    bits = ctypes.string_at(value.data_ptr(), size) if size else b""
    return Tensor(port.type, tuple(value.shape()), bits)


def _named_tensor(port: Port, array: npt.NDArray[Any]) -> Tensor:
    tensor = from_numpy(array)
    if tensor.type is not port.type:
        raise InvariantBroken(f"output {port.name} is {tensor.type.name.lower()}, not {port.type.name.lower()}")
    return tensor


def _encode_output(model: OpaqueServed, tensors: Sequence[Tensor]) -> bytes:
    try:
        output = encode_tensors(tensors)
    except TooLarge as error:
        raise InputRejected(f"output of {model.directory.name} for this input", error.expected, error.got) from error
    if len(output) > MAX_OUTPUT_BYTES:
        raise InputRejected(f"output of {model.directory.name} for this input", f"at most {MAX_OUTPUT_BYTES} bytes", len(output))
    return output
