"""The log's HTTP door and its client, against each other and against hostile others."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from oracle.audit.access import Access, hash_token, load_access, new_token, write_tokens
from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.client import LogClient
from oracle.audit.content import Content
from oracle.audit.proof import verify_proof
from oracle.audit.record import entry_to_json
from oracle.audit.source import HttpSource
from oracle.audit.tiles import ENTRIES, Tile, parse_bundle
from oracle.encoding import keccak256, to_hex
from oracle.errors import ConfigRejected, EntryRejected, LogRefused, MalformedInput, PeerError, TooLarge, Unauthorised
from oracle.records import Entry, EntryKind
from tests.twins.log_service import LogService
from tests.twins.logs import KEY, entry, full_check, read_bundles, secret_entry


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LogService]:
    with LogService(tmp_path, "node-1", "node-2") as running:
        yield running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogService]:
    """A service in which nothing is ever written."""
    with LogService(tmp_path_factory.mktemp("log"), "node-1") as running:
        yield running
    assert running.log.refusal is not None  # closed


def client_of(service: LogService, writer: str = "node-1", **options: Any) -> LogClient:
    return LogClient(service.url, service.tokens[writer], pause_seconds=0.01, **options)


def post(service: LogService, body: Any, token: str | None = "node-1") -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {service.tokens.get(token, token)}"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(service.url + "/append", content=content, headers=headers)


def test_what_a_client_appends_is_there_for_everybody(service: LogService) -> None:
    one, two = client_of(service), client_of(service, "node-2")
    assert [one.append(entry(1)).index, two.append(entry(2)).index] == [0, 1]
    source = HttpSource(service.url)
    checkpoint = open_checkpoint(source.read_checkpoint(), KEY.verifier)
    assert checkpoint.size == 2
    records = [json.loads(r) for r in parse_bundle(source.read_tile(Tile(ENTRIES, 0, 2)), 2)]
    assert [(r["audit.writer"], r["test.number"]) for r in records] == [("node-1", 1), ("node-2", 2)]


def test_headers_of_static_files(service: LogService) -> None:
    client_of(service).append(entry(1))
    checkpoint = httpx.get(service.url + "/checkpoint")
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "no-cache"
    tile = httpx.get(service.url + "/tile/0/000.p/1")
    assert (tile.headers["content-type"], len(tile.content)) == ("application/octet-stream", 32)
    assert "immutable" in tile.headers["cache-control"]
    packed = httpx.get(service.url + "/tile/entries/000.p/1", headers={"accept-encoding": "gzip"})
    plain = httpx.get(service.url + "/tile/entries/000.p/1", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content == gzip.decompress(gzip.compress(plain.content))


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/001",
        "/tile/0/000",
        "/tile/0/000.p/1",
        "/tile/0/0",
        "/tile/entries/%2e%2e/%2e%2e/checkpoint",
        "/tile/../checkpoint",
        "/tile/0/000.p/1.tmp",
        "/tile//etc/passwd",
        "/sequencer.lock",
        "/proof/0",
        "/proof/99999999",
    ],
)
def test_what_is_not_there(empty: LogService, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", int(empty.url.rsplit(":", 1)[1]))  # sends the path exactly as written
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    connection.close()


def test_proof_is_a_file_that_verifies_offline(service: LogService) -> None:
    for number in range(5):
        client_of(service).append(entry(number))
    data = httpx.get(service.url + "/proof/3").content
    proof, checkpoint, record = verify_proof(data, KEY.verifier)
    assert (proof.index, checkpoint.size, json.loads(record)["test.number"]) == (3, 5, 3)


def test_bodies_and_the_index_are_for_readers(service: LogService) -> None:
    fields: dict[str, Any] = entry(1, call=7).fields | {"audit.input_digest": to_hex(keccak256(b"input"))}
    client = client_of(service)
    client.append(Entry(EntryKind.ERROR, entry(1).time, fields, {"audit.input_digest": b"input"}))
    client.append(entry(2))
    client.append(entry(3, call=7))
    reader = HttpSource(service.url, service.reader_token)
    assert reader.find_entries(keccak256(b"unknown")) == []
    request_id = bytes(31) + b"\x07"
    assert reader.find_entries(request_id) == [0, 2]  # type: ignore[arg-type]
    size = service.log.checkpoint.size
    assert reader.read_contents(0, size) == {0: Content(None, {"audit.input_digest": b"input"})}
    assert service.log.checkpoint.size == size + 1, "who read it is in the log"
    told = json.loads(read_bundles(service.directory / "log", size + 1)[size])
    assert (told["audit.kind"], told["audit.actor"], told["audit.disclosure.indices"]) == ("disclosure", "auditor", ["0"])
    assert reader.read_contents(1, 3) == {}
    assert service.log.checkpoint.size == size + 1, "nothing was shown"
    stranger = HttpSource(service.url)
    assert stranger.find_entries(request_id) is None  # type: ignore[arg-type]
    assert stranger.read_contents(0, 1) == {}
    for token in (None, "Bearer", "Bearer x", f"Basic {service.reader_token}", f"Bearer {service.tokens['node-1']}"):
        headers = {} if token is None else {"authorization": token}
        for path in ("/content?first=0&end=1", f"/entries?request_id=0x{request_id.hex()}"):
            assert httpx.get(service.url + path, headers=headers).status_code == 401
    with pytest.raises(Unauthorised):
        HttpSource(service.url, "wrong").read_contents(0, 1)


def test_a_batch_over_http(service: LogService) -> None:
    client = client_of(service)
    places = client.append_batch([(secret_entry(i), f"k{i}") for i in range(5)])
    assert [place.index for place in places] == list(range(5))
    assert client.append_batch([(secret_entry(3), "k3"), (entry(9), None)])[0].index == 3
    with pytest.raises(EntryRejected):
        client.append_batch([(entry(10), "k10"), (Entry(EntryKind.RESULT, entry(1).time, {}), "k11")])
    with pytest.raises(TooLarge):
        client.append_batch([(entry(i), None) for i in range(1025)])
    with pytest.raises(LogRefused):
        client.append_batch([(entry(12), "k3")])
    for body in (b"{}", b'{"items": {}}', b'{"items": [7]}', b'{"items": [{"key": 7, "entry": {}}]}'):
        headers = {"authorization": f"Bearer {service.tokens['node-1']}"}
        assert httpx.post(service.url + "/batch", content=body, headers=headers).status_code == 400
    assert httpx.post(service.url + "/batch", content=b'{"items": []}').status_code == 401
    assert [r["test.number"] for r in full_check(service.directory)] == [0, 1, 2, 3, 4, 9]


GOOD = {"key": None, "entry": entry_to_json(entry(1))}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"\xff", 400),
        (b'{"key":1e999,"entry":NaN}', 400),
        ([], 400),
        ({"entry": GOOD["entry"]}, 400),
        (GOOD | {"more": 1}, 400),
        (GOOD | {"key": 7}, 400),
        (GOOD | {"key": ""}, 422),
        (GOOD | {"entry": {"kind": "error"}}, 400),
        ({"key": None, "entry": entry_to_json(entry(1)) | {"kind": "gossip"}}, 422),
        ({"key": None, "entry": entry_to_json(entry(1)) | {"kind": 7}}, 422),
        ({"key": None, "entry": entry_to_json(entry(1)) | {"kind": ["error"]}}, 422),
        ({"key": None, "entry": entry_to_json(entry(1)) | {"time": 7}}, 422),
        ({"key": None, "entry": entry_to_json(entry(1)) | {"fields": []}}, 422),
        ({"key": None, "entry": entry_to_json(entry(1)) | {"bodies": {"a.b": "xyz"}}}, 400),
        ({"key": None, "entry": entry_to_json(entry(1)) | {"bodies": {"a.b": "0x"}}}, 422),
        ({"key": None, "entry": entry_to_json(entry(1, **{"audit.writer": "node-2"}))}, 422),
        ({"key": None, "entry": entry_to_json(entry(1, **{"a.b": 2**60}))}, 422),
        ({"key": None, "entry": entry_to_json(entry(1, **{"a.b": 10**400}))}, 422),
        (b"x" * (5 << 20), 413),
    ],
)
def test_bad_appends_are_answered_precisely_and_leave_nothing(empty: LogService, body: Any, status: int) -> None:
    answer = post(empty, body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert empty.log.entries.size() == 0


def test_only_writers_write(service: LogService) -> None:
    for token in (None, "wrong", service.reader_token):
        assert post(service, GOOD, token).status_code == 401
    assert service.log.entries.size() == 0


def test_metrics_and_readiness(service: LogService) -> None:
    client_of(service).append(entry(1))
    assert httpx.get(service.url + "/health").json() == {"status": "alive"}
    assert httpx.get(service.url + "/ready").json() == {"status": "ready", "origin": KEY.name, "size": 1}
    text = httpx.get(service.url + "/metrics").text
    assert 'affidavit_log_appends_total{kind="error",outcome="ok"} 1.0' in text
    assert "affidavit_log_size 1.0" in text
    service.log.refuse(LogRefused("log", "to be a log", "restored"))
    assert httpx.get(service.url + "/ready").status_code == 409
    assert httpx.get(service.url + "/health").status_code == 200
    assert httpx.get(service.url + "/metrics").status_code == 200
    with pytest.raises(LogRefused, match="restored"):
        client_of(service).append(entry(2))


# ---- the client ---------------------------------------------------------------------------------------------------------------------
class LosesAnswers(httpx.BaseTransport):
    """A network that carries requests and loses the first answers."""

    def __init__(self, losses: int) -> None:
        self._inner, self.losses, self.sent = httpx.HTTPTransport(), losses, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        answer = self._inner.handle_request(request)
        answer.read()
        if self.sent <= self.losses:
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return answer


def test_a_lost_answer_does_not_write_twice(service: LogService) -> None:
    network = LosesAnswers(2)
    appended = client_of(service, transport=network).append(entry(1))
    assert (network.sent, appended.index) == (3, 0)
    assert service.log.entries.size() == 1


def test_a_log_that_never_answers_is_a_peer_error_and_a_later_retry_under_the_key_finds_the_entry(service: LogService) -> None:
    with pytest.raises(PeerError) as caught:
        client_of(service, transport=LosesAnswers(99)).append(entry(1), "receipt:1")
    assert isinstance(caught.value.__cause__, httpx.ReadTimeout)
    assert client_of(service).append(entry(1), "receipt:1").index == 0
    assert service.log.entries.size() == 1
    with pytest.raises(LogRefused, match="receipt:1"):
        client_of(service).append(entry(2), "receipt:1")


def test_nobody_there() -> None:
    client = LogClient("http://127.0.0.1:9", "token", pause_seconds=0.001)
    with pytest.raises(PeerError):
        client.append(entry(1))
    assert not client.is_ready()
    with pytest.raises(PeerError):
        HttpSource("http://127.0.0.1:9").read_checkpoint()


def test_refusals_have_their_class(service: LogService) -> None:
    with pytest.raises(Unauthorised):
        LogClient(service.url, "wrong").append(entry(1))
    with pytest.raises(EntryRejected):
        client_of(service).append(entry(1, **{"audit.writer": "node-2"}))
    with pytest.raises(MalformedInput):
        client_of(service).append(entry(1, **{"audit.request_id": "7"}))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"[]"),
        (200, b'{"index":0,"leaf_hash":"0x00","tree_size":1}'),
        (200, b'{"index":1,"leaf_hash":"0x' + b"00" * 32 + b'","tree_size":1}'),
        (200, b'{"index":-1,"leaf_hash":"0x' + b"00" * 32 + b'","tree_size":1}'),
        (200, b'{"index":true,"leaf_hash":"0x' + b"00" * 32 + b'","tree_size":1}'),
        (204, b""),
        (302, b""),
        (404, b"not here"),
        (418, b'{"title":"Teapot","detail":"x"}'),
        (500, b'{"title":"LogRefused","detail":"x"}'),
        (503, b""),
    ],
)
def test_answers_of_another_form_are_peer_errors(status: int, body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    with pytest.raises(PeerError):
        LogClient("http://log", "t", pause_seconds=0, transport=transport).append(entry(1))


def test_a_log_that_sends_without_end_does_not_fill_the_auditor() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)

    source = HttpSource("http://log", transport=httpx.MockTransport(lambda _: httpx.Response(200, content=endless())))
    with pytest.raises(Exception, match="at most"):
        source.read_checkpoint()


def test_concurrent_clients(service: LogService) -> None:
    def write(writer: str) -> None:
        client = client_of(service, writer)
        for number in range(30):
            client.append(entry(number))

    threads = [threading.Thread(target=write, args=(w,)) for w in ("node-1", "node-2", "writer") for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(full_check(service.directory)) == 180


# ---- tokens -------------------------------------------------------------------------------------------------------------------------
def test_tokens_file_holds_digests_only(tmp_path: Path) -> None:
    writer, reader = new_token(), new_token()
    write_tokens(tmp_path / "tokens.json", {"node-1": writer}, {"auditor": reader})
    text = (tmp_path / "tokens.json").read_text()
    assert writer not in text
    assert reader not in text
    access = load_access(tmp_path / "tokens.json")
    assert access.writer(f"Bearer {writer}") == "node-1"
    assert access.reader(f"bearer {reader}") == "auditor"
    with pytest.raises(Unauthorised) as caught:
        access.writer(f"Bearer {reader}")
    assert reader not in str(caught.value)


DIGEST = to_hex(hash_token("t"))


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"writers": {}}',
        '{"writers": [], "readers": {}}',
        '{"writers": {"a": "t"}, "readers": {}}',
        json.dumps({"writers": {"A B": DIGEST}, "readers": {}}),
        json.dumps({"writers": {"a": DIGEST, "b": DIGEST}, "readers": {}}),
        json.dumps({"writers": {"log": DIGEST}, "readers": {}}),
    ],
)
def test_malformed_tokens_files(tmp_path: Path, document: str) -> None:
    (tmp_path / "tokens.json").write_text(document)
    with pytest.raises(ConfigRejected):
        load_access(tmp_path / "tokens.json")
    with pytest.raises(ConfigRejected):
        load_access(tmp_path / "missing.json")


def test_no_tokens_let_nobody_in() -> None:
    for header in (None, "", "Bearer ", "Bearer"):
        with pytest.raises(Unauthorised):
            Access({}, {}).writer(header)
