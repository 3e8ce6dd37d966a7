"""Asking one node over HTTP. A node is not trusted: answers have a size limit and a time limit, and are parsed strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
UNPAID = 402
"""The status of RequestUnpaid (`oracle.http`)."""
MOST_PROBLEM_CHARACTERS = 500
REQUEST_BYTES = 1024
"""Of a request handed over, without its input and signature: more than there can be."""


class NodeAway(PeerError):
    """The node does not answer at all: no use in asking it about anything else now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """At most one of: a claim (unchecked), a refusal for good, an objection to the fee of a request that was handed over, which the node
    may drop; nothing, or an objection: ask again later."""

    claim: SignedClaim | None = None
    refusal: str | None = None
    objection: str | None = None


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
        told = self._tell(asked) if asked.request.is_signed_off_chain and asked.request_id not in self._told else Answer()
        status, document = self._exchange("GET", f"/v1/claims/{to_hex(asked.request_id)}")
        answer = self._read_answer(asked, status, document)
        return told if answer == Answer() else answer

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
        """Hands several over. Returns those about which there is nothing to ask now: on which the node failed, which it does not take for
        their fee, and which were handed over together with others, since there is no claim yet."""
        if len(asked) == 1 or not self._takes_many:
            return {one.request_id: told for one in asked if (told := self._tell_safely(one)) != Answer()}
        done: dict[Bytes32, Answer | PeerError] = {}
        for some in _in_pieces(asked):
            status, document = self._exchange("POST", "/v1/requests/many", {"requests": [asked_to_json(one) for one in some]})
            items = document.get("requests") if isinstance(document, dict) else None
            if status != 200 or not isinstance(items, dict):
                self._takes_many = False  # another version
                return done | self._tell_all([one for one in asked if one.request_id not in done])
            for one in some:
                item = items.get(to_hex(one.request_id))
                parts = (item.get("status"), item.get("body")) if isinstance(item, dict) else (None, None)
                done[one.request_id] = self._take_told(one, *parts)
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

    def _tell_safely(self, asked: Asked) -> Answer | PeerError:
        try:
            if asked.request.is_signed_off_chain and asked.request_id not in self._told:
                return self._tell(asked)
        except NodeAway:
            raise
        except PeerError as error:
            return error
        return Answer()

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
            return Answer(refusal=_problem(document))
        if status in (202, 404):
            return Answer()
        raise PeerError(f"node {self.url} answered with status {status}")

    def _tell(self, asked: Asked) -> Answer:
        """A refusal here is not for good: the node may not have seen the deposit or the model yet."""
        status, document = self._exchange("POST", "/v1/requests", asked_to_json(asked))
        told = self._take_told(asked, status, document)
        if isinstance(told, PeerError):
            raise told
        return told

    def _take_told(self, asked: Asked, status: object, document: object) -> Answer | PeerError:
        if status in (200, 202):
            self._told.add(asked.request_id)
        elif type(status) is not int or status >= 500:
            return PeerError(f"node {self.url} answered with status {status}")
        elif status == UNPAID and isinstance(document, dict) and is_about_the_fee(problem := _problem(document)):
            return Answer(objection=problem)
        return Answer()

    def _exchange(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON document; the document is None where the body is not JSON of an acceptable size."""
        try:
            with self._http.stream(method, path, json=body) as response:
                if (most := response.headers.get(BATCH_HEADER, "")).isascii() and most.isdigit() and len(most) <= 3:
                    self.most_at_once = max(1, min(int(most), MOST_ASKED_AT_ONCE))
                return response.status_code, _parse(read_bounded(response, f"node {self.url}", MAX_ANSWER_BYTES, MAX_ANSWER_SECONDS))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NodeAway(f"node {self.url} does not answer") from error


def is_about_the_fee(problem: str) -> bool:
    """Whether a node's words say that the fee is too low for it (`oracle.node.intake`), and not that it sees no deposit, which may come."""
    return problem.startswith("RequestUnpaid: request.fee_wei")


def _problem(document: Mapping[str, Any]) -> str:
    return f"{document.get('title', '')}: {document.get('detail', '')}"[:MOST_PROBLEM_CHARACTERS]


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
