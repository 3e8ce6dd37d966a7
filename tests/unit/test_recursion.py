"""JSON nested a hundred thousand deep is refused, and does not kill the process that reads it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from oracle.attest.bls_keystore import load_bls_signer
from oracle.attest.keys import load_account
from oracle.attest.remote import RemoteSigner
from oracle.audit.access import load_access
from oracle.audit.blocks import RpcBlocks
from oracle.audit.client import LogClient
from oracle.audit.sealedfile import read_sealed_document
from oracle.audit.source import HttpSource
from oracle.errors import ConfigRejected, InputRejected, MalformedInput, WorldError
from oracle.office.client import OfficeClient
from oracle.office.people import load_people
from oracle.pipeline.client import ApiClient, parse_events
from oracle.pipeline.requesting import read_input
from oracle.records import Address, Bytes32
from oracle.relay.deployment import load_deployment
from tests.twins.logs import entry

READ = """
import json, threading
import {module}
def read():
    try:
        json.loads("[" * 100_000)
    except RecursionError:
        print("refused")
read()
thread = threading.Thread(target=read); thread.start(); thread.join()
"""


@pytest.mark.parametrize(
    "module", ["oracle.http", "oracle.wire", "oracle.pipeline.node", "oracle.audit.client", "eth_account, oracle.http"]
)
def test_deeply_nested_json_raises(module: str) -> None:
    """In a process of its own: without the limit it ends with a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", READ.format(module=module)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\nrefused\n"), done.stderr[-500:]


DEEP = "[" * 100_000
ID = Bytes32(b"\x01" * 32)


def deep_answer(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=DEEP)


PEERS: dict[str, Callable[[httpx.MockTransport], Any]] = {
    "api": lambda liar: ApiClient("http://api", transport=liar).request(ID),
    "log": lambda liar: LogClient("http://log", "token", transport=liar).append(entry(1)),
    "log's entries": lambda liar: HttpSource("http://log", "token", transport=liar).find_entries(ID),
    "office": lambda liar: OfficeClient("http://office", "token", transport=liar).get("/cases"),
    "blocks": lambda liar: RpcBlocks("http://rpc", transport=liar).read_block(ID),
    "signer": lambda liar: RemoteSigner("http://signer", Address("0x" + "11" * 20), httpx.Client(base_url="http://signer", transport=liar)),
}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_answers_so_is_refused(name: str) -> None:
    """As the world's fault or theirs: a process stops for a bug of ours."""
    with pytest.raises((WorldError, MalformedInput)):
        PEERS[name](httpx.MockTransport(deep_answer))


def test_an_event_like_that_is_refused() -> None:
    with pytest.raises(MalformedInput, match="event of the API: expected JSON"):
        list(parse_events(iter([f"data: {DEEP}", ""])))


FILES: dict[str, Callable[[Path], Any]] = {
    "keystore": lambda path: load_account(path, path),
    "BLS keystore": lambda path: load_bls_signer(path, path),
    "deployment": load_deployment,
    "tokens": load_access,
    "key file": lambda path: read_sealed_document(path, "key", "form"),
    "people": load_people,
    "input": read_input,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_like_that_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.touch(mode=0o600)
    path.write_text(DEEP)
    with pytest.raises((ConfigRejected, InputRejected), match=r"deep\.json"):
        FILES[name](path)
