"""The benchmark of the pages, small: every page is there, over a log that was filled before."""

from __future__ import annotations

import pytest

from oracle.bench import pages
from oracle.errors import ConfigRejected


@pytest.mark.slow
def test_every_page_has_its_times() -> None:
    try:
        pages.find_chromium()
    except ConfigRejected:
        pytest.skip("no chromium: install the Debian package `chromium`")
    rows = pages.measure(2000)
    assert [row[0] for row in rows] == list(pages.PATHS)
    assert all(0 < float(row[2].split()[0]) <= float(row[3].split()[0]) for row in rows)
