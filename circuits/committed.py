"""A model as the proof system knows it: descriptor, commitments to its parameters, and the digest that binds both.

    binding = keccak256(tag ‖ u32 length ‖ descriptor ‖ u32 count ‖ commitments)          big-endian, 96 bytes a commitment

A `VerifyingModel` is all a verifier needs; a `CommittedModel` adds the numbers the prover works with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from py_arkworks_bls12381 import G1Point

from circuits.commitment import commit, encode_point
from circuits.digests import keccak256
from circuits.field import Vector, make_zeros
from circuits.layers.linear import LinearWeights
from circuits.layout import Layout
from circuits.model import CanonicalModel
from circuits.network import encode_descriptor
from circuits.setup import Setup

BINDING_TAG = b"affidavit/proof-model/1"


@dataclass(frozen=True)
class VerifyingModel:
    """`commitments` by chunk number, for exactly `layout.parameter_chunks`."""

    layout: Layout
    commitments: Mapping[int, G1Point]

    @property
    def binding(self) -> bytes:
        """32 bytes."""
        descriptor = encode_descriptor(self.layout.network)
        points = b"".join(encode_point(self.commitments[number]) for number in self.layout.parameter_chunks)
        count = len(self.layout.parameter_chunks)
        return keccak256(BINDING_TAG + len(descriptor).to_bytes(4, "big") + descriptor + count.to_bytes(4, "big") + points)


@dataclass(frozen=True)
class CommittedModel:
    """The parameters, their chunks by number (integers, not reduced), and what a verifier knows of them."""

    verifying: VerifyingModel
    parameters: tuple[LinearWeights, ...]
    chunks: Mapping[int, Vector]

    @property
    def layout(self) -> Layout:
        return self.verifying.layout


_known: WeakKeyDictionary[CanonicalModel, dict[Setup, CommittedModel]] = WeakKeyDictionary()


def commit_model(model: CanonicalModel, setup: Setup) -> CommittedModel:
    """The commitments of a model, computed from its parameters once an object and setup."""
    known = _known.setdefault(model, {})
    if setup not in known:
        known[setup] = commit_parameters(Layout(model.network, setup.chunk_bits), model.parameters, setup)
    return known[setup]


def commit_parameters(layout: Layout, parameters: tuple[LinearWeights, ...], setup: Setup) -> CommittedModel:
    """Lay out weights and biases, and commit to every chunk that holds one."""
    chunks: dict[int, Vector] = {number: make_zeros(setup.chunk_length) for number in layout.parameter_chunks}
    for layer, numbers in zip(layout.layers, parameters, strict=True):
        start = layout.parameter_starts["weights", layer.index]
        for feature in range(layer.operator.in_features):
            _write(chunks, layout.chunk_bits, start + (feature << layer.out_bits), numbers.weights[:, feature].tolist())
        _write(chunks, layout.chunk_bits, layout.parameter_starts["bias", layer.index], numbers.bias.tolist())
    commitments = {number: commit(setup, chunk.tolist()) for number, chunk in chunks.items()}
    return CommittedModel(VerifyingModel(layout, commitments), parameters, chunks)


def _write(chunks: dict[int, Vector], chunk_bits: int, start: int, values: list[int]) -> None:
    """Python integers into consecutive entries, across chunks where they reach over a border."""
    while values:
        offset = start & ((1 << chunk_bits) - 1)
        part = values[: (1 << chunk_bits) - offset]
        chunks[start >> chunk_bits][offset : offset + len(part)] = part
        start, values = start + len(part), values[len(part) :]
