"""A canonical network: a directed acyclic graph of integer operators, its parameters, and its descriptor
(`circuit.bin`).

The descriptor is a sequence of 32-byte words, big-endian. docs/models.md has the table and example bytes. A word that
is not used by an operator's fields is zero; decoding encodes again and compares, so a network has exactly one
descriptor.

    header   "AFC1", u32 number of operators, 24 zero bytes
    input    0x01, u8 rank, u8 format, 0, i32 exponent, 6 × u32 dimension
    linear   0x10, u8 shift, u8 format, 0, u32 operand, u32 positions, u32 in features, u32 out features, 12 zero bytes
    output   0x02, u8 rank, u8 format, 0, u32 operand, i32 exponent, 20 zero bytes; then 8 zero bytes, 6 × u32 dimension

Operator 0 is the input, the last one the output; every operand id is smaller than the operator's own, and every
operator but the last is used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from circuits.errors import InvariantBroken
from circuits.layers import linear
from circuits.layers.linear import MAX_WEIGHTS, Linear, LinearWeights
from circuits.tensors import MAX_RANK, Format, Integers, TensorType

MAGIC = b"AFC1"
WORD = 32
MAX_OPERATORS = 256
CODE_INPUT, CODE_OUTPUT = 0x01, 0x02


class DescriptorError(ValueError):
    """A descriptor or a network that breaks a rule; carried upwards as ModelFileError or CompileError by whoever knows the file."""


class Operator(Protocol):
    """What the network asks of every inner operator."""

    @property
    def operands(self) -> tuple[int, ...]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def format(self) -> Format: ...
    def problem(self) -> str | None: ...
    def encode(self) -> bytes: ...


# Later operators join here: descriptor code → (number of words, decoder).
DECODERS: dict[int, tuple[int, Callable[[bytes], Linear]]] = {linear.CODE: (linear.WORDS, linear.decode)}


@dataclass(frozen=True)
class Network:
    """Input type, inner operators with ids 1, 2, …, and the output: an operand id and the type it is read as."""

    input: TensorType
    operators: tuple[Linear, ...]
    output_operand: int
    output: TensorType

    def operand_format(self, index: int) -> Format:
        """Format of the tensor with operator id `index`."""
        return self.input.format if index == 0 else self.operators[index - 1].format

    def operand_size(self, index: int) -> int:
        return self.input.size if index == 0 else self.operators[index - 1].size

    def check(self) -> None:
        """Raise DescriptorError unless every rule of the descriptor holds."""
        for tensor in (self.input, self.output):
            if problem := tensor.problem():
                raise DescriptorError(problem)
        if not 1 <= len(self.operators) <= MAX_OPERATORS - 2:
            raise DescriptorError(f"{len(self.operators)} operators, not 1 to {MAX_OPERATORS - 2}")
        for index, operator in enumerate(self.operators, start=1):
            self._check_operator(index, operator)
        self._check_output()
        if sum(op.in_features * op.out_features for op in self.operators) > MAX_WEIGHTS:
            raise DescriptorError(f"more than {MAX_WEIGHTS} weights")

    def _check_operator(self, index: int, operator: Operator) -> None:
        if problem := operator.problem():
            raise DescriptorError(f"operator {index}: {problem}")
        for operand in operator.operands:
            if not 0 <= operand < index:
                raise DescriptorError(f"operator {index}: operand {operand} does not come before it")
            if self.operand_size(operand) != operator.input_size:
                raise DescriptorError(f"operator {index}: {operator.input_size} operand elements, not {self.operand_size(operand)}")

    def _check_output(self) -> None:
        last = len(self.operators)
        if not 0 <= self.output_operand <= last or self.operand_size(self.output_operand) != self.output.size:
            raise DescriptorError("the output does not have the size of its operand")
        if self.operand_format(self.output_operand) != self.output.format:
            raise DescriptorError("the output does not have the format of its operand")
        used = {self.output_operand}.union(*(op.operands for op in self.operators))
        if used != set(range(last + 1)):
            raise DescriptorError("an operator is never used")


def encode_descriptor(network: Network) -> bytes:
    """The circuit bytes of a network that satisfies `check`."""
    header = MAGIC + struct.pack(">I24x", len(network.operators) + 2)
    first = struct.pack(">BBBxi", CODE_INPUT, len(network.input.shape), network.input.format, network.input.exponent)
    last = struct.pack(
        ">BBBxIi20x", CODE_OUTPUT, len(network.output.shape), network.output.format, network.output_operand, network.output.exponent
    )
    inner = b"".join(operator.encode() for operator in network.operators)
    return header + first + _encode_shape(network.input) + inner + last + bytes(8) + _encode_shape(network.output)


def _encode_shape(tensor: TensorType) -> bytes:
    return struct.pack(f">{MAX_RANK}I", *tensor.shape, *[0] * (MAX_RANK - len(tensor.shape)))


def decode_descriptor(data: bytes) -> Network:
    """Parse and check circuit bytes. Raises DescriptorError; accepts exactly what encode_descriptor makes."""
    if len(data) % WORD or not 4 * WORD <= len(data) <= WORD * (MAX_OPERATORS + 2) or data[:4] != MAGIC:
        raise DescriptorError("not a whole number of words beginning with AFC1")
    words = [data[i : i + WORD] for i in range(0, len(data), WORD)]
    try:
        network = _decode_words(words)
        network.check()
    except (ValueError, struct.error) as error:
        raise DescriptorError(str(error)) from error
    if encode_descriptor(network) != data:
        raise DescriptorError("a count or an unused byte is not what it must be")
    return network


def _decode_words(words: list[bytes]) -> Network:
    operators: list[Linear] = []
    position = 2
    while position < len(words) - 2:
        code = words[position][0]
        if code not in DECODERS:
            raise DescriptorError(f"operator {len(operators) + 1}: unknown code 0x{code:02x}")
        count, decode = DECODERS[code]
        operators.append(decode(b"".join(words[position : position + count])))
        position += count
    _, in_rank, in_format, in_exponent = struct.unpack(">BBBxi", words[1][:8])
    _, out_rank, out_format, operand, out_exponent = struct.unpack(">BBBxIi20x", words[-2])
    source = TensorType(_decode_shape(words[1], in_rank), Format(in_format), in_exponent)
    result = TensorType(_decode_shape(words[-1], out_rank), Format(out_format), out_exponent)
    return Network(source, tuple(operators), operand, result)


def _decode_shape(word: bytes, rank: int) -> tuple[int, ...]:
    if rank > MAX_RANK:
        raise DescriptorError(f"rank {rank} is above {MAX_RANK}")
    return struct.unpack(f">{MAX_RANK}I", word[8:])[:rank]


def check_parameters(network: Network, parameters: tuple[LinearWeights, ...]) -> None:
    """Raise DescriptorError or BoundError unless the numbers fit the network: shapes, ranges, and every layer's static bound."""
    if len(parameters) != len(network.operators):
        raise InvariantBroken(f"{len(parameters)} parameter sets for {len(network.operators)} operators")
    for index, (operator, numbers) in enumerate(zip(network.operators, parameters, strict=True), start=1):
        if problem := numbers.problem(operator):
            raise DescriptorError(f"operator {index}: {problem}")
        linear.check_bound(f"operator {index}", operator, numbers, network.operand_format(operator.operand))


def run_network(network: Network, parameters: tuple[LinearWeights, ...], x: Integers) -> list[Integers]:
    """Every tensor of the network, by operator id, for inputs (batch, size) already validated. Parameters must satisfy check_parameters."""
    tensors = [x]
    for operator, numbers in zip(network.operators, parameters, strict=True):
        tensors.append(linear.run(operator, numbers, tensors[operator.operand]))
    return tensors
