"""What comes from outside in any form: events cut anywhere, and answers of any JSON at all."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.audit.calls import encode_content
from oracle.errors import MalformedInput
from oracle.ingest.openai_wire import ENDPOINTS, Transcript, read_answer, read_asking
from oracle.ingest.sse import EventSplitter, ServerEvent

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(st.characters(exclude_characters="\r\n"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
WORDS = """id model choices usage output data type response delta index message content tool_calls function name arguments text role status
finish_reason error prompt_tokens completion_tokens prompt_tokens_details cached_tokens incomplete_details reason n user tools"""
NAMES = st.sampled_from(WORDS.split())
SHAPED = st.recursive(JSON, lambda inner: st.dictionaries(NAMES, inner, max_size=5) | st.lists(inner, max_size=3), max_leaves=25)
ENDPOINT = st.sampled_from(sorted(ENDPOINTS))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def split(pieces: list[bytes]) -> list[ServerEvent]:
    splitter = EventSplitter(1 << 20)
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.close()


@given(st.lists(TEXT, max_size=8), LINE_ENDS, st.lists(st.integers(0, 10_000), max_size=12))
def test_events_are_the_same_wherever_they_are_cut(texts: list[str], line_end: bytes, places: list[int]) -> None:
    data = b"".join(b"data: " + text.encode() + line_end + line_end for text in texts)
    events = split(cut(data, places))
    assert b"".join(event.raw for event in events) == data
    assert [event.data for event in events if event.raw.startswith(b"data")] == [text.encode() for text in texts]


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=12))
def test_no_byte_is_lost_or_invented_whatever_they_are(data: bytes, places: list[int]) -> None:
    assert b"".join(event.raw for event in split(cut(data, places))) == data
    assert [event.data for event in split(cut(data, places))] == [event.data for event in split([data])]


@settings(max_examples=300)
@given(ENDPOINT, SHAPED)
def test_an_answer_of_any_form_is_described(path: str, document: Any) -> None:
    answering = read_answer(ENDPOINTS[path], json.dumps(document).encode())
    for value in answering.fields.values():
        assert isinstance(value, str | int | list)


@settings(max_examples=500)
@given(ENDPOINT, st.lists(SHAPED, max_size=6))
def test_a_stream_of_anything_is_put_together(path: str, documents: list[Any]) -> None:
    transcript = Transcript(ENDPOINTS[path], 1)
    for document in documents:
        transcript.add(json.dumps(document).encode())
    answering = transcript.answer()
    assert answering.output is None or isinstance(answering.output, bytes)


@given(ENDPOINT, SHAPED)
def test_a_request_of_any_form_is_read_or_refused(path: str, document: Any) -> None:
    try:
        asking = read_asking(ENDPOINTS[path], document)
    except MalformedInput:
        return
    assert asking.model


@given(JSON)
def test_content_of_any_form_has_bytes_or_is_refused(value: Any) -> None:
    try:
        data = encode_content(value)
    except MalformedInput:
        is_odd = "nan" in repr(value) or "inf" in repr(value)
        assert is_odd, value
        return
    assert data == encode_content(value)
