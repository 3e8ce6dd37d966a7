"""The auditor's part of the demo: the audit of `oracle.pipeline.audit`, and what it says of copies that somebody changed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from oracle.audit.call import ClaimChecks
from oracle.audit.note import parse_vkey
from oracle.audit.report import AuditReport
from oracle.audit.source import HttpSource
from oracle.config import read_secret
from oracle.demo.local_keys import find_seeds, local_account
from oracle.demo.network import Network
from oracle.encoding import to_hex
from oracle.errors import AuditFailed, PeerError, RequestUnknown
from oracle.pipeline.audit import CHECKS, Auditor, load_models, open_auditor
from oracle.pipeline.logged import read_logged
from oracle.records import Address, Anchor, Bytes32, EntryKind

WAIT_SECONDS = 30.0


def open_network_auditor(network: Network, location: str | None = None, checks: ClaimChecks = CHECKS) -> Auditor:
    """An auditor of the newest checkpoint of the network's log, or of a copy of it in a directory."""
    anchor_key = Address(local_account("log").address)
    token = read_secret(network.auditor_token_file) if location is None else None
    return open_auditor(location or network.log_url, network.vkey, network.chain.rpc, network.deployment_file, anchor_key, token, checks)


def log_indices(network: Network, request_id: Bytes32, at_least: int) -> list[int]:
    """Where a call's records stand in the log, once there are `at_least` so many. Raises PeerError when that takes too long."""
    source = HttpSource(network.log_url, read_secret(network.auditor_token_file))
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = sorted(source.find_entries(request_id) or ())
        if len(found) >= at_least:
            return found
        if time.monotonic() > deadline:
            raise PeerError(f"the log has {len(found)} records of a call that should have {at_least}")
        time.sleep(0.1)


def settled_indices(network: Network, request_id: Bytes32) -> list[int]:
    """Where a call's records stand, once the relay's receipt is among them. Raises PeerError when that takes too long.

    Counting them would not do: a node beyond the quorum may have answered, and the chain is final before the relay writes what it saw.
    """
    source, key = HttpSource(network.log_url, read_secret(network.auditor_token_file)), parse_vkey(network.vkey)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with suppress(RequestUnknown):
            entries = read_logged(source, key, request_id).entries
            if any(entry.kind is EntryKind.RECEIPT for entry in entries):
                return [entry.index for entry in entries]
        if time.monotonic() > deadline:
            raise PeerError(f"the log has no receipt of {to_hex(request_id)}")
        time.sleep(0.1)


def wait_anchored(network: Network, index: int) -> Anchor:
    """The newest anchor, once it covers the entry. Raises PeerError when that takes too long."""
    auditor, deadline = open_network_auditor(network), time.monotonic() + WAIT_SECONDS
    if auditor.log_id is None:
        raise PeerError("an auditor of the network has no anchor key")
    while True:
        anchors = network.contracts.anchors(auditor.log_id)
        if anchors and anchors[-1].size > index:
            return anchors[-1]
        if time.monotonic() > deadline:
            raise PeerError(f"entry {index} was not anchored in time: {network.processes.tail('log')}")
        time.sleep(0.2)


def audit_call(network: Network, request_id: Bytes32) -> AuditReport:
    """All eight steps of one call, re-execution included. Raises AuditFailed at the first that does not hold."""
    re_execute, checks = load_models(_models(network))
    return open_network_auditor(network, checks=checks).verify_call(request_id, re_execute=re_execute)


def audit_log(network: Network) -> AuditReport:
    """The whole log: every tile, record, anchor, sequence and call."""
    return open_network_auditor(network, checks=load_models(_models(network))[1]).verify_log()


def _models(network: Network) -> list[Path]:
    return [find_seeds() / "models" / name for name in network.plan.models]


def find_changed_bytes(network: Network, request_id: Bytes32) -> Iterator[tuple[str, str]]:
    """(what was changed, how the audit of the call failed), one byte at a time, each in a fresh copy of the log.

    Raises PeerError when a change is not found.
    """
    index = log_indices(network, request_id, at_least=1)[0]
    for what in ("a record", "a tile of hashes", "the checkpoint"):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "log"
            open_network_auditor(network).export_log(copy)
            _change_a_byte(copy, what, index, to_hex(request_id).encode())
            try:
                open_network_auditor(network, str(copy)).verify_call(request_id)
            except AuditFailed as failure:
                yield what, str(failure)
            else:
                raise PeerError(f"the audit did not notice a changed byte in {what}")


def _change_a_byte(copy: Path, what: str, index: int, subject: bytes) -> None:
    """In the record of the call, its leaf's hash, or the root of the checkpoint."""
    if what == "the checkpoint":
        path = copy / "checkpoint"
        position = path.read_bytes().index(b"\n", path.read_bytes().index(b"\n") + 1) + 5
    elif what == "a record":
        path = next(p for p in sorted((copy / "tile/entries").rglob("*")) if p.is_file() and subject in p.read_bytes())
        digest = b'"audit.input_digest":"0x'
        position = path.read_bytes().rindex(digest, 0, path.read_bytes().index(subject)) + len(digest)
    else:
        path = next(p for p in sorted((copy / "tile/0").rglob("*")) if p.is_file())
        position = 32 * index
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
