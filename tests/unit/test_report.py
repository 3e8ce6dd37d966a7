"""Reports: hostile records first, then numbers against a count by hand, the clocks of incidents, both formats, the same bytes twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdf
import pytest

from oracle.audit.incidents import DAYS, Gravity, Incident, IncidentStep, incident_entry, read_incidents
from oracle.audit.note import parse_vkey
from oracle.audit.proof import verify_proof
from oracle.audit.record import check_entry, parse_record
from oracle.errors import AuditFailed, MalformedInput
from oracle.office.report import AnchorRow, Anchors, Period, ReportData
from oracle.office.report_articles import PROVISIONS
from oracle.office.report_blocks import Bars, Lines, Shares, Table, nice_scale
from oracle.office.report_charts import draw, draw_bars, draw_lines, draw_shares
from oracle.office.report_collect import MAX_PROOFS
from oracle.office.report_fonts import load_fonts
from oracle.office.report_html import write_html
from oracle.office.report_pdf import write_pdf
from oracle.office.report_sections import make_sections
from oracle.office.report_text import clean
from oracle.office.wording import count, day, duration, listed, money, share, thousands
from oracle.records import EntryKind
from tests.twins.log_service import LogService
from tests.twins.logs import read_bundles
from tests.twins.plain_log import START, PlainLog
from tests.twins.reported import (
    CYRILLIC,
    GREEK,
    HOSTILE,
    LONG,
    MADE,
    add_hostile,
    add_people,
    report_of,
    traffic_log,
)
from tests.unit.cli_runner import Cli


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlainLog, ReportData]:
    directory = tmp_path_factory.mktemp("told")
    log = traffic_log(directory / "log", 800)
    add_people(log)
    log.publish()
    return log, report_of(log, f"sqlite:///{directory}/index.sqlite")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    directory = tmp_path_factory.mktemp("hostile")
    log = PlainLog(directory / "log")
    add_hostile(log)
    log.publish()
    return report_of(log, f"sqlite:///{directory}/index.sqlite", organisation=f"{HOSTILE} {GREEK}")


class Page(HTMLParser):
    """What a browser would make of a file: its tags, their attributes, its text. Fails for tags that do not close."""

    VOID = frozenset({"meta", "line", "rect", "polyline", "br"})

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(data.decode())
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def pdf_text(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(data)).pages)


def squeezed(text: str) -> str:
    """Without white space: a cell breaks its lines where it must."""
    return re.sub(r"\s+", "", text)


# ---- attacks ---------------------------------------------------------------------------------------------------------------------------
def test_nothing_that_was_logged_becomes_markup(hostile: ReportData) -> None:
    page = Page(write_html(hostile))
    assert page.tags["script"] == page.tags["img"] == page.tags["iframe"] == page.tags["link"] == 0
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert not [a for a in page.attributes if a[1] in ("src", "href") and not a[2].startswith("#")]
    for text in (HOSTILE, "{{ 7*7 }}", "</td></table>", "&amp;", GREEK, CYRILLIC, LONG):
        assert text in page.text


def test_what_is_invisible_or_turns_text_around_is_shown_as_its_code_point(hostile: ReportData) -> None:
    for text in (Page(write_html(hostile)).text, pdf_text(write_pdf(hostile))):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff]", text)
    assert "<U+202E>desrever<U+202C>" in Page(write_html(hostile)).text
    assert clean("a\u200bb\u202ec\x00\n\ud800") == "a<U+200B>b<U+202E>c<U+0000>\n<U+D800>"
    assert clean("שלום Αθήνα Москва 日本 — “x” 1\u202f000") == "שלום Αθήνα Москва 日本 — “x” 1\u202f000"


@pytest.mark.skipif(load_fonts().plain != "DejaVu", reason="DejaVu is not installed")
def test_a_pdf_takes_hostile_words_and_breaks_long_ones(hostile: ReportData) -> None:
    data = write_pdf(hostile)
    text = squeezed(pdf_text(data))
    for words in (HOSTILE, LONG, GREEK, CYRILLIC, "{{ 7*7 }}", "</td></table>", "&amp;"):
        assert squeezed(words) in text, words
    assert b"/JavaScript" not in data
    assert b"/Launch" not in data
    width = float(pypdf.PdfReader(BytesIO(data)).pages[0].mediabox.width)
    for page in pypdf.PdfReader(BytesIO(data)).pages:
        positions: list[float] = []
        page.extract_text(visitor_text=lambda t, _cm, tm, _font, _size, at=positions: at.append(tm[4]) if t.strip() else None)
        assert all(0 <= x < width for x in positions)


def test_letters_without_a_glyph_are_code_points_and_never_boxes(hostile: ReportData) -> None:
    vera = load_fonts(())
    assert vera.writable(GREEK) == "".join(f"<U+{ord(c):04X}>" for c in GREEK)
    assert vera.writable("Zürich – naïve café") == "Zürich – naïve café"
    text = squeezed(pdf_text(write_pdf(hostile, vera)))
    assert squeezed(vera.writable(CYRILLIC)) in text
    assert CYRILLIC not in text


def test_very_many_and_very_long_values_still_make_a_report(tmp_path: Path) -> None:
    log = PlainLog(tmp_path / "log")
    for number in range(300):
        log.add(EntryKind.CONFIG, float(number), writer="office", audit__config__note="w" * 8000 if number % 50 == 0 else str(number))
    log.publish()
    data = report_of(log, f"sqlite:///{tmp_path}/index.sqlite")
    changes = next(b for s in make_sections(data) if s.anchor == "changes" for b in s.blocks)
    assert isinstance(changes, Table)
    assert (len(changes.rows), changes.rest) == (100, 200)
    assert "and 200 more, which are in the log" in Page(write_html(data)).text
    assert "characters in the log" in pdf_text(write_pdf(data))


def test_a_sample_of_what_is_no_index_still_makes_a_report(tmp_path: Path) -> None:
    log = PlainLog(tmp_path / "log")
    log.add(EntryKind.REVIEW, 1.0, audit__review__action="sample", audit__sample__indices=["7", "²", "9" * 8000, "-1", ""])
    log.publish()
    data = report_of(log, f"sqlite:///{tmp_path}/index.sqlite")
    assert [sample.indices for sample in data.samples] == [(7,)]
    assert write_html(data)


def test_a_record_that_is_not_in_the_tree_ends_the_report(tmp_path: Path) -> None:
    log = traffic_log(tmp_path / "log", 300)
    report_of(log, f"sqlite:///{tmp_path}/index.sqlite")
    bundle = log.directory / "tile/entries/000"
    data = bundle.read_bytes()
    bundle.write_bytes(data.replace(b'"audit.outcome":"ok"', b'"audit.outcome":"no"', 1))
    with pytest.raises(AuditFailed):
        report_of(log, f"sqlite:///{tmp_path}/index.sqlite")


def test_a_period_has_a_start_before_its_end_and_zones() -> None:
    for start, end in (
        (START, START),
        (START, START - timedelta(1)),
        (START.replace(tzinfo=None), START),
        (START, START.replace(tzinfo=None)),
    ):
        with pytest.raises((MalformedInput, TypeError)):
            Period(start, end)


# ---- numbers ---------------------------------------------------------------------------------------------------------------------------
def test_the_numbers_are_those_of_a_count_by_hand(told: tuple[PlainLog, ReportData]) -> None:
    log, data = told
    records = [parse_record(item) for item in log.data]
    assert data.records == len(records)
    assert data.kinds == {str(kind): number for kind, number in Counter(r.kind for r in records).most_common()} | {}
    calls = {r.call_id for r in records if r.call_id is not None}
    assert data.calls == len(calls) == sum(data.outcomes.values()) == sum(data.verdicts.values()) == sum(b.calls for b in data.bins)
    ends = {r.call_id: str(r.fields["audit.outcome"]) for r in records if r.call_id is not None and "audit.outcome" in r.fields}
    assert {k: v for k, v in data.outcomes.items() if k != "open"} == dict(Counter(ends.values()))
    assert data.outcomes.get("open", 0) == len(calls) - len(ends)
    assert data.failures == sum(number for outcome, number in Counter(ends.values()).items() if outcome != "ok")
    assert data.error_types == dict(Counter(str(r.fields["error.type"]) for r in records if r.kind is EntryKind.ERROR).most_common()) | {}
    latencies = sorted(int(str(r.fields["audit.latency_microseconds"])) for r in records if "audit.latency_microseconds" in r.fields)
    assert data.latency is not None
    assert data.latency.max_ms == latencies[-1] / 1000
    assert data.latency.p50_ms == latencies[(len(latencies) + 1) // 2 - 1] / 1000
    assert sum(s.calls for s in data.systems) == sum(m.calls for m in data.models) == data.calls
    spent = [int(str(r.fields["audit.cost_micros"])) for r in records if "audit.cost_micros" in r.fields]
    assert data.costs == {"EUR": sum(spent)}


def test_what_people_did_is_listed(told: tuple[PlainLog, ReportData]) -> None:
    data = told[1]
    assert [s.seed for s in data.samples] == ["0x" + "5e" * 32]
    assert len(data.samples[0].indices) == 40
    assert [a.action for a in data.reviews] == ["accepted", "escalated"]
    assert [a.action for a in data.disclosures] == ["requested", "approved"]
    assert (len(data.readings), len(data.holds), len(data.erasures), len(data.overrides), len(data.changes)) == (1, 1, 1, 1, 1)
    assert [i.id for i in data.incidents] == ["INC-7", "INC-8", "INC-9"]


def test_only_what_is_in_the_period_counts(told: tuple[PlainLog, ReportData], tmp_path: Path) -> None:
    log, whole = told
    middle = datetime.fromisoformat(parse_record(log.data[400]).time)
    url = f"sqlite:///{tmp_path}/index.sqlite"
    before = report_of(log, url, Period(whole.period.start, middle))
    after = report_of(log, url, Period(middle, whole.period.end))
    assert before.records + after.records == whole.records
    assert before.calls + after.calls == whole.calls
    assert before.last_index is not None
    assert after.first_index is not None
    empty = report_of(log, url, Period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)))
    assert (empty.records, empty.calls, empty.first_index, empty.latency, empty.proofs) == (0, 0, None, None, ())
    for write in (write_html, write_pdf):
        assert write(empty)


def test_every_proof_in_a_report_holds(told: tuple[PlainLog, ReportData]) -> None:
    log, data = told
    assert 2 < len(data.proofs) <= MAX_PROOFS
    assert {data.first_index, data.last_index} <= {p.index for p in data.proofs}
    for proof in data.proofs:
        found, checkpoint, record = verify_proof(proof.text.encode(), parse_vkey(data.notary.vkey))
        assert (found.index, checkpoint.root, record) == (proof.index, data.notary.checkpoint.root, log.data[proof.index])
        assert proof.text.strip() in write_html(data).decode().replace("&#43;", "+").replace("&#39;", "'")


def test_anchors_of_the_chain_are_told_as_such(told: tuple[PlainLog, ReportData], tmp_path: Path) -> None:
    row = AnchorRow(700, "0x" + "aa" * 32, 12, "0x" + "bb" * 32, START)
    data = report_of(told[0], f"sqlite:///{tmp_path}/index.sqlite", anchors=Anchors((row,), True, 1, "0x" + "cc" * 20))
    text = Page(write_html(data)).text
    assert "as the chain has them" in text
    assert "The chain was not asked" not in text
    assert "The chain was not asked" in Page(write_html(told[1])).text
    bare = replace(data, anchors=Anchors((), True, 1, "0x" + "cc" * 20))
    assert "No anchor falls into the period" in Page(write_html(bare)).text


# ---- incidents -------------------------------------------------------------------------------------------------------------------------
def incident(gravity: Gravity, *steps: tuple[IncidentStep, float]) -> Incident:
    records = []
    for number, (step, hours) in enumerate(steps):
        entry = incident_entry("I", step, gravity, START, "p-1", START + timedelta(hours=hours), (3,), "why")
        check_entry(entry)
        assert entry.sealed == {"audit.reason": "why"}
        log = PlainLog(Path("/tmp/unused-incidents"))
        log.add(entry.kind, hours * 3600, **{k.replace(".", "__"): v for k, v in entry.fields.items()})
        records.append((number, parse_record(log.data[0])))
    return read_incidents(records)[0]


def test_the_clocks_are_those_of_article_73() -> None:
    assert DAYS == {Gravity.SERIOUS: 15, Gravity.DEATH: 10, Gravity.CRITICAL_INFRASTRUCTURE: 2, Gravity.WIDESPREAD_INFRINGEMENT: 2}
    for gravity, days in DAYS.items():
        opened = incident(gravity, (IncidentStep.OPENED, 1.0))
        assert opened.due == START + timedelta(days=days)
        assert not opened.is_overdue(opened.due)
        assert opened.is_overdue(opened.due + timedelta(seconds=1))
        in_time = incident(gravity, (IncidentStep.OPENED, 1.0), (IncidentStep.REPORTED, 24.0 * days))
        assert not in_time.is_overdue(MADE + timedelta(days=900))
        late = incident(gravity, (IncidentStep.OPENED, 1.0), (IncidentStep.REPORTED, 24.0 * days + 0.1), (IncidentStep.CLOSED, 9000.0))
        assert late.is_overdue(late.due)
        assert late.closed is not None


def test_a_clock_only_becomes_shorter(tmp_path: Path) -> None:
    log = PlainLog(tmp_path)
    for gravity, aware in ((Gravity.SERIOUS, START), (Gravity.DEATH, START + timedelta(1)), (Gravity.SERIOUS, START - timedelta(1))):
        entry = incident_entry("I", IncidentStep.OPENED, gravity, aware, "p", START)
        log.add(entry.kind, 0, **{k.replace(".", "__"): v for k, v in entry.fields.items()})
    found = read_incidents(enumerate(map(parse_record, log.data)))
    assert [(i.gravity, i.aware) for i in found] == [(Gravity.DEATH, START - timedelta(1))]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audit.incident.gravity", "mild"),
        ("audit.incident.step", "forgotten"),
        ("audit.incident.aware", "yesterday"),
        ("audit.incident.indices", ["x"]),
    ],
)
def test_a_malformed_incident_is_named(tmp_path: Path, field: str, value: Any) -> None:
    log = PlainLog(tmp_path)
    entry = incident_entry("I", IncidentStep.OPENED, Gravity.DEATH, START, "p", START, (1,))
    log.add(entry.kind, 0, **{k.replace(".", "__"): v for k, v in (entry.fields | {field: value}).items()})
    with pytest.raises(MalformedInput, match="incident in entry 0"):
        read_incidents([(0, parse_record(log.data[0]))])


# ---- the law ---------------------------------------------------------------------------------------------------------------------------
def test_every_provision_of_the_page_is_mapped_and_claims_no_more_than_its_text(told: tuple[PlainLog, ReportData]) -> None:
    text = Page(write_html(told[1])).text
    for name in (
        "Article 12(1)",
        "Article 12(3)",
        "19(1) and 26(6)",
        "Article 72",
        "Article 73",
        "2024/1774",
        "240.17a-4",
        "164.312(b)",
        "Article 17",
    ):
        assert any(name in p.name for p in PROVISIONS), name
    assert "Article 12 does not ask for tamper evidence" in text
    for provision in PROVISIONS:
        assert provision.asks in text
        assert provision.does_not in text
        assert provision.source in text
        assert re.match(r"https://(eur-lex\.europa\.eu|www\.ecfr\.gov)/", provision.source)
        for word in ("tamper-evident", "tamper-proof", "immutable", "complian"):
            assert word not in provision.asks


# ---- the files -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("write", [write_html, write_pdf])
def test_the_same_data_gives_the_same_bytes(
    told: tuple[PlainLog, ReportData], write: Callable[[ReportData], bytes], tmp_path: Path
) -> None:
    log, data = told
    assert write(data) == write(report_of(log, f"sqlite:///{tmp_path}/index.sqlite"))
    assert write(data) != write(replace(data, made=MADE + timedelta(seconds=1)))


def test_the_html_is_one_file_that_loads_nothing_and_can_be_read_aloud(told: tuple[PlainLog, ReportData]) -> None:
    data = write_html(told[1])
    page = Page(data)
    assert page.tags["script"] == 0
    assert b"default-src 'none'" in data
    assert ("html", "lang", "en") in page.attributes
    assert page.tags["h1"] == page.tags["main"] == page.tags["nav"] == 1
    assert page.tags["table"] == page.tags["caption"]
    assert page.tags["th"] == sum(a[:3] == ("th", "scope", "col") for a in page.attributes)
    assert page.tags["svg"] == sum(a[:2] == ("svg", "aria-label") and a[2] != "" for a in page.attributes)
    assert all(all(block.head) for section in make_sections(told[1]) for block in section.blocks if isinstance(block, Table))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= set(ids)
    assert b"@media print" in data
    assert b"prefers-color-scheme: dark" in data


def test_the_pdf_has_pages_bookmarks_and_its_own_fonts(told: tuple[PlainLog, ReportData]) -> None:
    data = write_pdf(told[1])
    reader = pypdf.PdfReader(BytesIO(data))
    count_pages = len(reader.pages)
    assert [str(item["/Title"]) for item in reader.outline] == [s.title for s in make_sections(told[1])]  # type: ignore[call-overload, index]
    for number, page in enumerate(reader.pages, start=1):
        assert f"page {number} of {count_pages}" in page.extract_text()
    assert reader.metadata is not None
    assert reader.metadata.title == "Audit report 2026-09-30 to 2026-12-31"
    fonts = {str(f.get_object()["/BaseFont"]): f.get_object() for p in reader.pages for f in p["/Resources"]["/Font"].values()}  # type: ignore[index]
    assert fonts
    for name, font in fonts.items():
        assert "/FontFile2" in font["/FontDescriptor"], name
    text = squeezed(pdf_text(data))
    for words in ("Incidents and their clocks", "LATE", told[1].notary.vkey, "Article 12 does not ask for tamper evidence"):
        assert squeezed(words) in text


def test_both_formats_tell_the_same_numbers(told: tuple[PlainLog, ReportData]) -> None:
    html, pdf = squeezed(Page(write_html(told[1])).text), squeezed(pdf_text(write_pdf(told[1])))
    for section in make_sections(told[1]):
        for block in section.blocks:
            if isinstance(block, Table):
                for cell in {cell for row in block.rows for cell in row}:
                    assert squeezed(cell) in html
                    assert squeezed(cell) in pdf


# ---- charts and words ------------------------------------------------------------------------------------------------------------------
def test_charts_stay_within_their_frame(told: tuple[PlainLog, ReportData]) -> None:
    for section in make_sections(told[1]):
        for block in section.blocks:
            if isinstance(block, Bars | Lines | Shares):
                shape = draw(block)
                assert all(
                    r.x >= 0 and r.x + r.width <= shape.width and r.y >= 0 and r.y + r.height <= shape.height + 0.01 for r in shape.rects
                )
                assert all(0 <= x <= shape.width and 0 <= y <= shape.height for p in shape.paths for x, y in p.points)
                assert shape.told.startswith(block.caption)


def test_charts_of_nothing() -> None:
    assert draw_bars(Bars("c", (), (("a", ()),), "calls")).told == "c: none."
    assert draw_lines(Lines("c", ("x",), (("a", (None,)),), "ms")).paths == ()
    assert draw_shares(Shares("c", ())).told == "c: nothing."
    assert len(draw_lines(Lines("c", ("x", "y", "z"), (("a", (1.0, None, 2.0)),), "ms")).paths) == 2


def test_scales_are_round_and_reach_far_enough() -> None:
    for highest in (0.003, 0.5, 1, 3, 7, 9.9, 10, 99, 100, 101, 149, 4_500, 123_456):
        scale = nice_scale(highest)
        assert scale[0] == 0
        assert scale[-1] >= highest
        assert 2 <= len(scale) <= 6
    assert nice_scale(0) == [0.0, 1.0]


def test_bins_cover_the_period() -> None:
    for days in (0.5, 2, 5, 60, 90, 101, 365, 3650):
        period = Period(START, START + timedelta(days=days))
        width, starts = period.bins()
        assert starts[0] <= period.start < starts[0] + width
        assert starts[-1] < period.end <= starts[-1] + width
        assert len(starts) <= 110


def test_words() -> None:
    assert [count(1, "call"), count(2, "call"), count(12_345, "call")] == ["1 call", "2 calls", "12\u202f345 calls"]
    assert [thousands(9999), thousands(10_000), thousands(-1_234_567)] == ["9999", "10\u202f000", "-1\u202f234\u202f567"]
    assert [duration(0.85), duration(12.34), duration(740), duration(1270), duration(83_000)] == [
        "0.85 ms", "12.3 ms", "740 ms", "1.27 s", "83.0 s",
    ]  # fmt: skip
    assert [share(0, 0), share(0, 5), share(5, 5), share(1, 3), share(1, 100_000), share(99_999, 100_000)] == [
        "–", "0 %", "100 %", "33.3 %", "< 0.1 %", "> 99.9 %",
    ]  # fmt: skip
    assert money(1_234_567_890, "EUR") == "1\u202f234.57 EUR"
    assert listed({"a": 2, "": 1}, 1) == "a 2 and 1 more"
    assert day(START) == "2026-11-22 10:00:00 UTC"


# ---- the commands ----------------------------------------------------------------------------------------------------------------------
def test_the_command_writes_what_the_functions_make(
    told: tuple[PlainLog, ReportData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, data = told
    cli = Cli(monkeypatch, capsys)
    options = [
        "--log",
        log.directory,
        "--vkey",
        data.notary.vkey,
        "--from",
        data.period.start.isoformat(),
        "--to",
        data.period.end.isoformat(),
    ]
    options += ["--index", tmp_path / "index.sqlite", "--as-of", MADE.isoformat(), "--organisation", "North Bank"]
    for format, write in (("html", write_html), ("pdf", write_pdf)):
        out = tmp_path / f"report.{format}"
        cli.ok("audit", "report", "--format", format, "--out", out, *options)
        assert out.read_bytes() == write(data)
    assert "a new one" in cli.refused(2, "audit", "report", "--out", tmp_path / "report.pdf", *options)
    assert cli("audit", "report", "--out", tmp_path / "x", *options[:4], "--from", "2026-01-02", "--to", "yesterday").code == 2
    assert "a start before its end" in cli.refused(
        2, "audit", "report", "--out", tmp_path / "x", *options[:4], "--from", "2026-01-02", "--to", "2026-01-01"
    )


def test_an_incident_is_written_into_the_log_once_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(monkeypatch, capsys)
    with LogService(tmp_path) as service:
        token = tmp_path / "token"
        token.touch(0o600)
        token.write_text(service.tokens["writer"] + "\n")
        said = ["audit", "incident", "INC-1", "--gravity", "death", "--aware", "2026-11-22T10:00:00Z", "--log", service.url]
        said += ["--writer-token-file", token, "--actor", "p-1", "--reason", "a wrong dose", "--entry", "0"]
        assert "entry 0; a report is due 10 days after" in cli.ok(*said, "--step", "opened").err
        assert "entry 0;" in cli.ok(*said, "--step", "opened").err
        assert "entry 1;" in cli.ok(*said, "--step", "reported").err
        records = [parse_record(item) for item in read_bundles(tmp_path / "log", 2)]
    found = read_incidents(enumerate(records))
    assert [(i.id, i.gravity, i.indices, i.told_at) for i in found] == [("INC-1", Gravity.DEATH, (0,), (0, 1))]
    assert not any("wrong dose" in str(record.fields) for record in records)


def test_the_page_has_every_provision_in_the_words_of_the_reports() -> None:
    page = (Path(__file__).parents[2] / "docs/reports.md").read_text()
    for provision in PROVISIONS:
        assert f"| [{provision.name}]({provision.source}) | {provision.asks} | " in page
        assert f" | {provision.does_not} |" in page
