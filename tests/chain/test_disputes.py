"""Disputes on a real chain: real watchers, each with its own database, run a real opaque model again and vote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.attest.sign import AccountSigner
from oracle.encoding import keccak256, to_hex
from oracle.errors import RequestUnknown
from oracle.node.executor import Limits
from oracle.node.models import write_opaque_manifest
from oracle.pipeline.deploy import DisputeTerms
from oracle.pipeline.disputing import list_disputes, read_dispute, withdraw_bonds
from oracle.pipeline.registering import register_directory
from oracle.pipeline.rerunning import OpaqueRunner, open_rerunning
from oracle.pipeline.session import Session
from oracle.pipeline.settled import read_settled
from oracle.records import Asked, Bytes32, RequestStatus
from oracle.relay import hearings
from oracle.relay.anvil import start_chain
from oracle.relay.disputes import NO_DIGEST, Outcome, Phase
from oracle.relay.hearings import Duty, HearingState
from oracle.relay.schema import JobKind, JobState, RequestState
from tests.chain.conftest import FEE_WEI, STAKE_WEI, World, account, deploy_world
from tests.chain.dispute_rig import CHALLENGER, LIE, TRUTH, VOTERS, WINDOW, Court, Party, address_of
from tests.chain.relay_rig import RELAY, Relay, make_relay
from tests.twins.node_scene import write_scale_model

TERMS = DisputeTerms(bond_wei=10**17, committee_size=3, audit_one_in=0)
FINE_WEI = STAKE_WEI // 10


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = write_scale_model(tmp_path_factory.mktemp("scale") / "scale.onnx")
    directory = source.parent / "scale"
    write_opaque_manifest(source, directory, "scale")
    return directory


@pytest.fixture(scope="module")
def opaque(model: Path) -> Iterator[OpaqueRunner]:
    _prover, runner = open_rerunning([model], Limits())
    yield runner
    runner.workplace.stop(0)


def deploy_court(model: Path, terms: DisputeTerms) -> Iterator[tuple[World, Bytes32]]:
    chain = start_chain(states=10_000)  # set back again and again to its first blocks
    try:
        world = deploy_world(chain.rpc, terms)
        owner = AccountSigner(account(0))
        registered = register_directory(Session(world.contracts, owner, world.sender(0)), model, "seed:scale")
        yield world, registered.model_id
    finally:
        chain.stop()


@pytest.fixture(scope="module")
def deployed_court(model: Path) -> Iterator[tuple[World, Bytes32]]:
    yield from deploy_court(model, TERMS)


@pytest.fixture(scope="module")
def audited_court(model: Path) -> Iterator[tuple[World, Bytes32]]:
    yield from deploy_court(model, DisputeTerms(bond_wei=10**17, committee_size=3, audit_one_in=1))


def open_court(place: tuple[World, Bytes32], opaque: OpaqueRunner, folder: Path) -> Iterator[Court]:
    world, model_id = place
    snapshot = world.rpc_call("evm_snapshot")
    parties = {CHALLENGER: Party(world, folder, CHALLENGER, None, opaque)}
    parties |= {n: Party(world, folder, n, address_of(n), opaque, may_dispute=False) for n in VOTERS}
    court = Court(world, model_id, parties)
    yield court
    for party in court.parties.values():
        party.stop()
    assert world.rpc_call("evm_revert", snapshot)


@pytest.fixture
def court(deployed_court: tuple[World, Bytes32], opaque: OpaqueRunner, tmp_path: Path) -> Iterator[Court]:
    yield from open_court(deployed_court, opaque, tmp_path)


@pytest.fixture
def audited(audited_court: tuple[World, Bytes32], opaque: OpaqueRunner, tmp_path: Path) -> Iterator[Court]:
    yield from open_court(audited_court, opaque, tmp_path)


def check_replaced(court: Court, asked: Asked) -> None:
    """The lie is gone, its signer has nothing left, and whoever helped is paid."""
    status = court.world.contracts.status_of(asked.request_id)
    assert (status.status, status.output_digest) == (RequestStatus.FINAL, keccak256(TRUTH))
    dispute = court.dispute(asked)
    assert (dispute.outcome, dispute.challenger) == (Outcome.REPLACED, address_of(CHALLENGER))
    assert sorted(dispute.majority) == sorted(dispute.members)
    assert court.stake_of(1) == 0
    assert [court.stake_of(n) for n in VOTERS] == [STAKE_WEI] * 4
    contracts = court.world.contracts
    assert contracts.view("OperatorRegistry", "owedTo", account(CHALLENGER).address) == STAKE_WEI // 2
    assert court.disputes.owed_to(address_of(CHALLENGER)) == TERMS.bond_wei
    paid = {n: court.fee_of(n) for n in (1, CHALLENGER, *VOTERS)}
    assert sum(paid.values()) == FEE_WEI
    assert paid[1] == 0
    assert all(paid[n] > 0 for n in (CHALLENGER, *court.members(asked)))


# ---- lies ------------------------------------------------------------------------------------------------------------------------------
def test_a_lie_about_an_opaque_model_is_disputed_voted_on_replaced_and_paid_for(court: Court) -> None:
    asked = court.answer(LIE)
    court.run(14, until=asked)
    check_replaced(court, asked)
    assert {party.hearing(asked).state for party in court.parties.values()} == {HearingState.CLOSED}
    settled = read_settled(court.world.contracts, asked.request_id)
    assert settled.output == TRUTH
    assert settled.replaced is not None
    assert settled.replaced.beneficiaries[0] == address_of(CHALLENGER)


@pytest.mark.parametrize("crash_after", [n if n % 3 == 1 else pytest.param(n, marks=pytest.mark.slow) for n in range(8)])
def test_a_crash_of_everybody_after_any_round_loses_no_vote_and_repeats_nothing(court: Court, crash_after: int) -> None:
    asked = court.answer(LIE)
    court.run(crash_after)
    for party in court.parties.values():
        party.stop()
        party.start()
    court.run(14 - crash_after, until=asked)
    check_replaced(court, asked)
    assert court.world.contracts.nonce(address_of(CHALLENGER), "latest") <= 5  # open, draw, apply, slash, settle


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("act", "is_sent"),
    [
        ("commitVote", True),
        ("revealVote", False),
        pytest.param("commitVote", False, marks=pytest.mark.slow),
        pytest.param("revealVote", True, marks=pytest.mark.slow),
    ],
)
def test_a_crash_right_before_and_right_after_a_vote_is_sent(
    court: Court, act: str, is_sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The salt is on the disk before: the same commitment is sent again, or found on chain, and revealed."""
    asked = court.answer(LIE)
    selector = court.world.contracts.call("Disputes", act, *([bytes(32)] * (2 if act == "commitVote" else 3))).data[:4]
    killed = set()
    for party in court.parties.values():
        original = party.watcher.sender.send

        def send(call, gas=None, party=party, original=original):  # type: ignore[no-untyped-def]
            if call.data[:4] == selector and party.number not in killed:
                killed.add(party.number)
                if is_sent:
                    original(call, gas)
                raise Killed
            return original(call, gas)

        monkeypatch.setattr(party.watcher.sender, "send", send)
    for _ in range(16):
        for party in court.parties.values():
            try:
                party.step()
            except Killed:
                party.stop()
                party.start()
        court.mine()
    assert sorted(killed) == sorted(court.members(asked))
    check_replaced(court, asked)


def test_a_lie_of_several_signers_costs_all_of_them(court: Court) -> None:
    """With two of five among the signers, the other three are the whole committee."""
    asked = court.answer(LIE, signers=2)
    court.run(14, until=asked)
    assert sorted(court.members(asked)) == [3, 4, 5]
    assert court.world.contracts.status_of(asked.request_id).output_digest == keccak256(TRUTH)
    assert [court.stake_of(n) for n in range(1, 6)] == [0, 0, STAKE_WEI, STAKE_WEI, STAKE_WEI]


# ---- honest answers --------------------------------------------------------------------------------------------------------------------
def test_an_honest_answer_stands_and_the_challenger_s_bond_is_lost(court: Court) -> None:
    asked = court.answer(TRUTH)
    court.run(2)
    assert court.dispute(asked).outcome is Outcome.NONE
    court.challenge_by_hand(asked)
    court.run(3)
    assert court.dispute(asked).phase is Phase.DRAWING  # who disputes would draw at once; others leave it to them for a while
    court.pass_seconds(70)
    court.run(8)
    dispute = court.dispute(asked)
    assert (dispute.outcome, dispute.output_digest) == (Outcome.STANDS, keccak256(TRUTH))
    court.pass_seconds(WINDOW)
    court.finalize(asked)
    court.run(4)
    assert court.world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL
    members = court.members(asked)
    assert sum(court.disputes.owed_to(address_of(n)) for n in members) == TERMS.bond_wei
    assert court.disputes.owed_to(address_of(9)) == 0
    assert sum(court.fee_of(n) for n in (1, *members)) == FEE_WEI
    assert all(court.fee_of(n) > 0 for n in (1, *members))
    assert [court.stake_of(n) for n in range(1, 6)] == [STAKE_WEI] * 5
    assert {party.hearing(asked).state for party in court.parties.values()} == {HearingState.CLOSED}


def test_true_answers_are_left_alone(court: Court) -> None:
    asked = court.answer(TRUTH)
    court.run(4)
    assert court.dispute(asked).outcome is Outcome.NONE
    court.pass_seconds(WINDOW)
    court.finalize(asked)
    court.run(4)
    assert court.parties[CHALLENGER].hearing(asked).state is HearingState.CLOSED


def test_no_bond_is_put_up_where_its_owner_does_not_want_to(court: Court) -> None:
    asked = court.answer(LIE)
    court.run(4, only=VOTERS)
    assert court.dispute(asked).outcome is Outcome.NONE


def test_what_people_are_told_about_disputes(court: Court) -> None:
    asked = court.answer(LIE)
    contracts = court.world.contracts
    while not court.dispute(asked).members:
        court.run(1, only=[CHALLENGER])
    member = address_of(court.members(asked)[0])
    (row,) = list_disputes(contracts, member, is_open_only=True)
    assert (row.dispute.phase, row.describe_vote(member)) == (Phase.COMMITTING, "owes a commitment")
    assert list_disputes(contracts, address_of(1), is_open_only=True) == []
    court.run(14, until=asked)
    assert list_disputes(contracts, member, is_open_only=True) == []
    told = read_dispute(contracts, asked.request_id).to_json()
    assert (told["phase"], told["outcome"], told["output_digest"]) == ("closed", "replaced", to_hex(keccak256(TRUTH)))
    assert read_dispute(contracts, asked.request_id).describe_vote(member) == to_hex(keccak256(TRUTH))
    session, before = (
        Session(contracts, AccountSigner(account(CHALLENGER)), court.world.sender(CHALLENGER)),
        contracts.ether_of(address_of(9)),
    )
    assert withdraw_bonds(session, address_of(9)) == TERMS.bond_wei
    assert contracts.ether_of(address_of(9)) == before + TERMS.bond_wei
    assert withdraw_bonds(session, address_of(9)) == 0
    with pytest.raises(RequestUnknown):
        read_dispute(contracts, keccak256(b"nothing"))


# ---- those who do not vote -----------------------------------------------------------------------------------------------------------
def test_who_is_absent_pays_and_the_others_decide(court: Court) -> None:
    asked = court.answer(LIE)
    while not court.dispute(asked).members:
        court.run(1, only=[CHALLENGER])
    absent, *present = court.members(asked)
    others = [n for n in court.parties if n != absent]
    court.run(3, only=others)
    court.pass_seconds(TERMS.commit_seconds)
    court.run(6, only=others)
    assert court.world.contracts.status_of(asked.request_id).output_digest == keccak256(TRUTH)
    assert court.stake_of(absent) == STAKE_WEI - FINE_WEI
    assert [court.stake_of(n) for n in present] == [STAKE_WEI] * 2
    assert court.stake_of(1) == 0


def test_a_watcher_without_the_model_says_that_its_operator_cannot_vote(court: Court) -> None:
    asked = court.answer(LIE)
    while not court.dispute(asked).members:
        court.run(1, only=[CHALLENGER])
    blind = court.parties[court.members(asked)[0]]
    blind.stop()
    blind.opaque = None
    blind.start()
    for _ in range(3):
        blind.step()
    assert blind.hearing(asked).duty is Duty.IMPOSSIBLE
    counted = hearings.count_by_duty(blind.watcher.engine)
    assert counted[Duty.IMPOSSIBLE] == 1
    assert hearings.find_next_deadline(blind.watcher.engine) == court.dispute(asked).commit_ends_at
    court.pass_seconds(TERMS.commit_seconds)
    blind.step()
    assert blind.hearing(asked).duty is Duty.MISSED
    assert court.disputes.ballot_of(asked.request_id, address_of(blind.number)).commitment == NO_DIGEST


def test_without_a_majority_the_fee_goes_back(court: Court) -> None:
    asked = court.answer(LIE)
    while not court.dispute(asked).members:
        court.run(1, only=[CHALLENGER])
    court.pass_seconds(TERMS.commit_seconds + TERMS.reveal_seconds)
    before = court.fee_of(6)
    court.run(6, only=[CHALLENGER])
    status = court.world.contracts.status_of(asked.request_id)
    assert (status.status, status.output_digest) == (RequestStatus.REFUNDED, NO_DIGEST)
    assert court.fee_of(6) - before == FEE_WEI
    assert court.disputes.owed_to(address_of(CHALLENGER)) == TERMS.bond_wei
    assert [court.stake_of(n) for n in court.members(asked)] == [STAKE_WEI - FINE_WEI] * 3
    assert court.stake_of(1) == STAKE_WEI  # nobody said who was wrong
    assert read_settled(court.world.contracts, asked.request_id).status.status is RequestStatus.REFUNDED


def test_an_operator_s_signing_key_votes_for_it(court: Court, opaque: OpaqueRunner, tmp_path: Path) -> None:
    """The account that sends need not be the one with the stake."""
    for index, number in enumerate(VOTERS):
        key = court.world.signers[index + 1]
        court.world.rpc_call("anvil_setBalance", key.address, hex(10**18))
        party = court.parties[number]
        party.watcher.sender._signer = key
    asked = court.answer(LIE)
    court.run(14, until=asked)
    check_replaced(court, asked)


# ---- audits ----------------------------------------------------------------------------------------------------------------------------
def test_an_audit_is_opened_when_the_lot_falls_and_the_committee_is_paid(audited: Court) -> None:
    asked = audited.answer(TRUTH)
    audited.run(12)
    dispute = audited.dispute(asked)
    assert (dispute.outcome, dispute.is_audit) == (Outcome.STANDS, True)
    audited.pass_seconds(WINDOW)
    audited.finalize(asked)
    audited.run(3)
    members = audited.members(asked)
    assert sum(audited.fee_of(n) for n in (1, *members)) == FEE_WEI
    assert all(audited.fee_of(n) > 0 for n in (1, *members))
    assert {party.hearing(asked).state for party in audited.parties.values()} == {HearingState.CLOSED}


def test_an_audit_that_finalizing_forces_finds_the_lie_that_nobody_disputed(audited: Court) -> None:
    asked = audited.answer(LIE)
    audited.pass_seconds(WINDOW)  # nobody watches
    audited.mine(3)
    audited.finalize(asked)
    assert audited.world.contracts.status_of(asked.request_id).status is RequestStatus.PENDING
    assert audited.dispute(asked).is_audit
    audited.pass_seconds(70)
    audited.run(14, until=asked)
    status = audited.world.contracts.status_of(asked.request_id)
    assert (status.status, status.output_digest) == (RequestStatus.FINAL, keccak256(TRUTH))
    assert audited.stake_of(1) == 0


# ---- the relay -------------------------------------------------------------------------------------------------------------------------
def open_relay(court: Court, folder: Path, output: bytes) -> Relay:
    """A relay over one node, that of operator 1, which answers with `output`."""
    relay = make_relay(court.world, folder, nodes=1)
    relay.nodes[0].output = output
    return relay


def test_a_relay_s_finalization_that_forces_an_audit_is_tried_again_after_the_ruling(audited: Court, tmp_path: Path) -> None:
    asked, relay = audited.ask(), open_relay(audited, tmp_path, TRUTH)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.PENDING
    audited.mine(3)
    audited.pass_seconds(WINDOW)
    relay.run(2)
    assert audited.dispute(asked).is_audit
    assert audited.dispute(asked).challenger == address_of(RELAY)
    assert relay.state(asked.request_id) is RequestState.PENDING
    assert relay.kinds(asked.request_id).count("audit_forced") == 1
    relay.crash()
    relay.run(2)  # refused by the open audit, and put off
    job = next(job for job in relay.jobs() if job.kind is JobKind.FINALIZE)
    assert job.state is JobState.QUEUED
    assert "DisputeOpen" in str(job.reason)
    audited.pass_seconds(70)
    audited.run(8)
    audited.pass_seconds(70)
    relay.run(3)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert audited.world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL
    assert all(audited.fee_of(n) > 0 for n in (1, *audited.members(asked)))


def test_a_relay_learns_that_a_committee_replaced_its_answer(court: Court, tmp_path: Path) -> None:
    asked, relay = court.ask(), open_relay(court, tmp_path, LIE)
    relay.run(3)
    court.run(14, until=asked)
    court.pass_seconds(WINDOW)
    for _ in range(2):  # again after a crash: said once
        relay.run(3)
        relay.crash()
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert relay.kinds(asked.request_id).count("replaced") == 1
    assert relay.log.kinds().count("error:replaced_output") == 1


def test_a_relay_learns_that_a_committee_took_its_answer_back(court: Court, tmp_path: Path) -> None:
    asked, relay = court.ask(), open_relay(court, tmp_path, LIE)
    relay.run(3)
    while not court.dispute(asked).members:
        court.run(1, only=[CHALLENGER])
    court.pass_seconds(max(WINDOW, TERMS.commit_seconds + TERMS.reveal_seconds))
    relay.run(2)
    job = next(job for job in relay.jobs() if job.kind is JobKind.FINALIZE)
    assert "RuledOtherwise" in str(job.reason)  # nobody has carried the ruling out yet
    court.run(6, only=[CHALLENGER])
    court.pass_seconds(70)
    for _ in range(2):
        relay.run(3)
        relay.crash()
    assert court.world.contracts.status_of(asked.request_id).status is RequestStatus.REFUNDED
    assert relay.state(asked.request_id) is RequestState.REFUNDED
    assert relay.log.kinds().count("error:withdrawn_output") == 1
    assert {job.state for job in relay.jobs()} == {JobState.FINAL}


# ---- the chain moves ---------------------------------------------------------------------------------------------------------------
def test_a_hearing_that_sleeps_is_woken_by_what_happens_about_it(court: Court) -> None:
    """Without its clock being moved: only the event of the opening makes the watcher look."""
    asked, watcher = court.answer(TRUTH), court.parties[2]
    for _ in range(3):
        watcher.step()
    court.mine(5)
    watcher.step()
    watcher.moment -= 10_000
    assert not watcher.step()  # it sleeps till the window is over
    court.challenge_by_hand(asked)
    watcher.moment -= 10_000
    assert watcher.step()
    assert watcher.hearing(asked).state is HearingState.DISPUTED


def test_a_delivery_that_a_reorganisation_dropped_leaves_its_salt(court: Court) -> None:
    asked = court.answer(LIE)
    court.run(7, until=asked)
    member = court.parties[court.members(asked)[0]]
    vote = hearings.find_vote(member.watcher.engine, asked.request_id, address_of(member.number))
    assert vote is not None
    hearing = member.hearing(asked)
    receipt = court.world.contracts.receipt(hearing.transaction)
    assert receipt is not None
    with member.watcher.engine.begin() as connection:
        assert hearings.drop_block(connection, receipt.block_hash) == 1
    assert hearings.find_hearing(member.watcher.engine, asked.request_id) is None
    assert hearings.keep_vote(member.watcher.engine, asked.request_id, vote.member, keccak256(LIE)) == vote
