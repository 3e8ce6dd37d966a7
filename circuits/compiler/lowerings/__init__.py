"""Which ONNX operators compile, and what would be needed for others. A later operator is one file here and one line in LOWERINGS."""

from __future__ import annotations

from circuits.compiler.lowerings import affine, matrix, relu, shape, tail
from circuits.compiler.lowerings.node import Lower

LOWERINGS: dict[str, Lower] = {
    "Add": affine.lower_arithmetic,
    "Sub": affine.lower_arithmetic,
    "Mul": affine.lower_arithmetic,
    "Div": affine.lower_arithmetic,
    "Neg": affine.lower_negative,
    "ai.onnx.ml.Scaler": affine.lower_scaler,
    "Gemm": matrix.lower_gemm,
    "MatMul": matrix.lower_matmul,
    "ai.onnx.ml.LinearRegressor": matrix.lower_linear_regressor,
    "Relu": relu.lower_relu,
    "Identity": shape.lower_identity,
    "Cast": shape.lower_cast,
    "Flatten": shape.lower_flatten,
    "Reshape": shape.lower_reshape,
    "Shape": shape.lower_shape,
    "Softmax": tail.lower_activation,
    "LogSoftmax": tail.lower_activation,
    "Sigmoid": tail.lower_activation,
    "ArgMax": tail.lower_argmax,
    "ai.onnx.ml.ZipMap": tail.lower_zipmap,
    "ai.onnx.ml.LinearClassifier": tail.lower_linear_classifier,
}

_CONVOLUTION = "a convolution layer (shared weights over positions)"
_TABLE = "a 4096-entry table lookup for the function"
_TREE = "comparison rows and leaf indicators"
_NEEDS = {
    "Conv": _CONVOLUTION,
    "ConvTranspose": _CONVOLUTION,
    "MaxPool": "pairwise comparison rows",
    "AveragePool": "a linear step with a constant over windows",
    "GlobalAveragePool": "a linear step with a constant over the positions",
    "ReduceMean": "a linear step with a constant over the axis",
    "BatchNormalization": "folding into the linear step before it",
    "Clip": "comparison rows, or a rescale with the same bounds",
    "Transpose": "an index map from the operand to its consumer",
    "Tanh": _TABLE,
    "Gelu": _TABLE,
    "Erf": _TABLE,
    "Exp": _TABLE,
    "Sqrt": _TABLE,
    "Reciprocal": _TABLE,
    "LeakyRelu": _TABLE,
    "HardSwish": _TABLE,
    "LayerNormalization": "an integer square root with both of its bounds proven",
    "Gather": "a lookup of rows of the embedding",
    "ai.onnx.ml.TreeEnsembleClassifier": _TREE,
    "ai.onnx.ml.TreeEnsembleRegressor": _TREE,
}


def describe_need(operator: str) -> str:
    """What it would take to compile an operator, and what can be done meanwhile."""
    need = _NEEDS.get(operator, "a lowering to integer layers")
    return f"{need}, which this version does not have; the file can be registered as an opaque model meanwhile"
