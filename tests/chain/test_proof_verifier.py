"""ProofVerifier.sol and circuits/verifier.py give the same verdict: on random networks' proofs, and on what is made of them.

Chunks are short (a setup of the tests' own, which the contract checks by a pairing), so that small networks span many.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from eth_abi.abi import encode

from circuits.digests import keccak256
from circuits.errors import BoundError, CircuitError
from circuits.layers.axes import Axis, Kernel, Mode, WeightsAxis
from circuits.layers.linear import Linear, make_dense
from circuits.layers.table import Table
from circuits.layers.term import Shape, Term, Weights
from circuits.network import Network, Operator, make_input_identity
from circuits.proof_error import ProofError
from circuits.statement import Statement, encode_tensor, read_statement
from circuits.tensors import Format, TensorType
from oracle.relay.anvil import running_chain
from tests.soundness.networks import CONTRACT, make_network, shared
from tests.soundness.zoo import against, beside, make_zoo, product
from tests.vectors.make_proofs import (
    MANIFEST,
    Case,
    affine,
    direct,
    encode_g2,
    make_case,
    make_committed,
    make_local_setup,
    plain,
    weighted,
)

ARTIFACTS = Path(__file__).parents[2] / "oracle" / "artifacts"
CHUNK_BITS = 8
GAS = 16_000_000
INSUFFICIENT_GAS = "0x" + keccak256(b"InsufficientGas(uint256,uint256)")[:4].hex()
MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
RECTIFIED, SIGNED = Format.RECTIFIED, Format.SIGNED


# ---- the chain ------------------------------------------------------------------------------------------------------------------------


@dataclass
class Verifying:
    """A registry and a verifier for the tests' setup, on a chain of their own."""

    rpc_url: str
    http: httpx.Client
    registry: str = ""
    verifier: str = ""

    def rpc(self, method: str, *params: object) -> dict[str, object]:
        answer: dict[str, object] = self.http.post(
            self.rpc_url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        ).json()
        return answer

    def result(self, method: str, *params: object) -> object:
        answer = self.rpc(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, data: bytes, to: str = "") -> dict[str, str]:
        sender = self.result("eth_accounts")[0]  # type: ignore[index]
        transaction = {"from": sender, "data": "0x" + data.hex(), "gas": hex(GAS)} | ({"to": to} if to else {})
        digest = self.result("eth_sendTransaction", transaction)
        while (receipt := self.result("eth_getTransactionReceipt", digest)) is None:
            pass
        assert receipt["status"] == "0x1", receipt  # type: ignore[index]
        return receipt  # type: ignore[return-value]

    def create(self, name: str, arguments: bytes = b"") -> str:
        code = json.loads((ARTIFACTS / f"{name}.json").read_text())["bytecode"]
        return self.send(bytes.fromhex(code[2:]) + arguments)["contractAddress"]

    def register(self, case: Case) -> None:
        for part in case.parts:
            self.send(encode_call("storeParameters(bytes)", part), self.registry)
        digests = [keccak256(b"\x00" + part) for part in case.parts]
        signature = "register(uint8,bytes32,bytes,bytes32[],string)"
        self.send(encode_call(signature, 1, keccak256(MANIFEST), case.circuit, digests, ""), self.registry)

    def prepare(self, case: Case) -> None:
        self.send(encode_call("prepare(bytes32)", case.model.verifying.model_id), self.verifier)

    def accepts(self, case: Case, proof: bytes, statement: Statement) -> bool:
        """The contract's verdict. That there was enough gas for it is asserted."""
        x, y = statement.input, encode_tensor(statement.y)
        signature = "verifyProof(bytes32,bytes32,bytes,bytes,bytes)"
        data = encode_call(signature, case.model.verifying.model_id, statement.context, x, y, proof)
        answer = self.rpc("eth_call", {"to": self.verifier, "data": "0x" + data.hex(), "gas": hex(GAS)}, "latest")
        if "error" in answer:
            reason = str(answer["error"].get("data", ""))  # type: ignore[attr-defined]
            assert len(reason) >= 10, answer
            assert not reason.startswith(INSUFFICIENT_GAS), answer
        return "error" not in answer


def encode_call(signature: str, *arguments: object) -> bytes:
    types = signature[signature.index("(") + 1 : -1].split(",")
    return keccak256(signature.encode())[:4] + encode(types, arguments)


@pytest.fixture(scope="module")
def verifying() -> Iterator[Verifying]:
    with running_chain() as chain:
        found = Verifying(chain.rpc, httpx.Client(timeout=60))
        found.registry = found.create("ModelRegistry")
        setup = make_local_setup(CHUNK_BITS)
        arguments = encode(["address", "uint256", "bytes"], [found.registry, CHUNK_BITS, encode_g2(setup.tau_g2)])
        found.verifier = found.create("ProofVerifier", arguments)
        yield found


# ---- networks of every kind -----------------------------------------------------------------------------------------------------------

SPLIT_WINDOW = Linear((3, 4, 2), 12, SIGNED, (weighted(0, affine(0, 1, -1, 2), affine(1, 2, 0, 2, Kernel.RESULT, 2)),))
COMMITTED_SHAPES = ((2, 256), (4, 128), (3, 64), (2, 8, 100), (5, 2, 4, 32), (3, 300), (256,), (7,), (16, 16, 2))
SQUARES = Linear((3,), 12, SIGNED, (product(0, (shared(0), CONTRACT, CONTRACT), 0, beside(0), against(1), against(2)),))
REPEATED = Linear((3, 5), 12, SIGNED, (product(0, (shared(0), CONTRACT), 0, beside(0), against(1)),))
KINDS = {
    # A network without parameters or tables is no model: nothing of it is committed.
    **{name: network for name, network in make_zoo().items() if network.count_weights() or network.table_count},
    # Three chunks of biases, where the padded block would be of four.
    "more biases than a chunk has entries": make_network((2,), [make_dense(0, (2,), 600, 12, SIGNED)]),
    "two axes summed beside a shared one": make_network((3, 5, 2), [SQUARES, make_dense(1, (3,), 3, 12, SIGNED)]),
    "a product repeated along an axis": make_network((3, 6), [REPEATED, make_dense(1, (3, 5), 3, 12, SIGNED)]),
    "windows, one of them split": make_network((5, 9), [SPLIT_WINDOW]),
    # Axes that end within a chunk, at its end, and lie across.
    **{f"committed input of {shape}": make_committed(shape) for shape in COMMITTED_SHAPES},
}


# ---- random networks --------------------------------------------------------------------------------------------------------------------


def draw_operator(rng: np.random.Generator, shapes: list[Shape], formats: list[Format], tables: list[Format]) -> Operator:
    """One that reads the last tensor."""
    last, shape = len(shapes) - 1, shapes[-1]
    shift, result = int(rng.choice([12, 24])), Format(int(rng.integers(2)))
    kept = direct(*range(len(shape)))
    some = int(rng.integers(1, 6))
    axis = int(rng.integers(len(shape)))
    rest = [direct(o)[0] for o in range(len(shape)) if o != axis]
    around: Callable[[Axis], tuple[Axis, ...]] = lambda a: (*rest[:axis], a, *rest[axis:])  # noqa: E731
    resized = (*shape[:axis], some, *shape[axis + 1 :])
    stride, offset = int(rng.integers(-2, 3)), int(rng.integers(-2, 4))
    same = [index for index, other in enumerate(shapes) if other == shape]
    match int(rng.integers(9)):
        case 0:
            return make_dense(last, shape, some, shift, result)
        case 1 if len(shape) > 1:
            return make_dense(last, shape, some, shift, result, positions=1)
        case 2:
            return Linear(resized, 12, result, (plain(last, *around(affine(axis, stride, offset, 1, Kernel.NONE))),))
        case 3:
            return Linear(resized, 12, result, (plain(last, *around(affine(axis, stride, offset, 3, Kernel.SUMMED)), coefficient=-700),))
        case 4 if len(shape) < 4:
            return Linear((*resized, 3), shift, result, (weighted(last, *around(affine(axis, stride, offset, 2))),), len(resized))
        case 5:
            number = int(rng.integers(len(tables) + 1))
            if number == len(tables):
                tables.append(result)
            return Table(last, shape, number, tables[number])
        case 6:
            axes = tuple(Axis(Mode.SHARED, o) for o in range(len(shape)))
            both = tuple(WeightsAxis(Mode.SHARED, o) for o in range(len(shape)))
            return Linear(shape, 12, result, (Term(last, axes, Weights.TENSOR, 3, int(rng.choice(same)), both),))
        case 7 if len(shape) > 1:
            merged = (shape[0] * shape[1], *shape[2:])
            axes = (Axis(Mode.MERGE, 0), Axis(Mode.MERGED), *direct(*range(1, len(merged))))
            return Linear(merged, 12, result, (plain(last, *axes),))
        case _:
            return Linear(shape, 12, result, (plain(last, *kept), plain(int(rng.choice(same)), *kept, coefficient=-2048)))


def draw_network(rng: np.random.Generator) -> Network:
    shapes: list[Shape] = [tuple(int(d) for d in rng.integers(1, 8, rng.integers(1, 4)))]
    formats, tables = [Format(int(rng.integers(2)))], list[Format]()
    operators: list[Operator] = []
    source = TensorType(shapes[0], formats[0], 0)
    is_committed = int(rng.integers(4)) == 0
    if is_committed:
        operators.append(make_input_identity(source))
        # No other operator may read the input: no tensor has the shape that stands here for it.
        shapes = [(), shapes[0]]
        formats.append(formats[0])
    for _ in range(int(rng.integers(1, 7))):
        operators.append(draw_operator(rng, shapes, formats, tables))
        shapes.append(operators[-1].shape)
        formats.append(operators[-1].format)
    if not any(isinstance(operator, Linear) for operator in operators):
        operators.append(make_dense(len(shapes) - 1, shapes[-1], 3, 12, SIGNED))
        shapes.append((3,))
        formats.append(SIGNED)
    return Network(source, tuple(operators), len(operators), TensorType(shapes[-1], formats[-1], 0), is_committed)


def draw_case(seed: int) -> Case:
    """The first that keeps the static bound."""
    rng = np.random.default_rng(seed)
    while True:
        try:
            case = make_case(draw_network(rng), seed, make_local_setup(CHUNK_BITS))
        except BoundError:
            continue
        if case.parts:  # a model without parameters is none
            return case


# ---- mutations --------------------------------------------------------------------------------------------------------------------------


def mutate_proof(rng: np.random.Generator, proof: bytes) -> bytes:
    data, place = bytearray(proof), int(rng.integers(4, len(proof)))
    match int(rng.integers(6)):
        case 0:
            data[place] ^= 1 << int(rng.integers(8))
        case 1:
            return proof[:place]
        case 2:
            return proof + bytes(int(rng.integers(1, 97)))
        case 3:
            data[place : place + 32] = bytes(len(data[place : place + 32]))
        case 4:
            start = len(proof) - 96 * int(rng.integers(1, 4))
            data[start : start + 96] = bytes(96)
        case _:
            start = 4 + 32 * int(rng.integers((len(proof) - 36) // 32))
            value = int.from_bytes(proof[start : start + 32], "big") + MODULUS
            data[start : start + 32] = (value % (1 << 256)).to_bytes(32, "big")
    return bytes(data)


def mutate_statement(rng: np.random.Generator, case: Case) -> Statement:
    network, statement = case.model.layout.network, case.statement
    y, context = statement.y.copy(), statement.context
    stated: object = statement.input if statement.x is None else statement.x.reshape(network.input.shape)
    match int(rng.integers(4)):
        case 0 if statement.x is None:
            stated = bytes(96) + statement.input[96:]
        case 0:
            x = statement.public_input.copy()
            x[int(rng.integers(len(x)))] ^= 1
            stated = x.reshape(network.input.shape)
        case 1:
            y[int(rng.integers(len(y)))] ^= 1
        case 2:
            context = keccak256(context)
        case _:
            y = y[::-1].copy()
    return read_statement(case.model.layout, stated, y.reshape(network.output.shape), context)


def is_accepted(case: Case, proof: bytes, statement: Statement) -> bool:
    try:
        case.verify(proof, statement)
    except (ProofError, CircuitError):
        return False
    return True


def require_same_verdicts(verifying: Verifying, case: Case, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    assert verifying.accepts(case, case.proof, case.statement)
    for _ in range(count):
        proof, statement = case.proof, case.statement
        if rng.integers(3):
            proof = mutate_proof(rng, proof)
        else:
            statement = mutate_statement(rng, case)
        assert verifying.accepts(case, proof, statement) == is_accepted(case, proof, statement)


@pytest.mark.parametrize("name", KINDS)
def test_networks_of_every_kind_get_the_same_verdict(verifying: Verifying, name: str) -> None:
    case = make_case(KINDS[name], 1, make_local_setup(CHUNK_BITS))
    verifying.register(case)
    require_same_verdicts(verifying, case, 1, 2)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_get_the_same_verdict(verifying: Verifying, seed: int) -> None:
    case = draw_case(seed)
    verifying.register(case)
    require_same_verdicts(verifying, case, seed, 12)


def test_prepared_models_get_the_same_verdict(verifying: Verifying) -> None:
    case = draw_case(1000)
    verifying.register(case)
    verifying.prepare(case)
    require_same_verdicts(verifying, case, 1000, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_random_networks_get_the_same_verdict(verifying: Verifying, seed: int) -> None:
    """10,000 mutations in all."""
    case = draw_case(seed)
    verifying.register(case)
    require_same_verdicts(verifying, case, seed, 100)
