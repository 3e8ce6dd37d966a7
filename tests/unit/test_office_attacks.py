"""Attacks on the office that no single part of it can see: what else the same origin serves, a log that goes back, records of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.errors import LogRefused
from oracle.office.reading import CustodySource, LogReader
from tests.twins.logs import KEY
from tests.twins.office_api import OfficeNetwork, office_network
from tests.twins.paper_log import PaperLog, make_record


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeNetwork]:
    with office_network(tmp_path) as made:
        yield made


def test_no_page_of_this_origin_takes_scripts_from_elsewhere(office: OfficeNetwork) -> None:
    """Whatever runs on the office's origin can ask for an auditor's CSRF value, and act."""
    client = office.client()
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "<script" not in answer.text, path
    assert client.get("/openapi.json").status_code == 200


# ---- a log that goes back ------------------------------------------------------------------------------------------------------------
def show(office: OfficeNetwork, log: PaperLog) -> None:
    """From now on the log's files are those of another one, signed by the same key."""
    reader = LogReader(CustodySource(log, office.office.custody), KEY.verifier)
    object.__setattr__(office.office, "reader", reader)


@pytest.mark.parametrize(("size", "same"), [(300, 0), (300, 299), (299, 299), (1, 1)])
def test_a_log_that_went_back_or_forked_is_refused_by_the_office(office: OfficeNetwork, size: int, same: int) -> None:
    """Also at the size that was followed already, and below it: nothing that is shown then is of the log that is searched."""
    show(office, PaperLog.of(300))
    office.office.catch_up(office.office.reader.view())
    show(office, PaperLog([make_record(n) if n < same else make_record(n, test__forked=True) for n in range(size)]))
    with pytest.raises(LogRefused):
        office.office.catch_up(office.office.reader.view())
    auditor = office.client("auditor")
    for path in ("completeness", "export?format=jsonl", "reports"):
        assert auditor.get(f"/audit/v1/{path}").status_code == 409, path
    assert office.office.index.size == 300
