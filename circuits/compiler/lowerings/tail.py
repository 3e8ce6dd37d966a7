"""What is left to the caller: a final Softmax, LogSoftmax, Sigmoid or ArgMax, and what exporters put behind it.

None of it changes which class wins, and none of it is needed on chain: the canonical output is the tensor before, and
the manifest says what remains to be done with it. A result of these operators may only flow into more of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto

from circuits.compiler.functions import make_plain
from circuits.compiler.lowerings.matrix import multiply_rows, read_linear_attributes
from circuits.compiler.lowerings.node import Node
from circuits.compiler.values import Fixed, Left, Lowering, Tensor, Value

STARTS = {"Softmax": "softmax", "LogSoftmax": "log-softmax", "Sigmoid": "sigmoid"}
CLASS_TRANSFORMS = {b"NONE": "none", b"SOFTMAX": "softmax", b"LOGISTIC": "sigmoid"}
SCORE_CASTS = {TensorProto.FLOAT, TensorProto.DOUBLE}
LABEL_CASTS = SCORE_CASTS | {TensorProto.INT32, TensorProto.INT64, TensorProto.STRING}  # a class stays the class it was
COMPLEMENT = "complement"  # 1 − sigmoid, before the Concat that makes it a pair


def lower_activation(node: Node, _: Lowering) -> list[Value]:
    """Softmax, LogSoftmax or Sigmoid of a float tensor."""
    x = node.tensor()
    if node.operator != "Sigmoid":
        _check_last_axis(node, x.shape, -1 if node.opset >= 13 else 1)
    return [Left(x, node.input_names[0], STARTS[node.operator], x.shape)]


def lower_argmax(node: Node, _: Lowering) -> list[Value]:
    """ArgMax of a float tensor."""
    x = node.tensor()
    return [_label(node, Left(x, node.input_names[0], "none", x.shape))]


def lower_zipmap(node: Node, _: Lowering) -> list[Value]:
    """ai.onnx.ml.ZipMap of raw scores: a dictionary by class name, which the caller can make."""
    x = node.tensor()
    return [Left(x, node.input_names[0], "none", x.shape, classes=_read_classes(node))]


def lower_linear_classifier(node: Node, lowering: Lowering) -> list[Value]:
    """ai.onnx.ml.LinearClassifier: a matrix, whose scores and winning label are left to the caller."""
    x, transform = node.tensor(), node.attributes.get("post_transform", b"NONE")
    if transform not in CLASS_TRANSFORMS:
        raise node.refuse("post_transform", "NONE, SOFTMAX or LOGISTIC", transform.decode("ascii", "replace"))
    classes = _read_classes(node)
    if classes is None or len(classes) < 2 or "intercepts" not in node.attributes:
        raise node.refuse("class labels and intercepts", "two or more of both")
    weights, bias = read_linear_attributes(node, x, len(classes))
    core = multiply_rows(lowering, x, weights, bias, node.name)
    scores = Left(core, node.output_names[1], CLASS_TRANSFORMS[transform], core.shape, classes=classes)
    return [_label(node, scores), scores]


def _read_classes(node: Node) -> tuple[str, ...] | None:
    for name in ("classlabels_ints", "classlabels_int64s"):
        if node.attributes.get(name):
            return tuple(str(i) for i in node.attributes[name])
    if node.attributes.get("classlabels_strings"):
        return tuple(s.decode("utf-8", "replace") for s in node.attributes["classlabels_strings"])
    return None


def continue_left(node: Node) -> list[Value]:
    """A node with at least one input that is already left to the caller."""
    left = next(v for v in node.inputs if isinstance(v, Left))
    match node.operator:
        case "Identity":
            return [left]
        case "Cast":
            return [_cast(node, left)]
        case "Reshape" | "Flatten" | "Squeeze" if left.is_label:
            return [left]
        case "ArgMax" if not left.is_label:
            return [_label(node, left)]
        case "ai.onnx.ml.ArrayFeatureExtractor" if left.is_index and isinstance(node.inputs[0], Fixed):
            return [replace(left, is_index=False, classes=tuple(str(c) for c in node.inputs[0].array.reshape(-1)))]
        case "ai.onnx.ml.Normalizer" if node.attributes.get("norm") == b"L1" and left.postprocess in ("softmax", "sigmoid"):
            return [left if left.postprocess == "softmax" else replace(left, postprocess="sigmoid-normalized")]
        case "ai.onnx.ml.ZipMap":
            return [replace(left, classes=_read_classes(node))]
        case "Sub" if _is_one(node.inputs[0]) and left.postprocess == "sigmoid":
            return [replace(left, postprocess=COMPLEMENT)]
        case "Concat" if (pair := _read_pair(node)) is not None:
            return [pair]
        case _:
            raise node.refuse(
                f"works on the result of {left.postprocess}, which is supported only at the end of a model", "nothing behind it"
            )


def is_continued(node: Node) -> bool:
    """Whether a node works on what is left to the caller, and not on a Sigmoid in the middle of a network."""
    lefts = [v for v in node.inputs if isinstance(v, Left)]
    if not lefts or any(left.postprocess != "sigmoid" or left.is_label for left in lefts):
        return bool(lefts)
    match node.operator:
        case "Sub":
            return _is_one(node.inputs[0])
        case "Concat":
            return _read_pair(node) is not None
        case operator:
            return operator in ("Identity", "Cast", "ArgMax", "ai.onnx.ml.ZipMap", "ai.onnx.ml.Normalizer")


def as_function(node: Node, left: Left, lowering: Lowering) -> Tensor:
    """A Sigmoid whose result is worked on: a function of its tensor after all."""
    return lowering.apply(left.core, make_plain("Sigmoid"), node.name)


def _label(node: Node, scores: Left) -> Left:
    """The winning class of scores. ArgMax of a complementary pair is a threshold at one half, that is at zero before the sigmoid."""
    if node.operator == "ArgMax":
        _check_last_axis(node, scores.like, 0)
        if node.attributes.get("select_last_index", 0):
            raise node.refuse("takes the last of equal maxima", "select_last_index = 0")
    label = "threshold" if scores.postprocess == "sigmoid-complement" else "argmax"
    return replace(scores, postprocess=label, is_label=True, is_index=node.operator == "ArgMax")


def _cast(node: Node, left: Left) -> Left:
    """Scores stay real numbers: rounded to integers they would be another answer than the manifest's. Labels keep telling classes apart."""
    to = node.attributes.get("to")
    if to not in (LABEL_CASTS if left.is_label else SCORE_CASTS):
        raise node.refuse(f"casts {'labels' if left.is_label else 'scores'} to data type {to}", "a cast that keeps every value")
    return left


def _is_one(value: Value | None) -> bool:
    return isinstance(value, Fixed) and value.array.size == 1 and bool(np.all(value.array == 1))


def _read_pair(node: Node) -> Left | None:
    """Concat of 1 − p and p along the last axis, p of one element; None if this is not that."""
    if len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if not (isinstance(first, Left) and isinstance(second, Left)) or first.core != second.core or first.core.size != 1:
        return None
    if (first.postprocess, second.postprocess) != (COMPLEMENT, "sigmoid"):
        return None
    pair = replace(second, postprocess="sigmoid-complement", like=(*second.like[:-1], 2))
    _check_last_axis(node, pair.like, 1)
    return pair


def _check_last_axis(node: Node, shape: tuple[int, ...], default: int) -> None:
    axis = int(node.attributes.get("axis", default))
    if axis % max(len(shape), 1) != len(shape) - 1 or not -len(shape) <= axis < len(shape):
        raise node.refuse("axis", f"the last of {list(shape)}", axis)


def as_left(value: Tensor | Left, name: str) -> Left:
    """A float tensor as a result with nothing left to do."""
    return value if isinstance(value, Left) else Left(value, name, "none", value.shape)
