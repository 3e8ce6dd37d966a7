"""What an operator's alarms look at: steps that the log has not confirmed, erasures that wait, and how far the index is."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from oracle.office.desk import Office


class OfficeCollector(Collector):
    """Asked at every scrape. Raises StoreError when a database fails, as the rest of /metrics does."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: so that being registered asks no database."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        cases = self._office.duties.cases
        pending, waiting = len(cases.intended()), len(cases.unfinished_erasures())
        yield GaugeMetricFamily("affidavit_office_pending_steps", "Steps of cases that the log has not confirmed yet.", pending)
        yield GaugeMetricFamily("affidavit_office_waiting_erasures", "Approved erasures whose keys are not destroyed.", waiting)
        yield GaugeMetricFamily("affidavit_office_indexed_entries", "Entries the search index has taken in.", self._office.index.size)
