"""Attacks on the office that no single part of it can see: what else the same origin serves, a log that goes back, records of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twins.office_api import OfficeNetwork, office_network


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeNetwork]:
    with office_network(tmp_path) as made:
        yield made


def test_no_page_of_this_origin_takes_scripts_from_elsewhere(office: OfficeNetwork) -> None:
    """Whatever runs on the office's origin can ask for an auditor's CSRF value, and act."""
    client = office.client()
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        answer = client.get(path)
        assert answer.status_code == 404 and "<script" not in answer.text, path
    assert client.get("/openapi.json").status_code == 200
