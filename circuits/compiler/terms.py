"""Writing a term: which axis of the operand is read how, and weights in the order the term asks for.

Weights come with a label for each of their axes: ("kernel", a) and ("axis", a) for a kernel of, or a contracted or shared,
axis a of the operand's step; ("result", o) for a result axis that no axis of the operand names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from circuits.compiler.floats import FREE, FloatTerm, Grid, Sum
from circuits.compiler.values import Lowering, Tensor
from circuits.compiler.views import ABSENT, identity_groups, make_shape
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode, WeightsAxis
from circuits.layers.term import Shape, Term, Weights
from circuits.tensors import Reals

Label = tuple[str, int]


@dataclass
class Result:
    """The axes of a result: sizes behind each axis of its view, and where they stand in the step."""

    sizes: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, *sizes: int) -> list[int]:
        """One more axis of the view, of these sizes (those of one are dropped); the step's axes it consists of."""
        start = sum(map(len, self.sizes))
        self.sizes.append(tuple(size for size in sizes if size > 1))
        return list(range(start, start + len(self.sizes[-1])))

    @property
    def shape(self) -> Shape:
        return make_shape(self.sizes)


class Reading:
    """How a term reads one operand: axis by axis of its step, FIXED where nothing is said."""

    def __init__(self, lowering: Lowering, tensor: Tensor) -> None:
        self.tensor = tensor
        self.axes: list[Axis] = [ABSENT] * len(lowering.shapes[tensor.index])

    def direct(self, axis: int, result: list[int]) -> None:
        """An axis of the view at the same place as these result axes."""
        for a, o in zip(self.tensor.groups[axis], result, strict=True):
            self.axes[a] = Axis(Mode.DIRECT, o)

    def shared(self, axis: int, result: list[int]) -> list[Label]:
        for a, o in zip(self.tensor.groups[axis], result, strict=True):
            self.axes[a] = Axis(Mode.SHARED, o)
        return [("axis", a) for a in self.tensor.groups[axis]]

    def contract(self, axis: int) -> list[Label]:
        for a in self.tensor.groups[axis]:
            self.axes[a] = Axis(Mode.CONTRACT)
        return [("axis", a) for a in self.tensor.groups[axis]]

    def sum(self, axis: int, sizes: tuple[int, ...]) -> None:
        """Everything along an axis of the view, with weight 1."""
        for a, size in zip(self.tensor.groups[axis], sizes, strict=True):
            self.axes[a] = Axis(Mode.AFFINE, NO_AXIS, Kernel.SUMMED, NO_AXIS, size, 0, 1, 0)

    def map(self, axis: int, how: Axis) -> list[Label]:
        """An axis of the view that is one axis of the step, read by an index map."""
        (a,) = self.tensor.groups[axis]
        self.axes[a] = how
        return [("kernel", a)]

    def plain(self, factor: float = 1.0) -> FloatTerm:
        return FloatTerm(Term(self.tensor.index, tuple(self.axes)), factor)

    def weighted(self, values: Reals, labels: list[Label], result: Shape) -> FloatTerm:
        """A term with parameters; values has one axis a label."""
        term = Term(self.tensor.index, tuple(self.axes), Weights.PARAMETERS)
        summed = [*term.find_axes(Mode.CONTRACT), *term.find_axes(Mode.SHARED)]
        wanted: list[Label] = [("kernel", a) for a in term.find_kernels()]
        wanted += [("axis", a) for a in summed]
        wanted += [("result", o) for o in term.find_free(result)]
        if not wanted:
            return self.plain(float(values))
        missing = [label for label in wanted if label not in labels]  # the one axis of a result that has none
        values = np.asarray(values, np.float64).reshape([*values.shape, *[1] * len(missing)])
        order = [[*labels, *missing].index(label) for label in wanted]
        return FloatTerm(term, 1.0, np.ascontiguousarray(values.transpose(order)))

    def against(self, other: Tensor, tensor_axes: list[WeightsAxis], factor: float) -> FloatTerm:
        """A term whose weights are another tensor."""
        term = Term(self.tensor.index, tuple(self.axes), Weights.TENSOR, 1, other.index, tuple(tensor_axes))
        return FloatTerm(term, factor)


def emit(
    lowering: Lowering,
    result: Result,
    terms: list[FloatTerm],
    origin: str,
    *,
    bias: Reals | None = None,
    shape: tuple[int, ...] | None = None,
    is_rectified: bool = False,
    grid: Grid = FREE,
) -> Tensor:
    """Append a sum; its view, of one axis for each that was added (or in `shape`, which differs by axes of one)."""
    step = result.shape
    zero = np.zeros((1,) * len(step))
    index = lowering.append(Sum(step, tuple(terms), zero if bias is None else bias, (origin,), is_rectified, grid))
    groups = identity_groups(result.sizes)
    sizes = tuple(int(np.prod(group)) for group in result.sizes)
    view = Tensor(index, sizes, groups)
    return view if shape is None else reshape_ones(view, shape)


def reshape_ones(view: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The view in a shape that differs by axes of one."""
    groups = iter(group for group, size in zip(view.groups, view.shape, strict=True) if size > 1)
    return Tensor(view.index, shape, tuple(next(groups) if size > 1 else () for size in shape), view.function)
