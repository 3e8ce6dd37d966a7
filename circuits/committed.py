"""A model as the proof system knows it: its layout, the commitments to its parameters, and the id that binds both.

The commitments are 96-byte points in the order of their chunks, cut into parts of 255 points: what one contract's code can
hold. A part's digest is the EXTCODEHASH of that contract, keccak256(0x00 ‖ part); the model id binds these digests with
descriptor and manifest (circuits/digests.py).

A `VerifyingModel` is all a verifier needs; a `CommittedModel` adds the numbers the prover works with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from circuits.commitment import POINT_BYTES
from circuits.digests import compute_model_id, keccak256
from circuits.layout import Layout, count_bits
from circuits.network import Parameters, encode_descriptor
from circuits.plan import Terms
from circuits.setup import Setup
from circuits.tensors import Integers

PART_POINTS = 255


@dataclass(frozen=True)
class VerifyingModel:
    """`commitments` by chunk number, for exactly `layout.parameter_chunks`; `model_id` 32 bytes."""

    layout: Layout
    commitments: Mapping[int, bytes]
    model_id: bytes

    @cached_property
    def terms(self) -> Terms:
        return Terms.of(self.layout)


@dataclass(frozen=True)
class CommittedModel:
    """The parameters, their chunks by number, and what a verifier knows of them."""

    verifying: VerifyingModel
    parameters: Parameters
    chunks: Mapping[int, Integers]

    @property
    def layout(self) -> Layout:
        return self.verifying.layout


def commit_parameters(layout: Layout, parameters: Parameters, setup: Setup, manifest: bytes = b"") -> CommittedModel:
    """Lay out weights, biases and tables, and commit to every chunk that holds one."""
    chunks = lay_out_parameters(layout, parameters)
    points = setup.powers.commit_many(list(chunks.values()))
    return make_committed(layout, parameters, chunks, points, manifest)


def make_committed(
    layout: Layout, parameters: Parameters, chunks: Mapping[int, Integers], points: Sequence[bytes], manifest: bytes
) -> CommittedModel:
    """From commitments that are known already."""
    model_id = compute_model_id(manifest, encode_descriptor(layout.network), [digest_part(part) for part in split_parts(points)])
    commitments = dict(zip(layout.parameter_chunks, points, strict=True))
    return CommittedModel(VerifyingModel(layout, commitments, model_id), parameters, chunks)


def split_parts(points: Sequence[bytes]) -> list[bytes]:
    """The commitments, 255 to a part."""
    return [b"".join(points[i : i + PART_POINTS]) for i in range(0, len(points), PART_POINTS)]


def join_parts(parts: Sequence[bytes]) -> list[bytes]:
    """The inverse of split_parts."""
    content = b"".join(parts)
    return [content[i : i + POINT_BYTES] for i in range(0, len(content), POINT_BYTES)]


def digest_part(part: bytes) -> bytes:
    """keccak256(0x00 ‖ part): the STOP byte is what the storing contract's code begins with."""
    return keccak256(b"\x00" + part)


def lay_out_parameters(layout: Layout, parameters: Parameters) -> dict[int, Integers]:
    """The chunks that hold a parameter, by number, int64."""
    chunks = {number: np.zeros(1 << layout.chunk_bits, dtype=np.int64) for number in layout.parameter_chunks}
    for key, values in _list_blocks(layout, parameters).items():
        shape = layout.parameter_shapes[key]
        # One weight alone has no axis to pad.
        padded = (np.pad(values, [(0, (1 << count_bits(size)) - size) for size in shape]) if shape else values).reshape(-1)
        start = layout.parameter_starts[key]
        length = 1 << layout.chunk_bits
        for offset in range(0, len(padded), length):
            number, inside = (start + offset) >> layout.chunk_bits, (start + offset) & (length - 1)
            if number in chunks:  # the others hold padding alone
                piece = padded[offset : offset + length]
                chunks[number][inside : inside + len(piece)] = piece
    return chunks


def _list_blocks(layout: Layout, parameters: Parameters) -> dict[tuple[str, int, int], Integers]:
    """Every block of parameters, unpadded, by its key in the layout."""
    blocks: dict[tuple[str, int, int], Integers] = {}
    for layer, numbers in zip(layout.layers, parameters.layers, strict=True):
        for number, (_, weights) in enumerate(numbers.pair_with(layer.operator)):
            if weights is not None:
                blocks["weights", layer.index, number] = weights
        if numbers.bias is not None:
            blocks["bias", layer.index, 0] = numbers.bias
    return blocks | {("table", number, 0): entries for number, entries in enumerate(parameters.tables)}
