"""Compiling a float ONNX model into a canonical one: read, lower, fold, compare with onnxruntime, calibrate, round,
describe.

The result is a function of the file's bytes, the calibration samples, the name and the labels: compiling again gives
the same model id.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from circuits.compiler.accuracy import Accuracy, compute_accuracy, compute_class_count, read_truth
from circuits.compiler.calibration import load_calibration, read_samples
from circuits.compiler.crosscheck import Difference, check_against_runtime, choose_samples, measure_difference, run_on_runtime
from circuits.compiler.floats import FloatNetwork, Pointwise, Sum, count_rows, find_misfit
from circuits.compiler.fold import fold_steps
from circuits.compiler.lower import LoweredGraph, lower_graph
from circuits.compiler.report import CompileReport, count_input_saturations, describe_layers
from circuits.compiler.search import Plan, Search
from circuits.compiler.source import SourceGraph, read_source
from circuits.errors import CompileError
from circuits.layers.linear import MAX_WEIGHTS
from circuits.manifest import FileDigest, Manifest, decode_manifest, is_text
from circuits.model import CanonicalModel, compute_parts, encode_payload
from circuits.network import MAX_OPERATORS, MAX_ROW_BITS
from circuits.tensors import Format, Integers, Reals, TensorType

# Raised whenever the same file and samples would give another model.
COMPILER = ("affidavit circuits.compiler", "2")
CALIBRATION_ELEMENTS = 1 << 25  # of all tensors of all samples: 256 MB
CALIBRATION_PRODUCTS = 3 * 10**9
LEAST_SAMPLES = 16


def compile_model(
    path: str | os.PathLike[str],
    calibration: Any,
    *,
    name: str | None = None,
    labels: Sequence[str] | None = None,
    held_back: tuple[Any, Any] | None = None,
) -> CanonicalModel:
    """The canonical model of a float ONNX file, with its `report`.

    `calibration`: real inputs (samples, *shape of one sample), or the path of a file load_calibration reads. `name`: in the
    manifest; the graph's own by default. `labels`: class names in output order; the model's own by default. `held_back`:
    (inputs, class indices or names) to measure accuracy on. Raises CompileError (BoundError where a layer could break its
    accumulator bound) and CalibrationError; OSError passes through.
    """
    source, lowered = _read_and_lower(path)
    floats, folded = _build_network(source, lowered)
    samples = _read_calibration(calibration, source.sample_shape)
    used = samples[:: _choose_stride(floats, len(samples))]
    tensors = floats.run(used)
    compared = choose_samples(len(used))
    by_runtime = run_on_runtime(source, lowered.result, used[compared])
    check_against_runtime(by_runtime, tensors[-1][compared], is_quantised=floats.is_quantised)
    names = _choose_labels(labels, lowered, floats)
    search = Search(floats, samples, used, tensors, lowered.result.postprocess != "none" or names is not None)
    plan = search.run()
    model = _build_model(source, lowered, search, plan, name or source.model.graph.name or Path(path).stem, names)
    integers = _run_in_batches(model, floats, used[compared])
    difference = measure_difference(by_runtime, integers, model.output.exponent, lowered.quantum)
    accuracy = _measure(model, floats, lowered, held_back)
    exponents = search.list_exponents(plan)
    return replace(model, report=_describe(model, floats, plan, exponents, samples, used, difference, accuracy, folded, lowered))


def _choose_stride(network: FloatNetwork, count: int) -> int:
    """Every how-manieth sample calibrates the layers: all of a small network, fewer of one whose tensors are large."""
    most = min(CALIBRATION_ELEMENTS // network.count_elements(), CALIBRATION_PRODUCTS // network.count_products())
    return -(-count // max(LEAST_SAMPLES, most))


def _read_and_lower(path: str | os.PathLike[str]) -> tuple[SourceGraph, LoweredGraph]:
    try:
        source = read_source(path)
        return source, lower_graph(source)
    except UnicodeDecodeError as error:  # the parser keeps such names until somebody looks at them
        raise CompileError(f"{Path(path).name} holds a name that is not UTF-8") from error


def _build_network(source: SourceGraph, lowered: LoweredGraph) -> tuple[FloatNetwork, tuple[str, ...]]:
    core = lowered.result.core
    layers, folded = fold_steps(lowered.steps, source.sample_shape, lowered.index)
    shape = core.shape[1:] if source.has_batch and len(core.shape) > 1 and core.shape[0] == 1 else core.shape
    network = FloatNetwork(source.input_name, source.sample_shape, layers, lowered.output_name, shape or (1,))
    _check_caps(network)
    return network, folded


def _check_caps(network: FloatNetwork) -> None:
    """What a descriptor could not hold."""
    if problem := TensorType(network.output_shape, Format.SIGNED, 0).problem():
        raise CompileError(f"output '{network.output_name}'", got=problem)
    if not network.input_shape:
        raise CompileError(f"input '{network.input_name}'", "an axis")
    if len(network.layers) > MAX_OPERATORS - 2:
        raise CompileError("number of layers", f"at most {MAX_OPERATORS - 2}", len(network.layers))
    for layer in network.layers:
        if problem := find_misfit(layer, network.shapes):
            raise CompileError(f"layer '{layer.origin[-1]}' does not fit a descriptor", got=problem)
    for kind in (Sum, Pointwise):
        layers = [layer for layer in network.layers if isinstance(layer, kind)]
        if sum(map(count_rows, layers)) > 1 << MAX_ROW_BITS:
            largest = max(layers, key=count_rows)
            got = f"{sum(map(count_rows, layers))}, of which '{largest.origin[-1]}' has {count_rows(largest)}"
            raise CompileError("rows of the proof, axes padded to powers of two", f"at most 2^{MAX_ROW_BITS}", got)
    weights = network.count_weights()
    if weights > MAX_WEIGHTS:
        raise CompileError("number of weights", f"at most {MAX_WEIGHTS}", weights)


def _read_calibration(calibration: Any, shape: tuple[int, ...]) -> Reals:
    values = load_calibration(calibration) if isinstance(calibration, (str, os.PathLike)) else calibration
    return read_samples(values, shape, "calibration samples")


def _choose_labels(labels: Sequence[str] | None, lowered: LoweredGraph, floats: FloatNetwork) -> tuple[str, ...] | None:
    chosen = tuple(labels) if labels is not None else lowered.result.classes
    count = compute_class_count(floats.output_shape[-1], lowered.result.postprocess)
    if chosen is not None and (len(chosen) != count or len(set(chosen)) != count):
        raise CompileError("labels", f"{count} different names", list(chosen))
    return chosen


def _build_model(
    source: SourceGraph, lowered: LoweredGraph, search: Search, plan: Plan, name: str, labels: tuple[str, ...] | None
) -> CanonicalModel:
    for text in (name, source.input_name, lowered.output_name, *(labels or ())):
        if not is_text(text):
            raise CompileError("a name or label", "1 to 512 printable characters", repr(text)[:80])
    network, parameters = search.build(plan)
    parts = compute_parts(network, parameters)
    files = encode_payload(network, parameters, parts, source.input_name, lowered.output_name)
    manifest = Manifest(
        name=name,
        files={file: FileDigest.of(content) for file, content in files.items()},
        source=source.digest,
        input_name=source.input_name,
        input=network.input,
        scaling=plan.scaling,
        output_name=lowered.output_name,
        output=network.output,
        postprocess=lowered.result.postprocess,
        labels=labels,
        compiler=COMPILER,
    )
    return CanonicalModel(network, parameters, decode_manifest(manifest.encode()), parts)


def _measure(model: CanonicalModel, floats: FloatNetwork, lowered: LoweredGraph, held_back: tuple[Any, Any] | None) -> Accuracy | None:
    if held_back is None:
        return None
    x = read_samples(held_back[0], model.input.shape, "held-back samples")
    postprocess, size = model.manifest.postprocess, floats.output_shape[-1]
    count = compute_class_count(size, postprocess)
    truth = read_truth(held_back[1], len(x), lowered.result.classes or model.manifest.labels, count)
    outputs = _run_in_batches(model, floats, x)
    return compute_accuracy(truth, _run_floats(floats, x), outputs, postprocess)


def _run_floats(floats: FloatNetwork, x: Reals) -> Reals:
    """Outputs alone, a few samples at a time: the tensors between would fill the memory."""
    step = max(1, CALIBRATION_ELEMENTS // floats.count_elements())
    return np.concatenate([floats.run(x[start : start + step])[-1] for start in range(0, len(x), step)])


def _run_in_batches(model: CanonicalModel, floats: FloatNetwork, x: Reals) -> Integers:
    """(n, size) integer outputs for real inputs (n, size)."""
    quantized, step = model.quantize(x.reshape(len(x), *model.input.shape)), floats.choose_batch()
    parts = [model.run(quantized[start : start + step]) for start in range(0, len(x), step)]
    return np.concatenate(parts).reshape(len(x), -1)


def _describe(
    model: CanonicalModel,
    floats: FloatNetwork,
    plan: Plan,
    exponents: tuple[int, ...],
    samples: Reals,
    used: Reals,
    difference: Difference,
    accuracy: Accuracy | None,
    folded: tuple[str, ...],
    lowered: LoweredGraph,
) -> CompileReport:
    shape = model.input.shape
    quantized = model.quantize(samples.reshape(len(samples), *shape)).reshape(len(samples), -1)
    return CompileReport(
        name=model.manifest.name,
        model_id=model.model_id_hex,
        parameters=model.parameters.count,
        calibration_samples=len(samples),
        layer_samples=len(used),
        input_exponent=None if plan.scaling else plan.input_exponent,
        input_saturated=count_input_saturations(model, quantized),
        layers=describe_layers(model, floats, exponents, model.quantize(used.reshape(len(used), *shape)).reshape(len(used), -1)),
        calibration_error=plan.error,
        difference=difference,
        accuracy=accuracy,
        folded=folded,
        left_to_caller=lowered.left_to_caller,
        postprocess=model.manifest.postprocess,
    )
