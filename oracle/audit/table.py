"""Records as tables for other programs: CSV, JSON lines, Parquet. A row is a record with what its call says; the record itself is in it.

    index, leaf_hash, time, kind, writer, call_id, model, caller, outcome, verdict, evidence, transaction, latency_microseconds,
    is_sealed, record

`record` is the leaf's own text, so that a row can be held against the log: SHA-256(0x00 ‖ record) is `leaf_hash`. In JSON lines it is
text too, for an object would lose its bytes.

A spreadsheet takes a cell that begins with =, +, -, @ or a control character for a formula, and would run what somebody wrote into a
record. In CSV such cells begin with an apostrophe; so does one that begins with an apostrophe, so that it can be taken away again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from itertools import islice
from typing import Any, BinaryIO

from oracle.audit.index import Filter, Found, Index
from oracle.audit.ledger import micros
from oracle.audit.tiles import WIDTH
from oracle.audit.verified import VerifiedTiles
from oracle.audit.view import LogView
from oracle.encoding import to_hex
from oracle.records import Checkpoint

COLUMNS = (
    "index",
    "leaf_hash",
    "time",
    "kind",
    "writer",
    "call_id",
    "model",
    "caller",
    "outcome",
    "verdict",
    "evidence",
    "transaction",
    "latency_microseconds",
    "is_sealed",
    "record",
)
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n", "\0", "'")
_GROUP = 500

TableRow = dict[str, Any]


class TableFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


MEDIA_TYPES = {
    TableFormat.CSV: "text/csv; charset=utf-8",
    TableFormat.JSONL: "application/x-ndjson",
    TableFormat.PARQUET: "application/vnd.apache.parquet",
}


def read_rows(index: Index, view: LogView, indices: Iterable[int]) -> Iterator[TableRow]:
    """Rows of these records, which must be ascending. Every record is held against the view's checkpoint. Raises AuditFailed."""
    tiles = VerifiedTiles(view)
    remaining = (item for item in map(int, indices) if item < view.size)
    number, bundle = -1, list[tuple[bytes, bytes]]()
    while group := list(islice(remaining, _GROUP)):
        for found in index.show(group):
            if found.index // WIDTH != number:
                number = found.index // WIDTH
                bundle = [(bytes(leaf), record) for leaf, record in tiles.bundle(number)]
            yield _row(found, *bundle[found.index % WIDTH])


def _row(found: Found, leaf_hash: bytes, record: bytes) -> TableRow:
    row = asdict(found) | {"leaf_hash": to_hex(leaf_hash), "record": record.decode()}
    return {name: row[name] for name in COLUMNS}


def write_table(rows: Iterable[TableRow], form: TableFormat, file: BinaryIO, checkpoint: Checkpoint, wanted: Filter) -> int:
    """Writes a table; returns its number of rows. Parquet says in its metadata which log at which head, and what was asked for."""
    if form is TableFormat.PARQUET:
        return _write_parquet(rows, file, checkpoint, wanted)
    count = -1 if form is TableFormat.CSV else 0
    for text in csv_lines(rows) if form is TableFormat.CSV else json_lines(rows):
        file.write(text.encode())
        count += 1
    return count


def csv_lines(rows: Iterable[TableRow]) -> Iterator[str]:
    """RFC 4180, with a line of names; every text quoted."""
    yield _csv_line(COLUMNS)
    for row in rows:
        yield _csv_line([_cell(value) for value in row.values()])


def _csv_line(cells: Sequence[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def json_lines(rows: Iterable[TableRow]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _write_parquet(rows: Iterable[TableRow], file: BinaryIO, checkpoint: Checkpoint, wanted: Filter) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"index": pa.int64(), "time": pa.timestamp("us", "UTC"), "latency_microseconds": pa.int64(), "is_sealed": pa.bool_()}
    described = {"origin": checkpoint.origin, "size": str(checkpoint.size), "root": to_hex(checkpoint.root)}
    described |= {"checkpoint": checkpoint.note, "filter": json.dumps(wanted.to_json())}
    schema = pa.schema(
        [(name, kinds.get(name, pa.string())) for name in COLUMNS], metadata={f"affidavit.{k}": v for k, v in described.items()}
    )
    remaining, count = iter(rows), 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(remaining, 8 * _GROUP)):
            writer.write_table(pa.Table.from_pydict(_columns(group), schema=schema))
            count += len(group)
    return count


def _columns(rows: Sequence[TableRow]) -> dict[str, list[Any]]:
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    return columns | {"time": [micros(text) for text in columns["time"]]}
