"""What an operator scrapes from a recorder. One registry for each, so that two in one process do not mix; hand in your own to join it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class RecorderMetrics:
    """Prometheus collectors of one recorder."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.records = Counter(
            "affidavit_recorder_records", "Records by kind and by what became of them", ["kind", "fate"], registry=self.registry
        )
        self.alarms = Counter(
            "affidavit_recorder_alarms",
            "Records the log did not take in time, by error: any increase needs a person",
            ["error"],
            registry=self.registry,
        )
        self.lost = Counter("affidavit_recorder_lost", "Records that could not even be spooled", registry=self.registry)
        self.spooled = Gauge("affidavit_recorder_spooled", "Records that wait on disk for the log", registry=self.registry)
