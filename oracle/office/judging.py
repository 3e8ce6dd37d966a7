"""Completeness as pages ask for it: often, of a log with many anchors, from a chain that answers over the network.

What cannot change is remembered: when a block was, when an entry was logged. The report itself is made anew as soon as the index has more
entries, and otherwise after REPORT_SECONDS, since waiting too long is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, cast

from oracle.audit.completeness import Completeness, Limits, OfChain, judge
from oracle.audit.ledger import Ledger, micros
from oracle.records import Anchor, Block, Bytes32, Checkpoint, TransactionReceipt
from oracle.seams import BlockTag, ChainReader

if TYPE_CHECKING:
    from oracle.office.desk import Office

REPORT_SECONDS = 10.0
REMEMBERED = 1 << 17


class RememberingChain:
    """What `oracle.audit.completeness` asks of a chain. Blocks are remembered by number: a reorganisation moves one by seconds."""

    def __init__(self, chain: ChainReader, anchors: Callable[[], Sequence[Anchor]]) -> None:
        self._chain = chain
        self._anchors = anchors
        self._blocks: dict[int | BlockTag, Block] = {}

    def anchors(self, _log_id: Bytes32) -> Sequence[Anchor]:
        return self._anchors()

    def block(self, which: int | BlockTag) -> Block | None:
        known = self._blocks.get(which)
        if known is not None:
            return known
        found = self._chain.block(which)
        if found is not None and isinstance(which, int):
            if len(self._blocks) >= REMEMBERED:
                self._blocks.clear()
            self._blocks[which] = found
        return found

    def delivery_of(self, request_id: Bytes32) -> TransactionReceipt | None:
        return self._chain.delivery_of(request_id)


class Judging:
    """The newest report of one office. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._chain: RememberingChain | None = None
        self._log_time: Callable[[int], int] | None = None
        self._made: tuple[datetime, Completeness] | None = None

    def report(self, office: Office) -> Completeness:
        """As of now. Raises ChainError, PeerError or StoreError where the world does not answer."""
        office.catch_up(office.reader.view())
        checkpoint, ledger = _read_books(office)
        with self._lock:
            now = office.clock.now()
            if self._made is not None:
                made_at, report = self._made
                if report.checkpoint.size == checkpoint.size and 0 <= (now - made_at).total_seconds() < REPORT_SECONDS:
                    return report
            limits = Limits(anchor_seconds=int(office.anchor_late_seconds))
            report = judge(ledger, checkpoint, now, limits, self._of_chain(office))
            self._made = (now, report)
        return report

    def _of_chain(self, office: Office) -> OfChain:
        if self._chain is None or self._log_time is None:
            self._chain = RememberingChain(office.desk.chain, office.anchors)
            self._log_time = lru_cache(maxsize=REMEMBERED)(lambda index: micros(office.reader.read(index)[1].record.log_time))
        return OfChain(cast(ChainReader, self._chain), office.public.log_id, self._log_time)


def _read_books(office: Office) -> tuple[Checkpoint, Ledger]:
    """The index's checkpoint with the ledger of exactly its entries: it may be taken further between two looks."""
    while True:
        checkpoint, ledger = office.index.checkpoint, office.index.ledger()
        if checkpoint is not None and ledger.size == checkpoint.size:
            return checkpoint, ledger
