"""The chain adapter: everything asked of, and told to, JSON-RPC endpoints about one deployment.

`Contracts` implements `oracle.seams.ChainReader` and the sending side, on `endpoint` (one chain) and `deployed` (its contracts by name);
these three alone import web3. Requires an archive of state only for `operators` at old blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from eth_typing import Hash32, HexStr
from web3 import Web3
from web3.exceptions import Web3Exception
from web3.types import EventData, StateOverride, TxParams

from oracle.encoding import AbiDecodingError, compute_claim_digest, compute_part_digest, compute_request_id, pack_policy, to_hex
from oracle.errors import ChainError, ClaimRejected, MalformedInput, PolicyRejected
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
from oracle.relay import shapes
from oracle.relay.deployed import Deployed
from oracle.relay.deployment import Deployment
from oracle.relay.endpoint import RPC_TIMEOUT_SECONDS, NotFound, asking, receipt_of
from oracle.relay.endpoints import Endpoints
from oracle.relay.failures import CallReverted
from oracle.relay.transact import Call
from oracle.signatures import recover_signer

OPERATOR_OVERLAP_BLOCKS = 256
EVIDENCE_KIND_PROOF, EVIDENCE_KIND_ENCLAVE = 2, 3
_KINDS = {1: "quorum", EVIDENCE_KIND_PROOF: "proof", EVIDENCE_KIND_ENCLAVE: "enclave"}
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


class Contracts(Deployed):
    """What is asked of one deployment, and the calls that are sent to it."""

    def __init__(self, rpc: str | Sequence[str] | Endpoints, deployment: Deployment, timeout_seconds: float = RPC_TIMEOUT_SECONDS) -> None:
        super().__init__(rpc, deployment, timeout_seconds)
        self._operators_seen: dict[Address, int] = {}  # operator → block of the event; a cache, rebuilt from the chain
        self._operators_seen_to = deployment.block_number - 1
        self._bls_keys_seen: tuple[tuple[int, int, Address, bytes], ...] = ()  # block, seat, operator, key; a cache, in the chain's order
        self._bls_keys_seen_to = deployment.block_number - 1
        self._operators_at: tuple[Bytes32, tuple[Operator, ...]] = (Bytes32(b""), ())  # a block's hash, and the operators there
        self._registered: dict[tuple[Bytes32, Address], tuple[str, tuple[Bytes32, ...]]] = {}  # by model and owner: written once

    # ---- reading: blocks, requests, accounts -------------------------------------------------------------------------------------
    def requested_in(self, block_hash: Bytes32) -> list[Asked]:
        return self.requested_in_each([block_hash])[0]

    def requested_in_each(self, block_hashes: Sequence[Bytes32]) -> list[list[Asked]]:
        each = self._logs_in_each("Coprocessor", "InferenceRequested", block_hashes)
        return [[shapes.asked_of(log["args"], log, self.domain) for log in logs] for logs in each]

    def status_of(self, request_id: Bytes32) -> OnChainStatus:
        return _status(*self._view("Coprocessor", "statusOf", request_id))

    def statuses_of(self, request_ids: Sequence[Bytes32]) -> list[OnChainStatus]:
        handle, view = self._handle("Coprocessor"), self._view_of("Coprocessor", "statusOf")
        questions = [({"to": handle.address, "data": view.encode([request_id])}, "latest") for request_id in request_ids]
        with asking("Coprocessor.statusOf"):
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
        override: StateOverride = {coprocessor: {"code": HexStr(to_hex(_WALLET_PROBE))}}
        try:
            with asking("ERC-1271 signature"):
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
        with asking("FeeQuotes.asksOf"):
            responses = self.endpoints.request_each("eth_call", questions)
            return [_asks(view.decode(self._result("eth_call", q, response))) for q, response in zip(questions, responses, strict=True)]

    def quote(self, model_id: Bytes32, policy: Bytes32) -> Quote:
        """The least fee with which enough active operators are content. Raises PolicyRejected where too few posted what they ask for."""
        try:
            return Quote(*self._view("FeeQuotes", "quote", model_id, policy))
        except CallReverted as reverted:
            if reverted.error != "TooFewAsks" or len(reverted.arguments) != 3:
                raise
            kind, demanded, got = reverted.arguments
            raise PolicyRejected(
                f"policy {_KINDS.get(kind, kind)}", f"{demanded} active operators who posted a price for it", got or "none"
            ) from reverted

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
        with asking("events of a receipt"):
            return receipt_of(transaction, raw, [e for log in raw.logs if (e := self._coprocessor_event(log)) is not None])

    def transaction_data(self, transaction: Bytes32) -> tuple[Address | None, bytes] | None:
        try:
            with asking("transaction"):
                found = self._web3.eth.get_transaction(Hash32(transaction))
        except NotFound:
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
        return self.deliveries_made_in_each([block_hash])[0]

    def deliveries_made_in_each(self, block_hashes: Sequence[Bytes32]) -> list[list[Bytes32]]:
        """`deliveries_made_in` of each, asked for together."""
        each = self._logs_in_each("Coprocessor", "InferenceDelivered", block_hashes)
        return [list(dict.fromkeys(Bytes32(bytes(log["transactionHash"])) for log in logs)) for logs in each]

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


def _is_signed_by(account: Address, digest: Bytes32, signature: bytes) -> bool:
    """Whether a canonical 65-byte signature (low s, v 27 or 28) is the account's."""
    try:
        return recover_signer(digest, signature) == account
    except ClaimRejected:
        return False


def _status(status: int, callback: int, output_digest: bytes, available_at: int) -> OnChainStatus:
    return OnChainStatus(RequestStatus(status), CallbackStatus(callback), Bytes32(output_digest), available_at)


def _asks(told: Sequence[Any]) -> Asks | None:
    *amounts, is_posted = told
    return Asks(*(None if wei == NOT_SERVED_WEI else wei for wei in amounts)) if is_posted else None


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
