"""Everything the office's routes need, opened once: people, cases, custody, the log, its index, and the chain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import httpx

from oracle import journal
from oracle.audit.blocks import BlockReader, RpcBlocks
from oracle.audit.call import ClaimChecks
from oracle.audit.client import LogClient
from oracle.audit.custody import Custody
from oracle.audit.custodykey import read_custody_key
from oracle.audit.index import Index
from oracle.audit.policy import Policy, parse_policy
from oracle.audit.view import LogView
from oracle.audit.witnessed import WitnessVerdict, judge_witnesses
from oracle.config import Config, OfficeConfig, OidcConfig, read_address, read_secret
from oracle.encoding import compute_log_id, to_hex
from oracle.errors import ConfigRejected, Rejected
from oracle.office.duties import Duties
from oracle.office.judging import Judging
from oracle.office.oidc import Oidc, OidcSettings
from oracle.office.people import PeopleFile, Role
from oracle.office.reading import CustodySource, LogReader
from oracle.office.sessions import Sessions
from oracle.pipeline.api import Desk
from oracle.pipeline.audit import CHECKS
from oracle.records import Address, Anchor, Bytes32
from oracle.seams import Clock, SystemClock
from oracle.store import open_database

PAGES = Path(__file__).parents[2] / "web" / "dist"
"""Where scripts/bootstrap builds the pages of a checkout."""

DUTIES_PAUSE_SECONDS = 5.0
INDEX_PAUSE_SECONDS, INDEX_MAX_PAUSE_SECONDS = 1.0, 10.0
INDEX_SHARE = 0.05
"""Of the time, what the index may take to follow the log: much of a step's work is the same for one record and for a thousand."""


@dataclass(frozen=True, slots=True)
class Public:
    """What everybody may know, and a browser needs to verify by itself."""

    origin: str
    vkey: str
    chain_id: int
    rpc_url: str
    audit_anchor: Address
    log_id: Bytes32 | None
    anchor_key: Address | None
    witness_policy: str | None


@dataclass(frozen=True)
class Office:
    """One office. Safe to use from several threads."""

    public: Public
    desk: Desk
    sessions: Sessions
    oidc: Oidc | None
    duties: Duties
    custody: Custody
    reader: LogReader
    index: Index
    log: LogClient
    clock: Clock
    blocks: BlockReader
    policy: Policy | None = None
    checks: ClaimChecks = CHECKS
    nodes: tuple[str, ...] = ()
    pages: Path = PAGES
    anchor_late_seconds: float = 3600.0
    transport: httpx.BaseTransport | None = None
    judging: Judging = field(default_factory=Judging)
    _following: Lock = field(default_factory=Lock)

    def anchors(self) -> Sequence[Anchor]:
        """Those of this log on the chain, oldest first; asked once a block. None of them where no anchor key is known."""
        log_id = self.public.log_id
        if log_id is None:
            return ()
        chain = self.desk.chain
        head = chain.block("latest")
        return chain.anchors(log_id) if head is None else self.desk.at_head.get(head.hash, "anchors", lambda: chain.anchors(log_id))

    def witnesses(self) -> WitnessVerdict | None:
        """Whether enough witnesses cosigned, None where no policy says who is enough."""
        return None if self.policy is None else judge_witnesses(self.reader.view(), self.policy, self.clock.now().timestamp())

    def witness_text(self) -> str | None:
        verdict = self.witnesses()
        return None if verdict is None else verdict.text

    def time_of_block(self, number: int) -> datetime | None:
        block = self.desk.chain.block(number)
        return None if block is None else datetime.fromtimestamp(block.timestamp, UTC)

    def steps(self) -> dict[str, Callable[[], float]]:
        """What runs beside the routes: the time-outs and recovery of cases, and the index that follows the log."""
        return {"office": self._run_duties, "index": self._follow}

    def _run_duties(self) -> float:
        self.duties.run_once()
        return DUTIES_PAUSE_SECONDS

    def catch_up(self, view: LogView) -> None:
        """The index takes in what the view has. Another thread or process may be further already, which a view must not refuse.

        Raises LogRefused where the log does not extend what was followed, or has gone back behind it.
        """
        with self._following:
            built = self.index.checkpoint
            if built is not None and (built.size, built.root) == (view.size, view.checkpoint.root):
                return
            if built is not None and built.size > view.size:
                view = self.reader.view()  # from after the index was read: a log that only grows has what the index has
            self.index.follow(view, known=0 if built is None else built.size)

    def _follow(self) -> float:
        started = time.monotonic()
        try:
            self.catch_up(self.reader.view())
        except Rejected as error:  # a log that does not extend what was followed: a person must look, and the pages say so
            journal.get("index").critical("not followed", reason=str(error))
            return INDEX_MAX_PAUSE_SECONDS
        return compute_index_pause(time.monotonic() - started)


def compute_index_pause(took_seconds: float) -> float:
    """Seconds until the index follows the log again, after a step that took so long."""
    return min(max(INDEX_PAUSE_SECONDS, took_seconds / INDEX_SHARE), INDEX_MAX_PAUSE_SECONDS)


@contextmanager
def open_office(config: Config, desk: Desk, audit_anchor: Address, clock: Clock | None = None) -> Iterator[Office]:
    """The office of a configuration with [api] and [office]. Raises ConfigRejected, StoreError or MalformedInput naming what is wrong."""
    if config.api is None or config.office is None:
        raise ConfigRejected("configuration", "tables [api] and [office]", "not both")
    settings, clock = config.office, clock or SystemClock()
    policy_text = _read_policy(settings)
    key = read_custody_key(settings.custody_key_file, read_secret(settings.custody_password_file))
    with ExitStack() as stack:
        custody = Custody.open(settings.log_database, settings.custody_database, key)
        stack.callback(custody.close)
        index = Index.open(settings.index_database)
        stack.callback(index.close)
        engine = open_database(settings.database, "office")
        stack.callback(engine.dispose)
        people = PeopleFile(settings.people_file)
        people.current()
        oidc = None if settings.oidc is None else Oidc(read_oidc(settings.oidc), engine, people, clock)
        if oidc is not None:
            stack.callback(oidc.close)
        log = LogClient(config.api.log_url, read_secret(settings.log_token_file))
        stack.callback(log.close)
        reader = LogReader(CustodySource(desk.log, custody), desk.log_key)
        yield Office(
            public=make_public(settings, desk, audit_anchor, policy_text),
            desk=desk,
            sessions=Sessions(engine, people, clock),
            oidc=oidc,
            duties=Duties(engine, log, custody, clock, reader.size),
            custody=custody,
            reader=reader,
            index=index,
            log=log,
            clock=clock,
            blocks=RpcBlocks(config.chain.rpc),
            policy=None if policy_text is None else parse_policy(policy_text.encode()),
            nodes=settings.nodes,
            pages=settings.web_directory or PAGES,
            anchor_late_seconds=settings.anchor_late_seconds,
        )


def make_public(settings: OfficeConfig, desk: Desk, audit_anchor: Address, policy_text: str | None) -> Public:
    key = desk.log_key
    anchor_key = None if settings.anchor_key is None else read_address(settings.anchor_key, "office: anchor_key")
    return Public(
        origin=key.name,
        vkey=str(key),
        chain_id=desk.domain.chain_id,
        rpc_url=settings.rpc_url,
        audit_anchor=audit_anchor,
        log_id=None if anchor_key is None else compute_log_id(key.name, anchor_key),
        anchor_key=anchor_key,
        witness_policy=policy_text,
    )


def read_oidc(settings: OidcConfig) -> OidcSettings:
    """Raises ConfigRejected for a role that is none."""
    unknown = [role for role in settings.roles.values() if role not in set(Role)]
    if unknown:
        raise ConfigRejected("oidc: roles", "one of " + ", ".join(Role), unknown[0])
    return OidcSettings(
        issuer=settings.issuer,
        client_id=settings.client_id,
        redirect_url=settings.redirect_url,
        client_secret=None if settings.client_secret_file is None else read_secret(settings.client_secret_file),
        roles_claim=settings.roles_claim,
        roles={value: Role(role) for value, role in settings.roles.items()},
        scopes=settings.scopes,
    )


def _read_policy(settings: OfficeConfig) -> str | None:
    path = settings.witness_policy_file
    if path is None:
        return None
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigRejected(f"witness policy {path}", "a readable file in UTF-8", str(error)) from error


def public_to_json(public: Public, has_oidc: bool) -> dict[str, object]:
    return {
        "origin": public.origin,
        "vkey": public.vkey,
        "chain_id": public.chain_id,
        "rpc_url": public.rpc_url,
        "audit_anchor": public.audit_anchor,
        "log_id": None if public.log_id is None else to_hex(public.log_id),
        "anchor_key": public.anchor_key,
        "log_base": "/log",
        "witness_policy": public.witness_policy,
        "has_oidc": has_oidc,
    }
