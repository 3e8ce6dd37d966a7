"""The Coprocessor and its registries in plain Python: the same states, checks and events as `contracts/src`, without gas.

One `World` is the state after one block; `tests/twins/chain.py` copies it block by block, which is what makes reorganisations cheap.
Signatures are checked here with eth_keys directly, not with the code under test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi.abi import decode, encode
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.exceptions import ValidationError

from oracle.encoding import (
    PROOF_SELECTOR,
    QUORUM_ECDSA_SELECTOR,
    claim_struct_hash,
    compute_claim_digest,
    compute_model_id,
    compute_proof_context,
    compute_request_id,
    keccak256,
    unpack_policy,
    unpack_proof_evidence,
)
from oracle.errors import PolicyRejected
from oracle.records import (
    SIGNED_NONCE_START,
    Address,
    Asked,
    Asks,
    Bytes32,
    CallbackStatus,
    Claim,
    Delivered,
    Delivery,
    Domain,
    Evidence,
    ModelKind,
    OnChainStatus,
    Operator,
    RegisteredModel,
    Request,
    RequestStatus,
    ResultCode,
)

HORIZON_SECONDS = 30 * 86_400
MAX_CALLBACK_GAS = 5_000_000
MAX_INPUT_BYTES = 98_304

REQUEST = "(address,address,bytes32,bytes32,bytes32,uint256,uint32,uint64,uint256)"
EVIDENCE = "(bytes4,bytes)[]"
DELIVERY = f"({REQUEST},bytes,bytes,bytes,{EVIDENCE})"
SIGNATURES: dict[str, tuple[str, ...]] = {
    "request": ("bytes32", "bytes", "bytes32", "uint32", "uint64", "address"),
    "deliver": (REQUEST, "bytes", "bytes", EVIDENCE),
    "deliverSigned": (REQUEST, "bytes", "bytes", "bytes", EVIDENCE),
    "deliverBatch": (f"{DELIVERY}[]",),
    "finalize": (REQUEST, "bytes", "address[]"),
    "refund": (REQUEST,),
    "cancelSigned": (REQUEST,),
    "retryCallback": (REQUEST, "bytes", "uint256"),
    "deposit": (),
    "depositFor": ("address",),
}
SELECTORS = {keccak256(f"{name}({','.join(types)})".encode())[:4]: name for name, types in SIGNATURES.items()}

GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NO_DIGEST = Bytes32(bytes(32))


class Revert(Exception):
    """A transaction, or one item of a batch, that the contract refuses; `code` is its ResultCode in a batch."""

    def __init__(self, name: str, code: ResultCode = ResultCode.REFUSED) -> None:
        super().__init__(name)
        self.code = code


@dataclass(frozen=True)
class Record:
    status: RequestStatus = RequestStatus.NONE
    callback: CallbackStatus = CallbackStatus.NONE
    output_digest: Bytes32 = NO_DIGEST
    available_at: int = 0
    beneficiaries: tuple[Address, ...] = ()


@dataclass
class Effects:
    """What one transaction emits."""

    asked: list[tuple[Request, Bytes32, bytes]] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    items: list[tuple[Bytes32, ResultCode]] = field(default_factory=list)
    finalized: list[Bytes32] = field(default_factory=list)
    refunded: list[Bytes32] = field(default_factory=list)


def request_tuple(r: Request) -> tuple[Any, ...]:
    return (
        r.requester,
        r.refund_to,
        r.model_id,
        r.input_digest,
        r.policy,
        r.fee_wei,
        r.callback_gas,
        r.deadline,
        r.nonce,
    )


def address(text: str) -> Address:
    return Address(to_checksum_address(text))


def request_of(t: Any) -> Request:
    return Request(
        address(t[0]),
        address(t[1]),
        Bytes32(t[2]),
        Bytes32(t[3]),
        Bytes32(t[4]),
        *t[5:],
    )


def encode_call(name: str, *values: Any) -> bytes:
    """Calldata of one of SIGNATURES."""
    types = SIGNATURES[name]
    return keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(list(types), list(values))


def delivery_call(delivery: Delivery) -> bytes:
    """Calldata of deliver or deliverSigned, whichever the request's nonce asks for."""
    evidence = [(e.selector, e.data) for e in delivery.evidence]
    request = request_tuple(delivery.asked.request)
    if delivery.asked.request.is_signed_off_chain:
        return encode_call("deliverSigned", request, delivery.asked.signature, delivery.asked.input, delivery.output, evidence)
    return encode_call("deliver", request, delivery.asked.input, delivery.output, evidence)


def batch_call(deliveries: list[Delivery]) -> bytes:
    items = [
        (
            request_tuple(d.asked.request),
            d.asked.signature,
            d.asked.input,
            d.output,
            [(e.selector, e.data) for e in d.evidence],
        )
        for d in deliveries
    ]
    return encode_call("deliverBatch", items)


def deliveries_of(calldata: bytes, domain: Domain) -> list[Delivery] | None:
    """The deliveries in calldata, None for another call."""
    name = SELECTORS.get(calldata[:4])
    if name not in ("deliver", "deliverSigned", "deliverBatch"):
        return None
    values = decode(list(SIGNATURES[name]), calldata[4:])
    if name == "deliver":
        return [_delivery((values[0], b"", *values[1:]), domain)]
    items = values[0] if name == "deliverBatch" else [values]
    return [_delivery(item, domain) for item in items]


def _delivery(item: Any, domain: Domain) -> Delivery:
    request = request_of(item[0])
    request_id = compute_request_id(request, domain)
    asked = Asked(request_id, request, item[2], item[1])
    claim = Claim(request_id, request.model_id, request.input_digest, keccak256(item[3]))
    return Delivery(asked, claim, item[3], tuple(Evidence(s, d) for s, d in item[4]))


def recovers_to(digest: bytes, signature: bytes, address: Address) -> bool:
    """ecrecover, with OpenZeppelin's refusal of high s."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if s > GROUP_ORDER // 2:
        return False
    if not (0 < r < GROUP_ORDER and s > 0):
        return False
    try:
        recovered = Signature(vrs=(signature[64] - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError):
        return False
    return str(recovered.to_checksum_address()) == address


def fake_proof(claim: Claim, beneficiary: Address) -> bytes:
    """What the twin's verifier takes for a proof of `claim` in the beneficiary's context."""
    return b"proof of " + keccak256(claim_struct_hash(claim) + compute_proof_context(claim.request_id, beneficiary))


@dataclass
class World:
    """The state of all contracts after one block."""

    domain: Domain
    records: dict[Bytes32, Record] = field(default_factory=dict)
    balances: dict[Address, int] = field(default_factory=dict)
    asks: dict[tuple[Address, Bytes32], Asks] = field(default_factory=dict)
    operators: dict[int, Operator] = field(default_factory=dict)
    models: dict[Bytes32, RegisteredModel] = field(default_factory=dict)
    circuits: dict[Bytes32, bytes] = field(default_factory=dict)
    nonces: dict[Address, int] = field(default_factory=dict)
    next_nonce: int = 0
    callbacks: dict[Address, list[tuple[Bytes32, bytes]]] = field(default_factory=dict)  # by consumer with code: successful callbacks
    reverting: frozenset[Address] = frozenset()  # consumers whose callback reverts
    wallets: dict[Address, frozenset[tuple[bytes, bytes]]] = field(default_factory=dict)  # ERC-1271: (digest, signature) accepted

    def copy(self) -> World:
        """Independent of this one; the values in it are immutable, except the lists of callbacks."""
        return replace(
            self,
            records=dict(self.records),
            balances=dict(self.balances),
            asks=dict(self.asks),
            operators=dict(self.operators),
            models=dict(self.models),
            circuits=dict(self.circuits),
            nonces=dict(self.nonces),
            callbacks={address: list(calls) for address, calls in self.callbacks.items()},
            wallets=dict(self.wallets),
        )

    # ---- registries ------------------------------------------------------------------------------------------------
    def register_model(
        self, kind: ModelKind, manifest_digest: Bytes32, circuit: bytes, parameters: tuple[Bytes32, ...], owner: Address, uri: str
    ) -> Bytes32:
        circuit_digest = keccak256(circuit) if circuit else Bytes32(bytes(32))
        model_id = compute_model_id(kind, manifest_digest, circuit_digest, parameters)
        is_canonical = kind is ModelKind.CANONICAL
        if model_id in self.models or is_canonical != bool(circuit) or is_canonical != bool(parameters):
            raise Revert("BadModel")
        model = RegisteredModel(model_id, kind, manifest_digest, circuit_digest, parameters, owner, uri, is_active=True)
        self.models[model_id] = model
        self.circuits[model_id] = circuit
        return model_id

    # ---- entry points -----------------------------------------------------------------------------------------------
    def call(self, sender: Address, data: bytes, value_wei: int, time: int) -> Effects:
        """Runs one call. Raises Revert; the caller then throws this world's copy away."""
        name = SELECTORS.get(data[:4])
        if name is None:
            raise Revert("UnknownSelector")
        effects = Effects()
        values = decode(list(SIGNATURES[name]), data[4:])
        entry: Callable[..., None] = getattr(self, f"_on_{name}")
        entry(effects, sender, value_wei, time, *values)
        return effects

    def _on_deposit(self, _e: Effects, sender: Address, value: int, _t: int) -> None:
        self._credit(sender, value)

    def _on_depositFor(self, _e: Effects, _s: Address, value: int, _t: int, account: str) -> None:
        self._credit(address(account), value)

    def _on_request(
        self,
        e: Effects,
        sender: Address,
        value: int,
        time: int,
        model_id: bytes,
        data: bytes,
        policy: bytes,
        gas: int,
        deadline: int,
        refund_to: str,
    ) -> None:
        if len(data) > MAX_INPUT_BYTES:
            raise Revert("InputTooLong")
        request = request_of((sender, refund_to, model_id, keccak256(data), policy, value, gas, deadline, self.next_nonce))
        self._require_acceptable(request, time)
        self.next_nonce += 1
        request_id = compute_request_id(request, self.domain)
        self.records[request_id] = Record(RequestStatus.REQUESTED)
        e.asked.append((request, request_id, data))

    def _on_deliver(self, e: Effects, _s: Address, _v: int, time: int, request: Any, data: bytes, output: bytes, evidence: Any) -> None:
        self._deliver(e, _delivery((request, b"", data, output, evidence), self.domain), time)

    def _on_deliverSigned(self, e: Effects, _s: Address, _v: int, time: int, *item: Any) -> None:
        self._deliver(e, _delivery(item, self.domain), time, is_signed=True)

    def _on_deliverBatch(self, e: Effects, _s: Address, _v: int, time: int, items: Any) -> None:
        for item in items:
            delivery = _delivery(item, self.domain)
            attempt = self.copy()
            try:
                attempt._deliver(e, delivery, time, is_signed=delivery.asked.request.is_signed_off_chain)
            except Revert as error:
                e.items.append((delivery.asked.request_id, error.code))
            else:
                self.__dict__.update(attempt.__dict__)
                e.items.append((delivery.asked.request_id, ResultCode.DELIVERED))

    def _on_finalize(self, e: Effects, _s: Address, _v: int, time: int, request: Any, output: bytes, beneficiaries: Any) -> None:
        r = request_of(request)
        request_id = compute_request_id(r, self.domain)
        record = self.records.get(request_id, Record())
        if record.status is not RequestStatus.PENDING or time < record.available_at:
            raise Revert("NotPending or WindowOpen")
        if keccak256(output) != record.output_digest or record.beneficiaries != tuple(address(b) for b in beneficiaries):
            raise Revert("OutputMismatch or BeneficiariesMismatch")
        self._pay(r.fee_wei, record.beneficiaries)
        callback = self._run_callback(request_id, r, output)
        self.records[request_id] = replace(record, status=RequestStatus.FINAL, callback=callback, beneficiaries=())
        e.finalized.append(request_id)

    def _on_refund(self, e: Effects, _s: Address, _v: int, time: int, request: Any) -> None:
        r = request_of(request)
        request_id = compute_request_id(r, self.domain)
        if self.records.get(request_id, Record()).status is not RequestStatus.REQUESTED or time <= r.deadline:
            raise Revert("NotExpired or UnknownRequest")
        self.records[request_id] = Record(RequestStatus.REFUNDED)
        self._credit(r.refund_to, r.fee_wei)
        e.refunded.append(request_id)

    def _on_cancelSigned(self, _e: Effects, sender: Address, _v: int, _t: int, request: Any) -> None:
        r = request_of(request)
        request_id = compute_request_id(r, self.domain)
        if sender != r.requester or not r.is_signed_off_chain or request_id in self.records:
            raise Revert("NotRequester or RequestUsed")
        self.records[request_id] = Record(RequestStatus.CANCELLED)

    def _on_retryCallback(self, _e: Effects, _s: Address, _v: int, _t: int, request: Any, output: bytes, gas: int) -> None:
        r = request_of(request)
        request_id = compute_request_id(r, self.domain)
        record = self.records.get(request_id, Record())
        if record.callback is not CallbackStatus.FAILED or keccak256(output) != record.output_digest or gas < r.callback_gas:
            raise Revert("CallbackNotFailed")
        self.records[request_id] = replace(record, callback=self._run_callback(request_id, r, output))

    # ---- delivering ---------------------------------------------------------------------------------------------------
    def _deliver(self, e: Effects, d: Delivery, time: int, is_signed: bool = False) -> None:
        request, request_id = d.asked.request, d.asked.request_id
        if is_signed:
            self._require_signed(d.asked, time)
        else:
            self._require_requested(request_id)
        if time > request.deadline:
            raise Revert("Expired", ResultCode.EXPIRED)
        beneficiaries = self._verify(d)
        if is_signed:
            self._credit(request.requester, -request.fee_wei)
        window = unpack_policy(request.policy).window_seconds
        available_at = time + window if window else 0
        if window:
            self.records[request_id] = Record(
                RequestStatus.PENDING,
                output_digest=d.claim.output_digest,
                available_at=available_at,
                beneficiaries=beneficiaries,
            )
            callback = CallbackStatus.NONE
        else:
            self._pay(request.fee_wei, beneficiaries)
            callback = self._run_callback(request_id, request, d.output)
            self.records[request_id] = Record(RequestStatus.FINAL, callback, d.claim.output_digest)
        e.delivered.append(
            Delivered(
                request_id,
                request.model_id,
                request.requester,
                d.claim.output_digest,
                d.output,
                beneficiaries,
                available_at,
                callback,
            )
        )

    def _require_acceptable(self, r: Request, time: int) -> None:
        try:
            policy = unpack_policy(r.policy)
        except PolicyRejected as error:
            raise Revert("BadPolicy") from error
        model = self.models.get(r.model_id)
        if policy.enclave or model is None or not model.is_active:
            raise Revert("KindNotServed or ModelNotActive")
        if not time < r.deadline <= time + HORIZON_SECONDS or r.callback_gas > MAX_CALLBACK_GAS or int(r.refund_to, 16) == 0:
            raise Revert("DeadlineOutOfRange, CallbackGasTooHigh or ZeroRefundAddress")

    def _require_requested(self, request_id: Bytes32) -> None:
        status = self.records.get(request_id, Record()).status
        if status is RequestStatus.NONE:
            raise Revert("UnknownRequest", ResultCode.UNKNOWN_REQUEST)
        if status in (RequestStatus.PENDING, RequestStatus.FINAL):
            raise Revert("AlreadyDelivered", ResultCode.ALREADY_DELIVERED)
        if status is not RequestStatus.REQUESTED:
            raise Revert("RequestClosed", ResultCode.CLOSED)

    def _require_signed(self, asked: Asked, time: int) -> None:
        r = asked.request
        if r.nonce < SIGNED_NONCE_START:
            raise Revert("NonceTooLow")
        if asked.request_id in self.records:
            self._require_requested(asked.request_id)
        if time > r.deadline:
            raise Revert("Expired", ResultCode.EXPIRED)
        self._require_acceptable(r, time)
        if r.fee_wei > self.balances.get(r.requester, 0):
            raise Revert("Unpaid", ResultCode.UNPAID)
        if not self.is_signed_by(r.requester, asked.request_id, asked.signature):
            raise Revert("BadRequesterSignature", ResultCode.BAD_SIGNATURE)

    def is_signed_by(self, account: Address, digest: bytes, signature: bytes) -> bool:
        if account in self.wallets:
            return (digest, signature) in self.wallets[account]
        return recovers_to(digest, signature, account)

    def _verify(self, d: Delivery) -> tuple[Address, ...]:
        """The demanded pieces in their order, each by its verifier."""
        policy = unpack_policy(d.asked.request.policy)
        if len(d.evidence) != bool(policy.quorum) + policy.proof:
            raise Revert("EvidenceCount", ResultCode.BAD_EVIDENCE)
        paid = self._verify_quorum(d, policy.quorum) if policy.quorum else ()
        return tuple(dict.fromkeys((*paid, self.verify_proof(d.claim, d.asked.input, d.output, d.evidence[-1])))) if policy.proof else paid

    def verify_proof(self, claim: Claim, data: bytes, output: bytes, evidence: Evidence) -> Address:
        """ProofVerifier, for proofs made by `fake_proof`: as good as true ones for who only carries them."""
        if evidence.selector != PROOF_SELECTOR or keccak256(data) != claim.input_digest or keccak256(output) != claim.output_digest:
            raise Revert("InputMismatch", ResultCode.BAD_EVIDENCE)
        beneficiary, proof = unpack_proof_evidence(evidence.data)
        if proof != fake_proof(claim, beneficiary):
            raise Revert("WrongOpening", ResultCode.BAD_EVIDENCE)
        return beneficiary

    def _verify_quorum(self, d: Delivery, k: int) -> tuple[Address, ...]:
        """QuorumVerifier: the bitmap says who, exactly one signature a bit, k at least."""
        if d.evidence[0].selector != QUORUM_ECDSA_SELECTOR or len(d.evidence[0].data) < 32:
            raise Revert("EvidenceCount", ResultCode.BAD_EVIDENCE)
        digest, data = compute_claim_digest(d.claim, self.domain), d.evidence[0].data
        bits = [i for i in range(256) if int.from_bytes(data[:32], "big") >> i & 1]
        if len(bits) < k or len(data) != 32 + 65 * len(bits):
            raise Revert("BadQuorum", ResultCode.BAD_EVIDENCE)
        for position, index in enumerate(bits):
            operator = self.operators.get(index)
            signature = data[32 + 65 * position : 97 + 65 * position]
            if operator is None or not operator.is_active or not recovers_to(digest, signature, operator.signer):
                raise Revert("BadSigner", ResultCode.BAD_EVIDENCE)
        return tuple(dict.fromkeys(self.operators[index].operator for index in bits))

    def _run_callback(self, request_id: Bytes32, r: Request, output: bytes) -> CallbackStatus:
        if r.callback_gas == 0 or r.requester not in self.callbacks:
            return CallbackStatus.NONE
        if r.requester in self.reverting:
            return CallbackStatus.FAILED
        self.callbacks[r.requester].append((request_id, output))
        return CallbackStatus.SUCCEEDED

    def _pay(self, fee_wei: int, beneficiaries: tuple[Address, ...]) -> None:
        share = fee_wei // len(beneficiaries)
        for position, address in enumerate(beneficiaries):
            self._credit(address, share + (fee_wei - share * len(beneficiaries) if position == 0 else 0))

    def _credit(self, account: Address, amount_wei: int) -> None:
        self.balances[account] = self.balances.get(account, 0) + amount_wei

    # ---- reading -------------------------------------------------------------------------------------------------------
    def status(self, request_id: Bytes32) -> OnChainStatus:
        record = self.records.get(request_id, Record())
        return OnChainStatus(record.status, record.callback, record.output_digest, record.available_at)
