"""The pooled transport against servers that behave and servers that do not: it raises what httpx's own raises."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from oracle.relay.pooled import PooledTransport, open_transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answer = Callable[[socket.socket, bytes], None]


class Server:
    """Answers each request on each connection with the next of `answers`; the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen: list[bytes] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := _read_request(connection):
                self.seen.append(request)
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                try:
                    answer(connection, request)
                except _End:
                    return

    def close(self) -> None:
        self._listener.close()


class _End(Exception):
    """The server closes the connection."""


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except ConnectionError:  # the client gave it up
            piece = b""
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def say(data: bytes, then_end: bool = False) -> Answer:
    def answer(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(data)
        if then_end:
            raise _End

    return answer


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[Server, httpx.Client]]:
    server = Server(*answers)
    with httpx.Client(base_url=server.url, timeout=1.0, transport=PooledTransport()) as client:
        yield server, client
    server.close()


def test_one_connection_serves_many_exchanges() -> None:
    with serving(say(OK)) as (server, client):
        answers = [client.post("/path?a=1", json={"number": n}) for n in range(5)]
    assert [answer.text for answer in answers] == ["ok"] * 5
    assert server.connections == 1
    assert server.seen[3].startswith(b"POST /path?a=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert server.seen[3].endswith(b'{"number":3}')


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    with serving(say(OK, then_end=True)) as (server, client):
        for _ in range(3):
            assert client.get("/").text == "ok"
            time.sleep(0.05)  # until the server's end is here
    assert server.connections == 3


def test_a_server_that_says_close_is_believed() -> None:
    with serving(say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")) as (server, client):
        assert [client.get("/").text for _ in range(2)] == ["ok", "ok"]
    assert server.connections == 2


def test_bodies_of_every_length_encoding() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    until_the_end = b"HTTP/1.1 200 OK\r\n\r\nto the end"
    with serving(say(chunked), say(b"HTTP/1.1 204 No Content\r\n\r\n"), say(until_the_end, then_end=True)) as (_, client):
        assert [client.get("/").content for _ in range(3)] == [b"abcde", b"", b"to the end"]


def test_an_interim_answer_is_passed_over() -> None:
    with serving(say(b"HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n" + OK)) as (_, client):
        answer = client.get("/")
        assert (answer.status_code, answer.text) == (200, "ok")
        assert "x-a" not in answer.headers


def test_answers_to_head_have_no_body() -> None:
    with serving(say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), say(OK)) as (_, client):
        assert client.head("/").headers["content-length"] == "100"
        assert client.get("/").text == "ok"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", httpx.RemoteProtocolError),
        (b"nothing like HTTP\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 100_000, httpx.RemoteProtocolError),
    ],
)
def test_answers_that_are_none(data: bytes, error: type[Exception]) -> None:
    with serving(say(data, then_end=True), say(OK)) as (_, client):
        with pytest.raises(error):
            client.get("/")
        assert client.get("/").text == "ok"  # and nothing of it is left for the next


def test_silence_is_a_timeout() -> None:
    def be_silent(connection: socket.socket, _request: bytes) -> None:
        connection.recv(1)

    with serving(be_silent) as (server, client), pytest.raises(httpx.ReadTimeout):
        client.get("/", timeout=0.1)
    server.close()


def test_nobody_there_is_a_connect_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=PooledTransport()) as client, pytest.raises(httpx.ConnectError):
        client.get("/")


def test_a_body_left_unread_is_not_read_by_the_next() -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
    with serving(say(big), say(OK)) as (server, client):
        with client.stream("GET", "/") as answer:
            assert answer.status_code == 200
        assert client.get("/").text == "ok"
    assert server.connections == 2


def test_a_refusal_before_the_body_was_read_is_heard() -> None:
    def refuse(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        raise _End

    with serving(refuse) as (_, client):
        assert client.post("/", content=b"x" * 1000).status_code == 413


def test_threads_share_connections_without_mixing_answers() -> None:
    def echo(connection: socket.socket, request: bytes) -> None:
        body = request.partition(b"\r\n\r\n")[2]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    wrong: list[str] = []

    def ask(client: httpx.Client, name: int) -> None:
        for number in range(50):
            sent = f"{name}-{number}"
            if client.post("/", content=sent.encode()).text != sent:
                wrong.append(sent)

    with serving(echo) as (_, client):
        threads = [threading.Thread(target=ask, args=(client, name)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_used(url: str) -> bool:
        return open_transport(url, None, 1) is not None

    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert is_used("http://127.0.0.1:8000/path")
    assert is_used("https://example.org")
    assert not is_used("not a url")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert not is_used("http://node.example:8000")
    assert is_used("https://node.example:8000")
    monkeypatch.setenv("no_proxy", "node.example")
    assert is_used("http://node.example:8000")
