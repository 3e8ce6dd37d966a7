"""One table from errors to statuses; limits before handlers; no inside detail in a 500."""

from __future__ import annotations

import inspect
import json

import pytest
import structlog
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from oracle import errors, journal
from oracle.http import PROBLEM, STATUS_OF, BodyLimit, install_errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.AffidavitError)]
FAMILIES = {errors.AffidavitError, errors.InvariantBroken, errors.Rejected, errors.WorldError}


def make(kind: type[errors.AffidavitError]) -> errors.AffidavitError:
    return kind(7, "thing", "this", "that") if kind is errors.AuditFailed else kind("thing")


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    install_errors(app)
    app.add_middleware(BodyLimit, limit=100)

    @app.get("/raise/{name}")
    def fail(name: str) -> None:
        raise make(getattr(errors, name)) if hasattr(errors, name) else RuntimeError("the password is swordfish")

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("kind", [c for c in CLASSES if c not in FAMILIES], ids=lambda c: c.__name__)
def test_every_documented_error_has_its_status(kind: type[errors.AffidavitError], client: TestClient) -> None:
    assert kind in STATUS_OF
    answer = client.get(f"/raise/{kind.__name__}")
    assert answer.status_code == STATUS_OF[kind]
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["title"] == kind.__name__
    if answer.status_code != 500:
        assert "thing" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["InvariantBroken", "Anything"])
def test_our_own_faults_say_nothing(name: str, client: TestClient) -> None:
    answer = client.get(f"/raise/{name}")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "internal error"
    assert "swordfish" not in answer.text


def test_bodies_above_the_limit(client: TestClient) -> None:
    assert client.post("/echo", content=b"x" * 100).json() == 100
    assert client.post("/echo", content=b"x" * 101).status_code == 413
    undeclared = client.post("/echo", content=(b"x" * 10 for _ in range(11)))  # chunked, no content-length
    assert undeclared.status_code == 413
    assert client.post("/echo", content=b"x", headers={"content-length": "-1"}).status_code == 413


def test_what_a_rejection_says() -> None:
    assert str(errors.InputRejected("input", "784 values", 3)) == "input: expected 784 values, got 3"
    assert str(errors.InputRejected("input", got=3)) == "input: got 3"
    assert str(errors.AuditFailed(4, "root", "a", "b")) == "root: expected a, got b"


def test_secrets_never_reach_the_journal(capsys: pytest.CaptureFixture[str]) -> None:
    journal.configure("test")
    journal.get("part").info("start", password="swordfish", log_token="swordfish", digest=b"\x01", Authorization="swordfish")
    structlog.reset_defaults()
    line = json.loads(capsys.readouterr().err)
    assert "swordfish" not in json.dumps(line)
    assert line["digest"] == "0x01"
    assert line["process"] == "test"
