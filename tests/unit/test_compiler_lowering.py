"""Every operator and spelling that compiles, against the float file on onnxruntime; and what ends up folded, or left to the caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from circuits import CanonicalModel, compile_model
from circuits.layers.linear import Linear
from circuits.weights import encode_weights
from tests.unit.float_graphs import build, node, run_float, write

RNG = np.random.default_rng(5)


def draw(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


W43, W34, W45, W53, W44 = draw(4, 3), draw(3, 4), draw(4, 5), draw(5, 3), draw(4, 4)
B3, B4, B5 = draw(3), draw(4), draw(5)


def compile_graph(model: onnx.ModelProto, folder: Path, samples: Any = None, **options: Any) -> CanonicalModel:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    sample = shape[1:] if len(shape) > 1 and shape[0] in (0, 1) else shape
    x = np.random.default_rng(9).normal(size=(60, *sample)) if samples is None else samples
    return compile_model(write(model, folder), x, **options)


def check_against_float(model: onnx.ModelProto, folder: Path) -> CanonicalModel:
    """Fresh inputs: the integer answers, read as real numbers, are the float file's within a few steps of 12 bits."""
    compiled = compile_graph(model, folder)
    x = np.random.default_rng(10).normal(size=(40, *compiled.input.shape)) * 0.8
    expected = run_float(model, x)[0]
    got = compiled.dequantize(compiled.run(compiled.quantize(x))).reshape(len(x), -1)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()
    assert np.abs(expected).max() > 0.1
    return compiled


CASES = {
    "matmul": build([node("MatMul", "x w", "y")], {"w": W43}),
    "matmul and add": build([node("MatMul", "x w", "h"), node("Add", "h b", "y")], {"w": W43, "b": B3}),
    "add with the constant first": build([node("MatMul", "x w", "h"), node("Add", "b h", "y")], {"w": W43, "b": B3}),
    "matmul by a vector": build([node("MatMul", "x w", "y")], {"w": B4}),
    "matmul by a stack of one": build([node("MatMul", "x w", "y")], {"w": W43[None]}, shape=("batch", 2, 4)),
    "gemm": build([node("Gemm", "x w b", "y")], {"w": W43, "b": B3}),
    "gemm transposed": build([node("Gemm", "x w b", "y", transB=1)], {"w": W34, "b": B3}),
    "gemm without c": build([node("Gemm", "x w", "y", transB=1)], {"w": W34}),
    "gemm alpha beta": build([node("Gemm", "x w b", "y", alpha=0.5, beta=-2.0)], {"w": W43, "b": B3[None]}),
    "gemm scalar c": build([node("Gemm", "x w b", "y")], {"w": W43, "b": 0.7}),
    "gemm column c": build([node("Gemm", "x w b", "y")], {"w": W43, "b": draw(1, 1)}),
    "three layers": build(
        [
            node("Gemm", "x w1 b1", "h1"),
            node("Relu", "h1", "a1"),
            node("Gemm", "a1 w2 b2", "h2"),
            node("Relu", "h2", "a2"),
            node("Gemm", "a2 w3", "y"),
        ],
        {"w1": W45, "b1": B5, "w2": draw(5, 6), "b2": draw(6), "w3": draw(6, 2)},
    ),
    "ends in relu": build([node("Gemm", "x w b", "h"), node("Relu", "h", "y")], {"w": W43, "b": B3}),
    "relu of the input": build([node("Relu", "x", "h"), node("MatMul", "h w", "y")], {"w": W43}),
    "relu alone": build([node("Relu", "x", "y")]),
    "relu of relu": build([node("Relu", "x", "h"), node("Relu", "h", "y")]),
    "affine before relu": build([node("Mul", "x s", "h"), node("Add", "h b", "g"), node("Relu", "g", "y")], {"s": B4, "b": draw(4)}),
    "affine after relu": build([node("Relu", "x", "h"), node("Mul", "h s", "y")], {"s": draw(4)}),
    "scalar affine alone": build([node("Mul", "x s", "h"), node("Sub", "h b", "y")], {"s": 1.5, "b": 0.25}),
    "sub": build([node("MatMul", "x w", "h"), node("Sub", "h b", "y")], {"w": W43, "b": B3}),
    "sub from a constant": build([node("MatMul", "x w", "h"), node("Sub", "b h", "y")], {"w": W43, "b": B3}),
    "mul": build([node("Mul", "x s", "h"), node("MatMul", "h w", "y")], {"s": B4, "w": W43}),
    "mul after": build([node("MatMul", "x w", "h"), node("Mul", "h s", "y")], {"s": B3, "w": W43}),
    "div": build([node("Div", "x s", "h"), node("MatMul", "h w", "y")], {"s": B4, "w": W43}),
    "neg": build([node("Neg", "x", "h"), node("MatMul", "h w", "y")], {"w": W43}),
    "scaler": build(
        [node("ai.onnx.ml.Scaler", "x", "h", offset=B4.tolist(), scale=[1.0, 2.0, 0.5, 3.0]), node("MatMul", "h w", "y")], {"w": W43}
    ),
    "scaler of one number": build([node("ai.onnx.ml.Scaler", "x", "h", offset=[0.5], scale=[2.0]), node("MatMul", "h w", "y")], {"w": W43}),
    "linear regressor": build([node("ai.onnx.ml.LinearRegressor", "x", "y", coefficients=B4.tolist(), intercepts=[0.5])]),
    "linear regressor of two": build(
        [node("ai.onnx.ml.LinearRegressor", "x", "y", coefficients=draw(8).tolist(), intercepts=[0.5, -1.0], targets=2)]
    ),
    "two matrices": build([node("MatMul", "x w", "h"), node("MatMul", "h v", "y")], {"w": W44, "v": W43}),
    "a bottleneck of two": build([node("MatMul", "x w", "h"), node("MatMul", "h v", "y")], {"w": draw(4, 1), "v": draw(1, 6)}),
    "identity and cast": build(
        [node("Identity", "x", "h"), node("Cast", "h", "g", to=TensorProto.DOUBLE), node("MatMul", "g w", "y")],
        {"w": W43.astype(np.float64)},
    ),
    "double": build([node("MatMul", "x w", "y")], {"w": W43.astype(np.float64)}, dtype=TensorProto.DOUBLE),
    "half precision weights": build([node("Cast", "h", "w", to=1), node("MatMul", "x w", "y")], {"h": W43.astype(np.float16)}),
    "flatten": build([node("Flatten", "x", "h"), node("MatMul", "h w", "y")], {"w": draw(8, 3)}, shape=("batch", 2, 4)),
    "flatten axis -1": build([node("Flatten", "x", "h", axis=-1), node("MatMul", "h w", "y")], {"w": W43}, shape=("batch", 2, 4)),
    "reshape": build(
        [node("Reshape", "x s", "h"), node("MatMul", "h w", "y")], {"s": np.array([0, -1]), "w": draw(8, 3)}, shape=("batch", 2, 4)
    ),
    "reshape to rows": build(
        [node("Reshape", "x s", "h"), node("MatMul", "h w", "y")], {"s": np.array([-1, 2, 4]), "w": W43}, shape=("batch", 8)
    ),
    "positions": build([node("MatMul", "x w", "h"), node("Add", "h b", "y")], {"w": W43, "b": B3}, shape=("batch", 5, 4)),
    "positions with their own bias": build(
        [node("MatMul", "x w", "h"), node("Add", "h b", "y")], {"w": W43, "b": draw(5, 3)}, shape=("batch", 5, 4)
    ),
    "positions scaled apart": build(
        [node("Mul", "x s", "h"), node("MatMul", "h w", "y")], {"w": W43, "s": draw(5, 1)}, shape=("batch", 5, 4)
    ),
    "positions scaled apart after": build(
        [node("MatMul", "x w", "h"), node("Mul", "h s", "y")], {"w": W43, "s": draw(5, 1)}, shape=("batch", 5, 4)
    ),
    "fixed batch of one": build([node("MatMul", "x w", "y")], {"w": W43}, shape=(1, 4)),
    "no batch axis": build([node("MatMul", "x w", "y")], {"w": W43}, shape=(4,)),
    "fixed rows are one statement": build([node("MatMul", "x w", "y")], {"w": W43}, shape=(3, 4)),
    "transposed constant": build([node("Transpose", "w", "v", perm=[1, 0]), node("MatMul", "x v", "y")], {"w": W34}),
    "constant node": build([node("Constant", "", "b", value_floats=B3.tolist()), node("Gemm", "x w b", "y")], {"w": W43}),
    "constant arithmetic": build(
        [node("Mul", "w k", "v"), node("Div", "v k2", "u"), node("Sub", "u k", "t"), node("Neg", "t", "s"), node("MatMul", "x s", "y")],
        {"w": W43, "k": 2.0, "k2": 4.0},
    ),
    "dynamic reshape of exporters": build(
        [
            node("Shape", "x", "d"),
            node("Gather", "d zero", "n", axis=0),
            node("Unsqueeze", "n axes", "n1"),
            node("Concat", "n1 minus", "target", axis=0),
            node("Reshape", "x target", "h"),
            node("MatMul", "h w", "y"),
        ],
        {"zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1]), "w": draw(8, 3)},
        shape=("batch", 2, 4),
    ),
    "one feature": build([node("Gemm", "x w b", "y")], {"w": draw(1, 1), "b": draw(1)}, shape=("batch", 1)),
    "opset 7": build([node("MatMul", "x w", "h"), node("Add", "h b", "y")], {"w": W43, "b": B3}, opset=7),
    "opset 22": build([node("MatMul", "x w", "h"), node("Relu", "h", "y")], {"w": W43}, opset=22),
    "names of our own": build([node("MatMul", "x layer_1", "layer_output_shape")], {"layer_1": W43}, outputs="layer_output_shape"),
}


@pytest.mark.parametrize("name", CASES)
def test_compiles_to_what_the_file_computes(name: str, tmp_path: Path) -> None:
    compiled = check_against_float(CASES[name], tmp_path)
    compiled.save(tmp_path / "out")
    assert CanonicalModel.load(tmp_path / "out", compiled.model_id).model_id == compiled.model_id
    onnx.checker.check_model(str(tmp_path / "out" / "model.onnx"), full_check=True)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("matmul and add", 1),
        ("sub from a constant", 1),
        ("scaler", 1),
        ("two matrices", 1),
        ("a bottleneck of two", 2),  # the product would have more weights than the two
        ("three layers", 3),
        ("relu of relu", 1),
        ("affine before relu", 1),
        ("affine after relu", 2),
        ("relu of the input", 2),
        ("mul", 1),
        ("mul after", 1),
        ("positions with their own bias", 2),  # a tensor that is one, for a bias along two axes
    ],
)
def test_consecutive_affine_steps_are_one_layer(name: str, layers: int, tmp_path: Path) -> None:
    compiled = compile_graph(CASES[name], tmp_path)
    assert len(compiled.network.operators) == layers
    assert compiled.report is not None
    assert len(compiled.report.layers) == layers
    assert bool(compiled.report.folded) == (name not in ("a bottleneck of two", "affine after relu", "relu of the input", "relu of relu"))


def test_shapes_are_those_of_one_statement(tmp_path: Path) -> None:
    expected = {
        "matmul": ((4,), (3,)),
        "matmul by a vector": ((4,), (1,)),
        "positions": ((5, 4), (5, 3)),
        "fixed batch of one": ((4,), (3,)),
        "no batch axis": ((4,), (3,)),
        "fixed rows are one statement": ((3, 4), (3, 3)),
        "flatten": ((2, 4), (3,)),
    }
    for name, shapes in expected.items():
        compiled = compile_graph(CASES[name], tmp_path)
        assert (compiled.input.shape, compiled.output.shape) == shapes, name


def test_weights_of_positions_are_shared(tmp_path: Path) -> None:
    shared = compile_graph(CASES["positions"], tmp_path)
    assert [array.shape for array in shared.parameters.layers[0].weights] == [(4, 3)]
    assert shared.network.operators[0].shape == (5, 3)
    apart = compile_graph(CASES["positions with their own bias"], tmp_path)
    assert [array.shape for array in apart.parameters.layers[1].weights] == [(4, 3), (5, 3)]
    assert apart.parameters.layers[1].bias is None


GEMM = node("Gemm", "x w b", "h")
SIGMOID = [node("Gemm", "x w1 b1", "h"), node("Sigmoid", "h", "p"), node("Sub", "one p", "q"), node("Concat", "q p", "y", axis=1)]
LABEL = [
    node("ArgMax", "y", "i", axis=1),
    node("ai.onnx.ml.ArrayFeatureExtractor", "classes i", "c"),
    node("Reshape", "c flat", "r"),
    node("Cast", "r", "label", to=TensorProto.INT64),
]
TAIL_CONSTANTS = {"w": W43, "b": B3, "w1": draw(4, 1), "b1": draw(1), "one": 1.0, "classes": np.array([3, 7]), "flat": np.array([-1])}
CLASSIFIER = {"coefficients": draw(12).tolist(), "intercepts": B3.tolist(), "classlabels_ints": [4, 5, 6]}
TAILS = {
    "softmax": ([GEMM, node("Softmax", "h", "y", axis=-1)], "y", "softmax", None),
    "softmax axis 1": ([GEMM, node("Softmax", "h", "y", axis=1)], "y", "softmax", None),
    "logsoftmax": ([GEMM, node("LogSoftmax", "h", "y", axis=-1)], "y", "log-softmax", None),
    "sigmoid": ([GEMM, node("Sigmoid", "h", "y")], "y", "sigmoid", None),
    "argmax": ([GEMM, node("ArgMax", "h", "y", axis=1, keepdims=0)], "y", "argmax", None),
    "argmax of softmax": ([GEMM, node("Softmax", "h", "p"), node("ArgMax", "p", "y", axis=-1)], "y", "argmax", None),
    "logits and softmax": ([GEMM, node("Softmax", "h", "y")], "h y", "none", None),
    "softmax and identity": ([GEMM, node("Softmax", "h", "p"), node("Identity", "p", "y")], "y", "softmax", None),
    "sigmoid pair": (SIGMOID, "y", "sigmoid-complement", None),
    "threshold": ([*SIGMOID, *LABEL], "label", "threshold", ("3", "7")),
    "label and sigmoid pair": ([*SIGMOID, *LABEL], "label y", "sigmoid-complement", ("3", "7")),
    "classifier": ([node("ai.onnx.ml.LinearClassifier", "x", "label y", **CLASSIFIER)], "label y", "none", ("4", "5", "6")),
    "classifier softmax": (
        [node("ai.onnx.ml.LinearClassifier", "x", "label y", post_transform="SOFTMAX", **CLASSIFIER)],
        "label y",
        "softmax",
        ("4", "5", "6"),
    ),
    "classifier logistic normalised": (
        [
            node("ai.onnx.ml.LinearClassifier", "x", "label s", post_transform="LOGISTIC", **CLASSIFIER),
            node("ai.onnx.ml.Normalizer", "s", "y", norm="L1"),
        ],
        "label y",
        "sigmoid-normalized",
        ("4", "5", "6"),
    ),
    "classifier label": ([node("ai.onnx.ml.LinearClassifier", "x", "y s", **CLASSIFIER)], "y", "argmax", ("4", "5", "6")),
    "zipmap of scores": ([GEMM, node("ai.onnx.ml.ZipMap", "h", "y", classlabels_int64s=[1, 2, 3])], "y", "none", ("1", "2", "3")),
    "zipmap": (
        [GEMM, node("Softmax", "h", "p"), node("ai.onnx.ml.ZipMap", "p", "y", classlabels_strings=["a", "b", "c"])],
        "y",
        "softmax",
        ("a", "b", "c"),
    ),
}


def apply_postprocess(name: str, logits: Any) -> Any:
    """What docs/models.md tells the caller to do."""
    sigmoid = 1 / (1 + np.exp(-logits))
    match name:
        case "none":
            return logits
        case "softmax":
            return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        case "log-softmax":
            return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        case "sigmoid":
            return sigmoid
        case "sigmoid-normalized":
            return sigmoid / sigmoid.sum(axis=-1, keepdims=True)
        case "sigmoid-complement":
            return np.concatenate([1 - sigmoid, sigmoid], axis=-1)
        case "argmax":
            return logits.argmax(axis=-1)[:, None]
        case "threshold":
            return (logits > 0).astype(int)
    raise AssertionError(name)


@pytest.mark.parametrize("name", TAILS)
def test_what_is_left_to_the_caller(name: str, tmp_path: Path) -> None:
    nodes, outputs, postprocess, classes = TAILS[name]
    model = build(nodes, TAIL_CONSTANTS, outputs=outputs)
    compiled = compile_graph(model, tmp_path)
    assert compiled.manifest.postprocess == postprocess
    assert compiled.manifest.labels == classes
    assert compiled.report is not None
    assert bool(compiled.report.left_to_caller)
    if name.startswith("zipmap"):
        return  # onnxruntime gives dictionaries here
    x = np.random.default_rng(3).normal(size=(50, 4))
    column = outputs.split().index(compiled.manifest.output_name)
    expected = run_float(model, x)[column]
    ours = apply_postprocess(postprocess, compiled.dequantize(compiled.run(compiled.quantize(x))))
    if postprocess in ("argmax", "threshold"):
        named = np.array([int(classes[int(i)]) for i in ours[:, 0]])[:, None] if classes else ours
        assert np.mean(named == expected) >= 0.98
        assert len(np.unique(expected)) > 1
    else:
        assert np.abs(ours - expected).max() < 0.03


def test_labels_are_chosen_by_the_caller_or_the_model(tmp_path: Path) -> None:
    nodes, outputs, _, _ = TAILS["classifier softmax"]
    model = build(nodes, TAIL_CONSTANTS, outputs=outputs)
    assert compile_graph(model, tmp_path, labels=["a", "b", "c"]).manifest.labels == ("a", "b", "c")
    x = np.random.default_rng(3).normal(size=(50, 4))
    by_name = compile_graph(model, tmp_path, held_back=(x, ["5"] * 50)).report
    by_index = compile_graph(model, tmp_path, held_back=(x, [1] * 50)).report
    assert by_name is not None and by_index is not None  # noqa: PT018
    assert by_name.accuracy == by_index.accuracy
    expected = np.mean(run_float(model, x)[0] == 5)
    assert by_name.accuracy is not None
    assert by_name.accuracy.float_right == pytest.approx(expected)


def test_external_data_is_read_from_beside_the_file(tmp_path: Path) -> None:
    model = CASES["gemm"]
    inside = compile_graph(model, tmp_path)
    split = onnx.ModelProto()
    split.CopyFrom(model)
    onnx.save_model(split, tmp_path / "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    x = np.random.default_rng(9).normal(size=(60, 4))
    outside = compile_model(tmp_path / "split.onnx", x)
    assert outside.circuit == inside.circuit
    assert encode_weights(outside.parameters) == encode_weights(inside.parameters)
    assert list(outside.manifest.source.external) == ["split.data"]
    outside.save(tmp_path / "out")
    assert CanonicalModel.load(tmp_path / "out").model_id == outside.model_id


def test_shift_24_where_twelve_bits_of_weight_are_too_coarse(tmp_path: Path) -> None:
    """A quarter of one input, which needs its resolution, and the mean of 5000 others, whose weights are a step or two at shift 12."""
    rng = np.random.default_rng(2)
    w = np.full((5001, 1), 1 / 5000, np.float32)
    w[0] = 0.25
    model = build([node("MatMul", "x w", "y")], {"w": w}, shape=("batch", 5001))
    compiled = compile_graph(model, tmp_path, rng.normal(size=(200, 5001)) + rng.normal(size=(200, 1)))
    assert compiled.report is not None
    assert [layer.shift for layer in compiled.report.layers] == [24]
    assert compiled.report.calibration_error < 0.004


def test_measurements_of_different_magnitude_get_their_own_exponents(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    scales, centres = np.array([1e4, 1.0, 1e-4, 1e3]), np.array([5e4, 0.0, 3e-3, 1e6])
    x = rng.normal(size=(200, 4)) * scales + centres
    scaler = node("ai.onnx.ml.Scaler", "x", "h", offset=centres.tolist(), scale=(1 / scales).tolist())
    model = build([scaler, node("MatMul", "h w", "y")], {"w": W43}, dtype=TensorProto.DOUBLE)
    compiled = compile_graph(model, tmp_path, x)
    assert compiled.manifest.scaling is not None
    assert len(set(compiled.manifest.scaling.exponents)) == 4
    expected = ((x - centres) / scales) @ W43
    got = compiled.dequantize(compiled.run(compiled.quantize(x)))
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()


def test_the_report_counts_saturations_and_states_bounds(tmp_path: Path) -> None:
    compiled = compile_graph(CASES["three layers"], tmp_path)
    report = compiled.report
    assert report is not None
    x = np.random.default_rng(9).normal(size=(60, 4))
    tensors: list[Any] = [compiled.quantize(x)]
    for op, numbers, layer in zip(compiled.network.operators, compiled.parameters.layers, report.layers, strict=True):
        assert isinstance(op, Linear)
        (weights,) = numbers.weights
        acc = tensors[op.operands[0]] @ weights + (0 if numbers.bias is None else numbers.bias)
        v = (acc + 2 ** (op.shift - 1)) >> op.shift
        assert layer.saturated == np.count_nonzero(v > op.format.high) + np.count_nonzero((v < op.format.low) & (op.format.low < 0))
        assert layer.values == v.size
        assert layer.accumulator_range is not None
        assert layer.accumulator_bound is not None
        assert layer.accumulator_range[0] <= acc.min()
        assert acc.max() <= layer.accumulator_range[1] < layer.accumulator_bound
        assert layer.weight_range == (weights.min(), weights.max())
        tensors.append(np.clip(v, op.format.low, op.format.high))
    assert report.to_json()["layers"][0]["name"] == "Gemm_h1"


def test_parameters_nobody_needs_are_not_read(tmp_path: Path) -> None:
    """A branch that no output depends on may hold anything."""
    nodes = [node("MatMul", "x w", "y"), node("ConvTranspose", "x k", "unused")]
    model = build(nodes, {"w": W43, "k": draw(1, 2, 1)}, shape=("batch", 2, 4))
    assert len(compile_graph(model, tmp_path).network.operators) == 1
