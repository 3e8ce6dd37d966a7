"""AFT1: one encoding for each value, every truncation and every changed byte another value or refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle.errors import MalformedInput, TooLarge
from oracle.tensors import (
    MAGIC,
    MAX_ENCODED_BYTES,
    NOT_CARRIED,
    NUMPY_TYPE,
    Tensor,
    TensorType,
    decode_tensors,
    encode_tensors,
    from_numpy,
    to_numpy,
)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    kind = draw(st.sampled_from(list(TensorType)))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    count = int(np.prod(shape, dtype=int))
    if kind is TensorType.STRING:
        texts = [t.encode() for t in draw(st.lists(st.text(max_size=6), min_size=count, max_size=count))]
        return Tensor(kind, shape, b"".join(len(t).to_bytes(4, "big") + t for t in texts))
    if kind is TensorType.BOOL:
        return Tensor(kind, shape, bytes(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))))
    size = count * NUMPY_TYPE[kind].itemsize
    return Tensor(kind, shape, draw(st.binary(min_size=size, max_size=size)))


def decodes_to(data: bytes) -> tuple[Tensor, ...] | None:
    try:
        return decode_tensors(data)
    except MalformedInput:
        return None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first draw of text loads tables
@given(st.lists(tensors(), max_size=4))
def test_round_trip(values: list[Tensor]) -> None:
    assert decode_tensors(encode_tensors(values)) == tuple(values)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tensors())
def test_round_trip_through_numpy_keeps_every_bit(value: Tensor) -> None:
    kind = None if value.type.has_own_numpy_type else value.type
    assert from_numpy(to_numpy(value), kind) == value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(tensors(), min_size=1, max_size=3))
def test_every_truncation_is_refused(values: list[Tensor]) -> None:
    data = encode_tensors(values)
    for cut in range(len(data)):
        assert decodes_to(data[:cut]) is None
    assert decodes_to(data + b"\0") is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(tensors(), min_size=1, max_size=3), st.integers(1, 255))
def test_every_changed_byte_is_another_value_or_refused(values: list[Tensor], change: int) -> None:
    data = encode_tensors(values)
    for position in range(len(data)):
        lie = data[:position] + bytes([data[position] ^ change]) + data[position + 1 :]
        decoded = decodes_to(lie)
        assert decoded != tuple(values)
        assert decoded is None or encode_tensors(decoded) == lie


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_whatever_decodes_is_the_encoding_of_what_it_decodes_to(noise: bytes) -> None:
    data = MAGIC + noise
    decoded = decodes_to(data)
    assert decoded is None or encode_tensors(decoded) == data


def header(kind: int, *shape: int) -> bytes:
    return MAGIC + b"\1" + struct.pack(f">BB{len(shape)}I", kind, len(shape), *shape)


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "other magic": b"AFT2\0",
    "no count": MAGIC,
    "count without tensor": MAGIC + b"\1",
    "tensor without count": MAGIC + b"\0" + b"\1\0" + bytes(4),
    "undefined type": header(0, 0),
    "unknown type": header(27, 0),
    "type 255": header(255, 0),
    "rank without dimensions": MAGIC + b"\1\1\2" + bytes(4),
    "rank 65": header(2, *[1] * 65) + b"\0",
    "size that overflows 64 bits": header(11, *[0xFFFFFFFF] * 4),
    "empty tensor with huge strides": header(1, 0, 0xFFFFFFFF, 0xFFFFFFFF),
    "2^31 elements": header(2, 1 << 31),
    "bool 2": header(9, 1) + b"\2",
    "bool 2 between": header(9, 3) + b"\1\2\0",
    "string without length": header(8, 1) + b"\0\0\0",
    "string longer than the data": header(8, 1) + b"\0\0\0\2a",
    "string with bad UTF-8": header(8, 1) + b"\0\0\0\1\xff",
    "string with a surrogate": header(8, 1) + b"\0\0\0\3\xed\xa0\x80",
    "string with an overlong form": header(8, 1) + b"\0\0\0\2\xc0\x80",
    "many strings in few bytes": header(8, 1 << 30),
    "trailing byte": header(2, 1) + b"\0\0",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode_tensors(data)


@pytest.mark.parametrize("number", NOT_CARRIED)
def test_types_onnxruntime_cannot_carry_are_refused_by_name(number: int) -> None:
    with pytest.raises(MalformedInput, match=NOT_CARRIED[number]):
        decode_tensors(header(number, 1) + b"\0")


def test_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        decode_tensors(MAGIC + bytes(MAX_ENCODED_BYTES))


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(TensorType.FLOAT, (2,), bytes(7)),
        Tensor(TensorType.FLOAT, (2,), bytes(9)),
        Tensor(TensorType.BOOL, (1,), b"\2"),
        Tensor(TensorType.INT8, (-1,), b""),
        Tensor(TensorType.STRING, (1,), b"\0\0\0\1a\0"),
    ],
)
def test_what_is_not_a_tensor_is_not_encoded(tensor: Tensor) -> None:
    with pytest.raises(MalformedInput):
        encode_tensors([tensor])


def test_negative_zero_and_nans_are_values_of_their_own() -> None:
    bits = [0x00000000, 0x80000000, 0x7FC00000, 0x7FC00001, 0xFFC00000, 0x7F800001]
    encoded = {encode_tensors([from_numpy(np.array([b], dtype="<u4").view("<f4"))]) for b in bits}
    assert len(encoded) == len(bits)


@pytest.mark.parametrize("array", [np.array([1 + 2j]), np.array([b"x"]), np.array([None]), np.array(["\ud800"]), np.array([1], "M8[s]")])
def test_arrays_of_other_types_are_refused(array: Any) -> None:
    with pytest.raises(MalformedInput):
        from_numpy(array)


def test_arrays_of_any_byte_order_and_layout_give_the_same_bytes() -> None:
    array = np.arange(6, dtype="<i4").reshape(2, 3)
    assert from_numpy(array.astype(">i4")) == from_numpy(array) == from_numpy(np.asfortranarray(array))


def test_the_example_of_the_page() -> None:
    """docs/tensors.md shows these bytes."""
    values = [from_numpy(np.array([[1.0, -0.5]], dtype="<f4")), from_numpy(np.array(["ja", ""], dtype=object))]
    expected = "4146543102 0102000000010000000200 00803f000000bf 080100000002000000026a6100000000".replace(" ", "")
    assert encode_tensors(values).hex() == expected
