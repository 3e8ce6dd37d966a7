"""Three ways to compute one integer network must agree bit for bit: Python integers, the engine, and the exported file on onnxruntime."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuits.errors import BoundError
from circuits.layers.axes import Kernel, Mode
from circuits.layers.linear import Linear, LinearWeights, make_dense
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.network import DescriptorError, Network, Parameters, check_parameters, decode_descriptor, encode_descriptor, run_network
from circuits.onnx_file import encode_onnx
from circuits.tensors import Format, Integers, TensorType
from circuits.weights import decode_weights, encode_weights
from tests.property.network_kinds import any_network

LEVELS = [
    onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
]
THREADS = [1, 2, 4]
Index = tuple[int, ...]


def list_indices(shape: Index) -> list[Index]:
    return list(product(*(range(size) for size in shape)))


def find_taps(term: Term, operand: Index, o: Index, q: Index) -> list[Index]:
    """The kernel indices with which operand element q enters result o, by the table of modes in circuits/layers/axes.py."""
    choices: list[list[int | None]] = []
    for number, (axis, at) in enumerate(zip(term.axes, q, strict=True)):
        match axis.mode:
            case Mode.DIRECT | Mode.SHARED:
                choices.append([None] if at == o[axis.result] else [])
            case Mode.CONTRACT | Mode.MERGED:
                choices.append([None])
            case Mode.FIXED:
                choices.append([None] if at == axis.offset else [])
            case Mode.MERGE:
                choices.append([None] if o[axis.result] == at * operand[number + 1] + q[number + 1] else [])
            case Mode.AFFINE:
                p = 0 if axis.result == 255 else o[axis.result]
                kernel = [o[axis.kernel_result]] if axis.kernel is Kernel.RESULT else range(axis.kernel_size)
                taps = [k for k in kernel if axis.stride * p + axis.dilation * k + axis.offset == at]
                choices.append([k if axis.kernel is Kernel.WEIGHTED else None for k in taps])
    return [tuple(k for k in combination if k is not None) for combination in product(*choices)]


def compute_term_by_hand(term: Term, tensors: list[list[int]], shapes: list[Index], numbers: Integers | None, result: Index) -> list[int]:
    """One term for every element of the result, in Python integers."""
    operand = shapes[term.operand]
    x = dict(zip(list_indices(operand), tensors[term.operand], strict=True))
    named = {n for axis in term.axes for n in (axis.result, axis.kernel_result)}
    free = [number for number in range(len(result)) if number not in named]
    contracted = [a for a, axis in enumerate(term.axes) if axis.mode is Mode.CONTRACT]
    shared = [a for a, axis in enumerate(term.axes) if axis.mode is Mode.SHARED]
    values = []
    for o in list_indices(result):
        total = 0
        for q, value in x.items():
            for taps in find_taps(term, operand, o, q):
                weight = 1
                if term.weights is Weights.PARAMETERS:
                    assert numbers is not None
                    weight = int(numbers[(*taps, *(q[a] for a in (*contracted, *shared)), *(o[n] for n in free))])
                elif term.weights is Weights.TENSOR:
                    other = dict(zip(list_indices(shapes[term.tensor]), tensors[term.tensor], strict=True))
                    at = {Mode.CONTRACT: q, Mode.DIRECT: o, Mode.SHARED: o}
                    weight = other[tuple(w.index if w.mode is Mode.FIXED else at[w.mode][w.axis] for w in term.tensor_axes)]
                total += term.coefficient * weight * value
        values.append(total)
    return values


def run_by_hand(network: Network, parameters: Parameters, x: list[int]) -> list[int]:
    """proof-system.md, section 1, in Python integers, one sample. Knows nothing of the engine."""
    tensors, shapes, layers = [x], [network.input.shape], iter(parameters.layers)
    for op in network.operators:
        if isinstance(op, Table):
            o = 2048 if network.formats[op.operand] is Format.SIGNED else 0
            tensors.append([int(parameters.tables[op.number][v + o]) for v in tensors[op.operand]])
        else:
            tensors.append(run_sum_by_hand(op, next(layers), tensors, shapes))
        shapes.append(op.shape)
    return tensors[network.output_operand]


def run_sum_by_hand(op: Linear, numbers: LinearWeights, tensors: list[list[int]], shapes: list[Index]) -> list[int]:
    arrays = iter(numbers.weights)
    totals = [0 if numbers.bias is None or op.bias_axis is None else int(numbers.bias[o[op.bias_axis]]) for o in list_indices(op.shape)]
    for term in op.terms:
        array = next(arrays) if term.weights is Weights.PARAMETERS else None
        totals = [a + b for a, b in zip(totals, compute_term_by_hand(term, tensors, shapes, array, op.shape), strict=True)]
    o, result = (0 if op.format is Format.RECTIFIED else 2048), []
    for acc in totals:
        total = acc + 2 ** (op.shift - 1) + 2**op.shift * o
        assert -(2 ** (op.shift + 24)) <= total < 2 ** (op.shift + 24)
        result.append(max(-o, min(4095 - o, (acc + 2 ** (op.shift - 1)) // 2**op.shift)))
    return result


def run_on_onnxruntime(content: bytes, x: Integers, threads: int, level: onnxruntime.GraphOptimizationLevel) -> Integers:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def network_of(widths: list[int], shifts: list[int], formats: list[Format], positions: int = 1, source: Format = Format.SIGNED) -> Network:
    """A chain of linear layers on an input of positions × widths[0]."""
    lead = (positions,) if positions > 1 else ()
    operators = tuple(
        make_dense(i, (*lead, widths[i]), widths[i + 1], shift, result, len(lead))
        for i, (shift, result) in enumerate(zip(shifts, formats, strict=True))
    )
    network = Network(TensorType((*lead, widths[0]), source, 0), operators, len(operators), TensorType((*lead, widths[-1]), formats[-1], 0))
    network.check()
    return network


def fit_to_bound(op: Linear, weights: Integers, bias: Integers, low: int, high: int) -> LinearWeights:
    """Weights (inputs, outputs) and biases divided by two until the layer satisfies its static bound: as extreme as it may be."""
    limit, constant = 2 ** (op.shift + 24), 2 ** (op.shift - 1) + 2**op.shift * op.format.offset
    while True:
        lowest = min(int(np.minimum(r * low, r * high).sum()) + int(b) for r, b in zip(weights.T, bias, strict=True)) + constant
        highest = max(int(np.maximum(r * low, r * high).sum()) + int(b) for r, b in zip(weights.T, bias, strict=True)) + constant
        if -limit <= lowest and highest < limit:
            return LinearWeights((weights,), bias)
        weights, bias = weights // 2, bias // 2


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, Parameters, Integers]:
    """One to five layers of one to nine neurons, both shifts and formats, numbers at their extremes or chosen for ties."""
    depth = draw(st.integers(1, 5))
    widths = draw(st.lists(st.sampled_from([1, 1, 2, 3, 5, 7, 9]), min_size=depth + 1, max_size=depth + 1))
    shifts = draw(st.lists(st.sampled_from([12, 24]), min_size=depth, max_size=depth))
    formats = draw(st.lists(st.sampled_from(list(Format)), min_size=depth, max_size=depth))
    network = network_of(widths, shifts, formats, draw(st.sampled_from([1, 1, 3])), draw(st.sampled_from(list(Format))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parameters, operand = [], network.input.format
    for op in network.operators:
        assert isinstance(op, Linear)
        limit = draw(st.sampled_from([1, 3, 2**11, 2**12, 2**18, 2**23 - 1]))
        outputs = op.shape[-1]
        weights = rng.integers(-limit, limit + 1, op.list_weights_shapes([network.shapes[op.operands[0]]] * len(network.shapes))[0])
        weights[rng.random(weights.shape) < 0.2] = limit
        # Half a step more or less than a multiple of 2^s: ties, when the products are multiples too.
        bias = rng.integers(-(2**12), 2**12, outputs) * 2**op.shift + draw(st.sampled_from([0, 1, -1])) * 2 ** (op.shift - 1)
        parameters.append(fit_to_bound(op, weights, bias, operand.low, operand.high))
        operand = op.format
    low, high = network.input.format.low, network.input.format.high
    shape = (24, *network.input.shape)
    x = np.where(rng.random(shape) < 0.5, rng.integers(low, high + 1, shape), rng.choice([low, low + 1, 0, 1, high], shape))
    return network, Parameters(tuple(parameters)), x


def check_agreement(case: tuple[Network, Parameters, Integers], threads: int, level: onnxruntime.GraphOptimizationLevel) -> None:
    network, parameters, x = case
    check_parameters(network, parameters)
    rows = x.reshape(len(x), -1)
    by_hand = [run_by_hand(network, parameters, row) for row in rows.tolist()]
    by_engine = run_network(network, parameters, rows)[network.output_operand]
    assert by_engine.tolist() == by_hand
    exported = run_on_onnxruntime(encode_onnx(network, parameters, "x", "y"), x, threads, level)
    assert exported.dtype == np.int64
    assert exported.shape == (len(x), *network.output.shape)
    assert exported.reshape(len(x), -1).tolist() == by_hand
    again = decode_descriptor(encode_descriptor(network))
    assert again == network
    assert encode_weights(decode_weights(encode_weights(parameters), again)) == encode_weights(parameters)


@given(networks(), st.sampled_from(THREADS), st.sampled_from(LEVELS))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_network_agrees(case: tuple[Network, Parameters, Integers], threads: int, level: onnxruntime.GraphOptimizationLevel) -> None:
    check_agreement(case, threads, level)


@given(any_network(), st.sampled_from(THREADS), st.sampled_from(LEVELS))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_kind_of_network_agrees(
    case: tuple[Network, Parameters, Integers], threads: int, level: onnxruntime.GraphOptimizationLevel
) -> None:
    """Convolutions, pools, products, sums, moved axes and tables, one behind the other."""
    check_agreement(case, threads, level)


@pytest.mark.slow
@given(any_network(), st.sampled_from(THREADS), st.sampled_from(LEVELS))
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_kind_of_network_agrees_at_length(
    case: tuple[Network, Parameters, Integers], threads: int, level: onnxruntime.GraphOptimizationLevel
) -> None:
    check_agreement(case, threads, level)


@pytest.mark.slow
@given(networks(), st.sampled_from(THREADS), st.sampled_from(LEVELS))
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_network_agrees_at_length(
    case: tuple[Network, Parameters, Integers], threads: int, level: onnxruntime.GraphOptimizationLevel
) -> None:
    check_agreement(case, threads, level)


@pytest.mark.parametrize("shift", [12, 24])
@pytest.mark.parametrize("result", list(Format))
def test_ties_and_saturation_by_the_page(shift: int, result: Format) -> None:
    """One neuron whose accumulator is the bias: every tie, both signs, and values one step inside and outside the range."""
    step, half = 2**shift, 2 ** (shift - 1)
    wanted = {k * step + d: k + (1 if d >= half else 0) for k in (-3, -2, -1, 0, 1, 2) for d in (0, 1, half - 1, half, half + 1, step - 1)}
    for limit in (-2049, -2048, 2047, 2048, 4094, 4095, 4096):
        wanted |= {limit * step + d: limit + (1 if d >= half else 0) for d in (0, half - 1, half)}
    network = network_of([1, len(wanted)], [shift], [result])
    numbers = Parameters((LinearWeights((np.zeros((1, len(wanted)), np.int64),), np.array(list(wanted), np.int64)),))
    low, high = (0, 4095) if result is Format.RECTIFIED else (-2048, 2047)
    expected = [max(low, min(high, v)) for v in wanted.values()]
    assert {low, high} <= set(expected)
    assert run_network(network, numbers, np.zeros((1, 1), np.int64))[1].tolist() == [expected]
    for threads, level in product(THREADS, LEVELS):
        y = run_on_onnxruntime(encode_onnx(network, numbers, "x", "y"), np.zeros((1, 1), np.int64), threads, level)
        assert y.tolist() == [expected]


@pytest.mark.parametrize("shift", [12, 24])
@pytest.mark.parametrize("result", list(Format))
@pytest.mark.parametrize("source", list(Format))
def test_the_bound_is_exact(shift: int, result: Format, source: Format) -> None:
    """The largest and the smallest accumulators the page allows compute everywhere; one more or one less is refused, by name."""
    bound, constant = 2 ** (shift + 24), 2 ** (shift - 1) + 2**shift * result.offset
    inputs = 40000 if shift == 24 else 16
    network = network_of([inputs, 1], [shift], [result], source=source)
    for target in (bound - 1 - constant, -bound - constant):
        end = (source.high if target > 0 else source.low) or source.high
        sign = 1 if target * end > 0 else -1
        # Four fifths by the weights, the rest by the bias (below 2^46), which keeps the other end of the inputs inside.
        weights = np.full((inputs, 1), sign * (abs(target) * 4 // 5 // (abs(end) * inputs)), np.int64)
        bias = np.array([target - int(weights.sum()) * end], np.int64)
        numbers = Parameters((LinearWeights((weights,), bias),))
        check_parameters(network, numbers)
        x = np.full((1, inputs), end, np.int64)
        acc = int((weights[:, 0] * x).sum() + bias[0])
        assert acc == target
        expected = result.high if target > 0 else result.low
        assert run_network(network, numbers, x)[1].tolist() == [[expected]]
        for level in LEVELS:
            assert run_on_onnxruntime(encode_onnx(network, numbers, "x", "y"), x, 2, level).tolist() == [[expected]]
        beyond = Parameters((LinearWeights((weights,), bias + (1 if target > 0 else -1)),))
        with pytest.raises(BoundError, match="operator 1"):
            check_parameters(network, beyond)


def test_every_intermediate_value_is_an_integer_below_2_53() -> None:
    """The exported file, with every inner tensor handed out, on a network at its bounds."""
    rng = np.random.default_rng(7)
    network = network_of([40, 30, 20, 10], [12, 24, 12], [Format.RECTIFIED, Format.SIGNED, Format.SIGNED])
    parameters, operand = [], network.input.format
    for number, op in enumerate(network.operators):
        assert isinstance(op, Linear)
        weights = rng.choice([-(2**23) + 1, 2**23 - 1], (network.shapes[number][0], op.shape[0]))
        numbers = fit_to_bound(op, weights, rng.integers(-(2**30), 2**30, op.shape[0]), operand.low, operand.high)
        parameters.append(numbers)
        operand = op.format
    model = onnx.load_model_from_string(encode_onnx(network, Parameters(tuple(parameters)), "x", "y"))
    onnx.checker.check_model(model, full_check=True)
    inner = [node.output[0] for node in model.graph.node]
    allowed = {onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64}
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    assert {v.type.tensor_type.elem_type for v in [*inferred.graph.value_info, *inferred.graph.output]} <= allowed
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for x in (rng.integers(-2048, 2048, (500, 40)), rng.choice([-2048, 2047], (500, 40))):
        for name, values in zip(inner, session.run(None, {"x": x}), strict=True):
            assert np.all(values == np.floor(values)), name
            assert np.abs(values).max() < 2**53, name


def square(operand: int) -> Linear:
    """A layer that fits every operand of three elements, so that only its place can be wrong."""
    return make_dense(operand, (3,), 3, 12, Format.SIGNED)


@pytest.mark.parametrize(
    ("operands", "output", "message"),
    [
        ([1], 1, "does not come before it"),
        ([0, 3, 0], 3, "does not come before it"),
        ([0, 0], 2, "never used"),
        ([0, 1, 1], 2, "never used"),
        ([0], 2, "output"),
        ([], 0, "0 operators"),
    ],
)
def test_a_graph_has_one_order_and_no_idle_operator(operands: list[int], output: int, message: str) -> None:
    """Also as bytes: the decoder checks what it reads."""
    tensor = TensorType((3,), Format.SIGNED, 0)
    network = Network(tensor, tuple(map(square, operands)), output, tensor)
    with pytest.raises(DescriptorError, match=message):
        network.check()
    with pytest.raises(DescriptorError):
        decode_descriptor(encode_descriptor(network))
