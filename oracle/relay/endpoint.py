"""A chain behind JSON-RPC endpoints, whatever is deployed there: blocks, accounts, transactions, and failures sorted into ours.

Nothing is retried here and nothing is guessed: an endpoint that fails, or whose answer contradicts itself, raises ChainError; a call the
contracts refuse raises CallReverted with the Solidity error's name; no answer after sending raises AmbiguousSend.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from eth_typing import Hash32
from eth_utils.abi import function_abi_to_4byte_selector, get_abi_input_types
from web3 import Web3
from web3._utils.error_formatters_utils import raise_contract_logic_error_on_revert
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.middleware import AttributeDictMiddleware
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from oracle.encoding import AbiDecodingError, keccak256, to_hex
from oracle.errors import AmbiguousSend, ChainError
from oracle.records import Address, Block, Bytes32, TransactionReceipt
from oracle.relay import jsonrpc, shapes
from oracle.relay.artifacts import load_artifact
from oracle.relay.codec import make_tolerant
from oracle.relay.deployment import CONTRACTS
from oracle.relay.endpoints import Endpoints
from oracle.relay.failures import CallReverted, EndpointRefused, is_already_known, refusal_of
from oracle.relay.fees import HISTORY_BLOCKS, REWARD_PERCENTILE, FeeHistory
from oracle.relay.transact import Call
from oracle.relay.upstream import Fault
from oracle.seams import BlockTag, StateTag

RPC_TIMEOUT_SECONDS = 15.0
CODEC = make_tolerant(Web3().codec)


class Endpoint:
    """A chain behind one JSON-RPC endpoint or several (`endpoints`), whatever is deployed there. Safe to use from several threads."""

    def __init__(self, rpc: str | Sequence[str] | Endpoints, timeout_seconds: float = RPC_TIMEOUT_SECONDS) -> None:
        self.endpoints = rpc if isinstance(rpc, Endpoints) else Endpoints(rpc, timeout_seconds=timeout_seconds)
        self._web3 = Web3(_Provider(self.endpoints), middleware=[AttributeDictMiddleware])
        self._web3.codec = CODEC

    def chain_id(self) -> int:
        """The endpoint's own chain id, whatever the deployment says."""
        with asking("chain id"):
            return int(self._web3.eth.chain_id)

    def block(self, which: int | BlockTag) -> Block | None:
        try:
            with asking(f"block {which}"):
                found = self._ask("eth_getBlockByNumber", which if isinstance(which, str) else hex(which), False)
                return None if found is None else jsonrpc.block(found)
        except NotFound:
            return None

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        questions = [(hex(number), False) for number in numbers]
        with asking("blocks"):
            responses = self.endpoints.request_each("eth_getBlockByNumber", questions)
        return [self._block_in(*one) for one in zip(questions, responses, strict=True)]

    def _block_in(self, question: Sequence[Any], response: Mapping[str, Any]) -> Block | None:
        try:
            with asking(f"block {question[0]}"):
                found = self._result("eth_getBlockByNumber", question, response)
                return None if found is None else jsonrpc.block(found)
        except NotFound:
            return None

    def pending_time(self) -> int:
        """Seconds since 1970 that a transaction sent now would see, as far as the endpoint knows; never before the latest block's."""
        with asking("pending block"):
            latest = jsonrpc.quantity(jsonrpc.fields(self._ask("eth_getBlockByNumber", "latest", False))["timestamp"])
            pending = self._ask("eth_getBlockByNumber", "pending", False)
            return latest if pending is None else max(latest, jsonrpc.quantity(jsonrpc.fields(pending)["timestamp"]))

    def ether_of(self, account: Address) -> int:
        """Wei the account holds itself."""
        with asking("balance"):
            return self._web3.eth.get_balance(Web3.to_checksum_address(account))

    def receipt(self, transaction: Bytes32) -> TransactionReceipt | None:
        """None while not mined on the canonical chain."""
        raw = self._raw_receipt(transaction)
        return None if raw is None else receipt_of(transaction, raw, [])

    def cost_of(self, transaction: Bytes32) -> tuple[int, int] | None:
        """(gas used, wei paid for it) of a mined transaction; None while it is not mined."""
        with asking("receipt"):
            found = self._ask("eth_getTransactionReceipt", to_hex(transaction))
            if found is None:
                return None
            f = jsonrpc.fields(found)
            gas = jsonrpc.quantity(f["gasUsed"])
            return gas, gas * jsonrpc.quantity(f["effectiveGasPrice"])

    def _raw_receipt(self, transaction: Bytes32) -> jsonrpc.Receipt | None:
        with asking("receipt"):
            found = self._ask("eth_getTransactionReceipt", to_hex(transaction))
            raw = None if found is None else jsonrpc.receipt(found)
        if raw is not None and raw.transaction != transaction:
            raise ChainError("the endpoint gave the receipt of another transaction")
        return raw

    def _ask(self, method: str, *params: Any) -> Any:
        """The result of a question, past web3's formatters; an error is sorted by them all the same."""
        return self._result(method, params, self.endpoints.request(method, params))

    def _result(self, method: str, params: Sequence[Any], response: Mapping[str, Any]) -> Any:
        if response.get("error") is not None:
            may_revert = raise_contract_logic_error_on_revert if method in ("eth_call", "eth_estimateGas") else None
            self._web3.manager.formatted_response(cast(RPCResponse, response), params, may_revert)
        return response["result"]

    def created_contract(self, transaction: Bytes32) -> Address:
        """The address of the contract that a mined transaction created."""
        raw = self._raw_receipt(transaction)
        if raw is None or not raw.is_success or raw.created is None:
            raise ChainError(f"transaction {transaction.hex()} created no contract")
        return raw.created

    def is_known(self, transaction: Bytes32) -> bool:
        """Whether the endpoint has the transaction, mined or waiting."""
        try:
            with asking("transaction"):
                self._web3.eth.get_transaction(Hash32(transaction))
        except NotFound:
            return False
        return True

    def nonce(self, account: Address, tag: str | int) -> int:
        """The number of transactions of the account at "latest", "pending", "finalized" or a block number."""
        with asking(f"nonce at {tag}"):
            which = tag if isinstance(tag, str) else hex(tag)
            return jsonrpc.quantity(self._ask("eth_getTransactionCount", jsonrpc.checksummed(account), which))

    def fee_history(self) -> FeeHistory:
        with asking("fee history"):
            history = self._web3.eth.fee_history(HISTORY_BLOCKS, "latest", [REWARD_PERCENTILE])
        if not history["baseFeePerGas"]:
            raise ChainError("the endpoint gave an empty fee history")
        return FeeHistory(history["baseFeePerGas"][-1], tuple(int(block[0]) for block in history.get("reward") or [] if block))

    def estimate_gas(self, call: Call, sender: Address) -> int:
        """Gas the call needs on the endpoint's pending state. Raises CallReverted where the contracts refuse it."""
        [estimate] = self.estimate_gas_each([call], sender)
        if isinstance(estimate, Exception):
            raise estimate
        return estimate

    def estimate_gas_each(
        self, calls: Sequence[Call], sender: Address, state: StateTag = "pending"
    ) -> list[int | CallReverted | EndpointRefused]:
        """As `estimate_gas` for each, on `state`; what it would raise for one stands in its place. Raises ChainError."""
        questions = [(_transaction(call, sender), state) for call in calls]
        with asking("gas estimate"):
            responses = self.endpoints.request_each("eth_estimateGas", questions)
        found: list[int | CallReverted | EndpointRefused] = []
        for question, response in zip(questions, responses, strict=True):
            try:
                with asking("gas estimate"):
                    found.append(jsonrpc.quantity(self._result("eth_estimateGas", question, response)))
            except (CallReverted, EndpointRefused) as error:
                found.append(error)
        return found

    def send_raw(self, raw: bytes) -> None:
        """Hands a signed transaction to the endpoint; one that it has already is no error.

        Raises NonceUsed, TransactionInvalid or ChainError as `failures.refusal_of` says, AmbiguousSend when no answer came.
        """
        try:
            answer = self._web3.eth.send_raw_transaction(raw)
        except Web3RPCError as error:
            if is_already_known(str(error)):
                return
            raise refusal_of(str(error)) from error
        except (Web3Exception, OSError, ValueError) as error:
            if isinstance(error, Fault) and error.is_unsent:
                raise ChainError("the endpoint did not take the transaction") from error
            raise AmbiguousSend("no answer to a sent transaction") from error
        if bytes(answer) != keccak256(raw):
            raise ChainError("the endpoint took the transaction for another one")

    def _code(self, address: str) -> bytes:
        with asking("code"):
            return jsonrpc.data(self._ask("eth_getCode", jsonrpc.checksummed(address), "latest"))


class NotFound(Exception):
    """The endpoint knows no such block or transaction. Never leaves this module."""


class BadAnswer(ChainError):
    """An answer of the wrong shape."""


class _Provider(JSONBaseProvider):
    """web3's side of `Endpoints`. Without retries of its own: who owns a retry decides about it.

    Of web3's middleware only the naming of results is kept: names, gas prices and gas estimates are not left to it, and its validation asks
    for the chain id before every single call, which `check_deployment` does once.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__()
        self._endpoints = endpoints

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        plain = json.loads(self.encode_rpc_request(method, params))["params"]
        return cast(RPCResponse, self._endpoints.request(str(method), plain))


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Names what was asked in every failure, and sorts failures into ours."""
    try:
        yield
    except (BlockNotFound, TransactionNotFound) as error:
        raise NotFound from error
    except ContractLogicError as error:
        raise _reverted(error.message, error.data) from error
    except Web3RPCError as error:
        detail = (error.rpc_response or {}).get("error")
        if isinstance(detail, Mapping) and detail.get("code") == 3:  # "execution reverted", by every client
            raise _reverted(str(detail.get("message")), detail.get("data")) from error
        raise EndpointRefused(f"the endpoint failed: {what}") from error
    except (Web3Exception, AbiDecodingError, jsonrpc.WrongForm) as error:
        raise BadAnswer(f"the endpoint's answer has the wrong shape: {what}") from error
    except (OSError, ValueError) as error:
        raise ChainError(f"the endpoint does not answer: {what}") from error


def _reverted(message: str | None, data: object) -> CallReverted:
    """A Solidity error by name and with its arguments, where it is one of ours or the built-in Error(string)."""
    try:
        raw = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    except ValueError as failure:
        raise BadAnswer("the endpoint gave revert data that is not hex") from failure
    error = _solidity_errors().get(raw[:4])
    if error is None:
        return CallReverted(f"error {to_hex(raw[:4])}" if raw else "", f" ({message or 'no message'})")
    try:
        arguments = CODEC.decode(get_abi_input_types(error), raw[4:])
    except (AbiDecodingError, ValueError, OverflowError):  # also text that is not UTF-8: whoever reverts chooses these bytes
        return CallReverted(error["name"], f" with malformed arguments {to_hex(raw[4:])[:200]}")
    shown = ", ".join(to_hex(a) if isinstance(a, bytes) else str(a) for a in arguments)
    return CallReverted(error["name"], f"({shown})", tuple(arguments))


@cache
def _solidity_errors() -> dict[bytes, Any]:
    """The errors of every packaged contract, by selector."""
    elements = [e for name in (*CONTRACTS, "TimelockController", "DemoToken") for e in load_artifact(name).abi if e["type"] == "error"]
    text: dict[str, Any] = {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]}
    return {_selector(e): e for e in (*elements, text)}


def _selector(error: Mapping[str, Any]) -> bytes:
    return bytes(function_abi_to_4byte_selector(cast(Any, {**error, "type": "function"})))


def _transaction(call: Call, sender: Address) -> dict[str, str]:
    """A call as an estimate is asked for."""
    fields = {"from": jsonrpc.checksummed(sender), "data": to_hex(call.data), "value": hex(call.value_wei)}
    return fields if call.to is None else fields | {"to": jsonrpc.checksummed(call.to)}


def receipt_of(transaction: Bytes32, raw: jsonrpc.Receipt, events: Sequence[tuple[str, Mapping[str, Any]]]) -> TransactionReceipt:
    return TransactionReceipt(
        transaction=transaction,
        block_number=raw.block_number,
        block_hash=raw.block_hash,
        succeeded=raw.is_success,
        gas_used=raw.gas_used,
        delivered=shapes.delivered_of(events),
        replaced=shapes.replaced_of(events),
        items=shapes.items_of(events),
        finalized=shapes.finalized_of(events),
    )
