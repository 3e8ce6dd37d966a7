"""Descriptors an adversary wrote: refused by name, never a crash, and never another network's proof."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits.committed import VerifyingModel, digest_part, split_parts
from circuits.digests import compute_model_id
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode, WeightsAxis
from circuits.layers.linear import Linear
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.layout import Layout
from circuits.network import MAGIC, WORD, DescriptorError, Network, Operator, decode_descriptor, encode_descriptor
from circuits.proof_bytes import decode_proof, encode_proof
from circuits.proof_error import ProofError
from circuits.statement import Statement
from circuits.tensors import Format, TensorType
from circuits.verifier import verify_statement
from tests.soundness.networks import (
    CONTRACT,
    MERGED,
    RECTIFIED,
    SIGNED,
    Case,
    direct,
    fixed,
    make_case,
    make_chain,
    merge,
    shared,
    step,
    window,
)
from tests.soundness.zoo import against, along, at, beside, copy, linear, make_zoo, product

ZOO = make_zoo()
INPUT = TensorType((3, 5), SIGNED, 0)
COPY = linear((3, 5), copy(0, direct(0), direct(1)))


def build(
    *operators: Operator, source: TensorType = INPUT, form: Format = SIGNED, output: int | None = None, committed: bool = False
) -> Network:
    last = operators[(output or len(operators)) - 1]
    return Network(source, operators, output or len(operators), TensorType(last.shape, form, 0), committed)


def one(*terms: Term, shape: tuple[int, ...] = (3, 5), **fields: Any) -> Network:
    return build(replace(linear(shape, *terms), **fields))


KERNEL = window(0, 2, Kernel.WEIGHTED)
BROKEN: dict[str, Callable[[], Network]] = {
    # operators
    "operand of itself": lambda: build(COPY, linear((3, 5), copy(2, direct(0), direct(1)))),
    "operand that comes later": lambda: build(linear((3, 5), copy(2, direct(0), direct(1))), COPY),
    "weights that come later": lambda: build(linear((3, 5), product(0, (direct(0), shared(1)), 1, at(0), beside(1)))),
    "shift of 11": lambda: one(copy(0, direct(0), direct(1)), shift=11),
    "shift of 36": lambda: one(copy(0, direct(0), direct(1)), shift=36),
    "no terms": lambda: one(),
    "nine terms": lambda: one(*[copy(0, direct(0), direct(1))] * 9),
    "bias beyond the axes": lambda: one(copy(0, direct(0), direct(1)), bias_axis=2),
    "no axis": lambda: one(copy(0, fixed(0), fixed(0)), shape=()),
    "an empty axis": lambda: one(copy(0, fixed(0), fixed(0)), shape=(3, 0)),
    "an operator that is never used": lambda: build(COPY, COPY),
    "an output of another size": lambda: replace(build(COPY), output=TensorType((16,), SIGNED, 0)),
    "an output of another format": lambda: build(COPY, form=RECTIFIED),
    "the input as output": lambda: replace(build(COPY), output_operand=0),
    "an output that does not exist": lambda: replace(build(COPY), output_operand=2),
    # tables
    "a table of another shape": lambda: build(COPY, Table(1, (5, 3), 0, SIGNED)),
    "table 1 before table 0": lambda: build(COPY, Table(1, (3, 5), 1, SIGNED)),
    "a table in two formats": lambda: build(COPY, Table(1, (3, 5), 0, SIGNED), Table(2, (3, 5), 0, RECTIFIED)),
    "no linear operator": lambda: build(Table(0, (3, 5), 0, SIGNED)),
    # axes
    "too few axes": lambda: one(copy(0, direct(0))),
    "one result axis named twice": lambda: one(copy(0, direct(1), step(1)), shape=(3, 3)),
    "named by a stride and its kernel": lambda: one(copy(0, window(0, 3, Kernel.RESULT, kernel_result=0), direct(1))),
    "direct to another size": lambda: one(copy(0, direct(1), direct(0))),
    "direct to no axis": lambda: one(copy(0, Axis(Mode.DIRECT), direct(1))),
    "index outside": lambda: one(copy(0, fixed(3), direct(1))),
    "negative index": lambda: one(copy(0, fixed(-1), direct(1))),
    "merged into another size": lambda: one(copy(0, merge(0), MERGED), shape=(14,)),
    "merged alone": lambda: one(copy(0, MERGED, direct(1))),
    "merge of the last axis": lambda: one(copy(0, direct(0), merge(1))),
    "merged twice": lambda: build(linear((6,), copy(0, merge(0), MERGED, MERGED)), source=TensorType((2, 3, 5), SIGNED, 0)),
    "a kernel of none": lambda: one(copy(0, Axis(Mode.AFFINE, 0, Kernel.NONE, NO_AXIS, 2, 1), direct(1))),
    "a kernel of no entry": lambda: one(copy(0, window(0, 0, Kernel.SUMMED), direct(1))),
    "a kernel of another size than its axis": lambda: one(copy(0, window(NO_AXIS, 2, Kernel.RESULT, 0, 1, 0, 0), direct(1))),
    "a stride without an axis": lambda: one(copy(0, step(NO_AXIS), direct(1))),
    "a stride far too long": lambda: one(copy(0, step(0, 1 << 17), direct(1))),
    "an offset far too long": lambda: one(copy(0, step(0, 1, -(1 << 23)), direct(1))),
    "a field that is not used": lambda: one(copy(0, Axis(Mode.DIRECT, 0, stride=1), direct(1))),
    # weights
    "contracted with nothing": lambda: one(copy(0, direct(0), CONTRACT)),
    "shared with nothing": lambda: one(copy(0, shared(0), direct(1))),
    "a kernel with nothing": lambda: one(copy(0, KERNEL, direct(1))),
    "a kernel against a tensor": lambda: one(product(0, (KERNEL, CONTRACT), 0, at(0), against(1)), shape=(3,)),
    "a coefficient of zero": lambda: one(copy(0, direct(0), direct(1), coefficient=0)),
    "a coefficient of 2^23": lambda: one(copy(0, direct(0), direct(1), coefficient=1 << 23)),
    "a coefficient beside parameters": lambda: one(Term(0, (direct(0), direct(1)), Weights.PARAMETERS, 2)),
    "a sum beside parameters": lambda: one(Term(0, (direct(0), window(1, 2, Kernel.SUMMED)), Weights.PARAMETERS)),
    "a tensor that is no weights": lambda: one(Term(0, (direct(0), direct(1)), Weights.NONE, 1, 0, (at(0), at(0)))),
    "a contracted axis that the tensor lacks": lambda: one(product(0, (direct(0), CONTRACT), 0, at(0), along(1))),
    "a shared axis that the tensor lacks": lambda: one(product(0, (direct(0), shared(1)), 0, at(0), at(0))),
    "an axis of the tensor that the operand names": lambda: one(product(0, (direct(0), shared(1)), 0, along(0), beside(1))),
    "a shared axis read along": lambda: one(product(0, (direct(0), shared(1)), 0, at(0), along(1))),
    "one axis contracted twice": lambda: build(
        linear((3,), product(0, (direct(0), CONTRACT), 0, against(1), against(1))), source=TensorType((3, 3), SIGNED, 0)
    ),
    "contracted with another size": lambda: one(product(0, (direct(0), CONTRACT), 0, against(1), at(0)), shape=(3,)),
    "a map in the tensor": lambda: one(product(0, (direct(0), direct(1)), 0, WeightsAxis(Mode.AFFINE, 0), at(0))),
    # committed inputs
    "a committed input without its identity": lambda: build(
        linear((3, 5), copy(0, direct(0), direct(1), coefficient=4095)), committed=True
    ),
    "a committed input with a bias": lambda: build(replace(COPY, bias_axis=0), committed=True),
    "a committed input in another format": lambda: build(replace(COPY, format=RECTIFIED), form=RECTIFIED, committed=True),
    "a committed input read again": lambda: build(
        COPY, linear((3, 5), copy(0, direct(0), direct(1)), copy(1, direct(0), direct(1))), committed=True
    ),
    "a committed input as weights": lambda: build(
        COPY, linear((5,), product(1, (fixed(0), shared(0)), 0, at(0), beside(0))), committed=True
    ),
    "a committed input looked up": lambda: build(
        COPY, Table(0, (3, 5), 0, SIGNED), linear((3, 5), copy(1, direct(0), direct(1)), copy(2, direct(0), direct(1))), committed=True
    ),
}


REASONS = {
    "does not come before it": ["operand of itself", "operand that comes later", "weights that come later"],
    "is not one of (12, 24)": ["shift of 11", "shift of 36"],
    "terms, not 1 to 8": ["no terms", "nine terms"],
    "is not of rank 1 to 6, empty": ["no axis"],
    "is empty or above": ["an empty axis"],
    "never used": ["an operator that is never used"],
    "the output does not have": [name for name in BROKEN if "output" in name],
    "table ": ["table 1 before table 0", "a table in two formats"],
    "two axes name one result axis": ["one result axis named twice", "named by a stride and its kernel"],
    "read as result axis": ["direct to another size", "direct to no axis", "a kernel of another size than its axis"],
    "of 3 entries": ["index outside", "negative index"],
    "entries merged into 14": ["merged into another size"],
    "cannot be merged into one before it": ["merged alone"],
    "a merge needs exactly the axis after it": ["merge of the last axis", "merged twice"],
    "outside its range": ["a kernel of no entry", "a stride far too long", "an offset far too long"],
    "axes that need weights, and none": [name for name in BROKEN if name.endswith("with nothing")],
    "is zero or not below 2^23": ["a coefficient of zero", "a coefficient of 2^23"],
    "summed windows beside parameters": ["a sum beside parameters"],
    "the axes of the weights tensor are not those": [
        *(name for name in BROKEN if name.endswith("tensor lacks")),
        *("an axis of the tensor that the operand names", "a shared axis read along", "one axis contracted twice", "a map in the tensor"),
    ],
    "entries of the weights tensor against axis 1": ["contracted with another size"],
    "is not read by its identity first": [
        f"a committed input {what}" for what in ("without its identity", "with a bias", "in another format")
    ],
    "is read by more than its identity": [f"a committed input {what}" for what in ("read again", "as weights", "looked up")],
}
OWN_WORDS = {
    "bias beyond the axes": "a bias along axis 2 of 2",
    "no linear operator": "no linear operator",
    "a table of another shape": "shape [5, 3] for an operand of [3, 5]",
    "too few axes": "1 axes for an operand",
    "a kernel of none": "without a kernel",
    "a stride without an axis": "a stride without a result axis",
    "a field that is not used": "a field that its mode does not use",
    "a kernel against a tensor": "a kernel against a tensor",
    "a coefficient beside parameters": "a coefficient beside parameters",
    "a tensor that is no weights": "a weights tensor where the weights are none",
}
EXPECTED = {name: reason for reason, names in REASONS.items() for name in names} | OWN_WORDS


@pytest.mark.parametrize("name", BROKEN)
def test_broken_networks_are_refused(name: str) -> None:
    """By the check of the network, saying why, and by the decoder of its bytes where they can be written at all."""
    network = BROKEN[name]()
    with pytest.raises(DescriptorError, match=re.escape(EXPECTED[name])):
        network.check()
    with pytest.raises(DescriptorError):
        decode_descriptor(encode_descriptor(network))


def test_the_parts_of_broken_networks_are_good_ones() -> None:
    """What the table above breaks is legal otherwise."""
    build(COPY).check()
    build(COPY, committed=True).check()
    one(product(0, (direct(0), CONTRACT), 0, along(1) if False else at(0), against(1)), shape=(3,)).check()


@pytest.mark.parametrize("name", ZOO)
def test_one_network_has_one_descriptor(name: str) -> None:
    content = encode_descriptor(ZOO[name])
    assert decode_descriptor(content) == ZOO[name]
    for other in (content + bytes(WORD), content[:-WORD], content[WORD:], content + b"\x00", content[:-1], b"", content[: 3 * WORD]):
        with pytest.raises(DescriptorError):
            decode_descriptor(other)
    assert content.startswith(MAGIC)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """A bit, a byte, a word exchanged, doubled or dropped; or a small number put where one was."""
    data, words = bytearray(content), [content[i : i + WORD] for i in range(0, len(content), WORD)]
    kind, at = int(rng.integers(6)), int(rng.integers(len(content)))
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at] = int(rng.integers(256))
    elif kind == 2:
        data[at] = int(rng.integers(7))
    else:
        i, j = (int(v) for v in rng.integers(len(words), size=2))
        if kind == 3:
            words[i], words[j] = words[j], words[i]
        elif kind == 4:
            words.insert(i, words[j])
        else:
            del words[i]
        return b"".join(words)
    return bytes(data)


def try_descriptor(case: Case, content: bytes, statement: Statement, encoded: bytes) -> bool:
    """Whether mutated bytes are a network. If so, the proof of the first must not be one of it."""
    try:
        network = decode_descriptor(content)
    except DescriptorError:
        return False
    layout = Layout(network, case.layout.chunk_bits)
    numbers, points = layout.parameter_chunks, list(case.model.verifying.commitments.values())
    points = (points + [bytes(96)] * len(numbers))[: len(numbers)]
    model_id = compute_model_id(b"", content, [digest_part(part) for part in split_parts(points)])
    model = VerifyingModel(layout, dict(zip(numbers, points, strict=True)), model_id)
    with pytest.raises(ProofError):
        verify_statement(model, statement, decode_proof(encoded, layout), case.setup)
    return True


def run_mutations(count: int, seed: int) -> int:
    rng = np.random.default_rng(seed)
    cases = [make_case(network) for network in ZOO.values() if network.input.size < 100]
    proofs = [(case, encode_descriptor(case.network), case.state(), encode_proof(case.prove(), case.layout)) for case in cases]
    accepted = 0
    for _ in range(count):
        case, content, statement, encoded = proofs[int(rng.integers(len(proofs)))]
        mutated = mutate(content, rng)
        if mutated != content:
            accepted += try_descriptor(case, mutated, statement, encoded)
    return accepted


def test_mutated_descriptors_never_verify_a_proof() -> None:
    """Most are refused as descriptors; those that are networks have another id, and with it other challenges."""
    assert run_mutations(3000, seed=1) > 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_mutated_descriptors(seed: int) -> None:
    assert run_mutations(20_000, seed=100 + seed) > 200


def test_random_words() -> None:
    """Bytes that are no descriptor at all."""
    rng = np.random.default_rng(5)
    head = encode_descriptor(ZOO["conv"])[: 2 * WORD]
    for length in range(40):
        noise = rng.bytes(WORD * length)
        for data in (noise, head + noise, MAGIC + noise[4:]):
            with pytest.raises(DescriptorError):
                decode_descriptor(data)


def test_a_dense_layer_of_the_same_bytes_on_the_wire_is_another_model() -> None:
    """Two shapes with equal layouts: 5 and 6 inputs pad to the same blocks, and commitments may be equal; the id is not."""
    small, large = (make_case(make_chain([inputs, 4], [12], [SIGNED])) for inputs in (5, 6))
    assert small.layout.parameter_starts == large.layout.parameter_starts
    model = VerifyingModel(large.layout, small.model.verifying.commitments, large.model.verifying.model_id)
    proof, statement = small.prove(), small.state()
    small.verify(proof, statement)
    padded = large.state(x=np.append(small.x, 0), y=small.y)
    for stated in (statement, padded):
        with pytest.raises(ProofError):
            verify_statement(model, stated, proof, large.setup)


def test_linear_is_frozen() -> None:
    """Networks are values: nobody changes one after it was checked."""
    with pytest.raises(AttributeError):
        COPY.shift = 11  # type: ignore[misc]
    assert isinstance(COPY, Linear)
