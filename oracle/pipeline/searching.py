"""An auditor's own search: a log, held against its key, and an index of it on this machine. No server's index is asked or believed."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from oracle.audit.completeness import Completeness, Limits, OfChain, judge
from oracle.audit.content import Content
from oracle.audit.index import Filter, Index, OnProgress
from oracle.audit.ledger import micros
from oracle.audit.note import VerifierKey, parse_vkey
from oracle.audit.parallel import usable_processes
from oracle.audit.sample import Drawn, draw
from oracle.audit.source import LogSource, open_source
from oracle.audit.tiles import Tile
from oracle.audit.view import LoggedRecord, LogView
from oracle.encoding import compute_log_id, to_hex
from oracle.errors import EntryRejected, LogRefused, StoreError
from oracle.records import Address, Bytes32
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import load_deployment
from oracle.seams import ChainReader


@dataclass(frozen=True, slots=True)
class OnChain:
    """The chain beside a log: `log_id` is None where no anchor key was given."""

    reader: ChainReader
    log_id: Bytes32 | None


@dataclass(frozen=True, slots=True)
class Searcher:
    """One checkpoint of one log, and an index that is built to it."""

    view: LogView
    index: Index

    def subject(self, subject: Bytes32 | int) -> list[LoggedRecord]:
        """The record at an index and after it those of its call, or the call of an id, each in the tree.

        Raises AuditFailed, ProofRejected or EntryRejected.
        """
        if isinstance(subject, int):
            named = self.view.read(subject)
            others = [] if named.record.call_id is None else self.index.records_of(named.record.call_id)
            indices = [subject, *(index for index in others if index != subject)]
        elif not (indices := self.index.records_of(subject)):
            raise EntryRejected(f"records of call {to_hex(subject)}", "at least one", "none in this log")
        records = [self.view.read(index) for index in indices]
        for logged in records:
            self.view.verify_inclusion(logged.index, logged.leaf_hash)
        return records

    def completeness(self, moment: datetime, limits: Limits, chain: OnChain | None) -> Completeness:
        """Raises ChainError where the chain does not answer."""
        ledger = self.index.books()[1]
        if chain is None:
            return judge(ledger, self.view.checkpoint, moment, limits)
        of_chain = OfChain(chain.reader, chain.log_id, lambda index: micros(self.view.read(index).record.log_time))
        return judge(ledger, self.view.checkpoint, moment, limits, of_chain)

    def draw(self, wanted: Filter, size: int, seed: Bytes32 | None) -> Drawn:
        """With a seed from the system's randomness where none is given."""
        return draw(self.index, wanted, size, seed or Bytes32(secrets.token_bytes(32)))


class KeptHead:
    """A log as it was at a checkpoint that somebody kept: the same tiles, an older head."""

    def __init__(self, source: LogSource, note: bytes) -> None:
        self._source = source
        self._note = note

    def read_checkpoint(self) -> bytes:
        return self._note

    def read_witnessed(self) -> None:
        return None

    def read_tile(self, tile: Tile) -> bytes:
        return self._source.read_tile(tile)

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        return self._source.read_contents(first, end)

    def find_entries(self, request_id: Bytes32) -> list[int] | None:  # noqa: ARG002 - no server's index is asked here
        return None


def open_searcher(
    log: str, vkey: str, index: str | None, token: str | None, on_progress: OnProgress, kept: bytes | None = None
) -> Searcher:
    """Opens or makes the index and brings it up to the log's checkpoint, or to one that was kept.

    `index` is a database URL or a file; where it is None, a file in the user's cache. Raises LogRefused where the index followed another
    log, or one that this one does not extend; AuditFailed where the log does not hold.
    """
    key = parse_vkey(vkey)
    source: LogSource = open_source(log, token)
    view = LogView(source if kept is None else KeptHead(source, kept), key)
    opened = Index.open(_database(index, log, key, view if kept is not None else None))
    opened.follow(view, on_progress, processes=usable_processes())
    return Searcher(view, opened)


def _database(index: str | None, log: str, key: VerifierKey, kept: LogView | None) -> str:
    if index is not None:
        return index if "://" in index else f"sqlite:///{index}"
    name = f"{key}\n{log}" + ("" if kept is None else f"\n{kept.checkpoint.size}")
    directory = cache_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"cannot make {directory}") from error
    return f"sqlite:///{directory}/{hashlib.sha256(name.encode()).hexdigest()[:32]}.sqlite"


def cache_directory() -> Path:
    """Where indices are kept that no option names. Whatever lies here can be deleted."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "affidavit" / "index"


# ---- the chain --------------------------------------------------------------------------------------------------------------------------
def open_chain(rpc: str | Sequence[str], deployment: Path, vkey: str, anchor_key: Address | None) -> OnChain:
    """Raises ConfigRejected or ChainError for the deployment."""
    contracts = Contracts(rpc, load_deployment(deployment))
    contracts.check_deployment()
    return OnChain(contracts, None if anchor_key is None else compute_log_id(parse_vkey(vkey).name, anchor_key))


def seed_from_anchor(view: LogView, chain: OnChain) -> tuple[Bytes32, int]:
    """The hash and number of the block of the first anchor that covers the view's checkpoint: nobody knew it when that was signed.

    Raises LogRefused where there is none yet, ProofRejected where an anchor contradicts the log.
    """
    anchors = [] if chain.log_id is None else chain.reader.anchors(chain.log_id)
    covering = next((anchor for anchor in anchors if anchor.size >= view.size), None)
    if covering is None:
        raise LogRefused("anchor to take a seed from", f"one of at least {view.size} entries", "none yet")
    for anchor in anchors:
        if anchor.size <= view.size:
            view.verify_anchor(anchor)
    return covering.block_hash, covering.block_number


def seed_from_block(view: LogView, chain: OnChain, number: int) -> Bytes32:
    """The hash of a block that was mined after the newest entry was logged. Raises LogRefused for an older one, or one not mined yet."""
    block = chain.reader.block(number)
    if block is None:
        raise LogRefused(f"block {number}", "one that is mined", "none yet")
    newest = view.read(view.size - 1).record.log_time if view.size else None
    mined = datetime.fromtimestamp(block.timestamp, UTC)
    if newest is not None and mined <= datetime.fromisoformat(newest):
        raise LogRefused(f"block {number}", f"one that was mined after the newest entry was logged, {newest}", mined.isoformat())
    return block.hash
