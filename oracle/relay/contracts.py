"""The chain adapter: everything asked of, and told to, JSON-RPC endpoints about one deployment. The only module that imports web3.

`Contracts` implements `oracle.seams.ChainReader` and the sending side. Nothing is retried here and nothing is guessed: an endpoint that
fails, or whose answer contradicts itself, raises ChainError; a call the contracts refuse raises CallReverted with the Solidity error's
name; no answer after sending raises AmbiguousSend. Requires an archive of state only for `operators` at old blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, cast

from eth_typing import Hash32, HexStr
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector, get_abi_input_types
from hexbytes import HexBytes
from web3 import Web3
from web3._utils.error_formatters_utils import raise_contract_logic_error_on_revert
from web3.contract import Contract
from web3.exceptions import (
    BlockNotFound,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import AttributeDictMiddleware
from web3.providers.base import JSONBaseProvider
from web3.types import (
    BlockIdentifier,
    EventData,
    LogReceipt,
    RPCEndpoint,
    RPCResponse,
    StateOverride,
    TxParams,
)

from oracle.encoding import (
    COPROCESSOR_DOMAIN_NAME,
    AbiDecodingError,
    compute_claim_digest,
    compute_part_digest,
    compute_request_id,
    domain_separator,
    keccak256,
    pack_policy,
    parse_hex,
    to_hex,
)
from oracle.errors import AmbiguousSend, ChainError, ClaimRejected, ConfigRejected, MalformedInput, PolicyRejected
from oracle.limits import ERC1271_GAS
from oracle.records import (
    Address,
    Anchor,
    Asked,
    Asks,
    Block,
    Bytes32,
    CallbackStatus,
    Claim,
    Delivery,
    Domain,
    EnclaveKey,
    Evidence,
    ModelKind,
    OnChainStatus,
    Operator,
    Policy,
    Quote,
    RegisteredModel,
    Request,
    RequestStatus,
    SignedClaim,
    TransactionReceipt,
)
from oracle.relay import jsonrpc, shapes
from oracle.relay.artifacts import load_artifact
from oracle.relay.codec import make_tolerant
from oracle.relay.deployment import Deployment
from oracle.relay.endpoints import Endpoints
from oracle.relay.failures import CallReverted, EndpointRefused, is_already_known, refusal_of
from oracle.relay.fees import HISTORY_BLOCKS, REWARD_PERCENTILE, FeeHistory
from oracle.relay.transact import Call
from oracle.relay.upstream import Fault
from oracle.seams import BlockTag
from oracle.signatures import recover_signer

RPC_TIMEOUT_SECONDS = 15.0
LOG_PAGE_BLOCKS = 10_000
OPERATOR_OVERLAP_BLOCKS = 256
EVIDENCE_KIND_PROOF, EVIDENCE_KIND_ENCLAVE = 2, 3
"""libraries/Types.sol"""
NOT_SERVED_WEI = (1 << 80) - 1
"""FeeQuotes.NOT_SERVED; a test holds them equal."""
ERC1271_MAGIC = bytes.fromhex("1626ba7e")
"""RequesterSignature.sol; a test holds it equal to the contract's."""

_WALLET_PROBE = bytes.fromhex(
    "60203603"  # n = calldatasize - 32: the question, after the wallet's address
    "806020600037"  # memory[0:n] = the question
    f"6020600082600060003562{ERC1271_GAS:06x}fa"  # staticcall(ERC1271_GAS, wallet, memory[0:n]), one word back at 0
    "3d601f1016"  # and at least one word came back
    "6000510260005260206000f3"  # return that word, or zero
)
"""The EVM code of BoundedCall.tryStaticCall without its refusal for want of gas."""

_ERC1271_ABI = [
    {
        "type": "function",
        "name": "isValidSignature",
        "stateMutability": "view",
        "inputs": [{"name": "hash", "type": "bytes32"}, {"name": "signature", "type": "bytes"}],
        "outputs": [{"name": "", "type": "bytes4"}],
    }
]
_EVENTS_OF_DELIVERIES = frozenset({"InferenceDelivered", "InferenceFinalized", "InferenceReplaced", "CallbackExecuted", "BatchItem"})
_CONTRACTS = {
    "Coprocessor": "coprocessor",
    "ModelRegistry": "model_registry",
    "OperatorRegistry": "operator_registry",
    "VerifierRouter": "verifier_router",
    "QuorumVerifier": "quorum_verifier",
    "ProofVerifier": "proof_verifier",
    "FraudProofs": "fraud_proofs",
    "AuditAnchor": "audit_anchor",
    "EnclaveRegistry": "enclave_registry",
    "EnclaveVerifier": "enclave_verifier",
    "BlsKeys": "bls_keys",
    "BlsQuorumVerifier": "bls_quorum_verifier",
    "Disputes": "disputes",
    "FeeQuotes": "fee_quotes",
}


class Endpoint:
    """A chain behind one JSON-RPC endpoint or several (`endpoints`), whatever is deployed there. Safe to use from several threads."""

    def __init__(self, rpc: str | Sequence[str] | Endpoints, timeout_seconds: float = RPC_TIMEOUT_SECONDS) -> None:
        self.endpoints = rpc if isinstance(rpc, Endpoints) else Endpoints(rpc, timeout_seconds=timeout_seconds)
        self._web3 = Web3(_Provider(self.endpoints), middleware=[AttributeDictMiddleware])
        self._web3.codec = _CODEC

    def chain_id(self) -> int:
        """The endpoint's own chain id, whatever the deployment says."""
        with _asking("chain id"):
            return int(self._web3.eth.chain_id)

    def block(self, which: int | BlockTag) -> Block | None:
        try:
            with _asking(f"block {which}"):
                found = self._ask("eth_getBlockByNumber", which if isinstance(which, str) else hex(which), False)
                return None if found is None else jsonrpc.block(found)
        except _NotFound:
            return None

    def pending_time(self) -> int:
        """Seconds since 1970 that a transaction sent now would see, as far as the endpoint knows; never before the latest block's."""
        with _asking("pending block"):
            latest = jsonrpc.quantity(jsonrpc.fields(self._ask("eth_getBlockByNumber", "latest", False))["timestamp"])
            pending = self._ask("eth_getBlockByNumber", "pending", False)
            return latest if pending is None else max(latest, jsonrpc.quantity(jsonrpc.fields(pending)["timestamp"]))

    def ether_of(self, account: Address) -> int:
        """Wei the account holds itself."""
        with _asking("balance"):
            return self._web3.eth.get_balance(Web3.to_checksum_address(account))

    def receipt(self, transaction: Bytes32) -> TransactionReceipt | None:
        """None while not mined on the canonical chain."""
        raw = self._raw_receipt(transaction)
        return None if raw is None else _receipt(transaction, raw, [])

    def _raw_receipt(self, transaction: Bytes32) -> jsonrpc.Receipt | None:
        with _asking("receipt"):
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
            with _asking("transaction"):
                self._web3.eth.get_transaction(Hash32(transaction))
        except _NotFound:
            return False
        return True

    def nonce(self, account: Address, tag: str | int) -> int:
        """The number of transactions of the account at "latest", "pending", "finalized" or a block number."""
        with _asking(f"nonce at {tag}"):
            which = tag if isinstance(tag, str) else hex(tag)
            return jsonrpc.quantity(self._ask("eth_getTransactionCount", jsonrpc.checksummed(account), which))

    def fee_history(self) -> FeeHistory:
        with _asking("fee history"):
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

    def estimate_gas_each(self, calls: Sequence[Call], sender: Address) -> list[int | CallReverted | EndpointRefused]:
        """As `estimate_gas` for each, all on the same state; what it would raise for one stands in its place. Raises ChainError."""
        questions = [(_transaction(call, sender), "pending") for call in calls]
        with _asking("gas estimate"):
            responses = self.endpoints.request_each("eth_estimateGas", questions)
        found: list[int | CallReverted | EndpointRefused] = []
        for question, response in zip(questions, responses, strict=True):
            try:
                with _asking("gas estimate"):
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
        with _asking("code"):
            return jsonrpc.data(self._ask("eth_getCode", jsonrpc.checksummed(address), "latest"))


class Contracts(Endpoint):
    """One deployment behind one endpoint or several."""

    def __init__(self, rpc: str | Sequence[str] | Endpoints, deployment: Deployment, timeout_seconds: float = RPC_TIMEOUT_SECONDS) -> None:
        super().__init__(
            rpc if isinstance(rpc, Endpoints) else Endpoints(rpc, deployment.chain_id, timeout_seconds=timeout_seconds), timeout_seconds
        )
        self.deployment = deployment
        at = {name: getattr(deployment, field) for name, field in _CONTRACTS.items()}
        self._contracts = {name: _contract(self._web3, name, address) for name, address in at.items() if address is not None}
        self._views: dict[tuple[str, str], jsonrpc.View] = {}
        self._operators_seen: dict[Address, int] = {}  # operator → block of the event; a cache, rebuilt from the chain
        self._operators_seen_to = deployment.block_number - 1
        self._bls_keys_seen: tuple[tuple[int, int, Address, bytes], ...] = ()  # block, seat, operator, key; a cache, in the chain's order
        self._bls_keys_seen_to = deployment.block_number - 1
        self._operators_at: tuple[Bytes32, tuple[Operator, ...]] = (Bytes32(b""), ())  # a block's hash, and the operators there
        self._registered: dict[tuple[Bytes32, Address], tuple[str, tuple[Bytes32, ...]]] = {}  # by model and owner: written once

    @property
    def domain(self) -> Domain:
        return self.deployment.domain

    @property
    def has_disputes(self) -> bool:
        return self.deployment.disputes is not None

    def check_deployment(self) -> None:
        """Raises ConfigRejected unless the endpoint is on the deployment's chain and the contracts there are ours."""
        self.endpoints.require_chain(self.deployment.chain_id)
        if (chain_id := self.chain_id()) != self.deployment.chain_id:
            raise ConfigRejected("chain id of the endpoint", self.deployment.chain_id, chain_id)
        for name in self._contracts:
            if not self._code(self._contracts[name].address):
                raise ConfigRejected(f"{name} of the deployment", "a contract on this chain", f"no code at {self._contracts[name].address}")
        separator = bytes(self._view("Coprocessor", "DOMAIN_SEPARATOR"))
        expected = domain_separator(COPROCESSOR_DOMAIN_NAME, self.domain.chain_id, self.domain.coprocessor)
        if separator != expected:
            raise ConfigRejected("EIP-712 domain of the Coprocessor", to_hex(expected), to_hex(separator))

    # ---- reading: blocks, requests, accounts -------------------------------------------------------------------------------------
    def requested_in(self, block_hash: Bytes32) -> list[Asked]:
        logs = self._logs("Coprocessor", "InferenceRequested", {"blockHash": _hex(block_hash)})
        return [shapes.asked_of(log["args"], log, self.domain) for log in logs]

    def status_of(self, request_id: Bytes32) -> OnChainStatus:
        return _status(*self._view("Coprocessor", "statusOf", request_id))

    def statuses_of(self, request_ids: Sequence[Bytes32]) -> list[OnChainStatus]:
        handle, view = self._handle("Coprocessor"), self._view_of("Coprocessor", "statusOf")
        questions = [({"to": handle.address, "data": view.encode([request_id])}, "latest") for request_id in request_ids]
        with _asking("Coprocessor.statusOf"):
            responses = self.endpoints.request_each("eth_call", questions)
            answers = [self._result("eth_call", q, response) for q, response in zip(questions, responses, strict=True)]
            return [_status(*view.decode(answer)) for answer in answers]

    def balance_of(self, account: Address) -> int:
        return cast(int, self._view("Coprocessor", "balanceOf", account))

    def is_valid_signature(self, request: Request, signature: bytes) -> bool:
        """The Coprocessor's own rule (RequesterSignature.sol): canonical ECDSA first, then ERC-1271 where there is code."""
        digest = compute_request_id(request, self.domain)
        if _is_signed_by(request.requester, digest, signature):
            return True
        if not self._code(request.requester):
            return False
        return self._ask_wallet(request.requester, digest, signature) == ERC1271_MAGIC.ljust(32, b"\0")

    def _ask_wallet(self, wallet: Address, digest: Bytes32, signature: bytes) -> bytes:
        """The first word of a wallet's answer to ERC-1271, asked as the Coprocessor asks: by it, statically, with ERC1271_GAS.

        Asked in any other way, a wallet could be valid here and BAD_SIGNATURE there: by gas, by the asker, by writing. An `eth_call` has no
        gas limit for an inner call, so the Coprocessor's code is replaced for this one call (a state override, as geth, reth, Nethermind,
        Erigon, Besu and anvil know them). Raises ChainError where the endpoint does not do that.
        """
        question = self._web3.eth.contract(abi=_ERC1271_ABI).encode_abi("isValidSignature", [digest, signature])
        coprocessor = Web3.to_checksum_address(self.domain.coprocessor)
        call: TxParams = {"to": coprocessor, "data": HexStr("0x" + wallet[2:].rjust(64, "0") + question[2:])}
        override: StateOverride = {coprocessor: {"code": _hex(_WALLET_PROBE)}}
        try:
            with _asking("ERC-1271 signature"):
                answer = bytes(self._web3.eth.call(call, "latest", override))
        except CallReverted as reverted:  # the probe never reverts: this was the Coprocessor itself
            raise ChainError("the endpoint does not replace code for a call (state overrides of eth_call)") from reverted
        if len(answer) != 32:
            raise ChainError("the endpoint's answer has the wrong shape: ERC-1271 signature")
        return answer

    def has_code(self, account: Address) -> bool:
        return bool(self._code(account))

    # ---- reading: registries ------------------------------------------------------------------------------------------------------
    def operators(self, block_number: int | None = None) -> list[Operator]:
        """Without a block: at the newest, asked once for each."""
        head = self.block("latest")
        if head is None:
            raise ChainError("the chain has no latest block")
        if block_number is None and self._operators_at[0] == head.hash:
            return list(self._operators_at[1])
        number = head.number if block_number is None else block_number
        seen, keys = self._operators_registered_until(block_number, head), self._bls_keys_until(number, head)
        found = (self._operator(address, number, keys) for address in seen)
        operators = sorted((o for o in found if o is not None), key=lambda o: o.index)
        if block_number is None:
            self._operators_at = (head.hash, tuple(operators))
        return operators

    def operator_of(self, signer: Address) -> Address | None:
        found = Address(self._view("OperatorRegistry", "operatorOf", signer))
        return None if int(found, 16) == 0 else found

    def _operators_registered_until(self, block_number: int | None, head: Block) -> list[Address]:
        """Everyone who ever registered. New events are read on; the last blocks again, in case they were reorganised."""
        first = max(self.deployment.block_number, self._operators_seen_to + 1 - OPERATOR_OVERLAP_BLOCKS)
        seen = dict(self._operators_seen)
        for log in self._logs_between("OperatorRegistry", "OperatorRegistered", {}, first, head.number):
            seen.setdefault(Address(log["args"]["operator"]), log["blockNumber"])
        self._operators_seen, self._operators_seen_to = seen, head.number
        return [a for a, number in seen.items() if block_number is None or number <= block_number]

    def _bls_keys_until(self, block_number: int, head: Block) -> dict[int, tuple[Address, bytes]]:
        """By seat: who last registered a key for it until that block, and the key. The last blocks are read again, as above."""
        if "BlsKeys" not in self._contracts:
            return {}
        first = max(self.deployment.block_number, self._bls_keys_seen_to + 1 - OPERATOR_OVERLAP_BLOCKS)
        found = [(log["blockNumber"], log["args"]) for log in self._logs_between("BlsKeys", "BlsKeySet", {}, first, head.number)]
        new = tuple((number, a["index"], Address(a["operator"]), bytes(a["key"])) for number, a in found)
        self._bls_keys_seen = tuple(seen for seen in self._bls_keys_seen if seen[0] < first) + new
        self._bls_keys_seen_to = head.number
        return {index: (operator, key) for number, index, operator, key in self._bls_keys_seen if number <= block_number}

    def _operator(self, address: Address, block_number: int, keys: Mapping[int, tuple[Address, bytes]]) -> Operator | None:
        try:
            index, seat = self._view("OperatorRegistry", "operatorInfo", address, block=block_number)
        except CallReverted as reverted:
            if reverted.error == "NotSeated":
                return None
            raise
        signer, status, _exit_at, operator, stake_wei = seat
        by, key = keys.get(index, (None, b""))  # a key counts for who registered it, not for who took the seat over
        return Operator(index, Address(operator), Address(signer), stake_wei, status == 1, key if by == operator else b"")

    def model(self, model_id: Bytes32) -> RegisteredModel | None:
        """Its data URI is read from the event of its registration."""
        try:
            owner, kind, is_deprecated, _pointer, manifest, circuit = self._view("ModelRegistry", "modelOf", model_id)
        except CallReverted as reverted:
            if reverted.error == "UnknownModel":
                return None
            raise
        key = (model_id, Address(owner))
        if key not in self._registered:
            self._registered[key] = self._registration(model_id)
        uri, parameters = self._registered[key]
        return RegisteredModel(
            model_id=model_id,
            kind=ModelKind(kind),
            manifest_digest=Bytes32(manifest),
            circuit_digest=Bytes32(circuit),
            parameters=parameters,
            owner=Address(owner),
            data_uri=uri,
            is_active=not is_deprecated,
        )

    def _registration(self, model_id: Bytes32) -> tuple[str, tuple[Bytes32, ...]]:
        """(data URI, digests of the parts of the commitments) as the event of the registration tells them."""
        logs = self._logs_since("ModelRegistry", "ModelRegistered", {"modelId": model_id})
        if len(logs) != 1:
            raise ChainError(f"the endpoint gave {len(logs)} registrations of one registered model")
        fields = logs[0]["args"]
        return str(fields["dataUri"]), tuple(Bytes32(digest) for digest in fields["parameters"])

    def circuit(self, model_id: Bytes32) -> bytes:
        return bytes(self._view("ModelRegistry", "circuitOf", model_id))

    def is_part_stored(self, part: bytes) -> bool:
        """Whether the registry has this part of some model's commitments."""
        return int(self._view("ModelRegistry", "pointerOf", compute_part_digest(part)), 16) != 0

    def is_prepared(self, model_id: Bytes32) -> bool:
        """Whether the deployment's proof verifier keeps what it needs of the model's descriptor."""
        return int(self._view("ProofVerifier", "imageOf", model_id), 16) != 0

    def slashed_for(self, request_id: Bytes32, operator: Address) -> bool:
        """Whether an operator was slashed for what it signed about a request."""
        return bool(self._view("FraudProofs", "wasSlashed", request_id, operator))

    def stake_of(self, operator: Address) -> int:
        """Wei; 0 for who has no seat."""
        return int(self._view("OperatorRegistry", "stakeOf", operator))

    def asks_of(self, operator: Address, model_id: Bytes32) -> Asks | None:
        if "FeeQuotes" not in self._contracts:
            return None
        return _asks(self._view("FeeQuotes", "asksOf", operator, model_id))

    def asks_of_all(self, operators: Sequence[Address], model_id: Bytes32) -> list[Asks | None]:
        if "FeeQuotes" not in self._contracts or not operators:
            return [None] * len(operators)
        handle, view = self._handle("FeeQuotes"), self._view_of("FeeQuotes", "asksOf")
        questions = [({"to": handle.address, "data": view.encode([operator, model_id])}, "latest") for operator in operators]
        with _asking("FeeQuotes.asksOf"):
            responses = self.endpoints.request_each("eth_call", questions)
            return [_asks(view.decode(self._result("eth_call", q, response))) for q, response in zip(questions, responses, strict=True)]

    def quote(self, model_id: Bytes32, policy: Bytes32) -> Quote:
        """The least fee with which enough active operators are content. Raises PolicyRejected where too few posted what they ask for."""
        try:
            return Quote(*self._view("FeeQuotes", "quote", model_id, policy))
        except CallReverted as reverted:
            if reverted.error == "TooFewAsks":
                raise PolicyRejected("policy", "one that enough active operators posted a price for", reverted.got) from reverted
            raise

    # ---- reading: evidence ------------------------------------------------------------------------------------------------------------
    def check_proof(self, claim: Claim, data: bytes, output: bytes, evidence: Evidence) -> tuple[Address, ...]:
        """Whom the deployment's verifier of a proof names, as the Coprocessor would ask it. `data`: the request's input.

        Raises CallReverted where it refuses the proof, or where the router has no such verifier.
        """
        at = Address(self._view("VerifierRouter", "resolve", EVIDENCE_KIND_PROOF, evidence.selector))
        digest = compute_claim_digest(claim, self.domain)
        fields = (claim.request_id, claim.model_id, claim.input_digest, claim.output_digest)
        arguments = (fields, digest, pack_policy(Policy(proof=True)), data, output, evidence.data)
        return tuple(Address(a) for a in self.view_at("ProofVerifier", at, "verify", *arguments))

    def check_enclave(self, claim: Claim, policy: Bytes32, evidence: Evidence) -> tuple[Address, ...]:
        """The operator whose enclave signed, as the deployment's verifier names it under a request's policy word.

        Raises CallReverted where it refuses the signature now, or where the router has no such verifier.
        """
        at = Address(self._view("VerifierRouter", "resolve", EVIDENCE_KIND_ENCLAVE, evidence.selector))
        digest = compute_claim_digest(claim, self.domain)
        fields = (claim.request_id, claim.model_id, claim.input_digest, claim.output_digest)
        arguments = (fields, digest, policy, b"", b"", evidence.data)
        return tuple(Address(a) for a in self.view_at("EnclaveVerifier", at, "verify", *arguments))

    # ---- reading: enclaves --------------------------------------------------------------------------------------------------------------
    def enclave_key(self, key: Address, block_number: int | None = None) -> EnclaveKey | None:
        """None for a key never registered. Raises ConfigRejected where the deployment has no registry of enclaves."""
        operator, platform, is_revoked, expires_at, *digests = self._view("EnclaveRegistry", "keyOf", key, block=block_number)
        if int(operator, 16) == 0:
            return None
        return EnclaveKey(key, Address(operator), platform, is_revoked, expires_at, *(Bytes32(digest) for digest in digests))

    def enclave_keys(self) -> list[EnclaveKey]:
        """Every key that was ever registered, oldest first. Raises ConfigRejected where the deployment has no registry of enclaves."""
        logs = self._logs_since("EnclaveRegistry", "EnclaveRegistered", {})
        found = (self.enclave_key(Address(key)) for key in dict.fromkeys(log["args"]["key"] for log in logs))
        return [key for key in found if key is not None]

    def enclave_nonce(self, operator: Address) -> tuple[Bytes32, int]:
        """(nonce, until) of the registration an operator has begun: 32 zero bytes and 0 where none is."""
        nonce, until = self._view("EnclaveRegistry", "nonceOf", operator)
        return Bytes32(nonce), until

    def enclave_quorum(self) -> int:
        """How many operators must attest to a key, its own not counted."""
        return int(self._view("EnclaveRegistry", "QUORUM"))

    # ---- reading: transactions ------------------------------------------------------------------------------------------------------
    def receipt(self, transaction: Bytes32) -> TransactionReceipt | None:
        raw = self._raw_receipt(transaction)
        if raw is None:
            return None
        with _asking("events of a receipt"):
            return _receipt(transaction, raw, [e for log in raw.logs if (e := self._coprocessor_event(log)) is not None])

    def transaction_data(self, transaction: Bytes32) -> tuple[Address | None, bytes] | None:
        try:
            with _asking("transaction"):
                found = self._web3.eth.get_transaction(Hash32(transaction))
        except _NotFound:
            return None
        to = found.get("to")
        return None if to is None else Address(to), bytes(found["input"])

    def deliveries_in(self, calldata: bytes) -> list[Delivery]:
        try:
            function, fields = self._contracts["Coprocessor"].decode_function_input(to_hex(calldata))
        except (Web3Exception, AbiDecodingError, ValueError, OverflowError) as error:
            raise MalformedInput("calldata", "a call of the Coprocessor", to_hex(calldata[:4])) from error
        return shapes.deliveries_of(function.fn_name, fields, self.domain)

    def delivery_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        return self._only_receipt("InferenceDelivered", request_id)

    def replacement_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        return self._only_receipt("InferenceReplaced", request_id)

    def _only_receipt(self, event: str, request_id: Bytes32) -> TransactionReceipt | None:
        logs = self._logs_since("Coprocessor", event, {"requestId": request_id})
        if len(logs) > 1:
            raise ChainError(f"the endpoint gave {len(logs)} {event} events of one request")
        return self.receipt(Bytes32(bytes(logs[0]["transactionHash"]))) if logs else None

    def deliveries_made_in(self, block_hash: Bytes32) -> list[Bytes32]:
        """The transactions of exactly that block that delivered anything, in the block's order."""
        logs = self._logs("Coprocessor", "InferenceDelivered", {"blockHash": _hex(block_hash)})
        return list(dict.fromkeys(Bytes32(bytes(log["transactionHash"])) for log in logs))

    def asked_of(self, request_id: Bytes32) -> Asked | None:
        """A request made on chain, as its event tells it; None for signed ones and unknown ones."""
        logs = self._logs_since("Coprocessor", "InferenceRequested", {"requestId": request_id})
        return shapes.asked_of(logs[0]["args"], logs[0], self.domain) if logs else None

    # ---- anchors ----------------------------------------------------------------------------------------------------------------------
    def anchors(self, log_id: Bytes32) -> Sequence[Anchor]:
        return [_anchor(log) for log in self._logs_since("AuditAnchor", "Anchored", {"logId": log_id})]

    def latest_anchor(self, log_id: Bytes32) -> tuple[int, Bytes32]:
        """(size, root) of the last accepted anchor; size 0 and 32 zero bytes where there is none."""
        size, root = self._view("AuditAnchor", "latest", log_id)
        return size, Bytes32(root)

    # ---- calls to send ------------------------------------------------------------------------------------------------------------------
    def deliver_call(self, deliveries: Sequence[Delivery]) -> Call:
        """`deliver` or `deliverSigned` for one delivery, `deliverBatch` for more."""
        if len(deliveries) != 1:
            return self._deliver("deliverBatch", [shapes.delivery_tuple(d) for d in deliveries])
        request, signature, data, output, evidence = shapes.delivery_tuple(deliveries[0])
        if deliveries[0].asked.request.is_signed_off_chain:
            return self._deliver("deliverSigned", request, signature, data, output, evidence)
        return self._deliver("deliver", request, data, output, evidence)

    def _deliver(self, function: str, *arguments: Any) -> Call:
        return Call(self.domain.coprocessor, self._view_of("Coprocessor", function).calldata(arguments))

    def refund_call(self, request: Request) -> Call:
        return self.call("Coprocessor", "refund", shapes.request_tuple(request))

    def finalize_call(self, request: Request, output: bytes, beneficiaries: Sequence[Address]) -> Call:
        """`beneficiaries` are those of the event InferenceDelivered."""
        return self.call("Coprocessor", "finalize", shapes.request_tuple(request), output, list(beneficiaries))

    def challenge_call(self, asked: Asked, output: bytes, evidence: Evidence) -> Call:
        """Replaces a pending answer by `output`, on a proof."""
        request, proof = shapes.request_tuple(asked.request), shapes.evidence_tuples([evidence])[0]
        return self.call("Coprocessor", "challenge", request, asked.input, output, proof)

    def prove_wrong_call(self, signed: Sequence[SignedClaim], data: bytes, output: bytes, evidence: Evidence) -> Call:
        """Slashes the signers of one claim on a proof of another output. `data`: the input the claim is about."""
        claim = signed[0].claim
        fields = (claim.request_id, claim.model_id, claim.input_digest, claim.output_digest)
        signatures, proof = [s.signature for s in signed], shapes.evidence_tuples([evidence])[0]
        return self.call("FraudProofs", "proveWrong", fields, signatures, data, output, proof)

    def prove_wrong_together_call(
        self, claim: Claim, keys: Sequence[bytes], signature: bytes, data: bytes, output: bytes, evidence: Evidence
    ) -> Call:
        """As `prove_wrong_call`, for a claim that was signed with BLS keys together. `signature`: the 96-byte sum."""
        fields = (claim.request_id, claim.model_id, claim.input_digest, claim.output_digest)
        proof = shapes.evidence_tuples([evidence])[0]
        return self.call("FraudProofs", "proveWrongTogether", fields, (list(keys), signature), data, output, proof)

    def retry_callback_call(self, request: Request, output: bytes, gas_limit: int) -> Call:
        return self.call("Coprocessor", "retryCallback", shapes.request_tuple(request), output, gas_limit)

    def call(self, contract: str, function: str, *arguments: Any, value_wei: int = 0) -> Call:
        """Calldata for any function of the deployment's contracts, by name."""
        handle = self._handle(contract)
        return Call(Address(handle.address), bytes.fromhex(handle.encode_abi(function, list(arguments))[2:]), value_wei)

    def call_at(self, name: str, address: Address, function: str, *arguments: Any, value_wei: int = 0) -> Call:
        """Calldata for a packaged contract that is not part of the deployment, such as a consumer."""
        handle = _contract(self._web3, name, address)
        return Call(address, bytes.fromhex(handle.encode_abi(function, list(arguments))[2:]), value_wei)

    def view_at(self, name: str, address: Address, function: str, *arguments: Any, block: int | None = None) -> Any:
        """What a view of such a contract returns, now or in the state of a block."""
        with _asking(f"{name}.{function}"):
            bound = _contract(self._web3, name, address).get_function_by_name(function)(*arguments)
            return bound.call(block_identifier="latest" if block is None else cast(BlockIdentifier, block))

    def view(self, contract: str, function: str, *arguments: Any) -> Any:
        """What a view of one of the deployment's contracts returns now, by name."""
        return self._view(contract, function, *arguments)

    def requests_named_in(self, contract: str, block_hash: Bytes32) -> list[Bytes32]:
        """The requests that a contract's events in exactly that block are about, each once. Of a contract whose events all name one."""
        address = self._handle(contract).address
        with _asking(f"{contract} events"):
            logs = [_log(found) for found in jsonrpc.listed(self._ask("eth_getLogs", {"address": address, "blockHash": _hex(block_hash)}))]
        if any(str(log["address"]) != address or log.get("removed") for log in logs):
            raise ChainError(f"the endpoint gave events of another contract than {contract}, or removed ones")
        return list(dict.fromkeys(Bytes32(bytes(log["topics"][1])) for log in logs if len(log["topics"]) > 1))

    def requests_named_by(self, contract: str, event: str) -> list[Bytes32]:
        """The requests that events of a contract were ever about, oldest first, each once."""
        return list(dict.fromkeys(Bytes32(log["args"]["requestId"]) for log in self._logs_since(contract, event, {})))

    def _handle(self, name: str) -> Contract:
        if name not in self._contracts:
            raise ConfigRejected(f"{name} of the deployment", "an address", "none: it was deployed before there was one")
        return self._contracts[name]

    # ---- inside -------------------------------------------------------------------------------------------------------------------------
    def _view(self, contract: str, function: str, *arguments: Any, block: int | None = None) -> Any:
        with _asking(f"{contract}.{function}"):
            handle, view = self._handle(contract), self._view_of(contract, function)
            call = {"to": handle.address, "data": view.encode(arguments)}
            return view.decode(self._ask("eth_call", call, "latest" if block is None else hex(block)))

    def _view_of(self, contract: str, function: str) -> jsonrpc.View:
        if (contract, function) not in self._views:
            self._views[contract, function] = jsonrpc.View(self._handle(contract).get_function_by_name(function).abi, _CODEC)
        return self._views[contract, function]

    def _coprocessor_event(self, log: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
        """(name, arguments) of a log of the Coprocessor that tells of deliveries; None for all others."""
        if jsonrpc.address(log["address"]) != Address(self._contracts["Coprocessor"].address) or not jsonrpc.listed(log["topics"]):
            return None
        event = self._coprocessor_events.get(jsonrpc.digest(log["topics"][0]))
        return None if event is None else (event.name, event.decode(log))

    @cached_property
    def _coprocessor_events(self) -> dict[bytes, jsonrpc.Event]:
        abis = [e for e in load_artifact("Coprocessor").abi if e["type"] == "event" and e["name"] in _EVENTS_OF_DELIVERIES]
        return {event.topic: event for event in (jsonrpc.Event(abi, _CODEC) for abi in abis)}

    def _logs(self, contract: str, event: str, where: Mapping[str, Any]) -> list[EventData]:
        handle = self._handle(contract).get_event_by_name(event)()
        criteria = {"address": handle.address, "topics": [to_hex(event_abi_to_log_topic(handle.abi))], **where}
        with _asking(f"{event} events"):
            logs = [_log(found) for found in jsonrpc.listed(self._ask("eth_getLogs", _plain_criteria(criteria)))]
        if any(str(log["address"]) != handle.address or log.get("removed") for log in logs):
            raise ChainError(f"the endpoint gave {event} events of another contract, or removed ones")
        with _asking(f"{event} events"):
            return [handle.process_log(log) for log in logs]

    def _logs_between(self, contract: str, event: str, indexed: Mapping[str, Bytes32], first: int, last: int) -> Iterator[EventData]:
        """Events of a range, page by page, oldest first. `indexed`: the first indexed argument, where one is asked for."""
        handle = self._handle(contract).get_event_by_name(event)()
        topics = [to_hex(event_abi_to_log_topic(handle.abi)), *(to_hex(v) for v in indexed.values())]
        for start in range(first, last + 1, LOG_PAGE_BLOCKS):
            end = min(last, start + LOG_PAGE_BLOCKS - 1)
            yield from self._logs(contract, event, {"fromBlock": start, "toBlock": end, "topics": topics})

    def _logs_since(self, contract: str, event: str, indexed: Mapping[str, Bytes32]) -> list[EventData]:
        head = self.block("latest")
        if head is None:
            raise ChainError("the chain has no latest block")
        return list(self._logs_between(contract, event, indexed, self.deployment.block_number, head.number))


# ---- one endpoint ---------------------------------------------------------------------------------------------------------------------
class _NotFound(Exception):
    """The endpoint knows no such block or transaction. Never leaves this module."""


class _BadAnswer(ChainError):
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


def _contract(web3: Web3, name: str, address: str) -> Contract:
    return web3.eth.contract(Web3.to_checksum_address(address), abi=load_artifact(name).abi)


def creation_call(name: str, *arguments: Any) -> Call:
    """The transaction that creates a packaged contract with these constructor arguments."""
    artifact = load_artifact(name)
    factory = Web3().eth.contract(abi=artifact.abi, bytecode=to_hex(artifact.bytecode))
    return Call(None, parse_hex(factory.constructor(*arguments).data_in_transaction, "creation code"))


def call_at(name: str, address: Address, function: str, *arguments: Any) -> Call:
    """Calldata for a packaged contract on a chain where no deployment is yet."""
    return Call(address, bytes.fromhex(_contract(Web3(), name, address).encode_abi(function, list(arguments))[2:]))


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Names what was asked in every failure, and sorts failures into ours."""
    try:
        yield
    except (BlockNotFound, TransactionNotFound) as error:
        raise _NotFound from error
    except ContractLogicError as error:
        raise _reverted(error.message, error.data) from error
    except Web3RPCError as error:
        detail = (error.rpc_response or {}).get("error")
        if isinstance(detail, Mapping) and detail.get("code") == 3:  # "execution reverted", by every client
            raise _reverted(str(detail.get("message")), detail.get("data")) from error
        raise EndpointRefused(f"the endpoint failed: {what}") from error
    except (Web3Exception, AbiDecodingError, jsonrpc.WrongForm) as error:
        raise _BadAnswer(f"the endpoint's answer has the wrong shape: {what}") from error
    except (OSError, ValueError) as error:
        raise ChainError(f"the endpoint does not answer: {what}") from error


def _reverted(message: str | None, data: object) -> CallReverted:
    """A Solidity error by name and with its arguments, where it is one of ours or the built-in Error(string)."""
    try:
        raw = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    except ValueError as failure:
        raise _BadAnswer("the endpoint gave revert data that is not hex") from failure
    error = _solidity_errors().get(raw[:4])
    if error is None:
        return CallReverted(f"error {to_hex(raw[:4])}" if raw else "", f" ({message or 'no message'})")
    try:
        arguments = _CODEC.decode(get_abi_input_types(error), raw[4:])
    except (AbiDecodingError, ValueError, OverflowError):  # also text that is not UTF-8: whoever reverts chooses these bytes
        return CallReverted(error["name"], f" with malformed arguments {to_hex(raw[4:])[:200]}")
    shown = ", ".join(to_hex(a) if isinstance(a, bytes) else str(a) for a in arguments)
    return CallReverted(error["name"], f"({shown})")


_CODEC = make_tolerant(Web3().codec)


@cache
def _solidity_errors() -> dict[bytes, Any]:
    """The errors of every packaged contract, by selector."""
    elements = [e for name in (*_CONTRACTS, "TimelockController", "DemoToken") for e in load_artifact(name).abi if e["type"] == "error"]
    text: dict[str, Any] = {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]}
    return {_selector(e): e for e in (*elements, text)}


def _selector(error: Mapping[str, Any]) -> bytes:
    return bytes(function_abi_to_4byte_selector(cast(Any, {**error, "type": "function"})))


def _is_signed_by(account: Address, digest: Bytes32, signature: bytes) -> bool:
    """Whether a canonical 65-byte signature (low s, v 27 or 28) is the account's."""
    try:
        return recover_signer(digest, signature) == account
    except ClaimRejected:
        return False


def _transaction(call: Call, sender: Address) -> dict[str, str]:
    """A call as an estimate is asked for."""
    fields = {"from": jsonrpc.checksummed(sender), "data": to_hex(call.data), "value": hex(call.value_wei)}
    return fields if call.to is None else fields | {"to": jsonrpc.checksummed(call.to)}


def _status(status: int, callback: int, output_digest: bytes, available_at: int) -> OnChainStatus:
    return OnChainStatus(RequestStatus(status), CallbackStatus(callback), Bytes32(output_digest), available_at)


def _asks(told: Sequence[Any]) -> Asks | None:
    *amounts, is_posted = told
    return Asks(*(None if wei == NOT_SERVED_WEI else wei for wei in amounts)) if is_posted else None


def _plain_criteria(criteria: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as it is sent."""
    return {name: hex(value) if isinstance(value, int) else value for name, value in criteria.items()}


def _log(value: object) -> LogReceipt:
    """A log as web3's events read it."""
    f = jsonrpc.fields(value)
    return cast(
        LogReceipt,
        {
            "address": jsonrpc.address(f["address"]),
            "topics": [HexBytes(jsonrpc.digest(topic)) for topic in jsonrpc.listed(f["topics"])],
            "data": HexBytes(jsonrpc.data(f["data"])),
            "blockNumber": jsonrpc.quantity(f["blockNumber"]),
            "blockHash": HexBytes(jsonrpc.digest(f["blockHash"])),
            "transactionHash": HexBytes(jsonrpc.digest(f["transactionHash"])),
            "transactionIndex": jsonrpc.quantity(f["transactionIndex"]),
            "logIndex": jsonrpc.quantity(f["logIndex"]),
            "removed": f.get("removed", False),
        },
    )


def _receipt(transaction: Bytes32, raw: jsonrpc.Receipt, events: Sequence[tuple[str, Mapping[str, Any]]]) -> TransactionReceipt:
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


def _anchor(log: EventData) -> Anchor:
    fields = log["args"]
    return Anchor(
        log_id=Bytes32(fields["logId"]),
        size=fields["size"],
        root=Bytes32(fields["root"]),
        block_number=log["blockNumber"],
        block_hash=Bytes32(bytes(log["blockHash"])),
        transaction=Bytes32(bytes(log["transactionHash"])),
    )


def _hex(data: bytes) -> HexStr:
    return HexStr(to_hex(data))
