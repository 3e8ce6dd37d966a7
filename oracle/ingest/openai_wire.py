"""What OpenAI's wire format says of a call: chat/completions, completions, embeddings, responses.

A request is read strictly, because a parameter is recorded in the clear: numbers are numbers, a model's name looks like one. An answer is
read leniently, because it is the upstream's: what does not look as it should is left out of the record, and the bytes still pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oracle.audit.calls import INPUT, INSTRUCTIONS, encode_content
from oracle.errors import MalformedInput
from oracle.records import FieldValue

TOOLS = "gen_ai.tool.definitions"
MAX_USER = 256  # characters

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")
_MAX_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Asking:
    """One request, as far as it is recorded. `content` by name of its field."""

    model: str
    operation: str
    parameters: dict[str, object]
    content: dict[str, bytes]
    user: str
    is_stream: bool
    choices: int


@dataclass(frozen=True, slots=True)
class Answering:
    """One answer, as far as it is recorded. `output` is None where there is nothing to seal."""

    fields: dict[str, FieldValue] = field(default_factory=dict)
    output: bytes | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below /v1 whose calls are understood. `output` is what an answer says, `final` the events that end a stream."""

    path: str
    operation: str
    input: str
    output: str
    final: frozenset[str] = frozenset()


_ENDPOINTS = (
    Endpoint("chat/completions", "chat", "messages", "choices"),
    Endpoint("completions", "text_completion", "prompt", "choices"),
    Endpoint("embeddings", "embeddings", "input", "data"),
    Endpoint("responses", "chat", "input", "output", frozenset({"response.completed", "response.incomplete", "response.failed", "error"})),
)
_PATHS = {"chat.completion": "chat/completions", "text_completion": "completions", "list": "embeddings", "response": "responses"}
ENDPOINTS = {endpoint.path: endpoint for endpoint in _ENDPOINTS}


# ---- requests -----------------------------------------------------------------------------------------------------------------------
def read_asking(endpoint: Endpoint, document: object) -> Asking:
    """Raises MalformedInput naming the field that is not as it should be."""
    if not isinstance(document, dict):
        raise MalformedInput("body", "a JSON object", type(document).__name__)
    if document.get("background"):
        raise MalformedInput("background", "false: an answer that is fetched later would not be recorded", True)
    model = document.get("model")
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise MalformedInput("model", "a model's name", type(model).__name__)
    choices = document.get("n") if isinstance(document.get("n"), int) else 1
    content = {INPUT: document.get(endpoint.input), INSTRUCTIONS: document.get("instructions"), TOOLS: document.get("tools")}
    return Asking(
        model=model,
        operation=endpoint.operation,
        parameters=_read_parameters(document),
        content={name: encode_content(value) for name, value in content.items() if value is not None},
        user=_read_user(document),
        is_stream=_flag(document, "stream"),
        choices=max(1, int(choices or 1)),
    )


def _read_parameters(document: Mapping[str, Any]) -> dict[str, object]:
    limits = [document[name] for name in _MAX_TOKENS if document.get(name) is not None]
    given: dict[str, object] = {name: document.get(name) for name in _NUMBERS}
    given |= {"max_tokens": limits[0] if limits else None, "choice.count": document.get("n")}
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise MalformedInput(name, "a number", type(value).__name__)
    return given | {"stream": True if _flag(document, "stream") else None}


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise MalformedInput(name, "true or false", type(value).__name__)
    return value is True


def _read_user(document: Mapping[str, Any]) -> str:
    user = document.get("user") or document.get("safety_identifier") or ""
    if not isinstance(user, str) or len(user) > MAX_USER:
        raise MalformedInput("user", f"text of at most {MAX_USER} characters", type(user).__name__)
    return user.encode("utf-8", "backslashreplace").decode()


# ---- answers ------------------------------------------------------------------------------------------------------------------------
def read_answer(endpoint: Endpoint, body: bytes) -> Answering:
    """A whole answer. Where its JSON cannot be read its bytes are the output."""
    try:
        document = json.loads(body)
        output = document.get(endpoint.output)
        return Answering(describe_answer(endpoint, document), None if output is None else encode_content(output))
    except (ValueError, RecursionError, AttributeError, MalformedInput):
        return Answering({}, body)


def describe(document: Mapping[str, Any]) -> Answering:
    """A whole answer whose endpoint is told by its `object`; one that tells none is output as it is."""
    path = _PATHS.get(str(document.get("object")))
    if path is None:
        return Answering({}, _encode(document))
    endpoint = ENDPOINTS[path]
    return Answering(describe_answer(endpoint, document), _encode(document.get(endpoint.output)))


def describe_answer(endpoint: Endpoint, document: Mapping[str, Any]) -> dict[str, FieldValue]:
    """Public fields of a whole answer."""
    fields: dict[str, FieldValue] = {}
    _put(fields, "gen_ai.response.model", _MODEL, document.get("model"))
    _put(fields, "gen_ai.response.id", _ID, document.get("id"))
    _put_usage(fields, document.get("usage"))
    items = _dicts(document.get(endpoint.output))
    reasons = [_finish_of(document)] if endpoint.path == "responses" else [item.get("finish_reason") for item in items]
    _put_words(fields, "gen_ai.response.finish_reasons", reasons)
    _put_words(fields, "audit.tool_names", _tools_of(items))
    return fields


def _finish_of(response: Mapping[str, Any]) -> object:
    details = response.get("incomplete_details")
    return details.get("reason") if isinstance(details, dict) and details.get("reason") else response.get("status")


def _tools_of(items: list[dict[str, Any]]) -> list[object]:
    """Names of the tools a model calls, in choices of a chat or in items of a response."""
    names: list[object] = [item.get("name") for item in items if str(item.get("type", "")).endswith("_call")]
    for item in items:
        message = item.get("message")
        for call in _dicts(message.get("tool_calls") if isinstance(message, dict) else None):
            tool = call.get("function") or call.get("custom")
            names.append(tool.get("name") if isinstance(tool, dict) else None)
    return names


def _put_usage(fields: dict[str, FieldValue], usage: object) -> None:
    if not isinstance(usage, dict):
        return
    read = {
        "input_tokens": usage.get("input_tokens", usage.get("prompt_tokens")),
        "output_tokens": usage.get("output_tokens", usage.get("completion_tokens")),
        "cache_read.input_tokens": _detail(usage, ("input_tokens_details", "prompt_tokens_details"), "cached_tokens"),
        "reasoning.output_tokens": _detail(usage, ("output_tokens_details", "completion_tokens_details"), "reasoning_tokens"),
    }
    for name, value in read.items():
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
            fields[f"gen_ai.usage.{name}"] = value


def _detail(usage: Mapping[str, Any], tables: tuple[str, ...], name: str) -> object:
    found = [usage[table].get(name) for table in tables if isinstance(usage.get(table), dict)]
    return found[0] if found else None


def _put(fields: dict[str, FieldValue], name: str, form: re.Pattern[str], value: object) -> None:
    if isinstance(value, str) and form.fullmatch(value):
        fields[name] = value


def _put_words(fields: dict[str, FieldValue], name: str, values: list[object]) -> None:
    if words := [value for value in values if isinstance(value, str) and _WORD.fullmatch(value)][:64]:
        fields[name] = words


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _encode(output: object) -> bytes | None:
    """An upstream's JSON may hold what RFC 8785 cannot write (NaN), or be nested without sense."""
    try:
        return encode_content(output)
    except MalformedInput:
        pass
    try:
        return json.dumps(output).encode()
    except (ValueError, RecursionError):
        return None


# ---- answers that come in pieces ------------------------------------------------------------------------------------------------------
class Transcript:
    """Puts the events of a stream together again. `is_complete` from the event on that ends the answer: that one is to be held back."""

    def __init__(self, endpoint: Endpoint, choices: int) -> None:
        self.is_complete = False
        self.failure = ""
        self._endpoint = endpoint
        self._expected = choices
        self._whole: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._text: list[str] = []
        self._add: Callable[[dict[str, Any]], None] = self._add_event if endpoint.final else self._add_chunk

    def add(self, data: bytes) -> None:
        """One event's data. What is no JSON object tells nothing."""
        if data.strip() == b"[DONE]":
            self.is_complete = True
            return
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(document, dict):
            self._add(document)

    def answer(self) -> Answering:
        """What came so far, as a whole answer would have told it."""
        document = self._whole
        if self._choices:
            document = document | {"choices": [_joined(number, choice) for number, choice in sorted(self._choices.items())]}
        if self._text and "output" not in document:
            document = document | {"output": [{"content": [{"text": "".join(self._text), "type": "output_text"}], "type": "message"}]}
        output = document.get(self._endpoint.output)
        return Answering(describe_answer(self._endpoint, document), _encode(output) if output else None)

    def _add_event(self, event: dict[str, Any]) -> None:
        """Of the responses API: the last event has the whole answer, those before it have its text in pieces."""
        kind = event.get("type")
        if kind == "response.output_text.delta" and isinstance(event.get("delta"), str):
            self._text.append(event["delta"])
        if isinstance(event.get("response"), dict):
            self._whole = {**self._whole, **{name: value for name, value in event["response"].items() if value not in (None, [])}}
        if isinstance(kind, str) and kind in self._endpoint.final:
            self.is_complete = True
            self.failure = "UpstreamFailed" if kind in ("response.failed", "error") else ""

    def _add_chunk(self, chunk: dict[str, Any]) -> None:
        self._whole |= {name: chunk[name] for name in ("id", "model", "usage") if chunk.get(name) is not None}
        if chunk.get("error") is not None:
            self.is_complete, self.failure = True, "UpstreamFailed"
        for piece in _dicts(chunk.get("choices")):
            number = piece.get("index")
            if isinstance(number, int) and 0 <= number < 128:
                _join(self._choices.setdefault(number, {"tools": {}}), piece)
        ended = [choice for choice in self._choices.values() if choice.get("finish_reason") is not None]
        self.is_complete = self.is_complete or len(ended) >= self._expected


def _join(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    delta = _dict(piece.get("delta"))
    for name, value in (("text", piece.get("text")), ("content", delta.get("content")), ("refusal", delta.get("refusal"))):
        if isinstance(value, str):
            choice.setdefault(name, []).append(value)
    if isinstance(delta.get("role"), str):
        choice["role"] = delta["role"]
    for call in _dicts(delta.get("tool_calls")):
        tool = choice["tools"].setdefault(str(call.get("index", 0)), {"arguments": []})
        function = _dict(call.get("function"))
        tool |= {name: value for name, value in (("id", call.get("id")), ("name", function.get("name"))) if isinstance(value, str)}
        if isinstance(function.get("arguments"), str):
            tool["arguments"].append(function["arguments"])
    if piece.get("finish_reason") is not None:
        choice["finish_reason"] = piece["finish_reason"]


def _joined(number: int, choice: dict[str, Any]) -> dict[str, Any]:
    """A choice as an answer in one piece has it."""
    told: dict[str, Any] = {"index": number, "finish_reason": choice.get("finish_reason")}
    if "text" in choice:
        return told | {"text": "".join(choice["text"])}
    message: dict[str, Any] = {
        "role": choice.get("role", "assistant"),
        "content": "".join(choice["content"]) if "content" in choice else None,
    }
    if "refusal" in choice:
        message["refusal"] = "".join(choice["refusal"])
    if choice["tools"]:
        calls = [_joined_tool(tool) for _, tool in sorted(choice["tools"].items())]
        message["tool_calls"] = calls
    return told | {"message": message}


def _joined_tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = {"name": tool.get("name"), "arguments": "".join(tool["arguments"])}
    return {"id": tool.get("id"), "type": "function", "function": function}
