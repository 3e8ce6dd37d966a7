"""Where the parts of a chart stand. Pure geometry, y downwards, in units that HTML takes as pixels and PDF as points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oracle.office.report_blocks import Bars, Lines, Shares, nice_scale
from oracle.office.wording import share, thousands

WIDTH, HEIGHT = 640.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 8.0, 10.0, 26.0
ROW, LABEL, BAR = 26.0, 150.0, 340.0
_MOST_LABELS = 7


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar's piece. `series` is its colour's number, `told` what a reader who points at it is told."""

    x: float
    y: float
    width: float
    height: float
    series: int
    told: str


@dataclass(frozen=True, slots=True)
class Label:
    """`anchor`: which end of the text stands at x: start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Path:
    points: tuple[tuple[float, float], ...]
    series: int


@dataclass(frozen=True, slots=True)
class Chart:
    """`told` is the chart in a sentence, for who does not see it."""

    width: float
    height: float
    grid: tuple[float, ...]  # y of horizontal lines
    rects: tuple[Rect, ...]
    paths: tuple[Path, ...]
    labels: tuple[Label, ...]
    legend: tuple[str, ...]
    told: str


def draw(block: Bars | Lines | Shares) -> Chart:
    if isinstance(block, Bars):
        return draw_bars(block)
    return draw_lines(block) if isinstance(block, Lines) else draw_shares(block)


def draw_bars(block: Bars) -> Chart:
    """Stacked bars over time."""
    totals = [sum(values[i] for _, values in block.series) for i in range(len(block.labels))]
    scale = nice_scale(max(totals, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(block.labels))
    rects = []
    for i, label in enumerate(block.labels):
        below = 0.0
        for number, (name, values) in enumerate(block.series):
            top, bottom = _y(below + values[i], scale[-1]), _y(below, scale[-1])
            if values[i]:
                told = f"{label}: {thousands(round(values[i]))} {name}"
                rects.append(Rect(LEFT + i * step + step * 0.1, top, step * 0.8, bottom - top, number, told))
            below += values[i]
    grid, labels = _axes(scale, block.labels, block.unit)
    legend = tuple(name for name, _ in block.series)
    return Chart(WIDTH, HEIGHT, grid, tuple(rects), (), labels, legend, _tell(block.caption, block.labels, totals, block.unit))


def draw_lines(block: Lines) -> Chart:
    """A line breaks where it has no value; a value alone is drawn as a short dash."""
    values = [v for _, series in block.series for v in series if v is not None]
    scale = nice_scale(max(values, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(block.labels))
    paths = []
    for number, (_, series) in enumerate(block.series):
        for run in _runs(series):
            points = [(LEFT + (i + 0.5) * step, _y(v, scale[-1])) for i, v in run]
            if len(points) == 1:
                points = [(points[0][0] - min(3, step / 2), points[0][1]), (points[0][0] + min(3, step / 2), points[0][1])]
            paths.append(Path(tuple(points), number))
    grid, labels = _axes(scale, block.labels, block.unit)
    highest = [max((s[i] or 0 for _, s in block.series), default=0) for i in range(len(block.labels))]
    told = _tell(block.caption, block.labels, highest, block.unit, is_sum=False)
    return Chart(WIDTH, HEIGHT, grid, (), tuple(paths), labels, tuple(name for name, _ in block.series), told)


def draw_shares(block: Shares) -> Chart:
    """One bar for each part, with its number and share beside it."""
    whole = sum(number for _, number in block.parts)
    highest = max((number for _, number in block.parts), default=0)
    rects, labels, words = [], [], []
    for i, (name, number) in enumerate(block.parts):
        y = i * ROW
        width = BAR * number / highest if highest else 0.0
        words.append(f"{name} {thousands(number)} ({share(number, whole)})")
        rects.append(Rect(LABEL, y + 5, max(width, 1.0), ROW - 10, 0, words[-1]))
        labels.append(Label(LABEL - 8, y + 17, name if len(name) <= 22 else name[:21] + "…", "end"))
        labels.append(Label(LABEL + max(width, 1.0) + 8, y + 17, f"{thousands(number)}  ·  {share(number, whole)}", "start"))
    told = f"{block.caption}: {', '.join(words) or 'nothing'}."
    return Chart(WIDTH, max(ROW, ROW * len(block.parts)), (), tuple(rects), (), tuple(labels), (), told)


def _y(value: float, highest: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / highest)


def _axes(scale: Sequence[float], names: Sequence[str], unit: str) -> tuple[tuple[float, ...], tuple[Label, ...]]:
    grid = tuple(_y(value, scale[-1]) for value in scale)
    labels = [Label(LEFT - 6, y + 4, _figure(value), "end") for value, y in zip(scale, grid, strict=True)]
    labels[-1] = Label(LEFT - 6, grid[-1] + 4, f"{_figure(scale[-1])} {unit}" if len(unit) <= 2 else _figure(scale[-1]), "end")
    step = (WIDTH - LEFT - RIGHT) / max(1, len(names))
    every = max(1, -(-len(names) // _MOST_LABELS))
    for i in range(0, len(names), every):
        middle = LEFT + (i + 0.5) * step
        if i == 0:
            labels.append(Label(LEFT, HEIGHT - 8, names[i], "start"))
        elif LEFT + 106 < middle < WIDTH - RIGHT - 30:  # the first one reaches so far, and none beyond the edge
            labels.append(Label(middle, HEIGHT - 8, names[i], "middle"))
    return grid, tuple(labels)


def _figure(value: float) -> str:
    return thousands(round(value)) if value == round(value) else f"{value:g}"


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Stretches without a hole."""
    runs: list[list[tuple[int, float]]] = []
    is_open = False
    for i, value in enumerate(values):
        if value is None:
            is_open = False
        elif is_open:
            runs[-1].append((i, value))
        else:
            runs.append([(i, value)])
            is_open = True
    return runs


def _tell(caption: str, labels: Sequence[str], values: Sequence[float], unit: str, is_sum: bool = True) -> str:
    if not any(values):
        return f"{caption}: none."
    most = max(range(len(values)), key=lambda i: values[i])
    total = f"{thousands(round(sum(values)))} {unit} in all, " if is_sum else ""
    return f"{caption}: {total}most {thousands(round(values[most]))} {unit} at {labels[most]}."
