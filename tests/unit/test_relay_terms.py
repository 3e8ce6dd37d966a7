"""Requests that would drain the relay: too small a fee, too much callback gas, under fresh keys, around restarts. None is ever paid for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.errors import ConfigRejected, RequestRejected, RequestUnpaid
from oracle.records import SIGNED_NONCE_START, Address, Asked, Policy
from oracle.relay.claims import watched_by
from oracle.relay.outbox import find_job
from oracle.relay.schema import JobKind, RequestState
from oracle.relay.store import current_terms, events_since, publish_terms, request_view, submit_signed, take_block, undo_block
from oracle.relay.terms import Terms
from oracle.store import open_database
from tests.twins.operators import account, sign_request
from tests.unit.test_relay_collect import NOW, Scene

PRICED = Terms(minimum_fee_wei=100, minimum_fee_per_callback_gas_wei=3, max_callback_gas=50)
ENOUGH_WEI = 100 + 3 * 50


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.engine.dispose()


def ask(scene: Scene, fee_wei: int, callback_gas: int) -> Asked:
    return scene.chain.ask(scene.model, b"input", Policy(quorum=3), fee_wei=fee_wei, callback_gas=callback_gas)


def take(scene: Scene, asked: Asked) -> None:
    with scene.engine.begin() as connection:
        take_block(connection, [asked], NOW)


def sign(scene: Scene, signer: int, fee_wei: int, callback_gas: int) -> Asked:
    requester, nonce = account(f"fresh key {signer}"), SIGNED_NONCE_START + 1
    terms = {"fee_wei": fee_wei, "callback_gas": callback_gas}
    request = replace(scene.asked.request, requester=Address(requester.address), nonce=nonce, **terms)  # type: ignore[arg-type]
    return sign_request(request, b"input", requester, scene.chain.domain)


BELOW = {
    "nothing": (0, 0, "at least 100 wei"),
    "one wei below": (99, 0, "at least 100 wei"),
    "callback gas not paid for": (ENOUGH_WEI - 1, 50, f"at least {ENOUGH_WEI} wei"),
    "too much callback gas": (10**18, 51, "at most 50"),
    "all the callback gas there is": (10**18, 5_000_000, "at most 50"),
}


@pytest.mark.parametrize("name", BELOW)
def test_a_request_below_the_terms_is_never_asked_about(name: str, scene: Scene) -> None:
    fee_wei, callback_gas, expected = BELOW[name]
    publish_terms(scene.engine, PRICED, NOW)
    asked = ask(scene, fee_wei, callback_gas)
    take(scene, asked)
    view = request_view(scene.engine, asked.request_id)
    assert view.state is RequestState.FAILED
    assert expected in (view.reason or "")
    assert not view.is_watched
    assert watched_by(scene.engine, "http://node-0.test") == []
    scene.step(scene.collector(*[scene.truth(i) for i in range(3)]), 2)
    assert [e.kind for e in events_since(scene.engine, asked.request_id)] == ["seen", "failed"]
    with scene.engine.begin() as connection:
        assert find_job(connection, JobKind.DELIVER, asked.request_id) is None


@pytest.mark.parametrize("name", BELOW)
def test_fresh_keys_buy_nothing(name: str, scene: Scene) -> None:
    """Signed requests, each of another requester, handed over past an API that does not look: not even stored."""
    fee_wei, callback_gas, expected = BELOW[name]
    publish_terms(scene.engine, PRICED, NOW)
    for signer in range(20, 25):
        asked = sign(scene, signer, fee_wei, callback_gas)
        with pytest.raises(RequestRejected if "at most" in expected else RequestUnpaid, match=expected):
            submit_signed(scene.engine, scene.chain.domain, asked, NOW)
        assert events_since(scene.engine, asked.request_id) == []


def test_exactly_the_terms_are_enough(scene: Scene) -> None:
    publish_terms(scene.engine, PRICED, NOW)
    on_chain, signed = ask(scene, ENOUGH_WEI, 50), sign(scene, 20, ENOUGH_WEI, 50)
    take(scene, on_chain)
    assert request_view(scene.engine, on_chain.request_id).state is RequestState.COLLECTING
    assert submit_signed(scene.engine, scene.chain.domain, signed, NOW) is RequestState.COLLECTING


def test_a_restart_with_terms_fails_what_was_collected_without(scene: Scene, tmp_path: Path) -> None:
    signed = sign(scene, 20, 0, 0)
    submit_signed(scene.engine, scene.chain.domain, signed, NOW)
    assert set(publish_terms(scene.engine, PRICED, NOW)) == {scene.asked.request_id, signed.request_id}
    scene.engine.dispose()
    again = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay")
    assert current_terms(again) == PRICED
    assert publish_terms(again, PRICED, NOW) == []
    for asked in (scene.asked, signed):
        assert request_view(again, asked.request_id).state is RequestState.FAILED
        assert not request_view(again, asked.request_id).is_watched
    assert request_view(again, signed.request_id).is_settled
    again.dispose()


def test_a_failed_request_stays_failed_when_the_terms_are_lowered(scene: Scene) -> None:
    publish_terms(scene.engine, PRICED, NOW)
    publish_terms(scene.engine, Terms(), NOW)
    assert scene.state is RequestState.FAILED


def test_a_request_whose_block_vanished_comes_back_to_the_terms_of_today(scene: Scene) -> None:
    block = scene.chain.block(scene.asked.block_number or 0)
    assert block is not None
    with scene.engine.begin() as connection:
        assert undo_block(connection, block, NOW) == [scene.asked.request_id]
    publish_terms(scene.engine, PRICED, NOW)
    take(scene, scene.asked)
    assert scene.state is RequestState.FAILED
    assert not request_view(scene.engine, scene.asked.request_id).is_watched


@pytest.mark.parametrize("name", Terms.__slots__)
def test_negative_terms_are_refused(name: str) -> None:
    with pytest.raises(ConfigRejected, match=name):
        Terms(**{name: -1})


def test_terms_beyond_64_bits_survive(scene: Scene) -> None:
    terms = Terms(10**30, 10**25, 5_000_000)
    publish_terms(scene.engine, terms, NOW)
    assert current_terms(scene.engine) == terms


def test_a_database_no_relay_has_started_on_has_the_default_terms(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/new.sqlite", "relay")
    assert current_terms(engine) == Terms()
    engine.dispose()


def test_truth_is_delivered_all_the_same_for_those_who_pay(scene: Scene) -> None:
    publish_terms(scene.engine, replace(PRICED, minimum_fee_wei=10), NOW)
    scene.step(scene.collector(*[scene.truth(i) for i in range(3)]))
    assert scene.state is RequestState.QUEUED


def test_a_proof_costs_what_the_relay_wants_for_it(scene: Scene) -> None:
    dear = replace(PRICED, minimum_proof_fee_wei=1000)
    publish_terms(scene.engine, dear, NOW)
    assert current_terms(scene.engine) == dear
    plain = scene.chain.ask(scene.model, b"input", Policy(quorum=1), fee_wei=100).request
    proven = scene.chain.ask(scene.model, b"input", Policy(quorum=1, proof=True), fee_wei=1099).request
    assert dear.find_problem(plain) is None
    assert "at least 1100 wei" in (dear.find_problem(proven) or "")
    assert dear.find_problem(replace(proven, fee_wei=1100)) is None
