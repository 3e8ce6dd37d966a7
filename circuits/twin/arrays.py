"""The edge of the twin: engine arrays in, Python integers inside, engine arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

import numpy as np
from numpy.typing import NDArray

from circuits.field import MODULUS

Vector = NDArray[np.uint64]
Integers = NDArray[np.int64]
Operand = Vector | Integers
Residues = NDArray[np.object_]  # Python integers, which never wrap

LIMBS, ELEMENT_BYTES = 4, 32
MAX_VARIABLES = 30  # of a table: 2^30 elements are 32 GiB, and a kernel that runs out of memory takes the process with it


def reduce(value: int) -> int:
    """An integer of any sign, in [0, MODULUS). Raises TypeError for anything that is no integer, a float in particular."""
    return index(value) % MODULUS


def read_vector(vector: Vector, what: str) -> Residues:
    """Raises TypeError for another dtype, ValueError for another shape, gaps between elements, or an element that is not reduced."""
    _check_array(vector, np.dtype(np.uint64), what)
    if vector.ndim != 2 or vector.shape[1] != LIMBS:
        raise ValueError(f"{what}: shape {vector.shape}, expected (n, {LIMBS})")
    data = vector.tobytes()
    values = [int.from_bytes(data[at : at + ELEMENT_BYTES], "little") for at in range(0, len(data), ELEMENT_BYTES)]
    if any(value >= MODULUS for value in values):
        raise ValueError(f"{what}: an element that is not reduced")
    return make_residues(values)


def read_integers(integers: Integers, what: str) -> Residues:
    """Signed, as they are. Raises TypeError for another dtype, ValueError for another shape or gaps between elements."""
    _check_array(integers, np.dtype(np.int64), what)
    if integers.ndim != 1:
        raise ValueError(f"{what}: {integers.ndim} dimensions, expected 1")
    return integers.astype(object)


def read_operand(operand: Operand, what: str) -> Residues:
    """A Vector or Integers, told apart by their dtype."""
    if isinstance(operand, np.ndarray) and operand.dtype == np.uint64:
        return read_vector(operand, what)  # type: ignore[arg-type]  # the dtype was looked at
    return read_integers(operand, what)  # type: ignore[arg-type]  # looked at inside


def write_vector(values: Residues | Sequence[int]) -> Vector:
    """Reduces integers of any sign."""
    data = b"".join((value % MODULUS).to_bytes(ELEMENT_BYTES, "little") for value in values)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(-1, LIMBS)


def make_residues(values: Sequence[int]) -> Residues:
    residues: Residues = np.empty(len(values), dtype=object)
    residues[:] = values
    return residues


def pad(values: Residues, length: int, what: str) -> Residues:
    """Zeros behind `values`. Raises ValueError if they are longer already."""
    if len(values) > length:
        raise ValueError(f"{what}: {len(values)} entries, at most {length}")
    return np.concatenate([values, make_residues([0] * (length - len(values)))])


def check_variables(variables: int, most: int) -> None:
    if not 0 <= variables <= min(most, MAX_VARIABLES):
        raise ValueError(f"variables: {variables}, expected 0 to {min(most, MAX_VARIABLES)}")


def check_length(what: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"{what}: {got} entries, expected {expected}")


def _check_array(array: object, dtype: np.dtype[np.generic], what: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"{what}: {getattr(array, 'dtype', type(array).__name__)}, expected an array of {dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{what}: an array that is not C-contiguous")
