"""Conv in any number of dimensions: channels are contracted, windows are index maps with a kernel axis of the weights.

Depthwise convolutions share the channel axis with their weights. Other grouped ones become dense, with zeros between the groups.
"""

from __future__ import annotations

import numpy as np

from circuits.compiler.lowerings.node import Node
from circuits.compiler.lowerings.windows import Window, read_windows
from circuits.compiler.terms import Label, Reading, Result, emit
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.compiler.views import make_real, make_single
from circuits.layers.axes import Kernel
from circuits.layers.term import MAX_WEIGHTS
from circuits.tensors import Reals


def lower_conv(node: Node, lowering: Lowering) -> list[Value]:
    x, weights = node.tensor(0), node.constant(1)
    bias = node.constant(2, np.zeros(len(weights))).reshape(-1)
    return [convolve(node, lowering, x, weights, bias)]


def convolve(node: Node, lowering: Lowering, x: Tensor, weights: Reals, bias: Reals) -> Tensor:
    """x as (statements, channels, …) by weights (outputs, channels of a group, kernel…) and a bias of outputs."""
    groups, rank = int(node.attributes.get("group", 1)), len(x.shape) - 2
    if rank < 1 or weights.ndim != rank + 2:
        raise node.refuse("operand and weights", "ranks that agree", f"{list(x.shape)} and {list(weights.shape)}")
    outputs, channels = weights.shape[0], x.shape[1]
    if groups < 1 or outputs % groups or weights.shape[1] * groups != channels or len(bias) != outputs:
        raise node.refuse("channels", f"{channels} in {groups} groups", f"weights {list(weights.shape)}, bias {len(bias)}")
    kernel = tuple(int(k) for k in node.attributes.get("kernel_shape", weights.shape[2:]))
    if kernel != weights.shape[2:]:
        raise node.refuse("kernel_shape", list(weights.shape[2:]), list(kernel))
    windows = read_windows(node, x.shape[2:], kernel)
    if 1 < groups < channels:
        weights = spread_groups(node, weights, groups)
    return _emit(node, lowering, x, weights, bias, windows, groups == channels and groups > 1)


def spread_groups(node: Node, weights: Reals, groups: int) -> Reals:
    """Weights over all channels, zero where output and channel are of different groups."""
    outputs, channels = weights.shape[0], weights.shape[1]
    if weights.size * groups > MAX_WEIGHTS:
        raise node.refuse("grouped weights written out densely", f"at most {MAX_WEIGHTS}", weights.size * groups)
    dense = np.zeros((outputs, channels * groups, *weights.shape[2:]))
    share = outputs // groups
    for group in range(groups):
        of_group = slice(group * share, (group + 1) * share)
        dense[of_group, group * channels : (group + 1) * channels] = weights[of_group]
    return dense


def _emit(node: Node, lowering: Lowering, x: Tensor, weights: Reals, bias: Reals, windows: list[Window], is_depthwise: bool) -> Tensor:
    for axis, window in enumerate(windows):
        if not window.is_plain:
            x = make_single(lowering, x, axis + 2, node.name)
            x = make_real(lowering, x, axis + 2, node.name) if window.outputs > 1 else x
    source, factor = lowering.read(x, node.name)
    reading, result = Reading(lowering, source), Result()
    reading.direct(0, result.add(*lowering.sizes(source, 0)))
    inner, outputs = lowering.sizes(source, 1), weights.shape[0]
    labels: list[Label]
    if is_depthwise:
        multiplier = outputs // x.shape[1]
        place = result.add(*inner, multiplier)
        labels = reading.shared(1, place[: len(inner)]) + [("result", o) for o in place[len(inner) :]]
        values = weights.reshape([*inner, *([multiplier] if multiplier > 1 else []), *weights.shape[2:]])
        bias_sizes = (*inner, *([multiplier] if multiplier > 1 else []))
    else:
        place = result.add(outputs)
        labels = [("result", o) for o in place] + reading.contract(1)
        values = weights.reshape([*([outputs] if outputs > 1 else []), *inner, *weights.shape[2:]])
        bias_sizes = (outputs,) if outputs > 1 else ()
    position = values.ndim - len(windows)
    for axis, window in enumerate(windows, start=2):
        kept, values = _read_window(lowering, reading, result, axis, window, values, position)
        labels += kept
        position += bool(kept)  # otherwise that axis of the kernel is gone
    before = len(source.groups[0])
    after = len(result.shape) - before - len(bias_sizes)
    spread = bias.reshape([*[1] * before, *bias_sizes, *[1] * after] or [1])
    shape = (x.shape[0], outputs, *(window.outputs for window in windows))
    return emit(lowering, result, [reading.weighted(values * factor, labels, result.shape)], node.name, bias=spread, shape=shape)


def _read_window(
    lowering: Lowering, reading: Reading, result: Result, axis: int, window: Window, values: Reals, position: int
) -> tuple[list[Label], Reals]:
    """Read one axis of the view; labels of the kernel's axis (`position` of values), which is dropped where one tap is left."""
    source = reading.tensor
    sizes = lowering.sizes(source, axis)
    if window.is_plain:
        reading.direct(axis, result.add(*sizes))
        return [], np.take(values, 0, axis=position)
    if not sizes:
        return [], _read_single_entry(result, window, values, position)
    if window.outputs == 1 and window.kernel == window.size and not window.before and window.dilation == 1:
        result.add(1)
        return reading.contract(axis), values
    place = result.add(window.outputs)
    kernel = Kernel.WEIGHTED if window.kernel > 1 else Kernel.NONE
    how = window.as_axis(kernel, place[0] if place else None) if window.kernel > 1 else window.as_tap(0, place[0] if place else None)
    labels = reading.map(axis, how)
    return (labels, values) if window.kernel > 1 else ([], np.take(values, 0, axis=position))


def _read_single_entry(result: Result, window: Window, values: Reals, position: int) -> Reals:
    """An axis of one entry, which the step does not have: the one tap that reads it, for the one output."""
    result.add(1)
    taps = [k for k in range(window.kernel) if window.find_index(0, k) == 0]
    return np.take(values, taps[0], axis=position) if taps else np.zeros_like(np.take(values, 0, axis=position))
