"""Asking one node over HTTP. A node is not trusted: answers have a size limit and a time limit, and are parsed strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from oracle.encoding import to_hex
from oracle.errors import MalformedInput, PeerError
from oracle.reading import read_bounded
from oracle.records import Asked, Bytes32, SignedClaim
from oracle.wire import asked_to_json, signed_claim_from_json

TIMEOUT_SECONDS = 5.0  # for connecting, and between two pieces of an answer
MAX_ANSWER_SECONDS = 20.0  # for all of it: a node that drips bytes holds nobody up for longer
MAX_ANSWER_BYTES = 8 << 20
"""Twice the hex of a 1 MiB output, and room for the rest."""


BATCH_HEADER = "affidavit-batch"
"""The node's: how many requests it may be asked about at once."""
MOST_ASKED_AT_ONCE = 64
MOST_TOLD_BYTES = 900_000
REQUEST_BYTES = 1024
"""Of a request handed over, without its input and signature: more than there can be."""


class NodeAway(PeerError):
    """The node does not answer at all: no use in asking it about anything else now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Exactly one of: a claim (unchecked), a refusal for good, or neither: ask again later."""

    claim: SignedClaim | None = None
    refusal: str | None = None


class NodePeer:
    """One node's HTTP door."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, transport=transport, follow_redirects=False)
        self.most_at_once = 1  # as the node says with its answers
        self._takes_many = True  # until it says that it does not
        self._told: set[Bytes32] = set()  # signed requests handed over by this process; the node's memory is what counts

    def __enter__(self) -> NodePeer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def forget_others(self, waiting: Sequence[Bytes32]) -> None:
        """Forgets what was handed over of requests that are not among these: a node may say "later" until a request's deadline."""
        if len(self._told) > len(waiting):
            self._told.intersection_update(waiting)

    def ask(self, asked: Asked) -> Answer:
        """What the node says about a request; a signed one is handed over first.

        Raises NodeAway where it does not answer, PeerError where it answers with something that is no answer.
        """
        if asked.request.is_signed_off_chain and asked.request_id not in self._told:
            self._tell(asked)
        status, document = self._exchange("GET", f"/v1/claims/{to_hex(asked.request_id)}")
        return self._read_answer(asked, status, document)

    def ask_all(self, asked: Sequence[Asked]) -> dict[Bytes32, Answer | PeerError]:
        """What the node says about several requests, at once where it has said that it can be asked so; raises NodeAway as `ask` does.

        About which it says nothing now, is `Answer()`: ask again later.
        """
        if len(asked) == 1 or self.most_at_once < len(asked):
            return {one.request_id: self._ask_safely(one) for one in asked}
        new = [one for one in asked if one.request.is_signed_off_chain and one.request_id not in self._told]
        told: dict[Bytes32, Answer | PeerError] = self._tell_all(new) if new else {}
        rest = [one for one in asked if one.request_id not in told]
        return told | (self._ask_at_once(rest) if rest else {})

    def _tell_all(self, asked: Sequence[Asked]) -> dict[Bytes32, Answer | PeerError]:
        """Hands several over. Returns those about which there is nothing to ask now: on which the node failed, and which were handed over
        together with others, since there is no claim yet."""
        if len(asked) == 1 or not self._takes_many:
            return {one.request_id: error for one in asked if (error := self._tell_safely(one)) is not None}
        done: dict[Bytes32, Answer | PeerError] = {}
        for some in _in_pieces(asked):
            status, document = self._exchange("POST", "/v1/requests/many", {"requests": [asked_to_json(one) for one in some]})
            told = document.get("requests") if isinstance(document, dict) else None
            if status != 200 or not isinstance(told, dict):
                self._takes_many = False  # another version
                return done | self._tell_all([one for one in asked if one.request_id not in done])
            for one in some:
                item = told.get(to_hex(one.request_id))
                done[one.request_id] = self._take_told(one, item.get("status") if isinstance(item, dict) else None) or Answer()
        return done

    def _ask_at_once(self, asked: Sequence[Asked]) -> dict[Bytes32, Answer | PeerError]:
        status, document = self._exchange("POST", "/v1/claims", {"request_ids": [to_hex(one.request_id) for one in asked]})
        claims = document.get("claims") if isinstance(document, dict) else None
        if status != 200 or not isinstance(claims, dict):
            self.most_at_once = 1  # another version took its place
            return {one.request_id: self._ask_safely(one) for one in asked}
        return {one.request_id: self._read_item(one, claims.get(to_hex(one.request_id))) for one in asked}

    def _read_item(self, asked: Asked, item: object) -> Answer | PeerError:
        if item is None:
            return Answer()
        if not isinstance(item, dict) or type(item.get("status")) is not int:
            return PeerError(f"node {self.url} answered about several requests in another form")
        try:
            return self._read_answer(asked, item["status"], item.get("body"))
        except PeerError as error:
            return error

    def _ask_safely(self, asked: Asked) -> Answer | PeerError:
        try:
            return self.ask(asked)
        except NodeAway:
            raise
        except PeerError as error:
            return error

    def _tell_safely(self, asked: Asked) -> PeerError | None:
        try:
            if asked.request.is_signed_off_chain and asked.request_id not in self._told:
                self._tell(asked)
        except NodeAway:
            raise
        except PeerError as error:
            return error
        return None

    def _read_answer(self, asked: Asked, status: int, document: Any) -> Answer:
        """Raises PeerError."""
        if status != 202:
            self._told.discard(asked.request_id)
        if status == 200:
            try:
                return Answer(claim=signed_claim_from_json(document))
            except MalformedInput as error:
                raise PeerError(f"node {self.url} sent a malformed claim") from error
        if status in (422, 500) and isinstance(document, dict) and document.get("state") in ("refused", "broken"):
            return Answer(refusal=f"{document.get('title', '')}: {document.get('detail', '')}"[:500])
        if status in (202, 404):
            return Answer()
        raise PeerError(f"node {self.url} answered with status {status}")

    def _tell(self, asked: Asked) -> None:
        """A refusal here is not for good: the node may not have seen the deposit or the model yet."""
        status, _ = self._exchange("POST", "/v1/requests", asked_to_json(asked))
        if (error := self._take_told(asked, status)) is not None:
            raise error

    def _take_told(self, asked: Asked, status: object) -> PeerError | None:
        if status in (200, 202):
            self._told.add(asked.request_id)
        elif type(status) is not int or status >= 500:
            return PeerError(f"node {self.url} answered with status {status}")
        return None

    def _exchange(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON document; the document is None where the body is not JSON of an acceptable size."""
        try:
            with self._http.stream(method, path, json=body) as response:
                if (most := response.headers.get(BATCH_HEADER, "")).isascii() and most.isdigit() and len(most) <= 3:
                    self.most_at_once = max(1, min(int(most), MOST_ASKED_AT_ONCE))
                return response.status_code, _parse(read_bounded(response, f"node {self.url}", MAX_ANSWER_BYTES, MAX_ANSWER_SECONDS))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NodeAway(f"node {self.url} does not answer") from error


def _in_pieces(asked: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Pieces that fit into one question."""
    piece: list[Asked] = []
    size = 0
    for one in asked:
        mine = 2 * (len(one.input) + len(one.signature)) + REQUEST_BYTES
        if piece and (len(piece) == MOST_ASKED_AT_ONCE or size + mine > MOST_TOLD_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(one)
        size += mine
    if piece:
        yield piece


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # what reads the document refuses None
        return None
