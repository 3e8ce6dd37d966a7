"""Checks read the chain once in a moment, and never see it older than that; what fails or is absent is asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oracle.errors import ChainError, RequestUnpaid
from oracle.node import recent
from oracle.node.intake import check
from oracle.node.recent import RECENT_SECONDS, RecentChain
from oracle.records import Bytes32
from tests.twins.node_scene import Scene, digit_image, make_scene
from tests.twins.operators import address_of


class Counting:
    """A chain that counts what is asked."""

    def __init__(self, chain: Any) -> None:
        self.chain = chain
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.chain, name)
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            return found(*arguments)

        return call


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_second_check_of_the_same_moment_asks_nothing_but_the_signature(scene: Scene) -> None:
    counting, clock = Counting(scene.chain), Clock()
    chain = RecentChain(counting, clock)  # type: ignore[arg-type]
    for _ in range(3):
        check(scene.sign(digit_image()), chain, scene.node.library, scene.node.terms)  # type: ignore[arg-type]
    asked = [name for name in counting.calls if name != "is_valid_signature"]
    assert sorted(asked) == ["balance_of", "block", "model", "operators", "status_of"]
    clock.now += RECENT_SECONDS + 0.001
    check(scene.sign(digit_image()), chain, scene.node.library, scene.node.terms)  # type: ignore[arg-type]
    assert len([name for name in counting.calls if name != "is_valid_signature"]) == 10


def test_another_request_shares_all_but_its_state(scene: Scene) -> None:
    counting = Counting(scene.chain)
    chain = RecentChain(counting, Clock())  # type: ignore[arg-type]
    for number in range(2):
        check(scene.sign(digit_image(), nonce=(1 << 128) + number), chain, scene.node.library, scene.node.terms)  # type: ignore[arg-type]
    assert [name for name in counting.calls if name != "is_valid_signature"].count("status_of") == 2
    assert counting.calls.count("balance_of") == counting.calls.count("model") == 1


def test_what_is_older_than_a_moment_is_not_believed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    chain = RecentChain(scene.chain, clock)
    check(scene.sign(digit_image()), chain, scene.node.library, scene.node.terms)  # type: ignore[arg-type]
    monkeypatch.setattr(scene.chain, "balance_of", lambda _account: 0)
    check(scene.sign(digit_image()), chain, scene.node.library, scene.node.terms)  # type: ignore[arg-type]
    clock.now += RECENT_SECONDS + 0.001
    with pytest.raises(RequestUnpaid):
        check(scene.sign(digit_image()), chain, scene.node.library, scene.node.terms)  # type: ignore[arg-type]


def test_failures_and_absences_are_asked_again(scene: Scene) -> None:
    counting = Counting(scene.chain)
    chain = RecentChain(counting, Clock())  # type: ignore[arg-type]
    scene.chain.is_down = True
    for _ in range(2):
        with pytest.raises(ChainError):
            chain.balance_of(address_of("alice"))
    scene.chain.is_down = False
    for _ in range(2):
        assert chain.model(Bytes32(bytes(32))) is None
    assert counting.calls == ["balance_of"] * 2 + ["model"] * 2


def test_no_more_is_kept_than_fits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_KEPT", 3)
    chain = RecentChain(scene.chain, Clock())
    for number in range(10):
        chain.status_of(Bytes32(number.to_bytes(32, "big")))
    assert len(chain._kept) <= 3


def test_everything_else_is_the_chains_own(scene: Scene) -> None:
    assert RecentChain(scene.chain).domain == scene.chain.domain
