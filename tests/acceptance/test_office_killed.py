"""The office's process, and the log's, killed at any moment while people work: what was answered is in the log, once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest

from oracle.audit.note import parse_vkey
from oracle.audit.source import HttpSource
from oracle.audit.view import LogView
from oracle.config import read_secret
from oracle.demo.network import Network
from oracle.errors import AffidavitError
from oracle.office.client import OfficeClient
from oracle.office.people import Role

ROUNDS = 3
SETTLE_SECONDS = 60.0


class Work:
    """A person who signs off records, and one who places holds and asks for their release, until told to stop."""

    def __init__(self, network: Network) -> None:
        self.auditor, self.dpo = (
            OfficeClient(network.api_url, read_secret(network.person_token_file(r))) for r in (Role.AUDITOR, Role.DPO)
        )
        self.answered: list[tuple[str, str]] = []  # (id, step)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(step,)) for step in (self._review, self._hold)]

    def __enter__(self) -> Work:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, step: object) -> None:
        assert callable(step)
        while not self._stop.is_set():
            with suppress(AffidavitError):  # it was killed: people try again
                step()
            self._stop.wait(0.02)

    def _review(self) -> None:
        self.answered.append((self.auditor.post("/reviews", {"index": 0, "outcome": "accepted"})["id"], "review"))

    def _hold(self) -> None:
        hold = self.dpo.post("/holds", {"scope": {"index": 0}, "reason": "why"})["id"]
        self.answered.append((hold, "placed"))
        self.dpo.post(f"/holds/{hold}/release")
        self.answered.append((hold, "release_requested"))


def logged_steps(network: Network) -> Counter[tuple[str, str]]:
    """(id, step) of every record of a review or hold."""
    view = LogView(HttpSource(network.log_url), parse_vkey(network.vkey))
    found: Counter[tuple[str, str]] = Counter()
    for index in range(view.size):
        record = view.read(index).record
        if record.kind in ("review", "hold"):
            name = f"audit.{record.kind}"
            found[str(record.fields[f"{name}.id"]), str(record.fields[f"{name}.action"])] += 1
    return found


def known_steps(work: Work) -> set[tuple[str, str]]:
    """What the office says of the same, once nothing is pending."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        holds = all_of(work.dpo, "/holds")
        if not any(hold["is_pending"] for hold in holds):
            return {(r["id"], "review") for r in all_of(work.auditor, "/reviews")} | {
                (h["id"], t["step"]) for h in holds for t in h["history"]
            }
        assert time.monotonic() < deadline, "a step is still pending"
        time.sleep(0.5)


def all_of(client: OfficeClient, path: str) -> list[dict[str, object]]:
    found, before = [], {}
    while True:
        page = client.get(path, limit=200, **before)
        found += page["items"]
        if page["next"] is None:
            return found
        before = {"before": page["next"]}


@pytest.mark.parametrize("name", ["api", "log"])
def test_people_work_while_a_process_is_killed(network: Network, name: str) -> None:
    rng = random.Random(name)
    with Work(network) as work:
        for _round in range(ROUNDS):
            time.sleep(rng.uniform(0.5, 2))
            network.processes.kill(name)
            network.processes.restart(name)
            network.processes.wait_ready(name)
        time.sleep(1)
    assert len(work.answered) > ROUNDS
    deadline = time.monotonic() + SETTLE_SECONDS
    while (logged := logged_steps(network)).keys() != known_steps(work):  # the office finishes what it intended, every few seconds
        assert time.monotonic() < deadline, logged.keys() ^ known_steps(work)
        time.sleep(1)
    assert set(logged.values()) == {1}, "a step is in the log twice"
    assert set(work.answered) <= logged.keys()
