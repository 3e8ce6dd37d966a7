"""Hearings and votes in the watcher's database: order, wakes, duties, and salts that outlive everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from oracle.encoding import keccak256
from oracle.errors import InvariantBroken
from oracle.records import Address, Bytes32, CallbackStatus, Delivered, TransactionReceipt
from oracle.relay import cases, hearings
from oracle.relay.cases import Case
from oracle.relay.hearings import Duty, Hearing, HearingState
from oracle.store import open_database

MEMBER = Address("0x" + "11" * 20)
BLOCK, OTHER_BLOCK = (Bytes32(bytes([n]) * 32) for n in (7, 8))
TRUTH, LIE = keccak256(b"truth"), keccak256(b"lie")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path}/watch.sqlite", cases.SCHEMA)
    yield engine
    engine.dispose()


def add_case(engine: Engine, number: int, block: Bytes32 = BLOCK) -> Case:
    request_id = Bytes32(bytes([number]) * 32)
    delivered = Delivered(request_id, TRUTH, MEMBER, LIE, b"lie", (), 1_000, CallbackStatus.NONE)
    receipt = TransactionReceipt(keccak256(bytes(request_id)), 5, block, True, 1, (delivered,))
    with engine.begin() as connection:
        cases.open_cases(connection, receipt)
    case = cases.find_case(engine, request_id)
    assert case is not None
    return case


def add(engine: Engine, number: int, block: Bytes32 = BLOCK) -> Hearing:
    case = add_case(engine, number, block)
    hearings.open_hearing(engine, case)
    return found(engine, case.request_id)


def found(engine: Engine, request_id: Bytes32) -> Hearing:
    hearing = hearings.find_hearing(engine, request_id)
    assert hearing is not None
    return hearing


def test_a_delivery_has_one_hearing_however_often_it_is_judged(engine: Engine) -> None:
    case = add_case(engine, 1)
    for _ in range(2):
        hearings.open_hearing(engine, case)
    assert hearings.count_by_state(engine)[HearingState.HELD] == 1


def test_a_delivery_that_vanished_while_it_was_judged_gets_none(engine: Engine) -> None:
    case = add_case(engine, 1)
    with engine.begin() as connection:
        cases.drop_block(connection, BLOCK)
    hearings.open_hearing(engine, case)
    assert hearings.find_hearing(engine, case.request_id) is None


def test_hearings_vanish_with_their_block_and_only_with_theirs(engine: Engine) -> None:
    first, second = add(engine, 1), add(engine, 2, OTHER_BLOCK)
    with engine.begin() as connection:
        assert hearings.drop_block(connection, BLOCK) == 1
    assert hearings.find_hearing(engine, first.request_id) is None
    assert hearings.find_hearing(engine, second.request_id) is not None


def test_where_a_vote_is_owed_comes_first_and_the_earliest_deadline_before_the_others(engine: Engine) -> None:
    first, second, third = (add(engine, n) for n in (1, 2, 3))
    for hearing, duty, until in ((second, Duty.REVEAL, 900), (third, Duty.COMMIT, 800)):
        hearings.move(engine, hearing, HearingState.DISPUTED, 5.0, duty=duty, duty_until=until)
    order = []
    while (hearing := hearings.next_hearing(engine, 10.0)) is not None:
        order.append(hearing.id)
        hearings.move(engine, hearing, hearing.state, 99.0)
    assert order == [third.id, second.id, first.id]
    assert hearings.find_next_deadline(engine) == 800
    assert hearings.count_by_duty(engine) == {Duty.COMMIT: 1, Duty.REVEAL: 1, Duty.IMPOSSIBLE: 0, Duty.MISSED: 0}


def test_an_event_during_a_look_is_not_slept_over(engine: Engine) -> None:
    hearing = add(engine, 1)
    with engine.begin() as connection:  # after this look at the chain, and before what it leads to is stored
        hearings.wake(connection, hearing.request_id)
    hearings.move(engine, hearing, HearingState.HELD, 1e9)
    assert hearings.next_hearing(engine, 1.0) is not None
    hearings.move(engine, found(engine, hearing.request_id), HearingState.HELD, 1e9)
    assert hearings.next_hearing(engine, 1.0) is None
    hearings.wake_all(engine)
    assert hearings.next_hearing(engine, 1.0) is not None


def test_what_is_over_is_looked_at_no_more_and_owes_nothing(engine: Engine) -> None:
    hearing = add(engine, 1)
    hearings.move(engine, hearing, HearingState.CLOSED, 0.0, duty=Duty.MISSED, duty_until=5)
    assert hearings.next_hearing(engine, 1e12) is None
    assert hearings.find_next_deadline(engine) is None
    assert hearings.count_by_duty(engine)[Duty.MISSED] == 0
    with pytest.raises(InvariantBroken):
        hearings.move(engine, found(engine, hearing.request_id), HearingState.HELD, 0.0)


def test_a_vote_is_kept_once_with_its_salt_and_survives_its_delivery(engine: Engine, tmp_path: Path) -> None:
    hearing = add(engine, 1)
    vote = hearings.keep_vote(engine, hearing.request_id, MEMBER, TRUTH)
    assert hearings.keep_vote(engine, hearing.request_id, MEMBER, LIE) == vote
    with engine.begin() as connection:
        hearings.drop_block(connection, BLOCK)
    engine.dispose()
    again = open_database(f"sqlite:///{tmp_path}/watch.sqlite", cases.SCHEMA)
    assert hearings.find_vote(again, hearing.request_id, MEMBER) == vote
    assert hearings.find_vote(again, hearing.request_id, Address("0x" + "22" * 20)) is None
    again.dispose()


def test_no_two_votes_have_one_salt(engine: Engine) -> None:
    salts = {hearings.keep_vote(engine, Bytes32(bytes([n]) * 32), MEMBER, TRUTH).salt for n in range(20)}
    assert len(salts) == 20
