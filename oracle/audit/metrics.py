"""What an operator scrapes from a log. One registry for each log, so that two logs in one process do not mix."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class LogMetrics:
    """Prometheus collectors of one log."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.appends = Counter("affidavit_log_appends", "Appends by record kind and outcome", ["kind", "outcome"], registry=self.registry)
        self.size = Gauge("affidavit_log_size", "Entries covered by the last published checkpoint", registry=self.registry)
        self.batch = Histogram(
            "affidavit_log_batch_entries", "Appends written together", buckets=[1, 2, 5, 10, 50, 100, 500, 1024], registry=self.registry
        )
        self.commit = Histogram(
            "affidavit_log_commit_seconds",
            "From taking a batch to its published checkpoint",
            buckets=[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
            registry=self.registry,
        )
        self.anchored = Gauge("affidavit_log_anchored_size", "Size of the newest anchor on chain", registry=self.registry)
        self.anchor_failures = Counter("affidavit_log_anchor_failures", "Anchor rounds that failed", registry=self.registry)
        self.witnessed = Gauge(
            "affidavit_log_witnessed_size", "Size of the newest checkpoint that satisfied the witness policy", registry=self.registry
        )
        self.witness_quorum_met = Gauge(
            "affidavit_log_witness_quorum_met", "Whether enough witnesses cosigned in the last round", registry=self.registry
        )
        self.witness_cosignatures = Gauge(
            "affidavit_log_witness_cosignatures", "Witnesses that cosigned in the last round", registry=self.registry
        )
        self.witness_failures = Counter(
            "affidavit_log_witness_failures", "Checkpoints a witness did not cosign", ["witness"], registry=self.registry
        )
        self.pruned = Counter(
            "affidavit_log_pruned_records", "Records whose content was erased at the end of its retention", registry=self.registry
        )
        self.clock_synchronised = Gauge("affidavit_log_clock_synchronised", "What the kernel says of the clock", registry=self.registry)

    def on_batch(self, entries: int, seconds: float) -> None:
        self.batch.observe(entries)
        self.commit.observe(seconds)
