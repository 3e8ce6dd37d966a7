"""A relay taken apart: its parts on a real chain and a real database, stepped by hand, thrown away and made again between any two steps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, select

from oracle.attest.bls import BlsSigner
from oracle.attest.bls_quorum import QuorumGas
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.audit.record import check_entry
from oracle.encoding import compute_claim_digest, compute_request_id, keccak256, parse_hex, to_hex
from oracle.errors import PeerError
from oracle.pipeline.relay import KnownOperators, make_attestation, make_follower, make_lane, run_lane_once
from oracle.records import Appended, Asked, Bytes32, Claim, Domain, Entry, SignedClaim
from oracle.relay import outbox
from oracle.relay.collect import Collector
from oracle.relay.lane import Lane
from oracle.relay.lease import open_relay_database
from oracle.relay.outbox import Job, Slot
from oracle.relay.peers import NodePeer
from oracle.relay.schema import JOBS, TRANSACTIONS, RequestState, SlotState
from oracle.relay.statements import write_waiting
from oracle.relay.store import RequestEvent, bind_deployment, events_since, request_view
from oracle.seams import PreimageSigner, SystemClock
from oracle.wire import request_from_json, signed_claim_to_json
from tests.chain.conftest import World, account

TRUTH = b"".join((1000 if i == 7 else 0).to_bytes(2, "big") for i in range(10))
LIE = b"".join((1000 if i == 3 else 0).to_bytes(2, "big") for i in range(10))
RELAY = 7


class MemoryLog:
    """The log's side of `KeyedLog`: refuses what the real one refuses, and keeps one entry a key."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.is_down = False

    def append(self, entry: Entry, key: str) -> Appended:
        if self.is_down:
            raise PeerError("the log is down")
        check_entry(entry)
        assert self.entries.setdefault(key, entry) == entry, "a second entry under one key"
        return Appended(list(self.entries).index(key), keccak256(key.encode()), len(self.entries))

    def append_batch(self, items: Sequence[tuple[Entry, str | None]]) -> list[Appended]:
        return [self.append(entry, str(key)) for entry, key in items]

    def kinds(self) -> list[str]:
        return [f"{e.kind}:{e.fields.get('error.type', e.fields.get('audit.finality', ''))}" for e in self.entries.values()]


@dataclass
class NodeTwin:
    """One operator's node as the relay sees it over HTTP: answers about every on-chain request it is asked about, with `output`."""

    index: int
    signer: AccountSigner
    domain: Domain
    known: dict[Bytes32, Asked]
    output: bytes = TRUTH
    is_offline: bool = False
    posted: dict[Bytes32, Asked] = field(default_factory=dict)
    asked_times: int = 0
    bls: BlsSigner | None = None

    def peer(self) -> NodePeer:
        return NodePeer(f"http://node-{self.index}.test", httpx.MockTransport(self.handle))

    def sign(self, asked: Asked, output: bytes) -> SignedClaim:
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(output))
        signed = sign_claim(claim, output, self.domain, self.signer)
        return signed if self.bls is None else replace(signed, bls=self.bls.sign_digest(compute_claim_digest(claim, self.domain)))

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.is_offline:
            raise httpx.ConnectError("offline")
        if request.method == "POST":
            body = json.loads(request.content)
            made = request_from_json(body["request"])
            request_id = compute_request_id(made, self.domain)
            self.posted[request_id] = Asked(request_id, made, parse_hex(body["input"], "input"), parse_hex(body["signature"], "signature"))
            return httpx.Response(202, json={"request_id": to_hex(request_id), "state": "queued"})
        self.asked_times += 1
        request_id = Bytes32(parse_hex(request.url.path.rsplit("/", 1)[1], "id", 32))
        asked = self.posted.get(request_id) or self.known.get(request_id)
        if asked is None:
            return httpx.Response(404, json={"title": "RequestUnknown"})
        return httpx.Response(200, json=signed_claim_to_json(self.sign(asked, self.output)))


@dataclass
class Relay:
    """One life of a relay. `crash` abandons every object and opens the database again."""

    world: World
    database: Path
    nodes: list[NodeTwin]
    log: MemoryLog
    settings: dict[str, Any]
    gas: QuorumGas | None = None  # as measured where not given
    url: str = ""  # of another database than the SQLite file
    signer: PreimageSigner = field(default_factory=lambda: AccountSigner(account(RELAY)))
    engine: Engine = field(init=False)
    lane: Lane = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.engine = open_relay_database(self.url or f"sqlite:///{self.database}")
        bind_deployment(self.engine, self.world.deployment.domain)
        self.lane = make_lane(self.engine, self.world.contracts, self.signer, SystemClock(), **self.settings)
        self.operators = KnownOperators(self.world.contracts)
        self.operators.refresh(time.monotonic())
        contracts = self.world.contracts
        attestation = make_attestation(
            self.world.deployment.domain, self.operators, contracts.check_proof, contracts.check_enclave, self.gas
        )
        self.collector = Collector(self.lane, [node.peer() for node in self.nodes], attestation)
        first = self.world.deployment.block_number
        self.follower = make_follower(self.engine, self.world.contracts, SystemClock(), first, 0)

    def crash(self) -> None:
        self.engine.dispose()
        self.start()

    # ---- steps -------------------------------------------------------------------------------------------------------------------
    def follow(self) -> None:
        self.follower.step(1000)

    def collect(self) -> None:
        """Asks everybody now, whatever the pauses say."""
        self._moment = getattr(self, "_moment", time.monotonic()) + 60
        self.collector.step(self._moment)

    def tick(self) -> None:
        self.collector.reconsider()
        run_lane_once(self.lane)

    def write(self) -> None:
        write_waiting(self.engine, self.log)

    def steps(self) -> list[Callable[[], None]]:
        return [self.follow, self.collect, self.tick, self.write]

    def run(self, rounds: int = 3) -> None:
        for _ in range(rounds):
            for step in self.steps():
                step()

    # ---- looking -----------------------------------------------------------------------------------------------------------------
    def state(self, request_id: Bytes32) -> RequestState:
        return request_view(self.engine, request_id).state

    def events(self, request_id: Bytes32) -> list[RequestEvent]:
        return events_since(self.engine, request_id)

    def kinds(self, request_id: Bytes32) -> list[str]:
        return [event.kind for event in self.events(request_id)]

    def jobs(self) -> list[Job]:
        with self.engine.begin() as connection:
            return [outbox.read_job(connection, i) for i in connection.execute(select(JOBS.c.id).order_by(JOBS.c.id)).scalars()]

    def slots(self) -> list[Slot]:
        with self.engine.begin() as connection:
            return outbox.read_slots(connection, list(SlotState))

    def raws(self) -> list[bytes]:
        with self.engine.begin() as connection:
            return list(connection.execute(select(TRANSACTIONS.c.raw).order_by(TRANSACTIONS.c.id)).scalars())


def make_relay(world: World, directory: Path, nodes: int = 3, url: str = "", log: MemoryLog | None = None, **settings: Any) -> Relay:
    """A relay over the first `nodes` operators' twins."""

    twins = [NodeTwin(i, world.signers[i], world.deployment.domain, world.known) for i in range(nodes)]
    return Relay(world, directory / "relay.sqlite", twins, log or MemoryLog(), settings, url=url)
