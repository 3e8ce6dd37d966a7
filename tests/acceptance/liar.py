"""An operator who lies: it holds a registered key, answers where its node should, and signs a wrong output for every request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from oracle.attest.sign import sign_claim
from oracle.config import parse_listen
from oracle.demo.network import Network
from oracle.encoding import keccak256, pack_int16
from oracle.pipeline.session import load_signer
from oracle.records import Asked, Bytes32, Claim
from oracle.wire import signed_claim_to_json

LIE = pack_int16([2047, *[-2048] * 9])  # "it is a zero", whatever the image shows


class Liar:
    """`tell` names the requests it lies about; `told` counts how often it was asked."""

    def __init__(self, network: Network, index: int, lie: bytes = LIE) -> None:
        self._network, self._lie = network, lie
        self._signer = load_signer(network.directory / f"node-{index}.key", network.password_file)
        self._asked: dict[Bytes32, Asked] = {}
        self.told = 0

    def tell(self, asked: Asked) -> None:
        self._asked[asked.request_id] = asked

    def answer(self, request_id: Bytes32) -> bytes | None:
        asked = self._asked.get(request_id)
        if asked is None:
            return None
        self.told += 1
        claim = Claim(request_id, asked.request.model_id, asked.request.input_digest, keccak256(self._lie))
        signed = sign_claim(claim, self._lie, self._network.contracts.domain, self._signer)
        return json.dumps(signed_claim_to_json(signed)).encode()


@contextmanager
def lying_node(network: Network, index: int, lie: bytes = LIE, returns: bool = True) -> Iterator[Liar]:
    """Stops a node's process and puts a liar in its place; afterwards the node comes back, unless it is not wanted any more."""
    name, liar = network.node(index), Liar(network, index, lie)

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = liar.answer(Bytes32(bytes.fromhex(self.path.rsplit("0x", 1)[-1]))) if "/v1/claims/0x" in self.path else None
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body or b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    network.processes.stop(name)
    server = ThreadingHTTPServer(parse_listen(network.node_urls[index].removeprefix("http://")), Door)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield liar
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if returns:
            network.processes.restart(name)
            network.processes.wait_ready(name)
