"""Everything that must hold before a signed request is stored: cheap checks first, questions to the chain last.

The same rules hold in `Coprocessor.deliverSigned`; refusing here saves the caller a wait and the operators their work. What passes here can
still fail there (a withdrawn deposit, a deprecated model): the contract decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from oracle.attest.enclave.report import Platform
from oracle.encoding import keccak256, to_hex, unpack_policy
from oracle.errors import InputRejected, ModelRejected, ModelUnknown, PolicyRejected, RequestRejected, RequestUnpaid
from oracle.limits import MAX_CALLBACK_GAS, MAX_HORIZON_SECONDS, MAX_WINDOW_SECONDS, ZERO_ADDRESS
from oracle.pipeline.asking import check_deadline, check_nonce_space
from oracle.pipeline.catalogue import DescribedModel
from oracle.pipeline.inputs import check_input
from oracle.records import Address, Asked, Asks, Bytes32, EnclaveKey, ModelKind, Policy, RegisteredModel, Request, RequestStatus
from oracle.seams import ChainReader


def check_terms(request: Request, now: datetime) -> Policy:
    """What needs no chain: deadline, callback gas, refund address, policy. Returns the policy. Raises the error of the first that fails."""
    check_limits(request.deadline, request.callback_gas, now)
    if request.refund_to == ZERO_ADDRESS:
        raise RequestRejected("request.refund_to", "an address that is not zero", request.refund_to)
    policy = unpack_policy(request.policy)
    check_window(policy)
    return policy


def check_limits(deadline: int, callback_gas: int, now: datetime) -> None:
    """Raises RequestExpired for a deadline (seconds since 1970) that is over, RequestRejected beyond what the contract takes."""
    check_deadline(deadline, now)
    horizon = int(now.timestamp()) + MAX_HORIZON_SECONDS
    if deadline > horizon:
        raise RequestRejected("request.deadline", f"at most {horizon} (30 days from now)", deadline)
    if callback_gas > MAX_CALLBACK_GAS:
        raise RequestRejected("request.callback_gas", f"at most {MAX_CALLBACK_GAS}", callback_gas)


def check_window(policy: Policy) -> None:
    """Raises PolicyRejected for a longer window than the contract takes."""
    if policy.window_seconds > MAX_WINDOW_SECONDS:
        raise PolicyRejected("policy window", f"at most {MAX_WINDOW_SECONDS} seconds", policy.window_seconds)


def check_provable(policy: Policy, model: DescribedModel) -> None:
    """Raises PolicyRejected where a proof is demanded of a model that cannot be proven."""
    if policy.proof and model.kind is not ModelKind.CANONICAL:
        raise PolicyRejected("policy proof", "a canonical model", f"{model.name}, which is opaque")


def check_signed(asked: Asked, model: DescribedModel, now: datetime) -> Policy:
    """All that can be said of a signed request without the chain. Returns its policy."""
    check_nonce_space(asked.request)
    if (digest := keccak256(asked.input)) != asked.request.input_digest:
        raise InputRejected("request.input_digest", f"{to_hex(digest)}, the digest of the input", to_hex(asked.request.input_digest))
    policy = check_terms(asked.request, now)
    check_provable(policy, model)
    check_input(model, asked.input)
    return policy


def check_registered(registered: RegisteredModel | None, model_id: Bytes32, chain_id: int) -> None:
    """Raises ModelUnknown where it is not registered, ModelRejected where it is deprecated."""
    if registered is None:
        raise ModelUnknown("model", f"one registered on chain {chain_id}", to_hex(model_id))
    if not registered.is_active:
        raise ModelRejected("model", "an active one", f"{to_hex(model_id)}, which is deprecated")


def check_quorum(policy: Policy, active: int) -> None:
    """Raises PolicyRejected where more operators are demanded than are active."""
    if policy.quorum > active:
        raise PolicyRejected("policy quorum", f"at most {active}, the number of active operators", policy.quorum)


def check_disputable(policy: Policy, chain: ChainReader) -> None:
    """Raises PolicyRejected where disputes are demanded of a deployment that has none: its Coprocessor refuses such a request."""
    if policy.disputable and not chain.has_disputes:
        raise PolicyRejected("policy disputable", "a deployment with the contract Disputes", "one without it")


def check_enclave(policy: Policy, keys: Iterable[EnclaveKey], active: Collection[Address], now: datetime) -> None:
    """Raises PolicyRejected where an enclave is demanded and no key could sign for one: of an active operator, good now, in real hardware
    unless the policy takes a simulated enclave. `active`: the active operators' addresses."""
    if not policy.enclave:
        return
    good = [key for key in keys if not key.is_revoked and now.timestamp() < key.expires_at and key.operator in active]
    if any(policy.simulated or key.platform != Platform.SIMULATED for key in good):
        return
    found = "simulated enclaves alone, which this policy does not take" if good else "none"
    raise PolicyRejected("policy enclave", "an active operator with a registered enclave", found)


def check_asks(fee_wei: int, policy: Policy, posted: Collection[Asks | None]) -> None:
    """What the active operators posted in FeeQuotes, against a share of the fee; None for one who posted nothing, who may take any.

    Raises PolicyRejected where too few give what is demanded at all, RequestUnpaid where too few give it for so little: nodes refuse such
    a request each for itself, so that nobody would answer it.
    """
    demands = {
        "quorum": (policy.quorum, "signature_wei"),
        "proof": (int(policy.proof), "proof_wei"),
        "enclave": (int(policy.enclave), "enclave_wei"),
    }
    share_wei = 0
    for kind, (count, name) in demands.items():
        amounts = sorted(wei for one in posted if (wei := 0 if one is None else getattr(one, name)) is not None)
        if len(amounts) < count:
            who = "operator who gives" if count == 1 else "operators who give"
            raise PolicyRejected(f"policy {kind}", f"{count} active {who} it", f"{len(amounts)}, by what they posted in FeeQuotes")
        share_wei = max([share_wei, *amounts[:count]])
    shares = sum(count for count, _ in demands.values())
    if fee_wei // shares < share_wei:
        least = f"at least {shares * share_wei} wei, by what operators posted in FeeQuotes: {shares} shares of {share_wei} wei"
        raise RequestUnpaid("request.fee_wei", least, f"{fee_wei} wei")


def check_unused(chain: ChainReader, asked: Asked) -> None:
    """Signature, and that the id was never used."""
    if not chain.is_valid_signature(asked.request, asked.signature):
        where = f"chain {chain.domain.chain_id}, Coprocessor {chain.domain.coprocessor}"
        raise RequestRejected(
            "signature",
            f"that of {asked.request.requester} over request id {to_hex(asked.request_id)} ({where})",
            "one that is not, or is for another chain, contract or request",
        )
    status = chain.status_of(asked.request_id).status
    if status is not RequestStatus.NONE:
        raise RequestRejected("request", "one that was not used before", f"{to_hex(asked.request_id)}, which is {status.name}")


def check_paid(asked: Asked, balance_wei: int, promised_wei: int) -> None:
    """Raises RequestUnpaid unless the deposit covers the fee beside `promised_wei`, the fees of the requester's open requests."""
    if asked.request.fee_wei + promised_wei > balance_wei:
        owed = f"{asked.request.fee_wei} wei" + (f" and {promised_wei} wei for requests before it" if promised_wei else "")
        raise RequestUnpaid(f"deposit of {asked.request.requester}", owed, f"{balance_wei} wei")
