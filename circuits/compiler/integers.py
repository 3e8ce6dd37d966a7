"""The integer network of a plan: operators, numbers and tables in their order; and running it again where little has changed.

A search moves one exponent at a time. Layers are rounded once for each set of exponents around them, and a tensor is
computed anew only if its operator or an operand has changed since.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits.compiler.floats import FloatNetwork
from circuits.compiler.quantise import Choice, IntegerLayer, Known, quantise_layer
from circuits.errors import CompileError
from circuits.layers import linear, table
from circuits.layers.linear import Linear, LinearWeights
from circuits.layers.table import MAX_TABLES, Table
from circuits.network import DescriptorError, Network, Operator, Parameters
from circuits.tensors import Format, Integers, TensorType

KEPT_WEIGHTS = 1 << 25  # of rounded layers that may be wanted again: 256 MB


class Builder:
    """Integer layers of one float network, remembered."""

    def __init__(self, network: FloatNetwork) -> None:
        self.network = network
        self._rounded: dict[tuple[object, ...], IntegerLayer | CompileError] = {}
        self._weight = 0
        self._last: list[IntegerLayer] = []
        self._tensors: list[Integers] = []

    def make_input(self, exponent: int) -> TensorType:
        return TensorType(self.network.input_shape, Format.SIGNED, exponent)

    def list_exponents(self, exponent: int, choices: Sequence[Choice]) -> tuple[int, ...]:
        return (exponent, *(layer.exponent for layer in self._round_all(exponent, choices)))

    def build(self, exponent: int, choices: Sequence[Choice]) -> tuple[Network, Parameters]:
        """Raises CompileError if a layer does not fit, or the whole breaks a rule of the descriptor."""
        layers = self._round_all(exponent, choices)
        operators: list[Operator] = []
        numbers: list[LinearWeights] = []
        tables: list[tuple[bytes, Format, Integers]] = []
        for layer, source in zip(layers, self.network.layers, strict=True):
            if layer.linear is not None and layer.numbers is not None:
                operators.append(layer.linear)
                numbers.append(layer.numbers)
            else:
                assert layer.entries is not None
                number = _find_table(tables, layer.entries, layer.format)
                operators.append(Table(source.operands[0], source.shape, number, layer.format))
        result = TensorType(self.network.output_shape, layers[-1].format, layers[-1].exponent)
        network = Network(self.make_input(exponent), tuple(operators), len(operators), result)
        try:
            network.check()
        except DescriptorError as error:
            raise CompileError("the network does not fit a descriptor", got=str(error)) from error
        return network, Parameters(tuple(numbers), tuple(entries for _, _, entries in tables))

    def run(self, exponent: int, choices: Sequence[Choice], x: Integers) -> tuple[int, Integers]:
        """The output's exponent and its integers (n, size). Raises CompileError if a layer does not fit."""
        layers = self._round_all(exponent, choices)
        formats = [Format.SIGNED, *(layer.format for layer in layers)]
        is_same = [bool(self._tensors) and self._tensors[0].shape == x.shape and np.array_equal(self._tensors[0], x)]
        tensors = [x]
        for index, layer in enumerate(layers):
            operands = self.network.layers[index].operands
            same = index < len(self._last) and self._last[index] is layer and all(is_same[k] for k in operands)
            is_same.append(same)
            tensors.append(self._tensors[index + 1] if same else self._run_layer(index, layer, tensors, formats))
        self._last, self._tensors = layers, tensors
        return layers[-1].exponent, tensors[-1]

    def _run_layer(self, index: int, layer: IntegerLayer, tensors: list[Integers], formats: list[Format]) -> Integers:
        operand = self.network.layers[index].operands[0]
        if layer.linear is None or layer.numbers is None:
            assert layer.entries is not None
            return table.run(layer.entries, tensors[operand], formats[operand])
        return run_in_batches(layer.linear, layer.numbers, tensors, self.network)

    def _round_all(self, exponent: int, choices: Sequence[Choice]) -> list[IntegerLayer]:
        known = Known([exponent], [Format.SIGNED], [self.network.input_shape])
        layers = []
        for index, choice in enumerate(choices):
            layer = self._round(index, known, choice)
            layers.append(layer)
            known.exponents.append(layer.exponent)
            known.formats.append(layer.format)
            known.shapes.append(self.network.layers[index].shape)
        return layers

    def _round(self, index: int, known: Known, choice: Choice) -> IntegerLayer:
        source = self.network.layers[index]
        around = tuple((known.exponents[k], known.formats[k]) for k in (*source.operands, *source.grid.like))
        key = (index, around, choice)
        if key not in self._rounded:
            self._weight += 1 + source.count_weights()
            if self._weight > KEPT_WEIGHTS:
                self._rounded, self._weight = {}, source.count_weights()
            try:
                self._rounded[key] = quantise_layer(source, known, choice)
            except CompileError as error:
                self._rounded[key] = error
        layer = self._rounded[key]
        if isinstance(layer, CompileError):
            raise layer
        return layer


def run_in_batches(layer: Linear, numbers: LinearWeights, tensors: list[Integers], network: FloatNetwork) -> Integers:
    """(n, size) activations, a few samples at a time: windows take memory."""
    step, count = network.choose_batch(), len(tensors[0])
    shapes = list(network.shapes)
    parts = []
    for start in range(0, count, step):
        batch = [values[start : start + step] for values in tensors]
        parts.append(linear.run(layer, numbers, batch, shapes))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _find_table(tables: list[tuple[bytes, Format, Integers]], entries: Integers, result: Format) -> int:
    """The number of a table, which is added unless it is there already. Raises CompileError above the cap."""
    content = entries.tobytes()
    for number, (known, known_format, _) in enumerate(tables):
        if (known, known_format) == (content, result):
            return number
    if len(tables) == MAX_TABLES:
        raise CompileError("number of different tables", f"at most {MAX_TABLES}", "more")
    tables.append((content, result, entries))
    return len(tables) - 1
