"""The proxy before a real language model, asked by the real client: what the model says is what is sealed, whole or piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.twins.log_service import LogService
from tests.twins.logs import full_check
from tests.twins.openai_upstream import Upstream
from tests.twins.proxy_service import ProxyService
from tests.twins.titler import Titler

QUESTION = "The log was unreachable for two minutes because the disk was full; the operator removed old files and restarted it."


@pytest.fixture(scope="module")
def titler() -> Titler:
    return Titler()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogService]:
    with LogService(tmp_path, "proxy") as running:
        yield running


def test_what_the_model_says_is_what_is_sealed(tmp_path: Path, log: LogService, titler: Titler) -> None:
    said = list(titler.pieces(QUESTION))
    assert len(said) > 2
    with Upstream(speak=titler.pieces) as upstream, ProxyService(tmp_path, upstream.url, log.url, log.tokens["proxy"]) as proxy:
        client = openai.OpenAI(base_url=proxy.url, api_key="sk-x", max_retries=0)
        messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
        whole = client.chat.completions.create(model="flan-t5-small", messages=messages)
        chunks = list(client.chat.completions.create(model="flan-t5-small", messages=messages, stream=True))
    assert whole.choices[0].message.content == "".join(said)
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content is not None] == said
    records = full_check(tmp_path)
    assert [record["audit.kind"] for record in records] == ["intent", "result"] * 2
    for index in (1, 3):
        content = log.log.custody.content(index)
        assert content is not None
        (choice,) = json.loads(content.bodies["gen_ai.output.messages.digest"])
        assert choice["message"]["content"] == "".join(said)
    assert records[3]["audit.first_token_microseconds"] < records[3]["audit.latency_microseconds"]
