"""A canonical network: a directed acyclic graph of integer operators, its numbers, and its descriptor (`circuit.bin`).

The descriptor is a sequence of 32-byte words, big-endian. docs/models.md has the table and example bytes. A word that
is not used by an operator's fields is zero; decoding encodes again and compares, so a network has exactly one
descriptor.

    header   "AFC2", u32 number of operators, u32 number of tables, 20 zero bytes
    input    0x01, u8 rank, u8 format, u8 1 where the input is a commitment, i32 exponent, 6 × u32 dimension
    linear   0x10, u8 shift, u8 format, u8 rank, u8 terms, u8 bias axis + 1, 00, 6 × u32 dimension; then a word a term and an axis
    table    0x20, u8 table, u8 format, u8 rank, u32 operand, 6 × u32 dimension
    output   0x02, u8 rank, u8 format, 0, u32 operand, i32 exponent, 20 zero bytes; then 8 zero bytes, 6 × u32 dimension

Operator 0 is the input, the last one the output; every operand id is smaller than the operator's own, and every
operator but the last is used. At least one operator is linear: a proof has rows to open.

An input that a statement gives as a commitment is read by operator 1 alone, which is its identity: a rescale, whose result is
in range, since it rounds and clamps what is not. Its padding is never opened, so it counts as zero.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from circuits.errors import InvariantBroken
from circuits.layers import linear, table
from circuits.layers.axes import Axis, Mode
from circuits.layers.linear import Linear, LinearWeights, decode_shape, encode_shape
from circuits.layers.table import Table
from circuits.layers.term import MAX_WEIGHTS, Shape, Term
from circuits.tensors import VALUE_BITS, Format, Integers, TensorType

MAGIC = b"AFC2"
WORD = 32
MAX_OPERATORS = 256
MAX_WORDS = 1 << 14
MAX_ROW_BITS = 22
CODE_INPUT, CODE_OUTPUT = 0x01, 0x02
Operator = Linear | Table


class DescriptorError(ValueError):
    """A descriptor or a network that breaks a rule; carried upwards as ModelFileError or CompileError by whoever knows the file."""


@dataclass(frozen=True)
class Network:
    """Input type, inner operators with ids 1, 2, …, and the output: an operand id and the type it is read as."""

    input: TensorType
    operators: tuple[Operator, ...]
    output_operand: int
    output: TensorType
    is_input_committed: bool = False

    @property
    def shapes(self) -> list[Shape]:
        """Of every tensor, by operator id."""
        return [self.input.shape, *(operator.shape for operator in self.operators)]

    @property
    def formats(self) -> list[Format]:
        """Of every tensor, by operator id."""
        return [self.input.format, *(operator.format for operator in self.operators)]

    @property
    def table_count(self) -> int:
        return 1 + max((operator.number for operator in self.operators if isinstance(operator, Table)), default=-1)

    @property
    def table_formats(self) -> list[Format]:
        """The format of each table's entries, by number."""
        found = {operator.number: operator.format for operator in self.operators if isinstance(operator, Table)}
        return [found[number] for number in range(self.table_count)]

    def check(self) -> None:
        """Raise DescriptorError unless every rule of the descriptor holds."""
        for tensor in (self.input, self.output):
            if problem := tensor.problem():
                raise DescriptorError(problem)
        if not self.input.shape:
            raise DescriptorError("the input has no axis")
        if not 1 <= len(self.operators) <= MAX_OPERATORS - 2:
            raise DescriptorError(f"{len(self.operators)} operators, not 1 to {MAX_OPERATORS - 2}")
        shapes: list[Shape] = [self.input.shape]
        for index, operator in enumerate(self.operators, start=1):
            self._check_operator(index, operator, shapes)
            shapes.append(operator.shape)
        self._check_size()
        self._check_tables()
        self._check_output(shapes)
        if self.is_input_committed:
            self._check_committed_input()
        if self.count_weights() > MAX_WEIGHTS:
            raise DescriptorError(f"more than {MAX_WEIGHTS} weights")

    def count_weights(self) -> int:
        shapes = self.shapes
        of_linear = [operator.list_weights_shapes(shapes) for operator in self.operators if isinstance(operator, Linear)]
        return sum(int(np.prod(shape)) for listed in of_linear for shape in listed)

    def _check_operator(self, index: int, operator: Operator, shapes: list[Shape]) -> None:
        for operand in operator.operands:
            if not 0 <= operand < index:
                raise DescriptorError(f"operator {index}: operand {operand} does not come before it")
        if problem := operator.problem(shapes):
            raise DescriptorError(f"operator {index}: {problem}")

    def _check_size(self) -> None:
        """Padding multiplies a tensor of six axes by up to 64, so what is counted are blocks, as a proof lays them out."""
        linears = [operator.shape for operator in self.operators if isinstance(operator, Linear)]
        tables = [operator.shape for operator in self.operators if isinstance(operator, Table)]
        if not linears:
            raise DescriptorError("no linear operator")
        for what, shapes in (("input", [self.input.shape]), ("linear operators", linears), ("tables", tables)):
            if sum(1 << sum((size - 1).bit_length() for size in shape) for shape in shapes) > 1 << MAX_ROW_BITS:
                raise DescriptorError(f"{what}: blocks of more than 2^{MAX_ROW_BITS} entries")
        if 4 + sum(len(operator.encode()) for operator in self.operators) // WORD > MAX_WORDS:
            raise DescriptorError(f"a descriptor above {MAX_WORDS} words")

    def _check_committed_input(self) -> None:
        if self.operators[0] != make_input_identity(self.input):
            raise DescriptorError("a committed input is not read by its identity first")
        if any(0 in operator.operands for operator in self.operators[1:]):
            raise DescriptorError("a committed input is read by more than its identity")

    def _check_tables(self) -> None:
        """Numbered in the order of first use, and one format for each."""
        formats: list[Format] = []
        for operator in self.operators:
            if isinstance(operator, Table):
                if operator.number > len(formats):
                    raise DescriptorError(f"table {operator.number} before table {len(formats)}")
                if operator.number == len(formats):
                    formats.append(operator.format)
                if formats[operator.number] != operator.format:
                    raise DescriptorError(f"table {operator.number} in two formats")

    def _check_output(self, shapes: list[Shape]) -> None:
        last = len(self.operators)
        if not 1 <= self.output_operand <= last or int(np.prod(shapes[self.output_operand])) != self.output.size:
            raise DescriptorError("the output does not have the size of its operand")
        if self.formats[self.output_operand] != self.output.format:
            raise DescriptorError("the output does not have the format of its operand")
        used = {self.output_operand}.union(*(op.operands for op in self.operators))
        if used != set(range(last + 1)):
            raise DescriptorError("an operator is never used")


def encode_descriptor(network: Network) -> bytes:
    """The circuit bytes of a network that satisfies `check`."""
    header = MAGIC + struct.pack(">II20x", len(network.operators) + 2, network.table_count)
    source = network.input
    first = struct.pack(">BBBBi", CODE_INPUT, len(source.shape), source.format, network.is_input_committed, source.exponent)
    last = struct.pack(
        ">BBBxIi20x", CODE_OUTPUT, len(network.output.shape), network.output.format, network.output_operand, network.output.exponent
    )
    inner = b"".join(operator.encode() for operator in network.operators)
    return header + first + encode_shape(network.input.shape) + inner + last + bytes(8) + encode_shape(network.output.shape)


def decode_descriptor(data: bytes) -> Network:
    """Parse and check circuit bytes. Raises DescriptorError; accepts exactly what encode_descriptor makes."""
    if len(data) % WORD or not 4 * WORD <= len(data) <= WORD * MAX_WORDS or data[:4] != MAGIC:
        raise DescriptorError("not a whole number of words beginning with AFC2")
    words = [data[i : i + WORD] for i in range(0, len(data), WORD)]
    try:
        network = _decode_words(words)
        network.check()
    except (ValueError, IndexError, struct.error) as error:
        raise DescriptorError(str(error)) from error
    if encode_descriptor(network) != data:
        raise DescriptorError("a count or an unused byte is not what it must be")
    return network


def _decode_words(words: list[bytes]) -> Network:
    decoders: dict[int, Callable[[list[bytes], int], tuple[Operator, int]]] = {linear.CODE: linear.decode, table.CODE: table.decode}
    operators: list[Operator] = []
    position = 2
    while position < len(words) - 2:
        code = words[position][0]
        if code not in decoders:
            raise DescriptorError(f"operator {len(operators) + 1}: unknown code 0x{code:02x}")
        operator, position = decoders[code](words, position)
        operators.append(operator)
    if position != len(words) - 2:
        raise DescriptorError("an operator reaches into the output's words")
    _, in_rank, in_format, is_committed, in_exponent = struct.unpack(">BBBBi", words[1][:8])
    _, out_rank, out_format, operand, out_exponent = struct.unpack(">BBBxIi20x", words[-2])
    source = TensorType(decode_shape(words[1], in_rank), Format(in_format), in_exponent)
    result = TensorType(decode_shape(words[-1], out_rank), Format(out_format), out_exponent)
    return Network(source, tuple(operators), operand, result, is_committed == 1)


def make_input_identity(source: TensorType) -> Linear:
    """The rescale that gives a tensor as it is, where it is in range: what operator 1 of a committed input must be."""
    axes = tuple(Axis(Mode.DIRECT, axis) for axis in range(len(source.shape)))
    return Linear(source.shape, VALUE_BITS, source.format, (Term(0, axes, coefficient=1 << VALUE_BITS),))


@dataclass(frozen=True)
class Parameters:
    """The numbers of a network: one LinearWeights per LINEAR operator, in order, and the tables."""

    layers: tuple[LinearWeights, ...]
    tables: tuple[Integers, ...] = ()

    @property
    def count(self) -> int:
        """Weights and biases; tables are not counted."""
        return sum(numbers.count for numbers in self.layers)

    def pair_with(self, operators: Sequence[Operator]) -> list[tuple[Operator, LinearWeights | None]]:
        """Every operator with its numbers, None for tables."""
        numbers = iter(self.layers)
        return [(operator, next(numbers) if isinstance(operator, Linear) else None) for operator in operators]


def check_parameters(network: Network, parameters: Parameters) -> None:
    """Raise DescriptorError or BoundError unless the numbers fit the network: shapes, ranges, and every layer's static bound."""
    if len(parameters.layers) != sum(isinstance(operator, Linear) for operator in network.operators):
        raise InvariantBroken(f"{len(parameters.layers)} parameter sets for other operators")
    if len(parameters.tables) != network.table_count:
        raise InvariantBroken(f"{len(parameters.tables)} tables, not {network.table_count}")
    shapes, formats = network.shapes, network.formats
    for index, (operator, numbers) in enumerate(parameters.pair_with(network.operators), start=1):
        if isinstance(operator, Linear) and numbers is not None:
            if problem := numbers.problem(operator, shapes):
                raise DescriptorError(f"operator {index}: {problem}")
            linear.check_bound(f"operator {index}", operator, numbers, formats, shapes)
    for number, (entries, result) in enumerate(zip(parameters.tables, network.table_formats, strict=True)):
        if problem := table.entries_problem(entries, result):
            raise DescriptorError(f"table {number}: {problem}")


def run_network(network: Network, parameters: Parameters, x: Integers) -> list[Integers]:
    """Every tensor of the network, by operator id, for inputs (batch, size) already validated. Parameters must satisfy check_parameters."""
    tensors, shapes, formats = [x], network.shapes, network.formats
    for operator, numbers in parameters.pair_with(network.operators):
        if isinstance(operator, Table):
            tensors.append(table.run(parameters.tables[operator.number], tensors[operator.operand], formats[operator.operand]))
        else:
            assert numbers is not None
            tensors.append(linear.run(operator, numbers, tensors, shapes))
    return tensors
