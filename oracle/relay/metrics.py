"""What the relay tells Prometheus, read from the database when it is asked; and its small HTTP door."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from oracle.errors import AffidavitError
from oracle.relay import outbox
from oracle.relay.endpoints import STATES, Endpoints
from oracle.relay.schema import SLOTS, SlotState
from oracle.relay.statements import count_waiting
from oracle.relay.store import count_by_state
from oracle.seams import Clock
from oracle.store import count_by, reading


class StoreCollector(Collector):
    """Counts of what is stored; nothing is counted twice, and a restart changes nothing."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with reading(self._engine) as connection:
            jobs = outbox.count_jobs(connection)
            replaced, waiting_seconds = outbox.measure_waiting(connection, self._clock.now())
            slots = count_by(connection, SLOTS.c.state, SlotState)
        yield _family("affidavit_relay_requests", "Requests by state", count_by_state(self._engine))
        yield _family("affidavit_relay_jobs", "Jobs by state", jobs)
        yield _family("affidavit_relay_nonces", "Nonces of the account by state; foreign means that the key is used elsewhere", slots)
        yield GaugeMetricFamily("affidavit_relay_transactions_replaced", "Transactions signed to replace one that waited", replaced)
        yield GaugeMetricFamily(
            "affidavit_relay_unmined_seconds",
            "Since the oldest transaction that is not mined was first signed; 0 where none waits",
            waiting_seconds,
        )
        yield GaugeMetricFamily(
            "affidavit_relay_log_entries_waiting", "Entries the audit log does not have yet", count_waiting(self._engine)
        )


class StateCollector(Collector):
    """One family of counts by state, read from a database when it is asked for."""

    def __init__(self, name: str, help_text: str, count: Callable[[], Mapping[Any, int]], label: str = "state") -> None:
        self._name, self._help_text, self._count, self._label = name, help_text, count, label

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _family(self._name, self._help_text, self._count(), self._label)


def _family(name: str, help_text: str, counts: Mapping[Any, int], label: str = "state") -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for state, count in counts.items():
        family.add_metric([str(state)], count)
    return family


class EndpointCollector(Collector):
    """The chain's endpoints, named by scheme and host: their URLs may hold keys."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def collect(self) -> Iterator[Metric]:
        """Every state an endpoint may have is a row, 1 for the one it has."""
        state = GaugeMetricFamily("affidavit_chain_endpoint_state", "Which endpoints are asked", labels=["endpoint", "state"])
        latency = GaugeMetricFamily("affidavit_chain_endpoint_latency_seconds", "Moving average of their answers", labels=["endpoint"])
        head = GaugeMetricFamily("affidavit_chain_endpoint_head", "Newest block they said to have", labels=["endpoint"])
        faults = CounterMetricFamily("affidavit_chain_endpoint_faults", "Questions without an answer", labels=["endpoint", "kind"])
        outvoted = CounterMetricFamily("affidavit_chain_endpoint_outvoted", "Answers others contradict", labels=["endpoint", "method"])
        for one in self._endpoints.snapshot():
            for name in STATES:
                state.add_metric([one.name, name], float(one.state == name))
            if one.latency_seconds is not None:
                latency.add_metric([one.name], one.latency_seconds)
            if one.head is not None:
                head.add_metric([one.name], one.head)
            for kind, count in one.faults.items():
                faults.add_metric([one.name, kind], count)
            for method, count in one.outvoted.items():
                outvoted.add_metric([one.name, method], count)
        yield from (state, latency, head, faults, outvoted)


class RelayMetrics:
    """Everything under /metrics."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(StoreCollector(engine, clock))
        self.head_lag = Gauge("affidavit_relay_head_lag_blocks", "Blocks from the last one followed to the head", registry=self.registry)
        self.balance_wei = Gauge("affidavit_relay_balance_wei", "What the account can pay gas with", registry=self.registry)
        self.is_holder = Gauge("affidavit_relay_is_holder", "1 while this replica works, 0 while it stands by", registry=self.registry)
        self.tick_seconds = Histogram("affidavit_relay_tick_seconds", "One look at nonces, jobs and deadlines", registry=self.registry)


class Registered(Protocol):
    """Metrics of a process."""

    registry: CollectorRegistry


def make_app(
    metrics: Registered, readiness: Mapping[str, Callable[[], None]], process: str = "relay", endpoints: Endpoints | None = None
) -> FastAPI:
    """/health, /ready, /metrics. `readiness`: named checks that raise an AffidavitError when something is not there.

    `endpoints`: the chain's, told of under /health and /metrics.
    """
    if endpoints is not None:
        metrics.registry.register(EndpointCollector(endpoints))
    app = FastAPI(title=f"Affidavit {process}", version="1", docs_url=None, redoc_url=None)

    @app.get("/health")
    def get_health() -> dict[str, Any]:
        return {"status": "alive"} | ({} if endpoints is None else endpoints.describe())

    @app.get("/ready")
    def get_ready() -> JSONResponse:
        states = {name: _state_of(check) for name, check in readiness.items()}
        return JSONResponse(states, 200 if all(state == "ok" for state in states.values()) else 503)

    @app.get("/metrics")
    def get_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _state_of(check: Callable[[], None]) -> str:
    try:
        check()
    except AffidavitError as error:
        return str(error)
    return "ok"
