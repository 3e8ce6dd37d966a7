"""Input bytes from what people write, and what output bytes say: the two encodings of docs/protocol.md, by the model's manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, ldexp

from oracle.encoding import pack_int16, unpack_int16
from oracle.errors import InputRejected
from oracle.pipeline.catalogue import DescribedModel, Payload
from oracle.pipeline.typed import DecodedTensor, WantedTensor, check_typed, decode_typed, encode_typed
from oracle.records import ModelKind


@dataclass(frozen=True, slots=True)
class Raw:
    """Input bytes as they are."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Integers:
    """Integers of a canonical model's input, row by row."""

    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reals:
    """Real numbers in the model's own units, row by row; what lies outside the input's range saturates (see docs/models.md)."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tensors:
    """Tensors of an opaque model by input name."""

    by_name: Mapping[str, WantedTensor]


WantedInput = Raw | Integers | Reals | Tensors


def encode_input(model: DescribedModel, wanted: WantedInput) -> bytes:
    """Input bytes, checked against the manifest. Raises InputRejected naming the element or field that is wrong."""
    if isinstance(wanted, Raw):
        check_input(model, wanted.data)
        return wanted.data
    if model.kind is ModelKind.OPAQUE:
        if not isinstance(wanted, Tensors):
            raise InputRejected("input", "tensors by name, or hex, for an opaque model", type(wanted).__name__.lower())
        return encode_typed(model.input, wanted.by_name)
    if isinstance(wanted, Tensors):
        raise InputRejected("input", "integers, real numbers or hex for a canonical model", "tensors")
    integers = list(wanted.values) if isinstance(wanted, Integers) else quantize(model.input, wanted.values)
    _check_integers(model.input, integers)
    return pack_int16(integers)


def check_input(model: DescribedModel, data: bytes) -> None:
    """Raises InputRejected unless `data` is an input of the model."""
    if model.kind is ModelKind.CANONICAL:
        if len(data) != 2 * model.input.size:
            raise InputRejected("input", f"{2 * model.input.size} bytes ({model.input.size} packed int16)", f"{len(data)} bytes")
        _check_integers(model.input, unpack_int16(data))
    else:
        check_typed(model.input, data)


def _check_integers(payload: Payload, integers: Sequence[int]) -> None:
    if len(integers) != payload.size:
        raise InputRejected("input", f"{payload.size} elements", f"{len(integers)} elements")
    low, high = payload.range or (-32768, 32767)
    for position, value in enumerate(integers):
        if not low <= value <= high:
            raise InputRejected(f"input element {position}", f"an integer in [{low}, {high}]", value)


def quantize(payload: Payload, values: Sequence[float]) -> list[int]:
    """q = clamp(floor(x·2^e + 1/2) − z): half up, saturating, in float64, exactly as docs/models.md says.

    Raises InputRejected for a wrong count, NaN or infinity.
    """
    if len(values) != payload.size:
        raise InputRejected("input", f"{payload.size} elements", f"{len(values)} elements")
    exponents = payload.exponents or (payload.exponent or 0,) * payload.size
    zero_points = payload.zero_points or (0,) * payload.size
    low, high = payload.range or (-32768, 32767)
    return [min(high, max(low, _round(x, e, k) - z)) for k, (x, e, z) in enumerate(zip(values, exponents, zero_points, strict=True))]


def _round(value: float, exponent: int, position: int) -> int:
    """floor(value·2^exponent + 1/2); what overflows float64 is infinite, and saturates like any other."""
    if not isfinite(value):
        raise InputRejected(f"input element {position}", "a finite number", value)
    try:
        return floor(ldexp(value, exponent) + 0.5)
    except OverflowError:
        return 1 << 64 if value > 0 else -(1 << 64)


def count_saturated(payload: Payload, values: Sequence[float]) -> int:
    """How many elements of a real input lie outside the range and were moved to its end."""
    wide = Payload(payload.encoding, payload.tensors, payload.exponent, (-(1 << 65), 1 << 65), payload.exponents, payload.zero_points)
    low, high = payload.range or (-32768, 32767)
    return sum(not low <= q <= high for q in quantize(wide, values))


@dataclass(frozen=True, slots=True)
class Decoded:
    """Output as the manifest reads it: integers and reals of a canonical model, tensors of an opaque one."""

    integers: tuple[int, ...] | None = None
    real: tuple[float, ...] | None = None
    tensors: tuple[DecodedTensor, ...] | None = None


def decode_output(model: DescribedModel, data: bytes) -> Decoded:
    """Raises MalformedInput or InputRejected where the bytes are not an output of the model."""
    if model.kind is ModelKind.OPAQUE:
        return Decoded(tensors=decode_typed(model.output, data))
    integers = unpack_int16(data)
    if len(integers) != model.output.size:
        raise InputRejected("output", f"{model.output.size} elements", f"{len(integers)} elements")
    exponent = model.output.exponent or 0
    return Decoded(integers=tuple(integers), real=tuple(ldexp(value, -exponent) for value in integers))
