"""A report as a PDF: numbered pages, bookmarks, tables whose heads repeat, embedded fonts, and the same bytes for the same data."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Flowable, Frame, KeepTogether, PageTemplate, Paragraph, Spacer, TableStyle
from reportlab.platypus import Table as PdfTable
from reportlab.platypus.tableofcontents import TableOfContents

from oracle.office.report import ReportData
from oracle.office.report_blocks import Block, Code, Facts, Notice, Section, Table, Text
from oracle.office.report_charts import Chart, draw
from oracle.office.report_fonts import Fonts, load_fonts
from oracle.office.report_sections import make_sections, subtitle_of, title_of
from oracle.office.report_text import clean, clean_all
from oracle.office.wording import moment

MARGIN = 18 * mm
HEADED = 26 * mm
_INK, _SOFT, _LINE = colors.HexColor("#1b1f24"), colors.HexColor("#57606a"), colors.HexColor("#c9cfd6")
_ALARM, _ALARM_TINT = colors.HexColor("#a4161a"), colors.HexColor("#fdf0f0")
_NOTE, _NOTE_TINT, _TINT = colors.HexColor("#2f6db3"), colors.HexColor("#eef4fb"), colors.HexColor("#f4f6f8")
_SERIES = (colors.HexColor("#2f6db3"), colors.HexColor("#c2570c"), colors.HexColor("#2d7d46"))
_DASHES: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 3))
_CODE_LINE = 120  # characters that fit
_MOST_CELL = 500  # characters: a row is never higher than a page, because reportlab does not split one


def write_pdf(data: ReportData, fonts: Fonts | None = None) -> bytes:
    """The file. The same data and fonts give the same bytes."""
    fonts = fonts or load_fonts()
    page = _Page(fonts)
    target = BytesIO()
    document = _Document(target, clean(title_of(data)), clean(subtitle_of(data)), page)
    sections = [clean_all(clean_all(section), fonts.writable) for section in make_sections(data)]
    document.multiBuild(list(page.story(data, sections)), canvasmaker=page.canvas)
    return target.getvalue()


class _Document(BaseDocTemplate):  # type: ignore[misc]
    """One frame a page; headings become bookmarks and the table of contents."""

    def __init__(self, target: BytesIO, title: str, subtitle: str, page: _Page) -> None:
        super().__init__(
            target,
            pagesize=A4,
            leftMargin=MARGIN,
            rightMargin=MARGIN,
            topMargin=MARGIN,
            bottomMargin=20 * mm,
            title=title,
            author=subtitle,
            subject="Audit report",
            creator="affidavit",
            lang="en",
            invariant=1,
        )
        frame = Frame(MARGIN, 20 * mm, A4[0] - 2 * MARGIN, A4[1] - MARGIN - 20 * mm, 0, 0, 0, 0, id="body")
        self.addPageTemplates([PageTemplate(id="page", frames=[frame])])
        page.running = f"{title} · {subtitle}"

    def afterFlowable(self, flowable: Flowable) -> None:
        anchor = getattr(flowable, "affidavit_anchor", None)
        if anchor is None:
            return
        self.canv.bookmarkPage(anchor)
        self.canv.addOutlineEntry(flowable.getPlainText(), anchor, 0, closed=False)
        self.notify("TOCEntry", (0, flowable.getPlainText(), self.page, anchor))


class _Page:
    """Styles, and how each block is set."""

    def __init__(self, fonts: Fonts) -> None:
        self.fonts = fonts
        self.running = ""
        self.width = A4[0] - 2 * MARGIN
        base = ParagraphStyle("base", fontName=fonts.plain, fontSize=9, leading=12.5, textColor=_INK, splitLongWords=1)
        self.body = ParagraphStyle("body", base, spaceBefore=3, spaceAfter=6)
        self.title = ParagraphStyle("title", base, fontName=fonts.bold, fontSize=20, leading=25)
        self.subtitle = ParagraphStyle("subtitle", base, fontSize=11, leading=15, textColor=_SOFT, spaceAfter=14)
        self.h2 = ParagraphStyle("h2", base, fontName=fonts.bold, fontSize=14, leading=18, spaceBefore=16, spaceAfter=6)
        self.h3 = ParagraphStyle("h3", base, fontName=fonts.bold, spaceBefore=9, spaceAfter=3)
        self.cell = ParagraphStyle("cell", base, fontSize=7.5, leading=10)
        self.right = ParagraphStyle("right", self.cell, alignment=TA_RIGHT)
        self.mono = ParagraphStyle("mono", self.cell, fontName=fonts.mono, fontSize=6.5, leading=9, wordWrap="CJK")
        self.head = ParagraphStyle("head", self.cell, fontName=fonts.bold, textColor=_SOFT)
        self.head_right = ParagraphStyle("head-right", self.head, alignment=TA_RIGHT)
        self.name = ParagraphStyle("name", base, textColor=_SOFT)
        self.value = ParagraphStyle("value", base)
        self.code = ParagraphStyle("code", base, fontName=fonts.mono, fontSize=6.5, leading=8.8, wordWrap="CJK")
        self.entry = ParagraphStyle("entry", base, leading=16)
        self.face = ("FONTNAME", (0, 0), (-1, -1), fonts.plain)  # of cells without a paragraph: none of them may ask for another font

    # ---- the whole ---------------------------------------------------------------------------------------------------------------
    def story(self, data: ReportData, sections: list[Section]) -> Iterator[Flowable]:
        yield Paragraph(_markup(self.fonts.writable(clean(title_of(data)))), self.title)
        yield Paragraph(_markup(self.fonts.writable(clean(subtitle_of(data)))), self.subtitle)
        contents = TableOfContents(
            levelStyles=[self.entry], dotsMinLevel=0, tableStyle=TableStyle([self.face, ("LEFTPADDING", (0, 0), (-1, -1), 0)])
        )
        yield contents
        yield Spacer(0, 6)
        yield Paragraph(f"Made {moment(data.made)} from the log's records up to size {data.notary.checkpoint.size}.", self.body)
        for section in sections:
            yield CondPageBreak(HEADED)
            heading = Paragraph(_markup(section.title), self.h2)
            heading.affidavit_anchor = section.anchor
            yield heading
            for block in section.blocks:
                yield from self.set_block(block)

    def canvas(self, *arguments: Any, **options: Any) -> Canvas:
        """A canvas that writes "page 3 of 12" when it knows how many there are."""
        return _NumberedCanvas(self, *arguments, **options)

    def set_block(self, block: Block) -> Iterator[Flowable]:
        if isinstance(block, Text):
            yield Paragraph(_markup(block.text), self.body)
        elif isinstance(block, Notice):
            yield self._notice(block)
        elif isinstance(block, Facts):
            yield from self._facts(block)
        elif isinstance(block, Table):
            yield from self._table(block)
        elif isinstance(block, Code):
            yield from self._code(block)
        else:
            shape = draw(block)
            yield KeepTogether([Paragraph(_markup(block.caption), self.h3), _ChartFlowable(shape, self.fonts, self.width), Spacer(0, 4)])

    def _heading(self, text: str) -> Iterator[Flowable]:
        """Not at the foot of a page: something of what it heads stands there with it."""
        yield CondPageBreak(HEADED)
        yield Paragraph(_markup(text), self.h3)

    # ---- blocks --------------------------------------------------------------------------------------------------------------------
    def _notice(self, block: Notice) -> Flowable:
        word = f'<font name="{self.fonts.bold}" color="#a4161a">Attention: </font>' if block.is_alarm else ""
        table = PdfTable([[Paragraph(word + _markup(block.text), self.value)]], colWidths=[self.width], spaceBefore=5, spaceAfter=5)
        bar, tint = (_ALARM, _ALARM_TINT) if block.is_alarm else (_NOTE, _NOTE_TINT)
        table.setStyle(
            [
                self.face,
                ("BACKGROUND", (0, 0), (-1, -1), tint),
                ("LINEBEFORE", (0, 0), (0, -1), 3, bar),
                ("LEFTPADDING", (0, 0), (-1, -1), 9),
            ]
        )
        return table

    def _facts(self, block: Facts) -> Iterator[Flowable]:
        if block.title:
            yield from self._heading(block.title)
        rows = [[Paragraph(_markup(name), self.name), Paragraph(_markup(value), self.value)] for name, value in block.rows]
        table = PdfTable(rows, colWidths=[self.width * 0.22, self.width * 0.78], spaceBefore=4, spaceAfter=8)
        table.setStyle(
            [
                self.face,
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
                ("LINEABOVE", (0, 0), (-1, 0), 0.4, _LINE),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 3),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ]
        )
        yield table

    def _table(self, block: Table) -> Iterator[Flowable]:
        yield from self._heading(block.caption)
        head = [
            Paragraph(_markup(n), self.head_right if k == "number" else self.head) for n, k in zip(block.head, block.kinds, strict=True)
        ]
        styles = {"number": self.right, "code": self.mono}
        rows = [
            [Paragraph(_markup(_shorten(cell)), styles.get(kind, self.cell)) for cell, kind in zip(row, block.kinds, strict=True)]
            for row in block.rows
        ]
        if not rows:
            rows = [[Paragraph("none in the period", self.cell), *[""] * (len(block.head) - 1)]]
        table = PdfTable([head, *rows], colWidths=self._widths(block), repeatRows=1, spaceAfter=8)
        table.setStyle(
            [
                self.face,
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.3, _LINE),
                ("LINEBELOW", (0, 0), (-1, 0), 1, _LINE),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 8),
                ("TOPPADDING", (0, 0), (-1, -1), 2.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
                *([("SPAN", (0, 1), (-1, 1))] if not block.rows else []),
            ]
        )
        yield table
        if block.rest:
            yield Paragraph(f"and {block.rest} more, which are in the log", self.body)

    def _widths(self, block: Table) -> list[float]:
        """Numbers and times get what they need; what is left goes to text and digests by the length of what they hold."""
        needs, least = [], []
        for column, kind in enumerate(block.kinds):
            longest = max((len(row[column]) for row in block.rows), default=0)
            head = max(len(word) for word in block.head[column].split(" "))
            is_fixed = kind in ("number", "time")
            letter = 4.1 if kind == "code" else 4.6
            needs.append(max((longest if is_fixed else min(longest, 64)) * letter, head * 5.4) + 12)
            word = max((len(word) for row in block.rows for word in row[column].split(" ")), default=0) if kind == "text" else 0
            least.append(needs[-1] if is_fixed else min(needs[-1], max(56.0, min(word, 16) * 4.6 + 12)))
        left = self.width - sum(least)
        if left < 0:
            return [width * self.width / sum(least) for width in least]
        wanted = [need - width for need, width in zip(needs, least, strict=True)]
        if not sum(wanted):
            widest = block.kinds.index("text") if "text" in block.kinds else 0
            wanted[widest] = 1.0
        return [width + left * extra / sum(wanted) for width, extra in zip(least, wanted, strict=True)]

    def _code(self, block: Code) -> Iterator[Flowable]:
        yield from self._heading(block.caption)
        cut = [line[at : at + _CODE_LINE] for line in block.text.rstrip("\n").split("\n") for at in range(0, max(1, len(line)), _CODE_LINE)]
        lines = [Paragraph(_markup(line) or "&nbsp;", self.code) for line in cut]
        table = PdfTable([[line] for line in lines], colWidths=[self.width], spaceAfter=8)
        edges = [("TOPPADDING", (0, 0), (-1, -1), 0), ("BOTTOMPADDING", (0, 0), (-1, -1), 0), ("BACKGROUND", (0, 0), (-1, -1), _TINT)]
        table.setStyle(
            [
                self.face,
                *edges,
                ("TOPPADDING", (0, 0), (-1, 0), 5),
                ("BOTTOMPADDING", (0, -1), (-1, -1), 5),
                ("BOX", (0, 0), (-1, -1), 0.4, _LINE),
            ]
        )
        yield table


class _NumberedCanvas(Canvas):  # type: ignore[misc]
    """Keeps every page until the number of all is known."""

    def __init__(self, page: _Page, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "initialFontName": page.fonts.plain})
        self._page = page
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:
        self._kept.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, state in enumerate(self._kept, start=1):
            self.__dict__.update(state)
            self.setFont(self._page.fonts.plain, 7.5)
            self.setFillColor(_SOFT)
            self.drawString(MARGIN, 11 * mm, self._page.fonts.writable(self._page.running)[:110])
            self.drawRightString(A4[0] - MARGIN, 11 * mm, f"page {number} of {len(self._kept)}")
            super().showPage()
        super().save()


def _markup(text: str) -> str:
    """Text as reportlab's paragraphs take it: nothing in it is markup."""
    return escape(text).replace("\n", "<br/>")


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_CELL else f"{text[:_MOST_CELL]} … ({len(text)} characters in the log)"


class _ChartFlowable(Flowable):  # type: ignore[misc]
    """A chart, upside up: PDF counts from below."""

    def __init__(self, shape: Chart, fonts: Fonts, width: float) -> None:
        super().__init__()
        self.shape, self.fonts = shape, fonts
        self.legend = 16 if len(shape.legend) > 1 else 0
        self.scale = width / shape.width
        self.width, self.height = width, (shape.height + self.legend) * self.scale

    def wrap(self, *_available: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        self.canv.scale(self.scale, self.scale)
        self.canv.translate(0, self.legend)
        self._draw_marks(self.shape.height)
        self.canv.setFont(self.fonts.plain, 10)
        self.canv.setFillColor(_SOFT)
        write = {"start": self.canv.drawString, "middle": self.canv.drawCentredString, "end": self.canv.drawRightString}
        for label in self.shape.labels:
            write[label.anchor](label.x, self.shape.height - label.y, self.fonts.writable(label.text))
        if self.legend:
            self._draw_legend()

    def _draw_marks(self, top: float) -> None:
        self.canv.setLineWidth(0.6)
        self.canv.setStrokeColor(_LINE)
        for y in self.shape.grid:
            self.canv.line(56, top - y, self.shape.width - 8, top - y)
        for r in self.shape.rects:
            self.canv.setFillColor(_SERIES[r.series])
            self.canv.rect(r.x, top - r.y - r.height, r.width, r.height, stroke=0, fill=1)
        self.canv.setLineWidth(1.6)
        for path in self.shape.paths:
            self.canv.setStrokeColor(_SERIES[path.series])
            self.canv.setDash(*((list(_DASHES[path.series]), 0) if _DASHES[path.series] else ()))
            drawn = self.canv.beginPath()
            drawn.moveTo(path.points[0][0], top - path.points[0][1])
            for x, y in path.points[1:]:
                drawn.lineTo(x, top - y)
            self.canv.drawPath(drawn)

    def _draw_legend(self) -> None:
        x = 56.0
        for number, name in enumerate(self.shape.legend):
            self.canv.setFillColor(_SERIES[number])
            self.canv.rect(x, -14, 9, 9, stroke=0, fill=1)
            self.canv.setFillColor(_SOFT)
            self.canv.drawString(x + 14, -13, self.fonts.writable(name))
            x += 40 + 6 * len(name)
