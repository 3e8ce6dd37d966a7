"""Operators whose inputs are all constants: computed here, once. Only the few that exporters put around weights and
shapes.

Each result is bounded before it is made, so a small file cannot ask for a huge one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from onnx import helper

from circuits.compiler.functions import PLAIN
from circuits.compiler.lowerings.node import Node
from circuits.compiler.lowerings.quantised import read_weights
from circuits.compiler.lowerings.shape import compute_reshaped
from circuits.compiler.source import NUMERIC, Constant
from circuits.compiler.values import Fixed
from circuits.layers.linear import MAX_WEIGHTS

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
}


def compute_constant(node: Node) -> Fixed:
    """The value of a node without computed inputs. Raises CompileError: operator not in the list, or a result above the caps."""
    arrays = [v.array for v in node.inputs if isinstance(v, Fixed)]
    try:
        with np.errstate(over="ignore", invalid="raise"):  # infinities are refused below; what a cast out of range gives differs by machine
            result = _compute(node, arrays)
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, np.exceptions.AxisError) as error:
        raise node.refuse(f"cannot be computed on its constants ({error})") from error
    if result.dtype.kind == "f" and not np.isfinite(result).all():
        raise node.refuse("gives NaN or infinity", "finite constants")
    return Fixed(result)


def _compute(node: Node, arrays: list[Constant]) -> Constant:
    match node.operator:
        case "Constant":
            return _read_constant(node)
        case "Identity":
            return arrays[0]
        case "Cast":
            return _cast(node, arrays[0])
        case "Transpose":
            return np.transpose(arrays[0], node.attributes.get("perm"))
        case "Reshape":
            return arrays[0].reshape(compute_reshaped(node, arrays[0].shape, node.integers(1)))
        case "Unsqueeze":
            return np.expand_dims(arrays[0], tuple(_axes(node)))
        case "Squeeze":
            return np.squeeze(arrays[0], tuple(_axes(node)) or None)
        case "Concat":
            _check_size(node, sum(array.size for array in arrays))
            return np.concatenate(arrays, axis=node.attributes["axis"])
        case "Gather":
            return _gather(node, arrays[0], arrays[1])
        case "Shape":
            return np.array(arrays[0].shape, np.int64)
        case "Expand":
            _check_size(node, prod(np.broadcast_shapes(arrays[0].shape, tuple(node.integers(1)))))
            return np.broadcast_to(arrays[0], np.broadcast_shapes(arrays[0].shape, tuple(node.integers(1))))
        case "Slice" if node.opset >= 10:
            return _slice(node, arrays[0])
        case "DequantizeLinear":
            return read_weights(node, 0, node.constant(1), 2, int(node.attributes.get("axis", 1))).astype(np.float32)
        case "Flatten":
            axis = int(node.attributes.get("axis", 1))
            return arrays[0].reshape(prod(arrays[0].shape[:axis]), -1)
        case operator if operator in PLAIN:
            return np.asarray(PLAIN[operator](_numbers(node, arrays)[0].astype(np.float64))).astype(arrays[0].dtype)
        case "Neg":
            return -_numbers(node, arrays)[0]
        case "Div":
            return _divide(node, *_numbers(node, arrays))
        case operator if operator in ARITHMETIC:
            a, b = _numbers(node, arrays)
            _check_size(node, prod(np.broadcast_shapes(a.shape, b.shape)))
            return np.asarray(ARITHMETIC[operator](a, b))
        case _:
            raise node.refuse("is not computed on constants", "a graph whose constants are already folded")


def _read_constant(node: Node) -> Constant:
    """ONNX Constant: a tensor, or numbers given directly."""
    if "value" in node.attributes:
        return np.asarray(node.attributes["value"])
    for name, dtype in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64), ("value_ints", np.int64)):
        if name in node.attributes:
            return np.array(node.attributes[name], dtype)
    raise node.refuse("holds no tensor of numbers", "value, value_float(s) or value_int(s)", sorted(node.attributes))


def _numbers(node: Node, arrays: list[Constant]) -> list[Constant]:
    """Text is refused: numpy would join strings, and each doubling of one costs no element."""
    for array in arrays:
        if array.dtype.kind not in "fiu":
            raise node.refuse("computes with constants that are no numbers", "floats or integers", str(array.dtype))
    return arrays


def _cast(node: Node, array: Constant) -> Constant:
    if node.attributes["to"] not in NUMERIC:
        raise node.refuse(f"casts a constant to data type {node.attributes['to']}", "a type of numbers")
    return np.asarray(array).astype(helper.tensor_dtype_to_np_dtype(node.attributes["to"]))


def _axes(node: Node) -> list[int]:
    """Axes were an attribute before opset 13, an input since."""
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        return node.integers(1)
    return [int(a) for a in node.attributes.get("axes", [])]


def _slice(node: Node, values: Constant) -> Constant:
    starts, ends = node.integers(1), node.integers(2)
    axes = node.integers(3) if len(node.inputs) > 3 and node.inputs[3] is not None else list(range(len(starts)))
    steps = node.integers(4) if len(node.inputs) > 4 and node.inputs[4] is not None else [1] * len(starts)
    chosen = [slice(None)] * values.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen[axis] = slice(start, None if step < 0 and end < -values.shape[axis] else end, step)
    return values[tuple(chosen)]


def _gather(node: Node, values: Constant, indices: Constant) -> Constant:
    axis = int(node.attributes.get("axis", 0))
    _check_size(node, indices.size * values.size // max(values.shape[axis], 1))
    return np.take(values, indices, axis=axis)


def _divide(node: Node, a: Constant, b: Constant) -> Constant:
    """Integers truncate towards zero in ONNX, unlike numpy's floor."""
    _check_size(node, prod(np.broadcast_shapes(a.shape, b.shape)))
    if not np.all(b):
        raise node.refuse("divides by a constant zero")
    return np.asarray(a / b) if a.dtype.kind == "f" else np.trunc(a / b).astype(a.dtype)


def _check_size(node: Node, elements: int) -> None:
    if elements > MAX_WEIGHTS:
        raise node.refuse("gives too large a constant", f"at most {MAX_WEIGHTS} elements", elements)
