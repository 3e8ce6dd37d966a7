"""Committed networks for proofs: numbers as large as the static bound allows, one input, and a local setup.

The local setup knows its secret, so nothing made with it convinces anybody; it exists because its chunks are short: small
networks then span many of them, and a proof takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from circuits.committed import CommittedModel, commit_parameters
from circuits.errors import BoundError
from circuits.field import MODULUS
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode
from circuits.layers.linear import Linear, LinearWeights, check_bound, make_dense
from circuits.layout import TABLE_LENGTH, Layout
from circuits.network import Network, Operator, Parameters, check_parameters, decode_descriptor, encode_descriptor, run_network
from circuits.proof_bytes import Proof, decode_proof, encode_proof
from circuits.prover import Prover, commit_input
from circuits.setup import Setup
from circuits.statement import Statement, read_statement
from circuits.tensors import Format, Integers, TensorType
from circuits.trace import Trace, compute_trace
from circuits.verifier import verify_statement

SECRET = 0x1234567890ABCDEF1234567890ABCDEF
CONTEXT = bytes(range(32))
RECTIFIED, SIGNED = Format.RECTIFIED, Format.SIGNED
CONTRACT, MERGED = Axis(Mode.CONTRACT), Axis(Mode.MERGED)
CHUNK_BITS = 7


@cache
def make_local_setup(chunk_bits: int) -> Setup:
    """2^chunk_bits powers of a secret that everybody knows: insecure, for tests."""
    powers = [bytes((G1Point() * Scalar(pow(SECRET, i, MODULUS))).to_xy_bytes_be()) for i in range(1 << chunk_bits)]
    return Setup(tuple(powers), G2Point() * Scalar(SECRET))


# ---- axes and networks in few words ------------------------------------------------------------------------------------------------


def direct(result: int) -> Axis:
    return Axis(Mode.DIRECT, result)


def shared(result: int) -> Axis:
    return Axis(Mode.SHARED, result)


def fixed(index: int) -> Axis:
    return Axis(Mode.FIXED, offset=index)


def merge(result: int) -> Axis:
    return Axis(Mode.MERGE, result)


def window(
    result: int, size: int, kernel: Kernel, stride: int = 1, dilation: int = 1, offset: int = 0, kernel_result: int = NO_AXIS
) -> Axis:
    """q = stride·p + dilation·k + offset, k < size."""
    return Axis(Mode.AFFINE, result, kernel, kernel_result, size, stride, dilation, offset)


def step(result: int, stride: int = 1, offset: int = 0) -> Axis:
    """q = stride·p + offset."""
    return Axis(Mode.AFFINE, result, Kernel.NONE, NO_AXIS, 1, stride, 0, offset)


def make_network(shape: tuple[int, ...], operators: Sequence[Operator], source: Format = SIGNED, is_committed: bool = False) -> Network:
    """The last operator is the output. The descriptor must decode to the same network."""
    last = operators[-1]
    output = TensorType(last.shape, last.format, 0)
    network = Network(TensorType(shape, source, 0), tuple(operators), len(operators), output, is_committed)
    network.check()
    assert decode_descriptor(encode_descriptor(network)) == network
    return network


def make_chain(
    widths: Sequence[int], shifts: Sequence[int], formats: Sequence[Format], source: Format = SIGNED, positions: int = 0
) -> Network:
    """Dense steps behind each other, on an input of positions × widths[0], or of one axis where there are no positions."""
    lead = (positions,) if positions else ()
    steps = enumerate(zip(shifts, formats, strict=True))
    operators = [make_dense(i, (*lead, widths[i]), widths[i + 1], shift, result, len(lead)) for i, (shift, result) in steps]
    return make_network((*lead, widths[0]), operators, source)


# ---- numbers -----------------------------------------------------------------------------------------------------------------------


def make_parameters(network: Network, rng: np.random.Generator, size: int = 1 << 12) -> Parameters:
    """Weights up to `size` in magnitude and biases of a few units, halved until the operator keeps its static bound."""
    layers = [_make_numbers(op, network, rng, size) for op in network.operators if isinstance(op, Linear)]
    tables = [rng.integers(form.low, form.high + 1, TABLE_LENGTH) for form in network.table_formats]
    parameters = Parameters(tuple(layers), tuple(tables))
    check_parameters(network, parameters)
    return parameters


def _make_numbers(operator: Linear, network: Network, rng: np.random.Generator, size: int) -> LinearWeights:
    weights = tuple(np.asarray(rng.integers(-size, size + 1, shape)) for shape in operator.list_weights_shapes(network.shapes))
    bias = None
    if operator.bias_axis is not None:
        bias = rng.integers(-(1 << 11), 1 << 11, operator.shape[operator.bias_axis]) << operator.shift
    while True:
        numbers = LinearWeights(weights, bias)
        try:
            check_bound("an operator", operator, numbers, network.formats, network.shapes)
            return numbers
        except BoundError:
            weights, bias = tuple(np.asarray(array // 2) for array in weights), None if bias is None else bias // 2


# ---- one network, one input ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """A committed network and one input."""

    model: CommittedModel
    setup: Setup
    x: Integers

    @property
    def network(self) -> Network:
        return self.model.layout.network

    @property
    def layout(self) -> Layout:
        return self.model.layout

    @property
    def y(self) -> Integers:
        """The engine's output, flat."""
        return run_network(self.network, self.model.parameters, self.x.reshape(1, -1))[self.network.output_operand].reshape(-1)

    def state(self, x: Integers | None = None, y: Integers | None = None, context: bytes = CONTEXT) -> Statement:
        """The case's statement, or one that differs where told."""
        x, y = self.x if x is None else x, self.y if y is None else y
        shaped: object = x.reshape(self.network.input.shape)
        stated = commit_input(self.layout, shaped, self.setup) if self.network.is_input_committed else shaped
        return read_statement(self.layout, stated, y.reshape(self.network.output.shape), context)

    def trace(self) -> Trace:
        """The honest rows."""
        return compute_trace(self.layout, self.model.parameters, self.x)

    def prove(self) -> Proof:
        return Prover(self.model, self.state(), self.trace(), self.setup).run()

    def verify(self, proof: Proof, statement: Statement | None = None) -> None:
        """Through the bytes, as a stranger would."""
        decoded = decode_proof(encode_proof(proof, self.layout), self.layout)
        verify_statement(self.model.verifying, statement or self.state(), decoded, self.setup)


def make_case(network: Network, seed: int = 0, size: int = 1 << 12, chunk_bits: int = CHUNK_BITS, extreme: bool = False) -> Case:
    """A network with numbers and an input; `extreme` takes the ends of the input's range only."""
    rng = np.random.default_rng(seed)
    return commit_case(network, make_parameters(network, rng, size), draw_input(network, rng, extreme), chunk_bits)


def draw_input(network: Network, rng: np.random.Generator, extreme: bool = False) -> Integers:
    low, high = network.input.format.low, network.input.format.high
    return rng.choice([low, high], network.input.size) if extreme else rng.integers(low, high + 1, network.input.size)


def commit_case(network: Network, parameters: Parameters, x: Integers, chunk_bits: int = CHUNK_BITS) -> Case:
    setup = make_local_setup(chunk_bits)
    return Case(commit_parameters(Layout(network, chunk_bits), parameters, setup), setup, x)
