"""Bringing a log's checkpoints to its witnesses (c2sp.org/tlog-witness), and what it means where one knows better.

A witness remembers the newest tree it cosigned. Where that is larger than the log, or not a tree this log has, the log was restored
from a backup or forked: it refuses to sign. A round takes the last checkpoint to every witness of the policy; the cosignatures are
kept in the database of the checkpoint (never restored from a backup), published on the checkpoint if it is still the last one, and, where
they satisfy the policy, in the file `witnessed`, which proofs lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from oracle import journal
from oracle.audit.checkpoint import open_checkpoint
from oracle.audit.cosign import Cosignature, WitnessKey, open_cosignature
from oracle.audit.files import replace_file
from oracle.audit.log import Log
from oracle.audit.note import Note, VerifierKey, parse
from oracle.audit.policy import Policy, PolicyWitness
from oracle.audit.source import LogSource
from oracle.audit.submission import (
    MAX_PROOF_HASHES,
    MAX_SUBMISSION_BYTES,
    SIZE_TYPE,
    Submission,
    parse_cosignature_lines,
    parse_known_size,
    write_submission,
)
from oracle.audit.tiles import subtree_reader
from oracle.audit.tree import compute_consistency_from, compute_root_from, sha256
from oracle.audit.witness_store import CosignedStore, CosignedTree
from oracle.errors import InvariantBroken, LogRefused, MalformedInput, NoteRejected, PeerError
from oracle.reading import read_bounded
from oracle.records import Bytes32, Checkpoint
from oracle.seams import Clock

TIMEOUT_SECONDS = 5.0
REFRESH_SECONDS = 600
"""A cosignature of an unchanged tree is asked for again after this time: it says until when the witness saw nothing newer."""
MAX_PAUSE_SECONDS = 60.0
_ATTEMPTS = 3


class WitnessRefused(PeerError):
    """A witness that answered, and does not cosign: 400, 403, 404, 413, 422. `status` says which."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class KnownSize:
    """A 409: the tree the witness has."""

    size: int


class WitnessClient:
    """One witness over HTTP. Raises PeerError where it does not answer, WitnessRefused where it refuses."""

    def __init__(
        self, witness: PolicyWitness, timeout_seconds: float = TIMEOUT_SECONDS, transport: httpx.BaseTransport | None = None
    ) -> None:
        if witness.url is None:
            raise InvariantBroken("a client needs its witness's URL")
        self.witness = witness
        self._url = witness.url.rstrip("/")
        self._http = httpx.Client(timeout=timeout_seconds, transport=transport)

    def close(self) -> None:
        self._http.close()

    def add_checkpoint(self, submission: Submission, now: float) -> Cosignature | KnownSize:
        """Its cosignature, verified, or the size it has instead of the old one."""
        status, kind, body = self._ask("POST", "/add-checkpoint", write_submission(submission))
        try:
            if status == 200:
                return self._find_cosignature(submission.note, body, now)
            if status == 409 and kind == SIZE_TYPE:
                return KnownSize(parse_known_size(body))
        except (MalformedInput, NoteRejected) as error:
            raise PeerError(f"witness {self.witness.name} answered {status} with {error}") from error
        text = f"witness {self.witness.name} answered {status}: {body[:200].decode('utf-8', 'replace')!a}"
        if 400 <= status < 500 and status not in (408, 409, 425, 429):
            raise WitnessRefused(status, text)
        raise PeerError(text)

    def read_checkpoint(self, origin: str) -> bytes | None:
        """The newest checkpoint of a log that it shows; None where it shows none. Nothing of it is verified."""
        status, _kind, body = self._ask("GET", f"/{sha256(origin.encode()).hex()}/checkpoint", None)
        return body if status == 200 else None

    def _find_cosignature(self, note: bytes, body: bytes, now: float) -> Cosignature:
        text, key = parse(note).text, self.witness.key
        lines = [line for line in parse_cosignature_lines(text, body) if (line.name, line.key_id) == (key.name, key.key_id)]
        if not lines:
            raise MalformedInput("cosignature", f"one by {key}", "none")
        return open_cosignature(text, lines[0], key, now)

    def _ask(self, method: str, path: str, content: bytes | None) -> tuple[int, str, bytes]:
        """Status, content type and body; no more of it is read than a witness has to say."""
        try:
            with self._http.stream(method, self._url + path, content=content) as answer:
                body = read_bounded(answer, f"witness {self.witness.name}", MAX_SUBMISSION_BYTES, 2 * TIMEOUT_SECONDS)
                return answer.status_code, answer.headers.get("content-type", "").split(";")[0].strip(), body
        except httpx.HTTPError as error:
            raise PeerError(f"witness {self.witness.name} at {self._url} did not answer") from error


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one checkpoint: who cosigned it, and why the others did not."""

    checkpoint: Checkpoint  # with the cosignatures there are
    names: tuple[str, ...]
    failures: Mapping[str, str]
    is_met: bool


@dataclass(slots=True)
class _Peer:
    """One witness, with what went wrong lately."""

    client: WitnessClient
    failures: int = 0
    not_before: float = 0.0  # POSIX seconds

    @property
    def name(self) -> str:
        return self.client.witness.name


class Witnessing:
    """The witnesses of one running log. Used by one thread."""

    def __init__(
        self,
        log: Log,
        source: LogSource,
        directory: Path,
        key: VerifierKey,
        policy: Policy,
        store: CosignedStore,
        clock: Clock,
        make_client: Callable[[PolicyWitness], WitnessClient] = WitnessClient,
    ) -> None:
        self._log = log
        self._source = source
        self._directory = directory
        self._key = key
        self._policy = policy
        self._store = store
        self._clock = clock
        self._journal = journal.get("witness")
        self._peers = [_Peer(make_client(witness)) for witness in policy.witnesses if witness.url is not None]
        self._cosignatures: dict[WitnessKey, Cosignature] = {}  # of self._current
        self._current: Checkpoint | None = None

    def close(self) -> None:
        for peer in self._peers:
            peer.client.close()

    # ---- before the door opens ---------------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Holds the log against every tree its witnesses cosigned, as far as it was told. Raises LogRefused, and stops the log."""
        for tree in self._store.trees(self._log.origin):
            self._require_ours(tree.witness, tree.size, tree.root)
        witnessed = self._store.witnessed(self._log.origin)
        if witnessed is not None:
            self._require_ours("the witnesses", witnessed.size, witnessed.root)
            self._log.witnessed = witnessed
            replace_file(self._directory / "witnessed", witnessed.note.encode())

    def _require_ours(self, witness: str, size: int, root: Bytes32) -> None:
        checkpoint = self._log.checkpoint
        if size > checkpoint.size:
            self._refuse(
                LogRefused("log", f"at least the {size} entries that {witness} cosigned", f"{checkpoint.size}: restored from a backup?")
            )
        if (ours := self._root_at(size)) != root:
            self._refuse(LogRefused(f"root at the size {size} that {witness} cosigned", root.hex(), f"{ours.hex()}: another log?"))

    def _root_at(self, size: int) -> Bytes32:
        return compute_root_from(size, subtree_reader(self._log.checkpoint.size, self._source.read_tile))

    def _refuse(self, reason: LogRefused) -> None:
        self._log.refuse(reason)
        raise reason

    # ---- one round ---------------------------------------------------------------------------------------------------------------------
    def run_once(self) -> Round | None:
        """Takes the last checkpoint to every witness that has not cosigned it lately; None where there is nothing to do.

        Raises LogRefused, and stops the log, where a witness is ahead of it or has another tree. What is wrong with one keeps no other.
        """
        if (refusal := self._log.refusal) is not None:
            raise LogRefused(refusal.what, refusal.expected, refusal.got)
        checkpoint, now = self._log.checkpoint, self._clock.now().timestamp()
        self._turn_to(checkpoint)
        due = [peer for peer in self._peers if self._is_due(peer, now)]
        if not due or checkpoint.size == 0:
            return None
        submitted = _without_cosignatures(checkpoint, self._key)
        with ThreadPoolExecutor(len(due)) as pool:
            results = list(pool.map(lambda peer: self._try(peer, submitted, now), due))
        for refusal in (result for result in results if isinstance(result, LogRefused)):
            self._refuse(refusal)
        failures = {peer.name: str(result) for peer, result in zip(due, results, strict=True) if isinstance(result, Exception)}
        return self._settle([result for result in results if isinstance(result, Cosignature)], failures)

    def _turn_to(self, checkpoint: Checkpoint) -> None:
        if self._current is None or (self._current.size, self._current.root) != (checkpoint.size, checkpoint.root):
            self._current, self._cosignatures = checkpoint, {}

    def _is_due(self, peer: _Peer, now: float) -> bool:
        last = self._cosignatures.get(peer.client.witness.key)
        return now >= peer.not_before and (last is None or now - last.time >= REFRESH_SECONDS)

    def _try(self, peer: _Peer, submitted: Checkpoint, now: float) -> Cosignature | Exception:
        """On a thread of its own: whatever happens is handed back, so that it is judged on one thread."""
        try:
            found = self._cosign(peer.client, submitted, now)
        except LogRefused as refusal:
            return refusal
        except PeerError as error:
            peer.failures += 1
            peer.not_before = now + min(MAX_PAUSE_SECONDS, 2.0 ** min(peer.failures, 16))
            self._journal.warning("not cosigned", witness=peer.name, reason=str(error), cause=repr(error.__cause__))
            return error
        peer.failures = 0
        return found

    def _cosign(self, client: WitnessClient, submitted: Checkpoint, now: float) -> Cosignature:
        key = _name(client.witness.key)
        known = self._store.tree(self._log.origin, key)
        old = known.size if known is not None else 0
        for _attempt in range(_ATTEMPTS):
            answer = self._submit(client, submitted, old, now)
            if isinstance(answer, Cosignature):
                self._store.remember(self._log.origin, CosignedTree(key, submitted.size, submitted.root, answer.time))
                return answer
            if answer.size > submitted.size:
                self._judge_larger(client, submitted, answer.size)
            old = answer.size
        raise PeerError(f"witness {client.witness.name} named another size {_ATTEMPTS} times")

    def _submit(self, client: WitnessClient, submitted: Checkpoint, old: int, now: float) -> Cosignature | KnownSize:
        read = subtree_reader(submitted.size, self._source.read_tile)
        proof = compute_consistency_from(old, submitted.size, read) if old else []
        if len(proof) > MAX_PROOF_HASHES:
            raise InvariantBroken("a consistency proof has at most 63 hashes below size 2^63")
        try:
            return client.add_checkpoint(Submission(old, tuple(proof), submitted.note.encode()), now)
        except WitnessRefused as refusal:
            if refusal.status == 422:
                self._judge_unproven(client, old, refusal)
            raise

    # ---- where a witness knows better ----------------------------------------------------------------------------------------------------
    def _judge_larger(self, client: WitnessClient, submitted: Checkpoint, size: int) -> None:
        """A witness with a larger tree. Where the log has not grown to it meanwhile, it was restored from a backup. Raises LogRefused."""
        now = self._log.checkpoint.size
        if size <= now:
            raise PeerError(f"witness {client.witness.name} has size {size} already, not {submitted.size}")
        word = "by this log's own signature" if self._has_evidence(client, size) else "by its word"
        raise LogRefused("log", f"at least the {size} entries that witness {client.witness.name} has, {word}", f"{now}: restored?")

    def _judge_unproven(self, client: WitnessClient, old: int, refusal: WitnessRefused) -> None:
        """The witness's tree of size `old` is none this log extends. Raises LogRefused, unless the log knows better.

        It does where it remembers that this witness cosigned this very tree: then the witness lost its memory, or lies.
        """
        if old == 0:
            return
        known = self._store.tree(self._log.origin, _name(client.witness.key))
        if known is not None and known.size == old and known.root == self._root_at(old):
            self._journal.critical("a witness denies a tree it cosigned", witness=client.witness.name, size=old, reason=str(refusal))
            return
        raise LogRefused(
            f"tree of size {old}", f"the one that witness {client.witness.name} cosigned", "one it finds no extension of it"
        ) from refusal

    def _has_evidence(self, client: WitnessClient, size: int) -> bool:
        """Whether the witness shows a checkpoint of at least that size with this log's signature."""
        try:
            note = client.read_checkpoint(self._log.origin)
            return note is not None and open_checkpoint(note, self._key).size >= size
        except (PeerError, NoteRejected):
            return False

    # ---- what was gained -----------------------------------------------------------------------------------------------------------------
    def _settle(self, gained: Sequence[Cosignature], failures: Mapping[str, str]) -> Round:
        self._cosignatures |= {cosignature.key: cosignature for cosignature in gained}
        checkpoint = self._current
        if checkpoint is None:
            raise InvariantBroken("a round is of a checkpoint")
        names = tuple(sorted(self._policy.name_of(key) for key in self._cosignatures))
        cosigned = _with_cosignatures(_without_cosignatures(checkpoint, self._key), list(self._cosignatures.values()))
        is_met = self._policy.is_met(names)
        if gained:
            self._publish(cosigned, is_met)
        return Round(cosigned, names, failures, is_met)

    def _publish(self, cosigned: Checkpoint, is_met: bool) -> None:
        self._log.attach(cosigned)
        if is_met and cosigned.size > 0:
            self._store.witness(cosigned)
            replace_file(self._directory / "witnessed", cosigned.note.encode())
            self._log.witnessed = cosigned


def _name(key: WitnessKey) -> str:
    """What a witness is remembered by: its verifier key would be long for some algorithms."""
    return f"{key.name}+{key.key_id.hex()}"


def _without_cosignatures(checkpoint: Checkpoint, key: VerifierKey) -> Checkpoint:
    """Only the log's own signature: some witnesses take small requests."""
    note = parse(checkpoint.note.encode())
    own = tuple(s for s in note.signatures if (s.name, s.key_id) == (key.name, key.key_id))
    return replace(checkpoint, note=Note(note.text, own).encode().decode())


def _with_cosignatures(checkpoint: Checkpoint, cosignatures: Sequence[Cosignature]) -> Checkpoint:
    note = parse(checkpoint.note.encode())
    lines = tuple(c.signature for c in sorted(cosignatures, key=lambda c: (c.key.name, c.key.key_id)))
    return replace(checkpoint, note=Note(note.text, (*note.signatures, *lines)).encode().decode())
