"""Anchoring: the log's head, signed by the anchor key, put on chain with the proof that it extends the head there before.

The chain is also a witness against the log itself: a log that is behind its anchor, or whose tree at the anchored size has another
root, was restored from a backup or forked, and refuses to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from oracle import journal
from oracle.audit.access import OWN_WRITER
from oracle.audit.entries import anchor_entry
from oracle.audit.log import Log
from oracle.audit.source import LogSource
from oracle.audit.tiles import subtree_reader
from oracle.audit.tree import compute_consistency_from, compute_root_from
from oracle.encoding import anchor_preimage, anchor_typed_data, compute_log_id, keccak256
from oracle.errors import LogRefused
from oracle.records import Address, Anchor, Bytes32, Checkpoint, Domain, EntryKind
from oracle.seams import Clock, PreimageSigner, Shown


class AnchorChain(Protocol):
    """The AuditAnchor contract, as the log uses it. Every method raises ChainError when the RPC fails."""

    @property
    def domain(self) -> Domain: ...

    @property
    def anchor_contract(self) -> Address:
        """The AuditAnchor's address: the verifying contract of the anchor's EIP-712 domain."""
        ...

    def latest_anchor(self, log_id: Bytes32) -> tuple[int, Bytes32]:
        """Size and root of the newest accepted anchor; size 0 before the first."""
        ...

    def anchors(self, log_id: Bytes32) -> Sequence[Anchor]:
        """Every accepted anchor, oldest first."""
        ...

    def submit_anchor(
        self, origin_digest: Bytes32, anchor_key: Address, size: int, root: Bytes32, proof: Sequence[Bytes32], signature: bytes
    ) -> Anchor:
        """Sends `AuditAnchor.anchor` and waits until it is mined. Raises ChainError, also for a reverted transaction."""
        ...


class Anchorer:
    """Brings one log's head on chain, round by round."""

    def __init__(self, log: Log, source: LogSource, chain: AnchorChain, signer: PreimageSigner, clock: Clock) -> None:
        self._log = log
        self._source = source
        self._chain = chain
        self._signer = signer
        self._clock = clock
        self.log_id = compute_log_id(log.origin, signer.address)
        self._journal = journal.get("anchor")

    def check(self) -> int:
        """Holds the log against its newest anchor; returns the anchored size, 0 before the first anchor.

        Raises LogRefused, and stops the log, when it is behind or forked. Raises ChainError when the chain does not answer.
        """
        size, root = self._chain.latest_anchor(self.log_id)
        checkpoint = self._log.checkpoint
        if size == 0:
            return 0
        if size > checkpoint.size:
            self._refuse(LogRefused("log", f"at least the {size} entries of its anchor", f"{checkpoint.size}: restored from a backup?"))
        ours = compute_root_from(size, subtree_reader(checkpoint.size, self._source.read_tile))
        if ours != root:
            self._refuse(LogRefused(f"root at the anchored size {size}", root.hex(), f"{ours.hex()}: another log?"))
        return size

    def _refuse(self, reason: LogRefused) -> None:
        self._log.refuse(reason)
        raise reason

    def log_newest(self) -> None:
        """Logs the newest anchor, should the process have ended between the transaction and its entry."""
        if anchors := self._chain.anchors(self.log_id):
            self._append(anchors[-1])

    def run_once(self) -> Anchor | None:
        """Anchors the head when something but anchors was logged since the last one. Raises LogRefused, ChainError, or PeerError
        where a remote signer does not sign."""
        anchored, checkpoint = self.check(), self._log.checkpoint
        last = self._log.entries.last_index_of_other_kind(EntryKind.ANCHOR, checkpoint.size)
        if last is None or last < anchored:
            return None
        anchor = self._submit(anchored, checkpoint)
        self._append(anchor)
        return anchor

    def _submit(self, anchored: int, checkpoint: Checkpoint) -> Anchor:
        read = subtree_reader(checkpoint.size, self._source.read_tile)
        proof = [Bytes32(h) for h in compute_consistency_from(anchored, checkpoint.size, read)] if anchored else []
        domain, contract = self._chain.domain, self._chain.anchor_contract
        parts = (self.log_id, checkpoint.size, checkpoint.root, domain.chain_id, contract)
        origin_digest = keccak256(checkpoint.origin.encode())
        signature = self._signer.sign_preimage(anchor_preimage(*parts), lambda: Shown(typed_data=anchor_typed_data(*parts)))
        return self._chain.submit_anchor(origin_digest, self._signer.address, checkpoint.size, checkpoint.root, proof, signature)

    def _append(self, anchor: Anchor) -> None:
        entry = anchor_entry(anchor, self._chain.domain, OWN_WRITER, self._clock.now())
        appended = self._log.append(OWN_WRITER, entry, f"anchor:{anchor.size}:{anchor.block_hash.hex()}")
        self._journal.info("anchored", size=anchor.size, transaction=anchor.transaction, entry=appended.index)
