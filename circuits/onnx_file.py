"""`model.onnx`: a canonical network as an ONNX file, a function of descriptor and numbers byte for byte.

Only float64 and int64 operators, and every intermediate value is an integer below 2^53, so any runtime computes the same
bits whatever its threads, its optimisation level or its order of summation. Per term the operand's axes are gathered
(Pad, Gather) into result and kernel axes, then summed against the weights (Einsum); per LINEAR operator

    Σ terms (float64) → Add (bias + half + 2^(s+25)) → Cast int64 → Div 2^s → Sub 2^25 → Clip

The 2^(s+25) makes the dividend positive (the static bound keeps |acc| below 2^(s+24) + 2^(s+11)), and integer division
of positive numbers is the floor, which ONNX's truncating Div is not for negative ones. Per TABLE operator: Add o, Gather.
Field numbers are those of onnx.proto3. Needs no onnx package.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode
from circuits.layers.linear import Linear, LinearWeights, spread_bias
from circuits.layers.rescale import compute_half
from circuits.layers.table import Table
from circuits.layers.term import Shape, Term, Weights
from circuits.network import Network, Parameters
from circuits.protobuf import data, integer, text
from circuits.tensors import Format, Integers, TensorType

IR_VERSION = 8
OPSET = 17
INT64, FLOAT64 = 7, 11
LIFT_BITS = 25
BATCH = "batch"


def encode_onnx(network: Network, parameters: Parameters, input_name: str, output_name: str) -> bytes:
    """ModelProto bytes. Input and output are int64 with a symbolic batch axis in front of the shapes of the descriptor."""
    graph = _Graph(_choose_prefix(input_name, output_name))
    tensors, shapes, formats = [input_name], network.shapes, network.formats
    for index, (operator, numbers) in enumerate(parameters.pair_with(network.operators), start=1):
        name = f"{graph.prefix}{index}"
        if isinstance(operator, Table):
            tensors.append(_emit_table(graph, name, tensors, operator, parameters, formats))
        else:
            assert numbers is not None
            tensors.append(_emit_linear(graph, name, tensors, operator, numbers, shapes))
    shape = graph.constant(f"{graph.prefix}output_shape", np.array([0, *network.output.shape], np.int64))
    graph.node("Reshape", [tensors[network.output_operand], shape], output_name)
    body = b"".join(graph.nodes) + text(2, "affidavit") + b"".join(graph.initializers)
    body += data(11, _value_info(input_name, network.input)) + data(12, _value_info(output_name, network.output))
    opset = data(8, integer(2, OPSET))
    return integer(1, IR_VERSION) + text(2, "affidavit") + data(7, body) + opset


def _emit_table(graph: _Graph, name: str, tensors: Sequence[str], table: Table, parameters: Parameters, formats: Sequence[Format]) -> str:
    entries = graph.constant(f"{name}_entries", parameters.tables[table.number].astype(np.int64))
    offset = graph.constant(f"{name}_offset", np.array(formats[table.operand].offset, np.int64))
    index = graph.node("Add", [tensors[table.operand], offset], f"{name}_index")
    return graph.node("Gather", [entries, index], name)


def _emit_linear(graph: _Graph, name: str, tensors: Sequence[str], layer: Linear, numbers: LinearWeights, shapes: Sequence[Shape]) -> str:
    """Append one LINEAR operator; returns the name of its int64 activations, shaped (batch, *shape)."""
    lift = compute_half(layer.shift) + (1 << (layer.shift + LIFT_BITS))
    bias = graph.constant(f"{name}_bias", (_repeat(layer, spread_bias(layer, numbers.bias)) + lift).astype(np.float64)[None])
    divisor = graph.constant(f"{name}_divisor", np.array(1 << layer.shift, np.int64))
    zero = graph.constant(f"{name}_zero", np.array(1 << LIFT_BITS, np.int64))
    low = graph.constant(f"{name}_low", np.array(layer.format.low, np.int64))
    high = graph.constant(f"{name}_high", np.array(layer.format.high, np.int64))
    total = bias
    for number, (term, array) in enumerate(numbers.pair_with(layer)):
        value = _TermGraph(graph, f"{name}_term{number}", term, layer.shape, shapes).emit(tensors, array)
        total = graph.node("Add", [value, total], f"{name}_sum{number}")
    lifted = graph.cast(total, f"{name}_lifted", INT64)
    shifted = graph.node("Sub", [graph.node("Div", [lifted, divisor], f"{name}_quotient"), zero], f"{name}_shifted")
    return graph.node("Clip", [shifted, low, high], name)


def _repeat(layer: Linear, bias: Integers) -> Integers:
    """The bias, written out along the axes that no term has: nothing else would give the sum its shape there."""
    repeated = set.intersection(*(set(term.find_broadcast(layer.shape)) for term in layer.terms))
    sizes = [layer.shape[o] if o in repeated else size for o, size in enumerate(bias.shape)]
    return np.broadcast_to(bias, sizes)


class _TermGraph:
    """One term: gather, Einsum, and the result's axes in their order."""

    def __init__(self, graph: _Graph, name: str, term: Term, result: Shape, shapes: Sequence[Shape]) -> None:
        self.graph, self.name, self.term, self.result, self.shapes = graph, name, term, result, shapes
        letters = iter(ascii_lowercase[1:])
        self.of_result = [next(letters) for _ in result]
        self.of_sum = {key: next(letters) for key in self._list_summed()}

    def _list_summed(self) -> list[tuple[str, int]]:
        kernels = [("kernel", a) for a in self.term.find_kernels()]
        return [*kernels, *(("axis", a) for a in self.term.find_axes(Mode.CONTRACT))]

    def emit(self, tensors: Sequence[str], numbers: Integers | None) -> str:
        x = self.graph.cast(tensors[self.term.operand], f"{self.name}_operand", FLOAT64)
        x, names = self._gather(x)
        inputs, equations = [x], [f"a{names}"]
        if self.term.weights is Weights.PARAMETERS and numbers is not None:
            inputs.append(self.graph.constant(f"{self.name}_weights", numbers.astype(np.float64)))
            shared = [self.of_result[self.term.axes[a].result] for a in self.term.find_axes(Mode.SHARED)]
            free = [self.of_result[o] for o in self.term.find_free(self.result)]
            equations.append("".join([*self.of_sum.values(), *shared, *free]))
        elif self.term.weights is Weights.TENSOR:
            other = self.graph.cast(tensors[self.term.tensor], f"{self.name}_tensor", FLOAT64)
            other, other_names = self._read_tensor(other)
            inputs.append(other)
            equations.append(f"a{other_names}")
        kept = [name for name in self.of_result if any(name in equation for equation in equations)]
        value = self.graph.einsum(inputs, f"{','.join(equations)}->a{''.join(kept)}", f"{self.name}_product")
        return self._spread(value, kept)

    def _gather(self, x: str) -> tuple[str, str]:
        """The operand with every axis turned into result, kernel and contracted axes, and their names."""
        shape = list(self.shapes[self.term.operand])
        names: list[str] = []
        at = 1
        for a, axis in enumerate(self.term.axes):
            match axis.mode:
                case Mode.DIRECT | Mode.SHARED:
                    names.append(self.of_result[axis.result])
                case Mode.CONTRACT:
                    names.append(self.of_sum["axis", a])
                case Mode.FIXED:
                    index = self.graph.constant(f"{self.name}_index{a}", np.array(axis.offset, np.int64))
                    x = self.graph.gather(x, index, at, f"{self.name}_fixed{a}")
                    shape.pop(at - 1)
                    continue
                case Mode.MERGE:
                    shape[at - 1 : at + 1] = [shape[at - 1] * shape[at]]
                    target = self.graph.constant(f"{self.name}_merged{a}", np.array([0, *shape], np.int64))
                    x = self.graph.node("Reshape", [x, target], f"{self.name}_merge{a}")
                    names.append(self.of_result[axis.result])
                case Mode.MERGED:
                    continue
                case Mode.AFFINE:
                    x, added = self._gather_affine(x, a, axis, at, shape)
                    names += added
                    at += len(added)
                    continue
            at += 1
        return x, "".join(names)

    def _gather_affine(self, x: str, a: int, axis: Axis, at: int, shape: list[int]) -> tuple[str, list[str]]:
        """Pad the axis with a zero, and gather [positions] [kernel] from it: what lies outside is that zero."""
        indices, size = axis.compute_indices(self.result), shape[at - 1]
        outside = (indices < 0) | (indices >= size)
        if outside.any():
            pads = np.zeros(2 * (len(shape) + 1), np.int64)
            pads[len(shape) + 1 + at] = 1
            amount = self.graph.constant(f"{self.name}_pads{a}", pads)
            x = self.graph.node("Pad", [x, amount], f"{self.name}_pad{a}")
        gathered = np.where(outside, size, indices).astype(np.int64)
        names = [] if axis.result == NO_AXIS else [self.of_result[axis.result]]
        if axis.kernel is Kernel.SUMMED:
            index = self.graph.constant(f"{self.name}_window{a}", gathered)
            x = self.graph.gather(x, index, at, f"{self.name}_taps{a}")
            axes = self.graph.constant(f"{self.name}_summed{a}", np.array([at + 1], np.int64))
            x = self.graph.node("ReduceSum", [x, axes], f"{self.name}_sum{a}", _int_attribute("keepdims", 0))
            gathered = gathered[:, 0]
        else:
            if axis.kernel is Kernel.NONE:
                gathered = gathered[:, 0]
            else:
                names.append(self.of_sum["kernel", a] if axis.kernel is Kernel.WEIGHTED else self.of_result[axis.kernel_result])
            index = self.graph.constant(f"{self.name}_window{a}", gathered)
            x = self.graph.gather(x, index, at, f"{self.name}_taps{a}")
        shape[at - 1 : at] = list(gathered.shape)
        if axis.result == NO_AXIS:
            shape.pop(at - 1)
            target = self.graph.constant(f"{self.name}_dropped{a}", np.array([0, *shape], np.int64))
            x = self.graph.node("Reshape", [x, target], f"{self.name}_drop{a}")
        return x, names

    def _read_tensor(self, x: str) -> tuple[str, str]:
        names, at = [], 1
        for number, axis in enumerate(self.term.tensor_axes):
            if axis.mode is Mode.FIXED:
                index = self.graph.constant(f"{self.name}_tensor_index{number}", np.array(axis.index, np.int64))
                x = self.graph.gather(x, index, at, f"{self.name}_tensor_fixed{number}")
                continue
            names.append(self.of_sum["axis", axis.axis] if axis.mode is Mode.CONTRACT else self.of_result[axis.axis])
            at += 1
        return x, "".join(names)

    def _spread(self, value: str, kept: Sequence[str]) -> str:
        """Axes of one where the term repeats, and the coefficient."""
        if len(kept) < len(self.result):
            sizes = [size if name in kept else 1 for size, name in zip(self.result, self.of_result, strict=True)]
            target = self.graph.constant(f"{self.name}_shape", np.array([0, *sizes], np.int64))
            value = self.graph.node("Reshape", [value, target], f"{self.name}_spread")
        if self.term.coefficient != 1:
            factor = self.graph.constant(f"{self.name}_coefficient", np.array(self.term.coefficient, np.float64))
            value = self.graph.node("Mul", [value, factor], f"{self.name}_scaled")
        return value


def _choose_prefix(input_name: str, output_name: str) -> str:
    """Of the names inside, so that none is the input's or the output's, whatever the source model called them."""
    prefix = "layer_"
    while input_name.startswith(prefix) or output_name.startswith(prefix):
        prefix = "_" + prefix
    return prefix


def _int_attribute(name: str, value: int) -> bytes:
    return data(5, text(1, name) + integer(3, value) + integer(20, 2))


class _Graph:
    """NodeProto and initializer fields of a GraphProto, in the order they were added."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[bytes] = []
        self.initializers: list[bytes] = []

    def node(self, operator: str, inputs: list[str], output: str, attributes: bytes = b"") -> str:
        names = b"".join(text(1, name) for name in inputs) + text(2, output) + text(3, output)
        self.nodes.append(data(1, names + text(4, operator) + attributes))
        return output

    def cast(self, operand: str, output: str, to: int) -> str:
        return self.node("Cast", [operand], output, _int_attribute("to", to))

    def gather(self, operand: str, indices: str, axis: int, output: str) -> str:
        return self.node("Gather", [operand, indices], output, _int_attribute("axis", axis))

    def einsum(self, inputs: list[str], equation: str, output: str) -> str:
        attribute = text(1, "equation") + data(4, equation.encode()) + integer(20, 3)
        return self.node("Einsum", inputs, output, data(5, attribute))

    def constant(self, name: str, values: NDArray[np.float64] | NDArray[np.int64]) -> str:
        little_endian = values.astype(values.dtype.newbyteorder("<"))
        kind = FLOAT64 if values.dtype.kind == "f" else INT64
        dims = b"".join(integer(1, d) for d in values.shape)
        self.initializers.append(data(5, dims + integer(2, kind) + text(8, name) + data(9, little_endian.tobytes())))
        return name


def _value_info(name: str, tensor: TensorType) -> bytes:
    """A ValueInfoProto of an int64 tensor with the batch axis in front."""
    dims = data(1, text(2, BATCH)) + b"".join(data(1, integer(1, d)) for d in tensor.shape)
    return text(1, name) + data(2, data(1, integer(1, INT64) + data(2, dims)))
