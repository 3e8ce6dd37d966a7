"""Models that are 8-bit integers already: onnxruntime's static quantisation in both its formats, and operators by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from circuits import CanonicalModel, CompileError, compile_model
from circuits.layers.linear import Linear
from tests.unit.float_graphs import build, node, write

RNG = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    return (RNG.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


MLP = build(
    [node("Gemm", "x w1 b1", "h", transB=1), node("Relu", "h", "r"), node("Gemm", "r w2 b2", "y", transB=1)],
    {"w1": draw(16, 10), "b1": draw(16), "w2": draw(5, 16), "b2": draw(5)},
    shape=("batch", 10),
)
CNN = build(
    [
        node("Conv", "x w1 b1", "h", pads=[1] * 4),
        node("Relu", "h", "r"),
        node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "m w2 b2", "h2", pads=[1] * 4),
        node("Add", "h2 m", "a"),
        node("Relu", "a", "r2"),
        node("GlobalAveragePool", "r2", "g"),
        node("Flatten", "g", "f"),
        node("MatMul", "f w3", "z"),
        node("Add", "z b3", "y"),
    ],
    {"w1": draw(8, 3, 3, 3), "b1": draw(8), "w2": draw(8, 8, 3, 3), "b2": draw(8), "w3": draw(8, 5), "b3": draw(5)},
    shape=("batch", 3, 8, 8),
)


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Samples one at a time."""

    def __init__(self, x: Any) -> None:
        self.samples = iter([{"x": sample[None].astype(np.float32)} for sample in x])

    def get_next(self) -> Any:
        return next(self.samples, None)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("activations", "weights"),
    [(QuantType.QUInt8, QuantType.QInt8), (QuantType.QInt8, QuantType.QInt8), (QuantType.QUInt8, QuantType.QUInt8)],
    ids=["u8s8", "s8s8", "u8u8"],
)
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator], ids=["qdq", "qoperator"])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_static_quantisation_compiles_within_few_quanta(
    name: str, form: Any, activations: Any, weights: Any, per_channel: bool, tmp_path: Path
) -> None:
    """Measured against onnxruntime on fresh inputs; what remains are ties and the 12 bits of the input before its 8."""
    model, shape = (MLP, (10,)) if name == "mlp" else (CNN, (3, 8, 8))
    x = np.random.default_rng(1).normal(size=(100, *shape))
    target = tmp_path / "quantised.onnx"
    options = {"quant_format": form, "activation_type": activations, "weight_type": weights, "per_channel": per_channel}
    quantize_static(write(model, tmp_path), target, Reader(x), **options)
    compiled = compile_model(target, x)
    report = compiled.report
    assert report is not None
    assert report.difference.step == pytest.approx(find_output_scale(onnx.load(target)))
    assert report.difference.largest_quanta < 5
    assert report.difference.mean_quanta < 0.6
    fresh = np.random.default_rng(2).normal(size=(40, *shape)) * 0.7
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"x": sample[None].astype(np.float32)})[0] for sample in fresh])
    distance = np.abs(compiled.dequantize(compiled.run(compiled.quantize(fresh))) - expected) / report.difference.step
    assert distance.max() < 6
    assert distance.mean() < 0.7


def find_output_scale(model: onnx.ModelProto) -> float:
    """Of the DequantizeLinear that makes the output."""
    (last,) = (n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.output[0] == model.graph.output[0].name)
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == last.input[1])
    return float(numpy_helper.to_array(scale).reshape(-1)[0])


def build_integer(nodes: list[Any], constants: dict[str, Any], shape: Any, output: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A graph whose inner tensors are integers, so that nothing is inferred."""
    protos = [helper.make_node(o.rpartition(".")[2], i, r, name=r[0], domain=o.rpartition(".")[0], **a) for o, i, r, a in nodes]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(protos, "graph", [source], [helper.make_tensor_value_info("y", output, [None] * len(shape))], tensors)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def one(value: Any, kind: Any = np.float32) -> Any:
    return np.array(value, kind)


SCALES = {"s": one(0.02), "z": one(120, np.uint8), "one": one(1.0), "nil": one(0, np.uint8)}
QUANTIZE = node("QuantizeLinear", "x s z", "q")
W8 = RNG.integers(-127, 128, (10, 4)).astype(np.int8)
K8 = RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
BY_HAND = {
    "matmul integer": (
        [QUANTIZE, node("MatMulInteger", "q w z wz", "i"), node("Cast", "i", "f", to=TensorProto.FLOAT), node("Mul", "f m", "y")],
        {"w": W8, "wz": one(3, np.int8), "m": one(0.001)},
        (1, 10),
    ),
    "conv integer": (
        [QUANTIZE, node("ConvInteger", "q w z", "i"), node("Cast", "i", "f", to=TensorProto.FLOAT), node("Mul", "f m", "y")],
        {"w": K8, "m": one(0.001)},
        (1, 3, 6, 6),
    ),
    "qlinear matmul": (
        [QUANTIZE, node("QLinearMatMul", "q s z w ws wz ys yz", "p"), node("DequantizeLinear", "p ys yz", "y")],
        {"w": W8, "ws": one(0.01), "wz": one(-2, np.int8), "ys": one(0.1), "yz": one(128, np.uint8)},
        (1, 10),
    ),
    "qlinear conv per channel": (
        [QUANTIZE, node("QLinearConv", "q s z w ws wz ys yz b", "p"), node("DequantizeLinear", "p ys yz", "y")],
        {
            "w": K8,
            "ws": np.array([0.01, 0.02, 0.005, 0.01], np.float32),
            "wz": np.zeros(4, np.int8),
            "ys": one(0.3),
            "yz": one(128, np.uint8),
            "b": np.array([100, -200, 300, 0], np.int32),
        },
        (1, 3, 6, 6),
    ),
    "quanta at the end": ([QUANTIZE, node("Identity", "q", "y")], {}, (1, 10)),
    "dequantised along an axis": (
        [QUANTIZE, node("DequantizeLinear", "q as az", "y", axis=1)],
        {"as": np.array([0.1, 0.2, 0.5], np.float32), "az": np.array([1, 100, 200], np.uint8)},
        (1, 3),
    ),
    "quantised sigmoid": (
        [QUANTIZE, node("DequantizeLinear", "q s z", "f"), node("Sigmoid", "f", "g"), node("QuantizeLinear", "g gs gz", "p"),
         node("DequantizeLinear", "p gs gz", "y")],
        {"gs": one(1 / 256), "gz": one(0, np.uint8)},
        (1, 10),
    ),
    "max pool of quanta": (
        [QUANTIZE, node("MaxPool", "q", "p", kernel_shape=[2, 2]), node("DequantizeLinear", "p s z", "y")],
        {},
        (1, 3, 6, 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_integer_operators_by_hand(name: str, tmp_path: Path) -> None:
    nodes, constants, shape = BY_HAND[name]
    output = TensorProto.UINT8 if name == "quanta at the end" else TensorProto.FLOAT
    model = build_integer(nodes, SCALES | constants, shape, output)
    x = np.random.default_rng(3).normal(size=(80, *shape[1:]))
    compiled = compile_model(write(model, tmp_path), x)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"x": sample[None].astype(np.float32)})[0] for sample in x]).astype(np.float64)
    got = compiled.dequantize(compiled.run(compiled.quantize(x))).reshape(expected.shape)
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()


def test_quanta_stay_in_their_eight_bits(tmp_path: Path) -> None:
    """Inputs far beyond the calibrated ones saturate at 255 as the file does, not at our 4095."""
    nodes = [QUANTIZE, node("QLinearMatMul", "q s z w ws wz ys yz", "p"), node("DequantizeLinear", "p ys yz", "y")]
    constants = {"w": W8, "ws": one(0.01), "wz": one(0, np.int8), "ys": one(0.05), "yz": one(128, np.uint8)}
    model = build_integer(nodes, SCALES | constants, (1, 10))
    x = np.random.default_rng(3).normal(size=(80, 10))
    compiled = compile_model(write(model, tmp_path), x)
    y = compiled.dequantize(compiled.run(compiled.quantize(np.sign(x) * 100)))
    assert y.max() == pytest.approx(127 * 0.05, rel=0.01)
    assert y.min() == pytest.approx(-128 * 0.05, rel=0.01)


def test_weights_are_the_files_integers_times_one_multiplier(tmp_path: Path) -> None:
    """At s = 24, round(w·M·2^24) with M = s_x·s_w/s_y."""
    nodes = [QUANTIZE, node("QLinearMatMul", "q s z w ws wz ys yz", "p"), node("DequantizeLinear", "p ys yz", "y")]
    constants = {"w": W8, "ws": one(0.01), "wz": one(0, np.int8), "ys": one(0.1), "yz": one(128, np.uint8)}
    compiled = compile_model(write(build_integer(nodes, SCALES | constants, (1, 10)), tmp_path), RNG.normal(size=(80, 10)))
    layers = [pair for pair in compiled.parameters.pair_with(compiled.network.operators) if isinstance(pair[0], Linear) and pair[1]]
    found = [(op.shift, n.weights[0]) for op, n in layers if isinstance(op, Linear) and n is not None and n.weights]
    multiplier = float(np.float32(0.02)) * float(np.float32(0.01)) / float(np.float32(0.1))
    assert [shift for shift, _ in found] == [24]
    assert np.array_equal(found[0][1], np.floor(W8 * multiplier * 2**24 + 0.5).astype(np.int64))


def test_a_scale_that_depends_on_the_data_is_refused(tmp_path: Path) -> None:
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z", "i"),
        node("Cast", "i", "f", to=TensorProto.FLOAT),
        node("Mul", "f s", "y"),
    ]
    with pytest.raises(CompileError, match="static quantisation compiles"):
        compile_model(write(build_integer(nodes, {"w": W8}, (1, 10)), tmp_path), RNG.normal(size=(8, 10)))


def test_the_model_id_is_the_same_again(tmp_path: Path) -> None:
    nodes, constants, shape = BY_HAND["qlinear conv per channel"]
    path = write(build_integer(nodes, SCALES | constants, shape), tmp_path)
    x = np.random.default_rng(3).normal(size=(20, *shape[1:]))
    model = compile_model(path, x)
    model.save(tmp_path / "out")
    assert compile_model(path, x).model_id == model.model_id == CanonicalModel.load(tmp_path / "out").model_id
