"""Intake: every reason not to work on a request, each with its own error, found before any work is done.

The chain's own time decides about deadlines, as the contract's does. What the contract would refuse at delivery (gas, horizon, window,
refund address of a signed request) is refused here first: an operator who answers it is not paid.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracle.encoding import compute_request_id, keccak256, to_hex, unpack_policy
from oracle.errors import (
    ChainError,
    ModelRejected,
    ModelUnknown,
    PolicyRejected,
    RequestExpired,
    RequestRejected,
    RequestUnknown,
    RequestUnpaid,
    TooLarge,
)
from oracle.limits import MAX_CALLBACK_GAS, MAX_HORIZON_SECONDS, MAX_WINDOW_SECONDS
from oracle.node.infer import check_input
from oracle.node.models import CanonicalServed, ModelLibrary, ServedModel
from oracle.records import SIGNED_NONCE_START, Address, Asked, Block, Domain, Policy, Request, RequestStatus
from oracle.seams import ChainReader


@dataclass(frozen=True, slots=True)
class Terms:
    """What this operator works for."""

    minimum_fee_wei: int
    max_input_bytes: int
    proves: bool = False  # whether this node makes proofs, so that it can answer alone what demands one
    minimum_proof_fee_wei: int = 0  # on top, where a proof is demanded and this node makes it
    signer: Address | None = None  # below what the operator with this key posted (FeeQuotes) is refused, too; None: nobody's
    gives_enclave: bool = False


@dataclass(frozen=True)
class CheckedJob:
    """A request worth working on: everything that can be known before the model runs is right."""

    asked: Asked
    policy: Policy
    model: ServedModel
    domain: Domain


def check(asked: Asked, chain: ChainReader, library: ModelLibrary, terms: Terms, owed_wei: int = 0) -> CheckedJob:
    """The request, checked. `owed_wei` is what the requester's other unanswered signed requests will cost.

    Raises, in this order: TooLarge; RequestRejected (nonce space, signature where none belongs, request id, input digest); PolicyRejected;
    ModelUnknown, ModelRejected; InputRejected; RequestExpired; RequestUnpaid; RequestUnknown or RequestRejected (its state on chain);
    RequestRejected (signature). Raises ChainError when the chain cannot be read.
    """
    _check_size(asked, terms)
    _check_source(asked)
    _check_digests(asked, chain.domain)
    policy = _check_policy(asked.request, chain, terms)
    model = _check_model(asked.request, chain, library)
    _check_provable(policy, model)
    check_input(model, asked.input)
    _check_time(asked.request, _head(chain).timestamp)
    _check_fee(asked.request, chain, terms, policy, owed_wei)
    _check_status(asked, chain)
    if asked.request.is_signed_off_chain and not chain.is_valid_signature(asked.request, asked.signature):
        raise RequestRejected("signature", f"one by {asked.request.requester}", "another")
    return CheckedJob(asked, policy, model, chain.domain)


def _head(chain: ChainReader) -> Block:
    head = chain.block("latest")
    if head is None:
        raise ChainError("the chain has no latest block")
    return head


def _check_size(asked: Asked, terms: Terms) -> None:
    if len(asked.input) > terms.max_input_bytes:
        raise TooLarge("input", f"at most {terms.max_input_bytes} bytes", len(asked.input))


def _check_source(asked: Asked) -> None:
    """A request comes either from a block, with a nonce of the contract, or with a signature and a nonce of the signer's own."""
    is_from_chain = asked.block_hash is not None
    if is_from_chain == asked.request.is_signed_off_chain:
        expected = f"below {SIGNED_NONCE_START}" if is_from_chain else f"at least {SIGNED_NONCE_START}"
        raise RequestRejected("request.nonce", expected, asked.request.nonce)
    if is_from_chain == bool(asked.signature):
        expected, got = ("none on a request from the chain", "one") if is_from_chain else ("one", "none")
        raise RequestRejected("signature", expected, got)


def _check_digests(asked: Asked, domain: Domain) -> None:
    expected = compute_request_id(asked.request, domain)
    if asked.request_id != expected:
        what = f"request id on chain {domain.chain_id}, coprocessor {domain.coprocessor}"
        raise RequestRejected(what, to_hex(expected), to_hex(asked.request_id))
    if keccak256(asked.input) != asked.request.input_digest:
        raise RequestRejected("request.input_digest", to_hex(keccak256(asked.input)), to_hex(asked.request.input_digest))


def _check_policy(request: Request, chain: ChainReader, terms: Terms) -> Policy:
    """Beside a quorum a proof may be demanded of which another node takes care; alone it needs a node that proves. So with an enclave's
    signature, which is never demanded alone."""
    policy = unpack_policy(request.policy)
    if not policy.quorum and not policy.proof:
        raise PolicyRejected("policy", "a quorum, a proof or both beside an enclave", policy)
    if not policy.quorum and not terms.proves:
        raise PolicyRejected("policy", "a quorum: this node does not prove", policy)
    active = sum(operator.is_active for operator in chain.operators())
    if policy.quorum > active:
        raise PolicyRejected("policy quorum", f"at most {active}, the active operators", policy.quorum)
    if policy.window_seconds > MAX_WINDOW_SECONDS:
        raise PolicyRejected("policy window", f"at most {MAX_WINDOW_SECONDS} seconds", policy.window_seconds)
    if policy.disputable and not chain.has_disputes:
        raise PolicyRejected("policy disputable", "a deployment with the contract Disputes", "one without it")
    return policy


def _check_model(request: Request, chain: ChainReader, library: ModelLibrary) -> ServedModel:
    """Served here, and registered. A deprecated model still answers what was asked on chain before, but no signed request."""
    model = library.get(request.model_id)
    registered = chain.model(request.model_id)
    if registered is None:
        raise ModelUnknown("model", "a registered model", to_hex(request.model_id))
    if not registered.is_active and request.is_signed_off_chain:
        raise ModelRejected(f"model {to_hex(request.model_id)}", "an active model", "a deprecated one")
    return model


def _check_provable(policy: Policy, model: ServedModel) -> None:
    if policy.proof and not isinstance(model, CanonicalServed):
        raise PolicyRejected("policy of a request to an opaque model", "no proof: only canonical models can be proven", policy)


def _check_time(request: Request, now: int) -> None:
    if now > request.deadline:
        raise RequestExpired("request.deadline", f"{now} or later", request.deadline)
    if request.deadline > now + MAX_HORIZON_SECONDS:
        raise RequestRejected("request.deadline", f"at most {now + MAX_HORIZON_SECONDS}", request.deadline)


def _check_fee(request: Request, chain: ChainReader, terms: Terms, policy: Policy, owed_wei: int) -> None:
    least_wei = terms.minimum_fee_wei + (terms.minimum_proof_fee_wei if policy.proof and terms.proves else 0)
    if request.fee_wei < least_wei:
        raise RequestUnpaid("request.fee_wei", f"at least {least_wei}", request.fee_wei)
    _check_asks(request, chain, terms, policy)
    if not request.is_signed_off_chain:
        return
    if request.callback_gas > MAX_CALLBACK_GAS:
        raise RequestRejected("request.callback_gas", f"at most {MAX_CALLBACK_GAS}", request.callback_gas)
    if int(request.refund_to, 16) == 0:
        raise RequestRejected("request.refund_to", "an address that is not zero", request.refund_to)
    deposit_wei = chain.balance_of(request.requester)
    if deposit_wei < request.fee_wei + owed_wei:
        raise RequestUnpaid(f"deposit of {request.requester}", f"at least {request.fee_wei + owed_wei} wei", deposit_wei)


def _check_asks(request: Request, chain: ChainReader, terms: Terms, policy: Policy) -> None:
    """What the operator posted on chain, against a share as FeeQuotes counts them: one for each piece of evidence."""
    mine = None if terms.signer is None else next((o.operator for o in chain.operators() if o.signer == terms.signer), None)
    asks = None if mine is None else chain.asks_of(mine, request.model_id)
    if asks is None:
        return
    share_wei = request.fee_wei // (policy.quorum + policy.proof + policy.enclave)
    given = (
        ("a signature", asks.signature_wei, policy.quorum > 0),
        ("a proof", asks.proof_wei, policy.proof and terms.proves),
        ("an enclave's signature", asks.enclave_wei, policy.enclave and terms.gives_enclave),
    )
    for what, asked_wei, is_given in given:
        if is_given and (asked_wei is None or share_wei < asked_wei):
            least = "more than any fee" if asked_wei is None else f"a share of at least {asked_wei}"
            raise RequestUnpaid("request.fee_wei", f"{least} for {what}", f"{share_wei} a share")


def _check_status(asked: Asked, chain: ChainReader) -> None:
    status = chain.status_of(asked.request_id).status
    expected = RequestStatus.NONE if asked.request.is_signed_off_chain else RequestStatus.REQUESTED
    if status is expected:
        return
    if status is RequestStatus.NONE:
        raise RequestUnknown("request on chain", "REQUESTED", "no such request")
    raise RequestRejected("state of the request on chain", expected.name, status.name)
