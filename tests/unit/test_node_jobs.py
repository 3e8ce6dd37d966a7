"""The store: states move only as they may, and one request is never signed with two outputs, by threads, processes or after a kill."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from oracle.encoding import keccak256, pack_policy
from oracle.errors import ChainError, ConfigRejected, Equivocation, InputRejected, InvariantBroken, RequestUnknown, StoreError
from oracle.node import jobs
from oracle.node.jobs import JobState, JobStore
from oracle.records import SIGNED_NONCE_START, Appended, Asked, Bytes32, Claim, Domain, Policy, Request, SignedClaim
from oracle.store import open_database
from tests.twins.guard_process import DOMAIN, INTENT, claim_of, inference_of, sign
from tests.twins.operators import address_of

BLOCK_HASH = keccak256(b"block")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "node.sqlite"


def open_store(database: Path) -> JobStore:
    return JobStore(open_database(f"sqlite:///{database}", jobs.SCHEMA))


@pytest.fixture
def store(database: Path) -> JobStore:
    return open_store(database)


def owed_besides(store: JobStore, who: str, asked: Asked) -> int:
    owed = store.fees_owed([address_of(who)])[address_of(who)]
    return sum(fee_wei for request_id, fee_wei in owed.items() if request_id != asked.request_id)


def ask(number: int, signed: bool = False, fee_wei: int = 5) -> Asked:
    """Not a request any contract would know; the store takes what intake checked."""
    nonce = SIGNED_NONCE_START + number if signed else number
    digest = keccak256(b"%d" % number)
    request = Request(address_of("alice"), address_of("alice"), digest, digest, pack_policy(Policy(1)), fee_wei, 0, (1 << 64) - 1, nonce)
    if signed:
        return Asked(digest, request, b"input", bytes(65))
    return Asked(digest, request, b"input", b"", 7, BLOCK_HASH, keccak256(b"transaction"))


@pytest.mark.parametrize("signed", [True, False])
def test_a_job_comes_back_as_it_was_after_a_restart(database: Path, signed: bool) -> None:
    asked = ask(1, signed)
    assert open_store(database).enqueue(asked) is JobState.QUEUED
    job = open_store(database).take_next(now=0)
    assert job is not None
    assert (job.asked, job.state, job.attempts, job.intent) == (asked, JobState.RUNNING, 1, None)


def test_jobs_are_taken_once_oldest_first_when_due(store: JobStore) -> None:
    for number in (3, 1, 2):
        store.enqueue(ask(number))
        store.enqueue(ask(number))
    taken = [store.take_next(0), store.take_next(0)]
    assert [job.asked for job in taken if job] == [ask(3), ask(1)]
    store.postpone(ask(3).request_id, 8.0, ChainError("down"))
    last = store.take_next(0)
    assert last is not None
    assert last.asked == ask(2)
    assert store.take_next(7.9) is None
    again = store.take_next(8.0)
    assert again is not None
    assert (again.asked, again.attempts) == (ask(3), 2)


def test_a_process_that_died_left_nothing_running(database: Path) -> None:
    store = open_store(database)
    store.enqueue(ask(1))
    assert store.take_next(0) is not None
    store.enqueue(ask(2))
    store.postpone(ask(1).request_id, 99.0, ChainError("down"))
    assert store.take_next(0) is not None
    assert open_store(database).requeue_all() == 2
    assert [job.asked for job in (store.take_next(0), store.take_next(0)) if job] == [ask(1), ask(2)]


def run_to(store: JobStore, asked: Asked, state: JobState) -> None:
    store.enqueue(asked)
    if state is JobState.QUEUED:
        return
    assert store.take_next(0) is not None
    if state is JobState.ANSWERED:
        store.mark_all_answered([asked.request_id])
    elif state is JobState.REFUSED:
        store.refuse(asked.request_id, InputRejected("input", 1, 2))
    elif state is JobState.BROKEN:
        store.mark_broken(asked.request_id, InvariantBroken("bug"))
    elif state is JobState.DROPPED:
        drop(store)


def drop(store: JobStore) -> int:
    with store._transaction() as connection:
        return jobs.drop_block(connection, BLOCK_HASH)


@pytest.mark.parametrize("state", JobState)
def test_seen_again(store: JobStore, state: JobState) -> None:
    """Only what vanished, or was refused before any work, is queued again."""
    asked = ask(1)
    run_to(store, asked, state)
    assert store.job(asked.request_id).state is state
    moved = replace(asked, block_number=9, block_hash=keccak256(b"another block"))
    is_again = state in (JobState.DROPPED, JobState.REFUSED)
    assert store.enqueue(moved) is (JobState.QUEUED if is_again else state)
    assert (store.job(asked.request_id).asked == moved) is is_again


@pytest.mark.parametrize("state", JobState)
def test_a_block_that_vanishes_takes_everything_but_answers(store: JobStore, state: JobState) -> None:
    run_to(store, ask(1), state)
    store.enqueue(ask(2, signed=True))
    drop(store)
    assert store.job(ask(1).request_id).state is (JobState.ANSWERED if state is JobState.ANSWERED else JobState.DROPPED)
    assert store.job(ask(2, signed=True).request_id).state is JobState.QUEUED


def test_what_the_model_refused_stays_refused(store: JobStore) -> None:
    """Its intent is in the log: asking again changes nothing."""
    asked = ask(1, signed=True)
    store.enqueue(asked)
    assert store.take_next(0) is not None
    store.record_intents({asked.request_id: INTENT})
    store.refuse(asked.request_id, InputRejected("index", 1, 9))
    assert store.enqueue(asked) is JobState.REFUSED
    job = store.job(asked.request_id)
    assert (job.problem, job.problem_detail, job.intent) == ("InputRejected", "index: expected 1, got 9", INTENT)


def test_a_job_that_was_dropped_meanwhile_is_not_moved_by_its_worker(store: JobStore) -> None:
    store.enqueue(ask(1))
    assert store.take_next(0) is not None
    drop(store)
    store.refuse(ask(1).request_id, InputRejected("x"))
    store.postpone(ask(1).request_id, 0, ChainError("x"))
    assert store.job(ask(1).request_id).state is JobState.DROPPED
    store.mark_all_answered([ask(1).request_id])
    assert store.job(ask(1).request_id).state is JobState.ANSWERED


def test_what_a_requester_owes(store: JobStore) -> None:
    for number in range(3):
        store.enqueue(ask(number, signed=True, fee_wei=10**number))
    store.enqueue(ask(9, fee_wei=10**6))
    assert owed_besides(store, "alice", ask(1, signed=True)) == 101
    assert store.take_next(0) is not None
    store.mark_all_answered([ask(0, signed=True).request_id])
    assert owed_besides(store, "alice", ask(1, signed=True)) == 100
    assert owed_besides(store, "bob", ask(1)) == 0


def test_an_unknown_request_is_unknown(store: JobStore) -> None:
    assert store.find(Bytes32(bytes(32))) is None
    with pytest.raises(RequestUnknown):
        store.job(Bytes32(bytes(32)))
    assert store.guarded(Bytes32(bytes(32)), DOMAIN) is None


def test_a_broken_database_is_the_worlds_fault(database: Path, store: JobStore) -> None:
    with store._transaction() as connection:
        connection.execute(text("DROP TABLE jobs"))
    with pytest.raises(StoreError):
        store.take_next(0)


def test_an_error_of_the_database_does_not_quote_the_request(store: JobStore) -> None:
    """It is logged with its cause; inputs are none of the journal's business."""
    with store._transaction() as connection:
        connection.execute(text("DROP TABLE jobs"))
    with pytest.raises(StoreError) as caught:
        store.enqueue(replace(ask(1), input=b"private measurements"))
    assert "private" not in repr(caught.value.__cause__) + str(caught.value.__cause__)
    with pytest.raises(StoreError) as caught:
        store.find(Bytes32(b"private".ljust(32)))
    assert "private" not in str(caught.value.__cause__)


# ---- the guard --------------------------------------------------------------------------------------------------------
def guard(store: JobStore, output: bytes, domain: Domain = DOMAIN, number: int = 1) -> SignedClaim:
    return store.sign_once(claim_of(number, output), inference_of(output), INTENT, domain, sign).signed


def test_the_same_output_gives_the_same_signature_for_ever(database: Path) -> None:
    first = guard(open_store(database), b"seven")
    assert guard(open_store(database), b"seven") == first
    found = open_store(database).guarded(first.claim.request_id, DOMAIN)
    assert found is not None
    assert (found.signed, found.inference, found.intent) == (first, inference_of(b"seven"), INTENT)


def test_a_second_output_is_not_even_signed(database: Path) -> None:
    guard(open_store(database), b"seven")

    def sign_and_tell(claim: Claim, output: bytes) -> SignedClaim:
        raise AssertionError("the key was asked to sign a second output")

    store = open_store(database)
    with pytest.raises(Equivocation, match="which was signed"):
        store.sign_once(claim_of(1, b"eight"), inference_of(b"eight"), INTENT, DOMAIN, sign_and_tell)
    assert guard(store, b"seven").output == b"seven"


@pytest.mark.parametrize("field", ["model_id", "input_digest", "output_digest"])
def test_every_field_of_the_claim_is_guarded(store: JobStore, field: str) -> None:
    guard(store, b"seven")
    other = replace(claim_of(1, b"seven"), **{field: keccak256(b"other")})
    with pytest.raises(Equivocation):
        store.sign_once(other, inference_of(b"seven"), INTENT, DOMAIN, sign)


def test_requests_of_other_chains_and_contracts_are_other_requests(store: JobStore) -> None:
    domains = [DOMAIN, Domain(1, DOMAIN.coprocessor), Domain(DOMAIN.chain_id, address_of("another contract"))]
    outputs = [guard(store, b"%d" % number, domain).output for number, domain in enumerate(domains)]
    assert outputs == [b"0", b"1", b"2"]


def test_a_failed_signature_leaves_no_trace(store: JobStore) -> None:
    def fail(claim: Claim, output: bytes) -> SignedClaim:
        raise InvariantBroken("no key")

    with pytest.raises(InvariantBroken):
        store.sign_once(claim_of(1, b"seven"), inference_of(b"seven"), INTENT, DOMAIN, fail)
    assert guard(store, b"eight").output == b"eight"


@pytest.mark.parametrize("statement", ["DELETE FROM guard", "UPDATE guard SET output_digest = x'00'"])
def test_the_database_itself_refuses_to_forget(store: JobStore, statement: str) -> None:
    guard(store, b"seven")
    with pytest.raises(StoreError) as caught, store._transaction() as connection:
        connection.execute(text(statement))
    assert isinstance(caught.value.__cause__, DatabaseError)
    assert "never changed" in str(caught.value.__cause__)


def test_threads_agree_on_one_output(database: Path) -> None:
    store, won, start = open_store(database), defaultdict(set), threading.Barrier(6)

    def race(label: int) -> None:
        start.wait()
        for number in range(10):
            try:
                won[number].add(guard(store, b"%d" % label, number=number).output)
            except Equivocation:
                continue

    threads = [threading.Thread(target=race, args=(label,)) for label in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(won[number]) for number in range(10)] == [1] * 10


def launch(database: Path, label: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.twins.guard_process", str(database), label, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def collect(process: subprocess.Popen[str], wait: Callable[[], None] | None = None) -> list[list[str]]:
    assert process.stdout is not None
    if wait is not None:
        first = process.stdout.readline()  # it is at work
        wait()
        process.kill()
        return [line.split() for line in (first, *process.stdout.readlines()) if line.endswith("\n")]
    return [line.split() for line in process.stdout.readlines()]


def test_two_processes_killed_at_random_never_hand_out_two_outputs(database: Path) -> None:
    open_store(database)
    rng, count, seen = random.Random(5), 150, defaultdict(set)
    for round_number in range(2):
        processes = [launch(database, f"{round_number}{side}", count) for side in "ab"]
        for process in processes:
            for number, output, signature in collect(process, lambda: time.sleep(rng.uniform(0, 0.15))):
                seen[number].add((output, signature))
            process.wait()
    for number, output, signature in collect(launch(database, "last", count)):
        seen[number].add((output, signature))
    assert len(seen) > 10
    assert all(len(answers) == 1 for answers in seen.values())
    store = open_store(database)
    for number, answers in seen.items():
        kept = store.guarded(claim_of(int(number), b"").request_id, DOMAIN)
        assert kept is not None
        assert {(kept.signed.output.decode(), kept.signed.signature.hex())} == answers


@pytest.mark.parametrize("other", [Domain(1, DOMAIN.coprocessor), Domain(DOMAIN.chain_id, address_of("another contract"))])
def test_a_database_belongs_to_one_deployment(database: Path, other: Domain) -> None:
    for _ in range(2):
        open_store(database).bind(DOMAIN)
    with pytest.raises(ConfigRejected, match="that of chain 31337"):
        open_store(database).bind(other)


def test_intents_are_remembered(store: JobStore) -> None:
    store.enqueue(ask(1))
    store.record_intents({ask(1).request_id: Appended(41, keccak256(b"leaf"), 50)})
    assert store.job(ask(1).request_id).intent == Appended(41, keccak256(b"leaf"), 50)
    assert store.count_by_state()[JobState.QUEUED] == 1


def test_a_clock_set_back_does_not_put_jobs_off(store: JobStore) -> None:
    store.enqueue(ask(1))
    assert store.take_next(1_000_000.0) is not None
    store.postpone(ask(1).request_id, 1_000_005.0, ChainError("down"))
    assert store.take_next(1_000_000.0) is None
    assert store.take_next(990_000.0) is not None


def test_a_problem_is_remembered_whatever_its_text(store: JobStore) -> None:
    store.enqueue(ask(1))
    assert store.take_next(0) is not None
    store.refuse(ask(1).request_id, InputRejected("text \ud800"))
    assert store.job(ask(1).request_id).problem_detail == "text \\ud800"


def test_a_job_that_kills_the_process_is_given_up(database: Path) -> None:
    """And one that was only put off, however often, is not."""
    store = open_store(database)
    store.enqueue(ask(1))
    store.enqueue(ask(2))
    for death in range(jobs.MOST_INTERRUPTIONS):
        store = open_store(database)
        assert store.requeue_all() == 2
        taken = [store.take_next(0), store.take_next(0)]
        assert [job.asked for job in taken if job] == [ask(1), ask(2)], death
        store.postpone(ask(2).request_id, 5.0, ChainError("down"))
    assert open_store(database).requeue_all() == 1
    given_up = open_store(database).job(ask(1).request_id)
    assert (given_up.state, given_up.problem) == (JobState.BROKEN, "Interrupted")
    assert open_store(database).job(ask(2).request_id).state is JobState.QUEUED
