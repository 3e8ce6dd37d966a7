"""AFT1: canonical typed tensors, the input and output bytes of opaque models. The page with example bytes is docs/tensors.md.

    "AFT1" ‖ u8 number of tensors ‖ for each: u8 type ‖ u8 rank ‖ rank × u32 big-endian dimension ‖ elements

Elements are row-major, little-endian; a bool is one byte 0 or 1; a string is a u32 big-endian length and that many bytes of UTF-8. A type
is its number in ONNX's `TensorProto.DataType`. A value is its bit pattern: every NaN is a value of its own, and 0.0 is not -0.0. So each
list of tensors has exactly one encoding, and whatever is not the encoding of something is refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from oracle.errors import MalformedInput, TooLarge

MAGIC = b"AFT1"
MAX_TENSORS = 255
MAX_RANK = 64  # numpy's limit; ONNX has none
MAX_ELEMENTS = 1 << 31  # product of the dimensions that are not zero, so that no runtime overflows on an empty tensor's strides
MAX_ENCODED_BYTES = 64 << 20


class TensorType(IntEnum):
    """The element types onnxruntime's Python API carries, by their ONNX numbers."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    FLOAT8E4M3FNUZ = 18
    FLOAT8E5M2 = 19
    FLOAT8E5M2FNUZ = 20

    @property
    def has_own_numpy_type(self) -> bool:
        """False where numpy holds only the bits (bfloat16 as uint16, float8 as uint8)."""
        return self < TensorType.BFLOAT16


NOT_CARRIED = {
    14: "complex64",
    15: "complex128",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
}
"""ONNX types that onnxruntime neither takes nor gives as values; refused by name."""

NUMPY_TYPE: dict[TensorType, np.dtype[Any]] = {
    TensorType.FLOAT: np.dtype("<f4"),
    TensorType.UINT8: np.dtype("u1"),
    TensorType.INT8: np.dtype("i1"),
    TensorType.UINT16: np.dtype("<u2"),
    TensorType.INT16: np.dtype("<i2"),
    TensorType.INT32: np.dtype("<i4"),
    TensorType.INT64: np.dtype("<i8"),
    TensorType.BOOL: np.dtype("?"),
    TensorType.FLOAT16: np.dtype("<f2"),
    TensorType.DOUBLE: np.dtype("<f8"),
    TensorType.UINT32: np.dtype("<u4"),
    TensorType.UINT64: np.dtype("<u8"),
    TensorType.BFLOAT16: np.dtype("<u2"),
    TensorType.FLOAT8E4M3FN: np.dtype("u1"),
    TensorType.FLOAT8E4M3FNUZ: np.dtype("u1"),
    TensorType.FLOAT8E5M2: np.dtype("u1"),
    TensorType.FLOAT8E5M2FNUZ: np.dtype("u1"),
}
"""How the elements of a type lie in memory; strings have no fixed width and are not in it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as its bytes: `elements` in the encoding above, whose length and content `encode_tensors` checks."""

    type: TensorType
    shape: tuple[int, ...]
    elements: bytes

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def encode_tensors(tensors: Sequence[Tensor]) -> bytes:
    """The one encoding of these tensors. Raises MalformedInput for a tensor that is none, TooLarge above MAX_ENCODED_BYTES."""
    if len(tensors) > MAX_TENSORS:
        raise MalformedInput("tensors", f"at most {MAX_TENSORS}", len(tensors))
    parts = [MAGIC, bytes([len(tensors)])]
    for position, tensor in enumerate(tensors):
        _require_shape(tensor.shape, f"tensor {position}")
        if _elements_length(tensor.type, tensor.count, tensor.elements, 0, f"tensor {position}") != len(tensor.elements):
            raise MalformedInput(f"tensor {position}", f"{tensor.count} elements", "more bytes than that")
        parts.append(struct.pack(f">BB{len(tensor.shape)}I", tensor.type, len(tensor.shape), *tensor.shape) + tensor.elements)
    data = b"".join(parts)
    if len(data) > MAX_ENCODED_BYTES:
        raise TooLarge("encoded tensors", f"at most {MAX_ENCODED_BYTES} bytes", len(data))
    return data


def decode_tensors(data: bytes) -> tuple[Tensor, ...]:
    """The tensors of an encoding. Raises MalformedInput for anything that `encode_tensors` would not write, TooLarge when too long."""
    if len(data) > MAX_ENCODED_BYTES:
        raise TooLarge("encoded tensors", f"at most {MAX_ENCODED_BYTES} bytes", len(data))
    if len(data) < 5 or data[:4] != MAGIC:
        raise MalformedInput("encoded tensors", "the magic AFT1 and a count", "0x" + data[:5].hex())
    tensors, offset = [], 5
    for position in range(data[4]):
        tensor, offset = _decode_one(data, offset, f"tensor {position}")
        tensors.append(tensor)
    if offset != len(data):
        raise MalformedInput("encoded tensors", f"{offset} bytes", f"{len(data)}")
    return tuple(tensors)


def _decode_one(data: bytes, offset: int, what: str) -> tuple[Tensor, int]:
    if len(data) < offset + 2:
        raise MalformedInput(what, "a type and a rank", "the end")
    kind, rank = parse_type(data[offset], what), data[offset + 1]
    start = offset + 2 + 4 * rank
    if len(data) < start:
        raise MalformedInput(what, f"{rank} dimensions", "the end")
    shape = struct.unpack_from(f">{rank}I", data, offset + 2)
    _require_shape(shape, what)
    end = start + _elements_length(kind, math.prod(shape), data, start, what)
    return Tensor(kind, shape, data[start:end]), end


def parse_type(number: int, what: str) -> TensorType:
    """The type of an ONNX number. Raises MalformedInput, by name for the types onnxruntime cannot carry."""
    if number in NOT_CARRIED:
        raise MalformedInput(f"{what}, type", "one that onnxruntime carries", f"{number} ({NOT_CARRIED[number]})")
    try:
        return TensorType(number)
    except ValueError as error:
        raise MalformedInput(f"{what}, type", "a number of ONNX TensorProto.DataType", number) from error


def _require_shape(shape: Sequence[int], what: str) -> None:
    if len(shape) > MAX_RANK:
        raise MalformedInput(f"{what}, rank", f"at most {MAX_RANK}", len(shape))
    if any(not 0 <= d < 1 << 32 for d in shape) or math.prod(d for d in shape if d) >= MAX_ELEMENTS:
        raise MalformedInput(f"{what}, shape", f"dimensions whose product is below {MAX_ELEMENTS}", list(shape))


def _elements_length(kind: TensorType, count: int, data: bytes, start: int, what: str) -> int:
    """Bytes that `count` elements take from `start`, their content checked."""
    if kind is TensorType.STRING:
        return _strings_length(count, data, start, what)
    length = count * NUMPY_TYPE[kind].itemsize
    if len(data) - start < length:
        raise MalformedInput(what, f"{length} bytes of elements", f"{len(data) - start}")
    if kind is TensorType.BOOL and (other := data[start : start + length].strip(b"\0\1")):  # not empty where any byte is neither
        raise MalformedInput(f"{what}, bool", "0 or 1", other[0])
    return length


def _strings_length(count: int, data: bytes, start: int, what: str) -> int:
    if len(data) - start < 4 * count:
        raise MalformedInput(what, f"{count} strings", f"{len(data) - start} bytes")
    offset = start
    for position in range(count):
        if len(data) < offset + 4:
            raise MalformedInput(f"{what}, string {position}", "a length", "the end")
        length = int.from_bytes(data[offset : offset + 4], "big")
        text = data[offset + 4 : offset + 4 + length]
        if len(text) != length:
            raise MalformedInput(f"{what}, string {position}", f"{length} bytes", len(text))
        _require_utf8(text, f"{what}, string {position}")
        offset += 4 + length
    return offset - start


def _require_utf8(text: bytes, what: str) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput(what, "UTF-8", str(error.reason)) from error


# ---- numpy -----------------------------------------------------------------------------------------------------------
def to_numpy(tensor: Tensor) -> npt.NDArray[Any]:
    """The elements as an array: an object array of str for strings, the bits (uint16, uint8) for bfloat16 and float8."""
    if tensor.type is TensorType.STRING:
        texts = np.empty(tensor.count, dtype=object)
        texts[:] = list(_texts(tensor))
        return texts.reshape(tensor.shape)
    return np.frombuffer(tensor.elements, dtype=NUMPY_TYPE[tensor.type]).reshape(tensor.shape).copy()


def _texts(tensor: Tensor) -> Iterable[str]:
    offset = 0
    for _ in range(tensor.count):
        length = int.from_bytes(tensor.elements[offset : offset + 4], "big")
        yield tensor.elements[offset + 4 : offset + 4 + length].decode("utf-8")
        offset += 4 + length


def from_numpy(array: npt.NDArray[Any], kind: TensorType | None = None) -> Tensor:
    """The tensor of an array; `kind` is needed only for bfloat16 and float8, whose arrays hold bits.

    Raises MalformedInput for an array type that is none of ours, or not the one `kind` lies in memory as.
    """
    kind = kind or _type_of(array)
    if kind is TensorType.STRING:
        return Tensor(kind, array.shape, b"".join(_encode_text(text) for text in array.ravel().tolist()))
    if array.dtype.newbyteorder("<") != NUMPY_TYPE[kind]:
        raise MalformedInput("array type", f"{NUMPY_TYPE[kind]} for {kind.name}", str(array.dtype))
    return Tensor(kind, array.shape, np.ascontiguousarray(array, dtype=NUMPY_TYPE[kind]).tobytes())


def _type_of(array: npt.NDArray[Any]) -> TensorType:
    if array.dtype.kind in "OU":
        return TensorType.STRING
    for kind, numpy_type in NUMPY_TYPE.items():
        if array.dtype.newbyteorder("<") == numpy_type:
            return kind
    raise MalformedInput("array type", "one of ONNX's", str(array.dtype))


def _encode_text(text: object) -> bytes:
    if not isinstance(text, str):
        raise MalformedInput("string tensor", "text", type(text).__name__)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedInput("string tensor", "text that UTF-8 can write", error.reason) from error
    return len(data).to_bytes(4, "big") + data
