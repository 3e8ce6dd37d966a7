"""ERC-1271 wallets against the adapter and the contract: whoever is valid off chain is valid on chain, and the other way round."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.encoding import compute_request_id, parse_address
from oracle.errors import ChainError
from oracle.records import Address, Asked
from oracle.relay import contracts as adapter
from oracle.relay.failures import CallReverted
from oracle.relay.transact import Call
from tests.chain.conftest import World, account
from tests.chain.test_contracts import delivery

SOLIDITY = Path(__file__).parents[2] / "contracts/src/libraries/RequesterSignature.sol"

PUSH_MAGIC = "7f1626ba7e" + "00" * 28
ANSWER = "60005260206000f3"  # return the word on the stack
ONLY_IF = "02"  # multiplies the magic by the condition below it


def runtime(world: World, name: str) -> str:
    """EVM code of a wallet, in hex."""
    coprocessor = world.deployment.coprocessor[2:].lower()
    return {
        "honest": PUSH_MAGIC + ANSWER,
        # GAS costs 2 itself, PUSH3 3: with the contract's 400,000 the first GAS reads 399,998.
        "wants more gas than it gets": "5a" + "62061a7e" + "10" + PUSH_MAGIC + ONLY_IF + ANSWER,  # 399,998 < gas
        "content with all it gets": "5a" + "62061a7d" + "10" + PUSH_MAGIC + ONLY_IF + ANSWER,  # 399,997 < gas
        "burns 500,000": "5a5b805a9003" + "6207a120" + "11600157" + PUSH_MAGIC + ANSWER,
        "knows only the Coprocessor": f"73{coprocessor}3314" + PUSH_MAGIC + ONLY_IF + ANSWER,
        "knows all but the Coprocessor": f"73{coprocessor}331415" + PUSH_MAGIC + ONLY_IF + ANSWER,
        "writes first": "6001600055" + PUSH_MAGIC + ANSWER,
        "answers 31 bytes": PUSH_MAGIC + "600052601f6000f3",
        "answers 64 bytes": PUSH_MAGIC + "60005260406000f3",
        "answers megabytes": PUSH_MAGIC + "6000526202000060006000" + "50f3",
        "magic with dirt behind": "7f1626ba7e" + "00" * 27 + "01" + ANSWER,
        "magic at the other end": "631626ba7e" + ANSWER,
        "says no": "6000" + ANSWER,
        "reverts with the magic": PUSH_MAGIC + "60005260206000fd",
        "burns everything": "fe",
        "says nothing": "00",
    }[name]


VALID = {
    "honest": True,
    "wants more gas than it gets": False,
    "content with all it gets": True,
    "burns 500,000": False,
    "knows only the Coprocessor": True,
    "knows all but the Coprocessor": False,
    "writes first": False,
    "answers 31 bytes": False,
    "answers 64 bytes": True,
    "answers megabytes": True,
    "magic with dirt behind": False,
    "magic at the other end": False,
    "says no": False,
    "reverts with the magic": False,
    "burns everything": False,
    "says nothing": False,
}


def deploy_wallet(world: World, code: str) -> Address:
    size = len(code) // 2
    creation = f"61{size:04x}80600a3d393df3" + code
    sender = world.sender(9)
    receipt = sender.send(Call(None, bytes.fromhex(creation)))
    created = world.rpc_call("eth_getTransactionReceipt", "0x" + receipt.transaction.hex())["contractAddress"]
    assert world.rpc_call("eth_getCode", created, "latest") == "0x" + code
    return parse_address(created, "contractAddress")


def asked_by(world: World, wallet: Address, signature: bytes = b"any bytes") -> Asked:
    request = replace(world.signed_request(1).request, requester=wallet, refund_to=wallet, fee_wei=0)
    return Asked(compute_request_id(request, world.deployment.domain), request, bytes(128), signature)


def is_accepted_on_chain(world: World, asked: Asked) -> bool:
    try:
        world.contracts.estimate_gas(world.contracts.deliver_call([delivery(world, asked)]), Address(account(7).address))
    except CallReverted as reverted:
        if reverted.error != "BadRequesterSignature":
            raise
        return False
    return True


@pytest.mark.parametrize("name", VALID)
def test_the_adapter_and_the_contract_agree(name: str, world: World) -> None:
    asked = asked_by(world, deploy_wallet(world, runtime(world, name)))
    assert world.contracts.is_valid_signature(asked.request, asked.signature) is VALID[name]
    assert is_accepted_on_chain(world, asked) is VALID[name]


def test_long_signatures(world: World) -> None:
    asked = asked_by(world, deploy_wallet(world, runtime(world, "honest")), b"\1" * 60_000)
    assert world.contracts.is_valid_signature(asked.request, asked.signature)


def test_the_gas_is_the_contracts() -> None:
    found = re.search(r"ERC1271_GAS = ([\d_]+);", SOLIDITY.read_text())
    assert found is not None
    assert int(found[1]) == adapter.ERC1271_GAS


def test_an_endpoint_without_state_overrides_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not look like a bad signature."""
    asked = asked_by(world, deploy_wallet(world, runtime(world, "honest")))
    eth = world.contracts._web3.eth
    plain = eth.call
    monkeypatch.setattr(eth, "call", lambda call, block, override: plain(call, block))
    with pytest.raises(ChainError, match="state overrides"):
        world.contracts.is_valid_signature(asked.request, asked.signature)
