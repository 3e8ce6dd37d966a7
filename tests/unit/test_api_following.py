"""What became of a request: history, server-sent events over a real server, receipts from the chain, proofs from the log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from oracle.audit.proof import verify_proof
from oracle.audit.source import HttpSource
from oracle.encoding import pack_int16, pack_policy, to_hex
from oracle.errors import MalformedInput, ModelRejected, PeerError, ProofRejected, RequestUnknown
from oracle.pipeline.client import ApiClient, Progress, parse_events
from oracle.records import SIGNED_NONCE_START, Asked, Bytes32, Policy
from oracle.relay import store
from oracle.relay.schema import RequestState
from oracle.wire import asked_to_json
from tests.twins.api import OPERATORS, Network, network, served
from tests.twins.chain import CONSUMER

OUTPUT = pack_int16([-2048, -5, 0, 1, 2, 3, 4, 5, 6, 2047])


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path) as made:
        yield made


@pytest.fixture
def client(net: Network) -> TestClient:
    return TestClient(net.app)


@pytest.fixture
def url(net: Network) -> Iterator[str]:
    with served(net.app) as base:
        yield base


def submit(net: Network, **changes: Any) -> Asked:
    asked = net.asked(**changes)
    net.desk.submit(asked)
    return asked


def move(net: Network, request_id: Bytes32, *states: RequestState) -> None:
    """What the relay does to a request, through the relay's own functions."""
    for state in states:
        with net.desk.engine.begin() as connection:
            store.set_state(connection, request_id, state, str(state), net.desk.now(), transaction=to_hex(request_id))


TO_THE_END = (RequestState.QUEUED, RequestState.SENT, RequestState.MINED, RequestState.FINAL)


# ---- state and history ----------------------------------------------------------------------------------------------------------------
def test_state_and_history(net: Network, client: TestClient) -> None:
    asked = submit(net)
    move(net, asked.request_id, *TO_THE_END)
    body = client.get(f"/v1/requests/{to_hex(asked.request_id)}").json()
    assert (body["state"], body["is_final"], body["origin"]) == ("final", True, "signed")
    assert [event["kind"] for event in body["history"]] == ["seen", "queued", "sent", "mined", "final"]
    assert body["request"] == asked_to_json(asked)["request"]


def test_why_a_request_will_come_to_nothing_is_told_while_it_is_collected(net: Network, client: TestClient, url: str) -> None:
    asked, reason = submit(net), "the fee is below what enough operators ask for"
    assert ApiClient(url).progress(asked.request_id) == Progress("collecting", False, None)
    with net.desk.engine.begin() as connection:
        store.set_state(connection, asked.request_id, RequestState.COLLECTING, "underpaid", net.desk.now(), reason)
    body = client.get(f"/v1/requests/{to_hex(asked.request_id)}").json()
    assert (body["state"], body["is_final"], body["reason"]) == ("collecting", False, reason)
    assert body["history"][-1]["kind"] == "underpaid"
    assert client.get("/v1/requests").json()["requests"][0]["reason"] == reason
    assert ApiClient(url).progress(asked.request_id) == Progress("collecting", False, reason)


@pytest.mark.parametrize("lie", [{}, {"state": 1}, {"is_final": "yes"}, {"reason": ["x"]}])
def test_a_progress_that_is_none(lie: dict[str, Any]) -> None:
    told = {"state": "final", "is_final": True, "reason": None} | lie if lie else {}
    api = ApiClient("http://api.test", httpx.MockTransport(lambda _: httpx.Response(200, json=told)))
    with pytest.raises(MalformedInput, match="request of the API"):
        api.progress(Bytes32(bytes(32)))


@pytest.mark.parametrize("end", ["", "/events", "/receipt", "/proof"])
def test_an_unknown_request(end: str, client: TestClient) -> None:
    answer = client.get(f"/v1/requests/0x{'12' * 32}{end}")
    assert (answer.status_code, answer.json()["title"]) == (404, "RequestUnknown")
    assert client.get(f"/v1/requests/0x12{end}").status_code == 422


def test_pages(net: Network, client: TestClient) -> None:
    ids = [to_hex(submit(net, nonce=SIGNED_NONCE_START + i).request_id) for i in range(5)]
    move(net, Bytes32(bytes.fromhex(ids[2][2:])), RequestState.QUEUED)
    first = client.get("/v1/requests?limit=2").json()
    second = client.get(f"/v1/requests?limit=2&cursor={first['cursor']}").json()
    third = client.get(f"/v1/requests?limit=2&cursor={second['cursor']}").json()
    assert [r["request_id"] for page in (first, second, third) for r in page["requests"]] == ids[::-1]
    assert third["cursor"] is None
    assert [r["request_id"] for r in client.get("/v1/requests?state=queued").json()["requests"]] == [ids[2]]
    for bad in ("limit=0", "limit=201", "limit=x", "cursor=-1", "cursor=x", "state=QUEUED", "cursor=" + "9" * 19):
        assert client.get(f"/v1/requests?{bad}").status_code == 422


# ---- server-sent events ---------------------------------------------------------------------------------------------------------------
def test_events_arrive_as_they_happen_and_end_with_the_final_one(net: Network, url: str) -> None:
    asked = submit(net)
    later = threading.Timer(0.6, lambda: move(net, asked.request_id, *TO_THE_END))
    seen: list[tuple[str, float]] = []
    with httpx.stream("GET", f"{url}/v1/requests/{to_hex(asked.request_id)}/events", timeout=10) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        later.start()
        for event in parse_events(response.iter_lines()):
            seen.append((event.kind, time.monotonic()))
    assert [kind for kind, _ in seen] == ["seen", "queued", "sent", "mined", "final"]
    assert seen[1][1] - seen[0][1] > 0.2, "the first event came before the others happened"


def test_what_comes_behind_the_end_is_not_followed(net: Network, url: str) -> None:
    """The claim of an operator who was late: in the history, but the stream ends with what made the request final, however it is read."""
    asked = submit(net)
    move(net, asked.request_id, *TO_THE_END)
    with net.desk.engine.begin() as connection:
        store.add_event(connection, asked.request_id, "claim", net.desk.now(), signer="0x" + "11" * 20)
    path = f"{url}/v1/requests/{to_hex(asked.request_id)}/events"
    every = list(parse_events(iter(httpx.get(path).text.splitlines())))
    assert [e.kind for e in every] == ["seen", "queued", "sent", "mined", "final"]
    for seen in (every[1], every[-1]):
        rest = httpx.get(path, headers={"Last-Event-ID": seen.id}).text
        assert list(parse_events(iter(rest.splitlines()))) == every[every.index(seen) + 1 :]
    assert net.desk.events_since(asked.request_id, 0)[-1].kind == "claim"


def test_a_follower_resumes_where_it_broke_off(net: Network, url: str) -> None:
    asked = submit(net)
    move(net, asked.request_id, *TO_THE_END)
    path = f"{url}/v1/requests/{to_hex(asked.request_id)}/events"
    every = list(parse_events(iter(httpx.get(path).text.splitlines())))
    rest = list(parse_events(iter(httpx.get(path, headers={"Last-Event-ID": every[2].id}).text.splitlines())))
    assert [e.kind for e in every] == ["seen", "queued", "sent", "mined", "final"]
    assert rest == every[3:]
    for bad in ("-1", "x", "1.5", "9" * 19):
        assert httpx.get(path, headers={"Last-Event-ID": bad}).status_code == 422


def test_the_client_reconnects_without_repeating(net: Network, url: str) -> None:
    """A transport that cuts the stream after every first event."""
    asked = submit(net)
    move(net, asked.request_id, *TO_THE_END)
    cuts = []

    class Cutting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            if not request.url.path.endswith("/events"):
                return response
            cuts.append(request.headers.get("last-event-id"))
            whole = response.read().decode().split("\r\n\r\n")
            kept = "\r\n\r\n".join(whole[:1]) + "\r\n\r\n"
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Broken(kept.encode(), len(whole) > 2))

    class Broken(httpx.SyncByteStream):
        def __init__(self, data: bytes, is_cut: bool) -> None:
            self._data, self._is_cut = data, is_cut

        def __iter__(self) -> Iterator[bytes]:
            yield self._data
            if self._is_cut:
                raise httpx.ReadError("connection reset")

    events = list(ApiClient(url, Cutting()).follow(asked.request_id))
    assert [e.kind for e in events] == ["seen", "queued", "sent", "mined", "final"]
    assert cuts == [None, *[e.id for e in events[:-1]]]


def test_a_stream_that_ends_just_before_the_end_costs_the_client_no_event(net: Network, url: str) -> None:
    """The server closes the stream in good order after the first event, and the request becomes final at that moment."""
    asked = submit(net)

    class Closing(httpx.HTTPTransport):
        has_closed = False

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if self.has_closed or not request.url.path.endswith("/events"):
                return super().handle_request(request)
            self.has_closed = True
            seen = net.desk.events_since(asked.request_id, 0)
            move(net, asked.request_id, *TO_THE_END)
            text = "".join(f"id: {e.id}\r\nevent: {e.kind}\r\ndata: {{}}\r\n\r\n" for e in seen)
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)

    assert [e.kind for e in ApiClient(url, Closing()).follow(asked.request_id)] == ["seen", "queued", "sent", "mined", "final"]


def test_the_client_gives_up_on_an_api_that_is_gone(net: Network) -> None:
    with pytest.raises(PeerError):
        ApiClient("http://127.0.0.1:9").request(net.asked().request_id)


def test_the_client_raises_the_apis_own_errors(url: str) -> None:
    with pytest.raises(RequestUnknown):
        ApiClient(url).receipt(Bytes32(bytes(32)))


def test_the_client_believes_no_manifest(net: Network) -> None:
    """An API that serves another model's manifest under an id is found out."""

    manifest = dict(net.desk.model(net.digits).manifest)
    honest = {"manifest": manifest, "parameters": [to_hex(digest) for digest in net.desk.model(net.digits).parameters]}

    def client_of(answer: dict[str, Any]) -> ApiClient:
        return ApiClient("http://api.test", httpx.MockTransport(lambda _: httpx.Response(200, json=answer)))

    lies: list[dict[str, Any]] = [{"manifest": manifest | {"labels": ["a", "b"]}}, {"parameters": []}, {"parameters": ["0x" + "00" * 32]}]
    for lie in lies:
        with pytest.raises(ModelRejected, match="that of model"):
            client_of(honest | lie).model(net.digits)
    assert client_of(honest).model(net.digits).name == manifest["name"]


def test_a_stream_leaves_nothing_behind(net: Network, url: str) -> None:
    asked = submit(net)
    with httpx.stream("GET", f"{url}/v1/requests/{to_hex(asked.request_id)}/events", timeout=10) as response:
        events = parse_events(response.iter_lines())  # kept: a collected generator closes the stream
        assert next(events).kind == "seen"
        assert "affidavit_api_open_streams 1.0" in httpx.get(f"{url}/metrics").text
    for _ in range(100):
        if "affidavit_api_open_streams 0.0" in httpx.get(f"{url}/metrics").text:
            return
        time.sleep(0.05)
    pytest.fail("the stream is still counted as open")


# ---- receipts -------------------------------------------------------------------------------------------------------------------------
def test_a_receipt_says_what_the_chain_says(net: Network, client: TestClient) -> None:
    asked = submit(net)
    assert client.get(f"/v1/requests/{to_hex(asked.request_id)}/receipt").status_code == 404
    net.deliver(asked, OUTPUT)
    body = client.get(f"/v1/requests/{to_hex(asked.request_id)}/receipt").json()
    assert (body["status"], body["callback"], body["available_at"]) == ("FINAL", "NONE", 0)
    assert [s["signer"] for s in body["signers"]] == [account.address for account in OPERATORS[:2]]
    assert [s["index"] for s in body["signers"]] == [0, 1]
    assert body["beneficiaries"] == [s["operator"] for s in body["signers"]]
    assert body["output"] == to_hex(OUTPUT)
    exponent = net.desk.model(net.digits).output.exponent or 0
    assert body["decoded"]["integers"] == [-2048, -5, 0, 1, 2, 3, 4, 5, 6, 2047]
    assert body["decoded"]["real"] == [v * 2.0**-exponent for v in body["decoded"]["integers"]]
    assert body["decoded"]["labels"] == [str(k) for k in range(10)]
    assert body["decoding_problem"] is None


def test_a_receipt_of_a_request_this_api_never_saw(net: Network, client: TestClient) -> None:
    """The chain is what counts, not our database; a wrong output is shown as what it is."""
    net.chain.deploy_consumer()
    asked = net.chain.ask(net.digits, bytes(128), Policy(quorum=2), callback_gas=1)
    net.deliver(asked, b"\1")
    body = client.get(f"/v1/requests/{to_hex(asked.request_id)}/receipt").json()
    assert body["callback"] == "SUCCEEDED"
    assert body["output"] == "0x01"
    assert body["decoded"] is None
    assert "even number" in body["decoding_problem"]
    assert asked.request.requester == CONSUMER


def test_a_pending_receipt(net: Network, client: TestClient) -> None:
    asked = submit(net, policy=pack_policy(Policy(quorum=2, window_seconds=600)))
    net.deliver(asked, OUTPUT)
    body = client.get(f"/v1/requests/{to_hex(asked.request_id)}/receipt").json()
    assert body["status"] == "PENDING"
    assert body["available_at"] == net.chain.time + 600


# ---- proofs ---------------------------------------------------------------------------------------------------------------------------
def test_proofs_verify_offline(net: Network, client: TestClient) -> None:
    asked, other = submit(net), submit(net, nonce=SIGNED_NONCE_START + 8)
    for one in (other, asked, other, asked):
        net.log_intent(one)
    body = client.get(f"/v1/requests/{to_hex(asked.request_id)}/proof").json()
    assert [e["index"] for e in body["entries"]] == [1, 3]
    for entry in body["entries"]:
        proof, checkpoint, record = verify_proof(entry["tlog_proof"].encode(), net.desk.log_key)
        assert (proof.index, checkpoint.note) == (entry["index"], body["checkpoint"])
        assert json.loads(record) == entry["record"]
        assert entry["record"]["audit.request_id"] == to_hex(asked.request_id)
    tampered = body["entries"][0]["tlog_proof"].replace("index 1", "index 2")
    with pytest.raises(ProofRejected):
        verify_proof(tampered.encode(), net.desk.log_key)


def test_a_lying_log_is_not_passed_on(net: Network, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, other = submit(net), submit(net, nonce=SIGNED_NONCE_START + 8)
    net.log_intent(other)
    path = f"/v1/requests/{to_hex(asked.request_id)}/proof"
    assert client.get(path).status_code == 404
    monkeypatch.setattr(HttpSource, "find_entries", lambda self, request_id: [0])
    answer = client.get(path)
    assert (answer.status_code, answer.json()["title"]) == (422, "EntryRejected")
    monkeypatch.setattr(HttpSource, "find_entries", lambda self, request_id: [7])
    assert client.get(path).status_code == 404
    read_tile = HttpSource.read_tile

    def flipped(self: HttpSource, tile: object) -> bytes:
        data = bytearray(read_tile(self, tile))  # type: ignore[arg-type]
        data[-1] ^= 1
        return bytes(data)

    monkeypatch.setattr(HttpSource, "find_entries", lambda self, request_id: [0])
    monkeypatch.setattr(HttpSource, "read_tile", flipped)
    assert client.get(path).json()["title"] in {"ProofRejected", "EntryRejected"}


def test_a_log_that_does_not_answer(net: Network, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net.desk.log, "_http", httpx.Client(base_url="http://127.0.0.1:9"))
    assert client.get(f"/v1/requests/0x{'00' * 32}/proof").status_code == 503
    assert client.get("/ready").json()["checks"]["log"] != "ok"


def test_readiness_when_all_is_well(client: TestClient) -> None:
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": {"database": "ok", "chain": "ok", "log": "ok"}})


def test_time_is_the_later_of_two_clocks(net: Network) -> None:
    now = net.desk.now()
    net.chain.mine(seconds=50)
    assert net.desk.now() == now + timedelta(seconds=50)


# ---- how many may follow ----------------------------------------------------------------------------------------------------------------
def test_more_streams_than_seats_are_refused_and_seats_come_back(tmp_path: Path) -> None:
    with network(tmp_path, max_event_streams=2) as net, served(net.app) as base, httpx.Client(timeout=10) as http:
        asked = submit(net)
        path = f"{base}/v1/requests/{to_hex(asked.request_id)}/events"
        with http.stream("GET", path) as first, http.stream("GET", path) as second:
            assert (first.status_code, second.status_code) == (200, 200)
            for _ in range(3):
                answer = http.get(path)
                assert (answer.status_code, answer.json()["title"]) == (429, "RateLimited")
                assert "at most 2" in answer.json()["detail"]
            assert http.get(f"{base}/v1/requests/{to_hex(asked.request_id)}").status_code == 200  # all else goes on
            assert http.get(f"{base}/v1/requests/0x{'12' * 32}/events").status_code == 404
        move(net, asked.request_id, *TO_THE_END)
        deadline = time.monotonic() + 5
        while (answer := http.get(path)).status_code == 429 and time.monotonic() < deadline:
            time.sleep(0.05)  # the server has yet to see that the two left
        assert answer.status_code == 200
        for _ in range(5):  # streams that ended gave their seats back
            assert http.get(path).status_code == 200
