"""A real network with an office, asked a few questions, and a real browser to look at it with."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from oracle.config import read_secret, write_secret
from oracle.demo import digits
from oracle.demo.network import Network, Plan, running_network
from oracle.office.people import Role
from oracle.records import Policy
from tests.twins.oidc import SECRET, real_provider

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
Found = TypeVar("Found")
FEE_WEI = 10**15
QUESTIONS = 3


@dataclass(frozen=True, slots=True)
class Desk:
    """What the browser's tests read from `AFFIDAVIT_DESK`."""

    network: Network
    file: Path


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if CHROMIUM is None:
        pytest.skip("no chromium: install the Debian package `chromium`")
    directory = tmp_path_factory.mktemp("pages")
    with running_network(directory, Plan(operators=2, provers=0, is_watched=False, anchor_seconds=2)) as network, provided(network):
        older = _wait(lambda: _checkpoint(network), "checkpoint with an entry")
        gate, images = digits.deploy_gate(network, Policy(quorum=2)), digits.load_images(QUESTIONS)
        for image in images:
            gate.ask(image, FEE_WEI)
        file = directory / "desk.json"
        file.write_text(json.dumps(_describe(network) | {"older": older}))
        yield Desk(network, file)


@contextmanager
def provided(network: Network) -> Iterator[None]:
    """Beside tokens, people sign in at an OpenID Connect provider: there "grace" is an auditor, and "mallory" nobody."""
    redirect_url = f"{network.api_url}/audit/v1/oidc/callback"
    with real_provider(redirect_url, {"grace": ["audit-team"], "mallory": []}) as issuer:
        secret = network.directory / "oidc-secret"
        write_secret(secret, "client secret", SECRET + "\n")
        settings = {"issuer": issuer, "client_id": "affidavit", "client_secret_file": secret.name, "redirect_url": redirect_url}
        table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in (settings | {"roles_claim": "groups"}).items())
        with (network.directory / "api.toml").open("a") as file:
            file.write(f'\n[office.oidc]\n{table}\n[office.oidc.roles]\naudit-team = "auditor"\n')
        network.processes.stop("api")
        network.processes.restart("api")
        network.processes.wait_ready("api")
        yield


def _describe(network: Network) -> dict[str, Any]:
    tokens = {str(role): read_secret(network.person_token_file(role)) for role in Role}
    receipts = _wait(lambda: _receipts(network, tokens["auditor"]), "receipts that are anchored")
    return {
        "base": network.api_url,
        "rpc": network.chain.rpc,
        "vkey": network.vkey,
        "tokens": tokens,
        "receipts": receipts,
        "chromium": CHROMIUM,
    }


def _checkpoint(network: Network) -> str:
    """The log's checkpoint as soon as it is of something."""
    note = httpx.get(f"{network.log_url}/checkpoint").raise_for_status().text
    return "" if note.split("\n")[1] == "0" else note


def _receipts(network: Network, token: str) -> list[int]:
    """Indices of the receipts, once all are there (of each delivery two: as it was seen, and when it was final), anchored and witnessed."""
    with httpx.Client(base_url=f"{network.api_url}/audit/v1", headers={"authorization": f"Bearer {token}"}) as client:
        found = client.get("/records", params={"kind": "receipt"}).raise_for_status().json()["items"]
        anchors = client.get("/operations").raise_for_status().json()["anchors"]
    indices = [row["index"] for row in found]
    witnessed = httpx.get(f"{network.api_url}/log/witnessed")
    if len(indices) < 2 * QUESTIONS or not anchors or witnessed.status_code != 200:
        return []
    covered = min(anchors[0]["size"], int(witnessed.text.split("\n")[1]))
    return indices if covered > max(indices) else []


def _wait(ask: Callable[[], Found], what: str, seconds: float = 180) -> Found:
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"no {what} after {seconds} s"
        time.sleep(0.5)
    return answer
