"""Data made from the OpenAPI document itself, that fits it and that does not: no 500, no answer the document does not promise.

Bounded and deterministic in the default run; `--all` adds many more examples. See https://schemathesis.readthedocs.io.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from oracle.encoding import to_hex
from oracle.http import PROBLEM
from oracle.records import SIGNED_NONCE_START
from oracle.wire import asked_to_json
from tests.twins.api import Network, network
from tests.unit.test_api_document import ROUTES, settle

FAST, SLOW = 25, 400
TAKES_NOTHING = {"/health", "/ready", "/metrics", "/v1/models"}
CASES = [
    pytest.param(route, mode, id=f"{' '.join(route)} {mode.value}")
    for route in sorted(ROUTES)
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or route[1] not in TAKES_NOTHING
]
RUN: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.generate]}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with network(tmp_path_factory.mktemp("fuzz"), per_minute=1 << 20) as made:
        yield made


@pytest.fixture(scope="module")
def schema(net: Network) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", net.app)


@pytest.fixture(scope="module")
def known(net: Network) -> list[str]:
    """A request that was answered, and an id nobody knows."""
    asked = net.asked()
    net.desk.submit(asked)
    settle(net, to_hex(asked.request_id))
    return [to_hex(asked.request_id), "0x" + "12" * 32]


def fuzz(schema: Any, known: list[str], route: tuple[str, str], mode: GenerationMode, examples: int) -> None:
    method, path = route

    @seed(20261122)
    @settings(max_examples=examples, **RUN)
    @given(case=schema[path][method.upper()].as_strategy(generation_mode=mode), request_id=st.sampled_from([*known, None]))
    def run(case: Any, request_id: str | None) -> None:
        if request_id is not None and "request_id" in (case.path_parameters or {}):
            case.path_parameters["request_id"] = request_id
        # No schema can say what a signature covers, which model exists or what a policy in words demands: data that fits may still be
        # refused, with a reason.
        is_unsayable = method == "post" or path == "/v1/quote"
        case.call_and_validate(excluded_checks=[positive_data_acceptance] if is_unsayable else [])

    run()


@pytest.mark.parametrize(("route", "mode"), CASES)
def test_fuzz(schema: Any, known: list[str], route: tuple[str, str], mode: GenerationMode) -> None:
    fuzz(schema, known, route, mode, FAST)


@pytest.mark.slow
@pytest.mark.parametrize(("route", "mode"), CASES)
def test_fuzz_long(schema: Any, known: list[str], route: tuple[str, str], mode: GenerationMode) -> None:
    fuzz(schema, known, route, mode, SLOW)


# ---- a valid request with one thing wrong: gets past the schema's own checks, deep into ours --------------------------------------------
JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 2**64, 2**256, 10**400, 1.5, -0.0, 1e308, 5e-324,
    "", "0", "-1", "01", "0x", "0x0", "0X00", "0x00", "0x" + "00" * 20, "0x" + "00" * 32, "0x" + "ff" * 32, "0x" + "FF" * 20,
    "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "zz" * 32, str(2**128), str(2**256 - 1), str(2**256),
    "9" * 5000, "\0", "\ud800", "\u202e", "١", "1e5", " 1", "1 ", "1\n",
    [], {}, [[]], [None], [0] * 64, {"": 0}, {"real": [0] * 64}, {"integers": [0] * 64}, {"hex": "0x"}, {"quorum": 1}, {"proof": True},
]  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of every value inside, itself too; only the first few of a long list."""
    yield path
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:2] if isinstance(value, list) else []
    for key, item in inner:
        yield from leaves(item, (*path, key))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    whole = copy.deepcopy(body)
    target = whole
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return whole


def check_mutations(net: Network, path: str, body: Any, expected: int) -> None:
    """Each mutation is refused with a problem document, or it changed nothing that matters; nothing refused leaves a row."""
    client = TestClient(net.app, raise_server_exceptions=False)
    tried = 0
    for place in leaves(body):
        for junk in JUNK:
            before = net.counts()
            text = json.dumps(replaced(body, place, junk))
            answer = client.post(path, content=text.encode(), headers={"content-type": "application/json"})
            tried += 1
            assert answer.status_code == expected or 400 <= answer.status_code < 500, (place, junk, answer.text)
            if answer.status_code != expected:
                assert answer.headers["content-type"] == PROBLEM, (place, junk)
                assert answer.json()["title"] not in {"InternalError", ""}, (place, junk)
                assert net.counts() == before, (place, junk)
    assert tried > 500


def test_every_field_of_a_signed_request_replaced_by_junk(net: Network) -> None:
    check_mutations(net, "/v1/requests", asked_to_json(net.asked(nonce=SIGNED_NONCE_START + 99)), 202)


@pytest.mark.parametrize("kind", ["real", "integers", "hex"])
def test_every_field_of_a_wanted_request_replaced_by_junk(net: Network, kind: str) -> None:
    given_input = {"real": {"real": [0.5] * 64}, "integers": {"integers": [1] * 64}, "hex": {"hex": "0x" + "00" * 128}}[kind]
    body = {
        "model_id": to_hex(net.digits),
        "input": given_input,
        "policy": {"quorum": 1, "proof": False, "enclave": False, "window_seconds": 0},
        "fee_wei": "1",
        "callback_gas": 0,
        "deadline": net.chain.time + 600,
        "requester": asked_to_json(net.asked())["request"]["requester"],
        "refund_to": None,
        "nonce": None,
    }
    check_mutations(net, "/v1/requests/prepare", body, 200)
