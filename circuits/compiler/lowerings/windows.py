"""Windows along axes: kernel sizes, strides, dilations and padding as ONNX gives them, and the index maps they are."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from circuits.compiler.lowerings.node import Node
from circuits.layers.axes import MAX_KERNEL, MAX_OFFSET, MAX_STEP, NO_AXIS, Axis, Kernel, Mode
from circuits.tensors import MAX_ELEMENTS


@dataclass(frozen=True)
class Window:
    """Along one axis of `size` entries: output p reads stride·p + dilation·k − before, for k below kernel."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int

    @property
    def is_padded(self) -> bool:
        """Whether some output reads outside the axis."""
        return self.before > 0 or (self.outputs - 1) * self.stride + (self.kernel - 1) * self.dilation - self.before >= self.size

    @property
    def is_plain(self) -> bool:
        """Whether every output reads its own index alone."""
        return (self.kernel, self.stride, self.before, self.outputs) == (1, 1, 0, self.size)

    @property
    def is_whole(self) -> bool:
        """Whether one output reads every entry, once."""
        return (self.kernel, self.outputs, self.before, self.dilation) == (self.size, 1, 0, 1)

    def find_index(self, p: int, k: int) -> int:
        return self.stride * p + self.dilation * k - self.before

    def find_indices(self, k: int) -> NDArray[np.int64]:
        """(outputs,) what tap k of each output reads."""
        return self.stride * self.positions + self.dilation * k - self.before

    @property
    def positions(self) -> NDArray[np.int64]:
        return np.arange(self.outputs, dtype=np.int64)

    def count_inside(self, *, padding: bool) -> NDArray[np.int64]:
        """(outputs,) how many taps of each lie on the axis, or on the axis and its padding."""
        low, high = (-self.before, self.size + self.after) if padding else (0, self.size)
        start = self.stride * self.positions - self.before
        first = np.maximum(-((start - low) // self.dilation), 0)  # the smallest k with start + dilation·k ≥ low
        last = np.minimum((high - 1 - start) // self.dilation, self.kernel - 1)
        counts: NDArray[np.int64] = np.maximum(last - first + 1, 0)
        return counts

    def as_axis(self, kernel: Kernel, result: int | None) -> Axis:
        """The index map of all its taps."""
        stride = 0 if result is None else self.stride
        number = NO_AXIS if result is None else result
        return Axis(Mode.AFFINE, number, kernel, NO_AXIS, self.kernel, stride, self.dilation, -self.before)

    def as_tap(self, k: int, result: int | None) -> Axis:
        """The index map of one tap."""
        if result is None and 0 <= self.find_index(0, k) < self.size:
            return Axis(Mode.FIXED, offset=self.find_index(0, k))
        stride, number = (0, NO_AXIS) if result is None else (self.stride, result)
        return Axis(Mode.AFFINE, number, Kernel.NONE, NO_AXIS, 1, stride, 0, self.dilation * k - self.before)


def read_windows(node: Node, sizes: tuple[int, ...], kernels: tuple[int, ...], *, pools: bool = False) -> list[Window]:
    """One an axis. Raises CompileError for what a descriptor cannot hold."""
    rank = len(sizes)
    strides, dilations = _read(node, "strides", rank), _read(node, "dilations", rank)
    auto = node.attributes.get("auto_pad", b"NOTSET")
    pads = [int(v) for v in node.attributes.get("pads", [0] * 2 * rank)] if auto in (b"NOTSET", b"") else [0] * 2 * rank
    if len(pads) != 2 * rank or min([*strides, *dilations, *kernels]) < 1 or min(pads, default=0) < 0:
        raise node.refuse("kernel, strides, dilations or pads", f"{rank} axes, none negative")
    ceil_mode = bool(pools and node.attributes.get("ceil_mode", 0))
    windows = []
    for axis, size in enumerate(sizes):
        kernel, stride, dilation = kernels[axis], strides[axis], dilations[axis]
        reach = dilation * (kernel - 1) + 1
        before, after = pads[axis], pads[axis + rank]
        if auto in (b"SAME_UPPER", b"SAME_LOWER"):
            total = max((ceil(size / stride) - 1) * stride + reach - size, 0)
            before = total // 2 if auto == b"SAME_UPPER" else total - total // 2
            after = total - before
        span = size + before + after - reach
        outputs = (ceil(span / stride) if ceil_mode else span // stride) + 1
        if ceil_mode and (outputs - 1) * stride >= size + before:
            outputs -= 1
        if span < 0 or outputs < 1 or kernel > MAX_KERNEL or max(stride, dilation) > MAX_STEP:
            raise node.refuse("a window", f"within the padded axis, at most {MAX_KERNEL} entries", f"{kernel} on {size}+{before}+{after}")
        if max(before, after) > MAX_OFFSET or outputs > MAX_ELEMENTS:
            raise node.refuse("padding", f"at most {MAX_OFFSET}, for at most {MAX_ELEMENTS} outputs", f"{before} and {after}")
        windows.append(Window(size, kernel, stride, dilation, before, after, outputs))
    return windows


def _read(node: Node, name: str, rank: int) -> list[int]:
    values = [int(v) for v in node.attributes.get(name, [1] * rank)]
    if len(values) != rank:
        raise node.refuse(f"attribute '{name}'", f"{rank} numbers", len(values))
    return values
