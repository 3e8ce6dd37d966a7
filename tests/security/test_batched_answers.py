"""An endpoint that answers several questions at once with nonsense: a fault of the endpoint, and never ours."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from oracle.relay.upstream import Fault, Upstream


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([{"id": []}, {"id": []}], id="a list"),
        pytest.param([{"id": {}}, {"id": 2}], id="an object"),
        pytest.param([], id="nothing"),
        pytest.param([1, 2], id="no objects"),
        pytest.param([{"id": 1, "result": "0x1"}, {"id": 1, "result": "0x1"}], id="one twice"),
        pytest.param([{"id": 1, "result": "0x1"}, {"id": 3, "result": "0x1"}], id="another question"),
        pytest.param([{"id": "1", "result": "0x1"}, {"id": "2", "result": "0x1"}], id="text"),
        pytest.param([{"id": None}, {"id": None}], id="null"),
    ],
)
def test_nonsense_for_several_questions_is_a_fault(answer: object) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=json.dumps(answer).encode()))
    upstream = Upstream("http://endpoint.test", "endpoint", 5, transport, time.monotonic)
    assert isinstance(upstream.ask_many("eth_call", [[1], [2]]), Fault)
