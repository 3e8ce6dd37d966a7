"""Completeness on a page: what cannot change is asked for once, what can is not believed for long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oracle.office.judging import REPORT_SECONDS, RememberingChain
from tests.twins.chain import ChainTwin
from tests.twins.office_api import office_network


class CountingChain(ChainTwin):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def block(self, which: Any) -> Any:
        self.asked.append(which)
        return super().block(which)


def test_a_block_is_asked_for_once_and_the_head_every_time() -> None:
    chain = CountingChain()
    chain.mine()
    remembering = RememberingChain(chain, lambda: ())
    assert remembering.block(0) == remembering.block(0) == chain.block(0)
    assert chain.asked == [0, 0]
    assert remembering.block(10**9) is None
    chain.mine()
    before = remembering.block("latest")
    chain.mine()
    assert remembering.block("latest") != before


def test_a_report_is_made_again_when_the_log_grew_or_time_passed(tmp_path: Path) -> None:
    with office_network(tmp_path) as net:
        judging, office = net.office.judging, net.office
        net.log_call(1)
        first = judging.report(office)
        assert judging.report(office) is first
        net.clock.forward(REPORT_SECONDS)
        second = judging.report(office)
        assert second is not first
        net.log_call(2)
        assert judging.report(office).checkpoint.size == first.checkpoint.size + 2
        net.clock.forward(4000)
        assert {finding.kind for finding in judging.report(office).findings} >= {"no_anchor_key"}
