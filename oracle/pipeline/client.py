"""A client of the public API. What the API says about models is checked against the model id before it is used."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from oracle import errors
from oracle.encoding import canonical_json, compute_model_id, keccak256, parse_bytes32, to_hex
from oracle.errors import MalformedInput, ModelRejected, PeerError, Rejected, RequestUnknown
from oracle.pipeline.catalogue import DescribedModel, describe
from oracle.reading import read_bounded
from oracle.records import Asked, Bytes32, ModelKind
from oracle.wire import asked_to_json

TIMEOUT_SECONDS = 20.0
RECONNECTS = 10
RECONNECT_PAUSE_SECONDS = 0.5
KNOWN_SECONDS = 60.0
MAX_LINE_BYTES = 1 << 20
MAX_EVENT_FIELDS = 8
MAX_ANSWER_BYTES = 16 << 20
"""Of the longest: the entries about a request, with their proofs."""


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One server-sent event: its id, its kind, and its data."""

    id: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request is, as the API tells it.

    `reason`: why it failed or expired; while it is still collected, why it will come to nothing, such as a fee that too few operators take.
    """

    state: str
    is_final: bool
    reason: str | None


class ApiClient:
    """Raises PeerError where the API does not answer, and the API's own error class where it refuses."""

    def __init__(self, base_url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=base_url.rstrip("/"), timeout=TIMEOUT_SECONDS, transport=transport)

    def model(self, model_id: Bytes32) -> DescribedModel:
        """The model's description, from a manifest whose digest gives exactly this id."""
        answer = self._get(f"/v1/models/{to_hex(model_id)}")
        manifest, parameters = answer.get("manifest"), answer.get("parameters")
        if not isinstance(manifest, dict) or not isinstance(parameters, list):
            raise MalformedInput("model of the API", "a manifest and parameters", f"{type(manifest).__name__}, {type(parameters).__name__}")
        return describe_checked(model_id, manifest, [parse_bytes32(digest, "model of the API, parameters") for digest in parameters])

    def submit(self, asked: Asked) -> dict[str, Any]:
        """Posts a signed request. Safe to repeat."""
        return self._decode(self._send("POST", "/v1/requests", json=asked_to_json(asked)))

    def request(self, request_id: Bytes32) -> dict[str, Any]:
        return self._get(f"/v1/requests/{to_hex(request_id)}")

    def progress(self, request_id: Bytes32) -> Progress:
        """Raises MalformedInput where the API says something else."""
        told = self.request(request_id)
        state, is_final, reason = told.get("state"), told.get("is_final"), told.get("reason")
        if not isinstance(state, str) or not isinstance(is_final, bool) or not isinstance(reason, str | None):
            raise MalformedInput(
                "request of the API", "a state, whether it is final, and a reason or null", repr((state, is_final, reason))[:80]
            )
        return Progress(state, is_final, reason)

    def wait_known(self, request_id: Bytes32, seconds: float = KNOWN_SECONDS) -> None:
        """Returns once the API has seen a request that was made on chain. Raises RequestUnknown when it has not in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.request(request_id)
                return
            except RequestUnknown:
                if time.monotonic() > deadline:
                    raise
            time.sleep(RECONNECT_PAUSE_SECONDS)

    def receipt(self, request_id: Bytes32) -> dict[str, Any]:
        return self._get(f"/v1/requests/{to_hex(request_id)}/receipt")

    def proof(self, request_id: Bytes32) -> dict[str, Any]:
        """The log's entries about a request, with their proofs: to be verified, not believed."""
        return self._get(f"/v1/requests/{to_hex(request_id)}/proof")

    def follow(self, request_id: Bytes32) -> Iterator[SentEvent]:
        """Every event of a request until it is final; reconnects where it broke off, without repeating an event."""
        last, failures = "", 0
        while True:
            try:
                # The state is read before the events: whatever made it final is then among them.
                is_final = bool(self.request(request_id).get("is_final"))
                for event in self._stream(request_id, last):
                    last, failures = event.id, 0
                    yield event
                if is_final:  # else the server may have ended the stream for reasons of its own
                    return
            except PeerError:
                failures += 1
                if failures > RECONNECTS:
                    raise
            time.sleep(RECONNECT_PAUSE_SECONDS)

    def _stream(self, request_id: Bytes32, last: str) -> Iterator[SentEvent]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        try:
            with self._http.stream("GET", f"/v1/requests/{to_hex(request_id)}/events", headers=headers) as response:
                if response.status_code != 200:
                    self._decode(self._read(response))
                yield from parse_events(read_lines(response.iter_bytes()))
        except httpx.HTTPError as error:
            raise PeerError(f"the API at {self._http.base_url} broke off") from error

    def _get(self, path: str) -> dict[str, Any]:
        return self._decode(self._send("GET", path))

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            with self._http.stream(method, path, **more) as response:
                return self._read(response)
        except httpx.HTTPError as error:
            raise PeerError(f"the API at {self._http.base_url} does not answer") from error

    def _read(self, streamed: httpx.Response) -> httpx.Response:
        """The same answer with its body, which is no longer than anything an API has to say."""
        body = read_bounded(streamed, f"the API at {self._http.base_url}", MAX_ANSWER_BYTES, TIMEOUT_SECONDS)
        return httpx.Response(streamed.status_code, content=body)

    def _decode(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except (ValueError, RecursionError) as error:
            raise PeerError(f"the API answered {response.status_code} without JSON") from error
        if not isinstance(body, dict):
            raise PeerError("the API answered with something that is not a JSON object") from None
        if response.is_success:
            return body
        raise error_of(response.status_code, body)


def error_of(status: int, body: Mapping[str, Any]) -> errors.AffidavitError:
    """The error a problem document stands for: its class by title where we know it and it is theirs, else PeerError."""
    kind = getattr(errors, str(body.get("title")), None)
    detail = str(body.get("detail", ""))[:500]
    if isinstance(kind, type) and issubclass(kind, Rejected) and kind is not errors.AuditFailed:
        return kind(detail)
    return PeerError(f"the API answered {status}: {detail}")


def read_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines without their ends (LF or CRLF) from pieces of a stream; what is cut off at its end is left out.

    Raises MalformedInput for a line that is too long before more of it is read: it may have no end.
    """
    line = bytearray()
    for piece in pieces:
        for number, part in enumerate(piece.split(b"\n")):
            if number:  # a line ended before this part
                yield line.removesuffix(b"\r").decode("utf-8", "replace")
                line.clear()
            line += part
            if len(line) > MAX_LINE_BYTES:
                raise MalformedInput("event of the API", f"lines of at most {MAX_LINE_BYTES} bytes", "a longer one")


def parse_events(lines: Iterable[str]) -> Iterator[SentEvent]:
    """Server-sent events (WHATWG HTML, section 9.2) from lines without their ends; comments are skipped."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield SentEvent(fields.get("id", ""), fields.get("event", "message"), _event_data(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            if len(fields) > MAX_EVENT_FIELDS:
                raise MalformedInput("event of the API", f"at most {MAX_EVENT_FIELDS} fields", "more")


def _event_data(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("event of the API", "JSON", text[:40]) from error
    if not isinstance(data, dict):
        raise MalformedInput("event of the API", "a JSON object", type(data).__name__)
    return data


def describe_checked(model_id: Bytes32, manifest: Mapping[str, Any], parameters: Sequence[Bytes32]) -> DescribedModel:
    """A description from a manifest somebody else sent, with the digests of the parts of the commitments.

    Raises ModelRejected unless they are those `model_id` stands for.
    """
    try:
        kind = {"canonical": ModelKind.CANONICAL, "opaque": ModelKind.OPAQUE}[manifest["kind"]]
        circuit = manifest["files"]["circuit.bin"]["keccak256"] if kind is ModelKind.CANONICAL else "0x" + "00" * 32
    except (KeyError, TypeError) as error:
        raise ModelRejected("manifest", "the fields of docs/models.md", repr(error)[:80]) from error
    circuit_digest = parse_bytes32(circuit, "manifest.files.circuit.bin.keccak256")
    digest = compute_model_id(kind, keccak256(canonical_json(manifest)), circuit_digest, parameters)
    if digest != model_id:
        raise ModelRejected("manifest", f"that of model {to_hex(model_id)}", f"that of {to_hex(digest)}")
    return describe(model_id, kind, manifest, parameters)
