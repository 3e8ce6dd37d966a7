"""A witness: remembers the newest checkpoint of each log it knows, and cosigns only what extends it (c2sp.org/tlog-witness).

Never two roots at one size, never a smaller tree: the old head is read and the new one written in one transaction, by compare-and-swap, and
the cosignature leaves only after it. Two notes of one size with different roots, both signed by the log, prove a fork to everybody: they
are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Engine, LargeBinary, MetaData, String, Table, Text, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from oracle import journal
from oracle.audit.checkpoint import parse_checkpoint
from oracle.audit.cosign import WitnessSigner
from oracle.audit.note import Note, VerifierKey, parse, verify
from oracle.audit.submission import MAX_TREE_SIZE, Submission, parse_submission
from oracle.audit.tree import EMPTY_ROOT, sha256, verify_consistency
from oracle.errors import MalformedInput, NoteRejected, ProofRejected, Rejected, StoreError
from oracle.records import Bytes32, Checkpoint
from oracle.seams import Clock
from oracle.store import open_database

_metadata = MetaData()
_heads = Table(
    "witness_heads",
    _metadata,
    Column("origin", String(512), primary_key=True),
    Column("size", BigInteger),
    Column("root", LargeBinary(32)),
    Column("note", Text),
)
_forks = Table(
    "witness_forks",
    _metadata,
    Column("origin", String(512), primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("root", LargeBinary(32), primary_key=True),
    Column("note", Text),
    Column("cosigned", Text),
    Column("time", BigInteger),
)


class SubmissionRefused(Rejected):
    """A checkpoint that is not cosigned; `status` is the one of tlog-witness."""

    def __init__(self, status: int, what: str, expected: object = None, got: object = None) -> None:
        self.status = status
        super().__init__(what, expected, got)


class OtherSize(SubmissionRefused):
    """The old size is not the one this witness has."""

    def __init__(self, known: int, got: int) -> None:
        self.known = known
        super().__init__(409, "old size", known, got)


@dataclass(frozen=True, slots=True)
class Fork:
    """Two notes of one log, of one size, with different roots: proof against whoever holds its key."""

    origin: str
    size: int
    submitted: str
    cosigned: str


_EMPTY = Checkpoint("", 0, EMPTY_ROOT, "")


class Witness:
    """One witness. Safe to use from several threads, and from several processes on one database."""

    def __init__(self, engine: Engine, signer: WitnessSigner, logs: Sequence[VerifierKey], clock: Clock) -> None:
        self.signer = signer
        self.logs: Mapping[str, list[VerifierKey]] = {key.name: [k for k in logs if k.name == key.name] for key in logs}
        self._engine = engine
        self._clock = clock
        self._journal = journal.get("witness")

    @classmethod
    def open(cls, database: str, signer: WitnessSigner, logs: Sequence[VerifierKey], clock: Clock) -> Witness:
        """`logs` are the keys of the logs it knows; several of one name are all accepted. Raises StoreError."""
        return cls(open_database(database, "witness"), signer, logs, clock)

    def close(self) -> None:
        self._engine.dispose()

    def latest(self, origin: str) -> Checkpoint | None:
        """The newest checkpoint it cosigned of a log, with its cosignature."""
        with _transaction(self._engine) as connection:
            return _read_head(connection, origin)

    def latest_by_hash(self, origin_hash: str) -> Checkpoint | None:
        """As `latest`, by the SHA-256 of the origin in lower-case hex."""
        origin = next((o for o in self.logs if sha256(o.encode()).hex() == origin_hash), None)
        return None if origin is None else self.latest(origin)

    def forks(self) -> list[Fork]:
        """What it refused and can prove."""
        query = select(_forks.c.origin, _forks.c.size, _forks.c.note, _forks.c.cosigned).order_by(_forks.c.time)
        with _transaction(self._engine) as connection:
            return [Fork(*row) for row in connection.execute(query)]

    def add_checkpoint(self, body: bytes) -> str:
        """The cosignature line. Raises SubmissionRefused, OtherSize, or StoreError."""
        submission, note, checkpoint = self._open(body)
        if submission.old_size > checkpoint.size:
            raise SubmissionRefused(400, "old size", f"at most the checkpoint's {checkpoint.size}", submission.old_size)
        with _transaction(self._engine) as connection:
            head = _read_head(connection, checkpoint.origin)
            refusal = _find_refusal(submission, checkpoint, head or _EMPTY)
            if refusal is None:
                return self._cosign(connection, note, checkpoint, head)
            if head is not None and head.size == checkpoint.size and head.root != checkpoint.root:
                self._keep_fork(connection, checkpoint, head)
        raise refusal

    def _open(self, body: bytes) -> tuple[Submission, Note, Checkpoint]:
        """In the order of tlog-witness: 400 for what does not parse, 404, 403, then what the checkpoint says."""
        try:
            submission = parse_submission(body)
            origin = parse(submission.note).text.split("\n", 1)[0]
        except (MalformedInput, NoteRejected) as error:
            raise SubmissionRefused(400, error.what, error.expected, error.got) from error
        keys = self.logs.get(origin)
        if keys is None:
            raise SubmissionRefused(404, "origin", "a log this witness knows", ascii(origin)[:80])
        try:
            note = verify(submission.note, keys)
        except NoteRejected as error:
            raise SubmissionRefused(403, error.what, error.expected, error.got) from error
        return submission, note, _read_checkpoint(note)

    def _cosign(self, connection: Connection, note: Note, checkpoint: Checkpoint, head: Checkpoint | None) -> str:
        cosignature = self.signer.cosign(note.text, int(self._clock.now().timestamp()))
        cosigned = Note(note.text, (*note.signatures, cosignature)).encode().decode()
        _advance(connection, head, Checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root, cosigned))
        return cosignature.line()

    def _keep_fork(self, connection: Connection, checkpoint: Checkpoint, head: Checkpoint) -> None:
        self._journal.critical("a log signed two trees of one size", origin=checkpoint.origin, size=checkpoint.size)
        place = (_forks.c.origin == head.origin, _forks.c.size == head.size, _forks.c.root == checkpoint.root)
        if connection.execute(select(_forks.c.size).where(*place)).one_or_none() is None:
            time = int(self._clock.now().timestamp())
            columns = {"origin": head.origin, "size": head.size, "root": checkpoint.root, "note": checkpoint.note}
            connection.execute(insert(_forks), columns | {"cosigned": head.note, "time": time})


def _read_checkpoint(note: Note) -> Checkpoint:
    try:
        checkpoint = parse_checkpoint(note.encode())
    except NoteRejected as error:
        status = 422 if error.what == "checkpoint root of an empty log" else 400
        raise SubmissionRefused(status, error.what, error.expected, error.got) from error
    if checkpoint.size > MAX_TREE_SIZE:
        raise SubmissionRefused(400, "checkpoint size", f"at most {MAX_TREE_SIZE}", checkpoint.size)
    return checkpoint


def _find_refusal(submission: Submission, checkpoint: Checkpoint, head: Checkpoint) -> SubmissionRefused | None:
    """Why this does not extend the head; None where it does."""
    if submission.old_size != head.size:
        return OtherSize(head.size, submission.old_size)
    if head.size == 0:
        return SubmissionRefused(422, "consistency proof", "none from size 0", len(submission.proof)) if submission.proof else None
    try:
        verify_consistency(head.size, checkpoint.size, submission.proof, head.root, checkpoint.root)
    except ProofRejected as error:
        return SubmissionRefused(422, error.what, error.expected, error.got)
    return None


def _read_head(connection: Connection, origin: str) -> Checkpoint | None:
    row = connection.execute(select(_heads).where(_heads.c.origin == origin)).one_or_none()
    return Checkpoint(row[0], row[1], Bytes32(row[2]), row[3]) if row else None


def _advance(connection: Connection, head: Checkpoint | None, new: Checkpoint) -> None:
    """Compare-and-swap from `head`. Raises OtherSize where another process was faster, StoreError where it was the first."""
    columns = {"origin": new.origin, "size": new.size, "root": new.root, "note": new.note}
    c = _heads.c
    if head is None:
        try:
            connection.execute(insert(_heads), columns)
        except IntegrityError as error:
            raise StoreError("another process cosigned the first checkpoint of this log") from error
        return
    statement = update(_heads).where(c.origin == head.origin, c.size == head.size, c.root == head.root).values(**columns)
    if connection.execute(statement).rowcount != 1:
        now = _read_head(connection, head.origin)
        raise OtherSize(now.size if now else 0, head.size)


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError("the witness's database failed") from error
