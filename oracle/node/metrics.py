"""What an operator scrapes from a node. One registry for each node, so that two in one process do not mix."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from oracle.node.executor import Fate, Observer, Workplace
from oracle.node.jobs import JobStore


class _JobStates(Collector):
    """Read from the store when scraped, so that the figures are those of the database and not of this process."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("affidavit_node_jobs", "Requests by state", labels=["state"])]

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("affidavit_node_jobs", "Requests by state", labels=["state"])
        for state, count in self._store.count_by_state().items():
            family.add_metric([state.value], count)
        yield family


class _OwedEntries(Collector):
    """As `_JobStates`: what the log is still owed."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("affidavit_node_owed_entries", "Entries to be written to the log late")]

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("affidavit_node_owed_entries", "Entries to be written to the log late", value=self._store.owed.count())


class NodeMetrics:
    """Prometheus collectors of one node."""

    def __init__(self, store: JobStore) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_JobStates(store))
        self.registry.register(_OwedEntries(store))
        self.log_failures = Counter(
            "affidavit_node_log_failures",
            "Times the node began to answer without the log: any increase needs a person",
            registry=self.registry,
        )
        self.inference_seconds = Histogram(
            "affidavit_node_inference_seconds",
            "Time a model ran, by model name",
            ["model"],
            buckets=[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30],
            registry=self.registry,
        )
        self.proving_seconds = Histogram(
            "affidavit_node_proving_seconds",
            "Time a proof took, by model name",
            ["model"],
            buckets=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30],
            registry=self.registry,
        )
        self.work_seconds = Histogram(
            "affidavit_node_work_seconds",
            "Time a call to a worker took, with its way there and back, by kind",
            ["kind"],
            buckets=[0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30],
            registry=self.registry,
        )
        self.workers_lost = Counter(
            "affidavit_node_workers_lost",
            "Workers that ended on a call: died, or passed its limit of time or memory",
            ["kind", "fate"],
            registry=self.registry,
        )
        self.refused = Counter("affidavit_node_refused", "Requests refused, by error", ["error"], registry=self.registry)
        self.postponed = Counter("affidavit_node_postponed", "Attempts put off, by error", ["error"], registry=self.registry)
        self.equivocations = Counter(
            "affidavit_node_equivocations_prevented",
            "Second, different outputs that were not signed: any increase needs a person",
            registry=self.registry,
        )
        self.head_lag = Gauge(
            "affidavit_node_head_lag_blocks", "Blocks between the chain's head and the last one taken", registry=self.registry
        )

    def observer(self) -> Observer:
        """What a workplace tells, counted here."""

        def on_lost(kind: str, fate: Fate) -> None:
            self.workers_lost.labels(kind, fate.value).inc()

        def on_done(kind: str, seconds: float) -> None:
            self.work_seconds.labels(kind).observe(seconds)

        return Observer(on_lost, on_done)

    def watch(self, workplace: Workplace) -> None:
        """Its queue, read when scraped."""
        waiting = Gauge("affidavit_node_work_waiting", "Calls that wait for a worker", registry=self.registry)
        waiting.set_function(lambda: workplace.waiting)
        running = Gauge("affidavit_node_work_running", "Calls at a worker", registry=self.registry)
        running.set_function(lambda: workplace.running)
