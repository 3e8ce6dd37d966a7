"""Whole networks, process by process, for tests that need the real thing. Two are shared by all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oracle.demo.network import Network, Plan, running_network


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three operators, the digit models; anchored every two seconds."""
    with running_network(tmp_path_factory.mktemp("network"), Plan(anchor_seconds=2)) as running:
        yield running


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Five operators, the canonical digit model."""
    with running_network(tmp_path_factory.mktemp("five"), Plan(operators=5, models=("digits-mlp/canonical",))) as running:
        yield running
