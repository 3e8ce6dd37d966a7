"""Models that are integers already, as onnxruntime's static quantisation writes them.

A quantised tensor q with scale s and zero point z is the step q − z, whose integers are those of the source model (exponent
0), seen through the function + z; DequantizeLinear is then only the scale s, which the next weights absorb: the products
w·s_x·s_w/s_y become integer weights before the rescale that rounds to the next quanta.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from circuits.compiler.functions import make_affine, make_quanta
from circuits.compiler.lowerings.affine import lower_with_constant, scale_and_move
from circuits.compiler.lowerings.broadcast import lower_two
from circuits.compiler.lowerings.conv import convolve
from circuits.compiler.lowerings.matrix import multiply, multiply_by, multiply_tensors
from circuits.compiler.lowerings.node import Node
from circuits.compiler.lowerings.pool import sum_windows, whole
from circuits.compiler.values import Lowering, Tensor, Value
from circuits.tensors import Reals

OUTPUT_TYPES = {0: "uint8", TensorProto.UINT8: "uint8", TensorProto.INT8: "int8"}
LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def quantise(node: Node, lowering: Lowering, x: Tensor, scale: float, zero: int, kind: str) -> Tensor:
    """clip(round(x/scale) + zero) as the step of quanta minus zero point, seen through + zero."""
    low, high = LIMITS[kind]
    if high - low > 255:
        raise node.refuse(f"quantises a computed tensor to {kind}", "uint8 or int8: activations here have 12 bits")
    x = lowering.resolve(x, node.name) if x.function is not None and x.function.is_barrier else x
    scaled = lowering.apply(x, make_affine(1.0 / scale, 0.0), node.name)
    quanta = make_quanta(low - zero, high - zero)
    if scaled.function is not None and scaled.function.affine is not None:  # a sum, whose rescale can round by itself
        scaled = lowering.resolve(scaled, node.name)
    rounded = lowering.resolve(lowering.apply(scaled, quanta, node.name), node.name)
    lowering.integers.add(rounded.index)
    return lowering.apply(rounded, make_affine(1.0, float(zero)), node.name)


def dequantise(lowering: Lowering, q: Tensor, scale: float, zero: int, origin: str) -> Tensor:
    return lowering.apply(q, make_affine(scale, -scale * zero), origin)


def _read_scale(node: Node, position: int) -> float:
    scale = node.constant(position).reshape(-1)
    if len(scale) != 1 or not scale[0] > 0:
        raise node.refuse("scale of a computed tensor", "one number above zero", scale.tolist()[:4])
    return float(scale[0])


def _read_zero(node: Node, position: int, kind: str = "uint8") -> tuple[int, str]:
    if position >= len(node.inputs) or node.inputs[position] is None:
        return 0, kind
    array = node.constant_array(position)
    if array.size != 1 or array.dtype.name not in LIMITS:
        raise node.refuse("zero point of a computed tensor", "one uint8 or int8", f"{array.dtype} of {array.size}")
    return int(array.reshape(-1)[0]), array.dtype.name


def read_weights(node: Node, position: int, scale: Reals, zero_position: int, axis: int) -> Reals:
    """(w − zero)·scale of constant weights, per tensor or along `axis`."""
    w = node.constant(position)
    has_zero = zero_position < len(node.inputs) and node.inputs[zero_position] is not None
    zero = node.constant(zero_position) if has_zero else np.zeros(1)
    return (w - _along(node, zero, w, axis)) * _along(node, scale, w, axis)


def _along(node: Node, values: Reals, w: Reals, axis: int) -> Reals:
    if values.size == 1:
        return values.reshape([1] * w.ndim)
    if values.ndim != 1 or not -w.ndim <= axis < w.ndim or len(values) != w.shape[axis]:
        raise node.refuse("scales or zero points of weights", "one, or one for each output", list(values.shape))
    return values.reshape([-1 if number == axis % w.ndim else 1 for number in range(w.ndim)])


# ---- nodes --------------------------------------------------------------------------------------------------------------------------


def lower_quantize(node: Node, lowering: Lowering) -> list[Value]:
    """One scale, or one for each entry along an axis: there the quanta themselves are the step."""
    if node.constant(1).size == 1:
        given = node.attributes.get("output_dtype", 0)
        if given not in OUTPUT_TYPES:
            raise node.refuse("output_dtype", "uint8 or int8", given)
        zero, kind = _read_zero(node, 2, OUTPUT_TYPES[given])
        return [quantise(node, lowering, node.tensor(), _read_scale(node, 1), zero, kind)]
    scale, zero_points, kind = _read_along_axis(node)
    scaled = scale_and_move(lowering, node.tensor(), 1.0 / scale, zero_points, node.name)
    return [quantise(node, lowering, scaled, 1.0, 0, kind)]


def lower_dequantize(node: Node, lowering: Lowering) -> list[Value]:
    if node.constant(1).size == 1:
        zero, _ = _read_zero(node, 2)
        return [dequantise(lowering, node.tensor(), _read_scale(node, 1), zero, node.name)]
    scale, zero_points, _ = _read_along_axis(node)
    return [scale_and_move(lowering, node.tensor(), scale, -scale * zero_points, node.name)]


def _read_along_axis(node: Node) -> tuple[Reals, Reals, str]:
    """Scales and zero points that broadcast to the computed tensor, and the kind of the integers."""
    rank, scale, axis = len(node.tensor().shape), node.constant(1), int(node.attributes.get("axis", 1))
    kind = node.constant_array(2).dtype.name if len(node.inputs) > 2 and node.inputs[2] is not None else "uint8"
    zero = node.constant(2) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(len(scale))
    fits = scale.ndim == 1 and zero.shape == scale.shape and -rank <= axis < rank and node.tensor().shape[axis] == len(scale)
    if not fits or not np.all(scale > 0) or kind not in LIMITS:
        raise node.refuse("scales and zero points", f"one above zero for each entry of axis {axis}", list(scale.shape))
    shape = [-1 if number == axis % rank else 1 for number in range(rank)]
    return scale.reshape(shape), zero.reshape(shape), kind


def lower_qlinear_conv(node: Node, lowering: Lowering) -> list[Value]:
    """x, x scale, x zero, w, w scale, w zero, y scale, y zero, bias of scale x·w."""
    x_scale, w_scale = _read_scale(node, 1), node.constant(4)
    x = dequantise(lowering, node.tensor(0), x_scale, _read_zero(node, 2)[0], node.name)
    weights = read_weights(node, 3, w_scale, 5, 0)
    bias = node.constant(8, np.zeros(len(weights))).reshape(-1) * w_scale.reshape(-1) * x_scale
    y = convolve(node, lowering, x, weights, np.broadcast_to(bias, (len(weights),)))
    return [quantise(node, lowering, y, _read_scale(node, 6), *_read_zero(node, 7))]


def lower_qlinear_matmul(node: Node, lowering: Lowering) -> list[Value]:
    """a, a scale, a zero, b, b scale, b zero, y scale, y zero."""
    a = dequantise(lowering, node.tensor(0), _read_scale(node, 1), _read_zero(node, 2)[0], node.name)
    if isinstance(node.inputs[3], Tensor):
        b = dequantise(lowering, node.tensor(3), _read_scale(node, 4), _read_zero(node, 5)[0], node.name)
        y = multiply_tensors(node, lowering, a, b, 1.0)
    else:
        y = multiply_by(node, lowering, a, read_weights(node, 3, node.constant(4), 5, -1))
    return [quantise(node, lowering, y, _read_scale(node, 6), *_read_zero(node, 7))]


def lower_qgemm(node: Node, lowering: Lowering) -> list[Value]:
    """com.microsoft QGemm: a, a scale, a zero, b, b scale, b zero, c of scale a·b, y scale, y zero (none: the sum itself)."""
    if node.attributes.get("transA", 0):
        raise node.refuse("transposes its computed operand (transA)", "transA = 0")
    a_scale, b_scale = _read_scale(node, 1), node.constant(4)
    a = dequantise(lowering, node.tensor(0), a_scale, _read_zero(node, 2)[0], node.name)
    transposed = bool(node.attributes.get("transB", 0))
    b = read_weights(node, 3, b_scale, 5, 0 if transposed else -1)
    alpha = float(node.attributes.get("alpha", 1.0))
    bias = node.constant(6, np.zeros(1)) * b_scale.reshape(-1) * a_scale * alpha
    y = multiply(lowering, a, (b.T if transposed else b) * alpha, bias, node.name)
    if len(node.inputs) > 7 and node.inputs[7] is not None:
        return [quantise(node, lowering, y, _read_scale(node, 7), *_read_zero(node, 8))]
    return [y]


def lower_qlinear_binary(node: Node, lowering: Lowering) -> list[Value]:
    """com.microsoft QLinearAdd and QLinearMul: a, scale, zero, b, scale, zero, y scale, y zero."""
    operator = "Add" if node.operator.endswith("Add") else "Mul"
    computed, constants = [], []
    for position in (0, 3):
        if isinstance(node.inputs[position], Tensor):
            scale, (zero, _) = _read_scale(node, position + 1), _read_zero(node, position + 2)
            computed.append(dequantise(lowering, node.tensor(position), scale, zero, node.name))
        else:
            constants.append(read_weights(node, position, node.constant(position + 1), position + 2, 0))
    if constants:
        (y,) = lower_with_constant(node.rename(operator), lowering, computed[0], constants[0], True)
        assert isinstance(y, Tensor)
    else:
        y = lower_two(node, lowering, operator, computed[0], computed[1])
    return [quantise(node, lowering, y, _read_scale(node, 6), *_read_zero(node, 7))]


def lower_qlinear_average(node: Node, lowering: Lowering) -> list[Value]:
    """com.microsoft QLinearGlobalAveragePool: x, scale, zero, y scale, y zero."""
    if node.attributes.get("channels_last", 0):
        raise node.refuse("has its channels last", "channels_last = 0")
    x = dequantise(lowering, node.tensor(0), _read_scale(node, 1), _read_zero(node, 2)[0], node.name)
    windows = [whole(size) for size in x.shape[2:]]
    y = sum_windows(lowering, x, windows, 1.0 / float(np.prod(x.shape[2:])), node.name)
    return [quantise(node, lowering, y, _read_scale(node, 3), *_read_zero(node, 4))]


def lower_integer_product(node: Node, lowering: Lowering) -> list[Value]:
    """ConvInteger and MatMulInteger: Σ (x − x zero)·(w − w zero), left as an integer sum."""
    x_zero, _ = _read_zero(node, 2)
    x = dequantise(lowering, node.tensor(0), 1.0, x_zero, node.name)
    is_conv = node.operator == "ConvInteger"
    weights = read_weights(node, 1, np.ones(1), 3, 0 if is_conv else -1)
    y = convolve(node, lowering, x, weights, np.zeros(len(weights))) if is_conv else multiply_by(node, lowering, x, weights)
    lowering.integers.add(y.index)
    return [y]
