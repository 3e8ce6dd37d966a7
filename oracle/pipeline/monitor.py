"""The monitor's process: rounds, the webhook, and what it knows under /metrics and /alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from oracle import journal
from oracle.audit.alarms import AlarmKind, Severity
from oracle.audit.monitor import Beside, Limits, Monitor, MonitorRound
from oracle.audit.monitor_store import MonitorStore
from oracle.audit.note import parse_vkey
from oracle.audit.policy import Policy, load_policy
from oracle.audit.source import open_source
from oracle.audit.webhook import Webhook
from oracle.audit.witness import WitnessClient
from oracle.encoding import compute_log_id
from oracle.errors import ConfigRejected, PeerError
from oracle.http import install_errors
from oracle.pipeline.background import Background, Step
from oracle.reading import read_bounded
from oracle.records import Address, Anchor
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import load_deployment
from oracle.seams import SystemClock

_TIMEOUT_SECONDS = 10.0
_READY_BYTES = 1 << 16
_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """What a monitor is given. Without a chain, a policy or a webhook those parts are left out."""

    log: str
    vkey: str
    database: str
    policy: Path | None = None
    rpc: str | Sequence[str] | None = None
    deployment: Path | None = None
    anchor_key: Address | None = None
    webhook: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class OpenMonitor:
    """The parts of a monitor, composed."""

    monitor: Monitor
    store: MonitorStore
    webhook: Webhook | None


class MonitorMetrics:
    """Everything under /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.alarms = Gauge("affidavit_monitor_alarms", "Alarms that stand, by kind", ["kind"], registry=self.registry)
        self.size = Gauge("affidavit_monitor_size", "Entries of the head that is believed", registry=self.registry)
        self.audited = Gauge("affidavit_monitor_audited_entries", "Entries that were read and audited", registry=self.registry)
        self.rounds = Counter("affidavit_monitor_rounds", "Rounds, by whether everything answered", ["outcome"], registry=self.registry)
        self.seen_at = Gauge("affidavit_monitor_last_seen_seconds", "When everything last answered, POSIX time", registry=self.registry)
        self.untold = Gauge("affidavit_monitor_untold_messages", "Messages the webhook has not taken yet", registry=self.registry)

    def on_round(self, done: MonitorRound, now: float) -> None:
        for kind in AlarmKind:
            self.alarms.labels(kind).set(sum(alarm.kind is kind for alarm in done.alarms))
        self.size.set(done.size)
        self.audited.set(done.audited)
        self.rounds.labels("seen" if done.is_seen else "unseen").inc()
        if done.is_seen:
            self.seen_at.set(now)


def open_monitor(settings: MonitorSettings) -> OpenMonitor:
    """Raises NoteRejected for the key, ConfigRejected for the rest, StoreError for the database, ChainError for the deployment."""
    key, clock = parse_vkey(settings.vkey), SystemClock()
    policy = None if settings.policy is None else load_policy(settings.policy)
    anchors = _open_anchors(settings, key.name)
    refusal = _refusal_reader(settings.log) if settings.log.startswith(("http://", "https://")) else None
    beside = Beside(anchors, policy, _clients(policy), refusal)
    store = MonitorStore.open(settings.database)
    monitor = Monitor(open_source(settings.log), key, store, clock, beside, settings.limits)
    webhook = None if settings.webhook is None else Webhook(settings.webhook, store, clock)
    return OpenMonitor(monitor, store, webhook)


def _open_anchors(settings: MonitorSettings, origin: str) -> Callable[[], Sequence[Anchor]] | None:
    given = (settings.rpc, settings.deployment, settings.anchor_key)
    if given == (None, None, None):
        return None
    if not settings.rpc or settings.deployment is None or settings.anchor_key is None:
        raise ConfigRejected("monitor", "--rpc, --deployment and --anchor-key, or none of them", "some")
    contracts = Contracts(settings.rpc, load_deployment(settings.deployment))
    contracts.check_deployment()
    log_id = compute_log_id(origin, settings.anchor_key)
    return lambda: contracts.anchors(log_id)


def _clients(policy: Policy | None) -> list[WitnessClient]:
    return [] if policy is None else [WitnessClient(witness) for witness in policy.witnesses if witness.url is not None]


def _refusal_reader(log: str) -> Callable[[], str | None]:
    def read() -> str | None:
        try:
            with httpx.stream("GET", f"{log.rstrip('/')}/ready", timeout=_TIMEOUT_SECONDS) as answer:
                data = read_bounded(answer, f"the log at {log}", _READY_BYTES, _TIMEOUT_SECONDS)
        except httpx.HTTPError as error:
            raise PeerError(f"the log at {log} did not answer /ready") from error
        return data.decode(errors="replace")[:500] if answer.status_code == 409 else None

    return read


# ---- once, or for ever ----------------------------------------------------------------------------------------------------------------
def watch_once(settings: MonitorSettings) -> MonitorRound:
    """One round, in which nothing is given time: whoever asks wants to know what is so now. The webhook is told as far as it answers."""
    journal.configure("monitor")  # on standard error: the result is the command's
    limits = replace(settings.limits, silence_seconds=0)
    opened = open_monitor(replace(settings, limits=limits))
    try:
        done = opened.monitor.run_once()
        if opened.webhook is not None:
            with opened.webhook as webhook:
                while webhook.deliver_once():
                    pass
        return done
    finally:
        opened.store.close()


def acknowledge(settings: MonitorSettings, id: str) -> None:
    """Resolves an alarm by a person's word. Raises ConfigRejected where none of that id stands."""
    store = MonitorStore.open(settings.database)
    try:
        if store.acknowledge(id, int(SystemClock().now().timestamp())) is None:
            raise ConfigRejected("alarm", "the id of one that stands", id[:64])
    finally:
        store.close()


def run_monitor(settings: MonitorSettings, listen: str, pause_seconds: float) -> None:
    """`affidavit audit monitor`: until SIGTERM."""
    journal.configure("monitor")
    opened, metrics = open_monitor(settings), MonitorMetrics()
    steps: dict[str, Step] = {"watch": _watch_step(opened, metrics, pause_seconds)}
    if opened.webhook is not None:
        steps["webhook"] = _webhook_step(opened.webhook)
    journal.get("monitor").info("started", log=settings.log, origin=opened.monitor.origin)
    try:
        Background().run(steps, make_app(opened, metrics), listen)
    finally:
        opened.store.close()
    journal.get("monitor").info("stopped")


def _watch_step(opened: OpenMonitor, metrics: MonitorMetrics, pause_seconds: float) -> Step:
    logger = journal.get("monitor")

    def step() -> float:
        done = opened.monitor.run_once()
        metrics.on_round(done, SystemClock().now().timestamp())
        for alarm in done.changed:
            is_standing = alarm in done.alarms
            tell = logger.critical if is_standing and alarm.severity is Severity.CRITICAL else logger.warning
            tell("alarm" if is_standing else "resolved", kind=str(alarm.kind), subject=alarm.subject, text=alarm.text, id=alarm.id)
        return pause_seconds

    return step


def _webhook_step(webhook: Webhook) -> Step:
    def step() -> float:
        return 0.0 if webhook.deliver_once() else _IDLE_SECONDS

    return step


def make_app(opened: OpenMonitor, metrics: MonitorMetrics) -> FastAPI:
    """/health, /ready, /metrics, and /alarms: those that stand, with their evidence."""
    app = FastAPI(title="Affidavit monitor", version="1", docs_url=None, redoc_url=None)
    install_errors(app)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    def ready() -> dict[str, Any]:
        return {"status": "ready", "origin": opened.monitor.origin, "alarms": len(opened.store.open_alarms(opened.monitor.origin))}

    @app.get("/alarms")
    def standing() -> dict[str, Any]:
        now = int(SystemClock().now().timestamp())
        return {"alarms": [alarm.to_json("raised", now) for alarm in opened.store.open_alarms(opened.monitor.origin)]}

    @app.get("/metrics")
    def scrape() -> Response:
        metrics.untold.set(opened.store.count_messages())
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app
