"""Writing to people and to machines: results on standard output, progress and notes on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from oracle.printing import printable

WIDE = 1_000
"""Columns of what is no terminal: a file or another program, which has no edge to fit."""


def write_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def write_json_line(value: Any) -> None:
    """One JSON object a line, for streams."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def write_note(text: str) -> None:
    """For people only; never part of the result."""
    typer.echo(printable(text, keep="\n"), err=True)


def write_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Aligned "name  value" lines."""
    rows = [(name, printable(str(value))) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


def write_result(fields: Mapping[str, object], is_json: bool) -> None:
    """What a command came to: one document for machines, or a line for each field."""
    if is_json:
        write_json(fields)
    else:
        write_pairs(fields.items())


def write_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Nothing is cut off: what does not fit a terminal goes on in the next line, and elsewhere lines are as long as they are.

    A cell is text, whoever wrote it: no markup, and nothing that a terminal obeys.
    """
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(column, overflow="fold") for column in columns), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


@contextmanager
def working(text: str) -> Iterator[None]:
    """A spinner with elapsed time on standard error while something long runs; nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(text, total=None)
        yield


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, moved by calls of (what, done, total); nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
