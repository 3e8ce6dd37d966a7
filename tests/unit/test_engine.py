"""The engine: the same tests on the kernel and on its plain-Python twin, and both against independent arithmetic, bit for bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.optimized_bls12_381 import FQ, G1, b, multiply, neg, normalize
from py_ecc.optimized_bls12_381 import add as add_points

from circuits import twin
from circuits.field import MODULUS, evaluate_polynomial

ROOT = Path(__file__).parents[2]
IS_BUILT = find_spec("affidavit_kernel") is not None
NEEDS_KERNEL = pytest.mark.skipif(not IS_BUILT, reason="the kernel is not built: no Rust toolchain when scripts/bootstrap ran")
ENGINES = [pytest.param("circuits.twin", id="twin"), pytest.param("affidavit_kernel", id="kernel", marks=NEEDS_KERNEL)]
P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
INT64 = np.iinfo(np.int64)
EDGES = [0, 1, 2, MODULUS - 1, MODULUS // 2, 1 << 64, (1 << 64) - 1, 1 << 128, 1 << 192, (1 << 254) - 1]
INTEGER_EDGES = [0, 1, -1, 4095, -4096, 4096, 8191, INT64.max, INT64.min, 1 << 31, -(1 << 31)]

scalar = st.one_of(st.sampled_from(EDGES), st.integers(0, MODULUS - 1))
integer = st.one_of(st.sampled_from(INTEGER_EDGES), st.integers(INT64.min, INT64.max))
any_integer = st.one_of(integer, st.integers(-(1 << 600), 1 << 600))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def ints(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def vector(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Made here, not by an engine."""
    limbs = [[(v >> (64 * i)) & ((1 << 64) - 1) for i in range(4)] for v in values]
    return np.array(limbs, dtype=np.uint64).reshape(-1, 4)


def scalars_of(array: np.ndarray[Any, np.dtype[np.uint64]]) -> list[int]:
    assert array.dtype == np.uint64
    assert array.flags.c_contiguous
    assert array.ndim == 2
    assert array.shape[1] == 4
    values = [sum(int(limb) << (64 * i) for i, limb in enumerate(row)) for row in array]
    assert all(v < MODULUS for v in values)
    return values


def draw(seed: int, count: int) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(MODULUS) for _ in range(count)]


def eq_at(point: Sequence[int], index: int) -> int:
    value = 1
    for j, x in enumerate(point):
        value = value * (x if index >> j & 1 else 1 - x) % MODULUS
    return value


NO_TABLE = (vector([]), ints([]), vector([]), 0)


# ---- vectors ------------------------------------------------------------------------------------------------------------------------


@given(values=st.lists(any_integer, max_size=12))
def test_scalars_of_any_size_and_sign(values: list[int]) -> None:
    for name in engines():
        module = import_module(name)
        made = module.from_scalars(values)
        assert scalars_of(made) == [v % MODULUS for v in values]
        assert module.to_scalars(made) == [v % MODULUS for v in values]


def engines() -> Iterator[str]:
    yield "circuits.twin"
    if IS_BUILT:
        yield "affidavit_kernel"


@given(values=st.lists(integer, max_size=12))
def test_integers_become_elements(values: list[int]) -> None:
    for name in engines():
        assert scalars_of(import_module(name).from_integers(ints(values))) == [v % MODULUS for v in values]


@given(a=st.lists(scalar, max_size=10), data=st.data())
def test_elementwise(a: list[int], data: st.DataObject) -> None:
    c = data.draw(st.lists(scalar, min_size=len(a), max_size=len(a)))
    n = data.draw(st.lists(integer, min_size=len(a), max_size=len(a)))
    for name in engines():
        e = import_module(name)
        assert scalars_of(e.add(vector(a), vector(c))) == [(x + y) % MODULUS for x, y in zip(a, c, strict=True)]
        assert scalars_of(e.multiply(vector(a), vector(c))) == [x * y % MODULUS for x, y in zip(a, c, strict=True)]
        assert scalars_of(e.multiply(vector(a), ints(n))) == [x * y % MODULUS for x, y in zip(a, n, strict=True)]
        assert e.dot(vector(a), vector(c)) == sum(x * y for x, y in zip(a, c, strict=True)) % MODULUS
        assert e.dot(vector(a), ints(n)) == sum(x * y for x, y in zip(a, n, strict=True)) % MODULUS


@given(a=st.lists(scalar.filter(bool), max_size=10))
def test_inverses(a: list[int]) -> None:
    for name in engines():
        assert scalars_of(import_module(name).invert_all(vector(a))) == [pow(x, -1, MODULUS) for x in a]


def test_zero_has_no_inverse(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match="zero has no inverse"):
        engine.invert_all(vector([1, 0, 2]))


@given(point=st.lists(any_integer, max_size=6), data=st.data())
def test_multilinear_extensions(point: list[int], data: st.DataObject) -> None:
    values = data.draw(st.lists(scalar, max_size=1 << len(point)))
    numbers = data.draw(st.lists(integer, max_size=1 << len(point)))
    table = [eq_at(point, i) for i in range(1 << len(point))]
    for name in engines():
        e = import_module(name)
        assert scalars_of(e.eq_table(point)) == table
        assert e.evaluate(vector(values), point) == sum(w * v for w, v in zip(table, values, strict=False)) % MODULUS
        assert e.evaluate(ints(numbers), point) == sum(w * v for w, v in zip(table, numbers, strict=False)) % MODULUS


def test_a_short_table_in_many_variables(engine: ModuleType) -> None:
    point = draw(1, 90)
    want = sum(eq_at(point, i) * v for i, v in enumerate([7, -8, 9])) % MODULUS
    assert engine.evaluate(ints([7, -8, 9]), point) == want
    assert engine.evaluate(ints([]), point) == 0


def test_a_table_that_does_not_fit(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match="values"):
        engine.evaluate(ints([1, 2, 3]), [5])


@given(constant=any_integer, columns=st.integers(1, 4), length=st.integers(0, 6), data=st.data())
def test_affine(constant: int, columns: int, length: int, data: st.DataObject) -> None:
    coefficients = data.draw(st.lists(any_integer, min_size=columns, max_size=columns))
    tables = data.draw(st.lists(st.lists(integer, min_size=length, max_size=length), min_size=columns, max_size=columns))
    want = [(constant + sum(k * t[i] for k, t in zip(coefficients, tables, strict=True))) % MODULUS for i in range(length)]
    for name in engines():
        assert scalars_of(import_module(name).affine(constant, coefficients, [ints(t) for t in tables])) == want


def test_affine_knows_its_length(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match="columns"):
        engine.affine(1, [], [])
    with pytest.raises(ValueError, match="coefficients"):
        engine.affine(1, [1, 2], [ints([1])])
    with pytest.raises(ValueError, match="columns"):
        engine.affine(1, [1, 2], [ints([1]), ints([1, 2])])


@given(shape=st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), data=st.data())
def test_contract(shape: tuple[int, int, int], data: st.DataObject) -> None:
    outer, n, inner = shape
    size = outer * n * inner
    weights = data.draw(st.lists(scalar, min_size=n, max_size=n))
    numbers = data.draw(st.lists(integer, min_size=size, max_size=size))
    values = data.draw(st.lists(scalar, min_size=size, max_size=size))
    for name in engines():
        e = import_module(name)
        for table, operand in ((numbers, ints(numbers)), (values, vector(values))):
            assert scalars_of(e.contract(operand, shape, vector(weights))) == contract(table, shape, weights)


def contract(table: Sequence[int], shape: tuple[int, int, int], weights: Sequence[int]) -> list[int]:
    outer, n, inner = shape
    return [sum(weights[k] * table[(o * n + k) * inner + i] for k in range(n)) % MODULUS for o in range(outer) for i in range(inner)]


@pytest.mark.parametrize("shape", [(1, 1500, 40), (3, 700, 1), (40, 60, 3), (2, 129, 33), (1, 5, 300), (1, 40000, 1), (1, 9000, 2)])
def test_contract_across_tiles(engine: ModuleType, shape: tuple[int, int, int]) -> None:
    """Sizes that the kernel cuts: tiles of columns, segments of rows, tasks of whole blocks."""
    generator = np.random.default_rng(7)
    numbers = generator.integers(-(1 << 23), 1 << 23, shape[0] * shape[1] * shape[2])
    numbers[::101], numbers[1::103] = INT64.min, INT64.max
    weights = draw(3, shape[1])
    assert scalars_of(engine.contract(numbers, shape, vector(weights))) == contract(numbers.tolist(), shape, weights)
    if numbers.size < 10000:
        elements = draw(4, numbers.size)
        assert scalars_of(engine.contract(vector(elements), shape, vector(weights))) == contract(elements, shape, weights)


@given(length=st.integers(0, 9), data=st.data())
def test_accumulate(length: int, data: st.DataObject) -> None:
    chunk = st.one_of(st.lists(scalar, max_size=length).map(vector), st.lists(integer, max_size=length).map(ints))
    chunks = data.draw(st.lists(chunk, max_size=5))
    coefficients = data.draw(st.lists(any_integer, min_size=len(chunks), max_size=len(chunks)))
    want = [0] * length
    for k, c in zip(coefficients, chunks, strict=True):
        for i, v in enumerate(c.tolist() if c.ndim == 1 else scalars_of(c)):
            want[i] = (want[i] + k * v) % MODULUS
    for name in engines():
        assert scalars_of(import_module(name).accumulate(coefficients, chunks, length)) == want


def test_accumulate_many_chunks(engine: ModuleType) -> None:
    generator = np.random.default_rng(8)
    chunks = [generator.integers(-4096, 4096, int(size)) for size in generator.integers(0, 71, 300)]
    coefficients = draw(5, 300)
    want = [sum(k * int(c[i]) for k, c in zip(coefficients, chunks, strict=True) if i < len(c)) % MODULUS for i in range(70)]
    assert scalars_of(engine.accumulate(coefficients, chunks, 70)) == want


def test_accumulate_cuts_nothing(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match="coefficients"):
        engine.accumulate([1], [], 3)
    with pytest.raises(ValueError, match="chunks"):
        engine.accumulate([1], [ints([1, 2, 3])], 2)
    with pytest.raises(ValueError, match="chunks"):
        engine.accumulate([1], [vector([1, 2, 3])], 2)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda e: e.to_scalars([1, 2]), TypeError),
        (lambda e: e.to_scalars(ints([1])), TypeError),
        (lambda e: e.to_scalars(np.zeros((2, 4))), TypeError),
        (lambda e: e.to_scalars(np.zeros((2, 4), dtype=">u8")), TypeError),
        (lambda e: e.to_scalars(np.zeros((2, 3), dtype=np.uint64)), ValueError),
        (lambda e: e.to_scalars(np.zeros(4, dtype=np.uint64)), ValueError),
        (lambda e: e.to_scalars(np.zeros((4, 4), dtype=np.uint64)[::2]), ValueError),
        (lambda e: e.to_scalars(np.zeros((4, 3), dtype=np.uint64).T), ValueError),
        (lambda e: e.to_scalars(vector([MODULUS])), ValueError),
        (lambda e: e.to_scalars(vector([(1 << 256) - 1])), ValueError),
        (lambda e: e.from_integers(np.zeros(3, dtype=np.int32)), TypeError),
        (lambda e: e.from_integers(np.zeros((3, 1), dtype=np.int64)), ValueError),
        (lambda e: e.from_integers(np.zeros(8, dtype=np.int64)[::2]), ValueError),
        (lambda e: e.from_integers(np.zeros((), dtype=np.int64)), ValueError),
        (lambda e: e.from_scalars([1.0]), TypeError),
        (lambda e: e.from_scalars([None]), TypeError),
        (lambda e: e.from_scalars(["1"]), TypeError),
        (lambda e: e.eq_table([0.5]), TypeError),
        (lambda e: e.add(vector([1]), vector([1, 2])), ValueError),
        (lambda e: e.add(vector([1]), ints([1])), TypeError),
        (lambda e: e.multiply(vector([1]), ints([1, 2])), ValueError),
        (lambda e: e.multiply(vector([1]), [1]), TypeError),
        (lambda e: e.dot(vector([1, 2]), ints([1])), ValueError),
        (lambda e: e.dot(vector([1, 2]), vector([1])), ValueError),
        (lambda e: e.contract(ints([1, 2]), (1, 2, 2), vector([1, 2])), ValueError),
        (lambda e: e.contract(ints([1, 2]), (1, 2, 1), vector([1])), ValueError),
        (lambda e: e.contract(ints([1, 2]), (-1, -2, 1), vector([1, 2])), ValueError),
        (lambda e: e.contract(np.zeros((1, 2), dtype=np.int64), (1, 2, 1), vector([1, 2])), ValueError),
        (lambda e: e.contract(np.zeros(2), (1, 2, 1), vector([1, 2])), TypeError),
        (lambda e: e.accumulate([], [], -1), ValueError),
        (lambda e: e.eq_table([2] * 31), ValueError),
        (lambda e: e.ZeroCheck(([ints([])] * 5, vector([]), ints([]), ints([]), 31), None, NO_TABLE, 1, 2, 3, 4, [5] * 31, 5), ValueError),
        (lambda e: e.ZeroCheck(([ints([])] * 5, vector([]), ints([]), ints([]), -1), None, NO_TABLE, 1, 2, 3, 4, [5], 5), ValueError),
        (lambda e: e.ProductCheck([(1, None, ints([]), ints([]), 31)], 31, 2), ValueError),
        (lambda e: e.ProductCheck([(1, None, ints([]), ints([]), -1)], 1, 2), ValueError),
        (lambda e: e.divide(vector([]), 1), ValueError),
        (lambda e: e.multiply_tensors([]), ValueError),
        (lambda e: e.multiply_tensors([([(1, 2)], [1], [vector([1, 2, 3])])]), ValueError),
        (lambda e: e.multiply_tensors([([(1, 2)], [1], [])]), ValueError),
        (lambda e: e.multiply_tensors([([(1, 2)], [1], [vector([1, 2])]), ([], [1], [vector([1])])]), ValueError),
        (lambda e: e.multiply_tensors([([(1, 2)] * 31, [1], [vector([1])])]), ValueError),
    ],
)
def test_what_is_refused(engine: ModuleType, call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(engine)


def test_numpy_integers_are_integers(engine: ModuleType) -> None:
    assert engine.to_scalars(engine.from_scalars([np.int64(-1), np.uint64(1 << 63), True])) == [MODULUS - 1, 1 << 63, 1]


# ---- polynomials --------------------------------------------------------------------------------------------------------------------

coordinate = scalar.map(lambda x: ((1 - x) % MODULUS, x))
pair = st.one_of(coordinate, st.tuples(any_integer, any_integer), st.sampled_from([(0, 1), (1, 0), (1, 1), (0, 0)]))


@given(count=st.integers(0, 4), terms=st.integers(1, 5), data=st.data())
@settings(deadline=None)
def test_multiply_tensors(count: int, terms: int, data: st.DataObject) -> None:
    """Few pairs to draw from, so that terms share prefixes and whole lists."""
    pool = data.draw(st.lists(pair, min_size=1, max_size=3))
    low = st.lists(st.sampled_from(pool), min_size=count, max_size=count)
    summand = st.tuples(any_integer, operands(1 << count))
    drawn = data.draw(st.lists(st.tuples(low, st.lists(summand, max_size=3)), min_size=terms, max_size=terms))
    want = [0] * (2 * (1 << count) - 1)
    for pairs, summands in drawn:
        product = [0] * (1 << count)
        for factor, chunk in summands:
            for i, v in enumerate(values_of(chunk)):
                product[i] += factor * v
        for i, v in enumerate(multiply_by_pairs(product, pairs)):
            want[i] = (want[i] + v) % MODULUS
    arguments = [(pairs, [factor for factor, _ in summands], [chunk for _, chunk in summands]) for pairs, summands in drawn]
    for name in engines():
        assert scalars_of(import_module(name).multiply_tensors(arguments)) == want


def multiply_by_pairs(polynomial: Sequence[int], pairs: Sequence[tuple[int, int]]) -> Sequence[int]:
    for j, (a, c) in enumerate(pairs):
        shifted, plain = [0] * (1 << j) + [a * x for x in polynomial], [c * x for x in polynomial] + [0] * (1 << j)
        polynomial = [(x + y) % MODULUS for x, y in zip(shifted, plain, strict=True)]
    return polynomial


def test_multiply_long_tensors(engine: ModuleType) -> None:
    """Lengths that the kernel cuts into tasks, and claims as a proof has them: at a point, in a block, sums."""
    generator = np.random.default_rng(11)
    point = [((1 - x) % MODULUS, x) for x in draw(12, 12)]
    blocks = [[*point[:7], *[(1 - i, i) for i in block]] for block in ([0, 0, 1, 0, 0], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1])]
    chunks = [generator.integers(-(1 << 22), 1 << 22, size) for size in (4096, 912, 4096, 1)]
    elements = vector(draw(13, 144))
    terms = [
        (point, [3, -4, MODULUS - 1], [chunks[0], chunks[2], elements]),
        *((block, [5], [chunks[1]]) for block in blocks),
        (blocks[0], [7], [elements]),
        ([(1, 1)] * 12, [-1], [chunks[3]]),
        ([(1, 1)] * 7 + [(1, 0)] * 5, [-1], [elements]),
    ]
    want = [0] * 8191
    for pairs, factors, summands in terms:
        product = [0] * 4096
        for factor, chunk in zip(factors, summands, strict=True):
            for i, v in enumerate(values_of(chunk)):
                product[i] += factor * v
        want = [(w + v) % MODULUS for w, v in zip(want, multiply_by_pairs(product, pairs), strict=True)]
    assert scalars_of(engine.multiply_tensors(terms)) == want


@given(polynomial=st.lists(scalar, min_size=1, max_size=9), z=any_integer)
def test_divide(polynomial: list[int], z: int) -> None:
    for name in engines():
        quotient = scalars_of(import_module(name).divide(vector(polynomial), z))
        assert len(quotient) == len(polynomial) - 1
        x = 12345
        remainder = evaluate_polynomial(polynomial, z % MODULUS)
        assert (evaluate_polynomial(quotient, x) * (x - z) + remainder - evaluate_polynomial(polynomial, x)) % MODULUS == 0


# ---- sumchecks ----------------------------------------------------------------------------------------------------------------------


def pad(values: Sequence[int], variables: int) -> list[int]:
    return [*values, *([0] * ((1 << variables) - len(values)))]


def fold(table: Sequence[int], x: int) -> list[int]:
    return [(low + x * (high - low)) % MODULUS for low, high in zip(table[0::2], table[1::2], strict=True)]


def operands(length: int) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(scalar, max_size=length).map(vector), st.lists(integer, max_size=length).map(ints))


def values_of(operand: Any) -> list[int]:
    return operand.tolist() if operand.ndim == 1 else scalars_of(operand)


@given(variables=st.integers(0, 4), degree=st.sampled_from([2, 3]), data=st.data())
@settings(deadline=None)
def test_product_check(variables: int, degree: int, data: st.DataObject) -> None:
    """Each round's polynomial, with c1 from the claim, leads from the plain sum to the product of the extensions."""
    summands = []
    for own in data.draw(st.lists(st.integers(0, variables), max_size=3)):
        eq = data.draw(st.none() | st.lists(scalar, max_size=1 << own).map(vector)) if degree == 3 else None
        summands.append((data.draw(any_integer), eq, data.draw(operands(1 << own)), data.draw(operands(1 << own)), own))
    challenges = draw(data.draw(st.integers(0, 9)), variables)
    transcripts = []
    for name in engines():
        claim = 0
        for factor, eq, a, c, own in summands:
            weights = pad(values_of(eq), own) if eq is not None else [1] * (1 << own)
            claim += factor * sum(w * x * y for w, x, y in zip(weights, pad(values_of(a), own), pad(values_of(c), own), strict=True))
        check = import_module(name).ProductCheck(summands, variables, degree)
        messages = []
        for x in challenges:
            messages.append(check.message())
            c0, rest = messages[-1][0], messages[-1][1:]
            claim = evaluate_polynomial([c0, (claim - 2 * c0 - sum(rest)) % MODULUS, *rest], x)
            check.bind(x)
        end = 0
        for (factor, eq, a, c, own), (at_a, at_c) in zip(summands, check.ends(), strict=True):
            assert at_a == twin.evaluate(a, challenges[:own])
            assert at_c == twin.evaluate(c, challenges[:own])
            weight = 1 if eq is None else twin.evaluate(eq, challenges[:own])
            end += factor * pow(pow(2, -1, MODULUS), variables - own, MODULUS) * weight * at_a * at_c
        assert (end - claim) % MODULUS == 0
        transcripts.append((messages, check.ends()))
    assert all(a == c for a, c in pairwise(transcripts))


def test_product_check_refuses(engine: ModuleType) -> None:
    one = vector([1])
    for summands, variables, degree in (
        ([(1, None, one, one, 0)], 1, 4),
        ([(1, one, one, one, 0)], 1, 2),
        ([(1, None, one, one, 2)], 1, 2),
        ([(1, None, vector([1, 2, 3]), one, 1)], 1, 2),
        ([(1, vector([1, 2, 3]), one, one, 1)], 1, 3),
    ):
        with pytest.raises(ValueError, match=r"degree|eq|variables|entries"):
            engine.ProductCheck(summands, variables, degree)
    check = engine.ProductCheck([(1, None, ints([1, 2]), ints([3]), 1)], 1, 2)
    with pytest.raises(ValueError, match="rounds"):
        check.ends()
    check.bind(5)
    with pytest.raises(ValueError, match="rounds"):
        check.message()
    with pytest.raises(ValueError, match="rounds"):
        check.bind(5)


def rows_at(column: Sequence[int], alpha: int, rho: int) -> int:
    """F_rows, straight from its definition; columns, then H, offset and active."""
    y, u, h, c = column[:4]
    *limbs, helper, offset, active = column[4:]
    denominators = [alpha + v for v in (limbs[0], u, c * h - c * c, *limbs[1:])]
    product, sums = 1, 0
    for k, d in enumerate(denominators):
        product = product * d
        others = 1
        for j, other in enumerate(denominators):
            others = others * (other if j != k else 1)
        sums += others
    half = pow(2, -1, MODULUS)
    value = y + offset - (1 - c * c) * u - 4095 * half * c * (c + 1) + rho * h * (1 - c * c) + rho**2 * (c**3 - c)
    return (value + rho**3 * (helper * product - active * sums)) % MODULUS


def lookups_at(column: Sequence[int], alpha: int, beta: int, kappa: int) -> int:
    x, y, tag, active, helper = column
    return (kappa**2 * (helper * (alpha + beta * tag + beta**2 * x + beta**3 * y) - active) + kappa**3 * (1 - active) * y) % MODULUS


def table_at(column: Sequence[int], alpha: int, kappa: int) -> int:
    entry, multiplicity, helper = column
    return kappa * (helper * (alpha + entry) - multiplicity) % MODULUS


@given(
    data=st.data(),
    limbs=st.integers(1, 2),
    row_bits=st.integers(0, 4),
    look_bits=st.none() | st.integers(0, 3),
    table_bits=st.integers(0, 4),
)
@settings(deadline=None, max_examples=60)
def test_zero_check(data: st.DataObject, limbs: int, row_bits: int, look_bits: int | None, table_bits: int) -> None:
    """g·eq sums to the claim in every round, and the last claim is F at the challenges: for any tables, true or not."""
    extra = data.draw(st.integers(0, 1))
    rounds = max(row_bits, look_bits or 0, table_bits) + extra
    degree = 4 + limbs + data.draw(st.integers(0, 1))
    alpha, beta, rho, kappa = (data.draw(scalar) for _ in range(4))
    tau, challenges = draw(data.draw(st.integers(0, 9)), rounds), draw(100, rounds)

    def column(bits: int) -> Any:
        return data.draw(st.lists(integer, max_size=1 << bits).map(ints))

    def elements(bits: int) -> Any:
        return data.draw(st.lists(scalar, max_size=1 << bits).map(vector))

    rows = (
        [data.draw(operands(1 << row_bits)) for _ in range(4 + limbs)],
        elements(row_bits),
        column(row_bits),
        column(row_bits),
        row_bits,
    )
    looks = None if look_bits is None else (*(column(look_bits) for _ in range(4)), elements(look_bits), look_bits)
    table = (elements(table_bits), column(table_bits), elements(table_bits), table_bits)
    instances: list[tuple[list[Any], int, Any]] = [
        ([*rows[0], *rows[1:4]], row_bits, lambda c: rows_at(c, alpha, rho)),
        (list(table[:3]), table_bits, lambda c: table_at(c, alpha, kappa)),
    ]
    if looks is not None:
        instances.append((list(looks[:5]), look_bits, lambda c: lookups_at(c, alpha, beta, kappa)))
    want_start = sum(
        eq_at(tau[:bits], i) * function(list(at))
        for tables, bits, function in instances
        for i, at in enumerate(zip(*(pad(values_of(t), bits) for t in tables), strict=True))
    )
    want_end = sum(function([twin.evaluate(t, challenges[:bits]) for t in tables]) for tables, bits, function in instances)
    transcripts = []
    for name in engines():
        check = import_module(name).ZeroCheck(rows, looks, table, alpha, beta, rho, kappa, tau, degree)
        claim, messages = want_start, []
        for t, x in zip(tau, challenges, strict=True):
            messages.append(check.message())
            assert len(messages[-1]) == degree
            claim = evaluate_polynomial([(claim - t * sum(messages[-1])) % MODULUS, *messages[-1]], x)
            check.bind(x)
        assert (claim - want_end) % MODULUS == 0
        with pytest.raises(ValueError, match="rounds"):
            check.message()
        with pytest.raises(ValueError, match="rounds"):
            check.bind(1)
        transcripts.append(messages)
    assert all(a == c for a, c in pairwise(transcripts))


def test_zero_check_on_many_rows() -> None:
    """More rows than one task of the kernel takes."""
    generator, source = np.random.default_rng(5), random.Random(5)
    length = 900
    columns = [generator.integers(-4096, 4096, length) for _ in range(6)]
    elements = [vector([source.randrange(MODULUS) for _ in range(length)]) for _ in range(4)]
    small = [generator.integers(-2, 3, length) for _ in range(7)]
    arguments = (
        (columns, elements[0], small[0], small[1], 10),
        (small[2], small[3], small[4], small[5], elements[1], 10),
        (elements[2], small[6], elements[3], 11),
        *draw(1, 4),
        draw(2, 12),
        6,
    )
    transcripts = []
    for name in engines():
        check = import_module(name).ZeroCheck(*arguments)
        messages = []
        for x in draw(3, 12):
            messages.append(check.message())
            check.bind(x)
        transcripts.append(messages)
    assert all(a == c for a, c in pairwise(transcripts))


def test_zero_check_refuses(engine: ModuleType) -> None:
    one, none = ints([1]), vector([])
    rows, table = ([one] * 5, none, one, one, 0), (none, one, none, 0)
    challenges = (1, 2, 3, 4)
    for bad_rows, bad_looks, bad_table, degree in (
        (([one] * 4, none, one, one, 0), None, table, 5),
        (([one] * 7, none, one, one, 0), None, table, 7),
        (([one] * 6, none, one, one, 0), None, table, 5),
        (rows, None, table, 4),
        (([one] * 5, none, one, one, 2), None, table, 5),
        (([one] * 5, none, ints([1, 2, 3]), one, 1), None, table, 5),
        (rows, (one, one, one, ints([1, 2]), none, 0), table, 5),
        (rows, (one, one, one, one, none, 2), table, 5),
        (rows, None, (vector([1, 2]), one, none, 0), 5),
        (rows, None, (none, one, none, 2), 5),
    ):
        with pytest.raises(ValueError, match=r"columns|degree|variables|entries"):
            engine.ZeroCheck(bad_rows, bad_looks, bad_table, *challenges, [7], degree)
    with pytest.raises(TypeError):
        engine.ZeroCheck(([one] * 5, one, one, one, 0), None, table, *challenges, [7], 5)


# ---- curve --------------------------------------------------------------------------------------------------------------------------

INFINITY = bytes(96)


def encode(point: Any) -> bytes:
    x, y = normalize(point)
    return int(x).to_bytes(48, "big") + int(y).to_bytes(48, "big")


def multiple(k: int) -> bytes:
    """k·G by py_ecc."""
    return encode(multiply(G1, k % MODULUS)) if k % MODULUS else INFINITY


def find_point_outside() -> Any:
    """On the curve, and not in the subgroup: nearly every point is."""
    for x in range(1, 100):
        square = (x**3 + 4) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            return FQ(x), FQ(y), FQ(1)
    raise AssertionError


MULTIPLES = [3, 1, MODULUS - 3, 5, 5, 0, 11, 1 << 200, 77]
BASIS = [multiple(k) for k in MULTIPLES]
OUTSIDE = encode(find_point_outside())


@given(values=st.lists(scalar, max_size=9))
@settings(deadline=None, max_examples=25)
def test_commit(values: list[int]) -> None:
    """The basis repeats a point, and has one with its negative, and infinity: every case of an addition occurs."""
    want = multiple(sum(k * v for k, v in zip(MULTIPLES, values, strict=False)))
    for name in engines():
        assert import_module(name).Powers(BASIS).commit(vector(values)) == want


@given(values=st.lists(st.one_of(integer, st.integers(-3, 3)), max_size=9))
@settings(deadline=None, max_examples=25)
def test_commit_integers(values: list[int]) -> None:
    want = multiple(sum(k * v for k, v in zip(MULTIPLES, values, strict=False)))
    for name in engines():
        powers = import_module(name).Powers(BASIS)
        assert powers.commit(ints(values)) == want
        assert powers.commit_many([ints(values), vector([v % MODULUS for v in values]), ints([])]) == [want, want, INFINITY]


@pytest.mark.parametrize("size", [1, 2, 64, 500, 1024])
def test_commit_on_a_long_basis(engine: ModuleType, size: int) -> None:
    """P_i = (7i + 1)·G: against one multiplication by py_ecc."""
    points, step = [G1], multiply(G1, 7)
    for _ in range(size - 1):
        points.append(add_points(points[-1], step))
    powers = engine.Powers([encode(p) for p in points])
    generator = np.random.default_rng(size)
    small = generator.integers(-2048, 2048, size)
    columns = [small, generator.integers(-(1 << 22), 1 << 22, size), np.full(size, 5), np.full(size, -4096), np.full(size, 4096)]
    columns += [np.arange(size) % 2 * 8191, ints([0] * size), np.arange(size) - size // 2]
    wants = [multiple(sum((7 * i + 1) * int(v) for i, v in enumerate(column))) for column in columns]
    assert powers.commit_many(columns) == wants
    for scalars in (draw(6, size), [MODULUS - 1] * size, [MODULUS // 2] * size, [(1 << 254) - 1] * size):
        assert powers.commit(vector(scalars)) == multiple(sum((7 * i + 1) * v for i, v in enumerate(scalars)))


def test_commit_to_points_that_meet_their_like(engine: ModuleType) -> None:
    """Whole batches of additions of which some double a point, some cancel it, and some have infinity."""
    powers = engine.Powers(BASIS * 40)
    generator = np.random.default_rng(4)
    for values in (generator.integers(-3, 4, 360), generator.integers(-(1 << 40), 1 << 40, 360)):
        want = multiple(sum(k * int(v) for k, v in zip(MULTIPLES * 40, values, strict=True)))
        assert powers.commit(values) == want
        assert powers.commit(vector([int(v) % MODULUS for v in values])) == want


def test_commit_to_repeated_scalars(engine: ModuleType) -> None:
    """Full scalars that hundreds of entries have, some fewer, and some that only end alike."""
    often, also, rare, other = draw(10, 4)
    alike = (often & ((1 << 192) - 1)) + ((often >> 192 ^ 1) << 192)
    values = [often] * 300 + [also, often, 5, alike] * 260 + [rare] * 100 + [alike, 0, other] * 50
    basis = (MULTIPLES * len(values))[: len(values)]
    powers = engine.Powers((BASIS * len(values))[: len(values)])
    assert powers.commit(vector(values)) == multiple(sum(k * v for k, v in zip(basis, values, strict=True)))
    assert powers.commit(vector([often] * 600)) == multiple(often * sum(basis[:600]))
    assert powers.commit(vector([often, MODULUS - often] * 300)) == multiple(often * (sum(basis[:600:2]) - sum(basis[1:600:2])))


def test_commit_refuses_more_values_than_points(engine: ModuleType) -> None:
    powers = engine.Powers(BASIS[:2])
    for values in (ints([1, 2, 3]), vector([1, 2, 3])):
        with pytest.raises(ValueError, match="values"):
            powers.commit(values)
        with pytest.raises(ValueError, match="values"):
            powers.commit_many([values])


@given(scalars=st.lists(any_integer, max_size=9))
@settings(deadline=None, max_examples=25)
def test_combine(scalars: list[int]) -> None:
    want = multiple(sum(k * v for k, v in zip(MULTIPLES, scalars, strict=False)))
    for name in engines():
        assert import_module(name).combine(BASIS[: len(scalars)], scalars) == want


def test_combine_many(engine: ModuleType) -> None:
    factors, scalars = [i * i % 23 for i in range(300)], draw(9, 300)
    points = [multiple(k) for k in range(23)]
    want = multiple(sum(k * s for k, s in zip(factors, scalars, strict=True)))
    assert engine.combine([points[k] for k in factors], scalars) == want
    with pytest.raises(ValueError, match="scalars"):
        engine.combine(BASIS, [1])


def flags(encoded: bytes, bits: int) -> bytes:
    return bytes([encoded[0] | bits]) + encoded[1:]


BAD_POINTS = {
    "short": BASIS[0][:-1],
    "long": BASIS[0] + b"\0",
    "empty": b"",
    "y of another": BASIS[0][:48] + BASIS[3][48:],
    "x is p": P.to_bytes(48, "big") + BASIS[0][48:],
    "x is above p": (int.from_bytes(BASIS[0][:48], "big") + P).to_bytes(48, "big") + BASIS[0][48:],
    "y is above p": BASIS[0][:48] + (int.from_bytes(BASIS[0][48:], "big") + P).to_bytes(48, "big"),
    "flag: compressed": flags(BASIS[0], 0x80),
    "flag: infinity": flags(BASIS[0], 0x40),
    "flag: sign": flags(BASIS[0], 0x20),
    "flagged infinity": flags(INFINITY, 0x40),
    "one bit of infinity": bytes(95) + b"\1",
}


@pytest.mark.parametrize("name", BAD_POINTS)
def test_one_encoding_of_a_point(engine: ModuleType, name: str) -> None:
    for call in (engine.decode_point, engine.compress_point, lambda p: engine.combine([p], [1]), lambda p: engine.Powers([BASIS[0], p])):
        with pytest.raises(ValueError, match=r"."):
            call(BAD_POINTS[name])


def test_the_subgroup_is_checked(engine: ModuleType) -> None:
    for point in (*BASIS, INFINITY):
        engine.decode_point(point)
    with pytest.raises(ValueError, match="subgroup"):
        engine.decode_point(OUTSIDE)
    assert engine.decompress_points([engine.compress_point(OUTSIDE)], False) == [OUTSIDE]
    with pytest.raises(ValueError, match=r"."):
        engine.decompress_points([engine.compress_point(OUTSIDE)], True)


def test_compressed_points(engine: ModuleType) -> None:
    """x, with 0x80 set, and 0x20 where y is above (p − 1)/2."""
    for point in (G1, neg(G1), multiply(G1, 99)):
        x, y = normalize(point)
        want = flags(int(x).to_bytes(48, "big"), 0xA0 if int(y) > (P - 1) // 2 else 0x80)
        assert engine.compress_point(encode(point)) == want
        assert engine.decompress_points([want, want], True) == [encode(point)] * 2
    assert engine.compress_point(INFINITY) == b"\xc0" + bytes(47)
    assert engine.decompress_points([b"\xc0" + bytes(47)], True) == [INFINITY]
    assert engine.decompress_points([], True) == []


COMPRESSED = flags(BASIS[0][:48], 0x80)
BAD_COMPRESSED = {
    "short": COMPRESSED[:-1],
    "long": COMPRESSED + b"\0",
    "no flag": bytes(48),
    "x is p": flags(P.to_bytes(48, "big"), 0x80),
    "x without a y": flags((1).to_bytes(48, "big"), 0x80),
    "infinity with a sign": b"\xe0" + bytes(47),
    "infinity with an x": b"\xc0" + bytes(46) + b"\1",
    "a point flagged infinity": flags(COMPRESSED, 0x40),
}


@pytest.mark.parametrize("name", BAD_COMPRESSED)
@pytest.mark.parametrize("is_checked", [False, True])
def test_one_compressed_encoding_of_a_point(engine: ModuleType, name: str, is_checked: bool) -> None:
    with pytest.raises(ValueError, match=r"."):
        engine.decompress_points([BAD_COMPRESSED[name]], is_checked)


def test_the_curve_is_the_right_one() -> None:
    assert b == FQ(4)


# ---- the chooser --------------------------------------------------------------------------------------------------------------------


def test_both_engines_have_the_same_names_and_parameters(engine: ModuleType) -> None:
    for name in set(twin.__all__) - {"Integers", "Operand", "Vector"}:
        mine, theirs = getattr(engine, name), getattr(twin, name)
        methods = ["", *(m for m in vars(theirs) if m[0] != "_")] if isinstance(theirs, type) else [""]
        for method in methods:
            pair = [getattr(place, method) if method else place for place in (mine, theirs)]
            assert list(signature(pair[0]).parameters) == list(signature(pair[1]).parameters), (name, method)


@pytest.mark.parametrize("wish", ["", "1"])
def test_which_engine_is_chosen(wish: str) -> None:
    code = "from circuits import engine; print(engine.NAME, engine.Powers.__module__)"
    environment = os.environ | {"AFFIDAVIT_TWIN": wish}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=60)
    is_kernel = IS_BUILT and not wish
    assert run.stdout.split() == (["kernel", "affidavit_kernel"] if is_kernel else ["twin", "circuits.twin.curve"])
