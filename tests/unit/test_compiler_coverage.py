"""ONNX's own node cases: what docs/models.md says of them is what happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from circuits.compiler.coverage import OPERATORS, Row, compute_error, format_table, list_cases, measure
from circuits.compiler.lowerings import LOWERINGS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
FAST = ("AveragePool", "BatchNormalization", "Concat", "Conv", "Gelu", "Gemm", "HardSwish", "MatMul", "PRelu", "Slice", "Transpose")


def read_page() -> dict[str, list[str]]:
    """The table's columns by operator, but for errors and reasons."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| Operator | Cases |"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :] if line.startswith("|")]
    return {row[0]: row[1:5] for row in rows}


def count(row: Row) -> list[str]:
    return [str(row.cases), str(row.unsuited or ""), str(row.compiled), str(row.agree)]


def check_against_page(rows: dict[str, Row]) -> None:
    page = read_page()
    for operator, row in rows.items():
        assert count(row) == page[operator], operator


def test_a_part_of_the_table_is_true() -> None:
    with np.errstate(all="ignore"):
        rows = measure(list_cases(FAST))
    assert set(rows) == set(FAST)
    check_against_page(rows)
    assert all(row.agree == row.compiled for row in rows.values())


@pytest.mark.slow
def test_the_whole_table_is_true() -> None:
    with np.errstate(all="ignore"):
        rows = measure(list_cases())
    check_against_page(rows)
    page = read_page()
    assert set(rows) == set(page) - {"**all**"}
    assert page["**all**"] == [str(sum(getattr(row, name) for row in rows.values())) for name in ("cases", "unsuited", "compiled", "agree")]


def test_every_operator_measured_has_a_lowering() -> None:
    assert set(OPERATORS) - set(LOWERINGS) == {"Constant"}


def test_an_error_is_relative_to_the_range_of_the_output() -> None:
    assert compute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5
    assert compute_error(np.array([9.0, 2.0]), np.array([np.inf, 4.0])) == 0.5
    row = Row(cases=3, unsuited=1, compiled=2, agree=1, worst=0.25)
    assert format_table({"Conv": row}).splitlines()[2] == "| Conv | 3 | 1 | 2 | 1 | 25.000% |  |"
