"""Small networks for proofs: any DAG of Linear steps, random or extreme numbers inside the static bound, and a local setup.

The local setup knows its secret, so nothing made with it convinces anybody; it exists because its chunks are short: small
networks then span many of them, and a proof takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from circuits.committed import CommittedModel, commit_parameters
from circuits.field import MODULUS, Vector
from circuits.layers.linear import Linear, LinearWeights
from circuits.layout import Layout
from circuits.network import Network, check_parameters, run_network
from circuits.proof_bytes import Proof, decode_proof, encode_proof
from circuits.prover import Prover
from circuits.setup import Setup
from circuits.statement import Statement, read_statement
from circuits.tensors import Format, Integers, TensorType
from circuits.trace import compute_trace
from circuits.verifier import verify_statement

SECRET = 0x1234567890ABCDEF1234567890ABCDEF
CONTEXT = bytes(range(32))
RECTIFIED, SIGNED = Format.RECTIFIED, Format.SIGNED


@cache
def make_local_setup(chunk_bits: int) -> Setup:
    """2^chunk_bits powers of a secret that everybody knows: insecure, for tests."""
    powers = [G1Point() * Scalar(pow(SECRET, i, MODULUS)) for i in range(1 << chunk_bits)]
    return Setup(tuple(powers), G2Point() * Scalar(SECRET))


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
    def y(self) -> Integers:
        """The engine's output, flat."""
        return run_network(self.network, self.model.parameters, self.x.reshape(1, -1))[self.network.output_operand].reshape(-1)

    def state(self, x: Integers | None = None, y: Integers | None = None, context: bytes = CONTEXT) -> Statement:
        """The case's statement, or one that differs where told."""
        x, y = self.x if x is None else x, self.y if y is None else y
        return read_statement(self.model.layout, x.reshape(self.network.input.shape), y.reshape(self.network.output.shape), context)

    def prove(self) -> Proof:
        trace = compute_trace(self.model.layout, self.model.parameters, self.x)
        return Prover(self.model, self.state(), trace, self.setup).run()

    def compute_columns(self) -> Mapping[str, Vector]:
        """The honest rows."""
        return compute_trace(self.model.layout, self.model.parameters, self.x).columns

    def verify(self, proof: Proof, statement: Statement | None = None) -> None:
        """Through the bytes, as a stranger would."""
        decoded = decode_proof(encode_proof(proof, self.model.layout), self.model.layout)
        verify_statement(self.model.verifying, statement or self.state(), decoded, self.setup)


def make_chain(
    widths: Sequence[int], shifts: Sequence[int], formats: Sequence[Format], source: Format = SIGNED, positions: int = 1
) -> Network:
    """Linear steps behind each other on an input of positions × widths[0]."""
    steps = zip(shifts, formats, strict=True)
    operators = [Linear(i, positions, widths[i], widths[i + 1], shift, result) for i, (shift, result) in enumerate(steps)]
    return make_network((positions, widths[0]), operators, source)


def make_network(shape: tuple[int, ...], operators: Sequence[Linear], source: Format = SIGNED) -> Network:
    last = operators[-1]
    output = TensorType((last.positions, last.out_features), last.format, 0)
    network = Network(TensorType(shape, source, 0), tuple(operators), len(operators), output)
    network.check()
    return network


def make_parameters(network: Network, rng: np.random.Generator, size: int) -> tuple[LinearWeights, ...]:
    """Weights up to `size` in magnitude, halved until the layer keeps its static bound: as large as they may be."""
    parameters = []
    for operator in network.operators:
        weights = rng.integers(-size, size + 1, (operator.out_features, operator.in_features))
        bias = rng.integers(-(1 << 11), 1 << 11, operator.out_features) << operator.shift
        parameters.append(_fit(operator, weights, bias, network.operand_format(operator.operand)))
    check_parameters(network, tuple(parameters))
    return tuple(parameters)


def _fit(operator: Linear, weights: Integers, bias: Integers, operand: Format) -> LinearWeights:
    limit, constant = 1 << (operator.shift + 24), (1 << (operator.shift - 1)) + (operator.format.offset << operator.shift)
    while True:
        ends = weights * operand.low, weights * operand.high
        lowest, highest = np.minimum(*ends).sum(axis=1) + bias, np.maximum(*ends).sum(axis=1) + bias
        if -limit <= lowest.min() + constant and highest.max() + constant < limit:
            return LinearWeights(weights, bias)
        weights, bias = weights // 2, bias // 2


def make_case(network: Network, seed: int = 0, size: int = 1 << 12, chunk_bits: int = 7, extreme: bool = False) -> Case:
    """A network with numbers and an input; `extreme` takes the ends of the input's range only."""
    rng = np.random.default_rng(seed)
    parameters = make_parameters(network, rng, size)
    setup = make_local_setup(chunk_bits)
    low, high = network.input.format.low, network.input.format.high
    x = rng.choice([low, high], network.input.size) if extreme else rng.integers(low, high + 1, network.input.size)
    return Case(commit_parameters(Layout(network, chunk_bits), parameters, setup), setup, x)
