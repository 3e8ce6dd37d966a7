"""The desk behind the public API: asks are checked and stored, everything else is read from where it is true.

What is asked goes into the relay's database; receipts are read from the chain, proofs from the log. The API itself vouches for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from oracle.audit.note import VerifierKey, parse_vkey
from oracle.audit.source import HttpSource, LogSource
from oracle.config import Config, read_secret
from oracle.encoding import pack_policy, to_hex
from oracle.errors import AffidavitError, ChainError, ConfigRejected, ModelUnknown, PolicyRejected, StoreError
from oracle.pipeline.accepting import (
    check_asks,
    check_disputable,
    check_enclave,
    check_paid,
    check_provable,
    check_quorum,
    check_registered,
    check_signed,
    check_terms,
    check_unused,
)
from oracle.pipeline.asking import Prepared, Wanted, build_request, typed_data
from oracle.pipeline.catalogue import DescribedModel, load_catalogue
from oracle.pipeline.headcache import HeadCache
from oracle.pipeline.inputs import Reals, count_saturated
from oracle.pipeline.logged import Logged, read_logged
from oracle.pipeline.rate import RateLimit
from oracle.pipeline.session import connect
from oracle.pipeline.settled import Settled, read_settled
from oracle.records import Address, Asked, Block, Bytes32, Domain, EnclaveKey, ModelKind, Policy, Quote, RegisteredModel, Request
from oracle.relay import store
from oracle.relay.contracts import Contracts
from oracle.relay.endpoints import Endpoints
from oracle.relay.lease import open_relay_database
from oracle.relay.paying import asset_of
from oracle.relay.schema import RequestState
from oracle.relay.store import RequestEvent, RequestView
from oracle.relay.terms import Terms
from oracle.seams import ChainReader, Clock, SystemClock

__all__ = ["Desk", "RequestEvent", "RequestState", "RequestView", "Submitted", "encode_request", "open_desk"]

EncodeRequest = Callable[[Request, bytes], bytes]
"""Calldata of `Coprocessor.request` for a request and its input."""


@dataclass(frozen=True, slots=True)
class Submitted:
    request_id: Bytes32
    state: RequestState
    is_new: bool


@dataclass(frozen=True)
class Desk:
    """Everything the routes need, opened once. Safe to use from several threads."""

    chain: ChainReader
    engine: Engine
    catalogue: Mapping[Bytes32, DescribedModel]
    log: LogSource
    log_key: VerifierKey
    clock: Clock
    encode_request: EncodeRequest
    rate: RateLimit
    max_body_bytes: int
    max_event_streams: int = 64
    asset: Address | None = None  # the token fees are paid in; None: ether
    endpoints: Endpoints | None = None  # the chain's, to tell of
    at_head: HeadCache = field(default_factory=HeadCache)
    _submitting: Lock = field(default_factory=Lock)

    @property
    def domain(self) -> Domain:
        return self.chain.domain

    def now(self) -> datetime:
        """The later of this machine's clock and the chain's newest block: deadlines are the chain's business."""
        return self._time_at(self._head())

    def _head(self) -> Block:
        head = self.chain.block("latest")
        if head is None:
            raise ChainError("the chain has no latest block")
        return head

    def _time_at(self, head: Block) -> datetime:
        return max(self.clock.now(), datetime.fromtimestamp(head.timestamp, UTC))

    # ---- models --------------------------------------------------------------------------------------------------------------------
    def models(self) -> list[DescribedModel]:
        return list(self.catalogue.values())

    def model(self, model_id: Bytes32) -> DescribedModel:
        """Raises ModelUnknown."""
        if model_id not in self.catalogue:
            raise ModelUnknown("model", "one served here (see /v1/models)", to_hex(model_id))
        return self.catalogue[model_id]

    def registered(self, model_id: Bytes32) -> RegisteredModel | None:
        return self.chain.model(model_id)

    # ---- asking ----------------------------------------------------------------------------------------------------------------------
    def prepare(self, wanted: Wanted) -> Prepared:
        """Both forms of a request. Stores nothing. Raises the error of the first thing that is wrong with it."""
        model, head = self.model(wanted.model_id), self._head()
        now = self._time_at(head)
        request, request_id, data = build_request(wanted, model, self.domain, now)
        policy = check_terms(request, now)
        check_provable(policy, model)
        check_disputable(policy, self.chain)
        self.relay_terms().check(request)
        self._check_registered(head, request.model_id)
        self._check_enclave(head, policy)
        self._check_asks(head, request, policy)
        return Prepared(
            request=request,
            request_id=request_id,
            input=data,
            saturated=_saturated(model, wanted),
            typed_data=typed_data(request, self.domain),
            coprocessor=self.domain.coprocessor,
            calldata=self.encode_request(request, data),
            value_wei=request.fee_wei if self.asset is None else 0,
        )

    def submit(self, asked: Asked) -> Submitted:
        """Stores a signed request that passes every check; durable when this returns, and the same again for the same request.

        Raises the error of the first check that fails, and has then stored nothing.
        """
        with storing():
            known, terms = store.find_state_and_terms(self.engine, asked.request_id)
        if known is not None:
            return Submitted(asked.request_id, known, False)
        model, head = self.model(asked.request.model_id), self._head()
        policy = check_signed(asked, model, self._time_at(head))
        check_disputable(policy, self.chain)
        terms.check(asked.request)
        self._check_registered(head, model.model_id)
        check_quorum(policy, len(self._active(head)))
        self._check_enclave(head, policy)
        self._check_asks(head, asked.request, policy)
        check_unused(self.chain, asked)
        who = asked.request.requester
        return self._store(asked, self.at_head.get(head.hash, ("balance", who), lambda: self.chain.balance_of(who)))

    def _store(self, asked: Asked, balance_wei: int) -> Submitted:
        is_new = False

        def admit(promised_wei: int) -> None:
            nonlocal is_new
            check_paid(asked, balance_wei, promised_wei)
            self.rate.take(asked.request.requester, self.clock.now().timestamp())
            is_new = True  # not where it was posted twice in the same moment

        with self._submitting, storing():  # one at a time, so that two requests cannot both count on the same deposit
            state = store.submit_signed(self.engine, self.domain, asked, self.clock.now(), admit)
        return Submitted(asked.request_id, state, is_new)

    def relay_terms(self) -> Terms:
        """What the relay behind this API works for, as it last said."""
        with storing():
            return store.current_terms(self.engine)

    def _check_registered(self, head: Block, model_id: Bytes32) -> None:
        check_registered(self.at_head.get(head.hash, model_id, lambda: self.chain.model(model_id)), model_id, self.domain.chain_id)

    def _check_enclave(self, head: Block, policy: Policy) -> None:
        if policy.enclave:
            keys = self.at_head.get(head.hash, "enclaves", self._enclave_keys)
            check_enclave(policy, keys, self._active(head), self._time_at(head))

    def _check_asks(self, head: Block, request: Request, policy: Policy) -> None:
        active, model_id = sorted(self._active(head)), request.model_id
        posted = self.at_head.get(head.hash, ("asks", model_id), lambda: self.chain.asks_of_all(active, model_id))
        check_asks(request.fee_wei, policy, posted)

    def _enclave_keys(self) -> list[EnclaveKey]:
        try:
            return self.chain.enclave_keys()
        except ConfigRejected:  # deployed before there was a registry of them
            return []

    def _active(self, head: Block) -> frozenset[Address]:
        return self.at_head.get(head.hash, "active operators", lambda: frozenset(o.operator for o in self.chain.operators() if o.is_active))

    def _known_state(self, request_id: Bytes32) -> RequestState | None:
        with storing():
            return store.find_state(self.engine, request_id)

    def quote(self, model_id: Bytes32, policy: Policy) -> tuple[Quote | None, int]:
        """What operators ask for now, None where too few posted it; and the least fee of the relay here, for no callback.

        Raises ModelUnknown.
        """
        model, word, head = self.model(model_id), pack_policy(policy), self._head()
        quote = self.at_head.get(head.hash, ("quote", model_id, word), lambda: self._quote(model.model_id, word))
        return quote, self.relay_terms().compute_least_fee_wei(0, policy.proof)

    def _quote(self, model_id: Bytes32, policy: Bytes32) -> Quote | None:
        try:
            return self.chain.quote(model_id, policy)
        except PolicyRejected:
            return None

    # ---- following -------------------------------------------------------------------------------------------------------------------
    def view(self, request_id: Bytes32) -> RequestView:
        """Raises RequestUnknown."""
        with storing():
            return store.request_view(self.engine, request_id)

    def events_since(self, request_id: Bytes32, after_id: int) -> list[RequestEvent]:
        with storing():
            return store.events_since(self.engine, request_id, after_id)

    def page(self, state: RequestState | None, limit: int, before_id: int | None) -> list[RequestView]:
        """Newest first."""
        with storing():
            return store.list_requests(self.engine, state, limit, before_id)

    # ---- what came of it ---------------------------------------------------------------------------------------------------------------
    def receipt(self, request_id: Bytes32) -> Settled:
        """Raises RequestUnknown until an answer is delivered."""
        return read_settled(self.chain, request_id)

    def proof(self, request_id: Bytes32) -> Logged:
        """Raises RequestUnknown while the log has nothing about it."""
        return read_logged(self.log, self.log_key, request_id)

    # ---- operations ------------------------------------------------------------------------------------------------------------------
    def readiness(self) -> dict[str, str]:
        """What this process depends on: "ok", or what is wrong."""
        return {
            "database": _state_of(lambda: self._known_state(Bytes32(bytes(32)))),
            "chain": _state_of(self.now),
            "log": _state_of(self.log.read_checkpoint),
        }

    def count_by_state(self) -> Mapping[RequestState, int]:
        with storing():
            return store.count_by_state(self.engine)


def _state_of(ask: Callable[[], object]) -> str:
    try:
        ask()
    except AffidavitError as error:
        return str(error)
    return "ok"


def _saturated(model: DescribedModel, wanted: Wanted) -> int:
    is_real = isinstance(wanted.input, Reals) and model.kind is ModelKind.CANONICAL
    return count_saturated(model.input, wanted.input.values) if is_real and isinstance(wanted.input, Reals) else 0


@contextmanager
def storing() -> Iterator[None]:
    """Database failures as StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError("the database does not answer") from error


@contextmanager
def open_desk(config: Config, clock: Clock | None = None) -> Iterator[Desk]:
    """The desk of a configuration with an [api] table. Raises ConfigRejected, StoreError or ModelRejected naming what is wrong."""
    if config.api is None:
        raise ConfigRejected("configuration", "a table [api]", "none")
    api = config.api
    catalogue = load_catalogue(api.models)
    contracts = connect(config.chain)
    contracts.check_deployment()
    asset = asset_of(contracts)
    log = HttpSource(api.log_url, read_secret(api.log_token_file))
    engine = open_relay_database(api.database)
    try:
        with storing():
            store.bind_deployment(engine, contracts.domain)
        yield Desk(
            chain=contracts,
            engine=engine,
            catalogue=catalogue,
            log=log,
            log_key=parse_vkey(api.log_vkey),
            clock=clock or SystemClock(),
            encode_request=lambda request, data: encode_request(contracts, request, data, asset),
            asset=asset,
            endpoints=contracts.endpoints,
            rate=RateLimit(api.requests_per_minute),
            max_body_bytes=api.max_body_bytes,
            max_event_streams=api.max_event_streams,
        )
    finally:
        engine.dispose()
        log.close()


def encode_request(contracts: Contracts, request: Request, data: bytes, asset: Address | None = None) -> bytes:
    """Calldata of `Coprocessor.request`: the contract takes requester, fee and nonce from the transaction.

    A token, as the fee, it takes from the requester's balance: `requestFromBalance`.
    """
    what, how = (request.model_id, data, request.policy), (request.callback_gas, request.deadline, request.refund_to)
    if asset is not None:
        return contracts.call("Coprocessor", "requestFromBalance", *what, request.fee_wei, *how).data
    terms = (*what, *how)
    return contracts.call("Coprocessor", "request", *terms).data
