"""A deployment that settles in a real ERC-20 token, on a real anvil: stakes, fees and withdrawals, through the commands people use."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.attest.quorum import assemble_quorum
from oracle.attest.sign import AccountSigner, sign_claim
from oracle.encoding import keccak256, pack_policy, to_hex
from oracle.errors import ConfigRejected, RequestRejected, RequestUnpaid
from oracle.pipeline.deploy import DeploymentPlan, create_consumer, deploy, register_model
from oracle.pipeline.quoting import EVERY_MODEL, post_asks
from oracle.pipeline.relay import check_budget
from oracle.pipeline.requesting import deposit, withdraw_balance
from oracle.pipeline.seat import Quality, add_stake, plan_stake, read_seat, take_seat
from oracle.pipeline.session import Session
from oracle.records import Address, Asks, Claim, Delivery, ModelKind, Policy, Quote, RequestStatus
from oracle.relay.anvil import EmbeddedChain
from oracle.relay.contracts import NOT_SERVED_WEI, Contracts
from oracle.relay.deployment import write_deployment
from oracle.relay.endpoint import Endpoint
from oracle.relay.paying import asset_of, plan_payment, tokens_of
from oracle.relay.sender import Sender
from tests.chain.conftest import account
from tests.unit.cli_runner import Cli

STAKE_WEI, TOKENS_WEI, FEE_WEI = 10**18, 10**21, 1001
OPERATOR, ASKER, STRANGER = 1, 6, 9


class Market:
    """One operator on seat 0, an asker with tokens, and one opaque model."""

    def __init__(self, chain: EmbeddedChain) -> None:
        deployer = Sender(Endpoint(chain.rpc), AccountSigner(account(0)))
        owner = Address(account(0).address)
        self.rpc = chain.rpc
        self.token = create_consumer(deployer, "DemoToken", 3 * TOKENS_WEI)
        plan = DeploymentPlan(guardian=owner, proposers=(owner,), minimum_stake_wei=STAKE_WEI, asset=self.token)
        self.contracts = Contracts(chain.rpc, deploy(deployer, plan))
        self.contracts.check_deployment()
        for holder in (OPERATOR, ASKER):
            deployer.send(self.contracts.call_at("DemoToken", self.token, "transfer", account(holder).address, TOKENS_WEI))
        self.model_id = register_model(self.contracts, deployer, ModelKind.OPAQUE, keccak256(b"m"), b"", (), "ipfs://m").model_id
        self.key = AccountSigner(account(8))
        take_seat(self.session(OPERATOR), self.key, STAKE_WEI, 0)

    def session(self, index: int) -> Session:
        signer = AccountSigner(account(index))
        return Session(self.contracts, signer, Sender(self.contracts, signer))

    def tokens(self, index: int) -> int:
        return tokens_of(self.contracts, self.token, Address(account(index).address))


@pytest.fixture(scope="module")
def market(chain: EmbeddedChain) -> Market:
    return Market(chain)


def test_the_chain_says_what_a_deployment_settles_in(market: Market) -> None:
    assert asset_of(market.contracts) == market.token
    seat = read_seat(market.contracts, Address(account(OPERATOR).address))
    assert (seat.asset, seat.stake_wei, seat.quality) == (market.token, STAKE_WEI, Quality(0, 0, 0))
    assert market.tokens(OPERATOR) == TOKENS_WEI - STAKE_WEI
    assert market.contracts.ether_of(market.contracts.deployment.operator_registry) == 0


def test_a_stake_is_approved_and_added(market: Market) -> None:
    session, before = market.session(OPERATOR), market.tokens(OPERATOR)
    plan = plan_stake(session, 7)
    assert (plan.function, plan.call.value_wei, len(plan.approvals)) == ("addTokenStake", 0, 1)
    assert market.tokens(OPERATOR) == before, "a plan sends nothing"
    assert add_stake(session, 7).stake_wei == STAKE_WEI + 7
    assert market.tokens(OPERATOR) == before - 7
    with pytest.raises(RequestUnpaid, match="tokens of"):
        plan_stake(session, 10**30)


def test_an_old_allowance_is_zeroed_first_and_one_that_is_enough_is_kept(market: Market) -> None:
    session, spender = market.session(ASKER), market.contracts.deployment.coprocessor
    session.sender.send(market.contracts.call_at("DemoToken", market.token, "approve", spender, 5))
    assert plan_payment(market.contracts, session.account, "Coprocessor", "deposit", amount_wei=5).approvals == ()
    payment = plan_payment(market.contracts, session.account, "Coprocessor", "deposit", amount_wei=6)
    assert len(payment.approvals) == 2
    payment.send(session.sender)
    allowance = market.contracts.view_at("DemoToken", market.token, "allowance", session.account, spender)
    assert allowance == 0, "no more was approved than was paid"
    assert withdraw_balance(session, session.account) == 6


def test_from_deposit_to_withdrawal_by_the_commands(
    market: Market, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli, contracts = Cli(monkeypatch, capsys), market.contracts
    write_deployment(contracts.deployment, tmp_path / "deployment.json")
    (tmp_path / "password").touch(mode=0o600)
    (tmp_path / "password").write_text("correct horse battery staple\n")
    chain = ["--rpc", market.rpc, "--deployment", str(tmp_path / "deployment.json")]

    def acting(index: int) -> list[str]:
        keystore = tmp_path / f"{index}.key"
        if not keystore.exists():
            write_keystore(account(index), keystore, tmp_path / "password", LIGHT_SCRYPT_N)
        return [*chain, "--keystore", str(keystore), "--password-file", str(tmp_path / "password")]

    before, stranger_before = market.tokens(ASKER), market.tokens(STRANGER)
    assert "tokens of" in cli.refused(2, "deposit", *acting(STRANGER), "1")
    cli.ok("deposit", *acting(ASKER), FEE_WEI)
    assert contracts.balance_of(Address(account(ASKER).address)) == FEE_WEI

    # Asked with the fee out of the deposit, answered by the operator's signature, paid in the token.
    deadline = contracts.pending_time() + 600
    what = (market.model_id, b"x", pack_policy(Policy(quorum=1)))
    asker = market.session(ASKER)
    receipt = asker.sender.send(contracts.call("Coprocessor", "requestFromBalance", *what, FEE_WEI, 0, deadline, asker.account))
    asked = contracts.requested_in(receipt.block_hash)[-1]
    assert contracts.balance_of(asker.account) == 0
    claim = Claim(asked.request_id, market.model_id, asked.request.input_digest, keccak256(b"y"))
    signed = sign_claim(claim, b"y", contracts.domain, market.key)
    evidence = assemble_quorum([signed], 1, contracts.operators())
    asker.sender.send(contracts.deliver_call([Delivery(asked, claim, b"y", (evidence,))]))
    assert contracts.status_of(asked.request_id).status is RequestStatus.FINAL

    seat = cli.ok("operator", "status", *chain, "--operator", account(OPERATOR).address, "--json").json()
    assert (seat["fees_wei"], seat["delivered"], seat["late"], seat["slashed"]) == (str(FEE_WEI), 1, 0, 0)
    assert seat["asset"] == market.token
    cli.ok("withdraw", *acting(OPERATOR), "--to", account(STRANGER).address)
    assert (market.tokens(STRANGER), market.tokens(ASKER)) == (stranger_before + FEE_WEI, before - FEE_WEI)
    assert deposit(market.session(ASKER), 3) == 3


def test_a_price_is_posted_quoted_and_taken_back(
    market: Market, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli, contracts, model = Cli(monkeypatch, capsys), market.contracts, to_hex(market.model_id)
    assert contracts.view_at("FeeQuotes", contracts.deployment.fee_quotes, "NOT_SERVED") == NOT_SERVED_WEI
    write_deployment(contracts.deployment, tmp_path / "deployment.json")
    (tmp_path / "password").touch(mode=0o600)
    (tmp_path / "password").write_text("correct horse battery staple\n")
    write_keystore(account(OPERATOR), tmp_path / "key", tmp_path / "password", LIGHT_SCRYPT_N)
    chain = ["--rpc", market.rpc, "--deployment", str(tmp_path / "deployment.json")]
    acting = [*chain, "--keystore", str(tmp_path / "key"), "--password-file", str(tmp_path / "password")]
    asked_by = [*chain, "--operator", account(OPERATOR).address, "--json"]

    assert "posted a price" in cli.refused(2, "quote", model, "quorum 1", *chain)
    assert cli.ok("operator", "quote", "show", *asked_by).json()["posted"] is False
    posted = cli.ok("operator", "quote", "set", *acting, "--signature-wei", 30, "--proof-wei", 100, "--json").json()
    assert posted == {"posted": True, "signature_wei": "30", "proof_wei": "100", "enclave_wei": None}
    cli.ok("operator", "quote", "set", *acting, "--signature-wei", 40, "--model", model)
    told = cli.ok("quote", model, "quorum", "1", *chain, "--json").json()
    assert (told["fee_wei"], told["share_wei"], told["shares"]) == ("40", "40", 1)
    assert contracts.quote(EVERY_MODEL, pack_policy(Policy(quorum=1, proof=True))) == Quote(200, 100, 2)
    assert "posted a price" in cli.refused(2, "quote", model, "proof", *chain)
    seats = [Address(account(OPERATOR).address), Address(account(STRANGER).address)]
    assert contracts.asks_of_all(seats, market.model_id) == [Asks(40, None, None), None]
    assert contracts.asks_of_all(seats, EVERY_MODEL) == [Asks(30, 100, None), None]
    assert contracts.asks_of_all([], EVERY_MODEL) == []
    cli.ok("operator", "quote", "set", *acting, "--withdraw", "--model", model)
    assert cli.ok("operator", "quote", "show", *asked_by, "--model", model).json()["signature_wei"] == "30"
    assert cli("operator", "quote", "set", *acting).code == 2, "neither a price nor --withdraw"
    with pytest.raises(RequestRejected, match="ask"):
        post_asks(market.session(OPERATOR), EVERY_MODEL, Asks(NOT_SERVED_WEI, None, None))


def test_gas_is_not_measured_by_a_fee_in_a_token(market: Market) -> None:
    check_budget(0, market.token)
    check_budget(50, None)
    with pytest.raises(ConfigRejected, match="budget_percent_of_fee"):
        check_budget(50, market.token)
