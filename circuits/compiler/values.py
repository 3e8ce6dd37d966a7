"""What a name in the ONNX graph stands for while it is lowered: a constant, a float tensor, or something the caller computes.

A tensor is a *view* of a step: each of its axes is a list of axes of the step (none for an axis of one entry), so
transposing, flattening and squeezing move nothing. A function of every element waits on the view until somebody needs
its values: then it becomes a step, or is absorbed by the consumer's weights, or has meanwhile grown into a longer function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from circuits.compiler.floats import FREE, FloatTerm, Grid, Pointwise, Step, Sum
from circuits.compiler.functions import Function, compose
from circuits.compiler.source import Constant
from circuits.errors import CompileError
from circuits.layers.axes import Axis, Mode
from circuits.layers.term import Shape, Term
from circuits.tensors import MAX_ELEMENTS, MAX_RANK, Reals

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Tensor:
    """`index` of a step (0 is the input), `shape` with the batch axis written as 1, `groups` the step's axes each axis consists of."""

    index: int
    shape: tuple[int, ...]
    groups: Groups
    function: Function | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def order(self) -> tuple[int, ...]:
        """The step's axes in the order of the view."""
        return tuple(axis for group in self.groups for axis in group)


@dataclass(frozen=True)
class Left:
    """Left to the caller: a postprocess (see manifest.POSTPROCESSES) of the float tensor `core`, in a shape `like` the
    result's.

    `core_name` is the ONNX name of that tensor where it has one. `is_label` marks class labels, `is_index` those that count from
    0 in the order of the scores (a classifier's own labels need not), `classes` their names in order.
    """

    core: Tensor
    core_name: str
    postprocess: str
    like: tuple[int, ...]
    is_label: bool = False
    is_index: bool = False
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Fixed:
    """A constant."""

    array: Constant


Value = Tensor | Left | Fixed


class Lowering:
    """The float network under construction: an append-only list of steps, and the meaning of every name so far."""

    def __init__(self, input_name: str, input_shape: tuple[int, ...], has_batch: bool, constants: dict[str, Constant], opset: int) -> None:
        self.opset = opset
        self.steps: list[Step] = []
        self.shapes: list[Shape] = [input_shape[1:] if has_batch else input_shape]
        self.values: dict[str, Value] = {name: Fixed(array) for name, array in constants.items()}
        axes = range(-1, len(input_shape) - 1) if has_batch else range(len(input_shape))
        groups = tuple((axis,) if size > 1 else () for axis, size in zip(axes, input_shape, strict=True))
        self.values[input_name] = Tensor(0, input_shape, groups)
        self.integers: set[int] = set()
        """Steps whose values are integers of the source model."""
        self._resolved: dict[tuple[int, Function], int] = {}

    def append(self, step: Step) -> int:
        """Add a step; its index. Raises CompileError above the caps on elements and rank."""
        if prod(step.shape) > MAX_ELEMENTS:
            raise CompileError(f"'{step.origin[-1]}' gives {prod(step.shape)} elements", f"at most {MAX_ELEMENTS}")
        if len(step.shape) > MAX_RANK:
            raise CompileError(f"'{step.origin[-1]}' gives a tensor of {len(step.shape)} axes above one", f"at most {MAX_RANK}")
        self.steps.append(step)
        self.shapes.append(step.shape)
        return len(self.steps)

    def sizes(self, tensor: Tensor, axis: int) -> tuple[int, ...]:
        """Of the step's axes that an axis of the view consists of."""
        return tuple(self.shapes[tensor.index][a] for a in tensor.groups[axis])

    def apply(self, tensor: Tensor, function: Function, origin: str) -> Tensor:
        """A function of every element, waiting."""
        if tensor.function is not None and tensor.function.is_barrier:
            if function.is_relu and tensor.function.is_relu:
                return tensor
            tensor = self.resolve(tensor, origin)
        return replace(tensor, function=replace(compose(function, tensor.function), origin=origin))

    def resolve(self, tensor: Tensor, origin: str) -> Tensor:
        """The same view with nothing waiting: what waits becomes a step, once."""
        if tensor.function is None:
            return tensor
        key = (tensor.index, tensor.function)
        if key not in self._resolved:
            self._resolved[key] = self.append(self._make_step(tensor, tensor.function, tensor.function.origin or origin))
        return replace(tensor, index=self._resolved[key], function=None)

    def _make_step(self, tensor: Tensor, function: Function, origin: str) -> Step:
        shape = self.shapes[tensor.index]
        if function.affine is None:
            return Pointwise(tensor.index, shape, function, (origin,))
        scale, offset = function.affine
        return make_copy(tensor.index, shape, (origin,), scale, np.full((1,) * len(shape), offset))

    def lift(self, tensor: Tensor, origin: str) -> tuple[Tensor, Function | None]:
        """For a consumer that only moves elements: what waits goes on waiting behind it, unless a rescale does it by itself."""
        if tensor.function is None or tensor.function.is_barrier:
            return self.resolve(tensor, origin), None
        return replace(tensor, function=None), tensor.function

    def is_never_negative(self, index: int) -> bool:
        """Whether a step gives no negative number, whatever its operands."""
        if not index:
            return False
        step = self.steps[index - 1]
        if isinstance(step, Pointwise):
            return step.function.is_relu
        if step.is_rectified:
            return True
        is_sum = bool(step.bias.min() >= 0) and all(term.weights is None and term.factor > 0 for term in step.terms)
        return is_sum and all(self.is_never_negative(k) for k in step.operands)

    def is_integer(self, tensor: Tensor) -> bool:
        """Whether the view's values are integers of the source model, so that casting them loses nothing."""
        function = tensor.function
        is_whole = function is None or (function.affine is not None and all(v == int(v) for v in function.affine))
        return tensor.index in self.integers and is_whole

    def read(self, tensor: Tensor, origin: str) -> tuple[Tensor, float]:
        """For a consumer that multiplies anyway: a waiting scale is handed out instead of becoming a step."""
        affine = None if tensor.function is None else tensor.function.affine
        if affine is not None and affine[0] != 0.0 and affine[1] == 0.0:
            return replace(tensor, function=None), affine[0]
        return self.resolve(tensor, origin), 1.0


def make_copy(
    operand: int, shape: Shape, origin: tuple[str, ...], factor: float = 1.0, bias: Reals | None = None, grid: Grid = FREE
) -> Sum:
    """factor·x + bias, every element in its place."""
    term = Term(operand, tuple(Axis(Mode.DIRECT, number) for number in range(len(shape))))
    return Sum(shape, (FloatTerm(term, factor),), np.zeros((1,) * len(shape)) if bias is None else bias, origin, grid=grid)


def find_common(a: Tensor, b: Tensor, steps: list[Step]) -> tuple[Tensor, Function | None, Function | None] | None:
    """The tensor that both are functions of, element by element, and the two functions; None if there is none."""
    if a.shape != b.shape:
        return None
    for first in _climb(a, steps):
        for second in _climb(b, steps):
            if (first.index, first.groups) == (second.index, second.groups):
                return replace(first, function=None), first.function, second.function
    return None


def _climb(tensor: Tensor, steps: list[Step]) -> list[Tensor]:
    """The tensor as a function of ever earlier steps."""
    found = [tensor]
    while found[-1].index and isinstance(step := steps[found[-1].index - 1], Pointwise):
        last = found[-1]
        function = step.function if last.function is None else compose(last.function, step.function)
        found.append(replace(last, index=step.operand, function=function))
    return found
