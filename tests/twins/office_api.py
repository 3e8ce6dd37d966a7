"""An API with an office: the network of `tests.twins.api`, five people with one role each, and records with content to disclose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from oracle.api.app import create_app
from oracle.audit.blocks import RpcBlocks
from oracle.audit.client import LogClient
from oracle.audit.custody import Custody
from oracle.audit.index import Index
from oracle.encoding import keccak256, to_hex
from oracle.office.desk import Office, Public
from oracle.office.duties import Duties
from oracle.office.oidc import Oidc, OidcSettings
from oracle.office.people import PeopleFile, Role, add_person
from oracle.office.reading import CustodySource, LogReader
from oracle.office.sessions import Sessions
from oracle.records import Address, Entry, EntryKind
from oracle.seams import format_time
from oracle.store import open_database
from tests.twins.api import Network, network
from tests.twins.clock import MovedClock
from tests.twins.logs import KEEPER

SECRET = "what the patient said"
PERSON = "mary@example.org"
ANCHOR_CONTRACT = Address("0x" + "11" * 20)


@dataclass
class OfficeNetwork:
    """What a test drives and looks into."""

    net: Network
    office: Office
    app: FastAPI
    people: Path
    clock: MovedClock
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, name: str | None = None) -> TestClient:
        """A program with the token of a person (by default one for each role, named like it); nobody where None."""
        headers = {} if name is None else {"authorization": f"Bearer {self.tokens[name]}"}
        return TestClient(self.app, headers=headers, raise_server_exceptions=False)

    def browser(self, name: str) -> TestClient:
        """A browser with that person's session; its CSRF header is set as the pages set it."""
        client = TestClient(self.app, raise_server_exceptions=False)
        answer = client.post("/audit/v1/session", json={"token": self.tokens[name]})
        assert answer.status_code == 200, answer.text
        client.headers["x-affidavit-csrf"] = answer.json()["csrf"]
        return client

    def add_person(self, name: str, *roles: Role, **more: Any) -> None:
        token = add_person(self.people, name, roles, **more)
        if token is not None:
            self.tokens[name] = token

    def log_call(self, number: int = 1, person: str = PERSON) -> tuple[int, int]:
        """A recorded conversation outside the chain: the indices of its intent and its result."""
        call = {"audit.call_id": to_hex(keccak256(number.to_bytes(4, "big"))), "audit.actor": "app"}
        body = f"{SECRET} {number}".encode()
        sealed = {"gen_ai.input.messages.digest": to_hex(keccak256(body)), "audit.user": person}
        bodies = {"gen_ai.input.messages.digest": body}
        asked = {**call, "gen_ai.operation.name": "chat", "gen_ai.request.model": "example-1"}
        moment = format_time(datetime.now(UTC))
        intent = self.net.log.append(Entry(EntryKind.INTENT, moment, asked, bodies, sealed, person))
        answered = {
            **call,
            "audit.intent.index": intent.index,
            "audit.intent.leaf_hash": to_hex(intent.leaf_hash),
            "audit.outcome": "ok",
            "audit.latency_microseconds": 1500,
        }
        result = self.net.log.append(Entry(EntryKind.RESULT, moment, answered))
        self.follow()
        return intent.index, result.index

    def follow(self) -> None:
        """What the background does: the index takes in what the log has."""
        self.office.index.follow(self.office.reader.view())

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Every record of a kind, as it stands in the log."""
        view = self.office.reader.view()
        found = [view.read(index).record for index in range(view.size)]
        return [record.fields for record in found if record.kind == kind]


@contextmanager
def office_network(
    directory: Path, oidc: OidcSettings | None = None, transport: httpx.BaseTransport | None = None, pages: Path | None = None
) -> Iterator[OfficeNetwork]:
    """One person for each role, named like it."""
    with ExitStack() as stack:
        net = stack.enter_context(network(directory))
        people, clock = directory / "people.json", MovedClock(datetime.now(UTC))
        tokens = {str(role): add_person(people, str(role), [role]) or "" for role in Role}
        places = [f"sqlite:///{directory}/log/{name}.sqlite" for name in ("log", "custody")]
        custody = Custody.open(*places, KEEPER.key)
        stack.callback(custody.close)
        engine = open_database(f"sqlite:///{directory}/office.sqlite", "office")
        stack.callback(engine.dispose)
        index = Index.open(f"sqlite:///{directory}/index.sqlite")
        stack.callback(index.close)
        log = LogClient(net.log_url, "office-token")
        stack.callback(log.close)
        reader, file = LogReader(CustodySource(net.desk.log, custody), net.desk.log_key), PeopleFile(people)
        office = Office(
            public=Public(
                origin=net.desk.log_key.name,
                vkey=str(net.desk.log_key),
                chain_id=net.desk.domain.chain_id,
                rpc_url="https://rpc.example.org/v1/key",
                audit_anchor=ANCHOR_CONTRACT,
                log_id=None,
                anchor_key=None,
                witness_policy=None,
            ),
            desk=net.desk,
            sessions=Sessions(engine, file, clock),
            oidc=None if oidc is None else Oidc(oidc, engine, file, clock, transport),
            duties=Duties(engine, log, custody, clock, reader.size),
            custody=custody,
            reader=reader,
            index=index,
            log=log,
            clock=clock,
            blocks=RpcBlocks("http://127.0.0.1:9"),
            pages=pages or directory / "dist",
        )
        yield OfficeNetwork(net, office, create_app(net.desk, office), people, clock, tokens)
