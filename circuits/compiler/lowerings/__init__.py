"""Which ONNX operators compile, and what would be needed for others. A later operator is one file here and one line in LOWERINGS."""

from __future__ import annotations

from circuits.compiler.functions import PLAIN
from circuits.compiler.lowerings import (
    affine,
    arithmetic,
    broadcast,
    conv,
    matrix,
    movement,
    pointwise,
    pool,
    quantised,
    reduce,
    shape,
    tail,
)
from circuits.compiler.lowerings.node import Lower

_FUNCTIONS = dict.fromkeys((*PLAIN, *pointwise.MAKERS), pointwise.lower_function)

LOWERINGS: dict[str, Lower] = _FUNCTIONS | {
    "com.microsoft.Gelu": pointwise.lower_function,
    "com.microsoft.QuickGelu": pointwise.lower_function,
    "Clip": pointwise.lower_clip,
    "PRelu": pointwise.lower_prelu,
    "Add": arithmetic.lower_arithmetic,
    "Sub": arithmetic.lower_arithmetic,
    "Mul": arithmetic.lower_arithmetic,
    "Div": arithmetic.lower_arithmetic,
    "Pow": arithmetic.lower_arithmetic,
    "Max": arithmetic.lower_many,
    "Min": arithmetic.lower_many,
    "Sum": arithmetic.lower_many,
    "Mean": arithmetic.lower_many,
    "Neg": affine.lower_negative,
    "BatchNormalization": affine.lower_batch_normalization,
    "ai.onnx.ml.Scaler": affine.lower_scaler,
    "Gemm": matrix.lower_gemm,
    "MatMul": matrix.lower_matmul,
    "ai.onnx.ml.LinearRegressor": matrix.lower_linear_regressor,
    "Conv": conv.lower_conv,
    "AveragePool": pool.lower_average_pool,
    "GlobalAveragePool": pool.lower_global_average,
    "MaxPool": pool.lower_max_pool,
    "GlobalMaxPool": pool.lower_global_max,
    "ReduceSum": reduce.lower_reduction,
    "ReduceMean": reduce.lower_reduction,
    "ReduceMax": reduce.lower_reduction,
    "ReduceMin": reduce.lower_reduction,
    "ReduceSumSquare": reduce.lower_reduction,
    "ReduceL1": reduce.lower_reduction,
    "ReduceL2": reduce.lower_reduction,
    "Identity": shape.lower_identity,
    "Dropout": shape.lower_dropout,
    "Cast": shape.lower_cast,
    "Flatten": shape.lower_flatten,
    "Reshape": shape.lower_reshape,
    "Squeeze": shape.lower_squeeze,
    "Unsqueeze": shape.lower_unsqueeze,
    "Transpose": shape.lower_transpose,
    "Shape": shape.lower_shape,
    "Size": shape.lower_size,
    "Slice": movement.lower_slice,
    "Split": movement.lower_split,
    "Concat": movement.lower_concat,
    "Pad": movement.lower_pad,
    "Gather": movement.lower_gather,
    "Tile": movement.lower_tile,
    "Expand": broadcast.lower_expand,
    "QuantizeLinear": quantised.lower_quantize,
    "DequantizeLinear": quantised.lower_dequantize,
    "QLinearConv": quantised.lower_qlinear_conv,
    "QLinearMatMul": quantised.lower_qlinear_matmul,
    "ConvInteger": quantised.lower_integer_product,
    "MatMulInteger": quantised.lower_integer_product,
    "com.microsoft.QGemm": quantised.lower_qgemm,
    "com.microsoft.QLinearAdd": quantised.lower_qlinear_binary,
    "com.microsoft.QLinearMul": quantised.lower_qlinear_binary,
    "com.microsoft.QLinearGlobalAveragePool": quantised.lower_qlinear_average,
    "Softmax": tail.lower_activation,
    "LogSoftmax": tail.lower_activation,
    "Sigmoid": tail.lower_activation,
    "ArgMax": tail.lower_argmax,
    "ai.onnx.ml.ZipMap": tail.lower_zipmap,
    "ai.onnx.ml.LinearClassifier": tail.lower_linear_classifier,
}

_TREE = "comparison rows and leaf indicators"
_NEEDS = {
    "ConvTranspose": "an index map that spreads an entry over a window",
    "LayerNormalization": "an integer square root with both of its bounds proven",
    "DynamicQuantizeLinear": "a scale that depends on the data; static quantisation compiles",
    "ai.onnx.ml.TreeEnsembleClassifier": _TREE,
    "ai.onnx.ml.TreeEnsembleRegressor": _TREE,
}


def describe_need(operator: str) -> str:
    """What it would take to compile an operator, and what can be done meanwhile."""
    need = _NEEDS.get(operator, "a lowering to integer layers")
    return f"{need}, which this version does not have; the file can be registered as an opaque model meanwhile"
