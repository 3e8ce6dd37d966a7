"""From a float layer to an integer one, given exponents: real value = integer · 2^-exponent.

With operand exponent e_x, result exponent e_y and shift s, weights and coefficients have exponent e_y + s − e_x and the
bias e_y + s, so that the accumulator shifted by s has exponent e_y. Rounding is half up, like the rescale's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, frexp, ldexp

import numpy as np

from circuits.compiler.floats import FloatTerm, Pointwise, Step, Sum, find_varying
from circuits.errors import CompileError
from circuits.layers.linear import BIAS_LIMIT, WEIGHT_LIMIT, Linear, LinearWeights, check_bound
from circuits.layers.rescale import SHIFTS
from circuits.layers.table import LENGTH
from circuits.layers.term import MAX_COEFFICIENT, Shape
from circuits.tensors import MAX_EXPONENT, Format, Integers, Reals

SILENCE_BITS = 13  # of 2^s: beyond any difference of two 12-bit numbers
COEFFICIENT_ERROR = 2.0**-11  # a coefficient rounded more coarsely than this asks for shift 24


@dataclass(frozen=True)
class Choice:
    """What calibration picks for one layer; a tensor tied to another has that one's exponent instead."""

    exponent: int
    shift: int


@dataclass(frozen=True)
class Known:
    """What is known of the tensors before a layer."""

    exponents: list[int]
    formats: list[Format]
    shapes: list[Shape]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """One operator with its numbers; a table's own number is not settled yet, so it is made of its entries."""

    exponent: int
    format: Format
    linear: Linear | None = None
    numbers: LinearWeights | None = None
    entries: Integers | None = None


def quantise_layer(layer: Step, known: Known, choice: Choice) -> IntegerLayer:
    """Raises CompileError (BoundError for the static bound), naming the layer, if its numbers do not fit."""
    exponent = find_exponent(layer, known, choice)
    if isinstance(layer, Pointwise):
        built = _quantise_table(layer, known, exponent)
    else:
        built = _quantise_sum(layer, known, Choice(exponent, choice.shift))
    if abs(exponent) > MAX_EXPONENT:
        raise CompileError(f"layer '{layer.origin[-1]}': exponent", f"within ±{MAX_EXPONENT}", exponent)
    return built


def find_format(layer: Step, known: Known) -> Format:
    """Rectified where no value can be negative."""
    if isinstance(layer, Pointwise):
        return _find_table_format(layer, known)
    if layer.is_rectified:
        return Format.RECTIFIED
    if layer.grid.like:
        formats = {known.formats[k] for k in layer.grid.like}
        return Format.RECTIFIED if formats == {Format.RECTIFIED} else Format.SIGNED
    never_negative = bool(layer.bias.min() >= 0) and all(_is_never_negative(term, known) for term in layer.terms)
    return Format.RECTIFIED if never_negative else Format.SIGNED


def _is_never_negative(term: FloatTerm, known: Known) -> bool:
    if any(known.formats[k] is not Format.RECTIFIED for k in term.operands):
        return False
    return term.factor >= 0 and (term.weights is None or bool(term.weights.min() >= 0))


def find_exponent(layer: Step, known: Known, choice: Choice) -> int:
    """The exponent a layer's grid fixes, or the chosen one."""
    if layer.grid.exponent is not None:
        return layer.grid.exponent
    if not layer.grid.like:
        return choice.exponent
    result = find_format(layer, known)
    if isinstance(layer, Sum) and len(layer.grid.like) > 1:  # a rectified operand among signed ones loses its last bit
        return min(known.exponents[k] - (known.formats[k] is Format.RECTIFIED and result is Format.SIGNED) for k in layer.grid.like)
    return min(known.exponents[k] for k in layer.grid.like)


# ---- tables -------------------------------------------------------------------------------------------------------------------------


def compute_table_values(layer: Pointwise, known: Known) -> Reals:
    """(4096,) real values of the function for every integer the operand can be."""
    operand = known.formats[layer.operand]
    return layer.function(np.ldexp(np.arange(LENGTH) - float(operand.offset), -known.exponents[layer.operand]))


def _find_table_format(layer: Pointwise, known: Known) -> Format:
    values = compute_table_values(layer, known)
    return Format.RECTIFIED if float(np.nanmin(values)) >= 0 else Format.SIGNED


def _quantise_table(layer: Pointwise, known: Known, exponent: int) -> IntegerLayer:
    """Where the function has no value (a root of a negative number) the entry is 0; infinities saturate."""
    values = compute_table_values(layer, known)
    if np.isnan(values).all():
        raise CompileError(f"layer '{layer.origin[-1]}' is a function without a value", "a number for some input")
    result = _find_table_format(layer, known)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.floor(np.ldexp(values, exponent) + 0.5)
    entries = np.clip(np.nan_to_num(rounded, nan=0.0, posinf=1e9, neginf=-1e9), result.low, result.high)
    return IntegerLayer(exponent, result, entries=entries.astype(np.int64))


# ---- sums ---------------------------------------------------------------------------------------------------------------------------


def _quantise_sum(layer: Sum, known: Known, choice: Choice) -> IntegerLayer:
    name, result = layer.origin[-1], find_format(layer, known)
    terms, arrays = [], []
    for term in layer.terms:
        moved = choice.exponent + choice.shift - sum(known.exponents[k] for k in term.operands)
        if term.weights is None:
            terms.append(replace(term.term, coefficient=_round_coefficient(name, term, moved)))
        else:
            values = _round(term.weights, moved)
            _check_limit(name, "weight", values, WEIGHT_LIMIT)
            terms.append(term.term)
            arrays.append(values.astype(np.int64))
    axis, bias = _quantise_bias(layer, choice)
    linear = Linear(layer.shape, choice.shift, result, tuple(terms), axis)
    numbers = LinearWeights(tuple(arrays), bias)
    check_bound(name, linear, numbers, known.formats, known.shapes)
    return IntegerLayer(choice.exponent, result, linear, numbers)


def _round_coefficient(name: str, term: FloatTerm, exponent: int) -> int:
    value = floor(ldexp(term.factor, exponent) + 0.5) if abs(term.factor) < 2.0**64 and exponent < 256 else MAX_COEFFICIENT
    if not 0 < abs(value) < MAX_COEFFICIENT:
        raise CompileError(f"layer '{name}': coefficient {term.factor:.6g} at exponent {exponent}", "1 … 2^23 in magnitude", value)
    return value


def _quantise_bias(layer: Sum, choice: Choice) -> tuple[int | None, Integers | None]:
    """The axis a bias runs along, and its numbers; none where all of them are zero."""
    if not layer.bias.any():
        return None, None
    varying = find_varying(layer.bias)
    axis = varying[0] if varying else len(layer.shape) - 1
    values = np.broadcast_to(layer.bias, [size if number == axis else 1 for number, size in enumerate(layer.shape)]).reshape(-1)
    silent = np.isneginf(values)
    rounded = _round(np.where(silent, 0.0, values), choice.exponent + choice.shift)
    rounded = np.where(silent, -ldexp(1.0, choice.shift + SILENCE_BITS), rounded)
    _check_limit(layer.origin[-1], "bias", rounded, BIAS_LIMIT)
    return axis, rounded.astype(np.int64)


def _round(values: Reals, exponent: int) -> Reals:
    """Half up, still float64: what is too large for an integer is refused by its size."""
    with np.errstate(over="ignore"):
        rounded: Reals = np.ldexp(values, exponent)
        rounded += 0.5
        return np.floor(rounded, out=rounded)


def _check_limit(layer: str, what: str, values: Reals, limit: int) -> None:
    largest = max(float(values.max()), -float(values.min()))
    if not largest < limit:
        raise CompileError(f"layer '{layer}': largest {what}", f"below {limit}", f"{largest:.6g}")


def choose_shift(layer: Step, known: Known, exponent: int) -> int:
    """12, or 24 where a coefficient would be rounded too coarsely, or where the model is one of integers and its weights fit."""
    if isinstance(layer, Pointwise):
        return SHIFTS[0]
    if layer.grid.rounds and _has_room(layer, known, exponent):
        return SHIFTS[1]
    for term in layer.terms:
        if term.weights is None:
            value = ldexp(abs(term.factor), exponent + SHIFTS[0] - sum(known.exponents[k] for k in term.operands))
            if value < 0.5 or abs(floor(value + 0.5) - value) > COEFFICIENT_ERROR * value:
                return SHIFTS[1]
    return SHIFTS[0]


def _has_room(layer: Sum, known: Known, exponent: int) -> bool:
    """Whether the weights of a layer fit with shift 24."""
    for term in layer.terms:
        largest = abs(term.factor) if term.weights is None else float(np.abs(term.weights).max())
        if not ldexp(largest, exponent + SHIFTS[1] - sum(known.exponents[k] for k in term.operands)) < WEIGHT_LIMIT - 1:
            return False
    return True


def compute_exponent(lowest: float, highest: float, result: Format) -> int:
    """The largest exponent with which [lowest, highest] does not saturate; 0 for a range of nothing but zero."""
    share = max(highest / (result.high + 0.5), lowest / (result.low - 0.5))
    if share <= 0:
        return 0
    _, exponent = frexp(share * (1 - 1e-9))  # where a range ends exactly at a power of two, its last bit decides nothing
    return max(-MAX_EXPONENT, min(MAX_EXPONENT, -exponent))
