"""CircuitReader.sol refuses the descriptors that circuits/network.py refuses, each by the rule it breaks, and no others.

Descriptors come from anybody, and a proof is worth what its model's descriptor is: one that the contract reads otherwise than Python,
or at all where Python does not, would be another statement than the one its readers see.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import httpx
import numpy as np
import pytest
from eth_abi.abi import decode, encode

from circuits.digests import keccak256
from circuits.layers.axes import NO_AXIS, Axis, Kernel, Mode, WeightsAxis
from circuits.layers.table import Table
from circuits.layers.term import Term, Weights
from circuits.network import WORD, DescriptorError, Network, decode_descriptor, encode_descriptor
from circuits.tensors import TensorType
from oracle.relay.anvil import running_chain
from tests.chain.test_proof_verifier import Verifying, encode_call
from tests.soundness.networks import CONTRACT, MERGED, SIGNED, direct, fixed, merge, shared, step, window
from tests.soundness.test_hostile_descriptors import BROKEN, COPY, ZOO, build, mutate, one
from tests.soundness.zoo import against, along, at, beside, copy, linear, product

CHUNK_BITS = 20
MALFORMED = keccak256(b"MalformedDescriptor(bytes32)")[:4]
PARAMETER_COUNT = keccak256(b"ParameterCount(uint256,uint256)")[:4]
TOO_MANY_ROWS = keccak256(b"TooManyRows(uint256,uint256)")[:4]


# ---- the contract's verdict -----------------------------------------------------------------------------------------------------------


@dataclass
class Reading:
    """The contract that reads descriptors, and a model whose descriptor is whatever is put at `pointer`."""

    chain: Verifying
    reader: str
    model_id: bytes
    pointer: str

    def find_broken_rule(self, content: bytes) -> str:
        """The rule named in the refusal, "rows" for more of them than there is memory for, or nothing."""
        call = {"to": self.reader, "data": "0x" + encode_call("read(bytes32)", self.model_id).hex(), "gas": hex(100_000_000)}
        code = {self.pointer: {"code": "0x00" + content.hex()}}
        error = self.chain.rpc("eth_call", call, "latest", code).get("error")
        if error is None:
            return ""
        reason = bytes.fromhex(str(error.get("data", ""))[2:])  # type: ignore[attr-defined]
        if reason[:4] == MALFORMED:
            rule: bytes = decode(["bytes32"], reason[4:])[0]
            return rule.rstrip(b"\x00").decode()
        if reason[:4] == TOO_MANY_ROWS:
            return "rows"
        # The descriptor was read and laid out, and then its model has too few commitments for it.
        assert reason[:4] == PARAMETER_COUNT, error
        return ""


@pytest.fixture(scope="module")
def reading() -> Iterator[Reading]:
    with running_chain() as chain:
        verifying = Verifying(chain.rpc, httpx.Client(timeout=60))
        registry = verifying.create("ModelRegistry")
        arguments = encode(["address", "uint256", "bytes"], [registry, CHUNK_BITS, bytes(256)])
        verifier = verifying.create("ProofVerifier", arguments)

        def ask(to: str, data: bytes) -> bytes:
            return bytes.fromhex(str(verifying.result("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"))[2:])

        part, circuit, manifest = bytes(96), encode_descriptor(build(COPY)), keccak256(b"manifest")
        verifying.send(encode_call("storeParameters(bytes)", part), registry)
        digest = keccak256(b"\x00" + part)
        verifying.send(encode_call("register(uint8,bytes32,bytes,bytes32[],string)", 1, manifest, circuit, [digest], ""), registry)
        logged = verifying.result("eth_getLogs", {"address": registry, "fromBlock": "0x0"})
        model_id = bytes.fromhex(logged[-1]["topics"][1][2:])  # type: ignore[index]
        pointer = "0x" + ask(registry, encode_call("circuitPointerOf(bytes32)", model_id))[12:].hex()
        yield Reading(verifying, "0x" + ask(verifier, keccak256(b"READER()")[:4])[12:].hex(), model_id, pointer)


def is_network(content: bytes) -> bool:
    try:
        decode_descriptor(content)
    except DescriptorError:
        return False
    return True


# ---- broken networks ------------------------------------------------------------------------------------------------------------------

RULES = {
    "operand order": ["operand of itself", "operand that comes later", "weights that come later"],
    "shift": ["shift of 11", "shift of 36"],
    "terms": ["no terms", "nine terms"],
    "bias axis": ["bias beyond the axes"],
    "rank": ["no axis"],
    "elements": ["an empty axis"],
    "unused operator": ["an operator that is never used"],
    "output size": ["an output of another size"],
    "output format": ["an output of another format"],
    "output operand": ["the input as output", "an output that does not exist"],
    "table shape": ["a table of another shape"],
    "table number": ["table 1 before table 0"],
    "table format": ["a table in two formats"],
    "no linear operator": ["no linear operator"],
    "operand rank": ["too few axes"],
    "result axis": ["one result axis named twice", "named by a stride and its kernel", "direct to no axis"],
    "axis size": ["direct to another size"],
    "axis index": ["index outside", "negative index"],
    "merge size": ["merged into another size"],
    "merge": ["merged alone", "merge of the last axis", "merged twice"],
    "kernel": ["a kernel of none"],
    "kernel size": ["a kernel of no entry", "a kernel of another size than its axis"],
    "stride": ["a stride without an axis", "a stride far too long"],
    "offset": ["an offset far too long"],
    "axis fields": ["a field that is not used"],
    "weights missing": [name for name in BROKEN if name.endswith("with nothing")],
    "weights tensor": ["a kernel against a tensor", "a tensor that is no weights"],
    "coefficient": ["a coefficient of zero", "a coefficient of 2^23", "a coefficient beside parameters"],
    "summed beside parameters": ["a sum beside parameters"],
    "weights axes": [
        *(name for name in BROKEN if name.endswith("tensor lacks")),
        *("an axis of the tensor that the operand names", "a shared axis read along", "one axis contracted twice"),
    ],
    "weights size": ["contracted with another size"],
    "weights mode": ["a map in the tensor"],
    "identity": [f"a committed input {what}" for what in ("without its identity", "with a bias", "in another format")],
    "committed input": [f"a committed input {what}" for what in ("read again", "as weights", "looked up")],
}
RULE_OF = {name: rule for rule, names in RULES.items() for name in names}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_networks_are_refused(reading: Reading, name: str) -> None:
    assert reading.find_broken_rule(encode_descriptor(BROKEN[name]())) == RULE_OF[name]


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_every_kind_are_read(reading: Reading, name: str) -> None:
    assert reading.find_broken_rule(encode_descriptor(ZOO[name])) == ""


# ---- bytes that no network has ----------------------------------------------------------------------------------------------------------

# The words of CHAIN: 0 header, 1 input, 2 linear, 3 term, 4 and 5 axes, 6 table, 7 and 8 output. Of WINDOW and of PRODUCT: 4 and 5
# axes; PRODUCT has 6 and 7, those of the weights.
CHAIN = build(COPY, Table(1, (3, 5), 0, SIGNED))
WINDOW = one(copy(0, direct(0), window(1, 2, Kernel.SUMMED)))
PRODUCT = one(product(0, (direct(0), CONTRACT), 0, at(2), against(1)), shape=(3,))


def put(network: Network, word: int, place: int, value: int | bytes) -> bytes:
    """The descriptor with other bytes at one place of one word."""
    data, start = bytearray(encode_descriptor(network)), WORD * word + place
    value = bytes([value]) if isinstance(value, int) else value
    data[start : start + len(value)] = value
    return bytes(data)


def i32(value: int) -> bytes:
    return struct.pack(">i", value)


def of_shape(*shape: int, rank: int = 0) -> bytes:
    """One result summed over all of an input of that shape; `rank` overrides its own."""
    term = Term(0, tuple(fixed(0) for _ in shape), coefficient=1)
    network = build(linear((1,), term), source=TensorType(shape[:6], SIGNED, 0))
    return put(network, 1, 1, rank or len(shape))


def many_tables(count: int, different: int = 1) -> bytes:
    """COPY, then a chain of lookups, the first of them in tables 0, 1, …"""
    return encode_descriptor(build(COPY, *[Table(1 + i, (3, 5), min(i, different - 1), SIGNED) for i in range(count)]))


def weighed(contracted: tuple[int, ...], result: tuple[int, ...], terms: int = 1) -> bytes:
    term = Term(0, (CONTRACT,) * len(contracted), Weights.PARAMETERS)
    return encode_descriptor(build(linear(result, *[term] * terms), source=TensorType(contracted, SIGNED, 0)))


def windowed(size: int, first: Axis, second: Axis, *result: int, weights: Weights = Weights.NONE) -> bytes:
    term = Term(0, (first, second), weights)
    return encode_descriptor(build(linear(result, term), source=TensorType((size, size), SIGNED, 0)))


def committed(*terms: Term, shape: tuple[int, ...] = (3, 5), source: tuple[int, ...] = (3, 5), shift: int = 12) -> bytes:
    return encode_descriptor(build(linear(shape, *terms, shift=shift), source=TensorType(source, SIGNED, 0), committed=True))


def summed(result: int, size: int, stride: int = 0) -> Axis:
    return window(result, size, Kernel.SUMMED, stride, 0, 0)


PLAIN = copy(0, direct(0), direct(1))
HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    # the whole
    "half a word more": ("whole words", lambda: encode_descriptor(CHAIN) + bytes(16)),
    "a word more": ("trailing words", lambda: encode_descriptor(CHAIN) + bytes(WORD)),
    "a word less": ("length", lambda: encode_descriptor(CHAIN)[:-WORD]),
    "cut within an operator": ("length", lambda: encode_descriptor(CHAIN)[: 5 * WORD]),
    # header
    "an older version": ("header", lambda: put(CHAIN, 0, 3, 0x31)),
    "a header with more behind it": ("header", lambda: put(CHAIN, 0, 31, 1)),
    "a header with more in its middle": ("header", lambda: put(CHAIN, 0, 12, 1)),
    "no operator": ("operators", lambda: put(CHAIN, 0, 4, i32(2))),
    "fewer operators than none": ("operators", lambda: put(CHAIN, 0, 4, i32(1))),
    "255 operators": ("operators", lambda: many_tables(254)),
    "a table that is not there": ("number of tables", lambda: put(CHAIN, 0, 8, i32(2))),
    "a table that is not counted": ("number of tables", lambda: put(CHAIN, 0, 8, i32(0))),
    # tensors
    "an input that is none": ("input", lambda: put(CHAIN, 1, 0, 3)),
    "an input committed twice": ("input", lambda: put(CHAIN, 1, 3, 2)),
    "an input of exponent 65": ("exponent", lambda: put(CHAIN, 1, 4, i32(65))),
    "an input of exponent -65": ("exponent", lambda: put(CHAIN, 1, 4, i32(-65))),
    "an input without an axis": ("rank", lambda: put(CHAIN, 1, 1, 0)),
    "an input of seven axes": ("rank", lambda: of_shape(1, 1, 1, 1, 1, 1, rank=7)),
    "an input in a third format": ("format", lambda: put(CHAIN, 1, 2, 2)),
    "a linear operator in a third format": ("format", lambda: put(CHAIN, 2, 2, 2)),
    "a table in a third format": ("format", lambda: put(CHAIN, 6, 2, 2)),
    "a dimension beyond the rank": ("dimensions", lambda: put(CHAIN, 1, 19, 1)),
    "a last dimension beyond the rank": ("dimensions", lambda: put(CHAIN, 1, 31, 1)),
    "2^22 + 1 elements": ("elements", lambda: of_shape((1 << 22) + 1)),
    "more than 2^22 elements": ("elements", lambda: of_shape(2048, 2049)),
    "a product of dimensions that is 0 modulo 2^64": ("elements", lambda: of_shape(1 << 31, 1 << 31, 4)),
    "an input whose block is of 2^23 entries": ("input block", lambda: of_shape(1025, 2049)),
    "rows of 2^23 entries": ("rows", lambda: encode_descriptor(one(copy(0, fixed(0), fixed(0)), shape=(1025, 2049)))),
    # operators
    "an operator of no kind": ("operator code", lambda: put(CHAIN, 2, 0, 0x30)),
    "a linear operator with more behind it": ("bias axis", lambda: put(CHAIN, 2, 7, 1)),
    "a sixteenth table": ("table number", lambda: many_tables(16, 16)),
    "a table of itself": ("operand order", lambda: put(CHAIN, 6, 7, 2)),
    # output
    "an output that is none": ("output", lambda: put(CHAIN, 7, 0, 1)),
    "an output that is committed": ("output", lambda: put(CHAIN, 7, 3, 1)),
    "an output with more behind it": ("output", lambda: put(CHAIN, 7, 31, 1)),
    "an output of exponent 65": ("exponent", lambda: put(CHAIN, 7, 8, i32(65))),
    "an output of exponent -65": ("exponent", lambda: put(CHAIN, 7, 8, i32(-65))),
    "an output of seven axes": ("rank", lambda: put(CHAIN, 7, 1, 7)),
    "an output with something before its dimensions": ("output operand", lambda: put(CHAIN, 8, 0, 1)),
    "an output with a dimension beyond its rank": ("dimensions", lambda: put(CHAIN, 8, 31, 1)),
    # terms
    "a term that is none": ("term", lambda: put(CHAIN, 3, 0, 0x12)),
    "a term with more behind it": ("term", lambda: put(CHAIN, 3, 31, 1)),
    "weights of a fourth kind": ("weights kind", lambda: put(CHAIN, 3, 1, 3)),
    "a coefficient of -2^23": ("coefficient", lambda: encode_descriptor(one(replace(PLAIN, coefficient=-1 << 23)))),
    "axes of weights that are none": ("weights tensor", lambda: put(CHAIN, 3, 3, 1)),
    "weights that are none, of an operand": ("weights tensor", lambda: put(build(COPY, COPY), 7, 11, 1)),
    "weights of fewer axes": ("weights tensor", lambda: put(PRODUCT, 3, 3, 1)),
    # axes
    "an axis that is none": ("axis", lambda: put(CHAIN, 4, 0, 0x13)),
    "an axis in an eighth mode": ("axis fields", lambda: put(CHAIN, 4, 1, 7)),
    "an axis with more behind it": ("axis fields", lambda: put(CHAIN, 4, 31, 1)),
    "an index that is not used": ("axis index", lambda: put(CHAIN, 4, 23, 1)),
    "a contracted axis with a name": ("axis result", lambda: put(PRODUCT, 5, 2, 0)),
    "a fixed axis with a name": ("axis result", lambda: encode_descriptor(one(copy(0, replace(fixed(0), result=0), direct(1))))),
    "a merged axis with a name": (
        "axis result",
        lambda: encode_descriptor(one(copy(0, merge(0), replace(MERGED, result=1)), shape=(15, 1))),
    ),
    "a merge to no axis": ("result axis", lambda: encode_descriptor(one(copy(0, merge(1), MERGED), shape=(15,)))),
    # windows
    "a window with more behind it": ("axis fields", lambda: put(WINDOW, 5, 31, 1)),
    "a window with more in its middle": ("axis fields", lambda: put(WINDOW, 5, 7, 1)),
    "a kernel of a fifth kind": ("axis fields", lambda: put(WINDOW, 5, 3, 4)),
    "a kernel of 4097": ("kernel size", lambda: put(WINDOW, 5, 8, i32(4097))),
    "a stride of 2^16 + 1": ("stride", lambda: put(WINDOW, 5, 12, i32(65537))),
    "a stride of -2^16 - 1": ("stride", lambda: put(WINDOW, 5, 12, i32(-65537))),
    "a dilation of 2^16 + 1": ("dilation", lambda: put(WINDOW, 5, 16, i32(65537))),
    "a dilation of -2^16 - 1": ("dilation", lambda: put(WINDOW, 5, 16, i32(-65537))),
    "an offset of 2^22 + 1": ("offset", lambda: put(WINDOW, 5, 20, i32((1 << 22) + 1))),
    "an offset of -2^22 - 1": ("offset", lambda: put(WINDOW, 5, 20, i32(-(1 << 22) - 1))),
    "no kernel, of two entries": ("kernel", lambda: put(one(copy(0, direct(0), step(1))), 5, 8, i32(2))),
    "no kernel, dilated": ("kernel", lambda: put(one(copy(0, direct(0), step(1))), 5, 16, i32(1))),
    "a kernel that is no axis": ("kernel result", lambda: put(WINDOW, 5, 3, 3)),
    "an axis that is no kernel": ("kernel result", lambda: put(WINDOW, 5, 4, 0)),
    "2^24 + 2^12 readings": ("readings", lambda: windowed(1, summed(0, 4096), fixed(0), 4097)),
    "more than 2^22 summed entries": ("summed entries", lambda: windowed(1, summed(NO_AXIS, 2048), summed(NO_AXIS, 2049), 1)),
    # weights
    "33 variables": (
        "term bits",
        lambda: encode_descriptor(
            build(
                linear((1,), Term(0, (CONTRACT, CONTRACT, window(NO_AXIS, 2048, Kernel.WEIGHTED, 0)), Weights.PARAMETERS)),
                source=TensorType((2048, 2048, 1), SIGNED, 0),
            )
        ),
    ),
    "parameters of 2^33 padded entries": ("parameter bits", lambda: weighed((2048, 2048), (2048,))),
    "2^25 parameters in one term": ("weights", lambda: weighed((2048, 2048), (8,))),
    "2^24 + 2^23 parameters": ("weights", lambda: weighed((2048, 2048), (2,), terms=3)),
    "an axis of weights that is none": ("weights axis", lambda: put(PRODUCT, 6, 0, 0x12)),
    "an axis of weights with more behind it": ("weights axis", lambda: put(PRODUCT, 6, 31, 1)),
    "an index of weights that is not used": ("weights index", lambda: put(PRODUCT, 7, 11, 1)),
    "an index outside of the weights": ("weights index", lambda: put(PRODUCT, 6, 11, 3)),
    "a fixed axis of weights with a name": ("weights index", lambda: put(PRODUCT, 6, 2, 0)),
    "shared with another size": ("weights size", lambda: encode_descriptor(one(product(0, (shared(0), direct(1)), 0, at(0), beside(0))))),
    "along another size": (
        "weights size",
        lambda: encode_descriptor(one(product(0, (direct(0), fixed(0)), 0, along(1), at(0)), shape=(3, 4))),
    ),
    "an axis of the weights read along twice": (
        "weights axes",
        lambda: encode_descriptor(
            build(linear((2, 3), product(0, (fixed(0), fixed(0)), 0, along(1), along(1))), source=TensorType((3, 3), SIGNED, 0))
        ),
    ),
    "a merged axis of the weights": (
        "weights mode",
        lambda: encode_descriptor(one(product(0, (direct(0), direct(1)), 0, WeightsAxis(Mode.MERGE, 0), at(0)))),
    ),
    # committed inputs: anything but the identity, as it is written
    "a committed input repeated": ("identity", lambda: committed(PLAIN, shape=(3, 5, 2))),
    "a committed input in longer rows": ("identity", lambda: committed(PLAIN, shift=24)),
    "a committed input twice": ("identity", lambda: committed(PLAIN, PLAIN)),
    "a committed input times an element of it": ("identity", lambda: committed(product(0, PLAIN.axes, 0, at(0), at(0), coefficient=4096))),
    "a committed input transposed": ("identity", lambda: committed(copy(0, direct(1), direct(0)), shape=(3, 3), source=(3, 3))),
    "a committed input turned round": ("identity", lambda: committed(copy(0, step(0, -1, 2), direct(1)))),
    "a committed input in other words": ("identity", lambda: committed(copy(0, direct(0), step(1)))),
}
LEGAL: dict[str, Callable[[], bytes]] = {
    "254 operators": lambda: many_tables(253),
    "fifteen tables": lambda: many_tables(15, 15),
    "exponents of 64": lambda: encode_descriptor(
        replace(build(COPY), input=TensorType((3, 5), SIGNED, 64), output=TensorType((3, 5), SIGNED, 64))
    ),
    "exponents of -64": lambda: encode_descriptor(
        replace(build(COPY), input=TensorType((3, 5), SIGNED, -64), output=TensorType((3, 5), SIGNED, -64))
    ),
    "2^22 elements": lambda: of_shape(2048, 2048),
    "2^22 rows": lambda: encode_descriptor(one(copy(0, fixed(0), fixed(0)), shape=(2048, 2048))),
    "eight terms": lambda: encode_descriptor(one(*[PLAIN] * 8)),
    "a bias along the last axis": lambda: encode_descriptor(one(PLAIN, bias_axis=1)),
    "coefficients below 2^23": lambda: encode_descriptor(
        one(replace(PLAIN, coefficient=(1 << 23) - 1), replace(PLAIN, coefficient=1 - (1 << 23)))
    ),
    "the last index": lambda: encode_descriptor(one(copy(0, fixed(2), direct(1)))),
    "the longest steps": lambda: encode_descriptor(
        one(copy(0, direct(0), Axis(Mode.AFFINE, 1, Kernel.SUMMED, NO_AXIS, 4096, 1 << 16, 1 << 16, 1 << 22)))
    ),
    "the longest steps back": lambda: encode_descriptor(
        one(copy(0, direct(0), Axis(Mode.AFFINE, 1, Kernel.SUMMED, NO_AXIS, 1, -1 << 16, -1 << 16, -1 << 22)))
    ),
    "2^24 readings": lambda: windowed(1, summed(0, 4096), fixed(0), 4096),
    "2^22 summed entries": lambda: windowed(1, summed(NO_AXIS, 2048), summed(NO_AXIS, 2048), 1),
    "2^24 parameters": lambda: weighed((2048, 2048), (2,), terms=2),
    "2^24 parameters in one term": lambda: weighed((2048, 2048), (4,)),
    "the last index of the weights": lambda: encode_descriptor(PRODUCT),
    "a committed input": lambda: committed(PLAIN),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptors_are_refused(reading: Reading, name: str) -> None:
    rule, make = HOSTILE[name]
    assert not is_network(make())
    assert reading.find_broken_rule(make()) == rule


@pytest.mark.parametrize("name", LEGAL)
def test_what_is_just_within_the_rules_is_read(reading: Reading, name: str) -> None:
    assert is_network(LEGAL[name]())
    assert reading.find_broken_rule(LEGAL[name]()) == ""


# ---- mutations --------------------------------------------------------------------------------------------------------------------------


def require_same_verdicts(reading: Reading, count: int, seed: int) -> int:
    """How many of the mutated descriptors are networks, for both."""
    rng = np.random.default_rng(seed)
    contents = [encode_descriptor(network) for network in ZOO.values()]
    accepted = 0
    for _ in range(count):
        content = mutate(contents[int(rng.integers(len(contents)))], rng)
        broken = reading.find_broken_rule(content)
        assert is_network(content) == (not broken), (broken, content.hex())
        accepted += not broken
    return accepted


def test_mutated_descriptors_get_the_same_verdict(reading: Reading) -> None:
    assert require_same_verdicts(reading, 1500, seed=1) > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_mutated_descriptors_get_the_same_verdict(reading: Reading, seed: int) -> None:
    assert require_same_verdicts(reading, 20_000, seed=100 + seed) > 500
