"""Whole networks, process by process, for tests that need the real thing. Two are shared by all tests of a session."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.demo.network import Network, Plan, running_network

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three operators, the digit models, a simulated enclave; anchored every two seconds."""
    with running_network(tmp_path_factory.mktemp("network"), Plan(anchor_seconds=2, enclaves=1)) as running:
        yield running


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Five operators, the canonical digit model."""
    with running_network(tmp_path_factory.mktemp("five"), Plan(operators=5, models=("digits-mlp/canonical",))) as running:
        yield running


@pytest.fixture(autouse=True)
def node_packages(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What a reader of docs/clients.md has installed before the first of its examples: the client, built, viem and noble."""
    if "docs/clients.md" not in request.node.name:
        return
    subprocess.run(["node", "clients/typescript/build.mjs"], cwd=ROOT, check=True, timeout=120)
    (tmp_path / "node_modules/@affidavit").mkdir(parents=True)
    (tmp_path / "node_modules/@affidavit/client").symlink_to(ROOT / "clients/typescript")
    for name in ("viem", "@noble"):
        (tmp_path / "node_modules" / name).symlink_to(ROOT / "node_modules" / name)
