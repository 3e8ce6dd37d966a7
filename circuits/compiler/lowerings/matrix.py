"""Gemm and MatMul by constants, and ai.onnx.ml.LinearRegressor."""

from __future__ import annotations

import numpy as np

from circuits.compiler.floats import Matrix
from circuits.compiler.lowerings.node import Node
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.layers.linear import MAX_WEIGHTS
from circuits.tensors import Reals


def lower_gemm(node: Node, lowering: Lowering) -> list[Value]:
    """alpha·A·B + beta·C with A computed, B and C constant."""
    x, b = node.tensor(0), node.constant(1)
    if node.attributes.get("transA", 0):
        raise node.refuse("transposes its computed operand (transA)", "transA = 0")
    if len(x.shape) != 2 or b.ndim != 2:
        raise node.refuse("operands are not matrices", "rank 2 and 2", f"rank {len(x.shape)} and {b.ndim}")
    weights = (b if node.attributes.get("transB", 0) else b.T) * node.attributes.get("alpha", 1.0)
    _check_inner(node, x, weights)
    c = node.constant(2, np.zeros(1)) * node.attributes.get("beta", 1.0)
    shape = (x.shape[0], weights.shape[0])
    try:
        bias = np.broadcast_to(c, shape)
    except ValueError as error:
        raise node.refuse("C does not broadcast to the result", list(shape), list(c.shape)) from error
    return [lowering.append(Matrix(x.index, weights, bias, (node.name,)), shape)]


def lower_matmul(node: Node, lowering: Lowering) -> list[Value]:
    """x·B with B constant, a matrix or a vector; every leading axis of x is a position."""
    x, b = node.tensor(0), node.constant(1)
    while b.ndim > 2 and b.shape[0] == 1 and len(x.shape) >= b.ndim:
        b = b[0]
    if b.ndim not in (1, 2):
        raise node.refuse("the constant is a stack of matrices", "one matrix for all positions", list(b.shape))
    weights = b.reshape(len(b), -1).T
    _check_inner(node, x, weights)
    positions = x.size // x.shape[-1]
    shape = x.shape[:-1] + b.shape[1:]
    return [lowering.append(Matrix(x.index, weights, np.broadcast_to(0.0, (positions, len(weights))), (node.name,)), shape)]


def lower_linear_regressor(node: Node, lowering: Lowering) -> list[Value]:
    """ai.onnx.ml.LinearRegressor without a post transform: one row of coefficients per target."""
    if node.attributes.get("post_transform", b"NONE") != b"NONE":
        raise node.refuse("has a post_transform", "NONE")
    x = node.tensor()
    weights, bias = read_linear_attributes(node, x, int(node.attributes.get("targets", 1)))
    return [lowering.append(Matrix(x.index, weights, bias, (node.name,)), (1, len(weights)))]


def read_linear_attributes(node: Node, x: Tensor, rows: int) -> tuple[Reals, Reals]:
    """coefficients as (rows, features), intercepts as (1, rows); absent intercepts are zeros."""
    coefficients = np.array(node.attributes.get("coefficients", []), np.float64)
    intercepts = np.array(node.attributes.get("intercepts", [0.0] * max(rows, 0)), np.float64)
    if rows < 1 or len(coefficients) != rows * x.size or len(intercepts) != rows:
        raise node.refuse("coefficients and intercepts", f"{rows}·{x.size} and {rows}", f"{len(coefficients)} and {len(intercepts)}")
    if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
        raise node.refuse("coefficients hold NaN or infinity", "finite numbers")
    return coefficients.reshape(rows, x.size), intercepts.reshape(1, rows)


def _check_inner(node: Node, x: Tensor, weights: Reals) -> None:
    if not x.shape or x.shape[-1] != weights.shape[1]:
        raise node.refuse("inner dimensions differ", x.shape[-1] if x.shape else "an axis", weights.shape[1])
    if weights.size > MAX_WEIGHTS or 0 in weights.shape:
        raise node.refuse("number of weights", f"1 to {MAX_WEIGHTS}", weights.size)
