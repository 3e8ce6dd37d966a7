"""The log's process: sequencer, HTTP door, and anchors on chain.

Held against its newest anchor before the door opens: a log that is behind the chain signs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

from oracle import journal
from oracle.attest.remote import open_signer
from oracle.audit.access import OWN_WRITER, Access, load_access
from oracle.audit.anchor import Anchorer
from oracle.audit.changes import Running, custody_rotation_entry, tell_running
from oracle.audit.clock import clock_entry, read_clock_state
from oracle.audit.custodykey import CustodyKey, read_custody_key, write_custody_key
from oracle.audit.keys import read_key_file
from oracle.audit.log import Keeper, Log, Places
from oracle.audit.metrics import LogMetrics
from oracle.audit.receipts import add_receipts
from oracle.audit.retention import parse_retention, prune_once
from oracle.audit.server import make_app
from oracle.audit.source import DirectorySource
from oracle.config import ChainConfig, Config, KeyConfig, LogConfig, SignerConfig, read_new_password, read_secret
from oracle.errors import ChainError, ConfigRejected, LogRefused, PeerError, Rejected
from oracle.pipeline.background import Background, Step
from oracle.pipeline.session import connect
from oracle.pipeline.witness import make_witness_step, open_witnessing
from oracle.records import Address, Anchor, Bytes32, Domain
from oracle.relay.contracts import Contracts
from oracle.relay.metrics import EndpointCollector
from oracle.relay.sender import AnchorSender
from oracle.seams import Clock, PreimageSigner, SystemClock


@dataclass(frozen=True, slots=True)
class ContractAnchors:
    """`oracle.audit.anchor.AnchorChain` on the deployed AuditAnchor."""

    contracts: Contracts
    sender: AnchorSender

    @property
    def domain(self) -> Domain:
        return self.contracts.domain

    @property
    def anchor_contract(self) -> Address:
        return self.contracts.deployment.audit_anchor

    def latest_anchor(self, log_id: Bytes32) -> tuple[int, Bytes32]:
        return self.contracts.latest_anchor(log_id)

    def anchors(self, log_id: Bytes32) -> list[Anchor]:
        return list(self.contracts.anchors(log_id))

    def submit_anchor(
        self, origin_digest: Bytes32, anchor_key: Address, size: int, root: Bytes32, proof: Sequence[Bytes32], signature: bytes
    ) -> Anchor:
        return self.sender.submit_anchor(origin_digest, anchor_key, size, root, proof, signature)


def run_log(config: Config) -> None:
    """`affidavit log serve`: until SIGTERM. Raises ConfigRejected, or LogRefused where the log must not go on."""
    settings = require_log(config)
    journal.configure("log")
    password = read_secret(settings.password_file)
    key, access, metrics = read_key_file(settings.key_file, password), load_access(settings.tokens_file), LogMetrics()
    if key.name != settings.origin:
        raise ConfigRejected("log: origin", f"the name of its key, {key.name}", settings.origin)
    source, clock = DirectorySource(settings.directory), SystemClock()
    log = Log.open(_places(settings), key, _keeper(settings), clock, metrics.on_batch)
    try:
        steps = {
            "clock": make_clock_step(log, clock, metrics, settings.clock_seconds),
            "prune": make_prune_step(log, clock, metrics, settings.prune_seconds),
        }
        if settings.witnesses is not None:
            witnessing = open_witnessing(log, source, settings, key.verifier, clock)
            witnessing.check()
            steps["witness"] = make_witness_step(witnessing, metrics, settings.witness_seconds)
            steps["witness"]()  # before anything is signed: a witness may be ahead
        if (signer := open_anchor_signer(settings)) is not None:
            anchors = open_anchors(config.chain, signer)
            metrics.registry.register(EndpointCollector(anchors.contracts.endpoints))
            anchorer = Anchorer(log, source, anchors, signer, clock)
            metrics.anchored.set(anchorer.check())
            anchorer.log_newest()
            steps["anchor"] = make_anchor_step(anchorer, metrics, settings.anchor_seconds)
        tell_running(log, _running(settings, access, "" if signer is None else signer.address))
        journal.get("log").info("started", origin=log.origin, size=log.checkpoint.size, vkey=str(key.verifier))
        app = make_app(log, source, access, metrics)
        add_receipts(app, log, source, key)
        Background().run(steps, app, settings.listen)
    finally:
        log.close()
    journal.get("log").info("stopped")


def rotate_custody_key(config: Config, new_password_file: Path) -> Path:
    """A new custody key in the place of the old one, under a new password; returns the file. The log must not be running.

    The new key's file is written first, beside the old one's; then everything is wrapped anew in one transaction, and the log says so;
    then the file moves into its place. After a crash in between, exactly one of the two files opens custody, and the log's start says
    which key it wants. Raises ConfigRejected, or LogRefused where the log is running.
    """
    settings = require_log(config)
    new, new_file = CustodyKey.generate(), settings.custody_key_file.with_suffix(".new.json")
    write_custody_key(new_file, new, read_new_password(new_password_file))
    log, clock = open_idle_log(config), SystemClock()
    try:
        count = log.custody.rotate(new)
        log.append(OWN_WRITER, custody_rotation_entry(new.id, clock.now()))
    finally:
        log.close()
    new_file.replace(settings.custody_key_file)
    journal.get("log").info("custody key rotated", key=new.id.hex(), subjects=count)
    return settings.custody_key_file


def open_idle_log(config: Config) -> Log:
    """A configuration's log, for work on it while it does not serve. Raises ConfigRejected, or LogRefused where it is running."""
    settings = require_log(config)
    key = read_key_file(settings.key_file, read_secret(settings.password_file))
    return Log.open(_places(settings), key, _keeper(settings), SystemClock())


def open_anchor_signer(settings: LogConfig) -> PreimageSigner | None:
    """The key that signs anchors, in a keystore here or behind a remote signer; None where the log is not anchored."""
    if settings.anchor_keystore is None and settings.signer_url is None:
        return None
    remote = {f.name: getattr(settings, f.name) for f in fields(SignerConfig)}
    return open_signer(KeyConfig(keystore=settings.anchor_keystore, password_file=settings.password_file, **remote), "log: anchors")


def _running(settings: LogConfig, access: Access, anchor_key: str) -> Running:
    policy = b"" if settings.witnesses is None else settings.witnesses.read_bytes()
    writers, readers = list(access.writers.values()), list(access.readers.values())
    return Running(version("affidavit"), writers, readers, settings.retention, policy, anchor_key)


def require_log(config: Config) -> LogConfig:
    """Raises ConfigRejected for a configuration without a table [log]."""
    if config.log is None:
        raise ConfigRejected("configuration", "a table [log]", "none")
    return config.log


def _places(settings: LogConfig) -> Places:
    return Places(settings.directory, settings.database, settings.checkpoint_database, settings.custody_database)


def _keeper(settings: LogConfig) -> Keeper:
    key = read_custody_key(settings.custody_key_file, read_secret(settings.custody_password_file))
    return Keeper(key, parse_retention(settings.retention))


def open_anchors(chain: ChainConfig, signer: PreimageSigner) -> ContractAnchors:
    """The AuditAnchor of a deployment, paid for by `signer`. Raises ConfigRejected or ChainError."""
    contracts = connect(chain)
    contracts.check_deployment()
    return ContractAnchors(contracts, AnchorSender(contracts, signer))


def make_anchor_step(anchorer: Anchorer, metrics: LogMetrics, pause_seconds: float) -> Step:
    """One round of anchoring. A chain or a remote signer that does not answer is tried again; a refusal stays, and readers are served."""

    def step() -> float:
        try:
            anchor = anchorer.run_once()
        except (ChainError, PeerError):
            metrics.anchor_failures.inc()
            raise
        except Rejected as refusal:  # the log refuses, or the contract does (CallReverted): both stay, and a person must look
            metrics.anchor_failures.inc()
            journal.get("anchor").critical("not anchored", reason=str(refusal))
            return pause_seconds
        if anchor is not None:
            metrics.anchored.set(anchor.size)
        return pause_seconds

    return step


def make_prune_step(log: Log, clock: Clock, metrics: LogMetrics, pause_seconds: float) -> Step:
    """One round of pruning what is past its retention; the next at once where there may be more."""

    def step() -> float:
        try:
            swept, pruned = log.custody.sweep(), prune_once(log, clock)
        except LogRefused:  # told already by whoever refused; the door stays open for readers
            return pause_seconds
        metrics.pruned.inc(len(pruned))
        if swept or pruned:
            journal.get("retention").info("pruned", records=len(pruned), swept=swept)
        return 0.0 if pruned else pause_seconds

    return step


def make_clock_step(log: Log, clock: Clock, metrics: LogMetrics, pause_seconds: float) -> Step:
    """One record of what the kernel says of the clock."""

    def step() -> float:
        state = read_clock_state()
        metrics.clock_synchronised.set(state.is_synchronised)
        with suppress(LogRefused):  # told already by whoever refused; the door stays open for readers
            log.append(OWN_WRITER, clock_entry(state, OWN_WRITER, clock.now()))
        return pause_seconds

    return step
