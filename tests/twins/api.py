"""An API with everything behind it but a chain: a real database, a real log over HTTP, real models from seeds/, and the chain's twin."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from eth_account import Account
from eth_account.signers.local import LocalAccount
from fastapi import FastAPI
from sqlalchemy import func, select

from oracle.api.app import create_app
from oracle.attest.quorum import assemble_quorum
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.audit.access import Access, hash_token
from oracle.audit.client import LogClient
from oracle.audit.entries import intent_entry
from oracle.audit.log import Log, Places
from oracle.audit.metrics import LogMetrics
from oracle.audit.note import generate_key
from oracle.audit.server import make_app
from oracle.audit.source import DirectorySource, HttpSource
from oracle.encoding import compute_request_id, keccak256, pack_policy
from oracle.node.directory import read_directory
from oracle.pipeline.api import Desk, encode_request
from oracle.pipeline.catalogue import load_catalogue
from oracle.pipeline.rate import RateLimit
from oracle.records import SIGNED_NONCE_START, Address, Asked, Bytes32, Claim, Delivery, Policy, Request
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import Deployment
from oracle.relay.schema import EVENTS, REQUESTS
from oracle.relay.store import bind_deployment
from oracle.seams import SystemClock
from oracle.store import open_database
from tests.twins.chain import ChainTwin
from tests.twins.coprocessor import delivery_call
from tests.twins.logs import KEEPER

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "seeds/models/digits-mlp/canonical"
WINE = ROOT / "seeds/models/wine-mlp/canonical"
REQUESTER: LocalAccount = Account.from_key(keccak256(b"a requester of the tests"))
OPERATORS: list[LocalAccount] = [Account.from_key(keccak256(b"operator" + bytes([i]))) for i in range(3)]
DEPOSIT_WEI = 10**18


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The app behind a real uvicorn on a random port of the loopback; its base URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "uvicorn did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive(), "uvicorn did not stop"


class ChainClock:
    """The twin's time: tests do not depend on the day they run."""

    def __init__(self, chain: ChainTwin) -> None:
        self._chain = chain

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._chain.time, UTC)


@dataclass
class Network:
    """What a test drives and looks into."""

    chain: ChainTwin
    desk: Desk
    app: FastAPI
    log: LogClient
    digits: Bytes32
    log_url: str

    def counts(self) -> tuple[int, int]:
        """Rows of requests and of events: what a refused request must not change."""
        with self.desk.engine.begin() as connection:
            return tuple(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (REQUESTS, EVENTS))  # type: ignore[return-value]

    def request(self, data: bytes | None = None, **changes: Any) -> Request:
        """An unsigned request for the digits model by REQUESTER, all zeros as input."""
        data = bytes(128) if data is None else data
        requester = Address(REQUESTER.address)
        request = Request(
            requester=requester,
            refund_to=requester,
            model_id=self.digits,
            input_digest=keccak256(data),
            policy=pack_policy(Policy(quorum=2)),
            fee_wei=10**15,
            callback_gas=0,
            deadline=self.chain.time + 3600,
            nonce=SIGNED_NONCE_START + 7,
        )
        return replace(request, **changes)

    def asked(self, data: bytes | None = None, signer: LocalAccount = REQUESTER, **changes: Any) -> Asked:
        """A signed request."""
        data = bytes(128) if data is None else data
        request = self.request(data, **changes)
        request_id = compute_request_id(request, self.chain.domain)
        return Asked(request_id, request, data, AccountSigner(signer).sign_digest(request_id))

    def deliver(self, asked: Asked, output: bytes) -> None:
        """Two operators sign the output, and anybody delivers it to the chain."""
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))
        signed = [sign_claim(claim, output, self.chain.domain, AccountSigner(account)) for account in OPERATORS[:2]]
        evidence = assemble_quorum(signed, 2, self.chain.operators())
        call = delivery_call(Delivery(asked, claim, output, (evidence,)))
        self.chain.send(Address("0x" + "AA" * 20), call)
        self.chain.mine()
        assert self.chain.delivery_of(asked.request_id) is not None, "the contract refused the delivery"

    def log_intent(self, asked: Asked) -> None:
        self.log.append(intent_entry(asked, self.chain.domain, "node-1", "digits", SystemClock().now()))


def offline_contracts(chain: ChainTwin) -> Contracts:
    """The real adapter where nobody listens: good for encoding calls, which needs no chain."""
    somewhere = Address("0x" + "11" * 20)
    deployment = Deployment(chain.domain.chain_id, 0, chain.domain.coprocessor, *[somewhere] * 8)
    return Contracts("http://127.0.0.1:9", deployment)


@contextmanager
def network(
    directory: Path,
    per_minute: int = 600,
    max_body_bytes: int = 1 << 20,
    models: tuple[Path, ...] = (DIGITS, WINE),
    max_event_streams: int = 64,
) -> Iterator[Network]:
    """A network with two registered models, three operators, and a requester with a deposit of 1 ether."""
    with ExitStack() as stack:
        chain = ChainTwin()
        for path in models:
            model = read_directory(path)
            chain.register_model(model.kind, model.manifest_digest, model.circuit, model.parts, "https://example.org/models")
        for index, account in enumerate(OPERATORS):
            chain.register_operator(index, Address(account.address))
        chain.deposit(Address(REQUESTER.address), DEPOSIT_WEI)
        url, key = stack.enter_context(running_log(directory / "log"))
        engine = open_database(f"sqlite:///{directory}/relay.sqlite", "relay")
        stack.callback(engine.dispose)
        bind_deployment(engine, chain.domain)
        source, writer = HttpSource(url, "reader-token"), LogClient(url, "writer-token")
        stack.callback(source.close)
        stack.callback(writer.close)
        contracts = offline_contracts(chain)
        desk = Desk(
            chain=chain,
            engine=engine,
            catalogue=load_catalogue(models),
            log=source,
            log_key=key,
            clock=ChainClock(chain),
            encode_request=lambda request, data: encode_request(contracts, request, data),
            rate=RateLimit(per_minute),
            max_body_bytes=max_body_bytes,
            max_event_streams=max_event_streams,
        )
        yield Network(chain, desk, create_app(desk), writer, read_directory(DIGITS).model_id, url)


@contextmanager
def running_log(directory: Path) -> Iterator[tuple[str, Any]]:
    """A real log with one writer and one reader, served over HTTP; its URL and verifier key."""
    directory.mkdir(parents=True)
    key = generate_key("example.org/affidavit/tests")
    databases = (f"sqlite:///{directory}/{name}.sqlite" for name in ("log", "checkpoint", "custody"))
    log = Log.open(Places(directory / "tiles", *databases), key, KEEPER, SystemClock())
    writers = {hash_token("writer-token"): "node-1", hash_token("office-token"): "office"}
    access = Access(writers, {hash_token("reader-token"): "api"})
    try:
        with served(make_app(log, DirectorySource(directory / "tiles"), access, LogMetrics())) as url:
            yield url, key.verifier
    finally:
        log.close()
