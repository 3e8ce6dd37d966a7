"""Addresses that strangers write, on chain or in a question, are shown and never asked (SSRF)."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from oracle.encoding import to_hex
from oracle.wire import asked_to_json
from tests.twins.api import network

ROOT = Path(__file__).parents[2]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where a connection would show that somebody asked. It answers nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        yield server


def assert_nobody_came(listener: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_models_data_uri_is_not_asked(tmp_path: Path, listener: socket.socket) -> None:
    uri = f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"
    with network(tmp_path) as net:
        models = net.chain.world.models
        net.chain.act(lambda world: world.models.update({i: replace(model, data_uri=uri) for i, model in models.items()}))
        client = TestClient(net.app)
        described = client.get(f"/v1/models/{to_hex(net.digits)}")
        assert described.status_code == 200
        assert uri in described.text  # shown to who asks, who judges it
        assert client.post("/v1/requests", json=asked_to_json(net.asked())).status_code == 202
        assert client.get("/v1/models").status_code == 200
    assert_nobody_came(listener)


def test_a_host_header_leads_nowhere(tmp_path: Path, listener: socket.socket) -> None:
    """Nor do the headers by which a proxy would name another host."""
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    headers = {"host": host, "x-forwarded-host": host, "forwarded": f"host={host}", "x-original-url": f"http://{host}/"}
    with network(tmp_path) as net:
        client = TestClient(net.app)
        for path in ("/v1/models", "/ready", "/openapi.json", f"/v1/models/{to_hex(net.digits)}"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 200
            assert host not in answer.text
    assert_nobody_came(listener)


def test_no_client_of_ours_follows_a_redirect() -> None:
    """httpx follows none unless told to: who is asked cannot send us on to an address that only we can reach."""
    told = [path for path in (ROOT / "oracle").rglob("*.py") if re.search(r"follow_redirects\s*=\s*True", path.read_text())]
    assert told == []
