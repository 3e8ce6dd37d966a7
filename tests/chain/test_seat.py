"""An operator's commands against the real registry: what each does, what is refused before anything is sent, and dry runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.encoding import keccak256, parse_hex
from oracle.relay.deployment import write_deployment
from oracle.relay.transact import Call
from tests.chain.conftest import STAKE_WEI, World, account
from tests.unit.cli_runner import Cli

OPERATOR = 1  # the account on seat 0
STRANGER = 9


class Desk:
    """A deployment, keystores, and the commands of one account after the other."""

    def __init__(self, world: World, cli: Cli, folder: Path) -> None:
        self.world, self.cli, self.folder = world, cli, folder
        write_deployment(world.deployment, folder / "deployment.json")
        (folder / "password").touch(mode=0o600)
        (folder / "password").write_text("correct horse battery staple\n")
        self.chain = ["--rpc", world.rpc, "--deployment", str(folder / "deployment.json")]

    def key(self, name: str, key: Any) -> Path:
        path = self.folder / f"{name}.key"
        if not path.exists():
            write_keystore(key, path, self.folder / "password", LIGHT_SCRYPT_N)
        return path

    def acting(self, index: int) -> list[str]:
        keystore = self.key(f"account-{index}", account(index))
        return [*self.chain, "--keystore", str(keystore), "--password-file", str(self.folder / "password")]

    def seat(self) -> dict[str, Any]:
        seat: dict[str, Any] = self.cli.ok("operator", "status", *self.chain, "--operator", account(OPERATOR).address, "--json").json()
        return seat

    def nonces(self) -> list[int]:
        return [self.world.contracts.nonce(account(i).address, "latest") for i in (OPERATOR, STRANGER)]

    def wait(self, seconds: int) -> None:
        self.world.rpc_call("evm_increaseTime", seconds)
        self.world.rpc_call("evm_mine")


@pytest.fixture
def desk(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Desk:
    return Desk(world, Cli(monkeypatch, capsys), tmp_path)


def test_a_seat_from_stake_to_withdrawal(desk: Desk) -> None:
    mine, before = desk.acting(OPERATOR), desk.seat()
    assert (before["status"], before["stake_wei"], before["withdrawable_at"]) == ("active", str(STAKE_WEI), None)
    assert desk.cli.ok("operator", "stake", *mine, "--stake-wei", 5, "--json").json()["stake_wei"] == str(STAKE_WEI + 5)
    new = Account.create()
    signing = ["--signer-keystore", str(desk.key("new", new))]
    assert desk.cli.ok("operator", "rotate-key", *mine, *signing, "--json").json()["signer"] == new.address
    leaving = desk.cli.ok("operator", "unbond", *mine, "--json").json()
    assert (leaving["status"], leaving["is_active"]) == ("exiting", False)
    assert leaving["withdrawable_at"].endswith("Z")
    desk.wait(leaving["unbonding_seconds"] + 1)
    to = Account.create().address
    done = desk.cli.ok("operator", "withdraw", *mine, "--to", to, "--json").json()
    assert done == {"to": to, "stake_wei": str(STAKE_WEI + 5)}
    assert desk.world.contracts.ether_of(to) == STAKE_WEI + 5
    assert "expected a registered one" in desk.cli.refused(2, "operator", "withdraw", *mine)


def test_what_the_registry_would_refuse_is_refused_before_anything_is_sent(desk: Desk) -> None:
    mine, stranger = desk.acting(OPERATOR), desk.acting(STRANGER)
    taken = ["--signer-keystore", str(desk.key("account-2-signer", Account.from_key(_key_of(desk.world, 1))))]
    own = ["--signer-keystore", str(desk.key("own-signer", Account.from_key(_key_of(desk.world, 0))))]
    before = desk.nonces()
    for command in (["stake", "--stake-wei", "1"], ["unbond"], ["withdraw"], ["rotate-key", *own]):
        assert "expected a registered one" in desk.cli.refused(2, "operator", command[0], *stranger, *command[1:])
    assert "no other operator" in desk.cli.refused(2, "operator", "rotate-key", *mine, *taken)
    assert "another one than the seat has" in desk.cli.refused(2, "operator", "rotate-key", *mine, *own)
    assert "affidavit operator unbond" in desk.cli.refused(2, "operator", "withdraw", *mine)
    assert "wei to stake" in desk.cli.refused(2, "operator", "stake", *mine, "--stake-wei", 10**30)
    assert "not zero" in desk.cli.refused(2, "operator", "withdraw", *mine, "--to", "0x" + "00" * 20)
    assert desk.nonces() == before
    desk.cli.ok("operator", "unbond", *mine)
    before = desk.nonces()
    for command in (["stake", "--stake-wei", "1"], ["unbond"], ["rotate-key", *own]):
        assert "not leaving" in desk.cli.refused(2, "operator", command[0], *mine, *command[1:])
    assert "seconds of unbonding left" in desk.cli.refused(2, "operator", "withdraw", *mine)
    assert desk.nonces() == before


def test_an_account_without_ether_is_told_so(desk: Desk) -> None:
    mine = desk.acting(OPERATOR)
    address, price = account(OPERATOR).address, desk.world.contracts.fee_history().next_base_fee_wei
    desk.world.rpc_call("anvil_setBalance", address, hex(21_000 * price))
    before = desk.nonces()
    assert "for gas" in desk.cli.refused(2, "operator", "unbond", *mine)
    assert desk.nonces() == before


def test_a_dry_run_sends_nothing_and_says_what_it_would_send(desk: Desk) -> None:
    mine, before, seat = desk.acting(OPERATOR), desk.nonces(), desk.seat()
    signing = ["--signer-keystore", str(desk.key("new", Account.create()))]
    for command, function in (
        (["stake", "--stake-wei", "5"], "addStake"),
        (["rotate-key", *signing], "rotateSigner"),
        (["unbond"], "beginExit"),
    ):
        plan = desk.cli.ok("operator", command[0], *mine, *command[1:], "--dry-run", "--json").json()
        assert (plan["dry_run"], plan["function"]) == (True, f"OperatorRegistry.{function}")
        assert plan["to"] == desk.world.deployment.operator_registry
        assert plan["seat"] == seat
        call = Call(plan["to"], parse_hex(plan["data"], "data"), int(plan["value_wei"]))
        needed = desk.world.contracts.estimate_gas(call, account(OPERATOR).address)
        assert needed <= plan["gas"] <= needed * 2
        assert int(plan["most_cost_wei"]) > 0
        assert "Nothing was sent" in desk.cli.ok("operator", command[0], *mine, *command[1:], "--dry-run").err
    assert (desk.nonces(), desk.seat()) == (before, seat)
    desk.cli.ok("operator", "unbond", *mine)
    desk.wait(seat["unbonding_seconds"] + 1)
    before = desk.nonces()
    assert desk.cli.ok("operator", "withdraw", *mine, "--dry-run", "--json").json()["function"] == "OperatorRegistry.withdrawStake"
    assert (desk.nonces(), desk.seat()["status"]) == (before, "exiting")


def test_the_old_names_still_do(desk: Desk) -> None:
    mine = desk.acting(OPERATOR)
    signing = ["--signer-keystore", str(desk.key("new", Account.create()))]
    assert desk.cli.ok("operator", "rotate", *mine, *signing, "--dry-run", "--json").json()["function"].endswith("rotateSigner")
    assert desk.cli.ok("operator", "exit", *mine, "--json").json()["status"] == "exiting"


def test_status_of_one_and_of_all(desk: Desk) -> None:
    desk.world.sender(OPERATOR).send(replace(desk.world.contracts.call("Coprocessor", "deposit"), value_wei=7))
    assert desk.seat()["fees_wei"] == "7"
    assert len(desk.cli.ok("operator", "status", *desk.chain, "--json").json()) == 5
    assert "minimum_stake_wei" in desk.cli.ok("operator", "status", *desk.chain, "--operator", account(OPERATOR).address).out
    assert "registered" in desk.cli.refused(2, "operator", "status", *desk.chain, "--operator", account(STRANGER).address)
    assert "checksum" in desk.cli.refused(2, "operator", "status", *desk.chain, "--operator", account(1).address.replace("C", "c"))


def test_a_policy_is_explained_with_what_the_deployment_has(desk: Desk) -> None:
    told = desk.cli.ok("policy", "explain", "quorum", "3", *desk.chain, "--json").json()
    assert "3 of 5 active operators" in told["demands"][0]["wrong_if"]
    assert "3 ETH together" in told["demands"][0]["wrong_if"]
    assert told["problems"] == []
    assert all(int(row["wei"]) > row["gas"] for row in told["gas"])
    many = desk.cli.ok("policy", "explain", "quorum", "6", *desk.chain, "--json").json()
    assert "nobody can answer" in many["problems"][0]
    desk.world.sender(OPERATOR).send(desk.world.contracts.call("OperatorRegistry", "beginExit"))
    assert "3 of 4 active" in desk.cli.ok("policy", "explain", "quorum", "3", *desk.chain).out.replace("\n  ", " ")


def _key_of(world: World, index: int) -> bytes:
    """The signing key of the operator on a seat, as tests/chain/conftest.py makes it."""
    key = keccak256(b"operator key %d" % index)
    assert Account.from_key(key).address == world.signers[index].address
    return key


def test_an_account_that_cannot_pay_is_told_so(desk: Desk) -> None:
    """Not that the endpoint failed, which would be worth trying again."""
    poor = desk.key("poor", Account.create())
    acting = [*desk.chain, "--keystore", str(poor), "--password-file", str(desk.folder / "password")]
    signer = ["--signer-keystore", str(desk.key("signer", Account.create()))]
    registering = ["operator", "register", *signer, "--stake-wei", str(STAKE_WEI)]
    for command in (["deposit", "1"], registering, ["operator", "quote", "set", "--withdraw"]):
        assert "ether of 0x" in (said := desk.cli.refused(2, *command, *acting))
        assert said.endswith("got 0 wei")
    held_wei = desk.world.contracts.ether_of(account(STRANGER).address)
    for amount_wei in (held_wei, held_wei + 1, 10**90):
        said = desk.cli.refused(2, "deposit", amount_wei, *desk.acting(STRANGER))
        assert f"expected {amount_wei} wei and what gas costs, got {held_wei} wei" in said
    deploying = ["deploy", "--rpc", desk.world.rpc, *acting[len(desk.chain) :], "--out", desk.folder / "none.json"]
    assert "got 0 wei" in desk.cli.refused(2, *deploying)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--unbonding-seconds", 705_600, "unbonding: expected more than 705600 seconds"),
        ("--asset", account(STRANGER).address, "NotAToken"),
    ],
)
def test_what_a_constructor_refuses_is_refused_before_the_first_is_paid_for(desk: Desk, option: str, value: object, words: str) -> None:
    nonces = desk.nonces()
    acting = desk.acting(STRANGER)[len(desk.chain) :]
    assert words in desk.cli.refused(2, "deploy", "--rpc", desk.world.rpc, *acting, "--out", desk.folder / "none.json", option, value)
    assert desk.nonces() == nonces
