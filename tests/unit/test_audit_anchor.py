"""Anchoring against a contract twin that checks what AuditAnchor checks, and a chain that knows better than the log."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oracle.attest.sign import AccountSigner
from oracle.audit.anchor import Anchorer
from oracle.audit.log import Log
from oracle.audit.source import DirectorySource
from oracle.audit.tree import verify_consistency
from oracle.config import LogConfig
from oracle.encoding import compute_anchor_digest, compute_log_id, keccak256
from oracle.errors import ChainError, ConfigRejected, LogRefused, PeerError, ProofRejected
from oracle.pipeline.log import open_anchor_signer
from oracle.records import Address, Anchor, Bytes32, Domain
from oracle.signatures import recover_signer
from tests.twins.api import served
from tests.twins.logs import KEY, TickingClock, entry, full_check, open_log
from tests.twins.operators import account
from tests.twins.signer import ReferenceRpcSigner, ReferenceSigner

SIGNER = AccountSigner(account("anchor key"))
CONTRACT = Address("0x00000000000000000000000000000000000000Aa")
LOG_ID = compute_log_id(KEY.name, SIGNER.address)


class AnchorTwin:
    """AuditAnchor in memory: its checks, its events."""

    def __init__(self) -> None:
        self.accepted: list[Anchor] = []
        self.is_down = False
        self.loses_answers = False

    @property
    def domain(self) -> Domain:
        return Domain(31337, CONTRACT)

    @property
    def anchor_contract(self) -> Address:
        return CONTRACT

    def latest_anchor(self, log_id: Bytes32) -> tuple[int, Bytes32]:
        if self.is_down:
            raise ChainError("the RPC did not answer") from ConnectionError()
        mine = self.anchors(log_id)
        return (mine[-1].size, mine[-1].root) if mine else (0, Bytes32(bytes(32)))

    def anchors(self, log_id: Bytes32) -> list[Anchor]:
        return [a for a in self.accepted if a.log_id == log_id]

    def submit_anchor(
        self, origin_digest: Bytes32, anchor_key: Address, size: int, root: Bytes32, proof: Sequence[Bytes32], signature: bytes
    ) -> Anchor:
        log_id = keccak256(origin_digest + bytes(12) + bytes.fromhex(anchor_key[2:]))
        old_size, old_root = self.latest_anchor(log_id)
        assert size > old_size
        assert recover_signer(compute_anchor_digest(log_id, size, root, 31337, CONTRACT), signature) == anchor_key
        if old_size:
            verify_consistency(old_size, size, list(proof), old_root, root)
        else:
            assert not proof
        number = len(self.accepted) + 1
        anchor = Anchor(log_id, size, root, number, keccak256(b"block %d" % number), keccak256(b"transaction %d" % number))
        self.accepted.append(anchor)
        if self.loses_answers:
            raise ChainError("the answer was lost") from TimeoutError()
        return anchor


def anchorer_of(log: Log, directory: Path, chain: AnchorTwin) -> Anchorer:
    return Anchorer(log, DirectorySource(directory / "log"), chain, SIGNER, TickingClock())


def test_heads_are_anchored_as_the_log_grows_and_logged(tmp_path: Path) -> None:
    log, chain = open_log(tmp_path), AnchorTwin()
    anchorer = anchorer_of(log, tmp_path, chain)
    assert anchorer.run_once() is None  # nothing to anchor in an empty log
    for number in range(300):
        log.submit("w", entry(number))
        if number % 70 == 3:
            log.append("w", entry(1000 + number))
            assert anchorer.run_once() is not None
    sizes = [a.size for a in chain.accepted]
    assert sizes == sorted(set(sizes))
    assert len(sizes) == 5
    log.close()
    records = full_check(tmp_path)
    logged = [r["audit.anchor.size"] for r in records if r["audit.kind"] == "anchor"]
    assert logged == sizes
    assert {r["audit.writer"] for r in records if r["audit.kind"] == "anchor"} == {"log"}


def test_an_anchor_entry_alone_is_not_anchored_again(tmp_path: Path) -> None:
    log, chain = open_log(tmp_path), AnchorTwin()
    anchorer = anchorer_of(log, tmp_path, chain)
    log.append("w", entry(1))
    assert anchorer.run_once() is not None
    assert anchorer.run_once() is None
    log.append("w", entry(2))
    assert anchorer.run_once() is not None
    log.close()


def test_an_anchor_whose_entry_was_lost_is_logged_at_the_next_start_once(tmp_path: Path) -> None:
    log, chain = open_log(tmp_path), AnchorTwin()
    log.append("w", entry(1))
    chain.loses_answers = True
    with pytest.raises(ChainError):
        anchorer_of(log, tmp_path, chain).run_once()
    chain.loses_answers = False
    for _ in range(2):
        anchorer_of(log, tmp_path, chain).log_newest()
    log.close()
    assert [r["audit.kind"] for r in full_check(tmp_path)] == ["error", "anchor"]


def test_a_log_behind_its_anchor_refuses_for_good(tmp_path: Path) -> None:
    """All three databases and the files restored from one backup: only the chain can tell."""
    log, chain = open_log(tmp_path / "a"), AnchorTwin()
    log.append("w", entry(1))
    log.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    log = open_log(tmp_path / "a")
    log.append("w", entry(2))
    anchorer_of(log, tmp_path / "a", chain).run_once()
    log.close()
    restored = open_log(tmp_path / "b")
    with pytest.raises(LogRefused, match="backup"):
        anchorer_of(restored, tmp_path / "b", chain).check()
    with pytest.raises(LogRefused, match="backup"):
        restored.append("w", entry(3))
    restored.close()
    assert len(full_check(tmp_path / "b")) == 1


def test_a_fork_as_long_as_its_anchor_refuses_for_good(tmp_path: Path) -> None:
    log, chain = open_log(tmp_path / "a"), AnchorTwin()
    log.append("w", entry(1))
    anchorer_of(log, tmp_path / "a", chain).run_once()
    log.close()
    fork = open_log(tmp_path / "b")
    for number in range(5):
        fork.append("w", entry(100 + number))
    anchorer = anchorer_of(fork, tmp_path / "b", chain)
    with pytest.raises(LogRefused, match="another log"):
        anchorer.run_once()
    with pytest.raises(LogRefused):
        fork.append("w", entry(1))
    with pytest.raises(ProofRejected):  # and the contract would have refused what its check would have let through
        anchorer._submit(1, fork.checkpoint)
    fork.close()
    assert len(chain.accepted) == 1


def test_a_chain_that_does_not_answer_stops_nothing(tmp_path: Path) -> None:
    log, chain = open_log(tmp_path), AnchorTwin()
    log.append("w", entry(1))
    chain.is_down = True
    with pytest.raises(ChainError):
        anchorer_of(log, tmp_path, chain).run_once()
    log.append("w", entry(2))
    chain.is_down = False
    anchor = anchorer_of(log, tmp_path, chain).run_once()
    assert anchor is not None
    assert anchor.size == 2
    log.close()


# ---- the key behind a remote signer ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("api", ["web3signer", "eth", "clef"])
def test_a_log_is_anchored_by_a_key_that_lives_elsewhere(api: str, tmp_path: Path) -> None:
    twin = ReferenceSigner() if api == "web3signer" else ReferenceRpcSigner(is_clef=api == "clef")
    twin.add(account("anchor key"))
    chain = AnchorTwin()
    with closing(open_log(tmp_path)) as log, served(twin.app()) as url:
        log.append("w", entry(0))
        settings = settings_of(tmp_path, signer_url=url, signer_address=SIGNER.address, signer_api=api)
        signer = open_anchor_signer(settings)
        assert signer is not None
        anchorer = Anchorer(log, DirectorySource(tmp_path / "log"), chain, signer, TickingClock())
        true = dict(twin.accounts)
        for name in true:
            twin.accounts[name] = account("another key")  # it lies
        with pytest.raises(PeerError, match="signed as"):
            anchorer.run_once()
        assert chain.accepted == []
        twin.accounts.update(true)
        assert anchorer.run_once() == chain.accepted[-1]
        assert chain.accepted[-1].log_id == LOG_ID


def test_one_key_signs_anchors_or_none(tmp_path: Path) -> None:
    assert open_anchor_signer(settings_of(tmp_path)) is None
    with pytest.raises(ConfigRejected, match="log: anchors: keystore, signer_url: expected one of the two, got both"):
        open_anchor_signer(settings_of(tmp_path, signer_url="http://127.0.0.1:9", anchor_keystore=tmp_path / "key.json"))


def settings_of(directory: Path, **more: Any) -> LogConfig:
    names = ("directory", "custody_key_file", "custody_password_file", "key_file", "password_file", "tokens_file")
    databases = dict.fromkeys(("database", "checkpoint_database", "custody_database"), "sqlite://")
    return LogConfig(listen="127.0.0.1:1", origin=KEY.name, **{name: directory / name for name in names}, **databases, **more)
