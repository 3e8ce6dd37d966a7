"""The client: one deployment, an endpoint of one's own to believe, and an API to ask for what the chain does not keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from oracle.audit.note import parse_vkey
from oracle.client.evidence import LoggedEvidence, verify_logged
from oracle.client.verifying import (
    AskVerifier,
    CheckProof,
    Question,
    Verified,
    compare_receipt,
    require_answers,
    verify_on_chain,
)
from oracle.encoding import compute_claim_digest, pack_policy, to_hex
from oracle.errors import ConfigRejected, EvidenceRejected
from oracle.pipeline.catalogue import DescribedModel, describe_directory
from oracle.pipeline.client import ApiClient, Progress, SentEvent
from oracle.pipeline.disputing import open_dispute, open_disputes, read_dispute, take_bond
from oracle.pipeline.inputs import WantedInput
from oracle.pipeline.requesting import Outcome, Terms, ask_on_chain, ask_signed, deposit, withdraw_balance
from oracle.pipeline.session import Session
from oracle.records import Address, Bytes32, Policy, Quote
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import Deployment, load_deployment
from oracle.relay.disputes import Dispute
from oracle.relay.failures import CallReverted
from oracle.relay.sender import PersonalSender
from oracle.seams import Signer


class Client:
    """Asks, follows and verifies at one deployment. Safe to use from several threads, but for sending: one account has one nonce.

    `rpc` is an endpoint you trust, best your own node: it is what verification rests on. `api` is needed for signed requests, for
    following, and for the log's entries; it is believed in nothing. `signer` pays and signs. `log_vkey` is the log's verifier key, from a
    source that is not the API. `models`: directories whose files proofs are verified with; without them the deployment's own verifier is
    asked, through `rpc`.

    Raises ConfigRejected for a deployment that the endpoint does not have, ChainError where it does not answer.
    """

    def __init__(
        self,
        *,
        rpc: str,
        deployment: Deployment | Path,
        api: str | None = None,
        signer: Signer | None = None,
        log_vkey: str | None = None,
        models: Sequence[Path] = (),
    ) -> None:
        self.contracts = Contracts(rpc, deployment if isinstance(deployment, Deployment) else load_deployment(deployment))
        self.contracts.check_deployment()
        self._api_url = api
        self._api = None if api is None else ApiClient(api)
        self._session = None if signer is None else Session(self.contracts, signer, PersonalSender(self.contracts, signer))
        self._log_key = None if log_vkey is None else parse_vkey(log_vkey)
        self._described = {model.model_id: model for model in map(describe_directory, models)}
        self._check_proof = _make_proof_check(models)
        self._ask_verifier = _make_verifier_asker(self.contracts)

    @property
    def known_models(self) -> tuple[Bytes32, ...]:
        """Ids of the models whose directories were given, in that order."""
        return tuple(self._described)

    # ---- asking ----------------------------------------------------------------------------------------------------------------------
    def model(self, model_id: Bytes32) -> DescribedModel:
        """What a model takes and gives: from its own directory, or from the API, whose manifest must hash to the id."""
        return self._described.get(model_id) or self._asking_api().model(model_id)

    def ask(self, model: DescribedModel, wanted: WantedInput, terms: Terms) -> Outcome:
        """Asks by a transaction, which pays the fee, and waits until it is mined.

        Raises InputRejected, PolicyRejected or CallReverted where it is not acceptable, ChainError or AmbiguousSend where the chain fails.
        """
        return ask_on_chain(self._sending(), model, wanted, terms)

    def ask_signed(self, model: DescribedModel, wanted: WantedInput, terms: Terms) -> Outcome:
        """Asks by a signature over a request every byte of which is made here; the fee comes from the account's deposit.

        Raises what the API refuses it for, or PeerError.
        """
        session, _ = self._sending(), self._asking_api()
        return ask_signed(session, model, wanted, terms, str(self._api_url))

    def quote(self, model_id: Bytes32, policy: Policy) -> Quote:
        """The least fee with which enough active operators are content, by what they posted on chain; no API is asked.

        A price, not a promise. Raises PolicyRejected where too few posted one, ConfigRejected where the deployment has nowhere to post.
        """
        return self.contracts.quote(model_id, pack_policy(policy))

    def deposit(self, amount_wei: int) -> int:
        """Deposits for signed requests; returns the balance there, in wei."""
        return deposit(self._sending(), amount_wei)

    def withdraw(self, to: Address | None = None) -> int:
        """Takes the whole balance out; returns it, in wei."""
        session = self._sending()
        return withdraw_balance(session, to or session.account)

    # ---- following -------------------------------------------------------------------------------------------------------------------
    def follow(self, request_id: Bytes32) -> Iterator[SentEvent]:
        """Every step the API tells of, until the request is final; reconnects by itself. A story, not evidence: `verify` afterwards."""
        api = self._asking_api()
        api.wait_known(request_id)
        return api.follow(request_id)

    def progress(self, request_id: Bytes32) -> Progress:
        """How far the request is, and why it failed or will come to nothing. The API's words, not evidence."""
        return self._asking_api().progress(request_id)

    # ---- believing -------------------------------------------------------------------------------------------------------------------
    def verify(
        self,
        request_id: Bytes32,
        *,
        model_id: Bytes32 | None = None,
        policy: Policy | None = None,
        confirmations: int = 0,
        require_complete: bool = False,
    ) -> Verified:
        """The final answer, from the chain alone; no API is asked.

        `model_id` and `policy`, where given, must be those of the request. Raises RequestUnknown where nothing was delivered,
        EvidenceRejected where something does not hold, or (with `require_complete`) could not be checked here.
        """
        verified = verify_on_chain(self.contracts, request_id, self._ask_verifier, self._check_proof, confirmations)
        require_answers(verified, model_id, policy)
        if require_complete and not verified.is_complete:
            raise EvidenceRejected("evidence", "all of it verified here", "; ".join(verified.unchecked))
        return verified

    def receipt(self, request_id: Bytes32) -> dict[str, Any]:
        """The API's receipt, with the output decoded, held against the chain field by field. Raises EvidenceRejected where it lies."""
        verified = self.verify(request_id)
        told = self._asking_api().receipt(request_id)
        compare_receipt(verified, told)
        return told

    def evidence(self, request_id: Bytes32) -> LoggedEvidence:
        """The audit log's entries about a request, each proven to be in the log whose key was given.

        Raises RequestUnknown where there are none yet, NoteRejected, ProofRejected or EntryRejected where something does not hold.
        """
        if self._log_key is None:
            raise ConfigRejected("log_vkey", "the log's verifier key", "none")
        return verify_logged(request_id, self._asking_api().proof(request_id), self._log_key)

    # ---- objecting ---------------------------------------------------------------------------------------------------------------------
    @property
    def bond_wei(self) -> int:
        """What `dispute` takes, of the chain's own coin. Raises RequestRejected where the deployment has no disputes."""
        return open_disputes(self.contracts).terms.bond_wei

    def dispute(self, request_id: Bytes32, bond_wei: int) -> Dispute:
        """Has a committee of operators decide about a pending answer. The bond is lost where they find it right.

        `bond_wei`: what the caller knows to put up, which must be `self.bond_wei`. Raises RequestUnknown where nothing was delivered,
        PolicyRejected where the policy has no disputes, RequestRejected where it is too late or somebody was first, CallReverted where
        the contract refuses: an own answer, or fewer than three others to judge it.
        """
        return open_dispute(self._sending(), request_id, bond_wei)

    def draw(self, request_id: Bytes32) -> Dispute:
        """Draws the committee, from two blocks after the opening on. Anybody may; watchers leave it for a minute to who disputes.

        Raises CallReverted: SeedNotThere where it is too early, WrongPhase where somebody was first or it is too late.
        """
        self._sending().sender.send(open_disputes(self.contracts).draw_call(request_id))
        return self.ruling(request_id)

    def ruling(self, request_id: Bytes32) -> Dispute:
        """How a dispute or an audit stands, and what it came to, by the chain alone. Raises RequestUnknown where there is none."""
        return read_dispute(self.contracts, request_id).dispute

    def take_bond(self, request_id: Bytes32, to: Address | None = None) -> int:
        """After a ruling: settles its bond, unless somebody has, and pays out what the account is owed of bonds; in wei, 0 for nothing."""
        session = self._sending()
        return take_bond(session, request_id, to or session.account)

    # ---- inside ----------------------------------------------------------------------------------------------------------------------
    def _asking_api(self) -> ApiClient:
        if self._api is None:
            raise ConfigRejected("api", "the base URL of an Affidavit API", "none")
        return self._api

    def _sending(self) -> Session:
        if self._session is None:
            raise ConfigRejected("signer", "an account to ask with", "none")
        return self._session


def _make_proof_check(models: Sequence[Path]) -> CheckProof | None:
    """With the models' files; None where none were given."""
    if not models:
        return None
    from oracle.pipeline.models import load_provable_library

    return load_provable_library(models)[1].verify


def _make_verifier_asker(contracts: Contracts) -> AskVerifier:
    """The deployment's own verifiers, asked as the Coprocessor asked them, through the client's own endpoint."""

    def ask(question: Question) -> tuple[Address, ...]:
        claim, evidence = question.claim, question.evidence
        fields = (claim.request_id, claim.model_id, claim.input_digest, claim.output_digest)
        digest = compute_claim_digest(claim, contracts.domain)
        arguments = (fields, digest, question.policy, question.input, question.output, evidence.data)
        router, block = contracts.deployment.verifier_router, question.block_number
        try:
            at = Address(contracts.view_at("VerifierRouter", router, "resolve", question.kind, evidence.selector, block=block))
            # Every verifier has this function (interfaces/IVerifier.sol), whichever artifact its ABI is taken from.
            named = contracts.view_at("ProofVerifier", at, "verify", *arguments, block=block)
        except CallReverted as reverted:
            if reverted.error.startswith("Selector"):
                raise LookupError(f"the deployment has no verifier of {to_hex(evidence.selector)} in that block") from reverted
            raise EvidenceRejected("evidence", "some that the deployment's verifier takes", str(reverted)) from reverted
        return tuple(Address(name) for name in named)

    return ask
