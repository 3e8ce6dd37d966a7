"""A report as one HTML file: no script, nothing loaded from anywhere, for screens light and dark, for print, and for who cannot see."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from oracle.office.report import ReportData
from oracle.office.report_charts import draw
from oracle.office.report_sections import make_sections, subtitle_of, title_of
from oracle.office.report_text import clean, clean_all
from oracle.office.wording import moment


def write_html(data: ReportData) -> bytes:
    """The file. The same data gives the same bytes."""
    page = _template().render(
        title=clean(title_of(data)),
        subtitle=clean(subtitle_of(data)),
        sections=[clean_all(section) for section in make_sections(data)],
        footer=f"Made {moment(data.made)} from the log's records up to size {data.notary.checkpoint.size}.",
        kind_of=lambda block: type(block).__name__,
        draw=draw,
    )
    return page.encode()


@cache
def _template() -> Template:
    loader = PackageLoader("oracle.office", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("report.html")
