"""The engine in plain Python: field, sumchecks and curve as the kernel in `circuits/kernel` does them, in the fewest words.

Same names, same results to the bit, same errors; tests/unit/test_engine.py runs on both. A million times a few hundred
nanoseconds each: proofs take seconds here. Nothing in it depends on secrets or on the machine's word size.

A `Vector` is a C-contiguous uint64 array of shape (n, 4): elements of BLS12-381's scalar field, reduced, four limbs each,
least significant first, not in Montgomery form. `Integers` are a contiguous one-dimensional int64 array. An `Operand` is
either. Scalars are Python integers of any size and sign, reduced on arrival. Points are 96 bytes x ‖ y, big-endian, infinity
all zero. Everywhere, ValueError names a wrong length, shape or value, and TypeError a wrong type; nothing is cut silently.
"""

from circuits.twin.arrays import Integers, Operand, Vector
from circuits.twin.curve import Powers, combine, compress_point, decode_point, decompress_points
from circuits.twin.polynomials import divide, multiply_tensors
from circuits.twin.sumchecks import ProductCheck, ZeroCheck
from circuits.twin.vectors import (
    accumulate,
    add,
    affine,
    contract,
    dot,
    eq_table,
    evaluate,
    from_integers,
    from_scalars,
    invert_all,
    multiply,
    to_scalars,
)

__all__ = [
    "Integers",
    "Operand",
    "Powers",
    "ProductCheck",
    "Vector",
    "ZeroCheck",
    "accumulate",
    "add",
    "affine",
    "combine",
    "compress_point",
    "contract",
    "decode_point",
    "decompress_points",
    "divide",
    "dot",
    "eq_table",
    "evaluate",
    "from_integers",
    "from_scalars",
    "invert_all",
    "multiply",
    "multiply_tensors",
    "to_scalars",
]
