"""Every operator of networks that are more than matrices, against the file on onnxruntime; and that the three ways to compute agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from circuits import CanonicalModel, compile_model
from circuits.layers.table import Table
from tests.unit.float_graphs import build, node, run_float, write

RNG = np.random.default_rng(5)


def draw(*shape: int) -> Any:
    return (RNG.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


IMAGE = ("batch", 3, 8, 7)
CONV = node("Conv", "x w b", "h", pads=[1, 1, 1, 1])
KERNEL = {"w": draw(4, 3, 3, 3), "b": draw(4)}
NORM = {"g": np.abs(draw(4)) + 0.5, "be": draw(4), "m": draw(4), "v": np.abs(draw(4)) + 0.5}


def conv(w: Any, shape: Any = IMAGE, bias: bool = True, **attributes: Any) -> Any:
    constants = {"w": w} | ({"b": draw(len(w))} if bias else {})
    return build([node("Conv", "x w b" if bias else "x w", "y", **attributes)], constants, shape=shape)


def image(*nodes: Any, shape: Any = IMAGE, opset: int = 17, **constants: Any) -> Any:
    return build(list(nodes), constants, shape=shape, opset=opset)


def after_conv(*nodes: Any, **constants: Any) -> Any:
    return build([CONV, *nodes], KERNEL | constants, shape=IMAGE)


POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
CASES = {
    "conv": conv(draw(4, 3, 3, 3)),
    "conv same": conv(draw(4, 3, 3, 3), pads=[1, 1, 1, 1]),
    "conv stride": conv(draw(4, 3, 3, 2), strides=[2, 3], pads=[1, 0, 2, 1]),
    "conv dilated": conv(draw(4, 3, 3, 3), dilations=[2, 1], pads=[2, 1, 2, 1]),
    "conv same upper": conv(draw(4, 3, 3, 2), auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv same lower": conv(draw(4, 3, 2, 2), auto_pad="SAME_LOWER"),
    "conv without bias": conv(draw(4, 3, 3, 3), bias=False),
    "conv pointwise": conv(draw(4, 3, 1, 1)),
    "conv pointwise stride": conv(draw(4, 3, 1, 1), strides=[2, 2]),
    "conv of the whole image": conv(draw(4, 3, 8, 7)),
    "conv one channel": conv(draw(4, 1, 3, 3), shape=("batch", 1, 8, 7)),
    "conv to one channel": conv(draw(1, 3, 3, 3)),
    "conv grouped": conv(draw(4, 2, 3, 3), shape=("batch", 4, 6, 6), group=2),
    "conv depthwise": conv(draw(3, 1, 3, 3), group=3, pads=[1, 1, 1, 1]),
    "conv depthwise multiplied": conv(draw(6, 1, 3, 3), group=3, strides=[2, 1]),
    "conv 1d": conv(draw(4, 3, 3), shape=("batch", 3, 11), pads=[1, 1], strides=[2]),
    "conv 3d": conv(draw(2, 2, 2, 2, 2), shape=("batch", 2, 4, 3, 5)),
    "conv of one row": conv(draw(2, 3, 1, 3), shape=("batch", 3, 1, 9)),
    "conv chain": build(
        [node("Conv", "x w b", "h", pads=[1] * 4), node("Relu", "h", "r"), node("Conv", "r v", "y", strides=[2, 2])],
        KERNEL | {"v": draw(5, 4, 3, 3)},
        shape=IMAGE,
    ),
    "conv relu flatten gemm": after_conv(
        node("Relu", "h", "r"), node("Flatten", "r", "f"), node("Gemm", "f q c", "y"), q=draw(4 * 56, 5), c=draw(5)
    ),
    "conv pointwise after flatten": after_conv(
        node("Reshape", "h s", "f"), node("Conv", "f q", "y"), s=ints(0, 4 * 8, 7), q=draw(3, 32, 1)
    ),
    "batch normalization folded": after_conv(node("BatchNormalization", "h g be m v", "y"), **NORM),
    "batch normalization alone": image(node("BatchNormalization", "x g be m v", "y"), **{k: v[:3] for k, v in NORM.items()}),
    "batch normalization after relu": after_conv(node("Relu", "h", "r"), node("BatchNormalization", "r g be m v", "y"), **NORM),
    "batch normalization before conv": image(
        node("BatchNormalization", "x g be m v", "n"), node("Conv", "n w", "y"), w=draw(4, 3, 3, 3), **{k: v[:3] for k, v in NORM.items()}
    ),
    "batch normalization before padded conv": image(
        node("BatchNormalization", "x g be m v", "n"),
        node("Conv", "n w", "y", pads=[1] * 4),
        w=draw(4, 3, 3, 3),
        **{k: v[:3] for k, v in NORM.items()},
    ),
    "residual": build(
        [
            CONV,
            node("Relu", "h", "r"),
            node("Conv", "r q", "s", pads=[1] * 4),
            node("Add", "s r", "t"),
            node("Relu", "t", "y"),
        ],
        KERNEL | {"q": draw(4, 4, 3, 3)},
        shape=IMAGE,
    ),
    "add of two views": after_conv(
        node("Transpose", "h", "t", perm=[0, 1, 3, 2]), node("Transpose", "t", "u", perm=[0, 1, 3, 2]), node("Add", "h u", "y")
    ),
    "sub": after_conv(node("Relu", "h", "r"), node("Sub", "r h", "y")),
    "sub of the input": build([node("MatMul", "x w", "h"), node("Sub", "h x", "y")], {"w": draw(4, 4)}),
    "mul": build([node("MatMul", "x w", "h"), node("Mul", "h x", "y")], {"w": draw(4, 4)}),
    "mul broadcast": after_conv(node("GlobalAveragePool", "h", "p"), node("Mul", "h p", "y")),
    "squeeze and excite": after_conv(
        node("GlobalAveragePool", "h", "p"),
        node("Conv", "p q", "z"),
        node("Sigmoid", "z", "s"),
        node("Mul", "h s", "y"),
        q=draw(4, 4, 1, 1) * 3,
    ),
    "add broadcast": after_conv(node("GlobalAveragePool", "h", "p"), node("Add", "h p", "y")),
    "add a constant image": image(node("Add", "x c", "y"), c=draw(3, 8, 7) * 10),
    "mul a constant image": image(node("Mul", "x c", "y"), c=draw(3, 8, 7) * 10),
    "add that repeats": build([node("MatMul", "x w", "h"), node("Add", "h c", "y")], {"w": draw(4, 3), "c": draw(2, 3)}),
    "div of tensors": build(
        [node("MatMul", "x w", "h"), node("Exp", "x", "e"), node("Add", "e two", "d"), node("Div", "h d", "y")],
        {"w": draw(4, 4), "two": 2.0},
    ),
    "div of a constant": build([node("Exp", "x", "e"), node("Add", "e two", "d"), node("Div", "two d", "y")], {"two": 2.0}),
    "average pool": image(node("AveragePool", "x", "y", **POOL)),
    "average pool of nine": image(node("AveragePool", "x", "y", kernel_shape=[3, 3])),
    "average pool padded": image(node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1] * 4)),
    "average pool with its padding": image(node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)),
    "average pool ceil": image(node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    "average pool ceil and padding": image(
        node("AveragePool", "x", "y", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1, pads=[1] * 4, count_include_pad=1), opset=19
    ),
    "average pool 1d": image(node("AveragePool", "x", "y", kernel_shape=[3], strides=[2]), shape=("batch", 3, 11)),
    "global average": image(node("GlobalAveragePool", "x", "y")),
    "global average and gemm": after_conv(
        node("Relu", "h", "r"), node("GlobalAveragePool", "r", "p"), node("Flatten", "p", "f"), node("Gemm", "f q", "y"), q=draw(4, 3) * 2
    ),
    "max pool": image(node("MaxPool", "x", "y", **POOL)),
    "max pool of three": image(node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2])),
    "max pool padded": image(node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)),
    "max pool padded of negatives": image(
        node("Exp", "x", "e"), node("Neg", "e", "n"), node("MaxPool", "n", "y", kernel_shape=[3, 3], pads=[1] * 4)
    ),
    "max pool dilated": image(node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 3])),
    "max pool ceil": image(node("MaxPool", "x", "y", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)),
    "max pool 1d": image(node("MaxPool", "x", "y", kernel_shape=[4], strides=[3]), shape=("batch", 3, 11)),
    "max pool after relu": after_conv(node("Relu", "h", "r"), node("MaxPool", "r", "y", **POOL)),
    "global max": image(node("GlobalMaxPool", "x", "y")),
    "max of two": build([node("MatMul", "x w", "h"), node("Max", "h x", "y")], {"w": draw(4, 4) * 2}),
    "min of two": build([node("MatMul", "x w", "h"), node("Min", "h x", "y")], {"w": draw(4, 4) * 2}),
    "max with a constant": build([node("Max", "x c", "y")], {"c": 0.3}),
    "max of three": build([node("MatMul", "x w", "h"), node("Neg", "x", "n"), node("Max", "h x n", "y")], {"w": draw(4, 4) * 2}),
    "sum of three": build([node("MatMul", "x w", "h"), node("Neg", "x", "n"), node("Sum", "h x n", "y")], {"w": draw(4, 4) * 2}),
    "reduce mean": image(node("ReduceMean", "x", "y", axes=[2, 3], keepdims=0)),
    "reduce mean of channels": image(node("ReduceMean", "x", "y", axes=[1])),
    "reduce sum": image(node("ReduceSum", "x a", "y", keepdims=0), a=ints(-1)),
    "reduce max": image(node("ReduceMax", "x", "y", axes=[2], keepdims=0)),
    "reduce max of everything": image(node("ReduceMax", "x", "y", axes=[1, 2, 3])),
    "reduce min": image(node("ReduceMin", "x", "y", axes=[1], keepdims=0)),
    "clip": build([node("Clip", "x lo hi", "y")], {"lo": -0.5, "hi": 1.0}),
    "relu6": after_conv(node("Clip", "h lo hi", "y"), lo=0.0, hi=0.6),
    "clip by attributes": build([node("Clip", "x", "y", min=-0.5, max=1.0)], opset=8),
    "leaky relu": after_conv(node("LeakyRelu", "h", "y", alpha=0.1)),
    "prelu": after_conv(node("PRelu", "h s", "y"), s=0.25),
    "prelu per channel": after_conv(node("PRelu", "h s", "y"), s=np.abs(draw(4, 1, 1)) + 0.1),
    "sigmoid inside": build(
        [node("MatMul", "x w", "h"), node("Sigmoid", "h", "s"), node("MatMul", "s v", "y")], {"w": draw(4, 6), "v": draw(6, 3)}
    ),
    "tanh": build([node("Tanh", "x", "y")]),
    "gelu as nodes": build(
        [node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "x c", "d"), node("Mul", "d half", "y")],
        {"r": 2.0**0.5, "one": 1.0, "half": 0.5},
    ),
    "gelu": build([node("Gelu", "x", "y")], opset=20),
    "gelu by tanh": build([node("Gelu", "x", "y", approximate="tanh")], opset=20),
    "hard sigmoid": build([node("HardSigmoid", "x", "y", alpha=0.3)]),
    "hard swish": build([node("HardSwish", "x", "y")]),
    "hard swish as nodes": build(
        [node("Add", "x three", "a"), node("Clip", "a zero six", "c"), node("Mul", "x c", "m"), node("Div", "m six", "y")],
        {"three": 3.0, "zero": 0.0, "six": 6.0},
    ),
    "silu": build([node("Sigmoid", "x", "s"), node("Mul", "x s", "y")]),
    "exp": build([node("Exp", "x", "y")]),
    "log": build([node("Exp", "x", "e"), node("Log", "e", "y")]),
    "sqrt": build([node("Abs", "x", "e"), node("Sqrt", "e", "y")]),
    "reciprocal": build([node("Exp", "x", "e"), node("Add", "e one", "f"), node("Reciprocal", "f", "y")], {"one": 1.0}),
    "pow": build([node("Pow", "x two", "y")], {"two": 2.0}),
    "softplus": build([node("Softplus", "x", "y")]),
    "elu": build([node("Elu", "x", "y", alpha=0.7)]),
    "selu": build([node("Selu", "x", "y")]),
    "celu": build([node("Celu", "x", "y", alpha=0.7)]),
    "mish": build([node("Mish", "x", "y")], opset=18),
    "transpose": image(node("Transpose", "x", "y", perm=[0, 2, 3, 1])),
    "transpose and matmul": image(node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("MatMul", "t w", "y"), w=draw(3, 4)),
    "transpose, flatten and gemm": image(
        node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Flatten", "t", "f"), node("Gemm", "f w", "y"), w=draw(168, 4) * 3
    ),
    "reshape that splits": build(
        [node("Reshape", "x s", "h"), node("MatMul", "h w", "y")], {"s": ints(0, 3, 4), "w": draw(4, 5)}, shape=("batch", 12)
    ),
    "reshape that mixes": build(
        [node("MatMul", "x w", "h"), node("Reshape", "h s", "y")], {"s": ints(0, 4, 3), "w": draw(4, 4)}, shape=("batch", 3, 4)
    ),
    "channel shuffle": build(
        [
            node("Reshape", "x s", "a"),
            node("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "b t", "c"),
            node("Conv", "c w", "y"),
        ],
        {"s": ints(0, 2, 3, 5, 5), "t": ints(0, 6, 5, 5), "w": draw(4, 6, 3, 3)},
        shape=("batch", 6, 5, 5),
    ),
    "concat": after_conv(node("Concat", "h x", "y", axis=1)),
    "concat last": after_conv(node("Relu", "h", "r"), node("Concat", "r h", "y", axis=-1)),
    "concat of rows": build(
        [node("MatMul", "x w", "a"), node("MatMul", "x v", "b"), node("Concat", "a b x", "y", axis=1)], {"w": draw(4, 1), "v": draw(4, 2)}
    ),
    "concat of nine": build([node("Neg", "x", "n"), node("Concat", "x n x n x n x n x", "y", axis=1)]),
    "slice": image(node("Slice", "x a b c", "y"), a=ints(1, 2), b=ints(3, 100), c=ints(1, 2)),
    "slice by two": image(node("Slice", "x a b c d", "y"), a=ints(0), b=ints(8), c=ints(2), d=ints(2)),
    "slice backwards": image(node("Slice", "x a b c d", "y"), a=ints(-1), b=ints(-100), c=ints(3), d=ints(-1)),
    "slice by attributes": image(node("Slice", "x", "y", starts=[1], ends=[3], axes=[3]), opset=9),
    "split": build([node("Split", "x p", "a b", axis=1), node("Concat", "b a", "y", axis=1)], {"p": ints(1, 3)}),
    "split in halves": build([node("Split", "x", "a b", axis=1), node("Mul", "a b", "y")]),
    "pad": image(node("Pad", "x p", "y"), p=ints(0, 0, 1, 2, 0, 1, 0, 3)),
    "pad with a number": image(node("Pad", "x p v", "y"), p=ints(0, 0, 1, 0, 0, 0, 2, 0), v=0.7),
    "pad on two axes with a number": image(node("Pad", "x p v", "y"), p=ints(0, 0, 1, 1, 0, 0, 2, 0), v=0.7),
    "pad by reflection": image(node("Pad", "x p", "y", mode="reflect"), p=ints(0, 0, 2, 0, 0, 0, 1, 1)),
    "pad by the edge": image(node("Pad", "x p", "y", mode="edge"), p=ints(0, 0, 2, 0, 0, 0, 1, 1)),
    "pad before a conv": image(node("Pad", "x p", "h"), node("Conv", "h w", "y"), p=ints(0, 0, 1, 2, 0, 0, 1, 0), w=draw(4, 3, 3, 3)),
    "pad before a padded conv": image(
        node("Pad", "x p", "h"), node("Conv", "h w", "y", pads=[1] * 4), p=ints(0, 0, 1, 2, 0, 0, 1, 0), w=draw(4, 3, 3, 3)
    ),
    "slice before a conv": image(
        node("Slice", "x a b c d", "h"), node("Conv", "h w", "y"), a=ints(1), b=ints(8), c=ints(2), d=ints(2), w=draw(4, 3, 3, 3)
    ),
    "slice before a padded conv": image(
        node("Slice", "x a b c", "h"), node("Conv", "h w", "y", pads=[1] * 4), a=ints(1), b=ints(6), c=ints(2), w=draw(4, 3, 3, 3)
    ),
    "squeeze": image(node("ReduceMean", "x", "h", axes=[2]), node("Squeeze", "h a", "y"), a=ints(2)),
    "unsqueeze": image(node("Unsqueeze", "x a", "y"), a=ints(1)),
    "expand": image(node("ReduceMean", "x", "h", axes=[2]), node("Expand", "h s", "y"), s=ints(1, 3, 5, 7)),
    "gather": image(node("Gather", "x i", "y", axis=1), i=ints(2, 0)),
    "gather of many": image(node("Gather", "x i", "y", axis=2), i=ints(5, 0, 0, 3, -1)),
    "gather one": image(node("Gather", "x i", "y", axis=2), i=np.array(3)),
    "gather a matrix": image(node("Gather", "x i", "y", axis=3), i=ints(0, 1, 2, 3, 3, 5).reshape(2, 3)),
    "dropout": build([node("Dropout", "x", "h"), node("MatMul", "h w", "y")], {"w": draw(4, 3)}),
    "matmul from the left": image(node("MatMul", "w x", "y"), w=draw(5, 8), shape=("batch", 8, 7)),
    "gemm transposed operand": build([node("Gemm", "x w", "y", transA=1)], {"w": draw(3, 5)}, shape=(3, 4)),
    "attention": build(
        [
            node("MatMul", "x q", "a"),
            node("MatMul", "x k", "b"),
            node("Transpose", "b", "bt", perm=[0, 2, 1]),
            node("MatMul", "a bt", "s"),
            node("Relu", "s", "r"),
            node("MatMul", "r x", "y"),
        ],
        {"q": draw(6, 4), "k": draw(6, 4)},
        shape=("batch", 5, 6),
    ),
    "heads": build(
        [
            node("MatMul", "x q", "a"),
            node("Reshape", "a s", "b"),
            node("Transpose", "b", "c", perm=[0, 2, 1, 3]),
            node("Transpose", "b", "d", perm=[0, 2, 3, 1]),
            node("MatMul", "c d", "e"),
            node("MatMul", "e c", "f"),
            node("Transpose", "f", "g", perm=[0, 2, 1, 3]),
            node("Reshape", "g t", "y"),
        ],
        {"q": draw(6, 8), "s": ints(0, 5, 2, 4), "t": ints(0, 5, 8)},
        shape=("batch", 5, 6),
    ),
}
# A product of three rounded factors, or a quotient, loses more than the others.
LOOSE = {"div of tensors": 0.03, "attention": 0.03, "heads": 0.05}
TABLES = {
    "gelu as nodes": 1,
    "hard swish as nodes": 1,
    "silu": 1,
    "log": 1,
    "reciprocal": 1,
    "relu6": 1,
    "squeeze and excite": 1,
    "conv": 0,
    "max pool": 0,
}
OPERATORS = {
    "conv relu flatten gemm": 2,
    "batch normalization folded": 1,
    "batch normalization before conv": 1,
    "residual": 2,
    "transpose and matmul": 1,
    "transpose, flatten and gemm": 1,
    "global average and gemm": 3,
    "max pool": 4,
    "add of two views": 1,
    "dropout": 1,
    "pad before a conv": 1,
    "pad before a padded conv": 1,
    "slice before a conv": 1,
    "slice before a padded conv": 2,  # its own padding is zero where the tensor has numbers
    "silu": 2,
}


def compile_case(name: str, folder: Path) -> CanonicalModel:
    shape = [d.dim_value for d in CASES[name].graph.input[0].type.tensor_type.shape.dim]
    sample = shape[1:] if shape[0] in (0, 1) else shape
    return compile_model(write(CASES[name], folder), np.random.default_rng(9).normal(size=(60, *sample)))


@pytest.mark.parametrize("name", CASES)
def test_compiles_to_what_the_file_computes(name: str, tmp_path: Path) -> None:
    compiled = compile_case(name, tmp_path)
    x = np.random.default_rng(10).normal(size=(20, *compiled.input.shape)) * 0.8
    expected = run_float(CASES[name], x)[0]
    quantized = compiled.quantize(x)
    integers = compiled.run(quantized)
    got = compiled.dequantize(integers).reshape(len(x), -1)
    assert got.shape == expected.shape
    assert np.abs(expected).max() > 0.1
    assert np.abs(got - expected).max() < LOOSE.get(name, 0.02) * np.abs(expected).max()
    compiled.save(tmp_path / "out")
    again = CanonicalModel.load(tmp_path / "out", compiled.model_id)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {again.manifest.input_name: quantized})
    assert np.array_equal(exported, integers)
    if name in TABLES:
        assert sum(isinstance(operator, Table) for operator in compiled.network.operators) == TABLES[name]
    if name in OPERATORS:
        assert len(compiled.network.operators) == OPERATORS[name]
