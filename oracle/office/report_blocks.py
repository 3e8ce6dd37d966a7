"""What a page of a report is made of, whatever draws it: HTML and PDF show the same blocks in the same order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A paragraph that must not be overlooked. `is_alarm`: something is missing, late or wrong."""

    text: str
    is_alarm: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, under a heading of their own where there is a title."""

    rows: tuple[tuple[str, str], ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`kinds` says how each column reads: "text", "number", "time", or "code" for ids and digests. `rest` rows were left out."""

    caption: str
    head: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars over time. Series from the bottom up; `labels` one for each bar."""

    caption: str
    labels: tuple[str, ...]
    series: tuple[tuple[str, tuple[float, ...]], ...]
    unit: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over time; None where there is no value."""

    caption: str
    labels: tuple[str, ...]
    series: tuple[tuple[str, tuple[float | None, ...]], ...]
    unit: str


@dataclass(frozen=True, slots=True)
class Shares:
    """How a whole is divided, a bar for each part."""

    caption: str
    parts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be taken as it is: a note, a proof, commands."""

    caption: str
    text: str


Block = Text | Notice | Facts | Table | Bars | Lines | Shares | Code


@dataclass(frozen=True, slots=True)
class Section:
    """`anchor` is its id within the document."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


def nice_scale(highest: float, steps: int = 4) -> list[float]:
    """Values for the lines of a chart, from 0 to at least `highest`, in steps of 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return [0.0, 1.0]
    raw = highest / steps
    power = 10.0 ** len(str(int(raw))) / 10 if raw >= 1 else 10.0 ** -next(n for n in range(1, 12) if raw * 10**n >= 1)
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    count = -int(-highest // step)
    return [step * number for number in range(count + 1)]
