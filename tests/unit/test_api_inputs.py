"""What people write becomes input bytes, or is refused by name: canonical integers, real units, typed tensors."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.scaling import InputScaling, quantize
from circuits.tensors import Format, TensorType
from oracle.encoding import pack_int16
from oracle.errors import InputRejected, MalformedInput
from oracle.pipeline.catalogue import AFT1, INT16, DescribedModel, Payload, TensorShape
from oracle.pipeline.inputs import Integers, Raw, Reals, Tensors, WantedInput, count_saturated, decode_output, encode_input
from oracle.pipeline.inputs import quantize as quantize_here
from oracle.pipeline.typed import WantedTensor
from oracle.records import Bytes32, ModelKind
from oracle.tensors import decode_tensors, to_numpy

ID = Bytes32(bytes(32))
PIXELS = Payload(INT16, (TensorShape("pixels", "int16", (2, 2)),), 3, (-2048, 2047))
SCORES = Payload(INT16, (TensorShape("scores", "int16", (2,)),), 4, (-2048, 2047))
CANONICAL = DescribedModel(ID, ModelKind.CANONICAL, "digits", {}, PIXELS, SCORES, ("no", "yes"), "softmax")


def opaque(*tensors: TensorShape) -> DescribedModel:
    payload = Payload(AFT1, tensors)
    return DescribedModel(ID, ModelKind.OPAQUE, "forest", {}, payload, payload, None, None)


def test_integers_and_reals_and_hex_give_the_same_bytes() -> None:
    expected = pack_int16([0, 8, -8, 12])
    for wanted in (Integers((0, 8, -8, 12)), Reals((0.0, 1.0, -1.0, 1.5)), Raw(expected)):
        assert encode_input(CANONICAL, wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (Integers((0, 0, 0)), "4 elements"),
        (Integers((0, 0, 0, 0, 0)), "4 elements"),
        (Integers((0, 0, 2048, 0)), "element 2"),
        (Integers((-2049, 0, 0, 0)), "element 0"),
        (Reals((0.0, 0.0, 0.0)), "4 elements"),
        (Reals((0.0, nan, 0.0, 0.0)), "element 1"),
        (Reals((0.0, 0.0, 0.0, -inf)), "element 3"),
        (Raw(b""), "8 bytes"),
        (Raw(bytes(7)), "8 bytes"),
        (Raw(pack_int16([0, 0, 0, 2048])), "element 3"),
        (Tensors({}), "canonical"),
    ],
)
def test_a_canonical_input_that_is_none_is_refused_by_name(wanted: WantedInput, named: str) -> None:
    with pytest.raises(InputRejected, match=named):
        encode_input(CANONICAL, wanted)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    st.integers(-64, 64),
    st.booleans(),
    st.lists(st.integers(-(1 << 47), 1 << 47), min_size=4, max_size=4),
)
def test_quantising_is_that_of_the_compiler(values: list[float], exponent: int, is_scaled: bool, zero_points: list[int]) -> None:
    exponents = tuple((exponent + k) % 65 for k in range(4))
    scaling = InputScaling(exponents, tuple(zero_points)) if is_scaled else None
    with np.errstate(over="ignore"):
        expected = quantize(values, TensorType((4,), Format.SIGNED, exponent), scaling).tolist()
    payload = Payload(INT16, PIXELS.tensors, exponent, (-2048, 2047), *((exponents, tuple(zero_points)) if is_scaled else ()))
    assert quantize_here(payload, values) == expected


def test_saturation_is_counted() -> None:
    assert count_saturated(PIXELS, [1e300, -1e300, 255.875, 256.0]) == 3
    assert encode_input(CANONICAL, Reals((1e300, -1e300, 255.875, 256.0))) == pack_int16([2047, -2048, 2047, 2047])


def test_canonical_output_is_dequantised() -> None:
    decoded = decode_output(CANONICAL, pack_int16([-8, 2047]))
    assert decoded.integers == (-8, 2047)
    assert decoded.real == (-0.5, 127.9375)
    with pytest.raises(InputRejected, match="2 elements"):
        decode_output(CANONICAL, pack_int16([1, 2, 3]))
    with pytest.raises(MalformedInput):
        decode_output(CANONICAL, b"\0")


MIXED = opaque(TensorShape("x", "float", ("batch", 2)), TensorShape("mask", "bool", ("batch",)), TensorShape("who", "string", (1,)))
GOOD = {
    "x": WantedTensor((2, 2), (1, 2.5, -0.0, 4)),
    "mask": WantedTensor((2,), (True, False)),
    "who": WantedTensor((1,), ("alicé",)),
}


def test_typed_tensors_go_in_the_models_order_and_come_back() -> None:
    data = encode_input(MIXED, Tensors(dict(reversed(GOOD.items()))))
    x, mask, who = map(to_numpy, decode_tensors(data))
    assert x.tolist() == [[1.0, 2.5], [-0.0, 4.0]]
    assert mask.tolist() == [True, False]
    assert who.tolist() == ["alicé"]
    decoded = decode_output(MIXED, data)
    assert decoded.tensors is not None
    assert [t.values for t in decoded.tensors] == [(1.0, 2.5, -0.0, 4.0), (True, False), ("alicé",)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"x": WantedTensor((2, 2), (1, 2, 3))}, "4 elements"),
        ({"x": WantedTensor((2, 3), (1, 2, 3, 4, 5, 6))}, "shape"),
        ({"x": WantedTensor((4,), (1, 2, 3, 4))}, "rank"),
        ({"x": WantedTensor((3, 2), (1, 2, 3, 4, 5, 6))}, "mask"),
        ({"x": WantedTensor((2, 2), (1, 2, 3, 1e39))}, "too large"),
        ({"x": WantedTensor((2, 2), (1, 2, 3, 10**400))}, "too large"),
        ({"x": WantedTensor((2, 2), (1, 2, 3, True))}, "element 3"),
        ({"x": WantedTensor((2, 2), (1, 2, 3, "4"))}, "element 3"),
        ({"mask": WantedTensor((2,), (1, 0))}, "element 0"),
        ({"who": WantedTensor((1,), (7,))}, "element 0"),
        ({"other": WantedTensor((1,), (7,))}, "other"),
    ],
)
def test_a_typed_input_that_is_none_is_refused_by_name(change: dict[str, WantedTensor], named: str) -> None:
    with pytest.raises(InputRejected, match=named):
        encode_input(MIXED, Tensors(GOOD | change))


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_tensor_is_named(name: str) -> None:
    with pytest.raises(InputRejected, match=name):
        encode_input(MIXED, Tensors({k: v for k, v in GOOD.items() if k != name}))


@pytest.mark.parametrize(("dtype", "value"), [("int8", 128), ("uint8", -1), ("int64", 1 << 63), ("uint64", 1 << 64), ("int32", 1.5)])
def test_an_integer_the_type_cannot_hold_is_refused(dtype: str, value: float) -> None:
    with pytest.raises(InputRejected, match="element 0"):
        encode_input(opaque(TensorShape("n", dtype, (1,))), Tensors({"n": WantedTensor((1,), (value,))}))


def test_raw_typed_bytes_are_checked_too() -> None:
    data = encode_input(MIXED, Tensors(GOOD))
    assert encode_input(MIXED, Raw(data)) == data
    with pytest.raises(InputRejected, match="encoded tensors"):
        encode_input(MIXED, Raw(data + b"\0"))
    with pytest.raises(InputRejected, match="tensors by name"):
        encode_input(MIXED, Integers((1,)))
    with pytest.raises(InputRejected, match="hex"):
        encode_input(opaque(TensorShape("b", "bfloat16", (1,))), Tensors({"b": WantedTensor((1,), (1.0,))}))
