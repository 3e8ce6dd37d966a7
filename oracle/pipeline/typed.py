"""Inputs and outputs of opaque models as JSON values: AFT1 tensors (docs/tensors.md) by the manifest's names, types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from oracle.errors import InputRejected, MalformedInput, TooLarge
from oracle.pipeline.catalogue import ANY_SIZE, Payload, TensorShape
from oracle.tensors import NUMPY_TYPE, Tensor, TensorType, decode_tensors, encode_tensors, from_numpy, to_numpy

Element = int | float | bool | str


@dataclass(frozen=True, slots=True)
class WantedTensor:
    """Elements row by row; the element type is the manifest's."""

    shape: tuple[int, ...]
    values: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class DecodedTensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    values: tuple[Element, ...]


def encode_typed(payload: Payload, by_name: Mapping[str, WantedTensor]) -> bytes:
    """AFT1 bytes, in the manifest's order. Raises InputRejected naming the tensor."""
    names = [declared.name for declared in payload.tensors]
    if unknown := sorted(by_name.keys() - set(names)):
        raise InputRejected(f"input tensor {unknown[0]!r}"[:80], f"one of {names}", "another name")
    for name in names:
        if name not in by_name:
            raise InputRejected(f"input tensor {name!r}", "a tensor", "nothing")
    data = encode_tensors([_tensor(declared, by_name[declared.name]) for declared in payload.tensors])
    check_typed(payload, data)
    return data


def _tensor(declared: TensorShape, given: WantedTensor) -> Tensor:
    what, kind = f"input tensor {declared.name!r}", TensorType[declared.dtype.upper()]
    if len(given.values) != prod(given.shape):
        raise InputRejected(what, f"{prod(given.shape)} elements for shape {list(given.shape)}", len(given.values))
    if kind is TensorType.STRING:
        array = np.empty(len(given.values), dtype=object)
        array[:] = _all_of(given.values, (str,), what)
    elif kind is TensorType.BOOL:
        array = np.array(_all_of(given.values, (bool,), what), dtype=bool)
    elif not kind.has_own_numpy_type:
        raise InputRejected(what, f"hex, since {kind.name} has no JSON form", "values")
    else:
        array = _numbers(given.values, NUMPY_TYPE[kind], what)
    return from_numpy(array.reshape(given.shape), kind)


def _numbers(values: Sequence[Element], dtype: np.dtype[Any], what: str) -> np.ndarray[Any, np.dtype[Any]]:
    if dtype.kind == "f":
        numbers = _all_of(values, (int, float), what)
        with np.errstate(over="ignore"):
            array = np.array([_finite(v, what) for v in numbers], dtype=np.float64).astype(dtype)
        if not np.isfinite(array).all():
            raise InputRejected(what, f"numbers that {dtype.name} holds", "one that is too large")
        return array
    limits = np.iinfo(dtype)
    integers = _all_of(values, (int,), what)
    for position, value in enumerate(integers):
        if not limits.min <= value <= limits.max:
            raise InputRejected(f"{what}, element {position}", f"an integer in [{limits.min}, {limits.max}]", value)
    return np.array(integers, dtype=dtype)


def _finite(value: float, what: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise InputRejected(what, "numbers that float64 holds", "one that is too large") from error


def _all_of(values: Sequence[Element], kinds: tuple[type, ...], what: str) -> list[Any]:
    for position, value in enumerate(values):
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise InputRejected(f"{what}, element {position}", " or ".join(k.__name__ for k in kinds), type(value).__name__)
    return list(values)


def check_typed(payload: Payload, data: bytes, side: str = "input") -> tuple[Tensor, ...]:
    """The tensors, once their count, types and shapes are those of the manifest. Raises InputRejected.

    A named dimension takes any size, but the same wherever its name stands; "?" takes any. Sizes of outputs are the model's own business.
    """
    try:
        tensors = decode_tensors(data)
    except (MalformedInput, TooLarge) as error:
        raise InputRejected(f"{side}: {error.what}", error.expected, error.got) from error
    if len(tensors) != len(payload.tensors):
        raise InputRejected(side, f"{len(payload.tensors)} tensors", len(tensors))
    sizes: dict[str, int] = {}
    for declared, tensor in zip(payload.tensors, tensors, strict=True):
        what = f"{side} tensor {declared.name!r}"
        if tensor.type.name.lower() != declared.dtype:
            raise InputRejected(what, declared.dtype, tensor.type.name.lower())
        if side == "input":
            _check_shape(declared, tensor, sizes, what)
    return tensors


def _check_shape(declared: TensorShape, tensor: Tensor, sizes: dict[str, int], what: str) -> None:
    if len(tensor.shape) != len(declared.shape):
        raise InputRejected(what, f"rank {len(declared.shape)}", f"rank {len(tensor.shape)}")
    for wanted, got in zip(declared.shape, tensor.shape, strict=True):
        if wanted == ANY_SIZE:
            continue
        expected = sizes.setdefault(wanted, got) if isinstance(wanted, str) else wanted
        if got != expected:
            raise InputRejected(what, f"shape {list(declared.shape)}", f"{list(tensor.shape)}")


def decode_typed(payload: Payload, data: bytes) -> tuple[DecodedTensor, ...]:
    """Output tensors by name. Elements of bfloat16 and float8 are their bits; NaN and infinities become the strings JSON can hold."""
    tensors = check_typed(payload, data, "output")
    return tuple(
        DecodedTensor(declared.name, declared.dtype, tensor.shape, tuple(_json_element(v) for v in to_numpy(tensor).ravel().tolist()))
        for declared, tensor in zip(payload.tensors, tensors, strict=True)
    )


def _json_element(value: Any) -> Element:
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    element: Element = value
    return element
