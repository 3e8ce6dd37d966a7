"""Collecting from nodes that lie, hang, drip, repeat, contradict themselves: nothing of theirs is believed, none of it stops the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import Engine, bindparam, event

from oracle.attest.quorum import verify_quorum
from oracle.encoding import (
    PROOF_SELECTOR,
    QUORUM_ECDSA_SELECTOR,
    compute_claim_digest,
    keccak256,
    pack_proof_evidence,
    to_hex,
    unpack_proof_evidence,
)
from oracle.errors import EntryRejected, InputRejected, LogRefused, OutOfScope, PeerError, RequestRejected, RequestUnknown, Unauthorised
from oracle.node.service import asked_from_json
from oracle.pipeline.relay import make_attestation, make_lane
from oracle.records import Address, Appended, Asked, Bytes32, Delivery, Entry, ModelKind, Policy, Request
from oracle.relay import collect, outbox, peers
from oracle.relay.claims import claims_of, stop_watching, watched_by
from oracle.relay.collect import Collector
from oracle.relay.peers import Answer, NodeAway, NodePeer
from oracle.relay.schema import ENTRIES, REQUESTS, JobKind, RequestState
from oracle.relay.shapes import is_input_needed
from oracle.relay.statements import count_waiting, state_once, write_waiting
from oracle.relay.store import events_since, list_requests, promised_wei, request_view, set_state, submit_signed, take_block, undo_block
from oracle.store import open_database
from oracle.wire import signed_claim_to_json
from tests.twins.chain import ChainTwin
from tests.twins.coprocessor import delivery_call, fake_proof
from tests.twins.older import older_database
from tests.twins.operators import account, address_of, operator_signer, sign_request, signed_by

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TRUTH, LIE = b"the truth", b"a lie"
Handler = Callable[[httpx.Request], httpx.Response]


class StillClock:
    def now(self) -> datetime:
        return NOW


class Scene:
    """A chain with five operators, one request under quorum 3, and a collector over nodes that behave as told."""

    def __init__(self, directory: Path) -> None:
        self.chain = ChainTwin()
        for index in range(5):
            self.chain.register_operator(index, signer=operator_signer(index).address)
        self.model = self.chain.register_model(ModelKind.OPAQUE, keccak256(b"manifest"))
        self.asked = self.chain.ask(self.model, b"input", Policy(quorum=3), fee_wei=10)
        self.engine: Engine = open_database(f"sqlite:///{directory}/relay.sqlite", "relay")
        with self.engine.begin() as connection:
            take_block(connection, [self.asked], NOW)
        self.lane = make_lane(self.engine, self.chain, operator_signer(9), StillClock())  # type: ignore[arg-type]
        self.moment = 0.0

    def collector(self, *handlers: Handler) -> Collector:
        nodes = [NodePeer(f"http://node-{i}.test", httpx.MockTransport(h)) for i, h in enumerate(handlers)]
        chain = self.chain
        attestation = make_attestation(chain.domain, chain.operators, chain.check_proof, chain.check_enclave)
        return Collector(self.lane, nodes, attestation)

    def step(self, collector: Collector, times: int = 1) -> None:
        for _ in range(times):
            self.moment += 60
            collector.step(self.moment)

    def truth(self, index: int, output: bytes = TRUTH) -> Handler:
        return lambda _: self.claim(index, output)

    def claim(self, index: int, output: bytes = TRUTH, **changes: Any) -> httpx.Response:
        document = signed_claim_to_json(signed_by(index, self.asked, output, self.chain.domain))
        return httpx.Response(200, json=document | changes)

    @property
    def state(self) -> RequestState:
        return request_view(self.engine, self.asked.request_id).state

    def kinds(self) -> list[str]:
        return [event.kind for event in events_since(self.engine, self.asked.request_id)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.engine.dispose()


def away(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("hangs")


def test_assembles_exactly_k_of_the_lowest_indices(scene: Scene) -> None:
    scene.step(scene.collector(*[scene.truth(i) for i in (4, 2, 0)]))
    assert scene.state is RequestState.QUEUED
    with scene.engine.begin() as connection:
        job = outbox.find_job(connection, JobKind.DELIVER, scene.asked.request_id)
    assert job is not None
    digest = compute_claim_digest(job.delivery.claim, scene.chain.domain)
    signers = verify_quorum(job.delivery.evidence[0], digest, scene.chain.operators(), 3)
    assert [operator.index for operator in signers] == [0, 2, 4]


def test_one_node_cannot_be_a_quorum(scene: Scene) -> None:
    """Three doors, one key: the same operator counts once, however many nodes repeat its claim."""
    scene.step(scene.collector(*[scene.truth(1)] * 3), 3)
    assert scene.state is RequestState.COLLECTING


def test_two_honest_nodes_and_every_kind_of_garbage(scene: Scene) -> None:
    other = replace(scene.asked, request=replace(scene.asked.request, deadline=scene.asked.request.deadline + 1))
    good = signed_claim_to_json(signed_by(2, scene.asked, TRUTH, scene.chain.domain))
    stranger = signed_by(77, scene.asked, TRUTH, scene.chain.domain)
    bodies: list[Any] = [
        None,
        [],
        "claim",
        {},
        good | {"extra": 1},
        good | {"signature": "0x" + "00" * 65},
        good | {"signature": good["signature"][:-2]},
        good | {"signer": operator_signer(3).address},
        good | {"output": "0x00"},
        good | {"claim": good["claim"] | {"output_digest": "0x" + "11" * 32}},
        good | {"claim": good["claim"] | {"request_id": "0x" + "11" * 32}},
        good | {"claim": good["claim"] | {"model_id": "0x" + "11" * 32}},
        good | {"claim": good["claim"] | {"input_digest": "0x" + "11" * 32}},
        signed_claim_to_json(stranger),
        signed_claim_to_json(signed_by(2, other, TRUTH, replace(scene.chain.domain, chain_id=1))),
    ]
    garbage = iter([*(httpx.Response(200, content=json.dumps(b)) for b in bodies), *(httpx.Response(s) for s in (200, 301, 401, 500, 503))])

    def hostile(_: httpx.Request) -> httpx.Response:
        return next(garbage, httpx.Response(200, content=b"[" * 100_000))

    collector = scene.collector(scene.truth(0), scene.truth(1), hostile)
    scene.step(collector, len(bodies) + 7)
    assert scene.state is RequestState.COLLECTING
    assert scene.kinds().count("claim") == 2


def test_equivocator_counts_for_neither_output(scene: Scene) -> None:
    """Operator 2 answers two doors differently: with it the lie and the truth would each have three."""
    handlers = [scene.truth(0), scene.truth(1), scene.truth(2, LIE), scene.truth(2), scene.truth(3, LIE), scene.truth(4, LIE)]
    collector = scene.collector(*handlers)
    for i in (2, 3, 0, 1, 4, 5):  # both of operator 2's claims are there before any third signer comes
        collector.step_node(collector._nodes[i], 1.0)
    assert scene.state is RequestState.COLLECTING


def test_lie_is_stated_once_and_only_after_the_quorum(scene: Scene) -> None:
    liar = scene.collector(scene.truth(4, LIE), scene.truth(0), scene.truth(1), scene.truth(2))
    scene.step(liar, 3)
    assert scene.kinds().count("lie") == 1
    scene.step(scene.collector(scene.truth(4, LIE), scene.truth(0)), 2)
    with scene.engine.begin() as connection:
        rows = connection.execute(ENTRIES.select()).all()
    assert len(rows) == 1
    assert operator_signer(4).address in rows[0].entry


def test_silent_node_does_not_hold_up_the_others(scene: Scene) -> None:
    scene.step(scene.collector(away, scene.truth(0), away, scene.truth(1), scene.truth(2)))
    assert scene.state is RequestState.QUEUED


def test_node_that_is_away_is_left_alone_for_longer_and_longer(scene: Scene) -> None:
    calls = 0

    def count(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError("refused")

    collector = scene.collector(count)
    for tick in range(1000):
        collector.step(tick * 0.02)  # 20 seconds
    assert 5 <= calls <= 12


def test_requests_no_node_answers_do_not_hide_those_after_them(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as signed requests below the nodes' fee: they cost nothing, stay until their deadline, and could be as many as one likes."""
    monkeypatch.setattr(collect, "MOST_ASKED", 8)
    stuck = [signed(scene, nonce=100 + n) for n in range(30)]
    for asked in stuck:
        submit_signed(scene.engine, scene.chain.domain, asked, NOW)
    handlers = [unless_signed(scene.truth(index)) for index in range(3)]
    collector = scene.collector(*handlers)
    scene.step(collector, 8)
    assert scene.state is RequestState.QUEUED
    scene.asked = scene.chain.ask(scene.model, b"later", Policy(quorum=3), fee_wei=10)
    with scene.engine.begin() as connection:
        take_block(connection, [scene.asked], NOW)
    scene.step(collector)
    assert scene.state is RequestState.QUEUED


def test_pauses_of_requests_that_are_over_are_forgotten(scene: Scene) -> None:
    pauses = collect.Pauses()
    first, second = Bytes32(bytes(32)), Bytes32(bytes(31) + b"1")
    for request_id in pauses.take_turns([first, second], 1.0):
        pauses.later(request_id, 1.0)
    assert pauses.take_turns([second], 1.0) == []
    assert pauses.take_turns([second], 2.0) == [second]
    assert pauses.due.keys() == pauses.length.keys() == {second}


def test_requests_that_are_over_are_forgotten_also_where_no_node_answered(scene: Scene) -> None:
    """A node may say "later" until the deadline: nothing of the request is kept in memory after it."""

    def later(_: httpx.Request) -> httpx.Response:
        return httpx.Response(202, json={"state": "queued"})

    collector = scene.collector(later, later)
    for number in range(20):
        submit_signed(scene.engine, scene.chain.domain, signed(scene, nonce=100 + number), NOW)
    scene.step(collector)
    assert [len(node._told) for node in collector._nodes] == [20, 20]
    with scene.engine.begin() as connection:
        stop_watching(connection, [view.asked.request_id for view in list_requests(scene.engine, None, 100, None)][:15])
    scene.step(collector)
    waiting = len(watched_by(scene.engine, collector._nodes[0].url))
    assert [len(node._told) for node in collector._nodes] == [waiting - 1, waiting - 1]  # one is from the chain, and handed to nobody


def unless_signed(handler: Handler) -> Handler:
    """A node that refuses every signed request at its door, and so knows none of them."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(402, json={"title": "RequestUnpaid"})
        answer = handler(request)
        is_known = request.url.path.endswith(json.loads(answer.content)["claim"]["request_id"])
        return answer if is_known else httpx.Response(404, json={"title": "RequestUnknown"})

    return handle


def test_refusal_is_for_good_and_told(scene: Scene) -> None:
    calls = 0

    def refuse(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(422, json={"state": "refused", "title": "RequestUnpaid", "detail": "too little"})

    scene.step(scene.collector(refuse), 5)
    assert calls == 1
    (told,) = [e for e in events_since(scene.engine, scene.asked.request_id) if e.kind == "claim_refused"]
    assert told.detail["problem"] == "RequestUnpaid: too little"
    assert not request_view(scene.engine, scene.asked.request_id).is_watched


# ---- a fee that is too low -----------------------------------------------------------------------------------------------------------
TOO_LITTLE = "request.fee_wei: expected at least 1000, got 7"


def objecting(detail: str = TOO_LITTLE, title: str = "RequestUnpaid", status: int = 402) -> Handler:
    """A node that does not take a signed request at its door."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(status, json={"title": title, "detail": detail})
        return httpx.Response(404, json={"title": "RequestUnknown"})

    return handle


def refusing(detail: str = TOO_LITTLE, title: str = "RequestUnpaid") -> Handler:
    return lambda _: httpx.Response(422, json={"state": "refused", "title": title, "detail": detail})


def told_of(scene: Scene, asked: Asked) -> str | None:
    return request_view(scene.engine, asked.request_id).reason


def test_a_fee_that_too_many_refuse_is_named_before_the_deadline(scene: Scene) -> None:
    """Quorum 3 of three nodes: one that refuses is one too many. It is said once, and nothing is ended by it."""
    scene.step(scene.collector(refusing(), scene.truth(1), scene.truth(2)), 3)
    assert scene.state is RequestState.COLLECTING
    assert scene.kinds().count("underpaid") == 1
    reason = "the fee is below what enough operators ask for: 1 of 3 nodes refuse it, and 3 must answer. They say: "
    assert told_of(scene, scene.asked) == f"{reason}RequestUnpaid: {TOO_LITTLE}"


def test_a_fee_that_enough_take_is_not_named(scene: Scene) -> None:
    scene.step(scene.collector(refusing(), *[away] * 3), 3)
    assert "underpaid" not in scene.kinds()
    assert told_of(scene, scene.asked) is None
    scene.step(scene.collector(refusing(), *[scene.truth(i) for i in (1, 2, 3)]), 3)
    assert scene.state is RequestState.QUEUED


def test_other_refusals_are_no_matter_of_the_fee(scene: Scene) -> None:
    scene.step(scene.collector(*[refusing("model 0x12: not served here", "ModelUnknown")] * 3), 3)
    assert "underpaid" not in scene.kinds()


def test_a_signed_request_below_the_fee_is_named_and_still_asked_about(scene: Scene) -> None:
    asked = signed(scene)
    submit_signed(scene.engine, scene.chain.domain, asked, NOW)
    nodes = scene.collector(*[objecting()] * 3)
    scene.step(nodes, 4)
    view = request_view(scene.engine, asked.request_id)
    assert view.state is RequestState.COLLECTING
    assert view.is_watched
    assert view.reason is not None
    assert view.reason.startswith("the fee is below what enough operators ask for: 1 of 3 nodes refuse it")
    events = [event.kind for event in events_since(scene.engine, asked.request_id)]
    assert events.count("claim_refused") == 3
    assert events.count("underpaid") == 1
    scene.asked = asked
    scene.step(scene.collector(*[scene.truth(i) for i in range(3)]), 2)  # they ask for less now
    assert scene.state is RequestState.QUEUED
    assert told_of(scene, asked) is None


@pytest.mark.parametrize(
    "node",
    [
        objecting("deposit of 0x12: expected at least 7 wei, got 0"),  # it may be on its way
        objecting(title="RateLimited", status=429),
        objecting(title="RequestUnpaid", status=422),
        lambda _: httpx.Response(402, json=[]),
        lambda _: httpx.Response(402, content=b"{"),
        lambda _: httpx.Response(402, json={"title": ["RequestUnpaid"], "detail": {"request.fee_wei": 1}}),
    ],
    ids=["deposit", "busy", "another status", "no object", "no JSON", "no text"],
)
def test_what_is_no_matter_of_the_fee_is_not_said_to_be(scene: Scene, node: Handler) -> None:
    asked = signed(scene)
    submit_signed(scene.engine, scene.chain.domain, asked, NOW)
    scene.step(scene.collector(*[node] * 3), 3)
    assert told_of(scene, asked) is None
    assert [event.kind for event in events_since(scene.engine, asked.request_id)] == ["seen"]


def test_a_node_s_words_about_a_fee_are_bounded(scene: Scene) -> None:
    """By node and by request: each could say something else whenever it is asked."""
    asked = signed(scene)
    submit_signed(scene.engine, scene.chain.domain, asked, NOW)
    said = iter(range(1000))

    def babbling(request: httpx.Request) -> httpx.Response:
        return objecting(f"request.fee_wei: {next(said)}" + "x" * 100_000)(request)

    for _ in range(3):  # also when it starts again
        scene.step(scene.collector(*[babbling] * 3), 3)
    events = events_since(scene.engine, asked.request_id)
    assert len(events) == 1 + 3 + 1
    assert all(len(json.dumps(event.detail)) < 1500 for event in events)


def test_many_at_once_are_named_too(scene: Scene) -> None:
    several = [signed(scene, nonce=n) for n in range(1, 4)]
    for asked in several:
        submit_signed(scene.engine, scene.chain.domain, asked, NOW)

    def handle(request: httpx.Request) -> httpx.Response:
        headers = {peers.BATCH_HEADER: "64"}
        if request.url.path != "/v1/requests/many":
            return httpx.Response(404, json={"title": "RequestUnknown"}, headers=headers)
        body = {"title": "RequestUnpaid", "detail": TOO_LITTLE}
        told = {to_hex(one.request_id): {"status": 402, "body": body} for one in several}
        return httpx.Response(200, json={"requests": told}, headers=headers)

    scene.step(scene.collector(handle), 3)
    assert all((told_of(scene, asked) or "").startswith("the fee is below") for asked in several)


@pytest.mark.parametrize(
    ("nodes", "words"), [([refusing()] * 3, "the fee is below"), ([refusing("no", "ModelUnknown")], "refused by 1: ModelUnknown: no")]
)
def test_the_end_of_a_request_says_why_nobody_answered(
    scene: Scene, nodes: list[Handler], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.step(scene.collector(*nodes, away, away), 2)
    monkeypatch.setattr(scene.chain, "pending_time", lambda: scene.asked.request.deadline + 1, raising=False)
    assert collect.expire_overdue(scene.lane) == 1
    assert scene.state is RequestState.EXPIRED
    assert words in (told_of(scene, scene.asked) or "")


# ---- one node --------------------------------------------------------------------------------------------------------------------------
def test_answer_without_end_is_cut(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MAX_ANSWER_BYTES", 10_000)
    sent = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal sent
            while True:
                sent += 1000
                yield bytes(1000)

    peer = NodePeer("http://node.test", httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless())))
    with pytest.raises(PeerError, match="10000 bytes"):
        peer.ask(scene.asked)
    assert sent <= 12_000


def test_dripping_answer_is_cut(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 1000, 7))
    monkeypatch.setattr("oracle.reading.time.monotonic", lambda: float(next(moments)))

    class Dripping(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x"

    peer = NodePeer("http://node.test", httpx.MockTransport(lambda _: httpx.Response(200, stream=Dripping())))
    with pytest.raises(PeerError, match="longer than"):
        peer.ask(scene.asked)


def test_redirects_are_not_followed(scene: Scene) -> None:
    seen: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(307, headers={"location": "http://elsewhere.test/"})

    with pytest.raises(PeerError, match="307"):
        NodePeer("http://node.test", httpx.MockTransport(redirect)).ask(scene.asked)
    assert seen == ["node.test"]


def test_no_connection_is_node_away(scene: Scene) -> None:
    with pytest.raises(NodeAway):
        NodePeer("http://127.0.0.1:9").ask(scene.asked)


def test_signed_request_is_handed_over_again_when_the_node_forgot_it(scene: Scene) -> None:
    asked = signed(scene)
    log: list[str] = []

    def forgetful(request: httpx.Request) -> httpx.Response:
        log.append(request.method)
        if request.method == "POST":
            assert json.loads(request.content).keys() == {"request", "signature", "input"}
            return httpx.Response(202, json={})
        return httpx.Response(404 if log.count("GET") == 1 else 202, json={"state": "queued"})

    peer = NodePeer("http://node.test", httpx.MockTransport(forgetful))
    for _ in range(3):
        peer.ask(asked)
    assert log == ["POST", "GET", "POST", "GET", "GET"]


def serving(calls: list[tuple[str, str]], answer: Callable[[list[str]], httpx.Response], most: str = "64") -> Handler:
    """A node of the newer kind: it says that it can be asked about several at once, and answers those as told."""

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append((request.method, request.url.path.split("/0x")[0]))
        if request.method == "POST" and request.url.path == "/v1/claims":
            return answer(json.loads(request.content)["request_ids"])
        return httpx.Response(202, json={"state": "queued"}, headers={"affidavit-batch": most})

    return handle


def test_a_node_that_says_so_is_asked_about_all_at_once(scene: Scene) -> None:
    """One by one until it has said so; then every request is judged as if it had been asked about alone."""
    second, third = signed(scene, 1), signed(scene, 2)
    for asked in (second, third):
        submit_signed(scene.engine, scene.chain.domain, asked, NOW)
    calls: list[tuple[str, str]] = []

    def answer(ids: list[str]) -> httpx.Response:
        claim = {"status": 200, "body": json.loads(scene.claim(0).content)}
        refusal = {"status": 422, "body": {"state": "refused", "title": "RequestUnpaid", "detail": "too little"}}
        known = {to_hex(scene.asked.request_id): claim, to_hex(second.request_id): refusal}
        return httpx.Response(200, json={"claims": {one: known[one] for one in ids if one in known}})

    collector = scene.collector(serving(calls, answer))
    scene.step(collector)
    told = [("POST", "/v1/requests/many"), ("POST", "/v1/requests"), ("POST", "/v1/requests")]  # it does not know the first
    assert calls == [("GET", "/v1/claims"), *told, ("POST", "/v1/claims")]
    del calls[:]
    scene.step(collector)
    assert calls == [("POST", "/v1/claims")]
    with scene.engine.begin() as connection:
        assert [c.signer for c in claims_of(connection, scene.asked)] == [operator_signer(0).address]
    assert not request_view(scene.engine, second.request_id).is_watched
    assert request_view(scene.engine, third.request_id).is_watched  # nothing was said about it: later


def test_several_are_handed_over_together_and_not_asked_about_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepted, refused for now, failed, forgotten by the answer: each as if it had been handed over alone. No more than fit at a time."""
    monkeypatch.setattr(peers, "MOST_TOLD_BYTES", 6 * peers.REQUEST_BYTES)
    asked = [signed(scene, nonce) for nonce in range(1, 8)]
    statuses: list[object] = [202, 402, 503, None, 202, True, 200]
    by_id = dict(zip([to_hex(one.request_id) for one in asked], statuses, strict=True))
    calls: list[list[str]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        document = json.loads(request.content)
        if request.url.path == "/v1/requests/many":
            told = [to_hex(asked_from_json(one, scene.chain.domain).request_id) for one in document["requests"]]
            calls.append(told)
            return httpx.Response(200, json={"requests": {i: {"status": by_id[i], "body": {}} for i in told if by_id[i] is not None}})
        calls.append(document["request_ids"])
        return httpx.Response(200, json={"claims": {}})

    peer = NodePeer("http://node.test", httpx.MockTransport(handle))
    peer.most_at_once = 64
    answers = peer.ask_all(asked)
    assert [isinstance(answers[one.request_id], PeerError) for one in asked] == [False, False, True, True, False, True, False]
    assert [len(told) for told in calls] == [5, 2]
    assert [one for told in calls for one in told] == list(by_id)
    del calls[:]
    peer.ask_all(asked)
    again = [to_hex(one.request_id) for one, status in zip(asked, statuses, strict=True) if status not in (202, 200)]
    assert calls[0] == again
    assert calls[-1] == [one for one in by_id if one not in again]  # only these have been taken, and may be answered by now


@pytest.mark.parametrize("document", [[], {}, {"requests": []}, "text", None])
def test_a_node_that_does_not_take_several_is_told_one_by_one(scene: Scene, document: Any) -> None:
    calls: list[tuple[str, str]] = []
    serve = serving(calls, lambda _: httpx.Response(200, json={"claims": {}}))

    def handle(request: httpx.Request) -> httpx.Response:
        answer = serve(request)
        return httpx.Response(200, json=document) if request.url.path == "/v1/requests/many" else answer

    peer = NodePeer("http://node.test", httpx.MockTransport(handle))
    peer.most_at_once = 64
    peer.ask_all([signed(scene, 1), signed(scene, 2)])
    peer.ask_all([signed(scene, 3), signed(scene, 4)])
    paths = [path for _, path in calls]
    assert paths == ["/v1/requests/many", *["/v1/requests"] * 2, "/v1/claims", *["/v1/requests"] * 2, "/v1/claims"]


@pytest.mark.parametrize(
    "document",
    [[], {}, {"claims": []}, {"claims": {}}, "text", {"claims": {"0x": 1}}],
)
def test_nonsense_about_several_is_no_answer_about_any(scene: Scene, document: Any) -> None:
    asked = [scene.asked, signed(scene)]
    peer = NodePeer("http://node.test", httpx.MockTransport(serving([], lambda _: httpx.Response(200, json=document))))
    peer.ask(scene.asked)
    assert peer.most_at_once == 64
    assert all(answer == Answer() for answer in peer.ask_all(asked).values())


@pytest.mark.parametrize("item", [1, [], {}, {"status": "200"}, {"status": True}, {"status": 200, "body": {}}, {"status": 503, "body": {}}])
def test_nonsense_about_one_leaves_the_others(scene: Scene, item: Any) -> None:
    first, second = scene.asked, signed(scene)

    def answer(ids: list[str]) -> httpx.Response:
        return httpx.Response(200, json={"claims": {ids[0]: item, ids[1]: {"status": 200, "body": json.loads(scene.claim(0).content)}}})

    peer = NodePeer("http://node.test", httpx.MockTransport(serving([], answer)))
    peer.ask(first)
    answers = peer.ask_all([first, second])
    assert isinstance(answers[first.request_id], PeerError)
    assert isinstance(answers[second.request_id], Answer)


def test_an_older_node_in_its_place_is_asked_one_by_one_again(scene: Scene) -> None:
    calls: list[tuple[str, str]] = []
    peer = NodePeer("http://node.test", httpx.MockTransport(serving(calls, lambda _: httpx.Response(404), most="64")))
    peer.ask(scene.asked)
    del calls[:]
    assert all(answer == Answer() for answer in peer.ask_all([scene.asked, signed(scene)]).values())
    assert [call for call in calls if call[0] == "GET"] == [("GET", "/v1/claims")] * 2


def test_what_fails_for_many_requests_is_told_once(scene: Scene) -> None:
    for nonce in range(5):
        submit_signed(scene.engine, scene.chain.domain, signed(scene, nonce), NOW)
    collector = scene.collector(lambda _: httpx.Response(503, json={"title": "full"}, headers={"affidavit-batch": "64"}))
    scene.step(collector)  # the first answer says how many can be asked about together
    with structlog.testing.capture_logs() as told:
        scene.step(collector)
    assert [(line["event"], line["requests"]) for line in told] == [("a node's answer is none", 6)]


@pytest.mark.parametrize(
    ("most", "meant"), [("0", 1), ("1", 1), ("3", 3), ("64", 64), ("999", 64), ("1000", 1), ("-1", 1), ("²", 1), ("x", 1), ("", 1)]
)
def test_what_a_node_says_it_can_take_is_bounded(scene: Scene, most: str, meant: int) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(202, json={"state": "queued"}, headers=[(b"affidavit-batch", most.encode("latin-1"))])

    peer = NodePeer("http://node.test", httpx.MockTransport(handle))
    peer.ask(scene.asked)
    assert peer.most_at_once == meant


# ---- the store -------------------------------------------------------------------------------------------------------------------------
def signed(scene: Scene, nonce: int = 1, **changes: Any) -> Asked:
    requester = address_of("requester")
    fields = {"model_id": scene.model, "input_digest": keccak256(b"input"), "policy": scene.asked.request.policy, "fee_wei": 7}
    fields |= {"callback_gas": 0, "deadline": scene.chain.time + 600, "nonce": (1 << 128) + nonce} | changes
    return sign_request(Request(requester, requester, **fields), b"input", account("requester"), scene.chain.domain)


def test_submitting_twice_changes_nothing(scene: Scene) -> None:
    asked, domain = signed(scene), scene.chain.domain
    assert submit_signed(scene.engine, domain, asked, NOW) is RequestState.COLLECTING
    assert submit_signed(scene.engine, domain, asked, NOW) is RequestState.COLLECTING
    assert [v.asked.request_id for v in list_requests(scene.engine)] == [asked.request_id, scene.asked.request_id]
    assert request_view(scene.engine, asked.request_id).asked == asked
    with scene.engine.connect() as connection:
        assert promised_wei(connection, asked.request.requester) == 7


def test_what_a_requester_owes_is_the_sum_of_its_open_signed_requests(scene: Scene) -> None:
    """Also of fees that no 64 bits hold; not of requests that paid on chain, of others', or of those at an end."""
    fees = [7, 7, 1 << 200, (1 << 64) - 1, 0]
    asked = [signed(scene, nonce, fee_wei=fee) for nonce, fee in enumerate(fees)]
    for one in asked:
        submit_signed(scene.engine, scene.chain.domain, one, NOW)
    with scene.engine.begin() as connection:
        requester = asked[0].request.requester
        assert promised_wei(connection, requester) == sum(fees)
        assert promised_wei(connection, Address("0x" + 40 * "9")) == 0
        set_state(connection, asked[0].request_id, RequestState.EXPIRED, "expired", NOW)
        set_state(connection, asked[2].request_id, RequestState.QUEUED, "agreed", NOW)
        assert promised_wei(connection, requester) == sum(fees) - 7
    asked_for: list[tuple[str, Any]] = []
    event.listen(scene.engine, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: asked_for.append((sql, values)))
    with scene.engine.begin() as connection:
        promised_wei(connection, requester)
        sql, values = asked_for[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
    assert "COVERING INDEX requests_requester" in plan[0][-1]  # rows, which hold inputs, are not read


def test_what_was_owed_before_there_was_a_column_for_it_still_is(tmp_path: Path) -> None:
    url, row = f"sqlite:///{tmp_path}/relay.sqlite", {"requester": "0x" + 40 * "1", "deadline": 1, "state": "sent", "is_watched": False}
    row |= {"input": b"", "updated": "", "block_number": None, "block_hash": None, "transaction": None, "reason": None}
    kept = REQUESTS.insert().values({name: bindparam(name) for name in (*row, "request_id", "request", "signature")})
    with older_database(url, "relay", "relay_0007") as connection:
        for number, signature in enumerate((bytes(65), b"", bytes(65))):
            request = json.dumps({"fee_wei": str(10**30 + number)})
            connection.execute(kept, row | {"request_id": bytes(31) + bytes([number]), "request": request, "signature": signature})
    with open_database(url, "relay").begin() as connection:
        assert promised_wei(connection, Address(row["requester"])) == 2 * 10**30 + 2


def test_malformed_submissions_are_refused_and_leave_nothing(scene: Scene) -> None:
    asked, domain = signed(scene), scene.chain.domain
    bad: list[tuple[Asked, type[Exception]]] = [
        (replace(asked, signature=b""), RequestRejected),
        (replace(asked, request_id=Bytes32(bytes(32))), RequestRejected),
        (replace(asked, input=b"other"), InputRejected),
        (replace(scene.asked, signature=asked.signature), RequestRejected),
    ]
    for one, error in bad:
        with pytest.raises(error):
            submit_signed(scene.engine, domain, one, NOW)
    with pytest.raises(RequestRejected):
        submit_signed(scene.engine, replace(domain, chain_id=1), asked, NOW)
    assert len(list_requests(scene.engine)) == 1
    with pytest.raises(RequestUnknown):
        request_view(scene.engine, asked.request_id)


def test_jobs_that_are_put_off_again_and_again_let_new_ones_pass(scene: Scene) -> None:
    """A deposit that was withdrawn leaves a delivery that is looked at until its deadline: as many as one likes for one wei each."""
    for n in range(30):
        asked = signed(scene, nonce=100 + n)
        submit_signed(scene.engine, scene.chain.domain, asked, NOW)
        with scene.engine.begin() as connection:
            outbox.enqueue(connection, JobKind.DELIVER, asked.request_id, {})
            for job in outbox.due_jobs(connection, 1000, 1):
                outbox.postpone(connection, job, 1000, "Unpaid")
    with scene.engine.begin() as connection:
        outbox.enqueue(connection, JobKind.DELIVER, scene.asked.request_id, {})
        due = outbox.due_jobs(connection, 2000, 8)
    assert due[0].asked.request_id == scene.asked.request_id


def test_pages_and_events_resume(scene: Scene) -> None:
    for nonce in range(5):
        submit_signed(scene.engine, scene.chain.domain, signed(scene, nonce), NOW)
    seen, before = [], None
    while page := list_requests(scene.engine, RequestState.COLLECTING, limit=2, before_id=before):
        seen += [view.asked.request_id for view in page]
        before = page[-1].id
    assert len(seen) == len(set(seen)) == 6
    (event,) = events_since(scene.engine, scene.asked.request_id)
    assert events_since(scene.engine, scene.asked.request_id, event.id) == []


def test_vanished_block_drops_its_requests_only(scene: Scene) -> None:
    asked = signed(scene)
    submit_signed(scene.engine, scene.chain.domain, asked, NOW)
    (block,) = scene.chain.reorg(1)
    with scene.engine.begin() as connection:
        assert undo_block(connection, block, NOW) == [scene.asked.request_id]
    assert scene.state is RequestState.DROPPED
    assert request_view(scene.engine, asked.request_id).state is RequestState.COLLECTING
    with scene.engine.begin() as connection:
        take_block(connection, [scene.asked], NOW)
    assert scene.state is RequestState.COLLECTING
    assert scene.kinds() == ["seen", "dropped", "seen_again"]


# ---- statements ------------------------------------------------------------------------------------------------------------------------
class StrictLog:
    """Refuses what it is told to; counts what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Entry]] = []
        self.failures: dict[str, Exception] = {}
        self.batches: list[int] = []

    def append_batch(self, items: Sequence[tuple[Entry, str | None]]) -> list[Appended]:
        """All or none, as the log does."""
        self.batches.append(len(items))
        for _, key in items:
            if key in self.failures:
                raise self.failures[key]
        return [self.append(entry, str(key)) for entry, key in items]

    def append(self, entry: Entry, key: str) -> Appended:
        if key in self.failures:
            raise self.failures[key]
        self.given.append((key, entry))
        return Appended(len(self.given) - 1, keccak256(key.encode()), len(self.given))


def keep(scene: Scene, *keys: str) -> None:
    with scene.engine.begin() as connection:
        for key in keys:
            state_once(connection, key, scene.lane.entries.failure(scene.asked, "test", key, NOW))


def test_statement_is_made_once(scene: Scene) -> None:
    keep(scene, "a", "b", "a")
    log = StrictLog()
    assert write_waiting(scene.engine, log) == 2
    assert log.batches == [2]
    assert write_waiting(scene.engine, log) == 0
    keep(scene, "a")
    assert write_waiting(scene.engine, log) == 0
    assert [key for key, _ in log.given] == ["a", "b"]


@pytest.mark.parametrize("failure", [PeerError("away"), LogRefused("anchor"), Unauthorised("token"), OutOfScope("token")])
def test_statements_wait_in_order_while_the_log_is_away(scene: Scene, failure: Exception) -> None:
    keep(scene, "a", "b", "c")
    log = StrictLog()
    log.failures["b"] = failure
    assert write_waiting(scene.engine, log) == 1
    assert count_waiting(scene.engine) == 2
    log.failures.clear()
    assert write_waiting(scene.engine, log) == 2
    assert [key for key, _ in log.given] == ["a", "b", "c"]


def test_refused_statement_is_set_aside(scene: Scene) -> None:
    keep(scene, "a", "b", "c")
    log = StrictLog()
    log.failures["b"] = EntryRejected("field", "x", "y")
    assert write_waiting(scene.engine, log) == 2
    assert count_waiting(scene.engine) == 0
    with scene.engine.begin() as connection:
        refused = connection.execute(ENTRIES.select().where(ENTRIES.c.refusal.is_not(None))).one()
    assert (refused.key, refused.refusal) == ("b", "field: expected x, got y")


def test_second_attempt_sends_the_same_entry(scene: Scene) -> None:
    keep(scene, "a")
    first = StrictLog()

    class Forgetting(StrictLog):
        def append(self, entry: Entry, key: str) -> Appended:
            super().append(entry, key)
            raise PeerError("the answer was lost")

    lossy = Forgetting()
    write_waiting(scene.engine, lossy)
    write_waiting(scene.engine, first)
    assert lossy.given == first.given


# ---- proofs --------------------------------------------------------------------------------------------------------------------
def demand(scene: Scene, policy: Policy) -> None:
    """Another request, under another policy, in place of the scene's."""
    scene.asked = scene.chain.ask(scene.model, b"input", policy, fee_wei=10)
    with scene.engine.begin() as connection:
        take_block(connection, [scene.asked], NOW)


def prove(scene: Scene, index: int, output: bytes = TRUTH, paid: Address | None = None, **changes: Any) -> Handler:
    """A node that signs and proves; `changes` lie about the proof."""
    signed = signed_by(index, scene.asked, output, scene.chain.domain)
    beneficiary = paid or address_of("prover")
    evidence = pack_proof_evidence(beneficiary, fake_proof(signed.claim, beneficiary))
    document = signed_claim_to_json(replace(signed, proof=evidence.data)) | changes
    return lambda _: httpx.Response(200, json=document)


def delivery_of(scene: Scene) -> Delivery:
    with scene.engine.begin() as connection:
        job = outbox.find_job(connection, JobKind.DELIVER, scene.asked.request_id)
    assert job is not None
    return job.delivery


def test_a_proof_alone_is_delivered_with_the_input(scene: Scene) -> None:
    demand(scene, Policy(proof=True))
    scene.step(scene.collector(prove(scene, 0)))
    assert scene.state is RequestState.QUEUED
    (evidence,) = delivery_of(scene).evidence
    assert evidence.selector == PROOF_SELECTOR
    assert unpack_proof_evidence(evidence.data)[0] == address_of("prover")
    assert is_input_needed(delivery_of(scene))
    deliver(scene)


def test_a_signature_does_not_replace_a_proof_nor_the_other_way_round(scene: Scene) -> None:
    demand(scene, Policy(proof=True))
    scene.step(scene.collector(*[scene.truth(i) for i in range(5)]))
    assert scene.state is RequestState.COLLECTING
    demand(scene, Policy(quorum=3, proof=True))
    scene.step(scene.collector(prove(scene, 0), scene.truth(1), silent))
    assert scene.state is RequestState.COLLECTING
    scene.step(scene.collector(prove(scene, 0), scene.truth(1), scene.truth(2)))
    assert scene.state is RequestState.QUEUED
    assert [e.selector for e in delivery_of(scene).evidence] == [QUORUM_ECDSA_SELECTOR, PROOF_SELECTOR]
    deliver(scene)


def silent(_: httpx.Request) -> httpx.Response:
    return httpx.Response(202, json={"state": "queued"})


def deliver(scene: Scene) -> None:
    """The chain accepts what was assembled."""
    scene.chain.send(address_of("relay"), delivery_call(delivery_of(scene)))
    scene.chain.mine()
    assert scene.chain.delivery_of(scene.asked.request_id) is not None


def test_proofs_that_do_not_hold_are_nobodys(scene: Scene) -> None:
    """A node that sends such a proof is asked again, and is no obstacle to one that proves."""
    demand(scene, Policy(proof=True))
    stolen = prove(scene, 1)(httpx.Request("GET", "http://node.test")).json()["proof"]
    moved = "0x" + "22" * 20 + stolen[42:]
    bad = [{"proof": lie} for lie in ("0x", "0x" + "11" * 20, stolen[:-2] + "00", moved, 7)]
    for changes in bad:
        scene.step(scene.collector(prove(scene, 1, **changes), silent))
        assert scene.state is RequestState.COLLECTING
    scene.step(scene.collector(silent, prove(scene, 2)))
    assert scene.state is RequestState.QUEUED


def test_a_proof_of_one_request_is_none_of_another(scene: Scene) -> None:
    demand(scene, Policy(proof=True))
    first = prove(scene, 0)(httpx.Request("GET", "http://node.test")).json()["proof"]
    demand(scene, Policy(proof=True))
    scene.step(scene.collector(prove(scene, 0, proof=first)))
    assert scene.state is RequestState.COLLECTING


def test_a_quorum_of_liars_cannot_use_somebody_elses_proof(scene: Scene) -> None:
    demand(scene, Policy(quorum=2, proof=True))
    scene.step(scene.collector(prove(scene, 0), scene.truth(1, LIE), scene.truth(2, LIE), silent))
    assert scene.state is RequestState.COLLECTING
    scene.step(scene.collector(prove(scene, 0), scene.truth(1, LIE), scene.truth(2, LIE), scene.truth(3)))
    assert scene.state is RequestState.COLLECTING  # two outputs with two signers each: nobody can say which is true
    assert "disagreement" in scene.kinds()
