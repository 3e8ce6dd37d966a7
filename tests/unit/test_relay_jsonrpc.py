"""Answers of endpoints read by hand: as web3 reads them, and of the wrong form where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from web3 import Web3

from oracle.encoding import AbiDecodingError, to_hex
from oracle.records import Block, Bytes32
from oracle.relay import jsonrpc
from oracle.relay.artifacts import load_artifact
from oracle.relay.jsonrpc import Event, View, WrongForm

HASH, PARENT = Bytes32(b"\x11" * 32), Bytes32(b"\x22" * 32)
BLOCK = {"number": "0x10", "hash": to_hex(HASH), "parentHash": to_hex(PARENT), "timestamp": "0x6543", "other": 1}
SOMEBODY = "0x52908400098527886E0F7030069857D2E4169EE7"
RECEIPT = {
    "transactionHash": to_hex(HASH),
    "blockNumber": "0x2",
    "blockHash": to_hex(PARENT),
    "status": "0x1",
    "gasUsed": "0x5208",
    "contractAddress": None,
    "logs": [{"address": SOMEBODY.lower(), "topics": [], "data": "0x"}],
}
CODEC = Web3().codec


def test_what_is_well_formed() -> None:
    assert jsonrpc.block(BLOCK) == Block(16, HASH, PARENT, 0x6543)
    receipt = jsonrpc.receipt(RECEIPT | {"contractAddress": SOMEBODY.lower()})
    assert (receipt.transaction, receipt.block_number, receipt.block_hash) == (HASH, 2, PARENT)
    assert (receipt.is_success, receipt.gas_used, receipt.created, len(receipt.logs)) == (True, 21_000, SOMEBODY, 1)
    assert jsonrpc.receipt(RECEIPT | {"status": "0x0"}).is_success is False
    assert jsonrpc.quantity("0x" + "f" * 64) == 2**256 - 1


@pytest.mark.parametrize("value", [None, 1, "", "0x", "10", "0xg", "0x-1", "0x 1", "0x1_0", "0x" + "0" * 65, [], True])
def test_no_quantity(value: object) -> None:
    with pytest.raises(WrongForm):
        jsonrpc.quantity(value)


@pytest.mark.parametrize("value", [None, 1, "", "ab", "0xabc", "0xzz", "0x" + "ab" * 31, "0x" + "ab" * 33, [], "0x" + "ab " * 32])
def test_no_digest(value: object) -> None:
    with pytest.raises(WrongForm):
        jsonrpc.digest(value)


@pytest.mark.parametrize(("read", "whole"), [(jsonrpc.block, BLOCK), (jsonrpc.receipt, RECEIPT)])
def test_every_field_must_be_there_and_of_its_form(read: Callable[[object], Any], whole: dict[str, Any]) -> None:
    for name in set(whole) - {"other", "contractAddress"}:
        for broken in ({k: v for k, v in whole.items() if k != name}, whole | {name: None}, whole | {name: {}}):
            with pytest.raises(WrongForm):
                read(broken)
    for no_object in (None, [], "0x", 1):
        with pytest.raises(WrongForm):
            read(no_object)


@pytest.mark.parametrize("changes", [{"status": "0x2"}, {"logs": [1]}, {"contractAddress": "0x12"}])
def test_receipts_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(WrongForm):
        jsonrpc.receipt(RECEIPT | changes)


# ---- against web3 ----------------------------------------------------------------------------------------------------------------------
def abi_of(contract: str, name: str) -> dict[str, Any]:
    return next(e for e in load_artifact(contract).abi if e.get("name") == name and e["type"] in ("function", "event"))


def test_calldata_is_what_web3_makes() -> None:
    contract = Web3().eth.contract(Web3.to_checksum_address(SOMEBODY), abi=load_artifact("OperatorRegistry").abi)
    view = View(abi_of("OperatorRegistry", "operatorInfo"), CODEC)
    assert view.encode([SOMEBODY]) == contract.encode_abi("operatorInfo", [SOMEBODY])


def test_structs_and_addresses_come_as_from_web3() -> None:
    """`operatorInfo` gives a number and a struct with addresses in it."""
    view = View(abi_of("OperatorRegistry", "operatorInfo"), CODEC)
    outputs = ["uint256", "(address,uint8,uint64,address,uint256)"]
    types = [o["type"] if o["type"] != "tuple" else "(" + ",".join(c["type"] for c in o["components"]) + ")" for o in view_outputs()]
    assert len(types) == len(outputs)
    values = (3, tuple(SOMEBODY.lower() if t == "address" else 7 for t in types[1][1:-1].split(",")))
    index, seat = view.decode(to_hex(CODEC.encode(types, values)))
    assert index == 3
    assert [one for one in seat if isinstance(one, str)] == [SOMEBODY] * types[1].count("address")


def view_outputs() -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = abi_of("OperatorRegistry", "operatorInfo")["outputs"]
    return outputs


def test_one_value_comes_alone() -> None:
    view = View(abi_of("OperatorRegistry", "operatorOf"), CODEC)
    assert view.decode("0x" + "00" * 12 + SOMEBODY[2:].lower()) == SOMEBODY


@pytest.mark.parametrize("answer", ["0x", "0x00", "0x" + "ff" * 32, None, 5])
def test_answers_that_do_not_decode(answer: object) -> None:
    with pytest.raises((WrongForm, AbiDecodingError)):
        View(abi_of("OperatorRegistry", "operatorOf"), CODEC).decode(answer)


def delivered_log() -> dict[str, Any]:
    requester = "0x" + "00" * 12 + SOMEBODY[2:].lower()
    event = Event(abi_of("Coprocessor", "InferenceDelivered"), CODEC)
    data = CODEC.encode(["bytes32", "bytes", "address[]", "uint64"], [b"\x33" * 32, b"output", [SOMEBODY], 9])
    return {"address": SOMEBODY, "topics": ["0x" + event.topic.hex(), to_hex(HASH), to_hex(PARENT), requester], "data": to_hex(data)}


def test_events_come_as_from_web3() -> None:
    abi = abi_of("Coprocessor", "InferenceDelivered")
    log = delivered_log()
    place = {"blockNumber": 1, "blockHash": HASH, "transactionHash": HASH, "transactionIndex": 0, "logIndex": 0}
    typed = {"address": SOMEBODY, "topics": [bytes.fromhex(t[2:]) for t in log["topics"]], "data": bytes.fromhex(log["data"][2:])}
    contract = Web3().eth.contract(Web3.to_checksum_address(SOMEBODY), abi=load_artifact("Coprocessor").abi)
    theirs = dict(contract.events.InferenceDelivered().process_log(typed | place)["args"])  # type: ignore[arg-type]
    ours = Event(abi, CODEC).decode(jsonrpc.fields(log))
    assert {name: _plain(value) for name, value in theirs.items()} == {name: _plain(value) for name, value in ours.items()}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else bytes(value) if isinstance(value, bytes) else value


@pytest.mark.parametrize("changes", [{"topics": []}, {"topics": None}, {"data": "0x"}, {"data": None}, {"topics": ["0x" + "00" * 32] * 5}])
def test_logs_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises((WrongForm, AbiDecodingError)):
        Event(abi_of("Coprocessor", "InferenceDelivered"), CODEC).decode(jsonrpc.fields(delivered_log() | changes))
