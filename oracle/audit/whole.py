"""Auditing a whole log: every entry bundle, every tile, every anchor, every writer's sequence, every call.

The steps are those of one call, each over everything. What is missing without being false (an intent without a result, an anchor that
was not logged yet) is a remark, not a failure: completeness is judged by people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from oracle.audit.access import OWN_WRITER
from oracle.audit.call import ClaimChecks
from oracle.audit.onchain import audit_on_chain
from oracle.audit.parallel import Workers
from oracle.audit.record import Previous, Record, parse_record
from oracle.audit.report import (
    ANCHORS,
    ENTRY,
    INCLUSION,
    AuditReport,
    AuditStep,
    OnStep,
    StepRecorder,
    StepStatus,
    failing_at,
    require_equal,
)
from oracle.audit.tiles import WIDTH, Tile, compute_tile_root
from oracle.audit.tree import Frontier, hash_leaf
from oracle.audit.verify import audit_anchors, audit_checkpoint
from oracle.audit.view import LogView, check_shown, count_hidden
from oracle.encoding import to_hex
from oracle.errors import AuditFailed, EntryRejected, InvariantBroken, ProofRejected, Rejected
from oracle.records import Anchor, Bytes32, EntryKind
from oracle.seams import ChainReader

_WORTH_PROCESSES = 1 << 14  # entries: below, starting processes takes longer than they save
OnProgress = Callable[[str, int, int], None]
"""(what, done, of how many)"""


def _no_progress(_what: str, _done: int, _total: int) -> None:
    """For callers that show none."""


@dataclass(slots=True)
class _Books:
    """What is kept while the entries go by: small things, not the entries."""

    sequences: dict[str, int] = field(default_factory=dict)  # by writer, the last
    calls: dict[Bytes32, list[Previous]] = field(default_factory=dict)  # by id, the places of a call's records
    on_chain: set[Bytes32] = field(default_factory=set)  # those of them that are about a request on chain
    open_intents: dict[int, Bytes32] = field(default_factory=dict)  # intents without a result or error yet
    anchors: list[tuple[int, Record]] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    shown_bodies: int = 0
    hidden_bodies: int = 0


def verify_log(
    view: LogView,
    chain: ChainReader,
    log_id: Bytes32 | None,
    checks: ClaimChecks,
    on_step: OnStep | None = None,
    on_progress: OnProgress = _no_progress,
    processes: int = 1,
) -> AuditReport:
    """Audits everything up to the view's checkpoint. Raises AuditFailed at the first thing that does not hold.

    With more than one process (`oracle.audit.parallel`), entries are hashed and parsed by that many; what is said is the same.
    """
    steps, books = StepRecorder(on_step), _Books()
    leaves = _audit_bundles(view, books, on_progress, processes if view.size >= _WORTH_PROCESSES else 1)
    _tell_entries(view, steps, books)
    _audit_tiles(view, leaves, steps)
    audit_checkpoint(view, steps)
    anchors = None if log_id is None else chain.anchors(log_id)
    audit_anchors(view, steps, anchors, view.size - 1)
    if anchors is not None:
        _audit_logged_anchors(steps, books, anchors, log_id)
    _audit_calls(view, steps, chain, checks, books, on_progress)
    return steps.report(f"log {view.checkpoint.origin} of {view.size} entries")


# ---- steps 1 and 2 ------------------------------------------------------------------------------------------------------------------
def _audit_bundles(view: LogView, books: _Books, on_progress: OnProgress, processes: int) -> list[Bytes32]:
    """Every entry, hashed; the root over all of them must be the checkpoint's. Returns the leaf hashes."""
    frontier, leaves = Frontier(), list[Bytes32]()
    with Workers(processes) as workers:
        for number, told in enumerate(workers.map(_tell_bundle, _read_bundles(view))):
            start = len(leaves)
            records = _enter_bundle(view, books, start, told)
            for leaf_hash, _ in told:
                leaves.append(leaf_hash)
                frontier.append(leaf_hash)
            with failing_at(ENTRY, f"content of bundle {number}"):
                _count_contents(view, books, start, records)
            on_progress("entries", len(leaves), view.size)
    if frontier.root() != view.checkpoint.root:
        _blame(view, leaves, frontier.root())
    return leaves


def _read_bundles(view: LogView) -> Iterator[list[bytes]]:
    for number in range(-(-view.size // WIDTH)):
        with failing_at(ENTRY, f"entry bundle {number}"):
            yield view.bundle(number)


class _Told(NamedTuple):
    """What the books need of a record: small, and quickly handed from one process to another."""

    kind: EntryKind
    writer: str
    sequence: int
    call_id: Bytes32 | None
    is_on_chain: bool
    previous: tuple[int, Bytes32] | None
    intent: int | None  # of a result or error that names one
    hidden: int | None  # bodies and sealed fields it commits to; None where custody keeps nothing of it
    anchor: Record | None


_LeafTold = tuple[Bytes32, _Told | None]
"""(leaf hash, what the entry tells: None where it is no record)"""


def _tell_bundle(bundle: list[bytes]) -> list[_LeafTold]:
    """In whatever process. Nothing is judged here: what is no record is parsed again where its error is told."""
    return [(hash_leaf(data), _tell_or_none(data)) for data in bundle]


def _tell_or_none(data: bytes) -> _Told | None:
    try:
        return _tell(parse_record(data))
    except Rejected:
        return None


def _tell(record: Record) -> _Told:
    """Raises EntryRejected or MalformedInput for ids and indices that are none."""
    is_end = record.kind in (EntryKind.RESULT, EntryKind.ERROR) and "audit.intent.index" in record.fields
    return _Told(
        record.kind,
        record.writer,
        record.sequence,
        record.call_id,
        record.request_id is not None,
        None if record.previous is None else (record.previous.index, record.previous.leaf_hash),
        record.integer("audit.intent.index") if is_end else None,
        None if record.retention is None else count_hidden(record, None),
        record if record.kind is EntryKind.ANCHOR else None,
    )


def _enter_bundle(view: LogView, books: _Books, start: int, bundle: Sequence[_LeafTold]) -> list[_Told]:
    records: list[_Told] = []
    for index, (leaf_hash, told) in enumerate(bundle, start):
        with failing_at(ENTRY, f"entry {index}"):
            record = told or _tell(_parse_or_blame(view, view.read_bytes(index), index))
            _enter(books, Previous(index, leaf_hash), record)
        records.append(record)
    return records


def _parse_or_blame(view: LogView, data: bytes, index: int) -> Record:
    """A record that does not parse. Whether it was so logged or was changed since, the entry is what is wrong."""
    try:
        return parse_record(data)
    except EntryRejected as error:
        view.read(index)  # says it better where the tile has another leaf hash
        raise InvariantBroken(f"entry {index} parses once and not the next time") from error


def _blame(view: LogView, leaves: Sequence[Bytes32], root: Bytes32) -> None:
    """The entries do not give the signed root: the first whose tile disagrees was changed; if none, the tiles were changed too."""
    with failing_at(ENTRY):
        for index, leaf_hash in enumerate(leaves):
            if view.subtree(0, index) != leaf_hash:
                raise EntryRejected(f"leaf hash of entry {index}", view.subtree(0, index).hex(), leaf_hash.hex())
    with failing_at(INCLUSION):
        raise ProofRejected("root over all entries", view.checkpoint.root.hex(), root.hex())


def _enter(books: _Books, place: Previous, told: _Told) -> None:
    """Keeps the books: sequence numbers without gaps, links between the records of a call, intents and what became of them."""
    require_equal(f"sequence number of {told.writer}", books.sequences.get(told.writer, 0) + 1, told.sequence)
    books.sequences[told.writer] = told.sequence
    books.kinds[told.kind] = books.kinds.get(told.kind, 0) + 1
    call_id = told.call_id
    if call_id is not None:
        places = books.calls.setdefault(call_id, [])
        named = None if told.previous is None else Previous(*told.previous)
        require_equal("record of the call before it", places[-1] if places else None, named)
        places.append(place)
        if told.is_on_chain:
            books.on_chain.add(call_id)
    if told.kind is EntryKind.INTENT and call_id is not None:
        books.open_intents[place.index] = call_id
    elif told.intent is not None:
        _close_intent(books, told.intent, call_id)
    elif told.anchor is not None:
        books.anchors.append((place.index, told.anchor))


def _close_intent(books: _Books, index: int, call_id: Bytes32 | None) -> None:
    """Only a record of the same call closes an intent: whether it is the same writer's, step 5 says."""
    if call_id is not None and books.open_intents.get(index) == call_id:
        del books.open_intents[index]


def _count_contents(view: LogView, books: _Books, start: int, bundle: Sequence[_Told]) -> None:
    """Holds all content that the log shows of a bundle against the records."""
    kept = {index: told.hidden for index, told in enumerate(bundle, start) if told.hidden is not None}
    shown = view.source.read_contents(min(kept), max(kept) + 1) if kept else {}
    for index, hidden in kept.items():
        content = shown.get(index)
        if content is None:
            books.hidden_bodies += hidden
            continue
        record = view.parse(index).record
        check_shown(content, record, index)
        books.hidden_bodies += count_hidden(record, content)
        books.shown_bodies += len(content.bodies) + (content.sealed is not None)


def _tell_entries(view: LogView, steps: StepRecorder, books: _Books) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(books.kinds.items()))
    writers = ", ".join(f"{writer} 1–{last}" for writer, last in sorted(books.sequences.items()))
    entries = f"{view.size} entries ({kinds}); sequences without gaps ({writers})"
    steps.passed(ENTRY, f"{entries}; {books.shown_bodies} bodies have their digests")
    if books.hidden_bodies:
        steps.remark(f"{books.hidden_bodies} bodies are not shown by this log location, or erased: only their digests were checked")
    for index, request_id in list(books.open_intents.items())[:20]:
        steps.remark(f"intent {index} of call {to_hex(request_id)} has neither result nor error")
    if len(books.open_intents) > 20:
        steps.remark(f"{len(books.open_intents)} intents in all have neither result nor error")


def _audit_tiles(view: LogView, leaves: Sequence[bytes], steps: StepRecorder) -> None:
    """Every tile is computed again from the entries and held against the bytes that are served."""
    count = 0
    for tile, data in _compute_tiles(leaves):
        with failing_at(INCLUSION, tile.path()):
            require_equal(f"tile {tile.path()}", data, view.source.read_tile(tile))
        count += 1
    steps.passed(INCLUSION, f"{count} tiles recomputed; root {view.checkpoint.root.hex()}")


def _compute_tiles(leaves: Sequence[bytes]) -> Iterator[tuple[Tile, bytes]]:
    level, hashes = 0, leaves
    while hashes:
        for start in range(0, len(hashes), WIDTH):
            row = hashes[start : start + WIDTH]
            yield Tile(level, start // WIDTH, len(row)), b"".join(row)
        full = range(0, len(hashes) - WIDTH + 1, WIDTH)
        hashes = [compute_tile_root(hashes[start : start + WIDTH]) for start in full]
        level += 1


# ---- step 4 and the calls -----------------------------------------------------------------------------------------------------------
def _audit_logged_anchors(steps: StepRecorder, books: _Books, anchors: Sequence[Anchor], log_id: Bytes32 | None) -> None:
    """Every anchor record tells of an anchor that is on chain. Records of other logs' anchors are none of ours."""
    on_chain = {(anchor.size, anchor.root, anchor.transaction) for anchor in anchors}
    roots = {anchor.size: anchor.root for anchor in anchors}
    logged = set()
    for index, record in books.anchors:
        with failing_at(ANCHORS, f"entry {index}"):
            if record.writer != OWN_WRITER:
                steps.remark(
                    f"entry {index} tells of an anchor and is by {record.writer}: what others than the log say of anchors does not count"
                )
                continue
            if record.digest("audit.log_id") != log_id:
                continue
            told = (record.integer("audit.anchor.size"), record.digest("audit.anchor.root"), record.digest("audit.transaction"))
            require_equal(f"anchored root of size {told[0]}", roots.get(told[0], told[1]), told[1])
            if told not in on_chain:
                steps.remark(f"entry {index} tells of an anchor of size {told[0]} that the chain does not have (reorganised away?)")
            logged.add(told)
    if missing := on_chain - logged:
        steps.remark(f"{len(missing)} anchors on chain are not logged yet")


def _audit_calls(
    view: LogView, steps: StepRecorder, chain: ChainReader, checks: ClaimChecks, books: _Books, on_progress: OnProgress
) -> None:
    """Steps 5 to 7 for each call; told once for each step, with how many calls had something to check."""
    done: dict[int, list[AuditStep]] = {}
    on_chain = {call_id: places for call_id, places in books.calls.items() if call_id in books.on_chain}
    for position, (request_id, places) in enumerate(on_chain.items()):
        of_call = StepRecorder()
        try:
            audit_on_chain(view, of_call, chain, [view.read(place.index) for place in places], checks)
        except AuditFailed as error:
            raise AuditFailed(error.step, f"call {to_hex(request_id)}: {error.what}", error.expected, error.got) from error
        for step in of_call.steps:
            done.setdefault(step.number, []).append(step)
        for remark in of_call.remarks:
            steps.remark(f"call {to_hex(request_id)}: {remark}")
        on_progress("calls", position + 1, len(on_chain))
    for number in sorted(done):
        passed = sum(step.status is StepStatus.PASSED for step in done[number])
        text = f"{passed} calls; {len(done[number]) - passed} with nothing to check yet"
        (steps.passed if passed else steps.absent)(number, text)
