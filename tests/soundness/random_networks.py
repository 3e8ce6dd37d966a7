"""Random networks: directed acyclic graphs of random terms and tables, as wild as the descriptor's rules allow.

Every choice is made by a `random.Random`, so hypothesis can choose (and shrink) as well as a seed can.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

import numpy as np

from circuits.errors import BoundError
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode, WeightsAxis
from circuits.layers.linear import Linear, LinearWeights, check_bound
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.network import Network, Operator, make_input_identity
from circuits.tensors import Format, TensorType
from tests.soundness.networks import make_network

Shape = tuple[int, ...]
FORMATS = (Format.RECTIFIED, Format.SIGNED)


def draw_network(rng: Random, has_tables: bool = True) -> Network:
    """One to five operators; all results are used, the unused ones by being added up at the end."""
    source = TensorType(draw_shape(rng), rng.choice(FORMATS), 0)
    is_committed = rng.random() < 0.15
    graph = Graph(rng, [source.shape], [source.format])
    if is_committed:
        graph.add(make_input_identity(source))
        graph.readable = [1]
    for _ in range(rng.randint(1, 4)):
        can_look = has_tables and any(isinstance(op, Linear) for op in graph.operators) and rng.random() < 0.3
        graph.add(graph.draw_table() if can_look else graph.draw_linear())
    graph.join()
    return make_network(source.shape, graph.operators, source.format, is_committed)


def draw_shape(rng: Random) -> Shape:
    return tuple(rng.choice((1, 2, 3, 4, 5)) for _ in range(rng.choice((1, 1, 2, 2, 3, 4))))


@dataclass
class Graph:
    """A network under construction; `readable` are the ids that operators may read."""

    rng: Random
    shapes: list[Shape]
    formats: list[Format]
    operators: list[Operator] = field(default_factory=list)
    readable: list[int] = field(default_factory=lambda: [0])
    table_formats: list[Format] = field(default_factory=list)

    def add(self, operator: Operator) -> None:
        self.operators.append(operator)
        self.shapes.append(operator.shape)
        self.formats.append(operator.format)
        self.readable.append(len(self.operators))

    def draw_table(self) -> Table:
        operand = self.rng.choice(self.readable)
        number = self.rng.randint(0, min(len(self.table_formats), 3))
        if number == len(self.table_formats):
            self.table_formats.append(self.rng.choice(FORMATS))
        return Table(operand, self.shapes[operand], number, self.table_formats[number])

    def draw_linear(self, operands: list[int] | None = None) -> Linear:
        """Some terms; `operands` where they are given, one term each."""
        rng = self.rng
        read = operands or [rng.choice(self.readable) for _ in range(rng.choice((1, 1, 2, 3)))]
        shape = self.draw_result(read[0])
        terms = tuple(self.draw_term(operand, shape) for operand in read)
        bias = rng.choice((None, *range(len(shape))))
        return self.fit(Linear(shape, rng.choice((12, 24)), rng.choice(FORMATS), terms, bias))

    def draw_result(self, operand: int) -> Shape:
        """Some of the operand's sizes, so that axes can be read directly, and some of its own."""
        sizes = [*self.shapes[operand], 1, 2, 3, 5]
        if len(self.shapes[operand]) > 1 and self.rng.random() < 0.3:
            at = self.rng.randrange(len(self.shapes[operand]) - 1)
            sizes += [self.shapes[operand][at] * self.shapes[operand][at + 1]] * 4
        return tuple(self.rng.choice(sizes) for _ in range(self.rng.choice((1, 2, 2, 3))))

    def draw_term(self, operand: int, result: Shape) -> Term:
        weights = self.rng.choice(list(Weights))
        reader = Reader(self.rng, self.shapes[operand], result, weights)
        if weights is Weights.TENSOR:
            return self._draw_product(operand, reader, result)
        coefficient = 1 if weights is Weights.PARAMETERS else self.rng.choice((1, -1, 4096, -4096, 777, -31, 1 << 20))
        return Term(operand, reader.draw_axes(set()), weights, coefficient)

    def _draw_product(self, operand: int, reader: Reader, result: Shape) -> Term:
        """A tensor for weights: its axes are matched with the operand's first, then with result axes, then fixed."""
        rng, tensor = self.rng, self.rng.choice(self.readable)
        met: dict[int, tuple[Mode, int]] = {}  # operand axis to mode and tensor axis
        for number, size in enumerate(self.shapes[tensor]):
            options = [a for a, other in enumerate(reader.operand) if other == size and a not in met]
            if options and rng.random() < 0.6:
                met[rng.choice(options)] = rng.choice((Mode.CONTRACT, Mode.SHARED)), number
        axes = reader.draw_axes({(a, mode) for a, (mode, _) in met.items()})
        found: dict[int, WeightsAxis] = {}
        for a, (_, number) in met.items():
            if axes[a].mode is Mode.CONTRACT:
                found[number] = WeightsAxis(Mode.CONTRACT, a)
            elif axes[a].mode is Mode.SHARED:
                found[number] = WeightsAxis(Mode.SHARED, axes[a].result)
        free = [o for o in range(len(result)) if o not in reader.used]
        for number, size in enumerate(self.shapes[tensor]):
            options = [o for o in free if result[o] == size]
            if number not in found and options and rng.random() < 0.8:
                found[number] = WeightsAxis(Mode.DIRECT, options[0])
                free.remove(options[0])
            elif number not in found:
                found[number] = WeightsAxis(Mode.FIXED, index=rng.randrange(size))
        tensor_axes = tuple(found[number] for number in range(len(self.shapes[tensor])))
        return Term(operand, axes, Weights.TENSOR, rng.choice((1, -1, 16, 4095)), tensor, tensor_axes)

    def fit(self, operator: Linear) -> Linear:
        """Coefficients halved until weights of zero keep the static bound."""
        shapes, formats = [*self.shapes, operator.shape], [*self.formats, operator.format]
        nothing = LinearWeights(
            tuple(np.zeros(shape, dtype=np.int64) for shape in operator.list_weights_shapes(shapes)),
            None if operator.bias_axis is None else np.zeros(operator.shape[operator.bias_axis], dtype=np.int64),
        )
        while True:
            try:
                check_bound("a draw", operator, nothing, formats, shapes)
                return operator
            except BoundError:
                smaller = [replace(term, coefficient=int(term.coefficient / 2) or 1) for term in operator.terms]
                operator = replace(operator, terms=tuple(smaller)) if tuple(smaller) != operator.terms else replace(operator, shift=24)

    def join(self) -> None:
        """What nobody reads becomes the output, or is added up to it."""
        read = {number for operator in self.operators for number in operator.operands}
        unread = [number for number in range(1, len(self.operators) + 1) if number not in read]
        if 0 not in read:
            unread = [0, *unread]
        while unread != [len(self.operators)]:
            self.add(self.draw_linear(unread[:8]))
            unread = [*unread[8:], len(self.operators)]


@dataclass
class Reader:
    """Draws how an operand's axes are read; `used` are the result axes they name."""

    rng: Random
    operand: Shape
    result: Shape
    weights: Weights
    used: set[int] = field(default_factory=set)

    def draw_axes(self, met: set[tuple[int, Mode]]) -> tuple[Axis, ...]:
        """`met`: operand axes that a tensor of weights has too, with the mode they should have."""
        wanted, number = dict(met), 0
        axes: list[Axis] = []
        while number < len(self.operand):
            pair = self.merge(number) if not {number, number + 1} & set(wanted) else ()
            axes += pair or (self.draw_axis(number, wanted.get(number)),)
            number += 2 if pair else 1
        return tuple(axes)

    def merge(self, number: int) -> tuple[Axis, ...]:
        if number + 1 < len(self.operand) and self.rng.random() < 0.5:
            for o in self.find(self.operand[number] * self.operand[number + 1]):
                self.used.add(o)
                return Axis(Mode.MERGE, o), Axis(Mode.MERGED)
        return ()

    def find(self, size: int) -> list[int]:
        """Result axes of that size that nothing names yet."""
        return [o for o, other in enumerate(self.result) if other == size and o not in self.used]

    def draw_axis(self, number: int, wanted: Mode | None) -> Axis:
        size, same = self.operand[number], self.find(self.operand[number])
        if wanted is Mode.SHARED and same:
            return self.name(Axis(Mode.SHARED, same[0]))
        if wanted is Mode.CONTRACT:
            return Axis(Mode.CONTRACT)
        modes = [Mode.FIXED, Mode.AFFINE, *([Mode.DIRECT] * 3 if same else [])]
        if self.weights is Weights.PARAMETERS:
            modes += [Mode.CONTRACT, Mode.CONTRACT, *([Mode.SHARED] if same else [])]
        mode = self.rng.choice(modes)
        if mode in (Mode.DIRECT, Mode.SHARED):
            return self.name(Axis(mode, self.rng.choice(same)))
        if mode is Mode.FIXED:
            return Axis(Mode.FIXED, offset=self.rng.randrange(size))
        return Axis(Mode.CONTRACT) if mode is Mode.CONTRACT else self.name(self.draw_affine())

    def draw_affine(self) -> Axis:
        rng = self.rng
        free = [o for o in range(len(self.result)) if o not in self.used]
        kernels = [Kernel.NONE, *([Kernel.WEIGHTED] * 2 if self.weights is Weights.PARAMETERS else [])]
        kernels += [Kernel.SUMMED] if self.weights is not Weights.PARAMETERS else []
        kernel = rng.choice([*kernels, *([Kernel.RESULT] if free else [])])
        taken = rng.choice(free) if kernel is Kernel.RESULT else NO_AXIS
        result = rng.choice([NO_AXIS, *(o for o in free if o != taken)])
        size = {Kernel.NONE: 1, Kernel.RESULT: self.result[taken] if taken != NO_AXIS else 0}.get(kernel, rng.randint(1, 4))
        stride = 0 if result == NO_AXIS else rng.choice((1, 1, 2, 3, 0, -1, -2))
        dilation = 0 if kernel is Kernel.NONE else rng.choice((1, 1, 2, 0, -1))
        return Axis(Mode.AFFINE, result, kernel, taken, size, stride, dilation, rng.randint(-3, 4))

    def name(self, axis: Axis) -> Axis:
        self.used.update(axis.list_results())
        return axis
