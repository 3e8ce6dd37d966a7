"""`weights.bin`: the integers of a canonical network, in descriptor order. No lengths are stored: the descriptor fixes
them all.

"AFW2", then per LINEAR operator: the weights of each term that has parameters, as i32, row-major; the bias, where there is
one, as i64; then the tables, 4096 i16 each. Two's complement, big-endian.
"""

from __future__ import annotations

from math import prod

import numpy as np

from circuits.layers import table
from circuits.layers.linear import Linear, LinearWeights
from circuits.network import DescriptorError, Network, Parameters
from circuits.tensors import Integers

MAGIC = b"AFW2"


def encode_weights(parameters: Parameters) -> bytes:
    parts = [MAGIC]
    for numbers in parameters.layers:
        parts += [weights.astype(">i4").tobytes() for weights in numbers.weights]
        parts += [numbers.bias.astype(">i8").tobytes()] if numbers.bias is not None else []
    parts += [entries.astype(">i2").tobytes() for entries in parameters.tables]
    return b"".join(parts)


def decode_weights(data: bytes, network: Network) -> Parameters:
    """Parse the numbers of `network`. Raises DescriptorError on another magic or length; ranges are check_parameters' to judge."""
    shapes = network.shapes
    layers = [operator for operator in network.operators if isinstance(operator, Linear)]
    expected = len(MAGIC) + sum(_count_bytes(layer, network) for layer in layers) + 2 * table.LENGTH * network.table_count
    if data[: len(MAGIC)] != MAGIC or len(data) != expected:
        raise DescriptorError(f"{len(data)} bytes, not {expected} beginning with AFW2")
    parameters, offset = [], len(MAGIC)
    for layer in layers:
        arrays = []
        for shape in layer.list_weights_shapes(shapes):
            values, offset = _take(data, offset, ">i4", prod(shape))
            arrays.append(values.reshape(shape))
        bias = None
        if layer.bias_axis is not None:
            bias, offset = _take(data, offset, ">i8", layer.shape[layer.bias_axis])
        parameters.append(LinearWeights(tuple(arrays), bias))
    tables = []
    for _ in range(network.table_count):
        entries, offset = _take(data, offset, ">i2", table.LENGTH)
        tables.append(entries)
    return Parameters(tuple(parameters), tuple(tables))


def _count_bytes(layer: Linear, network: Network) -> int:
    weights = sum(prod(shape) for shape in layer.list_weights_shapes(network.shapes))
    return 4 * weights + (8 * layer.shape[layer.bias_axis] if layer.bias_axis is not None else 0)


def _take(data: bytes, offset: int, dtype: str, count: int) -> tuple[Integers, int]:
    values = np.frombuffer(data, dtype, count, offset)
    return values.astype(np.int64), offset + values.nbytes
