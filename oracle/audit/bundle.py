"""An evidence bundle: everything about one call or one record that an auditor can verify without us, our log, or a node.

    README.txt  manifest.json  verify.py         in plain words; what there is, with SHA-256 of every file; the script
    checkpoint  records/  proofs/                the signed tree, the records' exact bytes, one tlog-proof each
    anchors/    chain/                           consistency proofs; transactions and receipts with proofs to a block's hash
    bodies/     openings/                        disclosed content, only where it is asked for

The format with example bytes is in docs/bundle.md; what is made here is verified by `oracle.audit.bundle_verify`, which is the script
inside. A bundle that does not hold is never written.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oracle.audit import bundle_verify
from oracle.audit.blocks import BlockNotKnown, BlockReader
from oracle.audit.bundle_readme import write_readme
from oracle.audit.content import Content
from oracle.audit.files import replace_file
from oracle.audit.note import VerifierKey
from oracle.audit.proof import LogProof, write_proof
from oracle.audit.seal import opening_to_json
from oracle.audit.source import cut_tile
from oracle.audit.tiles import Tile, tile_at
from oracle.audit.tree import compute_consistency_from, compute_inclusion_from, sha256
from oracle.audit.verify import read_call
from oracle.audit.view import LoggedRecord, LogView
from oracle.encoding import canonical_json, compute_log_id, keccak256, to_hex
from oracle.errors import AuditFailed, ConfigRejected, InvariantBroken
from oracle.records import Address, Anchor, Bytes32, EntryKind, Operator
from oracle.seams import ChainReader

FORMAT = bundle_verify.FORMAT
MAX_ANCHORS = 256
"""Anchors with a consistency proof: the first that covers the records, and the newest. Of that first and the newest, transactions too."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where evidence is taken from: one checkpoint of a log, and a chain."""

    view: LogView
    chain: ChainReader
    blocks: BlockReader
    audit_anchor: Address
    anchor_key: Address | None = None


@dataclass(frozen=True, slots=True)
class Disclosed:
    """Whether content is taken along, and which fields of it: all where `names` is empty."""

    with_content: bool = False
    names: frozenset[str] = frozenset()

    def is_shown(self, name: str) -> bool:
        """`name` of a sealed field, or of a body ("name[i]" in a list)."""
        return not self.names or name.partition("[")[0] in self.names


@dataclass(frozen=True, slots=True)
class Subject:
    """What a bundle is about, with its records, oldest first."""

    kind: str  # "call" on the chain, "outside_call", or "record" for one of no call
    id: str | int
    records: Sequence[LoggedRecord]

    @property
    def last_index(self) -> int:
        return self.records[-1].index


@dataclass
class _Chain:
    """Evidence from the chain, as it is collected."""

    files: dict[str, bytes] = field(default_factory=dict)
    roles: list[dict[str, str]] = field(default_factory=list)
    operators: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def make_bundle(place: Place, subject: Bytes32 | int, disclosed: Disclosed = Disclosed()) -> dict[str, bytes]:
    """The files of a bundle, by path; the same for the same log, chain and subject. Reading content may itself be logged by the log.

    Raises AuditFailed where something does not hold, ChainError, PeerError or StoreError where the world does not answer.
    """
    about = find_subject(place.view, subject)
    place = replace(place, view=choose_head(place, about.last_index))
    chain = _Chain()
    files = {"checkpoint": place.view.checkpoint.note.encode()}
    for logged in about.records:
        files |= _record_files(place.view, logged)
        if disclosed.with_content:
            files |= _content_files(logged, place.view.content(logged), disclosed)
    files |= _anchor_files(place, about, chain)
    if about.kind == "call":
        _collect_call(place, about, chain)
    files |= chain.files
    files["verify.py"] = Path(bundle_verify.__file__).read_bytes()
    files["README.txt"] = write_readme(about.kind, about.id, place.view.checkpoint, disclosed.with_content).encode()
    files["manifest.json"] = _manifest(place, about, chain, files)
    require_holds(files)
    return files


def find_subject(view: LogView, subject: Bytes32 | int) -> Subject:
    """The records of a call, or of the call that the record at an index belongs to. Raises AuditFailed."""
    if not isinstance(subject, int):
        return _call(view, subject)
    named = view.read(subject)
    call_id = named.record.call_id
    return Subject("record", subject, [named]) if call_id is None else _call(view, call_id)


def choose_head(place: Place, last_index: int) -> LogView:
    """The head that witnesses cosigned, where it covers the records, and no anchor that does is only in the newest one.

    Raises ProofRejected or NoteRejected where it is not of this log.
    """
    view = place.view
    note = view.source.read_witnessed()
    if note is None:
        return view
    witnessed = LogView(_Head(view, note), view.key)
    view.verify_extends(witnessed.checkpoint)
    if last_index >= witnessed.size:
        return view
    covering = [anchor.size for anchor in _anchors_of(place) if last_index < anchor.size <= view.size]
    return view if covering and covering[0] > witnessed.size else witnessed


class _Head:
    """A log as it was at an older checkpoint: its tiles are the fronts of those that the newer one has."""

    def __init__(self, newest: LogView, note: bytes) -> None:
        self._source, self._size, self._note = newest.source, newest.size, note

    def read_checkpoint(self) -> bytes:
        return self._note

    def read_witnessed(self) -> bytes | None:
        return self._note

    def read_tile(self, tile: Tile) -> bytes:
        return cut_tile(self._source.read_tile(tile_at(tile.level, tile.index, self._size)), tile)

    def read_contents(self, first: int, end: int) -> Mapping[int, Content]:
        return self._source.read_contents(first, end)

    def find_entries(self, request_id: Bytes32) -> Sequence[int] | None:
        return self._source.find_entries(request_id)


def _anchors_of(place: Place) -> Sequence[Anchor]:
    """Of this log, oldest first; none where nobody said whose key anchors it."""
    if place.anchor_key is None:
        return []
    return place.chain.anchors(compute_log_id(place.view.key.name, place.anchor_key))


def _call(view: LogView, call_id: Bytes32) -> Subject:
    records = read_call(view, call_id)
    return Subject("call" if records[0].record.request_id else "outside_call", to_hex(call_id), records)


def require_holds(files: Mapping[str, bytes]) -> None:
    """What the script says of it. Raises AuditFailed."""
    verification = bundle_verify.Verification(dict(files), bundle_verify.Given())
    try:
        verification.run()
    except bundle_verify.Refuted as error:
        raise AuditFailed(verification.at or 1, f"step {verification.at or 1}, evidence bundle: {error}") from error
    except bundle_verify.Unusable as error:
        raise InvariantBroken(f"a bundle that its own script does not read: {error}") from error


# ---- the log's part -----------------------------------------------------------------------------------------------------------------
def _record_files(view: LogView, logged: LoggedRecord) -> dict[str, bytes]:
    view.verify_inclusion(logged.index, logged.leaf_hash)
    data = view.read_bytes(logged.index)
    hashes = tuple(compute_inclusion_from(logged.index, view.size, view.subtree))
    proof = write_proof(LogProof(logged.index, hashes, view.checkpoint.note, data))
    return {f"records/{logged.index}.json": data, f"proofs/{logged.index}.tlog-proof": proof}


def _content_files(logged: LoggedRecord, content: Content | None, disclosed: Disclosed) -> dict[str, bytes]:
    if content is None:
        return {}
    files: dict[str, bytes] = {}
    names = [f.name for f in content.sealed.fields if disclosed.is_shown(f.name)] if content.sealed else []
    if content.sealed is not None and names:
        openings = [opening_to_json(content.sealed.open(name)) for name in names]
        files[f"openings/{logged.index}.json"] = canonical_json(openings)
    for name, body in content.bodies.items():  # a digest that stays sealed keeps its body to itself
        if disclosed.is_shown(name) and name.partition("[")[0] in {*logged.record.fields, *names}:
            files[f"bodies/{keccak256(body).hex()}"] = body
    return files


def _anchor_files(place: Place, about: Subject, chain: _Chain) -> dict[str, bytes]:
    view = place.view
    anchors = [anchor for anchor in _anchors_of(place) if anchor.size <= view.size]
    worth = _worth_proving(anchors, about.last_index)
    taken = {anchor.size: anchor for anchor in [*anchors[-(MAX_ANCHORS - 1) :], *worth]}
    if left_out := len(anchors) - len(taken):
        chain.remarks.append(f"the log has {left_out} older anchors, which are not in this bundle")
    files = {}
    for anchor in taken.values():
        view.verify_anchor(anchor)
        proof = compute_consistency_from(anchor.size, view.size, view.subtree)
        document = {"size": anchor.size, "root": to_hex(anchor.root), "consistency": [to_hex(h) for h in proof]}
        files[f"anchors/{anchor.size}.json"] = canonical_json(document)
    for anchor in worth:
        _prove(place.blocks, chain, "anchor", anchor.block_hash, anchor.transaction)
    return files


def _worth_proving(anchors: Sequence[Anchor], last_index: int) -> list[Anchor]:
    if not anchors:
        return []
    cover = next((anchor for anchor in anchors if last_index < anchor.size), anchors[-1])
    return [cover] if cover.size == anchors[-1].size else [cover, anchors[-1]]


# ---- the chain's part ---------------------------------------------------------------------------------------------------------------
def _collect_call(place: Place, about: Subject, chain: _Chain) -> None:
    """The transactions of a call: request, delivery, replacement; and who the operators were when it was delivered."""
    request_id = about.records[0].record.request_id
    if request_id is None:
        raise InvariantBroken("a call on the chain without a request id")
    for block_hash, transaction in _where_asked(place.chain, about.records)[:1]:
        _prove(place.blocks, chain, "request", block_hash, transaction)
    delivered = place.chain.delivery_of(request_id)
    if delivered is not None:
        _prove(place.blocks, chain, "delivery", delivered.block_hash, delivered.transaction)
        chain.operators = _operator_rows(place.chain, delivered.block_number)
    replaced = place.chain.replacement_of(request_id)
    if replaced is not None:
        _prove(place.blocks, chain, "replacement", replaced.block_hash, replaced.transaction)


def _where_asked(chain: ChainReader, records: Iterable[LoggedRecord]) -> list[tuple[Bytes32, Bytes32]]:
    """(block, transaction) of the request as intents tell it, where that block is canonical; none for requests signed off chain."""
    found = []
    for logged in records:
        record = logged.record
        if record.kind is EntryKind.INTENT and "audit.request.block_hash" in record.fields:
            block = chain.block(record.integer("audit.request.block_number"))
            if block is not None and block.hash == record.digest("audit.request.block_hash"):
                found.append((block.hash, record.digest("audit.request.transaction")))
    return found


def _operator_rows(chain: ChainReader, block_number: int) -> list[dict[str, Any]]:
    """Active ones in the block and just before it: who changes keys later in the same block counted as before."""
    around: list[Operator] = chain.operators(block_number) + (chain.operators(block_number - 1) if block_number else [])
    rows = {(operator.index, operator.signer.lower()) for operator in around if operator.is_active}
    return [{"index": index, "signer": signer} for index, signer in sorted(rows)]


def _prove(blocks: BlockReader, chain: _Chain, role: str, block_hash: Bytes32, transaction: Bytes32) -> None:
    """One transaction with its receipt; where the block's bytes are not to be had, a remark instead."""
    path = f"chain/{transaction.hex()}.json"
    try:
        if path not in chain.files:
            chain.files[path] = canonical_json(_transaction_document(blocks, block_hash, transaction))
    except BlockNotKnown as error:
        chain.remarks.append(f"no evidence of the {role}'s transaction {to_hex(transaction)}: {error}")
        return
    chain.roles.append({"role": role, "transaction": to_hex(transaction)})


def _transaction_document(blocks: BlockReader, block_hash: Bytes32, transaction: Bytes32) -> dict[str, Any]:
    block = blocks.read_block(block_hash)
    if transaction not in block.hashes:
        raise BlockNotKnown(f"block {to_hex(block_hash)} does not have it") from LookupError(to_hex(transaction))
    index = block.hashes.index(transaction)
    before = [to_hex(node) for node in block.receipts.prove(index - 1)] if index else None
    return {
        "header": to_hex(block.header),
        "transaction_index": index,
        "transaction_proof": [to_hex(node) for node in block.transactions.prove(index)],
        "receipt_proof": [to_hex(node) for node in block.receipts.prove(index)],
        "previous_receipt_proof": before,
    }


# ---- the manifest, and writing ---------------------------------------------------------------------------------------------------------
def _manifest(place: Place, about: Subject, chain: _Chain, files: Mapping[str, bytes]) -> bytes:
    key: VerifierKey = place.view.key
    domain = place.chain.domain
    listed = [{"path": path, "bytes": len(files[path]), "sha256": sha256(files[path]).hex()} for path in sorted(files)]
    document = {
        "format": FORMAT,
        "subject": {"kind": about.kind, "id": about.id},
        "log": {"vkey": str(key), "anchor_key": None if place.anchor_key is None else place.anchor_key.lower()},
        "chain": {
            "chain_id": domain.chain_id,
            "coprocessor": domain.coprocessor.lower(),
            "audit_anchor": place.audit_anchor.lower(),
        },
        "operators": chain.operators,
        "evidence": chain.roles,
        "remarks": chain.remarks,
        "files": listed,
    }
    return canonical_json(document)


def write_directory(files: Mapping[str, bytes], directory: Path) -> None:
    """Raises ConfigRejected for a directory that is not empty."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigRejected(f"directory {directory}", "a new or empty one", "one with files, or a file")
    for path, data in files.items():
        replace_file(directory / path, data)


def write_zip(files: Mapping[str, bytes], path: Path) -> None:
    """Stored, in order, without times: the same bytes on every machine. Raises ConfigRejected for a file that is there."""
    if path.exists():
        raise ConfigRejected(f"file {path}", "a new one", "one that is there")
    with zipfile.ZipFile(path, "x") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, files[name], zipfile.ZIP_STORED)
