"""Average pools are sums over windows with a constant; maximum pools are comparisons of taps, one axis after the other."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from circuits.compiler.floats import FloatTerm, Grid
from circuits.compiler.lowerings.affine import scale_and_move
from circuits.compiler.lowerings.movement import take
from circuits.compiler.lowerings.node import Node
from circuits.compiler.lowerings.windows import Window, read_windows
from circuits.compiler.terms import Reading, Result, emit
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.compiler.views import make_real, make_single
from circuits.layers.axes import Kernel
from circuits.tensors import Reals

MAX_TAPS = 64  # two operators each


def lower_average_pool(node: Node, lowering: Lowering) -> list[Value]:
    """Divided by the whole window, or by what of it is not padding (count_include_pad = 0)."""
    x, windows = _read(node)
    includes = bool(node.attributes.get("count_include_pad", 0))
    _check_filled(node, windows)
    counts = [window.count_inside(padding=includes).astype(np.float64) for window in windows]
    constant = all(np.all(count == count[0]) for count in counts)
    divisor = prod(float(count[0]) for count in counts) if constant else float(prod(w.kernel for w in windows))
    pooled = sum_windows(lowering, x, windows, 1.0 / divisor, node.name)
    if constant:
        return [pooled]
    scale: Reals = np.full((1,) * len(windows), divisor)
    for axis, count in enumerate(counts):
        scale = scale / np.maximum(count, 1.0).reshape([-1 if other == axis else 1 for other in range(len(counts))])
    return [scale_and_move(lowering, pooled, scale, np.zeros(1), node.name)]


def _read(node: Node) -> tuple[Tensor, list[Window]]:
    x = node.tensor()
    kernel = tuple(int(k) for k in node.attributes.get("kernel_shape", ()))
    if len(kernel) != len(x.shape) - 2 or not kernel:
        raise node.refuse("kernel_shape", f"{len(x.shape) - 2} numbers", list(kernel))
    return x, read_windows(node, x.shape[2:], kernel, pools=True)


def _check_filled(node: Node, windows: list[Window]) -> None:
    if any(window.count_inside(padding=False).min() == 0 for window in windows):
        raise node.refuse("has a window of padding alone", "an entry in every window")


def sum_windows(lowering: Lowering, x: Tensor, windows: list[Window], factor: float, origin: str) -> Tensor:
    """factor·Σ over windows of the last axes of the view."""
    leading = len(x.shape) - len(windows)
    for axis, window in enumerate(windows, start=leading):
        if not (window.is_plain or window.is_whole):
            x = make_single(lowering, x, axis, origin)
            x = make_real(lowering, x, axis, origin) if window.outputs > 1 else x
    source, scale = lowering.read(x, origin)
    reading, result = Reading(lowering, source), Result()
    for axis in range(leading):
        reading.direct(axis, result.add(*lowering.sizes(source, axis)))
    for axis, window in enumerate(windows, start=leading):
        if window.is_plain or not source.groups[axis]:
            reading.direct(axis, result.add(*lowering.sizes(source, axis)))
            continue
        place = result.add(window.outputs)
        if window.is_whole:
            reading.sum(axis, lowering.sizes(source, axis))
            continue
        result_axis = place[0] if place else None
        reading.map(axis, window.as_axis(Kernel.SUMMED, result_axis) if window.kernel > 1 else window.as_tap(0, result_axis))
    shape = (*x.shape[:leading], *(window.outputs for window in windows))
    return emit(lowering, result, [reading.plain(factor * scale)], origin, shape=shape)


def lower_global_average(node: Node, lowering: Lowering) -> list[Value]:
    x = node.tensor()
    windows = [whole(size) for size in x.shape[2:]]
    return [sum_windows(lowering, x, windows, 1.0 / prod(x.shape[2:]), node.name)]


def whole(size: int) -> Window:
    """A window that is the whole axis."""
    return Window(size, size, 1, 1, 0, 0, 1)


def lower_max_pool(node: Node, lowering: Lowering) -> list[Value]:
    if len(node.output_names) > 1 and node.output_names[1]:
        raise node.refuse("gives the indices of the maxima", "one output")
    x, windows = _read(node)
    _check_filled(node, windows)
    for axis, window in enumerate(windows, start=2):
        x = take_largest(node, lowering, x, axis, window)
    return [x]


def lower_global_max(node: Node, lowering: Lowering) -> list[Value]:
    x = node.tensor()
    for axis in range(2, len(x.shape)):
        x = take_largest(node, lowering, x, axis, whole(x.shape[axis]))
    return [x]


def take_largest(node: Node, lowering: Lowering, x: Tensor, axis: int, window: Window) -> Tensor:
    """The largest tap of every window along one axis of the view: max(a, b) = b + relu(a − b), exactly."""
    if window.is_plain or (not lowering.sizes(x, axis) and window.outputs == 1):
        return x
    if not lowering.sizes(x, axis):
        x = make_real(lowering, x, axis, node.name)
    affine = None if x.function is None else x.function.affine
    if affine is not None and affine[0] > 0:  # the larger of two stays the larger one
        return replace(take_largest(node, lowering, replace(x, function=None), axis, window), function=x.function)
    x = make_single(lowering, lowering.resolve(x, node.name), axis, node.name)
    if window.outputs == 1 and not window.is_padded and window.dilation == 1 and window.kernel > 3:
        return _halve(node, lowering, x, axis, window.size)
    if window.kernel > MAX_TAPS:
        raise node.refuse("compares windows", f"at most {MAX_TAPS} entries along an axis, or a whole axis", window.kernel)
    return _Taps(node, lowering, x, axis, window).run()


def _halve(node: Node, lowering: Lowering, x: Tensor, axis: int, size: int) -> Tensor:
    """A whole axis in a logarithm of steps: neighbours first, then neighbours of those; an odd last entry is its own neighbour."""
    while size > 1:
        half = (size + 1) // 2
        # Of an even number, 2p and 2p + 1; of an odd one, p and p + half − 1, which meet in the middle.
        step = (2, 1) if size % 2 == 0 else (1, size - half)
        pair = Window(size, 2, step[0], step[1], 0, 0, half)
        x = _Taps(node, lowering, x, axis, pair).run()
        size = half
    return x


class _Taps:
    """The taps of windows along one axis, compared one after the other."""

    def __init__(self, node: Node, lowering: Lowering, x: Tensor, axis: int, window: Window) -> None:
        self.node, self.lowering, self.x, self.axis, self.window = node, lowering, x, axis, window
        self.result = Result()
        self.places = [self.result.add(*lowering.sizes(x, number)) if number != axis else [] for number in range(axis)]
        self.place = self.result.add(window.outputs)
        self.places += [self.place, *(self.result.add(*lowering.sizes(x, n)) for n in range(axis + 1, len(x.shape)))]
        self.shape = (*x.shape[:axis], window.outputs, *x.shape[axis + 1 :])

    def run(self) -> Tensor:
        inside = [self._find_outside(k) for k in range(self.window.kernel)]
        order = sorted(range(self.window.kernel), key=lambda k: (int(inside[k].sum()), k))
        base, rest = order[0], order[1:]
        if inside[base].any() and not self.lowering.is_never_negative(self.x.index):
            return self._extend()
        grid = Grid(like=(self.x.index,))
        largest: Tensor | None = None
        for k in rest:
            against = self._tap(base) if largest is None else self._read_whole(largest)
            over = emit(
                self.lowering,
                self.result,
                [self._tap(k), self._negate(against)],
                self.node.name,
                bias=self._silence(inside[k]),
                shape=self.shape,
                is_rectified=True,
                grid=grid,
            )
            largest = emit(
                self.lowering, self.result, [against, self._read_whole(over)], self.node.name, shape=self.shape, grid=self._grid(largest)
            )
        if largest is None:
            return emit(self.lowering, self.result, [self._tap(base)], self.node.name, shape=self.shape, grid=grid)
        return largest

    def _grid(self, largest: Tensor | None) -> Grid:
        return Grid(like=(self.x.index if largest is None else largest.index,))

    def _find_outside(self, k: int) -> np.ndarray:
        """(outputs,) where tap k is padding."""
        indices = self.window.find_indices(k)
        return np.asarray((indices < 0) | (indices >= self.window.size))

    def _extend(self) -> Tensor:
        """Every tap is padding for some window: the ends are repeated instead, which are taps of every window that reaches beyond them."""
        window = self.window
        last = max(window.find_index(window.outputs - 1, window.kernel - 1), window.size - 1)
        if window.dilation > 1:
            raise self.node.refuse("has dilated windows without a tap that is never padding", "less padding, or a Relu before it")
        places = [min(max(q, 0), window.size - 1) for q in range(-window.before, last + 1)]
        extended = take(self.node, self.lowering, self.x, self.axis, places)
        inner = Window(len(places), window.kernel, window.stride, 1, 0, 0, window.outputs)
        return _Taps(self.node, self.lowering, extended, self.axis, inner).run()

    def _silence(self, outside: np.ndarray) -> Reals:
        """Minus infinity where the tap is padding, which must never win."""
        rank = len(self.result.shape)
        if not outside.any():
            return np.zeros((1,) * rank)
        values = np.where(outside, -np.inf, 0.0)
        return values.reshape([-1 if axis in self.place else 1 for axis in range(rank)])

    def _tap(self, k: int) -> FloatTerm:
        reading = Reading(self.lowering, self.x)
        for axis, place in enumerate(self.places):
            if axis == self.axis:
                reading.map(axis, self.window.as_tap(k, place[0] if place else None))
            else:
                reading.direct(axis, place)
        return reading.plain()

    def _read_whole(self, tensor: Tensor) -> FloatTerm:
        reading = Reading(self.lowering, tensor)
        for axis, place in enumerate(self.places):
            reading.direct(axis, place)
        return reading.plain()

    def _negate(self, term: FloatTerm) -> FloatTerm:
        return FloatTerm(term.term, -term.factor, term.weights)
