"""Searching from the command line, on a log as files: what is found, what is told, what is refused; and tables that harm no spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from oracle.audit.index import Filter, Index
from oracle.audit.table import COLUMNS, TableFormat, csv_lines, read_rows
from oracle.audit.view import LogView
from oracle.bench.traffic import stamped
from oracle.errors import AuditFailed, LogRefused
from oracle.pipeline import searching
from oracle.pipeline.searching import KeptHead, OnChain, open_searcher, seed_from_anchor, seed_from_block
from oracle.printing import printable
from oracle.records import Anchor, Block, Bytes32
from tests.twins.audited import LOG_ID, History, tell
from tests.twins.logs import KEY
from tests.twins.naive_search import NaiveSearch
from tests.twins.plain_log import PlainLog, call
from tests.unit.cli_runner import Cli


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Cli(monkeypatch, capsys)


@pytest.fixture
def log(tmp_path: Path) -> PlainLog:
    return PlainLog(tmp_path / "log").extend(entry.record for entry in stamped(900))


def where(log: PlainLog) -> list[str]:
    return ["--log", str(log.directory), "--vkey", str(log.key.verifier)]


# ---- search -----------------------------------------------------------------------------------------------------------------------------
def test_search_pages_through_what_matches(cli: Cli, log: PlainLog) -> None:
    wanted = NaiveSearch(log.records, log.data).search(Filter(kind="result", text="harbour", verdict="signed"))
    arguments = ("audit", "search", *where(log), "--kind", "result", "--text", "harbour", "--verdict", "signed", "--limit", "5")
    found, before = [], []
    while True:
        page = cli.ok(*arguments, "--json", *before).json()
        assert (page["size"], page["total"]) == (900, len(wanted))
        found += [item["index"] for item in page["items"]]
        if page["next"] is None:
            break
        before = ["--before", page["next"]]
    assert found == wanted
    told = cli.ok(*arguments)
    assert told.out.splitlines()[1].split()[0] == str(wanted[0])
    assert "--before" in told.err


def test_the_index_lies_in_the_cache_and_is_taken_up_again(cli: Cli, log: PlainLog, tmp_path: Path) -> None:
    cli.ok("audit", "search", *where(log))
    (file,) = (tmp_path / "cache/affidavit/index").glob("*.sqlite")
    log.extend(entry.record for entry in list(stamped(1000))[900:])
    assert cli.ok("audit", "search", *where(log), "--json").json()["size"] == 1000
    file.unlink()
    assert cli.ok("audit", "search", *where(log), "--json").json()["size"] == 1000
    assert cli.ok("audit", "search", *where(log), "--json", "--index", tmp_path / "mine").json()["size"] == 1000
    assert (tmp_path / "mine").exists()


def test_a_log_that_lies_is_not_searched(cli: Cli, log: PlainLog) -> None:
    cli.ok("audit", "search", *where(log))
    fork = PlainLog(log.directory).extend([*log.data[:899], log.data[0]])
    assert "one that extends size 900" in cli.refused(2, "audit", "search", *where(fork))


@pytest.mark.parametrize("wrong", [("--from", "yesterday"), ("--limit", "0"), ("--limit", "501")])
def test_options_are_checked(cli: Cli, log: PlainLog, wrong: tuple[str, str]) -> None:
    assert cli("audit", "search", *where(log), *wrong).code == 2


def test_a_hash_that_is_none_is_refused(cli: Cli, log: PlainLog) -> None:
    assert "hash: expected 16 to 128 hex digits" in cli.refused(2, "audit", "search", *where(log), "--hash", "0x12")


# ---- show -------------------------------------------------------------------------------------------------------------------------------
def test_show_tells_a_call_in_plain_words(cli: Cli, tmp_path: Path) -> None:
    log = PlainLog(tmp_path / "log")
    fields = {"gen_ai__request__model": "granite\x1b[2J", "audit__caller": "caller-7", "audit__purpose": "translation"}
    intent = log.intent(3, **fields)
    log.result(3, intent, audit__verdict="proven", audit__latency_microseconds=1_250_000)
    log.publish()
    for subject in (call(3), "1"):
        told = cli.ok("audit", "show", subject, *where(log)).out
        assert "granite\\x1b[2J, by caller-7 (purpose translation)" in told
        assert "ok: answered, after 1.250 s" in told
        assert "proven: a proof shows that the model gives this answer" in told
        assert "\x1b" not in told
    value = cli.ok("audit", "show", call(3), *where(log), "--json").json()
    assert [record["record"] for record in value["records"]] == log.records
    assert value["verdict"] == "proven"


def test_show_of_a_record_of_no_call_and_of_nothing(cli: Cli, tmp_path: Path) -> None:
    log = PlainLog(tmp_path / "log")
    log.clock()
    log.publish()
    assert "clock: what a clock is worth" in cli.ok("audit", "show", "0", *where(log)).out
    assert "none in this log" in cli.refused(2, "audit", "show", call(9), *where(log))
    assert "entry index" in cli.refused(2, "audit", "show", "1", *where(log))


def test_nothing_printed_can_be_obeyed() -> None:
    assert printable("a\x1b]0;x\x07b\u202ec\nd") == "a\\x1b]0;x\\x07b\\u202ec\\nd"
    assert printable("Größe 4\nok", keep="\n") == "Größe 4\nok"


# ---- samples ----------------------------------------------------------------------------------------------------------------------------
def test_a_sample_is_drawn_again_from_a_kept_checkpoint(cli: Cli, log: PlainLog, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes((log.directory / "checkpoint").read_bytes())
    arguments = ("audit", "sample", *where(log), "--size", "7", "--outcome", "ok", "--json")
    first = cli.ok(*arguments).json()
    assert (first["seed_source"], len(first["seed"]), len(first["indices"])) == ("random", 66, 7)
    log.extend(entry.record for entry in list(stamped(1000))[900:])
    again = cli.ok(*arguments, "--checkpoint", kept, "--seed", first["seed"][2:]).json()
    assert again == first | {"seed_source": "given"}
    assert cli.ok(*arguments, "--seed", first["seed"]).json()["indices"] != first["indices"]
    assert "seed" in cli.ok(*arguments[:-1]).out


def test_seeds_are_checked(cli: Cli, log: PlainLog) -> None:
    assert "--seed" in cli.refused(2, "audit", "sample", *where(log), "--size", "3", "--seed", "0x12")
    for wrong in (("--seed-from-anchor",), ("--seed", "00" * 32, "--seed-from-block", "3")):
        assert cli("audit", "sample", *where(log), "--size", "3", *wrong).code == 2
    assert "checkpoint" in cli.refused(2, "audit", "sample", *where(log), "--size", "3", "--checkpoint", "/nowhere")


class Blocks:
    """A chain of which a seed is taken."""

    def __init__(self, anchors: list[Anchor], times: list[int]) -> None:
        self._anchors = anchors
        self._times = times

    def anchors(self, log_id: bytes) -> list[Anchor]:
        assert log_id == LOG_ID
        return self._anchors

    def block(self, number: int) -> Block | None:
        if number >= len(self._times):
            return None
        return Block(number, Bytes32(bytes([number]) * 32), Bytes32(bytes(32)), self._times[number])


def test_a_seed_from_the_chain_is_younger_than_the_log(log: PlainLog) -> None:
    view = log.view()
    newest = int(datetime.fromisoformat(view.read(899).record.log_time).timestamp())
    anchors = [
        Anchor(LOG_ID, size, root, block, Bytes32(bytes([block]) * 32), Bytes32(bytes(32)))
        for size, root, block in ((500, view.root_at(500), 1), (900, view.root_at(900), 2), (1000, Bytes32(bytes(32)), 3))
    ]
    chain: Any = Blocks(anchors, [newest - 10, newest, newest + 1])
    assert seed_from_anchor(view, OnChain(chain, LOG_ID)) == (bytes([2]) * 32, 2)
    assert seed_from_block(view, OnChain(chain, LOG_ID), 2) == bytes([2]) * 32
    for number in (0, 1, 3):
        with pytest.raises(LogRefused):
            seed_from_block(view, OnChain(chain, LOG_ID), number)
    early: Any = Blocks(anchors[:1], [])
    for known in (OnChain(early, LOG_ID), OnChain(chain, None)):
        with pytest.raises(LogRefused, match="none yet"):
            seed_from_anchor(view, known)


# ---- completeness -----------------------------------------------------------------------------------------------------------------------
def test_completeness_ends_with_what_it_found(cli: Cli, tmp_path: Path) -> None:
    log = PlainLog(tmp_path / "log")
    log.clock()
    log.result(1, log.intent(1, stream=1, sequence=1))
    log.publish()
    told = cli.ok("audit", "completeness", *where(log))
    assert told.out.startswith("could not tell")
    assert cli("audit", "completeness", *where(log), "--require-complete").code == 2
    log.intent(2, stream=1, sequence=3)
    log.publish()
    ran = cli("audit", "completeness", *where(log), "--json")
    assert ran.code == 2
    assert {finding["kind"] for finding in ran.json()["findings"]} == {"caller_sequence", "open_intent", "no_chain"}


def test_a_true_history_lacks_nothing_on_chain(tmp_path: Path) -> None:
    """With the index, and the twin of a chain, as the command has them."""
    history = History(tmp_path / "history")
    tell(history)
    export = history.export(tmp_path / "export")
    searcher = open_searcher(str(export), str(KEY.verifier), f"sqlite:///{tmp_path}/index.sqlite", None, lambda *_: None)
    moment = datetime.fromtimestamp(history.chain.time, UTC)
    limits = searching.Limits(anchor_seconds=10**9)
    report = searcher.completeness(moment, limits, OnChain(history.chain, LOG_ID))
    history.close()
    assert {finding.kind for finding in report.findings} <= {"no_clock", "clock_skew"}


def test_a_kept_head_shows_an_older_log(log: PlainLog) -> None:
    old = log.view()
    log.extend(entry.record for entry in list(stamped(1000))[900:])
    view = LogView(KeptHead(old.source, old.checkpoint.note.encode()), KEY.verifier)
    assert view.checkpoint == old.checkpoint
    assert view.read_bytes(899) == log.data[899]
    assert view.source.read_witnessed() is None
    assert view.source.find_entries(Bytes32(bytes(32))) is None
    assert view.source.read_contents(0, 900) == {}


# ---- tables -----------------------------------------------------------------------------------------------------------------------------
FORMULAS = ["=1+2", "+1", "-1", "@SUM(A1)", "\uff1d1", "\t=1", "\r\n=1", "'=1", '=cmd|"/c calc"!A1']


@pytest.fixture
def dangerous(tmp_path: Path) -> PlainLog:
    log = PlainLog(tmp_path / "log")
    for number, text in enumerate([*FORMULAS, 'plain, "quoted"\nand\0more', "x" * 500]):
        log.intent(number, at=number, gen_ai__request__model=text, audit__caller=text)
    return log.publish()


def test_no_cell_is_a_formula_and_the_record_is_whole(cli: Cli, dangerous: PlainLog, tmp_path: Path) -> None:
    cli.ok("audit", "export", *where(dangerous), "--format", "csv", "--out", tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["record"].encode() for row in rows] == dangerous.data
    assert [row["leaf_hash"] for row in rows] == ["0x" + sha256(b"\0" + data).hexdigest() for data in dangerous.data]
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")) for cell in row.values())
    assert [row["caller"].removeprefix("'") for row in rows[: len(FORMULAS)]] == FORMULAS
    assert list(rows[0]) == list(COLUMNS)


def test_the_three_forms_say_the_same(cli: Cli, log: PlainLog, tmp_path: Path) -> None:
    filters = ("--outcome", "error", "--from", "2026-10-01", "--to", "2026-10-02T00:00:00Z")
    for form in TableFormat:
        cli.ok("audit", "export", *where(log), "--format", form, "--out", tmp_path / f"table.{form}", *filters)
    lines = [json.loads(line) for line in (tmp_path / "table.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == NaiveSearch(log.records, log.data).search(Filter(outcome="error"))[::-1]
    table = pq.read_table(tmp_path / "table.parquet")
    assert table.schema.metadata[b"affidavit.size"] == b"900"
    assert json.loads(table.schema.metadata[b"affidavit.filter"])["outcome"] == "error"
    assert [row | {"time": row["time"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")} for row in table.to_pylist()] == lines
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert [row["record"] for row in rows] == [line["record"] for line in lines]


def test_a_table_of_nothing_has_its_columns(cli: Cli, log: PlainLog, tmp_path: Path) -> None:
    cli.ok("audit", "export", *where(log), "--format", "parquet", "--out", tmp_path / "none.parquet", "--kind", "anchor")
    assert pq.read_table(tmp_path / "none.parquet").schema.names == list(COLUMNS)
    assert list(csv_lines([])) == [",".join(f'"{name}"' for name in COLUMNS) + "\r\n"]


@pytest.mark.parametrize(
    "wrong", [(), ("copy", "--format", "csv"), ("--format", "xlsx"), ("copy", "--kind", "result"), ("copy", "--out", "table.csv")]
)
def test_an_export_is_a_copy_or_a_table(cli: Cli, log: PlainLog, wrong: tuple[str, ...]) -> None:
    assert cli("audit", "export", *where(log), *wrong).code == 2


def test_a_copy_needs_no_chain(cli: Cli, log: PlainLog, tmp_path: Path) -> None:
    cli.ok("audit", "export", tmp_path / "copy", *where(log))
    assert (tmp_path / "copy/checkpoint").read_bytes() == (log.directory / "checkpoint").read_bytes()
    cli.ok("audit", "export", tmp_path / "call", *where(log), "--request", log.records[0]["audit.call_id"])
    assert sorted(path.stem for path in (tmp_path / "call/proofs").iterdir())[0] == "0"


def test_a_table_is_of_true_records_only(log: PlainLog, tmp_path: Path) -> None:
    index = Index.open(f"sqlite:///{tmp_path}/index.sqlite")
    index.follow(log.view())
    bundle = log.directory / "tile/entries/001"
    bundle.write_bytes(bundle.read_bytes().replace(b"harbour", b"harbowr", 1))
    with pytest.raises(AuditFailed):
        list(read_rows(index, log.view(), range(900)))
