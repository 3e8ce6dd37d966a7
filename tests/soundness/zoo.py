"""One small network of every kind the descriptor can say, by name."""

from __future__ import annotations

from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode, WeightsAxis
from circuits.layers.linear import Linear, make_dense
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.network import Network, make_input_identity
from circuits.tensors import Format, TensorType
from tests.soundness.networks import (
    CONTRACT,
    MERGED,
    RECTIFIED,
    SIGNED,
    direct,
    fixed,
    make_chain,
    make_network,
    merge,
    shared,
    step,
    window,
)

PARAMETERS, TENSOR = Weights.PARAMETERS, Weights.TENSOR
WEIGHTED, SUMMED, RESULT = Kernel.WEIGHTED, Kernel.SUMMED, Kernel.RESULT
D = direct


def linear(shape: tuple[int, ...], *terms: Term, shift: int = 12, form: Format = SIGNED, bias: int | None = None) -> Linear:
    return Linear(shape, shift, form, terms, bias)


def copy(operand: int, *axes: Axis, coefficient: int = 4096) -> Term:
    """At s = 12 and coefficient 4096 the element itself."""
    return Term(operand, axes, coefficient=coefficient)


def product(operand: int, axes: tuple[Axis, ...], tensor: int, *tensor_axes: WeightsAxis, coefficient: int = 1) -> Term:
    return Term(operand, axes, TENSOR, coefficient, tensor, tensor_axes)


def along(result: int) -> WeightsAxis:
    return WeightsAxis(Mode.DIRECT, result)


def against(axis: int) -> WeightsAxis:
    return WeightsAxis(Mode.CONTRACT, axis)


def beside(result: int) -> WeightsAxis:
    return WeightsAxis(Mode.SHARED, result)


def at(index: int) -> WeightsAxis:
    return WeightsAxis(Mode.FIXED, index=index)


CONV = linear((4, 5, 6), Term(0, (CONTRACT, window(1, 3, WEIGHTED, offset=-1), window(2, 3, WEIGHTED, offset=-1)), PARAMETERS), bias=0)
STRIDED = linear((3, 2, 3), Term(0, (CONTRACT, window(1, 2, WEIGHTED, 2, 3, -1), window(2, 3, WEIGHTED, 2, 2, -2)), PARAMETERS), bias=0)
DEPTHWISE = linear((4, 3, 3), Term(1, (shared(0), window(1, 3, WEIGHTED, 2, 1, -1), window(2, 2, WEIGHTED, 2)), PARAMETERS), bias=0)
POOL = linear((4, 2, 3), copy(1, D(0), window(1, 2, SUMMED, 2), window(2, 2, SUMMED, 2), coefficient=1024), form=RECTIFIED)
GLOBAL_POOL = linear((4,), copy(1, D(0), window(NO_AXIS, 5, SUMMED, 0), window(NO_AXIS, 6, SUMMED, 0), coefficient=137))
RESIDUAL = linear((4, 5, 6), copy(1, D(0), D(1), D(2), coefficient=2048), copy(0, fixed(1), D(1), D(2), coefficient=-2048))
PRODUCT = linear((4, 5, 6), product(1, (shared(0), shared(1), shared(2)), 2, beside(0), beside(1), beside(2), coefficient=4096), shift=24)
SQUARE = linear((5, 6), product(0, (shared(0), shared(1)), 0, beside(0), beside(1), coefficient=2))
SCORES = linear((5, 5), product(0, (D(0), CONTRACT), 0, along(1), against(1), coefficient=16), shift=24)
ATTENTION = linear((5, 6), product(1, (D(0), CONTRACT), 0, against(1), along(1)), form=RECTIFIED)
SPLIT = linear((10, 3), copy(1, window(0, 3, RESULT, 3, 1, 0, 1)))
HEADS = linear((3, 5), product(1, (shared(0), D(1)), 2, beside(0), coefficient=1))
REVERSE = linear((5, 3), copy(0, step(0, -1, 4), step(1, -2, 4)), copy(0, step(0, 1, -2), step(1, 3, -1), coefficient=-512))
CONCAT = linear((5, 9), copy(0, D(0), step(1)), copy(0, D(0), step(1, offset=-6)))
FREE_ONES = linear((1, 3, 2), Term(0, (CONTRACT, D(1)), PARAMETERS), copy(0, fixed(0), D(1), coefficient=7), bias=2)
ONES = linear(
    (1, 2, 1),
    copy(0, step(2), D(1), D(0)),
    copy(0, fixed(0), merge(1), MERGED, coefficient=5),
    product(0, (shared(0), CONTRACT, shared(2)), 0, beside(0), against(1), beside(2), coefficient=3),
)
MIXED = linear(
    (3, 7),
    Term(0, (shared(0), CONTRACT), PARAMETERS),
    copy(0, D(0), window(1, 3, SUMMED, -1, 2, 5), coefficient=33),
    product(0, (D(0), fixed(2)), 1, at(0), along(1), coefficient=3),
    Term(2, (D(0), fixed(1)), PARAMETERS),
    copy(0, fixed(2), fixed(0), coefficient=-99),
    bias=1,
)
SIX_AXES = linear((2, 1, 3, 1, 2, 2), copy(0, D(5), D(2), D(0), D(4), D(3), D(1)))


def dense(operand: int, shape: tuple[int, ...], outputs: int = 3, shift: int = 12, form: Format = SIGNED, positions: int = 0) -> Linear:
    return make_dense(operand, shape, outputs, shift, form, positions)


def make_zoo() -> dict[str, Network]:
    """By name."""
    return _make_dense_ones() | _make_windows() | _make_movements() | _make_products() | _make_tables()


def _make_dense_ones() -> dict[str, Network]:
    identity = make_input_identity(TensorType((5, 6), SIGNED, 0))
    return {
        "one neuron": make_chain([1, 1], [12], [SIGNED]),
        "one neuron, four deep": make_chain([1, 1, 1, 1, 1], [12, 24, 12, 24], [RECTIFIED, SIGNED, SIGNED, RECTIFIED]),
        "dense": make_chain([20, 9, 5], [12, 24], [RECTIFIED, SIGNED]),
        "13-64-32-1": make_chain([13, 64, 32, 1], [12, 24, 12], [RECTIFIED, SIGNED, RECTIFIED]),
        "rectified input": make_chain([6, 5], [12], [SIGNED], source=RECTIFIED),
        "positions": make_network((3, 20), [dense(0, (3, 20), 9, positions=1), dense(1, (3, 9), 5, 24, positions=1), dense(2, (3, 5), 4)]),
        "one operand, two readers": make_network((4,), [dense(0, (4,), 6), dense(1, (6,), 6), linear((6,), copy(1, D(0)), copy(2, D(0)))]),
        "committed input": make_network((5, 6), [identity, dense(1, (5, 6))], is_committed=True),
    }


def _make_windows() -> dict[str, Network]:
    image = (2, 5, 6)
    return {
        "conv": make_network(image, [CONV, dense(1, CONV.shape)]),
        "conv with stride and dilation": make_network(image, [STRIDED, dense(1, STRIDED.shape)]),
        "depthwise": make_network(image, [CONV, DEPTHWISE, dense(2, DEPTHWISE.shape)]),
        "pool": make_network(image, [CONV, POOL, dense(2, POOL.shape)]),
        "global pool": make_network(image, [CONV, GLOBAL_POOL]),
        "residual": make_network(image, [CONV, RESIDUAL, dense(2, RESIDUAL.shape)]),
    }


def _make_movements() -> dict[str, Network]:
    spread = linear((3, 5, 6), copy(0, D(1), D(2), coefficient=100), copy(1, D(0), coefficient=77))
    return {
        "merge and split": make_network((5, 6), [linear((30,), copy(0, merge(0), MERGED)), SPLIT]),
        "reverse and slice": make_network((5, 6), [REVERSE]),
        "nothing in reach": make_network((5, 6), [linear((4, 2), copy(0, step(0, 1, 9), step(1)), copy(0, fixed(4), step(1, 5)))]),
        "concat": make_network((5, 6), [CONCAT]),
        "broadcast": make_network((5, 6), [dense(0, (5, 6)), spread]),
        "diagonal": make_network((5, 6), [linear((5, 6), Term(0, (shared(0), shared(1)), PARAMETERS), bias=1)]),
        "axes of one entry": make_network((1, 2, 1), [ONES]),
        "free axes of one entry": make_network((4, 3), [FREE_ONES]),
        "one weight alone": make_network((5,), [linear((5,), Term(0, (D(0),), PARAMETERS))]),
        "six axes": make_network((2, 3, 2, 2, 1, 1), [SIX_AXES]),
        "no sum at all": make_network((5, 6), [linear((6,), copy(0, fixed(3), D(0)), copy(0, fixed(4), D(0), coefficient=-77))]),
        "eight terms": make_network((5, 6), [linear((5,), *(copy(0, D(0), fixed(i % 6), coefficient=512 - i) for i in range(8)))]),
    }


def _make_products() -> dict[str, Network]:
    turned = linear((3, 5), copy(0, D(1), D(0)))
    return {
        "product of tensors": make_network((2, 5, 6), [CONV, RESIDUAL, PRODUCT]),
        "square of the input": make_network((5, 6), [SQUARE]),
        "attention": make_network((5, 6), [SCORES, ATTENTION]),
        "product along an axis": make_network((5, 3), [turned, dense(1, (3, 5)), HEADS]),
        "terms of every kind": make_network((3, 5), [dense(0, (3, 5), 7, positions=1), Table(0, (3, 5), 0, RECTIFIED), MIXED]),
    }


def _make_tables() -> dict[str, Network]:
    four = [Table(0, (3, 2), 0, SIGNED), Table(1, (3, 2), 1, RECTIFIED), Table(2, (3, 2), 2, SIGNED), Table(3, (3, 2), 0, SIGNED)]
    joined = linear((3, 2), *(copy(number, D(0), D(1), coefficient=1000) for number in (1, 2, 3, 5)))
    return {
        "tables": make_network(
            (2, 5, 6), [CONV, Table(1, CONV.shape, 0, SIGNED), Table(2, CONV.shape, 1, RECTIFIED), dense(3, CONV.shape)]
        ),
        "tables on the input": make_network((5, 6), [Table(0, (5, 6), 0, SIGNED), Table(1, (5, 6), 0, SIGNED), dense(2, (5, 6))]),
        "four tables": make_network((3, 2), [*four, Table(4, (3, 2), 3, RECTIFIED), joined]),
        "a table is the output": make_network((5,), [dense(0, (5,)), Table(1, (3,), 0, RECTIFIED)]),
        "a table of one row": make_network((2,), [dense(0, (2,), 1), Table(1, (1,), 0, SIGNED)]),
    }
