"""Whom we ask over HTTP may answer without end: a node, a witness, a log and an endpoint are other people's. Nobody reads on for ever.

The server stops by itself, late, so that who does read on is found out by how much it took and not by a test that hangs.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from oracle.audit.cosign import generate_witness_key
from oracle.audit.policy import PolicyWitness
from oracle.audit.source import HttpSource
from oracle.audit.witness import WitnessClient
from oracle.errors import AffidavitError
from oracle.office.routes.operations import ask_nodes
from oracle.pipeline.client import ApiClient
from oracle.pipeline.monitor import _refusal_reader
from oracle.pipeline.receipts import _get
from oracle.records import Bytes32
from oracle.relay import upstream
from oracle.relay.upstream import Upstream
from tests.twins.raw_server import RawServer

PIECE = bytes(1 << 18)
MOST_BYTES = 96 << 20
ENOUGH_BYTES = 48 << 20
"""More than anybody needs of an answer, and what kernels keep in their buffers besides."""


class Endless(RawServer):
    """Answers everything with 200 (or `status`) and zeros, up to MOST_BYTES for each connection."""

    def __init__(self, status: int) -> None:
        self._head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".encode()
        self.taken = 0
        super().__init__(self._pour)

    def _pour(self, connection: socket.socket) -> None:
        taken = 0
        connection.sendall(self._head)
        while taken < MOST_BYTES:
            connection.sendall(PIECE)
            taken += len(PIECE)
            self.taken = max(self.taken, taken)


@pytest.fixture
def endless(request: pytest.FixtureRequest) -> Iterator[Endless]:
    server = Endless(getattr(request, "param", 200))
    yield server
    server.close()


def ask(server: Endless, question: Callable[[str], object]) -> None:
    """Asks; any error of ours is fine, a long reading is not."""
    began = time.monotonic()
    with contextlib.suppress(AffidavitError):
        question(server.url)
    assert server.taken < ENOUGH_BYTES, f"read {server.taken >> 20} MiB of an answer without end"
    assert time.monotonic() - began < 20


def ask_witness(url: str) -> object:
    client = WitnessClient(PolicyWitness("w", generate_witness_key("w.example").verifier, url))
    return client.read_checkpoint("origin")


def ask_endpoint(url: str) -> object:
    answer = Upstream(url, "endpoint", 5, None, time.monotonic).ask("eth_chainId", [])
    assert answer.fault is not None
    return answer


QUESTIONS = [
    pytest.param(ask_witness, id="a witness"),
    pytest.param(lambda url: HttpSource(url).read_checkpoint(), id="a log"),
    pytest.param(lambda url: _get(url, 0), id="a log, for a receipt"),
    pytest.param(lambda url: ask_nodes([url]), id="a node, for its readiness"),
    pytest.param(lambda url: ApiClient(url).request(Bytes32(bytes(32))), id="an API"),
    pytest.param(lambda url: list(ApiClient(url)._stream(Bytes32(bytes(32)), "")), id="an API, for a request's events"),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_nobody_is_read_without_end(endless: Endless, question: Callable[[str], object]) -> None:
    ask(endless, question)


def test_an_endpoint_is_not_read_without_end(endless: Endless, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit is that of a block with every log in it, which is more than a test should read."""
    monkeypatch.setattr(upstream, "MOST_ANSWER_BYTES", 8 << 20)
    ask(endless, ask_endpoint)


@pytest.mark.parametrize("endless", [409], indirect=True)
def test_the_log_that_a_monitor_watches_is_not_read_without_end(endless: Endless) -> None:
    """It is the one who would gain by it."""
    ask(endless, lambda url: _refusal_reader(url)())
