"""`affidavit policy explain`: the words a policy is given, the gas it is said to cost, and what a deployment adds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.encoding import pack_policy, to_hex
from oracle.errors import MalformedInput, PolicyRejected
from oracle.pipeline.costing import compute_delivery_gas
from oracle.pipeline.explaining import Standing, duration, ether, explain, parse_policy
from oracle.records import Address, Policy
from oracle.relay.artifacts import load_gas
from oracle.relay.disputes import Terms as DisputeTerms
from tests.unit.cli_runner import Cli

ROOT = Path(__file__).parents[2]
ADMITTER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
STANDING = Standing(
    chain_id=1,
    block_number=7,
    stakes_wei=(10**18, 2 * 10**18, 5 * 10**18),
    minimum_stake_wei=10**18,
    unbonding_seconds=8 * 86_400,
    admitter=None,
    served=frozenset({"quorum", "proof"}),
    gas_price_wei=2 * 10**9,
)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


# ---- the words -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("quorum 2", Policy(quorum=2)),
        ("QUORUM=2", Policy(quorum=2)),
        ("proof", Policy(proof=True)),
        ("proof and quorum 3, window 600", Policy(3, True, window_seconds=600)),
        ("quorum 1 window 10m", Policy(1, window_seconds=600)),
        ("proof window=2h", Policy(proof=True, window_seconds=7_200)),
        ("quorum 255 + window 7d", Policy(255, window_seconds=7 * 86_400)),
        ("quorum 1 enclave", Policy(1, enclave=True)),
        ("proof enclave simulated", Policy(proof=True, enclave=True, simulated=True)),
        ("quorum 1 window 10m disputable", Policy(1, window_seconds=600, disputable=True)),
        ("proof, disputable and window=1h", Policy(proof=True, window_seconds=3_600, disputable=True)),
    ],
)
def test_words_name_policies(text: str, policy: Policy) -> None:
    assert parse_policy(text) == policy


@given(st.integers(0, 255), st.booleans(), st.integers(0, 7 * 86_400), st.booleans())
def test_every_word_is_read_back(quorum: int, proof: bool, window: int, is_disputable: bool) -> None:
    policy = Policy(quorum, proof or not quorum, window_seconds=window, disputable=is_disputable and window > 0)
    assert parse_policy(to_hex(pack_policy(policy))) == policy
    words = f"{f'quorum {quorum} ' if quorum else ''}{'proof ' if policy.proof else ''}window {window}s"
    words += " disputable" if policy.disputable else ""
    assert parse_policy(words) == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "window 5",
        "quorum",
        "quorum x",
        "quorum -1",
        "quorum 256",
        "quorum 1 quorum 2",
        "proof proof",
        "proof window 8d",
        "prof",
        "proof window 5w",
        "quorum 1 disputable",
        "window 5 disputable",
    ],
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(PolicyRejected):
        parse_policy(text)


@pytest.mark.parametrize("text", ["0x", "0x01", "0xzz", "0x" + "01" * 31])
def test_words_of_another_length_are_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        parse_policy(text)


# ---- the gas ---------------------------------------------------------------------------------------------------------------------------
def test_the_packaged_gas_is_what_forge_measured() -> None:
    """`scripts/contracts --check` holds it, too; here it fails without a compiler."""
    read = {p.stem: {k: int(v) for k, v in json.loads(p.read_text()).items()} for p in (ROOT / "contracts/snapshots").glob("*.json")}
    assert load_gas() == read


def test_measured_numbers_of_signers_cost_what_was_measured() -> None:
    measured = load_gas()["Coprocessor"]
    for k in (1, 2, 3, 5, 8, 16):
        assert compute_delivery_gas(Policy(quorum=k)) == measured[f"deliver, signers: {k}"]


def test_more_evidence_costs_more() -> None:
    costs = [compute_delivery_gas(Policy(quorum=k)) for k in range(1, 256)]
    assert costs == sorted(set(costs))
    proof, both = compute_delivery_gas(Policy(proof=True)), compute_delivery_gas(Policy(2, True))
    assert proof == load_gas()["Proven"]["deliver a proof of digits-mlp, input of 128 bytes"]
    assert proof < both < proof + compute_delivery_gas(Policy(quorum=2))
    assert compute_delivery_gas(Policy(2, window_seconds=1)) == load_gas()["Policies"]["deliver, 2 signers, under a window"]


def test_an_enclave_costs_its_signature_on_top_and_is_never_alone() -> None:
    beside = compute_delivery_gas(Policy(2, enclave=True)) - compute_delivery_gas(Policy(2))
    assert load_gas()["Enclaves"]["verify one signature"] < beside < 30_000
    assert compute_delivery_gas(Policy(proof=True, enclave=True)) - compute_delivery_gas(Policy(proof=True)) == beside
    with pytest.raises(PolicyRejected, match="beside the enclave"):
        explain(Policy(enclave=True))


def test_one_aggregated_signature_is_told_where_it_is_cheaper() -> None:
    quorums = load_gas()["Quorums"]
    for k in (1, 16, 48, 128):
        saved = quorums[f"deliver, ecdsa signers: {k}"] - quorums[f"deliver, bls signers: {k}"]
        rows = [row for row in explain(Policy(k)).gas if "BLS" in row.what]
        assert [compute_delivery_gas(Policy(k)) - row.gas for row in rows] == ([saved] if saved > 0 else [])


def test_a_dispute_s_steps_cost_what_was_measured_and_each_names_its_payer() -> None:
    measured, policy = load_gas()["Disputes"], Policy(2, window_seconds=600, disputable=True)
    assert compute_delivery_gas(policy) == measured["deliver, 2 signers, disputable"]
    rows = {row.what: row for row in explain(policy, STANDING).gas}
    expected = {
        "finalize after the window": ("the relay", "finalize, disputable, 2 to pay"),
        "dispute: open, and the bond": ("who objects", "open"),
        "dispute: draw 5 of 6 operators": ("who objects, or anyone", "draw 5 of 6"),
        "dispute: commit to a vote": ("each of the committee", "commitVote, the first of 5"),
        "dispute: reveal a vote": ("each of the committee", "revealVote, the first of 5"),
        "dispute: apply the ruling, 6 to pay": ("who objects, or anyone", "applyRuling, 6 to pay"),
        "dispute: finalize what was upheld, 6 to pay": ("the relay", "finalize, upheld, 6 to pay"),
        "dispute: settle the bond": ("who has it back, or anyone", "settleBond, to the challenger"),
        "slash 2 signers, outvoted": ("who objects, or anyone", "proveOutvoted of 2 signers"),
    }
    for what, (payer, name) in expected.items():
        assert (rows[what].payer, rows[what].gas) == (payer, measured[name])
        assert rows[what].wei == measured[name] * STANDING.gas_price_wei
    plain = explain(Policy(2, window_seconds=600)).gas
    assert not any("dispute" in row.what or "outvoted" in row.what for row in plain)
    assert load_gas()["Policies"]["finalize, 2 to pay"] in {row.gas for row in plain}
    alone = {row.what for row in explain(Policy(proof=True, window_seconds=600, disputable=True)).gas}
    assert "slash 2 signers, outvoted" not in alone
    assert "dispute: open, and the bond" in alone


# ---- the story -------------------------------------------------------------------------------------------------------------------------
def test_a_quorum_is_told_with_the_stakes_that_are_there() -> None:
    told = explain(Policy(quorum=2), STANDING)
    (demand,) = told.demands
    assert "2 of 3 active operators" in demand.wrong_if
    assert "3 ETH together" in demand.wrong_if  # the two smallest stakes
    assert "puts up 2 ETH" in demand.wrong_if
    assert "Only" not in demand.wrong_if
    assert ADMITTER in explain(Policy(quorum=2), replace(STANDING, admitter=ADMITTER)).demands[0].wrong_if
    assert told.gas[1].wei == told.gas[1].gas * 2 * 10**9
    assert told.problems == ()
    assert "--rpc" in explain(Policy(quorum=2)).demands[0].wrong_if


def test_what_a_deployment_cannot_serve_is_said() -> None:
    assert "nobody can answer" in explain(Policy(quorum=4), STANDING).problems[0]
    assert "no answer can be delivered" in explain(Policy(quorum=4), STANDING).demands[0].wrong_if
    assert "proof" in explain(Policy(proof=True), replace(STANDING, served=frozenset({"quorum"}))).problems[0]
    short = replace(STANDING, unbonding_seconds=600)
    assert "unbonding" in explain(Policy(1, window_seconds=600), short).problems[0]


def test_everything_demanded_must_fail_together() -> None:
    both = explain(Policy(2, True))
    assert [d.kind for d in both.demands] == ["quorum", "proof"]
    assert "2 operators sign the same lie and the proof system is broken" in both.together
    window = explain(Policy(1, window_seconds=600))
    assert "1 operator signs the same lie" in window.together
    assert "nobody who has the model proves" in window.together
    assert "10 minutes after its delivery" in window.callback
    assert "replaces a wrong answer" in window.challenge
    assert "at once" in both.callback
    hardware = explain(Policy(1, enclave=True), STANDING)
    assert "1 operator signs the same lie and an enclave is broken" in hardware.together
    assert "takes its key out" in hardware.demands[1].wrong_if
    assert "No verifier here takes enclave evidence" in hardware.problems[0]
    assert "proves nothing" in explain(Policy(1, enclave=True, simulated=True)).demands[1].wrong_if
    with pytest.raises(PolicyRejected):
        parse_policy("quorum 1 simulated")
    assert "canonical model" in both.unanswered


def test_a_dispute_is_told_with_who_decides_and_what_it_costs_whom() -> None:
    told = explain(Policy(1, window_seconds=600, disputable=True))
    for part in ("nobody who has the model objects within 10 minutes", "committee of operators drawn by lot", "no audit falls on it"):
        assert part in told.together
    assert "While a committee has not decided it waits" in told.callback
    for part in ("bond is lost", "loses the stake", "only remedy for an opaque model", "takes all of it", "no bond, no vote"):
        assert part in told.challenge
    assert "committee" not in explain(Policy(1, window_seconds=600)).challenge
    here = replace(STANDING, disputes=DisputeTerms(10**17, 5, 3_600, 7_200, 3_600, 50), stakes_wei=(10**18,) * 4)
    assert "bond is 0.1 ETH, a committee has 5 seats and decides within 4 hours; one answer in 50 is audited" in (
        explain(told.policy, here).challenge
    )
    assert explain(told.policy, here).problems == ()
    assert "2 are left: nobody can dispute" in explain(replace(told.policy, quorum=2), here).problems[0]
    assert "no disputes here" in explain(told.policy, STANDING).problems[0]


def test_what_must_go_wrong_under_disputes_is_told_with_the_numbers_that_are_there() -> None:
    policy = Policy(1, window_seconds=600, disputable=True)
    terms = DisputeTerms(10**17, 5, 3_600, 7_200, 3_600, 50)
    here = replace(STANDING, disputes=terms, stakes_wei=(10**18,) * 6)
    told = explain(policy, here).together
    assert (
        "nobody who has the model puts up the bond of 0.1 ETH within 10 minutes and the audit that one answer in 50 must pass does not fall"
        in told
    )
    assert "or 3 of a committee of 5 drawn by lot from the 5 others vote for the same lie" in told
    few = explain(policy, replace(here, stakes_wei=(10**18,) * 5)).together
    assert "nobody has the committee drawn within 1 hour" in told
    assert "or 2 of a committee of 3 drawn by lot from the 4 others vote for the same lie" in few
    assert "nothing is audited" in explain(policy, replace(here, disputes=replace(terms, audit_one_in=0))).together
    none = explain(policy, replace(here, stakes_wei=(10**18,) * 3)).together
    assert "of a committee of" not in none
    assert "nobody can dispute it and no audit can fall on it, so only the former protects you" in none


def test_a_lying_committee_can_replace_a_right_answer_and_that_is_told() -> None:
    """`only if k operators sign the lie` would be false: those who are drawn need nobody's signature."""
    here = replace(STANDING, disputes=DisputeTerms(10**17, 5, 3_600, 7_200, 3_600, 50), stakes_wei=(10**18,) * 6)
    policy = Policy(1, window_seconds=600, disputable=True)
    other_way = "Or if the right answer is disputed or audited, 3 of a committee of 5 vote for the same lie"
    assert other_way in explain(policy, here).together
    assert "which nobody can of an opaque model" in explain(policy, here).together
    assert "Or if the right answer is disputed or audited, most of a committee vote" in explain(policy).together
    assert "Or if" not in explain(policy, replace(here, stakes_wei=(10**18,) * 3)).together
    assert "Or if" not in explain(Policy(1, window_seconds=600), here).together
    assert "Or if the right answer" in explain(replace(policy, proof=True), here).together


def test_nothing_is_said_of_opaque_models_where_a_proof_is_demanded() -> None:
    for policy in (Policy(2, True), Policy(0, True, window_seconds=600), Policy(2, True, window_seconds=600, disputable=True)):
        assert "opaque" not in explain(policy).together + explain(policy).challenge
    assert "opaque" in explain(Policy(2)).challenge
    assert "opaque" in explain(Policy(2, window_seconds=600)).together


def test_stakes_in_a_token_are_told_in_the_token_and_bonds_in_ether() -> None:
    token = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
    here = replace(STANDING, asset=token, stakes_wei=(5, 6, 7, 8), minimum_stake_wei=5, disputes=DisputeTerms(10**17, 3, 60, 60, 60, 0))
    told = explain(Policy(1, window_seconds=600, disputable=True), here)
    assert f"have 5 units of the token {token} together" in told.demands[0].wrong_if
    assert f"puts up 5 units of the token {token}" in told.demands[0].wrong_if
    assert "bond of 0.1 ETH" in told.together


def test_a_window_that_the_contracts_refuse_is_refused_as_a_word_too() -> None:
    with pytest.raises(PolicyRejected, match="at most 604800 seconds"):
        parse_policy(to_hex(pack_policy(Policy(1, window_seconds=7 * 86_400 + 1))))


def test_amounts_and_durations_in_words() -> None:
    assert [ether(x) for x in (0, 1, 10**18, 15 * 10**17)] == ["0 ETH", "0.000000000000000001 ETH", "1 ETH", "1.5 ETH"]
    assert [duration(x) for x in (0, 1, 60, 601, 86_400, 7_200)] == ["0 seconds", "1 second", "1 minute", "601 seconds", "1 day", "2 hours"]


# ---- the command -----------------------------------------------------------------------------------------------------------------------
def test_the_command_takes_the_word_and_the_words_and_the_options(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AFFIDAVIT_RPC", "AFFIDAVIT_DEPLOYMENT"):
        monkeypatch.delenv(name, raising=False)
    word = to_hex(pack_policy(Policy(2, True, window_seconds=600)))
    by_word = cli.ok("policy", "explain", word, "--json").json()
    assert by_word == cli.ok("policy", "explain", "quorum", "2", "proof", "window", "10m", "--json").json()
    assert by_word == cli.ok("policy", "explain", "--quorum", 2, "--proof", "--window-seconds", 600, "--json").json()
    assert by_word["word"] == word
    text = cli.ok("policy", "explain", word).out
    assert "together" in text
    assert "objecting" in text
    assert "gas" in text
    enclaved = cli.ok("policy", "explain", "--quorum", 2, "--simulated-enclave", "--json").json()
    assert enclaved == cli.ok("policy", "explain", "quorum 2 enclave simulated", "--json").json()
    assert cli.ok("policy", "explain", "--proof", "--enclave", "--json").json()["word"].startswith("0x010003")
    assert cli("policy", "explain").code == 2
    assert cli("policy", "explain", "proof", "--proof").code == 2
    assert "known flags" in cli.refused(2, "policy", "explain", "0x01" + "ff" * 31)


def test_half_of_a_deployment_is_said_to_be_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several endpoints in the environment are several endpoints, as for every other command."""
    monkeypatch.setenv("AFFIDAVIT_RPC", "http://127.0.0.1:9 http://127.0.0.1:10")
    assert cli.ok("policy", "explain", "proof").err == "About no deployment: --deployment is missing.\n"
    assert "expected a readable file" in cli.refused(2, "policy", "explain", "proof", "--deployment", "/none")
