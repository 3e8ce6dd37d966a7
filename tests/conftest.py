"""What every test may ask for; and on CI nothing is skipped for want of a program: its script installs them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import structlog

from tests.twins.postgres import new_database, postgres, postgres_url

__all__ = ["new_database", "postgres", "postgres_url"]


@pytest.fixture(autouse=True)
def journal_as_it_was() -> Iterator[None]:
    """A command run in a test sets up the journal on that test's captured stream, which is closed when other tests' threads write to it."""
    was_configured = structlog.is_configured()
    yield
    if not was_configured:
        structlog.reset_defaults()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and os.environ.get("CI") and "install" in str(report.longrepr):
        report.outcome = "failed"
    return report
