"""Folding: scales and offsets into the sums beside them, sums into the sums that alone use them, Relu into the rescale.

Sums over weights are correctly rounded (math.fsum), never BLAS, so the folded numbers, and with them the model id, are
the same on every machine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import fsum, prod

import numpy as np

from circuits.compiler.floats import FREE, FloatTerm, Grid, Pointwise, Step, Sum, find_varying, has_outside, is_identity, narrow
from circuits.compiler.functions import make_clip
from circuits.compiler.maps import read_through
from circuits.compiler.values import make_copy
from circuits.errors import CompileError
from circuits.layers.axes import Axis, Kernel, Mode
from circuits.layers.linear import MAX_TERMS
from circuits.layers.term import MAX_WEIGHTS, Shape, Term, Weights
from circuits.tensors import Reals

MAX_PRODUCTS = 1 << 24  # a second or two
ONE_EXPONENT = 11


def fold_steps(steps: tuple[Step, ...], input_shape: Shape, result: int) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Layers in topological order, the last one being `result`, and one line for each thing that was folded. Raises CompileError."""
    folded: list[str] = []
    nodes: dict[int, Step] = dict(enumerate(steps, start=1))
    needed = _find_needed(nodes, result)
    nodes = {index: nodes[index] for index in needed}
    shapes = {0: input_shape} | {index: step.shape for index, step in nodes.items()}
    uses = Counter([operand for step in nodes.values() for operand in step.operands] + [result])
    for index in needed:
        step = nodes[index]
        while isinstance(step, Sum) and (merged := _merge_once(nodes, shapes, step, uses, folded)) is not None:
            step = merged
        nodes[index] = step
    return _Layers(nodes, input_shape, result, folded).build(), tuple(folded)


def _find_needed(nodes: dict[int, Step], result: int) -> list[int]:
    needed: set[int] = set()
    pending = [result]
    while pending:
        index = pending.pop()
        if index and index not in needed:
            needed.add(index)
            pending += nodes[index].operands
    return sorted(needed)


def _merge_once(nodes: dict[int, Step], shapes: dict[int, Shape], step: Sum, uses: Counter[int], folded: list[str]) -> Sum | None:
    """The step with one of its operands merged into it, or None."""
    for number, term in enumerate(step.terms):
        operand = term.term.operand
        parent = nodes.get(operand)
        if not isinstance(parent, Sum) or parent.is_rectified:
            continue
        if (through := read_through(parent, step, number, shapes)) is not None:
            _count_merge(uses, operand, parent)
            return through
        if not (parent.grid.is_free and step.grid.is_free):
            continue
        if operand == term.term.tensor and term.term.weights is Weights.TENSOR:
            continue
        is_sole = uses[operand] == 1
        merged = merge_before(parent, step, number, shapes)
        if merged is None and is_sole:
            merged = _merge_after(parent, step, number) or _merge_matrices(parent, step)
        if merged is not None:
            folded.append(f"'{parent.origin[-1]}' and '{step.origin[-1]}' into one sum")
            _count_merge(uses, operand, parent)
            return merged
    return None


def _count_merge(uses: Counter[int], operand: int, parent: Sum) -> None:
    """One reader of the parent reads what the parent reads instead."""
    uses[operand] -= 1
    for used in parent.operands if uses[operand] else ():
        uses[used] += 1


# ---- a scale and an offset before a sum ---------------------------------------------------------------------------------------------


def merge_before(parent: Sum, step: Sum, number: int, shapes: dict[int, Shape]) -> Sum | None:
    """The step with `parent`, a scale and offset element by element, folded into its term's weights; None where that is impossible."""
    if len(parent.terms) != 1 or not is_identity(parent.terms[0].term, shapes[parent.terms[0].term.operand], parent.shape):
        return None
    term, scale = step.terms[number], read_scale(parent)
    moved = _scale_operand(term, scale)
    if moved is None:
        return None
    contribution = _push_offset(term, parent.bias, parent.shape, step.shape)
    if contribution is None:
        return None
    bias = narrow(step.bias + contribution)
    if len(find_varying(bias)) > max(1, len(find_varying(step.bias))):
        return None
    moved = replace(moved, term=replace(moved.term, operand=parent.terms[0].term.operand))
    terms = (*step.terms[:number], moved, *step.terms[number + 1 :])
    return replace(step, terms=terms, bias=bias, origin=parent.origin + step.origin)


def read_scale(step: Sum) -> Reals:
    """The factors of a scale element by element, in the step's rank."""
    (term,) = step.terms
    if term.weights is None:
        return np.full((1,) * len(step.shape), term.factor)
    shared = term.term.find_axes(Mode.SHARED)
    return term.weights.reshape([size if axis in shared else 1 for axis, size in enumerate(step.shape)])


def _scale_operand(term: FloatTerm, scale: Reals) -> FloatTerm | None:
    varying = find_varying(scale)
    if term.weights is None:
        return None if varying else replace(term, factor=term.factor * float(scale.reshape(-1)[0]))
    contracted, shared = term.term.find_axes(Mode.CONTRACT), term.term.find_axes(Mode.SHARED)
    if not set(varying) <= {*contracted, *shared}:
        return None
    axes = [*contracted, *shared]
    kernels, narrowed = len(term.term.find_kernels()), narrow(scale)
    sizes = [narrowed.shape[axis] for axis in axes]
    free = term.weights.ndim - kernels - len(axes)
    values = narrowed.transpose([*axes, *(a for a in range(scale.ndim) if a not in axes)]).reshape(sizes)
    return replace(term, weights=term.weights * values.reshape([1] * kernels + sizes + [1] * free))


def _push_offset(term: FloatTerm, offset: Reals, operand: Shape, result: Shape) -> Reals | None:
    """What a constant added to the operand adds to the result, with the result's rank; None where it is not simple."""
    zero = np.zeros((1,) * len(result))
    if not offset.any():
        return zero
    varying, axes = find_varying(offset), term.term.axes
    if term.term.weights is Weights.TENSOR or has_outside(term.term, operand, result):
        return None
    if any(axes[a].mode in (Mode.AFFINE, Mode.MERGE, Mode.MERGED, Mode.FIXED) for a in varying):
        return None
    if term.weights is None:
        return _push_plain(term, narrow(offset), len(result))
    if any(axes[a].mode is Mode.DIRECT for a in varying):
        return None
    return _push_weighted(term, narrow(offset), operand, result)


def _push_plain(term: FloatTerm, offset: Reals, rank: int) -> Reals:
    order = sorted((axis.result, a) for a, axis in enumerate(term.term.axes) if axis.mode is Mode.DIRECT)
    sizes = [1] * rank
    for o, a in order:
        sizes[o] = offset.shape[a]
    rest = [a for a in range(offset.ndim) if a not in {a for _, a in order}]
    return offset.transpose([*(a for _, a in order), *rest]).reshape(sizes) * (term.factor * term.term.count_summed())


def _push_weighted(term: FloatTerm, offset: Reals, operand: Shape, result: Shape) -> Reals | None:
    assert term.weights is not None
    contracted, shared, kernels = term.term.find_axes(Mode.CONTRACT), term.term.find_axes(Mode.SHARED), term.term.find_kernels()
    axes = [*contracted, *shared]
    values = np.broadcast_to(
        offset.transpose([*axes, *(a for a in range(offset.ndim) if a not in axes)]).reshape([offset.shape[a] for a in axes]),
        [operand[a] for a in axes],
    )
    summed, kept = len(kernels) + len(contracted), term.weights.shape[len(kernels) + len(contracted) :]
    if term.weights.size > MAX_PRODUCTS:
        return None
    free = term.weights.ndim - len(kernels) - len(axes)
    products = term.weights * values.reshape([1] * len(kernels) + list(values.shape) + [1] * free)
    columns = products.reshape(prod(term.weights.shape[:summed]), -1).T
    sums = np.array([fsum(column.tolist()) for column in columns]).reshape(kept)
    names = [*(term.term.axes[a].result for a in shared), *term.term.find_free(result)]
    order = list(np.argsort(names))
    sizes = [1] * len(result)
    for o, size in zip(names, kept, strict=True):
        sizes[o] = size
    return narrow(sums.transpose(order).reshape(sizes))


# ---- a sum that one other sum alone uses, element by element ------------------------------------------------------------------------


def _merge_after(parent: Sum, step: Sum, number: int) -> Sum | None:
    """The step with the parent's terms in place of the one that reads it."""
    term = step.terms[number]
    if not is_identity(term.term, parent.shape, step.shape) or len(step.terms) + len(parent.terms) - 1 > MAX_TERMS:
        return None
    scale = read_scale(replace(step, terms=(term,)))
    terms = [_scale_result(inner, scale, step.shape) for inner in parent.terms]
    kept = [moved for moved in terms if moved is not None]
    if len(kept) != len(terms):
        return None
    bias = narrow(step.bias + (scale * parent.bias if parent.bias.any() else 0.0))
    if len(find_varying(bias)) > max(1, len(find_varying(parent.bias)), len(find_varying(step.bias))):
        return None
    if sum(inner.weights.size for inner in kept if inner.weights is not None) > MAX_WEIGHTS:
        return None
    merged = (*step.terms[:number], *kept, *step.terms[number + 1 :])
    return replace(step, terms=merged, bias=bias, origin=step.origin + parent.origin)


def _scale_result(term: FloatTerm, scale: Reals, result: Shape) -> FloatTerm | None:
    """A term times a scale along axes of its result; None where its weights cannot hold it."""
    varying = find_varying(scale)
    if not varying:
        factor = float(scale.reshape(-1)[0])
        return replace(term, factor=term.factor * factor) if term.weights is None else replace(term, weights=term.weights * factor)
    if term.weights is None:
        return _share(term, scale, varying, result)
    shared, free = [term.term.axes[a].result for a in term.term.find_axes(Mode.SHARED)], term.term.find_free(result)
    if not set(varying) <= {*shared, *free}:
        return None
    names = [*shared, *free]
    narrowed = narrow(scale)
    values = narrowed.transpose([*names, *(o for o in range(scale.ndim) if o not in names)]).reshape([narrowed.shape[o] for o in names])
    return replace(term, weights=term.weights * values.reshape([1] * (term.weights.ndim - len(names)) + list(values.shape)))


def _share(term: FloatTerm, scale: Reals, varying: list[int], result: Shape) -> FloatTerm | None:
    """A term without weights, with the scale as parameters along axes that were read directly."""
    if term.term.weights is Weights.TENSOR or any(axis.kernel is Kernel.SUMMED for axis in term.term.axes) or term.term.find_free(result):
        return None
    places = {axis.result: a for a, axis in enumerate(term.term.axes) if axis.mode is Mode.DIRECT}
    if not set(varying) <= set(places):
        return None
    axes = tuple(Axis(Mode.SHARED, axis.result) if axis.result in varying else axis for axis in term.term.axes)
    order = sorted(varying, key=lambda o: places[o])
    values = narrow(scale).transpose([*order, *(o for o in range(scale.ndim) if o not in order)]).reshape([result[o] for o in order])
    return FloatTerm(Term(term.term.operand, axes, Weights.PARAMETERS), 1.0, values * term.factor)


# ---- two matrices -------------------------------------------------------------------------------------------------------------------


def _merge_matrices(parent: Sum, step: Sum) -> Sum | None:
    """Only where the product has no more entries than the two matrices, and is not too much work."""
    first, second = _read_matrix(parent), _read_matrix(step)
    if first is None or second is None:
        return None
    (inputs, inner), outputs = first.shape, second.shape[1]
    if outputs * inputs > inner * (outputs + inputs) or outputs * inputs * inner > MAX_PRODUCTS:
        return None
    weights = compute_product(first, second).reshape(*parent.terms[0].term.weights_shape(_contracted_shape(parent), step.shape))
    bias = step.bias + compute_product(np.broadcast_to(parent.bias, parent.shape).reshape(1, -1), second)[0]
    term = FloatTerm(parent.terms[0].term, 1.0, weights)
    return replace(step, terms=(term,), bias=bias, origin=parent.origin + step.origin)


def _contracted_shape(step: Sum) -> Shape:
    weights = step.terms[0].weights
    assert weights is not None
    return weights.shape[:-1]


def _read_matrix(step: Sum) -> Reals | None:
    """(inputs, outputs) of a step that is one matrix product without positions."""
    if len(step.terms) != 1 or len(step.shape) != 1:
        return None
    term = step.terms[0]
    if term.weights is None or any(axis.mode is not Mode.CONTRACT for axis in term.term.axes):
        return None
    return term.weights.reshape(-1, step.shape[0])


def compute_product(a: Reals, b: Reals) -> Reals:
    """Matrix product whose sums are correctly rounded: the same bits whatever the machine. Slow: refused above MAX_PRODUCTS."""
    if not a.any():
        return np.zeros((len(a), b.shape[1]))
    if a.size * b.shape[1] > MAX_PRODUCTS:
        raise CompileError("folding two matrices", f"at most {MAX_PRODUCTS} products", a.size * b.shape[1])
    columns = np.ascontiguousarray(b.T)
    return np.array([[fsum((row * column).tolist()) for column in columns] for row in a])


# ---- layers -------------------------------------------------------------------------------------------------------------------------


class _Layers:
    """Number the steps anew; a sum and the Relu or the rounding that alone uses it become one layer."""

    def __init__(self, nodes: dict[int, Step], input_shape: Shape, result: int, folded: list[str]) -> None:
        self.nodes, self.input_shape, self.result, self.folded = nodes, input_shape, result, folded
        self.layers: list[Step] = []
        self.place = {0: 0}
        self.one: int | None = None

    def build(self) -> tuple[Step, ...]:
        needed = _find_needed(self.nodes, self.result)
        self.uses = Counter([operand for index in needed for operand in self.nodes[index].operands] + [self.result])
        for index in needed:
            step = self.nodes[index]
            if isinstance(step, Pointwise):
                self._add_pointwise(index, step)
            else:
                self._append(index, self._add_sum(step))
        if not any(isinstance(layer, Sum) for layer in self.layers):  # a descriptor has at least one
            last = len(self.layers)
            self.layers.append(make_copy(last, self.layers[-1].shape, self.layers[-1].origin, grid=Grid(like=(last,))))
        return tuple(self.layers)

    def _append(self, index: int, layer: Step) -> None:
        self.layers.append(layer)
        self.place[index] = len(self.layers)

    def _find_fusible(self, step: Pointwise) -> Sum | None:
        """The layer that alone makes this step's operand, if its rescale can still be chosen."""
        place = self.place[step.operand]
        layer = self.layers[place - 1] if place else None
        is_alone = self.uses[step.operand] == 1 and isinstance(layer, Sum) and layer.grid.is_free
        return layer if is_alone and isinstance(layer, Sum) else None

    def _add_pointwise(self, index: int, step: Pointwise) -> None:
        place, layer = self.place[step.operand], self._find_fusible(step)
        if step.function.is_relu and layer is not None:
            self.layers[place - 1] = replace(layer, is_rectified=True)
            self.place[index] = place
            if not layer.is_rectified:
                self.folded.append(f"'{step.origin[-1]}' into the rescale of '{layer.origin[-1]}'")
        elif step.function.is_relu and place and getattr(self.layers[place - 1], "is_rectified", False):
            self.place[index] = place
        elif step.function.is_relu:
            origin = (step.origin[-1],)
            self._append(index, replace(make_copy(place, step.shape, origin, grid=Grid(like=(place,))), is_rectified=True))
        elif step.function.quanta is not None and layer is not None:
            self._add_quanta(index, step, layer, step.function.quanta)
        else:
            grid = Grid(exponent=0) if step.function.quanta is not None else step.grid
            self._append(index, replace(step, operand=place, grid=grid))

    def _add_quanta(self, index: int, step: Pointwise, layer: Sum, quanta: tuple[int, int]) -> None:
        """The rescale rounds to the source model's own integers; a table holds the ends of their range."""
        place = self.place[step.operand]
        is_rectified = layer.is_rectified or quanta[0] == 0
        self.layers[place - 1] = replace(layer, is_rectified=is_rectified, grid=Grid(exponent=0, rounds=True))
        self.folded.append(f"'{step.origin[-1]}' into the rescale of '{layer.origin[-1]}'")
        clip = make_clip(*map(float, quanta))
        self._append(index, Pointwise(place, step.shape, clip, step.origin, Grid(exponent=0)))

    def _add_sum(self, step: Sum) -> Sum:
        terms = tuple(term.move(self.place) for term in step.terms)
        grid = replace(step.grid, like=tuple(self.place[k] for k in step.grid.like))
        bias = narrow(step.bias)
        if len(find_varying(bias)) > 1:
            terms, bias = self._add_constant(terms, bias, step), np.zeros((1,) * len(step.shape))
        layer = replace(step, terms=terms, bias=bias, grid=grid)
        numbers = [*(term.weights for term in layer.terms if term.weights is not None), np.array([term.factor for term in layer.terms])]
        if any(not np.isfinite(values).all() for values in numbers) or np.isnan(bias).any() or np.isposinf(bias).any():
            raise CompileError(f"'{step.origin[-1]}' overflows when it is folded", "finite weights")
        return layer

    def _add_constant(self, terms: tuple[FloatTerm, ...], bias: Reals, step: Sum) -> tuple[FloatTerm, ...]:
        """A bias that varies along several axes, as weights times a tensor that is one."""
        if len(terms) == MAX_TERMS:
            raise CompileError(f"'{step.origin[-1]}' has {MAX_TERMS} terms and a bias along several axes", "one axis, or fewer terms")
        if self.one is None:
            reading = Term(0, tuple(Axis(Mode.FIXED, offset=0) for _ in self.input_shape), Weights.PARAMETERS)
            grid = Grid(exponent=ONE_EXPONENT)
            self.layers.append(Sum((1,), (FloatTerm(reading, 1.0, np.zeros(1)),), np.ones(1), ("one",), True, grid))
            self.one = len(self.layers)
        term = Term(self.one, (Axis(Mode.FIXED, offset=0),), Weights.PARAMETERS)
        return (*terms, FloatTerm(term, 1.0, np.broadcast_to(bias, step.shape).astype(np.float64)))


__all__ = ["FREE", "compute_product", "fold_steps", "merge_before"]
