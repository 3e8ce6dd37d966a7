"""Folding: consecutive affine steps become one matrix, and a Relu behind a matrix becomes part of its rescale.

Everything is computed in float64 with correctly rounded sums (math.fsum), never with BLAS, so the folded numbers, and
with them the model id, are the same on every machine.
"""

from __future__ import annotations

from collections import Counter
from math import fsum

import numpy as np

from circuits.compiler.floats import Affine, FloatLayer, Matrix, Rectify, Step
from circuits.errors import CompileError
from circuits.layers.linear import MAX_WEIGHTS
from circuits.tensors import Reals

MAX_PRODUCTS = 1 << 24  # a second or two


def fold_steps(steps: tuple[Step, ...], result: int) -> tuple[tuple[FloatLayer, ...], tuple[str, ...]]:
    """Layers in topological order, the last one being `result`, and one line for each thing that was folded. Raises CompileError."""
    folded: list[str] = []
    nodes: dict[int, Step] = dict(enumerate(steps, start=1))
    uses = Counter([step.operand for step in steps] + [result])
    for index in sorted(nodes):
        nodes[index] = _merge(nodes, index, uses, folded)
    layers = _build_layers(nodes, result, folded)
    if not layers:
        raise CompileError("the model computes nothing that needs a layer", "at least one Gemm, MatMul, affine step or Relu")
    return layers, tuple(folded)


def _merge(nodes: dict[int, Step], index: int, uses: Counter[int], folded: list[str]) -> Step:
    """The step at `index` with as many of its predecessors as possible merged into it."""
    step = nodes[index]
    while (parent := nodes.get(step.operand)) is not None:
        is_sole = uses[step.operand] == 1
        merged = _merge_pair(parent, step, is_sole)
        if merged is None:
            break
        folded.append(f"'{parent.origin[-1]}' and '{step.origin[-1]}' into one {type(merged).__name__.lower()} step")
        uses[step.operand] -= 1
        if not is_sole and merged.operand:
            uses[merged.operand] += 1
        step = merged
    return step


def _merge_pair(parent: Step, step: Step, is_sole: bool) -> Step | None:
    """One step that does both, or None where that is impossible or not worth it."""
    match parent, step:
        case Rectify(), Rectify():
            return parent
        case Affine(), Affine():
            offset = step.scale * parent.offset + step.offset
            return Affine(parent.operand, step.scale * parent.scale, offset, parent.origin + step.origin)
        case Affine(), Matrix():
            return merge_affine_before(parent, step)
        case Matrix(), Affine() if is_sole:
            return _merge_affine_after(parent, step)
        case Matrix(), Matrix() if is_sole:
            return _merge_matrices(parent, step)
        case _:
            return None


def merge_affine_before(first: Affine, second: Matrix) -> Matrix:
    """second(first(x)) as one matrix."""
    if not _has_equal_rows(first.scale.reshape(second.positions, -1)):
        second = _expand(second)
    scale = first.scale.reshape(second.positions, -1)[0]
    moved = compute_product(first.offset.reshape(second.positions, -1), second.weights.T)
    return Matrix(first.operand, second.weights * scale, second.bias + moved, first.origin + second.origin)


def _merge_affine_after(first: Matrix, second: Affine) -> Matrix:
    if not _has_equal_rows(second.scale.reshape(first.positions, -1)):
        first = _expand(first)
    scale = second.scale.reshape(first.positions, -1)
    bias = scale * first.bias + second.offset.reshape(first.bias.shape)
    return Matrix(first.operand, first.weights * scale[0][:, None], bias, second.origin + first.origin)


def _merge_matrices(first: Matrix, second: Matrix) -> Matrix | None:
    """Only where the product has no more entries than the two matrices, and is not too much work."""
    outputs, inner, inputs = len(second.weights), first.weights.shape[0], first.weights.shape[1]
    if first.positions != second.positions or second.weights.shape[1] != inner:
        return None
    if outputs * inputs > inner * (outputs + inputs) or outputs * inputs * inner > MAX_PRODUCTS:
        return None
    bias = second.bias + compute_product(first.bias, second.weights.T)
    return Matrix(first.operand, compute_product(second.weights, first.weights), bias, first.origin + second.origin)


def compute_product(a: Reals, b: Reals) -> Reals:
    """Matrix product whose sums are correctly rounded: the same bits whatever the machine. Slow: refused above MAX_PRODUCTS."""
    if not a.any():
        return np.zeros((len(a), b.shape[1]))
    if len(a) > 1 and _has_equal_rows(a):
        return np.broadcast_to(compute_product(a[:1], b), (len(a), b.shape[1]))
    if a.size * b.shape[1] > MAX_PRODUCTS:
        raise CompileError("folding affine steps that differ by position", f"at most {MAX_PRODUCTS} products", a.size * b.shape[1])
    columns = np.ascontiguousarray(b.T)
    return np.array([[fsum((row * column).tolist()) for column in columns] for row in a])


def _has_equal_rows(rows: Reals) -> bool:
    return bool(np.all(rows == rows[0]))


def _expand(matrix: Matrix) -> Matrix:
    """The same map with all positions written out: block-diagonal weights, one position."""
    if matrix.positions == 1:
        return matrix
    if matrix.positions**2 * matrix.weights.size > MAX_WEIGHTS:
        raise CompileError(f"'{matrix.origin[-1]}' has numbers that differ by position", f"at most {MAX_WEIGHTS} weights when written out")
    weights = np.kron(np.eye(matrix.positions), matrix.weights).astype(np.float64)
    return Matrix(matrix.operand, weights, matrix.bias.reshape(1, -1), matrix.origin)


def _build_layers(nodes: dict[int, Step], result: int, folded: list[str]) -> tuple[FloatLayer, ...]:
    """Number the needed steps anew; a matrix and the Relu that alone uses it become one layer."""
    needed = _find_needed(nodes, result)
    uses = Counter([nodes[i].operand for i in needed] + [result])
    layers: list[FloatLayer] = []
    place = {0: 0}
    for index in needed:
        step = nodes[index]
        parent = nodes.get(step.operand)
        if isinstance(step, Rectify) and isinstance(parent, (Matrix, Affine)) and uses[step.operand] == 1:
            layers[place[step.operand] - 1] = _rectify(layers[place[step.operand] - 1])
            folded.append(f"Relu '{step.origin[-1]}' into the rescale of '{parent.origin[-1]}'")
            place[index] = place[step.operand]
            continue
        layers.append(_build_layer(step, place[step.operand]))
        place[index] = len(layers)
    return tuple(layers)


def _find_needed(nodes: dict[int, Step], result: int) -> list[int]:
    needed: set[int] = set()
    pending = [result]
    while pending:
        index = pending.pop()
        if index and index not in needed:
            needed.add(index)
            pending.append(nodes[index].operand)
    return sorted(needed)


def _rectify(layer: FloatLayer) -> FloatLayer:
    return FloatLayer(layer.name, layer.operand, layer.positions, layer.weights, layer.bias, True)


def _build_layer(step: Step, operand: int) -> FloatLayer:
    matrix = _to_matrix(step)
    if not _has_equal_rows(matrix.bias):
        matrix = _expand(matrix)
    if not (np.isfinite(matrix.weights).all() and np.isfinite(matrix.bias).all()):
        raise CompileError(f"'{step.origin[-1]}' overflows when it is folded", "finite weights")
    return FloatLayer(step.origin[-1], operand, matrix.positions, matrix.weights, matrix.bias[0], isinstance(step, Rectify))


def _to_matrix(step: Step) -> Matrix:
    """A step that stands alone as a matrix: one number per element where they are all the same, a diagonal otherwise."""
    if isinstance(step, Matrix):
        return step
    if isinstance(step, Rectify):
        return Matrix(step.operand, np.ones((1, 1)), np.zeros((step.size, 1)), step.origin)
    if np.all(step.scale == step.scale[0]):
        return Matrix(step.operand, step.scale[:1].reshape(1, 1), step.offset.reshape(-1, 1), step.origin)
    if step.size**2 > MAX_WEIGHTS:
        raise CompileError(f"'{step.origin[-1]}' scales {step.size} elements and no matrix is near", f"at most {MAX_WEIGHTS} weights")
    return Matrix(step.operand, np.diag(step.scale), step.offset.reshape(1, -1), step.origin)
