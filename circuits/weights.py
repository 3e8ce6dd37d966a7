"""`weights.bin`: the integers of a canonical network, in descriptor order. No lengths are stored: the descriptor fixes
them all.

"AFW1", then per linear operator: weights as i32, row-major (out, in); bias as i64 (out). Two's complement, big-endian.
"""

from __future__ import annotations

import numpy as np

from circuits.layers.linear import LinearWeights
from circuits.network import DescriptorError, Network
from circuits.tensors import Integers

MAGIC = b"AFW1"


def encode_weights(parameters: tuple[LinearWeights, ...]) -> bytes:
    parts = [MAGIC]
    for numbers in parameters:
        parts += [numbers.weights.astype(">i4").tobytes(), numbers.bias.astype(">i8").tobytes()]
    return b"".join(parts)


def decode_weights(data: bytes, network: Network) -> tuple[LinearWeights, ...]:
    """Parse the weights of `network`. Raises DescriptorError on another magic or length; ranges are check_parameters' to judge."""
    expected = len(MAGIC) + sum(4 * op.in_features * op.out_features + 8 * op.out_features for op in network.operators)
    if data[: len(MAGIC)] != MAGIC or len(data) != expected:
        raise DescriptorError(f"{len(data)} bytes, not {expected} beginning with AFW1")
    parameters, offset = [], len(MAGIC)
    for op in network.operators:
        weights, offset = _take(data, offset, ">i4", op.in_features * op.out_features)
        bias, offset = _take(data, offset, ">i8", op.out_features)
        parameters.append(LinearWeights(weights.reshape(op.out_features, op.in_features), bias))
    return tuple(parameters)


def _take(data: bytes, offset: int, dtype: str, count: int) -> tuple[Integers, int]:
    values = np.frombuffer(data, dtype, count, offset)
    return values.astype(np.int64), offset + values.nbytes
