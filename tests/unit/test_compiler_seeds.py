"""The seed models: accuracy, agreement with onnxruntime, determinism, and digests of everything in seeds/."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from eth_utils.crypto import keccak

from circuits import CanonicalModel, compile_model
from circuits.tensors import Integers

SEEDS = Path(__file__).parents[2] / "seeds"
CANONICAL = ["breast-cancer-mlp", "digits-mlp", "iris-logistic", "wine-mlp"]
MODELS = [*CANONICAL, "breast-cancer-forest", "digits-cnn"]
MOST_LOST = 0.005
LEVELS = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"]


def load_data(name: str) -> dict[str, Any]:
    with np.load(SEEDS / "data" / f"{name}.npz") as data:
        return dict(data)


def load(name: str) -> CanonicalModel:
    return CanonicalModel.load(SEEDS / "models" / name / "canonical")


def open_session(path: Path, threads: int = 1, level: str = "ORT_ENABLE_ALL") -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compute_float_classes(name: str, x: Any) -> Any:
    """The float model's own answer, from its file on onnxruntime: its label output, or the largest of its scores."""
    session = open_session(SEEDS / "models" / name / "source.onnx")
    first = session.run(None, {session.get_inputs()[0].name: x})[0]
    return first.argmax(axis=1) if first.ndim == 2 else first


@pytest.mark.parametrize("name", CANONICAL)
def test_little_accuracy_is_lost(name: str) -> None:
    model, data = load(name), load_data(name)
    y = model.run(model.quantize(data["x_held_back"]))
    classes = (y[:, 0] > 0).astype(int) if y.shape[1] == 1 else y.argmax(axis=1)
    floats = np.mean(compute_float_classes(name, data["x_held_back"]) == data["y_held_back"])
    integers = np.mean(classes == data["y_held_back"])
    assert floats > 0.9, "a model that has learnt nothing loses nothing"
    assert integers >= floats - MOST_LOST
    report = json.loads((SEEDS / "models" / name / "report.json").read_text())
    assert report["accuracy"]["float_right"] == pytest.approx(floats)
    assert report["accuracy"]["integer_right"] == pytest.approx(integers)
    assert report["model_id"] == model.model_id_hex


@pytest.mark.parametrize("name", CANONICAL)
def test_real_outputs_are_those_of_the_float_model(name: str) -> None:
    """Not only the winner: dequantised logits, through what the manifest leaves to the caller, are the float probabilities."""
    model, data = load(name), load_data(name)
    logits = model.dequantize(model.run(model.quantize(data["x_held_back"])))
    session = open_session(SEEDS / "models" / name / "source.onnx")
    probabilities = session.run(None, {session.get_inputs()[0].name: data["x_held_back"]})[-1]
    if model.manifest.postprocess == "softmax":
        ours = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    else:
        assert model.manifest.postprocess == "sigmoid-complement"
        ours = np.concatenate([1 / (1 + np.exp(logits)), 1 / (1 + np.exp(-logits))], axis=1)
    assert np.abs(ours - probabilities).max() < 0.05


def test_the_convolutional_seed_compiles_too() -> None:
    """It is served as an opaque model, which it need not be."""
    data = load_data("digits-cnn")
    source = SEEDS / "models" / "digits-cnn" / "source.onnx"
    compiled = compile_model(source, data["x_calibration"], held_back=(data["x_held_back"], data["y_held_back"]))
    assert compiled.report is not None
    assert compiled.report.accuracy is not None
    assert compiled.report.accuracy.integer_right >= compiled.report.accuracy.float_right - MOST_LOST
    assert compiled.report.accuracy.agreement > 0.99


def choose_inputs(model: CanonicalModel, data: dict[str, Any]) -> Integers:
    """More than 10,000: uniform, all at one end, ends mixed, near zero, and real ones."""
    rng, size, shape = np.random.default_rng(11), model.input.size, model.input.shape
    low, high = model.input.format.low, model.input.format.high
    uniform = rng.integers(low, high + 1, (6000, size))
    mixed = rng.choice([low, low + 1, -1, 0, 1, high - 1, high], (4000, size))
    same = np.repeat(np.arange(low, high + 1, 17)[:, None], size, axis=1)
    single = np.concatenate([np.eye(size, dtype=np.int64) * low, np.eye(size, dtype=np.int64) * high])
    rows = np.concatenate([uniform, mixed, same, single]).reshape(-1, *shape)
    return np.concatenate([rows, model.quantize(data["x_held_back"])])


@pytest.mark.parametrize("name", CANONICAL)
def test_engine_and_onnxruntime_agree_on_ten_thousand_inputs(name: str) -> None:
    model = load(name)
    x = choose_inputs(model, load_data(name))
    assert len(x) > 10_000
    expected = model.run(x)
    assert len(np.unique(expected)) > 50
    path = SEEDS / "models" / name / "canonical" / "model.onnx"
    for threads, level in itertools.product((1, 2, 4), LEVELS):
        session = open_session(path, threads, level)
        (y,) = session.run([model.manifest.output_name], {model.manifest.input_name: x})
        assert np.array_equal(y, expected), (threads, level)
        one = session.run(None, {model.manifest.input_name: x[:1]})[0]
        assert np.array_equal(one[0], model.run(x[0]))


@pytest.mark.parametrize("name", CANONICAL)
def test_compiling_again_gives_the_same_model(name: str, tmp_path: Path) -> None:
    model, data = load(name), load_data(name)
    source = SEEDS / "models" / name / "source.onnx"
    again = compile_model(source, data["x_calibration"], name=name, labels=model.manifest.labels)
    assert again.model_id == model.model_id
    again.save(tmp_path)
    for file in (SEEDS / "models" / name / "canonical").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_loading_and_running_needs_no_model_or_training_package() -> None:
    """A fresh interpreter in which these packages cannot be imported at all."""
    program = """
import sys
for name in ("onnx", "onnxruntime", "sklearn", "jax", "skl2onnx", "google.protobuf"):
    sys.modules[name] = None
import numpy as np
from circuits import CanonicalModel
model = CanonicalModel.load(sys.argv[1])
print(model.model_id_hex, model.run(np.zeros(model.input.shape, int)).tolist())
"""
    folder = SEEDS / "models" / "digits-mlp" / "canonical"
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True, cwd=SEEDS.parent)
    model = load("digits-mlp")
    assert done.stdout.strip() == f"{model.model_id_hex} {model.run(np.zeros(64, int)).tolist()}"


def test_manifest_lists_every_file() -> None:
    """By another road than write_manifest.py: sizes and digests of what lies there, nothing missing, nothing more."""
    listed = json.loads((SEEDS / "manifest.json").read_bytes())["files"]
    folders = ("data", "models", "requests", "training")
    found = [f for d in folders for f in (SEEDS / d).rglob("*") if f.is_file() and f.suffix != ".pyc"]
    assert {f.relative_to(SEEDS).as_posix() for f in found} == set(listed)
    for file in found:
        content = file.read_bytes()
        assert listed[file.relative_to(SEEDS).as_posix()] == {"bytes": len(content), "keccak256": "0x" + keccak(content).hex()}


@pytest.mark.parametrize("name", MODELS)
def test_requests_are_held_back_samples(name: str) -> None:
    data, request = load_data(name), json.loads((SEEDS / "requests" / f"{name}.json").read_text())
    assert request["model"] == name
    for sample, x, y in zip(request["samples"], data["x_held_back"], data["y_held_back"], strict=False):
        assert np.array_equal(np.array(sample["input"], np.float32), x)
        assert sample["true_class"] == y


@pytest.mark.parametrize("name", MODELS)
def test_nothing_held_back_was_calibrated_on(name: str) -> None:
    data = load_data(name)
    calibrated = {row.tobytes() for row in data["x_calibration"]}
    repeated = sum(row.tobytes() in calibrated for row in data["x_held_back"])
    assert repeated <= 1  # iris holds one flower twice


def test_the_folder_is_small() -> None:
    assert sum(f.stat().st_size for f in SEEDS.rglob("*") if f.is_file()) < 5 << 20
